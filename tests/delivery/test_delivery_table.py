"""Every row of the delivery table, against a real server on a real socket."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
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
from voyage_logger._delivery.loss_report import LossTeller
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger.devserver import DevServer, Fault, Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.loggers import MakeLogger
    from voyage_logger import Outcome, VoyageError, VoyageLogger


def batches(server: DevServer) -> list[list[str]]:
    """The messages of each batch request, in order of arrival, refused ones included."""
    return [
        [entry["message"] for entry in json.loads(request.body)["logs"]]
        for request in server.requests
        if request.endpoint == "batch"
    ]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts are none here, but where a test is about them."""
    monkeypatch.setattr(backoff, "BASE", 0.0)


def without_pauses(logger: VoyageLogger) -> VoyageLogger:
    """The logger with the jitter at its least: the first batch waits a tenth of its interval."""
    logger._pipeline._worker._random = lambda: 0.0
    return logger


def test_exception_of_a_transport_is_named_but_not_quoted(make_logger: MakeLogger) -> None:
    """What the system says of its error is told; the words of an exception may be a secret."""

    class Exhausted(BaseTransport):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            raise OSError(errno.EMFILE, "planted-secret", "planted-path")

    logger = make_logger(transport=Exhausted(), flush_interval=0.01)
    logger.info("x")
    until(lambda: logger.stats().last_problem)
    words = f"the transport raised OSError ({os.strerror(errno.EMFILE)})"
    assert logger.stats().last_problem == words


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_delivers(server: DevServer, logger: VoyageLogger, status: int) -> None:
    """A success of any kind settles the batch; it is sent once."""
    server.script(Fault(status=status, body="{}"))
    logger.info("x")
    assert logger.flush()
    assert batches(server) == [["x"]]


def test_html_with_200_is_not_the_api(server: DevServer, logger: VoyageLogger) -> None:
    """A captive portal's page does not count as delivery: the batch is sent again."""
    without_pauses(logger)
    server.script(Fault(status=200, content_type="text/html", body="<html>Log in</html>"))
    logger.info("x")
    assert logger.flush()
    assert [entry["message"] for entry in server.entries()] == ["x"]
    assert logger.stats().retries == 1


