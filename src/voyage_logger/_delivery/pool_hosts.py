"""Pools and servers that end a process without exit hooks: multiprocessing, Celery and uWSGI.

What must stay true: this module imports no library that the app has not imported. Each process
registers with its first entry, because a child may not have the registrations of its parent.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_PRIORITY = 10  # Finalizers without a priority, such as those of open pools, run later.
_UWSGI_HAS_THREADS = (2, 0, 27)
DEAD_THREADS = (
    "uWSGI runs without threads: entries are sent only while a request is handled. "
    "Set `enable-threads = true`"
)
_finalizing_pid: int | None = None


def join(drain: Callable[..., None]) -> None:
    """Register `drain` with the library that ends this process without exit hooks.

    Children of `multiprocessing` and of billiard run finalizers, and clear inherited finalizers
    when they start. A child of Celery's pool runs neither finalizers nor exit hooks: it sends a
    Celery signal and ends by `os._exit`. So `drain` may be called more than once.
    """
    global _finalizing_pid  # noqa: PLW0603 - the process has one list of finalizers
    if _finalizing_pid != os.getpid():
        util = _util_of_child()
        if util is not None:
            _finalizing_pid = os.getpid()
            util.Finalize(None, drain, exitpriority=_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # Celery sends this signal only in the children of a pool. A second connect does nothing.
        signals.worker_process_shutdown.connect(drain, weak=False)


def _util_of_child() -> ModuleType | None:
    """Return the `util` module of the library that started this process, or None."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        import multiprocessing.util  # noqa: PLC0415 - most processes do not need it

        return multiprocessing.util
    process = sys.modules.get("billiard.process")
    if process is not None and process.current_process()._parent_pid is not None:  # noqa: SLF001 - billiard itself reads it
        import billiard.util  # noqa: PLC0415 - most processes do not need it

        return billiard.util  # type: ignore[no-any-return]
    return None


def has_dead_threads() -> bool:
    """True if uWSGI runs without threads: then the worker runs only while a request is handled.

    uWSGI has threads by default since 2.0.27; earlier, `threads` implies `enable-threads`.
    """
    uwsgi = sys.modules.get("uwsgi")  # this module exists only inside uWSGI
    if uwsgi is None or getattr(uwsgi, "version_info", ()) >= _UWSGI_HAS_THREADS:
        return False
    return not {"enable-threads", "threads"} & set(getattr(uwsgi, "opt", ()))
