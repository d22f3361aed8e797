"""A payment whose every step the database refuses: it is set aside after a few deaths of its actor, says so, and hurts no other."""

from __future__ import annotations

from typing import Any

import trio

from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.stack import WITHIN_SECONDS, Stack, order

POISON = """
CREATE FUNCTION payorch.poison() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refused for a test' USING ERRCODE = 'check_violation';
END $$
"""
ANTIDOTE = "DROP FUNCTION payorch.poison() CASCADE"


async def until_set_aside(stack: Stack, payment_id: str) -> dict[str, Any]:
    """Waits for the event that tells of it."""
    with trio.fail_after(WITHIN_SECONDS):
        while True:
            last: dict[str, Any] = (await stack.get(f"/v1/payments/{payment_id}/timeline")).json()["data"][-1]
            if last["name"] == "Held":
                return last
            await trio.sleep(0.1)


async def test_a_payment_that_cannot_be_written_is_set_aside(rough: Stack) -> None:
    stack, market = rough, Market(rough, 40, clients=8)
    await stack.start()
    poisoned = (await stack.pay("poisoned", order("poisoned", "tok_pending"))).json()
    assert poisoned["state"] == "PROVIDER_PENDING"  # so that the PSP is asked about it again and again, and its answers are to be written
    stack.provoked.add(poisoned["id"])
    ((identifier,),) = await stack.rows("SELECT id FROM payorch.payments WHERE reference = 'poisoned'")
    await stack.rows(POISON)
    # Only its being set aside gets through, as where a fault of ours writes what a constraint forbids.
    await stack.rows(
        "CREATE TRIGGER poison BEFORE UPDATE ON payorch.payments FOR EACH ROW"
        f" WHEN (NEW.id = '{identifier}' AND NOT NEW.held) EXECUTE FUNCTION payorch.poison()"
    )
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(market.trade)
            begun = trio.current_time()
            told = await until_set_aside(stack, poisoned["id"])
            took, meanwhile = trio.current_time() - begun, market.accepted
            assert meanwhile >= 20, "the others went on"
            assert told["sentence"].startswith("The payment was set aside")
            refused = await stack.post(f"/v1/payments/{poisoned['id']}/cancel", "poisoned-cancel")
            assert (refused.status_code, refused.json()["code"]) == (409, "operation_not_allowed")
            await market.until(meanwhile + 20)
            market.stop()
    finally:
        await stack.rows(ANTIDOTE)
    print(f"set aside after {took:.1f} s, in which others made {meanwhile} payments: {told['sentence']}")
    assert {status for status, _, _ in market.problems} <= {409}
    (complaint,) = [line for line in stack.log.read_text().splitlines() if "payment.actor_given_up" in line]
    assert poisoned["id"] in complaint
    assert await stack.rows("SELECT held, due_at FROM payorch.payments WHERE id = %s", identifier) == [(True, None)]
    await books.check(stack, market.orders)
