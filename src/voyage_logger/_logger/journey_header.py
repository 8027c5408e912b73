"""A journey as an HTTP header, and back: what crosses from one process to the next.

What must stay true: what is written is safe in any header and bounded; what is read comes from
outside, so nothing of it is trusted: not its type, its length, its characters, nor that it ends;
and what redaction hides in entries is not in the header either.

The header is `voyage-journey: flow=checkout;session=6f1c...;user=user_123;step=paid@1767323045000`,
with percent-encoded values. Names and e-mail addresses of users do not travel.
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
MAX_LENGTH = 2048  # characters; servers refuse headers of 8 KiB in all

_MAX_VALUE = MAX_STEP  # characters
_MAX_QUOTED = 3 * _MAX_VALUE  # characters: three values leave room for steps
_MOST_PARTS = 100
_MOST_HEADERS = 1000
_LATEST_TIME = 1 << 43  # epoch milliseconds: the year 2248
_MAX_DIGITS = 13
_FIELDS = {"flow": "event_flow_name", "session": "session_id", "user": "app_user_id"}


@frozen
class Carried:
    """What a carrier says, made harmless.

    Attributes:
        fields: The fields for the journey's entries.
        steps: Names and epoch milliseconds of the steps taken so far.
    """

    fields: dict[str, Any]
    steps: list[tuple[str, int]]


def pack(
    fields: Mapping[str, Any], steps: list[Step], redaction: Redaction = NOTHING
) -> dict[str, str]:
    """The carrier of a journey: one header, with as many of the latest steps as fit.

    Args:
        fields: The fields of the journey's entries.
        steps: The steps so far.
        redaction: What is masked in entries; a field that is, is left out.
    """
    parts = []
    for key, name in _FIELDS.items():
        if fields.get(name) is None or redaction.hides_at_top(name):
            continue
        if text := _clean(redaction.mask(to_text(fields[name]))):
            parts.append(f"{key}={_quoted(text)}")
    room = MAX_LENGTH - sum(len(part) + 1 for part in parts)
    latest: list[str] = []
    for _, name, timestamp in reversed([] if redaction.hides_steps else steps):
        part = f"step={_quoted(_clean(redaction.mask(name)))}@{timestamp}"
        room -= len(part) + 1
        if room < 0 or len(latest) + len(parts) == _MOST_PARTS:
            break
        latest.append(part)
    return {HEADER: ";".join([*parts, *reversed(latest)])}


def unpack(carrier: object) -> Carried:
    """What a carrier from outside says; empty if it says nothing that can be used.

    Args:
        carrier: Headers as a mapping or as pairs, of text or bytes, in any case; a WSGI environ.
    """
    try:
        return _parsed(_header_in(carrier))
    except Exception:  # noqa: BLE001 - a foreign object of any kind; the journey begins anew
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
    """A header's name or value; anything but text and bytes is no such thing."""
    if isinstance(value, bytes):
        return value[: MAX_LENGTH + 1].decode("latin-1")
    return str.__str__(value)[: MAX_LENGTH + 1] if isinstance(value, str) else ""


def _parsed(header: str) -> Carried:
    from urllib.parse import unquote  # noqa: PLC0415 - not to be paid by the import

    carried = Carried({}, [])
    if len(header) > MAX_LENGTH:  # nobody of ours wrote that
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
    """The text without what could forge a line or a header, and not too long."""
    return "".join(char for char in text[:_MAX_VALUE] if char.isprintable()).strip()


def _quoted(text: str) -> str:
    """The text percent-encoded, cut where that makes it too long."""
    from urllib.parse import quote  # noqa: PLC0415 - not to be paid by the import

    while len(quoted := quote(text, safe="")) > _MAX_QUOTED:
        text = text[:-8]
    return quoted
