"""The base class of all transports, with the methods that the worker calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voyage_logger.transports._outcome import Outcome


LEAST_TIME = 0.05  # The shortest time limit of a request, in seconds.


class BaseTransport:
    """The base class of transports. Pass an instance of a subclass to `VoyageLogger(transport=)`.

    Each call of `send` makes one attempt, in the calling thread. A transport never repeats an
    attempt, because only the worker knows how much time is left. If `send` raises an exception, the
    worker sends the batch again later.

    Attributes:
        sign_ins: The number of tokens that the transport has obtained.
        secrets: Texts that no entry may contain, such as keys and tokens. A logger masks these
            secrets in all entries. When a secret changes, the transport replaces the whole tuple.
    """

    sign_ins: int = 0
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def destination(self) -> str:
        """The server's URL or name, without secrets. A spool's entries go only to this server."""
        return repr(self)

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        """Make one attempt to send a batch.

        Args:
            entries: Encoded entries, each a JSON object in UTF-8.
            time_limit: The most seconds that each wait may take. If `time_limit` is None, the
                transport's own time limits apply.

        Returns:
            The outcome for the whole batch.
        """
        raise NotImplementedError

    def warm_up(self) -> None:
        """Prepare the first `send`. The worker calls this method once, when the worker starts.

        By default, the method signs in, so that wrong credentials are reported at once.

        Raises:
            VoyageError: The preparation failed. The worker will still call `send`.
        """
        self.sign_in()

    def sign_in(self) -> None:
        """Obtain a token or a similar credential, if the server needs one.

        Raises:
            AuthenticationError: The server refuses the credentials.
            ConnectionFailed: The server gives no usable answer.
        """

    def reset(self) -> None:
        """In a forked child, replace the locks and forget the connections of the parent.

        The child calls this method before any other method. The method must not close connections,
        because the parent still uses the connections. The method must not acquire a lock, because
        the thread that holds the lock does not exist in the child.
        """

    def close(self) -> None:
        """Close the connections. The transport can be used again after this call."""
