"""The whole platform beside its three simulated PSPs, in memory and virtual time, for as many days as a test wants.

Everything is the real thing but sockets and clocks: the composition root, its PostgreSQL, the connectors, the PSPs' dialects with their
ledgers, webhooks and settlement reports, and the settings by which `payorch up` leads the one to the other. The wall clock is turned from
hour to hour, so that a month is a few minutes of trio's time. What PostgreSQL does takes none.

Not here: what happens in a month (`trade`), what comes of it (`test_month`, `test_faults`).
"""

from __future__ import annotations

import base64
import json
import select
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import trio
from psycopg import waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.waiting import Ready, Wait

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulated import SIMULATED
from connectors.simulator import control, dashboard, faults, settlement, webhooks
from connectors.simulator.dialect import Dialect
from connectors.simulator.dialect import Settings as DialectSettings
from connectors.simulator.faults import FaultState
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Due, Target
from payorch import books, simulator_identity
from payorch.access import Registrar
from payorch.domain.roles import Role
from payorch.keys import KeyMode
from payorch.operations.reconciliation_edge import zones
from payorch.platform import Platform, Ports, StoreAccess
from payorch.ports import OutcomeLost, Timeouts
from payorch.psp_books import PspBooks, _decoder
from payorch.reconciliation_desk import Desk, Worker
from payorch.settings import Settings, load
from payorch.simulator_settings import connector_overrides, fee_overrides
from payorch.store import rows
from payorch.store.driver import Connection, Session
from payorch.store.journal import WRITER_SESSION
from payorch.store.pool import Pool
from payorch.store.query import all_rows
from payorch.telemetry import Metrics
from tests.conftest import Database

PSPS: Final = tuple(SIMULATED)
SECRET_KEY: Final = base64.b64encode(bytes(range(48))).decode()
WINDOW_DAYS: Final = 10
CLOSE_HOUR: Final = 11
"""Later than the reports of the day before are there, by the clock of each PSP."""
SWEEP_SECONDS: Final = 4.0
"""Nobody waits for a sweep here, and each is a look into the database."""
_LOCKED_AFTER_MS: Final = 20
"""A statement that takes longer waits for a lock, or the machine is busy; both are no harm."""

Result = TypeVar("Result")


# --- ports ------------------------------------------------------------------------------------------------------------------------------


class WallClock:
    """The time of day: goes on with trio's clock, and in jumps by hand."""

    def __init__(self, begins: datetime) -> None:
        self._begins = begins
        self._later = timedelta(0)

    def now(self) -> datetime:
        return self._begins + self._later + timedelta(milliseconds=round(trio.current_time() * 1000))

    def turn_to(self, moment: datetime) -> None:
        """It is that moment now; never earlier than it was."""
        assert moment >= self.now(), f"{moment} is over"
        self._later += moment - self.now()


class Dice:
    """Ids in order, and chance that is the same in every run."""

    def __init__(self, clock: WallClock) -> None:
        self._clock = clock
        self._dice = Random("a month")
        self._last = 0

    def identifier(self) -> UUID:
        milliseconds = int(self._clock.now().timestamp() * 1000)
        self._last = max(self._last + 1, milliseconds << 74 | self._dice.getrandbits(74))
        high, low = self._last >> 62, self._last & (1 << 62) - 1
        return UUID(int=high >> 12 << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low)

    def fraction(self) -> float:
        return self._dice.random()

    def secret(self, size_bytes: int) -> bytes:
        return self._dice.randbytes(size_bytes)


class Undying:
    def reached(self, point: str) -> None:
        """This process lives as long as its test."""


class PatientConnection(Connection):
    """Waits for PostgreSQL without letting go of the loop, so that virtual time stands still meanwhile."""

    def __del__(self, warn: object = None) -> None:
        """Where a test fails, nobody closes what the platform has open: no second thing to warn about."""

    async def wait(self, gen: PQGen[Result], interval: float = 0.0, timeout: float | None = None) -> Result:
        await trio.lowlevel.cancel_shielded_checkpoint()
        try:
            want = next(gen)
            while True:
                want = gen.send(await self._ready(want))
        except StopIteration as finished:
            return cast(Result, finished.value)

    async def _ready(self, want: Wait) -> int:
        """Waits for the server. Only where that waits in turn for a lock, which another task of ours may hold, the others go on."""
        poll = select.poll()
        poll.register(self.pgconn.socket, (select.POLLIN if want & Wait.R else 0) | (select.POLLOUT if want & Wait.W else 0))
        while not (seen := poll.poll(_LOCKED_AFTER_MS)):
            await trio.lowlevel.cancel_shielded_checkpoint()
        [(_, events)] = seen
        writable = events & select.POLLOUT
        return (Ready.R if events & ~select.POLLOUT else 0) | (Ready.W if writable else 0)

    @classmethod
    async def wait_connecting(cls, gen: PQGenConn[Result], within_seconds: float) -> Result:
        await trio.lowlevel.checkpoint()
        return waiting.wait_conn(gen, interval=0.1, timeout=within_seconds)


