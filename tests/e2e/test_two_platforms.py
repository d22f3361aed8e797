"""Two platforms on one database: the later one takes over, the earlier one writes nothing more, charges nothing more, and ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping

import httpx2
import pytest
import trio

from connectors.registry import CONNECTORS
from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import FIRST, POLL_SECONDS, WITHIN_SECONDS, Stack, end_of, environment, payorch
from tests.own_ports import own_port


def begin(stack: Stack, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "payorch", "serve"]
    with stack.log.open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(settings), start_new_session=True
        )


async def serve(stack: Stack, port: int) -> subprocess.Popen[bytes]:
    """`payorch serve` with the stack's database, PSP and keys; returns when it is ready."""
    known = stack.credentials
    more = {
        **stack.settings,
        **{f"PAYORCH_CONNECTORS__{name.upper()}__ENABLED": "false" for name in CONNECTORS if name != FIRST},
        "PAYORCH_DATABASE_URL": (await stack.cluster()).conninfo(),
        "PAYORCH_SECRET_KEY": (stack.folder / "secret.key").read_text().strip(),
        "PAYORCH_HTTP__PORT": str(port),
        "PAYORCH_CONNECTORS__STRIPE__BASE_URL": known["simulators"]["stripe"],
        "PAYORCH_CONNECTORS__STRIPE__API_KEY": "sk_test_simulated",
        "PAYORCH_CONNECTORS__STRIPE__WEBHOOK_SECRET": known["webhook_secrets"]["stripe"],
    }
    process = begin(stack, more)
    with trio.fail_after(WITHIN_SECONDS):
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            while True:
                assert process.poll() is None, stack.log.read_text()[-2000:]
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        return process
                except httpx2.TransportError:
                    pass
                await trio.sleep(POLL_SECONDS)


async def takes_over(stack: Stack, *, paused: bool, seed: int) -> None:
    """`paused`: the first one sleeps through the takeover (SIGSTOP), and wakes up believing that nothing has happened."""
    market = Market(stack, seed)
    port = own_port()
    await stack.start()
    await stack.kill()  # and leaves its database and its PSP to two others
    stack.process = await serve(stack, stack.port)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        await market.until(40)
        if paused:
            stack.signal(signal.SIGSTOP)
        second = await serve(stack, port)
        if paused:
            stack.signal(signal.SIGCONT)
        begun = trio.current_time()
        code = await stack.ended()
        took = trio.current_time() - begun
        nursery.cancel_scope.cancel()
    try:
        assert code == 1, "it ends as failed, so that whoever runs it takes notice"
        print(f"the first ended {took:.1f} s after the second was ready; it had accepted {market.accepted} of {len(market.orders)} orders")
        stack.port = port
        async with stack.client() as client:  # the same merchants ask the second one
            for one in market.orders:
                answer = await client.post("/v1/payments", json=one.body, headers={"idempotency-key": one.key})
                while answer.status_code == 409:
                    await trio.sleep(0.1)
                    answer = await client.post("/v1/payments", json=one.body, headers={"idempotency-key": one.key})
                assert answer.status_code in (201, 202), answer.text
                one.heard.append((answer.status_code, answer.content))
                one.payment_id = answer.json()["id"]
        print(books.summary(market, await books.check(stack, market.orders)))
        assert not (left := await books.unresolved(stack, market.orders)), "\n".join(left)
    finally:
        stack.port = 0
        second.terminate()
        code = await end_of(second)
    assert code == 0


@pytest.mark.prove
async def test_the_second_takes_over(make_stack: Callable[..., Stack]) -> None:
    await takes_over(make_stack(), paused=False, seed=6)


async def test_one_that_slept_through_it_wakes_up_fenced(rough: Stack) -> None:
    await takes_over(rough, paused=True, seed=17)


@pytest.mark.prove
async def test_an_idle_one_that_was_fenced_charges_nothing(make_stack: Callable[..., Stack]) -> None:
    """The second has a call that never arrived, and is stopped before it looks again: whatever is charged now, the first one charged."""
    stack = make_stack()
    await stack.start()
    await stack.kill()
    first = await serve(stack, stack.port)
    stack.port = own_port()
    second = stack.process = await serve(stack, stack.port)
    try:
        await stack.fault("hang_before", count=1, scope="authorize")
        payment = (await stack.pay("sent-by-nobody")).json()
        await stack.until(payment["id"], "OUTCOME_UNKNOWN")
        second.send_signal(signal.SIGSTOP)
        await trio.sleep(4.0)
        charges = await stack.charges()
        second.send_signal(signal.SIGCONT)
        await stack.until(payment["id"], "CAPTURED")
        assert len(await stack.charges()) == 1
        assert charges == []
    finally:
        for process in (first, second):
            process.kill()
            process.wait()


async def test_two_stacks_of_one_folder_are_refused(healthy: Stack) -> None:
    ran = await payorch("up", "--port", "0", "--data-dir", str(healthy.folder))
    assert (ran.code, ran.out) == (1, "")
    assert "another `payorch up` is running" in ran.err
    assert healthy.alive
