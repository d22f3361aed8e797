"""SIGTERM at the worst moment: a PSP that hangs, clients that stop half-way or do not read, a database that is gone. It ends in time,
and the next start goes on with what was left."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import Stack

SHIPPED_PSP_PATIENCE = {
    "PAYORCH_CONNECTORS__STRIPE__READ_TIMEOUT_SECONDS": "25",
    "PAYORCH_CONNECTORS__STRIPE__TOTAL_TIMEOUT_SECONDS": "30",
}
AFTER_THE_DRAIN_SECONDS = 10.0
"""What the tree's own end, PostgreSQL's and the simulators' may take; with the shipped drain of 20 s that is RELIABILITY's 30 s."""


@contextmanager
def rude_clients(stack: Stack) -> Iterator[None]:
    """Some that stop in the middle of a request, in its headers or its body, and some that ask for a lot and do not read it."""
    authorization = stack.authorization["authorization"]
    head = f"POST /v1/payments HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\nidempotency-key: half\r\n".encode()
    body = b'content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"amount":'
    asking = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 200
    sockets = []
    for sent in (head, head, head + body, head + body, asking, asking, b""):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", stack.port))
        one.sendall(sent)
        sockets.append(one)
    try:
        yield
    finally:
        for one in sockets:
            one.close()


async def until_calls_hang(market: Market) -> None:
    """Waits until all merchants have heard 202 for calls that hang, at least once each."""
    before = market.seen["202"]
    with trio.fail_after(30):
        while market.seen["202"] < before + 16:  # noqa: ASYNC110  (a counter of the market's own)
            await trio.sleep(0.02)


async def timed_end(stack: Stack, drain_seconds: float) -> float:
    begun = trio.current_time()
    assert await stack.stop(signal.SIGTERM) == 0
    took = trio.current_time() - begun
    print(f"SIGTERM to exit: {took:.1f} s with a drain of at most {drain_seconds} s")
    assert took <= drain_seconds + AFTER_THE_DRAIN_SECONDS
    return took


async def with_a_hanging_psp(stack: Stack, drain_seconds: float, seed: int, *, database: bool = True) -> None:
    """`database`: it is there meanwhile."""
    settings = SHIPPED_PSP_PATIENCE | {"PAYORCH_HTTP__DRAIN_SECONDS": str(drain_seconds)}
    market = Market(stack, seed)
    await stack.start(**settings)
    await stack.heal()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        await market.until(30)
        await stack.fault("charge_then_hang", scope="authorize", rate=0.5)
        await stack.fault("hang_before", scope="authorize")
        await until_calls_hang(market)
        with rude_clients(stack):
            if not database:
                await (await stack.cluster()).stop("immediate")
                with trio.fail_after(30):
                    while await stack.status_of("/readyz") == 200:  # noqa: ASYNC110  (another process: there is nothing to wait on)
                        await trio.sleep(0.02)
            await timed_end(stack, drain_seconds)
        assert not database or "payments are unfinished; they go on at the next start" in stack.said()
        await stack.start()  # the PSP as well, which is healthy again
        await market.until(market.accepted + 20)
        market.stop()
    states = await books.check(stack, market.orders)
    print(books.summary(market, states))
    assert await books.unresolved(stack, market.orders) == []
    assert stack.tracebacks() == []


async def test_it_ends_in_time_and_goes_on(rough: Stack) -> None:
    await with_a_hanging_psp(rough, 2.0, 4)


@pytest.mark.prove
async def test_it_ends_in_time_as_shipped(make_stack: Callable[..., Stack]) -> None:
    for seed in range(3):
        await with_a_hanging_psp(make_stack(), 20.0, 10 + seed)


@pytest.mark.prove
async def test_it_ends_in_time_as_shipped_also_without_its_database(make_stack: Callable[..., Stack]) -> None:
    await with_a_hanging_psp(make_stack(), 20.0, 20, database=False)
