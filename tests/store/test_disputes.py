"""Disputes in the store: each stage a row of its payment's, changed in place, found by its id and listed for its merchant alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from payorch.domain.disputes import Dispute, DisputeStage, DisputeStatus
from payorch.domain.evolve import replay
from payorch.domain.identifiers import bytes_of, uuid_of
from payorch.domain.money import Money
from payorch.store import books, reads
from payorch.store.dispute_reads import find_dispute, list_disputes
from payorch.store.driver import Connection
from payorch.store.items import Append, Appended, Refused
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, Story, connected, journal_on, new_id, rows_of


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


async def write(journal: Journal, *items: Append) -> None:
    for item in items:
        [result] = await journal.write([item])
        assert isinstance(result, Appended), result


async def a_hold(journal: Journal, **about: Any) -> Story:
    story = Story(**about)
    await write(journal, story.sent(), story.authorized())
    return story


def last(story: Story) -> Dispute:
    return story.now.disputes[-1]


ROWS = "SELECT id, stage, status, amount, currency, reason, respond_by, created_at, updated_at FROM disputes ORDER BY id"


async def test_a_dispute_is_a_row_that_changes_in_place(journal: Journal, connection: Connection) -> None:
    story = await a_hold(journal)
    until = START + timedelta(days=7, microseconds=1500)
    await write(journal, story.disputed(1500, reason="fraudulent", respond_by=until))
    opened = last(story)
    shown = until.replace(microsecond=1000)
    assert await rows_of(connection, ROWS) == [
        (uuid_of(opened.id), "dispute", "opened", 1500, "EUR", "fraudulent", shown, opened.created_at, opened.created_at)
    ]
    await write(journal, story.dispute_told(status=DisputeStatus.LOST, amount=Money(900, "EUR"), reason="final"))
    told = last(story)
    assert told.updated_at > opened.created_at
    assert await rows_of(connection, ROWS) == [
        (uuid_of(opened.id), "dispute", "lost", 900, "EUR", "final", shown, opened.created_at, told.updated_at)
    ]


async def test_each_stage_is_a_row_and_all_are_there_when_the_payment_is_read_again(journal: Journal, connection: Connection) -> None:
    story = await a_hold(journal)
    stages = list(DisputeStage)
    await write(journal, *(story.disputed(1500, stage=stage) for stage in stages))
    assert {row[1] for row in await rows_of(connection, ROWS)} == set(stages)
    loaded = await reads.load_payment(connection, story.payment_id)
    assert loaded == story.now == replay(story.happened)
    assert [one.stage for one in story.now.disputes] == stages


async def test_several_in_one_step(journal: Journal, connection: Connection) -> None:
    story = await a_hold(journal)
    [first, second] = [story.disputed(1500, psp_reference=name) for name in ("dp_1", "dp_2")]
    both = replace(second, expected_version=first.expected_version, events=(*first.events, *second.events), disputes=story.now.disputes)
    await write(journal, both)
    assert await rows_of(connection, "SELECT psp_reference FROM disputes ORDER BY 1") == [("dp_1",), ("dp_2",)]


async def test_what_a_psp_says_is_written_whatever_it_is(journal: Journal, connection: Connection) -> None:
    """A reason with a character that PostgreSQL has not, a long id, the most that there can be, another currency."""
    story = await a_hold(journal)
    said = {"psp_reference": "dp_" + "x" * 500, "reason": "no\0thing", "amount": Money(2**63 - 1, "JPY")}
    await write(journal, story.disputed(0, **said))
    [row] = await rows_of(connection, "SELECT psp_reference, reason, amount, currency FROM disputes")
    assert row == (said["psp_reference"], "no\ufffdthing", 2**63 - 1, "JPY")


async def test_two_psps_may_name_their_disputes_alike(journal: Journal, connection: Connection) -> None:
    """What we learn is never forbidden: two attempts of a payment may both be disputed, each at its own PSP."""
    story = Story()
    first = story.sent()
    second = replace(story.new_attempt(), connector="psp_two")
    await write(journal, first, story.step(story.decline(), story.preparation(second)), story.authorized())
    await write(journal, *(story.disputed(100, attempt_id=one.id) for one in story.now.attempts))
    assert await rows_of(connection, "SELECT count(*), count(DISTINCT attempt_id) FROM disputes") == [(2, 2)]


async def test_a_stage_is_not_there_twice(journal: Journal) -> None:
    """A bug of ours, not something that a PSP could say: `testimony` finds the stage that is known."""
    story = await a_hold(journal)
    await write(journal, story.disputed(100))
    [result] = await journal.write([story.disputed(100)])
    assert isinstance(result, Refused)
    assert "psp_reference_stage" in result.reason


@pytest.mark.parametrize("wrong", [{"stage": "later"}, {"status": "forgotten"}, {"amount": Money(-1, "EUR")}])
async def test_a_row_is_never_nonsense(journal: Journal, wrong: dict[str, Any]) -> None:
    story = await a_hold(journal)
    [result] = await journal.write([story.disputed(100, **wrong)])
    assert isinstance(result, Refused)


async def test_a_dispute_changes_by_an_event_only(journal: Journal) -> None:
    story = await a_hold(journal)
    await write(journal, story.disputed(100))
    unsaid = Append(payment=story.now, expected_version=story.now.version, disputes=story.now.disputes)
    assert await journal.write([unsaid]) == [Refused("ValueError: a payment changes by events only")]


async def test_rows_of_disputes_are_not_taken_away(journal: Journal, connection: Connection) -> None:
    story = await a_hold(journal)
    await write(journal, story.disputed(100))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute("DELETE FROM payorch.disputes")


# --- reading


async def test_a_dispute_leads_to_its_payment(journal: Journal, connection: Connection) -> None:
    story = await a_hold(journal)
    await write(journal, story.disputed(100))
    assert await find_dispute(connection, last(story).id) == story.payment_id
    assert await find_dispute(connection, new_id("dsp")) is None


async def test_a_merchants_disputes_are_listed_newest_first_in_pages(journal: Journal, connection: Connection) -> None:
    mine, others = await a_hold(journal), await a_hold(journal, merchant_id=OTHER_MERCHANT)
    more = await a_hold(journal)
    for story in (mine, more, others):
        await write(journal, story.disputed(1, psp_reference="dp_a"), story.disputed(2, psp_reference="dp_b"))
    await write(journal, more.dispute_told(status=DisputeStatus.WON))
    expected = sorted(
        ((story.payment_id, one.id) for story in (mine, more) for one in story.now.disputes),
        key=lambda pair: bytes_of(pair[1]),
        reverse=True,
    )
    page = partial(list_disputes, connection, MERCHANT)
    assert await page(limit=10) == (expected, None)
    assert await page(limit=4) == (expected, None), "there is no fifth"
    first, cursor = await page(limit=3)
    assert (first, cursor) == (expected[:3], expected[2][1])
    assert await page(limit=3, after=cursor) == (expected[3:], None)
    assert await page(limit=10, status="won") == ([(more.payment_id, last(more).id)], None)
    assert (await page(limit=10, status="opened"))[0] == [pair for pair in expected if pair[1] != last(more).id]
    assert await page(limit=10, status="lost") == ([], None)
    assert (await list_disputes(connection, OTHER_MERCHANT, limit=10))[0] != expected


async def test_the_books_see_each_row_as_its_journal_makes_it(journal: Journal, connection: Connection) -> None:
    """Damage to them is in tests/test_books.py."""
    story = await a_hold(journal)
    await write(journal, story.disputed(1500, reason="f\0", psp_reference="dp\0", respond_by=START + timedelta(microseconds=1500)))
    await write(journal, story.dispute_told(status=DisputeStatus.EXPIRED))
    [kept] = await books.kept(connection, [uuid_of(story.payment_id)])
    assert kept.payment == story.now
    [row] = kept.disputes
    assert (row.id, row.merchant_id, row.status, row.amount) == (last(story).id, MERCHANT, "expired", 1500)
