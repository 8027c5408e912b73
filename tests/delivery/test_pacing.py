"""When a flush is due, and which failure it was."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._delivery.pacing import Failures, Rhythm
from voyage_logger.transports._outcome import Kind

quick = settings(max_examples=60, deadline=None)


def middle() -> float:
    return 0.5


class TestRhythm:
    def test_begins_anywhere_within_an_interval(self) -> None:
        """The first flush of a process is at random: a fleet that starts at once is not in step."""
        assert Rhythm(10).remaining(0, lambda: 0.0) == pytest.approx(1)
        assert Rhythm(10).remaining(0, lambda: 1.0) == pytest.approx(11)

    def test_is_an_interval_from_the_first_entry_that_waits(self) -> None:
        """A busy process sends after each interval, counted from the entry that waits longest."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        rhythm.rest()

        assert rhythm.remaining(103, middle) == pytest.approx(10)
        assert rhythm.remaining(105, middle) == pytest.approx(8)

    def test_goes_on_if_entries_came_while_a_batch_was_sent(self) -> None:
        """What came meanwhile has waited since the batch was taken."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)

        assert rhythm.remaining(108, middle) == pytest.approx(2)
        assert rhythm.remaining(111, middle) == pytest.approx(-1)

    def test_begins_anew_after_a_quiet_interval(self) -> None:
        """Whatever wakes a whole fleet that was silent does not put its flushes in step."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        rhythm.rest()

        assert rhythm.remaining(110.1, lambda: 0.0) == pytest.approx(1)

    def test_rests_as_long_as_it_takes(self) -> None:
        """Looking at an empty queue more than once changes nothing."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        for _ in range(3):
            rhythm.rest()

        assert rhythm.remaining(103, middle) == pytest.approx(10)


class TestFailures:
    def test_count_up(self) -> None:
        """Each failure in a row is a number higher, for the pauses to grow."""
        failures = Failures()

        assert [failures.add(Kind.TRY_AGAIN) for _ in range(3)] == [1, 2, 3]
        assert failures.in_a_row == 3

    def test_are_half_made_up_by_a_success(self) -> None:
        """Two batches have to get through for each failure before pauses are short again."""
        failures = Failures()
        for _ in range(3):
            failures.add(Kind.TRY_AGAIN)
        failures.make_up()

        assert failures.in_a_row == 0
        assert failures.add(Kind.TRY_AGAIN) == 3.5

    def test_are_forgotten_in_the_end(self) -> None:
        """However long an outage was, sixteen batches later a failure is a first one again."""
        failures = Failures()
        for _ in range(1000):
            failures.add(Kind.TRY_AGAIN)
        for _ in range(16):
            failures.make_up()

        assert failures.add(Kind.TRY_AGAIN) == 1

    def test_of_a_token_have_their_own_count(self) -> None:
        """A refused token is a first one, however many other failures there were before it."""
        failures = Failures()
        failures.add(Kind.TRY_AGAIN)

        assert [failures.add(Kind.UNAUTHORIZED) for _ in range(2)] == [1, 2]
        failures.make_up()
        assert failures.add(Kind.UNAUTHORIZED) == 1

    @given(st.lists(st.sampled_from([Kind.TRY_AGAIN, Kind.BLOCKED, None]), max_size=60))
    @quick
    def test_number_is_a_first_one_at_least(self, history: list[Kind | None]) -> None:
        """Whatever came before, a failure counts for one at least, and for eight at most."""
        failures = Failures()
        for kind in history:
            if kind is None:
                failures.make_up()
            else:
                assert 1 <= failures.add(kind) <= 8
