"""Bound and ambient fields: which entries carry them, and which fields take precedence."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import Recorder
from voyage_logger import VoyageLogger, current_journey, propagate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.loggers import MakeLogger

PLAIN = {"timestamps": False, "capture_method": False, "flush_interval": 600}


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, **PLAIN)


def users(logger: VoyageLogger, recorder: Recorder) -> dict[str, str | None]:
    """Return a dict from each entry's message to its user."""
    assert logger.flush()
    return {entry["message"]: entry.get("app_user_id") for entry in recorder.entries}


def test_nearer_fields_win(make_logger: MakeLogger, recorder: Recorder) -> None:
    """Call fields take precedence, then ambient fields, bound fields and constructor fields."""
    logger = make_logger(environment="constructor", transport=recorder, **PLAIN)
    bound = logger.bind(environment="bound", app_user_id="bound", session_id="bound")
    with logger.context(app_user_id="context", session_id="context"):
        bound.info("x", session_id="call")
    bound.flush()
    (entry,) = recorder.entries
    assert (entry["environment"], entry["app_user_id"], entry["session_id"]) == (
        "bound",
        "context",
        "call",
    )


def test_meta_data_is_merged_by_key(logger: VoyageLogger, recorder: Recorder) -> None:
    """The `meta_data` of all sources is merged; if keys are equal, the nearest source is used."""
    own = {"c": "call"}
    bound = logger.bind(meta_data={"a": "bound", "b": "bound", "c": "bound"})
    with logger.context(meta_data={"b": "context", "c": "context"}):
        bound.info("x", meta_data=own)
        bound.info("y", meta_data="no object")  # type: ignore[arg-type]
        bound.info("z", meta_data=None)
    bound.flush()
    x, y, z = (entry.get("meta_data") for entry in recorder.entries)
    assert x == {"a": "bound", "b": "context", "c": "call"}
    assert y == {"a": "bound", "b": "context", "c": "context", "value": "no object"}
    assert z is None
    assert own == {"c": "call"}


