"""The rows that an import writes by the thousand: as PostgreSQL's binary COPY takes them, and lines of reports read back.

A row is a tuple of frames (`rows`), and binary COPY is nothing but frames, so that what the journal's statement takes as arrays goes
through here as a stream. Pure but for `copy` and the reading. Not here: which rows there are and when they are written (`settlements`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from payorch.domain.identifiers import bytes_of
from payorch.domain.matching import Candidate
from payorch.domain.money import Money
from payorch.domain.postings import Posting
from payorch.domain.settlement import Finding, Key, RowKind, RowState, SettlementRow, SettlementState
from payorch.store.driver import Connection
from payorch.store.entry_rows import entry_row
from payorch.store.items import DeadLetter
from payorch.store.query import utc
from payorch.store.reconciliation_items import FindingRow
from payorch.store.rows import NULL, Row, bigint, date_of, integer, learned_words, moment, uuid, words

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
_END: Final = b"\xff\xff"
_count: Final = struct.Struct(">h").pack

ROW_COLUMNS: Final = (
    "batch_id", "line", "connector", "identity", "kind", "type", "booked_on", "gross", "currency", "fee", "net", "net_currency",
    "psp_operation", "psp_payment", "our_references", "rate", "payout", "booked_at", "state", "key", "payment_id", "sequence", "subject_id",
    "next_try_at",
)  # fmt: skip
POSTING_COLUMNS: Final = ("batch_id", "line", "leg", "connector", "currency", "debit", "credit", "amount", "booked_on")


class BookedLine(Struct, frozen=True, kw_only=True, gc=False):
    """A line of a report with what became of it, as it is written.

    candidate: what it was matched with or is evidence for. settlement: how that movement stands now, where it was matched. postings: the
    double entries that follow.
    """

    row: SettlementRow
    state: RowState
    key: Key | None = None
    candidate: Candidate | None = None
    settlement: SettlementState | None = None
    findings: tuple[Finding, ...] = ()
    suggestions: tuple[Candidate, ...] = ()
    postings: tuple[Posting, ...] = ()


def digest_of(rows: Iterable[SettlementRow]) -> str:
    """A digest of what these lines say, by which the journal vouches for them: the same for the same lines, as stored and as read."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_encode(row))
        digest.update(b"\n")
    return digest.hexdigest()


_encode: Final = msgspec.json.Encoder().encode


def canonical(row: SettlementRow) -> SettlementRow:
    """The line as it can be stored and read back: ids without blanks in them, text without NUL, moments of whole milliseconds."""
    moment_ = row.booked_at
    sound = (
        (moment_ is None or moment_.microsecond % 1000 == 0)
        and not any(_is_odd(id) for id in (*row.psp_operation, *row.psp_payment, *row.our_references))
        and "\0" not in f"{row.identity}{row.type}{row.payout}"
    )
    if sound:
        return row
    return msgspec.structs.replace(
        row,
        identity=row.identity.replace("\0", "\ufffd"),
        type=row.type.replace("\0", "\ufffd"),
        payout=row.payout and row.payout.replace("\0", "\ufffd"),
        psp_operation=tuple(id for id in row.psp_operation if not _is_odd(id)),
        psp_payment=tuple(id for id in row.psp_payment if not _is_odd(id)),
        our_references=tuple(id for id in row.our_references if not _is_odd(id)),
        booked_at=moment_ and moment_.replace(microsecond=moment_.microsecond // 1000 * 1000),
    )


def _is_odd(id: str) -> bool:
    return not id or " " in id or "\0" in id


def row_of(line: BookedLine, batch_id: bytes, connector: str, next_try_at: datetime) -> Row:
    """A line as a row of settlement_rows, in the order of ROW_COLUMNS. batch_id: sixteen bytes. next_try_at: of evidence."""
    row, candidate = line.row, line.candidate
    return (
        uuid(batch_id),
        integer(row.line),
        words(connector),
        words(row.identity),
        words(row.kind),
        words(row.type),
        date_of(row.booked_on),
        bigint(row.gross.minor),
        words(row.gross.currency),
        bigint(row.fee.minor),
        bigint(row.net.minor),
        words(row.net.currency),
        words(" ".join(row.psp_operation)),
        words(" ".join(row.psp_payment)),
        words(" ".join(row.our_references)),
        learned_words(row.rate),
        words(row.payout),
        moment(row.booked_at),
        words(line.state),
        words(line.key),
        NULL if candidate is None else uuid(bytes_of(candidate.payment_id)),
        NULL if candidate is None or candidate.sequence is None else integer(candidate.sequence),
        NULL if candidate is None else uuid(bytes_of(candidate.subject_id)),
        moment(next_try_at) if line.state is RowState.EVIDENCE else NULL,
    )


def postings_of(line: BookedLine, batch_id: bytes, connector: str) -> list[Row]:
    """A line's double entries as rows of settlement_postings, in the order of POSTING_COLUMNS."""
    row, batch = line.row, uuid(batch_id)
    number, day, name = integer(row.line), date_of(row.booked_on), words(connector)
    return [
        (
            *(batch, number, integer(one.leg), name, words(one.amount.currency), words(one.debit), words(one.credit)),
            *(bigint(one.amount.minor), day),
        )
        for one in line.postings
    ]


async def copy(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Writes these rows. There should be a transaction; a constraint that forbids one of them is a psycopg error, and none is written."""
    if not rows:
        return
    count = _count(len(columns))
    parts = [_SIGNATURE]
    for row in rows:
        parts.append(count)
        parts += row
    parts.append(_END)
    async with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY payorch.{table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)") as stream,
    ):
        await stream.write(b"".join(parts))


async def copy_items(connection: Connection, table: str, some: Sequence[FindingRow] | Sequence[DeadLetter]) -> None:
    """Writes new findings or dead letters, many at once."""
    if not some:
        return
    encoded = [entry_row(one) for one in some]
    await copy(connection, table, [name for name, _ in encoded[0][0].columns], [row for _, row in encoded])


def read(values: Sequence[Any]) -> SettlementRow:
    """The line in a row of settlement_rows: its columns from `line` to `booked_at`, without the connector (`READ_COLUMNS`)."""
    line, identity, kind, type_, booked_on, gross, currency, fee, net, net_currency, *ids, rate, payout, booked_at = values
    psp_operation, psp_payment, our_references = (tuple(one.split()) for one in ids)
    return SettlementRow(
        line=line,
        identity=identity,
        kind=RowKind(kind),
        type=type_,
        booked_on=booked_on,
        gross=Money(gross, currency),
        fee=Money(fee, net_currency),
        net=Money(net, net_currency),
        psp_operation=psp_operation,
        psp_payment=psp_payment,
        our_references=our_references,
        rate=rate,
        payout=payout,
        booked_at=utc(booked_at),
    )


READ_COLUMNS: Final = ", ".join(name for name in ROW_COLUMNS[1:18] if name != "connector")
