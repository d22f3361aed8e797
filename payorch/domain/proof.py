"""How an unknown outcome is found out: what to do next, and when absence is proved. Pure.

Order of proof: replay of the same bytes under the same PSP key (inside the key's window, unless the PSP is known to keep an error under it;
for an authorisation only while it is still wanted, because a replay executes what never arrived), lookup, fence, waiting for a webhook,
settlement, people. Absence means: a strong lookup that finds nothing after the PSP's lookup lag, or an eventual one that finds nothing
twice, one lag apart, after the key's window.

Not here: what follows from what is found (`weigh`).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from payorch.domain.capability import Lookup, Manifest
from payorch.domain.completion import may_complete
from payorch.domain.decide import wanted
from payorch.domain.desk import Desk
from payorch.domain.fencing import may_fence
from payorch.domain.outcome import Evidence, NotExecuted, Source
from payorch.domain.payment import ON_THE_WIRE_ATTEMPT, OPEN_OPERATION, AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, Pursuit


class Means(StrEnum):
    """A way to learn what became of a call."""

    SEND = "send"  # it was surely not sent yet: send the stored call
    REPLAY = "replay"  # the same bytes under the same PSP key
    INQUIRE = "inquire"  # a call that only reads
    COMPLETE = "complete"  # the shopper has done his part: the call that finishes it is to be made
    FENCE = "fence"  # an order that keeps it from ever holding money
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


def looks_ahead(payment: Payment, connector: str, sendable: Container[OperationKind], desk: Desk) -> tuple[Look, ...]:
    """Looks worth taking before their time, because that connector answers again, or may. What is due by itself is left to its timer.

    They ask, and move nothing: about what is unknown, and about the attempt of an operation that waits to be sent again. What they find
    decides whether something is sent before its time (`may_replay_ahead`, `sends_ahead`). Only where nothing can be asked that is done at
    once.
    """
    if payment.hold is not None or payment.state is State.MANUAL_REVIEW:
        return ()
    looks: dict[str, Look] = {}
    for attempt in payment.attempts:
        if attempt.connector != connector:
            continue
        if attempt.state is AttemptState.UNKNOWN and is_early(attempt, desk):
            looks[attempt.id] = _ahead(payment, attempt, connector, desk)
        elif _waiting(payment, attempt.id, desk) and desk.manifests[connector].lookup is not Lookup.NONE:
            looks[attempt.id] = Look(subject_id=attempt.id, means=Means.INQUIRE)
        else:
            looks |= {look.subject_id: look for look in sends_ahead(payment, attempt.id, sendable, desk)}
    for operation in payment.operations:
        ours = payment.attempt(operation.attempt_id).connector == connector
        if ours and operation.state is OperationState.UNKNOWN and not operation.in_review and is_early(operation, desk):
            looks[operation.id] = _ahead(payment, operation, connector, desk)
    return tuple(look for look in looks.values() if look.means is not Means.WAIT)


def sends_ahead(payment: Payment, attempt_id: str, sendable: Container[OperationKind], desk: Desk) -> tuple[Look, ...]:
    """Operations on that attempt that were surely not sent and may be sent before their time, where their kind is `sendable`.

    Each only after its timer was moved to now (`bring_forward`), so that a crash on the way finds it as one that may be out.
    """
    able = [one for one in _waiting(payment, attempt_id, desk) if one.kind in sendable and _early_tries_left(one, desk)]
    looks = [Look(subject_id=one.id, means=operation_means(payment, one, desk)) for one in able]
    return tuple(look for look in looks if look.means is Means.SEND)


def _waiting(payment: Payment, attempt_id: str, desk: Desk) -> list[Operation]:
    """Operations on that attempt that wait to be sent again, later."""
    mine = [one for one in payment.operations if one.attempt_id == attempt_id and one.state is OperationState.REQUESTED]
    return [one for one in mine if one.pursuit is not None and not one.in_review and is_early(one, desk)]


def _ahead(payment: Payment, subject: Attempt | Operation, connector: str, desk: Desk) -> Look:
    means = _inquiry(desk.manifests[connector], subject.psp_reference)
    if means is Means.WAIT and may_replay_ahead(payment, subject, desk):
        means = Means.REPLAY
    elif means is Means.WAIT and isinstance(subject, Attempt) and _may_fence_ahead(payment, subject, desk):
        means = Means.FENCE
    return Look(subject_id=subject.id, means=means)


def may_replay_ahead(payment: Payment, subject: Attempt | Operation, desk: Desk) -> bool:
    """Whether the same bytes may go out again before their time: as by schedule, whosever turn it is, and not without end."""
    if payment.hold is not None or not is_early(subject, desk) or not _early_tries_left(subject, desk):
        return False
    if isinstance(subject, Attempt):
        known = subject.psp_reference is not None and desk.manifests[subject.connector].lookup is not Lookup.NONE and not subject.completing
        return subject.state is AttemptState.UNKNOWN and not known and _replay_is_legal(payment, subject, desk)
    return subject.state is OperationState.UNKNOWN and not subject.in_review and _window_is_open(payment, subject, desk)


def _may_fence_ahead(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    legal = not _may_still_be_executed(payment, attempt, desk) and may_fence(payment, attempt, desk)
    return legal and is_early(attempt, desk) and _early_tries_left(attempt, desk)


def is_early(subject: Attempt | Operation, desk: Desk) -> bool:
    """Whether its next look lies ahead, so that whatever is learnt now was not learnt by the schedule."""
    return subject.next_action_at is not None and subject.next_action_at > desk.at


def _early_tries_left(subject: Attempt | Operation, desk: Desk) -> bool:
    return subject.pursuit is None or subject.pursuit.early < desk.limits.early_tries


def _due(subject: Attempt | Operation, at: datetime) -> bool:
    return subject.next_action_at is not None and subject.next_action_at <= at


def attempt_means(payment: Payment, attempt: Attempt, desk: Desk) -> Means:
    """How to look at that attempt now."""
    manifest = desk.manifests[attempt.connector]
    if attempt.state in ON_THE_WIRE_ATTEMPT:
        return Means.LOST
    if attempt.ready and may_complete(payment, attempt, desk):
        return Means.COMPLETE
    if attempt.state is not AttemptState.UNKNOWN:
        return _inquiry(manifest, attempt.psp_reference)
    if attempt.psp_reference is not None and manifest.lookup is not Lookup.NONE and not attempt.completing:
        return Means.INQUIRE  # its own id is known: reading is enough, and moves nothing
    # Turn and turn about: a PSP that stored a 500 under our key answers every replay with it, and only a lookup can find the charge. Not
    # every PSP says that it did (`Pursuit.stored`); from one that does, one such answer is enough.
    turn = manifest.lookup is Lookup.NONE or attempt.pursuit is None or not attempt.pursuit.replayed
    if turn and _replay_is_legal(payment, attempt, desk):
        return Means.REPLAY
    means = _inquiry(manifest, attempt.psp_reference)
    fences = means is Means.WAIT and may_fence(payment, attempt, desk) and not _may_still_be_executed(payment, attempt, desk)
    return Means.FENCE if fences else means


def _replay_is_legal(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    return _may_still_be_executed(payment, attempt, desk) and not _keeps_error(attempt)


def _may_still_be_executed(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether it is welcome if the PSP does it now, under the key that it knows: as long as that is so, nothing is fenced off."""
    in_review = payment.state is State.MANUAL_REVIEW  # frozen: a replay could execute what people have not decided
    open_still = desk.at < attempt.psp_key_safe_until and attempt.fence is None
    return open_still and wanted(payment, desk) and not in_review


