"""Operators at a stack, as people use it: what they see and have done over HTTP, by `payorch ops`, and on the live stream.

Not here: merchants (`merchants`), what must hold of the money in the end (`books`).
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx2
import trio

from payorch import cli
from tests.e2e.stack import POLL_SECONDS, WITHIN_SECONDS, Ran, Stack, eventually, payorch

OVER: Final = frozenset({"done", "refused", "failed", "halted", "rejected", "expired"})
ASKED, AGREES = "olga", "amir"
"""The two people that `payorch up` brings: an operator and an approver."""


@dataclass
class Crew:
    """The operators of one stack. tokens: of those beside the two that it comes with."""

    stack: Stack
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, name: str) -> str:
        return self.tokens[name] if name in self.tokens else str(self.stack.credentials["operators"][name]["token"])

    @asynccontextmanager
    async def client(self, name: str = ASKED) -> AsyncIterator[httpx2.AsyncClient]:
        async with self.stack.client(headers={"authorization": f"Bearer {self.token(name)}"}) as client:
            yield client

    async def hire(self, name: str, role: str, *, person: str | None = None) -> None:
        """One more account, maybe of somebody who has one."""
        more = ("--person", person) if person is not None else ()
        made = await payorch("operators", "add", name, "--role", role, *more, "--json", "--data-dir", str(self.stack.folder))
        assert made.code == 0, made.err
        self.tokens[name] = made.data["token"]

    # --- over HTTP

    async def asks(self, method: str, path: str, name: str = ASKED, **more: Any) -> httpx2.Response:
        async with self.client(name) as client:
            return await client.request(method, f"/ops/v1/{path}", **more)

    async def sees(self, path: str, name: str = ASKED, **parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.asks("GET", path, name, params=parameters)).raise_for_status().json()
        return found

    async def plans(self, action: str, subject: str, name: str = ASKED, **parameters: Any) -> dict[str, Any]:
        answer = await self.asks("POST", "plans", name, json={"action": action, "subject": subject, "parameters": parameters})
        assert answer.status_code == 201, answer.text
        plan: dict[str, Any] = answer.json()
        assert plan["allowed"], plan["objections"]
        return plan

    async def proposes(self, action: str, subject: str, name: str = ASKED, **parameters: Any) -> dict[str, Any]:
        """Asks for it: done at once where it takes one person."""
        plan = await self.plans(action, subject, name, **parameters)
        headers = {"idempotency-key": plan["id"]}
        answer = await self.asks("POST", "actions", name, json={"plan": plan["id"], "reason": f"INC-7 {action}"}, headers=headers)
        assert answer.status_code in (201, 202), answer.text
        act: dict[str, Any] = answer.json()
        assert act["state"] == "proposed" if plan["people"] == 2 else act["state"] != "proposed", act
        return act

    async def approve(self, act: Mapping[str, Any], name: str = AGREES) -> httpx2.Response:
        """As a person does it: looks at it as it is now, and agrees with that."""
        now = (await self.sees(f"actions/{act['id']}", name))["plan_now"]
        return await self.asks("POST", f"actions/{act['id']}/approve", name, json={"hash": now["hash"] if now else act["hash"]})

    async def until_over(self, act: Mapping[str, Any]) -> dict[str, Any]:
        """The act when it is over."""
        found: dict[str, Any] = {}
        with trio.fail_after(WITHIN_SECONDS):
            while found.get("state") not in OVER:
                answer = await self.asks("GET", f"actions/{act['id']}")
                found = answer.json() if answer.status_code == 200 else {}  # it has just started
                await trio.sleep(POLL_SECONDS)
        return found

    async def agreed(self, action: str, subject: str, **parameters: Any) -> dict[str, Any]:
        """An act of two people, when it is over."""
        act = await self.proposes(action, subject, **parameters)
        answer = await self.approve(act)
        assert answer.status_code in (200, 202), answer.text
        return await self.until_over(act)

    async def told(self, **what: str) -> list[dict[str, Any]]:
        """What the audit trail says, the oldest first."""
        found: list[dict[str, Any]] = (await self.sees("audit", limit="200", scope="all", **what))["data"]
        return found[::-1]

    # --- by the command line

    async def ops(self, *arguments: str, as_: str = ASKED) -> Ran:
        who = ("--token", self.tokens[as_]) if as_ in self.tokens else ("--as", as_)
        return await payorch("ops", *arguments, *who, "--data-dir", str(self.stack.folder))

    async def reads(self, *arguments: str) -> Ran:
        """The same without a process of its own."""
        return await here("ops", *arguments, "--as", ASKED, "--data-dir", str(self.stack.folder))


async def here(*arguments: str) -> Ran:
    """`payorch ...` without a process of its own, which takes a second for each: the whole of the command line all the same."""
    told, complained = io.StringIO(), io.StringIO()

    def run() -> int:
        with redirect_stdout(told), redirect_stderr(complained):
            return cli.run(list(arguments))

    code = await trio.to_thread.run_sync(run)
    return Ran(code=code, out=told.getvalue(), err=complained.getvalue())


@dataclass
class Listener:
    """Somebody who watches the live stream, and takes it up where he was whenever it ends. lives: connections that brought anything."""

    crew: Crew
    events: list[dict[str, Any]] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)
    lives: int = 0
    last: str | None = None

    async def watch(self) -> None:
        """For ever."""
        async with self.crew.client() as client:
            while True:
                try:
                    await self._once(client)
                except httpx2.HTTPError:
                    self.endings.append("cut")
                await trio.sleep(POLL_SECONDS)

    async def begin(self, after: int) -> None:
        self.last = str(after)

    async def until(self, position: int) -> None:
        """Waits until he has heard so far."""

        async def heard() -> bool:
            return self.last is not None and int(self.last) >= position

        await eventually(heard)

    async def _once(self, client: httpx2.AsyncClient) -> None:
        headers = {} if self.last is None else {"last-event-id": self.last}
        async with client.stream("GET", "/ops/v1/stream", headers=headers) as answer:
            if answer.status_code == 503:
                return
            assert answer.status_code == 200, answer.status_code
            self.lives += 1
            async with reading(answer) as reader:
                async for message in reader:
                    if "id" in message:
                        self.last = message["id"]
                        self.events.append({**json.loads(message["data"]), "id": message["id"], "event_field": message["event"]})
                    elif message.get("event") == "reset":
                        self.endings.append(json.loads(message["data"])["reason"])


@asynccontextmanager
async def reading(answer: httpx2.Response) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """The messages of an event stream, each with its fields; comments left out."""
    lines = cast(AsyncGenerator[str, None], answer.aiter_lines())
    async with aclosing(lines), aclosing(_messages(lines)) as found:
        yield found


async def _messages(lines: AsyncIterator[str]) -> AsyncGenerator[dict[str, str], None]:
    found: dict[str, str] = {}
    async for line in lines:
        if line:
            name, _, value = line.partition(":")
            if name:
                found[name] = value.removeprefix(" ")
        elif found:
            yield found
            found = {}
