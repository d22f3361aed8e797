"""From evidence about a capture, void or refund to events.

A refund never moves the payment. A capture or void moves it where the payment waits for that answer; otherwise (another one decided
first, or people have it) the operation's own state follows the truth and the payment stays. Pure. The door is `weigh.weigh`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from payorch.domain.capability import Lookup
from payorch.domain.compare import look_soon
from payorch.domain.conflicts import captured_by, conflict_of_operation, told_by_the_total
from payorch.domain.decide import follow_up
from payorch.domain.desk import Story
from payorch.domain.intent import CaptureMode
from payorch.domain.outcome import Absent, Approved, Declined, ErrorClass, Evidence, Failure, NotExecuted, Pending, Released, Source
from payorch.domain.payment import (
    ATTEMPT_EDGES,
    EDGES,
    HOLDING_ATTEMPT,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    AttemptState,
    Name,
    OperationState,
    State,
)
from payorch.domain.proof import absence_proved, search_anew, search_on
from payorch.domain.records import Operation, OperationKind, Payment, Pursuit
from payorch.domain.session import still_unwanted

# A refusal of a refund that should have been possible: perhaps the PSP gave the money back without us.
_REFUND_IMPOSSIBLE: Final = frozenset({ErrorClass.OPERATION_NOT_ALLOWED, ErrorClass.INVALID_REQUEST})
_KIND_STATE: Final = {OperationKind.CAPTURE: State.CAPTURING, OperationKind.VOID: State.VOIDING}


def weigh_operation(story: Story, operation: Operation, evidence: Evidence) -> None:
    """Adds what this evidence makes of the operation and of its payment."""
    evidence = told_by_the_total(story.payment, operation, evidence)
    finding = evidence.finding
    if story.payment.hold is not None:
        return _keep(story, operation, evidence)
    if (conflict := conflict_of_operation(story.payment, operation, evidence)) is not None:
        return _contradict(story, operation, evidence, conflict)
    if operation.state not in OPEN_OPERATION:
        return _about_closed(story, operation, evidence)
    if isinstance(finding, Approved) or (isinstance(finding, Released) and operation.kind is OperationKind.VOID):
        return _succeeded(story, operation, evidence)
    if isinstance(finding, Pending):
        return _pending(story, operation, evidence)
    if isinstance(finding, (Declined, NotExecuted)) and _definitive(operation, evidence):
        return _failed(story, operation, evidence, finding.failure)
    if isinstance(finding, NotExecuted) and (not finding.sent or _turned_away(finding)):
        return _not_sent(story, operation, evidence, finding.failure)
    if isinstance(finding, Absent) and _absent(story, operation, evidence):
        failure = Failure(error_class=ErrorClass.NOT_SENT, code="never_executed", message="The PSP never executed this operation.")
        return _failed(story, operation, evidence, failure)
    return _unknown(story, operation, evidence)


def _definitive(operation: Operation, evidence: Evidence) -> bool:
    """A refusal counts when it answers the first sending, or when the same bytes were refused for what they say."""
    finding = evidence.finding
    if isinstance(finding, Declined):
        return True
    if not isinstance(finding, NotExecuted) or not finding.sent or _turned_away(finding):
        return False
    if evidence.source is Source.RESPONSE and operation.state is OperationState.REQUESTED:
        return True
    same_bytes = evidence.source in (Source.RESPONSE, Source.REPLAY)
    return same_bytes and finding.failure.error_class in (ErrorClass.INVALID_REQUEST, ErrorClass.OPERATION_NOT_ALLOWED)


def _turned_away(finding: NotExecuted) -> bool:
    """The PSP was too busy to look at the message: as good as not sent, so it is sent again by schedule."""
    return finding.failure.error_class is ErrorClass.RATE_LIMITED


def _decides(payment: Payment, operation: Operation) -> bool:
    """Whether the payment stands where this operation's answer moves it. The void of a second success beside an open attempt does not."""
    rival = payment.open_attempt is not None and payment.open_attempt.id != operation.attempt_id
    if operation.kind is OperationKind.REFUND or rival:
        return False
    waiting = payment.state is _KIND_STATE[operation.kind]
    return waiting or (payment.state is State.OUTCOME_UNKNOWN and operation.state is OperationState.UNKNOWN)


