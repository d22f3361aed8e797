"""What the live stream says of records that are no payments' events, and the tone of each record: tables, total over what the program
writes. A record that stands in no table is told by its name.

A sentence names single fields of a record's body and nothing else of it ever leaves. Not here: payments' sentences (`timeline`), putting
them together (`events`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from payorch.api.operations.feed import Kind
from payorch.domain.payment import Name, State
from payorch.store.items import (
    ACT_STREAM,
    BATCH_STREAM,
    CONNECTOR_STREAM,
    DEAD_LETTER_STREAM,
    ENDPOINT_STREAM,
    FINDING_STREAM,
    PAYMENT_STREAM,
    RECONCILIATION_STREAM,
    ROUTING_STREAM,
)

Tone: TypeAlias = Literal["good", "bad", "unknown", "warn", "info"]

KINDS: Final[Mapping[str, Kind]] = {
    PAYMENT_STREAM: Kind.PAYMENT,
    "dispute": Kind.PAYMENT,
    CONNECTOR_STREAM: Kind.CONNECTOR,
    ROUTING_STREAM: Kind.ROUTING,
    DEAD_LETTER_STREAM: Kind.DEAD_LETTER,
    ACT_STREAM: Kind.ACTION,
    BATCH_STREAM: Kind.RECONCILIATION,
    FINDING_STREAM: Kind.RECONCILIATION,
    RECONCILIATION_STREAM: Kind.RECONCILIATION,
    "merchant": Kind.IDENTITY,
    "operator": Kind.IDENTITY,
    ENDPOINT_STREAM: Kind.ENDPOINT,
}
"""stream -> topic. What is in no stream of these is about the audit itself. Total over STREAMS."""

_BATCH: Final = "report {name} of {connector}"

WORDS: Final[Mapping[str, Mapping[str, tuple[str, Tone]]]] = {
    CONNECTOR_STREAM: {
        "CircuitClosed": ("Calls to {connector} pass again ({operation}): {reason}.", "good"),
        "CircuitOpened": ("Calls to {connector} are kept back ({operation}): {reason}, {failures} of {calls} failed, last {code}.", "bad"),
        "CircuitProbing": ("{connector} is tried with single calls ({operation}).", "warn"),
        "CircuitForcedOpen": ("{by} keeps calls to {connector} back ({operation}) until {until}.", "warn"),
        "CircuitForcedClosed": ("{by} lets all calls to {connector} pass ({operation}) until {until}.", "warn"),
        "ConnectorDrained": ("{connector} takes no new payments until {until}: {reason}.", "warn"),
        "ConnectorResumed": ("{connector} takes new payments again: {reason}.", "good"),
        "ConnectorDrainEnded": ("{connector} takes new payments again: the drain's time is over.", "good"),
    },
    ROUTING_STREAM: {
        "RoutingRulesLoaded": ("Routing goes by the rules {version}, before by {before}.", "info"),
        "RoutingReloadRequested": ("The rules of routing are to be read anew.", "info"),
        "RoutingReloadRefused": ("The new rules of routing are not valid; those of {version} stay in force.", "bad"),
    },
    DEAD_LETTER_STREAM: {
        "DeadLettered": ("A {kind} of {origin} could not be settled: {reason_class}.", "bad"),
        "DeadLetterReplayed": ("A {kind} of {origin} is tried again.", "info"),
        "DeadLetterDiscarded": ("A {kind} of {origin} needs no answer: {reason}.", "info"),
    },
    ENDPOINT_STREAM: {
        "WebhookEndpointCreated": ("A webhook endpoint was added: {url}.", "info"),
        "WebhookEndpointChanged": ("A webhook endpoint was changed.", "info"),
        "WebhookEndpointSecretRotated": ("A webhook endpoint has a new secret; the old one is valid until {previous_until}.", "info"),
        "WebhookEndpointDisabled": ("A webhook endpoint was switched off: {reason}.", "warn"),
        "WebhookEndpointDeleted": ("A webhook endpoint was deleted: {url}.", "info"),
    },
    "merchant": {
        "MerchantAdded": ("The merchant {name} was added.", "info"),
        "MerchantKeyAdded": ("A {mode} key of a merchant was added: {lookup_id}.", "info"),
        "MerchantKeyRevoked": ("A key of a merchant was revoked: {lookup_id}.", "warn"),
    },
    "operator": {
        "OperatorAdded": ("The operator {name} was added, of {person}.", "info"),
        "OperatorTokenAdded": ("A token with the role {role} was added: {lookup_id}.", "info"),
        "OperatorTokenRevoked": ("A token was revoked: {lookup_id}.", "warn"),
        "OperatorTokenUnlocked": ("A token that nobody had used for long was unlocked: {lookup_id}.", "warn"),
    },
    ACT_STREAM: {
        "Refused": ("Refused: {reason|why|text|code}.", "warn"),
        "Proposed": ("{action} of {subject} was asked for and waits for a second person: {reason}.", "warn"),
        "Ordered": ("{action} of {subject} was asked for: {reason}.", "info"),
        "GlassBroken": ("{action} of {subject} was asked for by one person alone, with the glass broken: {reason}.", "bad"),
        "Approved": ("{action} of {subject} was approved by a second person.", "info"),
        "Rejected": ("{action} of {subject} was rejected: {reason}.", "info"),
        "Expired": ("{action} of {subject}: nobody decided in time; nothing was done.", "info"),
        "Started": ("{action} of {subject} is being carried out.", "info"),
        "Finished": ("{action} of {subject} is {state}: {text}.", "good"),
        "HaltAsked": ("{action} of {subject} is to be halted: {reason}.", "warn"),
        "Halted": ("{action} of {subject} was halted: {text|reason}.", "warn"),
        "Reviewed": ("{action} of {subject}, done with the glass broken, was reviewed: {note}.", "info"),
    },
    BATCH_STREAM: {
        "SettlementBatchOpened": (f"Reading {_BATCH}.", "info"),
        "SettlementRowsImported": ("Lines of a settlement report were read.", "info"),
        "SettlementBatchImported": ("A settlement report was read: {rows} lines, {findings} findings.", "info"),
        "SettlementRowSettled": ("A line of a settlement report has found its movement.", "good"),
        "SettlementRowBecameEvidence": ("A line of a settlement report is evidence for a payment.", "info"),
        "SettlementRowGivenUp": ("A line of a settlement report has found no movement; people look.", "warn"),
    },
    FINDING_STREAM: {
        "FindingRaised": ("{connector} {day}: {detail}", "warn"),
        "FindingResolved": ("{connector} {day}: a finding ({kind}) was explained by what came later.", "good"),
        "FindingReviewed": ("{connector} {day}: a finding ({kind}) was reviewed.", "good"),
        "FindingLinked": ("{connector} {day}: a finding ({kind}) was linked to a movement.", "good"),
        "FindingAccepted": ("{connector} {day}: a difference ({kind}) was accepted.", "good"),
        "FindingIsPspError": ("{connector} {day}: a finding ({kind}) is the PSP's error.", "info"),
        "ExplanationProposed": ("{connector} {day}: an explanation ({kind}) waits for a second person.", "warn"),
        "ExplanationRejected": ("{connector} {day}: an explanation ({kind}) was rejected.", "info"),
    },
    RECONCILIATION_STREAM: {
        "DayClosed": ("{connector} {day} {currency} was closed: {reason}.", "good"),
        "DayReopened": ("{connector} {day} {currency} was reopened: {reason}.", "warn"),
    },
}
"""stream -> name -> (the sentence, its tone). The places to fill are single fields of the body, of those parted by bars the first that is
there; and `connector`."""

CHANGES: Final[Mapping[str, str]] = {
    "CircuitClosed": "closed",
    "CircuitOpened": "open",
    "CircuitProbing": "half_open",
    "CircuitForcedOpen": "forced_open",
    "CircuitForcedClosed": "forced_closed",
}
"""What a connector's circuit is after that record."""

