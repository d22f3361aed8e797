"""What Stripe's and the card networks' codes mean, as versioned data: code -> error class, each table with its source.

`classify` reads every code an answer carries and keeps the strictest meaning: an advice never makes a stolen card retriable. All raw codes
stay in the evidence's redacted answer, so a later version of these tables can be applied to old answers.

Not here: whether money can have moved (`answers`, `verdicts`), which comes first and never from these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from payorch.domain.outcome import ConnectorDetail, ErrorClass, Failure, NetworkDetail

TABLE_VERSION: Final = "2026-11-23"


def _table(**codes: str) -> Mapping[str, ErrorClass]:
    """`CLASS="code code"` turned round. A code named twice is a ValueError when this module is imported."""
    pairs = [(code, ErrorClass[name]) for name, words in codes.items() for code in words.split()]
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a code has two meanings in one table")
    return MappingProxyType(dict(pairs))


DECLINE_CODES: Final = _table(
    # Source: docs.stripe.com/declines/codes ("next steps"), grouped as in PSP.md 1.5 and, where the two differ, as in STATES.md.
    AUTHENTICATION_REQUIRED="authentication_required mobile_device_authentication_required",
    SOFT_TRY_OTHER=(
        "approve_with_id call_issuer do_not_honor generic_decline issuer_not_available processing_error reenter_transaction try_again_later"
    ),
    SOFT_RETRY_LATER="card_velocity_exceeded insufficient_funds invalid_amount withdrawal_count_limit_exceeded",
    FIX_DATA=(
        "expired_card incorrect_address incorrect_cvc incorrect_number incorrect_pin incorrect_zip invalid_cvc invalid_expiry_month "
        "invalid_expiry_year invalid_number invalid_pin new_account_information_available offline_pin_required "
        "online_or_offline_pin_required pin_try_exceeded"
    ),
    HARD_DECLINE=(
        "card_not_supported currency_not_supported do_not_try_again invalid_account lost_card no_action_taken not_permitted pickup_card "
        "restricted_card revocation_of_all_authorizations revocation_of_authorization security_violation service_not_allowed stolen_card "
        "stop_payment_order testmode_decline transaction_not_allowed"
    ),
    FRAUD_BLOCKED="fraudulent merchant_blacklist",
    # The issuer says that it has seen this payment: evidence that one exists, to be looked into and never retried.
    DUPLICATE_AT_PSP="duplicate_transaction",
)

ADVICE_CODES: Final = _table(
    # Source: stripe-python 16.1, Charge.outcome.advice_code; classes as in STATES.md.
    SOFT_RETRY_LATER="try_again_later",
    HARD_DECLINE="do_not_try_again",
    FIX_DATA="confirm_card_data",
)

MERCHANT_ADVICE_CODES: Final = _table(
    # Mastercard's merchant advice codes, Stripe's `network_advice_code`. 24 to 30 name a delay of 1 hour to 10 days. Source: STATES.md.
    FIX_DATA="01",
    SOFT_RETRY_LATER="02 24 25 26 27 28 29 30",
    HARD_DECLINE="03 21",
)

NETWORK_DECLINE_CODES: Final = _table(
    # ISO 8583 response codes, Stripe's `network_decline_code`. Source: STATES.md (Visa's categories, as Checkout.com and Forte give them).
    HARD_DECLINE="04 07 12 15 41 43 46 57 R0 R1 R3",
    # 03, 62, 78, 93: Checkout.com says category 2 (later), Forte category 1 (never). We follow the first: a card is not blocked on doubt.
    SOFT_RETRY_LATER="03 19 51 61 62 75 78 86 93 N3 N4",
    SOFT_TRY_OTHER="05 91 96",
    FRAUD_BLOCKED="59",
    # 14, wrong number: Checkout.com says never, Forte fix the data. A mistyped number is not a stolen card, so the second.
    FIX_DATA="14 54 55 82 6P N7",
    DUPLICATE_AT_PSP="94",
)

SCHEME_DECLINE_CODES: Final[Mapping[tuple[str, str], ErrorClass]] = MappingProxyType(
    # Codes that mean something else on each network. Without the network they say nothing.
    {
        ("visa", "1A"): ErrorClass.AUTHENTICATION_REQUIRED,
        ("visa", "65"): ErrorClass.SOFT_RETRY_LATER,
        ("mastercard", "65"): ErrorClass.AUTHENTICATION_REQUIRED,
    }
)

ERROR_CODES: Final = _table(
    # Source: docs.stripe.com/error-codes, for errors of type card_error and for `last_payment_error`.
    AUTHENTICATION_REQUIRED="authentication_required",
    # A challenge that was failed or left: another challenge is for the shopper to ask for, never for us.
    FIX_DATA=(
        "expired_card incorrect_address incorrect_cvc incorrect_number incorrect_zip india_recurring_payment_mandate_canceled "
        "invalid_card_type invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number payment_intent_authentication_failure "
        "payment_intent_mandate_invalid three_d_secure_authentication_not_supported"
    ),
    SOFT_TRY_OTHER=(
        "card_declined payment_intent_payment_attempt_failed payment_method_provider_decline payment_method_provider_timeout "
        "processing_error three_d_secure_authentication_upstream_error"
    ),
    SOFT_RETRY_LATER="card_decline_rate_limit_exceeded insufficient_funds",
    CUSTOMER_CANCELED="payment_method_customer_decline",
    EXPIRED="payment_intent_payment_attempt_expired",
)

REFUSALS: Final = _table(
    # Source: docs.stripe.com/error-codes, for errors of type invalid_request_error; what is not here is INVALID_REQUEST.
    CONFIGURATION=(
        "account_invalid api_key_expired capability_not_active livemode_mismatch not_allowed_on_standard_account payment_method_restricted "
        "payment_method_unactivated payment_method_unsupported_type platform_account_required platform_api_key_expired secret_key_required "
        "testmode_charges_only tls_version_unsupported"
    ),
)

OPERATION_REFUSALS: Final = _table(
    # The same for captures, voids and refunds: a definite no to this operation, the payment stays as it is.
    OPERATION_NOT_ALLOWED=(
        "amount_too_large amount_too_small capture_unauthorized_payment charge_already_refunded charge_disputed charge_not_refundable "
        "intent_invalid_state payment_intent_unexpected_state refund_disputed_payment status_transition_invalid"
    ),
    EXPIRED="capture_charge_authorization_expired charge_expired_for_capture",
    SOFT_RETRY_LATER="balance_insufficient",
    # Captured by somebody else, or by a sending of ours that we know nothing of: look before saying no.
    DUPLICATE_AT_PSP="charge_already_captured",
)

REFUND_FAILURES: Final = _table(
    # Source: stripe-python 16.1, Refund.failure_reason.
    SOFT_RETRY_LATER="insufficient_funds",
    OPERATION_NOT_ALLOWED=(
        "charge_for_pending_refund_disputed declined expired_or_canceled_card lost_or_stolen_card merchant_request unknown"
    ),
)

# Charge.outcome.network_status: stopped by Stripe itself, before the issuer saw it or after it had agreed. Both are definitive.
_STOPPED_BY_STRIPE: Final = frozenset({"not_sent_to_network", "reversed_after_approval"})

_STRICTEST_FIRST: Final = (
    ErrorClass.DUPLICATE_AT_PSP,
    ErrorClass.FRAUD_BLOCKED,
    ErrorClass.HARD_DECLINE,
    ErrorClass.CUSTOMER_CANCELED,
    ErrorClass.EXPIRED,
    ErrorClass.CONFIGURATION,
    ErrorClass.AUTHENTICATION_REQUIRED,
    ErrorClass.FIX_DATA,
    ErrorClass.SOFT_RETRY_LATER,
    ErrorClass.SOFT_TRY_OTHER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Every code of one Stripe error or failed charge; None where it is absent or not a code."""

    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    network_decline_code: str | None = None
    network_advice_code: str | None = None
    network_status: str | None = None
    outcome_type: str | None = None
    scheme: str | None = None


