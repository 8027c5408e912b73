"""The class `VoyageLogger`, the main class of this package."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import WARN
from voyage_logger._base.pickling import Restorable, without_secrets
from voyage_logger._base.rules import a_flag, seconds
from voyage_logger._base.settings import KIB, MIB
from voyage_logger._delivery.pipeline import FLUSH_TIMEOUT, Pipeline
from voyage_logger._entry.encoding import encode
from voyage_logger._entry.factory import EntryFactory
from voyage_logger._entry.redaction import DEFAULT_REDACTED_KEYS, Redaction
from voyage_logger._logger.context import ContextMethods
from voyage_logger._logger.journey import JourneyMethods
from voyage_logger._logger.log_call import CallCounts, LogCalls
from voyage_logger._logger.log_methods import LogMethods
from voyage_logger._logger.options import a_transport, settings_from
from voyage_logger.transports import Transport, endpoint_from, missing

if TYPE_CHECKING:
    import os
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Unpack

    from voyage_logger._base.errors import VoyageError
    from voyage_logger._base.settings import Settings
    from voyage_logger._base.stats import FlushResult, Stats
    from voyage_logger._entry.log_fields import LogFields
    from voyage_logger._logger.log_call import BeforeSend
    from voyage_logger.transports import BaseTransport

_CONSOLE_INTERVAL = 0.1  # In seconds. Printed entries must appear quickly.
_PRINTED = "entries are printed here and sent nowhere"


class VoyageLogger(Restorable, LogMethods, ContextMethods, JourneyMethods):
    """Sends log entries to the Voyage AI Logs API from a background thread, the worker.

    A log call accepts any value, never raises an exception and never waits for the network. The
    constructor opens no connection. The first entry starts the worker, which immediately signs in.
    The worker sends a batch that is full or has waited for `flush_interval`. If a request fails,
    the worker tries again. At the end of the program, the worker sends the queued entries.

    Args:
        app_name: The name of the app in all entries, with 1 to 256 characters.
        environment: The environment in all entries, such as "staging". Default: the variable
            VOYAGE_LOGS_ENVIRONMENT or, if it is not set, "production".
        batch_size: The number of entries in a full batch, which is sent immediately. Larger
            requests are possible if many entries are waiting, and at the end of the program.
        flush_interval: The longest time that a batch waits, in seconds (+-10 %). After a start or
            an interval without entries, the first batch waits for a random part of this time.
        api_key: The API key. Default: the variable VOYAGE_LOGS_KEY.
        api_secret: The API secret. Default: the variable VOYAGE_LOGS_SECRET. If neither
            VOYAGE_LOGS_KEY nor VOYAGE_LOGS_SECRET is set, VOYAGE_API_KEY and VOYAGE_API_SECRET are
            used. Without credentials, entries are printed to stderr and not sent.
        base_url: The base URL. Default: VOYAGE_LOGS_URL if set, else https://api.tracevoyage.com.
        level: The lowest level that is sent, as a name or as a number of the module `logging`.
        max_queue_size: The largest number of queued entries. A full queue sheds low levels first.
        max_queue_bytes: The largest size of the queue in memory, in bytes.
        max_batch_bytes: The largest size of a request before compression, in bytes.
        max_entry_bytes: The largest size of an entry, in bytes. Larger entries are trimmed.
        timeout: A time limit in seconds, or a pair of limits: for connecting and for each read.
        shutdown_timeout: The longest time to send entries at the end of the program, in seconds.
        spool_dir: A folder that stores entries until they are delivered, even if the process is
            killed. Default: VOYAGE_LOGS_SPOOL_DIR if this variable is set, else no folder.
        max_spool_bytes: The largest size of this logger's files in `spool_dir`, in bytes. Entries
            are shed when this limit is reached.
        max_spool_age: The largest age of entries in `spool_dir`, in seconds. Default: no limit.
        redact: Keys whose values are masked at any depth. Case and separators of keys are ignored.
            With None, no keys are masked. The logger's own credentials are always masked.
        before_send: A function that gets each entry as a dict, and returns the dict to send. If the
            function returns None, the entry is left out. If the function fails, the entry is sent.
        sample: The share of entries to send at each level, such as {"debug": 0.1}; or a function
            that gets an entry as a dict, and returns True if the entry must be sent. Critical
            entries and tickets are always sent. Default: all entries are sent.
        ticket_cooldown: The time, in seconds, in which an incident opens only one ticket. The next
            entries of the incident are sent without `add_ticket`. The key of an incident is the
            `event_name`, or else the unformatted message. Default: there is no cooldown.
        collapse: The time, in seconds, in which identical queued entries become one entry, whose
            `meta_data.repeat_count` is the number of log calls. Critical entries, tickets and
            entries in a `spool_dir` are never collapsed. Default: no entries are collapsed.
        on_error: A function that gets a `VoyageError` when delivery fails or entries are lost. The
            worker's thread usually calls this function.
        timestamps: Add the time as `meta_data.logged_at` and a unique id as `meta_data.log_id`.
        capture_method: Set `method_name` to the name of the function that logs.
        compress: Compress request bodies with gzip.
        strict: Raise an error if credentials are missing or an environment variable is wrong.
        transport: The transport that sends the entries. Default: HTTP to the Logs API.

    Raises:
        ConfigurationError: An argument is invalid. With `strict`, this error is also raised for an
            invalid environment variable and for missing credentials.

    Thread-safe. Signal handlers and `__del__` methods can log. A forked child starts with an empty
    queue. The parent process sends the entries that were queued before the fork.

    Copying a logger returns the same logger. A pickle of a logger contains all arguments except
    `api_key`, `api_secret` and `strict`. In the process that made the logger, and in its forked
    children, unpickling returns the same logger. In any other process, unpickling returns an open
    logger with that process's credentials. Within one process, equal pickles give the same logger.

    Source: the vendor docs. The first four arguments are the same as in the vendor's class.
    """

    _left_out = ("strict",)  # Unpickling must not fail if credentials are missing.

    def __init__(
        self,
        app_name: str,
        environment: str | None = None,
        batch_size: int = 100,
        flush_interval: float = 5.0,
        *,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str | None = None,
        level: str | int = "debug",
        max_queue_size: int = 10_000,
        max_queue_bytes: int = 32 * MIB,
        max_batch_bytes: int = 1 * MIB,
        max_entry_bytes: int = 256 * KIB,
        timeout: float | tuple[float, float] = (3.05, 10.0),
        shutdown_timeout: float = 5.0,
        spool_dir: str | os.PathLike[str] | None = None,
        max_spool_bytes: int = 256 * MIB,
        max_spool_age: float | None = None,
        redact: Iterable[str] | None = DEFAULT_REDACTED_KEYS,
        before_send: BeforeSend | None = None,
        sample: Mapping[str, float] | Callable[[dict[str, Any]], bool] | None = None,
        ticket_cooldown: float | None = None,
        collapse: float | None = None,
        on_error: Callable[[VoyageError], object] | None = None,
        timestamps: bool = True,
        capture_method: bool = True,
        compress: bool = False,
        strict: bool = False,
        transport: BaseTransport | None = None,
    ) -> None:
        arguments = without_secrets(locals())
        a_flag("strict", strict)
        a_transport("transport", transport)
        settings = settings_from(**arguments)
        endpoint = endpoint_from(api_key, api_secret, base_url, timeout=timeout, compress=compress)
        self._diagnostics = Diagnostics(settings.on_error)
        self._missing = missing(endpoint) if transport is None and endpoint.problems else None
        if self._missing is not None:
            if strict:
                raise self._missing
            settings, transport = self._for_console(settings)
        elif transport is None:
            transport = Transport(api_key, api_secret, base_url, timeout=timeout, compress=compress)
        self._settings, self._transport = settings, transport
        self._calls, self._pipeline = _parts(settings, transport, self._diagnostics)
        self._log_call = self._calls.log
        self._unbound: VoyageLogger | None = None  # In a bound logger, the original logger.
        self._remember(VoyageLogger.__init__, arguments)

    def __repr__(self) -> str:
        settings = self._settings
        return f"VoyageLogger({settings.app_name!r}, {settings.environment!r}, {self._transport!r})"

    def bind(self, **fields: Unpack[LogFields]) -> VoyageLogger:
        """Return a copy of this logger that adds `fields` to all entries of the copy.

        Both loggers share the queue, worker and counts. If a field is set several times, a log call
        takes precedence over `context` and `journey`, which take precedence over `bind`. The keys
        of `meta_data` are merged. Closing the copy only sends entries: both loggers stay open.

        Args:
            fields: Any fields that the method `debug` accepts.
        """
        child = object.__new__(type(self))
        vars(child).update(vars(self))
        child._calls = self._calls.bind(dict(fields))
        child._log_call = child._calls.log
        child._unbound = self._unbound or self
        return child

    def capture_uncaught(self, loop: AbstractEventLoop | None = None) -> Callable[[], None]:
        """Log uncaught exceptions of the main thread, of other threads and of an event loop.

        The previous hooks (`sys.excepthook`, `threading.excepthook`, the loop's exception handler)
        are called afterwards. Ctrl-C is not logged. Each exception is logged only once, even if
        this method is called again, for example for another event loop. If an exception ends the
        logger's own `with` block, the exception is logged before the logger closes.

        Args:
            loop: The event loop to watch. Default: the loop that is running in this thread. Call
                this method in a coroutine: before `asyncio.run`, no loop is running.

        Returns:
            A function that restores the previous hooks.
        """
        with loading:
            from voyage_logger._logger.uncaught import Uncaught  # noqa: PLC0415 - rarely used

        return Uncaught(self._calls, loop).undo

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Send all entries that were logged before the call, and wait until they are sent.

        Signal handlers can call this method. Other threads can log during the call. In the worker's
        thread, for example in `on_error`, this method returns immediately.

        Args:
            timeout: The longest time to wait, in seconds (default: 30).

        Returns:
            The counts since the previous flush. The result is true if all entries were delivered.

        Raises:
            ConfigurationError: `timeout` is not a number of seconds from 0 to 86,400.
        """
        return self._pipeline.flush(_limit(timeout, FLUSH_TIMEOUT))

    def close(self, timeout: float | None = None) -> FlushResult:
        """Send the queued entries and close the logger. Entries of later log calls are dropped.

        Args:
            timeout: The longest time to wait, in seconds (default: `shutdown_timeout`). By default,
                a logger with a `spool_dir` waits only one second for a server that does not answer.

        Returns:
            The counts since the previous flush. The result is true if all entries were delivered.

        Raises:
            ConfigurationError: `timeout` is not a number of seconds from 0 to 86,400.

        Thread-safe. A second call changes nothing.
        """
        if self._unbound is not None:
            return self._pipeline.flush(_limit(timeout, self._settings.shutdown_timeout))
        return self._pipeline.close(None if timeout is None else _limit(timeout, 0))

    def stats(self) -> Stats:
        """Return the counts of this process so far: see `Stats`. Thread-safe."""
        stats = self._pipeline.stats()  # In a forked child, this call resets `counts`.
        stats = self._calls.counts.add_to(stats)
        if self._missing is not None:  # A health check must notice missing credentials.
            return replace(stats, last_problem=f"{self._missing}: {_PRINTED}")
        return stats

    def verify(self) -> None:
        """Sign in immediately, in this thread, to check the credentials when the app starts.

        Raises:
            ConfigurationError: There are no credentials.
            AuthenticationError: The server refuses the credentials.
            ConnectionFailed: The server sends no answer, or sends an invalid answer.
        """
        if self._missing is not None:
            raise self._missing
        self._pipeline.notice_fork()
        self._transport.sign_in()

    def __enter__(self) -> VoyageLogger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self._unbound is None and self._calls.shared.captures:
            with loading:
                from voyage_logger._logger.uncaught import log_leaving  # noqa: PLC0415 - rarely used

            log_leaving(self._calls, error)
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._unbound is None:
            return super().__reduce__()
        return _bind, (self._unbound, self._calls.bound)

    @property
    def _is_spent(self) -> bool:
        return self._pipeline.is_closed

    def _for_console(self, settings: Settings) -> tuple[Settings, BaseTransport]:
        """Report missing credentials. Return settings and a transport that prints the entries."""
        with loading:
            from voyage_logger.transports import ConsoleTransport  # noqa: PLC0415 - rarely used

        spool = "" if settings.spool_dir is None else ", spool_dir is not used"
        self._diagnostics.say(
            "unconfigured",
            f"{self._missing}: {_PRINTED}{spool}. "
            "Set the variables, or try `voyage-logger dev` for a local server",
        )
        interval = min(settings.flush_interval, _CONSOLE_INTERVAL)
        return replace(settings, flush_interval=interval, spool_dir=None), ConsoleTransport()


def _parts(
    settings: Settings, transport: BaseTransport, diagnostics: Diagnostics
) -> tuple[LogCalls, Pipeline]:
    """Make the two parts of a logger: its `LogCalls` and the pipeline that delivers entries."""
    redaction = Redaction(settings.redact, partial(getattr, transport, "secrets", ()))
    factory = EntryFactory(
        settings.app_name, settings.environment, timestamps=settings.timestamps, mask=redaction.mask
    )
    counts = CallCounts()
    pipeline = Pipeline(
        settings,
        transport,
        diagnostics,
        make_notice=partial(_notice, factory, settings.max_entry_bytes),
        on_fork=partial(_reset, factory, counts),
    )
    calls = LogCalls(settings, pipeline, factory, counts, diagnostics, redaction)
    # The worker stops when the logger, its bound loggers and its journeys have been freed.
    weakref.finalize(calls.shared, pipeline.stop_when_empty).atexit = False
    return calls, pipeline


def pipeline_of(logger: VoyageLogger) -> Pipeline:
    """Return the pipeline of a logger. The pipeline stops when the logger is garbage-collected."""
    return logger._pipeline  # noqa: SLF001 - the public class hides its pipeline


def _notice(factory: EntryFactory, max_bytes: int, fields: dict[str, Any]) -> bytes:
    """Return the bytes of an entry that reports lost entries."""
    return encode(factory.build(WARN, fields.pop("message"), fields), max_bytes)


def _reset(factory: EntryFactory, counts: CallCounts) -> None:
    """Reset the entry ids and the counts in a forked child."""
    factory.reset()
    counts.reset()


def _bind(logger: VoyageLogger, fields: dict[str, Any]) -> VoyageLogger:
    """Return a bound logger. Do not rename this function: pickles contain its name."""
    return logger.bind(**fields)


def _limit(timeout: float | None, default: float) -> float:
    return default if timeout is None else seconds("timeout", timeout, zero=True)
