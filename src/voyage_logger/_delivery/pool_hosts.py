"""The hosts of a process that end it in a way of their own, and where each lets us drain first.

What must stay true: a host's library is looked at only if it has been imported already, and joined
with the first entry of a process, for what a parent registered may be gone in its child.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

_PRIORITY = 10  # of our finalizer; those that have none, such as open pools, run after it
_UWSGI_HAS_THREADS = (2, 0, 27)
DEAD_THREADS = (
    "uWSGI runs without threads: entries are sent only while a request is handled. "
    "Set `enable-threads = true`"
)
_finalizing_pid: int | None = None
_drain: Callable[[], None] | None = None


def join(drain: Callable[[], None]) -> None:
    """Has the entries of this process drained where its host ends it without exit hooks.

    Args:
        drain: What the exit hook does; harmless if it is called more than once.

    Children of `multiprocessing` and of billiard run finalizers of their own, and clear inherited
    ones when they start. A child of Celery's pool runs neither those nor exit hooks: it sends a
    signal and ends by `os._exit`.
    """
    global _drain, _finalizing_pid  # noqa: PLW0603 - the process has one list of finalizers
    _drain = drain
    if _finalizing_pid != os.getpid():
        util = _util_of_child()
        if util is not None:
            _finalizing_pid = os.getpid()
            util.Finalize(None, drain, exitpriority=_PRIORITY)
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        # Sent in the children of a pool alone. Connecting it again changes nothing.
        signals.worker_process_shutdown.connect(_on_celery_shutdown, weak=False)


def _util_of_child() -> ModuleType | None:
    """The module that has `Finalize`, if this process is a child of the library that it is of."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        import multiprocessing.util  # noqa: PLC0415 - only where it is in use

        return multiprocessing.util
    process = sys.modules.get("billiard.process")
    if process is not None and process.current_process()._parent_pid is not None:  # noqa: SLF001 - as billiard itself asks
        import billiard.util  # noqa: PLC0415 - only where it is in use

        return billiard.util  # type: ignore[no-any-return]
    return None


def _on_celery_shutdown(**_: object) -> None:
    if _drain is not None:
        _drain()


def has_dead_threads() -> bool:
    """True under a uWSGI without threads, where a Python thread runs while a request does, if ever.

    Since 2.0.27 they are on by default; before, the option `threads` implies `enable-threads`.
    """
    uwsgi = sys.modules.get("uwsgi")  # there is no such module but inside uWSGI
    if uwsgi is None or getattr(uwsgi, "version_info", ()) >= _UWSGI_HAS_THREADS:
        return False
    return not {"enable-threads", "threads"} & set(getattr(uwsgi, "opt", ()))
