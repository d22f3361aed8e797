"""A PSP that fails every call for a while, under steady traffic: it is left alone, tried now and then, and used again soon after.

Counted at the PSP itself: what is sent to it meanwhile is at most 1.1 calls that move money for each payment. Whatever became unknown is
known within seconds of its answering again, as far as it tells: a 500 that it stored under our key is all that it ever answers to a replay,
and of a charge that was never made its search can say so only when the key's day is over. Those wait for that, with their next look in the
database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import trio

from tests.e2e import books
from tests.e2e.dealings import Asker
from tests.e2e.merchants import Order
from tests.e2e.stack import QUICK, WITHIN_SECONDS, Stack, order

MOVING_MONEY = ("authorize", "capture", "void", "refund")
RETRY_BOUND = 1.1
WELL_AGAIN = 10
"""So many successes in a row, and the outage is over for merchants."""
NEVER_MADE = "error_500"
SEARCHED = {**QUICK, "PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": "2,5,15,60,300,900,3600,21600,86400"}


@dataclass
class Sale:
    """One payment of the steady traffic."""

    order: Order
    begun: float
    answered: float | None = None
    payment: dict[str, Any] = field(default_factory=dict)


class Traffic:
    """Shoppers who come at a steady pace, whatever becomes of those before them."""

    def __init__(self, stack: Stack, name: str, per_second: float, **members: Any) -> None:
        """`members` of each order, beside the usual."""
        self._stack = stack
        self._members = members
        self._name = name
        self._pause = 1 / per_second
        self._stopped = False
        self.sales: list[Sale] = []
        self.seen: Counter[str] = Counter()
        self.problems: list[tuple[int, dict[str, Any], bool]] = []

    async def flow(self) -> None:
        async with self._stack.client() as client, trio.open_nursery() as nursery:
            begun = trio.current_time()
            while not self._stopped:
                nursery.start_soon(self._sell, client)
                await trio.sleep_until(begun + len(self.sales) * self._pause)

    def stop(self) -> None:
        self._stopped = True

    async def _sell(self, client: httpx2.AsyncClient) -> None:
        key = f"{self._name}-{len(self.sales)}"
        sale = Sale(order=Order(key=key, body=order(key, **self._members)), begun=trio.current_time())
        self.sales.append(sale)
        answer = await Asker(client, self.seen, self.problems).ask("/v1/payments", sale.order.body, key)
        sale.answered, sale.payment = trio.current_time(), answer.json()
        sale.order.heard.append((answer.status_code, answer.content))
        sale.order.payment_id = sale.payment["id"]

    def between(self, since: float, until: float) -> list[Sale]:
        return [sale for sale in self.sales if since <= sale.begun < until]

    async def well_again(self, since: float, status: str = "succeeded") -> float:
        """Waits until the newest payments come to that one after the other; when the first of that row was answered."""
        with trio.fail_after(WITHIN_SECONDS):
            while True:
                newest = [sale for sale in self.sales if sale.begun >= since and sale.answered is not None][-WELL_AGAIN:]
                if len(newest) == WELL_AGAIN and all(sale.payment["status"] == status for sale in newest):
                    return newest[0].answered or 0.0
                await trio.sleep(0.05)


async def circuits(stack: Stack, after: int) -> list[str]:
    """What the journal tells about the circuit for authorisations since that position, in order."""
    query = (
        "SELECT name FROM payorch.journal WHERE stream = 'connector' AND position > %s AND body->>'operation' = 'authorize'"
        " ORDER BY position"
    )
    return [name for (name,) in await stack.rows(query, after)]


async def unsure(stack: Stack, name: str) -> int:
    """How many payments of that traffic have an open outcome."""
    query = "SELECT count(*) FROM payorch.payments WHERE reference LIKE %s AND state IN ('AUTHORIZING', 'OUTCOME_UNKNOWN')"
    ((count,),) = await stack.rows(query, f"{name}-%")
    return int(count)


async def outage(stack: Stack, fault: str, seconds: float, per_second: float) -> None:
    """One outage from its beginning to the last consequence."""
    name = f"outage-{fault}"
    traffic = Traffic(stack, name, per_second)
    ((position,),) = await stack.rows("SELECT position FROM payorch.journal_head")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic.flow)
        await traffic.well_again(0.0)
        before = await stack.requests()
        await stack.fault(fault)
        ill = trio.current_time()
        await trio.sleep(seconds)
        after = await stack.requests()
        await stack.heal()
        healed = trio.current_time()
        well = await traffic.well_again(healed) - healed
        if fault != NEVER_MADE:
            with trio.fail_after(WITHIN_SECONDS):
                while await unsure(stack, name):  # noqa: ASYNC110  (another process's database is all there is to ask)
                    await trio.sleep(0.1)
        known = trio.current_time() - healed
        traffic.stop()
    meanwhile = traffic.between(ill, healed)
    calls = sum(after.get(kind, 0) - before.get(kind, 0) for kind in MOVING_MONEY)
    looks = after.get("inquire", 0) - before.get("inquire", 0)
    ends = Counter(sale.payment["failure"]["code"] if sale.payment["failure"] else sale.payment["state"] for sale in meanwhile)
    print(
        f"{fault} for {seconds:.0f} s: {len(meanwhile)} payments, {calls} calls that move money ({calls / len(meanwhile):.2f} each),"
        f" {looks} look-ups; answered {dict(ends.most_common())}; payments succeed again {well:.1f} s after it is well,"
        f" {'what was never made is scheduled' if fault == NEVER_MADE else f'all is known {known:.1f} s after'}"
    )
    assert calls <= RETRY_BOUND * len(meanwhile)
    story = await circuits(stack, position)
    print(f"  the circuit: {story}")
    assert story[:2] == ["CircuitOpened", "CircuitProbing"], story
    assert story[-1] == "CircuitClosed", story
    await left_alone_and_told(stack, meanwhile)
    assert {status for status, _, _ in traffic.problems} <= {503}
    await books.check(stack, [sale.order for sale in traffic.sales])


async def left_alone_and_told(stack: Stack, meanwhile: list[Sale]) -> None:
    """Payments that the open circuit turned away ended at once, and their stories say why."""
    turned_away = [sale for sale in meanwhile if sale.payment["failure"] and sale.payment["failure"]["code"] == "no_route"]
    assert turned_away, "the circuit was open and nobody was turned away"
    # At once: the first answer is the final one, and no call was made that had to be waited for.
    assert {sale.order.heard[0][0] for sale in turned_away} == {201}
    assert {attempt["state"] for sale in turned_away for attempt in sale.payment["attempts"]} <= {"NOT_SENT"}
    failure = turned_away[-1].payment["failure"]
    assert "circuit of stripe for authorisations" in failure["message"], failure
    told = (await stack.get(f"/v1/payments/{turned_away[-1].order.payment_id}/timeline")).json()["data"]
    assert any("circuit of stripe for authorisations" in str(event) for event in told), told


async def test_a_psp_that_fails_every_call(rough: Stack) -> None:
    rough.hears = False  # what is found out is found out by asking
    await rough.start()
    await outage(rough, NEVER_MADE, 5.0, 20.0)
    await outage(rough, "charge_then_hang", 5.0, 20.0)


@pytest.mark.prove
@pytest.mark.parametrize("fault", [NEVER_MADE, "refuse", "charge_then_500", "charge_then_hang", "hang_before", "reset_after"])
async def test_a_psp_that_fails_every_call_for_a_minute(make_stack: Callable[..., Stack], fault: str) -> None:
    stack = make_stack(**SEARCHED)
    stack.hears = False
    await stack.start()
    await outage(stack, fault, 60.0, 20.0)
    assert stack.tracebacks() == []
