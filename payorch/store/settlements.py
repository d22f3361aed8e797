"""Writing settlement reports: that one is being read, and its lines a chunk at a time, each chunk in one transaction.

A report is known by the digest of its bytes. A chunk is written with everything that follows from its lines (movements that are settled,
double entries, findings, dead letters, days that are open again), with how far the report has come, and with one entry of the journal: an
import that is ended in the middle goes on after the last chunk, and no line takes effect twice. Whoever writes holds the lock of
reconciliation, and the journal's head last and shortly, since the running platform's writer waits behind it.

Not here: reading what there is (`settlement_batches`), finding candidates (`settlement_candidates`), how rows are written
(`settlement_rows`), reading a file and judging its lines (`payorch.settlements`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

import msgspec
from psycopg.types.numeric import Int4

from payorch.domain import identifiers
from payorch.domain.identifiers import bytes_of, uuid_of
from payorch.domain.matching import Candidate
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow, Finding, FindingKind, FindingState, Tie
from payorch.store import (
    entries,
    reconciliation_days,
    reconciliation_findings,
    reconciliation_lock,
    rows,
    settlement_batches,
    settlement_rows,
)
from payorch.store.dead_letters import settlement_letter
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import BATCH_STREAM, Appended, DeadLetter, Entry
from payorch.store.query import all_rows
from payorch.store.reconciliation_items import FindingRow
from payorch.store.rows import Column, Dates, Integers, Texts, Uuids, date_of, integer, uuid, words
from payorch.store.settlement_batches import Batch, BatchState
from payorch.store.settlement_rows import POSTING_COLUMNS, ROW_COLUMNS, BookedLine

NO_CURRENCY: Final = "XXX"
"""ISO 4217's own code for it: of a line that cannot be read, and of totals that count lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """On whose behalf, as the journal keeps it, and when."""

    actor: str
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A booking that is stored already: the line that it stood on, what it said, and the payment that it was matched with."""

    batch_id: str
    line: int
    gross: int
    fee: int
    net: int
    booked_on: date
    payment_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableLine:
    """A line that cannot be understood, with the day that it is put down to."""

    bad: BadRow
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The lines of one transaction. lines_to: the file is read up to this line. repeated: bookings among them that other reports had."""

    lines_to: int
    booked: Sequence[BookedLine]
    unreadable: Sequence[UnreadableLine] = ()
    repeated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The report after a chunk or its end, and the days (with their currencies) that are open again because of it."""

    batch: Batch
    reopened: tuple[tuple[date, str], ...] = ()


async def planning(connection: Connection) -> None:
    """Until the end of the transaction tables are read by their keys, whatever plans a database without statistics would make.

    Reading is written so that it can be done in no other way; what is left is the one join, of movements with lines, which is by hashing.
    """
    await connection.execute(
        "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_nestloop', 'off', true),"
        " set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)"
    )


async def known(connection: Connection, connector: str, identities: Sequence[str]) -> dict[str, Earlier]:
    """Those of these bookings that are stored, by identity: of each the line that came first."""
    found: dict[str, Earlier] = {}
    for row in await all_rows(connection, _KNOWN, [connector, list(identities)]):
        identity, batch_id, line, gross, fee, net, booked_on, payment_id = row
        found[identity] = Earlier(
            batch_id=identifiers.text("bat", batch_id),
            line=line,
            gross=gross,
            fee=fee,
            net=net,
            booked_on=booked_on,
            payment_id=None if payment_id is None else identifiers.text("pay", payment_id),
        )
    return found


async def open_batch(connection: Connection, batch: Batch, who: Who) -> tuple[Batch, bool]:
    """Writes that this report is being read. Gives the report as it stands, and whether it is new: one of the same bytes is the same."""
    async with connection.transaction():
        await reconciliation_lock.take(connection)
        there = await all_rows(
            connection, "SELECT id FROM payorch.settlement_batches WHERE connector = $1 AND digest = $2", [batch.connector, batch.digest]
        )
        if there:
            return await hold(connection, identifiers.text("bat", there[0][0])), False
        await all_rows(
            connection,
            "INSERT INTO payorch.settlement_batches (id, connector, digest, name, state, lines_done, rows, bad_rows, repeated, findings,"
            " ties, received_at, received_by) VALUES ($1, $2, $3, $4, 'importing', 0, 0, 0, 0, 0, '[]', $5, $6) RETURNING id",
            [uuid_of(batch.id), batch.connector, batch.digest, batch.name, batch.received_at, batch.received_by],
        )
        detail = {"connector": batch.connector, "name": batch.name, "sha256": batch.digest.hex()}
        await _vouch(connection, [await _of_batch(connection, batch, "SettlementBatchOpened", detail, who)])
        return batch, True


async def hold(connection: Connection, batch_id: str) -> Batch:
    """The report as it stands, which nobody else changes until the end of the transaction."""
    found = await settlement_batches.load(connection, batch_id, holding=True)
    assert found is not None, "a report that was opened is never deleted"
    return found


async def write(connection: Connection, batch: Batch, chunk: Chunk, who: Who) -> Written:
    """Writes a chunk of the report, which stands as `batch` says. There must be a transaction, with the lock of reconciliation."""
    booked, batch_bytes = chunk.booked, bytes_of(batch.id)
    letters = [_letter(batch, one, who) for one in chunk.unreadable]
    findings = [
        *(_finding(batch, line, number, one, who) for line in booked for number, one in enumerate(line.findings, start=1)),
        *(_unparseable(batch, one, letter, who) for one, letter in zip(chunk.unreadable, letters, strict=True)),
    ]
    stored = [settlement_rows.row_of(line, batch_bytes, batch.connector, who.at) for line in booked]
    await settlement_rows.copy(connection, "settlement_rows", ROW_COLUMNS, stored)
    postings = [posting for line in booked for posting in settlement_rows.postings_of(line, batch_bytes, batch.connector)]
    await settlement_rows.copy(connection, "settlement_postings", POSTING_COLUMNS, postings)
    await settlement_rows.copy_items(connection, "dead_letters", letters)
    await settlement_rows.copy_items(connection, "reconciliation_findings", findings)
    found_after_all = await _settle(connection, batch, booked, who)
    after = replace(
        batch,
        lines_done=chunk.lines_to,
        rows=batch.rows + len(booked),
        bad_rows=batch.bad_rows + len(letters),
        repeated=batch.repeated + chunk.repeated,
        findings=batch.findings + len(findings),
    )
    await _update(connection, after)
    reopened = await _reopened(connection, batch, {(line.row.booked_on, line.row.gross.currency) for line in booked}, who)
    detail = {
        "lines": f"{batch.lines_done + 1}-{chunk.lines_to}",
        "rows": str(len(booked)),
        "bad_rows": str(len(letters)),
        "repeated": str(chunk.repeated),
        "findings": str(len(findings)),
        "sha256": settlement_rows.digest_of(line.row for line in booked),
    }
    own = await _of_batch(connection, batch, "SettlementRowsImported", detail, who)
    await _vouch(connection, [own, *found_after_all, *reopened])
    return Written(batch=after, reopened=_days(reopened))


async def finish(connection: Connection, batch: Batch, ties: Sequence[Tie], day: date, who: Who) -> Written:
    """Writes that the report is read to its end. ties: the totals that it states; those that do not hold are findings on `day`.

    There must be a transaction, with the lock of reconciliation.
    """
    findings = [_of_total(batch, number, tie, day, who) for number, tie in enumerate(ties, start=1) if not tie.holds]
    await settlement_rows.copy_items(connection, "reconciliation_findings", findings)
    after = replace(batch, state=BatchState.IMPORTED, ties=tuple(ties), imported_at=who.at, findings=batch.findings + len(findings))
    await _update(connection, after)
    reopened = await _reopened(connection, batch, {(one.day, one.currency) for one in findings}, who)
    detail = {
        "rows": str(after.rows),
        "bad_rows": str(after.bad_rows),
        "repeated": str(after.repeated),
        "findings": str(after.findings),
        "ties": str(len(ties)),
        "ties_broken": str(len(findings)),
    }
    await _vouch(connection, [await _of_batch(connection, batch, "SettlementBatchImported", detail, who), *reopened])
    return Written(batch=after, reopened=_days(reopened))


# --- what follows from lines ------------------------------------------------------------------------------------------------------------


async def _settle(connection: Connection, batch: Batch, booked: Sequence[BookedLine], who: Who) -> list[Entry]:
    """Movements that these lines were matched with are in a report now; that they were missing at the PSP is explained by that."""
    matched = [(line.row, line.candidate, line.settlement) for line in booked if line.settlement is not None and line.candidate is not None]
    if not matched:
        return []
    rows.register(connection)
    frames = [
        (
            uuid(bytes_of(candidate.payment_id)),
            integer(candidate.sequence or 0),
            uuid(bytes_of(candidate.subject_id)),
            words(settlement),
            integer(row.line),
            date_of(row.booked_on),
        )
        for row, candidate, settlement in matched
    ]
    kinds: tuple[type[Column], ...] = (Uuids, Integers, Uuids, Texts, Integers, Dates)
    arrays = [kind.of(column, len(frames)) for kind, column in zip(kinds, zip(*frames, strict=True), strict=True)]
    settled = await all_rows(connection, _SETTLE, [uuid_of(batch.id), *arrays])
    if len(settled) != len(matched):
        raise AssertionError("a movement was matched by somebody else although the lock of reconciliation is held")
    missing = await all_rows(connection, _MISSING, [arrays[0], arrays[1], arrays[2], arrays[4]])
    return [await _found_after_all(connection, batch, identifiers.text("fnd", id), line, who) for id, line in missing]


async def _found_after_all(connection: Connection, batch: Batch, finding_id: str, line: int, who: Who) -> Entry:
    finding = await reconciliation_findings.load(connection, finding_id)
    assert finding is not None, "it was found by its movement, and findings are never deleted"
    change = reconciliation_findings.resolved(finding, f"line {line} of report {batch.id} books it", who.at)
    sequence = await entries.next_sequence(connection, finding.id)
    return entries.entry_of(change, sequence=sequence, at=who.at, actor=who.actor, cause=who.cause)


async def _update(connection: Connection, after: Batch) -> None:
    counts = [Int4(one) for one in (after.lines_done, after.rows, after.bad_rows, after.repeated, after.findings)]
    done = await all_rows(
        connection,
        "UPDATE payorch.settlement_batches SET state = $2, lines_done = $3, rows = $4, bad_rows = $5, repeated = $6, findings = $7,"
        " ties = $8::text::json, imported_at = $9 WHERE id = $1 AND state = 'importing' RETURNING id",
        [uuid_of(after.id), after.state.value, *counts, settlement_batches.ties_json(after.ties), after.imported_at],
    )
    if not done:
        raise AssertionError("a report that is read to its end takes no more lines")


async def _reopened(connection: Connection, batch: Batch, days: set[tuple[date, str]], who: Who) -> list[Entry]:
    return await reconciliation_days.reopenings(
        connection,
        batch.connector,
        days,
        at=who.at,
        actor=who.actor,
        cause=who.cause,
        reason=f"report {batch.id} books something on it that came after it was closed",
    )


def _days(reopened: Sequence[Entry]) -> tuple[tuple[date, str], ...]:
    details = [msgspec.json.decode(one.body, type=dict[str, str]) for one in reopened]
    return tuple((date.fromisoformat(one["day"]), one["currency"]) for one in details)


async def _of_batch(connection: Connection, batch: Batch, name: str, detail: Mapping[str, str], who: Who) -> Entry:
    change = Change(stream=BATCH_STREAM, stream_id=batch.id, name=name, rows=(), detail=detail)
    sequence = await entries.next_sequence(connection, batch.id)
    return entries.entry_of(change, sequence=sequence, at=who.at, actor=who.actor, cause=who.cause)


async def _vouch(connection: Connection, some: Sequence[Entry]) -> None:
    """Writes the entries: the last thing that a transaction does here, since the journal's head is locked from now on."""
    result = await entries.visit(connection, *some)
    if not isinstance(result, Appended):
        raise AssertionError(f"nobody else writes these streams under the lock of reconciliation, and yet: {result}")


