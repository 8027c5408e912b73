"""A strict local server of the Voyage Logs API, for tests and trials.

The server refuses each request that breaks the vendor's documentation, and stores the accepted
entries in SQLite. Tests can script misbehavior of the server, such as errors and delays. From the
client's code, the server imports only the constants in `_base.wire`: a mistake in code that server
and client share would stay unnoticed.

    with DevServer() as server:
        server.script(Fault(status=503, headers={"Retry-After": "1"}))
        ...                                 # run a client with server.environ
        server.wait_for_entries(3)
        assert not server.duplicates()

Read `_server` first (the public class), then `_inspection` (its methods that only read) and
`_faults` (the kinds of misbehavior). Then follow a request through the other files:

    _listener -> _connections -> _handler -> _http     reads the request
                                    |------> _backend  checks (_checks, _tokens) and stores (_store)
                                    |------> _control  answers the JSON API under /dev/api/
                                    `------> _journal  records the request and wakes waiting tests
"""

from __future__ import annotations

from voyage_logger.devserver._faults import OMIT, Fault, Rules, html_ok, redirect, slow_down
from voyage_logger.devserver._journal import RecordedRequest
from voyage_logger.devserver._server import DevServer
from voyage_logger.devserver._store import StoredEntry

__all__ = [
    "OMIT",
    "DevServer",
    "Fault",
    "RecordedRequest",
    "Rules",
    "StoredEntry",
    "html_ok",
    "redirect",
    "slow_down",
]
