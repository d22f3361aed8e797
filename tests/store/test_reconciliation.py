"""Days of reconciliation in the store: their pieces, page by page, the sums over them, and the rows of findings and days themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from payorch.domain.reconciliation import figures, row_status
from payorch.domain.settlement import FindingKind, FindingState, RowKind, RowState, SettlementState
from payorch.store import entries, reconciliation, reconciliation_days, reconciliation_findings, reconciliation_lock, reconciliation_sums
from payorch.store.items import Appended, Conflict, Entry, Refused, Result
from payorch.store.reconciliation import MalformedCursor, Of
from payorch.store.reconciliation_findings import Filter
from payorch.store.reconciliation_items import DayState, FindingRow
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, report_of, world_on
from tests.store.stories import START, connected, new_id

ZONES = {CONNECTOR: "UTC"}
FAR = "Pacific/Kiritimati"  # fourteen hours ahead: noon in UTC is the next day there


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


def a_finding(**changes: Any) -> FindingRow:
    made = FindingRow(
        id=new_id("fnd"), connector=CONNECTOR, currency="EUR", day=DAY, kind=FindingKind.TOTALS, state=FindingState.OPEN, detail="it\0does",
        amount_currency="EUR", found_at=START, expected=-5, actual=None, difference=None, suggestions=b'[{"a":1}]',
    )  # fmt: skip
    return replace(made, **changes)


async def enter(world: World, finding: FindingRow, sequence: int) -> Result:
    change = reconciliation_findings.changed(finding, "Happened", {"reason": "x"})
    return await entries.visit(world.connection, entries.entry_of(change, sequence=sequence, at=START, actor="operator:olga", cause="c"))


# --- rows -------------------------------------------------------------------------------------------------------------------------------


async def test_a_finding_is_read_back_as_it_was_written(world: World) -> None:
    plain = a_finding()
    assert isinstance(await enter(world, plain, 1), Appended)
    assert await reconciliation_findings.load(world.connection, plain.id) == replace(plain, detail="it\ufffddoes")
    (story,) = await world.captured()
    full = replace(
        plain, id=new_id("fnd"), state=FindingState.ACCEPTED, batch_id=new_id("bat"), line=7, payment_id=story.payment_id, sequence=4,
        subject_id=story.now.operations[0].id, dead_letter_id=new_id("dlq"), proposed_action="settlement.accept",
        proposed_detail=b'{"reason":"y"}', proposed_by="olga", proposed_at=START, resolved_by="amir", resolved_at=START, resolution="y",
        detail="plain", actual=7, difference=12,
    )  # fmt: skip
    assert isinstance(await enter(world, full, 1), Appended)
    assert await reconciliation_findings.load(world.connection, full.id) == full
    assert await reconciliation_findings.load(world.connection, new_id("fnd")) is None


async def test_versions_follow_each_other(world: World) -> None:
    first = a_finding()
    await enter(world, first, 1)
    for version in (1, 3):
        result = await enter(world, replace(first, version=version, detail="jumped"), 2)
        assert isinstance(result, Refused)
    assert isinstance(await enter(world, replace(first, version=2, detail="second"), 2), Appended)
    assert isinstance(await enter(world, replace(first, version=2, detail="lost"), 2), Refused | Conflict)
    found = await reconciliation_findings.load(world.connection, first.id)
    assert found is not None
    assert (found.version, found.detail) == (2, "second")


async def test_the_database_wants_two_persons_and_an_explanation(world: World) -> None:
    first = a_finding()
    await enter(world, first, 1)
    asked = replace(
        first, state=FindingState.PROPOSED, version=2, proposed_action="settlement.accept", proposed_by="olga", proposed_at=START
    )
    await enter(world, asked, 2)
    done = replace(asked, state=FindingState.ACCEPTED, version=3, resolved_by="olga", resolved_at=START, resolution="x")
    assert isinstance(await enter(world, done, 3), Refused)
    assert isinstance(await enter(world, replace(done, resolved_by="amir", resolved_at=None), 3), Refused)
    assert isinstance(await enter(world, replace(done, resolved_by="amir"), 3), Appended)


async def test_findings_are_narrowed_and_paged(world: World) -> None:
    made = [
        a_finding(),
        a_finding(connector="psp_two"),
        a_finding(kind=FindingKind.FEE, currency="JPY", day=DAY + timedelta(days=1)),
        a_finding(state=FindingState.REVIEWED, resolved_by="olga", resolved_at=START, resolution="x"),
    ]
    for one in made:
        await enter(world, one, 1)

    async def found(**what: Any) -> list[int]:
        some, _ = await reconciliation_findings.find(world.connection, Filter(**what), limit=10)
        return [[one.id for one in made].index(one.id) for one in some]

    assert await found() == [3, 2, 1, 0]
    assert await found(states=reconciliation_findings.UNEXPLAINED) == [2, 1, 0]
    assert await found(connector="psp_two") == [1]
    assert await found(kind=FindingKind.FEE, currency="JPY", since=DAY + timedelta(days=1)) == [2]
    assert await found(until=DAY) == [3, 1, 0]
    page, cursor = await reconciliation_findings.find(world.connection, Filter(), limit=3)
    rest, end = await reconciliation_findings.find(world.connection, Filter(), limit=3, after=cursor)
    assert ([one.id for one in page], [one.id for one in rest], end) == ([one.id for one in reversed(made[1:])], [made[0].id], None)


async def test_a_day_is_read_back_and_its_figures_are_vouched_for(world: World) -> None:
    folded = figures(DAY, CONNECTOR, "EUR")
    closed = reconciliation_days.closed(folded, None, at=START, by="system", reason="nothing is left")
    await entries.visit(world.connection, entries.entry_of(closed, sequence=1, at=START, actor="system", cause="c"))
    stored = await reconciliation_days.load(world.connection, DAY, CONNECTOR, "EUR")
    assert stored is not None
    assert (stored.state, stored.version, msgspec.json.decode(stored.figures)["day"]) == (DayState.CLOSED, 1, DAY.isoformat())
    assert stored.figures.decode() == closed.detail["figures"]
    again = reconciliation_days.closed(folded, None, at=START, by="system", reason="twice")
    assert isinstance(
        await entries.visit(world.connection, entries.entry_of(again, sequence=2, at=START, actor="system", cause="c")), Refused
    )
    opened = reconciliation_days.reopened(stored, at=START, by="operator:olga", reason="late")
    await entries.visit(world.connection, entries.entry_of(opened, sequence=2, at=START, actor="system", cause="c"))
    left = await reconciliation_days.between(world.connection, DAY, DAY)
    assert [(one.state, one.version, one.changed_by, one.figures) for one in left] == [
        (DayState.REOPENED, 2, "operator:olga", stored.figures)
    ]


async def test_one_at_a_time(world: World, database: Database) -> None:
    with pytest.raises(AssertionError, match="begin one first"):
        await reconciliation_lock.take(world.connection)
    async with connected(database.app) as other:
        async with world.connection.transaction():
            await reconciliation_lock.take(world.connection)
            async with other.transaction():
                assert not await reconciliation_lock.take_now(other)
        async with other.transaction():
            assert await reconciliation_lock.take_now(other)
            await other.execute("SET LOCAL lock_timeout = '20ms'")
            async with world.connection.transaction():
                await world.connection.execute("SET LOCAL lock_timeout = '20ms'")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await reconciliation_lock.take(world.connection)


# --- pieces and sums --------------------------------------------------------------------------------------------------------------------


async def a_full_day(world: World) -> None:
    """Two captures in a report (one with a fee that nobody understands), an extra line, a payout, nonsense, and two movements in none."""
    first, second = await world.captured(2, minor=1999)
    await world.captured(2, minor=500)
    await world.take(
        report_of(
            capture_of(first, fee=59, payout="po_1"),
            capture_of(second, fee=60, payout="po_1"),
            booking(RowKind.CAPTURE, 777, "nobody's", psp_payment=("pi_nobody",)),
            booking(RowKind.PAYOUT, -3879, "po_1"),
            "{nonsense",
        )
    )
    (second_line,) = await world.all("SELECT batch_id FROM payorch.settlement_rows WHERE line = 3")
    from payorch.domain import identifiers

    fee = a_finding(kind=FindingKind.FEE, batch_id=identifiers.text("bat", second_line[0]), line=3, difference=1, detail="a cent")
    await enter(world, fee, 1)


async def test_every_piece_of_a_day_stands_under_one_word(world: World) -> None:
    await a_full_day(world)
    pieces, cursor = await reconciliation.pieces(world.connection, Of(day=DAY, zones=ZONES), limit=100)
    assert cursor is None

    def what(one: reconciliation.Piece) -> tuple[str, str, list[str]]:
        name = one.line.kind.value if one.line is not None else "movement" if one.movement is not None else "finding"
        return name, one.status.value, [finding.kind.value for finding in one.findings]

    assert [what(one) for one in pieces] == [
        ("capture", "settled", []),
        ("capture", "mismatched", ["fee"]),
        ("capture", "mismatched", ["missing_here"]),
        ("payout", "settled", []),
        ("movement", "pending", []),
        ("movement", "pending", []),
        ("finding", "mismatched", ["unparseable"]),
    ]
    movement = pieces[4].movement
    assert movement is not None
    assert (movement.amount.minor, movement.subject_id[:4]) == (500, "cap_")


async def test_pages_of_any_size_are_the_whole(world: World) -> None:
    await a_full_day(world)
    whole, _ = await reconciliation.pieces(world.connection, Of(day=DAY, zones=ZONES), limit=100)
    for limit in (1, 2, 3, 7):
        found: list[reconciliation.Piece] = []
        cursor = None
        while True:
            page, cursor = await reconciliation.pieces(world.connection, Of(day=DAY, zones=ZONES), limit=limit, after=cursor)
            assert len(page) <= limit
            found += page
            if cursor is None:
                break
        assert found == whole


async def test_pieces_are_narrowed(world: World) -> None:
    await a_full_day(world)

    async def count(day: date = DAY, zones: Any = ZONES, **of: Any) -> int:
        found, _ = await reconciliation.pieces(world.connection, Of(day=day, zones=zones, **of), limit=100)
        return len(found)

    assert [await count(status=one) for one in SettlementState if one is not SettlementState.NOT_DUE] == [2, 2, 3, 0]
    assert await count(currency="JPY") == 0
    assert await count(currency="XXX") == 1
    assert await count(day=DAY + timedelta(days=1)) == 0
    assert await count(zones={"psp_two": "UTC"}) == 0
    assert await count(day=DAY + timedelta(days=1), zones={CONNECTOR: FAR}) == 2, "movements, by that PSP's clock"


async def test_a_cursor_is_one_of_ours(world: World) -> None:
    for cursor in ("", "x", "bat_1.2.", f"{new_id('pay')}.x.", f"{new_id('mer')}.1.", f"{new_id('bat')}.99999999999."):
        with pytest.raises(MalformedCursor):
            await reconciliation.pieces(world.connection, Of(day=DAY, zones=ZONES), limit=1, after=cursor)


async def test_sums_are_those_of_the_pieces(world: World) -> None:
    await a_full_day(world)
    found = await reconciliation_sums.days(world.connection, DAY, DAY, ZONES)
    (day,) = found.days
    figures = day.figures
    assert (day.reported, day.closed, found.strays) == (True, False, [])
    assert (figures.settled.count, figures.settled.gross.minor) == (1, 1999)
    assert (figures.pending.count, figures.pending.gross.minor) == (2, 1000)
    assert (figures.mismatched.count, figures.mismatched.gross.minor) == (3, 1999 + 777)
    assert figures.manually_reviewed.count == 0
    assert ([one.minor for one in figures.fees], [one.minor for one in figures.payouts]) == ([119], [3879])
    assert ([one.minor for one in figures.unexplained], figures.unknown, figures.open_findings) == ([778], 1, 3)
    assert [one.minor for one in figures.net] == [1940 + 1939 + 777]


async def test_a_movement_belongs_to_the_day_of_its_psps_clock(world: World) -> None:
    await world.captured()
    for zone, on in (("UTC", DAY), (FAR, DAY + timedelta(days=1))):
        found = await reconciliation_sums.days(world.connection, DAY - timedelta(days=1), DAY + timedelta(days=2), {CONNECTOR: zone})
        assert [(one.figures.day, one.figures.pending.count, one.reported) for one in found.days] == [(on, 1, False)]


async def test_the_databases_words_are_the_domains(world: World) -> None:
    await world.take(report_of(booking(RowKind.CAPTURE, 777, "line", psp_payment=("pi_x",))))
    async with connected(world.database.owner) as owner:
        for explained in (*FindingState, None):
            unexplained = explained in (FindingState.OPEN, FindingState.PROPOSED)
            if explained is None:
                await owner.execute("DELETE FROM payorch.reconciliation_findings")
            else:
                await owner.execute(
                    "UPDATE payorch.reconciliation_findings SET state = %s, proposed_by = 'x', resolved_at = %s",
                    [explained.value, None if unexplained else START],
                )
            for state in RowState:
                await owner.execute("UPDATE payorch.settlement_rows SET state = %s", [state.value])
                (piece,), _ = await reconciliation.pieces(world.connection, Of(day=DAY, zones=ZONES), limit=10)
                assert piece.status is row_status(state, [] if explained is None else [explained]), (state, explained)


def test_an_entry_is_nothing_but_a_record() -> None:
    change = reconciliation_findings.changed(a_finding(), "Happened", {"reason": "x"})
    entry = entries.entry_of(change, sequence=1, at=START, actor="a", cause="c")
    assert isinstance(entry, Entry)
    assert msgspec.json.decode(entry.body) == {
        "kind": "totals", "state": "open", "connector": CONNECTOR, "day": DAY.isoformat(), "reason": "x",
    }  # fmt: skip
