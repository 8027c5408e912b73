"""sentry-sdk's structured logs: `sentry_sdk.logger.info` with attributes.

`enable_logs` turns logs on. Sessions and client reports are off, because they would add requests.
Other options have their defaults: a batch is sent after 100 logs or five seconds, at most 1,000
logs wait, and bodies are gzip. Attributes cannot be nested, so each number is a separate attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sentry_sdk
from sentry_sdk import logger

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Sentry(Contestant):
    """The SDK with logs on."""

    gate = 500

    def __init__(self, place: Place) -> None:
        sentry_sdk.init(
            dsn=f"http://bench@127.0.0.1:{place.port}/1",
            enable_logs=True,
            auto_session_tracking=False,
            send_client_reports=False,
            environment="production",
        )
        client = sentry_sdk.get_client()
        self._batcher = client.log_batcher
        self._envelopes = client.transport._worker._queue

    def log(self, n: int, session: str) -> None:
        logger.info(
            "Payment authorized",
            attributes={
                "event_name": "payment_authorized",
                "event_flow_name": "checkout",
                "app_user_id": "user_48213",
                "session_id": session,
                "tags": ["payment", "eu"],
                "order": n,
                "amount": 129.95,
                "currency": "EUR",
                "items": 3,
                "duration_ms": 48.31,
            },
        )

    def waiting(self) -> int:
        return int(len(self._batcher._buffer) + 100 * self._envelopes.qsize())

    def flush(self, seconds: float) -> None:
        sentry_sdk.flush(seconds)
