"""Tests of each row of the delivery table in the docs, with a real server on a real socket."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import Recorder, until
from voyage_logger import (
    AuthenticationError,
    BaseTransport,
    ConnectionFailed,
    DeliveryError,
    EntriesLost,
)
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._delivery import backoff
from voyage_logger._delivery.batch import MOST_REFUSALS
from voyage_logger._delivery.loss_report import LossReport
from voyage_logger._delivery.server_state import ServerState
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger.devserver import DevServer, Fault, Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.loggers import MakeLogger
    from voyage_logger import Outcome, VoyageError, VoyageLogger


def batches(server: DevServer) -> list[list[str]]:
    """Return the messages of each batch request in order of arrival, including refused requests."""
    return [
        [entry["message"] for entry in json.loads(request.body)["logs"]]
        for request in server.requests
        if request.endpoint == "batch"
    ]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the pauses between attempts. A test about pauses sets `BASE` again."""
    monkeypatch.setattr(backoff, "BASE", 0.0)


def without_pauses(logger: VoyageLogger) -> VoyageLogger:
    """Set random numbers to 0, so that the first batch waits for a tenth of `flush_interval`."""
    logger._pipeline._worker._random = lambda: 0.0
    return logger


def test_exception_of_a_transport_is_named_but_not_quoted(make_logger: MakeLogger) -> None:
    """The client reports only the type of the exception, because its text can hold a secret."""

    class Exhausted(BaseTransport):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            raise OSError(errno.EMFILE, "planted-secret", "planted-path")

    logger = make_logger(transport=Exhausted(), flush_interval=0.01)
    logger.info("x")
    until(lambda: logger.stats().last_problem)
    words = f"the transport raised OSError ({os.strerror(errno.EMFILE)})"
    assert logger.stats().last_problem == words


def test_missing_module_of_a_transport_is_named_and_blocks(make_logger: MakeLogger) -> None:
    """If a transport cannot import a library, a report names the library, and entries wait."""

    class WithoutLibrary(BaseTransport):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            raise ModuleNotFoundError("planted-secret", name="kafka")

    errors: list[VoyageError] = []
    logger = make_logger(transport=WithoutLibrary(), flush_interval=0.01, on_error=errors.append)
    logger.info("x")
    until(lambda: errors)
    assert str(errors[0]) == "the transport raised ModuleNotFoundError (kafka)"
    assert isinstance(errors[0], DeliveryError)
    assert logger.stats().pending == 1


def test_exception_of_a_warm_up_does_not_end_the_delivery(make_logger: MakeLogger) -> None:
    """If a transport's `warm_up` raises an error, the client reports it and sends the entries."""

    class Cold(Recorder):
        def warm_up(self) -> None:
            raise LookupError("planted-secret")

    errors: list[VoyageError] = []
    transport = Cold()
    logger = make_logger(transport=transport, flush_interval=600, on_error=errors.append)
    logger.info("first")
    until(lambda: logger.stats().last_problem)
    assert logger.stats().last_problem == "the transport raised LookupError"
    assert logger.flush()
    assert [entry["message"] for entry in transport.entries] == ["first"]


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_answer_delivers_the_batch_once(
    server: DevServer, logger: VoyageLogger, status: int
) -> None:
    """After any 2xx answer, the batch counts as delivered and is not sent again."""
    server.script(Fault(status=status, body="{}"))
    logger.info("x")
    assert logger.flush()
    assert batches(server) == [["x"]]


def test_html_page_with_200_is_no_delivery(server: DevServer, logger: VoyageLogger) -> None:
    """If a captive portal answers 200 with an HTML page, the batch is sent again."""
    without_pauses(logger)
    server.script(Fault(status=200, content_type="text/html", body="<html>Log in</html>"))
    logger.info("x")
    assert logger.flush()
    assert [entry["message"] for entry in server.entries()] == ["x"]
    assert logger.stats().retries == 1


