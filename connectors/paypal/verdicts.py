"""What an order, authorization, capture, refund or dispute, as PayPal shows it, says about an attempt or operation of ours.

`http_status` is that of the answer with the object in it.

Two kinds of look. An `answer` is what a call of ours got back, so PayPal has done all it will do for it; a `sight` is the object seen from
outside (an inquiry), when a call of ours may still be running or may never have arrived. HTTP 201 is no success: what was made may be
declined or pending, and its status says so. Whatever does not fit is Unknown: only what is understood is definitive.

Not here: HTTP (`answers`), codes (`declines`), and whether amounts and references are ours: they are in the evidence and the domain
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from connectors.paypal.declines import Codes, classify, failure
from connectors.paypal.objects import NOT_TAKEN, TAKEN, Authorization, Capture, Order, PaypalError, Refund
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.outcome import Absent, Approved, Declined, ErrorClass, Finding, Pending, Released, Unknown
from payorch.domain.records import Operation

HOLDS: Final = frozenset({"CREATED", "PARTIALLY_CAPTURED"})
GONE: Final = frozenset({"VOIDED", "EXPIRED"})
_UNPAID: Final = frozenset({"CREATED", "PAYER_ACTION_REQUIRED"})

STAGES: Final[Mapping[str, DisputeStage]] = MappingProxyType(
    {
        "INQUIRY": DisputeStage.PRE_DISPUTE,
        "CHARGEBACK": DisputeStage.DISPUTE,
        "PRE_ARBITRATION": DisputeStage.PRE_ARBITRATION,
        "ARBITRATION": DisputeStage.PRE_ARBITRATION,
    }
)
"""PayPal's stage of a dispute -> ours. One that is not here is for people: see `notices`."""

STATUSES: Final[Mapping[str, DisputeStatus]] = MappingProxyType(
    {
        "OPEN": DisputeStatus.OPENED,
        "WAITING_FOR_SELLER_RESPONSE": DisputeStatus.OPENED,
        "WAITING_FOR_BUYER_RESPONSE": DisputeStatus.CHALLENGED,
        "UNDER_REVIEW": DisputeStatus.CHALLENGED,
    }
)
"""PayPal's status of a dispute that is not decided -> ours."""

OUTCOMES: Final[Mapping[str, DisputeStatus]] = MappingProxyType(
    {
        "RESOLVED_BUYER_FAVOUR": DisputeStatus.LOST,
        "RESOLVED_SELLER_FAVOUR": DisputeStatus.WON,
        "RESOLVED_WITH_PAYOUT": DisputeStatus.WON,  # PayPal pays the buyer, and the seller keeps what he has
        "CANCELED_BY_BUYER": DisputeStatus.CANCELLED,
        "ACCEPTED": DisputeStatus.LOST,
        "DENIED": DisputeStatus.WON,
        "NONE": DisputeStatus.CANCELLED,
    }
)
"""How a dispute with the status RESOLVED was decided -> ours."""


class Look(Enum):
    """How the object came into view."""

    ANSWER = auto()  # our call's own 2xx
    SIGHT = auto()  # an inquiry


def unknown(
    http_status: int | None,
    *,
    error_class: ErrorClass = ErrorClass.UNKNOWN_OUTCOME,
    error: PaypalError | None = None,
    code: str | None = None,
) -> Unknown:
    """Unknown, with what PayPal said, if anything; `code` names in one word what did not fit."""
    codes = error.codes(code) if error is not None else Codes(code=code)
    return Unknown(failure=failure(error_class, codes, message=error.message if error is not None else None, http_status=http_status))


def declined(codes: Codes, *, http_status: int | None) -> Declined | Unknown:
    """What an authorization or capture that came to nothing means. A duplicate is looked into and not believed to be a no."""
    error_class = classify(codes)
    if error_class is ErrorClass.DUPLICATE_AT_PSP:
        return Unknown(failure=failure(error_class, codes, message=None, http_status=http_status))
    return Declined(failure=failure(error_class, codes, message=None, http_status=http_status))


