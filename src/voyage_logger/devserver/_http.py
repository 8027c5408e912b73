"""HTTP/1.1 as bytes: a strict reader of requests, and answers that leave in one write.

Not `http.server`: that accepts folded headers, doubled `Content-Length` and HTTP/0.9, prints about
what it refuses, and costs the import of `email`. An oracle must be stricter than any real server.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING

from voyage_logger._base.wire import API_KEY_HEADER, API_SECRET_HEADER
from voyage_logger.devserver._faults import BODILESS, JSON_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

# A body above this is refused unread; one below is read even when it is refused, because an answer
# sent over an unread body is lost in a connection reset.
MAX_BODY_BYTES = 256 << 20
_MAX_LINE_BYTES = 64 << 10
_MAX_HEADERS = 100

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) (HTTP/1\.[01])")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# Where two values would be two meanings, and which one counts depends on the reader.
_SINGLE = frozenset(
    {
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "origin",
        API_KEY_HEADER,
        API_SECRET_HEADER,
    }
)


class Refusal(Exception):  # noqa: N818 - an answer in the making, not an error of the program
    """A request that gets an error answer, in the vendor's shape.

    Args:
        status: The answer's status.
        message: What is wrong with the request.
        error: A short title. Default: the status's own phrase.
        headers: Headers to add to the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.answer = error_answer(status, message, error=error, headers=headers)


class Vanished(Exception):  # noqa: N818 - the client's going is no error of the program
    """The client went away, or was cut off, before its request was whole."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names in lower case, values of repeated ones joined."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the target's first question mark."""
        return self.target.partition("?")[2]

    @property
    def wants_close(self) -> bool:
        """True if the client does not keep the connection for another request."""
        return self.version == "HTTP/1.0" or has_close(self.headers.get("connection", ""))


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and headers; `encode` makes them the bytes of one write."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants_close(self) -> bool:
        """True if a header of the answer says that the connection ends."""
        return any(n.lower() == "connection" and has_close(v) for n, v in self.headers.items())

    def encode(self, *, bodiless: bool = False, close: bool = False) -> tuple[bytes, bytes]:
        """The head and the body as they go to the wire.

        Args:
            bodiless: The answer to a HEAD request: the length is told, the body stays away.
            close: Tell the client that the connection ends.
        """
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", "Server: voyage-logger-dev"]
        if self.status not in BODILESS:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if close and not self.wants_close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
        return head, b"" if bodiless or self.status in BODILESS else self.body


def json_answer(status: int, value: object) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(value).encode())


def error_answer(
    status: int,
    message: str,
    *,
    error: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """An error in the shape of the vendor's: error, message, status."""
    value = {"error": error or _phrase(status), "message": message, "status": status}
    return Answer(status, json.dumps(value).encode(), headers=headers or {})


def read_request(line: bytes, reader: BinaryIO, send: Callable[[bytes], object]) -> Request:
    """Reads the rest of a request whose first line has come.

    Args:
        line: The request line, with its end.
        reader: Where the rest comes from.
        send: Sends the interim answer that `Expect: 100-continue` asks for.

    Raises:
        Refusal: It is not strict HTTP/1.1. What follows on the connection has no meaning then.
        Vanished: It ends early.
    """
    match = _REQUEST_LINE.fullmatch(_without_end(line))
    if match is None:
        raise Refusal(400, "the request line is not HTTP/1.1")
    method, target, version = (part.decode("ascii") for part in match.groups())
    headers = _read_headers(reader)
    if version == "HTTP/1.1" and "host" not in headers:
        raise Refusal(400, "an HTTP/1.1 request needs a Host header")
    size = _body_size(headers)
    if headers.get("expect", "").lower() == "100-continue" and version == "HTTP/1.1":
        send(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = reader.read(size)
    if len(body) < size:
        raise Vanished
    return Request(method, target, version, MappingProxyType(headers), body)


def read_line(reader: BinaryIO) -> bytes:
    """One line with its end; empty if the client has gone."""
    return reader.readline(_MAX_LINE_BYTES + 2)


def _without_end(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return line[:-2]
    if len(line) > _MAX_LINE_BYTES:
        raise Refusal(400, f"a line of the head is longer than {_MAX_LINE_BYTES} bytes")
    if line.endswith(b"\n"):
        raise Refusal(400, "a line of the head must end with CR LF")
    raise Vanished


def _read_headers(reader: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS + 1):
        line = _without_end(read_line(reader))
        if not line:
            return headers
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise Refusal(400, f"not a header: {line[:80]!r}")
        name, value = match[1].decode("ascii").lower(), match[2].decode("latin-1").strip(" \t")
        if name in headers and name in _SINGLE:
            raise Refusal(400, f"header {name} comes twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise Refusal(400, f"more than {_MAX_HEADERS} headers")


def _body_size(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Refusal(411, "send a Content-Length: a chunked body is not accepted")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise Refusal(400, f"Content-Length must be a number, not {text[:80]!r}")
    size = int(text.lstrip("0")[:20] or "0")
    if size > MAX_BODY_BYTES:
        raise Refusal(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    return size


def has_close(connection: str) -> bool:
    """True if the value of a Connection header names the option `close`."""
    return "close" in [option.strip().lower() for option in connection.split(",")]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Scripted"
