"""What a plan about a payment shows: what would be different, what was looked at, and what speaks for it.

Pure, and the same each time it is made from the same payment: no new id and no time from now stands in it.

Not here: whether it may be done (`payorch.domain.operating`, `resolving`), reading and carrying out (`payments`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from payorch.domain.acts import ActName, Check, Effect, Proof
from payorch.domain.desk import Story
from payorch.domain.events import AttemptChange, Correction, Discrepancy, Event, OperationChange, OperationOpened
from payorch.domain.money import Money
from payorch.domain.movements import movements
from payorch.domain.outcome import Absent, Approved, Declined, Evidence, NotExecuted, Pending, Released, Unknown
from payorch.domain.payment import Name, OperationState, State
from payorch.domain.proof import Look, Means, looks_due
from payorch.domain.records import Operation, OperationKind, Payment, PreparedCall
from payorch.store.inbox_reads import StoredNotice
from payorch.store.reads import Recorded

PROOFS_SHOWN: Final = 10
"""Of each kind, the newest. Whoever wants more opens the payment's timeline."""
_TAKEN: Final = frozenset({State.CAPTURED, State.PARTIALLY_CAPTURED, State.AUTHORIZED, State.VOIDING})
_LOOKS: Final[Mapping[Means, str]] = {
    Means.SEND: "the call that was never sent is sent",
    Means.REPLAY: "the same bytes are sent again under the same PSP key, which cannot charge twice",
    Means.INQUIRE: "a call that only reads",
    Means.COMPLETE: "a call that only reads",
    Means.FENCE: "it is told never to charge this",
    Means.LOST: "its answer is given up, and looked for",
    Means.WAIT: "it cannot be asked: a webhook or settlement report is waited for",
}
UNDO: Final[Mapping[ActName, str]] = {
    ActName.PAYMENT_RESYNC: "Nothing to undo: the PSP is asked, and no money moves by it.",
    ActName.PAYMENT_RESOLVE: "Not by itself: what a PSP says later leads to MANUAL_REVIEW, where two people can decide anew.",
    ActName.PAYMENT_CAPTURE: "Not undone, only refunded.",
    ActName.PAYMENT_VOID: "Not undone: a new payment would have to be authorised.",
    ActName.PAYMENT_REFUND: "Not undone: the shopper keeps the money.",
    ActName.PAYMENT_RELEASE: "It is set aside again by itself where it still cannot be dealt with.",
}


def effects(before: Payment, story: Story) -> tuple[Effect, ...]:
    """Everything about the payment that the story makes different."""
    after = story.payment
    found = []
    if after.hold is not before.hold and before.hold is not None:
        found.append(Effect(what="hold", before=f"set aside: {before.hold.reason}", after="released, and its timers run"))
    if after.state is not before.state:
        found.append(Effect(what="state", before=f"{before.state}", after=f"{after.state}"))
    if _sums(after) != _sums(before):
        found.append(Effect(what="money", before=_sums(before), after=_sums(after)))
    if after.cancel_requested and not before.cancel_requested:
        found.append(Effect(what="wish", before="wanted", after="taken back, as soon as its outcome is known"))
    found += _children(before, after)
    found += _ledger(before, story)
    return (*found, *_sent(story))


def _sums(payment: Payment) -> str:
    currency = payment.intent.amount.currency
    sums = (
        ("authorised", payment.authorized_minor),
        ("captured", payment.captured_minor),
        ("being captured", payment.capture_reserved_minor),
        ("refunded", payment.refunded_minor),
        ("being refunded", payment.refund_reserved_minor),
    )
    return ", ".join(f"{what} {_words(Money(minor, currency))}" for what, minor in sums if minor or what in ("authorised", "captured"))


def _children(before: Payment, after: Payment) -> Iterator[Effect]:
    attempts = {one.id: one for one in before.attempts}
    for attempt in after.attempts:
        was = attempts[attempt.id]
        if was.state is not attempt.state:
            yield Effect(what="attempt", before=f"{attempt.id} at {attempt.connector}: {was.state}", after=f"{attempt.state}")
    operations = {one.id: one for one in before.operations}
    for operation in after.operations:
        known = operations.get(operation.id)
        if known is None:
            yield Effect(what="operation", before="none", after=f"a new {_deed(operation)}: {operation.state}")
        elif known.state is not operation.state or known.in_review is not operation.in_review:
            review = ", before people" if known.in_review else ""
            yield Effect(what="operation", before=f"{operation.id}, {_deed(operation)}: {known.state}{review}", after=f"{operation.state}")


def _ledger(before: Payment, story: Story) -> Iterator[Effect]:
    was: Payment | None = before
    for event, payment in zip(story.events, story.after, strict=True):
        for one in movements(was, payment, event):
            text = f"{one.kind} of {_words(one.amount)}: debit {one.debit}, credit {one.credit}"
            yield Effect(what="ledger", before="no entry", after=text)
        was = payment


