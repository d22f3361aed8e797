"""Payments for the tests of the store: steps that go through the real state machine, and the connections to write them over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from payorch.domain import events as e
from payorch.domain import identifiers
from payorch.domain.disputes import Dispute, DisputeStage, DisputeStatus
from payorch.domain.evolve import evolve
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.movements import Movement, movements
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Failure, NextAction, Pending, Source
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import Attempt, Fence, Operation, OperationKind, Origin, Payment, PreparedCall
from payorch.domain.routing import Decision
from payorch.store.driver import Connection, Session
from payorch.store.items import Answer, Append, Claim, OutboxRow
from payorch.store.journal import WRITER_SESSION, Journal

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WRITER = UUID("0190aabb-ccdd-7000-8000-0000000000aa")
MERCHANT = identifiers.text("mer", UUID("0190aabb-ccdd-7000-8000-000000000001"))
OTHER_MERCHANT = identifiers.text("mer", UUID("0190aabb-ccdd-7000-8000-000000000002"))

_numbers: Iterator[int] = count(1)


def new_id(prefix: str, at: datetime = START) -> str:
    """An identifier as if made at that moment; never the same twice in one run."""
    return identifiers.text(prefix, UUID(int=identifiers.earliest(at).int | 0x7 << 76 | 0x2 << 62 | next(_numbers)))


def new_journal(conninfo: str, *, writer: UUID = WRITER, connection_class: type[Connection] = Connection) -> Journal:
    """A journal on that database with short pauses, not opened yet."""

    async def connect() -> Connection:
        return await connection_class.connect(conninfo, session=WRITER_SESSION)

    return Journal(connect, writer=writer, first_pause_seconds=0.01, longest_pause_seconds=0.1)


@asynccontextmanager
async def journal_on(conninfo: str, *, writer: UUID = WRITER, connection_class: type[Connection] = Connection) -> AsyncIterator[Journal]:
    """An open journal."""
    journal = new_journal(conninfo, writer=writer, connection_class=connection_class)
    try:
        await journal.open()
        yield journal
    finally:
        await journal.aclose()


@asynccontextmanager
async def connected(conninfo: str, session: Session | None = None) -> AsyncIterator[Connection]:
    """A connection for looking at what was written."""
    connection = await Connection.connect(conninfo, session=session)
    try:
        yield connection
    finally:
        await connection.close()


async def rows_of(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return await (await connection.execute(query)).fetchall()


@dataclass(kw_only=True)
class Story:
    """One payment's life, step by step. Each step returns the Append that would write it, and goes on as if it had been written."""

    merchant_id: str = MERCHANT
    minor: int = 1999
    currency: str = "EUR"
    connector: str = "psp_one"
    reference: str | None = None
    capture: CaptureMode = CaptureMode.MANUAL
    at: datetime = START
    payment_id: str = ""
    payment: Payment | None = None
    happened: list[e.Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.payment_id = self.payment_id or new_id("pay", self.at)

    @property
    def now(self) -> Payment:
        assert self.payment is not None
        return self.payment

    @property
    def attempt(self) -> Attempt:
        return self.now.attempts[-1]

    def step(
        self,
        *happened: tuple[Name, State, e.Data],
        claim: Claim | None = None,
        answer: Answer | None = None,
        outbox: tuple[OutboxRow, ...] = (),
        actor: str = "merchant",
    ) -> Append:
        """The step of these events; what they changed is found by comparing."""
        before = self.payment
        new = [e.Event(name=name, to=to, at=self.at, actor=actor, cause="req_1", data=data) for name, to, data in happened]
        moved: list[Movement] = []
        for event in new:
            last, self.payment = self.payment, evolve(self.payment, event)
            moved += movements(last, self.payment, event)
        self.happened += new
        self.at += timedelta(milliseconds=7)
        old = () if before is None else (*before.attempts, *before.operations)
        return Append(
            payment=self.now,
            expected_version=0 if before is None else before.version,
            events=tuple(new),
            attempts=tuple(one for one in self.now.attempts if one not in old),
            operations=tuple(one for one in self.now.operations if one not in old),
            disputes=tuple(one for one in self.now.disputes if before is None or one not in before.disputes),
            movements=tuple(moved),
            claim=claim,
            answer=answer,
            outbox=outbox,
        )

    def claim(self, key: str = "key-1", request_id: str = "req_1") -> Claim:
        return Claim(
            merchant_id=self.merchant_id,
            key=key,
            fingerprint=b"f" * 32,
            method_path="POST /v1/payments",
            payment_id=self.payment_id,
            request_id=request_id,
            created_at=self.at,
        )

    def answer(self, key: str = "key-1", status: int = 201, body: bytes = b'{"a":1}') -> Answer:
        return Answer(merchant_id=self.merchant_id, key=key, status=status, body=body, at=self.at)

    def outbox(self, sequence: int, type_: str = "payment.authorized") -> OutboxRow:
        return OutboxRow(event_id=new_id("evt", self.at), sequence=sequence, type=type_, body=b'{"sequence":%d}' % sequence)

    def created(self, claim: Claim | None = None, answer: Answer | None = None) -> Append:
        return self.step(self.birth(), claim=claim, answer=answer)

    def birth(self) -> tuple[Name, State, e.Data]:
        intent = Intent(
            amount=Money(self.minor, self.currency),
            capture=self.capture,
            method=PaymentMethod(type="card", token="tok_visa"),
            reference=self.reference,
        )
        made = e.Created(payment_id=self.payment_id, merchant_id=self.merchant_id, intent=intent, expires_at=self.at + timedelta(hours=1))
        return Name.PAYMENT_CREATED, State.CREATED, made

    def confirmation(self) -> tuple[Name, State, e.Data]:
        method = PaymentMethod(type="card", token="tok_visa")
        until = self.at + timedelta(minutes=15)
        return Name.CONFIRMED, State.ROUTING, e.Confirmation(method=method, return_url=None, authorize_until=until)

    def new_attempt(self, *, minor: int | None = None, psp_key: str | None = None) -> Attempt:
        attempt_id = new_id("att", self.at)
        return Attempt(
            id=attempt_id,
            connector=self.connector,
            state=AttemptState.PREPARED,
            amount=Money(self.minor if minor is None else minor, self.currency),
            call=PreparedCall(
                method="POST", path="/v1/payment_intents", content_type="application/json", body='{"amount": 1999, "ü": "\\u0000"}'
            ),
            psp_key=psp_key or attempt_id,
            psp_key_safe_until=self.at + timedelta(hours=24),
            created_at=self.at,
            updated_at=self.at,
            next_action_at=self.at + timedelta(seconds=30),
        )

    def preparation(self, attempt: Attempt | None = None) -> tuple[Name, State, e.Data]:
        return Name.ATTEMPT_PREPARED, State.AUTHORIZING, e.AttemptOpened(attempt=attempt or self.new_attempt())

    def sent(self, claim: Claim | None = None, attempt: Attempt | None = None) -> Append:
        """Commit 1 of an authorisation: created, confirmed, routed, attempt prepared."""
        return self.step(
            self.birth(),
            self.confirmation(),
            (Name.ROUTED, State.ROUTING, e.Choice(decision=Decision(order=(self.connector,), rule="default", version="v1"))),
            self.preparation(attempt),
            claim=claim,
        )

    def evidence(self, finding: Approved | Declined) -> Evidence:
        return Evidence(source=Source.RESPONSE, finding=finding, at=self.at, psp_reference=f"pi_{self.payment_id[-8:]}", latency_ms=12)

    def authorized(self, answer: Answer | None = None, outbox: tuple[OutboxRow, ...] = ()) -> Append:
        """Commit 2: the PSP holds the money."""
        change = e.AttemptChange(attempt_id=self.attempt.id, state=AttemptState.AUTHORIZED, evidence=self.evidence(Approved()))
        return self.step((Name.PROVIDER_AUTHORIZED, State.AUTHORIZED, change), answer=answer, outbox=outbox)

    def wants_action(self) -> Append:
        """Commit 2: the shopper's turn."""
        action = NextAction(url="https://psp.example/challenge")
        evidence = Evidence(source=Source.RESPONSE, finding=Pending(action=action), at=self.at, psp_reference="pi_1", money_reference="m_1")
        change = e.AttemptChange(attempt_id=self.attempt.id, state=AttemptState.ACTION_REQUIRED, evidence=evidence, next_action_at=self.at)
        return self.step((Name.PROVIDER_ACTION_REQUIRED, State.REQUIRES_ACTION, change))

    def completed(self) -> Append:
        """Commit 3: the call that finishes it."""
        call = PreparedCall(method="POST", path="/v1/finish", content_type="application/json", body="{}")
        safe, timer = self.at + timedelta(hours=48), self.at + timedelta(seconds=30)
        completion = e.Completion(
            attempt_id=self.attempt.id, call=call, psp_key=f"{self.attempt.id}_2", psp_key_safe_until=safe, next_action_at=timer
        )
        return self.step((Name.ACTION_RETURNED, State.AUTHORIZING, completion))

    def fenced(self) -> Append:
        """The call that keeps it from ever holding money."""
        call = PreparedCall(method="POST", path="/cancels", body="{}")
        fence = Fence(call=call, psp_key=f"{self.attempt.id}_fence", prepared_at=self.at)
        return self.step((Name.FENCE_PREPARED, self.now.state, e.FenceOpened(attempt_id=self.attempt.id, fence=fence)))

    def decline(self) -> tuple[Name, State, e.Data]:
        failure = Failure(error_class=ErrorClass.SOFT_TRY_OTHER, code="declined", message="no")
        change = e.AttemptChange(attempt_id=self.attempt.id, state=AttemptState.DECLINED, evidence=self.evidence(Declined(failure=failure)))
        return Name.DECLINED_RETRIABLE, State.ROUTING, change

    def operation(self, kind: OperationKind, minor: int, *, origin: Origin = Origin.MERCHANT) -> Operation:
        prefix = {OperationKind.CAPTURE: "cap", OperationKind.VOID: "void", OperationKind.REFUND: "ref"}[kind]
        return Operation(
            id=new_id(prefix, self.at),
            kind=kind,
            state=OperationState.SUCCEEDED if origin is Origin.PROVIDER else OperationState.REQUESTED,
            origin=origin,
            attempt_id=self.attempt.id,
            amount=Money(minor, self.currency),
            created_at=self.at,
            updated_at=self.at,
            reference="because",
        )

    def capture_requested(self, minor: int) -> Append:
        opened = e.OperationOpened(operation=self.operation(OperationKind.CAPTURE, minor))
        return self.step((Name.CAPTURE_REQUESTED, State.CAPTURING, opened))

    def captured(self) -> Append:
        change = e.OperationChange(
            operation_id=self.now.operations[-1].id, state=OperationState.SUCCEEDED, evidence=self.evidence(Approved())
        )
        return self.step((Name.CAPTURE_SUCCEEDED, State.CAPTURED, change))

    def refund_requested(self, minor: int) -> Append:
        opened = e.OperationOpened(operation=self.operation(OperationKind.REFUND, minor))
        return self.step((Name.REFUND_REQUESTED, self.now.state, opened))

    def refund_adopted(self, minor: int) -> Append:
        opened = e.OperationOpened(operation=self.operation(OperationKind.REFUND, minor, origin=Origin.PROVIDER))
        return self.step((Name.OPERATION_ADOPTED, self.now.state, opened))

    def disputed(self, minor: int, **changes: Any) -> Append:
        """The shopper's bank disputes that much of the last attempt; `changes` of any field of the dispute."""
        opened = Dispute(
            id=new_id("dsp", self.at), attempt_id=self.attempt.id, psp_reference="dp_1", stage=DisputeStage.DISPUTE,
            status=DisputeStatus.OPENED, amount=Money(minor, self.currency), created_at=self.at, updated_at=self.at,
        )  # fmt: skip
        return self.step((Name.DISPUTE_OPENED, self.now.state, e.DisputeOpened(dispute=replace(opened, **changes))))

    def dispute_told(self, **changes: Any) -> Append:
        """Something about the last dispute is otherwise from now on."""
        change = e.DisputeChange(dispute=replace(self.now.disputes[-1], **changes))
        return self.step((Name.DISPUTE_UPDATED, self.now.state, change))

    def noted(self, detail: str = "x") -> Append:
        """A fact that changes nothing but the version."""
        return self.step((Name.DISCREPANCY_RAISED, self.now.state, e.Discrepancy(kind="note", detail=detail)))
