"""What a PSP's settlement report says, line by line, and what becomes of each line: the records of reconciliation.

A report is the PSP's own account of its books. A connector reads it into these records, whatever its columns are called there; matching
compares them with the movements of money that we know of, and a difference is a finding, which people explain. Amounts are signed as the
merchant's balance at the PSP sees them: what comes in is above zero.

Not here: reading a report (each connector's `settlement`), our own movements (`movements`), which line belongs to which of them
(`matching`), days and their close (`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from payorch.domain.money import Money


class RowKind(StrEnum):
    """What a line of a report books. The first six are movements of a payment's money and have our counterparts (`MovementKind`)."""

    CAPTURE = "capture"
    CAPTURE_REVERSED = "capture_reversed"  # a capture that failed after all
    REFUND = "refund"
    REFUND_REVERSED = "refund_reversed"  # a refund that came back
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed"
    FEE = "fee"  # by itself, of no payment: an invoice, a dispute's fee
    PAYOUT = "payout"  # to the bank; above zero where one came back
    CONVERSION = "conversion"  # one side of an exchange of currencies within the balance
    ADJUSTMENT = "adjustment"  # reserves, corrections, transfers


OF_PAYMENTS: Final = frozenset(
    {
        RowKind.CAPTURE, RowKind.CAPTURE_REVERSED, RowKind.REFUND, RowKind.REFUND_REVERSED, RowKind.CHARGEBACK, RowKind.CHARGEBACK_REVERSED,
    }
)  # fmt: skip
INWARD: Final = frozenset({RowKind.CAPTURE, RowKind.REFUND_REVERSED, RowKind.CHARGEBACK_REVERSED})
"""Of those, the ones that are above zero; the others take money out of the balance."""


class SettlementRow(Struct, frozen=True, kw_only=True, gc=False):
    """One line of a report that was understood.

    line: its place in the file, from 1. type: the PSP's word for it. identity: what tells this booking from every other of the connector's,
    in whichever report it stands. booked_on: the PSP's date of it, in the PSP's time zone. gross: in the payment's currency. fee: what the
    PSP keeps of it (below zero where it gives some back), net: what remains in the balance, both in the balance's currency, which is
    another than the payment's where `rate` (a decimal number, net units for one gross unit) says at what it was exchanged.
    psp_operation: the PSP's ids of exactly this movement (a charge, a capture, a refund, a dispute), the most telling first; psp_payment:
    of the payment it is about. our_references: ids of ours that the PSP reports back, well-formed ones only, the operation's first.
    payout: the PSP's id of the payout (batch) that it belongs to.
    """

    line: int
    kind: RowKind
    type: str
    identity: str
    booked_on: date
    gross: Money
    fee: Money
    net: Money
    psp_operation: tuple[str, ...] = ()
    psp_payment: tuple[str, ...] = ()
    our_references: tuple[str, ...] = ()
    rate: str | None = None
    payout: str | None = None
    booked_at: datetime | None = None


class BadRow(Struct, frozen=True, kw_only=True, gc=False):
    """A line that cannot be understood. `reason`: what is wrong with which column, for people. `raw`: the line as people may see it,
    without what belongs to shoppers; at most 2,000 characters.
    """

    line: int
    reason: str
    raw: str


class Tie(Struct, frozen=True, kw_only=True, gc=False):
    """A total that the report states itself, beside the same total over its lines as they were read. `what`: which, in words
    ("credits of section 1", "payout po_1"). Rows where it counts lines; amounts where it sums money.
    """

    line: int
    what: str
    declared: Money | None = None
    computed: Money | None = None
    declared_rows: int | None = None
    computed_rows: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the report agrees with itself."""
        return self.declared == self.computed and self.declared_rows == self.computed_rows


ReportItem: TypeAlias = SettlementRow | BadRow | Tie


class NotAReport(ValueError):
    """The file is not a settlement report of that PSP at all; the text says what it lacks. Nothing of it is taken."""


class SettlementState(StrEnum):
    """Where a movement of ours stands between us and the PSP's reports. Of a payment it is the worst of its movements'."""

    NOT_DUE = "not_due"  # nothing has moved that could settle
    PENDING = "pending"  # moved, and not in a report yet
    SETTLED = "settled"
    MISMATCHED = "mismatched"  # a finding about it is open
    MANUALLY_REVIEWED = "manually_reviewed"  # people have explained the finding


_WORST: Final = (SettlementState.MISMATCHED, SettlementState.PENDING, SettlementState.MANUALLY_REVIEWED, SettlementState.SETTLED)


def worst(states: Collection[SettlementState]) -> SettlementState:
    """How a whole stands whose movements stand so; NOT_DUE where there is none."""
    return next((one for one in _WORST if one in states), SettlementState.NOT_DUE)


class RowState(StrEnum):
    """What became of a line of a report."""

    MATCHED = "matched"  # with a movement of ours
    EVIDENCE = "evidence"  # of something whose outcome we do not know, or know otherwise: its payment is to weigh it, then it is matched
    UNMATCHED = "unmatched"  # nothing of ours: a finding
    DUPLICATE = "duplicate"  # a second booking of what was matched before: a finding
    BESIDE = "beside"  # of no payment: fees, payouts, conversions, adjustments


class Key(StrEnum):
    """By what a line was matched, the strongest first."""

    PSP_OPERATION = "psp_operation"
    OUR_OPERATION = "our_operation"
    PSP_PAYMENT = "psp_payment"  # with kind, amount and currency
    PERSON = "person"  # somebody linked it
    # Amount, currency and date alone never match: they only suggest.


class FindingKind(StrEnum):
    """What can be wrong between a report and our books."""

    AMOUNT = "amount"
    CURRENCY = "currency"
    FEE = "fee"
    DUPLICATE = "duplicate"
    STATUS_CONFLICT = "status_conflict"
    MISSING_HERE = "missing_here"
    MISSING_AT_PSP = "missing_at_psp"
    UNPARSEABLE = "unparseable"
    TOTALS = "totals"  # the report does not add up to what it says itself


class FindingState(StrEnum):
    """Whether a finding is explained. Everything but OPEN and PROPOSED is."""

    OPEN = "open"
    PROPOSED = "proposed"  # one person has asked for an explanation that takes two
    REVIEWED = "reviewed"
    LINKED = "linked"
    ACCEPTED = "accepted"
    PSP_ERROR = "psp_error"
    RESOLVED = "resolved"  # by what came later: a late row, a movement that appeared


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """One difference. expected: by our books (or the cost model); actual: by the report; difference: actual - expected, in the currency in
    which they differ, None where nobody can say how much (a line that cannot be read). detail: a sentence for people.
    """

    kind: FindingKind
    detail: str
    expected: Money | None = None
    actual: Money | None = None
    difference: Money | None = None
