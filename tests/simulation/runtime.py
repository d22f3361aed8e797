"""The lives of the platform in a `World`: one after the other, sometimes two at once, until the story ends.

The platform is the real one, from the composition root down to SQL; only its five ports lead into the world. Merchants reach it through the
ASGI application; a power cut takes the requests under way along, and their merchants learn nothing (`ConnectionLost`). A life ends by a
power cut at a named point or by the clock, by a drain as `payorch.app` does it, or because another process has taken the journal over.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec
import trio

from connectors.contract import HttpRequest
from payorch.access import Registrar
from payorch.keys import KeyMode
from payorch.platform import Platform, Ports, StoreAccess
from payorch.settings import Settings, load
from payorch.store.driver import Connection, Session
from payorch.store.journal import WRITER_SESSION, Fenced
from payorch.store.pool import Pool
from payorch.telemetry import Metrics
from tests.simulation.fates import End
from tests.simulation.ports import SimulatedClock, SimulatedEntropy, SimulatedNetwork, SimulatedProcess, connection_class
from tests.simulation.psp import API_KEY, BASE_URL, NOTICE_SECRET, OLD_SECRET
from tests.simulation.world import Dead, World

SECRET_KEY: Final = base64.b64encode(bytes(range(48))).decode()
LONGEST_PAUSE_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 7.0
"""For requests, and again for PSP calls: half of what the shipped configuration gives each."""
BUSY_SWEEP_SECONDS: Final = 2.0
IDLE_SWEEPS: Final = 30
"""Through a night or a healing, where nobody waits and most timers are hours. Each look at the timers costs what half an order does."""
BEHIND: Final = 3
"""By so much rarer the inbox and the notifier look, who are told of most things at once. What they were not told of waits longer."""
_JSON: Final = {"Content-Type": "application/json"}


class ConnectionLost(Exception):
    """The request reached a process that died before it answered, or none at all. What became of it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What somebody was answered, and by which life."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    generation: int

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], msgspec.json.decode(self.body))


@dataclass(eq=False, slots=True)
class Life:
    """One process. `open`: it takes requests. `idle` is set while it answers none."""

    generation: int
    platform: Platform
    scope: trio.CancelScope
    open: bool = True
    requests: int = 0
    idle: trio.Event = field(default_factory=trio.Event)


def settings_for(world: World, *, sweep_seconds: float) -> Settings:
    """The shipped configuration with shorter patience, so that a simulated minute holds many lives."""
    return load(
        {},
        overrides={
            "database_url": world.database.app,
            "secret_key": SECRET_KEY,
            "connectors.stripe.base_url": BASE_URL,
            "connectors.stripe.api_key": API_KEY,
            "connectors.stripe.webhook_secret": f"{OLD_SECRET},{NOTICE_SECRET}",
            "connectors.stripe.connections": 4,
            "connectors.stripe.read_timeout_seconds": 6.0,
            "connectors.stripe.total_timeout_seconds": 8.0,
            "actors.sweep_seconds": sweep_seconds,
            "inbox.sweep_seconds": BEHIND * sweep_seconds,
            "inbox.housekeeping_seconds": 10 * BEHIND * sweep_seconds,
            "deliveries.sweep_seconds": BEHIND * sweep_seconds,
            "routing.reload_seconds": 10 * BEHIND * sweep_seconds,
            "reconciliation.sweep_seconds": BEHIND * sweep_seconds,
            "operations.sweep_seconds": BEHIND * sweep_seconds,
            "operations.housekeeping_seconds": 10 * BEHIND * sweep_seconds,
            "reconciliation.unmatched_seconds": 10 * BEHIND * sweep_seconds,
            "reconciliation.clock_seconds": 10 * BEHIND * sweep_seconds,
            "actors.restart_intensity": 1000,
        },
        overrides_from="the simulation",
    )


