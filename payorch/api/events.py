"""The events that a merchant is told of: a list to follow, also without any endpoint, and sending them again.

What was delivered where stands beside each event. Sending again schedules deliveries, which the notifier finds by their rows; it moves no
money and is meant to be repeated, so it takes no Idempotency-Key.

Not here: which events there are (`payorch.domain.announcements`), what stands in one (`present`), sending (`actors.notifier`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Final, final

import msgspec
import trio
from quart import Response, request

from payorch.api.answering import OUT_OF_REACH
from payorch.api.deliveries import DeliverySurroundings, FindMerchant, Turns, not_certain
from payorch.api.merchant import Handler
from payorch.api.present import View, rfc3339
from payorch.api.problems import FieldError
from payorch.api.reading import Reader, identifier, is_identifier, json_response, object_of, paging, query_of, whole_body
from payorch.api.refusal import InvalidBody, not_found
from payorch.api.resending import due_again, wants
from payorch.api.strict_json import JsonObject
from payorch.api.surroundings import ApiSurroundings
from payorch.api.webhook_bodies import resend_from, resend_range_from
from payorch.domain.announcements import EVENT_TYPES
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Appended, Delivery, Endpoint, EndpointState

WRITES_AT_ONCE: Final = 64
"""Deliveries on their way to the journal at once, of one call: a quarter of a batch, so that payments' steps have the rest."""


def _type(text: str) -> str:
    if text not in EVENT_TYPES:
        raise ValueError(f"This is one of: {', '.join(EVENT_TYPES)}.")
    return text


def _payment(text: str) -> str:
    if not is_identifier(text, "pay"):
        raise ValueError("This is the id of a payment: pay_ and 26 characters.")
    return text


_READERS: Final[Mapping[str, Reader]] = {"type": _type, "payment": _payment, **paging("evt")}
PARAMETERS: Final = tuple(_READERS)
"""The names of the list's parameters."""


@final
class EventApi:
    """The handlers."""

    def __init__(self, around: ApiSurroundings, deliveries: DeliverySurroundings, merchant: FindMerchant, turns: Turns) -> None:
        self._around = around
        self._deliveries = deliveries
        self._merchant = merchant
        self._turns = turns

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/v1/events"): self.page,
            ("GET", "/v1/events/<event_id>"): self.show,
            ("POST", "/v1/events/<event_id>/resend"): self.resend,
            ("POST", "/v1/events/resend"): self.resend_range,
        }

    # --- reads

    async def page(self) -> Response:
        """A page of the merchant's events, newest first."""
        merchant_id = await self._merchant(request.scope["headers"])
        http = self._around.http
        asked = query_of(request.query_string, _READERS, default=http.page_default, largest=http.page_limit)
        types = (asked.values["type"],) if "type" in asked.values else ()
        payment_id = asked.values.get("payment")
        found, cursor = await self._deliveries.events(merchant_id, limit=asked.limit, after=asked.after, types=types, payment_id=payment_id)
        delivered = await self._deliveries.deliveries_of([one.event_id for one in found]) if found else {}
        data = [_view(one, delivered.get(one.event_id, ())) for one in found]
        return _json({"data": data, "next_cursor": cursor})

    async def show(self, event_id: str) -> Response:
        """An event, and what was delivered where."""
        merchant_id = await self._merchant(request.scope["headers"])
        event = await self._mine(merchant_id, event_id)
        delivered = await self._deliveries.deliveries_of([event.event_id])
        return _json(_view(event, delivered.get(event.event_id, ())))

    async def _mine(self, merchant_id: str, event_id: str) -> EventRow:
        event = await self._deliveries.event(merchant_id, identifier(event_id, "evt"))
        if event is None:
            raise not_found()
        return event

    # --- again

    async def resend(self, event_id: str) -> Response:
        """Send an event again: to every endpoint that wants its type now, or to the one that is named."""
        merchant_id = await self._merchant(request.scope["headers"])
        body = resend_from(await self._object(empty=True))
        event = await self._mine(merchant_id, event_id)
        return await self._scheduled(merchant_id, [event], only=body.endpoint)

    async def resend_range(self) -> Response:
        """The same for all events of a span of time, of the types that are named."""
        merchant_id = await self._merchant(request.scope["headers"])
        body = resend_range_from(await self._object(empty=False))
        most = self._deliveries.resend_limit
        found = await self._deliveries.events_between(merchant_id, body.since, body.until, limit=most + 1)
        if len(found) > most:
            detail = f"More than {most} events were made in that time, and one call sends at most so many again. Take a shorter time."
            raise InvalidBody([FieldError(pointer="/to", detail=detail)])
        return await self._scheduled(merchant_id, [one for one in found if wants(body.types, one.type)], only=body.endpoint)

    async def _object(self, *, empty: bool) -> JsonObject:
        return await object_of(request.scope["headers"], whole_body, self._around.http, empty=empty)

    async def _scheduled(self, merchant_id: str, events: Sequence[EventRow], *, only: str | None) -> Response:
        async with self._turns.of(merchant_id):  # so that none is scheduled for an endpoint that is being deleted
            targets = _targets(await self._deliveries.endpoints(merchant_id), only)
            known = await self._deliveries.deliveries_of([one.event_id for one in events]) if events else {}
            due = due_again(events, targets, known, self._around.clock.now())
            await self._write(due)
        view: View = {"scheduled": len(due), "deliveries": [{"event": one.event_id, "endpoint": one.endpoint_id} for one in due]}
        return _json(view, HTTPStatus.ACCEPTED)

    async def _write(self, due: Sequence[Delivery]) -> None:
        """All of them, several at once. Raises Refusal where the journal was out of reach for one: others may be scheduled by then."""
        waiting, obstacles = iter(due), list[Exception]()

        async def write_on() -> None:
            for one in waiting:
                if obstacles:
                    return
                try:
                    result = await self._deliveries.write(one)
                except OUT_OF_REACH as obstacle:
                    obstacles.append(obstacle)
                    return
                if not isinstance(result, Appended):
                    raise AssertionError(f"a delivery was not scheduled: {result}")

        async with trio.open_nursery() as nursery:
            for _ in range(min(WRITES_AT_ONCE, len(due))):
                nursery.start_soon(write_on)
        if obstacles:
            raise not_certain() from obstacles[0]


def _targets(endpoints: Sequence[Endpoint], only: str | None) -> list[Endpoint]:
    """The enabled ones; of those, the one that is named. Raises InvalidBody where that cannot be sent to."""
    enabled = [one for one in endpoints if one.state is EndpointState.ENABLED]
    if only is None:
        return enabled
    named = [one for one in enabled if one.id == only]
    if named:
        return named
    there = any(one.id == only for one in endpoints)
    detail = "This endpoint is disabled: enable it first." if there else "There is no webhook endpoint of yours with this id."
    raise InvalidBody([FieldError(pointer="/endpoint", detail=detail)])


def _view(event: EventRow, deliveries: Sequence[Delivery]) -> View:
    """What is delivered, member by member as it is stored, with what became of it."""
    members = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])
    return {**members, "object": "event", "deliveries": [_delivery(one) for one in deliveries]}


def _delivery(delivery: Delivery) -> View:
    return {
        "endpoint": delivery.endpoint_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "last_attempt_at": _moment(delivery.last_attempt_at),
        "next_attempt_at": _moment(delivery.next_attempt_at),
        "delivered_at": _moment(delivery.delivered_at),
    }


def _moment(at: datetime | None) -> str | None:
    return rfc3339(at) if at is not None else None


def _json(view: View, status: int = 200) -> Response:
    return json_response(msgspec.json.encode(view), status)
