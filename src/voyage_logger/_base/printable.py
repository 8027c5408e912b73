"""Make any text safe for a terminal.

A text of a server, a proxy or a file can contain control characters. A terminal that receives such
a text could move the cursor, hide lines or change its title.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text. Replace each character that cannot be printed with a visible escape."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
