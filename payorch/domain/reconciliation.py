"""Days: what a PSP's day in one currency comes to, when it may be closed, when a movement is overdue, what opens a day again. Pure.

A day is the PSP's booking date in the PSP's time zone. Its figures are folded from sums that the database makes (`RowSum`, `MovementSum`,
`FindingSum`), in any portions. Every line about a payment and every movement that no line was matched with stands in one of four buckets:
settled, pending, mismatched, manually reviewed. What of a report is about no payment is beside them.

The headline is the gross difference that nobody has explained: the sum of the differences' absolute values. A net sum would hide two errors
that offset each other. While it is not zero, or nobody can say how much a difference is, the day cannot be closed.

Not here: which line is which movement (`matching`), how people explain a finding (`explanations`), reading the sums (`payorch.store`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.differences import said
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.settlement import FindingKind, FindingState, RowKind, RowState, SettlementRow, SettlementState

UNEXPLAINED: Final = frozenset({FindingState.OPEN, FindingState.PROPOSED})
DIFFERENT_ALL_THE_SAME: Final = frozenset({FindingState.REVIEWED, FindingState.ACCEPTED, FindingState.PSP_ERROR})
"""Explained by people, and the difference is still there."""
BY_PEOPLE: Final = DIFFERENT_ALL_THE_SAME | {FindingState.LINKED}
"""What such a finding is about stays counted as manually reviewed. What is resolved by what came later leaves nothing to count."""
BUCKETS: Final = (SettlementState.SETTLED, SettlementState.PENDING, SettlementState.MISMATCHED, SettlementState.MANUALLY_REVIEWED)


class Refusal(Struct, frozen=True, kw_only=True):
    """Why something may not be done. code: for programs; why: a sentence that says what is left to do, for people."""

    code: str
    why: str


# --- what a day comes to ----------------------------------------------------------------------------------------------------------------


class RowSum(Struct, frozen=True, kw_only=True, gc=False):
    """Lines of a day that have all of this in common, summed up. In minor units.

    status: the bucket they stand in (`row_status`). gross: the sum of the absolute values; balance: of the values as they are signed. fee,
    net: in `net_currency`, as they are signed.
    """

    kind: RowKind
    state: RowState
    status: SettlementState
    count: int
    gross: int
    balance: int
    net_currency: str
    fee: int
    net: int


class MovementSum(Struct, frozen=True, kw_only=True, gc=False):
    """Movements of a day that no line was matched with. status: as `movements.settlement` has it. amount: the sum, in minor units."""

    kind: MovementKind
    status: SettlementState
    count: int
    amount: int


class FindingSum(Struct, frozen=True, kw_only=True, gc=False):
    """Findings of a day that have all of this in common.

    currency: of the differences, which is the day's but where a fee was taken in another. gross: the sum of the differences' absolute
    values, as far as they are known, in minor units. unknown: how many there are of which nobody can say how much. alone: they are about
    neither a line nor a movement (a line that cannot be read, a total).
    """

    kind: FindingKind
    state: FindingState
    currency: str
    count: int
    gross: int
    unknown: int = 0
    alone: bool = False


class Bucket(Struct, frozen=True, kw_only=True, gc=False):
    """Lines and movements. gross: the sum of the absolute values, balance: of the values as the merchant's balance sees them."""

    count: int
    gross: Money
    balance: Money

    def plus(self, count: int, gross: int, balance: int) -> Bucket:
        """With so much more in it."""
        currency = self.gross.currency
        return Bucket(
            count=self.count + count, gross=Money(self.gross.minor + gross, currency), balance=Money(self.balance.minor + balance, currency)
        )


