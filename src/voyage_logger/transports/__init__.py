"""The transports. When `send` is called, a transport makes one attempt to send a batch.

Only this room makes the client's HTTP requests. This room may import `_base` and `_entry`. You can
write your own transport, for example for Kafka: define a subclass of `BaseTransport` with a method
`send`, and pass an instance as `VoyageLogger(transport=...)`. Read the files in this order:

    _base_transport     BaseTransport: the methods that the worker calls
    _outcome            Outcome: the result of one attempt
    _api_transport      Transport: sign-in, token, and one attempt to send a batch to the Logs API
    _endpoint           the URL and the credentials
    _token              an access token, and when it is renewed
    _waits              the pauses that the server has asked for
    _session            the HTTP session; the only file that imports `requests`
    _response           the head of an HTTP answer, even if the head has errors
    _verdict            the meaning of an HTTP answer
    _console_transport  ConsoleTransport: lines on stderr, for a logger without credentials
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voyage_logger._base.fork_locks import loading
from voyage_logger.transports._api_transport import Transport
from voyage_logger.transports._base_transport import LEAST_TIME, BaseTransport
from voyage_logger.transports._endpoint import endpoint_from, missing
from voyage_logger.transports._outcome import (
    PERSISTENT,
    RETRY_AFTER_CAP,
    Kind,
    Outcome,
    error_of,
)

if TYPE_CHECKING:
    from voyage_logger.transports._console_transport import ConsoleTransport
else:

    def __getattr__(name: str) -> object:
        if name != "ConsoleTransport":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with loading:  # Only a logger without credentials needs the class.
            from voyage_logger.transports import _console_transport  # noqa: PLC0415
        globals()[name] = found = _console_transport.ConsoleTransport
        found.__module__ = __name__  # Users import the class from this module.
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), "ConsoleTransport"})


__all__ = [
    "LEAST_TIME",
    "PERSISTENT",
    "RETRY_AFTER_CAP",
    "BaseTransport",
    "ConsoleTransport",
    "Kind",
    "Outcome",
    "Transport",
    "endpoint_from",
    "error_of",
    "missing",
]
