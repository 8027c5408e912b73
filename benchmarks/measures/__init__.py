"""The benchmarks: `run` controls and reports, `inside` measures in the process of a contestant."""

from __future__ import annotations

# The names on the command line and their modules, in the order of `all`.
MEASURES = {
    "call": "call",
    "deliver": "deliver",
    "latency": "latency",
    "contention": "contention",
    "spool": "spool",
    "prices": "prices",
    "import": "imports",
    "exit": "exits",
    "idle": "idle",
}
