"""From a look at an attempt or operation to the call that takes it, and what it is worth that one had no answer or was not sent. Pure.

Not here: which look is to be taken and when (`payorch.domain.proof`), taking it (`transaction`).
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from actors.office import Office
from payorch.domain.outcome import ErrorClass, Evidence, Failure, NotExecuted, Source, Unknown
from payorch.domain.payment import ON_THE_WIRE_ATTEMPT, ON_THE_WIRE_OPERATION
from payorch.domain.proof import Look, Means
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall


def subject_of(payment: Payment, subject_id: str) -> Attempt | Operation:
    """The attempt or operation of that id. KeyError where the payment has neither."""
    operation = payment.find_operation(subject_id)
    return operation if operation is not None else payment.attempt(subject_id)


def attempt_of(payment: Payment, subject_id: str) -> Attempt:
    """The attempt of that id, or the one that the operation of that id belongs to."""
    subject = subject_of(payment, subject_id)
    return subject if isinstance(subject, Attempt) else payment.attempt(subject.attempt_id)


def inquiry_about(office: Office, payment: Payment, subject_id: str) -> PreparedCall | None:
    """The call that only reads what became of it; None where its PSP cannot be asked."""
    attempt = attempt_of(payment, subject_id)
    return office.connectors[attempt.connector].inquire(subject_of(payment, subject_id), attempt)


def call_for(office: Office, payment: Payment, look: Look) -> tuple[PreparedCall | None, Source]:
    """The call that takes that look, and what its answer will be worth; None where there is none."""
    match look.means:
        case Means.SEND:
            return subject_of(payment, look.subject_id).call, Source.RESPONSE
        case Means.REPLAY:
            return subject_of(payment, look.subject_id).call, Source.REPLAY
        case Means.INQUIRE:
            return inquiry_about(office, payment, look.subject_id), Source.INQUIRY
        case Means.WAIT:
            return None, Source.INQUIRY
        case Means.FENCE:
            fence = payment.attempt(look.subject_id).fence
            return (None if fence is None else fence.call), Source.FENCE
        case Means.COMPLETE | Means.LOST:
            raise AssertionError("that is a step of the payment before it is a call")
        case _ as never:
            assert_never(never)


def key_for(subject: Attempt | Operation, source: Source) -> str | None:
    """The PSP key of a call about it whose answer is worth that."""
    if source is Source.FENCE and isinstance(subject, Attempt):
        return None if subject.fence is None else subject.fence.psp_key
    return subject.psp_key


def maybe_on_the_wire(payment: Payment, gone_at: datetime) -> list[str]:
    """Children that were committed as about to be sent, have no answer, and whose sender was gone at that moment.

    One that waits to be sent again counts if that was due by then: what came due later nobody can have sent.
    """
    attempts = [one.id for one in payment.attempts if one.state in ON_THE_WIRE_ATTEMPT]
    waiting = [one for one in payment.operations if one.state in ON_THE_WIRE_OPERATION]
    return attempts + [one.id for one in waiting if one.pursuit is None or (one.next_action_at or gone_at) <= gone_at]


def unanswered(source: Source, code: str, message: str, at: datetime) -> Evidence:
    """That nobody heard what became of a call, or can say."""
    return Evidence(
        source=source, finding=Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code=code, message=message)), at=at
    )


def kept_back(message: str, at: datetime) -> Evidence:
    """That a first call was not even taken by its connector's actor."""
    failure = Failure(error_class=ErrorClass.NOT_SENT, code="connector_busy", message=message)
    return Evidence(source=Source.RESPONSE, finding=NotExecuted(failure=failure, sent=False), at=at)
