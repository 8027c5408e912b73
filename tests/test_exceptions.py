"""An exception's text: whole where it can be, bounded where it must be, and always there."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from voyage_logger._exceptions import MAX_TEXT, traceback_of


def raised(make: Any) -> BaseException:
    try:
        make()
    except BaseException as error:  # noqa: BLE001 - this is what it is for
        return error
    pytest.fail("nothing was raised")


def fail(text: str = "bottom") -> None:
    raise ValueError(text)


def caused() -> None:
    try:
        fail()
    except ValueError as error:
        raise KeyError("cause") from error


def handled() -> None:
    try:
        caused()
    except KeyError:
        raise OSError("context")  # noqa: B904 - that is the point


def test_text_is_the_interpreter_s() -> None:
    """Causes and contexts included, as a terminal would show them."""
    error = raised(handled)
    assert traceback_of(error) == "".join(traceback.format_exception(error))
    assert traceback_of(error).count("Traceback") == 3


def test_notes_are_shown() -> None:
    """Notes of the exception and of its cause stand below each, also before Python 3.11."""
    error = raised(caused)
    assert error.__cause__ is not None
    error.__notes__ = ["order 4711", "till 3"]
    error.__cause__.__notes__ = ["inner"]
    lines = traceback_of(error).splitlines()
    assert lines[-3:] == ["KeyError: 'cause'", "order 4711", "till 3"]
    assert lines[lines.index("ValueError: bottom") + 1] == "inner"
    assert any("direct cause" in line for line in lines)


def test_huge_text_keeps_both_ends() -> None:
    """Of a message of megabytes, the beginning of the text and its end are kept."""
    text = traceback_of(raised(lambda: fail("a" * 1_000_000 + "the end")))
    assert len(text) <= MAX_TEXT
    assert text.startswith("Traceback")
    assert text.endswith("the end\n")
    assert "<cut: " in text


def test_deep_recursion_keeps_both_ends() -> None:
    """Where it began and where it broke are shown, not the 900 frames between."""

    def odd(number: int) -> None:
        even(number - 1)

    def even(number: int) -> None:
        if number <= 0:
            raise ValueError("bottom")
        odd(number)

    text = traceback_of(raised(lambda: odd(300)))
    assert text.endswith("ValueError: bottom\n")
    assert "in raised" in text
    assert text.count("  File ") == 100
    assert " frames>" in text


def test_long_chain_is_cut() -> None:
    """Of 200 exceptions the oldest and the latest are shown, in the interpreter's order."""
    error: BaseException | None = None
    for number in range(200):
        link = ValueError(f"link {number}")
        link.__cause__ = error
        error = link
    assert error is not None
    lines = [line for line in traceback_of(error).splitlines() if line]
    shown = [line for line in lines if "link" in line]
    assert shown == [f"ValueError: link {number}" for number in (0, 1, 2, 3, *range(188, 200))]
    assert "<cut: 184 exceptions>" in lines


def test_cyclic_chain_ends() -> None:
    """Exceptions that cause each other are shown once."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    text = traceback_of(one)
    assert (text.count("ValueError: one"), text.count("ValueError: two")) == (1, 1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
def test_groups_show_their_members() -> None:
    """An exception group has what is in it."""
    group = ExceptionGroup("several", [ValueError("a"), KeyError("b")])  # noqa: F821 - see above
    text = traceback_of(group)
    assert "ValueError: a" in text
    assert "KeyError: 'b'" in text


class BrokenStrError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class BrokenNotesError(Exception):
    @property
    def __notes__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no notes")


class OddNotesError(Exception):
    __notes__ = 5  # type: ignore[assignment]


class BrokenNoteError(Exception):
    def __init__(self) -> None:
        super().__init__("text")
        self.__notes__ = [BrokenStrError()]  # type: ignore[list-item]


@pytest.mark.parametrize("kind", [BrokenStrError, BrokenNotesError, OddNotesError, BrokenNoteError])
@pytest.mark.parametrize("links", [0, 20])
def test_broken_exceptions_are_told(kind: type[Exception], links: int) -> None:
    """However broken, the kind of the exception is said and nothing is raised."""
    error: BaseException = kind()
    for _ in range(links):
        outer = kind()
        outer.__context__ = error
        error = outer
    assert kind.__name__ in traceback_of(error)


def test_exception_is_not_changed() -> None:
    """What the app raises on is what it was."""
    error = raised(handled)
    before = (error.args, error.__cause__, error.__context__, error.__traceback__, vars(error))
    traceback_of(error)
    assert before == (
        error.args,
        error.__cause__,
        error.__context__,
        error.__traceback__,
        vars(error),
    )


@given(st.lists(st.text(max_size=3000), min_size=1, max_size=40))
@examples(max_examples=30, deadline=None)
def test_text_is_always_bounded(texts: list[str]) -> None:
    """Whatever chain of whatever messages: the bound holds."""
    error: BaseException | None = None
    for text in texts:
        link = ValueError(text)
        link.__context__ = error
        error = link
    assert error is not None
    assert len(traceback_of(error)) <= MAX_TEXT
