"""From a merchant's command to events: what is refused, what is recorded for later, what is begun.

Also the step that follows a definitive no or a confirmation, choosing and preparing the next attempt (`next_attempt`), and the void that
payorch asks for by itself (`auto_void`). Pure. Not here: evidence from PSPs (`weigh`), timers (`proof`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from payorch.domain.capability import Manifest
from payorch.domain.desk import Desk, Story, Unbuildable
from payorch.domain.events import (
    AttemptOpened,
    CancelIntent,
    Choice,
    Confirmation,
    Created,
    Discrepancy,
    Ending,
    Event,
    OperationOpened,
)
from payorch.domain.evolve import evolve
from payorch.domain.failover import step_up_at
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money, zero
from payorch.domain.outcome import ErrorClass, Failure
from payorch.domain.payment import LEGAL, AttemptState, Command, Name, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment
from payorch.domain.refunding import capture_to_refund, captured_attempt

_VOIDABLE: Final = frozenset({State.AUTHORIZED, State.PARTIALLY_CAPTURED})
OPERATION_PREFIX: Final = {OperationKind.CAPTURE: "cap", OperationKind.VOID: "void", OperationKind.REFUND: "ref"}


class Refused(Exception):
    """A command that the payment's state or amounts do not allow. Nothing changed. `allowed`: what may be asked instead.

    field: what of the command is wrong, where it is something of it (validation_failed).
    """

    def __init__(self, code: str, detail: str, allowed: tuple[Command, ...] = (), *, field: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.allowed = allowed
        self.field = field


def allowed(payment: Payment) -> tuple[Command, ...]:
    """The commands that this payment takes now, in a fixed order."""
    if payment.hold is not None:
        return ()
    legal = LEGAL[payment.state]
    if payment.state is State.OUTCOME_UNKNOWN and payment.open_attempt is None:
        legal = legal - {Command.CANCEL, Command.VOID}
    if payment.refundable_minor == 0:
        legal = legal - {Command.REFUND}
    if payment.capturable_minor == 0:
        legal = legal - {Command.CAPTURE}
    return tuple(command for command in Command if command in legal)


def create(payment_id: str, merchant_id: str, intent: Intent, desk: Desk) -> Story:
    """The birth of a payment. The returned story holds its first event and can be continued, for instance by `confirm`."""
    data = Created(payment_id=payment_id, merchant_id=merchant_id, intent=intent, expires_at=desk.after(desk.limits.intent_expires_seconds))
    born = Event(name=Name.PAYMENT_CREATED, to=State.CREATED, at=desk.at, actor=desk.actor, cause=desk.cause, data=data)
    story = Story(evolve(None, born), desk)
    story.events.append(born)
    story.after.append(story.payment)
    return story


def confirm(story: Story, method: PaymentMethod | None = None, return_url: str | None = None) -> None:
    """Go: route the payment and prepare its first attempt. `method` and `return_url` replace those of the creation, where given.

    A card that an issuer declined for good goes nowhere; the decision stands in the story all the same.
    """
    payment, desk = story.payment, story.desk
    _require(payment, Command.CONFIRM)
    method = method or payment.intent.method
    if method is None:
        detail = "The payment has no payment_method yet: send one with the confirmation."
        raise Refused("validation_failed", detail, allowed(payment), field="payment_method")
    merchant_initiated = payment.intent.initiator is Initiator.MERCHANT
    seconds = desk.limits.authorize_merchant_seconds if merchant_initiated else desk.limits.authorize_seconds
    confirmation = Confirmation(method=method, return_url=return_url or payment.intent.return_url, authorize_until=desk.after(seconds))
    story.tell(Name.CONFIRMED, confirmation, State.ROUTING)
    story.tell(Name.ROUTED, Choice(decision=desk.route(story.payment)))
    blocked = desk.blocked(story.payment)
    if blocked is not None:
        failure = Failure(error_class=ErrorClass.ROUTER_DECLINED, code="card_blocked", message=f"Not sent to any connector: {blocked}.")
        return story.tell(Name.ROUTER_DECLINED, Ending(failure=failure), State.FAILED)
    return next_attempt(story)


def next_attempt(story: Story, last: Failure | None = None) -> None:
    """From ROUTING: prepare the next connector's attempt, or end. `last` is why the one before did not do."""
    payment, desk = story.payment, story.desk
    if payment.cancel_requested:
        return story.tell(Name.MERCHANT_CANCELED, Ending(), State.CANCELED)
    if not wanted(payment, desk) and last is None:
        return story.tell(Name.INTENT_EXPIRED, Ending(), State.CANCELED)
    obstacles: list[str] = []
    for connector in (step_up_at(payment) or untried(payment, desk)) if wanted(payment, desk) else ():
        obstacle = _prepare(story, connector)
        if obstacle is None:
            return None
        obstacles.append(f"{connector}: {obstacle}")
    if payment.attempts:
        return story.tell(Name.ATTEMPTS_EXHAUSTED, Ending(failure=last or payment.attempts[-1].failure), State.FAILED)
    excluded = [f"{one.connector}: {one.reason}" for one in (payment.decision.excluded if payment.decision else ())]
    why = "; ".join([*excluded, *obstacles]) or "no connector is configured"
    failure = Failure(error_class=ErrorClass.NO_ROUTE, code="no_route", message=f"No connector can take this payment ({why}).")
    return story.tell(Name.NO_ROUTE, Ending(failure=failure), State.FAILED)


