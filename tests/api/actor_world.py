"""Real payment actors under the merchant API: processes that share a journal made of dictionaries, and a PSP that a test scripts.

async with platforms(1) as (shared, (platform,)):
    shared.psp = lambda execute: Approved()         # what the PSP says to each call from now on
    answer = await shared.store.post(...)           # over HTTP, through the first process
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import trio

from actors.child import Report
from actors.connector import Execute
from actors.directory import Directory
from actors.dynamic import DynamicSupervisor
from actors.office import Office
from actors.router import Router
from actors.surroundings import Surroundings
from connectors.contract import Connector
from connectors.registry import CONNECTORS
from payorch.api.answering import Answering
from payorch.api.contracts import connectors_of
from payorch.api.present import announcement_json, answer_json
from payorch.domain import identifiers
from payorch.domain.card_budget import CardBudget
from payorch.domain.desk import Limits
from payorch.domain.evolve import replay
from payorch.domain.outcome import Approved, Evidence, Finding
from payorch.domain.records import Payment
from payorch.domain.rules import Plan, preferring
from payorch.domain.success import Success, SuccessLimits
from payorch.store.items import Answer, Append, Appended, ClaimLost, Result
from tests.api.merchant_world import START, FakeClock, Life, World, new_id

LIMITS = Limits(
    intent_expires_seconds=86400, authorize_seconds=900, authorize_merchant_seconds=86400, attempts_per_payment=3, call_lost_seconds=90,
    action_deadline_seconds=900, action_looks_seconds=(60,), pending_deadline_seconds=3600, pending_looks_seconds=(60,),
    unknown_looks_seconds=(2, 5), unknown_budget_seconds=600, resync_budget_seconds=60, authorization_look_seconds=86400,
    operation_retry_seconds=(2, 5), operation_window_seconds=600, inquire_first_seconds=3.0,
    early_tries=20, session_closings=3, completions_per_attempt=3,
)  # fmt: skip
SUCCESS_LIMITS = SuccessLimits(half_life_seconds=3600, prior_success=9000, prior_weight=20, prior_latency_ms=800, kinds=1000)


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


def charges(_: Execute) -> Finding:
    """A PSP that has done everything at once."""
    return Approved(captured=True)


class Shared:
    """What the processes share: the journal with its claims, HTTP in front of the first of them, and a PSP that takes its time.

    names: of the connectors, all of one kind, which builds the calls.
    psp: what it says to a call; None where it never answers. busy: raised to whoever hands a call to the connector. stored: each payment
    as every commit left it.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        names: tuple[str, ...] = ("stripe",),
        connector: Connector = CONNECTORS["stripe"],
        commit_seconds: float = 0.01,
        psp_seconds: float = 0.5,
    ) -> None:
        self.connectors = dict.fromkeys(names, connector)
        self.store = World(connectors=connectors_of(self.connectors, self.connectors.values()))
        self.routers: list[Router] = []
        self.store.write_answer = self.write  # type: ignore[method-assign, assignment]
        self.nursery = nursery
        self.commit_seconds = commit_seconds
        self.psp_seconds = psp_seconds
        self.psp: Callable[[Execute], Finding | None] = charges
        self.busy: Exception | None = None
        self.calls: list[Execute] = []
        self.stored: list[Payment] = []
        self.undelivered: list[tuple[str, Exception]] = []
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
        self.stored.append(item.payment)
        for router in self.routers:
            for event in item.events:
                router.learn(item.payment, event)
        return Appended(1, item.answer is not None and self.store.store(item.answer))

    async def load(self, payment_id: str) -> Payment | None:
        await trio.sleep(self.commit_seconds)
        life = self.store.lives.get(payment_id)
        return replay(life.events) if life is not None else None

    async def call(self, execute: Execute, deliver: Callable[[str, str, Evidence, str], None]) -> None:
        await trio.sleep(self.psp_seconds)
        finding = self.psp(execute)
        if finding is not None:
            refund = execute.subject.id.startswith("ref_")
            evidence = Evidence(source=execute.source, finding=finding, at=START, psp_reference="re_1" if refund else "pi_1")
            deliver(execute.payment_id, execute.subject.id, evidence, execute.cause)


class Platform:
    """One process: a supervisor with its payments, and the answering in front."""

    def __init__(self, shared: Shared, *, mailbox_capacity: int, plan: Plan | None = None) -> None:
        self.shared = shared
        self.router = Router(
            plan or preferring(*shared.connectors),
            {name: connector.manifest for name, connector in shared.connectors.items()},
            success=Success(SUCCESS_LIMITS),
            cards=CardBudget(cards=100),
        )
        shared.routers.append(self.router)
        self.clock = FakeClock()
        self.supervisor = DynamicSupervisor(
            name="payments", max_children=1000, intensity=1, period_seconds=60, report=shared.heard,
            gave_up=lambda name, _: None,
        )  # fmt: skip
        self.directory = Directory(self.supervisor, self._surroundings(), mailbox_capacity=mailbox_capacity, shutdown_seconds=1)
        self.answering = Answering(
            clock=self.clock, identifier=new_id, directory=self.directory, stored_claim=shared.store.stored_claim, load_payment=shared.load,
            write_answer=shared.write, answer_within_seconds=5.0,
        )  # fmt: skip

    def send(self, connector: str, execute: Execute) -> None:
        if self.shared.busy is not None:
            raise self.shared.busy
        self.shared.calls.append(execute)
        self.shared.nursery.start_soon(self.shared.call, execute, self.directory.answered)

    def _surroundings(self) -> Surroundings:
        connectors = self.shared.connectors
        office = Office(
            clock=self.clock, entropy=FakeEntropy(), limits=LIMITS, connectors=connectors,
            manifests={name: connector.manifest for name, connector in connectors.items()}, router=self.router,
            return_url=lambda payment, attempt: "https://pay.test/r",
        )  # fmt: skip
        return Surroundings(
            office=office, write=self.shared.write, load=self.shared.load, postbox=self, process=NoCrash(), present=answer_json,
            announce=announcement_json, undelivered=lambda payment_id, obstacle: self.shared.undelivered.append((payment_id, obstacle)),
            authorized=lambda *_: None, retry_seconds=0.1,
        )  # fmt: skip


@asynccontextmanager
async def platforms(
    count: int, *, mailbox_capacity: int = 128, plan: Plan | None = None, **how: Any
) -> AsyncIterator[tuple[Shared, list[Platform]]]:
    async with trio.open_nursery() as nursery:
        shared = Shared(nursery, **how)
        running = [Platform(shared, mailbox_capacity=mailbox_capacity, plan=plan) for _ in range(count)]
        shared.store.directory = running[0].directory
        for platform in running:
            nursery.start_soon(platform.supervisor.run)
        await trio.testing.wait_all_tasks_blocked()
        yield shared, running
        assert not shared.deaths
        for platform in running:
            platform.supervisor.stop()
        nursery.cancel_scope.cancel()
