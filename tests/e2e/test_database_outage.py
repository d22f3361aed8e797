"""PostgreSQL goes away under load, as hard as it can, and comes back: clear answers meanwhile, nothing lost, no restart of ours."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
import trio

from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import Stack, order


async def outage(stack: Stack, market: Market, name: str, seconds: float) -> list[str]:
    """Crashes the server for so long, and looks at the platform meanwhile. The keys that were told "not accepted, no money moved"."""
    cluster = await stack.cluster()
    assert cluster.attached
    await cluster.stop("immediate")
    stopped_at = trio.current_time()
    known = market.orders[0].payment_id
    refused: list[str] = []
    number = 0
    async with stack.client() as client:
        while trio.current_time() < stopped_at + seconds:
            number += 1
            key = f"{name}-{number}"
            answer = await client.post("/v1/payments", json=order(key), headers={"idempotency-key": key})
            _refused_for_now(answer)
            if answer.json()["money_moved"] == "no":
                refused.append(key)
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/livez")).status_code == 200
            read = await client.get(f"/v1/payments/{known}")
            assert (read.status_code, "retry-after" in read.headers, read.json()["money_moved"]) == (503, True, "no")
            await trio.sleep(0.1)
    process = stack.process
    again = await stack.cluster()
    assert not again.attached
    started_at = trio.current_time()
    await stack.until_ready()
    took = trio.current_time() - started_at
    print(f"out for {started_at - stopped_at:.1f} s, ready {took:.1f} s later; {number} fresh requests heard 503")
    assert stack.process is process
    assert stack.alive
    return refused


def _refused_for_now(answer: httpx2.Response) -> None:
    problem = answer.json()
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert problem["retryable"] is True
    assert problem["money_moved"] in ("no", "unknown")


async def under_load(stack: Stack, seed: int, outages: list[float]) -> None:
    market = Market(stack, seed)
    refused: list[str] = []
    await stack.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        for number, seconds in enumerate(outages):
            await market.until(market.accepted + 50)
            refused += await outage(stack, market, f"outage-{seed}-{number}", seconds)
        await market.until(market.accepted + 50)
        market.stop()
    for status, problem, has_retry_after in market.problems:
        assert status in (409, 503), problem
        assert has_retry_after or problem["code"] == "operation_not_allowed"
        assert problem["money_moved"] in ("no", "unknown")
    states = await books.check(stack, market.orders)
    print(books.summary(market, states))
    assert not (left := await books.unresolved(stack, market.orders)), "\n".join(left)
    assert refused
    references = {payment["reference"] for payment in (await books.all_payments(stack)).values()}
    assert references.isdisjoint(refused), "what was told not to be accepted must not exist"
    assert stack.tracebacks() == []


async def test_the_database_goes_away_and_comes_back(rough: Stack) -> None:
    await under_load(rough, 2, [5.0])


@pytest.mark.prove
async def test_the_database_goes_away_often_and_for_long(make_stack: Callable[..., Stack]) -> None:
    await under_load(make_stack(), 3, [10.0, 0.0, 0.5, 1.0, 2.0, 20.0, *[0.0] * 10])
