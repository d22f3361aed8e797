"""The overview: what is counted in the database, what it makes people look at first, and how it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from payorch.api.operations.events import LARGEST_EVENT_BYTES
from payorch.domain import events as e
from payorch.domain.attention import Concern, Screen, Severity, sorted_concerns, summed
from payorch.domain.money import Money
from payorch.domain.outcome import ErrorClass, Evidence, Failure, Source, Unknown
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Hold
from payorch.operations.concerns import concerns
from payorch.operations.overview import STEPS, NoTraffic, Overview
from payorch.operations.vital import Vital, messages_of
from payorch.store import overview as store
from payorch.store.driver import Connection
from payorch.store.overview import Acts, Facts, Queues
from tests.api.test_openapi import check
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on

NOW = START + timedelta(minutes=10)
NOTHING = Facts(
    waiting=(), mismatches=(), letters=(), letters_open=0, queues=Queues(outbox=0, inbox=0),
    acts=Acts(waiting={}, waiting_since=None, reviews=0, review_due_at=None),
)  # fmt: skip


class FakeClock:
    def now(self) -> datetime:
        return NOW


def lost(story: Story) -> tuple[Name, State, e.Data]:
    failure = Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="no answer")
    evidence = Evidence(source=Source.RESPONSE, finding=Unknown(failure=failure), at=story.at)
    change = e.AttemptChange(attempt_id=story.attempt.id, state=AttemptState.UNKNOWN, evidence=evidence)
    return Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, change


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


async def fill(database: Database, statement: str, *arguments: Any) -> None:
    async with connected(database.superuser) as connection:
        await connection.execute("SET search_path = payorch")
        await connection.execute(statement, arguments)


# --- counting ---------------------------------------------------------------------------------------------------------------------------


async def test_nothing_waits_in_an_empty_database(connection: Connection) -> None:
    assert await store.facts(connection) == msgspec_like(NOTHING)
    assert await store.last_day(connection) is None


def msgspec_like(facts: Facts) -> Facts:
    """With lists, as the database's rows come."""
    return Facts(
        waiting=list(facts.waiting), mismatches=list(facts.mismatches), letters=list(facts.letters), letters_open=facts.letters_open,
        queues=facts.queues, acts=facts.acts,
    )  # fmt: skip


async def test_payments_that_wait_are_counted_by_what_they_wait_for(database: Database, connection: Connection) -> None:
    unknown = [Story(minor=100), Story(minor=250), Story(minor=7, currency="JPY")]
    held, well = Story(minor=5_000), Story()
    async with journal_on(database.app) as journal:
        for story in (*unknown, held, well):
            await journal.write([story.sent()])
        for story in unknown:
            await journal.write([story.step(lost(story))])
        await journal.write([well.authorized()])
        hold = e.HoldSet(hold=Hold(reason="poison", since=START, by="system"))
        await journal.write([held.step((Name.HELD, State.AUTHORIZING, hold))])
    found = {(one.what, one.amount.currency): (one.connector, one.count, one.amount.minor) for one in await store.waiting(connection)}
    assert found == {
        ("OUTCOME_UNKNOWN", "EUR"): ("psp_one", 2, 350),
        ("OUTCOME_UNKNOWN", "JPY"): ("psp_one", 1, 7),
        ("held", "EUR"): ("psp_one", 1, 5_000),
    }
    assert min(one.since for one in await store.waiting(connection) if one.what == "OUTCOME_UNKNOWN") == START


async def test_dead_letters_are_grouped(database: Database, connection: Connection) -> None:
    letter = (
        "INSERT INTO dead_letters (id, kind, origin, subject, reason_class, reason, fingerprint, payload, attempts, first_failed_at,"
        " last_failed_at, state, resolved_at) SELECT gen_random_uuid(), 'webhook_in', 'psp_one', '{}', %s, 'r', %s, '', 1, %s, %s, %s, %s"
        " FROM generate_series(1, %s)"
    )
    await fill(database, letter, "signature", "f/1", START, START, "open", None, 3)
    await fill(database, letter, "unknown_event", "f/2", START, START, "open", None, 1)
    await fill(database, letter, "signature", "f/1", START, START, "replayed", START, 5)
    facts = await store.facts(connection)
    assert [(one.fingerprint, one.count, one.reason_class) for one in facts.letters] == [
        ("f/1", 3, "signature"),
        ("f/2", 1, "unknown_event"),
    ]
    assert facts.letters_open == 4


