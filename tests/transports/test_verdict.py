"""What an answer of the API means for the batch."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger.transports._outcome import Kind
from voyage_logger.transports._verdict import Answer, batch_outcome, sign_in_outcome

NOW = 1_800_000_000.0
STATUSES = range(200, 600)
LINE = 250  # characters of the longest line that a person is shown


def answer(
    status: int,
    body: bytes = b"",
    content_type: str = "application/json",
    retry_after: str | None = None,
    location: str | None = None,
) -> Answer:
    return Answer(status, content_type, retry_after, location, body)


def documented(status: int) -> Kind:
    """The table of DESIGN section 6, written out once more."""
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
    return Kind.BLOCKED  # 3xx, 403 and the other 4xx: the entries are not to blame


class TestBatch:
    def test_each_status_means_what_is_documented(self) -> None:
        """Every status has the consequence that the documentation names, and is passed on."""
        outcomes = [batch_outcome(answer(status), NOW) for status in STATUSES]

        assert {outcome.status: outcome.kind for outcome in outcomes} == {
            status: documented(status) for status in STATUSES
        }
        assert not any(outcome.is_sign_in for outcome in outcomes)

    @pytest.mark.parametrize("status", [200, 201, 204])
    @pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8"])
    def test_a_page_is_no_delivery(self, status: int, content_type: str) -> None:
        """A captive portal that says 200 has not taken the entries."""
        outcome = batch_outcome(answer(status, b"<html>", content_type), NOW)

        assert outcome.kind is Kind.TRY_AGAIN
        assert "not the API" in outcome.detail

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
    def test_any_other_success_is_a_delivery(self, content_type: str) -> None:
        """The API's 200 counts whatever it calls its body."""
        assert batch_outcome(answer(200, b"ok", content_type), NOW)

    def test_a_page_with_an_error_keeps_the_meaning_of_its_status(self) -> None:
        """A proxy's page for 413 is as good as the API's own."""
        assert batch_outcome(answer(413, b"<html>", "text/html"), NOW).kind is Kind.TOO_LARGE

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_named(self, status: int) -> None:
        """A person is told of a redirect, and that it is not followed."""
        outcome = batch_outcome(answer(status, location="https://elsewhere.example"), NOW)

        assert outcome.kind is Kind.BLOCKED
        assert "redirect" in outcome.detail

    @pytest.mark.parametrize("status", [403, 429, 503])
    def test_the_wish_to_wait_is_passed_on(self, status: int) -> None:
        """`Retry-After` reaches the worker as seconds."""
        assert batch_outcome(answer(status, retry_after="7"), NOW).retry_after == 7


class TestSignIn:
    def test_no_failure_is_about_an_entry(self) -> None:
        """A sign-in that gave no token either passes or blocks; it never rejects entries."""
        for status in STATUSES:
            outcome = sign_in_outcome(answer(status), NOW)
            passes = documented(status) in (Kind.TRY_AGAIN, Kind.DELIVERED)

            assert outcome.kind is (Kind.TRY_AGAIN if passes else Kind.BLOCKED), status
            assert outcome.is_sign_in
            assert outcome.detail.startswith("sign-in: ")


class TestWords:
    def test_repeat_what_the_server_said(self) -> None:
        """The server's own words reach the person who reads the report."""
        body = json.dumps({"error": "Bad Request", "message": "level is unknown"}).encode()

        detail = batch_outcome(answer(400, body), NOW).detail

        assert detail == "HTTP 400 Bad Request: level is unknown"

    def test_name_the_status_at_least(self) -> None:
        """An answer without words has its status."""
        assert batch_outcome(answer(404), NOW).detail == "HTTP 404"

    @given(st.integers(300, 599), st.binary(max_size=600))
    @settings(max_examples=50, deadline=None)
    def test_are_a_short_printable_line_for_any_body(self, status: int, body: bytes) -> None:
        """No body can fill the terminal, move its cursor or forge another line."""
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
        """The same for JSON of any shape, lone surrogates and control characters included."""
        body = json.dumps({"error": said, "message": said}).encode()

        detail = batch_outcome(answer(400, body), NOW).detail

        assert detail.isprintable()
        assert len(detail) < LINE
        detail.encode()

    @pytest.mark.parametrize(
        "said", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\ud800b", "a\x00\x7fb", "a\r"]
    )
    def test_cannot_move_the_cursor(self, said: str) -> None:
        """What a terminal would act on is not repeated to one."""
        detail = batch_outcome(answer(400, json.dumps({"error": said}).encode()), NOW).detail

        assert detail.isprintable()
        assert detail.startswith("HTTP 400 a")

    @pytest.mark.parametrize("depth", [100, 900, 960, 980, 990, 50_000])
    @pytest.mark.parametrize("form", [b"%s", b'{"error":%s}'])
    def test_a_deeply_nested_answer_keeps_the_meaning_of_its_status(
        self, depth: int, form: bytes
    ) -> None:
        """A 400 is a 400, also when its body would exhaust the stack of a parser."""
        body = form % (b"[" * depth + b"]" * depth)

        assert batch_outcome(answer(400, body), NOW).kind is Kind.REFUSED

    def test_a_number_of_any_length_is_no_trouble(self) -> None:
        """A body that `int` refuses to read is left unread."""
        body = b'{"error":' + b"9" * 10_000 + b"}"

        assert batch_outcome(answer(422, body), NOW).kind is Kind.REFUSED
