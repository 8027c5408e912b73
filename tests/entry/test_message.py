"""A mapping as the second argument fills placeholders or becomes fields, and `msg` is a message."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.loggers import MakeLogger, Recorder
    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

REQUIRED = {"message", "level", "app_name", "environment"}


@pytest.fixture
def plain(make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
    """Return a logger that adds no fields of its own."""
    return make_logger(
        transport=recorder, timestamps=False, capture_method=False, flush_interval=600
    )


def sent_by(logger: VoyageLogger, recorder: Recorder) -> tuple[str, dict[str, Any]]:
    """Return the message of the only entry that was sent, and the fields of this entry."""
    assert logger.flush()
    (entry,) = recorder.entries
    fields = {name: value for name, value in entry.items() if name not in REQUIRED}
    return entry["message"], fields


@pytest.mark.parametrize(
    "method", ["debug", "info", "warn", "warning", "error", "critical", "exception"]
)
def test_dict_as_second_argument_becomes_fields(
    server: DevServer, logger: VoyageLogger, method: str
) -> None:
    """If the second argument is a dict, its items are fields, as in the vendor's JavaScript."""
    getattr(logger, method)("Signed in", {"app_user_id": "u1", "add_ticket": True, "cart": [1, 2]})
    assert logger.flush()
    (entry,) = server.entries()
    assert (entry["message"], entry["app_user_id"]) == ("Signed in", "u1")
    assert (entry["add_ticket"], entry["cart"]) == (True, [1, 2])


def test_dict_with_a_ticket_is_sent_at_once(server: DevServer, logger: VoyageLogger) -> None:
    """If the dict contains `add_ticket`, the entry is sent immediately, like any ticket."""
    logger.log("error", "Payment failed", {"add_ticket": True})
    server.wait_for_entries(1, timeout=30)
    assert server.entries()[0]["add_ticket"] is True


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict])
def test_any_mapping_becomes_fields(plain: VoyageLogger, recorder: Recorder, kind: Any) -> None:
    """The second argument can be a mapping of any type."""
    plain.info("x", kind(app_user_id="u1"))
    assert sent_by(plain, recorder) == ("x", {"app_user_id": "u1"})


@pytest.mark.parametrize(
    ("message", "mapping", "text"),
    [
        ("%(a)s of %(b)d", {"a": "x", "b": 2, "c": 3}, "x of 2"),
        ("the data: %s", {"a": 1}, "the data: {'a': 1}"),
        ("the data: %r", {"a": "b"}, "the data: {'a': 'b'}"),
        ("the data: %s", {}, "the data: {}"),
        ("%(a)s is 100%%", {"a": 1}, "1 is 100%"),
    ],
)
def test_mapping_that_fills_placeholders_is_part_of_the_text(
    plain: VoyageLogger, recorder: Recorder, message: str, mapping: dict[str, Any], text: str
) -> None:
    """A mapping that the placeholders use is part of the message, as in `logging`."""
    plain.info(message, mapping)
    assert sent_by(plain, recorder) == (text, {})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ("100 %", "100 %"),
        ("100%% sure", "100% sure"),
        ("50%done", "50%done"),
        ("10% (all items)", "10% (all items)"),
        ("%(missing)s", "%(missing)s"),
        ("%(app_user_id)d", "%(app_user_id)d"),
        (5, "5"),
    ],
)
def test_mapping_that_fills_no_placeholder_becomes_fields(
    plain: VoyageLogger, recorder: Recorder, message: object, text: str
) -> None:
    """If a mapping fills no placeholder, or cannot fill the placeholders, its items are fields."""
    plain.info(message, {"app_user_id": "u1"})
    assert sent_by(plain, recorder) == (text, {"app_user_id": "u1"})


def test_empty_dict_adds_nothing(plain: VoyageLogger, recorder: Recorder) -> None:
    """An empty dict as the second argument changes neither the message nor the fields."""
    plain.info("x", {})
    assert sent_by(plain, recorder) == ("x", {})


