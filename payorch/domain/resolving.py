"""What two people find to be the truth about a payment, or about one of its operations, where no PSP's word could settle it.

Whatever they find replaces every search: each attempt and operation is set to what fits it, so that the sums of the payment, and with them
its double entries, say what was found and nothing else. What does not fit is refused: refunds of money that would not have been captured,
more captured than was held, an attempt that two of them are about.

    AUTHORIZED            one attempt holds the money, nothing of it is captured
    PARTIALLY_CAPTURED    so much of it is captured, and the rest is still held
    CAPTURED              so much of it (all of it, where no amount is given) is captured, and nothing is held any more
    CANCELED, FAILED      no attempt holds money
    VOIDING               an attempt holds money that nobody should: it is given back, by a call that is made now

Pure. Not here: who the people are and that they are two (the acts, and the database), what else operators do (`operating`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.decide import Refused, open_operation
from payorch.domain.desk import Story
from payorch.domain.events import Correction, ReviewWanted
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money, zero
from payorch.domain.payment import (
    EDGES,
    HOLDING_ATTEMPT,
    ON_THE_WIRE_ATTEMPT,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    AttemptState,
    Name,
    OperationState,
    State,
)
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment

TARGETS: Final = tuple(
    state
    for state in State
    if any(state in EDGES[State.MANUAL_REVIEW][name] for name in (Name.CORRECTION_APPROVED, Name.COMPENSATION_APPROVED))
)
"""What people may find a payment to be, in the order of its life."""
OPERATION_TARGETS: Final = (OperationState.SUCCEEDED, OperationState.FAILED)
RESOLVABLE: Final = frozenset({State.OUTCOME_UNKNOWN, State.MANUAL_REVIEW})
"""Where people may say what a payment is."""

_CAPTURED: Final = frozenset({State.PARTIALLY_CAPTURED, State.CAPTURED})
_OPERATION_OVER: Final = {OperationState.SUCCEEDED: OperationState.REVERSED}


class Word(Struct, frozen=True, kw_only=True):
    """Two people's word. evidence: where what they rely on can be found again. alone: the glass was broken."""

    requester: str
    approver: str
    reason: str
    evidence: str
    alone: bool = False


class _Found(Struct, frozen=True, kw_only=True):
    """What the parts of a payment are, by people's word. `attempt`: the one whose money it is about."""

    attempt: Attempt
    state: AttemptState
    others: dict[str, AttemptState]
    operations: tuple[Operation, ...]


def resolve(story: Story, to: str, word: Word, *, subject: str | None = None, minor: int | None = None) -> None:
    """Tells what people found. Raises Refused.

    to: a state of TARGETS; of OPERATION_TARGETS where `subject` is an operation of this payment. subject: else the attempt whose money it
    is about, which is known where only one can be meant. minor: how much of it was captured, in all.
    """
    payment = story.payment
    if payment.hold is not None:
        raise _no("The payment is set aside: release it first, and decide on what it says then.")
    operation = payment.find_operation(subject) if subject is not None else None
    if operation is not None:
        return _resolve_operation(story, operation, to, word)
    if payment.state not in RESOLVABLE:
        raise _no(f"A payment in {payment.state} is known for what it is: people decide in OUTCOME_UNKNOWN and MANUAL_REVIEW only.")
    if to not in TARGETS:
        raise _wrong("to", f"People find a payment to be one of {', '.join(TARGETS)}.")
    _require_nothing_on_the_wire(story)
    target = State(to)
    attempt = _attempt_meant(payment, subject)
    if payment.state is State.OUTCOME_UNKNOWN:
        story.tell(Name.REVIEW_REQUESTED, ReviewWanted(reason=word.reason), State.MANUAL_REVIEW)
    if target is State.VOIDING:
        return _compensate(story, attempt, word)
    found = _over(story, attempt, target) if target not in _CAPTURED else _captured(story, attempt, target, minor)
    correction = _correction(word, found.attempt.id, found.state)
    return story.tell(Name.CORRECTION_APPROVED, replace(correction, others=found.others, operations=found.operations), target)


def attempts_meant(payment: Payment) -> tuple[Attempt, ...]:
    """The attempts whose money it may be about: those that hold some; else the open one; else the last."""
    holding = tuple([one for one in payment.attempts if one.state in HOLDING_ATTEMPT])
    return holding or tuple([one for one in payment.attempts if one.state in OPEN_ATTEMPT]) or payment.attempts[-1:]


def _attempt_meant(payment: Payment, subject: str | None) -> Attempt:
    if subject is not None:
        attempt = next((one for one in payment.attempts if one.id == subject), None)
        if attempt is None:
            raise _wrong("operation", f"{payment.id} has no attempt or operation {subject}.")
        return attempt
    meant = attempts_meant(payment)
    if len(meant) > 1:
        names = " or ".join(one.id for one in meant)
        raise _wrong("operation", f"More than one attempt holds money: say which of them the payment is ({names}).")
    return meant[0]


