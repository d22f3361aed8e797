"""What the calls about payments of all merchants answer, as pydantic models: for the OpenAPI document and for tests.

As in `shapes`. Not here: making the answers (`payment_page`, `payment_lane`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from payorch.api.shapes import AttemptShape, FailureShape, MoneyShape, PaymentShape

_MOMENT = "RFC 3339, UTC, with milliseconds."
_MINOR = "In minor units of the payment's currency."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class PaymentRowShape(_Shape):
    """A payment in a list."""

    id: str
    object: Literal["payment"]
    merchant_id: str
    merchant: str | None = Field(description="The merchant's name.")
    state: str
    status: str
    outcome: str | None
    version: int
    amount: int
    currency: str
    amount_captured: int
    amount_refunded: int
    reference: str | None
    connector: str | None
    psp_reference: str | None
    held: bool
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class OperatorPaymentList(_Shape):
    """A page, newest first."""

    data: list[PaymentRowShape]
    next_cursor: str | None
    total: int | None = Field(description="How many there are; counted with the first page, and up to 10,000.")
    total_is_exact: bool = Field(description="False: there are more than that, or nobody counted.")


class NamedMerchant(_Shape):
    id: str
    name: str | None


class HoldShape(_Shape):
    """Why the payment was set aside."""

    reason: str
    since: str = Field(description=_MOMENT)
    by: str


class OurOpinion(_Shape):
    text: str
    authorized: int = Field(description=_MINOR)
    captured: int = Field(description=_MINOR)
    refunded: int = Field(description=_MINOR)
    at: str = Field(description=_MOMENT)


class LedgerOpinion(_Shape):
    text: str
    net: int = Field(description=_MINOR)
    captured: int = Field(description=_MINOR)
    refunded: int = Field(description=_MINOR)
    postings: int = Field(description="How many double entries.")


class PspOpinion(_Shape):
    """The PSP's last definite word."""

    text: str
    captured: int | None = Field(description=f"{_MINOR} Null where it has not said.")
    refunded: int | None = Field(description=f"{_MINOR} Null where it has not said.")
    source: str = Field(description="Of the newest part of it: response, replay, inquiry, webhook, settlement.")
    at: str = Field(description=_MOMENT)


class SettlementOpinion(_Shape):
    text: str
    status: str
    day: str | None
    gross: int | None = Field(description=f"{_MINOR} Of the matched lines.")
    fee: int | None = Field(description="In minor units of the currency that the PSP settled in.")
    net: int | None = Field(description="In minor units of the currency that the PSP settled in.")


class OpinionsShape(_Shape):
    """Whose word says what, and whether they agree."""

    ours: OurOpinion
    ledger: LedgerOpinion
    psp: PspOpinion | None
    settlement: SettlementOpinion
    agree: bool | None = Field(description="Null where nobody can say yet.")
    disagreement: str | None


class WhyShape(_Shape):
    """Why it stands where it stands."""

    headline: str
    text: str


class NextShape(_Shape):
    """What happens next by itself."""

    text: str
    at: str | None = Field(description=_MOMENT)
    then: str | None = Field(description="What follows when it is in vain.")
    gives_up_at: str | None = Field(description=_MOMENT)


class SentShape(_Shape):
    """The call as it was stored before it was sent; only fields on a list, everything else is replaced."""

    method: str
    path: str
    content_type: str | None
    body: str