class Runtime:
    """The platform as merchants see it (`post`, `get`), and what ends its lives. `run` keeps one alive until it is cancelled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._busy = settings_for(world, sweep_seconds=BUSY_SWEEP_SECONDS)
        self.settings = self._busy
        self.merchant_id = ""
        self.merchant_key = ""
        self._lives: list[Life] = []
        self._starting = 0
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Life after life."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start()
            await trio.sleep_forever()

    def begin_again(self, *, idle_seconds: float | None = None) -> None:
        """Everything ends by a power cut, and the next life looks at timers often, or as rarely as in so long a time of idleness."""
        self.settings = self._busy if idle_seconds is None else settings_for(self.world, sweep_seconds=idle_seconds / IDLE_SWEEPS)
        for life in list(self._lives):
            self._cut(life)

    async def follow_the_clock(self) -> None:
        """Ends lives as the seed's fate has it for a day, counted from now."""
        began = trio.current_time()
        for at, end in self.world.fate.ends:
            await trio.sleep_until(began + at)
            life = next((one for one in reversed(self._lives) if one.open), None)
            if life is None or self.world.healed:
                continue
            self.world.fault(f"end {end}")
            match end:
                case End.POWER_CUT:
                    self._cut(life)
                case End.DRAIN:
                    await self._drain(life)
                case End.TAKEOVER:
                    self._start()

    # --- one life

    def _start(self) -> None:
        assert self._nursery is not None
        self._starting += 1
        self._nursery.start_soon(self._live)

    def _cut(self, life: Life) -> None:
        self.world.cut_power(life.generation)
        life.scope.cancel()

    async def _drain(self, life: Life) -> None:
        """As `payorch.app` does it: no new requests, those under way end, PSP calls are waited for, then the tree stops."""
        life.open = False
        with trio.move_on_after(DRAIN_SECONDS):
            while life.requests:
                await life.idle.wait()
        await life.platform.finish_calls(DRAIN_SECONDS)
        if self.world.lives(life.generation):
            await life.platform.stop()

    async def _live(self) -> None:
        world = self.world
        generation = world.begin_life()
        try:
            await self._one_life(generation)
            world.note("life", "drained" if world.lives(generation) else "cut")
        except BaseExceptionGroup as group:
            fenced, rest = group.split(Fenced)
            dead, rest = rest.split(Dead) if rest is not None else (None, None)
            if rest is not None:
                raise
            world.note("life", "fenced" if fenced is not None and dead is None else "cut")
        finally:
            world.end_life(generation)
            world.cut_connections(generation)
        if not self._lives and not self._starting:
            self._starting += 1
            await trio.sleep(world.chance.random() * LONGEST_PAUSE_SECONDS)
            self._starting -= 1
            self._start()

    async def _one_life(self, generation: int) -> None:
        world, settings = self.world, self.settings
        url = settings.needed("database_url").reveal()
        connections = connection_class(world, generation)
        pool = Pool(
            url,
            size=2,  # each costs a process, and nothing here runs at the same time as something else
            connect_timeout_seconds=5,
            answer_within_seconds=30,
            lease_within_seconds=2,
            session=Session(application_name="simulation"),
            connection_class=connections,
        )

        async def connect() -> Connection:
            return await connections.connect(url, session=WRITER_SESSION)

        ports = Ports(
            clock=SimulatedClock(world),
            entropy=SimulatedEntropy(world),
            network=SimulatedNetwork(world, generation),
            process=SimulatedProcess(world, generation),
        )
        life: Life | None = None
        try:
            async with trio.open_nursery() as nursery:
                platform = Platform(settings, ports=ports, store=StoreAccess(pool=pool, connect=connect), metrics=Metrics.create())
                life = Life(generation, platform, nursery.cancel_scope)
                try:
                    await nursery.start(platform.run)
                finally:
                    self._starting -= 1
                world.note("life", "begins beside another" if self._lives else "begins")
                self._lives.append(life)
                if settings is not self.settings:
                    self._cut(life)  # it began before the day was over
        finally:
            if life in self._lives:
                self._lives.remove(life)

    # --- what merchants see

    async def post(self, path: str, body: object, key: str) -> Heard:
        """One POST. Raises ConnectionLost where the process died before it answered."""
        return await self._request("POST", path, msgspec.json.encode(body), self._merchants({"Idempotency-Key": key, **_JSON}))

    async def get(self, path: str) -> Heard:
        """One GET. Raises ConnectionLost."""
        return await self._request("GET", path, b"", self._merchants({}))

    async def patch(self, path: str, body: object) -> Heard:
        """One PATCH. Raises ConnectionLost."""
        return await self._request("PATCH", path, msgspec.json.encode(body), self._merchants(_JSON))

    async def told(self, request: HttpRequest) -> Heard | None:
        """What a PSP posts. None where the process died before it answered, or there was none."""
        try:
            return await self._request(request.method, request.path, request.body, dict(request.headers))
        except ConnectionLost:
            return None

    def _merchants(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.merchant_key}", **headers}

    async def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Heard:
        listening = [life for life in self._lives if life.open]
        if not listening:
            await trio.sleep(0.1)
            raise ConnectionLost
        life = listening[0] if len(listening) == 1 else self.world.wire.choice(listening)
        heard: Heard | None = None
        life.requests += 1
        with trio.CancelScope() as scope:
            self.world.at_death(life.generation, scope)
            try:
                heard = await self._call(life, method, path, body, headers)
            except Dead:
                heard = None
            except BaseExceptionGroup as group:
                _, rest = group.split(Dead)
                if rest is not None:
                    raise rest from None  # cancellations among them: the scope above knows its own
            finally:
                self.world.forget(life.generation, scope)
                self._answered(life)
        if heard is None or not self.world.lives(life.generation):
            raise ConnectionLost
        return heard

    @staticmethod
    def _answered(life: Life) -> None:
        life.requests -= 1
        if not life.requests:
            life.idle.set()
            life.idle = trio.Event()

    @staticmethod
    async def _call(life: Life, method: str, path: str, body: bytes, headers: dict[str, str]) -> Heard:
        client = life.platform.asgi.test_client()
        send = {"GET": client.get, "PATCH": client.patch, "POST": client.post}[method]
        response = await send(path, data=body or None, headers=headers)
        data = await response.get_data(as_text=False)
        shown = {name.lower(): value for name, value in response.headers.items()}
        return Heard(status=response.status_code, body=data, headers=shown, generation=life.generation)

    async def enrol(self) -> None:
        """Adds the merchant as the command line does. Before the first life."""
        world = self.world
        generation = world.begin_life()
        connection = await connection_class(world, generation).connect(world.database.app, session=Session(application_name="enrolment"))
        registrar = Registrar(
            connection,
            master=self.settings.needed("secret_key"),
            clock=SimulatedClock(world),
            entropy=SimulatedEntropy(world),
            actor="system",
            cause="enrolment",
        )
        granted = await registrar.add_merchant("Simulated shop", KeyMode.TEST)
        self.merchant_id, self.merchant_key = granted.id, granted.key.text.reveal()
        await connection.close()
        world.end_life(generation)
        world.cut_connections(generation)

    async def judge(self) -> Connection:
        """A connection for the last look, which no misfortune reaches. Once the world is healed."""
        return await connection_class(self.world, self.world.begin_life()).connect(
            self.world.database.app, session=Session(application_name="judge")
        )
