"""The memory of what was asked and answered, and the place where tests wait for it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The newest requests are kept, up to both bounds.
KEPT_REQUESTS = 10_000
KEPT_BODY_BYTES = 64 << 20

Endpoint = Literal["sign-in", "batch", "dev", "unknown"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request and its fate.

    Attributes:
        endpoint: "sign-in", "batch", "dev" (the JSON API) or "unknown".
        method: As sent.
        path: The target as sent, with its query.
        headers: Names in lower case.
        body: As sent: a gzip body stays one.
        status: What was answered; None for a hang or a reset.
        time: When it was handled, on the server's clock, in seconds.
    """

    endpoint: Endpoint
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    time: float


class Journal:
    """The requests of one server, newest last, and counts of all there ever were.

    Thread-safe: one condition guards all fields, and is notified at each request and each batch.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: deque[RecordedRequest] = deque()
        self._kept_bytes = 0
        self._answers: Counter[tuple[Endpoint, int | None]] = Counter()

    def record(self, request: RecordedRequest) -> None:
        """Notes a request, and forgets the oldest ones beyond the bounds."""
        with self._changed:
            self._kept.append(request)
            self._kept_bytes += len(request.body)
            self._answers[request.endpoint, request.status] += 1
            while len(self._kept) > KEPT_REQUESTS or self._kept_bytes > KEPT_BODY_BYTES:
                self._kept_bytes -= len(self._kept.popleft().body)
            self._changed.notify_all()

    def notify(self) -> None:
        """Wakes those who wait for something that is counted elsewhere."""
        with self._changed:
            self._changed.notify_all()

    def requests(self) -> list[RecordedRequest]:
        """The kept requests, oldest first."""
        with self._changed:
            return list(self._kept)

    def count(self, endpoint: Endpoint | None = None) -> int:
        """How many requests there ever were, at one endpoint or at all."""
        with self._changed:
            return sum(n for (at, _), n in self._answers.items() if endpoint in (None, at))

    def answers(self) -> dict[tuple[Endpoint, int | None], int]:
        """How often each endpoint gave each answer; None stands for a hang or a reset."""
        with self._changed:
            return dict(self._answers)

    def clear(self) -> None:
        """Forgets all requests and counts."""
        with self._changed:
            self._kept.clear()
            self._kept_bytes = 0
            self._answers.clear()

    def wait_until(
        self, count: Callable[[], int], least: int, timeout: float, nouns: tuple[str, str]
    ) -> None:
        """Waits until a count is high enough.

        Args:
            count: Reads it; called under the journal's lock, so it must not block.
            least: What to wait for.
            timeout: Seconds.
            nouns: What is counted, for the message: the word for one, and for more.

        Raises:
            TimeoutError: It is not reached in time; says how far it came, and what was answered.
        """
        with self._changed:
            if self._changed.wait_for(lambda: count() >= least, timeout):
                return
            answers = ", ".join(
                f"{endpoint} {status or 'unanswered'}: {n}"
                for (endpoint, status), n in self._answers.items()
            )
            raise TimeoutError(
                f"waited {timeout:g} s for {least} {nouns[least != 1]}, but there are {count()}"
                f" (answers so far: {answers or 'none'})"
            )
