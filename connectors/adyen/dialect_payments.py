"""What Adyen does with a payment's money: authorise, ask the shopper, refuse, capture, release, refund, expire, fail late.

Steps that always happen, whoever asked for them: a request, the shopper, the Customer Area, or time. Each takes the payment as it is and
returns it as it has become, saved and with its notifications owed. A modification that cannot be done is told by its notification, not by
an error. Not here: fields and their checks (`dialect_endpoints`), disputes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from connectors.adyen import dialect_money
from connectors.adyen.dialect_call import Call
from connectors.adyen.dialect_cards import NOT_AUTHENTICATED, WORDS, Words, brand, card_of
from connectors.simulator.cards import Card, Challenge, Decline
from connectors.simulator.records import EntryType, Facts, Operation, OperationStatus, Payment

APPROVE, EXPIRE, FAIL_CAPTURE, FINISH_REFUND, FAIL_REFUND, DISPUTE = (
    "approve", "expire", "fail_capture", "finish_refund", "fail_refund", "dispute"
)  # fmt: skip
"""Kinds of timers; the subject is nothing, a capture, a refund."""

_TOO_MUCH: Final = "Insufficient balance on payment"


def pay(call: Call, payment: Payment, *, unattended: bool, authentication: str | None, native: bool) -> dict[str, Any]:
    """The first answer to a payment: authorised, refused, pending, or the shopper's turn."""
    card = card_of(payment.facts["card"])
    wanted = card.challenge is not Challenge.NONE or authentication == "always"
    if not wanted or (authentication == "never" and card.challenge is Challenge.NONE):
        return charge(call, payment)
    if unattended:
        return refuse(call, payment, WORDS[Decline.AUTHENTICATION_REQUIRED])
    return _ask_shopper(call, payment, native=native)


def _ask_shopper(call: Call, payment: Payment, *, native: bool) -> dict[str, Any]:
    facts = payment.facts
    # What answers here has a reference of its own; the payment's is told by the answer to /payments/details.
    session = call.new_reference()
    facts |= {"status": "redirect", "session": session}
    call.ledger.add_alias(id=session, payment=payment)
    call.ledger.save(payment)
    if native:
        token = f"{session}!{call.ledger.new_id('', 40)}"
        facts["result_token"] = token
        call.ledger.save(payment)
        action: dict[str, Any] = {"type": "threeDS2", "subtype": "challenge", "paymentMethodType": "scheme", "token": token}
        return {**_shown(payment, "ChallengeShopper"), "pspReference": session, "action": action}
    url = f"{call.settings.base_url}/_redirect/{session}"
    action = {"type": "redirect", "method": "GET", "paymentMethodType": "scheme", "url": url}
    return {**_shown(payment, "RedirectShopper"), "pspReference": session, "action": action}


def return_shopper(call: Call, payment: Payment, choice: str) -> str:
    """The shopper has done something on the page: what he takes back with him, which the merchant has to submit."""
    token = f"{payment.facts['session']}!{call.ledger.new_id('', 40)}"
    facts = payment.facts
    facts |= {"result_token": token, "choice": choice}
    call.ledger.save(payment)
    return token


def finish_action(call: Call, payment: Payment) -> dict[str, Any]:
    """`/payments/details`: goes on where the shopper left off. Asked again it answers as before."""
    facts = payment.facts
    if facts["result"] is not None:
        again: dict[str, Any] = facts["result"]
        return again
    if facts["choice"] == "cancel":
        return cancelled(call, payment)
    if facts["choice"] == "fail" or card_of(facts["card"]).challenge is Challenge.FAILS:
        return refuse(call, payment, NOT_AUTHENTICATED)
    return charge(call, payment)


def charge(call: Call, payment: Payment) -> dict[str, Any]:
    """Asks the bank."""
    card = card_of(payment.facts["card"])
    if card.decline is not None:
        return refuse(call, payment, WORDS[card.decline])
    if card.pending:
        payment.facts["status"] = "pending"
        due = call.now + timedelta(seconds=call.settings.pending_seconds)
        call.ledger.schedule(at=due, payment=payment, kind=APPROVE)
        return _settled(call, payment, "Pending")
    return approve(call, payment)


