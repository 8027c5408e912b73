"""The process's life: one exit hook and one fork hook for all pipelines.

What must stay true: exit takes no longer than the longest `shutdown_timeout`, for all pipelines
together; the hooks hold no pipeline alive; the fork hook takes no lock, starts no thread, writes
no log.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voyage_logger._pipeline import Pipeline

_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_is_hooked = False
_exit_began_at: float | None = None


def watch(pipeline: Pipeline) -> None:
    """Has a pipeline reset in forked children and drained at exit."""
    _pipelines.add(pipeline)


def hook_exit() -> None:
    """Registers the exit hook, once.

    Called with the first entry of a process, not at import: hooks run in reverse order, and those
    of urllib3 and weakref, which close connections, are to find the work done.
    """
    global _is_hooked  # noqa: PLW0603 - the process has one list of hooks
    if not _is_hooked:
        _is_hooked = True
        atexit.register(_at_exit)


def exit_began_at() -> float | None:
    """When the exit hook ran, by the monotonic clock, or None.

    Entries logged from then on have to be delivered by the call that logs them: nobody will wait
    for the worker again, as a hook registered during exit does not run.
    """
    return _exit_began_at


def _at_exit() -> None:
    global _exit_began_at  # noqa: PLW0603 - a process exits once
    _exit_began_at = time.monotonic()
    pipelines = list(_pipelines)
    for pipeline in pipelines:
        pipeline.begin_exit()
    for pipeline in pipelines:
        pipeline.end_exit()


def _after_fork_in_child() -> None:
    global _exit_began_at  # noqa: PLW0603 - the child's own exit has not begun
    _exit_began_at = None
    for pipeline in list(_pipelines):
        pipeline.start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
