"""Whether a webhook is PayPal's: an RSA signature over the transmission's id, its time, our webhook's id and the CRC32 of the body.

    PAYPAL-TRANSMISSION-ID, PAYPAL-TRANSMISSION-TIME, PAYPAL-TRANSMISSION-SIG, PAYPAL-AUTH-ALGO: SHA256withRSA, PAYPAL-CERT-URL

RSA PKCS#1 v1.5 with SHA-256 over `<id>|<time>|<webhook id>|<crc32, decimal>`, by the certificate at that address, whose chain, names and
times the caller has verified. The webhook's id is no secret key, but it stands in what is signed and in nothing that is sent, so a delivery
for another webhook does not pass; while one webhook replaces another both ids are valid. The algorithm is never the sender's choice.

A CRC32 can be made to fit any body. So what is signed is that PayPal sent this webhook something at that time, and not what: see
`testimony`, which believes accordingly little. PayPal tries a delivery again for three days; what is older is played back.

Not here: fetching certificates, and that a delivery which comes again within the time is taken once (the inbox, by the event's id).
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from connectors.contract import Delivery, Forged
from connectors.paypal.objects import moment

ID, TIME, SIGNATURE, ALGORITHM, CERTIFICATE = (
    "paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-auth-algo", "paypal-cert-url",
)  # fmt: skip
THE_ALGORITHM: Final = "SHA256withRSA"
TOLERANCE: Final = timedelta(days=4)
"""How far the time of a transmission may lie from ours. PayPal sends up to 25 times within 3 days, and it is not published whether it signs
each time anew; a day more for a platform that was away at the end of them."""
_SHORTEST_KEY_BITS: Final = 2048
_PLAIN: Final = re.compile(r"[!-{}~]{1,200}")  # no "|", with which what is signed is put together
_LONGEST_SIGNATURE: Final = 1400
_ADDRESS: Final = re.compile(r"https?://[!-~]{1,500}")


def signed_text(*, transmission_id: str, transmission_time: str, webhook_id: str, body: bytes) -> bytes:
    """The characters that PayPal signs."""
    return f"{transmission_id}|{transmission_time}|{webhook_id}|{crc32(body)}".encode()


def certificate_wanted(delivery: Delivery) -> str | None:
    """The address that the delivery names, if it names exactly one and it has the form of one."""
    values = delivery.all(CERTIFICATE)
    return values[0] if len(values) == 1 and _ADDRESS.fullmatch(values[0]) else None


def forged(delivery: Delivery, *, secrets: tuple[str, ...], at: datetime, certificates: tuple[bytes, ...]) -> Forged | None:
    """None where it was signed by the certificate for one of our webhooks, less than TOLERANCE from `at`; otherwise why not."""
    webhooks = [secret.strip() for secret in secrets if secret.strip()]
    if not webhooks:
        return Forged(reason="no webhook id is configured")
    values = {name: delivery.all(name) for name in (ID, TIME, SIGNATURE, ALGORITHM)}
    if any(len(found) != 1 for found in values.values()):
        return Forged(reason="a signature header is missing, or there are two of it")
    identity, time, signature, algorithm = (found[0] for found in values.values())
    if algorithm != THE_ALGORITHM:
        return Forged(reason="not the signature algorithm that is believed")
    sent, decoded = moment(time), _decoded(signature)
    if not _PLAIN.fullmatch(identity) or sent is None or decoded is None:
        return Forged(reason="a signature header cannot be read")
    key = _public_key(certificates)
    if key is None:
        return Forged(reason="there is no certificate to check the signature with")
    texts = [signed_text(transmission_id=identity, transmission_time=time, webhook_id=one, body=delivery.body) for one in webhooks]
    if not any(_fits(key, decoded, text) for text in texts):
        return Forged(reason="the signature fits none of the webhook ids")
    if abs(at - sent) > TOLERANCE:
        return Forged(reason=f"sent more than {TOLERANCE.days} days from our time: it is played back, or a clock is wrong")
    return None


def _decoded(signature: str) -> bytes | None:
    if len(signature) > _LONGEST_SIGNATURE:
        return None
    try:
        return base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None


def _public_key(certificates: tuple[bytes, ...]) -> RSAPublicKey | None:
    """That of PayPal's own certificate, the first."""
    if not certificates:
        return None
    try:
        key = x509.load_der_x509_certificate(certificates[0]).public_key()
    except Exception:  # whatever cryptography makes of bytes that are no certificate, or of a key that it does not know
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_KEY_BITS else None


def _fits(key: RSAPublicKey, signature: bytes, text: bytes) -> bool:
    try:
        key.verify(signature, text, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
