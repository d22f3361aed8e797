"""How the shopper's bank behaves, by test card: what every simulated PSP understands alike.

A card is data: does the bank ask the shopper first, what does it answer, and what goes wrong days later. The tokens here work on every
simulator; a dialect adds its PSP's own test methods and says each decline in its PSP's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Decline(StrEnum):
    """Why a bank (or the PSP's own risk engine: FRAUD) says no."""

    DO_NOT_HONOR = "do_not_honor"
    GENERIC = "generic"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LOST_CARD = "lost_card"
    STOLEN_CARD = "stolen_card"
    EXPIRED_CARD = "expired_card"
    INCORRECT_CVC = "incorrect_cvc"
    PROCESSING_ERROR = "processing_error"
    VELOCITY = "velocity"
    FRAUD = "fraud"
    AUTHENTICATION_REQUIRED = "authentication_required"


class Challenge(StrEnum):
    """Whether the shopper is asked to authenticate, and whether that can succeed."""

    NONE = "none"
    PASSES = "passes"
    FAILS = "fails"


class Claim(StrEnum):
    """What the shopper says to the bank once the money is taken."""

    FRAUD = "fraud"
    NOT_RECEIVED = "not_received"
    ONLY_ASKS = "only_asks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One test card. `decline` is the bank's answer after any challenge; None approves.

    pending: approves, but only some time after the answer. The others below: what fails, lingers or is disputed afterwards.
    """

    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    country: str = "US"
    challenge: Challenge = Challenge.NONE
    decline: Decline | None = None
    pending: bool = False
    capture_fails_late: bool = False
    refund_fails_late: bool = False
    refund_pending: bool = False
    disputed: Claim | None = None


SHARED: Final[Mapping[str, Card]] = MappingProxyType(
    {
        "tok_visa": Card(),
        "tok_mastercard": Card(brand="mastercard", last4="4444"),
        "tok_soft_decline": Card(last4="0002", decline=Decline.DO_NOT_HONOR),
        "tok_insufficient_funds": Card(last4="9995", decline=Decline.INSUFFICIENT_FUNDS),
        "tok_hard_decline": Card(last4="9979", decline=Decline.STOLEN_CARD),
        "tok_expired_card": Card(last4="0069", decline=Decline.EXPIRED_CARD),
        "tok_fraud": Card(last4="0019", decline=Decline.FRAUD),
        "tok_3ds": Card(last4="3220", challenge=Challenge.PASSES),
        "tok_3ds_fail": Card(last4="3220", challenge=Challenge.FAILS),
        "tok_pending": Card(pending=True),
        "tok_capture_fails_late": Card(capture_fails_late=True),
        "tok_refund_fails_late": Card(last4="5126", refund_fails_late=True),
        "tok_refund_pending": Card(last4="7726", refund_pending=True),
    }
)
"""The tokens of API.md, and one whose refunds take their time: without it no shared token makes a refund.pending."""
