"""PayPal's side of its webhooks: how a delivery is signed, the certificate that it can be checked with, and PayPal's own check of one.

Deliberately apart from the connector's `signatures`: the simulator is the second opinion. The key and certificate are the settings'.
Not here: what is told (`dialect_call`), when it is sent (`connectors.simulator.webhooks`).
"""

from __future__ import annotations

import base64
import zlib
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from msgspec.json import decode

from connectors.contract import HttpResponse
from connectors.paypal.dialect_body import Body
from connectors.paypal.dialect_errors import missing
from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger

CERTIFICATES_PATH: Final = "/v1/notifications/certs/"
VERIFY_PATH: Final = "/v1/notifications/verify-webhook-signature"
_SENDER: Final = "PayPal/AUHD-214.0-58843950"
_ALGORITHM: Final = "SHA256withRSA"


def headers(settings: Settings, body: bytes, *, webhook_id: str, at: datetime) -> tuple[tuple[str, str], ...]:
    """The headers of a delivery of that body at that moment, its signature among them."""
    time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    # From what is sent and not from chance: the same twice is the same transmission.
    digest = blake2b(body + time.encode(), digest_size=16).hexdigest()
    identity = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
    text = _signed(identity, time, webhook_id, body)
    signature = base64.b64encode(_key(settings).sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    return (
        ("content-type", "application/json"),
        ("user-agent", _SENDER),
        ("paypal-auth-version", "v2"),
        ("paypal-auth-algo", _ALGORITHM),
        ("paypal-cert-url", f"{settings.base_url}{CERTIFICATES_PATH}{_certificate_name(settings)}"),
        ("paypal-transmission-id", identity),
        ("paypal-transmission-time", time),
        ("paypal-transmission-sig", signature),
    )


def certificate(settings: Settings, path: str) -> HttpResponse | None:
    """`GET /v1/notifications/certs/{name}`: the certificate and those above it, PEM; None where there is none of that name."""
    if settings.certificates is None or path != f"{CERTIFICATES_PATH}{_certificate_name(settings)}":
        return None
    return HttpResponse(status=200, headers=(("content-type", "application/x-x509-ca-cert"),), body=settings.certificates)


def verify(settings: Settings, ledger: Ledger, body: Body) -> dict[str, Any]:
    """`POST /v1/notifications/verify-webhook-signature`: of an event that was really told, by what was sent with it."""
    names = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id")
    algorithm, address, identity, signature, time, webhook_id = (body.text(name, longest=500, required=True) or "" for name in names)
    event = body.child("webhook_event")
    if event is None:
        raise missing("/webhook_event")
    told = ledger.outbox.notification(event.text("id", longest=100) or "")
    genuine = (
        told is not None
        and event.is_same(decode(told.body))
        and algorithm == _ALGORITHM
        and address == f"{settings.base_url}{CERTIFICATES_PATH}{_certificate_name(settings)}"
        and _fits(settings, signature, _signed(identity, time, webhook_id, told.body))
    )
    return {"verification_status": "SUCCESS" if genuine else "FAILURE"}


def _fits(settings: Settings, signature: str, text: bytes) -> bool:
    try:
        _key(settings).public_key().verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(identity: str, time: str, webhook_id: str, body: bytes) -> bytes:
    return "|".join([identity, time, webhook_id, str(zlib.crc32(body) & 0xFFFFFFFF)]).encode()


def _key(settings: Settings) -> rsa.RSAPrivateKey:
    if settings.signing_key is None:
        raise ValueError("a simulated PSP that signs with a certificate needs Settings.signing_key and Settings.certificates")
    return _loaded(settings.signing_key)


@lru_cache(maxsize=8)
def _loaded(pem: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("webhooks are signed with an RSA key")
    return key


def _certificate_name(settings: Settings) -> str:
    """After the certificate itself: another one has another address, so that nobody checks with what he remembers."""
    return "" if settings.certificates is None else _name(settings.certificates)


@lru_cache(maxsize=8)
def _name(pem: bytes) -> str:
    return f"CERT-{x509.load_pem_x509_certificates(pem)[0].fingerprint(hashes.SHA256()).hex()[:24]}"
