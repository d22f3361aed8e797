"""What operators do to a payment, beside its merchant: ask its PSP again, capture, void and refund, let a payment go that was set aside.

Each is a function on a story, as the merchants' commands are (`decide`), and raises the same `Refused`. `options` is a dry run of all of
them: what a person may do with this payment now, and what stands against the rest.

    resync     also in MANUAL_REVIEW: a fresh and short search; else a question to the PSP that moves nothing (`to_ask` says about what)
    capture, void, refund     as a merchant's, with an operator as their origin; a payment that was set aside is released with it, because
               what the PSP answers could not be taken in otherwise. In MANUAL_REVIEW only refunds: what else it needs is `resolving`
    release    the payment goes on, with the timers that it had

How many people each takes is said here too (`people`): what changes the truth about money without a PSP's word always takes two.

Pure. Not here: what people find to be true (`resolving`), plans and acts (`acts`, `payorch.operations.payments`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from payorch.domain import decide
from payorch.domain.acts import ActName
from payorch.domain.capability import Lookup
from payorch.domain.compare import comparable
from payorch.domain.decide import Refused
from payorch.domain.desk import Desk, Story
from payorch.domain.events import HoldEnded, Resync
from payorch.domain.money import Money
from payorch.domain.payment import (
    ON_THE_WIRE_ATTEMPT,
    OPEN_ATTEMPT,
    OPEN_OPERATION,
    Name,
    OperationState,
    State,
)
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment, Pursuit
from payorch.domain.resolving import OPERATION_TARGETS, TARGETS, Word, attempts_meant, resolve

_TRIAL: Final = Word(requester="requester", approver="approver", reason="dry run", evidence="dry run")


class Option(Struct, frozen=True, kw_only=True):
    """One act on a payment: whether it may be done now, and if not, why not.

    targets: what it may be resolved to, and which of its operations to what, as `SUCCEEDED of ref_...`. amount: what it would move, where
    nothing else is said; None for what moves nothing.
    """

    action: ActName
    why_not: str | None = None
    targets: tuple[str, ...] = ()
    amount: Money | None = None

    @property
    def allowed(self) -> bool:
        """Whether it may be done."""
        return self.why_not is None


# --- asking again -----------------------------------------------------------------------------------------------------------------------


def resync(story: Story, reason: str) -> None:
    """Searches anew for what people have before them; tells nothing where a question to the PSP is enough (`to_ask`). Raises Refused."""
    payment, desk = story.payment, story.desk
    if payment.hold is not None:
        raise Refused("operation_not_allowed", "The payment is set aside: release it first, and it is looked at by itself.")
    if payment.state is State.MANUAL_REVIEW:
        _search_again(story, reason)
    for operation in story.payment.operations:
        if operation.in_review and operation.state in OPEN_OPERATION:
            fresh = Pursuit(since=desk.at, budget_seconds=desk.limits.resync_budget_seconds)
            story.operation(
                Name.EVIDENCE_RECORDED,
                operation,
                operation.state,
                next_action_at=desk.at,
                pursuit=fresh,
                reason=f"looked for again: {reason}",
            )
    if not story.events and not to_ask(payment, desk):
        raise Refused("operation_not_allowed", _nothing_to_ask(payment))


def _search_again(story: Story, reason: str) -> None:
    """From MANUAL_REVIEW, where something is open: a search as if the outcome had just been lost."""
    payment, desk = story.payment, story.desk
    attempt = payment.open_attempt
    movers = payment.open_operations(OperationKind.CAPTURE, OperationKind.VOID)
    if attempt is None and not movers:
        return
    operation = next((one for one in movers if one.state is OperationState.UNKNOWN), movers[0] if movers else None)
    again = Resync(
        attempt_id=None if attempt is None else attempt.id, operation_id=None if operation is None else operation.id, reason=reason,
        next_action_at=desk.at, budget_seconds=desk.limits.resync_budget_seconds,
    )  # fmt: skip
    story.tell(Name.RESYNC_REQUESTED, again, State.OUTCOME_UNKNOWN)


def to_ask(payment: Payment, desk: Desk) -> tuple[str, ...]:
    """What the PSP would be asked about by an operator's word: what is open, and where nothing is, what holds or took the money."""
    if payment.hold is not None:
        return ()
    opened: list[Attempt | Operation] = [
        one for one in payment.attempts if one.state in OPEN_ATTEMPT and one.state not in ON_THE_WIRE_ATTEMPT and _answers(one, desk)
    ]
    waiting = (OperationState.UNKNOWN, OperationState.PENDING)
    opened += [one for one in payment.operations if one.state in waiting and _answers(payment.attempt(one.attempt_id), desk)]
    settled = [one for one in payment.attempts if comparable(one) and one.psp_reference is not None and _answers(one, desk)]
    calling = any(one.state in ON_THE_WIRE_ATTEMPT for one in payment.attempts)
    return tuple([one.id for one in opened] or [one.id for one in settled[-1:] if not calling])


