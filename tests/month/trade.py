"""What happens in a month: orders of every kind, each a story of a few days, at every PSP and in every currency that it has.

Amounts are odd on purpose, so that percentages and exchanges leave something over; but never finer than the PSP can charge.

Not here: the platform and its PSPs (`world`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from tests.month.world import PSPS, Town

CURRENCIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "stripe": ("EUR", "USD", "JPY", "KWD", "ISK"),
        "adyen": ("EUR", "USD", "JPY", "KWD", "ISK"),
        "paypal": ("EUR", "USD", "JPY", "SEK", "TWD"),  # it takes neither Kuwait's nor Iceland's; Sweden's and Taiwan's it exchanges
    }
)
_LEAST: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {"EUR": (1499, 1), "USD": (1601, 1), "JPY": (1777, 1), "KWD": (5170, 10), "ISK": (2111, 1), "SEK": (17_303, 1), "TWD": (47_100, 100)}
)
"""The smallest order, and the steps in which the PSPs charge, in ISO 4217 minor units."""
_SEVERAL: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {"stripe": {"request_multicapture": "if_available"}, "adyen": {"multiple_partial_captures": True}}
)
"""What a merchant has to ask of a PSP that is to capture a payment several times."""


@dataclass(slots=True)
class Order:
    """One order. taken: what of it was captured or is to be, as far as its story says so."""

    town: Town
    psp: str
    currency: str
    number: int
    payment_id: str = ""
    amount: int = field(init=False)

    def __post_init__(self) -> None:
        least, step = _LEAST[self.currency]
        self.amount = least + step * 37 * self.number

    def part(self, percent: int) -> int:
        """So much of it, as it can be charged."""
        step = _LEAST[self.currency][1]
        return self.amount * percent // 100 // step * step

    async def pay(self, token: str = "tok_visa", *, held: bool = False, several: bool = False) -> dict[str, Any]:
        """The shopper pays: at once, or so that it can be captured later."""
        body: dict[str, Any] = {
            "amount": self.amount, "currency": self.currency, "connector": self.psp, "capture": "manual" if held else "automatic",
            "payment_method": {"type": "card", "token": token},
        }  # fmt: skip
        if several and self.psp in _SEVERAL:
            body["connector_options"] = {self.psp: _SEVERAL[self.psp]}
        paid = await self.town.post("/v1/payments", body)
        self.payment_id = paid["id"]
        return paid

    async def capture(self, minor: int | None = None, *, final: bool = True) -> None:
        """Takes so much of what is held, or all; final: the rest is let go."""
        more = {} if minor is None else {"amount": minor}
        await self.town.post(f"/v1/payments/{self.payment_id}/captures", {**more, "final": final})

    async def refund(self, minor: int | None = None) -> None:
        """Gives so much back, or all that is left."""
        await self.town.post(f"/v1/payments/{self.payment_id}/refunds", {} if minor is None else {"amount": minor})

    async def void(self) -> None:
        """Lets go of what is held."""
        await self.town.post(f"/v1/payments/{self.payment_id}/voids", {})

    async def bank(self, deed: str) -> None:
        """The shopper's bank does that."""
        shown = await self.town.payment(self.payment_id)
        ours = {attempt["id"] for attempt in shown["attempts"]}
        psp = self.town.psps[self.psp]
        theirs = next(one for one in psp.ledger.payments(limit=1000).items if one.reference in ours)
        psp.do(theirs.id, deed)


Step: TypeAlias = Callable[[Order], Awaitable[object]]


async def _rest(order: Order) -> None:
    """A day on which nothing happens."""


STORIES: Final[Mapping[str, tuple[Step, ...]]] = MappingProxyType(
    {
        "taken at once": (lambda it: it.pay(),),
        "taken the next day": (lambda it: it.pay(held=True), lambda it: it.capture()),
        "taken in part": (lambda it: it.pay(held=True), _rest, lambda it: it.capture(it.part(63))),
        "taken in three parts": (
            lambda it: it.pay(held=True, several=True),
            lambda it: it.capture(it.part(31), final=False),
            lambda it: it.capture(it.part(31), final=False),  # as large as the first: only its own id tells them apart
            lambda it: it.capture(it.part(17), final=False),
            lambda it: it.void(),
        ),
        "given back in parts": (
            lambda it: it.pay(),
            lambda it: it.refund(it.part(23)),
            lambda it: it.refund(it.part(23)),
            lambda it: it.refund(),
        ),
        "taken in part and given back": (
            lambda it: it.pay(held=True),
            lambda it: it.capture(it.part(57)),
            lambda it: it.refund(it.part(19)),
        ),
        "never taken": (lambda it: it.pay(held=True), lambda it: it.void()),
        "declined": (lambda it: it.pay("tok_hard_decline"),),
        "taken later, which fails": (lambda it: it.pay("tok_capture_fails_late", held=True), lambda it: it.capture()),
        "given back, which fails": (lambda it: it.pay("tok_refund_fails_late"), lambda it: it.refund(it.part(41))),
        "charged back": (lambda it: it.pay(), lambda it: it.bank("dispute"), _rest, lambda it: it.bank("lose_dispute")),
        "charged back and won": (lambda it: it.pay(), _rest, lambda it: it.bank("dispute"), lambda it: it.bank("win_dispute")),
        "asked about and charged back": (lambda it: it.pay(), lambda it: it.bank("inquiry"), lambda it: it.bank("dispute")),
    }
)
LONGEST: Final = max(len(story) for story in STORIES.values())


@dataclass(slots=True)
class Trade:
    """Everything that is ordered in so many days, and how far it has come. again: so often every combination comes."""

    town: Town
    days: int
    again: int = 1
    begun: list[tuple[Order, Iterator[Step], int]] = field(default_factory=list)

    def beginning(self, day: int) -> list[tuple[Order, str]]:
        """What is ordered on that day: the combinations are spread over all days on which their stories still have time."""
        span = self.days - LONGEST
        return [(order, story) for number, (order, story) in enumerate(self.orders()) if number % span == day]

    def orders(self) -> Iterable[tuple[Order, str]]:
        """All of them."""
        number = 0
        for _ in range(self.again):
            for story in STORIES:
                for psp in PSPS:
                    for currency in CURRENCIES[psp]:
                        number += 1
                        yield Order(self.town, psp, currency, number), story

    async def session(self, day: int, half: int) -> None:
        """Half of that day's business: whatever began in such a half goes on in such a half."""
        for number, (order, story) in enumerate(self.beginning(day)):
            if number % 2 == half:
                self.begun.append((order, iter(STORIES[story]), half))
        for order, steps, its in self.begun:
            if its == half and (step := next(steps, None)) is not None:
                await step(order)


async def a_day(town: Town, trade: Trade, begins: date, day: int) -> None:
    """One day of everybody's: reports of the day before, business at noon and before midnight, and what follows from it by itself."""
    today = begins + timedelta(days=day)
    town.turn_to(today, 8, 1)
    if day:
        await town.bring_all(today - timedelta(days=1))
    await town.a_while(1)
    for half, (hour, minute) in enumerate(((12, 0), (23, 40))):
        town.turn_to(today, hour, minute)
        await trade.session(day, half)
        await town.a_while()
