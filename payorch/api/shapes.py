"""What the merchant API answers, as pydantic models: for the OpenAPI document and for tests, never on the way of an answer.

`present` and `timeline` write the answers; a test holds them to these models. Enumerations are open sets, so they are plain strings here
with the values of today in their descriptions: a client must not break on a new one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.domain.announcements import EVENT_TYPES
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.outcome import ErrorClass, Source
from payorch.domain.payment import PUBLIC_STATUS, AttemptState, Name, State
from payorch.domain.records import CancellationReason, Origin
from payorch.domain.settlement import SettlementState
from payorch.store.items import DeliveryState, NoticeState


def _one_of(values: object) -> str:
    return f"One of, today: {', '.join(map(str, values))}."  # type: ignore[call-overload]


_MOMENT = "RFC 3339, UTC, with milliseconds."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ConnectorLayer(_Shape):
    """What the PSP itself said."""

    code: str | None
    message: str | None
    http_status: int | None


class NetworkLayer(_Shape):
    """What the card network said through the PSP."""

    decline_code: str | None
    advice_code: str | None


class FailureShape(_Shape):
    """Why not, in three layers: ours, the connector's, the network's."""

    error_class: str = Field(alias="class", description=_one_of(ErrorClass))
    code: str
    message: str
    connector: ConnectorLayer
    network: NetworkLayer


class NextActionShape(_Shape):
    """What the shopper has to do: open `url` with `method` (and `fields` as a form, where it is a POST)."""

    type: str = Field(description="redirect")
    url: str
    method: str
    fields: dict[str, str]


class PaymentMethodShape(_Shape):
    """How the shopper pays. Tokens are not shown."""

    type: str
    brand: str | None
    last4: str | None
    country: str | None


class CustomerShape(_Shape):
    reference: str | None
    country: str | None


class AttemptShape(_Shape):
    """One try to authorise at one connector."""

    id: str
    connector: str
    state: str = Field(description=_one_of(AttemptState))
    psp_reference: str | None
    failure: FailureShape | None
    created_at: str = Field(description=_MOMENT)


class SettlementShape(_Shape):
    """Where the money stands with the PSP's settlement reports: of a payment, the worst of what it moved."""

    status: str = Field(description=_one_of(SettlementState))


class OperationShape(_Shape):
    """A capture, void or refund."""

    id: str
    object: str = Field(description="capture, void or refund")
    status: str = Field(description="pending, succeeded or failed")
    outcome: str | None = Field(description='"unconfirmed" while it may or may not have taken effect')
    amount: int | None = Field(description="In minor units; null for a void, which gives back whatever is left.")
    currency: str
    final: bool | None = Field(description="For a capture: whether it releases what it leaves.")
    reason: str | None
    reference: str | None
    metadata: dict[str, str]
    failure: FailureShape | None
    psp_reference: str | None
    origin: str = Field(description=_one_of(Origin))
    settlement: SettlementShape
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class DisputeShape(_Shape):
    """A stage of a dispute: a shopper's bank takes money back, or asks for reasons first."""

    id: str
    object: Literal["dispute"]
    stage: str = Field(description=_one_of(DisputeStage))
    status: str = Field(description=_one_of(DisputeStatus))
    amount: int
    currency: str
    reason: str | None = Field(description="The bank's reason, in the PSP's word.")
    respond_by: str | None = Field(description=_MOMENT)
    psp_reference: str
    payment_id: str
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class PaymentShape(_Shape):
    """A payment as it stands."""

    id: str
    object: Literal["payment"]
    status: str = Field(description=_one_of(dict.fromkeys(PUBLIC_STATUS.values())))
    state: str = Field(description=_one_of(State))
    outcome: str | None = Field(description='"unconfirmed" while money may have moved: do not ship, do not retry.')
    amount: int
    currency: str
    amount_authorized: int
    amount_captured: int
    amount_capturable: int
    amount_refunded: int
    amount_refundable: int
    capture: str
    reference: str | None
    payment_method: PaymentMethodShape | None
    customer: CustomerShape | None
    initiator: str
    return_url: str | None
    connector: str | None
    psp_reference: str | None
    next_action: NextActionShape | None
    failure: FailureShape | None
    authorization_expires_at: str | None = Field(description=_MOMENT)
    cancel_requested: bool = Field(description="It ends as soon as its outcome is known.")
    cancellation_reason: str | None = Field(description=_one_of(CancellationReason))
    attempts: list[AttemptShape]
    captures: list[OperationShape]
    refunds: list[OperationShape]
    voids: list[OperationShape]
    disputes: list[DisputeShape]
    settlement: SettlementShape
    retry_of: str | None
    metadata: dict[str, str]
    version: int = Field(description="How many events the payment has had.")
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class OperationAnswerShape(OperationShape):
    """A capture, void or refund as it stands, with its payment inside.

    The id is null for a void that came while money might still be moving: it is a wish until that is known.
    """

    id: str | None  # type: ignore[assignment]
    payment: PaymentShape


