"""A model of a fleet shows that the client's waits and pauses reach their goals.

Each request of the model is compared with the request of a real worker, transport and queue. In
this comparison, waits and requests take no time: they only move a clock.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from math import floor
from random import Random
from typing import TYPE_CHECKING

import pytest

from benchmarks import _fleet_measures as measures
from benchmarks import fleet
from benchmarks._fleet_model import App, Process, run
from benchmarks._fleet_scenarios import SCENARIOS, play
from benchmarks._fleet_server import Load, Server, Trouble
from voyage_logger import Transport
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.levels import INFO
from voyage_logger._delivery.worker import Worker
from voyage_logger._queue.memory import MemoryQueue
from voyage_logger.transports._session import RequestFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks._fleet_scenarios import Result
    from tests.support.loggers import MakeLogger
    from voyage_logger.transports._verdict import Answer

# With many processes, chance has little effect. If the server handles few requests in five seconds,
# more processes are needed. docs/fleet.md says by how much smaller fleets exceed the goal.
MANY = 400
MORE = 1000
FEW = 50


@cache
def played(name: str, gap: float) -> Result:
    processes = MORE if (name, gap) == ("outage", 0.1) else MANY
    return play(SCENARIOS[name], processes, App(gap=gap), seed=2)


class Recorder(Server):
    """A server that records the time and the number of entries (-1: sign-in) of each request."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.requests: list[tuple[float, int]] = []

    def sign_in(self, now: float) -> tuple[Answer | None, float]:
        self.requests.append((now, -1))
        return super().sign_in(now)

    def store(self, now: float, entries: int) -> tuple[Answer | None, float]:
        self.requests.append((now, entries))
        return super().store(now, entries)


class Rehearsal:
    """A real worker in simulated time. This class replaces app, condition, session and clock."""

    def __init__(self, app: App, server: Recorder, seed: int, until: float) -> None:
        self._app, self._server, self._until = app, server, until
        self._random = Random(seed).random
        self._gap = app.gap * (0.5 + self._random())
        self._logged = 0
        self._is_woken = False
        self.now = 0.0
        self.queue = MemoryQueue(app.max_queue_size, app.max_queue_bytes)
        self.worker: Worker

    def run(self, make_logger: MakeLogger) -> None:
        transport = Transport("key", "secret", "http://127.0.0.1:9", clock=self)
        transport._random = self._random
        transport._session = self  # type: ignore[assignment]
        settings = make_logger(
            transport=transport,
            batch_size=self._app.batch_size,
            flush_interval=self._app.flush_interval,
        )._settings
        self.worker = Worker(
            self.queue,
            transport,
            settings,
            Diagnostics(lambda _error: None, clock=self),
            write_notice=lambda _fields: None,
            clock=self,
            random=self._random,
        )
        self.queue.changed = self.queue.ledger.changed = self  # type: ignore[assignment]
        self._log()
        self.worker._run()

    def __call__(self) -> float:
        return self.now

    def _log(self) -> None:
        """Log all entries that are due until now."""
        count = floor(self.now / self._gap + 1e-9) + 1
        while self._logged < count:
            self._logged += 1
            self.queue.append(b"{%s}" % (b" " * (self._app.entry_bytes - 2)), INFO)

    def _move(self, end: float) -> None:
        self.now = end
        self._log()

    def wait(self, timeout: float | None = None) -> bool:
        end = self._until if timeout is None else min(self._until, self.now + timeout)
        self._is_woken = False
        while not self._is_woken and (arrival := self._logged * self._gap) <= end:
            self._move(arrival)
        if not self._is_woken:
            self._move(end)
        if self.now >= self._until:
            self.worker.orders.stop()
        return self._is_woken

    def notify(self, n: int = 1) -> None:
        del n
        self._is_woken = True

    notify_all = notify

    def post(
        self,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> Answer:
        del url, headers, secret_headers, timeout
        if self.now >= self._until:
            self.worker.orders.stop()
            raise RequestFailed("it is over", is_permanent=False)
        if body is None:
            reply, end = self._server.sign_in(self.now)
        else:
            reply, end = self._server.store(self.now, len(json.loads(body)["logs"]))
        self._move(end)
        if reply is None:
            raise RequestFailed("refused", is_permanent=False)
        return reply

    def close(self) -> None:
        """Do nothing, because there is no connection."""


COURSES = {
    "quiet": (App(gap=40.0), 1000.0, ()),
    "busy": (App(gap=0.7), 10.0, ()),
    "full batches": (App(gap=0.01), 100.0, ()),
    "an outage": (App(gap=1.0), 10.0, (Trouble(60, 400),)),
    "an outage that fills the queue": (App(gap=0.02), 100.0, (Trouble(60, 400),)),
    "a limit": (App(gap=0.5), 100.0, (Trouble(60, 160, 429), Trouble(300, 301, 429))),
    "errors": (App(gap=0.5), 100.0, tuple(Trouble(at, at + 6, 500) for at in range(9, 500, 30))),
    "a slow server": (App(gap=0.02), 0.3, ()),
}


@pytest.mark.parametrize("course", COURSES)
def test_model_makes_the_requests_of_a_real_process(
    make_logger: MakeLogger, capfd: pytest.CaptureFixture[str], course: str
) -> None:
    """The model makes the same requests at the same times as a real worker and transport."""
    app, capacity, troubles = COURSES[course]
    until = 600.0
    model, real = (
        Recorder(capacity, Load(until + 60), troubles, token_life=200.0) for _ in range(2)
    )
    process = Process(app, model, Random(7).random, 0.0)
    run([process], [0.0], until)
    rehearsal = Rehearsal(app, real, 7, until)
    rehearsal.run(make_logger)
    capfd.readouterr()  # removes the lines that the worker has printed

    assert len(model.requests) > 15
    assert [entries for _, entries in real.requests] == [entries for _, entries in model.requests]
    assert [now for now, _ in real.requests] == pytest.approx([now for now, _ in model.requests])
    assert rehearsal.queue.stats().delivered == pytest.approx(process.delivered, abs=app.batch_size)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("start", 0.1),
        ("outage", 0.1),
        ("limit", 1.0),
        ("tokens", 1.0),
        ("deploy", 0.1),
    ],
)
def test_no_waves_remain(name: str, gap: float) -> None:
    """After an event that makes a whole fleet send together, requests are soon evenly spread.

    Even without an event, a fleet of this size has, by chance, waves of a size of about 0.1.
    """
    assert played(name, gap).wave < 0.15


