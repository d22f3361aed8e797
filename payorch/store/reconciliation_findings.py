"""Findings of reconciliation: reading them, and the changes that explain one, each an entry of the journal with the finding's row.

Not here: which explanations there are and what each means (`payorch.domain.reconciliation`), finding anything (`settlements`), what else an
explanation changes (`reconciliation_links`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace
from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.explanations import Action, Case
from payorch.domain.identifiers import uuid_of
from payorch.domain.matching import Candidate
from payorch.domain.money import Money
from payorch.domain.settlement import Finding, FindingKind, FindingState, SettlementRow
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import FINDING_STREAM
from payorch.store.query import all_rows, utc
from payorch.store.reconciliation_items import FindingRow

SUBJECT_PREFIX: Final = """
CASE WHEN {of}.subject_id IS NULL THEN NULL ELSE coalesce(
    (SELECT CASE child.kind WHEN 'capture' THEN 'cap' WHEN 'void' THEN 'void' ELSE 'ref' END FROM payorch.operations AS child
     WHERE child.payment_id = {of}.payment_id AND child.id = {of}.subject_id),
    (SELECT 'dsp' FROM payorch.disputes AS child WHERE child.payment_id = {of}.payment_id AND child.id = {of}.subject_id),
    'att') END
"""
"""What kind of thing the `subject_id` in a row of `of` is: rows keep its UUID alone, and people are shown the whole identifier."""
UNEXPLAINED: Final = (FindingState.OPEN, FindingState.PROPOSED)
"""A finding in one of these states keeps its day open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which findings; everything given must hold. `since` and `until` are days, both included."""

    states: tuple[FindingState, ...] = ()
    kind: FindingKind | None = None
    connector: str | None = None
    currency: str | None = None
    since: date | None = None
    until: date | None = None
    payment_id: str | None = None
    batch_id: str | None = None
    line: int | None = None


async def find(connection: Connection, what: Filter, *, limit: int, after: str | None = None) -> tuple[list[FindingRow], str | None]:
    """A page of findings, newest first, and the cursor for the next page (None: there is no more)."""
    where, parameters = _where(what)
    if after is not None:
        parameters.append(uuid_of(after))
        where.append(f"id < ${len(parameters)}")
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    parameters.append(Int8(limit + 1))
    rows = await all_rows(connection, f"{_SELECT} {condition} ORDER BY id DESC LIMIT ${len(parameters)}", parameters)
    found = [_finding(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


async def load(connection: Connection, finding_id: str) -> FindingRow | None:
    """That finding; None where there is none."""
    rows = await all_rows(connection, f"{_SELECT} WHERE id = $1", [uuid_of(finding_id)])
    return _finding(rows[0]) if rows else None


async def by_ids(connection: Connection, finding_ids: Sequence[str]) -> list[FindingRow]:
    """Those of these findings that there are, oldest first."""
    ids = [uuid_of(one) for one in finding_ids]
    return [_finding(row) for row in await all_rows(connection, f"{_SELECT} WHERE id = ANY($1::uuid[]) ORDER BY id", [ids])]


async def of_lines(connection: Connection, lines: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], list[FindingRow]]:
    """The findings about these lines of reports (batch, line), oldest first."""
    if not lines:
        return {}
    batches, numbers = [uuid_of(batch) for batch, _ in lines], [line for _, line in lines]
    query = f"{_SELECT} WHERE (batch_id, line) IN (SELECT * FROM unnest($1::uuid[], $2::integer[])) ORDER BY id"  # fmt: skip
    found: dict[tuple[str, int], list[FindingRow]] = {}
    for row in await all_rows(connection, query, [batches, numbers]):
        one = _finding(row)
        assert one.batch_id is not None, "it was asked for by its batch"
        assert one.line is not None, "and by its line"
        found.setdefault((one.batch_id, one.line), []).append(one)
    return found


async def of_payments(connection: Connection, payment_ids: Sequence[str]) -> list[FindingRow]:
    """The findings about movements of these payments, oldest first."""
    ids = [uuid_of(one) for one in payment_ids]
    return [_finding(row) for row in await all_rows(connection, f"{_SELECT} WHERE payment_id = ANY($1::uuid[]) ORDER BY id", [ids])]


def about_line(
    finding_id: str,
    found: Finding,
    row: SettlementRow,
    candidate: Candidate | None,
    *,
    connector: str,
    batch_id: str,
    at: datetime,
    payment_id: str | None = None,
    suggestions: bytes = b"[]",
) -> FindingRow:
    """What was found about a line of a report, as a row that nobody has explained. payment_id: where it has no candidate."""
    amount = next((one for one in (found.difference, found.actual, found.expected) if one is not None), row.gross)
    return FindingRow(
        id=finding_id,
        connector=connector,
        currency=row.gross.currency,
        day=row.booked_on,
        kind=found.kind,
        state=FindingState.OPEN,
        detail=found.detail,
        amount_currency=amount.currency,
        found_at=at,
        expected=found.expected.minor if found.expected is not None else None,
        actual=found.actual.minor if found.actual is not None else None,
        difference=found.difference.minor if found.difference is not None else None,
        batch_id=batch_id,
        line=row.line,
        payment_id=candidate.payment_id if candidate is not None else payment_id,
        sequence=candidate.sequence if candidate is not None else None,
        subject_id=candidate.subject_id if candidate is not None else None,
        suggestions=suggestions,
    )


def resolved(finding: FindingRow, resolution: str, at: datetime) -> Change:
    """What came later explains the finding, without people."""
    after = replace(
        finding, state=FindingState.RESOLVED, version=finding.version + 1, resolved_by="system", resolved_at=at, resolution=resolution
    )
    return changed(after, "FindingResolved", {"resolution": resolution})


def changed(finding: FindingRow, name: str, detail: Mapping[str, str | None]) -> Change:
    """The record of a change, with the finding as it is afterwards. Its version must be the one after that which was read."""
    told = {"kind": finding.kind.value, "state": finding.state.value, "connector": finding.connector, "day": finding.day.isoformat()}
    return Change(stream=FINDING_STREAM, stream_id=finding.id, name=name, rows=(finding,), detail={**told, **detail})


def case_of(finding: FindingRow) -> Case:
    """A finding as far as people's work goes."""
    difference = None if finding.difference is None else Money(finding.difference, finding.amount_currency)
    return Case(
        kind=finding.kind,
        state=finding.state,
        version=finding.version,
        difference=difference,
        proposed_action=None if finding.proposed_action is None else Action(finding.proposed_action),
        proposed_by=finding.proposed_by,
    )


