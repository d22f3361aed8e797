"""Adyen's side of money: which currencies it takes, in what units.

Deliberately apart from the connector's table: the simulator is the second opinion that catches a wrong exponent there.
Source: `currency-decimals.js` of Adyen's web components, which lists every currency that has not two decimals.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from payorch.domain.money import EXPONENTS

_NONE: Final = "IDR JPY KRW VND BYR CVE DJF GHC GNF KMF PYG RWF UGX VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD OMR LYD TND"
_NOT_TWO: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(_NONE.split(), 0),
        "MRO": 1,
        **dict.fromkeys(_THREE.split(), 3),
    }
)
_NOT_TAKEN: Final = frozenset({"BIF", "MGA", "XDR", "XXX", "XTS"})


def supported(currency: str) -> bool:
    """Whether Adyen takes that currency and ISO 4217 still knows it."""
    return currency in EXPONENTS and currency not in _NOT_TAKEN


def decimals(currency: str) -> int:
    """Decimal places between the major unit and the wire."""
    return _NOT_TWO.get(currency, 2)


def to_iso(value: int, currency: str) -> int:
    """Wire units to ISO 4217 minor units. Raises ValueError where there is no whole number of them."""
    shift = EXPONENTS[currency] - decimals(currency)
    if shift >= 0:
        return value * int(10**shift)
    whole, rest = divmod(value, int(10**-shift))
    if rest:
        raise ValueError(f"{value} {currency} is not a whole number of ISO minor units")
    return whole


def to_wire(minor: int, currency: str) -> int:
    """ISO 4217 minor units back to wire units."""
    shift = decimals(currency) - EXPONENTS[currency]
    return minor * int(10**shift) if shift >= 0 else minor // int(10**-shift)


def shown(minor: int, currency: str) -> str:
    """An amount in ISO minor units as the shopper's page shows it."""
    places = EXPONENTS[currency]
    major = f"{minor}" if not places else f"{minor // 10**places}.{minor % 10**places:0{places}d}"
    return f"{major} {currency}"