# --- the PSPs ---------------------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Psp:
    """One simulated PSP. mute: it does what it is told to, and neither answers nor webhooks arrive. lost: how many of them did not."""

    name: str
    dialect: Dialect
    ledger: Ledger
    clock: WallClock
    state: FaultState = field(default_factory=FaultState)
    mute: bool = False
    lost: int = 0
    moved: trio.Event = field(default_factory=trio.Event)

    def wake(self) -> None:
        self.moved.set()
        self.moved = trio.Event()

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """What is answered. Raises OutcomeLost."""
        reply = self.dialect.handle(self.ledger, request, self.clock.now())
        self.wake()
        if self.mute:
            self.lost += 1
            raise OutcomeLost("reset", self.name)
        return reply.response

    def report(self, day: date) -> bytes:
        """The settlement report of that day, as it can be fetched."""
        target = f"{settlement.PATH}/{day}"
        request = HttpRequest(method="GET", path=target, headers=(), body=b"")
        reporting = SIMULATED[self.name].settlement
        answer, self.state = settlement.answer(self.ledger, self.dialect, reporting, self.state, request, target, self.clock.now())
        assert answer.status == 200, answer.body
        return answer.body

    def do(self, payment: str, deed: str) -> None:
        """Somebody does that to a payment at the PSP itself; or the shopper's bank does."""
        body = json.dumps({"payment": payment, "do": deed}).encode()
        request = HttpRequest(method="POST", path=dashboard.PATH, headers=(("content-type", "application/json"),), body=body)
        answer = dashboard.answer(self.ledger, self.dialect, request, self.clock.now())
        assert answer.status == 200, (deed, answer.body)
        self.wake()

    def put_in_force(self, fault: str) -> None:
        """The next booking that this fault can befall is befallen by it."""
        _, self.state = faults.add(self.state, {"fault": fault, "count": 1}, self.clock.now())

    async def tell(self, platform: Platform) -> None:
        """Posts its webhooks when they are due, until cancelled."""
        dice = Random(self.name)
        while True:
            moved, now = self.moved, self.clock.now()
            self.dialect.due(self.ledger, now)
            due, self.state = webhooks.take(self.ledger, self.state, dice, now, limit=100)
            for one in due:
                await self._post(platform, one)
            moments = [one for one in (self.ledger.outbox.next_due(self.clock.now()), self.ledger.next_due()) if one is not None]
            pause = max(0.01, (min(moments) - self.clock.now()).total_seconds()) if moments else float("inf")
            with trio.move_on_after(pause):
                await moved.wait()

    async def _post(self, platform: Platform, due: Due) -> None:
        target = self.ledger.outbox.target
        assert target is not None
        answers: list[tuple[webhooks.Post, webhooks.Answer]] = []
        for post in webhooks.posts(self.dialect, target, due, self.clock.now()):
            if self.mute:
                self.lost += 1
                answers.append((post, 200))  # the PSP believes that it was heard, and does not say it again
                continue
            request = post.request
            response = await platform.asgi.test_client().post(request.path, data=request.body, headers=dict(request.headers))
            assert 200 <= response.status_code < 300, (self.name, response.status_code, await response.get_data())
            answers.append((post, response.status_code))
        webhooks.settle(self.ledger, due, answers, self.clock.now())


class Wire:
    """The way to the PSPs, by their addresses."""

    def __init__(self, psps: Mapping[str, Psp]) -> None:
        self._psps = psps

    def channel(self, base_url: str) -> Line:
        return Line(self._psps[base_url])

    def merchant_channel(self, url: str, *, local: bool) -> Line:
        raise AssertionError("no merchant has an endpoint here")


class Line:
    def __init__(self, psp: Psp) -> None:
        self._psp = psp

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        await trio.sleep(0.02)
        response = self._psp.exchange(request)
        await trio.sleep(0.02)
        return response

    async def aclose(self) -> None:
        """Nothing is held open."""


