"""An exception as text: with its causes and notes, of bounded size and cost.

What must stay true: it never raises, however broken an exception is, and it changes none; of what
is too long the beginning and the end are kept, for the end says what happened.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from voyage_logger._plain import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

MAX_TEXT = 32_768  # characters

_HEAD = MAX_TEXT // 4
_MOST_FRAMES = 100  # of one exception: a frame costs up to 100 us, and recursion has 1,000
_FIRST_FRAMES = 20
_MOST_LINKS = 16  # exceptions of a chain that are shown
_FIRST_LINKS = 4
_LONGEST_CHAIN = 1000  # exceptions that are followed
_LATER = "\nDuring handling of the above exception, another exception occurred:\n\n"
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
# Until 3.10 the standard library does not show notes, though libraries may set them.
_SHOWS_NOTES = sys.version_info >= (3, 11)


def traceback_of(error: BaseException, mask: Callable[[str], str] = str) -> str:
    """The exception as the interpreter would print it, within bounds.

    Args:
        error: The exception.
        mask: Removes secrets from the text before it is cut.
    """
    try:
        chain = list(_chain(error))
        is_usual = len(chain) <= _MOST_LINKS and all(map(_is_usual, chain))
        text = _as_printed(error) if is_usual else "".join(_links(chain))
    except Exception:  # noqa: BLE001 - broken in a way that the interpreter would not survive either
        text = f"{type(error).__name__}: {to_text(error)}\n"
    text = mask(text)
    if len(text) <= MAX_TEXT:
        return text
    mark = f"\n<cut: {len(text) - MAX_TEXT} characters>\n"
    return text[:_HEAD] + mark + text[len(text) - (MAX_TEXT - _HEAD - len(mark)) :]


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """The exception and what led to it, latest first, each with the words that link it."""
    seen: set[int] = set()
    link = ""
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(seen) < _LONGEST_CHAIN:
        seen.add(id(following))
        yield following, link
        if following.__cause__ is not None:
            link, following = _CAUSED, following.__cause__
        elif following.__context__ is not None and not following.__suppress_context__:
            link, following = _LATER, following.__context__
        else:
            return


def _is_usual(link: tuple[BaseException, str]) -> bool:
    """True if the standard library shows the exception as a whole, and at little cost."""
    error, _ = link
    has_hidden_notes = not _SHOWS_NOTES and bool(getattr(error, "__notes__", ()))
    return not has_hidden_notes and _depth(error.__traceback__) <= _MOST_FRAMES


def _depth(traceback: TracebackType | None) -> int:
    depth = 0
    while traceback is not None:
        depth += 1
        traceback = traceback.tb_next
    return depth


def _as_printed(error: BaseException) -> str:
    import traceback  # noqa: PLC0415 - for errors only

    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _links(chain: list[tuple[BaseException, str]]) -> Iterator[str]:
    """The text of a chain that is too long, too deep or has notes that would not be shown."""
    left_out = len(chain) - _MOST_LINKS
    for position, (error, link) in reversed(list(enumerate(chain))):
        # The oldest come first in the text: the cause, and last what has become of it.
        is_shown = position < _MOST_LINKS - _FIRST_LINKS or position >= len(chain) - _FIRST_LINKS
        if is_shown or left_out <= 0:
            yield from _link(error)
            yield link
        elif position == len(chain) - _FIRST_LINKS - 1:
            yield f"\n<cut: {left_out} exceptions>\n\n"


def _link(error: BaseException) -> Iterator[str]:
    import traceback  # noqa: PLC0415 - for errors only

    frames = error.__traceback__
    if frames is not None:
        yield "Traceback (most recent call last):\n"
        left_out = _depth(frames) - _MOST_FRAMES
        if left_out > 0:
            yield from traceback.format_tb(frames, limit=_FIRST_FRAMES)
            yield f"  <cut: {left_out} frames>\n"
            yield from traceback.format_tb(frames, limit=_FIRST_FRAMES - _MOST_FRAMES)
        else:
            yield from traceback.format_tb(frames)
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    text = to_text(error)
    yield f"{module}{kind.__qualname__}{': ' if text else ''}{text}\n"
    notes: Any = getattr(error, "__notes__", ())
    for note in notes if isinstance(notes, (list, tuple)) else [notes]:
        yield f"{to_text(note)}\n"
