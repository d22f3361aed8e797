"""What must hold at the end of every simulated run: RELIABILITY.md's invariants, judged by the tables and by what merchants were told.

Not here: what must hold at any moment (`watch`, `psp.witness`), the PSP's books (`books`), what
was told (`tellings`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from payorch.domain import identifiers
from payorch.domain.payment import HOLDING_ATTEMPT, OPEN_ATTEMPT, OPEN_OPERATION, TERMINAL, State
from payorch.domain.records import Payment
from payorch.store import audit, reads
from payorch.store.driver import Connection
from tests.simulation import books, history, tellings
from tests.simulation.merchants import Merchant
from tests.simulation.runtime import Runtime
from tests.simulation.world import World

WAITING_FOR_THE_MERCHANT: Final = frozenset({State.CREATED, State.AUTHORIZED, State.PARTIALLY_CAPTURED, State.MANUAL_REVIEW})


async def check(world: World, runtime: Runtime, merchants: Sequence[Merchant], connection: Connection) -> None:
    """Raises AssertionError with the first thing that is wrong."""
    world.watch.tables_are_sound()
    rows = await _all_rows(connection, runtime.merchant_id)
    payments = await reads.load_many(connection, [row.id for row in rows])
    assert (await audit.verify(connection)).whole, "A2: the hash chain is broken"
    _views_are_replays(rows, payments)
    _ledger_is_whole(world, runtime.merchant_id, payments)
    _merchants_were_told_the_truth(merchants, payments)
    orders = {merchant.order.payment_id: merchant.order for merchant in merchants}
    for payment in payments.values():
        token = orders[payment.id].token if payment.id in orders else ""
        if not books.for_people_soon(world, payment, token):
            _at_rest(payment)
        books.one_payment(world, payment, token)
        world.seen[f"end:{payment.state}"] += 1
        for operation in payment.operations:
            world.seen[f"end:{operation.kind} {operation.state}"] += 1
    books.nothing_unknown_to_us(world, payments.values())
    tellings.notices(world)
    tellings.letters(world)
    await tellings.events(world, payments.values(), connection)
    world.seen.update({f"event:{name}": count for name, count in world.watch.events()})


async def _all_rows(connection: Connection, merchant_id: str) -> list[reads.PaymentRow]:
    found: list[reads.PaymentRow] = []
    after: str | None = None
    while True:
        rows, after = await reads.search(connection, reads.Search(merchant_id=merchant_id), limit=1000, after=after)
        found.extend(rows)
        if after is None:
            return found


def _views_are_replays(rows: Sequence[reads.PaymentRow], payments: dict[str, Payment]) -> None:
    """A1, S1: every row is what its events make of it, and they make it by legal edges only (else `replay` has raised)."""
    for row in rows:
        payment = payments[row.id]
        view = (row.state, row.version, row.captured_minor, row.refunded_minor, row.held)
        replayed = (payment.state, payment.version, payment.captured_minor, payment.refunded_minor, payment.hold is not None)
        assert view == replayed, f"A1: the view of {row.id} says {view}, its journal {replayed}"


def _ledger_is_whole(world: World, merchant_id: str, payments: dict[str, Payment]) -> None:
    """M4: the double entries of each payment say what it says, and the merchant's account is the sum of them all."""
    moved: Counter[tuple[str, str, str]] = Counter()
    for row in world.watch.rows(_MOVED):
        moved[identifiers.text("pay", row["payment_id"]), row["kind"], row["currency"]] = row["amount"]
    owed: Counter[str] = Counter()
    for payment in payments.values():
        currency = payment.intent.amount.currency
        sums = {"capture": payment.captured_minor, "refund": payment.refunded_minor}
        if all(one.amount.currency == currency for one in payment.disputes):
            sums["chargeback"] = payment.disputed_minor
        for kind, minor in sums.items():
            there = moved[payment.id, kind, currency] - moved[payment.id, f"{kind}_reversed", currency]
            assert there == minor, f"M4: {payment.id} says {kind} {minor}, its double entries {there}"
            world.seen[f"ledger:{kind}"] += minor > 0
    for (payment_id, kind, currency), minor in moved.items():
        assert payment_id in payments, f"M4: {payment_id} has movements and is no payment"
        to_the_merchant = kind in ("capture", "refund_reversed", "chargeback_reversed")
        owed[currency] += minor if to_the_merchant else -minor
    accounts = {row["currency"]: -row["amount"] for row in world.watch.rows(_PAYABLE) if row["account"].endswith(merchant_id)}
    booked = {currency: minor for currency, minor in owed.items() if minor}
    assert booked == {currency: minor for currency, minor in accounts.items() if minor}, (
        f"M4: the merchant is owed {dict(owed)} by his payments, {accounts} by his account"
    )


_MOVED: Final = """
SELECT payment_id, kind, currency, sum(amount)::bigint AS amount FROM payorch.movements GROUP BY payment_id, kind, currency
"""
_PAYABLE: Final = """
SELECT account, currency, sum(amount)::bigint AS amount FROM payorch.ledger_lines WHERE account LIKE 'merchant_payable:%'
GROUP BY account, currency
"""


def _merchants_were_told_the_truth(merchants: Sequence[Merchant], payments: dict[str, Payment]) -> None:
    by_reference: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments.values():
        by_reference[payment.intent.reference or ""].append(payment)
    for merchant in merchants:
        history.creation_kept(merchant.order, payments, by_reference)
        history.asks_kept(merchant.order, payments.get(merchant.order.payment_id or ""))
    known = {merchant.order.creation.body["reference"] for merchant in merchants}
    assert set(by_reference) <= known, f"M5: payments that nobody asked for: {set(by_reference) - known}"


def _at_rest(payment: Payment) -> None:
    """L1, I1, I2: after the healing every payment has come to an end or waits for somebody, and so has everything under it."""
    where = f"{payment.id} {payment.state}"
    assert payment.state in TERMINAL | WAITING_FOR_THE_MERCHANT, f"L1: {payment.id} is still {payment.state}"
    assert payment.hold is None, f"L1: {payment.id} was set aside: {payment.hold}"
    if payment.state is State.MANUAL_REVIEW:
        return
    unsettled = [one.id for one in payment.operations if one.state in OPEN_OPERATION and not one.in_review]
    assert not unsettled, f"L1: {where} has operations without an end: {unsettled}"
    assert not [one for one in payment.attempts if one.state in OPEN_ATTEMPT], f"L1: {where} has an attempt without an end"
    assert sum(one.state in HOLDING_ATTEMPT for one in payment.attempts) <= 1, f"I2: two attempts of {where} hold money"
