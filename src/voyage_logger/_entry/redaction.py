"""Mask the values of keys such as "password", and the logger's own secrets.

What must stay true: the value of a key such as "password" is masked at every level of nesting. Case
and separators in keys are ignored. Only a whole key can match: the key "authenticated" does not
match "auth". The logger's own API key, API secret and token are masked in every text.

Masking must be fast. If an entry contains nothing to mask, the client makes one set operation for
each dict and one text search for each secret. A regular expression would take 10 us per entry.
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

# These entry fields are never masked: the API requires them or documents a type other than text.
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

_SHORTEST_SECRET = 7  # A secret with fewer characters might be a word, so it is not masked.
_MOST_KNOWN = 4096  # The maximum number of keys in `harmless`.
_LONGEST_KNOWN = 32  # A key with more characters is not added to `harmless`.
_MOST_READ = 1 << 16  # Only this many characters of a long key are compared.


@frozen
class Secrets:
    """Secrets that must be masked. The `repr` contains no secret, so a debugger shows no secret."""

    texts: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()  # The secrets as JSON strings without quotes.
    source: tuple[str, ...] = ()  # The tuple from which `texts` and `encoded` were made.

    def __repr__(self) -> str:
        return "Secrets()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets are not pickled")


def _bare(name: str) -> str:
    """Return the name in lower case, without separators: "Set-Cookie" becomes "setcookie"."""
    return "".join(filter(str.isalnum, name)).casefold()


def is_blank(value: object) -> bool:
    """Return True if a value is None, a bool or an empty text, because it contains no secret."""
    if value is None or value is True or value is False:
        return True
    return (type(value) is str or type(value) is bytes) and not value


class Redaction:
    """Masks the values of some keys, and the secrets of one logger.

    `secrets` is a function that returns the same tuple until a secret changes. `hides_steps` is
    True if `keys` contains "step" or "timestamp", which are the keys of a timeline step.
    `hides_times` is True if `keys` contains "timestamp". `harmless` contains short keys whose
    values need no masking. This class is thread-safe: threads only add keys to `harmless`, or
    replace `harmless` with an empty set.
    """

    def __init__(
        self, keys: Iterable[str] = (), secrets: Callable[[], tuple[str, ...]] = tuple
    ) -> None:
        self._names = frozenset(map(_bare, keys))
        self._secrets = secrets
        self._known = Secrets()
        self.harmless: set[str] = set()
        self.hides_times = self.hides("timestamp")
        self.hides_steps = self.hides_times or self.hides("step")

    def examine(self, container: dict[Any, Any], *, is_top: bool) -> tuple[int, bool]:
        """Check the keys of a dict, except keys in `harmless`. Add harmless keys to `harmless`.

        The first result is the number of characters in the checked keys, or -1 if a key is not a
        text. The second result is True if at least one value must be masked.
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
        """Return a copy of plain JSON data in which the values of secret keys are masked."""
        if type(value) is dict:
            hides = self.hides_at_top if is_top else self.hides
            return {
                key: MASK
                if key not in self.harmless and hides(key) and not is_blank(item)
                else item
                if type(item) is str  # This test is faster than a call for each text.
                else self.masked_copy(item, is_top=False)
                for key, item in value.items()
            }
        if type(value) is list or type(value) is tuple:
            return [self.masked_copy(item, is_top=False) for item in value]
        return value

    def hides(self, key: str) -> bool:
        """Return True if the value of this key must be masked."""
        return _bare(key[:_MOST_READ]) in self._names

    def hides_at_top(self, key: str) -> bool:
        """Return True if the value of the entry field `key` must be masked."""
        return key not in _NEVER_TOP and self.hides(key)

    def has_secret_in(self, text: str) -> bool:
        """Return True if a JSON text contains a secret."""
        known = self._known
        if known.source is not self._secrets():
            known = self._needles()
        for needle in known.encoded:  # noqa: SIM110 - this loop is faster than `any`
            if needle in text:
                return True
        return False

    def mask(self, text: str) -> str:
        """Return the text, but with `MASK` in place of each secret."""
        for secret in self._needles().texts:
            if secret in text:
                text = text.replace(secret, MASK)
        return text

    def _needles(self) -> Secrets:
        """Return the current secrets."""
        secrets = self._secrets()
        known = self._known
        if known.source is not secrets:
            # Longer secrets are masked first, because a longer secret can contain a shorter secret.
            found = {text for text in secrets if len(text) >= _SHORTEST_SECRET}
            texts = tuple(sorted(found, key=len)[::-1])
            encoded = tuple(json.dumps(text, ensure_ascii=False)[1:-1] for text in texts)
            known = self._known = Secrets(texts, encoded, secrets)
        return known


NOTHING = Redaction()


def redacted_keys(parameter: str, value: Any) -> frozenset[str]:
    """Check the argument `redact`, and return its key names as a set. None means no names."""
    if value is None:
        return frozenset()
    rule = "a list of key names such as DEFAULT_REDACTED_KEYS | {'iban'}, or None"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ConfigurationError(parameter, value, rule)
    names = list(value)
    if not all(isinstance(name, str) and _bare(name) for name in names):
        raise ConfigurationError(parameter, value, rule)
    return frozenset(names)
