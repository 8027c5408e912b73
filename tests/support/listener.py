"""What the servers of the tests share: they accept connections on a port of this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

SECONDS = 10  # each wait has this time limit, but is usually much shorter


class Listener(ABC):
    """Until it is closed, it serves each connection in a thread. A subclass defines `_serve`.

    Attributes:
        connections: The number of connections that clients have opened.
        port: The port on which the listener accepts connections.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self.connections = 0
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # The listener is closed.
            while True:
                client, _ = self._listener.accept()
                client.settimeout(SECONDS)
                self.connections += 1
                self._sockets.append(client)
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    @abstractmethod
    def _serve(self, client: socket.socket) -> None:
        """Serve one connection, until the client or the listener closes the connection."""
