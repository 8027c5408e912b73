"""The status of an answer counts, even if the rest of the answer is unusual or has errors."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
import zlib
from math import inf
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import sign_ins, until
from tests.support.raw_server import RawServer
from voyage_logger import BaseTransport, ConnectionFailed, Kind, Outcome, Transport
from voyage_logger.devserver import DevServer, Fault
from voyage_logger.transports._token import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.loggers import MakeLogger
    from voyage_logger import VoyageError

ENTRY = {"message": "x", "level": "info", "app_name": "app", "environment": "test"}
OK = b"HTTP/1.1 200 OK\r\n"
MANY = b"".join(b"X-Trace-%d: a\r\n" % number for number in range(120))


def transport_to(url: str) -> Transport:
    transport = Transport("key-of-the-app", "secret-of-the-app", url, timeout=(1, 0.5))
    transport._token = Token("token", inf)
    return transport


# The tests of heads that `http.client` refuses follow.


@pytest.mark.parametrize(
    "answer",
    [
        OK + MANY + b"Content-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        OK + b"Content-Length: 2, 3\r\n\r\n{}",
        OK + b"Content-Length: -1\r\n\r\n{}",
        OK + b"X-Long: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"X-Endless: " + b"a" * 300_000,
        OK + b"no header at all\r\n folded\r\n\xff\x00: x\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/2 200\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Le",
        OK,
    ],
    ids=[
        "many",
        "two lengths",
        "list of lengths",
        "negative length",
        "long",
        "endless",
        "broken",
        "version",
        "half a header",
        "no headers",
    ],
)
@pytest.mark.parametrize("closes", [True, False], ids=["closed", "open"])
def test_status_2xx_is_a_delivery_whatever_follows(answer: bytes, closes: bool) -> None:
    """If the status line says 200, the batch is delivered, even if the headers have errors."""
    with RawServer(answer, closes=closes) as server:
        transport = transport_to(server.url)
        for _ in range(2):
            outcome = transport.send([ENTRY])
            assert (outcome.kind, outcome.status) == (Kind.DELIVERED, 200)
            if closes:
                transport.close()
        transport.close()
    assert server.requests == 2


@pytest.mark.parametrize(
    ("lengths", "connections"), [(b"2", 1), (b"2, 2", 1), (b"2\r\nContent-Length: 3", 2)]
)
def test_connection_is_reused_only_if_the_end_of_the_body_is_known(
    lengths: bytes, connections: int
) -> None:
    """If two headers disagree about the length of the body, the connection is closed."""
    with RawServer(OK + b"Content-Length: " + lengths + b"\r\n\r\n{}") as server:
        transport = transport_to(server.url)
        assert transport.send([ENTRY])
        assert transport.send([ENTRY])
        transport.close()
        assert server.connections == connections


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Kind.UNAUTHORIZED), (413, Kind.TOO_LARGE), (422, Kind.REFUSED), (503, Kind.TRY_AGAIN)],
)
def test_other_statuses_with_many_headers_keep_their_meaning(status: int, kind: Kind) -> None:
    """With 120 headers, an error has its usual meaning, and its text and `Retry-After` are read."""
    body = b'{"error":"not today"}'
    head = b"HTTP/1.1 %d X\r\n%sRetry-After: 7\r\nContent-Length: %d\r\n\r\n"
    with RawServer(head % (status, MANY, len(body)) + body) as server:
        transport = transport_to(server.url)
        outcome = transport.send([ENTRY])
        transport.close()
    assert (outcome.kind, outcome.status, outcome.retry_after) == (kind, status, 7)
    assert "not today" in outcome.detail


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 ", b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_answer_without_a_status_is_no_delivery(answer: bytes) -> None:
    """If the status line is missing or broken, the batch is sent again later."""
    with RawServer(answer, closes=True) as server:
        transport = transport_to(server.url)
        outcome = transport.send([ENTRY])
        transport.close()
    assert (outcome.kind, outcome.status) == (Kind.TRY_AGAIN, None)


# The tests of answers that mean no follow.

PAGE = "<!DOCTYPE html><html><body>We are back soon</body></html>"


@pytest.mark.parametrize(
    ("body", "content_type", "kind"),
    [
        (PAGE, "text/plain", Kind.TRY_AGAIN),
        (PAGE, "application/json", Kind.TRY_AGAIN),
        ("\ufeff\r\n " + PAGE, "application/octet-stream", Kind.TRY_AGAIN),
        ('<?xml version="1.0"?><fault/>', "application/xml", Kind.TRY_AGAIN),
        ('{"error":"Invalid","message":"no","status":401}', "application/json", Kind.UNAUTHORIZED),
        ('{"error":"Invalid","message":"no","status":422}', "application/json", Kind.REFUSED),
        ('{"error":"Invalid","message":"no","status":413}', "text/plain", Kind.TOO_LARGE),
        ('{"error":"Invalid","message":"no","status":503}', "application/json", Kind.TRY_AGAIN),
        ('{"error":"Invalid","message":"no","status":403}', "application/json", Kind.BLOCKED),
    ],
)
def test_200_that_means_no_is_no_delivery(
    server: DevServer, body: str, content_type: str, kind: Kind
) -> None:
    """After a 200 with a page or with an error of the API, the batch is not delivered."""
    server.script(Fault(status=200, body=body, content_type=content_type))
    transport = Transport(server.api_key, server.api_secret, server.url)
    outcome = transport.send([ENTRY])
    assert outcome.kind is kind
    assert outcome.detail.startswith("HTTP 200 ")
    assert ("Invalid: no" in outcome.detail) == body.startswith("{")
    if kind is Kind.UNAUTHORIZED:
        assert transport.send([ENTRY])
        assert sign_ins(server) == 2
    transport.close()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "ok",
        "{}",
        '{"error":null,"message":"stored","status":200}',
        '{"error":"","message":"stored"}',
        '{"error":false}',
        '{"error":"the old format is deprecated","message":"stored"}',
        '{"error":"none","status":"success","message":"stored"}',
        '{"errors":[],"data":[{"error":"x"}]}',
        '["error"]',
        '{"error":',
    ],
)
def test_200_that_means_yes_is_a_delivery(server: DevServer, body: str) -> None:
    """After a 200 whose body is not an error of the API, the batch is delivered."""
    server.script(Fault(status=200, body=body))
    transport = Transport(server.api_key, server.api_secret, server.url)
    assert transport.send([ENTRY])
    transport.close()


def test_sign_in_that_is_refused_with_status_200_is_a_refusal(server: DevServer) -> None:
    """If a sign-in gets a 200 with an error 401 in the body, the credentials are wrong."""
    refusal = '{"error":"Invalid credentials","message":"API key is incorrect","status":401}'
    server.script_sign_in(Fault(status=200, body=refusal))
    transport = Transport(server.api_key, server.api_secret, server.url)
    outcome = transport.send([ENTRY])
    transport.close()
    assert (outcome.kind, outcome.status, outcome.is_sign_in) == (Kind.BLOCKED, 401, True)
    assert "API key is incorrect" in outcome.detail


# The tests of compressed answers follow.


def compressed(body: bytes, encoding: bytes, status: int = 200) -> bytes:
    head = b"HTTP/1.1 %d X\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (status, encoding, len(body)) + body


@pytest.mark.parametrize("status", [200, 503])
def test_compressed_answer_cannot_fill_the_memory(status: int) -> None:
    """If an answer of 64 KiB expands to 64 MiB, the client needs only a small part of that."""
    bomb = gzip.compress(b"0" * (64 << 20))
    with RawServer(compressed(bomb, b"gzip", status)) as server:
        transport = transport_to(server.url)
        transport.send([ENTRY])  # The first request loads the HTTP libraries.
        tracemalloc.start()
        outcome = transport.send([ENTRY])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        transport.close()
        asked = [head["Accept-Encoding"] for head in server.heads]
    assert outcome.status == status
    assert peak < 4 << 20
    assert asked == ["identity"] * 2


PACKED = gzip.compress(b'{"error":"not today"}', mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (PACKED, b"gzip", "HTTP 422 not today"),
        (PACKED, b" X-GZIP", "HTTP 422 not today"),
        (zlib.compress(b'{"error":"not today"}'), b"deflate", "HTTP 422 not today"),
        (b'{"error":"not today"}', b"identity", "HTTP 422 not today"),
        (b'{"error":"not today"}', b"gzip", "HTTP 422"),
        (PACKED[:-12], b"gzip", "HTTP 422"),
        (b"anything", b"br", "HTTP 422"),
        (b"anything", b"gzip, gzip", "HTTP 422"),
    ],
)
def test_compressed_answer_is_read_if_possible(body: bytes, encoding: bytes, text: str) -> None:
    """The client reads a text that is compressed with gzip or deflate. Else, the status counts."""
    with RawServer(compressed(body, encoding, 422)) as server:
        transport = transport_to(server.url)
        outcome = transport.send([ENTRY])
        transport.close()
    assert (outcome.kind, outcome.detail) == (Kind.REFUSED, text)


# The tests of texts with control characters follow.

EVIL = b"\x1b]0;pwned\x07\x1b[2K\rvoyage-logger: entries are being delivered again\x1b[8m"


@pytest.mark.parametrize(
    "answer",
    [
        EVIL + b"\r\n\r\n",
        b"HTTP/1.1 503 " + EVIL + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 " + EVIL + b"\r\n\r\n",
    ],
)
def test_text_of_a_server_cannot_move_the_cursor(answer: bytes, make_logger: MakeLogger) -> None:
    """Control characters of a server appear nowhere, neither in outcomes nor in reports."""
    errors: list[VoyageError] = []
    with RawServer(answer, closes=True) as server:
        outcome = transport_to(server.url).send([ENTRY])
        logger = make_logger(base_url=server.url, on_error=errors.append)
        logger.info("x")
        logger.flush(0.1)
        until(lambda: logger.stats().last_problem)
        problem = logger.stats().last_problem
        logger.close(timeout=0)
    assert outcome.detail.isprintable()
    assert problem is not None
    assert problem.isprintable()
    assert [str(error).isprintable() for error in errors] == [True] * len(errors)
    assert errors


def test_text_of_a_proxy_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in a proxy's answer to CONNECT do not appear in outcomes."""
    with RawServer(b"HTTP/1.1 407 " + EVIL + b"\r\n\r\n", closes=True) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        detail = transport_to("https://192.0.2.1").send([ENTRY]).detail
    assert "pwned" in detail
    assert detail.isprintable()


