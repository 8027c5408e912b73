"""`voyage-logger spool replay` sends the entries of dead owners.

An owner is one logger in one process. The command writes the new destination into the lock file of
each dead owner. Then the command starts a normal logger that adopts and sends the entries. If an
entry is rejected or cannot be sent, the entry stays on the disk.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from voyage_logger._base.errors import ConfigurationError, VoyageError
from voyage_logger._base.printable import printable
from voyage_logger._logger.logger import VoyageLogger, pipeline_of
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import SpoolQueue
from voyage_logger._queue.spool.folder import Folder, words_of
from voyage_logger._queue.spool.maintenance import redirect, requeue_dead_letters
from voyage_logger.cli._output import say
from voyage_logger.cli.spool._terminal import DONE, FAILED, WRONG_USAGE, complain, counted
from voyage_logger.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from voyage_logger._base.stats import Stats
    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._queue.spool.inspection import Owner, View

_TIMEOUT = 3600.0
# The time between two checks of the folder, in seconds. Each check adopts only a few dead owners.
_LOOK_SECONDS = 0.05
_LOOKS = 5  # The command ends if more than this number of checks in a row find no entry.
_GRACE_SECONDS = 5.0  # After the timeout, a running request can take this many seconds more.
_REFRESH_SECONDS = 0.2  # The time between two updates of the progress bar.
_LINE_SECONDS = 5.0  # The time between two progress lines if stderr is not a terminal.
_WIDTH = 30
_NO_LIMIT = 1 << 50  # No spool is this large, so a replay never drops entries to save space.


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT,
        help="the most seconds to send (default: %(default)g)",
    )
    parser.add_argument(
        "--dead-letters",
        action="store_true",
        help="also send the entries that the server has rejected",
    )


def _replay(view: View, options: argparse.Namespace) -> int:
    deadline = time.monotonic() + options.timeout
    try:
        transport = Transport()
    except ConfigurationError as error:
        advice = "; export the variables (`voyage-logger dev` prints values for a local server)"
        complain(f"{error}{advice if error.parameter == 'credentials' else ''}")
        return WRONG_USAGE
    if not _has_work(view, is_with_letters=options.dead_letters):
        say("There is nothing to send.")
        return _verdict(view, None, "", is_with_letters=options.dead_letters)
    try:
        transport.sign_in()
    except VoyageError as error:
        complain(f"nothing was sent: {error}")
        return FAILED
    path = view.folder.path
    total = _release_all(view, path, transport.destination, options)
    stats, is_over = _send(path, transport, total, deadline)
    place = transport.destination
    code = _verdict(view, stats, place, is_with_letters=options.dead_letters)
    if not is_over:
        complain("the disk or the server has not answered in time: more entries may be left")
    return code if is_over else FAILED


def _has_work(view: View, *, is_with_letters: bool) -> bool:
    return any(owner.parts or (is_with_letters and owner.has_dead_letters) for owner in _dead(view))


def _dead(view: View) -> list[Owner]:
    return [owner for owner in view.owners() if not owner.is_alive]


def _release_all(view: View, path: Path, destination: str, options: argparse.Namespace) -> int:
    """Make the entries of all dead owners ready for adoption. Return the number of entries."""
    folder = Folder(path)
    for owner in _dead(view):
        try:
            if options.dead_letters and owner.has_dead_letters:
                requeue_dead_letters(folder, owner.name, destination)
            if owner.parts:
                redirect(folder, owner.name, destination)
        except OSError as error:  # noqa: PERF203 - after an error, the loop must go on
            view.troubles.append(f"the files of {owner.name}: {words_of(error)}")
    return sum(view.count(owner)[0].total() for owner in _dead(view))


def _send(path: Path, transport: Transport, total: int, deadline: float) -> tuple[Stats, bool]:
    """Adopt and send entries. Return the logger's counts, and True if the worker has ended."""
    pipeline = pipeline_of(_logger_on(path, transport))
    progress = _Progress(total)
    try:
        _drive(pipeline, progress, deadline)
    finally:  # this block also runs after Ctrl-C
        try:
            # The worker must end before the pipeline closes, for two reasons. A running worker can
            # hold the lock of a dead owner: the owner would then count as alive. Also, entries are
            # sent twice if the pipeline does not get the answer to a running request.
            pipeline.stop_worker(time.monotonic() + _GRACE_SECONDS)
        finally:
            pipeline.close(0)
            progress.show(pipeline.stats(), is_last=True)
    return pipeline.stats(), not pipeline.is_working


