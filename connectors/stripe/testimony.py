"""What a webhook of Stripe's says about a payment: the snapshot in the event, read as an inquiry would read the same object.

    PaymentIntent     first its captures and voids, then the attempt itself: all that an inquiry would say, except what is unknown or absent
    Refund            the refund of ours that it names; one of nobody here makes the attempt be looked at
    Charge            `charge.expired`: the hold is gone. `charge.refunded`: a look, where it is more than we know of. Nothing else: the
                      event of the PaymentIntent says it too, and better
    Dispute           a report

Events come late, twice and in any order, so a snapshot may be of long ago. What is final in it is so for good: a PaymentIntent that is
held, charged, declined or canceled was confirmed by us once and never will be again. Where a later event may have undone what the snapshot
shows, or where it contradicts what is known, Stripe is asked what is true now: the total of a charge's refunds, a success of a refund that
is known to have ended without, a hold of what is known to be closed, a decline of what is known to be held or charged.

Not here: whether it is Stripe's (`signatures`), which payment it is about (`notices`), what follows from it (the domain).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import structs

from connectors.stripe import objects, verdicts
from connectors.stripe.answers import Reading, evidence_of
from connectors.stripe.manifest import NAME
from connectors.stripe.objects import Charge, Dispute, Event, PaymentIntent, Refund, decode
from connectors.stripe.redaction import redacted_event
from connectors.stripe.verdicts import Look
from payorch.domain.disputes import DisputeReport
from payorch.domain.outcome import Approved, Declined, Evidence, Finding, Pending, Released, Source
from payorch.domain.payment import HOLDING_ATTEMPT, OPEN_OPERATION, AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment
from payorch.domain.testimony import Statement, Testimony

_SAYS_SOMETHING: Final = (Approved, Pending, Declined, Released)
"""An absence or a confirmation that did not happen is never said: the snapshot may be of the moment before."""
_ENDED_WITHOUT_SUCCESS: Final = frozenset({OperationState.FAILED, OperationState.REVERSED})
_NOTHING: Final = Testimony()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hearing:
    """One event, heard for one payment."""

    event: Event
    payment: Payment
    at: datetime
    raw: str

    def statement(self, subject: Attempt | Operation, reading: Reading) -> Statement:
        evidence = evidence_of(subject, reading, source=Source.WEBHOOK, at=self.at, http_status=None)
        return Statement(subject_id=subject.id, evidence=structs.replace(evidence, raw=self.raw))

    def attempt_of(self, intent_id: str | None, our_reference: str | None = None) -> Attempt | None:
        """The attempt that Stripe knows by that id or, where it is not known here yet, that Stripe names by our own."""
        mine = [one for one in self.payment.attempts if one.connector == NAME]
        known = next((one for one in mine if intent_id is not None and one.psp_reference == intent_id), None)
        return known or next((one for one in mine if one.id == our_reference), None)

    def operations(self, attempt: Attempt, *kinds: OperationKind) -> list[Operation]:
        return [one for one in self.payment.operations if one.attempt_id == attempt.id and one.kind in kinds]


def testify(content: bytes, payment: Payment, *, at: datetime) -> Testimony:
    """What the event in these bytes says about the payment, and nothing where it is about another. Never raises on any bytes."""
    event = objects.event(decode(content))
    if event is None:
        return _NOTHING
    hearing = _Hearing(event=event, payment=payment, at=at, raw=redacted_event(event, len(content)))
    if (intent := objects.payment_intent(event.subject)) is not None:
        return _of_intent(hearing, intent)
    if (refund := objects.refund(event.subject)) is not None:
        return _of_refund(hearing, refund)
    if (charge := objects.charge(event.subject)) is not None:
        return _of_charge(hearing, charge)
    if (dispute := objects.dispute(event.subject)) is not None:
        return _of_dispute(hearing, dispute)
    return _NOTHING


# --- a PaymentIntent --------------------------------------------------------------------------------------------------------------------


def _of_intent(hearing: _Hearing, intent: PaymentIntent) -> Testimony:
    attempt = hearing.attempt_of(intent.id, intent.attempt_id)
    if attempt is None:
        return _NOTHING
    if attempt.psp_reference not in (None, intent.id):
        return Testimony(look_at=(attempt.id,))  # a second PaymentIntent under our id: nothing that it says is said about the first
    finding = verdicts.of_attempt(intent, look=Look.SIGHT, http_status=None)
    statements = list(_of_operations(hearing, attempt, intent))
    older = _is_older(attempt, finding)
    if isinstance(finding, _SAYS_SOMETHING) and not older:
        statements.append(hearing.statement(attempt, Reading(finding=finding, intent=intent)))
    lost = isinstance(finding, Declined) and attempt.state in HOLDING_ATTEMPT
    return Testimony(statements=tuple(statements), look_at=(attempt.id,) if lost or older else ())


def _is_older(attempt: Attempt, finding: Finding) -> bool:
    """Whether it shows a hold that a shopper's session led to just before it was closed, and which the closing gave back."""
    never_held = attempt.state is AttemptState.VOIDED and attempt.held_since is None
    return never_held and finding == Approved(captured=False)


def _of_operations(hearing: _Hearing, attempt: Attempt, intent: PaymentIntent) -> Iterator[Statement]:
    for operation in hearing.operations(attempt, OperationKind.CAPTURE, OperationKind.VOID):
        finding = _of_void(operation, intent) if operation.kind is OperationKind.VOID else _of_capture(operation, intent)
        if isinstance(finding, _SAYS_SOMETHING):
            yield hearing.statement(operation, Reading(finding=finding, intent=intent))


