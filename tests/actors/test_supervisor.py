"""The rules of supervision. Each test breaks when its rule is broken."""

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.actor import Actor
from actors.mailbox import ActorStopped, Reply
from actors.supervisor import (
    ChildSpec,
    ChildState,
    DynamicSupervisor,
    Report,
    ReportKind,
    Restart,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    SupervisorStatistics,
)

Message = Callable[[], Awaitable[None]]


class Dead(BaseException):
    """A power cut."""


async def die() -> None:
    raise ValueError("of this")


async def cut_power() -> None:
    raise Dead


def sleep_for(seconds: float) -> Message:
    async def sleep() -> None:
        await trio.sleep(seconds)

    return sleep


class Stage:
    """Makes toys and supervisors and keeps what they do: `seen` ("name up", "name down") and the reports."""

    def __init__(self) -> None:
        self.seen = list[str]()
        self.reports = list[Report]()
        self.begin: dict[str, Message] = {}
        """what the `started` hook of a toy does"""

    def toy(self, name: str, *, restart: Restart = Restart.PERMANENT, shutdown_seconds: float = 5) -> ChildSpec:
        return ChildSpec(
            name=name,
            start=lambda: Toy(self),
            restart=restart,
            mailbox_capacity=8,
            shutdown_seconds=shutdown_seconds,
        )

    def supervisor(
        self,
        *children: ChildSpec | Supervisor | DynamicSupervisor,
        name: str = "root",
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: int = 3,
    ) -> Supervisor:
        return Supervisor(
            name=name,
            strategy=strategy,
            children=children,
            intensity=intensity,
            period_seconds=10,
            report=self.reports.append,
        )

    def kinds(self, child: str) -> list[ReportKind]:
        return [report.kind for report in self.reports if report.child == child]


