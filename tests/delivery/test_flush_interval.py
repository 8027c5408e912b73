"""When a flush is due, and how failed attempts are counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._delivery.flush_interval import Failures, Rhythm
from voyage_logger.transports._outcome import Kind

quick = settings(max_examples=60, deadline=None)


def middle() -> float:
    return 0.5


class TestRhythm:
    def test_begins_at_a_random_time_within_an_interval(self) -> None:
        """The first flush is at a random time, so that a fleet is not in step."""
        assert Rhythm(10).remaining(0, lambda: 0.0) == pytest.approx(1)
        assert Rhythm(10).remaining(0, lambda: 1.0) == pytest.approx(11)

    def test_is_an_interval_from_the_first_entry_that_waits(self) -> None:
        """A flush is due one interval after the first entry that waits."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        rhythm.rest()

        assert rhythm.remaining(103, middle) == pytest.approx(10)
        assert rhythm.remaining(105, middle) == pytest.approx(8)

    def test_counts_from_the_last_batch_for_entries_that_came_during_its_request(self) -> None:
        """Entries that came during a request are due one interval after its batch was taken."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)

        assert rhythm.remaining(108, middle) == pytest.approx(2)
        assert rhythm.remaining(111, middle) == pytest.approx(-1)

    def test_is_random_again_after_a_quiet_interval(self) -> None:
        """An event that wakes a silent fleet does not put its flushes in step."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        rhythm.rest()

        assert rhythm.remaining(110.1, lambda: 0.0) == pytest.approx(1)

    def test_may_rest_more_than_once(self) -> None:
        """Several looks at an empty queue have the same effect as one."""
        rhythm = Rhythm(10)
        rhythm.begin(100, middle)
        for _ in range(3):
            rhythm.rest()

        assert rhythm.remaining(103, middle) == pytest.approx(10)


class TestFailures:
    def test_count_up(self) -> None:
        """Each failure in a row has a higher number, so that the pauses grow."""
        failures = Failures()

        assert [failures.add(Kind.TRY_AGAIN) for _ in range(3)] == [1, 2, 3]
        assert failures.in_a_row == 3

    def test_are_half_made_up_by_a_success(self) -> None:
        """Two delivered batches are needed to make up for one failure."""
        failures = Failures()
        for _ in range(3):
            failures.add(Kind.TRY_AGAIN)
        failures.make_up()

        assert failures.in_a_row == 0
        assert failures.add(Kind.TRY_AGAIN) == 3.5

    def test_are_forgotten_in_the_end(self) -> None:
        """Sixteen batches after an outage of any length, a failure counts as a first failure."""
        failures = Failures()
        for _ in range(1000):
            failures.add(Kind.TRY_AGAIN)
        for _ in range(16):
            failures.make_up()

        assert failures.add(Kind.TRY_AGAIN) == 1

    def test_of_a_token_have_their_own_count(self) -> None:
        """A first refused token counts as one, even after many other failures."""
        failures = Failures()
        failures.add(Kind.TRY_AGAIN)

        assert [failures.add(Kind.UNAUTHORIZED) for _ in range(2)] == [1, 2]
        failures.make_up()
        assert failures.add(Kind.UNAUTHORIZED) == 1

    @given(st.lists(st.sampled_from([Kind.TRY_AGAIN, Kind.BLOCKED, None]), max_size=60))
    @quick
    def test_number_is_from_one_to_eight(self, history: list[Kind | None]) -> None:
        """After any history, the number of a failure is at least one and at most eight."""
        failures = Failures()
        for kind in history:
            if kind is None:
                failures.make_up()
            else:
                assert 1 <= failures.add(kind) <= 8
