"""The class `VoyageLogger`, which an app uses."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import WARN
from voyage_logger._base.pickling import Restorable
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

_CONSOLE_INTERVAL = 0.1  # seconds: a person at a terminal waits for the lines
_PRINTED = "entries are printed here and sent nowhere"


class VoyageLogger(Restorable, LogMethods, ContextMethods, JourneyMethods):
    """Sends log entries to the Voyage AI Logs API from a background thread.

    A log call never raises, never waits for the network or the worker, and takes any value. The
    constructor opens no connection and starts no thread. The first entry starts the worker, which
    signs in at once, sends by size or interval, and sends again after failures. At exit, queued
    entries are sent, within `shutdown_timeout`.

    Args:
        app_name: The name that all entries carry, 1 to 256 characters.
        environment: The environment that all entries carry. Default: the environment variable
            VOYAGE_LOGS_ENVIRONMENT, else "production".
        batch_size: Entries per request; a full batch is sent at once. Requests are larger only if
            entries come faster than that, if a quarter of the queue is full, or at exit.
        flush_interval: Seconds that a batch which is not full may wait, +-10 %. The first batch of
            a process, or after a quiet time, is sent at a random moment within the interval.
        api_key: The API key. Default: VOYAGE_LOGS_KEY.
        api_secret: The API secret. Default: VOYAGE_LOGS_SECRET. If neither variable is set, the
            pair VOYAGE_API_KEY and VOYAGE_API_SECRET is used. Without credentials, entries are
            printed to stderr and not sent.
        base_url: The API's root. Default: VOYAGE_LOGS_URL, else https://api.tracevoyage.com.
        level: The lowest level that is sent: a name, or a number of the module `logging`.
        max_queue_size: The most entries in the queue. A full queue sheds its lowest level first.
        max_queue_bytes: The most memory for the queue, bytes.
        max_batch_bytes: The most bytes of a request, before compression.
        max_entry_bytes: The most bytes of an entry; its longest strings are trimmed to fit.
        timeout: The limit for connecting and for each read, seconds, or a pair of the two.
        shutdown_timeout: The most seconds that the exit waits for queued entries to be sent.
        spool_dir: A folder that holds entries until they are delivered, so that a killed process
            loses none. Default: VOYAGE_LOGS_SPOOL_DIR, else entries are queued in memory.
        max_spool_bytes: The most bytes of this logger in that folder; then it sheds as above.
        max_spool_age: Seconds after which entries in the folder are dropped; None: never.
        redact: Names of keys whose values are masked, at any depth, in any case and with any
            separators; None for none. The logger's own credentials are always masked.
        before_send: A function that gets each entry (a dict) at the log call and returns it,
            another dict, or None to leave the entry out. After an error, the entry is sent.
        sample: The share of entries to send, by level ({"debug": 0.1}), or a function that gets an
            entry (a dict) and returns whether to send it. Critical and ticket entries are always
            sent. Default: all entries are sent.
        ticket_cooldown: Seconds in which the same incident (the `event_name`, else the message
            before it is formatted) opens no second ticket: its entries are sent without the flag.
            Default: each entry with the flag opens a ticket.
        collapse: Seconds in which entries that are identical to one in the queue are not sent but
            counted in its `meta_data.repeat_count`. Critical entries, tickets and entries in a
            `spool_dir` are never collapsed. Default: all entries are sent.
        on_error: A function that gets a `VoyageError` when delivery fails or entries are lost,
            mostly in the worker's thread.
        timestamps: Add the time and a unique id as `meta_data.logged_at` and `meta_data.log_id`.
        capture_method: Fill `method_name` with the name of the function that logs.
        compress: Send request bodies as gzip.
        strict: Raise for missing or wrong configuration, environment variables included.
        transport: The transport of the entries; default: HTTP to the Logs API.

    Raises:
        ConfigurationError: An argument breaks its rule; with `strict`, also an environment
            variable or missing credentials.

    Thread-safe. Signal handlers and `__del__` may log. A forked child starts with an empty queue;
    the parent sends its own entries.

    A copy is the logger itself. A pickle carries all arguments except `api_key`, `api_secret` and
    `strict`. In the process that made the logger, and in its forked children, a pickle becomes the
    logger itself. Elsewhere it becomes an open logger with the credentials of that environment.
    All pickles of this logger, or of an equal one, become the same logger there.

    Source: vendor docs, the reference class of the same name, which takes the first four arguments.
    """

    _left_out = ("strict",)  # Unpickling must not raise where credentials are missing.

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
        arguments = dict(locals())
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
        self._unbound: VoyageLogger | None = None  # the logger that this one was bound from
        self._remember(VoyageLogger.__init__, arguments)

    def __repr__(self) -> str:
        settings = self._settings
        return f"VoyageLogger({settings.app_name!r}, {settings.environment!r}, {self._transport!r})"

    def bind(self, **fields: Unpack[LogFields]) -> VoyageLogger:
        """Return a logger like this one whose entries carry more fields.

        Both loggers share queue, worker and counts. A call's own fields take precedence over the
        ambient ones (`context`, `journey`), and ambient fields over bound ones. `meta_data` is
        merged by key. Closing a bound logger sends queued entries and leaves this one open.

        Args:
            fields: The fields, as for `debug`.
        """
        child = object.__new__(type(self))
        vars(child).update(vars(self))
        child._calls = self._calls.bind(dict(fields))
        child._log_call = child._calls.log
        child._unbound = self._unbound or self
        return child

    def capture_uncaught(self, loop: AbstractEventLoop | None = None) -> Callable[[], None]:
        """Log uncaught exceptions: of the program, of threads and of an event loop.

        The previous hooks (`sys.excepthook`, `threading.excepthook`, the loop's exception handler)
        are called afterwards. Ctrl-C is not logged. Each exception is logged once, even if this
        method is called several times, for example for another loop. An exception that ends the
        logger's own `with` block is logged before the logger closes.

        Args:
            loop: The event loop to watch; default: the loop that runs in this thread, if any. No
                loop runs before `asyncio.run`, so call this method inside.

        Returns:
            A function that restores the previous hooks.
        """
        from voyage_logger._logger.uncaught import Uncaught  # noqa: PLC0415 - few apps use it

        return Uncaught(self._calls, loop).undo

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Send all entries that were logged before the call, and wait until they are sent.

        Signal handlers may call this method, and other threads may log meanwhile. In the worker's
        thread, such as in `on_error`, this method returns at once.

        Args:
            timeout: The most seconds to wait; default: 30.

        Returns:
            The counts of entries since the previous flush; true if all were delivered.

        Raises:
            ConfigurationError: `timeout` is no number of seconds from 0 to 86,400.
        """
        return self._pipeline.flush(_limit(timeout, FLUSH_TIMEOUT))

    def close(self, timeout: float | None = None) -> FlushResult:
        """Send queued entries and close the logger. Later entries count as dropped.

        Args:
            timeout: The most seconds to wait; default: `shutdown_timeout`. With a `spool_dir`, the
                default wait ends after a second without an answer; entries stay on the disk.

        Returns:
            The counts of entries since the previous flush; true if all were delivered.

        Raises:
            ConfigurationError: `timeout` is no number of seconds from 0 to 86,400.

        Thread-safe. A second call does no harm.
        """
        if self._unbound is not None:
            return self._pipeline.flush(_limit(timeout, self._settings.shutdown_timeout))
        return self._pipeline.close(None if timeout is None else _limit(timeout, 0))

    def stats(self) -> Stats:
        """Return the counts of all entries so far, in this process. Thread-safe."""
        stats = self._pipeline.stats()  # In a forked child, this call resets the call counts.
        stats = self._calls.counts.add_to(stats)
        if self._missing is not None:  # A health check must see the problem.
            return replace(stats, last_problem=f"{self._missing}: {_PRINTED}")
        return stats

    def verify(self) -> None:
        """Sign in now, in this thread, so that wrong credentials fail at the start.

        Raises:
            ConfigurationError: There are no credentials.
            AuthenticationError: The server refuses the credentials.
            ConnectionFailed: The server gives no usable answer.
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
            from voyage_logger._logger.uncaught import log_leaving  # noqa: PLC0415 - few apps use it

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
        """Report that credentials are missing; return what is needed to print entries."""
        from voyage_logger.transports import ConsoleTransport  # noqa: PLC0415 - few apps need it

        spool = "" if settings.spool_dir is None else ", spool_dir is not used"
        self._diagnostics.say(
            "unconfigured",
            f"{self._missing}: {_PRINTED}{spool}. "
            "Set the variables, or try `voyage-logger dev` for a local server",
        )
        interval = min(settings.flush_interval, _CONSOLE_INTERVAL)
        settings = replace(settings, flush_interval=interval, spool_dir=None)
        return settings, ConsoleTransport()


def _parts(
    settings: Settings, transport: BaseTransport, diagnostics: Diagnostics
) -> tuple[LogCalls, Pipeline]:
    """Make the parts of a logger: its log calls, and the pipeline that delivers their entries."""
    redaction = Redaction(settings.redact, partial(getattr, transport, "secrets", ()))
    factory = EntryFactory(
        settings.app_name,
        settings.environment,
        timestamps=settings.timestamps,
        mask=redaction.mask,
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
    # The thread stops after the logger, its bound loggers and its journeys are freed.
    weakref.finalize(calls.shared, pipeline.stop_when_empty).atexit = False
    return calls, pipeline


def pipeline_of(logger: VoyageLogger) -> Pipeline:
    """Return the pipeline of a logger. The pipeline stops when the logger is garbage-collected."""
    return logger._pipeline  # noqa: SLF001 - the public class has no name for its pipeline


def _notice(factory: EntryFactory, max_bytes: int, fields: dict[str, Any]) -> bytes:
    """Return the bytes of an entry about losses."""
    return encode(factory.build(WARN, fields.pop("message"), fields), max_bytes)


def _reset(factory: EntryFactory, counts: CallCounts) -> None:
    """Start new ids and counts in a forked child."""
    factory.reset()
    counts.reset()


def _bind(logger: VoyageLogger, fields: dict[str, Any]) -> VoyageLogger:
    """Return a bound logger. Pickles of bound loggers name this function."""
    return logger.bind(**fields)


def _limit(timeout: float | None, default: float) -> float:
    return default if timeout is None else seconds("timeout", timeout, zero=True)