def _require_nothing_on_the_wire(story: Story) -> None:
    """A call that has just been made would answer over what people say."""
    payment, desk = story.payment, story.desk
    patience = timedelta(seconds=desk.limits.call_lost_seconds)
    calling: list[Attempt | Operation] = [one for one in payment.attempts if one.state in ON_THE_WIRE_ATTEMPT]
    calling += [one for one in payment.operations if one.on_the_wire and one.kind is not OperationKind.REFUND]
    if any(desk.at < one.updated_at + patience for one in calling):
        raise _no(
            f"A call about it is under way. Its answer is here in {desk.limits.call_lost_seconds} seconds at the latest: wait for it."
        )


# --- what the parts of the payment are then ---------------------------------------------------------------------------------------------


def _over(story: Story, attempt: Attempt, target: State) -> _Found:
    """Nothing is captured: one attempt holds the money (AUTHORIZED), or none does."""
    payment = story.payment
    _require_refunds_fit(payment, 0)
    held = target is State.AUTHORIZED
    given_back = OperationState.SUCCEEDED if target is State.CANCELED else OperationState.FAILED
    operations = [_ended(one, given_back if one.kind is OperationKind.VOID else OperationState.FAILED, story) for one in _movers(payment)]
    return _Found(
        attempt=attempt,
        state=AttemptState.AUTHORIZED if held else _closed(attempt, target),
        others=_others(payment, attempt, target),
        operations=tuple(operations),
    )


def _captured(story: Story, attempt: Attempt, target: State, minor: int | None) -> _Found:
    payment, whole = story.payment, attempt.amount.minor
    if minor is None and target is State.PARTIALLY_CAPTURED:
        raise _wrong("amount", "Say how much of it is captured, in minor units.")
    taken = whole if minor is None else minor
    most = whole if target is State.CAPTURED else whole - 1
    if not 0 < taken <= most:
        raise _wrong("amount", f"Of {whole} minor units that were held, 1 to {most} can be captured where it is {target}.")
    _require_refunds_fit(payment, taken)
    by_itself = attempt.state is AttemptState.CHARGED or payment.intent.capture is CaptureMode.AUTOMATIC
    if by_itself and taken == whole and not any(one.kind is OperationKind.CAPTURE for one in _movers(payment)):
        state, operations = AttemptState.CHARGED, [_ended(one, OperationState.FAILED, story) for one in _movers(payment)]
    else:
        state, operations = AttemptState.AUTHORIZED, _captures(story, attempt, taken, final=target is State.CAPTURED)
    return _Found(attempt=attempt, state=state, others=_others(payment, attempt, target), operations=tuple(operations))


def _captures(story: Story, attempt: Attempt, taken: int, *, final: bool) -> list[Operation]:
    """The captures that make up `taken`: of those that are there, what fits; and one more for what they do not have."""
    found, left = [], taken
    for one in sorted(_movers(story.payment), key=lambda one: one.state is not OperationState.SUCCEEDED):
        fits = one.kind is OperationKind.CAPTURE and one.attempt_id == attempt.id and one.amount.minor <= left
        left -= one.amount.minor if fits else 0
        found.append(_ended(one, OperationState.SUCCEEDED if fits else OperationState.FAILED, story))
    if left:
        at = story.desk.at
        found.append(
            Operation(
                id=story.desk.identifier("cap"), kind=OperationKind.CAPTURE, state=OperationState.SUCCEEDED, origin=Origin.OPERATOR,
                attempt_id=attempt.id, amount=Money(left, attempt.amount.currency), created_at=at, updated_at=at, final=final,
            )
        )  # fmt: skip
    return [one for one in found if story.payment.find_operation(one.id) != one]


def _movers(payment: Payment) -> list[Operation]:
    """The captures and voids that are not over, or have taken effect."""
    live = OPEN_OPERATION | {OperationState.SUCCEEDED}
    return [
        one
        for one in payment.operations
        if one.state in live and one.kind is not OperationKind.REFUND and (one.kind is OperationKind.CAPTURE or one.state in OPEN_OPERATION)
    ]


def _ended(operation: Operation, state: OperationState, story: Story) -> Operation:
    """The operation as people found it. A capture that had succeeded and did not is one that was taken back."""
    if operation.state is state:
        return replace(operation, next_action_at=None, pursuit=None, in_review=False)
    state = _OPERATION_OVER.get(operation.state, state)
    return replace(
        operation, state=state, updated_at=story.desk.at, next_action_at=None, pursuit=None, in_review=False,
        failure=None if state is OperationState.SUCCEEDED else operation.failure,
    )  # fmt: skip


