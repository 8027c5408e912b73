"""Handles one log call in the app's thread: makes an entry and queues the entry as bytes.

What must stay true: `LogCalls.log` never raises an exception and never waits, even if an argument
is broken or the user's function fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from sys import _getframe as frame_above  # the module `inspect` is slow
from typing import TYPE_CHECKING, Any

from voyage_logger._base.feedback import apart_threads, is_echo
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import CRITICAL, LEVELS, TICKET_LANE
from voyage_logger._base.stats import BEFORE_SEND
from voyage_logger._base.wire import JOURNEY_FAILED
from voyage_logger._entry.encoding import encode, encode_call
from voyage_logger._entry.message import template_of, with_args
from voyage_logger._entry.safe_text import is_defect
from voyage_logger._logger.context import AMBIENT, merged

if TYPE_CHECKING:
    from types import FrameType

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger._base.stats import Stats
    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._entry.factory import EntryFactory
    from voyage_logger._entry.redaction import Redaction
    from voyage_logger._entry.timeline import Timeline
    from voyage_logger._logger.collapse import Collapser
    from voyage_logger._logger.context import Layer
    from voyage_logger._logger.ticket_cooldown import TicketCooldown

BeforeSend = Callable[[dict[str, Any]], "dict[str, Any] | None"]
Log = Callable[[int, object, "tuple[object, ...]", Any], None]  # see `LogCalls.log`

_get_ambient = AMBIENT.get
_MAX_NESTED = 3  # If `before_send` logs, `before_send` is called again, at most 3 levels deep.


class CallCounts:
    """Counts the log calls of this process that did not create an entry: see `Stats`."""

    __slots__ = ("collapsed", "echoed", "filtered")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Set all counts to zero. A forked child calls this method."""
        self.filtered = self.echoed = self.collapsed = 0

    def add_to(self, stats: Stats) -> Stats:
        """Return a copy of the pipeline's `stats` that also contains the counts of log calls."""
        return replace(stats, filtered=self.filtered, echoed=self.echoed, collapsed=self.collapsed)


class Shared:
    """The state that a logger shares with its bound loggers and journeys.

    The pipeline stops when the logger's instance of this class is freed. So the pipeline must not
    keep a reference to this instance.
    """

    __slots__ = ("__weakref__", "captures", "left_with")

    def __init__(self) -> None:
        self.captures = 0  # How many `capture_uncaught` calls are in effect now.
        self.left_with = 0  # The id of the logged exception that ended the `with` block.


