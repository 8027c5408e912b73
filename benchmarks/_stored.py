"""What the sink has stored, read back after the measurement."""

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
    """One request, or one piece of a raw stream, as it arrived."""

    arrival: int  # ns, on the system's monotonic clock
    connection: int
    head_bytes: int
    path: str
    encoding: str
    body: bytes

    def text(self) -> bytes:
        """The body as it was before compression."""
        if self.encoding == "gzip":
            return gzip.decompress(self.body)
        if self.encoding == "deflate":
            return zlib.decompress(self.body)
        return self.body


@dataclass(frozen=True, slots=True)
class Stored:
    """All that arrived in one run."""

    requests: list[Request]

    @property
    def wire_bytes(self) -> int:
        """What the client sent, heads included."""
        return sum(request.head_bytes + len(request.body) for request in self.requests)

    @property
    def posts(self) -> int:
        """How many requests carried entries: 0 for a raw stream, which has none."""
        return sum(
            request.encoding != "raw" and not request.path.endswith(_HIDDEN_PATHS)
            for request in self.requests
        )

    def arrivals(self) -> dict[int, list[int]]:
        """For each entry's number, when it arrived: more than one time is a duplicate."""
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
            # An entry may be cut in two by the end of a read: what follows the last whole number
            # waits for the next piece.
            whole = rests[request.connection] + request.body
            last = max((match.end() for match in SESSION.finditer(whole)), default=0)
            rests[request.connection] = whole[last:]
            yield request.arrival, whole[:last]


def read(path: Path) -> Stored:
    """Reads what a sink has dumped."""
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
