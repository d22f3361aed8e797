"""What may be handed to the journal, and what it answers: records only.

An item is written as a whole or not at all, whatever becomes of the others in its batch. Not here: how items become rows (`batch`), nor
how they are committed (`journal`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from payorch.domain.act_records import ActRecord, Plan
from payorch.domain.disputes import Dispute
from payorch.domain.events import Event
from payorch.domain.movements import Movement
from payorch.domain.payment import AttemptState
from payorch.domain.records import Attempt, Operation, Payment
from payorch.store.reconciliation_items import DayRow, FindingRow


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


class NoticeState(StrEnum):
    """Where a PSP's notice stands. The first two are still to be tried; `dead` waits for people."""

    RECEIVED = "received"
    PARKED = "parked"  # about nothing that is known here yet
    APPLIED = "applied"
    IGNORED = "ignored"  # about nothing that a payment keeps
    DEAD = "dead"


class Arrival(Struct, frozen=True, kw_only=True, gc=False):
    """A notice of a PSP, to be stored once: under its identity (and connector) nothing else ever is.

    digest: SHA-256 of its bytes. sealed: those bytes, encrypted. refers: JSON, the ids by which its payment is found. state: RECEIVED, with
    the time of the first try, or what it is from the start.
    """

    id: str
    connector: str
    identity: str
    digest: bytes
    kind: str
    sealed: bytes
    refers: bytes
    received_at: datetime
    request_id: str
    occurred_at: datetime | None = None
    state: NoticeState = NoticeState.RECEIVED
    next_try_at: datetime | None = None
    outcome: str | None = None


class NoticeMark(Struct, frozen=True, kw_only=True, gc=False):
    """What became of a notice. One that is APPLIED or IGNORED takes no other mark: whatever comes with a second is not written.

    outcome: in one word, for people. next_try_at: of one that is still to be tried, and only of such a one.
    """

    notice_id: str
    state: NoticeState
    outcome: str
    at: datetime
    tries: int = 0
    next_try_at: datetime | None = None
    payment_id: str | None = None


class DeliveryState(StrEnum):
    """Where the delivery of one event to one endpoint stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"  # no try has brought it there: people decide
    CANCELED = "canceled"  # its endpoint was deleted


class Delivery(Struct, frozen=True, kw_only=True, gc=False):
    """The delivery of one event to one endpoint, as it stands. An item of its own: the row is made or changed to be this."""

    payment_id: str
    event_id: str
    endpoint_id: str
    merchant_id: str
    type: str
    state: DeliveryState
    created_at: datetime
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None


class EndpointState(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"
    DELETED = "deleted"


class Endpoint(Struct, frozen=True, kw_only=True, gc=False):
    """A merchant's address for events. events: types, or `*` alone for all. The secrets are sealed, the previous one valid until then."""

    id: str
    merchant_id: str
    url: str
    events: tuple[str, ...]
    state: EndpointState
    secret: bytes
    version: int
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    disabled_reason: str | None = None
    previous_secret: bytes | None = None
    previous_until: datetime | None = None


class DeadLetterKind(StrEnum):
    WEBHOOK_IN = "webhook_in"
    WEBHOOK_OUT = "webhook_out"
    SETTLEMENT_ROW = "settlement_row"


