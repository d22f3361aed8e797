"""The proof that the simulation bites: well-known mistakes, planted one at a time, must each be caught within a bounded number of seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import Final

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.runner import WORKERS, Crew, Job, Outcome

SEEDS: Final = 200
"""Far fewer than the thousand a mutant may survive. Most are caught within five."""
TRIED_FIRST: Final = {
    "a_timeout_is_taken_for_a_failure": 10,
    "a_refunds_timeout_is_taken_for_a_failure": 22,
    "an_unanswered_void_is_believed": 102,
    "a_lookup_that_finds_nothing_proves_absence": 32,
    "a_lookup_that_finds_no_operation_proves_absence": 168,
    "replays_go_on_after_the_keys_time": 12,
    "an_unknown_refund_reserves_nothing": 8,
    "a_key_answers_whatever_is_asked_under_it": 51,
    "captures_under_way_reserve_nothing": 31,
    "a_wish_to_cancel_is_forgotten": 20,
    "a_restart_forgets_operations": 8,
    "notices_are_acknowledged_before_they_are_stored": 2,
    "forgeries_are_believed": 2,
    "a_notices_mark_is_not_written_with_its_step": 2,
    "a_repeated_notice_is_another_one": 3,
}
"""What caught the slow ones when this was written. Nothing but time depends on it: each test says which seed it was (`pytest -rP`)."""


def outcomes(crew: Crew, name: str) -> Iterator[Outcome]:
    """Runs with that mistake, one seed after the other, never more under way than there are workers."""
    first = TRIED_FIRST.get(name, 0)
    jobs = (Job(seed=seed, mutant=name) for seed in (*range(first, SEEDS), *range(first)))
    waiting: set[Future[Outcome]] = {crew.submit(job) for job in islice(jobs, WORKERS)}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        waiting |= {crew.submit(job) for job in islice(jobs, len(done))}
        yield from (future.result() for future in done)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_mistake_is_caught(name: str, crew: Crew) -> None:
    for outcome in outcomes(crew, name):
        if outcome.failed:
            # By the invariant that it breaks, and not because the mutant itself fell over.
            assert re.match(r"[A-Z]\d: ", outcome.verdict or ""), outcome.report()
            print(f"caught by seed {outcome.job.seed}: {outcome.verdict}")
            return
    pytest.fail(f"{name} survived {SEEDS} seeds")
