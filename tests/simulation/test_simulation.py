"""The deterministic simulation: seeded faults and power cuts against the whole platform, and the proof that it replays.

More or other seeds: `SEEDS=5000 pytest tests/simulation`, or by hand `python -m tests.simulation --first 1000 --seeds 200`.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from tests.simulation import sometimes
from tests.simulation.fates import CRASH_POINTS
from tests.simulation.runner import Crew, Job, Outcome, Summary, not_equal, summarised

SEEDS: Final = int(os.environ.get("SEEDS", "150"))
FIRST_SEED: Final = int(os.environ.get("FIRST_SEED", "0"))
REPLAYED: Final = int(os.environ.get("REPLAYED", "4"))
SHOWN: Final = 3
"""Reports of failed seeds that are printed whole. What they have in common is rarely told by the fourth."""


@pytest.fixture(scope="module")
def summary(crew: Crew) -> Summary:
    """All seeds of this run, each once."""
    return summarised(crew.run(Job(seed=seed) for seed in range(FIRST_SEED, FIRST_SEED + SEEDS)))


def fail_of(outcomes: list[Outcome]) -> None:
    """Fails with the reports of what went wrong, if anything did."""
    if outcomes:
        reports = "\n\n".join(one.report() for one in outcomes[:SHOWN])
        pytest.fail(f"{reports}\n\n{len(outcomes)} failed: {[one.job.seed for one in outcomes]}", pytrace=False)


def test_nothing_is_lost_doubled_or_forgotten(summary: Summary) -> None:
    fail_of(summary.failures)


def test_seeds_replay_equal(summary: Summary, crew: Crew) -> None:
    """In another process, on another database, after other seeds: the same trace, and the same things seen."""
    seeds = range(FIRST_SEED, FIRST_SEED + min(REPLAYED, SEEDS))
    second = list(crew.run(Job(seed=seed, again=1) for seed in seeds))
    assert not_equal([one for one in summary.outcomes if one.job.seed in seeds], second) == []


def test_the_misfortunes_really_happened(summary: Summary) -> None:
    """Sometimes-assertions: a suite in which nothing went wrong proves nothing."""
    if SEEDS < sometimes.ENOUGH_SEEDS:
        pytest.skip("too few seeds to meet everything")
    assert sometimes.missing(summary) == []


def test_a_crash_exactly_there_loses_and_doubles_nothing(crew: Crew) -> None:
    """The power goes at each named point, at its first, a middle and a later time, and nothing else is wrong with the world."""
    jobs = [Job(seed=number, crash_at=(point, number)) for point in CRASH_POINTS for number in (1, 4, 9)]
    outcomes = list(crew.run(jobs))
    fail_of([one for one in outcomes if one.failed])
    missed = [one.job.crash_at for one in outcomes if one.job.crash_at and one.seen[f"crash:{one.job.crash_at[0]}"] != 1]
    assert not missed, f"never reached: {missed}"