class DayFigures(Struct, frozen=True, kw_only=True, gc=False):
    """A PSP's day in one currency.

    mismatched and manually_reviewed also count findings about neither line nor movement, which have no gross. undecided: how many of the
    pending are lines that their payments have not weighed yet. beside: lines about no payment. fees: all that the PSP kept. net: what all
    lines but payouts left in the balance. payouts: what went to the bank. Those three by the balance's currency, in order.
    findings: of all states, by kind, state and currency, in order.
    """

    day: date
    connector: str
    currency: str
    settled: Bucket
    pending: Bucket
    mismatched: Bucket
    manually_reviewed: Bucket
    beside: Bucket
    undecided: int = 0
    fees: tuple[Money, ...] = ()
    net: tuple[Money, ...] = ()
    payouts: tuple[Money, ...] = ()
    findings: tuple[FindingSum, ...] = ()

    @property
    def gross_difference(self) -> Money:
        """The headline: what nobody has explained, in the day's own currency."""
        return next((money for money in self.unexplained if money.currency == self.currency), Money(0, self.currency))

    @property
    def unexplained(self) -> tuple[Money, ...]:
        """The same in every currency in which there is something."""
        return self._differences(UNEXPLAINED)

    @property
    def explained(self) -> tuple[Money, ...]:
        """What people have explained, and is different all the same."""
        return self._differences(DIFFERENT_ALL_THE_SAME)

    @property
    def claims(self) -> tuple[Money, ...]:
        """Of that, what the PSP is to put right."""
        return self._differences(frozenset({FindingState.PSP_ERROR}))

    @property
    def unknown(self) -> int:
        """How many unexplained findings there are of which nobody can say how much."""
        return sum(one.unknown for one in self.findings if one.state in UNEXPLAINED)

    @property
    def open_findings(self) -> int:
        """How many findings nobody has explained."""
        return sum(one.count for one in self.findings if one.state in UNEXPLAINED)

    def _differences(self, states: Collection[FindingState]) -> tuple[Money, ...]:
        sums = Counter[str]()
        for one in self.findings:
            if one.state in states:
                sums[one.currency] += one.gross
        return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()) if minor)


def figures(
    day: date,
    connector: str,
    currency: str,
    *,
    rows: Iterable[RowSum] = (),
    movements: Iterable[MovementSum] = (),
    findings: Iterable[FindingSum] = (),
) -> DayFigures:
    """What that day comes to. The sums may be portioned in any way: those of the parts add up to those of the whole."""
    nothing = Bucket(count=0, gross=Money(0, currency), balance=Money(0, currency))
    buckets = dict.fromkeys(BUCKETS, nothing)
    beside, undecided = nothing, 0
    fees, net, payouts = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        if row.state is RowState.BESIDE:
            beside = beside.plus(row.count, row.gross, row.balance)
        else:
            buckets[row.status] = buckets[row.status].plus(row.count, row.gross, row.balance)
        if row.state is RowState.EVIDENCE and row.status is SettlementState.PENDING:
            undecided += row.count
        # A fee of no payment is all of its line, whichever of its columns the PSP writes it in.
        fees[row.net_currency] += -row.net if row.kind is RowKind.FEE else row.fee
        if row.kind is RowKind.PAYOUT:
            payouts[row.net_currency] -= row.net
        else:
            net[row.net_currency] += row.net
    for one in movements:
        balance = one.amount if one.kind in _INWARD else -one.amount
        buckets[one.status] = buckets[one.status].plus(one.count, one.amount, balance)
    found = _together(findings)
    for finding in found:
        if finding.alone and finding.state is not FindingState.RESOLVED:
            status = SettlementState.MISMATCHED if finding.state in UNEXPLAINED else SettlementState.MANUALLY_REVIEWED
            buckets[status] = buckets[status].plus(finding.count, 0, 0)
    return DayFigures(
        day=day,
        connector=connector,
        currency=currency,
        settled=buckets[SettlementState.SETTLED],
        pending=buckets[SettlementState.PENDING],
        mismatched=buckets[SettlementState.MISMATCHED],
        manually_reviewed=buckets[SettlementState.MANUALLY_REVIEWED],
        beside=beside,
        undecided=undecided,
        fees=_by_currency(fees),
        net=_by_currency(net),
        payouts=_by_currency(payouts),
        findings=found,
    )


def row_status(state: RowState, findings: Iterable[FindingState]) -> SettlementState:
    """The bucket that a line stands in. findings: about it. What is wrong with it comes first."""
    return standing(findings, otherwise=_STATUS[state])


def movement_status(findings: Iterable[FindingState], *, in_report: bool) -> SettlementState:
    """How a movement stands. findings: about it, or about the line that it was matched with."""
    return standing(findings, otherwise=SettlementState.SETTLED if in_report else SettlementState.PENDING)


def standing(findings: Iterable[FindingState], *, otherwise: SettlementState) -> SettlementState:
    """Mismatched while one of them is unexplained, then manually reviewed where people explained one, else as it would be without them."""
    states = frozenset(findings)
    if states & UNEXPLAINED:
        return SettlementState.MISMATCHED
    return SettlementState.MANUALLY_REVIEWED if states & BY_PEOPLE else otherwise


_INWARD: Final = frozenset({MovementKind.CAPTURE, MovementKind.REFUND_REVERSED, MovementKind.CHARGEBACK_REVERSED})
_STATUS: Final = {
    RowState.MATCHED: SettlementState.SETTLED,
    RowState.BESIDE: SettlementState.SETTLED,
    RowState.EVIDENCE: SettlementState.PENDING,
    RowState.UNMATCHED: SettlementState.MISMATCHED,
    RowState.DUPLICATE: SettlementState.MISMATCHED,
}


