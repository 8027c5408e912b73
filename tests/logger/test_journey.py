"""Each entry inside a journey has the flow's fields, and a closing entry has the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger import Journey, VoyageLogger, current_journey, propagate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger.devserver import DevServer


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, timestamps=False, flush_interval=600)


@pytest.fixture
def sent(logger: VoyageLogger, recorder: Recorder) -> Callable[[], list[dict[str, Any]]]:
    def entries() -> list[dict[str, Any]]:
        assert logger.flush()
        return recorder.entries

    return entries


def steps(entry: dict[str, Any]) -> list[str]:
    return [step["step"] for step in entry["event_timeline"]]


def test_entries_inside_carry_the_journey(logger: VoyageLogger, sent: Any) -> None:
    """Each entry inside a journey carries the journey's name, session, user and steps so far."""
    with logger.journey("checkout", app_user_id="u", session_id="s") as journey:
        logger.info("one")
        journey.step("cart_opened")
        logger.bind(tags=["t"]).info("two")
        journey.step("card_charged")
    logger.info("after")
    one, two, closing, after = sent()
    for entry in (one, two, closing):
        assert (entry["event_flow_name"], entry["session_id"], entry["app_user_id"]) == (
            "checkout",
            "s",
            "u",
        )
    assert [steps(entry) for entry in (one, two, closing)] == [
        [],
        ["cart_opened"],
        ["cart_opened", "card_charged"],
    ]
    assert not {"event_flow_name", "session_id", "app_user_id", "event_timeline"} & set(after)


def test_leaving_writes_one_closing_entry(logger: VoyageLogger, sent: Any) -> None:
    """At its end, a journey logs one closing entry, with the outcome and the duration."""
    with logger.journey("checkout"):
        pass
    (closing,) = sent()
    assert closing["message"] == "Journey checkout completed"
    assert (closing["level"], closing["event_name"]) == ("info", "journey_completed")
    assert closing["method_name"] == "test_leaving_writes_one_closing_entry"
    assert closing["meta_data"]["outcome"] == "completed"
    assert 0 <= closing["meta_data"]["duration_ms"] < 60_000


def test_duration_is_counted_from_the_entry(logger: VoyageLogger, sent: Any) -> None:
    """The duration is measured in milliseconds from the start of the `with` block."""
    now = 100.0
    journey = logger.journey("checkout")
    journey._clock = lambda: now
    for seconds in (0.25, 2.0):
        now += 1000
        with journey:
            now += seconds
    assert [entry["meta_data"]["duration_ms"] for entry in sent()] == [250.0, 2000.0]


