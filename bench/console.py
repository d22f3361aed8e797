"""How the operators' console bears a large platform: many payments, a busy stream, and a server that is gone.

One PostgreSQL with so many payments, `payorch serve` on one CPU, the console in a terminal of its own on the other, and a process that
writes events into the journal at a rate (`happenings`). In this order:

    opening      from its start, and from the key `2`, to the first rows of payments on the terminal
    scrolling    page by page through all of them: its own work per batch of lines (a half screen), and its memory
    listening    events at that rate, on the overview and on the payments: its CPU, memory, and from a key to its being painted; and what an
                 event costs the server
    gone         the server is killed (SIGKILL) and comes back later: the console stays, says so, writes nothing, and misses no event

Aims: CONSOLE.md's acceptance checks. A figure beyond its aim is said; the exit code is 1 only where an event is missing or the console
ended, for speed is the machine's. Not here: the terminal (`terminal`), what the console marks (`marked`).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import trio

from bench.figures import percentile
from bench.happenings import LIFE
from bench.measurements import FOLDER, LOAD_CPU, SERVICE_CPU
from bench.processes import BenchmarkFailed, can_pin, cpu_seconds, free_port, output_of, pinned, running
from bench.services import plain_environment, rows
from bench.terminal import Terminal, console_on
from payorch.store import embedded
from payorch.store.driver import Connection, Session
from payorch.store.embedded import Cluster

NAME: Final = "console"
DATABASE: Final = "bench_console"
FIRST_PAINT_SECONDS: Final = 1.0
BATCH_MS: Final = 16.0
CPU_SHARE: Final = 0.30
LAG_MS: Final = 50.0
_EACH: Final = timedelta(seconds=2)
_MINOR: Final = 1_999
_COMMAND_SECONDS: Final = 60.0
_SETTLE_SECONDS: Final = 3.0
_START_SECONDS: Final = 30.0
_KEY_SECONDS: Final = 10.0
_GONE_RATE: Final = 20.0
"""Events a second while the server is away: as many as it may be behind when it is back, and no more (stream.behind_limit)."""
_TOKEN: Final = re.compile(r"\bop_(?:test|live)_[0-9a-z]{16}_[0-9A-Za-z]{49}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the platform is. environment: of its processes."""

    cluster: Cluster
    port: int
    token: str
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def command(self) -> Sequence[str]:
        return [sys.executable, "-m", "payorch", "serve"]

    @asynccontextmanager
    async def served(self, *, dies: bool = False) -> AsyncIterator[trio.Process]:
        """The platform, ready."""
        async with running(
            self.command,
            environment=self.environment,
            cpu=_cpu(SERVICE_CPU),
            log=FOLDER / "console-platform.log",
            port=self.port,
            dies=dies,
        ) as process:
            yield process

    @asynccontextmanager
    async def console(self, view: str) -> AsyncIterator[Terminal]:
        """A console on it."""
        async with console_on(self.url, self.token, view=view, cpu=_cpu(LOAD_CPU), folder=FOLDER) as terminal:
            yield terminal


def _cpu(number: int) -> int | None:
    return number if can_pin() else None


async def measure(cluster: Cluster, *, payments: int, rate: float, seconds: float, gone: float) -> dict[str, Any]:
    """All of it. Raises BenchmarkFailed."""
    async with _prepared(cluster, payments) as place:
        result: dict[str, Any] = {"measured": NAME, "payments": payments, "load": os.getloadavg()[0]}
        async with place.served() as server:
            result["opening"] = await _opening(place)
            result["scrolling"] = await _scrolling(place, payments)
            each = int(rate * seconds * 1.5) // len(LIFE) + 100
            result["listening"] = [
                await _listening(place, server.pid, view=view, rate=rate, seconds=seconds, skip=each * number)
                for number, view in enumerate(("overview", "payments"))
            ]
        result["gone"] = await _gone(place, gone, skip=each * 2)
        result["load_after"] = os.getloadavg()[0]
    return {**result, "wrong": wrong(result)}


