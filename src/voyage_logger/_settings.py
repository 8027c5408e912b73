"""A logger's settings: validated once, from arguments, then environment variables, then defaults.

What must stay true: a wrong argument raises, for it is a bug that the first run shows. A missing or
wrong environment variable is a matter of deployment and must not take the app down: it becomes one
of the `problems`, and raises only where `strict` asks for that.
"""

from __future__ import annotations

import os
import re
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

from voyage_logger._errors import ConfigurationError
from voyage_logger._levels import LEVELS, rank_of
from voyage_logger._redaction import redacted_keys
from voyage_logger._sampling import Rates, Sample, sample_rule
from voyage_logger._trimming import MIN_LIMIT
from voyage_logger._values import frozen
from voyage_logger._wire import BODY_OVERHEAD, DEFAULT_BASE_URL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from voyage_logger._errors import VoyageError

KIB = 1024
MIB = 1024 * KIB

KEY_VARIABLE = "VOYAGE_LOGS_KEY"
SECRET_VARIABLE = "VOYAGE_LOGS_SECRET"  # noqa: S105 - the variable's name
URL_VARIABLE = "VOYAGE_LOGS_URL"
ENVIRONMENT_VARIABLE = "VOYAGE_LOGS_ENVIRONMENT"
SPOOL_VARIABLE = "VOYAGE_LOGS_SPOOL_DIR"
# The vendor's short snippet reads these. Only as a pair: the unrelated `voyageai` package for
# embeddings reads VOYAGE_API_KEY alone, and its key must not be sent to somebody else.
SNIPPET_VARIABLES = ("VOYAGE_API_KEY", "VOYAGE_API_SECRET")

_DAY = 86_400.0
_NAME_LENGTH = 256
_LOOPBACK = r"localhost|::1|127(\.\d{1,3}){3}"


@frozen
class Credentials:
    """The API key and secret, which no repr shows and no pickle takes along."""

    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return "Credentials()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


@frozen
class Endpoint:
    """Where entries go: what a `Transport` needs to know.

    Attributes:
        base_url: The API's root, without a slash at the end.
        credentials: The key and secret, or None if they are missing.
        timeout: Limits for connecting and for each read, seconds.
        compress: Whether request bodies are sent as gzip.
        problems: What is missing or wrong in the environment, in words.
    """

    base_url: str
    credentials: Credentials | None
    timeout: tuple[float, float]
    compress: bool
    problems: tuple[str, ...] = ()

    @property
    def is_exposed(self) -> bool:
        """True if secrets would cross a network in the clear."""
        from urllib.parse import urlsplit  # noqa: PLC0415 - not to be paid by the import

        url = urlsplit(self.base_url)
        return url.scheme == "http" and not re.fullmatch(_LOOPBACK, url.hostname or "")


@frozen
class Settings:
    """All of a logger's settings but the endpoint; the facade's docstring explains each."""

    app_name: str
    environment: str
    batch_size: int
    flush_interval: float
    level: int
    max_queue_size: int
    max_queue_bytes: int
    max_batch_bytes: int
    max_entry_bytes: int
    shutdown_timeout: float
    redact: frozenset[str]
    before_send: Callable[[dict[str, Any]], dict[str, Any] | None] | None
    sample: Rates | Sample | None
    ticket_cooldown: float | None
    collapse: float | None
    on_error: Callable[[VoyageError], object] | None
    timestamps: bool
    capture_method: bool
    spool_dir: Path | None
    max_spool_bytes: int
    max_spool_age: float | None


