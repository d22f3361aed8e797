"""PayPal's disputes: opened by the buyer or his bank, won, lost; and inquiries, which may become one.

A dispute in its chargeback stage takes its amount from the merchant's balance, and gives it back when it is won. What the capture has taken
and refunded stays as it is. Evidence is sent in PayPal's Resolution Center and not here: a dispute is decided in the dashboard, or by its
deadline. Not here: who disputes and when (`dialect_dashboard`, `dialect_time`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from connectors.paypal import dialect_money
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_objects import MERCHANT, milli, stamp
from connectors.simulator.cards import Claim
from connectors.simulator.records import Facts, Operation, OperationKind, OperationStatus, Payment, milliseconds

DISPUTE, DISPUTE_DEADLINE = "dispute", "dispute_deadline"
"""Kinds of timers; the subject of the first is a capture, of the second a dispute."""
RESPOND_WITHIN: Final = timedelta(days=10)
_REASONS: Final[Mapping[Claim, str]] = MappingProxyType(
    {
        Claim.FRAUD: "UNAUTHORISED",
        Claim.NOT_RECEIVED: "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        Claim.ONLY_ASKS: "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED",
    }
)
_WITHDRAWS: Final = "CHARGEBACK"


def is_open(dispute: Operation) -> bool:
    """Whether nobody has decided it yet."""
    return bool(dispute.facts["status"] != "RESOLVED")


def is_inquiry(dispute: Operation) -> bool:
    """Whether no money has been taken: the buyer only asks, or only asked."""
    return bool(dispute.facts["stage"] == "INQUIRY")


def open_of(call: Call, payment: Payment) -> Operation | None:
    """The payment's open dispute or inquiry, if there is one; there is never a second."""
    page = call.ledger.operations(limit=1, payment=payment.id, kind=OperationKind.DISPUTE)
    return next((it for it in page.items if is_open(it)), None)


def shown(dispute: Operation, payment: Payment, base_url: str) -> dict[str, Any]:
    """The dispute object."""
    facts = dispute.facts
    amount = dialect_money.shown(dispute.amount, payment.currency)
    taken = next(it for it in payment.facts["captures"] if it["id"] == facts["capture"])
    transaction = {
        "seller_transaction_id": facts["capture"],
        "create_time": milli(taken["created"]),
        "transaction_status": "COMPLETED",
        "gross_amount": dialect_money.shown(taken["amount"], payment.currency),
        "seller": {"merchant_id": MERCHANT},
        **({} if payment.facts["custom_id"] is None else {"custom": payment.facts["custom_id"]}),
        **({} if taken["invoice_id"] is None else {"invoice_number": taken["invoice_id"]}),
    }
    open_still = is_open(dispute)
    return {
        "dispute_id": dispute.id,
        "create_time": stamp(dispute.created_at),
        "update_time": milli(facts["updated"]),
        "disputed_transactions": [transaction],
        "reason": facts["reason"],
        "status": facts["status"],
        "dispute_amount": amount,
        **({} if open_still else {"dispute_outcome": {"outcome_code": facts["outcome"], "amount_refunded": amount}}),
        "dispute_life_cycle_stage": facts["stage"],
        "dispute_channel": "INTERNAL" if is_inquiry(dispute) else "EXTERNAL",
        **({"seller_response_due_date": milli(facts["due"])} if open_still else {}),
        "links": [{"href": f"{base_url}/v1/customer/disputes/{dispute.id}", "rel": "self", "method": "GET"}],
    }


def begin(call: Call, payment: Payment, it: Facts, claim: Claim, amount: int) -> Operation:
    """The buyer disputes a capture, or asks about it: `amount` in ISO minor units, at most what was taken and is not withdrawn yet."""
    due = call.now + RESPOND_WITHIN
    dispute = call.ledger.open_dispute(
        payment,
        id=f"PP-R-{call.ledger.new_id('', 12).upper()}",
        amount=amount,
        at=call.now,
        facts={
            "capture": it["id"],
            "reason": _REASONS[claim],
            "stage": "INQUIRY" if claim is Claim.ONLY_ASKS else _WITHDRAWS,
            "status": "WAITING_FOR_SELLER_RESPONSE",
            "outcome": None,
            "due": milliseconds(due),
            "updated": call.at,
        },
    )
    call.ledger.schedule(at=due, payment=payment, kind=DISPUTE_DEADLINE, subject=dispute.id)
    if not is_inquiry(dispute):
        _move(call, payment, dispute, sign=1)
    _tell(call, "CREATED", payment, dispute)
    return dispute


def escalate(call: Call, payment: Payment, inquiry: Operation) -> None:
    """An inquiry becomes a dispute, and has to be answered anew."""
    facts = inquiry.facts
    facts |= {"stage": _WITHDRAWS, "status": "WAITING_FOR_SELLER_RESPONSE", "updated": call.at}
    call.ledger.save_operation(inquiry)
    _move(call, payment, inquiry, sign=1)
    _tell(call, "UPDATED", payment, inquiry)


def win(call: Call, payment: Payment, dispute: Operation) -> None:
    """It is decided for the merchant; or the buyer drops his question."""
    if not is_inquiry(dispute):
        _move(call, payment, dispute, sign=-1)
    _end(call, payment, dispute, "CANCELED_BY_BUYER" if is_inquiry(dispute) else "RESOLVED_SELLER_FAVOUR", OperationStatus.SUCCEEDED)


def lose(call: Call, payment: Payment, dispute: Operation) -> None:
    """It is decided for the buyer, or nobody answered."""
    _end(call, payment, dispute, "RESOLVED_BUYER_FAVOUR", OperationStatus.FAILED)


def run_out(call: Call, payment: Payment, dispute: Operation) -> None:
    """The time for an answer is over: without one a dispute is lost. An inquiry comes to nothing."""
    if is_inquiry(dispute):
        win(call, payment, dispute)
    else:
        lose(call, payment, dispute)


def _move(call: Call, payment: Payment, dispute: Operation, *, sign: int) -> None:
    """Between the merchant's balance and the buyer's; the capture knows how much of it is gone."""
    it = next(it for it in payment.facts["captures"] if it["id"] == dispute.facts["capture"])
    it["withdrawn"] += sign * dispute.amount
    call.save(payment)
    (call.ledger.reported.withdraw if sign > 0 else call.ledger.reported.reinstate)(payment, dispute, call.now)


def _end(call: Call, payment: Payment, dispute: Operation, outcome: str, status: OperationStatus) -> None:
    facts = dispute.facts
    facts |= {"status": "RESOLVED", "outcome": outcome, "updated": call.at}
    call.ledger.save_operation(replace(dispute, status=status))
    _tell(call, "RESOLVED", payment, dispute)


def _tell(call: Call, what: str, payment: Payment, dispute: Operation) -> None:
    call.tell(f"CUSTOMER.DISPUTE.{what}", "dispute", payment, shown(dispute, payment, call.settings.base_url))
