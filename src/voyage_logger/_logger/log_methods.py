"""The methods that make an entry, one a level.

What must stay true: each calls `_take` directly, for that looks one frame further for the name of
the function that logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voyage_logger._base.levels import CRITICAL, DEBUG, ERROR, INFO, LEVELS, WARN, rank_of
from voyage_logger._entry.factory import MISSING
from voyage_logger._entry.field_conversion import keep
from voyage_logger._entry.json_data import clip
from voyage_logger._entry.safe_text import bounded, is_defect

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._entry.log_fields import LeveledFields, LogFields
    from voyage_logger._logger.log_call import Take


class LogMethods:
    """What `VoyageLogger` offers to log with."""

    _take: Take
    _diagnostics: Diagnostics

    def debug(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level debug.

        Args:
            message: The message; also accepted as a keyword, as the vendor's class has it.
            args: Values for the message's %-placeholders, as in the standard library.
            fields: The entry's fields: documented ones such as `event_name`, `app_user_id`,
                `meta_data`, `tags`, `add_ticket`, and any other. `exc_info` (True, an exception
                or a tuple) becomes `exception_info`.

        Never raises and never waits for the network. Thread-safe.
        """
        self._take(DEBUG, message, args, fields)

    def info(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level info; arguments as for `debug`."""
        self._take(INFO, message, args, fields)

    def warn(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level warn; arguments as for `debug`. Also known as `warning`."""
        self._take(WARN, message, args, fields)

    warning = warn

    def error(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level error; arguments as for `debug`."""
        self._take(ERROR, message, args, fields)

    def critical(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level critical, and has the batch sent at once; arguments as for `debug`."""
        self._take(CRITICAL, message, args, fields)

    def exception(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Logs at level error with the exception being handled; arguments as for `debug`."""
        fields.setdefault("exc_info", True)
        self._take(ERROR, message, args, fields)

    def log(
        self,
        level: object = MISSING,
        message: object = MISSING,
        /,
        *args: object,
        **fields: Unpack[LeveledFields],
    ) -> None:
        """Logs at a level given as a value.

        Args:
            level: A name in any case ("info", "WARNING", "fatal") or a number of the logging
                module. An unknown one is sent as info and kept as `meta_data.level`.
            message: As for `debug`, like the rest.
            args: As for `debug`.
            fields: As for `debug`.
        """
        given: Any = fields
        if level is MISSING:
            level = given.pop("level", LEVELS[INFO])
        try:
            rank = rank_of(level)
            if rank is None:
                rank = INFO
                keep(given, "level", level)
                text = clip(repr(bounded(level)), 40)
                self._diagnostics.say("level", f"unknown level {text}: the entry is sent as info")
        except BaseException as error:  # a broken object in the place of a level
            if not is_defect(error):
                raise
            rank = INFO
        self._take(rank, message, args, given)
