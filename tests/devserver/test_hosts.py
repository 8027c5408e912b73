"""Tests of the Host and Origin headers: web pages of other sites cannot use the dev server."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.devserver.client import KEYS, Client
from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRY = {"message": "hello", "level": "info", "app_name": "app", "environment": "test"}
BATCH = json.dumps({"logs": [ENTRY]}).encode()
JSON = {"Content-Type": "application/json"}

# For each path: the method, the path, the body, and the status of an allowed request.
REQUESTS = [
    ("POST", SIGN_IN_PATH, b"", 200),
    ("POST", BATCH_PATH, BATCH, 200),
    ("GET", "/dev/api/entries", None, 200),
    ("PUT", "/dev/api/rules", b'{"max_entries":1}', 200),
    ("GET", "/", None, 404),
]
each_path = pytest.mark.parametrize(("method", "path", "body", "status"), REQUESTS)


def ask(
    client: Client, method: str, path: str, body: bytes | None, **headers: str
) -> tuple[int, Any]:
    own = {**KEYS, **JSON, "Authorization": f"Bearer {client.token}"}
    return client.ask(method, path, body, {**own, **headers})


@each_path
@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]:80"])
def test_own_host_names_are_served(
    client: Client, host: str, method: str, path: str, body: bytes | None, status: int
) -> None:
    """On each path, the Host header can be any host name or IP address of this machine."""
    assert ask(client, method, path, body, Host=host)[0] == status


@each_path
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "[x",
        "localhost@evil.example",
        "evil@localhost",
        "localhost/evil",
        "local\thost",
        "\xb5",
    ],
)
def test_rebound_host_names_are_refused(
    server: DevServer,
    client: Client,
    host: str,
    method: str,
    path: str,
    body: bytes | None,
    status: int,
) -> None:
    """On each path, the server refuses foreign host names, as a DNS rebinding attack sends them."""
    rules, sign_ins = server.rules, server.stats()["sign_ins"]
    refused, answer = ask(client, method, path, body, Host=host)
    assert (refused, answer["status"]) == (403, 403), status
    assert (server.count(), server.rules) == (0, rules)
    assert server.stats()["sign_ins"] == sign_ins


@each_path
def test_other_origins_are_refused(
    server: DevServer, client: Client, method: str, path: str, body: bytes | None, status: int
) -> None:
    """On each path, pages of other sites are refused, and pages of this server are served."""
    own = f"http://127.0.0.1:{server.port}"
    assert ask(client, method, path, body, Origin=own)[0] == status
    stored = server.count()
    for origin in ("http://evil.example", "https://127.0.0.1", "http://127.0.0.1:1", "null"):
        refused, answer = ask(client, method, path, body, Origin=origin)
        assert (refused, answer["message"]) == (403, f"the origin {origin!r} is not this server's")
    assert server.count() == stored


def test_foreign_requests_use_up_no_fault(server: DevServer, client: Client) -> None:
    """A form of another site uses up no scripted fault, and gets the answer 403."""
    server.script(Fault(status=503))
    server.script_sign_in(Fault(status=500))
    for path in (BATCH_PATH, SIGN_IN_PATH):
        assert ask(client, "POST", path, b"x=1", Origin="http://evil.example")[0] == 403
        assert ask(client, "POST", path, b"", Host="evil.example")[0] == 403
    assert ask(client, "POST", BATCH_PATH, BATCH)[0] == 503
    assert ask(client, "POST", SIGN_IN_PATH, b"")[0] == 500


def test_foreign_requests_are_recorded(server: DevServer, client: Client) -> None:
    """A refused request is recorded, so that a user finds a host name that must be allowed."""
    _, answer = ask(client, "POST", BATCH_PATH, BATCH, Host="voyage:8765")
    assert "the host 'voyage:8765' is not this server's" in answer["message"]
    assert "--allow-host" in answer["message"]
    assert (server.requests[-1].endpoint, server.requests[-1].status) == ("batch", 403)


def test_request_without_a_host_is_served(server: DevServer) -> None:
    """An HTTP/1.0 request does not need a Host header, because browsers do not send HTTP/1.0."""
    keys = "".join(f"{name}: {value}\r\n" for name, value in KEYS.items())
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"POST {SIGN_IN_PATH} HTTP/1.0\r\n{keys}\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def listening() -> Iterator[Callable[..., Client]]:
    """Return a function that starts a server with its arguments and returns a client."""
    opened: list[tuple[DevServer, Client]] = []

    def listen(**options: Any) -> Client:
        server = DevServer(**options).start()
        opened.append((server, Client(server)))
        return opened[-1][1]

    yield listen
    for server, client in opened:
        client.http.close()
        server.close()


def test_server_on_all_addresses_accepts_any_address(listening: Callable[..., Client]) -> None:
    """A server on 0.0.0.0 accepts each IP address in the Host header, but refuses host names."""
    client = listening(host="0.0.0.0")  # noqa: S104 - all addresses of this machine
    assert ask(client, "POST", SIGN_IN_PATH, b"", Host="10.0.0.1")[0] == 200
    assert ask(client, "POST", SIGN_IN_PATH, b"", Host="evil.example")[0] == 403


def test_allowed_hosts_are_served(listening: Callable[..., Client]) -> None:
    """`allowed_hosts` adds host names, and their pages can use the server."""
    client = listening(allowed_hosts=["Voyage"])
    own = {"Host": "voyage:8765", "Origin": "http://voyage:8765"}
    assert ask(client, "POST", SIGN_IN_PATH, b"", **own)[0] == 200
    assert ask(client, "POST", SIGN_IN_PATH, b"", Host="voyage.evil.example")[0] == 403
    assert ask(client, "POST", SIGN_IN_PATH, b"", Host="voyage", Origin="http://evil")[0] == 403


@pytest.mark.parametrize(
    ("names", "error", "text"),
    [
        ("voyage", TypeError, "a list of host names"),
        ([1], TypeError, "host names, not 1"),
        (["voyage:8765"], ValueError, "without a port, not 'voyage:8765'"),
        ([""], ValueError, "not ''"),
    ],
)
def test_wrong_allowed_hosts_are_refused(names: Any, error: type[Exception], text: str) -> None:
    """The constructor refuses allowed hosts that no Host header can match."""
    with pytest.raises(error, match=text):
        DevServer(allowed_hosts=names)
