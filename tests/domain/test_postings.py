"""Postings of a report's lines: whatever a line says, each currency balances and the PSP's balance changes by the line's net amount."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.money import Money
from payorch.domain.postings import Posting, postings, relinked
from payorch.domain.settlement import OF_PAYMENTS, RowKind, RowState, SettlementRow

PSP = "psp_one"
BALANCE, FEES, RECEIVABLE, SUSPENSE = f"psp_balance:{PSP}", f"psp_fees:{PSP}", f"psp_receivable:{PSP}", f"suspense:{PSP}"
BANK, ADJUSTMENTS = f"bank:{PSP}", f"adjustments:{PSP}"


def row(kind: RowKind, gross: int, fee: int, net: int, currency: str = "EUR", net_currency: str = "EUR") -> SettlementRow:
    return SettlementRow(
        line=1, kind=kind, type="x", identity="1", booked_on=date(2026, 3, 1), gross=Money(gross, currency), fee=Money(fee, net_currency),
        net=Money(net, net_currency),
    )  # fmt: skip


def sums(made: Iterable[Posting]) -> dict[tuple[str, str], int]:
    """(account, currency) -> what is on it."""
    total: Counter[tuple[str, str]] = Counter()
    for one in made:
        total[one.debit, one.amount.currency] += one.amount.minor
        total[one.credit, one.amount.currency] -= one.amount.minor
    return {key: minor for key, minor in total.items() if minor}


def on(made: Iterable[Posting], currency: str = "EUR") -> dict[str, int]:
    """account -> what is on it, in that currency."""
    return {account: minor for (account, its), minor in sums(made).items() if its == currency}


class TestLines:
    def test_a_capture_that_is_ours(self) -> None:
        made = postings(row(RowKind.CAPTURE, 1999, 70, 1929), RowState.MATCHED, connector=PSP)
        assert made == (
            Posting(leg=1, debit=BALANCE, credit=RECEIVABLE, amount=Money(1999, "EUR")),
            Posting(leg=2, debit=FEES, credit=BALANCE, amount=Money(70, "EUR")),
        )

    @pytest.mark.parametrize("state", [RowState.UNMATCHED, RowState.DUPLICATE, RowState.EVIDENCE])
    def test_one_that_is_not_or_not_yet(self, state: RowState) -> None:
        made = postings(row(RowKind.CAPTURE, 1999, 70, 1929), state, connector=PSP)
        assert on(made) == {BALANCE: 1929, FEES: 70, SUSPENSE: -1999}

    def test_a_refund_whose_fee_comes_back(self) -> None:
        made = postings(row(RowKind.REFUND, -500, -20, -480), RowState.MATCHED, connector=PSP)
        assert on(made) == {BALANCE: -480, FEES: -20, RECEIVABLE: 500}

    def test_a_payout_with_a_fee_and_one_that_came_back(self) -> None:
        made = postings(row(RowKind.PAYOUT, -9000, 25, -9025), RowState.BESIDE, connector=PSP)
        assert on(made) == {BALANCE: -9025, FEES: 25, BANK: 9000}
        assert on(postings(row(RowKind.PAYOUT, 9000, 0, 9000), RowState.BESIDE, connector=PSP)) == {BALANCE: 9000, BANK: -9000}

    @pytest.mark.parametrize(("gross", "fee"), [(-300, 0), (0, 300)])
    def test_a_fee_by_itself_however_it_is_told(self, gross: int, fee: int) -> None:
        assert on(postings(row(RowKind.FEE, gross, fee, -300), RowState.BESIDE, connector=PSP)) == {BALANCE: -300, FEES: 300}

    def test_an_adjustment(self) -> None:
        assert on(postings(row(RowKind.ADJUSTMENT, -700, 0, -700), RowState.BESIDE, connector=PSP)) == {BALANCE: -700, ADJUSTMENTS: 700}

    def test_both_sides_of_a_conversion(self) -> None:
        out = postings(row(RowKind.CONVERSION, -1000, 0, -1000), RowState.BESIDE, connector=PSP)
        into = postings(row(RowKind.CONVERSION, 1100, 0, 1100, "USD", "USD"), RowState.BESIDE, connector=PSP)
        assert sums((*out, *into)) == {
            (BALANCE, "EUR"): -1000, ("exchange", "EUR"): 1000, (BALANCE, "USD"): 1100, ("exchange", "USD"): -1100,
        }  # fmt: skip

    def test_a_capture_in_another_currency_than_the_balance(self) -> None:
        made = postings(row(RowKind.CAPTURE, 2000, 60, 1790, "USD", "EUR"), RowState.MATCHED, connector=PSP)
        assert on(made, "USD") == {RECEIVABLE: -2000, "exchange": 2000}
        assert on(made, "EUR") == {BALANCE: 1790, FEES: 60, "exchange": -1850}

    def test_a_line_that_does_not_add_up_shows_what_is_left(self) -> None:
        made = postings(row(RowKind.CAPTURE, 1000, 50, 940), RowState.MATCHED, connector=PSP)
        assert on(made) == {BALANCE: 940, FEES: 50, RECEIVABLE: -1000, ADJUSTMENTS: 10}

    def test_nothing_is_no_posting(self) -> None:
        assert postings(row(RowKind.ADJUSTMENT, 0, 0, 0), RowState.BESIDE, connector=PSP) == ()


MINOR = st.integers(-(10**12), 10**12) | st.sampled_from([0, 0, 1, -1])
CURRENCY = st.sampled_from(["EUR", "USD", "JPY"])
ROWS = st.builds(row, st.sampled_from(list(RowKind)), MINOR, MINOR, MINOR, CURRENCY, CURRENCY)
STATES = st.sampled_from(list(RowState))


@given(row=ROWS, state=STATES)
def test_every_line_balances_and_changes_the_balance_by_its_net_amount(row: SettlementRow, state: RowState) -> None:
    made = postings(row, state, connector=PSP)
    assert [one.leg for one in made] == list(range(1, len(made) + 1))
    assert all(one.amount.minor > 0 and one.debit != one.credit for one in made)
    found = sums(made)
    for currency in {row.gross.currency, row.net.currency}:
        assert sum(minor for (_, its), minor in found.items() if its == currency) == 0
    assert found.get((BALANCE, row.net.currency), 0) == row.net.minor
    assert {currency for account, currency in found if account == BALANCE} <= {row.net.currency}
    if row.kind is not RowKind.FEE:
        assert found.get((FEES, row.net.currency), 0) == row.fee.minor
    if row.kind in OF_PAYMENTS:
        due, other = (RECEIVABLE, SUSPENSE) if state is RowState.MATCHED else (SUSPENSE, RECEIVABLE)
        assert found.get((due, row.gross.currency), 0) == -row.gross.minor
        assert not any(account == other for account, _ in found)


@given(row=ROWS, was=STATES, now=STATES)
def test_what_is_matched_later_ends_where_it_would_have_been(row: SettlementRow, was: RowState, now: RowState) -> None:
    first = postings(row, was, connector=PSP)
    further = relinked(row, was, now, connector=PSP, first_leg=len(first) + 1)
    assert sums((*first, *further)) == sums(postings(row, now, connector=PSP))
    assert [one.leg for one in further] == [len(first) + 1] * len(further)
