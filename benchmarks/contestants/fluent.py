"""fluent-logger sends msgpack over TCP to a local fluentd, in the caller's thread.

The benchmark uses `FluentSender.emit`, as the documentation does. `emit` adds the time. The
sender has no queue, so all data that is passed to the kernel counts as delivered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluent.sender import FluentSender

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Fluent(Contestant):
    """A sender with its default settings."""

    def __init__(self, place: Place) -> None:
        self.sender = FluentSender("shop", host="127.0.0.1", port=place.port)

    def log(self, n: int, session: str) -> None:
        self.sender.emit(
            "production",
            {
                "message": "Payment authorized",
                "level": "info",
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

    def flush(self, seconds: float) -> None:
        """Do nothing, because the sender has no queue."""
