"""A logger never sends the value of a secret field, or its own key, secret or token."""

from __future__ import annotations

import contextlib
import json
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.support.loggers import Recorder
from voyage_logger import DEFAULT_REDACTED_KEYS, ConfigurationError, VoyageLogger
from voyage_logger._entry.encoding import encode
from voyage_logger._entry.json_codecs import dumps
from voyage_logger._entry.redaction import MASK, Redaction, Secrets
from voyage_logger._entry.safe_text import MAX_DEPTH
from voyage_logger._entry.trimming import bare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

HIDDEN = "hunter2-hunter2"
LIMIT = 1 << 20


@dataclass
class Account:
    name: str
    password: str


class Attribute:
    def __init__(self, name: str) -> None:
        self.name = name


class Attrs:
    __attrs_attrs__ = (Attribute("name"), Attribute("api_key"))

    def __init__(self, name: str, api_key: str) -> None:
        self.name, self.api_key = name, api_key


class Model:
    def model_dump(self) -> dict[str, Any]:
        return {"name": "n", "token": HIDDEN}


def masked(entry: dict[str, Any], limit: int = LIMIT, **options: Any) -> Any:
    """Return the entry as a server would receive it."""
    options.setdefault("keys", DEFAULT_REDACTED_KEYS)
    return json.loads(encode(entry, limit, Redaction(**options)))


@pytest.mark.parametrize(
    "key",
    [
        *sorted(DEFAULT_REDACTED_KEYS),
        "Password",
        "PASSWORD",
        "accessToken",
        "Access-Token",
        "access token",
        "access.token",
        "Set-Cookie",
        "X-API-Key",
        "__token__",
    ],
)
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_values_of_secret_keys_are_masked(key: str, odd: object) -> None:
    """The value of a secret key is masked, in any spelling and at any depth."""
    inner = {key: {"deep": HIDDEN}, "name": "n"}
    found = masked({key: HIDDEN, "meta_data": {"list": [{"a": inner}], key: [HIDDEN]}, "odd": odd})
    assert HIDDEN not in json.dumps(found)
    assert found[key] == found["meta_data"][key] == MASK
    assert found["meta_data"]["list"][0]["a"] == {key: MASK, "name": "n"}


@pytest.mark.parametrize("key", ["password" + "-" * 300, "-" * 300 + "token", "pass\ud800word"])
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_secret_key_is_recognized_before_it_is_cut(key: str, odd: object) -> None:
    """The value of a secret key is masked, even if the key itself must be cut or escaped."""
    found = masked({key: HIDDEN, "meta_data": {key: [HIDDEN], "inner": {key: HIDDEN}}, "odd": odd})
    assert HIDDEN not in json.dumps(found)


def test_only_the_beginning_of_a_huge_key_is_compared() -> None:
    """Only the first 65,536 characters of a huge key are compared with secret names."""
    read = []

    class Text(str):
        __slots__ = ()

        def __getitem__(self, place: Any) -> str:
            part = super().__getitem__(place)
            read.append(len(part))
            return part

    assert not Redaction(DEFAULT_REDACTED_KEYS).hides(Text("x" * 10_000_000))
    assert read == [1 << 16]


@pytest.mark.parametrize(
    "key",
    [
        "authenticated",
        "author",
        "token_count",
        "tokens",
        "password_changed_at",
        "secretary",
        "session_id",
        "cookie_banner",
        "key",
        "passwords",
    ],
)
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_values_of_similar_keys_are_sent(key: str, odd: object) -> None:
    """Only whole names are compared: "auth" is masked, but "authenticated" is not masked."""
    assert masked({"meta_data": {key: "seen"}, "odd": odd})["meta_data"] == {key: "seen"}


def test_documented_fields_are_sent_as_they_are(server: DevServer, make_logger: MakeLogger) -> None:
    """The default secret names do not mask any documented field of the API."""
    fields: dict[str, Any] = {
        "event_name": "e",
        "event_flow_name": "f",
        "app_user_id": "u",
        "app_username": "n",
        "app_useremail": "m@x",
        "session_id": "s",
        "method_name": "m",
        "tags": ["token"],
        "exception_info": "x",
        "add_ticket": True,
        "event_timeline": [{"step": "secret", "timestamp": 1}],
    }
    logger = make_logger(timestamps=False)
    logger.info("password", **fields)
    assert logger.flush()
    (entry,) = server.entries()
    assert {name: entry[name] for name in fields} == fields
    assert entry["message"] == "password"