def test_none_in_a_call_leaves_an_ambient_field_out(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """If a log call sets a field to None, the ambient field of this name is left out."""
    with logger.context(app_user_id="u"):
        logger.info("x", app_user_id=None)
    assert users(logger, recorder) == {"x": None}


def test_children_add_up_and_leave_the_parent_alone(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """A logger that is bound twice has all bound fields. The parent does not change."""
    child = logger.bind(app_user_id="u")
    child.bind(event_name="e").info("grandchild")
    child.info("child")
    logger.info("parent")
    logger.flush()
    found = [(entry.get("app_user_id"), entry.get("event_name")) for entry in recorder.entries]
    assert found == [("u", "e"), ("u", None), (None, None)]


def test_children_share_queue_worker_and_counts(make_logger: MakeLogger) -> None:
    """1,000 bound loggers share one worker thread and the same counts."""
    logger = make_logger(transport=Recorder(), flush_interval=600)
    before = threading.active_count()
    for number in range(1000):
        logger.bind(app_user_id=number).info("x")
    assert threading.active_count() == before + 1
    assert logger.bind().stats().accepted == 1000
    assert logger.bind(tags=["t"]).flush().delivered == 1000


def test_closing_a_bound_logger_leaves_the_parent_open(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """When a bound logger is closed, it sends its entries, and its parent stays open."""
    with logger.bind(app_user_id="u") as child:
        child.info("child")
    assert len(recorder.entries) == 1
    logger.info("parent")
    child.info("child again")
    assert logger.flush()
    assert logger.stats().dropped == 0


def test_closing_the_parent_closes_bound_loggers(logger: VoyageLogger, recorder: Recorder) -> None:
    """`close` of a parent closes its bound loggers, so their later entries count as dropped."""
    child = logger.bind(app_user_id="u")
    logger.close()
    child.info("x")
    assert logger.stats().dropped_by == {"closed": 1}


def test_child_outlives_its_parent(recorder: Recorder) -> None:
    """The worker ends when all loggers that use it are freed."""
    child = VoyageLogger("app", transport=recorder, flush_interval=0.05).bind(app_user_id="u")
    child.info("one")
    gc.collect()
    child.flush()
    child.info("two")
    workers = [thread for thread in threading.enumerate() if thread.name == "voyage-logger"]
    assert not child._pipeline._worker.orders.stops_when_empty
    del child
    gc.collect()
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()
    assert [entry["message"] for entry in recorder.entries] == ["one", "two"]


def test_child_s_method_name_is_the_caller_s(make_logger: MakeLogger, recorder: Recorder) -> None:
    """In an entry of a bound logger, `method_name` is the function that logs."""
    logger = make_logger(transport=recorder)
    logger.bind(app_user_id="u").info("x")
    logger.flush()
    assert recorder.entries[0]["method_name"] == "test_child_s_method_name_is_the_caller_s"


WORDS = ("self", "args", "fields", "kind", "error", "name", "carrier", "frame", "rank", "function")


@pytest.mark.parametrize("way", ["call", "bind", "context", "journey", "continue_journey"])
def test_every_name_can_be_a_field(logger: VoyageLogger, recorder: Recorder, way: str) -> None:
    """A field can have any name, such as "self" in the `locals()` of a method."""
    words: Any = dict.fromkeys(WORDS, "v")
    if way == "call":
        logger.info("x", **words)
    elif way == "bind":
        logger.bind(**words).info("x")
    elif way == "context":
        with logger.context(**words):
            logger.info("x")
    elif way == "journey":
        with logger.journey("flow", **words):
            logger.info("x")
    else:
        with logger.continue_journey({}, "flow", **words):
            logger.info("x")
    assert logger.flush()
    assert recorder.entries[0].items() >= words.items()


def test_contexts_nest_and_end(logger: VoyageLogger, recorder: Recorder) -> None:
    """Until an inner context ends, its fields take precedence."""
    with logger.context(app_user_id="outer", event_name="e"):
        with logger.context(app_user_id="inner"):
            logger.info("inner")
        logger.info("outer")
    logger.info("none")
    assert users(logger, recorder) == {"inner": "inner", "outer": "outer", "none": None}
    assert [entry.get("event_name") for entry in recorder.entries] == ["e", "e", None]


def test_context_ends_with_an_exception(logger: VoyageLogger, recorder: Recorder) -> None:
    """An exception ends the context, and reaches the app unchanged."""
    error = ValueError("x")
    with pytest.raises(ValueError, match="x") as caught, logger.context(app_user_id="u"):
        raise error
    logger.info("after")
    assert caught.value is error
    assert users(logger, recorder) == {"after": None}


def test_context_inside_a_journey_is_inside_it(logger: VoyageLogger) -> None:
    """`current_journey` returns the journey, even inside contexts that begin in the journey."""
    with logger.journey("checkout") as journey:
        with logger.context(app_user_id="u"), logger.context(event_name="e"):
            assert current_journey() is journey
        assert current_journey() is journey


def test_context_serves_all_loggers(make_logger: MakeLogger, recorder: Recorder) -> None:
    """A context adds its fields to the entries of all loggers."""
    one, two = make_logger(transport=recorder, **PLAIN), make_logger(transport=recorder, **PLAIN)
    with one.context(app_user_id="u"):
        two.bind(event_name="e").info("x")
    assert users(two, recorder) == {"x": "u"}


def test_context_may_be_entered_again_and_inside_itself(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """The app can enter the same context again, even before the context has ended."""
    scope = logger.context(app_user_id="u")
    with scope:
        with scope:
            logger.info("inside")
        logger.info("outside")
    logger.info("after")
    with scope:
        logger.info("again")
    found = users(logger, recorder)
    assert found == {"inside": "u", "outside": "u", "after": None, "again": "u"}


def test_contexts_left_in_the_wrong_order_leave_nothing(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """If contexts end in the wrong order, no field remains."""
    first, second = logger.context(app_user_id="first"), logger.context(event_name="second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    second.__exit__(None, None, None)  # The context `second` has already ended.
    logger.info("after")
    assert users(logger, recorder) == {"after": None}
    assert "event_name" not in recorder.entries[0]


def test_context_left_in_another_context_raises_nothing(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """If a generator is closed in another context, the fields of the other context stay."""
    scope = logger.context(app_user_id="u")
    copy_context().run(scope.__enter__)
    with logger.context(app_user_id="mine"):
        scope.__exit__(None, None, None)
        logger.info("x")
    assert users(logger, recorder) == {"x": "mine"}


def test_plain_threads_begin_empty_and_propagate_carries(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """A new thread does not inherit the context, but a propagated function keeps its context."""
    with logger.context(app_user_id="u"):
        threads = [
            threading.Thread(target=logger.info, args=("plain",)),
            threading.Thread(target=propagate(logger.info), args=("propagated",)),
        ]
    for thread in threads:
        thread.start()
        thread.join()
    assert users(logger, recorder) == {"plain": None, "propagated": "u"}


def test_executors_of_asyncio_begin_empty_and_to_thread_does_not(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """`asyncio.to_thread` keeps the context. `run_in_executor` keeps it only with `propagate`."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with logger.context(app_user_id="u"):
            await asyncio.to_thread(logger.info, "to_thread")
            await loop.run_in_executor(None, logger.info, "executor")
            await loop.run_in_executor(None, propagate(logger.info), "propagated")

    asyncio.run(main())
    assert users(logger, recorder) == {"to_thread": "u", "executor": None, "propagated": "u"}


def test_propagate_serves_an_executor(logger: VoyageLogger, recorder: Recorder) -> None:
    """Several threads can run one propagated function at the same time."""
    barrier = threading.Barrier(4)

    def work(number: int) -> int:
        barrier.wait(10)
        logger.info(f"task {number}")
        return number

    with ThreadPoolExecutor(4) as executor:
        with logger.context(app_user_id="u"):
            task = propagate(work)
        assert list(executor.map(task, range(4))) == [0, 1, 2, 3]
        barrier.reset()
        list(executor.map(work, range(4, 8)))
    found = users(logger, recorder)
    assert {found[f"task {number}"] for number in range(4)} == {"u"}
    assert {found[f"task {number}"] for number in range(4, 8)} == {None}


def test_propagated_function_keeps_name_result_and_exception(logger: VoyageLogger) -> None:
    """A propagated function has the name, result and exception of the original function."""

    def work(ok: bool) -> str:
        if not ok:
            raise ValueError("broken")
        return "done"

    task = propagate(work)
    assert (task.__name__, task(True)) == ("work", "done")
    with pytest.raises(ValueError, match="broken"):
        task(False)


def test_propagate_takes_coroutine_functions(logger: VoyageLogger, recorder: Recorder) -> None:
    """A propagated coroutine function keeps its context in another event loop."""

    async def work() -> None:
        await asyncio.sleep(0)
        logger.info("x")

    with logger.context(app_user_id="u"):
        task = propagate(work)
    asyncio.run(task())
    assert users(logger, recorder) == {"x": "u"}


def test_propagated_coroutine_leaves_its_task_as_it_was(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """After a propagated coroutine ends, the task that awaits it has its own context again."""

    async def work(ok: bool) -> None:
        if not ok:
            raise ValueError("broken")
        logger.info("inside")

    with logger.context(app_user_id="u"):
        task = propagate(work)

    async def main() -> None:
        with logger.context(app_user_id="mine"):
            await task(True)
            logger.info("after")
            with contextlib.suppress(ValueError):
                await task(False)
            logger.info("after an exception")

    asyncio.run(main())
    assert users(logger, recorder) == {
        "inside": "u",
        "after": "mine",
        "after an exception": "mine",
    }


@pytest.mark.parametrize("kind", ["object", "partial"])
def test_propagate_knows_coroutines_of_all_kinds(
    logger: VoyageLogger, recorder: Recorder, kind: str
) -> None:
    """`propagate` also works for a `partial` and for an instance with an async `__call__`."""

    class Work:
        async def __call__(self, message: str = "x") -> None:
            await asyncio.sleep(0)
            logger.info(message)

    with logger.context(app_user_id="u"):
        task = propagate(Work() if kind == "object" else partial(Work().__call__, "x"))
    asyncio.run(task())
    assert users(logger, recorder) == {"x": "u"}


def test_propagate_refuses_generators() -> None:
    """`propagate` raises an error for a generator function."""

    def rows(number: int) -> Iterator[int]:
        yield number

    class Rows:
        async def __call__(self) -> AsyncIterator[int]:
            yield 1

    for function in (rows, partial(rows, 1), Rows()):
        with pytest.raises(TypeError, match=r"ows is a generator"):
            propagate(function)


def test_propagated_log_method_tells_who_propagated_it(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """For a propagated log method, `method_name` is the function that called `propagate`."""
    logger = make_logger(transport=recorder, flush_interval=600)

    def hand_over() -> None:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(propagate(logger.info), "method")
            executor.submit(propagate(partial(logger.info, "partial")))
            executor.submit(propagate(logger.info), "call", method_name="mine")
            executor.submit(propagate(logger.bind(method_name="mine").info), "bound")

    hand_over()
    logger.flush()
    found = {entry["message"]: entry["method_name"] for entry in recorder.entries}
    name = "test_propagated_log_method_tells_who_propagated_it.<locals>.hand_over"
    name = name if sys.version_info >= (3, 11) else "hand_over"
    assert found == {"method": name, "partial": name, "call": "mine", "bound": "mine"}


def test_propagated_log_method_adds_no_unwanted_name(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """With `capture_method=False`, a propagated log method adds no `method_name`."""
    propagate(logger.info)("x")
    logger.flush()
    assert "method_name" not in recorder.entries[0]


def test_function_of_the_app_is_propagated_under_its_own_name(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """If the app propagates its own function, `method_name` and tracebacks show this function."""
    logger = make_logger(transport=recorder, flush_interval=600)

    def work() -> None:
        logger.info("x")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        propagate(work)()
    logger.flush()
    assert recorder.entries[0]["method_name"].endswith("work")
    assert [each.name for each in caught.traceback[1:]] == ["run", "work"]


def test_tasks_inherit_and_do_not_mix(logger: VoyageLogger, recorder: Recorder) -> None:
    """Gathered tasks inherit the context, but no task sees the fields of another task."""

    async def serve(user: str) -> None:
        logger.info(f"inherited {user}")
        async with logger.context(app_user_id=user):
            await asyncio.sleep(0)
            logger.info(user)
            await asyncio.sleep(0)
            await asyncio.create_task(log(f"child of {user}"))
        logger.info(f"after {user}")

    async def log(message: str) -> None:
        logger.info(message)

    async def main() -> None:
        with logger.context(app_user_id="outer"):
            await asyncio.gather(*(serve(f"user_{number}") for number in range(5)))
            logger.info("end")

    asyncio.run(main())
    found = users(logger, recorder)
    assert found.pop("end") == "outer"
    for message, user in found.items():
        is_own = message.startswith(("user", "child"))
        assert user == (message.rpartition(" ")[2] if is_own else "outer")
    assert len(found) == 20


def test_cancelled_task_leaves_no_context(logger: VoyageLogger, recorder: Recorder) -> None:
    """A context ends when its task is cancelled inside the context."""

    async def serve(is_inside: asyncio.Event) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with logger.context(app_user_id="u"):
                is_inside.set()
                await asyncio.Event().wait()
        logger.info("after")

    async def main() -> None:
        is_inside = asyncio.Event()
        task = asyncio.create_task(serve(is_inside))
        await is_inside.wait()
        task.cancel()
        await task
        logger.info("main")

    asyncio.run(main())
    assert users(logger, recorder) == {"after": None, "main": None}


def test_task_that_outlives_the_context_keeps_it(logger: VoyageLogger, recorder: Recorder) -> None:
    """A task keeps the inherited fields after the context has ended."""

    async def late(may_go: asyncio.Event) -> None:
        await may_go.wait()
        with logger.context(event_name="inner"):
            logger.info("late inside")
        logger.info("late")

    async def main() -> None:
        may_go = asyncio.Event()
        with logger.context(app_user_id="u"):
            task = asyncio.create_task(late(may_go))
        may_go.set()
        await task

    asyncio.run(main())
    assert users(logger, recorder) == {"late inside": "u", "late": "u"}


def test_async_generator_that_the_loop_closes_raises_nothing(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """If the event loop closes an async generator, its context ends without an error."""

    async def rows() -> AsyncIterator[int]:
        async with logger.context(app_user_id="u"):
            yield 1
            yield 2

    async def main() -> None:
        generator = rows()
        assert await anext(generator) == 1
        await asyncio.create_task(close(generator))

    async def close(generator: Any) -> None:
        await generator.aclose()

    asyncio.run(main())
    logger.info("after")
    assert users(logger, recorder) == {"after": None}


def test_chain_of_tasks_holds_no_old_context(logger: VoyageLogger) -> None:
    """If each task starts the next task inside a context, the old contexts are freed."""
    import weakref  # noqa: PLC0415 - used here only

    from voyage_logger._logger.context import AMBIENT, Layer  # noqa: PLC0415 - used here only

    class Marked:
        """A value that can have weak references."""

    marks: list[weakref.ref[Marked]] = []

    async def link(number: int, done: asyncio.Event) -> None:
        mark = Marked()
        marks.append(weakref.ref(mark))
        with logger.context(meta_data={"mark": mark} if number == 0 else {"mark": number}):
            assert isinstance(AMBIENT.get(), Layer)
            if number < 20:
                links.append(asyncio.create_task(link(number + 1, done)))
            else:
                done.set()

    links: list[asyncio.Task[None]] = []

    async def main() -> None:
        done = asyncio.Event()
        links.append(asyncio.create_task(link(0, done)))
        await done.wait()
        await asyncio.gather(*links)
        links.clear()

    asyncio.run(main())
    gc.collect()
    assert marks[0]() is None
