"""The path of one log call: from its arguments to bytes in the queue, all in the app's thread.

What must stay true: `take` never raises and never waits, whatever it is given and whatever the
user's functions do.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from voyage_logger._base.event_names import JOURNEY_FAILED
from voyage_logger._base.feedback import apart_threads, is_echo
from voyage_logger._base.levels import CRITICAL, LEVELS, TICKET_LANE
from voyage_logger._entry.encoding import encode, encode_call
from voyage_logger._entry.safe_text import is_defect
from voyage_logger._logger.collapse import FloodControl, stamps_in
from voyage_logger._logger.context import AMBIENT, over
from voyage_logger._logger.sampling import Rates
from voyage_logger._logger.ticket_cooldown import TicketCooldown

if TYPE_CHECKING:
    from types import FrameType

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Sample, Settings
    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._entry.factory import EntryFactory
    from voyage_logger._entry.redaction import Redaction
    from voyage_logger._entry.timeline import Timeline
    from voyage_logger._logger.call_counts import CallCounts
    from voyage_logger._logger.context import Layer

BeforeSend = Callable[[dict[str, Any]], "dict[str, Any] | None"]
Take = Callable[[int, object, "tuple[object, ...]", Any], None]  # see `Intake.take`

_get_ambient = AMBIENT.get
_MAX_NESTED = 3  # how deep a `before_send` may log itself


class _Users:
    """What all intakes of a pipeline hold: once it is gone, nobody can log there any more.

    Attributes:
        captures: How many times `capture_uncaught` is in force.
        left_with: The id of the exception that was logged as the logger's `with` block ended.
    """

    __slots__ = ("__weakref__", "captures", "left_with")

    def __init__(self) -> None:
        self.captures = 0
        self.left_with = 0


class LogCalls:
    """Turns log calls into entries of a pipeline.

    Args:
        settings: The logger's settings.
        pipeline: Where the encoded entries go.
        factory: Makes the entries.
        counts: Where the calls that make no entry are counted.
        diagnostics: Where a user's broken function is reported.
        redaction: What is to be masked.

    Attributes:
        bound: The fields that all entries carry.
        counts: The log calls that have sent no entry.
        captures_method: True if `method_name` is filled in.
        redaction: What is masked.
        users: What this intake and all copies of it hold: once it is gone, nobody logs here.

    Thread-safe, and safe to re-enter from signal handlers and `__del__`.
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
        self.redaction = redaction
        self.bound: dict[str, Any] = {}  # replaced, never changed: copies share it
        self.users = _Users()
        self._diagnostics = diagnostics
        self._factory = factory
        self.counts = counts
        self._level = settings.level
        sample, cooldown = settings.sample, settings.ticket_cooldown
        self._rates = sample if isinstance(sample, Rates) else None
        self._sample = None if isinstance(sample, Rates) else cast("Sample | None", sample)
        self._before_send = settings.before_send
        self._cooldown = None if cooldown is None else TicketCooldown(cooldown)
        self._is_examining = any(
            feature is not None for feature in (self._sample, self._before_send, cooldown)
        )
        self._inside = threading.local()  # how deep a thread is inside `before_send`
        self.captures_method = settings.capture_method
        self._entry_limit = settings.max_entry_bytes
        self._flood: FloodControl | None = None
        if settings.collapse is not None:
            self._flood = FloodControl(settings.collapse, pipeline, self._encode, counts)
        # Whether no user's function and no feature is to see the entry before it is bytes.
        self._is_direct = not self._is_examining and self._flood is None

    def _encode(self, entry: dict[str, Any]) -> bytes:
        return encode(entry, self._entry_limit, self.redaction)

    def mask(self, text: str) -> str:
        """The text without the logger's own secrets: for one that is to be cut."""
        return self.redaction.mask(text)

    def bind(self, fields: dict[str, Any]) -> LogCalls:
        """An intake like this one, of the same pipeline, whose entries carry more fields."""
        child = copy.copy(self)
        child.bound = over(self.bound, fields)
        return child

    def take(  # noqa: C901, PLR0911, PLR0912 - one path; each branch is a feature that may be off
        self,
        rank: int,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, Any],
        frame: FrameType | None = None,
    ) -> None:
        """Takes in one log call; to be called by the method that the app has called.

        Args:
            rank: The level's rank.
            message: The message, or `MISSING` if it is among the fields.
            args: What to format the message with.
            fields: The call's keywords; changed in place.
            frame: The frame whose name is the `method_name`, where it is not the one that has
                called the caller.
        """
        lane = rank
        payload = b""
        try:
            if rank < self._level:
                return
            if apart_threads and is_echo():
                self.counts.echoed += 1
                return
            layer, timeline = _get_ambient(), None
            if layer is not None or self.bound:
                fields, timeline = self._surrounded(fields, layer)
            if self._rates is not None and self._rates.leaves_out(rank, fields):
                self.counts.filtered += 1
                return
            if not self.captures_method:
                frame = None
            elif frame is None:
                frame = sys._getframe(2)  # noqa: SLF001 - the only quick way
            factory, limit, redaction = self._factory, self._entry_limit, self.redaction
            if self._is_direct:
                text, said = factory.fill(message, args, fields, frame)
                if "add_ticket" in fields and fields["add_ticket"] is True:
                    lane = TICKET_LANE
                payload = encode_call(
                    text, factory.common[rank], fields, said, limit, redaction, timeline
                ) or encode(factory.entry(rank, text, fields), limit, redaction, timeline)
                self._pipeline.submit(payload, lane)
                return
            given = fields.get("meta_data")
            text, _ = factory.fill(message, args, fields, frame)
            stamps = {} if self._flood is None else stamps_in(fields, given)
            entry = factory.entry(rank, text, fields)
            if timeline is not None:
                entry["event_timeline"] = timeline.snapshot()
            if self._is_examining:
                examined = self._examined(entry, rank, message)
                if examined is None:
                    return
                entry = examined
                if self._before_send is not None:  # it may have changed the level
                    lane = LEVELS.index(entry["level"])
            if entry.get("add_ticket") is True:
                lane = TICKET_LANE
            if self._flood is not None and lane < CRITICAL:
                self._flood.submit(entry, lane, stamps)
                return
            payload = self._encode(entry)
            self._pipeline.submit(payload, lane)
        except BaseException as error:  # the border: a log call never raises
            # For most there is no call, for which there may be no stack left.
            if not isinstance(error, Exception) and not is_defect(error):
                raise
            try:
                self._rescue(rank, lane, message, payload, error)
            # Not a frame is left on the app's stack, or the interpreter is half torn down.
            except Exception:  # noqa: BLE001 - nothing can be done here any more
                return

    def _surrounded(
        self, fields: dict[str, Any], layer: Layer | None
    ) -> tuple[dict[str, Any], Timeline | None]:
        """A call's fields over the ambient ones over the bound ones, and the journey's timeline."""
        if layer is None:
            return over(self.bound, fields), None
        fields = over(over(self.bound, layer.fields) if self.bound else layer.fields, fields)
        return fields, None if "event_timeline" in fields else layer.timeline

    def _examined(self, entry: dict[str, Any], rank: int, message: object) -> dict[str, Any] | None:
        """What the user's functions and the tickets before make of an entry; None: nothing."""
        if "tags" in entry:  # the caller's own list, which the functions below may change
            entry["tags"] = [*entry["tags"]]
        if self._sample is not None and not self._is_in_sample(entry, rank, self._sample):
            self.counts.filtered += 1
            return None
        if self._before_send is not None:
            filtered = self._filtered(entry, rank, self._before_send)
            if filtered is None:
                return None
            entry = self._factory.complete(filtered)
        if self._cooldown is not None and entry.get("add_ticket") is True:
            entry = self._cooldown.apply(entry, _incident(entry, message))
        return entry

    def _is_in_sample(self, entry: dict[str, Any], rank: int, sample: Sample) -> bool:
        if rank >= CRITICAL or entry.get("add_ticket") is True:
            return True
        try:
            return bool(sample(entry))
        except BaseException as error:  # the user's function must not cost an entry
            if not is_defect(error):
                raise
            self._diagnostics.say(
                "sample", f"sample raised {type(error).__name__}: the entry is sent"
            )
            return True

    def _filtered(
        self, entry: dict[str, Any], lane: int, before_send: BeforeSend
    ) -> dict[str, Any] | None:
        """What `before_send` makes of an entry.

        Entries that are logged meanwhile go the same way, for none may pass by a function that
        removes secrets; but only so deep.
        """
        depth = getattr(self._inside, "depth", 0)
        if depth >= _MAX_NESTED:
            self._pipeline.drop_new(lane, "before_send")
            return None
        self._inside.depth = depth + 1
        try:
            filtered = before_send(entry)
        except BaseException as error:  # the user's function must not cost an entry
            if not is_defect(error):
                raise
            self._diagnostics.say(
                "before_send", f"before_send raised {type(error).__name__}: sent as it was"
            )
            return entry
        finally:
            self._inside.depth = depth
        if filtered is None:
            self.counts.filtered += 1
            return None
        if isinstance(filtered, dict):
            return filtered
        kind = type(filtered).__name__
        self._diagnostics.say(
            "before_send", f"before_send returned {kind}, not a dict or None: sent as it was"
        )
        return entry

    def _rescue(
        self, rank: int, lane: int, message: object, payload: bytes, error: BaseException
    ) -> None:
        """Sends the little that can be sent of an entry whose making failed, or counts it."""
        if payload:
            self._pipeline.drop_new(lane, type(error).__name__)
        else:
            self._pipeline.submit(self._factory.bare(rank, message, error, self.redaction), lane)


def _incident(entry: dict[str, Any], message: object) -> str:
    """What a ticket is about: the event, else the message before it was formatted."""
    event = entry.get("event_name")
    if event == JOURNEY_FAILED:  # the name is the client's; what has failed is the flow
        return f"{event} {entry.get('event_flow_name')}"
    return str(event or (message if type(message) is str else entry["message"]))
