"""An entry: the vendor's four fields, the caller's, and what the client adds.

What must stay true: a caller's key is never lost, and with `timestamps` and `capture_method` off
an entry holds exactly what the vendor's class would send.

Source: vendor docs, `LogEntry`.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from operator import attrgetter
from time import time_ns
from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import INFO, LEVELS, rank_of
from voyage_logger._entry.field_conversion import as_mapping, conform, keep
from voyage_logger._entry.json_codecs import dumps
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.safe_text import bounded, is_defect
from voyage_logger._entry.tracebacks import traceback_of
from voyage_logger._entry.trimming import MIN_LIMIT, bare

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from voyage_logger._entry.redaction import Redaction

_NANOSECONDS = 1_000_000_000
# The name of a code object's function, with its class where the interpreter knows it.
_qualified_name = attrgetter("co_qualname" if sys.version_info >= (3, 11) else "co_name")


class _Missing:
    """The type of `MISSING`, which stands where no message was given."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()


class EntryFactory:
    """Builds the entries of one logger in one process.

    Args:
        app_name: What all entries carry under that name.
        environment: The same.
        timestamps: Whether entries get a time and an id.
        mask: Removes the logger's own secrets from a text that may be cut.

    Attributes:
        common: The JSON of what the entries of a level have in common, by rank.

    Thread-safe.
    """

    def __init__(
        self,
        app_name: str,
        environment: str,
        *,
        timestamps: bool,
        mask: Callable[[str], str] = str,
    ) -> None:
        self._app_name = app_name
        self._environment = environment
        self._timestamps = timestamps
        self._mask = mask
        self.common = tuple(
            dumps({"level": level, "app_name": self._app_name, "environment": self._environment})
            for level in LEVELS
        )
        self._second = (-1, "")  # the last whole second and its text, replaced as one
        self.reset()

    def reset(self) -> None:
        """Starts a new run: of a process, or of a forked child."""
        # The time comes first, so that ids of later runs sort after those of earlier ones.
        self._run_id = f"{int(time.time()):08x}{os.urandom(4).hex()}"
        self._count = itertools.count(1)

    def fill(  # noqa: C901 - one path; each branch is a field that may be there
        self,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, Any],
        frame: FrameType | None,
    ) -> tuple[str, tuple[int, list[Any]]]:
        """Makes the keywords of a log call the fields of an entry.

        Args:
            message: The message, or `MISSING` if it is among the fields.
            args: What to format the message with, as the standard library's logging does.
            fields: The call's keywords; changed in place.
            frame: The caller's frame if its name shall be the `method_name`, else None.

        Returns:
            The message, and what `conform` says of the fields.
        """
        if message is MISSING:
            message = fields.pop("message", "")
        if args:
            message = _formatted(message, args)
        if frame is not None and "method_name" not in fields:
            fields["method_name"] = _qualified_name(frame.f_code)
        if "exc_info" in fields:
            _describe_exception(fields, self._mask)
        if "exception_info" in fields and issubclass(type(fields["exception_info"]), BaseException):
            fields["exception_info"] = traceback_of(fields["exception_info"], self._mask)
        # A field that bears the name of a reserved one is kept where nothing is lost.
        if "message" in fields:
            keep(fields, "message", fields.pop("message"))
        if "level" in fields:
            keep(fields, "level", fields.pop("level"))
        if self._timestamps:
            # Here, not in functions of their own, and by "%", which is quicker than an f-string.
            second, rest = divmod(time_ns(), _NANOSECONDS)
            known, text = self._second
            if known != second:
                text = self._to_the_second(second)
            meta_data: dict[str, Any] = {
                "logged_at": "%s.%06d+00:00" % (text, rest // 1000),  # noqa: UP031
                "log_id": "%s-%09d" % (self._run_id, next(self._count)),  # noqa: UP031
            }
            if "meta_data" in fields:  # the caller's own keys win
                given = fields["meta_data"]
                meta_data.update(given if type(given) is dict else as_mapping(given))
            fields["meta_data"] = meta_data
        return message if type(message) is str else to_text(message), conform(fields)

    def entry(self, rank: int, message: object, fields: dict[str, Any]) -> dict[str, Any]:
        """The entry of a level with a message and fields."""
        return {
            "message": message,
            "level": LEVELS[rank],
            "app_name": self._app_name,
            "environment": self._environment,
            **fields,
        }

    def build(
        self, rank: int, message: object, fields: dict[str, Any], frame: FrameType | None = None
    ) -> dict[str, Any]:
        """An entry as of a log call: see `fill`."""
        text, _ = self.fill(message, (), fields, frame)
        return self.entry(rank, text, fields)

    def complete(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry that a user's function has made, with what the API requires of any."""
        conform(entry)
        rank = rank_of(entry.pop("level", INFO))
        return self.entry(INFO if rank is None else rank, "", entry)

    def bare(self, rank: int, message: object, error: BaseException, redaction: Redaction) -> bytes:
        """The encoded entry of a log call whose fields made `build` or `encode` fail."""
        why = f"<the rest raised {type(error).__name__}>"
        return bare(self.entry(rank, message, {}), MIN_LIMIT, dumps, why, redaction)

    def _to_the_second(self, second: int) -> str:
        """A time as UTC in ISO 8601, up to the second; formatting it for each entry costs 1 us."""
        text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        self._second = (second, text)
        return text


def _formatted(message: object, args: tuple[object, ...]) -> str:
    # A single mapping serves %(name)s, as in the standard library's logging.
    try:
        is_named = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
        values: Any = bounded(args[0]) if is_named else tuple(map(bounded, args))
        return str(to_text(message) % values)
    except BaseException as error:  # a format that does not fit: keep message and values
        if not is_defect(error):
            raise
        return " ".join((to_text(message), *map(to_text, args)))


def _describe_exception(fields: dict[str, Any], mask: Callable[[str], str]) -> None:
    """Turns `exc_info` (True, an exception, a tuple) into `exception_info`, if that is free."""
    exc_info = fields.pop("exc_info")
    if isinstance(exc_info, BaseException):
        error: object = exc_info
    elif isinstance(exc_info, tuple):
        error = exc_info[1] if len(exc_info) > 1 else None
    else:
        error = sys.exc_info()[1] if exc_info else None
    if isinstance(error, BaseException) and "exception_info" not in fields:
        fields["exception_info"] = traceback_of(error, mask)
