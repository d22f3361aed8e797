"""The endpoints of orders: create, show, authorize, capture. Parameters and what PayPal refuses; the deed is in `dialect_payments`.

Each checks everything before it writes anything: what raises `Refused` here has changed nothing. Not here: the shopper (`dialect_shopper`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from connectors.paypal import dialect_objects
from connectors.paypal.dialect_body import Body
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_cards import CARDS, card_of
from connectors.paypal.dialect_errors import Refused, impossible, missing, no_such, wrong
from connectors.paypal.dialect_objects import new_facts
from connectors.paypal.dialect_payments import decline, pay
from connectors.simulator.cards import Challenge, Decline
from connectors.simulator.records import Facts, Payment

APPROVE_WITHIN: Final = timedelta(hours=3)
"""How long the shopper has. (PayPal's guides say so; its OpenAPI document names no figure.)"""
_INTENTS: Final = ("AUTHORIZE", "CAPTURE")
_VERIFICATIONS: Final = ("3D_SECURE", "AVS_CVV", "SCA_ALWAYS", "SCA_WHEN_REQUIRED")
_ALWAYS: Final = ("3D_SECURE", "SCA_ALWAYS")
_UNPAID: Final = ("CREATED", "PAYER_ACTION_REQUIRED")


def create(call: Call, body: Body) -> Payment:
    """`POST /v2/checkout/orders`."""
    facts = new_facts()
    facts["intent"] = body.choice("intent", _INTENTS, required=True)
    units = body.children("purchase_units")
    if not units:
        raise missing("/purchase_units")
    if len(units) > 1:
        # The real one takes up to ten; of an order with several no money moves here.
        raise impossible("UNSUPPORTED_INTENT", field="/intent")
    amount = units[0].amount("amount", required=True) or (0, "")
    facts |= {
        "reference_id": units[0].text("reference_id", longest=256) or "default",
        "custom_id": units[0].text("custom_id", longest=127),
        "invoice_id": units[0].text("invoice_id", longest=127),
        "description": units[0].text("description", longest=127),
        "soft_descriptor": units[0].text("soft_descriptor", longest=22),
    }
    source = body.child("payment_source")
    if source is not None and call.key is None:
        raise Refused(400, "PAYPAL_REQUEST_ID_REQUIRED")
    if source is not None:
        facts |= _source(source)
    payment = call.ledger.open_payment(
        id=call.new_id(), reference=facts["custom_id"], currency=amount[1], amount=amount[0], at=call.now, facts=facts
    )
    return _begin(call, payment)


def _source(source: Body) -> Facts:
    card, wallet = source.child("card"), source.child("paypal")
    if card is not None:
        return _card(card)
    if wallet is None:
        raise wrong("/payment_source", issue="NOT_SUPPORTED")
    return {"source": "paypal", **_ways_back(wallet)}


def _card(card: Body) -> Facts:
    token = card.text("vault_id", longest=255)
    if token is None:
        # This PayPal sees no card numbers: payorch never does.
        raise impossible("NOT_ENABLED_FOR_CARD_PROCESSING", field=card.field("number"))
    if token not in CARDS:
        raise impossible("TOKEN_ID_NOT_FOUND", field=card.field("vault_id"), value=token)
    stored, attributes = card.child("stored_credential"), card.child("attributes")
    verification = attributes.child("verification") if attributes is not None else None
    initiator = stored.choice("payment_initiator", ("CUSTOMER", "MERCHANT"), required=True) if stored is not None else "CUSTOMER"
    return {
        "source": "card",
        "token": token,
        "unattended": initiator == "MERCHANT",
        "verification": verification.choice("method", _VERIFICATIONS) if verification is not None else None,
        **_ways_back(card),
    }


def _ways_back(source: Body) -> Facts:
    context = source.child("experience_context")
    if context is None:
        return {}
    return {name: context.text(name, longest=4000) for name in ("return_url", "cancel_url")}


def _begin(call: Call, payment: Payment) -> Payment:
    facts = payment.facts
    facts["updated"] = call.at
    if facts["source"] is None:
        call.save(payment)
        return payment
    if facts["source"] == "paypal":
        return _ask_shopper(call, payment)
    card = card_of(facts["token"])
    if card.challenge is Challenge.NONE and facts["verification"] not in _ALWAYS:
        return pay(call, payment)
    return decline(call, payment, Decline.AUTHENTICATION_REQUIRED) if facts["unattended"] else _ask_shopper(call, payment)


def _ask_shopper(call: Call, payment: Payment) -> Payment:
    payment.facts["status"] = "PAYER_ACTION_REQUIRED"
    call.save(payment)
    return payment


def find(call: Call, id: str) -> Payment:
    """The order with that id, not one of what was made of it. Raises Refused."""
    payment = call.ledger.payment(id)
    if payment is None or payment.id != id:
        raise no_such()
    return payment


def show(call: Call, payment: Payment) -> dict[str, Any]:
    """The order in full."""
    return dialect_objects.order(call.ledger, payment, call.settings.base_url)


def complete(call: Call, payment: Payment, intent: str) -> Payment:
    """`POST /v2/checkout/orders/{id}/authorize` and `/capture`."""
    facts = payment.facts
    if facts["intent"] != intent:
        raise impossible("ACTION_DOES_NOT_MATCH_INTENT")
    if facts["status"] == "COMPLETED":
        raise impossible("ORDER_ALREADY_AUTHORIZED" if intent == "AUTHORIZE" else "ORDER_ALREADY_CAPTURED")
    if call.now >= payment.created_at + APPROVE_WITHIN:
        raise impossible("ORDER_EXPIRED")
    if facts["status"] in _UNPAID:
        links = (dialect_objects.payer_action(payment, call.settings.base_url),)
        raise Refused(422, "PAYER_ACTION_REQUIRED" if facts["source"] == "card" else "ORDER_NOT_APPROVED", links=links)
    if facts["instrument_declines"]:
        # Nothing is lost: the shopper may come back and choose something else.
        facts |= {"status": "PAYER_ACTION_REQUIRED", "instrument_declines": False}
        call.save(payment)
        raise Refused(422, "INSTRUMENT_DECLINED", links=(dialect_objects.payer_action(payment, call.settings.base_url),))
    return pay(call, payment)
