"""Functions that differ between operating systems: file locks, process ids and file ownership.

What must stay true: if a process ends or crashes, the operating system releases the locks of the
process. If a lock is free, the process that had the lock has ended or has released the lock. The
client checks a process id only if there is no lock file.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    def is_running(_process_id: int) -> bool:
        """Return False, because the client does not check process ids on Windows."""
        return False

    def try_lock(descriptor: int) -> bool:
        """Lock an open file and return True. If another process has the lock, return False."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def is_foreign(_status: os.stat_result) -> bool:
        """Return False: on Windows, the client does not check which user a file belongs to."""
        return False

else:
    import fcntl

    def is_running(process_id: int) -> bool:
        """True if a process with this id is running."""
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True

    def try_lock(descriptor: int) -> bool:
        """Lock an open file and return True. If another process has the lock, return False.

        This function uses `flock`. With `lockf`, the process would lose its lock when it closes any
        descriptor of the file. A forked child shares the lock with its parent. The child must only
        close its descriptor. If the child unlocked the file, the parent would lose the lock, too.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_foreign(status: os.stat_result) -> bool:
        """True if a file belongs neither to this user nor to root."""
        return status.st_uid not in (os.geteuid(), 0)


# Windows has no `O_NOFOLLOW`. On Windows, the client only checks that the folder is not a link.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # with this flag, opening a named pipe does not wait
BINARY = getattr(os, "O_BINARY", 0)
HAS_DIRECTORIES = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
