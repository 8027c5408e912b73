"""`capture_uncaught` logs uncaught exceptions, and the app's own hooks are still called."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import Recorder
from tests.support.processes import python

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Set the app's own hooks, and return the list of arguments with which they are called."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: found.append(args))
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder)


def fail() -> None:
    raise ValueError("uncaught")


def run_failing_thread() -> None:
    thread = threading.Thread(target=fail, name="till")
    thread.start()
    thread.join()


def caught() -> tuple[type[BaseException], BaseException, Any]:
    try:
        fail()
    except ValueError as error:
        return type(error), error, error.__traceback__
    raise AssertionError


def test_program_s_end_is_logged(logger: VoyageLogger, recorder: Recorder, seen: list[Any]) -> None:
    """An exception that ends the program is logged at level critical."""
    undo = logger.capture_uncaught()
    exception = caught()
    sys.excepthook(*exception)
    undo()
    logger.flush()
    (entry,) = recorder.entries
    assert entry["level"] == "critical"
    assert entry["message"] == "The program ended with an uncaught ValueError"
    assert entry["event_name"] == "uncaught_exception"
    assert entry["exception_info"].endswith("ValueError: uncaught\n")
    assert entry["method_name"] == "fail"
    assert seen == [exception]


def test_thread_s_end_is_logged(logger: VoyageLogger, recorder: Recorder, seen: list[Any]) -> None:
    """An exception that ends a thread is logged at level error, with the thread's name."""
    undo = logger.capture_uncaught()
    run_failing_thread()
    undo()
    logger.flush()
    (entry,) = recorder.entries
    assert (entry["level"], entry["message"]) == (
        "error",
        "Thread till ended with an uncaught ValueError",
    )
    assert [args.exc_type for args in seen] == [ValueError]


def test_ctrl_c_and_exit_are_not_logged(logger: VoyageLogger, seen: list[Any]) -> None:
    """`KeyboardInterrupt` and `SystemExit` are not logged, but the app's hooks get them."""
    undo = logger.capture_uncaught()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    threading.excepthook(threading.ExceptHookArgs((SystemExit, SystemExit(), None, None)))
    undo()
    assert len(seen) == 2
    assert logger.stats().accepted == 0


def test_entry_is_made_before_the_app_s_hooks_are_called(
    logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry is made before the app's hook runs, because the hook might end the process."""
    accepted: list[int] = []

    def hook(*_args: Any) -> None:
        accepted.append(logger.stats().accepted)

    monkeypatch.setattr(sys, "excepthook", hook)
    monkeypatch.setattr(threading, "excepthook", hook)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(hook)
        undo = logger.capture_uncaught()
        sys.excepthook(*caught())
        run_failing_thread()
        loop.call_exception_handler({"message": "in the loop"})
        undo()

    asyncio.run(main())
    assert accepted == [1, 2, 3]


@pytest.mark.parametrize("is_undone_first", [False, True])
def test_logger_with_two_captures_logs_once(
    logger: VoyageLogger, seen: list[Any], *, is_undone_first: bool
) -> None:
    """If a logger and its bound logger capture exceptions, each exception is logged only once."""
    handled: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: handled.append(context))
        undos = [logger.capture_uncaught(), logger.bind(tags=["loop"]).capture_uncaught()]
        if is_undone_first:
            undos.pop(0)()
        for number in range(1, 3):
            sys.excepthook(*caught())
            run_failing_thread()
            loop.call_exception_handler({"message": "in the loop"})
            assert logger.stats().accepted == 3 * number
        for undo in undos:
            undo()
        sys.excepthook(*caught())

    asyncio.run(main())
    assert logger.stats().accepted == 6
    assert (len(seen), len(handled)) == (5, 2)


def test_each_of_two_loggers_logs(make_logger: MakeLogger, seen: list[Any]) -> None:
    """If two loggers capture uncaught exceptions, each of them logs the exception."""
    loggers = [make_logger(transport=Recorder()) for _ in range(2)]
    undos = [logger.capture_uncaught() for logger in loggers]
    sys.excepthook(*caught())
    for undo in reversed(undos):
        undo()
    assert [logger.stats().accepted for logger in loggers] == [1, 1]
    assert len(seen) == 1


