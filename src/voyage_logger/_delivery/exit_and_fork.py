"""The exit hooks and the fork hooks for all pipelines of the process.

To *drain* a pipeline means to send its entries at the end of the process, and to drop the entries
that cannot be sent in time. One exit hook runs as early as possible, and drains all pipelines. A
second exit hook runs as late as possible, and reports entries that were lost after the drain.

What must stay true: all pipelines together delay the end of the process by at most the longest
`shutdown_timeout`. This delay does not include the time in which the app's own exit hooks run. This
module keeps no pipeline in memory, except the pipelines in `_held`. In a forked child, the fork
hook does not wait for a lock, start a thread or write a log line.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

from voyage_logger._base.clock import monotonic
from voyage_logger._base.fork_locks import LOADING_SECONDS, OPENING_SECONDS, loading, opening
from voyage_logger._delivery import pool_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    class Drainable(Protocol):
        """The methods that the hooks call on a pipeline."""

        def begin_flush(self) -> int: ...
        def end_flush(self, target: int, began_at: float) -> None: ...
        def begin_exit(self) -> None: ...
        def end_exit(self, *, at_once: bool) -> None: ...
        def tell_rest(self) -> None: ...
        def start_empty(self) -> None: ...


# The keys are the ids of the pipelines. No lock is needed: each operation on the dict is atomic.
_pipelines: weakref.WeakValueDictionary[int, Drainable] = weakref.WeakValueDictionary()
_held: set[Drainable] = set()
_is_hooked = False
_is_rest_told = False  # True once the last exit hook has started.
_exit_began_at: float | None = None
_drained_at: float | None = None  # The time when the last drain ended, or None during a drain.
# The times when the last call of `flush_all` began and ended. If the exit begins soon after the
# call, the duration of the call is subtracted from the time that the exit can use.
_flushed_from = _flushed_until = 0.0
# Only the main thread uses the next two variables, because signal handlers run in the main thread.
_drains_under_way = 0
_afterwards: list[Callable[[], None]] = []


def watch(pipeline: Drainable) -> None:
    """Register a pipeline with the exit hooks and the fork hooks."""
    _pipelines[id(pipeline)] = pipeline


def hook_exit() -> None:
    """Register the exit hook that sends entries. Every worker calls this function when it starts.

    Python first runs the exit hook that was registered last. If this module registered the hook at
    import, the hooks of urllib3 and weakref would close the connections before this hook runs.
    """
    global _is_hooked  # noqa: PLW0603 - The whole process has one list of exit hooks.
    if not _is_hooked:
        _is_hooked = True
        atexit.register(drain_all)
    pool_hosts.join(drain_all)


def hold(pipeline: Drainable) -> None:
    """Keep a pipeline in memory until the process ends, although no logger uses the pipeline."""
    _held.add(pipeline)


def is_exiting() -> bool:
    """Return True after the exit hooks of the process have started to run.

    When exit hooks run, `threading` has already marked the main thread as ended. For other
    threads, an ended main thread does not prove that the process exits: threads can run for days
    after the main thread has ended. During exit, each log call sends its own entry, because Python
    does not run an exit hook that is registered during exit.
    """
    if _exit_began_at is not None:
        return True
    main = threading.main_thread()
    return threading.current_thread() is main and not main.is_alive()


def exit_began_at() -> float:
    """Return the time from which the `shutdown_timeout` is counted.

    The result is the time when the exit began, plus the seconds in which no drain was running. The
    first call records the current time as the start of the exit. If `flush_all` has just run, the
    recorded time is earlier by up to the duration of `flush_all`.
    """
    global _exit_began_at  # noqa: PLW0603 - A process exits only once.
    now, drained_at = monotonic(), _drained_at  # Copy it: other threads can change `_drained_at`.
    if _exit_began_at is None:
        taken, since = _flushed_until - _flushed_from, now - _flushed_until
        _exit_began_at = now - max(0.0, taken - since)
    return _exit_began_at if drained_at is None else _exit_began_at + now - drained_at


def drain_all(**_: object) -> None:  # Celery calls this function with keyword arguments.
    """Drain all pipelines at the end of the process."""
    drain(_all_pipelines(), at_once=True)


def drain(pipelines: Iterable[Drainable], *, at_once: bool) -> None:
    """Drain the given pipelines at the end of the process."""
    global _exit_began_at  # noqa: PLW0603 - see exit_began_at
    pipelines = list(pipelines)
    with _signals_deferred(), _exit_clock_running():
        interrupt: BaseException | None = None
        steps: list[Callable[[], None]] = [pipeline.begin_exit for pipeline in pipelines]
        steps += [partial(pipeline.end_exit, at_once=at_once) for pipeline in pipelines]
        for step in steps:
            try:
                step()
            except BaseException as error:  # noqa: BLE001, PERF203 - After Ctrl-C, the remaining steps no longer wait.
                interrupt = error
                _exit_began_at = float("-inf")
        if interrupt is not None:
            raise interrupt


@contextlib.contextmanager
def _exit_clock_running() -> Iterator[None]:
    """Count the time inside this context toward `shutdown_timeout`. Contexts can be nested."""
    global _exit_began_at, _drained_at  # noqa: PLW0603 - see exit_began_at
    is_inner = _exit_began_at is not None and _drained_at is None
    _exit_began_at = exit_began_at()
    _drained_at = None  # Set this variable last, or other threads could compute a wrong start time.
    try:
        yield
    finally:
        if not is_inner:
            _drained_at = monotonic()


def is_told_later(pipeline: Drainable) -> bool:
    """Return True, and keep the pipeline, if a later exit hook will report the pipeline's losses.

    The result is False in child processes of `multiprocessing` and Celery: they run no exit hooks,
    and their main thread is still alive when the pipelines are drained.
    """
    if _is_rest_told or threading.main_thread().is_alive():
        return False
    _held.add(pipeline)
    return True


def _tell_rest() -> None:
    """For each pipeline, write one line about the entries that were lost after its drain."""
    global _is_rest_told  # noqa: PLW0603 - A process exits only once.
    _is_rest_told = True
    for pipeline in _all_pipelines():
        pipeline.tell_rest()


def flush_all() -> None:
    """Send all entries within `shutdown_timeout`. Do not drop entries: the process can continue."""
    global _flushed_from, _flushed_until
    with _signals_deferred():
        began = monotonic()
        targets = [(pipeline, pipeline.begin_flush()) for pipeline in _all_pipelines()]
        try:
            for pipeline, target in targets:
                pipeline.end_flush(target, began)
        finally:
            _flushed_from, _flushed_until = began, monotonic()


def after_drain(action: Callable[[], None]) -> bool:
    """If a signal interrupts a drain or `flush_all`, call `action` when the drain or flush is done.

    A second drain inside the first drain could wait forever, because the worker might run in the
    same thread. If neither a drain nor `flush_all` is running, do nothing and return False.
    """
    if not _drains_under_way:
        return False
    if action not in _afterwards:
        _afterwards.append(action)
    return True


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    global _drains_under_way  # noqa: PLW0603 - see its definition
    if threading.get_ident() != threading.main_thread().ident:
        yield
        return
    _drains_under_way += 1
    try:
        yield
    finally:
        _drains_under_way -= 1
        while _afterwards and not _drains_under_way:
            _afterwards.pop(0)()


def _all_pipelines() -> list[Drainable]:
    references = _pipelines.valuerefs()
    return [pipeline for reference in references if (pipeline := reference()) is not None]


def _before_fork() -> None:
    # Wait until other threads finish their imports: the child could never finish these imports.
    loading.acquire(timeout=LOADING_SECONDS)
    opening.acquire(timeout=OPENING_SECONDS)


def _after_fork_in_parent() -> None:
    for lock in (opening, loading):
        with contextlib.suppress(RuntimeError):  # `_before_fork` could not get the lock in time.
            lock.release()


def _after_fork_in_child() -> None:
    global _exit_began_at, _drained_at, _drains_under_way  # noqa: PLW0603 - A child process exits separately.
    _exit_began_at = _drained_at = None
    _drains_under_way = 0
    _afterwards.clear()
    _after_fork_in_parent()
    _held.clear()
    for pipeline in _all_pipelines():
        pipeline.start_empty()


# Python runs the newest exit hook first. This early registration makes `_tell_rest` run late.
atexit.register(_tell_rest)

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
