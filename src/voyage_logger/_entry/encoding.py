"""An entry's JSON bytes, made at the log call.

What must stay true: `encode` never raises whatever the entry holds, its result is strict JSON in
UTF-8, it is never longer than the limit it was given, and it holds nothing that is to be redacted:
that goes before anything is cut, for half a secret is still one.

Most entries are plain data already. They take the fast path: one look over the containers, which
bounds depth and size before the C encoder recurses into them, and one call of that encoder. All
else (odd types, NaN, lone surrogates, cycles, too much of anything) is first made plain with care.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.json_codecs import dumps, is_alike, quick_dumps, quote
from voyage_logger._entry.json_data import to_plain
from voyage_logger._entry.redaction import NOTHING, Redaction
from voyage_logger._entry.safe_text import MAX_DEPTH
from voyage_logger._entry.trimming import bare, trim

if TYPE_CHECKING:
    from voyage_logger._entry.timeline import Timeline

Entry = dict[str, Any]

_CONSTANTS = frozenset((bool, type(None)))
# Integers below the first, or from the second on, take the careful path: no more fit into 64 bits.
_LEAST_INT, _PLAIN_INT = -(1 << 63), 1 << 64

# What the look over an entry finds: no data to let a C encoder loose on; plain data; something in
# it that is to be masked before; a float that not all encoders write alike.
_ODD, _PLAIN, _HIDING, _FLOATING = 0, 1, 2, 4


def encode(
    entry: Entry, limit: int, redaction: Redaction = NOTHING, timeline: Timeline | None = None
) -> bytes:
    """The entry as JSON bytes.

    Args:
        entry: Any dict; what is not JSON data takes the form described in `_plain`.
        limit: The most bytes the result may have; the longest strings are trimmed to get there.
        redaction: What is to be masked.
        timeline: The steps of a journey that the entry is part of, of which the JSON is at hand:
            50 steps would cost 45 us in each entry.

    Returns:
        Strict JSON in UTF-8, `limit` bytes at most.
    """
    if timeline is not None and ("event_timeline" in entry or redaction.hides_steps):
        entry = {"event_timeline": timeline.snapshot(), **entry}
        timeline = None
    try:
        if look := type(entry) is dict and _look([entry], MAX_DEPTH, limit, redaction, entry):
            write = dumps if look & _FLOATING else quick_dumps
            text = write(redaction.masked_copy(entry) if look & _HIDING else entry)
            if timeline is not None:
                text = f'{text[:-1]},"event_timeline":{timeline.text()}}}'
            if not redaction.has_secret_in(text) and len(payload := text.encode()) <= limit:
                return payload
    # A NaN, a surrogate, an integer of 5,000 digits, a dict changed by another thread meanwhile.
    except Exception:  # noqa: BLE001 - the careful path below is the handling
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
    """The entry of a log call as JSON bytes, by a shorter way: most entries can go it.

    What the calls of a logger have in common is JSON already, and of the fields only what is no
    text is looked at once more. That saves a fifth of a call.

    Args:
        message: The message.
        common: JSON of the fields that all entries have, an object.
        fields: The others.
        said: What `conform` said of those.
        limit: As for `encode`, like the rest.
        redaction: As for `encode`.
        timeline: As for `encode`.

    Returns:
        What `encode` makes of the whole entry; None if it has to be asked.
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
    except Exception:  # noqa: BLE001 - see `encode`, which is asked next
        return None
    return payload


def shorten(payload: bytes, limit: int) -> bytes:
    """The same entry in fewer bytes: for one that the server finds too large.

    Args:
        payload: An encoded entry.
        limit: The most bytes the result may have.
    """
    return _encode_with_care(json.loads(payload), limit, NOTHING)


def _look(  # noqa: C901, PLR0912 - the one loop on each call
    level: list[Any], depth: int, budget: int, redaction: Redaction, top: Entry | None = None
) -> int:
    """Whether a C encoder can be let loose on values: exact JSON types, few, not deep.

    Args:
        level: The values, of which any may be containers.
        depth: How many levels of containers there may be.
        budget: How many bytes there may be: a value costs one at least, a text its characters.
        redaction: What is to be masked.
        top: The one of the values that is an entry.

    Returns:
        `_ODD`, or `_PLAIN` with `_HIDING` and `_FLOATING` added as they apply.
    """
    found = _PLAIN
    is_harmless = redaction.harmless.issuperset
    for _ in range(depth):
        deeper = []
        for value in level:
            kind = type(value)
            if kind is dict:
                budget -= 5 * len(value)  # two quotes, a colon, a comma and the value
                if budget < 0:  # before the walk, for a container may be of any length
                    return _ODD
                if not is_harmless(value):
                    characters, is_hiding = redaction.examine(value, is_top=value is top)
                    if is_hiding:
                        found |= _HIDING
                    if characters < 0:  # among others, 1 and "1" would become the same key
                        return _ODD
                    budget -= characters
                items = value.values()
            elif kind is list or kind is tuple:
                budget -= len(value)
                if budget < 0:
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
            return trim(plain, limit, dumps)
        why = str(plain)  # the dict itself was broken, or the stack was at its end
    # Not known to happen; but a log call must not raise, least of all close to the recursion limit.
    except Exception as error:  # noqa: BLE001 - see above
        why = f"<not encodable: {type(error).__name__}>"
    return bare(entry, limit, dumps, why, redaction)
