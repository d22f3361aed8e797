"""What must be true after anything that was done to a stack: the merchants' memory, our books and the PSP's books agree.

The PSP's ledger is the judge of what was charged, never ourselves. Not here: doing things to a stack.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final

import trio

from payorch.store import embedded
from tests.e2e.merchants import Market, Order
from tests.e2e.stack import Stack, payorch

UNKNOWN: Final = frozenset({"OUTCOME_UNKNOWN"})
UNDER_WAY: Final = frozenset({"ROUTING", "AUTHORIZING", "CAPTURING", "VOIDING", "PROVIDER_PENDING"})
AT_REST: Final = frozenset({"CREATED", "REQUIRES_ACTION", "AUTHORIZED", "PARTIALLY_CAPTURED", "CAPTURED", "CANCELED", "FAILED"})
_OPEN_ATTEMPTS: Final = "('PREPARED', 'SENT', 'ACTION_REQUIRED', 'PENDING', 'UNKNOWN')"


async def all_payments(stack: Stack) -> dict[str, dict[str, Any]]:
    """Every payment of the merchant, by id, as the API shows it."""
    found: dict[str, dict[str, Any]] = {}
    parameters = {"limit": "100"}
    async with stack.client() as client:
        while True:
            page = (await client.get("/v1/payments", params=parameters)).raise_for_status().json()
            found.update({one["id"]: one for one in page["data"]})
            if page["next_cursor"] is None:
                return found
            parameters["cursor"] = page["next_cursor"]


async def settled(stack: Stack, within_seconds: float = 60.0) -> dict[str, dict[str, Any]]:
    """Waits until nothing is on its way any more: each payment is at rest, or its next look is scheduled for later than a minute."""
    query = (
        "SELECT count(*) FROM payorch.payments WHERE state IN ('ROUTING', 'AUTHORIZING', 'CAPTURING', 'VOIDING', 'PROVIDER_PENDING')"
        " OR (state = 'OUTCOME_UNKNOWN' AND (due_at IS NULL OR due_at < now() + interval '60 s'))"
    )
    left = 0
    with trio.move_on_after(within_seconds):
        while left := (await stack.rows(query))[0][0]:  # noqa: ASYNC110  (another process's database is all there is to ask)
            await trio.sleep(0.2)
    assert left == 0, f"{left} payments were still on their way after {within_seconds} s: {await stack.rows(_ON_THEIR_WAY)}"
    return await all_payments(stack)


async def unresolved(stack: Stack, orders: Iterable[Order]) -> list[str]:
    """Orders whose outcome is unknown though the PSP is healthy. A canceled one may be: sending its call again could charge it, and the
    PSP's search proves absence only after a day."""
    payments = await all_payments(stack)
    unknown = [payments[one.payment_id or ""] for one in orders if payments[one.payment_id or ""]["state"] == "OUTCOME_UNKNOWN"]
    return [payment["id"] for payment in unknown if not payment["cancel_requested"]]


_ON_THEIR_WAY: Final = (
    "SELECT id, state, due_at, due_at - now(), updated_at FROM payorch.payments"
    " WHERE state NOT IN ('CREATED', 'AUTHORIZED', 'CAPTURED', 'CANCELED', 'FAILED', 'REQUIRES_ACTION') LIMIT 10"
)


async def check(stack: Stack, orders: Iterable[Order] = ()) -> Counter[str]:
    """Waits until everything is settled, and raises AssertionError with the first thing that is wrong. How many payments ended how."""
    payments = await settled(stack)
    theirs = await stack.charges()
    _heard_is_true(list(orders), payments)
    _charged_once(payments, theirs)
    await _tables(stack)
    verdict = await payorch("audit", "verify", "--json", "--data-dir", str(stack.folder))
    assert (verdict.code, verdict.data["whole"]) == (0, True), verdict
    return Counter(payment["state"] for payment in payments.values())


