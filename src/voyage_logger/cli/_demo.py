"""`voyage-logger demo`: send entries to a faulty local server, and count the stored entries."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from voyage_logger._base.wire import JOURNEY_COMPLETED
from voyage_logger._logger.logger import VoyageLogger
from voyage_logger.cli._output import flush, say
from voyage_logger.devserver import DevServer, Fault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator


_THREADS = 8
_ENTRIES = 2_000
_FLUSH_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """The result of the demo. The app counts log calls. The server counts the stored entries."""

    sent: int  # How many entries the demo app has logged.
    received: int  # How many entries the server has stored, without duplicates.
    lost: int
    duplicates: int
    batches: int
    retries: int
    sign_ins: int
    tickets: int
    seconds: float


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "demo", help="log to a local server that misbehaves, and count the stored entries"
    )
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo. Return 0 if the server has stored each entry exactly once, else 1."""
    # With --json, the command must print only the JSON to standard output.
    account = _rehearse((lambda _: None) if options.json else _show)
    say(json.dumps(asdict(account)) if options.json else _readable(account))
    return 0 if account.received == account.sent and not account.duplicates else 1


def _show(line: str) -> None:
    """Print a line immediately, so that a reader of a pipe sees what happens now."""
    say(line)
    flush()


def _rehearse(show: Callable[[str], object]) -> Account:
    started = time.monotonic()
    with DevServer() as server:
        show(f"A server of the Logs API listens on {server.url}")
        logger = _logger_on(server)
        shop = _Shop(logger)
        with logger:
            _log_during_faults(shop, logger, server, show)
        show(_picture(server))
        return _account(shop, logger, server, time.monotonic() - started)


def _logger_on(server: DevServer) -> VoyageLogger:
    return VoyageLogger(
        "demo-shop",
        "demo",
        base_url=server.url,
        api_key=server.api_key,
        api_secret=server.api_secret,
    )


def _log_during_faults(
    shop: _Shop, logger: VoyageLogger, server: DevServer, show: Callable[[str], object]
) -> None:
    server.script(Fault(status=503, headers={"Retry-After": "1"}))
    show("It answers the first batch with 503, and asks the client to wait one second.")
    shop.log_in()
    shop.check_out()
    logger.flush(_FLUSH_TIMEOUT)

    server.revoke_tokens()
    server.script(Fault(reset="before"))
    show("It revokes the token, and breaks a connection before it has stored the batch.")
    shop.rush_hour()
    logger.flush(_FLUSH_TIMEOUT)


class _Shop:
    """The demo app: a small shop. To check the logger, the app counts its log calls itself."""

    def __init__(self, logger: VoyageLogger, pause: Callable[[float], object] = time.sleep) -> None:
        self._logger = logger
        self._pause = pause
        self.sent = 0

    def log_in(self) -> None:
        login = self._logger.bind(event_flow_name="authentication", app_user_id="user_123")
        login.debug("Password checked", event_name="password_checked")
        login.info("User login successful", event_name="login_success")
        self.sent += 2

    def check_out(self) -> None:
        """Log a journey. Each entry has the journey's name, session, user and timeline."""
        with self._logger.journey("checkout", app_user_id="user_123") as journey:
            journey.step("cart_opened")
            self._logger.info("Cart opened", event_name="cart_opened")
            self._pause(0.04)
            journey.step("card_declined")
            self._logger.warning("Card declined once", event_name="card_declined")
            self._pause(0.12)
            journey.step("gateway_timeout")
            self._logger.critical(
                "Payment gateway timeout",
                event_name="payment_error",
                add_ticket=True,
                meta_data={"gateway": "stripe", "amount": 99.99},
            )
            self._pause(0.02)
            journey.step("paid_by_invoice")
        self.sent += 4  # three log calls, and the entry that ends the journey

    def rush_hour(self) -> None:
        share = _ENTRIES // _THREADS
        # After Ctrl-C, the demo closes its logger. Before that, the threads must end.
        with _uninterrupted(), ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._serve, range(_THREADS), [share] * _THREADS))
        self.sent += share * _THREADS

    def _serve(self, thread: int, orders: int) -> None:
        for order in range(orders):
            self._logger.info(
                "Order placed", event_name="order", meta_data={"till": thread, "order": order}
            )


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block."""
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        for number in noted[:1]:
            signal.raise_signal(number)


def _account(shop: _Shop, logger: VoyageLogger, server: DevServer, seconds: float) -> Account:
    doubled = server.duplicates()
    duplicates = sum(doubled.values()) - len(doubled)
    stored = server.count()
    stats = logger.stats()
    return Account(
        sent=shop.sent,
        received=stored - duplicates,
        lost=shop.sent - (stored - duplicates),
        duplicates=duplicates,
        batches=stats.batches,
        retries=stats.retries,
        sign_ins=stats.sign_ins,
        tickets=len(server.tickets()),
        seconds=round(seconds, 2),
    )


def _readable(account: Account) -> str:
    lines = [
        f"  {name.replace('_', '-'):<10} {value:>8}" for name, value in asdict(account).items()
    ]
    verdict = "Every entry arrived exactly once."
    if account.lost or account.duplicates:
        verdict = "Entries are missing." if account.lost else "Entries arrived twice."
    return "\n".join(["", *lines, "", verdict])


def _picture(server: DevServer) -> str:
    """Return the stored timeline of the checkout journey as text."""
    closing = [entry for entry in server.entries() if entry.get("event_name") == JOURNEY_COMPLETED]
    timeline: list[dict[str, Any]] = closing[0]["event_timeline"] if closing else []
    lines = [
        f"  +{step['timestamp'] - timeline[0]['timestamp']:>4} ms  o  {step['step']}"
        for step in timeline
    ]
    return "\n".join(["The checkout is a journey. Its last entry contains all its steps:", *lines])
