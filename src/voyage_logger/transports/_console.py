"""The transport of a logger without credentials: readable lines on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voyage_logger._diagnostics import to_stderr
from voyage_logger._outcome import Kind, Outcome
from voyage_logger.transports._base import BaseTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

UNCONFIGURED = "unconfigured"


class ConsoleTransport(BaseTransport):
    """Prints entries instead of sending them.

    What it prints counts as dropped, with the reason "unconfigured": a health check that reads
    `stats()` must not take a logger without credentials for one that delivers. Thread-safe.
    """

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        del time_limit  # a terminal has none
        to_stderr("".join(_line(json.loads(entry)) for entry in entries))
        return Outcome(Kind.DISCARDED, UNCONFIGURED)


def _line(entry: dict[str, Any]) -> str:
    """An entry as one line, `time LEVEL app: message  field=value ...`, and its traceback."""
    meta_data = entry.pop("meta_data", None)
    data = meta_data if isinstance(meta_data, dict) else {}
    logged_at = str(data.pop("logged_at", ""))[11:23]
    data.pop("log_id", None)
    traceback = str(entry.pop("exception_info", ""))
    level, app_name, message = (
        _printable(str(entry.pop(key, ""))) for key in ("level", "app_name", "message")
    )
    entry.pop("environment", None)
    fields = "".join(f"  {_printable(key)}={value!r}" for key, value in {**entry, **data}.items())
    below = "".join(f"    {_printable(line)}\n" for line in traceback.splitlines())
    return f"{logged_at} {level.upper():<8} {app_name}: {message}{fields}\n{below}".lstrip()


def _printable(text: str) -> str:
    """Text that cannot move the terminal's cursor or forge another line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
