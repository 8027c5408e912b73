"""The documented fields as types, so that an editor completes them and a checker finds typos.

What must stay true: nothing here exists at run time but names, for unknown keywords are welcome
there; and what is accepted here is what `_fields` puts into the documented types.

A checker refuses keywords that are not documented. Put such data into `meta_data`, or pass it as
`**extra`, a `dict[str, Any]`.

Source: vendor docs, `LogParams`.
"""

from __future__ import annotations

# Not for the checkers alone, but for `typing.get_type_hints`.
from collections.abc import Iterable, Mapping, Sequence  # noqa: TC003
from collections.abc import Set as AbstractSet  # noqa: TC003
from datetime import datetime  # noqa: TC003
from types import TracebackType
from typing import Any, TypeAlias, TypedDict

ExcInfo: TypeAlias = (
    bool
    | BaseException
    | tuple[type[BaseException], BaseException, TracebackType | None]
    | tuple[None, None, None]
    | None
)


class TimelineStep(TypedDict):
    """A step of an `event_timeline`; the time is in epoch milliseconds, or becomes so."""

    step: str
    timestamp: float | datetime


class LogFields(TypedDict, total=False):
    """The keywords of a log call; None leaves a field out.

    Attributes:
        message: The message, where it is not the first argument.
        event_name: What has happened, such as "login_success".
        event_flow_name: What it is part of, such as "checkout".
        app_user_id: Who it happened to; sent as text.
        app_username: Their name.
        app_useremail: Their e-mail address.
        session_id: The session it happened in; sent as text.
        method_name: The function; by default the one that logs.
        tags: Texts to find the entry by; a lone one counts as a list of one.
        meta_data: Any other data.
        exception_info: The text of an exception; an exception becomes its traceback.
        exc_info: True for the exception being handled, or an exception, or `sys.exc_info()`.
        add_ticket: True opens a ticket.
        event_timeline: Steps, as objects or (step, time) pairs; times are numbers, in epoch
            milliseconds, or `datetime` objects.
        app_name: In place of the logger's.
        environment: In place of the logger's.
    """

    message: object
    event_name: str | None
    event_flow_name: str | None
    app_user_id: object
    app_username: str | None
    app_useremail: str | None
    session_id: object
    method_name: str | None
    tags: str | Sequence[str] | AbstractSet[str] | None
    meta_data: Mapping[str, Any] | None
    exception_info: str | BaseException | None
    exc_info: ExcInfo
    add_ticket: bool | None
    event_timeline: Iterable[TimelineStep | tuple[str, float | datetime]] | None
    app_name: str | None
    environment: str | None


class LeveledFields(LogFields, total=False):
    """The keywords of `VoyageLogger.log`.

    Attributes:
        level: The level, where it is not the first argument.
    """

    level: object