_SELECT: Final = f"""
SELECT id, connector, currency, day, kind, state, detail, amount_currency, found_at, version, expected, actual, difference, batch_id, line,
       payment_id, sequence, subject_id, suggestions::text, dead_letter_id, proposed_action, proposed_detail::text, proposed_by,
       proposed_at, resolved_by, resolved_at, resolution, {SUBJECT_PREFIX.format(of="f")}
FROM payorch.reconciliation_findings AS f
"""


def _where(what: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, value: object) -> None:
        if value is not None:
            parameters.append(value)
            conditions.append(condition.format(f"${len(parameters)}"))

    add("state = ANY({})", [one.value for one in what.states] or None)
    add("kind = {}", what.kind and what.kind.value)
    add("connector = {}", what.connector)
    add("currency = {}", what.currency)
    add("day >= {}", what.since)
    add("day <= {}", what.until)
    add("payment_id = {}", what.payment_id and uuid_of(what.payment_id))
    add("batch_id = {}", what.batch_id and uuid_of(what.batch_id))
    add("line = {}", what.line)
    return conditions, parameters


def _finding(row: Sequence[Any]) -> FindingRow:
    return FindingRow(
        id=identifiers.text("fnd", row[0]),
        connector=row[1],
        currency=row[2],
        day=row[3],
        kind=FindingKind(row[4]),
        state=FindingState(row[5]),
        detail=row[6],
        amount_currency=row[7],
        found_at=utc(row[8]),
        version=row[9],
        expected=row[10],
        actual=row[11],
        difference=row[12],
        batch_id=_maybe("bat", row[13]),
        line=row[14],
        payment_id=_maybe("pay", row[15]),
        sequence=row[16],
        subject_id=_maybe(row[27], row[17]),
        suggestions=row[18].encode(),
        dead_letter_id=_maybe("dlq", row[19]),
        proposed_action=row[20],
        proposed_detail=None if row[21] is None else row[21].encode(),
        proposed_by=row[22],
        proposed_at=utc(row[23]),
        resolved_by=row[24],
        resolved_at=utc(row[25]),
        resolution=row[26],
    )


def _maybe(prefix: str, uuid: UUID | None) -> str | None:
    return None if uuid is None else identifiers.text(prefix, uuid)
