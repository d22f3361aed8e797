"""What a notification of Adyen's says about a payment. It is the only word there is about what became of a capture, cancel or refund.

Only what is signed decides: the event, whether it succeeded, the references, the amount. The reason of a refusal, the date and all of
`additionalData` are not, so from here every refusal has one class, and why is in the notice for people to read.

    AUTHORISATION         the attempt: held, or refused
    CAPTURE, CANCELLATION, REFUND    the operation of ours that it names; one made in Adyen's Customer Area is taken into the books
    CAPTURE_FAILED, REFUND_FAILED, REFUNDED_REVERSED    that operation had succeeded, and did not last: these come with success "true"
    TECHNICAL_CANCEL      our fence: nothing is held under that reference, nor ever will be
    CANCEL_OR_REFUND      a reversal, which we never ask for: the release of a hold, or the refund of all of it, by what was captured
    EXPIRE, OFFER_CLOSED  the hold, or the shopper's time, is over
    CHARGEBACK and its kin    a report

Events come late, twice and in any order, and nobody can be asked what is true now: what is said here is said so that a later word of an
earlier moment changes nothing any more. A failure after a success says both.

Not here: whether it is Adyen's (`signatures`), which payment it is about (`notices`), what follows from it (the domain).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import structs

from connectors.adyen import verdicts
from connectors.adyen.manifest import NAME
from connectors.adyen.notices import DISPUTED, MODIFICATIONS
from connectors.adyen.objects import Item, decode, item, moment, reference, word
from connectors.adyen.redaction import redacted_item
from payorch.domain.disputes import DisputeReport, DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Evidence, Finding, GivenBack, Pending, Released, Source
from payorch.domain.payment import HOLDING_ATTEMPT, OPEN_OPERATION, AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment
from payorch.domain.testimony import Statement, Testimony

_NOTHING: Final = Testimony()
_STAGES: Final = tuple(DisputeStage)
_TAKEN: Final = OPEN_OPERATION | {OperationState.SUCCEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hearing:
    """One notification, heard for one payment."""

    item: Item
    payment: Payment
    at: datetime
    raw: str

    @property
    def _theirs(self) -> str | None:
        """Adyen's reference of the payment. Of a modification it is only told as what it modifies: a fence may find nothing to modify."""
        return reference(self.item.original or (None if self.item.event in MODIFICATIONS else self.item.psp_reference))

    @property
    def attempt(self) -> Attempt | None:
        """Whose payment at Adyen it is about: by Adyen's reference or, where that is not known here yet, by ours."""
        mine = [one for one in self.payment.attempts if one.connector == NAME]
        theirs = self._theirs
        known = next((one for one in mine if theirs is not None and one.psp_reference == theirs), None)
        # Under another reference of Adyen's it is another payment: the evidence says so, and nothing of it is believed about ours.
        return known or next((one for one in mine if one.id == self.item.reference), None)

    def operation(self, *kinds: OperationKind) -> Operation | None:
        """Our record of the modification: by our own id, which Adyen reports back, else by Adyen's. Of an attempt at Adyen."""
        mine = {one.id for one in self.payment.attempts if one.connector == NAME}
        some = [one for one in self.payment.operations if one.kind in kinds and one.attempt_id in mine]
        ours = next((one for one in some if one.id == self.item.reference), None)
        return ours or next((one for one in some if one.psp_reference == self.item.psp_reference), None)

    def of(self, operation: Operation, *findings: Finding) -> Testimony:
        """What it says about an operation, one after the other."""
        void = operation.kind is OperationKind.VOID
        evidence = [
            Evidence(
                source=Source.WEBHOOK,
                finding=finding,
                at=self.at,
                psp_reference=reference(self.item.psp_reference),
                our_reference=operation.id if self.item.reference == operation.id else None,
                amount=None if void else self.item.amount,  # of a void it is the payment's, or the rest of it
                raw=self.raw,
            )
            for finding in findings
        ]
        return Testimony(statements=tuple(Statement(subject_id=operation.id, evidence=one) for one in evidence))

    def about(self, attempt: Attempt, finding: Finding, **more: Money | tuple[GivenBack, ...] | None) -> Testimony:
        """What it says about an attempt."""
        ours = attempt.id if self.item.reference == attempt.id else None
        base = Evidence(source=Source.WEBHOOK, finding=finding, at=self.at, psp_reference=self._theirs, our_reference=ours, raw=self.raw)
        return Testimony(statements=(Statement(subject_id=attempt.id, evidence=_with(base, more)),))


