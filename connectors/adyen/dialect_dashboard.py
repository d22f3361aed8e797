"""What somebody does to a payment in Adyen's Customer Area, the same deeds as the API's, under the payment's own reference and without a
request; and what the shopper's bank does.

Not here: fields and what Adyen refuses (`dialect_endpoints`).
"""

from __future__ import annotations

from connectors.adyen import dialect_disputes, dialect_payments
from connectors.adyen.dialect_call import Call
from connectors.simulator.cards import Claim
from connectors.simulator.dialect import Deed, NotPossible
from connectors.simulator.records import Operation, Payment


def by_hand(call: Call, payment: Payment, deed: Deed, amount: int | None) -> None:
    """Does it. Raises NotPossible."""
    match deed:
        case Deed.CAPTURE:
            wanted = _up_to(payment.held, amount, "captured")
            dialect_payments.capture(call, payment, call.new_reference(), wanted, payment.currency, None)
        case Deed.CANCEL:
            _held(payment)
            dialect_payments.release(call, payment, call.new_reference(), None)
        case Deed.REFUND:
            wanted = _up_to(payment.refundable - payment.facts["withdrawn"], amount, "refunded")
            dialect_payments.refund(call, payment, call.new_reference(), wanted, payment.currency, None)
        case Deed.EXPIRE:
            _held(payment)
            dialect_payments.expire(call, payment)
        case Deed.DISPUTE:
            _dispute(call, payment, amount)
        case Deed.INQUIRY:
            _open(call, payment, Claim.ONLY_ASKS, amount)
        case Deed.WIN_DISPUTE:
            dialect_disputes.win(call, payment, _undecided(call, payment))
        case Deed.LOSE_DISPUTE:
            _lose(call, payment)


def _held(payment: Payment) -> None:
    if not payment.held:
        raise NotPossible("Nothing is held any more.")


def _up_to(most: int, amount: int | None, what: str) -> int:
    if most <= 0 or (amount or 0) > most:
        raise NotPossible(f"Of this payment {max(most, 0)} can be {what}.")
    return most if amount is None else amount


def _dispute(call: Call, payment: Payment, amount: int | None) -> None:
    """Out of the blue, or because the answer to a request did not satisfy."""
    inquiry = dialect_disputes.open_of(call, payment)
    if inquiry is None or not dialect_disputes.is_inquiry(inquiry):
        _open(call, payment, Claim.FRAUD, amount)
        return
    if amount not in (None, inquiry.amount):
        raise NotPossible(f"The request {inquiry.id} is about {inquiry.amount}, and so is the dispute that it becomes.")
    dialect_disputes.escalate(call, payment, inquiry)


def _open(call: Call, payment: Payment, claim: Claim, amount: int | None) -> None:
    if dialect_disputes.open_of(call, payment) is not None:
        raise NotPossible("There is an open dispute already.")
    wanted = _up_to(payment.captured - payment.facts["withdrawn"], amount, "disputed")
    dialect_disputes.begin(call, payment, claim, wanted)


def _lose(call: Call, payment: Payment) -> None:
    dispute = _undecided(call, payment)
    if dialect_disputes.is_inquiry(dispute):
        raise NotPossible("A request cannot be lost: it becomes a dispute, or is dropped.")
    dialect_disputes.lose(call, payment, dispute)


def _undecided(call: Call, payment: Payment) -> Operation:
    dispute = dialect_disputes.open_of(call, payment)
    if dispute is None:
        raise NotPossible("There is no open dispute.")
    return dispute