def test_steps_carry_epoch_milliseconds(logger: VoyageLogger, sent: Any) -> None:
    """Each step has a time in epoch milliseconds, and the steps are in order."""
    before = time.time_ns() // 1_000_000
    with logger.journey("checkout") as journey:
        journey.step("a")
        journey.step("b")
    times = [step["timestamp"] for step in sent()[0]["event_timeline"]]
    assert all(type(moment) is int for moment in times)
    assert [before, *times, time.time_ns() // 1_000_000] == sorted(
        [before, *times, time.time_ns() // 1_000_000]
    )


def test_session_is_made_if_there_is_none(logger: VoyageLogger, sent: Any) -> None:
    """Each run of a journey has a new session if no session is ambient or bound."""
    for _ in range(2):
        with logger.journey("fresh"):
            pass
    with logger.context(session_id="ambient"), logger.journey("inside"):
        pass
    with logger.bind(session_id="bound").journey("bound"):
        pass
    with logger.journey("none", session_id=None):
        pass
    first, second, *others, none = [entry["session_id"] for entry in sent()]
    assert len({first, second, none}) == 3
    assert {len(first), len(none)} == {32}
    assert others == ["ambient", "bound"]


def test_exception_is_logged_and_passes_unchanged(logger: VoyageLogger, sent: Any) -> None:
    """If an exception ends a journey, the closing entry reports it, and the app gets it."""
    error = ValueError("no funds")
    with pytest.raises(ValueError, match="no funds") as caught:  # noqa: SIM117 - nested on purpose
        with logger.journey("checkout") as journey:
            journey.step("card_charged")
            raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    (closing,) = sent()
    assert closing["level"] == "error"
    assert closing["message"] == "Journey checkout failed: ValueError: no funds"
    assert closing["event_name"] == "journey_failed"
    assert closing["exception_info"].startswith("Traceback")
    assert closing["exception_info"].endswith("ValueError: no funds\n")
    assert steps(closing) == ["card_charged"]
    assert closing["meta_data"]["outcome"] == "failed"
    assert "add_ticket" not in closing


def test_ticket_on_error_opens_one_ticket(logger: VoyageLogger, sent: Any) -> None:
    """With `ticket_on_error`, an exception that leaves several journeys opens only one ticket."""
    with logger.journey("fine", ticket_on_error=True):
        pass
    with (
        contextlib.suppress(ValueError),
        logger.journey("outer", ticket_on_error=True),
        logger.journey("middle"),
        logger.journey("inner", ticket_on_error=True),
    ):
        raise ValueError("x")
    tickets = {entry["event_flow_name"]: entry.get("add_ticket") for entry in sent()}
    assert tickets == {"fine": None, "inner": True, "middle": None, "outer": None}


def test_another_exception_opens_another_ticket(logger: VoyageLogger, sent: Any) -> None:
    """If another exception leaves the outer journey, this exception opens a second ticket."""
    with (
        contextlib.suppress(KeyError),
        logger.journey("outer", ticket_on_error=True),
    ):
        try:
            with logger.journey("inner", ticket_on_error=True):
                raise ValueError("x")
        except ValueError:
            raise KeyError("y") from None
    assert [entry.get("add_ticket") for entry in sent()] == [True, True]


def test_broken_exception_is_logged_and_passes(logger: VoyageLogger, sent: Any) -> None:
    """An exception whose `str` fails is logged, and the app gets the exception."""

    class Broken(Exception):  # noqa: N818 - a short name is clear enough in a test
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(Broken), logger.journey("checkout"):
        raise Broken
    (closing,) = sent()
    assert closing["message"] == "Journey checkout failed: Broken: <unprintable Broken>"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(0), GeneratorExit()])
def test_ctrl_c_and_exit_interrupt_a_journey(
    logger: VoyageLogger, sent: Any, error: BaseException
) -> None:
    """Ctrl-C and `SystemExit` end a journey with a warning that opens no ticket."""
    with pytest.raises(type(error)) as caught, logger.journey("checkout", ticket_on_error=True):
        raise error
    assert caught.value is error
    (closing,) = sent()
    assert (closing["level"], closing["event_name"]) == ("warn", "journey_interrupted")
    assert "add_ticket" not in closing


def test_journeys_nest(logger: VoyageLogger, sent: Any) -> None:
    """An inner journey has its own name and timeline, but the outer journey's session."""
    with logger.journey("checkout", app_user_id="u") as outer:
        outer.step("cart_opened")
        with logger.journey("payment") as inner:
            inner.step("card_charged")
            assert current_journey() is inner
        assert current_journey() is outer
        logger.info("back")
    assert current_journey() is None
    payment, back, checkout = sent()
    assert (payment["event_flow_name"], steps(payment)) == ("payment", ["card_charged"])
    assert (back["event_flow_name"], steps(back)) == ("checkout", ["cart_opened"])
    assert payment["session_id"] == checkout["session_id"]
    assert payment["app_user_id"] == "u"


def test_context_inside_a_journey_keeps_it(logger: VoyageLogger, sent: Any) -> None:
    """The end of a context inside a journey does not end the journey."""
    with logger.journey("checkout") as journey:
        journey.step("a")
        with logger.context(app_user_id="u"):
            logger.info("x")
    entry = sent()[0]
    assert (entry["event_flow_name"], entry["app_user_id"], steps(entry)) == (
        "checkout",
        "u",
        ["a"],
    )


def test_call_s_own_timeline_wins(logger: VoyageLogger, sent: Any) -> None:
    """If a log call gives a timeline, it replaces the journey's timeline."""
    with logger.journey("checkout") as journey:
        journey.step("a")
        logger.info("x", event_timeline=[("mine", 1.0)])
        logger.info("y", event_timeline=None)
    own, none, _ = sent()
    assert own["event_timeline"] == [{"step": "mine", "timestamp": 1.0}]
    assert "event_timeline" not in none


