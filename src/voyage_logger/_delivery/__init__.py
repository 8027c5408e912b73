"""The code that sends entries in the background, and the code for flush, close, exit and fork.

This room may import `_base`, `_entry`, `_queue` and `transports`.
Read the files in this order:

    pipeline        the queue, worker and transport that a logger and its bound loggers share
    worker          the daemon thread that sends entries, and the orders to this thread
    batch           one batch, sent until each of its entries is settled
    request_size    how large the next request may be, for example after a 413
    flush_interval  when a batch that is not full is due
    backoff         the next pause after a failure
    server_state    the counts of requests, and whether the server works
    loss_report     reports of lost entries
    exit_and_fork   what runs at exit and at a fork
    pool_hosts      multiprocessing, Celery and uWSGI, which run or end processes in their own way
    sigterm         flush_on_sigterm
"""
