"""The limits for the size of the next request."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._base.wire import BODY_OVERHEAD
from voyage_logger._delivery.request_size import RequestSize

MIB = 1 << 20


class TestEntries:
    def test_are_batch_size_in_quiet_times(self) -> None:
        """While there is no backlog, a request carries `batch_size` entries."""
        size = RequestSize(100, MIB)
        for queued in (1, 100, 5000):
            size.adapt(queued, is_behind=False)

            assert size.entries == 100

    def test_include_all_waiting_entries_once_more_come_than_a_request_carries(self) -> None:
        """If 500 entries are logged during each request, a request soon carries 500 entries."""
        size = RequestSize(100, MIB)
        queued, seen = 100, []
        for _ in range(6):
            size.adapt(queued, is_behind=False)
            seen.append(min(queued, size.entries))
            queued += 500 - seen[-1]

        assert seen == [100, 100, 900, 500, 500, 500]

    def test_are_batch_size_for_a_burst_that_is_over(self) -> None:
        """If a large backlog does not grow, requests do not become larger."""
        size = RequestSize(100, MIB)
        for queued in (100, 2000, 1900, 1900, 100, 3000):
            size.adapt(queued, is_behind=False)

            assert size.entries == 100

    def test_double_while_the_client_is_behind(self) -> None:
        """While a backlog grows, each request is twice as large as the last: 200, 400, then 800."""
        size = RequestSize(100, MIB)
        seen = []
        for _ in range(3):
            size.adapt(9000, is_behind=True)
            seen.append(size.entries)

        assert seen == [200, 400, 800]

    def test_stay_large_until_the_backlog_is_gone(self) -> None:
        """Requests stay large until the whole backlog is sent."""
        size = RequestSize(100, MIB)
        size.adapt(9000, is_behind=True)
        size.adapt(101, is_behind=False)

        assert size.entries == 200

    def test_shrink_back_once_the_backlog_is_gone(self) -> None:
        """After a backlog, a request carries `batch_size` entries again."""
        size = RequestSize(100, MIB)
        size.adapt(9000, is_behind=True)
        size.adapt(100, is_behind=False)

        assert size.entries == 100

    def test_stop_growing_at_what_was_refused(self) -> None:
        """After a request of 800 entries was refused, later requests carry at most 400 entries."""
        size = RequestSize(100, MIB)
        for _ in range(3):
            size.adapt(9000, is_behind=True)
        size.learn_refused(800)
        for _ in range(5):
            size.adapt(9000, is_behind=True)

            assert size.entries <= 400

    def test_are_not_raised_by_a_later_refusal(self) -> None:
        """If the second half of a large request is also refused, the limit does not rise."""
        size = RequestSize(100, MIB)
        for count in (800, 400, 200, 400):  # the last request is the second half of the 800 entries
            size.learn_refused(count)
        for _ in range(5):
            size.adapt(9000, is_behind=True)

            assert size.entries == 100

    def test_learn_nothing_from_a_poison_entry(self) -> None:
        """If the server refuses a request of `batch_size` entries, the limit does not change."""
        size = RequestSize(100, MIB)
        for count in (100, 50, 1):
            size.learn_refused(count)
        size.adapt(9000, is_behind=True)

        assert size.entries == 200

    def test_are_not_limited_below_a_large_batch_size(self) -> None:
        """If `batch_size` is very large, requests carry `batch_size` entries and do not grow."""
        size = RequestSize(100_000, MIB)
        size.adapt(500_000, is_behind=True)

        assert size.entries == 100_000


class TestBytes:
    @pytest.mark.parametrize("entries", [1, 2, 1000])
    def test_leave_room_for_the_envelope(self, entries: int) -> None:
        """A whole body, including its commas, is not larger than `max_batch_bytes`."""
        size = RequestSize(100, MIB)
        payloads = size.bytes - entries  # the limit counts one comma for each entry

        assert payloads + (entries - 1) + BODY_OVERHEAD == MIB

    def test_are_halved_after_a_413(self) -> None:
        """After a 413, the limit for the body is half of the refused size, in bytes."""
        size = RequestSize(100, MIB)
        size.learn_too_large(800_000, 100)

        assert size.bytes == 400_000

    def test_are_not_raised_by_a_later_413(self) -> None:
        """A later 413 for a larger request does not raise the limit."""
        size = RequestSize(100, MIB)
        size.learn_too_large(1000, 2)
        size.learn_too_large(800_000, 100)
        size.adapt(9000, is_behind=True)

        assert size.bytes == 500

    def test_stay_above_nothing(self) -> None:
        """The limit is at least one byte, even if the server refuses every size."""
        size = RequestSize(100, MIB)
        size.learn_too_large(0, 2)

        assert size.bytes == 1

    @pytest.mark.parametrize("taught", [1, 100_000])
    def test_learn_little_from_a_single_entry(self, taught: int) -> None:
        """A 413 for one small entry does not lower the limit below 16 KiB."""
        size = RequestSize(100, MIB)
        size.learn_too_large(taught, 1)

        assert size.bytes == max(16 << 10, taught // 2)


class TestLearnedBounds:
    """The client tries a refused size again, but after each refusal, it waits longer."""

    def test_grow_back_once_the_server_takes_all(self) -> None:
        """When the 413 answers stop, the limit grows back within a few hundred requests."""
        size = RequestSize(100, MIB)
        most = size.bytes
        for _ in range(8):
            size.learn_too_large(size.bytes, 2)
        size.learn_too_large(200, 2)
        for _ in range(300):
            size.learn_delivered(size.bytes, 1)

        assert size.bytes == most

    def test_grow_back_in_entries(self) -> None:
        """After a 400 for a large request, the largest number of entries also grows back."""
        size = RequestSize(100, MIB)
        for _ in range(3):
            size.adapt(9000, is_behind=True)
        size.learn_refused(800)
        for _ in range(16):
            size.learn_delivered(1, 400)
        size.adapt(9000, is_behind=True)

        assert size.entries == 800

    def test_are_half_of_a_refused_size_that_the_server_took_before(self) -> None:
        """If a size that was accepted before is refused, the new limit is half of this size."""
        size = RequestSize(100, MIB)
        size.learn_too_large(80_000, 100)
        for _ in range(16):
            size.learn_delivered(40_000, 1)
        size.learn_too_large(30_000, 100)

        assert size.bytes == 15_000

    def test_stay_while_requests_are_smaller_than_the_bound(self) -> None:
        """Requests that are smaller than the limit do not raise the limit."""
        size = RequestSize(100, MIB)
        size.learn_too_large(80_000, 100)
        for _ in range(10_000):
            size.learn_delivered(20_000, 1)

        assert size.bytes == 40_000

    def test_are_tried_less_often_after_each_refusal(self) -> None:
        """If a server refuses all larger requests, it refuses fewer than 45 of 100,000 requests."""
        size = RequestSize(100, MIB)
        limit, refused = 50_000, []
        for number in range(100_000):
            if size.bytes > limit:
                refused.append(number)
                size.learn_too_large(size.bytes, 100)
            else:
                size.learn_delivered(size.bytes, 100)
        gaps = [after - before for before, after in pairwise(refused)]

        assert len(refused) < 45
        assert max(gaps) >= 4096
        assert size.bytes > limit // 2

    def test_are_as_before_after_a_failed_trial(self) -> None:
        """If a larger request is refused, the limit is again the size that worked before."""
        size = RequestSize(100, MIB)
        size.learn_too_large(80_000, 100)
        for _ in range(16):
            size.learn_delivered(40_000, 50)
        size.learn_too_large(41_000, 51)

        assert size.bytes == 40_000


steps = st.one_of(
    st.tuples(st.just("adapt"), st.integers(0, 20_000), st.booleans()),
    st.tuples(st.just("too large"), st.integers(1, 2 * MIB), st.none()),
    st.tuples(st.just("refused"), st.integers(1, 20_000), st.none()),
)


@given(st.integers(1, 500), st.lists(steps, max_size=40))
@settings(max_examples=40, deadline=None)
def test_bounds_hold_after_any_history(
    batch_size: int, history: list[tuple[str, int, bool | None]]
) -> None:
    """After any series of answers, each limit is between its own minimum and maximum."""
    size = RequestSize(batch_size, MIB)
    most_bytes = MIB
    most_entries = 1 << 62
    for step, number, is_behind in history:
        before = size.entries
        if step == "adapt":
            size.adapt(number, is_behind=bool(is_behind))
            assert size.entries <= 2 * max(before, number)
            assert size.entries <= before or is_behind or number > before
        elif step == "too large":
            size.learn_too_large(number, 2)
            most_bytes = min(most_bytes, max(1, number // 2))
        else:
            size.learn_refused(number)
            if number > batch_size:
                most_entries = min(most_entries, max(batch_size, number // 2))
        assert batch_size <= size.entries <= most_entries
        assert 1 <= size.bytes <= most_bytes
