"""Adyen's scales: its own exceptions to ISO 4217, exactness, and a second opinion."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adyen import dialect_money
from connectors.adyen.manifest import CURRENCIES
from connectors.adyen.money import DECIMALS, from_wire, to_wire
from connectors.contract import NotSupported
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money

CODES = sorted(CURRENCIES)


@pytest.mark.parametrize(
    ("money", "wire"),
    [
        (Money(1999, "EUR"), 1999),
        (Money(5, "JPY"), 5),
        (Money(1234, "KWD"), 1234),
        (Money(5, "ISK"), 500),  # ISO has none, Adyen two
        (Money(7, "CLP"), 700),
        (Money(700, "IDR"), 7),  # ISO has two, Adyen none
        (Money(700, "CVE"), 7),
        (Money(7, "UGX"), 7),
        (Money(100, "HUF"), 100),
        (Money(100, "TWD"), 100),
    ],
)
def test_what_a_currency_becomes(money: Money, wire: int) -> None:
    assert to_wire(money) == wire
    assert from_wire(wire, money.currency) == money


@pytest.mark.parametrize("money", [Money(701, "IDR"), Money(1, "CVE"), Money(0, "EUR"), Money(-5, "EUR"), Money(5, "MGA"), Money(5, "BIF")])
def test_what_cannot_be_said_is_not(money: Money) -> None:
    with pytest.raises(NotSupported):
        to_wire(money)


@given(minor=st.integers(1, LARGEST_MINOR), currency=st.sampled_from(CODES))
def test_there_and_back(minor: int, currency: str) -> None:
    try:
        wire = to_wire(Money(minor, currency))
    except NotSupported:
        assert DECIMALS[currency] < EXPONENTS[currency]
        return
    assert from_wire(wire, currency) == Money(minor, currency)
    # The simulator's table was written apart from the connector's.
    assert dialect_money.to_iso(wire, currency) == minor
    assert dialect_money.to_wire(minor, currency) == wire


def test_the_simulator_takes_what_the_connector_offers() -> None:
    assert all(dialect_money.supported(currency) for currency in CODES)
    assert {currency: dialect_money.decimals(currency) for currency in CODES} == dict(DECIMALS)


@pytest.mark.parametrize(
    ("value", "currency"),
    [
        (19.99, "EUR"), ("1999", "EUR"), (True, "EUR"), (None, "EUR"), (-1, "EUR"), (10**30, "EUR"), (1999, "eur"), (1999, None),
        (1999, "XXX"), (1, "ISK"), (1999, ["EUR"]),
    ],
)  # fmt: skip
def test_what_is_no_amount(value: Any, currency: Any) -> None:
    assert from_wire(value, currency) is None
