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

from voyage_logger._json import dumps, is_alike, quick_dumps
from voyage_logger._plain import MAX_DEPTH, to_plain
from voyage_logger._redaction import NOTHING, Redaction
from voyage_logger._trimming import bare, trim

if TYPE_CHECKING:
    from voyage_logger._timeline import Timeline

Entry = dict[str, Any]

_SCALARS = frozenset((bool, type(None)))
_PLAIN_INT = 1 << 64  # larger ones are as long as a text, and take the careful path

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
        if look := _look(entry, limit, redaction):
            write = dumps if look & _FLOATING else quick_dumps
            text = write(redaction.masked(entry) if look & _HIDING else entry)
            if timeline is not None:
                text = f'{text[:-1]},"event_timeline":{timeline.text()}}}'
            if not redaction.occurs_in(text) and len(payload := text.encode()) <= limit:
                return payload
    # A NaN, a surrogate, an integer of 5,000 digits, a dict changed by another thread meanwhile.
    except Exception:  # noqa: BLE001 - the careful path below is the handling
        return _encode_with_care(entry, limit, redaction, timeline)
    return _encode_with_care(entry, limit, redaction, timeline)


def shorten(payload: bytes, limit: int) -> bytes:
    """The same entry in fewer bytes: for one that the server finds too large.

    Args:
        payload: An encoded entry.
        limit: The most bytes the result may have.
    """
    return _encode_with_care(json.loads(payload), limit, NOTHING)


def _look(entry: Entry, limit: int, redaction: Redaction) -> int:  # noqa: C901, PLR0911, PLR0912 - the one loop on each call
    """Whether the C encoder can be let loose on the entry: exact JSON types, few, not deep.

    Returns:
        `_ODD`, or `_PLAIN` with `_HIDING` and `_FLOATING` added as they apply.
    """
    if type(entry) is not dict:
        return _ODD
    budget = limit  # a value costs a byte at least, a text as many as it has characters
    found = _PLAIN
    is_harmless = redaction.harmless.issuperset
    level: list[Any] = [entry]
    for _ in range(MAX_DEPTH):
        deeper = []
        for container in level:
            budget -= len(container)
            if budget < 0:  # before the walk, for a container may be of any length
                return _ODD
            values = container
            if type(container) is dict:
                if not is_harmless(container):
                    characters, is_hiding = redaction.examine(container, is_top=container is entry)
                    if is_hiding:
                        found |= _HIDING
                    if characters < 0:  # among others, 1 and "1" would become the same key
                        return _ODD
                    budget -= characters
                budget -= 4 * len(container)  # two quotes, a colon and a comma
                values = container.values()
            for value in values:
                kind = type(value)
                if kind is str:
                    budget -= len(value)
                elif kind is int:
                    if not -_PLAIN_INT < value < _PLAIN_INT:
                        return _ODD
                elif kind is dict or kind is list or kind is tuple:
                    deeper.append(value)
                elif kind is float:
                    if not is_alike(value):
                        found |= _FLOATING
                elif kind not in _SCALARS:
                    return _ODD
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
