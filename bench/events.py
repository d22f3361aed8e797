"""The webhooks that the load posts: Stripe's `payment_intent.succeeded` about payments that the platform has, signed when they are sent.

    python -m bench.load --dialect webhooks --about build/bench/payments.txt ...

Each event has an identity of its own, and events about the same payment are as far apart as there are payments: so it is when a PSP tells
what its answer has told before, which is what nearly all webhooks do. Bodies have the size and the indentation of Stripe's.

Not here: sending (`load`); the PSP that made the payments (`stub`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.stub import payment_intent

PATH: Final = "/webhooks/stripe"
AMOUNT: Final = 1999
"""Of every payment, in minor units."""

_NUMBER: Final = "@@number@@"
# What a PaymentIntent of Stripe's has besides, and what nearly always stands there.
_CARD: Final = {"installments": None, "mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
_NULL: Final = (
    "application application_fee_amount automatic_payment_methods customer_account description excluded_payment_method_types on_behalf_of"
    " payment_method_configuration_details processing receipt_email review setup_future_usage shipping source statement_descriptor"
    " statement_descriptor_suffix transfer_data transfer_group"
)
_ALSO: Final[dict[str, Any]] = {
    "amount_details": {"tip": {}},
    "payment_method_options": {"card": _CARD},
    **dict.fromkeys(_NULL.split()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A payment that the load can tell of: the PaymentIntent's id at the PSP, and the two ids of ours in its metadata."""

    intent_id: str
    attempt_id: str
    payment_id: str


def read(text: str) -> list[Paid]:
    """A payment a line, its three ids in that order, as the stub lists them. Raises ValueError where a line is not one."""
    paid = []
    for line in text.splitlines():
        intent_id, attempt_id, payment_id = line.split()
        paid.append(Paid(intent_id=intent_id, attempt_id=attempt_id, payment_id=payment_id))
    return paid


class Events:
    """Whole requests, number by number.

    capture: how the payments were made, automatic or manual. secret: the endpoint's. now: the wall clock in seconds since 1970, for the
    signature.
    """

    def __init__(self, payments: Sequence[Paid], *, capture: str, port: int, secret: str, now: Callable[[], float]) -> None:
        if not payments:
            raise ValueError("no payments to tell of")
        self._bodies = [_body(one, capture) for one in payments]
        self._head = (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
            "Accept: */*; q=0.5, application/xml\r\nCache-Control: no-cache\r\nContent-Type: application/json; charset=utf-8\r\n"
            "Stripe-Signature: t=%d,v1=%s\r\nContent-Length: %d\r\n\r\n"
        )
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)
        self._now = now

    def request(self, number: int) -> bytes:
        """The bytes of one delivery; its event's identity is made of the number."""
        before, after = self._bodies[number % len(self._bodies)]
        body = b"%s%010d%s" % (before, number, after)
        signed_at = int(self._now())
        signature = self._keyed.copy()
        signature.update(b"%d." % signed_at)
        signature.update(body)
        return (self._head % (signed_at, signature.hexdigest(), len(body))).encode() + body


def _body(paid: Paid, capture: str) -> tuple[bytes, bytes]:
    """The event's bytes before and after its number."""
    form = {
        "amount": str(AMOUNT),
        "currency": "eur",
        "capture_method": capture,
        "metadata[payorch_attempt]": paid.attempt_id,
        "metadata[payorch_payment]": paid.payment_id,
    }
    event = {
        "id": f"evt_3Bench{_NUMBER}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1764000001,
        "data": {"object": {**json.loads(payment_intent(paid.intent_id.removeprefix("pi_"), form)), **_ALSO}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_bench", "idempotency_key": paid.attempt_id},
        "type": "payment_intent.succeeded" if capture == "automatic" else "payment_intent.amount_capturable_updated",
    }
    before, _, after = json.dumps(event, indent=2).encode().partition(_NUMBER.encode())
    return before, after
