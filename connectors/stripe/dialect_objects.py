"""Stripe's objects as JSON: PaymentIntent, Charge, Refund, PaymentMethod, Event, lists; in full, as the API shows them.

Read from a payment's money in the ledger and from the dialect's facts. What stands in the facts of a payment is listed at `new_facts`.
Not here: changing anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from connectors.simulator.cards import Card, Challenge
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Facts, Operation, OperationStatus, Payment, milliseconds
from connectors.stripe.dialect_cards import CARDS, WORDS, Words
from connectors.stripe.dialect_money import to_wire

API_VERSION: Final = "2026-10-28.endive"
"""What is spoken when a request names no version; also the version of every webhook."""

_EXPIRES: Final = {"exp_month": 12, "exp_year": 2034}
_NO_ADDRESS: Final = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def unix(at: datetime) -> int:
    """Whole seconds since the epoch: Stripe's time."""
    return milliseconds(at) // 1000


def new_facts() -> Facts:
    """What the dialect keeps about a payment, with the values of an intent that has only just been made."""
    return {
        "status": "requires_payment_method",
        "client_secret": None,
        "method": None,  # the test method, as it was sent
        "payment_method": None,  # the PaymentMethod made from it
        "capture_method": "automatic_async",
        "confirmation_method": "automatic",
        "automatic": None,
        "types": ["card"],
        "options": {},
        "multicapture": False,
        "setup_future_usage": None,
        "description": None,
        "receipt_email": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "metadata": {},
        "return_url": None,
        "challenge": 0,  # the number of the open one, or of the last
        "authenticated": False,
        "error": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "charges": [],  # oldest first; see `new_charge`
    }


def new_charge(*, id: str, amount: int, at: datetime, facts: Facts, capture_before: int | None) -> Facts:
    """What the dialect keeps about one charge. Amounts in wire units."""
    return {
        "id": id,
        "created": unix(at),
        "status": "pending",
        "amount": amount,
        "captured": False,
        "amount_captured": 0,
        "amount_released": 0,
        "amount_refunded": 0,
        "method": facts["method"],
        "payment_method": facts["payment_method"],
        "failure": None,
        "authenticated": facts["authenticated"],
        "capture_before": capture_before,
    }


def card_of(method: str) -> Card:
    """How that test method behaves."""
    return CARDS[method]


def payment_method(id: str, method: str, created: int) -> dict[str, Any]:
    """The PaymentMethod object made from a test method."""
    card = card_of(method)
    return {
        "id": id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": _NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None},
        "card": {
            **_card_face(card, method),
            "display_brand": card.brand,
            "generated_from": None,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
        },
        "created": created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def _card_face(card: Card, method: str) -> dict[str, Any]:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": card.country,
        **_EXPIRES,
        "fingerprint": blake2b(f"{card.brand}{card.last4}{card.funding}".encode(), digest_size=8).hexdigest(),
        "funding": card.funding,
        "last4": card.last4,
        "wallet": None,
    }


def payment_intent(payment: Payment, expand: Collection[str] = ()) -> dict[str, Any]:
    """The PaymentIntent object, with what `expand` names in full."""
    facts = payment.facts
    currency = payment.currency.lower()
    charges = facts["charges"]
    latest = charges[-1] if charges else None
    method = facts["payment_method"]
    wants_charge = any(name == "latest_charge" or name.startswith("latest_charge.") for name in expand)
    return {
        "id": payment.id,
        "object": "payment_intent",
        "amount": to_wire(payment.amount, currency),
        "amount_capturable": to_wire(payment.held, currency),
        "amount_details": {"tip": {}},
        "amount_received": 0 if latest is None else latest["amount_captured"],
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": facts["automatic"],
        "canceled_at": facts["canceled_at"],
        "cancellation_reason": facts["cancellation_reason"],
        "capture_method": facts["capture_method"],
        "client_secret": facts["client_secret"],
        "confirmation_method": facts["confirmation_method"],
        "created": unix(payment.created_at),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": facts["description"],
        "excluded_payment_method_types": None,
        "last_payment_error": facts["error"],
        "latest_charge": None if latest is None else charge(payment, latest) if wants_charge else latest["id"],
        "livemode": False,
        "metadata": facts["metadata"],
        "next_action": facts.get("next_action"),
        "on_behalf_of": None,
        "payment_method": payment_method(method, facts["method"], unix(payment.created_at))
        if method is not None and "payment_method" in expand
        else method,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": _card_options(facts)},
        "payment_method_types": facts["types"],
        "processing": {"card": {}, "type": "card"} if facts["status"] == "processing" else None,
        "receipt_email": facts["receipt_email"],
        "review": None,
        "setup_future_usage": facts["setup_future_usage"],
        "shipping": None,
        "source": None,
        "statement_descriptor": facts["statement_descriptor"],
        "statement_descriptor_suffix": facts["statement_descriptor_suffix"],
        "status": facts["status"],
        "transfer_data": None,
        "transfer_group": None,
    }


