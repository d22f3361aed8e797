"""Searching the journal: by whom, what, about what, when; people's records by their index, all records in bounded looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from payorch.store.audit_search import Asked, Found, _Question, position_at, search
from payorch.store.driver import Connection
from payorch.store.items import Entry
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id, rows_of

ACT, OTHER_ACT = new_id("act"), new_id("act")


def entry(stream_id: str, sequence: int, name: str, minutes: int, actor: str, body: bytes = b"{}", cause: str = "req_9") -> Entry:
    return Entry(
        stream="act", stream_id=stream_id, sequence=sequence, name=name, at=START + timedelta(minutes=minutes), actor=actor, cause=cause,
        body=body,
    )  # fmt: skip


@pytest.fixture
async def written(database: Database) -> AsyncIterator[Story]:
    """Positions 1 to 4: a payment; 5 to 7: acts; 8: its authorisation; 9: a refusal; 10: another payment's record by an operator."""
    async with journal_on(database.app) as journal:
        story = Story(reference="order-1")
        await journal.write([story.sent()])
        told = b'{"action":"payment.resolve","subject":"%b","reason":"INC-4412"}' % story.payment_id.encode()
        await journal.write([entry(ACT, 1, "Proposed", 10, "operator:ana", told)])
        await journal.write([entry(ACT, 2, "Approved", 20, "operator:bob", b'{"action":"payment.resolve"}')])
        await journal.write([entry(OTHER_ACT, 1, "Proposed", 30, "operator:ana", b'{"action":"dead_letter.discard"}')])
        story.at = START + timedelta(minutes=40)
        await journal.write([story.authorized()])
        await journal.write([entry(new_id("act"), 1, "Refused", 50, "unknown", b'{"reason":"no token"}')])
        await held_by(journal)
        yield story


async def held_by(journal: Journal) -> None:
    other = Story(at=START + timedelta(minutes=60))
    await journal.write([other.created()])


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as connection:
        yield connection


async def names(app: Connection, limit: int = 50, **asked: Any) -> list[tuple[int, str]]:
    found = await search(app, Asked(**({"people": True} | asked)), limit=limit)
    return [(one.position, one.name) for one in found.records]


async def test_people_and_refusals_are_found_and_nothing_else(written: Story, app: Connection) -> None:
    assert await names(app) == [(9, "Refused"), (7, "Proposed"), (6, "Approved"), (5, "Proposed")]
    assert len(await names(app, people=False)) == 10


async def test_by_whom_and_what(written: Story, app: Connection) -> None:
    assert await names(app, who="ana") == [(7, "Proposed"), (5, "Proposed")]
    assert await names(app, who="operator:bob") == [(6, "Approved")]
    assert await names(app, who="an") == []
    assert await names(app, act="resolve") == [(6, "Approved"), (5, "Proposed")]
    assert await names(app, act="APPROVED") == [(6, "Approved")]
    assert await names(app, q="inc-4412") == [(5, "Proposed")]
    assert await names(app, q="%") == []
    assert await names(app, stream="payment", people=False, act="Authorized") == [(8, "ProviderAuthorized")]
    assert await names(app, connector="psp_one", people=False, act="Prepared") == [(4, "AttemptPrepared")]


async def test_a_subject_has_its_own_records_and_what_people_say_of_it(written: Story, app: Connection) -> None:
    mine = await names(app, subject=written.payment_id)
    assert [position for position, _ in mine] == [8, 5, 4, 3, 2, 1]
    assert await names(app, subject=ACT) == [(6, "Approved"), (5, "Proposed")]
    assert await names(app, subject="req_9", act="Refused") == [(9, "Refused")]
    assert await names(app, subject=new_id("pay")) == []


async def test_by_time(written: Story, app: Connection) -> None:
    since, until = START + timedelta(minutes=20), START + timedelta(minutes=40)
    assert await names(app, people=False, since=since, until=until) == [(7, "Proposed"), (6, "Approved")]
    assert [await position_at(app, START + timedelta(minutes=one)) for one in (-1, 10, 11, 99)] == [1, 5, 6, 11]


async def test_pages_go_on_where_they_ended(written: Story, app: Connection) -> None:
    seen, before = [], None
    while True:
        found = await search(app, Asked(people=False), limit=3, before=before)
        seen += [one.position for one in found.records]
        if found.after is None:
            break
        before = found.after
    assert seen == list(range(10, 0, -1))
    assert found.searched_to is None


async def test_a_look_is_bounded_and_says_how_far_it_came(written: Story, app: Connection) -> None:
    what = Asked(people=False, q="INC-4412")
    found: Found = await search(app, what, limit=3, looked_at_most=4)
    assert (found.records, found.after, found.searched_to) == ([], 7, START + timedelta(minutes=30))
    found = await search(app, what, limit=3, before=found.after, looked_at_most=4)
    assert ([one.position for one in found.records], found.after) == ([5], 3)
    found = await search(app, what, limit=3, before=found.after, looked_at_most=4)
    assert (found.records, found.after, found.searched_to) == ([], None, None)


async def test_what_lies_before_the_time_asked_for_is_not_walked_through(written: Story, app: Connection) -> None:
    what = Asked(people=False, since=START + timedelta(minutes=45))
    found = await search(app, what, limit=3, looked_at_most=4)
    assert ([one.position for one in found.records], found.after) == ([10, 9], None)


async def test_peoples_records_have_an_index(written: Story, database: Database) -> None:
    async with connected(database.superuser) as root:
        await root.execute("SET enable_seqscan = off")
        statement = _Question(Asked(people=True), 1 << 40, 100).statement(10).replace("$1", "1000000").replace("$2", "100")
        plan = await rows_of(root, f"EXPLAIN {statement}")
    # The condition is the index's own: nothing is left to be filtered by it.
    assert "Index Scan" in str(plan)
    assert "Filter" not in str(plan)
