"""A whole outage of a PSP, seen through the whole platform in virtual time: the real tree, the real database, the PSP's own ledger.

What is promised: the circuit opens, is tried, closes, and the timelines say so; the PSP gets at most 1.1 calls that move money per payment
while it fails; once it answers again, everything unknown is settled within seconds, with and without traffic, also after a restart. And
what some calls met keeps no other from its replay.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from connectors.simulator.faults import FaultKind
from payorch.domain.events import AttemptChange
from payorch.domain.outcome import Source
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.store import reads
from payorch.store.connector_reads import connector_events
from payorch.store.driver import Connection
from tests.conftest import Database
from tests.simulation.fates import Fate, Outage
from tests.simulation.runtime import Runtime
from tests.simulation.world import World

ORDER = {
    "amount": 2000,
    "currency": "EUR",
    "capture": "automatic",
    "confirm": True,
    "payment_method": {"type": "card", "token": "pm_card_visa"},
}


class Story:
    """One merchant at a platform whose PSP will fail, and what became of the orders."""

    def __init__(self, world: World, runtime: Runtime, connection: Connection) -> None:
        self.world = world
        self.runtime = runtime
        self.connection = connection
        self.bodies: list[dict[str, Any]] = []
        self._orders = 0

    async def buy(self, **changes: object) -> dict[str, Any]:
        """One order; the payment as it was answered."""
        self._orders += 1
        heard = await self.runtime.post("/v1/payments", {**ORDER, **changes}, f"order-{self._orders}")
        assert heard.status in (201, 202), heard.body
        self.bodies.append(heard.json)
        return heard.json

    async def buy_after(self, seconds: float) -> dict[str, Any]:
        """One order, after a while."""
        await trio.sleep(seconds)
        return await self.buy()

    async def buy_for(self, seconds: float, every: float) -> None:
        """Steady trade."""
        ends = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            while trio.current_time() < ends:
                nursery.start_soon(self.buy)
                await trio.sleep(every)

    async def payments(self) -> list[Payment]:
        """All of them, as the journal has them."""
        found = await reads.load_many(self.connection, [body["id"] for body in self.bodies])
        return [found[body["id"]] for body in self.bodies]

    async def unknown(self) -> int:
        """How many nobody knows of."""
        return sum(payment.state is State.OUTCOME_UNKNOWN for payment in await self.payments())

    async def settled_after(self, since: float) -> float:
        """Waits until nothing is unknown; how long that took."""
        for _ in range(7200):
            if not await self.unknown():
                return trio.current_time() - since
            await trio.sleep(0.5)
        raise AssertionError(f"{await self.unknown()} payments are unknown after an hour")

    async def charged_and_failed(self) -> list[str]:
        """Payments that failed, as we say, and were charged, as the PSP's own books have it."""
        charged = {theirs.reference for theirs in self.world.psp.ledger.payments(limit=1000).items if theirs.captured}
        failed = [payment for payment in await self.payments() if payment.state is State.FAILED]
        return [payment.id for payment in failed if any(attempt.id in charged for attempt in payment.attempts)]

    async def circuit(self, operation: str) -> list[str]:
        """What that circuit did."""
        rows = await connector_events(self.connection, "stripe", limit=500)
        return [row.name for row in reversed(rows) if json.loads(row.body)["operation"] == operation]

    def moved(self) -> int:
        """Calls that move money and reached the PSP."""
        return sum(count for what, count in self.world.seen.items() if what.startswith("asked:POST"))

    async def told_by(self, body: dict[str, Any]) -> list[Source]:
        """Where everything that is known of that payment comes from, in order."""
        data = [one.event.data for one in await reads.load_events(self.connection, body["id"])]
        return [one.evidence.source for one in data if isinstance(one, AttemptChange) and one.evidence is not None]

    async def told(self, body: dict[str, Any]) -> list[str]:
        """The timeline of that payment, in sentences."""
        heard = await self.runtime.get(f"/v1/payments/{body['id']}/timeline")
        return [entry["sentence"] + str(entry["routing"] or "") for entry in heard.json["data"]]


