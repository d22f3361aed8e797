"""Importing a PSP's settlement report: from its bytes to lines that are matched, stored and told of in the journal.

A report is known by the digest of its bytes. It is read line by line in bounded memory; a chunk of lines is judged at a time, and written
in one transaction. It works on connections of its own, beside the running platform or without one. An import that was ended goes on where
it was, and the same report again changes nothing.

Not here: what a PSP's columns mean (each connector), the file (`settlement_file`), how lines are matched (`payorch.domain.matching`), the
statements (`payorch.store.settlements`), what people read (`payorch.settlement_words`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from typing import Final, TypeAlias

import psycopg
import trio
from msgspec.structs import replace

from payorch.domain import identifiers
from payorch.domain.differences import fee_variance
from payorch.domain.matching import Candidate, Policy, Verdict, match, match_all, repetition
from payorch.domain.postings import postings
from payorch.domain.rules import Plan
from payorch.domain.settlement import (
    Finding,
    FindingKind,
    NotAReport,
    ReportItem,
    RowKind,
    RowState,
    SettlementRow,
    SettlementState,
    Tie,
)
from payorch.ports import Clock, Entropy
from payorch.settings import Settings
from payorch.settlement_file import Lines, Reading, Report, ReportRefused
from payorch.store import reconciliation_lock, settlement_batches, settlement_candidates, settlements
from payorch.store.driver import Connection
from payorch.store.pool import Trouble, trouble_of
from payorch.store.settlement_batches import Batch, BatchState, Sum
from payorch.store.settlement_rows import BookedLine
from payorch.store.settlements import Chunk, Earlier, Who, Written

__all__ = ["Imported", "Lease", "Parse", "Progress", "Report", "ReportRefused", "Rules", "import_report", "rules"]

Lease: TypeAlias = Callable[[], AbstractAsyncContextManager[Connection]]
Parse: TypeAlias = Callable[[Iterable[bytes]], Iterator[ReportItem]]
"""A connector's own `settlement`."""

_TRIES: Final = 5
"""The lock of reconciliation is held for a chunk or a person's act, below a second: five waits of seconds in a row are something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an import goes by. plan: the cost model; None where there is none. zone: the PSP's, for days of ours beside days of its own."""

    policy: Policy
    chunk_rows: int
    plan: Plan | None = None
    zone: tzinfo = UTC


