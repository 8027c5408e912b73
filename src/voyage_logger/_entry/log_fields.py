"""The types of the documented keywords of a log call, for editors and type checkers.

A log call also accepts undocumented keywords, but type checkers report these keywords as errors. To
avoid these errors, put the data into `meta_data`, or pass a `dict[str, Any]` as `**extra`.

What must stay true: `field_conversion` can convert every type that this file allows.

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
    """A step of an `event_timeline`. A number in `timestamp` means epoch milliseconds."""

    step: str
    timestamp: float | datetime


class LogFields(TypedDict, total=False):
    """The keywords of a log call. A keyword with the value None adds no field to the entry.

    Attributes:
        message: The message, if the message is not passed as the first argument.
        event_name: The name of the event, such as "login_success".
        event_flow_name: The name of the flow that the event belongs to, such as "checkout".
        app_user_id: The id of the app's user. The id is sent as a text.
        app_username: The name of the app's user.
        app_useremail: The e-mail address of the app's user.
        session_id: The id of the session. The id is sent as a text.
        method_name: The name of a function (default: the function that makes the log call).
        tags: A text, or a list of texts. Tags help to find the entry.
        meta_data: Any other data, as a dict.
        exception_info: The text of a traceback, or an exception whose traceback is sent.
        exc_info: An exception, `sys.exc_info()`, or True for the exception that is being handled.
        add_ticket: If True, the entry opens a ticket.
        event_timeline: A list of steps. Each step is a `TimelineStep` or a (step, timestamp) pair.
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
        level: The level, if the level is not passed as the first argument.
    """

    level: object
