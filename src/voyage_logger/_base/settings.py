"""The settings of a logger, and the names of the environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any, Protocol

    from voyage_logger._base.errors import VoyageError

    class Sample(Protocol):
        """A rule that says which entries are sent."""

        needs_entry: bool  # False if the fields of the log call are enough for the rule

        def leaves_out(self, rank: int, entry: dict[str, Any]) -> bool:
            """Return True if an entry of that rank is not sent."""


KIB = 1024
MIB = 1024 * KIB

KEY_VARIABLE = "VOYAGE_LOGS_KEY"
SECRET_VARIABLE = "VOYAGE_LOGS_SECRET"  # noqa: S105 - the name of a variable
URL_VARIABLE = "VOYAGE_LOGS_URL"
ENVIRONMENT_VARIABLE = "VOYAGE_LOGS_ENVIRONMENT"
SPOOL_VARIABLE = "VOYAGE_LOGS_SPOOL_DIR"
# The vendor's short snippet reads these two. They count only as a pair: the unrelated package
# `voyageai` uses VOYAGE_API_KEY alone, and the key of that package must not reach this API.
SNIPPET_VARIABLES = ("VOYAGE_API_KEY", "VOYAGE_API_SECRET")


@frozen
class Settings:
    """All settings of a logger except the endpoint; `VoyageLogger` explains each."""

    app_name: str
    environment: str
    batch_size: int
    flush_interval: float
    level: int
    max_queue_size: int
    max_queue_bytes: int
    max_batch_bytes: int
    max_entry_bytes: int
    shutdown_timeout: float
    redact: frozenset[str]
    before_send: Callable[[dict[str, Any]], dict[str, Any] | None] | None
    sample: Sample | None
    ticket_cooldown: float | None
    collapse: float | None
    on_error: Callable[[VoyageError], object] | None
    timestamps: bool
    capture_method: bool
    spool_dir: Path | None
    max_spool_bytes: int
    max_spool_age: float | None


def variable(environ: Mapping[str, str], name: str) -> str:
    """Return an environment variable without surrounding blanks, or "" if it is not set."""
    return environ.get(name, "").strip()