def _of_void(void: Operation, intent: PaymentIntent) -> Finding | None:
    return verdicts.of_void(intent, look=Look.SIGHT, http_status=None) if void.state in OPEN_OPERATION else None


def _of_capture(capture: Operation, intent: PaymentIntent) -> Finding | None:
    """Of a capture that is settled only what turns it round: done after all, by its own name, or taken back."""
    if capture.state is OperationState.SUCCEEDED:
        return verdicts.of_capture_taken_back(intent, http_status=None)
    finding = verdicts.of_capture(capture, intent, look=Look.SIGHT, http_status=None)
    if capture.state in OPEN_OPERATION:
        return finding
    done = isinstance(finding, Approved) and intent.operation_id == capture.id
    return finding if done and capture.state is OperationState.FAILED else None


# --- a refund ---------------------------------------------------------------------------------------------------------------------------


def _of_refund(hearing: _Hearing, refund: Refund) -> Testimony:
    operation = _refund_of(hearing, refund)
    if operation is None:
        attempt = hearing.attempt_of(refund.intent_id)
        return Testimony(look_at=(attempt.id,)) if attempt is not None else _NOTHING
    finding = verdicts.of_refund(refund, http_status=None)
    twin = operation.psp_reference not in (None, refund.id)
    # It was there before and ended without success: this may be its success from before that.
    older = isinstance(finding, Approved) and operation.state in _ENDED_WITHOUT_SUCCESS and operation.psp_reference is not None
    if twin or older or not isinstance(finding, _SAYS_SOMETHING):
        return Testimony(look_at=(operation.attempt_id,))
    return Testimony(statements=(hearing.statement(operation, Reading(finding=finding, refund=refund)),))


def _refund_of(hearing: _Hearing, refund: Refund) -> Operation | None:
    """Our record of it: by our own id where Stripe reports it, else by Stripe's. Of the same PaymentIntent, where that is told."""
    payment = hearing.payment
    attempts = {one.id for one in payment.attempts if one.connector == NAME and refund.intent_id in (None, one.psp_reference)}
    refunds = [one for one in payment.operations if one.kind is OperationKind.REFUND and one.attempt_id in attempts]
    ours = next((one for one in refunds if one.id == refund.operation_id), None)
    return ours or next((one for one in refunds if one.psp_reference == refund.id), None)


# --- a charge ---------------------------------------------------------------------------------------------------------------------------


def _of_charge(hearing: _Hearing, charge: Charge) -> Testimony:
    attempt = hearing.attempt_of(charge.intent_id, charge.attempt_id)
    if attempt is None or (charge.intent_id is not None and attempt.psp_reference not in (None, charge.intent_id)):
        return _NOTHING
    match hearing.event.kind:
        case "charge.expired":
            return _expired(hearing, attempt, charge)
        case "charge.refunded" if _given_back_elsewhere(hearing, attempt, charge):
            return Testimony(look_at=(attempt.id,))
        case _:
            return _NOTHING


def _expired(hearing: _Hearing, attempt: Attempt, charge: Charge) -> Testimony:
    """A hold of which nothing was captured. What becomes of a rest, or of a capture or void under way, the PaymentIntent's event tells."""
    under_way = [one for one in hearing.operations(attempt, OperationKind.CAPTURE, OperationKind.VOID) if one.state in OPEN_OPERATION]
    if under_way or charge.captured is None or charge.captured.minor:
        return _NOTHING
    evidence = Evidence(
        source=Source.WEBHOOK,
        finding=Released(expired=True),
        at=hearing.at,
        psp_reference=charge.intent_id,
        our_reference=charge.attempt_id,
        amount=charge.amount,
        captured=charge.captured,
        raw=hearing.raw,
    )
    return Testimony(statements=(Statement(subject_id=attempt.id, evidence=evidence),))


def _given_back_elsewhere(hearing: _Hearing, attempt: Attempt, charge: Charge) -> bool:
    """Whether that total is more than our books can account for. It may hold refunds that have come back since, and the release of a rest,
    so it is a reason to ask and no evidence. Of what was never captured nothing was given back but the hold."""
    if charge.captured is not None and not charge.captured.minor:
        return False
    refunds, payment = hearing.operations(attempt, OperationKind.REFUND), hearing.payment
    books = sum(one.amount.minor for one in refunds if one.state not in _ENDED_WITHOUT_SUCCESS)
    released = attempt.amount.minor - payment.captured_minor if payment.state is State.CAPTURED else 0
    return charge.returned is None or charge.returned.currency != attempt.amount.currency or charge.returned.minor > books + released


# --- a dispute --------------------------------------------------------------------------------------------------------------------------


def _of_dispute(hearing: _Hearing, dispute: Dispute) -> Testimony:
    attempt = hearing.attempt_of(dispute.intent_id) or hearing.attempt_of(dispute.charge_id)
    reached = verdicts.of_dispute(dispute)
    if attempt is None or reached is None or dispute.amount is None:
        return _NOTHING
    stage, status = reached
    report = DisputeReport(
        attempt_id=attempt.id,
        psp_reference=dispute.id,
        stage=stage,
        status=status,
        amount=dispute.amount,
        at=hearing.event.created or hearing.at,
        reason=dispute.reason,
        respond_by=dispute.respond_by,
        raw=hearing.raw,
    )
    return Testimony(disputes=(report,))
