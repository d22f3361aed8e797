"""The whole way of an act about dead letters: planned, asked for, agreed with, carried out, and seen beside its group afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from payorch.domain.act_records import ActRecord, By, Denied, No, Terms
from payorch.domain.acts import ActName, ActState, Person
from payorch.domain.roles import Role
from payorch.operations.act_book import ActBook
from payorch.operations.acts_edge import StoredActs
from payorch.operations.dead_letters import planners
from payorch.operations.desk import ActDesk
from payorch.operations.endings import Endings
from payorch.operations.errand import Errand
from payorch.store import act_reads, audit
from payorch.store.act_reads import ReplayAct
from payorch.store.items import NoticeState, OperatorRow
from tests.conftest import Database
from tests.operations.dead_letter_world import GROUP, Died, World, world_on
from tests.store.stories import START, new_id

REPLAY = ActName.DEAD_LETTER_REPLAY


@dataclass
class Room:
    """The desk and the errand over one world, and two persons."""

    world: World
    desk: ActDesk
    errand: Errand
    olga: By
    amir: By

    async def asked(self, name: ActName, **parameters: Any) -> ActRecord:
        plan = await self.desk.plan(name, GROUP, parameters, break_glass=False, by=self.olga)
        act, _ = await self.desk.propose(plan.id, reason="the bug is repaired", key=new_id("act"), seen=plan.hash, by=self.olga)
        return act

    async def carried_out(self, act_id: str) -> ActRecord:
        await self.errand.carry_out(act_id)
        act = await self.desk.act(act_id)
        assert act is not None
        return act


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    async with world_on(database) as world:
        some = planners(world.around)
        book = ActBook(StoredActs(world.read, world.write), clock=world.clock, identifier=new_id)
        desk = ActDesk(
            book, some, terms=Terms(plan_seconds=1800, decision_seconds=1800, review_seconds=86400), endings=Endings(),
            carry=lambda act_id: None, answer_within_seconds=0, log=structlog.get_logger("test"),
        )  # fmt: skip
        people = []
        for name in ("olga", "amir"):
            row = OperatorRow(id=new_id("opr"), name=name, person=name.title(), created_at=START)
            await world.enter("operator", row.id, "OperatorMade", row)
            person = Person(operator=row.id, name=name, person=row.person)
            people.append(By(person=person, role=Role.APPROVER, cause="req_1", route="POST /ops/v1/actions"))
        yield Room(world, desk, Errand(book, some), *people)


async def test_a_group_is_replayed_by_two_and_shows_how_it_went(room: Room) -> None:
    ids = await room.world.dead_notices(4)
    room.world.weigh = lambda letter_id: NoticeState.DEAD if letter_id == ids[3] else NoticeState.APPLIED
    act = await room.asked(REPLAY, halt_percent=50)
    assert (act.state, act.people) == (ActState.PROPOSED, 2)
    assert await act_reads.last_replays(room.world.connection, [GROUP]) == {}, "nobody has agreed yet"
    act = await room.desk.approve(act.id, act.hash, by=room.amir)
    act = await room.carried_out(act.id)
    assert act.state is ActState.DONE
    assert act.result is not None
    assert (act.result["ok"], act.result["failed"], act.result["left"]) == (3, 1, 0)
    told = await act_reads.last_replays(room.world.connection, [GROUP, "another"])
    assert act.finished_at is not None
    assert told == {GROUP: ReplayAct(id=act.id, at=act.finished_at, ok=3, failed=1, halted=False)}
    assert {row[2] for row in await room.world.records("DeadLetterReplayed")} == {act.id}
    assert (await audit.verify(room.world.connection)).whole


async def test_one_person_replays_one_and_the_canary_stops_a_bulk(room: Room) -> None:
    ids = await room.world.dead_notices(3)
    room.world.weigh = lambda letter_id: NoticeState.DEAD
    act = await room.asked(REPLAY)
    await room.desk.approve(act.id, act.hash, by=room.amir)
    act = await room.carried_out(act.id)
    assert act.state is ActState.HALTED
    told = await act_reads.last_replays(room.world.connection, [GROUP])
    assert (told[GROUP].halted, told[GROUP].failed) == (True, 1)
    assert await room.world.states(*ids) == ["open"] * 3
    plan = await room.desk.plan(REPLAY, ids[0], {}, break_glass=False, by=room.olga)
    assert plan.draft.people == 1


async def test_a_group_that_has_grown_is_not_what_was_agreed_with(room: Room) -> None:
    await room.world.dead_notices(2)
    act = await room.asked(ActName.DEAD_LETTER_DISCARD)
    await room.world.dead_notice()
    with pytest.raises(Denied) as denied:
        await room.desk.approve(act.id, act.hash, by=room.amir)
    assert denied.value.refusal.code is No.PLAN_CHANGED
    assert await room.world.records("DeadLetterDiscarded") == []


async def test_a_crash_on_the_way_is_carried_on(room: Room) -> None:
    ids = await room.world.dead_notices(4)
    act = await room.asked(REPLAY)
    await room.desk.approve(act.id, act.hash, by=room.amir)
    crashes = 0
    while act.state is not ActState.DONE and crashes < 20:
        room.world.die_after = 1  # one write in each life
        try:
            act = await room.carried_out(act.id)
        except Died:
            crashes += 1
    assert (crashes, act.result and act.result["ok"]) == (8, 4)
    names = [row[0] for row in await room.world.records("DeadLetterReplayed")]
    assert len(names) == len(set(names)) == 4
    assert await room.world.states(*ids) == ["replayed"] * 4


async def test_a_person_stops_it_after_the_step_that_it_is_in(room: Room) -> None:
    ids = await room.world.dead_notices(4)
    act = await room.asked(REPLAY)
    act = await room.desk.approve(act.id, act.hash, by=room.amir)
    room.world.die_after = 3  # begun, the letters written down, the canary replayed
    with pytest.raises(Died):
        await room.errand.carry_out(act.id)
    room.world.die_after = None
    await room.desk.halt(act.id, reason="the PSP asks us to wait", by=room.amir)
    act = await room.carried_out(act.id)
    assert act.state is ActState.HALTED
    assert (await room.world.states(*ids)).count("open") == 3
