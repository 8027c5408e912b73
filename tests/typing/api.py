"""Lines that type checkers must accept or reject. mypy and pyright check this file; it never runs.

Each line with an `ignore` comment must be an error: both type checkers report an `ignore` that is
not needed.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
from datetime import datetime, timezone
from typing import Any

from typing_extensions import assert_type

from voyage_logger import (
    DEFAULT_REDACTED_KEYS,
    Journey,
    LogFields,
    Stats,
    VoyageLogger,
    current_journey,
    propagate,
)

logger = VoyageLogger(
    "app",
    redact=DEFAULT_REDACTED_KEYS | {"iban"},
    before_send=lambda entry: entry,
    sample={"debug": 0.1},
    ticket_cooldown=600,
    collapse=1.0,
)

# Type checkers accept the documented fields in each form that the client converts.
logger.info(
    "User login successful",
    event_name="login_success",
    event_flow_name="authentication",
    app_user_id="user_123",
    app_username="john_doe",
    app_useremail=None,
    session_id=uuid.uuid4(),
    method_name="login",
    tags=["a"],
    meta_data={"any": object()},
    exception_info=ValueError("x"),
    add_ticket=True,
    event_timeline=[{"step": "a", "timestamp": 1}, ("b", 2.5)],
    app_name="other",
    environment="test",
)
now = datetime.now(timezone.utc)
logger.info("x", event_timeline=[{"step": "a", "timestamp": now}, ("b", now)])
logger.info("x", tags="shop")
logger.info("x", tags={"shop": 1}.keys())
logger.debug("%s of %d", "a", 1)
logger.warn(message="as the vendor's class has it")
logger.warning("x", app_user_id=5, tags=("a", "b"))
logger.error("x", exc_info=True)
logger.error("x", exc_info=sys.exc_info())
logger.exception("x", exc_info=ValueError("x"))
logger.log("info", "x", event_name="e")
logger.log(level=20, message="x")

# Type checkers reject field names from the vendor's JavaScript, and other mistakes.
logger.debug("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.info("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.warn("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.warning("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.error("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.critical("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.exception("x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.log("info", "x", appUserId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.bind(app_userid="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.context(eventName="e")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.journey("x", sessionId="s")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.continue_journey({}, userId="u")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
logger.info("x", tags=iter(["a"]))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
logger.info("x", tags=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
logger.info("x", meta_data="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
logger.info("x", event_name=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
logger.info("x", add_ticket="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
VoyageLogger("app", sample=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# Fields can come from a typed or an untyped dict.
flow: LogFields = {"event_flow_name": "checkout", "app_user_id": "u"}
logger.info("x", **flow)
extra: dict[str, Any] = {"cart_size": 3}
logger.info("x", **extra)

assert_type(logger.bind(app_user_id="u"), VoyageLogger)
assert_type(logger.stats(), Stats)
assert_type(logger.stats().as_dict(), dict[str, Any])
assert_type(current_journey(), "Journey | None")

with logger.context(app_user_id="u"), logger.journey("checkout", session_id="s") as journey:
    assert_type(journey, Journey)
    journey.step("card_charged")
    assert_type(journey.carrier(), "dict[str, str]")

with logger.continue_journey({"voyage-journey": "flow=x"}, "serve", app_user_id="u") as continued:
    assert_type(continued, Journey)


@logger.journey("count")
def count(number: int) -> str:
    return str(number)


@logger.journey("serve", ticket_on_error=True)
async def serve(number: int) -> str:
    async with logger.journey("inner") as inner, logger.context(app_user_id="u"):
        assert_type(inner, Journey)
    return str(number)


assert_type(count(1), str)
assert_type(propagate(count)(1), str)
count("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
propagate(count)("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(asyncio.run(serve(1)), str)
threading.Thread(target=propagate(count), args=(1,)).start()
undo = logger.capture_uncaught()
undo()
