"""The class `DevServer`, which tests and the command line use."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from voyage_logger.devserver._backend import Backend
from voyage_logger.devserver._connections import Connections
from voyage_logger.devserver._faults import Rules
from voyage_logger.devserver._handler import Handler
from voyage_logger.devserver._hosts import Hosts
from voyage_logger.devserver._inspection import Inspection
from voyage_logger.devserver._listener import Listener, bind
from voyage_logger.devserver._store import Store

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from voyage_logger.devserver._faults import Fault


_MAX_PORT = 65_535


class DevServer(Inspection):
    """A strict local server of the Logs API. A test can make the server misbehave.

    Args:
        host: The host name or IP address to listen on (default: "127.0.0.1").
        port: The TCP port. With 0 (default), the operating system chooses a free port.
        db: The path of a SQLite file, which keeps the entries. Default: a database in memory.
        api_key: The API key that clients must send (default: "dev-key").
        api_secret: The API secret that clients must send (default: "dev-secret").
        rules: The rules for all requests. Default: no misbehavior.
        allowed_hosts: More host names under which clients reach the server, for example the name of
            its container. The names have no port. The server always accepts the name "localhost",
            the value of `host`, and loopback IP addresses. If the Host header of a request names
            any other host, the server refuses the request.
        clock: A function that returns a monotonic time in seconds, used for the expiry of tokens.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: `host` is empty, `port` is out of range, or an allowed host is not a host name.

    All methods except `start` and `close` are thread-safe. In a forked child, `close` does nothing,
    because the server belongs to the parent.

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
        api_secret: str = "dev-secret",  # noqa: S107 - Only this server accepts the secret.
        rules: Rules = Rules(),  # noqa: B008 - `Rules` is immutable.
        allowed_hosts: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_types(host=host, api_key=api_key, api_secret=api_secret)
        if not callable(clock):
            raise TypeError(f"clock must be a function that returns seconds, not {clock!r}")
        _check_port(port)
        if not host:
            raise ValueError('host must be a name or an address; all addresses are "0.0.0.0"')
        self._host = host
        self._port = port
        self._db = os.fspath(db)
        self._credentials = {"api_key": api_key, "api_secret": api_secret}
        self._first_rules = _checked(rules)
        self._hosts = Hosts(host, allowed_hosts)
        self._clock = clock
        self._stopped = threading.Event()
        self._connections = Connections()
        self._backend: Backend | None = None
        self._pid = os.getpid()
        # The lock guards `_listener` and `_reserved`. At least one of the two attributes is None.
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._reserved: socket.socket | None = None

    def start(self) -> DevServer:
        """Open the database and the port, and return this server. Clients can then connect.

        Raises:
            OSError: The host is unknown, or the port is in use or forbidden.
            sqlite3.Error: The database cannot be opened.
            RuntimeError: This instance was already started or closed.
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
        handler = Handler(self._backend, self._connections, self._hosts, self._stopped)
        self._take = partial(self._connections.serve, serve=handler.serve)
        self._listener = Listener(bound, self._take)
        return self

    def close(self) -> None:
        """Close all connections, and wait until their threads end. A second call does nothing."""
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

    @property
    def port(self) -> int:
        """The TCP port. Read this property after `start`."""
        self._running()
        return self._port

    @property
    def url(self) -> str:
        """The base URL for clients on this machine. Read this property after `start`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables for a client of this server: its URL, key and secret."""
        return {
            "VOYAGE_LOGS_URL": self.url,
            "VOYAGE_LOGS_KEY": self.api_key,
            "VOYAGE_LOGS_SECRET": self.api_secret,
        }

    @property
    def api_key(self) -> str:
        """The API key that clients must send."""
        return self._credentials["api_key"]

    @property
    def api_secret(self) -> str:
        """The API secret that clients must send."""
        return self._credentials["api_secret"]

    @property
    def connections(self) -> int:
        """The number of connections that clients have opened so far."""
        return self._connections.opened

    @property
    def rules(self) -> Rules:
        """The rules for all requests. To change the rules, assign a new `Rules` instance.

        Raises:
            TypeError: The assigned value is not a `Rules` instance.
        """
        return self._running().rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._running().rules = _checked(rules)

    def script(self, *faults: Fault) -> None:
        """Queue faults for the next batch requests, one fault for each request.

        Raises:
            TypeError: One of the arguments is not a `Fault`.
        """
        self._running().script("batch", faults)

    def script_sign_in(self, *faults: Fault) -> None:
        """Queue faults for the next sign-ins, one fault for each sign-in."""
        self._running().script("sign-in", faults)

    def revoke_tokens(self) -> None:
        """Revoke all tokens. The server answers 401 if a batch is sent with a revoked token."""
        self._running().tokens.revoke_all()

    def drop_idle_connections(self) -> int:
        """Close the idle connections, and return how many connections were closed.

        A client might not notice the closed connection until it sends its next request.
        """
        self._running()
        return self._connections.drop_idle()

    def release(self) -> int:
        """Close the connections of hanging requests. Return how many connections were closed."""
        self._running()
        return self._connections.drop_hanging()

    def refuse_connections(self) -> None:
        """Start an outage: refuse new connections, and close idle connections.

        Requests in progress are still answered. The server keeps its port, entries and tokens.
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
        """End an outage that `refuse_connections` started."""
        self._running()
        with self._lock:
            if self._reserved is not None:
                self._listener, self._reserved = Listener(self._reserved, self._take), None

    def reset(self) -> None:
        """Delete entries, requests and queued faults, revoke tokens, and restore default rules."""
        self._running().reset()

    def _running(self) -> Backend:
        if self._backend is None:
            raise RuntimeError("the DevServer is not started: use `with DevServer() as server`")
        if self._stopped.is_set():
            raise RuntimeError("the DevServer is closed: read its entries before you close it")
        return self._backend


def _check_types(**texts: object) -> None:
    for name, value in texts.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {type(value).__name__}")


def _check_port(port: object) -> None:
    """Refuse a port that the system would cut to 16 bits: the server would use another port."""
    if isinstance(port, int) and not 0 <= port <= _MAX_PORT:
        raise ValueError(f"port must be from 0 to {_MAX_PORT}, not {port}")


def _checked(rules: object) -> Rules:
    """Return the rules. A value of another type would make each later request fail."""
    if not isinstance(rules, Rules):
        raise TypeError(f"rules must be Rules(...), not {rules!r}")
    return rules