class PaymentList(_Shape):
    """A page of payments, newest first."""

    data: list[PaymentShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class MoneyShape(_Shape):
    amount: int
    currency: str


class SubjectShape(_Shape):
    """The attempt, operation or dispute that an event is about."""

    id: str
    object: str
    connector: str
    amount: MoneyShape | None = Field(description="Null for a void, which gives back whatever is left.")


class EvidenceShape(_Shape):
    """What somebody said about an attempt, an operation or a dispute. `raw` is the PSP's answer or notice, without anything secret."""

    source: str = Field(description=_one_of(Source))
    finding: str = Field(description="One of, today: Approved, Pending, Declined, NotExecuted, Unknown, Released, Absent, Dispute.")
    at: str = Field(description=_MOMENT)
    psp_reference: str | None
    our_reference: str | None
    psp_request_id: str | None
    latency_ms: int | None
    amount: MoneyShape | None
    captured: MoneyShape | None
    refunded: MoneyShape | None
    expires_at: str | None
    raw: JsonValue


class ExclusionShape(_Shape):
    connector: str
    reason: str


class RoutingShape(_Shape):
    """Which connectors were chosen, best first, and why the others were not."""

    order: list[str]
    excluded: list[ExclusionShape]
    rule: str
    version: str


class TimelineEntry(_Shape):
    """One event of a payment's life."""

    sequence: int
    at: str = Field(description=_MOMENT)
    name: str = Field(description=_one_of(Name))
    from_state: str | None = Field(alias="from")
    to: str
    actor: str
    cause: str = Field(description="The id of the request, call, webhook or act behind it.")
    sentence: str
    reason: str | None
    subject: SubjectShape | None
    failure: FailureShape | None
    evidence: EvidenceShape | None
    routing: RoutingShape | None
    next_action_at: str | None


class NoticeShape(_Shape):
    """A webhook of a PSP about the payment, as it came in and what became of it."""

    id: str = Field(description="The cause of the events that it made happen.")
    connector: str
    event: str = Field(description="The PSP's own identity of it.")
    kind: str = Field(description="The PSP's word for it.")
    occurred_at: str | None = Field(description=f"By the PSP's clock. {_MOMENT}")
    received_at: str = Field(description=_MOMENT)
    state: str = Field(description=_one_of(NoticeState))
    outcome: str | None = Field(description='In one word: "applied" where it was news, "implied" where it was known already.')
    settled_at: str | None = Field(description=_MOMENT)


class TimelineShape(_Shape):
    """Every event of a payment, in order, and what PSPs told about it by webhook."""

    object: Literal["timeline"]
    payment_id: str
    data: list[TimelineEntry]
    notices: list[NoticeShape]


class EndpointShape(_Shape):
    """A webhook endpoint, without its secret."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    events: list[str] = Field(description="Types of events, or * alone for every type.")
    description: str | None
    enabled: bool
    disabled_reason: str | None = Field(description="Why nothing is sent there now: by its merchant, or because it answered 410.")
    secret_rotates_until: str | None = Field(description="Until then the secret before the present one is valid as well. RFC 3339.")
    created_at: str = Field(description=_MOMENT)
    updated_at: str = Field(description=_MOMENT)


class EndpointWithSecretShape(EndpointShape):
    """A webhook endpoint with the secret that was just made for it. It is not shown again."""

    secret: str = Field(description="whsec_ and base64, as any library of Standard Webhooks takes it.")


class EndpointList(_Shape):
    """A page of webhook endpoints, newest first."""

    data: list[EndpointShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class DeletedEndpointShape(_Shape):
    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class DeliveryShape(_Shape):
    """What became of an event at one endpoint."""

    endpoint: str
    state: str = Field(description=_one_of(DeliveryState))
    attempts: int = Field(description="Tries since it was scheduled; sending it again begins anew.")
    last_status: int | None = Field(description="The HTTP status of the last answer; null where none came.")
    last_error: str | None
    last_attempt_at: str | None = Field(description=_MOMENT)
    next_attempt_at: str | None = Field(description=_MOMENT)
    delivered_at: str | None = Field(description=_MOMENT)


class EventDataShape(_Shape):
    """The payment as the event left it, and what of it the event is about."""

    payment: PaymentShape
    capture: OperationShape | None = None
    refund: OperationShape | None = None
    dispute: DisputeShape | None = None


class EventShape(_Shape):
    """An event as it is delivered (id, type, created_at, sequence, data), and what was delivered where."""

    id: str
    object: Literal["event"]
    type: str = Field(description=_one_of(EVENT_TYPES))
    created_at: str = Field(description=_MOMENT)
    sequence: int = Field(description="Orders the events of one payment: increasing, not dense.")
    data: EventDataShape
    deliveries: list[DeliveryShape]


class EventList(_Shape):
    """A page of events, newest first."""

    data: list[EventShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class DisputeList(_Shape):
    """A page of disputes, newest first."""

    data: list[DisputeShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class ScheduledShape(_Shape):
    """One event for one endpoint."""

    event: str
    endpoint: str


class ResendShape(_Shape):
    """What was scheduled to be sent again."""

    scheduled: int
    deliveries: list[ScheduledShape]


class FieldErrorShape(_Shape):
    pointer: str = Field(description='RFC 6901 pointer into the body ("" is all of it), or /name of a query parameter.')
    detail: str


class ObjectionShape(_Shape):
    """Why it may not be done: a code for programs, and a sentence that says what to do instead."""

    code: str
    why: str


class ProblemShape(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldErrorShape]
    retryable: bool = Field(description="The same request, unchanged and with the same Idempotency-Key, may succeed later.")
    money_moved: str = Field(description="What this request did: no, yes or unknown.")
    allowed: list[str] | None = Field(default=None, description="With operation_not_allowed: what is possible now.")
    objections: list[ObjectionShape] | None = Field(default=None, description="With operation_not_allowed, of an operator's plan.")
    plan: dict[str, JsonValue] | None = Field(default=None, description="With plan_changed: the plan made anew.")


class PartShape(_Shape):
    ok: bool
    detail: str


class ReadinessShape(_Shape):
    """Whether the platform can work, part by part."""

    ready: bool
    parts: dict[str, PartShape]
