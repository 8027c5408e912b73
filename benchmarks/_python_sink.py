"""The sink for machines without a C compiler. The commands and answers are the same as in sink.c.

Each connection has a thread, which receives bodies directly into new memory. This sink is slower
than sink.c. The note below the table of `deliver` shows how many entries the sink can receive.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = b'{"data":[{"access_token":"sink-token","token_type":"bearer","expires_in":3600}]}'
_FINE = b'{"status":1,"success":true}'
_HEAD_END = b"\r\n\r\n"

_Record = tuple[int, int, int, bytes, str, str]  # (arrival, connection, head, body, encoding, path)


class _Server:
    """The stored requests, and the settings for answers. The lock guards all fields."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.records: list[_Record] = []
        self.delay = 0.0
        self.swallows = False
        self.open: set[socket.socket] = set()
        self.port = 0
        self._listener: socket.socket | None = None
        self._numbers = 0
        self.open_port()

    def open_port(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close_port(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)  # `shutdown` ends `accept`, but `close` does not
            listener.close()

    def hang_up(self) -> None:
        with self.lock:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # the connection has already ended
                    continue

    def keep(self, record: _Record) -> None:
        with self.lock:
            self.records.append(record)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # another thread has closed the port
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self._numbers += 1
                self.open.add(connection)
            serve = _Connection(self, connection, self._numbers).serve
            threading.Thread(target=serve, daemon=True).start()


class _Connection:
    def __init__(self, server: _Server, connection: socket.socket, number: int) -> None:
        self._server = server
        self._socket = connection
        self._number = number

    def serve(self) -> None:
        try:
            rest = self._socket.recv(65536)
            if rest and not rest[:1].isalpha():
                self._serve_raw(rest)
            while rest:
                rest = self._serve_one(rest)
        except OSError:  # the client or the sink has closed the connection
            pass
        finally:
            with self._server.lock:
                self._server.open.discard(self._socket)
            self._socket.close()

    def _serve_raw(self, piece: bytes) -> None:
        while piece:
            if not self._server.swallows:
                record = (time.monotonic_ns(), self._number, 0, piece, "raw", "-")
                self._server.keep(record)
            piece = self._socket.recv(65536)

    def _serve_one(self, rest: bytes) -> bytes:
        """Serve a request that begins with `rest`; return the first bytes of the next request."""
        while _HEAD_END not in rest:
            more = self._socket.recv(65536)
            if not more:
                return b""
            rest += more
        head, _, rest = rest.partition(_HEAD_END)
        path = head.split(b" ", 2)[1].decode()
        headers = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        body = bytearray(int(headers.get(b"content-length", b"0")))
        mine = min(len(rest), len(body))
        body[:mine] = rest[:mine]
        view = memoryview(body)[mine:]
        while view:
            got = self._socket.recv_into(view)
            if not got:
                return b""
            view = view[got:]
        if not self._server.swallows:
            encoding = headers.get(b"content-encoding", b"-").strip().decode()
            size = len(head) + len(_HEAD_END)
            record = (time.monotonic_ns(), self._number, size, bytes(body), encoding, path)
            self._server.keep(record)
            if self._server.delay:
                time.sleep(self._server.delay)
            self._socket.sendall(_answer(path))
        return rest[mine:] or self._socket.recv(65536)


def _answer(path: str) -> bytes:
    status, kind, body = b"200 OK", b"application/json", _FINE
    if path.endswith("sign-in-keys"):
        body = _TOKEN
    elif path.endswith("/v1/logs"):
        kind, body = b"application/x-protobuf", b""
    elif path == "/":
        status, body = b"202 Accepted", b""
    return b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        kind,
        len(body),
        body,
    )


def _dump(server: _Server, path: str) -> None:
    with server.lock, Path(path).open("wb") as file:
        for arrival, connection, head, body, encoding, target in server.records:
            file.write(f"{arrival} {connection} {head} {len(body)} {encoding} {target}\n".encode())
            file.write(body)


def _reset(server: _Server, ms: str) -> None:
    server.hang_up()
    with server.lock:
        server.records.clear()
    _heal(server, ms)


def _heal(server: _Server, ms: str) -> None:
    server.swallows, server.delay = False, float(ms) / 1000
    server.open_port()


def _swallow(server: _Server, _: str) -> None:
    server.swallows = True


def _refuse(server: _Server, _: str) -> None:
    server.close_port()
    server.hang_up()


def _count(server: _Server, _: str) -> str:
    with server.lock:
        return f"{len(server.records)} {sum(r[2] + len(r[3]) for r in server.records)}"


_ORDERS: dict[str, Callable[[_Server, str], str | None]] = {
    "reset": _reset,
    "heal": _heal,
    "swallow": _swallow,
    "refuse": _refuse,
    "count": _count,
    "dump": _dump,
}

if __name__ == "__main__":
    _server = _Server()
    print(_server.port, flush=True)
    for _line in sys.stdin:
        _order, _, _argument = _line.strip().partition(" ")
        print(_ORDERS[_order](_server, _argument) or "done", flush=True)
