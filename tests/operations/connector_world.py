"""Connectors and routing of one process over a real journal, for the tests of what operators do to them: everything but the
connectors' actors, in whose place circuits are turned at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import trio

from actors.breaker import CircuitView, Mode
from actors.connector import ForceCircuit, ResetCircuit
from actors.mailbox import MailboxStatistics, Reply
from connectors.registry import CONNECTORS
from payorch.circuits import Circuits
from payorch.domain import events as e
from payorch.domain.acts import Act, ActName, Draft, Performed, Person, Wish
from payorch.domain.payment import Name, State
from payorch.domain.routing import Decision, route
from payorch.domain.rules import asked, draw_of
from payorch.operations.connector_edge import ConnectorEdge
from payorch.operations.vitals import Vitals
from payorch.routes import Reload, Routes
from payorch.settings import Settings, load
from payorch.store import connector_reads, routing_reads
from payorch.store.driver import Connection
from payorch.store.items import Appended, Item, Result
from payorch.store.journal import Journal
from payorch.store.reads import JournalRow
from payorch.telemetry import Metrics
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on

NAMES = ("stripe", "adyen")
ON = {name: CONNECTORS[name] for name in NAMES}
ANA = Person(operator="opr_1", name="ana", person="Ana")


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


@dataclass(kw_only=True)
class Ground:
    """What outlives a process: the database, the wall clock and the files. lose: raised once by the write after the next one is durable."""

    connection: Connection
    journal: Journal
    clock: Clock
    folder: Path
    lose: list[Exception] = field(default_factory=list)
    lock: trio.Lock = field(default_factory=trio.Lock)
    wrote: trio.Event = field(default_factory=trio.Event)

    async def read(self, query: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        async with self.lock:
            return await query(self.connection, *arguments, **named)

    async def write(self, item: Item) -> Result:
        async with self.lock:
            result = (await self.journal.write([item]))[0]
        self.wrote.set()
        self.wrote = trio.Event()
        if self.lose:
            raise self.lose.pop()
        return result

    def settings(self) -> Settings:
        environment = {"PAYORCH_CONFIG_DIR": str(self.folder), "PAYORCH_ACTORS__CIRCUIT_RETRY_SECONDS": "0.01"}
        return load({**environment, **{f"PAYORCH_CONNECTORS__{name.upper()}__ENABLED": "true" for name in NAMES}})

    async def records(self, connector: str = "stripe") -> list[JournalRow]:
        found: list[JournalRow] = await self.read(connector_reads.connector_events, connector, limit=100)
        return list(reversed(found))

    async def rules(self) -> list[JournalRow]:
        found: list[JournalRow] = await self.read(routing_reads.rule_records)
        return found

    async def decided(self, *decisions: Decision | None) -> list[str]:
        """A confirmed payment for each decision, each made a second later; None: as the shipped rules decide. Their ids, in order."""
        settings = self.settings()
        plan, manifests = settings.routing.plan(ON), {name: one.manifest for name, one in ON.items()}
        made = []
        for number, given in enumerate(decisions):
            story = Story(connector="stripe", at=START - timedelta(seconds=600 - number))
            born, confirmed = story.birth(), story.confirmation()
            assert isinstance(born[2], e.Created)
            question = asked(born[2].intent, merchant_id=story.merchant_id, draw=draw_of(story.payment_id), at=story.at)
            decision = given or route(question, plan, manifests)
            step = story.step(born, confirmed, (Name.ROUTED, State.ROUTING, e.Choice(decision=decision)))
            assert isinstance(await self.write(step), Appended)
            made.append(story.payment_id)
        return made


class Door:
    """The ref of a connector's actor. asked: the messages that came."""

    def __init__(self, process: Process, name: str) -> None:
        self._process = process
        self._name = name
        self.asked: list[ForceCircuit | ResetCircuit] = []

    async def ask(self, make: Callable[[Reply[CircuitView]], ForceCircuit | ResetCircuit], *, within_seconds: float) -> CircuitView:
        await trio.lowlevel.checkpoint()
        message, now = make(Reply()), trio.current_time()
        self.asked.append(message)
        admission = self._process.circuits.admissions[self._name]
        if isinstance(message, ResetCircuit):
            return admission.reset(message.kind, now, message.by, message.cause)
        mode = Mode.FORCED_OPEN if message.open else Mode.FORCED_CLOSED
        return admission.force(message.kind, mode, now + message.for_seconds, now, message.by, message.cause)

    def statistics(self) -> MailboxStatistics:
        return MailboxStatistics(name=self._name, depth=1, capacity=256, received=9, refused=0, lost=0, waiting_askers=0)


class Process:
    """One life of a platform, as far as it is about this."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        settings = ground.settings()
        self.circuits = Circuits(
            settings.enabled_connectors(), ON, actors=settings.actors, clock=ground.clock, metrics=Metrics.create(), read=ground.read,
            write=ground.write, well_again=lambda _: None,
        )  # fmt: skip
        self.routes = Routes(
            settings, ON, clock=ground.clock, unavailable=self.circuits.unavailable, read=ground.read, write=ground.write,
            reread=ground.settings,
        )  # fmt: skip
        self.vitals = Vitals(NAMES, clock=ground.clock, slo_ms=settings.traffic.authorize_slo_ms)
        self.doors = {name: Door(self, name) for name in NAMES}
        self.wish, self.wishes = trio.open_memory_channel[Reload](8)
        self.edge = ConnectorEdge(
            settings, ON, clock=ground.clock, vitals=self.vitals, circuits=self.circuits, routes=self.routes, live={},
            ref=lambda name: self.doors[name], read=ground.read, reload=self.wish.send_nowait,  # type: ignore[arg-type, return-value]
        )  # fmt: skip

    async def plan(self, name: ActName, subject: str, **parameters: Any) -> Draft:
        return await self.edge.planners()[name].plan(Wish(name=name, subject=subject, parameters=parameters, who=ANA))

    async def perform(self, act: Act) -> Performed:
        async def progress(_: Any) -> None:
            raise AssertionError("these are done in one step")

        return await self.edge.planners()[act.name].perform(act, progress)

    async def remember(self) -> None:
        for admission in self.circuits.admissions.values():
            await self.circuits.remember(admission)

    def unavailable(self) -> dict[str, str]:
        return dict(self.circuits.unavailable())


def act(name: ActName, subject: str, id: str = "act_1", **parameters: Any) -> Act:
    return Act(
        id=id, name=name, subject=subject, parameters=parameters, reason="it is slow", requested_by=ANA, approved_by=None, break_glass=False
    )  # fmt: skip


@asynccontextmanager
async def ground(database: Database, folder: Path, rules: str = "") -> AsyncIterator[Ground]:
    (folder / "routing.toml").write_text(rules)
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        yield Ground(connection=connection, journal=journal, clock=Clock(), folder=folder)


@asynccontextmanager
async def alive(on: Ground) -> AsyncIterator[Process]:
    """A process whose records are written."""
    process = Process(on)
    await process.remember()
    async with trio.open_nursery() as nursery:
        for name in NAMES:
            nursery.start_soon(process.circuits.write_of(name))
        yield process
        nursery.cancel_scope.cancel()


def body(record: JournalRow) -> Any:
    return msgspec.json.decode(record.body)
