"""The journal with the database at hand: what is written together, what is refused, and who is hurt by it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from payorch.domain import events as e
from payorch.domain.outcome import Approved
from payorch.domain.payment import AttemptState, Name, State
from payorch.store import reads
from payorch.store.driver import Connection
from payorch.store.items import Append, Appended, ClaimLost, Conflict, Entry, Item, Refused, Result
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id, rows_of


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


def kinds(results: list[Result]) -> list[str]:
    return [type(result).__name__ for result in results]


async def counts(connection: Connection) -> dict[str, int]:
    tables = ("journal", "payments", "attempts", "operations", "outbox", "idempotency_keys")
    return {table: (await rows_of(connection, f"SELECT count(*) FROM {table}"))[0][0] for table in tables}


async def test_both_commits_of_an_authorisation_write_everything(journal: Journal, connection: Connection) -> None:
    story = Story(reference="order-1")
    assert await journal.write([story.sent(claim=story.claim())]) == [Appended(4)]
    assert await counts(connection) == {"journal": 4, "payments": 1, "attempts": 1, "operations": 0, "outbox": 0, "idempotency_keys": 1}
    second = story.authorized(answer=story.answer(body=b'{"b": "\xc3\xbc"}'), outbox=(story.outbox(1),))
    assert await journal.write([second]) == [Appended(5, answer_stored=True)]

    assert await reads.load_payment(connection, story.payment_id) == story.now
    view = await rows_of(
        connection,
        "SELECT state, version, previous_version, amount, currency, capture, reference, connector, psp_reference, authorized, captured,"
        " unfinished, due_at, held, created_at, updated_at FROM payments",
    )
    expected = ("AUTHORIZED", 5, 4, 1999, "EUR", "manual", "order-1", "psp_one", story.attempt.psp_reference, 1999, 0, False, None, False)
    assert view == [(*expected, START, story.now.updated_at)]
    attempt = await rows_of(connection, "SELECT state, exclusive, call_body, psp_key_safe_until, next_action_at FROM attempts")
    assert attempt == [("AUTHORIZED", True, story.attempt.call.body, story.attempt.psp_key_safe_until, None)]
    assert await rows_of(connection, "SELECT sequence, type, body::text FROM outbox") == [(1, "payment.authorized", '{"sequence":1}')]
    stored = await reads.stored_answer(connection, story.merchant_id, "key-1")
    assert stored is not None
    assert (stored.status, stored.body, stored.payment_id) == (201, b'{"b": "\xc3\xbc"}', story.payment_id)


async def test_every_step_of_a_life_replays_to_the_same_payment(journal: Journal, connection: Connection) -> None:
    story = Story()
    steps: list[Callable[[], Append]] = [
        story.created,
        lambda: story.step(story.confirmation(), story.preparation()),
        story.authorized,
        lambda: story.capture_requested(1999),
        story.captured,
        lambda: story.refund_requested(500),
        lambda: story.refund_adopted(2000),
    ]
    for step in steps:
        assert kinds(await journal.write([step()])) == ["Appended"]
        assert await reads.load_payment(connection, story.payment_id) == story.now
    sums = await rows_of(connection, "SELECT authorized, captured, capture_reserved, refunded, refund_reserved, unfinished FROM payments")
    assert sums == [(1999, 1999, 0, 2000, 500, True)]


async def test_hashes_can_be_computed_from_the_columns_alone(journal: Journal, connection: Connection) -> None:
    """Written out by hand, so that the format cannot drift together with its code."""
    stories = [Story() for _ in range(3)]
    await journal.write([story.sent() for story in stories])
    await journal.write([story.authorized() for story in stories])
    previous = bytes(32)
    found = await rows_of(
        connection,
        "SELECT position, stream, stream_id, sequence, name, (extract(epoch FROM at) * 1000)::bigint, actor, cause, body::text, hash"
        " FROM journal ORDER BY position",
    )
    assert [row[0] for row in found] == list(range(1, 16))
    for position, stream, stream_id, sequence, name, at_ms, actor, cause, body, hash_ in found:
        parts = [position.to_bytes(8, "big"), stream.encode(), stream_id.bytes, sequence.to_bytes(4, "big"), name.encode()]
        parts += [at_ms.to_bytes(8, "big"), actor.encode(), cause.encode(), body.encode()]
        previous = sha256(previous + b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
        assert previous == hash_
    assert await rows_of(connection, "SELECT position, hash FROM journal_head") == [(15, previous)]


async def test_times_are_cut_to_milliseconds_in_column_and_hash(journal: Journal, database: Database, connection: Connection) -> None:
    from payorch.store.audit import verify

    story = Story(at=START + timedelta(microseconds=999_999))
    await journal.write([story.created()])
    assert (await rows_of(connection, "SELECT at FROM journal"))[0][0] == START + timedelta(milliseconds=999)
    assert (await verify(connection)).whole


# ---- idempotency keys


async def test_a_key_is_won_once_within_a_batch_and_across(journal: Journal, connection: Connection) -> None:
    first, second, third, neighbour = Story(), Story(), Story(), Story()
    results = await journal.write(
        [
            neighbour.sent(claim=neighbour.claim("other")),
            first.sent(claim=first.claim(request_id="req_a")),
            second.sent(claim=second.claim(request_id="req_b")),
        ]
    )
    assert kinds(results) == ["Appended", "Appended", "ClaimLost"]
    after = Story()
    results = await journal.write([third.sent(claim=third.claim(request_id="req_c")), after.sent(claim=after.claim("another"))])
    assert kinds(results) == ["ClaimLost", "Appended"]
    for story, there in ((first, True), (second, False), (third, False), (neighbour, True), (after, True)):
        assert (await reads.load_payment(connection, story.payment_id) is not None) is there
    stored = await reads.stored_answer(connection, first.merchant_id, "key-1")
    assert stored is not None
    assert (stored.payment_id, stored.request_id) == (first.payment_id, "req_a")


async def test_the_same_key_of_another_merchant_is_another_key(journal: Journal) -> None:
    one, other = Story(), Story(merchant_id=new_id("mer"))
    assert kinds(await journal.write([one.created(one.claim()), other.created(other.claim())])) == ["Appended", "Appended"]


async def test_keys_are_compared_by_their_bytes(journal: Journal) -> None:
    stories = [Story() for _ in range(4)]
    keys = ["a", "A", "a ", "á"]
    results = await journal.write([story.created(story.claim(key)) for story, key in zip(stories, keys, strict=True)])
    assert kinds(results) == ["Appended"] * 4


async def test_only_the_first_answer_stands(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent(claim=story.claim())])
    late, later = story.answer(status=202, body=b"late"), story.answer(status=202, body=b"later")
    assert await journal.write([late, later]) == [Appended(4, answer_stored=True), Appended(4)]
    assert await journal.write([story.authorized(answer=story.answer(body=b"final"))]) == [Appended(5)]
    stored = await reads.stored_answer(connection, story.merchant_id, "key-1")
    assert stored is not None
    assert (stored.status, stored.body) == (202, b"late")


async def test_an_answer_to_a_key_that_nobody_took_is_not_stored(journal: Journal, connection: Connection) -> None:
    assert await journal.write([Story().answer()]) == [Appended(0)]
    assert (await counts(connection))["idempotency_keys"] == 0


async def test_a_claim_may_bring_its_own_answer_and_no_event(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent()])
    refusal = Append(payment=story.now, expected_version=4, claim=story.claim(), answer=story.answer(status=409, body=b"no"))
    assert await journal.write([refusal]) == [Appended(4, answer_stored=True)]
    stored = await reads.stored_answer(connection, story.merchant_id, "key-1")
    assert stored is not None
    assert stored.status == 409
    again = replace(refusal, claim=story.claim(request_id="req_2"))
    assert await journal.write([again]) == [ClaimLost()]


async def test_an_answer_behind_its_claim_finds_it(journal: Journal) -> None:
    """Both may be waiting when the writer comes round: they go one after the other."""
    story = Story()
    results = await journal.write([story.sent(claim=story.claim()), story.answer(status=202)])
    assert results == [Appended(4), Appended(4, answer_stored=True)]


async def test_order_is_kept_among_items_that_have_to_wait(journal: Journal) -> None:
    """The second waits for the first because of the payment, and the third for the second because of the key."""
    story = Story()
    items: list[Item] = [story.created(), story.step(story.confirmation(), claim=story.claim()), story.answer()]
    assert await journal.write(items) == [Appended(1), Appended(2), Appended(2, answer_stored=True)]


async def test_a_written_item_handed_in_again_is_told_so(journal: Journal) -> None:
    story = Story()
    item = story.sent(claim=story.claim())
    await journal.write([item])
    assert await journal.write([item]) == [Conflict()]


# ---- versions


async def test_two_steps_of_one_payment_in_one_batch_are_written_in_order(journal: Journal, connection: Connection) -> None:
    story = Story()
    items = [story.created(), story.noted("1"), story.noted("2")]
    assert kinds(await journal.write(items)) == ["Appended"] * 3
    assert await reads.load_payment(connection, story.payment_id) == story.now


async def test_whoever_comes_second_to_a_version_is_in_conflict(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent()])
    before = replace(story.now)
    mine = story.authorized()
    others = Story(payment=before, payment_id=story.payment_id)
    theirs = others.noted()
    neighbours = [Story(), Story()]
    assert kinds(await journal.write([mine])) == ["Appended"]
    batch = [neighbours[0].created(), theirs, neighbours[1].created()]
    assert kinds(await journal.write(batch)) == ["Appended", "Conflict", "Appended"]
    assert await reads.load_payment(connection, story.payment_id) == story.now


async def test_a_step_that_would_leave_a_gap_is_in_conflict(journal: Journal, connection: Connection) -> None:
    """Its author went on from a step that was never written: for an existing payment, and for one that does not exist."""
    existing, missing = Story(), Story()
    await journal.write([existing.created()])
    existing.noted()
    missing.created()
    assert await journal.write([existing.noted(), missing.noted()]) == [Conflict(), Conflict()]
    assert await counts(connection) == {"journal": 1, "payments": 1, "attempts": 0, "operations": 0, "outbox": 0, "idempotency_keys": 0}


# ---- refusals, and their neighbours


def _wrong_kind_of_data(story: Story) -> Append:
    item = story.created()
    return replace(item, events=(replace(item.events[0], data=e.HoldEnded(reason="x")),))


def _amount_out_of_bounds(story: Story) -> Append:
    return Story(minor=10**12 + 1, payment_id=story.payment_id).created()


def _no_amount(story: Story) -> Append:
    return Story(minor=0, payment_id=story.payment_id).created()


def _malformed_id(story: Story) -> Append:
    story.merchant_id = "mer_x"
    return story.created()


def _half_a_surrogate(story: Story) -> Append:
    item = story.created()
    return replace(item, events=(replace(item.events[0], actor="\ud800"),))


def _nul_in_a_cause(story: Story) -> Append:
    item = story.created()
    return replace(item, events=(replace(item.events[0], cause="a\0b"),))


def _unindexable_reference(story: Story) -> Append:
    story.reference = "".join(chr(33 + (n * n * 7919 + n) % 9000) for n in range(9000))
    return story.created()


def _wrong_count(story: Story) -> Append:
    return replace(story.created(), expected_version=3)


def _attempt_for_more(story: Story) -> Append:
    return story.sent(attempt=story.new_attempt(minor=story.minor + 1))


def _empty_key(story: Story) -> Append:
    return story.created(claim=story.claim(""))


@pytest.mark.parametrize(
    "poison",
    [
        _wrong_kind_of_data,
        _amount_out_of_bounds,
        _no_amount,
        _malformed_id,
        _half_a_surrogate,
        _nul_in_a_cause,
        _unindexable_reference,
        _wrong_count,
        _attempt_for_more,
        _empty_key,
    ],
)
async def test_a_poison_item_hurts_nobody_else(journal: Journal, connection: Connection, poison: Any) -> None:
    good = [Story() for _ in range(6)]
    items = [story.sent(claim=story.claim(f"key-{n}")) for n, story in enumerate(good)]
    items.insert(2, poison(Story()))
    results = await journal.write(items)
    assert isinstance(results.pop(2), Refused)
    assert kinds(results) == ["Appended"] * 6
    positions = sorted(result.position for result in results if isinstance(result, Appended))
    assert positions == [4, 8, 12, 16, 20, 24]
    for story in good:
        assert await reads.load_payment(connection, story.payment_id) == story.now
    assert (await counts(connection))["payments"] == 6


async def test_a_refusal_does_not_repeat_what_was_in_the_row(journal: Journal) -> None:
    story = Story(minor=10**12 + 1, reference="secret-reference")
    [result] = await journal.write([story.created()])
    assert isinstance(result, Refused)
    assert "payments_amount" in result.reason
    assert "secret" not in result.reason


async def test_poison_conflict_and_lost_claim_in_one_batch(journal: Journal, connection: Connection) -> None:
    taken, moved = Story(), Story()
    await journal.write([taken.created(taken.claim("taken")), moved.created()])
    stale = Story(payment=replace(moved.now), payment_id=moved.payment_id)
    await journal.write([moved.noted()])
    loser, good = Story(), [Story() for _ in range(5)]
    items: list[Item] = [
        good[0].created(good[0].claim("a")),
        loser.created(loser.claim("taken", "req_9")),
        good[1].created(),
        stale.noted(),
    ]
    items += [good[2].created(), _amount_out_of_bounds(Story()), good[3].created(), good[4].created(good[4].claim("b"))]
    results = await journal.write(items)
    assert kinds(results) == ["Appended", "ClaimLost", "Appended", "Conflict", "Appended", "Refused", "Appended", "Appended"]
    assert (await counts(connection))["payments"] == 2 + 5


# ---- money


async def test_no_second_attempt_while_one_may_hold_money(journal: Journal) -> None:
    story = Story()
    await journal.write([story.sent()])
    for state in (AttemptState.PREPARED, AttemptState.UNKNOWN, AttemptState.AUTHORIZED, AttemptState.CHARGED):
        first = replace(story.attempt, state=state)
        second = story.new_attempt()
        note = story.noted(state)
        item = replace(note, attempts=(first, second))
        [result] = await journal.write([item])
        assert isinstance(result, Refused)
        assert "attempts" in result.reason
        # It was refused as a whole: the payment stands where it stood.
        story.payment = replace(story.now, version=story.now.version - 1)


async def test_the_next_attempt_may_be_prepared_in_the_commit_that_closes_the_last(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent()])
    failover = story.step(story.decline(), story.preparation())
    assert len(failover.attempts) == 2
    reordered = replace(failover, attempts=tuple(reversed(failover.attempts)))
    assert kinds(await journal.write([reordered])) == ["Appended"]
    found = await rows_of(connection, "SELECT state, exclusive FROM attempts ORDER BY id")
    assert found == [("DECLINED", False), ("PREPARED", True)]


async def test_a_late_success_of_a_closed_attempt_is_written(journal: Journal, connection: Connection) -> None:
    """By then another attempt holds the money: an alarm, and not to be forbidden."""
    story = Story()
    await journal.write([story.sent()])
    await journal.write([story.step(story.decline(), story.preparation())])
    await journal.write([story.authorized()])
    late = e.AttemptChange(attempt_id=story.now.attempts[0].id, state=AttemptState.CHARGED, evidence=story.evidence(Approved()))
    assert kinds(await journal.write([story.step((Name.SECOND_SUCCESS, State.MANUAL_REVIEW, late))])) == ["Appended"]
    found = await rows_of(connection, "SELECT state, exclusive FROM attempts ORDER BY id")
    assert found == [("CHARGED", False), ("AUTHORIZED", True)]
    assert await reads.load_payment(connection, story.payment_id) == story.now


async def test_a_psp_key_serves_one_attempt(journal: Journal) -> None:
    story = Story()
    await journal.write([story.sent()])
    again = story.step(story.decline(), story.preparation(story.new_attempt(psp_key=story.attempt.psp_key)))
    assert kinds(await journal.write([again])) == ["Refused"]


@pytest.mark.parametrize(("minor", "expected"), [(1999, "Appended"), (2000, "Refused")])
async def test_a_capture_fits_into_what_is_authorised(journal: Journal, minor: int, expected: str) -> None:
    story = Story()
    await journal.write([story.sent(), story.authorized()])
    assert kinds(await journal.write([story.capture_requested(minor)])) == [expected]


async def test_refunds_fit_together_into_what_was_captured(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent(), story.authorized(), story.capture_requested(1999), story.captured(), story.refund_requested(1500)])
    before = replace(story.now)
    # The first is still in flight and keeps its amount.
    assert kinds(await journal.write([story.refund_requested(500)])) == ["Refused"]
    story.payment = before
    assert kinds(await journal.write([story.refund_requested(499)])) == ["Appended"]


async def test_what_the_psp_refunded_on_its_own_is_written_whatever_it_is(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent(), story.authorized(), story.capture_requested(1999), story.captured(), story.refund_requested(1999)])
    assert kinds(await journal.write([story.refund_adopted(5000)])) == ["Appended"]
    assert await rows_of(connection, "SELECT captured, refunded, refund_reserved FROM payments") == [(1999, 5000, 1999)]
    assert kinds(await journal.write([story.refund_requested(1)])) == ["Refused"]


async def test_a_psp_reference_that_text_cannot_hold_is_still_written(journal: Journal, connection: Connection) -> None:
    story = Story()
    await journal.write([story.sent()])
    evidence = replace(story.evidence(Approved()), psp_reference="pi\0_1")
    change = e.AttemptChange(attempt_id=story.attempt.id, state=AttemptState.AUTHORIZED, evidence=evidence)
    assert kinds(await journal.write([story.step((Name.PROVIDER_AUTHORIZED, State.AUTHORIZED, change))])) == ["Appended"]
    assert await rows_of(connection, "SELECT psp_reference FROM attempts") == [("pi\ufffd_1",)]
    assert await reads.load_payment(connection, story.payment_id) == story.now


# ---- other streams


async def test_other_streams_share_order_and_chain(journal: Journal, connection: Connection) -> None:
    act = Entry(
        stream="act", stream_id=new_id("act"), sequence=1, name="Refused", at=START, actor="operator:ann", cause="req_1", body=b'{"a":1}'
    )
    story = Story()
    assert await journal.write([story.created(), act, replace(act, sequence=2)]) == [Appended(1), Appended(2), Appended(3)]
    assert await journal.write([act]) == [Conflict()]
    found = await reads.tail(connection, 1, limit=10)
    assert [(row.position, row.stream, row.stream_id, row.sequence, row.body) for row in found] == [
        (2, "act", act.stream_id, 1, '{"a":1}'),
        (3, "act", act.stream_id, 2, '{"a":1}'),
    ]


async def test_an_entry_cannot_pass_for_a_payments_event(journal: Journal) -> None:
    story = Story()
    await journal.write([story.created()])
    entry = Entry(stream="payment", stream_id=story.payment_id, sequence=2, name="Confirmed", at=START, actor="x", cause="y")
    assert kinds(await journal.write([entry, replace(entry, stream="act")])) == ["Refused", "Refused"]


async def test_more_than_fits_into_one_statement_goes_into_several(journal: Journal, connection: Connection) -> None:
    stories = [Story() for _ in range(300)]
    results = await journal.write([story.created() for story in stories])
    assert results == [Appended(n) for n in range(1, 301)]
    assert journal.statistics().batches_total == 2
