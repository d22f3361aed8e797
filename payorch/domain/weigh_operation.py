"""From evidence about a capture, void or refund to events.

A refund never moves the payment. A capture or void moves it where the payment waits for that answer; otherwise (another one decided
first, or people have it) the operation's own state follows the truth and the payment stays. Pure. The door is `weigh.weigh`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from payorch.domain.desk import Story, look_at
from payorch.domain.outcome import Absent, Approved, Declined, ErrorClass, Evidence, Failure, NotExecuted, Pending, Released, Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState, Name, OperationState, State
from payorch.domain.proof import absence_proved
from payorch.domain.records import Operation, OperationKind, Payment, Pursuit

_KIND_STATE: Final = {OperationKind.CAPTURE: State.CAPTURING, OperationKind.VOID: State.VOIDING}


def weigh_operation(story: Story, operation: Operation, evidence: Evidence) -> None:
    """Adds what this evidence makes of the operation and of its payment."""
    finding = evidence.finding
    if isinstance(finding, Approved) and (conflict := _conflict(operation, evidence)) is not None:
        return _contradict(story, operation, evidence, conflict)
    if operation.state not in OPEN_OPERATION:
        return _about_closed(story, operation, evidence)
    if isinstance(finding, Approved) or (isinstance(finding, Released) and operation.kind is OperationKind.VOID):
        return _succeeded(story, operation, evidence)
    if isinstance(finding, Pending):
        return _pending(story, operation, evidence)
    if isinstance(finding, (Declined, NotExecuted)) and _definitive(operation, evidence):
        return _failed(story, operation, evidence, finding.failure)
    if isinstance(finding, NotExecuted) and not finding.sent:
        return _not_sent(story, operation, evidence, finding.failure)
    if isinstance(finding, Absent) and _absent(story, operation, evidence):
        failure = Failure(error_class=ErrorClass.NOT_SENT, code="never_executed", message="The PSP never executed this operation.")
        return _failed(story, operation, evidence, failure)
    return _unknown(story, operation, evidence)


def _conflict(operation: Operation, evidence: Evidence) -> str | None:
    if evidence.our_reference is not None and evidence.our_reference != operation.id:
        return f"the PSP speaks of {evidence.our_reference}, not of {operation.id}"
    if operation.kind is not OperationKind.VOID and evidence.amount is not None and evidence.amount != operation.amount:
        theirs, ours = evidence.amount, operation.amount
        return f"the PSP reports {theirs.minor} {theirs.currency}, the operation is for {ours.minor} {ours.currency}"
    return None


def _definitive(operation: Operation, evidence: Evidence) -> bool:
    """A refusal counts when it answers the first sending, or when the same bytes were refused for what they say."""
    finding = evidence.finding
    if isinstance(finding, Declined):
        return True
    if not isinstance(finding, NotExecuted) or not finding.sent:
        return False
    first = evidence.source is Source.RESPONSE and operation.pursuit is None
    return first or finding.failure.error_class in (ErrorClass.INVALID_REQUEST, ErrorClass.OPERATION_NOT_ALLOWED)


def _decides(payment: Payment, operation: Operation) -> bool:
    """Whether the payment stands where this operation's answer moves it."""
    if operation.kind is OperationKind.REFUND:
        return False
    waiting = payment.state is _KIND_STATE[operation.kind]
    return waiting or (payment.state is State.OUTCOME_UNKNOWN and operation.state is OperationState.UNKNOWN)


def _record(
    story: Story, operation: Operation, evidence: Evidence, state: OperationState, attempt_state: AttemptState | None = None
) -> None:
    finding = evidence.finding
    failure = finding.failure if isinstance(finding, (Declined, NotExecuted)) and state is OperationState.FAILED else None
    story.operation(
        Name.EVIDENCE_RECORDED,
        operation,
        state,
        evidence=evidence,
        failure=failure,
        attempt_state=attempt_state,
        in_review=operation.in_review,
    )


