"""`python -m tui --url ... `: the console alone, for those who work on it. Operators use `payorch console`.

Not here: the options' meaning (`tui.start`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tui.start import run
from tui.themes import THEMES


def main() -> int:
    """Reads the command line. The token comes from the environment: a command line is for everybody to read."""
    parser = argparse.ArgumentParser(prog="python -m tui")
    parser.add_argument("--url", default="http://127.0.0.1:8001")
    parser.add_argument("--record", type=Path)
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--at")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--ascii", dest="ascii_only", action="store_true")
    parser.add_argument("--theme", choices=sorted(THEMES), default="dark")
    parser.add_argument("--view", default="overview")
    given = parser.parse_args()
    return run(token=os.environ.get("PAYORCH_OPS_TOKEN", ""), **vars(given))


if __name__ == "__main__":
    sys.exit(main())
