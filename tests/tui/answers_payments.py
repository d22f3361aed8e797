"""Made-up payments, one in each state that a console has to explain, with everything that the API says of them.

Not here: what they are made of (`answers_basics`), connectors, acts, days and the rest (`answers_rest`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from tests.tui.answers_basics import HOSTILE, View, act, at, ident, may, money, stamp

STATUS: Final = {
    "AUTHORIZING": "processing",
    "PROVIDER_PENDING": "processing",
    "OUTCOME_UNKNOWN": "processing",
    "MANUAL_REVIEW": "processing",
    "CAPTURING": "processing",
    "REQUIRES_ACTION": "requires_action",
    "AUTHORIZED": "requires_capture",
    "PARTIALLY_CAPTURED": "partially_captured",
    "CAPTURED": "succeeded",
    "CANCELED": "canceled",
    "FAILED": "failed",
}
MERCHANTS: Final = {"acme-eu": ident("mer", at(8, 0, day=1), 1), "globex": ident("mer", at(8, 0, day=1), 2)}
ACTS: Final = ("payment.resync", "payment.resolve", "payment.capture", "payment.void", "payment.refund", "payment.release")


def later(moment: str, seconds: float) -> str:
    return stamp(datetime.fromisoformat(moment) + timedelta(seconds=seconds))


def failure(error_class: str, code: str, message: str, http: int | None = None, decline: str | None = None) -> View:
    return {
        "class": error_class,
        "code": code,
        "message": message,
        "connector": {"code": code, "message": message, "http_status": http},
        "network": {"decline_code": decline, "advice_code": None},
    }


def attempt(number: int, connector: str, state: str, moment: str, amount: View, **other: Any) -> View:
    identity = ident("att", moment, number)
    charge = f'"amount":{amount["amount"]},"currency":"{amount["currency"].lower()}"'
    body = f'{{{charge},"payment_method":"[redacted]","metadata":{{"attempt":"{identity}"}}}}'
    whole = {
        "id": identity,
        "connector": connector,
        "state": state,
        "amount": amount,
        "psp_reference": None,
        "psp_key": f"{identity}-1",
        "request_id": f"req_{number}9f2c41d7",
        "trace_id": None,
        "sent": {"method": "POST", "path": "/v1/payment_intents", "content_type": "application/json", "body": body},
        "failure": None,
        "raw": None,
        "looks": 0,
        "next_action_at": None,
        "created_at": moment,
        "updated_at": later(moment, 0.48),
    }
    return {**whole, **other}


def operation(kind: str, state: str, moment: str, amount: View, of: View, **other: Any) -> View:
    identity = ident({"capture": "cap", "void": "void", "refund": "ref"}[kind], moment, 3)
    whole = {
        "id": identity,
        "object": kind,
        "state": state,
        "origin": "merchant",
        "attempt_id": of["id"],
        "amount": amount,
        "psp_reference": f"{of['psp_reference']}_{kind[:3]}" if of["psp_reference"] else None,
        "psp_key": f"{identity}-1",
        "failure": None,
        "reason": None,
        "reference": None,
        "looks": 0,
        "in_review": False,
        "next_action_at": None,
        "created_at": moment,
        "updated_at": later(moment, 0.3),
    }
    return {**whole, **other}


def words(amount: int, currency: str) -> str:
    exponent = {"JPY": 0, "KWD": 3}.get(currency, 2)
    return f"{amount / 10**exponent:,.{exponent}f} {currency}".replace(",", " ")


def payment(number: int, state: str, minor: int, currency: str = "EUR", **other: Any) -> View:
    """The page of one payment. What is not said in `other` is as for a payment of which nothing more is known."""
    created = other.pop("created_at", at(14, 1 + number, 7.918))
    name = other.pop("merchant", "acme-eu")
    merchant = {"id": MERCHANTS.get(name, MERCHANTS["globex"]), "name": name}
    attempts = other.pop("attempts", [])
    captured, refunded = other.pop("captured", 0), other.pop("refunded", 0)
    last = attempts[-1] if attempts else None
    identity = other.pop("id", ident("pay", created, number))
    held = state in ("AUTHORIZED", "CAPTURING", "PARTIALLY_CAPTURED", "CAPTURED")
    net = captured - refunded
    allowed = other.pop("allowed", {})
    whole = {
        "id": identity,
        "object": "payment",
        "status": STATUS[state],
        "state": state,
        "outcome": "unconfirmed" if state in ("OUTCOME_UNKNOWN", "MANUAL_REVIEW") else None,
        "amount": minor,
        "currency": currency,
        "amount_authorized": minor if held else 0,
        "amount_captured": captured,
        "amount_capturable": minor - captured if state in ("AUTHORIZED", "PARTIALLY_CAPTURED") else 0,
        "amount_refunded": refunded,
        "amount_refundable": net,
        "capture": "automatic",
        "reference": f"A-{10290 + number}",
        "payment_method": {"type": "card", "brand": "visa", "last4": "4242", "country": "DE"},
        "customer": {"reference": "c-77", "country": "DE"},
        "initiator": "customer",
        "return_url": None,
        "connector": last and last["connector"],
        "psp_reference": last and last["psp_reference"],
        "next_action": None,
        "failure": last and last["failure"],
        "authorization_expires_at": at(14, 0, day=23) if state in ("AUTHORIZED", "PARTIALLY_CAPTURED") else None,
        "cancel_requested": False,
        "cancellation_reason": "merchant" if state == "CANCELED" else None,
        "captures": [],
        "refunds": [],
        "voids": [],
        "disputes": [],
        "settlement": {"status": "not_due"},
        "retry_of": None,
        "metadata": {"cart": "9"},
        "version": 4 + number,
        "created_at": created,
        "updated_at": later(created, 12),
        "merchant": merchant,
        "merchant_id": merchant["id"],
        "held": None,
        "money": money_line(minor if held else 0, captured, refunded, currency, later(created, 12)),
        "why": None,
        "next": None,
        "route": [one["connector"] for one in attempts],
        "attempts": attempts,
        "operations": [],
        "actions": [
            {
                "action": one,
                "verb": may(one, identity)["verb"],
                "allowed": one in allowed,
                "why_not": None if one in allowed else f"a payment in {state} does not allow it",
                "people": allowed.get(one, 1),
                "open_action": None,
            }
            for one in ACTS
        ],
        "acts": [],
        "like_it": None,
        "settlement_lines": [],
        "postings": [],
        "deliveries": [],
        "notices": [],
    }
    return {**whole, **other}


def money_line(authorized: int, captured: int, refunded: int, currency: str, moment: str, **other: Any) -> View:
    net = captured - refunded
    said = (
        f"captured {words(captured, currency)}"
        if captured
        else f"authorized {words(authorized, currency)}"
        if authorized
        else "nothing moved"
    )
    whole = {
        "ours": {"text": said, "authorized": authorized, "captured": captured, "refunded": refunded, "at": moment},
        "ledger": {
            "text": f"net {'+' if net >= 0 else '-'}{words(abs(net), currency)}",
            "net": net,
            "captured": captured,
            "refunded": refunded,
            "postings": 2 * bool(captured) + 2 * bool(refunded),
        },
        "psp": None,
        "settlement": {"text": "not due", "status": "not_due", "day": None, "gross": None, "fee": None, "net": None},
        "agree": True,
        "disagreement": None,
    }
    return {**whole, **other}


def opinion(captured: int | None, refunded: int | None, source: str, moment: str, said: str) -> View:
    return {"text": f"{said} ({source})", "captured": captured, "refunded": refunded, "source": source, "at": moment}


def delivery(moment: str, type_: str, state: str, **other: Any) -> View:
    return {
        "event_id": ident("evt", moment, 1),
        "type": type_,
        "endpoint_id": ident("whe", at(8, 0, day=1), 1),
        "state": state,
        "attempts": 1,
        "last_status": 200 if state == "delivered" else None,
        "last_error": None,
        "next_attempt_at": None,
        **other,
    }


def notice(moment: str, connector: str, event: str, kind: str, state: str, outcome: str | None, **other: Any) -> View:
    return {
        "id": ident("ntc", moment, 1),
        "connector": connector,
        "event": event,
        "kind": kind,
        "state": state,
        "outcome": outcome,
        "received_at": moment,
        "occurred_at": later(moment, -0.8),
        **other,
    }


def posting(moment: str, debit: str, credit: str, amount: View, event: str, source: str = "payment") -> View:
    return {"at": moment, "debit": debit, "credit": credit, "amount": amount, "event": event, "source": source}


def unknown() -> View:
    """The heart of an incident: declined by one PSP, and the other one's answer was lost."""
    created = at(14, 21, 7.918)
    amount = money(249_00)
    first = attempt(
        1,
        "stripe",
        "DECLINED",
        at(14, 21, 7.923),
        amount,
        psp_reference="pi_3Q9aYQ7eZvKYlo2C",
        failure=failure("SOFT_TRY_OTHER", "card_declined", "Your card was declined.", 402, "05"),
        raw={"error": {"code": "card_declined", "decline_code": "try_again_later"}},
    )
    second = attempt(
        2,
        "adyen",
        "UNKNOWN",
        at(14, 21, 9.412),
        amount,
        psp_reference="8516153423456789",
        looks=3,
        next_action_at=at(14, 33, 33),
        failure=failure("UNKNOWN_OUTCOME", "read_timeout", "no whole answer within 10 s"),
        raw="ReadTimeout: [type=x, v={'a[0]'}] [/",
    )
    one = payment(
        20,
        "OUTCOME_UNKNOWN",
        249_00,
        created_at=created,
        reference="A-10293",
        attempts=[first, second],
        allowed={"payment.resync": 1, "payment.resolve": 2},
        money={
            **money_line(0, 0, 0, "EUR", at(14, 21, 19.413), agree=None),
            "ours": {
                "text": "unknown: 249.00 EUR may be captured",
                "authorized": 0,
                "captured": 0,
                "refunded": 0,
                "at": at(14, 21, 19.413),
            },
            "psp": opinion(None, None, "inquiry", at(14, 22, 59.02), "no such payment yet"),
        },
        why={
            "headline": "Why unknown",
            "text": "adyen took the request at 14:21:09.412Z, then the socket timed out; no webhook yet. "
            "Retrying elsewhere is blocked until the outcome is known (double-charge guard).",
        },
        next={"text": "look #4 at adyen", "at": at(14, 33, 33), "then": "people decide", "gives_up_at": at(14, 52, 0)},
        acts=[act(7, "payment.resolve", "", "proposed", requested_at=at(14, 27, 41.31))],
        like_it={
            "count": 12,
            "amount": [money(3911_20)],
            "window_minutes": 15,
            "filter": "connector:adyen state:OUTCOME_UNKNOWN created_from:2026-10-16T14:06:00Z",
        },
        deliveries=[
            delivery(
                at(14, 21, 19.5),
                "payment.unconfirmed",
                "pending",
                attempts=3,
                last_status=503,
                last_error="the endpoint answered 503",
                next_attempt_at=at(14, 35),
            )
        ],
        notices=[
            notice(at(14, 23, 10), "adyen", "AUTHORISATION", "payment", "refused", "signature_invalid: stored nothing"),
            notice(at(14, 25, 2), "adyen", "AUTHORISATION", "payment", "parked", "duplicate of an earlier one", occurred_at=at(14, 21, 11)),
        ],
        updated_at=at(14, 22, 59.022),
        version=17,
    )
    one["acts"][0]["subject"] = one["id"]
    for row in one["actions"]:
        if row["action"] == "payment.resolve":
            row.update(allowed=False, why_not=f"{one['acts'][0]['id']} is open: approve or reject it", open_action=one["acts"][0]["id"])
    return one


