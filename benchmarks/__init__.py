"""Benchmarks that compare the cost of logging with this client and with other clients.

Run `python -m benchmarks call` or `python -m benchmarks all` in the project folder. README.md in
this folder explains the measurements and the settings of each contestant.

A contestant is a client that is measured. The sink is a server that stores all requests. Each
benchmark runs a contestant in one process, and the sink in another process. The modules are::

    __main__      the command line
    measures      one module per benchmark: the code of the parent process and of the child process
    contestants   one module per client: setup, one log call, flush
    _bench        rounds, results, and the process of a contestant
    _child        the program that runs in the process of a contestant
    _sink         the process of the sink: sink.c, or _python_sink if there is no C compiler
    _stored       the data that the sink has stored, decoded after the measurement
    _report       the results as tables in Markdown, and as JSON files
    tables        the tables of docs/performance.md, made from the JSON files of _report
    _workload     the entry that all contestants log
    fleet         the command for the model of a fleet, which docs/fleet.md explains
    _fleet_*      the parts of the model
"""
