"""Adyen's own scale for each currency: ISO minor units to and from the integers on Adyen's wire, exactly or not at all.

Source: docs.adyen.com/development-resources/currency-codes, and `currency-decimals.js` of Adyen's own web components. They differ from ISO
4217: CLP and ISK have two decimals here, CVE and IDR none. Only integers: no amount here is ever a float.

Not here: ISO 4217's exponents (`payorch.domain.money`), or the decimal amounts in settlement reports, which have yet another scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.contract import NotSupported
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money

_TWO_DECIMAL: Final = (
    "AED ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CHF CLP CNY COP CRC CZK DKK DOP DZD EGP ETB EUR FJD "
    "FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF ILS INR ISK JMD KES KGS KHR KYD KZT LAK LBP LKR MAD MDL MKD MMK MNT MOP MRU MUR MVR "
    "MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SOS SRD STN SVC SZL THB TOP "
    "TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW"
)
_ZERO_DECIMAL: Final = "CVE DJF GNF IDR JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DECIMAL: Final = "BHD IQD JOD KWD LYD OMR TND"

DECIMALS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(_TWO_DECIMAL.split(), 2),
        **dict.fromkeys(_ZERO_DECIMAL.split(), 0),
        **dict.fromkeys(_THREE_DECIMAL.split(), 3),
    }
)
"""Currency code -> decimal places between the major unit and the wire. One that is not here is not taken: a guessed exponent would charge
a hundred times too much. BIF and MGA are left out for that reason: Adyen's page does not have them, and its code would take them for two.
"""


def to_wire(money: Money) -> int:
    """That amount as Adyen's integer. Raises NotSupported where Adyen has no exact way to say it, or it is not above zero."""
    if money.currency not in DECIMALS:
        raise NotSupported(f"no scale is known for {money.currency}")
    up, down = _shift(money.currency)
    amount, rest = divmod(money.minor * up, down)
    if rest:
        raise NotSupported(f"{money.currency} cannot be charged in steps this small")
    if not 0 < money.minor <= LARGEST_MINOR:
        raise NotSupported("an amount lies above zero and below what any payment can be")
    return amount


def from_wire(value: object, currency: object) -> Money | None:
    """What Adyen's integer and upper-case currency code mean; None for anything that is not exactly an amount of ours.

    Takes whatever stood in the JSON (a float, a string, a huge or negative number, a missing field) and never raises.
    """
    # `type is`, because JSON's true is a bool and bool is an int.
    if type(value) is not int or not isinstance(currency, str) or currency not in DECIMALS:
        return None
    # Far above what any account can hold; keeps what is stored inside a database bigint.
    if not 0 <= value <= 100 * LARGEST_MINOR:
        return None
    up, down = _shift(currency)
    minor, rest = divmod(value * down, up)
    return None if rest else Money(minor, currency)


def _shift(currency: str) -> tuple[int, int]:
    """What an amount in ISO minor units is multiplied and divided by to become Adyen's; one of the two is 1."""
    places = DECIMALS[currency] - EXPONENTS[currency]
    return int(10 ** max(places, 0)), int(10 ** max(-places, 0))
