"""A server that answers each request with the same bytes, even if the bytes are not valid HTTP."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading

_SECONDS = 10  # each wait has this time limit, but is usually much shorter


class RawServer:
    """Until the server is closed, it reads requests and sends `answer` after each request.

    Args:
        answer: The bytes to send after each request.
        closes: If True, close the connection after each answer. If False, wait for the client.

    Attributes:
        connections: The number of connections that clients have opened.
        requests: The number of requests that have arrived.
        is_silent: If True, the server closes the connection instead of sending an answer.
        heads: The headers of each request.
    """

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self._answer = answer
        self._closes = closes
        self.is_silent = False
        self.heads: list[http.client.HTTPMessage] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._sockets) - 1

    @property
    def requests(self) -> int:
        return len(self.heads)

    def __enter__(self) -> RawServer:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The server is closed.
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_SECONDS)
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
