"""One module per benchmark: `run` orders and reports, `inside` measures in a contestant's process."""

from __future__ import annotations

# In the order in which `all` runs them.
MEASURES = ("call", "deliver")
