"""Processes of a benchmark: started on a CPU of their own, awaited, measured, and stopped by their own process id.

Not here: what they are.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from bench.wire import Peer, Unframed

ROOT: Final = Path(__file__).resolve().parent.parent

# A platform drains for up to 20 s (config/payorch.toml) and then stops its actors.
_STOP_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_TAIL_BYTES: Final = 2000


class BenchmarkFailed(Exception):
    """Something did not start, stop or answer. The text says what, with the end of its log."""


def can_pin() -> bool:
    """Whether there are CPUs 0 and 1 to keep the service and the load apart."""
    return sys.platform == "linux" and {0, 1} <= os.sched_getaffinity(0)


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Processes started inside run on that CPU only, with all their threads; None leaves them free."""
    if cpu is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """A port of loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(
    command: Sequence[str], *, environment: Mapping[str, str], cpu: int | None, log: Path, port: int, dies: bool = False
) -> AsyncIterator[trio.Process]:
    """That server, ready: it has answered 200 to `GET /readyz`. Ends with SIGTERM, or SIGKILL where that is not enough.

    Its output goes to `log`. Raises BenchmarkFailed where it does not become ready or has died, unless that is what it is for (`dies`).
    """
    with log.open("wb") as output, pinned(cpu):
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=ROOT
        )
    try:
        await _until_ready(process, command, port, log)
        yield process
        if process.poll() is not None and not dies:
            raise BenchmarkFailed(f"it died with {process.returncode} under load; {log} ends with:\n{_tail(log)}")
    finally:
        with trio.CancelScope(shield=True):
            await _stop(process)


async def _stop(process: trio.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
        with trio.move_on_after(_STOP_SECONDS):
            await process.wait()
            return


async def _until_ready(process: trio.Process, command: Sequence[str], port: int, log: Path, within_seconds: float = 30.0) -> None:
    with trio.move_on_after(within_seconds):
        while process.poll() is None:
            with suppress(OSError, Unframed):
                if (answer := await get(port, "/readyz")) is not None and answer[0].startswith(b"http/1.1 200"):
                    return
            await trio.sleep(_POLL_SECONDS)
    state = "still runs" if process.poll() is None else f"ended with {process.returncode}"
    raise BenchmarkFailed(f"{' '.join(command)} is not ready and {state}; {log} ends with:\n{_tail(log)}")


async def get(port: int, path: str) -> tuple[bytes, bytes] | None:
    """(head in lower case, body) of one GET on loopback. Raises OSError, Unframed."""
    with trio.socket.socket() as connection:
        await connection.connect(("127.0.0.1", port))
        peer = Peer(connection)
        await peer.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return await peer.receive()


async def output_of(command: Sequence[str], *, environment: Mapping[str, str], cpu: int | None = None, within_seconds: float) -> str:
    """Runs a command to its end and returns its standard output. Raises BenchmarkFailed where it fails or takes longer."""
    with trio.move_on_after(within_seconds), pinned(cpu):
        done = await trio.run_process(command, env=environment, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode != 0:
            errors = (done.stdout + done.stderr).decode(errors="replace")[-_TAIL_BYTES:]
            raise BenchmarkFailed(f"{' '.join(command)} failed with {done.returncode}:\n{errors}")
        return done.stdout.decode()
    raise BenchmarkFailed(f"{' '.join(command)} did not end within {within_seconds} s")


def cpu_seconds(pid: int, *, with_children: bool = False) -> float | None:
    """CPU time that process has used, user and system; with its children, dead and living, if asked. None where nobody tells."""
    own = _times(pid)
    if own is None:
        return None
    total = sum(own[1:] if with_children else own[1:3])
    for other in _numbers() if with_children else ():
        child = _times(other)
        if child is not None and child[0] == pid:
            total += sum(child[1:])
    return total / os.sysconf("SC_CLK_TCK")


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _times(pid: int) -> tuple[int, int, int, int, int] | None:
    """(parent, user, system, user of dead children, system of dead children), in ticks."""
    try:
        # The fields follow the program's name, which stands in brackets and may hold anything, brackets too.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        parent, user, system, children_user, children_system = int(fields[1]), *map(int, fields[11:15])
        return parent, user, system, children_user, children_system
    except (OSError, ValueError, IndexError):
        return None


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
