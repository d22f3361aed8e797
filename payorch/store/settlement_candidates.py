"""Finding what the lines of a settlement report may be about: the movements, attempts, operations and disputes of the payments that they
name, as matching takes them; and what has the amount of a line that names nothing of ours.

A line's payment is found by the PSP's ids and ours, as with notices, and everything of that payment at that PSP is a candidate. A few
statements for as many lines as are given. Not here: which candidate it is (`payorch.domain.matching`), writing (`settlements`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace
from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.events import Confirmation, Created, Event, UnreadableEvent, decode
from payorch.domain.identifiers import uuid_of
from payorch.domain.matching import Candidate
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, Name
from payorch.domain.rules import Asked, asked, draw_of
from payorch.domain.settlement import OF_PAYMENTS, SettlementRow, SettlementState
from payorch.store import inbox_reads
from payorch.store.driver import Connection
from payorch.store.inbox_reads import Reference, Refers
from payorch.store.query import all_rows, utc

LARGEST_SUGGESTION: Final = 1_000
"""Movements that are looked at for suggestions to the lines of one chunk: of thousands of equal amounts a list helps nobody."""

_K = MovementKind

_MOVED_BY: Final = {"capture": _K.CAPTURE, "refund": _K.REFUND}
_PREFIX: Final = {"capture": "cap", "refund": "ref"}
_OPEN: Final = frozenset({*OPEN_ATTEMPT, *OPEN_OPERATION})


async def payments_of(connection: Connection, connector: str, rows: Sequence[SettlementRow]) -> list[str | None]:
    """For each line the payment that it is about, by the ids that it names: None where nobody here has any of them."""
    about = [Reference(connector=connector, refers=_refers(row)) for row in rows]
    found = await _by_the_payments_id(connection, connector, rows)
    others = [n for n, payment in enumerate(found) if payment is None and (about[n].refers.psp or about[n].refers.ours)]
    if others:
        for n, payment in zip(others, await inbox_reads.find_payments(connection, [about[n] for n in others]), strict=True):
            found[n] = payment
    rest = [n for n, payment in enumerate(found) if payment is None and (about[n].refers.psp or about[n].refers.ours)]
    if rest:
        by_id = await _by_rare_ids(connection, connector, [about[n].refers for n in rest])
        for n in rest:
            refers = about[n].refers
            found[n] = next((by_id[id] for id in (*refers.psp, *refers.ours) if id in by_id), None)
    return found


async def _by_the_payments_id(connection: Connection, connector: str, rows: Sequence[SettlementRow]) -> list[str | None]:
    """By the PSP's id of the payment, which nearly every line names: one by one, since planning for a list of thousands takes longer."""
    named = {id for row in rows if row.kind in OF_PAYMENTS for id in row.psp_payment}
    payments = {id: identifiers.text("pay", payment) for id, payment in await all_rows(connection, _BY_ATTEMPT, [sorted(named), connector])}
    return [next((payments[id] for id in row.psp_payment if id in payments), None) if row.kind in OF_PAYMENTS else None for row in rows]


def _refers(row: SettlementRow) -> Refers:
    if row.kind not in OF_PAYMENTS:
        return _NOBODY
    return Refers(psp=(*row.psp_operation, *row.psp_payment), ours=row.our_references)


_NOBODY: Final = Refers()


async def _by_rare_ids(connection: Connection, connector: str, refers: Sequence[Refers]) -> dict[str, str]:
    """By ids that a line hardly ever names alone: of disputes, and of payments of ours."""
    theirs = sorted({id for one in refers for id in one.psp})
    ours = sorted({id for one in refers for id in one.ours if id.startswith("pay_")})
    rows = await all_rows(connection, _BY_DISPUTE, [theirs, connector])
    found = {row[0]: identifiers.text("pay", row[1]) for row in rows}
    if ours:
        rows = await all_rows(connection, _BY_PAYMENT, [[uuid_of(id) for id in ours], connector])
        found |= {id: id for id in (identifiers.text("pay", row[0]) for row in rows)}
    return found