def test_required_fields_are_never_masked(server: DevServer, make_logger: MakeLogger) -> None:
    """If "level" is a secret name, only keys in `meta_data` are masked, not the entry's level."""
    names = ["message", "level", "app_name", "environment", "meta_data", "tags", "app_useremail"]
    for odd in (None, {1}):
        logger = make_logger(redact=names)
        logger.info("hello", app_useremail="m@x", tags=["t"], meta_data={"level": "x", "odd": odd})
        assert logger.flush()
        entry = server.entries()[-1]
        assert (entry["message"], entry["tags"], entry["app_useremail"]) == ("hello", ["t"], MASK)
        assert entry["meta_data"]["level"] == MASK


@pytest.mark.parametrize(
    "value",
    [
        Account("n", HIDDEN),
        Attrs("n", HIDDEN),
        Model(),
        OrderedDict(name="n", password=HIDDEN),
        {b"Authorization": HIDDEN, "name": "n"},
        ({"password": HIDDEN}, "n"),
    ],
    ids=["dataclass", "attrs", "pydantic", "mapping", "bytes as keys", "tuple"],
)
def test_secret_keys_of_objects_are_masked(value: object) -> None:
    """If an instance is sent as a JSON object, the values of its secret fields are masked."""
    found = json.dumps(masked({"value": value}))
    assert HIDDEN not in found
    assert '"n"' in found


@pytest.mark.parametrize("depth", range(MAX_DEPTH - 3, MAX_DEPTH + 4))
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_no_secret_passes_at_the_bound_of_nesting(depth: int, odd: object) -> None:
    """A secret near the nesting limit is masked or cut, but never sent."""
    value: Any = {"password": HIDDEN, "odd": odd}
    for _ in range(depth):
        value = {"in": value}
    assert HIDDEN not in json.dumps(masked({"meta_data": value}))


def test_caller_s_data_is_not_changed() -> None:
    """Masking does not change the data of the app."""
    data = {"password": HIDDEN, "list": [{"token": HIDDEN}]}
    masked({"meta_data": data})
    assert data == {"password": HIDDEN, "list": [{"token": HIDDEN}]}


@pytest.mark.parametrize("names", [None, (), []])
def test_redaction_can_be_turned_off(make_logger: MakeLogger, names: Any) -> None:
    """With `redact=None` or an empty list, even the value of "password" is sent."""
    recorder = Recorder()
    logger = make_logger(transport=recorder, redact=names)
    logger.info("x", meta_data={"password": HIDDEN})
    logger.flush()
    assert recorder.entries[0]["meta_data"]["password"] == HIDDEN


def test_names_can_be_added(make_logger: MakeLogger) -> None:
    """If "iban" is added to `DEFAULT_REDACTED_KEYS`, the value of "iban" is also masked."""
    recorder = Recorder()
    logger = make_logger(transport=recorder, redact=DEFAULT_REDACTED_KEYS | {"iban"})
    logger.info("x", meta_data={"IBAN": HIDDEN, "password": HIDDEN})
    logger.flush()
    meta_data = recorder.entries[0]["meta_data"]
    assert (meta_data["IBAN"], meta_data["password"]) == (MASK, MASK)


@pytest.mark.parametrize("names", ["password", b"x", 5, [1], ["-"], [""]])
def test_wrong_names_are_refused(names: Any) -> None:
    """The constructor refuses a wrong value of `redact`, such as a single text or an empty name."""
    with pytest.raises(ConfigurationError, match="redact"):
        VoyageLogger("app", redact=names)


def test_field_that_before_send_adds_is_redacted(make_logger: MakeLogger) -> None:
    """If `before_send` adds a secret field, the value of the field is masked."""
    recorder = Recorder()
    logger = make_logger(
        transport=recorder, before_send=lambda entry: {**entry, "password": HIDDEN}
    )
    logger.info("x")
    logger.flush()
    assert recorder.entries[0]["password"] == MASK


def test_context_and_bound_fields_are_redacted(make_logger: MakeLogger) -> None:
    """The values of secret fields in `context()` and `bind()` are masked."""
    recorder = Recorder()
    logger = make_logger(transport=recorder)
    extra: Any = {"token": HIDDEN}
    with logger.context(**extra):
        logger.bind(meta_data={"api_key": HIDDEN}).info("x")
    logger.flush()
    assert HIDDEN not in json.dumps(recorder.entries)


def test_own_credentials_and_token_are_masked(server: DevServer, make_logger: MakeLogger) -> None:
    """The logger's own key, secret and token are masked wherever they appear in an entry."""
    logger = make_logger()
    logger.verify()
    secrets = logger._transport.secrets
    assert len(secrets) == 3
    for secret in secrets:
        logger.info(f"a {secret}!", meta_data={secret: [f"Bearer {secret}"], "b": secret.encode()})
        extra: Any = {secret: 1}
        logger.error("x", exc_info=ValueError(secret), **extra)
    assert logger.flush()
    stored = json.dumps(server.entries())
    assert not [secret for secret in secrets if secret in stored]
    assert f"Bearer {MASK}" in stored


