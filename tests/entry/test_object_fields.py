"""What an object hides in its own `repr` is not sent, and named items keep their names."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import OrderedDict, namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pytest

from voyage_logger import DEFAULT_REDACTED_KEYS
from voyage_logger._entry.encoding import encode
from voyage_logger._entry.json_codecs import dumps
from voyage_logger._entry.redaction import MASK, Redaction, Secrets
from voyage_logger._entry.trimming import bare

HIDDEN = "hunter2-hunter2"

Pair = namedtuple("Pair", "name password")  # noqa: PYI024 - libraries also use `namedtuple`


class User(NamedTuple):
    name: str
    password: str


class Url(NamedTuple):
    """A named tuple that hides a part of itself, as `URL` of SQLAlchemy does."""

    name: str
    pin: str

    def __repr__(self) -> str:
        return "Url(name='n', pin='...')"


class HidingTuple(tuple[str, ...]):
    __slots__ = ()

    def __repr__(self) -> str:
        return "HidingTuple(...)"


class HidingList(list[str]):
    def __repr__(self) -> str:
        return "HidingList(...)"


class HidingText(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "HidingText(...)"


class HidingStr(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "..."


class HidingBytes(bytes):
    def __repr__(self) -> str:
        return "HidingBytes(...)"


class Markup(str):
    """A text whose `repr` adds only the name of the class, as in MarkupSafe."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Markup({super().__repr__()})"


class Event(str, Enum):
    LOGIN = "login"


@dataclass
class Account:
    name: str
    pin: str = field(repr=False)


