"""What PayPal's issues and the processors' codes mean, as versioned data: code -> error class, each table with its source.

`classify` reads every code an answer carries and keeps the strictest meaning: an advice never makes a stolen card retriable. All raw codes
stay in the evidence's redacted answer, so a later version of these tables can be applied to old answers.

Not here: whether money can have moved (`answers`, `verdicts`), which comes first; only which issues say that it may have stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from payorch.domain.outcome import ConnectorDetail, ErrorClass, Failure, NetworkDetail

TABLE_VERSION: Final = "2026-11-29"


def _table(**codes: str) -> Mapping[str, ErrorClass]:
    """`CLASS="code code"` turned round. A code named twice is a ValueError when this module is imported."""
    pairs = [(code, ErrorClass[name]) for name, words in codes.items() for code in words.split()]
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a code has two meanings in one table")
    return MappingProxyType(dict(pairs))


PROCESSOR_CODES: Final = _table(
    # Source: paypal-server-sdk 2.4, ProcessorResponseCode (the published OpenAPI document has the codes without their meanings). Classes
    # as STATES.md has them for the same meaning on the networks. What is not here is SOFT_TRY_OTHER: so are 0500 do not honor, 5100
    # generic decline, and 5910 and 5920 issuer not available.
    AUTHENTICATION_REQUIRED="5650 PCNR",
    SOFT_RETRY_LATER="5120 5710 PPAI PPAX PPDT PPEL PPNL",
    FIX_DATA=(
        "00N7 0390 0890 1330 1335 1380 1382 5110 5130 5135 5170 5190 5400 5500 5950 6300 7700 7710 7800 7900 PCVV PPAD PPAR PPAV PPC2 "
        "PPEF PPEX PPTE"
    ),
    # Closed, stolen, not permitted, told never to come back. PayPal's own advice with 5150, 5180, 9500 and 9520: do not retry the card.
    HARD_DECLINE="0580 0R00 1352 5140 5150 5160 5180 5700 5930 9510 9520 9530 9540 PP06 PPAB PPFR PPRN PPTR",
    FRAUD_BLOCKED="9500 PPSC",
    CONFIGURATION=(
        "1310 1312 1320 1340 1350 1360 1370 8010 8020 8030 PPAE PPAG PPAU PPBG PPCE PPCO PPCT PPCU PPDC PPDI PPMC PPNC PPNM PPPI PPPM PPQC "
        "PPRR PPSE PPTT PPUA PPUC PPUE PPUI PPUP PPVC PPVT"
    ),
    # The processor says that it has seen this payment: evidence that one exists, to be looked into and never retried.
    DUPLICATE_AT_PSP="5200 PPIF",
)

ADVICE_CODES: Final = _table(
    # Source: OpenAPI, processor_response.payment_advice_code. 01 new account information, 02 later, 03 never, 21 stop recurring payments.
    FIX_DATA="01",
    SOFT_RETRY_LATER="02",
    HARD_DECLINE="03 21",
)

STATUS_REASONS: Final = _table(
    # Source: OpenAPI, capture_status_details.reason; only those that say why there was a no.
    SOFT_RETRY_LATER="TRANSACTION_APPROVED_AWAITING_FUNDING",
    CONFIGURATION="RECEIVING_PREFERENCE_MANDATES_MANUAL_ACTION UNILATERAL VERIFICATION_REQUIRED INTERNATIONAL_WITHDRAWAL",
)

DECLINES: Final = _table(
    # Source: OpenAPI, issues of orders.create, orders.authorize and orders.capture: the payer, his bank or PayPal's risk engine says no.
    AUTHENTICATION_REQUIRED="PAYER_ACTION_REQUIRED",
    SOFT_TRY_OTHER=(
        "INSTRUMENT_DECLINED PAYMENT_SOURCE_DECLINED_BY_PROCESSOR PAYMENT_SOURCE_CANNOT_BE_USED REDIRECT_PAYER_FOR_ALTERNATE_FUNDING "
        "PAYER_CANNOT_PAY DECLINED_DUE_TO_RELATED_TXN"
    ),
    SOFT_RETRY_LATER="MAX_NUMBER_OF_PAYMENT_ATTEMPTS_EXCEEDED TRANSACTION_LIMIT_EXCEEDED TRANSACTION_RECEIVING_LIMIT_EXCEEDED",
    FIX_DATA=(
        "BILLING_ADDRESS_INVALID CARD_BRAND_NOT_SUPPORTED CARD_EXPIRED INVALID_EXPIRY_DATE INVALID_SECURITY_CODE_LENGTH "
        "PAYMENT_SOURCE_INFO_CANNOT_BE_VERIFIED REFERENCED_CARD_EXPIRED SHIPPING_ADDRESS_INVALID"
    ),
    HARD_DECLINE="PAYER_ACCOUNT_LOCKED_OR_CLOSED PAYER_ACCOUNT_RESTRICTED AGREEMENT_ALREADY_CANCELLED",
    FRAUD_BLOCKED="COMPLIANCE_VIOLATION PAYEE_BLOCKED_TRANSACTION TRANSACTION_BLOCKED_BY_PAYEE TRANSACTION_REFUSED",
    EXPIRED="ORDER_EXPIRED",
)

REFUSALS: Final = _table(
    # Source: OpenAPI, the same issues, where the account may not do this. What is in no table is INVALID_REQUEST.
    CONFIGURATION=(
        "AUTH_CAPTURE_NOT_ENABLED CONSENT_NEEDED INVALID_ACCOUNT_STATUS NOT_ENABLED_FOR_CARD_PROCESSING NOT_ELIGIBLE_FOR_TOKEN_PROCESSING "
        "NOT_ENABLED_TO_VAULT_PAYMENT_SOURCE PAYEE_ACCOUNT_INVALID PAYEE_ACCOUNT_LOCKED_OR_CLOSED PAYEE_ACCOUNT_NOT_VERIFIED "
        "PAYEE_ACCOUNT_RESTRICTED PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING PERMISSION_DENIED UNSUPPORTED_INTENT_FOR_PAYMENT_SOURCE "
        "DOMESTIC_TRANSACTION_REQUIRED INVALID_CURRENCY_CODE"
    ),
    RATE_LIMITED="RATE_LIMIT_REACHED",
)

OPERATION_REFUSALS: Final = _table(
    # Source: OpenAPI, issues of authorizations.capture, authorizations.void and captures.refund: a definite no to this operation.
    OPERATION_NOT_ALLOWED=(
        "AUTH_CAPTURE_CURRENCY_MISMATCH CANNOT_BE_VOIDED CAPTURE_FULLY_REFUNDED MAX_CAPTURE_AMOUNT_EXCEEDED MAX_CAPTURE_COUNT_EXCEEDED "
        "MAX_NUMBER_OF_REFUNDS_EXCEEDED PARTIAL_REFUND_NOT_ALLOWED PENDING_CAPTURE REFUND_AMOUNT_EXCEEDED REFUND_AMOUNT_TOO_LOW "
        "REFUND_CAPTURE_CURRENCY_MISMATCH REFUND_IS_RESTRICTED REFUND_NOT_ALLOWED REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK "
        "REFUND_TIME_LIMIT_EXCEEDED TRANSACTION_DISPUTED"
    ),
    # The class from which it is concluded that nothing is left to capture.
    EXPIRED="AUTHORIZATION_DENIED AUTHORIZATION_EXPIRED AUTHORIZATION_VOIDED",
    SOFT_RETRY_LATER="REFUND_FAILED_INSUFFICIENT_FUNDS",
    FRAUD_BLOCKED="TRANSACTION_REFUSED",
    SOFT_TRY_OTHER="PAYER_CANNOT_PAY INSTRUMENT_DECLINED",
    HARD_DECLINE="PAYER_ACCOUNT_LOCKED_OR_CLOSED",
)

DEPENDS_ON_THE_STATE: Final = frozenset(
    {
        *("AUTHORIZATION_DENIED", "AUTHORIZATION_EXPIRED", "AUTHORIZATION_VOIDED", "CAPTURE_FULLY_REFUNDED", "MAX_CAPTURE_AMOUNT_EXCEEDED"),
        *("MAX_CAPTURE_COUNT_EXCEEDED", "MAX_NUMBER_OF_REFUNDS_EXCEEDED", "REFUND_AMOUNT_EXCEEDED", "REFUND_NOT_ALLOWED"),
    }
)
"""Refusals for which the first sending of the same call may itself be the reason: in the answer to a replay they prove nothing."""

WAITS_FOR_THE_SHOPPER: Final = frozenset({"ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED"})
"""Why an order cannot be finished yet."""

ALREADY_VOIDED: Final = "PREVIOUSLY_VOIDED"

EXISTS_ALREADY: Final = frozenset(
    {
        *("AUTHORIZATION_ALREADY_CAPTURED", "DUPLICATE_INVOICE_ID", "DUPLICATE_REQUEST_ID", "ORDER_ALREADY_AUTHORIZED"),
        *("ORDER_ALREADY_CAPTURED", "ORDER_COMPLETED_OR_VOIDED", "ORDER_COMPLETION_IN_PROGRESS", "PREVIOUSLY_CAPTURED"),
        *("PREVIOUS_REQUEST_IN_PROGRESS", "RESOURCE_CONFLICT", "MAX_AUTHORIZATION_COUNT_EXCEEDED"),
    }
)
"""Refusals that are evidence of something that was done before: it has to be looked for, and nothing may be done in its place."""
_WORDS_OF_SUCH: Final = ("ALREADY", "DUPLICATE", "IN_PROGRESS", "PREVIOUSLY", "CONFLICT")

_STRICTEST_FIRST: Final = (
    ErrorClass.DUPLICATE_AT_PSP,
    ErrorClass.FRAUD_BLOCKED,
    ErrorClass.HARD_DECLINE,
    ErrorClass.EXPIRED,
    ErrorClass.CONFIGURATION,
    ErrorClass.AUTHENTICATION_REQUIRED,
    ErrorClass.FIX_DATA,
    ErrorClass.SOFT_RETRY_LATER,
    ErrorClass.SOFT_TRY_OTHER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Every code of one PayPal error, or of an authorization or capture that came to nothing; None where it is absent or not a code."""

    code: str | None = None
    response_code: str | None = None
    advice_code: str | None = None
    reason: str | None = None
    scheme: str | None = None


