"""What entries of the journal bring with them for reconciliation: a finding and a day, each as it stands after the entry. Records only.

Not here: lines of reports and their batches, which are too many for entries (`settlements`); how a record becomes a row (`entry_rows`).
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from msgspec import Struct

from payorch.domain.settlement import FindingKind, FindingState


class FindingRow(Struct, frozen=True, kw_only=True, gc=False):
    """A finding of reconciliation, as it stands. The row is made, or changed to be this: from the version before it, from no other.

    currency, day: the day that it belongs to (XXX where a line cannot be read). expected, actual, difference: minor units of
    `amount_currency`, as in `settlement.Finding`. suggestions, proposed_detail: JSON. proposed_by, resolved_by: persons, not accounts, so
    that the database can hold that they are two; what nobody has resolved but what came later is resolved by `system`.
    """

    id: str
    connector: str
    currency: str
    day: date
    kind: FindingKind
    state: FindingState
    detail: str
    amount_currency: str
    found_at: datetime
    version: int = 1
    expected: int | None = None
    actual: int | None = None
    difference: int | None = None
    batch_id: str | None = None
    line: int | None = None
    payment_id: str | None = None
    sequence: int | None = None
    subject_id: str | None = None
    suggestions: bytes = b"[]"
    dead_letter_id: str | None = None
    proposed_action: str | None = None
    proposed_detail: bytes | None = None
    proposed_by: str | None = None
    proposed_at: datetime | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None


class DayState(StrEnum):
    """Where a day of a connector and a currency stands. One that was never closed has no row."""

    CLOSED = "closed"
    REOPENED = "reopened"


class DayRow(Struct, frozen=True, kw_only=True, gc=False):
    """A day as somebody left it. `figures`: JSON, what it came to when it was closed. As with findings, versions follow each other."""

    day: date
    connector: str
    currency: str
    state: DayState
    version: int
    figures: bytes
    changed_at: datetime
    changed_by: str
    reason: str
