"""Stripe's side of money: which currencies it takes, in what units, between which bounds.

Deliberately apart from the connector's table: the simulator is the second opinion that catches a wrong exponent there.
Source: docs.stripe.com/currencies. ISK and UGX are written with two decimals that must be 00; three-decimal amounts end in 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from payorch.domain.money import EXPONENTS

_ZERO_DECIMAL: Final = frozenset(["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"])
_THREE_DECIMAL: Final = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_STEP: Final[Mapping[str, int]] = MappingProxyType({"isk": 100, "ugx": 100, **dict.fromkeys(_THREE_DECIMAL, 10)})
_LISTED: Final = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc
    cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr
    kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen
    pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs
    vnd vuv wst xaf xcd xcg xof xpf yer zar zmw
"""
_SUPPORTED: Final = frozenset(_LISTED.split())
_MINIMUM: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(["usd", "aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd"], 50),
        "aed": 200,
        "bgn": 100,
        "czk": 1500,
        "dkk": 250,
        "gbp": 30,
        "hkd": 400,
        "huf": 17500,
        "jpy": 50,
        "mxn": 1000,
        "myr": 200,
        "nok": 300,
        "pln": 200,
        "ron": 200,
        "sek": 300,
        "thb": 1000,
    }
)
_MAXIMUM_DIGITS: Final[Mapping[str, int]] = MappingProxyType({"cop": 10, "huf": 10, "idr": 12, "inr": 9, "jpy": 10, "lbp": 12})


def supported(currency: str) -> bool:
    """Whether Stripe takes that (lower-case) currency and ISO 4217 still knows it."""
    return currency in _SUPPORTED and currency.upper() in EXPONENTS


def minimum(currency: str) -> int:
    """The smallest charge, in wire units."""
    return _MINIMUM.get(currency, 1)


def maximum(currency: str) -> int:
    """The largest charge, in wire units."""
    return int(10 ** _MAXIMUM_DIGITS.get(currency, 8)) - 1


def step(currency: str) -> int:
    """What a wire amount must be a multiple of."""
    return _STEP.get(currency, 1)


def decimals(currency: str) -> int:
    """Decimal places between the major unit and the wire."""
    return 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2


def to_iso(amount: int, currency: str) -> int:
    """Wire units to ISO 4217 minor units. Exact for every amount that is a multiple of `step`; raises ValueError otherwise."""
    shift = EXPONENTS[currency.upper()] - decimals(currency)
    if shift >= 0:
        return amount * int(10**shift)
    whole, rest = divmod(amount, int(10**-shift))
    if rest:
        raise ValueError(f"{amount} {currency} is not a whole number of ISO minor units")
    return whole


def to_wire(minor: int, currency: str) -> int:
    """ISO 4217 minor units back to wire units."""
    shift = decimals(currency) - EXPONENTS[currency.upper()]
    return minor * int(10**shift) if shift >= 0 else minor // int(10**-shift)


def shown(amount: int, currency: str) -> str:
    """A wire amount as Stripe's messages show it."""
    places = decimals(currency)
    major = f"{amount}" if not places else f"{amount // 10**places}.{amount % 10**places:0{places}d}"
    sign = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, "")
    return f"{sign}{major}" if sign else f"{major} {currency}"