def _answers(attempt: Attempt, desk: Desk) -> bool:
    return desk.manifests[attempt.connector].lookup is not Lookup.NONE


def _nothing_to_ask(payment: Payment) -> str:
    if not payment.attempts:
        return "No PSP has heard of it yet: there is nobody to ask."
    if any(one.state in ON_THE_WIRE_ATTEMPT for one in payment.attempts):
        return "Its call is under way: the answer is here within its time limit, or it is looked for by itself."
    return f"{payment.attempts[-1].connector} cannot be asked about it: it tells by webhook and settlement report only."


# --- moving money -----------------------------------------------------------------------------------------------------------------------


def capture(story: Story, minor: int | None, *, final: bool | None = None, reason: str) -> Operation:
    """As a merchant's capture. Raises Refused."""
    _require_decided(story.payment, f"resolve it to {State.AUTHORIZED} or {State.CAPTURED}")
    _let_go(story, reason)
    return decide.capture(story, minor, final=final, origin=Origin.OPERATOR)


def void(story: Story, *, reason: str) -> Operation | None:
    """As a merchant's void: the hold is given back; where money may still be moving, it will be. Raises Refused."""
    _require_decided(story.payment, f"resolve it to {State.VOIDING}")
    if story.payment.cancel_requested and story.payment.state not in (State.AUTHORIZED, State.PARTIALLY_CAPTURED):
        raise Refused("operation_not_allowed", "It is being taken back already, as soon as its outcome is known.")
    _let_go(story, reason)
    return decide.void(story, origin=Origin.OPERATOR)


def refund(story: Story, minor: int | None, *, reason: str) -> Operation:
    """As a merchant's refund, and in MANUAL_REVIEW too. Raises Refused."""
    _let_go(story, reason)
    return decide.refund(story, minor, origin=Origin.OPERATOR)  # its merchant sees an operation's reason, and this one is not for him


def release(story: Story, reason: str) -> None:
    """Ends that the payment is set aside. Raises Refused."""
    if story.payment.hold is None:
        raise Refused("operation_not_allowed", "The payment is not set aside.")
    _let_go(story, reason)


def _let_go(story: Story, reason: str) -> None:
    if story.payment.hold is not None:
        story.tell(Name.HOLD_RELEASED, HoldEnded(reason=reason))


def _require_decided(payment: Payment, instead: str) -> None:
    if payment.state is State.MANUAL_REVIEW:
        raise Refused("operation_not_allowed", f"A payment in {payment.state} is decided by people first: {instead}.")


# --- who may, and how many ---------------------------------------------------------------------------------------------------------------