class LogCalls:
    """Turns log calls into entries, and submits the entries to a pipeline.

    Thread-safe. A signal handler or a `__del__` method can log during another log call.
    """

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        factory: EntryFactory,
        counts: CallCounts,
        diagnostics: Diagnostics,
        redaction: Redaction,
    ) -> None:
        self._pipeline = pipeline
        self._factory = factory
        self._diagnostics = diagnostics
        self.counts = counts
        self.redaction = redaction
        # The bound fields are added to all entries. Copies of this instance share this dict, so
        # the dict is never changed.
        self.bound: dict[str, Any] = {}
        self.shared = Shared()
        self.captures_method = settings.capture_method
        self._level = settings.level
        self._entry_limit = settings.max_entry_bytes
        self._sample = settings.sample
        # If `sample` contains rates, it is faster to sample before the entry is built.
        self._samples_fields = self._sample is not None and not self._sample.needs_entry
        self._before_send = settings.before_send
        self._nesting = threading.local()  # `depth` counts nested calls of `before_send`.
        self._cooldown, self._collapser = _rare_options(settings, pipeline, self._encode)
        late_sample = None if self._samples_fields else self._sample
        features = (late_sample, self._before_send, self._cooldown, self._collapser)
        self._is_direct = all(feature is None for feature in features)

    def bind(self, fields: dict[str, Any]) -> LogCalls:
        """Return a copy that adds `fields` to all its entries. The copy uses the same pipeline."""
        child = object.__new__(type(self))
        vars(child).update(vars(self))  # In a late `__del__`, the module `copy` does not work.
        child.bound = merged(self.bound, fields)
        return child

    def log(  # noqa: C901 - each branch is an optional feature
        self,
        rank: int,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, Any],
        frame: FrameType | None = None,
    ) -> None:
        """Handle one log call. Public log methods must call this method directly."""
        lane = rank
        payload = b""
        try:
            if rank < self._level:
                return
            if apart_threads and is_echo():
                self.counts.echoed += 1
                return
            if args:
                message, fields = fill_in(message, args, fields)
            layer, timeline = _get_ambient(), None
            if layer is not None or self.bound:
                fields, timeline = self._surrounded(fields, layer)
            if self._samples_fields and self._is_left_out(rank, fields):
                return
            if frame is None and self.captures_method:
                try:
                    frame = frame_above(2)
                except Exception:  # noqa: BLE001 - see `caller` in the module `context`
                    frame = None
            if not self._is_direct:
                self._log_indirectly(rank, message, fields, frame, timeline)
                return
            text, said = self._factory.fill(message, fields, frame)
            if "add_ticket" in fields and fields["add_ticket"] is True:
                lane = TICKET_LANE
            factory, limit = self._factory, self._entry_limit
            payload = encode_call(
                text, factory.common[rank], fields, said, limit, self.redaction, timeline
            ) or encode(factory.entry(rank, text, fields), limit, self.redaction, timeline)
            self._pipeline.submit(payload, lane)
        except BaseException as error:
            # Do not call `is_defect` for an `Exception`: the stack might be too full for a call.
            if not isinstance(error, Exception) and not is_defect(error):
                raise
            try:
                self._log_failure(rank, lane, message, payload, error)
            except Exception:  # noqa: BLE001 - the stack might be full
                return

    def _log_indirectly(
        self,
        rank: int,
        message: object,
        fields: dict[str, Any],
        frame: FrameType | None,
        timeline: Timeline | None,
    ) -> None:
        """Log an entry to which optional features apply, such as `sample` or `before_send`."""
        given = fields.get("meta_data")
        text, _ = self._factory.fill(message, fields, frame)
        stamps = {} if self._collapser is None else self._collapser.stamps_in(fields, given)
        entry = self._factory.entry(rank, text, fields)
        if timeline is not None:
            entry["event_timeline"] = timeline.snapshot()
        examined = self._examined(entry, rank, message)
        if examined is not None:
            self._submit(examined, rank, message, stamps)

    def _submit(
        self, entry: dict[str, Any], rank: int, message: object, stamps: dict[str, Any]
    ) -> None:
        # The function `before_send` might have changed the level of the entry.
        lane = rank if self._before_send is None else LEVELS.index(entry["level"])
        if entry.get("add_ticket") is True:
            lane = TICKET_LANE
        payload = b""
        try:
            if self._collapser is not None and lane < CRITICAL:
                if self._collapser.submit(entry, lane, stamps):
                    self.counts.collapsed += 1
                return
            payload = self._encode(entry)
            self._pipeline.submit(payload, lane)
        except BaseException as error:
            if not is_defect(error):
                raise
            self._log_failure(rank, lane, message, payload, error)

    def _log_failure(
        self, rank: int, lane: int, message: object, payload: bytes, error: BaseException
    ) -> None:
        """If the entry is not encoded yet, submit only its message; else count it as dropped."""
        if payload:
            self._pipeline.drop_new(lane, type(error).__name__)
        else:
            bare = self._factory.bare(rank, template_of(message), error, self.redaction)
            self._pipeline.submit(bare, lane)

    def _encode(self, entry: dict[str, Any]) -> bytes:
        return encode(entry, self._entry_limit, self.redaction)

    def _surrounded(
        self, fields: dict[str, Any], layer: Layer | None
    ) -> tuple[dict[str, Any], Timeline | None]:
        """Return the merged fields of the call, context and `bind`, and the journey's timeline."""
        if layer is None:
            return merged(self.bound, fields), None
        fields = merged(merged(self.bound, layer.fields) if self.bound else layer.fields, fields)
        return fields, None if "event_timeline" in fields else layer.timeline

    def _examined(self, entry: dict[str, Any], rank: int, message: object) -> dict[str, Any] | None:
        """Apply the options that can change the entry. Return None if the entry is left out."""
        if "tags" in entry:  # The user's function must not change the caller's list.
            entry["tags"] = [*entry["tags"]]
        if not self._samples_fields and self._is_left_out(rank, entry):
            return None
        if self._before_send is not None:
            filtered = self._filtered(entry, rank, self._before_send)
            if filtered is None:
                return None
            entry = self._factory.complete(filtered)
        if self._cooldown is not None and entry.get("add_ticket") is True:
            entry = self._cooldown.apply(entry, _incident(entry, message))
        return entry

    def _is_left_out(self, rank: int, entry: dict[str, Any]) -> bool:
        """If the option `sample` leaves the entry out, count the log call and return True."""
        try:
            is_left_out = self._sample is not None and self._sample.leaves_out(rank, entry)
        except BaseException as error:  # If the user's function fails, the entry is still sent.
            if not is_defect(error):
                raise
            name = type(error).__name__
            self._diagnostics.say("sample", f"sample raised {name}: the entry is sent")
            return False
        self.counts.filtered += is_left_out
        return is_left_out

    def _filtered(
        self, entry: dict[str, Any], lane: int, before_send: BeforeSend
    ) -> dict[str, Any] | None:
        """Apply `before_send`, also to entries that `before_send` itself logs."""
        depth = getattr(self._nesting, "depth", 0)
        if depth >= _MAX_NESTED:
            self._pipeline.drop_new(lane, BEFORE_SEND)
            return None
        self._nesting.depth = depth + 1
        try:
            filtered = before_send(entry)
        except BaseException as error:  # If the user's function fails, the entry is still sent.
            if not is_defect(error):
                raise
            return self._unfiltered(entry, f"raised {type(error).__name__}")
        finally:
            self._nesting.depth = depth
        if filtered is None:
            self.counts.filtered += 1
        elif not isinstance(filtered, dict):
            return self._unfiltered(
                entry, f"returned {type(filtered).__name__}, not a dict or None"
            )
        return filtered

    def _unfiltered(self, entry: dict[str, Any], problem: str) -> dict[str, Any]:
        self._diagnostics.say("before_send", f"before_send {problem}: the entry is sent as it was")
        return entry


