"""The double entries against what they are of: a payment's movements against the payment as its journal makes it.

Pure. What a payment should have moved is restated here on purpose, not by asking what wrote the movements: a judge who asks the accused
learns nothing. Not here: sums over all payments and reports (`payorch.books_tables`), reading (`payorch.store.ledger`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from msgspec import Struct

from payorch.domain.books_findings import Finding, Kind
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.identifiers import uuid_of
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import OperationKind, Payment

_SIGNS: Final = {
    "capture": ("capture", 1), "capture_reversed": ("capture", -1), "refund": ("refund", 1), "refund_reversed": ("refund", -1),
    "chargeback": ("chargeback", 1), "chargeback_reversed": ("chargeback", -1),
}  # fmt: skip
_OWED: Final = {"capture": 1, "refund": -1, "chargeback": -1}
_STAGES: Final = (DisputeStage.PRE_DISPUTE, DisputeStage.DISPUTE, DisputeStage.PRE_ARBITRATION)
_GIVEN_BACK: Final = (DisputeStatus.WON, DisputeStatus.CANCELLED)


class MovementView(Struct, frozen=True, kw_only=True, gc=False):
    """A row of `movements`, without where it stands with the PSP's reports."""

    sequence: int
    subject: UUID
    merchant_id: str
    attempt_id: str
    connector: str
    kind: str
    amount: int
    currency: str
    debit: str
    credit: str


def check(payment: Payment, movements: Iterable[MovementView]) -> list[Finding]:
    """Everything that is wrong with one payment's double entries."""
    found: list[Finding] = []
    moved: Counter[tuple[str, str, str]] = Counter()
    subjects = _subjects(payment)
    for row in movements:
        subject_id = subjects.get(row.subject)
        if problem := _problem(payment, row, subject_id):
            found.append(
                Finding(
                    kind=Kind.MOVEMENT_ASTRAY, payment_id=payment.id, subject_id=subject_id, connector=row.connector, currency=row.currency,
                    detail=f"{row.kind} of {row.amount} by event {row.sequence}: {problem}",
                )
            )  # fmt: skip
        if subject_id is not None:
            what, sign = _SIGNS[row.kind]
            moved[what, subject_id, row.currency] += sign * row.amount
    expected = Counter({(what, subject_id, currency): minor for what, subject_id, currency, minor in _expected(payment)})
    for key in sorted({*moved, *expected}):
        if moved[key] != expected[key]:
            what, subject_id, currency = key
            found.append(
                Finding(
                    kind=Kind.MOVED_DIFFERS, payment_id=payment.id, subject_id=subject_id, currency=currency, ours=expected[key],
                    theirs=moved[key], detail=f"{what}: what the journal makes of it, and its movements",
                )
            )  # fmt: skip
    return found


def owed(payment: Payment) -> dict[str, int]:
    """currency -> minor units that the payment has brought its merchant: captured, less refunded, less taken by disputes."""
    total: Counter[str] = Counter()
    for what, _, currency, minor in _expected(payment):
        total[currency] += _OWED[what] * minor
    return dict(total)


def _expected(payment: Payment) -> Iterator[tuple[str, str, str, int]]:
    """(what, subject, currency, minor units) of everything that has moved."""
    for attempt in payment.attempts:
        if attempt.state is AttemptState.CHARGED:
            yield "capture", attempt.id, attempt.amount.currency, attempt.amount.minor
    for operation in payment.operations:
        if operation.state is OperationState.SUCCEEDED and operation.kind is not OperationKind.VOID:
            yield operation.kind.value, operation.id, operation.amount.currency, operation.amount.minor
    subjects = _subjects(payment)
    for dispute in payment.disputes:
        stages = [one for one in payment.disputes if (one.attempt_id, one.psp_reference) == (dispute.attempt_id, dispute.psp_reference)]
        latest = max(stages, key=lambda one: _STAGES.index(one.stage))
        if dispute is latest and dispute.stage is not DisputeStage.PRE_DISPUTE and dispute.status not in _GIVEN_BACK:
            yield "chargeback", subjects[uuid_of(dispute.id)], dispute.amount.currency, dispute.amount.minor


def _subjects(payment: Payment) -> dict[UUID, str]:
    """What a movement may be of. All stages of a dispute are one, the first: what one has taken the next one may give back."""
    children = [*(one.id for one in payment.attempts), *(one.id for one in payment.operations)]
    subjects = {uuid_of(one): one for one in children}
    first: dict[tuple[str, str], str] = {}
    for dispute in payment.disputes:
        subjects[uuid_of(dispute.id)] = first.setdefault((dispute.attempt_id, dispute.psp_reference), dispute.id)
    return subjects


def _problem(payment: Payment, row: MovementView, subject_id: str | None) -> str:
    if subject_id is None:
        return f"{row.subject} is nothing of this payment"
    receivable, payable = f"psp_receivable:{row.connector}", f"merchant_payable:{payment.merchant_id}"
    what, sign = _SIGNS[row.kind]
    accounts = (receivable, payable) if _OWED[what] * sign > 0 else (payable, receivable)
    connectors = {one.id: one.connector for one in payment.attempts}
    if row.merchant_id != payment.merchant_id:
        return f"it is booked for {row.merchant_id}"
    if connectors.get(row.attempt_id) != row.connector:
        return f"{row.attempt_id} is no attempt of this payment at {row.connector}"
    if (row.debit, row.credit) != accounts:
        return f"from {row.credit} to {row.debit}, not from {accounts[1]} to {accounts[0]}"
    if not 0 < row.sequence <= payment.version:
        return "the payment has had no such event"
    return ""