def test_timeline_is_a_snapshot(make_logger: MakeLogger, recorder: Recorder) -> None:
    """If `before_send` changes the steps of one entry, the next entry is not changed."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        entry["event_timeline"][0]["step"] += "!"
        entry["event_timeline"].append({"step": "forged", "timestamp": 0})
        return entry

    logger = make_logger(transport=recorder, before_send=before_send)
    with logger.journey("checkout") as journey:
        journey.step("a")
        logger.info("x")
    logger.flush()
    assert [steps(entry) for entry in recorder.entries] == [["a!", "forged"]] * 2


def test_timeline_is_bounded(logger: VoyageLogger, sent: Any) -> None:
    """A long timeline is cut to its first 10 steps, a mark, and its latest 39 steps."""
    with logger.journey("checkout") as journey:
        for number in range(49):
            journey.step(str(number))
        assert [step["step"] for step in journey.timeline()] == [*map(str, range(49))]
        for number in range(49, 1000):
            journey.step(str(number))
        journey.step("x" * 1000)
    timeline = steps(sent()[0])
    assert len(timeline) == 50
    assert timeline[:11] == [*map(str, range(10)), "<952 steps left out>"]
    assert timeline[11:-1] == [*map(str, range(962, 1000))]
    assert len(timeline[-1]) == 128


def test_step_takes_anything(logger: VoyageLogger, sent: Any) -> None:
    """`step` accepts any argument, and never raises an exception."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with logger.journey("checkout") as journey:
        for name in (1, None, b"bytes", Broken()):
            journey.step(name)
    assert steps(sent()[0]) == ["1", "None", "bytes", "<unprintable Broken>"]


def test_threads_may_share_a_journey(logger: VoyageLogger, sent: Any) -> None:
    """Several threads can add steps to a journey while other threads log."""
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with logger.journey("checkout") as journey:

            @propagate
            def work(number: int) -> None:
                for turn in range(300):
                    found = current_journey()
                    assert found is journey
                    found.step(f"{number}-{turn}")
                    assert len(found.timeline()) <= 50

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(old)
    timeline = steps(sent()[0])
    assert len(timeline) == 50
    assert timeline[10] == f"<{1200 - 49} steps left out>"


