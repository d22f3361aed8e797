"""What a line of a settlement report says about one payment, as evidence: the last and most telling word that a PSP has. Pure.

A line is a booking: the money has moved at the PSP, whoever asked for it. It is weighed like what a PSP tells by a notice (`testimony`).
The differences all follow from that:

- it is never from before the end of what it is about: a success that it books is weighed, and not asked about first;
- what it books that is nobody's here is known to be somebody else's, and is taken into the books without asking;
- a reversal says that there was something to reverse, so it says both where neither is known yet;
- of a dispute it says that the money was taken or given back, not how the dispute stands: what is known of it already stays.

Which attempt, operation or dispute a line is about is found by the PSP's id of exactly that, by our own reference, and then by the PSP's id
of the payment with kind, amount and currency. An amount that differs is said as it is: it never becomes ours, people look.

Not here: what follows from it (`weigh`), which movement a line settles (`matching`), that it is told only once (the inbox).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Final

import msgspec

from payorch.domain.adopt import given_back
from payorch.domain.conflicts import captured_by
from payorch.domain.disputes import WITH_THE_MERCHANT, Dispute, DisputeReport, DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Failure, GivenBack, Source
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Payment
from payorch.domain.settlement import OF_PAYMENTS, RowKind, SettlementRow
from payorch.domain.testimony import Statement, Testimony

SETTLEMENT_ROW: Final = "settlement_row"
"""The kind of the notice that a line becomes, on its way to its payment."""

_NOTHING: Final = Testimony()
_STAGES: Final = tuple(DisputeStage)
_OPERATIONS: Final[Mapping[RowKind, OperationKind]] = {
    RowKind.CAPTURE: OperationKind.CAPTURE,
    RowKind.CAPTURE_REVERSED: OperationKind.CAPTURE,
    RowKind.REFUND: OperationKind.REFUND,
    RowKind.REFUND_REVERSED: OperationKind.REFUND,
}
_TAKEN_BACK: Final = Declined(
    failure=Failure(
        error_class=ErrorClass.OPERATION_NOT_ALLOWED,
        code="settlement_reversed",
        message="The PSP's settlement report books that it took this back.",
    )
)
# Which of several operations with the same amount a line is about that names none of them: what is open, what is known to be done, and then
# what was believed to have ended without.
_LIKELIEST: Final = (OPEN_OPERATION, frozenset({OperationState.SUCCEEDED, OperationState.REVERSED}), frozenset({OperationState.FAILED}))

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(SettlementRow)


def encode_row(row: SettlementRow) -> bytes:
    """The line as the content of a notice. It holds nothing that belongs to shoppers: ids, dates and amounts."""
    return _encoder.encode(row)


def decode_row(content: bytes) -> SettlementRow:
    """The line that `encode_row` wrote. Raises msgspec.DecodeError."""
    return _decoder.decode(content)


def testify_row(row: SettlementRow, payment: Payment, *, connector: str, at: datetime) -> Testimony:
    """What the line of that connector's report says about this payment; nothing where it is about another, or about none."""
    if row.kind not in OF_PAYMENTS:
        return _NOTHING
    hearing = _Hearing(row, payment, connector, at)
    if row.kind in (RowKind.CHARGEBACK, RowKind.CHARGEBACK_REVERSED):
        return hearing.of_dispute()
    return hearing.of_refund() if _OPERATIONS[row.kind] is OperationKind.REFUND else hearing.of_capture()


