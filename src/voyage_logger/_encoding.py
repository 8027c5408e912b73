"""An entry's JSON bytes, made at the log call.

What must stay true: `encode` never raises whatever the entry holds, its result is strict JSON in
UTF-8, and it is never longer than the limit it was given.

Most entries are plain data already. They take the fast path: one look over the containers, which
bounds depth and size before the C encoder recurses into them, and one call of that encoder. All
else (odd types, NaN, lone surrogates, cycles, too much of anything) is first made plain with care.
"""

from __future__ import annotations

import json
from typing import Any

from voyage_logger._plain import MAX_DEPTH, to_plain
from voyage_logger._trimming import bare, trim

Entry = dict[str, Any]

_SCALARS = frozenset((float, bool, type(None)))
_PLAIN_INT = 1 << 64  # larger ones are as long as a text, and take the careful path

# Cycles need no check of their own: the look over the containers ends at MAX_DEPTH.
dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def encode(entry: Entry, limit: int) -> bytes:
    """The entry as JSON bytes.

    Args:
        entry: Any dict; what is not JSON data takes the form described in `_plain`.
        limit: The most bytes the result may have; the longest strings are trimmed to get there.

    Returns:
        Strict JSON in UTF-8, `limit` bytes at most.
    """
    try:
        if _is_plain(entry, limit):
            payload = dumps(entry).encode()
            if len(payload) <= limit:
                return payload
    # A NaN, a surrogate, an integer of 5,000 digits, a dict changed by another thread meanwhile.
    except Exception:  # noqa: BLE001 - the careful path below is the handling
        return _encode_with_care(entry, limit)
    return _encode_with_care(entry, limit)


def shorten(payload: bytes, limit: int) -> bytes:
    """The same entry in fewer bytes: for one that the server finds too large.

    Args:
        payload: An encoded entry.
        limit: The most bytes the result may have.
    """
    return _encode_with_care(json.loads(payload), limit)


def _is_plain(entry: Entry, limit: int) -> bool:  # noqa: C901, PLR0911, PLR0912 - the one loop on each call
    """True if the C encoder can be let loose on the entry: exact JSON types, few, not deep."""
    if type(entry) is not dict:
        return False
    budget = limit  # a value costs a byte at least, a text as many as it has characters
    level: list[Any] = [entry]
    for _ in range(MAX_DEPTH):
        deeper = []
        for container in level:
            budget -= len(container)
            if budget < 0:  # before the walk, for a container may be of any length
                return False
            values = container
            if type(container) is dict:
                for key in container:
                    if type(key) is not str:
                        return False  # 1 and "1" would become the same key
                    budget -= len(key)
                values = container.values()
            for value in values:
                kind = type(value)
                if kind is str:
                    budget -= len(value)
                elif kind is int:
                    if not -_PLAIN_INT < value < _PLAIN_INT:
                        return False
                elif kind is dict or kind is list or kind is tuple:
                    deeper.append(value)
                elif kind not in _SCALARS:
                    return False
        if not deeper:
            return budget >= 0
        level = deeper
    return False


def _encode_with_care(entry: Entry, limit: int) -> bytes:
    try:
        plain = to_plain(entry, limit)
        if type(plain) is dict:
            return trim(plain, limit, dumps)
        why = str(plain)  # the dict itself was broken, or the stack was at its end
    # Not known to happen; but a log call must not raise, least of all close to the recursion limit.
    except Exception as error:  # noqa: BLE001 - see above
        why = f"<not encodable: {type(error).__name__}>"
    return bare(entry, limit, dumps, why)
