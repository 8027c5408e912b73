"""Support for multiprocessing, Celery and uWSGI, which start or end processes in a special way.

What must stay true: this module does not import a library unless the app already uses the library.
Each process registers its own finalizer when it logs its first entry, because a child process does
not always inherit the finalizers of its parent.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_PRIORITY = 10  # Finalizers of open pools run first, because their priority is 15.
_UWSGI_HAS_THREADS = (2, 0, 27)
DEAD_THREADS = (
    "uWSGI runs without threads: entries are sent only while a request is handled. "
    "Set `enable-threads = true`"
)
_finalizing_pid: int | None = None


def join(drain: Callable[..., None]) -> None:
    """If a library will end this process without exit hooks, register `drain` with the library.

    A child process of `multiprocessing` or billiard clears inherited finalizers at its start, and
    runs its own finalizers at its end. A child process of Celery's pool runs neither finalizers nor
    exit hooks: the process sends a Celery signal and then calls `os._exit`. A library can call
    `drain` more than once.
    """
    global _finalizing_pid  # noqa: PLW0603 - The whole process has one list of finalizers.
    if _finalizing_pid != os.getpid():
        util = _util_of_child()
        if util is not None:
            _finalizing_pid = os.getpid()
            util.Finalize(None, drain, exitpriority=_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # Celery sends this signal only in pool processes. A second `connect` has no effect.
        signals.worker_process_shutdown.connect(drain, weak=False)


def _util_of_child() -> ModuleType | None:
    """Return the `util` module of the library that started this process, or None."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        return sys.modules.get(
            "multiprocessing.util"
        )  # Each child imports this module when the child starts.
    process = sys.modules.get("billiard.process")
    if process is not None and process.current_process()._parent_pid is not None:  # noqa: SLF001 - Billiard itself reads this attribute.
        return sys.modules.get("billiard.util")
    return None


def has_dead_threads() -> bool:
    """Return True if uWSGI runs without threads.

    Without threads, the worker runs only while uWSGI handles a request. Since version 2.0.27, uWSGI
    enables threads by default. Earlier versions enable threads only if the option
    `threads` or `enable-threads` is set.
    """
    uwsgi = sys.modules.get("uwsgi")  # The module `uwsgi` exists only inside uWSGI.
    if uwsgi is None or getattr(uwsgi, "version_info", ()) >= _UWSGI_HAS_THREADS:
        return False
    return not {"enable-threads", "threads"} & set(getattr(uwsgi, "opt", ()))