def review() -> View:
    """Evidence contradicts itself: we say voided, the PSP says captured."""
    amount = money(1_250_00)
    only = attempt(1, "adyen", "CHARGED", at(13, 50, 1), amount, psp_reference="8516153499990001")
    moment = at(13, 50, 9)
    return payment(
        2,
        "MANUAL_REVIEW",
        1_250_00,
        created_at=at(13, 50),
        attempts=[only],
        merchant="globex",
        reference="G-778/ä",
        operations=[
            operation(
                "void",
                "FAILED",
                at(13, 50, 5),
                amount,
                only,
                in_review=True,
                failure=failure("OPERATION_NOT_ALLOWED", "already_captured", "the payment was captured before", 422),
            )
        ],
        allowed={"payment.resync": 1, "payment.resolve": 2},
        money={
            **money_line(1_250_00, 0, 0, "EUR", moment),
            "psp": opinion(1_250_00, 0, "webhook", at(13, 50, 8.2), "captured 1 250.00 EUR"),
            "agree": False,
            "disagreement": "We booked nothing; adyen says it captured 1 250.00 EUR at 13:50:08Z.",
        },
        why={
            "headline": "Why in review",
            "text": "The void was rejected because a capture that is not ours came first. Only two people may say which is true.",
        },
        next={"text": "nothing happens by itself", "at": None, "then": "people decide", "gives_up_at": None},
        like_it={"count": 1, "amount": [money(1_250_00)], "window_minutes": 15, "filter": "connector:adyen state:MANUAL_REVIEW"},
    )


