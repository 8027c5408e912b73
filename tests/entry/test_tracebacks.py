"""A short text of an exception is complete, and a long text is cut."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from voyage_logger._entry.tracebacks import MAX_TEXT, _links, traceback_of


def raised(make: Any) -> BaseException:
    try:
        make()
    except BaseException as error:  # noqa: BLE001 - this test needs no special exception class
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
        raise OSError("context")  # noqa: B904 - this test needs an exception with a context


def test_usual_exception_is_printed_as_the_interpreter_does() -> None:
    """As in Python's own traceback, the text has the exception with its causes and contexts."""
    error = raised(handled)
    assert traceback_of(error) == "".join(traceback.format_exception(error))
    assert traceback_of(error).count("Traceback") == 3


def test_notes_are_shown() -> None:
    """The notes of an exception and of its cause are shown, even in Python 3.10."""
    error = raised(caused)
    assert error.__cause__ is not None
    error.__notes__ = ["order 4711", "till 3"]
    error.__cause__.__notes__ = ["inner"]
    lines = traceback_of(error).splitlines()
    assert lines[-3:] == ["KeyError: 'cause'", "order 4711", "till 3"]
    assert lines[lines.index("ValueError: bottom") + 1] == "inner"
    assert any("direct cause" in line for line in lines)


def test_huge_text_keeps_both_ends() -> None:
    """If a message has a million characters, its beginning and its end are kept."""
    text = traceback_of(raised(lambda: fail("a" * 1_000_000 + "the end")))
    assert len(text) <= MAX_TEXT
    assert text.startswith("Traceback")
    assert text.endswith("the end\n")
    assert "<cut: " in text


def test_deep_recursion_keeps_both_ends() -> None:
    """A traceback of 600 frames shows its first frames, a mark and its last frames."""

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
    """The text of 200 chained exceptions shows the oldest and the latest, in the usual order."""
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


def test_very_long_chain_is_followed_to_a_bound() -> None:
    """The text of 5,000 chained exceptions is made quickly and shows the latest exceptions."""
    error: BaseException | None = None
    for number in range(5000):
        link = ValueError(f"link {number}")
        link.__cause__ = error
        error = link
    assert error is not None
    text = traceback_of(error)
    assert text.endswith("ValueError: link 4999\n")
    assert text.count("ValueError: link") == 16
    assert "<cut: 984 exceptions>" in text


def test_message_with_many_shared_lists_is_cut() -> None:
    """If an exception's text would need gigabytes, only its beginning is produced."""
    value: Any = "x"
    for _ in range(30):
        value = [value, value]
    text = traceback_of(ValueError(value))
    assert text.startswith("ValueError: ValueError([[[[")
    assert len(text) <= MAX_TEXT


