"""Whether a webhook is Adyen's: the HMAC in each of its items, over eight of that item's fields, before any of them is believed.

    pspReference:originalReference:merchantAccountCode:merchantReference:value:currency:eventCode:success

HMAC-SHA256 under the hex-decoded key of the endpoint, base64, in `additionalData.hmacSignature`. Every item is checked by itself: one that
is not signed makes the whole delivery a forgery. Adyen escapes nothing in that string, so that with a colon inside a field two different
items could have one signature: all fields but the merchant's own reference must be free of them, and then there is one way to read it.

What is not among the eight is anybody's word: the date, the reason, `operations`, `additionalData`. There is no time of signing, so a
delivery can be played back; it is the same event then, and is taken once (the inbox).

Not here: what the items say (`notices`, `testimony`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from connectors.contract import Forged

_WITHOUT_COLON: Final = r"[!-9;-~]"
_SHAPES: Final[Mapping[str, re.Pattern[str]]] = {
    "pspReference": re.compile(rf"{_WITHOUT_COLON}{{1,255}}"),
    "originalReference": re.compile(rf"{_WITHOUT_COLON}{{0,255}}"),
    "merchantAccountCode": re.compile(r"[^:]{1,255}", re.DOTALL),
    "merchantReference": re.compile(r".{0,1000}", re.DOTALL),
    "value": re.compile(r"-?[0-9]{1,18}"),
    "currency": re.compile(r"[A-Z]{3}"),
    "eventCode": re.compile(r"[A-Z0-9_]{1,100}"),
    "success": re.compile(r"true|false"),
}
"""The signed fields in their order, and what may stand in each."""
_HEX_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){16,256}")


def forged(items: Sequence[Mapping[str, object]], *, secrets: tuple[str, ...]) -> Forged | None:
    """None where every one of these items is signed with one of the secrets (hex); otherwise why they are not believed."""
    keys = [bytes.fromhex(secret) for secret in secrets if _HEX_KEY.fullmatch(secret)]
    if not keys:
        return Forged(reason="no signing key is configured that is one: 32 hexadecimal digits or more")
    if not items:
        return Forged(reason="nothing in it is signed")
    for item in items:
        if (reason := _doubt(item, keys)) is not None:
            return Forged(reason=reason)
    return None


def signed_text(item: Mapping[str, object]) -> str | None:
    """What Adyen signs of an item; None where a field of it is not what it has to be."""
    amount = item.get("amount")
    amount = amount if isinstance(amount, dict) else {}
    value = amount.get("value")
    given = {**item, "value": str(value) if type(value) is int else None, "currency": amount.get("currency")}
    parts = []
    for name, shape in _SHAPES.items():
        part = given.get(name)
        if part is None and name == "originalReference":
            part = ""
        if not isinstance(part, str) or not shape.fullmatch(part):
            return None
        parts.append(part)
    return ":".join(parts)


def signature(text: str, key: bytes) -> str:
    """Adyen's signature of that text."""
    return base64.b64encode(hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()).decode()


def _doubt(item: Mapping[str, object], keys: Sequence[bytes]) -> str | None:
    text = signed_text(item)
    if text is None:
        return "the fields that are signed cannot be read"
    extra = item.get("additionalData")
    given = extra.get("hmacSignature") if isinstance(extra, dict) else None
    if not isinstance(given, str) or not given.isascii():
        return "no signature"
    if not any(hmac.compare_digest(signature(text, key), given) for key in keys):
        return "no signature fits an item and a key"
    return None
