"""What a day of reconciliation consists of, piece by piece: lines of reports, movements of ours that no report has, findings about neither.

Each piece stands under one of the four words of `SettlementState`. Not here: the sums over a day (`reconciliation_sums`), explaining a
finding (`reconciliation_findings`), closing a day (`reconciliation_days`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int4, Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import MalformedIdentifier, uuid_of
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import standing
from payorch.domain.settlement import Key, RowKind, RowState, SettlementState
from payorch.store import reconciliation_findings
from payorch.store.driver import Connection
from payorch.store.query import all_rows, utc
from payorch.store.reconciliation_findings import SUBJECT_PREFIX
from payorch.store.reconciliation_items import FindingRow


class MalformedCursor(ValueError):
    """Not a cursor of a list of a day's pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Of:
    """Whose day. zones: the time zone of each connector whose day it is, in which our own movements belong to that day."""

    day: date
    zones: Mapping[str, str]
    currency: str | None = None
    status: SettlementState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a report, with the movement that it was matched with, or the payment that it is evidence for."""

    batch_id: str
    line: int
    kind: RowKind
    type: str
    identity: str
    gross: Money
    fee: Money
    net: Money
    rate: str | None
    payout: str | None
    state: RowState
    key: Key | None
    payment_id: str | None
    sequence: int | None
    subject_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreported:
    """A movement of ours that is in no report."""

    payment_id: str
    sequence: int
    subject_id: str
    kind: MovementKind
    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A line, a movement, or a finding about neither, which then stands alone in `findings`. findings: what there is about it."""

    connector: str
    currency: str
    status: SettlementState
    line: Line | None = None
    movement: Unreported | None = None
    findings: tuple[FindingRow, ...] = ()


async def pieces(connection: Connection, of: Of, *, limit: int, after: str | None = None) -> tuple[list[Piece], str | None]:
    """A page of them, and the cursor for the next page (None: there is no more): lines first, as they stand in the reports.

    Raises MalformedCursor.
    """
    place = _Place.read(after)
    found: list[tuple[_Place, Piece]] = []
    for source, read in enumerate((_lines, _movements, _findings)):
        if len(found) <= limit and place.source <= source:
            begin = place if place.source == source else _Place(source=source)
            found += await read(connection, of, begin, limit + 1 - len(found))
    shown = await _with_findings(connection, [piece for _, piece in found[:limit]])
    return shown, found[limit - 1][0].text() if len(found) > limit else None


async def _with_findings(connection: Connection, some: list[Piece]) -> list[Piece]:
    lines = [(one.line.batch_id, one.line.line) for one in some if one.line is not None]
    of_lines = await reconciliation_findings.of_lines(connection, lines)
    payments = list({one.movement.payment_id for one in some if one.movement is not None})
    of_movements: dict[tuple[str | None, int | None, str | None], list[FindingRow]] = {}
    for finding in await reconciliation_findings.of_payments(connection, payments) if payments else ():
        of_movements.setdefault((finding.payment_id, finding.sequence, finding.subject_id), []).append(finding)
    return [replace(one, findings=one.findings or tuple(_about(one, of_lines, of_movements))) for one in some]


def _about(
    piece: Piece,
    of_lines: Mapping[tuple[str, int], Sequence[FindingRow]],
    of_movements: Mapping[tuple[str | None, int | None, str | None], Sequence[FindingRow]],
) -> Sequence[FindingRow]:
    if piece.line is not None:
        return of_lines.get((piece.line.batch_id, piece.line.line), ())
    if piece.movement is not None:
        return of_movements.get((piece.movement.payment_id, piece.movement.sequence, piece.movement.subject_id), ())
    return ()


# --- where a page begins ----------------------------------------------------------------------------------------------------------------

