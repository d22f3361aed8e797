"""Little worlds to decide in: three made-up connectors with different promises, a desk with a clock that tests move, and short ways to say
"the PSP answered this".

    world = World()
    payment = world.pay(capture=CaptureMode.MANUAL)        # created and confirmed: AUTHORIZING at "strong"
    payment = world.answer(payment, Approved())            # its open attempt's call was answered
    world.later(seconds=60)
    payment = world.command(payment, lambda story: decide.capture(story, 500))

A world has one line of life: each step goes on from the payment that the step before gave. Every step is checked: its events can be
stored and read back, and a replay of all of them gives the very same payment. `world.names` is the story so far.
Nothing here knows trio, a store or a real PSP.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from payorch.domain import decide, proof
from payorch.domain.capability import Lookup, Manifest, MethodSupport
from payorch.domain.desk import Desk, Limits, Story, Unbuildable
from payorch.domain.disputes import DisputeReport
from payorch.domain.events import Data, Event, decode, encode
from payorch.domain.evolve import evolve
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import (
    Absent,
    Approved,
    ConnectorDetail,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    Finding,
    NextAction,
    NotExecuted,
    Pending,
    Source,
    Unknown,
)
from payorch.domain.payment import Name, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from payorch.domain.routing import Decision, route
from payorch.domain.rules import asked, draw_of, preferring
from payorch.domain.settled import decode_row, encode_row, testify_row
from payorch.domain.settlement import SettlementRow
from payorch.domain.testimony import Statement, Testimony, weigh_testimony
from payorch.domain.weigh import expire, weigh

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
EUR_20 = Money(2000, "EUR")
ACTION = NextAction(url="https://psp.example/challenge")
CARD = PaymentMethod(type="card", token="tok_1", fingerprint="fp_1")
MINUTE, HOUR, DAY = 60, 3600, 86400

LIMITS = Limits(
    intent_expires_seconds=DAY,
    authorize_seconds=15 * MINUTE,
    authorize_merchant_seconds=6 * HOUR,
    attempts_per_payment=3,
    call_lost_seconds=60,
    action_deadline_seconds=HOUR,
    action_looks_seconds=(60, 300),
    pending_deadline_seconds=2 * DAY,
    pending_looks_seconds=(60, HOUR),
    unknown_looks_seconds=(2, 5, 15, 60, 300, 900, HOUR, 6 * HOUR, DAY),
    unknown_budget_seconds=7 * DAY,
    resync_budget_seconds=HOUR,
    authorization_look_seconds=6 * DAY,
    operation_retry_seconds=(5, 60),
    operation_window_seconds=600,
    inquire_first_seconds=3,
    early_tries=20,
    session_closings=3,
    completions_per_attempt=3,
)

_CURRENCIES = frozenset({"EUR", "JPY"})


def manifest(
    *,
    lookup: Lookup,
    session_cancel: bool = False,
    completes_without_us: bool = True,
    window_seconds: int = DAY,
    able: bool = True,
    key_max_length: int = 64,
    fence: bool = False,
) -> Manifest:
    """A connector's promises, in the terms that matter to the domain. `able`: partial and multiple captures and refunds."""
    return Manifest(
        key_max_length=key_max_length,
        key_charset="abcdefghijklmnopqrstuvwxyz0123456789_",
        key_safe_window_seconds=window_seconds,
        replays_errors=True,
        lookup=lookup,
        lookup_lag_seconds=0 if lookup is Lookup.NONE else 30,
        cancel_by_reference=fence,
        http_429_means_not_executed=True,
        methods={"card": MethodSupport(completes_without_us=completes_without_us)},
        currencies=_CURRENCIES,
        partial_capture=able,
        multiple_captures=able,
        partial_refund=able,
        multiple_refunds=able,
        session_cancel=session_cancel,
    )


MANIFESTS: Mapping[str, Manifest] = {
    "strong": manifest(lookup=Lookup.STRONG, session_cancel=True),
    "eventual": manifest(lookup=Lookup.EVENTUAL, completes_without_us=False, window_seconds=10 * MINUTE),
    "blind": manifest(lookup=Lookup.NONE, window_seconds=10 * MINUTE, able=False),
}
"""strong: knows its books at once and can close a session. eventual: a lagging index, and the shopper alone moves no money. blind: cannot
be asked, captures and refunds once."""


def fail(error_class: ErrorClass, code: str = "code") -> Failure:
    """Why not, in one word."""
    return Failure(error_class=error_class, code=code, message=f"Said no: {error_class}.")


def declined(error_class: ErrorClass) -> Declined:
    """A definitive no of that class."""
    return Declined(failure=fail(error_class))


def rejected(error_class: ErrorClass) -> NotExecuted:
    """The PSP refused the message."""
    return NotExecuted(failure=fail(error_class), sent=True)


