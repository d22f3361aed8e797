"""What an explanation changes beside the finding: where a movement stands, and what a line of a report was matched with by people.

All of it is written on a connection with a transaction and the lock of reconciliation, before the entry that vouches for it. Not here:
findings themselves (`reconciliation_findings`), whether any of this may be done (`payorch.domain.explanations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.numeric import Int4

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.postings import relinked
from payorch.domain.settlement import RowState, SettlementRow, SettlementState
from payorch.store import settlement_rows
from payorch.store.driver import Connection
from payorch.store.query import all_rows
from payorch.store.reconciliation_findings import SUBJECT_PREFIX
from payorch.store.rows import register
from payorch.store.settlement_rows import POSTING_COLUMNS, READ_COLUMNS, BookedLine


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMovement:
    """A movement of ours, with where it stands."""

    payment_id: str
    sequence: int
    subject_id: str
    connector: str
    kind: MovementKind
    amount: Money
    settlement: SettlementState
    batch_id: str | None
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line of a report, with what became of it."""

    batch_id: str
    connector: str
    row: SettlementRow
    state: RowState


async def line(connection: Connection, batch_id: str, number: int) -> StoredLine | None:
    """That line, held until the end of the transaction; None where the report has none there that could be read."""
    rows = await all_rows(connection, _LINE, [uuid_of(batch_id), Int4(number)])
    if not rows:
        return None
    connector, state, *values = rows[0]
    return StoredLine(batch_id=batch_id, connector=connector, row=settlement_rows.read(values), state=RowState(state))


async def movements_of(connection: Connection, payment_id: str) -> list[StoredMovement]:
    """All movements of a payment in their order, held until the end of the transaction."""
    return [_movement(row) for row in await all_rows(connection, _MOVEMENTS, [uuid_of(payment_id)])]


async def stand(connection: Connection, movement: StoredMovement, settlement: SettlementState) -> None:
    """The movement stands there now; the line that it was matched with, if any, stays its line."""
    await all_rows(connection, _STAND, [*_key(movement), settlement.value])


async def linked(connection: Connection, stored: StoredLine, movement: StoredMovement, settlement: SettlementState) -> None:
    """The line is the movement's, by a person's word: it settles it, and its double entries are corrected by further ones."""
    number, batch = Int4(stored.row.line), uuid_of(stored.batch_id)
    key = _key(movement)
    await all_rows(connection, _LINK, [batch, number, *key])
    await all_rows(connection, _SETTLE, [*key, settlement.value, batch, number, stored.row.booked_on])
    [(last,)] = await all_rows(connection, _LAST_LEG, [batch, number])
    corrections = relinked(stored.row, stored.state, RowState.MATCHED, connector=stored.connector, first_leg=int(last) + 1)
    booked = BookedLine(row=stored.row, state=RowState.MATCHED, postings=corrections)
    register(connection)
    await settlement_rows.copy(
        connection, "settlement_postings", POSTING_COLUMNS, settlement_rows.postings_of(booked, batch.bytes, stored.connector)
    )


async def payment_of(connection: Connection, subject_id: str) -> str | None:
    """The payment of an attempt, an operation or a dispute; None where there is none of that id."""
    rows = await all_rows(connection, _PAYMENT_OF, [uuid_of(subject_id)])
    return identifiers.text("pay", rows[0][0]) if rows else None


async def payment_of_line(connection: Connection, batch_id: str, number: int) -> str | None:
    """The payment that a line was matched with or is evidence for; None where it is nobody's."""
    rows = await all_rows(
        connection, "SELECT payment_id FROM payorch.settlement_rows WHERE batch_id = $1 AND line = $2", [uuid_of(batch_id), Int4(number)]
    )
    return identifiers.text("pay", rows[0][0]) if rows and rows[0][0] is not None else None


_LINE: Final = f"SELECT connector, state, {READ_COLUMNS} FROM payorch.settlement_rows WHERE batch_id = $1 AND line = $2 FOR UPDATE"
_MOVEMENTS: Final = f"""
SELECT m.payment_id, m.sequence, m.subject_id, m.connector, m.kind, m.amount, m.currency, m.settlement, m.batch_id, m.line,
       {SUBJECT_PREFIX.format(of="m")}
FROM payorch.movements AS m WHERE m.payment_id = $1 ORDER BY m.sequence, m.subject_id FOR UPDATE OF m
"""
_STAND: Final = """
UPDATE payorch.movements SET settlement = $4 WHERE payment_id = $1 AND sequence = $2 AND subject_id = $3 RETURNING sequence
"""
_SETTLE: Final = """
UPDATE payorch.movements SET settlement = $4, batch_id = $5, line = $6, booked_on = $7
WHERE payment_id = $1 AND sequence = $2 AND subject_id = $3 RETURNING sequence
"""
_LINK: Final = """
UPDATE payorch.settlement_rows
SET state = 'matched', key = 'person', payment_id = $3, sequence = $4, subject_id = $5, next_try_at = NULL
WHERE batch_id = $1 AND line = $2 RETURNING line
"""
_LAST_LEG: Final = "SELECT coalesce(max(leg), 0) FROM payorch.settlement_postings WHERE batch_id = $1 AND line = $2"
_PAYMENT_OF: Final = """
SELECT payment_id FROM payorch.operations WHERE id = $1
UNION ALL SELECT payment_id FROM payorch.attempts WHERE id = $1
UNION ALL SELECT payment_id FROM payorch.disputes WHERE id = $1
LIMIT 1
"""


def _key(movement: StoredMovement) -> tuple[Any, ...]:
    return uuid_of(movement.payment_id), Int4(movement.sequence), uuid_of(movement.subject_id)


def _movement(row: tuple[Any, ...]) -> StoredMovement:
    return StoredMovement(
        payment_id=identifiers.text("pay", row[0]),
        sequence=row[1],
        subject_id=identifiers.text(row[10], row[2]),
        connector=row[3],
        kind=MovementKind(row[4]),
        amount=Money(row[5], row[6]),
        settlement=SettlementState(row[7]),
        batch_id=None if row[8] is None else identifiers.text("bat", row[8]),
        line=row[9],
    )
