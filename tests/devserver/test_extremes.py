"""Tests of huge numbers, deep values and failures, which must all get an answer of the server."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.devserver.client import Client
from voyage_logger.devserver import DevServer, Fault, Rules
from voyage_logger.devserver._checks import MAX_DEPTH

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 10**400  # This integer is too large for a float.
# CPython 3.11 and later refuse to convert an integer with so many digits to a text.
UNPRINTABLE = 10**5000
JSON = {"Content-Type": "application/json"}
ENTRY = {"message": "hello", "level": "info", "app_name": "app", "environment": "test"}
OUTER = 4  # the body, its list of entries, the entry, and its `meta_data`


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    """Return a batch with an entry whose `meta_data` has a value with so many nested levels."""
    value = f"{opening * levels}0{closing * levels}"
    # With the additional list, the body has more brackets than levels.
    entry = json.dumps({**ENTRY, "tags": []})[:-1]
    return f'{{"logs":[{entry},"meta_data":{{"x":{value}}}}}]}}'.encode()


def test_huge_numbers_in_an_entry_are_stored(server: DevServer, client: Client) -> None:
    """An entry can have numbers of 400 digits, and the server lists the entry."""
    timeline = [{"step": "a", "timestamp": HUGE}]
    entry = {**ENTRY, "meta_data": {"n": -HUGE}, "event_timeline": timeline}
    assert client.send(entry)[0] == 200
    assert client.ask("GET", "/dev/api/entries")[1]["entries"][0]["entry"] == entry
    assert server.entries() == [entry]


@pytest.mark.parametrize("number", [HUGE, -HUGE, 1e308], ids=["huge", "-huge", "1e308"])
def test_huge_delay_is_refused(client: Client, number: float) -> None:
    """The answer to a script with a huge delay names the largest delay."""
    body = json.dumps({"endpoint": "batch", "faults": [{"delay": number}]}).encode()
    status, answer = client.ask("POST", "/dev/api/script", body, JSON)
    assert status == 400
    assert "delay must be a number of seconds from 0 to 3600" in answer["message"]


@pytest.mark.parametrize("life", [HUGE, -HUGE, 1e308], ids=["huge", "-huge", "1e308"])
def test_huge_expires_in_is_answered(client: Client, life: float) -> None:
    """A rule can set `expires_in` to a huge number, and the token of the sign-in is valid."""
    body = json.dumps({"expires_in": life}).encode()
    assert client.ask("PUT", "/dev/api/rules", body, JSON)[0] == 200
    assert client.sign_in()["expires_in"] == life
    assert client.send(ENTRY)[0] == 200


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_depth_of_an_entry_is_limited(
    server: DevServer, client: Client, brackets: tuple[str, str]
) -> None:
    """The deepest entry that is accepted can also be listed, and a deeper entry is refused."""
    assert client.post(nested(MAX_DEPTH - OUTER, *brackets))[0] == 200
    status, answer = client.post(nested(MAX_DEPTH - OUTER + 1, *brackets))
    assert status == 400
    assert f"nested deeper than {MAX_DEPTH} levels" in answer["message"]
    assert len(client.ask("GET", "/dev/api/entries")[1]["entries"]) == len(server.entries()) == 1


@pytest.mark.parametrize("levels", [600, 900, 981, 1_000, 10_000, 60_000])
def test_every_depth_gets_an_answer(server: DevServer, client: Client, levels: int) -> None:
    """A deeper entry is refused at each depth, also if the JSON parser could read the entry."""
    assert client.post(nested(levels))[0] == 400
    assert client.ask("GET", "/dev/api/entries") == (200, {"entries": []})
    assert server.count() == 0


def test_depth_of_rules_is_limited(client: Client) -> None:
    """A deep value of a rule is refused, because each later sign-in would contain the value."""
    body = f'{{"expires_in":{"[" * 900}{"]" * 900}}}'.encode()
    assert client.ask("PUT", "/dev/api/rules", body, JSON)[0] == 400
    assert client.sign_in()["expires_in"] == 3600


def test_many_containers_side_by_side_are_accepted(server: DevServer, client: Client) -> None:
    """The limit of the depth does not limit the number of lists and objects in an entry."""
    entry = {**ENTRY, "meta_data": {"x": [[], {}] * MAX_DEPTH}}
    assert client.send(entry)[0] == 200
    assert server.entries() == [entry]


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        (Fault, {"delay": HUGE}, "delay must be a number"),
        (Fault, {"delay": UNPRINTABLE}, "delay must be a number"),
        (Fault, {"status": UNPRINTABLE}, "status must be"),
        (Fault, {"body": "\ud800", "status": 200}, "body must be a string that UTF-8"),
        (Fault, {"reset": "x" * 1000}, "reset must be .{,200}$"),
        (Rules, {"max_entries": -UNPRINTABLE}, "max_entries must be"),
        (Rules, {"expires_in": UNPRINTABLE}, "expires_in must be a JSON value"),
        (Rules, {"expires_in": object()}, "expires_in must be a JSON value"),
    ],
)
def test_values_that_no_answer_can_have_are_refused(
    kind: type[Fault | Rules], values: dict[str, Any], text: str
) -> None:
    """If a value would make a later answer fail, the constructor raises a short error."""
    if values.get("expires_in") is UNPRINTABLE and not _limits_digits():
        pytest.skip("this Python can print the number")
    with pytest.raises(ValueError, match=text):
        kind(**values)


def _limits_digits() -> bool:
    try:
        str(UNPRINTABLE)
    except ValueError:
        return True
    return False


def test_failing_database_is_answered(tmp_path: Path) -> None:
    """If the database fails, each request gets the status 500 with the cause."""
    path = tmp_path / "entries.db"
    with DevServer(db=path) as server:
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE entries")
        client = Client(server)
        client.sign_in()
        for path_ in ("/dev/api/entries", "/dev/api/stats"):
            status, answer = client.ask("GET", path_)
            assert (status, answer["status"]) == (500, 500)
            assert "OperationalError: no such table: entries" in answer["message"]
        assert client.send(ENTRY)[0] == 500
        client.http.close()