NOT_SENT = NotExecuted(failure=fail(ErrorClass.NOT_SENT, "connect"), sent=False)
LOST = Unknown(failure=fail(ErrorClass.UNKNOWN_OUTCOME, "read_timeout"))
BROKEN = Unknown(
    failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="oops", message="-", connector=ConnectorDetail(http_status=500))
)
CHARGED = Approved(captured=True)
CHALLENGE = Pending(action=ACTION)


class Broken(AssertionError):
    """A promise of the domain that did not hold."""


@dataclass(kw_only=True)
class World:
    """A clock, an id counter, connectors, and all events of the one payment that lives here.

    unbuildable: names of connectors, or kinds of operation, for which no call can be built.
    """

    manifests: Mapping[str, Manifest] = field(default_factory=lambda: dict(MANIFESTS))
    preference: tuple[str, ...] = ("strong", "eventual", "blind")
    limits: Limits = LIMITS
    at: datetime = START
    unbuildable: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    replayed: Payment | None = None
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # --- the circumstances

    def desk(self, actor: str = "system", cause: str = "test") -> Desk:
        """The desk at this moment."""
        return Desk(
            at=self.at,
            actor=actor,
            cause=cause,
            limits=self.limits,
            manifests=self.manifests,
            identifier=lambda prefix: f"{prefix}_{next(self.numbers):026d}",
            route=self._route,
            prepare=self._prepare,
            prepare_operation=self._prepare_operation,
            prepare_completion=self._prepare_completion,
            prepare_fence=self._prepare_fence,
        )

    def _route(self, payment: Payment) -> Decision:
        question = asked(payment.intent, merchant_id=payment.merchant_id, draw=draw_of(payment.id), at=self.at)
        return route(question, preferring(*self.preference), self.manifests)

    def later(self, *, seconds: float = 0) -> datetime:
        """Moves the clock on."""
        self.at += timedelta(seconds=seconds)
        return self.at

    @property
    def names(self) -> list[str]:
        """What happened so far, in words."""
        return [str(event.name) for event in self.events]

    # --- the birth

    def create(
        self,
        *,
        capture: CaptureMode = CaptureMode.AUTOMATIC,
        amount: Money = EUR_20,
        connector: str | None = None,
        method: PaymentMethod | None = CARD,
        initiator: Initiator = Initiator.CUSTOMER,
    ) -> Payment:
        """A payment that waits for its confirmation."""
        intent = Intent(amount=amount, capture=capture, method=method, connector=connector, initiator=initiator)
        return self.kept(decide.create("pay_1", "mer_1", intent, self.desk()))

    def pay(
        self, *, capture: CaptureMode = CaptureMode.AUTOMATIC, connector: str | None = None, initiator: Initiator = Initiator.CUSTOMER
    ) -> Payment:
        """A confirmed payment, whose first attempt is on the wire."""
        return self.command(self.create(capture=capture, connector=connector, initiator=initiator), decide.confirm)

    # --- what can happen

    def command(self, payment: Payment, write: Callable[[Story], object]) -> Payment:
        """What the merchant asked for. Raises decide.Refused."""
        story = Story(payment, self.desk("merchant"))
        write(story)
        return self.kept(story)

    def tell(self, payment: Payment, name: Name, data: Data, to: State | None = None) -> Payment:
        """An event that others (an operator, a guard) write."""
        story = Story(payment, self.desk("operator:ann"))
        story.tell(name, data, to)
        return self.kept(story)

    def weigh(self, payment: Payment, subject_id: str, finding: Finding, source: Source = Source.RESPONSE, **more: object) -> Payment:
        """Evidence about that attempt or operation; `more` are further fields of `Evidence`."""
        evidence = Evidence(source=source, finding=finding, at=self.at, **more)  # type: ignore[arg-type]
        return self.kept(weigh(payment, subject_id, evidence, self.desk("psp")))

    def answer(self, payment: Payment, finding: Finding, source: Source = Source.RESPONSE, **more: object) -> Payment:
        """Evidence about the attempt that is open."""
        attempt = payment.open_attempt
        assert attempt is not None
        return self.weigh(payment, attempt.id, finding, source, **more)

    def answer_operation(
        self, payment: Payment, kind: OperationKind, finding: Finding, source: Source = Source.RESPONSE, **more: object
    ) -> Payment:
        """Evidence about the first open operation of that kind."""
        return self.weigh(payment, payment.open_operations(kind)[0].id, finding, source, **more)

    def hear(
        self,
        payment: Payment,
        *said: tuple[str, Finding],
        disputes: tuple[DisputeReport, ...] = (),
        look_at: tuple[str, ...] = (),
        **more: object,
    ) -> Payment:
        """A notice of the PSP came: what it says of which subjects, in order; `more` are further fields of each `Evidence`."""
        statements = tuple(
            Statement(subject_id=subject, evidence=Evidence(source=Source.WEBHOOK, finding=finding, at=self.at, **more))  # type: ignore[arg-type]
            for subject, finding in said
        )
        testimony = Testimony(statements=statements, disputes=disputes, look_at=look_at)
        return self.kept(weigh_testimony(payment, testimony, self.desk("psp:strong", "ntc_1")))

    def book(self, payment: Payment, row: SettlementRow, *, connector: str = "strong") -> Payment:
        """A settlement report of that connector has this line."""
        testimony = testify_row(decode_row(encode_row(row)), payment, connector=connector, at=self.at)
        return self.kept(weigh_testimony(payment, testimony, self.desk(f"psp:{connector}", "ntc_1")))

    def restart(self, payment: Payment) -> Payment:
        """The process came back and found what may have been on the wire without an answer."""
        attempt = payment.open_attempt
        subjects = [attempt.id] if attempt is not None and attempt.state in ("PREPARED", "SENT") else []
        subjects += [one.id for one in payment.operations if one.state in ("REQUESTED", "SENT")]
        for subject in subjects:
            payment = self.weigh(payment, subject, LOST, Source.RESTART)
        return payment

    def expire(self, payment: Payment) -> Payment:
        """The payment's own timer, if it has come."""
        return self.kept(expire(payment, self.desk()))

    def looks(self, payment: Payment) -> dict[str, proof.Means]:
        """The looks that are due now: subject -> means."""
        return {look.subject_id: look.means for look in proof.looks_due(payment, self.desk())}

    def to_next_timer(self, payment: Payment) -> dict[str, proof.Means]:
        """Moves the clock to the next timer and tells which looks are due then."""
        assert payment.due_at is not None, "no timer is set"
        self.at = max(self.at, payment.due_at)
        return self.looks(payment)

    def search(self, payment: Payment, finding: Finding, *, looks: int = 1000) -> Payment:
        """Takes looks as they fall due, each finding `finding` (an inquiry) or nothing new, while the outcome is unknown."""
        for _ in range(looks):
            if payment.state is not State.OUTCOME_UNKNOWN:
                break
            for subject, means in self.to_next_timer(payment).items():
                found, source = (finding, Source.INQUIRY) if means is proof.Means.INQUIRE else (LOST, _SOURCE[means])
                payment = self.weigh(payment, subject, found, source)
        return payment

    # --- inside

    def kept(self, story: Story) -> Payment:
        """Commits a story, as the journal would, and checks what the journal relies on."""
        stored = [decode(name=one.name, at=one.at, actor=one.actor, cause=one.cause, body=encode(one)) for one in story.events]
        if stored != story.events:
            raise Broken("an event does not survive being stored")
        self.events.extend(stored)
        for event in stored:
            self.replayed = evolve(self.replayed, event)
        if self.replayed != story.payment or len(self.events) != story.payment.version:
            raise Broken("a replay of the journal gives another payment")
        if [one.version for one in story.after] != list(range(story.payment.version - len(story.events) + 1, story.payment.version + 1)):
            raise Broken("a version was left out")
        return story.payment

    def _prepare(self, payment: Payment, connector: str, attempt_id: str) -> PreparedCall | Unbuildable:
        if connector in self.unbuildable:
            return Unbuildable(reason=f"{connector} cannot say this")
        return PreparedCall(method="POST", path="/payments", content_type="application/json", body=f'{{"reference":"{attempt_id}"}}')

    def _prepare_completion(self, payment: Payment, attempt: Attempt, returned: Mapping[str, str]) -> PreparedCall | None:
        if "completion" in self.unbuildable:
            return None
        result = returned.get("result", "")
        return PreparedCall(method="POST", path="/completions", body=f'{{"reference":"{attempt.id}","result":"{result}"}}')

    def _prepare_fence(self, attempt: Attempt) -> PreparedCall | None:
        if "fence" in self.unbuildable:
            return None
        return PreparedCall(method="POST", path="/fences", body=f'{{"reference":"{attempt.id}"}}')

    def _prepare_operation(self, payment: Payment, operation: Operation) -> PreparedCall | Unbuildable:
        if operation.kind in self.unbuildable:
            return Unbuildable(reason=f"no {operation.kind} here")
        return PreparedCall(method="POST", path=f"/{operation.kind}s", body=f'{{"reference":"{operation.id}"}}')


_SOURCE = {
    proof.Means.REPLAY: Source.REPLAY,
    proof.Means.WAIT: Source.INQUIRY,
    proof.Means.FENCE: Source.FENCE,
    proof.Means.LOST: Source.RESPONSE,
    proof.Means.SEND: Source.RESPONSE,
}
ABSENT = Absent()
