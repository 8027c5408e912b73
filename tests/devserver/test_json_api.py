"""Tests of the JSON API of the dev server, and of the modules that the dev server imports."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.devserver.client import KEYS, Client
from voyage_logger import devserver
from voyage_logger._base.wire import SIGN_IN_PATH
from voyage_logger.devserver import OMIT, DevServer, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"Content-Type": "application/json"}


class ApiClient(Client):
    """A client of the JSON API."""

    def api(
        self, method: str, name: str, value: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        body = None if value is None else json.dumps(value).encode()
        return self.ask(method, f"/dev/api/{name}", body, JSON if headers is None else headers)

    def store(self, *entries: dict[str, Any]) -> int:
        self.sign_in()
        return self.send(*entries)[0]


@pytest.fixture
def client(server: DevServer) -> Iterator[ApiClient]:
    client = ApiClient(server)
    yield client
    client.http.close()


def entry(message: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {"message": message, "level": level, "app_name": "a", "environment": "e", **fields}


def messages(answer: tuple[int, Any]) -> list[str]:
    status, value = answer
    assert status == 200
    return [row["entry"]["message"] for row in value["entries"]]


def test_entries_are_listed_and_filtered(client: ApiClient) -> None:
    """The API filters entries by level, text and `log_id`, and returns at most 100 by default."""
    client.store(*(entry(f"m {number}") for number in range(149)), entry("100 %", "error"))
    assert len(messages(client.api("GET", "entries"))) == 100
    assert len(messages(client.api("GET", "entries?limit=1000"))) == 150
    assert messages(client.api("GET", "entries?level=error")) == ["100 %"]
    assert messages(client.api("GET", "entries?level=EXCEPTION")) == ["100 %"]
    assert messages(client.api("GET", "entries?contains=100+%25")) == ["100 %"]
    assert messages(client.api("GET", "entries?after=147&limit=2")) == ["m 147", "m 148"]
    _, value = client.api("GET", "entries?limit=1")
    (row,) = value["entries"]
    assert row.keys() == {"id", "received_at", "batch", "entry"}
    assert (row["id"], row["batch"], row["entry"]) == (1, 1, entry("m 0"))


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("level=inf", "level"),
        ("level=", "level"),
        ("after=-1", "after"),
        ("after=99999999999999999999", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "twice"),
        ("levle=info", "levle"),
        ("level", "malformed"),
        ("contains=%ff", "malformed"),
    ],
)
def test_wrong_queries_are_refused(client: ApiClient, query: str, word: str) -> None:
    """If a filter is wrong, the server answers with an error, and does not ignore the filter."""
    status, answer = client.api("GET", f"entries?{query}")
    assert status == 400
    assert word in answer["message"]


def test_root_names_the_path_of_the_entries(client: ApiClient) -> None:
    """The answer at `/` names the path of the entries."""
    status, answer = client.ask("GET", "/", None)
    assert status == 404
    assert answer["message"] == "there is no /; the entries are at /dev/api/entries"
    assert client.ask("GET", "/x", None)[1]["message"] == "there is no /x"


def test_stats_are_those_of_python(server: DevServer, client: ApiClient) -> None:
    """The API returns the same counts as `DevServer.stats`."""
    client.store(entry("one", add_ticket=True, meta_data={"log_id": "x"}))
    client.store(entry("one", add_ticket=True, meta_data={"log_id": "x"}))
    expected = server.stats()
    assert client.api("GET", "stats") == (200, expected)
    assert expected == {
        "stored": 2,
        "batches": 2,
        "sign_ins": 2,
        "tickets": 2,
        "duplicates": {"x": 2},
        "answers": {"sign-in": {"200": 2}, "batch": {"200": 2}},
    }
    assert client.api("GET", "stats?x=1")[0] == 400


def test_script_queues_faults_for_both_endpoints(client: ApiClient) -> None:
    """The API can plan faults for batches and for sign-ins."""
    faults = [{"status": 503, "headers": {"Retry-After": "1"}}, {}]
    assert client.api("POST", "script", {"endpoint": "batch", "faults": faults}) == (
        200,
        {"scripted": 2},
    )
    assert [client.store(entry("x")) for _ in range(3)] == [503, 200, 200]
    client.api("POST", "script", {"endpoint": "sign-in", "faults": [{"status": 500}]})
    assert client.ask("POST", SIGN_IN_PATH, None, KEYS)[0] == 500


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([], "object"),
        ({"endpoint": "batch"}, "exactly"),
        ({"endpoint": "other", "faults": []}, "endpoint"),
        ({"endpoint": [], "faults": []}, "endpoint"),
        ({"endpoint": "batch", "faults": {}}, "list"),
        ({"endpoint": "batch", "faults": [{}, 1]}, "faults[1]"),
        ({"endpoint": "batch", "faults": [{"stauts": 503}]}, "stauts"),
        ({"endpoint": "batch", "faults": [{"status": 99}]}, "status must be"),
        ({"endpoint": "batch", "faults": [{"headers": []}]}, "headers must"),
    ],
)
def test_wrong_scripts_are_refused(client: ApiClient, value: object, word: str) -> None:
    """If one fault of a script is wrong, the server refuses the script and names the fault."""
    status, answer = client.api("POST", "script", value)
    assert status == 400
    assert word in answer["message"]
    assert client.store(entry("x")) == 200


def test_rules_are_replaced_completely(server: DevServer, client: ApiClient) -> None:
    """If a request does not name a rule, the rule gets its default value."""
    status, answer = client.api("PUT", "rules", {"max_entries": 1, "expires_in": OMIT})
    assert status == 200
    assert answer["max_body_bytes"] is None
    assert server.rules == Rules(max_entries=1, expires_in=OMIT)
    assert client.store(entry("x"), entry("y")) == 422
    assert client.api("PUT", "rules", {})[0] == 200
    assert server.rules == Rules()


@pytest.mark.parametrize(
    ("value", "word"),
    [(1, "object"), ({"max_entires": 1}, "max_entires"), ({"revoke_after": 0}, "revoke_after")],
)
def test_wrong_rules_are_refused(
    server: DevServer, client: ApiClient, value: object, word: str
) -> None:
    """A wrong request does not change the rules."""
    status, answer = client.api("PUT", "rules", value)
    assert (status, server.rules) == (400, Rules())
    assert word in answer["message"]


def test_unknown_rule_is_answered_with_the_known_rules(client: ApiClient) -> None:
    """If a rule is unknown, the message lists the known rules."""
    _, answer = client.api("PUT", "rules", {"max_entires": 1})
    assert answer["message"].startswith("there is no max_entires in the rules; there are max_body_")


@pytest.mark.parametrize("value", [None, {}])
def test_reset_deletes_the_entries(server: DevServer, client: ApiClient, value: object) -> None:
    """The body of a reset is either empty or `{}`, and any other body is refused."""
    client.store(entry("x"))
    assert client.api("POST", "reset", value) == (200, {})
    assert server.entries() == []
    assert client.api("POST", "reset", {"hard": True})[0] == 400


def test_wrong_paths_methods_and_bodies_are_refused(client: ApiClient) -> None:
    """The message for a wrong path lists the known paths."""
    status, answer = client.api("GET", "nothing")
    assert status == 404
    assert "entries, stats, script, rules, reset" in answer["message"]
    assert client.api("POST", "stats", {})[0] == 405
    assert client.api("GET", "reset")[0] == 405
    assert client.ask("PUT", "/dev/api/rules", b"{", JSON)[0] == 400
    assert client.api("POST", "reset?x=1", {})[0] == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_changes_need_the_json_type(server: DevServer, client: ApiClient, kind: str) -> None:
    """Requests that make changes need the JSON Content-Type, which other sites cannot send."""
    client.store(entry("x"))
    headers = {"Content-Type": kind} if kind else {}
    assert client.api("POST", "reset", {}, headers)[0] == 415
    assert client.api("PUT", "rules", {}, headers)[0] == 415
    assert server.count() == 1


def test_dev_server_imports_only_the_wire() -> None:
    """The dev server imports only the standard library, its own modules and `_base.wire`."""
    for path in Path(devserver.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [str(node.module)]
            for name in names:
                own = name == "voyage_logger._base.wire" or name.startswith(
                    "voyage_logger.devserver"
                )
                assert own or name.partition(".")[0] in sys.stdlib_module_names, (path, name)
