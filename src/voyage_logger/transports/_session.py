"""The HTTP session. Each call of `Session.post` makes one POST request and reads the answer.

Only this module imports `requests`. This import takes 100 ms, so this module is imported only at
the first request, in the worker's thread. This module handles all exceptions of `requests` and
`urllib3`.
"""

from __future__ import annotations

import contextlib
import queue
import re
import ssl
from collections import deque
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
import urllib3.exceptions
from requests import exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import select_proxy

from voyage_logger._base.clock import monotonic
from voyage_logger._base.fork_locks import loading
from voyage_logger._version import __version__
from voyage_logger.transports._endpoint import is_loopback
from voyage_logger.transports._response import FinalResponse
from voyage_logger.transports._verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3.poolmanager import PoolManager

_USER_AGENT = f"voyage-logger/{__version__}"
_BODY_LIMIT = 64 * 1024  # 64 KiB are enough: tokens and error messages have only about 2 KiB.
_PIECE = 4096
_GZIP_OR_ZLIB = 47  # With this argument, zlib recognizes both formats.

# These failures happen before a request is sent. Each retry fails until the settings change.
_PERMANENT = (
    exceptions.InvalidHeader,
    exceptions.InvalidSchema,
    exceptions.InvalidURL,
    exceptions.MissingSchema,
    exceptions.URLRequired,
    urllib3.exceptions.LocationValueError,
    ssl.SSLCertVerificationError,
)

# A host name or an IPv4 address or an IPv6 address, and perhaps a port.
_PLACE = r"([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?"

_MALFORMED = (exceptions.InvalidURL, urllib3.exceptions.LocationValueError)


class RequestFailed(Exception):  # noqa: N818 - The name is clear without `Error`.
    """The server gave no answer. If `is_permanent` is True, a person must change the settings."""

    def __init__(self, detail: str, *, is_permanent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.is_permanent = is_permanent


class Session:
    """A `requests` session for the Logs API. Several threads can call `post` at the same time."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.headers["User-Agent"] = _USER_AGENT
        self._session.headers["Accept-Encoding"] = "identity"  # Answers are short.
        # Do not accept cookies: a cookie could make a load balancer always choose the same server.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # urllib3 must not repeat requests, because only the worker decides when to try again.
        adapter = _Adapter(max_retries=0)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        # The proxy and certificate settings of the environment. Reading these settings takes as
        # long as all other steps of a request, so they are read again only after a failure.
        self._surroundings: Mapping[str, Any] | None = None

    def post(
        self,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> Answer:
        """Make one request. `timeout` is the pair (seconds to connect, seconds for each read)."""
        secrets = _SecretHeaders(secret_headers)
        request = requests.Request("POST", url, headers=headers, data=body, auth=secrets)
        surroundings, self._surroundings = self._surroundings, None
        via = ""
        try:
            if surroundings is None:
                surroundings = self._settings_for(url)
            via = proxy_name(select_proxy(url, surroundings["proxies"]))
            with self._session.send(
                self._session.prepare_request(request),
                timeout=timeout,
                allow_redirects=False,  # A redirect could send the secrets to another server.
                **surroundings,
            ) as response:
                self._surroundings = surroundings
                return Answer(
                    status=response.status_code,
                    content_type=response.headers.get("Content-Type", "").lower(),
                    retry_after=response.headers.get("Retry-After"),
                    location=response.headers.get("Location"),
                    body=_body(response, timeout[1]),
                    date=response.headers.get("Date"),
                    # Through a tunnel, only the server can answer.
                    proxy="" if url.lower().startswith("https:") else via,
                )
        except (exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _failure(error, via) from None
        # `requests` raises these errors if a host name or the URL of a proxy is malformed.
        except (ValueError, TypeError, LookupError) as error:
            raise RequestFailed(_brief(error), is_permanent=True) from None

    def _settings_for(self, url: str) -> dict[str, Any]:
        """Return the proxy and certificate settings of the environment for a URL.

        A proxy of the environment is for other machines. If a request to this machine went through
        such a proxy, the proxy would look for the server on the proxy's own machine.
        """
        settings = self._session.merge_environment_settings(url, {}, True, None, None)
        return {**settings, "proxies": {}} if is_loopback(url) else dict(settings)

    def close(self) -> None:
        self._session.close()


class _Adapter(HTTPAdapter):
    """An adapter whose pools of idle connections have no locks. See `_Idle`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _amend_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        return _amend_pools(super().proxy_manager_for(*args, **kwargs))


def _amend_pools(manager: PoolManager) -> PoolManager:
    pools: dict[str, Any] = manager.pool_classes_by_scheme
    if not all(pool.QueueCls is _Idle for pool in pools.values()):
        manager.pool_classes_by_scheme = {scheme: _amended(pool) for scheme, pool in pools.items()}
    return manager


def _amended(pool: Any) -> Any:
    connection = pool.ConnectionCls
    connection = type(connection.__name__, (connection,), {"response_class": FinalResponse})
    return type(pool.__name__, (pool,), {"QueueCls": _Idle, "ConnectionCls": connection})


class _Idle:
    """The idle connections of a pool. urllib3 uses this class instead of `queue.LifoQueue`.

    A `LifoQueue` has a lock. If a fork happens while another thread holds the lock, nothing can
    release the lock in the child. When the child exits, urllib3 would wait for the lock forever.
    """

    def __init__(self, maxsize: int) -> None:
        self._maxsize = maxsize
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002, FBT001, FBT002 - the same arguments as in `queue.LifoQueue`
        if len(self._items) >= self._maxsize:
            raise queue.Full
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002, FBT001, FBT002 - the same arguments as in `queue.LifoQueue`
        try:
            return self._items.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._items)


