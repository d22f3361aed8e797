"""Merchants who trade over three PSPs at once, each of which gets three requests in ten wrong, in every way there is, and its webhooks too.

Payments are parted between the PSPs by a rule, fail over between them, are captured, voided and refunded, and in the long version the
platform is killed in the middle of it. Then the PSPs are well again, and the judge compares the merchants' memory, our books and each PSP's
own ledger: nothing doubled, nothing lost, and every payment at its end, unknown with its next step in the database, or with people.

All chance is seeded: the merchants', and the PSPs' dice. Not here: one PSP's faults and named crash points (`test_kills`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
import trio

from connectors.registry import CONNECTORS
from connectors.simulator.faults import REQUEST_FAULTS, WEBHOOK_FAULTS, FaultKind
from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import Stack

SHARE: Final = 0.3
"""Of requests that meet a fault, and of webhooks."""
SEED: Final = 5
PAYMENTS: Final = 300
PAYMENTS_AT_LENGTH: Final = 10_000
AT_ONCE: Final = 24
SHORTENED: Final = {FaultKind.SLOW: 0.3, FaultKind.DRIP: 0.3, FaultKind.RATE_LIMIT_429_RETRY_AFTER: 1, FaultKind.WEBHOOKS_LATE: 1.0}
"""Seconds of those that last: enough to be noticed, and not all of the test."""
SETTINGS: Final = {
    "PAYORCH_ROUTING__DEFAULT": "paypal,stripe,adyen",
    # What a lost webhook would have told is looked for soon, and then not before the test is over.
    "PAYORCH_PAYMENTS__PENDING_LOOKS_SECONDS": "1,2,4,3600",
}
RULES: Final = """
[[rules]]
name = "in equal parts"
when = { method = "card" }
split = { stripe = 34, adyen = 33, paypal = 33 }
"""


async def break_all(stack: Stack) -> None:
    """Every fault at every PSP, so rarely each that together they hit three in ten."""
    for psp in CONNECTORS:
        for faults in (REQUEST_FAULTS, sorted(WEBHOOK_FAULTS)):
            each = 1 - (1 - SHARE) ** (1 / len(faults))  # each throws its own dice
            for fault in faults:
                seconds = {"seconds": SHORTENED[fault]} if fault in SHORTENED else {}
                await stack.fault(fault, psp=psp, rate=round(each, 4), **seconds)


async def traded(stack: Stack, market: Market, payments: int) -> None:
    """Waits until so many orders were accepted, however long it takes, as long as it goes on."""
    while market.accepted < payments:
        await market.until(min(payments, market.accepted + 25))


async def judged(stack: Stack, market: Market) -> None:
    """Once the PSPs are well: what the judge says, and that it had something to judge."""
    await market.repeat()
    states = await books.check(stack, market.orders, market.wishes)
    charges = await stack.charges()
    by_psp = {psp: sum(one["psp"] == psp and one["captured"] > 0 for one in charges) for psp in CONNECTORS}
    print(f"{books.summary(market, states)}; captured at {by_psp}")
    assert market.accepted == len(market.orders)
    assert min(by_psp.values()) > len(market.orders) / 50, by_psp
    assert {wish.kind for wish in market.wishes if wish.heard} >= {"capture", "refund", "void"}
    moved = await stack.rows(
        "SELECT count(*) FROM (SELECT payment_id FROM payorch.attempts GROUP BY payment_id HAVING count(DISTINCT connector) > 1) AS x"
    )
    assert moved[0][0] > 0, "nobody failed over"


def rules_in(folder: Path) -> str:
    folder.mkdir()
    (folder / "routing.toml").write_text(RULES)
    return str(folder)


async def test_every_fault_on_all_psps_at_once(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = make_stack(PAYORCH_CONFIG_DIR=rules_in(tmp_path / "rules"), **SETTINGS)
    market = Market(stack, SEED, AT_ONCE, business=True, wallet=True)
    await stack.start()
    await break_all(stack)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        await traded(stack, market, PAYMENTS)
        market.stop()
        await stack.heal()
    await judged(stack, market)
    assert stack.tracebacks() == []


@pytest.mark.prove
async def test_every_fault_on_all_psps_at_once_at_length(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """The same for long, with the platform killed three times in the middle of it. PROVE_PAYMENTS says how long."""
    payments = int(os.environ.get("PROVE_PAYMENTS", PAYMENTS_AT_LENGTH))
    stack = make_stack(PAYORCH_CONFIG_DIR=rules_in(tmp_path / "rules"), **SETTINGS)
    market = Market(stack, SEED + 1, AT_ONCE, business=True, wallet=True)
    await stack.start()
    await break_all(stack)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        for share in (1, 2, 3):
            await traded(stack, market, payments * share // 4)
            stack.signal(signal.SIGKILL)
            assert await stack.ended() == -signal.SIGKILL
            await stack.start()
        await traded(stack, market, payments)
        market.stop()
        await stack.heal()
    await judged(stack, market)
    assert stack.tracebacks() == []