class Row(Sequence[Any]):
    """A database row as in SQLAlchemy: a sequence, and a property with the names of its items."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    @property
    def _fields(self) -> tuple[str, ...]:
        return ("name", "password")

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)


class LogsItself:
    """The base of classes whose `repr` logs the value itself."""

    def __repr__(self) -> str:
        inner.append(sent(self))
        return "..."


class TupleThatLogsItself(LogsItself, tuple[str, ...]):
    __slots__ = ()


class TextThatLogsItself(LogsItself, str):
    __slots__ = ()


class UserThatLogsItself(User):
    @property
    def _fields(self) -> Any:  # type: ignore[override]
        inner.append(sent(self))
        return ("name", "password")


inner: list[Any] = []  # what the values of these classes have logged


def sent(value: object) -> Any:
    """Return the value as a server would receive it, with the default redaction."""
    entry = {"value": value}
    return json.loads(encode(entry, 1 << 20, Redaction(DEFAULT_REDACTED_KEYS)))["value"]


def sqlite_row() -> Any:
    connection = sqlite3.connect(":memory:")
    try:
        connection.row_factory = sqlite3.Row
        return connection.execute("select 'n' as name, ? as password", [HIDDEN]).fetchone()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "value",
    [Pair("n", HIDDEN), User("n", HIDDEN), Row("n", HIDDEN), sqlite_row()],
    ids=["namedtuple", "NamedTuple", "SQLAlchemy", "sqlite3"],
)
def test_named_items_keep_their_names(value: object) -> None:
    """A named tuple or a database row is sent with names, so its password is masked."""
    assert sent([value]) == [{"name": "n", "password": MASK}]


def test_names_that_do_not_fit_the_items_are_not_used() -> None:
    """If a row has more items than names, its items are sent as a list."""
    assert sent(Row(1, 2, 3)) == [1, 2, 3]


def test_record_of_the_standard_library_keeps_its_names() -> None:
    """A record such as `time.struct_time` is sent with the names of its items."""
    assert sent(time.gmtime(0))["tm_year"] == 1970


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Url("n", HIDDEN), "Url(name='n', pin='...')"),
        (HidingTuple([HIDDEN]), "HidingTuple(...)"),
        (HidingList([HIDDEN]), "HidingList(...)"),
        (HidingText(HIDDEN), "HidingText(...)"),
        (HidingStr(HIDDEN), "..."),
        (HidingBytes(HIDDEN.encode()), "HidingBytes(...)"),
        (Secrets((HIDDEN,)), "Secrets()"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text_of_a_value_that_hides_its_content_is_sent(value: object, shown: object) -> None:
    """If a subclass of a tuple, list, text or bytes hides its content, its own text is sent."""
    assert sent([value]) == [shown]


@pytest.mark.parametrize(
    "value",
    [TupleThatLogsItself([HIDDEN]), TextThatLogsItself(HIDDEN), UserThatLogsItself("n", HIDDEN)],
    ids=lambda value: type(value).__name__,
)
def test_value_that_logs_itself_is_hidden_at_each_level(value: object) -> None:
    """If the `repr` of a value logs the value, the hidden content is not sent at any level."""
    inner.clear()
    assert HIDDEN not in json.dumps(sent([value]))
    assert len(inner) == 3
    assert HIDDEN not in json.dumps(inner)


def test_text_with_a_longer_repr_is_sent_as_it_is() -> None:
    """If the `repr` of a text contains the text, the text itself is sent."""
    assert sent([Markup("a 'b' \n"), Event.LOGIN]) == ["a 'b' \n", "login"]


def test_field_of_a_dataclass_that_its_repr_hides_is_left_out() -> None:
    """A field of a dataclass with `repr=False` is not sent."""
    assert sent([Account("n", HIDDEN)]) == [{"name": "n"}]


def test_field_of_attrs_that_its_repr_hides_is_left_out() -> None:
    """A field of an attrs class with `repr=False` is not sent."""
    attrs = pytest.importorskip("attrs")
    fields = {"name": attrs.field(), "pin": attrs.field(repr=False)}
    fields["iban"] = attrs.field(repr=lambda value: value[:2])
    kind = attrs.make_class("Account", fields)

    assert sent([kind("n", HIDDEN, "DE0212")]) == [{"name": "n", "iban": "DE"}]


def test_hidden_fields_of_pydantic_models_are_left_out() -> None:
    """A field of a pydantic model with `repr=False` is not sent, at any depth of models."""
    pydantic = pytest.importorskip("pydantic", minversion="2")
    pin = (str, pydantic.Field(repr=False, serialization_alias="PIN"))
    user: Any = pydantic.create_model("User", name=(str, ...), pin=pin)
    one = user(name="n", pin=HIDDEN)
    group = pydantic.create_model(
        "Group",
        users=(list[user], ...),
        pair=(tuple[user, int], ...),
        named=(dict[str, user], ...),
        ordered=(OrderedDict[str, user], ...),
        account=(Account, ...),
        root=(pydantic.RootModel[list[user]], ...),
    )
    value = group(
        users=[one],
        pair=(one, 1),
        named={"a": one},
        ordered=OrderedDict(a=one),
        account=Account("n", HIDDEN),
        root=[one],
    )
    shown = {"name": "n"}
    assert sent([value]) == [
        {
            "users": [shown],
            "pair": [shown, 1],
            "named": {"a": shown},
            "ordered": {"a": shown},
            "account": shown,
            "root": [shown],
        }
    ]


def test_hidden_field_of_a_pydantic_model_with_aliases_is_left_out() -> None:
    """If a pydantic model is sent with the aliases of its fields, hidden fields are left out."""
    pydantic = pytest.importorskip("pydantic", minversion="2.11")
    pin = (str, pydantic.Field(repr=False, serialization_alias="PIN"))
    config = pydantic.ConfigDict(serialize_by_alias=True)
    user = pydantic.create_model("User", name=(str, ...), pin=pin, __config__=config)

    assert sent([user(name="n", pin=HIDDEN)]) == [{"name": "n"}]


def test_pydantic_model_that_cannot_be_dumped_shows_its_fields() -> None:
    """If one field of a pydantic model cannot be dumped, the other fields are sent."""
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Broken(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        name: str
        pin: str = pydantic.Field(repr=False)
        token: str = pydantic.Field(exclude=True)

        @pydantic.field_serializer("name")  # type: ignore[untyped-decorator]
        def fail(self, _value: str) -> str:
            raise ValueError("no text")

    Broken.model_rebuild(_types_namespace={"str": str})
    assert sent([Broken(name="n", pin=HIDDEN, token=HIDDEN)]) == [{"name": "n"}]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_model_that_cannot_be_read_at_all_is_marked(error: type[BaseException]) -> None:
    """A model without readable fields is marked as a whole, and Ctrl-C reaches the app."""

    class Model:
        model_fields = {"name": None}  # noqa: RUF012 - pydantic also uses a dict

        def model_dump(self) -> Any:
            raise error

    class Fieldless(Model):
        model_fields = None  # type: ignore[assignment]

    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            sent(Model())
    else:
        assert sent([Fieldless()]) == ["<unprintable Fieldless>"]


def test_model_of_pydantic_1_shows_its_fields() -> None:
    """A model of pydantic 1 is sent with its field names, and hidden fields are left out."""
    pydantic = pytest.importorskip("pydantic.v1")

    class Inner(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        name: str
        password: str
        pin: str = pydantic.Field(HIDDEN, repr=False)
        key: str = pydantic.Field(HIDDEN, exclude=True)

    class Outer(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        inner: Any

        class Config:
            extra = "allow"

    assert sent([Outer(inner=[Inner(name="n", password=HIDDEN)], more=1)]) == [
        {"inner": [{"name": "n", "password": MASK}], "more": 1}
    ]


@pytest.mark.parametrize("value", [None, True, False, "", b""], ids=repr)
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_value_that_contains_no_secret_is_not_masked(value: Any, odd: object) -> None:
    """Under a key such as "password", None, a bool or an empty text is sent unchanged."""
    entry = {"token": value, "meta_data": {"auth": value, "in": [{"password": value}], "odd": odd}}
    found = json.loads(encode(entry, 1 << 20, Redaction(DEFAULT_REDACTED_KEYS)))
    form = "" if value == b"" else value
    assert (found["token"], found["meta_data"]["auth"]) == (form, form)
    assert found["meta_data"]["in"] == [{"password": form}]


def test_empty_text_in_a_bare_entry_is_not_masked() -> None:
    """If an entry is cut to its bare fields, an empty text under a masked name stays empty."""
    entry = {"message": "m", "event_name": "", "method_name": "f"}
    redaction = Redaction(["event_name", "method_name"])
    found = json.loads(bare(entry, 1024, dumps, "why", redaction))
    assert (found["event_name"], found["method_name"]) == ("", MASK)


def test_pydantic_models_in_many_levels_are_sent() -> None:
    """If pydantic models are nested too deeply, the value is still sent, and nothing is raised."""
    pydantic = pytest.importorskip("pydantic", minversion="2")
    node = pydantic.create_model(
        "Node", inner=(Any, None), pin=(str, pydantic.Field("1", repr=False))
    )
    value = None
    for _ in range(60):
        value = node(inner=value)
    assert b'"inner"' in encode({"message": "m", "meta_data": {"node": value}}, 1 << 18)
