"""Sixty-four clients at once on the same few payments, with captures, voids, refunds and cancels, sensible and not, some sent twice.

Whatever order they come in and whatever the PSP does meanwhile: no answer ever shows more captured than authorised or more given back than
taken, one key has one effect, and in the end every single operation stands in our books as in the PSP's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
import trio

from tests.e2e import books
from tests.e2e.dealings import LISTS, SEVERAL_CAPTURES, Asker, Wish, draw
from tests.e2e.merchants import Order
from tests.e2e.stack import Stack, order

CLIENTS = 64
CAST: tuple[dict[str, Any], ...] = (
    SEVERAL_CAPTURES,  # stays open to many small steps
    {"capture": "manual"},  # closed by whoever comes first
    {"capture": "automatic"},
    SEVERAL_CAPTURES,
    {"payment_method": {"type": "card", "token": "tok_pending"}},  # its outcome is open while they ask
    {"capture": "manual"},
    {"payment_method": {"type": "card", "token": "tok_3ds"}},
)
FAULTS = (
    ("charge_then_hang", 0.05),
    ("reset_after", 0.1),
    ("charge_then_500", 0.05),
    ("error_500", 0.05),
    ("malformed", 0.05),
    ("refuse", 0.05),
)


class Race:
    """The clients, what they asked for, and all that they heard."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.stack = stack
        self.seed = seed
        self.orders: list[Order] = []
        self.wishes: list[Wish] = []
        self.seen: Counter[str] = Counter()
        self.problems: list[tuple[int, dict[str, Any], bool]] = []

    async def run(self, payments: int, rounds: int, faults: Sequence[tuple[str, float]] = ()) -> None:
        """Makes the payments while the PSP is healthy, then lets everybody loose on them."""
        async with self.stack.client() as client:
            asker = Asker(client, self.seen, self.problems)
            made = [await self._pay(asker, number) for number in range(payments)]
            for fault, rate in faults:
                await self.stack.fault(fault, rate=rate)
            async with trio.open_nursery() as nursery:
                for number in range(CLIENTS):
                    nursery.start_soon(self._client, asker, made, number, rounds)
            await self.stack.heal()

    async def _pay(self, asker: Asker, number: int) -> dict[str, Any]:
        key = f"race-{self.seed}-{number}"
        body = order(key, **{"amount": 50_000 + number, **CAST[number % len(CAST)]})
        answer = await asker.ask("/v1/payments", body, key)
        payment: dict[str, Any] = answer.json()
        assert payment["state"] in ("AUTHORIZED", "CAPTURED", "PROVIDER_PENDING", "REQUIRES_ACTION")
        self.orders.append(Order(key=key, body=body, heard=[(answer.status_code, answer.content)], payment_id=payment["id"]))
        return payment

    async def _client(self, asker: Asker, made: list[dict[str, Any]], number: int, rounds: int) -> None:
        dice = Random(f"{self.seed}:{number}")
        for count in range(rounds):
            payment = dice.choice(made)
            gently = CAST[made.index(payment) % len(CAST)] is SEVERAL_CAPTURES
            wish = draw(payment, dice, f"race-{self.seed}-{number}-{count}", gently=gently)
            self.wishes.append(wish)
            twice = dice.random() < 0.2
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.carry_out, wish)
                if twice:
                    nursery.start_soon(asker.carry_out, wish)
            await self._sees_its_own_deed(asker, wish)

    async def _sees_its_own_deed(self, asker: Asker, wish: Wish) -> None:
        """Whoever was answered finds it at once, in the payment and by itself."""
        payment = await asker.look(f"/v1/payments/{wish.payment_id}")
        if wish.operation_id is not None:
            assert wish.operation_id in [one["id"] for one in payment[LISTS[wish.kind]]], f"{wish} is not in {payment}"
            found = await asker.look(f"/v1/{LISTS[wish.kind]}/{wish.operation_id}")
            assert (found["object"], found["reference"], found["payment"]["id"]) == (wish.kind, wish.key, wish.payment_id)
            assert found["payment"]["version"] >= payment["version"], "a later look shows an earlier payment"

    def summary(self, states: Counter[str]) -> str:
        ends = ("done" if wish.operation_id else "heard" if wish.heard else wish.refusals[0] for wish in self.wishes)
        made = Counter(f"{wish.kind} {end}" for wish, end in zip(self.wishes, ends, strict=True))
        said = f"{len(self.wishes)} wishes on {len(self.orders)} payments: {dict(sorted(made.items()))}"
        return f"{said}; heard {dict(self.seen.most_common())}; ended {dict(states)}"


async def judged(race: Race) -> Counter[str]:
    for status, problem, has_retry_after in race.problems:
        assert status in (409, 422) or (status == 503 and has_retry_after), problem
    states = await books.check(race.stack, race.orders, race.wishes)
    print(race.summary(states))
    assert race.stack.tracebacks() == []
    return states


async def test_many_clients_on_few_payments(healthy: Stack) -> None:
    race = Race(healthy, 1)
    await race.run(payments=7, rounds=4)
    await judged(race)
    assert race.seen["503"] == 0
    assert {wish.kind for wish in race.wishes if wish.heard} == {"capture", "refund", "void", "cancel"}
    assert {code for wish in race.wishes for code in wish.refusals} >= {
        "operation_not_allowed",
        "amount_exceeds_refundable",
    }
    assert not (left := await books.unresolved(healthy, race.orders)), "\n".join(left)


async def test_many_clients_and_a_psp_that_breaks(rough: Stack) -> None:
    race = Race(rough, 2)
    await rough.start()
    await race.run(payments=7, rounds=3, faults=FAULTS)
    await judged(race)


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(3))
async def test_many_clients_at_length(make_stack: Callable[..., Stack], seed: int) -> None:
    stack = make_stack()
    await stack.start()
    for faults in ((), FAULTS):
        race = Race(stack, 100 + 10 * seed + len(faults))
        await race.run(payments=14, rounds=25, faults=faults)
        await judged(race)
