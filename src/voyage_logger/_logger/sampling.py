"""The option `sample` decides which entries are sent.

What must stay true: critical entries and entries that open a ticket are always sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.levels import CRITICAL, LEVELS, rank_of

if TYPE_CHECKING:
    from voyage_logger._base.settings import Sample

_RULE = "a mapping of levels to rates from 0 to 1, such as {'debug': 0.1}, or a function"


class Rates:
    """Selects a random share of the entries. Each level has a rate from 0 (none) to 1 (all)."""

    needs_entry = False

    def __init__(self, rates: tuple[float, ...], random: Callable[[], float] | None = None) -> None:
        self._rates = rates
        # Use a separate generator: the app can seed the shared generator of the module `random`.
        self._random = random or Random().random  # noqa: S311 - The numbers need not be secret.

    def leaves_out(self, rank: int, entry: dict[str, Any]) -> bool:
        """Return True if the entry must be left out."""
        rate = self._rates[rank]
        is_always_sent = rate >= 1 or rank >= CRITICAL or entry.get("add_ticket")
        return not is_always_sent and self._random() >= rate


class Choice:
    """Selects an entry if the user's function returns a true value for the entry."""

    needs_entry = True

    def __init__(self, function: Callable[[dict[str, Any]], bool]) -> None:
        self._function = function

    def leaves_out(self, rank: int, entry: dict[str, Any]) -> bool:
        """Return True if the entry must be left out. The user's function can raise an exception."""
        is_always_sent = rank >= CRITICAL or entry.get("add_ticket") is True
        return not is_always_sent and not self._function(entry)


def sample_rule(parameter: str, value: Any) -> Sample:
    """Return `Rates` for a mapping of levels to rates, or `Choice` for a function."""
    if callable(value):
        return Choice(value)
    if not isinstance(value, Mapping):
        raise ConfigurationError(parameter, value, _RULE)
    rates = [1.0] * len(LEVELS)
    for level, rate in value.items():
        rank = rank_of(level)
        if rank is None or not _is_rate(rate):
            raise ConfigurationError(parameter, value, _RULE)
        rates[rank] = float(rate)
    return Rates(tuple(rates))


def _is_rate(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
