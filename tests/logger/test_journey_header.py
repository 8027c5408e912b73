"""A header carries a journey to another process. The process that gets the header checks it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.support.processes import python
from voyage_logger._entry.timeline import Timeline
from voyage_logger._logger.journey_header import HEADER, MAX_LENGTH, pack, unpack

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer


@pytest.fixture
def logger(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    return make_logger(transport=recorder, timestamps=False, flush_interval=600)


def test_journey_goes_on_elsewhere(logger: VoyageLogger, recorder: Recorder) -> None:
    """The other process continues the flow, session, user and steps of the journey."""
    with logger.journey("checkout", app_user_id="ü 1;=,", app_username="Jo") as journey:
        journey.step("cart opened")
        carrier = journey.carrier()
    with logger.continue_journey(carrier) as continued:
        continued.step("charged")
    logger.flush()
    first, second = recorder.entries
    for name in ("event_flow_name", "session_id", "app_user_id"):
        assert second[name] == first[name]
    assert "app_username" not in second
    assert second["event_timeline"][0] == first["event_timeline"][0]
    assert [step["step"] for step in second["event_timeline"]] == ["cart opened", "charged"]
    assert (first["meta_data"].get("continued"), second["meta_data"]["continued"]) == (None, True)


def test_carrier_can_be_carried_on(logger: VoyageLogger) -> None:
    """If a second process passes a journey on, the third process gets the first process's steps."""
    with logger.journey("checkout", session_id="s") as journey:
        journey.step("a")
        with logger.continue_journey(journey.carrier()) as second:
            second.step("b")
            carried = unpack(second.carrier())
    assert carried.fields == {"event_flow_name": "checkout", "session_id": "s"}
    assert [name for name, _ in carried.steps] == ["a", "b"]


def test_user_of_the_context_travels(logger: VoyageLogger) -> None:
    """The header carries the user from the context around the journey."""
    with logger.bind(app_user_id="u").journey("checkout") as journey:
        assert unpack(journey.carrier()).fields["app_user_id"] == "u"


def test_carrier_hides_what_entries_hide(make_logger: MakeLogger, recorder: Recorder) -> None:
    """The header leaves out each field that redaction masks."""
    logger = make_logger(transport=recorder, redact=["app_user_id", "SessionID"])
    with logger.journey("checkout", app_user_id="alice@example.com") as journey:
        journey.step("a")
        carried = unpack(journey.carrier())
    assert carried.fields == {"event_flow_name": "checkout"}
    assert [name for name, _ in carried.steps] == ["a"]


@pytest.mark.parametrize("key", ["step", "timestamp"])
def test_carrier_hides_steps(make_logger: MakeLogger, recorder: Recorder, key: str) -> None:
    """The header leaves out the steps if their key is redacted."""
    logger = make_logger(transport=recorder, redact=[key])
    with logger.journey("checkout") as journey:
        journey.step("a")
        assert unpack(journey.carrier()).steps == []


def test_carrier_masks_the_logger_s_secrets(make_logger: MakeLogger, recorder: Recorder) -> None:
    """The header masks the logger's key, secret and token."""
    logger = make_logger(transport=recorder)
    with logger.journey("checkout", session_id="from a-planted-token") as journey:
        journey.step("got a-planted-token")
        recorder.secrets = ("a-planted-token",)  # The transport now uses a new token.
        carried = unpack(journey.carrier())
    assert carried.fields["session_id"] == "from ***"
    assert [name for name, _ in carried.steps] == ["got ***"]


@pytest.mark.parametrize(
    "form",
    [
        lambda value: {"Voyage-Journey": value},
        lambda value: {"HTTP_VOYAGE_JOURNEY": value},
        lambda value: {"other": 1, b"VOYAGE-JOURNEY": value.encode()},
        lambda value: [(b"host", b"x"), (b"voyage-journey", value.encode())],
    ],
    ids=["mapping", "wsgi", "bytes", "asgi"],
)
def test_headers_are_taken_in_all_forms(form: Any) -> None:
    """Headers can be a dict or a list of pairs, as text or bytes, in upper or lower case."""
    assert unpack(form("flow=checkout")).fields == {"event_flow_name": "checkout"}


