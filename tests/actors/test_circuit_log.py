"""The durable story of circuits: in order, without holding anything up, through losses of the database, and back after a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import trio
import trio.testing

from actors.admission import Admission, CallKind, Changed
from actors.breaker import Circuit, CircuitView, Mode, Permit, Reason, Verdict
from actors.circuit_log import CircuitLog, CircuitRecord, remember, stream_id, worth_telling
from actors.mailbox import AskTimeout
from actors.moments import Moments
from payorch.domain.outcome import Approved, ConnectorDetail, ErrorClass, Evidence, Failure, NotExecuted, Source, Unknown
from payorch.store.connector_reads import RecentCall, connector_events
from payorch.store.items import Appended, Conflict, Entry, Refused, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.reads import JournalRow
from tests.actors.connector_world import LIMITS, START, WorldClock
from tests.conftest import Database
from tests.store.stories import connected, journal_on

LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="lost"))


class Stream:
    """The connector's stream as a journal keeps it; `write` is what a test makes of it."""

    def __init__(self) -> None:
        self.rows: list[JournalRow] = []
        self.write: Callable[[Entry], Awaitable[Result]] = self.keep
        self.wrote = trio.Event()

    async def keep(self, entry: Entry) -> Result:
        await trio.lowlevel.checkpoint()
        if entry.sequence != len(self.rows) + 1:
            return Conflict()
        row = JournalRow(
            position=entry.sequence, stream=entry.stream, stream_id=entry.stream_id, sequence=entry.sequence, name=entry.name, at=entry.at,
            actor=entry.actor, cause=entry.cause, body=entry.body.decode(),
        )  # fmt: skip
        self.rows.append(row)
        return Appended(entry.sequence)

    async def last(self) -> JournalRow | None:
        await trio.lowlevel.checkpoint()
        return self.rows[-1] if self.rows else None

    @property
    def names(self) -> list[str]:
        return [row.name for row in self.rows]

    def log(self) -> CircuitLog:
        async def write(entry: Entry) -> Result:
            return await self.write(entry)

        return CircuitLog("psp", write=write, last=self.last, moments=Moments(WorldClock()), retry_seconds=1)


@asynccontextmanager
async def writing(log: CircuitLog) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.write_for_ever)
        yield
        nursery.cancel_scope.cancel()


def changes(*modes: Mode) -> list[Changed]:
    """One change a second."""
    view = Circuit(LIMITS.circuit, 0).view(0)
    found = []
    for n, mode in enumerate(modes):
        changed = replace(view, mode=mode, since=float(n), until=n + 5.0, code="connect")
        found.append(Changed(kind=CallKind.AUTHORIZE, view=changed, cause=f"att_{n}"))
    return found


