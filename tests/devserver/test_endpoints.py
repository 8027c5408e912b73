"""Tests of the dev server's sign-ins, batches and rules, with valid and invalid requests."""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.devserver.client import KEYS, Client
from voyage_logger._base import levels
from voyage_logger._base.levels import rank_of
from voyage_logger._base.wire import BATCH_PATH, SIGN_IN_PATH
from voyage_logger.devserver import OMIT, DevServer, Fault, Rules, _checks
from voyage_logger.devserver._tokens import Tokens


def entry(message: str = "hello", **fields: Any) -> dict[str, Any]:
    return {
        "message": message,
        "level": "info",
        "app_name": "app",
        "environment": "test",
        **fields,
    }


# -- Sign-in ---------------------------------------------------------------------------------------


def test_sign_in_answers_as_documented(server: DevServer, client: Client) -> None:
    """For a correct key and secret, the server returns a bearer token and its lifetime."""
    data = client.sign_in()
    assert data["token_type"] == "bearer"
    assert data["expires_in"] == 3600
    assert server.stats()["sign_ins"] == 2


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "dev-key"},
        {"x-api-secret": "dev-secret"},
        {**KEYS, "x-api-key": "other"},
        {**KEYS, "x-api-secret": "Dev-Secret"},
        {**KEYS, "x-api-secret": ""},
    ],
)
def test_wrong_credentials_are_refused_as_documented(
    client: Client, headers: dict[str, str]
) -> None:
    """If the key or the secret is wrong, the server returns the vendor's error text."""
    assert client.ask("POST", SIGN_IN_PATH, headers=headers) == (
        401,
        {
            "error": "Invalid credentials",
            "message": "API key or secret is incorrect",
            "status": 401,
        },
    )


@pytest.mark.parametrize(("body", "status"), [(b"", 200), (b"{}", 200), (b'{"a":1}', 400)])
def test_sign_in_body_is_empty_or_an_empty_object(client: Client, body: bytes, status: int) -> None:
    """The body of a sign-in can be empty or `{}`, because the vendor's classes send either."""
    assert client.ask("POST", SIGN_IN_PATH, body, KEYS)[0] == status


@pytest.mark.parametrize("life", [3600, 0.5, 0, -5, "3600", None, [], True])
def test_rules_set_expires_in_to_any_value(server: DevServer, client: Client, life: object) -> None:
    """A rule can set `expires_in` in the sign-in answer to any value, even to an invalid one."""
    server.rules = Rules(expires_in=life)
    assert client.sign_in()["expires_in"] == life


def test_expires_in_can_be_left_out(server: DevServer, client: Client) -> None:
    """The rule `OMIT` removes `expires_in` from the sign-in answer."""
    server.rules = Rules(expires_in=OMIT)
    assert "expires_in" not in client.sign_in()


# -- Batches ---------------------------------------------------------------------------------------


def test_batch_is_stored_as_sent(server: DevServer, client: Client) -> None:
    """Documented fields, unknown fields and all Unicode characters are stored unchanged."""
    full = entry(
        'snow \u2603 \U0001f600 \x00 quote " back \\',
        event_name="n",
        event_flow_name="f",
        app_user_id="u",
        app_username="un",
        app_useremail="e",
        session_id="s",
        method_name="m",
        tags=["a", "b"],
        meta_data={"deep": [1, 2.5, None, True, {"x": "y"}], "big": 10**30},
        exception_info="Traceback",
        add_ticket=True,
        event_timeline=[{"step": "one", "timestamp": 1}, {"step": "two", "timestamp": 2.5}],
        custom={"anything": [None]},
    )
    assert client.send(full, entry("second"))[0] == 200
    assert server.entries() == [full, entry("second")]
    assert server.tickets() == [full]
    assert server.count() == 2
    assert server.count(tickets=True) == 1


