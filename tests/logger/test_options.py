"""Options come from arguments, environment variables or defaults. Each value is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voyage_logger import BaseTransport, ConfigurationError, Transport, VoyageLogger
from voyage_logger._base.settings import MIB
from voyage_logger._base.wire import BODY_OVERHEAD, DEFAULT_BASE_URL
from voyage_logger.transports._endpoint import Credentials, Endpoint, endpoint_from, missing

NAN, INF = float("nan"), float("inf")
KEYS = {"VOYAGE_LOGS_KEY": "key", "VOYAGE_LOGS_SECRET": "secret"}
SNIPPET = {"VOYAGE_API_KEY": "snippet-key", "VOYAGE_API_SECRET": "snippet-secret"}


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Nowhere(BaseTransport):
    """A transport that sends no entries."""


def refusal(**arguments: Any) -> ConfigurationError:
    """Return the error that the constructor raises for these arguments."""
    with pytest.raises(ConfigurationError) as caught:
        VoyageLogger(**{"app_name": "app", **arguments})
    return caught.value


def endpoint(
    api_key: object = None,
    api_secret: object = None,
    base_url: object = None,
    timeout: object = 1,
    **environ: str,
) -> Endpoint:
    return endpoint_from(
        api_key, api_secret, base_url, timeout=timeout, compress=False, environ=environ
    )


BAD_NAMES: list[Any] = ["", "  ", "\n", "x" * 257, 3, b"app", ["app"]]
BAD_COUNTS: list[Any] = [0, -1, True, False, NAN, INF, 1.5, "100", None, [], 1 + 0j]
BAD_SECONDS: list[Any] = [-1, -0.001, True, NAN, INF, -INF, "5", None, [], 86_401, 10**400]
BAD_FOLDERS: list[Any] = ["", "  ", 3, True, b"spool", ["spool"]]
BAD_AGES: list[Any] = [0, -1, -INF, INF, NAN, True, "5", []]
BAD_FLAGS: list[Any] = [0, 1, "yes", "", None]
BAD_LEVELS: list[Any] = ["loud", "", None, True, 1.5, NAN, []]
BAD_TRANSPORTS: list[Any] = ["https://api.example.com", "", 0, object, object()]
BAD_FUNCTIONS: list[Any] = [1, "print", True, {}]
BAD_URLS: list[Any] = [
    "",
    "   ",
    "api.example.com",
    "//api.example.com",
    "/logs",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "https://",
    "https://:443",
    "https:///logs",
    "https://api.example.com:0",
    "https://api.example.com:65536",
    "https://api.example.com:port",
    "https://api.example.com:-1",
    "https://api example.com",
    "https://api.example.com/a b",
    "https://api.example.com/\nlogs",
    "https://api\t.example.com",
    "https://api.example.com\r\nx-evil: 1",
    "https://[::1",
    "https://exämple.com",
    "https://api.example.com/#part",
    3,
    b"https://api.example.com",
    ["https://api.example.com"],
]
BAD: list[tuple[str, Any]] = [
    *(("app_name", value) for value in [*BAD_NAMES, None]),
    *(("environment", value) for value in BAD_NAMES),
    *(
        (name, value)
        for name in (
            "batch_size",
            "max_queue_size",
            "max_queue_bytes",
            "max_batch_bytes",
            "max_spool_bytes",
        )
        for value in BAD_COUNTS
    ),
    *(("max_entry_bytes", value) for value in [*BAD_COUNTS, 1, 1023]),
    *(("flush_interval", value) for value in [*BAD_SECONDS, 0, 0.0]),
    *(("shutdown_timeout", value) for value in BAD_SECONDS),
    *(("timeout", value) for value in [*BAD_SECONDS, 0]),
    *(("spool_dir", value) for value in BAD_FOLDERS),
    *(("max_spool_age", value) for value in BAD_AGES),
    *(("level", value) for value in BAD_LEVELS),
    *(("before_send", value) for value in BAD_FUNCTIONS),
    *(("on_error", value) for value in BAD_FUNCTIONS),
    *(("timestamps", value) for value in BAD_FLAGS),
    *(("capture_method", value) for value in BAD_FLAGS),
    *(("compress", value) for value in BAD_FLAGS),
    *(("transport", value) for value in BAD_TRANSPORTS),
]


class TestBadArguments:
    @pytest.mark.parametrize(("parameter", "value"), BAD, ids=range(len(BAD)))
    def test_are_refused_by_name_value_and_rule(self, parameter: str, value: object) -> None:
        """The error about a wrong argument names the argument, its value and the rule."""
        error = refusal(**{parameter: value})

        assert isinstance(error, ValueError)
        assert error.parameter == parameter
        assert error.rule
        assert f"must be {error.rule}" in str(error)
        assert str(error).startswith(f"{parameter}={value!r:.100}"[:100])

    @pytest.mark.parametrize(
        ("timeout", "wrong"),
        [
            ((), ()),
            ((1,), (1,)),
            ((1, 2, 3), (1, 2, 3)),
            ((0, 1), 0),
            ((1, 0), 0),
            ((1, -1), -1),
            ((None, 1), None),
            ((1, None), None),
            ((True, 1), True),
            ((1, NAN), NAN),
            (("1", 2), "1"),
            (((1, 2), 3), (1, 2)),
        ],
    )
    def test_of_a_pair_of_time_limits_are_refused(self, timeout: Any, wrong: object) -> None:
        """If one of the two values of `timeout` is wrong, the error names this value."""
        error = refusal(timeout=timeout)

        assert error.parameter == "timeout"
        assert str(error).startswith(f"timeout={wrong!r}: must be")

    @pytest.mark.parametrize("url", BAD_URLS)
    def test_of_a_url_are_refused(self, url: Any) -> None:
        """The constructor refuses a URL that can never work."""
        error = refusal(base_url=url)

        assert error.parameter == "base_url"
        assert "http:// or https://" in str(error)

    @pytest.mark.parametrize("strict", [1, "yes", None])
    def test_for_strict_are_refused_with_good_credentials_too(self, strict: Any) -> None:
        """A wrong value of `strict` raises an error, even if the credentials are correct."""
        assert refusal(strict=strict, api_key="k", api_secret="s").parameter == "strict"

    @pytest.mark.parametrize("parameter", ["batch_size", "flush_interval", "app_name", "level"])
    @pytest.mark.parametrize("value", [-(10**5000), BrokenRepr()], ids=["huge", "broken"])
    def test_without_a_repr_are_refused_all_the_same(self, parameter: str, value: object) -> None:
        """If the `repr` of a wrong value fails, the constructor still raises its usual error."""
        if parameter == "level" and isinstance(value, int):
            value = object()  # -1 is not in the list, because every whole number is a valid level
        assert refusal(**{parameter: value}).parameter == parameter

    def test_of_any_length_make_a_short_error(self) -> None:
        """If a wrong value is very long, the text of the error is short."""
        assert len(str(refusal(app_name="x" * 100_000))) < 1000


class TestSecrets:
    @pytest.mark.parametrize("parameter", ["api_key", "api_secret"])
    @pytest.mark.parametrize(
        "value", ["hunter2\n2", "hunter2é", "hunter2\x00", b"hunter2", ["hunter2"]]
    )
    def test_that_are_unusable_are_refused_unseen(self, parameter: str, value: Any) -> None:
        """The error about a wrong key names the argument and the rule, but not the key."""
        error = refusal(**{"api_key": "k", "api_secret": "s", parameter: value})

        assert error.parameter == parameter
        assert "hunter2" not in f"{error} {error!r} {error.args} {vars(error)}"

    @pytest.mark.parametrize(
        "url",
        [
            "https://user:hunter2@api.example.com",
            "https://hunter2@api.example.com",
            "https://user:hunter2@[::1",
            "user:hunter2@api.example.com",
            b"https://user:hunter2@api.example.com",
            ["https://user:hunter2@api.example.com"],
            "https://api.example.com/?token=hunter2",
            "https://api.example.com/#token=hunter2",
        ],
    )
    def test_in_a_url_are_refused_unseen(self, url: Any) -> None:
        """If a URL contains a password or token, the error about the URL does not show the URL."""
        error = refusal(base_url=url)

        assert error.parameter == "base_url"
        assert "hunter2" not in f"{error} {error!r} {error.args} {vars(error)}"

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("hunter2-hunter2", "<a hidden value>"),
            ("eyJhbGciOi.hunter2.xyz", "<a hidden value>"),
            ("hunter2:443/x", "<a hidden value>"),
            ("ftp://logs.example.com/hunter2", "ftp://logs.example.com/..."),
            ("htps://logs.example.com", "htps://logs.example.com"),
            ("localhost:8000", "localhost:8000"),
            ("logs.example.com:8000/hunter2", "logs.example.com:8000/..."),
        ],
    )
    def test_in_the_variable_of_the_url_are_never_repeated(self, value: str, shown: str) -> None:
        """If VOYAGE_LOGS_URL contains a secret instead of a URL, the error hides the value."""
        found = endpoint("key", "secret", VOYAGE_LOGS_URL=value)

        (problem,) = found.problems
        assert problem.startswith(f"VOYAGE_LOGS_URL={shown!r}: must be an http:// or https:// URL")
        assert shown in str(refusal(base_url=value))

    def test_in_the_environment_are_never_repeated(self) -> None:
        """The error about a wrong environment variable does not show a secret in its value."""
        found = endpoint(
            VOYAGE_LOGS_URL="https://user:hunter2@api.example.com",
            VOYAGE_LOGS_KEY="hunter2é",
            VOYAGE_LOGS_SECRET="hunter2\n2",
        )

        assert len(found.problems) == 3
        assert "hunter2" not in f"{found} {missing(found)}"

    def test_show_in_no_repr(self) -> None:
        """No `repr` of a logger or its settings shows the key or the secret."""
        credentials = Credentials("hunter2", "hunter3")
        logger = VoyageLogger("app", api_key="hunter2", api_secret="hunter3")
        held = [credentials, endpoint("hunter2", "hunter3"), logger, logger._transport]

        assert "hunter" not in repr(held)


class TestRulesAcrossArguments:
    def test_a_batch_has_room_for_any_entry(self) -> None:
        """`max_batch_bytes` must be large enough for one entry of `max_entry_bytes`."""
        error = refusal(max_entry_bytes=2048, max_batch_bytes=2048 + BODY_OVERHEAD - 1)

        assert error.parameter == "max_batch_bytes"
        assert "max_entry_bytes" in error.rule

    def test_the_queue_has_room_for_a_batch(self) -> None:
        """`max_queue_bytes` must be large enough for one batch."""
        error = refusal(max_batch_bytes=MIB, max_queue_bytes=MIB - 1)

        assert error.parameter == "max_queue_bytes"
        assert "max_batch_bytes" in error.rule

    def test_the_spool_has_room_for_two_batches(self) -> None:
        """`max_spool_bytes` must be large enough for two batches."""
        error = refusal(max_batch_bytes=MIB, max_spool_bytes=2 * MIB - 1)

        assert error.parameter == "max_spool_bytes"
        assert "twice max_batch_bytes" in error.rule
        VoyageLogger("app", max_spool_bytes=2 * MIB, transport=Nowhere())

    def test_the_least_that_fits_is_taken(self) -> None:
        """For each size option, the smallest allowed value is valid."""
        least = 1024 + BODY_OVERHEAD

        logger = VoyageLogger(
            "app",
            max_entry_bytes=1024,
            max_batch_bytes=least,
            max_queue_bytes=least,
            transport=Nowhere(),
        )

        assert logger.stats().last_problem is None


class TestGoodArguments:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"app_name": "x"},
            {"app_name": "x" * 256},
            {"batch_size": 1, "max_queue_size": 1},
            {"flush_interval": 0.001},
            {"flush_interval": 86_400},
            {"spool_dir": "spool", "max_spool_age": 0.5},
            {"spool_dir": Path("spool"), "max_spool_age": 10**9},
            {"spool_dir": None, "max_spool_age": None},
            {"shutdown_timeout": 0},
            {"level": "WARNING"},
            {"level": 30},
            {"before_send": dict, "on_error": print},
            {"timeout": 3},
            {"timeout": (1, 2)},
            {"timeout": [0.5, 2.0]},
        ],
        ids=str,
    )
    def test_are_taken(self, arguments: dict[str, Any]) -> None:
        """For each option, the smallest, the largest and all documented values are valid."""
        logger = VoyageLogger(**{"app_name": "app", "transport": Nowhere(), **arguments})

        assert logger.stats().last_problem is None

    @pytest.mark.parametrize(
        ("url", "root"),
        [
            ("https://api.example.com", "https://api.example.com"),
            ("https://api.example.com/", "https://api.example.com"),
            ("  https://api.example.com:8443/prefix//  ", "https://api.example.com:8443/prefix"),
            ("HTTP://localhost:9", "HTTP://localhost:9"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_of_a_url_are_its_root(self, url: str, root: str) -> None:
        """Spaces around a URL, and slashes at its end, are removed."""
        assert endpoint(base_url=url).base_url == root

    @given(st.text(max_size=60))
    @settings(max_examples=40, deadline=None)
    def test_or_bad_ones_there_is_no_third(self, text: str) -> None:
        """For any URL, the constructor either succeeds or raises a `ConfigurationError`."""
        for url in (text, f"https://{text}", f"http://host:{text}", f"https://host/{text}"):
            try:
                found = endpoint(base_url=url).base_url
            except ConfigurationError:
                continue
            assert found.isascii()
            assert not set(found) & set(" @?#\r\n\t")

    @pytest.mark.parametrize(
        ("url", "exposed"),
        [
            ("http://api.example.com", True),
            ("http://10.0.0.1", True),
            ("http://localhost.evil.example", True),
            ("https://api.example.com", False),
            ("http://localhost:8000", False),
            ("http://127.0.0.1", False),
            ("http://127.9.9.9", False),
            ("http://[::1]:80", False),
            ("http://[::ffff:127.0.0.1]", False),
            ("http://app.localhost.:80", False),
            ("http://notlocalhost", True),
        ],
    )
    def test_of_a_url_are_exposed_in_the_clear(self, url: str, *, exposed: bool) -> None:
        """A URL with `http` exposes secrets, but not on a connection to the same machine."""
        assert endpoint(base_url=url).is_exposed is exposed


class TestPrecedence:
    def test_of_the_url(self) -> None:
        """The URL is the argument, or else the environment variable, or else the default."""
        environ = {"VOYAGE_LOGS_URL": "https://env.example"}

        assert endpoint(base_url="https://arg.example", **environ).base_url == "https://arg.example"
        assert endpoint(**environ).base_url == "https://env.example"
        assert endpoint().base_url == DEFAULT_BASE_URL == "https://api.tracevoyage.com"

    @pytest.mark.parametrize(
        ("argument", "variable", "expected"),
        [
            ("argument", "variable", "argument"),
            (None, "variable", "variable"),
            (None, "  variable\n", "variable"),
            (None, "", "production"),
            (None, " ", "production"),
            (None, None, "production"),
        ],
    )
    def test_of_the_environment(
        self,
        monkeypatch: pytest.MonkeyPatch,
        argument: str | None,
        variable: str | None,
        expected: str,
    ) -> None:
        """An argument overrides the environment variable. A blank variable counts as not set."""
        if variable is not None:
            monkeypatch.setenv("VOYAGE_LOGS_ENVIRONMENT", variable)

        logger = VoyageLogger("app", argument, transport=Nowhere())

        assert logger._settings.environment == expected

    @pytest.mark.parametrize(
        ("argument", "variable", "expected"),
        [
            ("argument", "/variable", Path("argument").absolute()),
            (Path("/argument"), "/variable", Path("/argument")),
            (None, "/variable", Path("/variable")),
            (None, "  /variable\n", Path("/variable")),
            (None, "", None),
            (None, " ", None),
            (None, None, None),
        ],
    )
    def test_of_the_spool_s_folder(
        self,
        monkeypatch: pytest.MonkeyPatch,
        argument: Any,
        variable: str | None,
        expected: Path | None,
    ) -> None:
        """An argument overrides the environment variable. A blank variable counts as not set."""
        if variable is not None:
            monkeypatch.setenv("VOYAGE_LOGS_SPOOL_DIR", variable)

        logger = VoyageLogger("app", spool_dir=argument, transport=Nowhere())

        assert logger._settings.spool_dir == expected

    def test_of_an_environment_name_that_is_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the environment name in a variable is too long, it is cut, and no error is raised."""
        monkeypatch.setenv("VOYAGE_LOGS_ENVIRONMENT", "x" * 1000)

        assert VoyageLogger("app", transport=Nowhere())._settings.environment == "x" * 256

    def test_of_the_credentials(self) -> None:
        """Credentials in arguments take precedence over credentials in variables."""
        assert endpoint("a", "b", **KEYS).credentials == Credentials("a", "b")
        assert endpoint(**KEYS).credentials == Credentials("key", "secret")
        assert endpoint().credentials is None

    def test_of_each_half_of_the_credentials(self) -> None:
        """The key can come from an argument and the secret from a variable, or the reverse."""
        assert endpoint(api_key="a", **KEYS).credentials == Credentials("a", "secret")
        assert endpoint(api_secret="b", **KEYS).credentials == Credentials("key", "b")

    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    def test_of_blank_credentials(self, blank: str) -> None:
        """A blank key or secret counts as not set."""
        assert endpoint(blank, blank, **KEYS).credentials == Credentials("key", "secret")
        assert endpoint(VOYAGE_LOGS_KEY=blank, VOYAGE_LOGS_SECRET="s").credentials is None

    def test_blanks_around_credentials_are_stripped(self) -> None:
        """Blanks around a key or secret, such as a line break at the end, are removed."""
        found = endpoint(VOYAGE_LOGS_KEY=" key\n", VOYAGE_LOGS_SECRET="secret\r\n")

        assert found.credentials == Credentials("key", "secret")
        assert endpoint(" a ", "b\n").credentials == Credentials("a", "b")

    @pytest.mark.parametrize("blank", ["", " ", "\t"])
    def test_of_a_blank_url(self, blank: str) -> None:
        """If the variable VOYAGE_LOGS_URL is blank, it counts as not set."""
        found = endpoint(VOYAGE_LOGS_URL=blank, **KEYS)

        assert (found.base_url, found.problems) == (DEFAULT_BASE_URL, ())


