"""The simulators' process as `payorch up` sees it: started, found again, and stopped.

It is a session of its own, so that neither a `kill -9` of the platform nor Ctrl-C in its terminal reaches it. Whether it runs is decided by
its lock file, which the kernel frees with it: a number in a file is only signalled while that lock is held by the process that wrote it.
Not here: what the simulators do (`payorch.simulators`).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import httpx2
import trio

from payorch.configuration import PREFIX
from payorch.folders import is_held

LOCK: Final = "simulators.lock"
BOUND: Final = "simulators.json"
LOG: Final = "simulators.log"

_START_SECONDS: Final = 20.0  # imports and sockets: 1 s on a slow machine, more while everything else starts too
_STOP_SECONDS: Final = 5.0  # they give answers under way 2 s
_POLL_SECONDS: Final = 0.02
_HEALTH_SECONDS: Final = 2.0
_PORTS: Final = 10  # one for each PSP, one for control, and room
_TRIES: Final = 100


class SimulatorsFailed(Exception):
    """The simulators did not start, or do not answer. The text says where to look."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Simulators:
    """A running process of simulators. `urls`: base URL by connector's name; `attached`: it was found running. `anchor`: the certificate of
    the authority behind those that sign with certificates, PEM."""

    data_dir: Path
    pid: int
    urls: Mapping[str, str]
    control: str
    attached: bool
    child: trio.Process | None = field(default=None, repr=False)
    anchor: str | None = field(default=None, repr=False)

    async def stop(self) -> None:
        """Asks it to end, waits, and kills it when that takes too long."""
        self._signal(signal.SIGTERM)
        with trio.move_on_after(_STOP_SECONDS):
            while is_running(self.data_dir):  # noqa: ASYNC110  (the kernel tells nobody that a lock has become free)
                await trio.sleep(_POLL_SECONDS)
        self.kill()
        if self.child is not None:
            await self.child.wait()

    async def post_webhooks_to(self, urls: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """Tells each simulated PSP where its webhooks go and what signs them. `urls`, `secrets`: by connector. Raises SimulatorsFailed.

        Kept there, also over a restart; the same said again changes nothing.
        """
        async with _client() as client:
            for name, url in urls.items():
                target = {"url": url, "secret": secrets[name]}
                try:
                    answer = await client.post(f"{self.control}/{name}/_webhooks", json=target)
                except httpx2.HTTPError as error:
                    raise SimulatorsFailed(f"the simulated {name} does not answer: {type(error).__name__}") from error
                if not answer.is_success:
                    raise SimulatorsFailed(f"the simulated {name} does not take {url} as the address of its webhooks: {answer.status_code}")

    def kill(self) -> None:
        """Ends it at once, if it still runs."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Only while the lock is held does the number surely belong to the simulators, and to no stranger who came after them.
        if is_running(self.data_dir):
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def start(data_dir: Path, *, port_base: int, seed: int) -> Simulators:
    """Finds the simulators of that folder running, or starts them on ports from `port_base` on, or the next free ones.

    Raises SimulatorsFailed.
    """
    if is_running(data_dir):
        found = await _answering(data_dir, None)
        if found is None:
            raise SimulatorsFailed(f"the simulators of {data_dir} run and do not answer; see {data_dir / LOG}, and end them by hand")
        return found
    with suppress(FileNotFoundError):
        (data_dir / BOUND).unlink()  # an older process's; from here on the file speaks of the new one
    return await _spawned(data_dir, free_ports_from(port_base), seed)


async def running(data_dir: Path) -> Simulators:
    """The simulators of that folder. Raises SimulatorsFailed where none run, with how to start them."""
    if not (data_dir / BOUND).exists() or not is_running(data_dir):
        how = f"`payorch up --data-dir {data_dir}`, or `payorch simulators --data-dir {data_dir}`, starts them"
        raise SimulatorsFailed(f"no simulated PSPs run with {data_dir}: {how}")
    found = await _answering(data_dir, None)
    if found is None:
        raise SimulatorsFailed(f"the simulators of {data_dir} run and do not answer; see {data_dir / LOG}")
    return found


def is_running(data_dir: Path) -> bool:
    """Whether the simulators of that folder run."""
    return is_held(data_dir / LOCK)


def any_free_port(host: str) -> int:
    """A port that nobody uses at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def free_ports_from(base: int) -> int:
    """The first number from `base` on, in steps, after which a whole row of ports is free."""
    for first in range(base, min(base + _TRIES * _PORTS, 65536 - _PORTS), _PORTS):
        if all(_is_free(first + place) for place in range(_PORTS)):
            return first
    raise SimulatorsFailed(f"no {_PORTS} free ports in a row were found from {base} on")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


async def _spawned(data_dir: Path, port_base: int, seed: int) -> Simulators:
    command = [
        sys.executable,
        "-m",
        "payorch",
        "simulators",
        "--port-base",
        str(port_base),
        "--data-dir",
        str(data_dir),
        "--seed",
        str(seed),
    ]
    # Nothing of the platform's: neither its secrets nor a crash that was meant for it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with (data_dir / LOG).open("ab") as log:
        child = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    try:
        with trio.fail_after(_START_SECONDS):
            while (found := await _answering(data_dir, child)) is None:
                if child.poll() is not None:
                    raise SimulatorsFailed(f"the simulators ended at once: {_last_words(data_dir)}")
                await trio.sleep(_POLL_SECONDS)
            return found
    except BaseException as error:
        child.kill()
        with trio.CancelScope(shield=True):
            await child.wait()
        if isinstance(error, trio.TooSlowError):
            raise SimulatorsFailed(f"the simulators did not start within {_START_SECONDS:.0f} s; see {data_dir / LOG}") from None
        raise


def _client() -> httpx2.AsyncClient:
    """For this machine's own plain HTTP. It trusts no certificate, and so reads none: the usual ones take 0.1 s at each start."""
    return httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), timeout=_HEALTH_SECONDS, trust_env=False)


async def _answering(data_dir: Path, child: trio.Process | None) -> Simulators | None:
    """The process that wrote simulators.json, if it answers; None if there is no such file yet, or nobody answers."""
    try:
        bound = json.loads((data_dir / BOUND).read_text(encoding="utf-8"))
        urls, control, pid = dict(bound["simulators"]), str(bound["control"]), int(bound["pid"])
        anchor = None if bound.get("anchor") is None else str(bound["anchor"])
        async with _client() as client:
            health = (await client.get(f"{control}/_health")).json()
    except (OSError, ValueError, KeyError, TypeError, httpx2.HTTPError):
        return None
    if not isinstance(health, dict) or health.get("simulators") != list(urls):
        return None
    return Simulators(data_dir=data_dir, pid=pid, urls=urls, control=control, attached=child is None, child=child, anchor=anchor)


def _last_words(data_dir: Path) -> str:
    lines = (data_dir / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {data_dir / LOG}"
