"""Build an entry from the required fields, the fields of the log call, and the client's own fields.

What must stay true: the entry contains every keyword of the log call, except None values. If
`timestamps` and `capture_method` are False, the client sends the same fields as the vendor's class.

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
# Returns the function name of a code object. From Python 3.11 on, the class name is included.
_qualified_name = attrgetter("co_qualname" if sys.version_info >= (3, 11) else "co_name")


class _Missing:
    """The type of `MISSING`. If a log call has no message argument, the message is `MISSING`."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()


class EntryFactory:
    """Builds the entries of one logger in one process. Thread-safe.

    If `timestamps` is True, each entry gets a time and an id. `mask` removes secrets from a
    traceback before the traceback is cut. For each rank, `common` contains the JSON of the fields
    that are the same in all entries of this rank.
    """

    def __init__(
        self, app_name: str, environment: str, *, timestamps: bool, mask: Callable[[str], str] = str
    ) -> None:
        self._app_name = app_name
        self._environment = environment
        self._timestamps = timestamps
        self._mask = mask
        self.common = tuple(
            dumps({"level": level, "app_name": self._app_name, "environment": self._environment})
            for level in LEVELS
        )
        self._second = (-1, "")  # The second of the latest entry, and its ISO 8601 text.
        self.reset()

    def reset(self) -> None:
        """Start a new series of entry ids, for a new process or a forked child."""
        # An id begins with the start time of the process, so later processes have greater ids.
        self._run_id = f"{int(time.time()):08x}{os.urandom(4).hex()}"
        self._count = itertools.count(1)

    def fill(  # noqa: C901 - each branch handles one field
        self,
        message: object,
        args: tuple[object, ...],
        fields: dict[str, Any],
        frame: FrameType | None,
    ) -> tuple[str, tuple[int, list[Any]]]:
        """Change `fields`, the keywords of a log call, into the fields of an entry.

        `args` fill the placeholders of the message, as in `logging`. `method_name` becomes the name
        of the function that runs in `frame`. Return the message, and what `conform` returned.
        """
        if message is MISSING:
            message = fields.pop("message", "")
        if args:
            message = formatted(message, args)
        if frame is not None and "method_name" not in fields:
            fields["method_name"] = _qualified_name(frame.f_code)
        if "exc_info" in fields:
            _describe_exception(fields, self._mask)
        if "exception_info" in fields and issubclass(type(fields["exception_info"]), BaseException):
            fields["exception_info"] = traceback_of(fields["exception_info"], self._mask)
        # The entry already has a message and a level. Move these two keywords to `meta_data`.
        if "message" in fields:
            keep(fields, "message", fields.pop("message"))
        if "level" in fields:
            keep(fields, "level", fields.pop("level"))
        if self._timestamps:
            # A separate function or f-strings would make a log call slower.
            second, rest = divmod(time_ns(), _NANOSECONDS)
            known, text = self._second
            if known != second:
                text = self._to_the_second(second)
            meta_data: dict[str, Any] = {
                "logged_at": "%s.%06d+00:00" % (text, rest // 1000),  # noqa: UP031
                "log_id": "%s-%09d" % (self._run_id, next(self._count)),  # noqa: UP031
            }
            if "meta_data" in fields:  # If a key is in both dicts, the app's value is used.
                given = fields["meta_data"]
                meta_data.update(given if type(given) is dict else as_mapping(given))
            fields["meta_data"] = meta_data
        return message if type(message) is str else to_text(message), conform(fields)

    def entry(self, rank: int, message: object, fields: dict[str, Any]) -> dict[str, Any]:
        """Return an entry that has the required fields and the given fields."""
        return {
            "message": message,
            "level": LEVELS[rank],
            "app_name": self._app_name,
            "environment": self._environment,
            **fields,
        }

    def build(self, rank: int, message: object, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of a log call. The docstring of `fill` explains the arguments."""
        text, _ = self.fill(message, (), fields, None)
        return self.entry(rank, text, fields)

    def complete(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Add missing required fields to an entry that a user's function returned."""
        conform(entry)
        rank = rank_of(entry.pop("level", INFO))
        return self.entry(INFO if rank is None else rank, "", entry)

    def bare(self, rank: int, message: object, error: BaseException, redaction: Redaction) -> bytes:
        """Return an encoded entry without the log call's fields, because they raised an error."""
        why = f"<the rest raised {type(error).__name__}>"
        return bare(self.entry(rank, message, {}), MIN_LIMIT, dumps, why, redaction)

    def _to_the_second(self, second: int) -> str:
        """Return the second as an ISO 8601 text in UTC, and store the text for the next entry."""
        text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        self._second = (second, text)
        return text


def formatted(message: object, args: tuple[object, ...]) -> str:
    """Return the message with its %-placeholders filled. This function never raises an error."""
    # As in `logging`, a single argument that is a mapping fills placeholders such as %(name)s.
    try:
        is_named = len(args) == 1 and isinstance(args[0], Mapping) and args[0]
        values: Any = bounded(args[0]) if is_named else tuple(map(bounded, args))
        return str(to_text(message) % values)
    except BaseException as error:  # The placeholders might not match `args`.
        if not is_defect(error):
            raise
        return " ".join((to_text(message), *map(to_text, args)))


def _describe_exception(fields: dict[str, Any], mask: Callable[[str], str]) -> None:
    """Replace `exc_info` with `exception_info`, unless the log call has an `exception_info`."""
    exc_info = fields.pop("exc_info")
    if isinstance(exc_info, BaseException):
        error: object = exc_info
    elif isinstance(exc_info, tuple):
        error = exc_info[1] if len(exc_info) > 1 else None
    else:
        error = sys.exc_info()[1] if exc_info else None
    if isinstance(error, BaseException) and "exception_info" not in fields:
        fields["exception_info"] = traceback_of(error, mask)
