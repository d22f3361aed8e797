"""What a PSP's word about an operation contradicts, or tells by its totals alone: another reference, another amount, what was taken in all.

Such evidence never counts as a success and never changes an amount of ours; people look. Pure. Not here: what follows (`weigh_operation`),
evidence about attempts (`weigh_nothing`).
"""

from __future__ import annotations

from msgspec.structs import replace

from payorch.domain.money import Money
from payorch.domain.outcome import Absent, Approved, Evidence, Source, Unknown
from payorch.domain.payment import OPEN_OPERATION, AttemptState, OperationState
from payorch.domain.records import Operation, OperationKind, Payment


def conflict_of_operation(payment: Payment, operation: Operation, evidence: Evidence) -> str | None:
    """In words, what this evidence about the operation contradicts; None where it fits, or is no success."""
    if not isinstance(evidence.finding, Approved):
        return None
    if evidence.our_reference is not None and evidence.our_reference != operation.id:
        return f"the PSP speaks of {evidence.our_reference}, not of {operation.id}"
    void = operation.kind is OperationKind.VOID  # a PSP shows the payment with it, so the amount is the attempt's
    ours, theirs = payment.attempt(operation.attempt_id).amount if void else operation.amount, evidence.amount
    if theirs is not None and theirs != ours:
        what = "the attempt" if void else "the operation"
        return f"the PSP reports {theirs.minor} {theirs.currency}, {what} is for {ours.minor} {ours.currency}"
    return _conflicting_total(payment, operation, evidence.captured)


def _conflicting_total(payment: Payment, operation: Operation, total: Money | None) -> str | None:
    """A PSP tells of a capture by what it took in all: what surely was captured before, this one, and at most all that may be beside it.

    Captures in flight together may have been done in any order, and an answer tells the total at its own moment.
    """
    if total is None or operation.kind is OperationKind.REFUND:
        return None
    least = most = captured_by(payment, operation.attempt_id)
    if operation.kind is OperationKind.CAPTURE:
        captures = payment.operations_on(operation.attempt_id, OperationKind.CAPTURE)
        others = [one for one in captures if one.id != operation.id and one.state in OPEN_OPERATION | {OperationState.SUCCEEDED}]
        before = [one for one in others if one.state is OperationState.SUCCEEDED and one.updated_at < operation.created_at]
        least = sum(one.amount.minor for one in before) + operation.amount.minor
        most = sum(one.amount.minor for one in others) + operation.amount.minor
    if total.currency == operation.amount.currency and least <= total.minor <= most:
        return None
    expected = f"{least}" if least == most else f"{least} to {most}"
    return f"the PSP reports {total.minor} {total.currency} captured in all, ours are {expected} {operation.amount.currency}"


def captured_by(payment: Payment, attempt_id: str) -> int:
    """Minor units of that attempt that we know to be captured: by itself, or by captures of ours."""
    attempt = payment.attempt(attempt_id)
    if attempt.state is AttemptState.CHARGED:
        return attempt.amount.minor
    mine = payment.operations_on(attempt_id, OperationKind.CAPTURE)
    return sum(one.amount.minor for one in mine if one.state is OperationState.SUCCEEDED)


def told_by_the_total(payment: Payment, operation: Operation, evidence: Evidence) -> Evidence:
    """The same evidence, with what the total says about a capture that the PSP itself cannot tell from the ones before.

    Only where every other capture of the attempt is known: then the total holds this one, or it does not. Not for the first capture, which
    every PSP tells apart, and whose total of nothing may also be one that was taken back.
    """
    looked = isinstance(evidence.finding, Unknown) and evidence.source is Source.INQUIRY
    if not looked or operation.kind is not OperationKind.CAPTURE or operation.state is not OperationState.UNKNOWN:
        return evidence
    captures = payment.operations_on(operation.attempt_id, OperationKind.CAPTURE)
    before, total = captured_by(payment, operation.attempt_id), evidence.captured
    alone = not any(one.state in OPEN_OPERATION for one in captures if one.id != operation.id)
    if total is None or total.currency != operation.amount.currency or not before or not alone:
        return evidence
    told = {before: Absent(), before + operation.amount.minor: Approved(captured=True)}.get(total.minor)
    return evidence if told is None else replace(evidence, finding=told)