def of_attempt(order: Order, *, automatic: bool, look: Look, http_status: int, at: datetime) -> Finding:
    """What an order says about the attempt that created it. `automatic`: it was to take the money and not only to hold it."""
    if order.units > 1:
        return unknown(http_status, code="several_purchase_units")
    if order.authorizations is None or order.captures is None:
        return unknown(http_status, code="payments_not_understood")
    if automatic and order.authorizations:
        return unknown(http_status, code="held_instead_of_captured")
    if automatic and order.captures:
        return _of_captures(order.captures, http_status)
    if not automatic and order.authorizations:
        return _of_authorizations(order, order.authorizations, order.captures, http_status=http_status, at=at)
    if order.captures:
        return unknown(http_status, code="captured_instead_of_held")
    return _without_money(order, look, http_status)


def the_authorization(authorizations: tuple[Authorization, ...]) -> Authorization | None:
    """The one that counts: the only one that was not refused, or else the last; None where two hold money."""
    alive = [one for one in authorizations if one.status not in ("DENIED", "VOIDED", "EXPIRED")]
    if len(alive) > 1:
        return None
    return alive[0] if alive else authorizations[-1] if authorizations else None


def the_capture(captures: tuple[Capture, ...]) -> Capture | None:
    """Of an order that captures by itself: the only one that was not refused, or else the last; None where there are two."""
    alive = [one for one in captures if one.status not in NOT_TAKEN]
    if len(alive) > 1:
        return None
    return alive[0] if alive else captures[-1] if captures else None


def _of_captures(captures: tuple[Capture, ...], http_status: int) -> Finding:
    taken = the_capture(captures)
    if taken is None:
        return unknown(http_status, error_class=ErrorClass.DUPLICATE_AT_PSP, code="several_captures")
    return of_capture(taken, http_status=http_status)


def _of_authorizations(
    order: Order, authorizations: tuple[Authorization, ...], captures: tuple[Capture, ...], *, http_status: int, at: datetime
) -> Finding:
    held = the_authorization(authorizations)
    if held is None:
        return unknown(http_status, error_class=ErrorClass.DUPLICATE_AT_PSP, code="several_authorizations")
    if held.status in HOLDS | {"CAPTURED"} and held.amount is None:
        return unknown(http_status, code="amount_missing")
    closed = any(one.final and one.status in TAKEN for one in captures)
    match held.status:
        case "CREATED" | "PARTIALLY_CAPTURED" if not closed:
            return Approved(captured=False)
        case "CREATED" | "PARTIALLY_CAPTURED" | "CAPTURED":
            return Approved(captured=True)  # nothing more can be captured; how much was, the totals say
        case "VOIDED" | "EXPIRED" if order.captured is None:
            return unknown(http_status, code="amount_missing")
        case "VOIDED" | "EXPIRED" if order.captured is not None and order.captured.minor:
            return Approved(captured=True)
        case "VOIDED" | "EXPIRED":
            return Released(expired=ran_out(held, at=at))
        case "PENDING":
            return Pending()
        case "DENIED":
            return declined(held.codes, http_status=http_status)
        case _:
            return unknown(http_status, code="status_not_known")


def ran_out(held: Authorization, *, at: datetime) -> bool:
    """Whether an authorization that is gone ended by its time, and not by anybody's void: PayPal has one status for both."""
    if held.status == "EXPIRED":
        return True
    return held.expires_at is not None and held.expires_at <= (held.updated_at or at)


def _without_money(order: Order, look: Look, http_status: int) -> Finding:
    """An order of which nothing was made yet. Only we can finish it, and only once the shopper has done his part."""
    if order.authenticated is False and order.status in _UNPAID | {"APPROVED"}:
        codes = Codes(code="authentication_failed")  # another challenge is for the shopper to ask for, never for us
        return Declined(failure=failure(ErrorClass.FIX_DATA, codes, message=None, http_status=http_status))
    match order.status:
        case "APPROVED":
            return Pending(ready=True)
        case "CREATED" | "PAYER_ACTION_REQUIRED" if order.action is not None:
            return Pending(action=order.action)
        case "VOIDED" if look is Look.SIGHT:
            return Released(expired=False)
        case "COMPLETED":
            return unknown(http_status, code="payments_missing")
        case _:
            return unknown(http_status, code="status_not_known")


def of_capture(capture: Capture, *, http_status: int) -> Finding:
    """What a capture says about the attempt or operation that it was made by."""
    if capture.status in TAKEN:
        return Approved(captured=True) if capture.amount is not None else unknown(http_status, code="amount_missing")
    if capture.status == "PENDING":
        return Pending()
    if capture.status in NOT_TAKEN:
        return declined(capture.codes, http_status=http_status)
    return unknown(http_status, code="status_not_known")


