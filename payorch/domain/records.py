"""The frozen records that a payment is made of: the payment itself, its attempts and its operations.

They hold what is known and a few sums over it. Not here: which state may follow which (`payment`), how an event changes them (`evolve`),
or why (`decide`, `weigh`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field

from payorch.domain.disputes import Dispute, disputed_minor
from payorch.domain.intent import Intent
from payorch.domain.money import Money
from payorch.domain.outcome import Failure, NextAction
from payorch.domain.payment import (
    HOLDING_ATTEMPT,
    ON_THE_WIRE_ATTEMPT,
    ON_THE_WIRE_OPERATION,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    UNCONFIRMED,
    AttemptState,
    OperationState,
    State,
)
from payorch.domain.routing import Decision


class OperationKind(StrEnum):
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


class Origin(StrEnum):
    """Who wanted an operation: the merchant, payorch itself (an automatic void), an operator, or somebody at the PSP."""

    MERCHANT = "merchant"
    SYSTEM = "system"
    OPERATOR = "operator"
    PROVIDER = "provider"


class PreparedCall(Struct, frozen=True, kw_only=True, gc=False):
    """A PSP call as stored before it is sent: the exact method, path (with query), content type and body. Never authentication."""

    method: str
    path: str
    content_type: str | None = None
    body: str = ""


class Pursuit(Struct, frozen=True, kw_only=True, gc=False):
    """How far the search for an outcome has come. `absences`: when the PSP said that it knows of no such thing.

    sent_at: when the answer to the last replay, which may have executed what never arrived, was given up or came. steps: looks taken by the
    schedule. replayed: the last of them was a replay, so that it is a lookup's turn. early: replays and sendings before their time, because
    the PSP answered again: they take no step, and there is a bound. stored: the PSP has said that it keeps a server error under the
    subject's key, which it gives to every replay for as long as the key lives: only a lookup can tell what became of the call.
    budget_seconds: how long the search may take, where an operator asked for a short one; None: as long as any.
    """

    since: datetime
    steps: int = 0
    absences: tuple[datetime, ...] = ()
    sent_at: datetime | None = None
    replayed: bool = False
    early: int = 0
    stored: bool = False
    budget_seconds: int | None = None


class Fence(Struct, frozen=True, kw_only=True, gc=False):
    """A call that was made so that an attempt of unknown outcome can never hold money, under a PSP key of its own."""

    call: PreparedCall
    psp_key: str
    prepared_at: datetime


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One try to authorise at one connector. The PSP knows it by `id` (our reference) and `psp_key` (its idempotency key).

    held_since: when it first held or took money; None while it never did, which a VOIDED one does not tell by its state.
    money_reference: the PSP's id of what holds or took the money, where that is not `psp_reference`.
    completions: how many calls were prepared to finish it after the shopper's action; the last of them is `call`, in place of the first.
    completing: that one has not been answered by "the shopper's turn again", so it may have moved money or still do. ready: the PSP says
    that the shopper has done his part. fence: what keeps it from ever holding money, once that was sent.
    """

    id: str
    connector: str
    state: AttemptState
    amount: Money
    call: PreparedCall
    psp_key: str
    psp_key_safe_until: datetime
    created_at: datetime
    updated_at: datetime
    psp_reference: str | None = None
    action: NextAction | None = None
    failure: Failure | None = None
    expires_at: datetime | None = None
    next_action_at: datetime | None = None
    pursuit: Pursuit | None = None
    held_since: datetime | None = None
    money_reference: str | None = None
    completions: int = 0
    completing: bool = False
    ready: bool = False
    fence: Fence | None = None