def _about_closed(story: Story, operation: Operation, evidence: Evidence) -> None:
    """A late word on a settled operation: a late success or failure is recorded as what it is, anything else changes nothing."""
    finding, payment = evidence.finding, story.payment
    late_success = isinstance(finding, Approved) and operation.state in (OperationState.FAILED, OperationState.REVERSED)
    late_failure = isinstance(finding, Declined) and operation.state is OperationState.SUCCEEDED
    if operation.kind is OperationKind.REFUND and late_success:
        return story.operation(Name.REFUND_SUCCEEDED, operation, OperationState.SUCCEEDED, evidence=evidence)
    if operation.kind is OperationKind.REFUND and late_failure:
        return story.operation(Name.REFUND_REVERSED, operation, OperationState.REVERSED, evidence=evidence)
    if operation.kind is OperationKind.CAPTURE and late_failure and payment.state in (State.CAPTURED, State.PARTIALLY_CAPTURED):
        return story.operation(Name.LATE_CAPTURE_FAILURE, operation, OperationState.REVERSED, to=State.MANUAL_REVIEW, evidence=evidence)
    return _record(story, operation, evidence, operation.state)


def _contradict(story: Story, operation: Operation, evidence: Evidence, why: str) -> None:
    state = OperationState.UNKNOWN if operation.state in OPEN_OPERATION else operation.state
    failure = Failure(error_class=ErrorClass.INTEGRITY_CONFLICT, code="integrity_conflict", message=f"Evidence contradicts: {why}.")
    if _decides(story.payment, operation) and story.payment.state is not State.VOIDING:
        return story.operation(
            Name.INTEGRITY_MISMATCH, operation, state, to=State.MANUAL_REVIEW, evidence=evidence, failure=failure, reason=why
        )
    return story.operation(Name.OPERATION_REVIEW_RAISED, operation, state, evidence=evidence, failure=failure, in_review=True, reason=why)


# --- success ----------------------------------------------------------------------------------------------------------------------------


def _succeeded(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment = story.payment
    done = OperationState.SUCCEEDED
    if operation.kind is OperationKind.REFUND:
        return story.operation(Name.REFUND_SUCCEEDED, operation, done, evidence=evidence)
    if operation.kind is OperationKind.VOID:
        return _void_succeeded(story, operation, evidence)
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done)
    others = [one for one in payment.open_operations(OperationKind.CAPTURE) if one.id != operation.id]
    if payment.state is State.OUTCOME_UNKNOWN:
        if any(one.state is OperationState.UNKNOWN for one in others):
            return _record(story, operation, evidence, done)
        name = Name.RESOLVED_CAPTURE_PENDING if others else Name.RESOLVED_CAPTURED
    else:
        name = Name.CAPTURE_SUCCEEDED
    captured = payment.captured_minor + operation.amount.minor
    closed = operation.final or captured >= payment.authorized_minor
    to = State.CAPTURING if others else State.CAPTURED if closed else State.PARTIALLY_CAPTURED
    return story.operation(name, operation, done, to=to, evidence=evidence)


def _void_succeeded(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, done = story.payment, OperationState.SUCCEEDED
    attempt = payment.attempt(operation.attempt_id)
    voided = None if attempt.state in (AttemptState.CHARGED, AttemptState.VOIDED, AttemptState.DECLINED) else AttemptState.VOIDED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done, voided)
    name = Name.RESOLVED_VOIDED if payment.state is State.OUTCOME_UNKNOWN else Name.VOID_SUCCEEDED
    to = State.CAPTURED if payment.captured_minor else State.CANCELED
    return story.operation(name, operation, done, to=to, evidence=evidence, attempt_state=voided)