def approve(call: Call, payment: Payment) -> dict[str, Any]:
    """The bank says yes."""
    payment = call.ledger.authorize(payment, payment.amount, call.now)
    payment.facts["status"] = "authorised"
    extra = {"authCode": "044925", "cardSummary": card_of(payment.facts["card"]).last4}
    call.emit("AUTHORISATION", payment, amount=payment.amount, reference=None, extra=extra)
    if payment.facts["manual"]:
        expiry = call.now + timedelta(seconds=call.settings.authorization_seconds)
        call.ledger.schedule(at=expiry, payment=payment, kind=EXPIRE)
    else:
        payment = _take(call, payment, call.new_reference(), payment.amount, None)
    value = dialect_money.to_wire(payment.amount, payment.currency)
    more = {"authorisedAmountCurrency": payment.currency, "authorisedAmountValue": str(value)}
    return _settled(call, payment, "Authorised", extra=extra | more)


def refuse(call: Call, payment: Payment, words: Words) -> dict[str, Any]:
    """The bank, or Adyen's own risk engine, says no."""
    payment.facts["status"] = "refused"
    extra = {"refusalReasonRaw": words.raw, **({} if words.advice is None else {"merchantAdviceCode": words.advice})}
    call.emit("AUTHORISATION", payment, amount=payment.amount, reference=None, success=False, reason=words.reason, extra=extra)
    more = {"refusalReason": words.reason, "refusalReasonCode": words.code}
    return _settled(call, payment, "Refused", extra=extra, more=more)


def cancelled(call: Call, payment: Payment) -> dict[str, Any]:
    """The shopper gave up, or the merchant had cancelled it by its reference before it came."""
    payment.facts["status"] = "cancelled"
    more = {"refusalReason": "Shopper Cancelled", "refusalReasonCode": "16"}
    return _settled(call, payment, "Cancelled", more=more)


