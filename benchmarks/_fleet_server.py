"""The server of the model, which does a fixed amount of work a second.

The server handles requests in the order of arrival.

What must stay true: the server records all requests, including refused requests.
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
    """A period in which the server answers all requests with an error.

    Attributes:
        start: The time at which the errors begin, in seconds.
        end: The time at which the errors end, in seconds.
        status: The status of the answers. For 429, `Retry-After` is the time until `end`.
    """

    start: float
    end: float
    status: int = NO_CONNECTION


class Load:
    """The load on the server in each second.

    Attributes:
        requests: The number of requests in each second, including sign-ins.
        refused: The number of refused requests in each second.
        sign_ins: The number of sign-ins in each second.
        work: The load of each second. At a load of 1.0, the server is fully busy.
        entries: The number of stored entries in each second.
    """

    def __init__(self, seconds: float) -> None:
        bins = ceil(seconds) + 1
        self.requests, self.refused, self.sign_ins, self.entries = ([0] * bins for _ in range(4))
        self.work = [0.0] * bins


@dataclass
class Server:
    """A server for sign-ins and batches.

    Attributes:
        capacity: The number of requests with 100 entries that the server can handle in a second.
            The request itself takes half of the work, and its entries take the other half.
        load: The record of the load.
        troubles: The periods in which the server answers with errors, or refuses connections.
        token_life: Seconds until a token expires.
        sign_in_work: The work of a sign-in, in requests of 100 entries.
        latency: Seconds from a request to the answer of an idle server, or to a refusal.
        patience: The longest wait of a request, in seconds. Longer waits are refused with 503.
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
        """Return the status for a sign-in (None for no connection), and the time of the answer."""
        self.load.sign_ins[int(now)] += 1
        return self._serve(now, self.sign_in_work / self.capacity)

    def store(self, now: float, entries: int) -> tuple[Answer | None, float]:
        """Return the status for a batch (None for no connection), and the time of the answer."""
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
