"""Takes secrets and personal data out of what is written to a file or the clipboard: once more, after the server did.

The server masks what it sends. A file outlives the screen and is handed on, so names that may hold something are struck out here again, and
runs of digits that could be a card number; `struck` says which names were.

Not here: the screen, which shows what the server sent.
"""

from __future__ import annotations

import re
from typing import Any, Final

NAMES: Final = frozenset(
    {
        *("authorization", "token", "secret", "password", "api_key", "apikey", "signature", "cookie", "set-cookie", "key_secret"),
        *("number", "card_number", "pan", "cvc", "cvv", "expiry", "iban", "email", "phone", "shopper", "holder_name", "billing_details"),
        *("first_name", "last_name", "address", "ip", "ip_address"),
    }
)
STRUCK: Final = "[struck out]"
_DIGITS: Final = re.compile(r"(?<![\w-])(?:\d[ -]?){12,18}\d(?![\w-])")
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+\S+")


def redacted(value: Any, struck: set[str] | None = None) -> Any:
    """The same data without what may not leave; names that were struck out are added to `struck`."""
    gone = struck if struck is not None else set()
    if isinstance(value, dict):
        return {key: _field(str(key), one, gone) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(one, gone) for one in value]
    return _text(value, gone) if isinstance(value, str) else value


def _field(name: str, value: Any, struck: set[str]) -> Any:
    if name.lower() in NAMES and value not in (None, "", [], {}) and not isinstance(value, bool):
        struck.add(name)
        return STRUCK
    return redacted(value, struck)


def _text(text: str, struck: set[str]) -> str:
    found = _BEARER.sub(rf"\1 {STRUCK}", text)
    found = _DIGITS.sub(lambda match: STRUCK if _card_like(match[0]) else match[0], found)
    if found != text:
        struck.add("(in a text)")
    return found


def _card_like(text: str) -> bool:
    """By the check digit that every card number has (ISO/IEC 7812)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [digit if at % 2 == 0 else (digit * 2 - 9 if digit > 4 else digit * 2) for at, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0