def wrong(result: Mapping[str, Any]) -> list[str]:
    """What must not be, whatever the machine."""
    said = [f"{one['view']}: {one['missing']} events were missed" for one in result["listening"] if one["missing"]]
    gone = result["gone"]
    checks = {
        f"gone: {gone['missing']} events were missed": gone["missing"] == 0,
        f"gone: {gone['gaps']} new snapshots instead of going on": gone["gaps"] == 0,
        "gone: nothing said how long until the next try": gone["counted_down"],
        "gone: writing was not locked all the time": gone["locked"],
    }
    return said + [text for text, holds in checks.items() if not holds]


# --- what is measured -------------------------------------------------------------------------------------------------------------------


async def _opening(place: Place) -> dict[str, float]:
    async with place.console("payments") as console:
        first = await console.until("rows", 0.0, _START_SECONDS)
        from_start = first["at"] - console.began
    async with place.console("overview") as console:
        await console.until("state", 0.0, _START_SECONDS, link="live")
        await trio.sleep(_SETTLE_SECONDS)
        pressed = console.press("2")
        shown = await console.until("rows", pressed, _START_SECONDS)
        return {"from_start_seconds": from_start, "from_key_seconds": shown["at"] - pressed}


async def _scrolling(place: Place, payments: int) -> dict[str, Any]:
    """To the end of what is loaded, half a screen up, and again when there is more. Each of these paints a whole batch of lines."""
    async with place.console("payments") as console:
        await console.until("rows", 0.0, _START_SECONDS)
        await console.until("state", time.monotonic() + _SETTLE_SECONDS, _START_SECONDS, link="live")
        before, began, used = _resident(console), trio.current_time(), console.cpu_seconds()
        work: list[float] = []
        wall: list[float] = []
        cursor = 0
        while cursor < payments - 1:
            for key in _BATCH_KEYS:
                pressed = console.press(key)
                moved = await console.until("moved", pressed, _KEY_SECONDS)
                work.append(moved["cpu"] * 1000)
                wall.append((moved["at"] - pressed) * 1000)
                cursor = moved["cursor"]
            last = time.monotonic() - _KEY_SECONDS
            while cursor < payments - 1 and _loaded(console) <= cursor + 1:
                await console.until("page", last, _KEY_SECONDS)
                last = console.marks[-1]["at"]
        taken = [one["cpu"] * 1000 for one in console.marks if one["what"] == "page"]
        return {
            "batches": len(work),
            "seconds": trio.current_time() - began,
            "cpu_ms_a_batch": (console.cpu_seconds() - used) / len(work) * 1000,
            **_shares_of("work", work),
            **_shares_of("wall", wall),
            **_shares_of("page", taken),
            "pages": len(taken),
            "resident_before": before,
            "resident_after": _resident(console),
        }


_BATCH_KEYS: Final = ("G", "\x15", "G")  # ctrl+u between


def _loaded(console: Terminal) -> int:
    """Rows that are in the list by now."""
    return max(int(one["rows"]) for one in (console.last("moved"), console.last("page")) if one is not None)


def _shares_of(name: str, values: Iterable[float]) -> dict[str, float]:
    ascending = sorted(values)
    return {f"{name}_{share}_ms": percentile(ascending, part) for share, part in _SHARES.items()}


_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1.0}