def test_standard_library_s_entries_carry_the_journey(logger: VoyageLogger, sent: Any) -> None:
    """Entries that come from the standard `logging` module also carry the journey."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.log(record.levelno, record.getMessage(), method_name=record.funcName)

    library = logging.getLogger("a.library")
    handler = Handler()
    library.addHandler(handler)
    try:
        with logger.journey("checkout") as journey:
            journey.step("a")
            library.error("from %s", "afar")
    finally:
        library.removeHandler(handler)
    entry = sent()[0]
    assert (entry["message"], entry["level"]) == ("from afar", "error")
    assert (entry["event_flow_name"], steps(entry)) == ("checkout", ["a"])


def test_decorated_function_is_a_journey(logger: VoyageLogger, sent: Any) -> None:
    """Each call of a decorated function is a run of the journey."""

    @logger.journey("count_down", app_user_id="u")
    def count_down(number: int) -> str:
        journey = current_journey()
        assert journey is not None
        journey.step(f"at {number}")
        return "zero" if number == 0 else count_down(number - 1)

    assert count_down(1) == "zero"
    assert count_down(0) == "zero"
    assert count_down.__name__ == "count_down"
    entries = sent()
    assert [steps(entry) for entry in entries] == [["at 0"], ["at 1"], ["at 0"]]
    assert len({entry["session_id"] for entry in entries}) == 2
    assert entries[0]["method_name"].endswith("count_down")


def test_decorated_function_s_exception_passes(logger: VoyageLogger, sent: Any) -> None:
    """If a decorated function raises an exception, it is logged, and the app gets it unchanged."""

    @logger.journey("checkout")
    def fail() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert sent()[0]["event_name"] == "journey_failed"
    assert current_journey() is None


@pytest.mark.parametrize("depth", [0, 200], ids=["usual", "deep"])
def test_traceback_begins_at_what_is_decorated(logger: VoyageLogger, sent: Any, depth: int) -> None:
    """The traceback in the entry begins at the decorated function."""

    @logger.journey("checkout")
    @propagate
    def pay(depth: int = depth) -> None:
        if depth:
            pay.__wrapped__.__wrapped__(depth - 1)  # type: ignore[attr-defined]
        raise ValueError("declined")

    with pytest.raises(ValueError, match="declined"):
        pay()
    (closing,) = sent()
    first, second = closing["exception_info"].splitlines()[:2]
    assert first == "Traceback (most recent call last):"
    assert second.endswith(", in pay")
    assert __file__ in second


def test_traceback_of_a_wrong_call_has_a_frame(logger: VoyageLogger, sent: Any) -> None:
    """If a decorated function is called with wrong arguments, the traceback shows a frame."""

    @logger.journey("checkout")
    def pay() -> None: ...

    with pytest.raises(TypeError):
        pay(1)  # type: ignore[call-arg]
    (closing,) = sent()
    assert closing["exception_info"].startswith("Traceback (most recent call last):\n  File")


def test_decorated_coroutine_function_is_a_journey(logger: VoyageLogger, sent: Any) -> None:
    """Each await of a decorated coroutine function is a separate run of the journey."""

    @logger.journey("serve")
    async def serve(number: int) -> int:
        journey = current_journey()
        assert journey is not None
        journey.step(f"a{number}")
        await asyncio.sleep(0)
        journey.step(f"b{number}")
        if number == 2:
            raise ValueError("two")
        return number

    async def main() -> list[Any]:
        return await asyncio.gather(*map(serve, range(4)), return_exceptions=True)

    results = asyncio.run(main())
    assert [type(result) for result in results] == [int, int, ValueError, int]
    found = {tuple(steps(entry)): entry["event_name"] for entry in sent()}
    assert found == {
        (f"a{number}", f"b{number}"): "journey_failed" if number == 2 else "journey_completed"
        for number in range(4)
    }


def test_decorated_object_is_a_journey(logger: VoyageLogger, sent: Any) -> None:
    """If an instance has an async `__call__`, the journey ends when the coroutine ends."""

    class Serve:
        async def __call__(self, name: str = "object") -> str:
            await asyncio.sleep(0)
            journey = current_journey()
            assert journey is not None
            journey.step(name)
            return name

    for function in (Serve(), functools.partial(Serve(), "partial")):
        assert asyncio.run(logger.journey("serve")(function)()) in ("object", "partial")
    assert [steps(entry) for entry in sent()] == [["object"], ["partial"]]


def test_object_marked_as_coroutine_function_is_a_journey(logger: VoyageLogger, sent: Any) -> None:
    """If an instance is marked as coroutine function, the journey ends with the coroutine."""
    if sys.version_info < (3, 12):
        pytest.skip("nothing can be marked")

    async def body() -> None:
        journey = current_journey()
        assert journey is not None
        journey.step("inside")

    class Middleware:
        def __call__(self) -> Any:
            return body()

    middleware = inspect.markcoroutinefunction(Middleware())
    asyncio.run(logger.journey("serve")(middleware)())
    assert steps(sent()[0]) == ["inside"]


def test_closing_entry_names_what_is_decorated(logger: VoyageLogger, sent: Any) -> None:
    """The closing entry names the function of a `partial`, or the class of an instance."""

    class Handler:
        def __call__(self) -> None:
            pass

    def work(_number: int) -> None:
        pass

    logger.journey("partial")(functools.partial(functools.partial(work), 1))()
    logger.journey("object")(Handler())()
    names = [entry["method_name"].rpartition(".")[2] for entry in sent()]
    assert names == ["work", "Handler"]


def test_decorated_function_s_name_is_not_forced(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """If `method_name` is given or turned off, the decorated function's name is not used."""
    logger = make_logger(transport=recorder, flush_interval=600)
    silent = make_logger(transport=recorder, flush_interval=600, capture_method=False)

    def work() -> None:
        pass

    logger.journey("given", method_name="mine")(work)()
    logger.bind(method_name="bound").journey("bound")(work)()
    silent.journey("silent")(work)()
    for each in (logger, silent):
        assert each.flush()
    assert [entry.get("method_name") for entry in recorder.entries] == ["mine", "bound", None]


