"""The JSON encoders: `json`, and orjson if it is installed.

What must stay true: an entry has the same bytes with and without orjson. `json` and orjson write
some floats differently. If an entry contains a float for which `is_alike` is False, `json` encodes
the entry. If orjson refuses an entry, `json` encodes the entry. For example, orjson refuses
integers of more than 64 bits, lone surrogates, and keys whose type is a subclass of `str`.

`pip install voyage-logger[speed]` installs orjson. To turn orjson off, set the environment variable
VOYAGE_LOGS_ORJSON=0 before this package is imported.
"""

from __future__ import annotations

import json
import os
from json import encoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Both encoders write a float between these two limits in its shortest form without an exponent.
_LEAST, _MOST = 1e-4, 1e16


def _json_encoder() -> Callable[[Any], str]:
    """Return a `json` encoder that uses one C encoder for all calls, to save 1.4 us per call."""
    # A check for cycles is not needed, because the client limits how deep an entry is nested.
    made = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
    )
    make: Any = getattr(encoder, "c_make_encoder", None)
    try:
        quote: Any = encoder.encode_basestring
        scan = make(None, made.default, quote, None, ":", ",", False, False, False)
        if "".join(scan({"a": [1.5, None]}, 0)) != '{"a":[1.5,null]}':
            return made.encode
    except Exception:  # noqa: BLE001 - Python does not document this C encoder and may change it
        return made.encode
    join = "".join
    return lambda value: join(scan(value, 0))


def _orjson_encoder() -> Callable[[Any], str] | None:
    """Return an orjson encoder, or None if orjson is not installed or is turned off."""
    if os.environ.get("VOYAGE_LOGS_ORJSON") == "0":
        return None
    try:
        import orjson  # noqa: PLC0415 - Not every user installs orjson.
    except Exception:  # noqa: BLE001 - A broken orjson must not stop the import of this package.
        return None
    # orjson must refuse dataclasses, dates and subclasses, so that `json_data` converts them.
    option = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    option |= orjson.OPT_PASSTHROUGH_SUBCLASS
    dump = orjson.dumps
    return lambda value: dump(value, None, option).decode()


def is_alike(value: float) -> bool:
    """Return True if both encoders write the float as the same text."""
    return _LEAST <= value < _MOST or -_MOST < value <= -_LEAST or value == 0


quote: Callable[[str], str] = encoder.encode_basestring  # Encodes a text as a JSON string.
dumps = _json_encoder()
quick_dumps = _orjson_encoder() or dumps  # The caller must first check all types and floats.
