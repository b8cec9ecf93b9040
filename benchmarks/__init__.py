"""What measures the README's figures: ``python -m benchmarks list | NAME [--quick] [--json]``.

A benchmark is one module here with two names, registered by one line in `benchmarks.registry`:

* ``FIGURES``: key to (unit, what the figure says), in the order of the table;
* ``measure(*, quick) -> Measured``: exactly those keys, and the conditions they were taken under.
"""
