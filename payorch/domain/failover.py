"""What may follow a definitive no: another try, at the same connector or at another, and what keeps a card from being tried again.

    another connector      where the error's class allows it (`POLICY`), one is left, and the card may be tried again
    the same connector     once, with the shopper authenticated, where the issuer asked for that
    nobody                 after a stolen card, a fraud block, wrong data, a shopper's no; after the last attempt; once the networks' limits
                           on retries are reached; and never while an outcome is unknown

Pure. Not here: choosing and preparing the next attempt (`decide`), which no is which event (`weigh`), counting declines (`card_budget`).
"""

from __future__ import annotations

from payorch.domain.desk import Desk
from payorch.domain.intent import Initiator
from payorch.domain.outcome import POLICY, ErrorClass, Failure, Kind
from payorch.domain.payment import AttemptState
from payorch.domain.records import Payment


def may_step_up(payment: Payment, failure: Failure, desk: Desk) -> bool:
    """Whether the open attempt, which is being declined so, may be made once more at its connector with the shopper authenticated: he must
    be there, and he is asked once in a payment. Whether the payment is still wanted, the caller knows.
    """
    if failure.error_class is not ErrorClass.AUTHENTICATION_REQUIRED or payment.intent.initiator is Initiator.MERCHANT:
        return False
    left = len(payment.attempts) < desk.limits.attempts_per_payment
    return left and not authentication_wanted(payment) and payment.holding_attempt is None


def authentication_wanted(payment: Payment) -> bool:
    """Whether an issuer has asked for an authentication: every later attempt is to bring one."""
    return any(one.failure is not None and one.failure.error_class is ErrorClass.AUTHENTICATION_REQUIRED for one in payment.attempts)


def step_up_at(payment: Payment) -> tuple[str, ...]:
    """The connector that is to be tried once more with the shopper authenticated, while a payment is between two attempts; else none."""
    last = payment.attempts[-1] if payment.attempts else None
    if last is None or last.state is not AttemptState.DECLINED or last.failure is None:
        return ()
    return (last.connector,) if last.failure.error_class is ErrorClass.AUTHENTICATION_REQUIRED else ()


def retry_forbidden(payment: Payment, failure: Failure, desk: Desk) -> str | None:
    """Why the payment's card may not be tried again after this failure, although another try might help; None where it may.

    What never reached the card's network, now or before, is no retry to it.
    """
    reached = POLICY[failure.error_class].kind is Kind.SOFT or any(one.state is AttemptState.DECLINED for one in payment.attempts)
    return desk.spent(payment) if reached else None
