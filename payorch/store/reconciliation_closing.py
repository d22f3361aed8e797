"""Closing days: each in a transaction of its own, on the figures as they are at that moment, or not at all and why.

People close a day by hand, and once a day everything that can be closed is. A day of which no report has come yet waits until reports are
no longer awaited (`window_days`): closed on nothing, it would only be opened again by its report. Not here: when a day may be closed
(`payorch.domain.reconciliation`), who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from payorch.domain.reconciliation import may_close, overdue
from payorch.store import entries, reconciliation_days, reconciliation_lock, reconciliation_sums
from payorch.store.driver import Connection
from payorch.store.items import Entry, Result
from payorch.store.reconciliation_sums import Day

LOOKED_BACK_DAYS: Final = 92
"""How far back `close_due_days` looks for days that are open: a quarter. Older ones have been left open on purpose, or are opened again by
a line that came very late; they are closed by their date."""
BY_ITSELF: Final = "nothing on it is unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What became of one day. why: what is left to do, or how it was closed. changed: whether it was closed by this."""

    day: date
    connector: str
    currency: str
    closed: bool
    changed: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who closes, when and because of what, as the journal keeps it."""

    actor: str
    cause: str
    at: datetime


async def close_due_days(connection: Connection, zones: Mapping[str, str], by: By, *, window_days: int) -> list[Closing]:
    """Closes every day of these connectors that is over and explained, oldest first, and says of each that it leaves open what is left.

    zones: the time zone in which each connector counts days. A day that is closed already is not mentioned. Raises psycopg errors; what was
    closed until then stays closed.
    """
    today = {name: by.at.astimezone(ZoneInfo(zone)).date() for name, zone in zones.items()}
    latest = max(today.values(), default=by.at.date())
    found = await reconciliation_sums.days(connection, latest - timedelta(days=LOOKED_BACK_DAYS), latest, zones)
    due = [one.figures for one in found.days if not one.closed and _is_due(one, today, window_days)]
    order = sorted((one.day, one.connector, one.currency) for one in due)
    return [await close(connection, *key, zones, by) for key in order]


def _is_due(day: Day, today: Mapping[str, date], window_days: int) -> bool:
    figures = day.figures
    over = figures.day < today[figures.connector]
    return over and (day.reported or overdue(figures.day, today[figures.connector], window_days))


async def close(
    connection: Connection, on: date, connector: str, currency: str, zones: Mapping[str, str], by: By, *, reason: str = BY_ITSELF
) -> Closing:
    """Closes that day, or says why not. In a transaction of its own."""
    zone = zones[connector]
    async with connection.transaction():
        await reconciliation_lock.take(connection)
        day = await reconciliation_sums.day(connection, on, connector, currency, zone)
        refusal = may_close(day.figures, today=by.at.astimezone(ZoneInfo(zone)).date())
        if day.closed:
            return Closing(day=on, connector=connector, currency=currency, closed=True, changed=False, why="it is closed already")
        if refusal is not None:
            return Closing(day=on, connector=connector, currency=currency, closed=False, changed=False, why=refusal.why)
        change = reconciliation_days.closed(day.figures, day.left, at=by.at, by=by.actor, reason=reason)

        async def visit(entry: Entry) -> Result:
            return await entries.visit(connection, entry)

        await entries.changed(connection, visit, change, at=by.at, actor=by.actor, cause=by.cause)
        return Closing(day=on, connector=connector, currency=currency, closed=True, changed=True, why=reason)