class BooksInMemory(PspBooks):  # type: ignore[misc]  # final for the product; here only the way to the books is another
    def __init__(self, psps: Mapping[str, Psp]) -> None:
        super().__init__(dict.fromkeys(psps, ""))
        self._psps = psps

    async def _page(self, client: object, name: str, url: str, since: int) -> Any:
        psp, target = self._psps[name], f"/_ledger?since={since}"
        request = HttpRequest(method="GET", path=target, headers=(), body=b"")
        response, _ = control.answer(psp.ledger, psp.state, request, target, psp.clock.now())
        return _decoder.decode(response.body)


# --- the world --------------------------------------------------------------------------------------------------------------------------


class Town:
    """The platform, its PSPs, a merchant with an order book, and people in finance. Made by `town`."""

    def __init__(self, database: Database, begins: date, folder: Path) -> None:
        self.clock = WallClock(datetime(begins.year, begins.month, begins.day, 7, tzinfo=UTC))
        self.dice = Dice(self.clock)
        self.urls = {name: f"http://127.0.0.1:{4001 + place}" for place, name in enumerate(PSPS)}
        identity = simulator_identity.kept(folder, self.clock.now())
        self.psps = {
            name: Psp(
                name,
                SIMULATED[name].dialect(DialectSettings(base_url=url, signing_key=identity.key, certificates=identity.certificates)),
                Ledger(psp=name, seed=1),
                self.clock,
            )
            for name, url in self.urls.items()
        }
        self.settings = self._settings(database, folder / simulator_identity.ANCHOR)
        self.zones = zones(self.settings, cast(Any, self.settings.connectors))
        self._database = database
        self._keys = 0
        self.merchant_key = self.operator_token = ""
        self.platform: Platform
        self.connection: Connection

    def _settings(self, database: Database, anchors: Path) -> Settings:
        shipped = load({})
        secrets = {name: SIMULATED[name].webhook_secret(self.dice.secret(32)) for name in PSPS}
        for name, psp in self.psps.items():
            with psp.ledger.transaction():
                psp.ledger.outbox.point(Target(url=f"http://127.0.0.1:8080/webhooks/{name}", secret=secrets[name]), self.clock.now())
        quick = {
            "actors.sweep_seconds": SWEEP_SECONDS,
            "inbox.sweep_seconds": SWEEP_SECONDS,
            "inbox.housekeeping_seconds": 10 * SWEEP_SECONDS,
            "deliveries.sweep_seconds": 10 * SWEEP_SECONDS,
            "routing.reload_seconds": 10 * SWEEP_SECONDS,
            "reconciliation.sweep_seconds": SWEEP_SECONDS,
            "reconciliation.unmatched_seconds": SWEEP_SECONDS,
            "reconciliation.clock_seconds": SWEEP_SECONDS,
            "reconciliation.close_hour": CLOSE_HOUR,
            "reconciliation.window_days": WINDOW_DAYS,
        }
        return load(
            {},
            overrides={
                "database_url": database.app,
                "secret_key": SECRET_KEY,
                "operators.token_idle_days": 365,  # weeks pass, and without a door no auditor notes its use
                **connector_overrides(shipped, list(PSPS), self.urls, secrets, anchors),
                **fee_overrides(shipped, PSPS),
                **quick,
            },
            overrides_from="a month",
        )

    # --- time

    def turn_to(self, day: date, hour: int, minute: int = 0) -> None:
        """It is that time of that day, UTC."""
        self.clock.turn_to(datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC))
        for psp in self.psps.values():
            psp.wake()

    @staticmethod
    async def a_while(sweeps: float = 2.5) -> None:
        """Lets everything happen that happens by itself."""
        await trio.sleep(sweeps * SWEEP_SECONDS)

    # --- what merchants do

    async def post(self, path: str, body: object) -> dict[str, Any]:
        """One POST of the merchant's, which is taken."""
        self._keys += 1
        headers = {"Authorization": f"Bearer {self.merchant_key}", "Idempotency-Key": f"key-{self._keys}"}
        response = await self.platform.asgi.test_client().post(path, json=body, headers=headers)
        answer: dict[str, Any] = json.loads(await response.get_data())
        assert response.status_code in (200, 201, 202), (path, body, answer)
        return answer

    async def payment(self, payment_id: str) -> dict[str, Any]:
        """The payment as it is shown now."""
        headers = {"Authorization": f"Bearer {self.merchant_key}"}
        response = await self.platform.asgi.test_client().get(f"/v1/payments/{payment_id}", headers=headers)
        shown: dict[str, Any] = json.loads(await response.get_data())
        return shown

    # --- what people in finance do

    async def bring(self, psp: str, day: date) -> dict[str, Any]:
        """Fetches that PSP's report of that day and uploads it, as an operator does."""
        content = self.psps[psp].report(day)
        headers = {"Authorization": f"Bearer {self.operator_token}", "Content-Type": "text/csv"}
        client = self.platform.asgi.test_client()
        response = await client.post(f"/ops/v1/settlements/{psp}?name={psp}-{day}.csv", data=content, headers=headers)
        answer: dict[str, Any] = json.loads(await response.get_data())
        terms, ledger = SIMULATED[psp].settlement.terms, self.psps[psp].ledger
        if response.status_code == 400 and not ledger.reported.count(terms.begins(day), terms.ends(day)):
            assert "has a line at least" in answer["detail"], answer  # a heading over nothing
            return answer
        assert response.status_code in (200, 201), answer
        assert answer["bad_rows"] or all(tie["holds"] for tie in answer["ties"]), answer
        return answer

    async def bring_all(self, day: date) -> None:
        """The reports of all PSPs of that day."""
        for psp in PSPS:
            await self.bring(psp, day)

    def desk(self) -> Desk:
        """Where somebody works on findings and days."""
        return Desk(
            self.connection, clock=self.clock, entropy=self.dice, who=Worker(actor="operator:olga", person="olga"), cause="a month",
            policy=self.settings.reconciliation.policy(), zones=self.zones,
        )  # fmt: skip

    # --- what there is

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return await all_rows(self.connection, query, list(parameters))

    async def findings(self) -> list[tuple[str, str, str]]:
        """(connector, kind, state), in order."""
        return await self.rows("SELECT connector, kind, state FROM payorch.reconciliation_findings ORDER BY connector, kind, id")

    async def explained(self) -> list[str]:
        """What each finding says, for the report of a failure."""
        query = """SELECT connector || ' ' || day || ' ' || kind || ' ' || state || ': ' || detail || ' ' || coalesce(payment_id::text, '')
            FROM payorch.reconciliation_findings ORDER BY id"""
        return [text for (text,) in await self.rows(query)]

    async def movements(self) -> dict[str, int]:
        """How many movements stand under which word."""
        return dict(await self.rows("SELECT settlement, count(*)::integer FROM payorch.movements GROUP BY settlement"))

    async def books(self) -> books.Verdict:
        """The books check, beside the PSPs' own ledgers."""
        with BooksInMemory(self.psps) as theirs:
            return await books.examine(self.connection, theirs, books.Scope(), now=self.clock.now, settle_seconds=0)

    # --- how it runs

    async def enrol(self) -> None:
        """A merchant and an operator, before the platform starts."""
        connection = await PatientConnection.connect(self._database.app, session=Session(application_name="enrolment"))
        registrar = Registrar(
            connection, master=self.settings.needed("secret_key"), clock=self.clock, entropy=self.dice, actor="system", cause="enrolment"
        )
        self.merchant_key = (await registrar.add_merchant("Shop", KeyMode.TEST)).key.text.reveal()
        self.operator_token = (await registrar.add_operator("olga", "olga", Role.OPERATOR, KeyMode.TEST)).key.text.reveal()
        await connection.close()

    def make_platform(self) -> Platform:
        """The composition root, with this world for its ports."""
        url = self.settings.needed("database_url").reveal()
        pool = Pool(
            url, size=4, connect_timeout_seconds=5, answer_within_seconds=30, lease_within_seconds=2,
            session=Session(application_name="month"), connection_class=PatientConnection,
        )  # fmt: skip

        async def connect() -> Connection:
            return await PatientConnection.connect(url, session=WRITER_SESSION)

        network = Wire({self.urls[name]: psp for name, psp in self.psps.items()})
        ports = Ports(clock=self.clock, entropy=self.dice, network=network, process=Undying())
        self._pool = pool
        return Platform(self.settings, ports=ports, store=StoreAccess(pool=pool, connect=connect), metrics=Metrics.create())


@asynccontextmanager
async def town(database: Database, begins: date, folder: Path) -> AsyncIterator[Town]:
    """A town in which nothing has happened yet, at seven o'clock UTC of that day."""
    made = Town(database, begins, folder)
    await made.enrol()
    made.connection = await PatientConnection.connect(database.app, session=Session(application_name="judge"))
    rows.register(made.connection)
    made.platform = made.make_platform()
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(made.platform.run)
            for psp in made.psps.values():
                nursery.start_soon(psp.tell, made.platform)
            yield made
            await made.platform.stop()
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await made._pool.aclose()
            await made.connection.close()
        for psp in made.psps.values():
            psp.ledger.close()
