"""The base class of all transports: what the worker calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voyage_logger.transports._outcome import Outcome


LEAST_TIME = 0.05  # seconds: the time limit of a request near its deadline


class BaseTransport:
    """Sends batches to one kind of server; subclass it for `VoyageLogger(transport=...)`.

    A transport makes one attempt per call, in the calling thread. A transport never waits to
    try again, because only the worker knows how much time is left. If `send` raises an exception,
    the worker sends the batch again later.

    Attributes:
        sign_ins: The number of tokens that the transport has obtained.
        secrets: Texts that no entry may hold, such as keys and tokens. A logger masks them in all
            entries. The tuple is replaced when a secret changes.
    """

    sign_ins: int = 0
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def destination(self) -> str:
        """The server's address, without secrets. A spool sends its entries only to this address."""
        return repr(self)

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        """Make one attempt to send a batch.

        Args:
            entries: Encoded entries, each a JSON object in UTF-8.
            time_limit: The most seconds each wait may take, or None for the transport's own.

        Returns:
            The outcome for the batch as a whole.
        """
        raise NotImplementedError

    def warm_up(self) -> None:
        """Prepare the first `send`. The worker calls this method once, when it starts.

        By default, the method signs in, so that wrong credentials are reported at once.

        Raises:
            VoyageError: The preparation failed. The worker calls `send` nevertheless.
        """
        self.sign_in()

    def sign_in(self) -> None:
        """Obtain a token or a similar credential, if the server needs one.

        Raises:
            AuthenticationError: The server refuses the credentials.
            ConnectionFailed: The server gives no usable answer.
        """

    def reset(self) -> None:
        """Replace, in a forked child, the parent's locks and connections with new ones.

        The child calls this method before any other. The method must not close connections,
        because the parent uses them. It must not acquire a lock, because the thread that holds the
        lock is not in the child.
        """

    def close(self) -> None:
        """Close the connections. The transport may be used again afterwards."""
