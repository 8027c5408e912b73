"""Tests of `voyage-logger spool`: its output, and the files that it sends, removes or leaves."""

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

from tests.support import processes
from tests.support.loggers import until
from tests.support.processes import messages, python
from tests.support.spooling import Child, slow_down
from voyage_logger import VoyageLogger
from voyage_logger.cli import main
from voyage_logger.cli.spool import _replaying
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and locks of POSIX")

AWAY = "http://127.0.0.1:9"  # the port "discard", on which nothing listens
ELSEWHERE = "http://127.0.0.1:7"  # nothing listens on this port


def log(logger: VoyageLogger, messages: tuple[str, ...]) -> None:
    """Log messages of the form "level words"."""
    for message in messages:
        logger.log(message.partition(" ")[0], message)


def leave(folder: Path, *messages: str, base_url: str = AWAY) -> str:
    """Leave entries in the folder, and return the name of their dead owner."""
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
    until(
        lambda: set(threading.enumerate()) <= threads
    )  # the worker closes its files a moment later
    return owner


def owners(folder: Path) -> list[str]:
    return sorted(path.name[3:-5] for path in folder.glob("v1.*.lock"))


@pytest.fixture
def live(folder: Path) -> Iterator[VoyageLogger]:
    """A running logger that has an entry in the folder. It adopts no entries of the tests."""
    logger = VoyageLogger(
        "app", spool_dir=folder, base_url=ELSEWHERE, api_key="k", api_secret="s", flush_interval=600
    )
    logger.info("info of a running owner")
    yield logger
    logger.close(timeout=0)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def spool(*words: object) -> int:
    return main(["spool", *map(str, words)])


