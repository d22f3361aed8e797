"""Our books against themselves: a payment's journal, the rows derived from it, and the promises that either must keep.

Pure. The rows are restated here from the payment on purpose, not by asking what wrote them: a judge who asks the accused learns nothing.
Not here: our books against a PSP's (`books`), reading (`payorch.store.books`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, TypeAlias

from msgspec import Struct

from payorch.domain.books import AT_REST
from payorch.domain.books_findings import Finding, Kind
from payorch.domain.books_ledger import MovementView
from payorch.domain.disputes import Dispute
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, AttemptState, State
from payorch.domain.records import OperationKind, Origin, Payment

_CLOSED_FOR_GOOD: Final = frozenset(
    {AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.ABSENT, AttemptState.VOIDED}
)


class PaymentView(Struct, frozen=True, kw_only=True, gc=False):
    """The row of `payments`, without what only other processes read."""

    merchant_id: str
    state: str
    version: int
    amount: int
    currency: str
    capture: str
    reference: str | None
    connector: str | None
    psp_reference: str | None
    authorized: int
    captured: int
    capture_reserved: int
    refunded: int
    refund_reserved: int
    unfinished: bool
    due_at: datetime | None
    held: bool
    created_at: datetime
    updated_at: datetime


class AttemptView(Struct, frozen=True, kw_only=True, gc=False):
    """A row of `attempts`."""

    id: str
    connector: str
    state: str
    exclusive: bool
    amount: int
    currency: str
    psp_key: str
    psp_reference: str | None
    money_reference: str | None
    fence_key: str | None
    next_action_at: datetime | None


class OperationView(Struct, frozen=True, kw_only=True, gc=False):
    """A row of `operations`."""

    id: str
    attempt_id: str
    kind: str
    state: str
    origin: str
    amount: int
    currency: str
    psp_key: str | None
    psp_reference: str | None
    next_action_at: datetime | None
    in_review: bool


class DisputeView(Struct, frozen=True, kw_only=True, gc=False):
    """A row of `disputes`."""

    id: str
    merchant_id: str
    attempt_id: str
    psp_reference: str
    stage: str
    status: str
    amount: int
    currency: str
    reason: str | None
    respond_by: datetime | None
    created_at: datetime
    updated_at: datetime


ChildView: TypeAlias = AttemptView | OperationView | DisputeView


class Kept(Struct, frozen=True, kw_only=True, gc=False):
    """One payment as it is kept. `payment`: as its journal makes it; None where it makes none, and then `problem` says why.

    sequences: the numbers of its events, as they stand in the journal.
    """

    id: str
    payment: Payment | None
    problem: str
    sequences: tuple[int, ...]
    view: PaymentView | None
    attempts: tuple[AttemptView, ...] = ()
    operations: tuple[OperationView, ...] = ()
    disputes: tuple[DisputeView, ...] = ()
    movements: tuple[MovementView, ...] = ()


def check(kept: Kept) -> list[Finding]:
    """Everything that is wrong with one payment in our own books, but for its movements (`books_ledger`)."""
    found = _dense(kept)
    if not kept.sequences:
        found.append(Finding(kind=Kind.ROW_ASTRAY, payment_id=kept.id, detail="a row of payments, and no event in the journal"))
        return found
    if kept.payment is None:
        found.append(Finding(kind=Kind.ILLEGAL_STORY, payment_id=kept.id, detail=kept.problem))
        return found
    if kept.view is None:
        found.append(Finding(kind=Kind.ROW_ASTRAY, payment_id=kept.id, detail="events in the journal, and no row of payments"))
    else:
        found += _view(kept.payment, kept.view)
    found += _children(kept.payment, kept)
    found += _bounds(kept.payment)
    found += _unresolved(kept.payment)
    return found


def _dense(kept: Kept) -> list[Finding]:
    expected = tuple(range(1, len(kept.sequences) + 1))
    if kept.sequences == expected:
        return []
    first = next(want for want, found in zip((*expected, len(expected) + 1), (*kept.sequences, 0), strict=True) if want != found)
    return [Finding(kind=Kind.GAP, payment_id=kept.id, detail=f"event {first} of {len(kept.sequences)} is not where it should be")]


# --- rows -------------------------------------------------------------------------------------------------------------------------------


def _view(payment: Payment, row: PaymentView) -> list[Finding]:
    expected = _expected_view(payment)
    apart = _apart(expected, row)
    if not apart:
        return []
    money = next((name for name in ("captured", "refunded", "authorized", "amount") if getattr(expected, name) != getattr(row, name)), None)
    return [
        Finding(
            kind=Kind.ROW_DIFFERS, payment_id=payment.id, currency=payment.intent.amount.currency,
            ours=None if money is None else getattr(expected, money), theirs=None if money is None else getattr(row, money),
            detail=f"payments: {apart}",
        )
    ]  # fmt: skip


def _expected_view(payment: Payment) -> PaymentView:
    # The attempt that people mean when they say "the payment's connector": the one with money, else the one under way, else the last.
    holding, under_way = payment.holding_attempt, payment.open_attempt
    attempt = holding or under_way or (payment.attempts[-1] if payment.attempts else None)
    due_at = payment.due_at
    return PaymentView(
        merchant_id=payment.merchant_id,
        state=payment.state,
        version=payment.version,
        amount=payment.intent.amount.minor,
        currency=payment.intent.amount.currency,
        capture=payment.intent.capture,
        reference=payment.intent.reference,
        connector=None if attempt is None else attempt.connector,
        psp_reference=None if attempt is None else _storable(attempt.psp_reference),
        authorized=payment.authorized_minor,
        captured=payment.captured_minor,
        capture_reserved=payment.capture_reserved_minor,
        refunded=payment.refunded_minor,
        refund_reserved=payment.refund_reserved_minor,
        unfinished=due_at is not None or under_way is not None or bool(payment.open_operations(*OperationKind)),
        due_at=_stored(due_at),
        held=payment.hold is not None,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
    )


def _children(payment: Payment, kept: Kept) -> list[Finding]:
    found: list[Finding] = []
    rows: dict[str, ChildView] = {one.id: one for one in kept.attempts}
    rows |= {one.id: one for one in kept.operations}
    rows |= {one.id: one for one in kept.disputes}
    for attempt in payment.attempts:
        row = rows.pop(attempt.id, None)
        closed = isinstance(row, AttemptView) and not row.exclusive
        expected = AttemptView(
            id=attempt.id,
            connector=attempt.connector,
            state=attempt.state,
            # Whoever once was a definitive no stays one for the database, also when a late success is learned.
            exclusive=attempt.state not in _CLOSED_FOR_GOOD and not (closed and attempt.held_since is not None),
            amount=attempt.amount.minor,
            currency=attempt.amount.currency,
            psp_key=attempt.psp_key,
            psp_reference=_storable(attempt.psp_reference),
            money_reference=_storable(attempt.money_reference),
            fence_key=None if attempt.fence is None else attempt.fence.psp_key,
            next_action_at=_stored(attempt.next_action_at),
        )
        found += _child(payment, expected, row, "attempts")
    for operation in payment.operations:
        wanted = OperationView(
            id=operation.id,
            attempt_id=operation.attempt_id,
            kind=operation.kind,
            state=operation.state,
            origin=operation.origin,
            amount=operation.amount.minor,
            currency=operation.amount.currency,
            psp_key=operation.psp_key,
            psp_reference=_storable(operation.psp_reference),
            next_action_at=_stored(operation.next_action_at),
            in_review=operation.in_review,
        )
        found += _child(payment, wanted, rows.pop(operation.id, None), "operations")
    for dispute in payment.disputes:
        found += _child(payment, _expected_dispute(payment, dispute), rows.pop(dispute.id, None), "disputes")
    for left in rows:
        found.append(Finding(kind=Kind.ROW_ASTRAY, payment_id=payment.id, subject_id=left, detail="a row that no event made"))
    return found


def _expected_dispute(payment: Payment, dispute: Dispute) -> DisputeView:
    return DisputeView(
        id=dispute.id,
        merchant_id=payment.merchant_id,
        attempt_id=dispute.attempt_id,
        psp_reference=dispute.psp_reference.replace("\0", "\ufffd"),
        stage=dispute.stage,
        status=dispute.status,
        amount=dispute.amount.minor,
        currency=dispute.amount.currency,
        reason=_storable(dispute.reason),
        respond_by=_stored(dispute.respond_by),
        created_at=dispute.created_at,
        updated_at=dispute.updated_at,
    )


def _child(payment: Payment, expected: ChildView, row: object, table: str) -> list[Finding]:
    if not isinstance(row, type(expected)):
        detail = f"an event made it, and {table} has no row of it"
        return [Finding(kind=Kind.ROW_ASTRAY, payment_id=payment.id, subject_id=expected.id, detail=detail)]
    apart = _apart(expected, row)
    if not apart:
        return []
    return [
        Finding(
            kind=Kind.ROW_DIFFERS, payment_id=payment.id, subject_id=expected.id, currency=expected.currency,
            ours=expected.amount, theirs=row.amount, detail=f"{table}: {apart}",
        )
    ]  # fmt: skip


def _apart(expected: Struct, row: Struct) -> str:
    if expected == row:
        return ""
    pairs = ((name, getattr(expected, name), getattr(row, name)) for name in expected.__struct_fields__)
    return "; ".join(f"{name}: journal {_shown(ours)}, row {_shown(other)}" for name, ours, other in pairs if ours != other)


def _shown(value: Any) -> str:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else str(value)[:80]


def _stored(at: datetime | None) -> datetime | None:
    """As a column keeps it: cut to whole milliseconds."""
    return None if at is None else at.replace(microsecond=at.microsecond // 1000 * 1000)


def _storable(text: str | None) -> str | None:
    """As a column keeps it: PostgreSQL's text knows no NUL character."""
    return None if text is None else text.replace("\0", "\ufffd")


