"""The values of the package are dataclasses to everybody, without the price of their import."""

from __future__ import annotations

import copy
import dataclasses
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
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


RESULT = FlushResult(delivered=3, rejected=0, dropped=0, pending=0, elapsed=0.5)


def test_fields_are_given_by_place_or_name() -> None:
    """Fields come in their order, by name, or from their defaults."""
    assert (Point(1).x, Point(1).y) == (1, 0)
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)


@pytest.mark.parametrize(
    ("args", "fields"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_wrong_fields_are_refused(args: tuple[int, ...], fields: dict[str, Any]) -> None:
    """What is missing, too much, double or unknown raises and names the fields."""
    with pytest.raises(TypeError, match=r"Point takes each of these once, and no others: x, y"):
        Point(*args, **fields)


def test_value_never_changes() -> None:
    """Fields cannot be set, deleted or added."""
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1
    assert not hasattr(point, "__dict__")


def test_value_is_compared_by_class_and_fields() -> None:
    """Equal fields make equal values of one class, fit for sets; a subclass is another class."""

    class Other(Point):
        pass

    assert {Point(1, 2), Point(1, 2)} == {Point(1, 2)}
    assert Point(1, 2) != Point(1, 3)
    assert Point(1, 2) != Other(1, 2)
    assert Point(1, 2) != object()


def test_repr_shows_the_fields() -> None:
    """A value reads as the call that makes it."""
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"


@pytest.mark.parametrize("value", [RESULT, Outcome(Kind.TRY_AGAIN, "busy", 503, 2.0)], ids=str)
def test_value_is_a_dataclass(value: Any) -> None:
    """The functions of `dataclasses` take it."""
    assert dataclasses.is_dataclass(type(value))
    names = [field.name for field in dataclasses.fields(value)]
    assert dataclasses.asdict(value) == {name: getattr(value, name) for name in names}
    assert dataclasses.replace(value) == value == replace(value)


def test_replacement_changes_what_is_named() -> None:
    """Both ways to replace fields give a new value and leave the old one."""
    assert dataclasses.replace(RESULT, pending=1) == replace(RESULT, pending=1) != RESULT
    assert RESULT.pending == 0


def test_dataclass_of_an_app_may_extend_it() -> None:
    """A user's own dataclass inherits fields and defaults."""

    @dataclasses.dataclass(frozen=True)
    class Labeled(Outcome):
        label: str = "mine"

    outcome = Labeled(Kind.DELIVERED, "fine")
    assert (outcome.kind, outcome.status, outcome.label) == (Kind.DELIVERED, None, "mine")
    assert list(inspect.signature(Labeled).parameters)[-1] == "label"


def test_signature_names_the_fields() -> None:
    """Editors and documentation see the fields, not `*args`."""
    assert list(inspect.signature(Outcome).parameters) == list(Outcome.__match_args__)
    assert inspect.signature(Outcome).parameters["detail"].default == ""


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _through_a_pickle])
def test_value_survives_copies_and_pickles(again: Any) -> None:
    """A copy equals what it was made from."""
    assert again(RESULT) == RESULT


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace came with Python 3.13")
def test_copy_replace_takes_it() -> None:
    """`copy.replace` works as on dataclasses."""
    assert copy.replace(RESULT, pending=1).pending == 1  # type: ignore[attr-defined,unused-ignore]


@pytest.mark.parametrize("kind", [Stats, FlushResult])
def test_look_at_it_as_a_dataclass_is_cheap(kind: Any) -> None:
    """What it takes to be a dataclass is made once for a class."""
    assert dataclasses.fields(kind)[0] is dataclasses.fields(kind)[0]


@pytest.mark.parametrize("kind", [Stats, FlushResult])
def test_type_hints_can_be_had(kind: Any) -> None:
    """Tools that read the fields' types at run time find them."""
    assert set(typing.get_type_hints(kind)) == set(kind.__match_args__)


def test_value_can_be_logged() -> None:
    """`logger.info(..., meta_data={"stats": logger.stats()})` sends the fields."""
    transport = Recorder()
    with VoyageLogger("app", transport=transport) as logger:
        logger.info("so far", meta_data={"stats": logger.stats()})
    assert transport.entries[0]["meta_data"]["stats"]["accepted"] == 0


def test_value_is_logged_where_nobody_has_loaded_dataclasses() -> None:
    """The same in a program that has no dataclass of its own."""
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from voyage_logger import FlushResult\n"
        "from voyage_logger._entry.encoding import encode\n"
        "assert 'dataclasses' not in sys.modules\n"
        "print(encode({'meta_data': {'r': FlushResult(1, 0, 0, 0, 0.5)}}, 9999).decode())\n"
    )
    source = Path(voyage_logger.__file__).parent.parent
    ran = python(
        "-S", "-c", code, source
    )  # -S: what site-packages may import by itself is not ours
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["meta_data"]["r"] == dataclasses.asdict(
        FlushResult(1, 0, 0, 0, 0.5)
    )


def test_stats_match_their_documentation() -> None:
    """A pattern takes the fields by place, in the order in which they stand."""
    match RESULT:
        case FlushResult(delivered, rejected):
            assert (delivered, rejected) == (3, 0)
    assert Stats.__match_args__[:2] == ("accepted", "delivered")
