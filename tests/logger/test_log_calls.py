"""Log calls send their arguments unchanged, and never raise an exception."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import voyage_logger
from tests.support.loggers import Recorder, until
from voyage_logger import Kind, Outcome, VoyageError, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer


@pytest.fixture
def sent(make_logger: MakeLogger, recorder: Recorder) -> Callable[..., list[dict[str, Any]]]:
    """Log with a new logger, and return the entries that were sent."""

    def run(log: Callable[[VoyageLogger], object], **settings: Any) -> list[dict[str, Any]]:
        settings = {"timestamps": False, "capture_method": False, **settings}
        logger = make_logger(transport=recorder, **settings)
        log(logger)
        logger.flush()
        return recorder.entries

    return run


Sent = "Callable[..., list[dict[str, Any]]]"


@pytest.mark.parametrize(
    ("method", "level"),
    [
        ("debug", "debug"),
        ("info", "info"),
        ("warn", "warn"),
        ("warning", "warn"),
        ("error", "error"),
        ("critical", "critical"),
    ],
)
def test_methods_send_the_vendor_s_entry(sent: Any, method: str, level: str) -> None:
    """Each log method sends its level, the four fields of the vendor and the caller's fields."""
    entries = sent(lambda logger: getattr(logger, method)("hello", app_user_id="u", custom=[1]))
    assert entries == [
        {
            "message": "hello",
            "level": level,
            "app_name": "app",
            "environment": "production",
            "app_user_id": "u",
            "custom": [1],
        }
    ]


def test_message_may_be_a_keyword(sent: Any) -> None:
    """The message can be given as the keyword `message=`, as in the vendor's example."""
    assert sent(lambda logger: logger.info(message="hello"))[0]["message"] == "hello"


@pytest.mark.parametrize(
    ("level", "name"),
    [("INFO", "info"), ("warning", "warn"), ("Fatal", "critical"), (logging.ERROR, "error")],
)
def test_log_takes_a_level_in_any_form(sent: Any, level: object, name: str) -> None:
    """`log` takes level names in any case, their aliases, and numbers of the `logging` module."""
    assert sent(lambda logger: logger.log(level, "x"))[0]["level"] == name


def test_log_takes_the_vendor_s_keywords(sent: Any) -> None:
    """`log(level=..., message=...)` works as in the vendor's class."""
    entry = sent(lambda logger: logger.log(level="error", message="x"))[0]
    assert (entry["level"], entry["message"]) == ("error", "x")


