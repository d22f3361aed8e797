"""The saved cards that this PayPal knows, by the id in its vault, and what it says when a bank declines.

Source: the processor codes of PayPal's OpenAPI document, with the meanings of its official SDK. Not here: the tokens every simulator
understands (`connectors.simulator.cards`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.simulator.cards import SHARED, Card, Challenge, Claim, Decline


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A decline in the processor's codes."""

    response_code: str
    advice_code: str | None = None


WORDS: Final[Mapping[Decline, Words]] = MappingProxyType(
    {
        Decline.DO_NOT_HONOR: Words(response_code="0500"),
        Decline.GENERIC: Words(response_code="5100"),
        Decline.INSUFFICIENT_FUNDS: Words(response_code="5120", advice_code="02"),
        Decline.LOST_CARD: Words(response_code="9520", advice_code="03"),
        Decline.STOLEN_CARD: Words(response_code="9520", advice_code="03"),
        Decline.EXPIRED_CARD: Words(response_code="5400", advice_code="01"),
        Decline.INCORRECT_CVC: Words(response_code="5110"),
        Decline.PROCESSING_ERROR: Words(response_code="9100"),
        Decline.VELOCITY: Words(response_code="5710"),
        Decline.FRAUD: Words(response_code="9500"),
        Decline.AUTHENTICATION_REQUIRED: Words(response_code="5650"),
    }
)

CARDS: Final[Mapping[str, Card]] = MappingProxyType(
    {
        **SHARED,
        "vault_generic_decline": Card(last4="0002", decline=Decline.GENERIC),
        "vault_incorrect_cvc": Card(last4="0127", decline=Decline.INCORRECT_CVC),
        "vault_processing_error": Card(last4="0119", decline=Decline.PROCESSING_ERROR),
        "vault_velocity": Card(last4="6975", decline=Decline.VELOCITY),
        "vault_3ds_then_declined": Card(last4="1629", challenge=Challenge.PASSES, decline=Decline.GENERIC),
        "vault_disputed": Card(last4="0259", disputed=Claim.FRAUD),
        "vault_disputed_not_received": Card(last4="2685", disputed=Claim.NOT_RECEIVED),
        "vault_inquiry": Card(last4="1976", disputed=Claim.ONLY_ASKS),
    }
)
"""Every vault id this PayPal knows."""

WALLET: Final = Card(brand="visa", last4="0000")
"""What stands behind the wallet of the one test shopper."""

BRANDS: Final[Mapping[str, str]] = MappingProxyType({"visa": "VISA", "mastercard": "MASTERCARD"})


def card_of(token: str | None) -> Card:
    """How the saved card with that id behaves, or the wallet where there is none."""
    return CARDS[token] if token is not None else WALLET
