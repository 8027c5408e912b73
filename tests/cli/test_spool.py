"""Tests of `voyage-logger spool ls`, `show` and `export`, and of the common options."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.loggers import until
from tests.support.processes import messages, python
from tests.support.spooling import Child

if TYPE_CHECKING:
    from collections.abc import Callable

    from voyage_logger import VoyageLogger
    from voyage_logger.devserver import DevServer

from tests.cli.spooling import AWAY, content, leave, log, owners, reject, run, spool

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and locks of POSIX")


class TestLs:
    def test_ls_shows_running_and_dead_owners(
        self, folder: Path, live: VoyageLogger, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`ls` shows the state, process, destination and counts of each owner."""
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
        """`ls` prints a table with one row for each owner, and a line with the sums."""
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
        """`ls` shows an owner as "dead" as soon as its process is killed."""
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
        """If a running process has taken over the files of an owner, `ls` shows "adopted"."""
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
        """`ls` counts dead letters by reason, even if no entries are pending."""
        reject(server, folder, "info a")

        assert spool("ls", folder) == 0

        assert "1 (HTTP 422 1)" in capfd.readouterr().out

    def test_ls_names_foreign_files(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """`ls` names files of other programs or of newer versions, and escapes these names."""
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
        """If there are many foreign files, `ls` names the first files and counts the others."""
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
        """If there is no lock file, `ls` reads the owner from the name of the dead-letter file."""
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
        """`ls` counts lines that were changed, and an incomplete last line, as unreadable."""
        leave(folder, "info a", "info b")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes() + b'{"spool_seq":9,"mess')

        assert spool("ls", folder, "--json") == 0

        (owner,) = json.loads(capfd.readouterr().out)["owners"]
        assert (owner["entries"], owner["unreadable_lines"]) == (2, 1)

    def test_ls_prints_sizes_ages_and_unreadable_lines(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """For each owner, `ls` shows the size and age of pending entries and unreadable lines."""
        leave(folder, f"info {'x' * 5000}")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(path.read_bytes() + b"junk\n")
        two_hours_ago = time.time() - 7200
        os.utime(path, (two_hours_ago, two_hours_ago))

        assert spool("ls", folder) == 0

        row = capfd.readouterr().out.splitlines()[1]
        assert "  1 (info 1) (and 1 unreadable line)  " in row
        assert re.search(r"  5\.\d KiB  2\.0 h  ", row)

    def test_ls_of_an_empty_folder_succeeds(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the folder is empty, `ls` succeeds."""
        folder.mkdir()

        assert spool("ls", folder) == 0
        assert capfd.readouterr().out == "The folder has no entries.\n"

    @pytest.mark.parametrize("command", ["ls", "show", "export"])
    def test_ls_show_and_export_change_nothing(
        self, folder: Path, live: VoyageLogger, command: str
    ) -> None:
        """`ls`, `show` and `export` do not change any files or locks."""
        leave(folder, "info a", "error b")
        before = content(folder)

        assert spool(command, folder) == 0

        assert content(folder) == before
        leave(folder, "info of another one")  # raises an error if a lock was changed
        assert spool("purge", folder, "--yes") == 0
        assert len(owners(folder)) == 1

    def test_show_names_a_file_that_it_cannot_read(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If `show` cannot read a file, it names the file, shows other files, and exits with 1."""
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
        """If a named pipe has the name of a segment, `ls` reports the pipe and does not wait."""
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
        """`show` begins with the oldest owner, and keeps the order of the log calls."""
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
        """`--level` sets the lowest level, and `--limit` sets the largest number of entries."""
        leave(folder, "info a", "error b", "debug c", "critical d")

        assert spool("show", folder, "--json", *options) == 0

        lines = capfd.readouterr().out.splitlines()
        assert [json.loads(line)["message"] for line in lines] == shown

    def test_show_json_prints_each_entry_as_it_would_be_sent(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`show --json` prints the JSON that would be sent, but escapes control characters."""
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
        """`show` prints the date and the time zone, because an entry can be several days old."""
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
        """`show` escapes control characters, so an entry cannot fake another line."""
        leave(folder, "info \x1b[2J\nforged \x9b")

        assert spool("show", folder) == 0

        (line,) = capfd.readouterr().out.splitlines()
        assert line.isprintable()
        assert "\\x1b[2J\\nforged \\x9b" in line

    def test_show_dead_letters_prints_reason_and_time(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Above each dead letter, a line shows the server's answer and the time."""
        reject(server, folder, "info a", "error b")

        assert spool("show", folder, "--dead-letters", "--level", "error") == 0

        why, what = capfd.readouterr().out.splitlines()
        assert why.startswith("-- rejected at 20")
        assert ", HTTP 422 " in why
        assert why.count("422") == 1
        assert "such" in why
        assert why.isprintable()
        assert "ERROR    app: error b" in what

    @pytest.mark.parametrize("at", [None, "soon", 1e300])
    def test_show_dead_letters_without_a_valid_time_omits_the_time(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str], at: object
    ) -> None:
        """A dead letter whose time is missing or wrong is shown without a time."""
        reject(server, folder, "info a")
        (path,) = folder.glob("*.dead.ndjson")
        letter = {**json.loads(path.read_text()), "at": at}
        path.write_text(json.dumps(letter, separators=(",", ":")) + "\n")

        assert spool("show", folder, "--dead-letters") == 0

        why, what = capfd.readouterr().out.splitlines()
        assert why.startswith("-- rejected, HTTP 422 ")
        assert "app: info a" in what

    @pytest.mark.parametrize("command", ["show", "export"])
    def test_show_and_export_count_unreadable_lines(
        self, folder: Path, capfd: pytest.CaptureFixture[str], command: str
    ) -> None:
        """If lines are unreadable, a message gives their number, and the exit code is 1."""
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
        """`show --dead-letters` shows corrupt lines for every value of `--level`."""
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
        """`show` does not print the delivered entries of a segment."""
        logger = make_logger(spool_dir=folder, batch_size=2, flush_interval=600)
        log(logger, ("info a", "info b", "info c"))
        server.wait_for_entries(2, timeout=10)
        until(lambda: logger.stats().delivered == 2)
        until(lambda: any(folder.glob("*.sent")))

        assert spool("show", folder) == 0

        assert capfd.readouterr().out.count("\n") == 1

    def test_show_ends_quietly_if_its_reader_ends(self, folder: Path) -> None:
        """If the reader of the output ends, as in `show | head`, `show` prints no traceback."""
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
        """`export` writes the entries in order, with the same bytes that would be sent."""
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
        """If `export` writes to stdout, it writes control characters as JSON escapes."""
        leave(folder, "info \x9b\u202e", "error \u00e9")

        assert spool("export", folder) == 0

        lines = capfd.readouterr().out.splitlines()
        assert all(line.isprintable() for line in lines)
        assert json.loads(lines[0])["message"] == "info \x9b\u202e"
        assert '"error \u00e9"' in lines[1]

    def test_export_escapes_characters_that_the_encoding_lacks(self, folder: Path) -> None:
        """Characters that the terminal's encoding does not have are written as JSON escapes."""
        leave(folder, "info \u00e9\U0001f600")

        words = ("-m", "voyage_logger", "spool", "export", folder)
        done = python(*words, environ={"PYTHONIOENCODING": "ascii"})

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()
        assert json.loads(done.stdout)["message"] == "info \u00e9\U0001f600"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
    def test_export_to_a_full_disk_exits_with_1(self, folder: Path) -> None:
        """If the disk is full, `export` exits with 1, so that a script notices the failure."""
        leave(folder, "info a")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "voyage_logger", "spool", "export", str(folder)],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )

        assert done.returncode == 1
        cause = "No space left on device"
        assert done.stderr == f"voyage-logger: cannot write to standard output: {cause}\n"

    def test_export_makes_a_private_file(self, folder: Path, tmp_path: Path) -> None:
        """Other users cannot read the file that `export` makes."""
        leave(folder, "info a")

        assert spool("export", folder, "--output", tmp_path / "out") == 0

        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600

    def test_export_overwrites_no_file(
        self, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the file already exists, `export` exits with 1 and does not overwrite the file."""
        leave(folder, "info a")
        (tmp_path / "out").write_text("mine")

        assert spool("export", folder, "--output", tmp_path / "out") == 1
        assert (tmp_path / "out").read_text() == "mine"
        assert "exists" in capfd.readouterr().err


COMMANDS = ["ls", "show", "export", "replay", "purge"]


@pytest.mark.parametrize("is_argument", [True, False])
def test_a_tilde_is_the_home_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    is_argument: bool,
) -> None:
    """The command finds the folder that an app with the same text as `spool_dir` uses."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    leave(tmp_path / "spool", "info a")
    monkeypatch.setenv("VOYAGE_LOGS_SPOOL_DIR", "/no" if is_argument else "~/spool")

    assert spool("show", *(["~/spool"] if is_argument else [])) == 0
    assert "app: info a" in capfd.readouterr().out


@pytest.mark.usefixtures("credentials")
def test_a_folder_whose_name_begins_with_a_tilde_can_be_named(
    server: DevServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`./~name` is a folder in the working folder, and not the home folder of a user."""
    leave(tmp_path / "~name", "info a")
    monkeypatch.chdir(tmp_path)

    assert spool("show", "./~name") == 0
    assert "app: info a" in capfd.readouterr().out
    assert spool("replay", "./~name") == 0
    assert messages(server) == ["info a"]


def test_the_folder_in_the_environment_is_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All commands except `purge` use the folder in VOYAGE_LOGS_SPOOL_DIR by default."""
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
    """If the folder does not exist, the command exits with 3, and does not create the folder."""
    assert spool(command, tmp_path / "no\nsuch") == 3
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err.endswith("no\\nsuch: there is no such folder\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_is_a_link_is_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    """If the folder is a symbolic link, the commands refuse it and exit with 3."""
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
    """If the arguments are wrong, the exit code is 2."""
    with pytest.raises(SystemExit) as ended:
        spool(*words)
    assert ended.value.code == 2
    assert "usage: voyage-logger spool" in capfd.readouterr().err


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)], ids=" ".join)
def test_help_names_the_exit_codes(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    """`--help` lists all exit codes."""
    with pytest.raises(SystemExit):
        spool(*words, "--help")
    out = capfd.readouterr().out
    assert all(f"\n  {code}  " in out for code in range(4))


def test_disk_that_fails_ends_the_command_with_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """If the folder cannot be listed, the command prints the cause and returns the code 1."""

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    leave(folder, "info a")
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, broken)
    assert spool("ls", folder) == 1
    assert "Input/output error" in capfd.readouterr().err