def test_unknown_level_is_sent_as_info_and_kept(
    sent: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """If a level is unknown, the entry is sent as info, and keeps the level in a field."""

    def log(logger: VoyageLogger) -> None:
        logger.log("loud", "x", meta_data={"a": 1})
        logger.log("loud", "y")

    first, second = sent(log)
    assert (first["level"], first["meta_data"]) == ("info", {"level": "loud", "a": 1})
    assert second["meta_data"] == {"level": "loud"}
    assert capfd.readouterr().err.count("unknown level") == 1


def test_fields_named_as_reserved_ones_are_kept(sent: Any) -> None:
    """If a field is named `message` or `level`, its value is kept in `meta_data`."""
    payload = {"message": "theirs", "level": 9, "self": 1, "args": 2}
    (entry,) = sent(lambda logger: logger.info("ours", meta_data={"a": 1}, **payload))
    assert (entry["message"], entry["level"]) == ("ours", "info")
    assert entry["meta_data"] == {"message": "theirs", "level": 9, "a": 1}
    assert (entry["self"], entry["args"]) == (1, 2)


def test_call_s_app_name_and_environment_win(sent: Any) -> None:
    """`app_name` and `environment` of a log call take precedence over those of the constructor."""
    (entry,) = sent(lambda logger: logger.info("x", app_name="other", environment="test"))
    assert (entry["app_name"], entry["environment"]) == ("other", "test")


def test_entry_does_not_change_after_the_call(sent: Any) -> None:
    """If the app changes a dict after the log call, the entry does not change."""
    data = {"a": 1}

    def log(logger: VoyageLogger) -> None:
        logger.info("x", meta_data=data)
        data["a"] = 2

    assert sent(log)[0]["meta_data"] == {"a": 1}


def test_caller_s_dicts_are_not_changed(sent: Any) -> None:
    """The client does not change the caller's dicts, but copies them."""
    data = {"a": 1}
    sent(lambda logger: logger.info("x", meta_data=data), timestamps=True)
    assert data == {"a": 1}


def test_entries_carry_time_and_ordered_ids(sent: Any) -> None:
    """Each entry has a time in UTC with microseconds, and a unique `log_id` that sorts by time."""

    def log(logger: VoyageLogger) -> None:
        for _ in range(20):
            logger.info("x")

    stamps = [entry["meta_data"] for entry in sent(log, timestamps=True)]
    ids = [stamp["log_id"] for stamp in stamps]
    assert len(set(ids)) == 20
    assert ids == sorted(ids)
    assert len({log_id.rpartition("-")[0] for log_id in ids}) == 1
    from datetime import datetime, timezone  # noqa: PLC0415 - used here only

    then = datetime.fromisoformat(stamps[0]["logged_at"])
    assert abs((datetime.now(timezone.utc) - then).total_seconds()) < 60
    assert "." in stamps[0]["logged_at"]


def test_caller_s_own_stamps_win(sent: Any) -> None:
    """If the caller gives `log_id` and `logged_at`, these values are sent."""
    own = {"log_id": "mine", "logged_at": "then"}
    entries = sent(lambda logger: logger.info("x", meta_data=own), timestamps=True)
    assert entries[0]["meta_data"] == own


def test_meta_data_that_is_no_object_is_kept(sent: Any) -> None:
    """If `meta_data` is a text, the text is sent under the key "value"."""
    entries = sent(lambda logger: logger.info("x", meta_data="text"), timestamps=True)
    assert entries[0]["meta_data"]["value"] == "text"


class Checkout:
    def charge(self, logger: VoyageLogger, **fields: Any) -> None:
        logger.info("x", **fields)


def test_method_name_is_the_caller_s(sent: Any) -> None:
    """`method_name` is the qualified name of the caller, or in Python 3.10 the short name."""
    (entry,) = sent(Checkout().charge, capture_method=True)
    expected = "Checkout.charge" if sys.version_info >= (3, 11) else "charge"
    assert entry["method_name"] == expected


def test_given_method_name_wins(sent: Any) -> None:
    """If the caller gives `method_name`, this value is sent."""
    (entry,) = sent(lambda logger: logger.info("x", method_name="mine"), capture_method=True)
    assert entry["method_name"] == "mine"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("%s is %d", "x", 3), "x is 3"),
        (("%(a)s", {"a": 1}), "1"),
        (("100 %",), "100 %"),
        (("no placeholder", 1), "no placeholder 1"),
        (("%d", "text"), "%d text"),
    ],
)
def test_message_is_formatted_as_in_the_standard_library(
    sent: Any, args: tuple[Any, ...], text: str
) -> None:
    """Messages are formatted as in `logging`. Arguments that do not fit are added at the end."""
    assert sent(lambda logger: logger.info(*args))[0]["message"] == text


def test_exception_adds_the_traceback(sent: Any) -> None:
    """`exception` sends the handled exception with its traceback, at level error."""

    def log(logger: VoyageLogger) -> None:
        try:
            raise ValueError("no such user")
        except ValueError:
            logger.exception("failed")

    (entry,) = sent(log)
    assert entry["level"] == "error"
    assert entry["exception_info"].startswith("Traceback")
    assert "ValueError: no such user" in entry["exception_info"]
    assert "exc_info" not in entry


@pytest.mark.parametrize("form", ["exception", "tuple", "true"])
def test_exc_info_takes_all_forms(sent: Any, form: str) -> None:
    """`exc_info` can be True, an exception or a tuple, as in the standard library."""

    def log(logger: VoyageLogger) -> None:
        try:
            raise ValueError("x")
        except ValueError as error:
            forms = {"exception": error, "tuple": sys.exc_info(), "true": True}
            logger.info("failed", exc_info=forms[form])

    assert "ValueError: x" in sent(log)[0]["exception_info"]


@pytest.mark.parametrize("nothing", [None, False, True, (None, None, None), ()])
def test_exc_info_without_an_exception_adds_nothing(sent: Any, nothing: object) -> None:
    """If there is no exception, `exc_info` adds no field."""
    assert "exception_info" not in sent(lambda logger: logger.info("x", exc_info=nothing))[0]


