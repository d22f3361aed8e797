"""What somebody does to a payment in PayPal's dashboard, the same deeds as the API's, without ids of ours and without a request; and what
the buyer and his bank do.

Not here: parameters and what PayPal refuses (`dialect_operations`), whose words are used.
"""

from __future__ import annotations

from connectors.paypal import dialect_disputes, dialect_money, dialect_operations, dialect_payments
from connectors.paypal.dialect_body import Body
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_errors import Refused
from connectors.simulator.cards import Claim
from connectors.simulator.dialect import Deed, NotPossible
from connectors.simulator.records import Facts, Operation, Payment


def by_hand(call: Call, payment: Payment, deed: Deed, amount: int | None) -> None:
    """Does it. Raises NotPossible in PayPal's words."""
    try:
        match deed:
            case Deed.CAPTURE:
                held = dialect_operations.find_authorization(call, _authorization_id(payment))
                dialect_operations.capture(call, held, _body(payment, amount, final_capture=True))
            case Deed.CANCEL:
                dialect_operations.void(call, dialect_operations.find_authorization(call, _authorization_id(payment)))
            case Deed.REFUND:
                dialect_operations.refund(call, payment, _taken(payment, amount or 1), _body(payment, amount))
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


def _body(payment: Payment, amount: int | None, **more: object) -> Body:
    asked = {} if amount is None else {"amount": dialect_money.shown(amount, payment.currency)}
    return Body({**asked, **more})


def _authorization_id(payment: Payment) -> str:
    held = payment.facts["authorization"]
    if held is None:
        raise NotPossible("Nothing is held.")
    return str(held["id"])


def _taken(payment: Payment, amount: int) -> Facts:
    """The latest capture of which so much is left, or else the latest."""
    captures: list[Facts] = payment.facts["captures"]
    if not captures:
        raise NotPossible("Nothing was taken.")
    able = [it for it in captures if it["amount"] - it["refunded"] - it["withdrawn"] >= amount]
    return able[-1] if able else captures[-1]


def _expire(call: Call, payment: Payment) -> None:
    held = payment.facts["authorization"]
    if not payment.held or held is None:
        raise NotPossible("Nothing is held that could expire.")
    held["expires"] = call.at
    dialect_payments.release(call, payment, expired=True)


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
    if not payment.captured:
        raise NotPossible("Nothing was taken that could be disputed.")
    if dialect_disputes.open_of(call, payment) is not None:
        raise NotPossible("There is an open dispute already.")
    it = max(payment.facts["captures"], key=lambda it: it["amount"] - it["withdrawn"])
    left = it["amount"] - it["withdrawn"]
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
