"""A shopper's session at the PSP that is to end: the time for it is over, or the merchant took the payment back; and one that was closed
while somebody looked. Pure.

Not here: what the PSP answers to the closing (`weigh_operation`), how a session begins (`weigh`).
"""

from __future__ import annotations

from datetime import timedelta

from payorch.domain.compare import look_further
from payorch.domain.decide import close_session, completes_without_us, may_close_session
from payorch.domain.desk import Story
from payorch.domain.outcome import Evidence, Released, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Attempt, Origin, Pursuit


def close_unwanted(story: Story, attempt: Attempt) -> None:
    """The merchant took the payment back before the shopper's turn came."""
    if completes_without_us(story.payment, attempt, story.desk):
        close_session(story, attempt, origin=Origin.SYSTEM)
    else:
        story.attempt(Name.MERCHANT_CANCELED, attempt, AttemptState.VOIDED, to=State.CANCELED)


def abandoned(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """The shopper did not come back in time. Close the session where that can be done; otherwise it is unknown from now on."""
    desk = story.desk
    if close_session(story, attempt, origin=Origin.SYSTEM):
        look = desk.after(desk.limits.action_looks_seconds[-1])  # should the session stay open after all
        story.attempt(
            Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=look, pursuit=attempt.pursuit,
            reason="the time for the action is over",
        )  # fmt: skip
        return
    story.attempt(
        Name.ACTION_ABANDONED, attempt, AttemptState.UNKNOWN, to=State.OUTCOME_UNKNOWN,
        evidence=evidence, next_action_at=desk.at, pursuit=Pursuit(since=desk.at),
    )  # fmt: skip


def close_overdue(story: Story, attempt: Attempt, evidence: Evidence) -> bool:
    """An outcome that was lost turns out to be a shopper's turn whose time is over: nobody waits for it any more, so it is closed.

    False where it cannot be, because the PSP has no such call, did not name the session, or would not close it before: then the unknown
    stays one. Leading out of it all the same would let the two alternate for ever.
    """
    desk = story.desk
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
    if isinstance(evidence.finding, Released):
        return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence)
    return look_further(story, attempt, evidence)
