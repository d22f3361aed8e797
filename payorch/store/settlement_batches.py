"""Reading which settlement reports there are, how far each was read, and what became of its lines.

As in `reads`, every function takes a connection and changes nothing. Not here: writing them (`settlements`), days and findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.domain.money import Money
from payorch.domain.settlement import RowKind, RowState, SettlementRow, Tie
from payorch.store.driver import Connection
from payorch.store.query import all_rows, utc
from payorch.store.settlement_rows import READ_COLUMNS, read


class BatchState(StrEnum):
    """Whether a report has been read to its end."""

    IMPORTING = "importing"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A settlement report. digest: SHA-256 of its bytes. lines_done: the file is read up to that line.

    rows: lines that were stored; bad_rows: lines that nobody understands; repeated: bookings that other reports had before; findings: what
    did not fit in it when it was read. ties: totals that it states, once it is read.
    """

    id: str
    connector: str
    digest: bytes
    name: str
    state: BatchState
    received_at: datetime
    received_by: str
    lines_done: int = 0
    rows: int = 0
    bad_rows: int = 0
    repeated: int = 0
    findings: int = 0
    ties: tuple[Tie, ...] = ()
    imported_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Lines of a report that are of one kind, stand alike and are in one currency, added up. fee, net: in the currency of the balance."""

    kind: RowKind
    state: RowState
    rows: int
    gross: Money
    fee: Money
    net: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line of a report as it stands now."""

    batch_id: str
    row: SettlementRow
    state: RowState
    payment_id: str | None


async def load(connection: Connection, batch_id: str, *, holding: bool = False) -> Batch | None:
    """That report; None where there is none. holding: nobody else changes it until the end of the transaction."""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.settlement_batches WHERE id = $1{' FOR NO KEY UPDATE' if holding else ''}",
        [uuid_of(batch_id)],
    )
    return _batch(rows[0]) if rows else None


async def find(connection: Connection, *, connector: str | None = None, limit: int, after: str | None = None) -> list[Batch]:
    """Reports, those that came last first; `after`: those before that one."""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.settlement_batches WHERE ($1::text IS NULL OR connector = $1) AND ($2::uuid IS NULL OR id < $2)"
        " ORDER BY id DESC LIMIT $3",
        [connector, None if after is None else uuid_of(after), Int8(limit)],
    )
    return [_batch(row) for row in rows]


async def sums(connection: Connection, batch_id: str) -> list[Sum]:
    """What became of the report's lines, in sums."""
    rows = await all_rows(
        connection,
        "SELECT kind, state, count(*), currency, sum(gross)::bigint, net_currency, sum(fee)::bigint, sum(net)::bigint"
        " FROM payorch.settlement_rows WHERE batch_id = $1 GROUP BY kind, state, currency, net_currency ORDER BY 1, 2, 4, 6",
        [uuid_of(batch_id)],
    )
    return [
        Sum(
            kind=RowKind(row[0]),
            state=RowState(row[1]),
            rows=row[2],
            gross=Money(row[4], row[3]),
            fee=Money(row[6], row[5]),
            net=Money(row[7], row[5]),
        )
        for row in rows
    ]


async def findings_by_kind(connection: Connection, batch_id: str) -> dict[str, tuple[int, int]]:
    """Of the report's findings by kind: how many there are, and how many of them nobody has explained."""
    rows = await all_rows(
        connection,
        "SELECT kind, count(*), count(*) FILTER (WHERE state IN ('open', 'proposed')) FROM payorch.reconciliation_findings"
        " WHERE batch_id = $1 GROUP BY kind ORDER BY kind",
        [uuid_of(batch_id)],
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


async def lines(connection: Connection, batch_id: str, *, after_line: int = 0, limit: int) -> list[StoredLine]:
    """Lines of the report in the order of the file."""
    rows = await all_rows(
        connection,
        f"SELECT {READ_COLUMNS}, state, payment_id FROM payorch.settlement_rows WHERE batch_id = $1 AND line > $2 ORDER BY line LIMIT $3",
        [uuid_of(batch_id), Int8(after_line), Int8(limit)],
    )
    return [
        StoredLine(
            batch_id=batch_id,
            row=read(row[:-2]),
            state=RowState(row[-2]),
            payment_id=None if row[-1] is None else identifiers.text("pay", row[-1]),
        )
        for row in rows
    ]


async def days_of(connection: Connection, batch_id: str) -> tuple[date, date] | None:
    """The first and the last day on which the report books anything; None where it books nothing."""
    rows = await all_rows(
        connection, "SELECT min(booked_on), max(booked_on) FROM payorch.settlement_rows WHERE batch_id = $1", [uuid_of(batch_id)]
    )
    return None if rows[0][0] is None else (rows[0][0], rows[0][1])


def ties_json(ties: Sequence[Tie]) -> str:
    """As they are stored."""
    return msgspec.json.encode(list(ties)).decode()


_COLUMNS: Final = """
    id, connector, digest, name, state, lines_done, rows, bad_rows, repeated, findings, ties::text, received_at, imported_at, received_by
"""
_ties: Final = msgspec.json.Decoder(tuple[Tie, ...])


def _batch(row: Sequence[Any]) -> Batch:
    return Batch(
        id=identifiers.text("bat", row[0]),
        connector=row[1],
        digest=bytes(row[2]),
        name=row[3],
        state=BatchState(row[4]),
        lines_done=row[5],
        rows=row[6],
        bad_rows=row[7],
        repeated=row[8],
        findings=row[9],
        ties=_ties.decode(row[10]),
        received_at=utc(row[11]),
        imported_at=utc(row[12]),
        received_by=row[13],
    )
