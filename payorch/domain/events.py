"""Events: what happened to a payment, with who, why and on what evidence. They are the truth; everything else is derived from them.

An event has a name, the state it leads to and typed data; `DATA` says which data each name carries. They are stored as JSON by
`encode` and read by `decode`; fields may be added (with a default), never renamed or removed, because old journals must stay readable.

Not here: which events are legal (`payment`), what they change (`evolve`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from payorch.domain.disputes import Dispute
from payorch.domain.intent import Intent, PaymentMethod
from payorch.domain.outcome import Evidence, Failure, Source
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import Attempt, Fence, Hold, Operation, PreparedCall, Pursuit
from payorch.domain.routing import Decision


class Created(Struct, frozen=True, kw_only=True, gc=False):
    """The birth: whose payment it is, what was asked, and until when it may wait for its confirmation."""

    payment_id: str
    merchant_id: str
    intent: Intent
    expires_at: datetime


class Confirmation(Struct, frozen=True, kw_only=True, gc=False):
    """The merchant said go, possibly with the method that was still missing."""

    method: PaymentMethod
    return_url: str | None
    authorize_until: datetime


class Choice(Struct, frozen=True, kw_only=True, gc=False):
    decision: Decision


class AttemptOpened(Struct, frozen=True, kw_only=True, gc=False):
    attempt: Attempt


class AttemptChange(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt's new state and search, with the evidence for it. `next_action_at` replaces the attempt's timer."""

    attempt_id: str
    state: AttemptState
    evidence: Evidence | None = None
    next_action_at: datetime | None = None
    pursuit: Pursuit | None = None
    failure: Failure | None = None
    reason: str | None = None


class Completion(Struct, frozen=True, kw_only=True, gc=False):
    """The call that finishes an attempt after the shopper's action. It takes the place of the one before it, whose outcome is known."""

    attempt_id: str
    call: PreparedCall
    psp_key: str
    psp_key_safe_until: datetime
    next_action_at: datetime


class FenceOpened(Struct, frozen=True, kw_only=True, gc=False):
    """The call that keeps an attempt of unknown outcome from ever holding money. It leaves the attempt's own search as it is."""

    attempt_id: str
    fence: Fence


class OperationOpened(Struct, frozen=True, kw_only=True, gc=False):
    operation: Operation


class OperationChange(Struct, frozen=True, kw_only=True, gc=False):
    """An operation's new state and search. `attempt_state`: what this makes of its attempt (a void ends the hold)."""

    operation_id: str
    state: OperationState
    evidence: Evidence | None = None
    next_action_at: datetime | None = None
    pursuit: Pursuit | None = None
    failure: Failure | None = None
    attempt_state: AttemptState | None = None
    in_review: bool = False
    reason: str | None = None


class Ending(Struct, frozen=True, kw_only=True, gc=False):
    """An end without a PSP: nothing was ever sent, or nothing is left to try."""

    failure: Failure | None = None


class CancelIntent(Struct, frozen=True, kw_only=True, gc=False):
    """The merchant wants the payment ended; it cannot be yet, because money may be moving."""

    reference: str | None = None
    metadata: Mapping[str, str] = {}


class Discrepancy(Struct, frozen=True, kw_only=True, gc=False):
    """Something that does not fit, kept for people: `kind` in one word, `detail` in a sentence."""

    kind: str
    detail: str
    evidence: Evidence | None = None
    subject_id: str | None = None


class HoldSet(Struct, frozen=True, kw_only=True, gc=False):
    hold: Hold


class HoldEnded(Struct, frozen=True, kw_only=True, gc=False):
    reason: str


