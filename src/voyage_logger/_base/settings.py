"""The settings of a logger, and the names of the environment variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from voyage_logger._base.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any, Protocol

    from voyage_logger._base.errors import VoyageError

    class Sample(Protocol):
        """A rule that says which entries are sent."""

        needs_entry: bool  # False if the rule uses only the fields of the log call

        def leaves_out(self, rank: int, entry: dict[str, Any]) -> bool:
            """Return True if this entry must not be sent. `rank` is the rank of the entry."""


KIB = 1024
MIB = 1024 * KIB

KEY_VARIABLE = "VOYAGE_LOGS_KEY"
SECRET_VARIABLE = "VOYAGE_LOGS_SECRET"  # noqa: S105 - this text is a variable's name, not a secret
URL_VARIABLE = "VOYAGE_LOGS_URL"
ENVIRONMENT_VARIABLE = "VOYAGE_LOGS_ENVIRONMENT"
SPOOL_VARIABLE = "VOYAGE_LOGS_SPOOL_DIR"
# The vendor's short code example reads VOYAGE_API_KEY and VOYAGE_API_SECRET. The client uses these
# two variables only if both variables are set. The unrelated package `voyageai` also reads
# VOYAGE_API_KEY. The key for `voyageai` must not be sent to the Logs API.
SNIPPET_VARIABLES = ("VOYAGE_API_KEY", "VOYAGE_API_SECRET")


@frozen
class Settings:
    """All settings of a logger except the endpoint. See the docstring of `VoyageLogger`."""

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
    """Return an environment variable without outer spaces, or "" if the variable is not set."""
    return environ.get(name, "").strip()


def with_home(path: str) -> str:
    """Replace `~` or `~user` at the start of a path. If no home folder is known, do nothing."""
    return os.path.expanduser(path)  # noqa: PTH111 - `Path` would also replace the `~` of `./~name`
