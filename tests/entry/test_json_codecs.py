"""`orjson` and `json` encode an entry to the same bytes."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.processes import python
from voyage_logger import DEFAULT_REDACTED_KEYS
from voyage_logger._entry import encoding
from voyage_logger._entry import json_codecs as _json
from voyage_logger._entry.encoding import encode, encode_call
from voyage_logger._entry.field_conversion import conform
from voyage_logger._entry.redaction import NOTHING, Redaction
from voyage_logger._entry.safe_text import MAX_DEPTH
from voyage_logger._entry.timeline import Timeline

LIMIT = 64 * 1024
SECRET = 'päss"word\\1234567'


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict[str, Any]):
    pass


class Color(Enum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


@dataclass
class Point:
    x: float


ODD: list[Any] = [
    *(math.nan, math.inf, -math.inf, -0.0, 0.0, 1e16, 1e15, 9999999999999998.0, 1e-4, 9.999e-5),
    *(1.5e-5, 1e-7, 5e-324, 1.7976931348623157e308, 1e22, -1e16, -1e-5, 0.1 + 0.2, 2.0**53),
    *(2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -(2**64) + 1, -(2**64), 10**100),
    *("\x00\x1f\x7f\x80\u2028\ud7ff\uffff\U0010ffff", '"\\/\b\f\n\r\t', "\ud800", "a\udfffz"),
    *(Text("t"), Number(7), Mapping(k=1), Color.RED, Size.LARGE, Point(1e-7), {Text("k"): 1}),
    *({1: 2}, {None: 1}, {"1": 1, 1: 2}, {True: 1}, {"\ud800": 1}, (), {}, [], (1, (2, [3]))),
    *(date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=timezone.utc), UUID(int=1), Decimal("1.50")),
    *(b"b", {1}, None, True, False, SECRET, {"password": 1e-9}, {"to-ken": SECRET, "x": 1e-9}),
]

leaves = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=20),
    st.text(st.characters(), max_size=5),  # The texts can contain lone surrogates.
    st.integers(),
    st.integers(-(1 << 66), 1 << 66),
    st.floats(),
    st.integers(0, (1 << 64) - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0]),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["password", "n", "k" * 300]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that encodes an entry twice, with `orjson` and with `json`."""
    quick = _json._orjson_encoder()
    assert quick is not None  # the development tools include orjson

    def encoded(entry: dict[str, Any], limit: int = LIMIT) -> tuple[bytes, bytes]:
        found = []
        for write in (quick, _json.dumps):
            # A redaction remembers harmless keys, and checks them faster the next time.
            redaction = Redaction(DEFAULT_REDACTED_KEYS, lambda: (SECRET,))
            monkeypatch.setattr(encoding, "quick_dumps", write)
            found.append(encode(entry, limit, redaction))
        return found[0], found[1]

    return encoded


class TestBytes:
    @pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
    def test_of_an_odd_value_are_the_same(self, value: Any, both: Any) -> None:
        """Unusual values give the same bytes with `orjson` and with `json`."""
        for entry in (
            {"message": "m", "meta_data": {"value": value}},
            {"message": "m", "value": [value]},
            {"message": "m", "value": value, "meta_data": {"k" * 300: 1}},
        ):
            quick, plain = both(entry)

            assert quick == plain

    def test_of_any_entry_are_the_same(self, both: Any) -> None:
        """Any entry gives the same bytes with `orjson` and `json`."""

        @given(st.dictionaries(st.text(max_size=6), values, max_size=5), st.integers(1024, LIMIT))
        @settings(max_examples=100, deadline=None)
        def check(entry: dict[str, Any], limit: int) -> None:
            quick, plain = both(entry, limit)

            assert quick == plain

        check()

    @given(st.floats(allow_nan=False, allow_infinity=False))
    @settings(max_examples=100, deadline=None)
    def test_of_floats_that_are_alike_are_the_same(self, value: float) -> None:
        """If `is_alike` is true for a float, `orjson` and `json` write the same text for it."""
        quick = _json._orjson_encoder()
        assert quick is not None

        assert not _json.is_alike(value) or quick(value) == json.dumps(value)


class TestOrjson:
    @pytest.mark.parametrize(
        "value", [Text("t"), Number(7), Mapping(k=1), date(2026, 1, 2), Point(1.0), 2**64, "\ud800"]
    )
    def test_refuses_values_that_are_not_exactly_plain(self, value: Any) -> None:
        """If a value is not plain, `orjson` raises an error; then `json_data` encodes the value."""
        quick = _json._orjson_encoder()
        assert quick is not None

        with pytest.raises(TypeError):
            quick([value])


