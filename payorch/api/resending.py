"""Which deliveries are due where an event is sent again: to every endpoint that wants its type, as if never tried. Pure.

Not here: who may have it sent (`events` for merchants, `payorch.operations.resending` for operators), sending (`actors.notifier`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from payorch.api.webhook_bodies import EVERYTHING
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Delivery, DeliveryState, Endpoint


def due_again(
    events: Sequence[EventRow], endpoints: Sequence[Endpoint], known: Mapping[str, Sequence[Delivery]], now: datetime
) -> list[Delivery]:
    """A delivery of each event to each endpoint that wants its type, due now and as if never tried; what is known of the last try stays."""
    due: list[Delivery] = []
    for event in events:
        before = {one.endpoint_id: one for one in known.get(event.event_id, ())}
        for endpoint in endpoints:
            if wants(endpoint.events, event.type):
                row = before.get(endpoint.id) or _first(event, endpoint, now)
                due.append(replace(row, state=DeliveryState.PENDING, attempts=0, next_attempt_at=now))
    return due


def wants(types: Sequence[str], type: str) -> bool:
    """Whether an endpoint that asked for these types is told of that one."""
    return type in types or EVERYTHING in types


def _first(event: EventRow, endpoint: Endpoint, now: datetime) -> Delivery:
    return Delivery(
        payment_id=event.payment_id,
        event_id=event.event_id,
        endpoint_id=endpoint.id,
        merchant_id=event.merchant_id,
        type=event.type,
        state=DeliveryState.PENDING,
        created_at=now,
    )
