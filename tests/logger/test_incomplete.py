"""Error reports can show objects of the client whose constructors have not ended."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from voyage_logger import ConfigurationError, Journey, Transport, VoyageLogger
from voyage_logger._base.settings import Settings
from voyage_logger._base.stats import FlushResult, Stats

if TYPE_CHECKING:
    from collections.abc import Callable

PLANTED = "planted-secret-4712"


class Early(VoyageLogger):
    """A subclass that uses its `repr` before the constructor of `VoyageLogger` has run."""

    def __init__(self) -> None:
        self.shown = repr(self)
        super().__init__("app", api_key="planted-key-4711", api_secret=PLANTED)


def test_logger_can_be_shown_before_it_is_complete() -> None:
    """The `repr` of an incomplete logger says so, and the complete logger has its usual `repr`."""
    logger = Early()
    assert logger.shown == "<Early that is not complete>"
    assert repr(logger).startswith("VoyageLogger('app', 'production', Transport(")


@pytest.mark.parametrize("kind", [VoyageLogger, Transport, Journey, Settings, Stats, FlushResult])
def test_every_incomplete_object_can_be_shown(kind: Any) -> None:
    """The `repr` of an object without any attribute names the class and raises no exception."""
    assert kind.__name__ in repr(kind.__new__(kind))


@pytest.mark.parametrize(
    "make",
    [
        lambda: VoyageLogger("app", base_url=5, api_secret=PLANTED),  # type: ignore[arg-type]
        lambda: VoyageLogger("app", batch_size=0, api_secret=PLANTED),
        lambda: VoyageLogger("app", strict=True, api_secret=PLANTED),
        lambda: Transport("key", PLANTED, "not a URL"),
        Transport,
        lambda: Stats(5),  # type: ignore[call-arg]
    ],
    ids=["base_url", "batch_size", "strict", "transport", "no credentials", "stats"],
)
def test_report_of_a_failed_constructor_shows_the_locals(make: Callable[[], Any]) -> None:
    """If a constructor fails, a report with local variables can show the incomplete object."""
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        make()
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(report.format())
    assert "self = " in shown
    assert "self = <exception" not in shown