def _card_options(facts: Facts) -> dict[str, Any]:
    asked = facts["options"]
    return {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": asked.get("request_three_d_secure", "automatic"),
        **({"request_multicapture": asked["request_multicapture"]} if "request_multicapture" in asked else {}),
    }


def charge(payment: Payment, it: Facts) -> dict[str, Any]:
    """The Charge object of one of a payment's charges."""
    words = None if it["failure"] is None else WORDS[it["failure"]]
    returned = it["amount_released"] + it["amount_refunded"]
    taken = it["captured"] and it["amount_captured"] > 0
    return {
        "id": it["id"],
        "object": "charge",
        "amount": it["amount"],
        "amount_captured": it["amount_captured"],
        # What a partial capture leaves over counts as refunded here, though nobody ever paid it.
        "amount_refunded": returned,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": f"txn_{it['id'][3:]}" if taken else None,
        "billing_details": {"address": _NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None},
        "calculated_statement_descriptor": payment.facts["statement_descriptor"] or "PAYORCH SIMULATOR",
        "captured": it["captured"],
        "created": it["created"],
        "currency": payment.currency.lower(),
        "customer": None,
        "description": payment.facts["description"],
        "disputed": it.get("disputed", False),
        "failure_balance_transaction": None,
        "failure_code": None if words is None else words.code,
        "failure_message": None if words is None else words.message,
        "fraud_details": {},
        "livemode": False,
        "metadata": payment.facts["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(it, words),
        "paid": it["status"] == "succeeded",
        "payment_intent": payment.id,
        "payment_method": it["payment_method"],
        "payment_method_details": {"card": _charged_card(it), "type": "card"},
        "radar_options": {},
        "receipt_email": payment.facts["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": returned >= it["amount"] and it["status"] == "succeeded",
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": payment.facts["statement_descriptor"],
        "statement_descriptor_suffix": payment.facts["statement_descriptor_suffix"],
        "status": it["status"],
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(it: Facts, words: Words | None) -> dict[str, Any] | None:
    if it["status"] == "pending":
        return None
    outcome: dict[str, Any] = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 12,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if words is None:
        return outcome
    if words.blocked:
        return outcome | {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 92,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    return outcome | {
        "advice_code": words.advice_code,
        "network_decline_code": words.network_decline_code,
        "network_status": "declined_by_network",
        "reason": words.decline_code,
        "seller_message": f"The bank returned the decline code `{words.decline_code}`.",
        "type": "issuer_declined",
    }


def _charged_card(it: Facts) -> dict[str, Any]:
    card = card_of(it["method"])
    secure = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    return {
        **_card_face(card, it["method"]),
        "amount_authorized": it["amount"] if it["status"] == "succeeded" else None,
        "authorization_code": None,
        # Only a hold that still waits for its capture has a last moment for it.
        "capture_before": it["capture_before"] if not it["captured"] else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "available" if it.get("multicapture") else "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": it["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": secure if it["authenticated"] and card.challenge is not Challenge.NONE else None,
    }


_REFUND_STATUS: Final = {
    OperationStatus.PENDING: "pending",
    OperationStatus.SUCCEEDED: "succeeded",
    OperationStatus.FAILED: "failed",
}


def refund(operation: Operation, currency: str) -> dict[str, Any]:
    """The Refund object. `currency` as on the wire."""
    facts = operation.facts
    failed = operation.status is OperationStatus.FAILED
    return {
        "id": operation.id,
        "object": "refund",
        "amount": to_wire(operation.amount, currency),
        "balance_transaction": f"txn_{operation.id[3:]}",
        "charge": facts["charge"],
        "created": unix(operation.created_at),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "destination_details": {"card": {"reference_status": "pending", "type": "refund"}, "type": "card"},
        **({"failure_balance_transaction": f"txn_f{operation.id[4:]}"} if failed else {}),
        **({"failure_reason": "expired_or_canceled_card"} if failed else {}),
        "metadata": facts["metadata"],
        "payment_intent": operation.payment,
        "payment_method": None,
        **({"pending_reason": "processing"} if operation.status is OperationStatus.PENDING else {}),
        "reason": facts["reason"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": _REFUND_STATUS[operation.status],
        "transfer_reversal": None,
    }


def event(ledger: Ledger, type: str, it: dict[str, Any], at: datetime, request: Mapping[str, str | None]) -> dict[str, Any]:
    """The Event object around a snapshot. `request`: `id` and `idempotency_key`, both None where the PSP acted by itself."""
    return {
        "id": ledger.new_id("evt_3"),
        "object": "event",
        "api_version": API_VERSION,
        "created": unix(at),
        "data": {"object": it},
        "livemode": False,
        "pending_webhooks": 1,
        "request": request,
        "type": type,
    }


def listing(url: str, items: Sequence[dict[str, Any]], more: bool) -> dict[str, Any]:
    """A page of a list."""
    return {"object": "list", "data": list(items), "has_more": more, "url": url}
