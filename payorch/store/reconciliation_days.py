"""Days of reconciliation that were closed: reading them, and opening one again when the PSP books something on it afterwards.

A day that was closed said that everything on it is explained. A line that comes later says something new about it, so the day is open again
by an entry of its own in the journal, in the transaction of that line. Not here: closing a day (`payorch.domain.reconciliation` says when
that may be), what a day comes to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final

import msgspec

from payorch.domain import identifiers
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
    opened = msgspec.structs.replace(
        closed, state=DayState.REOPENED, version=closed.version + 1, changed_at=at, changed_by=actor, reason=reason
    )
    stream_id = day_id(closed.connector, closed.currency, closed.day)
    detail = {"day": closed.day.isoformat(), "connector": closed.connector, "currency": closed.currency, "reason": reason}
    change = Change(stream=RECONCILIATION_STREAM, stream_id=stream_id, name="DayReopened", rows=(opened,), detail=detail)
    sequence = await entries.next_sequence(connection, stream_id)
    return entries.entry_of(change, sequence=sequence, at=at, actor=actor, cause=cause)


_CLOSED: Final = """
SELECT old.day, old.connector, old.currency, old.state, old.version, old.figures::text, old.changed_at, old.changed_by, old.reason
FROM unnest($2::date[], $3::text[]) AS wanted (day, currency)
JOIN payorch.reconciliation_days AS old ON old.day = wanted.day AND old.connector = $1 AND old.currency = wanted.currency
WHERE old.state = 'closed' ORDER BY old.day, old.currency
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
