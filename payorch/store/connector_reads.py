"""Reading what the journal and its rows know of one connector: what is unresolved there, its last calls, the story of its circuits.

As in `reads`, every function takes a connection, is one statement and changes nothing. Not here: what is made of it (`actors.circuit_log`,
`actors.pull_forward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.events import AttemptChange, OperationChange, UnreadableEvent, decode
from payorch.domain.identifiers import uuid_of
from payorch.domain.outcome import Evidence, Source
from payorch.store.driver import Connection
from payorch.store.items import CONNECTOR_STREAM, DrainRow
from payorch.store.query import all_rows, utc
from payorch.store.reads import JournalRow

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ANY_SEQUENCE: Final = 2**31 - 1
_ANSWERS_TO_CALLS: Final = frozenset({Source.RESPONSE, Source.REPLAY, Source.INQUIRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentCall:
    """A PSP call that came to an end: what it was about, and what it brought."""

    subject_id: str
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What waits at one connector. unknown: payments with something of unknown outcome. oldest_notice_at: of those still to be applied."""

    dead_letters: int
    unknown: int
    oldest_notice_at: datetime | None


async def standing(connection: Connection, connectors: Sequence[str]) -> dict[str, Standing]:
    """What waits at each of these connectors."""
    rows = await all_rows(
        connection,
        "SELECT c.name,"
        " (SELECT count(*) FROM payorch.dead_letters AS d WHERE d.state = 'open' AND d.origin = c.name),"
        " (SELECT count(*) FROM (SELECT a.payment_id FROM payorch.attempts AS a WHERE a.connector = c.name AND a.state = 'UNKNOWN'"
        " UNION SELECT o.payment_id FROM payorch.operations AS o"
        " JOIN payorch.attempts AS a ON a.payment_id = o.payment_id AND a.id = o.attempt_id"
        " WHERE o.state IN ('UNKNOWN', 'REQUESTED') AND o.state = 'UNKNOWN' AND a.connector = c.name) AS open),"
        " (SELECT min(i.received_at) FROM payorch.inbox AS i"
        " WHERE i.next_try_at IS NOT NULL AND i.state = 'received' AND i.connector = c.name)"
        " FROM unnest($1::text[]) AS c (name)",
        [list(connectors)],
    )
    return {row[0]: Standing(dead_letters=row[1], unknown=row[2], oldest_notice_at=utc(row[3])) for row in rows}


async def unresolved_at(
    connection: Connection, connector: str, kinds: Sequence[str], *, changed_since: datetime | None, after: str | None, limit: int
) -> list[str]:
    """Payments with something at that connector that is unknown, or was surely not sent and is to be sent again; oldest first.

    kinds: `authorize`, `capture`, `void`, `refund`; `lookup` stands for all of them. changed_since: only what has
    changed since then. The page begins after that payment. Without those on hold.
    """
    any_kind = "lookup" in kinds
    rows = await all_rows(
        connection,
        "SELECT DISTINCT id FROM ("
        "SELECT a.payment_id AS id FROM payorch.attempts AS a"
        " WHERE a.connector = $1 AND a.state = 'UNKNOWN' AND $2 AND a.updated_at >= $3 AND a.payment_id > $4"
        " UNION ALL "
        "SELECT o.payment_id FROM payorch.operations AS o JOIN payorch.attempts AS a ON a.payment_id = o.payment_id AND a.id = o.attempt_id"
        " WHERE a.connector = $1 AND o.state IN ('UNKNOWN', 'REQUESTED') AND ($5 OR o.kind = ANY($6::text[]))"
        " AND NOT o.in_review AND o.updated_at >= $3 AND o.payment_id > $4) AS open"
        " WHERE NOT EXISTS (SELECT FROM payorch.payments AS p WHERE p.id = open.id AND (p.held OR p.state = 'MANUAL_REVIEW'))"
        " ORDER BY id LIMIT $7",
        [
            connector,
            any_kind or "authorize" in kinds,
            changed_since or _LONG_AGO,
            UUID(int=0) if after is None else uuid_of(after),
            any_kind,
            list(kinds),
            Int8(limit),
        ],
    )
    return [identifiers.text("pay", row[0]) for row in rows]


