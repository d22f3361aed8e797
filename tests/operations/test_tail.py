"""The tail of the journal: read once for all, not at all for nobody, and told from the database as it stands there."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from payorch.api.operations.events import LARGEST_EVENT_BYTES, Narrator
from payorch.api.operations.feed import Ended, Ending, StreamGap
from payorch.domain.records import OperationKind, Origin
from payorch.operations.tail import PAGE, RING, Tail
from payorch.store import tail_reads
from payorch.store.pool import DatabaseUnavailable
from tests.conftest import Database
from tests.operations.watching import Limits, Written, a_tail, positions
from tests.store.stories import Story, connected, journal_on


async def take(listener: object, count: int) -> list[int]:
    found: list[int] = []
    with trio.fail_after(100):
        while len(found) < count:
            found += positions(await listener.more())  # type: ignore[attr-defined]
    return found


async def opened(tail: Tail, after: int | None = None) -> object:
    listener = await tail.subscribe(after, "olga")
    listener.open()
    return listener


async def test_nobody_listens_and_nothing_is_read(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written)
    nursery.start_soon(tail.run)
    written.more(10)
    tail.written()
    await trio.sleep(100)
    assert written.pages == []
    listener = await opened(tail)
    written.more(2)
    await take(listener, 2)  # found by the sweep: nobody said that anything was written
    listener.close()  # type: ignore[attr-defined]
    reads = len(written.pages)
    written.more(5)
    tail.written()
    await trio.sleep(100)
    assert len(written.pages) <= reads + 1


async def test_ten_listeners_cost_one_reading(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written)
    nursery.start_soon(tail.run)
    listeners = [await opened(tail) for _ in range(10)]
    written.more(300)
    tail.written()
    for listener in listeners:
        assert await take(listener, 300) == list(range(1, 301))
    assert tail.statistics().read == 300
    assert tail.statistics().caught_up == 0


async def test_whoever_comes_late_catches_up_alone_and_joins(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written)
    nursery.start_soon(tail.run)
    first = await opened(tail)
    for _ in range(12):  # more than the ring holds
        written.more(500)
        tail.written()
        await take(first, 500)
    late = await opened(tail, 10)
    assert await take(late, 5_990) == list(range(11, 6_001))
    written.more(3)
    tail.written()
    assert await take(late, 3) == await take(first, 3) == [6001, 6002, 6003]
    assert 0 < tail.statistics().caught_up <= 6_000
    assert tail.statistics().read == 6_003


async def test_a_journal_that_grew_while_nobody_watched_is_not_read_again(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written)
    nursery.start_soon(tail.run)
    written.more(RING + PAGE)
    listener = await opened(tail)
    written.more(1)
    tail.written()
    assert await take(listener, 1) == [RING + PAGE + 1]
    assert tail.statistics().read == 1


async def test_a_database_that_is_away_is_waited_for(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written)
    nursery.start_soon(tail.run)
    listener = await opened(tail)
    written.more(2)
    written.fail = DatabaseUnavailable("away")
    tail.written()
    assert await take(listener, 2) == [1, 2]


async def test_a_listener_far_behind_is_dropped_only_once_it_had_caught_up(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    written = Written()
    tail = a_tail(written, Limits(waiting_limit=50))
    nursery.start_soon(tail.run)
    written.more(400)
    behind, abreast = await opened(tail, 0), await opened(tail)
    with trio.move_on_after(1):
        await abreast.more()  # type: ignore[attr-defined]
    written.more(100)
    tail.written()
    await trio.testing.wait_all_tasks_blocked()
    assert await take(behind, 500) == list(range(1, 501))
    with pytest.raises(Ended) as ended:
        await abreast.more()  # type: ignore[attr-defined]
    assert ended.value.why is Ending.SLOW


async def test_places_that_are_none() -> None:
    written = Written()
    tail = a_tail(written, Limits(behind_limit=10))
    written.more(20)
    for after in (21, 9, 0):
        with pytest.raises(StreamGap):
            await tail.subscribe(after, "olga")
    assert (await tail.subscribe(10, "olga")).position == 10


async def test_the_last_ones() -> None:
    written = Written()
    tail = a_tail(written)
    assert list(await tail.last(0, 100)) == []
    written.more(7)
    assert positions(await tail.last(5, 3)) == [3, 4, 5]
    assert positions(await tail.last(7, 100)) == list(range(1, 8))


# --- from the database ------------------------------------------------------------------------------------------------------------------


async def test_payments_are_told_with_what_a_list_shows_of_them(database: Database) -> None:
    story = Story(minor=24_900)
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        await journal.write([story.sent()])
        await journal.write([story.authorized()])
        await journal.write([story.capture_requested(10_000)])
        await journal.write([story.captured()])
        rows = await tail_reads.page(connection, 0, limit=100)
        some = await tail_reads.page(connection, 3, limit=2)
    assert positions(rows) == list(range(1, 8))
    assert positions(some) == [4, 5]
    told = [msgspec.json.decode(one.data) for one in Narrator(()).tell(rows)]
    assert [(one["event"], one["change"], one["tone"]) for one in told] == [
        ("PaymentCreated", None, "info"),
        ("Confirmed", "CREATED -> ROUTING", "info"),
        ("Routed", None, "info"),
        ("AttemptPrepared", "ROUTING -> AUTHORIZING", "info"),
        ("ProviderAuthorized", "AUTHORIZING -> AUTHORIZED", "good"),
        ("CaptureRequested", "AUTHORIZED -> CAPTURING", "info"),
        ("CaptureSucceeded", "CAPTURING -> CAPTURED", "good"),
    ]
    assert told[4]["text"] == "Psp_one authorised 249.00 EUR: the money is held, not taken."
    assert told[5]["text"] == "The merchant asked for a capture of 100.00 EUR at Psp_one; it was recorded, to be sent now."
    assert told[6]["text"].startswith("Psp_one captured 100.00 EUR")  # not the payment's amount
    assert told[6]["payment"] == {
        "id": story.payment_id, "state": "CAPTURED", "amount": {"amount": 24_900, "currency": "EUR"}, "connector": "psp_one",
        "merchant_id": story.merchant_id, "held": False,
    }  # fmt: skip
    assert all(len(one.data) < LARGEST_EVENT_BYTES for one in Narrator(()).tell(rows))


async def test_an_operation_that_only_its_row_knows(database: Database) -> None:
    story = Story(minor=24_900)
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        await journal.write([story.sent()])
        await journal.write([story.authorized()])
        assert story.operation(OperationKind.CAPTURE, 1, origin=Origin.MERCHANT).amount.minor == 1
        await journal.write([story.capture_requested(777)])
        await journal.write([story.captured()])
        [last] = await tail_reads.page(connection, 6, limit=10)
    assert last.operation is not None
    assert (last.operation.minor, last.operation.currency) == (777, "EUR")


async def test_a_row_of_which_no_amount_can_be_made_stops_nobody(database: Database) -> None:
    """A currency may be given up, and the payments that were made in it stay."""
    story = Story(minor=24_900)
    async with journal_on(database.app) as journal, connected(database.app) as connection, connected(database.owner) as owner:
        await journal.write([story.sent()])
        await owner.execute("UPDATE payorch.payments SET currency = 'ZZZ'")
        rows = await tail_reads.page(connection, 0, limit=100)
    assert positions(rows) == [1, 2, 3, 4]
    assert [one.payment for one in rows] == [None] * 4
    assert all(len(one.data) < LARGEST_EVENT_BYTES for one in Narrator(()).tell(rows))
