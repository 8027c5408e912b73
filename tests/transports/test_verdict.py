"""Tests of the meaning that each HTTP answer has for the batch."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger.transports._outcome import Kind
from voyage_logger.transports._verdict import Answer, batch_outcome, sign_in_outcome

NOW = 1_800_000_000.0
STATUSES = range(200, 600)
LINE = 250  # the maximum length of a message, in characters


def answer(
    status: int,
    body: bytes = b"",
    content_type: str = "application/json",
    retry_after: str | None = None,
    location: str | None = None,
) -> Answer:
    return Answer(status, content_type, retry_after, location, body)


def documented(status: int) -> Kind:
    """Return the `Kind` that the documentation names for a status."""
    if 200 <= status < 300:
        return Kind.DELIVERED
    if status == 401:
        return Kind.UNAUTHORIZED
    if status in (408, 425, 429) or 500 <= status < 600:
        return Kind.TRY_AGAIN
    if status == 413:
        return Kind.TOO_LARGE
    if status in (400, 422):
        return Kind.REFUSED
    return Kind.BLOCKED  # 3xx, 403 and other 4xx, which do not concern the entries


class TestBatch:
    def test_each_status_means_what_is_documented(self) -> None:
        """Each status gives the documented `Kind`, and the outcome names the status."""
        outcomes = [batch_outcome(answer(status), NOW) for status in STATUSES]

        assert {outcome.status: outcome.kind for outcome in outcomes} == {
            status: documented(status) for status in STATUSES
        }
        assert not any(outcome.is_sign_in for outcome in outcomes)

    @pytest.mark.parametrize("status", [200, 201, 204])
    @pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8"])
    def test_a_page_is_no_delivery(self, status: int, content_type: str) -> None:
        """If the answer is an HTML page with status 200, the batch does not count as delivered."""
        outcome = batch_outcome(answer(status, b"<html>", content_type), NOW)

        assert outcome.kind is Kind.TRY_AGAIN
        assert "not the API" in outcome.detail

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
    def test_any_other_success_is_a_delivery(self, content_type: str) -> None:
        """After a 200 with any content type except HTML, the batch counts as delivered."""
        assert batch_outcome(answer(200, b"ok", content_type), NOW)

    def test_a_page_with_an_error_keeps_the_meaning_of_its_status(self) -> None:
        """An HTML page with an error status means the same as this status from the API."""
        assert batch_outcome(answer(413, b"<html>", "text/html"), NOW).kind is Kind.TOO_LARGE

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_named(self, status: int) -> None:
        """After a redirect, the message says that the client does not follow redirects."""
        outcome = batch_outcome(answer(status, location="https://elsewhere.example"), NOW)

        assert outcome.kind is Kind.BLOCKED
        assert "redirect" in outcome.detail

    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_retry_after_reaches_the_worker(self, status: int) -> None:
        """The outcome holds the time from `Retry-After`, in seconds."""
        assert batch_outcome(answer(status, retry_after="7"), NOW).retry_after == 7


class TestSignIn:
    def test_no_failure_is_about_an_entry(self) -> None:
        """A failed sign-in is a temporary or permanent failure. It never rejects entries."""
        for status in STATUSES:
            outcome = sign_in_outcome(answer(status), NOW)
            passes = documented(status) in (Kind.TRY_AGAIN, Kind.DELIVERED)

            assert outcome.kind is (Kind.TRY_AGAIN if passes else Kind.BLOCKED), status
            assert outcome.is_sign_in
            assert outcome.detail.startswith("sign-in: ")


class TestWords:
    def test_repeat_what_the_server_said(self) -> None:
        """The message contains the error text of the server."""
        body = json.dumps({"error": "Bad Request", "message": "level is unknown"}).encode()

        detail = batch_outcome(answer(400, body), NOW).detail

        assert detail == "HTTP 400 Bad Request: level is unknown"

    def test_name_the_status_at_least(self) -> None:
        """If the server sends no error text, the message names the status."""
        assert batch_outcome(answer(404), NOW).detail == "HTTP 404"

    @given(st.integers(300, 599), st.binary(max_size=600))
    @settings(max_examples=50, deadline=None)
    def test_are_a_short_printable_line_for_any_body(self, status: int, body: bytes) -> None:
        """For any body of the answer, the message is one short printable line."""
        for outcome in (
            batch_outcome(answer(status, body), NOW),
            sign_in_outcome(answer(status, body), NOW),
        ):
            assert outcome.detail.isprintable()
            assert len(outcome.detail) < LINE

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters(exclude_categories=()), max_size=300),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["error", "message", "detail", "x"]), inner, max_size=4
                )
            ),
            max_leaves=10,
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_are_a_short_printable_line_for_any_json(self, said: object) -> None:
        """For any JSON body of the answer, the message is one short printable line."""
        body = json.dumps({"error": said, "message": said}).encode()

        detail = batch_outcome(answer(400, body), NOW).detail

        assert detail.isprintable()
        assert len(detail) < LINE
        detail.encode()

    @pytest.mark.parametrize(
        "said", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\ud800b", "a\x00\x7fb", "a\r"]
    )
    def test_cannot_move_the_cursor(self, said: str) -> None:
        """The message contains no control characters from the server's answer."""
        detail = batch_outcome(answer(400, json.dumps({"error": said}).encode()), NOW).detail

        assert detail.isprintable()
        assert detail.startswith("HTTP 400 a")

    @pytest.mark.parametrize("depth", [100, 900, 960, 980, 990, 50_000])
    @pytest.mark.parametrize("form", [b"%s", b'{"error":%s}'])
    def test_a_deeply_nested_answer_keeps_the_meaning_of_its_status(
        self, depth: int, form: bytes
    ) -> None:
        """A 400 has its usual meaning, even if its body is nested too deeply for the parser."""
        body = form % (b"[" * depth + b"]" * depth)

        assert batch_outcome(answer(400, body), NOW).kind is Kind.REFUSED

    def test_a_number_of_any_length_is_no_trouble(self) -> None:
        """If the answer's body has a number that is too long for `int`, the body is ignored."""
        body = b'{"error":' + b"9" * 10_000 + b"}"

        assert batch_outcome(answer(422, body), NOW).kind is Kind.REFUSED


class TestRetryAfterDate:
    """The time of the answer is read from the answer, because the client's clock can be wrong."""

    LATER = "Wed, 21 Oct 2026 07:28:30 GMT"

    @pytest.mark.parametrize("skew", [-3600.0, 0.0, 3600.0])
    def test_is_compared_with_the_date_of_the_answer(self, skew: float) -> None:
        """A date in `Retry-After` gives the same pause, even if the client's clock is wrong."""
        found = Answer(503, "", self.LATER, None, b"", "Wed, 21 Oct 2026 07:28:00 GMT")
        now = 1_792_567_680.0 + skew
        assert batch_outcome(found, now).retry_after == 30
        assert sign_in_outcome(found, now).retry_after == 30

    @pytest.mark.parametrize("date", [None, "", "yesterday", "Wed, 99 Oct 2026 07:28:00 GMT"])
    def test_is_compared_with_the_client_s_clock_otherwise(self, date: str | None) -> None:
        """If the answer has no valid `Date`, a date in `Retry-After` is read by the own clock."""
        found = Answer(503, "", self.LATER, None, b"", date)
        assert batch_outcome(found, 1_792_567_680.0).retry_after == 30
