"""What routing reads back: outcomes with what their payments are, declined cards by pages, decisions by pages, records of the rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from payorch.domain.card_budget import DECLINES
from payorch.domain.payment import Name
from payorch.domain.success import TELLING
from payorch.store import routing_reads
from payorch.store.driver import Connection, Session
from payorch.store.items import ROUTING_STREAM, Appended, Entry
from payorch.store.journal import Journal
from payorch.store.routing_reads import STREAM_ID
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app, Session(settings={"timezone": "Asia/Kathmandu"}, search_path="payorch")) as opened:
        yield opened


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


async def written(journal: Journal, *, declined: bool, minutes: int = 0) -> Story:
    """A payment at that minute, declined or authorised."""
    story = Story(at=START + timedelta(minutes=minutes))
    items = [story.sent(), story.step(story.decline()) if declined else story.authorized()]
    for item in items:
        assert isinstance((await journal.write([item]))[0], Appended)
    return story


async def test_outcomes_come_with_what_their_payments_are(journal: Journal, connection: Connection) -> None:
    paid = await written(journal, declined=False)
    declined = await written(journal, declined=True, minutes=1)
    told = await routing_reads.latest(connection, TELLING, START, limit=1000)
    assert [(one.payment_id, one.event.name) for one in told] == [
        (paid.payment_id, Name.PAYMENT_CREATED),
        (paid.payment_id, Name.CONFIRMED),
        (paid.payment_id, Name.PROVIDER_AUTHORIZED),
        (declined.payment_id, Name.PAYMENT_CREATED),
        (declined.payment_id, Name.CONFIRMED),
        (declined.payment_id, Name.DECLINED_RETRIABLE),
    ]
    later = await routing_reads.latest(connection, TELLING, START + timedelta(minutes=1), limit=1000)
    assert {one.payment_id for one in later} == {declined.payment_id}
    assert [one.event.name for one in await routing_reads.latest(connection, TELLING, START, limit=1)] == [Name.DECLINED_RETRIABLE]


async def test_declined_payments_come_by_pages_the_latest_first(journal: Journal, connection: Connection) -> None:
    stories = [await written(journal, declined=number != 2, minutes=number) for number in range(5)]
    found: list[str] = []
    before, pages = None, 0
    while pages < 10:
        page, before = await routing_reads.of_declined(connection, DECLINES, START, limit=100, page=3, before=before)
        found += [one.payment_id for one in page if one.event.name is Name.DECLINED_RETRIABLE]
        pages += 1
        if before is None:
            break
    assert pages == 2
    assert sorted(found) == sorted(story.payment_id for number, story in enumerate(stories) if number != 2)
    assert set(found[:3]) == {stories[number].payment_id for number in (1, 3, 4)}
    recent, _ = await routing_reads.of_declined(connection, DECLINES, START + timedelta(minutes=4), limit=100, page=3)
    assert {one.payment_id for one in recent} == {stories[4].payment_id}
    assert len({one.payment_id for one in (await routing_reads.of_declined(connection, DECLINES, START, limit=1, page=3))[0]}) == 1


async def test_decisions_come_by_pages_with_what_was_asked(journal: Journal, connection: Connection) -> None:
    stories = [await written(journal, declined=False, minutes=number) for number in range(5)]
    assert isinstance((await journal.write([Story(at=START).created()]))[0], Appended)  # nobody confirmed it: no decision
    found: list[str] = []
    after = None
    for _ in range(10):
        page, after = await routing_reads.decided(connection, START, None, limit=2, after=after)
        found += [one.payment_id for one in page if one.event.name is Name.ROUTED]
        assert {one.event.name for one in page} <= {Name.PAYMENT_CREATED, Name.CONFIRMED, Name.ROUTED}
        if after is None:
            break
    assert found == [story.payment_id for story in stories]
    first, second = START + timedelta(minutes=1), START + timedelta(minutes=3)
    part, _ = await routing_reads.decided(connection, first, second, limit=100)
    assert {one.payment_id for one in part} == {story.payment_id for story in stories[1:3]}


async def test_the_last_decisions_come_by_pages_the_latest_payment_first(journal: Journal, connection: Connection) -> None:
    stories = [await written(journal, declined=False, minutes=number) for number in range(5)]
    found: list[str] = []
    before = None
    for _ in range(10):
        page, before = await routing_reads.last_decided(connection, limit=2, before=before)
        found += [one.payment_id for one in page if one.event.name is Name.ROUTED]
        assert [one.event.name for one in page][:3] == [Name.PAYMENT_CREATED, Name.CONFIRMED, Name.ROUTED]
        if before is None:
            break
    assert found == [story.payment_id for story in reversed(stories)]


async def test_records_of_the_rules_are_a_stream_of_their_own(journal: Journal, connection: Connection) -> None:
    assert await routing_reads.last_rules(connection, ("A",)) is None
    for sequence, name in enumerate("ABA", start=1):
        entry = Entry(
            stream=ROUTING_STREAM, stream_id=STREAM_ID, sequence=sequence, name=name, at=START, actor="cli:ann", cause=f"act_{sequence}",
            body=b'{"version":"v%d"}' % sequence,
        )  # fmt: skip
        assert isinstance((await journal.write([entry]))[0], Appended)
    assert [(one.sequence, one.name, one.cause) for one in await routing_reads.rule_records(connection, after=1)] == [
        (2, "B", "act_2"),
        (3, "A", "act_3"),
    ]
    last = await routing_reads.last_rules(connection, ("B",))
    assert last is not None
    assert (last.sequence, last.body, last.at) == (2, '{"version":"v2"}', START)
