"""The signature of a notification, as Adyen puts it in.

Deliberately apart from the connector's check of it (`signatures`). Not here: sending.
"""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import Any

from msgspec.json import decode, encode


def signed(body: bytes, secret: str) -> bytes:
    """The same delivery with `hmacSignature` in each of its items; `secret` is the hexadecimal key."""
    delivery: dict[str, Any] = decode(body)
    key = bytes.fromhex(secret)
    for wrapper in delivery["notificationItems"]:
        item = wrapper["NotificationRequestItem"]
        amount = item["amount"]
        parts = [
            item["pspReference"],
            item.get("originalReference", ""),
            item["merchantAccountCode"],
            item["merchantReference"],
            str(amount["value"]),
            amount["currency"],
            item["eventCode"],
            item["success"],
        ]
        digest = hmac.new(key, ":".join(parts).encode(), sha256).digest()
        item["additionalData"] = {**item.get("additionalData", {}), "hmacSignature": base64.b64encode(digest).decode()}
    return encode(delivery)
