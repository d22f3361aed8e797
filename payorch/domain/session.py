"""What is to end at the PSP: a shopper's session whose time is over or whose payment the merchant took back, one that was closed while
somebody looked, and a hold that a payment taken back still has because its void did not work. Pure.

Not here: what the PSP answers to the closing (`weigh_operation`), how a session begins (`weigh`).
"""

from __future__ import annotations

from datetime import timedelta

from payorch.domain.compare import look_further, look_soon
from payorch.domain.decide import close_session, follow_up, may_close_session, may_move_money
from payorch.domain.desk import Limits, Story
from payorch.domain.events import Discrepancy
from payorch.domain.outcome import POLICY, Declined, ErrorClass, Evidence, Failure, Kind, Released, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.proof import search_anew
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment, Pursuit


def close_unwanted(story: Story, attempt: Attempt) -> None:
    """The merchant took the payment back before the shopper's turn came."""
    if may_move_money(story.payment, attempt, story.desk):
        close_session(story, attempt, origin=Origin.SYSTEM)
    else:
        story.attempt(Name.MERCHANT_CANCELED, attempt, AttemptState.VOIDED, to=State.CANCELED)


def abandoned(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """The shopper did not come back in time. Where nothing can move without us that is the end; else the session is closed where that can
    be done, and otherwise it is unknown from now on.
    """
    desk = story.desk
    if not may_move_money(story.payment, attempt, desk):
        return story.attempt(Name.ACTION_EXPIRED, attempt, AttemptState.VOIDED, to=State.CANCELED, evidence=evidence)
    if close_session(story, attempt, origin=Origin.SYSTEM):
        look = desk.after(desk.limits.action_looks_seconds[-1])  # should the session stay open after all
        return story.attempt(
            Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=look, pursuit=attempt.pursuit,
            reason="the time for the action is over",
        )  # fmt: skip
    return story.attempt(
        Name.ACTION_ABANDONED, attempt, AttemptState.UNKNOWN, to=State.OUTCOME_UNKNOWN,
        evidence=evidence, next_action_at=desk.at, pursuit=search_anew(attempt, evidence, desk),
    )  # fmt: skip


def close_overdue(story: Story, attempt: Attempt, evidence: Evidence) -> bool:
    """An outcome that was lost turns out to be a shopper's turn whose time is over: nobody waits for it any more, so it is closed, or has
    come to its end where nothing can move without us.

    False where it cannot be, because the PSP has no such call, did not name the session, or would not close it before: then the unknown
    stays one. Leading out of it all the same would let the two alternate for ever.
    """
    desk = story.desk
    if not may_move_money(story.payment, attempt, desk):
        turn, to = AttemptState.ACTION_REQUIRED, State.REQUIRES_ACTION
        story.attempt(Name.RESOLVED_ACTION_REQUIRED, attempt, turn, to=to, evidence=evidence, pursuit=Pursuit(since=attempt.created_at))
        opened = story.payment.attempt(attempt.id)
        close_unwanted(story, opened) if story.payment.cancel_requested else abandoned(story, opened, evidence)
        return True
    named = evidence.psp_reference is not None or attempt.psp_reference is not None
    if not named or not may_close_session(story.payment, attempt, desk):
        return False
    story.attempt(
        Name.RESOLVED_ACTION_REQUIRED, attempt, AttemptState.ACTION_REQUIRED, to=State.REQUIRES_ACTION, evidence=evidence,
        next_action_at=desk.after(desk.limits.action_looks_seconds[-1]), pursuit=Pursuit(since=attempt.created_at),
        reason="the time for the action is over",
    )  # fmt: skip
    close_session(story, story.payment.attempt(attempt.id), origin=Origin.SYSTEM)
    return True


# --- closed while somebody looked -------------------------------------------------------------------------------------------------------


def seen_before_its_end(attempt: Attempt, evidence: Evidence) -> bool:
    """Whether that look was under way when the session was closed: it may have seen the hold that the closing gave back."""
    if attempt.state is not AttemptState.VOIDED or evidence.source is not Source.INQUIRY or evidence.latency_ms is None:
        return False
    return evidence.at - timedelta(milliseconds=evidence.latency_ms) <= attempt.updated_at


def look_once_more(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """Such a sight is no success yet. The next look, which cannot be older than the closing, says whether it is one."""
    at = story.desk.at
    story.attempt(
        Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=at, pursuit=attempt.pursuit or Pursuit(since=at),
        reason="it may have been seen just before it was closed",
    )  # fmt: skip


def doubtful(attempt: Attempt) -> bool:
    """Whether a closed session is owed that next look."""
    never_held = attempt.state is AttemptState.VOIDED and attempt.held_since is None
    return never_held and attempt.pursuit is not None and attempt.next_action_at is not None


def settle_doubt(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """What that look found, if it is no success: the end, or nothing yet."""
    if isinstance(evidence.finding, (Released, Declined)):
        return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence)
    return look_further(story, attempt, evidence)


# --- a hold that the merchant took back, and whose void did not work ---------------------------------------------------------------------


def still_unwanted(story: Story, operation: Operation, failure: Failure) -> None:
    """That void of a payment that is taken back has failed. What was never executed is asked for again at once, a few times; then, and
    where the PSP may think better of it, at the slowest pace for as long as any search has. What is refused, or given up, people see.
    """
    desk, limits = story.desk, story.desk.limits
    attempt = story.payment.attempt(operation.attempt_id)
    voids = _voids_of_hold(story.payment, attempt)
    if failure.error_class is ErrorClass.NOT_SENT and len(voids) < limits.session_closings:
        return follow_up(story)
    again = _worth_another(voids, limits)
    refused = [one.id for one in voids if one.failure is not None and POLICY[one.failure.error_class].kind is not Kind.TRANSIENT]
    if not again or refused == [operation.id]:  # while it is tried again, people are told of the first refusal alone
        detail = f"The merchant took the payment back, and its hold could not be released: {failure.message}"
        story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="cancel_not_done", detail=detail, subject_id=operation.id))
    if not again:
        return look_soon(story, attempt.id, "the void of what is held was refused or given up", at_once=True)
    look, timer = desk.look_at(limits.unknown_looks_seconds, len(limits.unknown_looks_seconds)), attempt.next_action_at
    look = min(look, timer) if timer is not None and timer > desk.at else look
    why = "the hold is as unwanted as before, so its void is tried again later"
    return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, next_action_at=look, pursuit=attempt.pursuit, reason=why)


def give_back_again(story: Story, attempt: Attempt) -> None:
    """A look at that hold was due and found it standing: if its payment is taken back, another void, where one is still worth it."""
    payment = story.payment
    unwanted = payment.state is State.AUTHORIZED and payment.cancel_requested
    if unwanted and _worth_another(_voids_of_hold(payment, attempt), story.desk.limits):
        follow_up(story)


def _voids_of_hold(payment: Payment, attempt: Attempt) -> list[Operation]:
    """The voids of what the attempt holds. Those from before were to close its session."""
    voids = payment.operations_on(attempt.id, OperationKind.VOID)
    return [one for one in voids if attempt.held_since is not None and one.created_at >= attempt.held_since]


def _worth_another(voids: list[Operation], limits: Limits) -> bool:
    """Whether the last of them may still be accepted later. By when it was made, so that it is the same at its end and at the next look."""
    if not voids or voids[-1].failure is None:
        return False
    refused = voids[-1].failure.error_class
    lasting = POLICY[refused].kind is Kind.TERMINAL and refused is not ErrorClass.CONFIGURATION  # that one is ours to repair
    return not lasting and voids[-1].created_at < voids[0].created_at + timedelta(seconds=limits.unknown_budget_seconds)
