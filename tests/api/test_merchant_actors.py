"""Answering over real payment actors: many twins at once, in two processes, over a journal that is a dictionary. One charge, one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
import trio

from actors.child import Report
from actors.connector import Execute
from actors.directory import Directory
from actors.dynamic import DynamicSupervisor
from actors.office import Office
from actors.transaction import Surroundings
from connectors.registry import CONNECTORS
from payorch.api.answering import Answering, Asked, Said
from payorch.api.present import announcement_json, payment_json
from payorch.api.refusal import Refusal
from payorch.domain import identifiers
from payorch.domain.desk import Limits
from payorch.domain.evolve import replay
from payorch.domain.outcome import Approved, Evidence, Source
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.store.items import Answer, Append, Appended, ClaimLost, Result
from tests.api.merchant_world import MERCHANT, START, FakeClock, Life, World, an_intent, new_id

LIMITS = Limits(
    intent_expires_seconds=86400, authorize_seconds=900, authorize_merchant_seconds=86400, attempts_per_payment=3, call_lost_seconds=90,
    action_deadline_seconds=900, action_looks_seconds=(60,), pending_deadline_seconds=3600, pending_looks_seconds=(60,),
    unknown_looks_seconds=(2, 5), unknown_budget_seconds=600, resync_budget_seconds=60, authorization_look_seconds=86400,
    operation_retry_seconds=(2, 5), operation_window_seconds=600,
)  # fmt: skip


class FakeEntropy:
    """Enough of `ports.Entropy` for ids."""

    def identifier(self) -> UUID:
        return identifiers.uuid_of(new_id("att"))

    def fraction(self) -> float:
        return 0.5

    def secret(self, size_bytes: int) -> bytes:
        return b"s" * size_bytes


class NoCrash:
    def reached(self, point: str) -> None:
        """Nobody dies here."""


class Shared:
    """What two processes share: the journal with its claims, and a PSP that takes its time."""

    def __init__(self, nursery: trio.Nursery, *, commit_seconds: float = 0.01, psp_seconds: float = 0.5) -> None:
        self.store = World()  # only its claims and lives are used
        self.nursery = nursery
        self.commit_seconds = commit_seconds
        self.psp_seconds = psp_seconds
        self.calls: list[Execute] = []
        self.deaths: list[Exception] = []

    def heard(self, report: Report) -> None:
        if report.error is not None:
            self.deaths.append(report.error)

    async def write(self, item: Append | Answer) -> Result:
        await trio.sleep(self.commit_seconds)
        if isinstance(item, Answer):
            return Appended(1, self.store.store(item))
        if item.claim is not None and not self.store.take(item.claim):
            return ClaimLost()
        life = self.store.lives.setdefault(item.payment.id, Life(payment_id=item.payment.id))
        assert len(life.events) == item.expected_version
        life.events.extend(item.events)
        return Appended(1, item.answer is not None and self.store.store(item.answer))

    async def load(self, payment_id: str) -> Payment | None:
        await trio.sleep(self.commit_seconds)
        life = self.store.lives.get(payment_id)
        return replay(life.events) if life is not None else None

    async def call(self, execute: Execute, deliver: Callable[[str, str, Evidence, str], None]) -> None:
        self.calls.append(execute)
        await trio.sleep(self.psp_seconds)
        evidence = Evidence(source=Source.RESPONSE, finding=Approved(captured=True), at=START, psp_reference="pi_1")
        deliver(execute.payment_id, execute.subject.id, evidence, execute.cause)


class Platform:
    """One process: a supervisor with its payments, and the answering in front."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.clock = FakeClock()
        self.supervisor = DynamicSupervisor(
            name="payments", max_children=1000, intensity=1, period_seconds=60, report=shared.heard,
            gave_up=lambda name, _: None,
        )  # fmt: skip
        self.directory = Directory(self.supervisor, self._surroundings(), mailbox_capacity=16, shutdown_seconds=1)
        self.answering = Answering(
            clock=self.clock, identifier=new_id, directory=self.directory, stored_claim=shared.store.stored_claim, load_payment=shared.load,
            write_answer=shared.write, answer_within_seconds=5.0,
        )  # fmt: skip

    def send(self, connector: str, execute: Execute) -> None:
        self.shared.nursery.start_soon(self.shared.call, execute, self.directory.answered)

    def _surroundings(self) -> Surroundings:
        stripe = CONNECTORS["stripe"]
        office = Office(
            clock=self.clock, entropy=FakeEntropy(), limits=LIMITS, connectors={"stripe": stripe}, manifests={"stripe": stripe.manifest},
            preference=("stripe",), routing_version="1", unavailable=dict, return_url=lambda payment, attempt: "https://pay.test/r",
        )  # fmt: skip
        return Surroundings(
            office=office, write=self.shared.write, load=self.shared.load, postbox=self, process=NoCrash(), present=payment_json,
            announce=announcement_json, undelivered=lambda *_: None, authorized=lambda *_: None, retry_seconds=0.1,
        )  # fmt: skip


