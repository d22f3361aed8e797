"""Authorisations per second of the platform against the bare composition of its own parts, in one run, pair by pair.

    python -m bench.authorize [--rounds 3] [--seconds 5] [--connections 16] [--profile] [--open-loop 100] [--json]

One embedded PostgreSQL with fsync on and one PSP stub without latency serve alternating rounds: bare, platform, bare, platform, ... Each
round has a service process of its own (on CPU 0), an empty database of its own, and one load process (on CPU 1, with the stub); PostgreSQL
may run anywhere. Every round ends with a look at the books: payments stored = answers 201 = charges at the stub, nothing else was answered,
nothing was lost. Where they disagree the figures are worth nothing, and the exit code is 1.

`--profile` adds a round of each under py-spy, `--open-loop RATE` one of each at a fixed rate. `--subject bare` measures the bare
composition against itself: how far from 1.00 that comes out is what this machine's noise is worth. Rounds are told on standard error as
they end, the summary on standard output; the whole result is kept in build/bench/authorize.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from bench import figures, report, services, stacks
from bench.load import MERCHANT_KEY
from bench.processes import ROOT, BenchmarkFailed, can_pin, free_port, get, output_of, running
from bench.services import Bare, Platform
from payorch.store import embedded
from payorch.store.embedded import Cluster

FOLDER: Final = ROOT / "build" / "bench"
_SERVICE_CPU: Final = 0
_LOAD_CPU: Final = 1
_WARM_UP_SECONDS: Final = 1.0
_LOAD_GRACE_SECONDS: Final = 30.0
_SAMPLES_PER_SECOND: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    rounds: int
    seconds: float
    connections: int
    capture: str
    subject: str
    open_loop: float | None
    profile: bool


class Bench:
    """One run: a cluster and a stub that all rounds share."""

    def __init__(self, options: Options, cluster: Cluster, stub_port: int) -> None:
        self._options = options
        self._cluster = cluster
        self._stub_port = stub_port
        self._numbers = 0

    async def run(self) -> dict[str, Any]:
        """All rounds in their order, and what follows from them."""
        options = self._options
        bare = Bare(self._cluster)
        subject = await self._subject()
        ceiling = await self._ceiling()
        pairs = []
        for _ in range(options.rounds):
            pairs.append((await self._round(bare), await self._round(subject)))
        ratios = figures.paired_ratios([first["rate"] for first, _ in pairs], [second["rate"] for _, second in pairs])
        result: dict[str, Any] = {"ceiling": ceiling, "rounds": pairs, "ratios": asdict(ratios), "open_loop": [], "profiles": {}}
        result["cpu_ratios"] = report.cpu_ratios(pairs)
        if options.open_loop is not None:
            result["open_loop"] = [await self._round(kind, rate=options.open_loop) for kind in (bare, subject)]
        for kind in (bare, subject) if options.profile else ():
            told = await self._round(kind, profiled=True)
            result["profiles"][kind.name] = {**told["profile"], "wrong": told["wrong"]}
        return result

    async def _subject(self) -> Bare | Platform:
        if self._options.subject == "bare":
            return Bare(self._cluster)
        subject = Platform(self._cluster, capture=self._options.capture)
        await subject.prepare()
        return subject

    async def _ceiling(self) -> float:
        """What load and stub do on their CPU with nothing between them: the highest rate that could be measured at all."""
        told = await self._load("--port", str(self._stub_port), "--dialect", "stripe", merchant_key="none", seconds=2.0)
        return float(told["rate"])

    async def _round(self, kind: Bare | Platform, *, rate: float | None = None, profiled: bool = False) -> dict[str, Any]:
        self._numbers += 1
        log = FOLDER / f"{kind.name}-{self._numbers}.log"
        port = free_port()
        async with kind.prepared(number=self._numbers, port=port, stub_port=self._stub_port) as service:
            before = await self._charges()
            cpu = _SERVICE_CPU if can_pin() else None
            async with running(service.command, environment=service.environment, cpu=cpu, log=log, port=port) as process:
                loading = partial(self._loaded, process.pid, port, service.merchant_key, rate)
                told = await self._profiled(process.pid, loading) if profiled else await loading()
            told["kind"] = kind.name
            told["books"] = {
                "answered": told["answers"].get("201", 0),
                "sent": sum(told["answers"].values()) + told["lost"],
                "stored": await services.count(self._cluster, service.database, service.count),
                "settled": await services.count(self._cluster, service.database, service.settled),
                "charged": await self._charges() - before,
            }
            committed = await services.count(self._cluster, service.database, services.COMMITTED)
            told["commits_per_payment"] = committed / max(1, told["books"]["stored"])
        told["wrong"] = report.wrong_books(told["books"])
        report.print_round(told)
        return told

    async def _loaded(self, pid: int, port: int, merchant_key: str, rate: float | None) -> dict[str, Any]:
        watched = ["--watch", f"service={pid}", "--watch", f"postgres={-_postmaster(self._cluster)}"]
        asked = ["--port", str(port), "--capture", self._options.capture, *watched]
        if rate is not None:
            asked += ["--rate", str(rate)]
        return await self._load(*asked, merchant_key=merchant_key, seconds=self._options.seconds)

    async def _load(self, *asked: str, merchant_key: str, seconds: float) -> dict[str, Any]:
        command = [sys.executable, "-m", "bench.load", *asked, "--connections", str(self._options.connections)]
        said = await output_of(
            [*command, "--seconds", str(seconds), "--warm-up-seconds", str(_WARM_UP_SECONDS)],
            environment={**services.plain_environment(), MERCHANT_KEY: merchant_key},
            cpu=_LOAD_CPU if can_pin() else None,
            within_seconds=_WARM_UP_SECONDS + seconds + _LOAD_GRACE_SECONDS,
        )
        told: dict[str, Any] = json.loads(said)
        return told

    async def _charges(self) -> int:
        answer = await get(self._stub_port, "/")
        if answer is None:
            raise BenchmarkFailed("the stub does not answer any more")
        return int(json.loads(answer[1])["charges"])

    async def _profiled(self, pid: int, loading: partial[Any]) -> dict[str, Any]:
        """The same load while py-spy samples the service for the time of the window."""
        told: dict[str, Any] = {}
        collapsed = FOLDER / f"profile-{self._numbers}.txt"

        async def load() -> None:
            told.update(await loading())

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load)
                await trio.sleep(_WARM_UP_SECONDS + 0.5)  # the load process starts, and warms up
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
    await output_of(spy, environment=services.plain_environment(), within_seconds=seconds + _LOAD_GRACE_SECONDS)


def _as_dicts(shares: Sequence[stacks.Share]) -> list[dict[str, Any]]:
    return [asdict(share) for share in shares]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def _postmaster(cluster: Cluster) -> int:
    """Its process id, to read its CPU time; it is never signalled by it."""
    return int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])


@asynccontextmanager
async def _own_cluster() -> AsyncIterator[Cluster]:
    """A durable PostgreSQL in the checkout's build folder (a temporary folder may be memory), gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=FOLDER))
    os.chmod(folder, 0o711)  # PostgreSQL does not run as root, and has to get in
    try:
        cluster = await embedded.start(folder, durable=True)
        try:
            await embedded.ensure_roles(cluster)
            yield cluster
        finally:
            with trio.CancelScope(shield=True):
                await cluster.stop()
                shutil.rmtree(cluster.folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(options: Options) -> dict[str, Any]:
    stub_port = free_port()
    stub = [sys.executable, "-m", "bench.stub", "--port", str(stub_port)]
    cpu = _LOAD_CPU if can_pin() else None
    async with (
        _own_cluster() as cluster,
        running(stub, environment=services.plain_environment(), cpu=cpu, log=FOLDER / "stub.log", port=stub_port),
    ):
        return await Bench(options, cluster, stub_port).run()


async def _measured_unless_stopped(options: Options) -> dict[str, Any]:
    """Ctrl-C and SIGTERM end the run in order: what was started is ended first. Raises BenchmarkFailed then, too."""
    result: dict[str, Any] | None = None
    failure: Exception = BenchmarkFailed("stopped; everything that was started has been ended")
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_first, signals, nursery.cancel_scope)
            try:
                result = await _measured(options)
            except (BenchmarkFailed, embedded.ClusterError) as told:
                failure = told
            nursery.cancel_scope.cancel()
    if result is None:
        raise failure
    return result


