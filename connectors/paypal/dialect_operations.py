"""The endpoints of what was made of an order: capturing, voiding and showing an authorization, showing a capture, refunds.

Each checks everything before it writes anything. Not here: orders (`dialect_orders`), disputes (`dialect_disputes`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from connectors.paypal import dialect_objects
from connectors.paypal.dialect_body import Body
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_cards import card_of
from connectors.paypal.dialect_errors import impossible, no_such
from connectors.paypal.dialect_payments import claim_invoice, release, take
from connectors.simulator.records import Facts, Operation, OperationStatus, Payment

MOST_CAPTURES: Final = 10
FINISH_REFUND, FAIL_REFUND = "finish_refund", "fail_refund"
"""Kinds of timers; the subject is a refund."""
_TAKEN: Final = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")


# --- authorizations ---------------------------------------------------------------------------------------------------------------------


def find_authorization(call: Call, id: str) -> Payment:
    """The payment whose authorization has that id. Raises Refused."""
    payment = call.ledger.payment(id)
    held = None if payment is None else payment.facts["authorization"]
    if payment is None or held is None or held["id"] != id:
        raise no_such()
    return payment


def capture(call: Call, payment: Payment, body: Body) -> tuple[Payment, Facts]:
    """`POST /v2/payments/authorizations/{id}/capture`; without an amount all that is held."""
    asked, final = body.amount("amount"), body.flag("final_capture")
    invoice_id = body.text("invoice_id", longest=127)
    body.text("note_to_payer", longest=255)
    body.text("soft_descriptor", longest=22)
    _capturable(payment)
    if asked is not None and asked[1] != payment.currency:
        raise impossible("AUTH_CAPTURE_CURRENCY_MISMATCH", field="/amount/currency_code", value=asked[1])
    amount = payment.held if asked is None else asked[0]
    if amount > payment.held:
        # The real one lets up to 115 % be captured where the account has that; this account has not.
        raise impossible("MAX_CAPTURE_AMOUNT_EXCEEDED", field="/amount/value")
    claim_invoice(call, payment, invoice_id)
    return take(call, payment, amount, final=bool(final), invoice_id=invoice_id)


def _capturable(payment: Payment) -> None:
    held, captures = payment.facts["authorization"], payment.facts["captures"]
    gone = held["updated"] >= held["expires"]
    refusal = {
        "VOIDED": "AUTHORIZATION_EXPIRED" if gone else "AUTHORIZATION_VOIDED",
        "DENIED": "AUTHORIZATION_DENIED",
        "PENDING": "TRANSACTION_REFUSED",
    }.get(held["status"])
    if refusal is not None:
        raise impossible(refusal)
    if not payment.held:
        raise impossible("AUTHORIZATION_ALREADY_CAPTURED")
    if len(captures) >= MOST_CAPTURES:
        raise impossible("MAX_CAPTURE_COUNT_EXCEEDED")


def void(call: Call, payment: Payment) -> Payment:
    """`POST /v2/payments/authorizations/{id}/void`."""
    held = payment.facts["authorization"]
    if held["status"] in ("VOIDED", "DENIED"):
        raise impossible("PREVIOUSLY_VOIDED")
    if not payment.held:
        raise impossible("PREVIOUSLY_CAPTURED")
    return release(call, payment)


def show_authorization(call: Call, payment: Payment) -> dict[str, Any]:
    """The authorization in full."""
    return dialect_objects.authorization(payment, call.settings.base_url)


# --- captures ---------------------------------------------------------------------------------------------------------------------------


def find_capture(call: Call, id: str) -> tuple[Payment, Facts]:
    """The payment, and its capture that has that id. Raises Refused."""
    payment = call.ledger.payment(id)
    it = None if payment is None else next((it for it in payment.facts["captures"] if it["id"] == id), None)
    if payment is None or it is None:
        raise no_such()
    return payment, it


def show_capture(call: Call, payment: Payment, it: Facts) -> dict[str, Any]:
    """The capture in full."""
    return dialect_objects.capture(payment, it, call.settings.base_url)


# --- refunds ----------------------------------------------------------------------------------------------------------------------------


def refund(call: Call, payment: Payment, it: Facts, body: Body) -> Operation:
    """`POST /v2/payments/captures/{id}/refund`; without an amount all that is left."""
    asked = body.amount("amount")
    custom_id, invoice_id = body.text("custom_id", longest=127), body.text("invoice_id", longest=127)
    note = body.text("note_to_payer", longest=255)
    amount = _refundable(payment, it, asked)
    claim_invoice(call, payment, invoice_id, kind="refund_invoice")
    payment, operation = call.ledger.open_refund(
        payment,
        id=call.new_id(),
        reference=custom_id or invoice_id,
        amount=amount,
        at=call.now,
        facts={"capture": it["id"], "custom_id": custom_id, "invoice_id": invoice_id, "note_to_payer": note, "updated": call.at},
    )
    return _begin_refund(call, payment, operation)


def _refundable(payment: Payment, it: Facts, asked: tuple[int, str] | None) -> int:
    if it["status"] == "PENDING":
        raise impossible("PENDING_CAPTURE")
    if it["status"] not in _TAKEN:
        raise impossible("REFUND_NOT_ALLOWED")
    if asked is not None and asked[1] != payment.currency:
        raise impossible("REFUND_CAPTURE_CURRENCY_MISMATCH", field="/amount/currency_code", value=asked[1])
    left = it["amount"] - it["refunded"]
    if not left:
        raise impossible("CAPTURE_FULLY_REFUNDED")
    free = left - it["withdrawn"]
    amount = free if asked is None else asked[0]
    if amount > left:
        raise impossible("REFUND_AMOUNT_EXCEEDED", field="/amount/value")
    if free <= 0 or amount > free:
        raise impossible("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK")
    return amount


def _begin_refund(call: Call, payment: Payment, operation: Operation) -> Operation:
    card = card_of(payment.facts["token"])
    _count(payment, operation, operation.amount)
    later = call.now + timedelta(seconds=call.settings.late_failure_seconds)
    if card.refund_fails_late:
        call.ledger.schedule(at=later, payment=payment, kind=FAIL_REFUND, subject=operation.id)
    if card.refund_pending:
        call.ledger.schedule(at=later, payment=payment, kind=FINISH_REFUND, subject=operation.id)
        call.save(payment)
        call.tell_of_refund("PAYMENT.REFUND.PENDING", payment, operation)
        return operation
    payment, operation = call.ledger.finish_refund(payment, operation, call.now)
    call.save(payment)
    call.tell_of_refund("PAYMENT.CAPTURE.REFUNDED", payment, operation)
    return operation


def finish(call: Call, payment: Payment, operation: Operation) -> None:
    """A pending refund goes through."""
    if operation.status is not OperationStatus.PENDING:
        return
    operation.facts["updated"] = call.at
    payment, operation = call.ledger.finish_refund(payment, operation, call.now)
    call.tell_of_refund("PAYMENT.CAPTURE.REFUNDED", payment, operation)


def fail(call: Call, payment: Payment, operation: Operation) -> None:
    """A refund comes back: the capture counts it no longer."""
    if operation.status is OperationStatus.FAILED:
        return
    operation.facts["updated"] = call.at
    payment, operation = call.ledger.fail_refund(payment, operation, call.now)
    _count(payment, operation, -operation.amount)
    call.save(payment)
    call.tell_of_refund("PAYMENT.REFUND.FAILED", payment, operation)


def _count(payment: Payment, operation: Operation, amount: int) -> None:
    it = next(it for it in payment.facts["captures"] if it["id"] == operation.facts["capture"])
    it["refunded"] += amount
    it["status"] = "REFUNDED" if it["refunded"] == it["amount"] else "PARTIALLY_REFUNDED" if it["refunded"] else "COMPLETED"


def find_refund(call: Call, id: str) -> tuple[Payment, Operation]:
    """The refund with that id, and its payment. Raises Refused."""
    operation = call.ledger.operation(id)
    payment = None if operation is None else call.ledger.payment(operation.payment)
    if operation is None or payment is None:
        raise no_such()
    return payment, operation


def show_refund(call: Call, payment: Payment, operation: Operation) -> dict[str, Any]:
    """The refund in full."""
    return dialect_objects.refund(operation, payment.currency, call.settings.base_url)
