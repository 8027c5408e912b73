"""The pauses of the client after failures, and the header `Retry-After`."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._delivery.backoff import BLOCKED_CAP, CAP, Failures, pause
from voyage_logger.transports._outcome import RETRY_AFTER_CAP, Kind, Outcome
from voyage_logger.transports._token import renewal
from voyage_logger.transports._verdict import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = 1_800_000_000.0

quick = settings(max_examples=60, deadline=None)
attempts = st.integers(1, 50) | st.integers(1, 10**30)
chances = st.floats(0, 1, exclude_max=True)
failures = st.sampled_from([kind for kind in Kind if kind is not Kind.DELIVERED])
asked = st.none() | st.floats(allow_nan=True, allow_infinity=True)


def asked_for(seconds: float | None) -> float:
    """Return the seconds of a `Retry-After`, limited to the allowed range."""
    return max(0.0, min(seconds, RETRY_AFTER_CAP)) if seconds and seconds > 0 else 0.0


class TestPause:
    @given(failures, attempts, asked, chances)
    @quick
    def test_is_bounded(
        self, kind: Kind, attempt: int, retry_after: float | None, chance: float
    ) -> None:
        """Whatever `Retry-After` says, a pause is between zero and the documented maximum."""
        waiting = pause(Outcome(kind, retry_after=retry_after), attempt, lambda: chance)

        assert 0 <= waiting <= RETRY_AFTER_CAP + BLOCKED_CAP

    @given(failures, attempts, asked, chances)
    @quick
    def test_is_at_least_what_the_server_asked_for(
        self, kind: Kind, attempt: int, retry_after: float | None, chance: float
    ) -> None:
        """Except after the first 401, a pause is at least as long as `Retry-After`."""
        if kind is Kind.UNAUTHORIZED:
            attempt += 1
        waiting = pause(Outcome(kind, retry_after=retry_after), attempt, lambda: chance)

        assert waiting >= asked_for(retry_after)

    @given(attempts, chances)
    @quick
    def test_after_a_passing_trouble_doubles_up_to_its_cap(
        self, attempt: int, chance: float
    ) -> None:
        """The first pause is 0.25 to 0.5 s. Each further failure doubles the pause, up to 40 s."""
        ceiling = min(CAP, 0.5 * 2.0 ** min(attempt - 1, 60))

        assert pause(Outcome(Kind.TRY_AGAIN), attempt, lambda: chance) == pytest.approx(
            (1 + chance) / 2 * ceiling
        )

    @given(st.floats(0.1, RETRY_AFTER_CAP), attempts, chances)
    @quick
    def test_after_retry_after_is_spread_over_the_fleet(
        self, wish: float, attempt: int, chance: float
    ) -> None:
        """Clients wait for `Retry-After` and then for a random time of at most 40 s."""
        outcome = Outcome(Kind.TRY_AGAIN, retry_after=wish)
        first, one, last = (
            pause(outcome, attempt, lambda chance=chance: chance)  # type: ignore[misc]
            for chance in (0.0, chance, 1.0)
        )

        assert first == pytest.approx(wish)
        assert last - first >= min(wish, CAP) - 1e-6
        assert one - first == pytest.approx(chance * (last - first), abs=1e-6)

    @given(attempts, chances)
    @quick
    def test_of_a_blocked_client_is_never_near_zero(self, attempt: int, chance: float) -> None:
        """A blocked client pauses for at least half of the maximum pause of this attempt."""
        ceiling = min(BLOCKED_CAP, 0.5 * 2.0 ** min(attempt - 1, 60))

        waiting = pause(Outcome(Kind.BLOCKED), attempt, lambda: chance)

        assert ceiling / 2 <= waiting <= ceiling

    @given(st.integers(1, 40), chances)
    @quick
    def test_of_a_blocked_client_grows(self, attempt: int, chance: float) -> None:
        """With each refusal, the pause of a blocked client becomes longer, up to a maximum."""
        now, later = (
            pause(Outcome(Kind.BLOCKED), number, lambda: chance)
            for number in (attempt, attempt + 1)
        )

        assert later > now or later >= BLOCKED_CAP / 2

    def test_after_a_first_401_is_zero(self) -> None:
        """After a first 401, the client does not pause, because a new token might work."""
        assert pause(Outcome(Kind.UNAUTHORIZED), 1, lambda: 0.5) == 0

    @given(st.integers(2, 10**6), chances)
    @quick
    def test_after_a_second_401_is_as_long_as_for_a_blocked_client(
        self, attempt: int, chance: float
    ) -> None:
        """After two successive 401s, the client waits as long as a blocked client."""
        unauthorized = pause(Outcome(Kind.UNAUTHORIZED), attempt, lambda: chance)

        assert unauthorized == pause(Outcome(Kind.BLOCKED), attempt, lambda: chance) > 0.4


class TestFailures:
    def test_count_up(self) -> None:
        """Each failure gets a higher number than the failure before, so the pauses grow."""
        failures = Failures()

        assert [failures.add(Kind.TRY_AGAIN) for _ in range(3)] == [1, 2, 3]
        assert failures.in_a_row == 3

    def test_are_half_made_up_by_a_success(self) -> None:
        """Two delivered batches reduce the number of counted failures by one."""
        failures = Failures()
        for _ in range(3):
            failures.add(Kind.TRY_AGAIN)
        failures.make_up()

        assert failures.in_a_row == 0
        assert failures.add(Kind.TRY_AGAIN) == 3.5

    def test_are_forgotten_in_the_end(self) -> None:
        """If sixteen batches arrive after an outage, the next failure counts as the first one."""
        failures = Failures()
        for _ in range(1000):
            failures.add(Kind.TRY_AGAIN)
        for _ in range(16):
            failures.make_up()

        assert failures.add(Kind.TRY_AGAIN) == 1

    def test_of_a_token_have_their_own_count(self) -> None:
        """The first refusal of a token gets the number one, even after many other failures."""
        failures = Failures()
        failures.add(Kind.TRY_AGAIN)

        assert [failures.add(Kind.UNAUTHORIZED) for _ in range(2)] == [1, 2]
        failures.make_up()
        assert failures.add(Kind.UNAUTHORIZED) == 1

    @given(st.lists(st.sampled_from([Kind.TRY_AGAIN, Kind.BLOCKED, None]), max_size=60))
    @quick
    def test_number_is_from_one_to_eight(self, history: list[Kind | None]) -> None:
        """The number of a failure is always between one and eight."""
        failures = Failures()
        for kind in history:
            if kind is None:
                failures.make_up()
            else:
                assert 1 <= failures.add(kind) <= 8


class TestRenewal:
    @given(st.floats(0.001, 1e9), chances)
    @quick
    def test_comes_before_the_token_ends(self, life: float, chance: float) -> None:
        """A token is renewed at a random time, at most 600 seconds before the token expires."""
        reserve = life - renewal(life, lambda: chance)

        assert reserve == pytest.approx(min(300, life / 5) * (1 + chance), rel=1e-6, abs=1e-6)


def http_date(seconds: float) -> str:
    then = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(seconds=seconds)
    return format_datetime(then, usegmt=True)


class TestRetryAfter:
    @given(st.integers(0, 10**9))
    @quick
    def test_reads_seconds(self, seconds: int) -> None:
        """A number in `Retry-After` means seconds. Numbers above 300 count as 300."""
        assert parse_retry_after(f" {seconds} ", NOW) == min(seconds, RETRY_AFTER_CAP)

    def test_reads_a_number_of_any_length(self) -> None:
        """Even a number with ten thousand digits counts as 300."""
        assert parse_retry_after("9" * 10_000, NOW) == RETRY_AFTER_CAP

    @given(st.integers(-(10**9), 10**9))
    @quick
    def test_reads_a_date(self, seconds: int) -> None:
        """If `Retry-After` is a date, the wait ends at this date, after 300 s at most."""
        expected = min(max(0, seconds), RETRY_AFTER_CAP)

        assert parse_retry_after(http_date(seconds), NOW) == expected

    @pytest.mark.parametrize(
        "date",
        [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "06 Nov 1994 08:49:37 -0000",
        ],
    )
    @pytest.mark.usefixtures("_far_from_greenwich")
    def test_reads_obsolete_dates_as_utc(self, date: str) -> None:
        """Dates in the obsolete formats of RFC 9110 are UTC, whatever the local time zone is."""
        now = datetime(1994, 11, 6, 8, 49, 7, tzinfo=timezone.utc).timestamp()

        assert parse_retry_after(date, now) == 30

    @pytest.mark.parametrize(
        "text",
        ["", " ", "soon", "-5", "1.5", "1e3", "٣", "²", "0x10", "Sun, 99 Foo 1994 99:99:99 GMT"],
    )
    def test_ignores_an_unreadable_value(self, text: str) -> None:
        """If `Retry-After` cannot be read, it is ignored."""
        assert parse_retry_after(text, NOW) is None

    def test_is_none_without_a_header(self) -> None:
        """If the answer has no `Retry-After` header, the result is None."""
        assert parse_retry_after(None, NOW) is None

    @given(
        st.text(max_size=60)
        | st.text("0123456789 :,-+GMTSunNov", max_size=40)
        | st.builds(
            "{}, {} {} {} {}:{}:{} {}".format,
            st.sampled_from(["Sun", "Mon", "", "X"]),
            st.integers(-1, 40),
            st.sampled_from(["Jan", "Nov", "Foo"]),
            st.integers(-1, 99_999),
            *[st.integers(-1, 99)] * 3,
            st.sampled_from(["GMT", "UTC", "", "+9999", "-0000", "+99999999", "EST"]),
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_never_raises(self, text: str) -> None:
        """Any text in `Retry-After` gives a limited number of seconds or None, but no exception."""
        seconds = parse_retry_after(text, NOW)

        assert seconds is None or 0 <= seconds <= RETRY_AFTER_CAP


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be changed here")
    monkeypatch.setenv("TZ", "UTC+9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
