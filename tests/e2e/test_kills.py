"""kill -9 of the platform under load, at any moment and at every named point, with a PSP that breaks in its own ways meanwhile.

The promise: an accepted payment is never lost, nobody is charged twice, and no unknown outcome is forgotten.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

import pytest
import trio

from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import Stack

POINTS = ("journal.before_commit", "journal.after_commit", "connector.before_send", "connector.after_answer")
FAULTS = (("charge_then_hang", "authorize"), ("error_500", "authorize"), ("reset_after", None), ("charge_then_500", None), ("refuse", None))


async def break_psp(stack: Stack) -> None:
    """Each fault rarely enough that most calls get through: together about one call in three meets one."""
    for fault, scope in FAULTS:
        await stack.fault(fault, rate=0.1, **({"scope": scope} if scope else {}))


async def under_load(stack: Stack, seed: int, lives: list[str | None]) -> Market:
    """One life after the other under load, each killed at a moment of chance (None) or by itself at a named point of its own code."""
    dice, market = Random(seed), Market(stack, seed)
    await stack.start()
    before = stack.lives
    await break_psp(stack)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        for crash_at in (None, *lives):
            if crash_at is None:
                await market.until(market.accepted + dice.randrange(5, 60))
                await trio.sleep(dice.random() * 0.05)  # anywhere within a request
                stack.signal(signal.SIGKILL)
            assert await stack.ended() == -signal.SIGKILL, f"{crash_at} was not reached"
            following = lives[stack.lives - before] if stack.lives - before < len(lives) else None
            stack.begin(**({"PAYORCH_CRASH_AT": following} if following is not None else {}))
        await stack.ready()
        await market.until(market.accepted + 10)
        await stack.heal()
        market.stop()
    states = await books.check(stack, market.orders)
    print(f"{stack.lives - before} kills; {books.summary(market, states)}")
    assert stack.lives - before == len(lives) + 1
    return market


async def test_nothing_is_lost_doubled_or_forgotten(rough: Stack) -> None:
    """Five lives, the first ended by chance and the others at each of the named points."""
    market = await under_load(rough, 1, [f"{point}:{number}" for number, point in zip((20, 25, 30, 35), POINTS, strict=True)])
    assert market.accepted == len(market.orders) >= 60


@pytest.mark.prove
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_doubled_or_forgotten_at_length(make_stack: Callable[..., Stack], seed: int) -> None:
    """Here the search at the PSP is waited for as well: a charge behind a stored 500 is found by it alone."""
    stack = make_stack(PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS="1,2,3,22,3600")
    crashes: list[str | None] = [f"{point}:{number}" for point in POINTS for number in (1, 2, 3, 11, 40)]
    lives = [*crashes, *[None] * 30]
    Random(seed).shuffle(lives)
    market = await under_load(stack, 100 + seed, lives)
    assert market.accepted == len(market.orders) >= 1000
    assert stack.tracebacks() == []
