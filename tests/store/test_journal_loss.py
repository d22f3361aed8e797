"""The journal when the database goes away: what a lost answer meant, who may still write, and nothing ever guessed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

import psycopg
import pytest
import trio
import trio.testing

from payorch.store import embedded, reads
from payorch.store.audit import verify
from payorch.store.driver import Connection
from payorch.store.embedded import Cluster
from payorch.store.entries import visit
from payorch.store.items import Append, Appended, ClaimLost, Conflict, Entry, Item, Result
from payorch.store.journal import Fenced, Journal
from payorch.store.migrate import migrate
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id, new_journal, rows_of
from tests.store.wire import Loss, Wire, wire_to

OTHER_WRITER = UUID("0190aabb-ccdd-7000-8000-0000000000bb")


@pytest.fixture
async def wire(database: Database) -> AsyncIterator[Wire]:
    async with wire_to(database.app) as made:
        yield made


@pytest.fixture
async def journal(wire: Wire) -> AsyncIterator[Journal]:
    """A journal behind the wire, with the statements of a whole authorisation prepared: the next request is the statement itself."""
    async with journal_on(wire.conninfo) as opened:
        story = Story()
        await opened.write([story.sent(claim=story.claim("warm"))])
        await opened.write([story.authorized(answer=story.answer("warm"), outbox=(story.outbox(1),))])
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


async def assert_written_once(connection: Connection, stories: list[Story]) -> None:
    for story in stories:
        assert await reads.load_payment(connection, story.payment_id) == story.now
    assert (await verify(connection)).whole


@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.REQUEST])
async def test_a_lost_answer_is_looked_up(journal: Journal, wire: Wire, connection: Connection, loss: Loss) -> None:
    stories = [Story() for _ in range(4)]
    wire.lose(loss)
    results = await journal.write([story.sent(claim=story.claim(f"key-{n}")) for n, story in enumerate(stories)])
    assert results == [Appended(9), Appended(13), Appended(17), Appended(21)]
    assert wire.losses == 1
    # Committed: one batch less was written by us than by what we hear of. Not committed: written once more.
    assert journal.statistics().batches_total == (2 if loss is Loss.ANSWER else 3)
    await assert_written_once(connection, stories)
    wire.lose(loss)
    results = await journal.write(
        [story.authorized(answer=story.answer(f"key-{n}"), outbox=(story.outbox(1),)) for n, story in enumerate(stories)]
    )
    assert results == [Appended(n, answer_stored=True) for n in range(22, 26)]
    await assert_written_once(connection, stories)
    assert len(await rows_of(connection, "SELECT FROM outbox")) == 5


async def test_a_statement_that_arrives_after_all_is_shut_out(journal: Journal, wire: Wire, connection: Connection) -> None:
    story = Story()
    wire.lose(Loss.LATE)
    assert await journal.write([story.sent(claim=story.claim())]) == [Appended(9)]
    wire.deliver()
    await wire.delivered.wait()
    await assert_written_once(connection, [story])
    assert await rows_of(connection, "SELECT position FROM journal_head") == [(9,)]
    follow_up = Story()
    assert await journal.write([follow_up.created()]) == [Appended(10)]


async def test_a_statement_still_under_way_is_waited_for(database: Database, connection: Connection) -> None:
    """The old connection is gone for us and its transaction still holds the head's row: our epoch's move stands behind it."""
    story, first = Story(), Story()

    class Abandoning(Connection):
        """Reports the armed statement as lost although its transaction lives on, and ends it later."""

        armed = False
        abandoned: Connection | None = None

        async def close(self) -> None:
            if self is not Abandoning.abandoned:
                await super().close()

    async with journal_on(database.app, connection_class=Abandoning) as journal:
        await journal.write([first.sent()])
        zombie = journal._line._connection
        assert isinstance(zombie, Abandoning)
        await zombie.execute("BEGIN")
        commit = journal._line.run

        async def lose_once(query: str, parameters: list[object]) -> tuple[object, ...] | None:
            await commit(query, parameters)
            Abandoning.abandoned, journal._line.run = zombie, commit  # type: ignore[method-assign]
            raise psycopg.OperationalError("the connection was lost")

        journal._line.run = lose_once  # type: ignore[method-assign,assignment]
        results: list[Result] = []

        async def write() -> None:
            results.extend(await journal.write([story.sent()]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await until(connection, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%epoch + 1%'")
            assert results == []
            await zombie.execute("COMMIT")
        assert results == [Appended(8)]
        await assert_written_once(connection, [first, story])
        Abandoning.abandoned = None
        await zombie.close()


async def until(connection: Connection, query: str) -> None:
    """Asks the server until it finds a row."""
    with trio.fail_after(10):
        while not await rows_of(connection, query):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.REQUEST])
async def test_an_answer_alone_is_stored_once_and_known_as_stored(journal: Journal, wire: Wire, connection: Connection, loss: Loss) -> None:
    """Such a batch leaves no record: writing it again must find its own answer, and not take it for another's."""
    story, other = Story(), Story()
    await journal.write([story.sent(claim=story.claim("a"))])
    await journal.write([other.sent(claim=other.claim("b"))])
    await journal.write([other.answer("b", status=202, body=b"warm")])
    wire.lose(loss)
    results = await journal.write([story.answer("a", status=202), other.answer("b", body=b"too late")])
    assert results == [Appended(13, answer_stored=True), Appended(13)]


