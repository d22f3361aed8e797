"""kill -9 of the platform under load, at any moment and at every named point, with a PSP that breaks in its own ways meanwhile.

The promise: an accepted payment is never lost, nobody is charged twice, and no unknown outcome is forgotten.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest
import trio

from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import POLL_SECONDS, WITHIN_SECONDS, Stack

POINTS = ("journal.before_commit", "journal.after_commit", "connector.before_send", "connector.after_answer")
ORDERS_TO_A_POINT = 400
"""So many accepted orders lead past any of the points, unless the circuits are open and hardly a call is made."""
FAULTS = {"charge_then_hang": 0.05, "error_500": 0.05, "reset_after": 0.1, "charge_then_500": 0.1, "refuse": 0.1}
"""Rarely enough that most calls get through: together about one call in three meets one."""
EVERY_FAULT = dict.fromkeys(
    (
        "refuse",
        "hang_before",
        "charge_then_hang",
        "charge_then_500",
        "error_500",
        "reset_before",
        "reset_after",
        "rate_limit_429",
        "rate_limit_429_retry_after",
        "malformed",
        "wrong_amount",
        "slow",
        "drip",
    ),
    0.2,
)


IN_TURN = [{one: 0.2, other: 0.2} for one, other in itertools.pairwise([*EVERY_FAULT, *EVERY_FAULT])]
"""Each fault twice, beside another one each time: with all of them at once the circuits are open and hardly anything is sent."""


async def break_psp(stack: Stack, faults: Mapping[str, float]) -> None:
    """These faults, and no others."""
    await stack.heal()
    for fault, rate in faults.items():
        await stack.fault(fault, rate=rate)


async def died(stack: Stack, market: Market) -> bool:
    """Waits for its death at a point of its own; False where it trades on and on without coming there."""
    enough = market.accepted + ORDERS_TO_A_POINT
    with trio.fail_after(WITHIN_SECONDS):
        while stack.alive and market.accepted < enough:  # noqa: ASYNC110  (another process: there is nothing to wait on)
            await trio.sleep(POLL_SECONDS)
    return not stack.alive


async def under_load(stack: Stack, seed: int, lives: list[str | None], weathers: Sequence[Mapping[str, float]]) -> Market:
    """One life after the other under load, each killed at a moment of chance (None) or by itself at a named point of its own code.

    Each life has the next of the weathers: faults of the PSP and how often each hits. The merchants capture, void and refund as well, and
    pursue each request under its key through all the deaths.
    """
    dice, market = Random(seed), Market(stack, seed, business=True)
    missed: list[str | None] = []
    await stack.start()
    before = stack.lives
    await break_psp(stack, weathers[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        for crash_at in (None, *lives):
            if crash_at is None:
                await market.until(market.accepted + dice.randrange(5, 60))
                await trio.sleep(dice.random() * 0.05)  # anywhere within a request
                stack.signal(signal.SIGKILL)
            elif not await died(stack, market):  # it dies all the same
                missed.append(crash_at)
                stack.signal(signal.SIGKILL)
            code = await stack.ended()
            assert code == -signal.SIGKILL, f"it ended by itself before {crash_at}"
            following = lives[stack.lives - before] if stack.lives - before < len(lives) else None
            await break_psp(stack, weathers[(stack.lives - before) % len(weathers)])
            stack.begin(**({"PAYORCH_CRASH_AT": following} if following is not None else {}))
        await stack.ready()
        await market.until(market.accepted + 10)
        await stack.heal()
        market.stop()
    await market.repeat()
    states = await books.check(stack, market.orders, market.wishes)
    print(f"{stack.lives - before} kills, {len(missed)} of them before their point was reached; {books.summary(market, states)}")
    assert stack.lives - before == len(lives) + 1
    assert len(missed) <= len(lives) / 5, f"too few of the named points were reached: {missed}"
    return market


async def test_nothing_is_lost_doubled_or_forgotten(rough: Stack) -> None:
    """Five lives, the first ended by chance and the others at each of the named points."""
    market = await under_load(rough, 1, [f"{point}:{number}" for number, point in zip((20, 25, 30, 35), POINTS, strict=True)], [FAULTS])
    assert market.accepted == len(market.orders) >= 60
    assert {wish.kind for wish in market.wishes if wish.heard} >= {"capture", "refund"}


@pytest.mark.prove
@pytest.mark.parametrize("weathers", [[FAULTS], IN_TURN, [EVERY_FAULT]], ids=["some", "each at 20 % in turn", "every one at 20 %"])
async def test_nothing_is_lost_doubled_or_forgotten_at_length(
    make_stack: Callable[..., Stack], weathers: Sequence[Mapping[str, float]]
) -> None:
    """Here the search at the PSP is waited for as well: a charge behind a stored 500 is found by it alone."""
    stack = make_stack(PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS="1,2,3,22,3600")
    seed = len(weathers) + len(weathers[0])
    crashes: list[str | None] = [f"{point}:{number}" for point in POINTS for number in (1, 2, 3, 11, 40)]
    lives = [*crashes, *[None] * 30]
    Random(seed).shuffle(lives)
    market = await under_load(stack, 100 + seed, lives, weathers)
    assert market.accepted == len(market.orders) >= 500
    assert stack.tracebacks() == []