class OperatorAttemptShape(AttemptShape):
    """One try to authorise at one connector, with what was sent and said."""

    amount: MoneyShape
    psp_key: str = Field(description="The idempotency key under which the PSP knows it.")
    request_id: str | None = Field(description="Of the request that had it made.")
    psp_request_id: str | None
    trace_id: str | None
    sent: SentShape
    raw: Any = Field(description="The PSP's last answer, redacted: JSON, or text where it is not JSON.")
    looks: int = Field(description="Looks that the search for its outcome has had.")
    next_action_at: str | None = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class OperatorOperationShape(_Shape):
    """A capture, void or refund."""

    id: str
    object: str
    state: str
    origin: str
    attempt_id: str
    amount: MoneyShape
    psp_reference: str | None
    psp_key: str | None
    sent: SentShape | None
    failure: FailureShape | None
    reason: str | None
    reference: str | None
    looks: int
    in_review: bool
    next_action_at: str | None = Field(description=_MOMENT)
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class PaymentActionShape(_Shape):
    """What may be done to it, and if not, why not."""

    action: str
    verb: str
    allowed: bool
    why_not: str | None
    people: int
    targets: list[str] = Field(description="What it may be resolved to.")
    open_action: str | None = Field(description="The act of that kind which is open.")


class LikesShape(_Shape):
    """Payments that stand as this one does and were made about the same time, this one among them."""

    count: int
    amount: list[MoneyShape]
    window_minutes: int
    filter: str


class PaymentLineShape(_Shape):
    """A line of a settlement report about it."""

    report: str
    name: str
    line: int
    day: str
    kind: str
    gross: MoneyShape
    fee: MoneyShape
    net: MoneyShape
    state: str


class PostingShape(_Shape):
    """A double entry."""

    at: str = Field(description=_MOMENT)
    debit: str
    credit: str
    amount: MoneyShape
    event: str
    source: str = Field(description="payment or settlement.")


class PaymentDeliveryShape(_Shape):
    """What its merchant was sent."""

    event_id: str
    type: str
    endpoint_id: str
    state: str
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_at: str | None = Field(description=_MOMENT)


class PaymentNoticeShape(_Shape):
    """What a PSP told about it, signed."""

    id: str
    connector: str
    event: str
    kind: str
    state: str
    outcome: str | None
    received_at: str = Field(description=_MOMENT)
    occurred_at: str | None = Field(description=_MOMENT)


class OperatorPaymentShape(PaymentShape):
    """A payment as its merchant sees it, and what people who look after it need beside that."""

    merchant: NamedMerchant
    held: HoldShape | None
    money: OpinionsShape
    why: WhyShape | None
    next: NextShape | None
    route: list[str] = Field(description="Connectors that were tried, in order.")
    attempts: list[OperatorAttemptShape]  # type: ignore[assignment]  # the merchant's members, and more
    operations: list[OperatorOperationShape]
    actions: list[PaymentActionShape]
    acts: list[dict[str, Any]] = Field(description="Acts upon it, newest first.")
    like_it: LikesShape | None
    settlement_lines: list[PaymentLineShape]
    postings: list[PostingShape]
    deliveries: list[PaymentDeliveryShape]
    notices: list[PaymentNoticeShape]


class LaneRowShape(_Shape):
    """One thing that happened. received_at: when it came here, where that is another moment."""

    at: str = Field(description=_MOMENT)
    received_at: str | None = Field(description=_MOMENT)
    source: str = Field(description="api, router, psp, webhook, poller, ledger, recon, people or system.")
    who: str
    event: str
    text: str
    tone: str = Field(description="good, bad, unknown, warn or info.")
    latency_ms: int | None
    subject_id: str | None
    attempt_id: str | None
    cause: str | None
    problem: bool
    sequence: int | None
    position: int | None
    evidence: dict[str, Any] | None
    details: dict[str, Any] | None


class PaymentLane(_Shape):
    """Everything, oldest first."""

    data: list[LaneRowShape]
    next_cursor: None


class ScoreShape(_Shape):
    connector: str
    score: int
    parts: dict[str, int | None]


class ExclusionShape(_Shape):
    connector: str
    reason: str


class ChoiceShape(_Shape):
    """One choice of connectors, with its reasons."""

    at: str = Field(description=_MOMENT)
    rule: str
    version: str
    order: list[str]
    scores: list[ScoreShape]
    excluded: list[ExclusionShape]
    chosen: str | None
    reasons: list[str]


class PaymentRouting(_Shape):
    payment_id: str
    data: list[ChoiceShape]
