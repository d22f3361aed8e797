"""What the books check asks the database: payments as they are kept, page by page, and questions about all rows at once.

Everything is read; nothing is judged here but by `payorch.domain.books_own` and its neighbours. Inside `one_moment` all reads see the same
state, so whatever does not fit together then never did, however much the platform writes meanwhile. The role that runs the platform may
ask all of it. Statements over whole tables take seconds per million rows: give the connection the patience for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.books_own import AttemptView, DisputeView, Kept, OperationView, PaymentView
from payorch.domain.events import Event, UnreadableEvent, decode
from payorch.domain.evolve import replay
from payorch.domain.identifiers import uuid_of
from payorch.domain.payment import IllegalTransition
from payorch.domain.records import Payment
from payorch.store import ledger
from payorch.store.driver import Connection
from payorch.store.query import all_rows

SHOWN_LIMIT: Final = 1000
"""Rows that one question answers with at most. Where a thousand are wrong, the next thousand tell nothing new."""

FIRST: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Sums over the rows of one merchant's payments in one currency, minor units."""

    merchant_id: str
    currency: str
    payments: int
    authorized: int
    captured: int
    refunded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """A key with its answer, as far as the check reads it. `body` is None while there is no answer."""

    merchant_id: UUID
    key: str
    payment_id: str
    subject_id: str | None
    fingerprint: bytes
    status: int | None
    body: bytes | None


@asynccontextmanager
async def one_moment(connection: Connection) -> AsyncIterator[None]:
    """All reads inside see one state, and nothing can be written."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


async def count(connection: Connection, first: UUID) -> int:
    """How many payments there are from that identifier on."""
    rows = await all_rows(connection, "SELECT count(*) FROM payorch.payments WHERE id >= $1", [first])
    return int(rows[0][0])


async def next_ids(connection: Connection, after: UUID, *, limit: int) -> list[UUID]:
    """The payments after that one, oldest first."""
    rows = await all_rows(connection, "SELECT id FROM payorch.payments WHERE id > $1 ORDER BY id LIMIT $2", [after, Int8(limit)])
    return [row[0] for row in rows]


async def kept(connection: Connection, ids: Sequence[UUID]) -> list[Kept]:
    """Those payments, as journal and rows have them; one that is nowhere has neither. Give it a page."""
    wanted = list(ids)
    events = await all_rows(connection, _EVENTS, [wanted])
    views = {row[0]: _view(row[1:]) for row in await all_rows(connection, _VIEWS, [wanted])}
    attempts = _grouped(await all_rows(connection, _ATTEMPTS, [wanted]))
    operations = _grouped(await all_rows(connection, _OPERATIONS, [wanted]))
    disputes = _grouped(await all_rows(connection, _DISPUTES, [wanted]))
    moved = await ledger.movements_of(connection, wanted)
    histories = _grouped(events)
    found = []
    for id_ in wanted:
        history = histories.get(id_, [])
        payment, problem = _replayed(history)
        found.append(
            Kept(
                id=identifiers.text("pay", id_),
                payment=payment,
                problem=problem,
                sequences=tuple(row[0] for row in history),
                view=views.get(id_),
                attempts=tuple(_attempt(row) for row in attempts.get(id_, [])),
                operations=tuple(_operation(row) for row in operations.get(id_, [])),
                disputes=tuple(_dispute(row) for row in disputes.get(id_, [])),
                movements=tuple(moved.get(id_, ())),
            )
        )
    return found


async def strays(connection: Connection, after: UUID, last: UUID | None, ids: Sequence[UUID]) -> list[tuple[str, str]]:
    """(table, payment) of rows between two payments (the second included; None: to the end) that belong to none of the payments there."""
    found: list[tuple[str, str]] = []
    for table, query in _STRAYS.items():
        rows = await all_rows(connection, query, [after, last or UUID(int=2**128 - 1), list(ids), Int8(SHOWN_LIMIT)])
        found += [(table, identifiers.text("pay", row[0])) for row in rows]
    return found


async def versions(connection: Connection, payment_ids: Sequence[str]) -> dict[str, int]:
    """How far each payment's journal has come."""
    query = "SELECT stream_id, max(sequence) FROM payorch.journal WHERE stream_id = ANY($1::uuid[]) GROUP BY stream_id"
    rows = await all_rows(connection, query, [[uuid_of(one) for one in payment_ids]])
    return {identifiers.text("pay", row[0]): row[1] for row in rows}


async def owners(connection: Connection, attempt_ids: Sequence[str]) -> dict[str, str]:
    """attempt -> its payment, of those attempts that exist. Reads the whole table: ask once, for all."""
    rows = await all_rows(
        connection, "SELECT id, payment_id FROM payorch.attempts WHERE id = ANY($1::uuid[])", [[uuid_of(one) for one in attempt_ids]]
    )
    return {identifiers.text("att", row[0]): identifiers.text("pay", row[1]) for row in rows}


