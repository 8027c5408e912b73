"""voyage-logger: with all defaults, with the extra `speed`, or with a spool.

The logger is `VoyageLogger("shop")`, so time, id, method name, redaction and context are on.
"""

from __future__ import annotations

import sys
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class Voyage(Contestant):
    """The logger with the json module, even if orjson is installed."""

    takes_options = True

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, place: Place) -> None:
        sys.modules["orjson"] = None  # type: ignore[assignment]  # `import orjson` fails
        self._set_up(place, **self.settings)

    def _set_up(self, place: Place, **more: Any) -> None:
        from voyage_logger import VoyageLogger

        self.logger = VoyageLogger(
            "shop",
            base_url=place.url,
            api_key="bench-key",
            api_secret="bench-secret",
            **more,
            **place.options,
        )

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

    def waiting(self) -> int:
        return len(self.logger._pipeline.queue)  # a call of `stats` would take 15 us

    def flush(self, seconds: float) -> None:
        self.logger.flush(seconds)


class VoyageFixed(Voyage):
    """The logger with at most 100 entries in a request."""

    settings: ClassVar[dict[str, Any]] = {"max_batch_bytes": 46_000, "max_entry_bytes": 40_000}


class VoyageGzip(Voyage):
    """The logger with `compress=True`."""

    settings: ClassVar[dict[str, Any]] = {"compress": True}


class VoyageSpeed(Voyage):
    """The logger with the extra `speed`: orjson encodes the entries."""

    def __init__(self, place: Place) -> None:
        self._set_up(place)


class VoyageSpool(Voyage):
    """The logger with `spool_dir`. When a log call returns, its entry is in a file."""

    def __init__(self, place: Place) -> None:
        sys.modules["orjson"] = None  # type: ignore[assignment]
        self._folder = tempfile.TemporaryDirectory(prefix="bench-spool-")
        self._set_up(place, spool_dir=self._folder.name)
