"""Days of reconciliation that were closed: reading them, and the records of closing one and of opening one again.

A day that was closed said that everything on it is explained. A line that comes later says something new about it, so the day is open again
by an entry of its own in the journal, in the transaction of that line. People open one again for a reason. Not here: when a day may be
closed (`payorch.domain.reconciliation`) and closing it (`reconciliation_closing`), what a day comes to (`reconciliation_sums`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from payorch.domain import identifiers
from payorch.domain.reconciliation import DayFigures
from payorch.store import entries
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import RECONCILIATION_STREAM, Entry
from payorch.store.query import all_rows, utc
from payorch.store.reconciliation_items import DayRow, DayState


def day_id(connector: str, currency: str, day: date) -> str:
    """The identifier of a day: nobody makes it, and everybody knows it."""
    return identifiers.of_name("rcd", f"{connector}/{currency}/{day.isoformat()}")


async def closed_among(connection: Connection, connector: str, days: Iterable[tuple[date, str]]) -> list[DayRow]:
    """Those of these days (with their currencies) that are closed, in order."""
    wanted = sorted(set(days))
    if not wanted:
        return []
    rows = await all_rows(connection, _CLOSED, [connector, [day for day, _ in wanted], [currency for _, currency in wanted]])
    return [_day(row) for row in rows]


async def reopenings(
    connection: Connection, connector: str, days: Iterable[tuple[date, str]], *, at: datetime, actor: str, cause: str, reason: str
) -> list[Entry]:
    """The entries that open those of these days again that are closed, one for each; to be written in this transaction
    (`entries.visit`). There must be one, with the lock of reconciliation: between reading a day and changing it nobody closes it.
    """
    return [
        await _reopening(connection, one, at=at, actor=actor, cause=cause, reason=reason)
        for one in await closed_among(connection, connector, days)
    ]


async def _reopening(connection: Connection, closed: DayRow, *, at: datetime, actor: str, cause: str, reason: str) -> Entry:
    change = reopened(closed, at=at, by=actor, reason=reason)
    sequence = await entries.next_sequence(connection, change.stream_id)
    return entries.entry_of(change, sequence=sequence, at=at, actor=actor, cause=cause)


def reopened(closed: DayRow, *, at: datetime, by: str, reason: str) -> Change:
    """The record of a day that is open again. The figures of its close stay with it, for people to compare."""
    return _changed("DayReopened", closed, state=DayState.REOPENED, version=closed.version + 1, changed_at=at, changed_by=by, reason=reason)


def closed(day: DayFigures, before: DayRow | None, *, at: datetime, by: str, reason: str) -> Change:
    """The record of a day that is closed with these figures. before: how it was left, where it had been closed once."""
    row = DayRow(
        day=day.day,
        connector=day.connector,
        currency=day.currency,
        state=DayState.CLOSED,
        version=1 if before is None else before.version + 1,
        figures=msgspec.json.encode(day),
        changed_at=at,
        changed_by=by,
        reason=reason,
    )
    return _changed("DayClosed", row)


def _changed(name: str, row: DayRow, **changes: Any) -> Change:
    after = msgspec.structs.replace(row, **changes)
    detail = {"day": after.day.isoformat(), "connector": after.connector, "currency": after.currency, "reason": after.reason}
    if after.state is DayState.CLOSED:
        detail["figures"] = after.figures.decode()  # the journal vouches for what was signed off
    stream_id = day_id(after.connector, after.currency, after.day)
    return Change(stream=RECONCILIATION_STREAM, stream_id=stream_id, name=name, rows=(after,), detail=detail)


async def load(connection: Connection, day: date, connector: str, currency: str) -> DayRow | None:
    """That day as it was left; None where it was never closed."""
    rows = await all_rows(connection, f"{_SELECT} WHERE day = $1 AND connector = $2 AND currency = $3", [day, connector, currency])
    return _day(rows[0]) if rows else None


async def between(connection: Connection, since: date, until: date) -> list[DayRow]:
    """The days of that span, both ends included, that were closed at some time, as they stand."""
    return [_day(row) for row in await all_rows(connection, _BETWEEN, [since, until])]


_SELECT: Final = """
SELECT day, connector, currency, state, version, figures::text, changed_at, changed_by, reason FROM payorch.reconciliation_days
"""
_BETWEEN: Final = f"{_SELECT} WHERE day BETWEEN $1 AND $2 ORDER BY day, connector, currency"
_CLOSED: Final = """
SELECT found.* FROM unnest($2::date[], $3::text[]) AS wanted (day, currency), LATERAL (
    SELECT day, connector, currency, state, version, figures::text, changed_at, changed_by, reason FROM payorch.reconciliation_days
    WHERE day = wanted.day AND connector = $1 AND currency = wanted.currency AND state = 'closed' OFFSET 0) AS found
ORDER BY found.day, found.currency
"""


def _day(row: Sequence[Any]) -> DayRow:
    return DayRow(
        day=row[0],
        connector=row[1],
        currency=row[2],
        state=DayState(row[3]),
        version=row[4],
        figures=row[5].encode(),
        changed_at=utc(row[6]),
        changed_by=row[7],
        reason=row[8],
    )
