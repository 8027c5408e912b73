"""Format an exception, its causes and its notes as a text of limited size, within a limited time.

The standard library formats small exceptions, and `_links` formats large exceptions. In Python
3.13, the standard library needs 2 s for a chain of 1,000 exceptions with 20 frames each, but
`_links` needs only 0.02 s. The `str` of a single exception can take gigabytes of memory. In Python
3.10, `_links` formats every exception that has notes, because Python 3.10 does not print notes.

What must stay true: `traceback_of` changes no exception, and raises no error even if methods of the
exception are broken. A long text is cut in the middle, because the end says what happened.
"""

from __future__ import annotations

import itertools
import sys
import traceback
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.json_data import to_text
from voyage_logger._entry.safe_text import bounded, is_defect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

MAX_TEXT = 32_768  # characters

_HEAD = MAX_TEXT // 4
_MOST_FRAMES = 100  # At most this many frames of each exception are formatted (100 us per frame).
_MOST_FRAMES_IN_ALL = 400  # At most this many frames of all exceptions together are formatted.
_MOST_LINKS = 16  # The text shows at most this number of exceptions of a chain.
_MOST_MEMBERS = 8  # `_links` shows at most this number of exceptions of a group.
_MOST_EXCEPTIONS = 64  # The standard library formats at most this number of exceptions.
_LONGEST_CHAIN = 1000  # `_chain` returns at most this number of exceptions.
_LATER = "\nDuring handling of the above exception, another exception occurred:\n\n"
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_PACKAGE = f"{__name__.partition('.')[0]}."
_SHOWS_NOTES = sys.version_info >= (3, 11)


def traceback_of(error: BaseException, mask: Callable[[str], str] = str) -> str:
    """Return the traceback that Python would print. Mask the secrets, and cut a long text."""
    try:
        text = _as_printed(error) if _is_usual(error) else "".join(_links(error, set()))
    except BaseException as failure:  # A method of the exception may raise any error.
        if not is_defect(failure):
            raise
        text = f"{type(error).__name__}: {to_text(error)}\n"
    text = mask(text)
    if len(text) <= MAX_TEXT:
        return text
    mark = f"\n<cut: {len(text) - MAX_TEXT} characters>\n"
    return text[:_HEAD] + mark + text[len(text) - (MAX_TEXT - _HEAD - len(mark)) :]


def _chain(error: BaseException, seen: set[int]) -> list[tuple[BaseException, str]]:
    """Return the exceptions of the chain, each with the text that is printed after it.

    The chain ends before an exception whose id is in `seen`, because the output already contains
    that exception. For example, the context of an exception in a group is often the group itself.
    """
    chain = [(error, "")]
    seen.add(id(error))
    while len(chain) < _LONGEST_CHAIN:
        if error.__cause__ is not None:
            words, error = _CAUSED, error.__cause__
        elif error.__context__ is not None and not error.__suppress_context__:
            words, error = _LATER, error.__context__
        else:
            break
        if id(error) in seen:
            break
        seen.add(id(error))
        chain.append((error, words))
    return chain


def _is_usual(error: BaseException) -> bool:
    """Return True if the standard library can format the whole exception in a short time."""
    todo, exceptions, frames = [error], 0, 0
    seen: set[int] = set()
    while todo:
        chain = _chain(todo.pop(), seen)
        exceptions += len(chain)
        if len(chain) > _MOST_LINKS or exceptions > _MOST_EXCEPTIONS:
            return False
        for link, _ in chain:
            depth = sum(1 for _ in _walk(link.__traceback__))
            frames += depth
            has_hidden_notes = not _SHOWS_NOTES and bool(getattr(link, "__notes__", ()))
            if depth > _MOST_FRAMES or frames > _MOST_FRAMES_IN_ALL or has_hidden_notes:
                return False
            if bounded(link) is not link:
                return False
            todo += _members(link)
    return True


def _members(error: BaseException) -> list[BaseException]:
    """Return the exceptions in an exception group. A library may define its own group class."""
    found: Any = getattr(error, "exceptions", ())
    if not isinstance(found, (tuple, list)):
        return []
    return [member for member in found if isinstance(member, BaseException)]


def _as_printed(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, _frames_of(error)))


def _frames_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, without frames of this package at the beginning."""
    frames = error.__traceback__
    while frames and frames.tb_next:
        if not str(frames.tb_frame.f_globals.get("__name__")).startswith(_PACKAGE):
            break
        frames = frames.tb_next
    return frames


def _links(error: BaseException, seen: set[int], room: int = _MOST_FRAMES_IN_ALL) -> Iterator[str]:
    """Yield the text of a chain that is too large for the standard library.

    `room` is the maximum number of frames in the text. Each exception in the text gets an equal
    share of `room`, at least one frame. Therefore `room` also limits the number of exceptions.
    """
    chain = _chain(error, seen)
    most = min(_MOST_LINKS, room)
    first = most // 4
    left_out = len(chain) - most
    share = room // min(most, len(chain))
    for position, (link, words) in reversed(list(enumerate(chain))):
        if left_out <= 0 or position < most - first or position >= len(chain) - first:
            yield from _link(link, seen, share)
            yield words
        elif position == len(chain) - first - 1:
            yield f"\n<cut: {left_out} exceptions>\n\n"


def _link(error: BaseException, seen: set[int], room: int) -> Iterator[str]:
    """Yield the text of one exception, and of its members if the exception is a group."""
    members = _members(error)
    yield from _frames(error, min(_MOST_FRAMES, room // 2 if members else room))
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    text = to_text(error)
    yield f"{module}{kind.__qualname__}{': ' if text else ''}{text}\n"
    notes: Any = getattr(error, "__notes__", ())
    for note in notes if isinstance(notes, (list, tuple)) else [notes]:
        yield f"{to_text(note)}\n"
    shown = members[: min(_MOST_MEMBERS, room // 2)]
    for number, member in enumerate(shown, 1):
        yield f"  +---------------- {number} ----------------\n"
        text = "".join(_links(member, seen, room // 2 // len(shown)))
        yield from (f"  | {line}" for line in text.splitlines(keepends=True))
    if len(members) > len(shown):
        yield f"  <cut: {len(members) - len(shown)} exceptions>\n"


def _frames(error: BaseException, most: int) -> Iterator[str]:
    frames = _frames_of(error)
    if frames is None:
        return
    yield "Traceback (most recent call last):\n"
    left_out = sum(1 for _ in _walk(frames)) - most
    if left_out > 0:
        first = most // 5
        yield from traceback.format_tb(frames, limit=first)
        yield f"  <cut: {left_out} frames>\n"
        # A negative `limit` would be slow: `format_tb` would also read the left-out frames.
        rest = itertools.islice(_walk(frames), first + left_out, None)
        frames = next(rest, None)
    yield from traceback.format_tb(frames)


def _walk(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
