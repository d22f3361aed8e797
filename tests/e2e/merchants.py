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

from tests.e2e.dealings import ACCEPTED, SEVERAL_CAPTURES, Asker, Wish, draw
from tests.e2e.stack import WITHIN_SECONDS, Stack, order

CLIENTS: Final = 16
TOKENS: Final = (*("tok_visa",) * 9, *("tok_mastercard",) * 3, "tok_insufficient_funds", "tok_hard_decline", "tok_3ds", "tok_pending")


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

    def __init__(self, stack: Stack, seed: int, clients: int = CLIENTS, *, business: bool = False, wallet: bool = False) -> None:
        """`business`: the merchants do not stop at the payment, they capture, void and refund. `wallet`: some shoppers have one."""
        self._stack = stack
        self._seed = seed
        self._clients = clients
        self._business = business
        self._wallet = wallet
        self._stopped = False
        self.orders: list[Order] = []
        self.wishes: list[Wish] = []
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

    async def repeat(self) -> None:
        """Asks for everything that was accepted once more, under the same keys: the answers heard now must be those heard then."""
        async with self._stack.client() as client, trio.open_nursery() as nursery:
            asker = Asker(client, self.seen, self.problems)
            for number in range(self._clients):
                nursery.start_soon(self._repeat, asker, number)

    async def _repeat(self, asker: Asker, number: int) -> None:
        for one in self.orders[number :: self._clients]:
            await self._create(asker, one)
        for wish in self.wishes[number :: self._clients]:
            if wish.heard:
                await asker.carry_out(wish)

    async def until(self, accepted: int) -> None:
        """Waits until so many orders were accepted."""
        with trio.fail_after(WITHIN_SECONDS):
            while self.accepted < accepted:  # noqa: ASYNC110  (ten lines of events for a test's patience)
                await trio.sleep(0.01)

    async def _merchant(self, client: httpx2.AsyncClient, number: int) -> None:
        dice = Random(f"{self._seed}:{number}")
        asker = Asker(client, self.seen, self.problems)
        count = 0
        while not self._stopped:
            count += 1
            key = f"m{self._seed}-{number}-{count}"
            one = Order(key=key, body=_body(key, dice, several=self._business and dice.random() < 0.4))
            if self._wallet and dice.random() < 0.05:
                one.body["payment_method"] = {"type": "paypal"}
            self.orders.append(one)
            twice = dice.random() < 0.15
            async with trio.open_nursery() as nursery:  # some press the button twice
                nursery.start_soon(self._create, asker, one)
                if twice:
                    nursery.start_soon(self._create, asker, one)
            if not one.body.get("confirm", True):
                await asker.ask(f"/v1/payments/{one.payment_id}/confirm", {}, f"{key}-confirm")
            if self._business:
                await self._deal(asker, one, dice)
            elif dice.random() < 0.08:
                answer = await asker.ask(f"/v1/payments/{one.payment_id}/cancel", {}, f"{key}-cancel")
                one.canceled = answer.status_code in ACCEPTED

    async def _create(self, asker: Asker, one: Order) -> None:
        answer = await asker.ask("/v1/payments", one.body, one.key)
        assert answer.status_code in (201, 202), f"{one.key}: {answer.status_code} {answer.text}"
        one.heard.append((answer.status_code, answer.content))
        one.payment_id = answer.json()["id"]

    async def _deal(self, asker: Asker, one: Order, dice: Random) -> None:
        """A few steps after the payment, some of them asked for twice at once under the same key."""
        gently = "connector_options" in one.body
        for step in range(dice.randrange(4 if gently else 3)):
            payment = await asker.look(f"/v1/payments/{one.payment_id}")
            wish = draw(payment, dice, f"{one.key}-{step}", gently=gently and dice.random() < 0.8)
            self.wishes.append(wish)
            twice = dice.random() < 0.2
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.carry_out, wish)
                if twice:
                    nursery.start_soon(asker.carry_out, wish)


def _body(key: str, dice: Random, *, several: bool = False) -> dict[str, Any]:
    confirm = {} if dice.random() < 0.85 else {"confirm": False}
    return order(
        key,
        dice.choice(TOKENS),
        amount=dice.randrange(100, 100_000),
        currency=dice.choice(("EUR", "USD", "JPY")),
        **{"capture": dice.choice(("automatic", "automatic", "manual")), **(SEVERAL_CAPTURES if several else {}), **confirm},
    )
