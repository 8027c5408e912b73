"""The logger's key, secret and token never appear in a text or pickle that people can see."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from tests.support.loggers import until
from voyage_logger import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    Transport,
    VoyageError,
    VoyageLogger,
)
from voyage_logger._base import wire
from voyage_logger.devserver import DevServer, html_ok
from voyage_logger.transports._endpoint import Credentials, endpoint_from
from voyage_logger.transports._token import Token
from voyage_logger.transports._verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, SECRET, TOKEN = "kk-planted-4711-kk", "ss-planted-4712-ss", "tt-planted-4713-tt"
ENTRY = {"message": "x", "level": "info", "app_name": "app", "environment": "test"}


def assert_clean(*seen: object) -> None:
    """Check that the texts contain no recognizable part of a secret."""
    for each in seen:
        data = each if isinstance(each, bytes) else str(each).encode()
        for secret in (KEY, SECRET, TOKEN):
            assert secret[:12].encode() not in data, data
            assert secret[-8:].encode() not in data, data


class Echo:
    """A server that repeats the whole request in its answer."""

    def __init__(self) -> None:
        self.sign_in_status = self.batch_status = 200
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                is_sign_in = self.path == wire.SIGN_IN_PATH
                status = echo.sign_in_status if is_sign_in else echo.batch_status
                # The secrets come first, because the client shows only the beginning of an answer.
                headers = sorted(self.headers.items(), key=lambda item: "planted" not in item[1])
                said = json.dumps(headers)
                body = {"error": said, "message": said, "detail": said}
                if is_sign_in and status == 200:
                    body = {"data": [{"access_token": TOKEN}]}  # type: ignore[dict-item]
                payload = json.dumps(body).encode()
                self.send_response(status, f"You sent {said}")
                if 300 <= status < 400:
                    self.send_header("Location", f"http://elsewhere.invalid/{KEY}/{SECRET}/{TOKEN}")
                self.send_header("Content-Length", str(len(payload)))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def logger_to() -> Iterator[Callable[..., VoyageLogger]]:
    loggers: list[VoyageLogger] = []

    def make(url: str, **settings: Any) -> VoyageLogger:
        settings = {"flush_interval": 600, "timeout": 5, **settings}
        loggers.append(
            VoyageLogger("app", base_url=url, api_key=KEY, api_secret=SECRET, **settings)
        )
        return loggers[-1]

    yield make
    for logger in loggers:
        logger.close(timeout=0)


@pytest.fixture
def signed_in(echo: Echo, logger_to: Callable[..., VoyageLogger]) -> tuple[VoyageLogger, Transport]:
    """Return a logger that has a key, a secret and a token, and return its transport."""
    logger = logger_to(echo.url)
    logger.info("x")
    assert logger.flush()
    transport = logger._transport
    assert isinstance(transport, Transport)
    assert transport._token is not None
    assert transport._token.value == TOKEN
    return logger, transport


def dump(thing: object, seen: set[int]) -> str:
    """Return the `repr` of a value, of all its attributes, of their attributes, and so on."""
    if id(thing) in seen:
        return ""
    seen.add(id(thing))
    below: list[object] = []
    if isinstance(thing, dict):
        below += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        below += thing
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        below += vars(thing).values()
    return repr(thing) + "".join(dump(each, seen) for each in below)


def test_no_repr_shows_them(signed_in: tuple[VoyageLogger, Transport]) -> None:
    """No `repr` of a logger, a transport or one of their attributes shows a secret."""
    logger, transport = signed_in
    endpoint = endpoint_from(KEY, SECRET, None, timeout=1, compress=False)
    things = [logger, transport, endpoint, Credentials(KEY, SECRET), Token(TOKEN, 1.0)]
    things.append(
        Answer(200, "application/json", None, None, f'"access_token": "{TOKEN}"'.encode())
    )
    assert_clean(*map(repr, things), repr(logger.stats()), f"{logger} {transport}")
    assert_clean(dump(logger, set()), dump(transport, set()))
    assert_clean(repr(copy.deepcopy([logger, transport])), dump(copy.deepcopy(logger), set()))


@pytest.mark.parametrize(
    "dumps",
    [
        *(lambda thing, n=n: pickle.dumps(thing, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)),
        cloudpickle.dumps,
    ],
)
def test_no_pickle_carries_them(
    signed_in: tuple[VoyageLogger, Transport], dumps: Callable[[object], bytes]
) -> None:
    """Pickles contain no secret, whatever the pickle protocol is."""
    logger, transport = signed_in
    with_transport = VoyageLogger("app", transport=transport)
    assert_clean(dumps(logger), dumps(transport), dumps(with_transport))
    assert_clean(cloudpickle.dumps(lambda: (logger, transport)))


def test_credentials_by_themselves_are_not_pickled() -> None:
    """The credentials alone cannot be pickled: the attempt raises an error."""
    for thing in (Credentials(KEY, SECRET), Token(TOKEN, 1.0)):
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(thing)


def refused() -> str:
    with DevServer() as gone:
        return gone.url


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, AuthenticationError),
        (400, ConnectionFailed),
        (404, ConnectionFailed),
        (302, ConnectionFailed),
        (307, ConnectionFailed),
        (500, ConnectionFailed),
        (201, ConnectionFailed),
    ],
)
def test_no_error_of_verify_shows_them(
    echo: Echo,
    logger_to: Callable[..., VoyageLogger],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    status: int,
    kind: type[VoyageError],
) -> None:
    """Errors of `verify` show no secret, even if the traceback shows local variables."""
    caplog.set_level(logging.DEBUG)
    echo.sign_in_status = status
    logger = logger_to(echo.url)
    with pytest.raises(kind) as caught:
        logger.verify()
    assert_all_clean(caught.value)
    captured = capfd.readouterr()
    assert_clean(captured.out, captured.err, caplog.text)


def assert_all_clean(error: VoyageError) -> None:
    assert_clean(error, repr(error), vars(error), pickle.dumps(error))
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert_clean("".join(shown.format()))


def test_no_error_of_a_server_that_is_none_shows_them(
    logger_to: Callable[..., VoyageLogger], server: DevServer
) -> None:
    """If a program that is not the server answers, the error does not show a secret."""
    server.script_sign_in(html_ok())
    for url in (server.url, refused(), "http://voyage-logger.invalid"):
        with pytest.raises(ConnectionFailed) as caught:
            logger_to(url).verify()
        assert_all_clean(caught.value)


def test_no_error_of_the_constructor_shows_them() -> None:
    """An error about a wrong key does not show the key."""
    wrong: list[dict[str, Any]] = [
        {"api_key": f"{KEY}\n{KEY}", "api_secret": SECRET},
        {"api_key": KEY, "api_secret": f"{SECRET}\u00e9"},
        {"api_key": KEY.encode(), "api_secret": SECRET},
        {"base_url": f"https://{KEY}:{SECRET}@logs.invalid"},
        {"base_url": f"https://logs.invalid/?key={KEY}"},
        {"api_key": KEY, "strict": True},
    ]
    for arguments in wrong:
        with pytest.raises(ConfigurationError) as caught:
            VoyageLogger("app", **arguments)
        assert_clean(caught.value, repr(caught.value), pickle.dumps(caught.value))


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize("kind", [VoyageLogger, Transport])
@pytest.mark.parametrize(
    "wrong", [{"base_url": "ftp://x"}, {"timeout": -1}, {"compress": 2}, {"api_key": "\u20ac"}]
)
def test_no_traceback_of_the_constructor_shows_the_environment(
    monkeypatch: pytest.MonkeyPatch, kind: type, wrong: dict[str, Any], is_given: bool
) -> None:
    """If an argument is wrong, the local variables in the traceback show no environment variable.

    A secret argument is only in variables that have the name of the argument.
    """
    monkeypatch.setenv("DATABASE_PASSWORD", TOKEN)
    monkeypatch.setenv("VOYAGE_LOGS_URL", f"https://{TOKEN}.invalid")
    if is_given:
        wrong = {"api_key": KEY, "api_secret": SECRET, **wrong}
    else:
        monkeypatch.setenv("VOYAGE_LOGS_KEY", KEY)
        monkeypatch.setenv("VOYAGE_LOGS_SECRET", SECRET)
    with pytest.raises(ConfigurationError) as caught:
        kind(*(["app"] if kind is VoyageLogger else []), **wrong)
    stack = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert stack
    for frame in stack:
        found = dict(frame.f_locals)
        for name in ("api_key", "api_secret", "self"):
            found.pop(name, None)
        arguments = dict(found.pop("arguments", {}))
        arguments.pop("self", None)  # The `repr` of a half-made logger can raise an error.
        assert_clean(found, arguments)
    if kind is Transport:
        assert repr(stack[0].f_locals["self"]) == "Transport()"


def test_no_traceback_of_an_interrupted_sign_in_shows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If Ctrl-C interrupts a sign-in, the local variables in the traceback show no secret."""
    import requests  # noqa: PLC0415 - slow to import

    def interrupt(*_args: object, **_settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Session, "send", interrupt)
    transport = Transport(KEY, SECRET, "http://127.0.0.1:1")
    for call in (transport.sign_in, lambda: transport.send([ENTRY])):
        transport._token = Token(TOKEN, float("inf")) if call is not transport.sign_in else None
        with pytest.raises(KeyboardInterrupt) as caught:
            call()
        shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [frame for frame in shown.stack if "voyage_logger" in frame.filename]
        assert len(ours) >= 3
        assert_clean("".join(traceback.StackSummary.from_list(ours).format()))
        for frame in ours:
            assert_clean(frame.locals)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_no_word_of_delivery_shows_them(
    echo: Echo,
    logger_to: Callable[..., VoyageLogger],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    status: int,
) -> None:
    """If the server's answer repeats a secret, no message or log line of the client shows it."""
    caplog.set_level(logging.DEBUG)
    echo.batch_status = status
    errors: list[VoyageError] = []
    logger = logger_to(echo.url, on_error=errors.append, max_queue_size=50)
    logger.critical("x")
    until(lambda: logger.stats().last_problem or logger.stats().rejected)
    stats = logger.stats()
    transport = logger._transport
    outcome = transport.send([json.dumps(ENTRY).encode()])
    logger.close(timeout=0)
    until(lambda: errors)  # The worker can call `on_error` a little later.
    captured = capfd.readouterr()
    assert captured.err
    for error in errors:
        assert_all_clean(error)
    assert_clean(repr(outcome), repr(stats), stats.last_problem, repr(logger.stats()))
    assert_clean(captured.out, captured.err, caplog.text)
    for record in caplog.records:
        assert_clean(repr(vars(record)))
