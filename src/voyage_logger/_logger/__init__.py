"""What an app calls, in the app's thread: log calls, contexts and journeys.

The room may import `_base`, `_entry`, `_queue`, `transports` and `_delivery`. Read its files in
this order:

    logger           VoyageLogger, with the methods of log_methods and scope_methods
    options          the arguments, environment variables and defaults, checked
    log_call         one log call, from its arguments to the queue
    sampling, ticket_cooldown, collapse          the options `sample`, `ticket_cooldown`, `collapse`
    context          fields that a thread or task carries, and `propagate`
    journey          a flow of one user; with journey_header, ticketed_errors
    uncaught         uncaught exceptions
    callables        what a decorator must know of a function
"""
