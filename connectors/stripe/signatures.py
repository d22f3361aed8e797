"""Whether a webhook is Stripe's: the `Stripe-Signature` header over the bytes of the body, before anything in them is read.

    Stripe-Signature: t=1795435200,v1=<hex>,v1=<hex>,v0=<hex>

`v1` is the HMAC-SHA256 of `<t>.<body>` under the endpoint's secret, the whole text of it, and it is the only scheme that counts: which
algorithm is used is never the sender's choice. While a secret is being rolled Stripe signs with both, and we may know both, so every `v1`
is held against every secret. Whatever is not exactly of that form is refused; nothing here raises, whatever was sent.

Not here: what the body says (`notices`), and that a delivery which comes again within the time is taken once (the inbox).
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import Final

from connectors.contract import Delivery, Forged

HEADER: Final = "stripe-signature"
TOLERANCE_SECONDS: Final = 300
"""How far the time of signing may lie from ours, in the past or in the future. Stripe signs every delivery anew, also a repeated one, and
its own libraries allow the same for the past; a future time would let a delivery that leaked be played back for longer."""
_LONGEST_HEADER: Final = 1024
"""Room for a dozen signatures. Stripe sends one for each secret that is valid: two while one is rolled."""
_ITEM: Final = re.compile(r"[a-z][a-z0-9]*=[!-~]+")
_TIME: Final = re.compile(r"[1-9][0-9]{0,10}")


def forged(delivery: Delivery, *, secrets: tuple[str, ...], at: datetime) -> Forged | None:
    """None where the body was signed with one of the secrets, less than TOLERANCE_SECONDS from `at`; otherwise why it is not believed."""
    keys = [secret.encode() for secret in secrets if secret.strip()]  # an empty key signs for everybody
    if not keys:
        return Forged(reason="no signing secret is configured")
    values = delivery.all(HEADER)
    if len(values) != 1:
        return Forged(reason="no signature" if not values else "more than one signature header")
    signed_at, signatures = _taken_apart(values[0])
    if signed_at is None:
        return Forged(reason="the signature header cannot be read")
    if not signatures:
        return Forged(reason="no signature of the scheme v1")
    # As it stands in the header: the signature is over these characters.
    message = signed_at + b"." + delivery.body
    expected = [hmac.digest(key, message, "sha256").hex().encode() for key in keys]
    # Bytes, because compare_digest raises on text that is not ASCII.
    if not any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in signatures):
        return Forged(reason="no signature fits the body and a secret")
    if abs(at.timestamp() - int(signed_at)) > TOLERANCE_SECONDS:
        return Forged(reason=f"signed more than {TOLERANCE_SECONDS} seconds from our time: it is played back, or a clock is wrong")
    return None


def _taken_apart(header: str) -> tuple[bytes | None, list[bytes]]:
    """The time as it is written and the signatures of our scheme. No time where the header is not one of Stripe's."""
    if len(header) > _LONGEST_HEADER:
        return None, []
    items = header.split(",")
    if not all(_ITEM.fullmatch(item) for item in items):
        return None, []
    pairs = [item.partition("=") for item in items]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]):
        return None, []
    return times[0].encode(), [value.encode() for name, _, value in pairs if name == "v1"]
