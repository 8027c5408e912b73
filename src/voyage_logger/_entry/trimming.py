"""Cut an entry to the size limit. The longest strings are cut first, and each cut is marked.

What must stay true: the result is never longer than the limit, and the API accepts the result.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.json_data import TRIMMED, clip, to_text
from voyage_logger._entry.redaction import MASK, NOTHING, Redaction, is_blank

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIN_LIMIT = 1024  # The lowest allowed limit, in bytes. `bare` can cut every entry to this size.

_SHORTEST = 64  # A string of fewer bytes is not cut, because the cut would save little.
STAMPS = ("logged_at", "log_id")  # The client adds these two keys to `meta_data`.
_KEPT = ("message", "level", "app_name", "environment", "event_name", "add_ticket", "method_name")


def trim(entry: dict[str, Any], limit: int, dumps: Callable[[Any], str]) -> bytes:
    """Return the entry as JSON of at most `limit` bytes. Cut strings in `entry` if necessary."""
    payload = dumps(entry).encode()
    while len(payload) > limit:
        sizes = sorted((len(dumps(text).encode()) for *_, text in _strings(entry)), reverse=True)
        level = _water_level(sizes, len(payload) - limit)
        if level < _SHORTEST:
            return bare(entry, limit, dumps, f"<cut: {len(payload)} bytes>")
        for holder, key, text in list(_strings(entry)):
            size = len(dumps(text).encode())
            if size > level:
                holder[key] = clip(text, len(text) * level // size - len(TRIMMED))
        payload = dumps(entry).encode()
    return payload


def bare(
    entry: dict[str, Any],
    limit: int,
    dumps: Callable[[Any], str],
    why: str,
    redaction: Redaction = NOTHING,
) -> bytes:
    """Return the most important fields as JSON. `why` explains why other fields are missing."""
    # A subclass of dict may have broken methods, so this code calls the methods of `dict` itself.
    found = {key: dict.get(entry, key) for key in _KEPT if dict.__contains__(entry, key)}
    meta_data = dict.get(entry, "meta_data")
    ids = meta_data if type(meta_data) is dict else {}
    length = limit
    while True:
        length //= 2
        kept = {
            key: MASK
            if redaction.hides_at_top(key) and not is_blank(value)
            else _clean(value, length, redaction)
            for key, value in found.items()
        }
        stamps = {
            key: _clean(ids[key], min(length, _SHORTEST), redaction) for key in STAMPS if key in ids
        }
        stamps["trimmed"] = clip(why, _SHORTEST)
        payload = dumps({**kept, "meta_data": stamps}).encode()
        if len(payload) <= limit:
            return payload


def _clean(value: object, length: int, redaction: Redaction) -> str | bool:
    if value is True or value is False:
        return value
    text = redaction.mask(to_text(value))[: length + 1].encode("utf-8", "backslashreplace").decode()
    return clip(text, length)


def _strings(node: Any) -> Iterator[tuple[Any, Any, str]]:
    """For each string in plain JSON data, yield its container, its key, and the string itself."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, str):
            yield node, key, value
        elif isinstance(value, (dict, list)):
            yield from _strings(value)


def _water_level(sizes: list[int], excess: int) -> int:
    """Return the size to which all larger strings must be cut to save `excess` bytes."""
    for count, (size, next_size) in enumerate(pairwise([*sizes, 0]), start=1):
        if (size - next_size) * count >= excess:
            return size - -(-excess // count)
        excess -= (size - next_size) * count
    return 0