@pytest.mark.parametrize("carrier", [None, {}, {"other": "x"}, 5, "text", {HEADER: 5}, [1]])
def test_without_a_journey_a_new_one_begins(
    logger: VoyageLogger, recorder: Recorder, carrier: object
) -> None:
    """Without a valid header, a new journey begins."""
    with logger.continue_journey(carrier, "serve"):
        pass
    logger.flush()
    (entry,) = recorder.entries
    assert entry["event_flow_name"] == "serve"
    assert "continued" not in entry["meta_data"]


def test_given_fields_win_over_carried_ones(logger: VoyageLogger, recorder: Recorder) -> None:
    """Fields that the app gives take precedence over fields in the header."""
    carrier = {HEADER: "flow=checkout;user=mallory;session=s"}
    with logger.continue_journey(carrier, "serve", app_user_id="alice"):
        pass
    logger.flush()
    (entry,) = recorder.entries
    assert (entry["event_flow_name"], entry["app_user_id"], entry["session_id"]) == (
        "checkout",
        "alice",
        "s",
    )


def test_flow_s_name_can_be_forced(logger: VoyageLogger, recorder: Recorder) -> None:
    """The name of the flow comes from the header, unless the app gives `event_flow_name`."""
    with logger.continue_journey({HEADER: "flow=checkout"}, event_flow_name="charge"):
        pass
    logger.flush()
    (entry,) = recorder.entries
    assert (entry["event_flow_name"], entry["message"]) == ("charge", "Journey charge completed")


@pytest.mark.parametrize("is_wanted", [True, False])
def test_continued_journey_opens_a_ticket_where_wanted(
    logger: VoyageLogger, recorder: Recorder, is_wanted: bool
) -> None:
    """`ticket_on_error` also works for a continued journey."""
    carrier = {HEADER: "flow=checkout;session=s"}
    with (
        pytest.raises(ValueError, match="x"),
        logger.continue_journey(carrier, ticket_on_error=is_wanted),
    ):
        raise ValueError("x")
    logger.flush()
    assert recorder.entries[0].get("add_ticket", False) is is_wanted


@pytest.mark.parametrize(
    ("header", "fields", "steps"),
    [
        ("user=a%0d%0ab", {"app_user_id": "ab"}, []),
        ("user=%1b[31mred", {"app_user_id": "[31mred"}, []),
        ("user=" + "x" * 500, {"app_user_id": "x" * 128}, []),
        ("user=first;user=second", {"app_user_id": "first"}, []),
        ("user=%ff%", {"app_user_id": "\ufffd%"}, []),
        ("user=;flow", {}, []),
        ("level=critical;add_ticket=1", {}, []),
        ("step=a@1;step=b@x;step=@3;step=c;step=d@-4;step=e@1e3;step=f@²", {}, [("a", 1)]),
        ("step=a@99999999999999999999;step=b@9999999999999;step=c@5", {}, [("c", 5)]),
        (";".join(["step=a@1"] * 200), {}, [("a", 1)] * 100),
        ("user=x;" * 1000, {}, []),
    ],
)
def test_values_from_outside_are_cleaned(
    header: str, fields: dict[str, str], steps: list[Any]
) -> None:
    """The values of a header are cleaned: control characters and invalid numbers are removed."""
    carried = unpack({HEADER: header})
    assert (carried.fields, carried.steps) == (fields, steps)


def test_endless_headers_come_to_an_end() -> None:
    """If the list of headers is endless, only a limited number of headers is read."""
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while taken < 10_000:
            taken += 1
            yield (f"header-{taken}", "x")

    assert unpack(endless()).fields == {}
    assert taken <= 1001


def test_header_in_an_odd_text_is_read() -> None:
    """A header whose value is a subclass of `str` is read as text."""
    assert unpack({HEADER: HostileText("flow=x")}).fields == {"event_flow_name": "x"}


def test_values_that_grow_when_quoted_still_fit() -> None:
    """If values become too long in percent-encoding, the values are cut."""
    fields = dict.fromkeys(("event_flow_name", "session_id", "app_user_id"), "\U0001f98a" * 128)
    (header,) = pack(fields, []).values()
    assert len(header) <= MAX_LENGTH
    carried = unpack({HEADER: header}).fields
    assert len(carried) == 3
    assert all(text == "\U0001f98a" * len(text) and len(text) > 20 for text in carried.values())