# --- findings and letters ---------------------------------------------------------------------------------------------------------------


def _finding(batch: Batch, line: BookedLine, number: int, found: Finding, who: Who) -> FindingRow:
    return reconciliation_findings.about_line(
        _child("fnd", batch, f"line {line.row.line} finding {number}"),
        found,
        line.row,
        line.candidate,
        connector=batch.connector,
        batch_id=batch.id,
        at=who.at,
        suggestions=msgspec.json.encode([_suggestion(one) for one in line.suggestions]),
    )


def _unparseable(batch: Batch, line: UnreadableLine, letter: DeadLetter, who: Who) -> FindingRow:
    return FindingRow(
        id=_child("fnd", batch, f"line {line.bad.line} unreadable"),
        connector=batch.connector,
        currency=NO_CURRENCY,
        day=line.day,
        kind=FindingKind.UNPARSEABLE,
        state=FindingState.OPEN,
        detail=f"line {line.bad.line} cannot be read: {line.bad.reason}",
        amount_currency=NO_CURRENCY,
        found_at=who.at,
        batch_id=batch.id,
        line=line.bad.line,
        dead_letter_id=letter.id,
    )


def _letter(batch: Batch, line: UnreadableLine, who: Who) -> DeadLetter:
    bad = line.bad
    return settlement_letter(
        letter_id=_child("dlq", batch, f"line {bad.line}"), connector=batch.connector, batch_id=batch.id, bad=bad, at=who.at
    )


