"""What logging costs, measured side by side with the peers.

Run from the project's folder: `python -m benchmarks call`, or `python -m benchmarks all`. How it
measures, and what each contestant's settings are, stands in README.md beside this file.

The map (each benchmark runs a contestant in a process of its own, against a sink in another)::

    __main__      the command line
    measures      one module per benchmark: what the parent orders, what the child measures
    contestants   one module per client: how it is set up, one log call, flush
    _bench        rounds, interleaved; figures; a contestant's process
    _child        that process
    _sink         the sink's process: sink.c, or _python_sink where there is no C compiler
    _stored       what the sink has stored, decoded after the measurement
    _report       tables in Markdown, JSON with machine and versions
    tables        the tables of docs/performance.md, made of that JSON
    _workload     the entry's numbers that change from call to call
"""
