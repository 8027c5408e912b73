"""A strict local server of the Voyage Logs API, for tests and experiments.

The server refuses each request that does not follow the vendor's documentation, and stores the
accepted entries in SQLite. Tests can make the server misbehave, for example with errors and delays.
The server shares only the constants in `_base.wire` with the client. If client and server shared
more code, tests could not find a mistake in that code.

    with DevServer() as server:
        server.script(Fault(status=503, headers={"Retry-After": "1"}))
        ...                                 # run a client with server.environ
        server.wait_for_entries(3)
        assert not server.duplicates()

First read `_server` (the public class) and `_inspection` (its read-only methods). The kinds of
misbehavior are in `_faults`. The other files handle a request in this order:

    _listener -> _connections -> _handler -> _http     reads the request
                                    |------> _hosts    refuses the requests of other sites
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
