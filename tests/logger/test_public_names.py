"""Public classes and functions show the public module that users import."""

from __future__ import annotations

import pickle
import pydoc
from typing import Any

import pytest

import voyage_logger
from voyage_logger import VoyageLogger, transports

VALUES = {"DEFAULT_REDACTED_KEYS", "__version__"}  # these values are texts, which have no module
PUBLIC = [
    *((voyage_logger, name) for name in voyage_logger.__all__ if name not in VALUES),
    (transports, "ConsoleTransport"),
]


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[name for _, name in PUBLIC])
def test_public_object_shows_and_pickles_its_public_name(module: Any, name: str) -> None:
    """Each public class and function has its public module in its `__module__` and in pickles."""
    found = getattr(module, name)
    assert (found.__module__, found.__qualname__) == (module.__name__, name)
    pickled = pickle.dumps(found)
    assert b"voyage_logger._" not in pickled
    assert pickle.loads(pickled) is found  # noqa: S301 - this test has made the pickle


def test_traceback_names_the_public_error() -> None:
    """A traceback shows the public name of an error class."""
    with pytest.raises(voyage_logger.ConfigurationError) as caught:
        VoyageLogger("")
    assert pydoc.classname(caught.type, "") == "voyage_logger.ConfigurationError"
    assert str(caught.type) == "<class 'voyage_logger.ConfigurationError'>"


def test_help_begins_with_an_example_and_lists_the_rooms() -> None:
    """`help(voyage_logger)` shows an example first, and then lists the folders of the package."""
    lines = [line.strip() for line in (voyage_logger.__doc__ or "").splitlines()]
    assert lines[2] == "from voyage_logger import VoyageLogger"
    rooms = [line.split()[0] for line in lines[7:] if line]
    assert rooms == [
        "_base",
        "_entry",
        "devserver",
        "_queue",
        "transports",
        "_delivery",
        "_logger",
        "cli",
    ]
