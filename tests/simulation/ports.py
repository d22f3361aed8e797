"""The five ports of one generation, leading into a `World` instead of the machine. All of them check that their generation still lives."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import psycopg
import trio
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.pq.abc import PGconn

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator import faults
from connectors.simulator.dialect import malformed
from connectors.simulator.faults import After, Before, RequestKind
from payorch.ports import NotSent, OutcomeLost, Timeouts
from payorch.store.driver import Connection
from tests.simulation.world import World

Result = TypeVar("Result")


class SimulatedClock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.now()


class SimulatedEntropy:
    def __init__(self, world: World) -> None:
        self._world = world

    def identifier(self) -> UUID:
        return self._world.identifier()

    def fraction(self) -> float:
        return self._world.ids.random()

    def secret(self, size_bytes: int) -> bytes:
        return self._world.ids.randbytes(size_bytes)


class SimulatedProcess:
    """Names the places of possible deaths, and dies there when fate says so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._generation = world.generation

    def reached(self, point: str) -> None:
        self._world.maybe_crash(point, self._generation)


class SimulatedChannel:
    """One exchange at a time with the simulated PSP: its real dialect and ledger, its faults acted out in virtual time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._generation = world.generation

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        world = self._world
        await self._travel()
        state = world.psp_faults()
        refusal, _ = faults.decide(state, RequestKind.CONNECT, world.wire, world.now())
        if refusal.before is Before.REFUSE:
            world.note("psp", "refuse")
            raise NotSent("connect", "the PSP")
        kind = world.dialect.kind(request)
        verdict, _ = faults.decide(state, kind, world.wire, world.now())
        if verdict.before not in (Before.PROCESS, Before.REFUSE) or verdict.after is not After.ANSWER:
            world.note("psp", f"{verdict.before}/{verdict.after}")
        if verdict.before is Before.HANG:
            return await self._hang(timeouts)
        if verdict.before is Before.RESET:
            raise OutcomeLost("reset", "the PSP")
        if verdict.delay_seconds:
            await trio.sleep(verdict.delay_seconds)
            world.alive(self._generation)
        world.dialect.due(world.ledger, world.now())
        response = world.dialect.handle(world.ledger, request, world.now(), verdict=verdict).response
        world.note("call", f"{kind} {response.status}")
        world.maybe_crash("psp.executed", self._generation)
        await self._travel()
        if verdict.after is After.HANG:
            return await self._hang(timeouts)
        if verdict.after is After.RESET:
            raise OutcomeLost("reset", "the PSP")
        return malformed(response, verdict.malformed) if verdict.after is After.MALFORMED else response

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _travel(self) -> None:
        await trio.sleep(self._world.wire.choice((0.005, 0.02, 0.1)))
        self._world.alive(self._generation)

    async def _hang(self, timeouts: Timeouts) -> HttpResponse:
        await trio.sleep(min(timeouts.read_seconds, timeouts.total_seconds))
        self._world.alive(self._generation)
        raise OutcomeLost("read_timeout", "the PSP")


class SimulatedNetwork:
    def __init__(self, world: World) -> None:
        self._world = world

    def channel(self, base_url: str) -> SimulatedChannel:
        return SimulatedChannel(self._world)


class SimulatedConnection(Connection):
    """A real connection whose waits block the loop, so that virtual time stands still while PostgreSQL works.

    `world` is set on a subclass per generation, because psycopg makes the instances. Before and after each statement virtual time passes,
    the connection may break, and the power may go: what was committed then is committed, whether anybody was told or not.
    """

    world: ClassVar[World]
    generation: ClassVar[int]
    breaks: ClassVar[bool]

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.world.connections.append(pgconn)

    async def wait(self, gen: PQGen[Result], interval: float = 0.0, timeout: float | None = None) -> Result:
        world = self.world
        with trio.CancelScope(shield=True):
            await trio.sleep(world.wire.choice((0.0002, 0.001, 0.004)))
        self._die_here("database.before_statement")
        if self.breaks and world.strikes(world.rates.database_lost_before):
            world.note("database", "lost before")
            self._break(gen)
        result = waiting.wait(gen, self.pgconn.socket, interval=0.1)
        self._die_here("database.after_statement")
        if self.breaks and world.strikes(world.rates.database_lost_after):
            world.note("database", "lost after")
            self._break(gen)
        return result

    def _die_here(self, point: str) -> None:
        try:
            self.world.maybe_crash(point, self.generation)
        except BaseException:
            self.pgconn.finish()
            raise

    def _break(self, gen: PQGen[Any]) -> None:
        gen.close()
        self.pgconn.finish()
        raise psycopg.OperationalError("the connection was lost")

    @classmethod
    async def wait_connecting(cls, gen: PQGenConn[Result], within_seconds: float) -> Result:
        cls.world.alive(cls.generation)
        return waiting.wait_conn(gen, interval=0.1, timeout=within_seconds)


def connection_class(world: World, *, breaks: bool) -> type[SimulatedConnection]:
    """The connections of the world's present generation. `breaks`: whether they may be lost."""
    return type("GenerationConnection", (SimulatedConnection,), {"world": world, "generation": world.generation, "breaks": breaks})
