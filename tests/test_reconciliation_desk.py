"""People's work in reconciliation: findings are explained alone or by two persons, days close on that, and all of it is on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from payorch.domain.explanations import Action
from payorch.domain.matching import Policy, Tolerance
from payorch.domain.reconciliation import may_close
from payorch.domain.settlement import FindingKind, FindingState, RowKind, Tie
from payorch.reconciliation_desk import Desk, Worker
from payorch.store import audit, reconciliation_findings, reconciliation_sums
from payorch.store.reconciliation_findings import Filter
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, report_of, world_on
from tests.store.stories import START, Story, new_id

ZONES = {CONNECTOR: "UTC"}
TOLERANT = Policy(tolerances={(CONNECTOR, "EUR"): Tolerance(accept_minor=100)})


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


def desk(world: World, name: str = "olga", person: str | None = None, policy: Policy = TOLERANT) -> Desk:
    who = Worker(actor=f"operator:{name}", person=person or f"{name} person")
    return Desk(world.connection, clock=world.clock, entropy=world.ids, who=who, cause="test", policy=policy, zones=ZONES)


async def findings(world: World, *states: FindingState) -> list[FindingRow]:
    found, _ = await reconciliation_findings.find(world.connection, Filter(states=states), limit=100)
    return found


async def the_finding(world: World, kind: FindingKind | None = None) -> FindingRow:
    (found,) = [one for one in await findings(world) if kind in (None, one.kind)]
    return found


async def the_day(world: World, on: date = DAY) -> Day:
    return await reconciliation_sums.day(world.connection, on, CONNECTOR, "EUR", "UTC")


async def told(world: World, stream: str) -> list[tuple[Any, ...]]:
    return await world.all("SELECT name, actor, body FROM payorch.journal WHERE stream = %s ORDER BY position", stream)


async def an_extra_line(world: World, minor: int = 777) -> FindingRow:
    """A report with a line that is nobody's."""
    await world.take(report_of(booking(RowKind.CAPTURE, minor, "nobody's", psp_payment=("pi_nobody",))))
    return await the_finding(world)


# --- one person -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "state", "name"),
    [(Action.REVIEW, FindingState.REVIEWED, "FindingReviewed"), (Action.PSP_ERROR, FindingState.PSP_ERROR, "FindingIsPspError")],
)
async def test_one_person_explains_with_a_reason(world: World, action: Action, state: FindingState, name: str) -> None:
    finding = await an_extra_line(world)
    done = await desk(world).explain(action, finding.id, reason=" a test of theirs ")
    assert (done.changed, done.code) == (True, state.value)
    after = await the_finding(world)
    assert after == done.finding
    assert (after.state, after.version, after.resolved_by, after.resolution) == (state, 2, "olga person", "a test of theirs")
    (record,) = await told(world, "finding")
    assert record[:2] == (name, "operator:olga")
    assert record[2]["reason"] == "a test of theirs"
    day = await the_day(world)
    assert (day.figures.mismatched.count, day.figures.manually_reviewed.count) == (0, 1)
    assert (day.figures.gross_difference.minor, day.figures.explained[0].minor) == (0, 777)
    assert [one.minor for one in day.figures.claims] == ([777] if action is Action.PSP_ERROR else [])


async def test_refusals_are_on_record_and_change_nothing(world: World) -> None:
    finding = await an_extra_line(world)
    mine = desk(world)
    refused = [
        await mine.explain(Action.REVIEW, finding.id, reason="  "),
        await mine.explain(Action.REVIEW, finding.id, reason="x", version=7),
        await mine.explain(Action.REVIEW, new_id("fnd"), reason="x"),
        await mine.approve(finding.id),
        await mine.reject(finding.id, reason="x"),
        await mine.link(finding.id, new_id("pay"), reason="x"),
    ]
    codes = ["reason_missing", "changed", "not_found", "nothing_proposed", "nothing_proposed", "not_linkable"]
    assert [(one.changed, one.code) for one in refused] == [(False, code) for code in codes]
    assert await the_finding(world) == finding
    records = await told(world, "act")
    assert [(name, actor, body["code"]) for name, actor, body in records] == [("Refused", "operator:olga", code) for code in codes]
    assert records[1][2]["finding"] == finding.id
    assert await told(world, "finding") == []


