"""The client rarely signs in, and works even if the system clock is changed."""

from __future__ import annotations

import itertools
import json
import textwrap
import threading
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import sign_ins, until
from tests.support.processes import python
from voyage_logger import AuthenticationError, Transport
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger.devserver import DevServer, Fault
from voyage_logger.devserver._http import Refusal

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageError
    from voyage_logger.devserver._http import Answer, Request

HOUR = 3600.0


def test_loggers_that_share_a_transport_share_a_token(
    server: DevServer, make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If eight loggers share a transport, they sign in once, and once more after a 401."""
    transport = Transport(server.api_key, server.api_secret, server.url)
    loggers = [make_logger(f"app {n}", transport=transport, flush_interval=600) for n in range(8)]

    def all_deliver() -> None:
        threads = []
        for logger in loggers:
            logger.info("x")
            threads.append(threading.Thread(target=logger.flush, args=(20,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_deliver()
    assert (server.count(), sign_ins(server)) == (8, 1)
    server.revoke_tokens()
    backend = server._running()
    take_batch, all_refused = backend.take_batch, threading.Barrier(8)

    def take_and_hold(request: Request) -> Answer:
        try:
            return take_batch(request)
        except Refusal:  # The server refuses all requests before it answers any.
            all_refused.wait(20)
            raise

    monkeypatch.setattr(backend, "take_batch", take_and_hold)
    all_deliver()
    assert [request.status for request in server.requests].count(401) == 8
    assert (server.count(), sign_ins(server)) == (16, 2)
    assert transport.sign_ins == 2


class Day:
    """Simulates hours in a moment: a wait takes no time and only moves the clock.

    An instance also replaces the queue's condition, so that no wait of the worker takes time.
    """

    END = 2 * HOUR + 100
    RIGHT = (HOUR, HOUR + 100)

    def __init__(self) -> None:
        self.now = 0.0
        self.server = DevServer(clock=self)
        self.queue = MemoryQueue(1_000, 1 << 20)
        self.worker: Worker
        self._refusals = 0

    def __call__(self) -> float:
        return self.now

    @property
    def is_right(self) -> bool:
        return self.RIGHT[0] <= self.now < self.RIGHT[1]

    def wait(self, timeout: float | None = None) -> bool:
        was_right = self.is_right
        self.now += 1.0 if timeout is None else timeout
        if timeout is None:  # The app logs one entry per second.
            self.queue.append(
                b'{"message":"x","level":"info","app_name":"a","environment":"e"}', INFO
            )
        if was_right and not self.is_right:
            self.server.revoke_tokens()
        self.spoil_sign_in()
        if self.now >= self.END:
            self.worker.orders.stop()
        return False

    def spoil_sign_in(self) -> None:
        """Refuse the next sign-in while the credentials are wrong."""
        if not self.is_right and sign_ins(self.server) >= self._refusals:
            self.server.script_sign_in(Fault(status=401))
            self._refusals = sign_ins(self.server) + 1

    def notify(self, n: int = 1) -> None:
        """Do nothing, because no thread waits."""

    notify_all = notify


@pytest.mark.parametrize("seed", range(3))
def test_hours_of_wrong_credentials(
    make_logger: MakeLogger, capfd: pytest.CaptureFixture[str], seed: int
) -> None:
    """Wrong credentials cause at most 130 sign-ins an hour. Each change is reported once."""
    day = Day()
    errors: list[VoyageError] = []
    with day.server as server:
        transport = Transport(server.api_key, server.api_secret, server.url, clock=day)
        settings = make_logger(transport=transport, flush_interval=1)._settings
        day.worker = Worker(
            day.queue,
            transport,
            settings,
            Diagnostics(errors.append, clock=day),
            write_notice=lambda _fields: None,
            clock=day,
            random=Random(seed).random,
        )
        day.queue.changed = day  # type: ignore[assignment]
        day.spoil_sign_in()
        day.queue.append(b'{"message":"x","level":"info","app_name":"a","environment":"e"}', INFO)
        day.worker.start()
        until(lambda: not day.worker.is_running, timeout=30)

        requests = [request for request in server.requests if request.endpoint == "sign-in"]
        transport.close()
        refused = [request.time for request in requests if request.status == 401]
        hours = [time for time in refused if time < HOUR], [time for time in refused if time > HOUR]
        for attempts in hours:
            # The first seven pauses grow to half a minute. Later pauses last at least 30 seconds.
            # Three more attempts are possible: the first sign-in of the worker, the first batch,
            # and an attempt during the change of the credentials.
            assert HOUR / 60 <= len(attempts) <= 7 + HOUR / 30 + 3
            pauses = [b - a for a, b in itertools.pairwise(attempts)]
            for number, pause in enumerate(pauses[1:]):
                assert min(60, 0.5 * 2**number) / 2 <= pause + 1e-6
            assert max(pauses) <= 60 + 1e-6
        granted = [request.time for request in requests if request.status == 200]
        assert len(granted) == 1
        assert (
            HOUR <= granted[0] <= HOUR + 60
        )  # Entries are delivered soon after the credentials become correct.
        assert server.count() > 10
    # Each change of the credentials is reported once.
    assert [type(error) for error in errors] == [AuthenticationError] * 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "entries are waiting",
        "entries are being delivered again",
        "entries are waiting",
    ]


# For each clock of the module `time`: a function to change the clock, and one to reset it.
CLOCKS = {
    "wall clock that jumps": """\
        import itertools
        jumps = itertools.cycle([0.0, 4e9, 1.0, 2e9])
        time.time = lambda: next(jumps)
        time.time_ns = lambda: int(next(jumps)) * 10**9
        """,
    "a year at each look": """\
        from freezegun import freeze_time
        freezing = freeze_time("2031-05-05", auto_tick_seconds=365 * 24 * 3600)
        freezing.start()
        """,
    "frozen, and moved back": """\
        from freezegun import freeze_time
        freeze_time("2031-05-05").start()
        logger.info("in the future")
        assert logger.flush(20)
        freeze_time("1999-05-05").start()
        """,
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_clock_set_back_and_forth_has_no_effect(server: DevServer, clock: str) -> None:
    """If the system clock is set back or forward, delivery, tokens and time limits still work."""
    fine = [Fault()] * (4 if "back" in clock else 3)
    server.script(Fault(), Fault(status=503), *fine, *[Fault(hang=True)] * 20)
    code = """\
        import json, os, time
        from voyage_logger import VoyageLogger
        logger = VoyageLogger("app", flush_interval=0.05, shutdown_timeout=0.2, timeout=(1, 0.5))
        logger._pipeline._worker._random = lambda: 0.0
        logger.info("before")
        assert logger.flush(20)
        ruler = os.times  # which nobody touches
        """
    rest = """\
        for number in range(2):
            logger.info("%d", number)
            while logger.stats().pending: os.sched_yield()  # by the interval, without a flush
        logger.info("2")
        assert logger.flush(20)
        sign_ins = logger.stats().sign_ins
        begun = ruler().elapsed
        logger.info("kept waiting")
        result = logger.flush(0.2)
        flushed = ruler().elapsed
        is_flushed = bool(result)
        result = logger.close(0.2)
        closed = ruler().elapsed
        print(json.dumps([sign_ins, is_flushed, flushed - begun, closed - flushed]), flush=True)
        other = VoyageLogger("app", shutdown_timeout=0.2)
        other.info("kept waiting at exit")
        """
    program = "".join(map(textwrap.dedent, (code, CLOCKS[clock], rest)))
    done = python("-c", program, environ=server.environ)
    assert done.returncode == 0, done.stderr
    number, is_flushed, flushing, closing = json.loads(done.stdout)
    assert (number, is_flushed) == (1, False)
    assert 0.1 < flushing < 5
    assert 0.1 < closing < 5
    messages = [e["message"] for e in server.entries() if e["message"] != "in the future"]
    assert messages == ["before", "0", "1", "2"]
    assert "1 entry lost (1 info): 1 closed" in done.stderr
    assert "1 entry lost (1 info): 1 shutdown" in done.stderr