@pytest.mark.soak
@pytest.mark.parametrize("gap", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("name", ["outage", "limit"])
def test_recovery_asks_for_no_more_than_one_and_a_half_times_the_capacity(
    name: str, gap: float
) -> None:
    """The sum of steady load, backlog and refused requests is at most 1.5 times the capacity."""
    result = played(name, gap)

    assert result.peak_work <= fleet.GOAL
    assert result.drained is not None


@pytest.mark.soak
@pytest.mark.parametrize("seed", [1, 2])
def test_small_fleet_is_above_the_goal_by_chance_alone(seed: int) -> None:
    """A small fleet exceeds the goal for a few seconds, but its mean load in a minute does not."""
    scenario = SCENARIOS["outage"]
    course = scenario.recovery, scenario.seconds, 60

    large = play(scenario, FEW, App(gap=0.1), seed=seed)
    small = play(scenario, FEW, App(gap=0.1, max_batch_bytes=128 * 1024), seed=seed)

    assert large.peak_work > fleet.GOAL  # as docs/fleet.md says
    assert measures.peak(large.work, *course) < 1.4
    assert small.peak_work <= fleet.GOAL


def test_new_tokens_are_fetched_over_minutes() -> None:
    """If a whole fleet starts at the same time, its later sign-ins are spread over minutes."""
    result = played("tokens", 1.0)

    assert 0 < result.peak_sign_ins < MANY / 60
    assert result.peak < 1.25 * result.steady


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("gap", [0.1, 2.0])
def test_nothing_is_lost_or_doubled_in_the_model(name: str, gap: float) -> None:
    """Each entry of the model is counted once: as delivered, dropped or pending."""
    result = play(SCENARIOS[name], 50, App(gap=gap))

    assert result.is_whole
    assert result.logged == result.delivered + result.dropped + result.pending
    assert result.logged > 50 * SCENARIOS[name].seconds / gap / 2


def test_same_seed_gives_the_same_run() -> None:
    """Two runs with the same seed are equal, but a run with another seed is different."""
    one, again, other = (
        play(SCENARIOS["limit"], 30, App(), seed=seed).per_second for seed in (1, 1, 2)
    )

    assert one == again != other


class TestMeasures:
    def test_wave_of_a_fleet_in_step_is_one(self) -> None:
        """If requests arrive only in every fifth second, the size of the wave is 1."""
        assert measures.wave([100, 0, 0, 0, 0] * 24, 0, 120) == pytest.approx(1, abs=0.05)

    def test_wave_of_an_even_load_is_nothing(self) -> None:
        """A load that is steady, or decreases steadily, has waves of size 0."""
        assert measures.wave([100] * 120, 0, 120) == pytest.approx(0, abs=1e-9)
        assert measures.wave(list(range(240, 0, -2)), 0, 120) == pytest.approx(0, abs=1e-9)

    def test_wave_is_the_part_in_step(self) -> None:
        """If a share of the load follows one rhythm, the size of the wave is this share."""
        assert measures.wave([350, 100, 100, 100, 100] * 24, 0, 120) == pytest.approx(
            1 / 3, abs=0.05
        )

    def test_peak_is_that_of_five_seconds(self) -> None:
        """The peak is the mean load of the five successive seconds with the most arrivals."""
        assert measures.peak([0, 0, 50, 0, 0, 0, 0, 20, 20, 20, 0, 0], 0, 12) == 12


def test_command_prints_and_saves_all_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints a line per scenario and fleet size, and saves the load of each second."""
    kept = tmp_path / "fleet.json"
    arguments = ["--processes", "1", "20", "--scenario", "start", "limit", "--json", str(kept)]

    assert fleet.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[0].strip() for line in lines[1:5]] == ["start", "limit"] * 2
    # The table marks the scenario that has no goal: the start of all processes at the same time.
    assert [line.split("|")[7].strip()[-1] == "*" for line in lines[1:5]] == [True, False] * 2
    assert [len(result["work"]) for result in json.loads(kept.read_text())] == [300, 900] * 2


def test_plots_without_matplotlib_are_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If matplotlib is missing, the command says before the run how to install it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(SystemExit) as ended:
        fleet.main(["--plots", str(tmp_path)])

    assert ended.value.code == 2
    said = capsys.readouterr()
    assert "pip install -e '.[benchmarks]'" in said.err
    assert said.out == ""
