"""Lines of reports that wait for their payment, or for one to appear: reading them, and writing what becomes of one.

The line is matched anew under the lock of reconciliation, so that no import can take its movement meanwhile. Where that settles it, all is
written together: the line, its movement, its double entries, its findings and the record in the journal. Where not, only when it is looked
at next. Not here: what is decided (`payorch.domain.told_lines`), telling its payment (the reconciler).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, TypeAlias

from psycopg.types.numeric import Int4, Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import bytes_of, child_of, uuid_of
from payorch.domain.matching import Candidate, Verdict
from payorch.domain.payment import State
from payorch.domain.postings import relinked
from payorch.domain.settlement import Finding, FindingKind, RowState, SettlementRow, SettlementState
from payorch.domain.told_lines import AWAITED, Next, Standing, Step, Telling, next_step, next_try
from payorch.store import (
    entries,
    reconciliation_days,
    reconciliation_findings,
    reconciliation_lock,
    settlement_candidates,
    settlements,
)
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import BATCH_STREAM, Appended, Entry, NoticeState
from payorch.store.query import all_rows, utc
from payorch.store.reconciliation_findings import SUBJECT_PREFIX
from payorch.store.reconciliation_items import FindingRow
from payorch.store.settlement_rows import POSTING_COLUMNS, READ_COLUMNS, BookedLine, copy, postings_of, read

SYSTEM: Final = "system"

Judge: TypeAlias = Callable[[SettlementRow, Sequence[Candidate]], Verdict]
"""What a line comes to, of all that it may be (`payorch.domain.matching.match`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLine:
    """A line that is not settled. payment_id, subject_id: what it is about, as far as that is known. tries: how often it was looked at."""

    batch_id: str
    connector: str
    row: SettlementRow
    state: RowState
    payment_id: str | None
    subject_id: str | None
    tries: int
    next_try_at: datetime | None

    @property
    def identity(self) -> str:
        """Under which it is told to its payment, once for ever."""
        return f"settlement:{self.batch_id}:{self.row.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a line is looked at again. fee: what is wrong with the fee of one that is matched now, if anything. zone: the PSP's.

    tries_seconds: the pauses between looks, before it is given up.
    """

    judge: Judge
    fee: Callable[[Connection, SettlementRow, Candidate], Awaitable[Finding | None]]
    zone: tzinfo
    tries_seconds: tuple[int, ...]
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What came of a look. line: with its payment, as it is now known. state: as the line stands now."""

    step: Step
    line: WaitingLine
    state: RowState


async def due(connection: Connection, now: datetime, connectors: Sequence[str], *, limit: int) -> list[WaitingLine]:
    """Evidence of these connectors whose time to be looked at has come, the longest overdue first."""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.settlement_rows AS r WHERE next_try_at <= $1 AND connector = ANY($2::text[])"
        " ORDER BY next_try_at, batch_id, line LIMIT $3",
        [now, list(connectors), Int8(limit)],
    )
    return [_line(row) for row in rows]


async def unmatched(connection: Connection, *, after: str | None, limit: int) -> tuple[list[WaitingLine], str | None]:
    """A page of lines that are nothing of ours, and that nobody has explained yet, by their findings; and the cursor for the next page."""
    rows = await all_rows(connection, _UNMATCHED, [None if after is None else uuid_of(after), Int8(limit)])
    return [_line(row[1:]) for row in rows], identifiers.text("fnd", rows[-1][0]) if len(rows) == limit else None


async def look_again(connection: Connection, line: WaitingLine, look: Look) -> Looked | None:
    """Matches the line anew and writes what that comes to. None where somebody has settled it meanwhile, or works on reports just now."""
    async with connection.transaction():
        if not await reconciliation_lock.take_now(connection):
            return None
        await settlements.planning(connection)
        found = await all_rows(
            connection,
            f"SELECT {_COLUMNS} FROM payorch.settlement_rows AS r WHERE batch_id = $1 AND line = $2",
            [uuid_of(line.batch_id), Int4(line.row.line)],
        )
        line = _line(found[0])
        if line.state not in (RowState.EVIDENCE, RowState.UNMATCHED):
            return None
        payment_id = line.payment_id or (await settlement_candidates.payments_of(connection, line.connector, [line.row]))[0]
        payments = [payment_id] if payment_id is not None else []
        candidates = await settlement_candidates.candidates(connection, line.connector, payments, zone=look.zone)
        verdict = look.judge(line.row, candidates.get(payment_id or "", []))
        standing = await _standing(connection, line, payment_id)
        next_ = next_step(line.row, verdict, standing, look.tries_seconds)
        return await _follow(connection, line, payment_id, verdict, next_, look)


