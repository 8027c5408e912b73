"""The code that users write without a client: a QueueHandler, a listener, and requests.

The code sends a batch when 100 records wait, or after a second. Failures are printed. This code has
no retry and no limit, and only `atexit` sends the last records.
"""

from __future__ import annotations

import atexit
import json
import logging
import logging.handlers
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING

import requests

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from typing import Any

    from benchmarks.contestants._base import Place


class _Sender(threading.Thread):
    """Take records from the queue and post them."""

    def __init__(self, url: str, records: queue.SimpleQueue[Any]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._records = records
        self._session = requests.Session()
        self._session.headers["Authorization"] = "Bearer bench"
        self.is_idle = threading.Event()

    def run(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._post(batch)

    def _next_batch(self) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = []
        end = time.monotonic() + 1
        while len(batch) < 100:
            if self._records.empty() and not batch:
                self.is_idle.set()
            try:
                record = self._records.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            self.is_idle.clear()
            if record is None:  # None in the queue is a request to flush
                break
            batch.append(record.entry)
        return batch

    def _post(self, batch: list[dict[str, Any]]) -> None:
        body = json.dumps({"logs": batch}, default=str)
        try:
            answer = self._session.post(
                self._url,
                data=body.encode(),
                headers={"Content-Type": "application/json"},
                timeout=10,
            )
            answer.raise_for_status()
        except requests.RequestException as error:
            print(f"logs lost: {error}", file=sys.stderr)


class _Handler(logging.handlers.QueueHandler):
    """Make the entry in the caller's thread, which is the purpose of `QueueHandler.prepare`."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.entry = {
            "message": record.getMessage(),
            "level": record.levelname.lower(),
            "app_name": "shop",
            "environment": "production",
            "method_name": record.funcName,
            "logged_at": record.created,
            **record.fields,  # type: ignore[attr-defined]
        }
        return record


class ByHand(Contestant):
    """Queue, handler and listener, connected as in the cookbook of the standard library."""

    def __init__(self, place: Place) -> None:
        self._records: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._sender = _Sender(f"{place.url}/voyage/api/v1/logs/batch", self._records)
        self._sender.start()
        self._logger = logging.getLogger("shop")
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        self._logger.addHandler(_Handler(self._records))
        atexit.register(self.flush, 5.0)

    def log(self, n: int, session: str) -> None:
        self._logger.info(
            "Payment authorized",
            extra={
                "fields": {
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
                }
            },
        )

    def waiting(self) -> int:
        return self._records.qsize()

    def flush(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._records.put(None)
        self._sender.is_idle.clear()
        while not (self._records.empty() and self._sender.is_idle.wait(0.01)):
            if time.monotonic() > end:
                return
