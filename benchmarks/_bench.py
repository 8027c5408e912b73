"""Rounds: each contestant in a process of its own, one after the other, then all again.

So what the machine does meanwhile meets all of them; a result is the median of the rounds, but for
losses and duplicates: there the worst round counts, since one that is lost in one of three is lost.
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
_LIMIT = 120.0  # seconds for one child in one round
_HARM = ("lost", "lost_share", "doubled")  # how the keys end of which the worst round counts

EACH = " each"  # after a result's key: the numbers of the rounds

Result = dict[str, Any]


class ChildError(Exception):
    """A contestant's process has ended, or not ended, in place of saying what it was to say."""


class Child:
    """A contestant's process, seen from the parent."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, stderr: IO[bytes]) -> None:
        self.process = process
        self._stderr = stderr
        self._pipe = pipe
        self._said = b""

    def hear(self, limit: float = _LIMIT) -> Result:
        """The next thing it says."""
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
        """Ends its wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self, limit: float = _LIMIT) -> bool:
        """Waits for its end; kills it after `limit` seconds, and then returns False."""
        # The pipe's end tells at once; `wait` with a limit looks every 50 ms.
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
    """What a benchmark works with.

    Attributes:
        sink: Where all contestants send to.
        entrants: Who takes part.
        rounds: How often each does.
        is_quick: A smoke: everything short, nothing to be believed.
        entries: How many entries, where a benchmark asks for a number and the user gave one.
        failures: Who could not be measured, and why.
    """

    sink: Sink
    entrants: Sequence[Entrant]
    rounds: int
    is_quick: bool = False
    entries: int | None = None
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def child(self, measure: str, entrant: Entrant, **options: Any) -> Iterator[Child]:
        """A contestant's process, for as long as the block runs."""
        reading, writing = os.pipe()
        order = {
            "measure": measure,
            "contestant": entrant.name,
            "options": options,
            "port": self.sink.port,
            "pipe": writing,
        }
        with (
            TemporaryFile() as stderr,  # not a pipe: a client that prints much would fill it
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
        """Everybody's process, ready, for as long as the block runs; who fails is left out.

        For what is waited for, not computed: they do not disturb each other then.
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
        """What all rounds come to, by contestant; who fails is left out and named."""
        results: dict[str, list[Result]] = {entrant.name: [] for entrant in entrants}
        for number in range(self.rounds):
            for entrant in rotated(entrants, number):
                if (found := self.attempt(entrant, one)) is not None:
                    results[entrant.name].append(found)
        return {name: summary(found) for name, found in results.items() if found}

    def attempt(self, entrant: Entrant, one: Callable[[Entrant], Result]) -> Result | None:
        """One measurement; None if the contestant fails."""
        try:
            return one(entrant)
        except ChildError as failure:
            self.note(entrant.name, failure)
            return None

    def note(self, name: str, failure: ChildError) -> None:
        """Keeps, and says, who could not be measured."""
        self.failures.append(f"{name}: {failure}")
        print(f"{name} failed: {failure}", file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """A child's environment: no proxies, no settings of clients that happen to be there.

    Bytecode is written, as everywhere but in a container built with care: a package that is
    compiled at each start would be measured as its compilation.

    The package under test is what PYTHONPATH names, else this checkout's.
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
    """The version of the package that the children import, its file, and whether orjson encodes."""
    command = [sys.executable, "-m", "benchmarks.contestants._probe"]
    found: Result = json.loads(subprocess.check_output(command, env=environment(), timeout=60))
    return found


def rotated(entrants: Sequence[Entrant], number: int) -> list[Entrant]:
    """The same contestants, another one first each time."""
    shift = number % max(1, len(entrants))
    return [*entrants[shift:], *entrants[:shift]]


def summary(results: Sequence[Result]) -> Result:
    """For each key the median of the numbers, or the last of anything else.

    Of what was lost or doubled, the most of any round. Beside each number, under `KEY each`, stand
    those of the rounds.
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
    """Takes something off some numbers, and off those of their rounds."""
    for key in keys:
        result[key] = max(least, result[key] - by)
        result[key + EACH] = [max(least, value - by) for value in result[key + EACH]]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of the others lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
