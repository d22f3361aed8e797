"""Children that come and go at run time."""

import contextvars
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.actor import Actor
from actors.mailbox import ActorStopped, Ref, Reply
from actors.supervisor import (
    ChildAlreadyStarted,
    ChildSpec,
    DynamicSupervisor,
    Report,
    ReportKind,
    Restart,
    Strategy,
    Supervisor,
    TooManyChildren,
)

Message = Callable[["Toy"], Awaitable[None]]
of_a_request: contextvars.ContextVar[str] = contextvars.ContextVar("of_a_request", default="nobody's")


class Dead(BaseException):
    """A power cut."""


class Toy(Actor[Message]):
    def __init__(self, begin: Message | None = None) -> None:
        self.begin = begin

    async def started(self) -> None:
        if self.begin is not None:
            await self.begin(self)

    async def receive(self, message: Message) -> None:
        await message(self)


async def die(toy: Toy) -> None:
    raise ValueError("of this")


async def stop(toy: Toy) -> None:
    toy.stop()


async def hang(toy: Toy) -> None:
    await trio.sleep_forever()


def sleep_for(seconds: float) -> Message:
    async def sleep(toy: Toy) -> None:
        await trio.sleep(seconds)

    return sleep


def toy(name: str, begin: Message | None = None, *, restart: Restart = Restart.TRANSIENT, shutdown_seconds: float = 5) -> ChildSpec:
    return ChildSpec(
        name=name,
        start=lambda: Toy(begin),
        restart=restart,
        mailbox_capacity=8,
        shutdown_seconds=shutdown_seconds,
    )


async def alive(ref: Ref[Message]) -> bool:
    def make(reply: Reply[bool]) -> Message:
        async def message(toy: Toy) -> None:
            reply.answer(True)

        return message

    return await ref.ask(make, within_seconds=1)


class Stage:
    def __init__(self, max_children: int) -> None:
        self.reports = list[Report]()
        self.given_up = list[tuple[str, Exception]]()
        self.children = DynamicSupervisor(
            name="toys",
            max_children=max_children,
            intensity=2,
            period_seconds=10,
            report=self.reports.append,
            gave_up=lambda name, error: self.given_up.append((name, error)),
        )

    def kinds(self, child: str) -> list[ReportKind]:
        return [report.kind for report in self.reports if report.child == child]


@asynccontextmanager
async def stage(max_children: int = 10) -> AsyncIterator[Stage]:
    it = Stage(max_children)
    async with trio.open_nursery() as nursery:
        await nursery.start(it.children.run)
        yield it
        it.children.stop()


async def test_a_child_is_reached_at_once_and_found_by_name() -> None:
    async with stage() as it:
        ref = it.children.start_child(toy("a"))
        assert await alive(ref)
        assert it.children.ref_of("a") is ref
        assert it.children.ref_of("b") is None


async def test_one_name_one_child() -> None:
    async with stage() as it:
        it.children.start_child(toy("a"))
        with pytest.raises(ChildAlreadyStarted):
            it.children.start_child(toy("a"))


async def test_the_bound_is_an_explicit_error() -> None:
    async with stage(max_children=1) as it:
        it.children.start_child(toy("a"))
        with pytest.raises(TooManyChildren):
            it.children.start_child(toy("b"))
        await it.children.stop_child("a")
        assert await alive(it.children.start_child(toy("b")))
        assert it.children.statistics().refused == 1


async def test_it_takes_no_children_unless_it_runs() -> None:
    async with stage() as it:
        pass
    with pytest.raises(ActorStopped):
        it.children.start_child(toy("a"))


async def test_a_child_that_ends_makes_room() -> None:
    async with stage() as it:
        it.children.start_child(toy("a")).tell(stop)
        await wait_all_tasks_blocked()
        assert it.children.ref_of("a") is None
        assert it.children.statistics().children == 0
        assert it.kinds("a") == [ReportKind.STARTED, ReportKind.ENDED]


