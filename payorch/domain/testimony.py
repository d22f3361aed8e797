"""What a PSP's notice, a webhook, says about one payment, and how it is weighed. Pure.

A notice is a snapshot of some moment; it may come late, twice, or before a newer one. So it is never believed about the order of things:

- what it says in the end (approved, declined, released) is weighed like any other evidence. What is implied by then changes nothing and is
  not even written down; what is not, and moves nothing (because people have the payment, say), is kept for people to see;
- what it says of the way there (the shopper's turn, pending) counts only where nothing later is known: from an attempt without an answer
  to the shopper's turn, from there to pending, never back;
- where it would lead back (also a decline of what is held, a success of what ended without), the PSP is asked instead;
- what it only hints at (a refund of nobody's here) makes the PSP be asked, and that answer is the evidence;
- of an attempt whose PSP's id is not known it may say that and nothing else: then the PSP can be asked about it at all;
- what it says of another of the PSP's, under an id of ours, is not said of ours.

A line of a settlement report goes the same way (`settled`), and has the last word where this one would have the PSP asked.

Not here: reading a PSP's bytes (each connector's `testify`), finding the payment, or that a notice is weighed only once (the inbox).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.capability import Lookup
from payorch.domain.compare import askable, comparable, look_soon
from payorch.domain.completion import says_done
from payorch.domain.conflicts import captured_by
from payorch.domain.desk import Desk, Story
from payorch.domain.disputes import Dispute, DisputeReport
from payorch.domain.events import AttemptChange, Data, Discrepancy, DisputeChange, DisputeOpened, OperationChange
from payorch.domain.outcome import Absent, Approved, Declined, Evidence, Finding, NotExecuted, Pending, Released, Source, Unknown
from payorch.domain.payment import (
    HOLDING_ATTEMPT,
    ON_THE_WIRE_ATTEMPT,
    ON_THE_WIRE_OPERATION,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    AttemptState,
    Name,
    OperationState,
    State,
)
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, Pursuit
from payorch.domain.weigh import weigh
from payorch.domain.weigh_nothing import record

S = TypeVar("S", Attempt, Operation)

_HINTED: Final = "a notice of the PSP hints at what it does not show whole"
_BACK: Final = "a notice of the PSP shows what lies behind, or comes again"
_LATE: Final = "a notice of the PSP shows a step whose time is over"
_UNSAID: Final = "a notice of the PSP declines what it had approved"


class Statement(Struct, frozen=True, kw_only=True, gc=False):
    """Evidence about one attempt or operation of the payment."""

    subject_id: str
    evidence: Evidence


class Testimony(Struct, frozen=True, kw_only=True, gc=False):
    """All that one notice says about one payment.

    statements: in the order in which they are to be weighed. look_at: attempts and operations of which the PSP should be asked soon,
    because something happened there that the notice does not show whole.
    """

    statements: tuple[Statement, ...] = ()
    disputes: tuple[DisputeReport, ...] = ()
    look_at: tuple[str, ...] = ()


def weigh_testimony(payment: Payment, testimony: Testimony, desk: Desk) -> Story:
    """What the notice makes happen: each statement after the other, then disputes, then what the PSP is to be asked about.

    No events where it says nothing new. A statement about a subject that the payment does not have is passed over.
    """
    story = Story(payment, desk)
    for statement in testimony.statements:
        _weigh_statement(story, statement)
    for report in testimony.disputes:
        _tell_dispute(story, report)
    for subject_id in testimony.look_at:
        subject = _subject(story.payment, subject_id)
        if subject is not None:
            _follow_hint(story, subject)
    return story


# --- statements -------------------------------------------------------------------------------------------------------------------------


def _weigh_statement(story: Story, statement: Statement) -> None:
    payment, evidence = story.payment, statement.evidence
    subject = _subject(payment, statement.subject_id)
    if isinstance(subject, Attempt) and isinstance(evidence.finding, Unknown) and _names(subject, evidence):
        return record(story, subject, evidence)
    if subject is None or isinstance(evidence.finding, (Unknown, NotExecuted, Absent)):
        return None  # a notice proves no absence, and knows of no call of ours that did not get through
    if _is_another(payment, subject, evidence):
        return _tell_of_another(story, subject, evidence)
    if isinstance(evidence.finding, Pending) and not _is_ahead(subject):
        return _behind(story, subject, evidence)
    if isinstance(evidence.finding, Released) and isinstance(subject, Operation) and subject.kind is not OperationKind.VOID:
        return _ask_about(story, subject, _HINTED)  # only a void releases anything
    if isinstance(evidence.finding, Approved) and _ended_without(subject):
        return _success_from_before(story, subject, evidence)
    if isinstance(evidence.finding, Pending) and _is_late(subject, evidence.finding, story.desk):
        return _ask_about(story, subject, _LATE)
    return _weigh(story, subject, evidence)


def _names(attempt: Attempt, evidence: Evidence) -> bool:
    """Whether it says which of the PSP's the attempt is, of which nobody heard that yet. What is there is for an inquiry to say, and it has
    to be the attempt's by the PSP's own books too.
    """
    return attempt.psp_reference is None and evidence.psp_reference is not None and evidence.our_reference == attempt.id


def _is_another(payment: Payment, subject: Attempt | Operation, evidence: Evidence) -> bool:
    """Whether it speaks of another one at the PSP. A PSP that knows an operation by the id of its payment may say either of the two."""
    if None in (subject.psp_reference, evidence.psp_reference) or subject.psp_reference == evidence.psp_reference:
        return False
    return not isinstance(subject, Operation) or evidence.psp_reference != payment.attempt(subject.attempt_id).psp_reference


def _tell_of_another(story: Story, subject: Attempt | Operation, evidence: Evidence) -> None:
    """There are two at the PSP under one id of ours: nothing that is said of the other is said of ours, but people hear of its money."""
    if isinstance(evidence.finding, Approved):
        detail = f"the PSP tells of the success of {evidence.psp_reference} as {subject.id}, which it knew as {subject.psp_reference}"
        story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="done_twice", detail=detail, evidence=evidence, subject_id=subject.id))


def _weigh(story: Story, subject: Attempt | Operation, evidence: Evidence) -> None:
    before = story.payment
    part = weigh(before, subject.id, evidence, story.desk)
    if _says_something(before, part) or not _is_implied(before, subject, evidence.finding):
        story.go_on(part)
    lost = isinstance(evidence.finding, Declined) and isinstance(subject, Attempt) and subject.state in HOLDING_ATTEMPT
    if lost:
        _ask_about(story, subject, _UNSAID)


def _subject(payment: Payment, subject_id: str) -> Attempt | Operation | None:
    attempt = next((one for one in payment.attempts if one.id == subject_id), None)
    return attempt or payment.find_operation(subject_id)


def _is_ahead(subject: Attempt | Operation) -> bool:
    """Whether nothing of it is known that "pending" would lead back from: no word of the PSP's, or none that counts any more."""
    if isinstance(subject, Operation):
        return subject.state in ON_THE_WIRE_OPERATION | {OperationState.UNKNOWN}
    return subject.state in ON_THE_WIRE_ATTEMPT | {AttemptState.UNKNOWN}