def partly() -> View:
    """Half captured, refunded twice (one unknown), and disputed."""
    created = at(9, 12, day=15)
    only = attempt(1, "stripe", "CHARGED", at(9, 12, 0.2, day=15), money(100_00), psp_reference="pi_3Q77xyz")
    return payment(
        3,
        "PARTIALLY_CAPTURED",
        100_00,
        created_at=created,
        attempts=[only],
        captured=60_00,
        refunded=25_00,
        capture="manual",
        operations=[
            operation("capture", "SUCCEEDED", at(10, 0, day=15), money(60_00), only),
            operation("refund", "SUCCEEDED", at(11, 0, day=15), money(25_00), only, reason="goodwill"),
            operation(
                "refund",
                "UNKNOWN",
                at(14, 5, 2),
                money(10_00),
                only,
                looks=2,
                next_action_at=at(14, 34),
                failure=failure("UNKNOWN_OUTCOME", "http_502", "bad gateway", 502),
            ),
        ],
        disputes=[
            {
                "id": ident("dsp", at(12, 0), 1),
                "object": "dispute",
                "stage": "chargeback",
                "status": "needs_response",
                "amount": 60_00,
                "currency": "EUR",
                "reason": "fraudulent",
                "respond_by": at(23, 59, day=23),
                "psp_reference": "dp_1Q77",
                "payment_id": ident("pay", created, 3),
                "created_at": at(12, 0),
                "updated_at": at(12, 0),
            }
        ],
        allowed={"payment.resync": 1, "payment.capture": 1, "payment.void": 1, "payment.refund": 2},
        money=money_line(
            100_00,
            60_00,
            25_00,
            "EUR",
            at(11, 0, 1, day=15),
            psp=opinion(60_00, 25_00, "inquiry", at(14, 5, 30), "captured 60.00, refunded 25.00 EUR"),
            settlement={
                "text": "pending: 2 movements of 2026-10-15",
                "status": "pending",
                "day": "2026-10-15",
                "gross": None,
                "fee": None,
                "net": None,
            },
        ),
        settlement={"status": "pending"},
        next={"text": "look #3 at stripe for the refund", "at": at(14, 34), "then": "people decide", "gives_up_at": at(15, 5)},
        postings=[
            posting(at(10, 0, 0.3, day=15), "psp:stripe", "merchant:acme-eu", money(60_00), "CaptureSucceeded"),
            posting(at(11, 0, 0.3, day=15), "merchant:acme-eu", "psp:stripe", money(25_00), "RefundSucceeded"),
        ],
        deliveries=[
            delivery(at(10, 0, 1, day=15), "payment.partially_captured", "delivered"),
            delivery(at(11, 0, 1, day=15), "refund.succeeded", "delivered"),
        ],
    )


