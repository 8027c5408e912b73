"""A log call limits the text of large values, and uses `str` for all other values."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterator, KeysView, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger._entry import safe_text
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.safe_text import CYCLE, MAX_DEPTH, TOO_DEEP, TOO_MUCH, bounded, content

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger import VoyageLogger

LEVELS_SHARED = 20  # Without a limit, the text of these lists would contain a million leaves.
MOST_CALLS = 300_000

Pair = namedtuple("Pair", "one two")  # noqa: PYI024 - this class needs no annotations


class Leaf:
    """A value that counts the calls of its `__repr__`."""

    calls = 0

    def __repr__(self) -> str:
        Leaf.calls += 1
        if Leaf.calls > MOST_CALLS:
            pytest.fail("called without an end")
        return "leaf"


PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


class Broken(Mapping[str, object]):
    """A value whose methods all raise errors."""

    def __init__(self, kind: type[BaseException]) -> None:
        self._kind = kind

    def _fail(self, *_: object) -> Any:
        raise self._kind

    __repr__ = __str__ = __iter__ = __len__ = __getitem__ = __bool__ = _fail
    items = strip = _fail


class Words(list[Any]):
    """A list whose `__repr__` does not show the items of the list."""

    def __str__(self) -> str:
        return "words"


class Named(list[Any]):
    """A subclass of `list` without methods of its own."""


class OwnError(Exception):
    def __str__(self) -> str:
        return "my own words"


class Endless(Mapping[Any, Any]):
    def __getitem__(self, key: object) -> object:
        return key

    def __iter__(self) -> Iterator[int]:
        return itertools.count()

    def __len__(self) -> int:
        return 3


SHARED: dict[str, Callable[[Any], Any]] = {
    "list": lambda inner: [inner, inner],
    "tuple": lambda inner: (inner, inner),
    "dict": lambda inner: {1: inner, 2: inner},
    "deque": lambda inner: deque([inner, inner]),
    "subclass": lambda inner: Named([inner, inner]),
    "namedtuple": lambda inner: Pair(inner, inner),
    "OrderedDict": lambda inner: OrderedDict({1: inner, 2: inner}),
    "exception": lambda inner: ValueError(inner, inner),
}


def shared(share: Callable[[Any], Any]) -> Any:
    value: Any = Leaf()
    for _ in range(LEVELS_SHARED):
        value = share(value)
    return value


PLACES: dict[str, Callable[[VoyageLogger, Any], None]] = {
    "message": lambda logger, value: logger.info(value),
    "argument": lambda logger, value: logger.info("%s", value),
    "repr": lambda logger, value: logger.info("%r", value),
    "named argument": lambda logger, value: logger.info("%(a)s", {"a": value}),
    "mapping": lambda logger, value: logger.info("%s", {"a": value}),
    "argument too many": lambda logger, value: logger.info("x", value),
    "text field": lambda logger, value: logger.info("x", session_id=value),
    "tag": lambda logger, value: logger.info("x", tags=[value]),
    "step": lambda logger, value: logger.info("x", event_timeline=[(value, 1)]),
    "level": lambda logger, value: logger.log(value, "x"),
    "field": lambda logger, value: logger.info("x", meta_data={"a": ValueError(value)}),
    "exc_info": lambda logger, value: logger.info("x", exc_info=ValueError(value)),
}


ODD_PLACES: dict[str, Callable[[VoyageLogger, Any], None]] = {
    **{name: place for name, place in PLACES.items() if name not in ("field", "exc_info")},
    "meta_data": lambda logger, value: logger.info("x", meta_data=value),
    "meta_data over bound": lambda logger, value: logger.bind(meta_data={"a": 1}).info(
        "x", meta_data=value
    ),
    "in meta_data": lambda logger, value: logger.info("x", meta_data={"a": value}),
    "tags": lambda logger, value: logger.info("x", tags=value),
    "timeline": lambda logger, value: logger.info("x", event_timeline=value),
    "flag": lambda logger, value: logger.info("x", add_ticket=value),
    "exception": lambda logger, value: logger.info("x", exc_info=ValueError(value)),
    "message format": lambda logger, value: logger.info(value, 1),
}


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, flush_interval=600)


@pytest.fixture(autouse=True)
def _no_leaf_is_counted() -> None:
    Leaf.calls = 0


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=[] if place in ("message", "argument") else [pytest.mark.soak])
        for place in PLACES
    ],
)
def test_text_of_a_large_value_is_bounded_in_each_place(
    logger: VoyageLogger, recorder: Recorder, place: str
) -> None:
    """In any argument of a log call, a nested list with a million items gives a short text."""
    PLACES[place](logger, shared(SHARED["list"]))
    assert Leaf.calls <= MOST_CALLS  # calls are counted, because an error could be caught
    assert logger.flush()
    assert len(recorder.entries) == 1


@pytest.mark.soak
@pytest.mark.parametrize("kind", SHARED)
def test_text_of_each_container_is_bounded(kind: str) -> None:
    """For each container of the standard library, the text of a large value is limited."""
    text = to_text(shared(SHARED[kind]))
    assert "leaf" in text
    assert TOO_MUCH in text


@pytest.mark.parametrize(
    "value",
    [
        [1, "a", {"b": (2,)}, {3}, frozenset([4]), b"c"],
        [],
        (),
        set(),
        Pair(1, [2]),
        Named([1]),
        OrderedDict(a=1),
        defaultdict(int, a=1),
        Counter("aab"),
        deque([1], maxlen=3),
        ValueError("one", 2),
        KeyError("key"),
        ["x" * 1_000_000],
    ],
    ids=lambda value: type(value).__name__,
)
def test_usual_value_is_printed_by_str(value: object) -> None:
    """If a value is not too large, its text is its `str`."""
    assert bounded(value) is value
    assert to_text(value) == str(value)


@pytest.mark.parametrize(
    ("value", "text"), [(Words([0] * 10**6), "words"), (OwnError([0] * 10**6), "my own words")]
)
def test_own_text_of_a_large_subclass_is_used(value: object, text: str) -> None:
    """If a large value defines `__str__` or `__repr__`, the text comes from this method."""
    assert to_text(value) == text


def test_large_value_is_printed_up_to_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the beginning of a large value is printed, and a mark shows each cut."""
    monkeypatch.setattr(safe_text, "MAX_PRINTED", 8 * 256)
    many = list(range(100))
    deep: list[Any] = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    cycle: list[Any] = [1]
    cycle += [cycle, many]
    assert to_text(many) == f"[0, 1, 2, 3, 4, 5, 6, {TOO_MUCH}]"
    assert to_text({"a": many}) == "{'a': [0, 1, 2, 3, " + TOO_MUCH + "]}"
    assert to_text(ValueError(many)) == f"ValueError([0, 1, 2, 3, 4, 5, {TOO_MUCH}])"
    assert to_text(cycle) == f"[1, {CYCLE}, [0, 1, 2, 3, {TOO_MUCH}]]"
    assert to_text(["x", "y" * 5000, "z"]) == f"['x', {TOO_MUCH}]"  # A long text is left out.
    monkeypatch.undo()
    assert TOO_DEEP in to_text(deep)