def _others(payment: Payment, meant: Attempt, target: State) -> dict[str, AttemptState]:
    """Every other attempt under which there was money, or could have been: there is none."""
    others = [one for one in payment.attempts if one.id != meant.id and one.state in OPEN_ATTEMPT | HOLDING_ATTEMPT]
    return {one.id: _closed(one, target) for one in others}


def _closed(attempt: Attempt, target: State) -> AttemptState:
    if attempt.state not in OPEN_ATTEMPT | HOLDING_ATTEMPT:
        return attempt.state
    return AttemptState.VOIDED if attempt.held_since is not None or target is State.CANCELED else AttemptState.ABSENT


def _require_refunds_fit(payment: Payment, captured: int) -> None:
    given = payment.refunded_minor + payment.refund_reserved_minor
    if given > captured:
        detail = f"{given} minor units are refunded or being refunded, and only {captured} would be captured: resolve the refunds first."
        raise _no(detail)


# --- giving money back, and single operations -------------------------------------------------------------------------------------------


def _compensate(story: Story, attempt: Attempt, word: Word) -> None:
    """The hold is given back: the call is made once this is written. What the other attempts are is as it was."""
    payment = story.payment
    if attempt.state is AttemptState.CHARGED or attempt.state not in OPEN_ATTEMPT | HOLDING_ATTEMPT:
        detail = f"{attempt.id} is {attempt.state}: there is no hold to be given back. Money that was captured is refunded."
        raise _no(detail)
    ended = [_ended(one, OperationState.FAILED, story) for one in _movers(payment) if one.state in OPEN_OPERATION]
    held = replace(attempt, state=AttemptState.AUTHORIZED)
    trial = replace(payment, attempts=tuple([held if one.id == attempt.id else one for one in payment.attempts]))
    nothing = zero(attempt.amount.currency)
    void = open_operation(
        Story(trial, story.desk),
        Name.OPERATION_ADOPTED,
        None,
        OperationKind.VOID,
        held,
        nothing,
        origin=Origin.OPERATOR,
        reason=word.reason,
    )
    correction = replace(_correction(word, attempt.id, AttemptState.AUTHORIZED), operation=void, operations=tuple(ended))
    story.tell(Name.COMPENSATION_APPROVED, correction, State.VOIDING)


def _resolve_operation(story: Story, operation: Operation, to: str, word: Word) -> None:
    """What became of one operation, where that says nothing new about the payment's state."""
    payment = story.payment
    if to not in OPERATION_TARGETS:
        raise _wrong("to", f"People find an operation to have ended as one of {', '.join(OPERATION_TARGETS)}.")
    searched = operation.state in (OperationState.UNKNOWN, OperationState.PENDING)
    if not searched:
        raise _no(f"{operation.id} is {operation.state}: people decide where nobody knows what became of an operation.")
    if operation.kind is not OperationKind.REFUND:
        _require_apart(payment, operation, OperationState(to))
    found = replace(_ended(operation, OperationState(to), story), updated_at=story.desk.at)
    story.tell(Name.OPERATION_CORRECTED, replace(_correction(word, None, None), operation=found))


def _require_apart(payment: Payment, operation: Operation, to: OperationState) -> None:
    """Raises Refused where what became of this capture or void is what the payment is about."""
    if payment.state in RESOLVABLE | {State.CAPTURING, State.VOIDING} or not operation.in_review:
        raise _no(f"What became of {operation.id} decides what the payment is: resolve the payment, once its outcome is unknown.")
    if to is OperationState.FAILED:
        return
    held = payment.attempt(operation.attempt_id).state in HOLDING_ATTEMPT
    fits = payment.captured_minor + payment.capture_reserved_minor <= payment.authorized_minor
    if operation.kind is OperationKind.VOID and held:
        raise _no(f"The hold that {operation.id} was to give back is in use: ask the PSP again (payment.resync).")
    if operation.kind is OperationKind.CAPTURE and not (payment.state is State.CAPTURED and fits):
        raise _no(f"A payment in {payment.state} cannot have {operation.id} as well: ask the PSP again (payment.resync).")


def _correction(word: Word, attempt_id: str | None, state: AttemptState | None) -> Correction:
    return Correction(
        requester=word.requester,
        approver=word.approver,
        reason=word.reason,
        evidence_reference=word.evidence,
        attempt_id=attempt_id,
        attempt_state=state,
        alone=word.alone,
    )


def _no(detail: str) -> Refused:
    return Refused("operation_not_allowed", detail)


def _wrong(field: str, detail: str) -> Refused:
    return Refused("validation_failed", detail, field=field)
