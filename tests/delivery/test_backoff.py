"""When to try again."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger._delivery.backoff import BLOCKED_CAP, CAP, interval, pause, phase
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
    """What a Retry-After comes to once it is clamped."""
    return max(0.0, min(seconds, RETRY_AFTER_CAP)) if seconds and seconds > 0 else 0.0


class TestPause:
    @given(failures, attempts, asked, chances)
    @quick
    def test_is_bounded(
        self, kind: Kind, attempt: int, retry_after: float | None, chance: float
    ) -> None:
        """A pause is never negative and never longer than documented, whatever was asked for."""
        waiting = pause(Outcome(kind, retry_after=retry_after), attempt, lambda: chance)

        assert 0 <= waiting <= RETRY_AFTER_CAP + BLOCKED_CAP

    @given(failures, attempts, asked, chances)
    @quick
    def test_is_at_least_what_the_server_asked_for(
        self, kind: Kind, attempt: int, retry_after: float | None, chance: float
    ) -> None:
        """`Retry-After` is a minimum, up to the clamp; only a new sign-in comes before it."""
        if kind is Kind.UNAUTHORIZED:
            attempt += 1
        waiting = pause(Outcome(kind, retry_after=retry_after), attempt, lambda: chance)

        assert waiting >= asked_for(retry_after)

    @given(attempts, chances)
    @quick
    def test_of_a_passing_trouble_doubles_up_to_its_cap(self, attempt: int, chance: float) -> None:
        """From half to all of half a second, doubled with each failure, to 40 s."""
        ceiling = min(CAP, 0.5 * 2.0 ** min(attempt - 1, 60))

        assert pause(Outcome(Kind.TRY_AGAIN), attempt, lambda: chance) == pytest.approx(
            (1 + chance) / 2 * ceiling
        )

    @given(st.floats(0.1, RETRY_AFTER_CAP), attempts, chances)
    @quick
    def test_that_all_were_told_ends_for_each_at_another_time(
        self, wish: float, attempt: int, chance: float
    ) -> None:
        """A fleet that was told one moment comes back spread over as long again, up to 40 s."""
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
        """Wrong credentials do not become right by asking often: half the ceiling at least."""
        ceiling = min(BLOCKED_CAP, 0.5 * 2.0 ** min(attempt - 1, 60))

        waiting = pause(Outcome(Kind.BLOCKED), attempt, lambda: chance)

        assert ceiling / 2 <= waiting <= ceiling

    @given(st.integers(1, 40), chances)
    @quick
    def test_of_a_blocked_client_grows(self, attempt: int, chance: float) -> None:
        """Each refusal in a row makes the pause longer, up to the cap."""
        now, later = (
            pause(Outcome(Kind.BLOCKED), number, lambda: chance)
            for number in (attempt, attempt + 1)
        )

        assert later > now or later >= BLOCKED_CAP / 2

    def test_after_a_first_401_is_nothing(self) -> None:
        """A token may just have been revoked: signing in anew is worth one try at once."""
        assert pause(Outcome(Kind.UNAUTHORIZED), 1, lambda: 0.5) == 0

    @given(st.integers(2, 10**6), chances)
    @quick
    def test_after_a_second_401_is_that_of_a_blocked_client(
        self, attempt: int, chance: float
    ) -> None:
        """A server that refuses fresh tokens is not asked in a tight loop."""
        unauthorized = pause(Outcome(Kind.UNAUTHORIZED), attempt, lambda: chance)

        assert unauthorized == pause(Outcome(Kind.BLOCKED), attempt, lambda: chance) > 0.4


class TestInterval:
    @given(st.floats(0.001, 86_400), chances)
    @quick
    def test_is_within_ten_percent(self, flush_interval: float, chance: float) -> None:
        """Jitter moves a flush by a tenth at the most."""
        jittered = interval(flush_interval, lambda: chance)

        assert 0.9 * flush_interval <= jittered * (1 + 1e-9)
        assert jittered <= 1.1 * flush_interval * (1 + 1e-9)

    def test_reaches_both_ends(self) -> None:
        """Jitter does use its range, or the flushes of a fleet would fall together."""
        assert interval(10, lambda: 0.0) == pytest.approx(9)
        assert interval(10, lambda: 0.999999) == pytest.approx(11, abs=0.001)


class TestPhase:
    @given(st.floats(0.001, 86_400), chances)
    @quick
    def test_is_spread_evenly_over_one_interval(self, flush_interval: float, chance: float) -> None:
        """From a tenth to eleven tenths: no flush of a fleet's first ones is next to another."""
        spread = phase(flush_interval, lambda: chance) - phase(flush_interval, lambda: 0.0)

        assert phase(flush_interval, lambda: 0.0) == pytest.approx(flush_interval / 10)
        assert spread == pytest.approx(chance * flush_interval, abs=1e-6)


class TestRenewal:
    @given(st.floats(0.001, 1e9), chances)
    @quick
    def test_leaves_a_reserve(self, life: float, chance: float) -> None:
        """A token is renewed one to two reserves before its end: 300 s, or a fifth of its life."""
        reserve = life - renewal(life, lambda: chance)

        assert reserve == pytest.approx(min(300, life / 5) * (1 + chance), rel=1e-6, abs=1e-6)


def http_date(seconds: float) -> str:
    then = datetime.fromtimestamp(NOW, timezone.utc) + timedelta(seconds=seconds)
    return format_datetime(then, usegmt=True)


class TestRetryAfter:
    @given(st.integers(0, 10**9))
    @quick
    def test_takes_seconds(self, seconds: int) -> None:
        """A number is a number of seconds, clamped to 300."""
        assert parse_retry_after(f" {seconds} ", NOW) == min(seconds, RETRY_AFTER_CAP)

    def test_takes_a_number_of_any_length(self) -> None:
        """Ten thousand digits are clamped like any other large number."""
        assert parse_retry_after("9" * 10_000, NOW) == RETRY_AFTER_CAP

    @given(st.integers(-(10**9), 10**9))
    @quick
    def test_takes_a_date(self, seconds: int) -> None:
        """An HTTP date is the time until then: none if it is past, 300 s if it is far."""
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
    def test_takes_obsolete_dates_as_utc(self, date: str) -> None:
        """RFC 9110 has two old forms of dates, and all are UTC wherever the app runs."""
        now = datetime(1994, 11, 6, 8, 49, 7, tzinfo=timezone.utc).timestamp()

        assert parse_retry_after(date, now) == 30

    @pytest.mark.parametrize(
        "text",
        ["", " ", "soon", "-5", "1.5", "1e3", "٣", "²", "0x10", "Sun, 99 Foo 1994 99:99:99 GMT"],
    )
    def test_leaves_what_it_cannot_read(self, text: str) -> None:
        """A header that says nothing is as if it were not there."""
        assert parse_retry_after(text, NOW) is None

    def test_is_none_without_a_header(self) -> None:
        """No header, no wish."""
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
        """Whatever a server or a proxy writes there, it is a bounded time or nothing."""
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