def _settled(
    call: Call, payment: Payment, result_code: str, *, extra: dict[str, str] | None = None, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    shown = {**_shown(payment, result_code), "pspReference": payment.id, **(more or {})}
    if extra:
        shown["additionalData"] = shown["additionalData"] | extra
    payment.facts["result"] = shown
    call.ledger.save(payment)
    return shown


def _shown(payment: Payment, result_code: str) -> dict[str, Any]:
    card = card_of(payment.facts["card"])
    return {
        "additionalData": {"cardPaymentMethod": brand(card), "fundingSource": card.funding.upper(), "paymentMethod": brand(card)},
        "amount": {"currency": payment.currency, "value": dialect_money.to_wire(payment.amount, payment.currency)},
        "merchantReference": payment.reference,
        "paymentMethod": {"brand": brand(card), "type": "scheme"},
        "resultCode": result_code,
    }


# --- modifications: done or not, the notification says it ---------------------------------------------------------------------------------


def capture(call: Call, payment: Payment, own: str, amount: int, currency: str, reference: str | None) -> None:
    """Takes part or all of what is held. The rest goes back, unless the account keeps it open."""
    told: dict[str, Any] = {"amount": amount, "reference": reference, "own": own}
    if currency != payment.currency or amount > payment.held:
        why = _TOO_MUCH if payment.facts["status"] == "authorised" else "Transaction is not authorised"
        call.emit("CAPTURE", payment, success=False, reason=why, **told)
        return
    payment = _take(call, payment, own, amount, reference)
    if payment.held and not payment.facts["several"]:
        payment = call.ledger.release(payment, payment.held, call.now, why=EntryType.RELEASED, operation=own)
    call.ledger.save(payment)
    call.emit("CAPTURE", payment, **told)


def _take(call: Call, payment: Payment, own: str, amount: int, reference: str | None) -> Payment:
    payment = call.ledger.capture(payment, amount, call.now, operation=own, operation_reference=reference)
    payment.facts["captures"][own] = {"amount": amount, "reference": reference, "failed": False}
    card = card_of(payment.facts["card"])
    if card.capture_fails_late:
        due = call.now + timedelta(seconds=call.settings.late_failure_seconds)
        call.ledger.schedule(at=due, payment=payment, kind=FAIL_CAPTURE, subject=own)
    if card.disputed is not None:
        call.ledger.schedule(at=call.now, payment=payment, kind=DISPUTE)
    return payment


def fail_capture(call: Call, payment: Payment, own: str) -> None:
    """A capture that had been confirmed fails after all: neither the money nor the hold is there any more."""
    it: Facts = payment.facts["captures"][own]
    if it["failed"] or payment.captured - payment.refunded - payment.refunding < it["amount"]:
        return
    it["failed"] = True
    payment = call.ledger.fail_capture(payment, it["amount"], call.now, operation=own)
    call.ledger.save(payment)
    call.emit("CAPTURE_FAILED", payment, amount=it["amount"], reference=it["reference"], own=own, reason="Capture Failed")


def release(
    call: Call, payment: Payment, own: str, reference: str | None, *, event: str = "CANCELLATION", extra: dict[str, str] | None = None
) -> None:
    """Gives back what is held, or the rest of it."""
    told: dict[str, Any] = {"amount": payment.amount, "reference": reference, "own": own, "extra": extra}
    if payment.facts["status"] in ("redirect", "pending") and event == "TECHNICAL_CANCEL":
        cancelled(call, payment)
        call.emit(event, payment, **told)
        return
    if not payment.held:
        nothing_left = payment.facts["status"] in ("refused", "cancelled")
        if event == "TECHNICAL_CANCEL" and nothing_left:
            call.emit(event, payment, **told)
            return
        call.emit(event, payment, success=False, reason="Transaction is not held any more", **told)
        return
    payment = call.ledger.release(payment, payment.held, call.now, why=EntryType.VOIDED, operation=own)
    if not payment.captured:
        payment.facts["status"] = "cancelled"
    call.ledger.save(payment)
    call.emit(event, payment, **told)


def expire(call: Call, payment: Payment) -> None:
    """The hold, or its rest, runs out."""
    payment = call.ledger.release(payment, payment.held, call.now, why=EntryType.EXPIRED)
    if not payment.captured:
        payment.facts["status"] = "cancelled"
    call.ledger.save(payment)
    call.emit("EXPIRE", payment, amount=payment.amount, reference=None)


# --- refunds ------------------------------------------------------------------------------------------------------------------------------


def refund(call: Call, payment: Payment, own: str, amount: int, currency: str, reference: str | None, *, event: str = "REFUND") -> None:
    """Gives back part or all of what was captured."""
    extra = {"modification.action": "refund"} if event == "CANCEL_OR_REFUND" else {}
    free = payment.refundable - payment.facts["withdrawn"]
    if currency != payment.currency or amount > free:
        told: dict[str, Any] = {"amount": amount, "reference": reference, "own": own, "extra": extra}
        call.emit(event, payment, success=False, reason=_TOO_MUCH, **told)
        return
    facts = {"event": event, "extra": extra}
    payment, operation = call.ledger.open_refund(payment, id=own, reference=reference, amount=amount, at=call.now, facts=facts)
    card: Card = card_of(payment.facts["card"])
    later = call.now + timedelta(seconds=call.settings.late_failure_seconds)
    if card.refund_pending:
        call.ledger.schedule(at=later, payment=payment, kind=FINISH_REFUND, subject=own)
        return
    finish_refund(call, payment, operation)
    if card.refund_fails_late:
        call.ledger.schedule(at=later, payment=payment, kind=FAIL_REFUND, subject=own)


def finish_refund(call: Call, payment: Payment, operation: Operation) -> None:
    """A refund goes through."""
    if operation.status is not OperationStatus.PENDING:
        return
    payment, operation = call.ledger.finish_refund(payment, operation, call.now)
    event, extra = operation.facts["event"], operation.facts["extra"]
    call.emit(event, payment, amount=operation.amount, reference=operation.reference, own=operation.id, extra=extra)


def fail_refund(call: Call, payment: Payment, operation: Operation) -> None:
    """A refund comes back: the merchant has the money again."""
    if operation.status is OperationStatus.FAILED:
        return
    payment, operation = call.ledger.fail_refund(payment, operation, call.now)
    told: dict[str, Any] = {"amount": operation.amount, "reference": operation.reference, "own": operation.id}
    call.emit("REFUND_FAILED", payment, reason="Refund Failed", **told)
