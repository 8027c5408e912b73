"""`voyage-logger spool`: what it shows, sends and removes, and whose files it leaves alone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import until
from tests.support.spooling import Child, messages, slow_down
from voyage_logger import VoyageLogger
from voyage_logger.cli import main
from voyage_logger.cli.spool import _replaying
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and locks of POSIX")

AWAY = "http://127.0.0.1:9"  # nobody listens at the discard port
ELSEWHERE = "http://127.0.0.1:7"  # nor there


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def keys(server: DevServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment in which an operator works."""
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)


def log(logger: VoyageLogger, messages: tuple[str, ...]) -> None:
    """Logs messages of the form "level words"."""
    for message in messages:
        logger.log(message.partition(" ")[0], message)


def leave(folder: Path, *messages: str, base_url: str = AWAY) -> str:
    """Leaves entries in the folder, and gives the name of their owner, who is gone."""
    before = set(owners(folder))
    threads = set(threading.enumerate())
    logger = VoyageLogger(
        "app",
        spool_dir=folder,
        base_url=base_url,
        api_key="k",
        api_secret="s",
        flush_interval=600,
    )
    log(logger, messages)
    logger.close(timeout=0)
    (owner,) = set(owners(folder)) - before
    until(lambda: set(threading.enumerate()) <= threads)  # the worker may hold files for a moment
    return owner


def owners(folder: Path) -> list[str]:
    return sorted(path.name[3:-5] for path in folder.glob("v1.*.lock"))


@pytest.fixture
def live(folder: Path) -> Iterator[VoyageLogger]:
    """A logger that lives, and has an entry in the folder; it adopts nothing from the tests."""
    logger = VoyageLogger(
        "app", spool_dir=folder, base_url=ELSEWHERE, api_key="k", api_secret="s", flush_interval=600
    )
    logger.info("info of the living")
    yield logger
    logger.close(timeout=0)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spool(*words: object) -> int:
    return main(["spool", *map(str, words)])


def reject(server: DevServer, folder: Path, *messages: str) -> None:
    """Leaves dead letters in the folder: entries that the server has refused."""
    for message in messages:
        server.script(Fault(status=422, body=json.dumps({"detail": "no \x1b[2J such"})))
        logger = VoyageLogger(
            "app",
            spool_dir=folder,
            base_url=server.url,
            api_key=server.api_key,
            api_secret=server.api_secret,
            batch_size=1,
        )
        log(logger, (message,))
        logger.flush()
        assert logger.stats().rejected == 1
        logger.close()


def letters(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(folder.glob("v1.*.dead.ndjson"))
        for line in path.read_text().splitlines()
    ]


