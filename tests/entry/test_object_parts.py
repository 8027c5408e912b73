"""If reading one part of a value raises an error, the other parts of the value are sent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger._entry.encoding import encode

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger, Recorder

RAISED = "<raised LookupError>"


class Lazy:
    """A descriptor whose value cannot be read, as in an ORM after the session is closed."""

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return None
        raise LookupError("the session is closed")

    def __set__(self, instance: object, value: object) -> None:
        pass


@dataclass
class User:
    id: int
    orders: object = field(default=Lazy())
    name: str = "Ann"


class Attribute:
    def __init__(self, name: str) -> None:
        self.name = name


class Attrs:
    __attrs_attrs__ = (Attribute("id"), Attribute("orders"), Attribute("name"))
    id, orders, name = 1, Lazy(), "Ann"


class Lookup(Mapping[str, Any]):
    """A mapping in which some keys cannot be read."""

    def __init__(self, keys: Any, broken: Any) -> None:
        self._keys, self._broken = keys, broken
        self.reads = 0

    def __getitem__(self, key: str) -> Any:
        self.reads += 1
        if key in self._broken:
            raise LookupError
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class Rows(Sequence[Any]):
    """A sequence whose second element cannot be read."""

    def __getitem__(self, index: Any) -> Any:
        if index == 1:
            raise LookupError
        return index

    def __len__(self) -> int:
        return 3


class Cursor(Sequence[Any]):
    """A sequence that fails after its second element."""

    __getitem__: Any = None

    def __iter__(self) -> Iterator[int]:
        yield from (1, 2)
        raise LookupError

    def __len__(self) -> int:
        return 3


class Closed(Sequence[Any]):
    """A sequence that cannot be read at all."""

    __getitem__: Any = None

    def __iter__(self) -> Iterator[int]:
        raise LookupError

    def __len__(self) -> int:
        return 3


class Items(Lookup):
    """A mapping whose own method `items` fails after two items."""

    def items(self) -> Any:
        yield from (("a", 1), ("b", 2))
        raise LookupError


class Interrupted(Mapping[str, Any]):
    """A mapping in which reading a value is interrupted by Ctrl-C."""

    def __getitem__(self, key: str) -> Any:
        raise KeyboardInterrupt

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


class Form(dict[str, Any]):
    """A form as in Django: a dict of lists, whose `[]` returns only the last value of a key."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)[-1]

    def getlist(self, key: str) -> Any:
        return super().__getitem__(key)


