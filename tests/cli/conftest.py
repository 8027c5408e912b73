"""Fixtures for the tests of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from voyage_logger import VoyageLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELSEWHERE = "http://127.0.0.1:7"  # no program listens on this port


@pytest.fixture
def live(folder: Path) -> Iterator[VoyageLogger]:
    """A running logger that has an entry in the folder, and does not adopt other entries."""
    logger = VoyageLogger(
        "app", spool_dir=folder, base_url=ELSEWHERE, api_key="k", api_secret="s", flush_interval=600
    )
    logger.info("info of a running owner")
    yield logger
    logger.close(timeout=0)
