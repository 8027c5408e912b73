"""The names of a spool's files, which say what each is: format, owner, level, number.

::

    v1.<owner>.lock                     held by the process that writes and sends the owner's files
    v1.<owner>.<lane>.<number>.ndjson   a segment: one entry a line
    v1.<owner>.sent                     how much of each segment the server has
    v1.<owner>.dead.ndjson              entries that the server has rejected, with its words

An *owner* is a logger in a process. Its name begins with the time, so that a listing shows the
oldest first; nothing is ever concluded from it.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

from voyage_logger._base.levels import LANES

VERSION = 1

_NAME = re.compile(
    r"v(?P<version>\d+)\.(?P<owner>[0-9]+-[0-9]+-[0-9a-f]{8})\."
    rf"(?:(?P<kind>lock|sent|dead)|(?P<lane>{'|'.join(LANES)})\.(?P<number>\d{{6,}}))(?:\.ndjson)?"
)
_DRAFT = ".new"
_ANY_VERSION = re.compile(r"v(\d+)\.")


@dataclass(frozen=True, slots=True)
class FileName:
    """A file's name, read.

    Attributes:
        owner: Whose file it is.
        kind: "lock", "sent", "dead" or "segment".
        lane: A segment's lane.
        number: A segment's number; later ones hold later entries.
    """

    owner: str
    kind: str
    lane: int = 0
    number: int = 0


def new_owner() -> str:
    """A name for a logger in this process that nobody else has."""
    return f"{int(time.time()):010d}-{os.getpid()}-{os.urandom(4).hex()}"


def facts_in_name(owner: str) -> dict[str, object]:
    """What an owner's name says of it: `pid` and `started`, as a lock file has them.

    Only for people to read: the clock may have been wrong.
    """
    began, pid, _ = owner.split("-")
    try:
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(began)))
    except (ValueError, OverflowError, OSError):  # somebody has made the name up
        return {}
    return {"pid": int(pid), "started": started}


def lock_name(owner: str) -> str:
    return f"v{VERSION}.{owner}.lock"


def sent_name(owner: str) -> str:
    return f"v{VERSION}.{owner}.sent"


def dead_name(owner: str) -> str:
    return f"v{VERSION}.{owner}.dead.ndjson"


def segment_name(owner: str, lane: int, number: int) -> str:
    return f"v{VERSION}.{owner}.{LANES[lane]}.{number:06d}.ndjson"


def draft_name(name: str) -> str:
    """What a file is called until it takes the place of another one."""
    return name + _DRAFT


def parse(name: str) -> FileName | None:
    """What a file of the folder is, or None if it is not one of this format."""
    found = _NAME.fullmatch(name)
    if found is None or int(found["version"]) != VERSION:
        return None
    if found["kind"] is not None:
        return FileName(found["owner"], found["kind"])
    return FileName(found["owner"], "segment", LANES.index(found["lane"]), int(found["number"]))


def segments_of(owner: str, names: list[str]) -> list[str]:
    """An owner's segments among the files of a folder, in their order."""
    # By the beginning first: of thousands of files, few are the owner's.
    beginning = f"v{VERSION}.{owner}."
    own = [name for name in names if name.startswith(beginning)]
    return [name for name in own if (file := parse(name)) and file.kind == "segment"]


def parse_draft(name: str) -> FileName | None:
    """The same of a file that may be a draft: what it is to become."""
    return parse(name.removesuffix(_DRAFT))


def is_newer(name: str) -> bool:
    """True if a later version of this package has written the file."""
    found = _ANY_VERSION.match(name)
    return found is not None and int(found[1]) > VERSION


def odd_names(names: list[str]) -> tuple[list[str], list[str]]:
    """The files of a newer version, and those that no spool has made."""
    odd = [name for name in names if parse_draft(name) is None]
    return [name for name in odd if is_newer(name)], [name for name in odd if not is_newer(name)]