def fill_in(
    message: object, args: tuple[object, ...], fields: dict[str, Any]
) -> tuple[object, dict[str, Any]]:
    """Return the message with its arguments, and the fields, of which keywords take precedence."""
    message, given = with_args(message, args)
    return message, fields if given is None else merged(given, fields)


def _rare_options(
    settings: Settings, pipeline: Pipeline, encode: Callable[[dict[str, Any]], bytes]
) -> tuple[TicketCooldown | None, Collapser | None]:
    """Return the objects for the options `ticket_cooldown` and `collapse`, or None if not set."""
    cooldown, collapser = None, None
    with loading:
        if settings.ticket_cooldown is not None:
            from voyage_logger._logger import ticket_cooldown  # noqa: PLC0415 - rarely used

            cooldown = ticket_cooldown.TicketCooldown(settings.ticket_cooldown)
        if settings.collapse is not None:
            from voyage_logger._logger import collapse  # noqa: PLC0415 - rarely used

            collapser = collapse.Collapser(settings.collapse, pipeline, encode)
    return cooldown, collapser


def _incident(entry: dict[str, Any], message: object) -> str:
    """Return an incident's key: the event name or, if there is none, the unformatted message."""
    event = entry.get("event_name")
    if event == JOURNEY_FAILED:  # All failed journeys have this event name, so add the flow's name.
        return f"{event} {entry.get('event_flow_name')}"
    template = template_of(message)
    return str(event or (template if type(template) is str else entry["message"]))
