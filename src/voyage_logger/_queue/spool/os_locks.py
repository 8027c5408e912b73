"""Functions that differ between operating systems: file locks, process ids and file owners.

What must stay true: the operating system releases a lock when the process with the lock ends, even
after a crash. If a lock is free, the process that held the lock has ended or has released the lock.
The client looks up a process id only if there is no lock file.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    def is_running(_process_id: int) -> bool:
        """Return False, because process ids are not looked up on Windows."""
        return False

    def try_lock(descriptor: int) -> bool:
        """Lock an open file and return True. If another process has the lock, return False."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def is_foreign(_status: os.stat_result) -> bool:
        """Return False, because the user of a file is not looked up on Windows."""
        return False

else:
    import fcntl

    def is_running(process_id: int) -> bool:
        """True if a process with this id runs."""
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True

    def try_lock(descriptor: int) -> bool:
        """Lock an open file and return True. If another process has the lock, return False.

        This function uses `flock`. A lock of `lockf` would end when the process closes any
        descriptor of the file. A forked child shares the lock, and must not unlock the file: the
        parent would lose the lock, too. The child must only close its descriptor.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_foreign(status: os.stat_result) -> bool:
        """True if a file belongs neither to this user nor to root."""
        return status.st_uid not in (os.geteuid(), 0)


# Windows has no `O_NOFOLLOW`, so only the check of the folder protects against links there.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # with this flag, `open` does not wait at a named pipe
BINARY = getattr(os, "O_BINARY", 0)
HAS_DIRECTORIES = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
