"""Refuses requests that a web page of another site has made a browser send.

What must stay true: a web page of another site can neither read nor change anything in the server.
A page can send a form to the server. The Origin header of this request names the other site. In a
DNS rebinding attack, the page's own host name gets the IP address of the server. The Host header of
this request contains the host name of the attacker.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from voyage_logger.devserver._http import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voyage_logger.devserver._http import Request

_ALL_ADDRESSES = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
# The host is a name, an IPv4 address, or an IPv6 address in brackets. A port can follow the host.
_HOST = re.compile(r"(?:\[([0-9A-Za-z:.%]+)\]|([^:/?#@\[\]]+))(?::[0-9]*)?")
_NAME = re.compile(r"[^\s:/?#@\[\],]+")
_MAX_SHOWN = 80


class Hosts:
    """The host names and IP addresses that a request may name in its Host header.

    Args:
        host: The host name or IP address that the server listens on.
        allowed: More host names under which clients reach the server.

    Raises:
        TypeError: `allowed` is one text, or one of the names is not a text.
        ValueError: One of the names is not a host name without a port.
    """

    def __init__(self, host: str, allowed: Iterable[str] = ()) -> None:
        if isinstance(allowed, str):
            raise TypeError(f"allowed_hosts must be a list of host names, not {allowed!r}")
        names = list(allowed)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"allowed_hosts must have host names, not {name!r}")
            if not _NAME.fullmatch(name):
                raise ValueError(f"an allowed host is a name without a port, not {name!r}")
        self._is_open = host in _ALL_ADDRESSES
        self._names = {"localhost", *(name.lower() for name in (host, *names))}

    def check(self, request: Request) -> None:
        """Refuse a request (status 403) if it names another host or comes from another site."""
        value = request.headers.get("host")
        if value is None:  # Every browser sends a Host header. HTTP/1.0 allows its absence.
            return
        if not self._is_own(_host_in(value)):
            raise Refusal(
                403,
                f"the host {value[:_MAX_SHOWN]!r} is not this server's: to allow the host, use "
                "the option --allow-host, or DevServer(allowed_hosts=[...])",
            )
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{value}":
            raise Refusal(403, f"the origin {origin[:_MAX_SHOWN]!r} is not this server's")

    def _is_own(self, named: str) -> bool:
        """Return True if the host `named` is a known name or a safe IP address.

        A loopback IP address is always safe. If the server listens on all IP addresses, every IP
        address is safe, because a DNS rebinding attack needs a host name.
        """
        if named in self._names:
            return True
        try:
            address = ipaddress.ip_address(named)
        except ValueError:
            return False
        return address.is_loopback or self._is_open


def _host_in(value: str) -> str:
    """Return the host of a Host header in lower case, or "" if the header is malformed."""
    match = _HOST.fullmatch(value)
    return (match[1] or match[2]).lower() if match else ""
