"""An exception that leaves several journeys opens only one ticket, and can then be freed."""

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


class Group(Exception):  # noqa: N818 - the class in Python 3.11 has the same name
    """An exception group whose class is not built in, as in a backport for Python 3.10."""

    def __init__(self, *exceptions: BaseException) -> None:
        super().__init__("several")
        self.exceptions = exceptions


class Marked:
    """An exception that can have weak references."""


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, flush_interval=600)


@pytest.fixture
def tickets(logger: VoyageLogger, recorder: Recorder) -> Tickets:
    """Return the names of the flows whose closing entries open a ticket."""

    def found() -> dict[str, bool]:
        assert logger.flush()
        return {
            entry["event_flow_name"]: entry.get("add_ticket", False) for entry in recorder.entries
        }

    return found


def failed(logger: VoyageLogger, name: str, error: Exception) -> Exception:
    """Return an exception that has left a journey and opened a ticket."""
    with contextlib.suppress(type(error)), logger.journey(name, ticket_on_error=True):
        raise error
    return error


def test_gathered_children_that_fail_open_their_own_ticket_only(
    logger: VoyageLogger, tickets: Tickets
) -> None:
    """Each failed child task opens a ticket, but the journey around the tasks opens none."""

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
    """An exception group opens no ticket if all its members have opened tickets."""

    async def child() -> None:
        async with logger.journey("child", ticket_on_error=True):
            raise ValueError("x")

    async def middle() -> None:
        async with logger.journey("middle"), asyncio.TaskGroup() as group:
            group.create_task(child())

    async def main() -> None:
        async with logger.journey("outer", ticket_on_error=True), asyncio.TaskGroup() as group:
            group.create_task(middle())

    with contextlib.suppress(ExceptionGroup):  # noqa: F821 - runs only since Python 3.11
        asyncio.run(main())
    assert tickets() == {"child": True, "middle": False, "outer": False}


def test_group_with_a_member_without_a_ticket_opens_one(
    logger: VoyageLogger, tickets: Tickets
) -> None:
    """An exception group opens one ticket if one of its members has not opened a ticket."""
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
    """A very large or empty exception group counts as a single exception."""
    with (
        pytest.raises(Group),
        logger.journey("outer", ticket_on_error=True),
        logger.journey("inner", ticket_on_error=True),
    ):
        raise group
    assert tickets() == {"inner": True, "outer": False}


def test_group_that_holds_itself_comes_to_an_end(logger: VoyageLogger, tickets: Tickets) -> None:
    """An exception group that contains itself does not cause an endless loop."""
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
    """If a property of an exception fails, the exception still passes through the journey."""
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
    """An exception is not a group if its `exceptions` is not a tuple of exceptions."""
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
    """The journey adds no attribute to the exception."""
    error = failed(logger, "checkout", ValueError("x"))
    assert (vars(error), error.args) == ({}, ("x",))


def test_handled_exception_is_not_kept(logger: VoyageLogger) -> None:
    """After an exception is handled, the journey does not keep the exception alive."""

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
    """After its end, a journey does not keep inner journeys or exceptions alive."""
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
    """If a new exception has the `id` of a freed exception, the new one still opens a ticket."""
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
    """The client remembers only the latest 100 exceptions that have opened a ticket."""
    ticketed = Ticketed()
    errors = [ValueError(number) for number in range(1000)]
    for error in errors:
        ticketed.add(error)
    assert [error in ticketed for error in errors] == [False] * 900 + [True] * 100
