"""Encode an entry as JSON bytes, inside the log call.

What must stay true: `encode` raises no error. The result of `encode` is valid JSON in UTF-8, is
never longer than the limit, and contains nothing that must be masked. Secrets are masked before a
text is cut: a cut could leave half a secret, and masking does not find half a secret.

Most entries contain only plain data and take the *fast path*: `_look` checks all dicts and lists,
and then an encoder in C encodes the entry in one call. An entry takes the *careful path* through
`json_data` if it contains other types, NaN, lone surrogates, cycles, or too much data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.field_conversion import fit
from voyage_logger._entry.json_codecs import dumps, is_alike, quick_dumps, quote
from voyage_logger._entry.json_data import to_plain
from voyage_logger._entry.redaction import NOTHING, Redaction
from voyage_logger._entry.safe_text import MAX_DEPTH
from voyage_logger._entry.trimming import bare, trim

if TYPE_CHECKING:
    from voyage_logger._entry.timeline import Timeline

    Entry = dict[str, Any]

_CONSTANTS = frozenset((bool, type(None)))
# An entry with an integer outside these 64-bit limits takes the careful path.
_LEAST_INT, _PLAIN_INT = -(1 << 63), 1 << 64

# `_look` returns `_ODD` if only the careful path can encode the data. For plain data, `_look`
# returns `_PLAIN`. `_look` adds `_HIDING` if a value must be masked. `_look` adds `_FLOATING` if
# the data contains a float that `json` and orjson write differently.
_ODD, _PLAIN, _HIDING, _FLOATING = 0, 1, 2, 4


def encode(
    entry: Entry, limit: int, redaction: Redaction = NOTHING, timeline: Timeline | None = None
) -> bytes:
    """Return an entry as JSON of at most `limit` bytes. Cut the longest strings if necessary.

    `timeline` is a separate argument, because a `Timeline` stores its own JSON text.
    """
    if timeline is not None and ("event_timeline" in entry or redaction.hides_steps):
        entry = {"event_timeline": timeline.snapshot(), **entry}
        timeline = None
    if redaction.hides_times and "event_timeline" in entry:
        # A masked timestamp is not a number, so the API refuses such a timeline.
        return _encode_with_care(entry, limit, redaction)
    try:
        if look := type(entry) is dict and _look([entry], MAX_DEPTH, limit, redaction, entry):
            write = dumps if look & _FLOATING else quick_dumps
            text = write(redaction.masked_copy(entry) if look & _HIDING else entry)
            if timeline is not None:
                text = f'{text[:-1]},"event_timeline":{timeline.text()}}}'
            if not redaction.has_secret_in(text) and len(payload := text.encode()) <= limit:
                return payload
    except Exception:  # noqa: BLE001 - After any error, the careful path encodes the entry.
        return _encode_with_care(entry, limit, redaction, timeline)
    return _encode_with_care(entry, limit, redaction, timeline)


def encode_call(
    message: str,
    common: str,
    fields: dict[str, Any],
    said: tuple[int, list[Any]],
    limit: int,
    redaction: Redaction,
    timeline: Timeline | None = None,
) -> bytes | None:
    """Return the same bytes as `encode`, or None if only `encode` can encode the entry.

    `encode_call` makes a log call about 20 % faster. `common` is the item of `EntryFactory.common`
    for the entry's level. `said` is what `conform(fields)` returned.
    """
    characters, others = said
    budget = limit - len(message) - characters - 5 * len(fields)
    is_whole = timeline is not None and ("event_timeline" in fields or redaction.hides_steps)
    if is_whole or budget < 0 or not fields or "app_name" in fields or "environment" in fields:
        return None
    try:
        if not redaction.harmless.issuperset(fields):
            unknown, is_hiding = redaction.examine(fields, is_top=True)
            if is_hiding or unknown < 0 or unknown > budget:
                return None
        if others and _look(others, MAX_DEPTH - 1, budget, redaction) != _PLAIN:
            return None
        text = f'{{"message":{quote(message)},{common[1:-1]},{quick_dumps(fields)[1:]}'
        if timeline is not None:
            text = f'{text[:-1]},"event_timeline":{timeline.text()}}}'
        if redaction.has_secret_in(text) or len(payload := text.encode()) > limit:
            return None
    except Exception:  # noqa: BLE001 - if the result is None, the caller calls `encode`
        return None
    return payload


def shorten(payload: bytes, limit: int) -> bytes:
    """Cut the longest strings of an encoded entry, so that the entry has at most `limit` bytes."""
    return _encode_with_care(json.loads(payload), limit, NOTHING)


def _look(  # noqa: C901, PLR0912 - a single function is faster than several functions
    level: list[Any], depth: int, budget: int, redaction: Redaction, entry: Entry | None = None
) -> int:
    """Check whether data is plain. The comment at `_ODD` explains the result.

    Plain data has only JSON types, at most `depth` levels, and at most `budget` characters.
    """
    found = _PLAIN
    is_harmless = redaction.harmless.issuperset
    for _ in range(depth):
        deeper = []
        for value in level:
            kind = type(value)
            if kind is dict:
                if (budget := budget - 5 * len(value)) < 0:  # A JSON item has 5 or more characters.
                    return _ODD
                if not is_harmless(value):
                    characters, is_hiding = redaction.examine(value, is_top=value is entry)
                    if is_hiding:
                        found |= _HIDING
                    if characters < 0:  # At least one key is not a text. JSON needs text keys.
                        return _ODD
                    budget -= characters
                items = value.values()
            elif kind is list or kind is tuple:
                if (budget := budget - len(value)) < 0:
                    return _ODD
                items = value
            elif kind is float:
                if not is_alike(value):
                    found |= _FLOATING
                continue
            elif (kind is int and _LEAST_INT <= value < _PLAIN_INT) or kind in _CONSTANTS:
                continue
            else:
                return _ODD
            for item in items:
                if (kind := type(item)) is str:
                    budget -= len(item)
                elif kind is int:
                    if not _LEAST_INT <= item < _PLAIN_INT:
                        deeper.append(item)
                elif kind is not float:
                    deeper.append(item)
                elif not is_alike(item):
                    found |= _FLOATING
        if not deeper:
            return found if budget >= 0 else _ODD
        level = deeper
    return _ODD


def _encode_with_care(
    entry: Entry, limit: int, redaction: Redaction, timeline: Timeline | None = None
) -> bytes:
    try:
        if timeline is not None:
            entry = {**entry, "event_timeline": timeline.snapshot()}
        plain = to_plain(entry, limit, redaction)
        if type(plain) is dict:
            fit(plain)
            return trim(plain, limit, dumps)
        why = str(plain)  # `to_plain` returns a text if the dict is broken or the stack is full.
    # A log call must not raise an error, even if the call stack is almost full.
    except Exception as error:  # noqa: BLE001  # pragma: no cover - No known entry needs this line.
        why = f"<not encodable: {type(error).__name__}>"
    return bare(entry, limit, dumps, why, redaction)
