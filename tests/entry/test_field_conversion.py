"""Documented fields are sent in their documented types, and no value is lost."""

from __future__ import annotations

import uuid
from collections import deque
from datetime import datetime, timezone
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
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


class BrokenTime:
    def __float__(self) -> float:
        raise LookupError

    def __repr__(self) -> str:
        return "BrokenTime()"


class Moment(IntEnum):
    NOON = 12


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


@pytest.mark.parametrize(
    "time",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        10**400,
        Decimal("NaN"),
        1j,
        "5",
        True,
        BrokenTime(),
    ],
    ids=lambda time: type(time).__name__,
)
@pytest.mark.parametrize("as_dict", [True, False], ids=["dict", "pair"])
def test_step_without_a_valid_time_is_kept_in_meta_data(
    server: DevServer, logger: VoyageLogger, time: Any, as_dict: bool
) -> None:
    """If the time of a step is not a number, the other steps are sent, and all in `meta_data`."""
    odd: Any = {"step": "odd", "timestamp": time} if as_dict else ("odd", time)
    logger.info("x", event_timeline=[("a", 1), odd], app_user_id="u")
    logger.info("x", event_timeline=[odd])
    assert logger.flush()
    first, second = server.entries()
    assert (first["app_user_id"], first["event_timeline"]) == ("u", [{"step": "a", "timestamp": 1}])
    assert first["meta_data"]["event_timeline"][0] == ["a", 1]
    assert "odd" in str(first["meta_data"]["event_timeline"][1])
    assert "event_timeline" not in second
    assert "odd" in str(second["meta_data"]["event_timeline"])


@pytest.mark.parametrize(
    ("time", "sent"),
    [(Decimal("1.5"), 1.5), (Fraction(3, 2), 1.5), (Moment.NOON, 12), (1e300, 1e300)],
)
def test_number_of_any_type_is_a_time(
    server: DevServer, logger: VoyageLogger, time: Any, sent: float
) -> None:
    """A Decimal, a Fraction or an `IntEnum` member is sent as a number."""
    logger.info("x", event_timeline=[("a", time)])
    assert logger.flush()
    assert server.entries()[0]["event_timeline"] == [{"step": "a", "timestamp": sent}]


def test_numpy_number_is_a_time(server: DevServer, logger: VoyageLogger) -> None:
    """A number of numpy is sent as a number."""
    np = pytest.importorskip("numpy")
    logger.info("x", event_timeline=[("a", np.int64(1)), ("b", np.float32(0.5))])
    assert logger.flush()
    assert [step["timestamp"] for step in server.entries()[0]["event_timeline"]] == [1, 0.5]


@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_timeline_with_masked_times_is_sent_in_meta_data(
    server: DevServer, make_logger: Any, odd: object
) -> None:
    """With `redact=["timestamp"]`, the API would refuse a timeline, so it is in `meta_data`."""
    logger = make_logger(redact=["timestamp"])
    with logger.journey("checkout") as journey:
        journey.step("paid")
        logger.info("x", meta_data={"odd": odd})
        logger.info("x", event_timeline=[("own", 1)], meta_data={"odd": odd})
    assert logger.flush()
    entries = server.entries()
    assert len(entries) == 3
    assert not [entry for entry in entries if "event_timeline" in entry]
    masked = entries[0]["meta_data"]["event_timeline"]
    assert masked == [{"step": "paid", "timestamp": "***"}]


def test_entry_with_too_many_values_is_accepted(server: DevServer, make_logger: Any) -> None:
    """If parts of documented fields are cut, the server still accepts the entry."""
    logger = make_logger(max_entry_bytes=1024)
    many = {str(number): {number} for number in range(5000)}
    logger.info("x", many=many, event_timeline=[("a", 1)], tags=["t"], meta_data={"a": 1})
    assert logger.flush()
    assert [entry["message"] for entry in server.entries()] == ["x"]


def test_cut_fields_of_an_entry_fit_the_types_of_the_api() -> None:
    """If a text has replaced a part of a documented field, the field is moved to `meta_data`."""
    entry: dict[str, Any] = {"event_timeline": ["cut"], "tags": ["t", {"a": 1}], "meta_data": "cut"}
    field_conversion.fit(entry)
    assert entry == {
        "meta_data": {"value": "cut", "event_timeline": ["cut"], "tags": ["t", {"a": 1}]}
    }


def test_cut_meta_data_stays_an_object() -> None:
    """If a text has replaced `meta_data`, the text is moved into a JSON object."""
    entry: dict[str, Any] = {"meta_data": "cut"}
    field_conversion.fit(entry)
    assert entry == {"meta_data": {"value": "cut"}}


def test_interrupt_while_a_time_is_read_reaches_the_app(logger: VoyageLogger) -> None:
    """If Ctrl-C comes while the time of a step is converted, the app gets the exception."""

    class Interrupted:
        def __float__(self) -> float:
            raise KeyboardInterrupt

    timeline: Any = [("a", Interrupted())]
    with pytest.raises(KeyboardInterrupt):
        logger.info("x", event_timeline=timeline)


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