class _SecretHeaders(AuthBase):
    """Sets headers that ~/.netrc cannot replace: https://github.com/psf/requests/issues/3929."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


def _body(response: requests.Response, time_limit: float) -> bytes:
    """Read the body, so that the connection can be reused. Stop after about `_BODY_LIMIT` bytes.

    `time_limit` applies to the whole body, because a server can slowly send one byte after another.
    """
    end = monotonic() + time_limit
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 2.1 introduced `read1`.
    pieces: list[bytes] = []
    size = 0
    # Ignore failures: the status is already known, and a retry could deliver the batch twice.
    with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
        while size < _BODY_LIMIT and monotonic() < end:
            # urllib3 must not decompress: before version 2.6, 64 KiB could become gigabytes.
            piece = read(_PIECE, decode_content=False)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
    return _plain(b"".join(pieces), response.headers.get("Content-Encoding", ""))


def _plain(body: bytes, encoding: str) -> bytes:
    """Decompress a body, and return at most `_BODY_LIMIT` bytes of the result.

    Some servers compress an answer although the client asks for `identity`.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        return b""
    with loading:
        import zlib  # noqa: PLC0415 - This import is rarely needed.

    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, _BODY_LIMIT)
    except zlib.error:
        return b""


def proxy_name(proxy: str | None) -> str:
    """Return the host and the port of a proxy's URL, without the user name and the password."""
    if proxy is None:
        return ""
    place = proxy.rpartition("@")[2].rpartition("//")[2].partition("/")[0]
    return place if re.fullmatch(_PLACE, place) else "of the environment"


def _failure(error: Exception, via: str) -> RequestFailed:
    chain = _chain(error)
    # If an OSError is not a RequestException, a file with certificates is missing.
    is_setup = isinstance(error, OSError) and not isinstance(error, exceptions.RequestException)
    is_permanent = is_setup or any(isinstance(link, _PERMANENT) for link in chain)
    through = f"through the proxy {via}: " if via else ""
    return RequestFailed(f"{through}{_brief(chain[-1])}", is_permanent=is_permanent)


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and its causes. `requests` and `urllib3` store causes in several places."""
    chain = [error]
    for _ in range(10):  # pragma: no branch - A limit is needed: causes can form a cycle.
        inner = (getattr(chain[-1], "reason", None), *chain[-1].args, chain[-1].__cause__)
        below = next((link for link in inner if isinstance(link, BaseException)), None)
        if below is None:
            break
        chain.append(below)
    return chain


def _brief(error: BaseException) -> str:
    if isinstance(error, _MALFORMED) or type(error) in (TypeError, ValueError):
        # Do not show the error's message: it contains a part of the URL, perhaps a password.
        text = "the base URL, or a proxy's (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), is malformed"
    else:
        text = re.sub(r"//\S*@", "//***@", str(error))  # The URL of a proxy can contain a password.
    return f"{type(error).__name__}: {text}"
