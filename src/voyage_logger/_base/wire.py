"""Constants of the API: paths, header names, limits, and the client's own event names.

What must stay true: API paths, API header names and event names are defined only in this module.

Source: the section "v1.0, REST API" of the vendor docs, and the vendor's reference classes.
"""

from __future__ import annotations

DEFAULT_BASE_URL = "https://api.tracevoyage.com"

SIGN_IN_PATH = "/accounts/api/v1/auth/sign-in-keys"
BATCH_PATH = "/voyage/api/v1/logs/batch"

API_KEY_HEADER = "x-api-key"
API_SECRET_HEADER = "x-api-secret"  # noqa: S105 - this text is a header's name, not a secret

# The body of a batch request is {"logs":[...]}. The encoded entries are between the brackets.
BODY_OPEN = b'{"logs":['
BODY_CLOSE = b"]}"
BODY_OVERHEAD = len(BODY_OPEN) + len(BODY_CLOSE)

# If the server sends no valid `expires_in`, a token counts as valid for this number of seconds.
DEFAULT_TOKEN_SECONDS = 3600.0

# The `event_name` of each event that the client itself logs.
JOURNEY_COMPLETED = "journey_completed"
JOURNEY_FAILED = "journey_failed"
JOURNEY_INTERRUPTED = "journey_interrupted"
UNCAUGHT_EXCEPTION = "uncaught_exception"
ENTRIES_LOST = "voyage_logger.entries_lost"
