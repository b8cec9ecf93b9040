"""Run a refresh that kills its own process as soon as a node says something."""

import os
import signal
import sys

from tests.refresh.support import Watch, refresh

if __name__ == "__main__":
    dataset, root, node, seed = sys.argv[1:]
    watch = Watch(node, lambda: os.kill(os.getpid(), signal.SIGKILL))
    refresh(dataset, root, watch, seed=int(seed))