def settled() -> View:
    created = at(18, 3, day=14)
    only = attempt(1, "stripe", "CHARGED", at(18, 3, 0.1, day=14), money(59_90), psp_reference="pi_3Q11abc")
    line = {
        "report": ident("bat", at(6, 0), 1),
        "line": 1882,
        "day": "2026-10-15",
        "kind": "capture",
        "gross": money(59_90),
        "fee": money(1_13),
        "net": money(58_77),
        "state": "matched",
    }
    return payment(
        4,
        "CAPTURED",
        59_90,
        created_at=created,
        attempts=[only],
        captured=59_90,
        allowed={"payment.refund": 1, "payment.resync": 1},
        money=money_line(
            59_90,
            59_90,
            0,
            "EUR",
            at(18, 3, 1, day=14),
            psp=opinion(59_90, 0, "response", at(18, 3, 0.6, day=14), "captured 59.90 EUR"),
            settlement={
                "text": "settled 59.90, fee 1.13, net 58.77 EUR",
                "status": "settled",
                "day": "2026-10-15",
                "gross": 59_90,
                "fee": 1_13,
                "net": 58_77,
            },
        ),
        settlement={"status": "settled"},
        settlement_lines=[line],
        postings=[
            posting(at(18, 3, 0.6, day=14), "psp:stripe", "merchant:acme-eu", money(59_90), "ProviderCharged"),
            posting(at(6, 0, 3), "fees:stripe", "psp:stripe", money(1_13), "Settled", "settlement"),
            posting(at(6, 0, 3), "bank", "psp:stripe", money(58_77), "Settled", "settlement"),
        ],
    )