def test_large_batch_keeps_its_order_and_one_number(server: DevServer, client: Client) -> None:
    """A batch that needs many SQL statements is stored in order and under one batch number."""
    sent = [entry(str(number)) for number in range(1234)]
    assert client.send(*sent)[0] == 200
    assert server.entries() == sent
    assert {row.batch for row in server.stored()} == {1}
    assert [row.id for row in server.stored(after=1200, limit=3)] == [1201, 1202, 1203]


def test_gzip_is_accepted(server: DevServer, client: Client) -> None:
    """The server decompresses a gzip body, but records the compressed body."""
    body = gzip.compress(json.dumps({"logs": [entry()]}).encode())
    assert client.post(body, Content_Encoding="gzip")[0] == 200
    assert server.entries() == [entry()]
    assert server.requests[-1].body == body


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip", "gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip"),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip"),
        (b"{}", "br"),
    ],
)
def test_damaged_encodings_are_refused(client: Client, body: bytes, encoding: str) -> None:
    """A body with `Content-Encoding: gzip` must be one complete gzip stream."""
    assert client.post(body, Content_Encoding=encoding)[0] == 400


def test_gzip_bombs_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a gzip body reaches the size limit, the server stops decompressing it."""
    monkeypatch.setattr("voyage_logger.devserver._checks.MAX_INFLATED_BYTES", 1000)
    assert client.post(gzip.compress(b" " * 10**6), Content_Encoding="gzip")[0] == 413


def logs(text: str) -> bytes:
    """Return a batch with one entry, whose `meta_data` is the JSON in `text`."""
    plain = json.dumps(entry())[:-1]
    return f'{{"logs":[{plain},"meta_data":{text}}}]}}'.encode()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "invalid JSON"),
        (b"{", "invalid JSON"),
        (b'{"logs":[]} x', "invalid JSON"),
        (logs('{"n":NaN}'), "NaN"),
        (logs('{"n":Infinity}'), "Infinity"),
        (logs('{"n":-Infinity}'), "-Infinity"),
        (logs('{"n":1e999}'), "too large"),
        (logs('{"n":01}'), "invalid JSON"),
        (logs('{"n":"\t"}'), "invalid JSON"),
        (logs('{"n":1,"n":2}'), "'n' comes twice"),
        (logs('{"n":"\\ud800"}'), "surrogate"),
        (logs('{"n":"\\uDFFF\\uD800"}'), "surrogate"),
        (logs('{"\\ud800":1}'), "surrogate"),
        (logs('{"n":"x"}').replace(b"x", b"\xff"), "utf-8"),
        (logs('{"n":"x"}').replace(b"x", b"\xed\xa0\x80"), "utf-8"),
        (b"\xef\xbb\xbf" + logs("{}"), "BOM"),
        (logs("{}").decode().encode("utf-16"), "utf-8"),
        (logs('{"n":' + "[" * 100_000 + "]" * 100_000 + "}"), "nested deeper"),
        (logs('{"n":' + "9" * 5000 + "}"), "invalid JSON"),
    ],
)
def test_json_is_strict(server: DevServer, client: Client, body: bytes, word: str) -> None:
    """The server refuses JSON that is not strictly valid, and the message names the mistake."""
    if word == "invalid JSON" and b"9999" in body and not _limits_digits():
        pytest.skip("this Python has no limit of digits")
    status, answer = client.post(body)
    assert status == 400
    assert answer.keys() == {"error", "message", "status"}
    assert answer["status"] == 400
    assert word in answer["message"]
    assert server.count() == 0


def _limits_digits() -> bool:
    try:
        int("9" * 5000)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("text", [r'{"n":"\ud83d\ude00"}', r'{"n":"\\ud800"}', '{"n":1e308}'])
def test_valid_but_unusual_json_is_accepted(client: Client, text: str) -> None:
    """The server accepts unusual but valid JSON, such as surrogate pairs or huge numbers."""
    assert client.post(logs(text))[0] == 200


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ([], "object"),
        ({}, "logs"),
        ({"logs": [entry()], "more": 1}, "exactly one member"),
        ({"logs": {}}, "list"),
        ({"logs": []}, "at least one"),
        ({"logs": None}, "list"),
        ({"logs": [1]}, "logs[0] must be an object"),
        ({"logs": [entry(), {}]}, "logs[1] lacks message, level, app_name, environment"),
        ({"logs": [entry(level="warning")]}, "logs[0].level"),
        ({"logs": [entry(level="INFO")]}, "logs[0].level"),
        ({"logs": [entry(level=["info"])]}, "logs[0].level"),
        *(
            ({"logs": [{**entry(), name: value}]}, f"logs[0].{name} must be a string")
            for name in (
                "message",
                "app_name",
                "environment",
                "event_name",
                "event_flow_name",
                "app_user_id",
                "app_username",
                "app_useremail",
                "session_id",
                "method_name",
                "exception_info",
            )
            for value in (1, None)
        ),
        ({"logs": [entry(tags="a")]}, "logs[0].tags"),
        ({"logs": [entry(tags=["a", 1])]}, "logs[0].tags"),
        ({"logs": [entry(meta_data=[])]}, "logs[0].meta_data"),
        ({"logs": [entry(meta_data=None)]}, "logs[0].meta_data"),
        ({"logs": [entry(add_ticket=1)]}, "logs[0].add_ticket"),
        ({"logs": [entry(add_ticket="true")]}, "logs[0].add_ticket"),
        ({"logs": [entry(event_timeline={})]}, "logs[0].event_timeline"),
        ({"logs": [entry(event_timeline=["a"])]}, "logs[0].event_timeline"),
        ({"logs": [entry(event_timeline=[{"step": "a"}])]}, "logs[0].event_timeline"),
        (
            {"logs": [entry(event_timeline=[{"step": "a", "timestamp": "1"}])]},
            "logs[0].event_timeline",
        ),
        (
            {"logs": [entry(event_timeline=[{"step": "a", "timestamp": True}])]},
            "logs[0].event_timeline",
        ),
        (
            {"logs": [entry(event_timeline=[{"step": 1, "timestamp": 1}])]},
            "logs[0].event_timeline",
        ),
    ],
)
def test_wrong_entries_are_refused(
    server: DevServer, client: Client, value: object, word: str
) -> None:
    """If one entry does not match the interface `LogEntry`, the server refuses the batch."""
    status, answer = client.post(json.dumps(value).encode())
    assert status == 400
    assert word in answer["message"]
    assert server.count() == 0


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/jsonp", "application/json; charset=latin-1"]
)
def test_content_type_must_be_json(client: Client, kind: str) -> None:
    """A batch whose Content-Type is not JSON is refused."""
    assert client.post(logs("{}"), Content_Type=kind)[0] == 400


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_content_type_may_name_the_charset(client: Client, kind: str) -> None:
    """The Content-Type is allowed to name the charset UTF-8, in upper or lower case."""
    assert client.post(logs("{}"), Content_Type=kind)[0] == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer wrong", "bearer {}", "{}", "Bearer  {}"])
def test_batch_needs_a_valid_bearer_token(server: DevServer, client: Client, value: str) -> None:
    """The answer to a batch without a valid bearer token is 401, and no entry is stored."""
    status, answer = client.post(logs("{}"), Authorization=value.format(client.token))
    assert (status, answer["status"], server.count()) == (401, 401, 0)


def test_wrong_paths_and_methods_are_refused(client: Client) -> None:
    """The server answers only the two documented requests, a sign-in and a batch."""
    assert client.ask("POST", "/voyage/api/v1/logs")[0] == 404
    assert client.ask("POST", BATCH_PATH + "?x=1")[0] == 404
    assert client.ask("POST", BATCH_PATH + "/")[0] == 404
    assert client.ask("GET", BATCH_PATH)[0] == 405
    assert client.ask("PUT", SIGN_IN_PATH)[0] == 405
    client.http.request("HEAD", BATCH_PATH)
    answer = client.http.getresponse()
    assert (answer.status, answer.getheader("Allow"), answer.read()) == (405, "POST", b"")
    assert client.send(entry())[0] == 200


def test_entries_are_filtered_by_level_text_and_id(server: DevServer, client: Client) -> None:
    """`entries` can filter by the level, by a part of the message, and by the `log_id`."""
    client.send(entry("one fish"), entry("two fish", level="error"), entry("Fish 100%"))
    assert server.entries(contains="fish") == [entry("one fish"), entry("two fish", level="error")]
    assert server.entries(contains="%") == [entry("Fish 100%")]
    assert server.entries(level="error") == [entry("two fish", level="error")]
    assert server.entries(level="error", contains="one") == []
    assert server.entries(limit=1) == [entry("one fish")]
    assert server.entries(after=2) == [entry("Fish 100%")]


def test_filter_accepts_the_level_names_of_the_logger(server: DevServer, client: Client) -> None:
    """`entries` accepts the logger's level names in any case, but no other names."""
    client.send(entry(level="warn"), entry(level="critical"))
    for name, level in [("warning", "warn"), ("WARN", "warn"), (" Fatal", "critical")]:
        assert server.entries(level=name) == [entry(level=level)]
        assert rank_of(name) == rank_of(level)
    for name in ("inf", ""):
        with pytest.raises(ValueError, match=f"one of debug, info.*, not '{name}'"):
            server.entries(level=name)


