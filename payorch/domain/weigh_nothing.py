"""Evidence about an attempt that moves nothing, or that cannot be true: recorded as it is, or shown to people.

Pure. Not here: evidence that moves the payment (`weigh`), evidence about operations (`weigh_operation`).
"""

from __future__ import annotations

from msgspec.structs import replace

from payorch.domain.compare import comparing, next_hold_look
from payorch.domain.desk import Desk, Story
from payorch.domain.events import Discrepancy
from payorch.domain.outcome import TOLD, Approved, ErrorClass, Evidence, Failure, Pending, Released
from payorch.domain.payment import EDGES, HOLDING_ATTEMPT, OPEN_ATTEMPT, TERMINAL, AttemptState, Name, State
from payorch.domain.records import Attempt, Payment, Pursuit


def record(story: Story, attempt: Attempt, evidence: Evidence | None, state: AttemptState | None = None) -> None:
    """Evidence with no effect on the payment: kept in its story, the search as it was. A timer that has come is put off, not left due, but
    for what a PSP tells unasked, which is no look: it takes no step of a search, and what is owed a look is still owed one.
    """
    timer, pursuit, payment, desk = attempt.next_action_at, attempt.pursuit, story.payment, story.desk
    new = state or attempt.state
    closed = new not in OPEN_ATTEMPT | {AttemptState.AUTHORIZED} or (new in HOLDING_ATTEMPT and payment.state in TERMINAL)
    owed = comparing(attempt) and new is attempt.state
    looked = evidence is None or evidence.source not in TOLD
    if owed and payment.state is State.MANUAL_REVIEW:
        timer, pursuit = next_hold_look(story, attempt), None  # people have the payment, and this is something for them to see
    elif closed and not owed and (looked or new is not attempt.state):
        timer = None
    elif looked and timer is not None and timer <= desk.at and payment.hold is None and payment.state is not State.AUTHORIZING:
        looks = desk.limits.unknown_looks_seconds
        steps = pursuit.steps + 1 if pursuit is not None else len(looks)
        timer, pursuit = desk.look_at(looks, steps), replace(pursuit, steps=steps) if pursuit is not None else None
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
    looked = evidence.source not in TOLD
    if looked and attempt.next_action_at is not None and attempt.next_action_at <= story.desk.at:
        record(story, attempt, None)  # so that the look is over
    return None


def bring_forward(payment: Payment, operation_id: str, desk: Desk) -> Story:
    """An operation that waits to be sent again is due now, because its PSP answers again. Durable before it is sent: should the process end
    on the way, it is found as one that may be out, and not as one that still waits for its time.
    """
    story, operation = Story(payment, desk), payment.operation(operation_id)
    pursuit = operation.pursuit or Pursuit(since=desk.at)
    story.operation(
        Name.EVIDENCE_RECORDED, operation, operation.state, next_action_at=desk.at, pursuit=replace(pursuit, early=pursuit.early + 1),
        in_review=operation.in_review, reason="it answers again, so the operation is sent before its time",
    )  # fmt: skip
    return story


def taught_nothing(before: Payment, story: Story) -> bool:
    """Whether the story says no more than that somebody looked: nothing of the payment or its children is other than before but the time.

    What was looked at out of its turn, because its PSP answered again, need not be written down then; a look by schedule always is.
    """
    after = story.payment
    if any(event.name is not Name.EVIDENCE_RECORDED for event in story.events) or len(after.operations) != len(before.operations):
        return False
    attempts = tuple([replace(now, updated_at=then.updated_at) for now, then in zip(after.attempts, before.attempts, strict=True)])
    operations = tuple([replace(now, updated_at=then.updated_at) for now, then in zip(after.operations, before.operations, strict=True)])
    known = replace(after, version=before.version, updated_at=before.updated_at, attempts=attempts, operations=operations)
    return known == before