class Operation(Struct, frozen=True, kw_only=True, gc=False):
    """One capture, void or refund of what an attempt holds.

    capture_id: of a refund of ours, the capture whose money it gives back; None where the attempt took the money by itself.
    """

    id: str
    kind: OperationKind
    state: OperationState
    origin: Origin
    attempt_id: str
    amount: Money
    created_at: datetime
    updated_at: datetime
    final: bool = True
    call: PreparedCall | None = None
    psp_key: str | None = None
    psp_key_safe_until: datetime | None = None
    psp_reference: str | None = None
    reason: str | None = None
    reference: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
    next_action_at: datetime | None = None
    pursuit: Pursuit | None = None
    in_review: bool = False
    capture_id: str | None = None

    @property
    def on_the_wire(self) -> bool:
        """Whether its call may be under way, as far as is committed. One that waits to be sent again is not: `pursuit` is that wait."""
        return self.state in ON_THE_WIRE_OPERATION and self.pursuit is None

    @property
    def unconfirmed(self) -> bool:
        """Whether it may have taken effect without anybody here knowing."""
        return self.state is OperationState.UNKNOWN or self.on_the_wire


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """A payment set aside: no automatic step and no merchant operation until an operator releases it."""

    reason: str
    since: datetime
    by: str


class CancellationReason(StrEnum):
    MERCHANT = "merchant"
    CUSTOMER = "customer"
    INTENT_EXPIRED = "intent_expired"
    AUTHORIZATION_EXPIRED = "authorization_expired"
    VOIDED = "voided"
    FENCED = "fenced"


