"""An entry is whole if C code calls the log method, or if the client cannot find name or time."""

from __future__ import annotations

import _thread
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from tests.support.processes import run
from voyage_logger._entry import factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

FIELDS: dict[str, Any] = {"app_user_id": "u1", "meta_data": {"order": 17}, "add_ticket": True}
TOO_LATE = 253_402_300_800 * 10**9  # the year 10000, in nanoseconds


def from_c(
    logger: VoyageLogger, function: Callable[..., object], *args: object, **fields: Any
) -> None:
    """Call a function from C code, in a thread in which no other Python function runs.

    Wait until the function has logged an entry. This test thread starts the worker, because
    `threading` would list the other thread forever if the other thread started the worker.
    """
    logger.info("first")
    _thread.start_new_thread(function, args, fields)
    until(lambda: logger.stats().accepted == 2)


def assert_whole(entry: dict[str, Any]) -> None:
    assert entry["message"] == "Order A-17 failed"
    assert entry["app_user_id"] == "u1"
    assert entry["add_ticket"] is True
    assert entry["meta_data"].items() >= {"order": 17}.items()
    assert entry["meta_data"].keys() == {"order", "logged_at", "log_id"}
    assert "method_name" not in entry


@pytest.mark.parametrize("method", ["debug", "info", "warn", "error", "critical", "exception"])
def test_call_without_a_caller_makes_a_whole_entry(
    server: DevServer, logger: VoyageLogger, method: str
) -> None:
    """If C code calls a log method, only `method_name` is missing from the entry."""
    from_c(logger, getattr(logger, method), "Order %s failed", "A-17", **FIELDS)
    assert logger.flush()
    assert_whole(server.entries()[1])


def test_call_of_log_without_a_caller_makes_a_whole_entry(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """The method `log` and a logger with `before_send` also work if C code calls the log method."""
    logger = make_logger(before_send=lambda entry: entry, flush_interval=600)
    from_c(logger, logger.log, "error", "Order %s failed", "A-17", **FIELDS)
    assert logger.flush()
    assert_whole(server.entries()[1])


def test_call_by_atexit_makes_a_whole_entry(server: DevServer) -> None:
    """A log method that is registered with `atexit` sends a whole entry."""
    program = (
        "atexit.register(logger.error, 'Order %s failed', 'A-17', app_user_id='u1',"
        " meta_data={'order': 17}, add_ticket=True); ending()"
    )
    assert run(server, program).code == 0
    assert_whole(server.entries()[0])


def test_audit_hook_that_forbids_frames_costs_only_the_name(server: DevServer) -> None:
    """If an audit hook of the app raises an error, only `method_name` is missing."""
    program = (
        "forbidden = []\n"
        "def forbid(event, args):\n"
        "    if event in forbidden: raise RuntimeError('no')\n"
        "sys.addaudithook(forbid)\n"
        "logger.info('first')\n"
        "logger.flush()\n"
        "forbidden.append('sys._getframe')\n"
        "logger.error('Order %s failed', 'A-17', app_user_id='u1', meta_data={'order': 17},"
        " add_ticket=True)\n"
        "forbidden.clear()\n"
        "ending()"
    )
    assert run(server, program).code == 0
    assert_whole(server.entries()[1])


@pytest.mark.parametrize("fields", [{}, {"method_name": "mine"}], ids=["no name", "given name"])
def test_journey_that_c_code_ends_writes_its_closing_entry(
    make_logger: MakeLogger, recorder: Recorder, fields: dict[str, Any]
) -> None:
    """If C code ends a journey, the closing entry has only a `method_name` that the app gave."""
    logger = make_logger(transport=recorder, flush_interval=600)
    journey = logger.journey("checkout", app_user_id="u1", **fields)

    copy_context().run(journey.__enter__)  # The context of this test stays empty.
    from_c(logger, journey.__exit__, None, None, None)
    assert logger.flush()
    closing = recorder.entries[1]
    assert closing["event_name"] == "journey_completed"
    assert closing["app_user_id"] == "u1"
    assert closing.get("method_name") == fields.get("method_name")


def fail() -> int:
    raise RuntimeError("no clock")


@pytest.mark.parametrize("clock", [lambda: TOO_LATE, fail], ids=["year 10000", "raises"])
def test_clock_that_fails_costs_only_the_time(
    server: DevServer, logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    """If the client cannot read the time, only `logged_at` is missing, and later ids are unique."""
    logger.info("before")
    with monkeypatch.context() as patch:
        patch.setattr(factory, "time_ns", clock)
        logger.error("Order %s failed", "A-17", **FIELDS)
    logger.info("after")
    assert logger.flush()
    before, entry, after = server.entries()
    assert entry["message"] == "Order A-17 failed"
    assert entry["app_user_id"] == "u1"
    assert entry["add_ticket"] is True
    assert entry["meta_data"].keys() == {"order", "log_id"}
    ids = [each["meta_data"]["log_id"] for each in (before, entry, after)]
    assert sorted(set(ids)) == ids
