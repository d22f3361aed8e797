"""`payorch up`: the whole platform for a developer on one machine, from one command, and away again with Ctrl-C.

    data folder (0700)
    ├── up.lock             held by the `up` that runs
    ├── secret.key (0600)   the master key, made once
    ├── simulators.anchor.pem (0600)   the authority behind the simulated PSPs' certificates, for the platform to trust
    ├── credentials.json (0600)   what to call it with
    ├── settlements/        PSPs' settlement reports that are put here are imported
    ├── postgres/           the embedded server's
    └── simulators.json, simulators.lock, simulators.log, *.ledger.sqlite3    the simulated PSPs', who run as a process of their own

Beside it, in `<data folder>-anchors`, the journal's anchors.

PostgreSQL and the simulators outlive a `kill -9` of this process, and the next `up` finds them again. Not for production. Not here: what a
platform consists of (`payorch.app`), a database server (`payorch.store.embedded`), a simulator (`payorch.simulators`).
"""

from __future__ import annotations

import base64
import errno
import getpass
import importlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import psycopg
import trio

from connectors.simulated import SIMULATED
from payorch import access, configuration, database, doctor, psp_process
from payorch.banner import banner
from payorch.demo_access import demo_access
from payorch.folders import make_private_folder, only_one, write_private
from payorch.keys import Secret
from payorch.psp_process import Simulators
from payorch.sections import DatabaseSettings
from payorch.settings import Settings, load
from payorch.simulator_identity import ANCHOR
from payorch.simulator_settings import connector_overrides, fee_overrides, simulated_connectors
from payorch.store import embedded
from payorch.store.driver import Connection
from payorch.store.embedded import Cluster
from payorch.store.pool import DatabaseUnavailable
from payorch.system import SeededFractions, SystemClock, SystemEntropy

"""Two people, so that four eyes can be tried: the first asks, the second approves."""

# The simulators' ports come after the API's, so that several stacks on one machine stay apart and keep their addresses.
_SIMULATORS_AFTER: Final = 10
_SECRET_KEY_BYTES: Final = 48
_WEBHOOK_SECRET_BYTES: Final = 32

_NOT_TAKEN: Final = frozenset(configuration.variable((name,)) for name in ("database_url", "migration_database_url"))


class CannotStart(Exception):
    """The local stack cannot be brought up. The text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What `payorch up` was asked for. `port`: None takes the configured one, 0 any free one. `traffic`: payments a second. `console`: in
    this terminal, and its end is the end of all.
    """

    data_dir: Path
    port: int | None = None
    console: bool = False
    traffic: float | None = None
    seed: int = 0


async def up(wishes: Wishes, *, say: Callable[[str], None]) -> None:
    """Runs everything until SIGINT or SIGTERM, then stops it in reverse order; a second signal stops it now.

    `say` shows lines to the person. Raises CannotStart, and what the parts raise: SettingsInvalid, ClusterError, MigrationFailed, ...
    """
    make_private_folder(wishes.data_dir)
    with only_one(wishes.data_dir / "up.lock", f"another `payorch up` is running with {wishes.data_dir}"):
        stack = LocalStack(wishes, say)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stack.listen_to, signals)
                await stack.run()
                nursery.cancel_scope.cancel()