def _keep(story: Story, operation: Operation, evidence: Evidence) -> None:
    """While the payment is set aside: recorded, and the search stays as it was, to go on once it is released."""
    story.operation(
        Name.EVIDENCE_RECORDED, operation, operation.state, evidence=evidence,
        next_action_at=operation.next_action_at, pursuit=operation.pursuit, in_review=operation.in_review,
    )  # fmt: skip


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
    if operation.kind is OperationKind.CAPTURE and late_failure:
        if payment.state in (State.CAPTURED, State.PARTIALLY_CAPTURED):
            return story.operation(Name.LATE_CAPTURE_FAILURE, operation, OperationState.REVERSED, to=State.MANUAL_REVIEW, evidence=evidence)
        return _record(story, operation, evidence, OperationState.REVERSED)
    if operation.kind is OperationKind.CAPTURE and late_success:
        return _captured_late(story, operation, evidence)
    ended = isinstance(finding, (Approved, Released)) and operation.state is OperationState.FAILED
    if operation.kind is OperationKind.VOID and ended:
        return _voided_late(story, operation, evidence)
    return _record(story, operation, evidence, operation.state)


def _captured_late(story: Story, operation: Operation, evidence: Evidence) -> None:
    """Money was taken where the payment no longer waits for it: to people, by whichever edge leads there from here."""
    payment, done = story.payment, OperationState.SUCCEEDED
    names = [Name.LATE_SUCCESS, Name.UNEXPECTED_PROVIDER_STATE]
    if payment.captured_minor + operation.amount.minor + payment.capture_reserved_minor > payment.authorized_minor:
        names.append(Name.INTEGRITY_MISMATCH)
    for name in names:
        if State.MANUAL_REVIEW in EDGES[payment.state].get(name, ()):
            return story.operation(name, operation, done, to=State.MANUAL_REVIEW, evidence=evidence, reason="captured after all")
    return _record(story, operation, evidence, done)


def _voided_late(story: Story, operation: Operation, evidence: Evidence) -> None:
    """A void that had failed has worked after all: the hold, or the rest of it, is gone."""
    payment, done = story.payment, OperationState.SUCCEEDED
    held = payment.attempt(operation.attempt_id).state is AttemptState.AUTHORIZED
    to = State.CAPTURED if payment.captured_minor else State.CANCELED
    if held and to in EDGES[payment.state].get(Name.PROVIDER_VOIDED, ()):
        voided = AttemptState.VOIDED
        return story.operation(Name.PROVIDER_VOIDED, operation, done, to=to, evidence=evidence, attempt_state=voided)
    return _record(story, operation, evidence, done)


def _contradict(story: Story, operation: Operation, evidence: Evidence, why: str) -> None:
    state = OperationState.UNKNOWN if operation.state in OPEN_OPERATION else operation.state
    failure = Failure(error_class=ErrorClass.INTEGRITY_CONFLICT, code="integrity_conflict", message=f"Evidence contradicts: {why}.")
    unknown = (
        operation.kind is not OperationKind.REFUND and operation.state in OPEN_OPERATION and story.payment.state is State.OUTCOME_UNKNOWN
    )
    if unknown or _decides(story.payment, operation):
        if story.payment.state is State.VOIDING:  # people have it from there only by way of the unknown
            story.operation(Name.OUTCOME_LOST, operation, state, to=State.OUTCOME_UNKNOWN, evidence=evidence, reason=why)
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
        if payment.state is State.OUTCOME_UNKNOWN:
            return _record(story, operation, evidence, done)
        return _captured_late(story, operation, evidence)
    others = [one for one in payment.open_operations(OperationKind.CAPTURE) if one.id != operation.id]
    if payment.state is State.OUTCOME_UNKNOWN:
        if any(one.state is OperationState.UNKNOWN for one in others):
            return _record(story, operation, evidence, done)
        name = Name.RESOLVED_CAPTURE_PENDING if others else Name.RESOLVED_CAPTURED
    else:
        name = Name.CAPTURE_SUCCEEDED
    captured = payment.captured_minor + operation.amount.minor
    final = operation.final or payment.final_capture_made(frozenset({done}))
    closed = final or captured >= payment.authorized_minor
    to = State.CAPTURING if others else State.CAPTURED if closed else State.PARTIALLY_CAPTURED
    return story.operation(name, operation, done, to=to, evidence=evidence)


