"""`voyage-logger spool replay`: sends what dead owners have left.

The files are made free to be adopted, and an ordinary pipeline on the folder adopts and sends them:
what is refused, or not sent in time, is kept as in any process.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from voyage_logger._base.errors import ConfigurationError, VoyageError
from voyage_logger._entry.line import printable
from voyage_logger._logger.logger import VoyageLogger
from voyage_logger._queue.lanes import NEVER
from voyage_logger._queue.spool import SpoolQueue
from voyage_logger._queue.spool.folder import Folder, words_of
from voyage_logger._queue.spool.maintenance import release, revive
from voyage_logger.cli.spool._terminal import (
    DONE,
    FAILED,
    WRONG_USAGE,
    complain,
    counted,
    say,
)
from voyage_logger.transports import Transport

if TYPE_CHECKING:
    from pathlib import Path

    from voyage_logger._base.stats import Stats
    from voyage_logger._delivery.pipeline import Pipeline
    from voyage_logger._queue.spool.inspection import Owner, View

_TIMEOUT = 3600.0
_LOOK_SECONDS = 0.05  # between two looks for owners to adopt: a few at a time are
_LOOKS = 5  # in full, without finding any, before what is left is left
_GRACE_SECONDS = 5.0  # once the time is over, for what is under way
_REFRESH_SECONDS = 0.2  # of the bar
_LINE_SECONDS = 5.0  # between two lines where there is no terminal
_WIDTH = 30
_NO_LIMIT = 1 << 50  # bytes: what is there has its place already


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=_seconds, default=_TIMEOUT, help="seconds (default: %(default)g)"
    )
    parser.add_argument(
        "--dead-letters", action="store_true", help="send what the server has rejected, too"
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
    total = _release_all(view, options.folder, transport.destination, options)
    stats, is_over = _send(options.folder, transport, total, deadline)
    place = transport.destination
    code = _verdict(view, stats, place, is_with_letters=options.dead_letters)
    if not is_over:
        complain("the disk or the server has not answered in time: more may be left than is said")
    return code if is_over else FAILED


def _has_work(view: View, *, is_with_letters: bool) -> bool:
    return any(owner.parts or (is_with_letters and owner.has_letters) for owner in _dead(view))


def _dead(view: View) -> list[Owner]:
    return [owner for owner in view.owners() if not owner.is_alive]


def _release_all(view: View, path: Path, destination: str, options: argparse.Namespace) -> int:
    """Makes everything of dead owners free to be adopted, and counts the entries."""
    folder = Folder(path)
    for owner in _dead(view):
        try:
            if options.dead_letters and owner.has_letters:
                revive(folder, owner.name, destination)
            if owner.parts:
                release(folder, owner.name, destination)
        except OSError as error:  # noqa: PERF203 - the others are to be sent all the same
            view.troubles.append(f"the files of {owner.name}: {words_of(error)}")
    return sum(view.count(owner)[0].total() for owner in _dead(view))


def _send(path: Path, transport: Transport, total: int, deadline: float) -> tuple[Stats, bool]:
    """Adopts and sends, until nothing more comes or the time is over.

    Returns:
        The counts, and whether they are the last word: False if the worker is not to be stopped.
    """
    logger = VoyageLogger(
        "voyage-logger",
        flush_interval=_LOOK_SECONDS,
        shutdown_timeout=0,
        spool_dir=path,
        max_spool_bytes=_NO_LIMIT,
        transport=transport,
    )
    pipeline = logger._pipeline  # noqa: SLF001 - it is watched, and nothing is logged
    progress = _Progress(total)
    try:
        _drive(pipeline, progress, deadline)
    finally:  # keeps what is left, after Ctrl-C as well
        try:
            # What it is just taking over would count as somebody's, and what is just being
            # answered would come again.
            pipeline.stop_worker(time.monotonic() + _GRACE_SECONDS)
        finally:
            pipeline.close(0)
            progress.show(pipeline.stats(), is_last=True)
    return pipeline.stats(), not pipeline.is_working


def _drive(pipeline: Pipeline, progress: _Progress, deadline: float) -> None:
    """Has the worker run until it has found nothing more to adopt for a while.

    That is a number of looks at the folder, not a time: one look at a large folder, or on a slow
    disk, may take long.
    """
    queue = pipeline.queue
    assert isinstance(queue, SpoolQueue)  # noqa: S101 - for the type checker
    queue.maintain_every(_LOOK_SECONDS)  # now: the worker's first look decides when the second is
    looks = idle_since = adopted = 0
    while looks - idle_since <= _LOOKS and (remaining := deadline - time.monotonic()) > 0:
        if not pipeline.is_working:  # this starts it, or does its work where there is no thread
            pipeline.flush(_LOOK_SECONDS)
        with queue.lock:
            queue.settled.wait(min(remaining, 2 * _LOOK_SECONDS))
        looks = queue.looks  # before the counts: what those looks have found is in them
        stats = pipeline.stats()
        if stats.adopted != adopted or queue.oldest() != NEVER:
            idle_since, adopted = looks, stats.adopted
        progress.show(stats)


class _Progress:
    """How far it is: a bar on a terminal, else a line now and then.

    Args:
        total: How many entries there are to send.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_terminal = sys.stderr.isatty()
        self._pause = _REFRESH_SECONDS if self._is_terminal else _LINE_SECONDS
        self._due = time.monotonic() + (0 if self._is_terminal else self._pause)

    def show(self, stats: Stats, *, is_last: bool = False) -> None:
        """Shows the counts, if it is time to."""
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
            print(f"\r{bar} {line}", end="\n" if is_last else "", file=sys.stderr, flush=True)
        else:
            say(line, sys.stderr)


def _verdict(view: View, stats: Stats | None, place: str, *, is_with_letters: bool) -> int:
    """Says what was sent and what was not; what belongs to the living, they will send."""
    dead = _dead(view)
    counts = [view.count(owner) for owner in dead]
    left = sum(lanes.total() for lanes, _ in counts)
    unreadable = sum(lines for _, lines in counts)
    letters = sum(1 for owner in dead for _ in view.letters(owner))
    lines = []
    if stats is not None:
        say(f"Sent {counted(stats.delivered, 'entry')} to {printable(place)}.")
        lines += [f"{number} rejected: {reason}" for reason, number in stats.rejected_by.items()]
        lines += [f"{number} dropped: {reason}" for reason, number in stats.dropped_by.items()]
    if left or unreadable:
        lines.append(f"{counted(left, 'entry')} and {counted(unreadable, 'unreadable line')} left")
    if letters and is_with_letters:
        lines.append(f"{counted(letters, 'dead letter')} left")
    for line in lines:
        say(printable(line))
    living = [owner for owner in view.owners() if owner.is_alive]
    theirs = sum(view.count(owner)[0].total() for owner in living)
    if theirs:
        say(f"{counted(theirs, 'entry')} of {counted(len(living), 'owner')} left to the living.")
    if is_with_letters:
        _say_whose_letters_stay(view, living)
    return FAILED if lines else DONE


def _say_whose_letters_stay(view: View, living: list[Owner]) -> None:
    counts = [sum(1 for _ in view.letters(owner)) for owner in living]
    if not any(counts):
        return
    letters, owners = sum(counts), sum(map(bool, counts))
    they = "it" if letters == 1 else "they"
    ended = "that process has" if owners == 1 else "those processes have"
    say(
        f"{counted(letters, 'dead letter')} of {counted(owners, 'living owner')} left alone: "
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


COMMANDS = (("replay", "send what dead owners have left", _add_options, _replay),)