@asynccontextmanager
async def platform(database: Database, *outages: Outage, lag: float = 1.0, seed: int = 1) -> AsyncIterator[Story]:
    """A platform in a world with these outages and no other misfortune."""
    world = World(seed, database, crash_at=("never", 0))
    world.fate = replace(Fate(), outages=outages, search_lag_seconds=lag)
    runtime = Runtime(world)
    await runtime.enrol()
    witness, psp = world.psp.witness, world.psp

    def counted(request: Any) -> None:
        world.seen[f"asked:{request.method}"] += 1
        witness(request)

    psp.witness = counted  # type: ignore[method-assign]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.run)
            world.healed = False
            connection = await runtime.judge()
            await trio.sleep(1)
            yield Story(world, runtime, connection)
            world.healed = True
            assert not world.wrong, world.wrong[0]
            nursery.cancel_scope.cancel()
    finally:
        world.close()


Told = Callable[[Story], Coroutine[Any, Any, None]]


def run(database: Database, told: Told, *outages: Outage, lag: float = 1.0, seed: int = 1) -> None:
    """Tells that story in virtual time."""

    async def main() -> None:
        async with platform(database, *outages, lag=lag, seed=seed) as story:
            await told(story)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.CHARGE_THEN_500, FaultKind.RESET_BEFORE, FaultKind.REFUSE])
def test_an_outage_of_a_minute_under_trade(kind: FaultKind, database: Database) -> None:
    async def told(story: Story) -> None:
        await story.buy_for(9, every=0.5)
        before, paid = story.moved(), len(story.bodies)
        await trio.sleep_until(10)
        await story.buy_for(60, every=0.5)
        payments, moved = len(story.bodies) - paid, story.moved() - before
        assert payments == 120
        assert moved <= 1.1 * payments, f"{moved} calls for {payments} payments"
        assert moved <= 30, f"and with circuits far less: {moved}"
        healed = 70.0
        unknown = await story.unknown()
        metrics = (await story.runtime.get("/metrics")).body.decode()
        assert 'payorch_circuit_state{connector="stripe",operation="authorize",state="open"} 1.0' in metrics
        statuses = [(await story.buy_after(1))["status"] for _ in range(40)]
        assert statuses.index("succeeded") <= 35
        assert set(statuses[statuses.index("succeeded") :]) == {"succeeded"}
        if kind is FaultKind.ERROR_500:
            # The PSP has stored its 500 under the key and replays it for ever: only the key's end proves that nothing was charged.
            assert await story.unknown() == unknown > 0
        else:
            assert unknown or kind is FaultKind.REFUSE
            assert await story.settled_after(healed) <= 45
            assert {payment.state for payment in await story.payments()} <= {State.CAPTURED, State.FAILED}
        assert await story.charged_and_failed() == []
        authorize = await story.circuit("authorize")
        assert (authorize[0], authorize[-1]) == ("CircuitOpened", "CircuitClosed")
        assert "CircuitProbing" in authorize
        told = [await story.told(body) for body in story.bodies if body["status"] == "failed"]
        assert any("circuit of stripe for authorisations is open since" in sentence for one in told for sentence in one)

    run(database, told, Outage(begins=10, ends=70, kind=kind))


@pytest.mark.parametrize("kind", [FaultKind.CHARGE_THEN_500, FaultKind.CHARGE_THEN_HANG, FaultKind.RESET_BEFORE])
def test_without_any_trade_the_end_of_an_outage_is_noticed_all_the_same(kind: FaultKind, database: Database) -> None:
    """Ten minutes: the schedules of the unknown payments point minutes ahead, and no merchant comes."""

    async def told(story: Story) -> None:
        await trio.sleep_until(10)
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(story.buy)
        await trio.sleep_until(600)
        payments = await story.payments()
        assert {payment.state for payment in payments} == {State.OUTCOME_UNKNOWN}
        assert max(payment.version for payment in payments) <= 25, "an outage is not written into every payment over and over"
        assert await story.settled_after(610) <= 45
        assert {payment.state for payment in await story.payments()} == {State.CAPTURED}

    run(database, told, Outage(begins=5, ends=610, kind=kind))


