"""The differences between operating systems: file locks, process ids, owners of files.

What must stay true: the operating system releases a lock when its process ends, for any reason.
Therefore neither a process id nor a clock decides whether an owner still runs.
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
        """Lock an open file and return True, or return False if another process has the lock."""
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
        """Lock an open file and return True, or return False if another process has the lock.

        This uses `flock`, because a lock of `lockf` ends when any descriptor of its file is closed.
        A forked child shares the lock: the child must close the descriptor and never unlock it.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_foreign(status: os.stat_result) -> bool:
        """True if a file belongs neither to this user nor to root."""
        return status.st_uid not in (os.geteuid(), 0)


# Windows has none of these flags, so only the check of the folder protects against links there.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe in the folder must not block
BINARY = getattr(os, "O_BINARY", 0)
HAS_DIRECTORIES = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
