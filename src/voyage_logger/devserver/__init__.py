"""A strict local server of the Voyage Logs API, for tests and rehearsals.

It is an oracle: it shares nothing with the client but the wire's constants, refuses whatever is not
exactly as documented, stores the rest in SQLite, and misbehaves on request.

    with DevServer() as server:
        server.script(Fault(status=503, headers={"Retry-After": "1"}))
        ...                                 # run a client with server.environ
        server.wait_for_entries(3)
        assert not server.duplicates()

How a request travels:

    _listener -> _connections -> _handler -> _http     reads it
                                    |------> _backend  checks it (_checks, _tokens), stores (_store)
                                    |------> _control  the JSON API under /dev/api/
                                    `------> _journal  remembers it, and wakes who waits for it

`_faults` has the values that say how to misbehave, `_inspection` what a test can ask, `_server` the
class that holds it all together.
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
