"""Merchants who go on asking: under load, through kills and outages, with the same key for the same order, until they know.

Each order remembers every answer that was heard for it. Not here: whether what was heard is true (`books`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx2
import trio

from tests.e2e.stack import Stack, order

CLIENTS: Final = 16
TOKENS: Final = (*("tok_visa",) * 9, *("tok_mastercard",) * 3, "tok_insufficient_funds", "tok_hard_decline", "tok_3ds", "tok_pending")
ACCEPTED: Final = frozenset({200, 201, 202})
LONGEST_PAUSE_SECONDS: Final = 0.3


@dataclass
class Order:
    """One order, what was asked for it, and every accepting answer that was heard: (status, body)."""

    key: str
    body: dict[str, Any]
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    payment_id: str | None = None
    canceled: bool = False


class Market:
    """Merchants at one stack. `trade` until cancelled or told to stop; then `settle` makes them ask until each of them knows."""

    def __init__(self, stack: Stack, seed: int, clients: int = CLIENTS) -> None:
        self._stack = stack
        self._seed = seed
        self._clients = clients
        self._stopped = False
        self.orders: list[Order] = []
        self.seen: Counter[str] = Counter()
        """What was heard: statuses, and the kinds of silence."""
        self.problems: list[tuple[int, dict[str, Any], bool]] = []
        """Every refusal: status, problem, and whether it had a Retry-After."""

    @property
    def accepted(self) -> int:
        return sum(order.payment_id is not None for order in self.orders)

    def stop(self) -> None:
        """No new orders; those begun are pursued to their end."""
        self._stopped = True

    async def trade(self) -> None:
        """All merchants at once; returns when they were stopped and every order of theirs has an answer."""
        async with self._stack.client() as client, trio.open_nursery() as nursery:
            for number in range(self._clients):
                nursery.start_soon(self._merchant, client, number)

    async def until(self, accepted: int, within_seconds: float = 60.0) -> None:
        """Waits until so many orders were accepted."""
        with trio.fail_after(within_seconds):
            while self.accepted < accepted:  # noqa: ASYNC110  (ten lines of events for a test's patience)
                await trio.sleep(0.01)

    async def _merchant(self, client: httpx2.AsyncClient, number: int) -> None:
        dice = Random(f"{self._seed}:{number}")
        count = 0
        while not self._stopped:
            count += 1
            key = f"m{self._seed}-{number}-{count}"
            one = Order(key=key, body=_body(key, dice))
            self.orders.append(one)
            twice = dice.random() < 0.15
            async with trio.open_nursery() as nursery:  # some press the button twice
                nursery.start_soon(self._create, client, one)
                if twice:
                    nursery.start_soon(self._create, client, one)
            if not one.body.get("confirm", True):
                await self._persist(client, f"/v1/payments/{one.payment_id}/confirm", {}, f"{key}-confirm")
            if dice.random() < 0.08:
                status, _ = await self._persist(client, f"/v1/payments/{one.payment_id}/cancel", {}, f"{key}-cancel")
                one.canceled = status in ACCEPTED

    async def _create(self, client: httpx2.AsyncClient, one: Order) -> None:
        status, answer = await self._persist(client, "/v1/payments", one.body, one.key)
        assert status in (201, 202), f"{one.key}: {status} {answer.text}"
        one.heard.append((status, answer.content))
        one.payment_id = answer.json()["id"]

    async def _persist(self, client: httpx2.AsyncClient, path: str, body: object, key: str) -> tuple[int, httpx2.Response]:
        while True:
            try:
                answer = await client.post(path, json=body, headers={"idempotency-key": key}, timeout=10.0)
            except httpx2.TransportError as silence:
                self.seen[type(silence).__name__] += 1
                await trio.sleep(0.2)
                continue
            self.seen[str(answer.status_code)] += 1
            if answer.status_code in ACCEPTED:
                return answer.status_code, answer
            problem = answer.json()
            self.problems.append((answer.status_code, problem, "retry-after" in answer.headers))
            if answer.status_code == 409 and problem["code"] != "idempotency_in_progress":
                return answer.status_code, answer
            assert answer.status_code in (409, 503), f"{path} under {key}: {answer.status_code} {answer.text}"
            await trio.sleep(min(LONGEST_PAUSE_SECONDS, float(answer.headers["retry-after"])))


def _body(key: str, dice: Random) -> dict[str, Any]:
    confirm = {} if dice.random() < 0.85 else {"confirm": False}
    return order(
        key,
        dice.choice(TOKENS),
        amount=dice.randrange(100, 100_000),
        currency=dice.choice(("EUR", "USD", "JPY")),
        capture=dice.choice(("automatic", "automatic", "manual")),
        **confirm,
    )
