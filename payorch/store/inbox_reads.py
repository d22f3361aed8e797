"""Reading the inbox: notices that are to be tried, the payments they are about, and what became of those of one payment.

As in `reads`, every function takes a connection, is one statement and changes nothing. Not here: what is made of a notice
(`actors.inbox`), what its bytes mean (each connector).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.store.driver import Connection
from payorch.store.items import NoticeState
from payorch.store.query import all_rows, utc


class Refers(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The ids by which a notice's payment is found, as stored beside it: the PSP's, the most telling first, and ours.

    problem: why the notice cannot be understood, in words; None where it can.
    """

    psp: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNotice:
    """A notice as it stands in the inbox; `content` is sealed, and empty once it was erased."""

    id: str
    connector: str
    identity: str
    kind: str
    content: bytes = field(repr=False)
    refers: Refers
    occurred_at: datetime | None
    received_at: datetime
    state: NoticeState
    tries: int
    next_try_at: datetime | None
    payment_id: str | None
    outcome: str | None
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Whom a notice is about, as far as it says: the connector that brought it and the ids it names."""

    connector: str
    refers: Refers


async def due_notices(connection: Connection, now: datetime, *, limit: int) -> list[StoredNotice]:
    """Notices whose time to be tried has come, in the order in which they came in."""
    rows = await all_rows(
        connection, f"SELECT {_COLUMNS} FROM payorch.inbox WHERE next_try_at <= $1 ORDER BY next_try_at, id LIMIT $2", [now, Int8(limit)]
    )
    return [_notice(row) for row in rows]


async def load_notices(connection: Connection, notice_ids: Sequence[str]) -> list[StoredNotice]:
    """Those of the notices that exist, in the order in which they came in."""
    rows = await all_rows(
        connection, f"SELECT {_COLUMNS} FROM payorch.inbox WHERE id = ANY($1::uuid[]) ORDER BY id", [[uuid_of(one) for one in notice_ids]]
    )
    return [_notice(row) for row in rows]


async def stored_digest(connection: Connection, connector: str, identity: str) -> bytes | None:
    """The digest of what was stored under that identity; None where nothing was."""
    rows = await all_rows(connection, "SELECT digest FROM payorch.inbox WHERE connector = $1 AND identity = $2", [connector, identity])
    return bytes(rows[0][0]) if rows else None


async def parked_notices(connection: Connection, *, limit: int) -> list[StoredNotice]:
    """Notices about nothing that is known here yet, the next ones to be tried first."""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.inbox WHERE next_try_at IS NOT NULL AND state = 'parked' ORDER BY next_try_at, id LIMIT $1",
        [Int8(limit)],
    )
    return [_notice(row) for row in rows]


async def notices_of(connection: Connection, payment_id: str, *, limit: int) -> list[StoredNotice]:
    """What PSPs told about that payment, in the order in which it came in."""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.inbox WHERE payment_id = $1 ORDER BY id LIMIT $2",
        [uuid_of(payment_id), Int8(limit)],
    )
    return [_notice(row) for row in rows]


async def count_waiting(connection: Connection) -> dict[str, int]:
    """How many notices wait, by state: received and parked."""
    rows = await all_rows(connection, "SELECT state, count(*) FROM payorch.inbox WHERE next_try_at IS NOT NULL GROUP BY state", [])
    return {row[0]: int(row[1]) for row in rows}


async def find_payments(connection: Connection, references: Sequence[Reference]) -> list[str | None]:
    """For each reference its payment: by the PSP's id of a payment or of what holds its money, then of an operation, then by our own ids.
    None where nobody has it.

    An id counts only at the connector that named it: two PSPs may use the same.
    """
    theirs = [(n, one.connector, place, id) for n, one in enumerate(references) for place, id in enumerate(one.refers.psp)]
    ours = [(n, one.connector, uuid_of(id)) for n, one in enumerate(references) for id in one.refers.ours]
    rows = await all_rows(
        connection,
        _FIND,
        [
            [Int8(one[0]) for one in theirs],
            [one[1] for one in theirs],
            [Int8(one[2]) for one in theirs],
            [one[3] for one in theirs],
            [Int8(one[0]) for one in ours],
            [one[1] for one in ours],
            [one[2] for one in ours],
        ],
    )
    found = {int(row[0]): identifiers.text("pay", row[1]) for row in rows}
    return [found.get(n) for n in range(len(references))]


_COLUMNS: Final = """
    id, connector, identity, kind, content, refers::text, occurred_at, received_at, state, tries, next_try_at, payment_id, outcome,
    settled_at
"""
_THEIRS: Final = "unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS named (n, connector, place, id)"
_OURS: Final = "unnest($5::bigint[], $6::text[], $7::uuid[]) AS named (n, connector, id)"
# What finds it and how telling that is: the PSP's id of the payment itself or of its money, of an operation of it, our own ids.
_FIND: Final = f"""
SELECT DISTINCT ON (n) n, payment_id FROM (
    SELECT named.n, 0 AS rank, named.place, a.payment_id FROM {_THEIRS}
    JOIN payorch.attempts AS a ON a.psp_reference = named.id AND a.connector = named.connector
  UNION ALL
    SELECT named.n, 0, named.place, a.payment_id FROM {_THEIRS}
    JOIN payorch.attempts AS a ON a.money_reference = named.id AND a.connector = named.connector
  UNION ALL
    SELECT named.n, 1, named.place, o.payment_id FROM {_THEIRS}
    JOIN payorch.operations AS o ON o.psp_reference = named.id
    JOIN payorch.attempts AS a ON a.payment_id = o.payment_id AND a.id = o.attempt_id AND a.connector = named.connector
  UNION ALL
    SELECT named.n, 2, 0, a.payment_id FROM {_OURS}
    JOIN payorch.attempts AS a ON a.id = named.id AND a.connector = named.connector
  UNION ALL
    SELECT named.n, 3, 0, o.payment_id FROM {_OURS}
    JOIN payorch.operations AS o ON o.id = named.id
    JOIN payorch.attempts AS a ON a.payment_id = o.payment_id AND a.id = o.attempt_id AND a.connector = named.connector
) AS found ORDER BY n, rank, place, payment_id
"""
_refers: Final = msgspec.json.Decoder(Refers)


def _notice(row: tuple[Any, ...]) -> StoredNotice:
    return StoredNotice(
        id=identifiers.text("ntc", row[0]),
        connector=row[1],
        identity=row[2],
        kind=row[3],
        content=bytes(row[4]),
        refers=_refers.decode(row[5]),
        occurred_at=utc(row[6]),
        received_at=utc(row[7]),
        state=NoticeState(row[8]),
        tries=row[9],
        next_try_at=utc(row[10]),
        payment_id=None if row[11] is None else identifiers.text("pay", row[11]),
        outcome=row[12],
        settled_at=utc(row[13]),
    )
