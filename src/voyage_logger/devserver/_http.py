"""Reads HTTP/1.1 requests strictly, and turns answers into bytes.

Python's `http.server` accepts requests that real servers can refuse: requests with folded headers,
requests with two `Content-Length` headers, and HTTP/0.9. So this module does not use `http.server`.
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

# If a body is larger than this limit, the server refuses the body without reading it. A smaller
# body is read completely: if bytes stay unread, a TCP reset can destroy the answer.
MAX_BODY_BYTES = 256 << 20
_MAX_LINE_BYTES = 64 << 10
_MAX_HEADERS = 100

_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) (HTTP/1\.[01])")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# A request must not repeat these headers: some servers use the first value, others use the last.
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


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a program error
    """Raised if a request must get an error answer. The answer has the vendor's format."""

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


class Vanished(Exception):  # noqa: N818 - a client can disconnect: this is not a program error
    """Raised if the connection ends before the request is complete."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are in lower case, and values of repeated headers are joined."""

    method: str
    target: str
    version: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The part of the request target before the query string."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The part of the request target after the first question mark."""
        return self.target.partition("?")[2]

    @property
    def wants_close(self) -> bool:
        """True if the client wants the connection to end after the answer."""
        return self.version == "HTTP/1.0" or has_close(self.headers.get("connection", ""))


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, body and headers of an answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants_close(self) -> bool:
        """True if the answer has the header `Connection: close`."""
        return any(n.lower() == "connection" and has_close(v) for n, v in self.headers.items())

    def encode(self, *, bodiless: bool = False, close: bool = False) -> tuple[bytes, bytes]:
        """Return the head (status line, headers) and the body, which is empty if `bodiless`."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", "Server: voyage-logger-dev"]
        if self.status not in BODILESS:
            lines += [f"Content-Type: {self.content_type}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if close and not self.wants_close:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "\r\n"]).encode("latin-1")
        return head, b"" if bodiless or self.status in BODILESS else self.body


def json_answer(status: int, value: object) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(value).encode())


def error_answer(
    status: int, message: str, *, error: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return an error answer with the vendor's members `error`, `message` and `status`."""
    value = {"error": error or _phrase(status), "message": message, "status": status}
    return Answer(status, json.dumps(value).encode(), headers=headers or {})


def read_request(line: bytes, reader: BinaryIO, send: Callable[[bytes], object]) -> Request:
    """Read the rest of a request after its first line. Call `send` if `100 Continue` is needed.

    Raises:
        Refusal: The request does not follow HTTP/1.1. The caller must end the connection.
        Vanished: The connection ends before the request is complete.
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
    """Return one line with its line break, or `b""` if the client has disconnected."""
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
    """Return True if the value of a Connection header contains the option `close`."""
    return "close" in [option.strip().lower() for option in connection.split(",")]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Scripted"
