"""How an event of a payment reads at a glance: good, bad, unknown, a warning, or news. One table that is total over the events.

Not here: the sentences (`payorch.api.timeline`), colours and glyphs (the console).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from payorch.domain.payment import Name


class Tone(StrEnum):
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    WARN = "warn"
    INFO = "info"


_GOOD: Final = frozenset(
    {
        *(Name.PROVIDER_AUTHORIZED, Name.PROVIDER_CHARGED, Name.RESOLVED_AUTHORIZED, Name.RESOLVED_CHARGED, Name.RESOLVED_CAPTURED),
        *(Name.RESOLVED_VOIDED, Name.CAPTURE_SUCCEEDED, Name.VOID_SUCCEEDED, Name.REFUND_SUCCEEDED, Name.HOLD_RELEASED),
        *(Name.PROVIDER_VOIDED, Name.FENCED_ABSENT, Name.RESOLVED_ABSENT, Name.CORRECTION_APPROVED),
    }
)
_BAD: Final = frozenset(
    {
        *(Name.NO_ROUTE, Name.ROUTER_DECLINED, Name.ATTEMPTS_EXHAUSTED, Name.DECLINED_TERMINAL, Name.REJECTED_TERMINAL),
        *(Name.RESOLVED_DECLINED, Name.ACTION_FAILED, Name.CAPTURE_REJECTED, Name.CAPTURE_REJECTED_AUTHORIZATION_GONE),
        *(Name.LATE_CAPTURE_FAILURE, Name.REFUND_FAILED, Name.REFUND_REVERSED, Name.SECOND_SUCCESS, Name.INTEGRITY_MISMATCH),
        *(Name.UNEXPECTED_PROVIDER_STATE, Name.LATE_SUCCESS, Name.SYNC_BUDGET_EXHAUSTED, Name.DISPUTE_OPENED, Name.VOID_REJECTED),
        *(Name.VOID_REJECTED_ALREADY_CAPTURED, Name.OPERATION_REVIEW_RAISED, Name.RESOLVED_ABSENT_NO_RETRY),
    }
)
_UNKNOWN: Final = frozenset(
    {
        *(Name.OUTCOME_LOST, Name.FOUND_SENT_AFTER_RESTART, Name.PENDING_DEADLINE_PASSED, Name.ACTION_ABANDONED, Name.REFUND_UNKNOWN),
    }
)
_WARN: Final = frozenset(
    {
        *(Name.DECLINED_RETRIABLE, Name.REJECTED_ELSEWHERE_POSSIBLE, Name.ATTEMPT_NOT_SENT, Name.CAPTURE_NOT_SENT, Name.VOID_NOT_SENT),
        *(Name.DISCREPANCY_RAISED, Name.HELD, Name.OPERATION_ADOPTED, Name.RESOLVED_DECLINED_RETRIABLE, Name.RESOLVED_CAPTURE_NOT_DONE),
        *(Name.RESOLVED_VOID_NOT_DONE, Name.RESOLVED_AUTHORIZATION_GONE, Name.AUTHORIZATION_EXPIRED, Name.COMPENSATION_APPROVED),
        *(Name.FENCE_PREPARED, Name.ACTION_EXPIRED, Name.INTENT_EXPIRED, Name.PROVIDER_EXPIRED),
    }
)

TONES: Final[Mapping[Name, Tone]] = {
    name: Tone.GOOD if name in _GOOD else Tone.BAD if name in _BAD else Tone.UNKNOWN if name in _UNKNOWN else Tone.WARN
    if name in _WARN else Tone.INFO
    for name in Name
}  # fmt: skip
"""Total over Name."""
PROBLEMS: Final = frozenset(name for name, tone in TONES.items() if tone in (Tone.BAD, Tone.UNKNOWN, Tone.WARN))
"""Events at which `n` in the console stops."""
