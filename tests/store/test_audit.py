"""Verifying the chain: each way of tampering is found, at the first bad position, and an untouched journal passes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from payorch.store.audit import Fault, Verdict, verify
from payorch.store.driver import Connection
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import Story, connected, journal_on, rows_of


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    """A journal of 20 records in several batches."""
    async with journal_on(database.app) as opened:
        stories = [Story() for _ in range(4)]
        for story in stories:
            await opened.write([story.sent()])
        await opened.write([story.authorized() for story in stories])
        yield opened


@pytest.fixture
async def tamperer(database: Database) -> AsyncIterator[Connection]:
    """Somebody with every right, who has switched the protections off."""
    async with connected(database.superuser) as root:
        await root.execute("SET search_path = payorch")
        await root.execute("ALTER TABLE journal DISABLE TRIGGER ALL")
        await root.execute("ALTER TABLE journal_head DISABLE TRIGGER ALL")
        yield root


async def verdict(database: Database, page_rows: int = 7) -> Verdict:
    async with connected(database.app) as connection:
        return await verify(connection, page_rows=page_rows)


@pytest.mark.parametrize("page_rows", [1, 4, 20, 1000])
async def test_an_untouched_journal_is_whole(database: Database, journal: Journal, page_rows: int) -> None:
    found = await verdict(database, page_rows)
    assert found.whole
    assert found.records == found.head_position == 20


async def test_an_empty_journal_is_whole(database: Database) -> None:
    assert (await verdict(database)).whole


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stream", "'act'"),
        ("stream_id", "'0190aabb-ccdd-7000-8000-00000000ffff'"),
        ("sequence", "99"),
        ("name", "'Confirmed '"),
        ("at", "at + interval '1 millisecond'"),
        ("actor", "'operator:eve'"),
        ("cause", "'req_2'"),
        ("body", "(body::text || ' ')::json"),
        ("hash", "decode(repeat('ab', 32), 'hex')"),
    ],
)
async def test_any_change_of_any_column_is_found(
    database: Database, journal: Journal, tamperer: Connection, column: str, value: str
) -> None:
    await tamperer.execute(f"UPDATE journal SET {column} = {value} WHERE position = 11".encode())
    found = await verdict(database)
    assert (found.fault, found.position, found.records) == (Fault.ALTERED, 11, 10)


async def test_a_deleted_record_is_missed(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("DELETE FROM journal WHERE position IN (8, 9)")
    found = await verdict(database)
    assert (found.fault, found.position) == (Fault.MISSING, 8)


async def test_the_first_record_deleted_is_missed(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("DELETE FROM journal WHERE position = 1")
    found = await verdict(database)
    assert (found.fault, found.position, found.records) == (Fault.MISSING, 1, 0)


async def test_a_deleted_record_whose_place_was_closed_up_is_missed(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("DELETE FROM journal WHERE position = 8")
    await tamperer.execute("UPDATE journal SET position = position - 1 WHERE position > 8")
    await tamperer.execute("UPDATE journal_head SET position = position - 1")
    found = await verdict(database)
    assert (found.fault, found.position) == (Fault.ALTERED, 8)


_COPY = (
    "INSERT INTO journal (stream_id, sequence, position, stream, name, at, actor, cause, body, hash)"
    " SELECT stream_id, sequence + 50, {position}, stream, name, at, actor, cause, body, hash FROM journal WHERE position = {of}"
)


@pytest.mark.parametrize(("of", "position", "fault"), [(7, 7, Fault.SURPLUS), (14, 14, Fault.SURPLUS), (7, 21, Fault.SURPLUS)])
async def test_a_record_put_in_is_found(
    database: Database, journal: Journal, tamperer: Connection, of: int, position: int, fault: Fault
) -> None:
    await tamperer.execute(_COPY.format(of=of, position=position).encode())
    found = await verdict(database, page_rows=7)
    assert (found.fault, found.position) == (fault, position)


async def test_a_record_put_in_with_room_made_for_it_is_found(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("UPDATE journal SET position = position + 1 WHERE position > 7")
    await tamperer.execute(_COPY.format(of=7, position=8).encode())
    await tamperer.execute("UPDATE journal_head SET position = position + 1")
    found = await verdict(database)
    assert (found.fault, found.position) == (Fault.ALTERED, 8)


async def test_two_records_that_changed_places_are_found(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("UPDATE journal SET position = 25 - position WHERE position IN (12, 13)")
    found = await verdict(database)
    assert (found.fault, found.position) == (Fault.ALTERED, 12)


async def test_a_cut_tail_is_missed(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("DELETE FROM journal WHERE position > 17")
    found = await verdict(database)
    assert (found.fault, found.position, found.records) == (Fault.CUT, 18, 17)


async def test_a_head_that_was_moved_back_shows_the_records_after_it(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("UPDATE journal_head SET position = 17, hash = (SELECT hash FROM journal WHERE position = 17)")
    found = await verdict(database)
    assert (found.fault, found.position) == (Fault.SURPLUS, 18)


async def test_a_head_with_another_hash_is_found(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("UPDATE journal_head SET hash = decode(repeat('ab', 32), 'hex')")
    found = await verdict(database)
    assert (found.fault, found.position, found.records) == (Fault.HEAD_DIFFERS, 20, 20)


async def test_a_journal_without_a_head_is_not_whole(database: Database, journal: Journal, tamperer: Connection) -> None:
    await tamperer.execute("DELETE FROM journal_head")
    assert not (await verdict(database)).whole


async def test_tail_and_head_cut_together_cannot_be_seen_from_within(database: Database, journal: Journal, tamperer: Connection) -> None:
    """What the chain cannot show by itself: only the head's hash, kept elsewhere, does."""
    before = await verdict(database)
    await tamperer.execute("DELETE FROM journal WHERE position > 17")
    await tamperer.execute("UPDATE journal_head SET position = 17, hash = (SELECT hash FROM journal WHERE position = 17)")
    after = await verdict(database)
    assert after.whole
    assert after.head_hash != before.head_hash


async def test_the_platform_may_write_while_the_chain_is_verified(database: Database, journal: Journal) -> None:
    async with connected(database.app) as connection, connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await rows_of(connection, "SELECT 1")
        await journal.write([Story().sent()])
    found = await verdict(database)
    assert (found.whole, found.records) == (True, 24)
