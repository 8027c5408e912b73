"""The locks that a fork waits for (see `_process`), for what must not be cut in two by one.

`loading` is held while the HTTP stack is being imported, in whatever thread: a child would find the
modules half-made, and nobody left to finish them. `opening` is held while a lock file is opened or
closed: a child with a descriptor that nobody there knows of would keep the lock for its parent's
entries after the parent's death.
"""

from __future__ import annotations

# Not used here, but first of all: `logging` registers fork hooks of its own, and if a lock's
# holder were to import it while a fork waits, half of them would run.
import logging  # noqa: F401 - see above
import threading

loading = threading.RLock()
opening = threading.RLock()

# The most that a fork waits for each, and whoever opens a lock file for a fork.
LOADING_SECONDS = 5.0  # some fifty times what the import takes
OPENING_SECONDS = 1.0  # far more than a disk takes to open a file
