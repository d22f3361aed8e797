"""Movements: the double entries of what a payment has captured, refunded and lost in disputes, derived from its events and nothing else.

After each event, what every child of the payment has moved is compared with what it had moved before: a difference is one movement, in
either direction, so that the entries of a payment always add up to its sums, whatever event it was. Holds are no money moved. Pure.

Not here: storing them (`payorch.store.batch`), whether a PSP's report has them (`matching`), what follows from a report (`postings`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from payorch.domain.money import Money


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
