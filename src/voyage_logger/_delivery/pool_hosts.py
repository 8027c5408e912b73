"""Support for multiprocessing, Celery and uWSGI, which run or end processes in their own way.

What must stay true: this module imports no library that the app has not imported already. Each
process registers its own finalizer at its first entry, because a child process can lose the
finalizers of its parent.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_PRIORITY = 10  # The finalizers of open pools have the priority 15, so they run earlier.
_UWSGI_HAS_THREADS = (2, 0, 27)
DEAD_THREADS = (
    "uWSGI runs without threads: entries are sent only while a request is handled. "
    "Set `enable-threads = true`"
)
_finalizing_pid: int | None = None


def join(drain: Callable[..., None]) -> None:
    """Register `drain` with the library that will end this process without exit hooks.

    A child process of `multiprocessing` or billiard runs finalizers at its end, and clears
    inherited finalizers at its start. A child process of Celery's pool runs neither finalizers nor
    exit hooks: it sends a Celery signal and then calls `os._exit`. A library may call `drain` more
    than once.
    """
    global _finalizing_pid  # noqa: PLW0603 - a process has only one list of finalizers
    if _finalizing_pid != os.getpid():
        util = _util_of_child()
        if util is not None:
            _finalizing_pid = os.getpid()
            util.Finalize(None, drain, exitpriority=_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # Celery sends this signal only in child processes of a pool. A second `connect` is ignored.
        signals.worker_process_shutdown.connect(drain, weak=False)


def _util_of_child() -> ModuleType | None:
    """Return the `util` module of the library that started this process, or None."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        import multiprocessing.util  # noqa: PLC0415 - Most processes do not need this module.

        return multiprocessing.util
    process = sys.modules.get("billiard.process")
    if process is not None and process.current_process()._parent_pid is not None:  # noqa: SLF001 - Billiard itself reads this attribute.
        import billiard.util  # noqa: PLC0415 - Most processes do not need this module.

        return billiard.util  # type: ignore[no-any-return]
    return None


def has_dead_threads() -> bool:
    """True if uWSGI runs without threads.

    Without threads, the worker runs only while uWSGI handles a request. uWSGI has threads by
    default since version 2.0.27. In earlier versions, the option `threads` implies the option
    `enable-threads`.
    """
    uwsgi = sys.modules.get("uwsgi")  # The module `uwsgi` exists only inside uWSGI.
    if uwsgi is None or getattr(uwsgi, "version_info", ()) >= _UWSGI_HAS_THREADS:
        return False
    return not {"enable-threads", "threads"} & set(getattr(uwsgi, "opt", ()))