async def test_findings_and_the_last_day(database: Database, connection: Connection) -> None:
    finding = (
        "INSERT INTO reconciliation_findings (id, connector, currency, day, kind, state, detail, difference, amount_currency, suggestions,"
        " found_at, version, resolved_by, resolved_at) VALUES (gen_random_uuid(), 'psp_one', %s, '2026-02-27', 'amount', %s, 'd', %s, %s,"
        " '[]', %s, 1, NULL, %s)"
    )
    await fill(database, finding, "EUR", "open", -450, "EUR", START, None)
    await fill(database, finding, "EUR", "open", 100, "EUR", START, None)
    await fill(database, finding, "EUR", "reviewed", 999, "EUR", START, START)
    await fill(database, finding, "XXX", "open", None, "XXX", START, None)
    batch = (
        "WITH batch AS (INSERT INTO settlement_batches (id, connector, digest, name, state, lines_done, rows, bad_rows, repeated, findings,"
        " ties, received_at, received_by) VALUES (gen_random_uuid(), 'psp_one', decode(repeat('00', 32), 'hex'), 'n', 'importing', 0, 0, 0,"
        " 0, 0, '[]', %s, 'cli') RETURNING id) INSERT INTO settlement_rows (batch_id, line, connector, identity, kind, type, booked_on,"
        " gross, currency, fee, net, net_currency, psp_operation, psp_payment, our_references, state) SELECT id, n, 'psp_one', n::text,"
        " 'capture', 't', '2026-02-27', 1, 'EUR', 0, 1, 'EUR', '', '', '', CASE WHEN n <= 7 THEN 'matched' WHEN n = 8 THEN 'unmatched'"
        " ELSE 'beside' END FROM batch, generate_series(1, 10) AS n"
    )
    await fill(database, batch, START)
    found = await store.mismatches(connection)
    assert [(one.count, one.gross) for one in found] == [(2, Money(550, "EUR")), (1, None)]
    last = await store.last_day(connection)
    assert last is not None
    assert (last.day, last.lines, last.matched) == (date(2026, 2, 27), 8, 7)


async def test_acts_and_queues(database: Database, connection: Connection) -> None:
    await fill(database, "ALTER TABLE acts DISABLE TRIGGER USER")  # rows as they may be, without the life that led there
    await fill(database, "INSERT INTO operators (id, name, person, created_at) VALUES (%s, 'ana', 'Ana', %s)", OPERATOR, START)
    other = "0190aabb-ccdd-7000-8000-0000000000bc"
    await fill(database, "INSERT INTO operators (id, name, person, created_at) VALUES (%s, 'ben', 'Ben', %s)", other, START)
    act = (
        "INSERT INTO acts (id, reference, plan_id, name, subject, parameters, draft, hash, people, break_glass, state, version, reason,"
        " idempotency_key, requested_by, requested_name, requested_person, requested_at, expires_at, review_due_at)"
        " SELECT gen_random_uuid(), 'act_' || %s::text, gen_random_uuid(), 'payment.resolve', 'pay_' || %s::text, '{}', '{}',"
        " decode(repeat('00', 32), 'hex'), 2, %s, %s, 1, 'because', 'key-' || %s::text, %s, 'ana', %s, %s, %s, %s"
    )
    later = START + timedelta(minutes=30)
    for number, (person, glass, state, due) in enumerate(
        [("Ana", False, "proposed", None), ("Ana", False, "proposed", None), ("Ben", False, "proposed", None), ("Ben", True, "done", later),
         ("Ben", False, "expired", None)]
    ):  # fmt: skip
        await fill(database, act, number, number, glass, state, number, OPERATOR if person == "Ana" else other, person, START, later, due)
    notice = (
        "INSERT INTO inbox (id, connector, identity, digest, kind, content, refers, received_at, request_id, state, tries, next_try_at)"
        " SELECT gen_random_uuid(), 'psp_one', n::text, decode(repeat('00', 32), 'hex'), 'k', '', '{}', %s, 'r', 'parked', 0, %s"
        " FROM generate_series(1, 4) AS n"
    )
    await fill(database, notice, START, START)
    facts = await store.facts(connection)
    assert facts.acts == Acts(waiting={"Ana": 2, "Ben": 1}, waiting_since=START, reviews=1, review_due_at=later)
    assert facts.queues == Queues(outbox=0, inbox=4)


