"""One life of the whole platform in a `World`, and the loop that starts the next one after each power cut.

The platform is the real one, from the composition root down to SQL; only its five ports lead into the world. Merchants reach it through the
ASGI application; a power cut takes the requests under way along, and their merchants learn nothing (`ConnectionLost`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import trio

from payorch.access import Registrar
from payorch.keys import KeyMode
from payorch.platform import Platform, Ports, StoreAccess
from payorch.settings import Settings, load
from payorch.store.driver import Connection, Session
from payorch.store.journal import WRITER_SESSION
from payorch.store.pool import Pool
from payorch.telemetry import Metrics
from tests.simulation.ports import (
    SimulatedClock,
    SimulatedEntropy,
    SimulatedNetwork,
    SimulatedProcess,
    connection_class,
)
from tests.simulation.world import BASE_URL, Dead, World

SECRET_KEY: Final = base64.b64encode(bytes(range(48))).decode()
LONGEST_PAUSE_SECONDS: Final = 3.0


class ConnectionLost(Exception):
    """The request reached a process that died before it answered, or none at all. What became of it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a merchant was answered."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], msgspec.json.decode(self.body))


def settings_for(world: World, *, sweep_seconds: float) -> Settings:
    """The shipped configuration with shorter patience, so that a simulated hour holds many lives."""
    return load(
        {},
        overrides={
            "database_url": world.database.app,
            "secret_key": SECRET_KEY,
            "connectors.stripe.base_url": BASE_URL,
            "connectors.stripe.api_key": "sk_test_simulated",
            "connectors.stripe.connections": 4,
            "connectors.stripe.read_timeout_seconds": 6.0,
            "connectors.stripe.total_timeout_seconds": 8.0,
            "actors.sweep_seconds": sweep_seconds,
            "actors.restart_intensity": 1000,
        },
        overrides_from="the simulation",
    )


class Runtime:
    """The platform in its present life. `post` and `get` are what merchants see of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = settings_for(world, sweep_seconds=1.0)
        self.merchant_id = ""
        self.merchant_key = ""
        self._platform: Platform | None = None
        self._requests: trio.CancelScope | None = None
        self._up = trio.Event()

    async def live(self) -> None:
        """Life after life, until cancelled."""
        while True:
            try:
                await self._one_life()
            except Dead:
                self._platform, self._up = None, trio.Event()
                pause = self.world.fate.random() * LONGEST_PAUSE_SECONDS
                await trio.sleep(pause)

    def heal(self) -> None:
        """No more misfortune but one last restart, after which timers are looked at rarely: what follows is days, not seconds."""
        self.world.healed = True
        self.settings = settings_for(self.world, sweep_seconds=120.0)
        self.world.end_life()

    async def _one_life(self) -> None:
        world = self.world
        pool = Pool(
            self.settings.needed("database_url").reveal(),
            size=4,
            connect_timeout_seconds=5,
            answer_within_seconds=30,
            lease_within_seconds=10,
            session=Session(application_name="simulation"),
            connection_class=connection_class(world, breaks=False),
        )
        writer = connection_class(world, breaks=True)

        async def connect() -> Connection:
            return await writer.connect(self.settings.needed("database_url").reveal(), session=WRITER_SESSION)

        clock = SimulatedClock(world)
        ports = Ports(clock=clock, entropy=SimulatedEntropy(world), network=SimulatedNetwork(world), process=SimulatedProcess(world))
        platform = Platform(self.settings, ports=ports, store=StoreAccess(pool=pool, connect=connect), metrics=Metrics.create())
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(platform.run)
                world.note("life", str(world.generation))
                self._platform, self._requests = platform, nursery.cancel_scope
                self._up.set()
        except BaseExceptionGroup as group:
            dead, rest = group.split(Dead)
            if rest is not None or dead is None:
                raise
            raise Dead("the power went") from None
        finally:
            self._platform = None
            world.cut_connections()

    # --- what merchants see

    async def post(self, path: str, body: object, key: str) -> Heard:
        """One POST. Raises ConnectionLost where the process died before it answered."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return await self._request("POST", path, msgspec.json.encode(body), headers)

    async def get(self, path: str) -> Heard:
        """One GET. Raises ConnectionLost."""
        return await self._request("GET", path, b"", {})

    async def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Heard:
        platform, generation = self._platform, self.world.generation
        if platform is None:
            await trio.sleep(0.1)
            raise ConnectionLost
        heard: Heard | None = None
        with trio.CancelScope() as scope:
            self.world.at_death(scope)
            try:
                heard = await self._call(platform, method, path, body, headers)
            except Dead:
                heard = None
            except BaseExceptionGroup as group:
                _, rest = group.split(Dead)
                if rest is not None:
                    raise rest from None  # cancellations among them: the scope above knows its own
            finally:
                self.world.forget(scope)
        if heard is None or generation != self.world.generation:
            raise ConnectionLost
        return heard

    async def _call(self, platform: Platform, method: str, path: str, body: bytes, headers: dict[str, str]) -> Heard:
        client = platform.asgi.test_client()
        send = client.post if method == "POST" else client.get
        response = await send(path, data=body or None, headers={"Authorization": f"Bearer {self.merchant_key}", **headers})
        data = await response.get_data(as_text=False)
        return Heard(status=response.status_code, body=data, headers=dict(response.headers.items()))

    async def enrol(self) -> None:
        """Adds the merchant as the command line does. Before the first life."""
        world = self.world
        connection = await connection_class(world, breaks=False).connect(world.database.app, session=Session(application_name="enrolment"))
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
