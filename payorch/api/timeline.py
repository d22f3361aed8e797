"""The story of a payment for people: every event in order, with one sentence that tells it and the evidence it rests on.

Pure. The sentences stand in one table that is total over the events. Not here: what an event means to the payment (the domain); the
console's layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from payorch.api.present import View, failure_view, moment_view, money_view, rfc3339
from payorch.api.timeline_views import decision_view, evidence_view, notice_view, word_of_a_dispute
from payorch.domain import events as e
from payorch.domain.disputes import Dispute, DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.outcome import Declined, Evidence, Failure, NotExecuted, Source, Unknown
from payorch.domain.payment import Name, OperationState, State
from payorch.domain.records import Operation, OperationKind, Origin
from payorch.store.inbox_reads import StoredNotice

_encode: Final = msgspec.json.Encoder().encode

SENTENCES: Final[Mapping[Name, str]] = {
    Name.PAYMENT_CREATED: "The merchant asked for {amount}.",
    Name.CONFIRMED: "The payment was confirmed.",
    Name.ROUTED: "Connectors were chosen: {choice}.",
    Name.ATTEMPT_PREPARED: "An attempt for {amount} at {connector} was recorded, to be sent now.",
    Name.MERCHANT_CANCELED: "{asker} canceled the payment before any money could move.",
    Name.INTENT_EXPIRED: "The time in which the payment could be made is over.",
    Name.NO_ROUTE: "No connector could take the payment{because}.",
    Name.ROUTER_DECLINED: "The routing rules refused the payment{because}.",
    Name.ATTEMPTS_EXHAUSTED: "No connector is left to try{because}.",
    Name.PROVIDER_AUTHORIZED: "{connector} authorised {amount}: the money is held, not taken.",
    Name.PROVIDER_CHARGED: "{connector} charged {amount}.",
    Name.PROVIDER_ACTION_REQUIRED: "{connector} wants the shopper to do something first (3-D Secure or a redirect).",
    Name.PROVIDER_ACCEPTED: "{connector} accepted the payment and will tell the result later.",
    Name.ATTEMPT_NOT_SENT: "The request to {connector} was never sent{because}: nothing was charged there.",
    Name.DECLINED_RETRIABLE: "{connector} declined the {method}{because}; another connector may try.",
    Name.REJECTED_ELSEWHERE_POSSIBLE: "{connector} refused the request{because}; another connector may try.",
    Name.DECLINED_TERMINAL: "{connector} declined the {method}{because}.",
    Name.REJECTED_TERMINAL: "{connector} refused the request{because}.",
    Name.CUSTOMER_CANCELED: "The shopper canceled at {connector}.",
    Name.PROVIDER_EXPIRED: "{connector} closed the payment without charging it.",
    Name.OUTCOME_LOST: "The answer of {connector} was lost{because}: whether money moved is not known yet.",
    Name.FOUND_SENT_AFTER_RESTART: "A restart found a request to {connector} without an answer: whether money moved is not known yet.",
    Name.INTEGRITY_MISMATCH: "What {connector} reports contradicts the payment{because}; people have to look.",
    Name.ACTION_RETURNED: "The shopper came back; {connector} is told to complete the payment.",
    Name.ACTION_FAILED: "The shopper's step at {connector} failed{because}.",
    Name.ACTION_EXPIRED: "The shopper's time at {connector} ran out; nothing was charged.",
    Name.ACTION_ABANDONED: "The shopper did not come back in time: whether money moved at {connector} has to be found out.",
    Name.CANCEL_REQUESTED: "{connector} is asked to close the shopper's session.",
    Name.PENDING_DEADLINE_PASSED: "{connector} did not tell the result in time: it has to be found out.",
    Name.RESOLVED_AUTHORIZED: "Found out: {connector} holds {amount}.",
    Name.RESOLVED_CHARGED: "Found out: {connector} charged {amount}.",
    Name.RESOLVED_ACTION_REQUIRED: "Found out: {connector} waits for the shopper.",
    Name.RESOLVED_PENDING: "Found out: {connector} has the payment and will tell the result later.",
    Name.RESOLVED_DECLINED: "Found out: {connector} declined the {method}{because}.",
    Name.RESOLVED_DECLINED_RETRIABLE: "Found out: {connector} declined the {method}{because}; another connector may try.",
    Name.RESOLVED_CUSTOMER_CANCELED: "Found out: the shopper canceled at {connector}.",
    Name.RESOLVED_AUTHORIZATION_GONE: "Found out: the hold at {connector} is gone.",
    Name.RESOLVED_ABSENT: "Found out: {connector} never executed the payment; another connector may try.",
    Name.RESOLVED_ABSENT_NO_RETRY: "Found out: {connector} never executed the payment; nothing was charged.",
    Name.RESOLVED_CAPTURED: "Found out: {connector} captured {amount}{named}.",
    Name.RESOLVED_CAPTURE_NOT_DONE: "Found out: {connector} did not capture{because}.",
    Name.RESOLVED_CAPTURE_PENDING: "Found out: {connector} has the capture and will tell the result later.",
    Name.RESOLVED_VOIDED: "Found out: {connector} released the hold{named}.",
    Name.RESOLVED_VOID_NOT_DONE: "Found out: {connector} did not release the hold{because}.",
    Name.RESOLVED_VOID_PENDING: "Found out: {connector} has the release and will tell the result later.",
    Name.FENCED_ABSENT: "The payment was fenced off at {connector}: it can no longer be charged there.",
    Name.SYNC_BUDGET_EXHAUSTED: "The search at {connector} ended without a result{because}; people have to look.",
    Name.CAPTURE_REQUESTED: "{who} asked for a capture of {amount} at {connector}; it was recorded, to be sent now.",
    Name.CAPTURE_SUCCEEDED: "{connector} captured {amount}{named}.",
    Name.CAPTURE_REJECTED: "{connector} refused the capture{because}.",
    Name.CAPTURE_REJECTED_AUTHORIZATION_GONE: "{connector} refused the capture: the hold is gone{because}.",
    Name.CAPTURE_NOT_SENT: "The capture could not be sent to {connector}{because}: nothing was captured.",
    Name.CAPTURE_CLOSED: "The capture side is closed; the rest at {connector} is released.",
    Name.LATE_CAPTURE_FAILURE: "{connector} took a capture back after its success{because}; people have to look.",
    Name.VOID_REQUESTED: "{who} asked for a release of the hold at {connector}; it was recorded, to be sent now.",
    Name.AUTO_VOID: "Nobody wants the hold at {connector} any more: its release was recorded, to be sent now.",
    Name.VOID_REMAINDER_REQUESTED: "{who} asked for a release of the rest at {connector}; it was recorded, to be sent now.",
    Name.VOID_SUCCEEDED: "{connector} released the hold{named}.",
    Name.VOID_REJECTED: "{connector} refused to release the hold{because}.",
    Name.VOID_REJECTED_ALREADY_CAPTURED: "{connector} could not release the hold: it was captured already.",
    Name.VOID_NOT_SENT: "The release could not be sent to {connector}{because}.",
    Name.PROVIDER_VOIDED: "The hold was released at {connector}.",
    Name.AUTHORIZATION_EXPIRED: "The hold at {connector} expired.",
    Name.UNEXPECTED_PROVIDER_STATE: "{connector} reports what nobody asked for{because}; people have to look.",
    Name.LATE_SUCCESS: "{connector} reports a success after the payment had ended{because}; people have to look.",
    Name.SECOND_SUCCESS: "{connector} reports a second success{because}; people have to look.",
    Name.RESYNC_REQUESTED: "An operator asked for another look at the PSP{because}.",
    Name.REVIEW_REQUESTED: "People decide now, and do not wait for the end of the search{because}.",
    Name.CORRECTION_APPROVED: "{people} corrected the payment on evidence{because}.",
    Name.COMPENSATION_APPROVED: "{people} decided to give the money back{because}.",
    Name.CANCEL_INTENT_RECORDED: "{asker} wants the payment ended; it will be as soon as its outcome is known.",
    Name.FENCE_PREPARED: "{connector} is to be told never to charge this any more, and to give back what it may have taken.",
    Name.EVIDENCE_RECORDED: "Noted from {connector}: {finding}.",
    Name.OPERATION_PENDING: "{connector} accepted the {operation} and will tell the result later.",
    Name.OPERATION_ADOPTED: "A {deed} at {connector} that was not asked for here was taken into the books.",
    Name.OPERATION_REVIEW_RAISED: "The {operation} at {connector} needs people to look{because}.",
    Name.OPERATION_CORRECTED: "{people} found out what became of the {deed} at {connector}: it has {ended}{because}.",
    Name.REFUND_REQUESTED: "{who} asked for a refund of {amount} at {connector}; it was recorded, to be sent now.",
    Name.REFUND_PENDING: "{connector} accepted the refund and will tell the result later.",
    Name.REFUND_SUCCEEDED: "{connector} refunded {amount}{named}.",
    Name.REFUND_FAILED: "{connector} refused the refund{because}.",
    Name.REFUND_UNKNOWN: "The answer of {connector} to the refund was lost{because}: whether it was made is not known yet.",
    Name.REFUND_REVERSED: "{connector} took a refund back after its success{because}.",
    Name.DISCREPANCY_RAISED: "Something does not fit{because}; people will look.",
    Name.HELD: "The payment was set aside{because}: nothing happens to it until an operator releases it.",
    Name.HOLD_RELEASED: "The payment goes on{because}.",
    Name.DISPUTE_OPENED: "The shopper's bank {disputes} {amount} at {connector}{because}{standing}.",
    Name.DISPUTE_UPDATED: "The {dispute} {amount} at {connector} is {status} now{because}{standing}.",
}
"""event -> the sentence that tells it. Total over Name; the places to fill are the names in `Teller._words`."""


_WHO: Final = {
    Origin.MERCHANT: "The merchant",
    Origin.SYSTEM: "payorch",
    Origin.OPERATOR: "An operator",
    Origin.PROVIDER: "Somebody at the PSP",
}

_DISPUTES: Final = {
    DisputeStage.PRE_DISPUTE: ("asks about", "inquiry about"),
    DisputeStage.DISPUTE: ("disputes", "dispute of"),
    DisputeStage.PRE_ARBITRATION: ("goes on to dispute", "pre-arbitration of"),
}
"""What the bank does in a stage, and what that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an event is about. `kind`: attempt, capture, void, refund or dispute."""

    id: str
    kind: str
    connector: str
    amount: Money


@dataclass(slots=True)
class Teller:
    """Goes through the events in order and remembers what later ones only name."""

    subjects: dict[str, Subject] = field(default_factory=dict)
    amount: Money | None = None
    method: str = "card"
    state: State | None = None

    def entry(self, sequence: int, event: e.Event) -> View:
        """The event as one entry of the timeline."""
        subject = self._meet(event.data)
        evidence, failure = _evidence_of(event.data), _failure_of(event.data)
        reason = _reason_of(event.data)
        before, self.state = self.state, event.to
        return {
            "sequence": sequence,
            "at": rfc3339(event.at),
            "name": event.name,
            "from": before,
            "to": event.to,
            "actor": event.actor,
            "cause": event.cause,
            "sentence": self._told(event, subject),
            "reason": reason,
            "subject": _subject_view(subject) if subject is not None else None,
            "failure": failure_view(failure),
            "evidence": evidence_view(evidence) if evidence is not None else word_of_a_dispute(event),
            "routing": decision_view(event.data.decision) if isinstance(event.data, e.Choice) else None,
            "next_action_at": moment_view(_next_action_at(event.data)),
        }

    def sentence(self, event: e.Event) -> str:
        """The event in one sentence."""
        return self._told(event, self._meet(event.data))

    def _told(self, event: e.Event, subject: Subject | None) -> str:
        words = self._words(event.data, subject, _failure_of(event.data), _reason_of(event.data))
        return SENTENCES[event.name].format_map(words | _words_of_people(event))

    def _meet(self, data: e.Data) -> Subject | None:
        match data:
            case e.Created(intent=intent):
                self.amount = intent.amount
                self.method = _method_word(intent.method.type if intent.method is not None else None)
            case e.Confirmation(method=method):
                self.method = _method_word(method.type)
            case e.AttemptOpened(attempt=attempt):
                subject = Subject(id=attempt.id, kind="attempt", connector=attempt.connector, amount=attempt.amount)
                self.subjects[subject.id] = subject
                return subject
            case e.OperationOpened(operation=operation) | e.Correction(operation=Operation() as operation):
                parent = self.subjects.get(operation.attempt_id)
                connector = parent.connector if parent is not None else ""
                subject = Subject(id=operation.id, kind=operation.kind.value, connector=connector, amount=operation.amount)
                self.subjects[subject.id] = subject
                return subject
            case e.DisputeOpened(dispute=dispute) | e.DisputeChange(dispute=dispute):
                parent = self.subjects.get(dispute.attempt_id)
                connector = parent.connector if parent is not None else ""
                subject = Subject(id=dispute.id, kind="dispute", connector=connector, amount=dispute.amount)
                self.subjects[subject.id] = subject
                return subject
            case _:
                pass
        return self.subjects.get(_subject_id(data) or "")

    def _words(self, data: e.Data, subject: Subject | None, failure: Failure | None, reason: str | None) -> dict[str, str]:
        """What the sentences may say."""
        evidence = _evidence_of(data)
        amount = subject.amount if subject is not None else self.amount
        dispute = data.dispute if isinstance(data, (e.DisputeOpened, e.DisputeChange)) else None
        disputes, what = _DISPUTES[dispute.stage] if dispute is not None else ("", "")
        return {
            "amount": _major(amount) if amount is not None else "an amount",
            "connector": subject.connector.capitalize() if subject is not None and subject.connector else "the PSP",
            "method": self.method,
            "operation": subject.kind if subject is not None else "operation",
            "deed": _deed(subject),
            "because": _because(failure, reason),
            "who": _WHO[data.operation.origin] if isinstance(data, e.OperationOpened) else "",
            "named": f", as {evidence.psp_reference}" if evidence is not None and evidence.psp_reference is not None else "",
            "status": dispute.status.value if dispute is not None else "",
            "disputes": disputes,
            "dispute": what,
            "standing": _standing(dispute, opened=isinstance(data, e.DisputeOpened)) if dispute is not None else "",
            "choice": ", then ".join(name.capitalize() for name in data.decision.order) or "none" if isinstance(data, e.Choice) else "",
            "finding": _finding_word(evidence) if evidence is not None else reason or "nothing new",
        }


def timeline_json(payment_id: str, events: Iterable[e.Event], notices: Iterable[StoredNotice] = ()) -> bytes:
    """Every event of the payment, which are all given and in order, as JSON: `{"object": "timeline", "payment_id", "data", "notices"}`.

    notices: what PSPs told about it, news or not. An event that a notice made happen has its id as `cause`.
    """
    entries = entries_of(events)
    told = [notice_view(one) for one in notices]
    return _encode({"object": "timeline", "payment_id": payment_id, "data": entries, "notices": told})


def entries_of(events: Iterable[e.Event]) -> list[View]:
    """The events of a payment, from its first on, each as its entry."""
    teller = Teller()
    return [teller.entry(sequence, event) for sequence, event in enumerate(events, start=1)]


def _words_of_people(event: e.Event) -> dict[str, str]:
    asker = _WHO[Origin.OPERATOR if event.actor.startswith("operator:") else Origin.MERCHANT]
    if not isinstance(event.data, e.Correction):
        return {"asker": asker}
    ended = "failed" if event.data.operation is not None and event.data.operation.state is OperationState.FAILED else "succeeded"
    return {"asker": asker, "people": "One person, with the glass broken," if event.data.alone else "Two people", "ended": ended}


def _deed(subject: Subject | None) -> str:
    """An operation with its amount. A void has none: it gives back whatever is left."""
    if subject is None:
        return "operation"
    return subject.kind if subject.kind == OperationKind.VOID else f"{subject.kind} of {_major(subject.amount)}"


def _standing(dispute: Dispute, *, opened: bool) -> str:
    """What is to be done about it and until when; or how it stands, where that is not said otherwise."""
    if dispute.status is DisputeStatus.OPENED:
        return f"; it can be answered until {rfc3339(dispute.respond_by)}" if dispute.respond_by is not None else ""
    return f"; it is {dispute.status} already" if opened else ""


def _subject_view(subject: Subject) -> View:
    # A void gives back whatever is left, and is recorded with an amount of zero.
    amount = None if subject.kind == OperationKind.VOID else money_view(subject.amount)
    return {"id": subject.id, "object": subject.kind, "connector": subject.connector, "amount": amount}


def _subject_id(data: e.Data) -> str | None:
    match data:
        case e.AttemptChange(attempt_id=subject_id) | e.OperationChange(operation_id=subject_id) | e.Discrepancy(subject_id=subject_id):
            return subject_id
        case e.Completion(attempt_id=subject_id) | e.FenceOpened(attempt_id=subject_id) | e.Correction(attempt_id=subject_id):
            return subject_id
        case e.Resync(attempt_id=attempt_id, operation_id=operation_id):
            return operation_id or attempt_id
        case _:
            return None


def _evidence_of(data: e.Data) -> Evidence | None:
    return data.evidence if isinstance(data, (e.AttemptChange, e.OperationChange, e.Discrepancy)) else None


def _failure_of(data: e.Data) -> Failure | None:
    """Why not: as the event says it, else as its evidence does."""
    if isinstance(data, (e.AttemptChange, e.OperationChange, e.Ending)) and data.failure is not None:
        return data.failure
    evidence = _evidence_of(data)
    if evidence is not None and isinstance(evidence.finding, (Declined, NotExecuted, Unknown)):
        return evidence.finding.failure
    return None


def _reason_of(data: e.Data) -> str | None:
    match data:
        case e.AttemptChange(reason=reason) | e.OperationChange(reason=reason) | e.HoldEnded(reason=reason) | e.Resync(reason=reason):
            return reason
        case e.OperationOpened(operation=operation):
            return operation.reason
        case e.Correction(reason=reason, evidence_reference=reference):
            return f"{reason} ({reference})"
        case e.Discrepancy(detail=reason) | e.ReviewWanted(reason=reason):
            return reason
        case e.HoldSet(hold=hold):
            return hold.reason
        case e.DisputeOpened(dispute=dispute) | e.DisputeChange(dispute=dispute):
            return dispute.reason
        case _:
            return None


def _next_action_at(data: e.Data) -> datetime | None:
    match data:
        case e.AttemptChange(next_action_at=at) | e.OperationChange(next_action_at=at) | e.Resync(next_action_at=at):
            return at
        case e.Completion(next_action_at=at):
            return at
        case e.AttemptOpened(attempt=subject) | e.OperationOpened(operation=subject):
            return subject.next_action_at
        case e.Created(expires_at=at):
            return at
        case _:
            return None


def _because(failure: Failure | None, reason: str | None) -> str:
    """`: Insufficient funds (insufficient_funds)`, the PSP's own words where it had some; nothing where nothing is known."""
    if failure is None:
        return f": {reason.rstrip('.')}" if reason else ""
    theirs = failure.connector.message if failure.connector is not None else None
    said = (theirs or failure.message).rstrip(".") or failure.code.replace("_", " ")
    network = failure.network.decline_code if failure.network is not None else None
    return f": {said} ({failure.code}{f', network code {network}' if network else ''})"


def _finding_word(evidence: Evidence) -> str:
    if isinstance(evidence.finding, NotExecuted) and evidence.source is not Source.RESPONSE:
        return f"it could not be asked, by {evidence.source} ({evidence.finding.failure.code})"
    kind = type(evidence.finding).__name__
    said = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()
    return f"{said}, by {evidence.source}"


def _method_word(kind: str | None) -> str:
    return "card" if kind in (None, "card") else "payment"


def _major(money: Money) -> str:
    return f"{money.major()} {money.currency}"