class NoTruth:
    """A value that has no truth value, such as a numpy array."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def __repr__(self) -> str:
        return "NoTruth()"


class HostileTuple(tuple[object, ...]):
    """A tuple that cannot be read."""

    __slots__ = ()

    def __len__(self) -> int:
        raise ValueError


@pytest.mark.parametrize(("exc_info", "kept"), [(NoTruth(), "NoTruth()"), (HostileTuple([1]), [1])])
def test_exc_info_that_cannot_be_read_costs_only_itself(
    sent: Any, exc_info: Any, kept: object
) -> None:
    """If `exc_info` cannot be read, it is kept in `meta_data`, and the entry is whole."""
    (entry,) = sent(
        lambda logger: logger.error(
            "Order %s failed",
            "A-17",
            exc_info=exc_info,
            app_user_id="u1",
            meta_data={"order": 17},
            add_ticket=True,
        )
    )
    assert (entry["message"], entry["app_user_id"]) == ("Order A-17 failed", "u1")
    assert entry["add_ticket"] is True
    assert entry["meta_data"] == {"exc_info": kept, "order": 17}


def test_ctrl_c_in_the_truth_of_exc_info_reaches_the_app(sent: Any) -> None:
    """If Ctrl-C comes while the client reads `exc_info`, the app gets the `KeyboardInterrupt`."""

    class Slow:
        def __bool__(self) -> bool:
            raise KeyboardInterrupt

    def log(logger: VoyageLogger) -> None:
        with pytest.raises(KeyboardInterrupt):
            logger.info("x", exc_info=Slow())  # type: ignore[arg-type]

    assert sent(log) == []


def test_level_is_a_threshold(sent: Any) -> None:
    """Entries below the logger's `level` are not accepted and not counted."""

    def log(logger: VoyageLogger) -> None:
        logger.debug("x")
        logger.info("x")
        logger.warn("kept")
        assert logger.stats().accepted == 1

    assert [entry["message"] for entry in sent(log, level="WARNING")] == ["kept"]


def test_before_send_changes_and_leaves_out(sent: Any) -> None:
    """`before_send` gets the whole entry, and can change the entry or leave it out."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any] | None:
        if entry["message"] == "secret":
            return None
        return {**entry, "message": entry["message"].upper()}

    def log(logger: VoyageLogger) -> None:
        logger.info("secret")
        logger.info("public")
        assert logger.stats().accepted == 1

    assert [entry["message"] for entry in sent(log, before_send=before_send)] == ["PUBLIC"]


def test_before_send_may_add_tags_without_changing_the_caller_s(sent: Any) -> None:
    """`before_send` gets a copy of the caller's list of tags."""
    tags = ["a"]

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        entry["tags"].append("b")
        return entry

    def log(logger: VoyageLogger) -> None:
        logger.info("x", tags=tags)

    (entry,) = sent(log, before_send=before_send)

    assert (entry["tags"], tags) == (["a", "b"], ["a"])


