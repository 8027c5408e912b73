"""A field whose name is another spelling of a documented name is sent, and one line says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer


@pytest.mark.parametrize(
    ("name", "value", "documented"),
    [
        ("appUserId", "u1", "app_user_id"),
        ("appUserID", 5, "app_user_id"),
        ("appUserName", "john", "app_username"),
        ("appUsername", "john", "app_username"),
        ("appUserEmail", "j@example.com", "app_useremail"),
        ("addTicket", True, "add_ticket"),
        ("metaData", {"a": 1}, "meta_data"),
        ("metadata", {"a": 1}, "meta_data"),
        ("eventTimeline", [1], "event_timeline"),
        ("sessionId", None, "session_id"),
        ("excInfo", True, "exc_info"),
    ],
)
@pytest.mark.parametrize("form", ["keyword", "dict", "context"])
def test_other_spelling_is_sent_and_said_once(
    server: DevServer,
    logger: VoyageLogger,
    said: Any,
    name: str,
    value: object,
    documented: str,
    form: str,
) -> None:
    """A name such as `appUserId` is sent unchanged, and one line names the documented field."""
    for _ in range(2):
        if form == "keyword":
            logger.info("x", **{name: value})  # type: ignore[arg-type]
        elif form == "dict":
            logger.info("x", {name: value})
        else:
            with logger.context(**{name: value}):  # type: ignore[arg-type]
                logger.info("x")
    assert logger.flush()
    assert [entry[name] for entry in server.entries()] == [value, value]
    (line,) = said()
    assert line == (
        f"voyage-logger: the field {name} is sent as it is: the documented name is {documented}"
    )


@pytest.mark.parametrize("name", ["app_user_id", "userId", "tags", "cart", "Message", "error"])
def test_other_names_say_nothing(
    server: DevServer, logger: VoyageLogger, said: Any, name: str
) -> None:
    """A documented name, and a name that resembles no documented name, cause no line."""
    logger.info("x", **{name: ["v"]})  # type: ignore[arg-type]
    assert logger.flush()
    assert name in server.entries()[0]
    assert said() == []


def test_name_in_meta_data_says_nothing(logger: VoyageLogger, said: Any) -> None:
    """A name such as `appUserId` inside `meta_data` causes no line."""
    logger.info("x", meta_data={"appUserId": "u1"})
    assert logger.flush()
    assert said() == []