@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.REQUEST])
async def test_a_claim_without_events_is_known_as_ours(journal: Journal, wire: Wire, connection: Connection, loss: Loss) -> None:
    story = Story()
    await journal.write([story.sent()])
    warm = Append(payment=story.now, expected_version=4, claim=story.claim("k-warm"), answer=story.answer("k-warm"))
    await journal.write([warm])
    refusal = Append(payment=story.now, expected_version=4, claim=story.claim("k"), answer=story.answer("k", status=409))
    wire.lose(loss)
    assert await journal.write([refusal]) == [Appended(9, answer_stored=True)]
    stored = await reads.stored_answer(connection, story.merchant_id, "k")
    assert stored is not None
    assert stored.status == 409


@pytest.mark.parametrize("loss", [Loss.ANSWER, Loss.REQUEST])
async def test_anothers_record_in_our_place_is_not_taken_for_ours(journal: Journal, wire: Wire, connection: Connection, loss: Loss) -> None:
    story = Story()
    await journal.write([story.sent()])
    stale = Story(payment=story.now, payment_id=story.payment_id)
    await journal.write([story.authorized()])
    wire.lose(loss)
    assert await journal.write([stale.noted()]) == [Conflict()]
    await assert_written_once(connection, [story])


async def test_answers_and_bare_claims_together_are_known_as_ours(journal: Journal, wire: Wire) -> None:
    """Written again, the claim fails, the batch is divided, and the answer meets itself."""
    story, other = Story(), Story()
    await journal.write([story.sent()])
    await journal.write([other.sent(claim=other.claim("o1"))])

    def batch(n: int) -> list[Item]:
        bare = Append(payment=story.now, expected_version=4, claim=story.claim(f"bare-{n}"), answer=story.answer(f"bare-{n}", status=409))
        return [bare, other.answer("o1", body=b"%d" % n)]

    wire.lose(Loss.ANSWER, after_requests=1)
    assert await journal.write(batch(1)) == [Appended(13, answer_stored=True), Appended(13, answer_stored=True)]
    assert wire.losses == 1


async def test_the_answer_may_be_lost_again_while_it_is_looked_up(journal: Journal, wire: Wire, connection: Connection) -> None:
    """The move of the epoch is a write as well, and its own answer may be lost: it is recognised by the writer's id."""
    stories = [Story() for _ in range(6)]
    for n, story in enumerate(stories):
        wire.lose(Loss.ANSWER)
        results: list[Result] = []

        async def write(story: Story = story, results: list[Result] = results) -> None:
            results.extend(await journal.write([story.sent(claim=story.claim(f"again-{story.payment_id}"))]))

        losses = wire.losses

        async def lose_again(n: int = n, losses: int = losses) -> None:
            while wire.losses == losses:
                await trio.lowlevel.checkpoint()
            wire.lose(Loss.ANSWER, after_requests=n)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lose_again)
            await write()
        wire._next = None
        assert [type(result) for result in results] == [Appended]
    await assert_written_once(connection, stories)
    assert wire.losses > len(stories)


async def test_claims_are_looked_up_again_after_a_loss(journal: Journal, wire: Wire, connection: Connection) -> None:
    winner, loser = Story(), Story()
    await journal.write([winner.sent(claim=winner.claim("k"))])
    for skip in range(4):
        wire.lose(Loss.ANSWER, after_requests=skip)
        neighbour, again = Story(), Story(payment_id=new_id("pay"))
        results = await journal.write([again.sent(claim=again.claim("k", f"r{skip}")), neighbour.sent(claim=neighbour.claim(f"n-{skip}"))])
        assert isinstance(results[0], ClaimLost)
        assert isinstance(results[1], Appended)
        wire._next = None
        await assert_written_once(connection, [winner, neighbour])
    assert await reads.load_payment(connection, loser.payment_id) is None


# ---- who may write


async def test_taking_over_fences_whoever_wrote_before(database: Database, connection: Connection) -> None:
    async with journal_on(database.app) as first, journal_on(database.app, writer=OTHER_WRITER) as second:
        story = Story()
        with pytest.raises(Fenced):
            await first.write([story.created()])
        assert await rows_of(connection, "SELECT FROM journal") == []
        assert await second.write([Story().created()]) == [Appended(1)]
        # For good: not even by starting again, which would fence the other in turn.
        for attempt in (first.open, partial(first.write, [Story().created()])):
            with pytest.raises(Fenced):
                await attempt()
        assert first.statistics().fenced

        async def connect() -> Connection:
            raise AssertionError("a fenced writer has no business at the database")

        first._line._connect = connect
        with pytest.raises(Fenced):
            await first.open()
        assert await second.write([Story().created()]) == [Appended(2)]


