"""`DevServer`: what a test, a rehearsal or the command line holds in its hands."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from voyage_logger.devserver._backend import Backend
from voyage_logger.devserver._connections import Connections
from voyage_logger.devserver._faults import Rules
from voyage_logger.devserver._handler import Handler
from voyage_logger.devserver._inspection import Inspection
from voyage_logger.devserver._listener import Listener, bind
from voyage_logger.devserver._store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from voyage_logger.devserver._faults import Fault


class DevServer(Inspection):
    """A strict local server of the Logs API that can misbehave on request.

    Args:
        host: The address to listen on. Default: loopback only.
        port: The port; 0, the default, lets the system choose a free one.
        db: A SQLite file that keeps the entries over restarts. Default: memory.
        api_key: The key that signs in. Default: "dev-key".
        api_secret: The secret that signs in. Default: "dev-secret".
        rules: How the server behaves until changed. Default: kindly.
        clock: Seconds that never go back, for the life of tokens and the times of requests.

    All methods are thread-safe, save `start` and `close`, which belong to one thread. In a forked
    child, `close` leaves the parent's server alone.

    >>> from voyage_logger.devserver import DevServer, Fault
    >>> with DevServer() as server:
    ...     server.script(Fault(status=503), Fault(delay=0.2))
    ...     server.entries(level="error")
    []
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | os.PathLike[str] = ":memory:",
        api_key: str = "dev-key",
        api_secret: str = "dev-secret",  # noqa: S107 - opens nothing but this server
        rules: Rules = Rules(),  # noqa: B008 - a frozen value
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not host:
            raise ValueError('host must be a name or an address; all addresses are "0.0.0.0"')
        self._host = host
        self._port = port
        self._db = os.fspath(db)
        self._credentials = {"api_key": api_key, "api_secret": api_secret}
        self._first_rules = rules
        self._clock = clock
        self._stopped = threading.Event()
        self._connections = Connections()
        self._backend: Backend | None = None
        self._handler: Handler | None = None
        self._pid = os.getpid()
        # Guards the change between listening and refusing; one of the two is None.
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._reserved: socket.socket | None = None

    # Life.

    def start(self) -> DevServer:
        """Opens the database and the port; clients can connect when it returns.

        Returns:
            The server.

        Raises:
            OSError: The host is unknown, or the port is in use or forbidden.
            sqlite3.Error: The database cannot be opened.
            RuntimeError: It was started before.
        """
        if self._backend is not None or self._stopped.is_set():
            raise RuntimeError("a DevServer starts once; make another one with the same port")
        bound = bind(self._host, self._port)
        try:
            store = Store(self._db)
        except BaseException:
            bound.close()
            raise
        self._pid = os.getpid()
        self._port = bound.getsockname()[1]
        self._backend = Backend(
            store, rules=self._first_rules, clock=self._clock, **self._credentials
        )
        self._handler = Handler(self._backend, self._connections, self._host, self._stopped)
        self._listener = Listener(bound, self._take)
        return self

    def close(self) -> None:
        """Ends everything at once, hanging requests included, and leaves no thread behind.

        A second call does nothing.
        """
        if self._stopped.is_set() or os.getpid() != self._pid:
            return
        self._stopped.set()
        with self._lock:
            if self._listener is not None:
                self._listener.close()
            if self._reserved is not None:
                self._reserved.close()
        self._connections.close()
        if self._backend is not None:
            self._backend.store.close()

    def __enter__(self) -> DevServer:
        return self if self._backend is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # Where it is.

    @property
    def port(self) -> int:
        """The port, known once started."""
        self._running()
        return self._port

    @property
    def url(self) -> str:
        """The base URL for clients on this machine, known once started."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - read
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables that point a client here."""
        return {
            "VOYAGE_LOGS_URL": self.url,
            "VOYAGE_LOGS_KEY": self.api_key,
            "VOYAGE_LOGS_SECRET": self.api_secret,
        }

    @property
    def api_key(self) -> str:
        """The key that signs in."""
        return self._credentials["api_key"]

    @property
    def api_secret(self) -> str:
        """The secret that signs in."""
        return self._credentials["api_secret"]

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._connections.opened

    # Misbehavior.

    @property
    def rules(self) -> Rules:
        """What holds for every request; replace it to change it."""
        return self._running().rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._running().rules = rules

    def script(self, *faults: Fault) -> None:
        """Queues faults, one for each of the next batch requests.

        Raises:
            TypeError: One of them is no `Fault`.
        """
        self._running().script("batch", faults)

    def script_sign_in(self, *faults: Fault) -> None:
        """Queues faults, one for each of the next sign-ins."""
        self._running().script("sign-in", faults)

    def revoke_tokens(self) -> None:
        """Ends every token given out so far: the next batch with one is answered 401."""
        self._running().tokens.revoke_all()

    def drop_idle_connections(self) -> int:
        """Closes the connections that wait for a next request, as a server's idle limit does.

        Returns:
            How many there were. Their clients may not have noticed yet.
        """
        self._running()
        return self._connections.drop_idle()

    def release(self) -> int:
        """Ends the hanging requests: their connections are closed without an answer.

        Returns:
            How many there were.
        """
        self._running()
        return self._connections.drop_hanging()

    def refuse_connections(self) -> None:
        """Begins an outage: new connections are refused, idle ones closed.

        Requests in hand are answered first. The port stays reserved, entries and tokens stay.
        """
        self._running()
        with self._lock:
            if self._listener is None:
                return
            self._listener.close()
            self._listener = None
            self._reserved = bind(self._host, self._port)
        self._connections.stop()

    def accept_connections(self) -> None:
        """Ends an outage that `refuse_connections` began."""
        self._running()
        with self._lock:
            if self._reserved is not None:
                self._listener, self._reserved = Listener(self._reserved, self._take), None

    def reset(self) -> None:
        """Empties entries, requests and scripts, revokes the tokens, restores the default rules."""
        self._running().reset()

    def _take(self, client: socket.socket) -> None:
        if self._handler is not None:
            self._connections.serve(client, self._handler.serve)

    def _running(self) -> Backend:
        if self._backend is None:
            raise RuntimeError("the DevServer is not started: use `with DevServer() as server`")
        if self._stopped.is_set():
            raise RuntimeError("the DevServer is closed: look at what came before that")
        return self._backend
