"""What Adyen's and the card networks' codes mean, as versioned data: code -> error class, each table with its source.

`classify` reads every code an answer carries and keeps the strictest meaning: an advice never makes a stolen card retriable, and a scheme's
advice beats Adyen's generic "Refused". All raw codes stay in the evidence's redacted answer, so a later version of these tables can be
applied to old answers.

Not here: whether money can have moved (`answers`, `verdicts`), which comes first and never from these tables.
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


REFUSAL_REASON_CODES: Final = _table(
    # Source: docs.adyen.com/development-resources/refusal-reasons, grouped as in PSP.md 2.5 and, where the two differ, as in STATES.md.
    # 2 Refused, 3 Referral, 4 Acquirer Error, 9 Issuer Unavailable, 10 Not supported, 19 Pin validation not possible, 21 Not Submitted,
    # 27 Declined Non Generic, 39 RReq not received from DS, 40 AID in Penalty Box.
    SOFT_TRY_OTHER="2 3 4 9 10 19 21 27 39 40",
    # 12 Not enough balance, 28 Withdrawal amount exceeded, 29 Withdrawal count exceeded.
    SOFT_RETRY_LATER="12 28 29",
    # 11 3D Not Authenticated and 42 3DS Authentication Error: what the shopper did not do or could not; another try is for him to ask for.
    # 6 Expired Card, 8 Invalid Card Number, 17 Invalid Pin, 24 CVC Declined, 32 AVS Declined, 33 Card requires online pin, 34 and 35 no
    # such account, 36 Mobile pin required, 37 Contactless fallback, 41 CVM Required, 43 Online PIN, 44 Try another interface, 45 Chip
    # downgrade.
    FIX_DATA="6 8 11 17 24 32 33 34 35 36 37 41 42 43 44 45",
    # 38 Authentication required.
    AUTHENTICATION_REQUIRED="38",
    # 5 Blocked Card, 18 Pin tries exceeded, 23 Transaction Not Permitted, 25 Restricted Card, 26 Revocation Of Auth, 46 blocked by Adyen to
    # prevent excessive retry fees, 50 Token revoked.
    HARD_DECLINE="5 18 23 25 26 46 50",
    # 14 Acquirer Fraud, 20 FRAUD, 22 FRAUD-CANCELLED, 31 Issuer Suspected Fraud.
    FRAUD_BLOCKED="14 20 22 31",
    # 15 Cancelled, 16 Shopper Cancelled.
    CUSTOMER_CANCELED="15 16",
    # 7 Invalid Amount.
    INVALID_REQUEST="7",
)

NOT_DEFINITIVE_IN_ERROR: Final = frozenset({"4", "9", "39"})
"""Codes that, under resultCode `Error`, only say that somebody could not be reached: whether the issuer had agreed by then nobody says.
Under `Refused` they are a no."""

MERCHANT_ADVICE_CODES: Final = _table(
    # Mastercard's merchant advice codes, Adyen's `additionalData.merchantAdviceCode`. 24 to 30 name a delay. Source: STATES.md.
    FIX_DATA="01",
    SOFT_RETRY_LATER="02 24 25 26 27 28 29 30",
    HARD_DECLINE="03 21",
)

NETWORK_DECLINE_CODES: Final = _table(
    # ISO 8583 response codes, the beginning of Adyen's `additionalData.refusalReasonRaw`. Source: STATES.md (Visa's categories, as
    # Checkout.com and Forte give them), with the same choices as for other connectors. 05 says no more than Adyen's own 2.
    HARD_DECLINE="04 07 12 15 41 43 46 57 R0 R1 R3",
    SOFT_RETRY_LATER="03 19 51 61 62 75 78 86 93 N3 N4",
    SOFT_TRY_OTHER="05 91 96",
    FRAUD_BLOCKED="59",
    FIX_DATA="14 54 55 82 6P N7",
)

REFUSALS: Final = _table(
    # Source: docs.adyen.com/development-resources/error-codes, for messages that were refused; what is not here is INVALID_REQUEST.
    # 901 Invalid Merchant Account, 902 Shouldn't be called, 903 Internal, 905 Payment details are not supported, 905_1 no acquirer account,
    # 906 and 907 the like, 010 Not allowed, 000 Unauthorized, 100 to 109 are about the card's fields, which a token does not have.
    CONFIGURATION="000 010 901 902 905 905_1 905_2 905_3 906 907",
)

OPERATION_REFUSALS: Final = _table(
    # The same for captures, voids and refunds: a definite no to this operation, the payment stays as it is. Most such refusals come later,
    # by webhook. 10 Not allowed for this payment.
    OPERATION_NOT_ALLOWED="10",
)

_STRICTEST_FIRST: Final = (
    ErrorClass.FRAUD_BLOCKED,
    ErrorClass.HARD_DECLINE,
    ErrorClass.CUSTOMER_CANCELED,
    ErrorClass.EXPIRED,
    ErrorClass.INVALID_REQUEST,
    ErrorClass.AUTHENTICATION_REQUIRED,
    ErrorClass.FIX_DATA,
    ErrorClass.SOFT_RETRY_LATER,
    ErrorClass.SOFT_TRY_OTHER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Every code of one refusal; None where it is absent or not a code. `code`: of an error of Adyen's, or a word of ours."""

    code: str | None = None
    refusal_code: str | None = None
    network_code: str | None = None
    advice_code: str | None = None
    scheme: str | None = None


def classify(codes: Codes) -> ErrorClass:
    """The strictest class among all that the codes say; SOFT_TRY_OTHER where they say nothing known (STATES: "05 and all others")."""
    said = {
        REFUSAL_REASON_CODES.get(codes.refusal_code or ""),
        MERCHANT_ADVICE_CODES.get(codes.advice_code or ""),
        NETWORK_DECLINE_CODES.get(codes.network_code or ""),
    }
    return next((one for one in _STRICTEST_FIRST if one in said), ErrorClass.SOFT_TRY_OTHER)


WORDS: Final[Mapping[ErrorClass, tuple[str, str]]] = MappingProxyType(
    {
        ErrorClass.AUTHENTICATION_REQUIRED: ("authentication_required", "The issuer wants the shopper to authenticate."),
        ErrorClass.CONFIGURATION: ("connector_configuration", "The connector's account does not allow this."),
        ErrorClass.CUSTOMER_CANCELED: ("customer_canceled", "The shopper gave up."),
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
    """The three layers: ours by class; Adyen's code and message; the network's codes, where it gave any."""
    ours = WORDS[error_class]
    network = NetworkDetail(scheme=codes.scheme, decline_code=codes.network_code, advice_code=codes.advice_code)
    said = network.decline_code is not None or network.advice_code is not None
    return Failure(
        error_class=error_class,
        code=ours[0],
        message=ours[1],
        connector=ConnectorDetail(code=codes.refusal_code or codes.code, message=message, http_status=http_status),
        network=network if said else None,
    )
