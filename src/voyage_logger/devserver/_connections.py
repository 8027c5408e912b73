"""The open connections, their states, and the rules for closing a connection.

Only the thread that serves a connection closes its socket. Other threads can shut down the socket,
which wakes the serving thread.

What must stay true: after a connection is dropped, the server handles no more requests of this
connection. After an answer is sent, `drop_idle` can immediately drop the connection of this client.
"""

from __future__ import annotations

import contextlib
import enum
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER_SECONDS = 1.0  # The longest time to write an answer to a client that reads slowly.
_JOIN_SECONDS = 5.0

# With SO_LINGER set to 0 seconds, `close` sends a TCP reset. The value of SO_LINGER contains two C
# shorts on Windows, and two C ints on other systems.
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class _State(enum.Enum):
    IDLE = enum.auto()  # The server waits for a request.
    BUSY = enum.auto()  # The server has read the first line of a request.
    ANSWERING = enum.auto()  # The server writes the answer.
    HANGING = enum.auto()  # The request gets no answer.
    DROPPED = enum.auto()  # Another thread has shut down the socket.


@dataclass(eq=False, slots=True)
class Connection:
    """The connection of one client. The lock in `Connections` guards `state` and `is_last`."""

    socket: socket.socket
    state: _State = _State.IDLE
    is_last: bool = False  # True if the connection ends after the current request

    def shut(self) -> None:
        """Shut down the socket, even if a forked child has a copy of the socket. Thread-safe."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close the socket with a TCP reset. Call this method only in the serving thread."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.socket.close()


class Connections:
    """The open connections of one server, each with its own thread. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # The condition variable `_changed` guards all attributes below.
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.opened = 0  # how many connections were opened so far

    def serve(self, client: socket.socket, serve: Callable[[Connection], None]) -> None:
        """Serve a client in a new thread, and close the client's socket at the end."""
        connection = Connection(client)
        thread = threading.Thread(
            target=self._run, args=(connection, serve), name="voyage-dev-connection", daemon=True
        )
        with self._changed:
            if self._closed:
                client.close()
                return
            self._open.add(connection)
            self.opened += 1
            self._threads = [each for each in self._threads if each.is_alive()]
            try:
                thread.start()
            except RuntimeError:  # The process cannot start more threads.
                self._open.discard(connection)
                client.close()
                return
            self._threads.append(thread)

    def begin(self, connection: Connection) -> bool:
        """Mark a connection as busy; return False if the connection was dropped."""
        with self._changed:
            if connection.state is _State.DROPPED:
                return False
            connection.state = _State.BUSY
            return True

    def hang(self, connection: Connection) -> None:
        """Mark a connection as hanging, because its request gets no answer."""
        with self._changed:
            if connection.state is _State.BUSY:
                connection.state = _State.HANGING

    def send(self, connection: Connection, data: bytes) -> bool:
        """Write an answer. Return False if the connection must end after this answer."""
        with self._changed:
            if connection.state is _State.DROPPED:
                return False
            connection.state = _State.ANSWERING
        try:
            connection.socket.sendall(data)
        finally:
            with self._changed:
                if connection.state is _State.ANSWERING:
                    connection.state = _State.IDLE
                self._changed.notify_all()
        return not connection.is_last

    def drop_idle(self) -> int:
        """Shut down all idle connections, and return how many connections were shut down."""
        with self._changed:
            self._changed.wait_for(self._nobody_answers, _ANSWER_SECONDS)
            return self._drop(_State.IDLE)

    def drop_hanging(self) -> int:
        """Shut down all hanging connections, and return how many connections were shut down."""
        with self._changed:
            return self._drop(_State.HANGING)

    def stop(self) -> None:
        """Shut down idle connections now. The other connections end after their current answer."""
        with self._changed:
            for connection in self._open:
                connection.is_last = True
            self.drop_idle()

    def close(self) -> None:
        """Shut down all connections, and wait until their threads have ended."""
        with self._changed:
            self._closed = True
            self._drop(*_State)
            threads = self._threads
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        try:
            serve(connection)
        finally:
            with self._changed:
                self._open.discard(connection)
            connection.shut()
            connection.socket.close()

    def _nobody_answers(self) -> bool:
        return all(connection.state is not _State.ANSWERING for connection in self._open)

    def _drop(self, *states: _State) -> int:
        chosen = [connection for connection in self._open if connection.state in states]
        for connection in chosen:
            connection.state = _State.DROPPED
            connection.shut()
        return len(chosen)
