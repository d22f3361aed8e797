"""The desk where several meet: the same wish twice at once, whoever decides at the same moment, and what is away."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from payorch.domain.act_records import ActRecord, By, Denied, No
from payorch.domain.acts import ActName, ActState, Person
from payorch.domain.roles import Role
from payorch.store.journal import JournalUnavailable
from tests.api.act_world import Acting, a_draft, by
from tests.api.merchant_world import FakeClock, new_id

ANA = by(Person(operator=new_id("opr"), name="ana", person="Ana"))
BEN = by(Person(operator=new_id("opr"), name="ben", person="Ben"))
EVA = by(Person(operator=new_id("opr"), name="eva", person="Eva"))


class Room(Acting):
    def __init__(self, **draft: Any) -> None:
        super().__init__(clock=FakeClock(), new_id=new_id)
        self.planner.draft = a_draft(**draft)

    async def asked(self, who: By = ANA, *, key: str | None = None, subject: str = "pay_1") -> ActRecord:
        plan = await self.desk.plan(ActName.PAYMENT_VOID, subject, {}, break_glass=False, by=who)
        act, _ = await self.desk.propose(plan.id, reason="r", key=key or plan.id, seen=None, by=who)
        return act

    @property
    def codes(self) -> list[str]:
        return [msgspec.json.decode(one.body)["code"] for one in self.store.told("Refused")]


async def at_once(*some: Any) -> list[Any]:
    """What each comes to, all at the same time: a result, or why not."""
    found: list[Any] = [None] * len(some)

    async def run(n: int, one: Any) -> None:
        try:
            found[n] = await one
        except Denied as denied:
            found[n] = denied.refusal.code

    async with trio.open_nursery() as nursery:
        for n, one in enumerate(some):
            nursery.start_soon(run, n, one)
    return found


async def test_the_same_plan_asked_for_by_a_double_click_is_one_act() -> None:
    room = Room()
    plan = await room.desk.plan(ActName.PAYMENT_VOID, "pay_1", {}, break_glass=False, by=ANA)
    found = await at_once(*(room.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA) for _ in range(3)))
    assert len({act.id for act, _ in found}) == 1
    assert sorted(replayed for _, replayed in found) == [False, True, True]
    assert len(room.planner.performed) == 1


@pytest.mark.parametrize("people", [1, 2])
async def test_a_repetition_that_looked_too_early_gets_the_first_answer(people: int) -> None:
    """It found no act of its plan; the first one is open or over, and what it was about is another, when it looks again."""
    room = Room(people=people)
    plan = await room.desk.plan(ActName.PAYMENT_VOID, "pay_1", {}, break_glass=False, by=ANA)
    first, _ = await room.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA)
    room.planner.draft = a_draft(version="2")
    by_plan, by_key = room.store.by_plan, room.store.by_key

    async def nothing_yet(*_: str) -> None: ...

    async def nothing_yet_and_then_all(plan_id: str) -> None:
        room.store.by_plan, room.store.by_key = by_plan, by_key  # type: ignore[method-assign]

    room.store.by_plan, room.store.by_key = nothing_yet_and_then_all, nothing_yet  # type: ignore[method-assign, assignment]
    again, replayed = await room.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA)
    assert (again.id, replayed, room.codes) == (first.id, True, [])


async def test_two_people_who_want_the_same_at_once_get_one_act_and_one_no() -> None:
    room = Room(people=2)
    found = await at_once(room.asked(ANA), room.asked(BEN))
    assert sorted(isinstance(one, ActRecord) for one in found) == [False, True]
    assert No.ACTION_OPEN in found
    assert room.codes == ["action_open"]


async def test_of_two_who_decide_at_once_one_does() -> None:
    room = Room(people=2)
    act = await room.asked()
    found = await at_once(room.desk.approve(act.id, act.hash, by=BEN), room.desk.reject(act.id, reason="no", by=EVA))
    assert No.NOT_ALLOWED in found
    [decided] = [one for one in found if isinstance(one, ActRecord)]
    assert decided.state in (ActState.DONE, ActState.REJECTED)
    assert len(room.planner.performed) == (decided.state is ActState.DONE)


async def test_two_who_approve_at_once_have_it_done_once() -> None:
    room = Room(people=2)
    act = await room.asked()
    found = await at_once(*(room.desk.approve(act.id, act.hash, by=who) for who in (BEN, EVA)))
    assert sorted(isinstance(one, ActRecord) for one in found) == [False, True]
    assert len(room.planner.performed) == 1


async def test_what_is_away_is_said_and_nothing_is_asked_for() -> None:
    room = Room()
    plan = await room.desk.plan(ActName.PAYMENT_VOID, "pay_1", {}, break_glass=False, by=ANA)
    room.store.obstacles.append(JournalUnavailable("away"))
    with pytest.raises(JournalUnavailable):
        await room.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA)
    assert room.store.acts == {}
    act, replayed = await room.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA)
    assert (act.state, replayed) == (ActState.DONE, False)


async def test_nobody_waits_longer_than_his_patience(autojump_clock: MockClock) -> None:
    room = Room()
    room.idle = True
    began = trio.current_time()
    act = await room.asked()
    assert (act.state, round(trio.current_time() - began)) == (ActState.APPROVED, 5)


async def test_what_nobody_here_can_do_is_not_planned_and_not_believed() -> None:
    room = Room(people=2)
    act = await room.asked()
    del room.planners[ActName.PAYMENT_VOID]
    assert ActName.PAYMENT_VOID not in room.desk.offered
    assert await room.desk.plan_now(act) is None
    assert await at_once(room.desk.approve(act.id, act.hash, by=BEN)) == [No.PLAN_CHANGED]


async def test_a_secret_or_a_reason_of_others_is_not_in_a_refusal() -> None:
    room = Room(people=2)
    act = await room.asked()
    await at_once(room.desk.approve(act.id, act.hash, by=by(ANA.person, Role.ADMIN)))
    [entry] = room.store.told("Refused")
    told = msgspec.json.decode(entry.body)
    assert set(told) == {"route", "code", "why", "person", "act"}
    assert (entry.stream, entry.sequence, entry.actor, entry.cause) == ("act", 1, "operator:ana", "req_1")
    assert entry.stream_id != act.id