async def test_a_dead_child_is_restarted_behind_the_same_ref() -> None:
    async with stage() as it:
        ref = it.children.start_child(toy("a"))
        ref.tell(die)
        await wait_all_tasks_blocked()
        assert await alive(ref)
        assert it.kinds("a") == [
            ReportKind.STARTED,
            ReportKind.DIED,
            ReportKind.RESTARTING,
            ReportKind.STARTED,
        ]


async def test_a_temporary_child_is_not_restarted() -> None:
    async with stage() as it:
        it.children.start_child(toy("a", restart=Restart.TEMPORARY)).tell(die)
        await wait_all_tasks_blocked()
        assert it.children.ref_of("a") is None
        assert it.given_up == []


async def test_a_permanent_child_comes_back_after_a_normal_end() -> None:
    async with stage() as it:
        ref = it.children.start_child(toy("a", restart=Restart.PERMANENT))
        ref.tell(stop)
        await wait_all_tasks_blocked()
        assert await alive(ref)


async def test_a_poison_child_is_given_up_alone() -> None:
    async with stage() as it:
        sibling = it.children.start_child(toy("good"))
        poison = it.children.start_child(toy("poison", die))
        await wait_all_tasks_blocked()
        ((name, error),) = it.given_up
        assert (name, repr(error)) == ("poison", "ValueError('of this')")
        assert it.kinds("poison").count(ReportKind.DIED) == 3
        assert it.kinds("poison")[-1] is ReportKind.GAVE_UP
        assert it.children.ref_of("poison") is None
        with pytest.raises(ActorStopped):
            poison.tell(stop)
        assert await alive(sibling)
        assert it.kinds("good") == [ReportKind.STARTED]
        statistics = it.children.statistics()
        assert (statistics.children, statistics.died, statistics.restarts, statistics.gave_up) == (1, 3, 2, 1)


async def test_messages_lost_by_children_that_have_left_are_counted() -> None:
    async with stage() as it:
        ref = it.children.start_child(toy("a"))
        for message in (die, stop, stop, stop):
            ref.tell(message)
        await wait_all_tasks_blocked()
        ref.tell(stop)
        ref.tell(stop)
        await wait_all_tasks_blocked()
        assert it.children.statistics().lost == 4


async def test_intensity_is_counted_per_name() -> None:
    async with stage() as it:
        refs = [it.children.start_child(toy(name)) for name in ("a", "b", "c", "d")]
        for ref in refs:
            ref.tell(die)
        await wait_all_tasks_blocked()
        assert it.given_up == []


async def test_a_name_that_is_started_again_from_outside_does_not_escape_its_count() -> None:
    async with stage() as it:
        for _ in range(2):
            ref = it.children.start_child(toy("a"))
            ref.tell(die)
            await wait_all_tasks_blocked()
            ref.tell(stop)
            await wait_all_tasks_blocked()
        it.children.start_child(toy("a")).tell(die)
        await wait_all_tasks_blocked()
        assert [name for name, _ in it.given_up] == ["a"]


async def test_a_name_given_up_may_be_started_again_with_its_full_intensity() -> None:
    async with stage() as it:
        it.children.start_child(toy("a", die))
        await wait_all_tasks_blocked()
        ref = it.children.start_child(toy("a"))
        ref.tell(die)
        await wait_all_tasks_blocked()
        assert await alive(ref)
        assert len(it.given_up) == 1


async def test_deaths_older_than_the_period_do_not_count(autojump_clock: MockClock) -> None:
    async with stage() as it:
        ref = it.children.start_child(toy("a"))
        for _ in range(6):
            ref.tell(die)
            await trio.sleep(5)
        assert it.given_up == []


async def test_stop_child_lets_it_finish_its_message(autojump_clock: MockClock) -> None:
    async with stage() as it:
        it.children.start_child(toy("a")).tell(sleep_for(3))
        await wait_all_tasks_blocked()
        assert await it.children.stop_child("a")
        assert trio.current_time() == 3
        assert it.kinds("a")[-1] is ReportKind.STOPPED
        assert not await it.children.stop_child("a")