async def _cancel_at_first(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _surroundings(options: Options) -> dict[str, Any]:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": described.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "pinned": can_pin(),
        "options": asdict(options),
    }


def _options(arguments: Sequence[str] | None) -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(prog="python -m bench.authorize", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 51), metavar="1..50")
    parser.add_argument("--seconds", type=float, default=5.0, help="the measured window of each round")
    parser.add_argument("--connections", type=int, default=16, choices=range(1, 513), metavar="1..512")
    parser.add_argument("--capture", choices=["automatic", "manual"], default="automatic")
    parser.add_argument("--subject", choices=["platform", "bare"], default="platform", help="what is compared with the bare composition")
    parser.add_argument("--open-loop", type=float, metavar="RATE", help="also a round of each at so many requests a second")
    parser.add_argument("--profile", action="store_true", help="also a round of each under py-spy")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON instead of text")
    given = vars(parser.parse_args(arguments))
    if not 1 <= given["seconds"] <= 600:
        parser.error("--seconds is between 1 and 600")
    return Options(**{name: given[name] for name in Options.__dataclass_fields__}), given["json"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0 when the books agree, 1 when they do not or something failed."""
    options, as_json = _options(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in (*FOLDER.glob("*.log"), *FOLDER.glob("profile*.txt")):
        old.unlink()
    try:
        result = {**_surroundings(options), **trio.run(_measured_unless_stopped, options)}
    except (BenchmarkFailed, embedded.ClusterError) as failure:
        print(failure, file=sys.stderr)
        return 1
    (FOLDER / "authorize.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1) if as_json else report.text(result))
    return 1 if report.all_wrong(result) else 0


if __name__ == "__main__":
    sys.exit(main())
