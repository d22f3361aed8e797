"""Merchants who do what merchants do: pay, retry with the same key when they hear nothing, cancel, send shoppers through 3DS.

Each of them remembers what it was told, and classifies it as Jepsen does: ok (it happened), fail (it surely did not), info (unknown).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import trio

from connectors.contract import HttpRequest
from tests.simulation.runtime import ConnectionLost, Heard, Runtime
from tests.simulation.world import World

TOKENS: Final = (
    *("tok_visa",) * 8,
    *("tok_mastercard",) * 2,
    "tok_soft_decline",
    "tok_insufficient_funds",
    "tok_hard_decline",
    "tok_fraud",
    "tok_3ds",
    "tok_3ds",
    "tok_3ds_fail",
    "tok_pending",
)
PATIENCE: Final = 200
"""Tries of one request. Enough for any sequence of lives; a request that needs more is stuck, and that is a failure of its own."""


@dataclass(slots=True)
class Order:
    """One order of a merchant: what was asked under which key, and every answer that was heard for it."""

    key: str
    body: dict[str, Any]
    heard: list[Heard] = field(default_factory=list)
    payment_id: str | None = None
    canceled: bool = False


class Merchant:
    """Places `orders` one after the other, with chance of its own."""

    def __init__(self, world: World, runtime: Runtime, number: int, orders: int) -> None:
        self._world = world
        self._runtime = runtime
        self._dice = Random(f"{world.seed}:merchant:{number}")
        self._number = number
        self._count = orders
        self.orders: list[Order] = []

    async def trade(self) -> None:
        """All orders, each until it has a final answer."""
        for number in range(self._count):
            await trio.sleep(self._dice.random() * 2)
            await self._place(f"m{self._number}-{number}")

    async def _place(self, key: str) -> None:
        amount = self._dice.randrange(100, 100_000)
        body = {
            "amount": amount,
            "currency": self._dice.choice(("EUR", "USD", "JPY")),
            "capture": self._dice.choice(("automatic", "manual")),
            "reference": f"order-{key}",
            "return_url": "https://shop.example/back",
            "payment_method": {"type": "card", "token": self._dice.choice(TOKENS), "brand": "visa"},
        }
        order = Order(key=key, body=body)
        self.orders.append(order)
        doubled = self._dice.random() < 0.2
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, order)
            if doubled:
                nursery.start_soon(self._ask, order)
        await self._follow(order)

    async def _ask(self, order: Order) -> None:
        heard = await self.persist("/v1/payments", order.body, order.key)
        order.heard.append(heard)
        order.payment_id = heard.json["id"]
        self._world.note("answer", f"{heard.status} {heard.json['state']}")

    async def persist(self, path: str, body: object, key: str) -> Heard:
        """The request, again and again under the same key, until it is answered for good."""
        for _ in range(PATIENCE):
            try:
                heard = await self._runtime.post(path, body, key)
            except ConnectionLost:
                await trio.sleep(0.2 + self._dice.random())
                continue
            if heard.status in (200, 201, 202):
                return heard
            assert heard.status != 404, f"L1: {path} is about an accepted payment, which does not exist"
            assert heard.status in (409, 503), f"{path} was answered {heard.status}: {heard.body!r}"
            if heard.status == 409 and heard.json["code"] != "idempotency_in_progress":
                return heard
            await trio.sleep(float(heard.headers.get("retry-after", heard.headers.get("Retry-After", "1"))))
        raise AssertionError(f"{path} under {key} was never answered")

    async def _follow(self, order: Order) -> None:
        payment = order.heard[-1].json
        if payment["state"] == "REQUIRES_ACTION" and self._dice.random() < 0.8:
            await self._shop(payment)
        if self._dice.random() < 0.15:
            heard = await self.persist(f"/v1/payments/{order.payment_id}/cancel", {}, f"{order.key}-cancel")
            order.canceled = heard.status in (200, 202)
            self._world.note("cancel", f"{heard.status}")

    async def _shop(self, payment: dict[str, Any]) -> None:
        """The shopper opens the PSP's page, decides there, and mostly comes back."""
        world = self._world
        await trio.sleep(self._dice.random() * 30)
        url = payment["next_action"]["url"]
        outcome = self._dice.choice(("approve", "approve", "fail", "cancel"))
        request = HttpRequest(
            method="POST",
            path=url.removeprefix("https://psp.simulated"),
            headers=(("content-type", "application/x-www-form-urlencoded"),),
            body=f"outcome={outcome}".encode(),
        )
        answer = world.dialect.handle(world.ledger, request, world.now()).response
        world.note("shopper", f"{outcome} {answer.status}")
        location = answer.header("location")
        if location is not None and self._dice.random() < 0.7:
            path = "/" + location.split("://", 1)[-1].split("/", 1)[-1]
            try:
                await self._runtime.get(path)
            except ConnectionLost:
                return
