"""What a PSP's notice, a webhook, says about one payment, and how it is weighed. Pure.

A notice is a snapshot of some moment; it may come late, twice, or before a newer one. So it is never believed about the order of things:

- what it says in the end (approved, declined, released) is weighed like any other evidence; what is implied by then changes nothing;
- what it says of the way there (the shopper's turn, pending) counts only where nothing later is known: from an attempt without an answer
  to the shopper's turn, from there to pending, never back. Where it would lead back, the PSP is asked instead;
- what it only hints at (a refund of nobody's here) makes the PSP be asked, and that answer is the evidence.

Not here: reading a PSP's bytes (each connector's `testify`), finding the payment, or that a notice is weighed only once (the inbox).
"""

from __future__ import annotations

from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.compare import comparable, look_soon
from payorch.domain.desk import Desk, Story
from payorch.domain.disputes import Dispute, DisputeReport
from payorch.domain.events import AttemptChange, Data, Discrepancy, DisputeChange, DisputeOpened, OperationChange
from payorch.domain.outcome import Absent, Evidence, NotExecuted, Pending, Unknown
from payorch.domain.payment import ON_THE_WIRE_ATTEMPT, ON_THE_WIRE_OPERATION, AttemptState, Name, OperationState, State
from payorch.domain.records import Attempt, Operation, Payment
from payorch.domain.weigh import weigh

S = TypeVar("S", Attempt, Operation)

_HINTED: Final = "a notice of the PSP hints at what it does not show whole"
_BACK: Final = "a notice of the PSP shows the shopper's turn, which lies behind or comes again"


class Statement(Struct, frozen=True, kw_only=True, gc=False):
    """Evidence about one attempt or operation of the payment."""

    subject_id: str
    evidence: Evidence


class Testimony(Struct, frozen=True, kw_only=True, gc=False):
    """All that one notice says about one payment.

    statements: in the order in which they are to be weighed. look_at: attempts of which the PSP should be asked soon, because something
    happened there that the notice does not show whole.
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
    for attempt_id in testimony.look_at:
        _ask_about(story, attempt_id, _HINTED)
    return story


# --- statements -------------------------------------------------------------------------------------------------------------------------


def _weigh_statement(story: Story, statement: Statement) -> None:
    payment, evidence = story.payment, statement.evidence
    subject = _subject(payment, statement.subject_id)
    if subject is None or isinstance(evidence.finding, (Unknown, NotExecuted, Absent)):
        return  # a notice proves no absence, and knows of no call of ours that did not get through
    if isinstance(evidence.finding, Pending) and not _leads_on(subject, evidence.finding):
        if isinstance(subject, Attempt) and _leads_back(subject, evidence.finding):
            _ask_about(story, subject.id, _BACK)
        return
    part = weigh(payment, statement.subject_id, evidence, story.desk)
    if _says_something(payment, part):
        story.go_on(part)


def _subject(payment: Payment, subject_id: str) -> Attempt | Operation | None:
    attempt = next((one for one in payment.attempts if one.id == subject_id), None)
    return attempt or payment.find_operation(subject_id)


def _leads_on(subject: Attempt | Operation, finding: Pending) -> bool:
    """Whether a step of the way there is one that is not known yet."""
    if isinstance(subject, Operation):
        return subject.state in ON_THE_WIRE_OPERATION | {OperationState.UNKNOWN}
    if subject.state in ON_THE_WIRE_ATTEMPT | {AttemptState.UNKNOWN}:
        return True
    return subject.state is AttemptState.ACTION_REQUIRED and finding.action is None


def _leads_back(attempt: Attempt, finding: Pending) -> bool:
    return attempt.state is AttemptState.PENDING and finding.action is not None


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


def _ask_about(story: Story, attempt_id: str, why: str) -> None:
    """Has the PSP asked about that attempt now, whatever its state, unless a call about it is on the wire or people have the payment."""
    payment, desk = story.payment, story.desk
    attempt = next((one for one in payment.attempts if one.id == attempt_id), None)
    if attempt is None or payment.hold is not None or payment.state is State.MANUAL_REVIEW or attempt.state in ON_THE_WIRE_ATTEMPT:
        return None
    if comparable(attempt):
        return look_soon(story, attempt_id, why, at_once=True)
    if attempt.next_action_at is None or attempt.next_action_at > desk.at:
        story.attempt(
            Name.EVIDENCE_RECORDED, attempt, attempt.state, next_action_at=desk.at, pursuit=attempt.pursuit, reason=why,
        )  # fmt: skip
    return None


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def _tell_dispute(story: Story, report: DisputeReport) -> None:
    """Upserts by (PSP, dispute, stage): the same again, or an older word, changes nothing."""
    payment = story.payment
    if all(one.id != report.attempt_id for one in payment.attempts):
        return None
    same = (report.attempt_id, report.psp_reference, report.stage)
    known = next((one for one in payment.disputes if (one.attempt_id, one.psp_reference, one.stage) == same), None)
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
            reason=report.reason,
            respond_by=report.respond_by,
        )
        return story.tell(Name.DISPUTE_OPENED, DisputeOpened(dispute=opened, raw=report.raw))
    if known.contradicted_by(report):
        detail = f"the PSP said that dispute {known.psp_reference} was {known.status}, and now says that it was {report.status}"
        return story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="dispute_contradicted", detail=detail, subject_id=known.id))
    changed = known.told(report)
    if changed is not known:
        story.tell(Name.DISPUTE_UPDATED, DisputeChange(dispute=changed, raw=report.raw))
    return None
