"""A server that answers each request with the same bytes, even if the bytes are not valid HTTP."""

from __future__ import annotations

import contextlib
import http.client
from typing import TYPE_CHECKING

from tests.support.listener import Listener

if TYPE_CHECKING:
    import socket


class RawServer(Listener):
    """Until the server is closed, it reads requests and sends `answer` after each request.

    Args:
        answer: The bytes to send after each request.
        closes: If True, close the connection after each answer. If False, wait for the client.

    Attributes:
        requests: The number of requests that have arrived.
        is_silent: If True, the server closes the connection instead of sending an answer.
        heads: The headers of each request.
    """

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        super().__init__()
        self._answer = answer
        self._closes = closes
        self.is_silent = False
        self.heads: list[http.client.HTTPMessage] = []
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        return len(self.heads)

    def _serve(self, client: socket.socket) -> None:
        # An error is expected here, because the client can close the connection at any time.
        with client, contextlib.suppress(OSError), client.makefile("rb") as stream:
            while stream.readline():
                headers = http.client.parse_headers(stream)
                stream.read(int(headers["Content-Length"] or 0))
                self.heads.append(headers)
                if self.is_silent:
                    return
                client.sendall(self._answer)
                if self._closes:
                    return
