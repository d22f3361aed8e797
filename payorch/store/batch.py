"""From items to one statement: each item as rows, the rows of a batch as columns, its records chained to the journal's head.

Pure. Encoding an item does not depend on the head, so a batch whose place was taken is linked again, not encoded again. Not here: when a
batch is written and what its failure means (`journal`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Final, assert_never
from uuid import UUID

from msgspec import Struct
from psycopg.types.numeric import Int8

from payorch.domain import events
from payorch.domain.act_records import ActRecord, Plan
from payorch.domain.disputes import Dispute
from payorch.domain.identifiers import bytes_of
from payorch.domain.payment import AttemptState, Name
from payorch.domain.records import Attempt, Fence, Operation, OperationKind, Payment
from payorch.store import audit, rows, tables
from payorch.store.act_rows import plan_row
from payorch.store.entry_rows import arrival, entry_row, erasures, notice, touched
from payorch.store.items import (
    PAYMENT_STREAM,
    STREAMS,
    Answer,
    Append,
    Arrival,
    Claim,
    Delivery,
    Entry,
    Erasure,
    Item,
    NoticeMark,
    OperatorTokenUsed,
    OutboxRow,
    PlansForgotten,
    is_exclusive,
)
from payorch.store.movement_rows import movement
from payorch.store.rows import NULL, Row, Table, bigint, boolean, integer, learned_words, moment, raw, uuid, words

_PAYMENT_STREAM: Final = words(PAYMENT_STREAM)
_NAMES: Final = {name: words(name) for name in Name}


class Head(Struct, frozen=True, kw_only=True, gc=False):
    """The end of the journal as one process knows it: its last position and hash, and that process's epoch."""

    position: int
    hash: bytes
    epoch: int


class Record(Struct, frozen=True, kw_only=True, gc=False):
    """One row of the journal without its position and hash, and what is hashed of it."""

    stream_id: bytes
    sequence: int
    row: Row
    content: bytes


class Encoded(Struct, frozen=True, kw_only=True, gc=False):
    """An item as rows. `touches`: what no other item of the same statement may touch, since a statement changes a row once.

    answer: the row of an answer to a key that was claimed before. answered_claim: the answer is part of the claim's own row. arrival: the
    id of the notice that is to be stored.
    """

    records: tuple[Record, ...]
    rows: tuple[tuple[Table, Row], ...]
    touches: frozenset[Hashable]
    claim: Claim | None = None
    answer: Row | None = None
    answered_claim: bool = False
    arrival: UUID | None = None


class Batch(Struct, frozen=True, kw_only=True, gc=False):
    """One statement and what it makes of the head. `positions`: per item the last one of its records.

    answering: the numbers of the items with an answer, in the order of the statement's answers.
    """

    statement: str
    parameters: list[Any]
    head: Head
    positions: tuple[int, ...]
    answering: tuple[int, ...]
    answers: tuple[Row, ...]
    last: Record | None


def encode(item: Item) -> Encoded:
    """The item as rows. Raises an Exception of whatever kind where the item is not sound; that is a bug of whoever made it."""
    match item:
        case Append():
            return _append(item)
        case Answer():
            answer = _answer(item)
            return Encoded(records=(), rows=(), touches=frozenset({(answer[0], item.key)}), answer=answer)
        case Entry():
            return _entry(item)
        case Arrival():
            id = bytes_of(item.id)
            named = frozenset({(item.connector, item.identity)})  # of two in one statement the second must meet the first
            return Encoded(records=(), rows=((tables.INBOX, arrival(item)),), touches=named, arrival=UUID(bytes=id))
        case NoticeMark() | Delivery() | OperatorTokenUsed() | Plan() | ActRecord() | PlansForgotten():
            table, row = plan_row(item) if isinstance(item, Plan | PlansForgotten) else entry_row(item)
            return Encoded(records=(), rows=((table, row),), touches=touched(item))
        case Erasure():
            return Encoded(records=(), rows=erasures(item), touches=frozenset({Erasure}))
        case _ as never:
            assert_never(never)