class Toy(Actor[Message]):
    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def started(self) -> None:
        await self.stage.begin.get(self.ref.name, trio.lowlevel.checkpoint)()
        self.stage.seen.append(f"{self.ref.name} up")
        self.spawn(self.say_when_it_ends)

    async def say_when_it_ends(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.stage.seen.append(f"{self.ref.name} down")

    async def receive(self, message: Message) -> None:
        await message()


class Plain(Actor[Message]):
    """Without a background task an actor ends in the very step in which it dies."""

    async def receive(self, message: Message) -> None:
        await message()


def plain(name: str) -> ChildSpec:
    return ChildSpec(name=name, start=Plain, mailbox_capacity=8)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def leaves(error: BaseException) -> Sequence[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in leaves(each)]
    return [error]


async def test_children_start_in_order_and_stop_in_reverse(stage: Stage, autojump_clock: MockClock) -> None:
    stage.begin["a"] = sleep_for(1)  # b must wait for it
    root = stage.supervisor(stage.toy("a"), stage.toy("b"), stage.toy("c"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        assert stage.seen == ["a up", "b up", "c up"]
        root.stop()
    assert stage.seen[3:] == ["c down", "b down", "a down"]
    assert [(r.child, r.kind) for r in stage.reports[3:]] == [
        ("c", ReportKind.STOPPED),
        ("b", ReportKind.STOPPED),
        ("a", ReportKind.STOPPED),
    ]


async def test_each_child_has_ended_before_the_one_before_it_is_told_to_stop(stage: Stage, autojump_clock: MockClock) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("b").tell(sleep_for(2))
        await wait_all_tasks_blocked()
        root.stop()
        await trio.sleep(1)
        assert stage.seen == ["a up", "b up"]
        root.ref("a").tell(sleep_for(0))  # still serves those that stop before it


async def test_a_ref_is_valid_before_its_actor_runs(stage: Stage) -> None:
    inner = stage.supervisor(stage.toy("a"), name="inner")
    root = stage.supervisor(inner)
    ref = root.ref("a")
    with pytest.raises(ActorStopped):
        ref.tell(die)
    with pytest.raises(KeyError):
        root.ref("inner")
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        ref.tell(sleep_for(0))
        root.stop()
    with pytest.raises(ActorStopped):
        ref.tell(die)


def test_two_children_of_one_name_are_refused(stage: Stage) -> None:
    inner = stage.supervisor(stage.toy("a"), name="inner")
    with pytest.raises(ValueError, match="'a'"):
        stage.supervisor(inner, stage.toy("a"))


async def test_one_for_one_restarts_the_dead_child_alone(stage: Stage) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b"), stage.toy("c"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("b").tell(die)
        await wait_all_tasks_blocked()
        assert stage.seen[3:] == ["b down", "b up"]
        assert stage.kinds("b") == [
            ReportKind.STARTED,
            ReportKind.DIED,
            ReportKind.RESTARTING,
            ReportKind.STARTED,
        ]
        root.ref("b").tell(sleep_for(0))  # the same ref reaches the new life
        root.stop()


async def test_rest_for_one_restarts_the_dead_child_and_all_after_it(stage: Stage) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b"), stage.toy("c"), stage.toy("d"), strategy=Strategy.REST_FOR_ONE)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("b").tell(die)
        await wait_all_tasks_blocked()
        assert stage.seen[4:] == ["b down", "d down", "c down", "b up", "c up", "d up"]
        root.stop()


async def test_rest_for_one_does_not_start_a_temporary_child_again(stage: Stage) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b", restart=Restart.TEMPORARY), strategy=Strategy.REST_FOR_ONE)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(die)
        await wait_all_tasks_blocked()
        assert stage.seen[2:] == ["a down", "b down", "a up"]
        assert stage.kinds("b") == [ReportKind.STARTED, ReportKind.STOPPED]
        root.stop()


@pytest.mark.parametrize(
    ("restart", "after_death", "after_normal_end"),
    [(Restart.PERMANENT, True, True), (Restart.TRANSIENT, True, False), (Restart.TEMPORARY, False, False)],
)
async def test_the_restart_rule_decides_who_comes_back(stage: Stage, restart: Restart, after_death: bool, after_normal_end: bool) -> None:
    class Mortal(Toy):
        async def receive(self, message: Message) -> None:
            if message is die:
                await die()
            self.stop()

    specs = [ChildSpec(name=name, start=lambda: Mortal(stage), restart=restart, mailbox_capacity=1) for name in ("x", "y")]
    root = stage.supervisor(*specs)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("x").tell(die)
        root.ref("y").tell(sleep_for(0))
        await wait_all_tasks_blocked()
        states = {child.name: child.state for child in root.statistics().children}
        assert (states["x"] is ChildState.RUNNING) is after_death
        assert (states["y"] is ChildState.RUNNING) is after_normal_end
        root.stop()


async def test_more_restarts_than_the_intensity_within_the_period_escalate(stage: Stage) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b"), intensity=2)

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            for _ in range(3):
                await wait_all_tasks_blocked()
                root.ref("b").tell(die)

    with pytest.raises(ExceptionGroup) as caught:
        await play()
    (error,) = leaves(caught.value)
    assert isinstance(error, RestartIntensityExceeded)
    assert (error.supervisor, error.child) == ("root", "b")
    assert isinstance(error.__cause__, ValueError)
    assert stage.kinds("b")[-2:] == [ReportKind.DIED, ReportKind.ESCALATED]
    assert stage.kinds("a")[-1] is ReportKind.STOPPED
    assert stage.seen.count("b up") == 3


async def test_restarts_older_than_the_period_do_not_count(stage: Stage, autojump_clock: MockClock) -> None:
    root = stage.supervisor(stage.toy("a"), intensity=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        for _ in range(5):
            root.ref("a").tell(die)
            await trio.sleep(10)
        assert root.statistics().children[0].restarts == 5
        root.stop()


async def test_a_child_that_fails_in_started_obeys_the_intensity(stage: Stage) -> None:
    stage.begin["b"] = die
    root = stage.supervisor(stage.toy("a"), stage.toy("b"), stage.toy("c"), intensity=4)
    with pytest.raises(RestartIntensityExceeded):
        await root.run()
    assert stage.kinds("b").count(ReportKind.DIED) == 5
    assert stage.kinds("c") == []
    assert stage.seen == ["a up", "a down"]


async def test_a_death_while_a_later_child_starts_is_answered(stage: Stage, autojump_clock: MockClock) -> None:
    stage.begin["b"] = sleep_for(5)
    root = stage.supervisor(stage.toy("a"), stage.toy("b"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(root.run)
        await trio.sleep(1)
        root.ref("a").tell(die)
        await trio.sleep(1)
        assert stage.seen == ["a up", "a down", "a up"]
        root.stop()


async def test_escalation_is_the_death_of_the_nested_supervisor(stage: Stage) -> None:
    inner = stage.supervisor(stage.toy("x"), stage.toy("y"), name="inner", intensity=0)
    root = stage.supervisor(stage.toy("a"), inner, stage.toy("z"), strategy=Strategy.REST_FOR_ONE)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("x").tell(die)
        await wait_all_tasks_blocked()
        assert stage.seen[4:] == ["x down", "y down", "z down", "x up", "y up", "z up"]
        assert stage.kinds("inner") == [
            ReportKind.STARTED,
            ReportKind.DIED,
            ReportKind.RESTARTING,
            ReportKind.STARTED,
        ]
        died = next(report for report in stage.reports if report.child == "inner" and report.error)
        assert isinstance(died.error, RestartIntensityExceeded)
        root.ref("x").tell(sleep_for(0))
        root.stop()


async def test_escalation_climbs_to_the_root(stage: Stage) -> None:
    inner = stage.supervisor(stage.toy("x"), name="inner", intensity=0)
    stage.begin["x"] = die
    with pytest.raises(RestartIntensityExceeded) as caught:
        await stage.supervisor(inner, intensity=0).run()
    assert caught.value.supervisor == "root"
    assert isinstance(caught.value.__cause__, RestartIntensityExceeded)


async def test_a_child_told_to_stop_finishes_its_message(stage: Stage, autojump_clock: MockClock) -> None:
    root = stage.supervisor(stage.toy("a", shutdown_seconds=5))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(sleep_for(4))
        await wait_all_tasks_blocked()
        root.stop()
    assert trio.current_time() == 4
    assert stage.kinds("a")[-1] is ReportKind.STOPPED


async def test_a_child_too_slow_to_stop_is_cancelled_and_reported(stage: Stage, autojump_clock: MockClock) -> None:
    root = stage.supervisor(stage.toy("a", shutdown_seconds=5))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(trio.sleep_forever)
        await wait_all_tasks_blocked()
        root.stop()
    assert trio.current_time() == 5
    assert stage.kinds("a")[-1] is ReportKind.KILLED


async def test_a_death_while_stopping_is_reported_and_not_restarted(stage: Stage, autojump_clock: MockClock) -> None:
    async def die_soon() -> None:
        await trio.sleep(1)
        await die()

    root = stage.supervisor(stage.toy("a"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(die_soon)
        await wait_all_tasks_blocked()
        root.stop()
    assert stage.kinds("a") == [ReportKind.STARTED, ReportKind.DIED]
    assert stage.seen == ["a up", "a down"]


async def test_a_sibling_that_dies_while_others_stop_is_not_restarted(stage: Stage, autojump_clock: MockClock) -> None:
    root = stage.supervisor(stage.toy("a"), stage.toy("b"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("b").tell(sleep_for(3))
        await wait_all_tasks_blocked()
        root.stop()
        await trio.sleep(1)
        root.ref("a").tell(die)
    assert stage.kinds("a") == [ReportKind.STARTED, ReportKind.DIED]
    assert stage.seen == ["a up", "b up", "a down", "b down"]


async def test_a_child_that_stops_its_supervisor_and_dies_is_not_restarted(stage: Stage) -> None:
    root = stage.supervisor(plain("a"))

    async def stop_and_die() -> None:
        root.stop()
        await die()

    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(stop_and_die)
    assert stage.kinds("a") == [ReportKind.STARTED, ReportKind.DIED]


async def test_an_instance_of_an_earlier_life_cannot_stop_the_next_one(stage: Stage) -> None:
    instances = list[Toy]()

    def start() -> Toy:
        instances.append(Toy(stage))
        return instances[-1]

    root = stage.supervisor(ChildSpec(name="a", start=start, mailbox_capacity=1))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(die)
        await wait_all_tasks_blocked()
        instances[0].stop()
        await wait_all_tasks_blocked()
        root.ref("a").tell(sleep_for(0))
        root.stop()
    assert len(instances) == 2


async def test_cancelled_from_outside_it_stops_in_reverse_with_deadlines(stage: Stage, autojump_clock: MockClock) -> None:
    inner = stage.supervisor(stage.toy("x"), stage.toy("y", shutdown_seconds=2), name="inner")
    root = stage.supervisor(stage.toy("a"), inner, stage.toy("z"))
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("a").tell(sleep_for(4))
        root.ref("y").tell(trio.sleep_forever)
        root.ref("z").tell(sleep_for(1))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert stage.seen[4:] == ["z down", "y down", "x down", "a down"]
    assert trio.current_time() == 4
    assert stage.kinds("y")[-1] is ReportKind.KILLED
    assert stage.kinds("a")[-1] is ReportKind.STOPPED


async def test_cancelled_while_it_starts(stage: Stage, autojump_clock: MockClock) -> None:
    stage.begin["b"] = trio.sleep_forever
    root = stage.supervisor(stage.toy("a"), stage.toy("b", shutdown_seconds=1), stage.toy("c"))
    with trio.move_on_after(3) as scope:
        await root.run()
    assert scope.cancelled_caught
    assert trio.current_time() == 4
    assert stage.seen == ["a up", "a down"]
    assert stage.kinds("c") == []


async def test_a_power_cut_goes_through_the_root_and_restarts_nothing(stage: Stage, autojump_clock: MockClock) -> None:
    inner = stage.supervisor(stage.toy("x"), name="inner")
    other = stage.supervisor(stage.toy("y"), name="other")
    root = stage.supervisor(stage.toy("a"), inner, other)

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            root.ref("y").tell(sleep_for(4))  # not finished: a power cut is not a stop
            await wait_all_tasks_blocked()
            stage.reports.clear()
            root.ref("a").tell(die)  # dies in the same moment
            root.ref("x").tell(cut_power)

    with pytest.raises(BaseExceptionGroup) as caught:
        await play()
    assert [type(leaf) for leaf in leaves(caught.value)] == [Dead]
    assert trio.current_time() == 0
    assert stage.reports == []
    assert stage.seen.count("x up") == stage.seen.count("y up") == stage.seen.count("a up") == 1
    assert sorted(stage.seen[3:]) == ["a down", "x down", "y down"]


async def test_a_death_in_the_moment_of_a_power_cut_is_not_answered(stage: Stage) -> None:
    async def play() -> None:
        root = stage.supervisor(plain("a"), plain("x"))
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            await wait_all_tasks_blocked()
            stage.reports.clear()
            root.ref("a").tell(die)
            root.ref("x").tell(cut_power)

    for _ in range(20):  # trio takes the two in any order
        with pytest.raises(BaseExceptionGroup):
            await play()
        assert stage.reports == []


async def test_a_lone_power_cut_leaves_run_bare(stage: Stage) -> None:
    stage.begin["x"] = cut_power
    with pytest.raises(Dead):
        await stage.supervisor(stage.toy("a"), stage.supervisor(stage.toy("x"), name="inner")).run()


async def test_a_power_cut_inside_a_nursery_of_an_actor_goes_through_as_well(stage: Stage) -> None:
    async def cut_in_a_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_power)
            nursery.start_soon(die)

    stage.begin["x"] = cut_in_a_nursery
    with pytest.raises(BaseExceptionGroup) as caught:
        await stage.supervisor(stage.supervisor(stage.toy("x"), name="inner")).run()
    assert Dead in [type(leaf) for leaf in leaves(caught.value)]
    assert stage.reports == []


async def test_after_a_power_cut_askers_are_not_left_waiting(stage: Stage) -> None:
    def make(reply: Reply[int]) -> Message:
        return cut_power

    root = stage.supervisor(stage.toy("a"))
    heard = list[str]()

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            with pytest.raises(ActorStopped):
                await root.ref("a").ask(make, within_seconds=1)
            heard.append("asker")

    with pytest.raises(BaseExceptionGroup):
        await play()
    assert heard == ["asker"]


async def test_statistics_show_the_tree(stage: Stage) -> None:
    inner = stage.supervisor(stage.toy("x"), name="inner")
    root = stage.supervisor(stage.toy("a"), inner)
    async with trio.open_nursery() as nursery:
        await nursery.start(root.run)
        root.ref("x").tell(die)
        await wait_all_tasks_blocked()
        a, nested = root.statistics().children
        assert (a.name, a.state, a.restarts) == ("a", ChildState.RUNNING, 0)
        assert isinstance(nested.detail, SupervisorStatistics)
        assert (nested.detail.children[0].name, nested.detail.children[0].restarts) == ("x", 1)
        root.stop()
    assert [child.state for child in root.statistics().children] == [ChildState.ENDED, ChildState.ENDED]


async def test_it_may_run_again_after_it_has_ended(stage: Stage) -> None:
    root = stage.supervisor(stage.toy("a"))
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            await nursery.start(root.run)
            root.ref("a").tell(sleep_for(0))
            root.stop()
    assert stage.seen == ["a up", "a down"] * 2


async def test_a_report_that_raises_is_loud(stage: Stage) -> None:
    def broken(report: Report) -> None:
        raise RuntimeError("no room for reports")

    root = Supervisor(
        name="root",
        strategy=Strategy.ONE_FOR_ONE,
        children=[stage.toy("a")],
        intensity=1,
        period_seconds=10,
        report=broken,
    )
    with pytest.raises(RuntimeError, match="no room"):
        await root.run()