def test_the_dev_server_knows_all_names_of_levels() -> None:
    """The dev server and the logger accept the same level names, although they share no code."""
    assert {name: rank_of(level) for name, level in _checks._ALIASES.items()} == {
        name: rank for name, rank in levels._ALIASES.items() if name not in levels.LEVELS
    }


def test_duplicates_are_counted_by_log_id(server: DevServer, client: Client) -> None:
    """`duplicates` counts entries that were stored more than once with the same `log_id`."""
    twice, once = entry(meta_data={"log_id": "a"}), entry(meta_data={"log_id": "b"})
    client.send(twice, once, entry(), entry(), entry(meta_data={"log_id": 1}))
    client.send(twice)
    assert server.duplicates() == {"a": 2}
    assert server.stats()["duplicates"] == {"a": 2}
    assert server.stats()["batches"] == 2


# -- Rules -----------------------------------------------------------------------------------------


def test_max_body_bytes_refuses_a_larger_body(server: DevServer, client: Client) -> None:
    """The answer to a body that is one byte too long is 413, and the connection stays open."""
    body = logs("{}")
    server.rules = Rules(max_body_bytes=len(body))
    assert client.post(body)[0] == 200
    assert client.post(body + b" ")[0] == 413
    assert client.post(body)[0] == 200
    assert server.count() == 2


