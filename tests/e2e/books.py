"""What must be true after anything that was done to a stack: the merchants' memory, our books and the PSPs' books agree.

Their ledgers are the judge of what was charged, never ourselves. Not here: doing things to a stack.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Final

import trio

from connectors.simulated import SIMULATED
from payorch.domain.identifiers import text
from payorch.store import embedded
from tests.e2e.dealings import LISTS, Wish, open_amount, watch
from tests.e2e.merchants import Market, Order
from tests.e2e.stack import Stack, payorch

UNKNOWN: Final = frozenset({"OUTCOME_UNKNOWN"})
UNDER_WAY: Final = frozenset({"ROUTING", "AUTHORIZING", "CAPTURING", "VOIDING", "PROVIDER_PENDING"})
AT_REST: Final = frozenset({"CREATED", "REQUIRES_ACTION", "AUTHORIZED", "PARTIALLY_CAPTURED", "CAPTURED", "CANCELED", "FAILED"})
_OPEN_ATTEMPTS: Final = "('PREPARED', 'SENT', 'ACTION_REQUIRED', 'PENDING', 'UNKNOWN')"
_NOT_WITH_PEOPLE: Final = "payment_id NOT IN (SELECT id FROM payorch.payments WHERE held OR state = 'MANUAL_REVIEW')"
_TO_BE_LOOKED_AT: Final = f"state IN ('REQUESTED', 'SENT', 'PENDING', 'UNKNOWN') AND NOT in_review AND {_NOT_WITH_PEOPLE}"
"""Operations that are open and not with people."""


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


async def settled(stack: Stack, within_seconds: float = 150.0) -> dict[str, dict[str, Any]]:
    """Waits until nothing is on its way any more: each payment and operation is at its end, with people, or its next look is scheduled
    for later than a minute. An operation that was surely not sent may wait a minute for its next try, and that one for a circuit."""
    left: list[tuple[Any, ...]] = []
    with trio.move_on_after(within_seconds):
        while left := await stack.rows(_ON_THEIR_WAY):  # noqa: ASYNC110  (another process's database is all there is to ask)
            await trio.sleep(0.2)
    assert left == [], f"still on their way after {within_seconds} s: {left}"
    return await all_payments(stack)


_ON_THEIR_WAY: Final = (
    "SELECT id, state, due_at - now(), updated_at FROM payorch.payments"
    " WHERE NOT held AND (state IN ('ROUTING', 'AUTHORIZING')"
    " OR (state IN ('PROVIDER_PENDING', 'OUTCOME_UNKNOWN', 'CAPTURING', 'VOIDING')"
    " AND (due_at IS NULL OR due_at < now() + interval '60 s')))"
    " UNION ALL SELECT id, kind || ' ' || state, next_action_at - now(), updated_at FROM payorch.operations"
    f" WHERE {_TO_BE_LOOKED_AT} AND (next_action_at IS NULL OR next_action_at < now() + interval '60 s')"
    " LIMIT 10"
)


async def unresolved(stack: Stack, orders: Iterable[Order]) -> list[str]:
    """The stories of orders of which something is unknown though the PSP is healthy. A canceled one may be: sending its call again could
    charge it, and the PSP's search proves absence only after a day."""
    payments = await all_payments(stack)
    found = []
    for payment in (payments[one.payment_id or ""] for one in orders):
        lost = payment["state"] == "OUTCOME_UNKNOWN" and not payment["cancel_requested"]
        lost = lost or any(one["outcome"] == "unconfirmed" for name in LISTS.values() for one in payment[name])
        if lost:
            events = (await stack.get(f"/v1/payments/{payment['id']}/timeline")).json()["data"]
            found.append("\n".join([payment["id"], *(f"  {one['at']} {one['name']}: {one['sentence']}" for one in events)]))
    return found


async def check(stack: Stack, orders: Iterable[Order] = (), wishes: Iterable[Wish] = ()) -> Counter[str]:
    """Waits until everything is settled, and raises AssertionError with the first thing that is wrong. How many payments ended how."""
    payments = await settled(stack)
    others = await _attempts_of_others(stack, payments)
    theirs, entries = ([one for one in kind if one["our_reference"] not in others] for kind in await stack.ledger())
    for payment in payments.values():
        watch(payment)
    _heard_is_true(list(orders), payments)
    _wishes_are_kept(list(wishes), payments)
    aside = {text("pay", row[0]) for row in await stack.rows("SELECT id FROM payorch.payments WHERE held")}
    _charged_once(payments, theirs, aside)
    _one_by_one(payments, entries)
    await _tables(stack)
    verdict = await payorch("audit", "verify", "--json", "--data-dir", str(stack.folder))
    assert (verdict.code, verdict.data["whole"]) == (0, True), verdict
    # The product's own judge reads both sides itself and knows nothing of the merchants; it must come to the same.
    theirs_too = await payorch("books", "check", "--json", "--data-dir", str(stack.folder))
    assert (theirs_too.code, theirs_too.data["whole"], theirs_too.data["compared"]) == (0, True, sorted(SIMULATED)), theirs_too
    return Counter(payment["state"] for payment in payments.values())


