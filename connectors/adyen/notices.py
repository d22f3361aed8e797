"""A webhook of Adyen's as the notices that are stored: each item is one, with an identity and a signature of its own.

Kinds that are about nothing we keep are taken and marked. What is genuine and cannot be understood, and every kind that this version does
not know, is a notice too, with the reason in words: money may have moved, so it is for people.

Not here: whether an item is Adyen's (`signatures`), what it means for a payment (`testimony`).
"""

from __future__ import annotations

from typing import Final

from connectors.adyen import signatures, verdicts
from connectors.adyen.objects import Item, Json, decode, item, items, reference, word
from connectors.adyen.redaction import redacted_item
from connectors.contract import Delivery, Forged, Notice
from payorch.domain.identifiers import MalformedIdentifier, parse

_UNREADABLE: Final = "unreadable"
_MOST_ITEMS: Final = 1000
"""Adyen sends one item a delivery as JSON; its format allows several."""
_OURS: Final = frozenset({"att", "cap", "void", "ref"})

ABOUT_PAYMENTS: Final = frozenset({"AUTHORISATION", "OFFER_CLOSED", "EXPIRE"})
MODIFICATIONS: Final = frozenset(
    {
        "CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "TECHNICAL_CANCEL", "CANCEL_OR_REFUND", "REFUND", "REFUND_FAILED", "REFUNDED_REVERSED",
        "POSTPONED_REFUND",
    }
)  # fmt: skip
DISPUTED: Final = frozenset(verdicts.DISPUTES) | {"INFORMATION_SUPPLIED"}
_NOT_OURS: Final = frozenset(
    {
        # Words about cards, accounts, orders of several methods, payouts and reports; and what another notice says better.
        "ACH_NOTIFICATION_OF_CHANGE", "AUTHENTICATION", "AUTORESCUE", "CANCEL_AUTORESCUE", "DIRECT_DEBIT_NOTICE_OF_CHANGE_NOTIFICATION",
        "ISSUER_COMMENTS", "MANUAL_REVIEW_ACCEPT", "MANUAL_REVIEW_REJECT", "ORDER_CLOSED", "ORDER_OPENED", "PAIDOUT_REVERSED",
        "PAYOUT_DECLINE", "PAYOUT_EXPIRE", "PAYOUT_THIRDPARTY", "RECURRING_CONTRACT", "REPORT_AVAILABLE",
    }
)  # fmt: skip
"""MANUAL_REVIEW_REJECT makes Adyen cancel or refund by itself, and that has a notice of its own."""


def receive(delivery: Delivery, *, secrets: tuple[str, ...]) -> tuple[Notice, ...] | Forged:
    """The notices in a delivery of which every item is signed; otherwise why it is not believed. Never raises on any bytes."""
    found = items(delivery.body)
    if found is None or len(found) > _MOST_ITEMS:
        return Forged(reason="not a delivery of notification items")
    forgery = signatures.forged([data for _, data in found], secrets=secrets)
    return forgery or tuple(_notice(raw, data) for raw, data in found)


def shown(content: bytes) -> str:
    """A notice's content without what people must not see. Never raises on any bytes."""
    return redacted_item(decode(content), len(content))


def _notice(raw: bytes, data: Json) -> Notice:
    one = item(data)
    if one is None:
        return Notice(identity=None, kind=word(data.get("eventCode")) or _UNREADABLE, content=raw, problem="an item that cannot be read")
    theirs = (one.psp_reference,) if one.original is None else (one.original, one.psp_reference)
    return Notice(
        identity=_identity(one),
        kind=one.event,
        content=raw,
        psp_references=tuple(reference for reference in theirs if _can_be_known(reference)),
        our_references=_ours(one.reference),
        occurred_at=one.date,
        relevant=one.event not in _NOT_OURS,
        problem=_problem(one),
    )


def _identity(one: Item) -> str:
    """By which two deliveries are the same event. Adyen counts event and reference; a success and its opposite are never the same."""
    parts = [one.account, one.event, one.psp_reference, "true" if one.success else "false"]
    return ":".join([*parts, one.original] if one.original is not None else parts)


def _can_be_known(value: str) -> bool:
    return reference(value) is not None


def _ours(value: str) -> tuple[str, ...]:
    """The merchant's reference, where it can be an id of ours: it can be written by whoever has a key of the account."""
    try:
        prefix, _ = parse(value)
    except MalformedIdentifier:
        return ()
    return (value,) if prefix in _OURS else ()


def _problem(one: Item) -> str | None:
    if one.event in _NOT_OURS:
        return None
    if one.event not in ABOUT_PAYMENTS | MODIFICATIONS | DISPUTED:
        return "an event that this version does not know: it may be about money"
    if one.amount is None:
        return "its amount is none that is understood"
    return None
