"""An actor through its supervisor: hooks, background tasks, its ends, and what askers hear of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.actor import Actor
from actors.mailbox import ActorStopped, Reply
from actors.supervisor import ChildSpec, Report, ReportKind, Restart, Strategy, Supervisor

Message = Callable[["Toy"], Awaitable[None]]


class Toy(Actor[Message]):
    """An actor whose messages say what it does."""

    def __init__(self, begin: Message | None = None) -> None:
        self.begin = begin
        self.kept = list[Reply[int]]()

    async def started(self) -> None:
        if self.begin is not None:
            await self.begin(self)

    async def receive(self, message: Message) -> None:
        await message(self)


def asking(act: Callable[[Toy, Reply[int]], None]) -> Callable[[Reply[int]], Message]:
    def make(reply: Reply[int]) -> Message:
        async def message(toy: Toy) -> None:
            act(toy, reply)

        return message

    return make


async def die(toy: Toy) -> None:
    raise ValueError("of this")


class Stage:
    """One toy named "toy" under a supervisor, and the reports."""

    def __init__(self, begin: Message | None, restart: Restart) -> None:
        self.reports = list[Report]()
        spec = ChildSpec(name="toy", start=lambda: Toy(begin), restart=restart, mailbox_capacity=8, shutdown_seconds=5)
        self.supervisor = Supervisor(
            name="root",
            strategy=Strategy.ONE_FOR_ONE,
            children=[spec],
            intensity=3,
            period_seconds=10,
            report=self.reports.append,
        )
        self.ref = self.supervisor.ref("toy")

    def kinds(self) -> list[ReportKind]:
        return [report.kind for report in self.reports]


@asynccontextmanager
async def stage(begin: Message | None = None, restart: Restart = Restart.TEMPORARY) -> AsyncIterator[Stage]:
    it = Stage(begin, restart)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.supervisor.run)
        await wait_all_tasks_blocked()
        yield it
        it.supervisor.stop()


async def test_messages_wait_while_started_runs() -> None:
    loaded, seen = trio.Event(), list[str]()

    async def begin(toy: Toy) -> None:
        await loaded.wait()
        seen.append("started")

    async def message(toy: Toy) -> None:
        seen.append("message")

    async with stage(begin) as it:
        it.ref.tell(message)
        await wait_all_tasks_blocked()
        assert seen == []
        loaded.set()
        await wait_all_tasks_blocked()
        assert seen == ["started", "message"]


async def test_a_reply_may_be_kept_and_answered_from_a_later_message() -> None:
    async def answer_all(toy: Toy) -> None:
        for number, reply in enumerate(toy.kept):
            reply.answer(number)

    answers = list[int]()

    async with stage() as it, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await it.ref.ask(asking(lambda toy, reply: toy.kept.append(reply)), within_seconds=1))

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert answers == []
        it.ref.tell(answer_all)
    assert sorted(answers) == [0, 1]


async def test_at_its_death_every_asker_hears_of_it_at_once_also_of_kept_replies(autojump_clock: MockClock) -> None:
    stopped = list[float]()

    async with stage() as it, trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await it.ref.ask(asking(lambda toy, reply: toy.kept.append(reply)), within_seconds=1000)
            stopped.append(trio.current_time())

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        it.ref.tell(die)
        nursery.start_soon(ask)  # its message waits behind the one that kills
    assert stopped == [0, 0, 0]
    assert it.ref.statistics().waiting_askers == 0


async def test_what_waits_at_a_death_is_lost_and_counted() -> None:
    async with stage() as it:
        it.ref.tell(die)
        it.ref.tell(die)
        it.ref.tell(die)
        await wait_all_tasks_blocked()
        assert it.ref.statistics().lost == 2
        with pytest.raises(ActorStopped):
            it.ref.tell(die)


async def test_stop_ends_normally_after_the_current_message() -> None:
    seen = list[str]()

    async def stop(toy: Toy) -> None:
        toy.stop()
        await trio.lowlevel.checkpoint()
        seen.append("finished")

    async def message(toy: Toy) -> None:
        seen.append("next")

    async with stage() as it:
        it.ref.tell(stop)
        it.ref.tell(message)
        await wait_all_tasks_blocked()
        assert seen == ["finished"]
        assert it.kinds() == [ReportKind.STARTED, ReportKind.ENDED]
        assert it.ref.statistics().lost == 1


async def test_an_idle_actor_is_stopped_from_its_own_background() -> None:
    wake = trio.Event()

    async def begin(toy: Toy) -> None:
        async def later() -> None:
            await wake.wait()
            toy.stop()

        toy.spawn(later)

    async with stage(begin) as it:
        wake.set()
        await wait_all_tasks_blocked()
        assert it.kinds() == [ReportKind.STARTED, ReportKind.ENDED]


async def test_background_tasks_end_with_the_actor_also_before_their_first_step() -> None:
    seen = list[str]()

    async def watch() -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append("ended")

    async def spawn(toy: Toy) -> None:
        toy.spawn(watch)

    async def spawn_and_stop(toy: Toy) -> None:
        toy.spawn(watch)
        toy.stop()

    async with stage(spawn) as it:
        it.ref.tell(spawn_and_stop)
        await wait_all_tasks_blocked()
        assert seen == ["ended", "ended"]
        assert it.kinds()[-1] is ReportKind.ENDED


async def test_the_error_of_a_background_task_is_the_death_of_the_actor() -> None:
    go, cancelled = trio.Event(), list[str]()

    async def fail() -> None:
        await go.wait()
        raise ValueError("in the background")

    async def busy(toy: Toy) -> None:
        toy.spawn(fail)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append("current message")

    async with stage() as it:
        it.ref.tell(busy)
        await wait_all_tasks_blocked()
        go.set()
        await wait_all_tasks_blocked()
        assert cancelled == ["current message"]
        assert it.kinds() == [ReportKind.STARTED, ReportKind.DIED]
        assert repr(it.reports[-1].error) == "ValueError('in the background')"


async def test_the_askers_of_a_dying_actor_do_not_wait_for_its_background_to_clean_up() -> None:
    release = trio.Event()

    async def slow_to_leave() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await release.wait()

    async def spawn(toy: Toy) -> None:
        toy.spawn(slow_to_leave)

    async with stage(spawn) as it:
        await wait_all_tasks_blocked()
        it.ref.tell(die)
        with pytest.raises(ActorStopped):
            await it.ref.ask(asking(lambda toy, reply: None), within_seconds=1)
        assert ReportKind.DIED not in it.kinds()  # not ended, so not restarted, while a task of it still runs
        release.set()
        await wait_all_tasks_blocked()
        assert it.kinds()[-1] is ReportKind.DIED


async def test_a_group_of_one_is_unwrapped_in_the_report() -> None:
    async def die_in_a_nursery(toy: Toy) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(die, toy)

    async with stage() as it:
        it.ref.tell(die_in_a_nursery)
        await wait_all_tasks_blocked()
        assert repr(it.reports[-1].error) == "ValueError('of this')"


async def test_several_errors_of_one_death_are_all_reported() -> None:
    async def die_in_cleanup() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("cleaning up")

    async def both(toy: Toy) -> None:
        toy.spawn(die_in_cleanup)
        await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        raise ValueError("first")

    async with stage() as it:
        it.ref.tell(both)
        await wait_all_tasks_blocked(0.01)
        error = it.reports[-1].error
        assert isinstance(error, ExceptionGroup)
        assert [type(each) for each in error.exceptions] == [ValueError, LookupError]


async def test_a_factory_that_raises_is_a_death() -> None:
    def no_actor() -> Toy:
        raise OSError("no file")

    reports = list[Report]()
    spec = ChildSpec(name="toy", start=no_actor, restart=Restart.TEMPORARY, mailbox_capacity=1)
    supervisor = Supervisor(
        name="root",
        strategy=Strategy.ONE_FOR_ONE,
        children=[spec],
        intensity=0,
        period_seconds=1,
        report=reports.append,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(supervisor.run)
        supervisor.stop()
    assert [report.kind for report in reports] == [ReportKind.DIED]


async def test_an_actor_without_a_life_spawns_nothing() -> None:
    with pytest.raises(ActorStopped):
        Toy().spawn(trio.sleep_forever)


async def test_an_actor_that_does_not_say_what_it_receives_dies_of_its_first_message() -> None:
    class Silent(Actor[int]):
        pass

    with pytest.raises(NotImplementedError, match="Silent"):
        await Silent().receive(1)


async def test_the_last_message_of_a_stopping_actor_is_still_answered_and_may_drain() -> None:
    go, drained = trio.Event(), list[int]()

    def make(reply: Reply[int]) -> Message:
        async def write(toy: Toy) -> None:
            await go.wait()
            drained.append(len(toy.mailbox.take_waiting(10)))
            reply.answer(1)

        return write

    answers = list[int]()
    async with stage() as it, trio.open_nursery() as nursery:

        async def ask() -> None:
            answers.append(await it.ref.ask(make, within_seconds=1))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        it.ref.tell(die)
        it.supervisor.stop()
        await wait_all_tasks_blocked()
        with pytest.raises(ActorStopped):
            it.ref.tell(die)
        go.set()
    assert (answers, drained) == ([1], [1])
    assert it.kinds()[-1] is ReportKind.STOPPED
