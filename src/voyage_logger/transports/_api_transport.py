"""The transport that signs in to the Logs API, keeps the token, and sends batches.

What must stay true: a transport never sleeps and never repeats a request. If the server refuses the
same token in several threads, the transport signs in only once. No error, outcome or `repr` of this
module contains a secret.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from voyage_logger._base import wire
from voyage_logger._base.diagnostics import Diagnostics
from voyage_logger._base.fork_locks import loading
from voyage_logger._base.frozen import replace
from voyage_logger._base.pickling import Restorable, without_secrets
from voyage_logger._base.printable import printable
from voyage_logger._base.settings import MIB
from voyage_logger._entry.encoding import encode
from voyage_logger._entry.redaction import Redaction, Secrets
from voyage_logger.transports._base_transport import LEAST_TIME, BaseTransport
from voyage_logger.transports._endpoint import endpoint_from, missing
from voyage_logger.transports._outcome import Kind, Outcome, error_of
from voyage_logger.transports._waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from voyage_logger.transports._endpoint import Endpoint
    from voyage_logger.transports._session import Session
    from voyage_logger.transports._token import Token
    from voyage_logger.transports._verdict import Answer

_ENTRY_LIMIT = 1 * MIB
_DETAIL = 300  # characters
_NOT_FOUND = 404
_ENCODED = frozenset((bytes,))  # The types of encoded entries.


class _Hidden(dict[str, str]):
    """Headers whose values are hidden, even in tracebacks that show local variables."""

    def __repr__(self) -> str:
        return "<hidden>"


class Transport(Restorable, BaseTransport):
    """Signs in to the Logs API and sends batches. Use this class to control each request yourself.

    Args:
        api_key: The API key (default: the environment variable VOYAGE_LOGS_KEY).
        api_secret: The API secret (default: the environment variable VOYAGE_LOGS_SECRET).
        base_url: The root URL of the API (default: VOYAGE_LOGS_URL if set, else the vendor's URL).
        timeout: The time limits in seconds, one for connecting and one for each read.
        compress: If True, compress requests with gzip. The vendor's docs do not mention gzip.
        clock: A function that returns the monotonic time in seconds.

    Raises:
        ConfigurationError: An argument is not valid, or there are no credentials.

    Thread-safe. After a fork, call `reset()` in the child process. A `VoyageLogger` calls `reset()`
    itself. You can copy and pickle a transport. If the environment has no credentials when a
    transport is unpickled, the transport delivers nothing, and each outcome contains the reason.

    Source: vendor docs, "sign-in-keys" and "logs/batch".
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str | None = None,
        *,
        timeout: float | tuple[float, float] = (3.05, 10.0),
        compress: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        arguments = without_secrets(locals())
        endpoint = endpoint_from(api_key, api_secret, base_url, timeout=timeout, compress=compress)
        if endpoint.problems:
            raise missing(endpoint)
        self._set_up(endpoint, clock, arguments)

    @classmethod
    def _from(cls, arguments: dict[str, Any]) -> Transport:
        # Do not raise an error here: if unpickling raises an error, a process pool waits forever.
        made = cls.__new__(cls)
        settings = {"api_key": None, "api_secret": None, **arguments}
        clock = settings.pop("clock")
        made._set_up(endpoint_from(**settings), clock, {**settings, "clock": clock})  # noqa: SLF001
        return made

    def _set_up(
        self, endpoint: Endpoint, clock: Callable[[], float], arguments: Mapping[str, Any]
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._waits = Waits(clock)
        self.reset()
        self._remember(Transport.__init__, arguments)

    def reset(self) -> None:
        with loading:
            from random import Random  # noqa: PLC0415 - the package's import must stay fast

        self.sign_ins = 0
        # The processes need different random numbers, so that they sign in at different times.
        self._random = Random().random  # noqa: S311 - The numbers need not be secret.
        known = self._endpoint.credentials
        self._secrets = Secrets((known.api_key, known.api_secret) if known is not None else ())
        # The lock guards the token, but not the session. During a sign-in, a thread holds the lock,
        # so that other threads wait for the new token.
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._next_renewal = -inf  # Before this monotonic time, do not renew a valid token.
        self._session: Session | None = None

    def __repr__(self) -> str:
        if "_endpoint" not in vars(self):  # The constructor has raised an error.
            return "Transport()"
        return f"Transport(base_url={self._endpoint.base_url!r})"

    # Each log call reads this property, so the property must be fast: it runs only C code.
    secrets = property(attrgetter("_secrets.texts"))

    @property
    def destination(self) -> str:
        return self._endpoint.base_url

    def warm_up(self) -> None:
        if self._endpoint.problems:  # `send` reports problems.
            return
        found = self._valid_token(None)
        if isinstance(found, Outcome):
            raise error_of(found)

    def sign_in(self) -> None:
        """Obtain a new token, even if the present token is still valid.

        Raises:
            AuthenticationError: The server refused the key and secret.
            ConnectionFailed: The server gave no answer, or an answer without a token.
            ConfigurationError: The transport was unpickled in an environment without credentials.
        """
        if self._endpoint.problems:
            raise missing(self._endpoint)
        with self._lock:
            outcome = self._obtain_token(None)
        if outcome is not None:
            raise error_of(outcome)

    def send(
        self, entries: Sequence[bytes | Mapping[str, Any]], *, time_limit: float | None = None
    ) -> Outcome:
        """Make one attempt to send a batch. If there is no valid token, sign in first.

        If the server has asked for a pause with `Retry-After`, no request is made before the end of
        the pause. Then `retry_after` of the outcome is the rest of the pause.

        Args:
            entries: Encoded entries or dicts. This method encodes dicts as a logger encodes them.
            time_limit: A limit in seconds for connecting and for each read. If a sign-in is
                needed, less time is left for the batch. With None, only `timeout` applies. With a
                time limit, the attempt is made even during a pause.

        Returns:
            The outcome for the whole batch, even if the network fails.

        Raises:
            TypeError: `entries` is a single entry, not a list of entries.
        """
        if isinstance(entries, (bytes, str, Mapping)):
            raise TypeError(f"entries must be a list of entries, not one {type(entries).__name__}")
        end = None if time_limit is None else self._clock() + time_limit
        token = self._valid_token(time_limit)
        if isinstance(token, Outcome):
            return token
        headers = {"Content-Type": "application/json"}
        body = _body(entries)
        if self._endpoint.compress:
            with loading:
                import gzip  # noqa: PLC0415 - This import is rarely needed.

            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, compresslevel=6)
        bearer = _Hidden({"Authorization": f"Bearer {token.value}"})
        if end is not None:  # A sign-in might have used a part of the time limit.
            time_limit = max(LEAST_TIME, end - self._clock())
        answer = self._post(wire.BATCH_PATH, body, headers, bearer, time_limit)
        if isinstance(answer, Outcome):
            return answer
        with loading:
            from voyage_logger.transports._verdict import batch_outcome  # noqa: PLC0415 - see `_post`

        outcome = batch_outcome(answer, time.time(), self._mask(token))
        self._waits.note(wire.BATCH_PATH, outcome)
        if outcome.kind is Kind.UNAUTHORIZED:
            self._forget(token)
        return outcome

    def close(self) -> None:
        """Close the connections, but keep the token. The next request opens a new connection."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _valid_token(self, time_limit: float | None) -> Token | Outcome:
        """Return a valid token. Sign in if needed, and return the outcome of a failed sign-in."""
        with self._lock:
            if self._is_token_due(time_limit):
                failure = self._obtain_token(time_limit)
                if failure is not None and not self._can_renew_later(failure):
                    return failure
            token = self._token
        assert token is not None  # noqa: S101 - The type checker cannot see that a successful sign-in sets the token.
        return token

    def _is_token_due(self, time_limit: float | None) -> bool:
        """Return True if the client must sign in before it sends the next batch."""
        token, now = self._token, self._clock()
        if token is None or now >= token.expires_at:
            return True
        if time_limit is not None and now + time_limit < token.expires_at:
            return False  # The time is short, so do not spend the time on a renewal.
        return now >= max(token.renew_at, self._next_renewal)

    def _can_renew_later(self, failure: Outcome) -> bool:
        """Return True if the token is still valid after a failed sign-in. The lock must be held."""
        token, now = self._token, self._clock()
        if token is None or now >= token.expires_at:
            return False
        with loading:
            from voyage_logger.transports._token import renewal_pause  # noqa: PLC0415 - see `_post`

        remaining = token.expires_at - now
        pause = max(renewal_pause(remaining, self._random), failure.retry_after or 0.0)
        self._next_renewal = now + pause
        if failure.kind is Kind.BLOCKED:
            until = f"the present token is valid for {remaining:.0f} s more"
            Diagnostics().say("renewal", f"{until}, but cannot be renewed: {failure.detail}")
        return True

    def _obtain_token(self, time_limit: float | None) -> Outcome | None:
        """Sign in. If the sign-in fails, return its outcome. The caller must hold the lock."""
        credentials = self._endpoint.credentials
        if credentials is None or self._endpoint.problems:
            return Outcome(Kind.BLOCKED, str(missing(self._endpoint)))
        # Read the clock before the request: the token's lifetime begins before the answer arrives.
        asked_at = self._clock()
        secrets = _Hidden(
            {
                wire.API_KEY_HEADER: credentials.api_key,
                wire.API_SECRET_HEADER: credentials.api_secret,
            }
        )
        answer = self._post(wire.SIGN_IN_PATH, None, {}, secrets, time_limit)
        if isinstance(answer, Outcome):
            return answer
        with loading:
            from voyage_logger.transports import _token, _verdict  # noqa: PLC0415 - see `_post`

        found = _token.token_in(answer)
        if found is None:
            outcome = _verdict.sign_in_outcome(answer, time.time(), self._mask(self._token))
            outcome = replace(outcome, detail=outcome.detail + self._hint(answer.status))
            return self._waits.note(wire.SIGN_IN_PATH, outcome)
        value, life = found
        renew_at = asked_at + _token.renewal(life, self._random)
        self._token = _token.Token(value, renew_at, asked_at + life)
        # Also mask the previous token, because this token might still be valid.
        self._secrets = Secrets((*self.secrets[:2], value, *self.secrets[2:3]))
        self.sign_ins += 1
        return None

    def _hint(self, status: int) -> str:
        """If the server answers 404 and the base URL has a path, return advice about the URL."""
        if status != _NOT_FOUND or "/" not in self._endpoint.base_url.split("//", 1)[1]:
            return ""
        root = wire.DEFAULT_BASE_URL
        return f"; the base URL is the root of the API, mostly without a path, such as {root}"

    def _forget(self, token: Token) -> None:
        """Forget a refused token, unless another thread has already replaced the token."""
        with self._lock:
            if self._token is token:
                self._token = None

    def _post(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        secret_headers: Mapping[str, str],
        time_limit: float | None,
    ) -> Answer | Outcome:
        with loading:  # This module is imported late, because it imports `requests`, which is slow.
            from voyage_logger.transports import _session  # noqa: PLC0415 - The import is slow.

        # With a time limit, the process ends soon, so the worker decides whether to try again.
        if time_limit is None and (held := self._waits.held(path)) is not None:
            return held
        session = self._session
        if session is None:
            self._warn_if_exposed()
            session = self._session = _session.Session()
        connect, read = self._endpoint.timeout
        if time_limit is not None:
            connect, read = min(connect, time_limit), min(read, time_limit)
        url = self._endpoint.base_url + path
        try:
            return session.post(url, body, headers, secret_headers, (connect, read))
        except _session.RequestFailed as failure:
            kind = Kind.BLOCKED if failure.is_permanent else Kind.TRY_AGAIN
            detail = self._mask(self._token)(f"{self._endpoint.base_url}: {failure.detail}")
            return Outcome(kind, printable(detail)[:_DETAIL], is_sign_in=path == wire.SIGN_IN_PATH)

    def _warn_if_exposed(self) -> None:
        if self._endpoint.is_exposed:
            url = self._endpoint.base_url
            Diagnostics().say(
                "plain http", f"{url} is plain http: secrets and entries are readable"
            )

    def _mask(self, token: Token | None) -> Callable[[str], str]:
        """Return a function that masks secrets in a text, such as an answer of the server.

        As in entries, a secret with fewer than 7 characters is not masked: it might be a word.
        """
        secrets = self.secrets if token is None else (*self.secrets, token.value)
        return Redaction(secrets=lambda: secrets).mask


def _body(entries: Sequence[bytes | Mapping[str, Any]]) -> bytes:
    if not _ENCODED.issuperset(map(type, entries)):
        entries = [
            entry if isinstance(entry, bytes) else encode(dict(entry), _ENTRY_LIMIT)
            for entry in entries
        ]
    return b"".join((wire.BODY_OPEN, b",".join(entries), wire.BODY_CLOSE))  # type: ignore[arg-type]
