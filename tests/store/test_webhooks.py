"""Webhooks in the store: a notice is stored once and settled once, an event becomes its deliveries, what died is found and lives again."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from payorch.domain.payment import OperationState
from payorch.store import dead_letters, delivery_reads, inbox_reads
from payorch.store.dead_letters import Filter, Subject
from payorch.store.driver import Connection
from payorch.store.entries import ChangeRefused, changed
from payorch.store.inbox_reads import Reference, Refers
from payorch.store.items import (
    Appended,
    Arrival,
    DeadLetter,
    DeadLetterKind,
    DeadLetterState,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Entry,
    Erasure,
    MerchantRow,
    NoticeMark,
    NoticeState,
    Result,
    SettledBefore,
)
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, Story, connected, journal_on, new_id, rows_of

SECOND = timedelta(seconds=1)


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


def a_notice(identity: str = "evt_1", *, connector: str = "psp_one", at: datetime = START, **changes: Any) -> Arrival:
    made = Arrival(
        id=new_id("ntc", at), connector=connector, identity=identity, digest=hashlib.sha256(identity.encode()).digest(),
        kind="payment.done", sealed=b"sealed", refers=msgspec.json.encode(Refers(psp=("pi_1",))), received_at=at, request_id="req_1",
        next_try_at=at,
    )  # fmt: skip
    return replace(made, **changes)


def applied(notice: Arrival, story: Story | None = None, **changes: Any) -> NoticeMark:
    payment_id = story.payment_id if story is not None else None
    mark = NoticeMark(notice_id=notice.id, state=NoticeState.APPLIED, outcome="applied", at=START, payment_id=payment_id)
    return replace(mark, **changes)


def an_endpoint(merchant_id: str = MERCHANT, *, events: tuple[str, ...] = ("*",), **changes: Any) -> Endpoint:
    made = Endpoint(
        id=new_id("whe"), merchant_id=merchant_id, url="https://shop.example/hooks", events=events, state=EndpointState.ENABLED,
        secret=b"sealed", version=1, created_at=START, updated_at=START,
    )  # fmt: skip
    return replace(made, **changes)


async def enter(journal: Journal, stream: str, stream_id: str, sequence: int, *rows: Any) -> Result:
    entry = Entry(stream=stream, stream_id=stream_id, sequence=sequence, name="Happened", at=START, actor="system", cause="c", rows=rows)
    return (await journal.write([entry]))[0]


async def with_merchants(journal: Journal) -> None:
    for merchant_id in (MERCHANT, OTHER_MERCHANT):
        await enter(journal, "merchant", merchant_id, 1, MerchantRow(id=merchant_id, name="Shop", created_at=START))


# --- in


async def test_an_identity_is_stored_once_for_each_connector(journal: Journal, connection: Connection) -> None:
    first, again, elsewhere = a_notice(), a_notice(), a_notice(connector="psp_two")
    assert [result.arrived for result in await journal.write([first, again, elsewhere]) if isinstance(result, Appended)] == [
        *(True, False, True)
    ]
    assert await journal.write([a_notice()]) == [Appended(0, arrived=False)]
    due = await inbox_reads.due_notices(connection, START, limit=10)
    assert [(one.id, one.refers.psp, one.content) for one in due] == [
        (first.id, ("pi_1",), b"sealed"),
        (elsewhere.id, ("pi_1",), b"sealed"),
    ]
    assert await inbox_reads.stored_digest(connection, "psp_one", "evt_1") == first.digest
    assert await inbox_reads.stored_digest(connection, "psp_one", "evt_2") is None


async def test_a_notice_and_its_step_are_settled_once(journal: Journal, connection: Connection) -> None:
    story, notice = Story(), a_notice()
    await journal.write([story.sent(), notice])
    step = replace(story.authorized(), notice=applied(notice, story))
    # The same again, as another life of its payment's actor would write it: with the next version, so that only the notice is in its way.
    second = replace(story.noted(), notice=applied(notice, story))
    assert await journal.write([step, second]) == [Appended(5), SettledBefore()]
    assert await rows_of(connection, "SELECT count(*) FROM journal") == [(5,)]
    assert await rows_of(connection, "SELECT state, outcome, next_try_at FROM inbox") == [("applied", "applied", None)]
    [kept] = await inbox_reads.notices_of(connection, story.payment_id, limit=10)
    assert (kept.id, kept.state) == (notice.id, NoticeState.APPLIED)


async def test_a_notice_that_says_nothing_new_is_settled_without_a_step(journal: Journal, connection: Connection) -> None:
    story, notice = Story(), a_notice()
    await journal.write([story.sent(), notice])
    nothing = replace(story.step(), notice=applied(notice, story, outcome="implied"))
    assert await journal.write([nothing]) == [Appended(4)]
    assert await journal.write([nothing]) == [SettledBefore()]
    assert await rows_of(connection, "SELECT count(*) FROM journal") == [(4,)]


async def test_marks_until_it_is_settled(journal: Journal, connection: Connection) -> None:
    notice = a_notice()
    await journal.write([notice])
    later = START + 5 * SECOND
    parked = applied(notice, state=NoticeState.PARKED, outcome="no_payment", tries=1, next_try_at=later)
    assert await journal.write([parked]) == [Appended(0)]
    assert await inbox_reads.due_notices(connection, START, limit=10) == []
    [due] = await inbox_reads.due_notices(connection, later, limit=10)
    assert (due.state, due.tries) == (NoticeState.PARKED, 1)
    assert [one.id for one in await inbox_reads.parked_notices(connection, limit=10)] == [notice.id]
    assert await inbox_reads.count_waiting(connection) == {"parked": 1}
    assert await journal.write([applied(notice, state=NoticeState.IGNORED)]) == [Appended(0)]
    assert await journal.write([parked]) == [SettledBefore()]


async def test_payments_are_found_by_the_psps_ids_then_by_ours(journal: Journal, connection: Connection) -> None:
    one, other, refunding, wallet = Story(), Story(connector="psp_two"), Story(), Story()
    await journal.write([one.sent(), other.sent(), refunding.sent(), wallet.sent()])
    await journal.write([one.authorized(), other.authorized(), refunding.authorized(), wallet.wants_action()])
    await journal.write([refunding.capture_requested(1999), one.noted()])
    ref = partial(Reference, connector="psp_one")
    intent, attempt, capture = one.attempt.psp_reference, other.attempt.id, refunding.now.operations[0].id
    assert intent is not None
    found = await inbox_reads.find_payments(
        connection,
        [
            ref(refers=Refers(psp=(intent,), ours=(refunding.attempt.id,))),  # the PSP's id is the more telling
            ref(refers=Refers(psp=("pi_elsewhere",), ours=(refunding.attempt.id,))),
            ref(refers=Refers(ours=(capture,))),
            ref(refers=Refers(ours=(attempt,))),  # of another connector
            ref(connector="psp_two", refers=Refers(ours=(attempt,))),
            ref(refers=Refers(psp=("m_1",), ours=(refunding.attempt.id,))),  # its id of what holds the money
            ref(connector="psp_two", refers=Refers(psp=("m_1",))),
            ref(refers=Refers()),
        ],
    )
    own = [one.payment_id, refunding.payment_id, refunding.payment_id, None, other.payment_id]
    assert found == [*own, wallet.payment_id, None, None]
    assert refunding.now.operations[0].state is OperationState.REQUESTED


async def test_contents_are_forgotten_after_their_time_and_rows_stay(journal: Journal, connection: Connection) -> None:
    settled, waiting = a_notice("evt_1"), a_notice("evt_2")
    letter = a_letter(state=DeadLetterState.DISCARDED, resolved_at=START, resolved_by="cli:ann", resolution="a test")
    await journal.write([settled, waiting])
    await journal.write([applied(settled)])
    await enter(journal, "dead_letter", letter.id, 1, letter)
    before = Erasure(notices_before=START, dead_letters_before=START, limit=10)
    after = Erasure(notices_before=START + SECOND, dead_letters_before=START + SECOND, limit=10)
    for erasure, left in ((before, 2), (after, 1)):
        assert await journal.write([erasure]) == [Appended(1)]
        assert await rows_of(connection, "SELECT count(*) FROM inbox WHERE content <> ''") == [(left,)]
        assert await rows_of(connection, "SELECT count(*) FROM dead_letters WHERE payload <> ''") == [(left - 1,)]
    assert await rows_of(connection, "SELECT count(*) FROM inbox") == [(2,)]


# --- out


async def test_an_event_becomes_a_delivery_for_each_endpoint_that_wants_it(journal: Journal, connection: Connection) -> None:
    await with_merchants(journal)
    wanting = [an_endpoint(), an_endpoint(events=("refund.failed", "payment.authorized"))]
    others = [
        an_endpoint(events=("payment.failed",)), an_endpoint(OTHER_MERCHANT), an_endpoint(state=EndpointState.DISABLED),
        an_endpoint(state=EndpointState.DELETED),
    ]  # fmt: skip
    for endpoint in (*wanting, *others):
        await enter(journal, "webhook_endpoint", endpoint.id, 1, endpoint)
    story = Story()
    told = story.outbox(20)
    await journal.write([story.sent()])
    await journal.write([story.authorized(outbox=(told,))])
    deliveries = (await delivery_reads.deliveries_of(connection, [told.event_id]))[told.event_id]
    assert {one.endpoint_id for one in deliveries} == {one.id for one in wanting}
    assert {(one.state, one.attempts, one.next_attempt_at) for one in deliveries} == {(DeliveryState.PENDING, 0, story.now.updated_at)}
    assert await delivery_reads.endpoints_due(connection, START + SECOND, merchants=None, limit=10) == sorted(one.id for one in wanting)
    assert await delivery_reads.endpoints_due(connection, START + SECOND, merchants=[OTHER_MERCHANT], limit=10) == []
    assert await delivery_reads.endpoints_due(connection, START, merchants=None, limit=10) == []
    [due] = await delivery_reads.due_deliveries(connection, wanting[0].id, START + SECOND, limit=10)
    assert (due.delivery.event_id, due.body) == (told.event_id, told.body)
    assert await delivery_reads.count_due(connection, START + SECOND) == 2


async def test_a_delivery_is_marked_and_its_endpoint_deleted(journal: Journal, connection: Connection) -> None:
    await with_merchants(journal)
    endpoint, story = an_endpoint(), Story()
    await enter(journal, "webhook_endpoint", endpoint.id, 1, endpoint)
    first, second = story.outbox(20), story.outbox(24)
    await journal.write([story.sent()])
    await journal.write([story.authorized(outbox=(first, second))])
    due = await delivery_reads.due_deliveries(connection, endpoint.id, START + SECOND, limit=10)
    assert [one.delivery.event_id for one in due] == [first.event_id, second.event_id]
    done = replace(due[0].delivery, state=DeliveryState.DELIVERED, attempts=1, next_attempt_at=None, last_status=204, delivered_at=START)
    await journal.write([done])
    await enter(journal, "webhook_endpoint", endpoint.id, 2, replace(endpoint, state=EndpointState.DELETED, version=2))
    found = await delivery_reads.deliveries_of(connection, [first.event_id, second.event_id])
    assert [found[one.event_id][0].state for one in (first, second)] == [DeliveryState.DELIVERED, DeliveryState.CANCELED]
    assert await delivery_reads.endpoints(connection, MERCHANT) == []


async def test_events_are_listed_newest_first_and_by_merchant(journal: Journal, connection: Connection) -> None:
    mine, theirs = Story(), Story(merchant_id=OTHER_MERCHANT)
    told = [mine.outbox(20), mine.outbox(24, "payment.failed"), mine.outbox(28)]
    await journal.write([mine.sent(), theirs.sent()])
    await journal.write([mine.authorized(outbox=tuple(told)), theirs.authorized(outbox=(theirs.outbox(20),))])
    listed = partial(delivery_reads.events, connection, MERCHANT)
    page, cursor = await listed(limit=2)
    assert [one.event_id for one in page] == [told[2].event_id, told[1].event_id]
    rest, end = await listed(limit=2, after=cursor)
    assert ([one.event_id for one in rest], end) == ([told[0].event_id], None)
    assert [one.type for one in (await listed(limit=9, types=["payment.failed"]))[0]] == ["payment.failed"]
    assert (await listed(limit=9, payment_id=theirs.payment_id))[0] == []
    assert await delivery_reads.event(connection, OTHER_MERCHANT, told[0].event_id) is None
    between = await delivery_reads.events_between(connection, MERCHANT, START, START + SECOND, limit=9)
    assert [one.event_id for one in between] == [one.event_id for one in told]


# --- what died


def a_letter(**changes: Any) -> DeadLetter:
    made = DeadLetter(
        id=new_id("dlq"), kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one", subject=b'{"notice":"x"}', reason_class="no_payment",
        reason="nobody", fingerprint="f", payload="{}", attempts=1, first_failed_at=START, last_failed_at=START,
    )  # fmt: skip
    return replace(made, **changes)


async def test_a_dead_notice_is_replayed_and_can_die_again(journal: Journal, connection: Connection) -> None:
    notice = a_notice()
    await journal.write([notice])
    letter = a_letter(subject=msgspec.json.encode(Subject(notice=notice.id)))
    dead = applied(notice, state=NoticeState.DEAD, outcome="no_payment")
    await enter(journal, "dead_letter", letter.id, 1, dead, letter)
    assert (await inbox_reads.due_notices(connection, START, limit=9), await dead_letters.count_open(connection)) == ([], {"webhook_in": 1})

    async def write(entry: Entry) -> Result:
        return (await journal.write([entry]))[0]

    change = dead_letters.replayed(letter, at=START + SECOND, by="cli:ann", reason="the payment is there now")
    await changed(connection, write, change, at=START, actor="cli:ann", cause="test")
    [due] = await inbox_reads.due_notices(connection, START + SECOND, limit=9)
    assert (due.id, due.state, due.tries) == (notice.id, NoticeState.RECEIVED, 0)
    resolved = await dead_letters.load(connection, letter.id)
    assert resolved is not None
    assert (resolved.state, resolved.resolved_by, resolved.resolution) == (
        *(DeadLetterState.REPLAYED, "cli:ann", "the payment is there now"),
    )
    with pytest.raises(ValueError, match="replayed already"):
        dead_letters.replayed(resolved, at=START, by="cli:ann")
    await enter(journal, "dead_letter", letter.id, 3, dead, replace(letter, attempts=2))
    again = await dead_letters.load(connection, letter.id)
    assert again is not None
    assert (again.state, again.attempts, again.resolved_at) == (DeadLetterState.OPEN, 2, None)


async def test_a_replay_of_what_has_taken_effect_meanwhile_changes_nothing(journal: Journal, connection: Connection) -> None:
    notice = a_notice()
    await journal.write([notice])
    await journal.write([applied(notice)])
    letter = a_letter(subject=msgspec.json.encode(Subject(notice=notice.id)))
    await enter(journal, "dead_letter", letter.id, 1, letter)

    async def write(entry: Entry) -> Result:
        return (await journal.write([entry]))[0]

    with pytest.raises(ChangeRefused, match="had its effect"):
        await changed(connection, write, dead_letters.replayed(letter, at=START, by="x"), at=START, actor="x", cause="test")
    kept = await dead_letters.load(connection, letter.id)
    assert kept is not None
    assert kept.state is DeadLetterState.OPEN


async def test_a_dead_delivery_is_replayed(journal: Journal, connection: Connection) -> None:
    delivery = Delivery(
        payment_id=new_id("pay"), event_id=new_id("evt"), endpoint_id=new_id("whe"), merchant_id=MERCHANT, type="payment.failed",
        state=DeliveryState.DEAD, created_at=START, attempts=10, last_error="answered 500",
    )  # fmt: skip
    letter = a_letter(kind=DeadLetterKind.WEBHOOK_OUT, subject=msgspec.json.encode(Subject(delivery=delivery)))
    await enter(journal, "dead_letter", letter.id, 1, delivery, letter)
    change = dead_letters.replayed(letter, at=START + SECOND, by="cli:ann")
    await enter(journal, "dead_letter", letter.id, 2, *change.rows)
    [again] = (await delivery_reads.deliveries_of(connection, [delivery.event_id]))[delivery.event_id]
    assert (again.state, again.attempts, again.next_attempt_at) == (DeliveryState.PENDING, 0, START + SECOND)


async def test_dead_letters_are_found_filtered_and_grouped(journal: Journal, connection: Connection) -> None:
    letters = [a_letter(fingerprint=f"f{n % 2}", origin="psp_two" if n == 4 else "psp_one") for n in range(5)]
    for letter in letters:
        await enter(journal, "dead_letter", letter.id, 1, letter)
    page, cursor = await dead_letters.find(connection, Filter(state=DeadLetterState.OPEN), limit=3)
    assert [one.id for one in page] == [one.id for one in reversed(letters)][:3]
    rest, end = await dead_letters.find(connection, Filter(state=DeadLetterState.OPEN), limit=3, after=cursor)
    assert ([one.id for one in rest], end) == ([letters[1].id, letters[0].id], None)
    assert [one.id for one in (await dead_letters.find(connection, Filter(origin="psp_two"), limit=9))[0]] == [letters[4].id]
    assert [(one.fingerprint, one.letters) for one in await dead_letters.groups(connection, Filter(), limit=9)] == [("f0", 3), ("f1", 2)]


async def test_a_letter_is_discarded_for_a_reason_only(journal: Journal, connection: Connection) -> None:
    letter = a_letter()
    await enter(journal, "dead_letter", letter.id, 1, letter)
    with pytest.raises(ValueError, match="for a reason"):
        dead_letters.discarded(letter, at=START, by="cli:ann", reason="  ")
    await enter(journal, "dead_letter", letter.id, 2, *dead_letters.discarded(letter, at=START, by="cli:ann", reason="a test").rows)
    assert await dead_letters.count_open(connection) == {}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute("DELETE FROM dead_letters")


async def test_payments_are_found_by_the_psps_ids_of_operations(journal: Journal, connection: Connection) -> None:
    taken, other = Story(), Story(connector="psp_two")
    for story in (taken, other):
        await journal.write([story.sent()])
        await journal.write([story.authorized()])
        await journal.write([story.capture_requested(1999)])
        await journal.write([story.captured()])
    await connection.execute("UPDATE payorch.operations SET psp_reference = 'ch_same'")
    found = await inbox_reads.find_payments(
        connection,
        [
            Reference(connector="psp_one", refers=Refers(psp=("ch_nobodys", "ch_same"), ours=(other.attempt.id,))),
            Reference(connector="psp_two", refers=Refers(psp=("ch_same",))),
            Reference(connector="psp_three", refers=Refers(psp=("ch_same",))),
        ],
    )
    assert found == [taken.payment_id, other.payment_id, None]
