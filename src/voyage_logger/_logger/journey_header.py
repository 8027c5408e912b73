"""Writes and reads the HTTP header that passes a journey to another process.

The values in the header are percent-encoded. An example:

    voyage-journey: flow=checkout;session=6f1c...;user=user_123;step=paid@1767323045000

What must stay true: the header that `pack` writes is short, is valid in HTTP, and contains no value
that redaction masks. The header that `unpack` reads may come from anyone, so `unpack` checks its
type, length and characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from voyage_logger._base.frozen import frozen
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.redaction import NOTHING
from voyage_logger._entry.timeline import MAX_STEP

if TYPE_CHECKING:
    from voyage_logger._entry.redaction import Redaction
    from voyage_logger._entry.timeline import Step

HEADER = "voyage-journey"
MAX_LENGTH = 2048  # characters. Many servers refuse more than 8 KiB of headers.

_MAX_VALUE = MAX_STEP  # characters.
_MAX_QUOTED = 3 * _MAX_VALUE  # Characters. Three values of this length leave room for steps.
_MOST_PARTS = 100
_MOST_HEADERS = 1000
_LATEST_TIME = 1 << 43  # epoch milliseconds, in the year 2248
_MAX_DIGITS = 13
_FIELDS = {"flow": "event_flow_name", "session": "session_id", "user": "app_user_id"}


@frozen
class Carried:
    """The valid fields and steps from the headers that carry a journey."""

    fields: dict[str, Any]
    steps: list[tuple[str, int]]  # the name and epoch milliseconds of each step


def pack(
    fields: Mapping[str, Any], steps: list[Step], redaction: Redaction = NOTHING
) -> dict[str, str]:
    """Return the header of a journey, with as many of the latest steps as fit into the header."""
    parts = []
    for key, name in _FIELDS.items():
        if fields.get(name) is None or redaction.hides_at_top(name):
            continue
        if text := _clean(redaction.mask(to_text(fields[name]))):
            parts.append(f"{key}={_quoted(text)}")
    latest = [] if redaction.hides_steps else _latest(steps, parts, redaction)
    return {HEADER: ";".join([*parts, *latest])}


def _latest(steps: list[Step], parts: list[str], redaction: Redaction) -> list[str]:
    """Return as many of the latest steps as fit into the header after the other parts."""
    room = MAX_LENGTH - sum(len(part) + 1 for part in parts)
    latest: list[str] = []
    for _, name, timestamp in reversed(steps):
        part = f"step={_quoted(_clean(redaction.mask(name)))}@{timestamp}"
        room -= len(part) + 1
        if room < 0 or len(latest) + len(parts) == _MOST_PARTS:
            break
        latest.insert(0, part)
    return latest


def unpack(carrier: object) -> Carried:
    """Read the journey from a carrier, which is the headers or the WSGI environ of a request.

    If the carrier has no valid journey, the returned `Carried` is empty.
    """
    try:
        return _parsed(_header_in(carrier))
    except Exception:  # noqa: BLE001 - the carrier may be any object
        return Carried({}, [])


def _header_in(carrier: Any) -> str:
    if carrier is None:
        return ""
    items: Iterable[Any] = carrier.items() if isinstance(carrier, Mapping) else carrier
    for key, value in islice(items, _MOST_HEADERS):
        name = _text(key).lower().replace("_", "-").removeprefix("http-")
        if name == HEADER:
            return _text(value)
    return ""


def _text(value: object) -> str:
    """Return a header's name or value as text; return "" if its type is not str or bytes."""
    if isinstance(value, bytes):
        return value[: MAX_LENGTH + 1].decode("latin-1")
    return str.__str__(value)[: MAX_LENGTH + 1] if isinstance(value, str) else ""


def _parsed(header: str) -> Carried:
    from urllib.parse import unquote  # noqa: PLC0415 - `urllib.parse` is slow to import

    carried = Carried({}, [])
    if len(header) > MAX_LENGTH:  # `pack` never writes a header of this length.
        return carried
    for part in header.split(";")[:_MOST_PARTS]:
        key, _, value = part.strip().partition("=")
        if key in _FIELDS:
            if text := _clean(unquote(value)):
                carried.fields.setdefault(_FIELDS[key], text)
        elif key == "step":
            name, _, digits = value.rpartition("@")
            text = _clean(unquote(name))
            is_number = digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS
            if text and is_number and int(digits) <= _LATEST_TIME:
                carried.steps.append((text, int(digits)))
    return carried


def _clean(text: str) -> str:
    """Cut a text, and remove line breaks, because a line break could start a forged header."""
    return "".join(char for char in text[:_MAX_VALUE] if char.isprintable()).strip()


def _quoted(text: str) -> str:
    """Percent-encode a text, and cut the result to at most `_MAX_QUOTED` characters."""
    from urllib.parse import quote  # noqa: PLC0415 - `urllib.parse` is slow to import

    while len(quoted := quote(text, safe="")) > _MAX_QUOTED:
        text = text[:-8]
    return quoted
