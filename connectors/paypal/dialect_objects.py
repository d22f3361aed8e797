"""PayPal's objects as JSON: order, authorization, capture, refund, event; in full, as the APIs show them, and in their minimal form.

Read from a payment's money in the ledger and from the dialect's facts. What stands in the facts of a payment is listed at `new_facts`.
Not here: changing anything; disputes (`dialect_disputes`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from connectors.paypal import dialect_money
from connectors.paypal.dialect_cards import BRANDS, WORDS, card_of
from connectors.simulator.cards import Decline
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Facts, Operation, OperationStatus, Payment, moment

MERCHANT: Final = "2J6QB8YJQSJRJ"
PAYER: Final = "QYR5Z8XDVJNXQ"
_PROTECTION: Final = {"status": "ELIGIBLE", "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"]}


def stamp(at: datetime) -> str:
    """A time as PayPal writes it: whole seconds, UTC."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def milli(stored: int) -> str:
    """The same of a time in the ledger's milliseconds."""
    return stamp(moment(stored))


def new_facts() -> Facts:
    """What the dialect keeps about an order, with the values of one that has only just been made. Times in milliseconds."""
    return {
        "status": "CREATED",
        "intent": "CAPTURE",
        "source": None,  # `card`, `paypal`, or none named yet
        "token": None,  # the vault id of the card
        "unattended": False,  # a payment without the shopper
        "verification": None,
        "reference_id": "default",
        "custom_id": None,
        "invoice_id": None,
        "description": None,
        "soft_descriptor": None,
        "return_url": None,
        "cancel_url": None,
        "authentication": None,  # the bank's answer to the challenge: Y, N
        "instrument_declines": False,  # the wallet's shopper chose what will be declined
        "updated": 0,
        "authorization": None,  # see `new_authorization`
        "captures": [],  # oldest first; see `new_capture`
    }


def new_authorization(*, id: str, status: str, at: int, expires: int) -> Facts:
    """What the dialect keeps about one authorization. Its amount is the order's."""
    return {"id": id, "status": status, "created": at, "updated": at, "expires": expires, "reason": None, "failure": None}


def new_capture(*, id: str, status: str, amount: int, final: bool, invoice_id: str | None, at: int) -> Facts:
    """What the dialect keeps about one capture. Amounts in ISO minor units; `withdrawn`: by disputes."""
    return {
        "id": id,
        "status": status,
        "amount": amount,
        "final": final,
        "invoice_id": invoice_id,
        "created": at,
        "updated": at,
        "reason": None,
        "failure": None,
        "refunded": 0,
        "withdrawn": 0,
    }


def order(ledger: Ledger, payment: Payment, base_url: str) -> dict[str, Any]:
    """The order with everything that was made of it."""
    facts = payment.facts
    made: dict[str, Any] = {}
    if facts["authorization"] is not None:
        made["authorizations"] = [_within(authorization(payment, base_url))]
    if facts["captures"]:
        made["captures"] = [_within(capture(payment, it, base_url)) for it in facts["captures"]]
    refunds = ledger.operations(limit=100, payment=payment.id).items
    if refunds:
        made["refunds"] = [refund(it, payment.currency, base_url) for it in refunds]
    unit = {
        "reference_id": facts["reference_id"],
        "amount": dialect_money.shown(payment.amount, payment.currency),
        "payee": {"merchant_id": MERCHANT},
        **_given(facts, "description", "custom_id", "invoice_id", "soft_descriptor"),
        **({"payments": made} if made else {}),
    }
    return {
        "id": payment.id,
        "intent": facts["intent"],
        "status": facts["status"],
        **({"payment_source": {facts["source"]: _source(facts)}} if facts["source"] is not None else {}),
        "purchase_units": [unit],
        **({"payer": {"payer_id": PAYER}} if facts["source"] == "paypal" and facts["status"] in ("APPROVED", "COMPLETED") else {}),
        "create_time": stamp(payment.created_at),
        "update_time": milli(facts["updated"]),
        "links": _order_links(payment, base_url),
    }


