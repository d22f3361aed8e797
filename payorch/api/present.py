"""How a payment looks to its merchant: one pure function from the domain's record to the JSON of the contract.

The same bytes are the answer to a command, the body of GET, and the `payment` inside an announcement. Only how money settled is known to
GET alone, because no event of a payment tells of it: to everything else what has moved is pending. What is left out is left out on purpose:
tokens and fingerprints of payment methods, calls to PSPs with their keys, the customer's e-mail address, raw PSP answers.

Not here: the story of a payment (`timeline`), the models of these shapes for the OpenAPI document (`shapes`), HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from payorch.domain.announcements import operation_of
from payorch.domain.decide import OPERATION_PREFIX
from payorch.domain.disputes import Dispute
from payorch.domain.events import DisputeChange, DisputeOpened, Event
from payorch.domain.identifiers import uuid_of
from payorch.domain.intent import Customer, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import ConnectorDetail, ErrorClass, Failure, NetworkDetail, NextAction
from payorch.domain.payment import PUBLIC_STATUS, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment
from payorch.domain.settlement import SettlementState, worst

View: TypeAlias = dict[str, object]
Settled: TypeAlias = Sequence[tuple[UUID, SettlementState]]
"""The subjects of a payment's movements, and how each movement stands."""

PUBLIC_OPERATION_STATUS: Final = {
    OperationState.REQUESTED: "pending",
    OperationState.SENT: "pending",
    OperationState.PENDING: "pending",
    OperationState.UNKNOWN: "pending",
    OperationState.SUCCEEDED: "succeeded",
    OperationState.FAILED: "failed",
    OperationState.REVERSED: "failed",
}
_UNCONFIRMED: Final = "unconfirmed"
# While the hold stands or is being used up, its end matters to the merchant; afterwards it is history.
_HOLD_MATTERS: Final = frozenset({State.AUTHORIZED, State.CAPTURING, State.PARTIALLY_CAPTURED, State.VOIDING, State.OUTCOME_UNKNOWN})
# Where no void was needed in the end: nothing is held.
_WISH_STATUS: Final = {State.CANCELED: "succeeded", State.FAILED: "succeeded"}
_CAPTURED_FIRST: Final = Failure(
    error_class=ErrorClass.OPERATION_NOT_ALLOWED, code="captured_first", message="The PSP captured the money by itself; it can be refunded."
)
_NO_CONNECTOR: Final = ConnectorDetail()
_NO_NETWORK: Final = NetworkDetail()

_encode: Final = msgspec.json.Encoder().encode


def may_have_moved(payment: Payment) -> bool:
    """Whether there may be movements of the payment: where not, how they settled need not be asked."""
    return bool(payment.operations or payment.disputes) or any(one.held_since is not None for one in payment.attempts)


def payment_json(payment: Payment, settled: Settled | None = None) -> bytes:
    """The payment of the contract, as UTF-8 JSON without white space."""
    return _encode(payment_view(payment, settled))


def operation_json(payment: Payment, operation_id: str, settled: Settled | None = None) -> bytes:
    """That operation of the payment, with the payment inside. KeyError where there is none.

    A void that came while money might still be moving has no operation of its own: it is shown as the wish that it is, without an id.
    """
    operation = payment.find_operation(operation_id)
    if operation is not None:
        view = operation_view(operation, settled)
    elif operation_id.startswith(f"{OPERATION_PREFIX[OperationKind.VOID]}_"):
        view = _wish_view(payment)
    else:
        raise KeyError(operation_id)
    return _encode({**view, "payment": payment_view(payment, settled)})


def answer_json(payment: Payment, operation_id: str | None) -> bytes:
    """What a command is answered with: its operation where it names one (`Claim.subject_id`), the payment otherwise."""
    return payment_json(payment) if operation_id is None else operation_json(payment, operation_id)


def page_json(payments: Sequence[Payment], next_cursor: str | None, settled: Mapping[str, Settled] | None = None) -> bytes:
    """One page of a list. settled: by payment; one that is not there has moved nothing."""
    views = [payment_view(payment, None if settled is None else settled.get(payment.id, ())) for payment in payments]
    return _encode({"data": views, "next_cursor": next_cursor})