def hostile() -> View:
    """Every field of free text means harm."""
    bad = list(HOSTILE)
    amount = money(1_00)
    only = attempt(
        1,
        bad[2],
        "DECLINED",
        at(14, 30),
        amount,
        psp_reference=bad[4],
        psp_key=bad[8],
        request_id=bad[6],
        trace_id=bad[7],
        failure={
            "class": bad[0],
            "code": bad[1],
            "message": bad[13],
            "connector": {"code": bad[3], "message": bad[5], "http_status": 500},
            "network": {"decline_code": bad[9], "advice_code": bad[10]},
        },
        raw={bad[2]: bad[4], "list": bad},
        sent={"method": bad[0], "path": bad[4], "content_type": bad[12], "body": "\n".join(bad)},
    )
    return payment(
        13,
        "FAILED",
        1_00,
        created_at=at(14, 30),
        attempts=[only],
        merchant=bad[2],
        reference=bad[4] + bad[7] + bad[10],
        held={"reason": bad[5], "since": at(14, 31), "by": bad[3]},
        cancellation_reason=bad[0],
        money={
            "ours": {"text": bad[0], "authorized": 0, "captured": 0, "refunded": 0, "at": at(14, 30)},
            "ledger": {"text": bad[1], "net": 0, "captured": 0, "refunded": 0, "postings": 0},
            "psp": {"text": bad[4], "captured": None, "refunded": None, "source": bad[2], "at": at(14, 30)},
            "settlement": {"text": bad[6], "status": bad[3], "day": bad[8], "gross": None, "fee": None, "net": None},
            "agree": False,
            "disagreement": bad[7] + bad[2],
        },
        why={"headline": bad[2], "text": " ".join(bad)},
        next={"text": bad[4], "at": at(14, 40), "then": bad[0], "gives_up_at": None},
        route=[bad[2], bad[10]],
        operations=[operation("refund", bad[3], at(14, 31), amount, only, reason=bad[5], reference=bad[2])],
        disputes=[
            {
                "id": bad[0],
                "object": "dispute",
                "stage": bad[2],
                "status": bad[3],
                "amount": 100,
                "currency": "EUR",
                "reason": bad[5],
                "respond_by": None,
                "psp_reference": bad[4],
                "payment_id": bad[0],
                "created_at": at(14, 30),
                "updated_at": at(14, 30),
            }
        ],
        actions=[{"action": bad[2], "verb": bad[0], "allowed": False, "why_not": bad[4], "people": 1, "open_action": None}],
        acts=[act(9, "payment.refund", bad[2], bad[3], reason=bad[4], result={"text": bad[5]})],
        like_it={"count": 3, "amount": [amount], "window_minutes": 15, "filter": bad[2]},
        settlement_lines=[
            {"report": bad[0], "line": 1, "day": bad[6], "kind": bad[2], "gross": amount, "fee": amount, "net": amount, "state": bad[4]}
        ],
        postings=[posting(at(14, 30), bad[2], bad[4], amount, bad[0], bad[3])],
        deliveries=[delivery(at(14, 30), bad[2], bad[0], last_error=bad[4], endpoint_id=bad[8])],
        notices=[notice(at(14, 30), bad[2], bad[4], bad[0], bad[3], bad[5])],
        metadata=dict.fromkeys(bad, bad[4]),
    )


