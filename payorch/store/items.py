"""What may be handed to the journal, and what it answers: records only.

An item is written as a whole or not at all, whatever becomes of the others in its batch. Not here: how items become rows (`batch`), nor
how they are committed (`journal`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from payorch.domain.events import Event
from payorch.domain.payment import AttemptState
from payorch.domain.records import Attempt, Operation, Payment


class Claim(Struct, frozen=True, kw_only=True, gc=False):
    """A merchant's idempotency key, taken for one request: for ever. `subject_id`: the operation it makes, where it makes one.

    fingerprint: of method, path and body in canonical form. method_path: for people, as in `POST /v1/payments`.
    """

    merchant_id: str
    key: str
    fingerprint: bytes
    method_path: str
    payment_id: str
    request_id: str
    created_at: datetime
    subject_id: str | None = None


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """The HTTP answer to a claimed key. Stored only where none is stored yet: the first one stands. An item of its own, or part of one."""

    merchant_id: str
    key: str
    status: int
    body: bytes
    at: datetime


class OutboxRow(Struct, frozen=True, kw_only=True, gc=False):
    """One event for the merchant's endpoints. `sequence` orders them within the payment; `body` is the JSON to be sent."""

    event_id: str
    sequence: int
    type: str
    body: bytes


class Append(Struct, frozen=True, kw_only=True, gc=False):
    """One payment's step: its events, with everything that follows from them.

    payment: as it is afterwards. expected_version: before the first event; the events are numbered from there. attempts, operations: those
    that the events made or changed. No events: nothing of the payment changes, and only a claim or an answer is written.
    """

    payment: Payment
    expected_version: int
    events: tuple[Event, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    operations: tuple[Operation, ...] = ()
    claim: Claim | None = None
    answer: Answer | None = None
    outbox: tuple[OutboxRow, ...] = ()


class MerchantRow(Struct, frozen=True, kw_only=True, gc=False):
    id: str
    name: str
    created_at: datetime


class MerchantKeyRow(Struct, frozen=True, kw_only=True, gc=False):
    """A merchant's API key. Of the key itself only the digest; found by its lookup id."""

    lookup_id: str
    merchant_id: str
    digest: bytes
    mode: str
    created_at: datetime
    expires_at: datetime | None = None


class OperatorRow(Struct, frozen=True, kw_only=True, gc=False):
    """An operator's account. `person` is who uses it: two accounts of one person are not four eyes."""

    id: str
    name: str
    person: str
    created_at: datetime


class OperatorTokenRow(Struct, frozen=True, kw_only=True, gc=False):
    lookup_id: str
    operator_id: str
    digest: bytes
    role: str
    created_at: datetime
    expires_at: datetime | None = None


class MerchantKeyRevoked(Struct, frozen=True, kw_only=True, gc=False):
    lookup_id: str
    at: datetime


class OperatorTokenRevoked(Struct, frozen=True, kw_only=True, gc=False):
    lookup_id: str
    at: datetime


IdentityRow: TypeAlias = MerchantRow | MerchantKeyRow | OperatorRow | OperatorTokenRow | MerchantKeyRevoked | OperatorTokenRevoked


class Entry(Struct, frozen=True, kw_only=True, gc=False):
    """A record outside payments: an act, a refusal, a change of identities; with the rows that follow from it.

    stream: what kind of thing `stream_id` names (`STREAMS`). sequence: 1 for its first entry, then without gaps.
    """

    stream: str
    stream_id: str
    sequence: int
    name: str
    at: datetime
    actor: str
    cause: str
    body: bytes = b"{}"
    rows: tuple[IdentityRow, ...] = ()


Item: TypeAlias = Append | Answer | Entry

PAYMENT_STREAM = "payment"
CONNECTOR_STREAM = "connector"
STREAMS = {
    PAYMENT_STREAM: "pay",
    "merchant": "mer",
    "operator": "opr",
    "act": "act",
    "dispute": "dsp",
    "dead_letter": "dlq",
    "batch": "bat",
    CONNECTOR_STREAM: "con",
}
"""stream -> the prefix of the identifiers of its members."""


class Appended(Struct, frozen=True, gc=False):
    """It is durable. `position` of its last event or entry in the journal; where it had none, of the journal's end at that moment.

    answer_stored: its answer is the stored one. False where it had none, where another was stored before it, or where nobody claimed
    the key.
    """

    position: int
    answer_stored: bool = False


class ClaimLost(Struct, frozen=True, gc=False):
    """The idempotency key was taken before. Nothing was written; read what is stored."""


class Conflict(Struct, frozen=True, gc=False):
    """Something else was appended to this payment or stream since the caller read it. Nothing was written; load it again."""


class Refused(Struct, frozen=True, gc=False):
    """A constraint or a type forbids the item: a bug of ours. Nothing was written, and writing it again will not help."""

    reason: str


Result: TypeAlias = Appended | ClaimLost | Conflict | Refused

_DEFINITIVE_NO = frozenset({AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.ABSENT, AttemptState.VOIDED})


def is_exclusive(state: AttemptState) -> bool:
    """Whether an attempt in this state keeps all others from being prepared: it may be in flight, or it holds money.

    True from PREPARED until a definitive no. The database keeps a no for ever: a late success on a closed attempt is written with
    `exclusive` still false, because what we learn is never forbidden, and by then another attempt may rightly exist.
    """
    return state not in _DEFINITIVE_NO
