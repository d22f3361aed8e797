"""What operators see of payments, over a real database: lists of all merchants, counts, likes, the ledger of one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from payorch.domain.identifiers import uuid_of
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.payment import AttemptState, State
from payorch.domain.settlement import RowState, SettlementState
from payorch.store import delivery_reads, entries, identities, payment_page, reads
from payorch.store.driver import Connection
from payorch.store.items import MerchantRow
from payorch.store.reads import Search
from tests.conftest import Database
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, Story, connected, journal_on, new_id


@dataclass
class Shop:
    app: Connection
    captured: Story
    held: Story
    sent: Story


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    async with journal_on(database.app) as journal, connected(database.app) as app:
        for id, name in ((MERCHANT, "Shop"), (OTHER_MERCHANT, "Other Shop")):
            change = identities.merchant_added(MerchantRow(id=id, name=name, created_at=START))
            await journal.write([entries.entry_of(change, sequence=1, at=START, actor="cli:x", cause="c")])
        captured, held, sent = Story(), Story(merchant_id=OTHER_MERCHANT, minor=500), Story(at=START + timedelta(minutes=5))
        for story in (captured, held):
            await journal.write([story.sent()])
            await journal.write([story.authorized()])
        await journal.write([sent.sent()])
        await journal.write([captured.capture_requested(1999)])
        await journal.write([captured.captured()])
        await journal.write([captured.refund_requested(100)])
        yield Shop(app=app, captured=captured, held=held, sent=sent)


async def test_lists_of_all_merchants(shop: Shop) -> None:
    found, cursor = await reads.search(shop.app, Search(merchant_id=None), limit=10)
    assert ({one.id for one in found}, cursor) == ({shop.captured.payment_id, shop.held.payment_id, shop.sent.payment_id}, None)
    assert await payment_page.merchants_named(shop.app, "other shop") == [OTHER_MERCHANT]
    names = await payment_page.merchant_names(shop.app, [MERCHANT, MERCHANT, OTHER_MERCHANT])
    assert names == {MERCHANT: "Shop", OTHER_MERCHANT: "Other Shop"}
    found, _ = await reads.search(shop.app, Search(merchant_id=None, merchants=(OTHER_MERCHANT,)), limit=10)
    assert [one.id for one in found] == [shop.held.payment_id]


async def test_a_count_says_whether_it_is_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await payment_page.count(shop.app, Search(merchant_id=None)) == (3, True)
    assert await payment_page.count(shop.app, Search(merchant_id=None, states=(State.AUTHORIZED,))) == (1, True)
    monkeypatch.setattr(payment_page, "COUNTED_AT_MOST", 2)
    assert await payment_page.count(shop.app, Search(merchant_id=None)) == (2, False)


async def test_problems_are_what_people_should_look_at(shop: Shop, database: Database) -> None:
    assert (await reads.search(shop.app, Search(merchant_id=None, problem=True), limit=10))[0] == []
    async with connected(database.superuser) as root:
        await root.execute(b"UPDATE payorch.payments SET held = true WHERE state = 'AUTHORIZED'")
        await root.execute(b"UPDATE payorch.operations SET in_review = true WHERE kind = 'refund'")
    found, _ = await reads.search(shop.app, Search(merchant_id=None, problem=True), limit=10)
    assert {one.id for one in found} == {shop.held.payment_id, shop.captured.payment_id}


async def test_the_likes_of_one(shop: Shop) -> None:
    likes = await payment_page.likes(
        shop.app, connector="psp_one", state=State.AUTHORIZING, attempt_state=AttemptState.PREPARED, around=START,
        within=timedelta(minutes=15),
    )  # fmt: skip
    assert (likes.count, likes.amounts) == (1, [Money(1999, "EUR")])
    far = await payment_page.likes(
        shop.app, connector="psp_one", state=State.AUTHORIZING, attempt_state=None, around=START, within=timedelta(minutes=4)
    )
    assert (far.count, far.amounts) == (0, [])


async def test_the_ledger_of_one(shop: Shop) -> None:
    (entry,) = await payment_page.ledger_of(shop.app, shop.captured.payment_id)
    assert (entry.kind, entry.amount, entry.settlement) == (MovementKind.CAPTURE, Money(1999, "EUR"), SettlementState.PENDING)
    assert await payment_page.report_lines_of(shop.app, shop.captured.payment_id) == []
    assert await delivery_reads.deliveries_about(shop.app, shop.captured.payment_id, limit=5) == []


async def test_lines_of_reports_with_their_double_entries(shop: Shop, database: Database) -> None:
    batch, payment = new_id("bat"), shop.captured.payment_id
    async with connected(database.superuser) as root:
        await root.execute(b"SET search_path = payorch")
        await root.execute(
            b"INSERT INTO settlement_batches"
            b" VALUES (%s, 'psp_one', sha256('x'), 'march.csv', 'imported', 1, 1, 0, 0, 0, '[]', %s, %s, 'x')",
            [uuid_of(batch), START, START],
        )
        await root.execute(
            b"INSERT INTO settlement_rows (batch_id, line, connector, identity, kind, type, booked_on, gross, currency, fee, net,"
            b" net_currency, psp_operation, psp_payment, our_references, state, payment_id)"
            b" VALUES (%s, 1, 'psp_one', 'i', 'capture', 't', '2026-03-02', 1999, 'EUR', 59, 1940, 'EUR', '', '', '', 'matched', %s)",
            [uuid_of(batch), uuid_of(payment)],
        )
        for leg, debit, credit, amount in ((1, "a", "b", 1999), (2, "c", "a", 59)):
            await root.execute(
                b"INSERT INTO settlement_postings VALUES (%s, 1, %s, 'psp_one', 'EUR', %s, %s, %s, '2026-03-02')",
                [uuid_of(batch), leg, debit, credit, amount],
            )
    (line,) = await payment_page.report_lines_of(shop.app, payment)
    assert (line.batch_id, line.report, line.gross, line.fee) == (batch, "march.csv", Money(1999, "EUR"), Money(59, "EUR"))
    assert line.state is RowState.MATCHED
    assert [(one.debit, one.credit, one.amount.minor) for one in line.postings] == [("a", "b", 1999), ("c", "a", 59)]
