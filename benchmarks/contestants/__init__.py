"""The list of contestants, with a check whether a contestant can run on this machine."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.contestants._base import Contestant


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contestant in the list.

    Attributes:
        name: The name on the command line and in JSON.
        title: The name in tables.
        where: The module in this folder, and the class in the module.
        needs: The modules that the contestant needs.
        package: The distribution whose version is shown.
        imports: The module that users import; the benchmark `imports` measures its import.
        is_study: True if the contestant runs only when a user names it.
    """

    name: str
    title: str
    where: str
    needs: tuple[str, ...] = ()
    package: str = ""
    imports: str = ""
    is_study: bool = False

    def why_not(self) -> str:
        """The reason why the contestant cannot run here, or an empty text if it can run."""
        for module in self.needs:
            try:
                is_there = importlib.util.find_spec(module) is not None
            except ModuleNotFoundError:  # the package of the module is missing
                is_there = False
            if not is_there:
                return f"{module} is not installed (benchmarks/requirements.txt)"
        return ""

    def load(self) -> type[Contestant]:
        """The class of the contestant."""
        module, name = self.where.split(":")
        found: type[Contestant] = getattr(
            importlib.import_module(f"benchmarks.contestants.{module}"), name
        )
        return found


# The result of this contestant is the cost of the harness, so the benchmark subtracts this cost.
NOTHING = Entrant("nothing", "(nothing: the harness)", "nothing:Nothing", imports="pass")

ENTRANTS = (
    Entrant("ideal-orjson", "ideal, orjson", "ideal:IdealOrjson", ("orjson", "urllib3"), "orjson"),
    Entrant("ideal", "ideal, stdlib json", "ideal:Ideal", ("urllib3",), "urllib3"),
    Entrant(
        "voyage-speed",
        "**voyage-logger[speed]**",
        "voyage:VoyageSpeed",
        ("orjson", "requests"),
        "voyage-logger",
        "import voyage_logger",
    ),
    Entrant(
        "voyage",
        "**voyage-logger**",
        "voyage:Voyage",
        ("requests",),
        "voyage-logger",
        "import sys; sys.modules['orjson'] = None; import voyage_logger",
    ),
    Entrant(
        "voyage-spool",
        "**voyage-logger, spool_dir**",
        "voyage:VoyageSpool",
        ("requests",),
        "voyage-logger",
    ),
    Entrant(
        "vendor",
        "the vendor's class",
        "vendor:Vendor",
        ("requests",),
        "requests",
        "import os, requests, time, threading",
    ),
    Entrant(
        "by-hand",
        "queue + requests by hand",
        "by_hand:ByHand",
        ("requests",),
        "requests",
        "import logging.handlers, requests",
    ),
    Entrant(
        "fluent",
        "fluent-logger (TCP, no answer)",
        "fluent:Fluent",
        ("fluent",),
        "fluent-logger",
        "import fluent.sender",
    ),
    Entrant(
        "sentry",
        "sentry-sdk logs",
        "sentry:Sentry",
        ("sentry_sdk",),
        "sentry-sdk",
        "import sentry_sdk",
    ),
    Entrant(
        "otel",
        "OpenTelemetry logs",
        "otel:OpenTelemetry",
        ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
        "opentelemetry-sdk",
        "import opentelemetry.sdk._logs.export, "
        "opentelemetry.exporter.otlp.proto.http._log_exporter",
    ),
    Entrant(
        "logtail",
        "logtail-python",
        "logtail:Logtail",
        ("logtail",),
        "logtail-python",
        "import logtail",
    ),
    Entrant("posthog", "posthog", "posthog:PostHog", ("posthog",), "posthog", "import posthog"),
    Entrant(
        "ideal-late",
        "ideal, encoded by the thread",
        "ideal:IdealLate",
        ("urllib3",),
        "urllib3",
        is_study=True,
    ),
    Entrant(
        "voyage-fixed",
        "voyage-logger, requests do not grow",
        "voyage:VoyageFixed",
        ("requests",),
        "voyage-logger",
        is_study=True,
    ),
    Entrant(
        "voyage-gzip",
        "voyage-logger, compressed",
        "voyage:VoyageGzip",
        ("requests",),
        "voyage-logger",
        is_study=True,
    ),
)

BY_NAME = {entrant.name: entrant for entrant in (NOTHING, *ENTRANTS)}
