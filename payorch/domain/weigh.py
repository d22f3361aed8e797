"""From evidence about an attempt to events. Evidence is never refused: it is implied by what is known (recorded, no effect), new and
consistent (its edge), or contradictory (people).

`weigh` is the door for both kinds of subject; operations are weighed in `weigh_operation`. Pure. Not here: how evidence is obtained
(`proof` says when to look), nor what a PSP's answer means (each connector).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, assert_never

from msgspec.structs import replace

from payorch.domain.adopt import adopt_refunds, adopt_void, adoption_waits, captured_elsewhere, rest_is_gone
from payorch.domain.capability import Lookup
from payorch.domain.compare import comparing, conclusive, look_further, next_hold_look
from payorch.domain.completion import is_outdated, is_over, may_complete, says_done
from payorch.domain.conflicts import conflict_of_operation
from payorch.domain.decide import follow_up, next_attempt, untried, wanted
from payorch.domain.desk import Desk, Story
from payorch.domain.events import Ending
from payorch.domain.failover import may_step_up, retry_forbidden
from payorch.domain.fencing import word_of_a_fence
from payorch.domain.intent import CaptureMode
from payorch.domain.late import about_closed, about_rival
from payorch.domain.outcome import (
    POLICY,
    TOLD,
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.payment import EDGES, HOLDING_ATTEMPT, ON_THE_WIRE_ATTEMPT, OPEN_ATTEMPT, AttemptState, Name, OperationState, State
from payorch.domain.proof import absence_proved, proof_possible_at, search_anew, search_on
from payorch.domain.records import Attempt, OperationKind, Payment, Pursuit
from payorch.domain.session import (
    abandoned,
    close_overdue,
    close_unwanted,
    give_back_again,
)
from payorch.domain.weigh_nothing import conflict_of, contradict, record
from payorch.domain.weigh_operation import weigh_operation

_CAPTURE_SIDE_AT_REST: Final = frozenset({State.AUTHORIZED, State.PARTIALLY_CAPTURED, State.CAPTURED})
_AWAITING_ANSWER: Final = frozenset({State.AUTHORIZING, State.REQUIRES_ACTION, State.PROVIDER_PENDING})


def weigh(payment: Payment, subject_id: str, evidence: Evidence, desk: Desk) -> Story:
    """What this evidence about that attempt or operation of the payment makes happen. KeyError where the payment has no such subject."""
    story = Story(payment, desk)
    evidence = evidence if evidence.source is not Source.FENCE else word_of_a_fence(evidence)
    operation = payment.find_operation(subject_id)
    if operation is not None:
        attempt_id, conflict = operation.attempt_id, conflict_of_operation(payment, operation, evidence)
        weigh_operation(story, operation, evidence)
    else:
        attempt = payment.attempt(subject_id)
        attempt_id, conflict = attempt.id, conflict_of(attempt, evidence)
        _weigh_attempt(story, attempt, evidence)
    if conflict is None:
        adopt_refunds(story, payment, attempt_id, evidence)
    return story


def expire(payment: Payment, desk: Desk) -> Story:
    """The payment's own timer: an intent that nobody confirmed in time ends."""
    story = Story(payment, desk)
    if payment.hold is None and payment.state is State.CREATED and payment.next_action_at is not None and payment.next_action_at <= desk.at:
        story.tell(Name.INTENT_EXPIRED, Ending(), State.CANCELED)
    return story


def nothing_to_ask(payment: Payment, subject_id: str, desk: Desk) -> Story:
    """A look was due and the PSP cannot be asked: the search goes on by its schedule, waiting for a webhook, settlement or people."""
    why = Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="cannot_be_asked", message="The PSP offers no way to ask about this.")
    return weigh(payment, subject_id, Evidence(source=Source.INQUIRY, finding=Unknown(failure=why), at=desk.at), desk)