def testify(content: bytes, payment: Payment, *, at: datetime) -> Testimony:
    """What the notification in these bytes says about the payment, and nothing where it is about another. Never raises on any bytes."""
    data = decode(content)
    one = item(data)
    if one is None:
        return _NOTHING
    hearing = _Hearing(item=one, payment=payment, at=at, raw=redacted_item(data, len(content)))
    if one.event in DISPUTED:
        return _of_dispute(hearing)
    hear = _EVENTS.get(one.event)
    return hear(hearing) if hear is not None and one.amount is not None else _NOTHING


# --- the payment itself -----------------------------------------------------------------------------------------------------------------


def _authorisation(hearing: _Hearing) -> Testimony:
    attempt = hearing.attempt
    if attempt is None or _is_fenced_off(attempt):
        return _NOTHING
    if hearing.item.success:
        return hearing.about(attempt, Approved(captured=False), amount=hearing.item.amount)
    # Adyen sends these for tries as well that were not the last (a retry of its own): what is known to be held is not refused by one.
    return _NOTHING if attempt.state in HOLDING_ATTEMPT else hearing.about(attempt, verdicts.not_authorised())


def _technical_cancel(hearing: _Hearing) -> Testimony:
    """Success says that under our reference nothing is held any more. A failure says nothing: it may be captured, or never have been."""
    return _cancellation(hearing)


def _expire(hearing: _Hearing) -> Testimony:
    """The hold, or its rest, ended by itself. What becomes of a capture or cancel under way its own notification tells."""
    attempt = hearing.attempt
    if attempt is None or not hearing.item.success or _under_way(hearing, attempt):
        return _NOTHING
    return hearing.about(attempt, Released(expired=True))


def _offer_closed(hearing: _Hearing) -> Testimony:
    attempt = hearing.attempt
    return _NOTHING if attempt is None or attempt.state in HOLDING_ATTEMPT else hearing.about(attempt, verdicts.timed_out())


# --- captures ---------------------------------------------------------------------------------------------------------------------------


def _capture(hearing: _Hearing) -> Testimony:
    capture = hearing.operation(OperationKind.CAPTURE)
    if capture is not None:
        return hearing.of(capture, Approved(captured=True) if hearing.item.success else verdicts.not_done())
    attempt, amount = hearing.attempt, hearing.item.amount
    if attempt is None or amount is None or not hearing.item.success or not _holds(attempt):
        return _NOTHING
    # Somebody else's: with ours it makes this total, at the least, and people judge it.
    total = _sum(hearing, attempt, OperationKind.CAPTURE, frozenset({OperationState.SUCCEEDED}), amount)
    return hearing.about(attempt, Approved(captured=True), captured=total)


def _capture_failed(hearing: _Hearing) -> Testimony:
    capture = hearing.operation(OperationKind.CAPTURE)
    return _NOTHING if capture is None or not hearing.item.success else _did_not_last(hearing, capture, Approved(captured=True))


def _did_not_last(hearing: _Hearing, operation: Operation, success: Approved) -> Testimony:
    """It follows a success. Where that has not come yet it is said as well: when it comes it is an old word, and changes nothing."""
    first: tuple[Finding, ...] = (success,) if operation.state in OPEN_OPERATION else ()
    return hearing.of(operation, *first, verdicts.not_done())


# --- releases ---------------------------------------------------------------------------------------------------------------------------


def _cancellation(hearing: _Hearing) -> Testimony:
    void = hearing.operation(OperationKind.VOID)
    if void is not None:
        return hearing.of(void, Approved() if hearing.item.success else verdicts.not_done())
    attempt = hearing.attempt
    if attempt is None or not hearing.item.success:
        return _NOTHING
    return hearing.about(attempt, Released(expired=False))


def _reversal(hearing: _Hearing) -> Testimony:
    """Which of the two it was Adyen says only in words that are not signed. What was captured could only be refunded, and what was not only
    be released; with a capture under way nobody can tell."""
    attempt = hearing.attempt
    if attempt is None or not hearing.item.success or _under_way(hearing, attempt):
        return _NOTHING
    done = [one for one in hearing.payment.operations_on(attempt.id, OperationKind.CAPTURE) if one.state is OperationState.SUCCEEDED]
    return _refund_elsewhere(hearing, attempt) if done else _cancellation(hearing)


# --- refunds ----------------------------------------------------------------------------------------------------------------------------


def _refund(hearing: _Hearing) -> Testimony:
    refund = hearing.operation(OperationKind.REFUND)
    if refund is not None:
        return hearing.of(refund, Approved() if hearing.item.success else verdicts.not_done())
    attempt = hearing.attempt
    return _refund_elsewhere(hearing, attempt) if attempt is not None and hearing.item.success else _NOTHING


def _refund_failed(hearing: _Hearing) -> Testimony:
    refund = hearing.operation(OperationKind.REFUND)
    return _NOTHING if refund is None or not hearing.item.success else _did_not_last(hearing, refund, Approved())


