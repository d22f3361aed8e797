"""Which of a payment's events merchants hear of, and under which public name. One table; pure.

Not here: how the announcement looks or is delivered.
"""

from __future__ import annotations

from typing import Final

from payorch.domain.events import Event, OperationChange
from payorch.domain.payment import OperationState, State
from payorch.domain.records import OperationKind, Payment

ANNOUNCEMENTS_PER_EVENT: Final = 4
"""The most that one event is announced by. An announcement's sequence is its event's times this, plus its place: increasing, not dense."""

BY_STATE: Final = {
    State.REQUIRES_ACTION: "payment.requires_action",
    State.AUTHORIZED: "payment.authorized",
    State.PARTIALLY_CAPTURED: "payment.partially_captured",
    State.CAPTURED: "payment.succeeded",
    State.FAILED: "payment.failed",
    State.CANCELED: "payment.canceled",
    State.OUTCOME_UNKNOWN: "payment.unconfirmed",
    State.MANUAL_REVIEW: "payment.review",
}
_BY_OPERATION: Final = {
    (OperationKind.CAPTURE, OperationState.SUCCEEDED): "capture.succeeded",
    (OperationKind.CAPTURE, OperationState.FAILED): "capture.failed",
    (OperationKind.CAPTURE, OperationState.REVERSED): "capture.failed",
    (OperationKind.REFUND, OperationState.PENDING): "refund.pending",
    (OperationKind.REFUND, OperationState.SUCCEEDED): "refund.succeeded",
    (OperationKind.REFUND, OperationState.FAILED): "refund.failed",
    (OperationKind.REFUND, OperationState.REVERSED): "refund.failed",
}


def announcements(before: State | None, event: Event, payment: Payment) -> tuple[str, ...]:
    """The public event types that this event is worth. `before`: the state it left; `payment`: as it left the payment."""
    names: list[str] = []
    if isinstance(event.data, OperationChange):
        operation = payment.operation(event.data.operation_id)
        name = _BY_OPERATION.get((operation.kind, operation.state))
        if name is not None and operation.updated_at == event.at and event.data.evidence is not None:
            names.append(name)
    if event.to is not before and event.to in BY_STATE:
        names.append(BY_STATE[event.to])
    return tuple(names)