def announcement_json(event_id: str, type: str, sequence: int, payment: Payment, event: Event) -> bytes:
    """The body of one event for the merchant's endpoints: the payment as the event left it, and the operation or dispute it is about."""
    data: View = {"payment": payment_view(payment)}
    kind = type.partition(".")[0]
    if kind in (OperationKind.CAPTURE, OperationKind.REFUND) and (operation := operation_of(event, payment)) is not None:
        data[kind] = operation_view(operation)
    elif isinstance(event.data, DisputeOpened | DisputeChange):
        data[kind] = dispute_view(event.data.dispute, payment.id)
    return _encode({"id": event_id, "type": type, "created_at": rfc3339(event.at), "sequence": sequence, "data": data})


def payment_view(payment: Payment, settled: Settled | None = None) -> View:
    """The members of a payment, ready to be encoded. settled: None where nobody asked."""
    intent, state = payment.intent, payment.state
    attempts = payment.attempts
    holding = payment.holding_attempt
    shown = holding or (attempts[-1] if attempts else None)
    captured = payment.captured_minor
    operations: dict[OperationKind, list[View]] = {kind: [] for kind in OperationKind}
    for operation in payment.operations:
        operations[operation.kind].append(operation_view(operation, settled))
    return {
        "id": payment.id,
        "object": "payment",
        "status": PUBLIC_STATUS[state],
        "state": state,
        "outcome": _UNCONFIRMED if payment.unconfirmed else None,
        "amount": intent.amount.minor,
        "currency": intent.amount.currency,
        "amount_authorized": payment.authorized_minor,
        "amount_captured": captured,
        "amount_capturable": payment.capturable_minor,
        "amount_refunded": payment.refunded_minor,
        "amount_refundable": payment.refundable_minor,
        "capture": intent.capture,
        "reference": intent.reference,
        "payment_method": _method(intent.method),
        "customer": _customer(intent.customer),
        "initiator": intent.initiator,
        "return_url": intent.return_url,
        "connector": shown.connector if shown is not None else None,
        "psp_reference": shown.psp_reference if shown is not None else None,
        "next_action": _next_action(attempts[-1].action) if state is State.REQUIRES_ACTION and attempts else None,
        "failure": failure_view(payment.failure),
        "authorization_expires_at": moment_view(holding.expires_at) if holding is not None and state in _HOLD_MATTERS else None,
        "cancel_requested": payment.cancel_requested,
        "cancellation_reason": payment.cancellation_reason,
        "attempts": [_attempt(attempt) for attempt in attempts],
        "captures": operations[OperationKind.CAPTURE],
        "refunds": operations[OperationKind.REFUND],
        "voids": operations[OperationKind.VOID],
        "disputes": [dispute_view(one, payment.id) for one in payment.disputes],
        "settlement": {"status": _settlement(captured > 0, settled)},
        "retry_of": intent.retry_of,
        "metadata": intent.metadata,
        "version": payment.version,
        "created_at": rfc3339(payment.created_at),
        "updated_at": rfc3339(payment.updated_at),
    }


def operation_view(operation: Operation, settled: Settled | None = None) -> View:
    """A capture, void or refund, without the payment around it."""
    void = operation.kind is OperationKind.VOID
    return {
        "id": operation.id,
        "object": operation.kind,
        "status": PUBLIC_OPERATION_STATUS[operation.state],
        "outcome": _UNCONFIRMED if operation.unconfirmed else None,
        # A void gives back whatever is left, and how much that is may be known to the PSP alone.
        "amount": None if void else operation.amount.minor,
        "currency": operation.amount.currency,
        "final": operation.final if operation.kind is OperationKind.CAPTURE else None,
        "reason": operation.reason,
        "reference": operation.reference,
        "metadata": operation.metadata,
        "failure": failure_view(operation.failure),
        "psp_reference": operation.psp_reference,
        "origin": operation.origin,
        "settlement": {"status": _settlement(operation.state is OperationState.SUCCEEDED and not void, settled, operation.id)},
        "created_at": rfc3339(operation.created_at),
        "updated_at": rfc3339(operation.updated_at),
    }


