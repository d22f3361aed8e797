"""Adyen's disputes: a request for information, a chargeback, its reversal, its end.

A chargeback takes its amount from the merchant's balance at Adyen, a reversal gives it back. What the payment has captured and refunded
stays as it is. A dispute has a reference of its own, the same in all of its notifications. Not here: who disputes and when
(`dialect_dashboard`, `dialect_time`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from connectors.adyen.dialect_call import Call
from connectors.simulator.cards import Claim
from connectors.simulator.records import Operation, OperationKind, OperationStatus, Payment

DISPUTE_DEADLINE: Final = "dispute_deadline"
"""Kind of timer; the subject is a dispute."""
RESPOND_WITHIN: Final = timedelta(days=14)
"""Card networks give one to three weeks."""
_REASONS: Final[Mapping[Claim, tuple[str, str]]] = MappingProxyType(
    {
        Claim.FRAUD: ("10.4", "Other Fraud-Card Absent Environment"),
        Claim.NOT_RECEIVED: ("13.1", "Merchandise/Services Not Received"),
        Claim.ONLY_ASKS: ("10.4", "Other Fraud-Card Absent Environment"),
    }
)
_INQUIRY, _OPEN, _WON, _LOST = "inquiry", "open", "won", "lost"


def open_of(call: Call, payment: Payment) -> Operation | None:
    """The payment's open dispute or request, if there is one; there is never a second."""
    page = call.ledger.operations(limit=1, payment=payment.id, kind=OperationKind.DISPUTE)
    return next((it for it in page.items if it.facts["status"] in (_INQUIRY, _OPEN)), None)


def is_inquiry(dispute: Operation) -> bool:
    """Whether no money has been taken: the bank only asks."""
    return bool(dispute.facts["status"] == _INQUIRY)


def begin(call: Call, payment: Payment, claim: Claim, amount: int) -> None:
    """The bank disputes what was captured, or asks about it: `amount` in ISO minor units."""
    only_asks = claim is Claim.ONLY_ASKS
    code, reason = _REASONS[claim]
    due_by = call.now + RESPOND_WITHIN
    dispute = call.ledger.open_dispute(
        payment,
        id=call.new_reference(),
        amount=amount,
        at=call.now,
        facts={"status": _INQUIRY if only_asks else _OPEN, "code": code, "reason": reason, "due_by": due_by.isoformat(timespec="seconds")},
    )
    call.ledger.schedule(at=due_by, payment=payment, kind=DISPUTE_DEADLINE, subject=dispute.id)
    if only_asks:
        _tell(call, "REQUEST_FOR_INFORMATION", payment, dispute)
    else:
        _charge_back(call, payment, dispute)


def escalate(call: Call, payment: Payment, inquiry: Operation) -> None:
    """The answer to a request did not satisfy."""
    inquiry.facts["status"] = _OPEN
    call.ledger.save_operation(inquiry)
    _charge_back(call, payment, inquiry)


def win(call: Call, payment: Payment, dispute: Operation) -> None:
    """The bank decides for the merchant, or drops its question, of which Adyen tells nothing."""
    inquiry = is_inquiry(dispute)
    _end(call, dispute, _WON, OperationStatus.SUCCEEDED)
    if inquiry:
        return
    payment.facts["withdrawn"] -= dispute.amount
    call.ledger.save(payment)
    call.ledger.reported.reinstate(payment, dispute, call.now)
    _tell(call, "CHARGEBACK_REVERSED", payment, dispute)


def lose(call: Call, payment: Payment, dispute: Operation) -> None:
    """The bank does not accept the merchant's defence."""
    _end(call, dispute, _LOST, OperationStatus.FAILED)
    _tell(call, "SECOND_CHARGEBACK", payment, dispute)


def run_out(call: Call, payment: Payment, dispute: Operation) -> None:
    """The time for a defence is over without one."""
    if dispute.facts["status"] == _OPEN:
        _end(call, dispute, _LOST, OperationStatus.FAILED)
        _tell(call, "DISPUTE_DEFENSE_PERIOD_ENDED", payment, dispute)
    elif is_inquiry(dispute):
        _end(call, dispute, _WON, OperationStatus.SUCCEEDED)


def _charge_back(call: Call, payment: Payment, dispute: Operation) -> None:
    payment.facts["withdrawn"] += dispute.amount
    call.ledger.save(payment)
    call.ledger.reported.withdraw(payment, dispute, call.now)
    _tell(call, "NOTIFICATION_OF_CHARGEBACK", payment, dispute)
    _tell(call, "CHARGEBACK", payment, dispute)


def _end(call: Call, dispute: Operation, status: str, outcome: OperationStatus) -> None:
    dispute.facts["status"] = status
    call.ledger.save_operation(replace(dispute, status=outcome))


def _tell(call: Call, event: str, payment: Payment, dispute: Operation) -> None:
    facts = dispute.facts
    extra = {"chargebackReasonCode": facts["code"], "chargebackSchemeCode": "visa", "defensePeriodEndsAt": facts["due_by"]}
    call.emit(event, payment, amount=dispute.amount, reference=None, own=dispute.id, reason=facts["reason"], extra=extra)
