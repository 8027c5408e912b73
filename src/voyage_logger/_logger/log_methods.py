"""The log methods of `VoyageLogger`, one for each level.

What must stay true: each method calls `_log_call` directly, because `LogCalls.log` goes two frames
up the stack to find the function of the app. If a subclass overrides `log()`, the other log methods
call the `log()` of the subclass. The log methods of all other classes do not become slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voyage_logger._base.fork_locks import loading
from voyage_logger._base.levels import CRITICAL, DEBUG, ERROR, INFO, LEVELS, WARN, rank_of
from voyage_logger._entry.field_conversion import keep
from voyage_logger._entry.json_data import clip
from voyage_logger._entry.message import MISSING
from voyage_logger._entry.safe_text import bounded, is_defect

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._entry.log_fields import LeveledFields, LogFields
    from voyage_logger._logger.log_call import Log, LogCalls
    from voyage_logger._logger.overridden_log import OverriddenLog


class LogMethods:
    """The log methods of `VoyageLogger`."""

    _calls: LogCalls
    _log_at: Log  # Handles a call of `log`.
    _overridden: OverriddenLog
    _diagnostics: Diagnostics

    def _connect(self, calls: LogCalls) -> None:
        """Make the log methods use `calls`. Each new logger and each bound logger is connected."""
        self._calls = calls
        if type(self).log is LogMethods.log:
            self._log_call = self._log_at = calls.log  # type: ignore[method-assign]
            return
        with loading:
            from voyage_logger._logger.overridden_log import OverriddenLog  # noqa: PLC0415 - rarely used

        self._overridden = OverriddenLog(calls, type(self))
        self._log_at = self._overridden.log

    def _log_call(self, rank: int, message: object, args: tuple[object, ...], fields: Any) -> None:
        """Pass a call of `info` or another level method to the `log` of a subclass.

        In a class that does not override `log`, an attribute of the instance hides this method.
        """
        self._overridden.ask(self.log, rank, message, args, fields)

    def debug(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level debug.

        Args:
            message: The message. The keyword argument `message` is also allowed.
            args: Values for the %-placeholders of the message, as in the module `logging`. If the
                only value is a mapping, and the message does not use this mapping, the items of
                the mapping become fields. A keyword takes precedence over an item.
            fields: The entry's fields, such as `event_name`, `app_user_id`, `meta_data`, `tags` and
                `add_ticket`. Any other field name is also allowed. `exc_info` (True, an exception
                or a tuple) adds the traceback to the entry as `exception_info`.

        A log call never raises an exception and never waits for the network. Thread-safe.
        """
        self._log_call(DEBUG, message, args, fields)

    def info(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level info. The arguments are the same as for `debug`."""
        self._log_call(INFO, message, args, fields)

    def warn(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level warn. `warning` does the same. For the arguments, see `debug`."""
        self._log_call(WARN, message, args, fields)

    warning = warn

    def error(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level error. The arguments are the same as for `debug`."""
        self._log_call(ERROR, message, args, fields)

    def critical(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level critical. The entry is sent immediately. For the arguments, see `debug`."""
        self._log_call(CRITICAL, message, args, fields)

    def exception(
        self, message: object = MISSING, /, *args: object, **fields: Unpack[LogFields]
    ) -> None:
        """Log at level error, and add the current exception. For the arguments, see `debug`."""
        fields.setdefault("exc_info", True)
        self._log_call(ERROR, message, args, fields)

    def log(
        self,
        level: object = MISSING,
        message: object = MISSING,
        /,
        *args: object,
        **fields: Unpack[LeveledFields],
    ) -> None:
        """Log at the level that is given as the first argument.

        Args:
            level: A name in upper or lower case, such as "info" or "WARNING", or a level number of
                the module `logging`. If the level is unknown, the entry is sent at level info, and
                `meta_data.level` contains the unknown level.
            message: The message, as for `debug`.
            args: Values for the placeholders, as for `debug`.
            fields: The entry's fields, as for `debug`.
        """
        given: Any = fields
        if level is MISSING:
            level = given.pop("level", LEVELS[INFO])
        self._log_at(self._rank(level, given), message, args, given)

    def _rank(self, level: object, fields: dict[str, Any]) -> int:
        try:
            rank = rank_of(level)
            if rank is None:
                keep(fields, "level", level)
                text = clip(repr(bounded(level)), 40)
                self._diagnostics.say("level", f"unknown level {text}: the entry is sent as info")
        except BaseException as error:  # A broken object as `level` can raise any error.
            if not is_defect(error):
                raise
            return INFO
        return INFO if rank is None else rank
