"""Reading: replay, search with every filter, timers, recovery, the tail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from payorch.domain import events as e
from payorch.domain.identifiers import MalformedIdentifier, uuid_of
from payorch.domain.payment import Name, State
from payorch.domain.records import Hold
from payorch.store import reads
from payorch.store.driver import Connection, Session
from payorch.store.journal import Journal
from payorch.store.reads import Search
from tests.conftest import Database
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, Story, connected, journal_on, new_id, rows_of


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    # A server in another time zone, and a reader that must not notice.
    async with connected(database.app, Session(settings={"timezone": "Asia/Kathmandu"}, search_path="payorch")) as opened:
        yield opened


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


async def test_events_come_back_as_they_were_written(journal: Journal, connection: Connection) -> None:
    story, other = Story(), Story()
    await journal.write([story.sent(), other.created(), story.authorized()])
    found = await reads.load_events(connection, story.payment_id)
    assert [one.event for one in found] == story.happened
    assert [(one.sequence, one.position) for one in found] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 6)]
    assert {one.event.at.utcoffset() for one in found} == {timedelta(0)}


async def test_what_is_not_there_is_none(connection: Connection) -> None:
    nobody = new_id("pay")
    assert await reads.load_payment(connection, nobody) is None
    assert await reads.load_events(connection, nobody) == []
    assert await reads.load_many(connection, [nobody]) == {}
    assert await reads.stored_answer(connection, MERCHANT, "k") is None
    assert await reads.search(connection, Search(merchant_id=MERCHANT), limit=10) == ([], None)
    with pytest.raises(MalformedIdentifier):
        await reads.load_payment(connection, "pay_1")


async def test_many_are_loaded_at_once(journal: Journal, connection: Connection) -> None:
    stories = [Story(), Story(at=START.replace(year=2060)), Story()]
    await journal.write([story.sent() for story in stories])
    await journal.write([stories[1].authorized()])
    ids = [story.payment_id for story in stories]
    assert await reads.load_many(connection, [*ids[:2], new_id("pay")]) == {story.payment_id: story.now for story in stories[:2]}


async def test_pages_are_newest_first_and_stable(journal: Journal, connection: Connection) -> None:
    stories = [Story(at=START + timedelta(days=20 * n)) for n in range(7)]
    await journal.write([story.created() for story in stories])
    newest_first = [story.payment_id for story in reversed(stories)]
    what = Search(merchant_id=MERCHANT)
    first, cursor = await reads.search(connection, what, limit=3)
    assert [row.id for row in first] == newest_first[:3]
    assert cursor == newest_first[2]
    await journal.write([Story(at=START + timedelta(days=300)).created()])
    second, cursor = await reads.search(connection, what, limit=3, after=cursor)
    assert [row.id for row in second] == newest_first[3:6]
    last, end = await reads.search(connection, what, limit=3, after=cursor)
    assert ([row.id for row in last], end) == (newest_first[6:], None)
    with pytest.raises(MalformedIdentifier):
        await reads.search(connection, what, limit=3, after="x")


async def test_each_filter_finds_its_own(journal: Journal, connection: Connection) -> None:
    plain = Story(reference="order-1001")
    other = Story(
        merchant_id=OTHER_MERCHANT, minor=50, currency="JPY", connector="psp_two", reference="order-2", at=START + timedelta(hours=5)
    )
    captured = Story(minor=700, reference="Order-1001")
    await journal.write([plain.created(), other.sent(), captured.sent()])
    await journal.write([other.authorized(), captured.authorized()])
    await journal.write([captured.capture_requested(700)])
    await journal.write([captured.captured()])
    hold = Hold(reason="poison", since=START, by="system")
    await journal.write([plain.step((Name.HELD, State.CREATED, e.HoldSet(hold=hold)))])

    async def found(**what: object) -> set[str]:
        page, _ = await reads.search(connection, replace(Search(merchant_id=None), **what), limit=100)  # type: ignore[arg-type]
        return {row.id for row in page}

    p, o, c = plain.payment_id, other.payment_id, captured.payment_id
    assert await found() == {p, o, c}
    assert await found(merchant_id=MERCHANT) == {p, c}
    assert await found(states=(State.CAPTURED, State.CREATED)) == {p, c}
    assert await found(states=(State.FAILED,)) == set()
    assert await found(connector="psp_two") == {o}
    assert await found(reference="order-1001") == {p}
    assert await found(psp_reference=captured.attempt.psp_reference) == {c}
    assert await found(currency="JPY") == {o}
    assert await found(amount_min=700) == {p, c}
    assert await found(amount_max=700) == {o, c}
    assert await found(created_from=START + timedelta(hours=5)) == {o}
    assert await found(created_to=START + timedelta(hours=5)) == {p, c}
    assert await found(held=True) == {p}
    assert await found(held=False) == {o, c}
    assert await found(q=p) == {p}
    assert await found(q=other.attempt.id) == {o}
    assert await found(q=captured.now.operations[0].id) == {c}
    assert await found(q=new_id("mer")) == set()
    assert await found(q="order-") == {p, o}
    assert await found(q="Order") == {c}
    assert await found(q="order-1001-and-more") == set()
    assert await found(q="%") == set()
    assert await found(q=other.attempt.psp_reference) == {o}
    assert await found(q=p, merchant_id=OTHER_MERCHANT) == set()
    assert await found(merchant_id=MERCHANT, currency="EUR", amount_max=1000, q="Ord", states=(State.CAPTURED,)) == {c}


async def test_a_row_says_what_a_list_shows(journal: Journal, connection: Connection) -> None:
    story = Story(reference="r")
    await journal.write([story.sent(), story.authorized(), story.capture_requested(1999), story.captured()])
    [row], _ = await reads.search(connection, Search(merchant_id=MERCHANT), limit=10)
    payment = story.now
    assert (row.id, row.state, row.version, row.amount_minor, row.currency) == (payment.id, State.CAPTURED, 7, 1999, "EUR")
    assert (row.connector, row.psp_reference, row.captured_minor) == ("psp_one", payment.operations[0].psp_reference, 1999)
    assert (row.created_at, row.updated_at, row.held, row.reference) == (payment.created_at, payment.updated_at, False, "r")


async def test_what_is_due_comes_longest_overdue_first(journal: Journal, connection: Connection) -> None:
    late, later, done = Story(), Story(at=START + timedelta(minutes=1)), Story()
    await journal.write([late.sent(), later.sent(), done.sent()])
    await journal.write([done.authorized()])
    assert late.now.due_at is not None
    assert await reads.due(connection, late.now.due_at - timedelta(milliseconds=1), limit=10) == []
    assert await reads.due(connection, late.now.due_at, limit=10) == [late.payment_id]
    much_later = START + timedelta(days=1)
    assert await reads.due(connection, much_later, limit=10) == [late.payment_id, later.payment_id]
    assert await reads.due(connection, much_later, limit=1) == [late.payment_id]
    hold = Hold(reason="poison", since=START, by="system")
    await journal.write([late.step((Name.HELD, late.now.state, e.HoldSet(hold=hold)))])
    assert await reads.due(connection, much_later, limit=10) == [later.payment_id]


async def test_recovery_finds_all_that_is_unfinished_and_nothing_else(journal: Journal, connection: Connection) -> None:
    waiting, in_flight, settled, refunding = Story(), Story(at=START.replace(year=2060)), Story(), Story()
    await journal.write([waiting.created(), in_flight.sent(), settled.sent(), refunding.sent()])
    await journal.write([settled.authorized(), refunding.authorized()])
    await journal.write([refunding.capture_requested(1999)])
    await journal.write([refunding.captured()])
    await journal.write([refunding.refund_requested(5)])
    expected = sorted([waiting.payment_id, in_flight.payment_id, refunding.payment_id])
    assert await reads.unfinished(connection, limit=10) == expected
    first = await reads.unfinished(connection, limit=2)
    assert first == expected[:2]
    assert await reads.unfinished(connection, limit=2, after=first[-1]) == expected[2:]
    assert await reads.unfinished(connection, limit=2, after=expected[-1]) == []


async def test_the_tail_is_in_order_and_without_gaps(journal: Journal, connection: Connection) -> None:
    stories = [Story(at=START.replace(year=2026 + n)) for n in range(3)]
    await journal.write([story.sent() for story in stories])
    assert await reads.head_position(connection) == 12
    first = await reads.tail(connection, 0, limit=5)
    rest = await reads.tail(connection, first[-1].position, limit=100)
    assert [row.position for row in (*first, *rest)] == list(range(1, 13))
    assert await reads.tail(connection, 12, limit=5) == []
    assert first[0].stream_id == stories[0].payment_id
    assert first[0].at == START


async def test_an_operation_is_found_by_its_own_id(journal: Journal, connection: Connection) -> None:
    story, other = Story(), Story(at=START.replace(year=2060))
    await journal.write([story.sent(), other.sent()])
    await journal.write([story.authorized(), other.authorized()])
    await journal.write([story.capture_requested(1999), other.capture_requested(5)])
    for one in (story, other):
        assert await reads.find_operation(connection, one.now.operations[0].id) == one.payment_id
    digits = story.now.operations[0].id.partition("_")[2]
    for nothing in (f"ref_{digits}", f"void_{digits}", f"att_{digits}", new_id("cap")):
        assert await reads.find_operation(connection, nothing) is None
    with pytest.raises(MalformedIdentifier):
        await reads.find_operation(connection, "cap_1")
    await connection.execute("SET enable_seqscan = off")
    explained = await rows_of(connection, f"EXPLAIN SELECT payment_id FROM operations WHERE id = '{uuid_of(story.now.operations[0].id)}'")
    scans = [line for (line,) in explained if " on operations_" in line]
    assert scans
    assert all("_id_idx " in line for line in scans), "every partition has the index"