def _heard_is_true(orders: list[Order], payments: dict[str, dict[str, Any]]) -> None:
    """Nothing accepted is lost (L1), one key is one payment (M5), one key has one answer (M6)."""
    by_reference = defaultdict(list)
    for payment in payments.values():
        by_reference[payment["reference"]].append(payment)
    for one in orders:
        assert one.payment_id in payments, f"L1: {one.key} was accepted as {one.payment_id}, which does not exist"
        assert len(by_reference[one.key]) == 1, f"M5: {one.key} made {[payment['id'] for payment in by_reference[one.key]]}"
        assert len(set(one.heard)) == 1, f"M6: {one.key} was answered differently: {set(one.heard)}"
        payment = payments[one.payment_id]
        asked = (one.body["amount"], one.body["currency"])
        assert (payment["amount"], payment["currency"]) == asked, f"{one.key}: another amount"
        assert not one.canceled or payment["cancel_requested"] or payment["state"] == "CANCELED", f"{one.key}: the cancel is forgotten"


def _charged_once(payments: dict[str, dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """M1, M3, M7, and that amounts are ours: judged by what the PSP really holds and took."""
    owner = {attempt["id"]: payment for payment in payments.values() for attempt in payment["attempts"]}
    holding = defaultdict(list)
    for charge in theirs:
        reference = charge["our_reference"]
        assert reference in owner, f"M7: the PSP knows {charge}, of which we have no attempt"
        if charge["held"] or charge["captured"] - charge["refunded"]:
            holding[owner[reference]["id"]].append(charge)
    for payment in payments.values():
        _agrees(payment, holding.get(payment["id"], []))


def _agrees(payment: dict[str, Any], charges: list[dict[str, Any]]) -> None:
    what = f"{payment['id']} {payment['state']}: the PSP says {charges}"
    assert len(charges) <= 1, f"M1, charged twice: {what}"
    charge = charges[0] if charges else {"held": 0, "captured": 0, "currency": payment["currency"], "amount": payment["amount"]}
    assert (charge["amount"], charge["currency"]) == (payment["amount"], payment["currency"]), f"M9: {what}"
    match payment["state"]:
        case "CAPTURED":
            assert (charge["held"], charge["captured"]) == (0, payment["amount"]), f"M3: {what}"
        case "AUTHORIZED":
            assert (charge["held"], charge["captured"]) == (payment["amount"], 0), f"M3: {what}"
        case "FAILED" | "CANCELED" | "CREATED" | "REQUIRES_ACTION":
            assert not charges, f"M3: {what}"
        case "OUTCOME_UNKNOWN":
            assert payment["outcome"] == "unconfirmed"
        case other:
            raise AssertionError(f"{other} was not expected: {what}")


async def _tables(stack: Stack) -> None:
    """L2: whatever is open has a timer in the database. S2: each view stands where its journal stands."""
    untimed = f"SELECT payment_id, state FROM payorch.attempts WHERE state IN {_OPEN_ATTEMPTS} AND next_action_at IS NULL"
    assert await stack.rows(untimed, role=embedded.APP_ROLE) == [], "L2: an unresolved attempt has no timer"
    unwoken = "SELECT id FROM payorch.payments WHERE state = 'OUTCOME_UNKNOWN' AND (due_at IS NULL OR NOT unfinished)"
    assert await stack.rows(unwoken) == [], "an unknown outcome that nobody will look into"
    apart = "SELECT id FROM payorch.payments AS p WHERE version <> (SELECT max(sequence) FROM payorch.journal WHERE stream_id = p.id)"
    assert await stack.rows(apart) == [], "S2: a view is not where its journal is"
    gaps = "SELECT stream_id FROM payorch.journal GROUP BY stream_id HAVING max(sequence) <> count(*)"
    assert await stack.rows(gaps) == [], "S2: a gap in a journal"


def summary(market: Market, states: Counter[str]) -> str:
    """One line of figures for people."""
    return f"{len(market.orders)} orders; heard {dict(market.seen.most_common())}; ended {dict(states.most_common())}"
