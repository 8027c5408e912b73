"""Run rounds. In each round, each contestant is measured once, in a new process.

If other programs slow down the machine in a round, they slow down all contestants. The result of a
contestant is the median of all rounds. For lost and duplicate entries, the result is the worst
round, because the median would hide a loss in a single round.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks._sink import Sink
    from benchmarks.contestants import Entrant

_ROOT = Path(__file__).parent.parent
_LIMIT = 120.0  # The limit for one child in one round, in seconds.
# If the name of a key ends with one of these words, the result of the key is the worst round.
_HARM = ("lost", "lost_share", "doubled")

EACH = " each"  # A key whose name ends with " each" holds the numbers of all rounds.

Result = dict[str, Any]


class ChildError(Exception):
    """The process of a contestant ended, or hung, before it sent its result."""


class Child:
    """Controls the process of a contestant from the parent process."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, stderr: IO[bytes]) -> None:
        self.process = process
        self._stderr = stderr
        self._pipe = pipe
        self._said = b""

    def hear(self, limit: float = _LIMIT) -> Result:
        """Return the next message of the child."""
        end = time.monotonic() + limit
        while b"\n" not in self._said:
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, end - time.monotonic()))
            more = os.read(self._pipe, 1 << 20) if ready else b""
            if not more:
                raise ChildError("it took too long" if not ready else self._last_words())
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        result: Result = json.loads(line)
        return result

    def go_on(self) -> None:
        """Let the waiting child continue."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self, limit: float = _LIMIT) -> bool:
        """Wait until the child ends, and return True.

        After `limit` seconds, kill the child and return False.
        """
        # The pipe closes when the child ends, so `select` returns immediately. `wait` with a
        # timeout would check only every 50 ms.
        end = time.monotonic() + limit
        while (rest := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._pipe], [], [], rest)
            if ready and not os.read(self._pipe, 1 << 20):
                self.process.wait()
                return True
        self.process.kill()
        self.process.wait()
        return False

    def _last_words(self) -> str:
        self.end(5)
        self._stderr.seek(0)
        words = self._stderr.read().decode(errors="replace").strip()
        return words.splitlines()[-1] if words else f"exit code {self.process.returncode}"


@dataclass
class Bench:
    """The sink, the contestants and the options of a benchmark.

    Attributes:
        sink: The server that all contestants send to.
        entrants: The contestants.
        rounds: The number of rounds.
        is_quick: True for a short test run, whose results mean nothing.
        entries: The number of entries that the user has chosen, or None.
        failures: The contestants that could not be measured, with the reasons.
    """

    sink: Sink
    entrants: Sequence[Entrant]
    rounds: int
    is_quick: bool = False
    entries: int | None = None
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def child(self, measure: str, entrant: Entrant, **options: Any) -> Iterator[Child]:
        """Run the process of a contestant until the end of the block."""
        reading, writing = os.pipe()
        order = {
            "measure": measure,
            "contestant": entrant.name,
            "options": options,
            "port": self.sink.port,
            "pipe": writing,
        }
        with (
            TemporaryFile() as stderr,  # a client that prints a lot would fill a pipe
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks._child", json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=[writing],
                env=environment(),
            ) as process,
        ):
            os.close(writing)
            try:
                yield Child(process, reading, stderr)
            finally:
                process.kill()
                os.close(reading)

    @contextmanager
    def all_at_once(
        self, measure: str, entrants: Sequence[Entrant], **options: Any
    ) -> Iterator[dict[str, Child]]:
        """Run all contestants' processes until the end of the block. Leave out failed processes.

        Use this method only to measure waiting processes, which do not disturb each other.
        """
        with ExitStack() as stack:
            children = {
                entrant.name: stack.enter_context(self.child(measure, entrant, **options))
                for entrant in entrants
            }
            for name in list(children):
                try:
                    children[name].hear()
                except ChildError as failure:
                    del children[name]
                    self.note(name, failure)
            yield children

    def in_rounds(
        self, entrants: Sequence[Entrant], one: Callable[[Entrant], Result]
    ) -> dict[str, Result]:
        """Return the results by contestant. Print errors, and leave out failed contestants."""
        results: dict[str, list[Result]] = {entrant.name: [] for entrant in entrants}
        for number in range(self.rounds):
            for entrant in rotated(entrants, number):
                if (found := self.attempt(entrant, one)) is not None:
                    results[entrant.name].append(found)
        return {name: summary(found) for name, found in results.items() if found}

    def attempt(self, entrant: Entrant, one: Callable[[Entrant], Result]) -> Result | None:
        """Return one measurement, or None if the contestant fails."""
        try:
            return one(entrant)
        except ChildError as failure:
            self.note(entrant.name, failure)
            return None

    def note(self, name: str, failure: ChildError) -> None:
        """Record and print that a contestant could not be measured."""
        self.failures.append(f"{name}: {failure}")
        print(f"{name} failed: {failure}", file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """Return the environment variables of a child, without proxies and client settings.

    The child writes bytecode files. Without bytecode files, each start would compile the package,
    and the benchmark would measure the compilation.

    The tested package is the package in PYTHONPATH, or else the package of this checkout.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("VOYAGE_", "OTEL_"))
        and name != "PYTHONDONTWRITEBYTECODE"
    }
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(_ROOT / "src")]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "*"}


def under_test() -> Result:
    """Return the version and the file of the tested package, and whether it uses orjson."""
    command = [sys.executable, "-m", "benchmarks.contestants._probe"]
    found: Result = json.loads(subprocess.check_output(command, env=environment(), timeout=60))
    return found


def rotated(entrants: Sequence[Entrant], number: int) -> list[Entrant]:
    """Return the order of the contestants: each round starts with another contestant."""
    shift = number % max(1, len(entrants))
    return [*entrants[shift:], *entrants[:shift]]


def summary(results: Sequence[Result]) -> Result:
    """For each key, return the median of its numbers in all rounds.

    For lost and duplicate entries, the result is the largest number. If the values are not numbers,
    the result is the last value. The key `KEY each` holds the numbers of all rounds.
    """
    merged: Result = {}
    for key in dict.fromkeys(key for result in results for key in result):
        values = [result[key] for result in results if result.get(key) is not None]
        is_number = values and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
        )
        if is_number:
            merged[key] = max(values) if key.endswith(_HARM) else statistics.median(values)
            merged[key + EACH] = values
        else:
            merged[key] = values[-1] if values else None
    return {**merged, "rounds": len(results)}


def shifted(result: Result, keys: Sequence[str], by: float, least: float = 0.0) -> None:
    """For some keys, subtract `by` from the result and from the numbers of all rounds."""
    for key in keys:
        result[key] = max(least, result[key] - by)
        result[key + EACH] = [max(least, value - by) for value in result[key + EACH]]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return a percentile of sorted values: for example, the median if the share is 0.5."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