def _sent(story: Story) -> Iterator[Effect]:
    """Calls that are made at once where this is committed."""
    for event in story.events:
        match event.data:
            case OperationOpened(operation=operation) | Correction(operation=Operation() as operation) if operation.on_the_wire:
                connector = story.payment.attempt(operation.attempt_id).connector
                method = operation.call.method if operation.call is not None else "no call"
                yield Effect(what="call", before="not sent", after=f"{connector}: {method}, {_deed(operation)}")
            case _:
                pass


def questions(story: Story, asked: Mapping[str, PreparedCall | None]) -> tuple[Effect, ...]:
    """What a resync would ask the PSP. asked: subject -> the call that reads what became of it; None where there is none."""
    found = []
    for look in looks_due(story.payment, story.desk):
        found.append(
            Effect(what="call", before="not yet", after=f"{_connector(story.payment, look)}, about {look.subject_id}: {_LOOKS[look.means]}")
        )
    for subject_id, call in asked.items():
        connector = _connector(story.payment, Look(subject_id=subject_id, means=Means.INQUIRE))
        what = f"{call.method} {call.path}" if call is not None else "it cannot be asked"
        found.append(Effect(what="call", before="not yet", after=f"{connector}, about {subject_id}: {what}"))
    return tuple(found)


def _connector(payment: Payment, look: Look) -> str:
    operation = payment.find_operation(look.subject_id)
    return payment.attempt(look.subject_id if operation is None else operation.attempt_id).connector


# --- evidence ---------------------------------------------------------------------------------------------------------------------------


def proofs(payment_id: str, events: Sequence[Recorded], notices: Iterable[StoredNotice]) -> tuple[Proof, ...]:
    """What was said about the payment, the newest first: each with the name under which people may lean on it."""
    told = [(one.sequence, one.event, evidence) for one in events if (evidence := evidence_of(one.event)) is not None]
    found = [
        Proof(reference=f"{payment_id}#{sequence}", at=event.at, text=f"{event.actor}, by {evidence.source}: {said(evidence)}")
        for sequence, event, evidence in told[-PROOFS_SHOWN:][::-1]
    ]
    newest = sorted(notices, key=lambda one: one.received_at, reverse=True)[:PROOFS_SHOWN]
    found += [
        Proof(reference=one.id, at=one.received_at, text=f"{one.connector} told {one.kind}: {one.outcome or one.state}") for one in newest
    ]
    return tuple(found)


def tells(event: Event) -> bool:
    """Whether the event says anything of the payment. A look that brought no answer does not: while a PSP is away there are more of them by
    the minute, and a plan that two people are looking at must not fall with each.
    """
    evidence = evidence_of(event)
    silent = evidence is not None and isinstance(evidence.finding, Unknown | NotExecuted)
    return not (event.name is Name.EVIDENCE_RECORDED and (silent or evidence is None))


def evidence_of(event: Event) -> Evidence | None:
    """What the event rests on."""
    return event.data.evidence if isinstance(event.data, AttemptChange | OperationChange | Discrepancy) else None


def said(evidence: Evidence) -> str:
    """What was found, in words; nothing of the PSP's raw answer."""
    match evidence.finding:
        case Approved(captured=captured):
            what = "captured" if captured else "approved"
        case Pending():
            what = "pending"
        case Declined(failure=failure):
            what = f"declined ({failure.code})"
        case Unknown(failure=failure):
            what = f"unknown ({failure.code})"
        case Released(expired=expired):
            what = "expired" if expired else "released"
        case Absent():
            what = "no such thing there"
        case _:
            what = f"not executed ({evidence.finding.failure.code})"
    totals = [
        f"{name} {_words(money)}" for name, money in (("captured", evidence.captured), ("refunded", evidence.refunded)) if money is not None
    ]
    totals = [*([_words(evidence.amount)] if evidence.amount is not None else []), *totals]
    as_ = f", as {evidence.psp_reference}" if evidence.psp_reference is not None else ""
    return f"{what}{', ' if totals else ''}{', '.join(totals)}{as_}"


def supports(events: Sequence[Recorded], to: str) -> Check:
    """Whether the last thing that was found out fits what people say."""
    last = next((found for one in reversed(events) if (found := evidence_of(one.event)) is not None), None)
    if last is None:
        return Check(what="last word", holds=False, detail="No PSP has said anything about it.")
    positive = to in _TAKEN or to == OperationState.SUCCEEDED
    fits = isinstance(last.finding, Approved) if positive else isinstance(last.finding, Declined | Absent | Released)
    return Check(what="last word", holds=fits, detail=f"By {last.source}: {said(last)}.")


def leans_on(evidence: str, known: Sequence[Proof]) -> Check:
    """Whether the evidence that is named is one that stands here."""
    named = [one.reference for one in known if one.reference in evidence]
    if named:
        return Check(what="evidence", holds=True, detail=f"It names {', '.join(named)}.")
    return Check(what="evidence", holds=False, detail="It names nothing that is known here: whoever approves looks it up where it says.")


def _deed(operation: Operation) -> str:
    return "void" if operation.kind is OperationKind.VOID else f"{operation.kind} of {_words(operation.amount)}"


def _words(money: Money) -> str:
    return f"{money.major()} {money.currency}"
