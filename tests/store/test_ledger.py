"""The ledger in the store: movements are rows of their event's own statement, and read again as they were written."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from payorch.domain.identifiers import uuid_of
from payorch.domain.settlement import SettlementState
from payorch.store import ledger
from payorch.store.driver import Connection
from payorch.store.items import Appended, Conflict, Refused
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, Story, connected, journal_on, rows_of


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


async def a_capture(journal: Journal) -> Story:
    story = Story()
    for step in (story.sent(), story.authorized(), story.capture_requested(1999), story.captured()):
        [result] = await journal.write([step])
        assert isinstance(result, Appended), result
    return story


async def test_a_movement_is_written_with_its_event(journal: Journal, connection: Connection) -> None:
    story = await a_capture(journal)
    query = "SELECT account, amount FROM ledger_lines ORDER BY amount"
    assert await rows_of(connection, query) == [(f"merchant_payable:{MERCHANT}", -1999), ("psp_receivable:psp_one", 1999)]
    [movement] = (await ledger.movements_of(connection, [uuid_of(story.payment_id)]))[uuid_of(story.payment_id)]
    assert (movement.sequence, movement.amount, movement.merchant_id) == (story.now.version, 1999, MERCHANT)


async def test_an_event_that_is_not_written_moves_nothing(journal: Journal, connection: Connection) -> None:
    story = await a_capture(journal)
    ours = story.refund_adopted(100)
    [first] = await journal.write([ours])
    [second] = await journal.write([ours])
    assert isinstance(first, Appended)
    assert isinstance(second, Conflict)
    assert await rows_of(connection, "SELECT count(*) FROM movements") == [(2,)]


async def test_what_was_refunded_above_what_was_captured_is_writable(journal: Journal, connection: Connection) -> None:
    story = await a_capture(journal)
    [result] = await journal.write([story.refund_adopted(5000)])
    assert isinstance(result, Appended)
    totals = {one.account: one.amount for one in await ledger.accounts(connection, None)}
    assert totals == {"psp_receivable:psp_one": -3001, f"merchant_payable:{MERCHANT}": 3001}


async def test_money_does_not_move_without_an_event_of_the_same_step(journal: Journal, connection: Connection) -> None:
    story = await a_capture(journal)
    step = story.refund_adopted(100)
    [movement] = step.movements
    bare = replace(step, expected_version=step.payment.version, events=(), operations=(), outbox=())
    for wrong in (
        bare,
        replace(step, movements=(replace(movement, sequence=movement.sequence + 1),)),
        replace(step, movements=(replace(movement, sequence=movement.sequence - 1),)),
        replace(step, movements=(movement, movement)),
        replace(step, movements=(replace(movement, payment_id=Story().payment_id),)),
    ):
        [result] = await journal.write([wrong])
        assert isinstance(result, Refused), result
    assert await rows_of(connection, "SELECT count(*) FROM movements") == [(1,)]


async def test_how_movements_settled_is_read_by_payment(journal: Journal, connection: Connection) -> None:
    story, other = await a_capture(journal), await a_capture(journal)
    await journal.write([story.refund_adopted(100)])
    await connection.execute("UPDATE movements SET settlement = 'settled' WHERE kind = 'capture'")
    found = await ledger.settlement_states(connection, [story.payment_id, Story().payment_id])
    assert found == {
        story.payment_id: [
            (uuid_of(story.now.operations[0].id), SettlementState.SETTLED),
            (uuid_of(story.now.operations[1].id), SettlementState.PENDING),
        ]
    }
    assert other.payment_id not in found
