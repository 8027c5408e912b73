"""Tests of the sink, which is the benchmarks' server, and of the tables of each benchmark."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import _sink, tables
from benchmarks._bench import Bench, ChildError, rotated
from benchmarks._workload import session
from benchmarks.contestants import ENTRANTS
from benchmarks.measures import MEASURES, deliver
from tests.support.processes import python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks._sink import Sink

ROOT = Path(__file__).parents[2]
PATH = "/voyage/api/v1/logs/batch"
LIMIT = 30.0


@pytest.fixture(scope="module", params=["C", "Python"])
def one_sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    with _sink.running(in_python=request.param == "Python") as sink:
        if sink.kind != request.param:
            pytest.skip("no C compiler, or no epoll")
        yield sink


@pytest.fixture
def sink(one_sink: Sink) -> Sink:
    one_sink.reset()
    return one_sink


def body(*numbers: int) -> bytes:
    return json.dumps({"logs": [{"session_id": session(n)} for n in numbers]}).encode()


def post(sink: Sink, content: bytes, path: str = PATH, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=LIMIT)
    connection.request("POST", path, content, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_loss_and_duplicates_are_seen(sink: Sink) -> None:
    """The stored requests show which entries are missing, and which entries arrived twice."""
    assert post(sink, body(0, 1, 3))[0] == 200
    assert post(sink, body(3, 4))[0] == 200
    arrivals = sink.stored().arrivals()
    assert {n: len(times) for n, times in arrivals.items()} == {0: 1, 1: 1, 3: 2, 4: 1}
    assert arrivals[3] == sorted(arrivals[3])
    sink.reset()
    assert sink.stored().requests == []


def test_compressed_bodies_count_as_sent_and_are_read_later(sink: Sink) -> None:
    """For a gzip body, the compressed size is counted, and all entries are found."""
    content = gzip.compress(body(*range(500)))
    post(sink, content, **{"Content-Encoding": "gzip"})
    stored = sink.stored()
    assert len(stored.arrivals()) == 500
    assert (
        len(content) < stored.wire_bytes < len(content) + 300
    )  # the headers take less than 300 bytes
    assert sink.count() == (1, stored.wire_bytes)


def test_large_bodies_arrive_whole(sink: Sink) -> None:
    """If a large body arrives in many pieces, the sink stores one complete body."""
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=LIMIT)
    for first in (0, 50_000):
        connection.request("POST", PATH, body(*range(first, first + 50_000)))
        connection.getresponse().read()
    connection.close()
    stored = sink.stored()
    assert stored.posts == 2
    assert sorted(stored.arrivals()) == list(range(100_000))


def test_requests_sent_together_are_told_apart(sink: Sink) -> None:
    """If a client sends many requests without waiting for answers, the sink stores each of them."""
    head = f"POST {PATH} HTTP/1.1\r\nContent-Length: {len(body(0))}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", sink.port), LIMIT) as connection:
        connection.sendall(b"".join(head + body(n) for n in range(50)))
        answers = b""
        while answers.count(b"200 OK") < 50:
            piece = connection.recv(65536)
            assert piece
            answers += piece
    stored = sink.stored()
    assert stored.posts == 50
    assert sorted(stored.arrivals()) == list(range(50))


def test_raw_streams_are_counted_across_pieces(sink: Sink) -> None:
    """In a stream without HTTP, an entry that is split between two pieces is counted once."""
    stream = b"".join(b"\x93\xa4shop" + session(n).encode() for n in range(200))
    with socket.create_connection(("127.0.0.1", sink.port), LIMIT) as connection:
        for start in range(0, len(stream), 333):
            connection.sendall(stream[start : start + 333])
            size = min(start + 333, len(stream))
            deadline = time.monotonic() + LIMIT
            while sink.count()[1] < size:  # this wait lets the sink read each piece separately
                assert time.monotonic() < deadline
    stored = sink.stored()
    assert len(stored.requests) > 10
    assert {n: len(times) for n, times in stored.arrivals().items()} == dict.fromkeys(range(200), 1)
    assert stored.posts == 0


def test_sink_is_slow_on_request(sink: Sink) -> None:
    """The sink can delay its answers. The recorded time is the request's arrival time."""
    sink.reset(delay_ms=150)
    start = time.monotonic_ns()
    post(sink, body(7))
    assert time.monotonic_ns() - start >= 150e6
    (arrived,) = sink.stored().arrivals()[7]
    assert start <= arrived <= time.monotonic_ns() - 150e6


def test_sink_refuses_connections_until_it_is_healed(sink: Sink) -> None:
    """While the sink refuses connections, it keeps its port and the stored requests."""
    post(sink, body(1))
    sink.drop_new()
    with pytest.raises(ConnectionRefusedError):
        post(sink, body(2))
    sink.heal()
    post(sink, body(3))
    assert sorted(sink.stored().arrivals()) == [1, 3]


def test_sink_can_accept_connections_and_never_answer(sink: Sink) -> None:
    """After `swallow`, the sink accepts connections, but does not answer or store requests."""
    sink.swallow()
    with socket.create_connection(("127.0.0.1", sink.port), LIMIT) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert sink.count() == (0, 0)


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/accounts/api/v1/auth/sign-in-keys", 200, b"sink-token"),
        ("/api/1/envelope/", 200, b"{"),
        ("/batch/", 200, b'"status":1'),
        ("/v1/logs", 200, b""),
        ("/", 202, b""),
    ],
)
def test_each_client_gets_the_answer_it_needs(
    sink: Sink, path: str, status: int, content: bytes
) -> None:
    """The sink answers each client in the way that the client's usual service answers."""
    found, answer = post(sink, b"x", path)
    assert found == status
    assert content in answer