_NO_UUID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The place after a piece: the source, and the key of the piece within it, as far as it has one."""

    source: int
    id: UUID = _NO_UUID
    number: int = 0
    subject: UUID = _NO_UUID

    def text(self) -> str:
        subject = identifiers.text("att", self.subject) if self.subject != _NO_UUID else ""
        return f"{identifiers.text(_PREFIXES[self.source], self.id)}.{self.number}.{subject}"

    @classmethod
    def read(cls, text: str | None) -> _Place:
        if text is None:
            return cls(source=0)
        try:
            id, number, subject = text.split(".")
            prefix, uuid = identifiers.parse(id)
            return cls(source=_PREFIXES.index(prefix), id=uuid, number=_number(number), subject=uuid_of(subject) if subject else _NO_UUID)
        except (MalformedIdentifier, ValueError):
            raise MalformedCursor("not a cursor of this list") from None


_PREFIXES: Final = ("bat", "pay", "fnd")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**31):
        raise ValueError("not a number")
    return int(text)


# --- lines ------------------------------------------------------------------------------------------------------------------------------

LINE_STATUS: Final = """
CASE
    WHEN EXISTS (SELECT FROM payorch.reconciliation_findings AS f
        WHERE f.batch_id = r.batch_id AND f.line = r.line AND f.state IN ('open', 'proposed')) THEN 'mismatched'
    WHEN EXISTS (SELECT FROM payorch.reconciliation_findings AS f
        WHERE f.batch_id = r.batch_id AND f.line = r.line AND f.state IN ('reviewed', 'linked', 'accepted', 'psp_error'))
        THEN 'manually_reviewed'
    WHEN r.state = 'evidence' THEN 'pending'
    WHEN r.state IN ('matched', 'beside') THEN 'settled'
    ELSE 'mismatched'
END
"""
"""Under which word a line `r` stands: `reconciliation.row_status` of the domain, in SQL. A test holds the two to each other."""

_LINES: Final = f"""
SELECT * FROM (
    SELECT r.batch_id, r.line, r.connector, r.currency, {LINE_STATUS} AS status, r.kind, r.type, r.identity, r.gross, r.fee, r.net,
           r.net_currency, r.rate, r.payout, r.state, r.key, r.payment_id, r.sequence, r.subject_id, {SUBJECT_PREFIX.format(of="r")}
    FROM payorch.settlement_rows AS r
    WHERE r.booked_on = $1 AND r.connector = ANY($2::text[]) AND ($3::text IS NULL OR r.currency = $3)
        AND (r.batch_id, r.line) > ($5, $6)
) AS one WHERE $4::text IS NULL OR status = $4 ORDER BY batch_id, line LIMIT $7
"""


async def _lines(connection: Connection, of: Of, after: _Place, limit: int) -> list[tuple[_Place, Piece]]:
    parameters = [of.day, list(of.zones), of.currency, of.status, after.id, Int4(after.number), Int8(limit)]
    return [
        (_Place(source=0, id=row[0], number=row[1]), _line(row)) for row in await all_rows(connection, _LINES, parameters)
    ]  # fmt: skip


def _line(row: Sequence[Any]) -> Piece:
    line = Line(
        batch_id=identifiers.text("bat", row[0]),
        line=row[1],
        kind=RowKind(row[5]),
        type=row[6],
        identity=row[7],
        gross=Money(row[8], row[3]),
        fee=Money(row[9], row[11]),
        net=Money(row[10], row[11]),
        rate=row[12],
        payout=row[13],
        state=RowState(row[14]),
        key=None if row[15] is None else Key(row[15]),
        payment_id=None if row[16] is None else identifiers.text("pay", row[16]),
        sequence=row[17],
        subject_id=None if row[18] is None else identifiers.text(row[19], row[18]),
    )
    return Piece(connector=row[2], currency=row[3], status=SettlementState(row[4]), line=line)


# --- movements that are in no report ----------------------------------------------------------------------------------------------------

UNREPORTED: Final = """
SELECT m.*, whose.zone FROM unnest($3::text[], $4::text[]) AS whose (connector, zone)
JOIN payorch.movements AS m ON m.connector = whose.connector AND m.settlement = 'pending' AND m.batch_id IS NULL
    AND m.at >= $1::timestamp AT TIME ZONE whose.zone AND m.at < ($2::timestamp + interval '1 day') AT TIME ZONE whose.zone