# --- promises ---------------------------------------------------------------------------------------------------------------------------


def _bounds(payment: Payment) -> list[Finding]:
    """M2. What a PSP did by itself is learned and never forbidden, so only what we caused is bounded."""
    currency = payment.intent.amount.currency
    found: list[Finding] = []

    def bounded(what: str, ours: int, most: int) -> None:
        if not 0 <= ours <= most:
            wrong = Finding(kind=Kind.OUT_OF_BOUNDS, payment_id=payment.id, currency=currency, ours=ours, theirs=most, detail=what)
            found.append(wrong)

    def adopted(kind: OperationKind) -> bool:
        return any(one.kind is kind and one.origin is Origin.PROVIDER for one in payment.operations)

    judged = payment.state is not State.MANUAL_REVIEW  # where evidence that contradicts itself waits for people
    if judged and not adopted(OperationKind.CAPTURE):
        captured = payment.captured_minor + payment.capture_reserved_minor
        bounded("captured or being captured, of what was authorised", captured, payment.authorized_minor)
    if judged and not adopted(OperationKind.REFUND):
        refunded = payment.refunded_minor + payment.refund_reserved_minor
        bounded("refunded or being refunded, of what was captured", refunded, payment.captured_minor)
    for attempt in payment.attempts:
        bounded(f"attempted with {attempt.id}, of what was asked", attempt.amount.minor, payment.intent.amount.minor)
    children = [(one.id, one.amount) for one in payment.attempts] + [(one.id, one.amount) for one in payment.operations]
    for subject, amount in children:
        if amount.currency != currency:
            detail = f"it is in {amount.currency}, the payment in {currency}"
            found.append(Finding(kind=Kind.FOREIGN_CURRENCY, payment_id=payment.id, subject_id=subject, currency=currency, detail=detail))
    return found


