"""Whose money a refund gives back: the attempt that took it, and of its captures the one of which most is left. Pure.

Not here: whether a refund is allowed and how much it may be (`decide`).
"""

from __future__ import annotations

from payorch.domain.payment import OPEN_OPERATION, OperationState
from payorch.domain.records import Attempt, OperationKind, Payment


def captured_attempt(payment: Payment) -> Attempt:
    """The attempt whose money a refund gives back, also after the rest of its hold was released."""
    if payment.holding_attempt is not None:
        return payment.holding_attempt
    done = (one for one in payment.operations if one.kind is OperationKind.CAPTURE and one.state is OperationState.SUCCEEDED)
    capture = next(done, None)
    return payment.attempt(capture.attempt_id) if capture is not None else payment.attempts[-1]


def capture_to_refund(payment: Payment, attempt: Attempt) -> tuple[str | None, int]:
    """The capture of which most is left, and how much that is. None where the attempt took the money by itself.

    A refund that somebody made at the PSP does not say of which capture it was; where there is one only, it was of that.
    """
    captures = [one for one in payment.operations_on(attempt.id, OperationKind.CAPTURE) if one.state is OperationState.SUCCEEDED]
    given = {one.id: 0 for one in captures}
    for one in payment.operations_on(attempt.id, OperationKind.REFUND):
        of = captures[0].id if len(captures) == 1 else one.capture_id
        if of in given and one.state in OPEN_OPERATION | {OperationState.SUCCEEDED}:
            given[of] += one.amount.minor
    left = {one.id: one.amount.minor - given[one.id] for one in captures}
    best = max(left, key=left.__getitem__, default=None)
    return best, 0 if best is None else left[best]