@pytest.mark.parametrize("key", ["lost", "burst 1 lost", "script_lost", "lost_share", "doubled"])
def test_worst_round_counts_for_losses(sink: Sink, key: str) -> None:
    """For losses and duplicates, the result is the worst round instead of the median."""
    bench = Bench(sink, ENTRANTS[:2], rounds=3)
    counts = iter([0, 0, 7, 0, 0, 0])

    found = bench.in_rounds(bench.entrants, lambda _: {key: next(counts)})

    assert [found[entrant.name][key] for entrant in bench.entrants] == [0, 7]


def test_client_that_fails_in_one_round_is_named(sink: Sink) -> None:
    """If a client fails in one round, a message says so, and the other rounds give the result."""
    bench = Bench(sink, ENTRANTS[:1], rounds=2)
    outcomes: Iterator[dict[str, int] | ChildError] = iter([ChildError("out of luck"), {"lost": 0}])

    def one(_: object) -> dict[str, int]:
        outcome = next(outcomes)
        if isinstance(outcome, ChildError):
            raise outcome
        return outcome

    assert bench.in_rounds(bench.entrants, one)[ENTRANTS[0].name]["rounds"] == 1
    assert bench.failures == [f"{ENTRANTS[0].name}: out of luck"]


def test_deliver_counts_what_is_missing_and_what_came_twice(sink: Sink) -> None:
    """`deliver` counts missing entries and duplicates, but not the entries of the warm-up."""
    post(sink, body(deliver.WARM))
    before = sink.count()
    start = time.monotonic_ns()
    for numbers in ((0, 1, 2), (2, 4), (4, 5)):
        post(sink, body(*numbers))

    found = deliver.stored(sink, 6, start, before)

    assert (found["lost"], found["doubled"], found["requests"]) == (1, 2, 3)
    assert found["rate"] > 0


def test_each_round_begins_with_another_client() -> None:
    """Each round begins with another client."""
    first = {rotated(ENTRANTS, number)[0].name for number in range(len(ENTRANTS))}
    assert first == {entrant.name for entrant in ENTRANTS}


def test_readme_explains_every_contestant_and_benchmark() -> None:
    """The README of the benchmarks mentions each client and each benchmark."""
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for name in [*(entrant.name for entrant in ENTRANTS), *MEASURES]:
        assert f"`{name}`" in text, name


def bench(out: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run the benchmarks' command, and return its output and the results of each benchmark."""
    command = ["-m", "benchmarks", *arguments, "--quick", "--out", out]
    run = python(*command, cwd=ROOT, environ={"PYTHONPATH": str(ROOT / "src")}, seconds=300)
    assert run.returncode == 0, run.stderr
    return run.stdout, {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


@pytest.mark.soak
def test_two_benchmarks_compare_two_clients(tmp_path: Path) -> None:
    """`call` and `deliver` compare this package with a client that was written by hand."""
    shown, found = bench(
        tmp_path, "call", "deliver", "--contestants", "voyage,by-hand", "--entries", "300"
    )
    rows = (
        "**voyage-logger** `voyage`",
        "queue + requests by hand `by-hand`",
        "(nothing: the harness)",
    )
    for row in rows:
        assert f"| {row} |" in shown
    for name in ("call", "deliver"):
        assert f"As JSON: {tmp_path / name}.json\n" in shown
    assert shown.count("believe no figure") == 2
    delivered = found["deliver"]["results"]["results"]["voyage"]
    assert delivered["lost"] == 0
    assert delivered["rate"] > 0
    calls = found["call"]["results"]["Burst, 1 thread"]
    assert calls["voyage"]["lost"] == 0
    assert 0 < calls["voyage"]["p50"] <= calls["voyage"]["max"]
    assert set(found["call"]) >= {"date", "machine", "python", "versions", "rounds", "sink"}


@pytest.mark.soak
def test_contestant_that_fails_is_named(tmp_path: Path) -> None:
    """If one client cannot be measured, the command measures the others, and then fails."""
    package = tmp_path / "requests"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('broken on purpose')\n")
    command = ["-m", "benchmarks", "call", "--quick", "--entries", "100"]
    command += ["--contestants", "by-hand,ideal", "--out", str(tmp_path)]
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"}
    run = python(*command, cwd=ROOT, environ=path, seconds=300)
    assert run.returncode == 1
    assert "by-hand: RuntimeError: broken on purpose" in run.stderr
    assert "| ideal, stdlib json `ideal` |" in run.stdout


@pytest.mark.soak
def test_every_benchmark_runs(tmp_path: Path) -> None:
    """`all` runs every benchmark, makes every table, and finds no unexpected loss of entries."""
    _, found = bench(tmp_path, "all", "--contestants", "voyage,by-hand,vendor")
    for name, (benchmark, _) in tables.TABLES.items():
        row = "as it comes" if name == "prices" else "**voyage-logger**"
        assert f"| {row} |" in tables.table(name, found[benchmark])
    assert set(found) == set(MEASURES)
    exits = found["exit"]["results"]["results"]
    assert exits["voyage"]["healthy_lost"] == 0
    assert exits["vendor"]["healthy_lost"] == 50  # the vendor's class always loses these entries
    assert exits["vendor"]["refused"] < exits["voyage"]["refused"] < 8
    assert found["contention"]["results"]["results"]["voyage"]["lost"] == 0
    assert found["idle"]["results"]["results"]["voyage"]["wakeups"] == 0