def test_generator_function_is_refused(logger: VoyageLogger) -> None:
    """A generator function cannot be decorated, because the journey's fields would leak."""

    def rows() -> Iterator[int]:
        yield 1

    async def async_rows() -> AsyncIterator[int]:
        yield 1

    class Rows:
        def __call__(self) -> Iterator[int]:
            yield 1

    for function in (rows, async_rows, Rows(), functools.partial(rows)):
        with pytest.raises(TypeError, match="ows is a generator"):
            logger.journey("rows")(function)


def test_tasks_inside_share_the_journey(logger: VoyageLogger, sent: Any) -> None:
    """Gathered tasks inside a journey add their steps to its timeline."""

    async def charge(number: int) -> None:
        journey = current_journey()
        assert journey is not None
        await asyncio.sleep(0)
        journey.step(f"charged {number}")
        logger.info("inside")

    async def main() -> None:
        async with logger.journey("checkout"):
            await asyncio.gather(*map(charge, range(3)))

    asyncio.run(main())
    *inside, closing = sent()
    assert sorted(steps(closing)) == ["charged 0", "charged 1", "charged 2"]
    assert {entry["session_id"] for entry in inside} == {closing["session_id"]}
    assert "main" in closing["method_name"]


def test_journeys_of_tasks_do_not_mix(logger: VoyageLogger, sent: Any) -> None:
    """If each task has a journey, a task's entries carry only the user of its own journey."""

    async def serve(user: str) -> None:
        async with logger.journey("serve", app_user_id=user) as journey:
            for turn in range(3):
                await asyncio.sleep(0)
                journey.step(f"{user} {turn}")
                logger.info(user)

    async def main() -> None:
        await asyncio.gather(*(serve(f"user_{number}") for number in range(5)))

    asyncio.run(main())
    entries = sent()
    assert len(entries) == 20
    for entry in entries:
        assert {step.split()[0] for step in steps(entry)} == {entry["app_user_id"]}
        if entry["message"].startswith("user"):
            assert entry["message"] == entry["app_user_id"]


def test_cancelled_task_s_journey_is_interrupted(logger: VoyageLogger, sent: Any) -> None:
    """If a task is cancelled inside a journey, the outcome of the journey is "interrupted"."""

    async def serve(is_inside: asyncio.Event) -> None:
        async with logger.journey("serve", ticket_on_error=True) as journey:
            journey.step("waiting")
            is_inside.set()
            await asyncio.Event().wait()

    async def main() -> bool:
        is_inside = asyncio.Event()
        task = asyncio.create_task(serve(is_inside))
        await is_inside.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main())
    (closing,) = sent()
    assert closing["message"] == "Journey serve interrupted: CancelledError"
    assert (closing["level"], steps(closing)) == ("warn", ["waiting"])
    assert "add_ticket" not in closing


def test_one_object_serves_threads_at_once(logger: VoyageLogger, sent: Any) -> None:
    """Several threads can enter the same journey at the same time."""
    checkout = logger.journey("checkout")
    barrier = threading.Barrier(4)

    def serve(number: int) -> None:
        with checkout as journey:
            barrier.wait(10)
            journey.step(str(number))
            barrier.wait(10)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = sent()
    assert sorted(steps(entry) for entry in entries) == [["0"], ["1"], ["2"], ["3"]]
    assert len({entry["session_id"] for entry in entries}) == 4


def test_journey_survives_a_closed_logger(logger: VoyageLogger) -> None:
    """If the logger is closed, its journeys raise no exception."""
    with logger.journey("checkout") as journey:
        journey.step("a")
        logger.close()
    assert logger.stats().dropped_by == {"closed": 1}


def test_repr_names_the_flow(logger: VoyageLogger) -> None:
    """The `repr` of a journey shows the name of the flow."""
    assert repr(logger.journey("checkout")) == "<Journey 'checkout'>"


