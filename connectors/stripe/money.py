"""Stripe's own scale for each currency: ISO minor units to and from the integers on Stripe's wire, exactly or not at all.

Source: https://docs.stripe.com/currencies ("Zero-decimal currencies", "Three-decimal currencies", "Special cases", "Minimum and maximum
charge amounts"). Only integers: no amount here is ever a float.

Not here: ISO 4217's exponents (`payorch.domain.money`), or the decimal amounts in settlement reports, which have yet another scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.contract import NotSupported
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How Stripe writes one currency: decimal places between the major unit and the wire, and what an amount must be a multiple of."""

    decimals: int
    multiple: int = 1
    digits: int = 8

    @property
    def largest(self) -> int:
        """The largest integer that Stripe takes, in its own units."""
        return int(10**self.digits) - 1


_ZERO: Final = Scale(decimals=0)
_TWO: Final = Scale(decimals=2)
_THREE: Final = Scale(decimals=3, multiple=10)  # the last digit must be 0: Stripe's partners know only two decimals
_PADDED: Final = Scale(decimals=2, multiple=100)  # once two-decimal, now zero-decimal, still sent with two: 5 ISK is 500
_WIDE: Final = Scale(decimals=2, digits=12)

_TWO_DECIMAL: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB "
    "EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR "
    "MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS "
    "TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW"
)
_ZERO_DECIMAL: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL: Final = "BHD JOD KWD OMR TND"

SCALES: Final[Mapping[str, Scale]] = MappingProxyType(
    {
        **dict.fromkeys(_TWO_DECIMAL.split(), _TWO),
        **dict.fromkeys(_ZERO_DECIMAL.split(), _ZERO),
        **dict.fromkeys(_THREE_DECIMAL.split(), _THREE),
        # Stripe's page has UGX among the zero-decimal currencies too; its special case is later and more exact, so it governs.
        **dict.fromkeys(("ISK", "UGX"), _PADDED),
        "IDR": _WIDE,
    }
)
"""Currency code -> scale. A currency that is not here is not taken: a guessed exponent would charge a hundred times too much."""


def _shift(scale: Scale, currency: str) -> tuple[int, int]:
    """What an amount in ISO minor units is multiplied and divided by to become Stripe's; one of the two is 1."""
    places = scale.decimals - EXPONENTS[currency]
    return int(10 ** max(places, 0)), int(10 ** max(-places, 0))


_SHIFTS: Final = {currency: _shift(scale, currency) for currency, scale in SCALES.items()}

MINIMUM_MINOR: Final[Mapping[str, int]] = MappingProxyType(
    {
        "AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500,
        "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000,
        "USD": 50,
    }
)  # fmt: skip
"""Smallest charge in ISO minor units, where it settles in its own currency. With a conversion Stripe's answer decides, not this table."""


def maximum_minor(currency: str) -> int:
    """The largest charge in ISO minor units that Stripe's number of digits can express. KeyError for a currency not taken."""
    scale = SCALES[currency]
    up, down = _SHIFTS[currency]
    return (scale.largest - scale.largest % scale.multiple) * down // up


def to_wire(money: Money) -> int:
    """That amount as Stripe's integer. Raises NotSupported where Stripe has no exact way to say it, or it is not above zero."""
    scale = SCALES.get(money.currency)
    if scale is None:
        raise NotSupported(f"no scale is known for {money.currency}")
    up, down = _SHIFTS[money.currency]
    amount, rest = divmod(money.minor * up, down)
    if rest or amount % scale.multiple:
        raise NotSupported(f"{money.currency} cannot be charged in steps this small")
    if not 0 < amount <= scale.largest:
        raise NotSupported(f"an amount of {money.currency} has at most {scale.digits} digits and lies above zero")
    return amount


def from_wire(amount: object, currency: object) -> Money | None:
    """What Stripe's integer and lower-case currency code mean; None for anything that is not exactly an amount of ours.

    Takes whatever stood in the JSON (a float, a string, a huge or negative number, a missing field) and never raises.
    """
    # `type is`, because JSON's true is a bool and bool is an int.
    if type(amount) is not int or not isinstance(currency, str) or not currency.islower():
        return None
    code = currency.upper()
    scale = SCALES.get(code)
    # Far above what any account can hold; keeps what is stored inside a database bigint.
    if scale is None or not 0 <= amount <= 100 * LARGEST_MINOR:
        return None
    up, down = _SHIFTS[code]
    minor, rest = divmod(amount * down, up)
    return None if rest else Money(minor, code)
