"""SIGTERM at the worst moment: a PSP that hangs, clients that stop half-way or do not read, a database that is gone. It ends in time,
and the next start goes on with what was left: payments, captures, voids and refunds whose answers nobody has heard yet."""

from __future__ import annotations

import json
import signal
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio

from tests.e2e import books
from tests.e2e.dealings import PATHS, Asker, Wish
from tests.e2e.merchants import Market
from tests.e2e.stack import WITHIN_SECONDS, Stack, order

ENDLESS_PSP_PATIENCE = {
    "PAYORCH_CONNECTORS__STRIPE__READ_TIMEOUT_SECONDS": "600",
    "PAYORCH_CONNECTORS__STRIPE__TOTAL_TIMEOUT_SECONDS": "600",
    "PAYORCH_PAYMENTS__CALL_LOST_SECONDS": "660",
}
"""Far longer than the end of a process is waited for: whatever ends has cut the calls that hang, and has not waited for them."""
HANGING = ("capture", "void", "refund")


@contextmanager
def rude_clients(stack: Stack, seed: int) -> Iterator[None]:
    """Some that stop in the middle of a request, in its headers or its body, some that ask for a lot and do not read it, some that leave as
    soon as they have asked."""
    authorization = stack.authorization["authorization"]
    head = f"POST /v1/payments HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\n".encode()
    half = head + b'idempotency-key: half\r\ncontent-length: 1000\r\n\r\n{"amount":'
    asking = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 200
    sockets = [_connected(stack, sent) for sent in (head, head, half, half, asking, asking, b"")]
    for number in range(4):
        body = json.dumps(order(f"left-{seed}-{number}")).encode()
        whole = head + f"idempotency-key: left-{seed}-{number}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        leaving = _connected(stack, whole)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        leaving.close()
    try:
        yield
    finally:
        for one in sockets:
            one.close()


def _connected(stack: Stack, sent: bytes) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", stack.port))
    one.sendall(sent)
    return one


async def until_calls_hang(market: Market) -> None:
    """Waits until all merchants have heard 202 for calls that hang, at least once each."""
    before = market.seen["202"]
    with trio.fail_after(WITHIN_SECONDS):
        while market.seen["202"] < before + 16:  # noqa: ASYNC110  (a counter of the market's own)
            await trio.sleep(0.02)


async def operations_under_way(stack: Stack, seed: int) -> list[Wish]:
    """A capture, a void and two refunds at a PSP that took them and does not answer: each was answered 202."""
    wishes = []
    async with stack.client() as client:
        asker = Asker(client, Counter(), [])
        for number, (capture, kind) in enumerate(
            (("manual", "capture"), ("manual", "void"), ("automatic", "refund"), ("automatic", "refund"))
        ):
            key = f"under-way-{seed}-{number}"
            made = (await asker.ask("/v1/payments", order(key, capture=capture), key)).json()
            assert made["state"] in ("AUTHORIZED", "CAPTURED"), made
            wishes.append(Wish(key=f"{key}-{kind}", kind=kind, payment_id=made["id"], body={"reference": f"{key}-{kind}"}))
        for kind in HANGING:
            await stack.fault("charge_then_hang", scope=kind)
        async with trio.open_nursery() as nursery:
            for wish in wishes:
                nursery.start_soon(asker.carry_out, wish)
    assert [status for wish in wishes for status, _ in wish.heard] == [202] * len(wishes)
    return wishes


async def come_to_their_end(stack: Stack, wishes: list[Wish]) -> float:
    """Waits until every one of them has succeeded, and returns after how long."""
    begun = trio.current_time()
    async with stack.client() as client:
        asker = Asker(client, Counter(), [])
        for wish in wishes:
            with trio.fail_after(WITHIN_SECONDS):
                while (await asker.look(f"/v1/{PATHS[wish.kind]}/{wish.operation_id}"))["status"] != "succeeded":  # noqa: ASYNC110
                    await trio.sleep(0.05)
    return trio.current_time() - begun


async def with_a_hanging_psp(stack: Stack, drain_seconds: float, seed: int, *, database: bool = True) -> None:
    """`database`: it is there meanwhile."""
    settings = ENDLESS_PSP_PATIENCE | {"PAYORCH_HTTP__DRAIN_SECONDS": str(drain_seconds)}
    market = Market(stack, seed, business=True)
    stack.hears = False  # so that calls hang until the end, and nobody is told meanwhile
    await stack.start(**settings)
    wishes = await operations_under_way(stack, seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        await market.until(30)
        await stack.fault("charge_then_hang", scope="authorize", rate=0.5)
        await stack.fault("hang_before", scope="authorize")
        await until_calls_hang(market)
        with rude_clients(stack, seed):
            if not database:
                await (await stack.cluster()).stop("immediate")
                with trio.fail_after(WITHIN_SECONDS):
                    while await stack.status_of("/readyz") == 200:  # noqa: ASYNC110  (another process: there is nothing to wait on)
                        await trio.sleep(0.02)
            begun = trio.current_time()
            assert await stack.stop(signal.SIGTERM) == 0
            print(f"SIGTERM to exit: {trio.current_time() - begun:.1f} s with a drain of at most {drain_seconds} s")
        assert not database or "payments are unfinished; they go on at the next start" in stack.said()
        await stack.start()  # the PSP as well, which is healthy again
        print(f"what was under way was known {await come_to_their_end(stack, wishes):.1f} s after the restart")
        await market.until(market.accepted + 20)
        market.stop()
    states = await books.check(stack, market.orders, [*market.wishes, *wishes])
    print(books.summary(market, states))
    assert not (left := await books.unresolved(stack, market.orders)), "\n".join(left)
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