async def totals(connection: Connection, first: UUID) -> list[Total]:
    """Per merchant and currency, over the payments from that identifier on."""
    rows = await all_rows(
        connection,
        "SELECT merchant_id, currency, count(*), sum(authorized)::bigint, sum(captured)::bigint, sum(refunded)::bigint"
        " FROM payorch.payments WHERE id >= $1 GROUP BY merchant_id, currency ORDER BY merchant_id, currency",
        [first],
    )
    return [
        Total(
            merchant_id=identifiers.text("mer", row[0]), currency=row[1], payments=row[2], authorized=row[3], captured=row[4],
            refunded=row[5],
        )
        for row in rows
    ]  # fmt: skip


async def merchant_names(connection: Connection) -> dict[str, str]:
    """merchant -> its name."""
    return {identifiers.text("mer", row[0]): row[1] for row in await all_rows(connection, "SELECT id, name FROM payorch.merchants", [])}


async def doubled_keys(connection: Connection, first: UUID) -> list[tuple[str, list[str]]]:
    """PSP keys that more than one attempt or operation has, with their payments."""
    rows = await all_rows(connection, _DOUBLED_KEYS, [first, Int8(SHOWN_LIMIT)])
    return [(row[0], [identifiers.text("pay", one) for one in row[1]]) for row in rows]


async def claims_astray(connection: Connection, first: UUID) -> list[tuple[str, str, str]]:
    """(merchant, key, payment) of idempotency keys that lead to no payment of that merchant."""
    rows = await all_rows(connection, _CLAIMS_ASTRAY, [first, Int8(SHOWN_LIMIT)])
    return [(identifiers.text("mer", row[0]), row[1], identifiers.text("pay", row[2])) for row in rows]


async def creations(connection: Connection, first: UUID, method_path: str) -> list[tuple[str, int]]:
    """Payments that were not made under exactly one idempotency key, and under how many."""
    rows = await all_rows(connection, _CREATIONS, [first, method_path, Int8(SHOWN_LIMIT)])
    return [(identifiers.text("pay", row[0]), row[1]) for row in rows]


async def stored_answers(connection: Connection, first: UUID, after: tuple[UUID, str], *, limit: int) -> list[StoredAnswer]:
    """A page of idempotency keys with what they were answered, in order of merchant and key."""
    rows = await all_rows(
        connection,
        "SELECT merchant_id, key, payment_id, subject_id, fingerprint, status, body FROM payorch.idempotency_keys"
        " WHERE (merchant_id, key) > ($1, $2) AND payment_id >= $3 ORDER BY merchant_id, key LIMIT $4",
        [*after, first, Int8(limit)],
    )
    return [
        StoredAnswer(
            merchant_id=row[0], key=row[1], payment_id=identifiers.text("pay", row[2]), subject_id=row[3], fingerprint=row[4],
            status=row[5], body=row[6],
        )
        for row in rows
    ]  # fmt: skip


_EVENTS: Final = """
SELECT stream_id, sequence, name, at, actor, cause, body::text FROM payorch.journal WHERE stream_id = ANY($1::uuid[])
ORDER BY stream_id, sequence
"""
_VIEWS: Final = """
SELECT id, merchant_id, state, version, amount, currency, capture, reference, connector, psp_reference, authorized, captured,
    capture_reserved, refunded, refund_reserved, unfinished, due_at, held, created_at, updated_at
FROM payorch.payments WHERE id = ANY($1::uuid[])
"""
_ATTEMPTS: Final = """
SELECT payment_id, id, connector, state, exclusive, amount, currency, psp_key, psp_reference, money_reference, fence_key, next_action_at
FROM payorch.attempts WHERE payment_id = ANY($1::uuid[])
"""
_OPERATIONS: Final = """
SELECT payment_id, id, attempt_id, kind, state, origin, amount, currency, psp_key, psp_reference, next_action_at, in_review
FROM payorch.operations WHERE payment_id = ANY($1::uuid[])
"""
_DISPUTES: Final = """
SELECT payment_id, id, merchant_id, attempt_id, psp_reference, stage, status, amount, currency, reason, respond_by, created_at, updated_at
FROM payorch.disputes WHERE payment_id = ANY($1::uuid[])
"""
_STRAY: Final = "SELECT DISTINCT {0} FROM payorch.{1} WHERE {0} > $1 AND {0} <= $2 AND NOT {0} = ANY($3::uuid[]) {2} LIMIT $4"
_STRAYS: Final = {
    "journal": _STRAY.format("stream_id", "journal", "AND stream = 'payment' AND sequence = 1"),
    "attempts": _STRAY.format("payment_id", "attempts", ""),
    "operations": _STRAY.format("payment_id", "operations", ""),
    "disputes": _STRAY.format("payment_id", "disputes", ""),
    "outbox": _STRAY.format("payment_id", "outbox", ""),
    "movements": _STRAY.format("payment_id", "movements", ""),
}
_DOUBLED_KEYS: Final = """
SELECT psp_key, array_agg(DISTINCT payment_id) FROM (
    SELECT psp_key, payment_id FROM payorch.attempts WHERE payment_id >= $1
    UNION ALL SELECT fence_key, payment_id FROM payorch.attempts WHERE fence_key IS NOT NULL AND payment_id >= $1
    UNION ALL SELECT psp_key, payment_id FROM payorch.operations WHERE psp_key IS NOT NULL AND payment_id >= $1
) AS keys GROUP BY psp_key HAVING count(*) > 1 ORDER BY psp_key LIMIT $2
"""
_CLAIMS_ASTRAY: Final = """
SELECT claim.merchant_id, claim.key, claim.payment_id FROM payorch.idempotency_keys AS claim
LEFT JOIN payorch.payments AS payment ON payment.id = claim.payment_id AND payment.merchant_id = claim.merchant_id
WHERE payment.id IS NULL AND claim.payment_id >= $1 ORDER BY claim.merchant_id, claim.key LIMIT $2
"""
_CREATIONS: Final = """
SELECT payment.id, count(claim.key)::integer FROM payorch.payments AS payment
LEFT JOIN payorch.idempotency_keys AS claim ON claim.payment_id = payment.id AND claim.method_path = $2
WHERE payment.id >= $1 GROUP BY payment.id HAVING count(claim.key) <> 1 ORDER BY payment.id LIMIT $3
"""