async def test_a_finding_is_explained_once(world: World) -> None:
    finding = await an_extra_line(world)
    await desk(world).explain(Action.REVIEW, finding.id, reason="known")
    again = await desk(world, "amir").explain(Action.PSP_ERROR, finding.id, reason="no")
    assert (again.changed, again.code) == (False, "already_explained")
    assert (await the_finding(world)).resolution == "known"


# --- two persons ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minor", "people"), [(100, 1), (101, 2)])
async def test_above_the_tolerance_it_takes_two_to_accept(world: World, minor: int, people: int) -> None:
    finding = await an_extra_line(world, minor)
    first = await desk(world).explain(Action.ACCEPT, finding.id, reason="rounding")
    assert first.code == ("accepted" if people == 1 else "proposed")
    if people == 2:
        assert (await the_day(world)).figures.gross_difference.minor == minor, "asking explains nothing"
        assert (await desk(world, "amir").approve(finding.id)).code == "accepted"
    after = await the_finding(world)
    assert (after.state, after.resolution) == (FindingState.ACCEPTED, "rounding")
    assert (after.proposed_by, after.resolved_by) == ((None, "olga person") if people == 1 else ("olga person", "amir person"))


async def test_the_same_person_cannot_agree_with_himself_under_any_name(world: World) -> None:
    finding = await an_extra_line(world)
    await desk(world, "olga").explain(Action.ACCEPT, finding.id, reason="rounding")
    for name in ("olga", "olga2"):
        done = await desk(world, name, "olga person").approve(finding.id)
        assert (done.changed, done.code) == (False, "same_person")
        assert "another person has to agree" in done.text
    assert (await the_finding(world)).state is FindingState.PROPOSED
    assert [body["code"] for _, _, body in await told(world, "act")] == ["same_person", "same_person"]
    with pytest.raises(psycopg.errors.CheckViolation, match="four_eyes"):
        await world.connection.execute(
            "UPDATE payorch.reconciliation_findings SET state = 'accepted', resolved_by = proposed_by, resolved_at = now()"
        )


async def test_what_was_asked_for_is_rejected_or_taken_back(world: World) -> None:
    finding = await an_extra_line(world)
    for name in ("amir", "olga"):
        await desk(world).explain(Action.ACCEPT, finding.id, reason="rounding")
        waits = await desk(world, "eve").explain(Action.REVIEW, finding.id, reason="x")
        assert waits.code == "awaits_second_person"
        assert (await desk(world, name).reject(finding.id, reason="not rounding")).changed
        after = await the_finding(world)
        assert (after.state, after.proposed_by, after.proposed_action, after.proposed_detail) == (FindingState.OPEN, None, None, None)
    assert [name for name, _, _ in await told(world, "finding")] == ["ExplanationProposed", "ExplanationRejected"] * 2
    assert (await audit.verify(world.connection)).whole


# --- links ------------------------------------------------------------------------------------------------------------------------------


async def a_stray(world: World, **how: Any) -> tuple[Story, FindingRow]:
    """A payment, and the line of its capture that names nothing of it."""
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(booking(RowKind.CAPTURE, how.pop("minor", 1999), "txn", psp_payment=("pi_else",), **how)))
    return story, await the_finding(world, FindingKind.MISSING_HERE)