def _of_total(batch: Batch, number: int, tie: Tie, day: date, who: Who) -> FindingRow:
    """A total that does not hold. What the lines add up to is expected, what the report states of itself is the actual amount."""
    declared, computed = tie.declared, tie.computed
    known = computed if declared is None else declared
    currency = known.currency if known is not None else NO_CURRENCY
    same = declared is not None and computed is not None and declared.currency == computed.currency
    return FindingRow(
        id=_child("fnd", batch, f"total {number}"),
        connector=batch.connector,
        currency=currency,
        day=day,
        kind=FindingKind.TOTALS,
        state=FindingState.OPEN,
        detail=f"{tie.what}: the report says {_told(declared, tie.declared_rows)}, its lines come to {_told(computed, tie.computed_rows)}",
        amount_currency=currency,
        found_at=who.at,
        expected=computed.minor if computed is not None and computed.currency == currency else None,
        actual=declared.minor if declared is not None else None,
        difference=declared.minor - computed.minor if same and declared is not None and computed is not None else None,
        batch_id=batch.id,
        line=tie.line,
    )


def _told(amount: Money | None, lines: int | None) -> str:
    parts = [f"{amount.major():f} {amount.currency}"] if amount is not None else []
    parts += [f"{lines} lines"] if lines is not None else []
    return " and ".join(parts) or "nothing"


