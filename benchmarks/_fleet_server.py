"""The server of the model: it does a stated amount of work a second, in the order of arrival.

What must stay true: it records all that reaches it, also what it refuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import ceil

from voyage_logger.transports._verdict import Answer

NO_CONNECTION = 0
_TOO_MANY = 429
_BUSY = 503


@dataclass(frozen=True)
class Trouble:
    """A time in which everything is answered otherwise than it should be.

    Attributes:
        start: When it begins, seconds.
        end: When it is over.
        status: What is answered. A 429 has a `Retry-After` that tells everybody when it is over.
    """

    start: float
    end: float
    status: int = NO_CONNECTION


class Load:
    """What reaches the server, second by second.

    Attributes:
        requests: Requests of both kinds.
        refused: Those among them that were not served.
        sign_ins: The sign-ins among them.
        work: What all of them ask for, in seconds of the server's time: at 1.0 it is used up.
        entries: Entries that were stored.
    """

    def __init__(self, seconds: float) -> None:
        bins = ceil(seconds) + 1
        self.requests, self.refused, self.sign_ins, self.entries = ([0] * bins for _ in range(4))
        self.work = [0.0] * bins


@dataclass
class Server:
    """Serves sign-ins and batches.

    Attributes:
        capacity: How many requests of 100 entries a second. Half the work of such a request is for
            the request, half for its entries.
        load: Where what comes is recorded.
        troubles: When it misbehaves.
        token_life: Seconds.
        sign_in_work: The work of a sign-in, in requests of 100 entries.
        latency: Seconds of an answer at an idle server, and of each refusal.
        patience: Seconds of work that may wait; whatever would wait longer is answered with 503.
    """

    capacity: float
    load: Load
    troubles: tuple[Trouble, ...] = ()
    token_life: float = 3600.0
    sign_in_work: float = 2.0
    latency: float = 0.05
    patience: float = 2.0
    ok: Answer = field(init=False)
    busy: Answer = field(init=False)
    _free_at: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        token = {"data": [{"access_token": "token", "expires_in": self.token_life}]}
        self.ok = answer(200, body=json.dumps(token).encode())
        self.busy = answer(_BUSY)

    def sign_in(self, now: float) -> tuple[Answer | None, float]:
        """The answer to a sign-in, None for no connection, and when it is there."""
        self.load.sign_ins[int(now)] += 1
        return self._serve(now, self.sign_in_work / self.capacity)

    def store(self, now: float, entries: int) -> tuple[Answer | None, float]:
        """The same for a batch."""
        reply, end = self._serve(now, (0.5 + 0.005 * entries) / self.capacity)
        if reply is self.ok:
            self.load.entries[int(now)] += entries
        return reply, end

    def _serve(self, now: float, work: float) -> tuple[Answer | None, float]:
        second, load = int(now), self.load
        load.requests[second] += 1
        load.work[second] += work
        for trouble in self.troubles:
            if trouble.start <= now < trouble.end:
                load.refused[second] += 1
                return _misbehave(trouble, now), now + self.latency
        if self._free_at > now + self.patience:
            load.refused[second] += 1
            return self.busy, now + self.latency
        self._free_at = max(self._free_at, now) + work
        return self.ok, self._free_at + self.latency


def answer(status: int, retry_after: str | None = None, body: bytes = b"") -> Answer:
    return Answer(status, "application/json", retry_after, None, body)


def _misbehave(trouble: Trouble, now: float) -> Answer | None:
    if trouble.status == NO_CONNECTION:
        return None
    is_told = trouble.status == _TOO_MANY
    return answer(trouble.status, str(ceil(trouble.end - now)) if is_told else None)
