"""What a webhook of PayPal's says about a payment: that PayPal should be asked about it, and hardly more.

Its signature covers the body by a CRC32 only, which can be made to fit any other body. So nothing that it shows decides anything about
money or moves a payment, but for what is safe even if it is made up:

    which order it is      of an attempt whose answer never came, the id of the order that names it. PayPal cannot be asked by our own id,
                           so without this it could not be asked at all. What is then read in that order has to name the attempt too
    a failure afterwards   of a capture of ours that is known to be done: people get the payment, and nothing is done by itself. An inquiry
                           about an attempt does not tell this of a single capture
    a dispute              a report. It changes no sum of ours but how much may be refunded, and people answer it at PayPal, where it is
                           or is not

For all else the attempt is looked at, and so are the operations under way that it names; but not for what is known here to be so. Most
webhooks tell of what the answer to a call of ours has told already, and asking after each would double what PayPal is asked.

Not here: whether it is PayPal's (`signatures`), which payment it is about (`notices`), what follows from it (the domain).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from connectors.paypal import events, objects, verdicts
from connectors.paypal.events import Event
from connectors.paypal.manifest import NAME
from connectors.paypal.notices import About, about
from connectors.paypal.objects import NOT_TAKEN, decode
from connectors.paypal.redaction import redacted_event
from payorch.domain.disputes import DisputeReport
from payorch.domain.outcome import Evidence, Finding, Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Payment
from payorch.domain.testimony import Statement, Testimony

_NOTHING: Final = Testimony()
_FAILED_AFTERWARDS: Final = ("PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.REVERSED")


def testify(content: bytes, payment: Payment, *, at: datetime) -> Testimony:
    """What the event in these bytes says about the payment, and nothing where it is about another. Never raises on any bytes."""
    event = events.event(decode(content))
    subject = about(event) if event is not None else None
    if event is None or subject is None:
        return _NOTHING
    attempt, raw = _attempt_of(payment, subject), redacted_event(event, len(content))
    if attempt is None:
        return _NOTHING
    if event.kind.startswith("CUSTOMER.DISPUTE."):
        return _disputed(event, attempt, at=at, raw=raw)
    operations = _named(payment, attempt, subject)
    if _is_known(event, attempt, operations):
        return _NOTHING
    return Testimony(
        statements=(*_which_order(attempt, subject, at=at, raw=raw), *_failed(event, operations, at=at, raw=raw)),
        look_at=(attempt.id, *(one.id for one in operations if one.state in OPEN_OPERATION)),
    )


def _attempt_of(payment: Payment, subject: About) -> Attempt | None:
    """The attempt whose order, authorization or capture it is, or that has an operation which it is; or else the one that it names."""
    mine = [one for one in payment.attempts if one.connector == NAME]
    theirs, ours = {one for one in subject.theirs if one is not None}, {one for one in subject.ours if one is not None}
    known = next((one for one in mine if {one.psp_reference, one.money_reference} & theirs), None)
    if known is not None:
        return known
    operation = next((one for one in payment.operations if one.psp_reference in theirs or one.id in ours), None)
    named = ours if operation is None else {operation.attempt_id}
    return next((one for one in mine if one.id in named), None)


def _named(payment: Payment, attempt: Attempt, subject: About) -> list[Operation]:
    operations = [one for one in payment.operations if one.attempt_id == attempt.id and one.kind is not OperationKind.VOID]
    return [one for one in operations if one.id in subject.ours or (one.psp_reference or "") in subject.theirs]


def _is_known(event: Event, attempt: Attempt, operations: list[Operation]) -> bool:
    """Whether the books here say the same. That something was held or taken once stays true, whatever became of it."""
    identity = event.resource.get("id")
    done = [one for one in operations if one.psp_reference == identity and one.state is OperationState.SUCCEEDED]
    match event.kind:
        case "CHECKOUT.ORDER.APPROVED" | "CHECKOUT.ORDER.COMPLETED" | "PAYMENT.AUTHORIZATION.CREATED":
            return attempt.held_since is not None
        case "PAYMENT.AUTHORIZATION.VOIDED":
            return attempt.held_since is not None and attempt.state is AttemptState.VOIDED
        case "PAYMENT.CAPTURE.COMPLETED":
            return bool(done) or (attempt.state is AttemptState.CHARGED and attempt.money_reference == identity)
        case "PAYMENT.CAPTURE.REFUNDED" | "PAYMENT.REFUND.PENDING":
            return bool(done)
        case _:
            return False


def _which_order(attempt: Attempt, subject: About, *, at: datetime, raw: str) -> tuple[Statement, ...]:
    """The order's id, where it is not known here and the order is the attempt's by its own word."""
    if attempt.psp_reference is not None or subject.order_id is None or attempt.id not in subject.ours:
        return ()
    evidence = Evidence(
        source=Source.WEBHOOK,
        finding=verdicts.unknown(None, code="named_by_a_notice"),
        at=at,
        psp_reference=subject.order_id,
        our_reference=attempt.id,
        raw=raw,
    )
    return (Statement(subject_id=attempt.id, evidence=evidence),)


def _failed(event: Event, operations: list[Operation], *, at: datetime, raw: str) -> tuple[Statement, ...]:
    shown = objects.capture(event.resource)
    if shown is None or event.kind not in _FAILED_AFTERWARDS or shown.status not in NOT_TAKEN:
        return ()
    done = [one for one in operations if one.psp_reference == shown.id and one.state is OperationState.SUCCEEDED]
    finding: Finding = verdicts.declined(shown.codes, http_status=None)
    return tuple(
        Statement(subject_id=one.id, evidence=Evidence(source=Source.WEBHOOK, finding=finding, at=at, psp_reference=shown.id, raw=raw))
        for one in done
        if one.kind is OperationKind.CAPTURE
    )


def _disputed(event: Event, attempt: Attempt, *, at: datetime, raw: str) -> Testimony:
    shown = events.dispute(event.resource)
    reached = verdicts.of_dispute(shown.stage, shown.status, shown.outcome) if shown is not None else None
    if shown is None or reached is None or shown.amount is None:
        return _NOTHING
    report = DisputeReport(
        attempt_id=attempt.id,
        psp_reference=shown.id,
        stage=reached[0],
        status=reached[1],
        amount=shown.amount,
        at=shown.updated or event.created or at,
        reason=shown.reason.lower() if shown.reason is not None else None,
        respond_by=shown.respond_by,
        raw=raw,
    )
    return Testimony(disputes=(report,))
