"""What Stripe and the banks do by themselves once its time has come, unless the payment has moved on and there is nothing left to do.

Not here: when that is (each step schedules what follows it), what the deeds are (`dialect_payments`, `dialect_refunds`,
`dialect_disputes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from connectors.simulator.records import Facts, Operation, OperationKind, Payment, Timer
from connectors.stripe import dialect_disputes, dialect_payments, dialect_refunds
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_objects import card_of

_Act: TypeAlias = Callable[[Call, Payment, Operation], None]
_TO_REFUNDS: Final[Mapping[str, _Act]] = MappingProxyType(
    {dialect_refunds.FINISH_REFUND: dialect_refunds.finish, dialect_refunds.FAIL_REFUND: dialect_refunds.fail}
)
_TO_DISPUTES: Final[Mapping[str, _Act]] = MappingProxyType(
    {
        dialect_disputes.DISPUTE_DEADLINE: dialect_disputes.run_out,
        dialect_disputes.WIN_DISPUTE: dialect_disputes.win,
        dialect_disputes.LOSE_DISPUTE: dialect_disputes.lose,
        dialect_disputes.ESCALATE_INQUIRY: dialect_disputes.escalate,
    }
)


def happen(call: Call, timer: Timer) -> None:
    """Does what that timer is for."""
    payment = call.ledger.payment(timer.payment)
    if payment is None:
        return
    if (act := _TO_REFUNDS.get(timer.kind)) is not None:
        refund = call.ledger.operation(timer.subject)
        if refund is not None:
            act(call, payment, refund)
    elif (act := _TO_DISPUTES.get(timer.kind)) is not None:
        dispute = call.ledger.operation(timer.subject, OperationKind.DISPUTE)
        if dispute is not None and _still(timer.kind, dispute):
            act(call, payment, dispute)
    else:
        _to_charge(call, payment, next(it for it in payment.facts["charges"] if it["id"] == timer.subject), timer.kind)


def _still(kind: str, dispute: Operation) -> bool:
    if not dialect_disputes.is_open(dispute):
        return False
    # Only a question can become a dispute, and only a dispute can be lost.
    wants_inquiry = {dialect_disputes.ESCALATE_INQUIRY: True, dialect_disputes.LOSE_DISPUTE: False}.get(kind)
    return wants_inquiry is None or wants_inquiry is dialect_disputes.is_inquiry(dispute)


def _to_charge(call: Call, payment: Payment, it: Facts, kind: str) -> None:
    latest = it is payment.facts["charges"][-1]
    disputed = it.get("disputed", False)
    if kind == dialect_payments.APPROVE and it["status"] == "pending":
        dialect_payments.approve(call, payment, it)
    elif kind == dialect_payments.EXPIRE and latest and payment.held:
        dialect_payments.cancel(call, payment, "automatic", expired=True)
    elif kind == dialect_payments.FAIL_CAPTURE and it["amount_captured"] and not it["amount_refunded"] and not disputed:
        dialect_payments.fail_capture(call, payment, it)
    elif kind == dialect_disputes.DISPUTE and it["amount_captured"] and not disputed:
        claim = card_of(it["method"]).disputed
        if claim is not None:
            dialect_disputes.begin(call, payment, it, claim, payment.captured)
