"""What a decision may know beyond the payment: the moment, who acts and why, the limits, the connectors' promises, and how to make ids
and calls. All of it is passed in, so that decisions stay pure: the same desk and the same payment give the same events.

`Story` is the pen: it writes events one after the other and shows the payment as it stands after each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from payorch.domain.capability import Manifest
from payorch.domain.events import AttemptChange, Data, Event, OperationChange
from payorch.domain.evolve import evolve
from payorch.domain.outcome import Evidence, Failure
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall, Pursuit
from payorch.domain.routing import Decision


class Limits(Struct, frozen=True, kw_only=True):
    """Every waiting time of a payment's life, in seconds. The reasons for the values stand in config/payorch.toml."""

    intent_expires_seconds: int
    authorize_seconds: int
    authorize_merchant_seconds: int
    attempts_per_payment: int
    call_lost_seconds: int
    action_deadline_seconds: int
    action_looks_seconds: tuple[int, ...]
    pending_deadline_seconds: int
    pending_looks_seconds: tuple[int, ...]
    unknown_looks_seconds: tuple[int, ...]
    unknown_budget_seconds: int
    resync_budget_seconds: int
    authorization_look_seconds: int
    operation_retry_seconds: tuple[int, ...]
    operation_window_seconds: int
    inquire_first_seconds: float
    early_tries: int
    session_closings: int
    completions_per_attempt: int


class Unbuildable(Struct, frozen=True, kw_only=True):
    """A connector cannot express this call; `reason` in words. Nothing was sent."""

    reason: str


def _exactly(seconds: float) -> float:
    return seconds


def _no_obstacle(payment: Payment) -> str | None:
    return None


class Desk(Struct, frozen=True, kw_only=True):
    """The circumstances of one decision. `identifier("att")` makes a new id; the `prepare` functions build the exact PSP call.

    prepare_completion: the call that finishes an attempt after the shopper's action, from what his browser brought back; None where the PSP
    needs none or what it takes is not there. prepare_fence: the call that fences an attempt off by our reference; None where there is none.

    jitter: makes of a schedule's interval the wait that is used, never longer (`spread` with a throw of the dice; exact where not given).
    blocked, spent: why the payment's card is not to be tried at all, or not again after one more decline; None where it may be.
    unsure_before: until then calls may have been under way of which nothing was written down, a replay for instance, by whoever acted for
    this payment before a crash; None where nobody did.
    """

    at: datetime
    actor: str
    cause: str
    limits: Limits
    manifests: Mapping[str, Manifest]
    identifier: Callable[[str], str]
    route: Callable[[Payment], Decision]
    prepare: Callable[[Payment, str, str], PreparedCall | Unbuildable]
    prepare_operation: Callable[[Payment, Operation], PreparedCall | Unbuildable]
    prepare_completion: Callable[[Payment, Attempt, Mapping[str, str]], PreparedCall | None]
    prepare_fence: Callable[[Attempt], PreparedCall | None]
    jitter: Callable[[float], float] = _exactly
    blocked: Callable[[Payment], str | None] = _no_obstacle
    spent: Callable[[Payment], str | None] = _no_obstacle
    unsure_before: datetime | None = None

    def look_at(self, looks_seconds: tuple[int, ...], steps: int) -> datetime:
        """When to look again after `steps` looks: within the schedule's entry from now, its last one for ever after."""
        seconds = self.jitter(looks_seconds[min(steps, len(looks_seconds) - 1)])
        return self.at + timedelta(milliseconds=int(seconds * 1000))

    def after(self, seconds: int) -> datetime:
        """The moment that many seconds from now."""
        return self.at + timedelta(seconds=seconds)


class Story:
    """Events being written. `payment` always stands after the last of them; `after[i]` is the payment as event i left it."""

    def __init__(self, payment: Payment, desk: Desk) -> None:
        self.payment = payment
        self.desk = desk
        self.events: list[Event] = []
        self.after: list[Payment] = []

    def tell(self, name: Name, data: Data, to: State | None = None) -> None:
        """Adds an event that leads to `to` (None: the state stays). Raises IllegalTransition."""
        event = Event(
            name=name,
            to=self.payment.state if to is None else to,
            at=self.desk.at,
            actor=self.desk.actor,
            cause=self.desk.cause,
            data=data,
        )
        self.payment = evolve(self.payment, event)
        self.events.append(event)
        self.after.append(self.payment)

    def go_on(self, part: Story) -> None:
        """Adds the events of another story, which began where this one stands."""
        self.payment = part.payment
        self.events += part.events
        self.after += part.after

    def attempt(
        self,
        name: Name,
        attempt: Attempt,
        state: AttemptState,
        *,
        to: State | None = None,
        evidence: Evidence | None = None,
        next_action_at: datetime | None = None,
        pursuit: Pursuit | None = None,
        failure: Failure | None = None,
        reason: str | None = None,
    ) -> None:
        """Adds an event about an attempt; its timer and search become what is said here."""
        change = AttemptChange(
            attempt_id=attempt.id,
            state=state,
            evidence=evidence,
            next_action_at=next_action_at,
            pursuit=pursuit,
            failure=failure,
            reason=reason,
        )
        self.tell(name, change, to)

    def operation(
        self,
        name: Name,
        operation: Operation,
        state: OperationState,
        *,
        to: State | None = None,
        evidence: Evidence | None = None,
        next_action_at: datetime | None = None,
        pursuit: Pursuit | None = None,
        failure: Failure | None = None,
        attempt_state: AttemptState | None = None,
        in_review: bool = False,
        reason: str | None = None,
    ) -> None:
        """Adds an event about an operation; its timer and search become what is said here."""
        change = OperationChange(
            operation_id=operation.id,
            state=state,
            evidence=evidence,
            next_action_at=next_action_at,
            pursuit=pursuit,
            failure=failure,
            attempt_state=attempt_state,
            in_review=in_review,
            reason=reason,
        )
        self.tell(name, change, to)


def spread(seconds: float, fraction: float) -> float:
    """The wait for an interval of a schedule, by a throw in [0, 1): anywhere in its second half.

    A schedule's entries are at least twice as long as the one before, so this parts a crowd that failed together as widely as an interval
    allows. Not from zero on: the first half belongs to the look before, and asking a PSP again after a moment, before its index can have
    changed, would only use the step up. Never longer than the interval: what is promised as "looked at within" stays so.
    """
    return seconds * (1 + fraction) / 2
