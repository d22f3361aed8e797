"""What somebody does to a payment in Stripe's dashboard: the same deeds as the API's, without metadata of ours and without a request.

Not here: parameters and what Stripe refuses (`dialect_endpoints`, `dialect_refunds`), whose words are used.
"""

from __future__ import annotations

from connectors.simulator.dialect import Deed, NotPossible
from connectors.simulator.records import Payment
from connectors.stripe import dialect_endpoints, dialect_money, dialect_payments, dialect_refunds
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
    except Refused as refused:
        raise NotPossible(str(refused)) from refused


def _form(payment: Payment, amount: int | None, name: str) -> dict[str, str]:
    return {} if amount is None else {name: str(dialect_money.to_wire(amount, payment.currency.lower()))}


def _expire(call: Call, payment: Payment) -> None:
    if not payment.held:
        raise NotPossible("Nothing is held that could expire.")
    dialect_payments.cancel(call, payment, "automatic", expired=True)
