"""Real payment actors over a real journal, and the planner of acts on payments in front of them. The PSP says what a test has it say.

async with world_on(database) as world:
    payment_id = await world.pay(lost=True)
    draft = await world.plan(ActName.PAYMENT_RESOLVE, payment_id, to="CAPTURED", evidence="INC-7")
    act = await world.approved(ActName.PAYMENT_RESOLVE, payment_id, to="CAPTURED", evidence="INC-7")
    done = await world.perform(act)
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from actors.admission import CallKind
from actors.connector import Execute
from actors.looks import inquiry_about
from payorch.domain.acts import Act, ActName, Draft, Performed, Person, Wish
from payorch.domain.identifiers import uuid_of
from payorch.domain.outcome import Approved, ErrorClass, Failure, Finding, Unknown
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.operations.payments import PaymentPlanner, PaymentRoom
from payorch.store import inbox_reads, reads
from payorch.store.driver import Connection
from payorch.store.items import Answer, Append, Appended, Result
from payorch.store.journal import Journal
from payorch.store.query import all_rows
from tests.api.actor_world import Platform, Shared
from tests.api.merchant_world import START, charge, new_id
from tests.conftest import Database
from tests.store.stories import connected, journal_on

LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))
ANA = Person(operator=new_id("opr"), name="ana", person="Ana Ruiz")
BEN = Person(operator=new_id("opr"), name="ben", person="Ben Ode")
LIMIT = {"EUR": 1000}
PATIENCE_SECONDS = 20
"""Of a test, for what it waits for: with a database that is busy with other tests, and then it has failed."""


class Stored(Shared):
    """What is shared, in a real journal: the dictionaries beside it are what HTTP reads."""

    def __init__(self, nursery: trio.Nursery, journal: Journal, connection: Connection) -> None:
        super().__init__(nursery, commit_seconds=0, psp_seconds=0)
        self.journal = journal
        self.connection = connection
        self.lock = trio.Lock()
        self.changed = trio.Event()

    async def write(self, item: Append | Answer) -> Result:
        async with self.lock:
            result = (await self.journal.write([item]))[0]
        if isinstance(result, Appended):
            await super().write(item)
            self.changed.set()
            self.changed = trio.Event()
        return result

    async def read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        async with self.lock:
            return await query(self.connection, *arguments, **named)

    async def load(self, payment_id: str) -> Payment | None:
        found: Payment | None = await self.read(reads.load_payment, payment_id)
        return found


class PaymentWorld:
    """shut: what the planner is told of connectors that take no calls."""

    def __init__(self, shared: Stored, platform: Platform) -> None:
        self.shared = shared
        self.platform = platform
        self.shut: dict[tuple[str, CallKind], str] = {}
        self.office = platform.directory._surroundings.office
        self.planner = PaymentPlanner(
            PaymentRoom(
                load=shared.load,
                events=lambda payment_id: shared.read(reads.load_events, payment_id),
                notices=lambda payment_id: shared.read(inbox_reads.notices_of, payment_id, limit=10),
                desk=lambda actor, cause: self.office.desk(actor=actor, cause=cause),
                ask=lambda payment_id, make: platform.directory.ask(payment_id, make, within_seconds=PATIENCE_SECONDS),
                caused=lambda payment_id, cause: shared.read(reads.caused, payment_id, cause),
                inquiry=lambda payment, subject_id: inquiry_about(self.office, payment, subject_id),
                shut=lambda connector, kind: self.shut.get((connector, kind)),
                alone_up_to=LIMIT,
            )
        )

    async def pay(self, *, lost: bool = False, **how: Any) -> str:
        """A payment that its PSP charged, or of which nobody heard."""
        self.shared.psp = lambda _: LOST if lost else Approved(captured=how.get("capture") != "manual")
        made = await self.shared.store.post(body=charge(**how), idempotency=new_id("evt"))
        return str(made.seen["id"])

    def says(self, psp: Callable[[Execute], Finding | None]) -> None:
        self.shared.psp = psp

    async def until(self, holds: Callable[[Payment], bool]) -> Payment:
        """The payment that was written last, once that holds of it."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not holds(self.shared.stored[-1]):
                await self.shared.changed.wait()
        return self.shared.stored[-1]

    async def plan(self, name: ActName, subject: str, *, who: Person = ANA, **parameters: Any) -> Draft:
        return await self.planner.plan(Wish(name=name, subject=subject, parameters=parameters, who=who))

    async def approved(self, name: ActName, subject: str, *, agreed: bool = True, alone: bool = False, **parameters: Any) -> Act:
        """An act of two people, as it stands when it is carried out; of one who did not ask the other, or broke the glass."""
        act_id = new_id("act")
        await self._insert(act_id, name, subject, parameters, alone=alone)
        if agreed:
            await self.execute(
                "UPDATE payorch.acts SET state = 'approved', version = 2, decision = 'approved', decided_by = $1, decided_name = $2,"
                " decided_person = $3, decided_at = now() WHERE reference = $4",
                [uuid_of(BEN.operator), BEN.name, BEN.person, act_id],
            )
        return Act(
            id=act_id, name=name, subject=subject, parameters=parameters, reason="INC-7", requested_by=ANA,
            approved_by=BEN if agreed else None, break_glass=alone,
        )  # fmt: skip

    async def perform(self, act: Act) -> Performed:
        return await self.planner.perform(act, _no_progress)

    async def execute(self, statement: str, parameters: list[Any]) -> None:
        async with self.shared.lock:
            await _run(self.shared.connection, statement, parameters)

    async def _insert(self, act_id: str, name: ActName, subject: str, parameters: Mapping[str, Any], *, alone: bool) -> None:
        state = "approved" if alone else "proposed"
        await self.execute(
            "INSERT INTO payorch.acts (id, reference, plan_id, name, subject, parameters, draft, hash, people, break_glass, state, version,"
            " reason, idempotency_key, requested_by, requested_name, requested_person, requested_at, expires_at, review_due_at)"
            " VALUES ($1, $2, $3, $4, $5, $6::json, '{}', $7, 2, $8, $9, 1, 'INC-7', $2, $10, $11, $12, now(), now() + interval '1 hour',"
            " CASE WHEN $8 THEN now() END)",
            [
                *(
                    uuid_of(act_id),
                    act_id,
                    uuid_of(new_id("pln")),
                    str(name),
                    subject,
                    json.dumps(dict(parameters)),
                    b"h" * 32,
                    alone,
                    state,
                ),
                *(uuid_of(ANA.operator), ANA.name, ANA.person),
            ],
        )


async def _run(connection: Connection, statement: str, parameters: list[Any]) -> None:
    await all_rows(connection, f"{statement} RETURNING 1", parameters)


async def _no_progress(_: Mapping[str, Any]) -> None:
    raise AssertionError("an act on a payment is one step")


@asynccontextmanager
async def world_on(database: Database) -> AsyncIterator[PaymentWorld]:
    """A world on that database, with two operators."""
    async with journal_on(database.app) as journal, connected(database.app) as connection, trio.open_nursery() as nursery:
        for one in (ANA, BEN):
            await _run(
                connection,
                "INSERT INTO payorch.operators (id, name, person, created_at) VALUES ($1, $2, $3, $4)",
                [uuid_of(one.operator), one.name, one.person, START],
            )
        shared = Stored(nursery, journal, connection)
        platform = Platform(shared, mailbox_capacity=16)
        shared.store.directory = platform.directory
        nursery.start_soon(platform.supervisor.run)
        yield PaymentWorld(shared, platform)
        platform.supervisor.stop()
        nursery.cancel_scope.cancel()


def is_at(state: State) -> Callable[[Payment], bool]:
    return lambda payment: payment.state is state