class TestChoice:
    @pytest.mark.parametrize("is_wanted", [True, False])
    def test_of_the_encoder_follows_the_environment(self, *, is_wanted: bool) -> None:
        """`orjson` is used if it is installed and VOYAGE_LOGS_ORJSON is not 0."""
        code = (
            "import sys, voyage_logger._entry.json_codecs as j;"
            "print('orjson' in sys.modules, j.quick_dumps is not j.dumps)"
        )

        assert run(code, VOYAGE_LOGS_ORJSON="1" if is_wanted else "0") == f"{is_wanted} {is_wanted}"

    def test_is_json_without_a_working_orjson(self) -> None:
        """If `orjson` is missing or broken, `json` is used."""
        code = (
            "import sys; sys.modules['orjson'] = None;"
            "import voyage_logger._entry.json_codecs as j; print(j.quick_dumps is j.dumps)"
        )

        assert run(code) == "True"

    def test_avoids_a_c_encoder_that_differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If Python's C encoder is missing or works differently, `JSONEncoder.encode` is used."""

        def other(*_: object) -> Any:
            return lambda *_: ("other",)

        for make in (None, other, lambda _: None):
            with monkeypatch.context() as patch:
                patch.setattr("json.encoder.c_make_encoder", make)
                found = _json._json_encoder()

            assert found({"a": [1.5, None, "ä"]}) == '{"a":[1.5,null,"ä"]}'


def run(code: str, **environment: str) -> str:
    """Run code in a new interpreter, and return its output."""
    done = python("-c", code, environ=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestEncodeCall:
    """`encode_call` returns the same bytes as `encode`, or None."""

    def test_returns_the_bytes_of_encode_or_none(self) -> None:
        """`encode_call` returns the bytes that `encode` returns, or None."""
        ways = set()
        redaction = Redaction(DEFAULT_REDACTED_KEYS, lambda: (SECRET,))
        names = st.sampled_from(
            ["app_name", "event_timeline", "meta_data", "tags", "password", "x", "app_user_id"]
        )

        @given(
            st.text(max_size=20) | st.just(SECRET),
            st.dictionaries(names | st.text(max_size=6), values, max_size=4),
            st.sampled_from([1024, LIMIT]),
            st.booleans(),
        )
        @settings(max_examples=100, deadline=None)
        def check(message: str, fields: dict[str, Any], limit: int, is_told: bool) -> None:
            timeline = Timeline([("a step", 1)]) if is_told else None
            common = {"level": "info", "app_name": "app", "environment": "test"}
            said = conform(fields)
            found = encode_call(
                message, _json.dumps(common), fields, said, limit, redaction, timeline
            )

            ways.add(found is None)
            entry = {"message": message, **common, **fields}
            assert found is None or found == encode(entry, limit, redaction, timeline)

        check()
        assert ways == {True, False}

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"app_name": "other"},
            {"environment": "other"},
            {"password": "x"},
            {"meta_data": {"password": "x"}},
            {"meta_data": {"a": SECRET}},
            {"event_name": SECRET},
            {"a": "x" * 2000},
            {"a": ["x" * 100] * 20},
            {"a": 1 << 70},
            {"a": "\ud800"},
            {"k" * 600: 1, "j" * 600: 1},
            {"a": "\0" * 400},
        ],
        ids=range(13),
    )
    def test_returns_none_for_an_entry_to_mask_or_cut(self, fields: dict[str, Any]) -> None:
        """`encode_call` returns None if a value must be masked, cut or replaced."""
        redaction = Redaction(DEFAULT_REDACTED_KEYS, lambda: (SECRET,))

        assert (
            encode_call("m", '{"level":"info"}', fields, conform(fields), 1024, redaction) is None
        )

    def test_has_the_same_bound_of_nesting(self) -> None:
        """`encode_call` and `encode` allow the same depth of containers."""
        for depth in range(MAX_DEPTH - 3, MAX_DEPTH + 3):
            value: Any = []
            for _ in range(depth):
                value = [value]
            fields = {"value": value}
            found = encode_call("m", '{"level":"info"}', fields, conform(fields), LIMIT, NOTHING)

            entry = {"message": "m", "level": "info", **fields}
            assert found in (None, encode(entry, LIMIT))
            assert (found is None) == (depth > MAX_DEPTH - 2)


def test_float_that_both_encoders_write_alike_takes_the_quick_path() -> None:
    """A float as the only value beside the message needs no careful path."""
    assert (
        encode({"ratio": 0.5, "rates": [0.5, [0.25]]}, LIMIT)
        == b'{"ratio":0.5,"rates":[0.5,[0.25]]}'
    )
    fields: dict[str, Any] = {"ratio": 0.5}
    text = encode_call("m", '{"level":"info"}', fields, (0, [0.5]), LIMIT, NOTHING)
    assert text == b'{"message":"m","level":"info","ratio":0.5}'