def test_server_accepts_a_journey_s_entries(server: DevServer, make_logger: MakeLogger) -> None:
    """The dev server accepts all fields of a journey's entries."""
    logger = make_logger()
    with pytest.raises(ValueError, match="x"), logger.journey("checkout", app_user_id=5) as journey:
        journey.step("a")
        raise ValueError("x")
    assert logger.flush()
    (closing,) = server.entries()
    assert closing["app_user_id"] == "5"
    assert closing["event_timeline"][0]["step"] == "a"


def test_journey_of_a_freed_logger_still_delivers(recorder: Recorder) -> None:
    """If the app keeps only a journey, entries are still delivered after the logger is freed."""
    journey = VoyageLogger("app", transport=recorder, flush_interval=0.01).journey("checkout")
    assert isinstance(journey, Journey)
    assert not journey._calls._pipeline._worker.orders.stops_when_empty
    with journey:
        pass
    journey._calls._pipeline.flush(10)
    assert [entry["event_name"] for entry in recorder.entries] == ["journey_completed"]


@pytest.mark.parametrize("odd", [None, {1}, float("nan"), "x" * 5000], ids=range(4))
def test_timeline_goes_with_entries_of_all_kinds(
    make_logger: MakeLogger, recorder: Recorder, odd: object
) -> None:
    """Plain, unusual and trimmed entries all carry the same steps."""
    logger = make_logger(transport=recorder, max_entry_bytes=2048)
    with logger.journey("checkout") as journey:
        for name in ("a", 'quoted "b"', "ü \ud800"):
            journey.step(name)
            logger.info("x", meta_data={"odd": odd})
    logger.flush()
    *inside, closing = recorder.entries
    assert [len(steps(entry)) for entry in inside] == [1, 2, 3]
    assert steps(closing) == ["a", 'quoted "b"', "ü \\ud800"]


@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_timeline_is_redacted(make_logger: MakeLogger, recorder: Recorder, odd: object) -> None:
    """Redaction also masks the steps of a timeline."""
    recorder.secrets = ("a-planted-token",)
    for redact in (None, ["step"]):
        logger = make_logger(transport=recorder, redact=redact)
        with logger.journey("checkout") as journey:
            journey.step("a")
            logger.info("x", meta_data={"odd": odd})
            journey.step("got a-planted-token")
        logger.flush()
    found = [steps(entry) for entry in recorder.entries]
    assert found == [["a"], ["a", "got ***"], ["***"], ["***", "***"]]


def test_before_send_sees_the_timeline(make_logger: MakeLogger, recorder: Recorder) -> None:
    """`before_send` gets an entry that already has the timeline."""
    seen: list[list[str]] = []

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        seen.append(steps(entry))
        return entry

    logger = make_logger(transport=recorder, before_send=before_send)
    with logger.journey("checkout") as journey:
        journey.step("a")
    logger.flush()
    assert seen == [steps(recorder.entries[0])] == [["a"]]


def test_chain_of_tasks_holds_no_old_journey(logger: VoyageLogger) -> None:
    """If each task starts the next task inside a journey, the old journeys are freed."""
    journeys: list[weakref.ref[Journey]] = []

    async def link(number: int, end: asyncio.Event) -> None:
        with logger.journey("link") as journey:
            journeys.append(weakref.ref(journey))
            if number < 20:
                links[:] = [asyncio.create_task(link(number + 1, end))]
            else:
                end.set()

    links: list[asyncio.Task[None]] = []

    async def main() -> None:
        end = asyncio.Event()
        await link(0, end)
        await end.wait()
        await asyncio.gather(*links)
        gc.collect()
        # The context of the last task can hold its own journey and the previous task's journey.
        assert [journey() is None for journey in journeys[:-2]] == [True] * 19

    asyncio.run(main())


def test_journey_that_is_left_twice_writes_one_closing_entry(
    logger: VoyageLogger, sent: Any
) -> None:
    """If `__exit__` runs twice, the journey logs only one closing entry and raises no exception."""
    journey = logger.journey("checkout")
    with journey:
        pass
    journey.__exit__(None, None, None)
    assert len(sent()) == 1