def _void_succeeded(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, done = story.payment, OperationState.SUCCEEDED
    attempt = payment.attempt(operation.attempt_id)
    ended = attempt.state is AttemptState.CHARGED or AttemptState.VOIDED not in ATTEMPT_EDGES[attempt.state]
    voided = None if ended else AttemptState.VOIDED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done, voided)
    name = Name.RESOLVED_VOIDED if payment.state is State.OUTCOME_UNKNOWN else Name.VOID_SUCCEEDED
    to = State.CAPTURED if payment.captured_minor else State.CANCELED
    if to is State.CANCELED and any(one.id != attempt.id and one.state in HOLDING_ATTEMPT for one in payment.attempts):
        name, to = Name.SECOND_SUCCESS, State.MANUAL_REVIEW  # one hold is gone, and there is another
    return story.operation(name, operation, done, to=to, evidence=evidence, attempt_state=voided)


def _pending(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, desk, limits = story.payment, story.desk, story.desk.limits
    # Once the time for it is over, an unknown stays one where nothing but the same answer to the same bytes can be had of the PSP.
    unaskable = desk.manifests[payment.attempt(operation.attempt_id).connector].lookup is Lookup.NONE
    past = operation.state is OperationState.UNKNOWN and desk.at >= operation.created_at + timedelta(
        seconds=limits.pending_deadline_seconds
    )
    if operation.state is OperationState.PENDING or (past and unaskable):
        return _look_again(story, operation, evidence)
    names = {OperationKind.CAPTURE: Name.RESOLVED_CAPTURE_PENDING, OperationKind.VOID: Name.RESOLVED_VOID_PENDING}
    both = payment.open_operations(OperationKind.CAPTURE, OperationKind.VOID)
    others_unknown = any(one.state is OperationState.UNKNOWN and one.id != operation.id for one in both)
    moves = payment.state is State.OUTCOME_UNKNOWN and _decides(payment, operation) and not others_unknown
    name = names[operation.kind] if moves else Name.REFUND_PENDING if operation.kind is OperationKind.REFUND else Name.OPERATION_PENDING
    return story.operation(
        name, operation, OperationState.PENDING, to=_KIND_STATE[operation.kind] if moves else None,
        evidence=evidence, next_action_at=desk.look_at(limits.pending_looks_seconds, 0), pursuit=search_anew(operation, evidence, desk),
    )  # fmt: skip


# --- failure ----------------------------------------------------------------------------------------------------------------------------


def _failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    match operation.kind:
        case OperationKind.REFUND:
            story.operation(Name.REFUND_FAILED, operation, OperationState.FAILED, evidence=evidence, failure=failure)
            if failure.error_class in _REFUND_IMPOSSIBLE:
                look_soon(story, operation.attempt_id, "a refund was refused that should have been possible", at_once=True)
        case OperationKind.CAPTURE:
            _capture_failed(story, operation, evidence, failure)
        case OperationKind.VOID:
            _void_failed(story, operation, evidence, failure)


def _capture_failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    payment, done = story.payment, OperationState.FAILED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done)
    resolving = payment.state is State.OUTCOME_UNKNOWN
    others = [one for one in payment.open_operations(OperationKind.CAPTURE) if one.id != operation.id]
    taken = evidence.captured.minor if evidence.captured is not None else 0
    if taken > captured_by(payment, operation.attempt_id) and not others:
        why, to = "refused, and more is captured at the PSP than by us", State.MANUAL_REVIEW
        return story.operation(Name.INTEGRITY_MISMATCH, operation, done, to=to, evidence=evidence, failure=failure, reason=why)
    if failure.error_class is ErrorClass.EXPIRED and not others:
        name = Name.RESOLVED_AUTHORIZATION_GONE if resolving else Name.CAPTURE_REJECTED_AUTHORIZATION_GONE
        to = State.CAPTURED if payment.captured_minor else State.CANCELED
        return story.operation(name, operation, done, to=to, evidence=evidence, failure=failure, attempt_state=AttemptState.VOIDED)
    if resolving and any(one.state is OperationState.UNKNOWN for one in others):
        return _record(story, operation, evidence, done)
    rest = State.PARTIALLY_CAPTURED if payment.captured_minor else State.AUTHORIZED
    not_sent = isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent
    name = Name.CAPTURE_NOT_SENT if not_sent else Name.CAPTURE_REJECTED
    if resolving:
        name = Name.RESOLVED_CAPTURE_PENDING if others else Name.RESOLVED_CAPTURE_NOT_DONE
    story.operation(name, operation, done, to=State.CAPTURING if others else rest, evidence=evidence, failure=failure)
    final = [one for one in story.payment.operations if one.kind is OperationKind.CAPTURE and one.final]
    closing = next((one for one in final if one.state is OperationState.SUCCEEDED), None)
    if rest is State.PARTIALLY_CAPTURED and not others and closing is not None:
        # The capture that released the rest came before this one's failure.
        return story.operation(Name.CAPTURE_CLOSED, closing, closing.state, to=State.CAPTURED)
    return None


