"""A fork waits for two locks, because a fork at the wrong moment would harm the child process.

The fork hooks in `_delivery/exit_and_fork.py` acquire both locks before each fork.

A thread holds `loading` while a function imports a module. If a fork happened during the import,
the child process would wait forever when it imports the same module. A thread holds `opening` while
it opens or closes a lock file. A child process that is forked during this time could inherit the
open lock file, but would not close the file. Then the parent's entries would stay locked after the
parent has ended.
"""

from __future__ import annotations

# The module `logging` registers its own fork hooks at its first import, so import `logging` early.
# If the first import happened while a fork waits for a lock, only some of the hooks would run.
import logging  # noqa: F401 - See above.
import threading

loading = threading.RLock()
opening = threading.RLock()

# The longest time that a fork waits for each lock. `OPENING_SECONDS` is also the longest time that
# a thread waits for a fork to end before the thread opens a lock file.
LOADING_SECONDS = 5.0  # The import of the HTTP libraries takes about 0.1 seconds.
OPENING_SECONDS = 1.0  # Opening a file usually takes much less time.