def test_earlier_token_is_still_masked(server: DevServer, make_logger: MakeLogger) -> None:
    """After a token is renewed, the old token is still masked, because it can still be valid."""
    logger = make_logger()
    tokens = []
    for _ in range(3):
        logger.verify()
        tokens.append(logger._transport.secrets[2])
        logger.info(tokens[-1])
    assert len(set(tokens)) == 3
    for token in tokens:
        logger.info(token)
    assert logger.flush()
    messages = [entry["message"] for entry in server.entries()]
    assert messages == [MASK, MASK, MASK, tokens[0], MASK, MASK]


def test_own_credentials_are_masked_with_redaction_off(make_logger: MakeLogger) -> None:
    """`redact=None` does not turn off the masking of the logger's own secrets."""
    recorder = Recorder()
    recorder.secrets = (HIDDEN,)
    logger = make_logger(transport=recorder, redact=None)
    logger.info(HIDDEN)
    logger.flush()
    assert recorder.entries[0]["message"] == MASK


@pytest.mark.parametrize("secret", ['quoted"secret', "back\\slash-secret", "1234567890123"])
@pytest.mark.parametrize("odd", [None, {1}], ids=["plain", "with care"])
def test_secrets_of_any_form_are_masked(secret: str, odd: object) -> None:
    """A secret is masked even if JSON escapes its characters or if the secret is a number."""
    entry = {"message": f"x {secret} y", "n": [1234567890123], "odd": odd}
    text = json.dumps(masked(entry, secrets=lambda: (secret,)), ensure_ascii=False)
    assert secret not in text
    assert json.dumps(secret)[1:-1] not in text


def test_short_secrets_are_not_masked() -> None:
    """Short secrets such as "test" or "info" are not masked, because texts often contain them."""
    entry = {"message": "a secret", "level": "info", "environment": "test"}
    assert masked(entry, secrets=lambda: ("info", "test", "secret", "")) == entry


@given(st.integers(0, 3000), st.sampled_from(["text", "key", "bytes", "message"]))
@examples(max_examples=60, deadline=None)
def test_secrets_are_masked_before_anything_is_cut(offset: int, place: str) -> None:
    """If an entry must be cut in the middle of a secret, no part of the secret is sent."""
    secret = "".join(f"<{number:03}>" for number in range(100))
    text = "x" * offset + secret + "y" * 2000
    value: Any = {
        "text": {"v": text},
        "key": {text: 1},
        "bytes": {"v": text.encode()},
        "message": {},
    }[place]
    entry = {"message": text if place == "message" else "m", "meta_data": value}
    found = json.dumps(masked(entry, 1024, secrets=lambda: (secret,)))
    assert "<000>" not in found
    assert "<050>" not in found


def test_bare_entry_is_redacted() -> None:
    """If an entry is cut to its bare fields, the secrets in these fields are masked."""
    crowd = {f"key {number}": "x" for number in range(5000)}
    entry = {"message": HIDDEN * 100, "event_name": "a name", **crowd}
    found = masked(entry, 1024, keys=["event_name"], secrets=lambda: (HIDDEN,))
    assert found["event_name"] == MASK
    assert "hunter2" not in json.dumps(found)


def test_bare_entry_of_unconverted_values_is_redacted() -> None:
    """`bare` also masks an entry whose values were not converted before."""
    redaction = Redaction(["event_name"], lambda: (HIDDEN,))
    entry = {"message": f"x {HIDDEN}", "event_name": "a name", "meta_data": {"log_id": HIDDEN}}
    found = json.loads(bare(entry, 1024, dumps, "why", redaction))
    assert (found["message"], found["event_name"]) == (f"x {MASK}", MASK)
    assert found["meta_data"]["log_id"] == MASK


def test_entry_of_a_failed_log_call_is_redacted(make_logger: MakeLogger) -> None:
    """If a log call fails, the bare entry that is sent contains no secret."""

    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("broken")

    recorder = Recorder()
    recorder.secrets = (HIDDEN,)
    logger = make_logger(transport=recorder, before_send=Broken)
    logger.info(f"x {HIDDEN}")
    logger.flush()
    (entry,) = recorder.entries
    assert entry["message"] == f"x {MASK}"
    assert "RuntimeError" in entry["meta_data"]["trimmed"]


