"""Run the command line with `python -m voyage_logger`."""

from __future__ import annotations

import sys

from voyage_logger.cli import main

if __name__ == "__main__":
    sys.exit(main())
