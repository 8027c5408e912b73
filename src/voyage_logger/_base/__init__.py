"""The definitions that all other rooms of the package import.

This room imports nothing from other rooms.

Read the files in this order:

    errors, stats, levels     what users see
    settings, rules, wire     the settings of a logger, checks of arguments, constants of the API
    frozen, pickling          classes of unchangeable values, pickles of loggers
    clock, diagnostics        the monotonic clock, reports on stderr and by `on_error`
    feedback, fork_locks      log calls that sending causes, locks that a fork waits for
"""