class Query(Mapping[str, str]):
    """A query as in aiohttp or httpx: it lists a key once for each value of the key."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = pairs

    def __getitem__(self, key: str) -> str:
        return self.getall(key)[0]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def getall(self, key: str) -> list[str]:
        return [value for name, value in self._pairs if name == key]


class Headers(Mapping[str, str]):
    """Headers as in werkzeug, whose iterator yields pairs instead of keys."""

    def __getitem__(self, key: str) -> str:
        return self.get_list(key)[0]

    def __iter__(self) -> Iterator[Any]:
        yield from (("a", "1"), ("b", "2"), ("b", "3"))

    def __len__(self) -> int:
        return 3

    def keys(self) -> Any:
        return (key for key, _ in self)

    def get_list(self, key: str) -> list[str]:
        return [value for name, value in self if name == key]


class CloudPath:
    """A path as in cloudpathlib, whose `__fspath__` downloads the file."""

    def __fspath__(self) -> str:
        pytest.fail("the file is downloaded")

    def __str__(self) -> str:
        return "s3://bucket/data.csv"


FORMS = [
    Form(a=["1"], b=["2", "3"], c=[]),
    Query(("a", "1"), ("b", "2"), ("b", "3")),
    Headers(),
]


def sent(value: object) -> Any:
    """Return the value as a server would receive it."""
    return json.loads(encode({"value": value}, 1 << 20))["value"]


@pytest.mark.parametrize("value", [User(1), Attrs()], ids=["dataclass", "attrs"])
def test_attribute_that_raises_is_marked(value: object) -> None:
    """If reading one attribute raises an error, a mark replaces only this attribute."""
    assert sent([value]) == [{"id": 1, "orders": RAISED, "name": "Ann"}]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Lookup("abc", "b"), {"a": 1, "b": RAISED, "c": 1}),
        (Items("abc", ""), {"a": 1, "b": 2, RAISED: True}),
        (Rows(), [0, RAISED, 2]),
        (Cursor(), [1, 2, RAISED]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_item_that_raises_is_marked(value: object, form: object) -> None:
    """If reading one item raises an error, a mark shows it, and the other items are sent."""
    assert sent([value]) == [form]


@pytest.mark.parametrize(
    ("value", "form"),
    [(Lookup("abc", "b"), {"a": 1, "b": RAISED}), (Items("abc", ""), {"a": 1, RAISED: True})],
    ids=["key", "items"],
)
def test_item_of_meta_data_that_raises_is_marked(
    make_logger: MakeLogger, recorder: Recorder, value: Any, form: dict[str, object]
) -> None:
    """If `meta_data` is a mapping in which one key cannot be read, the other keys are sent."""
    logger = make_logger(transport=recorder)
    logger.info("x", meta_data=value)
    assert logger.flush()
    assert form.items() <= recorder.entries[0]["meta_data"].items()


def test_mapping_in_which_every_key_raises_is_soon_given_up() -> None:
    """After 16 errors, no more items of a mapping are read, because each error can take long."""
    names = [str(number) for number in range(1000)]
    value = Lookup(["ok", *names], names)
    found = sent(value)
    assert value.reads == 18
    assert found == {"ok": 1, **dict.fromkeys(names[:16], RAISED), RAISED: True}


def test_value_that_cannot_be_read_at_all_is_marked_as_a_whole() -> None:
    """If a sequence raises an error before its first element, a mark replaces the sequence."""
    assert sent([Closed(), 1]) == ["<unprintable Closed>", 1]


def test_interrupt_while_an_item_is_read_reaches_the_app() -> None:
    """If Ctrl-C comes while an item is read, the app gets the `KeyboardInterrupt`."""
    with pytest.raises(KeyboardInterrupt):
        sent(Interrupted())


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
@pytest.mark.parametrize("is_bound", [True, False], ids=["over bound", "alone"])
def test_all_values_of_a_key_are_sent(
    make_logger: MakeLogger, recorder: Recorder, form: Any, is_bound: bool
) -> None:
    """If a form, a query or headers have several values for a key, all these values are sent."""
    logger = make_logger(transport=recorder)
    logger = logger.bind(meta_data={"bound": 1}) if is_bound else logger
    logger.info("x", meta_data=form)
    logger.info("x", meta_data={"form": form})
    assert logger.flush()
    alone, inside = (entry["meta_data"] for entry in recorder.entries)
    for found in (alone, inside["form"]):
        assert (found["a"], found["b"], found.get("c", [])) == ("1", ["2", "3"], [])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CloudPath(), "s3://bucket/data.csv"),
        (PurePosixPath("a/b"), "a/b"),
    ],
    ids=["cloud", "pathlib"],
)
def test_path_is_its_text(
    make_logger: MakeLogger, recorder: Recorder, path: Any, text: str
) -> None:
    """A path is sent as its `str`, and a file in the cloud is not downloaded."""
    logger = make_logger(transport=recorder)
    logger.info(path, session_id=path, meta_data={"path": path, "k": {path: 1}})
    assert logger.flush()
    (entry,) = recorder.entries
    assert entry["message"] == entry["session_id"] == entry["meta_data"]["path"] == text
    assert entry["meta_data"]["k"] == {text: 1}


def test_entry_of_a_folder_is_its_path(tmp_path: Path) -> None:
    """An `os.DirEntry` is sent as its path."""
    (tmp_path / "file").touch()
    with os.scandir(tmp_path) as found:
        assert sent(list(found)) == [str(tmp_path / "file")]