def test_interrupt_of_an_exception_s_own_code_reaches_the_app() -> None:
    """If Ctrl-C comes while an exception is printed, the app gets the `KeyboardInterrupt`."""

    class ImpatientError(Exception):
        @property
        def exceptions(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        traceback_of(ImpatientError("x"))


def test_cyclic_chain_ends() -> None:
    """If two exceptions are each other's cause, each of them is shown once."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    text = traceback_of(one)
    assert (text.count("ValueError: one"), text.count("ValueError: two")) == (1, 1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_groups_show_their_members() -> None:
    """The text of an exception group contains its members."""
    group = ExceptionGroup("several", [ValueError("a"), KeyError("b")])  # noqa: F821 - Python 3.11
    text = traceback_of(group)
    assert "ValueError: a" in text
    assert "KeyError: 'b'" in text


class Several(Exception):  # noqa: N818 - a library uses this name before Python 3.11
    def __init__(self, *members: BaseException) -> None:
        super().__init__("several")
        self.exceptions = members


def group(*members: BaseException) -> BaseException:
    if sys.version_info >= (3, 11):
        return BaseExceptionGroup("several", members)  # noqa: F821 - Python 3.11
    return Several(*members)


def deep(error: BaseException, depth: int = 300) -> BaseException:
    """Raise an exception at the given depth of the stack, and return it."""

    def descend(left: int) -> None:
        if left <= 0:
            raise error
        descend_on(left - 1)

    def descend_on(
        left: int,
    ) -> None:  # With two functions, Python does not merge equal frames in the traceback.
        descend(left)

    return raised(lambda: descend(depth))


def test_deep_group_shows_its_members() -> None:
    """The text of an exception group from a deep stack has its members and their causes."""
    error = deep(group(raised(caused), KeyError("b")))
    error.__context__ = None
    after = ValueError("after")
    after.__cause__ = error
    lines = traceback_of(after).splitlines()
    assert [line for line in lines if "several" in line or "Error: " in line] == [
        next(line for line in lines if "several" in line),
        "  | ValueError: bottom",
        "  | KeyError: 'cause'",
        "  | KeyError: 'b'",
        "ValueError: after",
    ]
    assert any("in caused" in line for line in lines)


def test_long_chain_shows_the_members_of_a_group() -> None:
    """If an exception group is at the beginning of a long chain, its members are shown."""
    error: BaseException = group(ValueError("member"))
    for number in range(20):
        link = ValueError(f"link {number}")
        link.__cause__ = error
        error = link
    assert "  | ValueError: member\n" in traceback_of(error)


def test_frames_of_a_group_are_bounded_in_all() -> None:
    """If the members of an exception group have deep stacks, at most 400 frames are shown."""
    error = group(*(deep(ValueError(f"member {number}")) for number in range(15)))
    text = traceback_of(error)
    assert 0 < text.count("  File ") <= 400
    assert "  | ValueError: member 7\n" in text
    assert "  <cut: 7 exceptions>\n" in text


def test_frames_of_a_chain_are_bounded_in_all() -> None:
    """The text of a chain has at most 400 frames, with at least one frame of each exception."""
    error: BaseException | None = None
    for number in range(16):
        link = deep(ValueError(f"link {number}"), 45)
        link.__cause__ = error
        error = link
    assert error is not None
    assert " frames>\n" in traceback_of(error)
    shown = "".join(_links(error, set()))
    assert 16 < shown.count("  File ") <= 400
    assert shown.count("Error: link ") == 16
    assert len(traceback_of(error)) <= MAX_TEXT


def test_groups_in_groups_are_bounded() -> None:
    """The text of an exception group with 1,000 members or 500 nested groups is limited."""
    error: BaseException = ValueError("innermost")
    for _ in range(500):
        error = group(error)
    wide = group(*(ValueError(f"member {number}") for number in range(1000)))
    for huge in (error, wide, deep(group(wide, error))):
        lines = traceback_of(huge).splitlines()
        assert len(lines) < 800
        assert any("<cut: " in line for line in lines)
        assert any("several" in line for line in lines)


@pytest.mark.parametrize("depth", [1, 300])
def test_member_whose_context_is_its_group_is_shown_at_most_twice(depth: int) -> None:
    """If a group is the context of its own member, the text shows the member at most twice."""
    member = ValueError("member")

    def fail_again() -> None:
        error = deep(group(member), depth)
        error.__context__ = None
        member.__context__ = error
        raise member

    text = traceback_of(raised(fail_again))
    assert text.count("ValueError: member") <= 2
    assert "several" in text


@pytest.mark.parametrize("links", [2, 20])
@pytest.mark.parametrize("depth", [1, 300])
def test_suppressed_context_is_not_shown(links: int, depth: int) -> None:
    """After `raise ... from None`, the context of the exception is not shown."""
    error: BaseException = ValueError("hidden")
    for number in range(links):
        link: BaseException = ValueError(f"link {number}")
        if number == 0:
            link = deep(link, depth)
            link.__context__, link.__suppress_context__ = error, True
        else:
            link.__context__ = error
        error = link
    text = traceback_of(error)
    assert "ValueError: link 0\n" in text
    assert "hidden" not in text


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


class BrokenMembersError(Exception):
    @property
    def exceptions(self) -> Any:
        raise RuntimeError("no members")


class OddMembersError(Exception):
    exceptions = 5


class NoMembersError(Exception):
    exceptions = ("no exception", None)


@pytest.mark.parametrize(
    "kind",
    [
        BrokenStrError,
        BrokenNotesError,
        OddNotesError,
        BrokenNoteError,
        BrokenMembersError,
        OddMembersError,
        NoMembersError,
    ],
)
@pytest.mark.parametrize("links", [0, 20])
def test_broken_exception_is_named(kind: type[Exception], links: int) -> None:
    """If attributes of an exception raise errors, the text still names the exception's class."""
    error: BaseException = kind()
    for _ in range(links):
        outer = kind()
        outer.__context__ = error
        error = outer
    assert kind.__name__ in traceback_of(error)


def test_exception_is_not_changed() -> None:
    """`traceback_of` does not change the exception."""
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
    """For any messages, the text of a chain is not longer than `MAX_TEXT`."""
    error: BaseException | None = None
    for text in texts:
        link = ValueError(text)
        link.__context__ = error
        error = link
    assert error is not None
    assert len(traceback_of(error)) <= MAX_TEXT