@pytest.mark.parametrize("by", ["payment", "operation"])
async def test_a_line_is_linked_to_its_movement_by_two_persons(world: World, by: str) -> None:
    story, finding = await a_stray(world)
    to = story.payment_id if by == "payment" else story.now.operations[0].id
    first = await desk(world).link(finding.id, to, reason="same amount, their id is a typo")
    assert first.code == "proposed"
    assert [(row[1], row[2]) for row in await world.states()] == [("unmatched", None)]
    assert (await desk(world, "amir").approve(finding.id)).code == "linked"
    assert [(row[1], row[2], row[3] is not None) for row in await world.states()] == [("matched", "person", True)]
    assert [(row[4], row[5]) for row in await world.movements()] == [("manually_reviewed", DAY)]
    accounts = await world.all("SELECT account, sum(amount) FROM payorch.ledger_lines GROUP BY account HAVING sum(amount) <> 0 ORDER BY 1")
    assert [(name.partition(":")[0], amount) for name, amount in accounts] == [("merchant_payable", -1999), ("psp_balance", 1999)]
    after = await the_finding(world)
    assert (after.payment_id, after.subject_id) == (story.payment_id, story.now.operations[0].id)
    day = await the_day(world)
    assert (day.figures.pending.count, day.figures.manually_reviewed.count, day.figures.unexplained) == (0, 1, ())
    assert (await audit.verify(world.connection)).whole


async def test_what_cannot_be_linked(world: World) -> None:
    story, finding = await a_stray(world)
    (settled,) = await world.captured(minor=5)
    (other,) = await world.captured(minor=1999, currency="JPY")
    await world.take(report_of(capture_of(settled)), name="second")
    refused = [
        await desk(world).link(finding.id, settled.payment_id, reason="x"),
        await desk(world).link(finding.id, other.payment_id, reason="x"),
        await desk(world).link(finding.id, new_id("ref"), reason="x"),
    ]
    assert [one.code for one in refused] == ["not_linkable"] * 3
    assert ["has a line already" in refused[0].text, "JPY" in refused[1].text] == [True, True]
    await desk(world).link(finding.id, story.payment_id, reason="x")
    await world.take(report_of(capture_of(story)), name="third")  # the real one comes before the second person looks
    late = await desk(world, "amir").approve(finding.id)
    assert (late.changed, late.code) == (False, "not_linkable")
    assert (await the_finding(world)).state is FindingState.PROPOSED


async def test_a_link_finds_what_was_missing_at_the_psp(world: World) -> None:
    story, finding = await a_stray(world)
    (row,) = await world.all("SELECT sequence, subject_id FROM payorch.movements")
    missing = FindingRow(
        id=new_id("fnd"), connector=CONNECTOR, currency="EUR", day=DAY + timedelta(days=1), kind=FindingKind.MISSING_AT_PSP,
        state=FindingState.OPEN, detail="in no report", amount_currency="EUR", found_at=START, expected=1999, actual=0, difference=-1999,
        payment_id=story.payment_id, sequence=row[0], subject_id=story.now.operations[0].id,
    )  # fmt: skip
    from payorch.store import entries

    change = reconciliation_findings.changed(missing, "FindingRaised", {})
    await entries.visit(world.connection, entries.entry_of(change, sequence=1, at=START, actor="system", cause="test"))
    await world.connection.execute("UPDATE payorch.movements SET settlement = 'mismatched'")
    await desk(world).link(finding.id, story.payment_id, reason="it is the same")
    assert (await desk(world, "amir").approve(finding.id)).changed
    found = await reconciliation_findings.load(world.connection, missing.id)
    assert found is not None
    assert (found.state, found.resolved_by, found.version) == (FindingState.RESOLVED, "system", 2)
    assert [row[4] for row in await world.movements()] == ["manually_reviewed"]


async def test_a_movement_stands_as_its_findings_leave_it(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(capture_of(story, 2000, psp_operation=(story.now.operations[0].psp_reference or "",))))
    assert [row[4] for row in await world.movements()] == ["mismatched"]
    finding = await the_finding(world, FindingKind.AMOUNT)
    await desk(world).explain(Action.ACCEPT, finding.id, reason="a cent")
    assert [row[4] for row in await world.movements()] == ["manually_reviewed"]


# --- days -------------------------------------------------------------------------------------------------------------------------------


