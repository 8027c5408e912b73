"""The process's life: the exit hooks and the fork hook, one of each for all pipelines.

One exit hook sends, as early as can be; one says what was lost since, as late as can be.

What must stay true: exit takes no longer than the longest `shutdown_timeout`, for all pipelines
together, beside what the app's own hooks take; the hooks hold no pipeline alive; in a forked child
they take no lock, start no thread and write no log.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Protocol

from voyage_logger._base.clock import monotonic
from voyage_logger._base.fork_locks import LOADING_SECONDS, OPENING_SECONDS, loading, opening
from voyage_logger._delivery import pool_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Drainable(Protocol):
    """What the hooks ask of a pipeline."""

    def begin_flush(self) -> int: ...

    def end_flush(self, target: int, began_at: float) -> None: ...

    def begin_exit(self) -> None: ...

    def end_exit(self, *, at_once: bool) -> None: ...

    def tell_rest(self) -> None: ...

    def start_empty(self) -> None: ...


_pipelines: weakref.WeakSet[Drainable] = weakref.WeakSet()
_held: set[Drainable] = set()
_is_hooked = False
_has_spoken_last = False  # whether the first hook of ours, which runs as the last, has run
_exit_began_at: float | None = None
# Since when the app has had the exit for itself again; None before it, and while a drain goes on.
_drained_at: float | None = None
# When `flush_all` last held the process up: an exit right after that has so much less time.
_flushed_from = _flushed_until = 0.0
# Used by the main thread alone, which is where signal handlers run.
_drains_under_way = 0
_afterwards: list[Callable[[], None]] = []


def watch(pipeline: Drainable) -> None:
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
        atexit.register(drain_all)
    pool_hosts.join(drain_all)


def hold(pipeline: Drainable) -> None:
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
    """When the exit would have begun, by the monotonic clock, had the app taken no time for itself.

    Now, if nobody has noted it yet. What a `flush_all` has just taken counts as part of it, less
    the time that the app has since had; so does what drains take, and not what the app's own exit
    hooks take between two of them.
    """
    global _exit_began_at  # noqa: PLW0603 - a process exits once
    now, drained_at = monotonic(), _drained_at  # once: daemon threads ask, too
    if _exit_began_at is None:
        taken, since = _flushed_until - _flushed_from, now - _flushed_until
        _exit_began_at = now - max(0.0, taken - since)
    return _exit_began_at if drained_at is None else _exit_began_at + now - drained_at


def drain_all() -> None:
    """Sends what all pipelines have, and gives up what is left: the process ends after this."""
    drain(_all_pipelines(), at_once=True)


def drain(pipelines: Iterable[Drainable], *, at_once: bool) -> None:
    """The same for some pipelines.

    Args:
        pipelines: Which.
        at_once: Tell of losses also where some were told within the last minute.
    """
    global _exit_began_at  # noqa: PLW0603 - see exit_began_at
    pipelines = list(pipelines)
    with _signals_deferred(), _exit_clock_running():
        interrupt: BaseException | None = None
        steps: list[Callable[[], None]] = [pipeline.begin_exit for pipeline in pipelines]
        steps += [partial(pipeline.end_exit, at_once=at_once) for pipeline in pipelines]
        for step in steps:
            try:
                step()
            except BaseException as error:  # noqa: BLE001, PERF203 - Ctrl-C: the others only account
                interrupt = error
                _exit_began_at = float("-inf")
        if interrupt is not None:
            raise interrupt


@contextlib.contextmanager
def _exit_clock_running() -> Iterator[None]:
    """What passes inside counts as the exit's time; a drain in a drain leaves that to the outer."""
    global _exit_began_at, _drained_at  # noqa: PLW0603 - see exit_began_at
    is_inner = _exit_began_at is not None and _drained_at is None
    _exit_began_at = exit_began_at()  # before the next: a daemon thread is to have no less time
    _drained_at = None
    try:
        yield
    finally:
        if not is_inner:
            _drained_at = monotonic()


def is_told_later(pipeline: Drainable) -> bool:
    """True if an exit hook that is still to come will tell of what the pipeline loses now.

    It keeps the pipeline until then. Exit hooks run in the interpreter's exit alone: what ends a
    child of `multiprocessing` or Celery runs none.
    """
    if _has_spoken_last or threading.main_thread().is_alive():
        return False
    _held.add(pipeline)
    return True


def _speak_last() -> None:
    """Tells what was lost since the drain, in one line however much exit hooks have logged."""
    global _has_spoken_last  # noqa: PLW0603 - a process exits once
    _has_spoken_last = True
    for pipeline in _all_pipelines():
        pipeline.tell_rest()


def flush_all() -> None:
    """Has everything sent, within `shutdown_timeout`, and gives nothing up: life may go on."""
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
    """Has a signal handler's action done at the end of the drain that the signal has interrupted.

    A drain inside that drain would find its worker, which may be the same thread, busy for good.

    Returns:
        False if no drain is under way in the main thread.
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
    while True:
        try:
            return list(_pipelines)
        except RuntimeError:  # noqa: PERF203 - another thread is making a logger at this moment
            continue


def _before_fork() -> None:
    # A module that another thread is half-way through importing stays so in the child for ever.
    loading.acquire(timeout=LOADING_SECONDS)
    opening.acquire(timeout=OPENING_SECONDS)


def _after_fork_in_parent() -> None:
    for lock in (opening, loading):
        with contextlib.suppress(RuntimeError):  # the time limit above has passed
            lock.release()


def _after_fork_in_child() -> None:
    global _exit_began_at, _drained_at, _drains_under_way  # noqa: PLW0603 - the child's own exit
    _exit_began_at = _drained_at = None
    _drains_under_way = 0
    _afterwards.clear()
    _after_fork_in_parent()
    _held.clear()
    for pipeline in _all_pipelines():
        pipeline.start_empty()


# Hooks run in reverse order: all that an app has registered since this import have run by then.
atexit.register(_speak_last)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