class _Hearing:
    """One line, heard for one payment."""

    def __init__(self, row: SettlementRow, payment: Payment, connector: str, at: datetime) -> None:
        self.row = row
        self.payment = payment
        self.at = at
        self.attempts = [one for one in payment.attempts if one.connector == connector]
        self.amount = Money(abs(row.gross.minor), row.gross.currency)
        self.reverses = row.kind in (RowKind.CAPTURE_REVERSED, RowKind.REFUND_REVERSED)

    # --- captures

    def of_capture(self) -> Testimony:
        operation = self._operation(OperationKind.CAPTURE)
        if operation is not None:
            return self._about_operation(operation, Approved(captured=True))
        attempt = self._attempt()
        if attempt is None:
            return _NOTHING
        alone = self._took_it_itself(attempt)
        if self.reverses:
            return self._about_attempt(attempt, amount=self.amount) if alone else Testimony(look_at=(attempt.id,))
        if alone:
            return self._about_attempt(attempt, amount=self.amount)
        # Nobody's here: with ours it makes this total, and people judge it.
        return self._about_attempt(attempt, captured=Money(captured_by(self.payment, attempt.id) + self.amount.minor, self.amount.currency))

    def _took_it_itself(self, attempt: Attempt) -> bool:
        """Whether a capture at the PSP can be the attempt's own: it has no captures of ours, and did not only hold the money."""
        if self.payment.operations_on(attempt.id, OperationKind.CAPTURE):
            return False
        return attempt.state is AttemptState.CHARGED or attempt.state in OPEN_ATTEMPT or attempt.held_since is None

    def _about_attempt(self, attempt: Attempt, *, amount: Money | None = None, captured: Money | None = None) -> Testimony:
        reference = attempt.psp_reference or next(iter(self.row.psp_payment), None)
        took = next((one for one in self.row.psp_operation if one != reference), None) if amount == attempt.amount else None
        success = Evidence(
            source=Source.SETTLEMENT,
            finding=Approved(captured=True),
            at=self.at,
            psp_reference=reference,
            our_reference=attempt.id if attempt.id in self.row.our_references else None,
            amount=amount,
            captured=captured,
            money_reference=took,
            raw=self.raw,
        )
        return Testimony(statements=self._each(attempt.id, success, first=attempt.state in OPEN_ATTEMPT))

    # --- refunds

    def of_refund(self) -> Testimony:
        operation = self._operation(OperationKind.REFUND)
        if operation is not None:
            return self._about_operation(operation, Approved())
        attempt = self._attempt()
        if attempt is None:
            return _NOTHING
        if self.reverses or attempt.held_since is None:
            return Testimony(look_at=(attempt.id,))
        return self._refund_elsewhere(attempt)

    def _refund_elsewhere(self, attempt: Attempt) -> Testimony:
        own = next(iter(self.row.psp_operation), self.row.identity)
        stranger = GivenBack(psp_reference=own, amount=self.amount, finding=Approved())
        evidence = Evidence(
            source=Source.SETTLEMENT,
            finding=Approved(captured=attempt.state is AttemptState.CHARGED),
            at=self.at,
            refunded=Money(given_back(self.payment, attempt) + self.amount.minor, self.amount.currency),
            refunds=(stranger,),
            raw=self.raw,
        )
        return Testimony(statements=(Statement(subject_id=attempt.id, evidence=evidence),))

    # --- both

    def _operation(self, kind: OperationKind) -> Operation | None:
        """The operation of that kind that the line is about: by the PSP's id of it, by ours, by the payment's with the amount."""
        mine = {one.id for one in self.attempts}
        some = [one for one in self.payment.operations if one.kind is kind and one.attempt_id in mine]
        ours, theirs = self.row.our_references, self.row.psp_operation
        named = next((one for one in some if one.id in ours), None)
        attempt = self._attempt()
        shared = {one.psp_reference for one in self.attempts}  # some PSPs know a capture by the id of its payment, which tells none apart
        by_psp = next((one for one in some if one.psp_reference in theirs and one.psp_reference not in shared), None)
        if named is not None or by_psp is not None or attempt is None:
            return named or by_psp
        here = [one for one in some if one.attempt_id == attempt.id and not self._is_another(one)]
        for states in _LIKELIEST:
            same = next((one for one in here if one.state in states and one.amount == self.amount), None)
            if same is not None:
                return same
        return _only([one for one in here if one.state in OPEN_OPERATION and kind is OperationKind.CAPTURE])

    def _is_another(self, operation: Operation) -> bool:
        """Whether the line names one of that kind at the PSP, and the operation is known to be a different one."""
        known = operation.psp_reference
        if operation.kind is OperationKind.CAPTURE or known is None or not self.row.psp_operation:
            return False
        return known not in self._ids

    def _about_operation(self, operation: Operation, success: Approved) -> Testimony:
        known, own = operation.psp_reference, next(iter(self.row.psp_operation), None)
        capture = operation.kind is OperationKind.CAPTURE
        reference = known if known in self._ids else own if known is None or not capture else None
        evidence = Evidence(
            source=Source.SETTLEMENT,
            finding=success,
            at=self.at,
            psp_reference=reference,
            our_reference=operation.id if operation.id in self.row.our_references else None,
            amount=self.amount,
            raw=self.raw,
        )
        return Testimony(statements=self._each(operation.id, evidence, first=operation.state in OPEN_OPERATION))

    def _each(self, subject_id: str, success: Evidence, *, first: bool) -> tuple[Statement, ...]:
        """The success; of a reversal, that it did not last, and before that the success where it is not known (`first`)."""
        statement = Statement(subject_id=subject_id, evidence=success)
        if not self.reverses:
            return (statement,)
        undone = Statement(subject_id=subject_id, evidence=msgspec.structs.replace(success, finding=_TAKEN_BACK, money_reference=None))
        return (statement, undone) if first else (undone,)

    def _attempt(self) -> Attempt | None:
        """Whose payment at the PSP the line is about: by our own reference, or by the PSP's id of the payment or of what took its money."""
        ids, ours = set(self._ids), self.row.our_references
        operations = {one.attempt_id for one in self.payment.operations if one.id in ours or one.psp_reference in self.row.psp_operation}
        named = next((one for one in self.attempts if one.id in ours), None)
        theirs = next((one for one in self.attempts if {one.psp_reference, one.money_reference} & ids), None)
        return named or theirs or next((one for one in self.attempts if one.id in operations), None)

    # --- disputes

    def of_dispute(self) -> Testimony:
        known = self._latest_known()
        attempt = self.payment.attempt(known.attempt_id) if known is not None else self._attempt()
        reference = known.psp_reference if known is not None else next(iter(self.row.psp_operation), self.row.identity)
        if attempt is None:
            return _NOTHING
        warned = known is None or known.stage is DisputeStage.PRE_DISPUTE
        stage = known.stage if known is not None and not warned else DisputeStage.DISPUTE
        reports: list[tuple[DisputeStage, DisputeStatus]] = []
        if self.row.kind is RowKind.CHARGEBACK:
            if warned:
                reports = [(stage, DisputeStatus.OPENED)]
            elif known is not None and known.status in WITH_THE_MERCHANT and self._is_later(known):
                reports = [(DisputeStage.PRE_ARBITRATION, DisputeStatus.OPENED)]  # given back, and taken once more
        elif warned or (known is not None and known.status not in WITH_THE_MERCHANT):
            reports = [(stage, DisputeStatus.OPENED), (stage, DisputeStatus.WON)] if warned else [(stage, DisputeStatus.WON)]
        return Testimony(disputes=tuple(self._report(attempt, reference, *reached) for reached in reports))

    def _latest_known(self) -> Dispute | None:
        """The dispute's last stage that is known here: by the PSP's id of it; where the line has none, the one of that amount."""
        mine = {one.id for one in self.attempts}
        some = [one for one in self.payment.disputes if one.attempt_id in mine]
        named = [one for one in some if one.psp_reference in self.row.psp_operation]
        if not named and not self.row.psp_operation:
            named = [one for one in some if one.amount == self.amount]
        return max(named, key=lambda one: _STAGES.index(one.stage), default=None)

    def _is_later(self, known: Dispute) -> bool:
        return known.told_at is None or self._moment > known.told_at

    def _report(self, attempt: Attempt, reference: str, stage: DisputeStage, status: DisputeStatus) -> DisputeReport:
        return DisputeReport(
            attempt_id=attempt.id,
            psp_reference=reference,
            stage=stage,
            status=status,
            amount=self.amount,
            at=self._moment,
            raw=self.raw,
            source=Source.SETTLEMENT,
        )

    # --- the line

    @property
    def _ids(self) -> tuple[str, ...]:
        return (*self.row.psp_payment, *self.row.psp_operation)

    @property
    def _moment(self) -> datetime:
        """When it was booked, as far as is told: by the end of that day, and not after now."""
        end_of_day = datetime.combine(self.row.booked_on, time(), UTC) + timedelta(days=1)
        return min(self.row.booked_at or end_of_day, self.at)

    @property
    def raw(self) -> str:
        """The line as people see it."""
        return _encoder.encode(self.row).decode()


def _only(some: Sequence[Operation]) -> Operation | None:
    return some[0] if len(some) == 1 else None