@pytest.mark.parametrize("broken", [lambda _entry: 1 / 0, lambda _entry: "text"])
def test_failing_before_send_sends_the_entry_and_one_notice(
    sent: Any, broken: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """If `before_send` fails, the entry is sent unchanged, and one line reports the failure."""

    def log(logger: VoyageLogger) -> None:
        logger.info("one")
        logger.info("two")

    assert [entry["message"] for entry in sent(log, before_send=broken)] == ["one", "two"]
    (line,) = capfd.readouterr().err.splitlines()
    assert re.fullmatch(
        r"voyage-logger: before_send (raised Zero|returned str,).*: the entry is sent as it was",
        line,
    )


def test_before_send_may_log(make_logger: MakeLogger, recorder: Recorder) -> None:
    """`before_send` can log. If its calls are nested too deeply, the innermost entry is dropped."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        logger.debug("from inside")
        return {**entry, "tags": ["seen"]}

    logger = make_logger(transport=recorder, before_send=before_send)
    logger.info("outer")
    logger.flush()
    messages = [entry["message"] for entry in recorder.entries if "lost" not in entry["message"]]
    assert messages == ["from inside", "from inside", "outer"]
    assert all(entry["tags"] == ["seen"] for entry in recorder.entries[:3])
    assert logger.stats().dropped_by == {"before_send": 1}


@pytest.mark.parametrize("end", ["returns", "raises"])
def test_before_send_may_be_called_any_number_of_times(
    make_logger: MakeLogger, recorder: Recorder, end: str
) -> None:
    """Calls of `before_send` that follow one another do not count as nested calls."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        if end == "raises":
            raise ValueError
        return entry

    logger = make_logger(transport=recorder, before_send=before_send)
    for number in range(10):
        logger.info("%d", number)
    logger.flush()
    assert [entry["message"] for entry in recorder.entries] == list("0123456789")


def test_ctrl_c_in_before_send_leaves_nothing_behind(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """Ctrl-C in `before_send` reaches the app, and later log calls work."""
    interruptions = [KeyboardInterrupt, KeyboardInterrupt, KeyboardInterrupt, KeyboardInterrupt]

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        if interruptions:
            raise interruptions.pop()
        return entry

    logger = make_logger(transport=recorder, before_send=before_send)
    while interruptions:
        with pytest.raises(KeyboardInterrupt):
            logger.info("x")
    logger.info("sent")
    logger.flush()
    assert [entry["message"] for entry in recorder.entries] == ["sent"]


def test_before_send_sees_each_task_s_own_entries(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """`before_send` runs in the context of the task that logs."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        if entry["message"] != "seen":
            logger.debug("seen")
        return {**entry, "tags": [entry["app_user_id"]]}

    logger = make_logger(transport=recorder, before_send=before_send)

    async def work(number: int) -> None:
        with logger.context(app_user_id=f"u{number}"):
            try:
                for _ in range(5):
                    await asyncio.sleep(0)
                    logger.info("working")
                if number == 0:
                    await asyncio.Event().wait()
            finally:
                logger.info("ended")

    async def main() -> None:
        first, *others = [asyncio.create_task(work(number)) for number in range(4)]
        await asyncio.gather(*others)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(main())
    logger.flush()
    assert Counter((entry["message"], *entry["tags"]) for entry in recorder.entries) == {
        (message, f"u{number}"): count
        for number in range(4)
        for message, count in (("working", 5), ("ended", 1), ("seen", 6))
    }
    assert logger.stats().dropped == 0


def test_before_send_may_change_the_level(server: DevServer, make_logger: MakeLogger) -> None:
    """If `before_send` changes the level, the queue uses the new level."""

    def before_send(entry: dict[str, Any]) -> dict[str, Any]:
        return {**entry, "level": entry["message"]}

    logger = make_logger(before_send=before_send, flush_interval=600)
    logger.debug("critical")
    server.wait_for_entries(1, timeout=30)
    full = make_logger(
        before_send=before_send, flush_interval=600, max_queue_size=2, batch_size=1000
    )
    full.error("debug")
    full.debug("error")
    full.debug("warn")
    assert full.flush().dropped == 1
    levels = [entry["level"] for entry in server.entries() if "lost" not in entry["message"]]
    assert sorted(levels) == ["critical", "error", "warn"]


def test_logger_inside_another_s_before_send_calls_its_own(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """If `before_send` uses another logger, the other logger calls its own `before_send`."""
    scrubbed = make_logger(
        transport=recorder, before_send=lambda entry: {**entry, "message": "scrubbed"}
    )

    def audit(entry: dict[str, Any]) -> dict[str, Any]:
        scrubbed.info("hunter2")
        return entry

    make_logger(transport=recorder, before_send=audit).info("x")
    scrubbed.flush()
    assert [entry["message"] for entry in recorder.entries] == ["scrubbed"]


class Hostile:
    """An instance whose methods all raise an exception."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("no context")

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __bool__ = __hash__ = __eq__ = __len__ = __iter__ = __repr__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "call",
    [
        lambda logger, bad: logger.info(bad),
        lambda logger, bad: logger.info("%s %s", bad),
        lambda logger, bad: logger.info("x", bad),
        lambda logger, bad: logger.info("x", meta_data=bad),
        lambda logger, bad: logger.info("x", add_ticket=bad),
        lambda logger, bad: logger.info("x", exc_info=bad),
        lambda logger, bad: logger.info("x", level=bad),
        lambda logger, bad: logger.info("x", tags=[bad], method_name=bad),
        lambda logger, bad: logger.log(bad, "x"),
        lambda logger, bad: logger.exception(bad),
        lambda logger, _bad: logger.info(),
        lambda logger, _bad: logger.log(),
        lambda logger, _bad: logger.info("x", meta_data={"a": {("tuple",): float("inf")}}),
    ],
)
def test_no_argument_makes_a_log_call_raise(sent: Any, call: Any) -> None:
    """A log call raises no exception, even if all methods of an argument raise exceptions."""
    assert len(sent(lambda logger: call(logger, Hostile()), timestamps=True)) == 1


def test_log_call_at_the_end_of_the_stack_does_not_raise(sent: Any) -> None:
    """Near the recursion limit, no error in a log call comes from the package's own code."""
    depths: list[int] = []

    def dive(logger: VoyageLogger, depth: int) -> None:
        depths.append(depth)
        logger.info("x", meta_data={"depth": depth})
        dive(logger, depth + 1)

    def log(logger: VoyageLogger) -> None:
        with pytest.raises(RecursionError) as caught:
            dive(logger, 0)
        # The error must come from the app's own code, not from code inside the package.
        package = str(Path(voyage_logger.__file__).parent)
        own = [entry.name for entry in caught.traceback if str(entry.path).startswith(package)]
        assert set(own) <= {"info", "log"}

    sent(log, max_queue_size=1_000_000)
    assert len(depths) > 100


@pytest.mark.parametrize("before_send", [None, lambda entry: entry], ids=["direct", "indirect"])
def test_call_that_fails_at_the_queue_counts_as_dropped(
    make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch, before_send: Any
) -> None:
    """If the queue raises an error, the entry is dropped, and only Ctrl-C reaches the app."""
    logger = make_logger(before_send=before_send)

    def fail(kind: type[BaseException]) -> None:
        def submit(*_: object) -> None:
            raise kind

        monkeypatch.setattr(logger._pipeline, "submit", submit)
        logger.info("x")

    fail(MemoryError)
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt)
    assert logger.stats().dropped_by == {"MemoryError": 1}


def test_logging_after_close_is_counted(
    make_logger: MakeLogger, recorder: Recorder, capfd: pytest.CaptureFixture[str]
) -> None:
    """Entries that are logged after `close` count as dropped."""
    logger = make_logger(transport=recorder)
    logger.info("one")
    assert logger.close()
    logger.info("two")
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.dropped_by) == (2, 1, {"closed": 1})
    assert "1 closed (logged after close()" in capfd.readouterr().err
    assert not logger.close()


