"""Find field names that are other spellings of documented names, such as `appUserId`.

The vendor's JavaScript example uses such a name. The client sends a field with such a name
unchanged, because the API may accept any name. But an app that writes `addTicket` opens no ticket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# These documented names join two words, which people also write apart.
_APART = {"app_username": "app_user_name", "app_useremail": "app_user_email"}


def spellings_of(documented: Iterable[str]) -> dict[str, str]:
    """Return other spellings of the documented names. Each value is the documented name."""
    found = {}
    for name in documented:
        for known in (name, _APART.get(name, name)):
            first, *rest = known.split("_")
            camel = first + "".join(word.title() for word in rest)
            for spelling in (known, camel, camel.replace("Id", "ID"), camel.lower()):
                found[spelling] = name
    return {spelling: name for spelling, name in found.items() if spelling != name}