class TestLs:
    def test_names_the_living_and_the_dead(
        self, folder: Path, live: VoyageLogger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Each owner's state, process, destination, and entries by level."""
        dead = leave(folder, "info a", "info b", "error c")

        assert spool("ls", folder, "--json") == 0

        found = {each["owner"]: each for each in json.loads(capfd.readouterr().out)["owners"]}
        assert len(found) == 2
        of_dead = found.pop(dead)
        (of_live,) = found.values()
        assert (of_dead["state"], of_live["state"]) == ("dead", "alive")
        assert of_dead["pending"] == {"info": 2, "error": 1}
        assert of_live["pending"] == {"info": 1}
        assert of_dead["pid"] == os.getpid()
        assert of_dead["started"][:2] == "20"
        assert of_dead["destination"] == AWAY
        assert of_dead["bytes"] == sum(
            len(data) for name, data in content(folder).items() if dead in name and ".0000" in name
        )
        assert 0 <= of_dead["oldest_seconds"] < 60

    def test_is_a_table_for_people(
        self, folder: Path, live: VoyageLogger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """One row an owner, and a sum."""
        dead = leave(folder, "info a", "error b")

        assert spool("ls", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        (row,) = [line for line in lines if line.startswith(dead)]
        assert "dead" in row
        assert "2 (info 1, error 1)" in row
        assert AWAY in row
        assert lines[-1] == "2 owners (1 alive), 3 entries, 0 dead letters"

    def test_says_who_is_alive_by_the_lock(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A killed process is dead at once, whatever it had in the folder."""
        code = "logger = logger_on(folder); logger.info('x'); say('ready'); sys.stdin.read()"
        states = []
        with Child(server, folder, code) as child:
            assert child.hears() == "ready"
            spool("ls", folder, "--json")
            states += json.loads(capfd.readouterr().out)["owners"]
            child.kill()
        spool("ls", folder, "--json")
        states += json.loads(capfd.readouterr().out)["owners"]

        assert [each["state"] for each in states] == ["alive", "dead"]
        assert {each["pid"] for each in states} == {child.process.pid}

    def test_says_whose_files_a_living_process_has_taken_over(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The dead are not called alive: their files are adopted, and by whom is shown."""
        server.refuse_connections()
        dead = leave(folder, "info a", base_url=server.url)
        code = """\
            logger = logger_on(folder)
            logger.info("x")
            while not logger.stats().adopted:
                look(logger)
            say("adopted")
            sys.stdin.read()
        """
        with Child(server, folder, code) as child:
            assert child.hears() == "adopted"
            spool("ls", folder, "--json")
            found = json.loads(capfd.readouterr().out)["owners"]
            spool("ls", folder)
            *_, last = lines = capfd.readouterr().out.splitlines()
            assert spool("purge", folder, "--yes") == 0
            child.kill()
        assert capfd.readouterr().err.startswith("2 owners (1 alive, 1 adopted): left alone\n")
        spool("ls", folder, "--json")
        later = json.loads(capfd.readouterr().out)["owners"]

        (of_dead,) = [each for each in found if each["owner"] == dead]
        assert (of_dead["state"], of_dead["adopted_by"]) == ("adopted", child.process.pid)
        assert (of_dead["pid"], of_dead["destination"]) == (os.getpid(), server.url)
        (row,) = [line for line in lines if line.startswith(dead)]
        assert row.split()[1:3] == ["adopted", str(child.process.pid)]
        assert last.startswith("2 owners (1 alive, 1 adopted), 2 entries")
        assert {(each["state"], each["adopted_by"]) for each in later} == {("dead", None)}

    def test_counts_dead_letters_by_reason(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What the server has rejected is seen, though nothing waits."""
        reject(server, folder, "info a")

        assert spool("ls", folder) == 0

        assert "1 (HTTP 422 1)" in capfd.readouterr().out

    def test_names_what_is_none_of_its_files(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Files of others and of a newer version are named, with control characters escaped."""
        leave(folder, "info a")
        (folder / "note\x1b[2J.txt").touch()
        (folder / "v2.x.lock").touch()

        assert spool("ls", folder) == 0

        out = capfd.readouterr().out
        assert "note\\x1b[2J.txt: no file of a spool" in out
        assert "v2.x.lock: of a newer version" in out
        assert "others" not in out

    def test_of_a_folder_of_another_kind_is_short(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Of many files that are none of a spool's the first are named, and how many there are."""
        folder.mkdir()
        for number in range(605):
            (folder / f"{number:03}.txt").touch()

        assert spool("ls", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert lines[1:6] == [f"00{n}.txt: no file of a spool, left alone" for n in range(5)]
        assert lines[6:] == ["and 600 others: no file of a spool, left alone"]

    def test_of_dead_letters_alone_says_whose_they_were(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """No lock file is left then, but the owner's name has the process and the time."""
        reject(server, folder, "info a")
        (path,) = folder.iterdir()
        name = path.name.removeprefix("v1.").removesuffix(".dead.ndjson")
        began = datetime.fromtimestamp(int(name.split("-")[0]), timezone.utc)

        assert spool("ls", folder) == 0

        row = capfd.readouterr().out.splitlines()[1].split()
        assert row[:4] == [name, "dead", str(os.getpid()), f"{began:%Y-%m-%dT%H:%M:%SZ}"]

    def test_counts_lines_that_cannot_be_read(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A line changed by hand is no entry; a torn last line is none either."""
        leave(folder, "info a", "info b")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes() + b'{"spool_seq":9,"mess')

        assert spool("ls", folder, "--json") == 0

        (owner,) = json.loads(capfd.readouterr().out)["owners"]
        assert (owner["entries"], owner["unreadable_lines"]) == (2, 1)

    def test_of_an_empty_folder_says_so(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Nothing kept is no error."""
        folder.mkdir()

        assert spool("ls", folder) == 0
        assert capfd.readouterr().out == "No entries are kept here.\n"

    @pytest.mark.parametrize("command", ["ls", "show", "export"])
    def test_and_its_like_change_nothing(
        self, folder: Path, live: VoyageLogger, command: str
    ) -> None:
        """Looking makes no file, changes none, and leaves every lock to whom it belongs."""
        leave(folder, "info a", "error b")
        before = content(folder)

        assert spool(command, folder) == 0

        assert content(folder) == before
        leave(folder, "info of another one")  # the locks are free, or held, as before
        assert spool("purge", folder, "--yes") == 0
        assert len(owners(folder)) == 1

    def test_of_what_cannot_be_read_says_so(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What is in the way is named, the rest is shown, and the exit code tells."""
        leave(folder, "info a", "error b")
        (path,) = folder.glob("*.info.*")
        path.unlink()
        path.symlink_to("/etc/passwd")

        assert spool("show", folder) == 1

        out, err = capfd.readouterr()
        assert "error b" in out
        assert "root" not in out
        assert f"{path.name} cannot be read" in err

    @pytest.mark.parametrize("kind", ["info.000002.ndjson", "sent", "lock", "dead.ndjson"])
    def test_waits_for_no_pipe(self, folder: Path, kind: str) -> None:
        """A pipe in the place of a file is named, like whatever else is no file."""
        owner = leave(folder, "info a")
        path = folder / f"v1.{owner}.{kind}"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with run("ls", str(folder)) as process:
            try:
                assert process.wait(30) == 1
            finally:
                process.kill()
            assert process.stderr is not None
            assert b"it is not a regular file" in process.stderr.read()


class TestShow:
    def test_prints_lines_in_the_order_of_the_calls(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Over all levels, the oldest owner's first."""
        said = ["info a", "error b", "debug c", "info d", "critical e"]
        leave(folder, *said)

        assert spool("show", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert [line.split("app: ")[1].split("  ")[0] for line in lines] == said

    @pytest.mark.parametrize(
        ("options", "shown"),
        [
            (["--level", "error"], ["error b", "critical d"]),
            (["--limit", "2"], ["info a", "error b"]),
            (["--level", "WARNING", "--limit", "1"], ["error b"]),
            (["--limit", "0"], []),
        ],
    )
    def test_can_show_less(
        self, folder: Path, capfd: pytest.CaptureFixture[str], options: list[str], shown: list[str]
    ) -> None:
        """From a level upward, and so many."""
        leave(folder, "info a", "error b", "debug c", "critical d")

        assert spool("show", folder, "--json", *options) == 0

        lines = capfd.readouterr().out.splitlines()
        assert [json.loads(line)["message"] for line in lines] == shown

    def test_as_json_is_the_entry(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """What would be sent, without the spool's own number; and nothing a terminal obeys."""
        leave(folder, "info \x7f\x9b\u202e\u00e9")

        assert spool("show", folder, "--json") == 0

        out = capfd.readouterr().out
        entry = json.loads(out)
        assert out.rstrip("\n").isprintable()
        assert "spool_seq" not in entry
        assert entry["message"] == "info \x7f\x9b\u202e\u00e9"

    def test_says_the_day_and_the_zone(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What is kept may be days old; a time that is the app's own stays as it is."""
        owner = leave(folder, "info a")
        (path,) = folder.glob(f"v1.{owner}.info.*.ndjson")
        line = json.loads(path.read_text())
        with path.open("a") as file:
            line["meta_data"]["logged_at"] = "2026-01-31T12:00:00+01:00"
            file.write(json.dumps(line) + "\n")

        assert spool("show", folder) == 0

        ours, own = capfd.readouterr().out.splitlines()
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO     app: info a", ours)
        assert own.startswith("2026-01-31T12:00:00+01:00 INFO     app: info a")

    def test_escapes_what_a_terminal_obeys(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """No entry can move the cursor or forge a line."""
        leave(folder, "info \x1b[2J\nforged \x9b")

        assert spool("show", folder) == 0

        (line,) = capfd.readouterr().out.splitlines()
        assert line.isprintable()
        assert "\\x1b[2J\\nforged \\x9b" in line

    def test_shows_dead_letters_with_the_server_s_words(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Why, when, and what; also from a level upward."""
        reject(server, folder, "info a", "error b")

        assert spool("show", folder, "--dead-letters", "--level", "error") == 0

        why, what = capfd.readouterr().out.splitlines()
        assert why.startswith("-- rejected at 20")
        assert ", HTTP 422 " in why
        assert why.count("422") == 1
        assert "such" in why
        assert why.isprintable()
        assert "ERROR    app: error b" in what

    @pytest.mark.parametrize("command", ["show", "export"])
    def test_says_how_many_lines_it_leaves_out(
        self, folder: Path, capfd: pytest.CaptureFixture[str], command: str
    ) -> None:
        """Who keeps a copy hears that it is not all, in words and by the exit code."""
        owner = leave(folder, "info a", "info b")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes() + b"\n")

        assert spool(command, folder) == 1

        said = capfd.readouterr()
        assert len(said.out.splitlines()) == 2
        assert f"2 lines of {owner} cannot be read: left out" in said.err

    @pytest.mark.usefixtures("keys")
    def test_shows_lines_that_are_no_entries_among_dead_letters(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What could not be sent is there for a person, at whatever level; junk is counted."""
        leave(folder, "info a")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b'{"spool_seq":1,"message":"\x1b \xff"\n' + path.read_bytes())
        assert spool("replay", folder) == 1
        (path,) = folder.glob("*.dead.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())
        capfd.readouterr()

        assert spool("show", folder, "--dead-letters", "--level", "error") == 1

        said = capfd.readouterr()
        why, what = said.out.splitlines()
        assert re.fullmatch(r"-- left out at \S+, corrupt: no entry", why)
        assert what == '    {"spool_seq":1,"message":"\\x1b \\udcff"'
        assert f"1 line of {path.name} cannot be read: left out" in said.err

        assert spool("show", folder, "--dead-letters", "--json") == 1
        assert (
            json.loads(capfd.readouterr().out)["line"] == '{"spool_seq":1,"message":"\x1b \udcff"'
        )

    def test_leaves_out_what_is_delivered(
        self,
        server: DevServer,
        folder: Path,
        make_logger: Callable[..., VoyageLogger],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """A segment of which the server has a part shows the rest."""
        logger = make_logger(spool_dir=folder, batch_size=2, flush_interval=600)
        log(logger, ("info a", "info b", "info c"))
        server.wait_for_entries(2, timeout=10)
        until(lambda: logger.stats().delivered == 2)
        until(lambda: any(folder.glob("*.sent")))

        assert spool("show", folder) == 0

        assert capfd.readouterr().out.count("\n") == 1

    def test_s_reader_may_go(self, folder: Path) -> None:
        """`show | head` ends without a traceback."""
        leave(folder, *[f"info {'x' * 500}"] * 400)
        with run("show", str(folder)) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(30) == 0
            assert process.stderr.read() == b""


class TestExport:
    def test_is_what_would_be_sent(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """To the byte, in order, and nothing is removed."""
        leave(folder, "info a\u00e9", "error b")
        before = content(folder)
        kept = sorted(
            line.partition(b",")[2]
            for name, data in before.items()
            if name.endswith(".ndjson")
            for line in data.splitlines()
        )

        assert spool("export", folder, "--output", tmp_path / "out") == 0
        assert spool("export", folder) == 0

        written = (tmp_path / "out").read_bytes()
        assert capfd.readouterr().out.encode() == written
        assert sorted(line[1:] for line in written.splitlines()) == kept
        assert [json.loads(line)["level"] for line in written.splitlines()] == ["info", "error"]
        assert content(folder) == before

    def test_to_a_terminal_or_pipe_is_harmless(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What a terminal would obey is escaped as JSON has it; letters stay as they are."""
        leave(folder, "info \x9b\u202e", "error \u00e9")

        assert spool("export", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert all(line.isprintable() for line in lines)
        assert json.loads(lines[0])["message"] == "info \x9b\u202e"
        assert '"error \u00e9"' in lines[1]

    def test_is_its_user_s_alone(self, folder: Path, tmp_path: Path) -> None:
        """What could be read by nobody else in the folder cannot be in the new file either."""
        leave(folder, "info a")

        assert spool("export", folder, "--output", tmp_path / "out") == 0

        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600

    def test_overwrites_nothing(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A file that is there stays as it is."""
        leave(folder, "info a")
        (tmp_path / "out").write_text("mine")

        assert spool("export", folder, "--output", tmp_path / "out") == 1
        assert (tmp_path / "out").read_text() == "mine"
        assert "exists" in capfd.readouterr().err


@pytest.mark.usefixtures("keys")
class TestReplay:
    def test_sends_all_that_the_dead_have_left(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """In order, once, whatever server it was meant for; nothing is left in the folder."""
        leave(folder, "info a", "error b", "debug c")
        leave(folder, "info d", base_url=server.url)

        assert spool("replay", folder) == 0

        assert sorted(messages(server)) == ["debug c", "error b", "info a", "info d"]
        assert [each for each in messages(server) if each != "info d"] == [
            "info a",
            "error b",
            "debug c",
        ]
        assert content(folder) == {}
        assert capfd.readouterr().out == f"Sent 4 entries to {server.url}.\n"

    def test_sends_segments_without_a_lock_file(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What ordinary processes leave alone, a person can have sent."""
        owner = leave(folder, "info a", "error b")
        rename(folder, owner, with_lock=False)

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a", "error b"]
        assert content(folder) == {}

    def test_leaves_the_living_alone(
        self, server: DevServer, folder: Path, live: VoyageLogger
    ) -> None:
        """The files of a living owner stay as they are, and what it sends is its own matter."""
        before = content(folder)
        leave(folder, "info a")

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a"]
        assert content(folder) == before

    def test_says_what_is_left_to_the_living(
        self,
        server: DevServer,
        folder: Path,
        live: VoyageLogger,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Where only they have entries, too: done, and nobody takes the folder for empty."""
        assert spool("replay", folder) == 0
        assert capfd.readouterr().out == (
            "There is nothing to send.\n1 entry of 1 owner left for running processes to send.\n"
        )

        leave(folder, "info a")
        assert spool("replay", folder) == 0
        assert capfd.readouterr().out == (
            f"Sent 1 entry to {server.url}.\n"
            "1 entry of 1 owner left for running processes to send.\n"
        )

    def test_says_whose_dead_letters_wait_for_the_end_of_a_process(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Nobody takes them for gone: the living one's are named, and when they can be sent."""
        server.script(Fault(status=422))
        with VoyageLogger("app", spool_dir=folder, batch_size=1) as logger:
            logger.info("bad")
            logger.flush()

            assert spool("replay", folder, "--dead-letters") == 0
            assert capfd.readouterr().out == (
                "There is nothing to send.\n1 dead letter of 1 living owner left alone: "
                "it can be sent once that process has ended.\n"
            )
        assert spool("replay", folder, "--dead-letters") == 0
        assert capfd.readouterr().out == f"Sent 1 entry to {server.url}.\n"

    def test_leaves_alone_who_only_lost_its_lock_file(
        self, server: DevServer, folder: Path
    ) -> None:
        """A segment of a process that runs is not taken for an orphan's, lock file or not."""
        owner = leave(folder, "info a")
        (folder / f"v1.{owner}.lock").unlink()
        before = content(folder)

        assert spool("replay", folder) == 0
        assert spool("purge", folder, "--yes") == 0

        assert server.count() == 0
        assert content(folder) == before

    def test_takes_a_lock_file_that_a_person_has_made_for_a_word(
        self, server: DevServer, folder: Path
    ) -> None:
        """In a container, process 1 always runs: whoever knows better says so by `touch`."""
        leave(folder, "info a")
        (lock,) = folder.glob("*.lock")
        lock.unlink()
        (path,) = folder.glob("*.ndjson")
        path.rename(folder / re.sub(r"-\d+-", "-1-", path.name))
        assert spool("replay", folder) == 0
        assert server.count() == 0
        (folder / re.sub(r"-\d+-", "-1-", lock.name)).touch()

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a"]
        assert content(folder) == {}

    def test_takes_any_number_of_owners(self, server: DevServer, folder: Path) -> None:
        """More than a process adopts at a time."""
        for number in range(20):
            leave(folder, f"info {number}")

        assert spool("replay", folder) == 0

        assert server.count() == 20
        assert server.duplicates() == {}
        assert content(folder) == {}

    def test_waits_for_a_slow_disk(
        self, server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is done when its looks at the folder are, however long one takes."""
        leave(folder, "info a")
        monkeypatch.setattr(_replaying, "_LOOK_SECONDS", 0.001)
        slow_down(monkeypatch, threading.Event(), threading.Event(), seconds=0.3)

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a"]
        assert content(folder) == {}

    def test_calls_nothing_sent_that_it_was_about_to_take_over(
        self,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """What it has not finished reading when the time is over is left, and nobody else's."""
        leave(folder, "info a")
        slow_down(monkeypatch, threading.Event(), threading.Event(), seconds=0.5)

        assert spool("replay", folder, "--timeout", "0.2") == 1

        assert capfd.readouterr().out.endswith("1 entry and 0 unreadable lines left\n")
        assert server.count() == 0

    def test_does_not_wait_for_ever_for_a_disk(
        self,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """One that hangs is told, and never taken for a folder with nothing in it."""
        leave(folder, "info a")
        monkeypatch.setattr(_replaying, "_GRACE_SECONDS", 0.1)
        released = threading.Event()
        slow_down(monkeypatch, released, threading.Event(), seconds=30)
        try:
            assert spool("replay", folder, "--timeout", "2") == 1
        finally:
            released.set()

        assert "has not answered in time" in capfd.readouterr().err

    def test_names_a_segment_that_it_cannot_read(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The others of its owner are sent, and the exit code tells."""
        leave(folder, "info a", "error b")
        path = spoil(folder)

        assert spool("replay", folder) == 1

        assert messages(server) == ["error b"]
        assert f"{path.name} cannot be read: it is not a regular file" in capfd.readouterr().err

    def test_keeps_what_the_server_refuses(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """It becomes a dead letter, and the exit code tells."""
        leave(folder, "info a")
        server.script(Fault(status=422))

        assert spool("replay", folder) == 1

        assert [letter["entry"]["message"] for letter in letters(folder)] == ["info a"]
        assert "1 rejected: HTTP 422" in capfd.readouterr().out

    def test_leaves_dead_letters_unless_told(self, server: DevServer, folder: Path) -> None:
        """They were refused once; only a person can know that they no longer will be."""
        reject(server, folder, "info a")
        before = content(folder)

        assert spool("replay", folder) == 0

        assert content(folder) == before
        assert server.count() == 0

    def test_sends_dead_letters_again(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """They go out as they were logged, with the same ids."""
        reject(server, folder, "info a", "error b")
        kept = [letter["entry"] for letter in letters(folder)]

        assert spool("replay", folder, "--dead-letters") == 0

        assert sorted(server.entries(), key=str) == sorted(kept, key=str)
        assert content(folder) == {}

    def test_keeps_dead_letters_that_are_refused_again(
        self, server: DevServer, folder: Path
    ) -> None:
        """With the server's new words."""
        reject(server, folder, "info a")
        server.script(Fault(status=400))

        assert spool("replay", folder, "--dead-letters") == 1

        (letter,) = letters(folder)
        assert (letter["reason"], letter["entry"]["message"]) == ("HTTP 400", "info a")

    def test_keeps_dead_letters_that_cannot_be_read(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A line that is none stays for a person to look at; the others go."""
        reject(server, folder, "info a")
        (path,) = folder.glob("*.dead.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder, "--dead-letters") == 1

        assert messages(server) == ["info a"]
        assert path.read_bytes() == b"junk\n"
        assert "1 dead letter left" in capfd.readouterr().out

    def test_loses_no_dead_letter_to_a_full_disk(self, server: DevServer, folder: Path) -> None:
        """If there is no room to make them pending, they stay what they are."""
        reject(server, folder, "info a", f"error {'x' * 5000}")
        path, other = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
        path.write_bytes(path.read_bytes() + other.read_bytes())
        other.unlink()
        before = content(folder)
        limit = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
            "from voyage_logger.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", limit, "spool", "replay", "--dead-letters", str(folder)],
            capture_output=True,
            check=False,
            timeout=60,
        )

        assert done.returncode == 1
        assert b"File too large" in done.stderr
        assert content(folder) == before
        assert server.count() == 0

    def test_stops_when_its_time_is_over(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What was not sent by then stays for the next time."""
        leave(folder, "info a", "info b")
        server.script(*[Fault(status=503)] * 50)

        assert spool("replay", folder, "--timeout", "0.4") == 1

        assert "2 entries and 0 unreadable lines left" in capfd.readouterr().out
        server.reset()
        assert spool("replay", folder) == 0
        assert sorted(messages(server)) == ["info a", "info b"]

    def test_with_wrong_credentials_sends_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The operator is told at once, and the folder stays as it was."""
        leave(folder, "info a")
        before = content(folder)
        monkeypatch.setenv("VOYAGE_LOGS_KEY", "wrong")

        assert spool("replay", folder) == 1

        assert "nothing was sent" in capfd.readouterr().err
        assert content(folder) == before

    def test_without_credentials_is_wrong_usage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The missing variable is named."""
        leave(folder, "info a")
        monkeypatch.delenv("VOYAGE_LOGS_KEY")

        assert spool("replay", folder) == 2
        assert capfd.readouterr().err == (
            "voyage-logger spool: no credentials: VOYAGE_LOGS_KEY is not set; "
            "export the variables (`voyage-logger dev` prints values for a local server)\n"
        )

    def test_tells_of_lines_that_it_could_not_send(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A corrupt line is a loss, and has a reason."""
        leave(folder, "info a")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder) == 1

        assert "info a" in messages(server)
        assert "1 dropped: corrupt" in capfd.readouterr().out

    def test_has_a_bar_on_a_terminal(self, server: DevServer, folder: Path) -> None:
        """How far it is, in place; where there is no terminal, none."""
        leave(folder, "info a", "info b")

        code, shown = at_terminal("replay", str(folder))

        assert code == 0
        assert f"[{'#' * 30}] 2 of 2 entries\r\n" in shown

    def test_has_no_bar_elsewhere(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """A file or a pipe gets whole lines."""
        leave(folder, "info a")

        assert spool("replay", folder) == 0
        assert capfd.readouterr().err == ""

    def test_of_nothing_is_done(
        self, folder: Path, server: DevServer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Without a sign-in."""
        folder.mkdir()

        assert spool("replay", folder) == 0
        assert capfd.readouterr().out == "There is nothing to send.\n"
        assert server.requests == []


class TestPurge:
    def test_asks_nobody_without_a_terminal(
        self, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A script that forgot `--yes` removes nothing."""
        leave(folder, "info a")
        before = content(folder)
        with open(os.devnull) as nobody:  # noqa: PTH123 - a device
            monkeypatch.setattr(sys, "stdin", nobody)
            assert spool("purge", folder) == 2

        assert content(folder) == before
        assert "standard input is no terminal: give --yes" in capfd.readouterr().err

    def test_removes_the_files_of_the_dead(
        self,
        folder: Path,
        live: VoyageLogger,
        server: DevServer,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """And of nobody else: neither the living's, nor those that no spool of this kind made."""
        (folder / "v2.x.lock").touch()
        (folder / "note.txt").touch()
        before = content(folder)
        owner = leave(folder, "info a", "error b")
        (folder / f"v1.{owner}.sent.new").touch()
        reject(server, folder, "info c")

        assert spool("purge", folder, "--yes") == 0

        assert content(folder) == before
        out, err = capfd.readouterr()
        assert out.startswith("Removed 4 files, ")
        assert "1 owner (1 alive): left alone" in err

    def test_names_what_it_cannot_remove(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The rest is removed; the lock file stays with what it guards."""
        owner = leave(folder, "info a", "error b")
        path = spoil(folder)

        assert spool("purge", folder, "--yes") == 1

        assert f"{path.name} cannot be removed" in capfd.readouterr().err
        assert {each.name for each in folder.iterdir()} == {path.name, f"v1.{owner}.lock"}
        path.rmdir()
        assert spool("purge", folder, "--yes") == 0
        assert content(folder) == {}

    def test_removes_nothing_but_dead_letters_if_told(
        self, folder: Path, server: DevServer
    ) -> None:
        """What waits goes on waiting."""
        reject(server, folder, "info c")
        (path,) = folder.iterdir()
        owner = leave(folder, "info a")
        before = content(folder)
        del before[path.name]
        path.rename(folder / f"v1.{owner}.dead.ndjson")

        assert spool("purge", folder, "--yes", "--dead-letters") == 0

        assert content(folder) == before

    def test_removes_segments_without_a_lock_file(self, folder: Path) -> None:
        """Those, too, if no process of their owner's id runs."""
        rename(folder, leave(folder, "info a"), with_lock=False)

        assert spool("purge", folder, "--yes") == 0
        assert content(folder) == {}

    @pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0), ("YES", 0)])
    def test_asks_at_a_terminal(self, folder: Path, answer: str, code: int) -> None:
        """Only a yes is one; what is at stake is said."""
        leave(folder, "info a")

        found, shown = at_terminal("purge", str(folder), answer=answer)

        assert found == code
        assert "Remove 1 pending entry and 0 dead letters of 1 dead owner for good?" in shown
        assert bool(content(folder)) is (code == 1)

    def test_of_nothing_is_done(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Without a question."""
        folder.mkdir()

        assert spool("purge", folder) == 0
        assert capfd.readouterr().out == "There is nothing to remove.\n"


COMMANDS = ["ls", "show", "export", "replay", "purge"]


def test_the_environment_s_folder_is_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An operator has the app's variables; but what removes files for good has its folder named."""
    leave(folder, "info a")
    monkeypatch.setenv("VOYAGE_LOGS_SPOOL_DIR", str(folder))

    assert spool("show") == 0
    assert "app: info a" in capfd.readouterr().out
    before = content(folder)
    with pytest.raises(SystemExit) as ended:
        spool("purge", "--yes")
    assert ended.value.code == 2
    assert content(folder) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_no_folder_is_made_by_looking_for_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """A path that is wrong stays so: exit code 3."""
    assert spool(command, tmp_path / "no\nsuch") == 3
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err.endswith("no\\nsuch: there is no such folder\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_links_are_not_followed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """As for the logger itself: exit code 3."""
    leave(folder, "info a")
    (tmp_path / "link").symlink_to(folder)

    assert spool(command, tmp_path / "link") == 3
    assert "a link" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["ls"],
        ["purge"],
        ["show", "x", "--level", "loud"],
        ["show", "x", "--limit", "-1"],
        ["replay", "x", "--timeout", "0"],
        ["replay", "x", "--timeout", "nan"],
        ["replay", "x", "--timeout", "soon"],
    ],
    ids=" ".join,
)
def test_wrong_usage(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Exit code 2, as for the other commands."""
    with pytest.raises(SystemExit) as ended:
        spool(*words)
    assert ended.value.code == 2
    assert "usage: voyage-logger spool" in capfd.readouterr().err


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)], ids=" ".join)
def test_help_names_the_exit_codes(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """What a script may rely on stands in `--help`."""
    with pytest.raises(SystemExit):
        spool(*words, "--help")
    out = capfd.readouterr().out
    assert all(f"\n  {code}  " in out for code in range(4))


def spoil(folder: Path) -> Path:
    """Puts a folder in the place of the one segment of the level info."""
    (path,) = folder.glob("*.info.*")
    path.unlink()
    path.mkdir()
    return path


def rename(folder: Path, owner: str, *, with_lock: bool) -> None:
    """Gives an owner's files to a process that has ended, with or without the lock file."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True
    )
    began, _, token = owner.split("-")
    other = f"{began}-{int(ended.stdout)}-{token}"
    for path in folder.glob(f"v1.{owner}.*"):
        path.rename(folder / path.name.replace(owner, other))
    if not with_lock:
        (folder / f"v1.{other}.lock").unlink()


def run(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "voyage_logger", "spool", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def at_terminal(*words: str, answer: str = "") -> tuple[int, str]:
    """The exit code of a command that has a terminal, and what it shows there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "voyage_logger", "spool", *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    return process.wait(30), shown.decode()
