"""A look out of turn at what an attempt's PSP says that it took and gave back in all, because our books may not have everything.

An attempt that holds or took money is at rest and nobody asks about it, until something makes its books doubtful: a refund of ours that was
refused although it should have been possible, or more money given back than we know of while a refund of ours was still under way. Then it
gets a timer and a search (`Pursuit`) of its own; both end with the PSP's word, and without one in the time that any search has, people see
it. It moves no state: the payment is as good as before.

Also when a hold is looked at (`next_hold_look`). Pure. Not here: how a look is made (`proof`), or what is concluded from it (`adopt`,
`weigh`).
"""

from __future__ import annotations

from datetime import datetime

from payorch.domain.capability import Lookup
from payorch.domain.desk import Desk, Story
from payorch.domain.events import Discrepancy
from payorch.domain.outcome import Approved, Evidence, Released, Source
from payorch.domain.payment import HOLDING_ATTEMPT, TERMINAL, AttemptState, Name, State
from payorch.domain.records import Attempt, Pursuit


def comparing(attempt: Attempt) -> bool:
    """Whether such a look is owed."""
    return comparable(attempt) and attempt.pursuit is not None and attempt.next_action_at is not None


def comparable(attempt: Attempt) -> bool:
    """Whether it has books that could be compared: it holds or took money, or did before it was voided."""
    return attempt.held_since is not None and attempt.state in HOLDING_ATTEMPT | {AttemptState.VOIDED}


def askable(attempt: Attempt, desk: Desk) -> bool:
    """Whether the PSP can be asked about it by its own id, which it answers from its books."""
    return desk.manifests[attempt.connector].lookup is not Lookup.NONE and attempt.psp_reference is not None


def look_soon(story: Story, attempt_id: str, why: str, *, at_once: bool = False) -> None:
    """Has that attempt looked at, unless it is already, the PSP cannot be asked, or people have the payment."""
    desk, attempt = story.desk, story.payment.attempt(attempt_id)
    if not askable(attempt, desk) or comparing(attempt) or not comparable(attempt) or story.payment.state is State.MANUAL_REVIEW:
        return
    look = desk.at if at_once else desk.look_at(desk.limits.unknown_looks_seconds, 0)
    story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, next_action_at=look, pursuit=Pursuit(since=desk.at), reason=why)


def conclusive(evidence: Evidence) -> bool:
    """Whether the PSP has said what there is to say: its own state of the payment, now, and not as of a call or event before."""
    return isinstance(evidence.finding, (Approved, Released)) and evidence.source is Source.INQUIRY


def next_hold_look(story: Story, attempt: Attempt) -> datetime | None:
    """A hold is asked about when it should have expired, and from then on at the slowest pace until the PSP says that it is gone."""
    desk = story.desk
    if attempt.state is not AttemptState.AUTHORIZED or story.payment.state in TERMINAL:
        return None
    timer = attempt.expires_at if comparing(attempt) else attempt.next_action_at
    return timer if timer is not None and timer > desk.at else desk.after(desk.limits.unknown_looks_seconds[-1])


def look_further(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """The look brought nothing that could be concluded from: the next by schedule, until the time that any search has is over."""
    desk, limits, before = story.desk, story.desk.limits, attempt.pursuit
    assert before is not None, "an attempt that is compared has a search"
    if (desk.at - before.since).total_seconds() >= limits.unknown_budget_seconds:
        story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=next_hold_look(story, attempt))
        why = "the PSP could not be made to say what it took and gave back in the time that the search has"
        return story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="not_compared", detail=why, subject_id=attempt.id))
    pursuit = Pursuit(since=before.since, steps=before.steps + 1)
    look = desk.look_at(limits.unknown_looks_seconds, pursuit.steps)
    return story.attempt(Name.EVIDENCE_RECORDED, attempt, attempt.state, evidence=evidence, next_action_at=look, pursuit=pursuit)
