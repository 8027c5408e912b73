"""The two locks that a fork waits for (see `_delivery/exit_and_fork.py`).

A thread holds `loading` while it imports the HTTP stack. A child that is forked during the import
would have incomplete modules. A thread holds `opening` while it opens or closes a lock file. A
child that is forked at that moment would inherit the open file without knowing it. The open file
would keep the parent's entries locked after the parent has ended.
"""

from __future__ import annotations

# This import must come first, because `logging` registers its own fork hooks. If a thread imported
# `logging` while a fork waits for these locks, only some of the hooks would run.
import logging  # noqa: F401 - see above
import threading

loading = threading.RLock()
opening = threading.RLock()

# Seconds that a fork waits for each lock. A thread that opens a lock file waits as long for a fork.
LOADING_SECONDS = 5.0  # about fifty times the duration of the import
OPENING_SECONDS = 1.0  # far longer than a disk needs to open a file
