"""What happens to a payment next if nobody does anything: the next automatic step, its time, and what comes of it when it is in vain. Pure.

The same tables as those that decide (`proof`), asked for the moment of the next timer: what is said here is what will be done, as far as
nothing is learnt before. Not here: taking the step (the payment's actor), who wakes it (recovery).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.desk import Desk, Limits
from payorch.domain.payment import ON_THE_WIRE_ATTEMPT, TERMINAL, AttemptState, OperationState, State
from payorch.domain.proof import Means, attempt_means, operation_means
from payorch.domain.records import Attempt, Operation, Payment


class NextStep(Struct, frozen=True, kw_only=True):
    """text: what is done. at: when; None where there is no telling. then: what follows when it is in vain, by `gives_up_at`."""

    text: str
    at: datetime | None = None
    then: str | None = None
    gives_up_at: datetime | None = None


_DOES: Final[Mapping[Means, str]] = {
    Means.SEND: "{what} is sent to {connector}",
    Means.REPLAY: "{look}: the same request again to {connector}, under the same key",
    Means.INQUIRE: "{look}: {connector} is asked what became of {what}",
    Means.COMPLETE: "{connector} is told to complete it",
    Means.FENCE: "{connector} is told never to charge it any more",
    Means.LOST: "{connector}'s answer to {what} is given up",
    Means.WAIT: "{connector} cannot be asked: its webhook or settlement report has to tell what became of {what}",
}
"""Total over Means."""
_PEOPLE: Final = "people decide"


def next_step(payment: Payment, desk: Desk) -> NextStep | None:
    """The payment's next step as things stand; None where it is at rest. desk: of now; nothing is made with it."""
    if payment.hold is not None:
        return NextStep(text="nothing, until an operator releases it", then=_PEOPLE)
    subject = _first(payment)
    if payment.next_action_at is not None and (subject is None or payment.next_action_at <= _at(subject)):
        return NextStep(text="it ends unless it is confirmed before", at=payment.next_action_at, then="canceled; no money moved")
    if subject is None:
        return _without_timer(payment)
    # A timer that is over is a step that is about to be taken: the sweep has not come by yet, or the platform was away.
    then = replace(desk, at=max(_at(subject), desk.at))
    if isinstance(subject, Attempt):
        return _of_attempt(payment, subject, then)
    return _of_operation(payment, subject, then)


def _first(payment: Payment) -> Attempt | Operation | None:
    some: list[Attempt | Operation] = [one for one in payment.attempts if one.next_action_at is not None]
    some += [one for one in payment.operations if one.next_action_at is not None and not one.in_review]
    return min(some, key=_at, default=None)


def _at(subject: Attempt | Operation) -> datetime:
    assert subject.next_action_at is not None, "only those with a timer are asked"
    return subject.next_action_at


def _without_timer(payment: Payment) -> NextStep | None:
    if payment.state is State.MANUAL_REVIEW:
        return NextStep(text="nothing by itself", then=_PEOPLE)
    if any(one.in_review for one in payment.operations):
        return NextStep(text="nothing by itself: an operation is in review", then=_PEOPLE)
    if payment.state is State.ROUTING:
        return NextStep(text="the next connector is chosen")
    if payment.state in TERMINAL:
        return None
    return NextStep(text="nothing by itself: the merchant's next call")


def _of_attempt(payment: Payment, attempt: Attempt, desk: Desk) -> NextStep:
    limits = desk.limits
    if attempt.state in (AttemptState.AUTHORIZED, AttemptState.CHARGED, AttemptState.VOIDED):
        look = f"{attempt.connector} is asked whether the hold still stands" if attempt.state is AttemptState.AUTHORIZED else None
        return NextStep(text=look or f"{attempt.connector} is asked what it took and gave back in all", at=attempt.next_action_at)
    means = attempt_means(payment, attempt, desk) if attempt.connector in desk.manifests else Means.WAIT
    text = _DOES[means].format(what="the authorisation", connector=attempt.connector, look=_look(attempt))
    if attempt.state in ON_THE_WIRE_ATTEMPT:
        return NextStep(text=text, at=attempt.next_action_at, then="its outcome is unknown, and is looked for")
    seconds, then = _patience(payment, limits)
    return NextStep(text=text, at=attempt.next_action_at, then=then, gives_up_at=_over(attempt, seconds))


def _patience(payment: Payment, limits: Limits) -> tuple[int, str]:
    """How long a search for an attempt's outcome goes on in this state, and what it ends with: as `weigh` has it."""
    match payment.state:
        case State.REQUIRES_ACTION | State.VOIDING:
            return limits.action_deadline_seconds, "the shopper is given up, and what became of it is looked for"
        case State.PROVIDER_PENDING:
            return limits.pending_deadline_seconds, "its outcome counts as unknown, and is looked for"
        case _:
            return limits.unknown_budget_seconds, _PEOPLE


def _of_operation(payment: Payment, operation: Operation, desk: Desk) -> NextStep:
    limits, connector = desk.limits, payment.attempt(operation.attempt_id).connector
    means = operation_means(payment, operation, desk) if connector in desk.manifests else Means.WAIT
    text = _DOES[means].format(what=f"the {operation.kind}", connector=connector, look=_look(operation))
    at = operation.next_action_at
    if operation.on_the_wire:
        return NextStep(text=text, at=at, then="its outcome is unknown, and is looked for")
    if operation.state is OperationState.REQUESTED:
        window = operation.created_at + timedelta(seconds=limits.operation_window_seconds)
        return NextStep(text=text, at=at, then=f"the {operation.kind} has failed; it was never sent", gives_up_at=window)
    if operation.state is OperationState.PENDING:
        gives_up = _over(operation, limits.pending_deadline_seconds)
        return NextStep(text=text, at=at, then="its outcome counts as unknown, and is looked for", gives_up_at=gives_up)
    return NextStep(text=text, at=at, then=_PEOPLE, gives_up_at=_over(operation, limits.unknown_budget_seconds))


def _over(subject: Attempt | Operation, seconds: int) -> datetime:
    since = subject.pursuit.since if subject.pursuit is not None else subject.created_at
    return since + timedelta(seconds=seconds)


def _look(subject: Attempt | Operation) -> str:
    return f"look #{looks(subject) + 1}"


def looks(subject: Attempt | Operation) -> int:
    """How many looks its search has had by schedule."""
    return subject.pursuit.steps if subject.pursuit is not None else 0
