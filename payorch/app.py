"""The way into the composition: from settings to a platform that serves, until it is asked to stop.

It opens what the platform stands on (pool, door, network), starts the tree, and drains it at the end, each step within its time. What the
tree consists of is `payorch.platform`.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

import structlog
import trio

from payorch.door import Door, DoorLimits
from payorch.network import Network, NetworkLimits
from payorch.platform import Platform, Ports, StoreAccess
from payorch.settings import Settings
from payorch.store import migrate
from payorch.store.driver import Connection, Session
from payorch.store.journal import WRITER_SESSION
from payorch.store.pool import Pool
from payorch.system import SystemClock, SystemEntropy, SystemProcess
from payorch.telemetry import Metrics

log = structlog.get_logger("payorch.app")

_GENERATION_0: Final = 50_000  # measured: a full collection with 100,000 live actors stops everything for 0.6 s


async def serve(
    settings: Settings,
    *,
    on_ready: Callable[[str], None],
    stop: trio.Event | None = None,
    reread: Callable[[], Settings] | None = None,
) -> None:
    """Runs the platform until SIGTERM, SIGINT or `stop`, then drains it; a second signal ends it now. SIGHUP: new rules of routing.

    reread: the settings as they are written now; raises SettingsInvalid. on_ready: told the base URL once requests are taken. Raises
    SchemaMismatch, CannotListen, DatabaseUnavailable, and what a platform that cannot go on dies of.
    """
    pool = _make_pool(settings)
    try:
        async with pool.lease() as connection:
            await migrate.check(connection)
        platform, door = _make_platform(settings, pool, reread)
        [(host, port), *_] = await door.open(settings.http.host, settings.http.port)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                await nursery.start(door.serve)
                await nursery.start(_run_until_it_ends, platform, nursery.cancel_scope)
                nursery.start_soon(_reload_when_asked, platform)
                _tune_collector()
                on_ready(f"http://{host}:{port}")
                await _until_asked_to_stop(signals, stop)
                nursery.start_soon(_second_signal_ends_it, signals, nursery.cancel_scope)
                await _drain(platform, door, settings)
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await pool.aclose()


def _make_pool(settings: Settings) -> Pool:
    database = settings.database
    return Pool(
        settings.needed("database_url").reveal(),
        size=database.pool_size,
        connect_timeout_seconds=database.connect_timeout_seconds,
        answer_within_seconds=database.answer_within_seconds,
        lease_within_seconds=database.lease_within_seconds,
        session=_session(settings, Session(application_name="payorch")),
    )


def _session(settings: Settings, base: Session) -> Session:
    database = settings.database
    return replace(
        base,
        statement_timeout_seconds=database.statement_timeout_seconds,
        lock_timeout_seconds=database.lock_timeout_seconds,
        idle_in_transaction_seconds=database.idle_in_transaction_timeout_seconds,
    )


def _make_platform(settings: Settings, pool: Pool, reread: Callable[[], Settings] | None) -> tuple[Platform, Door]:
    http, database = settings.http, settings.database
    clock = SystemClock()
    connectors = settings.enabled_connectors().values()
    limits = NetworkLimits(
        response_bytes=max(one.response_limit_bytes for one in connectors),
        keepalive_seconds=min(one.keep_alive_seconds for one in connectors),
    )
    door = Door(
        DoorLimits(
            max_connections=http.connections_limit,
            header_bytes=http.header_limit_bytes,
            header_seconds=http.header_deadline_seconds,
            keep_alive_seconds=http.keep_alive_seconds,
        )
    )

    async def connect() -> Connection:
        return await Connection.connect(
            settings.needed("database_url").reveal(),
            connect_timeout_seconds=database.connect_timeout_seconds,
            answer_within_seconds=database.answer_within_seconds,
            session=_session(settings, WRITER_SESSION),
        )

    ports = Ports(clock=clock, entropy=SystemEntropy(clock), network=Network(limits), process=SystemProcess.from_environment())
    store = StoreAccess(pool=pool, connect=connect)
    return Platform(settings, ports=ports, store=store, metrics=Metrics.create(), door=door, reread=reread), door


async def _run_until_it_ends(
    platform: Platform, everything: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    await platform.run(task_status=task_status)
    everything.cancel()


async def _until_asked_to_stop(signals: AsyncIterator[int], stop: trio.Event | None) -> None:
    async with trio.open_nursery() as nursery:

        async def heard() -> None:
            await anext(signals)
            nursery.cancel_scope.cancel()

        nursery.start_soon(heard)
        if stop is not None:
            await stop.wait()
            nursery.cancel_scope.cancel()


async def _reload_when_asked(platform: Platform) -> None:
    """For ever: a hang-up is the old way to tell a process that its configuration has changed."""
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        async for _ in signals:
            platform.reload_routing(actor="system", cause="SIGHUP")


async def _second_signal_ends_it(signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
    await anext(signals)
    log.warning("platform.stopped_now", detail="a second signal: calls under way become unknown outcomes and are asked about later")
    everything.cancel()


async def _drain(platform: Platform, door: Door, settings: Settings) -> None:
    """No new requests; those under way end, PSP calls are waited for, then the tree stops in reverse order. Bounded at each step."""
    half = settings.http.drain_seconds / 2
    platform.operations.stop_watching()  # listeners would stay to the end
    cut = await door.drain(half)
    await platform.finish_calls(half)
    left = sum(actor.statistics().in_flight for actor in platform.connectors.values())
    log.info("platform.drained", requests_cut=cut, calls_under_way=left)
    await platform.stop()  # each of its parts within actors.shutdown_seconds


def _tune_collector() -> None:
    """What lives now lives for long: keep it out of every later collection, and collect the young ones rarely (MEASURED.md 3)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GENERATION_0, 20, 50)
