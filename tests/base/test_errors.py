"""Errors, levels, and the values that `stats()` and `flush()` return."""

from __future__ import annotations

import copy
import logging
import pickle
from collections import Counter
from enum import IntEnum

import pytest

import voyage_logger
from voyage_logger import (
    AuthenticationError,
    ConfigurationError,
    ConnectionFailed,
    DeliveryError,
    EntriesLost,
    FlushResult,
    Kind,
    Outcome,
    Stats,
    VoyageError,
)
from voyage_logger._base.frozen import replace
from voyage_logger._base.levels import CRITICAL, DEBUG, ERROR, INFO, LANES, LEVELS, WARN, rank_of
from voyage_logger.transports._outcome import error_of

ERRORS = [
    VoyageError("text"),
    VoyageError("text", 500),
    ConfigurationError("timeout", -1, "a number of seconds"),
    ConfigurationError("timeout", None, "a number of seconds"),
    AuthenticationError("text", 401),
    ConnectionFailed("text"),
    DeliveryError("text", 403),
    EntriesLost(3, {"info": 2, "error": 1}, {"queue_full": 3}),
    EntriesLost(1, Counter(info=1), Counter({"HTTP 400": 1}), "HTTP 400 no"),
    EntriesLost(1, {"info": 1}, {"closed": 1}, "", 0, "HTTP 503"),
]


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class TestErrors:
    def test_are_all_caught_by_the_base_class(self) -> None:
        """`except VoyageError` catches every error that the package raises or reports."""
        public = (getattr(voyage_logger, name) for name in voyage_logger.__all__)
        errors = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Exception)}

        assert len(errors) == 6
        assert all(issubclass(kind, VoyageError) for kind in errors)

    def test_of_configuration_are_value_errors(self) -> None:
        """`except ValueError` catches the error about a wrong argument."""
        assert issubclass(ConfigurationError, ValueError)

    @pytest.mark.parametrize("error", ERRORS, ids=repr)
    @pytest.mark.parametrize(
        "copied",
        [copy.copy, copy.deepcopy]
        + [
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - this test has made the pickle
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ],
    )
    def test_survive_copies_and_pickles(self, error: VoyageError, copied: object) -> None:
        """A copied or unpickled error has the same text and attributes as the original."""
        assert callable(copied)
        twin = copied(error)

        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)

    def test_name_parameter_value_and_rule(self) -> None:
        """The message of a `ConfigurationError` names the argument, its value and the rule."""
        error = ConfigurationError("timeout", -1, "a number of seconds")

        assert str(error) == "timeout=-1: must be a number of seconds"
        assert (error.parameter, error.value, error.rule) == ("timeout", -1, "a number of seconds")

    @pytest.mark.parametrize("value", [BrokenRepr(), -(10**5000), [BrokenRepr()]], ids=type)
    def test_of_configuration_survive_a_value_without_a_repr(self, value: object) -> None:
        """If the `repr` of a wrong value fails, the error still names the argument and the rule."""
        error = ConfigurationError("timeout", value, "a number of seconds")

        assert "timeout=" in str(error)
        assert "must be a number of seconds" in str(error)

    def test_of_configuration_cut_a_long_value(self) -> None:
        """If a wrong value is very long, the error shows only its beginning."""
        assert len(str(ConfigurationError("app_name", "x" * 100_000, "short"))) < 1000

    def test_of_losses_count_by_level_and_reason(self) -> None:
        """The message about lost entries says how many were lost, by level and by reason."""
        error = EntriesLost(3, {"info": 2, "error": 1}, {"HTTP 400": 3}, "HTTP 400 no")

        assert str(error) == (
            "3 entries lost (2 info, 1 error): 3 HTTP 400; the server said: HTTP 400 no"
        )

    def test_of_losses_explain_the_reason_closed(self) -> None:
        """The message explains the reason "closed": the entries were logged after `close()`."""
        error = EntriesLost(2, {"info": 2}, {"queue_full": 1, "closed": 1})

        assert str(error) == (
            "2 entries lost (2 info): 1 queue_full, "
            "1 closed (logged after close(), or left when its time was over)"
        )
        assert error.reasons == {"queue_full": 1, "closed": 1}

    def test_show_their_message_alone(self) -> None:
        """The `str` of an error is its message, without the HTTP status."""
        assert str(DeliveryError("held back", 403)) == "held back"

    @pytest.mark.parametrize(
        ("outcome", "kind"),
        [
            (Outcome(Kind.BLOCKED, "d", 401, is_sign_in=True), AuthenticationError),
            (Outcome(Kind.BLOCKED, "d", 403, is_sign_in=True), AuthenticationError),
            (Outcome(Kind.BLOCKED, "d", 404, is_sign_in=True), ConnectionFailed),
            (Outcome(Kind.TRY_AGAIN, "d", 503, is_sign_in=True), ConnectionFailed),
            (Outcome(Kind.TRY_AGAIN, "d", 503), ConnectionFailed),
            (Outcome(Kind.TRY_AGAIN, "d"), ConnectionFailed),
            (Outcome(Kind.BLOCKED, "d", 403), DeliveryError),
            (Outcome(Kind.UNAUTHORIZED, "d", 401), DeliveryError),
        ],
    )
    def test_have_the_class_of_the_outcome(self, outcome: Outcome, kind: type[VoyageError]) -> None:
        """Each kind of failed outcome has its own error class. The error holds the HTTP status."""
        error = error_of(outcome)

        assert type(error) is kind
        assert error.status == outcome.status
        assert str(error).startswith("d")


