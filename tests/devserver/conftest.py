"""The client that has signed in, for all tests of the dev server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.devserver.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voyage_logger.devserver import DevServer


@pytest.fixture
def client(server: DevServer) -> Iterator[Client]:
    client = Client(server)
    client.sign_in()
    yield client
    client.http.close()
