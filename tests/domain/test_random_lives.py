"""Whatever merchants, PSPs, shoppers and clocks do in whatever order, a payment keeps its promises. One payment lives per example.

Each life is a row of choices: commands, evidence (any finding from any source about any attempt or operation, true or absurd), timers,
restarts, holds, second looks and corrections. After each step the invariants of STATES.md and RELIABILITY.md are checked; at the end
everybody falls silent and the payment must still come to rest in bounded time. Hypothesis makes the choices in one test, because it finds
the shortest life that breaks a promise; a seeded generator makes them in the other, because it lives a hundred times faster.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.domain import decide, operating, proof, resolving
from payorch.domain.capability import Lookup
from payorch.domain.compare import comparing
from payorch.domain.completion import complete
from payorch.domain.desk import Story
from payorch.domain.disputes import DISPUTE_EDGES, DisputeReport, DisputeStage, DisputeStatus
from payorch.domain.events import (
    AttemptChange,
    AttemptOpened,
    Completion,
    Correction,
    Data,
    Event,
    HoldEnded,
    HoldSet,
    OperationOpened,
)
from payorch.domain.fencing import fence
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.movements import Movement, MovementKind, movements
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    Finding,
    GivenBack,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.payment import (
    HOLDING_ATTEMPT,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    TERMINAL,
    AttemptState,
    Command,
    Name,
    OperationState,
    State,
)
from payorch.domain.records import Attempt, Hold, Operation, OperationKind, Origin, Payment
from payorch.domain.testimony import Statement, Testimony, weigh_testimony
from payorch.domain.weigh import expire, nothing_to_ask, weigh
from tests.domain.worlds import ACTION, BROKEN, LOST, MANIFESTS, NOT_SENT, Broken, World, manifest

CLASSES = (
    ErrorClass.SOFT_TRY_OTHER,
    ErrorClass.HARD_DECLINE,
    ErrorClass.FRAUD_BLOCKED,
    ErrorClass.CUSTOMER_CANCELED,
    ErrorClass.EXPIRED,
    ErrorClass.INVALID_REQUEST,
    ErrorClass.CONFIGURATION,
    ErrorClass.RATE_LIMITED,
    ErrorClass.OPERATION_NOT_ALLOWED,
    ErrorClass.FIX_DATA,
)
AMOUNTS = (None, None, None, 1, 500, 700, 1500, 2000, 2001, 0, -1)
STEPS_SECONDS = (0.001, 1, 31, 61, 601, 901, 3601, 86401, 3 * 86400)
# What an event out of OUTCOME_UNKNOWN into FAILED must stand on.
PROOFS: dict[Name, tuple[type[Finding], ...]] = {
    Name.RESOLVED_DECLINED: (Declined, NotExecuted),
    Name.RESOLVED_ABSENT_NO_RETRY: (Absent, Pending),  # Pending: of a completing call, see `_check_proof`
}
LIVES_PER_BLOCK = 100
WORD = resolving.Word(requester="ann", approver="bob", reason="seen at the PSP", evidence="ticket 1")
SAME_BYTES = (Source.RESPONSE, Source.REPLAY)

Choose: TypeAlias = Callable[[Sequence[Any]], Any]
"""Gives one element of a non-empty sequence."""


def open_subjects(payment: Payment) -> list[Attempt | Operation]:
    """What is not resolved yet."""
    attempts = [one for one in payment.attempts if one.state in OPEN_ATTEMPT]
    return [*attempts, *(one for one in payment.operations if one.state in OPEN_OPERATION)]


class Life:
    """One payment, from birth until everybody falls silent. `choose` makes every choice."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        preference = list(choose(list(permutations(("strong", "eventual", "blind")))))
        parts = ("eventual", "void", "capture", "completion", "fence")
        unbuildable = choose([*[()] * 5, *[(one,) for one in parts], ("strong", "eventual", "blind")])
        blind = manifest(lookup=Lookup.NONE, window_seconds=600, able=False, fence=True)
        manifests = {**MANIFESTS, "blind": choose([MANIFESTS["blind"], blind])}
        self.world = World(preference=tuple(preference), unbuildable=set(unbuildable), manifests=manifests)
        self.payment = self.world.create(capture=choose(list(CaptureMode)))
        self.movements: list[Movement] = []
        self.asked: set[str] = set()  # attempts of which a notice made the PSP be asked, once, whatever their state
        if choose([True, True, True, True, False]):
            self._command(decide.confirm)
        self.promises_hold()

    def live(self, steps: int) -> None:
        """That many things happen, and then nobody says anything any more."""
        actions = (
            [self.success] * 6 + [self.answer] * 5 + [self.timer] * 5 + [self.ask] * 5 + [self.say] * 3 + [self.notice] * 4
            + [self.time] * 2 + [self.shopper] * 2 + [self.capture_or_void] * 3
            + [self.restart, self.hold, self.release, self.release, self.second_look, self.correction, self.operator]
        )  # fmt: skip
        for _ in range(steps):
            self.choose(actions)()
            self.promises_hold()
        self.silence()

    # --- what can happen

    def time(self) -> None:
        self.world.later(seconds=self.choose(STEPS_SECONDS))

    def ask(self) -> None:
        """A merchant's command, allowed or not."""
        command, minor, final = self.choose(list(Command)), self.choose(AMOUNTS), self.choose((None, False, True))
        write: dict[Command, Callable[[Story], object]] = {
            Command.CONFIRM: decide.confirm,
            Command.CANCEL: decide.cancel,
            Command.CAPTURE: lambda story: decide.capture(story, minor, final=final),
            Command.VOID: decide.void,
            Command.REFUND: lambda story: decide.refund(story, minor),
        }
        allowed = decide.allowed(self.payment)
        done = self._command(write[command])
        assert command in allowed or not done

    def capture_or_void(self) -> None:
        """What merchants do with a hold."""
        minor = self.choose((1, 500, 700, None))
        if self.choose((True, True, False)):
            self._command(lambda story: decide.capture(story, minor, final=self.choose((None, None, True))))
        else:
            self._command(decide.void)

    def shopper(self) -> None:
        """He is sent away, does his part and comes back; or the PSP says so."""
        attempt = self.payment.open_attempt
        if attempt is None:
            return
        if attempt.state is AttemptState.PREPARED and self.choose((True, False)):
            self._weigh(attempt.id, Evidence(source=Source.RESPONSE, finding=Pending(action=ACTION), at=self.world.at))
        elif self.choose((True, False)):
            self._complete(attempt, {"result": "r"})
        else:
            source = self.choose((Source.INQUIRY, Source.WEBHOOK))
            self._weigh(attempt.id, Evidence(source=source, finding=Pending(ready=True), at=self.world.at))

    def finding(self) -> Finding:
        """Anything a PSP can say."""
        failure = Failure(error_class=self.choose(CLASSES), code="code", message="No.")
        return self.choose(  # type: ignore[no-any-return]
            [
                Approved(captured=False), Approved(captured=True), Pending(), Pending(action=ACTION), Pending(ready=True),
                Declined(failure=failure), NotExecuted(failure=failure, sent=True), NOT_SENT, LOST, LOST, Released(expired=True),
                Released(expired=False), Absent(),
            ]
        )  # fmt: skip

    def answer(self) -> None:
        """The plausible: the answer to a call that is under way."""
        if subjects := open_subjects(self.payment):
            subject = self.choose(subjects)
            reference = self.choose((None, f"psp_{subject.id}"))
            self._weigh(subject.id, Evidence(source=Source.RESPONSE, finding=self.finding(), at=self.world.at, psp_reference=reference))

    def success(self) -> None:
        """The usual: it works."""
        if subjects := open_subjects(self.payment):
            subject = self.choose(subjects)
            charged = self.payment.intent.capture is CaptureMode.AUTOMATIC and self.choose((True, False))
            self._weigh(subject.id, Evidence(source=Source.RESPONSE, finding=Approved(captured=charged), at=self.world.at))

    def say(self) -> None:
        """The implausible: any finding from anybody about anything, with amounts and references that may be wrong."""
        if not self.payment.attempts:
            return
        subject = self.choose([*self.payment.attempts, *self.payment.operations])
        listed = self.choose((None, None, None, (), self.listed(), self.listed()))
        total = sum(one.amount.minor for one in listed or () if isinstance(one.finding, Approved) and one.amount.currency == "EUR")
        sources = [one for one in Source if one is not Source.FENCE or isinstance(subject, Attempt)]
        evidence = Evidence(
            source=self.choose(sources),
            finding=self.finding(),
            at=self.world.at + timedelta(seconds=self.choose((0, 0, -10, 10))),
            psp_reference=self.choose((None, "psp_1")),
            our_reference=self.choose((None, None, None, subject.id, "att_other")),
            amount=self.choose((None, None, None, None, subject.amount, Money(1, "EUR"), Money(2000, "JPY"))),
            captured=self.choose((None, None, None, Money(0, "EUR"), Money(500, "EUR"), Money(2000, "EUR"))),
            refunded=self.choose((None, Money(5, "JPY"), Money(total, "EUR"))),
            refunds=listed,
            expires_at=self.choose((None, self.world.at, self.world.at + timedelta(days=6))),
        )
        self._weigh(subject.id, evidence)

    def notice(self) -> None:
        """The PSP tells of something, true, old or absurd: evidence about some of the payment, disputes, hints. And perhaps once more."""
        subjects = [*self.payment.attempts, *self.payment.operations]
        said = [self.choose(subjects) for _ in range(self.choose((0, 1, 1, 2, 3)))] if subjects else []
        attempts = [one.id for one in self.payment.attempts] or ["att_other"]
        testimony = Testimony(
            statements=tuple(Statement(subject_id=one.id, evidence=self.told(one)) for one in said),
            disputes=tuple(self.report(self.choose(attempts)) for _ in range(self.choose((0, 0, 0, 1, 2)))),
            look_at=tuple(self.choose(attempts) for _ in range(self.choose((0, 0, 0, 1)))),
        )
        for _ in range(self.choose((1, 1, 2))):
            before, story = self.payment, weigh_testimony(self.payment, testimony, self.world.desk("psp"))
            changes = [one.data for one in story.events if isinstance(one.data, AttemptChange)]
            self.asked |= {one.attempt_id for one in changes if one.evidence is None and one.reason is not None}
            self._keep(story)
            if before.hold is not None:
                assert self.payment.state is before.state, "a held payment moved"

    def told(self, subject: Attempt | Operation) -> Evidence:
        listed = self.choose((None, None, None, (), self.listed()))
        return Evidence(
            source=Source.WEBHOOK,
            finding=self.finding(),
            at=self.world.at,
            psp_reference=self.choose((None, None, f"psp_{subject.id}", "psp_1")),
            our_reference=self.choose((None, None, None, subject.id, "att_other")),
            amount=self.choose((None, None, None, None, subject.amount, Money(1, "EUR"))),
            captured=self.choose((None, None, None, Money(500, "EUR"), Money(2000, "EUR"))),
            refunded=self.choose((None, None, Money(500, "EUR"))),
            refunds=listed,
            expires_at=self.choose((None, self.world.at, self.world.at + timedelta(days=6))),
        )

    def report(self, attempt_id: str) -> DisputeReport:
        """A word about one of two disputes."""
        return DisputeReport(
            attempt_id=attempt_id, psp_reference=self.choose(("dp_1", "dp_2")), stage=self.choose(list(DisputeStage)),
            status=self.choose(list(DisputeStatus)), amount=Money(self.choose((0, 500, 2000, 5000)), self.choose(("EUR", "EUR", "JPY"))),
            at=self.world.at + timedelta(days=self.choose((0, -1, -2))),
        )  # fmt: skip

    def listed(self) -> tuple[GivenBack, ...]:
        """A PSP's list of refunds, of ours and of others, true or absurd."""
        references = (None, None, "ref_other", *(one.id for one in self.payment.operations))
        return tuple(
            GivenBack(
                psp_reference=self.choose(("re_1", "re_2", "psp_1")),
                amount=Money(self.choose((1, 500, 2000, 5000)), self.choose(("EUR", "EUR", "EUR", "JPY"))),
                finding=self.finding(),
                our_reference=self.choose(references),
            )
            for _ in range(self.choose((0, 1, 1, 2)))
        )

    def timer(self) -> None:
        """The clock moves to the next timer and the looks that are due are taken."""
        if self.payment.due_at is not None:
            self.world.at = max(self.world.at, self.payment.due_at)
        self._keep(expire(self.payment, self.world.desk()))
        self._look(self.finding())

    def restart(self) -> None:
        """The process comes back; what may have been on the wire is unknown."""
        for subject in open_subjects(self.payment):
            if subject.state in ("PREPARED", "SENT", "REQUESTED"):
                self._weigh(subject.id, Evidence(source=Source.RESTART, finding=LOST, at=self.world.at))

    def hold(self) -> None:
        if self.payment.hold is None and self.choose((True, False)):
            self._tell(Name.HELD, HoldSet(hold=Hold(reason="poison", since=self.world.at, by="ann")), self.payment.state)

    def release(self) -> None:
        if self.payment.hold is not None:
            self._tell(Name.HOLD_RELEASED, HoldEnded(reason="looked at"), self.payment.state)

    def second_look(self) -> None:
        """An operator asks for another look at something that may be unknown."""
        if self._operate(lambda story: operating.resync(story, "again")) and self.choose((True, False)):
            for subject in operating.to_ask(self.payment, self.world.desk()):
                self._weigh(subject, Evidence(source=Source.INQUIRY, finding=self.finding(), at=self.world.at))

    def correction(self) -> None:
        """Two operators find something to be true, of the payment or of one of its operations."""
        to = self.choose((*resolving.TARGETS, *resolving.OPERATION_TARGETS))
        attempts, operations = self.payment.attempts, self.payment.operations
        subject = self.choose((None, None, *(one.id for one in attempts), *(one.id for one in operations)))
        minor = self.choose(AMOUNTS)
        self._operate(lambda story: resolving.resolve(story, to, WORD, subject=subject, minor=minor))

    def operator(self) -> None:
        """An operator moves money, or lets a payment go."""
        minor = self.choose(AMOUNTS)
        write: tuple[Callable[[Story], object], ...] = (
            lambda story: operating.capture(story, minor, reason="asked by mail"),
            lambda story: operating.void(story, reason="asked by mail"),
            lambda story: operating.refund(story, minor, reason="asked by mail"),
            lambda story: operating.release(story, "looked at"),
        )
        self._operate(self.choose(write))

    def _operate(self, write: Callable[[Story], object]) -> bool:
        story = Story(self.payment, self.world.desk("operator:ann", "act_1"))
        try:
            write(story)
        except decide.Refused:
            return False
        self._keep(story)
        return True

    def silence(self) -> None:
        """Everybody falls silent: within the search's time all is at rest, or people have it."""
        self.release()
        end = self.world.at + timedelta(days=30)
        for _ in range(400):
            resting = self.payment.state in (State.AUTHORIZED, State.PARTIALLY_CAPTURED) and not open_subjects(self.payment)
            if self.payment.due_at is None or resting or self.world.at > end:
                break
            self.world.at = max(self.world.at, self.payment.due_at)
            self._keep(expire(self.payment, self.world.desk()))
            self._look(LOST)
            self.promises_hold()
        resting_places = TERMINAL | {State.MANUAL_REVIEW, State.AUTHORIZED, State.PARTIALLY_CAPTURED}
        assert self.payment.state in resting_places, self._tale()
        forgotten = [one for one in self.payment.operations if one.state in OPEN_OPERATION and not one.in_review]
        assert not forgotten or self.payment.state is State.MANUAL_REVIEW, self._tale()
        assert self.payment.due_at is None or self.payment.state not in TERMINAL, f"asked for ever {self._tale()}"

    # --- what must hold

    def promises_hold(self) -> None:
        payment = self.payment
        self._check_waiting(payment)
        self._check_money(payment)
        self._check_position(payment)

    def _check_waiting(self, payment: Payment) -> None:
        """L2: nothing unresolved without a timer; nobody looks at what is closed."""
        if payment.state is not State.MANUAL_REVIEW and payment.hold is None:
            for subject in open_subjects(payment):
                reviewed = isinstance(subject, Operation) and subject.in_review
                assert subject.next_action_at is not None or reviewed, f"forgotten: {subject.id} {self._tale()}"
        for attempt in payment.attempts:
            timer_fits = attempt.state in OPEN_ATTEMPT | {AttemptState.AUTHORIZED} or comparing(attempt) or attempt.id in self.asked
            assert timer_fits or attempt.next_action_at is None, self._tale()
        if payment.state is State.OUTCOME_UNKNOWN:
            unknown = [one for one in open_subjects(payment) if one.state == "UNKNOWN" and one.next_action_at is not None]
            assert unknown, f"nothing is being found out {self._tale()}"
        asking = any(comparing(one) or (one.id in self.asked and one.next_action_at is not None) for one in payment.attempts)
        if payment.state in TERMINAL and not open_subjects(payment) and not asking:
            assert payment.due_at is None, f"at rest and yet woken {self._tale()}"

    def _check_money(self, payment: Payment) -> None:
        assert 0 <= payment.refundable_minor <= payment.captured_minor
        assert payment.capturable_minor >= 0
        if payment.state in (State.FAILED, State.CANCELED):
            assert payment.holding_attempt is None, f"ended, and money is held {self._tale()}"
            assert payment.captured_minor == 0, f"ended, and money was taken {self._tale()}"
        if payment.state is State.AUTHORIZED:
            assert payment.holding_attempt is not None, self._tale()
            assert payment.captured_minor == 0, self._tale()
        if payment.state in (State.CAPTURED, State.PARTIALLY_CAPTURED):
            assert payment.captured_minor > 0, self._tale()

    def _check_position(self, payment: Payment) -> None:
        prepared = [one for one in payment.attempts if one.state is AttemptState.PREPARED]
        if prepared:
            assert payment.state in (State.AUTHORIZING, State.MANUAL_REVIEW), self._tale()
        open_attempts = [one for one in payment.attempts if one.state in OPEN_ATTEMPT]
        assert len(open_attempts) <= 1, self._tale()
        awaiting = (State.AUTHORIZING, State.REQUIRES_ACTION, State.PROVIDER_PENDING)
        assert payment.state not in awaiting or open_attempts, self._tale()
        assert payment.state is not State.ROUTING, self._tale()
        if payment.state in (State.CAPTURING, State.VOIDING):
            kind = OperationKind.CAPTURE if payment.state is State.CAPTURING else OperationKind.VOID
            assert payment.open_operations(kind), f"nothing is under way {self._tale()}"
        decide.allowed(payment)

    # --- steps

    def _tell(self, name: Name, data: Data, to: State) -> None:
        story = Story(self.payment, self.world.desk("operator:ann"))
        story.tell(name, data, to)
        self._keep(story)

    def _command(self, write: Callable[[Story], object]) -> bool:
        story = Story(self.payment, self.world.desk("merchant"))
        try:
            write(story)
        except decide.Refused as refusal:
            if refusal.allowed != decide.allowed(self.payment):
                raise Broken("a refusal that names the wrong choice") from refusal
            return False
        self._keep(story)
        return True

    def _weigh(self, subject_id: str, evidence: Evidence) -> None:
        before = self.payment
        self._keep(weigh(before, subject_id, evidence, self.world.desk("psp")))
        if before.hold is not None:
            assert self.payment.state is before.state, "a held payment moved"

    def _look(self, finding: Finding) -> None:
        for look in proof.looks_due(self.payment, self.world.desk()):
            before = self._subject(look.subject_id)
            match look.means:
                case proof.Means.WAIT:
                    self._keep(nothing_to_ask(self.payment, look.subject_id, self.world.desk()))
                case proof.Means.LOST:
                    self._weigh(look.subject_id, Evidence(source=Source.RESPONSE, finding=LOST, at=self.world.at))
                case proof.Means.REPLAY:
                    assert before.pursuit is None or not before.pursuit.stored, f"it is known what {look} would bring {self._tale()}"
                    found = self.choose((LOST, BROKEN)) if isinstance(finding, (Absent, Released, Unknown)) else finding
                    stored = self.choose((False, True))
                    self._weigh(look.subject_id, Evidence(source=Source.REPLAY, finding=found, at=self.world.at, stored=stored))
                case proof.Means.SEND:
                    found = NOT_SENT if isinstance(finding, (Absent, Released, Unknown)) else finding
                    self._weigh(look.subject_id, Evidence(source=Source.RESPONSE, finding=found, at=self.world.at))
                case proof.Means.COMPLETE if isinstance(before, Attempt) and self._complete(before, {}):
                    pass
                case proof.Means.FENCE if isinstance(before, Attempt) and self._fence(before):
                    self._weigh(look.subject_id, Evidence(source=Source.FENCE, finding=finding, at=self.world.at))
                case proof.Means.FENCE:
                    self._keep(nothing_to_ask(self.payment, look.subject_id, self.world.desk()))
                case proof.Means.INQUIRE | proof.Means.COMPLETE:
                    self._weigh(look.subject_id, Evidence(source=Source.INQUIRY, finding=finding, at=self.world.at))
            after = self._subject(look.subject_id)
            hot = after.next_action_at is not None and after.next_action_at <= self.world.at and after.state == before.state
            ready = isinstance(after, Attempt) and after.ready and isinstance(before, Attempt) and not before.ready
            assert not hot or ready, f"looked at {look} and it is due again at once {self._tale()}"

    def _complete(self, attempt: Attempt, returned: dict[str, str]) -> bool:
        story = Story(self.payment, self.world.desk())
        done = complete(story, attempt, returned)
        self._keep(story)
        return done

    def _fence(self, attempt: Attempt) -> bool:
        payment = self.payment
        legal = not decide.wanted(payment, self.world.desk()) or self.world.at >= attempt.psp_key_safe_until or attempt.fence is not None
        assert legal, f"fenced while it is wanted and may be replayed {self._tale()}"
        assert payment.state is State.OUTCOME_UNKNOWN, self._tale()
        story = Story(payment, self.world.desk())
        made = fence(story, attempt)
        self._keep(story)
        return made is not None

    def _subject(self, subject_id: str) -> Attempt | Operation:
        subjects: list[Attempt | Operation] = [*self.payment.attempts, *self.payment.operations]
        return next(one for one in subjects if one.id == subject_id)

    def _keep(self, story: Story) -> None:
        before = self.payment
        for event, after in zip(story.events, story.after, strict=True):
            self._check_step(before, event, after)
            self.movements += movements(before, after, event)
            before = after
            self._check_movements(after)
        self.payment = self.world.kept(story)

    def _check_movements(self, payment: Payment) -> None:
        """M4: whatever it was that happened, the double entries say what the payment says."""
        sums: Counter[MovementKind] = Counter()
        for one in self.movements:
            sums[one.kind] += one.amount.minor
        of = MovementKind
        assert sums[of.CAPTURE] - sums[of.CAPTURE_REVERSED] == payment.captured_minor, self._tale()
        assert sums[of.REFUND] - sums[of.REFUND_REVERSED] == payment.refunded_minor, self._tale()
        if all(one.amount.currency == payment.intent.amount.currency for one in payment.disputes):
            assert sums[of.CHARGEBACK] - sums[of.CHARGEBACK_REVERSED] == payment.disputed_minor, self._tale()
        assert len({(one.sequence, one.subject_id) for one in self.movements}) == len(self.movements), self._tale()

    def _check_step(self, before: Payment, event: Event, after: Payment) -> None:
        assert after.version == before.version + 1
        if before.state in TERMINAL:
            assert after.state in (before.state, State.MANUAL_REVIEW), self._tale()
        if isinstance(event.data, AttemptOpened):  # I1, I2, I4
            busy = [one for one in before.attempts if one.state in OPEN_ATTEMPT | HOLDING_ATTEMPT]
            assert not busy, f"a second attempt beside {busy}"
            assert event.at < (after.authorize_until or event.at)
            assert not before.cancel_requested
        if (told := getattr(event.data, "evidence", None)) is not None and told.source is Source.FENCE and event.to is not before.state:
            assert event.name is Name.SYNC_BUDGET_EXHAUSTED, self._tale()  # the answer to a fence proves nothing
        if isinstance(event.data, AttemptOpened | Completion):
            assert all(one.fence is None or one.state not in OPEN_ATTEMPT for one in before.attempts), self._tale()
        if isinstance(event.data, Completion):
            attempt = before.attempt(event.data.attempt_id)
            assert attempt.state is AttemptState.ACTION_REQUIRED, self._tale()
            assert not attempt.completing, f"a second call while one has no answer {self._tale()}"
            assert event.at < (after.authorize_until or event.at)
            assert not before.cancel_requested
            assert before.hold is None
            keys = [one.data.psp_key for one in self.world.events if isinstance(one.data, Completion)]
            assert event.data.psp_key not in (*keys, *(one.id for one in after.attempts)), self._tale()
        if isinstance(event.data, OperationOpened) and event.data.operation.origin is not Origin.PROVIDER:  # I3
            if event.data.operation.kind is OperationKind.CAPTURE:
                assert after.captured_minor + after.capture_reserved_minor <= after.authorized_minor, self._tale()
            if event.data.operation.kind is OperationKind.REFUND:
                assert after.refunded_minor + after.refund_reserved_minor <= after.captured_minor, self._tale()
        if before.state is State.OUTCOME_UNKNOWN and after.state is State.FAILED:
            self._check_proof(before, event)
        for dispute in before.disputes:
            then, told = dispute.status, after.dispute(dispute.id).status
            assert told is then or told in DISPUTE_EDGES[then], self._tale()
        for one in before.operations:
            now = after.operation(one.id)
            assert now.amount == one.amount
            if one.state is OperationState.UNKNOWN and now.state is OperationState.FAILED and not isinstance(event.data, Correction):
                evidence = getattr(event.data, "evidence", None)
                assert evidence is not None, "an unknown operation failed without evidence"
                assert not isinstance(evidence.finding, Unknown)

    def _check_proof(self, before: Payment, event: Event) -> None:
        assert isinstance(event.data, AttemptChange)
        evidence = event.data.evidence
        assert evidence is not None
        assert isinstance(evidence.finding, PROOFS[event.name]), self._tale()
        if isinstance(evidence.finding, Pending):
            assert evidence.source is Source.INQUIRY
            assert before.attempt(event.data.attempt_id).completing
        if isinstance(evidence.finding, NotExecuted):
            assert evidence.finding.sent
            assert evidence.source in SAME_BYTES

    def _tale(self) -> str:
        return f"{self.payment.state} after {' '.join(self.world.names[-12:])}"


@given(data=st.data(), steps=st.integers(1, 25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_order_of_events_breaks_a_promise(data: st.DataObject, steps: int) -> None:
    Life(lambda options: data.draw(st.sampled_from(list(options)))).live(steps)


@pytest.mark.parametrize("block", range(10))
def test_many_lives_keep_their_promises(block: int) -> None:
    for seed in range(block * LIVES_PER_BLOCK, (block + 1) * LIVES_PER_BLOCK):
        try:
            Life(random.Random(seed).choice).live(30)
        except Exception as problem:
            problem.add_note(f"in the life of seed {seed}")
            raise
