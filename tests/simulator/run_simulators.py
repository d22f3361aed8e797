"""The simulators as a process of their own, for the tests that kill it: `run_simulators.py DATA_DIR PORT_BASE`.

Says where it listens in one line of JSON on standard output. DATA_DIR `-` keeps the books in memory.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import trio

from payorch.simulators import Bound, main
from payorch.system import SystemClock


def say(bound: Bound) -> None:
    """Tells the parent that everything listens, and where."""
    print(json.dumps(asdict(bound)), flush=True)


if __name__ == "__main__":
    folder = None if sys.argv[1] == "-" else Path(sys.argv[1])
    trio.run(partial(main, int(sys.argv[2]), folder, clock=SystemClock(), seed=7, ready=say))
