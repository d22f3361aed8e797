"""The deterministic simulation: seeded faults and power cuts against the whole platform, and the proof that it replays and bites.

`payorch simulate`-style runs of more seeds: `SEEDS=200 FIRST_SEED=1000 pytest tests/simulation`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest
import trio
import trio._core._run as trio_run
from trio.testing import MockClock

from payorch.store.driver import Session
from tests.conftest import Database
from tests.simulation.checks import check
from tests.simulation.merchants import Merchant
from tests.simulation.ports import connection_class
from tests.simulation.runtime import Runtime
from tests.simulation.world import CRASH_POINTS, World

SEEDS: Final = int(os.environ.get("SEEDS", "20"))
FIRST_SEED: Final = int(os.environ.get("FIRST_SEED", "0"))
MERCHANTS: Final = 4
ORDERS: Final = 5
HEALING_SECONDS: Final = 26 * 3600.0
"""Longer than the PSP's key window and two lookups after it, by when every outcome can be proved."""

SEEN: Final[Counter[str]] = Counter()


async def story(world: World) -> None:
    """Trade under misfortune, heal, wait, judge."""
    runtime = Runtime(world)
    world.healed = True  # nothing befalls a world before its first life
    await runtime.enrol()
    world.healed = False
    merchants = [Merchant(world, runtime, number, ORDERS) for number in range(MERCHANTS)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.live)
        async with trio.open_nursery() as trading:
            for merchant in merchants:
                trading.start_soon(merchant.trade)
        runtime.heal()
        world.note("phase", "healed")
        await trio.sleep(HEALING_SECONDS)
        connection = await connection_class(world, breaks=False).connect(world.database.app, session=Session(application_name="judge"))
        await check(world, runtime, merchants, connection)
        nursery.cancel_scope.cancel()


def simulate(seed: int, database: Database, *, crash_at: tuple[str, int] | None = None) -> World:
    """One seed, from the first order to the verdict. The world that is returned knows its trace."""
    world = World(seed, database, crash_at=crash_at)
    state = trio_run._r.getstate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        trio_run._r.seed(world.seed)
        try:
            _run(world)
        finally:
            trio_run._r.setstate(state)
    if crash_at is None:
        SEEN.update(world.seen)
    return world


def _run(world: World) -> None:
    try:
        trio.run(story, world, clock=MockClock(autojump_threshold=0))
    except BaseException as error:
        error.add_note(f"seed {world.seed}, trace {world.trace}; the last of it:\n" + "\n".join(world.tail))
        raise
    finally:
        world.cut_connections()
        world.ledger.close()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_nothing_is_lost_doubled_or_forgotten(seed: int, database: Database) -> None:
    simulate(seed, database)


def test_a_seed_replays_equal(make_database: Callable[[], Database]) -> None:
    first, second = simulate(7, make_database()), simulate(7, make_database())
    assert first.trace == second.trace
    assert first.seen == second.seen


def test_the_misfortunes_really_happened() -> None:
    """Sometimes-assertions: a suite in which nothing went wrong proves nothing."""
    if SEEDS < 20:
        pytest.skip("too few seeds to meet everything")
    missing = [point for point in CRASH_POINTS if not SEEN[f"crash:{point}"]]
    assert not missing, f"no power cut ever happened at {missing}"
    assert sum(count for what, count in SEEN.items() if what.startswith("crash:")) >= 3 * SEEDS
    for what in ("end:CAPTURED", "end:AUTHORIZED", "end:FAILED", "end:CANCELED", "database:lost after", "database:lost before"):
        assert SEEN[what], f"never seen: {what}"


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_crash_exactly_there_loses_and_doubles_nothing(point: str, make_database: Callable[[], Database]) -> None:
    """The power goes at each named point, at its first, a middle and a later time."""
    for number in (1, 4, 17):
        world = simulate(number, make_database(), crash_at=(point, number))
        assert world.seen[f"crash:{point}"] == 1, f"{point} was not reached {number} times"
