"""How reconciliation looks to programs: a day, its pieces, a finding, a report, as JSON's own values. The command line shows the same.

Amounts are whole minor units, each with its currency. Not here: words for people (`payorch.reconciliation_words`), models of these shapes
for the OpenAPI document (`reconciliation_shapes`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from payorch.api.present import View, money_view, rfc3339
from payorch.domain.reconciliation import Bucket, FindingSum, may_close
from payorch.domain.settlement import Tie
from payorch.store.reconciliation import Line, Piece, Unreported
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day, Days

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What reading a settlement report came to. known: these very bytes had been read before, and nothing has changed."""

    id: str
    connector: str
    name: str
    known: bool
    rows: int
    bad_rows: int
    repeated: int
    findings: int
    ties: Sequence[Tie]
    received_at: datetime
    imported_at: datetime | None


def report_view(report: Report) -> View:
    """A report that was read."""
    return {
        "id": report.id,
        "object": "settlement_report",
        "connector": report.connector,
        "name": report.name,
        "known": report.known,
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "repeated": report.repeated,
        "findings": report.findings,
        "ties": [_tie(one) for one in report.ties],
        "received_at": rfc3339(report.received_at),
        "imported_at": report.imported_at and rfc3339(report.imported_at),
    }


def days_view(found: Days, offers: Callable[[Day], list[View]] | None = None) -> View:
    """Days, and what belongs to a day and to no currency. offers: what may be done to a day, where that is told."""
    strays = [
        {"day": one.day.isoformat(), "connector": one.connector, "findings": one.findings, "unexplained": one.unexplained}
        for one in found.strays
    ]
    return {"data": [day_view(one) | _offered(one, offers) for one in found.days], "without_currency": strays}


def day_view(day: Day) -> View:
    """A PSP's day in one currency. `left_to_do`: why it cannot be closed as it stands; null where it can, or is closed."""
    figures, left = day.figures, day.left
    refusal = None if day.closed else may_close(figures)
    return {
        "object": "reconciliation_day",
        "day": figures.day.isoformat(),
        "connector": figures.connector,
        "currency": figures.currency,
        "state": left.state.value if left is not None else "open",
        "reported": day.reported,
        "gross_difference": money_view(figures.gross_difference),
        "unexplained": [money_view(one) for one in figures.unexplained],
        "unknown_amounts": figures.unknown,
        "open_findings": figures.open_findings,
        "explained": [money_view(one) for one in figures.explained],
        "claims": [money_view(one) for one in figures.claims],
        "settled": _bucket(figures.settled),
        "pending": _bucket(figures.pending),
        "mismatched": _bucket(figures.mismatched),
        "manually_reviewed": _bucket(figures.manually_reviewed),
        "beside": _bucket(figures.beside),
        "undecided": figures.undecided,
        "fees": [money_view(one) for one in figures.fees],
        "net": [money_view(one) for one in figures.net],
        "payouts": [money_view(one) for one in figures.payouts],
        "findings": [_findings(one) for one in figures.findings],
        "left_to_do": refusal and refusal.why,
        "changed_at": left and rfc3339(left.changed_at),
        "changed_by": left and left.changed_by,
        "reason": left and left.reason,
    }


def _offered(one: T, offers: Callable[[T], list[View]] | None) -> View:
    return {} if offers is None else {"actions": offers(one)}


def _bucket(bucket: Bucket) -> View:
    return {"count": bucket.count, "gross": money_view(bucket.gross), "balance": money_view(bucket.balance)}


def _findings(some: FindingSum) -> View:
    return {
        "kind": some.kind.value,
        "state": some.state.value,
        "currency": some.currency,
        "count": some.count,
        "gross": some.gross,
        "unknown": some.unknown,
    }


def piece_view(piece: Piece, offers: Callable[[FindingRow], list[View]] | None = None) -> View:
    """A line, a movement that is in no report, or a finding about neither. offers: what may be done to a finding, where that is told."""
    return {
        "object": "settlement_line" if piece.line is not None else "movement" if piece.movement is not None else "finding",
        "status": piece.status.value,
        "connector": piece.connector,
        "currency": piece.currency,
        "line": piece.line and _line(piece.line),
        "movement": piece.movement and _movement(piece.movement),
        "findings": [finding_view(one) | _offered(one, offers) for one in piece.findings],
    }


def finding_view(finding: FindingRow) -> View:
    """A finding as it stands."""
    return {
        "id": finding.id,
        "object": "finding",
        "kind": finding.kind.value,
        "state": finding.state.value,
        "connector": finding.connector,
        "currency": finding.currency,
        "day": finding.day.isoformat(),
        "detail": finding.detail,
        "expected": _amount(finding.expected, finding),
        "actual": _amount(finding.actual, finding),
        "difference": _amount(finding.difference, finding),
        "report": finding.batch_id,
        "line": finding.line,
        "payment_id": finding.payment_id,
        "subject_id": finding.subject_id,
        "suggestions": msgspec.json.decode(finding.suggestions),
        "dead_letter_id": finding.dead_letter_id,
        "found_at": rfc3339(finding.found_at),
        "version": finding.version,
        "proposed_action": finding.proposed_action,
        "proposed_by": finding.proposed_by,
        "proposed_at": finding.proposed_at and rfc3339(finding.proposed_at),
        "resolved_by": finding.resolved_by,
        "resolved_at": finding.resolved_at and rfc3339(finding.resolved_at),
        "resolution": finding.resolution,
    }


def _line(line: Line) -> View:
    return {
        "report": line.batch_id,
        "number": line.line,
        "kind": line.kind.value,
        "type": line.type,
        "identity": line.identity,
        "gross": money_view(line.gross),
        "fee": money_view(line.fee),
        "net": money_view(line.net),
        "rate": line.rate,
        "payout": line.payout,
        "state": line.state.value,
        "key": line.key and line.key.value,
        "payment_id": line.payment_id,
        "subject_id": line.subject_id,
    }


def _movement(movement: Unreported) -> View:
    return {
        "kind": movement.kind.value,
        "amount": money_view(movement.amount),
        "at": rfc3339(movement.at),
        "payment_id": movement.payment_id,
        "subject_id": movement.subject_id,
    }


def _tie(tie: Tie) -> View:
    return {
        "line": tie.line,
        "what": tie.what,
        "holds": tie.holds,
        "declared": money_view(tie.declared) if tie.declared is not None else None,
        "computed": money_view(tie.computed) if tie.computed is not None else None,
        "declared_rows": tie.declared_rows,
        "computed_rows": tie.computed_rows,
    }


def _amount(minor: int | None, finding: FindingRow) -> View | None:
    return None if minor is None else {"amount": minor, "currency": finding.amount_currency}