class DeadLetterState(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetter(Struct, frozen=True, kw_only=True, gc=False):
    """What needs people. `id` follows from what died, so that it is the same letter when it dies again after a replay.

    origin: the connector or the endpoint. subject: JSON, what a replay needs to know, or where it stands. reason_class: one word;
    fingerprint: the same for all that failed alike. payload: redacted.
    """

    id: str
    kind: DeadLetterKind
    origin: str
    subject: bytes
    reason_class: str
    reason: str
    fingerprint: str
    payload: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    merchant_id: str | None = None
    payment_id: str | None = None
    state: DeadLetterState = DeadLetterState.OPEN
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None


class Erasure(Struct, frozen=True, kw_only=True, gc=False):
    """Forget the contents, not the rows: of notices settled and dead letters resolved before these moments. At most `limit` each."""

    notices_before: datetime
    dead_letters_before: datetime
    limit: int


class PlansForgotten(Struct, frozen=True, kw_only=True, gc=False):
    """Forget plans that held until before that moment. At most `limit`. What was acted upon stands with the act."""

    before: datetime
    limit: int


class Append(Struct, frozen=True, kw_only=True, gc=False):
    """One payment's step: its events, with everything that follows from them.

    payment: as it is afterwards. expected_version: before the first event; the events are numbered from there. attempts, operations,
    disputes: those that the events made or changed. movements: of money, by the events. notice: the PSP's notice that this step settles.
    No events: nothing of the payment changes, and only a claim, an answer or a mark is written.
    """

    payment: Payment
    expected_version: int
    events: tuple[Event, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    operations: tuple[Operation, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    movements: tuple[Movement, ...] = ()
    claim: Claim | None = None
    answer: Answer | None = None
    outbox: tuple[OutboxRow, ...] = ()
    notice: NoticeMark | None = None


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


class DrainRow(Struct, frozen=True, kw_only=True, gc=False):
    """The last word on whether a connector takes new payments: none until then. Ended early, `until` is the moment of that."""

    connector: str
    until: datetime
    reason: str
    by: str
    cause: str
    changed_at: datetime


class OperatorTokenUsed(Struct, frozen=True, kw_only=True, gc=False):
    """A token was used at that moment, or an admin says that it counts as such. An item of its own, or part of an entry."""

    lookup_id: str
    at: datetime


IdentityRow: TypeAlias = MerchantRow | MerchantKeyRow | OperatorRow | OperatorTokenRow | MerchantKeyRevoked | OperatorTokenRevoked
EntryRow: TypeAlias = (
    IdentityRow | OperatorTokenUsed | Endpoint | Delivery | NoticeMark | DeadLetter | FindingRow | DayRow | ActRecord | DrainRow
)


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
    rows: tuple[EntryRow, ...] = ()


Item: TypeAlias = (
    Append | Answer | Entry | Arrival | NoticeMark | Delivery | Erasure | OperatorTokenUsed | Plan | ActRecord | PlansForgotten
)
"""A plan, and how far a running act has come, are rows without a record: what is decided is, and with it what was seen."""

PAYMENT_STREAM = "payment"
CONNECTOR_STREAM = "connector"
DEAD_LETTER_STREAM = "dead_letter"
ENDPOINT_STREAM = "webhook_endpoint"
ROUTING_STREAM = "routing"
BATCH_STREAM = "batch"
FINDING_STREAM = "finding"
ACT_STREAM = "act"
RECONCILIATION_STREAM = "reconciliation"
STREAMS = {
    PAYMENT_STREAM: "pay",
    "merchant": "mer",
    "operator": "opr",
    ACT_STREAM: "act",
    "dispute": "dsp",
    DEAD_LETTER_STREAM: "dlq",
    ENDPOINT_STREAM: "whe",
    BATCH_STREAM: "bat",
    CONNECTOR_STREAM: "con",
    ROUTING_STREAM: "rtg",
    FINDING_STREAM: "fnd",
    RECONCILIATION_STREAM: "rcd",
}
"""stream -> the prefix of the identifiers of its members."""


class Appended(Struct, frozen=True, gc=False):
    """It is durable. `position` of its last event or entry in the journal; where it had none, of the journal's end at that moment.

    answer_stored: its answer is the stored one. False where it had none, where another was stored before it, or where nobody claimed
    the key. arrived: the notice is the stored one. False where its identity was stored before it.
    """

    position: int
    answer_stored: bool = False
    arrived: bool = False


class SettledBefore(Struct, frozen=True, gc=False):
    """The notice of this item has been settled already. Nothing was written, and nothing is to be: it has had its effect."""


class ClaimLost(Struct, frozen=True, gc=False):
    """The idempotency key was taken before. Nothing was written; read what is stored."""


class Conflict(Struct, frozen=True, gc=False):
    """Something else was appended to this payment or stream since the caller read it. Nothing was written; load it again."""


class Refused(Struct, frozen=True, gc=False):
    """A constraint or a type forbids the item: a bug of ours. Nothing was written, and writing it again will not help."""

    reason: str


Result: TypeAlias = Appended | SettledBefore | ClaimLost | Conflict | Refused

_DEFINITIVE_NO = frozenset({AttemptState.DECLINED, AttemptState.REJECTED, AttemptState.NOT_SENT, AttemptState.ABSENT, AttemptState.VOIDED})


def is_exclusive(state: AttemptState) -> bool:
    """Whether an attempt in this state keeps all others from being prepared: it may be in flight, or it holds money.

    True from PREPARED until a definitive no. The database keeps a no for ever: a late success on a closed attempt is written with
    `exclusive` still false, because what we learn is never forbidden, and by then another attempt may rightly exist.
    """
    return state not in _DEFINITIVE_NO