async def _follow(connection: Connection, line: WaitingLine, payment_id: str | None, verdict: Verdict, next_: Next, look: Look) -> Looked:
    with_payment = dataclasses.replace(line, payment_id=payment_id)
    match next_.step:
        case Step.SETTLE:
            await _settle(connection, line, verdict, next_.conflict, look)
            return Looked(step=next_.step, line=with_payment, state=verdict.state)
        case Step.GIVE_UP:
            if line.state is RowState.EVIDENCE:
                await _give_up(connection, line, next_.conflict, look)
            return Looked(step=next_.step, line=with_payment, state=RowState.UNMATCHED)
        case Step.TELL | Step.WAIT:
            if line.state is RowState.UNMATCHED and next_.step is Step.WAIT:
                return Looked(step=next_.step, line=with_payment, state=line.state)  # it was told, and given up: a movement may still come
            # The schedule begins when the payment is told.
            await _wait(connection, line, payment_id, 0 if next_.step is Step.TELL else line.tries, look)
            return Looked(step=next_.step, line=with_payment, state=RowState.EVIDENCE)


async def _standing(connection: Connection, line: WaitingLine, payment_id: str | None) -> Standing:
    told = await all_rows(
        connection, "SELECT state FROM payorch.inbox WHERE connector = $1 AND identity = $2", [line.connector, line.identity]
    )
    payment = await all_rows(
        connection, "SELECT state, held FROM payorch.payments WHERE id = $1", [None if payment_id is None else uuid_of(payment_id)]
    )
    return Standing(
        telling=_TELLING[NoticeState(told[0][0])] if told else Telling.NOT_YET,
        payment=State(payment[0][0]) if payment else None,
        set_aside=bool(payment and payment[0][1]),
        tries=line.tries,
    )


_TELLING: Final[Mapping[NoticeState, Telling]] = {
    NoticeState.RECEIVED: Telling.ON_ITS_WAY,
    NoticeState.PARKED: Telling.ON_ITS_WAY,
    NoticeState.APPLIED: Telling.WEIGHED,
    NoticeState.IGNORED: Telling.WEIGHED,
    NoticeState.DEAD: Telling.NEVER,
}


# --- writing: rows first, the journal's entries last --------------------------------------------------------------------------------------


async def _settle(connection: Connection, line: WaitingLine, verdict: Verdict, conflict: Finding | None, look: Look) -> None:
    """The line is what the verdict says. What was missing or contradicted is explained by that, unless people have the payment."""
    candidate = verdict.candidate
    assert candidate is not None, "a line is settled with something"
    about = await _findings(connection, line)
    kept = [one for one in about if conflict is not None and one.kind is FindingKind.STATUS_CONFLICT]
    explained = [one for one in about if one.kind in AWAITED and one not in kept]
    fee = await look.fee(connection, line.row, candidate) if verdict.state is RowState.MATCHED else None
    new = [*verdict.findings, *(one for one in (fee, conflict if not kept else None) if one is not None)]
    made = [_finding(line, one, candidate, look.at) for one in new]
    left = [one for one in about if one not in explained]
    await _change(connection, line, verdict.state, verdict, tries=line.tries)
    changes = [reconciliation_findings.resolved(one, _because(verdict), look.at) for one in explained]
    if verdict.state is RowState.MATCHED:
        settlement = SettlementState.MISMATCHED if made or left else SettlementState.SETTLED
        await _settle_movement(connection, line, candidate, settlement)
        changes += [reconciliation_findings.resolved(one, _because_of(line), look.at) for one in await _missing(connection, candidate)]
    detail = {"line": str(line.row.line), "state": verdict.state.value, "payment": candidate.payment_id, "why": verdict.why}
    await _record(connection, line, "SettlementRowSettled", detail, [*changes, *map(_raised, made)], look)