def people(payment: Payment, name: ActName, amount: Money | None, alone_up_to: Mapping[str, int]) -> tuple[int, str]:
    """How many people that act takes, and why. alone_up_to: currency -> minor units that one person may move; zero where it is missing."""
    if name is ActName.PAYMENT_RESOLVE:
        return 2, "Without a PSP's word, two people say what is true about money."
    if name in (ActName.PAYMENT_RESYNC, ActName.PAYMENT_RELEASE):
        return 1, "It changes no truth about money."
    if payment.state is State.MANUAL_REVIEW or payment.hold is not None:
        return 2, "People have the payment, so no one of them moves its money alone."
    most = alone_up_to.get(payment.intent.amount.currency, 0)
    if amount is not None and amount.minor <= most:
        return 1, f"It moves no more than {Money(most, amount.currency).major()} {amount.currency}, which one person may."
    limit = f"more than {Money(most, payment.intent.amount.currency).major()} {payment.intent.amount.currency}" if most else "money"
    return 2, f"It moves {limit}, which one person may not alone."


def moves(payment: Payment, name: ActName, minor: int | None) -> Money | None:
    """The money that such an act moves: what was asked for, or all that there is to move. None for what moves none."""
    rest = {
        ActName.PAYMENT_CAPTURE: payment.capturable_minor,
        ActName.PAYMENT_VOID: payment.capturable_minor or payment.intent.amount.minor - payment.captured_minor,
        ActName.PAYMENT_REFUND: payment.refundable_minor,
    }
    if name not in rest:
        return None
    return Money(rest[name] if minor is None else minor, payment.intent.amount.currency)


def options(payment: Payment, desk: Desk) -> tuple[Option, ...]:
    """Every act on this payment, in the order of their table. A dry run: the desk is asked for ids and calls, and nothing is kept."""
    simple: Mapping[ActName, Callable[[Story], object]] = {
        ActName.PAYMENT_RESYNC: lambda story: resync(story, _TRIAL.reason),
        ActName.PAYMENT_CAPTURE: lambda story: capture(story, None, reason=_TRIAL.reason),
        ActName.PAYMENT_VOID: lambda story: void(story, reason=_TRIAL.reason),
        ActName.PAYMENT_REFUND: lambda story: _refund_of_something(story),
        ActName.PAYMENT_RELEASE: lambda story: release(story, _TRIAL.reason),
    }
    found = {
        name: Option(action=name, why_not=refused(payment, desk, write), amount=moves(payment, name, None))
        for name, write in simple.items()
    }
    found[ActName.PAYMENT_RESOLVE] = _resolvable(payment, desk)
    return tuple([found[name] for name in ActName if name in found])


def refused(payment: Payment, desk: Desk, write: Callable[[Story], object]) -> str | None:
    """Why that cannot be done now; None where it can."""
    try:
        write(Story(payment, desk))
    except Refused as refusal:
        return refusal.detail
    return None


def _refund_of_something(story: Story) -> None:
    """All of the rest, or where the PSP does not give that back at once, a part of it."""
    try:
        refund(story, None, reason=_TRIAL.reason)
    except Refused as refusal:
        if refusal.code != "capability_not_supported":
            raise
        refund(story, 1, reason=_TRIAL.reason)


def _resolvable(payment: Payment, desk: Desk) -> Option:
    """What people may find this payment, or an operation of it, to be."""
    subject = attempts_meant(payment)[-1].id if payment.attempts else None
    targets, reasons = list[str](), list[str]()
    for target in TARGETS:
        minor = 1 if target is State.PARTIALLY_CAPTURED else None
        why = refused(payment, desk, lambda story, to=target, minor=minor: resolve(story, to, _TRIAL, subject=subject, minor=minor))  # type: ignore[misc]
        (reasons if why is not None else targets).append(why or str(target))
    for operation in payment.operations:
        for end in OPERATION_TARGETS:
            why = refused(payment, desk, lambda story, to=end, of=operation.id: resolve(story, to, _TRIAL, subject=of))  # type: ignore[misc]
            targets += [f"{end} of {operation.id}"] if why is None else []
    return Option(action=ActName.PAYMENT_RESOLVE, why_not=None if targets else reasons[0], targets=tuple(targets))
