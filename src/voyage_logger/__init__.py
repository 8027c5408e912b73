"""The logging client for the Voyage AI Logs API (tracevoyage.com).

    from voyage_logger import VoyageLogger
    VoyageLogger("my-app").info("User login successful", app_user_id="user_123")

Each folder is called a room. A room imports only the rooms that stand above it in this list:

    _base        shared definitions: errors, levels, settings, statistics
    _entry       turns the arguments of a log call into a JSON entry, without threads or I/O
    devserver    a local server that checks requests strictly, for development and tests
    _queue       stores waiting entries in memory or on the disk, and counts all entries
    transports   make one attempt to send a batch over HTTP
    _delivery    sends entries in the background; handles flush, close, exit and fork
    _logger      the API that apps call in their own threads: log calls, contexts, journeys
    cli          the commands voyage-logger dev, demo and spool
"""

from __future__ import annotations

# `Stats.__module__` is this module: `typing.get_type_hints(Stats)` looks for `Mapping` here.
from collections.abc import Mapping  # noqa: F401
from typing import TYPE_CHECKING

from voyage_logger._base.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    DeliveryError,
    EntriesLost,
    VoyageError,
)
from voyage_logger._base.stats import FlushResult, Stats
from voyage_logger._entry.redaction import DEFAULT_REDACTED_KEYS
from voyage_logger._logger.context import propagate
from voyage_logger._logger.journey import Journey, current_journey
from voyage_logger._logger.logger import VoyageLogger
from voyage_logger._version import __version__
from voyage_logger.transports import BaseTransport, Kind, Outcome, Transport

if TYPE_CHECKING:
    from voyage_logger._delivery.sigterm import flush_on_sigterm
    from voyage_logger._entry.log_fields import LogFields, TimelineStep
else:
    # Few programs use the names in `_LATE`. Each name in `_LATE` is imported when it is first used.
    # Therefore, a program that uses none of the names in `_LATE` starts 2 ms faster.
    _LATE = {
        "LogFields": "_entry.log_fields",
        "TimelineStep": "_entry.log_fields",
        "flush_on_sigterm": "_delivery.sigterm",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module  # noqa: PLC0415 - see above

        globals()[name] = found = getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
        found.__module__ = __name__
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATE})


__all__ = [
    "DEFAULT_REDACTED_KEYS",
    "AuthenticationError",
    "BaseTransport",
    "ConfigurationError",
    "ConnectionFailed",
    "DeliveryError",
    "EntriesLost",
    "FlushResult",
    "Journey",
    "Kind",
    "LogFields",
    "Outcome",
    "Stats",
    "TimelineStep",
    "Transport",
    "VoyageError",
    "VoyageLogger",
    "__version__",
    "current_journey",
    "flush_on_sigterm",
    "propagate",
]

# Because of this loop, tracebacks and `help` show `voyage_logger` instead of a private module.
for _name in __all__:
    if hasattr(globals().get(_name), "__module__"):
        globals()[_name].__module__ = __name__
