"""What Stripe does with a PaymentIntent's money: authorise, ask the shopper, decline, capture, release, expire, fail late.

Steps that always happen, whoever asked for them: a request, the shopper on the challenge page, or time. Each takes the payment as it is and
returns it as it has become, saved and with its webhooks owed. Not here: parameters and their checks (`dialect_endpoints`), refunds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connectors.simulator.cards import Card, Challenge, Decline
from connectors.simulator.records import EntryType, Facts, Payment
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_cards import WORDS
from connectors.stripe.dialect_disputes import DISPUTE
from connectors.stripe.dialect_errors import Refused
from connectors.stripe.dialect_money import to_iso, to_wire
from connectors.stripe.dialect_objects import card_of, new_charge, payment_intent, payment_method, unix

APPROVE, EXPIRE, FAIL_CAPTURE = "approve", "expire", "fail_capture"
"""Kinds of timers; the subject is a charge."""


def attempt(call: Call, payment: Payment, *, off_session: bool, error_on_action: bool) -> Payment:
    """Tries to charge the attached method: approved, pending, waiting for the shopper, or raises the 402 of a decline."""
    facts = payment.facts
    facts |= {"error": None, "next_action": None}
    card = card_of(facts["method"])
    wanted = card.challenge is not Challenge.NONE or facts["options"].get("request_three_d_secure") in ("any", "challenge")
    if not wanted or facts["authenticated"]:
        return _charge(call, payment, card)
    if off_session or error_on_action:
        failed = decline(call, payment, Decline.AUTHENTICATION_REQUIRED)
        raise card_error(failed)
    return _ask_shopper(call, payment)


def _ask_shopper(call: Call, payment: Payment) -> Payment:
    facts = payment.facts
    number = facts["challenge"] + 1
    url = f"{call.settings.base_url}/_3ds/{payment.id}-{number}"
    back = facts["return_url"]
    # Without a way back there is nothing to redirect to: the merchant's page would have to do it with Stripe's script.
    action: dict[str, Any] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}
    if back is not None:
        action = {"type": "redirect_to_url", "redirect_to_url": {"return_url": back, "url": url}}
    facts |= {"status": "requires_action", "challenge": number, "next_action": action}
    call.ledger.save(payment)
    call.emit("payment_intent.requires_action", payment)
    return payment


def _charge(call: Call, payment: Payment, card: Card) -> Payment:
    if card.decline is not None:
        raise card_error(decline(call, payment, card.decline))
    it = _add_charge(call, payment)
    if not card.pending:
        return approve(call, payment, it)
    payment.facts["status"] = "processing"
    call.ledger.save(payment)
    due = call.now + timedelta(seconds=call.settings.pending_seconds)
    call.ledger.schedule(at=due, payment=payment, kind=APPROVE, subject=it["id"])
    call.emit("charge.pending", payment)
    call.emit("payment_intent.processing", payment)
    return payment


def _add_charge(call: Call, payment: Payment) -> Facts:
    facts = payment.facts
    manual = facts["capture_method"] == "manual"
    last = unix(call.now + timedelta(seconds=call.settings.authorization_seconds)) if manual else None
    amount = to_wire(payment.amount, payment.currency.lower())
    it = new_charge(id=call.ledger.new_id("ch_3"), amount=amount, at=call.now, facts=facts, capture_before=last)
    it["multicapture"] = manual and facts["multicapture"]
    facts["charges"].append(it)
    call.ledger.add_alias(id=it["id"], payment=payment)
    return it


def approve(call: Call, payment: Payment, it: Facts) -> Payment:
    """The bank says yes: a hold for manual capture, the money otherwise."""
    payment = call.ledger.authorize(payment, payment.amount, call.now, operation=it["id"])
    it["status"] = "succeeded"
    if payment.facts["capture_method"] == "manual":
        payment.facts["status"] = "requires_capture"
        expiry = call.now + timedelta(seconds=call.settings.authorization_seconds)
        call.ledger.schedule(at=expiry, payment=payment, kind=EXPIRE, subject=it["id"])
        call.ledger.save(payment)
        call.emit("charge.succeeded", payment)
        call.emit("payment_intent.amount_capturable_updated", payment)
        return payment
    payment = _take(call, payment, it, payment.amount, None)
    payment.facts["status"] = "succeeded"
    call.ledger.save(payment)
    call.emit("charge.succeeded", payment)
    call.emit("payment_intent.succeeded", payment)
    return payment


def _take(call: Call, payment: Payment, it: Facts, amount: int, reference: str | None) -> Payment:
    payment = call.ledger.capture(payment, amount, call.now, operation=it["id"], operation_reference=reference)
    it["captured"] = True
    it["amount_captured"] += to_wire(amount, payment.currency.lower())
    if card_of(it["method"]).capture_fails_late:
        due = call.now + timedelta(seconds=call.settings.late_failure_seconds)
        call.ledger.schedule(at=due, payment=payment, kind=FAIL_CAPTURE, subject=it["id"])
    if card_of(it["method"]).disputed is not None:
        # At once, but not before the merchant has its answer.
        call.ledger.schedule(at=call.now, payment=payment, kind=DISPUTE, subject=it["id"])
    return payment


def decline(call: Call, payment: Payment, why: Decline) -> Payment:
    """The bank says no: a failed charge, and an intent that waits for another method."""
    it = _add_charge(call, payment)
    it |= {"status": "failed", "failure": why.value}
    words = WORDS[why]
    error = {
        "advice_code": words.advice_code,
        "charge": it["id"],
        "code": words.code,
        "decline_code": words.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{words.code.replace('_', '-')}",
        "message": words.message,
        "network_decline_code": words.network_decline_code,
        "type": "card_error",
    }
    _fail(call, payment, {name: value for name, value in error.items() if value is not None})
    call.emit("charge.failed", payment)
    call.emit("payment_intent.payment_failed", payment)
    return payment


def fail_authentication(call: Call, payment: Payment, *, canceled: bool) -> Payment:
    """The shopper did not authenticate: no bank was asked, there is no charge."""
    message = (
        "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt"
        " to fulfill this PaymentIntent again."
    )
    if canceled:
        message = "The customer canceled the authentication of the provided PaymentMethod."
    code = "payment_intent_authentication_failure"
    doc_url = "https://stripe.com/docs/error-codes/payment-intent-authentication-failure"
    _fail(call, payment, {"code": code, "doc_url": doc_url, "message": message, "type": "invalid_request_error"})
    call.emit("payment_intent.payment_failed", payment)
    return payment


def _fail(call: Call, payment: Payment, error: dict[str, Any]) -> None:
    facts = payment.facts
    shown = payment_method(facts["payment_method"], facts["method"], unix(payment.created_at))
    facts |= {
        "status": "requires_payment_method",
        "error": {**error, "payment_method": shown},
        "method": None,
        "payment_method": None,
        "authenticated": False,
        "next_action": None,
    }
    call.ledger.save(payment)


def card_error(payment: Payment) -> Refused:
    """The 402 for an intent whose last attempt was declined; it embeds the intent."""
    error = dict(payment.facts["error"])
    message = error.pop("message")
    error.pop("doc_url")
    return Refused(message, status=402, payment_intent=payment_intent(payment), **error)


def take(call: Call, payment: Payment, wire: int, *, final: bool, reference: str | None) -> Payment:
    """Captures `wire` of what is held; `final` releases the rest."""
    it = payment.facts["charges"][-1]
    payment = _take(call, payment, it, to_iso(wire, payment.currency.lower()), reference)
    if final and payment.held:
        payment = _release(call, payment, it, EntryType.RELEASED)
    done = not payment.held
    payment.facts["status"] = "succeeded" if done else "requires_capture"
    call.ledger.save(payment)
    call.emit("charge.captured", payment)
    call.emit("payment_intent.succeeded" if done else "payment_intent.amount_capturable_updated", payment)
    return payment


def _release(call: Call, payment: Payment, it: Facts, why: EntryType) -> Payment:
    it["amount_released"] += to_wire(payment.held, payment.currency.lower())
    return call.ledger.release(payment, payment.held, call.now, why=why, operation=it["id"])


def cancel(call: Call, payment: Payment, reason: str | None, *, expired: bool = False) -> Payment:
    """Ends the intent and gives back what it holds. What was captured of it before stays captured."""
    facts = payment.facts
    held = payment.held > 0
    if held:
        it = facts["charges"][-1]
        payment = _release(call, payment, it, EntryType.EXPIRED if expired else EntryType.VOIDED)
    taken = bool(facts["charges"]) and facts["charges"][-1]["amount_captured"] > 0
    facts["next_action"] = None
    if taken:
        facts["status"] = "succeeded"
    else:
        facts |= {"status": "canceled", "canceled_at": unix(call.now), "cancellation_reason": reason}
    call.ledger.save(payment)
    if held:
        call.emit("charge.expired" if expired else "charge.refunded", payment)
    call.emit("payment_intent.succeeded" if taken else "payment_intent.canceled", payment)
    return payment


def fail_capture(call: Call, payment: Payment, it: Facts) -> Payment:
    """A capture that had been confirmed fails after all.

    What Stripe shows for a card then is unverified; this is what it shows for methods that confirm late.
    """
    amount = to_iso(it["amount_captured"], payment.currency.lower())
    if payment.held:
        # The charge is lost as a whole, with what several captures had left open.
        payment = _release(call, payment, it, EntryType.VOIDED)
    payment = call.ledger.fail_capture(payment, amount, call.now, operation=it["id"])
    it["amount_released"] += it["amount_captured"]
    it |= {"status": "failed", "failure": Decline.PROCESSING_ERROR.value, "captured": False, "amount_captured": 0}
    words = WORDS[Decline.PROCESSING_ERROR]
    error = {"charge": it["id"], "code": words.code, "message": words.message, "type": "card_error"}
    _fail(call, payment, error)
    call.emit("charge.failed", payment)
    call.emit("payment_intent.payment_failed", payment)
    return payment