def endpoint_from(
    api_key: object,
    api_secret: object,
    base_url: object,
    *,
    timeout: object,
    compress: object,
    environ: Mapping[str, str] = os.environ,
) -> Endpoint:
    """Where entries go, from arguments and environment.

    Args:
        api_key: The argument, or None for the environment's.
        api_secret: The argument, or None for the environment's.
        base_url: The argument, or None for the environment's or the vendor's.
        timeout: One limit or (connect, read), seconds.
        compress: Whether to send gzip.
        environ: The environment to read.

    Raises:
        ConfigurationError: An argument breaks its rule.
    """
    problems: list[str] = []
    credentials = _credentials(api_key, api_secret, environ, problems)
    if base_url is not None:
        url = _url("base_url", base_url)
    else:
        url = DEFAULT_BASE_URL
        if from_environ := _variable(environ, URL_VARIABLE):
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


def settings_from(**arguments: object) -> Settings:
    """The settings, each checked against its rule and against the others.

    Args:
        arguments: A value for every field of `Settings`, as the user gave it; others are ignored.

    Raises:
        ConfigurationError: An argument breaks its rule; it names parameter, value and rule.
    """
    settings = Settings(**{name: rule(name, arguments[name]) for name, rule in _RULES.items()})
    if settings.max_batch_bytes < settings.max_entry_bytes + BODY_OVERHEAD:
        rule = f"at least max_entry_bytes + {BODY_OVERHEAD} (a batch has room for any entry)"
        raise ConfigurationError("max_batch_bytes", settings.max_batch_bytes, rule)
    if settings.max_queue_bytes < settings.max_batch_bytes:
        rule = "at least max_batch_bytes (the queue has room for a batch)"
        raise ConfigurationError("max_queue_bytes", settings.max_queue_bytes, rule)
    if settings.max_spool_bytes < 2 * settings.max_batch_bytes:
        rule = "at least twice max_batch_bytes (one batch is under way while others come)"
        raise ConfigurationError("max_spool_bytes", settings.max_spool_bytes, rule)
    return settings


def missing(endpoint: Endpoint) -> ConfigurationError:
    """The error for an endpoint that cannot be used as it is."""
    problems = "; ".join(endpoint.problems)
    parameter = "base_url" if endpoint.credentials else "credentials"  # the first one at fault
    error = ConfigurationError(parameter, "<incomplete>", f"complete ({problems})")
    error.message = problems if endpoint.credentials else f"no credentials: {problems}"
    return error


def a_name(parameter: str, value: object) -> str:
    if isinstance(value, str) and value.strip() and len(value) <= _NAME_LENGTH:
        return value
    rule = f"a text of 1 to {_NAME_LENGTH} characters that is not blank"
    raise ConfigurationError(parameter, value, rule)


def a_count(parameter: str, value: object, *, at_least: int = 1) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= at_least:
        return value
    raise ConfigurationError(parameter, value, f"a whole number of at least {at_least}")


def a_flag(parameter: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(parameter, value, "True or False")


def a_callable(parameter: str, value: Any) -> Any:
    if value is None or callable(value):
        return value
    raise ConfigurationError(parameter, value, "a function, or None")


def a_transport(parameter: str, value: Any) -> Any:
    if value is None or callable(getattr(value, "send", None)):
        return value
    raise ConfigurationError(parameter, value, "a BaseTransport, or None")


def seconds(parameter: str, value: object, *, zero: bool = False) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):  # noqa: SIM102 - two ideas
        if 0 < value <= _DAY or (zero and value == 0):
            return float(value)
    floor = "from 0" if zero else "above 0"
    raise ConfigurationError(parameter, value, f"a number of seconds {floor} to {_DAY:.0f}")


def seconds_or_none(parameter: str, value: object) -> float | None:
    return None if value is None else seconds(parameter, value)


def _environment(parameter: str, value: object) -> str:
    if value is None:
        value = _variable(os.environ, ENVIRONMENT_VARIABLE)[:_NAME_LENGTH] or "production"
    return a_name(parameter, value)


def _level(parameter: str, value: object) -> int:
    rank = rank_of(value)
    if rank is None:
        rule = "a level: " + ", ".join(LEVELS) + ", or a number of the logging module"
        raise ConfigurationError(parameter, value, rule)
    return rank


