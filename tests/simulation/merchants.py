"""Merchants who do what merchants do: pay, capture in parts, void, refund too much, cancel, all at once, again under the same key when they
hear nothing, and again the next day. And their shoppers, who come late or twice.

What they do is drawn from dice of each order's own. What they heard is kept and judged in `history`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

import trio

from connectors.simulator.dialect import Deed
from connectors.simulator.faults import RequestKind
from tests.simulation.history import PLURAL, Ask, Classified, Order, answered, saw
from tests.simulation.runtime import ConnectionLost, Heard, Runtime
from tests.simulation.world import World

TOKENS: Final = (
    *("tok_visa",) * 10,
    *("tok_mastercard",) * 2,
    "tok_soft_decline",
    "tok_insufficient_funds",
    "tok_hard_decline",
    "tok_fraud",
    *("tok_3ds",) * 3,
    "tok_3ds_fail",
    "tok_pending",
    "tok_capture_fails_late",
    "tok_refund_fails_late",
)
PATIENCE: Final = 200
"""Tries of one request. Enough for any sequence of lives; a request that needs more is stuck, and that is a failure of its own."""
OTHER_BODY: Final = {"reference": "something else"}


class Merchant:
    """One order and its whole life. `trade` is its first day, `trade_on` the next one, `settle_up` asks once more for everything."""

    def __init__(self, world: World, runtime: Runtime, number: int) -> None:
        self._world = world
        self._runtime = runtime
        self._dice = world.dice(f"order:{number}")
        self._shop = world.dice(f"shopper:{number}")
        self._asked = 0
        self.order = self._drawn(number)

    def _drawn(self, number: int) -> Order:
        dice = self._dice
        manual = dice.random() < 0.6
        body: dict[str, Any] = {
            "amount": dice.randrange(100, 100_000),
            "currency": dice.choice(("EUR", "USD", "JPY")),
            "capture": "manual" if manual else "automatic",
            "reference": f"order-{number}",
            "return_url": "https://shop.example/back",
            "payment_method": {"type": "card", "token": dice.choice(TOKENS), "brand": "visa"},
        }
        if manual and dice.random() < 0.6:
            body["connector_options"] = {"stripe": {"request_multicapture": "if_available"}}
        if dice.random() < 0.1:
            body["confirm"] = False
        creation = Ask("create", f"o{number}", "/v1/payments", body)
        return Order(number, creation, token=body["payment_method"]["token"])

    # --- the days

    async def trade(self) -> None:
        """Place the order, and do what its state suggests."""
        await trio.sleep(self._dice.random() * 25)
        if self._world.strikes(self._world.fate.strangers):
            self._world.psp.stranger(self._dice.randrange(100, 10_000))
        twice = 2 if self._dice.random() < 0.2 else 1
        await self._at_once(*(partial(self._persist, self.order.creation) for _ in range(twice)))
        if self.order.payment_id is not None:
            await self._deal(self._dice.randrange(1, 4))

    async def trade_on(self) -> None:
        """The next day: the shopper who never came back, the capture that was forgotten, a key from yesterday."""
        await trio.sleep(self._dice.random() * 25)
        if self.order.payment_id is None:
            await self._persist(self.order.creation)
        if self.order.payment_id is not None:
            await self._deal(self._dice.randrange(0, 3))

    async def settle_up(self) -> None:
        """Every key that was ever used is asked about once more, so that nothing stays unsure."""
        for ask in (self.order.creation, *self.order.asks):
            if ask.classified is not Classified.FAIL:
                await self._persist(ask)

    async def _deal(self, steps: int) -> None:
        for _ in range(steps):
            payment = await self._look()
            await self._step(payment)
            await trio.sleep(self._dice.random() * 6)

    # --- one step

    async def _step(self, payment: dict[str, Any]) -> None:
        dice = self._dice
        if self._world.strikes(self._world.fate.meddling) and self._meddle(payment):
            return None
        if self._world.strikes(self._world.fate.disputes) and await self._dispute(payment):
            return None
        if payment["status"] == "requires_action" and dice.random() < 0.8:
            return await self._shopper(payment)
        chance = dice.random()
        if chance < 0.1 and self.order.asks:
            return await self._persist(dice.choice([self.order.creation, *self.order.asks]))
        if chance < 0.17:
            return await self._abuse(dice.choice([self.order.creation, *self.order.asks]))
        if chance < 0.32:
            self._world.note("merchant", "race")
            first = self._wish(payment)
            same = dice.random() < 0.5  # pressed twice, each time under a key of its own
            others = [self._wish(payment, like=first if same else None) for _ in range(dice.randrange(1, 3))]
            return await self._at_once(*(partial(self._persist, ask) for ask in (first, *others)))
        ask = self._wish(payment)
        # Now and then somebody hears nothing and does not ask again before the next day.
        return await self._persist(ask, tries=1 if dice.random() < 0.1 else PATIENCE)

    def _wish(self, payment: dict[str, Any], *, like: Ask | None = None) -> Ask:
        """What a merchant may want of a payment in that state; sometimes what cannot be. `like`: the same again, as another wish."""
        dice = self._dice
        kinds = {
            "requires_confirmation": ("confirm", "confirm", "confirm", "cancel"),
            "requires_action": ("cancel", "void", "cancel"),
            "requires_capture": ("capture", "capture", "capture", "capture", "void"),
            "partially_captured": ("capture", "capture", "void", "refund", "refund"),
            "succeeded": ("refund",),
            "processing": ("capture", "void", "refund", "cancel", "cancel"),
        }.get(payment["status"], ("refund", "capture", "cancel"))
        kind = like.kind if like is not None else "refund" if dice.random() < 0.05 else dice.choice(kinds)
        self._asked += 1
        key = f"{self.order.creation.key}-{kind}-{self._asked}"
        body = self._body(kind, key, payment) if like is None else {**like.body, **({"reference": key} if kind in PLURAL else {})}
        word = PLURAL.get(kind, kind)
        ask = Ask(kind, key, f"/v1/payments/{payment['id']}/{word}", body)
        self.order.asks.append(ask)
        return ask

    def _body(self, kind: str, key: str, payment: dict[str, Any]) -> dict[str, Any]:
        if kind not in PLURAL:
            return {}
        body: dict[str, Any] = {"reference": key}
        left = payment["amount_capturable" if kind == "capture" else "amount_refundable"]
        how = self._dice.random()
        if kind == "void" or how < 0.35:
            return body
        if how > 0.93:
            return {**body, "amount": left + 1 + self._dice.randrange(100)}
        part = 1 + self._dice.randrange(max(1, left))
        if kind == "capture" and self._dice.random() < 0.4:
            body["final"] = True
        return {**body, "amount": part}

    async def _abuse(self, ask: Ask) -> None:
        """The same key with another body: never accepted."""
        if not any(one.status in (200, 201, 202) for one in ask.heard):
            return
        try:
            heard = await self._runtime.post(ask.path, OTHER_BODY, ask.key)
        except ConnectionLost:
            return
        self._world.note("merchant", f"another body: {heard.status}")
        assert heard.status not in (200, 201, 202), f"M6: {ask.key} was accepted with another body"
        # 409: a twin is on its way. 503: nobody could look.
        assert heard.status in (400, 409, 422, 503), f"{ask.path} with another body was answered {heard.status}: {heard.body!r}"

    def _meddle(self, payment: dict[str, Any]) -> bool:
        """Somebody in the merchant's office uses the PSP's dashboard instead."""
        kind = {
            "succeeded": RequestKind.REFUND,
            "partially_captured": RequestKind.REFUND,
            "requires_capture": self._dice.choice((RequestKind.CAPTURE, RequestKind.VOID)),
            "requires_action": RequestKind.VOID,
            "processing": RequestKind.REFUND,  # where the charge is there already, and nobody here knows of it
        }.get(payment["status"])
        if kind is None:
            return False
        amount = 1 + self._dice.randrange(max(1, payment["amount_captured"] or payment["amount"]))
        done = self._world.psp.meddle(payment, kind, amount)
        if done:
            self._world.fault(f"somebody's {kind} at the PSP")
        return done

    async def _dispute(self, payment: dict[str, Any]) -> bool:
        """The shopper's bank asks, or takes the money back; and mostly decides what it has taken back."""
        moves = [Deed.INQUIRY, Deed.DISPUTE, Deed.DISPUTE]
        self._dice.shuffle(moves)
        deed = self._world.psp.bank(payment, moves)
        if deed is None:
            return False
        self._world.note("bank", deed)
        if self._dice.random() < 0.7:
            await trio.sleep(self._dice.random() * 10)
            ends = [Deed.WIN_DISPUTE, Deed.LOSE_DISPUTE]
            self._dice.shuffle(ends)
            self._world.note("bank", self._world.psp.bank(payment, ends) or "is satisfied")
        return True

    # --- asking

    async def _at_once(self, *steps: Callable[[], Any]) -> None:
        async with trio.open_nursery() as nursery:
            for step in steps:
                nursery.start_soon(step)

    async def _persist(self, ask: Ask, tries: int = PATIENCE) -> None:
        """The request, again and again under the same key, until it is answered for good."""
        for _ in range(tries):
            ask.sent += 1
            try:
                heard = await self._runtime.post(ask.path, ask.body, ask.key)
            except ConnectionLost:
                await trio.sleep(0.2 + self._dice.random())
                continue
            if await self._is_final(ask, heard):
                answered(ask, heard)
                self._world.note("answer", f"{ask.kind} {heard.status}")
                return
        assert tries < PATIENCE, f"L1: {ask.path} under {ask.key} was never answered"

    async def _is_final(self, ask: Ask, heard: Heard) -> bool:
        assert heard.status != 404, f"L1: {ask.path} is about an accepted payment, which does not exist"
        assert heard.status < 500 or heard.status == 503, f"{ask.path} was answered {heard.status}: {heard.body!r}"
        if heard.status == 503 or (heard.status == 409 and heard.json["code"] == "idempotency_in_progress"):
            wait = heard.headers.get("retry-after")
            assert wait is not None, f"{ask.path} was answered {heard.status} without Retry-After"
            await trio.sleep(float(wait))
            return False
        return True

    async def _look(self) -> dict[str, Any]:
        """The payment as it stands; now and then one of its operations, which shows the same payment."""
        payment = await self._read(f"/v1/payments/{self.order.payment_id}")
        saw(self.order, payment)
        shown = [(kind, one) for kind, plural in PLURAL.items() for one in payment[plural]]
        if shown and self._dice.random() < 0.3:
            kind, one = self._dice.choice(shown)
            operation = await self._read(f"/v1/{PLURAL[kind]}/{one['id']}")
            assert (operation["id"], operation["object"], operation["amount"]) == (one["id"], kind, one["amount"]), f"L1: {operation}"
            saw(self.order, operation["payment"])
            payment = operation["payment"]
        return payment

    async def _read(self, path: str) -> dict[str, Any]:
        for _ in range(PATIENCE):
            try:
                heard = await self._runtime.get(path)
            except ConnectionLost:
                await trio.sleep(0.2 + self._dice.random())
                continue
            assert heard.status in (200, 503), f"L1: GET {path} was answered {heard.status}: {heard.body!r}"
            if heard.status == 200:
                return heard.json
            await trio.sleep(float(heard.headers["retry-after"]))
        raise AssertionError(f"L1: GET {path} was never answered")

    # --- the shopper

    async def _shopper(self, payment: dict[str, Any]) -> None:
        """The shopper opens the PSP's page, decides there, and mostly comes back, some of them twice."""
        dice = self._shop
        await trio.sleep(dice.random() * 30)
        outcome = dice.choice(("approve", "approve", "approve", "fail", "cancel"))
        for _ in range(dice.choice((1, 1, 1, 2))):
            answer = self._world.psp.shopper_answers(payment["next_action"]["url"], outcome)
            self._world.note("shopper", f"{outcome} {answer.status}")
            location = answer.header("location")
            if location is not None and dice.random() < 0.7:
                await self._come_back("/" + location.split("://", 1)[-1].split("/", 1)[-1], dice)

    async def _come_back(self, path: str, dice: Random) -> None:
        for _ in range(dice.choice((1, 1, 2))):
            with contextlib.suppress(ConnectionLost):
                heard = await self._runtime.get(path)
                assert heard.status in (200, 303, 503), f"a returning shopper was answered {heard.status}: {heard.body!r}"
