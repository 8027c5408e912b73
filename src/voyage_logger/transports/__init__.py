"""The ways a batch can leave the process: a family of siblings behind one small class.

_base.py      BaseTransport: what the worker asks of any transport
_api.py       Transport: the Logs API, with sign-in, token and one attempt at a time
_verdict.py   what an answer of the API means: a pure function
_session.py   the HTTP session; the only module that imports `requests`, loaded when first used
_console.py   ConsoleTransport: readable lines on stderr, for a logger without credentials
"""

from __future__ import annotations

from voyage_logger.transports._api import Transport
from voyage_logger.transports._base import LEAST_TIME, BaseTransport
from voyage_logger.transports._console import UNCONFIGURED, ConsoleTransport
from voyage_logger.transports._endpoint import endpoint_from, missing
from voyage_logger.transports._outcome import (
    PERSISTENT,
    RETRY_AFTER_CAP,
    Kind,
    Outcome,
    error_of,
)

__all__ = [
    "LEAST_TIME",
    "PERSISTENT",
    "RETRY_AFTER_CAP",
    "UNCONFIGURED",
    "BaseTransport",
    "ConsoleTransport",
    "Kind",
    "Outcome",
    "Transport",
    "endpoint_from",
    "error_of",
    "missing",
]
