"""The settings that apps can read from a logger, as from the vendor's class.

What must stay true: the API key and the API secret cannot be read. A setting never changes after
the logger is made, but an assignment raises no exception: a subclass that was written for the
vendor's class can assign the attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voyage_logger.transports import Transport

if TYPE_CHECKING:
    from voyage_logger._base.diagnostics import Diagnostics
    from voyage_logger._base.settings import Settings
    from voyage_logger.transports import BaseTransport


def _setting(name: str, doc: str) -> property:
    """Return a property that reads a setting of a logger, and reports assignments."""

    def read(logger: ReadableSettings) -> Any:
        return logger._setting(name)  # noqa: SLF001 - an object of this class

    def assign(logger: ReadableSettings, value: object) -> None:
        logger._note_assignment(name, value)  # noqa: SLF001 - an object of this class

    return property(read, assign, doc=doc)


class ReadableSettings:
    """The readable settings of `VoyageLogger`: see its constructor for the meanings."""

    _settings: Settings
    _transport: BaseTransport
    _base_url: str
    _diagnostics: Diagnostics

    if TYPE_CHECKING:
        app_name: str
        environment: str
        batch_size: int
        flush_interval: float
        base_url: str
    else:
        app_name = _setting("app_name", "The name of the app in all entries.")
        environment = _setting("environment", "The environment in all entries.")
        batch_size = _setting("batch_size", "The number of entries in a full batch.")
        flush_interval = _setting("flush_interval", "The longest wait of a batch, in seconds.")
        base_url = _setting("base_url", "The base URL of the API.")

    def _setting(self, name: str) -> object:
        if name != "base_url":
            return getattr(self._settings, name)
        is_usual = isinstance(self._transport, Transport)
        return self._transport.destination if is_usual else self._base_url

    def _note_assignment(self, name: str, value: object) -> None:
        """Say once that an assignment has no effect, unless the value is the value in effect."""
        # Before the constructor of `VoyageLogger` runs, a subclass can also assign the attribute.
        diagnostics = getattr(self, "_diagnostics", None)
        if diagnostics is not None and value != self._setting(name):
            text = "changes nothing after the logger is made: pass the value to the constructor"
            diagnostics.say(f"assigned {name}", f"assigning {name} {text}")