async def candidates(
    connection: Connection, connector: str, payments: Collection[str], *, zone: tzinfo = UTC
) -> dict[str, list[Candidate]]:
    """What of each of these payments a line may be: everything of it at that connector that has moved money or may have.

    zone: the PSP's, for the days.
    """
    if not payments:
        return {}
    ids = [uuid_of(id) for id in payments]
    loaded: dict[UUID, _Payment] = defaultdict(_Payment)
    for row in await all_rows(connection, _ATTEMPTS, [ids, connector]):
        loaded[row[0]].attempts.append(row)
    for row in await all_rows(connection, _OPERATIONS, [ids]):
        loaded[row[0]].operations.append(row)
    for row in await all_rows(connection, _DISPUTES, [ids]):
        loaded[row[0]].disputes.append(row)
    for row in await all_rows(connection, _MOVEMENTS, [ids, connector]):
        loaded[row[0]].movements.append(row)
    return {
        payment_id: _Reading(payment_id, connector, zone, loaded[uuid]).candidates() if uuid in loaded else []
        for uuid, payment_id in zip(ids, payments, strict=True)
    }


async def alike(
    connection: Connection, connector: str, rows: Sequence[SettlementRow], *, days: int, zone: tzinfo = UTC
) -> dict[tuple[int, str], list[Candidate]]:
    """By amount and currency of the lines, movements that are in no report yet, about the same date: as suggestions to people.

    Those are pending, or people have been told that they are missing at the PSP.
    """
    amounts = sorted({abs(row.gross.minor) for row in rows})
    if not amounts:
        return {}
    first = _beginning(min(row.booked_on for row in rows) - timedelta(days=days), zone)
    last = _beginning(max(row.booked_on for row in rows) + timedelta(days=days + 1), zone)
    currencies = sorted({row.gross.currency for row in rows})
    parameters = [connector, first, last, [Int8(amount) for amount in amounts], currencies, Int8(LARGEST_SUGGESTION)]
    found: dict[tuple[int, str], list[Candidate]] = defaultdict(list)
    for row in [*await all_rows(connection, _ALIKE_PENDING, parameters), *await all_rows(connection, _ALIKE_MISSING, parameters)]:
        payment_id, sequence, subject_id, kind, amount, currency, at = row
        found[amount, currency].append(
            Candidate(
                payment_id=identifiers.text("pay", payment_id),
                subject_id=identifiers.text(_prefix_of(kind), subject_id),
                connector=connector,
                kind=MovementKind(kind),
                amount=Money(amount, currency),
                day=at.astimezone(zone).date(),
                state="",
                sequence=sequence,
                settlement=SettlementState.PENDING,
            )
        )
    return found


async def questions(connection: Connection, payments: Collection[str]) -> dict[str, Asked]:
    """What each of these payments asked of routing, by which a cost model knows what it is: without those that cannot be read."""
    told: dict[UUID, dict[str, Event]] = defaultdict(dict)
    for stream_id, name, at, actor, cause, body in await all_rows(connection, _ASKING, [[uuid_of(one) for one in payments], _ASKED]):
        with suppress(UnreadableEvent):
            told[stream_id][name] = decode(name=name, at=utc(at), actor=actor, cause=cause, body=body)
    return {
        identifiers.text("pay", id): _question(identifiers.text("pay", id), seen)
        for id, seen in told.items()
        if Name.PAYMENT_CREATED in seen
    }


def _question(payment_id: str, seen: Mapping[str, Event]) -> Asked:
    born = seen[Name.PAYMENT_CREATED]
    assert isinstance(born.data, Created), "an event's name says what is in it"
    intent = born.data.intent
    confirmed = seen.get(Name.CONFIRMED)
    if confirmed is not None and isinstance(confirmed.data, Confirmation):
        intent = replace(intent, method=confirmed.data.method)
    return asked(intent, merchant_id=born.data.merchant_id, draw=draw_of(payment_id), at=born.at)


