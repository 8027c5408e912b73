"""Subclasses work as subclasses of the vendor's class do."""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger import Transport, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.loggers import MakeLogger, Recorder

LEVELS = ("debug", "info", "warn", "warning", "error", "critical")
KEY, SECRET = "planted-key-4711", "planted-secret-4712"


class Tenant(VoyageLogger):
    """A subclass as for the vendor's class: `log` adds a field to every entry."""

    def log(self, level: Any, message: Any, **fields: Any) -> None:  # type: ignore[override]
        super().log(level, f"acme: {message}", session_id="acme", **fields)


def made(kind: type[VoyageLogger], recorder: Recorder, **options: Any) -> VoyageLogger:
    return kind("app", transport=recorder, timestamps=False, flush_interval=600, **options)


def entries(logger: VoyageLogger, recorder: Recorder) -> list[dict[str, Any]]:
    assert logger.flush()
    return recorder.entries


def test_level_methods_ask_an_overriding_log(recorder: Recorder) -> None:
    """If a subclass overrides `log`, all level methods call this `log`, with the wire's level."""
    logger = made(Tenant, recorder)
    for level in LEVELS:
        getattr(logger, level)("hello", event_name=level)
    found = entries(logger, recorder)
    assert {(entry["message"], entry["session_id"]) for entry in found} == {("acme: hello", "acme")}
    wire = {entry["event_name"]: entry["level"] for entry in found}
    assert wire == {**{level: level for level in LEVELS}, "warning": "warn"}


def test_overriding_log_is_called_once(recorder: Recorder) -> None:
    """A direct call of an overriding `log` makes one entry, and `log` runs only once."""
    logger = made(Tenant, recorder)
    logger.log("error", "hello")
    logger.bind(tags=["bound"]).info("bound")
    assert [(entry["message"], entry["level"]) for entry in entries(logger, recorder)] == [
        ("acme: hello", "error"),
        ("acme: bound", "info"),
    ]


def test_overriding_log_gets_all_arguments(recorder: Recorder) -> None:
    """An overriding `log` gets the message, the fields, and `exc_info` from `exception`."""
    logger = made(Tenant, recorder)
    logger.info("Order %s of %d", "A", 7)
    logger.info(message="as a keyword")
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("broke")
    first, second, third = entries(logger, recorder)
    assert first["message"] == "acme: Order A of 7"
    assert second["message"] == "acme: as a keyword"
    assert third["exception_info"].endswith("ValueError: x\n")


def test_overriding_log_that_takes_arguments_gets_them(recorder: Recorder) -> None:
    """If an overriding `log` has `*args`, it gets the template and the values."""
    seen: list[Any] = []

    class Counting(VoyageLogger):
        def log(self, level: Any, message: Any, *args: Any, **fields: Any) -> None:  # type: ignore[override]
            seen.append((level, message, args))
            super().log(level, message, *args, **fields)

    logger = made(Counting, recorder)
    logger.warning("Order %s", "A")
    assert seen == [("warn", "Order %s", ("A",))]
    assert entries(logger, recorder)[0]["message"] == "Order A"


