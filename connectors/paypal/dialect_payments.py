"""What PayPal does with an order's money: authorise, decline, capture, release, expire, fail late.

Steps that always happen, whoever asked for them: a request, somebody in the dashboard, or time. Each takes the payment as it is and returns
it as it has become, saved and with its webhooks owed. Not here: parameters and their checks (`dialect_orders`, `dialect_operations`),
refunds, the shopper.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_cards import card_of
from connectors.paypal.dialect_disputes import DISPUTE
from connectors.paypal.dialect_errors import impossible
from connectors.paypal.dialect_objects import new_authorization, new_capture
from connectors.simulator.cards import Decline
from connectors.simulator.records import EntryType, Facts, Payment, milliseconds

APPROVE, EXPIRE, FAIL_CAPTURE = "approve", "expire", "fail_capture"
"""Kinds of timers; the subject is an authorization or a capture."""
AUTHORIZATION_LIVES: Final = timedelta(days=29)
_INVOICE: Final = "invoice"


def pay(call: Call, payment: Payment) -> Payment:
    """Charges what the shopper chose: held or taken, declined, or pending. Raises Refused where the invoice was paid before."""
    facts = payment.facts
    claim_invoice(call, payment, facts["invoice_id"])
    card = card_of(facts["token"])
    facts["status"] = "COMPLETED"
    if card.decline is not None:
        return decline(call, payment, card.decline)
    it = _begin(call, payment, "PENDING" if card.pending else "CREATED")
    if not card.pending:
        return _agreed(call, payment, it)
    it["reason"] = "PENDING_REVIEW"
    due = call.now + timedelta(seconds=call.settings.pending_seconds)
    call.ledger.schedule(at=due, payment=payment, kind=APPROVE, subject=it["id"])
    call.save(payment)
    call.tell_of_order("COMPLETED", payment)
    if facts["intent"] == "CAPTURE":
        call.tell_of_capture("PENDING", payment, it)
    return payment


def decline(call: Call, payment: Payment, why: Decline) -> Payment:
    """The bank says no. The order is complete all the same, with a payment that came to nothing."""
    facts = payment.facts
    it = _begin(call, payment, "DENIED" if facts["intent"] == "AUTHORIZE" else "DECLINED")
    it["failure"] = why.value
    facts["status"] = "COMPLETED"
    call.save(payment)
    if facts["intent"] == "CAPTURE":
        call.tell_of_capture("DECLINED", payment, it)
    return payment


def approve(call: Call, payment: Payment, it: Facts) -> Payment:
    """What was pending goes through."""
    it["reason"] = None
    return _agreed(call, payment, it)


def claim_invoice(call: Call, payment: Payment, invoice_id: str | None, *, kind: str = _INVOICE) -> None:
    """Takes that invoice id for this payment, or raises Refused: PayPal does not let one be paid, captured or refunded twice."""
    if invoice_id is None:
        return
    if call.ledger.payments(limit=1, labels={kind: invoice_id}).items:
        raise impossible("DUPLICATE_INVOICE_ID", field="/invoice_id", value=invoice_id)
    call.ledger.add_labels(payment, {kind: invoice_id})


def _begin(call: Call, payment: Payment, status: str) -> Facts:
    facts, at = payment.facts, call.at
    id = call.new_id()
    call.ledger.add_alias(id=id, payment=payment)
    if facts["intent"] == "AUTHORIZE":
        lives = min(AUTHORIZATION_LIVES, timedelta(seconds=call.settings.authorization_seconds))
        facts["authorization"] = new_authorization(id=id, status=status, at=at, expires=milliseconds(call.now + lives))
        made: Facts = facts["authorization"]
        return made
    it = new_capture(
        id=id,
        status="COMPLETED" if status == "CREATED" else status,
        amount=payment.amount,
        final=True,
        invoice_id=facts["invoice_id"],
        at=at,
    )
    facts["captures"].append(it)
    return it


def _agreed(call: Call, payment: Payment, it: Facts) -> Payment:
    """The bank says yes: a hold, or the money."""
    facts = payment.facts
    payment = call.ledger.authorize(payment, payment.amount, call.now, operation=it["id"])
    it["updated"] = call.at
    if facts["intent"] == "AUTHORIZE":
        it["status"] = "CREATED"
        call.ledger.schedule(at=call.now + _left(call, it), payment=payment, kind=EXPIRE, subject=it["id"])
        call.save(payment)
        call.tell_of_order("COMPLETED", payment)
        call.tell_of_authorization("CREATED", payment)
        return payment
    it["status"] = "COMPLETED"
    payment = _take(call, payment, it, None)
    call.save(payment)
    call.tell_of_order("COMPLETED", payment)
    call.tell_of_capture("COMPLETED", payment, it)
    return payment


def _left(call: Call, it: Facts) -> timedelta:
    return timedelta(milliseconds=it["expires"] - call.at)


def _take(call: Call, payment: Payment, it: Facts, reference: str | None) -> Payment:
    payment = call.ledger.capture(payment, it["amount"], call.now, operation=it["id"], operation_reference=reference)
    card = card_of(payment.facts["token"])
    if card.capture_fails_late:
        due = call.now + timedelta(seconds=call.settings.late_failure_seconds)
        call.ledger.schedule(at=due, payment=payment, kind=FAIL_CAPTURE, subject=it["id"])
    if card.disputed is not None:
        # At once, but not before the merchant has its answer.
        call.ledger.schedule(at=call.now, payment=payment, kind=DISPUTE, subject=it["id"])
    return payment


def take(call: Call, payment: Payment, amount: int, *, final: bool, invoice_id: str | None) -> tuple[Payment, Facts]:
    """Captures part or all of what is held; `final` releases the rest."""
    facts = payment.facts
    held = facts["authorization"]
    it = new_capture(id=call.new_id(), status="COMPLETED", amount=amount, final=final, invoice_id=invoice_id, at=call.at)
    facts["captures"].append(it)
    call.ledger.add_alias(id=it["id"], payment=payment)
    payment = _take(call, payment, it, invoice_id)
    held |= {"status": "PARTIALLY_CAPTURED" if payment.held else "CAPTURED", "updated": call.at}
    if final and payment.held:
        payment = call.ledger.release(payment, payment.held, call.now, why=EntryType.RELEASED, operation=held["id"])
    call.save(payment)
    call.tell_of_capture("COMPLETED", payment, it)
    return payment, it


def release(call: Call, payment: Payment, *, expired: bool = False) -> Payment:
    """Gives back what is held. What was captured of it before stays captured."""
    held = payment.facts["authorization"]
    payment = call.ledger.release(
        payment, payment.held, call.now, why=EntryType.EXPIRED if expired else EntryType.VOIDED, operation=held["id"]
    )
    held |= {"status": "VOIDED", "updated": call.at}
    call.save(payment)
    call.tell_of_authorization("VOIDED", payment)
    return payment


def fail_capture(call: Call, payment: Payment, it: Facts) -> Payment:
    """A capture that had been confirmed fails after all: neither the money nor the hold is there any more."""
    payment = call.ledger.fail_capture(payment, it["amount"], call.now, operation=it["id"])
    it |= {"status": "FAILED", "failure": Decline.PROCESSING_ERROR.value, "updated": call.at}
    held = payment.facts["authorization"]
    if payment.held:
        payment = call.ledger.release(payment, payment.held, call.now, why=EntryType.VOIDED, operation=it["id"])
    if held is not None:
        held |= {"status": "VOIDED", "updated": call.at}
    call.save(payment)
    call.tell_of_capture("DENIED", payment, it)
    return payment
