"""What was done at the PSP without us: refunds that are taken into our books, voids that leave their mark, captures that people must judge.

1. Ours come first. While a refund of ours is in flight or unknown, what looks like somebody else's may be ours: nothing is adopted, and the
   attempt is looked at again, unless only people can still say, or a PSP that cannot be asked has told the two apart. What a list says of a
   refund of ours is weighed as an answer about it.
2. Once. The PSP's total says how much was given back; what our books account for, adopted or our own, is taken off it, so that the same
   evidence a second time leaves nothing. Where the PSP lists its refunds as well, each is adopted under its own id.
3. What we learn is never refused: more may have been given back than was taken. Then people hear of it as well.
4. A total tells no names, so what it made somebody else's may have been a refund of ours that was believed to have failed. When ours turns
   out to be done, the adopted one is taken back. Where the total is less than our books have, people hear of it, once.

5. A webhook shows a moment that may be long past: a refund that it counts may have come back since. Where the PSP can be asked, it is, and
   its answer is what refunds are adopted from.

An adopted operation is born as what it is, without a call of ours, and its evidence is the event before it. Pure. Not here: how such
evidence is come by (`compare` asks for it), and captures of ours (`weigh_operation`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from msgspec.structs import replace

from payorch.domain.compare import askable, look_soon
from payorch.domain.conflicts import captured_by
from payorch.domain.desk import Story
from payorch.domain.events import Discrepancy, OperationOpened
from payorch.domain.money import Money, zero
from payorch.domain.outcome import Approved, Declined, Evidence, Finding, GivenBack, Pending, Source
from payorch.domain.payment import OPEN_OPERATION, Name, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment, Pursuit
from payorch.domain.weigh_operation import weigh_operation

_WAITS: Final = "more was given back at the PSP than is known here, while a refund of ours is under way"
_NO_TOTAL: Final = "the PSP lists a refund that is not known here"
_TOLD: Final = "a notice of the PSP shows refunds that are not known here"
_WAS_OURS: Final = "it was a refund of ours, which turned out to be done"


def captured_elsewhere(payment: Payment, attempt: Attempt, evidence: Evidence) -> str | None:
    """In words, what the PSP took beyond our captures. None where there is nothing, or one of ours under way may explain it, which it never
    does where a settlement report books a capture of its own.
    """
    total = evidence.captured
    if total is None or total.currency != attempt.amount.currency:
        return None
    under_way = payment.open_operations(OperationKind.CAPTURE, OperationKind.VOID) if evidence.source is not Source.SETTLEMENT else ()
    ours = captured_by(payment, attempt.id)
    if total.minor <= ours or any(one.attempt_id == attempt.id for one in under_way):
        return None
    return f"captured {total.minor} {total.currency} at the PSP, of which {ours} were captured by us"


def rest_is_gone(payment: Payment, attempt: Attempt, evidence: Evidence) -> bool:
    """Whether a PSP that shows no hold any more, but a charge of exactly what we captured, has released the rest."""
    return evidence.captured == Money(captured_by(payment, attempt.id), attempt.amount.currency)


def adopt_void(story: Story, attempt: Attempt) -> None:
    """A hold was voided at the PSP: a void of nobody's here, unless one of ours did it or may have done it."""
    ours = OPEN_OPERATION | {OperationState.SUCCEEDED}
    mine = story.payment.operations_on(attempt.id, OperationKind.VOID)
    if not any(one.state in ours for one in mine):
        _adopt(story, OperationKind.VOID, attempt, zero(attempt.amount.currency), None, Approved())


