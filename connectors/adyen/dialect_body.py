"""The JSON body of a request, read with Adyen's complaints about what is wrong in it."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from connectors.adyen import dialect_money
from connectors.adyen.dialect_errors import Refused, invalid, unreadable, wrong_account

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_-]{1,80}ECOM")
"""The merchant accounts that a simulated key is good for. Adyen's own for the web usually end like this."""
LONGEST_REFERENCE: Final = 80


class Body:
    """The fields of a message. `known`: those that this call takes; anything else is refused, as Adyen does it."""

    def __init__(self, body: bytes, known: frozenset[str]) -> None:
        try:
            fields = msgspec.json.decode(body)
        except (ValueError, RecursionError) as problem:
            raise unreadable("Unexpected input: no JSON") from problem
        if not isinstance(fields, dict):
            raise unreadable("Unexpected input: [, expected: {")
        for name in fields:
            if name not in known:
                raise unreadable(f"Structure of the request contains the following unknown fields: [{name[:60]}]")
        self.fields: dict[str, Any] = fields

    def table(self, name: str) -> dict[str, Any]:
        """The object of that name, or an empty one."""
        value = self.fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise unreadable(f"Unexpected input for {name}: expected {{")
        return value

    def text(self, name: str, *, longest: int = 1000) -> str | None:
        """The text of that name, or None."""
        value = self.fields.get(name)
        if value is not None and (not isinstance(value, str) or len(value) > longest):
            raise unreadable(f"Unexpected input for {name}: expected a text")
        return value or None

    def account(self) -> str:
        """The merchant account, one that the key is good for."""
        value = self.text("merchantAccount")
        if value is None:
            raise invalid("901", "Invalid Merchant Account")
        if not _ACCOUNT.fullmatch(value):
            raise wrong_account()
        return value

    def reference(self, *, required: bool = False) -> str | None:
        """The merchant's own reference."""
        value = self.text("reference", longest=LONGEST_REFERENCE)
        if value is None and required:
            raise invalid("130", "Reference Missing")
        return value

    def amount(self) -> tuple[int, str]:
        """The amount in ISO minor units and its currency."""
        given = self.table("amount")
        value, currency = given.get("value"), given.get("currency")
        if not given:
            raise invalid("100", "No amount specified")
        if not isinstance(currency, str) or not dialect_money.supported(currency):
            raise invalid("138", "Unsupported currency specified")
        if type(value) is not int or value < 1:
            raise invalid("137", "Invalid amount specified")
        try:
            return dialect_money.to_iso(value, currency), currency
        except ValueError as problem:
            raise invalid("137", "Invalid amount specified") from problem


__all__ = ["LONGEST_REFERENCE", "Body", "Refused"]