async def _listening(place: Place, server: int, *, view: str, rate: float, seconds: float, skip: int) -> dict[str, Any]:
    """A key each second: down and up, so that the cursor moves wherever it is."""
    async with place.console(view) as console, _happening(place, rate, skip) as sent:
        await console.until("state", 0.0, _START_SECONDS, link="live")
        if view == "overview":
            console.press("\t\t")  # from what needs attention, past the connectors, to what happens
        await trio.sleep(_SETTLE_SECONDS)
        await console.until("state", 0.0, _START_SECONDS, focus="live" if view == "overview" else "rows")
        begin, before = trio.current_time(), console.last("state") or {}
        used, served = console.cpu_seconds(), cpu_seconds(server) or 0.0
        lags: list[float] = []
        resident: list[int] = []
        lost = 0
        while trio.current_time() < begin + seconds:
            pressed = console.press("gG"[len(resident) % 2])
            with trio.move_on_after(1.0):
                moved = await console.until("moved", pressed, _KEY_SECONDS)
                lags.append((moved["at"] - pressed) * 1000)
            resident.append(_resident(console))
            lost += len(lags) != len(resident) - lost
            await trio.sleep_until(begin + len(resident))
        took = trio.current_time() - begin
        after = console.last("state") or {}
        heard = after["heard"] - before["heard"]
        return {
            "view": view,
            "seconds": took,
            "events": heard,
            "events_a_second": heard / took,
            "cpu_share": (console.cpu_seconds() - used) / took,
            "server_us_an_event": ((cpu_seconds(server) or 0.0) - served) / max(1, heard) * 1e6,
            "paints_a_second": (after["painted"] - before["painted"]) / took,
            **_shares_of("lag", lags),
            "keys": len(resident),
            "keys_without_effect": lost,
            "resident_before": resident[0],
            "resident_middle": resident[len(resident) // 2],
            "resident_after": resident[-1],
            "live": after["live"],
            "missing": after["missing"],
            "gaps": after["gaps"] - before["gaps"],
            "load": os.getloadavg()[0],
            "sender": sent(),
        }


async def _gone(place: Place, seconds: float, *, skip: int) -> dict[str, Any]:
    """Killed while events come; back after that time, on the same port."""
    async with place.console("payments") as console, _happening(place, _GONE_RATE, skip):
        async with place.served(dies=True) as server:
            await console.until("state", 0.0, _START_SECONDS, link="live")
            await trio.sleep(_SETTLE_SECONDS)
            before = console.last("state") or {}
            os.kill(server.pid, signal.SIGKILL)
            killed = (console.last("state") or {})["at"]
        await trio.sleep(seconds)
        away = [one for one in console.marks if one["what"] == "state" and one["at"] > killed + 2.0]
        async with place.served():
            back = trio.current_time()
            live = await console.until("state", away[-1]["at"], 60.0, link="live")
            live_after = trio.current_time() - back
            await trio.sleep(_SETTLE_SECONDS)
            after = console.last("state", live["at"]) or live
    return {
        "seconds": seconds,
        "links": sorted({one["link"] for one in away}),
        "counted_down": bool(away) and any(one["retry_seconds"] for one in away),
        "locked": bool(away) and all(one["locked"] for one in away),
        "live_after_seconds": live_after,
        "events": after["heard"] - before["heard"],
        "missing": after["missing"],
        "gaps": after["gaps"] - before["gaps"],
    }


# --- what is told -----------------------------------------------------------------------------------------------------------------------


def text(result: Mapping[str, Any]) -> str:
    """The whole result for a terminal."""
    opening, scrolling, gone = result["opening"], result["scrolling"], result["gone"]
    told = [
        f"the console on {result['payments']:,} payments (load average {result['load']:.1f} to {result['load_after']:.1f}):",
        f"opening    first rows {opening['from_start_seconds']:.2f} s from its start, {opening['from_key_seconds']:.2f} s from the key 2",
        f"scrolling  {scrolling['batches']:,} batches of lines, {scrolling['pages']} pages in {scrolling['seconds']:.0f} s: own work"
        f" a batch {_shares(scrolling, 'work')} ms, taking a page {_shares(scrolling, 'page')} ms, from key to terminal"
        f" {_shares(scrolling, 'wall')} ms; {scrolling['cpu_ms_a_batch']:.1f} ms CPU a batch with all; {_megabytes(scrolling)}",
        *map(_listened, result["listening"]),
        f"gone       {gone['seconds']:.0f} s away: {', '.join(gone['links'])}, counted down: {gone['counted_down']}, writes locked:"
        f" {gone['locked']}; live {gone['live_after_seconds']:.1f} s after it was back, {gone['events']} events, {gone['missing']} missing",
    ]
    beyond = [f"BEYOND ITS AIM: {one}" for one in beyond_aim(result)]
    return "\n".join([*told, *beyond, *(f"WRONG: {one}" for one in result["wrong"] or ()), "", "For docs/performance.md:", *_table(result)])


def beyond_aim(result: Mapping[str, Any]) -> list[str]:
    """Figures that are larger than they are to be."""
    opening, scrolling = result["opening"], result["scrolling"]
    aims = [
        ("seconds from the key to the first rows", opening["from_key_seconds"], FIRST_PAINT_SECONDS),
        ("ms of own work per batch of lines, p99", scrolling["work_p99_ms"], BATCH_MS),
    ]
    for one in result["listening"]:
        aims += [
            (f"of a core, on {one['view']}", one["cpu_share"], CPU_SHARE),
            (f"ms of lag p99, on {one['view']}", one["lag_p99_ms"], LAG_MS),
        ]
    return [f"{value:.2f} {what}, to be {aim}" for what, value, aim in aims if value > aim]


def _listened(one: Mapping[str, Any]) -> str:
    return (
        f"listening  {one['view']}: {one['events_a_second']:,.0f} events/s for {one['seconds']:.0f} s: {one['cpu_share']:.0%} of a core,"
        f" {one['paints_a_second']:.1f} paints/s, a key painted after {_shares(one, 'lag')} ms, {_megabytes(one)},"
        f" {one['live']:,} events kept, {one['missing']} missing; the server {one['server_us_an_event']:.0f} us/event"
        f" (load {one['load']:.1f})"
    )


def _shares(of: Mapping[str, Any], name: str) -> str:
    return " / ".join(f"{of[f'{name}_{share}_ms']:.1f}" for share in _SHARES)


def _megabytes(of: Mapping[str, Any]) -> str:
    return f"{of['resident_before'] / 1e6:.0f} MB before, {of['resident_after'] / 1e6:.0f} MB after"


def _table(result: Mapping[str, Any]) -> list[str]:
    overview, payments = result["listening"]
    opening, scrolling = result["opening"], result["scrolling"]
    cells = [
        f"{opening['from_start_seconds']:.2f} s, {opening['from_key_seconds']:.2f} s",
        f"{scrolling['work_p50_ms']:.1f} / {scrolling['work_p99_ms']:.1f} ms, {scrolling['resident_after'] / 1e6:.0f} MB",
        *(
            f"{one['events_a_second']:,.0f}/s: {one['cpu_share']:.0%}, {one['lag_p50_ms']:.0f} / {one['lag_p99_ms']:.0f} ms,"
            f" {one['resident_after'] / 1e6:.0f} MB"
            for one in (overview, payments)
        ),
        f"{overview['server_us_an_event']:.0f} us",
        f"{result['gone']['missing']} missing after {result['gone']['seconds']:.0f} s",
    ]
    return [
        "| first rows from start, from `2` | batch of lines p50 / p99, memory | overview: CPU, lag p50 / p99, memory | payments"
        " | server an event | server gone |",
        "|---|---|---|---|--:|---|",
        "| " + " | ".join(cells) + " |",
    ]


def _resident(console: Terminal) -> int:
    state = console.last("state")
    return 0 if state is None else int(state["resident"])


# --- what there is ----------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _happening(place: Place, rate: float, skip: int) -> AsyncIterator[Any]:
    """Events at that rate while inside. Gives what tells how it goes."""
    database = place.cluster.conninfo(role=embedded.APP_ROLE, database=DATABASE)
    command = [sys.executable, "-m", "bench.happenings", "--database", database, "--rate", str(rate), "--skip", str(skip)]
    with (FOLDER / "console-happenings.log").open("wb") as log, pinned(_cpu(SERVICE_CPU)):
        process = await trio.lowlevel.open_process(command, env=plain_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield lambda: "runs" if process.poll() is None else f"ended with {process.returncode}"
        if process.poll() is not None:
            raise BenchmarkFailed(f"the sender died: {(FOLDER / 'console-happenings.log').read_text()[-1000:]}")
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.terminate()
            await process.wait()


@asynccontextmanager
async def _prepared(cluster: Cluster, payments: int) -> AsyncIterator[Place]:
    """A database with so many payments of one merchant, an operator, and a port; gone afterwards."""
    await embedded.create_database(cluster, DATABASE)
    try:
        port = free_port()
        environment = {
            **plain_environment(),
            "PAYORCH_DATABASE_URL": cluster.conninfo(role=embedded.APP_ROLE, database=DATABASE),
            "PAYORCH_MIGRATION_DATABASE_URL": cluster.conninfo(role=embedded.OWNER_ROLE, database=DATABASE),
            "PAYORCH_SECRET_KEY": "a-secret-of-the-benchmark-only-0123456789abcdef",
            "PAYORCH_CONNECTORS__STRIPE__BASE_URL": "http://127.0.0.1:9",
            "PAYORCH_CONNECTORS__STRIPE__API_KEY": "sk_test_bench",
            "PAYORCH_CONNECTORS__STRIPE__WEBHOOK_SECRET": "whsec_bench",
            "PAYORCH_CONNECTORS__ADYEN__ENABLED": "false",
            "PAYORCH_CONNECTORS__PAYPAL__ENABLED": "false",
            "PAYORCH_HTTP__PORT": str(port),
        }
        payorch = [sys.executable, "-m", "payorch"]
        for command in (["migrate"], ["merchants", "add", "bench", "--json"]):
            await output_of([*payorch, *command], environment=environment, within_seconds=_COMMAND_SECONDS)
        added = [*payorch, "operators", "add", "olga", "--role", "operator", "--json"]
        token = _TOKEN.search(await output_of(added, environment=environment, within_seconds=_COMMAND_SECONDS))
        if token is None:
            raise BenchmarkFailed("`payorch operators add olga --json` printed no token")
        await _trade(cluster, payments)
        yield Place(cluster=cluster, port=port, token=token[0], environment=environment)
    finally:
        await embedded.drop_database(cluster, DATABASE)


async def _trade(cluster: Cluster, payments: int) -> None:
    """Payments of the last hours, one each two seconds. A list shows nothing else of them, so there are no attempts."""
    merchant = (await rows(cluster, DATABASE, "SELECT id FROM payorch.merchants"))[0][0]
    first = datetime.now(UTC) - payments * _EACH
    session = Session(application_name="payorch-bench", statement_timeout_seconds=_COMMAND_SECONDS)
    connection = await Connection.connect(
        cluster.conninfo(role=embedded.OWNER_ROLE, database=DATABASE), session=session, answer_within_seconds=_COMMAND_SECONDS + 1
    )
    try:
        await connection.execute("SELECT payorch.ensure_partitions(%s, 3)", [first.date()])
        await connection.execute(_PAYMENTS, {"payments": payments, "first": first, "each": _EACH, "minor": _MINOR, "merchant": merchant})
        await connection.execute("ANALYZE payorch.payments")
    finally:
        await connection.close()


_PAYMENTS: Final = """
    INSERT INTO payorch.payments (id, merchant_id, state, version, previous_version, amount, currency, capture, reference, connector,
        psp_reference, authorized, captured, capture_reserved, refunded, refund_reserved, unfinished, held, created_at, updated_at)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
        %(merchant)s, CASE WHEN n %% 10 = 0 THEN 'FAILED' ELSE 'CAPTURED' END, 5, 0, %(minor)s + n %% 5000, 'EUR', 'automatic',
        'order-' || n, 'stripe', 'pi_' || n, 0, 0, 0, 0, 0, false, false, at, at
    FROM generate_series(1, %(payments)s) AS n, LATERAL (SELECT %(first)s::timestamptz + n * %(each)s::interval) AS born (at)
"""
