"""The package does not change the global state of the app's process."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import python

if TYPE_CHECKING:
    import subprocess

    from voyage_logger.devserver import DevServer

WORLD = """\
import decimal, gc, locale, logging, os, random, signal, socket, sys, threading, warnings

class AppHandler(logging.Handler):
    def emit(self, record): records.append((sorted(vars(record)), record.getMessage()))

records = []
app = logging.getLogger("app")
app.addHandler(AppHandler())
app.setLevel("INFO")
for name in ("urllib3", "urllib3.connectionpool", "requests", "charset_normalizer"):
    logging.getLogger(name)  # so that a changed level is seen

def is_foreign(filter):  # requests and urllib3 add filters for their own warnings
    return filter[2].__module__.partition(".")[0] in ("requests", "urllib3")

def world():
    app.info("record")
    return {
        "signal handlers": {n: signal.getsignal(n) for n in signal.valid_signals()},
        "wakeup": signal.getitimer(signal.ITIMER_REAL),
        "warning filters": [each for each in warnings.filters if not is_foreign(each)],
        "showwarning": (warnings.showwarning, warnings.formatwarning),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "tracing": (sys.gettrace(), sys.getprofile()),
        "socket timeout": socket.getdefaulttimeout(),
        "getaddrinfo": socket.getaddrinfo,
        "root logger": (logging.root.level, list(logging.root.handlers), logging.root.filters[:]),
        "logging": (logging.root.manager.disable, logging.raiseExceptions, logging.lastResort),
        "logging's classes": (logging.getLoggerClass(), logging.getLogRecordFactory()),
        "levels": {
            name: (each.level, each.disabled, each.propagate)
            for name, each in logging.root.manager.loggerDict.items()
            if isinstance(each, logging.Logger) and name in known
        },
        "level names": [logging.getLevelName(n) for n in range(60)],
        "app's handlers": (list(app.handlers), list(app.filters)),
        "locale": locale.setlocale(locale.LC_ALL),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "path": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), threading.stack_size()),
        "gc": (gc.get_threshold(), gc.isenabled(), list(gc.callbacks)),
        "random": random.getstate(),
        "decimal": repr(decimal.getcontext()),
    }

known = set(logging.root.manager.loggerDict)
before = world()

def compare(when):
    after = world()
    for name in before:
        if before[name] != after[name]:
            print(when, "changed", name, before[name], after[name])

import voyage_logger
compare("the import")
"""


def run(server: DevServer, code: str) -> subprocess.CompletedProcess[str]:
    return python("-c", WORLD + textwrap.dedent(code), environ=server.environ)


def test_nothing_of_the_process_is_changed(server: DevServer) -> None:
    """A logger does not change the hooks, signal handlers or warning filters of the process."""
    done = run(
        server,
        """\
        logger = voyage_logger.VoyageLogger("app", shutdown_timeout=1)
        compare("the constructor")
        logger.info("hello", meta_data={"n": 1})
        logger.exception("no exception")
        compare("an entry")
        assert logger.flush()
        compare("delivery")
        logger.log("odd", "trouble is said")
        logger.verify()
        logger.close()
        compare("the end")
        logger.info("too late")
        compare("afterwards")
        assert len(set(map(repr, records))) == 1, set(map(repr, records))
        """,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert server.count() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_nothing_of_a_child_is_changed(server: DevServer) -> None:
    """The fork hooks of the package do not change the global state of the child process."""
    done = run(
        server,
        """\
        logger = voyage_logger.VoyageLogger("app")
        logger.info("parent")
        assert logger.flush()
        child = os.fork()
        if child == 0:
            del before["random"]  # Python seeds it in a child
            compare("the fork")
            logger.info("child")
            assert logger.flush()
            compare("the child's delivery")
        else:
            os.waitpid(child, 0)
            compare("the parent's fork")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert server.count() == 2


def test_standard_logger_of_the_package_is_an_ordinary_one(server: DevServer) -> None:
    """The `logging` logger `voyage_logger` has no level, prints nothing, and passes records on."""
    done = run(
        server,
        """\
        own = logging.getLogger("voyage_logger")
        assert (own.level, own.propagate, own.disabled) == (logging.NOTSET, True, False)
        assert [type(each) for each in own.handlers] == [logging.NullHandler]
        logging.root.addHandler(AppHandler())
        voyage_logger.VoyageLogger("app").log("odd", "x")
        fields, message = records[-1]
        assert message.startswith("unknown level"), message
        assert fields == records[0][0], set(fields) ^ set(records[0][0])
        """,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
