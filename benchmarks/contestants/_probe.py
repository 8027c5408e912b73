"""Print facts about the tested package: `python -m benchmarks.contestants._probe`.

The path of a child process selects the package, so only the child can report these facts.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import voyage_logger
from voyage_logger import BaseTransport, Kind, Outcome, VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Nowhere(BaseTransport):
    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:  # noqa: ARG002
        return Outcome(Kind.DELIVERED)


if __name__ == "__main__":
    with VoyageLogger("probe", transport=_Nowhere()) as logger:
        logger.info("What encodes this?")
    found = {"version": voyage_logger.__version__, "uses_orjson": "orjson" in sys.modules}
    print(json.dumps({**found, "file": voyage_logger.__file__}))
