"""The spool: entries are on the disk before the log call returns, so a killed process loses none.

How an entry travels:

    SpoolQueue.append -> Segment (one write) ... the worker: SpoolQueue.take -> Segment -> flight
                                            ... settled -> noted in the `sent` file -> removed

_queue.py     SpoolQueue: an EntryQueue over the disk; taking and settling
_writing.py   what log calls do            _upkeep.py    the care of the folder
_keeper.py    what one logger has on the disk, and whether the disk works
_stream.py    the files of one owner       _segment.py   one file: reading and writing
_adoption.py  what dead owners have left   _names.py     what each file's name says
_lines.py     what each line of a file is
_folder.py    the folder, opened with care _system.py    what differs between operating systems
_inspection.py  a look without a change    _estate.py    what the tools do with the dead's files
"""

from __future__ import annotations

from voyage_logger.spool._keeper import SpoolSettings
from voyage_logger.spool._queue import SpoolQueue

__all__ = ["SpoolQueue", "SpoolSettings"]
