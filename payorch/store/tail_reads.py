"""Reading the journal's end as people watch it: each record with what a list shows of its payment, and the amounts of its operations.

Bodies of payments' events are decoded here, once; of other records they stay text. Not here: what is told of a record
(`payorch.api.operations.events`), who watches (`payorch.operations.tail`), replaying a payment (`reads`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.events import Event, OperationChange, UnreadableEvent, decode
from payorch.domain.identifiers import uuid_of
from payorch.domain.money import EXPONENTS, Money, MoneyError
from payorch.store.driver import Connection
from payorch.store.items import PAYMENT_STREAM, STREAMS
from payorch.store.query import all_rows, utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a list shows of a payment, as it is now, which may be later than the record that it stands beside."""

    amount: Money
    connector: str | None
    merchant_id: str
    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TailRow:
    """A record of the journal. `event` and `payment`: of a payment's record that this program can read. `body`: of all others, JSON.

    operation: the amount of the operation that the event is about, where it only names it.
    """

    position: int
    stream: str
    stream_id: str
    sequence: int
    name: str
    at: datetime
    actor: str
    cause: str
    body: str | None = None
    event: Event | None = None
    payment: Watched | None = None
    operation: Money | None = None


async def page(connection: Connection, after_position: int, *, limit: int) -> list[TailRow]:
    """The records after that position, in order, without gaps: positions are dense and in commit order."""
    rows = await all_rows(connection, _PAGE, [Int8(after_position), Int8(limit)])
    events = [_event(row) for row in rows]
    named = {one.data.operation_id for one in events if one is not None and isinstance(one.data, OperationChange)}
    amounts = await _amounts(connection, sorted(named)) if named else {}
    return [_row(row, event, amounts) for row, event in zip(rows, events, strict=True)]


_PAGE: Final = """
SELECT j.position, j.stream, j.stream_id, j.sequence, j.name, j.at, j.actor, j.cause, j.body, p.amount, p.currency, p.connector,
       p.merchant_id, p.held
FROM (SELECT position, stream, stream_id, sequence, name, at, actor, cause, body::text FROM payorch.journal WHERE position > $1
      ORDER BY position LIMIT $2) AS j
LEFT JOIN LATERAL (SELECT amount, currency, connector, merchant_id, held FROM payorch.payments
                   WHERE id = j.stream_id AND j.stream = 'payment' OFFSET 0) AS p ON true
ORDER BY j.position
"""


async def _amounts(connection: Connection, operation_ids: Sequence[str]) -> Mapping[UUID, Money]:
    ids = [uuid_of(one) for one in operation_ids]
    rows = await all_rows(connection, "SELECT id, amount, currency FROM payorch.operations WHERE id = ANY($1::uuid[])", [ids])
    return {UUID(bytes=row[0].bytes): Money(row[1], row[2]) for row in rows if row[2] in EXPONENTS}


def _event(row: Sequence[Any]) -> Event | None:
    if row[1] != PAYMENT_STREAM:
        return None
    try:
        return decode(name=row[4], at=utc(row[5]), actor=row[6], cause=row[7], body=row[8])
    except UnreadableEvent:
        return None  # written by a newer program: told by its name


def _row(row: Sequence[Any], event: Event | None, amounts: Mapping[UUID, Money]) -> TailRow:
    of = event.data.operation_id if event is not None and isinstance(event.data, OperationChange) else None
    is_payments = row[1] == PAYMENT_STREAM
    return TailRow(
        position=row[0],
        stream=row[1],
        stream_id=identifiers.text(STREAMS.get(row[1], row[1]), row[2]),
        sequence=row[3],
        name=row[4],
        at=utc(row[5]),
        actor=row[6],
        cause=row[7],
        body=None if is_payments else row[8],
        event=event,
        payment=_watched(row),
        operation=None if of is None else amounts.get(uuid_of(of)),
    )


def _watched(row: Sequence[Any]) -> Watched | None:
    """None where the record is no payment's, and where no amount can be made of it: one such row must not stop what people watch."""
    try:
        amount = None if row[9] is None else Money(row[9], row[10])
    except MoneyError:
        amount = None  # of a currency that this program does not know, or not any more
    if amount is None:
        return None
    return Watched(amount=amount, connector=row[11], merchant_id=identifiers.text("mer", row[12]), held=row[13])
