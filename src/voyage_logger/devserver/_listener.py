"""The listening socket, and the thread that accepts its clients."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# With a small backlog, the system would refuse some clients that connect at the same time.
_BACKLOG = 512

# While the process can open no more files, `accept` fails at once and is called after this pause.
_EXHAUSTED_SECONDS = 0.05


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet, so that the system refuses clients."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # On Windows, this option would let two servers share a port.
        if os.name == "posix":  # pragma: no branch - the condition is false only on Windows
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Listener:
    """A thread that passes the clients of a bound socket to `take` until `close` is called."""

    def __init__(self, bound: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._socket = bound
        self._take = take
        self._stopped = threading.Event()
        # A byte through this pair ends the wait of the thread. On some systems, the wait does not
        # end when another thread closes the listening socket.
        self._waker, self._woken = socket.socketpair()
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._run, name="voyage-dev-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. The system resets the clients that were not accepted yet."""
        self._stopped.set()
        self._waker.send(b".")
        self._thread.join()
        # Without this shutdown, a copy of the socket in a forked child would still listen.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for each in (self._socket, self._waker, self._woken):
            each.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopped.is_set():
                selector.select()
                self._accept()

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return  # the client has gone, or `close` has woken the thread
        except OSError:
            self._stopped.wait(_EXHAUSTED_SECONDS)
            return
        client.setblocking(True)
        self._take(client)