async def _give_up(connection: Connection, line: WaitingLine, conflict: Finding | None, look: Look) -> None:
    """It stays without a movement: a finding says so, the one that there is already, or this one."""
    about = [one for one in await _findings(connection, line) if one.kind in AWAITED]
    made = [_finding(line, conflict, None, look.at)] if conflict is not None and not about else []
    await _change(connection, line, RowState.UNMATCHED, None, tries=line.tries)
    detail = {
        "line": str(line.row.line),
        "state": RowState.UNMATCHED.value,
        "payment": line.payment_id,
        "why": None if conflict is None else conflict.detail,
    }
    await _record(connection, line, "SettlementRowGivenUp", detail, list(map(_raised, made)), look)


async def _wait(connection: Connection, line: WaitingLine, payment_id: str | None, tries: int, look: Look) -> None:
    """Evidence, to be looked at again. One that was about nothing of ours when it was read has found its payment."""
    at = next_try(look.at, tries, look.tries_seconds)
    await all_rows(
        connection,
        "UPDATE payorch.settlement_rows SET state = 'evidence', tries = $3, next_try_at = $4, payment_id = $5"
        " WHERE batch_id = $1 AND line = $2 RETURNING line",
        [uuid_of(line.batch_id), Int4(line.row.line), Int4(tries + 1), at, None if payment_id is None else uuid_of(payment_id)],
    )
    if line.state is RowState.UNMATCHED:
        detail = {"line": str(line.row.line), "state": RowState.EVIDENCE.value, "payment": payment_id, "why": "its payment has appeared"}
        await _record(connection, line, "SettlementRowBecameEvidence", detail, [], look)


async def _change(connection: Connection, line: WaitingLine, state: RowState, verdict: Verdict | None, *, tries: int) -> None:
    candidate = verdict.candidate if verdict is not None else None
    postings = relinked(line.row, line.state, state, connector=line.connector, first_leg=await _legs(connection, line) + 1)
    booked = BookedLine(row=line.row, state=state, postings=postings)
    await copy(connection, "settlement_postings", POSTING_COLUMNS, postings_of(booked, bytes_of(line.batch_id), line.connector))
    keys: list[Any] = [None, None, None, None]
    if verdict is not None and candidate is not None:
        sequence = None if candidate.sequence is None else Int4(candidate.sequence)
        keys = [verdict.key and verdict.key.value, uuid_of(candidate.payment_id), sequence, uuid_of(candidate.subject_id)]
    await all_rows(
        connection,
        "UPDATE payorch.settlement_rows SET state = $3, next_try_at = NULL, tries = $4, key = coalesce($5, key),"
        " payment_id = coalesce($6, payment_id), sequence = coalesce($7, sequence), subject_id = coalesce($8, subject_id)"
        " WHERE batch_id = $1 AND line = $2 RETURNING line",
        [uuid_of(line.batch_id), Int4(line.row.line), state.value, Int4(tries), *keys],
    )


async def _legs(connection: Connection, line: WaitingLine) -> int:
    rows = await all_rows(
        connection,
        "SELECT coalesce(max(leg), 0) FROM payorch.settlement_postings WHERE batch_id = $1 AND line = $2",
        [uuid_of(line.batch_id), Int4(line.row.line)],
    )
    return int(rows[0][0])


async def _settle_movement(connection: Connection, line: WaitingLine, candidate: Candidate, settlement: SettlementState) -> None:
    done = await all_rows(
        connection,
        "UPDATE payorch.movements SET settlement = $4, batch_id = $5, line = $6, booked_on = $7"
        " WHERE payment_id = $1 AND sequence = $2 AND subject_id = $3 AND batch_id IS NULL RETURNING sequence",
        [
            *(uuid_of(candidate.payment_id), Int4(candidate.sequence or 0), uuid_of(candidate.subject_id), settlement.value),
            *(uuid_of(line.batch_id), Int4(line.row.line), line.row.booked_on),
        ],
    )
    if len(done) != 1:
        raise AssertionError("a movement was matched by somebody else although the lock of reconciliation is held")


async def _findings(connection: Connection, line: WaitingLine) -> list[FindingRow]:
    """What nobody has explained about the line."""
    at = (line.batch_id, line.row.line)
    found = await reconciliation_findings.of_lines(connection, [at])
    return [one for one in found.get(at, []) if one.state in reconciliation_findings.UNEXPLAINED]


