"""Reading the inbox: notices that are to be tried, the payments they are about, and what became of those of one payment.

As in `reads`, every function takes a connection, is one statement and changes nothing. Not here: what is made of a notice
(`actors.inbox`), what its bytes mean (each connector).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg.types.numeric import Int4, Int8

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

    An id counts only at the connector that named it: two PSPs may use the same. Two statements: nearly all are found by the first, and
    planning the second takes longer than running both.
    """
    found = await _by_the_psps_ids_of_payments(connection, references)
    rest = [n for n, id in enumerate(found) if id is None and (references[n].refers.psp or references[n].refers.ours)]
    if rest:
        for n, id in zip(rest, await _by_other_ids(connection, [references[n] for n in rest]), strict=True):
            found[n] = id
    return [identifiers.text("pay", id) if id is not None else None for id in found]


async def _by_the_psps_ids_of_payments(connection: Connection, references: Sequence[Reference]) -> list[UUID | None]:
    named = [id for one in references for id in one.refers.psp]
    if not named:
        return [None] * len(references)
    payments: dict[tuple[str, str], UUID] = {}
    for connector, id, payment_id in await all_rows(
        connection,
        "SELECT connector, psp_reference, payment_id FROM payorch.attempts WHERE psp_reference = ANY($1::text[])"
        " UNION ALL SELECT connector, money_reference, payment_id FROM payorch.attempts WHERE money_reference = ANY($1::text[])"
        " ORDER BY payment_id",
        [named],
    ):
        payments.setdefault((connector, id), payment_id)
    return [next((payments[one.connector, id] for id in one.refers.psp if (one.connector, id) in payments), None) for one in references]


async def _by_other_ids(connection: Connection, references: Sequence[Reference]) -> list[UUID | None]:
    theirs = [id for one in references for id in one.refers.psp]
    ours = [uuid_of(id) for one in references for id in one.refers.ours]
    rows = await all_rows(
        connection,
        _FIND,
        [
            [one.connector for one in references],
            *_parts([len(one.refers.psp) for one in references]),
            *_parts([len(one.refers.ours) for one in references]),
            theirs,
            ours,
        ],
    )
    return [row[0] for row in rows]


def _parts(lengths: Sequence[int]) -> tuple[list[Int4], list[Int4]]:
    """Where each one's ids begin and end in the list of all, counted from 1."""
    ends = list(accumulate(lengths))
    return [Int4(end - length + 1) for end, length in zip(ends, lengths, strict=True)], [Int4(end) for end in ends]


_COLUMNS: Final = """
    id, connector, identity, kind, content, refers::text, occurred_at, received_at, state, tries, next_try_at, payment_id, outcome,
    settled_at
"""
_THEIRS: Final = "unnest(($6::text[])[named.first:named.last]) WITH ORDINALITY AS told (id, place)"
_OURS: Final = "unnest(($7::uuid[])[named.our_first:named.our_last]) AS told (id)"
_BY_ATTEMPT: Final = "SELECT payment_id FROM payorch.attempts WHERE {id} = told.id AND connector = named.connector"
_BY_OPERATION: Final = """
    SELECT o.payment_id FROM payorch.operations AS o JOIN payorch.attempts AS a ON a.payment_id = o.payment_id AND a.id = o.attempt_id
    WHERE o.{id} = told.id AND a.connector = named.connector
"""
# What finds it in the order of how telling that is, and then the rest is not looked at. One id after the other, each by its index: as joins
# these were plans over whole tables wherever statistics are missing. OFFSET 0 keeps the order from being a reason to read a table in it.
_FIND: Final = f"""
SELECT COALESCE(
    (SELECT payment_id FROM {_THEIRS}, LATERAL ({_BY_ATTEMPT.format(id="money_reference")} OFFSET 0) AS f
        ORDER BY place, payment_id LIMIT 1),
    (SELECT payment_id FROM {_THEIRS}, LATERAL ({_BY_OPERATION.format(id="psp_reference")} OFFSET 0) AS f
        ORDER BY place, payment_id LIMIT 1),
    (SELECT payment_id FROM {_OURS}, LATERAL ({_BY_ATTEMPT.format(id="id")} OFFSET 0) AS f ORDER BY payment_id LIMIT 1),
    (SELECT payment_id FROM {_OURS}, LATERAL ({_BY_OPERATION.format(id="id")} OFFSET 0) AS f ORDER BY payment_id LIMIT 1)
)
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::integer[], $5::integer[]) WITH ORDINALITY
    AS named (connector, first, last, our_first, our_last, n) ORDER BY n
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
