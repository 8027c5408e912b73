"""The JSON encoders: that of the standard library, and orjson where it is installed.

What must stay true: both write the same bytes for what they are given. Where they would not (a
float with an exponent or none at all, see `is_alike`), or where orjson refuses (an integer beyond
64 bits, a lone surrogate, a key that is a subclass of str), only the first is asked.

orjson comes with the extra `speed`. The environment variable VOYAGE_LOGS_ORJSON=0, set when this
package is imported, leaves it alone.
"""

from __future__ import annotations

import json
import os
from json import encoder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Between these, both write a float's shortest digits with a point and without an exponent.
_LEAST, _MOST = 1e-4, 1e16


def _json_encoder() -> Callable[[Any], str]:
    """The encoder of `json`, made once: its `encode` makes the C encoder anew each time, 1.4 us."""
    # Cycles need no check: what is given to it is of bounded depth.
    made = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
    )
    make: Any = getattr(encoder, "c_make_encoder", None)
    try:
        quote: Any = encoder.encode_basestring
        scan = make(None, made.default, quote, None, ":", ",", False, False, False)
        if "".join(scan({"a": [1.5, None]}, 0)) != '{"a":[1.5,null]}':
            return made.encode
    except Exception:  # noqa: BLE001 - it is not documented: what is not as known is not used
        return made.encode
    join = "".join
    return lambda value: join(scan(value, 0))


def _orjson_encoder() -> Callable[[Any], str] | None:
    """The encoder of orjson, or None if there is none to be used."""
    if os.environ.get("VOYAGE_LOGS_ORJSON") == "0":
        return None
    try:
        from orjson import (  # noqa: PLC0415 - optional
            OPT_PASSTHROUGH_DATACLASS,
            OPT_PASSTHROUGH_DATETIME,
            OPT_PASSTHROUGH_SUBCLASS,
            dumps,
        )
    except Exception:  # noqa: BLE001 - a broken installation must not end an app's import
        return None
    # What is not exactly plain data is refused: its form is not orjson's to choose.
    option = OPT_PASSTHROUGH_DATACLASS | OPT_PASSTHROUGH_DATETIME | OPT_PASSTHROUGH_SUBCLASS
    return lambda value: dumps(value, None, option).decode()


def is_alike(value: float) -> bool:
    """True if all encoders write the float in the same form."""
    return _LEAST <= value < _MOST or -_MOST < value <= -_LEAST or value == 0


quote: Callable[[str], str] = encoder.encode_basestring  # a text as JSON
dumps = _json_encoder()
quick_dumps = _orjson_encoder() or dumps  # exact types, and floats that are alike, only
