"""Tests of the dev server's faults, connections, start, close and outages."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.devserver.client import KEYS
from tests.support.loggers import until
from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH
from voyage_logger.devserver import (
    DevServer,
    Fault,
    Rules,
    _handler,
    html_ok,
    redirect,
    slow_down,
)
from voyage_logger.devserver._connections import Connections
from voyage_logger.devserver._http import read_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from voyage_logger.devserver._connections import Connection

    Open = Callable[[], http.client.HTTPConnection]

ENTRY = {"message": "hello", "level": "info", "app_name": "app", "environment": "test"}
UNKNOWN = "none"
BODY = json.dumps({"logs": [ENTRY]}).encode()


def sign_in(connection: http.client.HTTPConnection) -> str:
    connection.request("POST", SIGN_IN_PATH, headers=KEYS)
    token = json.loads(connection.getresponse().read())["data"][0]["access_token"]
    return str(token)


def ask(connection: http.client.HTTPConnection, token: str = UNKNOWN) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", BATCH_PATH, BODY, headers)


def send(connection: http.client.HTTPConnection, token: str = UNKNOWN) -> tuple[int, bytes]:
    ask(connection, token)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture
def connect(server: DevServer) -> Iterator[Open]:
    """Return a function that opens connections. The fixture closes the connections later."""
    with contextlib.ExitStack() as stack:

        def connect() -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.connect()
            stack.callback(connection.close)
            return connection

        yield connect


@contextlib.contextmanager
def raw(server: DevServer, data: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(data)
        yield client


def read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(1 << 16):
        received += data
    return received


# -- Faults ----------------------------------------------------------------------------------------


def test_script_is_consumed_in_order(server: DevServer, connect: Open) -> None:
    """The server applies the next fault of the script to each request, in order."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(status=503), Fault())
    server.script(Fault(status=429, headers={"Retry-After": "7"}))
    statuses = [send(connection, token)[0] for _ in range(4)]
    assert statuses == [503, 200, 429, 200]
    assert server.count() == 2


def test_sign_ins_and_batches_have_separate_scripts(server: DevServer, connect: Open) -> None:
    """A fault for a sign-in does not change a batch."""
    server.script_sign_in(Fault(status=503))
    connection = connect()
    assert send(connection)[0] == 401
    connection.request("POST", SIGN_IN_PATH, headers=KEYS)
    answer = connection.getresponse()
    assert answer.status == 503
    assert json.loads(answer.read())["status"] == 503
    assert sign_in(connection)


def test_scripted_answers_are_sent_as_scripted(server: DevServer, connect: Open) -> None:
    """A fault can set the status, headers, body and Content-Type of an answer."""
    connection = connect()
    server.script(
        html_ok(),
        redirect("http://127.0.0.1:1/x", 308),
        slow_down("3"),
        Fault(status=204),
        Fault(status=299, body="\u00e9", content_type="text/plain", headers={"X-Own": "1"}),
    )
    seen = []
    for _ in range(5):
        ask(connection)
        answer = connection.getresponse()
        seen.append((answer.status, answer.headers, answer.read()))
    statuses = [status for status, _, _ in seen]
    assert statuses == [200, 308, 429, 204, 299]
    assert seen[0][1]["Content-Type"] == "text/html"
    assert seen[1][1]["Location"] == "http://127.0.0.1:1/x"
    assert seen[2][1]["Retry-After"] == "3"
    assert seen[3][2] == b""
    assert (seen[4][1]["X-Own"], seen[4][2]) == ("1", "\u00e9".encode())
    assert server.connections == 1


def test_headers_are_added_to_a_real_answer(server: DevServer, connect: Open) -> None:
    """If a fault sets only headers, the server adds these headers to its usual answer."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(headers={"Connection": "close", "X-Own": "1"}))
    ask(connection, token)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-Own"], answer.will_close) == (200, "1", True)
    answer.read()
    assert server.count() == 1


def test_delay_delays_the_answer_not_the_entries(server: DevServer, connect: Open) -> None:
    """With `delay`, the server stores the batch immediately, but answers late."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(delay=2))
    began = time.monotonic()
    ask(connection, token)
    server.wait_for_entries(1)
    assert time.monotonic() - began < 2
    assert connection.getresponse().status == 200
    assert time.monotonic() - began >= 2


