"""A whole platform of a test's own: `payorch up` as a real process, with its PostgreSQL and its PSPs, to be killed and started anew.

Every process is signalled by its own number only. What the platform says goes to files in the stack's folder, so that nothing blocks on a
pipe and everything it said can be searched afterwards. Not here: merchants, and what must hold (`merchants`, `books`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import psycopg
import trio

from connectors.registry import CONNECTORS
from payorch import psp_process
from payorch.folders import is_held
from payorch.store import embedded
from tests.own_ports import own_port

WITHIN_SECONDS: Final = 120.0
"""For whatever should take a second or two: only a hopeless wait ends by it, and nothing is judged by how long it took."""
POLL_SECONDS: Final = 0.02
READY: Final = "Ctrl-C stops everything"

QUICK_LOOKS_SECONDS: Final = (1, 2, 3, 4, 5, 3600)
"""Several soon, since a busy machine loses the answers of some, and after them none within any test."""
QUICK_CALLS: Final[Mapping[str, str]] = {
    "READ_TIMEOUT_SECONDS": "1.5",
    "TOTAL_TIMEOUT_SECONDS": "2",
    "LEAST_CALL_SECONDS": "0.5",
    "CIRCUIT_OPEN_SECONDS": "1",
    "CIRCUIT_LONGEST_OPEN_SECONDS": "3",
    "LOOKUP_CIRCUIT_OPEN_SECONDS": "1",
    "LOOKUP_CIRCUIT_LONGEST_OPEN_SECONDS": "2",
}
QUICK: Final[Mapping[str, str]] = {
    "PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": ",".join(map(str, QUICK_LOOKS_SECONDS)),
    "PAYORCH_PAYMENTS__OPERATION_RETRY_SECONDS": "1,2,3",
    "PAYORCH_PAYMENTS__PENDING_LOOKS_SECONDS": "1,2,3,4,5,6,8,60,3600",
    **{f"PAYORCH_CONNECTORS__{psp.upper()}__{name}": value for psp in CONNECTORS for name, value in QUICK_CALLS.items()},
    "PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "1.5",
    "PAYORCH_PAYMENTS__INQUIRE_FIRST_SECONDS": "1",
    "PAYORCH_ROUTING__SCORE__EXPLORATION_SHARE": "0",
}
"""Patience cut short, so that a lost answer is noticed and looked into within the time of a test, and no payment goes elsewhere by chance.
The order of things is as shipped."""

FIRST: Final = "stripe"
"""The PSP that is meant where a test does not say which."""


def routed(*connectors: str) -> dict[str, str]:
    """The setting under which payments go to these, in this order of preference."""
    return {"PAYORCH_ROUTING__DEFAULT": ",".join(connectors)}


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any setting of payorch's, and these."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PAYORCH_")}, **more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


async def payorch(*arguments: str, **more: str) -> Ran:
    """Runs `payorch ...` to its end."""
    with trio.fail_after(WITHIN_SECONDS):
        done = await trio.run_process(
            [sys.executable, "-m", "payorch", *arguments],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment(more),
        )
    return Ran(code=done.returncode, out=done.stdout.decode(), err=done.stderr.decode())


async def eventually(holds: Callable[[], Awaitable[bool]], within_seconds: float = WITHIN_SECONDS) -> None:
    """Waits until that is true of another process."""
    with trio.fail_after(within_seconds):
        while not await holds():  # noqa: ASYNC110  (there is nothing to wait on)
            await trio.sleep(POLL_SECONDS)


async def end_of(process: subprocess.Popen[bytes], within_seconds: float = WITHIN_SECONDS) -> int:
    """Waits for a process's end; its exit code."""
    with trio.fail_after(within_seconds):
        while (code := process.poll()) is None:  # noqa: ASYNC110  (it outlives this test's loop, so it is no trio.Process)
            await trio.sleep(POLL_SECONDS)
    return code


