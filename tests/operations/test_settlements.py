"""Findings and days as acts: what a plan shows, both persons in the finding, a day that is refused with what is left; each act once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import Any

import psycopg
import pytest

from payorch.domain.acts import Act, ActName, ActState, Draft, Nonsense, Performed, Person, Wish
from payorch.domain.matching import Policy, Tolerance
from payorch.domain.money import Money
from payorch.domain.settlement import FindingKind, FindingState, RowKind
from payorch.operations.settlements import Around, planners
from payorch.reconciliation_desk import Desk, Worker
from payorch.store import audit, reconciliation_findings, reconciliation_sums
from payorch.store.pool import DatabaseUnavailable
from payorch.store.reconciliation_findings import Filter
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day
from tests.conftest import Database
from tests.settlement_world import CONNECTOR, DAY, World, booking, capture_of, report_of, world_on
from tests.store.stories import Story, connected, new_id

ZONES = {CONNECTOR: "UTC"}
POLICY = Policy(tolerances={(CONNECTOR, "EUR"): Tolerance(accept_minor=100)})
OLGA = Person(operator="opr_o", name="olga", person="Olga")
AMIR = Person(operator="opr_a", name="amir", person="Amir")
SUBJECT = f"{DAY}/{CONNECTOR}/EUR"


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


def around(world: World) -> Around:
    async def read(query: Any, *arguments: Any, **named: Any) -> Any:
        return await query(world.connection, *arguments, **named)

    return Around(read=read, lease=lambda: nullcontext(world.connection), clock=world.clock, entropy=world.ids, policy=POLICY, zones=ZONES)


async def plan(world: World, name: ActName, subject: str, **parameters: Any) -> Draft:
    return await planners(around(world))[name].plan(Wish(name=name, subject=subject, parameters=parameters, who=OLGA))


def an_act(name: ActName, subject: str, *, second: Person | None = None, glass: bool = False, **parameters: Any) -> Act:
    return Act(
        id=new_id("act"), name=name, subject=subject, parameters=parameters, reason="their file is right", requested_by=OLGA,
        approved_by=second, break_glass=glass,
    )  # fmt: skip


async def perform(world: World, act: Act) -> Performed:
    async def progress(told: Mapping[str, Any]) -> None:
        raise AssertionError("these are done in one go")

    return await planners(around(world))[act.name].perform(act, progress)


async def the_finding(world: World, kind: FindingKind | None = None) -> FindingRow:
    found, _ = await reconciliation_findings.find(world.connection, Filter(), limit=100)
    (finding,) = [one for one in found if kind in (None, one.kind)]
    return finding


async def an_extra_line(world: World, minor: int = 777) -> FindingRow:
    await world.take(report_of(booking(RowKind.CAPTURE, minor, "nobody's", psp_payment=("pi_nobody",))))
    return await the_finding(world)


async def a_stray(world: World) -> tuple[Story, FindingRow]:
    """A payment, and the line of its capture that names nothing of it."""
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(booking(RowKind.CAPTURE, 1999, "txn", psp_payment=("pi_else",))))
    return story, await the_finding(world, FindingKind.MISSING_HERE)


async def the_day(world: World) -> Day:
    return await reconciliation_sums.day(world.connection, DAY, CONNECTOR, "EUR", "UTC")


async def told(world: World, stream: str) -> list[tuple[Any, ...]]:
    return await world.all("SELECT name, actor, cause, body FROM payorch.journal WHERE stream = %s ORDER BY position", stream)


def effects(draft: Draft) -> dict[str, tuple[str, str]]:
    return {one.what: (one.before, one.after) for one in draft.effects}


# --- one person -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "state"), [(ActName.SETTLEMENT_REVIEW, FindingState.REVIEWED), (ActName.SETTLEMENT_PSP_ERROR, FindingState.PSP_ERROR)]
)
async def test_one_person_explains_and_the_difference_stays_counted(world: World, name: ActName, state: FindingState) -> None:
    finding = await an_extra_line(world)
    draft = await plan(world, name, finding.id)
    assert (draft.allowed, draft.people, draft.confirm, draft.amount) == (True, 1, "7.77", Money(777, "EUR"))
    assert effects(draft) == {
        "finding": ("open", state.value),
        "ledger": ("as booked", "no double entry is written: the difference stays counted, as manually reviewed"),
        "day": ("7.77 EUR unexplained", "0.00 EUR unexplained"),
    }
    assert draft.proofs[0].text == finding.detail
    act = an_act(name, finding.id)
    done = await perform(world, act)
    assert (done.state, done.data["state"], done.data["version"]) == (ActState.DONE, state.value, 2)
    after = await the_finding(world)
    assert (after.state, after.resolved_by, after.resolution, after.proposed_by) == (state, "Olga", "their file is right", None)
    ((_, actor, cause, _),) = await told(world, "finding")
    assert (actor, cause) == ("operator:olga", act.id)


async def test_a_finding_is_explained_once(world: World) -> None:
    finding = await an_extra_line(world)
    act = an_act(ActName.SETTLEMENT_REVIEW, finding.id)
    first, again = await perform(world, act), await perform(world, act)
    assert (first.state, again.state, first.data["version"], again.data["version"]) == (ActState.DONE, ActState.DONE, 2, 2)
    assert len(await told(world, "finding")) == 1, "after a crash the act finds what it did"
    other = await perform(world, an_act(ActName.SETTLEMENT_PSP_ERROR, finding.id))
    assert (other.state, other.text) == (ActState.REFUSED, "the finding is explained already: reviewed")
    draft = await plan(world, ActName.SETTLEMENT_REVIEW, finding.id)
    assert [one.code for one in draft.objections] == ["already_explained"]


async def test_a_line_that_nobody_can_read_is_reviewed(world: World) -> None:
    await world.take(report_of("{nonsense"))
    finding = await the_finding(world)
    draft = await plan(world, ActName.SETTLEMENT_REVIEW, finding.id)
    assert (draft.allowed, draft.amount, draft.confirm) == (True, None, finding.id[-4:])
    assert "day" not in effects(draft), "it is of every currency that its day has"
    assert [one.code for one in (await plan(world, ActName.SETTLEMENT_ACCEPT, finding.id)).objections] == ["not_for_this_kind"]
    assert (await perform(world, an_act(ActName.SETTLEMENT_REVIEW, finding.id))).state is ActState.DONE


# --- two persons ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minor", "people"), [(100, 1), (101, 2)])
async def test_above_the_tolerance_it_takes_two_to_accept(world: World, minor: int, people: int) -> None:
    finding = await an_extra_line(world, minor)
    assert (await plan(world, ActName.SETTLEMENT_ACCEPT, finding.id)).people == people
    done = await perform(world, an_act(ActName.SETTLEMENT_ACCEPT, finding.id, second=AMIR if people == 2 else None))
    assert (done.state, done.text) == (ActState.DONE, "accepted")
    after = await the_finding(world)
    assert (after.proposed_by, after.resolved_by) == (("Olga", "Amir") if people == 2 else (None, "Olga"))
    ((name, _, _, body),) = await told(world, "finding")
    assert (name, body.get("asked_by"), body.get("approved_by")) == (
        "FindingAccepted", *(("Olga", "operator:amir") if people == 2 else (None, None)),
    )  # fmt: skip


async def test_without_a_second_person_nothing_is_accepted(world: World) -> None:
    finding = await an_extra_line(world)
    alone = await perform(world, an_act(ActName.SETTLEMENT_ACCEPT, finding.id))
    same = await perform(world, an_act(ActName.SETTLEMENT_ACCEPT, finding.id, second=Person(operator="x", name="olga2", person="Olga")))
    assert [one.data["code"] for one in (alone, same)] == ["second_person_missing", "same_person"]
    assert (await the_finding(world)).state is FindingState.OPEN
    assert [body["code"] for _, _, _, body in await told(world, "act")] == ["second_person_missing", "same_person"]
    glass = await perform(world, an_act(ActName.SETTLEMENT_ACCEPT, finding.id, glass=True))
    after = await the_finding(world)
    assert (glass.state, after.proposed_by, after.resolved_by) == (ActState.DONE, None, "Olga")


async def test_the_database_holds_that_they_are_two(world: World) -> None:
    finding = await an_extra_line(world)
    await perform(world, an_act(ActName.SETTLEMENT_ACCEPT, finding.id, second=AMIR))
    with pytest.raises(psycopg.errors.CheckViolation, match="four_eyes"):
        await world.connection.execute("UPDATE payorch.reconciliation_findings SET resolved_by = proposed_by")


async def test_what_waits_for_a_second_person_at_the_command_line_is_left_to_him(world: World) -> None:
    finding = await an_extra_line(world)
    who = Worker(actor="operator:eve", person="Eve")
    desk = Desk(world.connection, clock=world.clock, entropy=world.ids, who=who, cause="test", policy=POLICY, zones=ZONES)
    await desk.link(finding.id, (await world.captured(minor=777))[0].payment_id, reason="it is")
    draft = await plan(world, ActName.SETTLEMENT_REVIEW, finding.id)
    assert [one.code for one in draft.objections] == ["awaits_second_person"]
    assert (await perform(world, an_act(ActName.SETTLEMENT_REVIEW, finding.id))).state is ActState.REFUSED


# --- links ------------------------------------------------------------------------------------------------------------------------------


async def test_a_link_shows_its_double_entry_and_settles_the_movement(world: World) -> None:
    story, finding = await a_stray(world)
    operation = story.now.operations[0].id
    draft = await plan(world, ActName.SETTLEMENT_LINK, finding.id, to=story.payment_id)
    assert (draft.allowed, draft.people, draft.confirm) == (True, 2, "19.99")
    assert effects(draft)["movement"] == (f"capture {operation} of 19.99 EUR: pending", "manually_reviewed, by line 2 of its report")
    assert effects(draft)["ledger"] == ("in suspense", f"19.99 EUR from psp_receivable:{CONNECTOR} to suspense:{CONNECTOR}")
    assert [(one.what, one.holds) for one in draft.checks] == [("the line and the movement are of one amount", True)]
    before = await world.all("SELECT debit, credit, amount FROM payorch.settlement_postings ORDER BY leg")
    act = an_act(ActName.SETTLEMENT_LINK, finding.id, second=AMIR, to=operation)
    assert [(await perform(world, act)).state for _ in range(2)] == [ActState.DONE, ActState.DONE]
    after = await world.all("SELECT debit, credit, amount FROM payorch.settlement_postings ORDER BY leg")
    assert after[len(before) :] == [(f"suspense:{CONNECTOR}", f"psp_receivable:{CONNECTOR}", 1999)], "what the plan had shown, once"
    linked = await the_finding(world)
    assert (linked.state, linked.proposed_by, linked.resolved_by) == (FindingState.LINKED, "Olga", "Amir")
    assert (linked.payment_id, linked.subject_id) == (story.payment_id, operation)
    assert [row[4] for row in await world.movements()] == ["manually_reviewed"]
    assert (await audit.verify(world.connection)).whole


async def test_what_cannot_be_linked(world: World) -> None:
    _, finding = await a_stray(world)
    draft = await plan(world, ActName.SETTLEMENT_LINK, finding.id, to=new_id("pay"))
    assert [one.code for one in draft.objections] == ["not_linkable"]
    done = await perform(world, an_act(ActName.SETTLEMENT_LINK, finding.id, second=AMIR, to=new_id("pay")))
    assert (done.state, done.data["code"]) == (ActState.REFUSED, "not_linkable")


@pytest.mark.parametrize(
    ("name", "subject", "parameters", "field"),
    [
        (ActName.SETTLEMENT_REVIEW, "fnd_1", {}, "/subject"),
        (ActName.SETTLEMENT_REVIEW, new_id("fnd"), {}, "/subject"),
        (ActName.SETTLEMENT_REVIEW, new_id("pay"), {}, "/subject"),
        (ActName.SETTLEMENT_CLOSE_DAY, f"{DAY}/psp_nine/EUR", {}, "/subject"),
        (ActName.SETTLEMENT_CLOSE_DAY, f"20260301/{CONNECTOR}/EUR", {}, "/subject"),
        (ActName.SETTLEMENT_CLOSE_DAY, SUBJECT, {}, "/subject"),
        (ActName.SETTLEMENT_CLOSE_DAY, str(DAY), {}, "/subject"),
    ],
)
async def test_nobody_knows_of_it(world: World, name: ActName, subject: str, parameters: dict[str, Any], field: str) -> None:
    with pytest.raises(Nonsense) as raised:
        await plan(world, name, subject, **parameters)
    assert (raised.value.field, raised.value.missing) == (field, True)


@pytest.mark.parametrize("to", [None, 1, "pay_1", new_id("mer")])
async def test_a_link_names_a_movement(world: World, to: object) -> None:
    finding = await an_extra_line(world)
    with pytest.raises(Nonsense) as raised:
        await plan(world, ActName.SETTLEMENT_LINK, finding.id, to=to)
    assert (raised.value.field, raised.value.missing) == ("/parameters/to", False)


# --- days -------------------------------------------------------------------------------------------------------------------------------


async def test_a_day_closes_when_everything_is_explained_and_says_before_what_is_left(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(capture_of(story, fee=59), booking(RowKind.CAPTURE, 777, "nobody's", psp_payment=("pi_nobody",))))
    refused = await plan(world, ActName.SETTLEMENT_CLOSE_DAY, SUBJECT)
    assert [one.code for one in refused.objections] == ["unexplained"]
    assert "a gross difference of 7.77 EUR" in refused.objections[0].why
    early = await perform(world, an_act(ActName.SETTLEMENT_CLOSE_DAY, SUBJECT))
    assert (early.state, "7.77 EUR" in early.text) == (ActState.REFUSED, True)
    await perform(world, an_act(ActName.SETTLEMENT_REVIEW, (await the_finding(world)).id))
    draft = await plan(world, ActName.SETTLEMENT_CLOSE_DAY, SUBJECT)
    assert (draft.allowed, draft.people, draft.confirm) == (True, 1, DAY.isoformat())
    assert refused.version != draft.version
    assert effects(draft) == {
        "day": ("open", "closed, with these figures"),
        "figures": ("0.00 EUR unexplained", "1 settled (19.99 EUR), 0 pending (0.00 EUR), 1 manually reviewed (7.77 EUR)"),
    }
    act = an_act(ActName.SETTLEMENT_CLOSE_DAY, SUBJECT)
    assert [(await perform(world, act)).state for _ in range(2)] == [ActState.DONE, ActState.DONE]
    day = await the_day(world)
    assert day.left is not None
    assert (day.closed, day.left.changed_by, day.left.reason) == (True, "operator:olga", "their file is right")
    assert [(name, cause) for name, _, cause, _ in await told(world, "reconciliation")] == [("DayClosed", act.id)]
    again = await plan(world, ActName.SETTLEMENT_CLOSE_DAY, SUBJECT)
    assert [one.code for one in again.objections] == ["already_closed"]
    assert (await perform(world, an_act(ActName.SETTLEMENT_CLOSE_DAY, SUBJECT))).state is ActState.REFUSED


async def test_a_day_is_opened_again_for_a_reason(world: World) -> None:
    (story,) = await world.captured(minor=1999)
    await world.take(report_of(capture_of(story)))
    assert [one.code for one in (await plan(world, ActName.SETTLEMENT_REOPEN_DAY, SUBJECT)).objections] == ["not_closed"]
    await perform(world, an_act(ActName.SETTLEMENT_CLOSE_DAY, SUBJECT))
    draft = await plan(world, ActName.SETTLEMENT_REOPEN_DAY, SUBJECT)
    assert (draft.allowed, draft.people) == (True, 1)
    act = an_act(ActName.SETTLEMENT_REOPEN_DAY, SUBJECT)
    assert [(await perform(world, act)).state for _ in range(2)] == [ActState.DONE, ActState.DONE]
    assert not (await the_day(world)).closed
    assert [name for name, _, _, _ in await told(world, "reconciliation")] == ["DayClosed", "DayReopened"]


async def test_while_an_import_holds_the_lock_it_is_for_another_time(world: World, database: Database) -> None:
    finding = await an_extra_line(world)
    await world.connection.execute("SET lock_timeout = '50ms'")
    async with connected(database.app) as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(%s)", [0x7265636F6E63696C])
        with pytest.raises(DatabaseUnavailable):
            await perform(world, an_act(ActName.SETTLEMENT_REVIEW, finding.id))
    assert (await perform(world, an_act(ActName.SETTLEMENT_REVIEW, finding.id))).state is ActState.DONE
