"""Prototypes of a minimal client, which show how fast a client can be.

A call gets the time, an id and the name of the caller, and builds a dict. The call encodes the
dict, and appends the bytes to a deque. A thread posts the bytes with urllib3, at most a mebibyte in
each request. The prototypes have no redaction, context, limits, retries or counts.
"""

from __future__ import annotations

import atexit
import json
import sys
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from benchmarks.contestants._base import Place

_BATCH = 100
_BODY = 1024 * 1024
_INTERVAL = 5.0
_NAME = "co_qualname" if sys.version_info >= (3, 11) else "co_name"


class Ideal(Contestant):
    """The prototype with the json module."""

    _encode: Callable[[Any], Any]
    _late: Callable[[Any], bytes] | None = None

    def __init__(self, place: Place) -> None:
        to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        self._encode = lambda entry: to_text(entry).encode()
        self._set_up(place)

    def _set_up(self, place: Place) -> None:
        import urllib3

        self._url = f"{place.url}/voyage/api/v1/logs/batch"
        self._pool = urllib3.PoolManager()
        self._queue: deque[Any] = deque()
        self._sequence = 0
        self._second = 0
        self._second_text = ""
        self._is_idle = True
        self._sending = 0
        self._wake = threading.Event()
        self._hurry = False
        threading.Thread(target=self._work, daemon=True).start()
        atexit.register(self.flush, 5.0)

    def _stamp(self) -> str:
        micros = time.time_ns() // 1000
        second = micros // 1_000_000
        if second != self._second:
            self._second_text = datetime.fromtimestamp(second, timezone.utc).isoformat()[:19]
            self._second = second
        return f"{self._second_text}.{micros % 1_000_000:06d}Z"

    def _put(self, message: str, fields: dict[str, Any]) -> None:
        self._sequence = number = self._sequence + 1
        meta_data = fields["meta_data"]
        meta_data["logged_at"] = self._stamp()
        meta_data["log_id"] = f"a1b2c3d4e5f6-{number}"
        entry = {
            "message": message,
            "level": "info",
            "app_name": "shop",
            "environment": "production",
            "method_name": getattr(sys._getframe(1).f_code, _NAME),
            **fields,
        }
        self._queue.append(self._encode(entry))
        if self._is_idle and len(self._queue) >= _BATCH:
            self._wake.set()

    def _work(self) -> None:
        queue = self._queue
        while True:
            self._is_idle = True
            if len(queue) < _BATCH and not self._hurry:
                self._wake.wait(_INTERVAL)
            self._wake.clear()
            self._is_idle = self._hurry = False
            while queue:
                lines, size = [], 0
                self._sending = 1
                while queue and size < _BODY:
                    line = queue.popleft()
                    if self._late is not None:
                        line = self._late(line)
                    lines.append(line)
                    size += len(line) + 1
                self._post(b'{"logs":[' + b",".join(lines) + b"]}")
            self._sending = 0

    def _post(self, body: bytes) -> None:
        self._pool.request(
            "POST",
            self._url,
            body=body,
            headers={"Content-Type": "application/json", "Authorization": "Bearer bench"},
            retries=False,
            timeout=10.0,
        )

    def log(self, n: int, session: str) -> None:
        self._put(
            "Payment authorized",
            {
                "event_name": "payment_authorized",
                "event_flow_name": "checkout",
                "app_user_id": "user_48213",
                "session_id": session,
                "tags": ["payment", "eu"],
                "meta_data": {
                    "order": n,
                    "amount": 129.95,
                    "currency": "EUR",
                    "items": 3,
                    "duration_ms": 48.31,
                },
            },
        )

    def waiting(self) -> int:
        return len(self._queue)

    def flush(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._hurry = True
        self._wake.set()
        while (self._queue or self._sending) and time.monotonic() < end:
            time.sleep(0.002)


class IdealLate(Ideal):
    """The prototype that encodes in the thread. The call only copies values that can change."""

    def __init__(self, place: Place) -> None:
        to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
        self._late = lambda entry: to_text(entry).encode()
        self._encode = dict
        self._set_up(place)


class IdealOrjson(Ideal):
    """The prototype with orjson, which encodes directly to bytes."""

    def __init__(self, place: Place) -> None:
        import orjson

        self._encode = orjson.dumps
        self._set_up(place)