def _behind(story: Story, subject: Attempt | Operation, evidence: Evidence) -> None:
    """A step of the way of what has come that far: only from the shopper's turn to pending it leads on."""
    turn = isinstance(evidence.finding, Pending) and evidence.finding.action is not None
    done = isinstance(subject, Attempt) and not subject.completions and says_done(story.payment, subject, evidence.finding, story.desk)
    if (subject.state is AttemptState.ACTION_REQUIRED and not turn) or (subject.state is AttemptState.PENDING and done):
        return _weigh(story, subject, evidence)
    return _ask_about(story, subject, _BACK) if subject.state is AttemptState.PENDING and turn else None


def _is_late(subject: Attempt | Operation, finding: Pending, desk: Desk) -> bool:
    """Whether an unknown may be what became of that very step when its time was over: going back would let the two alternate."""
    limits = desk.limits
    turn = isinstance(subject, Attempt) and finding.action is not None
    seconds = limits.action_deadline_seconds if turn else limits.pending_deadline_seconds
    unknown = subject.state in (AttemptState.UNKNOWN, OperationState.UNKNOWN)
    return unknown and desk.at >= subject.created_at + timedelta(seconds=seconds)


def _ended_without(subject: Attempt | Operation) -> bool:
    """Whether a success may be from before its end: of a session that was closed, of what the PSP took back, of a refund that it had."""
    if isinstance(subject, Attempt):
        return subject.state is AttemptState.VOIDED and subject.held_since is None
    had = subject.kind is OperationKind.REFUND and subject.psp_reference is not None
    return subject.state is OperationState.REVERSED or (subject.state is OperationState.FAILED and had)


def _success_from_before(story: Story, subject: Attempt | Operation, evidence: Evidence) -> None:
    """It is asked about. Where the PSP cannot be, a success that was known before is the old one, and any other is news.

    What is booked has happened, whatever came after: the way back is a booking of its own.
    """
    attempt = subject if isinstance(subject, Attempt) else story.payment.attempt(subject.attempt_id)
    charged = isinstance(subject, Attempt) and evidence.finding == Approved(captured=True)  # what was charged could not be closed
    booked = evidence.source is Source.SETTLEMENT
    if not charged and not booked and askable(attempt, story.desk):
        return _ask_about(story, subject, _BACK)
    return None if subject.state is OperationState.REVERSED else _weigh(story, subject, evidence)


def _says_something(before: Payment, part: Story) -> bool:
    """Whether more follows from it than that somebody looked: a notice takes no step of a search and moves no timer of one.

    A timer that was set for a reason (`look_soon`) is something.
    """
    if any(event.name is not Name.EVIDENCE_RECORDED or _reason(event.data) is not None for event in part.events):
        return True
    after = part.payment
    attempts = any(_still(then) != _still(now) for then, now in zip(before.attempts, after.attempts, strict=True))
    return attempts or any(_still(then) != _still(now) for then, now in zip(before.operations, after.operations, strict=True))