def adopt_refunds(story: Story, before: Payment, attempt_id: str, evidence: Evidence) -> None:
    """Takes into the books what this evidence, already recorded, shows of refunds of that attempt. before: the payment without it."""
    attempt = story.payment.attempt(attempt_id)
    snapshot = evidence.source is Source.WEBHOOK and askable(attempt, story.desk)
    if evidence.refunds is not None and story.payment.hold is None and not snapshot:
        _weigh_ours(story, attempt, evidence, evidence.refunds)
    _take_back(story, before, attempt, evidence)
    surplus = _surplus(story.payment, attempt, evidence)
    if snapshot:
        return look_soon(story, attempt.id, _TOLD, at_once=True) if surplus > 0 or _lists_news(story.payment, attempt, evidence) else None
    if evidence.refunded is None and _strangers(story.payment, attempt, evidence):
        return look_soon(story, attempt.id, _NO_TOTAL)
    if surplus < 0:
        return _doubt_ours(story, attempt, evidence)
    if surplus == 0:
        return None
    if _waits(story.payment, attempt) and not _told_apart(story, attempt, evidence):
        return look_soon(story, attempt.id, _WAITS) if _will_end(story.payment, attempt) else None
    if not captured_by(story.payment, attempt.id):
        detail = f"the PSP gave back {surplus} minor units of a payment of which nothing is known to be captured"
        return story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="refunded_uncaptured", detail=detail, subject_id=attempt.id))
    for psp_reference, amount, finding in _parts(story.payment, attempt, evidence, surplus):
        _adopt(story, OperationKind.REFUND, attempt, amount, psp_reference, finding)
    payment = story.payment
    if payment.refunded_minor > payment.captured_minor:
        detail = f"{payment.refunded_minor} minor units were given back, of {payment.captured_minor} captured"
        story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="refunded_above_captured", detail=detail, subject_id=attempt.id))
    return None


def given_back(payment: Payment, attempt: Attempt) -> int:
    """Minor units of that attempt that our books have as surely given back at the PSP: done, or adopted as on its way there."""
    return sum(one.amount.minor for one in payment.operations_on(attempt.id, OperationKind.REFUND) if _counts(one))


def adoption_waits(payment: Payment, attempt: Attempt, evidence: Evidence) -> bool:
    """Whether this evidence shows what will be adopted only once a refund of ours has ended: the look at the attempt is not over then."""
    return _waits(payment, attempt) and _will_end(payment, attempt) and _surplus(payment, attempt, evidence) > 0


def _told_apart(story: Story, attempt: Attempt, evidence: Evidence) -> bool:
    """Whether it surely is nobody's here, whatever of ours is under way: a PSP that cannot be asked tells of each refund in a notice of its
    own, those of ours by our name; a settlement report has a line for each. There will be no other look at this one.
    """
    named = [one for one in evidence.refunds or () if one.our_reference is None]
    alone = evidence.source is Source.SETTLEMENT or (evidence.source is Source.WEBHOOK and not askable(attempt, story.desk))
    return alone and bool(named) and story.payment.hold is None


def _waits(payment: Payment, attempt: Attempt) -> bool:
    return payment.hold is not None or bool(_under_way(payment, attempt))


def _will_end(payment: Payment, attempt: Attempt) -> bool:
    """Whether that wait can end without people: another look is of no use while they have every refund of ours that it is for."""
    return payment.hold is not None or any(not one.in_review for one in _under_way(payment, attempt))


def _under_way(payment: Payment, attempt: Attempt) -> list[Operation]:
    """The refunds of ours that may or may not be part of what the PSP gave back: also those that people have."""
    refunds = payment.operations_on(attempt.id, OperationKind.REFUND)
    return [one for one in refunds if one.state in OPEN_OPERATION and one.origin is not Origin.PROVIDER]


def _known(payment: Payment, attempt: Attempt, listed: GivenBack) -> Operation | None:
    """Our record of that refund: by our own id where the PSP reports it, else by the PSP's."""
    refunds = payment.operations_on(attempt.id, OperationKind.REFUND)
    ours = next((one for one in refunds if one.id == listed.our_reference), None)
    return ours or next((one for one in refunds if one.psp_reference == listed.psp_reference), None)


# --- what a list says of ours


