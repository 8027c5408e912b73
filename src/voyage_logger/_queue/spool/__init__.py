"""The spool: entries are on the disk before the log call returns, so a killed process loses none.

How an entry travels:

    SpoolQueue.append -> Segment (one write) ... the worker: SpoolQueue.take -> Segment -> flight
                                            ... settled -> noted in the `sent` file -> removed

_queue.py     SpoolQueue: an EntryQueue over the disk; settling, and the end
_writing.py   what log calls do            _reading.py   what the worker takes
_upkeep.py    the care of the folder       _keeper.py    what one logger has on the disk
_stream.py    the files of one owner       _segment.py   one file: reading and writing
_lines.py     what a line of a file is     _names.py     what each file's name says
_folder.py    the folder, opened with care _system.py    what differs between operating systems
_adoption.py  what dead owners have left   _estate.py    what the tools do with that
_settings.py  SpoolSettings              _inspection.py  a look without a change
"""

from __future__ import annotations

from voyage_logger._queue.spool.queue import SpoolQueue
from voyage_logger._queue.spool.settings import SpoolSettings

__all__ = ["SpoolQueue", "SpoolSettings"]