def rules(settings: Settings, connector: str) -> Rules:
    """What imports of that connector's reports go by, as configured: fees as routing expects them, by all that [[fees]] say."""
    configured = settings.connectors.get(connector)
    return Rules(
        policy=settings.reconciliation.policy(),
        chunk_rows=settings.reconciliation.chunk_rows,
        plan=settings.routing.plan([connector]),
        zone=UTC if configured is None else configured.zone(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import has come. lines: of the file, read and stored."""

    lines: int
    bytes_read: int
    bytes_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of it. new: the report was not known before. changed: this import has stored something, be it that it is read to its end.
    resumed_after: the line up to which an earlier import had come.

    findings: by kind, how many there are and how many of them nobody has explained. reopened: days that had been closed.
    """

    batch: Batch
    new: bool
    changed: bool
    resumed_after: int = 0
    sums: tuple[Sum, ...] = ()
    findings: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reopened: tuple[tuple[date, str], ...] = ()

    @property
    def broken(self) -> tuple[Tie, ...]:
        """Totals by which the report contradicts itself."""
        return tuple(tie for tie in self.batch.ties if not tie.holds)


async def import_report(
    lease: Lease,
    name: str,
    parse: Parse,
    report: Report,
    rules: Rules,
    *,
    actor: str,
    cause: str,
    clock: Clock,
    entropy: Entropy,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Imported:
    """Reads the whole report of the connector of that name and stores it; one that is known already is left as it is.

    lease: lends a connection, as `Pool.lease` does, for one chunk at a time. actor, cause: as they stand in the journal. Raises
    ReportRefused, and psycopg's errors and the pool's where the database goes away: then what was stored stays, and the same again goes on.
    """
    items = parse(report.pieces())
    try:
        first = next(items, None)
    except NotAReport as error:
        raise ReportRefused(f"{report.name} is no settlement report of {name}: {error}. Nothing was stored") from error
    now = clock.now()
    batch = Batch(
        id=identifiers.text("bat", entropy.identifier()),
        connector=name,
        digest=report.digest,
        name=report.name,
        state=BatchState.IMPORTING,
        received_at=now,
        received_by=actor,
    )
    async with lease() as connection:
        batch, new = await settlements.open_batch(connection, batch, Who(actor=actor, cause=cause, at=now))
    reopened: tuple[tuple[date, str], ...] = ()
    unfinished = batch.state is BatchState.IMPORTING
    resumed_after = batch.lines_done if unfinished else 0
    if unfinished:
        reading = Reading(first, items, batch, rules.chunk_rows)
        importing = _Importing(lease, batch, rules, actor, cause, clock)
        while lines := await reading.chunk():
            await importing.write(lines)
            progress(Progress(lines=importing.batch.lines_done, bytes_read=report.bytes_read, bytes_total=report.size_bytes))
        await importing.finish(reading.ties, reading.last_day or now.date())
        batch, reopened = importing.batch, tuple(sorted(importing.reopened))
    async with lease() as connection:
        return Imported(
            batch=batch,
            new=new,
            changed=unfinished,
            resumed_after=resumed_after,
            sums=tuple(await settlement_batches.sums(connection, batch.id)),
            findings=await settlement_batches.findings_by_kind(connection, batch.id),
            reopened=reopened,
        )


# --- judging and writing ----------------------------------------------------------------------------------------------------------------


class _Importing:
    """One import under way: the report as it stands in the database."""

    def __init__(self, lease: Lease, batch: Batch, rules: Rules, actor: str, cause: str, clock: Clock) -> None:
        self.batch = batch
        self.reopened: set[tuple[date, str]] = set()
        self._lease = lease
        self._rules = rules
        self._actor = actor
        self._cause = cause
        self._clock = clock

    async def write(self, lines: Lines) -> None:
        """Judges these lines and writes them in one transaction."""

        async def change(connection: Connection, who: Who) -> Written:
            judged = _Judging(connection, self.batch, self._rules)
            booked, repeated = await judged.booked(lines.rows)
            chunk = Chunk(lines_to=lines.to, booked=booked, unreadable=lines.unreadable, repeated=repeated)
            return await settlements.write(connection, self.batch, chunk, who)

        self._take(await self._in_transaction(change))

    async def finish(self, ties: Sequence[Tie], day: date) -> None:
        """Writes that the report is read to its end."""

        async def change(connection: Connection, who: Who) -> Written:
            return await settlements.finish(connection, self.batch, ties, day, who)

        self._take(await self._in_transaction(change))

    def _take(self, written: Written) -> None:
        self.batch = written.batch
        self.reopened |= set(written.reopened)

    async def _in_transaction(self, change: Callable[[Connection, Who], Awaitable[Written]]) -> Written:
        for tried in range(1, _TRIES + 1):
            try:
                async with self._lease() as connection, connection.transaction():
                    await reconciliation_lock.take(connection)
                    await settlements.planning(connection)
                    if await settlements.hold(connection, self.batch.id) != self.batch:
                        raise ReportRefused(f"{self.batch.name} is being imported by somebody else at this moment; this import ends")
                    return await change(connection, Who(actor=self._actor, cause=self._cause, at=self._clock.now()))
            except psycopg.Error as error:
                if trouble_of(error) is not Trouble.CONTENTION or tried == _TRIES:
                    raise
        raise AssertionError("the last try ends it one way or the other")


class _Judging:
    """What the lines of one chunk come to, in one transaction."""

    def __init__(self, connection: Connection, batch: Batch, rules: Rules) -> None:
        self._connection = connection
        self._batch = batch
        self._connector = batch.connector
        self._rules = rules

    async def booked(self, rows: Sequence[SettlementRow]) -> tuple[list[BookedLine], int]:
        """The lines to be stored, and how many others of them another report had."""
        earlier = await settlements.known(self._connection, self._connector, [row.identity for row in rows])
        fresh = [row for row in rows if row.identity not in earlier]
        again = [(row, earlier[row.identity]) for row in rows if row.identity in earlier]
        verdicts = await self._verdicts(fresh)
        await trio.lowlevel.checkpoint()
        fees = await self._fee_findings(fresh, verdicts)
        booked = [self._line(row, verdict, fees.get(row.line)) for row, verdict in zip(fresh, verdicts, strict=True)]
        twice = [(row, before) for row, before in again if before.batch_id == self._batch.id or _differs(row, before)]
        booked += [self._line(row, self._second(row, before), None) for row, before in twice]
        return booked, len(again) - len(twice)

    async def _verdicts(self, rows: Sequence[SettlementRow]) -> list[Verdict]:
        policy, name = self._rules.policy, self._connector
        payments = await settlement_candidates.payments_of(self._connection, name, rows)
        found = await settlement_candidates.candidates(
            self._connection, name, dict.fromkeys(one for one in payments if one is not None), zone=self._rules.zone
        )
        of_line: dict[int, Sequence[Candidate]] = {
            row.line: found[payment] for row, payment in zip(rows, payments, strict=True) if payment is not None
        }
        await trio.lowlevel.checkpoint()
        verdicts = match_all(rows, lambda row: of_line.get(row.line, ()), policy, connector=name)
        unmatched = [n for n, verdict in enumerate(verdicts) if verdict.state is RowState.UNMATCHED]
        if unmatched:
            alike = await settlement_candidates.alike(
                self._connection, name, [rows[n] for n in unmatched], days=policy.suggest_days, zone=self._rules.zone
            )
            for n in unmatched:
                row = rows[n]
                others = alike.get((abs(row.gross.minor), row.gross.currency), ())
                if others:
                    verdicts[n] = match(row, [*of_line.get(row.line, ()), *others], policy, connector=name)
        return verdicts

    async def _fee_findings(self, rows: Sequence[SettlementRow], verdicts: Sequence[Verdict]) -> dict[int, Finding]:
        """By line, what is wrong with a fee by the cost model; nothing where there is none for this connector."""
        plan = self._rules.plan
        if plan is None or not any(fee.connector == self._connector for fee in plan.book.fees):
            return {}
        taken = [
            (row, verdict.candidate)
            for row, verdict in zip(rows, verdicts, strict=True)
            if row.kind is RowKind.CAPTURE and verdict.state is RowState.MATCHED and verdict.candidate is not None
        ]
        asked = await settlement_candidates.questions(self._connection, dict.fromkeys(ours.payment_id for _, ours in taken))
        found: dict[int, Finding] = {}
        for row, ours in taken:
            if ours.payment_id in asked:
                tolerance = self._rules.policy.tolerance(self._connector, row.fee.currency).fee_minor
                finding = fee_variance(plan, self._connector, asked[ours.payment_id], row, ours.amount, tolerance)
                if finding is not None:
                    found[row.line] = finding
        return found

    def _second(self, row: SettlementRow, before: Earlier) -> Verdict:
        verdict = repetition(row)
        if before.batch_id == self._batch.id:
            return verdict
        why = f"the booking {row.identity} was in report {before.batch_id} (line {before.line}) before, with other amounts or another date"
        finding = replace(verdict.findings[0], kind=FindingKind.DUPLICATE, detail=why)
        return replace(verdict, why=why, findings=(finding,))

    def _line(self, row: SettlementRow, verdict: Verdict, fee: Finding | None) -> BookedLine:
        settlement = verdict.settlement
        return BookedLine(
            row=row,
            state=verdict.state,
            key=verdict.key,
            candidate=verdict.candidate,
            settlement=SettlementState.MISMATCHED if fee is not None and settlement is not None else settlement,
            findings=verdict.findings if fee is None else (*verdict.findings, fee),
            suggestions=verdict.suggestions,
            postings=postings(row, verdict.state, connector=self._connector),
        )


def _differs(row: SettlementRow, before: Earlier) -> bool:
    """Whether the booking says something else than it did in the earlier report."""
    said = (row.gross.minor, row.fee.minor, row.net.minor, row.booked_on)
    return said != (before.gross, before.fee, before.net, before.booked_on)