def link(items: Sequence[Encoded], head: Head) -> Batch:
    """The statement that writes these items after `head`: positions and hashes are given here."""
    end, last, chained, positions = _chain(items, head)
    by_table: dict[Table, list[Row]] = {tables.JOURNAL: chained} if chained else {}
    answering: list[int] = []
    for number, item in enumerate(items):
        for table, row in item.rows:
            by_table.setdefault(table, []).append(row)
        if item.answer is not None:
            by_table.setdefault(tables.ANSWERS, []).append(item.answer)
            answering.append(number)
    tables_touched = tuple(sorted(by_table, key=lambda table: table.rank))
    parameters: list[Any] = [Int8(head.position), head.hash, Int8(head.epoch), Int8(end.position), end.hash]
    for table in tables_touched:
        parameters += table.arrays(by_table[table])
    return Batch(
        statement=tables.statement(tables_touched),
        parameters=parameters,
        head=end,
        positions=tuple(positions),
        answering=tuple(answering),
        answers=tuple(by_table.get(tables.ANSWERS, ())),
        last=last,
    )


def _chain(items: Sequence[Encoded], head: Head) -> tuple[Head, Record | None, list[Row], list[int]]:
    """All records with positions and hashes: where the head goes, the last of them, their rows, and the last position of each item."""
    position, hash_, last = head.position, head.hash, None
    chained: list[Row] = []
    positions: list[int] = []
    for item in items:
        for record in item.records:
            position += 1
            frame = bigint(position)
            hash_ = audit.link(hash_, frame, record.content)
            chained.append((frame, *record.row, raw(hash_)))
            last = record
        positions.append(position)
    return Head(position=position, hash=hash_, epoch=head.epoch), last, chained, positions


def apart(items: Sequence[Encoded], limit: int) -> tuple[list[int], list[int]]:
    """Numbers of the items that may go into one statement together (at most `limit`), and of those that have to wait for the next.

    Order is kept among items that touch the same thing.
    """
    taken: set[Hashable] = set()
    now: list[int] = []
    later: list[int] = []
    for number, item in enumerate(items):
        fits = len(now) < limit and taken.isdisjoint(item.touches)
        (now if fits else later).append(number)
        taken |= item.touches
    return now, later


def _append(item: Append) -> Encoded:
    _check(item)
    payment, claim, answer = item.payment, item.claim, item.answer
    payment_id, merchant_id = uuid(bytes_of(payment.id)), uuid(bytes_of(payment.merchant_id))
    made = _changes(item, payment_id, merchant_id) if item.events else []
    touches: set[Hashable] = {payment_id}
    # Its own answer goes into the claim's row: an UPDATE in the same statement would not see it.
    answered_claim = claim is not None and answer is not None and (answer.merchant_id, answer.key) == (claim.merchant_id, claim.key)
    if claim is not None:
        made.append((tables.CLAIMS, _claim(claim, payment_id, answer if answered_claim else None)))
        touches.add((merchant_id, claim.key))
    if item.notice is not None:
        made.append((tables.NOTICES, notice(item.notice)))
        touches |= touched(item.notice)
    answer_row = None if answer is None or answered_claim else _answer(answer)
    if answer is not None and answer_row is not None:
        touches.add((answer_row[0], answer.key))
    return Encoded(
        records=_records(item, payment_id),
        rows=tuple(made),
        touches=frozenset(touches),
        claim=claim,
        answer=answer_row,
        answered_claim=answered_claim,
    )


def _changes(item: Append, payment_id: bytes, merchant_id: bytes) -> list[tuple[Table, Row]]:
    made: list[tuple[Table, Row]] = [(tables.PAYMENTS, _payment(item.payment, payment_id, merchant_id, item.expected_version))]
    # Those that give way first: see tables.ATTEMPTS.
    ordered = sorted(item.attempts, key=lambda one: is_exclusive(one.state)) if len(item.attempts) > 1 else item.attempts
    made += [(tables.ATTEMPTS, _attempt(one, payment_id)) for one in ordered]
    made += [(tables.OPERATIONS, _operation(one, payment_id)) for one in item.operations]
    made += [(tables.DISPUTES, _dispute(one, payment_id, merchant_id)) for one in item.disputes]
    made += [(tables.MOVEMENTS, movement(one)) for one in item.movements]
    made += [(tables.OUTBOX, _outbox(one, item.payment, payment_id, merchant_id)) for one in item.outbox]
    return made


