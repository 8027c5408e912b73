"""Turn the arguments of a log call into a JSON entry, without threads and without I/O.

May import: `_base`.

These files build an entry: `factory`, `field_conversion`, `log_fields`, `timeline` and
`tracebacks`. These files encode an entry as bytes: `encoding`, `json_codecs`, `json_data`,
`safe_text`, `redaction` (masks secrets) and `trimming` (cuts long entries). The file
`readable_line` formats an entry as a line that people can read.
"""
