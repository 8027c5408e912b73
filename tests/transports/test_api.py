"""Tests of the class `Transport`: sign-ins, tokens, headers, time limits and failures."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
import requests
import responses

from tests.support.loggers import sign_ins
from tests.support.processes import python
from voyage_logger import AuthenticationError, BaseTransport, ConnectionFailed, Kind, Transport
from voyage_logger._base import wire
from voyage_logger.devserver import OMIT, DevServer, Fault
from voyage_logger.transports import _session
from voyage_logger.transports._token import Token

ENTRY = {"message": "x", "level": "info", "app_name": "app", "environment": "test"}


class Clock:
    """A clock whose time the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def transport_to(server: DevServer, **settings: Any) -> Transport:
    environ = server.environ
    return Transport(
        environ["VOYAGE_LOGS_KEY"], environ["VOYAGE_LOGS_SECRET"], server.url, **settings
    )


@pytest.fixture
def transport(server: DevServer) -> Any:
    transport = transport_to(server)
    yield transport
    transport.close()


def test_sign_in_and_send_by_hand(server: DevServer, transport: Transport) -> None:
    """An app can use a `Transport` directly: sign in, send dicts, and get an `Outcome`."""
    transport.sign_in()
    outcome = transport.send([ENTRY, {**ENTRY, "message": "y"}])
    assert (outcome.kind, bool(outcome), outcome.status) == (Kind.DELIVERED, True, 200)
    assert [entry["message"] for entry in server.entries()] == ["x", "y"]
    assert transport.sign_ins == 1


def test_eight_threads_and_a_revoked_token_make_one_sign_in(
    server: DevServer, transport: Transport
) -> None:
    """If a token is refused in eight threads, only one thread signs in again."""
    assert transport.send([ENTRY])
    server.revoke_tokens()
    server.script(*[Fault(delay=0.2)] * 8)
    barrier = threading.Barrier(8)
    outcomes: list[Kind] = []

    def work() -> None:
        barrier.wait()
        outcomes.append(transport.send([ENTRY]).kind)
        barrier.wait()
        outcomes.append(transport.send([ENTRY]).kind)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(Kind.UNAUTHORIZED) == 8
    assert outcomes.count(Kind.DELIVERED) == 8
    assert sign_ins(server) == 2


def test_late_refusal_of_an_old_token_leaves_the_new_one(
    server: DevServer, transport: Transport
) -> None:
    """If a 401 for an old token arrives late, the new token is kept."""
    assert transport.send([ENTRY])
    server.revoke_tokens()
    server.script(Fault(delay=0.5))
    late = threading.Thread(target=transport.send, args=([ENTRY],))
    late.start()
    server.wait_for_requests(2)
    assert transport.send([ENTRY]).kind is Kind.UNAUTHORIZED
    assert transport.send([ENTRY])
    late.join()
    assert transport.send([ENTRY])
    assert sign_ins(server) == 2


@pytest.mark.parametrize(
    ("life", "earliest", "latest"), [(3600, 3000, 3300), (100, 60, 80), (3, 1.8, 2.4)]
)
def test_token_is_renewed_before_it_expires(life: float, earliest: float, latest: float) -> None:
    """A token is renewed 5 to 10 minutes before it expires, or later if its lifetime is short."""
    clock = Clock()
    with DevServer(clock=clock) as server:
        server.rules = replace(server.rules, expires_in=life)
        transport = transport_to(server, clock=clock)
        start = clock.now
        assert transport.send([ENTRY])
        clock.now = start + earliest - 0.1
        assert transport.send([ENTRY])
        assert sign_ins(server) == 1
        clock.now = start + latest + 0.1
        assert transport.send([ENTRY])
        assert sign_ins(server) == 2
        transport.close()


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(status=429), Fault(status=401), Fault(reset="before")],
    ids=["outage", "limit", "refusal", "reset"],
)
def test_failed_renewal_of_a_valid_token_stops_no_delivery(
    capfd: pytest.CaptureFixture[str], fault: Fault
) -> None:
    """If a renewal fails while the token is valid, batches go on with the token."""
    clock = Clock()
    with DevServer(clock=clock) as server:
        transport = transport_to(server, clock=clock)
        assert transport.send([ENTRY])
        expires_at = clock.now + 3600
        server.script_sign_in(*[fault] * 100)
        clock.now = expires_at - 290
        for _ in range(29):  # A batch every ten seconds. Renewals are at least 30 seconds apart.
            assert transport.send([ENTRY])
            transport.warm_up()
            clock.now += 10
        tried = sign_ins(server) - 1
        assert 5 <= tried <= 20
        clock.now = expires_at
        outcome = transport.send([ENTRY])
        assert (bool(outcome), outcome.is_sign_in) == (False, True)
        assert sign_ins(server) == tried + 2
        transport.close()
    assert capfd.readouterr().err.count("cannot be renewed") == (fault.status == 401)


