"""The base class of all transports, with the methods that the worker calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voyage_logger.transports._outcome import Outcome


LEAST_TIME = 0.05  # The shortest time limit, in seconds, that the worker passes to `send`.


class BaseTransport:
    """The base class of transports. Pass an instance of a subclass as `VoyageLogger(transport=)`.

    Each call of `send` makes one attempt in the calling thread. A transport never repeats an
    attempt, because only the worker knows how much time is left. If `send` raises an exception, the
    worker sends the batch again later.

    Attributes:
        sign_ins: The number of tokens that the transport has obtained.
        secrets: Keys, tokens and other secrets of the transport. A logger masks these texts in all
            entries. When a secret changes, the transport sets this attribute to a new tuple.
    """

    sign_ins: int = 0
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def destination(self) -> str:
        """The server's URL or name, without secrets. Entries in a spool go only to this server."""
        return repr(self)

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        """Make one attempt to send a batch.

        Args:
            entries: Encoded entries. Each entry is a JSON object in UTF-8.
            time_limit: Each wait for the server takes at most this many seconds. If the argument is
                None, the transport's own time limits apply.

        Returns:
            The outcome for the whole batch.
        """
        raise NotImplementedError

    def warm_up(self) -> None:
        """Prepare the first call of `send`. The worker calls this method once, when it starts.

        By default, the method signs in, so that wrong credentials are reported early.

        Raises:
            VoyageError: The preparation failed. The worker calls `send` even after this error.
        """
        self.sign_in()

    def sign_in(self) -> None:
        """Obtain a token or a similar credential, if the server needs a credential.

        Raises:
            AuthenticationError: The server refused the credentials.
            ConnectionFailed: The server gave no answer, or an answer without a credential.
        """

    def reset(self) -> None:
        """In a forked child process, create new locks, and forget the connections of the parent.

        The client calls this method in the child before any other method. The method must not close
        connections, because the parent still uses them. The method must not acquire a lock: a
        thread that held the lock in the parent does not exist in the child.
        """

    def close(self) -> None:
        """Close the connections. The transport can be used again after this call."""