OPERATOR = "0190aabb-ccdd-7000-8000-0000000000bb"


# --- what needs people ------------------------------------------------------------------------------------------------------------------

amounts = st.lists(st.builds(Money, st.integers(0, 10**9), st.sampled_from(["EUR", "JPY", "BHD"])), max_size=3).map(tuple)
moments = st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))
some_concerns = st.lists(
    st.builds(
        Concern, severity=st.sampled_from(Severity), kind=st.just("k"), what=st.text(max_size=3), count=st.integers(1, 9),
        screen=st.just(Screen(screen="audit")), at_risk=amounts, since=moments,
    )
)  # fmt: skip


@given(some_concerns)
def test_the_worst_is_first_then_the_most_money_then_the_oldest(found: list[Concern]) -> None:
    order = list(Severity)
    ranks = [
        (order.index(one.severity), -sum(money.major() for money in one.at_risk), one.since or datetime.max.replace(tzinfo=UTC))
        for one in sorted_concerns(found)
    ]
    assert ranks == sorted(ranks)


@given(st.lists(st.builds(Money, st.integers(0, 10**9), st.sampled_from(["EUR", "JPY"]))))
def test_money_is_summed_by_currency(some: list[Money]) -> None:
    assert {one.currency: one.minor for one in summed(some)} == {
        currency: sum(one.minor for one in some if one.currency == currency) for currency in {one.currency for one in some}
    }


def a_connector(mode: str = "closed", **changes: Any) -> dict[str, Any]:
    circuit = {"mode": "closed", "reason": "fresh", "since": "2026-03-01T12:00:00.000Z"}
    circuits = {"authorize": {**circuit, "mode": mode}, "refund": circuit}
    return {"name": "psp_one", "share_percent": 71.0, "circuits": circuits, "draining": None, **changes}


def test_a_breaker_that_is_open_comes_before_everything() -> None:
    [opened] = concerns(NOTHING, [a_connector("open")], NOW)
    assert (opened.severity, opened.kind, opened.screen.id) == (Severity.CRITICAL, "breaker", "psp_one")
    assert "71 % of the traffic" in opened.what
    [forced] = concerns(NOTHING, [a_connector("forced_open")], NOW)
    assert forced.severity is Severity.WARNING
    drain = {"until": "2026-03-01T13:00:00.000Z", "by": "ana", "reason": "maintenance"}
    [drained] = concerns(NOTHING, [a_connector(draining=drain)], NOW)
    assert (drained.severity, drained.kind) == (Severity.NOTICE, "drain")
    assert concerns(NOTHING, [a_connector()], NOW) == []


def test_an_unknown_outcome_gets_worse_with_time() -> None:
    waiting = store.Waiting(what="OUTCOME_UNKNOWN", connector="psp_one", count=2, amount=Money(391_120, "EUR"), since=START)
    facts = replaced(waiting=[waiting])
    [early], [late] = concerns(facts, [], NOW), concerns(facts, [], NOW + timedelta(hours=1))
    assert (early.severity, late.severity) == (Severity.WARNING, Severity.CRITICAL)
    assert (early.count, early.at_risk, early.screen.filter) == (2, (Money(391_120, "EUR"),), "state:OUTCOME_UNKNOWN")


def test_groups_of_dead_letters_beyond_a_few_are_one_line() -> None:
    letters = [
        store.Letters(fingerprint=f"f/{n}", kind="webhook_in", origin="psp_one", reason_class="r", count=2, since=START) for n in range(8)
    ]
    found = concerns(replaced(letters=letters, letters_open=20), [], NOW)
    assert sum(one.count for one in found) == 20
    assert [one.what for one in found].count("other dead letters") == 1
    assert len(found) == 6


