"""Reading disputes: whose payment one belongs to, and a merchant's list.

As in `reads`, every function takes a connection, is one statement and changes nothing. A dispute itself is read from its payment.
"""

from __future__ import annotations

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.store.driver import Connection
from payorch.store.query import all_rows


async def find_dispute(connection: Connection, dispute_id: str) -> str | None:
    """The payment that the dispute of that id belongs to; None where there is no such dispute."""
    rows = await all_rows(connection, "SELECT payment_id FROM payorch.disputes WHERE id = $1", [uuid_of(dispute_id)])
    return identifiers.text("pay", rows[0][0]) if rows else None


async def list_disputes(
    connection: Connection, merchant_id: str, *, limit: int, after: str | None = None, status: str | None = None
) -> tuple[list[tuple[str, str]], str | None]:
    """A page of (payment id, dispute id) of a merchant, newest first, and the cursor for the next page (None: there is no more)."""
    rows = await all_rows(
        connection,
        "SELECT payment_id, id FROM payorch.disputes WHERE merchant_id = $1 AND ($2::uuid IS NULL OR id < $2)"
        " AND ($3::text IS NULL OR status = $3) ORDER BY id DESC LIMIT $4",
        [uuid_of(merchant_id), None if after is None else uuid_of(after), status, Int8(limit + 1)],
    )
    found = [(identifiers.text("pay", row[0]), identifiers.text("dsp", row[1])) for row in rows[:limit]]
    return found, found[-1][1] if len(rows) > limit else None
