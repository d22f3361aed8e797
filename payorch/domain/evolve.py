"""What an event does to a payment: the only way a payment changes. No decisions here, and nothing is refused but the illegal.

Replaying a payment's events through `evolve` gives the payment, always and everywhere the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, assert_never

from msgspec.structs import replace

from payorch.domain import events as e
from payorch.domain.disputes import DISPUTE_EDGES, Dispute
from payorch.domain.outcome import Declined, Failure, NotExecuted, Pending, Source
from payorch.domain.payment import (
    HOLDING_ATTEMPT,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    TERMINAL,
    AttemptState,
    IllegalTransition,
    Name,
    OperationState,
    State,
    check_attempt_move,
    check_move,
    check_operation_move,
)
from payorch.domain.records import Attempt, CancellationReason, Operation, OperationKind, Payment, Pursuit

_CANCELLATION: Final = {
    Name.MERCHANT_CANCELED: CancellationReason.MERCHANT,
    Name.INTENT_EXPIRED: CancellationReason.INTENT_EXPIRED,
    Name.CUSTOMER_CANCELED: CancellationReason.CUSTOMER,
    Name.RESOLVED_CUSTOMER_CANCELED: CancellationReason.CUSTOMER,
    Name.PROVIDER_EXPIRED: CancellationReason.AUTHORIZATION_EXPIRED,
    Name.ACTION_EXPIRED: CancellationReason.INTENT_EXPIRED,
    Name.AUTHORIZATION_EXPIRED: CancellationReason.AUTHORIZATION_EXPIRED,
    Name.RESOLVED_AUTHORIZATION_GONE: CancellationReason.AUTHORIZATION_EXPIRED,
    Name.CAPTURE_REJECTED_AUTHORIZATION_GONE: CancellationReason.AUTHORIZATION_EXPIRED,
    Name.PROVIDER_VOIDED: CancellationReason.VOIDED,
    Name.VOID_SUCCEEDED: CancellationReason.VOIDED,
    Name.RESOLVED_VOIDED: CancellationReason.VOIDED,
    Name.FENCED_ABSENT: CancellationReason.FENCED,
    Name.CORRECTION_APPROVED: CancellationReason.VOIDED,
}


def evolve(payment: Payment | None, event: e.Event) -> Payment:
    """The payment after `event`. `None` before its birth. Raises IllegalTransition, and then nothing has changed."""
    if payment is None or event.name is Name.PAYMENT_CREATED:
        return _born(payment, event)
    check_move(payment.state, event.name, event.to)
    changed = _apply(payment, event)
    return _settle(changed, payment, event)


def replay(events: Iterable[e.Event]) -> Payment:
    """The payment that these events, in order and from the first, make. Raises IllegalTransition where they make none."""
    payment: Payment | None = None
    for event in events:
        payment = evolve(payment, event)
    if payment is None:
        raise IllegalTransition("a payment begins with PaymentCreated")
    return payment


def _born(payment: Payment | None, event: e.Event) -> Payment:
    if payment is not None or not isinstance(event.data, e.Created) or event.to is not State.CREATED:
        raise IllegalTransition("a payment begins with PaymentCreated, once")
    return Payment(
        id=event.data.payment_id,
        merchant_id=event.data.merchant_id,
        state=State.CREATED,
        version=1,
        intent=event.data.intent,
        created_at=event.at,
        updated_at=event.at,
        next_action_at=event.data.expires_at,
    )


def _settle(changed: Payment, before: Payment, event: e.Event) -> Payment:
    """Version, time, state, and what a state says about the payment as a whole."""
    failure, reason, review = changed.failure, changed.cancellation_reason, changed.review_reason
    attempts = changed.attempts
    if event.to is not before.state:
        if before.state is State.MANUAL_REVIEW:
            failure = reason = None  # what people found replaces what the payment said of itself before
        if event.to in TERMINAL:
            attempts = tuple(_no_more_looks(one) for one in attempts)
        if event.to is State.FAILED:
            failure = _failure_of(event) or failure
        if event.to is State.CANCELED:
            reason = _CANCELLATION.get(event.name, CancellationReason.MERCHANT)
        review = str(event.name) if event.to is State.MANUAL_REVIEW else None
    return replace(
        changed,
        state=event.to,
        version=before.version + 1,
        updated_at=event.at,
        attempts=attempts,
        failure=failure,
        cancellation_reason=reason,
        review_reason=review,
    )


def _with_dispute(payment: Payment, dispute: Dispute) -> Payment:
    before = payment.dispute(dispute.id)
    if dispute.status is not before.status and dispute.status not in DISPUTE_EDGES[before.status]:
        raise IllegalTransition(f"a dispute does not go from {before.status} to {dispute.status}")
    return replace(payment, disputes=tuple([dispute if one.id == dispute.id else one for one in payment.disputes]))


def _no_more_looks(attempt: Attempt) -> Attempt:
    """Once the capture side is closed, nobody needs to know what became of the hold. A comparison of the books (`compare`) goes on."""
    idle = attempt.state in HOLDING_ATTEMPT and attempt.next_action_at is not None and attempt.pursuit is None
    return replace(attempt, next_action_at=None) if idle else attempt


def _held_since(attempt: Attempt, state: AttemptState, event: e.Event) -> datetime | None:
    return attempt.held_since or (event.at if state in HOLDING_ATTEMPT else None)


def _failure_of(event: e.Event) -> Failure | None:
    data = event.data
    if isinstance(data, (e.Ending, e.AttemptChange)) and data.failure is not None:
        return data.failure
    if isinstance(data, e.AttemptChange) and data.evidence is not None:
        finding = data.evidence.finding
        return finding.failure if isinstance(finding, (Declined, NotExecuted)) else None
    return None


def _apply(payment: Payment, event: e.Event) -> Payment:
    match event.data:
        case e.Confirmation(method=method, return_url=return_url, authorize_until=until):
            intent = replace(payment.intent, method=method, return_url=return_url)
            return replace(payment, intent=intent, authorize_until=until, next_action_at=None)
        case e.Choice(decision=decision):
            return replace(payment, decision=decision)
        case e.AttemptOpened(attempt=attempt):
            return replace(payment, attempts=(*payment.attempts, attempt))
        case e.AttemptChange() as change:
            return _change_attempt(payment, change, event)
        case e.Completion() as completion:
            return _complete(payment, completion, event)
        case e.FenceOpened(attempt_id=attempt_id, fence=fence):
            return _with_attempt(payment, replace(payment.attempt(attempt_id), fence=fence, updated_at=event.at))
        case e.DisputeOpened(dispute=dispute):
            return replace(payment, disputes=(*payment.disputes, dispute))
        case e.DisputeChange(dispute=dispute):
            return _with_dispute(payment, replace(dispute, updated_at=event.at))
        case e.OperationOpened(operation=operation):
            return replace(payment, operations=(*payment.operations, operation))
        case e.OperationChange() as change:
            return _change_operation(payment, change, event)
        case e.Ending():
            return replace(payment, next_action_at=None)
        case e.CancelIntent(reference=reference, metadata=metadata):
            return replace(payment, cancel_requested=True, cancel_reference=reference, cancel_metadata=metadata)
        case e.HoldSet(hold=hold):
            return replace(payment, hold=hold)
        case e.HoldEnded():
            return replace(payment, hold=None)
        case e.Correction() as correction:
            return _correct(payment, correction, event)
        case e.Resync() as resync:
            return _resync(payment, resync, event)
        case e.Discrepancy() | e.ReviewWanted():
            return payment
        case e.Created():
            raise IllegalTransition("a payment is created once")
        case _ as never:
            assert_never(never)


def _with_attempt(payment: Payment, changed: Attempt) -> Payment:
    return replace(payment, attempts=tuple(changed if one.id == changed.id else one for one in payment.attempts))


def _with_operation(payment: Payment, changed: Operation) -> Payment:
    return replace(payment, operations=tuple(changed if one.id == changed.id else one for one in payment.operations))


def _change_attempt(payment: Payment, change: e.AttemptChange, event: e.Event) -> Payment:
    attempt = payment.attempt(change.attempt_id)
    check_attempt_move(attempt.state, change.state)
    evidence, failure = change.evidence, change.failure
    finding = evidence.finding if evidence is not None else None
    if failure is None and isinstance(finding, (Declined, NotExecuted)) and change.state is not attempt.state:
        failure = finding.failure
    if change.state not in HOLDING_ATTEMPT:
        failure = failure or attempt.failure
    action = attempt.action if change.state is AttemptState.ACTION_REQUIRED else None
    if isinstance(finding, Pending) and finding.action is not None:
        action = finding.action
    return _with_attempt(
        payment,
        replace(
            attempt,
            state=change.state,
            updated_at=event.at,
            psp_reference=(evidence.psp_reference if evidence is not None else None) or attempt.psp_reference,
            money_reference=attempt.money_reference or (evidence.money_reference if evidence is not None else None),
            expires_at=(evidence.expires_at if evidence is not None else None) or attempt.expires_at,
            action=action,
            failure=failure,
            next_action_at=change.next_action_at,
            pursuit=change.pursuit,
            held_since=_held_since(attempt, change.state, event),
            completing=_is_unanswered(attempt, change),
            ready=change.state is AttemptState.ACTION_REQUIRED and (attempt.ready or (isinstance(finding, Pending) and finding.ready)),
        ),
    )


def _is_unanswered(attempt: Attempt, change: e.AttemptChange) -> bool:
    """Whether the completing call may have moved money or still do: until it was itself answered by "the shopper's turn again"."""
    if not attempt.completing or change.state not in OPEN_ATTEMPT or change.evidence is None:
        return attempt.completing and change.state in OPEN_ATTEMPT
    finding = change.evidence.finding
    turn = isinstance(finding, Pending) and (finding.action is not None or finding.ready)
    return not (turn and change.evidence.source in (Source.RESPONSE, Source.REPLAY))


def _complete(payment: Payment, completion: e.Completion, event: e.Event) -> Payment:
    attempt = payment.attempt(completion.attempt_id)
    check_attempt_move(attempt.state, AttemptState.SENT)
    return _with_attempt(
        payment,
        replace(
            attempt,
            state=AttemptState.SENT,
            updated_at=event.at,
            call=completion.call,
            psp_key=completion.psp_key,
            psp_key_safe_until=completion.psp_key_safe_until,
            action=None,
            next_action_at=completion.next_action_at,
            pursuit=None,
            completions=attempt.completions + 1,
            completing=True,
            ready=False,
        ),
    )


def _change_operation(payment: Payment, change: e.OperationChange, event: e.Event) -> Payment:
    operation = payment.operation(change.operation_id)
    check_operation_move(operation.state, change.state)
    evidence = change.evidence
    if change.attempt_state is not None:
        attempt = payment.attempt(operation.attempt_id)
        owed = attempt.state in HOLDING_ATTEMPT and attempt.pursuit is not None  # a comparison of the books goes on
        check_attempt_move(attempt.state, change.attempt_state)
        payment = _with_attempt(
            payment,
            replace(
                attempt,
                state=change.attempt_state,
                updated_at=event.at,
                next_action_at=attempt.next_action_at if owed else None,
                pursuit=attempt.pursuit if owed else None,
                action=None,
                held_since=_held_since(attempt, change.attempt_state, event),
            ),
        )
    return _with_operation(
        payment,
        replace(
            operation,
            state=change.state,
            updated_at=event.at,
            psp_reference=(evidence.psp_reference if evidence is not None else None) or operation.psp_reference,
            failure=change.failure or (operation.failure if change.state is operation.state else None),
            next_action_at=change.next_action_at,
            pursuit=change.pursuit,
            in_review=change.in_review,
        ),
    )


def _correct(payment: Payment, correction: e.Correction, event: e.Event) -> Payment:
    """People may find an attempt to be anything: their word replaces the search, so the attempt's own table does not bind them."""
    if correction.attempt_id is not None and correction.attempt_state is not None:
        payment = _found_to_be(payment, correction.attempt_id, correction.attempt_state, event)
    for attempt_id, state in correction.others.items():
        payment = _found_to_be(payment, attempt_id, state, event)
    for operation in (*((correction.operation,) if correction.operation is not None else ()), *correction.operations):
        known = payment.find_operation(operation.id) is not None
        more = () if known else (operation,)
        payment = _with_operation(payment, operation) if known else replace(payment, operations=(*payment.operations, *more))
    return payment


