"""Read the URL and the credentials from arguments and environment variables.

What must stay true: a wrong argument raises an error. A missing or wrong environment variable adds
a message to `Endpoint.problems`. Credentials never appear in an error or in a `repr`.
"""

from __future__ import annotations

import os
import re
from functools import partial
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
    from collections.abc import Callable, Mapping

_LOOPBACK = r"(.+\.)?localhost\.?|::1|(::ffff:)?127(\.\d{1,3}){3}"

# A host name, and perhaps a port. A secret rarely has this form: it has longer parts or capitals.
_HOST = r"(localhost|([a-z0-9-]{1,24}\.)+[a-z]{2,24})(:\d{1,5})?"
_SHORTEST_SECRET = 7  # As in entries, a text with fewer characters does not count as a secret.
_URL_RULE = "an http:// or https:// URL with a host, without credentials, query or fragment"
_CREDENTIAL_RULE = "a text of visible ASCII characters, as HTTP headers carry"


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
    environ: Mapping[str, str] | None = None,
) -> Endpoint:
    """Return the endpoint. If the key, secret or URL is None, read its environment variable."""
    problems: list[str] = []
    # Some tools show the local variables of a traceback. Therefore no function that can raise an
    # error has the environment or a value of the environment in a local variable.
    read = partial(_read, environ)
    credentials = _credentials(api_key, api_secret, read, problems)
    return Endpoint(
        base_url=_url_from(base_url, read, problems),
        credentials=credentials,
        timeout=_timeout(timeout),
        compress=a_flag("compress", compress),
        problems=tuple(problems),
    )


def _read(environ: Mapping[str, str] | None, name: str) -> str:
    return variable(os.environ if environ is None else environ, name)


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


def _url_from(base_url: object, read: Callable[[str], str], problems: list[str]) -> str:
    """Return the URL. If the URL in the environment is not valid, add a problem."""
    if base_url is None:
        if not (from_environ := read(URL_VARIABLE)):
            return DEFAULT_BASE_URL
        if url := _valid_url(from_environ):
            return url
        problems.append(str(ConfigurationError(URL_VARIABLE, _shown(from_environ), _URL_RULE)))
        return DEFAULT_BASE_URL
    if url := _valid_url(base_url):
        return url
    raise ConfigurationError("base_url", _shown(base_url), _URL_RULE)


def _valid_url(value: object) -> str:
    """Return the URL without a slash at the end, or "" if the value is not a valid URL."""
    with loading:
        from urllib.parse import urlsplit  # noqa: PLC0415 - see above

    if not isinstance(value, str):
        return ""
    url = value.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # The port is out of range, or a bracket is not closed.
        usable = False
    return url if usable and is_header_safe(url) and not set(url) & set(" @?#") else ""


def _shown(value: object) -> str:
    """Return the beginning of a wrong URL, or a placeholder if the value can contain a secret.

    A URL with one of the characters `@?#&=` can contain a secret. So can the path of a URL. A long
    value that is neither a URL nor a host name might be a secret in the wrong variable.
    """
    if not isinstance(value, str) or set(value) & set("@?#&="):
        return "<a hidden value>"
    head, separator, rest = value.rpartition("://")
    host, slash, path = rest.partition("/")
    if separator or len(value) < _SHORTEST_SECRET or re.fullmatch(_HOST, host):
        return f"{head}{separator}{host}{slash}{path and '...'}"
    return "<a hidden value>"


def _credentials(
    api_key: object, api_secret: object, read: Callable[[str], str], problems: list[str]
) -> Credentials | None:
    if problem := _problem_of(api_key):
        raise ConfigurationError("api_key", problem, _CREDENTIAL_RULE)
    if problem := _problem_of(api_secret):
        raise ConfigurationError("api_secret", problem, _CREDENTIAL_RULE)
    names = (KEY_VARIABLE, SECRET_VARIABLE)
    if api_key is None and api_secret is None and not any(map(read, names)):  # noqa: SIM102 - first the usual variables, then the others
        if all(map(read, SNIPPET_VARIABLES)):
            names = SNIPPET_VARIABLES
    key = _credential(api_key, names[0], read, problems)
    secret = _credential(api_secret, names[1], read, problems)
    return Credentials(key, secret) if key and secret else None


def _problem_of(value: object) -> str:
    """Describe a wrong argument without showing the argument. Return "" if it is right."""
    if value is not None and not isinstance(value, str):
        return f"<a hidden {type(value).__name__}>"
    argument = (value or "").strip()
    return "<a hidden text>" if argument and not is_header_safe(argument) else ""


def _credential(
    argument: object, name: str, read: Callable[[str], str], problems: list[str]
) -> str:
    """Return the key or secret. If the text is missing or invalid, add a problem and return ""."""
    # An empty argument counts as None: apps often pass an empty text if no secret is configured.
    if isinstance(argument, str) and argument.strip():
        return argument.strip()
    found = read(name)
    if not found:
        problems.append(f"{name} is not set")
    elif not is_header_safe(found):
        problems.append(f"{name} must be {_CREDENTIAL_RULE}")
        return ""
    return found


def is_header_safe(value: str) -> bool:
    """Return True if an HTTP header can contain the value without escaping."""
    return bool(value) and value.isascii() and value.isprintable()