_UNKNOWN: Final = frozenset(
    {Name.OUTCOME_LOST, Name.FOUND_SENT_AFTER_RESTART, Name.PENDING_DEADLINE_PASSED, Name.ACTION_ABANDONED, Name.REFUND_UNKNOWN}
)
_BAD: Final = frozenset(
    {
        *(Name.NO_ROUTE, Name.ROUTER_DECLINED, Name.ATTEMPTS_EXHAUSTED, Name.ATTEMPT_NOT_SENT, Name.DECLINED_RETRIABLE),
        *(Name.REJECTED_ELSEWHERE_POSSIBLE, Name.DECLINED_TERMINAL, Name.REJECTED_TERMINAL, Name.ACTION_FAILED, Name.ACTION_EXPIRED),
        *(Name.RESOLVED_DECLINED, Name.RESOLVED_DECLINED_RETRIABLE, Name.RESOLVED_CAPTURE_NOT_DONE, Name.RESOLVED_VOID_NOT_DONE),
        *(Name.CAPTURE_REJECTED, Name.CAPTURE_REJECTED_AUTHORIZATION_GONE, Name.CAPTURE_NOT_SENT, Name.LATE_CAPTURE_FAILURE),
        *(Name.VOID_REJECTED, Name.VOID_REJECTED_ALREADY_CAPTURED, Name.VOID_NOT_SENT, Name.REFUND_FAILED, Name.REFUND_REVERSED),
    }
)
_WARN: Final = frozenset(
    {
        *(Name.INTEGRITY_MISMATCH, Name.SYNC_BUDGET_EXHAUSTED, Name.UNEXPECTED_PROVIDER_STATE, Name.LATE_SUCCESS, Name.SECOND_SUCCESS),
        *(Name.OPERATION_REVIEW_RAISED, Name.OPERATION_ADOPTED, Name.DISCREPANCY_RAISED, Name.HELD, Name.DISPUTE_OPENED),
        *(Name.FENCE_PREPARED, Name.RESOLVED_AUTHORIZATION_GONE, Name.AUTHORIZATION_EXPIRED, Name.CORRECTION_APPROVED),
        Name.COMPENSATION_APPROVED,
    }
)
_GOOD: Final = frozenset(
    {
        *(Name.PROVIDER_AUTHORIZED, Name.PROVIDER_CHARGED, Name.RESOLVED_AUTHORIZED, Name.RESOLVED_CHARGED, Name.RESOLVED_ABSENT),
        *(Name.RESOLVED_ABSENT_NO_RETRY, Name.RESOLVED_CAPTURED, Name.RESOLVED_VOIDED, Name.FENCED_ABSENT, Name.CAPTURE_SUCCEEDED),
        *(Name.VOID_SUCCEEDED, Name.PROVIDER_VOIDED, Name.REFUND_SUCCEEDED, Name.HOLD_RELEASED),
    }
)


def tone_of(name: Name, to: State) -> Tone:
    """How a payment's event sounds: as the event itself does, else as the state that it leads to."""
    for names, tone in _TONES:
        if name in names:
            return tone
    return "warn" if to is State.MANUAL_REVIEW else "info"


_TONES: Final[tuple[tuple[frozenset[Name], Tone], ...]] = ((_UNKNOWN, "unknown"), (_BAD, "bad"), (_WARN, "warn"), (_GOOD, "good"))