def classify(codes: Codes) -> ErrorClass:
    """The strictest class among all that the codes say; SOFT_TRY_OTHER where they say nothing known (STATES: "05 and all others")."""
    said = {
        DECLINE_CODES.get(codes.decline_code or ""),
        ADVICE_CODES.get(codes.advice_code or ""),
        MERCHANT_ADVICE_CODES.get(codes.network_advice_code or ""),
        NETWORK_DECLINE_CODES.get(codes.network_decline_code or ""),
        SCHEME_DECLINE_CODES.get((codes.scheme or "", codes.network_decline_code or "")),
        ERROR_CODES.get(codes.code or ""),
        _stopped(codes),
    }
    return next((one for one in _STRICTEST_FIRST if one in said), ErrorClass.SOFT_TRY_OTHER)


def _stopped(codes: Codes) -> ErrorClass | None:
    """Stripe's own block: by risk, or because the charge cannot be made at all (`invalid`)."""
    if codes.network_status not in _STOPPED_BY_STRIPE:
        return None
    return ErrorClass.CONFIGURATION if codes.outcome_type == "invalid" else ErrorClass.FRAUD_BLOCKED


WORDS: Final[Mapping[ErrorClass, tuple[str, str]]] = MappingProxyType(
    {
        ErrorClass.AUTHENTICATION_REQUIRED: ("authentication_required", "The issuer wants the shopper to authenticate."),
        ErrorClass.CONFIGURATION: ("connector_configuration", "The connector's account does not allow this."),
        ErrorClass.CUSTOMER_CANCELED: ("customer_canceled", "The shopper gave up."),
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
    """The three layers: ours by class; Stripe's code and message; the network's codes or, where it gave none, Stripe's words for them."""
    ours = WORDS[error_class]
    network = NetworkDetail(
        scheme=codes.scheme,
        decline_code=codes.network_decline_code or codes.decline_code,
        advice_code=codes.network_advice_code or codes.advice_code,
    )
    said = network.decline_code is not None or network.advice_code is not None
    return Failure(
        error_class=error_class,
        code=ours[0],
        message=ours[1],
        connector=ConnectorDetail(code=codes.code, message=message, http_status=http_status),
        network=network if said else None,
    )