def test_max_entries_refuses_a_larger_batch(server: DevServer, client: Client) -> None:
    """The answer to a batch with too many entries is 422, and no entry is stored."""
    server.rules = Rules(max_entries=2)
    assert client.send(entry(), entry(), entry())[0] == 422
    assert server.count() == 0
    assert client.send(entry(), entry())[0] == 200


@pytest.mark.parametrize("status", [400, 422])
def test_refuse_containing_refuses_the_whole_batch(
    server: DevServer, client: Client, status: int
) -> None:
    """`refuse_containing` searches for its text only in the messages of the entries."""
    server.rules = Rules(refuse_containing="poison", refuse_status=status)
    answered, answer = client.send(entry(), entry("a poisonous one"))
    assert answered == answer["status"] == status
    assert answer.keys() == {"error", "message", "status"}
    assert server.count() == 0
    assert client.send(entry(event_name="poison"))[0] == 200


def test_token_is_revoked_after_batches(server: DevServer, client: Client) -> None:
    """A rule revokes a token after a number of stored batches. Refused batches do not count."""
    server.rules = Rules(revoke_after=2)
    assert client.send(entry())[0] == 200
    assert client.send({})[0] == 400
    assert client.send(entry())[0] == 200
    assert client.send(entry())[0] == 401
    client.sign_in()
    assert client.send(entry())[0] == 200


def test_revoke_tokens_ends_all_tokens(server: DevServer, client: Client) -> None:
    """After `revoke_tokens`, a client must sign in again."""
    server.revoke_tokens()
    assert client.send(entry())[0] == 401
    client.sign_in()
    assert client.send(entry())[0] == 200


