"""The entry that each contestant logs: a realistic entry of about 430 bytes.

Only the number `n` and the text `session` change from call to call. The benchmarks find an entry by
its session text, because JSON, msgpack and protobuf store ASCII text unchanged.
"""

from __future__ import annotations

import re

SESSION = re.compile(rb"bench-session-(\d{8})")


def session(n: int) -> str:
    return f"bench-session-{n:08d}"