class TestSnippetVariables:
    def test_count_as_a_pair(self) -> None:
        """If both variables of the vendor's short example are set, they are used."""
        found = endpoint(**SNIPPET)

        assert found.credentials == Credentials("snippet-key", "snippet-secret")
        assert found.problems == ()

    @pytest.mark.parametrize("name", SNIPPET)
    @pytest.mark.parametrize("other", [{}, {"VOYAGE_API_KEY": " ", "VOYAGE_API_SECRET": " "}])
    def test_do_not_count_alone(self, name: str, other: dict[str, str]) -> None:
        """VOYAGE_API_KEY alone is not used, because it can be meant for the package `voyageai`."""
        found = endpoint(**{**other, name: "alone"})

        assert found.credentials is None
        assert "VOYAGE_LOGS_KEY is not set" in found.problems

    @pytest.mark.parametrize("name", KEYS)
    def test_do_not_count_beside_a_variable_of_ours(self, name: str) -> None:
        """The vendor's two variables are not read if a variable of this package is set."""
        found = endpoint(**SNIPPET, **{name: "half"})

        assert found.credentials is None
        assert len(found.problems) == 1

    @pytest.mark.parametrize("half", [{"api_key": "half"}, {"api_secret": "half"}])
    def test_do_not_count_beside_an_argument(self, half: dict[str, Any]) -> None:
        """The vendor's two variables are not read if a key or secret is an argument."""
        found = endpoint(**half, **SNIPPET)

        assert found.credentials is None
        assert len(found.problems) == 1