def test_entry_logged_during_close_is_counted(
    make_logger: MakeLogger, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If an entry is put into the queue after `close`, it counts as dropped, not as pending."""
    logger = make_logger(transport=recorder)
    logger.info("one")
    append = logger._pipeline.queue.append

    def late(payload: bytes, lane: int) -> None:
        logger.close()
        append(payload, lane)

    monkeypatch.setattr(logger._pipeline.queue, "append", late)
    logger.info("two")
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.dropped_by) == (2, 1, {"closed": 1})


def test_with_block_closes_the_logger(recorder: Recorder) -> None:
    """The end of the `with` block delivers the entries and ends the worker."""
    with VoyageLogger("app", transport=recorder) as logger:
        logger.info("x")
    assert len(recorder.entries) == 1


def test_freed_loggers_leave_no_threads(recorder: Recorder) -> None:
    """When a logger is freed, it delivers its entries, and its thread ends."""
    before = threading.active_count()
    for number in range(20):
        VoyageLogger("app", transport=recorder, flush_interval=0.05).info("entry %d", number)
    for thread in threading.enumerate():
        if thread.name == "voyage-logger":
            thread.join(10)
    assert threading.active_count() == before
    assert len(recorder.entries) == 20


def test_transport_that_raises_is_tried_again(make_logger: MakeLogger) -> None:
    """If a transport raises an exception, the worker sends the batch again."""

    class Flaky(Recorder):
        failures = 2

        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            if self.failures:
                self.failures -= 1
                raise RuntimeError("defect")
            return super().send(entries)

    flaky = Flaky()
    logger = make_logger(transport=flaky)
    logger._pipeline._worker._random = lambda: 0.0
    logger.info("x")
    assert logger.flush()
    assert len(flaky.entries) == 1


def test_transport_that_returns_nothing_is_tried_again(make_logger: MakeLogger) -> None:
    """If a transport does not return an `Outcome`, the worker sends the batch again."""

    class Forgetful(Recorder):
        calls = 0

        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            self.calls += 1
            return super().send(entries) if self.calls > 2 else None  # type: ignore[return-value]

    logger = make_logger(transport=Forgetful())
    logger._pipeline._worker._random = lambda: 0.0
    logger.info("x")
    assert logger.flush()
    assert logger.stats().retries == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_worker_that_dies_is_replaced(make_logger: MakeLogger) -> None:
    """If an error ends the worker's thread, the next log call starts a new thread."""

    class Deadly(Recorder):
        is_deadly = True

        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            if self.is_deadly:
                self.is_deadly = False
                raise SystemExit
            return super().send(entries)

    deadly = Deadly()
    logger = make_logger(transport=deadly, flush_interval=0.01)
    logger.info("one")
    until(lambda: not deadly.is_deadly)
    for worker in [thread for thread in threading.enumerate() if thread.name == "voyage-logger"]:
        worker.join(10)
    logger.info("two")
    until(lambda: logger.stats().delivered == 2)  # The log call has already started the worker.
    assert [entry["message"] for entry in deadly.entries] == ["one", "two"]


def test_flush_from_on_error_returns_at_once(make_logger: MakeLogger) -> None:
    """If `on_error` calls `flush` in the worker's thread, `flush` returns immediately."""
    results = []

    class Refusing(Recorder):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            if not self.entries:
                self.entries.append({})
                return Outcome(Kind.BLOCKED, "closed for today", 403)
            return super().send(entries)

    def on_error(_error: VoyageError) -> None:
        results.append(logger.flush())

    logger: VoyageLogger = make_logger(transport=Refusing(), on_error=on_error)
    logger._pipeline._worker._random = lambda: 0.0
    logger.info("x")
    assert logger.flush()
    assert [(bool(result), result.pending) for result in results] == [(False, 1)]


def test_broken_on_error_stops_nothing(make_logger: MakeLogger) -> None:
    """If `on_error` raises an exception, one line reports the exception, and delivery continues."""
    logger = make_logger(api_key="wrong", on_error=lambda _error: 1 / 0)
    logger.info("x")
    assert not logger.flush(timeout=0.3)
    assert logger.stats().pending == 1


def test_constructor_makes_no_thread_and_no_connection(
    server: Any, make_logger: MakeLogger
) -> None:
    """The constructor starts no thread and opens no connection."""
    before = threading.active_count()
    logger = make_logger()
    logger.stats()
    assert logger.flush()
    assert threading.active_count() == before
    assert server.requests == []


def test_repr_shows_where_entries_go_and_no_secret(make_logger: MakeLogger) -> None:
    """The `repr` of a logger shows the app, environment and server, but no credentials."""
    text = repr(make_logger(api_key="hidden-key", api_secret="hidden-secret"))
    assert "app" in text
    assert "127.0.0.1" in text
    assert "hidden" not in text


def test_log_call_of_a_transport_makes_no_entry(make_logger: MakeLogger) -> None:
    """A log call inside a transport's `send` makes no entry: the entry would cause a loop."""

    class Chatty(Recorder):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            logger.info("an echo")
            return super().send(entries, time_limit=time_limit)

    chatty = Chatty()
    logger = make_logger(transport=chatty)
    logger.info("x")
    logger.flush()
    assert [entry["message"] for entry in chatty.entries] == ["x"]
    assert logger.stats().echoed == 1


def test_ctrl_c_in_a_level_passes_through_to_the_app(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """If Ctrl-C comes while the client reads a level, the app gets the `KeyboardInterrupt`."""
    interruptions = [KeyboardInterrupt]

    class Slow:
        def __repr__(self) -> str:
            raise interruptions.pop() if interruptions else ValueError

    logger = make_logger(transport=recorder)
    with pytest.raises(KeyboardInterrupt):
        logger.log(Slow(), "x")
