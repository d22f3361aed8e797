"""What merchants change about their webhook endpoints, as changes to be entered: each with the row as it is afterwards. Pure.

The row is written as a whole, so a change is made of the newest row and entered under the next number of the endpoint's stream: of two made
of the same row one is refused. The record tells where an endpoint is, never its path or query, where some merchants keep a secret.

Not here: reading endpoints (`delivery_reads`), writing a change (`entries`), making and sealing secrets, what a merchant may ask for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from payorch.store.entries import Change
from payorch.store.items import ENDPOINT_STREAM, Delivery, Endpoint, EndpointState

SWITCHED_OFF: Final = "its merchant switched it off"
GONE: Final = "it answered 410 Gone"


def created(endpoint: Endpoint) -> Change:
    """A new endpoint."""
    return _change("WebhookEndpointCreated", endpoint, url=_origin(endpoint.url), events=" ".join(endpoint.events))


def changed(
    endpoint: Endpoint, *, at: datetime, url: str, events: tuple[str, ...], description: str | None, enabled: bool
) -> Change | None:
    """The endpoint is to be so from now on. None where it is so already, which leaves no record."""
    is_enabled = endpoint.state is EndpointState.ENABLED
    reason = None if enabled else SWITCHED_OFF if is_enabled else endpoint.disabled_reason
    state = EndpointState.ENABLED if enabled else EndpointState.DISABLED
    after = replace(endpoint, url=url, events=events, description=description, state=state, disabled_reason=reason)
    if after == endpoint:
        return None
    told = {"url": _origin(url) if url != endpoint.url else None, "events": " ".join(events) if events != endpoint.events else None}
    if enabled is not is_enabled:
        told["state"] = state.value
    return _change("WebhookEndpointChanged", _next(after, at), **{name: value for name, value in told.items() if value is not None})


def secret_rotated(endpoint: Endpoint, *, at: datetime, secret: bytes, previous_until: datetime) -> Change:
    """`secret`, sealed, is its secret from now on; the present one stays valid beside it for a while, an older one does not."""
    after = replace(endpoint, secret=secret, previous_secret=endpoint.secret, previous_until=previous_until)
    return _change("WebhookEndpointSecretRotated", _next(after, at), previous_until=previous_until.isoformat())


def gone(endpoint: Endpoint, waits: Delivery, *, at: datetime) -> Change:
    """It answered that it is gone for good. `waits`: the delivery that found out; like all others it waits for the merchant."""
    after = _next(replace(endpoint, state=EndpointState.DISABLED, disabled_reason=GONE), at)
    change = _change("WebhookEndpointDisabled", after, reason=GONE, event=waits.event_id)
    return Change(stream=change.stream, stream_id=change.stream_id, name=change.name, rows=(*change.rows, waits), detail=change.detail)


def deleted(endpoint: Endpoint, *, at: datetime) -> Change:
    """Nothing is sent there any more; its secrets are forgotten. What was still to be sent is canceled with it."""
    after = replace(endpoint, state=EndpointState.DELETED, disabled_reason=None, secret=b"", previous_secret=None, previous_until=None)
    return _change("WebhookEndpointDeleted", _next(after, at), url=_origin(endpoint.url))


def _next(endpoint: Endpoint, at: datetime) -> Endpoint:
    return replace(endpoint, version=endpoint.version + 1, updated_at=at)


def _change(name: str, endpoint: Endpoint, **detail: str) -> Change:
    whose = {"merchant_id": endpoint.merchant_id}
    return Change(stream=ENDPOINT_STREAM, stream_id=endpoint.id, name=name, rows=(endpoint,), detail=whose | detail)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
