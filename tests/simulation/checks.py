"""What must hold at the end of every simulated run: RELIABILITY.md's invariants, judged by the PSP's own ledger and by the tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from payorch.domain.payment import HOLDING_ATTEMPT, OPEN_ATTEMPT, OPEN_OPERATION, TERMINAL, State
from payorch.domain.records import Payment
from payorch.store import audit, reads
from payorch.store.driver import Connection
from tests.simulation.merchants import Merchant
from tests.simulation.runtime import Runtime
from tests.simulation.world import World

WAITING_FOR_THE_MERCHANT = frozenset({State.CREATED, State.AUTHORIZED, State.PARTIALLY_CAPTURED, State.MANUAL_REVIEW})


async def check(world: World, runtime: Runtime, merchants: Sequence[Merchant], connection: Connection) -> None:
    """Raises AssertionError with the first thing that is wrong."""
    ids = [row.id for row in await _all_rows(connection, runtime.merchant_id)]
    payments = await reads.load_many(connection, ids)
    assert (await audit.verify(connection)).whole, "the hash chain is broken (A2)"
    _accepted_exist(merchants, payments)
    _one_key_one_payment(merchants, payments)
    _ledger_agrees(world, payments)
    for payment in payments.values():
        _at_rest(payment)
        world.seen[f"end:{payment.state}"] += 1
    await _timers(connection)


async def _all_rows(connection: Connection, merchant_id: str) -> list[reads.PaymentRow]:
    found: list[reads.PaymentRow] = []
    after: str | None = None
    while True:
        rows, after = await reads.search(connection, reads.Search(merchant_id=merchant_id), limit=1000, after=after)
        found.extend(rows)
        if after is None:
            return found


def _accepted_exist(merchants: Sequence[Merchant], payments: dict[str, Payment]) -> None:
    for merchant in merchants:
        for order in merchant.orders:
            assert order.payment_id in payments, f"L1: {order.key} was accepted as {order.payment_id}, which does not exist"
            payment = payments[order.payment_id]
            assert payment.intent.amount.minor == order.body["amount"], f"{order.key}: another amount"


def _one_key_one_payment(merchants: Sequence[Merchant], payments: dict[str, Payment]) -> None:
    orders = [order for merchant in merchants for order in merchant.orders]
    for order in orders:
        bodies = {(heard.status, heard.body) for heard in order.heard}
        assert len(bodies) == 1, f"M6: {order.key} was answered differently: {bodies}"
    assert len(payments) == len(orders), f"M5: {len(orders)} keys made {len(payments)} payments"


def _ledger_agrees(world: World, payments: dict[str, Payment]) -> None:
    """What the PSP really holds and took, against what we say."""
    held: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    known = {attempt.id: payment for payment in payments.values() for attempt in payment.attempts}
    page = world.ledger.payments(limit=100_000)
    for theirs in page.items:
        reference = theirs.reference
        assert reference in known, f"M7: the PSP knows {reference}, of which we have no attempt"
        if theirs.held or theirs.captured - theirs.refunded:
            held[known[reference].id].append((reference, theirs.held, theirs.captured - theirs.refunded))
    for payment in payments.values():
        theirs_now = held.get(payment.id, [])
        assert len(theirs_now) <= 1, f"M1: {payment.id} is charged {len(theirs_now)} times: {theirs_now}"
        if payment.state is State.MANUAL_REVIEW:
            continue
        _, hold, captured = theirs_now[0] if theirs_now else ("", 0, 0)
        ours_held = payment.authorized_minor if payment.state is State.AUTHORIZED else 0
        assert captured == payment.captured_minor, f"M3: {payment.id} {payment.state}: PSP captured {captured}, we {payment.captured_minor}"
        if payment.state in TERMINAL | {State.AUTHORIZED}:
            assert hold == ours_held, f"M3: {payment.id} {payment.state}: the PSP holds {hold}, we say {ours_held}"


def _at_rest(payment: Payment) -> None:
    """L1, I1, I4: after the healing every payment has come to an end or waits for somebody."""
    assert payment.state in TERMINAL | WAITING_FOR_THE_MERCHANT, f"L1: {payment.id} is still {payment.state}"
    open_attempts = [one for one in payment.attempts if one.state in OPEN_ATTEMPT]
    assert len(open_attempts) <= 1, "I1: two attempts are open"
    assert sum(one.state in HOLDING_ATTEMPT for one in payment.attempts) <= 1 or payment.state is State.MANUAL_REVIEW, "I2"
    assert all(one.state not in OPEN_OPERATION for one in payment.operations), f"{payment.id} has an operation without an end"


async def _timers(connection: Connection) -> None:
    """L2 in the tables themselves, and S2: the view stands where the journal stands."""
    cursor = await connection.execute(
        "SELECT count(*) FROM payorch.attempts AS a JOIN payorch.payments AS p ON p.id = a.payment_id"
        " WHERE a.state IN ('PREPARED', 'SENT', 'ACTION_REQUIRED', 'PENDING', 'UNKNOWN') AND a.next_action_at IS NULL"
        " AND p.state <> 'MANUAL_REVIEW'"
    )
    assert await cursor.fetchone() == (0,), "L2: an unresolved attempt has no timer"
    cursor = await connection.execute(
        "SELECT count(*) FROM payorch.payments AS p WHERE version <> (SELECT max(sequence) FROM payorch.journal WHERE stream_id = p.id)"
    )
    assert await cursor.fetchone() == (0,), "S2: a view is not where its journal is"
