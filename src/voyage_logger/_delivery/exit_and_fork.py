"""The exit hooks and the fork hook, which serve all pipelines of the process.

The first exit hook sends entries and runs as early as possible. The last exit hook tells people of
later losses, and runs as late as possible.

What must stay true: all pipelines together delay exit by at most the longest `shutdown_timeout`,
not counting the app's own hooks. The hooks hold only weak references to pipelines. In a forked
child the fork hook takes no lock, starts no thread and writes no log.
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
        """The methods of a pipeline that the hooks call."""

        def begin_flush(self) -> int: ...
        def end_flush(self, target: int, began_at: float) -> None: ...
        def begin_exit(self) -> None: ...
        def end_exit(self, *, at_once: bool) -> None: ...
        def tell_rest(self) -> None: ...
        def start_empty(self) -> None: ...


# By id. A single operation on the dict is atomic, so another thread may add a pipeline meanwhile.
_pipelines: weakref.WeakValueDictionary[int, Drainable] = weakref.WeakValueDictionary()
_held: set[Drainable] = set()
_is_hooked = False
_is_rest_told = False  # True once the exit hook that runs last has run
_exit_began_at: float | None = None
_drained_at: float | None = None  # the end of the last drain at exit; None while a drain runs
# The times of the last `flush_all`. An exit soon after a SIGTERM has less time by their difference.
_flushed_from = _flushed_until = 0.0
# Only the main thread uses these two variables, because signal handlers run in the main thread.
_drains_under_way = 0
_afterwards: list[Callable[[], None]] = []


def watch(pipeline: Drainable) -> None:
    """Reset a pipeline in forked children, and drain it at exit."""
    _pipelines[id(pipeline)] = pipeline


def hook_exit() -> None:
    """Register the exit hook, once, when a worker starts.

    Hooks run in reverse order. A hook that the import registered would run after the hooks of
    urllib3 and weakref, which close connections.
    """
    global _is_hooked  # noqa: PLW0603 - the process has one list of hooks
    if not _is_hooked:
        _is_hooked = True
        atexit.register(drain_all)
    pool_hosts.join(drain_all)


def hold(pipeline: Drainable) -> None:
    """Hold a pipeline without a logger until exit, which drains it."""
    _held.add(pipeline)


def is_exiting() -> bool:
    """True once exit hooks run: ours, or an app's hook that logs the first entry of the process.

    Exit hooks run in the main thread after `threading` has marked the main thread as ended. For
    other threads the end of the main thread is no exit, because the program may run on for days.
    During exit a log call delivers its own entry, because Python runs no hook that is registered
    during exit.
    """
    if _exit_began_at is not None:
        return True
    main = threading.main_thread()
    return threading.current_thread() is main and not main.is_alive()


def exit_began_at() -> float:
    """Return when the exit began, moved on by the time that the app's own exit hooks took.

    The first call sets this time to now, or earlier by the time of a `flush_all` just before. The
    time of drains counts as time of the exit; the time between two drains does not count.
    """
    global _exit_began_at  # noqa: PLW0603 - a process exits once
    now, drained_at = monotonic(), _drained_at  # read once: daemon threads call this, too
    if _exit_began_at is None:
        taken, since = _flushed_until - _flushed_from, now - _flushed_until
        _exit_began_at = now - max(0.0, taken - since)
    return _exit_began_at if drained_at is None else _exit_began_at + now - drained_at


def drain_all(**_: object) -> None:  # Celery calls this function with keywords.
    """Send the entries of all pipelines at the end of the process, and drop the rest."""
    drain(_all_pipelines(), at_once=True)


def drain(pipelines: Iterable[Drainable], *, at_once: bool) -> None:
    """Send the entries of some pipelines at the end of the process, and drop the rest."""
    global _exit_began_at  # noqa: PLW0603 - see exit_began_at
    pipelines = list(pipelines)
    with _signals_deferred(), _exit_clock_running():
        interrupt: BaseException | None = None
        steps: list[Callable[[], None]] = [pipeline.begin_exit for pipeline in pipelines]
        steps += [partial(pipeline.end_exit, at_once=at_once) for pipeline in pipelines]
        for step in steps:
            try:
                step()
            except BaseException as error:  # noqa: BLE001, PERF203 - after Ctrl-C the other steps only count
                interrupt = error
                _exit_began_at = float("-inf")
        if interrupt is not None:
            raise interrupt


@contextlib.contextmanager
def _exit_clock_running() -> Iterator[None]:
    """Count the time inside the context as time of the exit; a nested context changes nothing."""
    global _exit_began_at, _drained_at  # noqa: PLW0603 - see exit_began_at
    is_inner = _exit_began_at is not None and _drained_at is None
    _exit_began_at = exit_began_at()
    _drained_at = None  # after `_exit_began_at`, so that no daemon thread reads too early a begin
    try:
        yield
    finally:
        if not is_inner:
            _drained_at = monotonic()


def is_told_later(pipeline: Drainable) -> bool:
    """True if a later exit hook tells people of present losses; the pipeline is held until then.

    Children of `multiprocessing` or Celery run no exit hooks, and their main thread is alive.
    """
    if _is_rest_told or threading.main_thread().is_alive():
        return False
    _held.add(pipeline)
    return True


def _tell_rest() -> None:
    """Tell people of all losses since the drain in one line, even of those in exit hooks."""
    global _is_rest_told  # noqa: PLW0603 - a process exits once
    _is_rest_told = True
    for pipeline in _all_pipelines():
        pipeline.tell_rest()


def flush_all() -> None:
    """Send everything within `shutdown_timeout`; drop nothing, because the process may go on."""
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
    """Call a signal handler's action at the end of the drain that the signal has interrupted.

    A drain inside the drain could wait for ever, because the worker may run in the same thread.
    The result is False if the main thread does not drain.
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
    # A module that another thread is importing would stay half-imported in the child.
    loading.acquire(timeout=LOADING_SECONDS)
    opening.acquire(timeout=OPENING_SECONDS)


def _after_fork_in_parent() -> None:
    for lock in (opening, loading):
        with contextlib.suppress(RuntimeError):  # the lock was not acquired in time
            lock.release()


def _after_fork_in_child() -> None:
    global _exit_began_at, _drained_at, _drains_under_way  # noqa: PLW0603 - the child has its own exit
    _exit_began_at = _drained_at = None
    _drains_under_way = 0
    _afterwards.clear()
    _after_fork_in_parent()
    _held.clear()
    for pipeline in _all_pipelines():
        pipeline.start_empty()


# Exit hooks run in reverse order: those that an app registers after this import run earlier.
atexit.register(_tell_rest)

if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
