"""The steps of a journey. A long journey stores only its first 10 and its latest 39 steps.

What must stay true: adding a step raises no error. Adding a step takes no lock, because signal
handlers, threads and tasks can share a journey. Adding a step does not change earlier snapshots.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from voyage_logger._entry.json_codecs import dumps
from voyage_logger._entry.json_data import clip, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_STEPS = 50  # The largest number of steps in a snapshot, including the step that marks a gap.
MAX_STEP = 128  # The name of a step is cut if it has more than this number of characters.

_FIRST = 10
_LATEST = MOST_STEPS - _FIRST - 1

Step = tuple[int, str, int]  # A step is (number, name, epoch milliseconds).


class Timeline:
    """The steps of one journey. `mask` removes secrets from a step name before the name is cut."""

    def __init__(
        self, steps: Iterable[tuple[str, int]] = (), mask: Callable[[str], str] = str
    ) -> None:
        self._mask = mask
        self._numbers = count()
        self._first: list[Step] = []
        self._latest: deque[Step] = deque(maxlen=_LATEST)
        self._text = (-1, "[]")  # The number of the last step, and the JSON of all steps.
        for name, timestamp in steps:
            self._put(name, timestamp)

    def add(self, name: object) -> None:
        """Add a step with the current time."""
        text = name if type(name) is str else to_text(name)
        self._put(clip(self._mask(text), MAX_STEP), time.time_ns() // 1_000_000)

    def steps(self) -> list[Step]:
        """Return the stored steps. A gap in the step numbers shows that steps were left out."""
        # `deque.copy` is one operation, so no other thread can add a step during the copy.
        return [*self._first[:_FIRST], *self._latest.copy()]

    def snapshot(self) -> list[dict[str, Any]]:
        """Return at most `MOST_STEPS` steps in the form that the API documents."""
        steps = self.steps()
        found = [{"step": name, "timestamp": timestamp} for _, name, timestamp in steps]
        if len(steps) == _FIRST + _LATEST:
            left_out = steps[_FIRST][0] - steps[_FIRST - 1][0] - 1
            if left_out > 0:
                gap = {"step": f"<{left_out} steps left out>", "timestamp": steps[_FIRST][2]}
                found.insert(_FIRST, gap)
        return found

    def text(self) -> str:
        """Return the snapshot as JSON. The JSON is stored and used again until a step is added."""
        latest = self._latest or self._first
        last = latest[-1][0] if latest else -1
        known, text = self._text
        if known != last:
            text = dumps(self.snapshot())
            self._text = (last, text)
        return text

    def _put(self, name: str, timestamp: int) -> None:
        step = (next(self._numbers), name, timestamp)
        (self._first if len(self._first) < _FIRST else self._latest).append(step)
