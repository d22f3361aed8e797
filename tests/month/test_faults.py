"""What is wrong in a PSP's report is found, exactly that and nothing else; its day stays open until a person has explained it.

One fault at a time, at all three PSPs at once: it befalls one booking of each. Beside it there are other bookings that are in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from trio.testing import MockClock

from connectors.simulator.faults import FaultKind
from payorch.domain.explanations import Action
from payorch.domain.settlement import FindingKind, FindingState
from payorch.store import reconciliation_findings, reconciliation_sums
from payorch.store.reconciliation_findings import Filter
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day
from tests.conftest import Database
from tests.month.trade import Order
from tests.month.world import PSPS, WINDOW_DAYS, Town, town

MONDAY: Final = date(2026, 2, 2)
TUESDAY: Final = MONDAY + timedelta(days=1)
WINDOW_ENDS: Final = MONDAY + timedelta(days=WINDOW_DAYS)
CURRENCY: Final = {"stripe": "ISK", "adyen": "EUR", "paypal": "JPY"}
"""One that is exchanged, one with cents, one without."""
SETTLED: Final = 3
"""Bookings of payments on a Monday at each PSP: two captures and a refund."""


@dataclass(slots=True)
class Week:
    """A Monday's business, its reports, and what people make of them. befallen: the first order at each PSP."""

    town: Town
    befallen: dict[str, Order] = field(default_factory=dict)

    async def business(self) -> None:
        """Two payments at each PSP, of which one is given back in part."""
        self.town.turn_to(MONDAY, 12)
        for psp in PSPS:
            self.befallen[psp] = Order(self.town, psp, CURRENCY[psp], 1)
            await self.befallen[psp].pay()
        await self.town.a_while(0.5)  # the fault befalls what was booked first
        for psp in PSPS:
            other = Order(self.town, psp, CURRENCY[psp], 2)
            await other.pay()
            await other.refund(other.part(30))
        await self.town.a_while()

    async def reported(self, day: date = MONDAY) -> None:
        """The next morning: that day's reports, and the day's work."""
        self.town.turn_to(day + timedelta(days=1), 8, 1)
        await self.town.bring_all(day)
        await self.town.a_while()  # what was told to payments is weighed, hours before the day is to be closed
        await self.worked_until(day + timedelta(days=1))

    async def worked_until(self, day: date) -> None:
        """The day's work of every PSP is done on that day."""
        for hour in (12, 20):
            self.town.turn_to(day, hour)
            await self.town.a_while()

    async def day(self, psp: str, day: date = MONDAY) -> Day:
        return await reconciliation_sums.day(self.town.connection, day, psp, CURRENCY[psp], self.town.zones[psp])

    async def all_closed(self, day: date = MONDAY, *, reviewed: int, settled: int, pending: int = 0) -> None:
        """That day is closed at every PSP, and so many of its items stand under each word."""
        for psp in PSPS:
            found = await self.day(psp, day)
            assert found.closed, (psp, await self.town.explained())
            figures = found.figures
            counts = (figures.settled.count, figures.manually_reviewed.count, figures.pending.count, figures.mismatched.count)
            assert counts == (settled, reviewed, pending, 0), (psp, counts)
            assert figures.unexplained == ()

    async def open_findings(self, psp: str) -> list[FindingRow]:
        found, _ = await reconciliation_findings.find(self.town.connection, Filter(connector=psp, states=(FindingState.OPEN,)), limit=10)
        return found

    async def nothing_is_found(self) -> None:
        assert await self.town.explained() == []

    async def found(self, kind: FindingKind, *, day: date = MONDAY) -> dict[str, FindingRow]:
        """That and nothing else is open at each PSP, on that day, which cannot be closed; the finding of each."""
        findings = {}
        for psp in PSPS:
            opened = await self.open_findings(psp)
            assert [(one.kind, one.day) for one in opened] == [(kind, day)], await self.town.explained()
            [findings[psp]] = opened
            left = await self.day(psp, day)
            assert not left.closed
            assert left.figures.mismatched.count == (day == MONDAY)  # what is missing is counted on the day on which it moved
            refused = await self.town.desk().close(day, psp, CURRENCY[psp])
            assert not refused.closed
            assert f"1 finding {kind.value}" in refused.why
        return findings

    async def explained(self, findings: dict[str, FindingRow], action: Action, state: FindingState) -> None:
        """A person explains each of them, and then closes its day."""
        for psp, finding in findings.items():
            done = await self.town.desk().explain(action, finding.id, reason="the PSP was asked")
            assert done.finding is not None, done.text
            assert done.finding.state is state
            closed = await self.town.desk().close(finding.day, psp, CURRENCY[psp])
            assert closed.closed, closed.why