def _weigh_attempt(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    payment = story.payment
    late_word = evidence.source is Source.FENCE and not (_resolving(payment) and attempt.state is AttemptState.UNKNOWN)
    if payment.state is State.MANUAL_REVIEW or payment.hold is not None or late_word:
        return record(story, attempt, evidence)
    conflict = conflict_of(attempt, evidence)
    if conflict is not None:
        return contradict(story, attempt, evidence, conflict)
    if attempt.state in HOLDING_ATTEMPT or (attempt.state is AttemptState.VOIDED and attempt.held_since is not None):
        return _about_held(story, attempt, evidence)
    if attempt.state not in OPEN_ATTEMPT:
        return about_closed(story, attempt, evidence)
    return _about_open(story, attempt, evidence)


# --- an attempt that holds or held money ------------------------------------------------------------------------------------------------


def _about_held(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    finding, payment = evidence.finding, story.payment
    elsewhere = captured_elsewhere(payment, attempt, evidence)
    booked = evidence.source is Source.SETTLEMENT
    if elsewhere is not None and (booked or payment.state in _CAPTURE_SIDE_AT_REST):
        return contradict(story, attempt, evidence, elsewhere)
    if isinstance(finding, Released) and attempt.state is AttemptState.AUTHORIZED:
        return _released(story, attempt, evidence, expired=finding.expired)
    surprise = isinstance(finding, Approved) and finding.captured and attempt.state is AttemptState.AUTHORIZED
    if surprise and payment.state is State.PARTIALLY_CAPTURED and rest_is_gone(payment, attempt, evidence):
        expired = attempt.expires_at is not None and attempt.expires_at <= story.desk.at
        return _released(story, attempt, evidence, expired=expired)
    if surprise and payment.state is State.AUTHORIZED:
        why = "captured at the PSP without a capture of ours"
        return story.attempt(Name.UNEXPECTED_PROVIDER_STATE, attempt, attempt.state, to=State.MANUAL_REVIEW, evidence=evidence, reason=why)
    # Not a webhook, which may be older than the session's last try. It makes the PSP be asked (`testimony`).
    # Where the PSP cannot be asked, what it tells of money that it had taken is all that will ever be heard: a charge that failed late.
    unaskable = story.desk.manifests[attempt.connector].lookup is Lookup.NONE and attempt.state is AttemptState.CHARGED
    late = unaskable and evidence.source is Source.WEBHOOK
    contradicts = isinstance(finding, Declined) and (late or booked or evidence.source in (Source.RESPONSE, Source.REPLAY, Source.INQUIRY))
    if contradicts and attempt.state in HOLDING_ATTEMPT:
        return contradict(story, attempt, evidence, "the PSP now says that it declined what it had approved")
    if isinstance(finding, Released) and attempt.state is AttemptState.CHARGED:
        return contradict(story, attempt, evidence, "the PSP now says that it released what it had charged")
    if isinstance(finding, Approved) and finding.captured and attempt.state is AttemptState.VOIDED and not payment.captured_minor:
        return contradict(story, attempt, evidence, "the PSP says that it captured what was voided")
    if evidence.source in TOLD:
        return record(story, attempt, evidence)
    if comparing(attempt) and (not conclusive(evidence) or adoption_waits(payment, attempt, evidence)):
        return look_further(story, attempt, evidence)
    due = attempt.next_action_at is not None and attempt.next_action_at <= story.desk.at
    story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=next_hold_look(story, attempt))
    return give_back_again(story, attempt) if due else None


def _released(story: Story, attempt: Attempt, evidence: Evidence, *, expired: bool) -> None:
    """The hold is gone at the PSP. What was captured before stays captured."""
    payment = story.payment
    name = Name.AUTHORIZATION_EXPIRED if expired else Name.PROVIDER_VOIDED
    to = State.CAPTURED if payment.captured_minor else State.CANCELED
    if to in EDGES[payment.state].get(name, ()):
        story.attempt(name, attempt, AttemptState.VOIDED, to=to, evidence=evidence)
        return None if expired else adopt_void(story, story.payment.attempt(attempt.id))
    void = next((one for one in payment.open_operations(OperationKind.VOID) if one.attempt_id == attempt.id), None)
    if payment.state is State.OUTCOME_UNKNOWN and void is not None:
        return weigh_operation(story, void, evidence)  # it is what the unknown void wanted
    return record(story, attempt, evidence)  # an operation in flight will tell what it found


# --- an attempt under which money may still move ----------------------------------------------------------------------------------------


def _about_open(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    finding = evidence.finding
    if not _decides(story.payment, attempt):
        _advance_silently(story, attempt, evidence)
        return
    if story.payment.holding_attempt is not None and about_rival(story, attempt, evidence):
        return
    match finding:
        case Approved(captured=captured):
            _approved(story, attempt, evidence, captured=captured)
        case Pending():
            _pending(story, attempt, evidence)
        case Declined(failure=failure):
            _declined(story, attempt, evidence, failure)
        case NotExecuted(failure=failure, sent=sent):
            _not_executed(story, attempt, evidence, failure, sent=sent)
        case Released(expired=expired):
            _gone(story, attempt, evidence, expired=expired)
        case Absent():
            _absent(story, attempt, evidence)
        case Unknown():
            _unknown(story, attempt, evidence)
        case _ as never:
            assert_never(never)


def _decides(payment: Payment, attempt: Attempt) -> bool:
    """Whether an answer about the open attempt moves the payment; while a void of the session is out, that void's answer does."""
    if payment.state in _AWAITING_ANSWER:
        return True
    if payment.state is not State.OUTCOME_UNKNOWN:
        return False
    operations = payment.open_operations(OperationKind.CAPTURE, OperationKind.VOID)
    return not any(one.state is OperationState.UNKNOWN and one.attempt_id == attempt.id for one in operations)


def _advance_silently(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    finding, payment = evidence.finding, story.payment
    voids = [one for one in payment.open_operations(OperationKind.VOID) if one.attempt_id == attempt.id]
    if isinstance(finding, Released) and voids:
        # The session that our void was to close is closed: that is the void's answer, whoever brought it.
        return weigh_operation(story, voids[0], replace(evidence, our_reference=None, amount=None))
    state: AttemptState | None = None
    if isinstance(finding, Approved):
        state = AttemptState.CHARGED if finding.captured else AttemptState.AUTHORIZED
    elif isinstance(finding, Declined):
        state = AttemptState.DECLINED
    record(story, attempt, evidence, state)
    if state is AttemptState.DECLINED and voids and evidence.source is not Source.WEBHOOK:
        # Declined for good: nothing is left that the void could close. (A webhook may be older than the session's last try.)
        weigh_operation(story, voids[0], replace(evidence, finding=Released(expired=False), our_reference=None, amount=None))
    return None


def _resolving(payment: Payment) -> bool:
    return payment.state is State.OUTCOME_UNKNOWN


def _approved(story: Story, attempt: Attempt, evidence: Evidence, *, captured: bool) -> None:
    payment = story.payment
    if captured and payment.intent.capture is CaptureMode.MANUAL:
        return contradict(story, attempt, evidence, "the PSP captured what was only to be authorised")
    if captured and evidence.captured is not None and evidence.captured != attempt.amount:
        total = evidence.captured
        return contradict(story, attempt, evidence, f"the PSP reports {total.minor} {total.currency} captured, not all that was asked for")
    if captured:
        name = Name.RESOLVED_CHARGED if _resolving(payment) else Name.PROVIDER_CHARGED
        return story.attempt(name, attempt, AttemptState.CHARGED, to=State.CAPTURED, evidence=evidence)
    name = Name.RESOLVED_AUTHORIZED if _resolving(payment) else Name.PROVIDER_AUTHORIZED
    look = evidence.expires_at or story.desk.after(story.desk.limits.authorization_look_seconds)
    story.attempt(name, attempt, AttemptState.AUTHORIZED, to=State.AUTHORIZED, evidence=evidence, next_action_at=look)
    return follow_up(story)


def _pending(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    payment, limits = story.payment, story.desk.limits
    finding = evidence.finding
    assert isinstance(finding, Pending)
    if is_outdated(attempt, evidence):
        return _not_completed_yet(story, attempt, evidence)
    done = says_done(payment, attempt, finding, story.desk)
    if finding.action is not None or done:
        past = not done and story.desk.at >= attempt.created_at + timedelta(seconds=limits.action_deadline_seconds)
        late = _resolving(payment) and (past or is_over(payment, attempt, story.desk))
        if late and close_overdue(story, attempt, evidence):
            return None
        if payment.state is State.REQUIRES_ACTION and done and not attempt.ready and may_complete(payment, attempt, story.desk):
            now, pursuit = story.desk.at, attempt.pursuit  # due at once: the call that finishes it is a step of its own
            return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=now, pursuit=pursuit)
        if payment.state is State.REQUIRES_ACTION or late:
            return _look_again(story, attempt, evidence)
        name = Name.RESOLVED_ACTION_REQUIRED if _resolving(payment) else Name.PROVIDER_ACTION_REQUIRED
        state, to, looks = AttemptState.ACTION_REQUIRED, State.REQUIRES_ACTION, limits.action_looks_seconds
    else:
        # Once the time for it is over, an unknown stays one, or the two would alternate for ever.
        past = story.desk.at >= attempt.created_at + timedelta(seconds=limits.pending_deadline_seconds)
        if payment.state is State.PROVIDER_PENDING or (_resolving(payment) and past):
            return _look_again(story, attempt, evidence)
        name = Name.RESOLVED_PENDING if _resolving(payment) else Name.PROVIDER_ACCEPTED
        state, to, looks = AttemptState.PENDING, State.PROVIDER_PENDING, limits.pending_looks_seconds
    desk = story.desk
    look, search = desk.at if done else desk.look_at(looks, 0), search_anew(attempt, evidence, desk)
    story.attempt(name, attempt, state, to=to, evidence=evidence, next_action_at=look, pursuit=search)
    if to is State.REQUIRES_ACTION and payment.cancel_requested:
        close_unwanted(story, story.payment.attempt(attempt.id))
    return None


def _not_completed_yet(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """The PSP still shows the shopper's turn after our completing call. While that may be under way this is no news; and at the end of the
    search, when nobody wants the payment any more, it is as good as "no such thing": the call never took effect.
    """
    if not _resolving(story.payment) or evidence.source is not Source.INQUIRY:
        return record(story, attempt, evidence)
    return _look_again(story, attempt, evidence) if wanted(story.payment, story.desk) else _absent(story, attempt, evidence)


def _declined(story: Story, attempt: Attempt, evidence: Evidence, failure: Failure) -> None:
    payment = story.payment
    resolving = _resolving(payment)
    if failure.error_class is ErrorClass.CUSTOMER_CANCELED:
        name = Name.RESOLVED_CUSTOMER_CANCELED if resolving else Name.CUSTOMER_CANCELED
        return story.attempt(name, attempt, AttemptState.DECLINED, to=State.CANCELED, evidence=evidence)
    if failure.error_class is ErrorClass.EXPIRED:
        return _gone(story, attempt, evidence, expired=True)
    if payment.state is State.REQUIRES_ACTION:
        return story.attempt(Name.ACTION_FAILED, attempt, AttemptState.DECLINED, to=State.FAILED, evidence=evidence)
    step_up = wanted(payment, story.desk) and may_step_up(payment, failure, story.desk)
    again = step_up or _may_try_other(payment, failure, story.desk)
    forbidden = retry_forbidden(payment, failure, story.desk) if again else None
    if again and forbidden is None:
        name = Name.RESOLVED_DECLINED_RETRIABLE if resolving else Name.DECLINED_RETRIABLE
        story.attempt(name, attempt, AttemptState.DECLINED, to=State.ROUTING, evidence=evidence)
        return next_attempt(story, failure)
    name = Name.RESOLVED_DECLINED if resolving else Name.DECLINED_TERMINAL
    to = State.CANCELED if resolving and payment.cancel_requested else State.FAILED
    return story.attempt(name, attempt, AttemptState.DECLINED, to=to, evidence=evidence, reason=forbidden)


def _may_try_other(payment: Payment, failure: Failure, desk: Desk) -> bool:
    return POLICY[failure.error_class].try_other and _may_try_again(payment, desk)


def _may_try_again(payment: Payment, desk: Desk) -> bool:
    return wanted(payment, desk) and bool(untried(payment, desk)) and payment.holding_attempt is None


def _not_executed(story: Story, attempt: Attempt, evidence: Evidence, failure: Failure, *, sent: bool) -> None:
    payment = story.payment
    first_answer = evidence.source is Source.RESPONSE and attempt.state in ON_THE_WIRE_ATTEMPT and payment.state is State.AUTHORIZING
    if first_answer and attempt.completing and (not sent or failure.error_class is ErrorClass.RATE_LIMITED):
        return _unknown(story, attempt, evidence)  # the shopper has done his part: the same call goes out again while it is wanted
    if not first_answer:
        # A later call that did not get through says nothing about the first, with one exception: the same bytes were refused as invalid.
        same_bytes = evidence.source in (Source.RESPONSE, Source.REPLAY) and payment.holding_attempt is None
        if _resolving(payment) and same_bytes and sent and failure.error_class is ErrorClass.INVALID_REQUEST:
            to = State.CANCELED if payment.cancel_requested else State.FAILED
            return story.attempt(Name.RESOLVED_DECLINED, attempt, AttemptState.REJECTED, to=to, evidence=evidence)
        return _look_again(story, attempt, evidence)
    if not sent:
        story.attempt(Name.ATTEMPT_NOT_SENT, attempt, AttemptState.NOT_SENT, to=State.ROUTING, evidence=evidence)
        return next_attempt(story, failure)
    if _may_try_other(payment, failure, story.desk) and retry_forbidden(payment, failure, story.desk) is None:
        story.attempt(Name.REJECTED_ELSEWHERE_POSSIBLE, attempt, AttemptState.REJECTED, to=State.ROUTING, evidence=evidence)
        return next_attempt(story, failure)
    return story.attempt(Name.REJECTED_TERMINAL, attempt, AttemptState.REJECTED, to=State.FAILED, evidence=evidence)


def _gone(story: Story, attempt: Attempt, evidence: Evidence, *, expired: bool) -> None:
    """The PSP closed it without money: by time, or by somebody's cancel."""
    match story.payment.state:
        case State.OUTCOME_UNKNOWN:
            name = Name.FENCED_ABSENT if attempt.fence is not None else Name.RESOLVED_AUTHORIZATION_GONE
        case State.REQUIRES_ACTION:
            name = Name.ACTION_EXPIRED if expired else Name.CUSTOMER_CANCELED
        case _:
            name = Name.PROVIDER_EXPIRED
    story.attempt(name, attempt, AttemptState.VOIDED, to=State.CANCELED, evidence=evidence)


def _absent(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    payment, desk = story.payment, story.desk
    if not _resolving(payment):
        return _look_again(story, attempt, evidence)
    absences = (*(attempt.pursuit.absences if attempt.pursuit else ()), min(evidence.at, desk.at))
    manifest = desk.manifests[attempt.connector]
    known = attempt.psp_reference is not None
    if not absence_proved(manifest, attempt, absences, reference_known=known, unsure_before=desk.unsure_before):
        return _look_again(story, attempt, evidence)
    if payment.holding_attempt is not None:
        why = "another attempt holds money"
        return story.attempt(Name.INTEGRITY_MISMATCH, attempt, AttemptState.ABSENT, to=State.MANUAL_REVIEW, evidence=evidence, reason=why)
    if _may_try_again(payment, desk):
        story.attempt(Name.RESOLVED_ABSENT, attempt, AttemptState.ABSENT, to=State.ROUTING, evidence=evidence)
        return next_attempt(story)
    failure = Failure(
        error_class=ErrorClass.NOT_SENT, code="never_executed", message="The PSP never executed this payment; nothing was charged."
    )
    to = State.CANCELED if payment.cancel_requested else State.FAILED
    return story.attempt(Name.RESOLVED_ABSENT_NO_RETRY, attempt, AttemptState.ABSENT, to=to, evidence=evidence, failure=failure)


def _unknown(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    payment, desk = story.payment, story.desk
    if payment.state is not State.AUTHORIZING:
        return _look_again(story, attempt, evidence)
    restart = evidence.source is Source.RESTART
    name = Name.FOUND_SENT_AFTER_RESTART if restart else Name.OUTCOME_LOST
    look = desk.at if restart else desk.look_at(desk.limits.unknown_looks_seconds, 0)
    return story.attempt(
        name, attempt, AttemptState.UNKNOWN, to=State.OUTCOME_UNKNOWN,
        evidence=evidence, next_action_at=look, pursuit=search_anew(attempt, evidence, desk),
    )  # fmt: skip


def _look_again(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """Nothing new: the next look by the schedule of the state, or what the state's deadline leads to."""
    payment, desk, limits = story.payment, story.desk, story.desk.limits
    before = attempt.pursuit or Pursuit(since=desk.at)
    age = (desk.at - before.since).total_seconds()
    match payment.state:
        case State.REQUIRES_ACTION:
            if age >= limits.action_deadline_seconds or is_over(payment, attempt, desk):
                return abandoned(story, attempt, evidence)
            looks = limits.action_looks_seconds
        case State.PROVIDER_PENDING:
            if age >= limits.pending_deadline_seconds:
                return story.attempt(
                    Name.PENDING_DEADLINE_PASSED, attempt, AttemptState.UNKNOWN, to=State.OUTCOME_UNKNOWN,
                    evidence=evidence, next_action_at=desk.at, pursuit=search_anew(attempt, evidence, desk),
                )  # fmt: skip
            looks = limits.pending_looks_seconds
        case State.OUTCOME_UNKNOWN:
            if age >= (before.budget_seconds or limits.unknown_budget_seconds):
                return story.attempt(
                    Name.SYNC_BUDGET_EXHAUSTED, attempt, attempt.state, to=State.MANUAL_REVIEW, evidence=evidence,
                    reason="the PSP could not be made to say what became of it in the time that the search has",
                )  # fmt: skip
            looks = limits.unknown_looks_seconds
        case _:
            return record(story, attempt, evidence)
    manifest, known = desk.manifests[attempt.connector], attempt.psp_reference is not None
    absent = isinstance(evidence.finding, Absent) and _resolving(payment)
    pursuit, look = search_on(attempt, evidence, looks, desk, manifest=manifest, reference_known=known, absent=absent)
    if payment.state is State.OUTCOME_UNKNOWN:
        look = min(look, proof_possible_at(manifest, attempt, pursuit.absences, desk.at) or look)
    return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=look, pursuit=pursuit)
