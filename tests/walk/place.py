"""A local stack to walk on: `payorch up` with demo traffic and short patience, and what makes the incidents that the walk is about.

Not here: what people do about them (`stories`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.e2e.stack import QUICK, environment
from tests.own_ports import own_port
from tests.walk.terminal import PATIENCE_SECONDS, POLL_SECONDS

READY: Final = "Ctrl-C stops everything"
SETTINGS: Final[Mapping[str, str]] = {**QUICK, "PAYORCH_DELIVERIES__TRIES_SECONDS": "0,1"}
"""A lost answer is unknown after two seconds, and an event that an endpoint refuses twice is a dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stack that runs."""

    folder: Path
    process: subprocess.Popen[bytes]
    merchant_key: str | None = None
    """In whose name the merchant's calls are; the demo merchant's where nothing is said."""

    @property
    def known(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "credentials.json").read_text())
        return known

    def run(self, *words: str) -> str:
        """A command of payorch's on it; what it printed. It has to work."""
        command = [sys.executable, "-m", "payorch", *words, "--data-dir", str(self.folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(SETTINGS))
        if done.returncode:
            raise AssertionError(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> dict[str, Any]:
        """A merchant's call."""
        headers = {"authorization": f"Bearer {self.merchant_key or self.known['merchant_key']}"}
        if key:
            headers["idempotency-key"] = key
        url = f"{self.known['base_url']}{path}"
        answer = httpx2.request(method, url, json=body, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)
        said: dict[str, Any] = answer.raise_for_status().json()
        return said

    def merchant(self, name: str) -> Place:
        """The same place in a new merchant's name."""
        return replace(self, merchant_key=json.loads(self.run("merchants", "add", name, "--json"))["key"])

    def pay(self, reference: str, amount: int, **more: Any) -> dict[str, Any]:
        """A payment by card."""
        card = {"type": "card", "token": "tok_visa"}
        body = {"amount": amount, "currency": "EUR", "reference": reference, "payment_method": card, **more}
        return self.api("POST", "/v1/payments", body, key=reference)

    def payment(self, reference: str) -> dict[str, Any]:
        """The payment of that reference as it stands."""
        (found,) = self.api("GET", f"/v1/payments?reference={reference}")["data"]
        return dict(found)

    def until(self, reference: str, state: str) -> dict[str, Any]:
        """Waits until that payment is there."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while (found := self.payment(reference))["state"] != state:
            if time.monotonic() > ends:
                raise AssertionError(f"{reference} is {found['state']} and not {state}")
            time.sleep(POLL_SECONDS)
        return found


@contextmanager
def place(folder: Path, *, traffic: float) -> Iterator[Place]:
    """A stack for the length of the block; its log stays in the folder."""
    folder.mkdir(mode=0o700, parents=True)
    said, log = folder.with_name(f"{folder.name}.out"), folder.with_name(f"{folder.name}.log")
    command = [sys.executable, "-m", "payorch", "up", "--port", str(own_port()), "--data-dir", str(folder), "--traffic", str(traffic)]
    with said.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(SETTINGS), start_new_session=True
        )
    try:
        ends = time.monotonic() + PATIENCE_SECONDS
        while READY not in said.read_text():
            if process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"the stack did not start: {said.read_text()} {log.read_text()[-2000:]}")
            time.sleep(POLL_SECONDS)
        yield Place(folder=folder, process=process)
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        process.wait()