def test_text_of_a_custom_transport_cannot_move_the_cursor(make_logger: MakeLogger) -> None:
    """Control characters in the outcome of a custom transport do not appear in reports."""
    errors: list[VoyageError] = []

    class Evil(BaseTransport):
        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            return Outcome(Kind.BLOCKED, EVIL.decode())

    logger = make_logger(transport=Evil(), on_error=errors.append)
    logger.info("x")
    until(lambda: errors)
    assert "pwned" in str(errors[0])
    assert str(errors[0]).isprintable()
    problem = logger.stats().last_problem
    assert problem is not None
    assert problem.isprintable()


def test_text_of_a_custom_sign_in_cannot_move_the_cursor(make_logger: MakeLogger) -> None:
    """Control characters in the error of a custom `sign_in` do not appear in `last_problem`."""
    is_read = threading.Event()

    class Evil(BaseTransport):
        def sign_in(self) -> None:
            raise ConnectionFailed(EVIL.decode())

        def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
            is_read.wait(30)
            return Outcome(Kind.DELIVERED)

    logger = make_logger(transport=Evil())
    logger.info("x")
    until(lambda: logger.stats().last_problem)
    problem = logger.stats().last_problem
    is_read.set()
    assert problem is not None
    assert "pwned" in problem
    assert problem.isprintable()


# The tests of short credentials follow.


@pytest.mark.parametrize("credential", ["s", "e", "status", "server"])
def test_short_credential_does_not_garble_a_message(credential: str) -> None:
    """A credential with fewer than 7 characters is not masked, because it might be a word."""
    body = b'{"error":"the server has another status"}'
    head = b"HTTP/1.1 422 X\r\nContent-Length: %d\r\n\r\n"
    with RawServer(head % len(body) + body) as server:
        transport = Transport(credential, credential, server.url)
        transport._token = Token("x", inf)
        assert transport.send([ENTRY]).detail == "HTTP 422 the server has another status"
        transport.close()
