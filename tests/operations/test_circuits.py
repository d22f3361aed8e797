"""What operators do to circuits and connectors: plans that stand while circuits move, acts done once, drains that end by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.admission import CallKind
from actors.breaker import Mode, Permit, Verdict
from actors.mailbox import AskTimeout
from payorch.domain.acts import ActName, ActState, Nonsense
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Failure, Source, Unknown
from payorch.domain.routing import Decision
from payorch.operations.circuits import PEOPLE
from payorch.operations.connector_edge import transitions
from payorch.operations.draining import DRAINED, ENDED, RESUMED, Drains, in_words
from payorch.store.connector_reads import last_record
from payorch.store.items import Appended, Conflict, DrainRow, Entry, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.reads import JournalRow
from tests.api.merchant_world import Life
from tests.conftest import Database
from tests.operations.connector_world import Clock, Process, act, alive, body, ground
from tests.store.stories import START

OPEN, CLOSED, RESET = ActName.BREAKER_FORCE_OPEN, ActName.BREAKER_FORCE_CLOSED, ActName.BREAKER_RESET
DRAIN, RESUME = ActName.CONNECTOR_DRAIN, ActName.CONNECTOR_RESUME


def fail(process: Process, times: int = 30) -> None:
    """Authorisations that go wrong until the circuit opens."""
    admission = process.circuits.admissions["stripe"]
    for _ in range(times):
        permit = admission.enter(CallKind.AUTHORIZE, trio.current_time(), "att_1", repeat=False)
        if not isinstance(permit, Permit):
            break
        admission.ended(CallKind.AUTHORIZE, permit, Verdict.BAD, trio.current_time(), "att_1", repeat=False, sent=True, code="read_timeout")


# --- plans --------------------------------------------------------------------------------------------------------------------------------


async def test_a_plan_stands_while_the_circuit_moves_by_itself(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        before = await process.plan(OPEN, "stripe/authorize", for_seconds=1800)
        fail(process)
        assert process.circuits.admissions["stripe"].view(CallKind.AUTHORIZE, trio.current_time()).mode is Mode.OPEN
        after = await process.plan(OPEN, "stripe/authorize", for_seconds=1800)
        assert before.binding == after.binding
        assert before != after, "where it stands is shown all the same"
        assert (before.people, before.confirm, before.allowed) == (2, "stripe", True)
        await process.perform(act(OPEN, "stripe/authorize", for_seconds=600))
        forced = await process.plan(OPEN, "stripe/authorize", for_seconds=1800)
        assert forced.version != after.version
        assert "forced open by ana until 2026-03-01 12:" in forced.binding.effects[0].before


async def test_a_plan_shows_where_the_traffic_would_go(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        await here.decided(None, None, Decision(order=("adyen",), version="1"))
        for name, calls in (("stripe", 6), ("adyen", 2)):
            for _ in range(calls):
                evidence = Evidence(source=Source.RESPONSE, finding=Approved(), at=START, latency_ms=80)
                process.vitals.called(name, CallKind.AUTHORIZE, "pay_1", evidence)
        for draft in (await process.plan(DRAIN, "stripe", for_seconds=600), await process.plan(OPEN, "stripe", for_seconds=600)):
            [traffic] = [one for one in draft.effects if one.forecast and one.what == "traffic"]
            assert traffic.before.endswith("authorisations a second, 75 % of all")
            assert traffic.after == "of the last 3 payments, the 2 that began there would have gone: 2 to adyen"
            assert (draft.checks[0].holds, draft.checks[0].detail) == (True, "adyen")
        quiet = await process.plan(OPEN, "stripe/refund", for_seconds=600)
        assert [one.what for one in quiet.effects] == ["state", "state"], "refunds take nobody's payments away"
        await process.perform(act(DRAIN, "adyen", "act_9", for_seconds=600))
        left = await process.plan(DRAIN, "stripe", for_seconds=600)
        assert not left.checks[0].holds


@pytest.mark.parametrize(
    ("name", "subject", "parameters", "field"),
    [
        (OPEN, "nobody/authorize", {"for_seconds": 60}, "/subject"),
        (OPEN, "stripe/nothing", {"for_seconds": 60}, "/subject"),
        (DRAIN, "stripe/authorize", {"for_seconds": 60}, "/subject"),
        (OPEN, "stripe", {}, "/parameters/for_seconds"),
        (OPEN, "stripe", {"for_seconds": 59}, "/parameters/for_seconds"),
        (CLOSED, "stripe", {"for_seconds": 86_401}, "/parameters/for_seconds"),
        (DRAIN, "stripe", {"for_seconds": True}, "/parameters/for_seconds"),
        (DRAIN, "stripe", {"for_seconds": "600"}, "/parameters/for_seconds"),
    ],
)
async def test_nothing_is_turned_away_without_an_end(
    database: Database, tmp_path: Path, name: ActName, subject: str, parameters: dict[str, Any], field: str
) -> None:
    async with ground(database, tmp_path) as here:
        process = Process(here)
        with pytest.raises(Nonsense) as refused:
            await process.plan(name, subject, **parameters)
        assert refused.value.field == field
        done = await process.perform(act(name, subject, **parameters))
        assert done.state is ActState.REFUSED
        assert await here.records() == []


# --- circuits -----------------------------------------------------------------------------------------------------------------------------


async def test_a_circuit_is_forced_and_reset_once(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        wish = act(OPEN, "stripe/authorize", for_seconds=600)
        first = await process.perform(wish)
        assert (first.state, first.data["until"]) == (ActState.DONE, "2026-03-01T12:10:00.000Z")
        assert "stripe" in process.unavailable()
        assert await process.perform(wish) == first
        assert len(process.doors["stripe"].asked) == 1
        [record] = await here.records()
        assert (record.name, record.actor, record.cause) == ("CircuitForcedOpen", "operator:ana", "act_1")
        assert (await process.perform(act(RESET, "stripe/authorize", "act_2"))).text == "stripe, authorisations: reset."
        assert process.unavailable() == {}
        assert [one.name for one in await here.records()] == ["CircuitForcedOpen", "CircuitClosed"]


async def test_all_circuits_of_a_connector_at_once(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        done = await process.perform(act(CLOSED, "stripe", for_seconds=600))
        assert done.data["operations"] == list(CallKind)
        assert sorted(body(one)["operation"] for one in await here.records()) == sorted(CallKind)
        assert {one.cause for one in await here.records()} == {"act_1"}


async def test_a_crash_in_between_does_not_turn_a_circuit_twice(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here:
        async with alive(here) as process:
            await process.perform(act(OPEN, "stripe/refund", for_seconds=600))
        async with alive(here) as process:
            done = await process.perform(act(OPEN, "stripe/refund", for_seconds=600))
            assert (done.state, process.doors["stripe"].asked) == (ActState.DONE, [])
            assert process.circuits.admissions["stripe"].view(CallKind.REFUND, trio.current_time()).mode is Mode.FORCED_OPEN


# --- drains -------------------------------------------------------------------------------------------------------------------------------


async def test_a_drained_connector_is_left_out_until_it_is_resumed(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        wish = act(DRAIN, "stripe", for_seconds=1800)
        first = await process.perform(wish)
        assert first.state is ActState.DONE
        assert process.unavailable() == {"stripe": "draining until 2026-03-01 12:30Z by ana: it is slow"}
        assert await process.perform(wish) == first
        assert process.edge.circuits.offers("stripe")[-1].allowed
        assert (await process.plan(RESUME, "stripe")).allowed
        assert (await process.perform(act(RESUME, "stripe", "act_2"))).state is ActState.DONE
        assert process.unavailable() == {}
        assert (await process.perform(act(RESUME, "stripe", "act_2"))).state is ActState.DONE, "the same again finds what it did"
        assert (await process.perform(act(RESUME, "stripe", "act_3"))).state is ActState.REFUSED
        assert [one.code for one in (await process.plan(RESUME, "stripe")).objections] == ["not_draining"]
        assert not process.edge.circuits.offers("stripe")[-1].allowed
        assert [one.name for one in await here.records()] == [DRAINED, RESUMED]


async def test_a_drain_is_remembered_over_a_restart_and_ends_at_its_time(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here:
        async with alive(here) as process:
            await process.perform(act(DRAIN, "stripe", for_seconds=1800))
        async with alive(here) as process:
            assert set(process.unavailable()) == {"stripe"}
            here.clock.at = START + timedelta(seconds=1799, milliseconds=999)
            assert set(process.unavailable()) == {"stripe"}
            here.clock.at = START + timedelta(seconds=1800)
            assert process.unavailable() == {}, "whether or not anybody has looked"
        for _ in range(2):
            async with alive(here):
                with trio.fail_after(10):
                    while True:
                        wrote = here.wrote
                        if (await here.records())[-1].name == ENDED:
                            break
                        await wrote.wait()
        assert [one.name for one in await here.records()] == [DRAINED, ENDED]


def test_of_a_long_reason_decisions_keep_the_beginning() -> None:
    row = DrainRow(connector="a", until=START, reason="x" * 500, by="operator:ana", cause="act_1", changed_at=START)
    said = in_words(row)
    assert said.startswith("draining until 2026-03-01 12:00Z by ana: xxx")
    assert said.endswith("x…")
    assert len(said) < 200


async def test_a_drain_whose_answer_was_lost_is_one_drain(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        here.lose.append(JournalUnavailable("its answer was lost"))
        wish = act(DRAIN, "stripe", for_seconds=1800)
        with pytest.raises(JournalUnavailable):
            await process.perform(wish)
        assert process.unavailable() == {}
        assert (await process.perform(wish)).state is ActState.DONE
        assert set(process.unavailable()) == {"stripe"}
        assert [one.name for one in await here.records()] == [DRAINED]


async def test_a_drain_and_a_circuit_write_into_the_same_stream(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        for number in range(3):
            await process.perform(act(OPEN, "stripe/capture", f"act_{number}", for_seconds=600))
            await process.perform(act(DRAIN, "stripe", f"act_d{number}", for_seconds=600))
        assert [one.sequence for one in await here.records()] == [1, 2, 3, 4, 5, 6]


# --- a drain's end, by a clock of the test's own ------------------------------------------------------------------------------------------


class Memory:
    """A journal and rows in memory, whose writes fail as long as `away`."""

    def __init__(self) -> None:
        self.records: list[Entry] = []
        self.rows: dict[str, DrainRow] = {}
        self.away = 0
        self.lost = 0

    async def read(self, query: Callable[..., Awaitable[Any]], *arguments: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if query is last_record:
            found = [one for one in self.records if one.name in arguments[1]][-1:]
            return JournalRow(
                position=1, stream="connector", stream_id=found[0].stream_id, sequence=found[0].sequence, name=found[0].name,
                at=found[0].at, actor=found[0].actor, cause=found[0].cause, body=found[0].body.decode(),
            ) if found else None  # fmt: skip
        return list(self.rows.values()) if query.__name__ == "drains" else len(self.records) + 1

    async def write(self, entry: Entry) -> Result:
        await trio.lowlevel.checkpoint()
        if self.away:
            self.away -= 1
            raise JournalUnavailable("away")
        if entry.sequence != len(self.records) + 1:
            return Conflict()
        self.records.append(entry)
        self.rows |= {row.connector: row for row in entry.rows if isinstance(row, DrainRow)}
        if self.lost:
            self.lost -= 1
            raise AskTimeout("it is durable, and nobody hears so")
        return Appended(len(self.records))


class TrioClock(Clock):
    def now(self) -> Any:
        return START + timedelta(seconds=trio.current_time())


async def test_the_end_of_a_drain_is_written_once_however_long_that_takes(autojump_clock: MockClock) -> None:
    memory = Memory()
    drains = Drains(("a",), clock=TrioClock(), read=memory.read, write=memory.write, retry_seconds=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(drains.watch, "a")
        until = TrioClock().now() + timedelta(seconds=600)
        await drains.drain("a", until=until, reason="r", by="operator:ana", cause="act_1")
        await trio.sleep(300)
        await drains.drain("a", until=until + timedelta(seconds=600), reason="more", by="operator:ben", cause="act_2")
        await trio.sleep(500)
        assert set(drains.unavailable()) == {"a"}
        memory.away, memory.lost = 5, 1
        await trio.sleep(405)
        await wait_all_tasks_blocked()
        assert drains.unavailable() == {}
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    assert [(one.name, one.cause, one.actor) for one in memory.records] == [
        (DRAINED, "act_1", "operator:ana"),
        (DRAINED, "act_2", "operator:ben"),
        (ENDED, "act_2", "system"),
    ]


# --- the views ----------------------------------------------------------------------------------------------------------------------------


async def test_a_page_of_a_connector_tells_its_story(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        payments = await here.decided(None, Decision(order=("adyen",), version="1"), None)
        await process.perform(act(OPEN, "stripe/authorize", "act_1", for_seconds=600))
        await process.perform(act(DRAIN, "stripe", "act_2", for_seconds=600))
        await process.perform(act(RESET, "stripe/authorize", "act_3"))
        lost = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="x"))
        for finding in (Approved(), lost):
            evidence = Evidence(source=Source.RESPONSE, finding=finding, at=START, latency_ms=80)
            process.vitals.called("stripe", CallKind.AUTHORIZE, payments[0], evidence)
        found = await process.edge.whole("stripe")
        assert found is not None
        assert [(one.operation, one.before, one.after) for one in found.transitions] == [
            ("authorize", "forced_open", "closed"),
            ("connector", None, "draining"),
            ("authorize", None, "forced_open"),
        ]
        assert [one.payment_id for one in found.decisions] == [payments[2], payments[0]], "those that say anything of it, the latest first"
        assert (found.now.state, found.now.ok_percent, found.now.dead_letters, found.now.unknown) == ("draining", 50.0, 0, 0)
        assert (found.now.webhook_lag_seconds, found.now.mailbox_capacity) == (0.0, 256)
        assert [(one.code, one.payment_id) for one in found.errors] == [("read_timeout", payments[0])]
        assert found.hour.calls[-1] + found.hour.calls[-2] == 2
        assert {one.action for one in found.offers} == set(PEOPLE)
        assert await process.edge.whole("nobody") is None


def test_records_that_nobody_understands_are_passed_over() -> None:
    row = JournalRow(
        position=1, stream="connector", stream_id="con_1", sequence=1, name="CircuitOpened", at=START, actor="system", cause="x", body="[]"
    )  # fmt: skip
    assert transitions([row]) == []


async def test_the_overview_counts_authorisations(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        empty = process.vitals.overview()
        assert (empty.rate_percent, empty.rate_change_points, empty.p95_ms, empty.since) == (None, None, None, START)
        for life in (Life().created().sent().charged(), Life().created().sent().declined(), Life().created().sent().lost()):
            process.vitals.authorized(life.payment, 0.010, 0.190)
        process.vitals.unknown(1)
        seen = process.vitals.overview()
        assert (seen.rate_percent, seen.rate_change_points, seen.rate_count) == (50.0, 0.0, 2)
        assert seen.p95_ms == pytest.approx(200, rel=0.03)
        assert seen.platform_p95_ms == pytest.approx(10, abs=1)
        assert seen.psp_p95_ms == pytest.approx(190, rel=0.03)
        assert (len(seen.rate_series), len(seen.latency_series), seen.unknown_series[-1]) == (12, 12, 1)
