"""How large the next request may be."""

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
        """A request carries `batch_size` entries, as a reader of that name expects."""
        size = RequestSize(100, MIB)
        for queued in (1, 100, 5000):
            size.adapt(queued, is_behind=False)

            assert size.entries == 100

    def test_take_all_that_waits_once_more_comes_than_they_carry(self) -> None:
        """At 5,000 entries a second and 0.1 s a request, the third one catches up."""
        size = RequestSize(100, MIB)
        queued, seen = 100, []
        for _ in range(6):
            size.adapt(queued, is_behind=False)
            seen.append(min(queued, size.entries))
            queued += 500 - seen[-1]

        assert seen == [100, 100, 900, 500, 500, 500]

    def test_are_batch_size_for_a_burst_that_is_over(self) -> None:
        """What waits and gets no more is no reason for larger requests, however much it is."""
        size = RequestSize(100, MIB)
        for queued in (100, 2000, 1900, 1900, 100, 3000):
            size.adapt(queued, is_behind=False)

            assert size.entries == 100

    def test_double_while_the_client_is_behind(self) -> None:
        """A client that falls behind sends twice as much with each request."""
        size = RequestSize(100, MIB)
        seen = []
        for _ in range(3):
            size.adapt(9000, is_behind=True)
            seen.append(size.entries)

        assert seen == [200, 400, 800]

    def test_stay_large_until_the_backlog_is_gone(self) -> None:
        """No longer behind is not yet done: the rest of a backlog goes in large requests, too."""
        size = RequestSize(100, MIB)
        size.adapt(9000, is_behind=True)
        size.adapt(101, is_behind=False)

        assert size.entries == 200

    def test_shrink_back_once_the_backlog_is_gone(self) -> None:
        """After a backlog requests are as small as before it."""
        size = RequestSize(100, MIB)
        size.adapt(9000, is_behind=True)
        size.adapt(100, is_behind=False)

        assert size.entries == 100

    def test_stop_growing_at_what_was_refused(self) -> None:
        """A server that refuses 800 entries at once is not sent more than 400 again."""
        size = RequestSize(100, MIB)
        for _ in range(3):
            size.adapt(9000, is_behind=True)
        size.learn_refused(800)
        for _ in range(5):
            size.adapt(9000, is_behind=True)

            assert size.entries <= 400

    def test_forget_no_lesson_over_a_later_one(self) -> None:
        """Another half of an older, larger request does not raise the bound again."""
        size = RequestSize(100, MIB)
        for count in (800, 400, 200, 400):  # the second half of the 800 is still to be sent
            size.learn_refused(count)
        for _ in range(5):
            size.adapt(9000, is_behind=True)

            assert size.entries == 100

    def test_learn_nothing_from_a_poison_entry(self) -> None:
        """A refusal of an ordinary batch is about an entry, not about the size."""
        size = RequestSize(100, MIB)
        for count in (100, 50, 1):
            size.learn_refused(count)
        size.adapt(9000, is_behind=True)

        assert size.entries == 200

    def test_may_be_more_than_any_growth_if_the_user_says_so(self) -> None:
        """A large `batch_size` is taken at its word, and does not grow beyond it."""
        size = RequestSize(100_000, MIB)
        size.adapt(500_000, is_behind=True)

        assert size.entries == 100_000


class TestBytes:
    @pytest.mark.parametrize("entries", [1, 2, 1000])
    def test_leave_room_for_the_envelope(self, entries: int) -> None:
        """Entries, commas and envelope together make `max_batch_bytes` at the most."""
        size = RequestSize(100, MIB)
        payloads = size.bytes - entries  # each entry is counted with a comma

        assert payloads + (entries - 1) + BODY_OVERHEAD == MIB

    def test_are_halved_after_a_413(self) -> None:
        """What the server found too large is not sent again."""
        size = RequestSize(100, MIB)
        size.learn_too_large(800_000, 100)

        assert size.bytes == 400_000

    def test_forget_no_lesson_over_a_later_one(self) -> None:
        """A later 413 for a larger request does not raise the bound."""
        size = RequestSize(100, MIB)
        size.learn_too_large(1000, 2)
        size.learn_too_large(800_000, 100)
        size.adapt(9000, is_behind=True)

        assert size.bytes == 500

    def test_stay_above_nothing(self) -> None:
        """Even a server that takes nothing leaves a bound of one byte."""
        size = RequestSize(100, MIB)
        size.learn_too_large(0, 2)

        assert size.bytes == 1

    @pytest.mark.parametrize("taught", [1, 100_000])
    def test_learn_little_from_a_single_entry(self, taught: int) -> None:
        """The refusal of one small entry is no reason for requests of one entry each."""
        size = RequestSize(100, MIB)
        size.learn_too_large(taught, 1)

        assert size.bytes == max(16 << 10, taught // 2)


class TestLearnedBounds:
    """A learned bound is tried again ever less often."""

    def test_grow_back_once_the_server_takes_all(self) -> None:
        """A moment's 413 costs a few hundred requests of less, not all of the process's life."""
        size = RequestSize(100, MIB)
        most = size.bytes
        for _ in range(8):
            size.learn_too_large(size.bytes, 2)
        size.learn_too_large(200, 2)
        for _ in range(300):
            size.learn_taken(size.bytes, 1)

        assert size.bytes == most

    def test_grow_back_in_entries(self) -> None:
        """A 400 for a large request, of whatever cause, is not for good, either."""
        size = RequestSize(100, MIB)
        for _ in range(3):
            size.adapt(9000, is_behind=True)
        size.learn_refused(800)
        for _ in range(16):
            size.learn_taken(1, 400)
        size.adapt(9000, is_behind=True)

        assert size.entries == 800

    def test_stay_while_requests_are_small_anyway(self) -> None:
        """What a bound does not keep from being larger says nothing about the bound."""
        size = RequestSize(100, MIB)
        size.learn_too_large(80_000, 100)
        for _ in range(10_000):
            size.learn_taken(20_000, 1)

        assert size.bytes == 40_000

    def test_are_tried_ever_less_often(self) -> None:
        """Of 100,000 requests to a server with a limit, few are refused, and each fits again."""
        size = RequestSize(100, MIB)
        limit, refused = 50_000, []
        for number in range(100_000):
            if size.bytes > limit:
                refused.append(number)
                size.learn_too_large(size.bytes, 100)
            else:
                size.learn_taken(size.bytes, 100)
        gaps = [after - before for before, after in pairwise(refused)]

        assert len(refused) < 45
        assert max(gaps) >= 4096
        assert size.bytes > limit // 2

    def test_are_as_before_after_a_failed_trial(self) -> None:
        """A refusal of little more than the bound does not halve what works."""
        size = RequestSize(100, MIB)
        size.learn_too_large(80_000, 100)
        for _ in range(16):
            size.learn_taken(40_000, 50)
        size.learn_too_large(41_000, 51)

        assert size.bytes == 40_000


steps = st.one_of(
    st.tuples(st.just("adapt"), st.integers(0, 20_000), st.booleans()),
    st.tuples(st.just("too large"), st.integers(1, 2 * MIB), st.none()),
    st.tuples(st.just("refused"), st.integers(1, 20_000), st.none()),
)


@given(st.integers(1, 500), st.lists(steps, max_size=40))
@settings(max_examples=40, deadline=None)
def test_bounds_hold_over_any_history(
    batch_size: int, history: list[tuple[str, int, bool | None]]
) -> None:
    """Never below `batch_size`, never above twice what is there to send, never above any lesson."""
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
