"""Which of a payment's events merchants hear of, and under which public name. One table; pure.

Not here: how the announcement looks or is delivered.
"""

from __future__ import annotations

from typing import Final

from payorch.domain.events import Correction, Event, OperationChange, OperationOpened
from payorch.domain.payment import Name, OperationState, State
from payorch.domain.records import Operation, OperationKind, Payment

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
_BY_NAME: Final = {Name.DISPUTE_OPENED: "dispute.opened", Name.DISPUTE_UPDATED: "dispute.updated"}
EVENT_TYPES: Final = tuple(dict.fromkeys((*BY_STATE.values(), *_BY_OPERATION.values(), *_BY_NAME.values())))
"""Every public name there is: what an endpoint may ask for."""


def announcements(before: Payment | None, event: Event, payment: Payment) -> tuple[str, ...]:
    """The public event types that this event is worth: none where it only says again what was known. `before`, `payment`: on both sides."""
    names: list[str] = []
    if event.name in _BY_NAME:
        names.append(_BY_NAME[event.name])
    operation = operation_of(event, payment)
    if operation is not None:
        known = next((one.state for one in before.operations if one.id == operation.id), None) if before is not None else None
        name = _BY_OPERATION.get((operation.kind, operation.state))
        if name is not None and operation.state is not known:
            names.append(name)
    if (before is None or event.to is not before.state) and event.to in BY_STATE:
        names.append(BY_STATE[event.to])
    return tuple(names)


def operation_of(event: Event, payment: Payment) -> Operation | None:
    """The operation that the event is about, as the event left it: `payment` is the one after it. None where it is about none."""
    match event.data:
        case OperationChange(operation_id=operation_id):
            return payment.operation(operation_id)
        case OperationOpened(operation=operation) | Correction(operation=Operation() as operation):
            return operation  # adopted from the PSP, or found by people, it comes with its result
        case _:
            return None
