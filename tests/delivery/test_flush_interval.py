"""The time at which a batch that is not full is sent."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._delivery.flush_interval import FlushInterval, interval, phase

quick = settings(max_examples=60, deadline=None)
chances = st.floats(0, 1, exclude_max=True)


def middle() -> float:
    return 0.5


class TestDue:
    def test_begins_at_a_random_time_within_an_interval(self) -> None:
        """The first flush is at a random time, so that clients do not send at the same time."""
        assert FlushInterval(10).remaining(0, lambda: 0.0) == pytest.approx(1)
        assert FlushInterval(10).remaining(0, lambda: 1.0) == pytest.approx(11)

    def test_is_an_interval_from_the_first_entry_that_waits(self) -> None:
        """A flush is due one interval after the oldest waiting entry was logged."""
        due = FlushInterval(10)
        due.begin(100, middle)
        due.rest()

        assert due.remaining(103, middle) == pytest.approx(10)
        assert due.remaining(105, middle) == pytest.approx(8)

    def test_counts_from_the_last_batch_for_entries_that_came_during_its_request(self) -> None:
        """For entries logged during a request, the interval begins when its batch is taken."""
        due = FlushInterval(10)
        due.begin(100, middle)

        assert due.remaining(108, middle) == pytest.approx(2)
        assert due.remaining(111, middle) == pytest.approx(-1)

    def test_is_random_again_after_a_quiet_interval(self) -> None:
        """After an interval without entries, the next flush is again at a random time."""
        due = FlushInterval(10)
        due.begin(100, middle)
        due.rest()

        assert due.remaining(110.1, lambda: 0.0) == pytest.approx(1)

    def test_may_rest_more_than_once(self) -> None:
        """For the next flush, several looks at an empty queue have the same effect as one look."""
        due = FlushInterval(10)
        due.begin(100, middle)
        for _ in range(3):
            due.rest()

        assert due.remaining(103, middle) == pytest.approx(10)


class TestInterval:
    @given(st.floats(0.001, 86_400), chances)
    @quick
    def test_is_within_ten_percent(self, flush_interval: float, chance: float) -> None:
        """Random jitter changes an interval by at most 10 %."""
        jittered = interval(flush_interval, lambda: chance)

        assert 0.9 * flush_interval <= jittered * (1 + 1e-9)
        assert jittered <= 1.1 * flush_interval * (1 + 1e-9)

    def test_reaches_both_ends(self) -> None:
        """Jitter uses its whole range from -10 % to +10 %."""
        assert interval(10, lambda: 0.0) == pytest.approx(9)
        assert interval(10, lambda: 0.999999) == pytest.approx(11, abs=0.001)


class TestPhase:
    @given(st.floats(0.001, 86_400), chances)
    @quick
    def test_is_spread_evenly_over_one_interval(self, flush_interval: float, chance: float) -> None:
        """The first interval is a random time from 0.1 to 1.1 times `flush_interval`."""
        spread = phase(flush_interval, lambda: chance) - phase(flush_interval, lambda: 0.0)

        assert phase(flush_interval, lambda: 0.0) == pytest.approx(flush_interval / 10)
        assert spread == pytest.approx(chance * flush_interval, abs=1e-6)
