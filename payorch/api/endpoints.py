"""A merchant's webhook endpoints: where events are sent, which of them, and the secret that they are signed with.

A secret is shown once, in the answer to the call that made it, and is stored sealed. Every change is an entry of the journal, made of the
endpoint as it stands: what another change was faster with is read again, never overwritten.

Not here: sending (`actors.notifier`), the rows and records of changes (`payorch.store.endpoints`), which URLs are allowed
(`payorch.domain.merchant_urls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Final, final

import msgspec
from quart import Response, g, request

from payorch.api.answering import RETRY_AFTER_SECONDS
from payorch.api.deliveries import DeliverySurroundings, FindMerchant, Turns, written
from payorch.api.merchant import Handler
from payorch.api.present import View, rfc3339
from payorch.api.problems import Code
from payorch.api.reading import identifier, json_response, object_of, paging, query_of, whole_body
from payorch.api.refusal import Refusal, not_found
from payorch.api.strict_json import JsonObject
from payorch.api.surroundings import ApiSurroundings
from payorch.api.webhook_bodies import ChangeEndpointBody, change_from, check_rotation, endpoint_from
from payorch.store import endpoints
from payorch.store.entries import Change, entry_of
from payorch.store.items import Appended, Conflict, Endpoint, EndpointState

_READERS: Final = paging("whe")
PARAMETERS: Final = tuple(_READERS)
"""The names of the list's parameters."""

# Within this process changes take turns. Losing as often to others, the command line and an endpoint's own 410, is something else.
_TRIES: Final = 5
_OTHERS_WERE_FASTER: Final = (
    "Others keep changing this endpoint at the same moment. This change was not made and moved no money. Repeat it after the time in "
    "Retry-After."
)


