"""The desk and the runner over a real database and the journal's one writer: what meets at the same moment meets there as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from payorch.domain.act_records import ActRecord, By, Denied, No
from payorch.domain.acts import ActName, ActState, Person
from payorch.operations.act_book import ActBook
from payorch.operations.acts_edge import StoredActs
from payorch.operations.desk import ActDesk
from payorch.operations.endings import Endings
from payorch.operations.errand import Errand
from payorch.store import entries, identities, reads
from payorch.store.audit import verify
from payorch.store.items import Item, OperatorRow, Result
from payorch.store.journal import Journal
from tests.api.act_world import TERMS, FakeAlarm, FakePlanner, a_draft, by
from tests.conftest import Database
from tests.store.stories import START, connected, journal_on, new_id

ANA = by(Person(operator=new_id("opr"), name="ana", person="Ana"))
BEN = by(Person(operator=new_id("opr"), name="ben", person="Ben"))
EVA = by(Person(operator=new_id("opr"), name="eva", person="Eva"))


class StandingClock:
    def now(self) -> Any:
        return START


class Office:
    """The desk over the database; whatever it hands on is carried out at once."""

    def __init__(self, journal: Journal, conninfo: str) -> None:
        self._journal, self._conninfo, self._turn = journal, conninfo, trio.Lock()
        self.planner = FakePlanner()
        planners = dict.fromkeys(ActName, self.planner)
        self.endings = Endings()
        self.book = ActBook(StoredActs(self.read, self.write), clock=StandingClock(), identifier=new_id)
        self.errand = Errand(self.book, planners)
        self.desk = ActDesk(
            self.book, planners, terms=TERMS, endings=self.endings, carry=self._carry, answer_within_seconds=10, log=FakeAlarm()
        )  # fmt: skip

    async def read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        async with connected(self._conninfo) as connection:
            return await query(connection, *arguments, **named)

    async def write(self, item: Item) -> Result:
        async with self._turn:
            [result] = await self._journal.write([item])
        return result

    def _carry(self, act_id: str) -> None:
        trio.lowlevel.spawn_system_task(self._run, act_id)

    async def _run(self, act_id: str) -> None:
        await self.errand.carry_out(act_id)
        self.endings.over(act_id)

    async def asked(self, who: By = ANA) -> ActRecord:
        plan = await self.desk.plan(ActName.PAYMENT_VOID, "pay_1", {}, break_glass=False, by=who)
        act, _ = await self.desk.propose(plan.id, reason="INC-1", key=plan.id, seen=plan.hash, by=who)
        return act

    async def names(self) -> list[str]:
        return [row.name for row in await self.read(reads.tail, 0, limit=100) if row.stream == "act"]


@pytest.fixture
async def office(database: Database) -> AsyncIterator[Office]:
    async with journal_on(database.app) as journal:
        made = Office(journal, database.app)
        for one in (ANA, BEN, EVA):
            row = OperatorRow(id=one.person.operator, name=one.person.name, person=one.person.person, created_at=START)
            await made.write(entries.entry_of(identities.operator_added(row), sequence=1, at=START, actor="cli:root", cause="c"))
        yield made


async def at_once(*some: Any) -> list[Any]:
    found: list[Any] = []

    async def run(one: Any) -> None:
        try:
            found.append(await one)
        except Denied as denied:
            found.append(denied.refusal.code)

    async with trio.open_nursery() as nursery:
        for one in some:
            nursery.start_soon(run, one)
    return found


async def test_two_persons_and_the_chain_stays_whole(office: Office) -> None:
    office.planner.draft = a_draft(people=2)
    act = await office.asked()
    with pytest.raises(Denied):
        await office.desk.approve(act.id, act.hash, by=ANA)
    done = await office.desk.approve(act.id, act.hash, by=BEN)
    assert done.state is ActState.DONE
    assert done == await office.desk.act(act.id)
    assert await office.names() == ["Proposed", "Refused", "Approved", "Started", "Finished"]
    assert (await office.read(verify)).whole


async def test_one_plan_asked_for_three_times_at_once_is_one_act(office: Office) -> None:
    plan = await office.desk.plan(ActName.PAYMENT_VOID, "pay_1", {}, break_glass=False, by=ANA)
    found = await at_once(*(office.desk.propose(plan.id, reason="r", key="k", seen=None, by=ANA) for _ in range(3)))
    assert len({act.id for act, _ in found}) == 1
    assert len(office.planner.performed) == 1
    assert await office.names() == ["Ordered", "Started", "Finished"]


async def test_of_two_who_want_the_same_at_once_one_gets_it(office: Office) -> None:
    office.planner.draft = a_draft(people=2)
    found = await at_once(office.asked(ANA), office.asked(BEN))
    assert No.ACTION_OPEN in found
    assert await office.names() == ["Proposed", "Refused"]


async def test_of_three_who_decide_at_once_one_does(office: Office) -> None:
    office.planner.draft = a_draft(people=2)
    act = await office.asked()
    found = await at_once(
        office.desk.approve(act.id, act.hash, by=BEN),
        office.desk.approve(act.id, act.hash, by=EVA),
        office.desk.reject(act.id, reason="no", by=EVA),
    )
    assert found.count(No.NOT_ALLOWED) == 2
    after = await office.desk.act(act.id)
    assert after is not None
    assert len(office.planner.performed) == (after.state is ActState.DONE)
