"""Any entry becomes strict JSON within the size limit."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import tracemalloc
import uuid
from collections import OrderedDict, UserDict, UserString, defaultdict, deque, namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._entry.encoding import encode, shorten
from voyage_logger._entry.json_codecs import dumps
from voyage_logger._entry.json_data import TRIMMED, to_plain
from voyage_logger._entry.redaction import MASK, Redaction
from voyage_logger._entry.safe_text import CYCLE, MAX_DEPTH, TOO_DEEP
from voyage_logger._entry.trimming import MIN_LIMIT, bare

ROOMY = 1 << 20
MARK_LENGTH = 64  # bytes; longer than any mark of a cut


def parse(payload: bytes) -> Any:
    """Parse a payload as strict JSON, and return the result."""

    def refuse(constant: str) -> Any:
        pytest.fail(f"not JSON: {constant}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), f"a key comes twice: {[key for key, _ in pairs]}"
        return dict(pairs)

    data = json.loads(payload.decode(), parse_constant=refuse, object_pairs_hook=unique)
    json.dumps(data, ensure_ascii=False).encode()  # raises an error if a lone surrogate is left
    return data


def sent(value: object, limit: int = ROOMY) -> Any:
    """Return the value as a server would receive it."""
    return parse(encode({"value": value}, limit))["value"]


def peak_memory(value: object, limit: int) -> int:
    """Return how much memory the encoding of a value takes at its peak, in bytes."""
    tracemalloc.start()
    try:
        payload = encode({"message": "m", "value": value}, limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(payload) <= limit
    parse(payload)
    return peak


def bare_soon(entry: dict[str, Any], limit: int, why: str) -> bytes:
    """Return the bare entry. Fail if `bare` needs more than 100 attempts."""
    tries = 0

    def counted(value: Any) -> str:
        nonlocal tries
        tries += 1
        if tries > 100:
            pytest.fail("no bare entry after 100 tries")
        return dumps(value)

    return bare(entry, limit, counted, why)


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Word(str, Enum):
    HELLO = "hello"


@dataclass
class Point:
    x: int
    y: object


@dataclass
class Order:
    number: int
    discount: InitVar[int]
    currency: ClassVar[str] = "EUR"


@dataclass
class Unfinished:
    number: int
    total: int = field(init=False)


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - libraries also use `namedtuple`


class Plain:
    def __repr__(self) -> str:
        return "Plain()"


class BrokenRepr:
    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


class WrongRepr:
    def __repr__(self) -> str:
        return 3  # type: ignore[return-value]


class UnboundProxy:
    """A proxy that raises errors, such as werkzeug's LocalProxy outside of a request."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("working outside of request context")

    def __repr__(self) -> str:
        return "<UnboundProxy>"


