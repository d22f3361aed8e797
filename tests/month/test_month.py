"""A simulated month with nothing wrong in it: every day of every PSP closes at zero, and not one line is left for people."""

from __future__ import annotations

import os
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from trio.testing import MockClock

from payorch.store import reconciliation_sums
from tests.conftest import Database
from tests.month.trade import CURRENCIES, STORIES, Trade, a_day
from tests.month.world import PSPS, Town, town

MARCH: Final = date(2026, 3, 1)
DAYS: Final = 31
"""With the nights in which California's and Amsterdam's clocks are put forward."""
AGAIN: Final = 5 if os.environ.get("PROVE") == "1" else 1


async def test_every_day_of_a_month_closes_at_zero(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with town(database, MARCH, tmp_path) as here:
        trade = Trade(here, DAYS, again=AGAIN)
        for day in range(DAYS):
            await a_day(here, trade, MARCH, day)
            await _all_is_closed(here, MARCH + timedelta(days=day))
        assert len(trade.begun) == AGAIN * len(STORIES) * sum(map(len, CURRENCIES.values()))
        after = MARCH + timedelta(days=DAYS)
        await a_day(here, trade, MARCH, DAYS)
        closed = await _all_is_closed(here, after)
        assert {(psp, currency) for psp, currency, _ in closed} >= {(psp, currency) for psp in PSPS for currency in CURRENCIES[psp]}
        assert await here.movements() == {"settled": sum((await here.movements()).values())}
        books = await _accounts(here)
        assert not {name for name in books if name[0] in ("psp_receivable", "suspense")}
        for psp in PSPS:
            assert _left_at(books, psp) == _owed_by_its_own_word(here, psp, after)
        verdict = await here.books()
        assert verdict.whole, verdict.findings
        assert verdict.compared == sorted(PSPS)


async def _all_is_closed(here: Town, today: date) -> set[tuple[str, str, date]]:
    """Every day before that one is closed, without a difference or a finding; which those are."""
    assert await here.explained() == []
    over = (await reconciliation_sums.days(here.connection, MARCH - timedelta(days=1), today - timedelta(days=1), here.zones)).days
    left = [(one.figures.connector, one.figures.currency, str(one.figures.day)) for one in over if not one.closed]
    assert left == []
    for one in over:
        figures = one.figures
        assert not figures.gross_difference.minor, figures
        assert (figures.mismatched.count, figures.manually_reviewed.count, figures.pending.count) == (0, 0, 0), figures
    return {(one.figures.connector, one.figures.currency, one.figures.day) for one in over}


async def _accounts(here: Town) -> Counter[tuple[str, str, str]]:
    """What accounts are not at zero with: by name, whose it is (where it is somebody's), and currency."""
    found = await here.rows("SELECT account, currency, sum(amount)::bigint FROM payorch.ledger_lines GROUP BY 1, 2 HAVING sum(amount) <> 0")
    return Counter({(name.partition(":")[0], name.partition(":")[2], currency): amount for name, currency, amount in found})


def _left_at(books: Counter[tuple[str, str, str]], psp: str) -> dict[str, int]:
    """What our books say is in the balance there. Some PSPs book what a day owes over into the next, by two adjustments: one has come."""
    left: Counter[str] = Counter()
    for (name, its, currency), amount in books.items():
        if its == psp and name in ("psp_balance", "adjustments"):
            left[currency] += amount
    return {currency: amount for currency, amount in left.items() if amount}


def _owed_by_its_own_word(here: Town, psp: str, day: date) -> dict[str, int]:
    """What the PSP's own ledger says was below zero when that day began; all else was paid out."""
    mark = here.psps[psp].ledger.reported.last_left(day)
    assert mark is not None
    return dict(mark.left or {})
