"""Benchmarks that compare the cost of logging with other clients.

Run `python -m benchmarks call` or `python -m benchmarks all` in the project folder. README.md in
this folder explains the measurements, and the settings of each contestant.

Each benchmark runs a contestant in one process, and a sink in another process. The modules are::

    __main__      the command line
    measures      one module per benchmark, with the part of the parent and of the child
    contestants   one module per client: setup, one log call, flush
    _bench        rounds, results, and the process of a contestant
    _child        the program of that process
    _sink         the process of the sink: sink.c, or _python_sink without a C compiler
    _stored       the data that the sink has stored, decoded after the measurement
    _report       tables in Markdown, and JSON with machine and versions
    tables        the tables of docs/performance.md, which are made from that JSON
    _workload     the entry, with numbers that change from call to call
"""
