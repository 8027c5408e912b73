"""logtail-python: a logger of the standard library with its handler, and fields in `extra`.

The handler has its defaults. At most 1,000 entries wait, and further entries are dropped. A batch
is sent when 1,000 entries wait or after a second. The standard library flushes the handler at exit.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logtail import LogtailHandler

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Logtail(Contestant):
    """The handler with its defaults."""

    gate = 500

    def __init__(self, place: Place) -> None:
        self._handler = LogtailHandler(source_token="bench", host=place.url)
        self._logger = logging.getLogger("shop")
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False
        self._logger.addHandler(self._handler)

    def log(self, n: int, session: str) -> None:
        self._logger.info(
            "Payment authorized",
            extra={
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
        return int(self._handler.pipe.qsize())

    def flush(self, seconds: float) -> None:
        self._handler.flush_timeout = seconds
        self._handler.flush()