def _suggestion(one: Candidate) -> dict[str, object]:
    return {
        "payment": one.payment_id,
        "subject": one.subject_id,
        "sequence": one.sequence,
        "kind": one.kind.value,
        "amount": one.amount.minor,
        "currency": one.amount.currency,
        "day": one.day.isoformat(),
    }


def _child(prefix: str, batch: Batch, name: str) -> str:
    """The identifier of something that follows from the report: the same however often it is written."""
    return identifiers.text(prefix, identifiers.child_of(uuid_of(batch.id), name))


_KNOWN: Final = """
SELECT identity, batch_id, line, gross, fee, net, booked_on, payment_id FROM payorch.settlement_rows
WHERE connector = $1 AND identity = ANY($2::text[]) ORDER BY batch_id DESC, line DESC
"""
_SETTLE: Final = """
UPDATE payorch.movements AS old SET settlement = new.settlement, batch_id = $1, line = new.line, booked_on = new.booked_on
FROM unnest($2::uuid[], $3::integer[], $4::uuid[], $5::text[], $6::integer[], $7::date[])
    AS new (payment_id, sequence, subject_id, settlement, line, booked_on)
WHERE old.payment_id = ANY($2::uuid[]) AND old.batch_id IS NULL
    AND old.payment_id = new.payment_id AND old.sequence = new.sequence AND old.subject_id = new.subject_id
RETURNING old.sequence
"""
_MISSING: Final = """
SELECT found.id, new.line FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::integer[]) AS new (payment_id, sequence, subject_id, line),
    LATERAL (SELECT f.id FROM payorch.reconciliation_findings AS f
        WHERE f.payment_id = new.payment_id AND f.sequence = new.sequence AND f.subject_id = new.subject_id
            AND f.kind = 'missing_at_psp' AND f.state IN ('open', 'proposed') OFFSET 0) AS found
ORDER BY found.id
"""