@pytest.mark.parametrize(("expires_in", "life"), [(60, 60), (0.5, 0.5), (OMIT, 3600), ("x", 3600)])
def test_tokens_expire_by_the_clock(expires_in: object, life: float) -> None:
    """A token is valid until its lifetime ends, but not longer."""
    now = [1000.0]
    with DevServer(rules=Rules(expires_in=expires_in), clock=lambda: now[0]) as server:
        client = Client(server)
        client.sign_in()
        now[0] += life - 0.25
        assert client.send(entry())[0] == 200
        now[0] += 0.25
        assert client.send(entry())[0] == 401
        assert [request.time for request in server.requests][-1] == now[0]
        client.http.close()


def test_token_may_be_revoked_while_its_batch_is_stored() -> None:
    """If a token is revoked while a batch is being stored, the token stays revoked."""
    tokens = Tokens(lambda: 0.0)
    token = tokens.issue(60)
    tokens.revoke_all()
    tokens.count_batch(token, 1)
    assert not tokens.is_live(token)


def test_replaced_rules_keep_the_other_rules(server: DevServer, client: Client) -> None:
    """`replace` changes only the rules that the call names."""
    server.rules = Rules(max_entries=1)
    server.rules = replace(server.rules, max_body_bytes=10_000)
    assert client.send(entry(), entry())[0] == 422
    assert server.rules == Rules(max_entries=1, max_body_bytes=10_000)


@pytest.mark.parametrize(
    "values",
    [
        {"max_body_bytes": 0},
        {"max_entries": True},
        {"revoke_after": 1.0},
        {"refuse_containing": 1},
        {"refuse_status": 401},
        {"refuse_status": 400.0},
    ],
)
def test_wrong_rules_are_refused(values: dict[str, Any]) -> None:
    """The constructor of `Rules` raises an error that names the wrong rule."""
    with pytest.raises(ValueError, match=next(iter(values))):
        Rules(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"status": 199},
        {"status": 600},
        {"status": "500"},
        {"delay": -1},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": True},
        {"hang": 1},
        {"cut": "yes"},
        {"reset": "later"},
        {"body": "x"},
        {"body": b"x", "status": 200},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"a": 1}},
        {"headers": {"Content-Length": "1"}},
        {"headers": [1]},
        {"content_type": "a\n"},
        {"hang": True, "reset": "before"},
        {"hang": True, "status": 500},
        {"hang": True, "delay": 1},
        {"reset": "after", "status": 500},
        {"cut": True, "reset": "after"},
        {"cut": True, "status": 204},
        {"cut": True, "status": 200, "body": ""},
    ],
)
def test_wrong_faults_are_refused(values: dict[str, Any]) -> None:
    """The constructor of `Fault` raises an error for wrong or contradictory values."""
    with pytest.raises(ValueError, match=r"must|excludes?|exclude|needs|own"):
        Fault(**values)


# -- Records and waiting ---------------------------------------------------------------------------


def test_requests_are_recorded(server: DevServer, client: Client) -> None:
    """The server records a request before the client gets the answer."""
    client.send(entry())
    sign_in, batch = server.requests
    assert (sign_in.endpoint, sign_in.method, sign_in.path, sign_in.status) == (
        "sign-in",
        "POST",
        SIGN_IN_PATH,
        200,
    )
    assert (batch.endpoint, batch.path, batch.status) == ("batch", BATCH_PATH, 200)
    assert batch.headers["content-type"] == "application/json"
    assert json.loads(batch.body) == {"logs": [entry()]}
    assert "dev-secret" not in repr(sign_in)
    assert server.connections == 1
    assert server.stats() == {
        "stored": 1,
        "batches": 1,
        "sign_ins": 1,
        "tickets": 0,
        "duplicates": {},
        "answers": {"sign-in": {"200": 1}, "batch": {"200": 1}},
    }


