"""The logging client for the Voyage AI Logs API (tracevoyage.com).

    from voyage_logger import VoyageLogger
    VoyageLogger("my-app").info("User login successful", app_user_id="user_123")

Each folder is called a room. A room imports only rooms that stand higher in this list:

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
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.pickling import restore as _restore
from voyage_logger._base.stats import FlushResult, Stats
from voyage_logger._entry.redaction import DEFAULT_REDACTED_KEYS
from voyage_logger._logger.journey import Journey, current_journey
from voyage_logger._logger.logger import VoyageLogger
from voyage_logger._version import __version__
from voyage_logger.transports import BaseTransport, Kind, Outcome, Transport

if TYPE_CHECKING:
    from voyage_logger._delivery.sigterm import flush_on_sigterm
    from voyage_logger._entry.log_fields import LogFields, TimelineStep
    from voyage_logger._logger.propagation import propagate
else:
    # Few programs use the names in `_LATE`. A program that uses none of these names starts faster.
    _LATE = ("LogFields", "TimelineStep", "flush_on_sigterm", "propagate")

    def __getattr__(name: str) -> object:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with loading:
            from voyage_logger._delivery.sigterm import flush_on_sigterm  # noqa: PLC0415
            from voyage_logger._entry.log_fields import LogFields, TimelineStep  # noqa: PLC0415
            from voyage_logger._logger.propagation import propagate  # noqa: PLC0415
        for found in (LogFields, TimelineStep, flush_on_sigterm, propagate):
            found.__module__ = __name__
            globals()[found.__name__] = found
        return globals()[name]

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

# This loop makes tracebacks and `help` show `voyage_logger` instead of a private module.
for _name in __all__:
    if hasattr(globals().get(_name), "__module__"):
        globals()[_name].__module__ = __name__
# Pickles name `voyage_logger._restore`. Python then imports the whole package first: to import a
# part of the package first could deadlock with another thread that imports the package.
_restore.__module__, _restore.__qualname__ = __name__, "_restore"