def _check(item: Append) -> None:
    """What must fit together inside a step. A step that does not is a bug, and must not get as far as the chain."""
    payment, events_ = item.payment, item.events
    if payment.version - item.expected_version != len(events_):
        raise ValueError("the events do not lead from the expected version to the payment's")
    if not events_:
        if item.attempts or item.operations or item.disputes or item.movements or item.outbox:
            raise ValueError("a payment changes by events only")
    elif events_[-1].to is not payment.state:
        raise ValueError("the payment is not in the state of its last event")
    elif (events_[0].name is Name.PAYMENT_CREATED) != (item.expected_version == 0):
        raise ValueError("a payment begins with PaymentCreated, at version 1")
    claim = item.claim
    if claim is not None and (claim.payment_id != payment.id or claim.merchant_id != payment.merchant_id):
        raise ValueError("the claim is another payment's or merchant's")
    for one in item.movements:
        if one.payment_id != payment.id or not item.expected_version < one.sequence <= payment.version:
            raise ValueError("money moves by one of the step's own events only")
    if len({(one.sequence, one.subject_id) for one in item.movements}) != len(item.movements):
        raise ValueError("an event moves a subject's money once")
    for attempt in item.attempts:
        # Only where we cause it: a bound on what we ask for must not keep an answer from being written.
        if attempt.state is AttemptState.PREPARED and attempt.amount > payment.intent.amount:
            raise ValueError("an attempt asks for more than the payment")


def _records(item: Append, payment_id: bytes) -> tuple[Record, ...]:
    records = []
    for sequence, event in enumerate(item.events, start=item.expected_version + 1):
        by_whom = (words(event.actor), words(event.cause), raw(events.encode(event)))
        what = (_PAYMENT_STREAM, payment_id, integer(sequence), _NAMES[event.name])
        records.append(_record(payment_id, sequence, what, rows.milliseconds(event.at), by_whom))
    return tuple(records)


def _record(stream_id: bytes, sequence: int, what: Row, at_ms: int, by_whom: Row) -> Record:
    """what: the frames of stream, stream id, sequence and name; by_whom: those of actor, cause and body."""
    return Record(
        stream_id=stream_id,
        sequence=sequence,
        row=(*what, rows.moment_of_ms(at_ms), *by_whom),
        content=audit.content(what, bigint(at_ms), by_whom),
    )


def _entry(item: Entry) -> Encoded:
    if not item.stream_id.startswith(STREAMS[item.stream] + "_") or item.stream == PAYMENT_STREAM:
        raise ValueError("that stream has no such member, or belongs to payments")
    stream_id = uuid(bytes_of(item.stream_id))
    what = (words(item.stream), stream_id, integer(item.sequence), words(item.name))
    by_whom = (words(item.actor), words(item.cause), raw(item.body))
    record = _record(stream_id, item.sequence, what, rows.milliseconds(item.at), by_whom)
    touches = frozenset({stream_id}).union(*[touched(row) for row in item.rows])
    return Encoded(records=(record,), rows=tuple([entry_row(row) for row in item.rows]), touches=touches)


