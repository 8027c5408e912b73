"""A process that loses the right to open its files still uses its open descriptors.

For example, a daemon starts as root and then changes its user, or a deployment changes the owner
or the mode of the spool folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.processes import messages
from tests.support.spooling import Child, look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.loggers import MakeLogger
    from voyage_logger.devserver import DevServer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")

NOBODY = 65534
CODE = """\
    how, journal, end = sys.argv[2:]
    import_all()
    if how == "chmod":
        os.seteuid(65534)
    logger = logger_on(folder)
    logger.info("0")
    if journal == "full journal":
        from voyage_logger._queue.spool import owner
        owner._JOURNAL_LIMIT = 0
    if journal != "no journal":
        logger.flush()
    logger.info("1")
    if how == "setuid":
        os.seteuid(65534)
    elif how == "chmod":
        os.chmod(folder, 0)
    else:
        for name in ("", *os.listdir(folder)):
            os.chown(os.path.join(folder, name), 65534, 65534)
    for number in range(2, 6):
        logger.info(f"{number}")
    if end == "exit":
        logger.error("6")  # A new level needs a new file, so the first file is closed for writing.
    logger.info("7")
    logger.flush()
    say(logger.stats().dropped)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    logger.info("8")
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder in a folder that other users can open."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent, "spool")
        folder.mkdir(mode=0o700)
        yield folder


def give_back(folder: Path) -> None:
    """Give this process the right to open all files."""
    for path in (folder, *folder.iterdir()):
        os.chown(path, 0, 0)
    folder.chmod(0o700)


@pytest.mark.parametrize("how", ["setuid", "chmod", "chown"])
@pytest.mark.parametrize(
    ("journal", "end"),
    [("journal", "exit"), ("journal", "kill"), ("full journal", "kill"), ("no journal", "exit")],
)
def test_entries_of_open_files_arrive_once(
    server: DevServer,
    make_logger: MakeLogger,
    public_folder: Path,
    how: str,
    journal: str,
    end: str,
) -> None:
    """The process delivers all entries, and the next process does not send them again."""
    if how == "chmod":
        os.chown(public_folder, NOBODY, NOBODY)
    with Child(server, public_folder, CODE, how, journal, end) as child:
        said, words = child.end()

    assert said == ["0"], words
    assert "Traceback" not in words
    texts = [*"012345", "7"] if end == "kill" else [*"012345678"]
    assert sorted(messages(server)) == texts
    give_back(public_folder)
    following = make_logger(spool_dir=public_folder, flush_interval=600)
    look(following)
    until(lambda: (following.flush(), following.stats().pending)[1] == 0)
    following.close()
    assert sorted(messages(server)) == texts
    assert list(public_folder.iterdir()) == []


@pytest.mark.parametrize("how", ["setuid", "chmod", "chown"])
def test_unsent_entries_of_open_files_are_left_for_the_next_process(
    server: DevServer, make_logger: MakeLogger, public_folder: Path, how: str
) -> None:
    """If the server is down at the exit, the entries in open files stay on the disk."""
    if how == "chmod":
        os.chown(public_folder, NOBODY, NOBODY)
    code = CODE.replace('logger.error("6")', "pass").replace("logger.flush()", "logger.flush(0.1)")
    code = code.replace("import_all()", "import_all(); say('ready'); sys.stdin.readline()")
    with Child(server, public_folder, code, how, "no journal", "exit") as child:
        child.hears()
        server.refuse_connections()
        child.tell()
        said, words = child.end()

    assert said == ["0"], words
    give_back(public_folder)
    server.accept_connections()
    following = make_logger(spool_dir=public_folder, flush_interval=600)
    look(following)
    until(lambda: (following.flush(), following.stats().pending)[1] == 0)
    assert sorted(messages(server)) == [*"012345", "7", "8"]
