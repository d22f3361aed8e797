"""A merchant who waits for the answer to a command, and from when on there is one.

Not here: what is answered (`payorch.api.present`), storing it (`transaction`, in the commit that decides it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from actors.mailbox import Reply
from actors.messages import Given, KeyTaken, Verdict
from payorch.domain.payment import ON_THE_WIRE_OPERATION, TERMINAL, UNCONFIRMED, OperationState, State
from payorch.domain.records import Payment
from payorch.store.items import Answer, Claim

_MOVING: Final = frozenset({State.ROUTING, State.AUTHORIZING, State.CAPTURING, State.VOIDING})
_SETTLED: Final = frozenset({OperationState.SUCCEEDED, OperationState.FAILED, OperationState.REVERSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A merchant who waits for the answer to a command. `status`: of the answer once the payment stands still.

    Where the claim names an operation, the answer is about that operation, and what the rest of the payment does makes no difference.
    """

    claim: Claim
    reply_to: Reply[Verdict]
    status: int
    patient: bool = True
    authorizes: bool = False
    since: float = 0.0

    def answer_status(self, payment: Payment) -> int | None:
        """The HTTP status of the answer now, or None while it is too early to say."""
        if self.claim.subject_id is not None:
            return _of_operation(payment, self.claim.subject_id)
        if payment.state in UNCONFIRMED or payment.state is State.PROVIDER_PENDING:
            return 202
        if payment.state in _MOVING:
            return None if self.patient else 202
        if payment.cancel_requested and payment.state not in TERMINAL and not self.authorizes:
            return 202  # taken back, and not ended yet: a session or hold could not be closed at once
        return self.status

    def tell(self, answer: Answer, *, stored: bool) -> None:
        """What is stored is what is answered. Where another answer was stored before this one, the asker is sent to read that."""
        self.reply_to.answer(Given(status=answer.status, body=answer.body) if stored else KeyTaken())


def answers_to(
    waiting: Iterable[Waiting], payment: Payment, present: Callable[[Payment, str | None], bytes]
) -> list[tuple[Waiting, Answer]]:
    """Those for whom there is an answer now, each with it. present: as in `Surroundings`."""
    answers = []
    for one in waiting:
        status = one.answer_status(payment)
        if status is not None:
            claim = one.claim
            body = present(payment, claim.subject_id)
            answers.append((one, Answer(merchant_id=claim.merchant_id, key=claim.key, status=status, body=body, at=payment.updated_at)))
    return answers


def _of_operation(payment: Payment, operation_id: str) -> int | None:
    operation = payment.find_operation(operation_id)
    if operation is None:
        # A void where there was nothing to void: it has ended the payment, or is a wish for when the outcome is known.
        return 201 if payment.state is State.CANCELED else 202
    if operation.state in ON_THE_WIRE_OPERATION:
        return None
    return 201 if operation.state in _SETTLED else 202
