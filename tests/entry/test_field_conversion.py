"""Documented fields are sent in their documented types, and no value is lost."""

from __future__ import annotations

import uuid
from collections import deque
from datetime import datetime, timezone
from inspect import signature
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from voyage_logger import LogFields, VoyageLogger
from voyage_logger._entry import field_conversion

if TYPE_CHECKING:
    from voyage_logger.devserver import DevServer

THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TEXTS = [
    "event_name",
    "event_flow_name",
    "app_user_id",
    "app_username",
    "app_useremail",
    "session_id",
    "method_name",
    "exception_info",
]


class NoTruth:
    """A value whose `bool` raises an error, such as a numpy array."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        return "NoTruth()"


@pytest.mark.parametrize("name", [*TEXTS, "tags", "add_ticket", "event_timeline", "meta_data"])
def test_none_leaves_an_optional_field_out(
    server: DevServer, logger: VoyageLogger, name: str
) -> None:
    """An optional field that is None is left out, because the server rejects null."""
    logger.info("x", **{name: None})
    assert logger.flush()
    (entry,) = server.entries()
    filled_in = {"method_name", "meta_data"} - ({name} - {"meta_data"})
    assert set(entry) == {"message", "level", "app_name", "environment"} | filled_in


@pytest.mark.parametrize("name", ["app_name", "environment"])
def test_none_keeps_the_value_of_the_logger(
    server: DevServer, logger: VoyageLogger, name: str
) -> None:
    """If a log call gives None for a required field, the value of the logger is sent."""
    logger.info("x", **{name: None})
    assert logger.flush()
    assert server.entries()[0][name] == {"app_name": "app", "environment": "production"}[name]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [5, 1.5, uuid.UUID(int=1), ["a"], True])
def test_texts_are_sent_as_texts(
    server: DevServer, logger: VoyageLogger, name: str, value: Any
) -> None:
    """A text field is sent as a text, even if the app gives a number."""
    logger.info("x", **{name: value})
    assert logger.flush()
    assert server.entries()[0][name] == str(value)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("app_user_id", b"user", "user"),
        ("tags", "lone", ["lone"]),
        ("tags", ("a", 1, None), ["a", "1", "None"]),
        ("tags", {"a"}, ["a"]),
        ("tags", {"a": 1}.keys(), ["a"]),
        ("tags", deque(["a", 2]), ["a", "2"]),
        ("tags", [], []),
        ("add_ticket", 1, True),
        ("add_ticket", "", False),
        ("exception_info", ValueError("bad"), "ValueError: bad\n"),
        ("event_timeline", [("paid", 1.5)], [{"step": "paid", "timestamp": 1.5}]),
        (
            "event_timeline",
            [{"step": 1, "timestamp": THEN, "extra": "kept"}],
            [{"step": "1", "timestamp": 1767323045000}],
        ),
    ],
)
def test_other_fields_are_sent_in_their_types(
    server: DevServer, logger: VoyageLogger, name: str, value: Any, sent: object
) -> None:
    """Tags are sent as a list of texts, `add_ticket` as a bool, and times as epoch milliseconds."""
    logger.info("x", **{name: value})
    assert logger.flush()
    assert server.entries()[0][name] == sent


@pytest.mark.parametrize("timeline", ["text", 5, [1], [("a",)], [{"step": "a"}], [("a", "noon")]])
def test_invalid_timeline_is_kept_in_meta_data(
    server: DevServer, logger: VoyageLogger, timeline: Any
) -> None:
    """If `event_timeline` is not a valid timeline, its value is sent in `meta_data`."""
    logger.info("x", event_timeline=timeline, meta_data={"own": 1})
    assert logger.flush()
    (entry,) = server.entries()
    assert "event_timeline" not in entry
    assert entry["meta_data"]["own"] == 1
    assert "event_timeline" in entry["meta_data"]


def test_unfit_value_is_kept_in_meta_data(server: DevServer, logger: VoyageLogger) -> None:
    """If the `bool` of a value raises an error, the value is sent in `meta_data`."""
    logger.info("x", add_ticket=NoTruth(), app_user_id="u")  # type: ignore[arg-type]
    assert logger.flush()
    (entry,) = server.entries()
    assert entry["app_user_id"] == "u"
    assert entry["meta_data"]["add_ticket"] == "NoTruth()"


def test_entry_of_before_send_is_completed(server: DevServer, make_logger: Any) -> None:
    """If `before_send` returns an entry without required fields, the client adds these fields."""
    logger = make_logger(before_send=lambda _entry: {"level": "WARNING", "app_user_id": 7})
    logger.info("x")
    assert logger.flush()
    assert server.entries() == [
        {
            "message": "",
            "level": "warn",
            "app_name": "app",
            "environment": "production",
            "app_user_id": "7",
        }
    ]


def test_exception_that_before_send_returns_becomes_a_traceback(
    server: DevServer, make_logger: Any
) -> None:
    """If `before_send` sets `exception_info` to an exception, its traceback is sent."""
    error = ValueError("wrong")
    logger = make_logger(before_send=lambda entry: {**entry, "exception_info": error})
    logger.error("x")
    assert logger.flush()
    assert server.entries()[0]["exception_info"] == "ValueError: wrong\n"


def test_signature_shows_that_a_message_may_be_missing() -> None:
    """The signature of a log method shows a readable default for the message."""
    message = signature(VoyageLogger.info).parameters["message"]
    assert repr(message.default) == "<missing>"


def test_entry_that_before_send_leaves_out_is_counted(make_logger: Any) -> None:
    """If `before_send` returns None, the entry counts as filtered."""
    logger = make_logger(before_send=lambda _entry: None)
    logger.info("x")
    stats = logger.stats()
    assert (stats.filtered, stats.accepted) == (1, 0)


def test_typed_keywords_are_the_documented_fields() -> None:
    """`LogFields` lists `exc_info` and exactly the fields that are converted."""
    assert set(get_type_hints(LogFields)) == {*field_conversion._DOCUMENTED, "exc_info"}


def test_unknown_keyword_is_sent(server: DevServer, logger: VoyageLogger) -> None:
    """An unknown keyword is sent unchanged, although a type checker reports an error."""
    logger.info("x", appUserId="u")  # type: ignore[call-arg]
    assert logger.flush()
    assert server.entries()[0]["appUserId"] == "u"