def wanted(payment: Payment, desk: Desk) -> bool:
    """Whether a new authorisation may still be made: before `authorize_until`, and the merchant has not taken it back."""
    return not payment.cancel_requested and (payment.authorize_until is None or desk.at < payment.authorize_until)


def untried(payment: Payment, desk: Desk) -> tuple[str, ...]:
    """The connectors of the decision that were not tried yet, in order; none once the attempts are used up."""
    if payment.decision is None or len(payment.attempts) >= desk.limits.attempts_per_payment:
        return ()
    tried = {attempt.connector for attempt in payment.attempts}
    return tuple(name for name in payment.decision.order if name not in tried)


def _prepare(story: Story, connector: str) -> str | None:
    """Opens an attempt at that connector; the reason where its call cannot be built."""
    payment, desk = story.payment, story.desk
    attempt_id = desk.identifier("att")
    call = desk.prepare(payment, connector, attempt_id)
    if isinstance(call, Unbuildable):
        return call.reason
    manifest = desk.manifests[connector]
    attempt = Attempt(
        id=attempt_id,
        connector=connector,
        state=AttemptState.PREPARED,
        amount=payment.intent.amount,
        call=call,
        psp_key=psp_key(attempt_id, manifest),
        psp_key_safe_until=desk.after(manifest.key_safe_window_seconds),
        created_at=desk.at,
        updated_at=desk.at,
        next_action_at=desk.after(desk.limits.call_lost_seconds),
    )
    story.tell(Name.ATTEMPT_PREPARED, AttemptOpened(attempt=attempt), State.AUTHORIZING)
    return None


def psp_key(identifier: str, manifest: Manifest) -> str:
    """The PSP's idempotency key. Where it must be short it is the end of the id, which is random; the beginning is the time.

    A further call about the same thing adds to the id, with the one mark that every id has and every PSP takes: `att_..._2`.
    """
    return identifier[-manifest.key_max_length :]


def cancel(
    story: Story, *, reference: str | None = None, metadata: Mapping[str, str] | None = None, operation_id: str | None = None
) -> None:
    """End the payment now where nothing can have moved; otherwise record the wish, which every later step honours.

    operation_id: of the void, where this leads to one at once.
    """
    payment, desk = story.payment, story.desk
    _require(payment, Command.CANCEL)
    if payment.state in (State.CREATED, State.ROUTING):
        return story.tell(Name.MERCHANT_CANCELED, Ending(), State.CANCELED)
    if payment.cancel_requested:
        return None
    attempt = payment.open_attempt
    assert attempt is not None, "a payment that may still be cancelled here has an open attempt"
    if payment.state is State.REQUIRES_ACTION and not may_move_money(payment, attempt, desk):
        return story.attempt(Name.MERCHANT_CANCELED, attempt, AttemptState.VOIDED, to=State.CANCELED)
    story.tell(Name.CANCEL_INTENT_RECORDED, CancelIntent(reference=reference, metadata=metadata or {}))
    if payment.state is State.REQUIRES_ACTION:
        close_session(story, attempt, origin=Origin.MERCHANT, operation_id=operation_id)
    return None


def close_session(story: Story, attempt: Attempt, *, origin: Origin, operation_id: str | None = None) -> bool:
    """Asks the PSP to close the shopper's open action. False where no call can."""
    payment, kind = story.payment, OperationKind.VOID
    if not may_close_session(payment, attempt, story.desk):
        return False
    try:
        open_operation(
            story, Name.CANCEL_REQUESTED, State.VOIDING, kind, attempt, zero(attempt.amount.currency),
            origin=origin, reference=payment.cancel_reference, metadata=payment.cancel_metadata, operation_id=operation_id,
        )  # fmt: skip
    except Refused:
        return False
    return True


