"""Sampling: which of many entries are worth sending.

What must stay true: a critical entry, and one that opens a ticket, is never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.levels import CRITICAL, LEVELS, rank_of

if TYPE_CHECKING:
    from voyage_logger._base.settings import Sample


class Rates:
    """Sampling by level.

    Args:
        rates: The share to send of each level, by rank, from 0 to 1.
        random: A source of numbers from 0 to below 1.
    """

    def __init__(self, rates: tuple[float, ...], random: Callable[[], float] | None = None) -> None:
        from random import Random  # noqa: PLC0415 - not to be paid by the import

        self._rates = rates
        # Not the module's, which apps seed.
        self._random = random or Random().random  # noqa: S311 - a sample, not cryptography

    def leaves_out(self, rank: int, fields: Mapping[str, Any]) -> bool:
        """True if an entry is not to be sent."""
        rate = self._rates[rank]
        return (
            rate < 1 and rank < CRITICAL and not fields.get("add_ticket") and self._random() >= rate
        )


def sample_rule(parameter: str, value: Any) -> Rates | Sample | None:
    """The rule of the argument `sample`: a mapping of levels to rates, or a function.

    Raises:
        ConfigurationError: It is neither, a level is unknown, or a rate is none.
    """
    if value is None:
        return None
    if callable(value):
        return cast("Sample", value)
    rule = "a mapping of levels to rates from 0 to 1, such as {'debug': 0.1}, or a function"
    if not isinstance(value, Mapping):
        raise ConfigurationError(parameter, value, rule)
    rates = [1.0] * len(LEVELS)
    for level, rate in value.items():
        rank = rank_of(level)
        is_rate = isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 <= rate <= 1
        if rank is None or not is_rate:
            raise ConfigurationError(parameter, value, rule)
        rates[rank] = float(rate)
    return Rates(tuple(rates))