def simple() -> list[View]:
    """Those that need few words."""
    eur = money(42_00)
    declined = attempt(
        1,
        "paypal",
        "DECLINED",
        at(14, 12, 1),
        money(18_50),
        psp_reference="5O190127TN364715T",
        failure=failure("HARD_DECLINE", "stolen_card", "The card was reported stolen.", 422, "43"),
    )
    return [
        payment(
            5,
            "FAILED",
            18_50,
            created_at=at(14, 12),
            attempts=[declined],
            why={"headline": "Why failed", "text": "The issuer said no for good (stolen card, 43): no other connector was tried."},
        ),
        payment(
            6,
            "AUTHORIZED",
            42_00,
            attempts=[attempt(1, "adyen", "AUTHORIZED", at(14, 7, 8), eur, psp_reference="8516153400000006")],
            capture="manual",
            money=money_line(42_00, 0, 0, "EUR", at(14, 7, 9), psp=opinion(0, 0, "response", at(14, 7, 8.5), "authorized 42.00 EUR")),
            allowed={"payment.capture": 1, "payment.void": 1, "payment.resync": 1},
            held={"reason": "the live auditor: a posting is missing", "since": at(14, 10), "by": "system:auditor"},
            next={"text": "held: no automatic step", "at": None, "then": "people release it", "gives_up_at": None},
        ),
        payment(7, "CANCELED", 15_00, attempts=[attempt(1, "stripe", "VOIDED", at(14, 8, 8), money(15_00), psp_reference="pi_3Q9cancel")]),
        payment(
            8,
            "AUTHORIZING",
            77_10,
            attempts=[attempt(1, "paypal", "PREPARED", at(14, 9, 8), money(77_10))],
            next={
                "text": "waits for paypal's answer",
                "at": at(14, 33, 5),
                "then": "the outcome is taken for unknown",
                "gives_up_at": None,
            },
        ),
        payment(
            9,
            "REQUIRES_ACTION",
            230_00,
            attempts=[attempt(1, "adyen", "ACTION_REQUIRED", at(14, 10, 8), money(230_00), psp_reference="8516153400000009")],
            next={"text": "waits for the shopper", "at": at(14, 40), "then": "canceled", "gives_up_at": at(14, 40)},
        ),
        payment(
            10,
            "PROVIDER_PENDING",
            500_00,
            "USD",
            attempts=[attempt(1, "paypal", "PENDING", at(14, 11, 8), money(500_00, "USD"), psp_reference="8XK55512")],
            next={"text": "look #2 at paypal", "at": at(14, 41), "then": "unknown", "gives_up_at": at(14, 0, day=17)},
        ),
        payment(
            11,
            "CAPTURED",
            12_800,
            "JPY",
            created_at=at(3, 0, day=15),
            attempts=[attempt(1, "stripe", "CHARGED", at(3, 0, 1, day=15), money(12_800, "JPY"), psp_reference="pi_3Qyen")],
            captured=12_800,
            allowed={"payment.refund": 2},
            money=money_line(
                12_800,
                12_800,
                0,
                "JPY",
                at(3, 0, 1, day=15),
                psp=opinion(12_800, 0, "response", at(3, 0, 1, day=15), "captured 12 800 JPY"),
                agree=False,
                disagreement="The settlement report books 12 300 JPY, 500 JPY less than was captured.",
                settlement={
                    "text": "mismatched: 12 300 JPY",
                    "status": "mismatched",
                    "day": "2026-10-15",
                    "gross": 12_300,
                    "fee": 0,
                    "net": 12_300,
                },
            ),
            settlement={"status": "mismatched"},
            merchant="globex",
        ),
        payment(
            12,
            "CAPTURING",
            4_500_125,
            "KWD",
            attempts=[attempt(1, "adyen", "AUTHORIZED", at(14, 13, 8), money(4_500_125, "KWD"), psp_reference="8516153400000012")],
            capture="manual",
            merchant="globex",
            next={"text": "waits for adyen's webhook", "at": at(15, 13), "then": "unknown", "gives_up_at": None},
        ),
    ]