def operation_means(payment: Payment, operation: Operation, desk: Desk) -> Means:
    """How to look at that operation now. A capture, void or refund is wanted until it is known, so it is replayed in its window."""
    manifest = desk.manifests[payment.attempt(operation.attempt_id).connector]
    if operation.on_the_wire:
        return Means.LOST
    if operation.state is OperationState.PENDING or _is_frozen(payment, operation):
        return _inquiry(manifest, operation.psp_reference)
    # As with attempts, by turns: a stored 500 is replayed for ever.
    turn = manifest.lookup is Lookup.NONE or operation.pursuit is None or not operation.pursuit.replayed
    turn = turn or operation.state is OperationState.REQUESTED
    if turn and _window_is_open(payment, operation, desk):
        return Means.SEND if operation.state is OperationState.REQUESTED else Means.REPLAY
    return _inquiry(manifest, operation.psp_reference)


def _window_is_open(payment: Payment, operation: Operation, desk: Desk) -> bool:
    safe_until = operation.psp_key_safe_until
    return safe_until is not None and desk.at < safe_until and not _keeps_error(operation) and not _is_frozen(payment, operation)


def _keeps_error(subject: Attempt | Operation) -> bool:
    """Whether every replay would bring the error that the PSP keeps under the key: nothing would be executed, and nothing learnt."""
    return subject.pursuit is not None and subject.pursuit.stored