def _logger_on(path: Path, transport: Transport) -> VoyageLogger:
    return VoyageLogger(
        "voyage-logger",
        flush_interval=_LOOK_SECONDS,
        shutdown_timeout=0,
        spool_dir=path,
        max_spool_bytes=_NO_LIMIT,
        transport=transport,
    )


def _drive(pipeline: Pipeline, progress: _Progress, deadline: float) -> None:
    """Let the worker run until no entry is left to adopt or to send, or until the deadline.

    If more than `_LOOKS` checks in a row find no entry, this function assumes that no entry is
    left. The function counts checks, not seconds: on a slow disk, a single check can take long.
    """
    queue = pipeline.queue
    assert isinstance(queue, SpoolQueue)  # noqa: S101 - The type checker needs this assertion.
    queue.maintain_every(_LOOK_SECONDS)  # This interval also applies before the first check.
    looks = idle_since = adopted = 0
    while looks - idle_since <= _LOOKS and (remaining := deadline - time.monotonic()) > 0:
        if not pipeline.is_working:  # `flush` starts the worker, or sends entries without a worker
            pipeline.flush(_LOOK_SECONDS)
        with queue.lock:
            queue.settled.wait(min(remaining, 2 * _LOOK_SECONDS))
        looks = queue.looks  # read `looks` first, so that the counts are newer than `looks`
        stats = pipeline.stats()
        if stats.adopted != adopted or queue.oldest() != NEVER:
            idle_since, adopted = looks, stats.adopted
        progress.show(stats)


class _Progress:
    """Shows a progress bar on stderr. If stderr is no terminal, prints a line every 5 seconds."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_terminal = sys.stderr.isatty()
        self._pause = _REFRESH_SECONDS if self._is_terminal else _LINE_SECONDS
        self._due = time.monotonic() + (0 if self._is_terminal else self._pause)

    def show(self, stats: Stats, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if now < self._due and not (is_last and self._is_terminal):
            return
        self._due = now + self._pause
        done = stats.delivered + stats.rejected + stats.dropped
        total = max(self._total, stats.accepted)
        line = f"{done:,} of {counted(total, 'entry')}"
        if self._is_terminal:
            filled = _WIDTH * done // max(1, total)
            bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"
            say(f"\r{bar} {line}", sys.stderr, end="\n" if is_last else "")
        else:
            say(line, sys.stderr)


def _verdict(view: View, stats: Stats | None, place: str, *, is_with_letters: bool) -> int:
    """Print how many entries were sent and how many are left. Return the exit code."""
    lines = []
    if stats is not None:
        say(f"Sent {counted(stats.delivered, 'entry')} to {printable(place)}.")
        lines += [f"{number} rejected: {reason}" for reason, number in stats.rejected_by.items()]
        lines += [f"{number} dropped: {reason}" for reason, number in stats.dropped_by.items()]
    lines += _left(view, is_with_letters=is_with_letters)
    for line in lines:
        say(printable(line))
    running = [owner for owner in view.owners() if owner.is_alive]
    theirs = sum(view.count(owner)[0].total() for owner in running)
    if theirs:
        of_whom = f"{counted(theirs, 'entry')} of {counted(len(running), 'owner')}"
        say(f"{of_whom} left for running processes to send.")
    if is_with_letters:
        _say_whose_letters_are_left(view, running)
    return FAILED if lines else DONE


def _left(view: View, *, is_with_letters: bool) -> Iterator[str]:
    dead = _dead(view)
    counts = [view.count(owner) for owner in dead]
    left = sum(lanes.total() for lanes, _ in counts)
    unreadable = sum(lines for _, lines in counts)
    letters = sum(1 for owner in dead for _ in view.dead_letters(owner))
    if left or unreadable:
        yield f"{counted(left, 'entry')} and {counted(unreadable, 'unreadable line')} left"
    if letters and is_with_letters:
        yield f"{counted(letters, 'dead letter')} left"


def _say_whose_letters_are_left(view: View, running: list[Owner]) -> None:
    counts = [sum(1 for _ in view.dead_letters(owner)) for owner in running]
    if not any(counts):
        return
    letters, owners = sum(counts), sum(map(bool, counts))
    they = "it" if letters == 1 else "they"
    ended = "that process has" if owners == 1 else "those processes have"
    say(
        f"{counted(letters, 'dead letter')} of {counted(owners, 'running owner')} left alone: "
        f"{they} can be sent once {ended} ended."
    )


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return number


COMMANDS = (("replay", "send the entries of dead owners", _add_options, _replay),)
