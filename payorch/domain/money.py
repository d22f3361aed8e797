"""Money: a whole number of minor units of one ISO 4217 currency.

The only type for amounts in payorch. Not here: formatting for people (`tui`), and the scales that single PSPs use on the wire, which
differ from ISO 4217 and belong to each connector.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import iso4217
from msgspec import Struct

LARGEST_MINOR: Final = 10**12
"""No single amount is larger. Far above any real payment and far below 2**63, so that sums of many stay inside a database bigint."""

EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
)
"""Currency code -> decimal places, from the ISO 4217 table. Codes without minor units (metals, tests, funds' XXX) are not money here."""


class MoneyError(ValueError):
    """An amount or currency that cannot be money, or arithmetic between two currencies."""


class Money(Struct, frozen=True, gc=False):
    """`minor` minor units of `currency`: Money(1999, "EUR") is 19.99 euro. Zero and negative values are allowed (differences)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        # `type is`, because True is an int and 1.0 == 1: both have turned into charges elsewhere.
        if type(self.minor) is not int:
            raise MoneyError(f"an amount is a whole number of minor units, not {type(self.minor).__name__}")
        if self.currency not in EXPONENTS:
            raise MoneyError("unknown ISO 4217 currency code")

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other)

    def __bool__(self) -> bool:
        raise MoneyError("ask for `.minor`: whether money is true has no one meaning")

    @property
    def exponent(self) -> int:
        """Decimal places between the minor and the major unit."""
        return EXPONENTS[self.currency]

    def major(self) -> Decimal:
        """The exact amount in major units."""
        return Decimal(self.minor).scaleb(-self.exponent)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise MoneyError(f"{self.currency} and {other.currency} cannot be added or compared")
        return other.minor


def zero(currency: str) -> Money:
    """Nothing, in that currency."""
    return Money(0, currency)


def chargeable(minor: int, currency: str) -> Money:
    """An amount that a payment may ask for: 0 < minor <= LARGEST_MINOR. Raises MoneyError with what is wrong."""
    money = Money(minor, currency)
    if not 0 < minor <= LARGEST_MINOR:
        raise MoneyError(f"an amount lies between 1 and {LARGEST_MINOR} minor units")
    return money
