"""Serves a connection: reads each request, and answers the request or misbehaves as scripted.

What must stay true: a request is added to the journal before its answer is sent. So a test can
find the request in the journal as soon as the client has the answer. A request that a web page of
another site has made a browser send is refused, whatever its path is, and uses up no fault.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH
from voyage_logger.devserver._backend import NO_FAULT
from voyage_logger.devserver._control import PREFIX, control
from voyage_logger.devserver._http import (
    Answer,
    Refusal,
    Vanished,
    error_answer,
    read_line,
    read_request,
)
from voyage_logger.devserver._journal import RecordedRequest

if TYPE_CHECKING:
    import threading

    from voyage_logger.devserver._backend import Backend
    from voyage_logger.devserver._connections import Connection, Connections
    from voyage_logger.devserver._faults import Fault
    from voyage_logger.devserver._hosts import Hosts
    from voyage_logger.devserver._http import Request
    from voyage_logger.devserver._journal import Endpoint

_ENDPOINTS: dict[str, Endpoint] = {SIGN_IN_PATH: "sign-in", BATCH_PATH: "batch"}

_DRAIN_SECONDS = 1.0  # The longest time to read and ignore the rest of a refused request.


class Handler:
    """Handles the requests of all connections. Thread-safe: its attributes never change."""

    def __init__(
        self, backend: Backend, connections: Connections, hosts: Hosts, stopped: threading.Event
    ) -> None:
        self._backend = backend
        self._connections = connections
        self._hosts = hosts
        self._stopped = stopped  # All delays end when this event is set.

    def serve(self, connection: Connection) -> None:
        """Answer a connection's requests until the client or the server ends the connection."""
        # An OSError means that the client or another thread has closed the connection.
        with contextlib.suppress(OSError, Vanished), connection.socket.makefile("rb") as reader:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while line := read_line(reader):
                if not self._connections.begin(connection):
                    return
                try:
                    request = read_request(line, reader, connection.socket.sendall)
                except Refusal as refusal:
                    self._refuse(connection, refusal)
                    return
                if not self._exchange(connection, request):
                    return

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        """Answer a request that was not read completely, and end the connection."""
        head, body = refusal.answer.encode(close=True)
        self._connections.send(connection, head + body)
        # If unread bytes are left, `close` sends a TCP reset, and the client can lose the answer.
        connection.socket.shutdown(socket.SHUT_WR)
        connection.socket.settimeout(_DRAIN_SECONDS)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while connection.socket.recv(1 << 16) and time.monotonic() < deadline:
            pass

    def _exchange(self, connection: Connection, request: Request) -> bool:
        """Answer one request or misbehave as scripted. Return True if the connection stays open."""
        endpoint = _endpoint(request)
        refused = self._refused(request)
        is_planned = refused is None and request.method == "POST"
        fault = self._backend.next_fault(endpoint) if is_planned else NO_FAULT
        if fault.hang:
            # First mark the connection: `_record` can wake a test that then calls `release`.
            self._connections.hang(connection)
        if fault.hang or fault.reset == "before":
            self._record(endpoint, request, None)
            _leave_unanswered(connection, fault)
            return False
        answer = refused or self._answer(endpoint, request, fault)
        self._record(endpoint, request, None if fault.reset else answer.status)
        if fault.delay and self._stopped.wait(fault.delay):
            return False
        if fault.reset:
            _leave_unanswered(connection, fault)
            return False
        return self._send(connection, request, answer, cut=fault.cut)

    def _refused(self, request: Request) -> Answer | None:
        """Return the answer to a request that another site has caused, and None for the others."""
        try:
            self._hosts.check(request)
        except Refusal as refusal:
            return refusal.answer
        return None

    def _answer(self, endpoint: Endpoint, request: Request, fault: Fault) -> Answer:
        if fault.status is not None:
            return _scripted(fault, fault.status)
        try:
            answer = self._handle(endpoint, request)
        except Refusal as refusal:
            answer = refusal.answer
        except Exception as error:  # noqa: BLE001 - an answer helps more than a broken connection
            # For example, another program has changed or locked the database file.
            cause = f"{type(error).__name__}: {error}"
            answer = error_answer(500, f"the dev server has failed: {cause}")
        return replace(answer, headers={**answer.headers, **fault.headers})

    def _handle(self, endpoint: Endpoint, request: Request) -> Answer:
        if endpoint == "dev":
            return control(self._backend, request)
        if endpoint == "unknown":
            hint = f"; the entries are at {PREFIX}entries" if request.path == "/" else ""
            raise Refusal(404, f"there is no {request.target[:200]}{hint}")
        if request.method != "POST":
            raise Refusal(405, f"{request.path} takes POST", headers={"Allow": "POST"})
        if endpoint == "sign-in":
            return self._backend.sign_in(request)
        return self._backend.take_batch(request)

    def _record(self, endpoint: Endpoint, request: Request, status: int | None) -> None:
        self._backend.journal.record(
            RecordedRequest(
                endpoint=endpoint,
                method=request.method,
                path=request.target,
                headers=request.headers,
                body=request.body,
                status=status,
                time=self._backend.clock(),
            )
        )

    def _send(
        self, connection: Connection, request: Request, answer: Answer, *, cut: bool = False
    ) -> bool:
        close = request.wants_close or answer.wants_close or connection.is_last
        head, body = answer.encode(bodiless=request.method == "HEAD", close=close)
        body = body[: len(body) // 2] if cut else body
        return self._connections.send(connection, head + body) and not (close or cut)


def _endpoint(request: Request) -> Endpoint:
    if request.path.startswith(PREFIX):
        return "dev"
    return _ENDPOINTS.get(request.target, "unknown")


def _scripted(fault: Fault, status: int) -> Answer:
    error = error_answer(status, "scripted in the dev server").body
    body = error if fault.body is None else fault.body.encode()
    return Answer(status, body, fault.content_type, fault.headers)


def _leave_unanswered(connection: Connection, fault: Fault) -> None:
    if fault.reset is not None:
        connection.reset()
        return
    # The loop ends when the client or another thread ends the connection.
    while connection.socket.recv(1 << 16):
        pass