def _weigh_ours(story: Story, attempt: Attempt, evidence: Evidence, listed: tuple[GivenBack, ...]) -> None:
    for one in listed:
        operation = _known(story.payment, attempt, one)
        if operation is None or not _is_news(operation, one):
            continue
        about_it = replace(
            evidence, finding=one.finding, psp_reference=one.psp_reference, our_reference=one.our_reference, amount=one.amount,
            captured=None, refunded=None, refunds=None, raw=None,
        )  # fmt: skip
        weigh_operation(story, operation, about_it)


def _lists_news(payment: Payment, attempt: Attempt, evidence: Evidence) -> bool:
    known = [(_known(payment, attempt, one), one) for one in evidence.refunds or ()]
    news = any(ours is not None and _is_news(ours, one) for ours, one in known)
    return news or bool(_strangers(payment, attempt, evidence))


def _is_news(operation: Operation, listed: GivenBack) -> bool:
    match listed.finding:
        case Approved() if operation.in_review:
            proof = listed.our_reference in (None, operation.id) and listed.amount == operation.amount
            return proof and operation.state is not OperationState.SUCCEEDED
        case Approved():
            return operation.state is not OperationState.SUCCEEDED or operation.amount != listed.amount
        case Pending():
            return operation.state in (OperationState.REQUESTED, OperationState.SENT, OperationState.UNKNOWN)
        case Declined():
            return operation.state in OPEN_OPERATION | {OperationState.SUCCEEDED}
        case _:
            return False


def _take_back(story: Story, before: Payment, attempt: Attempt, evidence: Evidence) -> None:
    """Of each refund of ours that this evidence showed to be done: what was adopted in its place."""
    for ours in story.payment.operations_on(attempt.id, OperationKind.REFUND):
        if ours.origin is Origin.PROVIDER or ours.state is not OperationState.SUCCEEDED:
            continue
        known = before.operation(ours.id).state is OperationState.SUCCEEDED
        if known or (double := _adopted_for(story.payment, attempt, ours, evidence)) is None:
            continue
        story.operation(Name.REFUND_REVERSED, double, OperationState.REVERSED, reason=_WAS_OURS)
        if evidence.refunded is None or evidence.source is Source.WEBHOOK:  # they may have been two after all: the total of now tells
            look_soon(story, attempt.id, _WAS_OURS, at_once=True)


def _adopted_for(payment: Payment, attempt: Attempt, ours: Operation, evidence: Evidence) -> Operation | None:
    """The adopted refund that was ours: one of the same id at the PSP, or else one that only a total spoke of, after ours was asked for.

    With a total at hand it may have stood for others as well, and their part is adopted anew; but where the total has room for both, both
    were done.
    """
    refunds = payment.operations_on(attempt.id, OperationKind.REFUND)
    done = [one for one in refunds if one.origin is Origin.PROVIDER and one.state is OperationState.SUCCEEDED]
    if ours.psp_reference is not None and (same := next((one for one in done if one.psp_reference == ours.psp_reference), None)):
        return same
    if evidence.refunded is not None and _surplus(payment, attempt, evidence) >= 0:
        return None
    unnamed = [one for one in done if one.psp_reference is None and one.created_at >= ours.created_at]
    exact = next((one for one in unnamed if one.amount == ours.amount), None)
    larger = [one for one in unnamed if one.amount.minor > ours.amount.minor] if evidence.refunded is not None else []
    return exact or min(larger, key=lambda one: one.amount.minor, default=None)


def _doubt_ours(story: Story, attempt: Attempt, evidence: Evidence) -> None:
    """The total is less than what our books have as done. For people, who see it by the refund it is put on, and so only once.

    Only an inquiry that began after all of them were done can say so: a webhook or an answer tells of some moment before.
    """
    began = evidence.at - timedelta(milliseconds=evidence.latency_ms or 0)
    done = [one for one in story.payment.operations_on(attempt.id, OperationKind.REFUND) if one.state is OperationState.SUCCEEDED]
    books, total = sum(one.amount.minor for one in done), evidence.refunded
    if story.payment.hold is not None or evidence.source is not Source.INQUIRY or total is None or books <= total.minor:
        return
    if any(one.in_review or one.updated_at > began for one in done):
        return
    detail = f"{total.minor} {total.currency} were given back at the PSP, {books} in our books"
    story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="refunded_less_than_known", detail=detail, subject_id=attempt.id))
    doubtful = min(done, key=lambda one: (one.origin is not Origin.PROVIDER, one.psp_reference is not None))
    story.operation(Name.OPERATION_REVIEW_RAISED, doubtful, doubtful.state, in_review=True, reason=detail)


