"""What a run of many seeds must have met: every named crash point, every misfortune, every interesting state and end. A suite in which
nothing went wrong proves nothing, so what was never seen fails it.

The names are those that a `World` counts. Not here: how often is enough for a single seed (it is never judged by this).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.simulation.fates import CRASH_POINTS
from tests.simulation.runner import Outcome, Summary

ENOUGH_SEEDS: Final = 100
"""With fewer seeds the rare ones may be missing by chance."""
FAULTS_PER_RUN: Final = 20
CRASHES_PER_RUN: Final = 3

MISFORTUNES: Final = (
    "psp before: refuse",
    "psp before: hang",
    "psp before: reset",
    "psp before: error_500",
    "psp before: rate_limit",
    "psp before: rate_limit with Retry-After",
    "psp after: hang",
    "psp after: reset",
    "psp after: error_500",
    "psp after: malformed",
    "psp after: wrong_amount",
    "psp slow",
    "psp drip",
    "psp belated",
    "database lost before",
    "database lost after",
    "database away",
    "database refuses",
    "end power_cut",
    "end drain",
    "end takeover",
    "somebody's refund at the PSP",
    "somebody's capture at the PSP",
    "somebody's void at the PSP",
    "notice lost",
    "notice late",
    "notice duplicated",
    "notice reordered",
    "notice forged",
    "receiver refused",
    "receiver hangs",
    "receiver fails",
    "receiver later",
    "receiver receipt_lost",
    "receiver gone",
)

_EVENTS: Final = """
    ActionFailed AttemptNotSent AuthorizationExpired AutoVoid CancelIntentRecorded CancelRequested CaptureSucceeded CircuitClosed
    CircuitOpened CircuitProbing CustomerCanceled DeclinedTerminal FoundSentAfterRestart IntegrityMismatch IntentExpired MerchantCanceled
    OperationAdopted OutcomeLost ProviderAccepted ProviderActionRequired ProviderAuthorized ProviderCharged RefundFailed RefundSucceeded
    RefundUnknown RejectedTerminal ResolvedAbsentNoRetry ResolvedActionRequired ResolvedAuthorized ResolvedCaptureNotDone ResolvedCaptured
    ResolvedCharged ResolvedDeclined ResolvedPending ResolvedVoided VoidRemainderRequested VoidSucceeded
"""

_BY_NOTICE: Final = """
    ActionFailed AuthorizationExpired CaptureSucceeded DisputeOpened DisputeUpdated EvidenceRecorded LateCaptureFailure
    ProviderActionRequired ProviderAuthorized ProviderCharged RefundReversed RefundSucceeded ResolvedAuthorized ResolvedCharged
    ResolvedDeclined ResolvedVoided VoidSucceeded
"""

EVENTS: Final = (
    *(f"by notice:{name}" for name in _BY_NOTICE.split()),
    *(f"notice:{what}" for what in ("applied", "parked", "dead", "beats the answer", "told 200", "told 503", "forged 400", "taken again")),
    "notice:applied after a crash",
    *(f"told:{what}" for what in ("again", "again after a crash", "verified by the official library")),
    *("delivery:delivered", "delivery:delivered after failures", "delivery:dead after failures"),
    *("dead letter:webhook_in no_payment", "dead letter:webhook_out http_400"),
    *("endpoint:secret exchanged", "endpoint:switched on again"),
    *(f"end:dispute {status}" for status in ("opened", "won", "lost")),
    *(f"crash:{point}" for point in CRASH_POINTS),
    "crash:while recovering",
    *(f"fault:{kind}" for kind in MISFORTUNES),
    *(f"end:{state}" for state in ("AUTHORIZED", "CAPTURED", "PARTIALLY_CAPTURED", "CANCELED", "FAILED", "MANUAL_REVIEW")),
    *(f"end:{kind} {state}" for kind in ("capture", "void", "refund") for state in ("SUCCEEDED", "FAILED")),
    *(f"event:{name}" for name in _EVENTS.split()),
    *(f"belated:{kind} 200" for kind in ("authorize", "capture", "void", "refund")),
    *("answer:create 201", "answer:create 202", "answer:capture 201", "answer:capture 202", "answer:void 201", "answer:void 202"),
    *("answer:refund 201", "answer:refund 202", "answer:refund 422", "answer:cancel 202", "answer:cancel 409", "answer:confirm 200"),
    *(
        "merchant:race",
        "merchant:another body: 422",
        "shopper:approve 303",
        "shopper:fail 303",
        "shopper:cancel 303",
        "shopper:approve 404",
    ),
    *("life:fenced", "life:drained", "life:begins beside another", "phase:night", "phase:another day", "outage"),
)


def missing(summary: Summary) -> list[str]:
    """What should have been met and was not; nothing where there were too few seeds to say."""
    if len(summary.outcomes) < ENOUGH_SEEDS:
        return []
    never = [f"never seen: {what}" for what in EVENTS if not summary.seen[what]]
    counts: tuple[tuple[str, Callable[[Outcome], float], int], ...] = (
        ("faults", lambda one: one.faults, FAULTS_PER_RUN),
        ("crashes", lambda one: one.deaths, CRASHES_PER_RUN),
    )
    few = [f"only {summary.mean(count):.1f} {name} a run" for name, count, least in counts if summary.mean(count) < least]
    return never + few