def test_hang_never_answers(server: DevServer, connect: Open) -> None:
    """With `hang`, the request is recorded, but nothing is stored and no answer is sent."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(hang=True))
    ask(connection, token)
    server.wait_for_requests(1)
    assert server.requests[-1].status is None
    connection.sock.sendall(b"more")
    connection.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert send(connect(), token)[0] == 200
    assert server.count() == 1


def test_release_ends_hanging_requests(server: DevServer, connect: Open) -> None:
    """`release` closes only the connections of hanging requests."""
    hanging, other = connect(), connect()
    token = sign_in(other)
    server.script(Fault(hang=True))
    ask(hanging, token)
    server.wait_for_requests(1)
    assert server.release() == 1
    with pytest.raises(http.client.RemoteDisconnected):
        hanging.getresponse()
    assert send(other, token)[0] == 200


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_reset_breaks_the_connection(
    server: DevServer, connect: Open, when: Any, stored: int
) -> None:
    """With `reset`, the client gets a TCP reset before or after the entries are stored."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(reset=when))
    ask(connection, token)
    with pytest.raises(ConnectionResetError):
        connection.sock.recv(1)  # after a normal close, `recv` would return b"" instead
    assert server.count() == stored
    assert server.requests[-1].status is None
    assert server.stats()["answers"]["batch"] == {"unanswered": 1}


def test_cut_sends_an_incomplete_body(server: DevServer, connect: Open) -> None:
    """With `cut`, the Content-Length of the answer is greater than the length of its body."""
    connection = connect()
    token = sign_in(connection)
    server.script(Fault(cut=True))
    ask(connection, token)
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    assert server.count() == 1


@pytest.mark.parametrize("method", ["script", "script_sign_in"])
def test_script_of_something_else_is_a_type_error(server: DevServer, method: str) -> None:
    """If a script contains a wrong value, the error names the value, and no fault is planned."""
    with pytest.raises(TypeError, match=r"made of Fault\(\.\.\.\), not of 503"):
        getattr(server, method)(Fault(status=503), 503)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    assert send(connection, sign_in(connection))[0] == 200
    connection.close()


# -- Connections and unusual clients ---------------------------------------------------------------


@pytest.mark.parametrize("rules", [{"max_entries": 1}, None, Rules])
def test_rules_of_another_type_are_a_type_error(
    server: DevServer, connect: Open, rules: Any
) -> None:
    """The assignment of something else than `Rules` raises an error, and the rules stay."""
    server.rules = Rules(max_entries=5)
    with pytest.raises(TypeError, match=r"rules must be Rules\(\.\.\.\), not "):
        server.rules = rules
    assert server.rules == Rules(max_entries=5)
    connection = connect()
    assert send(connection, sign_in(connection))[0] == 200


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rules": {"max_entries": 1}}, TypeError),
        ({"rules": None}, TypeError),
        ({"host": None}, TypeError),
        ({"host": 1}, TypeError),
        ({"host": ""}, ValueError),
        ({"port": 70_000}, ValueError),
        ({"port": -1}, ValueError),
        ({"api_key": 1}, TypeError),
        ({"api_secret": b"dev-secret"}, TypeError),
        ({"clock": None}, TypeError),
    ],
)
def test_constructor_refuses_what_would_fail_later(
    options: dict[str, Any], error: type[Exception]
) -> None:
    """The constructor raises an error that names an argument with which no request can succeed."""
    (name,) = options
    with pytest.raises(error, match=f"^{name} must be "):
        DevServer(**options)


def test_connections_are_kept(server: DevServer, connect: Open) -> None:
    """The connection stays open after each answer, even if the request was refused."""
    connection = connect()
    token = sign_in(connection)
    for _ in range(5):
        assert send(connection, token)[0] == 200
        assert send(connection)[0] == 401
    assert server.connections == 1


def test_answer_is_sent_in_one_write(server: DevServer) -> None:
    """The head and the body of an answer are sent in one write."""
    with raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        head, _, body = client.recv(1 << 16).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert json.loads(body)["status"] == 404


