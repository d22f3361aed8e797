"""What somebody does to a payment in Stripe's dashboard, the same deeds as the API's, without metadata of ours and without a request; and
what the shopper's bank does.

Not here: parameters and what Stripe refuses (`dialect_endpoints`, `dialect_refunds`), whose words are used.
"""

from __future__ import annotations

from typing import Any

from connectors.simulator.cards import Claim
from connectors.simulator.dialect import Deed, NotPossible
from connectors.simulator.records import Operation, Payment
from connectors.stripe import dialect_disputes, dialect_endpoints, dialect_money, dialect_payments, dialect_refunds
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_errors import Refused
from connectors.stripe.dialect_forms import Form


def by_hand(call: Call, payment: Payment, deed: Deed, amount: int | None) -> None:
    """Does it. Raises NotPossible in Stripe's words."""
    try:
        match deed:
            case Deed.CAPTURE:
                form = _form(payment, amount, "amount_to_capture")
                dialect_endpoints.capture(call, payment, Form(form, known=dialect_endpoints.CAPTURE))
            case Deed.CANCEL:
                # Stripe's dashboard asks for a reason and offers this one first.
                form = {"cancellation_reason": "requested_by_customer"}
                dialect_endpoints.cancel_intent(call, payment, Form(form, known=dialect_endpoints.CANCEL))
            case Deed.REFUND:
                form = {"payment_intent": payment.id, **_form(payment, amount, "amount")}
                dialect_refunds.create(call, Form(form, known=dialect_refunds.CREATE))
            case Deed.EXPIRE:
                _expire(call, payment)
            case Deed.DISPUTE:
                _dispute(call, payment, amount)
            case Deed.INQUIRY:
                _open(call, payment, Claim.ONLY_ASKS, amount)
            case Deed.WIN_DISPUTE:
                dialect_disputes.win(call, payment, _undecided(call, payment))
            case Deed.LOSE_DISPUTE:
                _lose(call, payment)
    except Refused as refused:
        raise NotPossible(str(refused)) from refused


def _form(payment: Payment, amount: int | None, name: str) -> dict[str, str]:
    return {} if amount is None else {name: str(dialect_money.to_wire(amount, payment.currency.lower()))}


def _expire(call: Call, payment: Payment) -> None:
    if not payment.held:
        raise NotPossible("Nothing is held that could expire.")
    dialect_payments.cancel(call, payment, "automatic", expired=True)


def _dispute(call: Call, payment: Payment, amount: int | None) -> None:
    """Out of the blue, or because the answer to an inquiry did not satisfy."""
    inquiry = dialect_disputes.open_of(call, payment)
    if inquiry is None or not dialect_disputes.is_inquiry(inquiry):
        _open(call, payment, Claim.FRAUD, amount)
        return
    if amount not in (None, inquiry.amount):
        raise NotPossible(f"The inquiry {inquiry.id} is about {inquiry.amount}, and so is the dispute that it becomes.")
    dialect_disputes.escalate(call, payment, inquiry)


def _open(call: Call, payment: Payment, claim: Claim, amount: int | None) -> None:
    charges: list[dict[str, Any]] = payment.facts["charges"]
    if not charges or not payment.captured:
        raise NotPossible("Nothing was taken that could be disputed.")
    if dialect_disputes.open_of(call, payment) is not None:
        raise NotPossible("There is an open dispute already.")
    it = charges[-1]
    left = payment.captured - dialect_money.to_iso(it.get("withdrawn", 0), payment.currency.lower())
    if not left or (amount or 0) > left:
        raise NotPossible(f"The bank can take back {left} of it, no more.")
    dialect_disputes.begin(call, payment, it, claim, left if amount is None else amount)


def _lose(call: Call, payment: Payment) -> None:
    dispute = _undecided(call, payment)
    if dialect_disputes.is_inquiry(dispute):
        raise NotPossible("An inquiry cannot be lost: it becomes a dispute, or is closed.")
    dialect_disputes.lose(call, payment, dispute)


def _undecided(call: Call, payment: Payment) -> Operation:
    dispute = dialect_disputes.open_of(call, payment)
    if dispute is None:
        raise NotPossible("There is no open dispute.")
    return dispute
