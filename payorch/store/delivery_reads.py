"""Reading what merchants are told: their endpoints, their events, and the deliveries of these to those.

As in `reads`, every function takes a connection, is one statement and changes nothing. Not here: sending (`actors.notifier`), secrets in
clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.store.driver import Connection
from payorch.store.items import Delivery, DeliveryState, Endpoint, EndpointState
from payorch.store.query import all_rows, utc


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A delivery whose time has come, with the body that is to be sent."""

    delivery: Delivery
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """An event as merchants are told of it: `body` is the JSON that is delivered."""

    event_id: str
    payment_id: str
    merchant_id: str
    type: str
    sequence: int
    body: bytes = field(repr=False)
    created_at: datetime


# --- endpoints


async def endpoint(connection: Connection, endpoint_id: str) -> Endpoint | None:
    """That endpoint, deleted or not; None where there never was one."""
    rows = await all_rows(connection, f"SELECT {_ENDPOINT} FROM payorch.webhook_endpoints WHERE id = $1", [uuid_of(endpoint_id)])
    return _endpoint(rows[0]) if rows else None


async def endpoints(connection: Connection, merchant_id: str) -> list[Endpoint]:
    """A merchant's endpoints that are not deleted, oldest first."""
    rows = await all_rows(
        connection,
        f"SELECT {_ENDPOINT} FROM payorch.webhook_endpoints WHERE merchant_id = $1 AND state <> 'deleted' ORDER BY id",
        [uuid_of(merchant_id)],
    )
    return [_endpoint(row) for row in rows]


async def endpoints_due(connection: Connection, now: datetime, *, merchants: Sequence[str] | None, limit: int) -> list[str]:
    """Enabled endpoints that have a delivery whose time has come, the longest waiting first; only those of `merchants`, where given."""
    rows = await all_rows(
        connection,
        "SELECT one.id FROM payorch.webhook_endpoints AS one CROSS JOIN LATERAL (SELECT d.next_attempt_at FROM payorch.deliveries AS d"
        " WHERE d.endpoint_id = one.id AND d.next_attempt_at <= $1 ORDER BY d.next_attempt_at LIMIT 1) AS first"
        " WHERE one.state = 'enabled' AND ($2::uuid[] IS NULL OR one.merchant_id = ANY($2))"
        " ORDER BY first.next_attempt_at, one.id LIMIT $3",
        [now, None if merchants is None else [uuid_of(one) for one in merchants], Int8(limit)],
    )
    return [identifiers.text("whe", row[0]) for row in rows]


async def due_deliveries(connection: Connection, endpoint_id: str, now: datetime, *, limit: int) -> list[Due]:
    """The deliveries to that endpoint whose time has come, the longest waiting first."""
    rows = await all_rows(
        connection,
        f"SELECT {_DELIVERY}, o.body::text FROM payorch.deliveries AS d"
        " JOIN payorch.outbox AS o ON o.payment_id = d.payment_id AND o.event_id = d.event_id"
        " WHERE d.endpoint_id = $1 AND d.next_attempt_at <= $2 ORDER BY d.next_attempt_at, d.event_id LIMIT $3",
        [uuid_of(endpoint_id), now, Int8(limit)],
    )
    return [Due(delivery=_delivery(row), body=row[13].encode()) for row in rows]


async def count_due(connection: Connection, now: datetime) -> int:
    """How many deliveries wait whose time has come, to whatever endpoint."""
    rows = await all_rows(connection, "SELECT count(*) FROM payorch.deliveries WHERE next_attempt_at <= $1", [now])
    return int(rows[0][0])


# --- events


async def events(
    connection: Connection,
    merchant_id: str,
    *,
    limit: int,
    after: str | None = None,
    types: Sequence[str] = (),
    payment_id: str | None = None,
) -> tuple[list[EventRow], str | None]:
    """A page of a merchant's events, newest first, and the cursor for the next page (None: there is no more).

    types: only these; all where there are none. payment_id: only that payment's.
    """
    rows = await all_rows(
        connection,
        f"SELECT {_EVENT} FROM payorch.outbox WHERE merchant_id = $1 AND ($2::uuid IS NULL OR event_id < $2)"
        " AND ($3::text[] = '{}' OR type = ANY($3)) AND ($4::uuid IS NULL OR payment_id = $4) ORDER BY event_id DESC LIMIT $5",
        [
            uuid_of(merchant_id),
            None if after is None else uuid_of(after),
            list(types),
            None if payment_id is None else uuid_of(payment_id),
            Int8(limit + 1),
        ],
    )
    found = [_event(row) for row in rows[:limit]]
    return found, found[-1].event_id if len(rows) > limit else None


