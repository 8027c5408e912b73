"""Writes and reads the HTTP header that passes a journey to another process.

The values in the header are percent-encoded. This is an example:

    voyage-journey: flow=checkout;session=6f1c...;user=user_123;step=paid@1767323045000

What must stay true: `pack` writes a short and valid HTTP header. The header from `pack` contains no
value that redaction masks. The header that `unpack` reads can come from an attacker, so `unpack`
checks its type, length and characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from voyage_logger._base.frozen import frozen
from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.redaction import NOTHING
from voyage_logger._entry.timeline import MAX_STEP

if TYPE_CHECKING:
    from voyage_logger._entry.redaction import Redaction
    from voyage_logger._entry.timeline import Step

HEADER = "voyage-journey"
MAX_LENGTH = 2048  # Characters. Many servers refuse requests with more than 8 KiB of headers.

_MAX_VALUE = MAX_STEP  # characters.
_MAX_QUOTED = 3 * _MAX_VALUE  # Characters. Three values of this length fit into a header.
_MOST_PARTS = 100
_MOST_HEADERS = 1000
_LATEST_TIME = 1 << 43  # Epoch milliseconds. This time is in the year 2248.
_MAX_DIGITS = 13
_FIELDS = {"flow": "event_flow_name", "session": "session_id", "user": "app_user_id"}


@frozen
class Carried:
    """The valid fields and steps of a journey that was read from a header."""

    fields: dict[str, Any]
    steps: list[tuple[str, int]]  # pairs: (name, epoch milliseconds)


def pack(
    fields: Mapping[str, Any], steps: list[Step], redaction: Redaction = NOTHING
) -> dict[str, str]:
    """Return the header of a journey. If the header would be too long, omit the oldest steps."""
    parts = []
    for key, name in _FIELDS.items():
        if fields.get(name) is None or redaction.hides_at_top(name):
            continue
        if text := _clean(redaction.mask(to_text(fields[name]))):
            parts.append(f"{key}={_quoted(text)}")
    latest = [] if redaction.hides_steps else _latest(steps, parts, redaction)
    return {HEADER: ";".join([*parts, *latest])}


def _latest(steps: list[Step], parts: list[str], redaction: Redaction) -> list[str]:
    """Return the latest steps, as many as fit into the header after the other `parts`."""
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
    """Read a journey from a carrier: the headers of a request, or its WSGI environ.

    If the carrier contains no valid journey, return an empty `Carried`.
    """
    try:
        return _parsed(_header_in(carrier))
    except Exception:  # noqa: BLE001 - the carrier can be an object of any type
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
    """Return the name or value of a header as text, or "" if it is neither str nor bytes."""
    if isinstance(value, bytes):
        return value[: MAX_LENGTH + 1].decode("latin-1")
    return str.__str__(value)[: MAX_LENGTH + 1] if isinstance(value, str) else ""


def _parsed(header: str) -> Carried:
    carried = Carried({}, [])
    if len(header) > MAX_LENGTH:  # `pack` never writes such a long header.
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
    """Cut a text, and remove unprintable characters: a line break could forge another header."""
    return "".join(char for char in text[:_MAX_VALUE] if char.isprintable()).strip()


def _quoted(text: str) -> str:
    """Percent-encode a text. Cut the text until the result has at most `_MAX_QUOTED` characters."""
    while len(quoted := quote(text, safe="")) > _MAX_QUOTED:
        text = text[:-8]
    return quoted
