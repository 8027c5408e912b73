"""The process's life: one exit hook and one fork hook for all pipelines.

What must stay true: exit takes no longer than the longest `shutdown_timeout`, for all pipelines
together; the hooks hold no pipeline alive; in a forked child they take no lock, start no thread and
write no log.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from voyage_logger._clock import monotonic
from voyage_logger._loading import loading

if TYPE_CHECKING:
    from voyage_logger._pipeline import Pipeline

_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_held: set[Pipeline] = set()
_is_hooked = False
_finalizing_pid: int | None = None
_LOADING_SECONDS = 5.0  # some fifty times what the import takes
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
    _hook_multiprocessing()


def _hook_multiprocessing() -> None:
    """Registers the exit hook where a child of `multiprocessing` looks for it.

    Such a child runs no inherited atexit hook, and clears inherited finalizers when it starts: so
    with the first entry in the child, not in the fork hook.
    """
    global _finalizing_pid  # noqa: PLW0603 - the process has one list of finalizers
    process = sys.modules.get("multiprocessing.process")
    is_child = process is not None and process.parent_process() is not None
    if is_child and _finalizing_pid != os.getpid():
        from multiprocessing.util import Finalize  # noqa: PLC0415 - only where it is in use

        _finalizing_pid = os.getpid()
        Finalize(None, _at_exit, exitpriority=10)


def hold(pipeline: Pipeline) -> None:
    """Keeps a pipeline that nobody else holds until exit, which will drain it."""
    _held.add(pipeline)


def is_exiting() -> bool:
    """True once exit hooks run: ours, or one that logs the first entry of the process.

    Hooks run in the main thread, after its end as far as `threading` is concerned. Other threads
    that outlive it are no sign of exit: a program may live in them for days.

    Entries logged from then on have to be delivered by the call that logs them: nobody will wait
    for the worker again, as a hook registered during exit does not run.
    """
    if _exit_began_at is not None:
        return True
    main = threading.main_thread()
    return threading.current_thread() is main and not main.is_alive()


def exit_began_at() -> float:
    """When the exit began, by the monotonic clock; now, if nobody has noted it yet."""
    global _exit_began_at  # noqa: PLW0603 - a process exits once
    if _exit_began_at is None:
        _exit_began_at = monotonic()
    return _exit_began_at


def _at_exit() -> None:
    global _exit_began_at  # noqa: PLW0603 - see exit_began_at
    exit_began_at()
    pipelines = _all_pipelines()
    for pipeline in pipelines:
        pipeline.begin_exit()
    interrupt: BaseException | None = None
    for pipeline in pipelines:
        try:
            pipeline.end_exit()
        except BaseException as error:  # noqa: BLE001, PERF203 - Ctrl-C: the others only account
            interrupt = error
            _exit_began_at = float("-inf")
    if interrupt is not None:
        raise interrupt


def _all_pipelines() -> list[Pipeline]:
    while True:
        try:
            return list(_pipelines)
        except RuntimeError:  # noqa: PERF203 - another thread is making a logger at this moment
            continue


def _before_fork() -> None:
    # A module that another thread is half-way through importing stays so in the child for ever.
    loading.acquire(timeout=_LOADING_SECONDS)


def _after_fork_in_parent() -> None:
    with contextlib.suppress(RuntimeError):  # the time limit above has passed
        loading.release()


def _after_fork_in_child() -> None:
    global _exit_began_at  # noqa: PLW0603 - the child's own exit has not begun
    _exit_began_at = None
    _after_fork_in_parent()
    _held.clear()
    for pipeline in _all_pipelines():
        pipeline.start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
