"""What a payment's actor may be told, and what it answers to those who wait. Records only.

Not here: what the actor makes of a message (`transaction`), how it is found (`directory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from actors.mailbox import Reply
from payorch.domain import decide
from payorch.domain.intent import Intent, PaymentMethod
from payorch.domain.outcome import Evidence
from payorch.domain.records import Payment
from payorch.store.items import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The answer to a merchant's command, as stored: `status` and `body` are what a replay of the key gets, byte for byte."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTaken:
    """The merchant's idempotency key was claimed before, by another request: the stored one decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forbidden:
    """The command was refused and nothing has changed; the payment as it stands."""

    refusal: decide.Refused
    payment: Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchPayment:
    """Nothing of that id exists."""


Verdict: TypeAlias = Given | KeyTaken | Forbidden | NoSuchPayment


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Begin this payment. The id is new; `claim` holds the merchant's key, its fingerprint and the id."""

    merchant_id: str
    intent: Intent
    confirm: bool
    claim: Claim
    reply_to: Reply[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    claim: Claim
    method: PaymentMethod | None
    return_url: str | None
    reply_to: Reply[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    claim: Claim
    reply_to: Reply[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A connector's word about a call of ours, or about a look."""

    subject_id: str
    evidence: Evidence
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Some timer of this payment has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopperReturned:
    """The shopper's browser came back for that attempt. A reason to look, never evidence. The payment as it then stands is replied."""

    attempt_id: str
    cause: str
    reply_to: Reply[Payment | None]


Message: TypeAlias = Create | Confirm | Cancel | Answered | Due | ShopperReturned
