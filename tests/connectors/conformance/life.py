"""One payment's life at a PSP, as the conformance suite leads it: calls in the order that a test wants, and what was heard of each.

    life = born(psp, token="tok_visa", manual=True)
    evidence = await life.authorize()
    taken = await life.capture(700, final=False)          # the operation; `life.last(taken)` is the latest evidence about it
    evidence = await life.found_out(taken)                # after waiting, listening and asking, as the manifest allows

It keeps the records that the connector is shown, moved on by what was heard in the plainest way. Not here: what the domain makes of the
same evidence (its own tests), or what has to be true of it (the tests of this folder).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from connectors.contract import AuthorizeOrder, CompletionOrder, Delivery, Forged, Notice, OperationOrder
from connectors.simulator.challenge import Choice
from payorch.domain import identifiers
from payorch.domain.capability import Lookup, Manifest
from payorch.domain.decide import psp_key
from payorch.domain.disputes import DisputeReport
from payorch.domain.intent import CaptureMode, Customer, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Absent, Approved, Declined, Evidence, NotExecuted, Pending, Released, Source, Unknown
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment, PreparedCall
from tests.connectors.conformance.psp import Psp

EURO: Final = Money(1999, "EUR")
SHOPPER: Final = "planted@shop.example"
WAITS_SECONDS: Final = (0, 10, 600, 3600)
"""How long somebody who wants to know goes on waiting, and asks again after each."""

_PENDING_OPERATION: Final = frozenset({OperationState.SENT, OperationState.PENDING, OperationState.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One delivery, the certificates for it, and when it came."""

    delivery: Delivery
    certificates: tuple[bytes, ...]
    at: datetime


