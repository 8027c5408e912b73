"""The process in which one contestant is measured: `python -m benchmarks._child JOB`.

It tells what it has to say as lines of JSON on a pipe of its own, since clients may print; what it
is to wait for comes as lines on stdin.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from benchmarks.contestants import BY_NAME
from benchmarks.contestants._base import Place

if TYPE_CHECKING:
    from benchmarks.contestants._base import Contestant


class Job:
    """What a child is to do, and its line to the parent."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.contestant: str = order["contestant"]
        self.options: dict[str, Any] = order["options"]
        self._measure: str = order["measure"]
        self.port: int = order["port"]
        self._pipe: int = order["pipe"]

    def set_up(self, **options: Any) -> Contestant:
        """The contestant, ready for its first call."""
        kind = BY_NAME[self.contestant].load()
        if options and not kind.takes_options:
            raise TypeError(f"{self.contestant} takes no options")
        return kind(Place(self.port, options))

    def say(self, **what: Any) -> None:
        """Tells the parent."""
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def wait(self) -> None:
        """Waits until the parent says to go on."""
        if not sys.stdin.readline():
            sys.exit("the parent is gone")

    def do(self) -> None:
        module = importlib.import_module(f"benchmarks.measures.{self._measure}")
        module.inside(self)


if __name__ == "__main__":
    Job(json.loads(sys.argv[1])).do()
