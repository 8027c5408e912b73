"""With `sample`, `ticket_cooldown` and `collapse`, the logger sends fewer entries or tickets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.loggers import Recorder
from voyage_logger import ConfigurationError, VoyageLogger
from voyage_logger._base.levels import CRITICAL, DEBUG, INFO, TICKET_LANE
from voyage_logger._logger.sampling import Rates
from voyage_logger._logger.ticket_cooldown import TicketCooldown
from voyage_logger._queue.memory import MemoryQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.loggers import MakeLogger
    from voyage_logger import Outcome
    from voyage_logger.devserver import DevServer


class TestSampling:
    def test_rates_leave_out_their_share(self) -> None:
        """A rate of 0.5 leaves out half of a level's entries, and a rate of 1 keeps all."""
        numbers = iter([0.1, 0.6, 0.49, 0.5])
        rates = Rates((0.5, 1.0, 1.0, 1.0, 1.0), lambda: next(numbers))
        assert [rates.leaves_out(DEBUG, {}) for _ in range(4)] == [False, True, False, True]
        assert not rates.leaves_out(INFO, {})

    def test_levels_are_sampled_separately(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """Each level has its own rate. Entries that are left out count as filtered."""
        logger = make_logger(transport=recorder, sample={"DEBUG": 0, "warning": 0.0})
        logger.debug("x")
        logger.warn("x")
        logger.info("kept")
        logger.flush()
        assert [entry["message"] for entry in recorder.entries] == ["kept"]
        stats = logger.stats()
        assert (stats.filtered, stats.accepted) == (2, 1)

    @pytest.mark.parametrize("sample", [dict.fromkeys(["debug", "critical"], 0), lambda _e: False])
    def test_critical_and_ticket_entries_are_always_sent(
        self, make_logger: MakeLogger, recorder: Recorder, sample: Any
    ) -> None:
        """Critical entries and ticket entries are always sent, whatever the rate is."""
        logger = make_logger(transport=recorder, sample=sample)
        logger.debug("out")
        logger.critical("critical")
        logger.debug("ticket", add_ticket=True)
        with logger.context(add_ticket=True):
            logger.debug("context")
        logger.flush()
        messages = [entry["message"] for entry in recorder.entries]
        assert messages == ["critical", "ticket", "context"]

    def test_function_decides(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """A function as `sample` gets the whole entry, and decides if the entry is sent."""
        logger = make_logger(
            transport=recorder, sample=lambda entry: entry.get("app_user_id") == "u"
        )
        logger.info("out")
        logger.bind(app_user_id="u").info("in")
        logger.flush()
        assert [entry["message"] for entry in recorder.entries] == ["in"]

    def test_failing_function_sends_the_entry(
        self, make_logger: MakeLogger, recorder: Recorder, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """If the `sample` function raises an exception, the entry is sent."""
        logger = make_logger(transport=recorder, sample=lambda _entry: 1 / 0 > 1)
        logger.info("x")
        logger.info("y")
        logger.flush()
        assert len(recorder.entries) == 2
        assert capfd.readouterr().err.count("sample raised ZeroDivisionError") == 1

    def test_ctrl_c_in_the_function_passes_through_to_the_app(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """If Ctrl-C comes during the `sample` function, the app gets the `KeyboardInterrupt`."""

        def sample(_entry: dict[str, Any]) -> bool:
            raise KeyboardInterrupt

        logger = make_logger(transport=recorder, sample=sample)
        with pytest.raises(KeyboardInterrupt):
            logger.info("x")

    def test_tasks_are_sampled_separately(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """The `sample` function runs in the context of the task that logs."""
        logger = make_logger(
            transport=recorder, sample=lambda entry: entry["app_user_id"] in ("u1", "u3")
        )

        async def work(number: int) -> None:
            with logger.context(app_user_id=f"u{number}"):
                await asyncio.sleep(0)
                logger.info("begun %d", number)
                try:
                    if number > 1:
                        await asyncio.Event().wait()
                finally:
                    logger.info("ended %d", number)

        async def main() -> None:
            tasks = [asyncio.create_task(work(number)) for number in range(4)]
            await asyncio.gather(*tasks[:2])
            for task in tasks[2:]:
                task.cancel()
            found = await asyncio.gather(*tasks[2:], return_exceptions=True)
            assert all(isinstance(error, asyncio.CancelledError) for error in found)

        asyncio.run(main())
        logger.flush()
        messages = [entry["message"] for entry in recorder.entries]
        assert sorted(messages) == ["begun 1", "begun 3", "ended 1", "ended 3"]
        assert logger.stats().filtered == 4

    @pytest.mark.parametrize(
        "sample", [5, "debug", {"loud": 1}, {"debug": 2}, {"debug": -0.1}, {"debug": True}, ["x"]]
    )
    def test_nonsense_is_refused(self, sample: Any) -> None:
        """If a level or a rate is wrong, the constructor raises an error."""
        with pytest.raises(ConfigurationError, match="sample"):
            VoyageLogger("app", sample=sample)


class TestTicketCooldown:
    def test_incident_opens_one_ticket_a_period(self) -> None:
        """An incident opens one ticket per period, and the next ticket counts the repetitions."""
        times = iter([0.0, 1.0, 59.9, 60.0, 61.0, 200.0])
        cooldown = TicketCooldown(60, lambda: next(times))
        entry = {"message": "m", "add_ticket": True, "meta_data": {"own": 1}}
        settled = [cooldown.apply(entry, "incident") for _ in range(6)]
        assert [found.get("add_ticket") for found in settled] == [
            True,
            None,
            None,
            True,
            None,
            True,
        ]
        assert [found["meta_data"] for found in settled] == [
            {"own": 1},
            {"own": 1, "ticket_held_back": True},
            {"own": 1, "ticket_held_back": True},
            {"own": 1, "tickets_held_back": 2},
            {"own": 1, "ticket_held_back": True},
            {"own": 1, "tickets_held_back": 1},
        ]
        assert entry["meta_data"] == {"own": 1}

    def test_all_entries_are_sent(self, server: DevServer, make_logger: MakeLogger) -> None:
        """`ticket_cooldown` removes the ticket flag of some entries, but all entries are sent."""
        logger = make_logger(ticket_cooldown=3600)
        for number in range(5):
            logger.error("Payment %d failed", number, add_ticket=True)
            logger.error(f"Refund {number} failed", event_name="refund_failed", add_ticket=True)
        assert logger.flush()
        assert server.count() == 10
        tickets = [entry["message"] for entry in server.tickets()]
        assert tickets == ["Payment 0 failed", "Refund 0 failed"]

    def test_without_cooldown_each_entry_opens_a_ticket(
        self, server: DevServer, make_logger: MakeLogger
    ) -> None:
        """Without `ticket_cooldown`, each entry with the ticket flag opens a ticket."""
        logger = make_logger()
        for _ in range(3):
            logger.error("x", add_ticket=True)
        assert logger.flush()
        assert len(server.tickets()) == 3

    def test_two_failed_flows_are_two_incidents(
        self, server: DevServer, make_logger: MakeLogger
    ) -> None:
        """Two flows that fail are two incidents, even if their event names are equal."""
        logger = make_logger(ticket_cooldown=3600)
        for name in ("checkout", "refund", "checkout"):
            with pytest.raises(ValueError, match="x"), logger.journey(name, ticket_on_error=True):
                raise ValueError("x")
        assert logger.flush()
        assert [entry["event_flow_name"] for entry in server.tickets()] == ["checkout", "refund"]

    def test_tasks_open_one_ticket(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """If tasks log the same incident, one entry opens a ticket, and the others are counted."""
        logger = make_logger(transport=recorder, ticket_cooldown=3600)
        now = 0.0
        cooldown = logger._calls._cooldown
        assert cooldown is not None
        cooldown._clock = lambda: now

        async def work(number: int) -> None:
            try:
                await asyncio.sleep(0 if number % 2 else 3600)
            finally:
                logger.error("Task %d failed", number, event_name="failed", add_ticket=True)

        async def main() -> None:
            tasks = [asyncio.create_task(work(number)) for number in range(10)]
            await asyncio.gather(*tasks[1::2])
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(main())
        now = 3600.0
        logger.error("Again", event_name="failed", add_ticket=True)
        logger.flush()
        assert len(recorder.entries) == 11
        tickets = [entry["meta_data"] for entry in recorder.entries if entry.get("add_ticket")]
        assert [data.get("tickets_held_back") for data in tickets] == [None, 9]

    def test_memory_is_bounded(self) -> None:
        """The client remembers a limited number of incidents, and forgets the oldest first."""
        cooldown = TicketCooldown(60, lambda: 0.0)
        for number in range(5000):
            cooldown.apply({"add_ticket": True}, f"incident {number}" * 100)
        assert len(cooldown._incidents) == 1000
        assert max(map(len, cooldown._incidents)) <= 256
        assert "add_ticket" not in cooldown.apply({"add_ticket": True}, "incident 4999" * 100)

    def test_count_is_exact_in_threads(self) -> None:
        """If threads log one incident, one entry opens a ticket, and the others are counted."""
        now = 0.0
        cooldown = TicketCooldown(60, lambda: now)
        opened: list[Any] = []

        def work() -> None:
            for _ in range(200):
                found = cooldown.apply({"add_ticket": True}, "incident")
                if "add_ticket" in found:
                    opened.append(found)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        now = 60.0
        assert len(opened) == 1
        last = cooldown.apply({"add_ticket": True}, "incident")
        assert last["meta_data"] == {"tickets_held_back": 1599}

    def test_two_threads_at_the_end_of_a_period_open_one_ticket(self) -> None:
        """If two threads log at the end of a period, only one of them opens a ticket."""

        class Moment(float):
            def __sub__(self, other: float) -> float:  # This code runs while the lock is held.
                rival.start()
                rival.join(0.5)  # Without a lock, the second thread would end within this time.
                return 60.0

        moments = iter([0.0, 0.0, Moment(60.0), 60.0])
        cooldown = TicketCooldown(60, lambda: next(moments))
        found: list[dict[str, Any]] = []

        def settle() -> None:
            found.append(cooldown.apply({"add_ticket": True}, "incident"))

        rival = threading.Thread(target=settle)
        for _ in range(3):
            settle()
        rival.join(30)
        assert [entry for entry in found if "add_ticket" in entry] == [
            {"add_ticket": True},
            {"add_ticket": True, "meta_data": {"tickets_held_back": 1}},
        ]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_forked_child_opens_its_own_first_ticket(self) -> None:
        """A forked child opens its own first ticket, even if a thread held the lock at the fork."""
        cooldown = TicketCooldown(60, lambda: 0.0)
        cooldown.apply({"add_ticket": True}, "incident")
        is_held, may_go = threading.Event(), threading.Event()

        def hold() -> None:
            with cooldown._lock:
                is_held.set()
                may_go.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        is_held.wait(10)
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)  # The alarm ends a child that waits for the lock.
            found = cooldown.apply({"add_ticket": True}, "incident")
            os._exit(0 if found == {"add_ticket": True} else 1)
        may_go.set()
        thread.join()
        assert os.waitpid(pid, 0)[1] == 0


def calls(entries: list[dict[str, Any]]) -> int:
    """Return how many log calls the entries represent."""
    return sum(entry.get("meta_data", {}).get("repeat_count", 1) for entry in entries)


class TestCollapse:
    @pytest.fixture
    def logger(self, make_logger: MakeLogger, recorder: Recorder) -> VoyageLogger:
        return make_logger(transport=recorder, collapse=60, flush_interval=600)

    def test_burst_becomes_one_entry(self, logger: VoyageLogger, recorder: Recorder) -> None:
        """A burst becomes one entry that has a count and the times of the first and last call."""
        for _ in range(1000):
            logger.warn("Disk full", meta_data={"disk": "a"})
        assert logger.stats().pending == 1
        assert logger.flush()
        (entry,) = recorder.entries
        data = entry["meta_data"]
        assert (data["repeat_count"], data["disk"]) == (1000, "a")
        assert data["logged_at"] < data["last_logged_at"]
        assert data["log_id"].endswith("-000000001")
        stats = logger.stats()
        assert (stats.accepted, stats.delivered, stats.collapsed) == (1, 1, 999)

    def test_single_entry_has_no_count(self, logger: VoyageLogger, recorder: Recorder) -> None:
        """An entry that is logged only once has no count."""
        logger.info("x")
        logger.flush()
        assert set(recorder.entries[0]["meta_data"]) == {"logged_at", "log_id"}

    @pytest.mark.parametrize(
        "other",
        [{"message": "other"}, {"app_user_id": "v"}, {"meta_data": {"a": 2}}, {"tags": ["t"]}],
    )
    def test_only_identical_entries_are_one(
        self, logger: VoyageLogger, recorder: Recorder, other: dict[str, Any]
    ) -> None:
        """Two entries are collapsed only if all their fields are equal."""
        one: dict[str, Any] = {"message": "x", "app_user_id": "u", "meta_data": {"a": 1}}
        for _ in range(3):
            logger.info(**one)
            logger.info(**{**one, **other})
        logger.info(**one)
        logger.flush()
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [4, 3]

    def test_levels_are_apart(self, logger: VoyageLogger, recorder: Recorder) -> None:
        """Entries with the same message but different levels are not collapsed."""
        logger.info("x")
        logger.error("x")
        logger.flush()
        assert len(recorder.entries) == 2

    def test_criticals_and_tickets_are_never_collapsed(
        self, logger: VoyageLogger, recorder: Recorder
    ) -> None:
        """Critical entries and ticket entries are never collapsed."""
        for _ in range(3):
            logger.critical("x")
            logger.info("x", add_ticket=True)
        logger.flush()
        assert len(recorder.entries) == 6

    def test_ids_of_the_caller_s_own_are_part_of_an_entry(
        self, logger: VoyageLogger, recorder: Recorder
    ) -> None:
        """If log calls give different `log_id`s, their entries are not collapsed."""
        for number in range(2):
            logger.info("x", meta_data={"log_id": f"mine {number}"})
        logger.flush()
        assert [entry["meta_data"]["log_id"] for entry in recorder.entries] == ["mine 0", "mine 1"]

    @pytest.mark.parametrize("name", ["logged_at", "repeat_count", "last_logged_at"])
    def test_caller_s_own_keys_are_kept(
        self, logger: VoyageLogger, recorder: Recorder, name: str
    ) -> None:
        """If a log call uses a key that `collapse` writes, the value of the log call is sent."""
        for value in ("mine A", "mine B", "mine B"):
            logger.info("x", meta_data={name: value})
        with logger.context(meta_data={name: "mine C"}):
            logger.info("x")
        logger.flush()
        found = [entry["meta_data"][name] for entry in recorder.entries]
        assert list(dict.fromkeys(found)) == ["mine A", "mine B", "mine C"]
        assert calls(recorder.entries) == 4 if name == "logged_at" else len(found) == 4

    def test_what_before_send_writes_is_kept(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """If `before_send` writes different times, the entries are not collapsed."""
        times = iter(["A", "B"])

        def before_send(entry: dict[str, Any]) -> dict[str, Any]:
            return {**entry, "meta_data": {**entry["meta_data"], "logged_at": next(times)}}

        logger = make_logger(
            transport=recorder, collapse=60, flush_interval=600, before_send=before_send
        )
        logger.info("x")
        logger.info("x")
        logger.flush()
        assert [entry["meta_data"]["logged_at"] for entry in recorder.entries] == ["A", "B"]

    def test_before_send_that_copies_does_not_end_a_burst(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """If `before_send` returns an equal copy, entries are still collapsed."""
        logger = make_logger(
            transport=recorder,
            collapse=60,
            flush_interval=600,
            before_send=lambda entry: json.loads(json.dumps(entry)),
        )
        for _ in range(3):
            logger.info("x")
        logger.flush()
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [3]

    def test_what_before_send_makes_critical_is_never_collapsed(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """If `before_send` makes an entry critical, the entry is never collapsed."""
        logger = make_logger(
            transport=recorder,
            collapse=60,
            flush_interval=600,
            before_send=lambda entry: {**entry, "level": "CRITICAL"},
        )
        for _ in range(3):
            logger.info("x")
        logger.flush()
        assert [entry["level"] for entry in recorder.entries] == ["critical"] * 3

    def test_slower_thread_does_not_overwrite_the_count(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """A thread that encodes slowly does not overwrite the count of a faster thread."""
        logger = make_logger(transport=recorder, collapse=60, flush_interval=600)
        flood = logger._calls._collapser
        assert flood is not None
        encode = flood._encode
        overtaken: list[bool] = []

        def overtake(entry: dict[str, Any]) -> bytes:
            if "repeat_count" in entry["meta_data"] and not overtaken:
                overtaken.append(True)
                thread = threading.Thread(target=logger.info, args=("x",), kwargs=fields)
                thread.start()
                thread.join(30)
            return encode(entry)

        fields = {"method_name": "work"}
        flood._encode = overtake
        logger.info("x", method_name="work")
        logger.info("x", method_name="work")
        logger.flush()
        assert overtaken
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [3]

    def test_without_timestamps(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """Without timestamps, a collapsed entry has a count but no times."""
        logger = make_logger(
            transport=recorder, collapse=60, timestamps=False, capture_method=False
        )
        for _ in range(3):
            logger.info("x")
        logger.flush()
        assert recorder.entries[0]["meta_data"] == {"repeat_count": 3}

    def test_window_ends(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """An entry that is logged after the time window is a new entry."""
        logger = make_logger(transport=recorder, collapse=10, flush_interval=600)
        now = 0.0
        flood = logger._calls._collapser
        assert flood is not None
        flood._clock = lambda: now
        logger.info("x")
        now = 9.9
        logger.info("x")
        now = 10.0
        logger.info("x")
        now = 19.9
        logger.info("x")
        logger.flush()
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [2, 2]

    def test_entry_under_way_is_not_amended(self, make_logger: MakeLogger) -> None:
        """If the first entry is already being sent, a repetition becomes a new entry."""
        is_sending, may_go = threading.Event(), threading.Event()

        class Slow(Recorder):
            def send(self, entries: Sequence[bytes], *, time_limit: float | None = None) -> Outcome:
                assert all(type(entry) is bytes for entry in entries)
                is_sending.set()
                may_go.wait(10)
                return super().send(entries)

        slow = Slow()
        logger = make_logger(transport=slow, collapse=60, flush_interval=0.01)
        logger.info("x")
        is_sending.wait(10)
        for _ in range(5):
            logger.info("x")
        may_go.set()
        assert logger.flush()
        counts = [entry["meta_data"].get("repeat_count") for entry in slow.entries]
        assert counts == [None, 5]

    def test_entry_that_was_shed_is_not_amended(
        self, make_logger: MakeLogger, recorder: Recorder
    ) -> None:
        """If the first entry was shed, a repetition becomes a new entry."""
        logger = make_logger(
            transport=recorder, collapse=60, flush_interval=600, max_queue_size=2, batch_size=1000
        )
        logger.debug("x")
        logger.debug("x")
        logger.error("other")
        logger.error("another")  # This call sheds the first entry.
        logger.flush()
        logger.debug("x")
        logger.flush()
        sent = [entry for entry in recorder.entries if entry["message"] in ("x", "other")]
        assert [entry["message"] for entry in sent] == ["other", "x"]
        assert "repeat_count" not in sent[1]["meta_data"]
        assert logger.stats().dropped_by == {"queue_full": 1}

    def test_counts_are_exact_in_threads(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """If eight threads log while the worker takes entries, each log call is counted once."""
        logger = make_logger(transport=recorder, collapse=60, flush_interval=0.001, batch_size=2)

        def work() -> None:
            for number in range(400):
                logger.info("same %d", number % 3)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert logger.flush()
        stats = logger.stats()
        assert calls(recorder.entries) == 3200
        assert stats.accepted + stats.collapsed == 3200
        assert stats.delivered == len(recorder.entries)
        assert len(recorder.entries) < 3200

    def test_tasks_collapse_alike(self, logger: VoyageLogger, recorder: Recorder) -> None:
        """Gathered tasks that log the same message make one entry."""

        async def work() -> None:
            for _ in range(10):
                await asyncio.sleep(0)
                logger.info("x")

        async def main() -> None:
            await asyncio.gather(*(work() for _ in range(5)))

        asyncio.run(main())
        logger.flush()
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [50]

    def test_close_sends_what_was_collapsed(self, logger: VoyageLogger, recorder: Recorder) -> None:
        """`close` sends a collapsed entry together with its count."""
        for _ in range(7):
            logger.info("x")
        assert logger.close()
        assert calls(recorder.entries) == 7
        logger.info("x")
        assert logger.stats().dropped_by == {"closed": 1}

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_forked_child_does_not_amend_the_parent_s(self, server: DevServer) -> None:
        """After a fork, each count contains only the log calls of its own process."""
        logger = VoyageLogger(
            "app",
            base_url=server.url,
            api_key=server.api_key,
            api_secret=server.api_secret,
            collapse=60,
            flush_interval=600,
        )
        logger.info("x")
        logger.info("x")
        pid = os.fork()
        if pid == 0:
            logger.info("x")
            os._exit(0 if logger.flush() else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert logger.close()
        counts = [entry["meta_data"].get("repeat_count", 1) for entry in server.entries()]
        assert sorted(counts) == [1, 2]

    def test_memory_is_bounded(self, make_logger: MakeLogger, recorder: Recorder) -> None:
        """The client remembers a limited number of entries, and forgets the oldest first."""
        logger = make_logger(transport=recorder, collapse=60, flush_interval=600, batch_size=10_000)
        for number in range(1500):
            logger.info("x %d", number)
        flood = logger._calls._collapser
        assert flood is not None
        assert len(flood._bursts) == 1000

    def test_odd_values_and_secrets_collapse_too(
        self, logger: VoyageLogger, recorder: Recorder
    ) -> None:
        """Unusual values collapse too: entries are compared after redaction and encoding."""
        for number in range(4):
            extra: Any = {"password": f"secret {number}"}
            logger.info("x", meta_data={"set": {1}}, **extra)
        logger.flush()
        assert [entry["meta_data"]["repeat_count"] for entry in recorder.entries] == [4]
        assert "secret 0" not in json.dumps(recorder.entries)


class TestAmend:
    def test_bytes_stay_accounted_for(self) -> None:
        """When the count in an entry changes, the queue uses the entry's new size in bytes."""
        queue = MemoryQueue(10, 10_000)
        payload = bytearray(b"[1]")
        sequence = queue.append(payload, INFO)
        before = queue.stats().pending_bytes
        assert queue.amend(INFO, sequence, payload, b"[1, 2]")
        assert queue.stats().pending_bytes == before + 3
        queue.take(10, 10_000)
        assert not queue.amend(INFO, sequence, payload, b"[]")
        queue.settle(1)
        assert queue.stats().pending_bytes == 0

    def test_amended_entry_that_is_too_much_sheds(self) -> None:
        """If the new size of an entry exceeds the limit of the queue, other entries are shed."""
        queue = MemoryQueue(10, 400)
        old = queue.append(b"x" * 10, DEBUG)
        payload = bytearray(b"y" * 10)
        sequence = queue.append(payload, INFO)
        assert queue.amend(INFO, sequence, payload, b"y" * 100)
        assert queue.stats().dropped_by == {"queue_full": 1}
        assert queue.oldest() == sequence > old

    @pytest.mark.parametrize("lane", [DEBUG, INFO, CRITICAL, TICKET_LANE])
    def test_only_what_waits_is_amended(self, lane: int) -> None:
        """Only an entry that waits in the queue can be replaced."""
        queue = MemoryQueue(2, 10_000)
        first, second = bytearray(b"1"), bytearray(b"2")
        one = queue.append(first, lane)
        two = queue.append(second, lane)
        queue.take(1, 10_000)
        assert not queue.amend(lane, one, first, b"11")
        assert queue.amend(lane, two, second, b"22")
        assert (bytes(first), bytes(second)) == (b"1", b"22")