def _beginning(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def _prefix_of(kind: str) -> str:
    """Of a movement whose subject was not read: a chargeback is a dispute's, a refund an operation's; a capture may be an attempt's."""
    return {"capture": "att", "refund": "ref", "chargeback": "dsp"}[kind.removesuffix("_reversed")]


@dataclass(slots=True)
class _Payment:
    """What was read of one payment, as rows of the statements below."""

    attempts: list[tuple[Any, ...]] = field(default_factory=list)
    operations: list[tuple[Any, ...]] = field(default_factory=list)
    disputes: list[tuple[Any, ...]] = field(default_factory=list)
    movements: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Subject:
    """An attempt, operation or dispute with everything by which a line may name it."""

    id: str
    state: str
    kind: MovementKind
    amount: Money
    at: datetime
    psp_operation: tuple[str, ...]
    psp_payment: tuple[str, ...]
    our_references: tuple[str, ...]


class _Reading:
    """One payment's rows, as candidates."""

    def __init__(self, payment_id: str, connector: str, zone: tzinfo, loaded: _Payment) -> None:
        self._payment_id = payment_id
        self._connector = connector
        self._zone = zone
        self._loaded = loaded
        self._subjects: dict[UUID, _Subject] = {}

    def candidates(self) -> list[Candidate]:
        self._read_subjects()
        made = [self._of_movement(row) for row in self._loaded.movements]
        moved = {row[2] for row in self._loaded.movements}
        # An attempt whose money operations take is not what a line is about: its captures are.
        by_operations = {row[2] for row in self._loaded.operations if row[3] == "capture"}
        made += [self._of_subject(subject) for id, subject in self._subjects.items() if id not in moved and id not in by_operations]
        return made

    def _read_subjects(self) -> None:
        attempts: dict[UUID, tuple[str, ...]] = {}
        holding: dict[UUID, str | None] = {}
        for _, id, state, amount, currency, psp_reference, money_reference, at in self._loaded.attempts:
            names = _named(money_reference, psp_reference)
            attempts[id], holding[id] = names, money_reference
            text = identifiers.text("att", id)
            self._subjects[id] = _Subject(text, state, _K.CAPTURE, Money(amount, currency), at, names, names, (text, self._payment_id))
        captures: dict[UUID, list[str]] = defaultdict(list)
        for _, _, attempt_id, kind, _, _, _, psp_reference, _ in self._loaded.operations:
            if kind == "capture" and psp_reference is not None:
                captures[attempt_id].append(psp_reference)
        for _, id, attempt_id, kind, state, amount, currency, psp_reference, at in self._loaded.operations:
            if attempt_id not in attempts:
                continue  # of an attempt at another connector
            moves = _MOVED_BY[kind]
            text = identifiers.text(_PREFIX[kind], id)
            if moves is _K.CAPTURE:
                # Some PSPs have one object that holds the money and is captured: then that is the capture's own id as well.
                names, about = _named(psp_reference, holding[attempt_id]), attempts[attempt_id]
            else:
                names, about = _named(psp_reference), _named(*attempts[attempt_id], *captures[attempt_id])
            ours = (text, self._subjects[attempt_id].id, self._payment_id)
            self._subjects[id] = _Subject(text, state, moves, Money(amount, currency), at, names, about, ours)
        for _, id, attempt_id, psp_reference, status, amount, currency, at in self._loaded.disputes:
            if attempt_id in attempts:
                about = _named(*attempts[attempt_id], *captures[attempt_id])
                text = identifiers.text("dsp", id)
                ours = (text, self._subjects[attempt_id].id, self._payment_id)
                names = _named(psp_reference)
                self._subjects[id] = _Subject(text, status, _K.CHARGEBACK, Money(amount, currency), at, names, about, ours)

    def _of_movement(self, row: tuple[Any, ...]) -> Candidate:
        _, sequence, subject_id, kind, amount, currency, at, settlement, reported = row
        subject = self._subjects.get(subject_id)
        return Candidate(
            payment_id=self._payment_id,
            subject_id=subject.id if subject is not None else identifiers.text(_prefix_of(kind), subject_id),
            connector=self._connector,
            kind=MovementKind(kind),
            amount=Money(amount, currency),
            day=self._day(at),
            state=subject.state if subject is not None else "",
            sequence=sequence,
            # One that was found missing, or explained without a report, is still to be reported.
            settlement=SettlementState(settlement) if reported else SettlementState.PENDING,
            psp_operation=subject.psp_operation if subject is not None else (),
            psp_payment=subject.psp_payment if subject is not None else (),
            our_references=subject.our_references if subject is not None else (),
        )

    def _of_subject(self, subject: _Subject) -> Candidate:
        return Candidate(
            payment_id=self._payment_id,
            subject_id=subject.id,
            connector=self._connector,
            kind=subject.kind,
            amount=subject.amount,
            day=self._day(subject.at),
            state=subject.state,
            unresolved=subject.state in _OPEN,
            psp_operation=subject.psp_operation,
            psp_payment=subject.psp_payment,
            our_references=subject.our_references,
        )

    def _day(self, at: datetime) -> date:
        return at.astimezone(self._zone).date()


def _named(*ids: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(id for id in ids if id is not None))


# One payment after the other, each by the first column of a key and in the one partition that it lies in: as joins these were plans over
# whole tables wherever statistics are missing. OFFSET 0 keeps them from becoming joins.
_EACH: Final = "SELECT found.* FROM unnest($1::uuid[]) AS wanted (id), LATERAL ({source} OFFSET 0) AS found"
_ATTEMPTS: Final = _EACH.format(
    source="SELECT payment_id, id, state, amount, currency, psp_reference, money_reference, created_at FROM payorch.attempts"
    " WHERE payment_id = wanted.id AND connector = $2",
)
_OPERATIONS: Final = _EACH.format(
    source="SELECT payment_id, id, attempt_id, kind, state, amount, currency, psp_reference, created_at FROM payorch.operations"
    " WHERE payment_id = wanted.id AND kind <> 'void'",
)
_DISPUTES: Final = _EACH.format(
    source="SELECT payment_id, id, attempt_id, psp_reference, status, amount, currency, created_at FROM payorch.disputes"
    " WHERE payment_id = wanted.id",
)
_MOVEMENTS: Final = _EACH.format(
    source="SELECT payment_id, sequence, subject_id, kind, amount, currency, at, settlement, batch_id IS NOT NULL FROM payorch.movements"
    " WHERE payment_id = wanted.id AND connector = $2",
)
_ASKED: Final = [Name.PAYMENT_CREATED.value, Name.CONFIRMED.value]
_ASKING: Final = _EACH.format(
    source="SELECT stream_id, name, at, actor, cause, body::text FROM payorch.journal"
    " WHERE stream_id = wanted.id AND name = ANY($2::text[])",
)
_BY_ATTEMPT: Final = """
SELECT told.id, found.payment_id FROM unnest($1::text[]) AS told (id), LATERAL (
    SELECT payment_id FROM payorch.attempts WHERE psp_reference = told.id AND connector = $2 OFFSET 0) AS found
ORDER BY found.payment_id DESC
"""
_BY_DISPUTE: Final = """
SELECT told.id, found.payment_id FROM unnest($1::text[]) AS told (id), LATERAL (
    SELECT d.payment_id FROM payorch.disputes AS d JOIN payorch.attempts AS a ON a.payment_id = d.payment_id AND a.id = d.attempt_id
    WHERE d.psp_reference = told.id AND a.connector = $2 OFFSET 0) AS found ORDER BY found.payment_id DESC
"""
_BY_PAYMENT: Final = _EACH.format(source="SELECT payment_id FROM payorch.attempts WHERE payment_id = wanted.id AND connector = $2 LIMIT 1")
_ALIKE: Final = """
SELECT m.payment_id, m.sequence, m.subject_id, m.kind, m.amount, m.currency, m.at FROM {source}
WHERE m.at >= $2 AND m.at < $3 AND m.amount = ANY($4::bigint[]) AND m.currency = ANY($5::text[]) AND {further}
ORDER BY m.at, m.payment_id, m.sequence, m.subject_id LIMIT $6
"""
_ALIKE_PENDING: Final = _ALIKE.format(source="payorch.movements AS m", further="m.connector = $1 AND m.settlement = 'pending'")
_ALIKE_MISSING: Final = _ALIKE.format(
    source="payorch.reconciliation_findings AS f, LATERAL (SELECT * FROM payorch.movements WHERE payment_id = f.payment_id"
    " AND sequence = f.sequence AND subject_id = f.subject_id AND settlement <> 'pending' OFFSET 0) AS m",
    further="f.connector = $1 AND f.state IN ('open', 'proposed') AND f.kind = 'missing_at_psp'",
)