async def _attempts_of_others(stack: Stack, payments: dict[str, dict[str, Any]]) -> set[str]:
    """Attempts for merchants whom this judge does not see. The product's own judge sees them all."""
    rows = await stack.rows("SELECT payment_id, id FROM payorch.attempts")
    return {text("att", attempt_id) for payment_id, attempt_id in rows if text("pay", payment_id) not in payments}


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


def _wishes_are_kept(wishes: list[Wish], payments: dict[str, dict[str, Any]]) -> None:
    """The same for operations: an accepted one exists with its amount, one key made one, a refused one made none."""
    for wish in wishes:
        payment = payments[wish.payment_id]
        what = f"{wish} on {payment}"
        assert wish.heard or wish.refusals, f"nobody answered: {what}"
        assert len(set(wish.heard)) <= 1, f"M6: answered differently: {what}"
        if wish.kind == "cancel":
            assert not wish.heard or payment["cancel_requested"] or payment["state"] == "CANCELED", f"the cancel is forgotten: {what}"
            continue
        made = [one for one in payment[LISTS[wish.kind]] if one["reference"] == wish.key]
        if wish.operation_id is not None:
            assert [one["id"] for one in made] == [wish.operation_id], f"L1, M5: {what}"
            assert wish.body.get("amount", made[0]["amount"]) == made[0]["amount"], f"another amount: {what}"
        elif wish.heard:
            assert wish.kind == "void", f"only a void may be a wish for later: {what}"
            forgotten = not payment["cancel_requested"] and payment["state"] != "CANCELED"
            assert not forgotten, f"the void is forgotten: {what}"
        else:
            assert made == [], f"refused, and done: {what}"


def _charged_once(payments: dict[str, dict[str, Any]], theirs: list[dict[str, Any]], aside: set[str]) -> None:
    """M1, M3, M7, and that amounts are ours: judged by what the PSP really holds and took. `aside`: payments that are left to people."""
    owner = {attempt["id"]: payment for payment in payments.values() for attempt in payment["attempts"]}
    where = {attempt["id"]: attempt["connector"] for payment in payments.values() for attempt in payment["attempts"]}
    holding = defaultdict(list)
    for charge in theirs:
        reference = charge["our_reference"]
        assert reference in owner, f"M7: the PSP knows {charge}, of which we have no attempt"
        assert charge["psp"] == where[reference], f"M7: an attempt of {where[reference]} is known elsewhere: {charge}"
        if charge["held"] or charge["captured"]:
            holding[owner[reference]["id"]].append(charge)
    for payment in payments.values():
        _agrees(payment, holding.get(payment["id"], []), with_people=payment["id"] in aside or payment["state"] == "MANUAL_REVIEW")


def _agrees(payment: dict[str, Any], charges: list[dict[str, Any]], *, with_people: bool) -> None:
    what = f"{payment['id']} {payment['state']} {payment}: the PSP says {charges}"
    assert len(charges) <= 1, f"M1, charged twice: {what}"
    nothing = dict.fromkeys(("authorized", "held", "captured", "refunded", "refunding"), 0)
    charge = charges[0] if charges else {**nothing, "currency": payment["currency"], "amount": payment["amount"]}
    assert (charge["amount"], charge["currency"]) == (payment["amount"], payment["currency"]), f"M9: {what}"
    if with_people:
        return
    captured, refunded = payment["amount_captured"], payment["amount_refunded"]
    assert refunded <= charge["refunded"] + charge["refunding"] <= refunded + open_amount(payment["refunds"]), f"M3: {what}"
    if payment["state"] in ("PROVIDER_PENDING", "OUTCOME_UNKNOWN", "CAPTURING", "VOIDING"):  # not asked again for a minute or more
        assert captured <= charge["captured"], f"M3: {what}"
        return
    match payment["state"]:
        case "CAPTURED":
            held = 0
        case "AUTHORIZED" | "PARTIALLY_CAPTURED":
            held = payment["amount"] - captured
            assert payment["amount_authorized"] == charge["authorized"], f"M3: {what}"
        case "CANCELED":
            held = 0
            assert captured == 0, f"M3: {what}"
        case "FAILED" | "CREATED" | "REQUIRES_ACTION":
            held = 0
            assert not charges, f"M3: {what}"
        case other:
            raise AssertionError(f"{other} was not expected: {what}")
    assert (charge["held"], charge["captured"]) == (held, captured), f"M3: {what}"


