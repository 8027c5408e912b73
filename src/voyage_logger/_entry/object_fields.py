"""Find the names of the fields that an object shows in its own `repr`.

What must stay true: a field that the object hides is not in the result. A class hides a field with
`field(repr=False)` in a dataclass, `field(repr=False)` in attrs, or `Field(repr=False)` in
pydantic. Often such a field is a secret.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from voyage_logger._base.frozen import Value
from voyage_logger._entry.safe_text import MAX_DEPTH

# The names of the fields. If a field has its own function that makes its text, as in attrs, this
# function is the value. For all other fields, the value is None.
Shown = dict[str, Callable[[Any], str] | None]


def shown_fields(value: Any) -> Shown | None:
    """Return the fields of a frozen class, dataclass, attrs or pydantic 1 object, or None."""
    kind: Any = type(value)
    if issubclass(kind, Value):
        return dict.fromkeys(kind.__match_args__) if kind.__repr__ is Value.__repr__ else None
    dataclasses = sys.modules.get("dataclasses")  # If `kind` is a dataclass, the app has loaded it.
    if hasattr(kind, "__dataclass_fields__") and dataclasses is not None:
        return dict.fromkeys(field.name for field in dataclasses.fields(kind) if field.repr)
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        shows = {each.name: getattr(each, "repr", True) for each in attributes}
        return {name: show if callable(show) else None for name, show in shows.items() if show}
    if hasattr(kind, "model_dump"):
        return None
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"):  # a model of pydantic 1
        infos = {name: field.field_info for name, field in kind.__fields__.items()}
        return _shown_by_pydantic(vars(value), infos)
    return None


def shown_fields_of_model(model: Any) -> Shown:
    """Return the fields of a pydantic 2 model, for a model whose `model_dump` raises an error."""
    infos = _pydantic_fields(type(model))
    return _shown_by_pydantic(infos, infos)


def dumped(model: Any) -> Any:
    """Return the data of a pydantic 2 model. Suppress warnings about values of the wrong type."""
    try:
        data = model.model_dump(warnings=False)
    except TypeError:  # The model may define a `model_dump` without the argument `warnings`.
        data = model.model_dump()
    return _without_hidden(data, model, MAX_DEPTH)


def item_names(value: Any) -> tuple[str, ...] | None:
    """Return the names of the items of a named tuple or of a database row, or None."""
    kind: Any = type(value)
    if hasattr(kind, "_fields"):  # a named tuple, or a row of SQLAlchemy
        names: Iterable[Any] = value._fields
    elif hasattr(kind, "n_sequence_fields"):  # for example `os.stat_result`
        names = kind.__match_args__
    elif hasattr(kind, "keys"):  # for example `sqlite3.Row`
        names = value.keys()
    else:
        return None
    found = tuple(names)
    return found if len(found) == len(value) and {*map(type, found)} <= {str} else None


def _pydantic_fields(kind: Any) -> Mapping[str, Any]:
    fields = getattr(kind, "model_fields", None)
    return fields if type(fields) is dict else {}


def _shown_by_pydantic(names: Iterable[str], infos: Mapping[str, Any]) -> Shown:
    """Return the names without the fields that pydantic leaves out of the `repr` or of the data."""
    hidden = {
        name
        for name, info in infos.items()
        if getattr(info, "repr", True) is False or getattr(info, "exclude", None) is True
    }
    return dict.fromkeys(name for name in names if name not in hidden)


def _without_hidden(data: Any, source: Any, depth: int) -> Any:
    """Return the data that `model_dump` made from `source`, without the hidden fields."""
    if depth == 0:
        return data
    if getattr(type(source), "__pydantic_root_model__", False):
        source = source.root
    kind = type(source)
    if issubclass(type(data), dict):
        if issubclass(kind, dict):
            return {
                key: _without_hidden(item, dict.get(source, key), depth - 1)
                for key, item in data.items()
            }
        return _without_hidden_fields(data, source, depth)
    if type(data) in (list, tuple) and issubclass(kind, (list, tuple)) and len(data) == len(source):
        return [_without_hidden(*pair, depth - 1) for pair in zip(data, source, strict=True)]
    return data


def _without_hidden_fields(data: dict[str, Any], source: Any, depth: int) -> dict[str, Any]:
    infos = _pydantic_fields(type(source))
    shown: Mapping[str, Any] | None = shown_fields(source)  # `source` can also be a dataclass.
    aliases = {getattr(info, "serialization_alias", None): name for name, info in infos.items()}
    found = {}
    for key, item in data.items():
        name = aliases.get(key, key)
        is_hidden = infos[name].repr is False if name in infos else False
        if is_hidden or (shown is not None and hasattr(source, name) and name not in shown):
            continue
        found[key] = _without_hidden(item, getattr(source, name, None), depth - 1)
    return found