# --- what nobody here asked for


def _surplus(payment: Payment, attempt: Attempt, evidence: Evidence) -> int:
    """Minor units that the PSP gave back and that no refund in our books accounts for; below zero where they account for more.

    The total says how much; a list only what it was. A list may hold what is no refund to a merchant: some PSPs call it one when they
    release the rest of a hold.
    """
    total = evidence.refunded
    if total is None or total.currency != attempt.amount.currency or _contradicted(payment, attempt, evidence):
        return 0
    return total.minor - given_back(payment, attempt)


def _contradicted(payment: Payment, attempt: Attempt, evidence: Evidence) -> bool:
    """Whether the list has an id twice, or one of our refunds with another amount: no ground to stand on for others' either."""
    ids = [one.psp_reference for one in evidence.refunds or ()]
    if len(set(ids)) < len(ids):
        return True
    known = ((_known(payment, attempt, one), one) for one in evidence.refunds or () if isinstance(one.finding, (Approved, Pending)))
    return any(ours is not None and ours.amount != one.amount for ours, one in known)


def _counts(refund: Operation) -> bool:
    """What is surely part of the PSP's total: done, or adopted as on its way there."""
    return refund.state is OperationState.SUCCEEDED or (refund.origin is Origin.PROVIDER and refund.state in OPEN_OPERATION)


def _strangers(payment: Payment, attempt: Attempt, evidence: Evidence) -> list[GivenBack]:
    """The refunds on the list that our books do not know."""
    currency = attempt.amount.currency
    listed = [one for one in evidence.refunds or () if isinstance(one.finding, (Approved, Pending)) and one.amount.currency == currency]
    return [one for one in listed if _known(payment, attempt, one) is None]


def _parts(payment: Payment, attempt: Attempt, evidence: Evidence, surplus: int) -> list[tuple[str | None, Money, Finding]]:
    """What the surplus consists of: (the PSP's id, amount, finding). What the list does not explain of it has no id."""
    counted = [one for one in payment.operations_on(attempt.id, OperationKind.REFUND) if one.origin is Origin.PROVIDER and _counts(one)]
    unnamed = [one.amount for one in counted if one.psp_reference is None]
    parts: list[tuple[str | None, Money, Finding]] = []
    for one in _strangers(payment, attempt, evidence):
        if one.amount in unnamed:
            unnamed.remove(one.amount)  # adopted before, by a total
        elif one.amount.minor <= surplus:
            surplus -= one.amount.minor
            parts.append((one.psp_reference, one.amount, one.finding))
    return [*parts, (None, Money(surplus, attempt.amount.currency), Approved())] if surplus else parts


def _adopt(story: Story, kind: OperationKind, attempt: Attempt, amount: Money, psp_reference: str | None, finding: Finding) -> None:
    desk, pending = story.desk, isinstance(finding, Pending)
    operation = Operation(
        id=desk.identifier("void" if kind is OperationKind.VOID else "ref"),
        kind=kind,
        state=OperationState.PENDING if pending else OperationState.SUCCEEDED,
        origin=Origin.PROVIDER,
        attempt_id=attempt.id,
        amount=amount,
        created_at=desk.at,
        updated_at=desk.at,
        psp_reference=psp_reference,
        next_action_at=desk.look_at(desk.limits.pending_looks_seconds, 0) if pending else None,
        pursuit=Pursuit(since=desk.at) if pending else None,
    )
    story.tell(Name.OPERATION_ADOPTED, OperationOpened(operation=operation))