def test_revoked_token_costs_one_sign_in(
    server: DevServer, logger: VoyageLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 401 the same batch follows one new sign-in at once, without a pause."""
    logger.info("before")
    assert logger.flush()
    server.revoke_tokens()
    monkeypatch.setattr(backoff, "BASE", 60.0)  # any pause would be half a minute at least
    logger.info("after")
    assert logger.flush(timeout=10)
    stats = logger.stats()
    assert (stats.sign_ins, stats.retries) == (2, 1)
    assert batches(server) == [["before"], ["after"], ["after"]]


def test_token_refused_twice_is_reported_and_the_batch_kept(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A server that refuses fresh tokens gets a growing pause; nothing is lost."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    server.script(*[Fault(status=401)] * 3)
    logger.info("x")
    assert logger.flush()
    assert [(type(error), error.status) for error in errors] == [(DeliveryError, 401)]
    assert batches(server) == [["x"]] * 4


@pytest.mark.parametrize("status", [401, 403])
def test_refused_sign_in_keeps_the_entries(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """Wrong credentials are reported once, naming the variables; the entries wait."""
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
    """The first entry starts the worker, which signs in at once, whatever the interval."""
    reported = threading.Event()
    logger = make_logger(
        flush_interval=600, api_key="wrong", on_error=lambda _error: reported.set()
    )
    logger.info("x")
    assert reported.wait(10)


@pytest.mark.parametrize("status", [402, 403, 404, 409, 418])
def test_other_4xx_keeps_the_batch(server: DevServer, make_logger: MakeLogger, status: int) -> None:
    """An answer that is not about the entries does not cost them."""
    errors: list[VoyageError] = []
    logger = without_pauses(make_logger(on_error=errors.append))
    server.script(Fault(status=status), Fault(status=status))
    logger.info("x")
    assert logger.flush()
    assert [(type(error), error.status) for error in errors] == [(DeliveryError, status)]
    assert batches(server) == [["x"]] * 3


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_passing_trouble_repeats_the_same_bytes(
    server: DevServer, logger: VoyageLogger, status: int
) -> None:
    """The batch is sent again as it was, until the server has it."""
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
    """The server's request for patience is met even though a flush is waiting."""
    without_pauses(logger)
    server.script(Fault(status=429, headers={"Retry-After": "1"}))
    logger.critical("x")
    while not server.count():  # flushing all the while
        logger.flush(timeout=0.01)
    first, second = [request.time for request in server.requests if request.endpoint == "batch"]
    assert second - first >= 1


def test_flush_ends_a_pause(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause that is the client's own idea does not hold up somebody who waits."""
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
    """After a long outage, who waits is not told to wait for the next but one attempt, too."""
    monkeypatch.setattr(backoff, "BASE", 0.5)
    logger = make_logger(flush_interval=0.01)
    worker = logger._pipeline._worker
    worker._random = lambda: 0.0
    worker.delivery.failures._level = 8.0  # each pause is 20 s
    server.script(*[Fault(status=503)] * 3)
    logger.info("x")
    server.wait_for_requests(1)
    assert logger.flush(timeout=15)


def test_dropped_connection_before_storing(server: DevServer, logger: VoyageLogger) -> None:
    """A connection reset before the server stored anything costs nothing and doubles nothing."""
    without_pauses(logger)
    server.script(Fault(reset="before"))
    logger.info("x")
    assert logger.flush()
    assert [entry["message"] for entry in server.entries()] == ["x"]


def test_lost_answer_doubles_with_the_same_id(server: DevServer, logger: VoyageLogger) -> None:
    """When the answer is lost, the entry comes twice with one log_id: the double can be seen."""
    without_pauses(logger)
    server.script(Fault(reset="after"))
    logger.info("x")
    assert logger.flush()
    first, second = server.entries()
    assert first == second
    assert first["meta_data"]["log_id"]


def test_hanging_server_is_left_after_the_read_timeout(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A server that takes the request and never answers is given up for a new attempt."""
    logger = without_pauses(make_logger(timeout=(1, 0.2)))
    server.script(Fault(hang=True))
    logger.info("x")
    assert logger.flush()
    assert logger.stats().retries == 1


def test_revoked_token_in_the_middle_of_other_trouble(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A refused token is no trouble of its own, whatever failed just before."""
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
    """While a request hangs, log calls return: all of them before the server is released."""
    logger = make_logger()
    server.script(Fault(hang=True))
    logger.critical("hangs")
    server.wait_for_requests(1)
    for number in range(1000):
        logger.info("entry %d", number)
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.pending) == (1001, 0, 1001)


def test_flush_to_a_hanging_server_returns_in_time_and_says_so(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """The tally is false and names what is pending."""
    logger = make_logger()
    server.script(Fault(hang=True))
    logger.info("x")
    result = logger.flush(timeout=0.3)
    assert not result
    assert (result.delivered, result.pending) == (0, 1)
    assert 0.3 <= result.elapsed < 9


def test_413_halves_and_remembers(server: DevServer, make_logger: MakeLogger) -> None:
    """A request that is too large is halved until it fits; the size is not tried again."""
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


def test_413_of_a_moment_is_not_for_life(server: DevServer, make_logger: MakeLogger) -> None:
    """Requests grow again once the server takes what it did not take for a moment."""
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
    """An entry that is too large by itself arrives shortened, and says so."""
    server.rules = replace(server.rules, max_body_bytes=6_000)
    logger.info("x" * 10_000)
    assert logger.flush()
    (entry,) = server.entries()
    assert entry["message"].endswith("...[trimmed]")
    assert entry["meta_data"]["log_id"]


def test_413_for_a_trimmed_entry_rejects_it(server: DevServer, logger: VoyageLogger) -> None:
    """What does not fit even when trimmed is rejected as too large, and counted as that."""
    server.rules = replace(server.rules, max_body_bytes=100)
    logger.info("x" * 10_000)
    result = logger.flush()
    assert (bool(result), result.rejected) == (False, 1)
    assert logger.stats().rejected_by == {"too large": 1}
    assert len([request for request in server.requests if request.status == 413]) == 2


@pytest.mark.parametrize("status", [400, 422])
def test_bad_entries_are_isolated(server: DevServer, make_logger: MakeLogger, status: int) -> None:
    """Two bad entries of a hundred are rejected with the server's words, the others arrive."""
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


def test_loss_is_told_in_the_stream(server: DevServer, logger: VoyageLogger) -> None:
    """After a rejection one entry says how many were lost, which levels, and why."""
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
    """A server that refuses the notice too is not fed with notices for ever."""
    server.rules = Rules(refuse_containing="e")  # in the notice as well
    logger.info("entry")
    for _ in range(5):
        logger.info("ok")
        logger.flush()
    logger.flush()
    stats = logger.stats()
    assert (stats.accepted, stats.delivered, stats.rejected) == (7, 5, 2)


def test_server_that_refuses_everything_is_asked_a_bounded_number_of_times(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """A batch of a hundred costs at most 32 requests when all of it is refused."""
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
    """Halving and trimming end soon where nothing fits: no storm of requests."""
    logger = make_logger(flush_interval=600)
    server.rules = Rules(max_body_bytes=1)
    for number in range(100):
        logger.info("entry %d", number, meta_data={"text": "x" * 3000})
    result = logger.flush()
    assert result.rejected == 100
    answers = [request.status for request in server.requests if request.endpoint == "batch"]
    assert answers.count(413) <= MOST_REFUSALS + 2  # the notice of the loss is refused, too


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_never_followed(
    server: DevServer, make_logger: MakeLogger, status: int
) -> None:
    """Another origin sees neither token nor entries; the batch is kept."""
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


def test_stale_connection_costs_no_attempt(server: DevServer, logger: VoyageLogger) -> None:
    """A pooled connection that the server has closed meanwhile is replaced, not failed on."""
    logger.info("one")
    assert logger.flush()
    server.drop_idle_connections()
    logger.info("two")
    assert logger.flush()
    assert logger.stats().retries == 0
    assert [entry["message"] for entry in server.entries()] == ["one", "two"]


def test_connection_is_used_again(server: DevServer, logger: VoyageLogger) -> None:
    """Sign-in and batches share one connection: a handshake each would cost more than the log."""
    for number in range(5):
        logger.info("entry %d", number)
        assert logger.flush()
    session = logger._transport._session._session  # type: ignore[attr-defined]
    pools = session.get_adapter(server.url).poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - no mapping


def test_unreachable_server_is_reported_once_and_recovery_too(
    make_logger: MakeLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    """An outage is one line when it lasts, and one when it is over; nothing is lost."""
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
    """`batch_size` entries go without waiting for the interval; one less does not."""
    logger = make_logger(batch_size=10, flush_interval=600)
    queue = logger._pipeline.queue
    for number in range(9):
        logger.info("entry %d", number)
    until(lambda: queue.ledger.wake_at == 10)  # the worker has seen them, and waits for more
    assert server.count() == 0
    for number in range(9, 19):
        logger.info("entry %d", number)
    until(lambda: logger.stats().pending == 9)
    until(lambda: queue.ledger.wake_at == 10)
    assert [len(batch) for batch in batches(server)] == [10]


def test_interval_sends_what_is_there(server: DevServer, make_logger: MakeLogger) -> None:
    """A batch that does not fill up goes after `flush_interval`, without any call."""
    logger = make_logger(flush_interval=0.2)
    logger._pipeline._worker._random = lambda: 0.999  # the first one is at random within it
    started = time.monotonic()
    logger.info("x")
    server.wait_for_entries(1)
    assert time.monotonic() - started >= 0.18


@pytest.mark.parametrize(("level", "fields"), [("critical", {}), ("info", {"add_ticket": True})])
def test_urgent_entry_at_an_idle_worker_is_sent_at_once(
    server: DevServer, logger: VoyageLogger, level: str, fields: dict[str, Any]
) -> None:
    """The first entry after a quiet time does not wait for the interval if it is urgent."""
    logger.info("before")
    assert logger.flush()
    until(lambda: logger._pipeline.queue.ledger.wake_at == 1)
    logger.log(level, "urgent", **fields)
    server.wait_for_entries(2)


def test_flush_in_a_loop_does_not_defeat_the_pauses(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often somebody flushes, refused credentials are not tried again within seconds."""
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
    """Refused batches are followed by pauses, and teach nothing about the sizes that work."""
    monkeypatch.setattr(backoff, "BASE", 0.3)
    logger = make_logger(batch_size=20, flush_interval=600)
    for number in range(20):
        logger.info("ok %d", number)
    assert logger.flush()
    server.rules = rules
    worker = logger._pipeline._worker
    worker._random = lambda: 0.999  # a pause is as long as it can be
    with logger._pipeline.queue.lock:  # all at once: what comes meanwhile would make requests grow
        for number in range(200):
            logger.info("entry %d", number)
    until(lambda: worker.delivery.refused_in_a_row >= 3)
    assert logger.stats().requests <= 1 + 3 * MOST_REFUSALS
    server.rules = Rules()  # during the pause, not in the middle of a batch
    for number in range(100):
        logger.info("later %d", number)
    logger.flush(timeout=20)
    sizes = [len(batch) for batch in batches(server) if batch[0].startswith("later")]
    assert len(sizes) <= 7


@pytest.mark.parametrize(("level", "fields"), [("critical", {}), ("info", {"add_ticket": True})])
def test_urgent_entries_are_sent_at_once(
    server: DevServer, logger: VoyageLogger, level: str, fields: dict[str, Any]
) -> None:
    """Critical and ticket entries do not wait for the interval, nor do those before them."""
    logger.info("before")
    logger.log(level, "urgent", **fields)
    server.wait_for_entries(2)
    assert [entry["message"] for entry in server.entries()] == ["before", "urgent"]


def test_requests_grow_with_the_backlog_and_shrink_again(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """More than `batch_size` goes in one request only while the client is behind."""
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
    """A flush of a queue that is not behind goes in requests of `batch_size`."""
    logger = make_logger(batch_size=10, flush_interval=600)
    with logger._pipeline.queue.lock:  # all at once: what comes meanwhile would make requests grow
        for number in range(95):
            logger.info("entry %d", number)
    assert logger.flush()
    assert [len(batch) for batch in batches(server)] == [10] * 9 + [5]


def test_64_threads_deliver_exactly_once(server: DevServer, make_logger: MakeLogger) -> None:
    """64 threads x 500 entries arrive exactly once, each thread's in order."""
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


def test_one_odd_entry_spoils_nothing(server: DevServer, logger: VoyageLogger) -> None:
    """NaN, a cycle, a lock, a broken repr and a lone surrogate share a batch with good entries."""

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
    """Losses within a minute of a report are told at the latest when the logger closes."""
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
    """A token that is there already is used."""
    logger = make_logger()
    logger.verify()
    logger.info("x")
    assert logger.flush()
    assert logger.stats().sign_ins == 1


def test_loss_at_the_end_is_told_with_its_cause(
    server: DevServer, make_logger: MakeLogger, capfd: pytest.CaptureFixture[str]
) -> None:
    """No one is helped by "closed" alone: what the last attempt came to stands in the line."""
    server.script(*[Fault(status=403)] * 50)
    errors: list[VoyageError] = []
    logger = make_logger(flush_interval=600, on_error=errors.append)
    logger.info("x")
    logger.close()

    (lost,) = [error for error in errors if isinstance(error, EntriesLost)]
    assert lost.problem.startswith("HTTP 403")
    assert f"1 closed; the last attempt: {lost.problem}\n" in capfd.readouterr().err


@pytest.mark.parametrize(("reason", "told"), [("closed", "HTTP 503"), ("queue_full", "")])
def test_trouble_is_not_told_as_the_cause_of_what_has_another(reason: str, told: str) -> None:
    """An entry that was shed before was not lost for what the last attempt came to."""
    queue = MemoryQueue(1, 1000)
    queue.drop_new(INFO, reason)

    error = LossTeller(queue, Diagnostics(), time.monotonic).claim("", problem="HTTP 503")

    assert error is not None
    assert error.problem == told
