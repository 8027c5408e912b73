"""Read the URL and the credentials from arguments and environment variables.

What must stay true: a wrong argument raises an error. A missing or wrong environment variable adds
a message to `Endpoint.problems`. Credentials never appear in an error or in a `repr`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NoReturn

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.frozen import frozen
from voyage_logger._base.rules import a_flag, seconds
from voyage_logger._base.settings import (
    KEY_VARIABLE,
    SECRET_VARIABLE,
    SNIPPET_VARIABLES,
    URL_VARIABLE,
    variable,
)
from voyage_logger._base.wire import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOPBACK = r"(.+\.)?localhost\.?|::1|(::ffff:)?127(\.\d{1,3}){3}"


@frozen
class Credentials:
    """The API key and the API secret, which never appear in a `repr` or in a pickle."""

    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return "Credentials()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


@frozen
class Endpoint:
    """The URL, the credentials and the options of a `Transport`."""

    base_url: str  # A URL without a slash at the end.
    credentials: Credentials | None
    timeout: tuple[float, float]  # The time limits for connecting and for each read, in seconds.
    compress: bool
    problems: tuple[str, ...] = ()  # Messages about missing or wrong environment variables.

    @property
    def is_exposed(self) -> bool:
        """True if the client would send secrets over a network without encryption."""
        return self.base_url.lower().startswith("http:") and not is_loopback(self.base_url)


def is_loopback(url: str) -> bool:
    """Return True if the host of the URL is this machine."""
    with loading:
        from urllib.parse import urlsplit  # noqa: PLC0415 - the package's import must stay fast

    return re.fullmatch(_LOOPBACK, urlsplit(url).hostname or "") is not None


def endpoint_from(
    api_key: object,
    api_secret: object,
    base_url: object,
    *,
    timeout: object,
    compress: object,
    environ: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Return the endpoint. If the key, secret or URL is None, read its environment variable."""
    problems: list[str] = []
    credentials = _credentials(api_key, api_secret, environ, problems)
    if base_url is not None:
        url = _url("base_url", base_url)
    else:
        url = DEFAULT_BASE_URL
        if from_environ := variable(environ, URL_VARIABLE):
            try:
                url = _url(URL_VARIABLE, from_environ)
            except ConfigurationError as error:
                problems.append(str(error))
    return Endpoint(
        base_url=url,
        credentials=credentials,
        timeout=_timeout(timeout),
        compress=a_flag("compress", compress),
        problems=tuple(problems),
    )


def missing(endpoint: Endpoint) -> ConfigurationError:
    """Return an error that describes the problems of an endpoint."""
    problems = "; ".join(endpoint.problems)
    parameter = "base_url" if endpoint.credentials else "credentials"
    error = ConfigurationError(parameter, "<incomplete>", f"complete ({problems})")
    error.message = problems if endpoint.credentials else f"no credentials: {problems}"
    return error


def _timeout(value: object) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)):
        value = (value, value)
    if len(value) != 2:  # noqa: PLR2004 - connect and read
        raise ConfigurationError("timeout", value, "seconds, or a pair (connect, read)")
    return seconds("timeout", value[0]), seconds("timeout", value[1])


def _url(parameter: str, value: object) -> str:
    with loading:
        from urllib.parse import urlsplit  # noqa: PLC0415 - see above

    rule = "an http:// or https:// URL with a host, without credentials, query or fragment"
    # A URL with one of the characters `@?#&=` can contain a secret, so errors do not show the URL.
    is_harmless = isinstance(value, str) and not set(value) & set("@?#&=")
    shown = value if is_harmless else "<a hidden value>"
    if not isinstance(value, str):
        raise ConfigurationError(parameter, shown, rule)
    url = value.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # The port is out of range, or a bracket is not closed.
        usable = False
    if not usable or not is_header_safe(url) or set(url) & set(" @?#"):
        raise ConfigurationError(parameter, shown, rule)
    return url


def _credentials(
    api_key: object, api_secret: object, environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    names = (KEY_VARIABLE, SECRET_VARIABLE)
    given = (api_key, api_secret, *(variable(environ, name) or None for name in names))
    if given == (None, None, None, None) and all(
        variable(environ, name) for name in SNIPPET_VARIABLES
    ):
        names = SNIPPET_VARIABLES
    key = _credential("api_key", api_key, names[0], environ, problems)
    secret = _credential("api_secret", api_secret, names[1], environ, problems)
    return Credentials(key, secret) if key and secret else None


def _credential(
    parameter: str, value: object, name: str, environ: Mapping[str, str], problems: list[str]
) -> str:
    """Return the key or secret. If the text is missing or invalid, add a problem and return ""."""
    rule = "a text of visible ASCII characters, as HTTP headers carry"
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(parameter, f"<a hidden {type(value).__name__}>", rule)
    # An empty argument counts as None: apps often pass an empty text if no secret is configured.
    if argument := (value or "").strip():
        if not is_header_safe(argument):
            raise ConfigurationError(parameter, "<a hidden text>", rule)
        return argument
    found = variable(environ, name)
    if not found:
        problems.append(f"{name} is not set")
    elif not is_header_safe(found):
        problems.append(f"{name} must be {rule}")
        return ""
    return found


def is_header_safe(value: str) -> bool:
    """Return True if an HTTP header can contain the value without escaping."""
    return bool(value) and value.isascii() and value.isprintable()
