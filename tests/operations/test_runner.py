"""The runner in virtual time: acts are carried out once whatever dies in between, long ones beside each other, and late ones expire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.supervisor import ChildSpec, Strategy, Supervisor
from payorch.domain.act_records import ActRecord
from payorch.domain.acts import Act, ActName, ActState, Performed, Person
from payorch.operations.planner import Progress
from payorch.operations.runner import Carry, RunnerActor, RunnerLimits
from payorch.store.journal import JournalUnavailable
from tests.api.act_world import Acting, a_draft, by
from tests.api.merchant_world import START, new_id

ANA = by(Person(operator=new_id("opr"), name="ana", person="Ana"))
BEN = by(Person(operator=new_id("opr"), name="ben", person="Ben"))
LIMITS = RunnerLimits(
    at_once=2, sweep_seconds=2.0, retry_seconds=1.0, tries=3, keep_plans_seconds=60, housekeeping_seconds=600, page=10
)  # fmt: skip


class VirtualClock:
    def now(self) -> datetime:
        return START + timedelta(milliseconds=round(trio.current_time() * 1000))


class Scene(Acting):
    """The desk and a real runner, which a test can kill: what it did stands in the store and in `done`, as at a PSP."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(clock=VirtualClock(), new_id=new_id)
        self.nursery = nursery
        self.troubles: list[tuple[str, str]] = []
        self.done: list[str] = []
        self.root: Supervisor | None = None
        self.runner: RunnerActor | None = None

    async def start(self) -> None:
        spec = ChildSpec(name="operations", start=self._make, mailbox_capacity=9, shutdown_seconds=1)
        self.root = Supervisor(
            name="root", strategy=Strategy.REST_FOR_ONE, children=[spec], intensity=0, period_seconds=10, report=lambda _: None
        )  # fmt: skip
        await self.nursery.start(self.root.run)

    def _make(self) -> RunnerActor:
        self.runner = RunnerActor(
            book=self.book, errand=self.errand, endings=self.endings, limits=LIMITS,
            trouble=lambda about, error: self.troubles.append((about, type(error).__name__)),
        )  # fmt: skip
        return self.runner

    async def stop(self) -> None:
        if self.root is not None:
            self.root.stop()
            self.root = None
            await trio.sleep(2)

    def _carry(self, act_id: str) -> None:
        if not self.idle and self.root is not None:
            self.root.ref("operations").tell(Carry(act_id=act_id))

    async def asked(self, subject: str = "pay_1") -> ActRecord:
        plan = await self.desk.plan(ActName.PAYMENT_VOID, subject, {}, break_glass=False, by=ANA)
        act, _ = await self.desk.propose(plan.id, reason="r", key=plan.id, seen=None, by=ANA)
        return act

    def state(self, act: ActRecord) -> ActState:
        return self.store.acts[act.id].state

    async def once(self, act: Act, progress: Progress) -> Performed:
        """What every planner does: it looks whether it has done this act before."""
        if act.id not in self.done:
            self.done.append(act.id)
        return Performed(state=ActState.DONE, text="done")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        made = Scene(nursery)
        made.planner.behave = made.once
        yield made
        await made.stop()
        nursery.cancel_scope.cancel()


async def test_what_the_desk_hands_on_is_carried_out_at_once(autojump_clock: MockClock, scene: Scene) -> None:
    await scene.start()
    began = trio.current_time()
    act = await scene.asked()
    assert act.state is ActState.DONE
    assert trio.current_time() - began < 0.1
    assert scene.runner is not None
    assert (scene.runner.statistics().ended, scene.runner.statistics().under_way) == (1, 0)


async def test_what_was_left_is_found_at_the_start_and_by_the_next_look(autojump_clock: MockClock, scene: Scene) -> None:
    before = await scene.asked("pay_1")
    assert before.state is ActState.APPROVED
    await scene.start()
    await trio.sleep(0.1)
    assert scene.state(before) is ActState.DONE
    scene.idle = True
    lost = await scene.asked("pay_2")
    await trio.sleep(LIMITS.sweep_seconds)
    assert scene.state(lost) is ActState.DONE


async def test_a_death_between_doing_and_writing_it_down_does_it_once(autojump_clock: MockClock, scene: Scene) -> None:
    dies = True

    async def perform(act: Act, progress: Progress) -> Performed:
        result = await scene.once(act, progress)
        scene.planner.draft = a_draft(version="2")  # what it is about is another now, by what it did
        if dies:
            await trio.sleep_forever()
        return result

    scene.planner.behave = perform
    await scene.start()
    act = await scene.asked()
    assert (act.state, scene.done) == (ActState.RUNNING, [act.id])
    await scene.stop()
    dies = False
    await scene.start()
    await trio.sleep(0.1)
    assert (scene.state(act), scene.done, len(scene.planner.performed)) == (ActState.DONE, [act.id], 2)
    assert [one.name for one in scene.store.entries] == ["Ordered", "Started", "Finished"]