@pytest.mark.parametrize(
    "head", ["POST {} HTTP/1.0", "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: Keep, Close"]
)
def test_client_may_end_the_connection(server: DevServer, head: str) -> None:
    """The server ends the connection after an HTTP/1.0 request or `Connection: close`."""
    with raw(server, f"{head.format(SIGN_IN_PATH)}\r\n\r\n".encode()) as client:
        received = read_all(client)
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nConnection: close\r\n" in received


def test_continue_is_sent_on_request(server: DevServer, connect: Open) -> None:
    """The server sends `100 Continue` if the client asks for it."""
    token = sign_in(connect())
    head = (
        f"POST {BATCH_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(BODY)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with raw(server, head.encode()) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 101 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +1\r\n\r\n1", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1", 400),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
def test_http_is_strict(server: DevServer, data: bytes, status: int) -> None:
    """A request that is not strictly valid HTTP is refused, and the connection ends."""
    with raw(server, data) as client:
        client.shutdown(socket.SHUT_WR)
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(body)["status"] == status


def test_refused_client_gets_its_answer_although_it_sends_more(server: DevServer) -> None:
    """The server reads a refused request to its end, so that the client gets the answer."""
    with raw(server, b"nonsense\r\n\r\n" + b"x" * (1 << 20)) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 400 ")


def test_batch_needs_a_length(server: DevServer, connect: Open) -> None:
    """The answer to a batch without a Content-Length is 411."""
    token = sign_in(connect())
    head = (
        f"POST {BATCH_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    )
    with raw(server, head.encode()) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage without an end",
        b"GET / HTTP/1.1\r\nHost:",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123",
    ],
)
def test_vanished_client_gets_no_answer_and_prints_nothing(
    server: DevServer, connect: Open, capfd: pytest.CaptureFixture[str], data: bytes
) -> None:
    """If a client disconnects during its request, the server continues and prints nothing."""
    with raw(server, data) as client:
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    with raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        pass  # the client closes its connection before the answer
    assert sign_in(connect())
    assert capfd.readouterr() == ("", "")


def test_idle_connections_can_be_dropped(server: DevServer, connect: Open) -> None:
    """A batch that is sent over a dropped connection is not stored."""
    idle, hanging = connect(), connect()
    token = sign_in(idle)
    server.script(Fault(hang=True))
    ask(hanging, token)
    server.wait_for_requests(1)
    for _ in range(20):  # drops each connection just after its answer
        assert send(idle, token)[0] == 200
        assert server.drop_idle_connections() == 1
        assert idle.sock.recv(1) == b""
        idle.close()
    count = server.count()
    dropped = connect()
    sign_in(dropped)
    server.drop_idle_connections()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        send(dropped, token)
    assert server.count() == count == 20