async def test_stop_child_cancels_one_that_is_too_slow_also_if_nobody_waits(autojump_clock: MockClock) -> None:
    async with stage() as it:
        it.children.start_child(toy("a", shutdown_seconds=4)).tell(hang)
        await wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await it.children.stop_child("a")
        await trio.sleep(3.5)
        assert it.kinds("a")[-1] is ReportKind.KILLED
        assert it.children.statistics().children == 0


async def test_a_child_that_dies_while_it_is_stopped_is_not_restarted(autojump_clock: MockClock) -> None:
    async def die_soon(toy: Toy) -> None:
        await trio.sleep(1)
        await die(toy)

    async with stage() as it:
        it.children.start_child(toy("a", restart=Restart.PERMANENT)).tell(die_soon)
        await wait_all_tasks_blocked()
        await it.children.stop_child("a")
        assert it.kinds("a") == [ReportKind.STARTED, ReportKind.DIED]
        assert it.children.ref_of("a") is None


async def test_a_child_started_while_its_namesake_stops_follows_it(autojump_clock: MockClock) -> None:
    async def stop_slowly(toy: Toy) -> None:
        toy.stop()
        await trio.sleep(2)

    async with stage(max_children=1) as it:
        it.children.start_child(toy("a")).tell(stop_slowly)
        await wait_all_tasks_blocked()
        assert it.children.ref_of("a") is None
        ref = it.children.start_child(toy("a"))
        assert it.children.ref_of("a") is ref
        with pytest.raises(ChildAlreadyStarted):
            it.children.start_child(toy("a"))
        ref.tell(sleep_for(0))
        await trio.sleep(1)
        assert it.kinds("a") == [ReportKind.STARTED]  # one life at a time
        await trio.sleep(2)
        assert it.kinds("a") == [ReportKind.STARTED, ReportKind.ENDED, ReportKind.STARTED]
        assert await alive(ref)


async def test_a_follower_is_stopped_with_the_one_it_waits_for(autojump_clock: MockClock) -> None:
    async with stage() as it:
        it.children.start_child(toy("a")).tell(sleep_for(2))
        await wait_all_tasks_blocked()
        with trio.move_on_after(0):
            await it.children.stop_child("a")
        ref = it.children.start_child(toy("a"))
        await it.children.stop_child("a")
        with pytest.raises(ActorStopped):
            ref.tell(stop)
        assert it.children.statistics().children == 0


async def test_at_the_end_all_children_stop_together_each_with_its_deadline(autojump_clock: MockClock) -> None:
    async with stage() as it:
        it.children.start_child(toy("a", shutdown_seconds=2)).tell(hang)
        it.children.start_child(toy("b", shutdown_seconds=3)).tell(hang)
        it.children.start_child(toy("c", shutdown_seconds=3)).tell(sleep_for(1))
        await wait_all_tasks_blocked()
    assert trio.current_time() == 3
    assert [(r.child, r.kind) for r in it.reports[3:]] == [
        ("c", ReportKind.STOPPED),
        ("a", ReportKind.KILLED),
        ("b", ReportKind.KILLED),
    ]


async def test_cancelled_from_outside_children_finish_their_message(autojump_clock: MockClock) -> None:
    it = Stage(10)
    async with trio.open_nursery() as nursery:
        await nursery.start(it.children.run)
        it.children.start_child(toy("a")).tell(sleep_for(1))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 1
    assert it.kinds("a")[-1] is ReportKind.STOPPED


async def test_a_power_cut_goes_through_and_restarts_nothing(autojump_clock: MockClock) -> None:
    async def cut_power(toy: Toy) -> None:
        raise Dead

    async def die_in_cleanup(toy: Toy) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    it = Stage(10)
    other = Stage(10)
    other.children.name = "other"
    root = Supervisor(
        name="root",
        strategy=Strategy.ONE_FOR_ONE,
        children=[it.children, other.children],
        intensity=1,
        period_seconds=10,
        report=it.reports.append,
    )

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            it.children.start_child(toy("b")).tell(die_in_cleanup)
            other.children.start_child(toy("c")).tell(sleep_for(3))
            await wait_all_tasks_blocked()
            it.reports.clear()
            it.children.start_child(toy("a", cut_power))

    with pytest.raises(BaseExceptionGroup) as caught:
        await play()
    assert caught.value.split(Dead)[1] is None
    assert trio.current_time() == 0
    assert it.reports == []


