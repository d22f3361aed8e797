"""Many seeds in worker processes, each on a database of its own, and one report of them all.

`Crew` holds the workers; a `Job` is one seed, perhaps with a death at a named place or with a planted mistake. Nothing here knows pytest's
fixtures: `python -m tests.simulation` uses it too. Not here: what a seed does (`story`).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Final

import pytest
import structlog
import trio

from payorch.store import embedded
from payorch.store.embedded import Cluster
from payorch.store.migrate import migrate
from tests.conftest import Database
from tests.simulation import mutants
from tests.simulation.ground import Ground, without_months
from tests.simulation.story import seconds_used, simulate

TEMPLATE: Final = "simulation_template"
WORKERS: Final = min(2, os.cpu_count() or 1)
NICENESS: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one seed. crash_at: see `World`. mutant: the name of a planted mistake. `again`: the how manieth run of the same."""

    seed: int
    crash_at: tuple[str, int] | None = None
    mutant: str | None = None
    again: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job. verdict: the broken invariant, or None. fault: a traceback where the simulation or the product fell over.

    tail: the last lines of the trace, of a run that failed.
    """

    job: Job
    trace: str
    verdict: str | None
    fault: str | None
    tail: tuple[str, ...]
    seen: Counter[str]
    faults: int
    deaths: int
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether anything was wrong."""
        return self.verdict is not None or self.fault is not None

    def report(self) -> str:
        """For the reader of a failure: what broke, how to run it again, and what came before."""
        what = self.verdict or self.fault
        again = f"python -m tests.simulation --first {self.job.seed} --seeds 1"
        return "\n".join([*self.tail, f"seed {self.job.seed}, trace {self.trace}, commit {commit()}; again: {again}", what or ""])


@dataclass(slots=True)
class Summary:
    """All outcomes together."""

    outcomes: list[Outcome] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.outcomes.append(outcome)
        self.seen.update(outcome.seen)

    @property
    def failures(self) -> list[Outcome]:
        """Those in which something was wrong, by seed."""
        return sorted((one for one in self.outcomes if one.failed), key=lambda one: one.job.seed)

    def mean(self, count: Callable[[Outcome], float]) -> float:
        """Per run."""
        return sum(map(count, self.outcomes)) / max(1, len(self.outcomes))


class Crew:
    """Worker processes over one database server. `run` is an iterator: outcomes come as they are ready."""

    def __init__(self, cluster: Cluster, workers: int) -> None:
        trio.run(partial(embedded.create_database, cluster, TEMPLATE))
        owner = cluster.conninfo(role=embedded.OWNER_ROLE, database=TEMPLATE)
        trio.run(migrate, owner)
        without_months(owner)
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(cluster,))

    def submit(self, job: Job) -> Future[Outcome]:
        """Runs it as soon as a worker is free."""
        return self._pool.submit(_work, job)

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """All of them, in the order in which they end."""
        futures = [self.submit(job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()

    def close(self) -> None:
        """Ends the workers. What has not begun is not run."""
        self._pool.shutdown(cancel_futures=True)


# --- in a worker ------------------------------------------------------------------------------------------------------------------------

_grounds: list[Ground] = []


def _begin(cluster: Cluster) -> None:
    # A world's time is its own. Whoever works in real time beside it, as the end-to-end tests do, goes first.
    os.nice(NICENESS)
    name = f"simulation_{os.getpid()}"
    trio.run(partial(embedded.create_database, cluster, name, template=TEMPLATE))
    conninfo = partial(cluster.conninfo, database=name)
    app, owner, superuser = (conninfo(role=role) for role in (embedded.APP_ROLE, embedded.OWNER_ROLE, embedded.SUPERUSER))
    _grounds.append(Ground(Database(name=name, app=app, owner=owner, superuser=superuser)))
    # A run is full of deaths on purpose: what the platform logs about them is news to nobody.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _work(job: Job) -> Outcome:
    ground = _grounds[-1]
    with pytest.MonkeyPatch.context() as patch:
        if job.mutant is not None:
            mutants.MUTANTS[job.mutant](patch)
        try:
            return _judged(job, ground.database)
        finally:
            ground.clear()


def _judged(job: Job, database: Database) -> Outcome:
    began, verdict, fault = seconds_used(), None, None
    tail: tuple[str, ...] = ()
    end = simulate(job.seed, database, crash_at=job.crash_at)
    error = end.first_error
    if error is not None:
        tail = tuple(end.world.tail)
        verdict = str(error) if isinstance(error, AssertionError) else None
        fault = None if verdict is not None else "".join(traceback.format_exception(error, limit=-8))
    world = end.world
    return Outcome(
        job=job,
        trace=world.trace,
        verdict=verdict,
        fault=fault,
        tail=tail,
        seen=world.seen,
        faults=world.faults,
        deaths=world.deaths,
        seconds=seconds_used() - began,
    )


# --- without pytest ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def crew(workers: int) -> Iterator[Crew]:
    """Workers over a server of their own, which ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="payorch-simulation-", dir="/tmp"))
    folder.chmod(0o711)  # the server's user has to pass through
    cluster = trio.run(partial(embedded.start, folder / "cluster", durable=False))
    try:
        trio.run(embedded.ensure_roles, cluster)
        made = Crew(cluster, workers)
        try:
            yield made
        finally:
            made.close()
    finally:
        trio.run(cluster.stop, "immediate")
        rmtree(folder)


def commit() -> str:
    """The commit that was run, as git names it; with what is not committed marked."""
    asked = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return found.stdout.strip() or "unknown"


def summarised(outcomes: Iterable[Outcome], told: Callable[[Outcome], None] = lambda _: None) -> Summary:
    """Collects outcomes, telling of each as it comes."""
    summary = Summary()
    for outcome in outcomes:
        summary.add(outcome)
        told(outcome)
    return summary


def not_equal(first: Sequence[Outcome], second: Sequence[Outcome]) -> list[int]:
    """The seeds that did not replay equal: another trace, or something else seen."""
    other = {one.job.seed: (one.trace, one.seen) for one in second}
    return sorted(one.job.seed for one in first if other[one.job.seed] != (one.trace, one.seen))
