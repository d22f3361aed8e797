"""Lines that are looked at again: whatever they come to is written whole, once, and told in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

from payorch.domain.differences import unexpected
from payorch.domain.matching import Candidate, Policy, Verdict, match
from payorch.domain.settlement import Finding, FindingKind, RowKind, RowState, SettlementRow
from payorch.domain.told_lines import Step
from payorch.store import reconciliation_lock
from payorch.store.driver import Connection
from payorch.store.items import Arrival, NoticeMark, NoticeState
from payorch.store.settlement_evidence import Judge, Look, Looked, WaitingLine, due, look_again, unmatched
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, World, booking, capture_of, report_of, world_on
from tests.store.stories import START, Story, connected, new_id

LATER = START + timedelta(days=9)


def as_matched(row: SettlementRow, candidates: Sequence[Candidate]) -> Verdict:
    return match(row, candidates, Policy(), connector=CONNECTOR)


async def no_fee(connection: Connection, row: SettlementRow, candidate: Candidate) -> Finding | None:
    return None


def look(judge: Judge = as_matched, **changes: Any) -> Look:
    return replace(Look(judge=judge, fee=no_fee, zone=UTC, tries_seconds=(2, 30), at=LATER), **changes)


async def only(world: World) -> WaitingLine:
    [line] = await due(world.connection, LATER + timedelta(days=2), [CONNECTOR], limit=10)
    return line


async def again(world: World, line: WaitingLine, how: Look | None = None) -> Looked | None:
    return await look_again(world.connection, line, how or look())


async def capture(world: World, story: Story) -> None:
    """It is found out that the payment was held, and it is captured."""
    await world.journal.write([story.authorized()])
    await world.journal.write([story.capture_requested(story.minor)])
    await world.journal.write([story.captured()])


async def lines(world: World) -> list[tuple[Any, ...]]:
    return await world.all("SELECT state, tries, next_try_at IS NOT NULL FROM payorch.settlement_rows ORDER BY batch_id, line")


async def entries(world: World) -> list[str]:
    found = await world.all("SELECT name FROM payorch.journal WHERE stream IN ('batch', 'finding') ORDER BY position")
    return [name for (name,) in found if not name.startswith("SettlementBatch") and name != "SettlementRowsImported"]


async def balances(world: World) -> dict[str, int]:
    found = await world.all("SELECT account, sum(amount)::integer FROM payorch.ledger_lines GROUP BY account HAVING sum(amount) <> 0")
    return {account.partition(":")[0]: amount for account, amount in found}


async def test_evidence_waits_for_its_payment_and_is_matched_with_what_that_made_of_it(database: Database) -> None:
    async with world_on(database) as world:
        story = await world.unknown()
        await world.take(report_of(capture_of(story)))
        looked = await again(world, await only(world))
        assert looked is not None
        assert (looked.step, looked.line.payment_id, looked.line.subject_id) == (Step.TELL, story.payment_id, story.attempt.id)
        assert await lines(world) == [("evidence", 1, True)]
        await capture(world, story)
        looked = await again(world, looked.line)
        assert looked is not None
        assert (looked.step, looked.state) == (Step.SETTLE, RowState.MATCHED)
        assert (await lines(world), await world.findings()) == ([("matched", 1, False)], [])
        assert [row[4] for row in await world.movements()] == ["settled"]
        assert await balances(world) == {"psp_balance": story.minor, "merchant_payable": -story.minor}
        assert await entries(world) == ["SettlementRowSettled"]
        assert await again(world, looked.line) is None  # it is settled


async def test_what_was_nothing_of_ours_becomes_evidence_and_is_explained_in_the_end(database: Database) -> None:
    async with world_on(database) as world:
        story = Story()
        attempt = story.new_attempt()
        await world.take(report_of(booking(RowKind.CAPTURE, story.minor, "txn_1", our_references=(attempt.id,))))
        [line], cursor = await unmatched(world.connection, after=None, limit=10)
        assert (cursor, await due(world.connection, LATER, [CONNECTOR], limit=10)) == (None, [])
        still = await again(world, line)
        assert still is not None
        assert (still.step, await lines(world)) == (Step.GIVE_UP, [("unmatched", 0, False)])
        await world.journal.write([story.sent(attempt=attempt)])
        looked = await again(world, line)
        assert looked is not None
        assert (looked.step, await lines(world)) == (Step.TELL, [("evidence", 1, True)])
        await capture(world, story)
        await again(world, await only(world))
        assert await lines(world) == [("matched", 1, False)]
        assert [row[:2] for row in await world.findings()] == [("missing_here", "resolved")]
        assert await entries(world) == ["SettlementRowBecameEvidence", "SettlementRowSettled", "FindingResolved"]
        assert await balances(world) == {"psp_balance": story.minor, "merchant_payable": -story.minor}


async def test_what_its_payment_never_takes_over_is_given_up_once(database: Database) -> None:
    async with world_on(database) as world:
        story = await world.unknown()
        await world.take(report_of(capture_of(story, fee=5)))
        await world.connection.execute("UPDATE payorch.settlement_rows SET tries = 2")
        tell = await again(world, await only(world))
        assert tell is not None
        assert tell.step is Step.TELL  # the schedule begins with the telling
        await tell_the_inbox(world, tell.line)
        for tries, step in ((1, Step.WAIT), (2, Step.GIVE_UP)):
            looked = await again(world, await only(world))
            assert looked is not None
            assert (looked.line.tries, looked.step) == (tries, step)
        assert await lines(world) == [("unmatched", 2, False)]
        assert [row[:2] for row in await world.findings()] == [("status_conflict", "open")]
        assert await balances(world) == {"psp_balance": story.minor - 5, "psp_fees": 5, "suspense": -story.minor}
        [line], _ = await unmatched(world.connection, after=None, limit=10)
        before = await world.contents()
        assert (await again(world, line)) is not None
        assert await world.contents() == before


async def tell_the_inbox(world: World, line: WaitingLine) -> None:
    """It was told, and its payment has weighed it."""

    notice = new_id("ntc")
    arrival = Arrival(
        id=notice, connector=line.connector, identity=line.identity, digest=b"d" * 32, kind="settlement_row", sealed=b"s", refers=b"{}",
        received_at=START, request_id=line.batch_id, next_try_at=START,
    )  # fmt: skip
    await world.journal.write([arrival])
    await world.journal.write([NoticeMark(notice_id=notice, state=NoticeState.APPLIED, outcome="implied", at=START)])


async def test_a_fee_that_is_wrong_and_a_second_booking_are_found_as_an_import_finds_them(database: Database) -> None:
    async def dear(connection: Connection, row: SettlementRow, candidate: Candidate) -> Finding | None:
        return unexpected(FindingKind.FEE, row, "the PSP kept more")

    async with world_on(database) as world:
        story = await world.unknown()
        await world.take(report_of(capture_of(story), capture_of(story, identity="txn_again")))
        await capture(world, story)
        for line in await due(world.connection, LATER, [CONNECTOR], limit=10):
            await again(world, line, look(fee=dear))
        states = sorted(state for state, _, _ in await lines(world))
        assert states == ["duplicate", "matched"]
        assert [row[:2] for row in await world.findings()] == [("duplicate", "open"), ("fee", "open")]
        assert [row[4] for row in await world.movements()] == ["mismatched"]


async def test_nothing_is_looked_at_while_somebody_works_on_reports(database: Database) -> None:
    async with world_on(database) as world, connected(database.app) as other:
        story = await world.unknown()
        await world.take(report_of(capture_of(story)))
        line = await only(world)
        async with other.transaction():
            await reconciliation_lock.take(other)
            assert await again(world, line) is None
        assert (await again(world, line)) is not None


async def test_unmatched_lines_are_read_page_by_page(database: Database) -> None:
    async with world_on(database) as world:
        await world.take(report_of(*[booking(RowKind.CAPTURE, 100 + n, f"txn_{n}", psp_operation=(f"ch_{n}",)) for n in range(5)]))
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            page, cursor = await unmatched(world.connection, after=cursor, limit=2)
            seen += [line.row.identity for line in page]
        assert (sorted(seen), cursor) == ([f"txn_{n}" for n in range(5)], None)
