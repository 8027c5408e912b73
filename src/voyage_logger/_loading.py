"""The lock that is held while the HTTP stack is being imported, in whatever thread.

A fork waits for it (see `_process`): the child of a fork in the middle of an import would find the
modules half-made, and nobody left to finish them.
"""

from __future__ import annotations

# Not used here, but first of all: `logging` registers fork hooks of its own, and if the lock's
# holder were to import it while a fork waits, half of them would run.
import logging  # noqa: F401 - see above
import threading

loading = threading.RLock()