@final
class LocalStack:
    """The parts that have been started so far, and how to stop them."""

    def __init__(self, wishes: Wishes, say: Callable[[str], None]) -> None:
        self._wishes = wishes
        self._say = say
        self._clock = SystemClock()
        self._entropy = SystemEntropy(self._clock)
        self._patience = trio.CancelScope()
        self._cluster: Cluster | None = None
        self._simulators: Simulators | None = None
        self._urls: Mapping[str, str] = {}
        self._seen: Counter[str] = Counter()
        self._overrides: Mapping[str, object] = {}

    async def listen_to(self, signals: Any) -> None:
        """A signal ends the starting, or the patience of the stopping. While the platform serves, it takes signals itself."""
        async for _ in signals:
            self._patience.cancel()

    async def run(self) -> None:
        """Start, serve, and stop whatever was started, however it ends."""
        try:
            settings: Settings | None = None
            with trio.CancelScope() as self._patience:
                settings = await self._start()
            if settings is not None:
                await self._serve(settings)
        finally:
            with trio.CancelScope(shield=True):
                await self._stop()

    # --- starting

    async def _start(self) -> Settings:
        """Everything that the platform stands on. Returns the platform's settings, with credentials.json written."""
        wishes = self._wishes
        outside = load(self._environment(), overrides={} if wishes.port is None else {"http.port": wishes.port}, overrides_from="--port")
        port = free_port(outside.http.host, outside.http.port)
        for name in _NOT_TAKEN.intersection(os.environ):
            self._say(f"{name} is not used: `up` has a database of its own; `payorch serve` takes yours")
        secret_key = outside.secret_key.get_secret_value() if outside.secret_key else self._secret_key()
        async with trio.open_nursery() as nursery:  # three waits at once: two other processes, and the platform's imports
            nursery.start_soon(self._start_database, outside.database)
            nursery.start_soon(self._start_simulators, simulated_connectors(outside), port + _SIMULATORS_AFTER)
            nursery.start_soon(_import_platform)
        assert self._cluster is not None, "the nursery has ended well"
        known = read_credentials(wishes.data_dir)
        webhook_secrets = {name: known.get("webhook_secrets", {}).get(name) or self._webhook_secret(name) for name in self._urls}
        overrides = {
            "environment.name": "local",
            "environment.kind": "sim",
            "http.port": port,
            "database_url": self._cluster.conninfo(),
            "migration_database_url": self._cluster.conninfo(role=embedded.OWNER_ROLE),
            "secret_key": secret_key,
            "deliveries.local": True,  # a developer's endpoints are on his own machine
            "reconciliation.drop_folder": str(self._drop_folder(outside)),
            "audit.anchor_folder": outside.audit.anchor_folder or str(anchors_beside(wishes.data_dir)),
            **connector_overrides(
                outside, simulated_connectors(outside), self._urls, webhook_secrets, (wishes.data_dir / ANCHOR).absolute()
            ),
        }
        self._overrides = overrides
        settings = self._reread()
        signing = {name: _first_secret(settings, name) for name in self._urls}
        if self._simulators is not None:
            await self._simulators.post_webhooks_to({name: f"{_local_url(settings)}/webhooks/{name}" for name in signing}, signing)
        whole = {
            "base_url": _local_url(settings),
            **await demo_access(settings, known, clock=self._clock, entropy=self._entropy),
            "webhook_secrets": signing,
            "simulators": dict(self._urls),
        }
        write_private(wishes.data_dir / "credentials.json", json.dumps(whole, indent=2) + "\n")
        return settings

    async def _start_database(self, settings: DatabaseSettings) -> None:
        with trio.CancelScope(shield=True):  # interrupted half-way, it would leave a server that nobody here knows of
            self._cluster = cluster = await embedded.start(self._wishes.data_dir / "postgres")
        await embedded.ensure_roles(cluster)
        owner = Secret(cluster.conninfo(role=embedded.OWNER_ROLE))
        await database.prepare(owner, settings, now=self._clock.now())

    async def _start_simulators(self, simulated: list[str], port_base: int) -> None:
        if simulated:
            self._simulators = await psp_process.start(self._wishes.data_dir, port_base=port_base, seed=self._wishes.seed)
            self._urls = {name: url for name, url in self._simulators.urls.items() if name in simulated}

    def _environment(self) -> dict[str, str]:
        """Without another database's address: `up` makes merchants and operators, which belong in its own."""
        return {name: value for name, value in os.environ.items() if name not in _NOT_TAKEN}

    def _reread(self) -> Settings:
        """The platform's settings as they are written now, led to what was started, with what that takes for its work."""
        written = load(self._environment())
        return load(self._environment(), overrides={**self._overrides, **fee_overrides(written, self._urls)}, overrides_from="payorch up")

    def _secret_key(self) -> str:
        file = self._wishes.data_dir / "secret.key"
        if not file.exists():
            write_private(file, base64.b64encode(self._entropy.secret(_SECRET_KEY_BYTES)).decode() + "\n")
        return file.read_text().strip()

    def _drop_folder(self, outside: Settings) -> Path:
        """Where reports may be put: the data folder's own, where nobody has chosen another."""
        if outside.reconciliation.drop_folder:
            return Path(outside.reconciliation.drop_folder)
        folder = self._wishes.data_dir.absolute() / "settlements"
        make_private_folder(folder)
        return folder

    def _webhook_secret(self, connector: str) -> str:
        return SIMULATED[connector].webhook_secret(self._entropy.secret(_WEBHOOK_SECRET_BYTES))

    # --- serving

    async def _serve(self, settings: Settings) -> None:
        from payorch import app

        closed = trio.Event()
        async with trio.open_nursery() as nursery:

            def ready(url: str) -> None:
                self._say(banner(settings, url, self._wishes.data_dir, self._urls))
                if self._wishes.traffic:
                    nursery.start_soon(self._trade, url, self._wishes.traffic)
                if self._wishes.console:
                    nursery.start_soon(self._show_console, closed)

            await app.serve(settings, on_ready=ready, reread=self._reread, stop=closed)
            nursery.cancel_scope.cancel()

    async def _show_console(self, closed: trio.Event) -> None:
        """The console has the terminal. It finds its platform by the data folder, as `payorch console` does: no token is an argument."""
        data_dir = str(self._wishes.data_dir.absolute())
        await trio.run_process([sys.executable, "-m", "payorch", "console", "--data-dir", data_dir], stdin=None, check=False)
        closed.set()

    async def _trade(self, url: str, per_second: float) -> None:
        from payorch.traffic import Shop

        shop = Shop(
            base_url=url,
            merchant_key=str(read_credentials(self._wishes.data_dir)["merchant_key"]),
            run=self._entropy.identifier().hex,
            per_second=per_second,
            fraction=SeededFractions(self._wishes.seed).fraction,
        )
        await shop.trade(self._seen)

    # --- stopping

    async def _stop(self) -> None:
        """In reverse order. Another signal ends the patience: then the rest is stopped the hard way."""
        if self._seen:
            self._say("demo payments: " + ", ".join(f"{count} {what}" for what, count in self._seen.most_common()))
        with trio.CancelScope() as self._patience:
            if self._cluster is not None:
                await self._tell_unfinished(self._cluster)
            if self._simulators is not None:
                await self._simulators.stop()
            if self._cluster is not None:
                await self._cluster.stop()
        if self._patience.cancelled_caught:
            if self._simulators is not None:
                self._simulators.kill()
            if self._cluster is not None:
                await self._cluster.stop("immediate")
        if self._cluster is not None:
            self._say("stopped")

    async def _tell_unfinished(self, cluster: Cluster) -> None:
        """How many payments go on at the next start. A database that is gone already is not worth a word here."""
        settings = load({}).database
        with suppress(DatabaseUnavailable, psycopg.Error):
            async with database.connected(Secret(cluster.conninfo()), settings, application_name="payorch-up") as connection:
                row = await (await connection.execute("SELECT count(*) FROM payorch.payments WHERE unfinished")).fetchone()
                if row is not None and row[0]:
                    self._say(f"{row[0]} payments are unfinished; they go on at the next start")


