"""Reads and checks the settings of a logger: arguments, environment variables and defaults.

What must stay true: a wrong argument raises an exception, so that a developer sees the mistake in
the first run. A missing or wrong environment variable must not stop the app, unless the option
`strict` is set. The attribute `problems` of the endpoint lists the missing and wrong variables.
"""

from __future__ import annotations

import os
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from voyage_logger._base.diagnostics import hint
from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.levels import LEVELS, rank_of
from voyage_logger._base.rules import (
    NAME_LENGTH,
    a_callable,
    a_count,
    a_flag,
    a_name,
    seconds,
    seconds_or_none,
)
from voyage_logger._base.settings import (
    ENVIRONMENT_VARIABLE,
    SPOOL_VARIABLE,
    Settings,
    variable,
    with_home,
)
from voyage_logger._base.wire import BODY_OVERHEAD
from voyage_logger._entry.redaction import redacted_keys
from voyage_logger._entry.trimming import MIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from voyage_logger._base.settings import Sample


# The options of the vendor's JavaScript class are in milliseconds. For example, its default for the
# flush interval is 5000. A value of this size is allowed, but is usually a mistake.
_LIKELY_MILLISECONDS = 1000


def settings_from(**arguments: object) -> Settings:
    """Check the arguments that are settings, and return the settings. Ignore other arguments."""
    settings = Settings(**{name: rule(name, arguments[name]) for name, rule in _RULES.items()})
    if settings.max_batch_bytes < settings.max_entry_bytes + BODY_OVERHEAD:
        rule = f"at least max_entry_bytes + {BODY_OVERHEAD} (a batch has room for any entry)"
        raise ConfigurationError("max_batch_bytes", settings.max_batch_bytes, rule)
    if settings.max_queue_bytes < settings.max_batch_bytes:
        rule = "at least max_batch_bytes (the queue has room for a batch)"
        raise ConfigurationError("max_queue_bytes", settings.max_queue_bytes, rule)
    if settings.max_spool_bytes < 2 * settings.max_batch_bytes:
        rule = "at least twice max_batch_bytes (one batch is sent while other entries come)"
        raise ConfigurationError("max_spool_bytes", settings.max_spool_bytes, rule)
    return settings


def a_transport(parameter: str, value: Any) -> Any:
    """Return the value if it is None or has a method `send`; else raise `ConfigurationError`."""
    if value is None or callable(getattr(value, "send", None)):
        return value
    raise ConfigurationError(parameter, value, "a BaseTransport, or None")


def _environment(parameter: str, value: object) -> str:
    if value is None:
        value = variable(os.environ, ENVIRONMENT_VARIABLE)[:NAME_LENGTH] or "production"
    return a_name(parameter, value)


def _seconds(parameter: str, value: object, *, zero: bool = False) -> float:
    found = seconds(parameter, value, zero=zero)
    if found >= _LIKELY_MILLISECONDS:
        minutes = f"{found / 60:.0f} minutes"
        hint(parameter, f"{parameter}={value} is {minutes}: the unit is seconds, not milliseconds")
    return found


def _level(parameter: str, value: object) -> int:
    rank = rank_of(value)
    if rank is None:
        rule = "a level: " + ", ".join(LEVELS) + ", or a number of the logging module"
        raise ConfigurationError(parameter, value, rule)
    return rank


def _spool_dir(parameter: str, value: object) -> Path | None:
    if value is None:
        named = variable(os.environ, SPOOL_VARIABLE)
        return _spool_path(with_home(named)) if named else None
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path.strip():
        raise ConfigurationError(parameter, value, "the path of a folder, or None")
    if "\0" in path:
        raise ConfigurationError(parameter, value, "a path without the character NUL")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        rule = f"a path that the file system can store ({error.reason})"
        raise ConfigurationError(parameter, value, rule) from None
    expanded = with_home(path)
    if expanded.startswith("~"):
        raise ConfigurationError(parameter, value, "a path that begins with a known home folder")
    return _spool_path(expanded)


def _spool_path(path: str) -> Path:
    """Return an absolute path, which stays valid after `os.chdir`.

    If the path still begins with `~`, its home folder is unknown. Such a path stays relative, and
    `Folder` reports that the folder cannot be used.
    """
    with loading:
        from pathlib import Path  # noqa: PLC0415 - `pathlib` is slow to import

    return Path(path) if path.startswith("~") else Path(path).absolute()


def _sample(parameter: str, value: object) -> Sample | None:
    if value is None:
        return None
    with loading:
        from voyage_logger._logger.sampling import sample_rule  # noqa: PLC0415 - few apps use sampling

    return sample_rule(parameter, value)


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
    "flush_interval": _seconds,
    "level": _level,
    "max_queue_size": a_count,
    "max_queue_bytes": a_count,
    "max_batch_bytes": a_count,
    "max_entry_bytes": partial(a_count, at_least=MIN_LIMIT),
    "shutdown_timeout": partial(_seconds, zero=True),
    "redact": redacted_keys,
    "before_send": a_callable,
    "sample": _sample,
    "ticket_cooldown": seconds_or_none,
    "collapse": seconds_or_none,
    "on_error": a_callable,
    "timestamps": a_flag,
    "capture_method": a_flag,
    "spool_dir": _spool_dir,
    "max_spool_bytes": a_count,
    "max_spool_age": _age,
}
