"""Find the text of a log call's message.

What must stay true: each positional argument of a log call is part of the text or becomes a field.
As in `logging`, a mapping that is the only argument can fill placeholders such as %(name)s. If the
message does not use this mapping, the items of the mapping become fields of the entry. The vendor's
JavaScript class takes the fields of an entry in the same way, as its second argument.

Source: vendor docs, the methods of the JavaScript class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voyage_logger._base.diagnostics import hint
from voyage_logger._entry.field_conversion import as_mapping
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.safe_text import bounded, is_defect


class _Missing:
    """The type of `MISSING`. If a log call has no message argument, the message is `MISSING`."""

    def __repr__(self) -> str:
        return "<missing>"


MISSING = _Missing()


class WithArgs:
    """A message, and the values of its placeholders. The text is made only if the entry is sent."""

    __slots__ = ("args", "template")

    def __init__(self, template: object, args: tuple[object, ...]) -> None:
        self.template = template
        self.args = args


def with_args(
    message: object, args: tuple[object, ...]
) -> tuple[WithArgs | str, dict[str, Any] | None]:
    """Return the message with its arguments, and the fields that the arguments contain, if any."""
    if len(args) != 1 or not issubclass(type(args[0]), Mapping):
        return WithArgs(message, args), None
    values = _Watched(args[0])
    template = to_text(message)
    try:
        text = str(template % values)
    except BaseException as error:  # Either a placeholder has no value, or the "%" is only a text.
        if not is_defect(error):
            raise
        return template, _fields_in(args[0])
    if values.are_used:
        return WithArgs(message, (_Filled(text),)), None
    return text, _fields_in(args[0])


def template_of(message: object) -> object:
    """Return the message as it was before the values of its placeholders were added."""
    return message.template if type(message) is WithArgs else message


def text_of(message: object, fields: dict[str, Any]) -> str:
    """Return the text of a message. If there is no message argument, take it out of `fields`."""
    if type(message) is WithArgs:
        return _formatted(message.template, message.args)
    return to_text(_keyword_in(fields) if message is MISSING else message)


def _keyword_in(fields: dict[str, Any]) -> object:
    """Return the message that is given as a keyword. The name in `logging` is `msg`."""
    if "message" not in fields and "msg" in fields:
        hint("msg", "msg= is taken as the message: pass the message first, or as message=")
        return fields.pop("msg")
    return fields.pop("message", "")


class _Filled(str):
    """A text in which all placeholders are filled. A placeholder's value is read only once."""

    __slots__ = ()


class _Watched:
    """A wrapper of a mapping. `are_used` is True after a placeholder has used the mapping."""

    __slots__ = ("_mapping", "are_used")

    def __init__(self, mapping: Any) -> None:
        self._mapping = mapping
        self.are_used = False

    def __getitem__(self, key: str) -> Any:
        self.are_used = True
        return bounded(self._mapping[key])

    def __str__(self) -> str:
        self.are_used = True
        return str(bounded(self._mapping))

    def __repr__(self) -> str:
        self.are_used = True
        return repr(bounded(self._mapping))


def _fields_in(mapping: object) -> dict[str, Any]:
    """Return the items of a mapping as fields. Keys that are not texts go to `meta_data`."""
    fields: dict[str, Any] = {}
    others: dict[Any, Any] = {}
    for key, value in as_mapping(mapping).items():
        if issubclass(type(key), str):
            fields[str.__str__(key)] = value
        else:
            others[key] = value
    if others:
        fields["meta_data"] = {**others, **as_mapping(fields.get("meta_data"))}
    return fields


def _formatted(message: object, args: tuple[object, ...]) -> str:
    if type(args[0]) is _Filled:
        return str(args[0])
    try:
        if len(args) > 1 or not isinstance(args[0], Mapping):
            return str(to_text(message) % tuple(map(bounded, args)))
        values = _Watched(args[0])  # The argument is a proxy object of a mapping.
        text = str(to_text(message) % values)
        if values.are_used:
            return text
    except BaseException as error:  # The placeholders might not match `args`.
        if not is_defect(error):
            raise
    return " ".join((to_text(message), *map(to_text, args)))