def payments() -> dict[str, View]:
    """All of them by a short name, as `GET payments/{id}` answers."""
    others = {one["state"].lower(): one for one in simple()}
    return {"unknown": unknown(), "review": review(), "partly": partly(), "settled": settled(), "hostile": hostile(), **others}


_ROW: Final = (
    "id",
    "object",
    "merchant_id",
    "merchant",
    "state",
    "status",
    "outcome",
    "version",
    "amount",
    "currency",
    "amount_captured",
    "amount_refunded",
    "reference",
    "connector",
    "psp_reference",
    "held",
    "created_at",
    "updated_at",
)


def row(whole: View) -> View:
    """The same payment in a list."""
    return {**{name: whole[name] for name in _ROW}, "merchant": whole["merchant"]["name"], "held": whole["held"] is not None}


# --- what happened to one, and why it was routed as it was -------------------------------------------------------------------------------


def story(moment: str, source: str, who: str, event: str, said: str, tone: str = "info", **other: Any) -> View:
    whole = {
        "at": moment,
        "received_at": None,
        "source": source,
        "who": who,
        "event": event,
        "text": said,
        "tone": tone,
        "latency_ms": None,
        "subject_id": None,
        "attempt_id": None,
        "cause": None,
        "problem": tone in ("bad", "unknown"),
        "sequence": None,
        "position": None,
        "evidence": None,
        "details": None,
    }
    return {**whole, **other}


def timeline(whole: View) -> list[View]:
    """A short story for any payment, made of its attempts."""
    rows = [
        story(
            whole["created_at"],
            "api",
            whole["merchant"]["name"],
            "PaymentCreated",
            f"POST /v1/payments idem=ord-{whole['reference']}",
            cause="req_59f2c41d7",
            sequence=1,
            position=80_000,
        )
    ]
    tones = {"DECLINED": "bad", "UNKNOWN": "unknown", "CHARGED": "good", "AUTHORIZED": "good", "VOIDED": "warn"}
    for number, one in enumerate(whole["attempts"], start=1):
        rows.append(
            story(
                one["created_at"],
                "router",
                "router",
                "Routed",
                f"rule default chose {one['connector']}",
                sequence=2 * number,
                position=80_000 + 2 * number,
            )
        )
        rows.append(
            story(
                one["updated_at"],
                "psp",
                one["connector"],
                "AttemptFinished",
                f"attempt {number} {one['state'].lower()}",
                tones.get(one["state"], "info"),
                latency_ms=480,
                attempt_id=one["id"],
                subject_id=one["id"],
                cause=one["request_id"],
                sequence=2 * number + 1,
                position=80_001 + 2 * number,
                evidence=None if one["failure"] is None else {"failure": one["failure"], "raw": one["raw"]},
            )
        )
    return rows


