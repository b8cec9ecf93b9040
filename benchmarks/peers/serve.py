"""The peers' side of `process`: do what is asked for, and say what it cost."""

import gc
import importlib.metadata
import json
import os
import sys
import time


def settings():
    """Return what the starting process passed."""
    return json.loads(sys.argv[1])


def serve(work, libraries):
    """Answer requests until standard input ends.

    Args:
        work: Name to a function without arguments; what it returns must be JSON.
        libraries: Distributions whose versions are reported.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log
    versions = {name: importlib.metadata.version(name) for name in libraries}
    print(json.dumps({"names": sorted(work), "versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        call = work[json.loads(line)["do"]]
        gc.collect()
        start = time.process_time()
        result = call()
        cpu = time.process_time() - start
        print(json.dumps({"cpu": cpu, "result": result}), file=answers, flush=True)