@dataclass(kw_only=True)
class Life:
    """One payment with one attempt."""

    psp: Psp
    intent: Intent
    order: AuthorizeOrder
    payment: Payment
    heard: dict[str, list[Evidence]] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    disputes: list[DisputeReport] = field(default_factory=list)

    @property
    def attempt(self) -> Attempt:
        return self.payment.attempts[0]

    @property
    def manifest(self) -> Manifest:
        return self.psp.connector.manifest

    def subject(self, subject_id: str) -> Attempt | Operation:
        """The attempt or operation as it is known now."""
        return self.attempt if subject_id == self.attempt.id else self.payment.operation(subject_id)

    def last(self, subject_id: str) -> Evidence:
        """What was heard about it last."""
        return self.heard[subject_id][-1]

    # --- calls

    async def authorize(self, **more: Any) -> Evidence:
        """Sends what authorises it."""
        return await self.send(self.attempt.id, self.attempt.call, **more)

    async def pay(self) -> str | None:
        """Charges it, as the platform does: where an automatic capture cannot be reported, by a capture of ours, whose id is given back."""
        await self.authorize()
        assert isinstance((await self.found_out(self.attempt.id)).finding, Approved)
        return None if self.attempt.state is AttemptState.CHARGED else await self.capture(settled=True)

    async def capture(self, minor: int | None = None, *, final: bool = True, settled: bool = False) -> str:
        """Captures that much, or all of it; the operation's id. `settled`: and waits until it is surely done."""
        made = self.operation(OperationKind.CAPTURE, minor, final=final)
        return await self._operate(made, settled=settled)

    async def void(self, *, settled: bool = False) -> str:
        """Gives the hold, or the rest of it, back."""
        return await self._operate(self.operation(OperationKind.VOID), settled=settled)

    async def refund(self, minor: int | None = None, *, reason: str | None = None, of: str | None = None, settled: bool = False) -> str:
        """Gives that much back, or all of it; of the capture with that id, or of the only one that there is."""
        return await self._operate(self.operation(OperationKind.REFUND, minor, reason=reason, of=of), settled=settled)

    async def _operate(self, made: Operation, *, settled: bool) -> str:
        assert made.call is not None
        await self.send(made.id, made.call)
        if settled:
            found = (await self.found_out(made.id)).finding
            assert isinstance(found, Approved), found
        return made.id

    def operation(
        self, kind: OperationKind, minor: int | None = None, *, final: bool = True, reason: str | None = None, of: str | None = None
    ) -> Operation:
        """A new operation with its call, not sent yet. Raises what building it raises."""
        connector, attempt = self.psp.connector, self.attempt
        identifier = _identifier({"capture": "cap", "void": "void", "refund": "ref"}[kind.value], self.psp)
        amount = attempt.amount if minor is None else Money(minor, attempt.amount.currency)
        order = OperationOrder(
            operation_id=identifier,
            payment_id=self.payment.id,
            attempt=attempt,
            leaves_minor=self._left(amount) if kind is OperationKind.CAPTURE else 0,
            amount=None if kind is OperationKind.VOID else amount,
            final=final,
            reason=reason,
            capture=self._captured(of) if kind is OperationKind.REFUND else None,
        )
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        made = Operation(
            id=identifier,
            kind=kind,
            state=OperationState.SENT,
            origin=Origin.MERCHANT,
            attempt_id=attempt.id,
            amount=amount,
            created_at=self.psp.now,
            updated_at=self.psp.now,
            final=final,
            call=build[kind](order),
            psp_key=psp_key(identifier, self.manifest),
            psp_key_safe_until=self.psp.now + timedelta(seconds=self.manifest.key_safe_window_seconds),
            reason=reason,
        )
        assert build[kind](order) == made.call, "a call is built of the same bytes every time"
        self.payment = replace(self.payment, operations=(*self.payment.operations, made))
        return made

    def _left(self, wanted: Money) -> int:
        """What a capture of that much leaves of the hold, as far as is known."""
        made = [one for one in self.payment.operations if one.kind is OperationKind.CAPTURE and one.state is not OperationState.FAILED]
        return max(0, self.attempt.amount.minor - sum(one.amount.minor for one in made) - wanted.minor)

    def _captured(self, of: str | None) -> Operation | None:
        if of is not None:
            return self.payment.operation(of)
        taken = [one for one in self.payment.operations if one.kind is OperationKind.CAPTURE and one.state is OperationState.SUCCEEDED]
        assert len(taken) <= 1, "say of which capture"
        return taken[0] if taken else None

    async def send(
        self, subject_id: str, call: PreparedCall, source: Source = Source.RESPONSE, *, key: str | None = None, **more: Any
    ) -> Evidence:
        """Sends that call about the subject, under the subject's own key where no other is said, and notes what it came to."""
        subject = self.subject(subject_id)
        own = None if source is Source.INQUIRY else subject.psp_key
        evidence = await self.psp.ask(subject, call, source, key=own if key is None else key, **more)
        self.note(subject_id, evidence)
        return evidence

    async def replay(self, subject_id: str, **more: Any) -> Evidence:
        """The same bytes under the same key."""
        call = self.subject(subject_id).call
        assert call is not None
        return await self.send(subject_id, call, Source.REPLAY, **more)

    async def inquire(self, subject_id: str, **more: Any) -> Evidence | None:
        """Asks what became of it; None where the PSP cannot be asked."""
        call = self.psp.connector.inquire(self.subject(subject_id), self.attempt)
        assert call == self.psp.connector.inquire(self.subject(subject_id), self.attempt)
        return None if call is None else await self.send(subject_id, call, Source.INQUIRY, **more)

    async def complete(self, returned: Mapping[str, str], **more: Any) -> Evidence | None:
        """Finishes the attempt with what the shopper brought back; None where the PSP needs no call of ours, or not this way."""
        order = CompletionOrder(payment_id=self.payment.id, attempt=self.attempt, intent=self.intent, returned=returned)
        call = self.psp.connector.complete(order)
        assert call == self.psp.connector.complete(order)
        if call is None:
            return None
        key = psp_key(f"{self.attempt.id}c", self.manifest)
        return await self.send(self.attempt.id, call, key=key, **more)

    async def finish(self, choice: Choice) -> Evidence:
        """The shopper does that at the PSP's page and comes back, and the attempt is finished as far as it can be."""
        pending = self.last(self.attempt.id).finding
        assert isinstance(pending, Pending)
        assert pending.action is not None
        returned = await self.psp.shopper(pending.action, choice)
        if await self.complete(returned) is not None:
            return await self.found_out(self.attempt.id)
        evidence = await self.found_out(self.attempt.id)
        if isinstance(evidence.finding, Pending) and evidence.finding.ready:
            assert await self.complete({}) is not None, "the PSP waits for a call of ours"
            evidence = await self.found_out(self.attempt.id)
        return evidence

    # --- hearing

    async def found_out(self, subject_id: str) -> Evidence:
        """What became of it, once somebody knows or waiting is of no more use: by what was heard, the PSP's notices, and inquiries.

        Nothing is sent again here: whether it was executed is not changed by finding out.
        """
        for seconds in WAITS_SECONDS:
            self.psp.later(seconds)
            await self.listen()
            if not is_open(self.last(subject_id)):
                return self.last(subject_id)
            await self.inquire(subject_id)
            if not is_open(self.last(subject_id)):
                return self.last(subject_id)
        return self.last(subject_id)

    async def listen(self) -> list[Notice]:
        """Takes in all that the PSP has posted, and asks where a notice says that it should be asked."""
        fresh: list[Notice] = []
        for delivery in await self.psp.deliveries():
            certificates = await self.psp.certificates(delivery)
            self.told.append(Told(delivery=delivery, certificates=certificates, at=self.psp.now))
            received = self.psp.connector.receive(delivery, secrets=(self.psp.secret,), at=self.psp.now, certificates=certificates)
            assert not isinstance(received, Forged), received
            fresh += received
        for notice in fresh:
            await self._hear(notice)
        self.notices += fresh
        return fresh

    async def _hear(self, notice: Notice) -> None:
        testimony = self.psp.connector.testify(notice.content, self.payment, at=self.psp.now)
        for statement in testimony.statements:
            assert statement.evidence.source is Source.WEBHOOK
            self.note(statement.subject_id, statement.evidence)
        self.disputes += testimony.disputes
        for subject_id in testimony.look_at:
            await self.inquire(subject_id)

    def note(self, subject_id: str, evidence: Evidence) -> None:
        """Keeps it, and moves the record on."""
        subject = self.subject(subject_id)
        step_back = evidence.source is Source.WEBHOOK and (self._is_known(subject_id, evidence) or _leads_back(subject, evidence))
        named = subject.psp_reference or evidence.psp_reference
        if isinstance(subject, Attempt):
            moved: Attempt | Operation = replace(
                subject, psp_reference=named, money_reference=evidence.money_reference or subject.money_reference
            )
        else:
            moved = replace(subject, psp_reference=named)
        if not step_back:
            self.heard.setdefault(subject_id, []).append(evidence)
            moved = _moved_on(moved, evidence)
        self._keep(moved)

    def _is_known(self, subject_id: str, evidence: Evidence) -> bool:
        """Whether an answer has said no before, and better: a notice often does not say why."""
        known = self.heard.get(subject_id)
        return known is not None and isinstance(known[-1].finding, Declined) and isinstance(evidence.finding, Declined)

    def _keep(self, one: Attempt | Operation) -> None:
        if isinstance(one, Attempt):
            self.payment = replace(self.payment, attempts=(one,))
        else:
            others = tuple(one if known.id == one.id else known for known in self.payment.operations)
            self.payment = replace(self.payment, operations=others)
        closed = self.attempt.state is AttemptState.CHARGED or self.payment.final_capture_made(frozenset({OperationState.SUCCEEDED}))
        self.payment = replace(self.payment, state=State.CAPTURED if closed else State.AUTHORIZED)


