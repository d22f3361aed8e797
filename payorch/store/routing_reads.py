"""Reading what routing remembers: outcomes of attempts, declines of cards, decisions as they were made, and what happened to the rules.

As in `reads`, every function takes a connection, is one statement and changes nothing. Each is bounded by its caller. Not here: what is
made of it (`payorch.routes`, `payorch.routing_desk`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.events import Event, UnreadableEvent, decode
from payorch.domain.identifiers import uuid_of
from payorch.domain.payment import Name
from payorch.store.driver import Connection
from payorch.store.items import ROUTING_STREAM, STREAMS
from payorch.store.query import all_rows
from payorch.store.reads import JournalRow

STREAM_ID: Final = identifiers.of_name(STREAMS[ROUTING_STREAM], "routing")
"""Of the one stream that tells of the rules."""
_ASKING: Final = (Name.PAYMENT_CREATED, Name.CONFIRMED)
"""The events that hold what a payment is: its intent, and the method that may have come with the confirmation."""
_LAST_UUID: Final = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event of a payment."""

    payment_id: str
    event: Event


async def latest(connection: Connection, names: Collection[Name], since: datetime, *, limit: int) -> list[Told]:
    """The payments' events of these names since then, and those that say what a payment is, in the journal's order, as far as its last
    `limit` records go back.
    """
    rows = await all_rows(
        connection,
        "SELECT stream_id, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE position > (SELECT position FROM payorch.journal_head) - $3 AND stream = 'payment' AND name = ANY($1::text[]) AND at >= $2"
        " ORDER BY position",
        [_words(names), since, Int8(limit)],
    )
    return _told(rows)


async def of_declined(
    connection: Connection, names: Collection[Name], since: datetime, *, limit: int, page: int, before: datetime | None = None
) -> tuple[list[Told], datetime | None]:
    """A page of payments with an attempt that was declined since then, the latest first: their events of these names, and those that say
    what they are, each payment's in order. Then where the next page goes on, None at the end.
    """
    rows = await all_rows(
        connection,
        "WITH page AS (SELECT payment_id, updated_at FROM payorch.attempts"
        " WHERE state = 'DECLINED' AND updated_at >= $2 AND updated_at < $3"
        " ORDER BY updated_at DESC LIMIT $4)"
        " SELECT j.stream_id, j.name, j.at, j.actor, j.cause, j.body::text, (SELECT min(updated_at) FROM page),"
        " (SELECT count(*) FROM page) FROM payorch.journal AS j"
        " WHERE j.stream_id IN (SELECT payment_id FROM page) AND j.name = ANY($1::text[]) ORDER BY j.stream_id, j.sequence",
        [_words(names), since, before or datetime(9999, 1, 1, tzinfo=UTC), Int8(min(page, limit))],
    )
    more = bool(rows) and rows[0][7] == min(page, limit)
    return _told([row[:6] for row in rows]), rows[0][6].astimezone(UTC) if more else None


async def decided(
    connection: Connection, since: datetime, until: datetime | None, *, limit: int, after: str | None = None
) -> tuple[list[Told], str | None]:
    """A page of payments made in that time, oldest first: of each, what it is and its decision. Then the last payment of the page, after
    which the next one begins; None at the end.
    """
    rows = await all_rows(
        connection,
        "WITH page AS (SELECT id FROM payorch.payments WHERE id > $1 AND id >= $2 AND id < $3 ORDER BY id LIMIT $5)"
        " SELECT j.stream_id, j.name, j.at, j.actor, j.cause, j.body::text,"
        " (SELECT id FROM page ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM page)"
        " FROM payorch.journal AS j WHERE j.stream_id IN (SELECT id FROM page) AND j.name = ANY($4::text[])"
        " ORDER BY j.stream_id, j.sequence",
        [
            UUID(int=0) if after is None else uuid_of(after),
            identifiers.earliest(since),
            _LAST_UUID if until is None else identifiers.earliest(until),
            _words({Name.ROUTED}),
            Int8(limit),
        ],
    )
    more = bool(rows) and rows[0][7] == limit
    return _told([row[:6] for row in rows]), identifiers.text("pay", rows[0][6]) if more else None


async def last_decided(connection: Connection, *, limit: int, before: str | None = None) -> tuple[list[Told], str | None]:
    """As `decided`, of the payments made last, those made later first; each payment's events in order. Then where the next page goes on."""
    rows = await all_rows(
        connection,
        "WITH page AS (SELECT id FROM payorch.payments WHERE id < $1 ORDER BY id DESC LIMIT $3)"
        " SELECT j.stream_id, j.name, j.at, j.actor, j.cause, j.body::text,"
        " (SELECT id FROM page ORDER BY id LIMIT 1), (SELECT count(*) FROM page)"
        " FROM payorch.journal AS j WHERE j.stream_id IN (SELECT id FROM page) AND j.name = ANY($2::text[])"
        " ORDER BY j.stream_id DESC, j.sequence",
        [_LAST_UUID if before is None else uuid_of(before), _words({Name.ROUTED}), Int8(limit)],
    )
    more = bool(rows) and rows[0][7] == limit
    return _told([row[:6] for row in rows]), identifiers.text("pay", rows[0][6]) if more else None


async def rule_records(connection: Connection, *, after: int = 0) -> list[JournalRow]:
    """What happened to the rules, in order, after the record of that sequence."""
    rows = await all_rows(
        connection,
        "SELECT position, sequence, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE stream_id = $1 AND sequence > $2 ORDER BY sequence",
        [uuid_of(STREAM_ID), after],
    )
    return [_record(row) for row in rows]


async def last_rules(connection: Connection, names: Sequence[str]) -> JournalRow | None:
    """The newest record of the rules with one of these names."""
    rows = await all_rows(
        connection,
        "SELECT position, sequence, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE stream_id = $1 AND name = ANY($2::text[]) ORDER BY sequence DESC LIMIT 1",
        [uuid_of(STREAM_ID), list(names)],
    )
    return _record(rows[0]) if rows else None


def _words(names: Collection[Name]) -> list[str]:
    return sorted({str(name) for name in (*names, *_ASKING)})


def _told(rows: Sequence[tuple[Any, ...]]) -> list[Told]:
    found = []
    for stream_id, name, at, actor, cause, body in rows:
        try:
            event = decode(name=name, at=at.astimezone(UTC), actor=actor, cause=cause, body=body)
        except UnreadableEvent:
            continue  # its payment will say so when it is loaded; a memory does without it
        found.append(Told(payment_id=identifiers.text("pay", stream_id), event=event))
    return found


def _record(row: tuple[Any, ...]) -> JournalRow:
    position, sequence, name, at, actor, cause, body = row
    return JournalRow(
        position=position,
        stream=ROUTING_STREAM,
        stream_id=STREAM_ID,
        sequence=sequence,
        name=name,
        at=at.astimezone(UTC),
        actor=actor,
        cause=cause,
        body=body,
    )
