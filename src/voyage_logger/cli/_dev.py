"""`voyage-logger dev`: run a local server of the Logs API, and print the received entries.

What must stay true: a printed entry cannot control the terminal. The command escapes characters
that move the cursor or change the writing direction.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import shlex
import signal
import sqlite3
from typing import TYPE_CHECKING

from voyage_logger._base.printable import printable
from voyage_logger.cli._output import complain, flush, has_output, say
from voyage_logger.devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from voyage_logger.devserver import StoredEntry

_DEFAULT_PORT = 8765
_MAX_PORT = 65_535
_PAGE = 1000
_MAX_SHOWN = 500  # The command prints at most this number of characters of each text.
_POLL_SECONDS = 0.2  # The time between two checks for a signal, in seconds.


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "dev",
        help="run a local server of the Logs API",
        description="Run a local server of the Logs API, and print each entry that it receives.",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=_DEFAULT_PORT,
        help="0 for any free port (default: %(default)s)",
    )
    parser.add_argument(
        "--db", default=":memory:", metavar="FILE", help="keep the entries in this file"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name under which clients reach the server; can be repeated",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the server until Ctrl-C or SIGTERM. Return 1 if the server cannot start, else 0."""
    if not _is_loopback(args.host):
        exposed = f"{args.host} is open to other machines, and everybody knows the API key"
        complain("warning", exposed)
    with _noted_signals() as signals:
        try:
            server = DevServer(
                host=args.host, port=args.port, db=args.db, allowed_hosts=args.allow_host
            ).start()
        except (OSError, ValueError) as error:
            return _fail(f"cannot listen on {args.host} port {args.port}: {error}")
        except sqlite3.Error as error:
            return _fail(f"cannot open the database {args.db}: {error}")
        with server:
            _serve(server, signals)
    return 0


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """Yield a list to which the signal handler appends each received SIGINT or SIGTERM.

    A second signal immediately ends the process. The handler does not raise an exception: an
    exception that interrupts a waiting thread can corrupt a lock.
    """
    noted: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        noted.append(number)

    # A command that a shell runs in the background ignores SIGINT until the command sets a handler.
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, note)
    try:
        yield noted
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _serve(server: DevServer, signals: list[int]) -> None:
    lines = [
        f"Listening on {server.url}; press Ctrl-C to stop.",
        f"Entries as JSON: {server.url}/dev/api/entries",
        "Run these lines in the shell of your app:",
        "",
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in server.environ.items()]
    _show([*lines, ""])
    last = server.last_old_id
    while not signals:
        seen = server.count()
        while not signals and (page := server.stored(after=last, limit=_PAGE)):
            last = page[-1].id
            _show(map(_line, page))
        with contextlib.suppress(TimeoutError):
            server.wait_for_entries(seen + 1, _POLL_SECONDS)


def _show(lines: Iterable[str]) -> None:
    """Print lines immediately. If stdout is closed, the server runs without printing."""
    if has_output():
        say("\n".join(lines))
        flush()


def _line(row: StoredEntry) -> str:
    entry = row.entry
    return f"{entry['level']:<8} {_shown(entry['app_name'])} {_shown(entry['message'])}"


def _shown(text: str) -> str:
    return printable(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_PORT):
        raise argparse.ArgumentTypeError(f"must be from 0 to {_MAX_PORT}, not {text!r}")
    return int(text)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _fail(reason: str) -> int:
    complain("voyage-logger dev", reason)
    return 1
