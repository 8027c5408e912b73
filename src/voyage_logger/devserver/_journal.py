"""The journal records requests and answers, so that tests can wait for requests and entries."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEPT_REQUESTS = 10_000
KEPT_BYTES = 64 << 20

_HEADER_BYTES = 200  # The memory that CPython needs for a header in addition to the text.

Endpoint = Literal["sign-in", "batch", "dev", "unknown"]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request, and the status of its answer.

    Attributes:
        endpoint: "sign-in", "batch", "dev" (the JSON API) or "unknown".
        method: The HTTP method.
        path: The path with the query string.
        headers: The headers, with names in lower case.
        body: The body as it was sent. A gzip body is not decompressed.
        status: The status of the answer, or None if a scripted fault prevented the answer.
        time: When the request was recorded, in seconds of the server's clock.
    """

    endpoint: Endpoint
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    time: float


class Journal:
    """The newest requests of one server, and the counts of all requests.

    Thread-safe: one condition variable guards all attributes. Each new request and each stored
    batch wakes all waiting threads.

    The limit of the bytes also counts the headers and the path of each request. Otherwise a client
    without a key could fill the memory: a request can have 6 MB of headers.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._kept: deque[RecordedRequest] = deque()
        self._kept_bytes = 0
        self._answers: Counter[tuple[Endpoint, int | None]] = Counter()

    def record(self, request: RecordedRequest) -> None:
        """Add a request. If the journal is too large, remove the oldest requests."""
        with self._changed:
            self._kept.append(request)
            self._kept_bytes += _size_of(request)
            self._answers[request.endpoint, request.status] += 1
            while len(self._kept) > KEPT_REQUESTS or self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= _size_of(self._kept.popleft())
            self._changed.notify_all()

    def notify(self) -> None:
        """Wake the threads that wait for stored entries."""
        with self._changed:
            self._changed.notify_all()

    def requests(self) -> list[RecordedRequest]:
        """Return the recorded requests, oldest first."""
        with self._changed:
            return list(self._kept)

    def count(self, endpoint: Endpoint | None = None) -> int:
        """Return the number of requests so far, for one endpoint or for all endpoints."""
        with self._changed:
            return sum(n for (at, _), n in self._answers.items() if endpoint in (None, at))

    def answers(self) -> dict[tuple[Endpoint, int | None], int]:
        """Count requests by endpoint and status. The status is None if there was no answer."""
        with self._changed:
            return dict(self._answers)

    def clear(self) -> None:
        """Remove all requests and counts."""
        with self._changed:
            self._kept.clear()
            self._kept_bytes = 0
            self._answers.clear()

    def wait_until(
        self, count: Callable[[], int], least: int, timeout: float, nouns: tuple[str, str]
    ) -> None:
        """Wait until `count()` is at least `least`. After `timeout` seconds, raise TimeoutError.

        The journal holds its lock while it calls `count`, so `count` must not block.
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


def _size_of(request: RecordedRequest) -> int:
    """Return about how many bytes of memory a recorded request needs."""
    texts = len(request.method) + len(request.path) + len(request.body)
    headers = sum(len(name) + len(value) + _HEADER_BYTES for name, value in request.headers.items())
    return texts + headers