def test_format_reads_a_large_mapping(logger: VoyageLogger, recorder: Recorder) -> None:
    """A message with placeholders can use values of a mapping that is too large to print."""
    logger.info("%(a)s of %(b)d", {"a": "one", "b": 2, "rest": [0] * 10**6})
    assert logger.flush()
    assert recorder.entries[0]["message"] == "one of 2"


@pytest.mark.parametrize(
    "fields",
    [
        {"meta_data": Endless()},
        {"event_timeline": itertools.repeat(("a", 1))},
        pytest.param({"event_timeline": [Endless()]}, marks=pytest.mark.soak),
        {"tags": KeysView(Endless())},
    ],
    ids=["meta_data", "steps", "step", "tags"],
)
def test_endless_value_is_cut(
    logger: VoyageLogger, recorder: Recorder, fields: dict[str, Any]
) -> None:
    """If a value is an endless mapping or iterator, the log call returns and sends the entry."""
    logger.bind(meta_data={"bound": 1}).info("x", **fields)
    assert logger.flush()
    assert [entry["message"] for entry in recorder.entries] == ["x"]


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, PanicException])
@pytest.mark.parametrize("place", ODD_PLACES)
def test_broken_value_does_not_raise(
    logger: VoyageLogger, recorder: Recorder, place: str, kind: type[BaseException]
) -> None:
    """If the methods of a value raise any exception, only the text of this value is lost."""
    ODD_PLACES[place](logger, Broken(kind))
    assert logger.flush()
    (entry,) = recorder.entries
    assert "the rest raised" not in str(entry)  # The mark replaces only the broken value.


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, BaseException])
@pytest.mark.parametrize("place", ["message", "argument", "text field", "meta_data", "tags"])
def test_interrupt_inside_a_value_reaches_the_app(
    logger: VoyageLogger, place: str, kind: type[BaseException]
) -> None:
    """If a method of a value raises `KeyboardInterrupt` or `SystemExit`, the app gets it."""
    with pytest.raises(kind):
        ODD_PLACES[place](logger, Broken(kind))
    logger.info("the next")
    assert logger.flush()
    assert logger.stats().delivered == 1


@pytest.mark.parametrize("setting", ["before_send", "sample"])
def test_cancelled_user_function_loses_no_entry(
    make_logger: MakeLogger, recorder: Recorder, setting: str
) -> None:
    """If `before_send` or `sample` raises `CancelledError`, the entry is still sent."""

    def cancelled(_entry: dict[str, Any]) -> Any:
        raise asyncio.CancelledError

    logger = make_logger(transport=recorder, **{setting: cancelled})
    logger.info("x", session_id="s")
    assert logger.flush()
    assert [entry["session_id"] for entry in recorder.entries] == ["s"]


def test_mapping_with_too_many_keys_is_marked(logger: VoyageLogger, recorder: Recorder) -> None:
    """If keys of a large mapping are left out, the entry has a mark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voyage_logger._entry.field_conversion._MOST_KEYS", 3)
        logger.info("x", meta_data=Endless())
    assert logger.flush()
    meta_data = recorder.entries[0]["meta_data"]
    assert {key: meta_data[key] for key in meta_data.keys() - {"logged_at", "log_id"}} == {
        "0": 0,
        "1": 1,
        "2": 2,
        TOO_MUCH: True,
    }


def test_ctrl_c_in_the_value_of_an_enum_member_reaches_the_app() -> None:
    """If Ctrl-C comes while the value of an enum member is read, the app gets the exception."""

    class Slow(Enum):
        MEMBER = 1

        @property
        def value(self) -> int:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        content(Slow.MEMBER)