def test_several_arguments_stay_part_of_the_text(plain: VoyageLogger, recorder: Recorder) -> None:
    """A dict that is not the only argument is part of the message."""
    plain.info("x", {"a": 1}, {"b": 2})
    assert sent_by(plain, recorder) == ("x {'a': 1} {'b': 2}", {})


def test_keywords_take_precedence_over_the_dict(plain: VoyageLogger, recorder: Recorder) -> None:
    """Keywords take precedence over the dict, and the dict over the context and `bind`."""
    with plain.context(session_id="context", app_user_id="context", meta_data={"c": 1, "d": 1}):
        plain.bind(event_name="bound", session_id="bound").info(
            "x",
            {"app_user_id": "dict", "app_username": "dict", "meta_data": {"d": 2, "k": 2}},
            app_username="keyword",
            meta_data={"k": 3},
        )
    assert sent_by(plain, recorder) == (
        "x",
        {
            "event_name": "bound",
            "session_id": "context",
            "app_user_id": "dict",
            "app_username": "keyword",
            "meta_data": {"c": 1, "d": 2, "k": 3},
        },
    )


def test_dict_is_not_changed(plain: VoyageLogger, recorder: Recorder) -> None:
    """The client does not change the dict of the app, and the entry does not change later."""
    data = {"message": "theirs", "level": 9, "exc_info": None, "app_user_id": "u1"}
    plain.info("ours", data)
    data["app_user_id"] = "u2"
    assert data == {"message": "theirs", "level": 9, "exc_info": None, "app_user_id": "u2"}
    meta_data = {"level": 9, "message": "theirs"}
    assert sent_by(plain, recorder) == ("ours", {"app_user_id": "u1", "meta_data": meta_data})


class Name(str, Enum):
    USER = "app_user_id"


def test_keys_that_are_no_names_go_to_meta_data(plain: VoyageLogger, recorder: Recorder) -> None:
    """A key that is not a text is kept in `meta_data`. A text of a subclass is a field name."""
    plain.info("x", {4711: "left", Name.USER: "u1", "meta_data": {"own": 1}})
    assert sent_by(plain, recorder) == (
        "x",
        {"app_user_id": "u1", "meta_data": {"4711": "left", "own": 1}},
    )


def test_secret_in_the_dict_is_masked(plain: VoyageLogger, recorder: Recorder) -> None:
    """The client masks the values of the dict by their keys."""
    plain.info("x", {"password": "hunter2"})
    assert sent_by(plain, recorder) == ("x", {"password": "***"})


