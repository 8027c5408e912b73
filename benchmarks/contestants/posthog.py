"""posthog: its users log events with the method `capture` and properties.

The client has its defaults: at most 10,000 entries wait. One thread sends the entries after five
seconds, or when 100 entries wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from posthog import Posthog

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class PostHog(Contestant):
    """A client with its default settings."""

    def __init__(self, place: Place) -> None:
        self._client = Posthog("bench-key", host=place.url)

    def log(self, n: int, session: str) -> None:
        self._client.capture(
            "payment_authorized",
            distinct_id="user_48213",
            properties={
                "message": "Payment authorized",
                "level": "info",
                "event_flow_name": "checkout",
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
        return int(self._client.queue.qsize())

    def flush(self, seconds: float) -> None:  # noqa: ARG002 - the client has no time limit
        self._client.flush()
