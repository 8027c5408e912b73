"""A journey, or the context of `propagate`, lasts until the work of a decorated call has ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger import VoyageLogger, current_journey, propagate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from tests.support.loggers import MakeLogger, Recorder


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, timestamps=False, flush_interval=600)


@pytest.fixture
def sent(logger: VoyageLogger, recorder: Recorder) -> Callable[[], dict[str, Any]]:
    """Return a function that returns each message with its flow, and each flow with its outcome."""

    def flows() -> dict[str, Any]:
        assert logger.flush()
        found: dict[str, Any] = {}
        for entry in recorder.entries:
            if (outcome := entry.get("meta_data", {}).get("outcome")) is None:
                found[entry["message"]] = entry.get("event_flow_name")
            else:
                assert entry["event_flow_name"] not in found, "a run has two closing entries"
                found[entry["event_flow_name"]] = outcome
        return found

    return flows


def hidden(function: Any) -> Any:
    """Wrap a function as a usual decorator does, so that the kind of the function is hidden."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def test_journey_of_a_hidden_coroutine_function_fails(
    logger: VoyageLogger, sent: Any, recorder: Recorder
) -> None:
    """If a function returns a coroutine that fails, the journey fails with the coroutine."""

    @logger.journey("pay", ticket_on_error=True)
    @hidden
    async def pay() -> None:
        await asyncio.sleep(0)
        logger.info("charging")
        raise ValueError("declined")

    coroutine = pay()
    assert (coroutine.__name__, inspect.iscoroutine(coroutine)) == ("pay", True)
    logger.info("between")
    with pytest.raises(ValueError, match="declined"):
        asyncio.run(coroutine)
    logger.info("after")
    assert sent() == {"between": None, "charging": "pay", "pay": "failed", "after": None}
    closing = recorder.entries[2]
    assert closing["add_ticket"] is True
    assert closing["method_name"].endswith("pay")
    first, second = closing["exception_info"].splitlines()[:2]
    assert first == "Traceback (most recent call last):"
    assert __file__ in second


