"""A model of many processes that log to one server. docs/fleet.md explains the terms.

What must stay true: the model makes no decision of its own. The code of the client decides when a
flush is due, how many entries a request has, how long to wait after an answer, and when to sign in.
The model only counts entries and seconds. `tests/delivery/test_fleet.py` compares each request of
the model with the requests of a real worker and a real transport.

Each request is one event of the model, because a process changes its state only at a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heapreplace
from math import floor, inf
from typing import TYPE_CHECKING

from voyage_logger._delivery import backoff
from voyage_logger._delivery.backoff import Failures
from voyage_logger._delivery.flush_interval import FlushInterval
from voyage_logger._delivery.request_size import BEHIND, RequestSize
from voyage_logger._queue.lanes import RECORD_OVERHEAD
from voyage_logger.transports._outcome import Kind, Outcome
from voyage_logger.transports._token import renewal, renewal_pause
from voyage_logger.transports._verdict import batch_outcome, sign_in_outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks._fleet_server import Server
    from voyage_logger.transports._verdict import Answer

MIB = 1 << 20
_BOOT_SECONDS = 2.0  # seconds from the end of a process to the first entry of the next process


@dataclass(frozen=True)
class App:
    """The entries and logger settings of each process. The defaults are those of the logger.

    Attributes:
        gap: The mean time from one entry to the next, in seconds.
        entry_bytes: The size of an entry.
    """

    gap: float = 1.0
    entry_bytes: int = 430
    batch_size: int = 100
    flush_interval: float = 5.0
    max_queue_size: int = 10_000
    max_queue_bytes: int = 32 * MIB
    max_batch_bytes: int = MIB
    shutdown_timeout: float = 5.0

    @property
    def most_queued(self) -> int:
        """The number of entries that fit into the queue."""
        in_memory = self.entry_bytes + RECORD_OVERHEAD
        return min(self.max_queue_size, self.max_queue_bytes // in_memory)


class Process:
    """One process, which makes the requests that its logger, worker and transport would make.

    Args:
        app: The entries and settings.
        server: The server.
        random: A source of random numbers.
        start: The time of the first entry.
        leaves: The time at which the process ends and a new process starts.

    Attributes:
        logged, delivered, dropped, queued, in_flight: The number of entries of each kind.
    """

    __slots__ = (
        "_answered",
        "_app",
        "_boarding",
        "_counted",
        "_expires_at",
        "_failures",
        "_first",
        "_flush_interval",
        "_gap",
        "_is_starting",
        "_leaves",
        "_random",
        "_renew_at",
        "_server",
        "_size",
        "delivered",
        "dropped",
        "in_flight",
        "logged",
        "queued",
    )  # fmt: skip

    def __init__(
        self,
        app: App,
        server: Server,
        random: Callable[[], float],
        start: float,
        leaves: float = inf,
    ) -> None:
        self._app, self._server, self._random, self._leaves = app, server, random, leaves
        self.logged = self.delivered = self.dropped = self.queued = self.in_flight = 0
        self._gap = app.gap * (
            0.5 + random()
        )  # the gaps differ, so that apps do not log in the same rhythm
        self._begin(start)

    def _begin(self, start: float) -> None:
        self._first, self._counted = start, 0
        self._boarding = self._answered = start
        self._flush_interval = FlushInterval(self._app.flush_interval)
        self._size = RequestSize(self._app.batch_size, self._app.max_batch_bytes)
        self._failures = Failures()
        self._renew_at = self._expires_at = -inf
        self._is_starting = True

    @property
    def is_whole(self) -> bool:
        """True if the counts contain each entry exactly once."""
        known = self.delivered + self.dropped + self.queued + self.in_flight
        return self.logged == known and min(self.queued, self.in_flight) >= 0

    def step(self, now: float) -> float:
        """Make the request that is due, and return the time of the next request."""
        if now >= self._leaves:
            return self._leave(now)
        return min(self._act(now), max(self._leaves, self._answered))

    def _act(self, now: float) -> float:
        if self._is_starting:  # the worker signs in first, and continues if the sign-in fails
            self._is_starting = False
            self._sign_in(now)
            return self._next_round(self._answered)
        if not self.in_flight:
            if now < self._boarding:  # the end of the process was delayed
                return self._boarding
            self._take(now, is_ending=False)
        outcome = self._attempt(now)
        if outcome is None:
            return self._answered
        if outcome:
            return self._next_round(self._answered)
        return self._answered + self._pause(outcome)

    def _attempt(self, now: float) -> Outcome | None:
        """Return the outcome of the batch in flight, or None if the next step sends the batch."""
        if now >= self._renew_at:
            outcome = self._sign_in(now)
            return None if outcome or self._can_renew_later(outcome) else outcome
        reply, self._answered = self._server.store(now, self.in_flight)
        if reply is self._server.ok:
            self._failures.make_up()
            self.delivered += self.in_flight
            self.in_flight = 0
            return _DONE
        return _understand(reply, batch_outcome)

    def _sign_in(self, now: float) -> Outcome:
        reply, self._answered = self._server.sign_in(now)
        if reply is self._server.ok:
            self._renew_at = now + renewal(self._server.token_life, self._random)
            self._expires_at = now + self._server.token_life
            return _DONE
        return _understand(reply, sign_in_outcome)

    def _can_renew_later(self, failure: Outcome) -> bool:
        """Do what `Transport` does after a failed renewal: go on with a token that is valid."""
        remaining = self._expires_at - self._answered
        if remaining <= 0:
            return False
        pause = max(renewal_pause(remaining, self._random), failure.retry_after or 0.0)
        self._renew_at = min(self._answered + pause, self._expires_at)
        return True

    def _pause(self, outcome: Outcome) -> float:
        attempt = self._failures.add(outcome.kind)
        return backoff.pause(outcome, attempt, self._random)

    def _next_round(self, now: float) -> float:
        """Return the time at which `Worker._look` decides to send."""
        self._count(now)
        if not self.queued:
            self._flush_interval.rest()
            now = self._arrival(self._counted)
            self._count(now)
        full_at = self._arrival(self._counted + self._app.batch_size - self.queued - 1)
        due = now + self._flush_interval.remaining(now, self._random)
        self._boarding = max(now, min(due, full_at))
        return self._boarding

    def _take(self, now: float, *, is_ending: bool) -> None:
        """Do what `Worker._run` does before its first attempt to send a batch."""
        self._count(now)
        self._flush_interval.begin(now, self._random)
        is_behind = is_ending or self.queued / self._app.most_queued > BEHIND
        self._size.adapt(self.queued, is_behind=is_behind)
        fitting = self._size.bytes // (self._app.entry_bytes + 1)
        self.in_flight = min(self.queued, self._size.entries, fitting)
        self.queued -= self.in_flight

    def _leave(self, now: float) -> float:
        """Send the waiting entries, as a process does at its end. Then the next process starts."""
        if not self.in_flight:
            self._take(min(now, self._leaves), is_ending=True)
            if not self.in_flight:
                return self._succeed(now)
        outcome = self._attempt(now)
        if outcome is None or outcome:
            return self._answered
        again, deadline = now + self._pause(outcome), self._leaves + self._app.shutdown_timeout
        return again if again < deadline else self._succeed(deadline)

    def _succeed(self, now: float) -> float:
        self.dropped += self.queued + self.in_flight
        self.queued = self.in_flight = 0
        self._leaves = inf
        self._begin(now + _BOOT_SECONDS)
        return self._first

    def _arrival(self, number: int) -> float:
        """Return the time at which an entry is logged. The first entry has the number 0."""
        return self._first + number * self._gap

    def _count(self, now: float) -> None:
        """Queue the entries that were logged until now, and shed entries from a full queue."""
        new = floor((now - self._first) / self._gap + 1e-9) + 1 - self._counted
        if new > 0:
            self._counted += new
            self.logged += new
            self.queued += new
            too_many = self.queued - self._app.most_queued
            if too_many > 0:
                self.dropped += too_many
                self.queued -= too_many


_DONE = Outcome(Kind.DELIVERED)
_NO_CONNECTION = Outcome(Kind.TRY_AGAIN, "no connection")


@lru_cache(maxsize=1000)
def _understand(reply: Answer | None, understand: Callable[[Answer, float], Outcome]) -> Outcome:
    """Return the outcome of an answer. No answer means that the connection was refused.

    Outcomes can be cached, because a `Retry-After` in seconds does not depend on the clock.
    """
    return _NO_CONNECTION if reply is None else understand(reply, 0.0)


def run(processes: Sequence[Process], starts: Sequence[float], until: float) -> int:
    """Run the model until the time `until`, in seconds, and return the number of requests."""
    events = [(start, number) for number, start in enumerate(starts)]
    heapify(events)
    count = 0
    while True:
        now, number = events[0]
        if now >= until:
            return count
        count += 1
        heapreplace(events, (processes[number].step(now), number))