class TextProxy:
    """A proxy whose `__class__` is `str`, such as werkzeug's LocalProxy of a text."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return str

    def __repr__(self) -> str:
        return "proxied text"


class NamelessType(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class Nameless(metaclass=NamelessType):
    def __repr__(self) -> str:
        raise ValueError("no repr")


class SurrogateNameType(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        return "\ud800"


class SurrogateName(metaclass=SurrogateNameType):
    def __repr__(self) -> str:
        raise ValueError("no repr")


class BrokenError(Exception):
    def __str__(self) -> str:
        raise KeyError("no str")


class HostileStr(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no str")

    __len__ = __getitem__ = __iter__ = encode = __repr__ = __str__  # type: ignore[assignment]


class HostileInt(int):
    def __int__(self) -> int:
        raise ValueError("no int")

    __index__ = __repr__ = __str__ = __int__  # type: ignore[assignment]


class HostileFloat(float):
    def __float__(self) -> float:
        raise ValueError("no float")

    __repr__ = __str__ = __float__  # type: ignore[assignment]


class HostileDict(dict[Any, Any]):
    def items(self) -> Any:
        raise ValueError("no items")

    __len__ = __iter__ = keys = values = items


class OddItems(dict[Any, Any]):
    def items(self) -> Any:
        return [1, 2, 3]


class HostileList(list[Any]):
    def __iter__(self) -> Any:
        raise ValueError("no iteration")

    __len__ = __getitem__ = __iter__  # type: ignore[assignment]


class OddDate(date):
    def isoformat(self) -> Any:
        return object()


class SurrogateDelta(timedelta):
    def __str__(self) -> str:
        return "\ud800"


class OddPath:
    def __fspath__(self) -> Any:
        return 3


class UnhashableEquals:
    def __eq__(self, other: object) -> bool:
        raise ValueError("no comparison")

    __hash__ = None  # type: ignore[assignment]


class Endless(Sequence[int]):
    def __getitem__(self, index: Any) -> Any:
        return index

    def __len__(self) -> int:
        return 3


class Attribute:
    def __init__(self, name: str) -> None:
        self.name = name


class Attrs:
    __attrs_attrs__ = (Attribute("x"), Attribute("y"))

    def __init__(self) -> None:
        self.x, self.y = 1, [date(2026, 1, 2)]


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"day": date(2026, 1, 2)}


class BrokenModel:
    def model_dump(self) -> dict[str, Any]:
        raise ValueError("no dump")


class Array:
    def __init__(self, values: Any, size: int = 1) -> None:
        self.values, self.size = values, size

    def tolist(self) -> Any:
        return self.values

    def __repr__(self) -> str:
        return "array([...])"


Array.__module__ = "numpy"

ODD: tuple[Any, ...] = (
    Plain,
    BrokenRepr,
    WrongRepr,
    TextProxy,
    BrokenError,
    HostileDict,
    OddItems,
    OddPath,
    UnhashableEquals,
    Attrs,
    Model,
    BrokenModel,
    threading.Lock,
    threading.RLock,
    threading.local,
    lambda: HostileStr("text"),
    lambda: HostileInt(7),
    lambda: HostileFloat(0.5),
    lambda: HostileList([1]),
    lambda: HostileDict({1: 2}),
    lambda: OddDate(2026, 1, 2),
    lambda: SurrogateDelta(1),
    lambda: Point(1, {2}),
    lambda: Order(1, 2),
    lambda: Unfinished(1),
    lambda: Pair(1, b"2"),
    lambda: (number for number in range(3)),
    lambda: ValueError("bad", 3),
    lambda: Array([float("nan")]),
    lambda: Color.RED,
    lambda: Size.LARGE,
    lambda: Color,
    lambda: range(3),
    lambda: memoryview(b"bytes"),
    lambda: memoryview(bytes(8)).cast("d"),
    lambda: UserString("text"),
    lambda: UserDict({1: 2}),
    lambda: {1: "int", "1": "str", False: "bool"},
    lambda: {None: 1, "null": 2, 0.5: 3, (1, 2): 4, Color.RED: 5},
    lambda: {"\ud800": 1, "\\ud800": 2},
    lambda: {BrokenRepr(): 1, BrokenRepr(): 2},
    lambda: {10**5000: 1},
    lambda: 10**5000,
    lambda: -(1 << 20_000),
    lambda: 10**4000,
    lambda: print,
    lambda: sys,
    lambda: open,
    lambda: NotImplemented,
    lambda: ...,
)

# Hypothesis cannot generate these values, so they are listed here.
HARSH: tuple[Any, ...] = (
    UnboundProxy,
    Nameless,
    SurrogateName,
    lambda: {UnboundProxy(): 1},
    lambda: {Nameless(): 1},
)

# These texts can contain lone surrogates.
any_text = st.text(st.characters(exclude_categories=()), max_size=40)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.binary(max_size=40)
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.fractions()
    | any_text.map(PurePosixPath)
    | any_text.map(ValueError)
    | st.sampled_from(range(len(ODD))).map(lambda index: ODD[index]())
)
keys = any_text | st.integers() | st.floats() | st.booleans() | st.none() | st.binary(max_size=5)
zoo = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.lists(inner, max_size=5).map(deque)
        | st.frozensets(keys, max_size=5)
        | st.dictionaries(keys, inner, max_size=5)
        | st.dictionaries(keys, inner, max_size=5).map(OrderedDict)
        | st.builds(Point, st.integers(), inner)
    ),
    max_leaves=15,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5)
    ),
    max_leaves=20,
)


class TestAnyValue:
    @given(st.dictionaries(any_text, zoo, max_size=5), st.integers(MIN_LIMIT, 8192))
    @settings(max_examples=35, deadline=None)
    def test_becomes_strict_json_within_the_limit(self, entry: dict[str, Any], limit: int) -> None:
        """Any entry becomes a strict JSON object within the size limit."""
        payload = encode(entry, limit)

        assert len(payload) <= limit
        assert type(parse(payload)) is dict

    @given(zoo)
    @settings(max_examples=35, deadline=None)
    def test_costs_no_other_field(self, value: object) -> None:
        """One unusual value does not change any other field of the entry."""
        data = parse(encode({"message": "m", "odd": value, "after": [7]}, ROOMY))

        assert data == {"message": "m", "odd": data["odd"], "after": [7]}

    @pytest.mark.parametrize("make", ODD + HARSH, ids=range(len(ODD + HARSH)))
    def test_of_each_odd_kind_costs_no_other_value_beside_it(self, make: Any) -> None:
        """One unusual value in a list or dict does not change the other values."""
        data = sent([1, {"odd": make(), "after": 2}, 3])

        assert (data[0], data[1]["after"], data[2]) == (1, 2, 3)

    @given(st.dictionaries(st.text(max_size=10), json_values, max_size=5))
    @settings(max_examples=25, deadline=None)
    def test_that_is_plain_comes_through_unchanged(self, entry: dict[str, Any]) -> None:
        """Plain JSON data is encoded as `json.dumps` encodes it."""
        assert parse(encode(entry, ROOMY)) == json.loads(json.dumps(entry))

    @given(st.dictionaries(st.text(max_size=10), json_values, max_size=5))
    @settings(max_examples=25, deadline=None)
    def test_is_the_same_by_the_careful_path(self, entry: dict[str, Any]) -> None:
        """The slow, careful encoder gives the same result for plain data."""
        assert to_plain(entry, ROOMY) == entry

    @given(st.dictionaries(any_text, zoo, max_size=3))
    @settings(max_examples=20, deadline=None)
    def test_in_a_dict_subclass_becomes_strict_json_too(self, entry: dict[str, Any]) -> None:
        """If `before_send` returns a dict subclass, the entry still becomes strict JSON."""
        for kind in (OrderedDict, lambda items: defaultdict(int, items)):
            payload = encode(kind({**entry, "k": {1: 1, "1": 2}}), ROOMY)
            assert list(parse(payload)["k"].values()) == [1, 2]

    def test_in_a_hostile_dict_subclass_does_not_raise(self) -> None:
        """An entry still becomes a JSON object if its dict methods raise errors."""
        assert type(parse(encode(HostileDict(message="m"), ROOMY))) is dict

    @pytest.mark.parametrize("make", HARSH, ids=range(len(HARSH)))
    def test_that_is_hostile_fits_into_the_bare_entry(self, make: Any) -> None:
        """`bare` accepts a value whose methods all raise errors."""
        entry = dict.fromkeys(("message", "event_name", "add_ticket"), make())
        for meta_data in (make(), {"log_id": make(), "logged_at": make()}):
            payload = bare_soon({**entry, "meta_data": meta_data}, MIN_LIMIT, "<why>")
            assert parse(payload)["meta_data"]["trimmed"] == "<why>"

    @given(zoo, st.integers(MIN_LIMIT, 4096))
    @settings(max_examples=20, deadline=None)
    def test_fits_into_the_bare_entry(self, value: object, limit: int) -> None:
        """`bare` accepts any value in any field, and its result is within the size limit."""
        entry = dict.fromkeys(("message", "event_name", "add_ticket"), value)
        for meta_data in (value, {"log_id": value, "logged_at": value}):
            payload = bare_soon({**entry, "meta_data": meta_data}, limit, "<why>")
            assert len(payload) <= limit
            assert parse(payload)["meta_data"]["trimmed"] == "<why>"


class TestForms:
    @pytest.mark.parametrize(
        ("value", "form"),
        [
            (datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc), "2026-01-02T03:04:05.000006+00:00"),
            (date(2026, 1, 2), "2026-01-02"),
            (time(3, 4), "03:04:00"),
            (timedelta(hours=1), "1:00:00"),
            (Decimal("1.10"), "1.10"),
            (Decimal("NaN"), "NaN"),
            (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
            (Fraction(1, 3), "1/3"),
            (PurePosixPath("a/b"), "a/b"),
            (PurePosixPath("a\udcff"), "a\\udcff"),
            (b"text", "text"),
            (b"\xff", "\\xff"),
            (bytearray(b"text"), "text"),
            (memoryview(b"text"), "text"),
            ((1, 2), [1, 2]),
            ({1}, [1]),
            (frozenset({1}), [1]),
            (deque([1]), [1]),
            ({}.keys(), []),
            (Pair(1, 2), {"left": 1, "right": 2}),
            (Color.RED, "red"),
            (Size.LARGE, 3),
            (Word.HELLO, "hello"),
            (Point(1, Point(2, {3})), {"x": 1, "y": {"x": 2, "y": [3]}}),
            (Order(1, 2), {"number": 1}),
            (ValueError("bad"), "ValueError: bad"),
            (BrokenError(), "BrokenError: <unprintable BrokenError>"),
            (float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
            ("\ud800", "\\ud800"),
            (HostileStr("text"), "text"),
            (HostileInt(7), 7),
            (HostileFloat(0.5), 0.5),
            (UserDict({1: 2}), {"1": 2}),
            (UserString("text"), "text"),
            (MappingProxyType({"a": 1}), {"a": 1}),
            (OrderedDict(a=1), {"a": 1}),
            (range(3), "range(0, 3)"),
            (1 + 2j, "(1+2j)"),
            (int, "<class 'int'>"),
            (Plain(), "Plain()"),
            (TextProxy(), "proxied text"),
            (UnboundProxy(), "<UnboundProxy>"),
            (BrokenRepr(), "<unprintable BrokenRepr>"),
            (WrongRepr(), "<unprintable WrongRepr>"),
            (10**5000, "<unprintable int>"),
            (Attrs(), {"x": 1, "y": ["2026-01-02"]}),
            (Model(), {"day": "2026-01-02"}),
            (Array([1, float("nan")]), [1, "NaN"]),
            (Array(True), True),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_each_known_type_has_a_sensible_form(self, value: object, form: object) -> None:
        """Values of all types that apps often log are sent in a readable form."""
        assert sent(value) == form

    def test_a_dataclass_with_an_unset_field_shows_the_others(self) -> None:
        """If a field of a dataclass is not set, the other fields are sent."""
        assert sent(Unfinished(1))["number"] == 1

    def test_keys_with_the_same_text_are_both_kept(self) -> None:
        """The values of the keys 1 and "1" are both sent."""
        assert sorted(sent({1: "int", "1": "str"}).values()) == ["int", "str"]

    def test_many_long_keys_with_the_same_beginning_are_all_kept(self) -> None:
        """If long keys have the same text after a cut, all their values are still sent."""
        urls = {
            "https://example.com/" + "a" * 300 + str(number): {number} for number in range(2000)
        }

        assert sorted(sent(urls).values()) == [[number] for number in range(2000)]

    def test_constants_as_keys_are_written_as_json_writes_them(self) -> None:
        """The keys None, True and False are sent as `json` writes them."""
        assert sent({None: 1, True: 2, False: 3}) == {"null": 1, "true": 2, "false": 3}

    def test_a_broken_key_costs_only_its_own_name(self) -> None:
        """If the `str` of a key raises an error, the other keys do not change."""
        assert sent({UnboundProxy(): 1, "other": 2})["other"] == 2

    @pytest.mark.parametrize("make", [lambda: iter([1, 2]), lambda: (n for n in (1, 2))])
    def test_iterators_are_not_consumed(self, make: Any) -> None:
        """A log call takes no values from a generator of the app."""
        values = make()

        sent(values)

        assert list(values) == [1, 2]

    def test_a_large_array_is_not_unpacked(self) -> None:
        """If an array has too many elements, its short `repr` is sent."""
        assert sent(Array(pytest.fail, size=ROOMY // 2 + 1)) == "array([...])"

    def test_a_model_dump_of_an_instance_is_not_called(self) -> None:
        """If `model_dump` is only an instance attribute, as in a mock, it is not called."""
        value = Plain()
        value.model_dump = pytest.fail  # type: ignore[attr-defined]

        assert sent(value) == "Plain()"

    def test_a_set_that_changes_meanwhile_keeps_its_elements(self) -> None:
        """A set is sent even if the `repr` of an element adds an element to the set."""
        values: set[Any] = {1}

        class Adder:
            def __repr__(self) -> str:
                values.add(len(values))
                return "Adder()"

        values.add(Adder())

        assert "Adder()" in sent(values)

    def test_a_dict_that_changes_meanwhile_keeps_its_items(self) -> None:
        """A dict is sent even if the `repr` of a value adds an item to the dict."""
        values: dict[Any, Any] = {"first": 1}

        class Adder:
            def __repr__(self) -> str:
                values[len(values)] = 1
                return "Adder()"

        values["adder"] = Adder()

        assert sent(values) == {"first": 1, "adder": "Adder()"}

    def test_a_dict_that_another_thread_changes_is_encoded(self) -> None:
        """A dict becomes strict JSON even while another thread changes the dict."""
        shared: dict[Any, Any] = {}
        has_ended = threading.Event()

        def change() -> None:
            number = 0
            while not has_ended.is_set():
                number += 1
                shared[number % 50] = {"n": number}
                shared.pop((number * 7) % 50, None)

        thread = threading.Thread(target=change)
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        thread.start()
        try:
            for _ in range(200):
                assert type(sent(shared)) is dict
        finally:
            has_ended.set()
            thread.join()
            sys.setswitchinterval(interval)

    def test_numpy_values_have_their_python_form(self) -> None:
        """Scalars and arrays of numpy are sent as numbers and lists."""
        np = pytest.importorskip("numpy")

        assert sent([np.int64(1), np.float32(0.5), np.bool_(True), np.arange(3)]) == [
            *(1, 0.5, True),
            [0, 1, 2],
        ]

    def test_numpy_values_without_a_python_type_keep_their_meaning(self) -> None:
        """Long floats keep all digits, times keep their unit, and records keep field names."""
        np = pytest.importorskip("numpy")
        time = np.datetime64("2026-01-02T03:04:05.000000006", "ns")
        text = "2026-01-02T03:04:05.000000006"
        record = np.zeros(2, dtype=[("a", "i4"), ("b", [("c", "M8[ns]")])])
        fields = {"a": 0, "b": {"c": "1970-01-01T00:00:00.000000000"}}

        assert sent([np.longdouble(1.5), np.full((1, 2), 0.5, "g"), np.array(2.5, "g")]) == [
            *(1.5, [[0.5, 0.5]], 2.5)
        ]
        assert sent(np.clongdouble(1j)) == repr(np.clongdouble(1j))
        assert sent(time) == text
        assert sent([np.full((1, 2), time), np.array(time)]) == [[[text, text]], text]
        assert sent(np.timedelta64(5, "ns")) == "5 nanoseconds"
        assert sent(np.datetime64("2026-01-02", "us")) == "2026-01-02T00:00:00"
        assert sent([record, record[0], record[:1].reshape(())]) == [
            [fields, fields],
            fields,
            fields,
        ]

    def test_a_record_of_numpy_is_redacted_by_its_names(self) -> None:
        """If a numpy record has a field "password", the value of the field is masked."""
        np = pytest.importorskip("numpy")
        record = np.zeros(1, dtype=[("password", "f8"), ("a", "i4")])

        entry = parse(encode({"value": record}, ROOMY, Redaction(["password"])))

        assert entry["value"] == [{"password": MASK, "a": 0}]

    def test_attrs_instances_show_their_fields(self) -> None:
        """An instance of an `attrs` class is sent as a JSON object with its fields."""
        attrs = pytest.importorskip("attrs")
        kind = attrs.make_class("Kind", ["x"])

        assert sent(kind(x=(1,))) == {"x": [1]}

    def test_pydantic_models_show_their_fields(self) -> None:
        """A `pydantic` model is sent as a JSON object with its fields."""
        pydantic = pytest.importorskip("pydantic", minversion="2")
        kind = pydantic.create_model("Kind", day=(date, ...))

        assert sent(kind(day=date(2026, 1, 2))) == {"day": "2026-01-02"}

    def test_pydantic_models_cause_no_warning(self) -> None:
        """Even if a field of a `pydantic` model has a wrong type, the app gets no warning."""
        pydantic = pytest.importorskip("pydantic", minversion="2")
        kind = pydantic.create_model("Kind", number=(int, ...))

        assert sent(kind.model_construct(number="seven")) == {"number": "seven"}


def nested(depth: int, wrap: Any, value: Any = 1) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS = [
    lambda inner: [inner],
    lambda inner: {"k": inner},
    lambda inner: (inner,),
    lambda inner: {1: inner},
    lambda inner: deque([inner]),
    lambda inner: UserDict({"k": inner}),
    lambda inner: Point(1, inner),
]


class TestShape:
    @pytest.mark.parametrize("wrap", WRAPS)
    def test_deep_nesting_is_cut_and_marked(self, wrap: Any) -> None:
        """A value with 10,000 nested levels is cut at the limit, and a mark shows the cut."""
        data = json.dumps(sent(nested(10_000, wrap)))

        assert TOO_DEEP in data
        assert data.count("[") + data.count("{") <= MAX_DEPTH

    @pytest.mark.parametrize("wrap", WRAPS)
    def test_nesting_beyond_the_bound_is_cut_and_marked(self, wrap: Any) -> None:
        """A value that is nested slightly too deeply is cut, and a mark shows the cut."""
        assert TOO_DEEP in json.dumps(sent(nested(MAX_DEPTH + 5, wrap)))

    @pytest.mark.parametrize("wrap", WRAPS[:3])
    def test_nesting_up_to_the_bound_is_kept(self, wrap: Any) -> None:
        """A value that is not nested deeper than the limit is sent whole."""
        value = nested(MAX_DEPTH - 1, wrap)

        assert sent(value) == json.loads(json.dumps(value))

    def test_the_bound_of_nesting_is_one_for_all_values(self) -> None:
        """The fast encoder and the careful encoder allow the same depth of nesting."""
        plain: Any = [1]
        odd: Any = [{1}]
        for _ in range(MAX_DEPTH - 3):
            plain, odd = [plain], [odd]

        assert TOO_DEEP not in json.dumps(sent(plain)) + json.dumps(sent(odd))

    def test_cycles_are_cut_and_marked(self) -> None:
        """If a list or dict contains itself, a mark replaces it, and other items are sent."""
        own_list: list[Any] = [1, {2}]
        own_list.append(own_list)
        own_dict: dict[Any, Any] = {"a": {2}}
        own_dict["self"] = [own_dict]

        assert sent(own_list) == [1, [2], CYCLE]
        assert sent(own_dict) == {"a": [2], "self": [CYCLE]}

    def test_a_cycle_of_plain_lists_is_cut(self) -> None:
        """If plain lists contain each other, the fast encoder also finds the cycle."""
        own: list[Any] = [1]
        own.append(own)

        assert sent(own) == [1, CYCLE]

    def test_one_value_in_two_places_is_not_a_cycle(self) -> None:
        """A list that appears in two places is sent twice."""
        shared = [{1}]

        assert sent([shared, shared]) == [[[1]], [[1]]]

    @pytest.mark.parametrize(
        ("kind", "leaf"),
        [
            *[(list, 1), (list, "text"), (list, {1}), (tuple, None), (tuple, Plain()), (deque, 1)],
            (lambda values: dict(zip("abcdefghijklmn", values, strict=True)), 1),
        ],
    )
    def test_many_shared_references_cost_little(self, kind: Any, leaf: object) -> None:
        """If the same container appears many times in nested containers, the value is cut early."""
        value = nested(6, lambda inner: kind([inner] * 14), leaf)

        assert peak_memory(value, 4096) < 2_000_000

    @pytest.mark.parametrize("kind", [OrderedDict, dict])
    def test_shared_references_in_any_kind_of_entry_cost_little(self, kind: Any) -> None:
        """An entry that is a dict subclass with many shared references takes little memory."""
        value = nested(5, lambda inner: [inner] * 14)
        tracemalloc.start()
        try:
            payload = encode(kind(value=value), 4096)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert len(payload) <= 4096
        assert peak < 2_000_000

    @pytest.mark.parametrize(
        "value",
        [
            ["x" * 4000] * 4000,
            ["\x00" * 4000] * 1000,
            [{"k" * 4000: 1}] * 2000,
            [{1}, *["x" * 4000] * 4000],
            [b"x" * 4000] * 4000,
            [10**4000] * 1000,
            [{2}, *[10**4000] * 1000],
        ],
        ids=["str", "control", "key", "odd beside str", "bytes", "int", "odd beside int"],
    )
    def test_a_long_value_shared_many_times_costs_little(self, value: object) -> None:
        """Thousands of references to one long value take little memory."""
        assert peak_memory(value, 4096) < 2_000_000

    def test_a_large_dict_is_not_copied_whole(self) -> None:
        """If a dict has 200,000 items, only the items that fit into the entry are read."""
        cache = dict.fromkeys(range(200000))

        assert peak_memory(cache, 4096) < 2_000_000

    def test_an_endless_mapping_is_cut(self) -> None:
        """If a mapping is endless, only the items that fit into the entry are read."""

        class EndlessMapping(Mapping[int, int]):
            def __getitem__(self, key: int) -> int:
                return key

            def __len__(self) -> int:
                return 1

            def __iter__(self) -> Iterator[int]:
                yield from range(100_000)
                pytest.fail("read without end")

        parse(encode({"value": EndlessMapping()}, 4096))

    def test_an_endless_sequence_is_cut(self) -> None:
        """If a sequence is endless, only the items that fit into the entry are read."""
        payload = encode({"message": "m", "value": Endless()}, 4096)

        assert parse(payload)["message"] == "m"


class TestForeignCode:
    @pytest.mark.parametrize("name", ["__repr__", "__str__", "model_dump", "isoformat", "tolist"])
    def test_that_encodes_itself_is_called_a_few_times(self, name: str) -> None:
        """If the `__repr__` of a value logs this value again, there is no endless recursion."""
        calls = 0

        def render(self: object) -> Any:
            nonlocal calls
            calls += 1
            if calls > 100:
                pytest.fail("called more than 100 times")
            encode({"once": self, "again": self, "key": {self: 1}}, 4096)
            return "rendered"

        bases = {"__str__": (Exception,), "isoformat": (date,)}.get(name, ())
        module = "numpy" if name == "tolist" else __name__
        kind = type("Logs", bases, {name: render, "__module__": module})
        value = kind(2026, 1, 2) if name == "isoformat" else kind()

        parse(encode({"value": value}, 4096))

        assert calls

    def test_that_is_interrupted_lets_the_app_know(self) -> None:
        """If Ctrl-C comes in the `__repr__` of a value, the app gets the `KeyboardInterrupt`."""

        class Interrupted:
            def __repr__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            encode({"value": Interrupted()}, ROOMY)

    def test_that_encodes_another_value_gives_two_whole_entries(self) -> None:
        """If the `__repr__` of a value logs another value, both entries are complete."""
        inner: list[Any] = []

        class Logs:
            def __repr__(self) -> str:
                inner.append(sent([Plain(), {1}]))
                return "Logs()"

        assert sent([Logs(), Plain()]) == ["Logs()", "Plain()"]
        assert inner == [["Plain()", [1]]]

    def test_is_called_again_after_it_has_failed(self) -> None:
        """After a `__repr__` has raised an error, other `__repr__` methods are still called."""
        for _ in range(10):
            sent([BrokenRepr(), BrokenError()])

        assert sent(Plain()) == "Plain()"

    def test_that_switches_to_another_greenlet_is_called(self) -> None:
        """If the `__repr__` of a value lets other greenlets log values, all values are printed."""
        greenlet = pytest.importorskip("greenlet")
        results: list[Any] = []

        class Switches:
            def __repr__(self) -> str:
                greenlet.getcurrent().parent.switch()
                return "Switches()"

        def work() -> None:
            results.append(sent([Switches()]))

        workers = [greenlet.greenlet(work) for _ in range(20)]
        for _ in range(2):  # First, all greenlets begin a conversion. Then they end it.
            for worker in workers:
                worker.switch()

        assert results == [["Switches()"]] * 20
        assert sent(Plain()) == "Plain()"

    def test_with_little_stack_left_gives_an_object_or_nothing(self) -> None:
        """Near the recursion limit, each entry still becomes a JSON object."""

        def encode_at(depth: int) -> bytes:
            if depth:
                return encode_at(depth - 1)
            return encode({"message": "m", "odd": {1: {2: [{3}]}}}, 4096)

        results: list[bytes] = []
        with contextlib.suppress(RecursionError):
            results.extend(encode_at(depth) for depth in range(sys.getrecursionlimit()))

        assert {type(parse(payload)) for payload in results} == {dict}
        assert len(results) > 100


class TestTrimming:
    def test_the_longest_strings_give_way_first(self) -> None:
        """Long texts are cut first, so a short text stays whole."""
        entry = {"message": "short", "a": "x" * 5000, "b": ["y" * 300], "c": {"d": "z" * 300}}

        data = parse(encode(entry, 2048))

        assert (data["message"], data["b"], data["c"]) == ("short", ["y" * 300], {"d": "z" * 300})
        assert data["a"].startswith("x" * 500)
        assert data["a"].endswith(TRIMMED)

    def test_many_long_strings_cost_no_short_one(self) -> None:
        """If ten long texts are cut, short texts and the ids stay whole."""
        long = {f"long_{number}": "x" * 5000 for number in range(10)}
        last = {"event_name": "short", "meta_data": {"log_id": "run-1"}}

        data = parse(encode({"message": "m", **long, **last}, 4096))

        assert data == {"message": "m", **{key: data[key] for key in long}, **last}

    def test_strings_of_similar_length_are_cut_to_the_same_length(self) -> None:
        """Two long texts are cut to about the same length."""
        data = parse(encode({"a": "x" * 5000, "b": "y" * 4000}, 2048))

        assert abs(len(data["a"]) - len(data["b"])) < MARK_LENGTH

    @pytest.mark.parametrize("text", ["x", "\x00", "\U0001f600", '"', "é"])
    def test_most_of_the_limit_is_used(self, text: str) -> None:
        """After a cut, an entry uses most of the limit, even if a character takes several bytes."""
        assert 4096 - 2 * MARK_LENGTH < len(encode({"message": text * 20_000}, 4096)) <= 4096

    def test_text_with_an_expensive_beginning_fits(self) -> None:
        """A text is cut enough even if its first characters need the most bytes."""
        assert len(encode({"message": "\x00" * 1000 + "a" * 50_000}, 2048)) <= 2048

    def test_an_entry_of_exactly_the_limit_is_whole(self) -> None:
        """An entry that is exactly as long as the limit is not cut."""
        whole = encode({"message": "x" * 3000}, ROOMY)

        assert encode({"message": "x" * 3000}, len(whole)) == whole

    def test_an_entry_one_byte_above_the_limit_is_trimmed(self) -> None:
        """An entry that is one byte longer than the limit is cut."""
        whole = encode({"message": "x" * 3000}, ROOMY)

        payload = encode({"message": "x" * 3000}, len(whole) - 1)

        assert len(payload) < len(whole)
        assert parse(payload)["message"].endswith(TRIMMED)

    @pytest.mark.parametrize("value", ["x" * 10_000_000, b"x" * 10_000_000, "\ud800" * 10_000_000])
    @pytest.mark.parametrize("limit", [MIN_LIMIT, 256 * 1024])
    def test_value_of_ten_megabytes_is_trimmed(self, value: object, limit: int) -> None:
        """A value of 10 MB is cut, and the other fields of its entry stay."""
        payload = encode({"message": "m", "value": value}, limit)

        assert len(payload) <= limit
        data = parse(payload)
        assert data["message"] == "m"
        assert data["value"].endswith(TRIMMED)

    def test_an_entry_too_large_for_trimming_keeps_message_and_ids(self) -> None:
        """An entry with 5,000 numbers cannot be trimmed: only its message and ids are sent."""
        meta_data = {"logged_at": "now", "log_id": "run-1", "numbers": list(range(5000))}

        data = parse(encode({"message": "m", "level": "info", "meta_data": meta_data}, 2048))

        assert data["message"] == "m"
        assert data["meta_data"]["log_id"] == "run-1"
        assert data["meta_data"]["logged_at"] == "now"
        assert data["meta_data"]["trimmed"].startswith("<cut: ")

    def test_the_bare_entry_still_opens_a_ticket(self) -> None:
        """An entry that is cut to its bare fields keeps the field `add_ticket`."""
        entry = {"message": "m", "add_ticket": True, "meta_data": {"n": list(range(5000))}}

        assert parse(encode(entry, 2048))["add_ticket"] is True

    def test_the_bare_entry_cuts_a_long_reason(self) -> None:
        """A long name of an exception class does not make the bare entry too large."""
        payload = bare_soon({"message": "m"}, MIN_LIMIT, "<" + "x" * 5000 + ">")

        assert len(payload) <= MIN_LIMIT

    @pytest.mark.parametrize("text", ["\x00", '"', "\ud800", "\U0001f600"])
    def test_the_bare_entry_keeps_all_its_fields_within_the_least_limit(self, text: str) -> None:
        """A bare entry fits into the smallest size limit, even if all its fields are long."""
        names = ("message", "level", "app_name", "environment", "event_name", "add_ticket")
        entry = dict.fromkeys((*names, "method_name"), text * 5000)
        meta_data = dict.fromkeys(("logged_at", "log_id"), text * 5000)

        payload = bare_soon({**entry, "meta_data": meta_data}, MIN_LIMIT, "<cut: 1000000 bytes>")

        assert len(payload) <= MIN_LIMIT
        assert set(entry) < set(parse(payload))

    @given(st.text(max_size=3000), st.integers(MIN_LIMIT, 2048))
    @settings(max_examples=25, deadline=None)
    def test_an_encoded_entry_can_be_shortened(self, text: str, limit: int) -> None:
        """`shorten` cuts an encoded entry to the given limit."""
        meta_data = {"log_id": "run-1"}
        payload = encode({"message": text, "meta_data": meta_data}, ROOMY)

        shorter = shorten(payload, limit)

        assert len(shorter) <= limit
        assert parse(shorter)["meta_data"] == meta_data
