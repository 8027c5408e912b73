"""Read the head of an HTTP answer, even if `http.client` would refuse the head.

`http.client` raises an error if an answer has more than 100 headers or a very long header. Then the
server might have stored the batch, and each retry would store the batch again.

What must stay true: if the status line of the final answer was read, the answer has this status,
whatever comes after the status line. After a head with an error, the connection is not used again.
"""

from __future__ import annotations

from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

# Answers with these statuses are interim answers. The range begins at 102: `http.client` itself
# skips status 100, and after status 101 the connection no longer uses HTTP.
_INTERIM = range(102, 200)
_MOST_INTERIM = 100  # Without this limit, a server could send interim answers forever.
_FINAL = range(200, 1000)

# Only these headers are passed to `http.client`. No other header changes what the client does.
_USED = frozenset(
    (
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"location",
        b"retry-after",
        b"transfer-encoding",
    )
)
_LONGEST_LINE = 8 * 1024  # A longer header line is left out.
_HEAD_LIMIT = 256 * 1024  # If a head has more bytes, the rest of the answer is ignored.
_END = (b"\r\n", b"\n", b"")


class FinalResponse(HTTPResponse):
    """An HTTP response that skips all interim answers. `http.client` skips only status 100.

    If status 102 or 103 counted as the final answer, the client would send the batch again.
    """

    def begin(self) -> None:
        for _ in range(_MOST_INTERIM):
            self._begin_once()
            if self.status not in _INTERIM:
                return
            self.headers = self.msg = None  # type: ignore[assignment] # `begin` reads nothing if these are set.
        raise HTTPException(f"more than {_MOST_INTERIM} interim answers")

    def _begin_once(self) -> None:
        stream: Any = self.fp
        head: Any = _Head(stream)
        self.fp = head  # `begin` calls only `readline` and `close`.
        try:
            super().begin()
        except (HTTPException, OSError):
            if self.status not in _FINAL:
                raise
            self._give_up_after_status()
        finally:
            left: Any = self.fp  # `begin` sets `fp` to None if it closes the connection.
            self.fp = left and stream
        if head.is_ambiguous:
            self.will_close = True

    def _give_up_after_status(self) -> None:
        """The status is known, but the head has an error: ignore the headers and the body."""
        self.headers = self.msg = HTTPMessage()
        self.version, self.chunked, self.length, self.will_close = 11, False, 0, True


class _Head:
    """Reads the head of an answer, and leaves out the header lines that the client does not use.

    `is_ambiguous` is True if two headers disagree about the length of the body. Then the end of the
    body is unknown, so the connection must be closed.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = 0
        self._is_in_headers = False
        self._length: bytes | None = None
        self.is_ambiguous = False

    def close(self) -> None:
        self._stream.close()

    def readline(self, limit: int) -> bytes:
        if not self._is_in_headers:
            self._is_in_headers = True
            return self._stream.readline(limit)
        while True:
            line = self._line()
            if line in _END:
                self._is_in_headers = False
                return line
            if used := self._used(line):
                return used

    def _line(self) -> bytes:
        """Read a header line to its end. If the line is too long, return only its beginning."""
        line = part = self._stream.readline(_LONGEST_LINE)
        self._size += len(part)
        while part and not part.endswith(b"\n") and self._size <= _HEAD_LIMIT:
            part = self._stream.readline(_LONGEST_LINE)
            self._size += len(part)
        if self._size > _HEAD_LIMIT:
            raise HTTPException(f"the head of the answer has more than {_HEAD_LIMIT} bytes")
        return line

    def _used(self, line: bytes) -> bytes:
        """Return the header line if the client uses the header. Return b"" to leave it out."""
        name, colon, value = line.partition(b":")
        if not colon or name.lower() not in _USED or not line.endswith(b"\n"):
            return b""
        if name.lower() == b"content-length":
            return self._first_length({each.strip() for each in value.split(b",")})
        return line

    def _first_length(self, values: set[bytes]) -> bytes:
        """Return the first Content-Length as a line. Each later one must have the same value."""
        known = self._length
        self._length = found = values.pop() if len(values) == 1 else b""
        if not found.isdigit() or known not in (None, found):
            self.is_ambiguous = True
        is_first = known is None and found.isdigit()
        return b"Content-Length: %s\r\n" % found if is_first else b""
