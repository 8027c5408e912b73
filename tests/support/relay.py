"""A relay between a client and the dev server. The relay decrypts TLS, or acts as an HTTP proxy."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from tests.support.listener import SECONDS, Listener

if TYPE_CHECKING:
    import ssl

_PIECE = 1 << 16


class Relay(Listener):
    """Until the relay is closed, it passes all data between clients and a port on this machine.

    Args:
        target: The port. If it is None, the relay is an HTTP proxy, and each request names a port.
        context: The TLS settings of the relay, or None for plain connections.

    Attributes:
        seen: All bytes from clients, which are plain text if the relay decrypts TLS.
    """

    def __init__(self, target: int | None = None, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._target = target
        self._context = context
        self.seen = bytearray()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # if a connection is closed, client and server notice it
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
                self._sockets.append(client)
            if self._target is None:
                self._proxy(client)
            else:
                self._join(client, self._connect(self._target))

    def _connect(self, port: int) -> socket.socket:
        upstream = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._sockets.append(upstream)
        return upstream

    def _proxy(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(_PIECE)
            if not piece:
                return
            head += piece
        self.seen += head
        method, target, rest = head.split(b" ", 2)
        if method == b"CONNECT":
            upstream = self._connect(int(target.rpartition(b":")[2]))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:  # handles only one request: the next request can be for another server
            origin, _, path = target.removeprefix(b"http://").partition(b"/")
            upstream = self._connect(int(origin.rpartition(b":")[2]))
            rest = rest.replace(b"Connection: keep-alive", b"Connection: close")
            upstream.sendall(b" ".join((method, b"/" + path, rest)))
        self._join(client, upstream)

    def _join(self, client: socket.socket, upstream: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(upstream, client))
        self._threads.append(back)
        back.start()
        self._pump(client, upstream, self.seen)

    def _pump(
        self, source: socket.socket, sink: socket.socket, seen: bytearray | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if seen is not None:
                    seen += piece
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
