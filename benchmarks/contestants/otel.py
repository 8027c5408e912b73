"""OpenTelemetry logs, exported by OTLP over HTTP in protobuf.

The benchmark calls `Logger.emit` directly, because the handler for `logging` would add the cost of
that module. Batch processor and exporter have their defaults: at most 2,048 entries wait, and a
batch is sent each second or when 512 entries wait. By default, the SDK's own metrics are off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from benchmarks.contestants._base import Contestant

if TYPE_CHECKING:
    from benchmarks.contestants._base import Place


class OpenTelemetry(Contestant):
    """A logger provider with the batch processor and the exporter."""

    gate = 1_024

    def __init__(self, place: Place) -> None:
        resource = Resource({"service.name": "shop", "deployment.environment": "production"})
        self._provider = LoggerProvider(resource=resource)
        processor = BatchLogRecordProcessor(OTLPLogExporter(endpoint=f"{place.url}/v1/logs"))
        self._provider.add_log_record_processor(processor)
        self._queue = processor._batch_processor._queue
        self._logger = self._provider.get_logger("shop")

    def log(self, n: int, session: str) -> None:
        self._logger.emit(
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            body="Payment authorized",
            event_name="payment_authorized",
            attributes={
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
        return len(self._queue)

    def flush(self, seconds: float) -> None:
        self._provider.force_flush(int(seconds * 1000))