def test_recorded_requests_are_bounded(
    server: DevServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server remembers only a limited number of requests, but counts all requests."""
    monkeypatch.setattr("voyage_logger.devserver._journal.KEPT_REQUESTS", 3)
    for number in range(5):
        client.send(entry(str(number)))
    assert [json.loads(r.body)["logs"][0]["message"] for r in server.requests] == ["2", "3", "4"]
    monkeypatch.setattr("voyage_logger.devserver._journal.KEPT_BYTES", 10)
    client.send(entry())
    assert server.requests == []
    assert server.stats()["answers"]["batch"] == {"200": 6}


@pytest.mark.parametrize(
    ("method", "path", "headers", "limit"),
    [
        ("GET", "/x", {f"x-{number}": "a" * 50_000 for number in range(10)}, 600_000),
        ("GET", "/x", {f"x-{number}-{'a' * 50_000}": "" for number in range(10)}, 600_000),
        ("GET", "/x", {f"x-{number}": "" for number in range(90)}, 25_000),
        ("GET", "/" + "x" * 50_000, {}, 60_000),
        ("G" * 50_000, "/x", {}, 60_000),
    ],
)
def test_recorded_requests_are_bounded_in_bytes(
    server: DevServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: dict[str, str],
    limit: int,
) -> None:
    """The limit of the recorded bytes counts the headers, the path and the method of a request."""
    client.ask("GET", "/small")
    monkeypatch.setattr("voyage_logger.devserver._journal.KEPT_BYTES", limit)
    for _ in range(3):
        assert client.ask(method, path, headers=headers)[0] == 404
    assert [request.path for request in server.requests] == [path]


def test_waiting_ends_when_entries_and_requests_are_there(
    server: DevServer, client: Client
) -> None:
    """A wait for entries or requests ends when the entries or requests have arrived."""
    thread = threading.Thread(target=client.send, args=[entry(), entry()])
    thread.start()
    server.wait_for_entries(2)
    server.wait_for_requests(1)
    server.wait_for_requests(1, endpoint="sign-in")
    assert server.count() == 2
    thread.join()


def test_waiting_too_long_raises_with_the_counts(server: DevServer, client: Client) -> None:
    """If a wait takes too long, the error names the present count and the server's answers."""
    client.send({})
    with pytest.raises(TimeoutError, match=r"0\.01 s for 3 stored entries.*are 0.*batch 400: 1"):
        server.wait_for_entries(3, timeout=0.01)
    with pytest.raises(TimeoutError, match=r"2 batch requests.*are 1"):
        server.wait_for_requests(2, timeout=0)
    with pytest.raises(TimeoutError, match="for 1 stored entry, but there are 0"):
        server.wait_for_entries(1, timeout=0)
    with pytest.raises(TimeoutError, match="for 1 sign-in request, but"):
        server.reset()
        server.wait_for_requests(1, timeout=0, endpoint="sign-in")


def test_reset_restores_the_state_of_the_start(server: DevServer, client: Client) -> None:
    """A reset removes entries, requests, scripts, rules and tokens."""
    client.send(entry())
    server.rules = Rules(max_entries=1)
    server.script(Fault(status=500))
    server.script_sign_in(Fault(status=500))
    server.reset()
    assert (server.entries(), server.requests, server.rules) == ([], [], Rules())
    assert client.send(entry())[0] == 401
    client.sign_in()
    assert client.send(entry())[0] == 200
    assert server.stats()["stored"] == server.stats()["batches"] == 1


def test_concurrent_writers_store_exactly_once(server: DevServer) -> None:
    """If eight clients send together, entries are stored once, and batch numbers are unique."""

    def write(writer: int) -> None:
        client = Client(server)
        client.sign_in()
        for batch in range(20):
            ids = [f"{writer}-{batch}-{number}" for number in range(25)]
            assert client.send(*(entry(meta_data={"log_id": each}) for each in ids))[0] == 200
        client.http.close()

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.count() == 8 * 20 * 25
    assert server.duplicates() == {}
    assert len({each["meta_data"]["log_id"] for each in server.entries()}) == server.count()
    assert {row.batch for row in server.stored()} == set(range(1, 161))