class Hostile:
    def __iter__(self) -> Any:
        raise RuntimeError("no")

    items = keys = __iter__


class HostileText(str):
    __slots__ = ()

    def lower(self) -> Any:
        raise RuntimeError("no")

    strip = partition = split = __len__ = __getitem__ = lower  # type: ignore[assignment]


texts = st.text(st.characters(exclude_categories=()), max_size=300)
parts = st.builds("{}={}".format, st.sampled_from(["flow", "session", "user", "step", ""]), texts)
values = (
    texts
    | texts.map(HostileText)
    | st.binary(max_size=300)
    | st.lists(parts, max_size=8).map(";".join)
    | st.none()
    | st.integers()
)
keys = st.sampled_from([HEADER, "Voyage-Journey", b"voyage-journey", 5, None]) | texts


@given(
    st.dictionaries(keys, values, max_size=4)
    | st.lists(st.tuples(keys, values), max_size=4)
    | st.lists(values, max_size=3)
    | st.builds(Hostile)
)
@examples(max_examples=200, deadline=None)
def test_hostile_carriers_raise_nothing(carrier: object) -> None:
    """For any header, `unpack` returns only short, printable values of the right type."""
    carried = unpack(carrier)
    assert set(carried.fields) <= {"event_flow_name", "session_id", "app_user_id"}
    for text in (*carried.fields.values(), *(name for name, _ in carried.steps)):
        assert type(text) is str
        assert text.isprintable()
        assert 1 <= len(text) <= 128
    assert all(0 <= moment <= 1 << 43 for _, moment in carried.steps)


@given(st.tuples(texts, texts, texts), st.lists(texts, max_size=60))
@examples(max_examples=100, deadline=None)
def test_carriers_are_safe_in_any_header(names: tuple[str, str, str], steps: list[str]) -> None:
    """For any journey, the header is short, has only ASCII, and can be read by `unpack`."""
    timeline = Timeline()
    for name in steps:
        timeline.add(name)
    fields = dict(zip(("event_flow_name", "session_id", "app_user_id"), names, strict=True))
    (header,) = pack(fields, timeline.steps()).values()
    assert len(header) <= MAX_LENGTH
    assert header.isascii()
    assert header.isprintable() or not header
    assert " " not in header
    carried = unpack({HEADER: header})
    for name, value in carried.fields.items():
        assert "".join(filter(str.isprintable, fields[name][:128])).strip().startswith(value)
    kept = [step for _, step, _ in timeline.steps()]
    assert len(carried.steps) <= len(kept)


def test_steps_that_do_not_fit_are_the_oldest() -> None:
    """If the header has no room for all steps, it carries the latest steps in order."""
    timeline = Timeline((f"step {number} {'x' * 90}", number) for number in range(30))
    carried = unpack(pack({"event_flow_name": "checkout"}, timeline.steps()))
    times = [moment for _, moment in carried.steps]
    assert 10 < len(times) < 30
    assert times == list(range(30))[-len(times) :]


def test_journey_crosses_processes(server: DevServer, make_logger: MakeLogger) -> None:
    """A child process that gets the header logs in the same session."""
    code = (
        "import json, sys; from voyage_logger import VoyageLogger;"
        "logger = VoyageLogger('worker');\n"
        "with logger.continue_journey(json.loads(sys.argv[1])) as journey:\n"
        "    journey.step('charged')\n"
        "logger.flush()"
    )
    logger = make_logger("shop")
    with logger.journey("checkout") as journey:
        journey.step("cart_opened")
        done = python("-c", code, json.dumps(journey.carrier()), environ=server.environ)
    assert done.returncode == 0, done.stderr
    assert logger.flush()
    worker, shop = server.entries()
    assert (worker["app_name"], shop["app_name"]) == ("worker", "shop")
    assert worker["session_id"] == shop["session_id"]
    assert [step["step"] for step in worker["event_timeline"]] == ["cart_opened", "charged"]
