"""PayPal's side of money: which currencies it takes, how an amount has to be written, what it says where it is not.

Deliberately apart from the connector's table: the simulator is the second opinion that catches a wrong exponent there.
Source: PayPal's currencies page; HUF, JPY and TWD have no decimals.
"""

from __future__ import annotations

import re
from typing import Any, Final

from connectors.paypal.dialect_errors import impossible, missing, wrong
from payorch.domain.money import EXPONENTS

_WITH_CENTS: Final = frozenset(
    "USD EUR GBP AUD BRL CAD CHF CNY CZK DKK HKD ILS MXN MYR NOK NZD PHP PLN SEK SGD THB".split()  # noqa: SIM905
)
_WHOLE: Final = frozenset({"HUF", "JPY", "TWD"})
_VALUE: Final = re.compile(r"(-?)([0-9]*)(?:\.([0-9]+))?", re.ASCII)
_LONGEST_VALUE: Final = 32
_MOST_DIGITS: Final = 15


def read(value: object, field: str) -> tuple[int, str]:
    """An amount object as ISO minor units and its currency. Raises Refused with PayPal's issue."""
    if not isinstance(value, dict):
        raise missing(field)
    currency, text = value.get("currency_code"), value.get("value")
    if currency is None or text is None:
        raise missing(f"{field}/{'value' if text is None else 'currency_code'}")
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_VALUE:
        raise wrong(f"{field}/value", issue="INVALID_PARAMETER_SYNTAX")
    match = _VALUE.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        raise wrong(f"{field}/value", text, issue="INVALID_PARAMETER_SYNTAX")
    if not isinstance(currency, str) or currency not in _WITH_CENTS | _WHOLE:
        raise impossible("INVALID_CURRENCY_CODE", field=f"{field}/currency_code", value=currency)
    sign, whole, part = match[1], match[2] or "0", match[3] or ""
    if currency in _WHOLE and part:
        raise impossible("DECIMALS_NOT_SUPPORTED", field=f"{field}/value", value=text)
    if len(part) > 2:
        raise impossible("DECIMAL_PRECISION", field=f"{field}/value", value=text)
    if len(whole) > _MOST_DIGITS:
        raise impossible("MAX_VALUE_EXCEEDED", field=f"{field}/value", value=text)
    hundredths = int(whole) * 100 + int(part.ljust(2, "0") or "0")
    if sign or not hundredths:
        raise impossible("CANNOT_BE_ZERO_OR_NEGATIVE", field=f"{field}/value", value=text)
    return (hundredths if EXPONENTS[currency] == 2 else hundredths // 100), currency


def shown(minor: int, currency: str) -> dict[str, Any]:
    """ISO minor units as PayPal's amount object."""
    hundredths = minor if EXPONENTS[currency] == 2 else minor * 100
    whole, part = divmod(hundredths, 100)
    return {"currency_code": currency, "value": f"{whole}" if currency in _WHOLE else f"{whole}.{part:02d}"}