def test_renewal_that_works_again_replaces_the_token(server: DevServer) -> None:
    """After a failed renewal, a later renewal obtains a new token before the old one expires."""
    clock = Clock()
    transport = transport_to(server, clock=clock)
    assert transport.send([ENTRY])
    clock.now += 3600 - 290
    server.script_sign_in(Fault(status=503))
    assert transport.send([ENTRY])
    clock.now += 60
    assert transport.send([ENTRY])
    assert (sign_ins(server), transport.sign_ins) == (3, 2)
    transport.close()


def test_renewal_waits_as_long_as_the_server_asks(server: DevServer) -> None:
    """If the answer to a failed renewal has `Retry-After`, no renewal is tried before that time."""
    clock = Clock()
    transport = transport_to(server, clock=clock)
    assert transport.send([ENTRY])
    clock.now += 3600 - 290
    server.script_sign_in(Fault(status=429, headers={"Retry-After": "200"}))
    assert transport.send([ENTRY])
    clock.now += 199
    assert transport.send([ENTRY])
    assert sign_ins(server) == 2
    clock.now += 2
    assert transport.send([ENTRY])
    assert sign_ins(server) == 3
    transport.close()


def test_short_time_is_not_spent_on_a_renewal(server: DevServer) -> None:
    """If an attempt has a time limit and the token is valid until then, the batch is sent first."""
    clock = Clock()
    transport = transport_to(server, clock=clock)
    assert transport.send([ENTRY])
    clock.now += 3600 - 290
    server.script_sign_in(Fault(hang=True))
    assert transport.send([ENTRY], time_limit=5)
    assert sign_ins(server) == 1
    transport.close()


@pytest.mark.parametrize("odd", [OMIT, None, "3600", True, 0, -5, [], {}])
def test_odd_expires_in_counts_as_an_hour(odd: object) -> None:
    """If `expires_in` is missing or invalid, the token counts as valid for one hour."""
    clock = Clock()
    with DevServer(clock=clock) as server:
        server.rules = replace(server.rules, expires_in=odd)
        transport = transport_to(server, clock=clock)
        assert transport.send([ENTRY])
        clock.now += 2999
        assert transport.send([ENTRY])
        assert sign_ins(server) == 1
        clock.now += 302
        assert transport.send([ENTRY])
        assert sign_ins(server) == 2
        transport.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": [{}]}',
        b'{"data": [{"access_token": ""}]}',
        b'{"data": [{"access_token": 5}]}',
        b'{"data": [{"access_token": "two\\nlines"}]}',
        b'{"data": [{"access_token": "caf\\u00e9"}]}',
        b'{"data": {"access_token": "x"}}',
        b'{"data": [null]}',
        b'{"data": [{"access_token": "t", "expires_in": 1' + b"0" * 400 + b"}]}",
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_sign_in_answer_without_a_usable_token(server: DevServer, body: bytes) -> None:
    """If the answer to a sign-in has no usable token, the sign-in counts as a temporary failure."""
    with responses.RequestsMock() as mock:
        mock.post(server.url + wire.SIGN_IN_PATH, body=body, content_type="application/json")
        outcome = transport_to(server).send([ENTRY])
    assert outcome.kind is Kind.TRY_AGAIN
    assert outcome.is_sign_in


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (
            "/api/v1/",
            (
                "; the base URL is the root of the API, mostly without a path, "
                "such as https://api.tracevoyage.com"
            ),
        ),
        ("/", ""),
    ],
)
def test_404_with_a_path_in_the_base_url_gives_advice(
    server: DevServer, path: str, hint: str
) -> None:
    """If a base URL has a path and the answer is 404, the message says to remove the path."""
    transport = Transport(server.api_key, server.api_secret, server.url + path)
    server.script_sign_in(Fault(status=404))
    with pytest.raises(ConnectionFailed) as caught:
        transport.sign_in()
    transport.close()
    assert str(caught.value).startswith("sign-in: HTTP 404 ")
    assert str(caught.value).partition("; ")[1:] == (hint[:2], hint[2:])