def test_exception_during_a_report_is_logged_too(
    logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an exception occurs while another exception is reported, both are logged."""
    others = [caught(), caught()]

    def hook(*_args: Any) -> None:
        if others:
            sys.excepthook(*others.pop())

    monkeypatch.setattr(sys, "excepthook", hook)
    undo = logger.capture_uncaught()
    sys.excepthook(*caught())
    undo()
    assert logger.stats().accepted == 3


def test_failing_hook_loses_no_later_entry(
    logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the app's hook raises an exception, later exceptions are still logged."""
    monkeypatch.setattr(sys, "excepthook", lambda *_args: 1 / 0)
    undo = logger.capture_uncaught()
    exception = caught()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            sys.excepthook(*exception)
    undo()
    assert logger.stats().accepted == 2


@pytest.mark.parametrize("has_handler", [False, True])
def test_task_s_exception_is_logged(
    logger: VoyageLogger, recorder: Recorder, caplog: pytest.LogCaptureFixture, *, has_handler: bool
) -> None:
    """The exception of a task is logged before the loop's exception handler is called."""
    handled: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if has_handler:
            loop.set_exception_handler(lambda _loop, context: handled.append(context))
        before = loop.get_exception_handler()
        undo = logger.capture_uncaught()
        loop.call_soon(fail)
        await asyncio.sleep(0)
        loop.call_exception_handler({"message": "no exception here"})
        undo()
        assert loop.get_exception_handler() is before
        loop.call_soon(fail)
        await asyncio.sleep(0)

    asyncio.run(main())
    logger.flush()
    first, second = recorder.entries
    assert "ValueError: uncaught" in first["exception_info"]
    assert second["message"] == "No exception here"
    assert len(handled) == (3 if has_handler else 0)
    told = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
    assert len(told) == (0 if has_handler else 3)


def run_in_the_loop(logger: VoyageLogger, main: Callable[[], Awaitable[object]]) -> None:
    async def run() -> None:
        undo = logger.capture_uncaught()
        await main()
        gc.collect()
        undo()

    asyncio.run(run())
    logger.flush()


def test_freed_task_keeps_its_own_context(
    logger: VoyageLogger, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Since Python 3.12, the entry about a failed task that is freed has the task's context."""

    async def work() -> None:
        fail()

    async def main() -> None:
        with logger.context(app_user_id="alice"):
            tasks = [asyncio.create_task(work())]
        await asyncio.wait(tasks)
        with logger.journey("checkout", app_user_id="bob"):
            tasks.clear()  # frees the tasks whose exceptions were not read
            gc.collect()
            logger.info("still bob's")

    run_in_the_loop(logger, main)
    lost, bob_s, closing = recorder.entries
    assert lost["message"] == "Task exception was never retrieved with an uncaught ValueError"
    assert lost["method_name"] == "fail"
    assert lost.get("app_user_id") == ("alice" if sys.version_info >= (3, 12) else None)
    assert not lost.keys() & {"event_flow_name", "event_timeline", "session_id"}
    assert [entry["app_user_id"] for entry in (bob_s, closing)] == ["bob", "bob"]
    assert "never retrieved" in caplog.text


def test_freed_future_has_no_context(
    logger: VoyageLogger, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """If a failed future is freed, its exception is logged once, without a context."""

    async def child(user: str) -> None:
        with logger.context(app_user_id=user):
            await asyncio.sleep(0)
            fail()

    async def main() -> None:
        gatherings = [asyncio.gather(child("alice"), child("carol"))]
        await asyncio.wait(gatherings)
        with logger.context(app_user_id="bob"):
            gatherings.clear()
            gc.collect()

    run_in_the_loop(logger, main)
    (entry,) = recorder.entries
    assert "never retrieved with an uncaught ValueError" in entry["message"]
    assert "app_user_id" not in entry
    assert "never retrieved" in caplog.text


def test_callback_keeps_its_own_context(logger: VoyageLogger, recorder: Recorder) -> None:
    """Since Python 3.12, the entry about a failed callback has the context of the callback."""

    async def main() -> None:
        with logger.context(app_user_id="alice"):
            asyncio.get_running_loop().call_soon(fail)
        with logger.context(app_user_id="bob"):
            await asyncio.sleep(0)

    run_in_the_loop(logger, main)
    (entry,) = recorder.entries
    assert entry.get("app_user_id") == ("alice" if sys.version_info >= (3, 12) else None)


def test_failure_reported_by_a_library_has_the_present_context(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """If a library reports a failure to the event loop, the entry has the library's context."""

    async def main() -> None:
        with logger.context(app_user_id="alice"):
            asyncio.get_running_loop().call_exception_handler({"message": "trouble"})

    run_in_the_loop(logger, main)
    (entry,) = recorder.entries
    assert (entry["message"], entry["app_user_id"]) == ("Trouble", "alice")


def test_cancelled_and_awaited_tasks_are_not_logged(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """Cancelled tasks, and tasks whose exception was handled, are not logged."""

    async def fails() -> None:
        await asyncio.sleep(0)
        fail()

    async def main() -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        del task
        with contextlib.suppress(ValueError):
            await asyncio.gather(fails(), fails())
        found = await asyncio.gather(fails(), return_exceptions=True)
        assert isinstance(found[0], ValueError)
        gathering = asyncio.gather(asyncio.Event().wait(), asyncio.Event().wait())
        await asyncio.sleep(0)
        gathering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gathering

    run_in_the_loop(logger, main)
    assert recorder.entries == []


def test_loop_can_be_given(logger: VoyageLogger, recorder: Recorder) -> None:
    """`capture_uncaught` accepts an event loop that is not running yet, from any thread."""
    loop = asyncio.new_event_loop()
    undo = logger.capture_uncaught(loop)
    loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run_forever()
    undo()
    loop.close()
    logger.flush()
    assert len(recorder.entries) == 1


def test_undo_restores_the_previous_hooks(logger: VoyageLogger) -> None:
    """`undo` restores the previous hooks, and a second call of `undo` has no effect."""
    before = (sys.excepthook, threading.excepthook)
    undo = logger.capture_uncaught()
    assert (sys.excepthook, threading.excepthook) != before
    undo()
    undo()
    assert (sys.excepthook, threading.excepthook) == before


def test_undo_leaves_later_hooks_alone(logger: VoyageLogger, seen: list[Any]) -> None:
    """If the app has set a hook after the capture, `undo` does not remove this hook."""
    undo = logger.capture_uncaught()
    ours = sys.excepthook

    def theirs(*args: Any) -> None:
        ours(*args)

    sys.excepthook = theirs
    undo()
    assert sys.excepthook is theirs
    sys.excepthook(*caught())
    assert len(seen) == 1
    assert logger.stats().accepted == 0


def leave(logger: VoyageLogger, error: BaseException) -> None:
    """Leave the `with` block with an uncaught exception, then call the hook."""
    with pytest.raises(type(error)), logger:
        raise error
    sys.excepthook(type(error), error, error.__traceback__)


def test_exception_that_leaves_the_with_block_is_logged_once(
    logger: VoyageLogger, recorder: Recorder, seen: list[Any]
) -> None:
    """If an exception ends the `with` block, it is logged before the logger is closed."""
    undo = logger.capture_uncaught()
    leave(logger, ValueError("out"))
    undo()
    (entry,) = recorder.entries
    assert (entry["level"], entry["message"]) == (
        "critical",
        "The logger's `with` block ended with an uncaught ValueError",
    )
    assert "ValueError: out" in entry["exception_info"]
    assert (entry["event_name"], entry["method_name"]) == ("uncaught_exception", "leave")
    assert (len(seen), logger.stats().accepted, logger.stats().dropped) == (1, 1, 0)


def test_exit_that_leaves_the_with_block_is_not_logged(logger: VoyageLogger) -> None:
    """If `SystemExit` or `KeyboardInterrupt` ends the `with` block, nothing is logged."""
    undo = logger.capture_uncaught()
    with pytest.raises(SystemExit), logger:
        raise SystemExit
    undo()
    assert logger.stats().accepted == 0


def test_with_block_logs_nothing_without_capture(logger: VoyageLogger) -> None:
    """Without `capture_uncaught`, the end of the `with` block logs no exception."""
    undo = logger.capture_uncaught()
    undo()
    undo()
    leave(logger, ValueError("out"))
    assert logger.stats().accepted == 0


def test_with_block_of_a_bound_logger_leaves_it_to_the_hook(
    logger: VoyageLogger, recorder: Recorder
) -> None:
    """The `with` block of a bound logger does not log the exception; the hook logs it."""
    undo = logger.capture_uncaught()
    leave(logger.bind(tags=["x"]), ValueError("out"))
    undo()
    logger.flush()
    assert [entry["message"] for entry in recorder.entries] == [
        "The program ended with an uncaught ValueError"
    ]


@pytest.mark.parametrize("end", ["fail()", "thread"])
def test_program_that_ends_with_an_exception_logs_it(server: DevServer, end: str) -> None:
    """A program that ends with an exception sends an entry about it, and its exit code is 1."""
    code = (
        "import threading\nfrom voyage_logger import VoyageLogger\n"
        "logger = VoyageLogger('app')\nlogger.capture_uncaught()\n"
        "def fail(): raise ValueError('the end')\n"
    )
    code += (
        end
        if end == "fail()"
        else "thread = threading.Thread(target=fail); thread.start(); thread.join()"
    )
    done = python("-c", code, environ=server.environ)
    (entry,) = server.entries()
    assert entry["exception_info"].endswith("ValueError: the end\n")
    assert "ValueError: the end" in done.stderr
    assert "voyage-logger:" not in done.stderr
    assert done.returncode == (1 if end == "fail()" else 0)