class Payment(Struct, frozen=True, kw_only=True, gc=False):
    """All that is known of one payment. Amounts of money are sums over its children, never counters of their own.

    version: how many events it has had. authorize_until: after it nothing may authorise anew. cancel_requested: the merchant wants it
    ended as soon as it can be; cancel_reference, cancel_metadata: what was said with it, for the void that it may lead to. next_action_at:
    the payment's own timer (its children have theirs).
    """

    id: str
    merchant_id: str
    state: State
    version: int
    intent: Intent
    created_at: datetime
    updated_at: datetime
    attempts: tuple[Attempt, ...] = ()
    operations: tuple[Operation, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    decision: Decision | None = None
    authorize_until: datetime | None = None
    cancel_requested: bool = False
    cancel_reference: str | None = None
    cancel_metadata: Mapping[str, str] = field(default_factory=dict)
    hold: Hold | None = None
    failure: Failure | None = None
    cancellation_reason: CancellationReason | None = None
    review_reason: str | None = None
    next_action_at: datetime | None = None

    def attempt(self, attempt_id: str) -> Attempt:
        """That attempt; KeyError where the payment has none of that id."""
        for attempt in self.attempts:
            if attempt.id == attempt_id:
                return attempt
        raise KeyError(attempt_id)

    def operation(self, operation_id: str) -> Operation:
        """That operation; KeyError where the payment has none of that id."""
        operation = self.find_operation(operation_id)
        if operation is None:
            raise KeyError(operation_id)
        return operation

    def find_operation(self, operation_id: str) -> Operation | None:
        """That operation; None where the payment has none of that id."""
        return next((one for one in self.operations if one.id == operation_id), None)

    def dispute(self, dispute_id: str) -> Dispute:
        """That dispute; KeyError where the payment has none of that id."""
        for dispute in self.disputes:
            if dispute.id == dispute_id:
                return dispute
        raise KeyError(dispute_id)

    def operations_on(self, attempt_id: str, kind: OperationKind) -> tuple[Operation, ...]:
        """The operations of that kind on that attempt, in whatever state, oldest first."""
        return tuple(one for one in self.operations if one.kind is kind and one.attempt_id == attempt_id)

    @property
    def open_attempt(self) -> Attempt | None:
        """The one attempt under which money may still move."""
        return next((attempt for attempt in self.attempts if attempt.state in OPEN_ATTEMPT), None)

    @property
    def holding_attempt(self) -> Attempt | None:
        """The attempt that holds or took money."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.state in HOLDING_ATTEMPT), None)

    def open_operations(self, *kinds: OperationKind) -> tuple[Operation, ...]:
        """Operations of these kinds that still reserve their amount."""
        return tuple(one for one in self.operations if one.kind in kinds and one.state in OPEN_OPERATION)

    @property
    def unconfirmed(self) -> bool:
        """Whether money may have moved without anybody here knowing: the state says so, or a call that moves it has no answer yet.

        A void of a hold that is known to be gone moves nothing, whatever its answer will be.
        """
        calling = any(one.state in ON_THE_WIRE_ATTEMPT for one in self.attempts)
        return self.state in UNCONFIRMED or calling or any(self._may_move(one) for one in self.operations)

    def _may_move(self, operation: Operation) -> bool:
        if not operation.on_the_wire or operation.kind is OperationKind.REFUND:
            return False
        return operation.kind is not OperationKind.VOID or self.attempt(operation.attempt_id).state is not AttemptState.VOIDED

    @property
    def authorized_minor(self) -> int:
        """Minor units that were authorised by an attempt that held them, also after a void."""
        held = (one.amount.minor for one in self.attempts if one.state in HOLDING_ATTEMPT or one.held_since is not None)
        return max(held, default=0)

    @property
    def captured_minor(self) -> int:
        """Minor units surely captured, by an automatic capture or by captures of ours or adopted ones."""
        charged = sum(one.amount.minor for one in self.attempts if one.state is AttemptState.CHARGED)
        return charged + self._sum(OperationKind.CAPTURE, frozenset({OperationState.SUCCEEDED}))

    @property
    def refunded_minor(self) -> int:
        """Minor units surely refunded."""
        return self._sum(OperationKind.REFUND, frozenset({OperationState.SUCCEEDED}))

    @property
    def refund_reserved_minor(self) -> int:
        """Minor units of refunds in flight or unknown: not available to another refund."""
        return self._sum(OperationKind.REFUND, OPEN_OPERATION)

    @property
    def capture_reserved_minor(self) -> int:
        """Minor units of captures in flight or unknown."""
        return self._sum(OperationKind.CAPTURE, OPEN_OPERATION)

    @property
    def capturable_minor(self) -> int:
        """Minor units that a capture may still ask for; zero once the capture side is closed, or a final capture is about to close it, and
        for a hold that is to be given back.
        """
        if self.cancel_requested or self.state not in (State.AUTHORIZED, State.CAPTURING, State.PARTIALLY_CAPTURED):
            return 0
        if self.state is State.CAPTURING and self.final_capture_made(OPEN_OPERATION | {OperationState.SUCCEEDED}):
            return 0
        return self.authorized_minor - self.captured_minor - self.capture_reserved_minor

    @property
    def refundable_minor(self) -> int:
        """Minor units that a refund may still ask for: not what is disputed. Never below zero, also where the PSP refunded more than we
        captured.
        """
        return max(0, self.captured_minor - self.refunded_minor - self.refund_reserved_minor - self.disputed_minor)

    @property
    def disputed_minor(self) -> int:
        """Minor units of what was captured that open and lost disputes have taken."""
        return disputed_minor(self.disputes, Money(self.captured_minor, self.intent.amount.currency)) if self.disputes else 0

    def final_capture_made(self, states: frozenset[OperationState]) -> bool:
        """Whether a capture that releases the rest is in one of these states."""
        return any(one.kind is OperationKind.CAPTURE and one.final and one.state in states for one in self.operations)

    @property
    def due_at(self) -> datetime | None:
        """The earliest of the payment's and its children's timers; None while it is set aside, because then nothing is done by itself."""
        if self.hold is not None:
            return None
        own = self.next_action_at
        attempts = (one.next_action_at for one in self.attempts)
        operations = (one.next_action_at for one in self.operations if not one.in_review)
        return min((timer for timer in (own, *attempts, *operations) if timer is not None), default=None)

    def _sum(self, kind: OperationKind, states: frozenset[OperationState]) -> int:
        return sum(one.amount.minor for one in self.operations if one.kind is kind and one.state in states)