def reject(server: DevServer, folder: Path, *messages: str) -> None:
    """Leave dead letters in the folder, which are entries that the server has rejected."""
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
    def test_ls_shows_running_and_dead_owners(
        self, folder: Path, live: VoyageLogger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The state, process, destination and counts of each owner are shown."""
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

    def test_ls_prints_a_table(
        self, folder: Path, live: VoyageLogger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The table has a row for each owner, and a line with the sums."""
        dead = leave(folder, "info a", "error b")

        assert spool("ls", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        (row,) = [line for line in lines if line.startswith(dead)]
        assert "dead" in row
        assert "2 (info 1, error 1)" in row
        assert AWAY in row
        assert lines[-1] == "2 owners (1 alive), 3 entries, 0 dead letters"

    def test_ls_shows_a_killed_process_as_dead(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The state of an owner changes to "dead" as soon as its process is killed."""
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

    def test_ls_shows_which_process_has_adopted_files(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """An owner is "adopted" if a running process has taken over its files."""
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

    def test_ls_counts_dead_letters_by_reason(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Rejected entries are counted, even if no entries are pending."""
        reject(server, folder, "info a")

        assert spool("ls", folder) == 0

        assert "1 (HTTP 422 1)" in capfd.readouterr().out

    def test_ls_names_foreign_files(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Foreign and newer files are named, with control characters escaped."""
        leave(folder, "info a")
        (folder / "note\x1b[2J.txt").touch()
        (folder / "v2.x.lock").touch()

        assert spool("ls", folder) == 0

        out = capfd.readouterr().out
        assert "note\\x1b[2J.txt: not a file of a spool" in out
        assert "v2.x.lock: a file of a newer version" in out
        assert "others" not in out

    def test_ls_names_only_the_first_foreign_files(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If many files are foreign, only some are named, and the others are counted."""
        folder.mkdir()
        for number in range(605):
            (folder / f"{number:03}.txt").touch()

        assert spool("ls", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert lines[1:6] == [f"00{n}.txt: not a file of a spool, left alone" for n in range(5)]
        assert lines[6:] == ["and 600 others: not a file of a spool, left alone"]

    def test_ls_shows_the_owner_of_dead_letters_without_a_lock_file(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Process and start time come from the name of the dead-letter file."""
        reject(server, folder, "info a")
        (path,) = folder.iterdir()
        name = path.name.removeprefix("v1.").removesuffix(".dead.ndjson")
        began = datetime.fromtimestamp(int(name.split("-")[0]), timezone.utc)

        assert spool("ls", folder) == 0

        row = capfd.readouterr().out.splitlines()[1].split()
        assert row[:4] == [name, "dead", str(os.getpid()), f"{began:%Y-%m-%dT%H:%M:%SZ}"]

    def test_ls_counts_unreadable_lines(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Changed lines and an incomplete last line count as unreadable."""
        leave(folder, "info a", "info b")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes() + b'{"spool_seq":9,"mess')

        assert spool("ls", folder, "--json") == 0

        (owner,) = json.loads(capfd.readouterr().out)["owners"]
        assert (owner["entries"], owner["unreadable_lines"]) == (2, 1)

    def test_ls_of_an_empty_folder_succeeds(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """An empty folder is not an error."""
        folder.mkdir()

        assert spool("ls", folder) == 0
        assert capfd.readouterr().out == "The folder has no entries.\n"

    @pytest.mark.parametrize("command", ["ls", "show", "export"])
    def test_ls_show_and_export_change_nothing(
        self, folder: Path, live: VoyageLogger, command: str
    ) -> None:
        """These commands change no files, and they leave all locks as they were."""
        leave(folder, "info a", "error b")
        before = content(folder)

        assert spool(command, folder) == 0

        assert content(folder) == before
        leave(folder, "info of another one")  # this works only if the locks are as before
        assert spool("purge", folder, "--yes") == 0
        assert len(owners(folder)) == 1

    def test_show_names_a_file_that_it_cannot_read(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The other files are shown, and the exit code is 1."""
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
    def test_ls_does_not_wait_for_a_named_pipe(self, folder: Path, kind: str) -> None:
        """A named pipe in the place of a file is reported like other wrong files."""
        owner = leave(folder, "info a")
        path = folder / f"v1.{owner}.{kind}"
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        with run("ls", str(folder)) as child:
            assert child.process.wait(30) == 1
            assert "it is not a regular file" in child.end()[1]


class TestShow:
    def test_show_prints_entries_in_the_order_of_the_calls(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Entries of all levels are shown in one order, beginning with the oldest owner."""
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
    def test_show_filters_by_level_and_limit(
        self, folder: Path, capfd: pytest.CaptureFixture[str], options: list[str], shown: list[str]
    ) -> None:
        """The options select a lowest level and a largest number of entries."""
        leave(folder, "info a", "error b", "debug c", "critical d")

        assert spool("show", folder, "--json", *options) == 0

        lines = capfd.readouterr().out.splitlines()
        assert [json.loads(line)["message"] for line in lines] == shown

    def test_show_json_prints_each_entry_as_it_would_be_sent(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The JSON has no number of the spool, and control characters are escaped."""
        leave(folder, "info \x7f\x9b\u202e\u00e9")

        assert spool("show", folder, "--json") == 0

        out = capfd.readouterr().out
        entry = json.loads(out)
        assert out.rstrip("\n").isprintable()
        assert "spool_seq" not in entry
        assert entry["message"] == "info \x7f\x9b\u202e\u00e9"

    def test_show_prints_day_and_time_zone(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A kept entry can be days old. A time that the app has set is not changed."""
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

    def test_show_escapes_control_characters(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """An entry cannot move the cursor or fake another line."""
        leave(folder, "info \x1b[2J\nforged \x9b")

        assert spool("show", folder) == 0

        (line,) = capfd.readouterr().out.splitlines()
        assert line.isprintable()
        assert "\\x1b[2J\\nforged \\x9b" in line

    def test_show_dead_letters_prints_reason_and_time(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A line above each dead letter has the answer of the server and the time."""
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
    def test_show_and_export_count_unreadable_lines(
        self, folder: Path, capfd: pytest.CaptureFixture[str], command: str
    ) -> None:
        """A message and the exit code 1 tell that the output is incomplete."""
        owner = leave(folder, "info a", "info b")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes() + b"\n")

        assert spool(command, folder) == 1

        said = capfd.readouterr()
        assert len(said.out.splitlines()) == 2
        assert f"2 lines of {owner} cannot be read: left out" in said.err

    @pytest.mark.usefixtures("credentials")
    def test_show_dead_letters_includes_corrupt_lines(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A corrupt line has no level, so `--level` does not hide it."""
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

    def test_show_leaves_out_delivered_entries(
        self,
        server: DevServer,
        folder: Path,
        make_logger: Callable[..., VoyageLogger],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Only the pending entries of a partly delivered segment are shown."""
        logger = make_logger(spool_dir=folder, batch_size=2, flush_interval=600)
        log(logger, ("info a", "info b", "info c"))
        server.wait_for_entries(2, timeout=10)
        until(lambda: logger.stats().delivered == 2)
        until(lambda: any(folder.glob("*.sent")))

        assert spool("show", folder) == 0

        assert capfd.readouterr().out.count("\n") == 1

    def test_show_ends_quietly_if_its_reader_ends(self, folder: Path) -> None:
        """`show | head` prints no traceback."""
        leave(folder, *[f"info {'x' * 500}"] * 400)
        with run("show", str(folder)) as child:
            assert child.hears()
            assert child.process.stdout is not None
            child.process.stdout.close()
            assert child.process.wait(30) == 0
            assert child.end()[1] == ""


class TestExport:
    def test_export_writes_the_bytes_that_would_be_sent(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The entries are in order, and the folder does not change."""
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

    def test_export_to_standard_output_escapes_control_characters(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Control characters become JSON escapes, and letters do not change."""
        leave(folder, "info \x9b\u202e", "error \u00e9")

        assert spool("export", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert all(line.isprintable() for line in lines)
        assert json.loads(lines[0])["message"] == "info \x9b\u202e"
        assert '"error \u00e9"' in lines[1]

    def test_export_makes_a_private_file(self, folder: Path, tmp_path: Path) -> None:
        """Other users cannot read the new file, as they cannot read the folder."""
        leave(folder, "info a")

        assert spool("export", folder, "--output", tmp_path / "out") == 0

        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600

    def test_export_overwrites_no_file(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """An existing file stays as it is, and the exit code is 1."""
        leave(folder, "info a")
        (tmp_path / "out").write_text("mine")

        assert spool("export", folder, "--output", tmp_path / "out") == 1
        assert (tmp_path / "out").read_text() == "mine"
        assert "exists" in capfd.readouterr().err


@pytest.mark.usefixtures("credentials")
class TestReplay:
    def test_replay_sends_all_entries_of_dead_owners(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Each entry is sent once, for any destination, and the folder is then empty."""
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

    def test_replay_sends_segments_without_a_lock_file(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Apps leave such segments alone, but an operator can send them."""
        owner = leave(folder, "info a", "error b")
        rename(folder, owner, with_lock=False)

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a", "error b"]
        assert content(folder) == {}

    def test_replay_leaves_the_files_of_running_owners_alone(
        self, server: DevServer, folder: Path, live: VoyageLogger
    ) -> None:
        """The files of a running owner do not change."""
        before = content(folder)
        leave(folder, "info a")

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a"]
        assert content(folder) == before

    def test_replay_counts_the_entries_of_running_owners(
        self,
        server: DevServer,
        folder: Path,
        live: VoyageLogger,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The output tells that the folder still has entries, and the exit code is 0."""
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

    def test_replay_counts_the_dead_letters_of_running_owners(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The output tells when the dead letters of a running owner can be sent."""
        server.script(Fault(status=422))
        with VoyageLogger("app", spool_dir=folder, batch_size=1) as logger:
            logger.info("bad")
            logger.flush()

            assert spool("replay", folder, "--dead-letters") == 0
            assert capfd.readouterr().out == (
                "There is nothing to send.\n1 dead letter of 1 running owner left alone: "
                "it can be sent once that process has ended.\n"
            )
        assert spool("replay", folder, "--dead-letters") == 0
        assert capfd.readouterr().out == f"Sent 1 entry to {server.url}.\n"

    def test_replay_and_purge_leave_a_running_owner_without_lock_file_alone(
        self, server: DevServer, folder: Path
    ) -> None:
        """An owner without a lock file is not dead while its process runs."""
        owner = leave(folder, "info a")
        (folder / f"v1.{owner}.lock").unlink()
        before = content(folder)

        assert spool("replay", folder) == 0
        assert spool("purge", folder, "--yes") == 0

        assert server.count() == 0
        assert content(folder) == before

    def test_replay_sends_entries_after_an_operator_makes_the_lock_file(
        self, server: DevServer, folder: Path
    ) -> None:
        """In a container, process 1 always runs, so the lock file tells that the owner is dead."""
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

    def test_replay_sends_the_entries_of_many_owners(self, server: DevServer, folder: Path) -> None:
        """A replay is not limited to the owners that one look adopts."""
        for number in range(20):
            leave(folder, f"info {number}")

        assert spool("replay", folder) == 0

        assert server.count() == 20
        assert server.duplicates() == {}
        assert content(folder) == {}

    def test_replay_waits_for_a_slow_disk(
        self, server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A replay ends after a number of looks, even if one look takes long."""
        leave(folder, "info a")
        monkeypatch.setattr(_replaying, "_LOOK_SECONDS", 0.001)
        slow_down(monkeypatch, threading.Event(), threading.Event(), seconds=0.3)

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a"]
        assert content(folder) == {}

    def test_replay_counts_entries_as_left_if_the_timeout_ends_their_adoption(
        self,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """An entry that was being read at the timeout is counted as left."""
        leave(folder, "info a")
        slow_down(monkeypatch, threading.Event(), threading.Event(), seconds=0.5)

        assert spool("replay", folder, "--timeout", "0.2") == 1

        assert capfd.readouterr().out.endswith("1 entry and 0 unreadable lines left\n")
        assert server.count() == 0

    def test_replay_reports_a_disk_that_hangs(
        self,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The output does not claim that the folder has no entries."""
        leave(folder, "info a")
        monkeypatch.setattr(_replaying, "_GRACE_SECONDS", 0.1)
        released = threading.Event()
        slow_down(monkeypatch, released, threading.Event(), seconds=30)
        try:
            assert spool("replay", folder, "--timeout", "2") == 1
        finally:
            released.set()

        assert "has not answered in time" in capfd.readouterr().err

    def test_replay_names_a_segment_that_it_cannot_read(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The other segments of the owner are sent, and the exit code is 1."""
        leave(folder, "info a", "error b")
        path = spoil(folder)

        assert spool("replay", folder) == 1

        assert messages(server) == ["error b"]
        assert f"{path.name} cannot be read: it is not a regular file" in capfd.readouterr().err

    def test_replay_keeps_rejected_entries(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A rejected entry becomes a dead letter, and the exit code is 1."""
        leave(folder, "info a")
        server.script(Fault(status=422))

        assert spool("replay", folder) == 1

        assert [letter["entry"]["message"] for letter in letters(folder)] == ["info a"]
        assert "1 rejected: HTTP 422" in capfd.readouterr().out

    def test_replay_leaves_dead_letters_without_the_option(
        self, server: DevServer, folder: Path
    ) -> None:
        """The server has rejected them, so only an operator can decide to send them again."""
        reject(server, folder, "info a")
        before = content(folder)

        assert spool("replay", folder) == 0

        assert content(folder) == before
        assert server.count() == 0

    def test_replay_sends_dead_letters_with_the_option(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Dead letters are sent as they were logged, with the same ids."""
        reject(server, folder, "info a", "error b")
        kept = [letter["entry"] for letter in letters(folder)]

        assert spool("replay", folder, "--dead-letters") == 0

        assert sorted(server.entries(), key=str) == sorted(kept, key=str)
        assert content(folder) == {}

    def test_replay_keeps_dead_letters_that_are_rejected_again(
        self, server: DevServer, folder: Path
    ) -> None:
        """The dead letter then has the new answer of the server."""
        reject(server, folder, "info a")
        server.script(Fault(status=400))

        assert spool("replay", folder, "--dead-letters") == 1

        (letter,) = letters(folder)
        assert (letter["reason"], letter["entry"]["message"]) == ("HTTP 400", "info a")

    def test_replay_keeps_unreadable_dead_letters(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """An unreadable line stays in the file, and the other dead letters are sent."""
        reject(server, folder, "info a")
        (path,) = folder.glob("*.dead.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder, "--dead-letters") == 1

        assert messages(server) == ["info a"]
        assert path.read_bytes() == b"junk\n"
        assert "1 dead letter left" in capfd.readouterr().out

    def test_replay_keeps_dead_letters_if_the_disk_is_full(
        self, server: DevServer, folder: Path
    ) -> None:
        """If there is no room for a segment, the dead-letter files do not change."""
        reject(server, folder, "info a", f"error {'x' * 5000}")
        path, other = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
        path.write_bytes(path.read_bytes() + other.read_bytes())
        other.unlink()
        before = content(folder)
        limit = (
            "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
            "from voyage_logger.cli import main; sys.exit(main(sys.argv[1:]))"
        )
        done = python("-c", limit, "spool", "replay", "--dead-letters", folder)

        assert done.returncode == 1
        assert "File too large" in done.stderr
        assert content(folder) == before
        assert server.count() == 0

    def test_replay_stops_after_its_timeout(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Entries that are not sent in time stay in the folder for the next replay."""
        leave(folder, "info a", "info b")
        server.script(*[Fault(status=503)] * 50)

        assert spool("replay", folder, "--timeout", "0.4") == 1

        assert "2 entries and 0 unreadable lines left" in capfd.readouterr().out
        server.reset()
        assert spool("replay", folder) == 0
        assert sorted(messages(server)) == ["info a", "info b"]

    def test_replay_with_wrong_credentials_sends_nothing(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The output tells the error at once, and the folder does not change."""
        leave(folder, "info a")
        before = content(folder)
        monkeypatch.setenv("VOYAGE_LOGS_KEY", "wrong")

        assert spool("replay", folder) == 1

        assert "nothing was sent" in capfd.readouterr().err
        assert content(folder) == before

    def test_replay_without_credentials_is_wrong_usage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The message names the missing variable."""
        leave(folder, "info a")
        monkeypatch.delenv("VOYAGE_LOGS_KEY")

        assert spool("replay", folder) == 2
        assert capfd.readouterr().err == (
            "voyage-logger spool: no credentials: VOYAGE_LOGS_KEY is not set; "
            "export the variables (`voyage-logger dev` prints values for a local server)\n"
        )

    def test_replay_counts_corrupt_lines_as_dropped(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A corrupt line is a loss, so the output counts the line and the exit code is 1."""
        leave(folder, "info a")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder) == 1

        assert "info a" in messages(server)
        assert "1 dropped: corrupt" in capfd.readouterr().out

    def test_replay_shows_a_bar_on_a_terminal(self, server: DevServer, folder: Path) -> None:
        """The bar shows how many entries are done."""
        leave(folder, "info a", "info b")

        code, shown = at_terminal("replay", str(folder))

        assert code == 0
        assert f"[{'#' * 30}] 2 of 2 entries\r\n" in shown

    def test_replay_shows_no_bar_without_a_terminal(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A file or a pipe gets only whole lines."""
        leave(folder, "info a")

        assert spool("replay", folder) == 0
        assert capfd.readouterr().err == ""

    def test_replay_of_an_empty_folder_succeeds(
        self, folder: Path, server: DevServer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A replay without entries does not sign in."""
        folder.mkdir()

        assert spool("replay", folder) == 0
        assert capfd.readouterr().out == "There is nothing to send.\n"
        assert server.requests == []


class TestPurge:
    def test_purge_without_terminal_or_option_removes_nothing(
        self, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A script that lacks `--yes` cannot remove files by mistake."""
        leave(folder, "info a")
        before = content(folder)
        with open(os.devnull) as nobody:  # noqa: PTH123 - the path is a device
            monkeypatch.setattr(sys, "stdin", nobody)
            assert spool("purge", folder) == 2

        assert content(folder) == before
        assert "standard input is not a terminal: use --yes" in capfd.readouterr().err

    def test_purge_removes_only_the_files_of_dead_owners(
        self,
        folder: Path,
        live: VoyageLogger,
        server: DevServer,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """Files of running owners, of newer versions and of other programs are not removed."""
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

    def test_purge_names_a_file_that_it_cannot_remove(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The other files are removed. The lock file stays as long as a file is left."""
        owner = leave(folder, "info a", "error b")
        path = spoil(folder)

        assert spool("purge", folder, "--yes") == 1

        assert f"{path.name} cannot be removed" in capfd.readouterr().err
        assert {each.name for each in folder.iterdir()} == {path.name, f"v1.{owner}.lock"}
        path.rmdir()
        assert spool("purge", folder, "--yes") == 0
        assert content(folder) == {}

    def test_purge_with_the_option_removes_only_dead_letters(
        self, folder: Path, server: DevServer
    ) -> None:
        """Pending entries stay in the folder."""
        reject(server, folder, "info c")
        (path,) = folder.iterdir()
        owner = leave(folder, "info a")
        before = content(folder)
        del before[path.name]
        path.rename(folder / f"v1.{owner}.dead.ndjson")

        assert spool("purge", folder, "--yes", "--dead-letters") == 0

        assert content(folder) == before

    def test_purge_removes_segments_without_a_lock_file(self, folder: Path) -> None:
        """The owner is dead if no process has its id."""
        rename(folder, leave(folder, "info a"), with_lock=False)

        assert spool("purge", folder, "--yes") == 0
        assert content(folder) == {}

    @pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0), ("YES", 0)])
    def test_purge_asks_at_a_terminal(self, folder: Path, answer: str, code: int) -> None:
        """The question names the entries, and only "y" or "yes" removes them."""
        leave(folder, "info a")

        found, shown = at_terminal("purge", str(folder), answer=answer)

        assert found == code
        assert "Remove 1 pending entry and 0 dead letters of 1 dead owner for good?" in shown
        assert bool(content(folder)) is (code == 1)

    def test_purge_of_an_empty_folder_succeeds(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """A purge without files asks no question."""
        folder.mkdir()

        assert spool("purge", folder) == 0
        assert capfd.readouterr().out == "There is nothing to remove.\n"


COMMANDS = ["ls", "show", "export", "replay", "purge"]


def test_the_folder_in_the_environment_is_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only `purge` needs the folder as an argument, because it removes files."""
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
def test_a_missing_folder_is_not_created(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """The exit code for a wrong path is 3."""
    assert spool(command, tmp_path / "no\nsuch") == 3
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err.endswith("no\\nsuch: there is no such folder\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_a_link_is_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """As the logger does, the commands refuse a link. The exit code is 3."""
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
def test_wrong_usage_exits_with_2(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """The exit code is 2, as for the other commands."""
    with pytest.raises(SystemExit) as ended:
        spool(*words)
    assert ended.value.code == 2
    assert "usage: voyage-logger spool" in capfd.readouterr().err


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)], ids=" ".join)
def test_help_names_the_exit_codes(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """Scripts may rely on the exit codes that `--help` lists."""
    with pytest.raises(SystemExit):
        spool(*words, "--help")
    out = capfd.readouterr().out
    assert all(f"\n  {code}  " in out for code in range(4))


def spoil(folder: Path) -> Path:
    """Replace the segment of the level info with a folder."""
    (path,) = folder.glob("*.info.*")
    path.unlink()
    path.mkdir()
    return path


def rename(folder: Path, owner: str, *, with_lock: bool) -> None:
    """Rename the files of an owner as if another process, which has ended, had made them."""
    ended = python("-c", "import os; print(os.getpid())")
    began, _, token = owner.split("-")
    other = f"{began}-{int(ended.stdout)}-{token}"
    for path in folder.glob(f"v1.{owner}.*"):
        path.rename(folder / path.name.replace(owner, other))
    if not with_lock:
        (folder / f"v1.{other}.lock").unlink()


def run(*words: str) -> processes.Child:
    return processes.Child("-W", "error", "-m", "voyage_logger", "spool", *words)


def at_terminal(*words: str, answer: str = "") -> tuple[int, str]:
    """Run a command in a terminal; return the exit code and the output."""
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
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while data := os.read(ours, 4096):
            shown += data
    os.close(ours)
    return process.wait(30), shown.decode()