def _void_failed(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    payment, done = story.payment, OperationState.FAILED
    if not _decides(payment, operation):
        return _record(story, operation, evidence, done)
    attempt = payment.attempt(operation.attempt_id)
    captured_there = evidence.captured is not None and evidence.captured.minor > payment.captured_minor
    if captured_there or attempt.state is AttemptState.CHARGED:
        return _void_too_late(story, operation, evidence, failure)
    resolving = payment.state is State.OUTCOME_UNKNOWN
    if attempt.state in OPEN_ATTEMPT and resolving:
        return _session_still_unknown(story, operation, evidence, failure)
    not_sent = isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent
    name = Name.RESOLVED_VOID_NOT_DONE if resolving else Name.VOID_NOT_SENT if not_sent else Name.VOID_REJECTED
    rest = State.PARTIALLY_CAPTURED if payment.captured_minor else State.AUTHORIZED
    if attempt.state in OPEN_ATTEMPT:
        rest = State.REQUIRES_ACTION
    elif attempt.state is not AttemptState.AUTHORIZED:
        # Nothing was there to be voided: the attempt ended by itself meanwhile.
        name = Name.RESOLVED_AUTHORIZATION_GONE if resolving else Name.PROVIDER_VOIDED
        rest = State.CAPTURED if payment.captured_minor else State.CANCELED
    story.operation(name, operation, done, to=rest, evidence=evidence, failure=failure)
    was_session = attempt.held_since is not None and operation.created_at < attempt.held_since
    if rest is State.AUTHORIZED and was_session:
        follow_up(story)  # the shopper was faster than the closing of the session
    elif rest is State.AUTHORIZED and payment.cancel_requested:
        still_unwanted(story, operation, failure)
    return None


def _session_still_unknown(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    """The unknown void of a shopper's session did not happen: the attempt itself is the open question again."""
    at = story.desk.at
    attempt = story.payment.attempt(operation.attempt_id)
    story.operation(Name.EVIDENCE_RECORDED, operation, OperationState.FAILED, evidence=evidence, failure=failure)
    waits = attempt.state is AttemptState.ACTION_REQUIRED
    name, to = (Name.RESOLVED_ACTION_REQUIRED, State.REQUIRES_ACTION) if waits else (Name.EVIDENCE_RECORDED, None)
    story.attempt(name, attempt, attempt.state, to=to, next_action_at=attempt.next_action_at or at, pursuit=attempt.pursuit)


def _void_too_late(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    """The money was captured before the void came. Ours (an automatic capture): that is the truth. Not ours: people."""
    payment, done = story.payment, OperationState.FAILED
    attempt = payment.attempt(operation.attempt_id)
    automatic = payment.intent.capture is CaptureMode.AUTOMATIC
    whole = evidence.captured is None or evidence.captured == attempt.amount
    captures = any(one.kind is OperationKind.CAPTURE and one.state is OperationState.SUCCEEDED for one in payment.operations)
    ours = automatic and whole and not captures
    charged = AttemptState.CHARGED if ours and attempt.state is not AttemptState.CHARGED else None
    if payment.state is State.OUTCOME_UNKNOWN:
        name = Name.RESOLVED_CAPTURED if ours else Name.INTEGRITY_MISMATCH
    else:
        name = Name.VOID_REJECTED_ALREADY_CAPTURED
    to = State.CAPTURED if ours else State.MANUAL_REVIEW
    return story.operation(name, operation, done, to=to, evidence=evidence, failure=failure, attempt_state=charged)


# --- not known yet ----------------------------------------------------------------------------------------------------------------------


def _not_sent(story: Story, operation: Operation, evidence: Evidence, failure: Failure) -> None:
    """Nobody looked at it: not sent, or turned away. Tried again by schedule inside its window; after that it has failed."""
    desk, limits = story.desk, story.desk.limits
    if operation.state is not OperationState.REQUESTED or evidence.source is not Source.RESPONSE:
        return _unknown(story, operation, evidence)  # that call was not sent; an earlier one may have been
    if desk.at >= operation.created_at + timedelta(seconds=limits.operation_window_seconds):
        return _failed(story, operation, evidence, failure)
    before = operation.pursuit or Pursuit(since=desk.at)
    # A sending before its time takes no step; its timer was moved to the moment of that very change (`bring_forward`).
    early = before.early > 0 and operation.next_action_at == operation.updated_at
    steps = before.steps if early else before.steps + 1
    pursuit = Pursuit(since=before.since, steps=steps, early=before.early)
    retry = desk.look_at(limits.operation_retry_seconds, max(steps - 1, 0))
    return story.operation(
        Name.EVIDENCE_RECORDED, operation, OperationState.REQUESTED, evidence=evidence,
        next_action_at=max(retry, evidence.retry_after or retry), pursuit=pursuit,
    )  # fmt: skip


def _absent(story: Story, operation: Operation, evidence: Evidence) -> bool:
    """Whether the PSP's "no such thing" proves that the operation never took effect."""
    payment, desk = story.payment, story.desk
    attempt = payment.attempt(operation.attempt_id)
    absences = (*(operation.pursuit.absences if operation.pursuit else ()), min(evidence.at, desk.at))
    if operation.state is not OperationState.UNKNOWN:
        return False  # it was pending there a moment ago, or may still be on its way
    known = attempt.psp_reference is not None
    manifest = desk.manifests[attempt.connector]
    return absence_proved(manifest, operation, absences, reference_known=known, unsure_before=desk.unsure_before)


def _unknown(story: Story, operation: Operation, evidence: Evidence) -> None:
    payment, desk = story.payment, story.desk
    if operation.state in (OperationState.UNKNOWN, OperationState.PENDING):
        return _look_again(story, operation, evidence)
    restart = evidence.source is Source.RESTART
    look = desk.at if restart else desk.look_at(desk.limits.unknown_looks_seconds, 0)
    pursuit = search_anew(operation, evidence, desk)
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
    age = (desk.at - before.since).total_seconds()
    decides = _decides(payment, operation)
    if operation.state is OperationState.PENDING and age >= limits.pending_deadline_seconds:
        refund = operation.kind is OperationKind.REFUND
        name = Name.PENDING_DEADLINE_PASSED if decides else Name.REFUND_UNKNOWN if refund else Name.EVIDENCE_RECORDED
        return story.operation(
            name, operation, OperationState.UNKNOWN, to=State.OUTCOME_UNKNOWN if decides else None,
            evidence=evidence, next_action_at=desk.at, pursuit=search_anew(operation, evidence, desk),
        )  # fmt: skip
    if operation.state is OperationState.UNKNOWN and age >= (before.budget_seconds or limits.unknown_budget_seconds):
        why = "the PSP could not be made to say what became of it in the time that the search has"
        name = Name.SYNC_BUDGET_EXHAUSTED if decides else Name.OPERATION_REVIEW_RAISED
        return story.operation(
            name, operation, operation.state, to=State.MANUAL_REVIEW if decides else None,
            evidence=evidence, in_review=True, reason=why,
        )  # fmt: skip
    looks = limits.pending_looks_seconds if operation.state is OperationState.PENDING else limits.unknown_looks_seconds
    attempt, absent = payment.attempt(operation.attempt_id), isinstance(evidence.finding, Absent)
    manifest, known = desk.manifests[attempt.connector], attempt.psp_reference is not None
    pursuit, look = search_on(operation, evidence, looks, desk, manifest=manifest, reference_known=known, absent=absent)
    return story.operation(
        Name.EVIDENCE_RECORDED, operation, operation.state, evidence=evidence,
        next_action_at=look, pursuit=pursuit, in_review=operation.in_review,
    )  # fmt: skip
