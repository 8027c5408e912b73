"""What the worker asks of a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voyage_logger.transports._outcome import Outcome


LEAST_TIME = 0.05  # seconds for a request, however near its deadline


class BaseTransport:
    """One way for batches to leave the process; subclass it for `VoyageLogger(transport=...)`.

    A transport makes one attempt per call, in the calling thread: it never waits to try again,
    for only the worker knows whether there is time for that. An exception from `send` counts as
    an attempt to repeat.

    Attributes:
        sign_ins: How many tokens it has obtained.
        secrets: Texts that no entry may hold, such as keys and tokens: a logger masks them
            wherever they stand. Replaced as a whole when one changes.
    """

    sign_ins: int = 0
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @property
    def destination(self) -> str:
        """Where entries go, without secrets: what a spool keeps is sent nowhere else."""
        return repr(self)

    def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
        """Makes one attempt to deliver a batch.

        Args:
            entries: Encoded entries, each a JSON object in UTF-8.
            time_limit: The most seconds each wait may take, or None for the transport's own.

        Returns:
            What became of the batch as a whole.
        """
        raise NotImplementedError

    def warm_up(self) -> None:
        """Does beforehand what the first `send` would have to, as the worker's first act.

        So wrong credentials show at once, not with the first batch. By default it signs in.

        Raises:
            VoyageError: It did not work out; `send` will be called all the same.
        """
        self.sign_in()

    def sign_in(self) -> None:
        """Obtains what `send` needs to be let in, where there is such a thing.

        Raises:
            AuthenticationError: The credentials are refused.
            ConnectionFailed: There is no usable answer.
        """

    def reset(self) -> None:
        """Forgets, in a forked child, all that belongs to the parent: locks, connections.

        Runs before anything else in the child may use the transport. It must not close what it
        drops (the parent is still using it) nor acquire a lock (its owner is not in the child).
        """

    def close(self) -> None:
        """Frees connections. The transport may be used again afterwards."""
