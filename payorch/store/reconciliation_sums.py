"""What days come to: sums that the database makes over lines of reports, movements that are in no report, and findings.

A line that cannot be read, or a total of lines, has no currency that anybody knows (XXX). It may be any, so it counts on that day of its
connector in every currency there is, and keeps them all open. Where there is no other currency, it is a `Stray` by itself.

Not here: what the figures mean and whether a day may be closed (`payorch.domain.reconciliation`), the pieces one by one (`reconciliation`),
closing (`reconciliation_days`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, TypeAlias

from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import UNEXPLAINED, DayFigures, FindingSum, MovementSum, RowSum, figures
from payorch.domain.settlement import FindingKind, FindingState, RowKind, RowState, SettlementState
from payorch.store import reconciliation_days
from payorch.store.driver import Connection
from payorch.store.query import all_rows
from payorch.store.reconciliation import LINE_STATUS, UNREPORTED
from payorch.store.reconciliation_items import DayRow, DayState

NO_CURRENCY: Final = "XXX"
_Key: TypeAlias = tuple[date, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A PSP's day in one currency: what it comes to now, and how people left it (None: never closed). reported: lines of it have come."""

    figures: DayFigures
    left: DayRow | None = None
    reported: bool = False

    @property
    def closed(self) -> bool:
        return self.left is not None and self.left.state is DayState.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """Findings of no known currency, on a day of a connector of which nothing else is known. unexplained: how many of them are."""

    day: date
    connector: str
    findings: int
    unexplained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The days that have anything, newest first, then by connector and currency."""

    days: Sequence[Day]
    strays: Sequence[Stray] = ()


@dataclass(slots=True)
class _Sums:
    rows: list[RowSum] = field(default_factory=list)
    movements: list[MovementSum] = field(default_factory=list)
    findings: list[FindingSum] = field(default_factory=list)


async def days(connection: Connection, since: date, until: date, zones: Mapping[str, str]) -> Days:
    """The days from `since` to `until` (both included) of these connectors. zones: the time zone in which each of them counts days.

    The sums are made by three statements. Where they must be of one moment, there is a transaction with the lock of reconciliation.
    """
    span = [since, until, list(zones)]
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for row in await all_rows(connection, _LINES, span):
        sums[row[0], row[1], row[2]].rows.append(_row_sum(row[3:]))
    for row in await all_rows(connection, _MOVEMENTS, [*span, list(zones.values())]):
        sums[row[0], row[1], row[2]].movements.append(_movement_sum(row[3:]))
    for row in await all_rows(connection, _FINDINGS, span):
        sums[row[0], row[1], row[2]].findings.append(_finding_sum(row[3:]))
    homeless = {(day, connector): sums.pop((day, connector, NO_CURRENCY)).findings for day, connector, _ in _of_no_currency(sums)}
    left = {(one.day, one.connector, one.currency): one for one in await reconciliation_days.between(connection, since, until)}
    for key in left:
        if key[1] in zones:
            sums.setdefault(key, _Sums())  # a day that was closed with nothing on it is a day
    order = sorted(sums, key=lambda key: (-key[0].toordinal(), key[1], key[2]))
    found = [_day(key, sums[key], homeless.get(key[:2], ()), left.get(key)) for key in order]
    known = {key[:2] for key in sums}
    return Days(days=found, strays=[_stray(key, of) for key, of in sorted(homeless.items()) if key not in known])


async def day(connection: Connection, on: date, connector: str, currency: str, zone: str) -> Day:
    """One day of a connector in one currency, whether or not there is anything on it."""
    found = await days(connection, on, on, {connector: zone})
    strays = [FindingSum(kind=FindingKind.UNPARSEABLE, state=FindingState.OPEN, currency=NO_CURRENCY, count=one.unexplained, gross=0,
                         unknown=one.unexplained, alone=True) for one in found.strays if one.unexplained]  # fmt: skip
    nothing = Day(figures=figures(on, connector, currency, findings=strays))
    return next((one for one in found.days if one.figures.currency == currency), nothing)


def _of_no_currency(sums: Mapping[_Key, _Sums]) -> list[_Key]:
    return [key for key in sums if key[2] == NO_CURRENCY]


def _day(key: _Key, of: _Sums, homeless: Sequence[FindingSum], left: DayRow | None) -> Day:
    folded = figures(*key, rows=of.rows, movements=of.movements, findings=[*of.findings, *homeless])
    return Day(figures=folded, left=left, reported=bool(of.rows))


def _stray(key: tuple[date, str], findings: Sequence[FindingSum]) -> Stray:
    unexplained = sum(one.count for one in findings if one.state in UNEXPLAINED)
    return Stray(day=key[0], connector=key[1], findings=sum(one.count for one in findings), unexplained=unexplained)


_LINES: Final = f"""
SELECT day, connector, currency, kind, state, status, count(*), sum(abs(gross))::bigint, sum(gross)::bigint, net_currency,
       sum(fee)::bigint, sum(net)::bigint
FROM (
    SELECT r.booked_on AS day, r.connector, r.currency, r.kind, r.state, {LINE_STATUS} AS status, r.gross, r.fee, r.net, r.net_currency
    FROM payorch.settlement_rows AS r WHERE r.booked_on BETWEEN $1 AND $2 AND r.connector = ANY($3::text[])
) AS one
GROUP BY day, connector, currency, kind, state, status, net_currency ORDER BY day, connector, currency, kind, state, status, net_currency
"""
_MOVEMENTS: Final = f"""
SELECT (m.at AT TIME ZONE m.zone)::date, m.connector, m.currency, m.kind, m.settlement, count(*), sum(m.amount)::bigint
FROM ({UNREPORTED}) AS m GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
_FINDINGS: Final = """
SELECT day, connector, currency, kind, state, amount_currency, batch_id IS NULL AND payment_id IS NULL
    OR batch_id IS NOT NULL AND payment_id IS NULL AND NOT EXISTS (
        SELECT FROM payorch.settlement_rows AS r WHERE r.batch_id = f.batch_id AND r.line = f.line),
    count(*), coalesce(sum(abs(difference)), 0)::bigint, count(*) FILTER (WHERE difference IS NULL)
FROM payorch.reconciliation_findings AS f WHERE day BETWEEN $1 AND $2 AND connector = ANY($3::text[])
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7
"""


def _row_sum(row: Sequence[Any]) -> RowSum:
    return RowSum(
        kind=RowKind(row[0]),
        state=RowState(row[1]),
        status=SettlementState(row[2]),
        count=row[3],
        gross=row[4],
        balance=row[5],
        net_currency=row[6],
        fee=row[7],
        net=row[8],
    )


def _movement_sum(row: Sequence[Any]) -> MovementSum:
    return MovementSum(kind=MovementKind(row[0]), status=SettlementState(row[1]), count=row[2], amount=row[3])


def _finding_sum(row: Sequence[Any]) -> FindingSum:
    return FindingSum(
        kind=FindingKind(row[0]),
        state=FindingState(row[1]),
        currency=row[2],
        alone=row[3],
        count=row[4],
        gross=row[5],
        unknown=row[6],
    )