def may_close_session(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether a call can close it: the PSP has one, and did not refuse it for this attempt. One that it never executed may be made anew."""
    voids = payment.operations_on(attempt.id, OperationKind.VOID)
    failures = [one.failure for one in voids if one.state is OperationState.FAILED]
    refused = any(failure is None or failure.error_class is not ErrorClass.NOT_SENT for failure in failures)
    return desk.manifests[attempt.connector].session_cancel and not refused and len(failures) < desk.limits.session_closings


def completes_without_us(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether the shopper alone can still make this attempt move money. True where it is not surely known."""
    method = payment.intent.method
    support = desk.manifests[attempt.connector].methods.get(method.type) if method is not None else None
    return support is None or support.completes_without_us


def may_move_money(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether a shopper's open action may lead to money without a further call of ours: by himself, or by a completing call that was made
    and has not been answered.
    """
    return attempt.completing or completes_without_us(payment, attempt, desk)


def auto_void(story: Story, attempt: Attempt) -> None:
    """payorch itself gives back a hold that nobody wants any more: for the merchant, where he said so. Raises Refused, as any operation."""
    payment = story.payment
    open_operation(
        story, Name.AUTO_VOID, State.VOIDING, OperationKind.VOID, attempt, zero(attempt.amount.currency),
        origin=Origin.SYSTEM, reference=payment.cancel_reference, metadata=payment.cancel_metadata,
    )  # fmt: skip


def follow_up(story: Story) -> None:
    """What an authorisation leads to by itself: a void where nobody wants it any more, a capture where the PSP did not do it."""
    attempt = story.payment.holding_attempt
    assert attempt is not None, "an authorised payment has an attempt that holds"
    if story.payment.cancel_requested:
        unasked(story, attempt, lambda: auto_void(story, attempt))
    elif story.payment.intent.capture is CaptureMode.AUTOMATIC:
        unasked(story, attempt, lambda: capture(story, None, origin=Origin.SYSTEM))


def unasked(story: Story, attempt: Attempt, step: Callable[[], object]) -> None:
    """An operation that no merchant asked for: where it cannot be, nobody is there to be refused, so people see it."""
    try:
        step()
    except Refused as refusal:
        story.tell(Name.DISCREPANCY_RAISED, Discrepancy(kind="operation_impossible", detail=refusal.detail, subject_id=attempt.id))


def open_operation(
    story: Story,
    name: Name,
    to: State | None,
    kind: OperationKind,
    attempt: Attempt,
    amount: Money,
    *,
    origin: Origin,
    final: bool = True,
    reason: str | None = None,
    reference: str | None = None,
    metadata: Mapping[str, str] | None = None,
    operation_id: str | None = None,
    capture_id: str | None = None,
) -> Operation:
    """Opens an operation with its exact PSP call. Raises Refused (capability_not_supported) where the connector cannot build it.

    operation_id: whoever asks may have named it already, so that it can be found from what he keeps; otherwise a new one.
    """
    desk = story.desk
    manifest = desk.manifests[attempt.connector]
    operation_id = operation_id or desk.identifier(OPERATION_PREFIX[kind])
    operation = Operation(
        id=operation_id,
        kind=kind,
        state=OperationState.REQUESTED,
        origin=origin,
        attempt_id=attempt.id,
        amount=amount,
        created_at=desk.at,
        updated_at=desk.at,
        final=final,
        psp_key=psp_key(operation_id, manifest),
        psp_key_safe_until=desk.after(manifest.key_safe_window_seconds),
        reason=reason,
        reference=reference,
        metadata=metadata or {},
        next_action_at=desk.after(desk.limits.call_lost_seconds),
        capture_id=capture_id,
    )
    call = desk.prepare_operation(story.payment, operation)
    if isinstance(call, Unbuildable):
        raise Refused("capability_not_supported", call.reason, allowed(story.payment))
    operation = replace(operation, call=call)
    story.tell(name, OperationOpened(operation=operation), to)
    return operation


def capture(
    story: Story,
    minor: int | None,
    *,
    final: bool | None = None,
    reference: str | None = None,
    metadata: Mapping[str, str] | None = None,
    origin: Origin = Origin.MERCHANT,
    operation_id: str | None = None,
) -> Operation:
    """Take what is held: all of the rest by default, which is final, or `minor` units of it. Raises Refused."""
    payment, desk = story.payment, story.desk
    _require(payment, Command.CAPTURE)
    attempt = payment.holding_attempt
    assert attempt is not None, "what may be captured is held by an attempt"
    rest = payment.capturable_minor
    wanted_minor = rest if minor is None else minor
    _require_positive(payment, wanted_minor)
    if wanted_minor > rest:
        raise Refused("amount_exceeds_capturable", f"At most {rest} minor units can still be captured.", allowed(payment))
    is_final = wanted_minor == rest if final is None else final or wanted_minor == rest
    manifest = desk.manifests[attempt.connector]
    if not is_final and not manifest.multiple_captures:
        raise Refused(
            "capability_not_supported",
            f'{attempt.connector} takes one capture: send "final": true to capture this and release the rest.',
            allowed(payment),
        )
    if wanted_minor < rest and not manifest.partial_capture:
        raise Refused("capability_not_supported", f"{attempt.connector} captures only the whole amount.", allowed(payment))
    return open_operation(
        story, Name.CAPTURE_REQUESTED, State.CAPTURING, OperationKind.CAPTURE, attempt, Money(wanted_minor, attempt.amount.currency),
        origin=origin, final=is_final, reference=reference, metadata=metadata, operation_id=operation_id,
    )  # fmt: skip


def void(
    story: Story,
    *,
    reference: str | None = None,
    metadata: Mapping[str, str] | None = None,
    origin: Origin = Origin.MERCHANT,
    operation_id: str | None = None,
) -> Operation | None:
    """Give back what is held or what a capture left. Where money may still be moving this is a cancel: None is returned.

    Asked for again with the same reference and metadata it is the same wish; with others it is refused.
    """
    payment = story.payment
    _require(payment, Command.VOID)
    attempt = payment.holding_attempt
    if payment.state not in _VOIDABLE or attempt is None:
        if payment.cancel_requested and (payment.cancel_reference, payment.cancel_metadata) != (reference, metadata or {}):
            # One wish has one name: the void that comes of it could not answer to a second.
            detail = "The payment is being taken back already, as it was asked before under another reference or with other metadata."
            raise Refused("operation_not_allowed", detail, allowed(payment))
        cancel(story, reference=reference, metadata=metadata, operation_id=operation_id)
        return None
    name = Name.VOID_REQUESTED if payment.state is State.AUTHORIZED else Name.VOID_REMAINDER_REQUESTED
    return open_operation(
        story, name, State.VOIDING, OperationKind.VOID, attempt, zero(attempt.amount.currency),
        origin=origin, reference=reference, metadata=metadata, operation_id=operation_id,
    )  # fmt: skip


def refund(
    story: Story,
    minor: int | None,
    *,
    reason: str | None = None,
    reference: str | None = None,
    metadata: Mapping[str, str] | None = None,
    origin: Origin = Origin.MERCHANT,
    operation_id: str | None = None,
) -> Operation:
    """Give back what was captured: all of the rest by default, or `minor` units. In-flight and unknown refunds count as given."""
    payment, desk = story.payment, story.desk
    by_people = origin is Origin.OPERATOR and payment.state is State.MANUAL_REVIEW  # whose payment it is there
    if payment.hold is not None or payment.captured_minor == 0 or not (by_people or Command.REFUND in LEGAL[payment.state]):
        _require(payment, Command.REFUND)
    attempt = captured_attempt(payment)
    rest = payment.refundable_minor
    wanted_minor = rest if minor is None else minor
    if wanted_minor > rest or rest == 0:
        disputed = f"; {payment.disputed_minor} are disputed" if payment.disputed_minor else ""
        raise Refused("amount_exceeds_refundable", f"At most {rest} minor units can still be refunded{disputed}.", allowed(payment))
    _require_positive(payment, wanted_minor)
    manifest = desk.manifests[attempt.connector]
    if payment.refunded_minor + payment.refund_reserved_minor and not manifest.multiple_refunds:
        raise Refused("capability_not_supported", f"{attempt.connector} takes one refund of a payment.", allowed(payment))
    if wanted_minor < payment.captured_minor and not manifest.partial_refund:
        raise Refused("capability_not_supported", f"{attempt.connector} refunds only the whole amount.", allowed(payment))
    capture_id, left = capture_to_refund(payment, attempt)
    if capture_id is not None and manifest.refunds_by_capture and wanted_minor > left:
        detail = f"{attempt.connector} refunds one capture at a time, and at most {left} minor units are left of one: refund it in parts."
        raise Refused("capability_not_supported", detail, allowed(payment))
    return open_operation(
        story, Name.REFUND_REQUESTED, None, OperationKind.REFUND, attempt, Money(wanted_minor, attempt.amount.currency),
        origin=origin, reason=reason, reference=reference, metadata=metadata, operation_id=operation_id, capture_id=capture_id,
    )  # fmt: skip


def _require_positive(payment: Payment, minor: int) -> None:
    if minor <= 0:
        raise Refused("validation_failed", "An amount is at least 1 minor unit.", allowed(payment), field="amount")


def _require(payment: Payment, command: Command) -> None:
    options = allowed(payment)
    if command in options:
        return
    if payment.hold is not None:
        raise Refused("operation_not_allowed", "The payment is set aside for an operator's look; no operation is possible until then.")
    choice = ", ".join(options) or "nothing"
    if payment.cancel_requested and command is Command.CAPTURE:
        detail = f"The payment is being taken back, so nothing of it is captured; it takes {choice}."
        raise Refused("operation_not_allowed", detail, options)
    raise Refused("operation_not_allowed", f"A payment in {payment.state} does not take {command}; it takes {choice}.", options)
