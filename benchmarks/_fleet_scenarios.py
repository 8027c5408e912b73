"""Scenarios of a fleet: start, outage, rate limit, expiry of all tokens, and deployment.

docs/fleet.md explains the terms.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from math import inf
from random import Random
from typing import Any

from benchmarks import _fleet_measures as measures
from benchmarks._fleet_model import App, Process, run
from benchmarks._fleet_server import Load, Server, Trouble

CALM = 240, 300  # seconds in which the steady load before the event is measured
_PLENTY = 1e9
_SAMPLE = 300  # processes


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        name: The name in tables.
        title: The title in plots.
        seconds: The duration.
        event: The time at which the event begins, in seconds.
        recovery: The time at which the event has ended or the server works again, in seconds.
        shown: The start and the end of the plotted time, in seconds.
        settled: Seconds from the recovery until the measurement of waves begins.
        start_seconds: The number of seconds within which all processes start.
        troubles: The periods in which the server answers with errors, or refuses connections.
        token_life: Seconds until a token expires.
        deploy_step: Every `deploy_step` seconds, another tenth of the fleet is replaced.
    """

    name: str
    title: str
    seconds: int
    event: int
    recovery: int
    shown: tuple[int, int]
    settled: int = 60
    start_seconds: float = 30.0
    troubles: tuple[Trouble, ...] = ()
    token_life: float = 3600.0
    deploy_step: float = inf


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "start",
            "All start within a second",
            seconds=300,
            event=0,
            recovery=2,
            settled=30,
            start_seconds=1.0,
            shown=(0, 120),
        ),
        Scenario(
            "outage",
            "No connection for ten minutes",
            seconds=1800,
            event=300,
            recovery=900,
            troubles=(Trouble(300, 900),),
            shown=(240, 1200),
        ),
        Scenario(
            "limit",
            "429 for a minute, one Retry-After for all",
            seconds=900,
            event=300,
            recovery=360,
            troubles=(Trouble(300, 360, 429),),
            shown=(280, 480),
        ),
        Scenario(
            "tokens",
            "Tokens of 15 minutes, all deployed within a second",
            seconds=1800,
            event=540,
            recovery=540,
            settled=0,
            start_seconds=1.0,
            token_life=900.0,
            shown=(480, 1500),
        ),
        Scenario(
            "deploy",
            "A tenth replaced every 30 s",
            seconds=900,
            event=300,
            recovery=300,
            settled=0,
            deploy_step=30.0,
            shown=(280, 680),
        ),
    )
}


@dataclass(frozen=True)
class Result:
    """The results of a scenario. Each load is a mean of five seconds. Sign-ins count as requests.

    Attributes:
        steady: The requests per second before the event, or long after the event.
        steady_work: The steady load.
        peak: The highest number of requests per second after the recovery.
        peak_work: The peak of the load. A refused request counts as a whole request.
        peak_sign_ins: The highest number of sign-ins per second after the recovery.
        wave: The size of the largest wave, which is measured after `Scenario.settled`.
        drained: Seconds from the recovery until the backlog is delivered, or None if it remains.
        is_whole: True if each process counts each of its entries exactly once.
        took, cpu: The run time and the CPU time of the model, in seconds.
        work, per_second: The load of each second, and the number of requests in each second.
    """

    scenario: str
    processes: int
    gap: float
    utilization: float
    capacity: float
    requests: int
    logged: int
    delivered: int
    dropped: int
    pending: int
    is_whole: bool
    steady: float
    steady_work: float
    peak: float
    peak_work: float
    peak_sign_ins: float
    wave: float
    drained: int | None
    took: float
    cpu: float
    work: list[float]
    per_second: list[int]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def play(
    scenario: Scenario,
    processes: int,
    app: App,
    *,
    utilization: float = 0.5,
    seed: int = 1,
    patience: float = 2.0,
) -> Result:
    """Run a scenario.

    Args:
        scenario: The scenario.
        processes: The number of processes.
        app: The entries and settings of each process.
        utilization: The steady load, where 1 is the capacity of the server.
        seed: The seed of all random numbers.
        patience: The largest amount of work that can wait in the server, in seconds.
    """
    began = time.perf_counter(), time.process_time()
    capacity = _work_of_one(app) * processes / utilization
    load = Load(scenario.seconds)
    server = Server(
        capacity, load, scenario.troubles, token_life=scenario.token_life, patience=patience
    )
    fleet, requests = _run(scenario, processes, app, server, seed)
    end, after = scenario.seconds, scenario.recovery
    calm = CALM if scenario.event >= CALM[1] else (end - 60, end)
    entries = measures.mean(load.entries, *calm)
    return Result(
        scenario=scenario.name,
        processes=processes,
        gap=app.gap,
        utilization=utilization,
        capacity=capacity,
        requests=requests,
        logged=sum(process.logged for process in fleet),
        delivered=sum(process.delivered for process in fleet),
        dropped=sum(process.dropped for process in fleet),
        pending=sum(process.queued + process.in_flight for process in fleet),
        is_whole=all(process.is_whole for process in fleet)
        and sum(load.entries) == sum(process.delivered for process in fleet),
        steady=measures.mean(load.requests, *calm),
        steady_work=measures.mean(load.work, *calm),
        peak=measures.peak(load.requests, after, end),
        peak_work=measures.peak(load.work, after, end),
        peak_sign_ins=measures.peak(load.sign_ins, after, end),
        wave=measures.wave(load.requests, after + scenario.settled, end),
        drained=measures.drained(load.entries, after, end, entries),
        took=time.perf_counter() - began[0],
        cpu=time.process_time() - began[1],
        work=[round(work, 4) for work in load.work[:end]],
        per_second=load.requests[:end],
    )


def _run(
    scenario: Scenario, processes: int, app: App, server: Server, seed: int
) -> tuple[list[Process], int]:
    random = Random(seed).random  # noqa: S311 - two runs of the model must give the same results
    starts = [random() * scenario.start_seconds for _ in range(processes)]
    fleet = [
        Process(app, server, random, start, _leaving(scenario, number * 10 // processes))
        for number, start in enumerate(starts)
    ]
    return fleet, run(fleet, starts, scenario.seconds)


def _leaving(scenario: Scenario, tenth: int) -> float:
    if scenario.deploy_step == inf:
        return inf
    return scenario.event + tenth * scenario.deploy_step


def _work_of_one(app: App) -> float:
    """Return the work that one process causes, in requests of 100 entries per second."""
    calm = Scenario("calm", "", 240, 0, 0, (0, 0))
    load = Load(calm.seconds)
    _run(calm, _SAMPLE, app, Server(_PLENTY, load), seed=0)
    return measures.mean(load.work, 60, calm.seconds) * _PLENTY / _SAMPLE
