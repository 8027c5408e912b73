"""The definitions that all other rooms of the package import.

This room imports nothing from other rooms. Read the files in this order:

    errors, stats, levels     exceptions, counts and log levels, which users can see
    settings, rules, wire     the settings of a logger, checks of arguments, constants of the API
    frozen, pickling          classes whose instances never change, pickles of loggers
    clock, diagnostics        the monotonic clock, reports to stderr and to `on_error`
    printable                 texts without control characters
    feedback, fork_locks      log calls that the client itself causes, locks that a fork waits for
"""