def test_journey_of_a_hidden_coroutine_function_completes(logger: VoyageLogger, sent: Any) -> None:
    """Coroutines of one decorated function can run at the same time, each in its own journey."""

    @logger.journey("serve")
    @hidden
    async def serve(number: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return number, id(current_journey())

    async def main() -> Any:
        return await asyncio.gather(serve(1), serve(2))

    (one, first), (two, second) = asyncio.run(main())
    assert (one, two) == (1, 2)
    assert first != second
    assert logger.flush().delivered == 2


def test_cancelled_hidden_coroutine_is_interrupted(logger: VoyageLogger, sent: Any) -> None:
    """If a coroutine that a function has returned is cancelled, its journey is interrupted."""

    async def main() -> None:
        is_inside = asyncio.Event()

        @logger.journey("serve")
        @hidden
        async def serve() -> None:
            is_inside.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(serve())
        await is_inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert sent() == {"serve": "interrupted"}


def test_journey_of_an_old_style_coroutine_can_be_awaited(logger: VoyageLogger, sent: Any) -> None:
    """If a function returns an awaitable generator, the journey ends when the await ends."""

    @logger.journey("serve")
    @hidden
    @types.coroutine
    def serve() -> Generator[Any, Any, int]:
        logger.info("inside")
        yield from asyncio.sleep(0).__await__()
        return 5

    async def main() -> int:
        result: int = await serve()
        return result

    assert asyncio.run(main()) == 5
    assert sent() == {"inside": "serve", "serve": "completed"}


def test_journey_of_a_returned_generator_stays_in_the_generator(
    logger: VoyageLogger, sent: Any, recorder: Recorder
) -> None:
    """A returned generator runs inside the journey, and the code that iterates runs outside."""

    @logger.journey("rows")
    @hidden
    def rows() -> Generator[int, str, str]:
        logger.info(f"got {(yield 1)}")
        with logger.context(event_name="inner"):
            try:
                yield 2
            except KeyError:
                logger.info("caught")
        return "result"

    generator = rows()
    assert generator.__name__ == "rows"
    assert next(generator) == 1
    logger.info("outside")
    assert generator.send("a value") == 2
    assert current_journey() is None
    with pytest.raises(StopIteration) as stopped:
        generator.throw(KeyError("x"))
    assert stopped.value.value == "result"
    assert current_journey() is None
    assert sent() == {
        "outside": None,
        "got a value": "rows",
        "caught": "rows",
        "rows": "completed",
    }
    events = {entry["message"]: entry.get("event_name") for entry in recorder.entries}
    assert events["caught"] == "inner", "the generator's own context ends at its next step"


def test_journey_of_a_returned_generator_ends_with_it(logger: VoyageLogger, sent: Any) -> None:
    """If a generator fails or is closed early, its journey has failed or was interrupted."""

    def rows() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    left = logger.journey("left")(hidden(rows))()
    next(left)
    left.close()
    with pytest.raises(ValueError, match="no more"):
        list(logger.journey("fails")(hidden(rows))())
    assert sent() == {"left": "interrupted", "fails": "failed"}


def test_journey_of_a_returned_async_generator_stays_in_it(logger: VoyageLogger, sent: Any) -> None:
    """A returned async generator runs inside the journey; code that iterates runs outside."""

    async def rows(*, fails: bool = False) -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1
        try:
            yield 2
        except KeyError:
            logger.info("caught")
        if fails:
            raise ValueError("no more")

    async def main() -> None:
        generator = logger.journey("rows")(hidden(rows))()
        assert await generator.__anext__() == 1
        logger.info("outside")
        assert await generator.asend(None) == 2
        with pytest.raises(StopAsyncIteration):
            await generator.athrow(KeyError("x"))
        left = logger.journey("left")(hidden(rows))()
        async for _ in left:
            break
        await left.aclose()
        with pytest.raises(ValueError, match="no more"):
            async for _ in logger.journey("fails")(hidden(rows))(fails=True):
                assert current_journey() is None

    asyncio.run(main())
    assert sent() == {
        "outside": None,
        "caught": "rows",
        "rows": "completed",
        "left": "interrupted",
        "fails": "failed",
    }


@pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])
def test_journey_of_a_context_manager_covers_the_block(
    logger: VoyageLogger, sent: Any, is_async: bool
) -> None:
    """A decorated context manager function keeps its journey until the `with` block ends."""

    @contextlib.contextmanager
    def opened(handles: type[Exception] = KeyError) -> Iterator[str]:
        logger.info(f"open {handles.__name__}")
        with contextlib.suppress(handles):
            yield "value"
        logger.info(f"close {handles.__name__}")

    @contextlib.asynccontextmanager
    async def opened_async(handles: type[Exception] = KeyError) -> AsyncIterator[str]:
        with opened(handles) as value:
            yield value

    async def main() -> None:
        async def use(flow: str, handles: type[Exception], error: Exception | None) -> None:
            async with contextlib.AsyncExitStack() as stack:
                function: Any = opened_async if is_async else opened
                manager = logger.journey(flow)(function)(handles)
                if is_async:
                    value = await stack.enter_async_context(manager)
                else:
                    value = stack.enter_context(manager)
                assert value == "value"
                logger.info(f"in {flow}")
                if error is not None:
                    raise error

        await use("fine", KeyError, None)
        await use("handled", IndexError, IndexError())
        with pytest.raises(ValueError, match="declined"):
            await use("fails", OSError, ValueError("declined"))
        logger.info("after")

    asyncio.run(main())
    assert sent() == {
        "open KeyError": "fine",
        "in fine": "fine",
        "close KeyError": "fine",
        "fine": "completed",
        "open IndexError": "handled",
        "in handled": "handled",
        "close IndexError": "handled",
        "handled": "completed",
        "open OSError": "fails",
        "in fails": "fails",
        "fails": "failed",
        "after": None,
    }


@pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])
def test_context_manager_that_fails_at_its_start_or_end_fails_the_journey(
    logger: VoyageLogger, sent: Any, is_async: bool
) -> None:
    """If the code before or after the `with` block raises an exception, the journey has failed."""

    @contextlib.contextmanager
    def opened(place: str) -> Iterator[None]:
        if place == "start":
            raise ValueError(place)
        yield
        raise ValueError(place)

    @contextlib.asynccontextmanager
    async def opened_async(place: str) -> AsyncIterator[None]:
        with opened(place):
            yield

    async def main() -> None:
        for place in ("start", "end"):
            with pytest.raises(ValueError, match=place):
                if is_async:
                    async with logger.journey(place)(opened_async)(place):
                        pass
                else:
                    with logger.journey(place)(opened)(place):
                        pass
            assert current_journey() is None

    asyncio.run(main())
    assert sent() == {"start": "failed", "end": "failed"}


def test_context_manager_of_a_journey_can_decorate(logger: VoyageLogger, sent: Any) -> None:
    """If the manager decorates a function, each call of the function is a run of the journey."""

    @logger.journey("opened")
    @contextlib.contextmanager
    def opened() -> Iterator[None]:
        logger.info("open")
        yield

    @opened()
    def work() -> str:
        logger.info("work")
        return "done"

    assert work() == "done"
    assert sent() == {"open": "opened", "work": "opened", "opened": "completed"}
    assert work() == "done"
    assert logger.flush().delivered == 3


