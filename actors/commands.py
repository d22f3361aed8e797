"""From a follow-up command's message to what decides it, and to the merchant who waits for it. Pure.

Not here: the commands' records (`messages`), what they amount to (`payorch.domain.decide`), when they are decided (`transaction`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never

from actors.messages import Cancel, Capture, FollowUp, Refund, Void
from actors.waiting import Waiting
from payorch.domain import decide
from payorch.domain.desk import Story
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, Payment

# The PSP has the call now, so "as soon as its outcome is known" is all that a cancel can be told.
_AT_THE_PSP = (State.AUTHORIZING, State.PROVIDER_PENDING)


def decision_of(message: FollowUp) -> Callable[[Story], object]:
    """What writes the command's events; raises `decide.Refused`."""
    if isinstance(message, Cancel):
        return decide.cancel
    wish: dict[str, Any] = {"reference": message.reference, "metadata": message.metadata, "operation_id": message.claim.subject_id}
    match message:
        case Capture(minor=minor, final=final):
            return lambda story: decide.capture(story, minor, final=final, **wish)
        case Void():
            return lambda story: decide.void(story, **wish)
        case Refund(minor=minor, reason=reason):
            return lambda story: decide.refund(story, minor, reason=reason, **wish)
        case _ as never:
            assert_never(never)


def waiting_for(message: FollowUp, payment: Payment | None) -> Waiting:
    """Who waits for the answer, and how long that may take."""
    patient = not (isinstance(message, Cancel) and payment is not None and payment.state in _AT_THE_PSP)
    return Waiting(claim=message.claim, reply_to=message.reply_to, status=200, patient=patient)


def unsure_of(payment: Payment) -> list[Attempt | Operation]:
    """What a command would rather know first: attempts and operations whose outcome is unknown and that people do not look at already."""
    if payment.hold is not None or payment.state is State.MANUAL_REVIEW:
        return []
    attempts = [one for one in payment.attempts if one.state is AttemptState.UNKNOWN]
    return [*attempts, *(one for one in payment.operations if one.state is OperationState.UNKNOWN and not one.in_review)]
