"""One log call's arguments become one JSON entry; no thread, no I/O.

May import: `_base`.

Read first how an entry is built: `factory`, `field_conversion` (where `app_user_id=5` becomes a
text), `log_fields`, `timeline`, `tracebacks`. Then how an entry becomes bytes: `encoding`,
`json_codecs`, `json_data`, `safe_text`, `redaction` (what is masked), `trimming`. Last, how a
person sees an entry: `readable_line`.
"""
