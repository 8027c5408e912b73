"""The facade: what a user calls, and what each call promises."""

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
from voyage_logger._logger.call_counts import CallCounts
from voyage_logger._logger.log_call import LogCalls
from voyage_logger._logger.log_methods import LogMethods
from voyage_logger._logger.options import a_transport, settings_from
from voyage_logger._logger.scope_methods import ScopeMethods
from voyage_logger._logger.uncaught import log_leaving
from voyage_logger.transports import (
    BaseTransport,
    ConsoleTransport,
    Transport,
    endpoint_from,
    missing,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Unpack

    from voyage_logger._base.errors import VoyageError
    from voyage_logger._base.stats import FlushResult, Stats
    from voyage_logger._entry.log_fields import LogFields
from voyage_logger._logger.log_call import BeforeSend

_CONSOLE_INTERVAL = 0.1  # seconds: at a terminal, lines are to come while they matter
_PRINTED = "entries are printed here and sent nowhere"


class VoyageLogger(Restorable, LogMethods, ScopeMethods):
    """Logs to the Voyage AI Logs API from a background thread.

    A log call never raises, never waits for the network or the worker, and takes any value. The
    constructor makes no connection and no thread: the first entry starts the worker, which signs
    in at once, sends by size or interval, and repeats what fails until it is delivered. At exit
    what is queued is sent, within `shutdown_timeout`.

    Args:
        app_name: The name that all entries carry, 1 to 256 characters.
        environment: Where the app runs. Default: the environment variable
            VOYAGE_LOGS_ENVIRONMENT, else "production".
        batch_size: Entries per request; a full batch is sent at once. Larger requests are made
            only while more comes than those carry, when more than a quarter of the queue is
            waiting, or at exit.
        flush_interval: How long a batch that is not full may wait, seconds, +-10 %; the first
            one of a process, and the first after a quiet time, goes at random within it.
        api_key: The API key. Default: VOYAGE_LOGS_KEY.
        api_secret: The API secret. Default: VOYAGE_LOGS_SECRET. The pair VOYAGE_API_KEY and
            VOYAGE_API_SECRET is taken if neither of the two is set. Without credentials entries
            are printed to stderr instead.
        base_url: The API's root. Default: VOYAGE_LOGS_URL, else https://api.tracevoyage.com.
        level: The lowest level that is sent: a name, or a number of the logging module.
        max_queue_size: How many entries may wait; beyond it the lowest level is shed first.
        max_queue_bytes: How much memory they may take, bytes.
        max_batch_bytes: The most bytes of a request, before compression.
        max_entry_bytes: The most bytes of an entry; its longest strings are trimmed to fit.
        timeout: The limit for connecting and for each read, seconds, or a pair of the two.
        shutdown_timeout: How long exit may be held up to send what is queued, seconds.
        spool_dir: A folder in which entries are kept until they are delivered, so that a killed
            process loses none. Default: VOYAGE_LOGS_SPOOL_DIR, else none: they wait in memory.
        max_spool_bytes: The most bytes that this logger keeps there; then as with a full queue.
        max_spool_age: After how many seconds kept entries are given up; None: never.
        redact: Names of keys whose values are masked, at any depth, in any case and with any
            separators; None for none. The logger's own credentials are always masked.
        before_send: A function that is given each entry (a dict) at the log call and returns it,
            another in its place, or None to leave it out. If it raises, the entry is sent.
        sample: The share of entries to send, by level ({"debug": 0.1}), or a function that is given
            an entry (a dict) and returns whether to send it. Critical and ticket entries are
            always sent. Default: all are.
        ticket_cooldown: Seconds in which the same incident (the `event_name`, else the message
            before it is formatted) opens no second ticket: its entries are sent without the flag.
            Default: each one opens a ticket.
        collapse: Seconds in which entries that are identical to one still in the queue are counted
            in its `meta_data.repeat_count`, not sent. Never critical ones or tickets, nor with a
            `spool_dir`, where they are on the disk already. Default: all are sent.
        on_error: A function that is given a `VoyageError` when delivery gets into trouble or
            entries are lost, mostly in the worker's thread.
        timestamps: Add the time and a unique id as `meta_data.logged_at` and `meta_data.log_id`.
        capture_method: Fill `method_name` with the name of the function that logs.
        compress: Send request bodies as gzip.
        strict: Raise for missing or wrong configuration, environment variables included.
        transport: How entries leave, in place of HTTP to the Logs API.

    Raises:
        ConfigurationError: An argument breaks its rule; with `strict`, also an environment
            variable or missing credentials.

    Thread-safe, and safe to use in signal handlers and `__del__`. A forked child starts with an
    empty queue; the parent sends its own entries.

    A copy is the logger itself. A pickle carries the arguments but `api_key`, `api_secret` and
    `strict`: in the process that made the logger, and in its forked children, it gives the logger
    itself; elsewhere one that is open, with the credentials of that process's environment, and the
    same one for each pickle of this logger or of an equal one.

    Source: vendor docs, the reference class of the same name, which takes the first four.
    """

    _left_out = ("strict",)  # what has no credentials must not raise when it is unpickled

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
            is_spool_unused = settings.spool_dir is not None
            settings = replace(
                settings,
                flush_interval=min(settings.flush_interval, _CONSOLE_INTERVAL),
                spool_dir=None,  # what is printed need not be kept
            )
            self._announce_console(is_spool_unused=is_spool_unused)
            transport = ConsoleTransport()
        elif transport is None:
            transport = Transport(api_key, api_secret, base_url, timeout=timeout, compress=compress)
        self._settings = settings
        self._transport = transport
        redaction = Redaction(settings.redact, partial(getattr, transport, "secrets", ()))
        factory = EntryFactory(
            settings.app_name,
            settings.environment,
            timestamps=settings.timestamps,
            mask=redaction.mask,
        )
        counts = CallCounts()
        self._pipeline = Pipeline(
            settings,
            transport,
            self._diagnostics,
            make_notice=partial(_notice, factory, settings.max_entry_bytes),
            on_fork=partial(_start_run, factory, counts),
        )
        self._calls = LogCalls(
            settings, self._pipeline, factory, counts, self._diagnostics, redaction
        )
        self._take = self._calls.take
        self._unbound: VoyageLogger | None = None  # what this one was bound from
        # Loggers that come and go must not leave their threads behind. The intakes of bound loggers
        # and of journeys are copies that share this object.
        weakref.finalize(self._calls.users, self._pipeline.stop_when_empty).atexit = False
        self._remember(VoyageLogger.__init__, arguments)

    def __repr__(self) -> str:
        settings = self._settings
        return f"VoyageLogger({settings.app_name!r}, {settings.environment!r}, {self._transport!r})"

    def bind(self, **fields: Unpack[LogFields]) -> VoyageLogger:
        """A logger like this one whose entries carry more fields.

        It shares queue, worker and counts with this one, and costs no thread. A call's own fields
        win over the ambient ones (`context`, `journey`), those over bound ones; `meta_data` is
        merged by key. To close a bound logger sends what is queued and leaves the other open.

        Args:
            fields: As for `debug`.
        """
        child = object.__new__(type(self))
        vars(child).update(vars(self))
        child._calls = self._calls.bind(dict(fields))
        child._take = child._calls.take
        child._unbound = self._unbound or self
        return child

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Has everything sent that was logged before the call, and waits until it is settled.

        Works from any thread, from signal handlers and while others go on logging. From
        `on_error` and other code in the worker's thread it returns at once.

        Args:
            timeout: The most seconds to wait; default: 30.

        Returns:
            What became of the entries since the previous flush; true if all were delivered.

        Raises:
            ConfigurationError: `timeout` is no number of seconds from 0 to 86,400.
        """
        return self._pipeline.flush(_limit(timeout, FLUSH_TIMEOUT))

    def close(self, timeout: float | None = None) -> FlushResult:
        """Sends what is queued and takes in nothing more; later entries count as dropped.

        Args:
            timeout: The most seconds to wait; default: `shutdown_timeout`. With a `spool_dir` the
                default ends after a second without an answer, for what is left stays on the disk.

        Returns:
            What became of the entries since the previous flush; true if all were delivered.

        Raises:
            ConfigurationError: `timeout` is no number of seconds from 0 to 86,400.

        Thread-safe; a second call does no harm.
        """
        if self._unbound is not None:
            return self._pipeline.flush(_limit(timeout, self._settings.shutdown_timeout))
        if timeout is not None:
            timeout = seconds("timeout", timeout, zero=True)
        return self._pipeline.close(timeout)

    def stats(self) -> Stats:
        """What became of all entries so far, in this process. Thread-safe."""
        counts = self._calls.counts
        stats = self._pipeline.stats()  # first: in a forked child, that begins all counts anew
        stats = replace(
            stats,
            filtered=counts.filtered,
            echoed=counts.echoed,
            collapsed=counts.collapsed,
        )
        if self._missing is not None:  # what a health check reads must not look as if all were well
            return replace(stats, last_problem=f"{self._missing}: {_PRINTED}")
        return stats

    def verify(self) -> None:
        """Signs in now, in this thread: for those who want to fail fast.

        Raises:
            ConfigurationError: There are no credentials.
            AuthenticationError: The server refuses them.
            ConnectionFailed: There is no usable answer.
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
        if error is not None and self._unbound is None:
            log_leaving(self._calls, error)
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._unbound is None:
            return super().__reduce__()
        return _bind, (self._unbound, self._calls.bound)

    @property
    def _is_spent(self) -> bool:
        return self._pipeline.is_closed

    def _announce_console(self, *, is_spool_unused: bool) -> None:
        spool = ", spool_dir is not used" if is_spool_unused else ""
        self._diagnostics.say(
            "unconfigured",
            f"{self._missing}: {_PRINTED}{spool}. "
            "Set the variables, or try `voyage-logger dev` for a local server",
        )


def pipeline_of(logger: VoyageLogger) -> Pipeline:
    """Return the pipeline of a logger. The pipeline stops when the logger is garbage-collected."""
    return logger._pipeline  # noqa: SLF001 - the public class has no name for its pipeline


def _notice(factory: EntryFactory, max_bytes: int, fields: dict[str, Any]) -> bytes:
    """The bytes of an entry about losses."""
    return encode(factory.build(WARN, fields.pop("message"), fields), max_bytes)


def _start_run(factory: EntryFactory, counts: CallCounts) -> None:
    """Gives a forked child ids and counts of its own."""
    factory.reset()
    counts.reset()


def _bind(logger: VoyageLogger, fields: dict[str, Any]) -> VoyageLogger:
    """A bound logger that was pickled."""
    return logger.bind(**fields)


def _limit(timeout: float | None, default: float) -> float:
    return default if timeout is None else seconds("timeout", timeout, zero=True)