def _pending(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, at, limits = story.payment, story.desk.at, story.desk.limits
    if operation.state is OperationState.PENDING:
        return _look_again(story, operation, evidence)
    names = {OperationKind.CAPTURE: Name.RESOLVED_CAPTURE_PENDING, OperationKind.VOID: Name.RESOLVED_VOID_PENDING}
    moves = payment.state is State.OUTCOME_UNKNOWN and _decides(payment, operation)
    name = names[operation.kind] if moves else Name.REFUND_PENDING if operation.kind is OperationKind.REFUND else Name.OPERATION_PENDING
    return story.operation(
        name, operation, OperationState.PENDING, to=_KIND_STATE[operation.kind] if moves else None,
        evidence=evidence, next_action_at=look_at(limits.pending_looks_seconds, 0, at), pursuit=Pursuit(since=at),
    )  # fmt: skip


# --- failure ----------------------------------------------------------------------------------------------------------------------------


def _failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    match operation.kind:
        case OperationKind.REFUND:
            story.operation(Name.REFUND_FAILED, operation, OperationState.FAILED, evidence=evidence, failure=failure)
        case OperationKind.CAPTURE:
            _capture_failed(story, operation, evidence, failure)
        case OperationKind.VOID:
            _void_failed(story, operation, evidence, failure)


def _capture_failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    payment, done = story.payment, OperationState.FAILED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done)
    resolving = payment.state is State.OUTCOME_UNKNOWN
    if failure.error_class is ErrorClass.EXPIRED:
        name = Name.RESOLVED_AUTHORIZATION_GONE if resolving else Name.CAPTURE_REJECTED_AUTHORIZATION_GONE
        to = State.CAPTURED if payment.captured_minor else State.CANCELED
        return story.operation(name, operation, done, to=to, evidence=evidence, failure=failure, attempt_state=AttemptState.VOIDED)
    others = [one for one in payment.open_operations(OperationKind.CAPTURE) if one.id != operation.id]
    if resolving and any(one.state is OperationState.UNKNOWN for one in others):
        return _record(story, operation, evidence, done)
    rest = State.PARTIALLY_CAPTURED if payment.captured_minor else State.AUTHORIZED
    not_sent = isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent
    name = Name.CAPTURE_NOT_SENT if not_sent else Name.CAPTURE_REJECTED
    if resolving:
        name = Name.RESOLVED_CAPTURE_PENDING if others else Name.RESOLVED_CAPTURE_NOT_DONE
    return story.operation(name, operation, done, to=State.CAPTURING if others else rest, evidence=evidence, failure=failure)


def _void_failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    payment, done = story.payment, OperationState.FAILED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done)
    attempt = payment.attempt(operation.attempt_id)
    captured_there = evidence.captured is not None and evidence.captured.minor > payment.captured_minor
    if captured_there or attempt.state is AttemptState.CHARGED:
        return _void_too_late(story, operation, evidence, failure)
    open_session = attempt.state not in (AttemptState.AUTHORIZED, AttemptState.VOIDED)
    rest = State.PARTIALLY_CAPTURED if payment.captured_minor else State.REQUIRES_ACTION if open_session else State.AUTHORIZED
    if payment.state is State.OUTCOME_UNKNOWN:
        rest = State.PARTIALLY_CAPTURED if payment.captured_minor else State.AUTHORIZED
        return story.operation(Name.RESOLVED_VOID_NOT_DONE, operation, done, to=rest, evidence=evidence, failure=failure)
    not_sent = isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent
    name = Name.VOID_NOT_SENT if not_sent else Name.VOID_REJECTED
    return story.operation(name, operation, done, to=rest, evidence=evidence, failure=failure)


