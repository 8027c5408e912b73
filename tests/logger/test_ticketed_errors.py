"""An exception that leaves several journeys opens one ticket, and is neither changed nor kept."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger._logger.ticketed_errors import Ticketed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger import VoyageLogger

    Tickets = Callable[[], dict[str, bool]]


class Group(Exception):  # noqa: N818 - as that of Python 3.11 and its backport
    """A group as 3.10 has it: a class of somebody's that holds exceptions."""

    def __init__(self, *exceptions: BaseException) -> None:
        super().__init__("several")
        self.exceptions = exceptions


class Marked:
    """What can be watched."""


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, flush_interval=600)


@pytest.fixture
def tickets(logger: VoyageLogger, recorder: Recorder) -> Tickets:
    """Which flows' closing entries open a ticket."""

    def found() -> dict[str, bool]:
        assert logger.flush()
        return {
            entry["event_flow_name"]: entry.get("add_ticket", False) for entry in recorder.entries
        }

    return found


def failed(logger: VoyageLogger, name: str, error: Exception) -> Exception:
    """The exception, after it has left a journey that opens a ticket."""
    with contextlib.suppress(type(error)), logger.journey(name, ticket_on_error=True):
        raise error
    return error


def test_gathered_children_that_fail_open_their_own_ticket_only(
    logger: VoyageLogger, tickets: Tickets
) -> None:
    """However many fail at once, the journey around them tells of one that has its ticket."""

    async def child(number: int, may_fail: asyncio.Event) -> None:
        async with logger.journey(f"child {number}", ticket_on_error=True):
            await may_fail.wait()
            raise ConnectionError("database away")

    async def main() -> None:
        may_fail = asyncio.Event()
        async with logger.journey("outer", ticket_on_error=True):
            asyncio.get_running_loop().call_soon(may_fail.set)
            await asyncio.gather(*(child(number, may_fail) for number in range(3)))

    with pytest.raises(ConnectionError):
        asyncio.run(main())
    assert tickets() == {"child 0": True, "child 1": True, "child 2": True, "outer": False}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no TaskGroup")
def test_task_group_of_children_with_tickets_opens_none(
    logger: VoyageLogger, tickets: Tickets
) -> None:
    """The group that comes out of nested task groups is no incident of its own."""

    async def child() -> None:
        async with logger.journey("child", ticket_on_error=True):
            raise ValueError("x")

    async def middle() -> None:
        async with logger.journey("middle"), asyncio.TaskGroup() as group:
            group.create_task(child())

    async def main() -> None:
        async with logger.journey("outer", ticket_on_error=True), asyncio.TaskGroup() as group:
            group.create_task(middle())

    with contextlib.suppress(ExceptionGroup):  # noqa: F821 - see above
        asyncio.run(main())
    assert tickets() == {"child": True, "middle": False, "outer": False}


def test_group_with_a_member_without_a_ticket_opens_one(
    logger: VoyageLogger, tickets: Tickets
) -> None:
    """A ticket tells of each member, and once it does no journey further out opens another."""
    told, other = ValueError("told"), KeyError("not told")
    with (
        contextlib.suppress(Group),
        logger.journey("outermost", ticket_on_error=True),
        logger.journey("outer", ticket_on_error=True),
    ):
        raise Group(Group(failed(logger, "inner", told)), other)
    assert tickets() == {"inner": True, "outer": True, "outermost": False}


@pytest.mark.parametrize(
    "group", [Group(*[ValueError("x")] * 1000), Group()], ids=["large", "empty"]
)
def test_odd_group_counts_as_one(logger: VoyageLogger, tickets: Tickets, group: Group) -> None:
    """A group too large to look at, and one of nobody, is an exception like any other."""
    with (
        pytest.raises(Group),
        logger.journey("outer", ticket_on_error=True),
        logger.journey("inner", ticket_on_error=True),
    ):
        raise group
    assert tickets() == {"inner": True, "outer": False}


def test_group_that_holds_itself_comes_to_an_end(logger: VoyageLogger, tickets: Tickets) -> None:
    """However an exception is knotted, leaving a journey ends."""
    group = Group()
    group.exceptions = (group, group)
    with pytest.raises(Group), logger.journey("checkout", ticket_on_error=True):
        raise group
    assert tickets() == {"checkout": True}


def _raise(_error: object) -> Any:
    raise RuntimeError("broken")


@pytest.mark.parametrize("name", ["exceptions", "__dict__"])
def test_exception_with_a_broken_property_passes(
    logger: VoyageLogger, tickets: Tickets, name: str
) -> None:
    """Only the app's own exception leaves a journey."""
    broken = type("Broken", (Exception,), {name: property(_raise)})
    with (
        pytest.raises(broken),
        logger.journey("outer", ticket_on_error=True),
        logger.journey("inner", ticket_on_error=True),
    ):
        raise broken
    assert tickets() == {"inner": True, "outer": False}


@pytest.mark.parametrize("exceptions", [5, "text", ("text",), [ValueError("x")]])
def test_exception_with_other_exceptions_is_no_group(
    logger: VoyageLogger, tickets: Tickets, exceptions: Any
) -> None:
    """An attribute of that name may be anything."""
    error = Group()
    error.exceptions = exceptions
    with (
        pytest.raises(Group),
        logger.journey("outer", ticket_on_error=True),
        logger.journey("inner", ticket_on_error=True),
    ):
        raise error
    assert tickets() == {"inner": True, "outer": False}


def test_exception_is_not_changed(logger: VoyageLogger) -> None:
    """Nothing is left on it that would show in a debugger, or travel in a pickle."""
    error = failed(logger, "checkout", ValueError("x"))
    assert (vars(error), error.args) == ({}, ("x",))


def test_handled_exception_is_not_kept(logger: VoyageLogger) -> None:
    """A long journey does not hold the frames of what failed within it and was dealt with."""

    def work() -> weakref.ref[Marked]:
        large = Marked()
        with contextlib.suppress(ValueError), logger.journey("inner", ticket_on_error=True):
            raise ValueError("x")
        return weakref.ref(large)

    with logger.journey("outer"):
        reference = work()
        gc.collect()
        assert reference() is None


def test_journey_that_is_over_keeps_nothing(logger: VoyageLogger) -> None:
    """A module that holds its journey for ever holds nothing of those within it."""
    journey = logger.journey("outer")
    with journey:
        error = ValueError("x")
        error.mark = Marked()  # type: ignore[attr-defined]
        reference = weakref.ref(error.mark)  # type: ignore[attr-defined]
        failed(logger, "inner", error)
    del error
    gc.collect()
    assert reference() is None


def test_exception_in_the_place_of_another_is_another() -> None:
    """A new exception often has the address of one that is gone; it still opens its ticket."""
    ticketed = Ticketed()
    error = ValueError("x")
    address = id(error)
    ticketed.add(error)
    assert error in ticketed
    del error
    others = []
    for _ in range(1000):
        others.append(ValueError("x"))
        if id(others[-1]) == address:
            break
    assert not any(other in ticketed for other in others)


def test_what_is_remembered_is_bounded() -> None:
    """Of many exceptions the latest 100 are known."""
    ticketed = Ticketed()
    errors = [ValueError(number) for number in range(1000)]
    for error in errors:
        ticketed.add(error)
    assert [error in ticketed for error in errors] == [False] * 900 + [True] * 100
