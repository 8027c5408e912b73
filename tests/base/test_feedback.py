"""If the client's own request causes a log call, the client makes no entry for this call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tests.support.loggers import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from tests.support.loggers import MakeLogger
    from voyage_logger import Outcome


class Doing(Recorder):
    """A transport that calls a function during its first request."""

    def __init__(self) -> None:
        super().__init__()
        self.todo: list[Callable[[], object]] = []

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        while self.todo:
            self.todo.pop()()
        return super().send(entries, time_limit=time_limit)


def test_log_call_of_a_transport_makes_no_entry(make_logger: MakeLogger) -> None:
    """If a transport logs during a request, no entry is made: it would cause an endless loop."""
    transport = Doing()
    logger = make_logger(transport=transport, flush_interval=600)
    transport.todo = [lambda: logger.info("echo")]
    logger.info("x")

    assert logger.flush()
    assert [entry["message"] for entry in transport.entries] == ["x"]
    assert logger.stats().echoed == 1


def test_log_call_of_a_destructor_during_a_request_makes_an_entry(make_logger: MakeLogger) -> None:
    """If a destructor of the app logs during a request, its entry is delivered."""
    transport = Doing()
    logger = make_logger(transport=transport, flush_interval=600)

    class Mortal:
        def __del__(self) -> None:
            logger.info("deleted")

    transport.todo = [Mortal]
    logger.info("x")

    assert logger.flush()
    assert logger.flush()
    assert [entry["message"] for entry in transport.entries] == ["x", "deleted"]
    assert logger.stats().echoed == 0


def test_record_of_logging_during_a_request_makes_no_entry(
    make_logger: MakeLogger, request: pytest.FixtureRequest
) -> None:
    """If all `logging` records become entries, records about the client's requests do not."""
    transport = Doing()
    logger = make_logger(transport=transport, flush_interval=600)

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.info(record.getMessage())

    source, handler = logging.getLogger("tests.feedback"), Forward()
    source.addHandler(handler)
    request.addfinalizer(lambda: source.removeHandler(handler))
    transport.todo = [lambda: source.warning("about a request")]
    logger.info("x")

    assert logger.flush()
    assert [entry["message"] for entry in transport.entries] == ["x"]
