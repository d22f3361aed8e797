"""The reconciler in the real platform: lines of reports find out what was lost, contradict what is known, and take effect once.

The platform, its database and its PSP are those of the simulation, in virtual time; a test says what goes wrong, and nothing else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import trio
from trio.testing import MockClock

from connectors.simulator.faults import HEALTHY, After, Before, RequestKind, Verdict
from payorch.domain.desk import Story
from payorch.domain.events import HoldEnded
from payorch.domain.matching import Policy
from payorch.domain.money import Money
from payorch.domain.payment import Name
from payorch.domain.settlement import INWARD, RowKind, SettlementRow
from payorch.settlements import Imported, Report, Rules, import_report
from payorch.store import reads
from payorch.store.driver import Connection
from payorch.store.query import all_rows
from tests.conftest import Database
from tests.settlement_world import parse, report_of
from tests.simulation.ports import SimulatedClock, SimulatedEntropy
from tests.simulation.runtime import Life, Runtime
from tests.simulation.world import Dead, World

CONNECTOR = "stripe"
LOST = Verdict(after=After.RESET)
AWAY = Verdict(before=Before.RESET)
DAY = 86400
FILES_TAKE = 0.02
"""Real seconds. A file is read in a thread, of which the clock of tests does not know that anything happens there: without some patience a
busy machine lets hours pass meanwhile, and waits for connections are over before they began."""


class Scene:
    """A platform, its PSP, and reports that are imported beside it. verdict: what befalls each call to the PSP, by its kind."""

    def __init__(self, world: World, runtime: Runtime, connection: Connection) -> None:
        self.world = world
        self.runtime = runtime
        self.verdict: Callable[[RequestKind], Verdict] = lambda kind: HEALTHY
        self._connection = connection
        self._later = timedelta(0)
        now = world.now
        world.now = lambda: now() + self._later  # type: ignore[method-assign]
        world.psp.misfortune = lambda kind: self.verdict(kind)  # type: ignore[method-assign]
        self._reports = 0

    @property
    def life(self) -> Life:
        [life] = self.runtime._lives
        return life

    def days_pass(self, days: int) -> None:
        """The clock on the wall goes on, and nothing happens meanwhile."""
        self._later += timedelta(days=days)

    async def pay(self, **more: Any) -> dict[str, Any]:
        """A payment of 20 euro, as it is answered."""
        body = {"amount": 2000, "currency": "EUR", "payment_method": {"type": "card", "token": "tok_visa"}, **more}
        return (await self.runtime.post("/v1/payments", body, f"key-{self.world.ids.random()}")).json

    async def release(self, payment_id: str) -> None:
        """What was set aside goes on."""
        platform = self.life.platform
        before = await platform.read(reads.load_payment, payment_id)
        assert before is not None
        story = Story(before, platform._office.desk(actor="operator:ann", cause="test"))
        story.tell(Name.HOLD_RELEASED, HoldEnded(reason="it was looked into"))
        await platform._commit_story(before, story)

    async def payment(self, payment_id: str) -> dict[str, Any]:
        return (await self.runtime.get(f"/v1/payments/{payment_id}")).json

    async def timeline(self, payment_id: str) -> dict[str, Any]:
        return (await self.runtime.get(f"/v1/payments/{payment_id}/timeline")).json

    async def unknown(self) -> dict[str, Any]:
        """One that the PSP charged, and whose answer and everything after it was lost."""
        self.verdict = lambda kind: LOST if kind is RequestKind.AUTHORIZE else AWAY
        paid = await self.pay()
        self.verdict = lambda kind: AWAY if kind is not RequestKind.CONNECT else HEALTHY
        await trio.sleep(20)
        shown = await self.payment(paid["id"])
        assert (shown["status"], shown["outcome"]) == ("processing", "unconfirmed")
        return shown

    def line(self, kind: RowKind = RowKind.CAPTURE, minor: int = 2000, *, identity: str = "txn_1", **more: Any) -> SettlementRow:
        gross = Money(minor if kind in INWARD else -minor, "EUR")
        return SettlementRow(
            line=2, kind=kind, type="charge", identity=identity, booked_on=self.world.now().date(), gross=gross, fee=Money(0, "EUR"),
            net=gross, **more,
        )  # fmt: skip

    async def report(self, *lines: SettlementRow) -> Imported:
        """Imports a report with these lines, as the command line does beside the running platform."""
        self._reports += 1
        with Report.of(f"report-{self._reports}.csv", [report_of(*lines)], limit_bytes=1 << 20) as report:
            return await import_report(
                lambda: nullcontext(self._connection), CONNECTOR, parse, report,
                Rules(policy=Policy(), chunk_rows=100, zone=ZoneInfo("UTC")), actor="cli:ann", cause="test",
                clock=SimulatedClock(self.world), entropy=SimulatedEntropy(self.world),
            )  # fmt: skip

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return await all_rows(self._connection, query, [])

    async def lines(self) -> list[tuple[str, str | None]]:
        return await self.rows("SELECT state, key FROM payorch.settlement_rows ORDER BY batch_id, line")

    async def movements(self) -> list[tuple[str, int, str]]:
        return await self.rows("SELECT kind, amount::integer, settlement FROM payorch.movements ORDER BY payment_id, sequence")

    async def findings(self) -> list[tuple[str, str]]:
        return await self.rows("SELECT kind, state FROM payorch.reconciliation_findings ORDER BY id")

    async def accounts(self) -> dict[str, int]:
        found = await self.rows("SELECT account, sum(amount)::integer FROM payorch.ledger_lines GROUP BY account HAVING sum(amount) <> 0")
        return {account.partition(":")[0]: amount for account, amount in found}

    async def told(self) -> list[tuple[str, str, str | None]]:
        return await self.rows("SELECT kind, state, outcome FROM payorch.inbox ORDER BY id")

    async def events(self, payment_id: str) -> list[str]:
        return [one["name"] for one in (await self.timeline(payment_id))["data"]]

    async def chain_is_whole(self) -> None:
        assert await self.rows("SELECT count(*) - max(position) FROM payorch.journal") == [(0,)]


@asynccontextmanager
async def scene(database: Database) -> AsyncIterator[Scene]:
    world = World(1, database)
    try:
        runtime = Runtime(world)
        await runtime.enrol()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.run)
            await trio.sleep(1)
            made = Scene(world, runtime, await runtime.judge())
            yield made
            assert not world.wrong, world.wrong[0]
            await made.chain_is_whole()
            nursery.cancel_scope.cancel()
    finally:
        world.close()


# --- evidence ---------------------------------------------------------------------------------------------------------------------------


async def test_a_payment_whose_answer_and_notices_are_lost_is_found_out_by_its_line(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        attempt = paid["attempts"][0]["id"]
        imported = await here.report(here.line(our_references=(attempt,), psp_payment=("pi_known",), psp_operation=("ch_1",)))
        assert (imported.findings, await here.lines()) == ({}, [("evidence", "our_operation")])
        await trio.sleep(20)
        shown = await here.payment(paid["id"])
        assert (shown["status"], shown["amount_captured"]) == ("succeeded", 2000)
        assert await here.lines() == [("matched", "psp_operation")]  # which the payment has learnt from the line
        assert (await here.movements(), await here.findings()) == ([("capture", 2000, "settled")], [])
        assert await here.accounts() == {"psp_balance": 2000, "merchant_payable": -2000}
        timeline = await here.timeline(paid["id"])
        assert [(one["kind"], one["outcome"]) for one in timeline["notices"]] == [("settlement_row", "applied")]
        resolved = timeline["data"][-1]
        assert (resolved["name"], resolved["cause"]) == ("ResolvedCharged", timeline["notices"][0]["id"])
        assert resolved["evidence"]["source"] == "settlement"


async def test_the_same_line_twice_counts_once(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        line = here.line(our_references=(paid["attempts"][0]["id"],))
        await here.report(line)
        await here.report(line)  # the same bytes
        await here.report(line, here.line(RowKind.FEE, 1, identity="fee_1"))  # the same booking in another report
        await trio.sleep(20)
        assert await here.told() == [("settlement_row", "applied", "applied")]
        assert (await here.events(paid["id"])).count("ResolvedCharged") == 1
        assert await here.movements() == [("capture", 2000, "settled")]
        assert sorted(await here.lines(), key=str) == [("beside", None), ("matched", "our_operation")]


async def test_a_line_that_contradicts_opens_a_review_and_keeps_its_finding(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.pay(payment_method={"type": "card", "token": "tok_hard_decline"})
        assert paid["status"] == "failed"
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        assert await here.findings() == [("status_conflict", "open")]
        await trio.sleep(20)
        shown = await here.payment(paid["id"])
        assert (shown["status"], shown["outcome"]) == ("processing", "unconfirmed")
        assert (await here.events(paid["id"]))[-1] == "LateSuccess"
        assert (await here.lines(), await here.movements()) == ([("matched", "our_operation")], [("capture", 2000, "mismatched")])
        assert await here.findings() == [("status_conflict", "open")]


async def test_an_amount_that_differs_is_given_up_to_people(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        await here.report(here.line(minor=1999, our_references=(paid["attempts"][0]["id"],)))
        await trio.sleep(20)
        assert (await here.events(paid["id"]))[-1] == "IntegrityMismatch"
        assert (await here.lines(), await here.movements()) == ([("unmatched", "our_operation")], [])
        assert await here.findings() == [("status_conflict", "open")]
        assert await here.accounts() == {"psp_balance": 1999, "suspense": -1999}


async def test_a_death_between_the_arrival_and_the_weighing_changes_nothing(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        first = here.life

        def cut(payment_id: str, message: object) -> None:
            here.runtime._cut(first)
            raise Dead("between")

        first.platform.directory.tell = cut  # type: ignore[method-assign]
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        await trio.sleep(30)
        assert here.world.died
        assert here.life is not first
        assert await here.told() == [("settlement_row", "applied", "applied")]
        assert (await here.events(paid["id"])).count("ResolvedCharged") == 1
        assert (await here.lines(), await here.movements()) == ([("matched", "our_operation")], [("capture", 2000, "settled")])


async def test_a_line_that_its_payment_does_not_take_over_is_given_up_by_the_schedule(
    database: Database, autojump_clock: MockClock
) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.pay()
        assert paid["status"] == "succeeded"
        # A reversed refund of a payment that has none: it makes the PSP be asked, which knows of none either.
        await here.report(here.line(RowKind.REFUND_REVERSED, 500, our_references=(paid["attempts"][0]["id"],)))
        for _ in range(6):
            await trio.sleep(10)
            assert (await here.lines())[0][0] == "evidence"
            here.days_pass(1)
            await trio.sleep(10)
            if (await here.lines())[0][0] == "unmatched":
                break
        assert (await here.lines())[0][0] == "unmatched"
        assert await here.findings() == [("status_conflict", "open")]
        assert len(await here.told()) == 1


async def test_what_is_set_aside_is_told_once_it_is_released(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        here.life.platform._set_aside(paid["id"], RuntimeError("poison"))
        await trio.sleep(5)
        assert await here.rows("SELECT held FROM payorch.payments") == [(True,)]
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        await trio.sleep(60)
        assert (await here.told(), (await here.lines())[0][0]) == ([], "evidence")
        await here.release(paid["id"])
        here.days_pass(1)
        await trio.sleep(20)
        assert (await here.told(), (await here.payment(paid["id"]))["status"]) == ([("settlement_row", "applied", "applied")], "succeeded")
        assert await here.movements() == [("capture", 2000, "settled")]


# --- what appears later -----------------------------------------------------------------------------------------------------------------


async def test_a_line_of_nothing_known_is_explained_when_its_payment_learns_the_id(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        [theirs] = here.world.psp.ledger.payments(limit=10).items
        await here.report(here.line(psp_payment=(theirs.id,)))
        await trio.sleep(120)
        assert (await here.lines(), await here.findings()) == ([("unmatched", None)], [("missing_here", "open")])
        here.verdict = lambda kind: HEALTHY
        await trio.sleep(4000)
        assert (await here.payment(paid["id"]))["status"] == "succeeded"
        assert await here.lines() == [("matched", "psp_payment")]
        assert (await here.findings(), await here.movements()) == ([("missing_here", "resolved")], [("capture", 2000, "settled")])
        assert await here.accounts() == {"psp_balance": 2000, "merchant_payable": -2000}


# --- the day's work ---------------------------------------------------------------------------------------------------------------------


async def test_what_no_report_has_is_missing_after_its_time_until_a_late_line_has_it(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.pay()
        moved_on = here.world.now().date()
        window = here.runtime.settings.reconciliation.window_days
        here.days_pass(window)
        await trio.sleep(200)
        assert (await here.findings(), await here.movements()) == ([], [("capture", 2000, "pending")])
        here.days_pass(1)
        await trio.sleep(200)
        assert (await here.findings(), await here.movements()) == ([("missing_at_psp", "open")], [("capture", 2000, "mismatched")])
        [(day, difference, detail)] = await here.rows("SELECT day, difference::integer, detail FROM payorch.reconciliation_findings")
        assert (day, difference) == (moved_on + timedelta(days=window), -2000)
        assert "20.00 EUR" in detail
        here.days_pass(1)
        await trio.sleep(200)
        assert len(await here.findings()) == 1
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        assert (await here.findings(), await here.movements()) == ([("missing_at_psp", "resolved")], [("capture", 2000, "settled")])


async def test_days_close_by_themselves_at_their_hour(database: Database, autojump_clock: MockClock) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.pay()
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        booked: date = here.world.now().date()
        await trio.sleep(200)
        assert await here.rows("SELECT day FROM payorch.reconciliation_days") == []
        here.days_pass(1)
        await trio.sleep(200)
        assert await here.rows("SELECT day, state, changed_by FROM payorch.reconciliation_days") == [(booked, "closed", "system")]


@pytest.mark.parametrize("hour", [8, 9])
async def test_nothing_is_done_before_the_hour(database: Database, autojump_clock: MockClock, hour: int) -> None:
    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.pay()
        await here.report(here.line(our_references=(paid["attempts"][0]["id"],)))
        here._later += timedelta(days=1, hours=hour - here.world.now().hour)
        await trio.sleep(200)
        assert len(await here.rows("SELECT day FROM payorch.reconciliation_days")) == (
            hour >= here.runtime.settings.reconciliation.close_hour
        )


# --- the folder -------------------------------------------------------------------------------------------------------------------------


class Formats:
    """A connector of which only its reports are asked for."""

    def __init__(self, settlement: Callable[..., Any]) -> None:
        self.settlement = settlement


async def test_a_report_in_the_folder_is_imported_and_what_is_none_says_why(
    database: Database, autojump_clock: MockClock, tmp_path: Path
) -> None:
    def broken(chunks: object) -> None:
        raise TypeError("a bug")

    autojump_clock.autojump_threshold = 0
    async with scene(database) as here:
        paid = await here.unknown()
        reconciliation = here.life.platform._reconciliation
        reconciliation._settings = reconciliation._settings.model_copy(update={"drop_folder": str(tmp_path)})
        folder = reconciliation._folder()
        assert folder is not None
        whole = report_of(here.line(our_references=(paid["attempts"][0]["id"],)))
        for name, content in (("good.csv", whole), ("not.csv", b"hello"), ("empty.csv", b"")):
            (tmp_path / f"{CONNECTOR}-{name}").write_bytes(content)
        reconciliation._connectors = {CONNECTOR: Formats(parse)}  # type: ignore[dict-item]
        autojump_clock.autojump_threshold = FILES_TAKE
        assert await folder.look() + await folder.look() == 1
        autojump_clock.autojump_threshold = 0
        await trio.sleep(20)
        assert (await here.payment(paid["id"]))["status"] == "succeeded"
        assert [one.name for one in sorted((tmp_path / "done" / CONNECTOR).iterdir())] == [f"{CONNECTOR}-good.csv"]
        refused = {one.name: one.read_text() for one in (tmp_path / "refused" / CONNECTOR).iterdir() if one.suffix == ".reason"}
        assert "is no settlement report of" in refused[f"{CONNECTOR}-not.csv.reason"]
        assert "its first line is another" in refused[f"{CONNECTOR}-empty.csv.reason"]
        assert await here.rows("SELECT received_by FROM payorch.settlement_batches") == [("system",)]
        reconciliation._connectors = {CONNECTOR: Formats(broken)}  # type: ignore[dict-item]
        (tmp_path / f"{CONNECTOR}-bug.csv").write_bytes(whole)
        autojump_clock.autojump_threshold = FILES_TAKE
        assert await folder.look() + await folder.look() == 0
        assert "TypeError" in (tmp_path / "refused" / CONNECTOR / f"{CONNECTOR}-bug.csv.reason").read_text()