async def _import_platform() -> None:
    """In a thread, since it takes as long as PostgreSQL takes to start."""
    await trio.to_thread.run_sync(importlib.import_module, "payorch.app")


def anchors_beside(data_dir: Path) -> Path:
    """Where a local stack's anchors are kept: not in its data folder, so that they do not go with it."""
    folder = data_dir.absolute()
    return folder.with_name(f"{folder.name}-anchors")


def is_there(data_dir: Path) -> bool:
    """Whether `payorch up` has made a local stack in that folder."""
    return (data_dir / "secret.key").exists()


@asynccontextmanager
async def reachable(data_dir: Path | None) -> AsyncIterator[Settings]:
    """Settings with a database to talk to: the environment's, or that of the local stack in `data_dir`, started for the while if need be.

    Raises SettingsInvalid, CannotStart, ClusterError.
    """
    settings = load()
    if data_dir is None or settings.database_url is not None:
        yield settings
        return
    if not is_there(data_dir):
        raise CannotStart(f"{data_dir} holds no local stack. `payorch up --data-dir {data_dir}` makes one")
    cluster = await embedded.start(data_dir / "postgres")
    try:
        ours: dict[str, object] = {"database_url": cluster.conninfo()}
        if settings.secret_key is None:
            ours["secret_key"] = (data_dir / "secret.key").read_text().strip()
        # Whoever looks at the local stack's payments from outside is to expect the fees that its platform expects.
        if not settings.audit.anchor_folder:
            ours["audit.anchor_folder"] = str(anchors_beside(data_dir))
        ours |= fee_overrides(settings, simulated_in(data_dir))
        yield load(overrides=ours, overrides_from=f"--data-dir {data_dir}")
    finally:
        if not cluster.attached:
            with trio.CancelScope(shield=True):
                await cluster.stop()


