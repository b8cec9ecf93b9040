"""Other libraries, measured on the same inputs: each in a process of its own (see `process`).

The ``run_*`` scripts are what those processes run. They import `serve` from their own folder and
nothing of ours, so that an environment holds no more than its peer.
"""
