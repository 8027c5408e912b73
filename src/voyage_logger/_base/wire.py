"""The wire's constants: every fact about the API that is a name, a path or a limit.

Source of each: the vendor's documentation ("v1.0, REST API") and its reference classes. Nothing
else in the package knows a path or a header of the API.
"""

from __future__ import annotations

DEFAULT_BASE_URL = "https://api.tracevoyage.com"

SIGN_IN_PATH = "/accounts/api/v1/auth/sign-in-keys"
BATCH_PATH = "/voyage/api/v1/logs/batch"

API_KEY_HEADER = "x-api-key"
API_SECRET_HEADER = "x-api-secret"  # noqa: S105 - the header's name, not a secret

# A request body is this envelope around a join of encoded entries: {"logs": [...]}.
BODY_OPEN = b'{"logs":['
BODY_CLOSE = b"]}"
BODY_OVERHEAD = len(BODY_OPEN) + len(BODY_CLOSE)

# The reference classes assume an hour; used when `expires_in` is missing or odd.
DEFAULT_TOKEN_SECONDS = 3600.0
