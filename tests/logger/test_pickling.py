"""A copied or unpickled logger is the same logger; in another process, it is an equal logger."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import textwrap
import threading
import weakref
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]
import pytest

from tests.support.processes import python
from voyage_logger import Transport, VoyageLogger
from voyage_logger._base import pickling

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from voyage_logger.devserver import DevServer

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
KEY, SECRET = "planted-key-4711", "planted-secret-4712"


def dumps(thing: object) -> bytes:
    return pickle.dumps(thing)


def loads(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - this test has made the pickle


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickling, "_originals", weakref.WeakValueDictionary())
    monkeypatch.setattr(pickling, "_restored", {})


@pytest.fixture
def emigrate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Make this process forget its loggers, so that it acts like another process."""

    def forget() -> None:
        monkeypatch.setattr(pickling, "_originals", weakref.WeakValueDictionary())
        monkeypatch.setattr(pickling, "_restored", {})

    yield forget
    for restored in pickling._restored.values():
        if isinstance(restored, VoyageLogger):
            restored.close(timeout=0)


def elsewhere(
    data: bytes, code: str, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run code in another process. In the code, `data` is the bytes of a pickle."""
    prelude = "import pickle, sys, threading\ndata = bytes.fromhex(sys.argv[1])\n"
    program = prelude + textwrap.dedent(code)
    return python("-W", "error", "-c", program, data.hex(), environ=environ)


def mark(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "marked": True}


def workers() -> int:
    return [thread.name for thread in threading.enumerate()].count("voyage-logger")


# These tests unpickle in the process that made the logger.


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy_is_the_logger_itself(copied: Callable[[object], object]) -> None:
    """A copy or deep copy of a logger is the logger itself."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    transport = Transport(KEY, SECRET)
    assert copied(logger) is logger
    assert copied(transport) is transport
    assert copy.deepcopy({"nested": [logger]})["nested"][0] is logger


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_gives_the_logger_itself_where_it_was_made(protocol: int) -> None:
    """In the process that made a logger, unpickling returns the logger itself."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    transport = Transport(KEY, SECRET)
    assert loads(pickle.dumps(logger, protocol)) is logger
    assert loads(pickle.dumps(transport, protocol)) is transport


def test_pickle_of_a_bound_logger_keeps_the_bound_fields(make_logger: Any) -> None:
    """If a bound logger is unpickled in its own process, it has the same bound fields."""
    logger = make_logger()
    bound = logger.bind(app_user_id="u")
    found = loads(dumps(bound))
    assert found._calls.bound == {"app_user_id": "u"}
    assert found._unbound is logger


def test_closed_logger_is_itself_where_it_was_made(make_logger: Any) -> None:
    """If a closed logger is unpickled in its own process, it is still closed."""
    logger = make_logger()
    logger.close()
    assert loads(dumps(logger)) is logger


def test_registry_keeps_no_logger_alive() -> None:
    """The registry that unpickling uses does not keep a logger alive."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    assert loads(dumps(logger)) is logger
    gone = weakref.ref(logger)
    del logger
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_forked_child_has_the_logger_itself(server: DevServer) -> None:
    """In a forked child, unpickling gives the logger that the child has inherited."""
    done = elsewhere(
        b"",
        """\
        import os
        from voyage_logger import VoyageLogger
        logger = VoyageLogger("app", api_key="dev-key", api_secret="dev-secret")
        child = os.fork()
        if child == 0:
            same = pickle.loads(pickle.dumps(logger))
            same.info("from the child")
            assert same is logger and same.flush()
            os._exit(0)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        {"VOYAGE_LOGS_URL": server.url},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.count() == 1


# These tests unpickle in another process.


def test_every_pickle_of_a_logger_gives_one_logger(
    credentials: None, emigrate: Callable[[], None], server: DevServer
) -> None:
    """In another process, a thousand pickles of one logger give one logger and one thread."""
    data = [dumps(VoyageLogger("app"))] * 500 + [dumps(VoyageLogger("app"))] * 500
    emigrate()
    loggers = [loads(each) for each in data]
    assert workers() == 0
    assert len(set(loggers)) == 1
    for number, logger in enumerate(loggers):
        logger.info(f"task {number}")
    assert workers() == 1
    assert loggers[0].flush()
    assert (server.count(), server.duplicates()) == (1000, {})
    assert sum(request.endpoint == "sign-in" for request in server.requests) == 1


def test_threads_that_unpickle_at_once_get_one_logger(
    credentials: None, emigrate: Callable[[], None]
) -> None:
    """Threads that unpickle at the same time get the same logger."""
    data = dumps(VoyageLogger("app"))
    for _ in range(20):
        emigrate()
        barrier = threading.Barrier(8)
        found: list[object] = []

        def work(barrier: threading.Barrier = barrier, found: list[object] = found) -> None:
            barrier.wait()
            found.append(loads(data))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.append(loads(data))
        assert len(set(found)) == 1


def test_all_arguments_but_the_secrets_travel(
    credentials: None, emigrate: Callable[[], None], server: DevServer
) -> None:
    """A pickle carries all arguments of the constructor except the secrets."""
    given: dict[str, Any] = {
        "environment": "staging",
        "batch_size": 7,
        "flush_interval": 600,
        "level": "info",
        "max_queue_size": 77,
        "max_queue_bytes": 3 << 20,
        "max_batch_bytes": 2 << 20,
        "max_entry_bytes": 1 << 16,
        "shutdown_timeout": 0.5,
        "before_send": mark,
        "on_error": print,
        "timestamps": False,
        "capture_method": False,
    }
    endpoint: dict[str, Any] = {"base_url": server.url + "/", "timeout": (1, 2), "compress": True}
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET, **given, **endpoint)
    data = dumps(logger)
    emigrate()
    other: Any = loads(data)
    assert other is not logger
    assert other._settings == logger._settings
    transport: Any = logger._transport
    theirs, ours = other._transport._endpoint, transport._endpoint
    assert (theirs.base_url, theirs.timeout, theirs.compress) == (
        ours.base_url,
        ours.timeout,
        ours.compress,
    )
    assert theirs.credentials.api_key == server.api_key


def test_every_argument_of_the_constructor_is_accounted_for() -> None:
    """Each argument of the constructor is in the pickle, or in the list of omitted arguments."""
    code = VoyageLogger.__init__.__code__
    names = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    assert names - set(logger._arguments) == {"self", "api_key", "api_secret", "strict"}


def test_different_configurations_stay_apart(
    credentials: None, emigrate: Callable[[], None]
) -> None:
    """Pickles of loggers with different arguments give different loggers."""
    data = [
        dumps(VoyageLogger("app")),
        dumps(VoyageLogger("app", level="error")),
        dumps(VoyageLogger("app", before_send=mark)),
        dumps(VoyageLogger("app", timeout=(1, 2))),
    ]
    emigrate()
    assert len({loads(each) for each in data}) == len(data)


def test_pickle_gives_an_equal_logger_of_the_process(
    credentials: None, emigrate: Callable[[], None]
) -> None:
    """If another process has already made an equal logger, unpickling returns this logger."""
    data = dumps(VoyageLogger("app", before_send=mark))
    emigrate()
    module_s_own = VoyageLogger("app", before_send=mark)
    assert loads(data) is module_s_own


def test_pickle_never_gives_a_logger_with_its_own_secrets(
    credentials: None, emigrate: Callable[[], None]
) -> None:
    """Unpickling never returns a logger that got its secrets as arguments."""
    data = dumps(VoyageLogger("app"))
    emigrate()
    private = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    assert loads(data) is not private


def test_closed_logger_arrives_open(
    credentials: None, emigrate: Callable[[], None], server: DevServer
) -> None:
    """If a closed logger is unpickled in another process, it is open there."""
    logger = VoyageLogger("app")
    logger.close()
    data = dumps(logger)
    emigrate()
    for _ in range(2):
        with loads(data) as task_s_own:
            task_s_own.info("x")
    assert server.count() == 2


def test_pickle_that_returns_gives_the_original(server: DevServer) -> None:
    """If a child process sends a pickled logger back, the parent gets its original logger."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET)
    code = "sys.stdout.write(pickle.dumps(pickle.loads(data)).hex())"
    done = elsewhere(dumps(logger), code, server.environ)
    assert done.returncode == 0, done.stderr
    assert loads(bytes.fromhex(done.stdout)) is logger


def test_without_credentials_there_the_console_is_used() -> None:
    """If a process has no credentials, an unpickled logger prints its entries."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET, strict=True)
    done = elsewhere(dumps(logger), "for _ in range(9): pickle.loads(data).info('hello')")
    assert done.returncode == 0
    notice, *lines = done.stderr.splitlines()
    assert "VOYAGE_LOGS_KEY is not set" in notice
    assert len([line for line in lines if line.endswith("<module>'") and "app: hello" in line]) == 9


def test_transport_without_credentials_there_says_so(server: DevServer) -> None:
    """If a process has no credentials, an unpickled transport names the missing variables."""
    transport = Transport(KEY, SECRET, server.url)
    done = elsewhere(
        dumps(VoyageLogger("app", transport=transport, shutdown_timeout=0.5)),
        """\
        from voyage_logger import ConfigurationError
        logger = pickle.loads(data)
        outcome = logger._transport.send([{"message": "x"}])
        assert outcome.kind.value == "blocked" and "VOYAGE_LOGS_KEY" in outcome.detail, outcome
        try: logger.verify()
        except ConfigurationError as error: assert "VOYAGE_LOGS_SECRET" in str(error)
        else: raise AssertionError
        logger.info("x")
        """,
    )
    assert done.returncode == 0
    first, second = done.stderr.splitlines()
    assert "VOYAGE_LOGS_KEY is not set" in first
    assert "1 entry lost" in second
    assert server.requests == []


def test_transport_takes_the_credentials_there(server: DevServer) -> None:
    """An unpickled transport uses the credentials of the process that unpickles it."""
    transport = Transport(server.api_key, server.api_secret, server.url)
    transport.sign_in()
    data = dumps(VoyageLogger("app", transport=transport))
    code = "pickle.loads(data).info('x'); assert pickle.loads(data).flush()"
    done = elsewhere(data, code, server.environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.count() == 1
    assert sum(request.endpoint == "sign-in" for request in server.requests) == 2
    transport.close()


def test_function_that_cannot_be_pickled_gets_pickle_s_own_error() -> None:
    """If an argument is a function that cannot be pickled, the error names the function."""
    logger = VoyageLogger("app", api_key=KEY, api_secret=SECRET, before_send=lambda entry: entry)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        dumps(logger)


class Preset(VoyageLogger):
    """A subclass whose constructor has different arguments."""

    def __init__(self, tenant: str) -> None:
        super().__init__("app", environment=tenant, api_key=KEY, api_secret=SECRET)


class Shouting(VoyageLogger):
    """A subclass that has one more method."""


def test_subclass_with_another_constructor_is_refused_when_pickled() -> None:
    """A subclass with another constructor raises an error when it is pickled."""
    preset = Preset("acme")
    with pytest.raises(TypeError, match=r"Preset.*must define __reduce__"):
        dumps(preset)
    assert copy.copy(preset) is copy.deepcopy(preset) is preset


def test_subclass_keeps_its_class(credentials: None, emigrate: Callable[[], None]) -> None:
    """An unpickled logger has the class of the original."""
    data = dumps(Shouting("app"))
    emigrate()
    base = VoyageLogger("app")
    assert type(loads(data)) is Shouting
    assert base is not loads(data)


# These tests use tools that pickle functions.


def test_cloudpickle_takes_closures_that_hold_a_logger(
    credentials: None, server: DevServer
) -> None:
    """Cloudpickle can pickle a closure that holds a logger."""
    logger = VoyageLogger("app", before_send=lambda entry: {**entry, "session_id": "s"})

    def task(number: int) -> None:
        logger.info(f"task {number}")

    code = """\
        import cloudpickle  # type: ignore[import-untyped]
        for number in range(1000): cloudpickle.loads(data)(number)
        print([thread.name for thread in threading.enumerate()].count("voyage-logger"))
        """
    done = elsewhere(cloudpickle.dumps(task), code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert (server.count(), server.duplicates()) == (1000, {})
    assert {entry["session_id"] for entry in server.entries(limit=1000)} == {"s"}


POOLS = """\
import concurrent.futures, multiprocessing, os, sys, threading
from voyage_logger import VoyageLogger

def work(task):
    logger, number = task
    logger.info(f"task {number}")
    return os.getpid(), [thread.name for thread in threading.enumerate()].count("voyage-logger")

def main():
    context = multiprocessing.get_context(sys.argv[1])
    logger = VoyageLogger("app", flush_interval=600)
    logger.info("before")
    tasks = [(logger, number) for number in range(1000)]
    if sys.argv[2] == "Pool":
        with context.Pool(2) as pool:
            seen = pool.map(work, tasks, chunksize=5)
            pool.close()
            pool.join()
    else:
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
            seen = list(pool.map(work, tasks, chunksize=5))
    assert {count for _, count in seen} == {1}, set(seen)
    assert os.getpid() not in dict(seen)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("pool", ["Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize(
    "method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.soak)]
)
def test_thousand_tasks_with_a_logger_in_a_pool(
    server: DevServer, tmp_path: Path, method: str, pool: str
) -> None:
    """If a pool runs a thousand tasks with a logger, each process has only one worker thread."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"the system has no {method}")
    script = tmp_path / "script.py"
    script.write_text(POOLS)
    done = python(script, method, pool, environ=server.environ)
    assert done.returncode == 0, done.stderr
    assert "voyage-logger" not in done.stderr
    messages = [entry["message"] for entry in server.entries(limit=2000)]
    assert sorted(messages) == sorted(["before", *(f"task {n}" for n in range(1000))])
