"""The payment state machine: every state, every event, every legal edge. This file owns it; nothing else assigns or invents a state.

Two rules:

1. A state exists only where the set of legal operations, or the answer to "may I try again?", differs. Refunds, disputes and settlement
   are children with machines of their own; why something happened is data on the event, not another state.
2. "Unknown" is a place, not an error. Where money may have moved and nobody can say, the payment stands in OUTCOME_UNKNOWN, and no timer,
   retry or failover leads out of it: only evidence, or two people.

How to read it. `EDGES[state][event]` is the set of states that this event may lead to from there; a terminal state has a (nearly) empty
row, and every state has a row. An event that is not in the row is illegal: it changes nothing and raises `IllegalTransition`. `FACTS` are
events that are worth a line in the payment's story and leave its state alone. The children, attempts and operations, have tables of the
same form below.

Commands are refused where `LEGAL` does not list them. Evidence is never refused: `weigh` decides which event it amounts to.

Not here: what a payment remembers besides its state (`records`), how events change it (`evolve`), which event follows from a command or
from evidence (`decide`, `weigh`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeAlias


class State(StrEnum):
    """Where a payment stands. In the order of its life."""

    CREATED = "CREATED"  # durable, not confirmed
    ROUTING = "ROUTING"  # choosing a connector; proved that no earlier attempt holds money
    AUTHORIZING = "AUTHORIZING"  # one attempt is committed and may be on the wire
    REQUIRES_ACTION = "REQUIRES_ACTION"  # the shopper's turn: redirect, 3DS
    PROVIDER_PENDING = "PROVIDER_PENDING"  # the PSP has it under its own id and will say later
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"  # an authorisation, capture or void may or may not have taken effect
    AUTHORIZED = "AUTHORIZED"  # funds held, nothing captured
    CAPTURING = "CAPTURING"  # a capture is sent or accepted
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"  # some captured, the rest still capturable
    CAPTURED = "CAPTURED"  # the capture side is closed with success
    VOIDING = "VOIDING"  # a void (whole or rest) is outstanding
    CANCELED = "CANCELED"  # no money held, ended on purpose
    FAILED = "FAILED"  # a definitive no, proved, or never sent
    MANUAL_REVIEW = "MANUAL_REVIEW"  # evidence contradicts itself, or the search is spent: people decide


class Name(StrEnum):
    """What happened, in the past tense. The first group moves the state, the second only tells."""

    CONFIRMED = "Confirmed"
    MERCHANT_CANCELED = "MerchantCanceled"
    INTENT_EXPIRED = "IntentExpired"
    ATTEMPT_PREPARED = "AttemptPrepared"
    NO_ROUTE = "NoRoute"
    ROUTER_DECLINED = "RouterDeclined"
    ATTEMPTS_EXHAUSTED = "AttemptsExhausted"
    PROVIDER_AUTHORIZED = "ProviderAuthorized"
    PROVIDER_CHARGED = "ProviderCharged"
    PROVIDER_ACTION_REQUIRED = "ProviderActionRequired"
    PROVIDER_ACCEPTED = "ProviderAccepted"
    ATTEMPT_NOT_SENT = "AttemptNotSent"
    DECLINED_RETRIABLE = "DeclinedRetriable"
    REJECTED_ELSEWHERE_POSSIBLE = "RejectedElsewherePossible"
    DECLINED_TERMINAL = "DeclinedTerminal"
    REJECTED_TERMINAL = "RejectedTerminal"
    CUSTOMER_CANCELED = "CustomerCanceled"
    PROVIDER_EXPIRED = "ProviderExpired"
    OUTCOME_LOST = "OutcomeLost"
    FOUND_SENT_AFTER_RESTART = "FoundSentAfterRestart"
    INTEGRITY_MISMATCH = "IntegrityMismatch"
    ACTION_RETURNED = "ActionReturned"
    ACTION_FAILED = "ActionFailed"
    ACTION_EXPIRED = "ActionExpired"
    ACTION_ABANDONED = "ActionAbandoned"
    CANCEL_REQUESTED = "CancelRequested"
    PENDING_DEADLINE_PASSED = "PendingDeadlinePassed"
    RESOLVED_AUTHORIZED = "ResolvedAuthorized"
    RESOLVED_CHARGED = "ResolvedCharged"
    RESOLVED_ACTION_REQUIRED = "ResolvedActionRequired"
    RESOLVED_PENDING = "ResolvedPending"
    RESOLVED_DECLINED = "ResolvedDeclined"
    RESOLVED_DECLINED_RETRIABLE = "ResolvedDeclinedRetriable"
    RESOLVED_CUSTOMER_CANCELED = "ResolvedCustomerCanceled"
    RESOLVED_AUTHORIZATION_GONE = "ResolvedAuthorizationGone"
    RESOLVED_ABSENT = "ResolvedAbsent"
    RESOLVED_ABSENT_NO_RETRY = "ResolvedAbsentNoRetry"
    RESOLVED_CAPTURED = "ResolvedCaptured"
    RESOLVED_CAPTURE_NOT_DONE = "ResolvedCaptureNotDone"
    RESOLVED_CAPTURE_PENDING = "ResolvedCapturePending"
    RESOLVED_VOIDED = "ResolvedVoided"
    RESOLVED_VOID_NOT_DONE = "ResolvedVoidNotDone"
    RESOLVED_VOID_PENDING = "ResolvedVoidPending"
    FENCED_ABSENT = "FencedAbsent"
    SYNC_BUDGET_EXHAUSTED = "SyncBudgetExhausted"
    CAPTURE_REQUESTED = "CaptureRequested"
    CAPTURE_SUCCEEDED = "CaptureSucceeded"
    CAPTURE_REJECTED = "CaptureRejected"
    CAPTURE_REJECTED_AUTHORIZATION_GONE = "CaptureRejectedAuthorizationGone"
    CAPTURE_NOT_SENT = "CaptureNotSent"
    CAPTURE_CLOSED = "CaptureClosed"
    LATE_CAPTURE_FAILURE = "LateCaptureFailure"
    VOID_REQUESTED = "VoidRequested"
    AUTO_VOID = "AutoVoid"
    VOID_REMAINDER_REQUESTED = "VoidRemainderRequested"
    VOID_SUCCEEDED = "VoidSucceeded"
    VOID_REJECTED = "VoidRejected"
    VOID_REJECTED_ALREADY_CAPTURED = "VoidRejectedAlreadyCaptured"
    VOID_NOT_SENT = "VoidNotSent"
    PROVIDER_VOIDED = "ProviderVoided"
    AUTHORIZATION_EXPIRED = "AuthorizationExpired"
    UNEXPECTED_PROVIDER_STATE = "UnexpectedProviderState"
    LATE_SUCCESS = "LateSuccess"
    SECOND_SUCCESS = "SecondSuccess"
    REVIEW_REQUESTED = "ReviewRequested"
    RESYNC_REQUESTED = "ResyncRequested"
    CORRECTION_APPROVED = "CorrectionApproved"
    COMPENSATION_APPROVED = "CompensationApproved"

    PAYMENT_CREATED = "PaymentCreated"
    ROUTED = "Routed"
    CANCEL_INTENT_RECORDED = "CancelIntentRecorded"
    EVIDENCE_RECORDED = "EvidenceRecorded"
    FENCE_PREPARED = "FencePrepared"
    OPERATION_PENDING = "OperationPending"
    OPERATION_ADOPTED = "OperationAdopted"
    OPERATION_REVIEW_RAISED = "OperationReviewRaised"
    OPERATION_CORRECTED = "OperationCorrected"
    REFUND_REQUESTED = "RefundRequested"
    REFUND_PENDING = "RefundPending"
    REFUND_SUCCEEDED = "RefundSucceeded"
    REFUND_FAILED = "RefundFailed"
    REFUND_UNKNOWN = "RefundUnknown"
    REFUND_REVERSED = "RefundReversed"
    DISCREPANCY_RAISED = "DiscrepancyRaised"
    HELD = "Held"
    HOLD_RELEASED = "HoldReleased"
    DISPUTE_OPENED = "DisputeOpened"
    DISPUTE_UPDATED = "DisputeUpdated"


Row: TypeAlias = Mapping[Name, frozenset[State]]


def _row(**targets: str) -> Row:
    """A row as `EVENT="STATE STATE"`. An unknown word is a KeyError when this module is imported."""
    return {Name[name]: frozenset(State[word] for word in states.split()) for name, states in targets.items()}


_ROWS: Final[dict[State, Row]] = {
    State.CREATED: _row(CONFIRMED="ROUTING", MERCHANT_CANCELED="CANCELED", INTENT_EXPIRED="CANCELED"),
    State.ROUTING: _row(
        ATTEMPT_PREPARED="AUTHORIZING",
        NO_ROUTE="FAILED",
        ROUTER_DECLINED="FAILED",
        ATTEMPTS_EXHAUSTED="FAILED",
        MERCHANT_CANCELED="CANCELED",
        INTENT_EXPIRED="CANCELED",
    ),
    State.AUTHORIZING: _row(
        PROVIDER_AUTHORIZED="AUTHORIZED",
        PROVIDER_CHARGED="CAPTURED",
        PROVIDER_ACTION_REQUIRED="REQUIRES_ACTION",
        PROVIDER_ACCEPTED="PROVIDER_PENDING",
        ATTEMPT_NOT_SENT="ROUTING",
        DECLINED_RETRIABLE="ROUTING",
        REJECTED_ELSEWHERE_POSSIBLE="ROUTING",
        DECLINED_TERMINAL="FAILED",
        REJECTED_TERMINAL="FAILED",
        CUSTOMER_CANCELED="CANCELED",
        PROVIDER_EXPIRED="CANCELED",
        OUTCOME_LOST="OUTCOME_UNKNOWN",
        FOUND_SENT_AFTER_RESTART="OUTCOME_UNKNOWN",
        INTEGRITY_MISMATCH="MANUAL_REVIEW",
    ),
    State.REQUIRES_ACTION: _row(
        ACTION_RETURNED="AUTHORIZING",
        PROVIDER_AUTHORIZED="AUTHORIZED",
        PROVIDER_CHARGED="CAPTURED",
        PROVIDER_ACCEPTED="PROVIDER_PENDING",
        ACTION_FAILED="FAILED",
        MERCHANT_CANCELED="CANCELED",
        CUSTOMER_CANCELED="CANCELED",
        ACTION_EXPIRED="CANCELED",
        CANCEL_REQUESTED="VOIDING",
        ACTION_ABANDONED="OUTCOME_UNKNOWN",
        INTEGRITY_MISMATCH="MANUAL_REVIEW",
    ),
    State.PROVIDER_PENDING: _row(
        PROVIDER_AUTHORIZED="AUTHORIZED",
        PROVIDER_CHARGED="CAPTURED",
        PROVIDER_ACTION_REQUIRED="REQUIRES_ACTION",
        CUSTOMER_CANCELED="CANCELED",
        PROVIDER_EXPIRED="CANCELED",
        DECLINED_RETRIABLE="ROUTING",
        DECLINED_TERMINAL="FAILED",
        PENDING_DEADLINE_PASSED="OUTCOME_UNKNOWN",
        INTEGRITY_MISMATCH="MANUAL_REVIEW",
    ),
    State.OUTCOME_UNKNOWN: _row(
        RESOLVED_AUTHORIZED="AUTHORIZED",
        RESOLVED_CHARGED="CAPTURED",
        RESOLVED_CAPTURED="CAPTURED PARTIALLY_CAPTURED",
        RESOLVED_CAPTURE_NOT_DONE="AUTHORIZED PARTIALLY_CAPTURED",
        RESOLVED_CAPTURE_PENDING="CAPTURING",
        RESOLVED_VOIDED="CANCELED CAPTURED",
        RESOLVED_VOID_NOT_DONE="AUTHORIZED PARTIALLY_CAPTURED",
        RESOLVED_VOID_PENDING="VOIDING",
        RESOLVED_AUTHORIZATION_GONE="CANCELED CAPTURED",
        RESOLVED_ACTION_REQUIRED="REQUIRES_ACTION",
        RESOLVED_PENDING="PROVIDER_PENDING",
        FENCED_ABSENT="CANCELED",
        RESOLVED_CUSTOMER_CANCELED="CANCELED",
        RESOLVED_ABSENT="ROUTING",
        RESOLVED_DECLINED_RETRIABLE="ROUTING",
        RESOLVED_DECLINED="FAILED CANCELED",
        RESOLVED_ABSENT_NO_RETRY="FAILED CANCELED",
        SYNC_BUDGET_EXHAUSTED="MANUAL_REVIEW",
        INTEGRITY_MISMATCH="MANUAL_REVIEW",
        REVIEW_REQUESTED="MANUAL_REVIEW",
    ),
    State.AUTHORIZED: _row(
        CAPTURE_REQUESTED="CAPTURING",
        VOID_REQUESTED="VOIDING",
        AUTO_VOID="VOIDING",
        AUTHORIZATION_EXPIRED="CANCELED",
        PROVIDER_VOIDED="CANCELED",
        UNEXPECTED_PROVIDER_STATE="MANUAL_REVIEW",
    ),
    State.CAPTURING: _row(
        CAPTURE_REQUESTED="CAPTURING",
        CAPTURE_SUCCEEDED="CAPTURED PARTIALLY_CAPTURED CAPTURING",  # CAPTURING: while another capture is in flight
        CAPTURE_REJECTED="AUTHORIZED PARTIALLY_CAPTURED CAPTURING",
        CAPTURE_NOT_SENT="AUTHORIZED PARTIALLY_CAPTURED CAPTURING",
        CAPTURE_REJECTED_AUTHORIZATION_GONE="CANCELED CAPTURED",
        OUTCOME_LOST="OUTCOME_UNKNOWN",
        FOUND_SENT_AFTER_RESTART="OUTCOME_UNKNOWN",
        PENDING_DEADLINE_PASSED="OUTCOME_UNKNOWN",
        INTEGRITY_MISMATCH="MANUAL_REVIEW",
    ),
    State.PARTIALLY_CAPTURED: _row(
        CAPTURE_REQUESTED="CAPTURING",
        VOID_REMAINDER_REQUESTED="VOIDING",
        CAPTURE_CLOSED="CAPTURED",
        AUTHORIZATION_EXPIRED="CAPTURED",
        PROVIDER_VOIDED="CAPTURED",
        UNEXPECTED_PROVIDER_STATE="MANUAL_REVIEW",
        LATE_CAPTURE_FAILURE="MANUAL_REVIEW",
    ),
    State.CAPTURED: _row(LATE_CAPTURE_FAILURE="MANUAL_REVIEW", INTEGRITY_MISMATCH="MANUAL_REVIEW"),
    State.VOIDING: _row(
        VOID_SUCCEEDED="CANCELED CAPTURED",
        PROVIDER_VOIDED="CANCELED CAPTURED",
        AUTHORIZATION_EXPIRED="CANCELED CAPTURED",
        VOID_REJECTED="AUTHORIZED PARTIALLY_CAPTURED REQUIRES_ACTION",
        VOID_NOT_SENT="AUTHORIZED PARTIALLY_CAPTURED REQUIRES_ACTION",
        VOID_REJECTED_ALREADY_CAPTURED="CAPTURED MANUAL_REVIEW",
        OUTCOME_LOST="OUTCOME_UNKNOWN",
        FOUND_SENT_AFTER_RESTART="OUTCOME_UNKNOWN",
        PENDING_DEADLINE_PASSED="OUTCOME_UNKNOWN",
    ),
    State.CANCELED: _row(LATE_SUCCESS="MANUAL_REVIEW"),
    State.FAILED: _row(LATE_SUCCESS="MANUAL_REVIEW"),
    State.MANUAL_REVIEW: _row(
        RESYNC_REQUESTED="OUTCOME_UNKNOWN",
        CORRECTION_APPROVED="AUTHORIZED PARTIALLY_CAPTURED CAPTURED CANCELED FAILED",
        COMPENSATION_APPROVED="VOIDING",
    ),
}

# A second success is recorded from anywhere: it is an alarm about money, not a step of this payment's own.
_SECOND_SUCCESS: Final[Row] = _row(SECOND_SUCCESS="MANUAL_REVIEW")

EDGES: Final[Mapping[State, Row]] = {
    state: row if state is State.MANUAL_REVIEW else {**row, **_SECOND_SUCCESS} for state, row in _ROWS.items()
}
"""state -> event -> the states it may lead to. Total over State."""

FACTS: Final[frozenset[Name]] = frozenset(list(Name)[list(Name).index(Name.PAYMENT_CREATED) :])
"""Events that are recorded and leave the state as it is."""


class AttemptState(StrEnum):
    """Where one attempt stands. PREPARED is the durable on-the-wire state: sending is never committed separately."""

    PREPARED = "PREPARED"
    SENT = "SENT"
    ACTION_REQUIRED = "ACTION_REQUIRED"
    PENDING = "PENDING"
    AUTHORIZED = "AUTHORIZED"
    CHARGED = "CHARGED"
    DECLINED = "DECLINED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    UNKNOWN = "UNKNOWN"
    ABSENT = "ABSENT"
    VOIDED = "VOIDED"


_A = AttemptState
OPEN_ATTEMPT: Final = frozenset({_A.PREPARED, _A.SENT, _A.ACTION_REQUIRED, _A.PENDING, _A.UNKNOWN})
"""Money may still move under such an attempt."""
HOLDING_ATTEMPT: Final = frozenset({_A.AUTHORIZED, _A.CHARGED})
ON_THE_WIRE_ATTEMPT: Final = frozenset({_A.PREPARED, _A.SENT})
"""Its call may be under way at this moment, or was when the process ended."""
_ANSWERS: Final = frozenset({_A.ACTION_REQUIRED, _A.PENDING, _A.AUTHORIZED, _A.CHARGED, _A.DECLINED, _A.REJECTED, _A.UNKNOWN, _A.VOIDED})
_LATE: Final = HOLDING_ATTEMPT  # a late success on a closed attempt is legal to record

ATTEMPT_EDGES: Final[Mapping[AttemptState, frozenset[AttemptState]]] = {
    _A.PREPARED: _ANSWERS | {_A.SENT, _A.NOT_SENT},
    _A.SENT: _ANSWERS,
    _A.ACTION_REQUIRED: (_ANSWERS - {_A.ACTION_REQUIRED}) | {_A.SENT},
    _A.PENDING: _ANSWERS - {_A.PENDING},
    _A.UNKNOWN: (_ANSWERS - {_A.UNKNOWN}) | {_A.ABSENT},
    _A.AUTHORIZED: frozenset({_A.VOIDED, _A.CHARGED}),  # CHARGED: the PSP captured by itself
    _A.CHARGED: frozenset({_A.VOIDED}),
    _A.DECLINED: _LATE,
    _A.REJECTED: _LATE,
    _A.NOT_SENT: _LATE,
    _A.ABSENT: _LATE,
    _A.VOIDED: _LATE,  # the shopper may have finished a session that we believed closed
}


class OperationState(StrEnum):
    """Where one capture, void or refund stands."""

    REQUESTED = "REQUESTED"
    SENT = "SENT"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    REVERSED = "REVERSED"


_O = OperationState
OPEN_OPERATION: Final = frozenset({_O.REQUESTED, _O.SENT, _O.PENDING, _O.UNKNOWN})
"""Such an operation reserves its amount."""
ON_THE_WIRE_OPERATION: Final = frozenset({_O.REQUESTED, _O.SENT})
"""Its call may be under way, unless it is known not to have been sent and waits to be."""
_SETTLED: Final = frozenset({_O.SUCCEEDED, _O.FAILED})

OPERATION_EDGES: Final[Mapping[OperationState, frozenset[OperationState]]] = {
    # As with attempts, REQUESTED is the durable on-the-wire state, so every answer may follow it directly.
    _O.REQUESTED: _SETTLED | {_O.SENT, _O.PENDING, _O.UNKNOWN},
    _O.SENT: _SETTLED | {_O.PENDING, _O.UNKNOWN},
    _O.PENDING: _SETTLED | {_O.UNKNOWN},
    _O.UNKNOWN: _SETTLED | {_O.PENDING, _O.REQUESTED},
    _O.SUCCEEDED: frozenset({_O.REVERSED}),
    _O.FAILED: frozenset({_O.SUCCEEDED}),
    _O.REVERSED: frozenset({_O.SUCCEEDED}),
}


class Command(StrEnum):
    """What a merchant may ask of a payment."""

    CONFIRM = "confirm"
    CANCEL = "cancel"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"


def _commands(words: str = "") -> frozenset[Command]:
    return frozenset(Command(word) for word in words.split())


LEGAL: Final[Mapping[State, frozenset[Command]]] = {
    State.CREATED: _commands("confirm cancel"),
    State.ROUTING: _commands("cancel"),
    State.AUTHORIZING: _commands("cancel void"),
    State.REQUIRES_ACTION: _commands("cancel void"),
    State.PROVIDER_PENDING: _commands("cancel void"),
    State.OUTCOME_UNKNOWN: _commands("cancel void refund"),
    State.AUTHORIZED: _commands("capture void"),
    State.CAPTURING: _commands("capture refund"),
    State.PARTIALLY_CAPTURED: _commands("capture void refund"),
    State.CAPTURED: _commands("refund"),
    State.VOIDING: _commands("refund"),
    State.CANCELED: _commands(),
    State.FAILED: _commands(),
    State.MANUAL_REVIEW: _commands(),
}
"""What the state alone allows. Amounts, holds and (in OUTCOME_UNKNOWN) which operation is unknown narrow it: `decide.allowed`."""

PUBLIC_STATUS: Final[Mapping[State, str]] = {
    State.CREATED: "requires_confirmation",
    State.ROUTING: "processing",
    State.AUTHORIZING: "processing",
    State.REQUIRES_ACTION: "requires_action",
    State.PROVIDER_PENDING: "processing",
    State.OUTCOME_UNKNOWN: "processing",
    State.AUTHORIZED: "requires_capture",
    State.CAPTURING: "processing",
    State.PARTIALLY_CAPTURED: "partially_captured",
    State.CAPTURED: "succeeded",
    State.VOIDING: "processing",
    State.CANCELED: "canceled",
    State.FAILED: "failed",
    State.MANUAL_REVIEW: "processing",
}
UNCONFIRMED: Final = frozenset({State.OUTCOME_UNKNOWN, State.MANUAL_REVIEW})
"""Merchants see `outcome: "unconfirmed"` (do not ship, do not retry), as they do while a call that moves money has no answer."""
TERMINAL: Final = frozenset({State.CAPTURED, State.CANCELED, State.FAILED})
"""Terminal for merchants; evidence to the contrary still leads to MANUAL_REVIEW."""


class IllegalTransition(Exception):
    """An event that the table does not allow from here. A bug of ours, never a PSP's or merchant's doing; nothing was changed."""


def check_move(state: State, name: Name, to: State) -> None:
    """Raises IllegalTransition unless `name` may lead from `state` to `to`."""
    legal = state is to if name in FACTS else to in EDGES[state].get(name, frozenset())
    if not legal:
        raise IllegalTransition(f"{name} does not lead from {state} to {to}")


def check_attempt_move(state: AttemptState, to: AttemptState) -> None:
    """Raises IllegalTransition unless an attempt may go from `state` to `to`. Staying is always legal."""
    if to is not state and to not in ATTEMPT_EDGES[state]:
        raise IllegalTransition(f"an attempt does not go from {state} to {to}")


def check_operation_move(state: OperationState, to: OperationState) -> None:
    """Raises IllegalTransition unless an operation may go from `state` to `to`. Staying is always legal."""
    if to is not state and to not in OPERATION_EDGES[state]:
        raise IllegalTransition(f"an operation does not go from {state} to {to}")