class Verbosity(IntEnum):
    LOUD = 35


class TestLevels:
    @pytest.mark.parametrize("name", LEVELS)
    def test_of_the_wire_are_known_in_any_case(self, name: str) -> None:
        """A level name is accepted in any case, and with blanks around it."""
        rank = LEVELS.index(name)

        assert [rank_of(text) for text in (name, name.upper(), f" {name.title()}\n")] == [rank] * 3

    @pytest.mark.parametrize(
        ("alias", "rank"),
        [
            ("warning", WARN),
            ("WARNING", WARN),
            ("fatal", CRITICAL),
            ("exception", ERROR),
            ("notset", DEBUG),
            ("trace", DEBUG),
        ],
    )
    def test_have_the_names_of_the_standard_library(self, alias: str, rank: int) -> None:
        """The level names of the standard library's `logging` are accepted."""
        assert rank_of(alias) == rank

    @pytest.mark.parametrize(
        ("number", "rank"),
        [
            (-5, DEBUG),
            (logging.NOTSET, DEBUG),
            (logging.DEBUG, DEBUG),
            (19, DEBUG),
            (logging.INFO, INFO),
            (25, INFO),
            (logging.WARNING, WARN),
            (Verbosity.LOUD, WARN),
            (logging.ERROR, ERROR),
            (49, ERROR),
            (logging.CRITICAL, CRITICAL),
            (10**5000, CRITICAL),
        ],
        ids=lambda value: str(value)[:9] if value < 10**9 else "huge",
    )
    def test_have_the_numbers_of_the_standard_library(self, number: int, rank: int) -> None:
        """A level number of `logging` is rounded down to the nearest level."""
        assert rank_of(number) == rank

    @pytest.mark.parametrize("junk", [None, True, False, "", "loud", 30.0, b"info", [], object()])
    def test_without_a_meaning_have_no_rank(self, junk: object) -> None:
        """A value that is not a level has the rank None."""
        assert rank_of(junk) is None

    def test_have_lanes_below_tickets_and_notices(self) -> None:
        """A full queue sheds low levels first, and tickets and notices of losses last."""
        assert (*LEVELS, "ticket", "notice") == LANES


class TestResults:
    def test_of_a_flush_are_true_if_all_was_delivered(self) -> None:
        """The result of `flush` is true if all entries were delivered."""
        assert FlushResult(delivered=3, rejected=0, dropped=0, pending=0, elapsed=0.1)

    def test_of_an_empty_flush_are_true(self) -> None:
        """The result of `flush` is true if there were no entries."""
        assert FlushResult(delivered=0, rejected=0, dropped=0, pending=0, elapsed=0.0)

    @pytest.mark.parametrize("name", ["rejected", "dropped", "pending"])
    def test_of_a_flush_are_false_for_any_loss(self, name: str) -> None:
        """The result of `flush` is false if any entry was rejected or dropped, or still waits."""
        good = FlushResult(delivered=3, rejected=0, dropped=0, pending=0, elapsed=0.1)

        assert not replace(good, **{name: 1})

    def test_never_change(self) -> None:
        """The fields of the results of `stats()` and `flush()` cannot be set."""
        stats = Stats(1, 1, 0, 0, 0, {}, {}, 0)

        with pytest.raises(AttributeError, match="accepted does not change"):
            stats.accepted = 2  # type: ignore[misc]
