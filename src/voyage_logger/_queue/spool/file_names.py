"""The names of the files in a spool folder. The docstring of the package `spool` lists the names.

An owner is one logger in one process. An owner's name begins with its creation time, so a sorted
list of names shows the oldest owner first. The client uses the creation time only for sorting and
for display, because the clock may have been wrong.
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
    rf"(?:(?P<kind>lock|sent|dead)|(?P<lane>{'|'.join(LANES)})\.\d{{6,}})(?:\.ndjson)?"
)
_DRAFT = ".new"
_ANY_VERSION = re.compile(r"v(\d+)\.")


@dataclass(frozen=True, slots=True)
class FileName:
    """The parts of a file's name.

    Attributes:
        owner: The owner of the file.
        kind: The kind of the file: "lock", "sent", "dead" or "segment".
        lane: The number of the lane if the file is a segment.
    """

    owner: str
    kind: str
    lane: int = 0


def new_owner() -> str:
    """Return a new, unique name for an owner of this process."""
    return f"{int(time.time()):010d}-{os.getpid()}-{os.urandom(4).hex()}"


def facts_in_name(owner: str) -> dict[str, object]:
    """Return a dict with the process id and the start time that an owner's name contains."""
    began, pid, _ = owner.split("-")
    try:
        started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(began)))
    except (ValueError, OverflowError, OSError):  # a wrong file name can contain any number
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
    """Return the temporary name (draft name) of a new file that will replace the file `name`."""
    return name + _DRAFT


def parse(name: str) -> FileName | None:
    """Split the name of a spool file into its parts. Return None for other names."""
    found = _NAME.fullmatch(name)
    if found is None or int(found["version"]) != VERSION:
        return None
    if found["kind"] is not None:
        return FileName(found["owner"], found["kind"])
    return FileName(found["owner"], "segment", LANES.index(found["lane"]))


def files_by_owner(names: list[str]) -> dict[str, list[str]]:
    """Return the names of each owner's files, including drafts, in the same order as in `names`."""
    # A folder can have the files of thousands of owners, so each name is parsed only once.
    found: dict[str, list[str]] = {}
    for name in names:
        file = parse_draft(name)
        if file is not None:
            found.setdefault(file.owner, []).append(name)
    return found


def segments_in(names: list[str]) -> list[str]:
    """Return the names of all segments in a list of file names."""
    return [name for name in names if (file := parse(name)) and file.kind == "segment"]


def parse_draft(name: str) -> FileName | None:
    """Do the same as `parse`, but also accept the temporary names from `draft_name`."""
    return parse(name.removesuffix(_DRAFT))


def is_newer(name: str) -> bool:
    """True if this name has the format of a newer version of this package."""
    found = _ANY_VERSION.match(name)
    return found is not None and int(found[1]) > VERSION


def odd_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Return two lists: names in a newer format, and names that do not belong to a spool."""
    odd = [name for name in names if parse_draft(name) is None]
    return [name for name in odd if is_newer(name)], [name for name in odd if not is_newer(name)]
