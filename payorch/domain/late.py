"""A PSP's word about an attempt that was closed, or that is open beside one that holds money: what succeeds there, nobody expected.

Such a success is real money, and never another step of the payment: it is recorded, people see it, and it is given back where that is
possible. Pure. The door is `weigh.weigh`. Not here: a session that was closed while somebody looked (`session`).
"""

from __future__ import annotations

from payorch.domain.decide import open_operation, unasked
from payorch.domain.desk import Story
from payorch.domain.money import zero
from payorch.domain.outcome import Approved, Declined, Evidence, Released
from payorch.domain.payment import EDGES, HOLDING_ATTEMPT, OPEN_ATTEMPT, AttemptState, Name, State
from payorch.domain.records import Attempt, OperationKind, Origin
from payorch.domain.session import doubtful, look_once_more, seen_before_its_end, settle_doubt
from payorch.domain.weigh_nothing import record


def about_closed(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """A success on an attempt that we had closed is real money: recorded, alarmed, and given back where that is possible."""
    finding, payment = evidence.finding, story.payment
    if not isinstance(finding, Approved):
        return settle_doubt(story, attempt, evidence) if doubtful(attempt) else record(story, attempt, evidence)
    if seen_before_its_end(attempt, evidence):
        return look_once_more(story, attempt, evidence)
    state = AttemptState.CHARGED if finding.captured else AttemptState.AUTHORIZED
    other = any(one.id != attempt.id and one.state in OPEN_ATTEMPT | HOLDING_ATTEMPT for one in payment.attempts)
    late = not other and Name.LATE_SUCCESS in EDGES[payment.state]
    name = Name.LATE_SUCCESS if late else Name.SECOND_SUCCESS
    story.attempt(name, attempt, state, to=State.MANUAL_REVIEW, evidence=evidence, reason="a success on an attempt that was closed")
    if not late and state is AttemptState.AUTHORIZED:
        held, void = story.payment.attempt(attempt.id), OperationKind.VOID
        nothing = zero(held.amount.currency)
        unasked(story, held, lambda: open_operation(story, Name.OPERATION_ADOPTED, None, void, held, nothing, origin=Origin.SYSTEM))
    return None


def about_rival(story: Story, attempt: Attempt, evidence: Evidence) -> bool:
    """An open attempt beside one that holds money (after a second look in review): any end of it is for people. False: it has not ended."""
    finding, review = evidence.finding, State.MANUAL_REVIEW
    if isinstance(finding, Approved):
        state = AttemptState.CHARGED if finding.captured else AttemptState.AUTHORIZED
        story.attempt(Name.SECOND_SUCCESS, attempt, state, to=review, evidence=evidence, reason="two attempts hold money")
        return True
    if isinstance(finding, (Declined, Released)):
        state = AttemptState.DECLINED if isinstance(finding, Declined) else AttemptState.VOIDED
        story.attempt(Name.INTEGRITY_MISMATCH, attempt, state, to=review, evidence=evidence, reason="another attempt holds money")
        return True
    return False