def _one_by_one(payments: dict[str, dict[str, Any]], entries: list[dict[str, Any]]) -> None:
    """M3 and M7 for every single operation: done here is done there, once and with its amount, and nothing is done there but by us."""
    every = [(one, payment) for payment in payments.values() for name in LISTS.values() for one in payment[name]]
    ours = {one["id"]: (one, payment) for one, payment in every if one["origin"] != "provider"}
    adopted = {one["psp_reference"]: one for one, _ in every if one["origin"] == "provider"}
    taken_back = {(one["psp"], one["operation"]) for one in entries if one["type"] in ("capture_failed", "refund_failed")}
    done: Counter[str] = Counter()
    for entry in entries:
        reference = entry["operation_reference"]
        if entry["type"] not in ("captured", "refunded"):
            continue
        if reference is None and entry["type"] == "refunded":
            known = adopted.get(entry["operation"])
            assert known is not None, f"M7: a refund that is neither ours nor adopted: {entry}"
            assert (known["amount"], known["currency"]) == (entry["amount"], entry["currency"]), f"M9: {entry}: {known}"
        if reference in (None, entry["our_reference"]):
            continue  # an automatic capture is part of its charge, and was judged with it
        assert reference in ours, f"M7: not an operation of ours: {entry}"
        operation, _ = ours[reference]
        done[reference] += 1
        assert (operation["amount"], operation["currency"]) == (entry["amount"], entry["currency"]), f"M9: {entry}: {operation}"
        failed = operation["status"] == "failed"
        assert not failed or (entry["psp"], entry["operation"]) in taken_back, f"M3: failed here, done there: {entry}: {operation}"
    for reference, (operation, payment) in ours.items():
        assert done[reference] <= 1, f"M1: done {done[reference]} times: {operation}"
        if operation["status"] == "succeeded" and operation["object"] != "void":
            assert done[reference] == 1, f"M3: done here and not there: {operation} of {payment}"


async def _tables(stack: Stack) -> None:
    """L2: whatever is open has a timer in the database. S2: each view stands where its journal stands."""
    unknown = f"state IN {_OPEN_ATTEMPTS} AND {_NOT_WITH_PEOPLE}"
    untimed = f"SELECT payment_id, state FROM payorch.attempts WHERE {unknown} AND next_action_at IS NULL"
    assert await stack.rows(untimed, role=embedded.APP_ROLE) == [], "L2: an unresolved attempt has no timer"
    alone = f"SELECT payment_id, id, state FROM payorch.operations WHERE {_TO_BE_LOOKED_AT} AND next_action_at IS NULL"
    assert await stack.rows(alone, role=embedded.APP_ROLE) == [], "L2: an unresolved operation has no timer"
    unwoken = (
        "SELECT id FROM payorch.payments WHERE state IN ('PROVIDER_PENDING', 'OUTCOME_UNKNOWN') AND NOT held"
        " AND (due_at IS NULL OR NOT unfinished)"
    )
    assert await stack.rows(unwoken) == [], "an unknown outcome that nobody will look into"
    apart = "SELECT id FROM payorch.payments AS p WHERE version <> (SELECT max(sequence) FROM payorch.journal WHERE stream_id = p.id)"
    assert await stack.rows(apart) == [], "S2: a view is not where its journal is"
    gaps = "SELECT stream_id FROM payorch.journal GROUP BY stream_id HAVING max(sequence) <> count(*)"
    assert await stack.rows(gaps) == [], "S2: a gap in a journal"


def summary(market: Market, states: Counter[str]) -> str:
    """One line of figures for people."""
    ends = ("done" if wish.operation_id else "heard" if wish.heard else wish.refusals[0] for wish in market.wishes)
    wishes = Counter(f"{wish.kind} {end}" for wish, end in zip(market.wishes, ends, strict=True))
    operations = f"; {len(market.wishes)} operations {dict(wishes.most_common())}" if wishes else ""
    busy = Counter(problem["code"] for status, problem, _ in market.problems if status == 503)
    operations += f"; 503 for {dict(busy)}" if busy else ""
    return f"{len(market.orders)} orders{operations}; heard {dict(market.seen.most_common())}; ended {dict(states.most_common())}"
