"""The open connections: who may end one, and when.

A connection is *idle* between requests, *busy* from a request's first line on, *answering* while
its answer is being written, *hanging* if it gets none, and *dropped* once another thread has shut
it. Only the thread that serves a connection closes its socket; others shut it down, which ends that
thread's waiting.

What must stay true: a dropped connection handles no further request, so what a client sent into it
was not stored; and once `drop_idle` returns, no client that has its answer still has a live
connection.
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

# An answer in the writing is waited for this long; only a client that does not read makes it last.
_ANSWER_SECONDS = 1.0
_JOIN_SECONDS = 5.0

# SO_LINGER on, with no time to linger: `close` sends a reset. Windows has shorts in this struct.
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class _State(enum.Enum):
    IDLE = enum.auto()
    BUSY = enum.auto()
    ANSWERING = enum.auto()
    HANGING = enum.auto()
    DROPPED = enum.auto()


@dataclass(eq=False, slots=True)
class Connection:
    """One client's socket; `state` and `is_last` are guarded by the condition of `Connections`."""

    socket: socket.socket
    state: _State = _State.IDLE
    is_last: bool = False  # the request in hand is the connection's last

    def shut(self) -> None:
        """Ends both directions, from any thread; also where a forked child holds the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Breaks the connection with a TCP reset; only for the thread that serves it."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.socket.close()


class Connections:
    """The open connections of one server, one thread each. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Guarded by the condition.
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self.opened = 0  # how many there ever were

    def serve(self, client: socket.socket, serve: Callable[[Connection], None]) -> None:
        """Serves a new client in a thread of its own, and closes its socket in the end."""
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
            except RuntimeError:  # the process is out of threads: this client has to come again
                self._open.discard(connection)
                client.close()
                return
            self._threads.append(thread)

    def begin(self, connection: Connection) -> bool:
        """Marks a connection busy; false if it was dropped and must not be read on."""
        with self._changed:
            if connection.state is _State.DROPPED:
                return False
            connection.state = _State.BUSY
            return True

    def hang(self, connection: Connection) -> None:
        """Marks a connection as one whose request gets no answer."""
        with self._changed:
            if connection.state is _State.BUSY:
                connection.state = _State.HANGING

    def send(self, connection: Connection, data: bytes) -> bool:
        """Writes an answer; false if it was the connection's last.

        Raises:
            OSError: The client has gone.
        """
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
        """Shuts the connections on which nothing is going on, and says how many there were."""
        with self._changed:
            self._changed.wait_for(self._nobody_answers, _ANSWER_SECONDS)
            return self._drop(_State.IDLE)

    def drop_hanging(self) -> int:
        """Shuts the connections whose request got no answer, and says how many there were."""
        with self._changed:
            return self._drop(_State.HANGING)

    def stop(self) -> None:
        """Shuts the idle connections at once, and the others when they have answered."""
        with self._changed:
            for connection in self._open:
                connection.is_last = True
            self._changed.wait_for(self._nobody_answers, _ANSWER_SECONDS)
            self._drop(_State.IDLE)

    def close(self) -> None:
        """Shuts all connections, whatever goes on, and waits for their threads to end."""
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