def _void_too_late(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    """The money was captured before the void came. Ours (an automatic capture): that is the truth. Not ours: people."""
    payment, done = story.payment, OperationState.FAILED
    attempt = payment.attempt(operation.attempt_id)
    ours = payment.intent.capture == "automatic"
    charged = AttemptState.CHARGED if ours and attempt.state is not AttemptState.CHARGED else None
    if payment.state is State.OUTCOME_UNKNOWN:
        name = Name.RESOLVED_CHARGED if ours else Name.INTEGRITY_MISMATCH
    else:
        name = Name.VOID_REJECTED_ALREADY_CAPTURED
    to = State.CAPTURED if ours else State.MANUAL_REVIEW
    return story.operation(name, operation, done, to=to, evidence=evidence, failure=failure, attempt_state=charged)


# --- not known yet ----------------------------------------------------------------------------------------------------------------------


def _not_sent(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    """Not a byte was written. Tried again by schedule inside the operation's window; after it the operation has failed."""
    desk, limits = story.desk, story.desk.limits
    if operation.state is not OperationState.REQUESTED:
        return _look_again(story, operation, evidence)
    if desk.at >= operation.created_at + timedelta(seconds=limits.operation_window_seconds):
        return _failed(story, operation, evidence, failure)
    before = operation.pursuit or Pursuit(since=desk.at)
    pursuit = Pursuit(since=before.since, steps=before.steps + 1)
    return story.operation(
        Name.EVIDENCE_RECORDED, operation, OperationState.REQUESTED, evidence=evidence,
        next_action_at=look_at(limits.operation_retry_seconds, before.steps, desk.at), pursuit=pursuit,
    )  # fmt: skip


def _absent(story: Story, operation: Operation, evidence: Evidence) -> bool:
    """Whether the PSP's "no such thing" proves that the operation never took effect."""
    payment, desk = story.payment, story.desk
    attempt = payment.attempt(operation.attempt_id)
    absences = (*(operation.pursuit.absences if operation.pursuit else ()), evidence.at)
    known = attempt.psp_reference is not None
    return absence_proved(desk.manifests[attempt.connector], operation, absences, reference_known=known)


def _unknown(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, desk = story.payment, story.desk
    if operation.state in (OperationState.UNKNOWN, OperationState.PENDING):
        return _look_again(story, operation, evidence)
    restart = evidence.source is Source.RESTART
    look = desk.at if restart else look_at(desk.limits.unknown_looks_seconds, 0, desk.at)
    pursuit = Pursuit(since=desk.at)
    lost = Name.FOUND_SENT_AFTER_RESTART if restart else Name.OUTCOME_LOST
    decides = _decides(payment, operation) and payment.state is not State.OUTCOME_UNKNOWN
    name = lost if decides else Name.REFUND_UNKNOWN if operation.kind is OperationKind.REFUND else Name.EVIDENCE_RECORDED
    return story.operation(
        name, operation, OperationState.UNKNOWN, to=State.OUTCOME_UNKNOWN if decides else None,
        evidence=evidence, next_action_at=look, pursuit=pursuit,
    )  # fmt: skip


def _look_again(story: Story, operation: Operation, evidence: Evidence) -> None:
    """Nothing new: the next look by schedule; a pending operation past its deadline is unknown; a spent search goes to people."""
    payment, desk, limits = story.payment, story.desk, story.desk.limits
    before = operation.pursuit or Pursuit(since=desk.at)
    absences = (*before.absences, desk.at) if isinstance(evidence.finding, Absent) else before.absences
    pursuit = Pursuit(since=before.since, steps=before.steps + 1, absences=absences)
    age = (desk.at - before.since).total_seconds()
    decides = _decides(payment, operation)
    if operation.state is OperationState.PENDING and age >= limits.pending_deadline_seconds:
        name = Name.PENDING_DEADLINE_PASSED if decides else Name.REFUND_UNKNOWN
        return story.operation(
            name, operation, OperationState.UNKNOWN, to=State.OUTCOME_UNKNOWN if decides else None,
            evidence=evidence, next_action_at=desk.at, pursuit=Pursuit(since=desk.at),
        )  # fmt: skip
    if operation.state is OperationState.UNKNOWN and age >= limits.unknown_budget_seconds:
        why = "the PSP could not be made to say what became of it in the time that the search has"
        name = Name.SYNC_BUDGET_EXHAUSTED if decides else Name.OPERATION_REVIEW_RAISED
        return story.operation(
            name, operation, operation.state, to=State.MANUAL_REVIEW if decides else None,
            evidence=evidence, in_review=True, reason=why,
        )  # fmt: skip
    looks = limits.pending_looks_seconds if operation.state is OperationState.PENDING else limits.unknown_looks_seconds
    return story.operation(
        Name.EVIDENCE_RECORDED, operation, operation.state, evidence=evidence,
        next_action_at=look_at(looks, pursuit.steps, desk.at), pursuit=pursuit, in_review=operation.in_review,
    )  # fmt: skip