def long_story(whole: View) -> list[View]:
    """What the picture of the incident shows: two PSPs, a gap, a webhook out of order, and people."""
    first, second = whole["attempts"]
    ours = {"subject_id": whole["id"]}
    return [
        story(
            at(14, 21, 7.918),
            "api",
            "acme-eu",
            "PaymentCreated",
            "POST /v1/payments idem=ord-A-10293",
            cause="req_9f2c",
            sequence=1,
            position=88_001,
            **ours,
        ),
        story(
            at(14, 21, 7.921),
            "router",
            "router",
            "Routed",
            "rule eu-cards@v14 chose stripe (score .81)",
            latency_ms=3,
            sequence=2,
            position=88_002,
            details={"order": ["stripe", "adyen"]},
            **ours,
        ),
        story(
            at(14, 21, 8.402),
            "psp",
            "stripe",
            "DeclinedRetriable",
            "attempt 1 authorize -> 402 card_declined/try_again_later",
            "bad",
            latency_ms=479,
            attempt_id=first["id"],
            sequence=4,
            position=88_004,
            cause="req_9f2c",
            evidence={"failure": first["failure"]},
        ),
        story(
            at(14, 21, 8.404),
            "router",
            "router",
            "Rerouted",
            "retry allowed: soft decline -> adyen (2 of 3)",
            latency_ms=2,
            sequence=5,
            position=88_005,
        ),
        story(
            at(14, 21, 9.412),
            "psp",
            "adyen",
            "AttemptPrepared",
            "attempt 2 authorize sent",
            attempt_id=second["id"],
            sequence=6,
            position=88_006,
        ),
        story(
            at(14, 21, 11),
            "webhook",
            "adyen",
            "AUTHORISATION",
            "AUTHORISATION success=true: parked, is older than what is known",
            "warn",
            received_at=at(14, 25, 2),
            problem=False,
            attempt_id=second["id"],
            details={"signature": "valid", "duplicate": True},
        ),
        story(
            at(14, 21, 19.413),
            "psp",
            "adyen",
            "OutcomeLost",
            "attempt 2 OUTCOME UNKNOWN (read timeout)",
            "unknown",
            latency_ms=10_001,
            attempt_id=second["id"],
            sequence=7,
            position=88_007,
            evidence={"failure": second["failure"], "raw": second["raw"]},
        ),
        story(
            at(14, 22, 59.02),
            "poller",
            "adyen",
            "Looked",
            "status look #3 at adyen -> 404 no such payment yet",
            latency_ms=61,
            attempt_id=second["id"],
            sequence=8,
            position=88_008,
        ),
        story(
            at(14, 23, 10),
            "webhook",
            "adyen",
            "AUTHORISATION",
            "AUTHORISATION rejected: signature_invalid",
            "bad",
            details={"signature": "invalid", "duplicate": False},
        ),
        story(
            at(14, 23, 30),
            "system",
            "notifier",
            "DeliveryFailed",
            "payment.unconfirmed -> 503, tried 3 times",
            "warn",
            problem=True,
            details={"endpoint": "whe_1", "status": 503},
        ),
        story(
            at(14, 27, 41.31),
            "people",
            "ana",
            "ActProposed",
            "proposed resolve -> captured (needs a second person)",
            "warn",
            cause=whole["acts"][0]["id"],
            details={"reason": "INC-4412: shopper confirms the debit"},
        ),
    ]


def hostile_story(whole: View) -> list[View]:
    return [
        story(
            at(14, 30, number),
            one,
            one,
            one,
            one,
            one,
            cause=one,
            subject_id=one,
            attempt_id=one,
            problem=number % 2 == 0,
            evidence={one: one},
            details={"list": [one]},
        )
        for number, one in enumerate(HOSTILE)
    ]


def timelines() -> dict[str, list[View]]:
    special = {"unknown": long_story, "hostile": hostile_story}
    return {name: special.get(name, timeline)(one) for name, one in payments().items()}


def decision(moment: str, order: list[str], chosen: str | None, excluded: list[tuple[str, str]], **other: Any) -> View:
    scores = [
        {
            "connector": one,
            "score": 8_100 - 900 * place,
            "parts": {"success": 9_140 - 700 * place, "cost": -160, "latency": -80 - 20 * place, "preference": -200 * place},
        }
        for place, one in enumerate(order)
    ]
    whole = {
        "at": moment,
        "rule": "eu-cards",
        "version": "v14",
        "order": order,
        "scores": scores,
        "excluded": [{"connector": name, "reason": why} for name, why in excluded],
        "chosen": chosen,
        "reasons": [f"{chosen} has the best score", "the rule holds: currency EUR, region EEA"],
    }
    return {**whole, **other}


def routings() -> dict[str, list[View]]:
    found = {
        name: [
            decision(
                one["created_at"],
                list(dict.fromkeys(one["route"])) or ["stripe"],
                (one["route"] or [None])[0],
                [("paypal", "no wallet was offered")],
            )
        ]
        for name, one in payments().items()
    }
    found["unknown"] = [
        decision(at(14, 21, 7.921), ["stripe", "adyen"], "stripe", [("paypal", "breaker half-open: takes probes only")]),
        decision(
            at(14, 21, 8.404),
            ["adyen"],
            "adyen",
            [("stripe", "declined this payment already"), ("paypal", "breaker half-open: takes probes only")],
            reasons=["a soft decline lets the next one try (2 of 3)"],
        ),
    ]
    found["hostile"] = [
        decision(
            at(14, 30),
            list(HOSTILE[:4]),
            HOSTILE[4],
            [(HOSTILE[5], HOSTILE[2])],
            rule=HOSTILE[0],
            version=HOSTILE[4],
            reasons=list(HOSTILE),
        )
    ]
    return found