@final
class EndpointApi:
    """The handlers."""

    def __init__(self, around: ApiSurroundings, deliveries: DeliverySurroundings, merchant: FindMerchant, turns: Turns) -> None:
        self._around = around
        self._deliveries = deliveries
        self._merchant = merchant
        self._turns = turns

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("POST", "/v1/webhook-endpoints"): self.create,
            ("GET", "/v1/webhook-endpoints"): self.page,
            ("GET", "/v1/webhook-endpoints/<endpoint_id>"): self.show,
            ("PATCH", "/v1/webhook-endpoints/<endpoint_id>"): self.change,
            ("DELETE", "/v1/webhook-endpoints/<endpoint_id>"): self.delete,
            ("POST", "/v1/webhook-endpoints/<endpoint_id>/rotate-secret"): self.rotate_secret,
        }

    # --- reads

    async def page(self) -> Response:
        """A page of the merchant's endpoints, newest first."""
        merchant_id = await self._merchant(request.scope["headers"])
        http = self._around.http
        asked = query_of(request.query_string, _READERS, default=http.page_default, largest=http.page_limit)
        found = sorted(await self._deliveries.endpoints(merchant_id), key=lambda one: one.id, reverse=True)
        after = [one for one in found if asked.after is None or one.id < asked.after]
        shown, now = after[: asked.limit], self._around.clock.now()
        cursor = shown[-1].id if len(after) > asked.limit else None
        return _json({"data": [_view(one, now) for one in shown], "next_cursor": cursor})

    async def show(self, endpoint_id: str) -> Response:
        """An endpoint as it stands, without its secret."""
        merchant_id = await self._merchant(request.scope["headers"])
        return self._shown(await self._mine(merchant_id, identifier(endpoint_id, "whe")))

    # --- changes

    async def create(self) -> Response:
        """A new endpoint. The answer is the one place where its secret stands."""
        merchant_id = await self._merchant(request.scope["headers"])
        body = endpoint_from(await self._object(empty=False), local=self._deliveries.local)
        secret, endpoint_id = self._deliveries.new_secret(), self._around.identifier("whe")
        async with self._turns.of(merchant_id):
            if len(await self._deliveries.endpoints(merchant_id)) >= self._deliveries.endpoints_per_merchant:
                raise Refusal(Code.ENDPOINT_LIMIT_REACHED)
            now = self._around.clock.now()
            endpoint = Endpoint(
                id=endpoint_id,
                merchant_id=merchant_id,
                url=body.url,
                events=tuple(body.events),
                state=EndpointState.ENABLED,
                secret=self._deliveries.seal(secret, endpoint_id),
                version=1,
                created_at=now,
                updated_at=now,
                description=body.description,
            )
            if not await self._entered(endpoints.created(endpoint), merchant_id, sequence=1):
                raise AssertionError("a new endpoint's id was taken")
        return self._shown(endpoint, secret=secret, status=HTTPStatus.CREATED)

    async def change(self, endpoint_id: str) -> Response:
        """Make an endpoint different, or switch it off or on."""
        merchant_id = await self._merchant(request.scope["headers"])
        body = change_from(await self._object(empty=False), local=self._deliveries.local)
        return self._shown(await self._changed(merchant_id, identifier(endpoint_id, "whe"), partial(_after, body)))

    async def rotate_secret(self, endpoint_id: str) -> Response:
        """A new secret. The answer is the one place where it stands; the one before stays valid beside it for a while."""
        merchant_id = await self._merchant(request.scope["headers"])
        check_rotation(await self._object(empty=True))
        secret = self._deliveries.new_secret()
        until = timedelta(seconds=self._deliveries.rotation_seconds)

        def decide(endpoint: Endpoint, now: datetime) -> Change:
            sealed = self._deliveries.seal(secret, endpoint.id)
            return endpoints.secret_rotated(endpoint, at=now, secret=sealed, previous_until=now + until)

        return self._shown(await self._changed(merchant_id, identifier(endpoint_id, "whe"), decide), secret=secret)

    async def delete(self, endpoint_id: str) -> Response:
        """Nothing is sent there any more. A second time it is not there."""
        merchant_id = await self._merchant(request.scope["headers"])
        await self._changed(merchant_id, identifier(endpoint_id, "whe"), lambda endpoint, now: endpoints.deleted(endpoint, at=now))
        return _json({"id": endpoint_id, "object": "webhook_endpoint", "deleted": True})

    # --- what they share

    async def _object(self, *, empty: bool) -> JsonObject:
        return await object_of(request.scope["headers"], whole_body, self._around.http, empty=empty)

    async def _mine(self, merchant_id: str, endpoint_id: str) -> Endpoint:
        endpoint = await self._deliveries.endpoint(endpoint_id)
        if endpoint is None or endpoint.merchant_id != merchant_id or endpoint.state is EndpointState.DELETED:
            raise not_found()
        return endpoint

    async def _changed(self, merchant_id: str, endpoint_id: str, decide: Callable[[Endpoint, datetime], Change | None]) -> Endpoint:
        """The endpoint after the change that `decide` makes of it as it stands; as it is where that is none. Raises Refusal."""
        async with self._turns.of(merchant_id):
            for _ in range(_TRIES):
                # In this order: a change that comes between the two makes the number wrong, and is not overwritten.
                sequence = await self._deliveries.next_sequence(endpoint_id)
                endpoint = await self._mine(merchant_id, endpoint_id)
                change = decide(endpoint, self._around.clock.now())
                if change is None:
                    return endpoint
                if await self._entered(change, merchant_id, sequence=sequence):
                    (after,) = change.rows
                    assert isinstance(after, Endpoint), "a change of an endpoint is its row"
                    return after
        raise Refusal(Code.OVERLOADED, detail=_OTHERS_WERE_FASTER, retry_after_seconds=RETRY_AFTER_SECONDS)

    async def _entered(self, change: Change, merchant_id: str, *, sequence: int) -> bool:
        """Whether the change was made; False where another was faster."""
        at = self._around.clock.now()
        entry = entry_of(change, sequence=sequence, at=at, actor=f"merchant:{merchant_id}", cause=g.request_id)
        match await written(self._deliveries.write(entry)):
            case Appended():
                return True
            case Conflict():
                return False
            case unexpected:
                raise AssertionError(f"a change of an endpoint was not written: {unexpected}")

    def _shown(self, endpoint: Endpoint, *, secret: str | None = None, status: int = 200) -> Response:
        view = _view(endpoint, self._around.clock.now())
        return _json(view if secret is None else {**view, "secret": secret}, status)


def _after(body: ChangeEndpointBody, endpoint: Endpoint, now: datetime) -> Change | None:
    return endpoints.changed(
        endpoint,
        at=now,
        url=endpoint.url if body.url is None else body.url,
        events=endpoint.events if body.events is None else tuple(body.events),
        description=body.description if "description" in body.model_fields_set else endpoint.description,
        enabled=endpoint.state is EndpointState.ENABLED if body.enabled is None else body.enabled,
    )


def _view(endpoint: Endpoint, now: datetime) -> View:
    until = endpoint.previous_until
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "url": endpoint.url,
        "events": endpoint.events,
        "description": endpoint.description,
        "enabled": endpoint.state is EndpointState.ENABLED,
        "disabled_reason": endpoint.disabled_reason,
        "secret_rotates_until": rfc3339(until) if until is not None and now < until else None,
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }


def _json(view: View, status: int = 200) -> Response:
    return json_response(msgspec.json.encode(view), status)
