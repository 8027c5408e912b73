"""The listening socket and the one thread that takes clients from it."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# More than a crowd of test clients that connect at once; the default of 5 would refuse some.
_BACKLOG = 512

# When no more files can be opened, `accept` fails at once, again and again.
_EXHAUSTED_SECONDS = 0.05


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not yet listening: clients are refused.

    Args:
        host: A name or an address.
        port: 0 to let the system choose.

    Raises:
        OSError: The host is unknown, or the port is in use or forbidden.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # on Windows it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


class Listener:
    """Listens on a bound socket until closed.

    Args:
        bound: The socket; it belongs to the listener from now on.
        take: Called with each new client, in the listener's thread.
    """

    def __init__(self, bound: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._socket = bound
        self._take = take
        self._stopped = threading.Event()
        # What is sent through the pair ends the thread's wait: closing a socket under `accept`
        # does not, on every system.
        self._waker, self._woken = socket.socketpair()
        self._socket.setblocking(False)
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._run, name="voyage-dev-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening. Clients that were not yet taken are reset by the system."""
        self._stopped.set()
        self._waker.send(b".")
        self._thread.join()
        # A forked child that holds the socket would keep the port listening after a mere close.
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
            return  # the client went away again, or it was the waker
        except OSError:
            self._stopped.wait(_EXHAUSTED_SECONDS)
            return
        client.setblocking(True)
        self._take(client)
