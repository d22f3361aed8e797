"""Movements: the double entries of what a payment has captured, refunded and lost in disputes, derived from its events and nothing else.

After each event, what every child of the payment has moved is compared with what it had moved before: a difference is one movement, in
either direction, so that the entries of a payment always add up to its sums, whatever event it was. Holds are no money moved. Pure.

A dispute has taken what it is over, by its latest stage, in its own currency: a ledger holds what moved and not what it is worth in other
money. So where a dispute is in another currency than its payment, the chargebacks of the payment are in both, while `disputed_minor`, which
says what may still be refunded, takes such a dispute for all that was captured.

Not here: storing them (`payorch.store.batch`), whether a PSP's report has them (`matching`), what follows from a report (`postings`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from payorch.domain.accounts import Account
from payorch.domain.disputes import taking
from payorch.domain.events import Event
from payorch.domain.money import Money
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import OperationKind, Payment


class MovementKind(StrEnum):
    """Which money moved which way. The names are those of `settlement.RowKind`."""

    CAPTURE = "capture"
    CAPTURE_REVERSED = "capture_reversed"
    REFUND = "refund"
    REFUND_REVERSED = "refund_reversed"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed"


class Movement(Struct, frozen=True, kw_only=True, gc=False):
    """One double entry: `amount` (above zero) from the account `credit` to the account `debit`.

    sequence: of the event that it follows from. subject_id: the attempt (of what it took by itself), operation or dispute whose it is.
    """

    payment_id: str
    sequence: int
    subject_id: str
    merchant_id: str
    attempt_id: str
    connector: str
    kind: MovementKind
    amount: Money
    debit: str
    credit: str
    at: datetime


REVERSAL: Final[Mapping[MovementKind, MovementKind]] = {
    MovementKind.CAPTURE: MovementKind.CAPTURE_REVERSED,
    MovementKind.REFUND: MovementKind.REFUND_REVERSED,
    MovementKind.CHARGEBACK: MovementKind.CHARGEBACK_REVERSED,
}
"""What takes a movement back."""
TO_THE_MERCHANT: Final = frozenset({MovementKind.CAPTURE, MovementKind.REFUND_REVERSED, MovementKind.CHARGEBACK_REVERSED})
"""Those that add to what the merchant is owed; the others take from it."""

_KINDS: Final = {OperationKind.CAPTURE: MovementKind.CAPTURE, OperationKind.REFUND: MovementKind.REFUND}


class _Moved(NamedTuple):
    """What one child has moved so far. kind: which way, where nothing of it was taken back."""

    kind: MovementKind
    subject_id: str
    attempt_id: str
    amount: Money


def movements(before: Payment | None, after: Payment, event: Event) -> tuple[Movement, ...]:
    """What `event` moved, which made `after` of `before`; mostly nothing, and then it costs nothing."""
    if before is None:
        return ()  # at its birth a payment has no children
    if before.attempts is after.attempts and before.operations is after.operations and before.disputes is after.disputes:
        return ()
    was, has = _moved(before), _moved(after)
    if was == has:
        return ()
    return tuple(
        [
            _movement(after, event, kind, moved, amount)
            for key in dict.fromkeys((*was, *has))
            for kind, moved, amount in _differences(was.get(key), has.get(key))
        ]
    )


def _moved(payment: Payment) -> dict[tuple[str, ...], _Moved]:
    """By what must be compared with itself: an attempt, an operation, or a dispute whatever stage of it counts."""
    moved: dict[tuple[str, ...], _Moved] = {}
    for attempt in payment.attempts:
        if attempt.state is AttemptState.CHARGED:
            moved[attempt.id,] = _Moved(MovementKind.CAPTURE, attempt.id, attempt.id, attempt.amount)
    for operation in payment.operations:
        if operation.state is OperationState.SUCCEEDED and operation.kind in _KINDS:
            moved[operation.id,] = _Moved(_KINDS[operation.kind], operation.id, operation.attempt_id, operation.amount)
    for dispute in taking(payment.disputes) if payment.disputes else ():
        key = (dispute.attempt_id, dispute.psp_reference)
        moved[key] = _Moved(MovementKind.CHARGEBACK, dispute.id, dispute.attempt_id, dispute.amount)
    return moved


def _differences(was: _Moved | None, has: _Moved | None) -> Iterator[tuple[MovementKind, _Moved, Money]]:
    """What has to be added so that `has` is in the books where `was` is."""
    if was is not None and has is not None and was.amount.currency == has.amount.currency:
        more = has.amount.minor - was.amount.minor
        if more:
            yield has.kind if more > 0 else REVERSAL[has.kind], has, Money(abs(more), has.amount.currency)
        return
    if was is not None and was.amount.minor:
        yield REVERSAL[was.kind], was, was.amount
    if has is not None and has.amount.minor:
        yield has.kind, has, has.amount


def _movement(payment: Payment, event: Event, kind: MovementKind, moved: _Moved, amount: Money) -> Movement:
    connector = payment.attempt(moved.attempt_id).connector
    receivable, payable = Account.PSP_RECEIVABLE.of(connector), Account.MERCHANT_PAYABLE.of(payment.merchant_id)
    debit, credit = (receivable, payable) if kind in TO_THE_MERCHANT else (payable, receivable)
    return Movement(
        payment_id=payment.id,
        sequence=payment.version,
        subject_id=moved.subject_id,
        merchant_id=payment.merchant_id,
        attempt_id=moved.attempt_id,
        connector=connector,
        kind=kind,
        amount=amount,
        debit=debit,
        credit=credit,
        at=event.at,
    )