def dispute_view(dispute: Dispute, payment_id: str) -> View:
    """A stage of a dispute."""
    return {
        "id": dispute.id,
        "object": "dispute",
        "stage": dispute.stage,
        "status": dispute.status,
        "amount": dispute.amount.minor,
        "currency": dispute.amount.currency,
        "reason": dispute.reason,
        "respond_by": moment_view(dispute.respond_by),
        "psp_reference": dispute.psp_reference,
        "payment_id": payment_id,
        "created_at": rfc3339(dispute.created_at),
        "updated_at": rfc3339(dispute.updated_at),
    }


def _settlement(moved: bool, settled: Settled | None, subject_id: str | None = None) -> SettlementState:
    """How it stands with the PSP's reports: the whole, or one subject. moved: what to say where nobody asked."""
    if settled is None:
        return SettlementState.PENDING if moved else SettlementState.NOT_DUE
    subject = None if subject_id is None else uuid_of(subject_id)
    return worst([state for of, state in settled if subject is None or of == subject])


def _wish_view(payment: Payment) -> View:
    """A void without an operation: what became of the wish to release whatever the payment may come to hold."""
    ours = [one for one in payment.operations if one.kind is OperationKind.VOID and one.origin is Origin.SYSTEM]
    if ours and ours[-1].state is not OperationState.FAILED:
        return operation_view(ours[-1])  # the outcome became known, and the void that was wanted was made
    captured = payment.state is State.CAPTURED
    return {
        "id": None,
        "object": OperationKind.VOID,
        "status": "failed" if captured else _WISH_STATUS.get(payment.state, "pending"),
        "outcome": None,
        "amount": None,
        "currency": payment.intent.amount.currency,
        "final": None,
        "reason": None,
        "reference": payment.cancel_reference,
        "metadata": payment.cancel_metadata,
        "failure": failure_view(_CAPTURED_FIRST) if captured else None,
        "psp_reference": None,
        "origin": Origin.MERCHANT,
        "settlement": {"status": SettlementState.NOT_DUE},
        "created_at": rfc3339(payment.updated_at),
        "updated_at": rfc3339(payment.updated_at),
    }


def failure_view(failure: Failure | None) -> View | None:
    """Why not, in its three layers; the two inner ones always there, with nulls where nothing was said."""
    if failure is None:
        return None
    connector, network = failure.connector or _NO_CONNECTOR, failure.network or _NO_NETWORK
    return {
        "class": failure.error_class,
        "code": failure.code,
        "message": failure.message,
        "connector": {"code": connector.code, "message": connector.message, "http_status": connector.http_status},
        "network": {"decline_code": network.decline_code, "advice_code": network.advice_code},
    }


def rfc3339(at: datetime) -> str:
    """That moment in UTC with milliseconds: 2026-01-31T23:59:59.000Z. `at` must know its zone."""
    text = at.isoformat(timespec="milliseconds")
    if not text.endswith("+00:00"):
        text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text[:-6] + "Z"


def moment_view(at: datetime | None) -> str | None:
    """A moment, where there is one."""
    return rfc3339(at) if at is not None else None


def money_view(money: Money | None) -> View | None:
    """An amount, where there is one."""
    return {"amount": money.minor, "currency": money.currency} if money is not None else None


def _method(method: PaymentMethod | None) -> View | None:
    if method is None:
        return None
    return {"type": method.type, "brand": method.brand, "last4": method.last4, "country": method.country}


def _customer(customer: Customer | None) -> View | None:
    return {"reference": customer.reference, "country": customer.country} if customer is not None else None


def _next_action(action: NextAction | None) -> View | None:
    if action is None:
        return None
    return {"type": "redirect", "url": action.url, "method": action.method, "fields": dict(action.fields)}


def _attempt(attempt: Attempt) -> View:
    return {
        "id": attempt.id,
        "connector": attempt.connector,
        "state": attempt.state,
        "psp_reference": attempt.psp_reference,
        "failure": failure_view(attempt.failure),
        "created_at": rfc3339(attempt.created_at),
    }
