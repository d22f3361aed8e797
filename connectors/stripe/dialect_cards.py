"""Stripe's published test PaymentMethods, and what Stripe says when a bank declines.

Source: docs.stripe.com/testing and docs.stripe.com/declines/codes. Where Stripe publishes no advice or network code, the value is the one
its recorded answers show, or none. Not here: the tokens every simulator understands (`connectors.simulator.cards`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.simulator.cards import SHARED, Card, Challenge, Claim, Decline


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A decline in Stripe's words. `blocked`: Stripe's own risk engine said no, the bank was never asked."""

    code: str
    decline_code: str
    message: str
    advice_code: str | None = None
    network_decline_code: str | None = None
    blocked: bool = False


_DECLINED: Final = "Your card was declined."
WORDS: Final[Mapping[Decline, Words]] = MappingProxyType(
    {
        Decline.DO_NOT_HONOR: Words(code="card_declined", decline_code="do_not_honor", message=_DECLINED, network_decline_code="05"),
        Decline.GENERIC: Words(
            code="card_declined",
            decline_code="generic_decline",
            message=_DECLINED,
            advice_code="try_again_later",
            network_decline_code="01",
        ),
        Decline.INSUFFICIENT_FUNDS: Words(
            code="card_declined",
            decline_code="insufficient_funds",
            message="Your card has insufficient funds.",
            advice_code="try_again_later",
            network_decline_code="51",
        ),
        Decline.LOST_CARD: Words(
            code="card_declined",
            decline_code="lost_card",
            message=_DECLINED,
            advice_code="do_not_try_again",
            network_decline_code="41",
        ),
        Decline.STOLEN_CARD: Words(
            code="card_declined",
            decline_code="stolen_card",
            message=_DECLINED,
            advice_code="do_not_try_again",
            network_decline_code="43",
        ),
        Decline.EXPIRED_CARD: Words(
            code="expired_card",
            decline_code="expired_card",
            message="Your card has expired.",
            advice_code="confirm_card_data",
            network_decline_code="54",
        ),
        Decline.INCORRECT_CVC: Words(
            code="incorrect_cvc",
            decline_code="incorrect_cvc",
            message="Your card's security code is incorrect.",
            advice_code="confirm_card_data",
            network_decline_code="N7",
        ),
        Decline.PROCESSING_ERROR: Words(
            code="processing_error",
            decline_code="processing_error",
            message="An error occurred while processing your card. Try again in a little bit.",
            advice_code="try_again_later",
            network_decline_code="96",
        ),
        Decline.VELOCITY: Words(
            code="card_declined",
            decline_code="card_velocity_exceeded",
            message="Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
            advice_code="try_again_later",
            network_decline_code="61",
        ),
        Decline.FRAUD: Words(code="card_declined", decline_code="fraudulent", message=_DECLINED, blocked=True),
        Decline.AUTHENTICATION_REQUIRED: Words(
            code="authentication_required",
            decline_code="authentication_required",
            message="Your card was declined. This transaction requires authentication.",
            network_decline_code="1A",
        ),
    }
)


def _declined(last4: str, decline: Decline, *, challenge: Challenge = Challenge.NONE) -> Card:
    return Card(last4=last4, decline=decline, challenge=challenge)


_DECLINING: Final[Mapping[str, Card]] = {
    "": _declined("0002", Decline.GENERIC),
    "InsufficientFunds": _declined("9995", Decline.INSUFFICIENT_FUNDS),
    "LostCard": _declined("9987", Decline.LOST_CARD),
    "StolenCard": _declined("9979", Decline.STOLEN_CARD),
    "ExpiredCard": _declined("0069", Decline.EXPIRED_CARD),
    "IncorrectCvc": _declined("0127", Decline.INCORRECT_CVC),
    "ProcessingError": _declined("0119", Decline.PROCESSING_ERROR),
    "VelocityLimitExceeded": _declined("6975", Decline.VELOCITY),
    "Fraudulent": _declined("0019", Decline.FRAUD),
}

_DISPUTED: Final[Mapping[str, Card]] = {
    "": Card(last4="0259", disputed=Claim.FRAUD),
    "ProductNotReceived": Card(last4="2685", disputed=Claim.NOT_RECEIVED),
    "Inquiry": Card(last4="1976", disputed=Claim.ONLY_ASKS),
}

CARDS: Final[Mapping[str, Card]] = MappingProxyType(
    {
        **SHARED,
        "pm_card_visa": Card(),
        "pm_card_visa_debit": Card(last4="5556", funding="debit"),
        "pm_card_mastercard": Card(brand="mastercard", last4="4444"),
        "pm_card_mastercard_debit": Card(brand="mastercard", last4="8210", funding="debit"),
        "pm_card_mastercard_prepaid": Card(brand="mastercard", last4="5100", funding="prepaid"),
        "pm_card_amex": Card(brand="amex", last4="8431"),
        "pm_card_discover": Card(brand="discover", last4="1117"),
        "pm_card_diners": Card(brand="diners", last4="0004"),
        "pm_card_jcb": Card(brand="jcb", last4="0505", country="JP"),
        "pm_card_unionpay": Card(brand="unionpay", last4="0005", country="CN"),
        "pm_card_us": Card(),
        "pm_card_gb": Card(last4="0000", country="GB"),
        "pm_card_de": Card(last4="0011", country="DE"),
        "pm_card_fr": Card(last4="0003", country="FR"),
        # Stripe's page lists most of these with `visa_`, older pages without it; both work.
        **{f"pm_card_chargeDeclined{suffix}": card for suffix, card in _DECLINING.items()},
        **{f"pm_card_visa_chargeDeclined{suffix}": card for suffix, card in _DECLINING.items()},
        "pm_card_chargeCustomerFail": _declined("0341", Decline.GENERIC),
        "pm_card_radarBlock": _declined("0101", Decline.FRAUD),
        "pm_card_authenticationRequired": Card(last4="3184", challenge=Challenge.PASSES),
        "pm_card_threeDSecureRequired": Card(last4="3063", challenge=Challenge.PASSES),
        "pm_card_threeDSecure2Required": Card(last4="3220", challenge=Challenge.PASSES),
        "pm_card_threeDSecureOptional": Card(last4="3055"),
        "pm_card_threeDSecureRequiredChargeDeclined": _declined("1629", Decline.GENERIC, challenge=Challenge.PASSES),
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": _declined(
            "3178", Decline.INSUFFICIENT_FUNDS, challenge=Challenge.PASSES
        ),
        "pm_card_pendingRefund": Card(last4="7726", refund_pending=True),
        "pm_card_refundFail": Card(last4="5126", refund_fails_late=True),
        **{f"{kind}_createDispute{suffix}": card for kind in ("pm_card", "tok") for suffix, card in _DISPUTED.items()},
    }
)
"""Every payment method this Stripe knows."""
