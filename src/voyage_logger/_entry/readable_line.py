"""Format an entry as a line that people can read, on stderr and on the command line.

What must stay true: no text in an entry can move the cursor of the terminal, change the writing
direction, or look like the line of another entry.
"""

from __future__ import annotations

from typing import Any

from voyage_logger._base.printable import printable

_UTC = "+00:00"
_OURS = f"2026-01-31T12:00:00.000000{_UTC}"  # An example of a `logged_at` that the client writes.


def readable(entry: dict[str, Any], *, is_dated: bool = False) -> str:
    """Return an entry as one line: `time LEVEL app: message  field=value ...`.

    If the entry has a traceback, the lines of the traceback follow. If `is_dated` is True, the line
    also contains the date and the time zone.
    """
    entry = dict(entry)
    meta_data = entry.pop("meta_data", None)
    data = dict(meta_data) if isinstance(meta_data, dict) else {}
    logged_at = str(data.pop("logged_at", ""))
    if not is_dated:
        logged_at = logged_at[11:23]
    elif len(logged_at) == len(_OURS) and logged_at.endswith(_UTC):  # in the client's format
        logged_at = f"{logged_at[:23]}Z"
    data.pop("log_id", None)
    traceback = str(entry.pop("exception_info", ""))
    required = ("level", "app_name", "message")
    level, app_name, message = (printable(str(entry.pop(key, ""))) for key in required)
    entry.pop("environment", None)
    fields = "".join(f"  {printable(key)}={value!r}" for key, value in {**entry, **data}.items())
    below = "".join(f"    {printable(line)}\n" for line in traceback.splitlines())
    head = f"{printable(logged_at)} {level.upper():<8} {app_name}:"
    return f"{head} {message}{fields}\n{below}".lstrip()
