"""What a PaymentIntent, refund or dispute, as Stripe shows it, says about an attempt or operation of ours: view -> finding.

`http_status` is that of the answer with the object in it; None for a webhook.

Two kinds of look. An `answer` is what a call of ours got back, so the PSP has done all it will do for it; a `sight` is the object seen from
outside (an inquiry, a webhook, or the PaymentIntent that a refusal carries), when a call of ours may still be running or may never have
arrived. Whatever does not fit is Unknown: only what is understood is definitive.

Not here: HTTP (`answers`), codes (`declines`), and whether amounts and references are ours: they are in the evidence and the domain
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from connectors.stripe.declines import REFUND_FAILURES, Codes, classify, failure
from connectors.stripe.objects import Dispute, PaymentIntent, Refund, StripeError
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Finding,
    NotExecuted,
    Pending,
    Released,
    Unknown,
)
from payorch.domain.records import Operation

_BY_ITSELF: Final = frozenset({"automatic", "expired"})
HELD_OR_TAKEN: Final = frozenset({"requires_capture", "succeeded", "processing"})
"""Statuses under which money is, or is about to be, somebody else's."""

DISPUTES: Final[Mapping[str, tuple[DisputeStage, DisputeStatus]]] = MappingProxyType(
    {
        "warning_needs_response": (DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED),
        "warning_under_review": (DisputeStage.PRE_DISPUTE, DisputeStatus.CHALLENGED),
        "warning_closed": (DisputeStage.PRE_DISPUTE, DisputeStatus.CANCELLED),  # an inquiry that never became a dispute
        "needs_response": (DisputeStage.DISPUTE, DisputeStatus.OPENED),
        "under_review": (DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
        "won": (DisputeStage.DISPUTE, DisputeStatus.WON),
        "lost": (DisputeStage.DISPUTE, DisputeStatus.LOST),
        "prevented": (DisputeStage.DISPUTE, DisputeStatus.CANCELLED),
        # An appeal ends as `won` or `lost` like what it goes on from: a stage of its own would never be seen to end.
        "appeal_needs_response": (DisputeStage.DISPUTE, DisputeStatus.OPENED),
        "appeal_under_review": (DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
    }
)
"""Stripe's status of a dispute -> stage and status. A status that is not here is for people: see `notices`."""


class Look(Enum):
    """How the object came into view."""

    ANSWER = auto()  # our call's own 2xx
    SIGHT = auto()  # an inquiry, or a webhook: a sight of some moment before
    REFUSAL = auto()  # inside Stripe's refusal of our call, which therefore did nothing by itself


def unknown(
    http_status: int | None,
    *,
    error_class: ErrorClass = ErrorClass.UNKNOWN_OUTCOME,
    error: StripeError | None = None,
    code: str | None = None,
) -> Unknown:
    """Unknown, with what Stripe said, if anything; `code` names in one word what did not fit."""
    codes = error.codes if error is not None else Codes(code=code)
    return Unknown(failure=failure(error_class, codes, message=error.message if error is not None else None, http_status=http_status))


def declined(error: StripeError, *, look: Look, http_status: int | None) -> Declined | Unknown:
    """What a card error or a failed confirmation means. A duplicate is Unknown until it was looked up; then it is this attempt's no."""
    error_class = classify(error.codes)
    if error_class is ErrorClass.DUPLICATE_AT_PSP:
        if look is not Look.SIGHT:
            return unknown(http_status, error_class=error_class, error=error)
        error_class = ErrorClass.SOFT_RETRY_LATER  # the PaymentIntent holds nothing; never tried elsewhere at once
    return Declined(failure=failure(error_class, error.codes, message=error.message, http_status=http_status))


def of_attempt(intent: PaymentIntent, *, look: Look, http_status: int | None, over: bool = False) -> Finding:
    """What a PaymentIntent says about the attempt that created it.

    over: the window of the attempt's PSP key is closed, so that no sending of ours can still be running at Stripe.
    """
    match intent.status:
        case "requires_capture" | "succeeded" if intent.amount is None or intent.received is None:
            return unknown(http_status, code="amount_missing")
        case "requires_capture" if intent.approved is None:
            return unknown(http_status, code="amount_missing")  # `amount` is what was asked for; nothing says how much is held
        case "requires_capture":
            return Approved(captured=False)
        case "succeeded":
            return Approved(captured=True)
        case "processing":
            return Pending()
        case "requires_action":
            return _action(intent, http_status)
        case "canceled":
            return _canceled_attempt(intent, look, http_status)
        case "requires_payment_method" if intent.error is not None:
            return declined(intent.error, look=look, http_status=http_status)
        case "requires_payment_method" | "requires_confirmation":
            return _unconfirmed(intent, http_status, final=over or look is not Look.SIGHT)
        case _:
            return unknown(http_status, code="status_not_known")


def _action(intent: PaymentIntent, http_status: int | None) -> Finding:
    """A redirect is the shopper's turn. `use_stripe_sdk` needs Stripe's script and the client secret, which never leave this process:
    nobody can finish it, so it is a definitive no, and a step-up with a redirect may follow. Any other action may go on by itself."""
    if intent.action is not None:
        return Pending(action=intent.action)
    if intent.action_type == "use_stripe_sdk":
        codes = Codes(code="action_without_redirect")
        return Declined(failure=failure(ErrorClass.AUTHENTICATION_REQUIRED, codes, message=None, http_status=http_status))
    return Pending()


def _canceled_attempt(intent: PaymentIntent, look: Look, http_status: int | None) -> Finding:
    if look is Look.ANSWER:
        return unknown(http_status, code="canceled_at_birth")  # no answer to a creation: somebody else was there, so look
    if intent.received is not None and intent.received.minor > 0 and intent.operation_id is None:
        # Canceled after a capture that was not ours: money was taken, and only that may be said.
        return Approved(captured=True) if intent.amount is not None else unknown(http_status, code="amount_missing")
    return Released(expired=intent.cancellation_reason in _BY_ITSELF)


def _unconfirmed(intent: PaymentIntent, http_status: int | None, *, final: bool) -> Finding:
    """The PaymentIntent exists and its confirmation did not happen. Nothing is held; only we could confirm it, and never do.

    In the answer to our call that is final: the message was not carried out. Seen from outside the call may just be between its halves.
    """
    if not final:
        return unknown(http_status, code=intent.status)
    codes = Codes(code=intent.status)
    return NotExecuted(failure=failure(ErrorClass.INVALID_REQUEST, codes, message=None, http_status=http_status), sent=True)


def of_refused_confirmation(error: StripeError, *, look: Look, http_status: int | None) -> Finding:
    """What a card error says, unless the PaymentIntent inside it contradicts it by holding or moving money."""
    intent = error.payment_intent
    if intent is not None and intent.status in HELD_OR_TAKEN:
        return unknown(http_status, error=error)
    return declined(error, look=look, http_status=http_status)


def of_capture(operation: Operation, intent: PaymentIntent, *, look: Look, http_status: int | None) -> Finding:
    """What a PaymentIntent says about one capture of it.

    Captures leave only totals behind, and the id of the last one in the metadata. So: done where that id is ours, or where the total is
    ours alone; not done where the total is smaller than ours; otherwise nobody can tell from here. Whether the total is the right one is
    for the domain to say, which knows the captures before: what names ours and took less is a success that people look at.
    """
    if intent.received is None or intent.received.currency != operation.amount.currency:
        return _misfit(look, http_status, code="amount_missing")
    reached, named = intent.received >= operation.amount, intent.operation_id == operation.id
    match intent.status:
        case "succeeded":
            alone = intent.operation_id is None and intent.received == operation.amount
            if named or alone or (look is Look.ANSWER and reached):
                return Approved(captured=True)
            if look is Look.REFUSAL or (look is Look.SIGHT and not reached):
                # Closed by an earlier capture of ours: the rest is gone. By somebody else's: we cannot say what that makes of the payment.
                return _gone(intent, http_status) if intent.operation_id is not None else _not_allowed(intent.status, http_status)
            return unknown(http_status, code="capture_not_told_apart")
        case "requires_capture":
            if not operation.final and (named or (reached and look is Look.ANSWER)):
                return Approved(captured=True)
            if look is Look.SIGHT and not reached and not named:
                return Absent()
            return _misfit(look, http_status, code="capture_not_told_apart")
        case "processing" if look is Look.ANSWER:
            return Pending()
        case "canceled" if look is not Look.ANSWER:
            return Approved(captured=True) if named else _gone(intent, http_status)
        case _:
            return _misfit(look, http_status, code=intent.status)


def of_void(intent: PaymentIntent, *, look: Look, http_status: int | None) -> Finding:
    """What a PaymentIntent says about the void of it (or of its rest)."""
    match intent.status:
        case "canceled":
            expired = intent.cancellation_reason in _BY_ITSELF and look is not Look.ANSWER
            return Released(expired=True) if expired else Approved()
        case "succeeded" if _rest_released(intent) and (look is Look.ANSWER or (look is Look.SIGHT and intent.operation_id is not None)):
            # After captures of ours the rest is gone, by this void or by a last capture; the totals in the evidence tell what was taken.
            return Approved()
        case "succeeded" if look is Look.SIGHT and intent.received is not None:
            return _not_allowed(intent.status, http_status)
        case "requires_capture" | "requires_action" | "requires_payment_method" if look is Look.SIGHT:
            # Still open, be it after a decline that the shopper met meanwhile. When that proves that the cancel never took effect is for
            # the domain to say.
            return Absent()
        case _:
            return _misfit(look, http_status, code=intent.status)


def of_refund(refund: Refund, *, http_status: int | None) -> Finding:
    """What a refund object says about the refund that created it."""
    codes = Codes(code=refund.failure_reason or refund.status)
    match refund.status:
        case "succeeded" if refund.amount is not None:
            return Approved()
        case "pending" | "requires_action":
            return Pending()
        case "failed":
            error_class = REFUND_FAILURES.get(refund.failure_reason or "", ErrorClass.OPERATION_NOT_ALLOWED)
            return Declined(failure=failure(error_class, codes, message=None, http_status=http_status))
        case "canceled":
            return _not_allowed(refund.status, http_status)
        case _:
            return unknown(http_status, code="status_not_known")


def of_capture_taken_back(intent: PaymentIntent, *, http_status: int | None) -> Declined | None:
    """What a PaymentIntent says about a capture of it that had succeeded: that it failed after all, or None where it does not say so.

    It is back at the beginning then, with an error and with nothing received. It cannot have been there on the way to the capture: a
    PaymentIntent that was declined is never confirmed again by us.
    """
    error, nothing = intent.error, intent.received is not None and not intent.received.minor
    if intent.status != "requires_payment_method" or error is None or not nothing:
        return None
    return Declined(failure=failure(classify(error.codes), error.codes, message=error.message, http_status=http_status))


def of_dispute(dispute: Dispute) -> tuple[DisputeStage, DisputeStatus] | None:
    """The stage that a dispute has reached and where that stage stands; None for a word of Stripe's that is not known here."""
    return DISPUTES.get(dispute.status)


def _rest_released(intent: PaymentIntent) -> bool:
    amount, received = intent.amount, intent.received
    return amount is not None and received is not None and 0 < received.minor < amount.minor


def _not_allowed(code: str, http_status: int | None) -> Declined:
    return Declined(failure=failure(ErrorClass.OPERATION_NOT_ALLOWED, Codes(code=code), message=None, http_status=http_status))


def _gone(intent: PaymentIntent, http_status: int | None) -> Declined:
    """Nothing is left to capture. EXPIRED is the class from which the domain concludes that the authorisation is gone."""
    codes = Codes(code=intent.cancellation_reason or intent.status)
    return Declined(failure=failure(ErrorClass.EXPIRED, codes, message=None, http_status=http_status))


def _misfit(look: Look, http_status: int | None, *, code: str) -> Declined | Unknown:
    """A refusal stays a refusal, whatever the object looks like; anything else that does not fit is unknown."""
    return _not_allowed(code, http_status) if look is Look.REFUSAL else unknown(http_status, code=code)
