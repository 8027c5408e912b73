"""The process in which one contestant is measured: `python -m benchmarks._child JOB`.

The process writes lines of JSON to a separate pipe, because clients may print on stdout. The parent
writes a line to the stdin of the process to let the process continue.
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
    """The task of this child process, and the connection to the parent process."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.contestant: str = order["contestant"]
        self.options: dict[str, Any] = order["options"]
        self._measure: str = order["measure"]
        self.port: int = order["port"]
        self._pipe: int = order["pipe"]

    def set_up(self, **options: Any) -> Contestant:
        """Return the contestant, ready for its first call."""
        kind = BY_NAME[self.contestant].load()
        if options and not kind.takes_options:
            raise TypeError(f"{self.contestant} takes no options")
        return kind(Place(self.port, options))

    def say(self, **what: Any) -> None:
        """Send a message to the parent."""
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def wait(self) -> None:
        """Wait until the parent lets this process continue."""
        if not sys.stdin.readline():
            sys.exit("the parent is gone")

    def do(self) -> None:
        module = importlib.import_module(f"benchmarks.measures.{self._measure}")
        module.inside(self)


if __name__ == "__main__":
    Job(json.loads(sys.argv[1])).do()