@dataclass
class Stack:
    """One data folder, and the `up` that runs with it now, if any. The port stays the same over all its lives."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    lives: int = 0
    provoked: set[str] = field(default_factory=set)
    """Payments of which a test made the platform complain."""
    hears: bool = True
    """Whether its PSPs send webhooks. Without them everything that was lost has to be found out by asking."""

    # --- its life

    def begin(self, **more: str) -> None:
        """Starts `payorch up`; does not wait."""
        assert self.process is None, "it runs already"
        self.port = self.port or own_port()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.lives += 1
        command = [sys.executable, "-m", "payorch", "up", "--port", str(self.port), "--data-dir", str(self.folder)]
        with self.out.open("wb") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env=environment({**self.settings, **more}),
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Waits until it says so."""
        with trio.fail_after(WITHIN_SECONDS):
            while READY not in self.said():
                assert self.alive, f"it ended: {self.said()} {self.log.read_text()[-2000:]}"
                await trio.sleep(POLL_SECONDS)
        if not self.hears:
            await self.silence()

    async def start(self, **more: str) -> None:
        self.begin(**more)
        await self.ready()

    async def ended(self, within_seconds: float = WITHIN_SECONDS) -> int:
        """Waits for its end; the exit code."""
        assert self.process is not None
        code = await end_of(self.process, within_seconds)
        self.process = None
        return code

    async def kill(self) -> None:
        """kill -9 of the platform alone: its database and its PSP live on."""
        self.signal(signal.SIGKILL)
        assert await self.ended() == -signal.SIGKILL

    async def stop(self, number: signal.Signals = signal.SIGTERM, within_seconds: float = WITHIN_SECONDS) -> int:
        self.signal(number)
        return await self.ended(within_seconds)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # --- its files

    @property
    def out(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.out")

    @property
    def log(self) -> Path:
        """Everything that all its lives said on stderr."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def said(self) -> str:
        return self.out.read_text()

    def tracebacks(self) -> list[str]:
        """Log lines that tell of a fault of ours: there must be none but the provoked ones, whatever is done to it from outside."""
        complaints = [line for line in self.log.read_text().splitlines() if "Traceback" in line or '"level":"error"' in line]
        return [line for line in complaints if not any(payment_id in line for payment_id in self.provoked)]

    @property
    def credentials(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "credentials.json").read_text())
        return known

    # --- its doors

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.credentials['merchant_key']}"}

    @asynccontextmanager
    async def client(self, **more: Any) -> AsyncIterator[httpx2.AsyncClient]:
        """A merchant's connection pool."""
        defaults: dict[str, Any] = {"timeout": WITHIN_SECONDS, "trust_env": False, "verify": False, "headers": self.authorization}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        async with httpx2.AsyncClient(base_url=self.url, limits=limits, **{**defaults, **more}) as client:
            yield client

    async def get(self, path: str, **parameters: str) -> httpx2.Response:
        async with self.client() as client:
            return await client.get(path, params=parameters)

    async def pay(self, key: str, body: Mapping[str, Any] | None = None, **members: Any) -> httpx2.Response:
        async with self.client() as client:
            return await client.post("/v1/payments", json={**(body or order(key)), **members}, headers={"idempotency-key": key})

    async def post(self, path: str, key: str, body: Mapping[str, Any] | None = None) -> httpx2.Response:
        async with self.client() as client:
            return await client.post(path, json=body or {}, headers={"idempotency-key": key})

    async def surely(self, path: str, key: str, body: Mapping[str, Any]) -> httpx2.Response:
        """The same until it is answered: a busy machine's database may pause the platform, which says so with a 503."""
        while (answer := await self.post(path, key, body)).status_code in (409, 503) and "retry-after" in answer.headers:  # noqa: ASYNC110  (another process: there is nothing to wait on)
            await trio.sleep(POLL_SECONDS)
        return answer

    async def until_ready(self, within_seconds: float = WITHIN_SECONDS) -> None:
        """Waits until /readyz says so."""
        with trio.fail_after(within_seconds):
            while await self.status_of("/readyz") != 200:  # noqa: ASYNC110  (another process: there is nothing to wait on)
                await trio.sleep(POLL_SECONDS)

    async def made(self, reference: str, within_seconds: float = WITHIN_SECONDS) -> dict[str, Any]:
        """Waits until there is a payment of that reference, and returns it: the only one."""
        found: list[dict[str, Any]] = []
        with trio.fail_after(within_seconds):
            while not found:
                found = (await self.get("/v1/payments", reference=reference)).json()["data"]
        (payment,) = found
        return payment

    async def until(self, payment_id: str, *states: str, within_seconds: float = WITHIN_SECONDS) -> dict[str, Any]:
        """Polls the payment until it is in one of these states."""
        payment: dict[str, Any] = {}
        async with self.client() as client:
            with trio.move_on_after(within_seconds):
                while True:
                    payment = (await client.get(f"/v1/payments/{payment_id}")).json()
                    if payment["state"] in states:
                        return payment
                    await trio.sleep(0.05)
        raise AssertionError(f"{payment_id} is {payment.get('state')} and not {states} after {within_seconds} s")

    async def status_of(self, path: str) -> int:
        """The status of a GET; 0 where nobody answers."""
        try:
            return (await self.get(path)).status_code
        except httpx2.TransportError:
            return 0

    # --- its PSPs

    async def fault(self, fault: str, psp: str = FIRST, **more: Any) -> None:
        """Breaks a PSP."""
        await self._control("POST", psp, "_faults", json={"fault": fault, **more})

    async def struck(self, psp: str = FIRST) -> None:
        """Waits until every fault that was to hit a number of times has."""
        with trio.fail_after(WITHIN_SECONDS):
            while (await self._control("GET", psp, "_faults"))["faults"]:  # noqa: ASYNC110  (as above)
                await trio.sleep(POLL_SECONDS)

    async def heal(self, *psps: str) -> None:
        """Makes these well, or all."""
        for psp in psps or CONNECTORS:
            await self._control("DELETE", psp, "_faults")

    async def silence(self) -> None:
        """The PSPs send no webhooks any more."""
        for psp in CONNECTORS:
            await self._control("POST", psp, "_webhooks", json={"url": None})

    async def hooks(self, psp: str = FIRST) -> dict[str, int]:
        """What became of the PSP's webhooks: owed, delivered, waiting, ..."""
        counts: dict[str, int] = (await self._control("GET", psp, "_webhooks"))["counts"]
        return counts

    async def until_told(self, within_seconds: float = WITHIN_SECONDS) -> None:
        """Waits until no PSP has anything more to tell, and all of it is settled here."""

        async def told() -> bool:
            for psp in CONNECTORS:
                if (await self.hooks(psp))["waiting"]:
                    return False
            return not await self.rows("SELECT 1 FROM payorch.inbox WHERE next_try_at IS NOT NULL LIMIT 1")

        await eventually(told, within_seconds)

    async def charges(self) -> list[dict[str, Any]]:
        """Every payment in the PSPs' own books, with what it holds and took, and whose it is (`psp`)."""
        return (await self.ledger())[0]

    async def ledger(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The PSPs' own books: every payment with its totals, and every single movement of money, each PSP's in the order of happening."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        entries: list[dict[str, Any]] = []
        for psp in CONNECTORS:
            since: int | None = 0
            while since is not None:
                page = await self._control("GET", psp, "_ledger", params={"since": since})
                found.update({(psp, one["payment"]): {**one, "psp": psp} for one in page["payments"]})
                entries += [{**one, "psp": psp} for one in page["entries"]]
                since = page["next_since"]
        return list(found.values()), entries

    async def requests(self, psp: str = FIRST) -> dict[str, int]:
        """How many requests have reached the PSP since its start, by kind."""
        counts: dict[str, int] = (await self._control("GET", psp, "_requests"))["requests"]
        return counts

    async def _control(self, method: str, psp: str, path: str, **more: Any) -> Any:
        # The control port answers also while the PSP refuses connections.
        bound = json.loads((self.folder / psp_process.BOUND).read_text())
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=WITHIN_SECONDS) as client:
            return (await client.request(method, f"{bound['control']}/{psp}/{path}", **more)).raise_for_status().json()

    # --- its database

    async def cluster(self) -> embedded.Cluster:
        """The database server of this stack, started if need be."""
        return await embedded.start(self.folder / "postgres")

    async def rows(self, query: str, *values: Any, role: str = embedded.SUPERUSER) -> list[tuple[Any, ...]]:
        """Runs one statement there, by default with every right."""
        socket_folder = (self.folder / "postgres" / "cluster").resolve() / "socket"
        conninfo = f"host={socket_folder.resolve()} port=5432 user={role} dbname={embedded.DATABASE}"

        def run() -> list[tuple[Any, ...]]:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                cursor = connection.execute(query, values or None)  # without values a per cent sign is one
                return cursor.fetchall() if cursor.description else []

        return await trio.to_thread.run_sync(run)

    def clear(self) -> None:
        """Ends what is left of it and removes its files."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if not self.folder.exists():
            return
        if is_held(self.folder / psp_process.LOCK):
            with suppress(ProcessLookupError):
                os.kill(json.loads((self.folder / psp_process.BOUND).read_text())["pid"], signal.SIGKILL)
        cluster = (self.folder / "postgres" / "cluster").resolve()  # root's may lie elsewhere
        if cluster.exists():
            trio.run(partial(_stop_database, self.folder))
        shutil.rmtree(cluster, ignore_errors=True)
        shutil.rmtree(self.folder)
        self.out.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)


async def _stop_database(folder: Path) -> None:
    cluster = await embedded.start(folder / "postgres")
    await cluster.stop("immediate")


def order(reference: str, token: str = "tok_visa", **members: Any) -> dict[str, Any]:
    """A payment's body."""
    return {
        "amount": 1999,
        "currency": "EUR",
        "reference": reference,
        "payment_method": {"type": "card", "token": token},
        "return_url": "https://shop.example/back?basket=7",
        **members,
    }