async def _missing(connection: Connection, candidate: Candidate) -> list[FindingRow]:
    """What people were told of the movement's being in no report."""
    found = await reconciliation_findings.of_payments(connection, [candidate.payment_id])
    return [
        one
        for one in found
        if one.kind is FindingKind.MISSING_AT_PSP
        and one.state in reconciliation_findings.UNEXPLAINED
        and (one.sequence, one.subject_id and uuid_of(one.subject_id)) == (candidate.sequence, uuid_of(candidate.subject_id))
    ]


async def _record(
    connection: Connection, line: WaitingLine, name: str, detail: Mapping[str, str | None], changes: Sequence[Change], look: Look
) -> None:
    """Writes the entries, last of all: the journal's head is locked from now on."""
    own = Change(stream=BATCH_STREAM, stream_id=line.batch_id, name=name, rows=(), detail=detail)
    days = {(one.day, one.currency) for change in changes for one in change.rows if isinstance(one, FindingRow) and one.version == 1}
    told = [await _entry(connection, one, look.at, line) for one in (own, *changes)]
    reopened = await reconciliation_days.reopenings(
        connection, line.connector, days, at=look.at, actor=SYSTEM, cause=line.batch_id,
        reason=f"line {line.row.line} of report {line.batch_id} turned out not to fit after it was closed",
    )  # fmt: skip
    result = await entries.visit(connection, *told, *reopened)
    if not isinstance(result, Appended):
        raise AssertionError(f"nobody else writes these streams under the lock of reconciliation, and yet: {result}")


async def _entry(connection: Connection, change: Change, at: datetime, line: WaitingLine) -> Entry:
    sequence = await entries.next_sequence(connection, change.stream_id)
    return entries.entry_of(change, sequence=sequence, at=at, actor=SYSTEM, cause=line.batch_id)


# --- findings ---------------------------------------------------------------------------------------------------------------------------


def _finding(line: WaitingLine, found: Finding, candidate: Candidate | None, at: datetime) -> FindingRow:
    return reconciliation_findings.about_line(
        identifiers.text("fnd", child_of(uuid_of(line.batch_id), f"line {line.row.line} later {found.kind} {line.tries}")),
        found,
        line.row,
        candidate,
        connector=line.connector,
        batch_id=line.batch_id,
        at=at,
        payment_id=line.payment_id,
    )


def _raised(finding: FindingRow) -> Change:
    return reconciliation_findings.changed(finding, "FindingRaised", {"detail": finding.detail})


def _because(verdict: Verdict) -> str:
    return f"the payment has it in its books now: {verdict.why}"


def _because_of(line: WaitingLine) -> str:
    return f"line {line.row.line} of report {line.batch_id} books it"


# --- reading ----------------------------------------------------------------------------------------------------------------------------

_COLUMNS: Final = f"{READ_COLUMNS}, batch_id, connector, state, payment_id, tries, next_try_at, {SUBJECT_PREFIX.format(of='r')}, subject_id"
_UNMATCHED: Final = f"""
SELECT f.id, {", ".join(f"r.{name}" for name in READ_COLUMNS.split(", "))}, r.batch_id, r.connector, r.state, r.payment_id, r.tries,
    r.next_try_at, {SUBJECT_PREFIX.format(of="r")}, r.subject_id
FROM payorch.reconciliation_findings AS f
JOIN payorch.settlement_rows AS r ON r.batch_id = f.batch_id AND r.line = f.line
WHERE f.state IN ('open', 'proposed') AND f.kind IN ('missing_here', 'status_conflict') AND ($1::uuid IS NULL OR f.id > $1)
    AND r.state = 'unmatched'
ORDER BY f.id LIMIT $2
"""


def _line(row: Sequence[Any]) -> WaitingLine:
    *fields, batch_id, connector, state, payment_id, tries, next_try_at, prefix, subject_id = row
    return WaitingLine(
        batch_id=identifiers.text("bat", batch_id),
        connector=connector,
        row=read(fields),
        state=RowState(state),
        payment_id=None if payment_id is None else identifiers.text("pay", payment_id),
        subject_id=None if subject_id is None else identifiers.text(prefix, subject_id),
        tries=tries,
        next_try_at=utc(next_try_at),
    )
