"""Answers sign-ins and batches. Other modules handle the sockets.

A batch is checked in the same order as in a real service: first its size, then the token, then the
format, and last the entries. What must stay true: no entry of a refused batch is stored.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from voyage_logger.devserver._checks import bearer_token, check_sign_in, parse_batch
from voyage_logger.devserver._faults import OMIT, Fault, Rules
from voyage_logger.devserver._http import Refusal, json_answer
from voyage_logger.devserver._journal import Journal
from voyage_logger.devserver._tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voyage_logger.devserver._http import Answer, Request
    from voyage_logger.devserver._journal import Endpoint
    from voyage_logger.devserver._store import Store

NO_FAULT = Fault()


class Backend:
    """The state of one server, and the code that answers sign-ins and batches.

    Thread-safe: the store, the tokens and the journal have their own locks, the methods of a deque
    are atomic, and a `Rules` instance never changes.
    """

    def __init__(
        self,
        store: Store,
        *,
        api_key: str,
        api_secret: str,
        rules: Rules,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self.rules = rules
        self.clock = clock
        self.journal = Journal()
        self.tokens = Tokens(clock)
        self._credentials = (api_key, api_secret)
        self._scripts: dict[Endpoint, deque[Fault]] = {"batch": deque(), "sign-in": deque()}

    def script(self, endpoint: Endpoint, faults: Iterable[Fault]) -> None:
        """Queue faults for the next requests to an endpoint, one fault for each request."""
        script = list(faults)
        for fault in script:
            if not isinstance(fault, Fault):
                raise TypeError(f"a script is made of Fault(...), not of {fault!r}")
        self._scripts[endpoint].extend(script)

    def next_fault(self, endpoint: Endpoint) -> Fault:
        """Remove and return an endpoint's next fault; return `NO_FAULT` if no fault is queued."""
        try:
            return self._scripts[endpoint].popleft()
        except (IndexError, KeyError):
            return NO_FAULT

    def sign_in(self, request: Request) -> Answer:
        """Check the credentials and issue a token."""
        check_sign_in(request, *self._credentials)
        expires_in = self.rules.expires_in
        data = {"access_token": self.tokens.issue(expires_in), "token_type": "bearer"}
        extra = {} if expires_in == OMIT else {"expires_in": expires_in}
        return json_answer(200, {"data": [{**data, **extra}]})

    def take_batch(self, request: Request) -> Answer:
        """Store all entries of a batch, or refuse the batch."""
        rules = self.rules
        limit = rules.max_body_bytes
        if limit is not None and len(request.body) > limit:
            raise Refusal(413, f"a body of {len(request.body)} bytes is over the limit of {limit}")
        token = bearer_token(request.headers)
        if not self.tokens.is_live(token):
            raise Refusal(401, "the access token is unknown, expired or revoked")
        entries = parse_batch(request)
        _check_rules(entries, rules)
        try:
            self.store.add(entries)
        except sqlite3.Error as error:
            raise Refusal(500, f"the entries cannot be stored: {error}") from error
        self.tokens.count_batch(token, rules.revoke_after)
        self.journal.notify()
        return json_answer(200, {"data": [{"stored": len(entries)}]})

    def stats(self) -> dict[str, Any]:
        """Return the counts that `DevServer.stats` describes."""
        answers: dict[str, Counter[str]] = {}
        for (endpoint, status), n in self.journal.answers().items():
            answers.setdefault(endpoint, Counter())[str(status or "unanswered")] += n
        return {
            "stored": self.store.entry_count,
            "batches": self.store.batch_count,
            "sign_ins": answers.get("sign-in", Counter())["200"],
            "tickets": self.store.ticket_count(),
            "duplicates": self.store.duplicates(),
            "answers": {endpoint: dict(counts) for endpoint, counts in answers.items()},
        }

    def reset(self) -> None:
        """Delete all entries, requests, queued faults and tokens, and restore the default rules."""
        for script in self._scripts.values():
            script.clear()
        self.rules = Rules()
        self.tokens.revoke_all()
        self.store.clear()
        self.journal.clear()


def _check_rules(entries: list[dict[str, Any]], rules: Rules) -> None:
    if rules.max_entries is not None and len(entries) > rules.max_entries:
        raise Refusal(422, f"{len(entries)} entries are over the limit of {rules.max_entries}")
    marker = rules.refuse_containing
    if marker is not None and any(marker in entry["message"] for entry in entries):
        # The real API might not say which entry is wrong, so this answer does not say it either.
        raise Refusal(rules.refuse_status, "an entry of the batch is not acceptable")