async def test_a_fenced_writer_that_lost_its_connection_does_not_come_back(wire: Wire, database: Database, connection: Connection) -> None:
    async with journal_on(wire.conninfo) as first:
        await first.write([Story().created()])
        async with journal_on(database.app, writer=OTHER_WRITER) as second:
            wire.lose(Loss.REQUEST)
            with pytest.raises(Fenced):
                await first.write([Story().created()])
            assert await second.write([Story().created()]) == [Appended(2)]


async def test_opening_again_goes_on_and_does_not_take_over(database: Database) -> None:
    async with journal_on(database.app) as first:
        story = Story()
        await first.write([story.created()])
        head = await first.open()
        assert (head.position, head.epoch) == (1, 2)
        async with journal_on(database.app, writer=OTHER_WRITER):
            with pytest.raises(Fenced):
                await first.open()


async def test_a_database_that_forgot_our_past_fences_us(database: Database) -> None:
    """A standby promoted without its last seconds: the head is not where we left it, and not further on."""
    async with journal_on(database.app) as journal, connected(database.superuser) as root:
        await journal.write([Story().created(), Story().created()])
        await root.execute("ALTER TABLE payorch.journal_head DISABLE TRIGGER ALL")
        await root.execute("UPDATE payorch.journal_head SET position = 1, hash = (SELECT hash FROM payorch.journal WHERE position = 1)")
        with pytest.raises(Fenced, match="history"):
            await journal.write([Story().created()])


async def test_visitors_write_between_our_batches(database: Database, connection: Connection) -> None:
    async with journal_on(database.app) as journal:
        for n in range(3):
            story = Story()
            assert await journal.write([story.sent()]) == [Appended(5 * n + 4)]
            entry = Entry(stream="act", stream_id=new_id("act"), sequence=1, name="Noted", at=START, actor="operator:ann", cause="cli")
            assert await visit(connection, entry) == Appended(5 * n + 5)
        assert (await verify(connection)).whole


# ---- a server that dies


async def test_nothing_acknowledged_is_lost_when_the_server_crashes_under_load(own_cluster: Cluster) -> None:
    await migrate(own_cluster.conninfo(role=embedded.OWNER_ROLE))
    acknowledged: list[Story] = []
    written = trio.Event()
    async with journal_on(own_cluster.conninfo()) as journal:

        async def load(crashes: int) -> None:
            while journal.statistics().lost_total < crashes or len(acknowledged) < 500 * crashes:
                stories = [Story() for _ in range(8)]
                results = await journal.write([story.sent(claim=story.claim(story.payment_id)) for story in stories])
                assert all(isinstance(result, Appended) for result in results), results
                acknowledged.extend(stories)
                written.set()

        for crashes in (1, 2, 3):
            written = trio.Event()
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(load, crashes)
                    await written.wait()
                    await own_cluster.restart("immediate")
    async with connected(own_cluster.conninfo()) as connection:
        found = await reads.load_many(connection, [story.payment_id for story in acknowledged])
        assert found == {story.payment_id: story.now for story in acknowledged}
        assert await rows_of(connection, "SELECT count(*) FROM payments") == [(len(acknowledged),)]
        assert (await verify(connection)).whole


async def test_opening_waits_for_the_server(own_cluster: Cluster) -> None:
    await migrate(own_cluster.conninfo(role=embedded.OWNER_ROLE))
    await own_cluster.stop("fast")
    journal = new_journal(own_cluster.conninfo())
    told: list[float] = []
    enough = trio.Event()

    def while_away(seconds: float) -> None:
        told.append(seconds)
        if len(told) == 3:
            enough.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.open, while_away)
        await enough.wait()
        assert not journal.statistics().available
        await own_cluster.restart()
    assert journal.statistics().available
    assert told == sorted(told)
    assert await journal.write([Story().created()]) == [Appended(1)]
    await journal.aclose()


async def test_a_process_that_died_between_two_commits_left_the_first(database: Database, connection: Connection) -> None:
    story = Story()
    async with journal_on(database.app) as journal:
        await journal.write([story.sent(claim=story.claim())])
    async with journal_on(database.app, writer=OTHER_WRITER) as successor:
        found = await reads.load_payment(connection, story.payment_id)
        assert found == story.now
        assert await reads.unfinished(connection, limit=10) == [story.payment_id]
        assert await successor.write([story.authorized(answer=story.answer())]) == [Appended(5, answer_stored=True)]


async def test_a_broken_installation_is_said_aloud(database: Database) -> None:
    """Not the fault of an item: it must not be answered as if it were."""
    async with journal_on(database.app) as journal, connected(database.owner) as owner:
        await owner.execute("REVOKE INSERT ON attempts FROM payorch_app")
        story = Story()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await journal.write([story.sent()])
        await owner.execute("GRANT INSERT ON attempts TO payorch_app")
        assert await journal.write([Story().sent()]) == [Appended(4)]
