"""The five ports of one life, leading into a `World` instead of the machine. All of them check that their life still has power."""

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
from connectors.simulator.dialect import malformed
from connectors.simulator.faults import After, Before, RequestKind, Verdict
from payorch.ports import NotSent, OutcomeLost, Timeouts
from payorch.store.driver import Connection
from tests.simulation.fates import Mishap
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

    def __init__(self, world: World, generation: int) -> None:
        self._world = world
        self._generation = generation

    def reached(self, point: str) -> None:
        self._world.maybe_crash(point, self._generation)


class SimulatedChannel:
    """One exchange at a time with the simulated PSP, its faults acted out in virtual time."""

    def __init__(self, world: World, generation: int) -> None:
        self._world = world
        self._psp = world.psp
        self._generation = generation

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        world, psp = self._world, self._psp
        await self._travel()
        if psp.misfortune(RequestKind.CONNECT).before is Before.REFUSE:
            raise NotSent("connect", "the PSP")
        psp.witness(request)
        kind = psp.dialect.kind(request)
        if request.method == "POST" and world.strikes(world.fate.belated):
            world.fault("psp belated")
            psp.belated(request)
            return await self._hang(timeouts)
        verdict = psp.misfortune(kind)
        if verdict.before is Before.HANG:
            return await self._hang(timeouts)
        if verdict.before is Before.RESET:
            raise OutcomeLost("reset", "the PSP")
        await self._pass(verdict.delay_seconds)
        reply = psp.handle(request, verdict)
        world.note("call", f"{kind} {reply.response.status}")
        world.maybe_crash("psp.executed", self._generation)
        await self._travel()
        answer = await self._answer(reply.response, verdict, timeouts)
        if any(notice.id in world.postman.taken for notice in reply.webhooks):
            world.note("notice", "beats the answer")
        return answer

    async def _answer(self, response: HttpResponse, verdict: Verdict, timeouts: Timeouts) -> HttpResponse:
        if verdict.after is After.HANG:
            return await self._hang(timeouts)
        if verdict.after is After.RESET:
            raise OutcomeLost("reset", "the PSP")
        await self._pass(verdict.drip_seconds)
        return malformed(response, verdict.malformed) if verdict.after is After.MALFORMED else response

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _travel(self) -> None:
        await self._pass(self._world.wire.choice((0.005, 0.02, 0.1)))

    async def _pass(self, seconds: float) -> None:
        if seconds:
            await trio.sleep(seconds)
            self._world.alive(self._generation)

    async def _hang(self, timeouts: Timeouts) -> HttpResponse:
        await self._pass(min(timeouts.read_seconds, timeouts.total_seconds))
        raise OutcomeLost("read_timeout", "the PSP")


class SimulatedMerchantChannel:
    """One exchange at a time with a merchant's receiver: the way there and back takes virtual time."""

    def __init__(self, world: World, generation: int, url: str) -> None:
        self._world = world
        self._generation = generation
        self._url = url

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        receiver = self._world.receiver
        await self._pass(self._world.wire.choice((0.005, 0.02, 0.1)))
        mishap = receiver.befalls(self._url)
        if mishap is Mishap.REFUSED:
            raise NotSent("connect", "a merchant")
        if mishap is Mishap.HANGS:
            await self._pass(timeouts.total_seconds)
            raise OutcomeLost("read_timeout", "a merchant")
        response = receiver.take(self._url, request, mishap, self._generation)
        await self._pass(self._world.wire.choice((0.005, 0.02, 0.1)))
        if mishap is Mishap.RECEIPT_LOST:
            raise OutcomeLost("reset", "a merchant")
        return response

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _pass(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._world.alive(self._generation)


class SimulatedNetwork:
    def __init__(self, world: World, generation: int) -> None:
        self._world = world
        self._generation = generation

    def channel(self, base_url: str) -> SimulatedChannel:
        return SimulatedChannel(self._world, self._generation)

    def merchant_channel(self, url: str, *, local: bool) -> SimulatedMerchantChannel:
        return SimulatedMerchantChannel(self._world, self._generation, url)


class SimulatedConnection(Connection):
    """A real connection whose waits block the loop, so that virtual time stands still while PostgreSQL works.

    `world` and `generation` are set on a subclass for each life, because psycopg makes the instances. Before and after each statement
    virtual time passes, the connection may break, and the power may go: what was committed then is committed, whether anybody was told or
    not.
    """

    world: ClassVar[World]
    generation: ClassVar[int]

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.world.holds(self.generation, pgconn)

    def __del__(self, warn: object = None) -> None:
        """What a dead process held open is closed by the world, not by whoever forgot it: here that is no leak to warn about."""

    async def wait(self, gen: PQGen[Result], interval: float = 0.0, timeout: float | None = None) -> Result:
        world, fate = self.world, self.world.fate
        with trio.CancelScope(shield=True):
            await trio.sleep(world.wire.choice((0.0002, 0.001, 0.004)))
        self._die_here("database.before_statement")
        if world.database_is_away or world.strikes(fate.database_lost_before):
            self._break(gen, "away" if world.database_is_away else "lost before")
        result = waiting.wait(gen, self.pgconn.socket, interval=0.1)
        self._die_here("database.after_statement")
        if world.strikes(fate.database_lost_after):
            self._break(gen, "lost after")
        return result

    def _die_here(self, point: str) -> None:
        try:
            self.world.maybe_crash(point, self.generation)
        except BaseException:
            self.pgconn.finish()
            raise

    def _break(self, gen: PQGen[Any], how: str) -> None:
        self.world.fault(f"database {how}")
        gen.close()
        self.pgconn.finish()
        raise psycopg.OperationalError("the connection was lost")

    @classmethod
    async def wait_connecting(cls, gen: PQGenConn[Result], within_seconds: float) -> Result:
        await trio.lowlevel.checkpoint()
        cls.world.alive(cls.generation)
        if cls.world.database_is_away:
            cls.world.fault("database refuses")
            gen.close()
            raise psycopg.OperationalError("the server refuses connections")
        return waiting.wait_conn(gen, interval=0.1, timeout=within_seconds)


def connection_class(world: World, generation: int) -> type[SimulatedConnection]:
    """The connections of that life."""
    return type("SimulatedConnectionOfALife", (SimulatedConnection,), {"world": world, "generation": generation})