UNION ALL
SELECT m.*, whose.zone FROM unnest($3::text[], $4::text[]) AS whose (connector, zone)
JOIN (SELECT DISTINCT connector, payment_id, sequence, subject_id FROM payorch.reconciliation_findings
    WHERE kind = 'missing_at_psp' AND day >= $1) AS f ON f.connector = whose.connector
JOIN payorch.movements AS m ON m.payment_id = f.payment_id AND m.sequence = f.sequence AND m.subject_id = f.subject_id
    AND m.settlement <> 'pending' AND m.batch_id IS NULL
    AND m.at >= $1::timestamp AT TIME ZONE whose.zone AND m.at < ($2::timestamp + interval '1 day') AT TIME ZONE whose.zone
"""
"""Of the days from $1 to $2, of these connectors ($3, with their zones $4): still awaited, of which there is an index, or found missing.
There are millions of movements, and these are few: whatever stands otherwise without a line was found to be missing before."""

_MOVEMENTS: Final = f"""
SELECT m.payment_id, m.sequence, m.subject_id, m.connector, m.currency, m.settlement, m.kind, m.amount, m.at,
       {SUBJECT_PREFIX.format(of="m")}
FROM ({UNREPORTED}) AS m
WHERE ($5::text IS NULL OR m.currency = $5) AND ($6::text IS NULL OR m.settlement = $6)
    AND (m.payment_id, m.sequence, m.subject_id) > ($7, $8, $9)
ORDER BY m.payment_id, m.sequence, m.subject_id LIMIT $10
"""


async def _movements(connection: Connection, of: Of, after: _Place, limit: int) -> list[tuple[_Place, Piece]]:
    span = [of.day, of.day, list(of.zones), list(of.zones.values())]
    rows = await all_rows(connection, _MOVEMENTS, [*span, of.currency, of.status, after.id, Int4(after.number), after.subject, Int8(limit)])
    return [(_Place(source=1, id=row[0], number=row[1], subject=row[2]), _movement(row)) for row in rows]


def _movement(row: Sequence[Any]) -> Piece:
    movement = Unreported(
        payment_id=identifiers.text("pay", row[0]),
        sequence=row[1],
        subject_id=identifiers.text(row[9], row[2]),
        kind=MovementKind(row[6]),
        amount=Money(row[7], row[4]),
        at=utc(row[8]),
    )
    return Piece(connector=row[3], currency=row[4], status=SettlementState(row[5]), movement=movement)


# --- findings about neither -------------------------------------------------------------------------------------------------------------

_FINDINGS: Final = """
SELECT f.id FROM payorch.reconciliation_findings AS f
WHERE f.day = $1 AND f.connector = ANY($2::text[]) AND ($3::text IS NULL OR f.currency = $3) AND f.id > $5
    AND ($4::text IS NULL OR $4 = CASE WHEN f.state IN ('open', 'proposed') THEN 'mismatched'
        WHEN f.state = 'resolved' THEN 'settled' ELSE 'manually_reviewed' END)
    AND NOT EXISTS (SELECT FROM payorch.settlement_rows AS r WHERE r.batch_id = f.batch_id AND r.line = f.line)
ORDER BY f.id LIMIT $6
"""


async def _findings(connection: Connection, of: Of, after: _Place, limit: int) -> list[tuple[_Place, Piece]]:
    rows = await all_rows(connection, _FINDINGS, [of.day, list(of.zones), of.currency, of.status, after.id, Int8(limit)])
    return [
        (_Place(source=2, id=uuid_of(one.id)), _alone(one))
        for one in await reconciliation_findings.by_ids(connection, [identifiers.text("fnd", id) for (id,) in rows])
    ]


def _alone(finding: FindingRow) -> Piece:
    status = standing((finding.state,), otherwise=SettlementState.SETTLED)
    return Piece(connector=finding.connector, currency=finding.currency, status=status, findings=(finding,))