async def test_changes_are_written_in_order(autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()
    for change in changes(Mode.OPEN, Mode.HALF_OPEN, Mode.CLOSED, Mode.FORCED_OPEN, Mode.FORCED_CLOSED):
        log.put(change)
    async with writing(log):
        await trio.sleep(1)
    assert stream.names == ["CircuitOpened", "CircuitProbing", "CircuitClosed", "CircuitForcedOpen", "CircuitForcedClosed"]
    row = stream.rows[1]
    assert (row.stream, row.stream_id, row.actor, row.cause) == ("connector", stream_id("psp"), "system", "att_1")
    assert row.at == START + timedelta(seconds=1)
    record = msgspec.json.decode(row.body, type=CircuitRecord)
    assert (record.operation, record.code, record.until) == (CallKind.AUTHORIZE, "connect", START + timedelta(seconds=6))


async def test_a_lost_database_holds_nothing_up_and_loses_nothing(autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()

    async def away(entry: Entry) -> Result:
        raise JournalUnavailable("away")

    stream.write = away
    async with writing(log):
        for change in changes(Mode.OPEN, Mode.HALF_OPEN):
            log.put(change)
        await trio.sleep(100)
        assert stream.rows == []
        stream.write = stream.keep
        await trio.sleep(2)
    assert stream.names == ["CircuitOpened", "CircuitProbing"]


@pytest.mark.parametrize("written", [True, False])
async def test_an_answer_that_was_lost_is_looked_up(written: bool, autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()

    async def lost(entry: Entry) -> Result:
        stream.write = stream.keep
        if written:
            await stream.keep(entry)
        raise AskTimeout("nobody knows")

    stream.write = lost
    async with writing(log):
        for change in changes(Mode.OPEN, Mode.HALF_OPEN):
            log.put(change)
        await trio.sleep(10)
    assert stream.names == ["CircuitOpened", "CircuitProbing"]


async def test_a_death_in_the_middle_repeats_nothing_and_leaves_nothing_out(autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()
    written = trio.Event()

    async def and_die(entry: Entry) -> Result:
        await stream.keep(entry)
        written.set()
        await trio.sleep_forever()
        raise AssertionError

    stream.write = and_die
    for change in changes(Mode.OPEN, Mode.HALF_OPEN, Mode.CLOSED):
        log.put(change)
    async with writing(log):
        await written.wait()
    stream.write = stream.keep
    async with writing(log):
        await trio.sleep(10)
    assert stream.names == ["CircuitOpened", "CircuitProbing", "CircuitClosed"]


async def test_what_does_not_fit_is_counted(autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()
    for change in changes(*[Mode.OPEN, Mode.CLOSED] * 150):
        log.put(change)
    async with writing(log):
        await trio.sleep(1)
    records = [msgspec.json.decode(row.body, type=CircuitRecord) for row in stream.rows]
    assert len(records) == 256
    assert [record.lost for record in records][:2] == [44, 0]
    assert stream.names[-1] == "CircuitClosed"


async def test_a_record_that_is_refused_keeps_nobody_from_working(autojump_clock: trio.testing.MockClock) -> None:
    stream = Stream()
    log = stream.log()

    async def refuse(entry: Entry) -> Result:
        stream.write = stream.keep
        return Refused("no such stream")

    stream.write = refuse
    async with writing(log):
        for change in changes(Mode.OPEN, Mode.HALF_OPEN):
            log.put(change)
        await trio.sleep(10)
    assert stream.names == ["CircuitProbing"]
    assert msgspec.json.decode(stream.rows[0].body, type=CircuitRecord).lost == 1


async def test_the_real_journal_takes_it(database: Database) -> None:
    async with journal_on(database.app) as journal, connected(database.app) as connection:

        async def write(entry: Entry) -> Result:
            result = (await journal.write([entry]))[0]
            if entry.sequence == 2:
                done.set()
            return result

        async def last() -> JournalRow | None:
            rows = await connector_events(connection, "psp", limit=1)
            return rows[0] if rows else None

        done = trio.Event()
        log = CircuitLog("psp", write=write, last=last, moments=Moments(WorldClock()), retry_seconds=1)
        for change in changes(Mode.OPEN, Mode.CLOSED):
            log.put(change)
        async with writing(log):
            with trio.fail_after(10):
                await done.wait()
        assert [row.name for row in await connector_events(connection, "psp", limit=9)] == ["CircuitClosed", "CircuitOpened"]


# --- back again


def an_admission(now: float) -> Admission:
    return Admission("psp", LIMITS, now, changed=lambda changed: None, well_again=lambda kind, since: None)


async def left_by(steps: Callable[[Admission], None]) -> list[JournalRow]:
    """The stream that an admission leaves behind."""
    stream = Stream()
    log = stream.log()
    one = Admission("psp", LIMITS, trio.current_time(), changed=log.put, well_again=lambda kind, since: None)
    async with writing(log):
        steps(one)
        await trio.sleep(0.1)
    return stream.rows[::-1]


def fail(one: Admission, kind: CallKind, count: int) -> None:
    for _ in range(count):
        now = trio.current_time()
        permit = one.enter(kind, now, "att_1", repeat=False)
        assert isinstance(permit, Permit)
        one.ended(kind, permit, Verdict.BAD, now, "att_1", repeat=False, sent=True, code="connect")


async def test_an_open_circuit_survives_a_restart(autojump_clock: trio.testing.MockClock) -> None:
    await trio.sleep(1000)
    rows = await left_by(lambda one: fail(one, CallKind.AUTHORIZE, 5))
    await trio.sleep(1)
    one = an_admission(trio.current_time())
    remember(one, rows, [], Moments(WorldClock()), replays_errors=True)
    view = one.view(CallKind.AUTHORIZE, trio.current_time())
    assert (view.mode, view.reason, view.code, view.openings) == (Mode.OPEN, Reason.FAILURES_IN_A_ROW, "connect", 1)
    assert view.until == pytest.approx(1005)
    assert not one.is_well(CallKind.AUTHORIZE, trio.current_time())
    assert one.is_well(CallKind.CAPTURE, trio.current_time())
    await trio.sleep(4)
    assert one.wants_probe(CallKind.AUTHORIZE, trio.current_time())


async def test_what_an_operator_forced_survives_until_it_expires(autojump_clock: trio.testing.MockClock) -> None:
    def force(one: Admission) -> None:
        one.force(CallKind.REFUND, Mode.FORCED_OPEN, trio.current_time() + 60, trio.current_time(), "operator:ann", "act_1")

    rows = await left_by(force)
    one = an_admission(trio.current_time())
    remember(one, rows, [], Moments(WorldClock()), replays_errors=True)
    assert one.view(CallKind.REFUND, trio.current_time()).by == "operator:ann"
    assert one.refusal(CallKind.REFUND, trio.current_time(), repeat=False) is not None
    assert not one.is_well(CallKind.REFUND, trio.current_time())
    await trio.sleep(60)
    assert one.refusal(CallKind.REFUND, trio.current_time(), repeat=False) is None
    assert one.wants_probe(CallKind.REFUND, trio.current_time())


async def test_the_last_word_of_each_circuit_counts(autojump_clock: trio.testing.MockClock) -> None:
    def steps(one: Admission) -> None:
        fail(one, CallKind.CAPTURE, 5)
        fail(one, CallKind.AUTHORIZE, 5)
        one.reset(CallKind.AUTHORIZE, trio.current_time(), "operator:ann", "act_1")

    rows = await left_by(steps)
    one = an_admission(trio.current_time())
    remember(one, rows, [], Moments(WorldClock()), replays_errors=True)
    modes = {kind: one.view(kind, trio.current_time()).mode for kind in CallKind}
    assert modes.pop(CallKind.CAPTURE) is Mode.OPEN
    assert set(modes.values()) == {Mode.CLOSED}


async def test_recent_calls_fill_windows_and_budget(autojump_clock: trio.testing.MockClock) -> None:
    def call(subject_id: str, finding: Approved | Unknown, source: Source, seconds_ago: float) -> RecentCall:
        return RecentCall(
            subject_id=subject_id, evidence=Evidence(source=source, finding=finding, at=START + timedelta(seconds=100 - seconds_ago))
        )

    await trio.sleep(100)
    calls = [
        *[call("att_1", Approved(), Source.RESPONSE, 30) for _ in range(10)],
        *[call("att_1", LOST, Source.RESPONSE, 20) for _ in range(4)],
        *[call("att_1", LOST, Source.REPLAY, 10) for _ in range(3)],
        call("ref_1", Approved(), Source.RESPONSE, 5),
        call("cap_1", LOST, Source.INQUIRY, 5),
    ]
    one = an_admission(trio.current_time())
    remember(one, [], calls, Moments(WorldClock()), replays_errors=True)
    now = trio.current_time()
    authorize, lookup = one.view(CallKind.AUTHORIZE, now), one.view(CallKind.LOOKUP, now)
    assert (authorize.mode, authorize.calls, authorize.failures, authorize.failures_in_a_row) == (Mode.CLOSED, 17, 7, 7)
    assert (lookup.calls, lookup.failures) == (1, 1)
    assert one.view(CallKind.REFUND, now).calls == 1
    assert one.budget.tokens(now) == pytest.approx(5 + 15 * 0.1 - 3, abs=0.2)
    assert not one.is_well(CallKind.AUTHORIZE, now)
    assert one.is_well(CallKind.REFUND, now)
    assert one.remembered


async def test_replays_that_were_kept_back_cost_no_token(autojump_clock: trio.testing.MockClock) -> None:
    await trio.sleep(100)

    def replay(code: str) -> RecentCall:
        why = Failure(error_class=ErrorClass.NOT_SENT, code=code, message="no")
        evidence = Evidence(source=Source.REPLAY, finding=NotExecuted(failure=why, sent=False), at=START + timedelta(seconds=99))
        return RecentCall(subject_id="att_1", evidence=evidence)

    one = an_admission(trio.current_time())
    remember(one, [], [replay("circuit_open"), replay("retry_budget_spent")], Moments(WorldClock()), replays_errors=True)
    assert one.budget.tokens(trio.current_time()) == 5
    again = an_admission(trio.current_time())
    remember(again, [], [replay("connect")], Moments(WorldClock()), replays_errors=True)
    assert again.budget.tokens(trio.current_time()) == pytest.approx(4, abs=0.1)


async def test_replays_that_were_answered_with_what_the_psp_keeps_cost_no_token(autojump_clock: trio.testing.MockClock) -> None:
    await trio.sleep(100)
    detail = ConnectorDetail(http_status=500)
    broken = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="oops", message="no", connector=detail))

    def left(*, stored: bool) -> float:
        evidence = Evidence(source=Source.REPLAY, finding=broken, at=START + timedelta(seconds=99), stored=stored)
        one = an_admission(trio.current_time())
        remember(one, [], [RecentCall(subject_id="att_1", evidence=evidence)] * 4, Moments(WorldClock()), replays_errors=True)
        return one.budget.tokens(trio.current_time())

    assert left(stored=True) == pytest.approx(5, abs=0.1)
    assert left(stored=False) == pytest.approx(1, abs=0.1)


def test_a_psp_that_asks_again_and_again_to_be_left_alone_is_told_of_in_few_records() -> None:
    one, now, told, last = Circuit(LIMITS.circuit, 0), 0.0, list[CircuitView](), None
    transitions = 0
    for _ in range(1000):
        for verdict in [Verdict.BAD] * 5 + [Verdict.GOOD] * 2:
            if verdict is Verdict.BAD:
                one.hold_off(now + 40, now)
            elif one.refuses(now):
                now += 40
            permit = one.enter(now)
            assert permit is not None
            one.ended(permit, verdict, now)
            for view in one.take_transitions():
                transitions += 1
                if worth_telling(view, last):
                    last = view.mode
                    told.append(view)
    assert transitions == 3000
    assert len(told) < 50
    modes = [view.mode for view in told]
    assert modes[:3] == [Mode.OPEN, Mode.HALF_OPEN, Mode.CLOSED]
    assert modes[-1] is Mode.CLOSED, "what was told to be open is told to be closed again"


def test_what_this_program_does_not_understand_is_not_remembered() -> None:
    row = JournalRow(
        position=1, stream="connector", stream_id=stream_id("psp"), sequence=1, name="CircuitOpened", at=datetime(2027, 3, 1, tzinfo=UTC),
        actor="system", cause="att_1", body='{"operation":"payout","reason":"failure_rate"}',
    )  # fmt: skip
    one = an_admission(0)

    async def main() -> None:
        remember(one, [row], [], Moments(WorldClock()), replays_errors=True)

    trio.run(main)
    assert one.is_well(CallKind.AUTHORIZE, 0)


def test_a_long_outage_is_told_in_few_records() -> None:
    one, now, told = Circuit(LIMITS.lookup_circuit, 0), 0.0, list[CircuitView]()
    for _ in range(5):
        permit = one.enter(0)
        assert permit is not None
        one.ended(permit, Verdict.BAD, 0)
    for _ in range(8640):  # a day
        now += 10
        permit = one.enter(now)
        assert permit is not None
        one.ended(permit, Verdict.BAD, now)
    one.reset(now, "operator:ann")
    transitions = one.take_transitions()
    told = [view for view in transitions if worth_telling(view)]
    assert len(transitions) == 1 + 2 * 8640 + 1
    assert len(told) < 50
    assert (told[0].mode, told[-1].mode) == (Mode.OPEN, Mode.CLOSED)