def test_glass_that_was_broken_is_urgent_once_it_is_overdue() -> None:
    acts = Acts(waiting={"Ana": 2, "Ben": 1}, waiting_since=START, reviews=1, review_due_at=NOW)
    found = concerns(replaced(acts=acts), [], NOW)
    assert [(one.kind, one.severity, one.count) for one in found] == [("glass_review", "warning", 1), ("approval", "notice", 3)]
    assert concerns(replaced(acts=acts), [], NOW + timedelta(seconds=1))[0].severity is Severity.CRITICAL


def replaced(**changes: Any) -> Facts:
    return Facts(**{name: getattr(NOTHING, name) for name in Facts.__dataclass_fields__} | changes)


# --- the view ---------------------------------------------------------------------------------------------------------------------------


class Counted:
    """A database in which a test says what waits. `looks`: how often it was asked."""

    def __init__(self, facts: Facts = NOTHING) -> None:
        self.facts = facts
        self.looks = 0

    async def read(self, query: Any, *_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if query is store.last_day:
            return None
        self.looks += 1
        return self.facts


def an_overview(counted: Counted) -> Overview:
    return Overview(read=counted.read, clock=FakeClock(), traffic=NoTraffic(), mailboxes=lambda: 3)


async def test_many_who_ask_at_once_are_one_look(autojump_clock: MockClock) -> None:
    counted = Counted()
    overview = an_overview(counted)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(overview.now)
    assert counted.looks == 1
    await trio.sleep(2)
    await overview.now()
    assert counted.looks == 2


async def test_how_many_acts_are_ones_own_differs() -> None:
    seen = await an_overview(
        Counted(replaced(acts=Acts(waiting={"Ana": 2, "Ben": 1}, waiting_since=START, reviews=0, review_due_at=None)))
    ).now()
    check(msgspec.json.decode(msgspec.json.encode(seen.overview_of("Ana"))), "OverviewShape")
    assert [seen.overview_of(one)["tiles"]["approvals"]["mine"] for one in ("Ana", "Ben", "Cleo")] == [2, 1, 0]
    assert seen.overview_of("Ana")["tiles"]["queues"] == {"mailboxes": 3, "outbox": 0, "inbox": 0, "dead_letters": 0}


async def test_it_is_told_only_where_something_changed(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    counted = Counted()
    told: list[int] = []
    watched = True
    vital = Vital(an_overview(counted), is_watched=lambda: watched, changed=lambda: told.append(1))
    nursery.start_soon(vital.run)
    await trio.sleep(20)
    assert (len(told), counted.looks) == (1, 10)
    counted.facts = replaced(letters_open=1)
    await trio.sleep(4)
    assert len(told) == 2
    watched = False
    looks = counted.looks
    await trio.sleep(100)
    assert counted.looks <= looks + 1


def a_view(series: int = STEPS, attention: int = 0) -> Mapping[str, Any]:
    tiles = {"unknown": {"count": 1, "series": [1] * series}, "queues": {"inbox": 0}}
    return {"at": "x", "tiles": tiles, "since": "x", "attention": [{"what": "w" * 90}] * attention}


@pytest.mark.parametrize(("series", "attention", "connectors"), [(12, 3, 3), (12_000, 3, 3), (12, 400, 3), (12, 3, 60), (12_000, 400, 60)])
def test_no_message_is_longer_than_it_may_be(series: int, attention: int, connectors: int) -> None:
    some = [{"name": f"psp_{n}", "text": "x" * 900} for n in range(connectors)]
    messages = [msgspec.json.decode(one) for one in messages_of(a_view(series, attention), some)]
    assert all(len(one) <= LARGEST_EVENT_BYTES for one in messages_of(a_view(series, attention), some))
    assert [one for message in messages for one in message["connectors"]] == some  # each of them, once
    overviews = [message["overview"] for message in messages if message["overview"] is not None]
    assert len(overviews) == 1
    assert overviews[0]["tiles"]["unknown"]["count"] == 1
    if (series, attention, connectors) == (12, 3, 3):
        assert len(messages) == 1
        assert overviews[0]["tiles"]["unknown"]["series"] == [1] * 12
