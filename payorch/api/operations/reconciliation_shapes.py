"""What the calls about reconciliation answer, as pydantic models: for the OpenAPI document and for tests, never on the way of an answer.

As in `shapes`. Not here: making the answers (`reconciliation_views`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.api.operations.dead_letter_shapes import OfferShape
from payorch.api.shapes import MoneyShape
from payorch.domain.explanations import Action
from payorch.domain.settlement import FindingKind, FindingState, Key, RowKind, RowState, SettlementState


def _one_of(values: object) -> str:
    return f"One of, today: {', '.join(map(str, values))}."  # type: ignore[call-overload]


_MOMENT = "RFC 3339, UTC, with milliseconds."
_DAY = "The PSP's booking date, in the PSP's time zone."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TieShape(_Shape):
    """A total that the report states itself, beside the same over its lines."""

    line: int
    what: str
    holds: bool
    declared: MoneyShape | None
    computed: MoneyShape | None
    declared_rows: int | None
    computed_rows: int | None


class ReportShape(_Shape):
    """A settlement report that was read."""

    id: str
    object: str = Field(description="settlement_report")
    connector: str
    name: str
    known: bool = Field(description="These very bytes had been read before. Nothing has changed.")
    rows: int
    bad_rows: int = Field(description="Lines that nobody understands; each is a finding and a dead letter.")
    repeated: int = Field(description="Bookings that another report had before.")
    findings: int
    ties: list[TieShape]
    received_at: str = Field(description=_MOMENT)
    imported_at: str | None = Field(description=_MOMENT)


class BucketShape(_Shape):
    """Lines and movements. gross: the sum of the absolute values; balance: of the values as the merchant's balance sees them."""

    count: int
    gross: MoneyShape
    balance: MoneyShape


class FindingSumShape(_Shape):
    """Findings of a day. gross: the sum of the absolute differences, as far as they are known, in minor units."""

    kind: str = Field(description=_one_of(FindingKind))
    state: str = Field(description=_one_of(FindingState))
    currency: str = Field(description="Of the differences; XXX where nobody knows it.")
    count: int
    gross: int
    unknown: int = Field(description="How many of them have a difference that nobody can state.")


class DayShape(_Shape):
    """A PSP's day in one currency."""

    object: str = Field(description="reconciliation_day")
    day: str = Field(description=_DAY)
    connector: str
    currency: str
    state: str = Field(description="One of, today: open, closed, reopened.")
    reported: bool = Field(description="Lines of it have come.")
    gross_difference: MoneyShape = Field(description="The headline: the sum of the absolute differences that nobody has explained.")
    unexplained: list[MoneyShape] = Field(description="The same in every currency in which there is something.")
    unknown_amounts: int = Field(description="Unexplained findings whose difference nobody can state.")
    open_findings: int
    explained: list[MoneyShape] = Field(description="Differences that people have explained, and that are there all the same.")
    claims: list[MoneyShape] = Field(description="Of those, what the PSP is to put right.")
    settled: BucketShape
    pending: BucketShape
    mismatched: BucketShape
    manually_reviewed: BucketShape
    beside: BucketShape = Field(description="Lines about no payment: fees, payouts, conversions, adjustments.")
    undecided: int = Field(description="Pending lines that their payments have not weighed yet.")
    fees: list[MoneyShape]
    net: list[MoneyShape]
    payouts: list[MoneyShape]
    findings: list[FindingSumShape]
    left_to_do: str | None = Field(description="Why it cannot be closed as it stands; null where it can, or is closed.")
    changed_at: str | None = Field(description=f"When it was closed or opened again. {_MOMENT}")
    changed_by: str | None
    reason: str | None
    actions: list[OfferShape]


class StrayShape(_Shape):
    """Findings of no known currency, on a day of a connector of which nothing else is known."""

    day: str
    connector: str
    findings: int
    unexplained: int


class DayList(_Shape):
    """Days, newest first, then by connector and currency."""

    data: list[DayShape]
    without_currency: list[StrayShape]


class OneDay(DayList):
    """One day of all connectors and currencies."""

    day: str = Field(description=_DAY)


class ReportLineShape(_Shape):
    """A line of a report."""

    report: str
    number: int
    kind: str = Field(description=_one_of(RowKind))
    type: str = Field(description="The PSP's word.")
    identity: str
    gross: MoneyShape
    fee: MoneyShape
    net: MoneyShape
    rate: str | None
    payout: str | None
    state: str = Field(description=_one_of(RowState))
    key: str | None = Field(description=f"By what it was matched. {_one_of(Key)}")
    payment_id: str | None
    subject_id: str | None


class UnreportedShape(_Shape):
    """A movement of ours that is in no report."""

    kind: str
    amount: MoneyShape
    at: str = Field(description=_MOMENT)
    payment_id: str
    subject_id: str


class FindingShape(_Shape):
    """What does not fit between a report and our books. The amounts are in one currency; the difference is actual less expected."""

    id: str
    object: str = Field(description="finding")
    kind: str = Field(description=_one_of(FindingKind))
    state: str = Field(description=_one_of(FindingState))
    connector: str
    currency: str
    day: str = Field(description=_DAY)
    detail: str
    expected: MoneyShape | None
    actual: MoneyShape | None
    difference: MoneyShape | None = Field(description="Null: nobody can say how much.")
    report: str | None
    line: int | None
    payment_id: str | None
    subject_id: str | None
    suggestions: JsonValue = Field(description="Movements of the same amount and about the same date.")
    dead_letter_id: str | None
    found_at: str = Field(description=_MOMENT)
    version: int
    proposed_action: str | None = Field(description=f"What one person has asked for and another is to agree with. {_one_of(Action)}")
    proposed_by: str | None
    proposed_at: str | None = Field(description=_MOMENT)
    resolved_by: str | None
    resolved_at: str | None = Field(description=_MOMENT)
    resolution: str | None
    actions: list[OfferShape]


class ItemShape(_Shape):
    """A line, a movement that is in no report, or a finding about neither."""

    object: str = Field(description="One of, today: settlement_line, movement, finding.")
    status: str = Field(description=_one_of(one for one in SettlementState if one is not SettlementState.NOT_DUE))
    connector: str
    currency: str
    line: ReportLineShape | None
    movement: UnreportedShape | None
    findings: list[FindingShape]


class ItemList(_Shape):
    """A page of what a day consists of: lines as they stand in the reports, then movements that are in none, then other findings."""

    data: list[ItemShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
