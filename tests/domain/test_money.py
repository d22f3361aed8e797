"""Money is a whole number of minor units of one currency, and arithmetic that makes no sense is an error."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.domain.money import EXPONENTS, LARGEST_MINOR, Money, MoneyError, chargeable, zero

CODES = st.sampled_from(sorted(EXPONENTS))
MINORS = st.integers(-(10**13), 10**13)
MONEY = st.builds(Money, MINORS, CODES)
quick = settings(max_examples=60, deadline=None)


@pytest.mark.parametrize(("code", "exponent"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLP", 0), ("CLF", 4), ("ISK", 0), ("USD", 2)])
def test_exponents_are_those_of_iso_4217(code: str, exponent: int) -> None:
    assert EXPONENTS[code] == exponent
    assert Money(1, code).exponent == exponent


@pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "eur", "", "EURO", "ABC"])
def test_what_has_no_minor_units_or_does_not_exist_is_no_money(code: str) -> None:
    with pytest.raises(MoneyError):
        Money(1, code)


@pytest.mark.parametrize("minor", [1.0, True, False, "1", None, Decimal(1)])
def test_floats_booleans_and_words_are_no_amounts(minor: object) -> None:
    with pytest.raises(MoneyError):
        Money(minor, "EUR")  # type: ignore[arg-type]


@given(a=MINORS, b=MINORS, code=CODES)
@quick
def test_sums_and_differences_are_those_of_the_integers(a: int, b: int, code: str) -> None:
    first, second = Money(a, code), Money(b, code)
    assert first + second == Money(a + b, code)
    assert first - second == Money(a - b, code)
    assert first + second - second == first
    assert first + zero(code) == first
    assert (first < second, first <= second, first > second, first >= second) == (a < b, a <= b, a > b, a >= b)


@given(money=MONEY, other=CODES)
@quick
def test_two_currencies_do_not_mix(money: Money, other: str) -> None:
    if other == money.currency:
        return
    operations: list[Callable[[Money, Money], object]] = [
        operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge,
    ]  # fmt: skip
    for operation in operations:
        with pytest.raises(MoneyError):
            operation(money, Money(1, other))
    assert money != Money(money.minor, other)


def test_money_is_neither_true_nor_false() -> None:
    with pytest.raises(MoneyError):
        bool(Money(1, "EUR"))


@given(money=MONEY)
@quick
def test_the_major_amount_is_exact(money: Money) -> None:
    assert money.major() * 10**money.exponent == money.minor


@given(money=MONEY)
@quick
def test_money_survives_storage(money: Money) -> None:
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money


@pytest.mark.parametrize("body", ['{"minor":1.5,"currency":"EUR"}', '{"minor":1,"currency":"XXX"}', '{"minor":true,"currency":"EUR"}'])
def test_stored_nonsense_is_not_money(body: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=Money)


@pytest.mark.parametrize("minor", [0, -1, LARGEST_MINOR + 1])
def test_an_amount_to_charge_has_bounds(minor: int) -> None:
    with pytest.raises(MoneyError):
        chargeable(minor, "EUR")


def test_the_bounds_themselves_can_be_charged() -> None:
    assert chargeable(1, "JPY") == Money(1, "JPY")
    assert chargeable(LARGEST_MINOR, "EUR").minor == LARGEST_MINOR


def test_sums_of_a_million_largest_amounts_fit_into_a_bigint() -> None:
    assert LARGEST_MINOR * 10**6 < 2**63
