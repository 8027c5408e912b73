"""Functions that check the arguments that users pass.

Each function returns the argument, or raises `ConfigurationError` if the argument is wrong.
"""

from __future__ import annotations

from typing import Any

from voyage_logger._base.errors import ConfigurationError

_DAY = 86_400.0
NAME_LENGTH = 256


def a_name(parameter: str, value: object) -> str:
    if isinstance(value, str) and value.strip() and len(value) <= NAME_LENGTH:
        return value
    rule = f"a text of 1 to {NAME_LENGTH} characters that is not blank"
    raise ConfigurationError(parameter, value, rule)


def a_count(parameter: str, value: object, *, at_least: int = 1) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= at_least:
        return value
    raise ConfigurationError(parameter, value, f"a whole number of at least {at_least}")


def a_flag(parameter: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError(parameter, value, "True or False")


def a_callable(parameter: str, value: Any) -> Any:
    if value is None or callable(value):
        return value
    raise ConfigurationError(parameter, value, "a function, or None")


def seconds(parameter: str, value: object, *, zero: bool = False) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):  # noqa: SIM102 - first check the type, then the range
        if 0 < value <= _DAY or (zero and value == 0):
            return float(value)
    floor = "from 0" if zero else "above 0"
    raise ConfigurationError(parameter, value, f"a number of seconds {floor} to {_DAY:.0f}")


def seconds_or_none(parameter: str, value: object) -> float | None:
    return None if value is None else seconds(parameter, value)
