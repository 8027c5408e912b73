"""The `event_name` of each event that the client itself logs."""

from __future__ import annotations

JOURNEY_COMPLETED = "journey_completed"
JOURNEY_FAILED = "journey_failed"
JOURNEY_INTERRUPTED = "journey_interrupted"
UNCAUGHT_EXCEPTION = "uncaught_exception"
ENTRIES_LOST = "voyage_logger.entries_lost"
