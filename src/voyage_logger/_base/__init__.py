"""Words that every room uses.

May import: nothing of `voyage_logger` but the other files of this room.

Read first what users see: `errors`, `stats`, `levels`. Then what the rooms share:
`settings`, `rules`, `wire`, `frozen`. Then what concerns the process: `clock`, `fork_locks`,
`feedback`, `diagnostics`, `pickling`.
"""
