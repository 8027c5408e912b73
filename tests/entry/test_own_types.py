"""Enum members, subclasses of known types and lazy texts are sent in the form of their values."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger._entry.encoding import encode
from voyage_logger._entry.safe_text import TOO_DEEP

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger, Recorder


class Event(str, Enum):
    LOGIN = "login"


class Coded(str, Enum):
    """An enum whose members are texts, although the `value` of each member is a tuple."""

    EARTH = ("earth", 5)

    def __new__(cls, code: str, mass: int) -> Coded:
        member = str.__new__(cls, code)
        member._value_ = (code, mass)
        return member


class Ratio(float, Enum):
    HALF = 0.5


class Size(IntEnum):
    LARGE = 3


class Color(Enum):
    RED = "red"


class Empty(Enum):
    NOTHING = None


class Endless(Enum):
    """An enum whose members are their own values."""

    ONE = 1

    @property
    def value(self) -> Any:
        return self


class Unvalued(Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        raise LookupError


def subclass(base: type, module: str = "vendor", name: str = "Own") -> Any:
    return type(name, (base,), {"__module__": module})


class Lazy:
    """A text that is translated only when its `str` is needed."""

    def __str__(self) -> str:
        return "Hallo"

    def __repr__(self) -> str:
        return "l'Hello'"


class Bytes(bytes):
    def decode(self, *_: Any) -> str:
        raise ValueError("no text")


LAZY = [
    ("babel.support", "LazyProxy"),
    ("django.utils.functional", "Promise"),
    ("flask_babel.speaklater", "LazyString"),
    ("speaklater", "_LazyString"),
]
ENUMS = [
    (Event.LOGIN, "login"),
    (Coded.EARTH, "earth"),
    (Color.RED, "red"),
    (Size.LARGE, 3),
    (Ratio.HALF, 0.5),
]


def sent(value: object) -> Any:
    """Return the value as a server would receive it."""
    return json.loads(encode({"value": value}, 1 << 20))["value"]


@pytest.mark.parametrize(("member", "value"), ENUMS, ids=str)
def test_enum_member_is_its_value_in_each_place(
    make_logger: MakeLogger, recorder: Recorder, member: Any, value: object
) -> None:
    """An enum member is sent as its value, as the vendor's class sends it, in every field."""
    logger = make_logger(transport=recorder)
    with logger.journey(member) as journey:
        journey.step(member)
        logger.info(
            member, event_name=member, tags=[member, "x"], meta_data={"e": {member: member}}
        )
    assert logger.flush()
    text, entry = str(value), recorder.entries[0]
    assert (entry["message"], entry["event_name"], entry["tags"]) == (text, text, [text, "x"])
    assert entry["event_flow_name"] == entry["event_timeline"][0]["step"] == text
    assert entry["meta_data"]["e"] == {text: value}


@pytest.mark.parametrize(("member", "value"), ENUMS[:3], ids=str)
def test_enum_member_as_name_of_the_app_is_its_value(
    make_logger: MakeLogger, recorder: Recorder, member: Any, value: object
) -> None:
    """If a log call gives an enum member as `app_name`, its value is sent."""
    logger = make_logger(transport=recorder)
    logger.info("x", app_name=member)
    assert logger.flush()
    assert recorder.entries[0]["app_name"] == value


def test_enum_member_without_a_usual_value_costs_nothing_else() -> None:
    """If the value of an enum member is broken, is None or is the member, other values are sent."""
    assert sent([Unvalued.ONE, Empty.NOTHING, 1]) == ["<unprintable Unvalued>", None, 1]
    assert sent({Unvalued.ONE: 1, Empty.NOTHING: 2}) == {"<unprintable Unvalued>": 1, "null": 2}
    assert sent({Endless.ONE: 1, "after": 2}) == {"Endless.ONE": 1, "after": 2}
    assert sent([Endless.ONE, 2])[1] == 2
    assert TOO_DEEP not in json.dumps(sent([Endless.ONE]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (subclass(uuid.UUID)(int=1), "00000000-0000-0000-0000-000000000001"),
        (subclass(Decimal)("1.10"), "1.10"),
        (subclass(subclass(Decimal))("1.10"), "1.10"),
        (subclass(Fraction)(1, 3), "1/3"),
        (subclass(timedelta)(hours=1), "1:00:00"),
    ],
    ids=lambda value: type(value).__mro__[1].__name__,
)
def test_subclass_has_the_form_of_its_base(value: object, text: str) -> None:
    """A subclass of UUID, Decimal or another known type is sent like the type itself."""
    assert sent(value) == text


@pytest.mark.parametrize(("module", "name"), LAZY, ids=[module for module, _ in LAZY])
def test_lazy_text_is_a_text(
    make_logger: MakeLogger, recorder: Recorder, module: str, name: str
) -> None:
    """A lazy text of Django or Babel is sent as the text, as key, value, message and field."""
    lazy = subclass(subclass(Lazy, module, name))()
    logger = make_logger(transport=recorder)
    logger.info(lazy, event_name=lazy, tags=lazy, meta_data={"k": {lazy: [lazy]}})
    assert logger.flush()
    (entry,) = recorder.entries
    assert (entry["message"], entry["event_name"], entry["tags"]) == ("Hallo", "Hallo", ["Hallo"])
    assert entry["meta_data"]["k"] == {"Hallo": ["Hallo"]}


def test_value_that_behaves_as_a_text_is_a_text() -> None:
    """A class with the methods of `str` is sent as its `str`, even if the class is not known."""
    own = type("Own", (Lazy,), {"casefold": str.casefold})
    assert sent([own(), Lazy()]) == ["Hallo", "l'Hello'"]


@pytest.mark.parametrize("kind", [bytes, Bytes, bytearray])
def test_bytes_are_a_text_in_each_place(
    make_logger: MakeLogger, recorder: Recorder, kind: Any
) -> None:
    """Bytes of each type are sent as the text that they contain."""
    logger = make_logger(transport=recorder)
    logger.info(kind(b"text\xff"), session_id=kind(b"text"), tags=[kind(b"text")])
    assert logger.flush()
    (entry,) = recorder.entries
    assert entry["message"] == "text\\xff"
    assert (entry["session_id"], entry["tags"]) == ("text", ["text"])
