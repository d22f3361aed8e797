"""Alternating rounds of the bare composition and what is compared with it: bare, platform, bare, platform, ...

Each round has a service process of its own (on CPU 0), a fresh database of its own, and one load process (on CPU 1, with the stub);
PostgreSQL may run anywhere. Every round ends with a look at the books, once everything is done that was to be done afterwards.

Not here: what is started, sent and counted (`measurements`, `services`); how it is told (`report`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from bench import figures, report, services, stacks
from bench.measurements import FOLDER, LOAD_GRACE_SECONDS, SERVICE_CPU, WARM_UP_SECONDS, Measurement, load
from bench.options import Options
from bench.processes import ROOT, BenchmarkFailed, can_pin, free_port, get, output_of, running
from bench.services import Bare, Platform, Service
from payorch.store.embedded import Cluster

_SAMPLES_PER_SECOND: Final = 200
_DONE_WITHIN_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05


class Rounds:
    """All rounds of one measurement, which share a cluster and a stub."""

    def __init__(self, measurement: Measurement, options: Options, cluster: Cluster, stub_port: int) -> None:
        self._measurement = measurement
        self._options = options
        self._cluster = cluster
        self._stub_port = stub_port
        self._numbers = 0

    async def run(self) -> dict[str, Any]:
        """All rounds in their order, and what follows from them."""
        options = self._options
        bare, subject = await self._measurement.prepare()
        ceiling = await self._ceiling()
        pairs = []
        for _ in range(options.rounds):
            pairs.append((await self._round(bare), await self._round(subject)))
        ratios = figures.paired_ratios([first["rate"] for first, _ in pairs], [second["rate"] for _, second in pairs])
        result: dict[str, Any] = {
            "measured": self._measurement.thing.name,
            "ceiling": ceiling,
            "rounds": pairs,
            "ratios": asdict(ratios),
            "open_loop": [],
            "profiles": {},
        }
        result["cpu_ratios"] = report.cpu_ratios(pairs)
        if options.open_loop is not None:
            result["open_loop"] = [await self._round(kind, rate=options.open_loop) for kind in (bare, subject)]
        for kind in (bare, subject) if options.profile else ():
            told = await self._round(kind, profiled=True)
            result["profiles"][kind.name] = {**told["profile"], "wrong": told["wrong"]}
        return result

    async def _ceiling(self) -> float:
        """What load and stub do on their CPU with nothing between them: the highest rate that could be measured at all."""
        told = await self._load("--port", str(self._stub_port), *self._measurement.ceiling, merchant_key="none", seconds=2.0)
        return float(told["rate"])

    async def _round(self, kind: Bare | Platform, *, rate: float | None = None, profiled: bool = False) -> dict[str, Any]:
        self._numbers += 1
        log = FOLDER / f"{self._measurement.thing.name}-{kind.name}-{self._numbers}.log"
        port = free_port()
        async with kind.prepared(number=self._numbers, port=port, stub_port=self._stub_port) as service:
            before = await self._charges()
            cpu = SERVICE_CPU if can_pin() else None
            async with running(service.command, environment=service.environment, cpu=cpu, log=log, port=port) as process:
                loading = partial(self._loaded, process.pid, port, service.merchant_key, rate)
                told = await self._profiled(process.pid, loading) if profiled else await loading()
                told["afterwards"] = await self._afterwards(service, told)
            told["kind"] = kind.name
            told["books"] = {
                "answered": told["answers"].get(self._measurement.thing.status, 0),
                "sent": sum(told["answers"].values()) + told["lost"],
                "stored": await self._count(service, service.count),
                "settled": await self._count(service, service.settled),
                "charged": await self._charges() - before,
            }
            told["commits_each"] = await self._count(service, services.COMMITTED) / max(1, told["books"]["stored"])
        told["wrong"] = report.wrong_books(self._measurement.thing, told["books"])
        report.print_round(told)
        return told

    async def _afterwards(self, service: Service, told: dict[str, Any]) -> dict[str, Any] | None:
        """How much of what was answered was still to be done when the load ended, and how long that took. None where there is no such work.

        rate: of all of it, from the first request to the last thing done.
        """
        if service.waiting is None:
            return None
        began = trio.current_time()
        waiting = left = await self._count(service, service.waiting)
        while left and trio.current_time() - began < _DONE_WITHIN_SECONDS:  # what is left then, the books show
            await trio.sleep(_POLL_SECONDS)
            left = await self._count(service, service.waiting)
        seconds = trio.current_time() - began if waiting else 0.0
        done = await self._count(service, service.settled)
        return {"waiting": waiting, "seconds": seconds, "rate": done / (told["seconds"] + seconds)}

    async def _count(self, service: Service, query: str) -> int:
        return await services.count(self._cluster, service.database, query)

    async def _loaded(self, pid: int, port: int, merchant_key: str, rate: float | None) -> dict[str, Any]:
        watched = ["--watch", f"service={pid}", "--watch", f"postgres={-_postmaster(self._cluster)}"]
        asked = ["--port", str(port), *self._measurement.asked, *watched]
        if rate is not None:
            asked += ["--rate", str(rate)]
        return await self._load(*asked, merchant_key=merchant_key, seconds=self._options.seconds)

    async def _load(self, *asked: str, merchant_key: str, seconds: float) -> dict[str, Any]:
        return await load(*asked, merchant_key=merchant_key, connections=self._options.connections, seconds=seconds)

    async def _charges(self) -> int:
        answer = await get(self._stub_port, "/")
        if answer is None:
            raise BenchmarkFailed("the stub does not answer any more")
        return int(json.loads(answer[1])["charges"])

    async def _profiled(self, pid: int, loading: partial[Any]) -> dict[str, Any]:
        """The same load while py-spy samples the service for the time of the window."""
        told: dict[str, Any] = {}
        collapsed = FOLDER / f"{self._measurement.thing.name}-profile-{self._numbers}.txt"

        async def load() -> None:
            told.update(await loading())

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load)
                await trio.sleep(WARM_UP_SECONDS + 0.5)  # the load process starts, and warms up
                await _spy(pid, collapsed, seconds=max(1, int(self._options.seconds - 0.5)))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        lines, root = _lines(collapsed), str(ROOT)
        samples, packages = stacks.shares(lines, partial(stacks.package_of, root=root))
        _, functions = stacks.shares(lines, partial(stacks.function_of, root=root))
        told["profile"] = {"samples": samples, "rate": told["rate"], "shares": _as_dicts(packages), "functions": _as_dicts(functions)}
        return told


async def _spy(pid: int, collapsed: Path, *, seconds: int) -> None:
    asked = ["record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_SAMPLES_PER_SECOND), "--format", "raw"]
    spy = [str(Path(sys.executable).parent / "py-spy"), *asked, "--full-filenames", "--output", str(collapsed)]
    await output_of(spy, environment=services.plain_environment(), within_seconds=seconds + LOAD_GRACE_SECONDS)


def _as_dicts(shares: Sequence[stacks.Share]) -> list[dict[str, Any]]:
    return [asdict(share) for share in shares]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def _postmaster(cluster: Cluster) -> int:
    """Its process id, to read its CPU time; it is never signalled by it."""
    return int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