def _together(findings: Iterable[FindingSum]) -> tuple[FindingSum, ...]:
    """As few sums as have nothing in common, in order."""
    sums: dict[tuple[FindingKind, FindingState, str, bool], FindingSum] = {}
    for one in findings:
        key = (one.kind, one.state, one.currency, one.alone)
        before = sums.get(key)
        if before is not None:
            one = replace(one, count=one.count + before.count, gross=one.gross + before.gross, unknown=one.unknown + before.unknown)
        sums[key] = one
    return tuple(sums[key] for key in sorted(sums))


def _by_currency(sums: Counter[str]) -> tuple[Money, ...]:
    return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()) if minor)


# --- closing it -------------------------------------------------------------------------------------------------------------------------


def may_close(day: DayFigures, *, today: date | None = None) -> Refusal | None:
    """Why a day cannot be closed, with all that is left; None where it can. today: by the PSP's time zone; only what is over is closed.

    What is pending hinders nothing: a movement that no report has within the window becomes a finding, of the day on which the window ends.
    A line that its payment has not weighed yet does hinder, since nobody can say what it will come to. So does a finding without an amount.
    """
    if today is not None and day.day >= today:
        return Refusal(code="day_not_over", why=f"{day.day} is not over yet where {day.connector} keeps its books")
    left = [*_left(day)]
    if day.undecided:
        left.append(f"{_counted(day.undecided, 'line')} not weighed yet by what they are about")
    if not day.unexplained and not day.unknown and not day.undecided:
        return None
    code = "unexplained" if day.unexplained or day.unknown else "undecided"
    return Refusal(code=code, why=f"{day.connector} {day.currency} {day.day} is not explained yet: {'; '.join(left)}")


def _left(day: DayFigures) -> Iterable[str]:
    if day.unexplained:
        yield f"a gross difference of {' and '.join(said(money) for money in day.unexplained)}"
    for one in day.findings:
        if one.state in UNEXPLAINED and (one.gross or one.unknown):
            known = [said(Money(one.gross, one.currency))] if one.gross else []
            unknown = [f"{one.unknown} of unknown amount"] if one.unknown else []
            waiting = ", waiting for a second person" if one.state is FindingState.PROPOSED else ""
            yield f"{_counted(one.count, 'finding')} {one.kind.value} ({', '.join([*known, *unknown])}{waiting})"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


# --- what is late -----------------------------------------------------------------------------------------------------------------------


class Aging(StrEnum):
    """For how many days a movement has been overdue."""

    NOT_DUE = "not_due"
    DAYS_1_TO_3 = "1-3"
    DAYS_4_TO_7 = "4-7"
    DAYS_8_TO_14 = "8-14"
    OVER_14_DAYS = ">14"


def window_ends(day: date, window_days: int) -> date:
    """The last day on which a movement of that day is awaited: the day that it counts for once it is missing."""
    return day + timedelta(days=window_days)


def days_overdue(day: date, today: date, window_days: int) -> int:
    """How many days a movement of that day has been overdue; zero or less while it is awaited. All by the PSP's time zone."""
    return (today - window_ends(day, window_days)).days


def overdue(day: date, today: date, window_days: int) -> bool:
    """Whether a movement of that day should have been in a report: the whole of the window's last day is left to it."""
    return days_overdue(day, today, window_days) > 0


def aging(days: int) -> Aging:
    """The bucket for so many days overdue."""
    if days <= 0:
        return Aging.NOT_DUE
    return next((bucket for most, bucket in _AGES if days <= most), Aging.OVER_14_DAYS)


_AGES: Final = ((3, Aging.DAYS_1_TO_3), (7, Aging.DAYS_4_TO_7), (14, Aging.DAYS_8_TO_14))


# --- what opens it again ----------------------------------------------------------------------------------------------------------------


class Reopening(Struct, frozen=True, kw_only=True, gc=False):
    """A closed day that is open again, by an event of its own: never a change of its figures behind anybody's back."""

    day: date
    currency: str
    reason: str


def reopens(closed: Collection[tuple[date, str]], rows: Iterable[SettlementRow], *, report: str) -> tuple[Reopening, ...]:
    """Which of a connector's closed days (day and currency) these new lines are of, in order. report: where they stand, for people."""
    late = Counter(key for row in rows if (key := (row.booked_on, row.gross.currency)) in closed)
    return tuple(
        Reopening(day=day, currency=currency, reason=f"{_counted(count, 'line')} of this day came later, in {report}")
        for (day, currency), count in sorted(late.items())
    )
