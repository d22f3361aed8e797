"""PayPal's own way to write amounts: decimal strings with its own number of decimals, to and from ISO minor units, exactly or not at all.

Source: PayPal's currencies page and the `money` schema of its OpenAPI documents. Through Decimal and integers: no amount here is ever a
float.

Not here: ISO 4217's exponents (`payorch.domain.money`), or the integers in settlement reports, which have yet another scale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from connectors.contract import NotSupported
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money

_TWO_DECIMALS: Final = "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD ILS MXN MYR NOK NZD PHP PLN SEK SGD THB USD"
# Of these, ISO 4217 has two decimals for HUF and TWD. PayPal refuses any decimal place, also ".00" (DECIMALS_NOT_SUPPORTED).
_NO_DECIMALS: Final = "HUF JPY TWD"

DECIMALS: Final[Mapping[str, int]] = MappingProxyType({**dict.fromkeys(_TWO_DECIMALS.split(), 2), **dict.fromkeys(_NO_DECIMALS.split(), 0)})
"""Currency code -> decimal places on the wire. A currency that is not here is not taken: a guess would charge a hundred times too much."""

_VALUE: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,3})?", re.ASCII)
"""What PayPal writes as an amount that is not below zero; its schema also allows what it never sends (`.5`, a sign)."""


def to_wire(money: Money) -> dict[str, str]:
    """That amount as PayPal's object. Raises NotSupported where PayPal has no exact way to say it, or it is not above zero."""
    places = DECIMALS.get(money.currency)
    if places is None:
        raise NotSupported(f"{money.currency} is not one of the currencies taken")
    if money.minor <= 0:
        raise NotSupported("an amount lies above zero")
    if money.minor % 10 ** (EXPONENTS[money.currency] - places):
        raise NotSupported(f"{money.currency} cannot be charged in steps this small")
    exact = Decimal(money.minor).scaleb(-EXPONENTS[money.currency])
    return {"currency_code": money.currency, "value": f"{exact:.{places}f}"}


def from_wire(shown: object) -> Money | None:
    """What PayPal's object means; None for anything that is not exactly an amount of ours.

    Takes whatever stood in the JSON (a number, a string, a huge or negative one, a missing field) and never raises.
    """
    if not isinstance(shown, dict):
        return None
    currency, value = shown.get("currency_code"), shown.get("value")
    if not isinstance(currency, str) or currency not in DECIMALS or not isinstance(value, str) or not _VALUE.fullmatch(value):
        return None
    minor = Decimal(value).scaleb(EXPONENTS[currency])
    # Far above what any account can hold; keeps what is stored inside a database bigint.
    if minor != minor.to_integral_value() or minor > 100 * LARGEST_MINOR:
        return None
    return Money(int(minor), currency)
