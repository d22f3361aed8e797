"""Why a payment stands where it stands, in one to three plain sentences: what was sent when, how the answer was lost, what is blocked.

Pure, and one table that is total over the states. Only what asks for a reason has one: a payment that is captured or authorised as it was
asked for has none. Not here: what happens next (`payorch.domain.next_step`), its events one by one (`payorch.api.timeline`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from payorch.domain import events as e
from payorch.domain.outcome import Declined, Evidence, Failure, NotExecuted, Unknown
from payorch.domain.payment import OPEN_OPERATION, Name, OperationState, State
from payorch.domain.records import Attempt, CancellationReason, Operation, Payment

GUARD: Final = "Trying elsewhere is blocked until the outcome is known, because it could charge the shopper twice."
_LOST: Final = frozenset(
    {
        *(Name.OUTCOME_LOST, Name.FOUND_SENT_AFTER_RESTART, Name.PENDING_DEADLINE_PASSED, Name.ACTION_ABANDONED, Name.REFUND_UNKNOWN),
        Name.RESYNC_REQUESTED,
    }
)
_REVIEW: Final[Mapping[str, str]] = {
    Name.SYNC_BUDGET_EXHAUSTED: "The search for its outcome has had its time, and the PSP could not be made to say what became of it",
    Name.INTEGRITY_MISMATCH: "What the PSP reports contradicts what was asked for",
    Name.UNEXPECTED_PROVIDER_STATE: "The PSP reports something that nobody here asked for",
    Name.LATE_SUCCESS: "The PSP reports a success after the payment had ended here",
    Name.SECOND_SUCCESS: "The PSPs report a second success for the same payment: the shopper may have paid twice",
    Name.LATE_CAPTURE_FAILURE: "The PSP took a capture back after it had succeeded",
    Name.VOID_REJECTED_ALREADY_CAPTURED: "It was to be released, and the PSP had captured it already",
}
_ENDS: Final[Mapping[CancellationReason, str]] = {
    CancellationReason.MERCHANT: "The merchant ended it.",
    CancellationReason.CUSTOMER: "The shopper ended it.",
    CancellationReason.INTENT_EXPIRED: "It was not confirmed in the time that it had.",
    CancellationReason.AUTHORIZATION_EXPIRED: "The hold expired at the PSP before anything was captured.",
    CancellationReason.VOIDED: "The hold was released.",
    CancellationReason.FENCED: "Its outcome was unknown, and it was fenced off at the PSP so that it can never be charged.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """headline: three words. text: one to three sentences."""

    headline: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    payment: Payment
    events: Sequence[e.Event]

    @property
    def subject(self) -> Attempt | Operation | None:
        """What its state is about: the operation under way, or the last attempt."""
        open_ones = [one for one in self.payment.operations if one.state in OPEN_OPERATION]
        unknown = next((one for one in open_ones if one.state is OperationState.UNKNOWN), None)
        attempt = self.payment.open_attempt
        return unknown or attempt or next(iter(open_ones), None) or (self.payment.attempts[-1] if self.payment.attempts else None)

    def connector_of(self, subject: Attempt | Operation) -> str:
        return subject.connector if isinstance(subject, Attempt) else self.payment.attempt(subject.attempt_id).connector


def why(payment: Payment, events: Sequence[e.Event]) -> Why | None:
    """The reason, of a payment with all its events; None where nothing asks for one."""
    case = _Case(payment=payment, events=events)
    reason = _WHY[payment.state](case)
    beside = _beside(case)
    if payment.hold is not None:
        hold = payment.hold
        text = f"It was set aside at {at(hold.since)} by {hold.by}: {hold.reason.rstrip('.')}. Nothing happens to it until it is released."
        return Why(headline="Why held", text=text if reason is None else f"{text} {reason.text}")
    if beside is None:
        return reason
    return beside if reason is None else Why(headline=reason.headline, text=f"{reason.text} {beside.text}")


def _nothing(case: _Case) -> Why | None:
    return None


def _created(case: _Case) -> Why | None:
    return Why(headline="Why waiting", text="The merchant has not confirmed it yet. Nothing was sent to any PSP.")


def _routing(case: _Case) -> Why | None:
    tried = ", ".join(one.connector for one in case.payment.attempts)
    before = f" after {tried} surely did not take it" if tried else ""
    return Why(headline="Why pending", text=f"A connector is being chosen{before}. No call is under way.")


def _on_the_wire(case: _Case) -> Why | None:
    subject = case.subject
    if subject is None:
        return None
    what, connector = _what(subject), case.connector_of(subject)
    if isinstance(subject, Operation) and subject.state is OperationState.PENDING:
        return Why(headline="Why pending", text=f"{connector} accepted {what} at {at(subject.updated_at)} and will tell the result later.")
    if isinstance(subject, Operation) and subject.pursuit is not None:
        return Why(headline="Why pending", text=f"{what.capitalize()} could not be sent to {connector} yet; it surely had no effect.")
    return Why(headline="Why pending", text=f"{what.capitalize()} went to {connector} at {at(_sent_at(case, subject))}; no answer yet.")


def _requires_action(case: _Case) -> Why | None:
    subject = case.subject
    who = case.connector_of(subject) if subject is not None else "the PSP"
    return Why(
        headline="Why waiting", text=f"{who} wants the shopper to do something first (3-D Secure or a redirect). No money has moved."
    )


def _provider_pending(case: _Case) -> Why | None:
    subject = case.subject
    if subject is None:
        return None
    text = f"{case.connector_of(subject)} accepted the payment at {at(subject.updated_at)} and will tell the result later."
    return Why(headline="Why pending", text=text)


def _unknown(case: _Case) -> Why | None:
    subject = case.subject
    if subject is None:
        return None
    return Why(headline="Why unknown", text=f"{_how_lost(case, subject)} {GUARD}")


def _review(case: _Case) -> Why | None:
    reason = case.payment.review_reason or ""
    last = next((one for one in reversed(case.events) if one.to is State.MANUAL_REVIEW and one.name == reason), None)
    said = _reason_of(last.data) if last is not None else None
    words = _REVIEW.get(reason, "People have to decide what is true")
    detail = f": {said.rstrip('.')}" if said else ""
    since = f" since {at(last.at)}" if last is not None else ""
    return Why(headline="Why in review", text=f"{words}{detail}. It is frozen{since}: people decide, on evidence.")


def _failed(case: _Case) -> Why | None:
    failure = case.payment.failure
    if failure is None:
        return Why(headline="Why failed", text="It ended without a charge.")
    tried = [one.connector for one in case.payment.attempts]
    where = f" Tried: {', '.join(tried)}." if tried else " Nothing was sent to any PSP."
    return Why(headline="Why failed", text=f"{_said(failure)}.{where} No money moved.")


def _canceled(case: _Case) -> Why | None:
    reason = case.payment.cancellation_reason
    return Why(headline="Why canceled", text=_ENDS[reason] if reason is not None else "It was ended; nothing is held.")


_WHY: Final[Mapping[State, Callable[[_Case], Why | None]]] = {
    State.CREATED: _created,
    State.ROUTING: _routing,
    State.AUTHORIZING: _on_the_wire,
    State.REQUIRES_ACTION: _requires_action,
    State.PROVIDER_PENDING: _provider_pending,
    State.OUTCOME_UNKNOWN: _unknown,
    State.AUTHORIZED: _nothing,
    State.CAPTURING: _on_the_wire,
    State.PARTIALLY_CAPTURED: _nothing,
    State.CAPTURED: _nothing,
    State.VOIDING: _on_the_wire,
    State.CANCELED: _canceled,
    State.FAILED: _failed,
    State.MANUAL_REVIEW: _review,
}
"""Total over State."""


def _beside(case: _Case) -> Why | None:
    """An operation that moves no state of the payment and is not as it should be: a refund, or one in review."""
    if case.payment.state in (State.OUTCOME_UNKNOWN, State.MANUAL_REVIEW):
        return None
    for operation in case.payment.operations:
        if operation.in_review:
            text = f"{_what(operation).capitalize()} at {case.connector_of(operation)} is in review: people decide what became of it."
            return Why(headline=f"Why {operation.kind} in review", text=text)
        if operation.state is OperationState.UNKNOWN:
            return Why(headline=f"Why {operation.kind} unknown", text=f"{_how_lost(case, operation)} Its amount stays reserved until then.")
    return None


def _how_lost(case: _Case, subject: Attempt | Operation) -> str:
    what, connector = _what(subject), case.connector_of(subject)
    sent = f"{what.capitalize()} went to {connector} at {at(_sent_at(case, subject))}"
    lost = next((one for one in reversed(case.events) if one.name in _LOST and _subject_of(one.data) == subject.id), None)
    if lost is None:
        return f"{sent}, and what became of it is not known."
    match lost.name:
        case Name.FOUND_SENT_AFTER_RESTART:
            return f"{sent}; the platform ended before the answer came, and found it so at {at(lost.at)}."
        case Name.PENDING_DEADLINE_PASSED:
            return f"{sent} and was accepted there; the result had not come by {at(lost.at)}."
        case Name.ACTION_ABANDONED:
            return f"{sent}; the shopper did not come back by {at(lost.at)}, and may have finished it all the same."
        case Name.RESYNC_REQUESTED:
            return f"{sent}; {lost.actor} asked for another look at {at(lost.at)}."
        case _:
            return f"{sent}; the answer was lost at {at(lost.at)}{_because(lost.data)}."


def _sent_at(case: _Case, subject: Attempt | Operation) -> datetime:
    """When its last call was committed as about to be sent."""
    completed = [one.at for one in case.events if isinstance(one.data, e.Completion) and one.data.attempt_id == subject.id]
    return completed[-1] if completed else subject.created_at


def _what(subject: Attempt | Operation) -> str:
    return "the authorisation" if isinstance(subject, Attempt) else f"the {subject.kind}"


def _subject_of(data: e.Data) -> str | None:
    match data:
        case e.AttemptChange(attempt_id=id) | e.OperationChange(operation_id=id):
            return id
        case e.Resync(attempt_id=attempt_id, operation_id=operation_id):
            return operation_id or attempt_id
        case _:
            return None


def _because(data: e.Data) -> str:
    evidence = data.evidence if isinstance(data, e.AttemptChange | e.OperationChange) else None
    if not isinstance(evidence, Evidence) or not isinstance(evidence.finding, Unknown | Declined | NotExecuted):
        return ""
    after = f" after {evidence.latency_ms} ms" if evidence.latency_ms is not None else ""
    return f"{after} ({_said(evidence.finding.failure)})"


def _reason_of(data: e.Data) -> str | None:
    if isinstance(data, e.AttemptChange | e.OperationChange) and data.reason:
        return data.reason
    return data.detail if isinstance(data, e.Discrepancy) else None


def _said(failure: Failure) -> str:
    """In the PSP's words where it had some, with the code."""
    theirs = failure.connector.message if failure.connector is not None else None
    words = (theirs or failure.message).rstrip(".") or failure.code.replace("_", " ")
    return words if failure.code in words else f"{words} ({failure.code})"


def at(moment: datetime) -> str:
    """2026-03-01 12:00:07Z."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
