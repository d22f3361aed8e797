"""A JSON body as PayPal reads it: strict, typed access with PayPal's complaints. Fields that are not known are passed over, as PayPal does.

Not here: which fields an endpoint takes (the endpoints), what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final, final

from msgspec.json import decode

from connectors.paypal import dialect_money
from connectors.paypal.dialect_errors import Refused, missing, wrong

_ANY: Final = re.compile(r".*", re.DOTALL)


@final
class Body:
    """One object of a body. Every getter raises Refused with PayPal's issue and the JSON pointer of the field; what is absent is None."""

    def __init__(self, value: dict[str, Any], *, at: str = "") -> None:
        self._value = value
        self._at = at

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def is_same(self, value: object) -> bool:
        """Whether it is that object, however it was written."""
        return self._value == value

    def field(self, name: str) -> str:
        """Where that field stands."""
        return f"{self._at}/{name}"

    def text(self, name: str, *, longest: int, required: bool = False, pattern: re.Pattern[str] = _ANY) -> str | None:
        """A string of 1 to `longest` characters."""
        value = self._value.get(name)
        if value is None:
            if required:
                raise missing(self.field(name))
            return None
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise wrong(self.field(name), value, issue="INVALID_PARAMETER_SYNTAX")
        if not 0 < len(value) <= longest:
            raise wrong(self.field(name), value, issue="INVALID_STRING_LENGTH")
        return value

    def choice(self, name: str, options: Collection[str], *, required: bool = False) -> str | None:
        """One of a fixed set of words."""
        value = self.text(name, longest=255, required=required)
        if value is not None and value not in options:
            raise wrong(self.field(name), value)
        return value

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.field(name), issue="INVALID_PARAMETER_SYNTAX")
        return value

    def child(self, name: str) -> Body | None:
        """A nested object."""
        value = self._value.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong(self.field(name), issue="INVALID_PARAMETER_SYNTAX")
        return Body(value, at=self.field(name))

    def children(self, name: str) -> list[Body]:
        """An array of objects, empty when absent."""
        value = self._value.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise wrong(self.field(name), issue="INVALID_PARAMETER_SYNTAX")
        return [Body(one, at=f"{self.field(name)}/{place}") for place, one in enumerate(value)]

    def amount(self, name: str, *, required: bool = False) -> tuple[int, str] | None:
        """Money: ISO minor units and the currency."""
        if name not in self and not required:
            return None
        return dialect_money.read(self._value.get(name), self.field(name))


def body_of(data: bytes) -> Body:
    """The body of a request; an empty one is an empty object. Raises Refused."""
    if not data:
        return Body({})
    try:
        value = decode(data)
    except (ValueError, RecursionError) as problem:
        raise Refused(400, "MALFORMED_REQUEST_JSON") from problem
    if not isinstance(value, dict):
        raise Refused(400, "MALFORMED_REQUEST_JSON")
    return Body(value)
