"""The listening socket, and the thread that accepts clients."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# With a small backlog, the operating system refuses clients if many connect at the same time.
_BACKLOG = 512

# If the process has too many open files, `accept` fails. The thread tries again after this pause.
_EXHAUSTED_SECONDS = 0.05


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket. The socket does not listen yet, so clients cannot connect."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # On Windows, SO_REUSEADDR would let two servers share a port.
        if os.name == "posix":  # pragma: no branch - The condition is false only on Windows.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Listener:
    """A thread that accepts clients on a bound socket, and passes each client to `take`."""

    def __init__(self, bound: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._socket = bound
        self._take = take
        self._stopped = threading.Event()
        # `close` sends a byte through this socket pair to wake the thread. On some systems, closing
        # the listening socket does not wake the thread.
        self._waker, self._woken = socket.socketpair()
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._run, name="voyage-dev-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening. The operating system resets connections that were not accepted yet."""
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
            return  # The client has disconnected, or `close` has woken the thread.
        except OSError:
            self._stopped.wait(_EXHAUSTED_SECONDS)
            return
        client.setblocking(True)
        self._take(client)
