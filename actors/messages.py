"""What a payment's actor may be told, and what it answers to those who wait. Records only.

Not here: what the actor makes of a message (`transaction`), how it is found (`directory`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from actors.mailbox import Reply
from payorch.domain import decide
from payorch.domain.desk import Desk, Story
from payorch.domain.intent import Intent, PaymentMethod
from payorch.domain.outcome import Evidence
from payorch.domain.records import OperationKind, Payment
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
class Capture:
    """Take what is held: all of the rest (`minor` None) or part of it. Its claim names the operation (`subject_id`), as do the next two."""

    claim: Claim
    minor: int | None
    final: bool | None
    reference: str | None
    metadata: Mapping[str, str]
    reply_to: Reply[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Void:
    claim: Claim
    reference: str | None
    metadata: Mapping[str, str]
    reply_to: Reply[Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    claim: Claim
    minor: int | None
    reason: str | None
    reference: str | None
    metadata: Mapping[str, str]
    reply_to: Reply[Verdict]


FollowUp: TypeAlias = Cancel | Capture | Void | Refund
"""Commands that are decided on what is known of a payment, so an unknown outcome is asked about first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryOver:
    """The commands that wait for inquiry number `number` have waited long enough."""

    number: int


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
class AnswersAgain:
    """That PSP answers again, or may: what is unknown there is worth a look before its time.

    sendable: the kinds of operation that it takes, so that those which were surely not sent can be.
    """

    connector: str
    sendable: frozenset[OperationKind]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopperReturned:
    """The shopper's browser came back for that attempt. A reason to look, never evidence. The payment as it then stands is replied.

    returned: what the browser brought, which a PSP may need to finish the payment.
    """

    attempt_id: str
    returned: Mapping[str, str] = field(repr=False)
    cause: str
    reply_to: Reply[Payment | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The notice has had its effect, now or before; `outcome` in one word: applied, or implied by what was known."""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """There is no such payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unweighable:
    """What it says could not be weighed: a bug of ours, or a PSP that says what cannot be. Nothing was written."""

    why: str


Outcome: TypeAlias = Settled | Stranger | Unweighable


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """A PSP told something about this payment, which is stored and acknowledged. `told` hears, once, what became of it; it must not wait.

    kind: the PSP's word for it, or `settled.SETTLEMENT_ROW`. content: the bytes that its connector reads, or that line.
    """

    notice_id: str
    connector: str
    kind: str
    content: bytes = field(repr=False)
    told: Callable[[Outcome], None] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """An operator's act has had its effect, now or `before`. The payment as it stands. asked: what its PSP is asked about now."""

    payment: Payment
    before: bool
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operate:
    """What an operator has done to this payment, once: `write` tells it, or raises `decide.Refused`.

    cause: the act's id, which stands in every event of it. done: whether the journal has an event of that cause, so that an act which is
    asked for again after a crash, or by somebody who lost patience, is not done twice. ask: what its PSP is to be asked about at once.
    """

    actor: str
    cause: str
    write: Callable[[Story], object] = field(repr=False)
    done: Callable[[], Awaitable[bool]] = field(repr=False)
    reply_to: Reply[Operated | Forbidden | NoSuchPayment]
    ask: Callable[[Payment, Desk], tuple[str, ...]] | None = None


Message: TypeAlias = Create | Confirm | FollowUp | InquiryOver | Answered | Due | AnswersAgain | ShopperReturned | Notified | Operate
