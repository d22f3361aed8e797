"""Differences: what is missing at the PSP, and fees that are other than the cost model's, in the payment's currency or exchanged."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.differences import exchanged, expected_fee, fee_finding, fee_variance, missing_at_psp, said, signed
from payorch.domain.intent import CaptureMode, Intent
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.rules import Fee, Plan, RuleBook, Weights, When, asked
from payorch.domain.settlement import INWARD, OF_PAYMENTS, FindingKind, RowKind, SettlementRow
from tests.domain.test_matching import ACME, eur, line
from tests.domain.worlds import CARD, EUR_20, START

NOTHING = Weights(success=0, cost=0, latency=0, preference=0, exploration=0)
BOOK = RuleBook(
    default=(ACME,),
    weights=NOTHING,
    fees=(
        Fee(connector=ACME, when=When(currencies=("EUR",), methods=("card",)), fixed_minor=25, basis_points=150),
        Fee(connector=ACME, when=When(currencies=("JPY",)), basis_points=290),
    ),
)
PLAN = Plan(BOOK, zones={}, connectors=(ACME,))
ASKED = asked(Intent(amount=EUR_20, capture=CaptureMode.AUTOMATIC, method=CARD), merchant_id="mer_1", draw=0, at=START)


# --- fees -------------------------------------------------------------------------------------------------------------------------------


def test_the_model_is_asked_about_what_the_line_takes_and_not_about_the_whole_payment() -> None:
    assert expected_fee(PLAN, ACME, ASKED, line(gross=eur(2000))) == eur(55)
    assert expected_fee(PLAN, ACME, ASKED, line(gross=eur(500))) == eur(33)  # 25 and 7.5, rounded up
    assert expected_fee(PLAN, ACME, ASKED, line(gross=Money(1000, "JPY"))) == Money(29, "JPY")


@pytest.mark.parametrize("row", [line(kind=RowKind.REFUND, gross=eur(-2000)), line(gross=Money(2000, "USD")), line(gross=eur(-1))])
def test_where_the_model_does_not_say_nothing_is_said(row: SettlementRow) -> None:
    assert expected_fee(PLAN, ACME, ASKED, row) is None
    assert expected_fee(PLAN, "other", ASKED, line()) is None
    assert fee_finding(line(fee=eur(10_000)), None, 0) is None


@pytest.mark.parametrize(("fee", "found"), [(55, None), (57, None), (53, None), (58, 3), (52, -3), (-55, -110)])
def test_a_fee_beyond_the_tolerance_is_a_finding_in_either_direction(fee: int, found: int | None) -> None:
    finding = fee_finding(line(fee=eur(fee)), eur(55), 2)
    assert (None if finding is None else finding.difference) == (None if found is None else eur(found))
    if finding is not None:
        assert (finding.kind, finding.expected, finding.actual) == (FindingKind.FEE, eur(55), eur(fee))
        assert ("more" if fee > 55 else "less") in finding.detail


@pytest.mark.parametrize(("fee", "found"), [(55, None), (58, None), (56, 1), (0, -55)])
def test_where_amounts_differ_the_fee_of_either_is_right(fee: int, found: int | None) -> None:
    """22 euros are booked of what was 20: that is one finding, and a fee of 25 cents and 1.5 % of the one or the other is none."""
    finding = fee_variance(PLAN, ACME, ASKED, line(gross=eur(2200), fee=eur(fee)), eur(2000), 0)
    assert (None if finding is None else finding.difference) == (None if found is None else eur(found))


@pytest.mark.parametrize(("fee", "found"), [(37, False), (38, False), (36, False), (39, True), (35, True)])
def test_an_exchanged_fee_is_compared_at_the_lines_own_rate_with_one_minor_unit_of_slack(fee: int, found: bool) -> None:
    """A fee of 55 krona, which have no minor unit, at 0.0068 euro each is 37.4 euro cents."""
    finding = fee_finding(line(gross=Money(2000, "ISK"), fee=eur(fee), net=eur(1), rate="0.0068"), Money(55, "ISK"), 0)
    assert (finding is not None) == found
    if finding is not None:
        assert (finding.expected, finding.difference) == (eur(37), eur(fee - 37))


def test_an_exchanged_fee_without_a_rate_or_of_a_third_currency_is_not_compared() -> None:
    row = line(gross=Money(200_000, "ISK"), fee=eur(1), net=eur(1))
    assert fee_finding(row, Money(5500, "ISK"), 0) is None
    assert fee_finding(line(gross=Money(200_000, "ISK"), fee=eur(1), net=eur(1), rate="0.0068"), Money(5500, "USD"), 0) is None


def test_amounts_are_exchanged_in_major_units_whatever_their_minor_units_are() -> None:
    assert exchanged(Money(1000, "KWD"), "3.25", "USD") == Money(325, "USD")  # 1.000 dinar
    assert exchanged(Money(1000, "JPY"), "0.0061", "EUR") == eur(610)
    assert exchanged(eur(100), "163.5", "JPY") == Money(164, "JPY")  # half up
    assert exchanged(eur(-100), "163.5", "JPY") == Money(-164, "JPY")


@given(minor=st.integers(-(10**12), 10**12))
def test_at_the_rate_of_one_nothing_changes(minor: int) -> None:
    assert exchanged(eur(minor), "1", "USD") == Money(minor, "USD")


# --- the rest ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(OF_PAYMENTS))
def test_what_is_missing_is_missed_with_the_sign_that_it_would_have(kind: RowKind) -> None:
    found = missing_at_psp(MovementKind(kind.value), eur(700), day=date(2026, 10, 1), window_days=5)
    expected = eur(700 if kind in INWARD else -700)
    assert found.expected == signed(kind, eur(700)) == expected
    assert (found.kind, found.actual, found.difference) == (FindingKind.MISSING_AT_PSP, eur(0), eur(-expected.minor))
    assert "2026-10-01" in found.detail


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (eur(1999), "19.99 EUR"),
        (eur(-5), "-0.05 EUR"),
        (Money(1234, "KWD"), "1.234 KWD"),
        (Money(50, "JPY"), "50 JPY"),
        (eur(10**12), "10000000000.00 EUR"),
    ],
)
def test_amounts_are_written_in_major_units(money: Money, text: str) -> None:
    assert said(money) == text
