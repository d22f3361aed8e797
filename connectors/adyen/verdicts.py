"""What Adyen's word about a payment or modification says about an attempt or operation of ours: view -> finding.

`http_status` is that of the answer; None for a webhook. Whatever does not fit is Unknown: only what is understood is definitive.

Not here: HTTP (`answers`), codes (`declines`), and whether amounts and references are ours: they are in the evidence and the domain
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.adyen.declines import NOT_DEFINITIVE_IN_ERROR, REFUSAL_REASON_CODES, Codes, classify, failure
from connectors.adyen.objects import AdyenError, PaymentResult
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.outcome import Approved, Declined, ErrorClass, Finding, Pending, Unknown

_P, _D, _A = DisputeStage.PRE_DISPUTE, DisputeStage.DISPUTE, DisputeStage.PRE_ARBITRATION
_S = DisputeStatus

DISPUTES: Final[Mapping[str, tuple[DisputeStage, DisputeStatus]]] = MappingProxyType(
    {
        "NOTIFICATION_OF_FRAUD": (_P, _S.OPENED),  # the issuer's early warning: nothing is taken
        "REQUEST_FOR_INFORMATION": (_P, _S.OPENED),
        "NOTIFICATION_OF_CHARGEBACK": (_D, _S.OPENED),
        "CHARGEBACK": (_D, _S.OPENED),
        "DISPUTE_DEFENSE_PERIOD_ENDED": (_D, _S.EXPIRED),
        "CHARGEBACK_REVERSED": (_D, _S.WON),  # the money is back; the issuer may come again, which is a stage of its own
        "ISSUER_RESPONSE_TIMEFRAME_EXPIRED": (_D, _S.WON),
        "SECOND_CHARGEBACK": (_D, _S.LOST),  # the issuer declined the defence, and the money is gone for good
        "PREARBITRATION_OPEN": (_A, _S.OPENED),
        "PREARBITRATION_ACCEPTED": (_A, _S.ACCEPTED),
        "PREARBITRATION_DECLINED": (_A, _S.CHALLENGED),
        "PREARBITRATION_ISSUER_WITHDRAWN": (_A, _S.CANCELLED),
        "PREARBITRATION_WON": (_A, _S.WON),
        "PREARBITRATION_LOST": (_A, _S.LOST),
        "SCHEME_ARBITRATION": (_A, _S.CHALLENGED),
        "SCHEME_ARBITRATION_WON": (_A, _S.WON),
        "SCHEME_ARBITRATION_LOST": (_A, _S.LOST),
    }
)
"""Adyen's event -> stage and status of the dispute that it is about. Source: Adyen's webhooks document (`psp-specs`), disputes."""


def unknown(http_status: int | None, *, error: AdyenError | None = None, code: str | None = None) -> Unknown:
    """Unknown, with what Adyen said, if anything; `code` names in one word what did not fit."""
    codes = Codes(code=code if error is None else error.code)
    message = error.message if error is not None else None
    return Unknown(failure=failure(ErrorClass.UNKNOWN_OUTCOME, codes, message=message, http_status=http_status))


def of_result(result: PaymentResult, *, http_status: int) -> Finding:
    """What the answer to /payments or /payments/details says about the attempt that it is for. HTTP success is none of the payment's."""
    match result.result_code:
        case "Authorised" | "PartiallyAuthorised" if result.psp_reference is None:
            return unknown(http_status, code="reference_missing")  # no capture or cancel could ever name it
        case "Authorised" | "PartiallyAuthorised" if result.contradictory:
            return unknown(http_status, code="amount_unclear")
        case "Authorised":
            return Approved(captured=False)
        case "PartiallyAuthorised" if result.amount is not None:
            return Approved(captured=False)  # with its own amount, which is not the one that was asked for
        case "Refused":
            return _refused(result, http_status)
        case "Cancelled":
            return _declined(ErrorClass.CUSTOMER_CANCELED, result, http_status)
        case "Error" if _is_definitive(result):
            return _refused(result, http_status)
        case "RedirectShopper" | "IdentifyShopper" | "ChallengeShopper":
            return _action(result, http_status)
        case "Pending" | "Received" | "PresentToShopper":
            return Pending()
        case _:
            return unknown(http_status, code=result.result_code)


def _refused(result: PaymentResult, http_status: int) -> Declined:
    return _declined(classify(result.codes), result, http_status)


def _declined(error_class: ErrorClass, result: PaymentResult, http_status: int) -> Declined:
    return Declined(failure=failure(error_class, result.codes, message=result.message, http_status=http_status))


def _is_definitive(result: PaymentResult) -> bool:
    """Whether an error names a reason for which nothing can have been authorised."""
    code = result.codes.refusal_code
    return code in REFUSAL_REASON_CODES and code not in NOT_DEFINITIVE_IN_ERROR


def _action(result: PaymentResult, http_status: int) -> Finding:
    """A redirect is the shopper's turn. The native 3DS actions need Adyen's script in his page, and we ask never to be given them: nobody
    can finish one, and without our own next call nothing is authorised, so it is a definitive no, and a step-up may follow."""
    if result.action is not None:
        return Pending(action=result.action)
    if result.action_type == "threeDS2" or result.result_code in ("IdentifyShopper", "ChallengeShopper"):
        codes = Codes(code="action_without_redirect")
        return Declined(failure=failure(ErrorClass.AUTHENTICATION_REQUIRED, codes, message=None, http_status=http_status))
    return unknown(http_status, code="action_not_understood")


def not_done() -> Declined:
    """A capture, cancel or refund that Adyen says, by webhook, did not succeed. Why, it says in words that are not signed."""
    codes = Codes(code="not_successful")
    return Declined(failure=failure(ErrorClass.OPERATION_NOT_ALLOWED, codes, message=None, http_status=None))


def not_authorised() -> Declined:
    """An authorisation that Adyen says, by webhook, was refused. Why, it says in words that are not signed.

    So nobody may conclude that another connector could be tried: a suspicion of fraud looks the same from here.
    """
    codes = Codes(code="not_successful")
    return Declined(failure=failure(ErrorClass.SOFT_RETRY_LATER, codes, message=None, http_status=None))


def timed_out() -> Declined:
    """The shopper let the time for his part pass."""
    return Declined(failure=failure(ErrorClass.EXPIRED, Codes(code="OFFER_CLOSED"), message=None, http_status=None))
