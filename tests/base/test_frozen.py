"""The package's value classes have named fields, and their instances never change."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import voyage_logger
from tests.support.loggers import Recorder
from tests.support.processes import python
from voyage_logger import FlushResult, Kind, Outcome, Stats, VoyageLogger
from voyage_logger._base.frozen import frozen, replace


@frozen
class Point:
    x: int
    y: int = 0


def _through_a_pickle(value: object) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - this test has made the pickle


RESULT = FlushResult(delivered=3, rejected=0, dropped=0, pending=0, elapsed=0.5)
BUSY = Outcome(Kind.TRY_AGAIN, "busy", 503, 2.0)


def test_fields_are_given_by_place_or_name() -> None:
    """Fields are given by position or by name. Fields that are not given get their defaults."""
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)


@pytest.mark.parametrize(
    ("args", "fields"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_wrong_fields_are_refused(args: tuple[int, ...], fields: dict[str, Any]) -> None:
    """If a field is missing, repeated or unknown, the error names the field."""
    with pytest.raises(TypeError, match=r"Point takes each of these once, and no others: x, y"):
        Point(*args, **fields)


def test_value_never_changes() -> None:
    """The fields of a value cannot be set or deleted, and no attribute can be added."""
    point: Any = Point(1)
    with pytest.raises(AttributeError, match="Point is a value: x does not change"):
        point.x = 2
    with pytest.raises(AttributeError, match="Point is a value: x does not change"):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1
    assert not hasattr(point, "__dict__")


def test_value_is_compared_by_class_and_fields() -> None:
    """Two values are equal if they have the same class and equal fields."""

    class Other(Point):
        pass

    assert {Point(1, 2), Point(1, 2)} == {Point(1, 2)}
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Other(1, 2)
    assert Point(1, 2) != object()


def test_repr_shows_the_fields() -> None:
    """The `repr` of a value is a Python expression that makes an equal value."""
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"


@pytest.mark.parametrize("value", [RESULT, BUSY], ids=str)
def test_replacement_without_changes_equals_the_value(value: Any) -> None:
    """`replace` without changes returns an equal value."""
    assert replace(value) == value


def test_replacement_changes_what_is_named() -> None:
    """`replace` returns a new value with the given changes. The old value does not change."""
    assert replace(RESULT, pending=1) == FlushResult(3, 0, 0, 1, 0.5)
    assert RESULT.pending == 0


def test_signature_names_the_fields() -> None:
    """`help` and editors show the fields and their defaults instead of `*args`."""
    assert list(inspect.signature(Outcome).parameters) == list(Outcome.__match_args__)
    assert inspect.signature(Outcome).parameters["detail"].default == ""


def test_signature_of_a_subclass_is_its_own() -> None:
    """The signature of a subclass shows the arguments of the subclass's own `__init__`."""

    class Labeled(Outcome):
        def __init__(self, label: str) -> None:
            super().__init__(Kind.DELIVERED, label)

    assert Labeled("fine").detail == "fine"
    assert list(inspect.signature(Labeled).parameters) == ["label"]


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _through_a_pickle])
def test_value_survives_copies_and_pickles(again: Any) -> None:
    """A copied or unpickled value is equal to the original."""
    assert again(RESULT) == RESULT


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_copy_replace_takes_it() -> None:
    """`copy.replace` works for instances of the value classes."""
    assert copy.replace(RESULT, pending=1).pending == 1  # type: ignore[attr-defined,unused-ignore]


@pytest.mark.parametrize("kind", [Stats, FlushResult])
def test_type_hints_name_every_field(kind: Any) -> None:
    """`typing.get_type_hints` returns the types of all fields."""
    assert set(typing.get_type_hints(kind)) == set(kind.__match_args__)


def test_value_can_be_logged() -> None:
    """If the app logs the result of `stats()`, the fields are sent with their names."""
    transport = Recorder()
    with VoyageLogger("app", transport=transport) as logger:
        logger.info("so far", meta_data={"stats": logger.stats()})
        stats = json.loads(json.dumps(logger.stats().as_dict()))
    sent = transport.entries[0]["meta_data"]["stats"]
    assert sent["accepted"] == 0
    assert sent.keys() == stats.keys() == set(Stats.__match_args__)


def test_change_of_the_dict_changes_no_stats() -> None:
    """If the app changes the dict from `as_dict`, the `Stats` instance does not change."""
    stats = Stats(1, 0, 0, 1, 0, {}, {"closed": 1}, 0)
    stats.as_dict()["dropped_by"].clear()
    assert stats.dropped_by == {"closed": 1}


def test_value_is_logged_where_no_code_has_loaded_dataclasses() -> None:
    """A value is sent with its fields even if no code has imported `dataclasses`."""
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from voyage_logger import FlushResult\n"
        "from voyage_logger._entry.encoding import encode\n"
        "assert 'dataclasses' not in sys.modules\n"
        "print(encode({'meta_data': {'r': FlushResult(1, 0, 0, 0, 0.5)}}, 9999).decode())\n"
        "assert 'dataclasses' not in sys.modules\n"
    )
    source = Path(voyage_logger.__file__).parent.parent
    # The option -S leaves out site-packages, because its hooks can import `dataclasses`.
    ran = python("-S", "-c", code, source)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["meta_data"]["r"] == {
        **dict.fromkeys(("rejected", "dropped", "pending"), 0),
        "delivered": 1,
        "elapsed": 0.5,
    }


def test_pattern_takes_the_fields_by_place() -> None:
    """A `match` pattern takes the fields by position, in the documented order."""
    match RESULT:
        case FlushResult(delivered, rejected):
            assert (delivered, rejected) == (3, 0)
    assert Stats.__match_args__[:2] == ("accepted", "delivered")