def _is_frozen(payment: Payment, operation: Operation) -> bool:
    return payment.state is State.MANUAL_REVIEW and operation.kind is OperationKind.CAPTURE


def _inquiry(manifest: Manifest, psp_reference: str | None) -> Means:
    return Means.WAIT if manifest.lookup is Lookup.NONE else Means.INQUIRE


def search_anew(subject: Attempt | Operation, evidence: Evidence, desk: Desk) -> Pursuit:
    """A search that begins now. What the PSP keeps under the key is no matter of one search, and stays known."""
    return Pursuit(since=desk.at, stored=_keeps_error(subject) or evidence.repeats_error)


def search_on(
    subject: Attempt | Operation,
    evidence: Evidence,
    looks_seconds: tuple[int, ...],
    desk: Desk,
    *,
    manifest: Manifest,
    reference_known: bool,
    absent: bool,
) -> tuple[Pursuit, datetime]:
    """The search after a look that told nothing new, and when to look next: by the schedule, and not before the PSP wants to be asked.

    A look before its time takes no step and moves no timer: the schedule is what was promised, and looks that a recovered PSP gets on top
    must not push the next one into the far future. absent: the PSP found nothing, and that may become a proof.

    A replay that brings an error which the PSP keeps under the key was the last one, and the look is not over with it: it goes on with a
    lookup, where there is one, as soon as any first look would. The next interval may be hours, and the PSP is there.
    """
    before, early = subject.pursuit or Pursuit(since=desk.at), is_early(subject, desk)
    kept_back = isinstance(evidence.finding, NotExecuted) and not evidence.finding.sent
    replayed = evidence.source is Source.REPLAY and not kept_back
    moment = min(evidence.at, desk.at)
    keep = absent and (not early or absence_may_count(manifest, subject, moment, reference_known=reference_known))
    goes_on = evidence.repeats_error and not before.stored and not early and manifest.lookup is not Lookup.NONE
    pursuit = Pursuit(
        since=before.since,
        steps=before.steps if early or goes_on else before.steps + 1,
        absences=(*before.absences, moment) if keep else before.absences,
        sent_at=desk.at if replayed else before.sent_at,
        # A replay that was kept back, with or without a lookup in its place, keeps its turn.
        replayed=before.replayed if early else replayed,
        early=before.early + (early and (replayed or (evidence.source is Source.FENCE and not kept_back))),
        stored=before.stored or evidence.repeats_error,
        budget_seconds=before.budget_seconds,
    )
    timer = subject.next_action_at if early else desk.look_at(looks_seconds, 0) if goes_on else None
    look = timer or desk.look_at(looks_seconds, pursuit.steps)
    return pursuit, max(look, evidence.retry_after or look)


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


def absence_may_count(manifest: Manifest, subject: Attempt | Operation, at: datetime, *, reference_known: bool) -> bool:
    """Whether a negative lookup of that moment can ever be part of a proof: from an eventual index only after the key's window."""
    if manifest.lookup is Lookup.EVENTUAL and not reference_known:
        return subject.psp_key_safe_until is not None and at >= subject.psp_key_safe_until
    return manifest.lookup is not Lookup.NONE


def absence_proved(
    manifest: Manifest,
    subject: Attempt | Operation,
    absences: Sequence[datetime],
    *,
    reference_known: bool,
    unsure_before: datetime | None = None,
) -> bool:
    """Whether these negative lookups (moments, oldest first) prove that the subject's call never took effect.

    reference_known: the PSP was asked by its own id, which every PSP with a lookup answers from its books, not from an index.
    The lag counts from the last moment at which a call may have been under way: a retry or replay can be much younger than its subject, and
    one that was under way at a crash is known to nobody (`unsure_before`, see `Desk`).
    """
    if subject.psp_key_safe_until is None:
        return False
    sent = subject.created_at if unsure_before is None else max(subject.created_at, unsure_before)
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
