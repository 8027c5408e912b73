"""The logging client for the Voyage AI Logs API (tracevoyage.com).

How an entry travels, and where to read it (layers point downward only)::

    _logger     VoyageLogger: the methods that an app calls               the facade
    _intake     one log call: builds, filters, encodes, hands over        in the app's thread
    _pipeline   what a logger shares: queue, worker, transport; flush, close, exit, fork
    _process    the exit hook and the fork hook
    _worker     the daemon thread: cuts batches and waits
    _delivery   one batch, until each entry is settled
    _batching   how large the next request may be       _retry    when to try again
    _losses     telling people what was lost            _queue    what waits, and all counts
    spool       a queue on the disk, which a killed process does not lose
    transports  one attempt to deliver a batch -> _outcome
    _entry      an entry of a log call                  _fields   the documented fields
    _encoding   an entry as JSON bytes                  _plain, _trimming  odd and large values
    _settings   arguments, environment, defaults        _diagnostics  lines for people
    _readable   an entry as such a line
    _levels, _errors, _stats, _wire, _loading           the vocabulary

Beside the pipeline stand `devserver`, a strict local server of the API, and `cli`.
"""

from __future__ import annotations

from voyage_logger._errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    DeliveryError,
    EntriesLost,
    VoyageError,
)
from voyage_logger._logger import VoyageLogger
from voyage_logger._outcome import Kind, Outcome
from voyage_logger._stats import FlushResult, Stats
from voyage_logger._version import __version__
from voyage_logger.transports import BaseTransport, Transport

__all__ = [
    "AuthenticationError",
    "BaseTransport",
    "ConfigurationError",
    "ConnectionFailed",
    "DeliveryError",
    "EntriesLost",
    "FlushResult",
    "Kind",
    "Outcome",
    "Stats",
    "Transport",
    "VoyageError",
    "VoyageLogger",
    "__version__",
]
