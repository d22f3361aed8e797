"""PayPal's decimals: exact both ways for every currency, or not at all; and the two halves of this house agree about them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import NotSupported
from connectors.paypal import dialect_money
from connectors.paypal.dialect_errors import Refused
from connectors.paypal.manifest import CURRENCIES
from connectors.paypal.money import DECIMALS, from_wire, to_wire
from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money

ANY_CURRENCY = st.sampled_from(sorted(CURRENCIES))


@pytest.mark.parametrize(
    ("money", "value"),
    [
        (Money(1999, "EUR"), "19.99"),
        (Money(5, "USD"), "0.05"),
        (Money(100, "JPY"), "100"),
        (Money(150000, "HUF"), "1500"),
        (Money(30000, "TWD"), "300"),
        (Money(LARGEST_MINOR, "GBP"), "10000000000.00"),
    ],
)
def test_amounts_as_paypal_writes_them(money: Money, value: str) -> None:
    assert to_wire(money) == {"currency_code": money.currency, "value": value}
    assert from_wire(to_wire(money)) == money


@pytest.mark.parametrize(
    ("money", "words"),
    [
        (Money(150050, "HUF"), "steps this small"),
        (Money(1, "TWD"), "steps this small"),
        (Money(0, "EUR"), "above zero"),
        (Money(-5, "EUR"), "above zero"),
        (Money(1000, "KWD"), "not one of the currencies"),
        (Money(1000, "KRW"), "not one of the currencies"),
    ],
)
def test_what_paypal_cannot_charge_is_not_sent(money: Money, words: str) -> None:
    with pytest.raises(NotSupported, match=words):
        to_wire(money)


@given(ANY_CURRENCY, st.integers(1, LARGEST_MINOR))
def test_every_amount_is_exact_or_refused(currency: str, minor: int) -> None:
    try:
        wire = to_wire(Money(minor, currency))
    except NotSupported:
        assert DECIMALS[currency] < EXPONENTS[currency]
        assert minor % 10 ** (EXPONENTS[currency] - DECIMALS[currency])
        return
    assert Decimal(wire["value"]) == Money(minor, currency).major()
    assert from_wire(wire) == Money(minor, currency)
    assert dialect_money.read(wire, "/amount") == (minor, currency)
    assert dialect_money.shown(minor, currency) == wire


@pytest.mark.parametrize(
    "value", ["19.999", "-1.00", "1e3", "", " 1", "1.", ".5", "\u0661", "0x10", "nan", "1" * 40, 19.99, 1999, None, True, ["1"]]
)
def test_what_is_no_amount_is_none(value: object) -> None:
    assert from_wire({"currency_code": "EUR", "value": value}) is None


@pytest.mark.parametrize(
    "shown", [None, 5, "19.99", [], {}, {"value": "1.00"}, {"currency_code": "eur", "value": "1.00"}, {"currency_code": 5, "value": "1.00"}]
)
def test_what_is_no_amount_object_is_none(shown: object) -> None:
    assert from_wire(shown) is None


def test_an_answer_may_write_whole_amounts_with_decimals() -> None:
    assert from_wire({"currency_code": "JPY", "value": "100.00"}) == Money(100, "JPY")
    assert from_wire({"currency_code": "JPY", "value": "100.50"}) is None
    assert from_wire({"currency_code": "EUR", "value": "100"}) == Money(10000, "EUR")


@given(st.one_of(st.text(), st.dictionaries(st.sampled_from(["currency_code", "value"]), st.one_of(st.text(), st.integers(), st.none()))))
def test_nothing_makes_it_raise(shown: object) -> None:
    read = from_wire(shown)
    assert read is None or read.minor >= 0


@pytest.mark.parametrize(
    ("wire", "issue"),
    [
        ({"currency_code": "JPY", "value": "100.00"}, "DECIMALS_NOT_SUPPORTED"),
        ({"currency_code": "EUR", "value": "1.005"}, "DECIMAL_PRECISION"),
        ({"currency_code": "EUR", "value": "0.00"}, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ({"currency_code": "EUR", "value": "-1.00"}, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ({"currency_code": "KWD", "value": "1.00"}, "INVALID_CURRENCY_CODE"),
        ({"currency_code": "EUR", "value": "."}, "INVALID_PARAMETER_SYNTAX"),
        ({"currency_code": "EUR", "value": "1" * 16}, "MAX_VALUE_EXCEEDED"),
        ({"currency_code": "EUR"}, "MISSING_REQUIRED_PARAMETER"),
    ],
)
def test_the_simulator_refuses_what_paypal_refuses(wire: dict[str, str], issue: str) -> None:
    with pytest.raises(Refused) as refused:
        dialect_money.read(wire, "/amount")
    assert refused.value.issue == issue
