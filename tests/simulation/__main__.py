"""`python -m tests.simulation --seeds 1000 --first 0`: the deterministic simulation by hand. Ends with 1 where any seed failed."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import sys
from collections.abc import Sequence
from typing import Final

from tests.simulation.runner import WORKERS, Job, Outcome, Summary, commit, crew, not_equal, summarised
from tests.simulation.sometimes import missing as never_met

SEEDS_PER_WORD: Final = 100
"""How often somebody who waits for thousands of them is told how far it is."""
_done: Final = itertools.count(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the seeds asked for, tells of failures as they come, and sums up."""
    asked = _parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the workers end with this process
    seeds = range(asked.first, asked.first + asked.seeds)
    with crew(asked.workers) as workers:
        told = _quiet if asked.json else _tell
        summary = summarised(workers.run(Job(seed=seed, mutant=asked.mutant) for seed in seeds), told)
        twice = [Job(seed=seed, mutant=asked.mutant, again=1) for seed in seeds[: asked.replay]]
        second = list(workers.run(twice))
    first = [one for one in summary.outcomes if one.job.seed in seeds[: asked.replay]]
    unequal = not_equal(first, second)
    missing = never_met(summary) if asked.sometimes else []
    _sum_up(summary, unequal, missing, replayed=len(second), as_json=asked.json)
    return 1 if summary.failures or unequal or missing else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes at once")
    parser.add_argument("--replay", type=int, default=0, metavar="N", help="run the first N twice and compare")
    parser.add_argument("--sometimes", action="store_true", help="fail where some misfortune or state was never met")
    parser.add_argument("--mutant", default=None, help="with this mistake planted (see mutants)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    return parser.parse_args(arguments)


def _quiet(_: Outcome) -> None:
    """The document at the end says everything."""


def _tell(outcome: Outcome) -> None:
    if (done := next(_done)) % SEEDS_PER_WORD == 0:
        sys.stderr.write(f"{done} seeds\n")
    if outcome.failed:
        sys.stdout.write(outcome.report() + "\n\n")
        sys.stdout.flush()


def _sum_up(summary: Summary, unequal: list[int], missing: list[str], *, replayed: int, as_json: bool) -> None:
    figures = {
        "commit": commit(),
        "seeds": len(summary.outcomes),
        "failed": [{"seed": one.job.seed, "trace": one.trace, "wrong": one.verdict or one.fault} for one in summary.failures],
        "replayed": replayed,
        "not_equal": unequal,
        "never_seen": missing,
        "faults_per_run": round(summary.mean(lambda one: one.faults), 1),
        "crashes_per_run": round(summary.mean(lambda one: one.deaths), 1),
        "processor_seconds_per_run": round(summary.mean(lambda one: one.seconds), 2),
        "seen": dict(sorted(summary.seen.items())),
    }
    if as_json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
        return
    for what, count in sorted(summary.seen.items()):
        sys.stdout.write(f"{count:10d}  {what}\n")
    for name in ("seeds", "faults_per_run", "crashes_per_run", "processor_seconds_per_run", "replayed", "not_equal", "never_seen"):
        sys.stdout.write(f"{name.replace('_', ' ')}: {figures[name]}\n")
    sys.stdout.write(f"failed: {[one.job.seed for one in summary.failures]}\n")


if __name__ == "__main__":
    sys.exit(main())