def _postponed_refund(hearing: _Hearing) -> Testimony:
    refund = hearing.operation(OperationKind.REFUND)
    return _NOTHING if refund is None or not hearing.item.success else hearing.of(refund, Pending())


def _refund_elsewhere(hearing: _Hearing, attempt: Attempt) -> Testimony:
    """One of nobody's here: with what our books have of that payment it makes this total, at the least."""
    amount, own = hearing.item.amount, reference(hearing.item.psp_reference)
    if amount is None or own is None or not _holds(attempt):
        return _NOTHING
    total = _sum(hearing, attempt, OperationKind.REFUND, None, amount)
    stranger = GivenBack(psp_reference=own, amount=amount, finding=Approved())
    return hearing.about(attempt, Approved(captured=False), refunded=total, refunds=(stranger,))


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def _of_dispute(hearing: _Hearing) -> Testimony:
    """Each event is about a stage of the dispute that its reference names. The deadline and the reason are told as Adyen tells them."""
    one, attempt = hearing.item, hearing.attempt
    reached = verdicts.DISPUTES.get(one.event) or _supplied(hearing)
    dispute = reference(one.psp_reference)
    if attempt is None or reached is None or dispute is None or one.amount is None or not one.success:
        return _NOTHING
    stage, status = reached
    report = DisputeReport(
        attempt_id=attempt.id,
        psp_reference=dispute,
        stage=stage,
        status=status,
        amount=one.amount,
        at=hearing.at,
        reason=word(_text(one, "chargebackReasonCode") or _text(one, "nofReasonCode")),
        respond_by=moment(one.extra.get("defensePeriodEndsAt")) if status is DisputeStatus.OPENED else None,
        raw=hearing.raw,
    )
    return Testimony(disputes=(report,))


def _supplied(hearing: _Hearing) -> tuple[DisputeStage, DisputeStatus] | None:
    """Our side of it was sent in: at the stage that the dispute has reached, as far as is known."""
    known = [one.stage for one in hearing.payment.disputes if one.psp_reference == hearing.item.psp_reference]
    return (max(known, key=_STAGES.index, default=DisputeStage.DISPUTE), DisputeStatus.CHALLENGED)


def _text(one: Item, name: str) -> str:
    value = one.extra.get(name)
    return value.strip() if isinstance(value, str) else ""


# --- what is known ----------------------------------------------------------------------------------------------------------------------


def _holds(attempt: Attempt) -> bool:
    return attempt.state in HOLDING_ATTEMPT or attempt.held_since is not None


def _is_fenced_off(attempt: Attempt) -> bool:
    """Whether Adyen has said that nothing is held under our reference, nor will be: a hold that it tells of now was from before that."""
    return attempt.fence is not None and attempt.state is AttemptState.VOIDED


def _under_way(hearing: _Hearing, attempt: Attempt) -> bool:
    kinds = (OperationKind.CAPTURE, OperationKind.VOID)
    return any(one.attempt_id == attempt.id for one in hearing.payment.open_operations(*kinds))


def _sum(hearing: _Hearing, attempt: Attempt, kind: OperationKind, states: frozenset[OperationState] | None, more: Money) -> Money:
    """What our books have of that kind as done, and as much more. Of refunds those count as well that were adopted and are on their way."""

    def counts(one: Operation) -> bool:
        if states is not None:
            return one.state in states
        return one.state is OperationState.SUCCEEDED or (one.origin is Origin.PROVIDER and one.state in _TAKEN)

    done = sum(one.amount.minor for one in hearing.payment.operations_on(attempt.id, kind) if counts(one))
    return Money(done + more.minor, more.currency)


def _with(evidence: Evidence, more: Mapping[str, Money | tuple[GivenBack, ...] | None]) -> Evidence:
    return structs.replace(evidence, **more)


_Hear: TypeAlias = Callable[[_Hearing], Testimony]
_EVENTS: Final[Mapping[str, _Hear]] = MappingProxyType(
    {
        "AUTHORISATION": _authorisation,
        "OFFER_CLOSED": _offer_closed,
        "EXPIRE": _expire,
        "CAPTURE": _capture,
        "CAPTURE_FAILED": _capture_failed,
        "CANCELLATION": _cancellation,
        "TECHNICAL_CANCEL": _technical_cancel,
        "CANCEL_OR_REFUND": _reversal,
        "REFUND": _refund,
        "REFUND_FAILED": _refund_failed,
        "REFUNDED_REVERSED": _refund_failed,
        "POSTPONED_REFUND": _postponed_refund,
    }
)
"""Adyen's event -> what it says. One that is not here says nothing about a payment."""
