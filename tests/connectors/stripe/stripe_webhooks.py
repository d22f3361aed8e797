"""What the tests of webhooks build again and again: events, signed by Stripe's own library and not by ours, and their deliveries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import stripe

from connectors.contract import Delivery, Forged, Notice
from connectors.stripe import connector
from payorch.domain.payment import State
from payorch.domain.records import Attempt, Operation, Payment
from tests.connectors.stripe import stripe_cases as cases

SECRET = "whsec_M0nkeyBars4Ever"
OLD_SECRET = "whsec_TheOneBefore"
ATTEMPT_ID = "att_01kavq7c1zf90b3n7d5pchmsj9"
CAPTURE_ID = "cap_01kavq7c1zf90b3n7d5pchmsja"
REFUND_ID = "ref_01kavq7c1zf90b3n7d5pchmsjb"
CREATED = int(cases.NOW.timestamp())


def event(kind: str, subject: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """An event about that snapshot."""
    values: dict[str, Any] = {
        "id": "evt_1PgafyB7WZ01zgkW",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
    return values | changes


def signature(body: bytes, *secrets: str, at: datetime = cases.NOW) -> str:
    """The header with a `v1` for each secret, as Stripe's library makes it. The body has to be text: the library takes nothing else."""
    made = [stripe.WebhookSignature.generate_signature_header(body.decode(), one, int(at.timestamp())) for one in secrets or (SECRET,)]
    return ",".join([made[0], *(one.partition(",")[2] for one in made[1:])])


def delivery(body: bytes, *headers: str) -> Delivery:
    return Delivery(headers=(("content-type", "application/json"), *(("stripe-signature", one) for one in headers)), body=body)


def receive(body: bytes, *headers: str, secrets: tuple[str, ...] = (SECRET,), at: datetime = cases.NOW) -> tuple[Notice, ...] | Forged:
    """What the connector makes of that body under these signature headers; under the right one where none is given."""
    return connector.receive(delivery(body, *(headers or (signature(body),))), secrets=secrets, at=at)


def noticed(body: bytes) -> Notice:
    """The one notice in a body that is signed as it should be."""
    received = receive(body)
    assert not isinstance(received, Forged), received.reason
    [notice] = received
    assert notice.content == body
    return notice


def encoded(kind: str, subject: Mapping[str, Any], **changes: Any) -> bytes:
    return json.dumps(event(kind, subject, **changes)).encode()


def payment(attempt: Attempt | None = None, *operations: Operation, state: State = State.AUTHORIZED) -> Payment:
    """A payment with that attempt (one of 19.99 euro that is held, where none is given) and these operations."""
    return Payment(
        id="pay_01kavq7c1zfz6b3m",
        merchant_id="mer_1",
        state=state,
        version=3,
        intent=cases.intent(),
        created_at=cases.NOW,
        updated_at=cases.NOW,
        attempts=(attempt or cases.attempt(),),
        operations=operations,
    )
