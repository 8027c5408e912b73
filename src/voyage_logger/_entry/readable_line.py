"""An entry as a line for people: at a terminal without credentials, and on the command line.

What must stay true: an entry is foreign text; nothing in it can move a terminal's cursor, turn its
writing direction or forge another line.
"""

from __future__ import annotations

from typing import Any

_UTC = "+00:00"
_OURS = f"2026-01-31T12:00:00.000000{_UTC}"  # how `logged_at` looks


def readable(entry: dict[str, Any], *, is_dated: bool = False) -> str:
    """An entry as one line, `time LEVEL app: message  field=value ...`, and its traceback.

    Args:
        entry: The entry.
        is_dated: Say the day and the zone, too: for entries that are not of this moment.
    """
    entry = dict(entry)
    meta_data = entry.pop("meta_data", None)
    data = dict(meta_data) if isinstance(meta_data, dict) else {}
    logged_at = str(data.pop("logged_at", ""))
    if not is_dated:
        logged_at = logged_at[11:23]
    elif len(logged_at) == len(_OURS) and logged_at.endswith(_UTC):  # else it is the app's own
        logged_at = f"{logged_at[:23]}Z"
    data.pop("log_id", None)
    traceback = str(entry.pop("exception_info", ""))
    level, app_name, message = (
        printable(str(entry.pop(key, ""))) for key in ("level", "app_name", "message")
    )
    entry.pop("environment", None)
    fields = "".join(f"  {printable(key)}={value!r}" for key, value in {**entry, **data}.items())
    below = "".join(f"    {printable(line)}\n" for line in traceback.splitlines())
    return (
        f"{printable(logged_at)} {level.upper():<8} {app_name}: {message}{fields}\n{below}".lstrip()
    )


def printable(text: str) -> str:
    """Text that cannot move the terminal's cursor or forge another line."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