def born(
    psp: Psp,
    *,
    token: str | None = "tok_visa",
    method: str = "card",
    manual: bool = True,
    amount: Money = EURO,
    initiator: Initiator = Initiator.CUSTOMER,
    options: Mapping[str, object] | None = None,
    step_up: bool = False,
) -> Life:
    """A payment about to be authorised."""
    connector, manifest = psp.connector, psp.connector.manifest
    paid_with = PaymentMethod(type=method, token=token, brand="visa" if token else None, country="DE")
    intent = wish(paid_with, manual=manual, amount=amount, initiator=initiator, options={psp.name: options} if options else {})
    attempt_id, payment_id = _identifier("att", psp), _identifier("pay", psp)
    back = f"https://pay.example/v1/payments/{payment_id}/return?attempt={attempt_id}&signature=c2lnbmVk"
    order = AuthorizeOrder(attempt_id=attempt_id, payment_id=payment_id, intent=intent, return_url=back, step_up=step_up)
    call = connector.authorize(order)
    assert connector.authorize(order) == call, "a call is built of the same bytes every time"
    attempt = Attempt(
        id=attempt_id,
        connector=psp.name,
        state=AttemptState.SENT,
        amount=amount,
        call=call,
        psp_key=psp_key(attempt_id, manifest),
        psp_key_safe_until=psp.now + timedelta(seconds=manifest.key_safe_window_seconds),
        created_at=psp.now,
        updated_at=psp.now,
    )
    payment = Payment(
        id=payment_id,
        merchant_id="mer_1",
        state=State.AUTHORIZING,
        version=1,
        intent=intent,
        created_at=psp.now,
        updated_at=psp.now,
        attempts=(attempt,),
    )
    return Life(psp=psp, intent=intent, order=order, payment=payment)


