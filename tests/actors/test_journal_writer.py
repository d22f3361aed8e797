"""The writer in front of a real journal: batches, answers, crash points, and a database that goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from actors.actor import Actor, Life
from actors.journal import AFTER_COMMIT, BEFORE_COMMIT, JournalWriter, Write
from actors.mailbox import ActorStopped, Mailbox, Ref, Reply
from payorch.store import reads
from payorch.store.driver import Connection
from payorch.store.items import Appended, ClaimLost, Item, Result
from payorch.store.journal import Fenced, Journal, JournalUnavailable
from tests.conftest import Database
from tests.store.stories import OTHER_MERCHANT, Story, connected, journal_on, new_journal
from tests.store.test_journal_loss import OTHER_WRITER


@dataclass(kw_only=True)
class Watched:
    """A process that remembers what it reached, and dies where it is told to."""

    die_at: str | None = None
    reached_points: list[str] = field(default_factory=list)

    def reached(self, point: str) -> None:
        self.reached_points.append(point)
        if point == self.die_at:
            raise KeyboardInterrupt(point)


class Owner:
    """Lets one life of one actor run; nothing is restarted."""

    def life_started(self, life: Life) -> None: ...
    def life_ended(self, life: Life) -> None: ...
    def abandon_tree(self) -> None: ...


class Running:
    """A writer with its mailbox, run by the test itself."""

    def __init__(self, journal: Journal, process: Watched, *, batch_limit: int = 256, pause_answer_after_seconds: float = 60) -> None:
        self.journal = journal
        self.process = process
        self.mailbox: Mailbox[Write] = Mailbox(capacity=1000, name="journal")
        self.ref = Ref(self.mailbox)
        self._batch_limit = batch_limit
        self._pause = pause_answer_after_seconds

    def start(self) -> Actor[Write]:
        return JournalWriter(
            journal=self.journal, process=self.process, pause_answer_after_seconds=self._pause, batch_limit=self._batch_limit
        )

    def begin(self, nursery: trio.Nursery) -> Life:
        life = Life(ref=self.ref, start=self.start, owner=Owner(), nursery=nursery)
        life.begin()
        return life

    async def write(self, item: Item) -> Result:
        def make(reply: Reply[Result]) -> Write:
            return Write(item=item, reply_to=reply)

        return await self.ref.ask(make, within_seconds=30)


@asynccontextmanager
async def running(database: Database, **options: float) -> AsyncIterator[tuple[Running, Life]]:
    one = Running(new_journal(database.app), Watched(), **options)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        life = one.begin(nursery)
        try:
            yield one, life
        finally:
            life.stop(5)
            await life.wait_ended()
            await one.journal.aclose()


async def test_what_waits_is_committed_together_and_each_is_answered(database: Database) -> None:
    async with running(database) as (one, _):
        await one.write(Story().created())
        stories = [Story() for _ in range(40)]
        results: dict[str, Result] = {}

        async def ask(n: int, story: Story) -> None:
            results[story.payment_id] = await one.write(story.sent(claim=story.claim("same" if n in (3, 30) else f"key-{n}")))

        async with trio.open_nursery() as nursery:
            for n, story in enumerate(stories):
                nursery.start_soon(ask, n, story)
        outcomes = [type(results[story.payment_id]) for story in stories]
        assert outcomes.count(ClaimLost) == 1
        assert outcomes.count(Appended) == 39
        points = one.process.reached_points
        assert points == [BEFORE_COMMIT, AFTER_COMMIT] * (len(points) // 2)
        assert len(points) // 2 <= 4
        async with connected(database.app) as connection:
            found = await reads.load_many(connection, [story.payment_id for story in stories])
        assert len(found) == 39


async def test_a_batch_is_never_larger_than_its_limit(database: Database) -> None:
    async with running(database, batch_limit=5) as (one, _):
        async with trio.open_nursery() as nursery:
            for _n in range(23):
                nursery.start_soon(one.write, Story().created())
        batches = one.process.reached_points.count(BEFORE_COMMIT)
        assert batches >= 5
        assert one.journal.statistics().batches_total == batches


@pytest.mark.parametrize(("point", "written"), [(BEFORE_COMMIT, False), (AFTER_COMMIT, True)])
async def test_death_around_a_commit_answers_nobody(database: Database, point: str, written: bool) -> None:
    """The asker never hears "done" of what is not, and a successor finds what was."""
    one = Running(new_journal(database.app), Watched(die_at=point))
    story = Story()
    answers: list[object] = []

    async def ask() -> None:
        try:
            answers.append(await one.write(story.sent()))
        except ActorStopped as error:
            answers.append(error)

    async def live_and_die() -> None:
        async with trio.open_nursery() as nursery:
            one.begin(nursery)
            nursery.start_soon(ask)

    with pytest.raises(BaseExceptionGroup):
        await live_and_die()
    assert not any(isinstance(answer, Appended) for answer in answers)
    await one.journal.aclose()
    async with journal_on(database.app, writer=OTHER_WRITER), connected(database.app) as connection:
        assert (await reads.load_payment(connection, story.payment_id) is not None) is written


async def test_a_new_life_goes_on_where_the_last_one_died(database: Database) -> None:
    async with running(database) as (one, life):
        story = Story()
        assert await one.write(story.created()) == Appended(1)
        # Not an item at all: a bug, and the death of the actor.
        with pytest.raises(ActorStopped):
            await one.ref.ask(lambda reply: Write(item=story.noted(), reply_to=None), within_seconds=5)  # type: ignore[arg-type]
        await life.wait_ended()
        assert life.error is not None
        async with trio.open_nursery() as nursery:
            again = one.begin(nursery)
            assert await one.write(story.noted()) == Appended(3)
            again.stop(5)


async def test_a_fenced_writer_dies_and_every_new_life_as_well(database: Database) -> None:
    async with running(database) as (one, life):
        await one.write(Story().created())
        async with journal_on(database.app, writer=OTHER_WRITER) as other:
            with pytest.raises(ActorStopped):
                await one.write(Story().created())
            await life.wait_ended()
            assert isinstance(life.error, Fenced)
            async with trio.open_nursery() as nursery:
                again = one.begin(nursery)
                await again.wait_ended()
                assert isinstance(again.error, Fenced)
            assert await other.write([Story().created()]) == [Appended(2)]


async def test_while_the_database_is_away_the_batch_is_held_and_the_others_are_told(database: Database) -> None:
    """One item is under way when the connection goes: it waits for the truth. Those behind it are told that nothing was written."""
    away = trio.Event()

    async def connect() -> Connection:
        if away.is_set():
            raise_unavailable()
        return await Connection.connect(database.app)

    journal = Journal(connect, writer=OTHER_WRITER, first_pause_seconds=0.01, longest_pause_seconds=0.02)
    one = Running(journal, Watched(), pause_answer_after_seconds=0)
    held, told = Story(merchant_id=OTHER_MERCHANT), Story()
    outcomes: dict[str, object] = {}

    async def ask(story: Story) -> None:
        try:
            outcomes[story.payment_id] = await one.write(story.created())
        except JournalUnavailable as error:
            outcomes[story.payment_id] = error

    async with trio.open_nursery() as nursery:
        life = one.begin(nursery)
        await one.write(Story().created())
        away.set()
        assert journal._line._connection is not None
        await journal._line._connection.close()
        nursery.start_soon(ask, held)
        with trio.fail_after(10):
            while journal.statistics().available:
                await trio.lowlevel.checkpoint()
        nursery.start_soon(ask, told)
        with trio.fail_after(10):
            while told.payment_id not in outcomes:
                await trio.lowlevel.checkpoint()
        assert isinstance(outcomes[told.payment_id], JournalUnavailable)
        assert held.payment_id not in outcomes
        away = trio.Event()
        with trio.fail_after(10):
            while held.payment_id not in outcomes:
                await trio.lowlevel.checkpoint()
        assert outcomes[held.payment_id] == Appended(2)
        assert journal.statistics().available
        assert await one.write(Story().created()) == Appended(3)
        life.stop(5)
    await journal.aclose()
    async with connected(database.app) as connection:
        assert await reads.load_payment(connection, told.payment_id) is None


def raise_unavailable() -> None:
    from payorch.store.pool import DatabaseUnavailable

    raise DatabaseUnavailable("the test says so")


async def test_before_the_pause_is_long_enough_nobody_is_told(database: Database) -> None:
    failing = True
    tries = 0

    async def connect() -> Connection:
        nonlocal tries
        tries += 1
        if failing:
            raise_unavailable()
        return await Connection.connect(database.app)

    journal = Journal(connect, writer=OTHER_WRITER, first_pause_seconds=0.01, longest_pause_seconds=0.02)
    one = Running(journal, Watched(), pause_answer_after_seconds=3600)
    results: list[Result] = []

    async def ask() -> None:
        results.append(await one.write(Story().created()))

    async with trio.open_nursery() as nursery:
        life = one.begin(nursery)
        nursery.start_soon(ask)
        while tries < 5:
            await trio.lowlevel.checkpoint()
        assert results == []
        failing = False
        with trio.fail_after(10):
            while not results:
                await trio.lowlevel.checkpoint()
        life.stop(5)
    assert results == [Appended(1)]
    await journal.aclose()


async def test_a_stopping_writer_finishes_its_batch(database: Database) -> None:
    async with running(database) as (one, life):
        await one.write(Story().created())
        results: list[Result] = []

        async def ask() -> None:
            results.append(await one.write(Story().sent()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not one.process.reached_points[2:]:
                await trio.lowlevel.checkpoint()
            life.stop(5)
        assert results == [Appended(5)]
