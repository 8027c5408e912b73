"""Tests of `voyage-logger spool replay` and `purge`, which send or remove files."""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.cli.spooling import (
    at_terminal,
    content,
    file_size_limit,
    leave,
    letters,
    reject,
    rename,
    spoil,
    spool,
)
from tests.support.processes import messages
from tests.support.spooling import slow_down
from voyage_logger import VoyageLogger
from voyage_logger._queue.spool.file_names import lock_name
from voyage_logger._queue.spool.folder import Folder, unlock
from voyage_logger.cli.spool import _replaying
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="terminals and locks of POSIX")


@pytest.mark.usefixtures("credentials")
class TestReplay:
    def test_replay_sends_all_entries_of_dead_owners(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`replay` sends each entry of dead owners once, even entries for another server."""
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
        """`replay` also sends segments that have no lock file."""
        owner = leave(folder, "info a", "error b")
        rename(folder, owner, with_lock=False)

        assert spool("replay", folder) == 0

        assert messages(server) == ["info a", "error b"]
        assert content(folder) == {}

    def test_replay_leaves_the_files_of_running_owners_alone(
        self, server: DevServer, folder: Path, live: VoyageLogger
    ) -> None:
        """`replay` does not change the files of a running owner."""
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
        """`replay` says how many entries stay because their owners are still running."""
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
        """`replay` counts the dead letters of running owners, and says when it can send them."""
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
        """If a running owner has no lock file, `replay` and `purge` do not change its files."""
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
        """If an operator makes the missing lock file, `replay` sends the owner's entries."""
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
        """`replay` sends the entries of all dead owners, even if there are many owners."""
        for number in range(20):
            leave(folder, f"info {number}")

        assert spool("replay", folder) == 0

        assert server.count() == 20
        assert server.duplicates() == {}
        assert content(folder) == {}

    def test_replay_waits_for_a_slow_disk(
        self, server: DevServer, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`replay` waits for a slow disk, and then sends all entries."""
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
        """If the timeout ends an adoption, `replay` reports that the entries stay in the folder."""
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
        """If the disk hangs, `replay` reports the disk, and does not say that no entries exist."""
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
        """`replay` names a segment that it cannot read, sends the others, and exits with 1."""
        leave(folder, "info a", "error b")
        path = spoil(folder)

        assert spool("replay", folder) == 1

        assert messages(server) == ["error b"]
        assert f"{path.name} cannot be read: it is not a regular file" in capfd.readouterr().err

    def test_replay_keeps_rejected_entries(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`replay` keeps rejected entries as dead letters, and exits with 1."""
        leave(folder, "info a")
        server.script(Fault(status=422))

        assert spool("replay", folder) == 1

        assert [letter["entry"]["message"] for letter in letters(folder)] == ["info a"]
        assert "1 rejected: HTTP 422" in capfd.readouterr().out

    def test_replay_leaves_dead_letters_without_the_option(
        self, server: DevServer, folder: Path
    ) -> None:
        """Without `--dead-letters`, `replay` does not send dead letters."""
        reject(server, folder, "info a")
        before = content(folder)

        assert spool("replay", folder) == 0

        assert content(folder) == before
        assert server.count() == 0

    def test_replay_sends_dead_letters_with_the_option(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """With `--dead-letters`, `replay` also sends dead letters, with the same `log_id`."""
        reject(server, folder, "info a", "error b")
        kept = [letter["entry"] for letter in letters(folder)]

        assert spool("replay", folder, "--dead-letters") == 0

        assert sorted(server.entries(), key=str) == sorted(kept, key=str)
        assert content(folder) == {}

    def test_replay_keeps_dead_letters_that_are_rejected_again(
        self, server: DevServer, folder: Path
    ) -> None:
        """If the server rejects a dead letter again, `replay` keeps it with the new answer."""
        reject(server, folder, "info a")
        server.script(Fault(status=400))

        assert spool("replay", folder, "--dead-letters") == 1

        (letter,) = letters(folder)
        assert (letter["reason"], letter["entry"]["message"]) == ("HTTP 400", "info a")

    def test_replay_keeps_unreadable_dead_letters(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Unreadable dead letters stay in the file, and all other dead letters are sent."""
        reject(server, folder, "info a")
        (path,) = folder.glob("*.dead.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder, "--dead-letters") == 1

        assert messages(server) == ["info a"]
        assert path.read_bytes() == b"junk\n"
        assert "1 dead letter left" in capfd.readouterr().out

    def test_replay_keeps_dead_letters_if_the_disk_is_full(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the disk is full, the dead letters stay in their file, and other entries are sent."""
        reject(server, folder, "info a", f"error {'x' * 5000}")
        path, other = sorted(folder.iterdir(), key=lambda path: path.stat().st_size)
        path.write_bytes(path.read_bytes() + other.read_bytes())
        other.unlink()
        before = content(folder)
        leave(folder, "info b")

        with file_size_limit(2000):
            assert spool("replay", "--dead-letters", folder) == 1

        said = capfd.readouterr()
        assert f"the files of {path.name[3:-12]}: File too large" in said.err
        assert "2 dead letters left" in said.out
        assert content(folder) == before
        assert messages(server) == ["info b"]

    def test_replay_stops_after_its_timeout(
        self, server: DevServer, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """`replay` stops after its timeout. Entries that were not sent stay in the folder."""
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
        """If the credentials are wrong, `replay` immediately says so, and sends nothing."""
        leave(folder, "info a")
        before = content(folder)
        monkeypatch.setenv("VOYAGE_LOGS_KEY", "wrong")

        assert spool("replay", folder) == 1

        assert "nothing was sent" in capfd.readouterr().err
        assert content(folder) == before

    def test_replay_without_credentials_is_wrong_usage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If credentials are missing, `replay` names the missing variable."""
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
        """`replay` counts corrupt lines as dropped, and then exits with 1."""
        leave(folder, "info a")
        (path,) = folder.glob("*.ndjson")
        path.write_bytes(b"junk\n" + path.read_bytes())

        assert spool("replay", folder) == 1

        assert "info a" in messages(server)
        assert "1 dropped: corrupt" in capfd.readouterr().out

    def test_replay_shows_a_bar_on_a_terminal(self, server: DevServer, folder: Path) -> None:
        """On a terminal, a progress bar shows how many entries `replay` has already sent."""
        leave(folder, "info a", "info b")

        code, shown = at_terminal("replay", str(folder))

        assert code == 0
        assert f"[{'#' * 30}] 2 of 2 entries\r\n" in shown

    def test_replay_shows_no_bar_without_a_terminal(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the output is a file or a pipe, `replay` shows no progress bar."""
        leave(folder, "info a")

        assert spool("replay", folder) == 0
        assert capfd.readouterr().err == ""

    def test_replay_prints_its_progress_as_lines_without_a_terminal(
        self,
        server: DevServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """If the output is not a terminal, a long `replay` regularly prints a line with counts."""
        leave(folder, "info a", "info b")
        monkeypatch.setattr(_replaying, "_LINE_SECONDS", 0.0)

        assert spool("replay", folder) == 0

        lines = capfd.readouterr().err.splitlines()
        assert lines[-1] == "2 of 2 entries"
        assert {line.partition(" ")[2] for line in lines} == {"of 2 entries"}

    def test_replay_of_an_empty_folder_succeeds(
        self, folder: Path, server: DevServer, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the folder is empty, `replay` succeeds and does not sign in."""
        folder.mkdir()

        assert spool("replay", folder) == 0
        assert capfd.readouterr().out == "There is nothing to send.\n"
        assert server.requests == []


class TestPurge:
    def test_purge_without_terminal_or_option_removes_nothing(
        self, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a terminal and without `--yes`, `purge` removes nothing."""
        leave(folder, "info a")
        before = content(folder)
        with open(os.devnull) as nobody:  # noqa: PTH123 - /dev/full is a device, not a file
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
        """`purge` removes only the files of dead owners."""
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
        """If `purge` cannot remove a file, it names the file and removes the other files."""
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
        """With `--dead-letters`, `purge` removes only dead letters, and pending entries stay."""
        reject(server, folder, "info c")
        (path,) = folder.iterdir()
        owner = leave(folder, "info a")
        before = content(folder)
        del before[path.name]
        path.rename(folder / f"v1.{owner}.dead.ndjson")

        assert spool("purge", folder, "--yes", "--dead-letters") == 0

        assert content(folder) == before

    def test_purge_removes_segments_without_a_lock_file(self, folder: Path) -> None:
        """`purge` removes segments without a lock file if the owner's process id is not in use."""
        rename(folder, leave(folder, "info a"), with_lock=False)

        assert spool("purge", folder, "--yes") == 0
        assert content(folder) == {}

    @pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0), ("YES", 0)])
    def test_purge_asks_at_a_terminal(self, folder: Path, answer: str, code: int) -> None:
        """At a terminal, `purge` asks first, and removes the entries only after "y" or "yes"."""
        leave(folder, "info a")

        found, shown = at_terminal("purge", str(folder), answer=answer)

        assert found == code
        assert "Remove 1 pending entry and 0 dead letters of 1 dead owner for good?" in shown
        assert bool(content(folder)) is (code == 1)

    def test_purge_leaves_files_that_a_process_takes_over_during_the_question(
        self, folder: Path
    ) -> None:
        """If a process takes over files while `purge` asks, `purge` does not remove these files."""
        owner = leave(folder, "info a")
        before = content(folder)
        opened = Folder(folder)
        locks = []

        code, shown = at_terminal(
            "purge",
            str(folder),
            answer="y",
            meanwhile=lambda: locks.append(opened.lock(lock_name(owner))),
        )

        (lock,) = locks
        assert lock is not None
        unlock(lock)
        assert code == 1
        assert f"{owner}: a running process has just taken over its files" in shown
        assert content(folder) == before

    def test_purge_names_an_owner_whose_lock_cannot_be_opened(self, folder: Path) -> None:
        """If a lock file cannot be opened, `purge` names its owner and handles other owners."""
        owner, _ = leave(folder, "info a"), leave(folder, "info b")
        path = folder / f"v1.{owner}.lock"

        def replace_lock() -> None:
            path.unlink()
            path.mkdir()

        code, shown = at_terminal("purge", str(folder), answer="y", meanwhile=replace_lock)

        assert code == 1
        assert f"the files of {owner} cannot be removed: " in shown
        assert {each.name.split(".")[1] for each in folder.iterdir()} == {owner}

    def test_purge_of_an_empty_folder_succeeds(
        self, folder: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the folder is empty, `purge` succeeds and asks no question."""
        folder.mkdir()

        assert spool("purge", folder) == 0
        assert capfd.readouterr().out == "There is nothing to remove.\n"