async def recent_calls(connection: Connection, connector: str, since: datetime, *, limit: int) -> list[RecentCall]:
    """What calls to that connector brought since then, oldest first, as far as the last `limit` records of the journal know."""
    rows = await all_rows(
        connection,
        "SELECT name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE position > (SELECT position FROM payorch.journal_head) - $3 AND actor = $1 AND at >= $2 AND stream = 'payment'"
        " ORDER BY position",
        [f"psp:{connector}", since, Int8(limit)],
    )
    calls: dict[tuple[str, datetime], RecentCall] = {}  # what one answer made happen may be several events
    for row in rows:
        name, at, actor, cause, body = row
        try:
            data = decode(name=name, at=at.astimezone(UTC), actor=actor, cause=cause, body=body).data
        except UnreadableEvent:
            continue  # its payment will say so when it is loaded; a memory of calls does without it
        if isinstance(data, (AttemptChange, OperationChange)) and data.evidence is not None and data.evidence.source in _ANSWERS_TO_CALLS:
            subject_id = data.attempt_id if isinstance(data, AttemptChange) else data.operation_id
            calls.setdefault((subject_id, data.evidence.at), RecentCall(subject_id=subject_id, evidence=data.evidence))
    return list(calls.values())


async def connector_events(connection: Connection, connector: str, *, limit: int, before: int | None = None) -> list[JournalRow]:
    """What happened to that connector's circuits, newest first; a page, from before that sequence on."""
    stream_id = identifiers.of_name("con", connector)
    rows = await all_rows(
        connection,
        "SELECT position, sequence, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE stream_id = $1 AND sequence < $2 ORDER BY sequence DESC LIMIT $3",
        [uuid_of(stream_id), before or _ANY_SEQUENCE, Int8(limit)],
    )
    return _records(stream_id, rows)


async def caused_by(connection: Connection, connector: str, cause: str) -> list[JournalRow]:
    """What that act did to that connector, newest first."""
    stream_id = identifiers.of_name("con", connector)
    rows = await all_rows(
        connection,
        "SELECT position, sequence, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE stream_id = $1 AND cause = $2 ORDER BY sequence DESC",
        [uuid_of(stream_id), cause],
    )
    return _records(stream_id, rows)


async def drains(connection: Connection) -> list[DrainRow]:
    """The last word about each connector that was ever drained, also where it is over."""
    rows = await all_rows(connection, "SELECT connector, until, reason, by, cause, changed_at FROM payorch.drains ORDER BY connector", [])
    return [DrainRow(connector=row[0], until=utc(row[1]), reason=row[2], by=row[3], cause=row[4], changed_at=utc(row[5])) for row in rows]


async def last_record(connection: Connection, connector: str, names: Sequence[str]) -> JournalRow | None:
    """The newest record of that connector with one of these names."""
    stream_id = identifiers.of_name("con", connector)
    rows = await all_rows(
        connection,
        "SELECT position, sequence, name, at, actor, cause, body::text FROM payorch.journal"
        " WHERE stream_id = $1 AND name = ANY($2::text[]) ORDER BY sequence DESC LIMIT 1",
        [uuid_of(stream_id), list(names)],
    )
    return next(iter(_records(stream_id, rows)), None)


def _records(stream_id: str, rows: Sequence[tuple[Any, ...]]) -> list[JournalRow]:
    return [
        JournalRow(
            position=row[0],
            stream=CONNECTOR_STREAM,
            stream_id=stream_id,
            sequence=row[1],
            name=row[2],
            at=row[3].astimezone(UTC),
            actor=row[4],
            cause=row[5],
            body=row[6],
        )
        for row in rows
    ]
