"""Routing in a running platform, by what the PSPs' own books show: shares of a split, traffic that leaves a connector that declines, and
decisions that come out the same when they are made again.

Not here: the arithmetic of scores and splits (the domain's tests), new rules for a running platform (`test_command_line`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from math import comb
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import trio

from tests.e2e.dealings import Asker
from tests.e2e.stack import Stack, order, payorch

SPLIT: Final = {"stripe": 50, "adyen": 30, "paypal": 20}
PAYMENTS: Final = 300
AT_ONCE: Final = 12
CHANCE: Final = 1e-6
"""How rarely a true split may look like a false one."""
RULES: Final = f"""
[[rules]]
name = "parted"
when = {{ metadata = {{ how = "parted" }} }}
split = {{ {", ".join(f"{name} = {share}" for name, share in SPLIT.items())} }}

[[rules]]
name = "best"
when = {{ metadata = {{ how = "best" }} }}
prefer = ["stripe", "adyen"]
"""


@pytest.fixture(scope="module")
def stack(lasting: Callable[..., Stack], open_folder: Path) -> Stack:
    """Payments explore as shipped: decisions must come out the same with chance in them."""
    folder = open_folder / "rules-of-shares"
    folder.mkdir()
    (folder / "routing.toml").write_text(RULES)
    return lasting(
        PAYORCH_CONFIG_DIR=str(folder), PAYORCH_ROUTING__SCORE__EXPLORATION_SHARE="0.01", PAYORCH_HTTP__ANSWER_WITHIN_SECONDS="8"
    )


async def sell(stack: Stack, how: str, count: int, method: Mapping[str, Any]) -> list[dict[str, Any]]:
    """So many payments, some at once; as they were answered."""
    made: list[dict[str, Any]] = []
    numbers = iter(range(count))

    async def buy(client: httpx2.AsyncClient) -> None:
        asker = Asker(client, Counter(), [])
        for number in numbers:
            key = f"{how}-{number}"
            body = order(key, capture="manual", payment_method=dict(method), metadata={"how": how.partition("-")[0]})
            made.append((await asker.ask("/v1/payments", body, key)).json())

    async with stack.client() as client, trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(buy, client)
    return made


def tail(hits: int, of: int, share: float) -> float:
    """How probable it is to be at least that far out, on that side, when each of `of` hits with that probability."""
    weights = [comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(of + 1)]
    return min(sum(weights[: hits + 1]), sum(weights[hits:]))


def test_the_bound_itself() -> None:
    """It lets through what is usual and stops what is not."""
    assert tail(150, PAYMENTS, 0.5) > 0.4
    assert tail(195, PAYMENTS, 0.5) < CHANCE
    assert tail(105, PAYMENTS, 0.5) < CHANCE


async def test_shares_follow_the_split(stack: Stack) -> None:
    made = await sell(stack, "parted", PAYMENTS, {"type": "card", "token": "tok_visa"})
    assert {one["status"] for one in made} == {"requires_capture"}
    ours = {attempt["id"] for one in made for attempt in one["attempts"]}
    charged = Counter(one["psp"] for one in await stack.charges() if one["our_reference"] in ours and one["held"])
    print(f"split {SPLIT}: {dict(charged)}")
    assert sum(charged.values()) == PAYMENTS
    for name, share in SPLIT.items():
        assert tail(charged[name], PAYMENTS, share / 100) > CHANCE, f"{name}: {charged} of {SPLIT}"


async def test_who_declines_more_loses_traffic(stack: Stack) -> None:
    """While both do well the first place has nearly all. Once it declines what another takes, the other is tried first."""
    well = await sell(stack, "best-well", 40, {"type": "card", "token": "tok_visa"})
    firsts = Counter(one["attempts"][0]["connector"] for one in well)
    assert firsts["stripe"] > 30, firsts
    # Each card by itself, as in life: one card that declines fifteen times is not tried again.
    for number in range(60):
        tokens = {"stripe": "tok_soft_decline", "adyen": "tok_visa"}
        method = {"type": "card", "tokens": tokens, "fingerprint": f"card-{number}"}
        (sold,) = await sell(stack, f"best-ill-{number}", 1, method)
        assert (sold["status"], sold["connector"]) == ("requires_capture", "adyen"), sold
        if number >= 20 and sold["attempts"][0]["connector"] == "adyen":
            break
    else:
        raise AssertionError("it went on being tried first, though it declined everything")
    after = await sell(stack, "best-after", 40, {"type": "card", "token": "tok_visa"})
    firsts = Counter(one["attempts"][0]["connector"] for one in after)
    print(f"first tries after {number} declines: {dict(firsts)}")
    assert firsts["adyen"] > 30, firsts


async def test_simulate_makes_every_decision_again(stack: Stack) -> None:
    at = ("--data-dir", str(stack.folder))
    rows = await stack.rows("SELECT count(*) FROM payorch.journal WHERE name = 'Routed'")
    ran = await payorch("routing", "simulate", "--json", "--limit", "10000", *at, **stack.settings)
    assert ran.code == 0, ran.err
    found = ran.data
    print({name: found[name] for name in ("payments", "same_rules", "differing", "changed", "reordered", "not_replayable")})
    assert found["payments"] == found["same_rules"] == rows[0][0] >= PAYMENTS + 80
    assert (found["differing"], found["changed"], found["reordered"], found["not_replayable"]) == (0, 0, 0, 0)
    assert found["before"] == found["after"]