@pytest.mark.parametrize("seed", [3, 24])
def test_whose_look_by_schedule_comes_as_the_psp_answers_again_is_settled_as_soon(seed: int, database: Database) -> None:
    """That look is a replay, and brings the error which the PSP keeps; the next interval is five minutes. Nobody else is to look for it
    either, because a wave passes by what is due by itself.
    """

    async def told(story: Story) -> None:
        await trio.sleep_until(10)
        await story.buy_for(60, every=0.5)
        assert await story.unknown()
        for _ in range(20):
            await story.buy_after(1)
        assert await story.settled_after(70) <= 25

    run(database, told, Outage(begins=10, ends=70, kind=FaultKind.CHARGE_THEN_500), seed=seed)


def test_errors_that_the_psp_keeps_for_some_leave_the_next_its_replay(database: Database) -> None:
    """Nine payments are charged and answered with an error, each by itself no outage; then an answer is lost on its way. The PSP's index
    is a minute behind, so only the replay can tell soon.
    """
    bad_moments = (10, 16, 22)

    async def told(story: Story) -> None:
        for moment in bad_moments:
            await trio.sleep_until(moment)
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(story.buy)
            for _ in range(4):
                assert (await story.buy_after(0.3))["status"] == "succeeded"
        kept = [body for body in story.bodies if body["status"] != "succeeded"]
        assert len(kept) == 9
        await trio.sleep_until(28)
        lost = await story.buy()
        assert lost["outcome"] == "unconfirmed"
        await trio.sleep_until(33)
        (found,) = [one for one in await story.payments() if one.id == lost["id"]]
        assert found.state is State.CAPTURED
        assert await story.told_by(lost) == [Source.RESPONSE, Source.REPLAY]
        await trio.sleep_until(130)
        assert {payment.state for payment in await story.payments()} == {State.CAPTURED}
        for body in kept:
            assert (await story.told_by(body)).count(Source.REPLAY) == 1, "what the PSP keeps is the same every time"

    kept = [Outage(begins=moment, ends=moment + 0.3, kind=FaultKind.CHARGE_THEN_500) for moment in bad_moments]
    run(database, told, *kept, Outage(begins=28, ends=28.3, kind=FaultKind.RESET_AFTER), lag=60)


def test_a_restart_in_the_middle_does_not_hammer_the_psp_and_forgets_nothing(database: Database) -> None:
    async def told(story: Story) -> None:
        await trio.sleep_until(10)
        await story.buy_for(10, every=1)
        before = story.moved()
        unknown = await story.unknown()
        assert unknown >= 5
        story.runtime.begin_again()
        await trio.sleep(10)
        statuses = [(await story.buy_after(0.5))["status"] for _ in range(20)]
        assert statuses.count("failed") >= 17, "the circuit is as open as it was"
        assert story.moved() - before <= 6, "two probes at each opening's end, and nothing else"
        assert await story.settled_after(100) <= 45

    run(database, told, Outage(begins=5, ends=100, kind=FaultKind.CHARGE_THEN_500))


def test_captures_that_were_not_sent_are_sent_when_the_psp_answers_again(database: Database) -> None:
    async def told(story: Story) -> None:
        bodies = [await story.buy(capture="manual") for _ in range(3)]
        await trio.sleep_until(10)
        for body in bodies:
            heard = await story.runtime.post(f"/v1/payments/{body['id']}/captures", {}, f"capture-{body['id']}")
            assert heard.status == 202
        await trio.sleep_until(1800)
        assert {payment.state for payment in await story.payments()} == {State.CAPTURING}
        await trio.sleep_until(1855)
        assert {payment.state for payment in await story.payments()} == {State.CAPTURED}

    run(database, told, Outage(begins=8, ends=1810, kind=FaultKind.REFUSE))
