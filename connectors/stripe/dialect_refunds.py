"""Stripe's refunds: created, pending, succeeded, and failed after all.

Not here: releasing a hold (that is cancelling, `dialect_payments`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from connectors.simulator.records import Facts, Operation, OperationStatus, Payment
from connectors.stripe import dialect_money
from connectors.stripe.dialect_call import Call, our_reference
from connectors.stripe.dialect_errors import Invalid, Refused, no_such
from connectors.stripe.dialect_forms import Form
from connectors.stripe.dialect_objects import card_of, refund

_CREATE_NAMES: Final = """
    amount charge currency customer expand instructions_email metadata origin payment_intent reason refund_application_fee
    reverse_transfer
"""
CREATE: Final = frozenset(_CREATE_NAMES.split())
UPDATE: Final = frozenset({"expand", "metadata"})
CANCEL: Final = frozenset({"expand"})
FINISH_REFUND, FAIL_REFUND = "finish_refund", "fail_refund"
"""Kinds of timers; the subject is a refund."""

_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def create(call: Call, form: Form) -> Operation:
    """`POST /v1/refunds`."""
    asked = form.positive("amount")
    reason = form.choice("reason", _REASONS)
    metadata = {name: value for name, value in form.labels().items() if value}
    payment = _subject(call, form)
    currency = payment.currency.lower()
    it = _refundable(payment)
    left = dialect_money.to_wire(payment.refundable, currency)
    if not left:
        raise Refused(f"Charge {it['id']} has already been refunded.", code="charge_already_refunded")
    free = left - it.get("withdrawn", 0)
    if free <= 0 or free < (asked or 0) <= left:
        raise Refused(f"Charge {it['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    amount = free if asked is None else asked
    if amount > left:
        # Recorded answers of Stripe have no code here.
        message = (
            f"Refund amount ({dialect_money.shown(amount, currency)}) is greater than unrefunded amount on charge"
            f" ({dialect_money.shown(left, currency)})"
        )
        raise Refused(message, param="amount")
    if amount % dialect_money.step(currency):
        message = f"Amounts in {currency} must be divisible by {dialect_money.step(currency)}."
        raise Refused(message, code="parameter_invalid_integer", param="amount")
    payment, operation = call.ledger.open_refund(
        payment,
        id=call.ledger.new_id("re_3"),
        reference=our_reference(metadata),
        amount=dialect_money.to_iso(amount, currency),
        at=call.now,
        facts={"charge": it["id"], "reason": reason, "metadata": metadata},
    )
    return _begin(call, payment, operation, it, amount)


def _subject(call: Call, form: Form) -> Payment:
    intent, charge = form.text("payment_intent"), form.text("charge")
    if intent is None and charge is None:
        raise Invalid("One of the following params should be provided for this request: payment_intent or charge.")
    if charge is not None:
        payment = call.ledger.payment(charge)
        if payment is None or payment.id == charge:
            raise no_such("charge", charge)
    else:
        payment = call.ledger.payment(intent or "")
        if payment is None or payment.id != intent:
            raise no_such("payment_intent", intent or "")
    return payment


def _refundable(payment: Payment) -> Facts:
    charges = payment.facts["charges"]
    if not charges or not charges[-1]["amount_captured"]:
        message = f"This PaymentIntent ({payment.id}) does not have a successful charge to refund."
        raise Refused(message, param="payment_intent")
    it: Facts = charges[-1]
    return it


def _begin(call: Call, payment: Payment, operation: Operation, it: Facts, amount: int) -> Operation:
    card = card_of(it["method"])
    it["amount_refunded"] += amount
    call.ledger.save(payment)
    later = call.now + timedelta(seconds=call.settings.late_failure_seconds)
    if card.refund_pending:
        call.ledger.schedule(at=later, payment=payment, kind=FINISH_REFUND, subject=operation.id)
    else:
        payment, operation = call.ledger.finish_refund(payment, operation, call.now)
    if card.refund_fails_late:
        call.ledger.schedule(at=later, payment=payment, kind=FAIL_REFUND, subject=operation.id)
    call.emit("charge.refunded", payment)
    call.emit("refund.created", payment, refund(operation, payment.currency.lower()))
    return operation


def update(call: Call, operation: Operation, payment: Payment, form: Form) -> None:
    """`POST /v1/refunds/{id}`: metadata, and nothing else."""
    changed = operation.facts["metadata"] | form.labels()
    operation.facts["metadata"] = {name: value for name, value in changed.items() if value}
    call.ledger.save_operation(operation)
    call.emit("refund.updated", payment, refund(operation, payment.currency.lower()))


def cancel(call: Call, operation: Operation, payment: Payment, form: Form) -> None:
    """`POST /v1/refunds/{id}/cancel`: only for refunds that wait for the customer, which those of cards never do."""
    shown = refund(operation, payment.currency.lower())
    raise Refused(f"Only refunds with a status of requires_action can be canceled; this one has a status of {shown['status']}.")


def finish(call: Call, payment: Payment, operation: Operation) -> None:
    """A pending refund goes through."""
    if operation.status is not OperationStatus.PENDING:
        return
    payment, operation = call.ledger.finish_refund(payment, operation, call.now)
    shown = refund(operation, payment.currency.lower())
    call.emit("refund.updated", payment, shown)
    call.emit("charge.refund.updated", payment, shown)


def fail(call: Call, payment: Payment, operation: Operation) -> None:
    """A refund comes back: the charge counts it no longer."""
    if operation.status is OperationStatus.FAILED:
        return
    payment, operation = call.ledger.fail_refund(payment, operation, call.now)
    currency = payment.currency.lower()
    for it in payment.facts["charges"]:
        if it["id"] == operation.facts["charge"]:
            it["amount_refunded"] -= dialect_money.to_wire(operation.amount, currency)
    call.ledger.save(payment)
    shown = refund(operation, currency)
    call.emit("refund.updated", payment, shown)
    call.emit("refund.failed", payment, shown)
    call.emit("charge.refund.updated", payment, shown)