def test_refused_credentials_and_missing_server_raise_different_errors(server: DevServer) -> None:
    """Refused credentials and a missing server raise different errors, each with its own advice."""
    wrong = Transport("wrong", "pair", server.url)
    with pytest.raises(AuthenticationError, match="VOYAGE_LOGS_KEY") as refused:
        wrong.sign_in()
    assert refused.value.status == 401
    wrong.close()
    transport = transport_to(server)
    server.close()
    with pytest.raises(ConnectionFailed, match="refused"):
        transport.sign_in()
    transport.close()


def test_headers_are_the_vendor_s(server: DevServer, transport: Transport) -> None:
    """Requests have the same headers as the vendor's requests, and the sign-in has no body."""
    assert transport.send([ENTRY])
    sign_in, batch = server.requests
    assert sign_in.headers["x-api-key"] == server.environ["VOYAGE_LOGS_KEY"]
    assert sign_in.headers["x-api-secret"] == server.environ["VOYAGE_LOGS_SECRET"]
    assert (sign_in.body, sign_in.headers["content-length"]) == (b"", "0")
    assert "authorization" not in sign_in.headers
    assert batch.headers["content-type"] == "application/json"
    assert batch.headers["authorization"].startswith("Bearer ")
    assert not {"x-api-key", "x-api-secret"} & set(batch.headers)
    assert batch.headers["user-agent"].startswith("voyage-logger/")


def test_cookies_are_not_kept(server: DevServer, transport: Transport) -> None:
    """The client sends no cookie back to the server."""
    server.script(Fault(status=200, headers={"Set-Cookie": "a=b; Path=/"}))
    assert transport.send([ENTRY])
    assert transport.send([ENTRY])
    assert "cookie" not in server.requests[-1].headers


def test_compress_sends_gzip(server: DevServer) -> None:
    """With `compress`, the body is sent as gzip with a matching header, and its entries arrive."""
    transport = transport_to(server, compress=True)
    assert transport.send([ENTRY] * 50)
    request = server.requests[-1]
    assert request.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(request.body))["logs"]) == 50
    assert server.count() == 50
    transport.close()


def test_answer_cut_after_its_head_counts(server: DevServer, transport: Transport) -> None:
    """After a 2xx answer, the batch counts as delivered, even if the body is incomplete."""
    server.script(Fault(cut=True))
    assert transport.send([ENTRY])
    assert server.count() == 1


def test_secret_across_the_cut_of_a_long_answer_is_masked(server: DevServer) -> None:
    """A long answer is masked before it is cut, because masking does not find half a secret."""
    for length in range(150, 210, 7):
        echo = json.dumps({"error": "x" * length + server.api_secret + "y" * 5000})
        echo = echo.replace("-", "\\u002d")  # JSON can write a character as an escape.
        server.script(Fault(status=422, body=echo))
        transport = transport_to(server)
        detail = transport.send([ENTRY]).detail
        assert not any(server.api_secret[:n] in detail for n in range(5, 11))
        transport.close()


def test_secret_that_begins_with_the_key_is_masked_whole() -> None:
    """If the secret begins with the API key, the rest of the secret is not shown."""
    with DevServer(api_key="tenant-42", api_secret="tenant-42-s3cr3t") as server:
        server.script(Fault(status=422, body=json.dumps({"error": server.api_secret})))
        transport = transport_to(server)
        detail = transport.send([ENTRY]).detail
        transport.close()

    assert "s3cr3t" not in detail
    assert "***" in detail


