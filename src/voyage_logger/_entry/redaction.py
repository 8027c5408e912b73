"""What must not leave: values under telling keys, and the logger's own secrets.

What must stay true: a key hides its value by its whole name, case and separators ignored, at any
depth ("authenticated" is not "auth"); the key, secret and token of the logger itself are masked
wherever they stand; and of an entry without any of them a call learns so at the price of one set
operation per dict and one search per secret. No regular expression: those cost 10 us an entry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from voyage_logger._base.errors import ConfigurationError
from voyage_logger._base.frozen import frozen

MASK = "***"

DEFAULT_REDACTED_KEYS: frozenset[str] = frozenset(
    {
        "access_key",
        "access_token",
        "api_key",
        "api_secret",
        "api_token",
        "auth",
        "auth_token",
        "authorization",
        "aws_secret_access_key",
        "bearer_token",
        "card_number",
        "client_secret",
        "cookie",
        "cookies",
        "credentials",
        "credit_card",
        "credit_card_number",
        "csrf_token",
        "cvc",
        "cvv",
        "db_password",
        "encryption_key",
        "id_token",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "proxy_authorization",
        "pwd",
        "refresh_token",
        "secret",
        "secret_access_key",
        "secret_key",
        "session_token",
        "set_cookie",
        "signing_key",
        "ssh_key",
        "token",
        "voyage_api_key",
        "voyage_api_secret",
        "voyage_logs_key",
        "voyage_logs_secret",
        "webhook_secret",
        "x_api_key",
        "x_api_secret",
        "x_auth_token",
        "x_csrf_token",
        "xsrf_token",
    }
)

# What the API requires of an entry, and what it documents as other than text, keeps its type.
_NEVER_TOP = frozenset(
    {
        "message",
        "level",
        "app_name",
        "environment",
        "meta_data",
        "tags",
        "add_ticket",
        "event_timeline",
    }
)

_SHORTEST_SECRET = 7  # characters: a shorter text is nobody's secret, and masking it mangles words
_MOST_KNOWN = 4096  # harmless keys to remember; data as keys would fill any memory
_LONGEST_KNOWN = 32  # characters of one of them
_MOST_READ = 1 << 16  # characters of a key: by these it is judged


@frozen
class Secrets:
    """Texts to be masked, which no repr shows, nor the attributes of what holds this.

    Attributes:
        texts: As they are.
        encoded: As JSON writes them.
        source: The tuple that they were taken from, by which a change is noticed.
    """

    texts: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()
    source: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Secrets()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def _no_secrets() -> tuple[str, ...]:
    return ()


def _bare(name: str) -> str:
    """The name without case and separators: Set-Cookie, set_cookie and setCookie are one."""
    return "".join(filter(str.isalnum, name)).casefold()


class Redaction:
    """Tells what to mask.

    Args:
        keys: The names that hide their values.
        secrets: Gives the texts that are masked wherever they stand, as they are at the moment;
            the same tuple as long as nothing has changed.

    Attributes:
        harmless: Keys that are known to hide nothing, all of them short.
        hides_steps: True if the keys of a timeline's steps are among the names.

    Thread-safe: `harmless` only grows, or is replaced by an empty set.
    """

    def __init__(
        self, keys: Iterable[str] = (), secrets: Callable[[], tuple[str, ...]] = _no_secrets
    ) -> None:
        self._names = frozenset(map(_bare, keys))
        self._secrets = secrets
        self._known = Secrets()
        self.harmless: set[str] = set()
        self.hides_steps = self.hides("step") or self.hides("timestamp")

    def examine(self, container: dict[Any, Any], *, is_top: bool) -> tuple[int, bool]:
        """Looks at the keys of a dict that are not known as harmless, and learns.

        Args:
            container: The dict.
            is_top: True if its keys are the fields of an entry.

        Returns:
            How many characters those keys have, -1 if one is no text; and whether one of them
            hides its value.
        """
        characters, is_hiding = 0, False
        for key in container:
            if type(key) is not str:
                return -1, False
            if key in self.harmless:
                continue
            characters += len(key)
            if self.hides(key):
                is_hiding = is_hiding or not is_top or self.hides_at_top(key)
            elif len(key) <= _LONGEST_KNOWN:
                if len(self.harmless) >= _MOST_KNOWN:
                    self.harmless = set()
                self.harmless.add(key)
        return characters, is_hiding

    def masked_copy(self, value: Any, *, is_top: bool = True) -> Any:
        """A copy of plain JSON data, of bounded depth, with the values of telling keys masked."""
        if type(value) is dict:
            hides = self.hides_at_top if is_top else self.hides
            return {
                key: MASK
                if key not in self.harmless and hides(key)
                else self.masked_copy(item, is_top=False)
                for key, item in value.items()
            }
        if type(value) is list or type(value) is tuple:
            return [self.masked_copy(item, is_top=False) for item in value]
        return value

    def hides(self, key: str) -> bool:
        """True if the value under this key is to be masked."""
        return _bare(key[:_MOST_READ]) in self._names

    def hides_at_top(self, key: str) -> bool:
        """The same for a field of the entry itself, of which the API's own keep their types."""
        return key not in _NEVER_TOP and self.hides(key)

    def has_secret_in(self, text: str) -> bool:
        """True if a secret stands in a JSON text."""
        known = self._known
        if known.source is not self._secrets():
            known = self._needles()
        for needle in known.encoded:  # noqa: SIM110 - a generator costs more than the search
            if needle in text:
                return True
        return False

    def mask(self, text: str) -> str:
        """The text with each secret masked."""
        for secret in self._needles().texts:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def _needles(self) -> Secrets:
        """The secrets of the moment, ready to be searched for."""
        secrets = self._secrets()
        known = self._known
        if known.source is not secrets:
            # Longest first, for one may contain another.
            found = {text for text in secrets if len(text) >= _SHORTEST_SECRET}
            texts = tuple(sorted(found, key=len)[::-1])
            encoded = tuple(json.dumps(text, ensure_ascii=False)[1:-1] for text in texts)
            known = self._known = Secrets(texts, encoded, secrets)
        return known


NOTHING = Redaction()


def redacted_keys(parameter: str, value: Any) -> frozenset[str]:
    """The rule of the argument `redact`: names, or None for none.

    Raises:
        ConfigurationError: It is a lone text, or not all are texts.
    """
    if value is None:
        return frozenset()
    rule = "a list of key names such as DEFAULT_REDACTED_KEYS | {'iban'}, or None"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError(parameter, value, rule)
    names = list(value)
    if not all(isinstance(name, str) and _bare(name) for name in names):
        raise ConfigurationError(parameter, value, rule)
    return frozenset(names)
