"""The code that runs in the app's threads: log calls, contexts and journeys.

This room may import `_base`, `_entry`, `_queue`, `transports` and `_delivery`. Read the files in
this order:

    logger           VoyageLogger: a logger's own methods, such as flush and capture_uncaught
    assembly         makes the parts of a logger
    log_methods      the methods info, error, ...
    readable_settings, overridden_log            what a subclass of the vendor's class relies on
    options          the arguments, environment variables and defaults, checked
    log_call         one log call, from its arguments to the queue
    sampling, ticket_cooldown, collapse          the options `sample`, `ticket_cooldown`, `collapse`
    context          the method `context`: fields that a thread or task carries
    propagation      the function `propagate`: the same context in another thread
    journey          the methods `journey` and `continue_journey`: a flow of one user
    journey_header, ticketed_errors              the two parts of a journey
    uncaught         the hooks of `capture_uncaught`
    callables        what a decorator must know about a function
    ongoing_calls    what a decorator must do if a call returns a coroutine or a generator
"""