def _unresolved(payment: Payment) -> list[Finding]:
    """M7 and L2: no two attempts without an end, and for whatever has none a moment at which somebody looks again."""
    open_attempts = [one for one in payment.attempts if one.state in OPEN_ATTEMPT]
    found: list[Finding] = []
    if len(open_attempts) > 1:
        detail = f"{len(open_attempts)} attempts have no end: {', '.join(one.id for one in open_attempts)}"
        found.append(Finding(kind=Kind.TWO_UNRESOLVED, payment_id=payment.id, detail=detail))
    if payment.hold is not None or payment.state is State.MANUAL_REVIEW:
        return found  # people have it: nothing of it moves by itself
    open_operations = [one for one in payment.operations if one.state in OPEN_OPERATION]
    watched = {one.attempt_id for one in open_operations if one.next_action_at is not None}
    untimed = [one.id for one in open_attempts if one.next_action_at is None and one.id not in watched]
    untimed += [one.id for one in open_operations if one.next_action_at is None and not one.in_review]
    for subject in untimed:
        found.append(Finding(kind=Kind.NO_TIMER, payment_id=payment.id, subject_id=subject, detail="it has no end and no timer"))
    if payment.state not in AT_REST and payment.due_at is None and not untimed and not _all_in_review(payment):
        detail = f"the payment is {payment.state} and nothing of it has a timer"
        found.append(Finding(kind=Kind.NO_TIMER, payment_id=payment.id, detail=detail))
    return found


def _all_in_review(payment: Payment) -> bool:
    unresolved: Iterable[bool] = (one.in_review for one in payment.operations if one.state in OPEN_OPERATION)
    flags = list(unresolved)
    return bool(flags) and all(flags)
