"""Log calls make the same requests as log calls of the vendor's Python class.

`vendor_requests.json` holds log calls, and the requests that the vendor's class made for these
calls. The requests were recorded with the dev server, and contain the dev server's credentials.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer, RecordedRequest

RECORDED = json.loads(Path(__file__).with_name("vendor_requests.json").read_text())
CALLS = RECORDED["calls"]


def shape(request: RecordedRequest, recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a request of this package in the form of the recorded requests."""
    headers = {name: request.headers[name] for name in recorded["headers"]}
    if "authorization" in headers:
        headers["authorization"] = re.sub(r"Bearer \S+", "Bearer <token>", headers["authorization"])
    return {
        "endpoint": request.endpoint,
        "method": request.method,
        "path": request.path,
        "headers": headers,
        "json": json.loads(request.body) if request.body else None,
        "status": request.status,
    }


def ids(call: dict[str, Any]) -> str:
    return f"{call['method']}-{call['kwargs']['message']}"


@pytest.mark.parametrize("call", CALLS, ids=ids)
def test_call_makes_the_same_request_as_the_vendor_s_class(
    server: DevServer, make_logger: MakeLogger, call: dict[str, Any]
) -> None:
    """With `timestamps` and `capture_method` off, each request is equal to the vendor's request."""
    logger = make_logger(**RECORDED["constructor"], timestamps=False, capture_method=False)
    getattr(logger, call["method"])(**call["kwargs"])
    assert logger.flush()
    sign_in, batch = server.requests
    assert shape(sign_in, RECORDED["sign_in"]) == RECORDED["sign_in"]
    assert shape(batch, call["request"]) == call["request"]


@pytest.mark.parametrize("call", CALLS, ids=ids)
def test_additions_are_the_documented_ones(
    server: DevServer, make_logger: MakeLogger, call: dict[str, Any]
) -> None:
    """By default, entries have three more fields: `logged_at`, `log_id` and `method_name`."""
    logger = make_logger(**RECORDED["constructor"])
    getattr(logger, call["method"])(**call["kwargs"])
    assert logger.flush()
    (entry,) = server.entries()
    meta_data = entry["meta_data"]
    assert meta_data.pop("logged_at")
    assert meta_data.pop("log_id")
    (expected,) = call["request"]["json"]["logs"]
    if not expected.get("meta_data"):
        assert entry.pop("meta_data") == {}
    if "method_name" not in expected:
        assert entry.pop("method_name")
    assert entry == expected


def test_headers_add_only_the_user_agent(server: DevServer, make_logger: MakeLogger) -> None:
    """A request has only the vendor's headers and the usual headers of the library `requests`."""
    logger = make_logger()
    logger.info("x")
    assert logger.flush()
    usual = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
    for request, recorded in zip(
        server.requests, (RECORDED["sign_in"], CALLS[0]["request"]), strict=True
    ):
        assert set(request.headers) == usual | set(recorded["headers"])
