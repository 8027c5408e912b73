"""The logging client for the Voyage AI Logs API (tracevoyage.com).

How an entry travels, and where to read it (layers point downward only)::

    _logger     VoyageLogger, with _log_methods, _scope_methods, _uncaught        the facade
    _intake     one log call: builds, filters, encodes, hands over        in the app's thread
    _context    fields that a thread or task carries    _callables  what a wrapper has to know
    _journey, _timeline, _carrier, _ticketed  a flow told
    _sampling, _tickets, _flood  which are sent, which open a ticket, which become one
    _pipeline   what a logger shares: queue, worker, transport; flush, close, exit, fork
    _process    the exit hook and the fork hook         _hosts    how pools and servers end
    _sigterm    the same for SIGTERM, where asked for
    _worker     the daemon thread: cuts batches and waits
    _delivery   one batch, until each entry is settled
    _batching   how large the next request may be       _pacing, _retry  when it is due
    _losses     telling people what was lost            _queue    what waits, and all counts
    _records    the encoded entries in it
    spool       a queue on the disk, which a killed process does not lose   _keeping  its hooks
    transports  one attempt to deliver a batch -> _outcome
    _entry      an entry of a log call                  _fields, _log_fields  the documented fields
    _encoding   an entry as JSON bytes                  _plain, _printing, _trimming  odd values
    _redaction  what must not leave                     _exceptions  tracebacks
    _json       the encoders of json and orjson
    _settings   arguments, environment, defaults        _diagnostics  lines for people
    _readable   an entry as such a line                 _pickling  copies and pickles
    _echo       what sending logs is no entry
    _levels, _errors, _stats, _wire, _forking, _clock, _values   the vocabulary

Beside the pipeline stand `devserver`, a strict local server of the API, and `cli`.
"""

from __future__ import annotations

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
    # Few programs want these when they run, and importing them takes 2 ms: so at the first use.
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