def classify(codes: Codes) -> ErrorClass:
    """The strictest class among all that the codes say; SOFT_TRY_OTHER where they say nothing known (STATES: "05 and all others")."""
    said = {
        DECLINES.get(codes.code or ""),
        PROCESSOR_CODES.get(codes.response_code or ""),
        ADVICE_CODES.get(codes.advice_code or ""),
        STATUS_REASONS.get(codes.reason or ""),
    }
    return next((one for one in _STRICTEST_FIRST if one in said), ErrorClass.SOFT_TRY_OTHER)


def exists_already(issue: str) -> bool:
    """Whether the refusal says that something of the kind was done, or is being done. Also where the issue is one that is not known here:
    what sounds like it is looked into."""
    known = issue == ALREADY_VOIDED or issue in DECLINES or issue in REFUSALS or issue in OPERATION_REFUSALS
    return issue in EXISTS_ALREADY or (not known and any(word in issue for word in _WORDS_OF_SUCH))


WORDS: Final[Mapping[ErrorClass, tuple[str, str]]] = MappingProxyType(
    {
        ErrorClass.AUTHENTICATION_REQUIRED: ("authentication_required", "The issuer wants the shopper to authenticate."),
        ErrorClass.CONFIGURATION: ("connector_configuration", "The connector's account does not allow this."),
        ErrorClass.DUPLICATE_AT_PSP: ("duplicate_at_psp", "The PSP says that it has seen this before; it is being looked up."),
        ErrorClass.EXPIRED: ("expired", "The time to do this is over."),
        ErrorClass.FIX_DATA: ("payment_data_wrong", "The issuer did not accept the payment data; the shopper has to check it."),
        ErrorClass.FRAUD_BLOCKED: ("fraud_suspected", "The payment was blocked as too risky."),
        ErrorClass.HARD_DECLINE: ("card_refused", "The issuer will not accept this card."),
        ErrorClass.INVALID_REQUEST: ("invalid_request", "The PSP refused the message."),
        ErrorClass.OPERATION_NOT_ALLOWED: ("operation_not_allowed", "The PSP does not allow this in the payment's present state."),
        ErrorClass.RATE_LIMITED: ("rate_limited", "The PSP takes no more calls at the moment."),
        ErrorClass.SOFT_RETRY_LATER: ("declined_for_now", "The issuer declined; it may accept later."),
        ErrorClass.SOFT_TRY_OTHER: ("declined", "The issuer declined without a lasting reason."),
        ErrorClass.UNKNOWN_OUTCOME: ("outcome_unknown", "Nobody can say yet whether this took effect."),
    }
)
"""Our own code and sentence for each class that this connector gives: the first of a failure's three layers."""


def failure(error_class: ErrorClass, codes: Codes, *, message: str | None, http_status: int | None) -> Failure:
    """The three layers: ours by class; PayPal's issue and message; the processor's codes, where it gave some."""
    ours = WORDS[error_class]
    network = NetworkDetail(scheme=codes.scheme, decline_code=codes.response_code, advice_code=codes.advice_code)
    said = network.decline_code is not None or network.advice_code is not None
    return Failure(
        error_class=error_class,
        code=ours[0],
        message=ours[1],
        connector=ConnectorDetail(code=codes.code or codes.reason, message=message, http_status=http_status),
        network=network if said else None,
    )
