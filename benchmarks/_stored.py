"""After the measurement, these classes read the data that the sink has stored."""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks._workload import SESSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HIDDEN_PATHS = ("sign-in-keys",)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, or one piece of a raw stream, as the sink received it."""

    arrival: int  # nanoseconds of the system's monotonic clock
    connection: int
    head_bytes: int
    path: str
    encoding: str
    body: bytes

    def text(self) -> bytes:
        """Return the decompressed body."""
        if self.encoding == "gzip":
            return gzip.decompress(self.body)
        if self.encoding == "deflate":
            return zlib.decompress(self.body)
        return self.body


@dataclass(frozen=True, slots=True)
class Stored:
    """All data that arrived in one run."""

    requests: list[Request]

    @property
    def wire_bytes(self) -> int:
        """Return the number of bytes that the client sent, including the heads of requests."""
        return sum(request.head_bytes + len(request.body) for request in self.requests)

    @property
    def posts(self) -> int:
        """Return the number of requests that carry entries. For a raw stream, the number is 0."""
        return sum(
            request.encoding != "raw" and not request.path.endswith(_HIDDEN_PATHS)
            for request in self.requests
        )

    def arrivals(self) -> dict[int, list[int]]:
        """Return when each entry arrived. An entry that arrived twice has two arrival times."""
        found: dict[int, list[int]] = defaultdict(list)
        for arrival, text in self._texts():
            for number in SESSION.findall(text):
                found[int(number)].append(arrival)
        return dict(found)

    def _texts(self) -> Iterator[tuple[int, bytes]]:
        rests: dict[int, bytes] = defaultdict(bytes)
        for request in self.requests:
            if request.encoding != "raw":
                yield request.arrival, request.text()
                continue
            # A piece of a raw stream can end in the middle of an entry. The bytes after the last
            # complete session text are parsed together with the next piece.
            whole = rests[request.connection] + request.body
            last = max((match.end() for match in SESSION.finditer(whole)), default=0)
            rests[request.connection] = whole[last:]
            yield request.arrival, whole[:last]


def read(path: Path) -> Stored:
    """Read the file that a sink has written."""
    requests = []
    with path.open("rb") as file:
        while line := file.readline():
            arrival, connection, head, body, encoding, target = line.decode().split()
            requests.append(
                Request(
                    int(arrival), int(connection), int(head), target, encoding, file.read(int(body))
                )
            )
    return Stored(requests)