def test_method_name_is_the_app_s_function(recorder: Recorder) -> None:
    """With an overriding `log`, `method_name` is the function that made the log call."""

    def passed_on(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> None:
            function(*args, **kwargs)

        return call

    class Wrapped(Tenant):
        def info(self, message: Any, **fields: Any) -> None:  # type: ignore[override]
            super().info(message, **fields)

        @passed_on
        def log(self, level: Any, message: Any, **fields: Any) -> None:
            super().log(level, message, **fields)

    def app(logger: VoyageLogger) -> None:
        logger.info("info")
        logger.error("error")
        logger.log("info", "log")

    for kind in (Tenant, Wrapped):
        app(logger := made(kind, recorder))
        assert logger.flush()
    suffix = "app" if sys.version_info < (3, 11) else "<locals>.app"
    names = [entry["method_name"] for entry in recorder.entries]
    assert len(names) == 6
    assert all(name.endswith(suffix) for name in names), names


def test_overriding_log_can_log_itself(recorder: Recorder) -> None:
    """If an overriding `log` calls level methods, these calls are not passed to `log` again."""

    class Forwarding(VoyageLogger):
        def log(self, level: Any, message: Any, **fields: Any) -> None:  # type: ignore[override]
            self.bind(tags=["seen"]).debug("before")
            self._emit(level, message, **fields)

        def _emit(self, level: Any, message: Any, **fields: Any) -> None:
            getattr(super(), level)(message, **fields)

    logger = made(Forwarding, recorder)
    logger.info("hello")
    logger.info("again")
    messages = [entry["message"] for entry in entries(logger, recorder)]
    assert messages == ["before", "hello", "before", "again"]


def test_overriding_log_of_another_logger_is_asked(recorder: Recorder) -> None:
    """If an overriding `log` logs to a second logger, the `log` of the second logger is called."""
    second = made(Tenant, recorder)

    class Forwarding(VoyageLogger):
        def log(self, level: Any, message: Any, **fields: Any) -> None:  # type: ignore[override]
            second.info(message)

    logger = made(Forwarding, recorder)
    logger.info("hello")
    assert [entry["message"] for entry in entries(second, recorder)] == ["acme: hello"]
    for each in (logger, second):  # The class `Forwarding` keeps the second logger in memory.
        each.close()


def test_exception_of_an_overriding_log_passes(recorder: Recorder) -> None:
    """If an overriding `log` raises an exception, the app gets it, and later calls work."""

    class Strict(VoyageLogger):
        def log(self, level: Any, message: Any, **fields: Any) -> None:  # type: ignore[override]
            if message == "bad":
                raise ValueError(message)
            super().log(level, "good", **fields)

    logger = made(Strict, recorder)
    with pytest.raises(ValueError, match="bad"):
        logger.info("bad")
    logger.info("fine")
    assert [entry["message"] for entry in entries(logger, recorder)] == ["good"]


def test_mixin_can_override_log(recorder: Recorder) -> None:
    """A mixin before `VoyageLogger` can override `log`, also for calls from several threads."""

    class Mixin:
        def log(self, level: Any, message: Any, **fields: Any) -> None:
            super().log(level, message, tags=["mixed"], **fields)  # type: ignore[misc]

    class Mixed(Mixin, VoyageLogger):  # type: ignore[misc]
        pass

    logger = made(Mixed, recorder)
    threads = [threading.Thread(target=logger.info, args=("x",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["tags"] for entry in entries(logger, recorder)] == [["mixed"]] * 4


def test_settings_can_be_read(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of the vendor's class can be read, with the values that are in effect."""
    monkeypatch.setenv("VOYAGE_LOGS_ENVIRONMENT", "staging")
    monkeypatch.setenv("VOYAGE_LOGS_URL", "https://logs.example/")
    transport = Transport(KEY, SECRET, "https://other.example")
    loggers = [
        VoyageLogger("shop", None, 7, 2.5, api_key=KEY, api_secret=SECRET),
        VoyageLogger("shop", "test", base_url="https://mine.example"),  # prints the entries
        VoyageLogger("shop", transport=transport).bind(tags=["t"]),
        VoyageLogger("shop", transport=recorder),
    ]
    found = [
        (each.app_name, each.environment, each.batch_size, each.flush_interval, each.base_url)
        for each in loggers
    ]
    assert found == [
        ("shop", "staging", 7, 2.5, "https://logs.example"),
        ("shop", "test", 100, 5.0, "https://mine.example"),
        ("shop", "staging", 100, 5.0, "https://other.example"),
        ("shop", "staging", 100, 5.0, "https://logs.example"),
    ]
    for name in ("api_key", "api_secret"):
        assert not hasattr(loggers[0], name)
    assert VoyageLogger.app_name.__doc__ == "The name of the app in all entries."


def test_assigned_settings_change_nothing_and_say_so(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A subclass can assign a setting. A different value has no effect, and one line says so."""

    class Older(VoyageLogger):
        def __init__(self, app_name: str) -> None:
            self.app_name = app_name
            super().__init__(app_name, transport=recorder)
            self.app_name = app_name

    logger = Older("shop")
    assert capsys.readouterr().err == ""
    logger.batch_size = 5
    logger.batch_size = 6
    assert (logger.app_name, logger.batch_size) == ("shop", 100)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "assigning batch_size changes nothing" in said[0]


def test_class_without_an_overriding_log_calls_directly(make_logger: MakeLogger) -> None:
    """If a class does not override `log`, its log methods make no additional call."""

    class Plain(VoyageLogger):
        """A subclass that overrides no method."""

    for logger in (make_logger(), Plain("app", api_key=KEY, api_secret=SECRET)):
        assert logger._log_call == logger._log_at == logger._calls.log


def test_overriding_log_and_partial_level_method_work_together(recorder: Recorder) -> None:
    """A level method that is no Python function, such as a `partialmethod`, calls `log` once."""

    class Partial(Tenant):
        notice = functools.partialmethod(Tenant.log, "info")
        info = notice

    logger = made(Partial, recorder)
    logger.info("Paid")
    logger.error("Failed")
    assert [entry["message"] for entry in entries(logger, recorder)] == [
        "acme: Paid",
        "acme: Failed",
    ]