async def test_a_child_started_in_the_moment_of_a_power_cut_makes_no_step() -> None:
    it, steps = Stage(10), list[str]()

    async def step(toy: Toy) -> None:
        steps.append("made")

    async def start_and_cut_power(_: Toy) -> None:
        it.children.start_child(toy("b", step))
        raise Dead

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(it.children.run)
            it.children.start_child(toy("a", start_and_cut_power))

    with pytest.raises(BaseExceptionGroup):
        await play()
    assert steps == []


async def test_a_gave_up_that_raises_is_the_death_of_the_supervisor_which_comes_back_empty() -> None:
    def broken(name: str, error: Exception) -> None:
        raise RuntimeError("nobody takes it")

    reports = list[Report]()
    children = DynamicSupervisor(name="toys", max_children=9, intensity=0, period_seconds=10, report=reports.append, gave_up=broken)
    root = Supervisor(
        name="root",
        strategy=Strategy.ONE_FOR_ONE,
        children=[children],
        intensity=1,
        period_seconds=10,
        report=reports.append,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        sibling = children.start_child(toy("good"))
        children.start_child(toy("poison", die))
        await wait_all_tasks_blocked()
        died = [report.error for report in reports if report.child == "toys" and report.kind is ReportKind.DIED]
        assert [repr(error) for error in died] == ["RuntimeError('nobody takes it')"]
        assert children.ref_of("good") is None
        with pytest.raises(ActorStopped):
            sibling.tell(stop)
        assert await alive(children.start_child(toy("good")))
        root.stop()


async def test_under_a_supervisor_it_is_restarted_empty() -> None:
    it = Stage(10)
    trigger = ChildSpec(name="trigger", start=Toy, mailbox_capacity=1)
    root = Supervisor(
        name="root",
        strategy=Strategy.REST_FOR_ONE,
        children=[trigger, it.children],
        intensity=1,
        period_seconds=10,
        report=it.reports.append,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        old = it.children.start_child(toy("a"))
        root.ref("trigger").tell(die)
        await wait_all_tasks_blocked()
        assert it.children.ref_of("a") is None
        with pytest.raises(ActorStopped):
            old.tell(stop)
        assert await alive(it.children.start_child(toy("a")))
        root.stop()


async def test_a_child_does_not_inherit_the_context_of_who_started_it() -> None:
    seen = list[str]()

    async def look(toy: Toy) -> None:
        seen.append(of_a_request.get())

    async with stage() as it:
        of_a_request.set("mine")
        it.children.start_child(toy("a", look))
        await wait_all_tasks_blocked()
    assert seen == ["nobody's"]


async def test_an_idle_child_is_small() -> None:
    """Bound 10 KB with its trio task and mailbox; measured 4.1 KB (tracemalloc), 4.4 KB (RSS)."""
    count = 2_000
    async with stage(max_children=count) as it:
        it.children.start_child(toy("warm"))
        await it.children.stop_child("warm")
        it.reports.clear()
        tracemalloc.start()
        try:
            for number in range(count):
                it.children.start_child(toy(f"child-{number}"))
            await wait_all_tasks_blocked()
            it.reports.clear()
            bytes_each = tracemalloc.get_traced_memory()[0] / count
        finally:
            tracemalloc.stop()
        assert bytes_each < 10_000


async def test_an_ended_child_leaves_nothing_for_the_garbage_collector() -> None:
    """With raised collection thresholds, cycles of finished payments would pile up."""
    async with stage() as it:
        gc.collect()
        gc.disable()
        try:
            for number in range(50):
                ref = it.children.start_child(toy(f"child-{number}"))
                assert await alive(ref)
                ref.tell(stop)
                await wait_all_tasks_blocked()
            assert gc.collect() < 50
        finally:
            gc.enable()
