"""How fast the platform is against the bare composition of its own parts, in one run, pair by pair: authorisations, then webhooks.

    python -m bench [--only webhooks] [--rounds 3] [--seconds 5] [--connections 16] [--profile] [--open-loop 100] [--json]

    python -m bench --only settlements [--rows 1000000] [--json]

reads a settlement report, a tenth of it first (`settlements`), and

    python -m bench --only console [--payments 50000] [--events 1000] [--listen 60] [--gone 120] [--json]

looks at a large platform with the operators' console (`console`). For each of the other two (`measurements`), one embedded PostgreSQL with
fsync on and one PSP stub without latency serve alternating rounds (`rounds`). Where the books disagree the figures are worth nothing, and
the exit code is 1.

`--profile` adds a round of each service under py-spy, `--open-loop RATE` one of each at a fixed rate. `--subject bare` measures the bare
composition against itself: how far from 1.00 that comes out is what this machine's noise is worth. Rounds are told on standard error as
they end, the summaries on standard output; the whole results are kept in build/bench/.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio

from bench import console, report, services, settlements
from bench.measurements import FOLDER, LOAD_CPU, Authorizations, Measurement, Webhooks
from bench.options import Options, options
from bench.processes import ROOT, BenchmarkFailed, can_pin, free_port, running
from bench.rounds import Rounds
from payorch.store import embedded
from payorch.store.embedded import Cluster

_ALONE: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {settlements.NAME: settlements.text, console.NAME: console.text}
"""What is not compared with anything, and how it is told."""


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


async def _measured(name: str, options: Options) -> dict[str, Any]:
    if name == settlements.NAME:
        async with _own_cluster() as cluster:
            return await settlements.measure(cluster, options.rows)
    if name == console.NAME:
        async with _own_cluster() as cluster:
            return await console.measure(cluster, payments=options.payments, rate=options.events, seconds=options.listen, gone=options.gone)
    stub_port = free_port()
    stub = [sys.executable, "-m", "bench.stub", "--port", str(stub_port)]
    cpu = LOAD_CPU if can_pin() else None
    async with (
        _own_cluster() as cluster,
        running(stub, environment=services.plain_environment(), cpu=cpu, log=FOLDER / "stub.log", port=stub_port),
    ):
        measurement: Measurement
        if name == Webhooks.thing.name:
            measurement = Webhooks(cluster=cluster, options=options, stub_port=stub_port)
        else:
            measurement = Authorizations(cluster=cluster, options=options)
        return await Rounds(measurement, options, cluster, stub_port).run()


async def _measured_unless_stopped(name: str, options: Options) -> dict[str, Any]:
    """Ctrl-C and SIGTERM end the run in order: what was started is ended first. Raises BenchmarkFailed then, too."""
    result: dict[str, Any] | None = None
    failure: Exception = BenchmarkFailed("stopped; everything that was started has been ended")
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_first, signals, nursery.cancel_scope)
            try:
                result = await _measured(name, options)
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


def _all_wrong(name: str, result: dict[str, Any]) -> list[str]:
    wrong: list[str] = result["wrong"] if name in _ALONE else report.all_wrong(result)
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; 0 when the books agree, 1 when they do not or something failed."""
    asked, as_json = options(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in (*FOLDER.glob("*.log"), *FOLDER.glob("*.txt")):
        old.unlink()
    results: dict[str, Any] = {}
    for name in asked.measured:
        try:
            result = results[name] = {**_surroundings(asked), **trio.run(_measured_unless_stopped, name, asked)}
        except (BenchmarkFailed, embedded.ClusterError) as failure:
            print(failure, file=sys.stderr)
            return 1
        (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        if not as_json:
            print(_ALONE.get(name, report.text)(result), flush=True)
    if as_json:
        print(json.dumps(results, indent=1))
    return 1 if any(_all_wrong(name, result) for name, result in results.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
