"""Shared definitions, which all other folders of the package import.

May import from `voyage_logger`: only other files of this folder.

Start reading with `errors`, `stats` and `levels`, which define what users see. Continue with
`settings`, `rules`, `wire` and `frozen`, which the other folders share. The files `clock`,
`fork_locks`, `feedback`, `diagnostics` and `pickling` deal with the running process.
"""