@asynccontextmanager
async def week_with(fault: FaultKind | None, database: Database, folder: Path) -> AsyncIterator[Week]:
    """Business on Monday; and at every PSP that fault befalls the first booking that it can, in the report of that day."""
    async with town(database, MONDAY, folder) as here:
        week = Week(here)
        await week.business()
        for psp in here.psps.values():
            if fault is not None:
                psp.put_in_force(fault)
        await week.reported()
        for psp in here.psps.values():
            assert not any(one.remaining for one in psp.state.faults), "a fault that befell nothing shows nothing"
        yield week
        verdict = await here.books()
        assert verdict.whole, verdict.findings


# --- one fault, one finding -------------------------------------------------------------------------------------------------------------


async def test_without_any_fault_monday_closes(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(None, database, tmp_path) as week:
        await week.nothing_is_found()
        await week.all_closed(settled=SETTLED, reviewed=0)


async def test_what_is_missing_is_found_when_its_time_is_over(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_MISSING, database, tmp_path) as week:
        await week.all_closed(settled=SETTLED - 1, pending=1, reviewed=0)
        await week.worked_until(WINDOW_ENDS)
        await week.nothing_is_found()
        await week.worked_until(WINDOW_ENDS + timedelta(days=1))
        found = await week.found(FindingKind.MISSING_AT_PSP, day=WINDOW_ENDS)
        assert {psp: one.difference for psp, one in found.items()} == {psp: -order.amount for psp, order in week.befallen.items()}
        assert {one.payment_id for one in found.values()} == {order.payment_id for order in week.befallen.values()}
        await week.explained(found, Action.PSP_ERROR, FindingState.PSP_ERROR)
        await week.all_closed(settled=SETTLED - 1, reviewed=1)


async def test_what_is_nobodys_is_missing_here(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_EXTRA, database, tmp_path) as week:
        found = await week.found(FindingKind.MISSING_HERE)
        assert {psp: one.difference for psp, one in found.items()} == {psp: order.amount for psp, order in week.befallen.items()}
        await week.explained(found, Action.PSP_ERROR, FindingState.PSP_ERROR)
        await week.all_closed(settled=SETTLED, reviewed=1)


async def test_what_is_booked_twice_is_a_duplicate(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_DOUBLED, database, tmp_path) as week:
        found = await week.found(FindingKind.DUPLICATE)
        assert {psp: one.difference for psp, one in found.items()} == {psp: order.amount for psp, order in week.befallen.items()}
        await week.explained(found, Action.PSP_ERROR, FindingState.PSP_ERROR)
        await week.all_closed(settled=SETTLED, reviewed=1)


async def test_what_is_booked_a_day_later_is_settled_a_day_later(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_SHIFTED, database, tmp_path) as week:
        await week.all_closed(settled=SETTLED - 1, pending=1, reviewed=0)
        await week.reported(TUESDAY)
        await week.nothing_is_found()
        await week.all_closed(settled=SETTLED - 1, reviewed=0)
        await week.all_closed(TUESDAY, settled=1, reviewed=0)
        assert await week.town.movements() == {"settled": SETTLED * len(PSPS)}
        await week.worked_until(WINDOW_ENDS + timedelta(days=2))
        await week.nothing_is_found()


async def test_a_wrong_amount_is_found(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_WRONG_AMOUNT, database, tmp_path) as week:
        found = await week.found(FindingKind.AMOUNT)
        assert {psp: one.difference for psp, one in found.items()} == {psp: order.amount // 10 for psp, order in week.befallen.items()}
        await week.explained(found, Action.PSP_ERROR, FindingState.PSP_ERROR)
        await week.all_closed(settled=SETTLED - 1, reviewed=1)


async def test_a_wrong_fee_is_found(database: Database, autojump_clock: MockClock, tmp_path: Path) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_WRONG_FEE, database, tmp_path) as week:
        found = await week.found(FindingKind.FEE)
        for one in found.values():
            assert one.difference is not None
            assert one.expected is not None
            assert one.difference == max(1, one.expected // 2)
        assert {psp: one.amount_currency for psp, one in found.items()} == {**CURRENCY, "stripe": "EUR"}  # into which it is exchanged
        await week.explained(found, Action.REVIEW, FindingState.REVIEWED)
        await week.all_closed(settled=SETTLED - 1, reviewed=1)


async def test_a_line_that_nobody_can_read_is_found_and_its_payment_missed(
    database: Database, autojump_clock: MockClock, tmp_path: Path
) -> None:
    autojump_clock.autojump_threshold = 0
    async with week_with(FaultKind.SETTLEMENT_BAD_ROW, database, tmp_path) as week:
        found = await week.found(FindingKind.UNPARSEABLE)
        letters = await week.town.rows("SELECT kind, state, count(*)::integer FROM payorch.dead_letters GROUP BY kind, state")
        assert letters == [("settlement_row", "open", len(PSPS))]
        await week.explained(found, Action.REVIEW, FindingState.REVIEWED)
        await week.all_closed(settled=SETTLED - 1, pending=1, reviewed=1)
        await week.worked_until(WINDOW_ENDS + timedelta(days=1))
        missing = await week.found(FindingKind.MISSING_AT_PSP, day=WINDOW_ENDS)
        await week.explained(missing, Action.PSP_ERROR, FindingState.PSP_ERROR)
        await week.all_closed(settled=SETTLED - 1, reviewed=2)


# --- what is for people already ---------------------------------------------------------------------------------------------------------


async def test_a_charge_that_fails_when_it_had_succeeded_is_in_review_and_so_is_its_line(
    database: Database, autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Where paying is one call that takes the money, there is no capture of ours that could fail: the payment is given to people, and the
    line about it waits with it. Where the capture is ours, our books know what happened, and the line fits.
    """
    autojump_clock.autojump_threshold = 0
    async with town(database, MONDAY, tmp_path) as here:
        week = Week(here)
        here.turn_to(MONDAY, 12)
        orders = {psp: Order(here, psp, CURRENCY[psp], 1) for psp in PSPS}
        for order in orders.values():
            await order.pay("tok_capture_fails_late")
        await here.a_while(4)
        await week.reported()
        for order in orders.values():
            assert (await here.payment(order.payment_id))["state"] == "MANUAL_REVIEW"
        assert await here.findings() == [(psp, "status_conflict", "open") for psp in ("paypal", "stripe")]
        assert await here.movements() == {"settled": len(PSPS) + 1}
        assert [(await week.day(psp)).closed for psp in ("adyen", "paypal", "stripe")] == [True, False, False]


# --- what was lost ----------------------------------------------------------------------------------------------------------------------


async def test_what_every_answer_and_notice_was_lost_of_is_found_out_by_its_report(
    database: Database, autojump_clock: MockClock, tmp_path: Path
) -> None:
    autojump_clock.autojump_threshold = 0
    async with town(database, MONDAY, tmp_path) as here:
        week = Week(here)
        here.turn_to(MONDAY, 12)
        lost = [Order(here, psp, CURRENCY[psp], 1) for psp in PSPS]
        for order in lost:
            await order.pay(held=True)
        await here.a_while()
        for theirs in here.psps.values():
            theirs.mute = True
        for order in lost:
            await order.capture()
        for psp in ("stripe", "paypal"):  # where paying is one call that takes the money
            lost.append(Order(here, psp, CURRENCY[psp], 2))
            await lost[-1].pay()
        await here.a_while(10)
        for order in lost:
            shown = await here.payment(order.payment_id)
            assert (shown["status"], shown["outcome"], shown["amount_captured"]) == ("processing", "unconfirmed", 0), (order.psp, shown)
        assert all(theirs.lost for theirs in here.psps.values())
        assert await here.movements() == {}
        await week.reported()
        for order in lost:
            shown = await here.payment(order.payment_id)
            assert (shown["status"], shown["amount_captured"]) == ("succeeded", order.amount), (order.psp, shown)
        await week.nothing_is_found()
        assert await here.movements() == {"settled": len(lost)}
        for psp in PSPS:
            assert (await week.day(psp)).closed
        verdict = await here.books()
        assert verdict.whole, verdict.findings
