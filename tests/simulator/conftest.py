"""A world for each test, and the simulators as a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.simulator.world import World

ROOT = Path(__file__).parent.parent.parent


@dataclass(slots=True)
class Server:
    """A running process of simulators."""

    process: subprocess.Popen[str]
    urls: Mapping[str, str]
    control: str

    @property
    def stripe(self) -> str:
        return self.urls["stripe"]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=20)


Start = Callable[..., Server]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ledger.close()


def _start(folder: Path | str, port_base: int = 0) -> Server:
    command = [sys.executable, str(ROOT / "tests/simulator/run_simulators.py"), str(folder), str(port_base)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    output: IO[str] | None = process.stdout
    assert output is not None
    line = output.readline()
    if not line:
        output.close()
        raise AssertionError(f"the simulators ended with {process.wait()} before they said where they listen")
    said: dict[str, Any] = json.loads(line)
    return Server(process, said["simulators"], said["control"])


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts simulators over a folder, on a port base; what still runs at the end is stopped."""
    running: list[Server] = []

    def started(folder: Path | str, port_base: int = 0) -> Server:
        running.append(_start(folder, port_base))
        return running[-1]

    yield started
    for server in running:
        if server.process.poll() is None:
            server.kill()
        assert server.process.stdout is not None
        server.process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Simulators for all tests of a module, with their books in memory. Faults set must be lifted again."""
    started = _start("-")
    yield started
    code = started.stop()
    assert started.process.stdout is not None
    started.process.stdout.close()
    assert code == 0