async def test_a_day_closes_when_everything_is_explained(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(capture_of(story, fee=59), booking(RowKind.CAPTURE, 777, "nobody's", psp_payment=("pi_nobody",))))
    left = await desk(world).close(DAY, CONNECTOR, "EUR")
    assert (left.closed, "7.77 EUR" in left.why) == (False, True)
    (refusal,) = await told(world, "act")
    assert (refusal[0], refusal[2]["asked"]) == ("Refused", "settlement.close_day")
    await desk(world).explain(Action.REVIEW, (await the_finding(world)).id, reason="a test of theirs")
    (closing,) = await desk(world).close_due(window_days=10)
    assert (closing.day, closing.closed, closing.changed) == (DAY, True, True)
    assert await desk(world).close_due(window_days=10) == []
    day = await the_day(world)
    assert day.closed
    assert day.left is not None
    assert (day.left.changed_by, b'"settled"' in day.left.figures) == ("operator:olga", True)
    assert [(name, actor) for name, actor, _ in await told(world, "reconciliation")] == [("DayClosed", "operator:olga")]
    again = await desk(world).close(DAY, CONNECTOR, "EUR")
    assert (again.closed, again.changed) == (True, False)


async def test_a_late_line_opens_a_closed_day_and_a_person_does_for_a_reason(world: World) -> None:
    stories = await world.captured(2)
    await world.take(report_of(capture_of(stories[0])))
    assert (await desk(world).close(DAY, CONNECTOR, "EUR")).changed
    await world.take(report_of(capture_of(stories[1])), name="late")
    assert not (await the_day(world)).closed
    assert (await desk(world).close(DAY, CONNECTOR, "EUR")).changed
    assert (await desk(world).reopen(DAY, CONNECTOR, "EUR", reason=" ")).code == "reason_missing"
    assert (await desk(world).reopen(DAY, CONNECTOR, "EUR", reason="the bank asks")).changed
    assert (await desk(world).reopen(DAY, CONNECTOR, "EUR", reason="again")).code == "not_closed"
    day = await the_day(world)
    assert day.left is not None
    assert (day.closed, day.left.version, day.left.reason) == (False, 4, "the bank asks")
    names = [name for name, _, _ in await told(world, "reconciliation")]
    assert names == ["DayClosed", "DayReopened", "DayClosed", "DayReopened"]
    assert [body["code"] for _, _, body in await told(world, "act")] == ["reason_missing", "not_closed"]


async def test_what_is_not_over_or_not_reported_waits(world: World) -> None:
    today = world.clock.now().date()
    assert "not over" in (await desk(world).close(today, CONNECTOR, "EUR")).why
    await world.captured()
    assert await desk(world).close_due(window_days=10) == [], "no report has come"
    assert [one.changed for one in await desk(world).close_due(window_days=1)] == [True], "and none is awaited any more"


async def test_lines_that_nobody_can_read_keep_every_currency_of_their_day_open(world: World) -> None:
    (eur,), (jpy,) = await world.captured(), await world.captured(currency="JPY", minor=300)
    broken = Tie(line=9, what="lines", declared_rows=5, computed_rows=3)
    await world.take(report_of(capture_of(eur), capture_of(jpy), "{nonsense", broken))
    closings = await desk(world).close_due(window_days=10)
    assert [(one.currency, one.closed) for one in closings] == [("EUR", False), ("JPY", False)]
    for finding in await findings(world, FindingState.OPEN):
        assert (await desk(world).explain(Action.REVIEW, finding.id, reason="asked the PSP for the line")).changed
    assert [one.changed for one in await desk(world).close_due(window_days=10)] == [True, True]


async def test_a_report_of_nothing_but_nonsense_is_not_lost(world: World) -> None:
    await world.take(report_of("{nonsense"))
    on = (await the_finding(world)).day
    found = await reconciliation_sums.days(world.connection, on, on, ZONES)
    assert (found.days, [(one.day, one.findings, one.unexplained) for one in found.strays]) == ([], [(on, 1, 1)])
    assert may_close((await the_day(world, on)).figures) is not None
