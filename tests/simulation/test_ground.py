"""The ground that worlds stand on: really empty after a seed, and every guard of the schema back in its place."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import Database
from tests.simulation.ground import Ground
from tests.simulation.story import simulate

SEED = 3

TABLES = ("journal", "payments", "attempts", "operations", "outbox", "idempotency_keys", "merchants", "merchant_keys")


def counts(database: Database) -> dict[str, int]:
    with psycopg.connect(database.superuser) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM payorch.{name}").fetchone()[0] for name in TABLES}  # type: ignore[index]


@pytest.fixture
def ground(database: Database) -> Iterator[Ground]:
    made = Ground(database)
    yield made
    made.close()


def test_a_seed_leaves_nothing_behind_and_the_guards_stand(ground: Ground, database: Database) -> None:
    simulate(SEED, database)
    assert counts(database)["journal"] > 0
    ground.clear()
    assert set(counts(database).values()) == {0}
    assert ground.triggers == ground.triggers_at_first
    with psycopg.connect(database.owner) as owner, pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("UPDATE payorch.journal_head SET position = -1")


def test_the_same_seed_on_used_ground_is_the_same_world(ground: Ground, database: Database) -> None:
    first = simulate(SEED, database).world
    ground.clear()
    second = simulate(SEED, database).world
    assert (first.trace, first.seen) == (second.trace, second.seen)
