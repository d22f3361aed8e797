"""What Adyen and the banks do by themselves once its time has come, unless the payment has moved on and there is nothing left to do.

Not here: when that is (each step schedules what follows it), what the deeds are (`dialect_payments`, `dialect_disputes`).
"""

from __future__ import annotations

from connectors.adyen import dialect_disputes, dialect_payments
from connectors.adyen.dialect_call import Call
from connectors.adyen.dialect_cards import card_of
from connectors.simulator.records import OperationKind, Payment, Timer


def happen(call: Call, timer: Timer) -> None:
    """Does what that timer is for."""
    payment = call.ledger.payment(timer.payment)
    if payment is None:
        return
    match timer.kind:
        case dialect_payments.APPROVE if payment.facts["status"] == "pending":
            dialect_payments.approve(call, payment)
        case dialect_payments.EXPIRE if payment.held:
            dialect_payments.expire(call, payment)
        case dialect_payments.FAIL_CAPTURE if not payment.facts["withdrawn"]:
            dialect_payments.fail_capture(call, payment, timer.subject)
        case dialect_payments.FINISH_REFUND | dialect_payments.FAIL_REFUND:
            _to_refund(call, payment, timer)
        case dialect_payments.DISPUTE:
            _dispute(call, payment)
        case dialect_disputes.DISPUTE_DEADLINE:
            dispute = call.ledger.operation(timer.subject, OperationKind.DISPUTE)
            if dispute is not None:
                dialect_disputes.run_out(call, payment, dispute)
        case _:
            return


def _to_refund(call: Call, payment: Payment, timer: Timer) -> None:
    refund = call.ledger.operation(timer.subject)
    if refund is None:
        return
    if timer.kind == dialect_payments.FINISH_REFUND:
        dialect_payments.finish_refund(call, payment, refund)
    else:
        dialect_payments.fail_refund(call, payment, refund)


def _dispute(call: Call, payment: Payment) -> None:
    claim = card_of(payment.facts["card"]).disputed
    left = payment.captured - payment.facts["withdrawn"]
    if claim is not None and left > 0 and dialect_disputes.open_of(call, payment) is None:
        dialect_disputes.begin(call, payment, claim, left)