def test_revoked_token_costs_one_sign_in(
    server: DevServer, logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 401, the client signs in once and sends the same batch again without a pause."""
    logger.info("before")
    assert logger.flush()
    server.revoke_tokens()
    monkeypatch.setattr(backoff, "BASE", 60.0)  # with a pause, the flush would take at least 30 s
    logger.info("after")
    assert logger.flush(timeout=10)
    stats = logger.stats()
    assert (stats.sign_ins, stats.retries) == (2, 1)
    assert batches(server) == [["before"], ["after"], ["after"]]


def test_token_refused_twice_is_reported_and_the_batch_waits(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server also refuses new tokens, the pauses become longer, and no entry is lost."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    server.script(*[Fault(status=401)] * 3)
    logger.info("x")
    assert logger.flush()
    assert [(type(error), error.status) for error in errors] == [(DeliveryError, 401)]
    assert batches(server) == [["x"]] * 4


@pytest.mark.parametrize("status", [401, 403])
def test_refused_sign_in_is_reported_once_and_the_entries_wait(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """If credentials are wrong, one line names the environment variables, and entries wait."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    server.script_sign_in(*[Fault(status=status)] * 3)
    logger.info("x")
    assert logger.flush()
    assert [(type(error), error.status) for error in errors] == [(AuthenticationError, status)]
    assert "VOYAGE_LOGS_SECRET" in str(errors[0])
    assert [entry["message"] for entry in server.entries()] == ["x"]


def test_wrong_credentials_show_before_the_first_batch_is_due(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """The worker signs in when the first entry is logged, even if `flush_interval` is long."""
    reported = threading.Event()
    logger = make_logger(
        flush_interval=600, api_key="wrong", on_error=lambda _error: reported.set()
    )
    logger.info("x")
    assert reported.wait(10)


@pytest.mark.parametrize("status", [402, 403, 404, 409, 418])
def test_batch_waits_after_a_4xx_that_is_not_about_entries(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """After a 4xx answer that does not concern the entries, the same batch is sent again."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    server.script(Fault(status=status), Fault(status=status))
    logger.info("x")
    assert logger.flush()
    assert [(type(error), error.status) for error in errors] == [(DeliveryError, status)]
    assert batches(server) == [["x"]] * 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_batch_is_sent_again_unchanged_after_a_passing_trouble(
    server: DevServer, logger: VoyageLogger, status: int
) -> None:
    """The client sends the same bytes again until the server confirms the batch."""
    without_pauses(logger)
    server.script(Fault(status=status), Fault(status=status))
    logger.info("one")
    logger.info("two")
    assert logger.flush()
    bodies = [request.body for request in server.requests if request.endpoint == "batch"]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert [entry["message"] for entry in server.entries()] == ["one", "two"]


def test_retry_after_is_a_minimum(server: DevServer, logger: VoyageLogger) -> None:
    """Even a flush does not shorten the pause that the server demands with `Retry-After`."""
    without_pauses(logger)
    server.script(Fault(status=429, headers={"Retry-After": "1"}))
    logger.critical("x")
    while not server.count():  # this loop calls `flush` until the entry arrives
        logger.flush(timeout=0.01)
    first, second = [request.time for request in server.requests if request.endpoint == "batch"]
    assert second - first >= 1


def test_flush_ends_a_pause_of_the_client(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush ends a pause that does not come from a `Retry-After`."""
    logger = make_logger(flush_interval=0.01)
    logger._pipeline._worker._random = lambda: 0.999999
    monkeypatch.setattr(backoff, "BASE", 100.0)
    monkeypatch.setattr(backoff, "CAP", 100.0)
    server.script(*[Fault(status=503)] * 2)
    logger.info("x")
    for number in range(1, 3):
        server.wait_for_requests(number)
        logger.flush(timeout=0)
    assert logger.flush(timeout=5)


def test_flush_begins_with_short_pauses(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush after a long outage makes the pauses short again."""
    monkeypatch.setattr(backoff, "BASE", 0.5)
    logger = make_logger(flush_interval=0.01)
    worker = logger._pipeline._worker
    worker._random = lambda: 0.0
    worker._delivery._failures._level = 8.0  # this value makes each pause 20 s long
    server.script(*[Fault(status=503)] * 3)
    logger.info("x")
    server.wait_for_requests(1)
    assert logger.flush(timeout=15)


def test_reset_before_storing_loses_and_doubles_nothing(
    server: DevServer, logger: VoyageLogger
) -> None:
    """If the connection is reset before the server stores the batch, the entry arrives once."""
    without_pauses(logger)
    server.script(Fault(reset="before"))
    logger.info("x")
    assert logger.flush()
    assert [entry["message"] for entry in server.entries()] == ["x"]


def test_entry_with_a_lost_answer_comes_twice_with_one_log_id(
    server: DevServer, logger: VoyageLogger
) -> None:
    """If the server's answer is lost, the entry arrives twice with the same `log_id`."""
    without_pauses(logger)
    server.script(Fault(reset="after"))
    logger.info("x")
    assert logger.flush()
    first, second = server.entries()
    assert first == second
    assert first["meta_data"]["log_id"]


def test_request_to_a_hanging_server_ends_at_the_read_timeout(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server does not answer a request, the client tries again after the read timeout."""
    logger = without_pauses(make_logger(timeout=(1, 0.2)))
    server.script(Fault(hang=True))
    logger.info("x")
    assert logger.flush()
    assert logger.stats().retries == 1


def test_revoked_token_during_an_outage_is_not_reported(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A token that is refused for the first time is not reported, even during an outage."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    logger.info("before")
    assert logger.flush()
    server.revoke_tokens()
    server.script(Fault(status=503), Fault(status=503))
    logger.info("after")
    assert logger.flush()
    assert errors == []


def test_log_calls_do_not_wait_for_a_hanging_server(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A thousand log calls return while the server does not answer a request."""
    logger = make_logger()
    server.script(Fault(hang=True))
    logger.critical("hangs")
    server.wait_for_requests(1)
    for number in range(1000):
        logger.info("entry %d", number)
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.pending) == (1001, 0, 1001)


def test_flush_to_a_hanging_server_returns_in_time_and_is_false(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """The result of a flush that reaches its time limit is false, and its `pending` is 1."""
    logger = make_logger()
    server.script(Fault(hang=True))
    logger.info("x")
    result = logger.flush(timeout=0.3)
    assert not result
    assert (result.delivered, result.pending) == (0, 1)
    assert 0.3 <= result.elapsed < 9


def test_413_halves_the_request_and_the_size_is_remembered(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """After a 413, the client halves its requests until one is accepted, and keeps this size."""
    logger = make_logger(flush_interval=600)
    server.rules = replace(server.rules, max_body_bytes=4_000)
    for _round in range(2):
        for number in range(40):
            logger.info("entry", meta_data={"n": number})
        assert logger.flush()
        if _round == 0:
            refused = [r for r in server.requests if r.status == 413]
            assert refused
    assert [r for r in server.requests if r.status == 413] == refused
    numbers = [entry["meta_data"]["n"] for entry in server.entries()]
    assert numbers == [*range(40)] * 2


def test_requests_grow_again_after_a_short_time_of_413(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server answers 413 only for a short time, later requests become large again."""
    logger = make_logger(flush_interval=600)
    server.script(*[Fault(status=413)] * 8)
    for number in range(100):
        logger.info("before %d", number)
    logger.flush()
    requests = logger.stats().requests
    for number in range(1000):
        logger.info("after %d", number)
    assert logger.flush()
    assert logger.stats().requests - requests < 250


def test_413_for_a_single_entry_trims_it_once(server: DevServer, logger: VoyageLogger) -> None:
    """If a single entry is too large, the client shortens the entry and marks it as "trimmed"."""
    server.rules = replace(server.rules, max_body_bytes=6_000)
    logger.info("x" * 10_000)
    assert logger.flush()
    (entry,) = server.entries()
    assert entry["message"].endswith("...[trimmed]")
    assert entry["meta_data"]["log_id"]


def test_413_for_a_trimmed_entry_rejects_it(server: DevServer, logger: VoyageLogger) -> None:
    """If the server finds a trimmed entry still too large, the entry counts as rejected."""
    server.rules = replace(server.rules, max_body_bytes=100)
    logger.info("x" * 10_000)
    result = logger.flush()
    assert (bool(result), result.rejected) == (False, 1)
    assert logger.stats().rejected_by == {"too large": 1}
    assert len([request for request in server.requests if request.status == 413]) == 2


@pytest.mark.parametrize("status", [400, 422])
def test_only_bad_entries_are_rejected(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """If two of a hundred entries are invalid, only these two entries are rejected."""
    errors: list[VoyageError] = []
    logger = make_logger(flush_interval=600, on_error=errors.append)
    server.rules = Rules(refuse_containing="poison", refuse_status=status)
    messages = [f"entry {number}" for number in range(100)]
    messages[17] = messages[70] = "poison"
    for message in messages:
        logger.info(message)
    result = logger.flush()
    assert (result.delivered, result.rejected, result.pending) == (98, 2, 0)
    assert logger.stats().rejected_by == {f"HTTP {status}": 2}
    logger.flush()
    stored = [entry["message"] for entry in server.entries()]
    assert stored[:98] == [message for message in messages if message != "poison"]
    (lost,) = [error for error in errors if isinstance(error, EntriesLost)]
    assert lost.count == 2
    assert f"HTTP {status}" in lost.detail


def test_flush_returns_after_people_are_told_of_a_rejection(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A flush returns after `on_error` has been called for the rejected entries."""
    server.rules = Rules(refuse_containing="poison")
    errors: list[VoyageError] = []
    is_flushed = threading.Event()

    def on_error(error: VoyageError) -> None:
        is_flushed.wait(0.2)
        errors.append(error)

    logger = make_logger(on_error=on_error)
    logger.info("poison")
    logger.flush()
    count = len(errors)
    is_flushed.set()
    assert count == 1


def test_loss_is_told_in_the_stream(server: DevServer, logger: VoyageLogger) -> None:
    """After a rejection, a notice to the server counts the losses by level and reason."""
    server.rules = Rules(refuse_containing="poison")
    logger.error("poison")
    logger.info("fine")
    logger.flush()
    logger.flush()
    notice = server.entries()[-1]
    assert notice["event_name"] == "voyage_logger.entries_lost"
    assert notice["level"] == "warn"
    assert notice["meta_data"]["lost"] == 1
    assert notice["meta_data"]["levels"] == {"error": 1}
    reason = f"HTTP {server.rules.refuse_status}"
    assert notice["meta_data"]["reasons"] == {reason: 1}


def test_refused_notice_causes_no_further_notice(server: DevServer, logger: VoyageLogger) -> None:
    """If the server refuses a notice of a loss, the client sends no notice about this refusal."""
    server.rules = Rules(refuse_containing="e")  # the notice also contains an "e"
    logger.info("entry")
    for _ in range(5):
        logger.info("ok")
        assert logger.flush().elapsed < 20  # a flush does not wait for a second notice
    logger.flush()
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.rejected) == (7, 5, 2)


def test_server_that_refuses_everything_is_asked_a_bounded_number_of_times(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server refuses a whole batch, the client makes at most 32 requests for the batch."""
    logger = make_logger(flush_interval=600)
    server.rules = Rules(refuse_containing="entry")
    for number in range(100):
        logger.info("entry %d", number)
    result = logger.flush()
    assert result.rejected == 100
    assert len([batch for batch in batches(server) if "entry" in batch[0]]) <= MOST_REFUSALS


def test_server_that_finds_everything_too_large_is_asked_a_bounded_number_of_times(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server answers 413 to every request, the client makes a limited number of requests."""
    logger = make_logger(flush_interval=600)
    server.rules = Rules(max_body_bytes=1)
    for number in range(100):
        logger.info("entry %d", number, meta_data={"text": "x" * 3000})
    result = logger.flush()
    assert result.rejected == 100
    answers = [request.status for request in server.requests if request.endpoint == "batch"]
    assert answers.count(413) <= MOST_REFUSALS + 2  # the server also refuses the notice of the loss


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_never_followed(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """The client does not follow a redirect, so the other server gets no token and no entries."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    with DevServer() as elsewhere:
        server.script(Fault(status=status, headers={"Location": elsewhere.url + "/steal"}))
        logger.info("x")
        assert logger.flush()
        assert elsewhere.requests == []
    assert [type(error) for error in errors] == [DeliveryError]
    assert "redirect" in str(errors[0])
    assert [entry["message"] for entry in server.entries()] == ["x"]


def test_closed_idle_connection_costs_no_attempt(server: DevServer, logger: VoyageLogger) -> None:
    """If the server has closed an idle connection, the first attempt uses a new connection."""
    logger.info("one")
    assert logger.flush()
    server.drop_idle_connections()
    logger.info("two")
    assert logger.flush()
    assert logger.stats().retries == 0
    assert [entry["message"] for entry in server.entries()] == ["one", "two"]


def test_connection_is_used_again(server: DevServer, logger: VoyageLogger) -> None:
    """The sign-in and all batches share one connection."""
    for number in range(5):
        logger.info("entry %d", number)
        assert logger.flush()
    session = logger._transport._session._session  # type: ignore[attr-defined]
    pools = session.get_adapter(server.url).poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - not a dict


def test_unreachable_server_is_reported_once_and_recovery_too(
    make_logger: MakeLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line reports an outage, one line reports its end, and no entry is lost."""
    errors: list[VoyageError] = []
    with DevServer() as down:
        port = down.port
    logger = without_pauses(
        make_logger(base_url=f"http://127.0.0.1:{port}", on_error=errors.append)
    )
    logger.info("x")
    assert not logger.flush(timeout=0.3)
    with DevServer(port=port) as up:
        assert logger.flush()
        assert [entry["message"] for entry in up.entries()] == ["x"]
    assert [type(error) for error in errors] == [ConnectionFailed]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "refused" in lines[0]
    assert "delivered again" in lines[1]


def test_full_batch_is_sent_at_once(server: DevServer, make_logger: MakeLogger) -> None:
    """A full batch is sent immediately, but a batch that is one entry short waits for more."""
    logger = make_logger(batch_size=10, flush_interval=600)
    queue = logger._pipeline.queue
    for number in range(9):
        logger.info("entry %d", number)
    until(lambda: queue.ledger.wake_at == 10)  # the worker waits for more entries
    assert server.count() == 0
    for number in range(9, 19):
        logger.info("entry %d", number)
    until(lambda: logger.stats().pending == 9)
    until(lambda: queue.ledger.wake_at == 10)
    assert [len(batch) for batch in batches(server)] == [10]


def test_batch_that_is_not_full_is_sent_after_the_interval(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A batch that is not full is sent after `flush_interval`, even without a flush."""
    logger = make_logger(flush_interval=0.2)
    logger._pipeline._worker._random = lambda: 0.999  # this value makes the first interval long
    started = time.monotonic()
    logger.info("x")
    server.wait_for_entries(1)
    assert time.monotonic() - started >= 0.18


@pytest.mark.parametrize(("level", "fields"), [("critical", {}), ("info", {"add_ticket": True})])
def test_urgent_entry_at_an_idle_worker_is_sent_at_once(
    server: DevServer, logger: VoyageLogger, level: str, fields: dict[str, Any]
) -> None:
    """If the worker is idle, it sends an urgent entry immediately."""
    logger.info("before")
    assert logger.flush()
    until(lambda: logger._pipeline.queue.ledger.wake_at == 1)
    logger.log(level, "urgent", **fields)
    server.wait_for_entries(2)


def test_flush_in_a_loop_does_not_remove_the_pauses(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the app flushes all the time, the client pauses after refused credentials."""
    monkeypatch.setattr(backoff, "BASE", 60.0)
    logger = make_logger(api_key="wrong")
    logger.info("x")
    for _ in range(50):
        logger.flush(timeout=0.01)
    assert logger.stats().requests <= 3


@pytest.mark.parametrize("rules", [Rules(max_body_bytes=1), Rules(refuse_containing="entry")])
def test_server_that_refuses_everything_is_given_pauses(
    server: DevServer, make_logger: MakeLogger, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After refused batches, the client pauses. Later requests do not become smaller."""
    monkeypatch.setattr(backoff, "BASE", 0.3)
    logger = make_logger(batch_size=20, flush_interval=600)
    for number in range(20):
        logger.info("ok %d", number)
    assert logger.flush()
    server.rules = rules
    worker = logger._pipeline._worker
    worker._random = lambda: 0.999  # This value makes each pause as long as possible.
    with logger._pipeline.queue.lock:  # no request begins before all entries are logged
        for number in range(200):
            logger.info("entry %d", number)
    until(lambda: worker._delivery.refused_in_a_row >= 3)
    assert logger.stats().requests <= 1 + 3 * MOST_REFUSALS
    server.rules = Rules()  # the rules change during the pause, so that no batch is split
    for number in range(100):
        logger.info("later %d", number)
    logger.flush(timeout=20)
    sizes = [len(batch) for batch in batches(server) if batch[0].startswith("later")]
    assert len(sizes) <= 7


@pytest.mark.parametrize(("level", "fields"), [("critical", {}), ("info", {"add_ticket": True})])
def test_urgent_entries_are_sent_at_once(
    server: DevServer, logger: VoyageLogger, level: str, fields: dict[str, Any]
) -> None:
    """A critical or ticket entry is sent immediately, together with all entries before it."""
    logger.info("before")
    logger.log(level, "urgent", **fields)
    server.wait_for_entries(2)
    assert [entry["message"] for entry in server.entries()] == ["before", "urgent"]


def test_requests_grow_with_the_backlog_and_shrink_again(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """Requests carry more than `batch_size` entries only while a backlog grows."""
    logger = make_logger(batch_size=10, max_queue_size=1000, flush_interval=600)
    server.script(Fault(delay=0.5))
    logger.critical("answered late")
    server.wait_for_requests(1)
    for number in range(500):
        logger.info("entry %d", number)
    assert logger.flush()
    first, *sizes = [len(batch) for batch in batches(server)]
    assert (first, sum(sizes)) == (1, 500)
    assert max(sizes) > 10
    for number in range(10):
        logger.info("later %d", number)
    assert logger.flush()
    assert len(batches(server)[-1]) == 10


def test_requests_keep_to_batch_size_in_quiet_times(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """Without a backlog, a flush sends requests of `batch_size` entries."""
    logger = make_logger(batch_size=10, flush_interval=600)
    with logger._pipeline.queue.lock:  # no request begins before all entries are logged
        for number in range(95):
            logger.info("entry %d", number)
    assert logger.flush()
    assert [len(batch) for batch in batches(server)] == [10] * 9 + [5]


def test_entries_of_64_threads_arrive_once_and_in_order(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If 64 threads log, all entries arrive once, and each thread's entries arrive in order."""
    logger = make_logger(max_queue_size=64 * 500)

    def work(thread: int) -> None:
        for number in range(500):
            logger.info("x", meta_data={"thread": thread, "n": number})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logger.flush()
    seen: dict[int, list[int]] = {}
    for entry in server.entries():
        seen.setdefault(entry["meta_data"]["thread"], []).append(entry["meta_data"]["n"])
    assert seen == {thread: [*range(500)] for thread in range(64)}


def test_odd_values_do_not_harm_other_entries_of_the_batch(
    server: DevServer, logger: VoyageLogger
) -> None:
    """Entries with NaN, a cycle or a broken `__repr__` do not harm other entries of the batch."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    cycle: list[object] = []
    cycle.append(cycle)
    odd = [float("nan"), cycle, threading.Lock(), Broken(), "\ud800", {1: 1, "1": 2}, b"\xff"]
    for value in odd:
        logger.info("odd", meta_data={"value": value})
        logger.info("good")
    assert logger.flush()
    assert server.count() == 2 * len(odd)


def test_every_loss_reaches_stderr_in_totals_that_add_up(
    server: DevServer, make_logger: MakeLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    """Losses are reported at most once a minute, and `close` reports the remaining losses."""
    errors: list[VoyageError] = []
    server.rules = Rules(refuse_containing="poison")
    for name, count in (("one", 1), ("one again", 50)):
        logger = make_logger(name, flush_interval=600, on_error=errors.append)
        logger.info("poison")
        logger.flush()
        for _ in range(count):
            logger.error("poison")
        logger.flush()
        logger.close()
    lines = [line for line in capfd.readouterr().err.splitlines() if "lost" in line]
    assert [line.partition(")")[0] for line in lines] == [
        "voyage-logger: 1 entry lost (1 info",
        "voyage-logger: 1 entry lost (1 error",
        "voyage-logger: 1 entry lost (1 info",
        "voyage-logger: 50 entries lost (50 error",
    ]
    assert all("the server said: HTTP 400" in line for line in lines)
    assert sum(error.count for error in errors if isinstance(error, EntriesLost)) == 53


def test_verify_and_the_first_entry_share_a_sign_in(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """`verify` signs in, and the worker uses the same token."""
    logger = make_logger()
    logger.verify()
    logger.info("x")
    assert logger.flush()
    assert logger.stats().sign_ins == 1


def test_loss_at_the_end_is_told_with_its_cause(
    server: DevServer, make_logger: MakeLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line about a loss at the end of the process names the problem of the last attempt."""
    server.script(*[Fault(status=403)] * 50)
    errors: list[VoyageError] = []
    logger = make_logger(flush_interval=600, on_error=errors.append)
    logger.info("x")
    logger.close()

    (lost,) = [error for error in errors if isinstance(error, EntriesLost)]
    assert lost.problem.startswith("HTTP 403")
    assert f"1 closed; the last attempt: {lost.problem}\n" in capfd.readouterr().err


@pytest.mark.parametrize(("reason", "told"), [("closed", "HTTP 503"), ("queue_full", "")])
def test_last_problem_is_told_only_for_losses_at_the_end(reason: str, told: str) -> None:
    """The report of a shed entry does not name the problem of the last attempt."""
    queue = MemoryQueue(1, 1000)
    queue.drop_new(INFO, reason)

    server = ServerState(BaseTransport(), Diagnostics())
    server.last_problem = "HTTP 503"
    error = LossReport(queue, server, Diagnostics(), lambda _fields: None).claim_last(at_once=True)

    assert error is not None
    assert error.problem == told
