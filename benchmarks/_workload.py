"""What is logged: one realistic entry of about 430 bytes, the same for each contestant.

Only two things change from call to call: the entry's number `n` and `session`, a text that tells
the entry wherever it is stored, because ASCII stands as it is in JSON, msgpack and protobuf.
"""

from __future__ import annotations

import re

SESSION = re.compile(rb"bench-session-(\d{8})")


def session(n: int) -> str:
    return f"bench-session-{n:08d}"
