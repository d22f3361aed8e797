"""What the ledger has: movements as they are kept, where each stands with the PSPs' reports, and sums over accounts.

Every function takes a connection and reads; nothing is changed or judged. Statements over the whole ledger take seconds per million rows:
give the connection the patience for them. Not here: writing (`movement_rows`), what must be equal (`payorch.books_tables`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.books_ledger import MovementView
from payorch.domain.identifiers import uuid_of
from payorch.domain.settlement import SettlementState
from payorch.store.driver import Connection
from payorch.store.query import all_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTotal:
    """What is on one account in one currency, in minor units: debits above zero."""

    account: str
    currency: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Receivable:
    """What should be on a PSP's accounts in one currency, in minor units. pending: movements that no line of a report is matched with.

    apart: of the others, how much more we moved than their lines say. reported: the net amounts of all its lines.
    """

    connector: str
    currency: str
    pending: int
    apart: int
    reported: int


async def movements_of(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, list[MovementView]]:
    """payment -> its movements, of those payments that have any. Give it a page."""
    found: dict[UUID, list[MovementView]] = {}
    for row in await all_rows(connection, _MOVEMENTS, [list(ids)]):
        found.setdefault(row[0], []).append(_view(row[1:]))
    return found


async def settlement_states(connection: Connection, payment_ids: Sequence[str]) -> dict[str, list[tuple[UUID, SettlementState]]]:
    """payment -> its movements' subjects and where each movement stands, oldest first, of those payments that have any."""
    found: dict[str, list[tuple[UUID, SettlementState]]] = {}
    for payment_id, subject_id, state in await all_rows(connection, _STATES, [[uuid_of(one) for one in payment_ids]]):
        found.setdefault(identifiers.text("pay", payment_id), []).append((subject_id, SettlementState(state)))
    return found


async def accounts(connection: Connection, first: UUID | None) -> list[AccountTotal]:
    """What is on each account; only by movements of payments from that identifier on, where one is given."""
    if first is None:
        rows = await all_rows(connection, _ACCOUNTS.format("true"), [])
    else:
        rows = await all_rows(connection, _ACCOUNTS.format("source = 'payment' AND stream_id >= $1"), [first])
    return [AccountTotal(account=row[0], currency=row[1], amount=row[2]) for row in rows]


async def unbalanced(connection: Connection, *, limit: int) -> list[tuple[str, UUID, int, str, int]]:
    """(source, stream, number, currency, what is left) of double entries whose lines do not sum to zero."""
    rows = await all_rows(connection, _UNBALANCED, [Int8(limit)])
    return [(row[0], row[1], row[2], row[3], row[4]) for row in rows]


async def unlinked(connection: Connection, *, limit: int) -> list[tuple[str, str]]:
    """(payment, what) of movements and lines of reports of which only one says that they are matched with each other."""
    rows = await all_rows(connection, _UNLINKED, [Int8(limit)])
    return [(identifiers.text("pay", row[0]), row[1]) for row in rows]


async def receivables(connection: Connection) -> list[Receivable]:
    """Per connector and currency, from movements and lines of reports, without looking at any account."""
    return [
        Receivable(connector=row[0], currency=row[1], pending=row[2], apart=row[3], reported=row[4])
        for row in await all_rows(connection, _RECEIVABLES, [])
    ]


_MOVEMENTS: Final = """
SELECT payment_id, sequence, subject_id, merchant_id, attempt_id, connector, kind, amount, currency, debit, credit
FROM payorch.movements WHERE payment_id = ANY($1::uuid[]) ORDER BY payment_id, sequence, subject_id
"""
_STATES: Final = """
SELECT payment_id, subject_id, settlement FROM payorch.movements WHERE payment_id = ANY($1::uuid[]) ORDER BY payment_id, sequence
"""
_ACCOUNTS: Final = """
SELECT account, currency, sum(amount)::bigint FROM payorch.ledger_lines WHERE {} GROUP BY account, currency ORDER BY account, currency
"""
_UNBALANCED: Final = """
SELECT source, stream_id, number, currency, sum(amount)::bigint FROM payorch.ledger_lines
GROUP BY source, stream_id, number, currency HAVING sum(amount) <> 0 ORDER BY source, stream_id, number, currency LIMIT $1
"""
_UNLINKED: Final = """
SELECT coalesce(moved.payment_id, row.payment_id), CASE WHEN row.batch_id IS NULL
    THEN format('the movement of event %s says that line %s of a report is it, and the line does not', moved.sequence, moved.line)
    ELSE format('line %s of a report says that it is the movement of event %s, and the movement does not', row.line, row.sequence) END
FROM (SELECT * FROM payorch.movements WHERE batch_id IS NOT NULL) AS moved
FULL JOIN (SELECT * FROM payorch.settlement_rows WHERE state = 'matched') AS row
    ON row.batch_id = moved.batch_id AND row.line = moved.line AND row.payment_id = moved.payment_id
    AND row.sequence = moved.sequence AND row.subject_id = moved.subject_id
WHERE moved.payment_id IS NULL OR row.batch_id IS NULL ORDER BY 1, 2 LIMIT $1
"""
_OF_PAYMENTS: Final = "('capture', 'capture_reversed', 'refund', 'refund_reversed', 'chargeback', 'chargeback_reversed')"
_RECEIVABLES: Final = f"""
WITH moved AS (
    SELECT connector, currency, batch_id,
        CASE WHEN kind IN ('capture', 'refund_reversed', 'chargeback_reversed') THEN amount ELSE -amount END AS amount
    FROM payorch.movements
), parts AS (
    SELECT connector, currency, amount AS pending, 0 AS apart, 0 AS reported FROM moved WHERE batch_id IS NULL
    UNION ALL SELECT connector, currency, 0, amount, 0 FROM moved WHERE batch_id IS NOT NULL
    UNION ALL SELECT connector, currency, 0, -gross, 0 FROM payorch.settlement_rows WHERE state = 'matched' AND kind IN {_OF_PAYMENTS}
    UNION ALL SELECT connector, net_currency, 0, 0, net FROM payorch.settlement_rows
)
SELECT connector, currency, sum(pending)::bigint, sum(apart)::bigint, sum(reported)::bigint FROM parts
GROUP BY connector, currency ORDER BY connector, currency
"""


def _view(row: Sequence[Any]) -> MovementView:
    sequence, subject, merchant_id, attempt_id, connector, kind, amount, currency, debit, credit = row
    return MovementView(
        sequence=sequence, subject=subject, merchant_id=identifiers.text("mer", merchant_id),
        attempt_id=identifiers.text("att", attempt_id), connector=connector, kind=kind, amount=amount, currency=currency, debit=debit,
        credit=credit,
    )  # fmt: skip
