"""What the calls about endpoints, events and disputes stand on, made of dictionaries: it keeps what is written as the database would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from payorch.api.app import DeliverySurroundings
from payorch.domain.identifiers import created_at, uuid_of
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Appended, Conflict, Delivery, DeliveryState, Endpoint, EndpointState, Entry, Result

LIMITS = {"endpoints_per_merchant": 16, "rotation_seconds": 86400, "resend_limit": 1000, "local": False}


class Told:
    """Endpoints, events and deliveries of all merchants, and the entries that made them.

    fail: makes that part raise. before_write: called with each item before it is written; after_read: after each look at an endpoint or its
    stream; both for a test to be faster.
    """

    def __init__(self, **limits: Any) -> None:
        self.limits = LIMITS | limits
        self.rows: dict[str, Endpoint] = {}
        self.entries: list[Entry] = []
        self.told: list[EventRow] = []
        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self.fail: dict[str, Exception] = {}
        self.before_write: Callable[[Any], None] = lambda item: None
        self.after_read: Callable[[], None] = lambda: None
        self.secrets = 0

    def surroundings(self) -> DeliverySurroundings:
        return DeliverySurroundings(
            write=self.write,
            next_sequence=self.next_sequence,
            endpoint=self.endpoint,
            endpoints=self.endpoints,
            events=self.events,
            event=self.event,
            events_between=self.events_between,
            deliveries_of=self.deliveries_of,
            new_secret=self.new_secret,
            seal=lambda text, endpoint_id: f"sealed for {endpoint_id}: {text[::-1]}".encode(),
            **self.limits,
        )

    def _may_fail(self, part: str) -> None:
        if part in self.fail:
            raise self.fail[part]

    def new_secret(self) -> str:
        self.secrets += 1
        return f"whsec_{self.secrets:064}"

    async def write(self, item: Entry | Delivery) -> Result:
        self._may_fail("write")
        self.before_write(item)
        if isinstance(item, Delivery):
            self.deliveries[item.event_id, item.endpoint_id] = item
            return Appended(len(self.entries))
        if item.sequence != self._next(item.stream_id):
            return Conflict()
        self.enter(item)
        return Appended(len(self.entries))

    def enter(self, entry: Entry) -> None:
        self.entries.append(entry)
        for row in entry.rows:
            assert isinstance(row, Endpoint)
            self.rows[row.id] = row
            for key, one in self.deliveries.items():
                if row.state is EndpointState.DELETED and one.endpoint_id == row.id and one.next_attempt_at is not None:
                    self.deliveries[key] = replace(one, state=DeliveryState.CANCELED, next_attempt_at=None)

    def _next(self, stream_id: str) -> int:
        return 1 + sum(one.stream_id == stream_id for one in self.entries)

    async def next_sequence(self, stream_id: str) -> int:
        number = self._next(stream_id)
        self.after_read()
        return number

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        self._may_fail("endpoint")
        row = self.rows.get(endpoint_id)
        self.after_read()
        return row

    async def endpoints(self, merchant_id: str) -> list[Endpoint]:
        self._may_fail("endpoints")
        mine = [one for one in self.rows.values() if one.merchant_id == merchant_id and one.state is not EndpointState.DELETED]
        return sorted(mine, key=lambda one: one.id)

    async def events(
        self, merchant_id: str, *, limit: int, after: str | None, types: Sequence[str], payment_id: str | None
    ) -> tuple[list[EventRow], str | None]:
        self._may_fail("events")
        found = [
            one
            for one in sorted(self.told, key=lambda one: one.event_id, reverse=True)
            if one.merchant_id == merchant_id
            and (after is None or one.event_id < after)
            and (not types or one.type in types)
            and payment_id in (None, one.payment_id)
        ]
        return found[:limit], found[limit - 1].event_id if len(found) > limit else None

    async def event(self, merchant_id: str, event_id: str) -> EventRow | None:
        self._may_fail("event")
        return next((one for one in self.told if (one.merchant_id, one.event_id) == (merchant_id, event_id)), None)

    async def events_between(self, merchant_id: str, since: datetime, until: datetime, *, limit: int) -> list[EventRow]:
        self._may_fail("events_between")
        found = [one for one in self.told if one.merchant_id == merchant_id and since <= created_at(uuid_of(one.event_id)) < until]
        return sorted(found, key=lambda one: one.event_id)[:limit]

    async def deliveries_of(self, event_ids: Sequence[str]) -> Mapping[str, list[Delivery]]:
        found: dict[str, list[Delivery]] = {}
        for one in self.deliveries.values():
            if one.event_id in event_ids:
                found.setdefault(one.event_id, []).append(one)
        return found


def announced(event_id: str, payment_id: str, merchant_id: str, at: datetime, *, type: str = "payment.succeeded", body: Any) -> EventRow:
    """An event as the outbox keeps it."""
    return EventRow(
        event_id=event_id,
        payment_id=payment_id,
        merchant_id=merchant_id,
        type=type,
        sequence=20,
        body=body if isinstance(body, bytes) else msgspec.json.encode(body),
        created_at=at,
    )
