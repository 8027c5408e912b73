"""Exceptions that nobody catches are logged on request, and the app's own hooks stay in force."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from conftest import Recorder

if TYPE_CHECKING:
    from conftest import MakeLogger
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the app's own hooks, which were there first, have been given."""
    found: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: found.append(args))
    monkeypatch.setattr(threading, "excepthook", found.append)
    return found


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


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
    """At level critical, with the traceback, before the hook that was there."""
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
    """At level error, with the thread's name, before the hook that was there."""
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
    """They are no defects; the hooks that were there hear of them."""
    undo = logger.capture_uncaught()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    threading.excepthook(threading.ExceptHookArgs((SystemExit, SystemExit(), None, None)))
    undo()
    assert len(seen) == 2
    assert logger.stats().accepted == 0


@pytest.mark.parametrize("has_handler", [False, True])
def test_task_s_exception_is_logged(
    logger: VoyageLogger, recorder: Recorder, *, has_handler: bool
) -> None:
    """What the event loop would only print is logged, and then handled as before."""
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


def test_loop_can_be_given(logger: VoyageLogger, recorder: Recorder) -> None:
    """Before it runs, and from wherever."""
    loop = asyncio.new_event_loop()
    undo = logger.capture_uncaught(loop)
    loop.call_soon(fail)
    loop.call_soon(loop.stop)
    loop.run_forever()
    undo()
    loop.close()
    logger.flush()
    assert len(recorder.entries) == 1


def test_undo_puts_back_what_was_there(logger: VoyageLogger) -> None:
    """And may be called again."""
    before = (sys.excepthook, threading.excepthook)
    undo = logger.capture_uncaught()
    assert (sys.excepthook, threading.excepthook) != before
    undo()
    undo()
    assert (sys.excepthook, threading.excepthook) == before


def test_undo_leaves_later_hooks_alone(logger: VoyageLogger, seen: list[Any]) -> None:
    """Where somebody has hooked in since, ours only passes on."""
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


@pytest.mark.parametrize("end", ["fail()", "thread"])
def test_program_that_dies_sends_why(server: DevServer, end: str) -> None:
    """In a process of its own: the entry arrives, the traceback is printed, the code is 1."""
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
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (entry,) = server.entries()
    assert entry["exception_info"].endswith("ValueError: the end\n")
    assert "ValueError: the end" in done.stderr
    assert "voyage-logger:" not in done.stderr
    assert done.returncode == (1 if end == "fail()" else 0)
