"""A shopper's session at the PSP that is to end: the time for it is over, or the merchant took the payment back. Pure.

Not here: what the PSP answers to the closing (`weigh_operation`), how a session begins (`weigh`).
"""

from __future__ import annotations

from payorch.domain.decide import close_session, completes_without_us, may_close_session
from payorch.domain.desk import Story
from payorch.domain.outcome import Evidence
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
