"""Documented fields go out in their documented types, and nothing given is lost on the way."""

from __future__ import annotations

import uuid
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest

from voyage_logger import LogFields
from voyage_logger._entry import field_conversion

if TYPE_CHECKING:
    from voyage_logger import VoyageLogger
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
    """As an array of numpy: it is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        return "NoTruth()"


@pytest.mark.parametrize("name", [*TEXTS, "tags", "add_ticket", "event_timeline", "meta_data"])
def test_none_leaves_an_optional_field_out(
    server: DevServer, logger: VoyageLogger, name: str
) -> None:
    """`app_user_id=None` is what apps pass for nobody; null would cost the whole entry."""
    logger.info("x", **{name: None})
    assert logger.flush()
    (entry,) = server.entries()
    filled_in = {"method_name", "meta_data"} - ({name} - {"meta_data"})
    assert set(entry) == {"message", "level", "app_name", "environment"} | filled_in


@pytest.mark.parametrize("name", ["app_name", "environment"])
def test_none_leaves_the_constructor_s_value(
    server: DevServer, logger: VoyageLogger, name: str
) -> None:
    """A required field that is None in the call keeps the logger's own value."""
    logger.info("x", **{name: None})
    assert logger.flush()
    assert server.entries()[0][name] == {"app_name": "app", "environment": "production"}[name]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", [5, 1.5, uuid.UUID(int=1), ["a"], True])
def test_texts_are_sent_as_texts(
    server: DevServer, logger: VoyageLogger, name: str, value: Any
) -> None:
    """A user's id is a number in many apps; the API documents a text."""
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
def test_other_types_are_met(
    server: DevServer, logger: VoyageLogger, name: str, value: Any, sent: object
) -> None:
    """Tags become a list of texts, tickets true or false, times epoch milliseconds."""
    logger.info("x", **{name: value})
    assert logger.flush()
    assert server.entries()[0][name] == sent


@pytest.mark.parametrize("timeline", ["text", 5, [1], [("a",)], [{"step": "a"}], [("a", "noon")]])
def test_timeline_that_is_none_is_kept_beside(
    server: DevServer, logger: VoyageLogger, timeline: Any
) -> None:
    """What cannot be a timeline is found again in meta_data; the entry arrives."""
    logger.info("x", event_timeline=timeline, meta_data={"own": 1})
    assert logger.flush()
    (entry,) = server.entries()
    assert "event_timeline" not in entry
    assert entry["meta_data"]["own"] == 1
    assert "event_timeline" in entry["meta_data"]


def test_value_without_a_truth_costs_no_other_field(
    server: DevServer, logger: VoyageLogger
) -> None:
    """A field that cannot be brought into its type is kept in meta_data."""
    logger.info("x", add_ticket=NoTruth(), app_user_id="u")  # type: ignore[arg-type]
    assert logger.flush()
    (entry,) = server.entries()
    assert entry["app_user_id"] == "u"
    assert entry["meta_data"]["add_ticket"] == "NoTruth()"


def test_entry_of_before_send_is_completed(server: DevServer, make_logger: Any) -> None:
    """A function that returns too little, or a level by another name, costs no entry."""
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


def test_entries_left_out_are_counted(make_logger: Any) -> None:
    """A `before_send` that forgets to return is found in the stats."""
    logger = make_logger(before_send=lambda _entry: None)
    logger.info("x")
    stats = logger.stats()
    assert (stats.filtered, stats.accepted) == (1, 0)


def test_typed_keywords_are_the_documented_fields() -> None:
    """`LogFields` has each field that is put into a documented type, and `exc_info`."""
    assert set(get_type_hints(LogFields)) == {*field_conversion._DOCUMENTED, "exc_info"}


def test_unknown_keywords_go_through(server: DevServer, logger: VoyageLogger) -> None:
    """What a type checker flags is sent all the same."""
    logger.info("x", appUserId="u")  # type: ignore[call-arg]
    assert logger.flush()
    assert server.entries()[0]["appUserId"] == "u"
