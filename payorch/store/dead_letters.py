"""Dead letters: reading them, and the changes that people make: replay, which gives what died another life, and discard, with a reason.

A change is an entry of the journal, written with its rows (`entries`), so that a replay and its record are one. What is replayed keeps its
identity: it takes effect once, and if it dies again it is the same letter. Nothing is ever deleted.

A line of a settlement report that cannot be read is one as well, and has no other life: the report is not kept. What it means for the books
is a finding of reconciliation, which people explain by itself; the letter only keeps what the line said.

Not here: how something dies (`actors.inbox`, `actors.notifier`, `settlements`), sending it again (they find it by its row).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct
from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import (
    DEAD_LETTER_STREAM,
    DeadLetter,
    DeadLetterKind,
    DeadLetterState,
    Delivery,
    DeliveryState,
    NoticeMark,
    NoticeState,
)
from payorch.store.query import all_rows, utc


class Subject(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a dead letter is: a PSP's notice; the delivery of an event to an endpoint, with what its row needs; or a line of a report."""

    notice: str | None = None
    delivery: Delivery | None = None
    batch: str | None = None
    line: int | None = None


class NoOtherLife(ValueError):
    """What died cannot be tried again. The text says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters; everything given must hold."""

    state: DeadLetterState | None = None
    kind: DeadLetterKind | None = None
    origin: str | None = None
    reason_class: str | None = None
    fingerprint: str | None = None
    payment_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Dead letters that failed alike."""

    fingerprint: str
    kind: DeadLetterKind
    origin: str
    reason_class: str
    letters: int
    open: int
    first_failed_at: datetime
    last_failed_at: datetime
    example: str


async def find(connection: Connection, what: Filter, *, limit: int, after: str | None = None) -> tuple[list[DeadLetter], str | None]:
    """A page of dead letters, newest first, and the cursor for the next page (None: there is no more)."""
    where, parameters = _where(what)
    if after is not None:
        where.append(f"id < ${len(parameters) + 1}")
        parameters.append(uuid_of(after))
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = await all_rows(
        connection,
        f"SELECT {_COLUMNS} FROM payorch.dead_letters {condition} ORDER BY id DESC LIMIT ${len(parameters) + 1}",
        [*parameters, Int8(limit + 1)],
    )
    found = [_letter(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


async def groups(connection: Connection, what: Filter, *, limit: int) -> list[Group]:
    """Dead letters by fingerprint: where most of them are open first, then the largest."""
    where, parameters = _where(what)
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = await all_rows(
        connection,
        "SELECT fingerprint, min(kind), min(origin), min(reason_class), count(*), min(first_failed_at), max(last_failed_at),"
        " (array_agg(id ORDER BY id DESC))[1], count(*) FILTER (WHERE state = 'open') AS waiting"
        f" FROM payorch.dead_letters {condition}"
        f" GROUP BY fingerprint ORDER BY waiting DESC, count(*) DESC, fingerprint LIMIT ${len(parameters) + 1}",
        [*parameters, Int8(limit)],
    )
    return [
        Group(
            fingerprint=row[0],
            kind=DeadLetterKind(row[1]),
            origin=row[2],
            reason_class=row[3],
            letters=row[4],
            open=row[8],
            first_failed_at=utc(row[5]),
            last_failed_at=utc(row[6]),
            example=identifiers.text("dlq", row[7]),
        )
        for row in rows
    ]


async def load(connection: Connection, dead_letter_id: str) -> DeadLetter | None:
    """That dead letter; None where there is none."""
    rows = await all_rows(connection, f"SELECT {_COLUMNS} FROM payorch.dead_letters WHERE id = $1", [uuid_of(dead_letter_id)])
    return _letter(rows[0]) if rows else None


async def load_many(connection: Connection, dead_letter_ids: Sequence[str]) -> list[DeadLetter]:
    """Those of these dead letters that there are, oldest first."""
    ids = [uuid_of(one) for one in dead_letter_ids]
    rows = await all_rows(connection, f"SELECT {_COLUMNS} FROM payorch.dead_letters WHERE id = ANY($1::uuid[]) ORDER BY id", [ids])
    return [_letter(row) for row in rows]


async def money_of(connection: Connection, payment_ids: Sequence[str]) -> list[Money]:
    """What these payments are of, summed up by currency."""
    ids = [uuid_of(one) for one in payment_ids]
    rows = await all_rows(
        connection,
        "SELECT currency, sum(amount)::bigint FROM payorch.payments WHERE id = ANY($1::uuid[]) GROUP BY currency ORDER BY currency",
        [ids],
    )
    return [Money(row[1], row[0]) for row in rows]


async def count_open(connection: Connection) -> dict[str, int]:
    """How many wait for people, by kind."""
    rows = await all_rows(connection, "SELECT kind, count(*) FROM payorch.dead_letters WHERE state = 'open' GROUP BY kind", [])
    return {row[0]: int(row[1]) for row in rows}


def settlement_letter(*, letter_id: str, connector: str, batch_id: str, bad: BadRow, at: datetime) -> DeadLetter:
    """The letter of a line that cannot be read. Those of a connector whose reasons differ in numbers and values only failed alike."""
    reason_class = _class_of(bad.reason)
    return DeadLetter(
        id=letter_id,
        kind=DeadLetterKind.SETTLEMENT_ROW,
        origin=connector,
        subject=msgspec.json.encode(Subject(batch=batch_id, line=bad.line)),
        reason_class=reason_class,
        reason=bad.reason,
        fingerprint=f"{DeadLetterKind.SETTLEMENT_ROW}/{connector}/{reason_class}",
        payload=bad.raw,
        attempts=1,
        first_failed_at=at,
        last_failed_at=at,
    )


_VALUES: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[^a-z ]+")
_CLASS_WORDS: Final = 6


def _class_of(reason: str) -> str:
    """A reason without the values in it, as one word: `gross: '12,3' is no amount` is gross_is_no_amount."""
    return "_".join(_VALUES.sub(" ", reason.lower()).split()[:_CLASS_WORDS]) or "unreadable"


def replayed(letter: DeadLetter, *, at: datetime, by: str, reason: str | None = None) -> Change:
    """What died is to be tried again, now. Of one that is not open nothing but ValueError; NoOtherLife where it cannot be tried again."""
    _require_open(letter)
    subject = msgspec.json.decode(letter.subject, type=Subject)
    again: NoticeMark | Delivery
    match letter.kind:
        case DeadLetterKind.WEBHOOK_IN:
            assert subject.notice is not None, "a notice's letter names it"
            again = NoticeMark(notice_id=subject.notice, state=NoticeState.RECEIVED, outcome="replayed", at=at, next_try_at=at)
        case DeadLetterKind.WEBHOOK_OUT:
            assert subject.delivery is not None, "a delivery's letter holds it"
            dead = subject.delivery
            again = msgspec.structs.replace(dead, state=DeliveryState.PENDING, attempts=0, next_attempt_at=at)
        case DeadLetterKind.SETTLEMENT_ROW:
            require_another_life(letter)
            raise AssertionError("a line of a report has no other life")
        case _ as never:
            assert_never(never)
    changed = msgspec.structs.replace(letter, state=DeadLetterState.REPLAYED, resolved_at=at, resolved_by=by, resolution=reason)
    return _change("DeadLetterReplayed", changed, again)


def require_another_life(letter: DeadLetter) -> None:
    """Raises NoOtherLife where what died is of a kind that cannot be tried again."""
    if letter.kind is DeadLetterKind.SETTLEMENT_ROW:
        raise NoOtherLife(
            "a line of a report cannot be read again, since the report is not kept: correct the report and import it, or review the"
            " line's finding with a reason; then discard this letter"
        )


def discarded(letter: DeadLetter, *, at: datetime, by: str, reason: str) -> Change:
    """People say that it needs no answer, and why. Of one that is not open nothing but ValueError."""
    _require_open(letter)
    if not reason.strip():
        raise ValueError("a dead letter is discarded for a reason: say which")
    return _change(
        "DeadLetterDiscarded",
        msgspec.structs.replace(letter, state=DeadLetterState.DISCARDED, resolved_at=at, resolved_by=by, resolution=reason.strip()),
    )


def _change(name: str, letter: DeadLetter, *more: NoticeMark | Delivery) -> Change:
    detail = {"kind": letter.kind.value, "origin": letter.origin, "reason_class": letter.reason_class, "reason": letter.resolution}
    return Change(stream=DEAD_LETTER_STREAM, stream_id=letter.id, name=name, rows=(*more, letter), detail=detail)


def _require_open(letter: DeadLetter) -> None:
    if letter.state is not DeadLetterState.OPEN:
        raise ValueError(f"{letter.id} is {letter.state} already")


_COLUMNS: Final = """
    id, kind, origin, merchant_id, payment_id, subject::text, reason_class, reason, fingerprint, payload, attempts, first_failed_at,
    last_failed_at, state, resolved_at, resolved_by, resolution
"""


def _where(what: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []
    for name in ("state", "kind", "origin", "reason_class", "fingerprint", "payment_id"):
        value = getattr(what, name)
        if value is not None:
            parameters.append(uuid_of(value) if name == "payment_id" else str(value))
            conditions.append(f"{name} = ${len(parameters)}")
    return conditions, parameters


def _letter(row: Sequence[Any]) -> DeadLetter:
    return DeadLetter(
        id=identifiers.text("dlq", row[0]),
        kind=DeadLetterKind(row[1]),
        origin=row[2],
        merchant_id=None if row[3] is None else identifiers.text("mer", row[3]),
        payment_id=None if row[4] is None else identifiers.text("pay", row[4]),
        subject=row[5].encode(),
        reason_class=row[6],
        reason=row[7],
        fingerprint=row[8],
        payload=row[9],
        attempts=row[10],
        first_failed_at=utc(row[11]),
        last_failed_at=utc(row[12]),
        state=DeadLetterState(row[13]),
        resolved_at=utc(row[14]),
        resolved_by=row[15],
        resolution=row[16],
    )
