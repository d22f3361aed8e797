"""Days: that figures are the sums of their parts, what keeps one from being closed, when a movement is overdue, what opens one again."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import (
    BUCKETS,
    BY_PEOPLE,
    UNEXPLAINED,
    Aging,
    DayFigures,
    FindingSum,
    MovementSum,
    Reopening,
    RowSum,
    aging,
    days_overdue,
    figures,
    may_close,
    movement_status,
    overdue,
    reopens,
    row_status,
    window_ends,
)
from payorch.domain.settlement import FindingKind, FindingState, RowKind, RowState, SettlementState
from tests.domain.test_matching import ACME, DAY, eur, line

SETTLED, PENDING, MISMATCHED, REVIEWED = BUCKETS


def rows(**changes: Any) -> RowSum:
    """Three captures of together 60.00 EUR that settled."""
    fields: dict[str, Any] = {
        "kind": RowKind.CAPTURE, "state": RowState.MATCHED, "status": SETTLED, "count": 3, "gross": 6000, "balance": 6000,
        "net_currency": "EUR", "fee": 165, "net": 5835,
    }  # fmt: skip
    return RowSum(**fields | changes)


def found(kind: FindingKind = FindingKind.AMOUNT, state: FindingState = FindingState.OPEN, **changes: Any) -> FindingSum:
    fields: dict[str, Any] = {"kind": kind, "state": state, "currency": "EUR", "count": 1, "gross": 100}
    return FindingSum(**fields | changes)


def day(**sums: Any) -> DayFigures:
    return figures(DAY, ACME, "EUR", **sums)


# --- figures ----------------------------------------------------------------------------------------------------------------------------


def test_each_line_and_each_movement_without_one_stands_in_one_bucket() -> None:
    refunds = rows(kind=RowKind.REFUND, status=MISMATCHED, count=1, gross=700, balance=-700, fee=0, net=-700)
    awaited = [
        MovementSum(kind=MovementKind.CAPTURE, status=PENDING, count=2, amount=3000),
        MovementSum(kind=MovementKind.REFUND, status=REVIEWED, count=1, amount=500),
    ]
    told = day(rows=[rows(), refunds], movements=awaited)
    assert (told.settled.count, told.settled.gross, told.settled.balance) == (3, eur(6000), eur(6000))
    assert (told.mismatched.count, told.mismatched.gross, told.mismatched.balance) == (1, eur(700), eur(-700))
    assert (told.pending.count, told.pending.gross, told.pending.balance) == (2, eur(3000), eur(3000))
    assert (told.manually_reviewed.count, told.manually_reviewed.gross, told.manually_reviewed.balance) == (1, eur(500), eur(-500))


def test_fees_are_what_lines_say_and_lines_of_fees_and_payouts_are_apart() -> None:
    beside: dict[str, Any] = {"state": RowState.BESIDE, "count": 1}
    fee = rows(kind=RowKind.FEE, gross=1500, balance=-1500, fee=0, net=-1500, **beside)
    fee_in_its_column = rows(kind=RowKind.FEE, gross=0, balance=0, fee=200, net=-200, **beside)
    payout = rows(kind=RowKind.PAYOUT, gross=4000, balance=-4000, fee=0, net=-4000, **beside)
    told = day(rows=[rows(), fee, fee_in_its_column, payout])
    assert told.fees == (eur(165 + 1500 + 200),)
    assert told.net == (eur(5835 - 1500 - 200),)
    assert told.payouts == (eur(4000),)
    assert (told.settled.count, told.beside.count, told.beside.gross) == (3, 3, eur(5500))


def test_an_exchanged_day_has_fees_and_nets_of_the_balances_currencies() -> None:
    told = day(rows=[rows(), rows(net_currency="CHF", fee=10, net=90)])
    assert told.fees == (Money(10, "CHF"), eur(165))
    assert told.net == (Money(90, "CHF"), eur(5835))


def test_findings_about_neither_a_line_nor_a_movement_are_counted_where_they_belong() -> None:
    alone: dict[str, Any] = {"gross": 0, "unknown": 1, "alone": True}
    unreadable = [found(FindingKind.UNPARSEABLE, state, **alone) for state in FindingState]
    told = day(findings=unreadable)
    assert (told.mismatched.count, told.manually_reviewed.count, told.settled.count) == (len(UNEXPLAINED), len(BY_PEOPLE), 0)
    assert day(findings=[found()]).mismatched.count == 0, "its line is counted"


def test_the_headline_is_gross_and_does_not_let_errors_offset_each_other() -> None:
    """Two lines, one with a euro too much and one with a euro too little: the sums of absolute values come from the database."""
    told = day(findings=[found(count=2, gross=200), found(FindingKind.FEE, currency="CHF", gross=3)])
    assert told.gross_difference == eur(200)
    assert told.unexplained == (Money(3, "CHF"), eur(200))
    assert told.open_findings == 3


def test_a_line_whose_currency_nobody_could_read_keeps_the_day_open() -> None:
    told = day(findings=[found(FindingKind.UNPARSEABLE, currency="XXX", gross=0, unknown=1, alone=True)])
    assert (told.unknown, told.unexplained, told.gross_difference) == (1, (), eur(0))
    assert may_close(told) is not None


def test_what_people_explained_is_no_headline_and_stays_visible() -> None:
    told = day(findings=[found(state=state) for state in FindingState])
    assert told.gross_difference == eur(200)  # open and proposed
    assert told.explained == (eur(300),)  # reviewed, accepted, and claimed from the PSP: what was linked is no difference any more
    assert told.claims == (eur(100),)


def test_figures_are_plain_data() -> None:
    told = day(rows=[rows()], findings=[found()])
    assert msgspec.json.decode(msgspec.json.encode(told), type=DayFigures) == told


_ROWS = st.builds(
    RowSum,
    kind=st.sampled_from(RowKind),
    state=st.sampled_from(RowState),
    status=st.sampled_from(BUCKETS),
    count=st.integers(1, 9),
    gross=st.integers(0, 10**6),
    balance=st.integers(-(10**6), 10**6),
    net_currency=st.sampled_from(["EUR", "CHF"]),
    fee=st.integers(-100, 1000),
    net=st.integers(-(10**6), 10**6),
)
_MOVEMENTS = st.builds(
    MovementSum,
    kind=st.sampled_from(MovementKind),
    status=st.sampled_from(BUCKETS),
    count=st.integers(1, 9),
    amount=st.integers(1, 10**6),
)
_FINDINGS = st.builds(
    FindingSum,
    kind=st.sampled_from(FindingKind),
    state=st.sampled_from(FindingState),
    currency=st.sampled_from(["EUR", "CHF"]),
    count=st.integers(1, 9),
    gross=st.integers(0, 10**6),
    unknown=st.integers(0, 3),
    alone=st.booleans(),
)


@given(sums=st.lists(_ROWS, max_size=6), awaited=st.lists(_MOVEMENTS, max_size=4), findings=st.lists(_FINDINGS, max_size=6), data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_order_and_portions_of_the_sums_do_not_matter(
    sums: list[RowSum], awaited: list[MovementSum], findings: list[FindingSum], data: st.DataObject
) -> None:
    whole = day(rows=sums, movements=awaited, findings=findings)
    shuffled = day(
        rows=data.draw(st.permutations(sums)), movements=data.draw(st.permutations(awaited)), findings=data.draw(st.permutations(findings))
    )
    assert shuffled == whole
    assert whole == day(rows=sums, movements=awaited, findings=whole.findings), "summed up again, findings stay as they are"


@given(sums=st.lists(_ROWS, max_size=6), awaited=st.lists(_MOVEMENTS, max_size=4), findings=st.lists(_FINDINGS, max_size=6))
@settings(max_examples=100, deadline=None)
def test_the_parts_add_up_to_the_totals(sums: list[RowSum], awaited: list[MovementSum], findings: list[FindingSum]) -> None:
    told = day(rows=sums, movements=awaited, findings=findings)
    buckets = (told.settled, told.pending, told.mismatched, told.manually_reviewed, told.beside)
    alone = sum(one.count for one in findings if one.alone and one.state is not FindingState.RESOLVED)
    assert sum(one.count for one in buckets) == sum(one.count for one in sums) + sum(one.count for one in awaited) + alone
    assert sum(one.gross.minor for one in buckets) == sum(one.gross for one in sums) + sum(one.amount for one in awaited)
    for currency in ("EUR", "CHF"):
        left = _of(told.net, currency) - _of(told.payouts, currency)
        assert left == sum(one.net for one in sums if one.net_currency == currency), "what the balance changed by"
    assert sum(one.gross for one in told.findings) == sum(one.gross for one in findings)
    assert sum(one.count for one in told.findings) == sum(one.count for one in findings)
    unexplained = [one for one in findings if one.state in UNEXPLAINED]
    assert sum(money.minor for money in told.unexplained) == sum(one.gross for one in unexplained)
    assert (may_close(told) is None) == (not any(one.gross or one.unknown for one in unexplained) and not told.undecided)


def _of(some: tuple[Money, ...], currency: str) -> int:
    return sum(money.minor for money in some if money.currency == currency)


# --- which bucket -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "findings", "status"),
    [
        (RowState.MATCHED, [], SETTLED),
        (RowState.EVIDENCE, [], PENDING),
        (RowState.MATCHED, [FindingState.OPEN, FindingState.REVIEWED], MISMATCHED),
        (RowState.MATCHED, [FindingState.PROPOSED], MISMATCHED),
        (RowState.MATCHED, [FindingState.ACCEPTED, FindingState.RESOLVED], REVIEWED),
        (RowState.MATCHED, [FindingState.LINKED], REVIEWED),
        (RowState.MATCHED, [FindingState.RESOLVED], SETTLED),
        (RowState.EVIDENCE, [FindingState.OPEN], MISMATCHED),
        (RowState.UNMATCHED, [], MISMATCHED),
        (RowState.DUPLICATE, [FindingState.PSP_ERROR], REVIEWED),
    ],
)
def test_what_is_wrong_with_a_line_says_where_it_stands(state: RowState, findings: list[FindingState], status: SettlementState) -> None:
    assert row_status(state, findings) is status


@pytest.mark.parametrize("in_report", [True, False])
def test_a_movement_stands_by_its_findings_and_then_by_whether_it_was_reported(in_report: bool) -> None:
    plain = SETTLED if in_report else PENDING
    assert movement_status([], in_report=in_report) is plain
    assert movement_status([FindingState.RESOLVED], in_report=in_report) is plain
    assert movement_status([FindingState.ACCEPTED, FindingState.OPEN], in_report=in_report) is MISMATCHED
    assert movement_status([FindingState.ACCEPTED], in_report=in_report) is REVIEWED


# --- closing ----------------------------------------------------------------------------------------------------------------------------


def test_a_day_without_a_difference_may_be_closed_whatever_is_pending() -> None:
    assert may_close(day()) is None
    assert may_close(day(rows=[rows()], movements=[MovementSum(kind=MovementKind.CAPTURE, status=PENDING, count=1, amount=5)])) is None


@pytest.mark.parametrize("state", sorted(set(FindingState) - UNEXPLAINED))
def test_what_is_explained_hinders_nothing(state: FindingState) -> None:
    assert may_close(day(findings=[found(state=state, unknown=1)])) is None


def test_a_refusal_says_what_is_left_in_words_and_numbers() -> None:
    told = day(
        rows=[rows(state=RowState.EVIDENCE, status=PENDING, count=2)],
        findings=[
            found(count=2, gross=1234),
            found(FindingKind.UNPARSEABLE, unknown=1, gross=0, alone=True),
            found(FindingKind.MISSING_HERE, FindingState.PROPOSED, gross=66),
        ],
    )
    refusal = may_close(told)
    assert refusal is not None
    assert refusal.code == "unexplained"
    for words in ("13.00 EUR", "2 findings amount (12.34 EUR)", "unparseable (1 of unknown amount)", "2 lines", "second person", str(DAY)):
        assert words in refusal.why


@pytest.mark.parametrize("state", sorted(UNEXPLAINED))
@pytest.mark.parametrize("sums", [{"gross": 1}, {"gross": 0, "unknown": 1}, {"gross": 1, "currency": "CHF"}])
def test_one_minor_unit_in_any_currency_or_an_unknown_amount_keeps_it_open(state: FindingState, sums: dict[str, Any]) -> None:
    refusal = may_close(day(findings=[found(state=state, **sums)]))
    assert refusal is not None
    assert refusal.code == "unexplained"


def test_errors_that_offset_each_other_keep_it_open() -> None:
    assert may_close(day(findings=[found(count=2, gross=200)])) is not None


def test_a_line_that_its_payment_has_not_weighed_keeps_it_open() -> None:
    refusal = may_close(day(rows=[rows(state=RowState.EVIDENCE, status=PENDING, count=1)]))
    assert refusal is not None
    assert refusal.code == "undecided"
    assert "1 line " in refusal.why


def test_only_a_day_that_is_over_is_closed() -> None:
    refusal = may_close(day(), today=DAY)
    assert refusal is not None
    assert refusal.code == "day_not_over"
    assert may_close(day(), today=DAY + timedelta(days=1)) is None


# --- late -------------------------------------------------------------------------------------------------------------------------------


def test_a_movement_is_overdue_the_day_after_its_window() -> None:
    last = window_ends(DAY, 5)
    assert last == DAY + timedelta(days=5)
    assert not overdue(DAY, last, 5)
    assert overdue(DAY, last + timedelta(days=1), 5)
    assert days_overdue(DAY, last + timedelta(days=1), 5) == 1


@pytest.mark.parametrize(
    ("days", "bucket"),
    [(-3, "not_due"), (0, "not_due"), (1, "1-3"), (3, "1-3"), (4, "4-7"), (7, "4-7"), (8, "8-14"), (14, "8-14"), (15, ">14"), (400, ">14")],
)
def test_overdue_movements_age(days: int, bucket: str) -> None:
    assert aging(days) is Aging(bucket)


# --- open again -------------------------------------------------------------------------------------------------------------------------


def test_late_lines_open_the_closed_days_that_they_are_of_and_no_other() -> None:
    next_day = DAY + timedelta(days=1)
    closed = {(DAY, "EUR"), (next_day, "EUR"), (date(2026, 10, 1), "EUR")}
    late = [
        line(1, booked_on=next_day), line(2), line(3), line(4, gross=Money(1, "USD")), line(5, booked_on=DAY - timedelta(days=1)),
    ]  # fmt: skip
    assert reopens(closed, late, report="october.csv") == (
        Reopening(day=DAY, currency="EUR", reason="2 lines of this day came later, in october.csv"),
        Reopening(day=next_day, currency="EUR", reason="1 line of this day came later, in october.csv"),
    )
    assert reopens(frozenset(), late, report="october.csv") == ()