def _spool_dir(parameter: str, value: object) -> Path | None:
    value = value if value is not None else _variable(os.environ, SPOOL_VARIABLE) or None
    if value is None:
        return None
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if isinstance(path, str) and path.strip():
        from pathlib import Path  # noqa: PLC0415 - not to be paid by the import

        return Path(path).absolute()  # the app may change its directory
    raise ConfigurationError(parameter, value, "the path of a folder, or None")


def _age(parameter: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < inf:
        return float(value)
    raise ConfigurationError(parameter, value, "a number of seconds above 0, or None")


_RULES: dict[str, Callable[[str, object], Any]] = {
    "app_name": a_name,
    "environment": _environment,
    "batch_size": a_count,
    "flush_interval": seconds,
    "level": _level,
    "max_queue_size": a_count,
    "max_queue_bytes": a_count,
    "max_batch_bytes": a_count,
    "max_entry_bytes": partial(a_count, at_least=MIN_LIMIT),
    "shutdown_timeout": partial(seconds, zero=True),
    "redact": redacted_keys,
    "before_send": a_callable,
    "sample": sample_rule,
    "ticket_cooldown": seconds_or_none,
    "collapse": seconds_or_none,
    "on_error": a_callable,
    "timestamps": a_flag,
    "capture_method": a_flag,
    "spool_dir": _spool_dir,
    "max_spool_bytes": a_count,
    "max_spool_age": _age,
}


def _timeout(value: object) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)):
        value = (value, value)
    if len(value) != 2:  # noqa: PLR2004 - connect and read
        raise ConfigurationError("timeout", value, "seconds, or a pair (connect, read)")
    return seconds("timeout", value[0]), seconds("timeout", value[1])


def _url(parameter: str, value: object) -> str:
    from urllib.parse import urlsplit  # noqa: PLC0415 - see above

    rule = "an http:// or https:// URL with a host, without credentials, query or fragment"
    # An error must not repeat a password or a key: only what can hold neither is shown.
    is_harmless = isinstance(value, str) and not set(value) & set("@?#&=")
    shown = value if is_harmless else "<a hidden value>"
    if not isinstance(value, str):
        raise ConfigurationError(parameter, shown, rule)
    url = value.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port out of range, an unclosed bracket
        usable = False
    if not usable or not is_header_safe(url) or set(url) & set(" @?#"):
        raise ConfigurationError(parameter, shown, rule)
    return url


def _credentials(
    api_key: object, api_secret: object, environ: Mapping[str, str], problems: list[str]
) -> Credentials | None:
    names = (KEY_VARIABLE, SECRET_VARIABLE)
    given = (api_key, api_secret, *(_variable(environ, name) or None for name in names))
    if given == (None, None, None, None) and all(
        _variable(environ, name) for name in SNIPPET_VARIABLES
    ):
        names = SNIPPET_VARIABLES
    key = _credential("api_key", api_key, names[0], environ, problems)
    secret = _credential("api_secret", api_secret, names[1], environ, problems)
    return Credentials(key, secret) if key and secret else None


def _credential(
    parameter: str, value: object, variable: str, environ: Mapping[str, str], problems: list[str]
) -> str:
    """One of the two, or an empty text and a problem that names the variable."""
    rule = "a text of visible ASCII characters, as HTTP headers carry"
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(parameter, f"<a hidden {type(value).__name__}>", rule)
    # Blank counts as missing: an unset secret often arrives as an empty string.
    if argument := (value or "").strip():
        if not is_header_safe(argument):
            raise ConfigurationError(parameter, "<a hidden text>", rule)
        return argument
    found = _variable(environ, variable)
    if not found:
        problems.append(f"{variable} is not set")
    elif not is_header_safe(found):
        problems.append(f"{variable} must be {rule}")
        return ""
    return found


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def is_header_safe(value: str) -> bool:
    """True if the value can stand in an HTTP header as it is."""
    return bool(value) and value.isascii() and value.isprintable()
