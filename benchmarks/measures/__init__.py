"""The benchmarks. `run` makes the report; `inside` measures in the contestant's process."""

from __future__ import annotations

# The names of the benchmarks on the command line, in the order of `all`, and their modules.
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