class Broken(Mapping[str, Any]):
    """A mapping whose methods all raise an exception."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError

    __repr__ = __bool__ = __len__  # type: ignore[assignment]


@pytest.mark.parametrize("message", ["x", "%(a)s", "%s"])
def test_broken_mapping_costs_only_itself(
    plain: VoyageLogger, recorder: Recorder, message: str
) -> None:
    """A mapping whose methods raise exceptions is marked, and the rest of the entry is sent."""
    plain.info(message, Broken(), app_user_id="u1")
    text, fields = sent_by(plain, recorder)
    assert (text, fields["app_user_id"]) == (message, "u1")
    assert "<unprintable Broken>" in fields.values()


class Proxy:
    """A proxy object of a dict, such as the proxies of werkzeug."""

    __class__ = property(lambda _: dict)

    def __getitem__(self, key: str) -> str:
        return f"value of {key}"

    def __repr__(self) -> str:
        return "proxy"


@pytest.mark.parametrize(("message", "text"), [("%(a)s", "value of a"), ("x", "x proxy")])
def test_proxy_of_a_mapping_is_part_of_the_text(
    plain: VoyageLogger, recorder: Recorder, message: str, text: str
) -> None:
    """A proxy of a mapping fills placeholders as in `logging`, and is never left out."""
    plain.info(message, Proxy())
    assert sent_by(plain, recorder) == (text, {})


def test_ctrl_c_in_a_placeholder_reaches_the_app(plain: VoyageLogger, recorder: Recorder) -> None:
    """If Ctrl-C comes while a placeholder is filled, the app gets the `KeyboardInterrupt`."""

    class Slow:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain.info("%(slow)s", {"slow": Slow()})
    assert plain.flush()
    assert recorder.entries == []


def test_value_of_a_placeholder_is_printed_once(plain: VoyageLogger, recorder: Recorder) -> None:
    """The client prints a value for a placeholder only once, because this can run a query."""
    printed = []

    class Row:
        def __str__(self) -> str:
            printed.append(self)
            return "row"

    plain.info("%(row)s", {"row": Row()})
    assert sent_by(plain, recorder) == ("row", {})
    assert len(printed) == 1


def test_dict_decides_what_sample_leaves_out(make_logger: MakeLogger, recorder: Recorder) -> None:
    """The option `sample` keeps an entry whose dict opens a ticket."""
    logger = make_logger(transport=recorder, sample={"info": 0.0}, flush_interval=600)
    logger.info("left out", {"app_user_id": "u1"})
    logger.info("kept", {"add_ticket": True})
    assert logger.flush()
    assert [entry["message"] for entry in recorder.entries] == ["kept"]


def test_ticket_cooldown_compares_unformatted_messages(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """For `ticket_cooldown`, messages with different values from dicts are one incident."""
    logger = make_logger(transport=recorder, ticket_cooldown=60, flush_interval=600)
    for order in (1, 2):
        logger.error("Order %(order)s failed", {"order": order}, add_ticket=True)
    assert logger.flush()
    found = [(entry["message"], entry.get("add_ticket")) for entry in recorder.entries]
    assert found == [("Order 1 failed", True), ("Order 2 failed", None)]


def test_failure_of_the_encoder_keeps_the_unformatted_message(
    make_logger: MakeLogger, recorder: Recorder
) -> None:
    """If an entry cannot be made, its unformatted message is sent."""
    logger = make_logger(transport=recorder, before_send=lambda _: {"level": Level()})
    logger.error("Order %s failed", "A-17")
    assert logger.flush()
    assert recorder.entries[0]["message"] == "Order %s failed"


class Level:
    """A level whose type cannot be checked."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError


@pytest.mark.parametrize("method", ["info", "log"])
def test_msg_is_taken_as_the_message(
    plain: VoyageLogger, recorder: Recorder, said: Any, method: str
) -> None:
    """If `msg=` is the only message, it is the message of the entry, and one line says so."""
    for number in range(2):
        getattr(plain, method)(msg=f"text {number}", app_user_id="u1")
    assert plain.flush()
    assert [entry["message"] for entry in recorder.entries] == ["text 0", "text 1"]
    assert all("msg" not in entry for entry in recorder.entries)
    (line,) = said()
    assert line == (
        "voyage-logger: msg= is taken as the message: pass the message first, or as message="
    )


@pytest.mark.parametrize("given", [{"args": ("x",)}, {"message": "x"}])
def test_msg_beside_a_message_is_a_field(
    plain: VoyageLogger, recorder: Recorder, said: Any, given: dict[str, Any]
) -> None:
    """If the call has a message, `msg` is a field like any other."""
    fields: dict[str, Any] = {"msg": "own", **given}
    plain.info(*fields.pop("args", ()), **fields)
    assert sent_by(plain, recorder) == ("x", {"msg": "own"})
    assert said() == []


def test_ctrl_c_in_the_text_of_an_argument_reaches_the_app(plain: VoyageLogger) -> None:
    """If Ctrl-C comes in the `__str__` of an argument, the app gets the `KeyboardInterrupt`."""

    class Slow:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain.info("%s", Slow())
