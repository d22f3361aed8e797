"""Movements that no report had in the time that reports take: finding them, and the finding that people see of each.

Each is raised once, on the day on which its time ended; that day is open again where it had been closed. When a line comes after all, the
finding resolves itself: where that line is written (`settlements`, `settlement_evidence`). Not here: how long reports take, when anybody
looks (the reconciler).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.differences import missing_at_psp
from payorch.domain.identifiers import child_of
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import window_ends
from payorch.domain.settlement import FindingState
from payorch.store import entries, reconciliation_days, reconciliation_findings, reconciliation_lock
from payorch.store.driver import Connection
from payorch.store.items import Appended, Entry
from payorch.store.query import all_rows
from payorch.store.reconciliation_items import FindingRow

SYSTEM: Final = "system"
AT_ONCE: Final = 200
"""In one transaction, with an entry of the journal each: the running platform's writer waits for those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Of one connector: its time zone, its day today, and for how many days a movement of an earlier day is awaited."""

    connector: str
    zone: tzinfo
    today: date
    days: int

    @property
    def closes(self) -> datetime:
        """What moved before this should have been in a report: the whole of the last day is left to it."""
        return datetime.combine(self.today - timedelta(days=self.days), time(), tzinfo=self.zone)


async def raise_findings(connection: Connection, window: Window, *, at: datetime) -> int | None:
    """Raises the next findings, at most `AT_ONCE`, and says how many. None where somebody works on reports just now."""
    async with connection.transaction():
        if not await reconciliation_lock.take_now(connection):
            return None
        rows = await all_rows(connection, _OVERDUE, [window.connector, window.closes, Int8(AT_ONCE)])
        findings = [_finding(row, window, at) for row in rows]
        if not findings:
            return 0
        told = [await _raised(connection, one, at) for one in findings]
        reopened = await reconciliation_days.reopenings(
            connection, window.connector, {(one.day, one.currency) for one in findings}, at=at, actor=SYSTEM, cause=findings[0].id,
            reason="a movement was in no report by the end of the day",
        )  # fmt: skip
        result = await entries.visit(connection, *told, *reopened)
        if not isinstance(result, Appended):
            raise AssertionError(f"a movement is missing once, and yet: {result}")
    return len(findings)


async def _raised(connection: Connection, finding: FindingRow, at: datetime) -> Entry:
    change = reconciliation_findings.changed(finding, "FindingRaised", {"detail": finding.detail})
    sequence = await entries.next_sequence(connection, finding.id)
    return entries.entry_of(change, sequence=sequence, at=at, actor=SYSTEM, cause=finding.payment_id or finding.id)


def _finding(row: Sequence[Any], window: Window, at: datetime) -> FindingRow:
    payment_id, sequence, subject_id, kind, amount, currency, moved_at, prefix = row
    day = moved_at.astimezone(window.zone).date()
    found = missing_at_psp(MovementKind(kind), Money(amount, currency), day=day, window_days=window.days)
    assert found.expected is not None, "it is ours that is expected"
    assert found.difference is not None, "and all of it is missing"
    return FindingRow(
        id=identifiers.text("fnd", _identity(payment_id, sequence, subject_id)),
        connector=window.connector,
        currency=currency,
        day=window_ends(day, window.days),
        kind=found.kind,
        state=FindingState.OPEN,
        detail=found.detail,
        amount_currency=currency,
        found_at=at,
        expected=found.expected.minor,
        actual=0,
        difference=found.difference.minor,
        payment_id=identifiers.text("pay", payment_id),
        sequence=sequence,
        subject_id=identifiers.text(prefix, subject_id),
    )


def _identity(payment_id: UUID, sequence: int, subject_id: UUID) -> UUID:
    """The same however often it is looked for: a movement is missing once."""
    return child_of(payment_id, f"missing {sequence} {subject_id}")


# Chosen and changed by the same statement; what is mismatched is not looked for again.
_OVERDUE: Final = f"""
WITH overdue AS (
    SELECT payment_id, sequence, subject_id FROM payorch.movements
    WHERE connector = $1 AND settlement = 'pending' AND at < $2 ORDER BY at LIMIT $3
), m AS (
    UPDATE payorch.movements AS old SET settlement = 'mismatched' FROM overdue
    WHERE old.payment_id = overdue.payment_id AND old.sequence = overdue.sequence AND old.subject_id = overdue.subject_id
    RETURNING old.payment_id, old.sequence, old.subject_id, old.kind, old.amount, old.currency, old.at
)
SELECT payment_id, sequence, subject_id, kind, amount, currency, at, {reconciliation_findings.SUBJECT_PREFIX.format(of="m")}
FROM m ORDER BY at, payment_id, sequence, subject_id
"""
