"""Two locks that a fork waits for: a fork at the wrong moment would harm the child process.

The fork hooks in `_delivery/exit_and_fork.py` acquire both locks before each fork.

A thread holds `loading` while it imports the HTTP libraries. A child process that is forked during
this import would have incomplete modules. A thread holds `opening` while it opens or closes a lock
file. A child process that is forked during this step would inherit the open lock file without
knowing it. The open lock file would keep the parent's entries locked after the parent has ended.
"""

from __future__ import annotations

# `logging` registers its own fork hooks when it is imported, so it is imported here, early. If a
# thread first imported `logging` while a fork waits for a lock, only some of its hooks would run.
import logging  # noqa: F401 - See above.
import threading

loading = threading.RLock()
opening = threading.RLock()

# A fork waits for each lock no longer than these limits. A thread that is about to open a lock file
# waits at most `OPENING_SECONDS` until a fork is over.
LOADING_SECONDS = 5.0  # About fifty times as long as the import of the HTTP libraries takes.
OPENING_SECONDS = 1.0  # Much longer than a disk needs to open a file.
