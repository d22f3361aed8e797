"""Webhooks as PayPal sends them, for the tests of this folder: events, and deliveries signed by a key that has a certificate."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from functools import lru_cache
from typing import Any
from zlib import crc32

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from connectors.contract import Delivery
from payorch.simulator_identity import SigningIdentity, mint
from tests.connectors.paypal import paypal_cases as cases

WEBHOOK_ID = "8PT597110X687430L"
CERTIFICATE_URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594"
EVENT_ID = "WH-2WR32451HC0233532-67976317FL4543714"


@lru_cache(maxsize=1)
def identity() -> SigningIdentity:
    return mint(cases.NOW)


@lru_cache(maxsize=1)
def certificates() -> tuple[bytes, ...]:
    """DER, PayPal's own first."""
    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(identity().certificates))


@lru_cache(maxsize=1)
def _key() -> RSAPrivateKey:
    key = load_pem_private_key(identity().key, password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def signature_of(text: str) -> str:
    return base64.b64encode(_key().sign(text.encode(), PKCS1v15(), SHA256())).decode()


def headers(body: bytes, *, webhook_id: str = WEBHOOK_ID, at: datetime = cases.NOW, **changes: str) -> dict[str, str]:
    """The headers of a delivery; `changes` take the place of what is signed."""
    identity, time = "69cd13f0-d67a-11e5-baa3-778b53f4ae55", at.strftime("%Y-%m-%dT%H:%M:%SZ")
    named = {
        "content-type": "application/json",
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": CERTIFICATE_URL,
        "paypal-transmission-id": identity,
        "paypal-transmission-time": time,
        "paypal-transmission-sig": signature_of(f"{identity}|{time}|{webhook_id}|{crc32(body)}"),
    }
    return named | {name.replace("_", "-"): value for name, value in changes.items()}


def delivery(body: bytes, **changes: Any) -> Delivery:
    return Delivery(headers=tuple(headers(body, **changes).items()), body=body)


def event(kind: str, resource: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An event of that kind about that resource."""
    values: dict[str, Any] = {
        "id": EVENT_ID,
        "event_version": "1.0",
        "create_time": "2026-11-23T12:00:00.000Z",
        "resource_type": "capture",
        "event_type": kind,
        "summary": "PLANTED words",
        "resource": resource,
        "links": [],
    }
    return values | changes


def content(kind: str, resource: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps(event(kind, resource, **changes)).encode()


RELATED = {"related_ids": {"order_id": cases.ORDER_ID, "authorization_id": cases.AUTHORIZATION_ID}}


def told_authorization(status: str = "CREATED", **changes: Any) -> dict[str, Any]:
    return cases.authorization(status, supplementary_data={"related_ids": {"order_id": cases.ORDER_ID}}, **changes)


def told_capture(status: str = "COMPLETED", **changes: Any) -> dict[str, Any]:
    return cases.capture(status, supplementary_data=RELATED, **changes)


def dispute(**changes: Any) -> dict[str, Any]:
    """A dispute about all of the capture, waiting for the merchant."""
    values: dict[str, Any] = {
        "dispute_id": "PP-R-NMW-10106",
        "create_time": "2026-11-24T12:00:00Z",
        "update_time": "2026-11-25T12:00:00Z",
        "disputed_transactions": [{"seller_transaction_id": cases.CAPTURE_ID, "custom": cases.ATTEMPT_ID, "buyer": {"name": "PLANTED"}}],
        "reason": "UNAUTHORISED",
        "status": "WAITING_FOR_SELLER_RESPONSE",
        "dispute_amount": cases.money("19.99"),
        "dispute_life_cycle_stage": "CHARGEBACK",
        "seller_response_due_date": "2026-12-04T12:00:00Z",
        "messages": [{"content": "PLANTED"}],
    }
    return values | changes