def _within(shown: dict[str, Any]) -> dict[str, Any]:
    """As within its order, which says what is left out."""
    return {name: value for name, value in shown.items() if name not in ("payee", "supplementary_data")}


def _given(facts: Facts, *names: str) -> dict[str, Any]:
    return {name: facts[name] for name in names if facts[name] is not None}


def _source(facts: Facts) -> dict[str, Any]:
    if facts["source"] != "card":
        return {"account_id": PAYER, "account_status": "VERIFIED"} if facts["status"] in ("APPROVED", "COMPLETED") else {}
    card = card_of(facts["token"])
    shown: dict[str, Any] = {"last_digits": card.last4, "brand": BRANDS[card.brand], "type": card.funding.upper(), "expiry": "2034-12"}
    answer = facts["authentication"]
    if answer is not None:
        shift = "POSSIBLE" if answer == "Y" else "NO"
        secure = {"authentication_status": answer, "enrollment_status": "Y"}
        shown["authentication_result"] = {"liability_shift": shift, "three_d_secure": secure}
    return shown


def payer_action(payment: Payment, base_url: str) -> dict[str, str]:
    """Where the shopper is sent to."""
    rel = "approve" if payment.facts["source"] is None else "payer-action"
    return {"href": f"{base_url}/checkoutnow?token={payment.id}", "rel": rel, "method": "GET"}


def _order_links(payment: Payment, base_url: str) -> list[dict[str, str]]:
    me, facts = f"{base_url}/v2/checkout/orders/{payment.id}", payment.facts
    links = [{"href": me, "rel": "self", "method": "GET"}]
    if facts["status"] in ("CREATED", "PAYER_ACTION_REQUIRED"):
        links.append(payer_action(payment, base_url))
    if facts["status"] == "APPROVED":
        deed = "authorize" if facts["intent"] == "AUTHORIZE" else "capture"
        links.append({"href": f"{me}/{deed}", "rel": deed, "method": "POST"})
    return links


def authorization(payment: Payment, base_url: str) -> dict[str, Any]:
    """The order's authorization."""
    it, facts = payment.facts["authorization"], payment.facts
    me = f"{base_url}/v2/payments/authorizations/{it['id']}"
    return {
        "id": it["id"],
        "status": it["status"],
        **_reason(it),
        "amount": dialect_money.shown(payment.amount, payment.currency),
        **_given(facts, "custom_id", "invoice_id"),
        "seller_protection": _PROTECTION,
        **_processed(it, facts),
        "supplementary_data": {"related_ids": {"order_id": payment.id}},
        "payee": {"merchant_id": MERCHANT},
        "expiration_time": milli(it["expires"]),
        "create_time": milli(it["created"]),
        "update_time": milli(it["updated"]),
        "links": [
            {"href": me, "rel": "self", "method": "GET"},
            {"href": f"{me}/capture", "rel": "capture", "method": "POST"},
            {"href": f"{me}/void", "rel": "void", "method": "POST"},
            {"href": f"{base_url}/v2/checkout/orders/{payment.id}", "rel": "up", "method": "GET"},
        ],
    }


