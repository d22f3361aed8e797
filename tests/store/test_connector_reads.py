"""What the rows and the journal know of one connector."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from payorch.domain import events as e
from payorch.domain import identifiers
from payorch.domain.identifiers import created_at, uuid_of
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Failure, NotExecuted, Source, Unknown
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import Hold, Pursuit
from payorch.store.connector_reads import Standing, connector_events, recent_calls, standing, unresolved_at
from payorch.store.driver import Connection, Session
from payorch.store.items import Appended, Conflict, DeadLetterState, Entry, NoticeState
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id
from tests.store.test_webhooks import a_letter, a_notice, enter

LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="lost"))
UNSENT = NotExecuted(failure=Failure(error_class=ErrorClass.NOT_SENT, code="connect", message="no"), sent=False)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app, Session(settings={"timezone": "Asia/Kathmandu"}, search_path="payorch")) as opened:
        yield opened


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


def evidence(finding: Approved | Unknown | NotExecuted, at: datetime, source: Source = Source.RESPONSE) -> Evidence:
    return Evidence(source=source, finding=finding, at=at, latency_ms=5)


def about_attempt(story: Story, state: AttemptState, found: Evidence) -> e.AttemptChange:
    later = found.at + timedelta(minutes=5)
    return e.AttemptChange(attempt_id=story.attempt.id, state=state, evidence=found, next_action_at=later, pursuit=Pursuit(since=found.at))


async def unknown_payment(journal: Journal, story: Story) -> str:
    """Its authorisation was lost."""
    await journal.write([story.sent()])
    found = evidence(LOST, story.at)
    await journal.write([story.step((Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, about_attempt(story, AttemptState.UNKNOWN, found)))])
    return story.payment_id


async def capturing_payment(journal: Journal, story: Story, found: Evidence, state: OperationState) -> str:
    """Its capture was lost, or not sent."""
    await journal.write([story.sent()])
    await journal.write([story.authorized()])
    await journal.write([story.capture_requested(500)])
    capture = story.now.operations[0]
    change = e.OperationChange(
        operation_id=capture.id, state=state, evidence=found, next_action_at=found.at, pursuit=Pursuit(since=found.at)
    )
    lost = state is OperationState.UNKNOWN
    name, to = (Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN) if lost else (Name.EVIDENCE_RECORDED, State.CAPTURING)
    await journal.write([story.step((name, to, change))])
    return story.payment_id


async def test_what_is_unresolved_is_found_by_kind(journal: Journal, connection: Connection) -> None:
    authorization = await unknown_payment(journal, Story())
    lost = await capturing_payment(journal, Story(), evidence(LOST, START), OperationState.UNKNOWN)
    unsent = await capturing_payment(journal, Story(), evidence(UNSENT, START), OperationState.REQUESTED)
    elsewhere = await unknown_payment(journal, Story(connector="psp_two"))
    fine = Story()
    await journal.write([fine.sent()])
    await journal.write([fine.authorized()])

    async def found(*kinds: str, connector: str = Story().connector) -> list[str]:
        return await unresolved_at(connection, connector, kinds, changed_since=None, after=None, limit=10)

    assert await found("authorize") == [authorization]
    assert await found("capture") == [lost, unsent]
    assert await found("refund", "void") == []
    assert await found("lookup") == [authorization, lost, unsent]
    assert await found("authorize", "capture") == [authorization, lost, unsent]
    assert await found("lookup", connector="psp_two") == [elsewhere]
    assert await found("lookup", connector="psp_three") == []


async def test_it_comes_in_pages_oldest_first(journal: Journal, connection: Connection) -> None:
    ids = [await unknown_payment(journal, Story(at=START + timedelta(days=n))) for n in (2, 0, 1)]
    connector = Story().connector
    first = await unresolved_at(connection, connector, ["lookup"], changed_since=None, after=None, limit=2)
    assert first == [ids[1], ids[2]]
    assert await unresolved_at(connection, connector, ["lookup"], changed_since=None, after=first[-1], limit=2) == [ids[0]]
    since = START + timedelta(days=1)
    assert await unresolved_at(connection, connector, ["lookup"], changed_since=since, after=None, limit=9) == [ids[2], ids[0]]


async def test_what_people_have_is_left_to_them(journal: Journal, connection: Connection) -> None:
    held, reviewed = Story(), Story()
    for story in (held, reviewed):
        await unknown_payment(journal, story)
    hold = Hold(reason="poison", since=START, by="system")
    await journal.write([held.step((Name.HELD, State.OUTCOME_UNKNOWN, e.HoldSet(hold=hold)))])
    change = about_attempt(reviewed, AttemptState.UNKNOWN, evidence(LOST, START))
    await journal.write([reviewed.step((Name.SYNC_BUDGET_EXHAUSTED, State.MANUAL_REVIEW, change))])
    assert await unresolved_at(connection, held.connector, ["lookup", "authorize"], changed_since=None, after=None, limit=9) == []


async def test_the_last_calls_of_a_connector(journal: Journal, connection: Connection) -> None:
    story, other = Story(), Story(connector="psp_two")
    for one in (story, other):
        await journal.write([one.sent()])
        found = evidence(LOST, START + timedelta(seconds=1))
        change = about_attempt(one, AttemptState.UNKNOWN, found)
        await journal.write([one.step((Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, change), actor=f"psp:{one.connector}")])
    later = evidence(Approved(captured=True), START + timedelta(seconds=9), Source.INQUIRY)
    change = about_attempt(story, AttemptState.CHARGED, later)
    await journal.write([story.step((Name.RESOLVED_CHARGED, State.CAPTURED, change), actor=f"psp:{story.connector}")])
    calls = await recent_calls(connection, story.connector, START - timedelta(days=1), limit=100)
    assert [(one.subject_id, one.evidence.source) for one in calls] == [
        (story.attempt.id, Source.RESPONSE),
        (story.attempt.id, Source.INQUIRY),
    ]
    assert calls[1].evidence == later
    assert await recent_calls(connection, story.connector, START + timedelta(days=400), limit=100) == []
    assert len(await recent_calls(connection, story.connector, START - timedelta(days=1), limit=1)) == 1


async def test_a_connector_has_a_stream_of_its_own(journal: Journal, connection: Connection) -> None:
    stream_id = identifiers.of_name("con", "psp")
    assert stream_id == identifiers.of_name("con", "psp")
    assert stream_id != identifiers.of_name("con", "psp_two")
    assert created_at(uuid_of(stream_id)).year == 1970, "no month's partition is its own"

    def entry(sequence: int, name: str) -> Entry:
        return Entry(
            stream="connector", stream_id=stream_id, sequence=sequence, name=name, at=START, actor="system", cause="att_1", body=b'{"a":1}'
        )

    assert all(isinstance(one, Appended) for one in await journal.write([entry(1, "One")]))
    assert all(isinstance(one, Appended) for one in await journal.write([entry(2, "Two")]))
    assert isinstance((await journal.write([entry(2, "Again")]))[0], Conflict)
    rows = await connector_events(connection, "psp", limit=10)
    assert [(row.sequence, row.name, row.body, row.stream_id, row.at) for row in rows] == [
        (2, "Two", '{"a":1}', stream_id, START),
        (1, "One", '{"a":1}', stream_id, START),
    ]
    assert [row.name for row in await connector_events(connection, "psp", limit=10, before=2)] == ["One"]
    assert await connector_events(connection, "psp_two", limit=10) == []
    assert new_id("con") != stream_id


async def test_what_waits_at_each_connector(journal: Journal, connection: Connection) -> None:
    for name in ("psp_one", "psp_one", "psp_two"):
        await unknown_payment(journal, Story(connector=name))
    await capturing_payment(journal, Story(), evidence(LOST, START), OperationState.UNKNOWN)
    await capturing_payment(journal, Story(), evidence(UNSENT, START), OperationState.REQUESTED)
    letters = [a_letter(), a_letter(origin="psp_two"), a_letter(state=DeadLetterState.DISCARDED, resolved_at=START, resolved_by="cli:ann")]
    for letter in letters:
        await enter(journal, "dead_letter", letter.id, 1, letter)
    later, parked = START + timedelta(minutes=1), {"state": NoticeState.PARKED, "outcome": "x"}
    for notice in (a_notice(at=later), a_notice("evt_2"), a_notice("evt_3", at=START - timedelta(hours=1), **parked)):
        assert isinstance((await journal.write([notice]))[0], Appended)
    found = await standing(connection, ["psp_one", "psp_two", "psp_three"])
    assert found == {
        "psp_one": Standing(dead_letters=1, unknown=3, oldest_notice_at=START),
        "psp_two": Standing(dead_letters=1, unknown=1, oldest_notice_at=None),
        "psp_three": Standing(dead_letters=0, unknown=0, oldest_notice_at=None),
    }
