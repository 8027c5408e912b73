"""A client for tests of the dev server. From the package, this file imports only API paths."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH

if TYPE_CHECKING:
    from voyage_logger.devserver import DevServer

KEYS = {"x-api-key": "dev-key", "x-api-secret": "dev-secret"}


class Client:
    """A client that uses one connection for all its requests."""

    def __init__(self, server: DevServer) -> None:
        self.http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self.token = ""

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        self.http.request(method, path, body, headers or {})
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read())

    def sign_in(self) -> dict[str, Any]:
        status, answer = self.ask("POST", SIGN_IN_PATH, headers=KEYS)
        assert status == 200
        (data,) = answer["data"]
        self.token = data["access_token"]
        return dict(data)

    def post(self, body: bytes, **headers: str) -> tuple[int, Any]:
        own = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", BATCH_PATH, body, {**own, **names})

    def send(self, *entries: Any) -> tuple[int, Any]:
        return self.post(json.dumps({"logs": entries}).encode())