def test_many_different_keys_do_not_grow_memory() -> None:
    """The set of known harmless keys has a limited size, because some apps use ids as keys."""
    redaction = Redaction(DEFAULT_REDACTED_KEYS)
    for number in range(10_000):
        encode({"meta_data": {f"user {number}": 1, "x" * 100 + str(number): 2}}, LIMIT, redaction)
    assert len(redaction.harmless) <= 4096
    assert max(map(len, redaction.harmless)) <= 32
    assert masked({"password": HIDDEN}) == {"password": MASK}


def test_threads_that_learn_keys_let_no_secret_pass() -> None:
    """While several threads add harmless keys to the set, no secret is sent."""
    redaction = Redaction(DEFAULT_REDACTED_KEYS)
    leaked: list[bytes] = []

    def work(thread: int) -> None:
        for number in range(300):
            entry = {f"k{thread}-{number}": 1, "meta_data": {"password": HIDDEN, f"k{number}": 1}}
            payload = encode(entry, LIMIT, redaction)
            if HIDDEN.encode() in payload:
                leaked.append(payload)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leaked == []


names = st.sampled_from([*DEFAULT_REDACTED_KEYS, "Pass-Word", "harmless", "authenticated", ""])
trees = st.recursive(
    st.just(HIDDEN) | st.integers(),
    lambda inner: (
        st.dictionaries(names, inner, max_size=4)
        | st.lists(inner, max_size=3)
        | st.dictionaries(names, inner, max_size=4).map(OrderedDict)
    ),
    max_leaves=20,
)


def visible(value: Any, hides: Callable[[str], bool]) -> Iterator[Any]:
    """Yield the values that are not under a secret key."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not hides(key):
                yield from visible(item, hides)
    elif isinstance(value, list):
        for item in value:
            yield from visible(item, hides)
    else:
        yield value


@given(trees)
@examples(max_examples=80, deadline=None)
def test_only_values_of_secret_keys_are_masked(tree: Any) -> None:
    """Masking changes all values of secret keys, and no other values."""
    hides = Redaction(DEFAULT_REDACTED_KEYS).hides
    found = masked({"meta_data": {"tree": tree}})["meta_data"]["tree"]
    left = [value for value in visible(found, lambda _key: False) if value != MASK]
    assert left == [value for value in visible(tree, hides) if value != MASK]


def test_no_part_of_a_secret_is_sent_after_a_cut(make_logger: MakeLogger) -> None:
    """Texts are masked before they are cut, because a cut could leave part of a secret."""
    secret = "a-planted-secret-of-the-transport"
    recorder = Recorder()
    recorder.secrets = (secret,)
    logger = make_logger(transport=recorder)
    for length in range(0, 40, 4):
        with contextlib.suppress(ValueError), logger.journey("f") as journey:
            journey.step("x" * (100 + length) + secret)
            logger.info("inside")
            raise ValueError("y" * (160 + length) + secret)
        with contextlib.suppress(ValueError):
            raise ValueError("z" * (8_000 + 4 * length) + secret + "z" * 40_000)
        error = ValueError("z" * (8_192 - 30 - length) + secret + "z" * 40_000)
        logger.error("exc", exc_info=error)
        logger.error("given", exception_info=error)
    logger.flush()
    assert recorder.entries
    assert not [entry for entry in recorder.entries if secret[:6] in json.dumps(entry)]


def test_secret_with_other_letters_than_ascii_is_masked(make_logger: MakeLogger) -> None:
    """If a transport's secret contains letters outside ASCII, the secret is still masked."""
    recorder = Recorder()
    recorder.secrets = ("pässwort-geheim",)
    logger = make_logger(transport=recorder)
    logger.info("it is pässwort-geheim")
    logger.flush()
    assert recorder.entries[0]["message"] == f"it is {MASK}"


def test_enum_key_is_judged_by_its_value(make_logger: MakeLogger) -> None:
    """If a key is an enum member, its text decides whether the value of the key is masked."""

    class Key(Enum):
        PASSWORD = "password"

    recorder = Recorder()
    logger = make_logger(transport=recorder)
    data: dict[Any, str] = {Key.PASSWORD: "hunter2"}
    logger.info("x", meta_data=data)
    logger.flush()
    assert recorder.entries[0]["meta_data"]["password"] == MASK


def test_secrets_are_neither_shown_nor_pickled() -> None:
    """If the attributes of a logger are shown or pickled, its secrets do not appear."""
    secrets = Secrets(("planted-secret",))

    assert repr(secrets) == "Secrets()"
    with pytest.raises(TypeError, match="secrets are not pickled"):
        pickle.dumps(secrets)
