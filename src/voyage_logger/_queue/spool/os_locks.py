"""What differs between operating systems, in one place: locks, processes, a folder's owner.

The lock must be one that the system takes back when its holder dies, however it dies: neither a
process id nor a clock then has a say in who is alive.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    def is_running(_process_id: int) -> bool:
        """True if there is a process of that id; nothing is known of that on Windows here."""
        return False

    def try_lock(descriptor: int) -> bool:
        """Takes the lock of an open file, unless somebody else has it.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def is_foreign(_status: os.stat_result) -> bool:
        """True if a file belongs to another user; Windows says nothing about that here."""
        return False

else:
    import fcntl

    def is_running(process_id: int) -> bool:
        """True if there is a process of that id."""
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            return True
        return True

    def try_lock(descriptor: int) -> bool:
        """Takes the lock of an open file, unless somebody else has it.

        `flock`, not `lockf`: the latter's locks vanish when any descriptor of the file is closed.
        A forked child shares the lock until it closes the descriptor; it must not unlock it.

        Raises:
            OSError: The file system has no locks.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_foreign(status: os.stat_result) -> bool:
        """True if a file belongs to another user, who is not root either."""
        return status.st_uid not in (os.geteuid(), 0)


# Where there are none (Windows), the check of the folder itself has to do.
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe among the files is not waited for
BINARY = getattr(os, "O_BINARY", 0)
HAS_DIRECTORIES = {os.open, os.stat, os.unlink, os.rename} <= os.supports_dir_fd
