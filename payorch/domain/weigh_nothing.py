"""Evidence about an attempt that moves nothing, or that cannot be true: recorded as it is, or shown to people.

Pure. Not here: evidence that moves the payment (`weigh`), evidence about operations (`weigh_operation`).
"""

from __future__ import annotations

from msgspec.structs import replace

from payorch.domain.desk import Story, look_at
from payorch.domain.events import Discrepancy
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Failure, Pending, Released
from payorch.domain.payment import EDGES, HOLDING_ATTEMPT, OPEN_ATTEMPT, TERMINAL, AttemptState, Name, State
from payorch.domain.records import Attempt


def record(story: Story, attempt: Attempt, evidence: Evidence | None, state: AttemptState | None = None) -> None:
    """Evidence with no effect on the payment: kept in its story, the search as it was. A timer that has come is put off, not left due."""
    timer, pursuit, payment, desk = attempt.next_action_at, attempt.pursuit, story.payment, story.desk
    new = state or attempt.state
    if new not in OPEN_ATTEMPT | {AttemptState.AUTHORIZED} or (new in HOLDING_ATTEMPT and payment.state in TERMINAL):
        timer = None
    elif timer is not None and timer <= desk.at and payment.hold is None and payment.state is not State.AUTHORIZING:
        looks = desk.limits.unknown_looks_seconds
        steps = pursuit.steps + 1 if pursuit is not None else len(looks)
        timer, pursuit = look_at(looks, steps, desk.at), replace(pursuit, steps=steps) if pursuit is not None else None
    story.attempt(Name.EVIDENCE_RECORDED, attempt, new, evidence=evidence, next_action_at=timer, pursuit=pursuit)


def conflict_of(attempt: Attempt, evidence: Evidence) -> str | None:
    """What the evidence says that cannot be about this attempt, in words."""
    if not isinstance(evidence.finding, (Approved, Pending, Released)):
        return None
    if evidence.our_reference is not None and evidence.our_reference != attempt.id:
        return f"the PSP speaks of {evidence.our_reference}, not of {attempt.id}"
    if evidence.amount is not None and evidence.amount != attempt.amount:
        theirs, ours = evidence.amount, attempt.amount
        return f"the PSP reports {theirs.minor} {theirs.currency}, the attempt is for {ours.minor} {ours.currency}"
    return None


def contradict(story: Story, attempt: Attempt, evidence: Evidence, why: str) -> None:
    """To people, by whichever edge leads there from here; where none does, as a discrepancy that people see."""
    failure = Failure(error_class=ErrorClass.INTEGRITY_CONFLICT, code="integrity_conflict", message=f"Evidence contradicts: {why}.")
    state = AttemptState.UNKNOWN if attempt.state in OPEN_ATTEMPT else attempt.state
    names = [Name.INTEGRITY_MISMATCH, Name.UNEXPECTED_PROVIDER_STATE]
    if isinstance(evidence.finding, Approved):
        names.append(Name.LATE_SUCCESS)
    for name in names:
        if State.MANUAL_REVIEW in EDGES[story.payment.state].get(name, ()):
            return story.attempt(name, attempt, state, to=State.MANUAL_REVIEW, evidence=evidence, failure=failure, reason=why)
    story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="integrity_conflict", detail=why, evidence=evidence, subject_id=attempt.id))
    if attempt.next_action_at is not None and attempt.next_action_at <= story.desk.at:
        record(story, attempt, None)  # so that the look is over
    return None