def _grouped(rows: Sequence[tuple[Any, ...]]) -> dict[UUID, list[tuple[Any, ...]]]:
    groups: dict[UUID, list[tuple[Any, ...]]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(row[1:])
    return groups


def _replayed(history: Sequence[tuple[Any, ...]]) -> tuple[Payment | None, str]:
    if not history:
        return None, ""
    try:
        return replay(_event(row[1:]) for row in history), ""
    except (UnreadableEvent, IllegalTransition, KeyError, ValueError) as problem:
        return None, f"{type(problem).__name__}: {problem}"[:300]


def _event(row: tuple[Any, ...]) -> Event:
    name, at, actor, cause, body = row
    return decode(name=name, at=at.astimezone(UTC), actor=actor, cause=cause, body=body)


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _view(row: tuple[Any, ...]) -> PaymentView:
    merchant_id, *middle, unfinished, due_at, held, created_at, updated_at = row
    state, version, amount, currency, capture, reference, connector, psp_reference, *sums = middle
    authorized, captured, capture_reserved, refunded, refund_reserved = sums
    return PaymentView(
        merchant_id=identifiers.text("mer", merchant_id), state=state, version=version, amount=amount, currency=currency, capture=capture,
        reference=reference, connector=connector, psp_reference=psp_reference, authorized=authorized, captured=captured,
        capture_reserved=capture_reserved, refunded=refunded, refund_reserved=refund_reserved, unfinished=unfinished,
        due_at=_utc(due_at), held=held, created_at=created_at.astimezone(UTC), updated_at=updated_at.astimezone(UTC),
    )  # fmt: skip


def _attempt(row: tuple[Any, ...]) -> AttemptView:
    id_, connector, state, exclusive, amount, currency, psp_key, psp_reference, money_reference, fence_key, next_action_at = row
    return AttemptView(
        id=identifiers.text("att", id_), connector=connector, state=state, exclusive=exclusive, amount=amount, currency=currency,
        psp_key=psp_key, psp_reference=psp_reference, money_reference=money_reference, fence_key=fence_key,
        next_action_at=_utc(next_action_at),
    )  # fmt: skip


_PREFIX: Final = {"capture": "cap", "void": "void", "refund": "ref"}


def _operation(row: tuple[Any, ...]) -> OperationView:
    id_, attempt_id, kind, state, origin, amount, currency, psp_key, psp_reference, next_action_at, in_review = row
    return OperationView(
        id=identifiers.text(_PREFIX[kind], id_), attempt_id=identifiers.text("att", attempt_id), kind=kind, state=state, origin=origin,
        amount=amount, currency=currency, psp_key=psp_key, psp_reference=psp_reference, next_action_at=_utc(next_action_at),
        in_review=in_review,
    )  # fmt: skip


def _dispute(row: tuple[Any, ...]) -> DisputeView:
    id_, merchant_id, attempt_id, psp_reference, stage, status, amount, currency, reason, respond_by, created_at, updated_at = row
    return DisputeView(
        id=identifiers.text("dsp", id_), merchant_id=identifiers.text("mer", merchant_id), attempt_id=identifiers.text("att", attempt_id),
        psp_reference=psp_reference, stage=stage, status=status, amount=amount, currency=currency, reason=reason,
        respond_by=_utc(respond_by), created_at=created_at.astimezone(UTC), updated_at=updated_at.astimezone(UTC),
    )  # fmt: skip