def _reason(data: Data) -> str | None:
    return data.reason if isinstance(data, (AttemptChange, OperationChange)) else None


def _still(one: S) -> S:
    """Without its search and the time of its last change."""
    return replace(one, updated_at=one.created_at, next_action_at=None, pursuit=None)


def _is_implied(payment: Payment, subject: Attempt | Operation, finding: Finding) -> bool:
    """Whether it is true of the subject as it is known, or was on its way there."""
    if isinstance(finding, Pending):
        return not _is_ahead(subject)
    if isinstance(subject, Operation):
        ended = {OperationState.FAILED, OperationState.REVERSED}
        return subject.state in (ended if isinstance(finding, Declined) else {OperationState.SUCCEEDED, OperationState.REVERSED})
    over, held = subject.state not in OPEN_ATTEMPT, subject.held_since is not None
    if isinstance(finding, Approved):
        return held and (not finding.captured or captured_by(payment, subject.id) > 0)
    return over and (not held or (isinstance(finding, Released) and subject.state is AttemptState.VOIDED))


# --- asking -----------------------------------------------------------------------------------------------------------------------------


def _follow_hint(story: Story, subject: Attempt | Operation) -> None:
    """Has the PSP asked; where people have the payment, they are told instead: nobody asks for them."""
    if story.payment.state is not State.MANUAL_REVIEW:
        return _ask_about(story, subject, _HINTED)
    attempt = subject if isinstance(subject, Attempt) else story.payment.attempt(subject.attempt_id)
    return story.attempt(
        Name.EVIDENCE_RECORDED, attempt, attempt.state, next_action_at=attempt.next_action_at, pursuit=attempt.pursuit, reason=_HINTED,
    )  # fmt: skip


def _ask_about(story: Story, subject: Attempt | Operation, why: str) -> None:
    """Has the PSP asked about it now, whatever its state, unless it cannot be, a call about it is on the wire, or it is in review.

    While the payment is set aside that look waits for its release. A settled operation is asked about by its attempt, which shows all of
    them.
    """
    payment, desk = story.payment, story.desk
    if isinstance(subject, Operation) and subject.state not in OPEN_OPERATION:
        subject = payment.attempt(subject.attempt_id)
    subject = payment.operation(subject.id) if isinstance(subject, Operation) else payment.attempt(subject.id)
    attempt = payment.attempt(subject.attempt_id) if isinstance(subject, Operation) else subject
    due = subject.next_action_at is not None and subject.next_action_at <= desk.at
    if payment.state is State.MANUAL_REVIEW or due or desk.manifests[attempt.connector].lookup is Lookup.NONE:
        return
    if isinstance(subject, Operation):
        if not subject.on_the_wire and not subject.in_review:
            story.operation(
                Name.EVIDENCE_RECORDED, subject, subject.state, next_action_at=desk.at, pursuit=_out_of_turn(subject.pursuit), reason=why,
            )  # fmt: skip
    elif comparable(subject):
        look_soon(story, subject.id, why, at_once=True)
    elif subject.state not in ON_THE_WIRE_ATTEMPT:
        # Of a session that was closed the answer is owed, however often it has to be asked for (`doubtful`).
        owed = Pursuit(since=desk.at) if subject.state is AttemptState.VOIDED else None
        pursuit = _out_of_turn(subject.pursuit) or owed
        story.attempt(Name.EVIDENCE_RECORDED, subject, subject.state, next_action_at=desk.at, pursuit=pursuit, reason=why)


def _out_of_turn(pursuit: Pursuit | None) -> Pursuit | None:
    """The search, in which the look that is asked for now takes back the step that it will take: notices spend none of the schedule's."""
    return None if pursuit is None else replace(pursuit, steps=max(pursuit.steps - 1, 0))


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def _tell_dispute(story: Story, report: DisputeReport) -> None:
    """Upserts by (PSP, dispute, stage): the same again, or an older word, changes nothing."""
    payment = story.payment
    psps = {one.id: one.connector for one in payment.attempts}
    if report.attempt_id not in psps:
        return None
    same = (psps[report.attempt_id], report.psp_reference, report.stage)
    known = next((one for one in payment.disputes if (psps[one.attempt_id], one.psp_reference, one.stage) == same), None)
    if known is None:
        opened = Dispute(
            id=story.desk.identifier("dsp"),
            attempt_id=report.attempt_id,
            psp_reference=report.psp_reference,
            stage=report.stage,
            status=report.status,
            amount=report.amount,
            created_at=story.desk.at,
            updated_at=story.desk.at,
            told_at=report.at,
            reason=report.reason,
            respond_by=report.respond_by,
        )
        return story.tell(Name.DISPUTE_OPENED, DisputeOpened(dispute=opened, raw=report.raw, source=report.source))
    changed = known.told(report)
    if changed is known:
        return None
    if known.decided_otherwise(report):
        detail = f"the PSP said that dispute {known.psp_reference} was {known.status}, and now says that it was {report.status}"
        story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="dispute_contradicted", detail=detail, subject_id=known.id))
    return story.tell(Name.DISPUTE_UPDATED, DisputeChange(dispute=changed, raw=report.raw, source=report.source))