def _payment(payment: Payment, payment_id: bytes, merchant_id: bytes, previous_version: int) -> Row:
    intent = payment.intent
    # The attempt that people mean when they say "the payment's connector".
    open_attempt, due_at = payment.open_attempt, payment.due_at
    attempt = payment.holding_attempt or open_attempt or (payment.attempts[-1] if payment.attempts else None)
    unfinished = due_at is not None or open_attempt is not None or bool(payment.open_operations(*OperationKind))
    return (
        payment_id,
        merchant_id,
        words(payment.state),
        integer(payment.version),
        integer(previous_version),
        bigint(intent.amount.minor),
        words(intent.amount.currency),
        words(intent.capture),
        words(intent.reference),
        words(attempt.connector if attempt is not None else None),
        learned_words(attempt.psp_reference if attempt is not None else None),
        bigint(payment.authorized_minor),
        bigint(payment.captured_minor),
        bigint(payment.capture_reserved_minor),
        bigint(payment.refunded_minor),
        bigint(payment.refund_reserved_minor),
        boolean(unfinished),
        moment(due_at),
        boolean(payment.hold is not None),
        moment(payment.created_at),
        moment(payment.updated_at),
    )


def _fence(fence: Fence | None) -> Row:
    if fence is None:
        return NULL, NULL, NULL, NULL, NULL
    call = fence.call
    return words(fence.psp_key), words(call.method), words(call.path), words(call.content_type), words(call.body)


def _attempt(attempt: Attempt, payment_id: bytes) -> Row:
    call = attempt.call
    return (
        payment_id,
        uuid(bytes_of(attempt.id)),
        words(attempt.connector),
        words(attempt.state),
        boolean(is_exclusive(attempt.state)),
        bigint(attempt.amount.minor),
        words(attempt.amount.currency),
        words(attempt.psp_key),
        moment(attempt.psp_key_safe_until),
        words(call.method),
        words(call.path),
        words(call.content_type),
        words(call.body),
        learned_words(attempt.psp_reference),
        learned_words(attempt.money_reference),
        *_fence(attempt.fence),
        moment(attempt.next_action_at),
        moment(attempt.created_at),
        moment(attempt.updated_at),
    )


def _operation(operation: Operation, payment_id: bytes) -> Row:
    call = operation.call
    return (
        payment_id,
        uuid(bytes_of(operation.id)),
        uuid(bytes_of(operation.attempt_id)),
        words(operation.kind),
        words(operation.state),
        words(operation.origin),
        bigint(operation.amount.minor),
        words(operation.amount.currency),
        boolean(operation.final),
        words(operation.psp_key),
        moment(operation.psp_key_safe_until),
        words(call.method if call is not None else None),
        words(call.path if call is not None else None),
        words(call.content_type if call is not None else None),
        words(call.body if call is not None else None),
        learned_words(operation.psp_reference),
        learned_words(operation.reason),
        learned_words(operation.reference),
        moment(operation.next_action_at),
        boolean(operation.in_review),
        moment(operation.created_at),
        moment(operation.updated_at),
    )


def _dispute(dispute: Dispute, payment_id: bytes, merchant_id: bytes) -> Row:
    return (
        payment_id,
        uuid(bytes_of(dispute.id)),
        merchant_id,
        uuid(bytes_of(dispute.attempt_id)),
        learned_words(dispute.psp_reference),
        words(dispute.stage),
        words(dispute.status),
        bigint(dispute.amount.minor),
        words(dispute.amount.currency),
        learned_words(dispute.reason),
        moment(dispute.respond_by),
        moment(dispute.created_at),
        moment(dispute.updated_at),
    )


def _outbox(row: OutboxRow, payment: Payment, payment_id: bytes, merchant_id: bytes) -> Row:
    event_id = uuid(bytes_of(row.event_id))
    return (payment_id, integer(row.sequence), event_id, merchant_id, words(row.type), raw(row.body), moment(payment.updated_at))


def _claim(claim: Claim, payment_id: bytes, answer: Answer | None) -> Row:
    return (
        uuid(bytes_of(claim.merchant_id)),
        words(claim.key),
        raw(claim.fingerprint),
        words(claim.method_path),
        payment_id,
        words(claim.subject_id),
        words(claim.request_id),
        moment(claim.created_at),
        *((NULL, NULL, NULL) if answer is None else _answer(answer)[2:]),
    )


def _answer(answer: Answer) -> Row:
    return (
        uuid(bytes_of(answer.merchant_id)),
        words(answer.key),
        moment(answer.at),
        integer(answer.status),
        raw(answer.body),
    )
