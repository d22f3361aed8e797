"""Movements of payments that were there before movements were: filled in by the migration, as they would have been written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from payorch.domain.disputes import DisputeStatus
from payorch.domain.identifiers import uuid_of
from payorch.domain.movements import Movement
from payorch.store import backfill
from payorch.store.backfill import fill, undone
from payorch.store.driver import Connection
from payorch.store.items import Append, Appended
from payorch.store.journal import Fenced, Journal
from payorch.store.migrate import MigrationFailed, SchemaMismatch, check, load, migrate
from payorch.store.movement_rows import movement
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, rows_of

ROWS = """
SELECT payment_id, sequence, subject_id, merchant_id, attempt_id, connector, kind, amount, currency, debit, credit, at, settlement
FROM movements ORDER BY payment_id, sequence, subject_id
"""


def expected(movements: Iterable[Movement]) -> list[tuple[Any, ...]]:
    """As the rows of `ROWS`, where time is kept to the millisecond."""
    return sorted(
        (
            uuid_of(one.payment_id), one.sequence, uuid_of(one.subject_id), uuid_of(one.merchant_id), uuid_of(one.attempt_id),
            one.connector, str(one.kind), one.amount.minor, one.amount.currency, one.debit, one.credit,
            one.at.replace(microsecond=one.at.microsecond // 1000 * 1000), "pending",
        )
        for one in movements
    )  # fmt: skip


def lives(number: int) -> tuple[list[Append], list[Movement]]:
    """Payments, some of which have moved money: what writes them, and their movements."""
    steps: list[Append] = []
    for n in range(number):
        story = Story(at=START + timedelta(days=40 * n, microseconds=1234))
        steps += [story.sent(), story.authorized()]
        if n % 3 == 0:
            continue
        steps += [story.capture_requested(1999), story.captured(), story.refund_adopted(2500)]
        if n % 3 == 2:
            steps += [story.disputed(700), story.dispute_told(status=DisputeStatus.WON)]
    return steps, [movement for step in steps for movement in step.movements]


async def written(journal: Journal, steps: Iterable[Append]) -> None:
    """As a program that knows of no movements writes them."""
    for step in steps:
        [result] = await journal.write([replace(step, movements=())])
        assert isinstance(result, Appended), result


@pytest.fixture
async def older(empty_database: Database, tmp_path: Path) -> Database:
    """A database at the migration before movements."""
    for migration in load()[:6]:
        (tmp_path / f"{migration}.sql").write_text(migration.script)
    await migrate(empty_database.owner, folder=tmp_path)
    return empty_database


async def found(database: Database) -> list[tuple[Any, ...]]:
    async with connected(database.app) as connection:
        return await rows_of(connection, ROWS)


async def test_what_would_have_been_written_is_filled_in(older: Database) -> None:
    steps, movements = lives(7)
    async with journal_on(older.app) as journal:
        await written(journal, steps)
    applied = await migrate(older.owner)
    assert [one.number for one in applied] == [one.number for one in load()[6:]]
    assert movements
    assert await found(older) == expected(movements)
    async with connected(older.app) as connection:
        await check(connection)
        # Where a month's payments are, there are its movements.
        query = "SELECT {0}, count(*) FROM {1} GROUP BY 1 ORDER BY 1"
        parts = [await rows_of(connection, query.format("replace(tableoid::regclass::text, 'payments', '')", "payments"))]
        parts.append(await rows_of(connection, query.format("replace(tableoid::regclass::text, 'movements', '')", "movements")))
    assert {name for name, _ in parts[1]} <= {name for name, _ in parts[0]}


async def test_a_platform_of_before_is_made_to_stop(older: Database) -> None:
    story = Story()
    async with journal_on(older.app) as journal:
        await written(journal, [story.sent(), story.authorized()])
        await migrate(older.owner)
        with pytest.raises(Fenced):
            await journal.write([story.capture_requested(1999)])


async def test_whoever_is_interrupted_goes_on_from_there(older: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, movements = lives(9)
    async with journal_on(older.app) as journal:
        await written(journal, steps)

    class Death(Exception):
        pass

    calls = iter(range(5))
    monkeypatch.setattr(backfill, "movement", lambda one: movement(one) if next(calls, None) is not None else _die(Death()))
    monkeypatch.setattr("payorch.store.migrate.backfill.fill", _in_pages_of_two)
    with pytest.raises(Death):
        await migrate(older.owner)
    assert 0 < len(await found(older)) < len(movements)
    async with connected(older.app) as connection:
        assert await undone(connection)
        with pytest.raises(SchemaMismatch, match=r"payorch migrate.*interrupted.*Run it again"):
            await check(connection)
    monkeypatch.undo()
    assert await migrate(older.owner) == []
    assert await found(older) == expected(movements)
    async with connected(older.app) as connection:
        await check(connection)


async def _in_pages_of_two(connection: Connection) -> None:
    await fill(connection, page_payments=2)


def _die(error: Exception) -> Any:
    raise error


async def test_what_is_there_already_stays_as_it_is(database: Database) -> None:
    steps, movements = lives(4)
    async with journal_on(database.app) as journal:
        for step in steps:
            await journal.write([step])
    assert await found(database) == expected(movements)
    async with connected(database.owner) as owner:
        await owner.execute("SET search_path = payorch")
        await owner.execute("UPDATE movements SET settlement = 'settled' WHERE kind = 'capture'")
        await owner.execute("DELETE FROM movements WHERE kind = 'refund'")
        await owner.execute("UPDATE backfills SET done_at = NULL")
    await migrate(database.owner)
    settled = [(*row[:-1], "settled" if row[6] == "capture" else "pending") for row in expected(movements)]
    assert await found(database) == settled


async def test_a_fresh_database_needs_nothing(database: Database) -> None:
    async with connected(database.app) as connection:
        assert not await undone(connection)
        assert await rows_of(connection, "SELECT name, done_at IS NOT NULL FROM backfills") == [("movements", True)]


async def test_a_payment_that_cannot_be_replayed_is_named(older: Database) -> None:
    story = Story()
    async with journal_on(older.app) as journal:
        await written(journal, [story.sent()])
    async with connected(older.app) as connection:  # a second birth
        await connection.execute(
            "INSERT INTO journal SELECT stream_id, 99, 99, stream, name, at, actor, cause, body, hash FROM journal WHERE sequence = 1"
        )
    with pytest.raises(MigrationFailed, match=rf"{story.payment_id} make no payment.*IllegalTransition"):
        await migrate(older.owner)
