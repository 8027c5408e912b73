"""The types of the documented keywords of a log call, for editors and type checkers.

A log call accepts other keywords, too, but a type checker reports an error for other keywords. To
avoid the error, put the data into `meta_data`, or pass a `dict[str, Any]` as `**extra`.

What must stay true: `field_conversion` converts every type that this file allows.

Source: vendor docs, `LogParams`.
"""

from __future__ import annotations

# `typing.get_type_hints` needs these imports at run time.
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
    """A step of an `event_timeline`; its time is a `datetime` or a number of epoch milliseconds."""

    step: str
    timestamp: float | datetime


class LogFields(TypedDict, total=False):
    """The keywords of a log call. A keyword with the value None adds no field to the entry.

    Attributes:
        message: The message, if it is not the first argument.
        event_name: The name of the event, such as "login_success".
        event_flow_name: The name of the flow that the event belongs to, such as "checkout".
        app_user_id: The id of the app's user. The id is sent as a text.
        app_username: The name of the app's user.
        app_useremail: The e-mail address of the app's user.
        session_id: The id of the session. The id is sent as a text.
        method_name: The name of a function (default: the function that makes the log call).
        tags: A list of texts that help to find the entry, or a single text.
        meta_data: Any other data, as a dict.
        exception_info: The text of a traceback, or an exception whose traceback is sent.
        exc_info: True (for the exception that is being handled), an exception, or `sys.exc_info()`.
        add_ticket: True opens a ticket.
        event_timeline: A list of steps. Each step is a `TimelineStep` or a (step, time) pair. The
            time is a `datetime` or a number of epoch milliseconds.
        app_name: The name of the app (default: the `app_name` of the logger).
        environment: The name of the environment (default: the `environment` of the logger).
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
        level: The level, if it is not the first argument.
    """

    level: object