class DisputeOpened(Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a dispute that was not known. raw: the PSP's redacted word for it. source: where it stood."""

    dispute: Dispute
    raw: str | None = None
    source: Source = Source.WEBHOOK


class DisputeChange(Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a dispute as it is from now on."""

    dispute: Dispute
    raw: str | None = None
    source: Source = Source.WEBHOOK


class Correction(Struct, frozen=True, kw_only=True, gc=False):
    """What two different people decided, on which evidence. `attempt_state` is what they found the attempt to be.

    others: what they found further attempts to be. operation, operations: as they are from now on; one that is new and has a call is to be
    sent. alone: the glass was broken, one person decided and another looks at it afterwards; `approver` is the same person then.
    """

    requester: str
    approver: str
    reason: str
    evidence_reference: str
    attempt_id: str | None = None
    attempt_state: AttemptState | None = None
    operation: Operation | None = None
    others: Mapping[str, AttemptState] = {}
    operations: tuple[Operation, ...] = ()
    alone: bool = False


class ReviewWanted(Struct, frozen=True, kw_only=True, gc=False):
    """Two people do not wait for the end of the search: they decide, on what they have seen elsewhere."""

    reason: str


class Resync(Struct, frozen=True, kw_only=True, gc=False):
    """An operator asks for another look; the subject gets a fresh, small search, of `budget_seconds` (None: as long as any search)."""

    attempt_id: str | None
    operation_id: str | None
    reason: str
    next_action_at: datetime
    budget_seconds: int | None = None


Data: TypeAlias = (
    Created
    | Confirmation
    | Choice
    | AttemptOpened
    | AttemptChange
    | Completion
    | FenceOpened
    | OperationOpened
    | OperationChange
    | Ending
    | CancelIntent
    | Discrepancy
    | HoldSet
    | HoldEnded
    | DisputeOpened
    | DisputeChange
    | Correction
    | ReviewWanted
    | Resync
)

_OPERATION_NAMES: Final = frozenset(
    {
        Name.CAPTURE_SUCCEEDED, Name.CAPTURE_REJECTED, Name.CAPTURE_REJECTED_AUTHORIZATION_GONE, Name.CAPTURE_NOT_SENT,
        Name.LATE_CAPTURE_FAILURE, Name.VOID_SUCCEEDED, Name.VOID_REJECTED, Name.VOID_REJECTED_ALREADY_CAPTURED, Name.VOID_NOT_SENT,
        Name.RESOLVED_CAPTURED, Name.RESOLVED_CAPTURE_NOT_DONE, Name.RESOLVED_CAPTURE_PENDING, Name.RESOLVED_VOIDED,
        Name.RESOLVED_VOID_NOT_DONE, Name.RESOLVED_VOID_PENDING, Name.OPERATION_PENDING, Name.REFUND_PENDING, Name.REFUND_SUCCEEDED,
        Name.REFUND_FAILED, Name.REFUND_UNKNOWN, Name.REFUND_REVERSED, Name.OPERATION_REVIEW_RAISED,
    }
)  # fmt: skip
_OTHER: Final[Mapping[Name, tuple[type[Data], ...]]] = {
    Name.PAYMENT_CREATED: (Created,),
    Name.CONFIRMED: (Confirmation,),
    Name.ROUTED: (Choice,),
    Name.ATTEMPT_PREPARED: (AttemptOpened,),
    Name.ACTION_RETURNED: (Completion,),
    Name.FENCE_PREPARED: (FenceOpened,),
    Name.MERCHANT_CANCELED: (Ending, AttemptChange),
    Name.INTENT_EXPIRED: (Ending,),
    Name.NO_ROUTE: (Ending,),
    Name.ROUTER_DECLINED: (Ending,),
    Name.ATTEMPTS_EXHAUSTED: (Ending,),
    Name.CAPTURE_REQUESTED: (OperationOpened,),
    Name.VOID_REQUESTED: (OperationOpened,),
    Name.VOID_REMAINDER_REQUESTED: (OperationOpened,),
    Name.AUTO_VOID: (OperationOpened,),
    Name.CANCEL_REQUESTED: (OperationOpened,),
    Name.REFUND_REQUESTED: (OperationOpened,),
    Name.OPERATION_ADOPTED: (OperationOpened,),
    Name.COMPENSATION_APPROVED: (Correction,),
    Name.CORRECTION_APPROVED: (Correction,),
    Name.OPERATION_CORRECTED: (Correction,),
    Name.REVIEW_REQUESTED: (ReviewWanted,),
    Name.RESYNC_REQUESTED: (Resync,),
    Name.CANCEL_INTENT_RECORDED: (CancelIntent,),
    Name.DISCREPANCY_RAISED: (Discrepancy,),
    Name.HELD: (HoldSet,),
    Name.HOLD_RELEASED: (HoldEnded,),
    Name.DISPUTE_OPENED: (DisputeOpened,),
    Name.DISPUTE_UPDATED: (DisputeChange,),
}
# These say something about either kind of child.
_EITHER: Final = frozenset(
    {
        Name.OUTCOME_LOST, Name.FOUND_SENT_AFTER_RESTART, Name.PENDING_DEADLINE_PASSED, Name.INTEGRITY_MISMATCH, Name.EVIDENCE_RECORDED,
        Name.SYNC_BUDGET_EXHAUSTED, Name.PROVIDER_VOIDED, Name.AUTHORIZATION_EXPIRED, Name.UNEXPECTED_PROVIDER_STATE,
        Name.RESOLVED_AUTHORIZATION_GONE, Name.FENCED_ABSENT, Name.CAPTURE_CLOSED, Name.SECOND_SUCCESS, Name.LATE_SUCCESS,
    }
)  # fmt: skip

DATA: Final[Mapping[Name, tuple[type[Data], ...]]] = {
    name: _OTHER.get(name)
    or ((AttemptChange, OperationChange) if name in _EITHER else (OperationChange,) if name in _OPERATION_NAMES else (AttemptChange,))
    for name in Name
}
"""event name -> the data types it may carry. Total over Name."""


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that happened: at what time, by whom (`merchant`, `psp:<connector>`, `system`, `operator:<name>`), caused by what.

    cause: the id of the request, call, webhook or act behind it. to: the state after it.
    """

    name: Name
    to: State
    at: datetime
    actor: str
    cause: str
    data: Data


_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {kind: msgspec.json.Decoder(kind) for kinds in DATA.values() for kind in kinds}
_BODY_KEYS: Final = {kind: kind.__name__ for kind in _decoders}
# By the two words that a stored event has of itself: one look for each of the many that a payment is rebuilt of.
_READERS: Final = {(str(name), _BODY_KEYS[kind]): (name, _decoders[kind]) for name, kinds in DATA.items() for kind in kinds}


class _Body(Struct, frozen=True):
    to: State
    kind: str
    data: msgspec.Raw


_body_decoder: Final = msgspec.json.Decoder(_Body)


class UnreadableEvent(ValueError):
    """A stored event that this program cannot read: written by a newer one, or damaged."""


def encode(event: Event) -> bytes:
    """The event's body as JSON (state after it, kind of data, data). Name, time, actor and cause are columns of their own."""
    kind = type(event.data)
    if kind not in DATA[event.name]:
        raise TypeError(f"{event.name} carries {DATA[event.name]}, not {kind.__name__}")
    return b'{"to":"%b","kind":"%b","data":%b}' % (
        event.to.encode(),
        _BODY_KEYS[kind].encode(),
        _encoder.encode(event.data),
    )


def decode(*, name: str, at: datetime, actor: str, cause: str, body: bytes | str) -> Event:
    """The event that `encode` wrote. Raises UnreadableEvent."""
    try:
        parsed = _body_decoder.decode(body)
        known, reader = _READERS[name, parsed.kind]
        data = reader.decode(parsed.data)
    except (ValueError, KeyError) as problem:
        raise UnreadableEvent(f"the stored event {name!r} cannot be read: {problem}") from problem
    return Event(name=known, to=parsed.to, at=at, actor=actor, cause=cause, data=data)
