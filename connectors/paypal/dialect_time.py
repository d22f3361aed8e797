"""What PayPal and the banks do by themselves once its time has come, unless the payment has moved on and there is nothing left to do.

Not here: when that is (each step schedules what follows it), what the deeds are (`dialect_payments`, `dialect_operations`,
`dialect_disputes`).
"""

from __future__ import annotations

from connectors.paypal import dialect_disputes, dialect_operations, dialect_payments
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_cards import card_of
from connectors.simulator.records import Facts, OperationKind, Payment, Timer


def happen(call: Call, timer: Timer) -> None:
    """Does what that timer is for."""
    payment = call.ledger.payment(timer.payment)
    if payment is None:
        return
    match timer.kind:
        case dialect_operations.FINISH_REFUND | dialect_operations.FAIL_REFUND:
            refund = call.ledger.operation(timer.subject)
            act = dialect_operations.finish if timer.kind == dialect_operations.FINISH_REFUND else dialect_operations.fail
            if refund is not None:
                act(call, payment, refund)
        case dialect_disputes.DISPUTE_DEADLINE:
            dispute = call.ledger.operation(timer.subject, OperationKind.DISPUTE)
            if dispute is not None and dialect_disputes.is_open(dispute):
                dialect_disputes.run_out(call, payment, dispute)
        case dialect_payments.EXPIRE:
            _expire(call, payment)
        case _:
            _to_money(call, payment, timer)


def _expire(call: Call, payment: Payment) -> None:
    if payment.held and payment.facts["authorization"] is not None:
        dialect_payments.release(call, payment, expired=True)


def _to_money(call: Call, payment: Payment, timer: Timer) -> None:
    made = [it for it in (payment.facts["authorization"], *payment.facts["captures"]) if it is not None]
    it: Facts | None = next((it for it in made if it["id"] == timer.subject), None)
    if it is None:
        return
    if timer.kind == dialect_payments.APPROVE and it["status"] == "PENDING":
        dialect_payments.approve(call, payment, it)
    elif timer.kind == dialect_payments.FAIL_CAPTURE and it["status"] == "COMPLETED" and not it["withdrawn"]:
        dialect_payments.fail_capture(call, payment, it)
    elif timer.kind == dialect_disputes.DISPUTE and it["status"] == "COMPLETED" and not it["withdrawn"]:
        claim = card_of(payment.facts["token"]).disputed
        if claim is not None:
            dialect_disputes.begin(call, payment, it, claim, it["amount"])