@asynccontextmanager
async def platforms(count: int, **how: Any) -> AsyncIterator[tuple[Shared, list[Platform]]]:
    async with trio.open_nursery() as nursery:
        shared = Shared(nursery, **how)
        running = [Platform(shared) for _ in range(count)]
        for platform in running:
            nursery.start_soon(platform.supervisor.run)
        await trio.testing.wait_all_tasks_blocked()
        yield shared, running
        assert not shared.deaths
        for platform in running:
            platform.supervisor.stop()
        nursery.cancel_scope.cancel()


def asked(key: str = "k", request: str = "r", fingerprint: bytes = b"f" * 32) -> Asked:
    return Asked(merchant_id=MERCHANT, key=key, fingerprint=fingerprint, method_path="POST /v1/payments", request_id=request)


async def ask(platform: Platform, request: str, found: list[Said | Refusal]) -> None:
    try:
        found.append(await platform.answering.create(asked(request=request), an_intent(), confirm=True))
    except Refusal as refusal:
        found.append(refusal)


@pytest.mark.parametrize("count", [1, 2])
async def test_fifty_twins_make_one_charge_and_hear_one_answer(count: int, autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(count) as (shared, running):
        found: list[Said | Refusal] = []
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, running[number % count], f"r{number}", found)
        assert len(shared.calls) == 1
        assert len(shared.store.lives) == 1
        said = [one for one in found if isinstance(one, Said)]
        assert Counter(one.code for one in found if isinstance(one, Refusal)) == {"idempotency_in_progress": 50 - len(said)}
        assert [(one.status, one.replayed) for one in said] == [(201, False)]
        later = await running[-1].answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (later.body, later.replayed) == (said[0].body, True)


async def test_a_slow_psp_is_202_for_ever_and_the_payment_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=20) as (shared, (platform,)):
        first = await platform.answering.create(asked(), an_intent(), confirm=True)
        assert (first.status, first.replayed, trio.current_time() < 6) == (202, False, True)
        await trio.sleep(20)
        (life,) = shared.store.lives.values()
        assert life.payment.state is State.CAPTURED
        second = await platform.answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (second.status, second.body, second.replayed) == (202, first.body, True)


async def test_a_slow_journal_is_503_and_the_next_try_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, commit_seconds=7) as (shared, (platform,)):
        with pytest.raises(Refusal) as refused:
            await platform.answering.create(asked(), an_intent(), confirm=True)
        problem = refused.value.problem("r")
        assert (problem.status, problem.money_moved) == (503, "unknown")
        shared.commit_seconds = 0.01
        await trio.sleep(60)
        platform.clock.at = START.replace(hour=13)
        told = await platform.answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (told.status, told.replayed, b'"succeeded"' in told.body) == (202, True, True)
        assert (len(shared.calls), len(shared.store.lives)) == (1, 1)


async def test_a_confirmation_by_two_keys_at_once_is_executed_once(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        await platform.answering.create(asked("made"), an_intent(), confirm=False)
        (payment_id,) = shared.store.lives
        found: list[Said | Refusal] = []

        async def confirm(key: str) -> None:
            try:
                found.append(await platform.answering.confirm(asked(key), payment_id, None, None))
            except Refusal as refusal:
                found.append(refusal)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(confirm, "a")
            nursery.start_soon(confirm, "b")
        heard = {one.status if isinstance(one, Said) else one.code.value for one in found}
        assert heard == {200, "operation_not_allowed"}
        assert len(shared.calls) == 1