def wish(
    method: PaymentMethod | None,
    *,
    manual: bool = True,
    amount: Money = EURO,
    initiator: Initiator = Initiator.CUSTOMER,
    options: Mapping[str, Mapping[str, object]] | None = None,
) -> Intent:
    """What a merchant asks for, everything said that can be said."""
    return Intent(
        amount=amount,
        capture=CaptureMode.MANUAL if manual else CaptureMode.AUTOMATIC,
        method=method,
        reference="order-1001",
        customer=Customer(reference="c-77", country="DE", email=SHOPPER),
        return_url="https://shop.example/return",
        initiator=initiator,
        connector_options=options or {},
        metadata={"cart": "9"},
    )


def is_open(evidence: Evidence) -> bool:
    """Whether it does not say yet what became of its subject. An absence does, at that moment and as far as the manifest says."""
    match evidence.finding:
        case Pending(ready=True):
            return False
        case Pending() | Unknown() | Absent():
            return True
        case _:
            return False


def can_be_asked(life: Life) -> bool:
    """Whether its PSP has an inquiry at all."""
    return life.manifest.lookup is not Lookup.NONE


def _leads_back(subject: Attempt | Operation, evidence: Evidence) -> bool:
    """Whether it tells of a step of the way that is behind us."""
    return isinstance(evidence.finding, (Pending, Unknown)) and not _may_wait(subject)


def _may_wait(subject: Attempt | Operation) -> bool:
    if isinstance(subject, Operation):
        return subject.state in _PENDING_OPERATION
    return subject.state in (AttemptState.SENT, AttemptState.ACTION_REQUIRED, AttemptState.PENDING, AttemptState.UNKNOWN)


def _moved_on(one: Attempt | Operation, evidence: Evidence) -> Attempt | Operation:
    finding = evidence.finding
    if isinstance(one, Operation):
        match finding:
            case Approved():
                return replace(one, state=OperationState.SUCCEEDED)
            case Pending():
                return replace(one, state=OperationState.PENDING)
            case Unknown():
                return replace(one, state=OperationState.UNKNOWN) if one.state in _PENDING_OPERATION else one
            case Declined() | NotExecuted():
                was = one.state is OperationState.SUCCEEDED
                return replace(one, state=OperationState.REVERSED if was else OperationState.FAILED)
            case _:
                return one
    match finding:
        case Approved(captured=captured):
            state = AttemptState.CHARGED if captured and one.state is not AttemptState.AUTHORIZED else one.state
            state = AttemptState.AUTHORIZED if not captured and one.state is not AttemptState.CHARGED else state
            return replace(one, state=state, held_since=one.held_since or evidence.at)
        case Pending(action=None):
            return replace(one, state=AttemptState.PENDING)
        case Pending(action=action):
            return replace(one, state=AttemptState.ACTION_REQUIRED, action=action)
        case Declined():
            return replace(one, state=AttemptState.DECLINED) if _may_wait(one) else one
        case NotExecuted(sent=sent):
            return replace(one, state=AttemptState.REJECTED if sent else AttemptState.NOT_SENT) if _may_wait(one) else one
        case Released():
            return replace(one, state=AttemptState.VOIDED)
        case Unknown():
            return replace(one, state=AttemptState.UNKNOWN) if _may_wait(one) else one
        case _:
            return one


def _identifier(prefix: str, psp: Psp) -> str:
    return identifiers.of_name(prefix, f"{psp.name} {psp.number()}")
