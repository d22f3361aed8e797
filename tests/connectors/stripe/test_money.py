"""Stripe's scales: exact both ways, loud where an amount cannot be said, and deaf to what is no amount."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import NotSupported
from connectors.stripe.manifest import CURRENCIES, MANIFEST
from connectors.stripe.money import MINIMUM_MINOR, SCALES, from_wire, maximum_minor, to_wire
from payorch.domain.money import EXPONENTS, Money

# Copied by hand from docs.stripe.com/currencies, apart from the tables in the module: (ISO minor units, currency, on the wire).
PUBLISHED = [
    (1000, "USD", 1000),  # 10 USD
    (500, "JPY", 500),  # 500 JPY, zero-decimal
    (5, "ISK", 500),  # 5 ISK: two decimals, always 00
    (5, "UGX", 500),  # 5 UGX: the same
    (5120, "KWD", 5120),  # 5.120 KWD: three decimals, the last one 0
    (1045, "HUF", 1045),  # charged with two decimals
    (80045, "TWD", 80045),
    (999_999_999_999, "IDR", 999_999_999_999),  # twelve digits
    (99_999_999, "USD", 99_999_999),  # eight digits
    (500, "MGA", 5),  # 5.00 ariary by ISO 4217, zero-decimal at Stripe
]


@pytest.mark.parametrize(("minor", "currency", "wire"), PUBLISHED)
def test_published_examples_both_ways(minor: int, currency: str, wire: int) -> None:
    assert to_wire(Money(minor, currency)) == wire
    assert from_wire(wire, currency.lower()) == Money(minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency"),
    [
        (5124, "KWD"),  # the last digit is not 0
        (501, "MGA"),  # a fraction of an ariary
        (100_000_000, "USD"),  # nine digits
        (1_000_000, "ISK"),  # eight digits and the two zeros
        (0, "EUR"),
        (-1, "EUR"),
        (100, "IQD"),  # not taken at all
        (100, "UYW"),
    ],
)
def test_what_stripe_cannot_say_is_not_supported(minor: int, currency: str) -> None:
    with pytest.raises(NotSupported):
        to_wire(Money(minor, currency))


@given(st.sampled_from(sorted(SCALES)), st.integers(min_value=1, max_value=10**12))
def test_whatever_is_sent_is_read_back_and_worth_the_same(currency: str, minor: int) -> None:
    money = Money(minor, currency)
    try:
        wire = to_wire(money)
    except NotSupported:
        return
    scale = SCALES[currency]
    assert from_wire(wire, currency.lower()) == money
    assert Decimal(wire).scaleb(-scale.decimals) == money.major()
    assert wire % scale.multiple == 0
    assert minor <= maximum_minor(currency)


@given(st.sampled_from(sorted(SCALES)))
def test_the_maximum_can_be_sent_and_one_more_cannot(currency: str) -> None:
    largest = maximum_minor(currency)
    step = max(1, SCALES[currency].multiple // 10 ** max(0, SCALES[currency].decimals - EXPONENTS[currency]))
    assert to_wire(Money(largest, currency)) > 0
    with pytest.raises(NotSupported):
        to_wire(Money(largest + max(step, 10 ** max(0, EXPONENTS[currency] - SCALES[currency].decimals)), currency))


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (True, "eur"),
        (1.0, "eur"),
        ("100", "eur"),
        (None, "eur"),
        (float("nan"), "eur"),
        (10**400, "eur"),
        (-1, "eur"),
        (100, "EUR"),  # Stripe writes them in lower case; anything else is not Stripe
        (100, "xts"),
        (100, "zzz"),
        (100, None),
        (100, 7),
        (550, "isk"),  # a fraction of a krona
    ],
)
def test_what_is_no_amount_reads_as_none(amount: object, currency: object) -> None:
    assert from_wire(amount, currency) is None


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans()), st.one_of(st.text(), st.none(), st.integers()))
def test_reading_an_amount_never_raises(amount: object, currency: object) -> None:
    from_wire(amount, currency)


def test_the_tables_name_only_real_currencies() -> None:
    assert set(SCALES) <= set(EXPONENTS)
    assert set(MINIMUM_MINOR) <= set(SCALES)
    assert "UGX" in SCALES
    assert "UGX" not in CURRENCIES
    card = MANIFEST.methods["card"]
    assert all(card.minimum_minor.get(one, 1) < card.maximum_minor[one] for one in CURRENCIES)
    assert all(to_wire(Money(minor, one)) for one, minor in MINIMUM_MINOR.items())
