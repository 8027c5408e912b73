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

# A small backlog would refuse some of the test clients that connect at the same time.
_BACKLOG = 512

# A pause between two calls of `accept`, which fails at once while no more files can be opened.
_EXHAUSTED_SECONDS = 0.05


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet, so that the system refuses clients.

    Args:
        host: A host name or an address.
        port: The port, or 0 to let the system choose a port.

    Raises:
        OSError: The host is unknown, or the port is in use or forbidden.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # on Windows, the option lets two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Listener:
    """The thread that accepts the clients of a bound socket until `close` is called.

    Args:
        bound: The socket. The listener closes the socket.
        take: Called with the socket of each new client, in the thread of the listener.
    """

    def __init__(self, bound: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._socket = bound
        self._take = take
        self._stopped = threading.Event()
        # A byte through this pair ends the wait of the thread. On some systems, the wait goes on
        # when another thread closes the listening socket.
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
        # A forked child may hold the socket too. Without the shutdown, the port would still listen.
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
