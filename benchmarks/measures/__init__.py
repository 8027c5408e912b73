"""The benchmarks: `run` orders and reports, `inside` measures in a contestant's process."""

from __future__ import annotations

# The name on the command line and its module, in the order in which `all` runs them.
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
