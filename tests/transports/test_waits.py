"""A pause that the server asks for with `Retry-After` holds for whoever asks next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import sign_ins, until
from voyage_logger import AuthenticationError, ConnectionFailed, Kind, Transport
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loggers import MakeLogger

ENTRY = {"message": "x", "level": "info", "app_name": "app", "environment": "test"}
LIMIT = Fault(status=429, headers={"Retry-After": "3"})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(server: DevServer, clock: Clock) -> Iterator[Transport]:
    transport = Transport(server.api_key, server.api_secret, server.url, clock=clock)
    yield transport
    transport.close()


def test_first_batch_waits_as_long_as_the_first_sign_in_was_asked(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the first sign-in gets `Retry-After: 1`, the batch signs in only after this second."""
    server.script_sign_in(Fault(status=429, headers={"Retry-After": "1"}))
    logger = make_logger(flush_interval=0.01)
    logger.info("x")
    until(server.count)
    times = [request.time for request in server.requests if request.endpoint == "sign-in"]
    assert len(times) == 2
    assert times[1] - times[0] >= 1
    assert logger.flush()


def test_sign_in_makes_no_request_during_a_pause(
    server: DevServer, transport: Transport, clock: Clock
) -> None:
    """During a pause, all ways to sign in fail without a request, and say how long to wait."""
    server.script_sign_in(LIMIT)
    with pytest.raises(ConnectionFailed):
        transport.warm_up()
    clock.now += 1
    outcome = transport.send([ENTRY])
    assert (outcome.kind, outcome.status, outcome.retry_after) == (Kind.TRY_AGAIN, 429, 2.0)
    assert outcome.is_sign_in
    with pytest.raises(ConnectionFailed, match=r"asked to wait, for 2\.0 s more"):
        transport.sign_in()
    with pytest.raises(ConnectionFailed):
        transport.warm_up()
    assert len(server.requests) == 1
    clock.now += 2
    assert transport.send([ENTRY])


def test_batches_of_other_threads_wait(
    server: DevServer, transport: Transport, clock: Clock
) -> None:
    """If one batch gets `Retry-After`, the batches of other threads make no request before that."""
    server.script(Fault(), LIMIT)
    assert transport.send([ENTRY])
    assert transport.send([ENTRY]).retry_after == 3
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(transport.send([ENTRY])))
    thread.start()
    thread.join()
    assert [(each.kind, each.retry_after) for each in outcomes] == [(Kind.TRY_AGAIN, 3)]
    assert len(server.requests) == 3
    transport.sign_in()  # The pause of batches does not hold for sign-ins.
    clock.now += 3
    assert transport.send([ENTRY])


def test_pause_of_the_sign_in_does_not_stop_batches(
    server: DevServer, transport: Transport
) -> None:
    """If the server limits sign-ins, batches go on with the valid token."""
    assert transport.send([ENTRY])
    server.script_sign_in(LIMIT)
    with pytest.raises(ConnectionFailed):
        transport.sign_in()
    assert transport.send([ENTRY])
    assert sign_ins(server) == 2


def test_attempt_with_a_time_limit_is_made_during_a_pause(
    server: DevServer, transport: Transport
) -> None:
    """The last attempt of a process is made even during a pause, because it is the last chance."""
    server.script_sign_in(LIMIT)
    with pytest.raises(ConnectionFailed):
        transport.warm_up()
    assert transport.send([ENTRY], time_limit=5)


@pytest.mark.parametrize("status", [401, 403, 503])
def test_refused_sign_in_with_retry_after_is_held(
    server: DevServer, transport: Transport, status: int
) -> None:
    """A pause holds after each failed sign-in whose answer has `Retry-After`."""
    server.script_sign_in(Fault(status=status, headers={"Retry-After": "3"}))
    error = AuthenticationError if status < 500 else ConnectionFailed
    for _ in range(2):
        with pytest.raises(error):
            transport.sign_in()
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 413, 422])
def test_smaller_batch_or_new_token_does_not_wait(
    server: DevServer, transport: Transport, status: int
) -> None:
    """After a refusal of the token or of the batch, the next request does not wait."""
    server.script(Fault(status=status, headers={"Retry-After": "3"}))
    assert not transport.send([ENTRY])
    assert transport.send([ENTRY])


def test_loggers_that_share_a_transport_share_a_pause(
    server: DevServer, make_logger: MakeLogger
) -> None:
    """If the server asks one logger to wait, the other loggers of the transport wait as well."""
    transport = Transport(server.api_key, server.api_secret, server.url)
    transport.sign_in()
    server.script(Fault(status=503, headers={"Retry-After": "1"}))
    loggers = [make_logger(f"app {n}", transport=transport, flush_interval=0.01) for n in range(3)]
    for logger in loggers:
        logger.info("x")
        server.wait_for_requests(2)
    until(lambda: server.count() == 3)
    times = [request.time for request in server.requests if request.endpoint == "batch"]
    assert len(times) == 4
    assert times[1] - times[0] >= 1
    for logger in loggers:
        logger.close()
    transport.close()