def _found_to_be(payment: Payment, attempt_id: str, state: AttemptState, event: e.Event) -> Payment:
    attempt = payment.attempt(attempt_id)
    look = event.at if state is AttemptState.AUTHORIZED else None  # a hold is asked about, whoever found it
    held_since = _held_since(attempt, state, event)
    changed = replace(attempt, state=state, updated_at=event.at, next_action_at=look, pursuit=None, action=None, held_since=held_since)
    return _with_attempt(payment, changed)


def _resync(payment: Payment, resync: e.Resync, event: e.Event) -> Payment:
    """A new search, as if the outcome had just been lost: the subject, and whatever review froze while it was open, is unknown again."""
    pursuit, look = Pursuit(since=event.at, budget_seconds=resync.budget_seconds), resync.next_action_at
    for attempt in payment.attempts:
        was_open = attempt.state in OPEN_ATTEMPT
        if attempt.id == resync.attempt_id or was_open:
            unsure = AttemptState.UNKNOWN if was_open else attempt.state
            payment = _with_attempt(payment, replace(attempt, state=unsure, next_action_at=look, pursuit=pursuit))
    for operation in payment.operations:
        frozen = operation.state in OPEN_OPERATION and operation.next_action_at is None and operation.kind is not OperationKind.REFUND
        if operation.id == resync.operation_id or frozen:
            lost = OperationState.UNKNOWN if operation.state in OPEN_OPERATION else operation.state
            again = replace(operation, state=lost, next_action_at=look, pursuit=pursuit, in_review=False)
            payment = _with_operation(payment, again)
    return payment