@pytest.mark.parametrize("is_above", [False, True], ids=["below", "above"])
def test_static_and_class_methods_are_journeys(
    logger: VoyageLogger, sent: Any, is_above: bool
) -> None:
    """A journey works above and below `@staticmethod` and `@classmethod`, for coroutines too."""

    def decorated(kind: Any, flow: str, function: Any) -> Any:
        journey = logger.journey(flow)
        return journey(kind(function)) if is_above else kind(journey(function))

    def work(*args: Any) -> tuple[Any, ...]:
        logger.info(f"work {len(args)}")
        return args

    async def fail(*args: Any) -> None:
        await asyncio.sleep(0)
        raise ValueError(len(args))

    class Shop:
        static = decorated(staticmethod, "static", work)
        kind = decorated(classmethod, "class", work)
        static_async = decorated(staticmethod, "static async", fail)
        kind_async = decorated(classmethod, "class async", fail)

    assert Shop.static(1, 2) == (1, 2)
    assert Shop().kind() == (Shop,)
    for call in (Shop.static_async, Shop().kind_async):
        assert inspect.iscoroutinefunction(call)
        with pytest.raises(ValueError, match=r"0|1"):
            asyncio.run(call())
    assert sent() == {
        "work 2": "static",
        "static": "completed",
        "work 1": "class",
        "class": "completed",
        "static async": "failed",
        "class async": "failed",
    }


@pytest.mark.parametrize(
    "decorator", [property, functools.cached_property, functools.partialmethod]
)
def test_decorating_what_cannot_be_called_is_refused(logger: VoyageLogger, decorator: Any) -> None:
    """A journey or `propagate` above a property raises an error that names the remedy."""

    def work(_self: object) -> None: ...

    for decorate in (logger.journey("x"), propagate):
        with pytest.raises(TypeError, match=r"cannot be called: write this decorator below @"):
            decorate(decorator(work))


def test_object_of_the_app_is_returned_as_it_is(logger: VoyageLogger, sent: Any) -> None:
    """If a call returns an object of the app's own class or a task, the app gets this object."""

    class Request:
        """A result that can be awaited and entered, such as a request of aiohttp."""

        def __await__(self) -> Iterator[None]:
            return iter(())

        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None: ...

    class generator:  # noqa: N801 - the name of Python's own type
        """A class that only has the name of a generator."""

    async def main() -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        for number, result in enumerate((Request(), generator(), task, open, [])):
            assert logger.journey(f"{number}")(lambda result=result: result)() is result
            assert propagate(lambda result=result: result)() is result
        await task

    asyncio.run(main())
    assert set(sent().values()) == {"completed"}


def test_generator_that_failed_is_freed_at_once(logger: VoyageLogger) -> None:
    """After a generator has failed, the exception and the generator are freed immediately."""

    class Failure(Exception):  # noqa: N818 - a short name is clear enough in a test
        pass

    def rows() -> Iterator[int]:
        yield 1

    def fail() -> weakref.ref[Failure]:
        generator = logger.journey("rows")(hidden(rows))()
        next(generator)
        try:
            generator.throw(Failure())
        except Failure as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()


def test_propagated_context_covers_what_a_call_returns(logger: VoyageLogger, sent: Any) -> None:
    """What a propagated function returns runs with the propagated journey in another thread."""

    @hidden
    async def coroutine() -> None:
        await asyncio.sleep(0)
        logger.info("coroutine")

    @hidden
    def generator() -> Iterator[None]:
        logger.info("generator")
        yield
        logger.info("generator again")

    @hidden
    async def async_generator() -> AsyncIterator[None]:
        logger.info("async generator")
        yield

    @contextlib.contextmanager
    def manager() -> Iterator[None]:
        logger.info("manager")
        yield

    with logger.journey("outer"):
        names = (coroutine, generator, async_generator, manager, staticmethod(coroutine))
        tasks = [propagate(each) for each in names]

    async def iterate() -> None:
        async for _ in tasks[2]():
            logger.info("async consumer")

    def work() -> None:
        asyncio.run(tasks[0]())
        for _ in tasks[1]():
            logger.info("consumer")
        asyncio.run(iterate())
        with tasks[3]():
            logger.info("block")
        tasks[3]()(lambda: logger.info("decorated"))()
        logger.info("after")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    inside = ("coroutine", "generator", "generator again", "async generator", "manager", "block")
    outside = ("consumer", "async consumer", "after")
    assert sent() == {
        "outer": "completed",
        **dict.fromkeys((*inside, "decorated"), "outer"),
        **dict.fromkeys(outside, None),
    }
    assert isinstance(tasks[4], staticmethod)


def test_propagated_manager_without_a_context_has_none(logger: VoyageLogger, sent: Any) -> None:
    """If `propagate` was called without a journey, the `with` block runs without a journey."""

    @contextlib.contextmanager
    def opened() -> Iterator[None]:
        yield

    task = propagate(opened)
    with logger.journey("outer"):
        with task():
            logger.info("block")
        logger.info("back")
    assert sent() == {"block": None, "back": "outer", "outer": "completed"}
