"""A logger's settings as values, and the names of the environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from voyage_logger._base.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from voyage_logger._base.errors import VoyageError

KIB = 1024
MIB = 1024 * KIB

KEY_VARIABLE = "VOYAGE_LOGS_KEY"
SECRET_VARIABLE = "VOYAGE_LOGS_SECRET"  # noqa: S105 - the variable's name
URL_VARIABLE = "VOYAGE_LOGS_URL"
ENVIRONMENT_VARIABLE = "VOYAGE_LOGS_ENVIRONMENT"
SPOOL_VARIABLE = "VOYAGE_LOGS_SPOOL_DIR"
# The vendor's short snippet reads these. Only as a pair: the unrelated `voyageai` package for
# embeddings reads VOYAGE_API_KEY alone, and its key must not be sent to somebody else.
SNIPPET_VARIABLES = ("VOYAGE_API_KEY", "VOYAGE_API_SECRET")


class Sample(Protocol):
    """A rule that says which entries are sent."""

    needs_entry: bool  # False if the fields of the log call are enough for the rule

    def leaves_out(self, rank: int, entry: dict[str, Any]) -> bool:
        """Return True if an entry of that rank is not sent."""


@frozen
class Settings:
    """All of a logger's settings but the endpoint; the facade's docstring explains each."""

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
    """The value of an environment variable, without blanks around it; empty if it is not set."""
    return environ.get(name, "").strip()
