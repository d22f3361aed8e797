"""Differences between a PSP's report and our books, each as a finding with its amounts and a sentence that finance people understand. Pure.

The three amounts of a finding are always in one currency. A difference is what the report says less what we expect. Amounts are signed as
the merchant's balance at the PSP sees them, so that above zero there is more than our books say; of a fee it is what the PSP kept too much.

Not here: which movement a line is about (`matching`), what people make of a finding (`explanations`).
"""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from msgspec.structs import replace

from payorch.domain.money import Money, zero
from payorch.domain.movements import MovementKind
from payorch.domain.rules import Asked, Plan
from payorch.domain.settlement import INWARD, Finding, FindingKind, RowKind, SettlementRow

EXCHANGE_SLACK_MINOR: Final = 1
"""A PSP rounds the amount, fee and net of an exchanged payment each by itself, so that its fee may be one minor unit beside ours."""

_INWARD: Final = frozenset(str(kind) for kind in INWARD)


def named(kind: RowKind | MovementKind) -> str:
    """A kind in words: capture reversed."""
    return kind.value.replace("_", " ")


def said(money: Money) -> str:
    """An amount as finance people write it: 19.99 EUR."""
    return f"{money.major():f} {money.currency}"


def signed(kind: RowKind | MovementKind, amount: Money) -> Money:
    """What a movement of that kind and amount (above zero) does to the merchant's balance at the PSP."""
    return amount if str(kind) in _INWARD else Money(-amount.minor, amount.currency)


def unexpected(kind: FindingKind, row: SettlementRow, detail: str) -> Finding:
    """Of a line of which our books expect nothing: all of it is the difference."""
    return Finding(kind=kind, detail=detail, expected=zero(row.gross.currency), actual=row.gross, difference=row.gross)


def of_amount(row: SettlementRow, amount: Money) -> Finding:
    """Of a line with another amount than its movement's, in the same currency."""
    expected = signed(row.kind, amount)
    difference = row.gross - expected
    detail = f"the PSP books {said(row.gross)}, our books have {said(expected)}: a difference of {said(difference)}"
    return Finding(kind=FindingKind.AMOUNT, detail=detail, expected=expected, actual=row.gross, difference=difference)


def of_currency(row: SettlementRow, amount: Money) -> Finding:
    """Of a line in another currency than its movement's: nobody can say how much that differs. What the PSP books is in the text."""
    expected = signed(row.kind, amount)
    detail = f"the PSP books {said(row.gross)}, our books have {said(expected)}: another currency"
    return Finding(kind=FindingKind.CURRENCY, detail=detail, expected=expected)


def missing_at_psp(kind: MovementKind, amount: Money, *, day: date, window_days: int) -> Finding:
    """Of a movement that has been in no report for longer than reports take. day: when it moved."""
    expected = signed(kind, amount)
    detail = f"a {named(kind)} of {said(amount)} of {day} is in no report, {window_days} days after it and later"
    return Finding(
        kind=FindingKind.MISSING_AT_PSP,
        detail=detail,
        expected=expected,
        actual=zero(amount.currency),
        difference=zero(amount.currency) - expected,
    )


# --- fees -------------------------------------------------------------------------------------------------------------------------------


def expected_fee(plan: Plan, connector: str, asked: Asked, row: SettlementRow) -> Money | None:
    """What the cost model lets expect that the PSP keeps of that line, in the currency of its gross; None where the model does not say.

    asked: the payment's own question to routing. The model is of payments taken: each capture costs its fixed part, and the share of what
    it takes. What a PSP asks for a refund or a dispute is not in it.
    """
    if row.kind is not RowKind.CAPTURE or row.gross.minor <= 0:
        return None
    minor = plan.fee_minor(connector, replace(asked, intent=replace(asked.intent, amount=row.gross)))
    return None if minor is None else Money(minor, row.gross.currency)


def fee_variance(plan: Plan, connector: str, asked: Asked, row: SettlementRow, amount: Money, tolerance_minor: int) -> Finding | None:
    """What is wrong with the fee of a line that was matched with a movement of that amount; None where it fits.

    That a line takes another amount than ours is a finding by itself (or is let pass): the fee of either is the right one then.
    """
    rightly = replace(row, gross=amount)
    found = [fee_finding(row, expected_fee(plan, connector, asked, one), tolerance_minor) for one in (rightly, row)]
    return None if None in found else found[0]


def fee_finding(row: SettlementRow, expected: Money | None, tolerance_minor: int) -> Finding | None:
    """Of a line whose fee is another than the cost model's, by more than is let pass; None where it fits or there is nothing to compare.

    expected: as of `expected_fee`. Where the PSP exchanged the payment, it is exchanged by the line's own rate (half a minor unit is
    rounded up) and one minor unit more is let pass; where the line has no rate, nothing can be said of the fee.
    """
    if expected is None:
        return None
    slack = tolerance_minor
    if expected.currency != row.fee.currency:
        if row.rate is None or expected.currency != row.gross.currency:
            return None
        expected, slack = exchanged(expected, row.rate, row.fee.currency), tolerance_minor + EXCHANGE_SLACK_MINOR
    difference = row.fee - expected
    if abs(difference.minor) <= slack:
        return None
    more = "more" if difference.minor > 0 else "less"
    by = said(Money(abs(difference.minor), difference.currency))
    detail = f"the PSP kept a fee of {said(row.fee)}, by the cost model it is {said(expected)}: {by} {more}"
    return Finding(kind=FindingKind.FEE, detail=detail, expected=expected, actual=row.fee, difference=difference)


def exchanged(money: Money, rate: str, currency: str) -> Money:
    """That amount at that rate (a decimal number, units of the other currency for one), rounded half up."""
    major = money.major() * Decimal(rate)
    return Money(int(major.scaleb(zero(currency).exponent).quantize(Decimal(1), rounding=ROUND_HALF_UP)), currency)