def test_time_limit_holds_for_sign_in_and_batch_together(server: DevServer) -> None:
    """Sign-in and batch share a time limit, so a slow sign-in leaves less time for the batch."""
    transport = transport_to(server)
    server.script_sign_in(Fault(delay=2))
    server.script(Fault(hang=True))
    started = time.monotonic()
    assert transport.send([ENTRY], time_limit=3).kind is Kind.TRY_AGAIN
    assert time.monotonic() - started < 4.9
    transport.close()


def test_slow_body_does_not_block_an_attempt_forever() -> None:
    """If an answer's body comes very slowly, the attempt ends, and only the status counts."""
    listener = socket.create_server(("127.0.0.1", 0))
    released = threading.Event()

    def drip() -> None:
        client, _ = listener.accept()
        with (
            client,
            contextlib.suppress(OSError),
        ):  # The client has closed the connection, as expected.
            client.recv(1 << 16)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 65000\r\n\r\n{")
            while not released.wait(0.05):
                client.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    transport = Transport("k", "s", url, timeout=(1, 0.5))
    transport._token = Token("token", float("inf"))
    started = time.monotonic()
    assert transport.send([ENTRY])
    assert time.monotonic() - started < 10
    released.set()
    thread.join()
    listener.close()
    transport.close()


class Interim:
    """A server that sends interim answers, such as 102, before the final answer."""

    def __init__(self, head: bytes, *, is_endless: bool = False) -> None:
        self._head = head
        self._is_endless = is_endless
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Interim:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        # An error is expected here, because the client can close the connection at any time.
        with client, contextlib.suppress(OSError), client.makefile("rb") as stream:
            while line := stream.readline():
                headers = http.client.parse_headers(stream)
                stream.read(int(headers["Content-Length"]))
                assert line.startswith(b"POST")
                self.requests += 1
                client.sendall(self._head)
                while self._is_endless:
                    client.sendall(self._head)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def transport(self) -> Transport:
        transport = Transport("k", "s", self.url, timeout=(1, 30))
        transport._token = Token("token", float("inf"))
        return transport


@pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints", "199 x"])
def test_interim_answer_is_not_the_answer(status: str) -> None:
    """After a 102 or 103, the client waits for the final answer, and does not send again."""
    head = f"HTTP/1.1 {status}\r\nLink: </a.css>; rel=preload\r\n\r\n".encode()
    with Interim(head + head) as server:
        transport = server.transport()
        outcomes = [
            transport.send([ENTRY]) for _ in range(2)
        ]  # Both requests use the same connection.
        transport.close()
    assert [(outcome.kind, outcome.status) for outcome in outcomes] == [(Kind.DELIVERED, 200)] * 2
    assert server.requests == 2


def test_switch_of_protocols_is_no_delivery() -> None:
    """An answer 101 delivers nothing, and the client does not wait for another answer."""
    with Interim(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n") as server:
        transport = server.transport()
        outcome = transport.send([ENTRY])
        transport.close()
    assert (outcome.kind, outcome.status) == (Kind.BLOCKED, 101)


def test_interim_answers_without_end_are_a_failure() -> None:
    """If a server sends only interim answers, the attempt ends and counts as a failure."""
    with Interim(b"HTTP/1.1 102 Processing\r\n\r\n", is_endless=True) as server:
        transport = server.transport()
        outcome = transport.send([ENTRY])
        transport.close()
    assert outcome.kind is Kind.TRY_AGAIN
    assert "interim" in outcome.detail


def test_time_limit_ends_waits_early(server: DevServer, transport: Transport) -> None:
    """If the time limit is shorter than the read timeout, an attempt ends at the time limit."""
    assert transport.send([ENTRY])
    server.script(Fault(hang=True))
    outcome = transport.send([ENTRY], time_limit=0.1)
    assert outcome.kind is Kind.TRY_AGAIN
    assert "ReadTimeout" in outcome.detail or "timed out" in outcome.detail


def test_reset_forgets_the_parent_s_session_and_token(
    server: DevServer, transport: Transport
) -> None:
    """A forked child opens its own connections and signs in itself."""
    assert transport.send([ENTRY])
    lock = transport._lock
    with lock:  # This lock acts like a lock that another thread of the parent held.
        transport.reset()
        assert transport.send([ENTRY])
    assert transport.sign_ins == 1
    assert sign_ins(server) == 2


def test_closed_transport_can_be_used_again(server: DevServer, transport: Transport) -> None:
    """`close` closes the connections, and the token stays valid."""
    assert transport.send([ENTRY])
    transport.close()
    assert transport.send([ENTRY])
    assert sign_ins(server) == 1


def all_subclasses(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind} | {sub for below in kind.__subclasses__() for sub in all_subclasses(below)}


@pytest.mark.parametrize("kind", sorted(all_subclasses(requests.RequestException), key=repr))
def test_every_exception_of_requests_becomes_an_outcome(server: DevServer, kind: Any) -> None:
    """`send` turns every exception of `requests` into an outcome."""
    is_json = issubclass(kind, requests.exceptions.JSONDecodeError)
    error = kind("x", "y", 0) if is_json else kind("x")
    with responses.RequestsMock() as mock:
        mock.post(server.url + wire.SIGN_IN_PATH, body=error)
        outcome = transport_to(server).send([ENTRY])
    assert outcome.kind in (Kind.TRY_AGAIN, Kind.BLOCKED)


@pytest.mark.parametrize(
    ("error", "is_permanent"),
    [
        (requests.exceptions.InvalidURL("x"), True),
        (OSError("Could not find a suitable TLS CA certificate bundle"), True),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed")), True),
        (requests.exceptions.SSLError(ssl.SSLEOFError("EOF")), False),
        (requests.exceptions.ConnectionError(ConnectionResetError(104, "reset")), False),
        (requests.exceptions.ProxyError("http://me:pw@proxy"), False),
        (UnicodeError("label too long"), True),
    ],
)
def test_wrong_setup_is_a_permanent_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_permanent: bool
) -> None:
    """Wrong settings are a permanent failure, but a broken network is a temporary failure."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    session = _session.Session()
    monkeypatch.setattr(session._session, "send", fail)
    with pytest.raises(_session.RequestFailed) as caught:
        session.post("http://x", b"", {}, {}, (1, 1))
    assert caught.value.is_permanent is is_permanent
    assert "pw@" not in caught.value.detail
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://logs.invalid", True),
        ("http://localhost:1", False),
        ("http://127.8.8.8:1", False),
        ("http://[::1]:1", False),
        ("http://127.evil.invalid", True),
        ("https://logs.invalid", False),
    ],
)
def test_plain_http_beyond_this_machine_is_warned_of_once(
    capfd: pytest.CaptureFixture[str], url: str, is_warned: bool
) -> None:
    """If a base URL begins with "http:", one warning is printed, except for a local server."""
    with responses.RequestsMock(assert_all_requests_are_fired=False):
        transport = Transport("k", "s", url)
        transport.send([ENTRY])
        transport.send([ENTRY])
    assert capfd.readouterr().err.count("plain http") == is_warned


def test_transport_is_importable_without_requests() -> None:
    """The module of `Transport` can be imported without `requests`."""
    code = (
        "import sys; from voyage_logger import Transport; Transport('k', 's', 'http://x');"
        "print('requests' in sys.modules)"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (0, "False\n")


def test_more_threads_than_idle_connections_may_send_at_once(server: DevServer) -> None:
    """The number of sending threads can be larger than the size of the connection pool."""
    threads = 14  # the connection pool of `requests` has ten connections
    transport = transport_to(server)
    transport.sign_in()
    server.script(*[Fault(delay=0.5)] * threads)
    outcomes: list[bool] = []
    senders = [
        threading.Thread(target=lambda: outcomes.append(bool(transport.send([ENTRY]))))
        for _ in range(threads)
    ]
    for each in senders:
        each.start()
    for each in senders:
        each.join(30)
    transport.close()
    assert outcomes == [True] * threads


@pytest.mark.parametrize("entry", [b"{}", "{}", {"message": "x"}])
def test_single_entry_in_place_of_a_list_raises_an_error(transport: Transport, entry: Any) -> None:
    """If `send` gets a single entry instead of a list, the error says that a list is needed."""
    with pytest.raises(TypeError, match="a list of entries, not one"):
        transport.send(entry)


def test_transport_without_a_send_method_raises_an_error() -> None:
    """`BaseTransport.send` raises an error, because each transport must define its own `send`."""
    with pytest.raises(NotImplementedError):
        BaseTransport().send([])