def capture(payment: Payment, it: Facts, base_url: str) -> dict[str, Any]:
    """One capture of an order, or of its authorization."""
    facts, held = payment.facts, payment.facts["authorization"]
    me = f"{base_url}/v2/payments/captures/{it['id']}"
    gross = dialect_money.shown(it["amount"], payment.currency)
    related = {"order_id": payment.id, **({"authorization_id": held["id"]} if held is not None else {})}
    above = f"{base_url}/v2/checkout/orders/{payment.id}" if held is None else f"{base_url}/v2/payments/authorizations/{held['id']}"
    taken = it["status"] not in ("DECLINED", "PENDING")
    return {
        "id": it["id"],
        "status": it["status"],
        **_reason(it),
        "amount": gross,
        **_given(facts, "custom_id"),
        **({"invoice_id": it["invoice_id"]} if it["invoice_id"] is not None else {}),
        "final_capture": it["final"],
        "seller_protection": _PROTECTION,
        # Fees come with settlement reports; here a sale costs nothing.
        **({"seller_receivable_breakdown": {"gross_amount": gross, "net_amount": gross}} if taken else {}),
        "disbursement_mode": "INSTANT",
        **_processed(it, facts),
        "supplementary_data": {"related_ids": related},
        "payee": {"merchant_id": MERCHANT},
        "create_time": milli(it["created"]),
        "update_time": milli(it["updated"]),
        "links": [
            {"href": me, "rel": "self", "method": "GET"},
            {"href": f"{me}/refund", "rel": "refund", "method": "POST"},
            {"href": above, "rel": "up", "method": "GET"},
        ],
    }


def _reason(it: Facts) -> dict[str, Any]:
    return {} if it["reason"] is None else {"status_details": {"reason": it["reason"]}}


def _processed(it: Facts, facts: Facts) -> dict[str, Any]:
    """What the card's processor said; a wallet has none."""
    if facts["source"] != "card" or it["status"] == "PENDING":
        return {}
    if it["failure"] is None:
        return {"processor_response": {"avs_code": "Y", "cvv_code": "M", "response_code": "0000"}}
    words = WORDS[Decline(it["failure"])]
    advice = {} if words.advice_code is None else {"payment_advice_code": words.advice_code}
    return {"processor_response": {"avs_code": "Y", "cvv_code": "M", "response_code": words.response_code, **advice}}


_REFUND_STATUS: Final = {
    OperationStatus.PENDING: "PENDING",
    OperationStatus.SUCCEEDED: "COMPLETED",
    OperationStatus.FAILED: "FAILED",
}


def refund(operation: Operation, currency: str, base_url: str) -> dict[str, Any]:
    """One refund of a capture."""
    facts, me = operation.facts, f"{base_url}/v2/payments/refunds/{operation.id}"
    amount, nothing = dialect_money.shown(operation.amount, currency), dialect_money.shown(0, currency)
    pending = operation.status is OperationStatus.PENDING
    return {
        "id": operation.id,
        "status": _REFUND_STATUS[operation.status],
        **({"status_details": {"reason": "ECHECK"}} if pending else {}),
        "amount": amount,
        **_given(facts, "custom_id", "invoice_id", "note_to_payer"),
        "seller_payable_breakdown": {"gross_amount": amount, "paypal_fee": nothing, "net_amount": amount, "total_refunded_amount": amount},
        "create_time": stamp(operation.created_at),
        "update_time": milli(facts["updated"]),
        "links": [
            {"href": me, "rel": "self", "method": "GET"},
            {"href": f"{base_url}/v2/payments/captures/{facts['capture']}", "rel": "up", "method": "GET"},
        ],
    }


def minimal(shown: dict[str, Any]) -> dict[str, Any]:
    """What is shown of an object unless its representation was asked for."""
    return {name: shown[name] for name in ("id", "status", "links")}


def event(ledger: Ledger, kind: str, resource_type: str, it: dict[str, Any], at: datetime, base_url: str) -> dict[str, Any]:
    """The event around a snapshot."""
    identity = f"WH-{ledger.new_id('', 17).upper()}-{ledger.new_id('', 17).upper()}"
    me = f"{base_url}/v1/notifications/webhooks-events/{identity}"
    words = kind.replace(".", " ").replace("-", " ").lower()
    return {
        "id": identity,
        "event_version": "1.0",
        "create_time": at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z",
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": kind,
        "summary": f"{words[0].upper()}{words[1:]}",
        "resource": it,
        "links": [
            {"href": me, "rel": "self", "method": "GET"},
            {"href": f"{me}/resend", "rel": "resend", "method": "POST"},
        ],
    }