@asynccontextmanager
async def connection_to(data_dir: Path | None) -> AsyncIterator[Connection]:
    """One connection of the application role there."""
    async with (
        reachable(data_dir) as settings,
        database.connected(settings.needed("database_url"), settings.database, application_name="payorch-cli") as connection,
    ):
        yield connection


@asynccontextmanager
async def registrar(data_dir: Path | None, *, command: str) -> AsyncIterator[access.Registrar]:
    """Somebody who may hand out access there; the audit record names the system user and the command."""
    clock = SystemClock()
    async with (
        reachable(data_dir) as settings,
        database.connected(settings.needed("database_url"), settings.database, application_name="payorch-cli") as connection,
    ):
        yield access.Registrar(
            connection,
            master=settings.needed("secret_key"),
            clock=clock,
            entropy=SystemEntropy(clock),
            actor=f"cli:{getpass.getuser()}",
            cause=f"payorch {command}",
            tokens=access.TokenRules(days=settings.operators.token_days, idle_days=settings.operators.token_idle_days),
        )


# --- files and ports --------------------------------------------------------------------------------------------------------------------


def read_credentials(data_dir: Path) -> dict[str, Any]:
    """credentials.json as it is; {} where there is none, or not one that can be read."""
    try:
        found = json.loads((data_dir / "credentials.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def simulated_in(data_dir: Path) -> list[str]:
    """The connectors that the last `up` of that folder had simulated."""
    found = read_credentials(data_dir).get("simulators")
    return [name for name in found if name in SIMULATED] if isinstance(found, dict) else []


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0. Raises CannotStart where it is taken: better now than after a database was started."""
    if port == 0:
        return psp_process.any_free_port(host)
    why = doctor.cannot_listen(host, port)
    if why == errno.EADDRINUSE:
        raise CannotStart(f"port {port} on {host} is taken. Stop what uses it, or choose another: payorch up --port {port + 1000}")
    if why is not None:
        raise CannotStart(f"{host}:{port} cannot be listened on: {os.strerror(why)}. Choose another with --port")
    return port


def _first_secret(settings: Settings, connector: str) -> str:
    """What that connector's simulator signs with: the first of the secrets that are valid."""
    return settings.connectors[connector].webhook_secrets()[0]


def _local_url(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)
    return f"http://[{host}]:{settings.http.port}" if ":" in host else f"http://{host}:{settings.http.port}"
