"""The Python class that the vendor tells its users to paste into their code.

Source: vendor docs, the reference class in Python. This class behaves like the vendor's class, but
has new code. The constructor signs in. When 100 entries wait, the caller's thread posts them. Every
five seconds, another thread posts the waiting entries. The class sends nothing at exit.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import requests

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class VendorLogger:
    """The parts of the reference class that a benchmark uses."""

    def __init__(
        self,
        base_url: str,
        app_name: str,
        environment: str = "production",
        batch_size: int = 100,
        flush_interval: float = 5.0,
    ) -> None:
        self.app_name = app_name
        self.environment = environment
        self.batch_size = batch_size
        self.flush_interval = flush_interval
        self.base_url = base_url
        self._queue: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._authenticate()
        threading.Thread(target=self._flush_for_ever, daemon=True).start()

    def _authenticate(self) -> None:
        response = requests.post(  # noqa: S113 - the published class also has no time limit
            f"{self.base_url}/accounts/api/v1/auth/sign-in-keys",
            headers={"x-api-key": "bench-key", "x-api-secret": "bench-secret"},
        )
        response.raise_for_status()
        self._access_token = response.json()["data"][0]["access_token"]
        self._token_expiry = time.time() + 3600

    def _flush_for_ever(self) -> None:
        while True:
            time.sleep(self.flush_interval)
            self.flush()

    def _send_batch(self, logs: list[dict[str, Any]]) -> bool:
        try:
            if time.time() >= self._token_expiry - 300:
                self._authenticate()
            response = requests.post(
                f"{self.base_url}/voyage/api/v1/logs/batch",
                headers={
                    "Authorization": f"Bearer {self._access_token}",
                    "Content-Type": "application/json",
                },
                json={"logs": logs},
                timeout=10,
            )
        except Exception as error:  # noqa: BLE001 - as published
            print(f"Failed to send logs: {error}")
            return False
        return response.status_code in (200, 201)

    def flush(self) -> None:
        with self._lock:
            if not self._queue:
                return
            logs = self._queue.copy()
            self._queue.clear()
        self._send_batch(logs)

    def log(self, level: str, message: str, **fields: Any) -> None:
        entry = {
            "message": message,
            "level": level,
            "app_name": self.app_name,
            "environment": self.environment,
            **fields,
        }
        with self._lock:
            self._queue.append(entry)
            is_full = len(self._queue) >= self.batch_size
        if is_full:
            self.flush()

    def info(self, message: str, **fields: Any) -> None:
        self.log("info", message, **fields)


class Vendor(Contestant):
    """The class with its default settings."""

    def __init__(self, place: Place) -> None:
        self.logger = VendorLogger(place.url, "shop")

    def log(self, n: int, session: str) -> None:
        self.logger.info(
            "Payment authorized",
            event_name="payment_authorized",
            event_flow_name="checkout",
            app_user_id="user_48213",
            session_id=session,
            tags=["payment", "eu"],
            meta_data={
                "order": n,
                "amount": 129.95,
                "currency": "EUR",
                "items": 3,
                "duration_ms": 48.31,
            },
        )

    def flush(self, seconds: float) -> None:  # noqa: ARG002 - the class has no time limit
        self.logger.flush()