@pytest.mark.parametrize("writes", range(3))
async def test_a_journal_that_is_away_at_any_step_delays_it_and_no_more(autojump_clock: MockClock, scene: Scene, writes: int) -> None:
    scene.idle = True
    act = await scene.asked()
    real, count = scene.store.write, 0

    async def write(item: Any) -> Any:
        nonlocal count
        count += 1
        if count == writes + 1:
            raise JournalUnavailable("away")
        return await real(item)

    scene.store.write = write  # type: ignore[method-assign]
    await scene.start()
    await trio.sleep(5)
    assert (scene.state(act), scene.done, scene.troubles) == (ActState.DONE, [act.id], [])


async def test_what_changed_before_it_was_begun_is_not_done(autojump_clock: MockClock, scene: Scene) -> None:
    scene.idle = True
    act = await scene.asked()
    scene.planner.draft = a_draft(version="2")
    await scene.start()
    await trio.sleep(0.1)
    assert (scene.state(act), scene.done) == (ActState.REFUSED, [])
    assert [one.name for one in scene.store.entries] == ["Ordered", "Refused"]


async def test_a_fault_of_ours_is_told_and_ends_it_for_people(autojump_clock: MockClock, scene: Scene) -> None:
    async def perform(act: Act, progress: Progress) -> Performed:
        raise KeyError("secret")

    scene.planner.behave = perform
    await scene.start()
    act = await scene.asked()
    assert act.state is ActState.FAILED
    assert act.result is not None
    assert "KeyError" in act.result["text"]
    assert "secret" not in act.result["text"]
    assert scene.troubles == [(act.id, "KeyError")] * 3
    assert (await scene.asked("pay_2")).state is ActState.FAILED  # and the runner is alive


async def test_long_acts_run_beside_each_other_and_no_more_than_so_many(autojump_clock: MockClock, scene: Scene) -> None:
    release, under_way, most = trio.Event(), 0, 0

    async def perform(act: Act, progress: Progress) -> Performed:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        return Performed(state=ActState.DONE, text="done")

    scene.planner.behave = perform
    await scene.start()
    some = [await scene.asked(f"pay_{n}") for n in range(3)]
    assert [one.state for one in some] == [ActState.RUNNING, ActState.RUNNING, ActState.APPROVED]
    release.set()
    await trio.sleep(0.1)  # long before the next look: the third begins when one has ended
    assert [scene.state(one) for one in some] == [ActState.DONE] * 3
    assert most == LIMITS.at_once


async def test_a_long_act_goes_on_from_where_it_was(autojump_clock: MockClock, scene: Scene) -> None:
    async def perform(act: Act, progress: Progress) -> Performed:
        begins = 0 if act.progress is None else act.progress["done"]
        for n in range(begins, 4):
            scene.done.append(f"step {n}")
            await progress({"done": n + 1})
            if n == 1 and begins == 0:
                await trio.sleep_forever()
        return Performed(state=ActState.DONE, text="done")

    scene.planner.behave = perform
    await scene.start()
    act = await scene.asked()
    assert scene.store.acts[act.id].progress == {"done": 2}
    await scene.stop()
    await scene.start()
    await trio.sleep(0.1)
    assert scene.done == [f"step {n}" for n in range(4)]
    assert scene.state(act) is ActState.DONE
    assert [one.name for one in scene.store.entries] == ["Ordered", "Started", "Finished"]  # how far it had come is no record


async def test_what_was_to_stop_when_the_process_ended_is_not_taken_up_again(autojump_clock: MockClock, scene: Scene) -> None:
    async def perform(act: Act, progress: Progress) -> Performed:
        await progress({"done": 1})
        await trio.sleep_forever()
        raise AssertionError

    scene.planner.behave = perform
    await scene.start()
    act = await scene.asked()
    halting = await scene.desk.halt(act.id, reason="enough", by=BEN)
    assert halting.state is ActState.RUNNING  # the step that it is in takes its time
    await scene.stop()
    await scene.start()
    await trio.sleep(0.1)
    assert scene.state(act) is ActState.HALTED
    assert len(scene.planner.performed) == 1
    assert [one.name for one in scene.store.entries] == ["Ordered", "Started", "HaltAsked", "Halted"]


async def test_what_nobody_decides_expires_and_old_plans_are_forgotten(autojump_clock: MockClock, scene: Scene) -> None:
    scene.planner.draft = a_draft(people=2)
    await scene.start()
    act = await scene.asked()
    await trio.sleep(1800)
    assert scene.state(act) is ActState.PROPOSED
    await trio.sleep(2 * LIMITS.sweep_seconds)
    assert scene.state(act) is ActState.EXPIRED
    [entry] = scene.store.told("Expired")
    assert (entry.actor, entry.sequence) == ("system", 2)
    await trio.sleep(700)
    assert scene.store.plans == {}
