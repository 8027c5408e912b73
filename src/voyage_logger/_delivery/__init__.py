"""The background of a logger: when and how much is sent, flush, close, exit and fork.

This package imports `_base`, `_entry`, `_queue` and `transports`. It does not know `_logger`.
Read the files in this order:

    pipeline      what one logger and the loggers bound from it have in the background
    worker        the daemon thread that sends, and the orders of other threads to it
    batch         one batch, sent until each of its entries is settled
    request_size  how large the next request may be
    flush_interval  when a batch that is not full is due
    backoff         the next pause after a failure
    server_state  what the attempts say about the server
    loss_report   telling people of lost entries
    exit_and_fork   what runs at exit and at a fork
    pool_hosts    multiprocessing, Celery and uWSGI, which end processes in their own way
    sigterm       flush_on_sigterm
"""