class TestProblems:
    def test_name_each_missing_variable(self) -> None:
        """The message about missing credentials names each missing variable."""
        assert endpoint().problems == (
            "VOYAGE_LOGS_KEY is not set",
            "VOYAGE_LOGS_SECRET is not set",
        )

    def test_of_the_environment_do_not_raise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the URL in a variable is wrong, the constructor does not raise an error."""
        monkeypatch.setenv("VOYAGE_LOGS_URL", "not a URL")
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)

        logger = VoyageLogger("app")

        with pytest.raises(ConfigurationError, match="VOYAGE_LOGS_URL"):
            logger.verify()

    def test_say_which_variable_is_at_fault(self) -> None:
        """The message about a wrong variable names the variable, its value and the rule."""
        (problem,) = endpoint(VOYAGE_LOGS_URL="ftp://x", **KEYS).problems

        assert problem.startswith("VOYAGE_LOGS_URL='ftp://x': must be an http:// or https:// URL")

    def test_of_an_unusable_key_name_its_variable(self) -> None:
        """A wrong key in a variable is not used, and the message names the variable."""
        found = endpoint(VOYAGE_LOGS_KEY="ké", VOYAGE_LOGS_SECRET="s")

        assert found.credentials is None
        assert found.problems[0].startswith("VOYAGE_LOGS_KEY must be")

    @pytest.mark.parametrize(
        ("environ", "named"),
        [
            ({}, "VOYAGE_LOGS_KEY"),
            ({"VOYAGE_LOGS_KEY": "key"}, "VOYAGE_LOGS_SECRET"),
            ({**KEYS, "VOYAGE_LOGS_URL": "not a URL"}, "VOYAGE_LOGS_URL"),
        ],
    )
    def test_raise_where_strict_asks_for_that(
        self, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], named: str
    ) -> None:
        """With `strict=True`, the constructor raises an error for a wrong variable."""
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        assert named in str(refusal(strict=True))

    def test_are_no_matter_with_a_transport(self) -> None:
        """If an app passes a transport, the logger needs neither credentials nor a URL."""
        logger = VoyageLogger("app", strict=True, transport=Nowhere())

        assert logger.stats().last_problem is None

    def test_are_none_with_everything_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With `strict=True`, the constructor accepts a complete configuration."""
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)

        assert isinstance(VoyageLogger("app", strict=True)._transport, Transport)