def of_capture_in(operation: Operation, order: Order, *, http_status: int) -> tuple[Finding, Capture | None]:
    """What an order says about one capture of what it holds: it is there under our id, or cannot come any more, or is not there."""
    if order.captures is None or order.authorizations is None:
        return unknown(http_status, code="payments_not_understood"), None
    mine = [one for one in order.captures if operation.id == one.invoice_id or one.id == operation.psp_reference]
    if len(mine) > 1:
        return unknown(http_status, error_class=ErrorClass.DUPLICATE_AT_PSP, code="several_of_ours"), None
    if mine:
        return of_capture(mine[0], http_status=http_status), mine[0]
    held = the_authorization(order.authorizations)
    if held is None or held.status not in HOLDS | GONE | {"CAPTURED"}:
        return unknown(http_status, code="nothing_held"), None
    if _is_closed(held, order):
        return _gone(held.status, http_status), None
    return Absent(), None


def of_void(order: Order, *, http_status: int, at: datetime) -> tuple[Finding, Authorization | None]:
    """What an order says about the void of what it holds, or of the rest of it."""
    if order.captures is None or order.authorizations is None:
        return unknown(http_status, code="payments_not_understood"), None
    held = the_authorization(order.authorizations)
    if held is None:
        return unknown(http_status, code="nothing_held"), None
    match held.status:
        case "VOIDED" | "EXPIRED":
            return Released(expired=True) if ran_out(held, at=at) else Approved(), held
        case "PARTIALLY_CAPTURED" if _is_closed(held, order):
            return Approved(), held  # a last capture of ours released the rest; the totals tell what was taken
        case "CREATED" | "PARTIALLY_CAPTURED":
            return Absent(), held  # when that proves that the void never took effect is for the domain to say
        case "CAPTURED" | "DENIED":
            codes = Codes(code=held.status)
            no = failure(ErrorClass.OPERATION_NOT_ALLOWED, codes, message=None, http_status=http_status)
            return Declined(failure=no), held
        case _:
            return unknown(http_status, code="status_not_known"), held


def of_voided(held: Authorization, *, http_status: int) -> Finding:
    """What the authorization in the answer to a void says about it."""
    return Approved() if held.status in GONE else unknown(http_status, code="status_not_known")


def of_refund(refund: Refund, *, http_status: int) -> Finding:
    """What a refund says about the operation that it was made by."""
    match refund.status:
        case "COMPLETED" if refund.amount is not None:
            return Approved()
        case "PENDING":
            return Pending()
        case "FAILED" | "CANCELLED":
            codes = Codes(code=refund.status, reason=refund.codes.reason)
            return Declined(failure=failure(ErrorClass.OPERATION_NOT_ALLOWED, codes, message=None, http_status=http_status))
        case _:
            return unknown(http_status, code="status_not_known")


def of_refund_in(operation: Operation, order: Order, *, http_status: int) -> tuple[Finding, Refund | None]:
    """What an order says about one refund of what it took."""
    if order.refunds is None:
        return unknown(http_status, code="payments_not_understood"), None
    mine = [one for one in order.refunds if operation.id in (one.custom_id, one.invoice_id) or one.id == operation.psp_reference]
    if len(mine) > 1:
        return unknown(http_status, error_class=ErrorClass.DUPLICATE_AT_PSP, code="several_of_ours"), None
    return (of_refund(mine[0], http_status=http_status), mine[0]) if mine else (Absent(), None)


def of_dispute(stage: str, status: str, outcome: str | None) -> tuple[DisputeStage, DisputeStatus] | None:
    """The stage that a dispute has reached and where that stage stands; None for a word of PayPal's that is not known here."""
    reached = STAGES.get(stage)
    stands = OUTCOMES.get(outcome or "") if status == "RESOLVED" else STATUSES.get(status)
    return None if reached is None or stands is None else (reached, stands)


def _is_closed(held: Authorization, order: Order) -> bool:
    """Whether nothing more can be captured of it. A final capture closes it although PayPal goes on calling it partially captured."""
    final = any(one.final and one.status in TAKEN for one in order.captures or ())
    return final or held.status in GONE | {"CAPTURED"}


def _gone(code: str, http_status: int) -> Declined:
    """Nothing is left to capture. EXPIRED is the class from which the domain concludes that the authorisation is gone."""
    return Declined(failure=failure(ErrorClass.EXPIRED, Codes(code=code), message=None, http_status=http_status))