def test_request_that_arrives_during_a_drop_is_not_handled(
    server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a connection is dropped after the first line of a request, the request is not handled."""
    dropped: list[int] = []

    def read_and_drop(reader: BinaryIO) -> bytes:
        line = read_line(reader)
        dropped.append(server.drop_idle_connections())
        return line

    monkeypatch.setattr(_handler, "read_line", read_and_drop)
    with raw(server, f"POST {SIGN_IN_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()) as client:
        assert read_all(client) == b""
    until(lambda: dropped)  # the connection can end before `drop_idle_connections` returns
    assert dropped == [1]
    assert server.requests == []


def test_many_clients_connect_at_once(server: DevServer) -> None:
    """The server accepts 200 clients that connect at the same time."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(raw(server)) for _ in range(200)]
        for client in crowd:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert all(client.recv(20).startswith(b"HTTP/1.1 404") for client in crowd)


def test_dropped_connection_handles_nothing_more() -> None:
    """If the server drops a connection, it handles no more requests of this connection."""
    here, there = socket.socketpair()
    connections = Connections()
    served = threading.Event()
    answers: list[bool] = []

    def serve(connection: Connection) -> None:
        answers.append(connections.begin(connection))
        connections.send(connection, b"answer")
        connections.drop_idle()
        answers.append(connections.begin(connection))
        answers.append(connections.send(connection, b"more"))
        connections.hang(connection)
        served.set()

    connections.serve(here, serve)
    assert served.wait(10)
    assert answers == [True, False, False]
    assert read_all(there) == b"answer"
    there.close()
    connections.close()


def test_connection_that_is_dropped_during_an_answer_handles_nothing_more() -> None:
    """If `close` interrupts an answer, the server handles no more requests of the connection."""
    here, there = socket.socketpair()
    connections = Connections()
    answers: list[bool] = []

    def serve(connection: Connection) -> None:
        with pytest.raises(OSError, match="Broken pipe"):
            connections.send(connection, b"x" * (32 << 20))
        answers.append(connections.begin(connection))

    connections.serve(here, serve)
    assert there.recv(1) == b"x"
    connections.close()
    assert answers == [False]
    there.close()


def test_closed_server_accepts_no_client() -> None:
    """If a client connects during `close`, the server disconnects it."""
    here, there = socket.socketpair()
    connections = Connections()
    connections.close()
    connections.serve(here, lambda _: pytest.fail("served"))
    assert read_all(there) == b""
    there.close()


def test_server_survives_a_lack_of_threads(
    server: DevServer, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no thread can be started for a client, the server disconnects only this client."""
    start = threading.Thread.start

    def drop_new(_: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", drop_new)
    with raw(server) as client:
        assert read_all(client) == b""
    assert sign_in(connect())


@pytest.mark.skipif(os.name != "posix", reason="the limit of files is one of POSIX")
def test_server_survives_a_lack_of_files(server: DevServer, connect: Open) -> None:
    """While the process cannot open more files, clients wait, and get their answers later."""
    import resource  # noqa: PLC0415 - not on Windows

    assert sign_in(connect())  # now the server's threads have opened all their files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        client.settimeout(0.2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # room only for stdin, stdout, stderr
        try:
            client.connect(("127.0.0.1", server.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with pytest.raises(TimeoutError):
                client.recv(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.settimeout(10)
        assert client.recv(20).startswith(b"HTTP/1.1 404")


# -- Start and close -------------------------------------------------------------------------------


def test_close_ends_all_connections_at_once() -> None:
    """`close` ends idle connections and all kinds of running requests, and leaves no thread."""
    before = set(threading.enumerate())
    server = DevServer(rules=Rules()).start()
    with contextlib.ExitStack() as stack:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        stack.callback(kept.close)
        token = sign_in(kept)
        server.script(Fault(hang=True), Fault(delay=60))
        for number in (1, 2):
            busy = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            stack.callback(busy.close)
            ask(busy, token)
            server.wait_for_requests(number)
        stack.enter_context(
            raw(server, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        )
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 3
        assert set(threading.enumerate()) == before
        server.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", kept.port))


def test_close_does_not_wait_for_a_client_that_does_not_read() -> None:
    """`close` does not wait for a client that does not read its answer."""
    with DevServer() as server, raw(server) as client:
        server.script(Fault(status=200, body="x" * (32 << 20)))
        client.sendall(f"POST {BATCH_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(8) == b"HTTP/1.1"
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 3
        assert len(read_all(client)) < 32 << 20


def test_start_is_ready_at_once() -> None:
    """When `start` returns, a client can connect. `start` takes only milliseconds."""
    began = time.monotonic()
    for _ in range(10):
        with (
            DevServer() as server,
            raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client,
        ):
            assert client.recv(10)
    assert time.monotonic() - began < 10


def test_port_of_a_closed_server_can_be_used_again() -> None:
    """A new server can use the port of a closed server, even if the old server had connections."""
    with DevServer() as first, raw(first, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        client.recv(10)
        port = first.port
        first.close()
        with DevServer(port=port) as second:
            assert second.port == port


def test_port_in_use_is_an_os_error(server: DevServer) -> None:
    """If the port is in use, `start` raises an `OSError`."""
    with pytest.raises(OSError, match="in use"):
        DevServer(port=server.port).start()


def test_methods_raise_if_the_server_does_not_run() -> None:
    """If the server is not running, its methods raise an error that says so."""
    server = DevServer()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    with server, pytest.raises(RuntimeError, match="starts once"):
        server.start()
    with pytest.raises(RuntimeError, match="closed"):
        server.entries()
    with pytest.raises(RuntimeError, match="starts once"):
        server.start()
    DevServer().close()
    with pytest.raises(ValueError, match="host"):
        DevServer(host="")


def test_environ_has_the_variables_for_a_client() -> None:
    """`environ` has the three variables that a client needs for this server."""
    with DevServer(api_key="k", api_secret="s") as server:
        assert server.environ == {
            "VOYAGE_LOGS_URL": f"http://127.0.0.1:{server.port}",
            "VOYAGE_LOGS_KEY": "k",
            "VOYAGE_LOGS_SECRET": "s",
        }
        assert (server.api_key, server.api_secret) == ("k", "s")


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_server_works_with_ipv6() -> None:
    """The URL of a server with IPv6 has the IP address in brackets."""
    try:
        server = DevServer(host="::1").start()
    except OSError:
        pytest.skip("this machine has no ::1")
    with server:
        assert server.url == f"http://[::1]:{server.port}"
        connection = http.client.HTTPConnection("::1", server.port, timeout=10)
        assert sign_in(connection)
        connection.close()


def test_outage_refuses_new_connections_until_it_ends(server: DevServer, connect: Open) -> None:
    """An outage ends idle connections and refuses new connections. Running requests continue."""
    idle, busy = connect(), connect()
    token = sign_in(idle)
    sign_in(busy)
    server.script(Fault(delay=0.2))
    ask(busy, token)
    server.wait_for_entries(1)
    url = server.url
    server.refuse_connections()
    server.refuse_connections()
    assert idle.sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect()
    answer = busy.getresponse()
    assert answer.status == 200
    assert answer.will_close
    answer.read()
    server.accept_connections()
    server.accept_connections()
    assert server.url == url
    assert send(connect(), token)[0] == 200
    assert server.count() == 2


def test_close_during_an_outage_frees_the_port() -> None:
    """After `close` during an outage, another server can use the port."""
    with DevServer() as server:
        port = server.port
        server.refuse_connections()
    with DevServer(port=port) as again:
        assert again.port == port


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the test forks while threads run
def test_close_in_a_forked_child_does_nothing(server: DevServer, connect: Open) -> None:
    """If a forked child leaves the `with` block, the server of the parent stays open."""
    connection = connect()
    sign_in(connection)
    child = os.fork()
    if child == 0:
        server.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert sign_in(connection)


# -- The database ----------------------------------------------------------------------------------


def test_file_keeps_the_entries(tmp_path: Path) -> None:
    """If a new server uses the database file of an old server, it has the same entries."""
    path = tmp_path / "entries.db"
    for run in (1, 2):
        with DevServer(db=path) as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            assert send(connection, sign_in(connection))[0] == 200
            connection.close()
            assert server.count() == run
            assert [row.id for row in server.stored(after=server.last_old_id)] == [run]
            assert [row.batch for row in server.stored()] == list(range(1, run + 1))
    assert [each.name for each in tmp_path.iterdir()] == ["entries.db"]


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """If the file is not a database, `start` raises the error of SQLite and frees the port."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    server = DevServer(db=path)
    with pytest.raises(sqlite3.DatabaseError):
        server.start()


@pytest.mark.parametrize("size", [1, 150])  # 150 entries need two SQL statements
def test_batch_that_cannot_be_stored_gets_500(tmp_path: Path, size: int) -> None:
    """If a batch cannot be stored, the answer is 500, and the next batch is accepted."""
    with DevServer(db=tmp_path / "entries.db") as server:
        with contextlib.closing(sqlite3.connect(tmp_path / "entries.db")) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON entries WHEN NEW.message = 'last'"
                " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
            )
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        token = sign_in(connection)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps({"logs": [ENTRY] * (size - 1) + [{**ENTRY, "message": "last"}]})
        connection.request("POST", BATCH_PATH, body.encode(), headers)
        answer = connection.getresponse()
        assert answer.status == 500
        assert "the disk is full" in json.loads(answer.read())["message"]
        assert (server.count(), server.entries()) == (0, [])
        assert send(connection, token)[0] == 200
        connection.close()
        assert server.entries() == [ENTRY]
