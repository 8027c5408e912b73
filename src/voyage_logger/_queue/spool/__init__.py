"""With a spool, a log call writes its entry to a file. If the process is killed, no entry is lost.

An owner is one logger in one process. Each owner has these files in the spool folder:

    v1.<owner>.lock                     locked by the process that uses the owner's files
    v1.<owner>.<lane>.<number>.ndjson   a segment: entries of one level, one entry per line
    v1.<owner>.sent                     how many bytes of each segment are settled
    v1.<owner>.dead.ndjson              rejected entries and corrupt lines, with the reason

What must stay true:

- Only the process that has locked the lock file of an owner changes the other files of this owner.
- In each segment, settled entries come first, then entries in flight, and then waiting entries.
- A segment is removed once all its entries are settled.
- When entries are settled, the `sent` file is written before another thread can see the new counts.
- A thread that needs `disk_lock` and the ledger's lock takes `disk_lock` first.
- No log call waits for `disk_lock`.

The queue consists of several parts that share one ledger. The log shipper Vector divides its buffer
`disk_v2` in a similar way. First, the writer appends an entry to a segment. Later, the reader reads
the entry and moves it into flight. Then the queue settles the entry. Read the files in this order:

    queue.py         SpoolQueue: the queue's methods; entries are settled here
    writer.py        log calls append entries to segments and make room
    reader.py        the worker takes entries
    turns.py         the choice between new entries and older entries
    caretaker.py     the worker's regular work, every 30 seconds
    segments.py      the data that these parts share; segments are sealed and removed here
    disk_failure.py  what happens while the disk is full or fails, or the folder is removed
    store.py         all files of one logger
    owner.py         the files of one owner
    segment.py       one file of entries
    lines.py, file_names.py    formats
    folder.py, open_file.py, os_locks.py    access to the folder
    dead_owners.py   the search for dead owners
    adoption.py      how the files of dead processes are taken over
    settings.py      SpoolSettings
    inspection.py, maintenance.py    the work of the command `voyage-logger spool`
"""

from __future__ import annotations

from voyage_logger._queue.spool.queue import SpoolQueue
from voyage_logger._queue.spool.settings import SpoolSettings

__all__ = ["SpoolQueue", "SpoolSettings"]
