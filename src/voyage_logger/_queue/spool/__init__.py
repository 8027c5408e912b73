"""The spool: an entry is in a file before its log call returns, so a killed process loses none.

On the disk, an owner is one logger of one process. All files of an owner begin with its name:

    v1.<owner>.lock                     locked by the process that writes or sends the files
    v1.<owner>.<lane>.<number>.ndjson   a segment: entries of one level, one entry a line
    v1.<owner>.sent                     how many bytes of each segment are settled
    v1.<owner>.dead.ndjson              rejected entries and corrupt lines, with the reason

What must stay true:

- Only the holder of an owner's lock changes the files of the owner.
- Of each segment a beginning is settled, and a beginning of equal or greater length is taken.
- A segment is removed once all its entries are settled. A settled entry is noted in the `sent` file
  before another thread can see its count.
- Two locks: `disk_lock` is taken before the ledger's lock. No log call waits for `disk_lock`.

Like `disk_v2` of Vector, the queue is made of parts that share a ledger. An entry goes from the
writer to a segment, then by the reader into flight, and is settled by the queue. This room imports
what `_queue` imports. Read its files in this order:

queue.py         SpoolQueue: the contract on the disk; settling, and the end
writer.py        what log calls do: one write, and making room
reader.py        what the worker takes
turns.py         whose entries are next: new ones or older ones
caretaker.py     what the worker does every half minute
segments.py      what those parts share, and how a segment ends
disk_failure.py  what happens while the disk is full or fails, or the folder is removed
store.py         what one logger has on the disk
owner.py         the files of one owner
segment.py       one file of entries
lines.py, file_names.py, folder.py, os_locks.py    formats, and access to the folder
adoption.py      how the files of dead processes are taken over
settings.py      SpoolSettings
inspection.py, maintenance.py    what the command line does with a folder
"""

from __future__ import annotations

from voyage_logger._queue.spool.queue import SpoolQueue
from voyage_logger._queue.spool.settings import SpoolSettings

__all__ = ["SpoolQueue", "SpoolSettings"]
