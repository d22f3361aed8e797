"""Adyen's published test cards, and what Adyen says when a bank declines.

Source: docs.adyen.com/development-resources/testing (card numbers, and holder names that make a result happen) and /refusal-reasons. Not
here: the tokens every simulator understands (`connectors.simulator.cards`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from connectors.adyen.dialect_errors import invalid
from connectors.simulator.cards import SHARED, Card, Challenge, Decline


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A decline in Adyen's words: its refusal reason and code, what the acquirer said, and Mastercard's advice where it gives one."""

    code: str
    reason: str
    raw: str
    advice: str | None = None


WORDS: Final[Mapping[Decline, Words]] = MappingProxyType(
    {
        Decline.DO_NOT_HONOR: Words(code="2", reason="Refused", raw="05 : Do not honor"),
        Decline.GENERIC: Words(code="27", reason="Declined Non Generic", raw="DECLINED"),
        Decline.INSUFFICIENT_FUNDS: Words(code="12", reason="Not enough balance", raw="51 : Not sufficient funds", advice="02 : Try later"),
        Decline.LOST_CARD: Words(code="5", reason="Blocked Card", raw="41 : Lost card", advice="03 : Do not try again"),
        Decline.STOLEN_CARD: Words(code="5", reason="Blocked Card", raw="43 : Stolen card", advice="03 : Do not try again"),
        Decline.EXPIRED_CARD: Words(code="6", reason="Expired Card", raw="54 : Expired card", advice="01 : New account information"),
        Decline.INCORRECT_CVC: Words(code="24", reason="CVC Declined", raw="N7 : Decline for CVV2 failure"),
        Decline.PROCESSING_ERROR: Words(code="4", reason="Acquirer Error", raw="96 : System malfunction"),
        Decline.VELOCITY: Words(code="29", reason="Withdrawal count exceeded", raw="61 : Exceeds withdrawal amount limit"),
        Decline.FRAUD: Words(code="20", reason="FRAUD", raw="FRAUD"),
        Decline.AUTHENTICATION_REQUIRED: Words(code="38", reason="Authentication required", raw="1A : Authentication required"),
    }
)
NOT_AUTHENTICATED: Final = Words(code="11", reason="3D Not Authenticated", raw="3d-secure: Authentication failed")

_NUMBERS: Final[Mapping[str, Card]] = MappingProxyType(
    {
        "4111111111111111": Card(last4="1111", country="NL"),
        "4111111145551142": Card(last4="1142", country="NL"),
        "5555341244441115": Card(brand="mastercard", last4="1115", country="NL"),
        "370000000000002": Card(brand="amex", last4="0002", country="NL"),
        "4212345678901237": Card(last4="1237", country="US", challenge=Challenge.PASSES),
        "4917610000000000": Card(last4="0000", country="NL", challenge=Challenge.PASSES),
        "5454545454545454": Card(brand="mastercard", last4="5454", country="NL", challenge=Challenge.PASSES),
    }
)
_HOLDERS: Final[Mapping[str, Decline]] = MappingProxyType(
    {
        "DECLINED": Decline.DO_NOT_HONOR,
        "NOT_ENOUGH_BALANCE": Decline.INSUFFICIENT_FUNDS,
        "BLOCK_CARD": Decline.STOLEN_CARD,
        "CARD_EXPIRED": Decline.EXPIRED_CARD,
        "CVC_DECLINED": Decline.INCORRECT_CVC,
        "ERROR": Decline.PROCESSING_ERROR,
        "FRAUD": Decline.FRAUD,
    }
)
_ENCRYPTED: Final = "test_"
_BRANDS: Final = {"mastercard": "mc"}


def brand(card: Card) -> str:
    """A card's brand in Adyen's word."""
    return _BRANDS.get(card.brand, card.brand)


def name_of(method: Mapping[str, Any]) -> str:
    """How a payment remembers its card: the stored token, or the test number; with what its holder's name makes happen. Raises Refused."""
    if method.get("type") not in ("scheme", "card", None):
        raise invalid("905", f"Payment details are not supported: {str(method.get('type'))[:40]}")
    stored = method.get("storedPaymentMethodId") or method.get("recurringDetailReference")
    if stored is not None:
        if stored not in SHARED:
            raise invalid("800", "Contract not found")
        return str(stored)
    number = str(method.get("encryptedCardNumber") or method.get("number") or "").removeprefix(_ENCRYPTED)
    if number not in _NUMBERS:
        raise invalid("101", "Invalid card number")
    holder = str(method.get("holderName") or "").partition(":")[0].strip()
    return f"{number}/{holder}" if holder in _HOLDERS else number


def card_of(name: str) -> Card:
    """The card that `name_of` named."""
    if name in SHARED:
        return SHARED[name]
    number, _, holder = name.partition("/")
    card = _NUMBERS[number]
    return replace(card, decline=_HOLDERS[holder]) if holder else card