async def events_between(connection: Connection, merchant_id: str, since: datetime, until: datetime, *, limit: int) -> list[EventRow]:
    """A merchant's events made in that time (`until` is not included), oldest first."""
    rows = await all_rows(
        connection,
        f"SELECT {_EVENT} FROM payorch.outbox WHERE merchant_id = $1 AND event_id >= $2 AND event_id < $3 ORDER BY event_id LIMIT $4",
        [uuid_of(merchant_id), identifiers.earliest(since), identifiers.earliest(until), Int8(limit)],
    )
    return [_event(row) for row in rows]


async def event(connection: Connection, merchant_id: str, event_id: str) -> EventRow | None:
    """That event of that merchant; None where there is none."""
    rows = await all_rows(
        connection,
        f"SELECT {_EVENT} FROM payorch.outbox WHERE merchant_id = $1 AND event_id = $2",
        [uuid_of(merchant_id), uuid_of(event_id)],
    )
    return _event(rows[0]) if rows else None


async def event_of_anybody(connection: Connection, event_id: str) -> EventRow | None:
    """That event, whichever merchant's it is; None where there is none. For operators only."""
    rows = await all_rows(connection, f"SELECT {_EVENT} FROM payorch.outbox WHERE event_id = $1", [uuid_of(event_id)])
    return _event(rows[0]) if rows else None


async def deliveries_of(connection: Connection, event_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """The deliveries of these events, by event; give it a page."""
    rows = await all_rows(
        connection,
        f"SELECT {_DELIVERY} FROM payorch.deliveries AS d WHERE d.event_id = ANY($1::uuid[]) ORDER BY d.event_id, d.endpoint_id",
        [[uuid_of(one) for one in event_ids]],
    )
    found: dict[str, list[Delivery]] = {}
    for row in rows:
        delivery = _delivery(row)
        found.setdefault(delivery.event_id, []).append(delivery)
    return found


async def deliveries_about(connection: Connection, payment_id: str, *, limit: int) -> list[Delivery]:
    """The deliveries of a payment's events, oldest first."""
    rows = await all_rows(
        connection,
        f"SELECT {_DELIVERY} FROM payorch.deliveries AS d WHERE d.payment_id = $1 ORDER BY d.event_id, d.endpoint_id LIMIT $2",
        [uuid_of(payment_id), Int8(limit)],
    )
    return [_delivery(row) for row in rows]


_ENDPOINT: Final = """
    id, merchant_id, url, events, description, state, disabled_reason, secret, previous_secret, previous_until, version, created_at,
    updated_at
"""
_DELIVERY: Final = """
    d.payment_id, d.event_id, d.endpoint_id, d.merchant_id, d.type, d.state, d.attempts, d.next_attempt_at, d.last_attempt_at,
    d.last_status, d.last_error, d.delivered_at, d.created_at
"""
_EVENT: Final = "event_id, payment_id, merchant_id, type, sequence, body::text, created_at"


def _endpoint(row: tuple[Any, ...]) -> Endpoint:
    return Endpoint(
        id=identifiers.text("whe", row[0]),
        merchant_id=identifiers.text("mer", row[1]),
        url=row[2],
        events=tuple(row[3].split(" ")),
        description=row[4],
        state=EndpointState(row[5]),
        disabled_reason=row[6],
        secret=bytes(row[7]),
        previous_secret=None if row[8] is None else bytes(row[8]),
        previous_until=utc(row[9]),
        version=row[10],
        created_at=utc(row[11]),
        updated_at=utc(row[12]),
    )


def _delivery(row: tuple[Any, ...]) -> Delivery:
    return Delivery(
        payment_id=identifiers.text("pay", row[0]),
        event_id=identifiers.text("evt", row[1]),
        endpoint_id=identifiers.text("whe", row[2]),
        merchant_id=identifiers.text("mer", row[3]),
        type=row[4],
        state=DeliveryState(row[5]),
        attempts=row[6],
        next_attempt_at=utc(row[7]),
        last_attempt_at=utc(row[8]),
        last_status=row[9],
        last_error=row[10],
        delivered_at=utc(row[11]),
        created_at=utc(row[12]),
    )


def _event(row: tuple[Any, ...]) -> EventRow:
    return EventRow(
        event_id=identifiers.text("evt", row[0]),
        payment_id=identifiers.text("pay", row[1]),
        merchant_id=identifiers.text("mer", row[2]),
        type=row[3],
        sequence=row[4],
        body=row[5].encode(),
        created_at=utc(row[6]),
    )
