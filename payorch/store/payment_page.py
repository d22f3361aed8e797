"""Reading what operators see of payments: the list with merchants' names, how many there are, the likes of one, and all that hangs on one.

As in `reads`, every function takes a connection, is one statement and changes nothing. Lists are bounded by their callers or here. Not
here: the payment itself (`reads.load_events`), what is made of any of it (`payorch.api.operations`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.payment import AttemptState, State
from payorch.domain.settlement import RowKind, RowState, SettlementState
from payorch.store.driver import Connection
from payorch.store.query import all_rows, utc
from payorch.store.reads import Search, conditions

COUNTED_AT_MOST: Final = 10_000
"""Payments that a list counts: one more is "more than that". To know it exactly would read the whole index each time."""
ROWS_AT_MOST: Final = 500
"""Rows of one kind that hang on one payment. A payment has some; a merchant's loop of refunds has hundreds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A double entry of a payment. subject_id: a UUID, of an attempt, an operation or a dispute."""

    sequence: int
    subject_id: UUID
    kind: MovementKind
    amount: Money
    debit: str
    credit: str
    at: datetime
    settlement: SettlementState


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """A line of a settlement report that is a payment's, with the double entries that follow from it."""

    batch_id: str
    report: str
    line: int
    kind: RowKind
    gross: Money
    fee: Money
    net: Money
    day: date
    state: RowState
    received_at: datetime
    postings: Sequence[LinePosting] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinePosting:
    debit: str
    credit: str
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Likes:
    """Payments that stand as this one does. amounts: their sums, by currency."""

    count: int
    amounts: Sequence[Money]


async def merchant_names(connection: Connection, merchant_ids: Sequence[str]) -> dict[str, str]:
    """Names by id, of those that exist. Give it a page."""
    asked = [uuid_of(one) for one in dict.fromkeys(merchant_ids)]
    rows = await all_rows(connection, "SELECT id, name FROM payorch.merchants WHERE id = ANY($1::uuid[])", [asked])
    return {identifiers.text("mer", row[0]): row[1] for row in rows}


async def merchants_named(connection: Connection, name: str, *, limit: int = 50) -> list[str]:
    """The merchants of that name, however it is capitalised: names may repeat."""
    rows = await all_rows(
        connection, "SELECT id FROM payorch.merchants WHERE lower(name) = lower($1) ORDER BY id LIMIT $2", [name, Int8(limit)]
    )
    return [identifiers.text("mer", row[0]) for row in rows]


async def count(connection: Connection, what: Search) -> tuple[int, bool]:
    """How many payments that search has, and whether that is all: it stops counting at COUNTED_AT_MOST."""
    where, parameters = conditions(what)
    [(found,)] = await all_rows(
        connection,
        f"SELECT count(*) FROM (SELECT FROM payorch.payments {where} LIMIT ${len(parameters) + 1}) AS counted",
        [*parameters, Int8(COUNTED_AT_MOST + 1)],
    )
    return min(int(found), COUNTED_AT_MOST), found <= COUNTED_AT_MOST


async def likes(
    connection: Connection, *, connector: str, state: State, attempt_state: AttemptState | None, around: datetime, within: timedelta
) -> Likes:
    """Payments of that state whose last attempt is at that connector and in that state, made that close before or after."""
    first, last = identifiers.earliest(around - within), identifiers.earliest(around + within)
    rows = await all_rows(connection, _LIKES, [connector, state.value, attempt_state, first, last, Int8(COUNTED_AT_MOST)])
    return Likes(count=sum(int(row[1]) for row in rows), amounts=[Money(int(row[2]), row[0]) for row in rows])


async def ledger_of(connection: Connection, payment_id: str) -> list[LedgerEntry]:
    """The payment's double entries, oldest first."""
    return [_entry(row) for row in await all_rows(connection, _LEDGER, [uuid_of(payment_id), Int8(ROWS_AT_MOST)])]


async def report_lines_of(connection: Connection, payment_id: str) -> list[ReportLine]:
    """The lines of settlement reports that were matched with the payment or are evidence for it, in the order of their dates."""
    found: dict[tuple[UUID, int], tuple[tuple[Any, ...], list[LinePosting]]] = {}
    for row in await all_rows(connection, _LINES, [uuid_of(payment_id), Int8(ROWS_AT_MOST)]):
        _, postings = found.setdefault((row[0], row[2]), (row, []))
        if row[13] is not None:
            postings.append(LinePosting(debit=row[13], credit=row[14], amount=Money(row[15], row[16])))
    return [_line(row, postings) for row, postings in found.values()]


_LIKES: Final = """
SELECT currency, count(*), sum(amount)::bigint FROM (
    SELECT p.currency, p.amount FROM payorch.payments AS p
    WHERE p.connector = $1 AND p.state = $2 AND p.id >= $4 AND p.id < $5 AND ($3::text IS NULL OR EXISTS (
        SELECT FROM payorch.attempts AS a WHERE a.payment_id = p.id AND a.connector = $1 AND a.state = $3))
    LIMIT $6
) AS alike GROUP BY currency ORDER BY count(*) DESC, currency
"""
_LEDGER: Final = """
SELECT sequence, subject_id, kind, amount, currency, debit, credit, at, settlement
FROM payorch.movements WHERE payment_id = $1 ORDER BY sequence, subject_id LIMIT $2
"""
_LINES: Final = """
SELECT r.batch_id, b.name, r.line, r.kind, r.gross, r.currency, r.fee, r.net, r.net_currency, r.booked_on, r.state, b.received_at,
    p.leg, p.debit, p.credit, p.amount, p.currency
FROM (SELECT * FROM payorch.settlement_rows WHERE payment_id = $1 ORDER BY booked_on, batch_id, line LIMIT $2) AS r
JOIN payorch.settlement_batches AS b ON b.id = r.batch_id
LEFT JOIN payorch.settlement_postings AS p ON p.batch_id = r.batch_id AND p.line = r.line
ORDER BY r.booked_on, r.batch_id, r.line, p.leg
"""


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    sequence, subject_id, kind, amount, currency, debit, credit, at, settlement = row
    return LedgerEntry(
        sequence=sequence,
        subject_id=subject_id,
        kind=MovementKind(kind),
        amount=Money(amount, currency),
        debit=debit,
        credit=credit,
        at=utc(at),
        settlement=SettlementState(settlement),
    )


def _line(row: tuple[Any, ...], postings: Sequence[LinePosting]) -> ReportLine:
    batch_id, name, line, kind, gross, currency, fee, net, net_currency, day, state, received_at, *_ = row
    return ReportLine(
        batch_id=identifiers.text("bat", batch_id),
        report=name,
        line=line,
        kind=RowKind(kind),
        gross=Money(gross, currency),
        fee=Money(fee, net_currency),
        net=Money(net, net_currency),
        day=day,
        state=RowState(state),
        received_at=utc(received_at),
        postings=tuple(postings),
    )
