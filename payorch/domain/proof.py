"""How an unknown outcome is found out: what to do next, and when absence is proved. Pure.

Order of proof: replay of the same bytes under the same PSP key (inside the key's window; for an authorisation only while it is still
wanted, because a replay executes what never arrived), lookup, fence, waiting for a webhook, settlement, people. Absence means: a strong
lookup that finds nothing after the PSP's lookup lag, or an eventual one that finds nothing twice, one lag apart, after the key's window.

Not here: what follows from what is found (`weigh`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from payorch.domain.capability import Lookup, Manifest
from payorch.domain.decide import wanted
from payorch.domain.desk import Desk
from payorch.domain.payment import OPEN_OPERATION, AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment


class Means(StrEnum):
    """A way to learn what became of a call."""

    SEND = "send"  # it was surely not sent yet: send the stored call
    REPLAY = "replay"  # the same bytes under the same PSP key
    INQUIRE = "inquire"  # a call that only reads
    LOST = "lost"  # it may have been sent, and its answer should have been here by now
    WAIT = "wait"  # nothing can be asked: only a webhook, a settlement row or people can tell


class Look(Struct, frozen=True, kw_only=True):
    """One look to take now, at one attempt or operation."""

    subject_id: str
    means: Means


def looks_due(payment: Payment, desk: Desk) -> tuple[Look, ...]:
    """The looks whose time has come. None while the payment is held."""
    if payment.hold is not None:
        return ()
    looks = [Look(subject_id=one.id, means=attempt_means(payment, one, desk)) for one in payment.attempts if _due(one, desk.at)]
    for operation in payment.operations:
        if _due(operation, desk.at) and operation.state in OPEN_OPERATION and not operation.in_review:
            looks.append(Look(subject_id=operation.id, means=operation_means(payment, operation, desk)))
    return tuple(looks)


def _due(subject: Attempt | Operation, at: datetime) -> bool:
    return subject.next_action_at is not None and subject.next_action_at <= at


def attempt_means(payment: Payment, attempt: Attempt, desk: Desk) -> Means:
    """How to look at that attempt now."""
    manifest = desk.manifests[attempt.connector]
    if attempt.state in (AttemptState.PREPARED, AttemptState.SENT):
        return Means.LOST
    if attempt.state is not AttemptState.UNKNOWN:
        return _inquiry(manifest, attempt.psp_reference)
    if attempt.psp_reference is not None and manifest.lookup is not Lookup.NONE:
        return Means.INQUIRE  # its own id is known: reading is enough, and moves nothing
    in_review = payment.state is State.MANUAL_REVIEW  # frozen: a replay could execute what people have not decided
    # Turn and turn about: a PSP that stored a 500 under our key answers every replay with it, and only a lookup can find the charge.
    turn = manifest.lookup is Lookup.NONE or attempt.pursuit is None or attempt.pursuit.steps % 2 == 0
    if turn and desk.at < attempt.psp_key_safe_until and wanted(payment, desk) and not in_review:
        return Means.REPLAY
    return _inquiry(manifest, attempt.psp_reference)


def operation_means(payment: Payment, operation: Operation, desk: Desk) -> Means:
    """How to look at that operation now. A capture, void or refund is wanted until it is known, so it is replayed in its window."""
    manifest = desk.manifests[payment.attempt(operation.attempt_id).connector]
    if operation.state in (OperationState.REQUESTED, OperationState.SENT) and operation.pursuit is None:
        return Means.LOST
    frozen = payment.state is State.MANUAL_REVIEW and operation.kind is OperationKind.CAPTURE
    if operation.state is OperationState.PENDING or frozen:
        return _inquiry(manifest, operation.psp_reference)
    # As with attempts, by turns: a stored 500 is replayed for ever.
    turn = manifest.lookup is Lookup.NONE or operation.pursuit is None or operation.pursuit.steps % 2 == 0
    turn = turn or operation.state is OperationState.REQUESTED
    if turn and operation.psp_key_safe_until is not None and desk.at < operation.psp_key_safe_until:
        return Means.SEND if operation.state is OperationState.REQUESTED else Means.REPLAY
    return _inquiry(manifest, operation.psp_reference)


def _inquiry(manifest: Manifest, psp_reference: str | None) -> Means:
    return Means.WAIT if manifest.lookup is Lookup.NONE else Means.INQUIRE


def proof_possible_at(manifest: Manifest, attempt: Attempt, absences: Sequence[datetime], at: datetime) -> datetime | None:
    """The next moment after `at` when a negative lookup would count for more than one now; None where no such moment is ahead.

    Absence in an eventual index counts only after the key's window, and then twice: waiting for the schedule's next day would leave a
    merchant unsure for longer than the PSP can be.
    """
    if manifest.lookup is not Lookup.EVENTUAL or attempt.psp_reference is not None:
        return None
    late = [moment for moment in absences if moment >= attempt.psp_key_safe_until]
    moment = late[0] + timedelta(seconds=manifest.lookup_lag_seconds) if late else attempt.psp_key_safe_until
    return moment if moment > at else None


def absence_proved(manifest: Manifest, subject: Attempt | Operation, absences: Sequence[datetime], *, reference_known: bool) -> bool:
    """Whether these negative lookups (moments, oldest first) prove that the subject's call never took effect.

    reference_known: the PSP was asked by its own id, which every PSP with a lookup answers from its books, not from an index.
    The lag counts from the last moment at which a call may have been under way: a retry or replay can be much younger than its subject.
    """
    if subject.psp_key_safe_until is None:
        return False
    sent = subject.created_at
    if subject.pursuit is not None:
        sent = max(sent, subject.pursuit.since, subject.pursuit.sent_at or sent)
    absences = [moment for moment in absences if moment >= sent]
    if not absences:
        return False
    lag = timedelta(seconds=manifest.lookup_lag_seconds)
    if manifest.lookup is Lookup.STRONG or (reference_known and manifest.lookup is Lookup.EVENTUAL):
        return absences[-1] >= sent + lag
    if manifest.lookup is Lookup.EVENTUAL:
        late = [moment for moment in absences if moment >= subject.psp_key_safe_until]
        return len(late) >= 2 and late[-1] - late[0] >= lag
    return False
