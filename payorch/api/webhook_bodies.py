"""What the calls about webhook endpoints and events take: their bodies as pydantic models, and the way from a parsed body to one.

Not here: the looks that every body has (`contracts`), where a URL leads (`payorch.merchant_reach`), what the calls do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError

from payorch.api.contracts import StrictBody, Word, validated
from payorch.api.problems import FieldError
from payorch.api.reading import is_identifier, moment
from payorch.api.refusal import InvalidBody
from payorch.api.strict_json import JsonObject
from payorch.domain.announcements import EVENT_TYPES
from payorch.domain.merchant_urls import LONGEST_URL, MerchantUrlRefused, checked

EVERYTHING: Final = "*"
_TYPES: Final = (EVERYTHING, *EVENT_TYPES)


def _endpoint_url(value: str, info: ValidationInfo) -> str:
    assert info.context is not None, "endpoint_from and change_from say whether this is a developer's machine"
    try:
        checked(value, local=info.context["local"])
    except MerchantUrlRefused as refused:
        raise PydanticCustomError("endpoint_url", str(refused)) from None
    return value


def _event_type(value: str) -> str:
    if value not in _TYPES:
        raise PydanticCustomError("event_type", "There is no such type of event; there are: {types}.", {"types": ", ".join(_TYPES)})
    return value


def _event_types(value: list[str]) -> list[str]:
    if len(set(value)) < len(value):
        raise PydanticCustomError("event_types", "A type is given more than once.")
    if EVERYTHING in value and len(value) > 1:
        raise PydanticCustomError("event_types", "* stands for every type, those of the future included, and stands alone.")
    return value


def _endpoint_id(value: str) -> str:
    if not is_identifier(value, "whe"):
        raise PydanticCustomError("endpoint_id", "This is the id of a webhook endpoint: whe_ and 26 characters.")
    return value


def _moment(value: Any) -> datetime:
    try:
        return moment(value if isinstance(value, str) else "")
    except ValueError:
        message = "This is a moment after RFC 3339, such as 2026-01-31T12:00:00Z, in the years 2000 to 2999."
        raise PydanticCustomError("moment", message) from None


EndpointUrl = Annotated[
    str,
    Field(description="https, to a public host; no user, no fragment. Checked again before each connection."),
    StringConstraints(min_length=1, max_length=LONGEST_URL),
    AfterValidator(_endpoint_url),
]
EventType = Annotated[str, Field(json_schema_extra={"enum": list(_TYPES)}), AfterValidator(_event_type)]
EventTypes = Annotated[
    list[EventType],
    Field(min_length=1, max_length=len(EVENT_TYPES), description="Types of events, or * alone for every type."),
    AfterValidator(_event_types),
]
EndpointId = Annotated[str, Field(description="Only there."), AfterValidator(_endpoint_id)]
Moment = Annotated[datetime, Field(description="RFC 3339."), BeforeValidator(_moment)]


class CreateEndpointBody(StrictBody):
    """Where events are to be sent, and which."""

    url: EndpointUrl
    events: EventTypes = Field(default=[EVERYTHING])
    description: Word | None = None


class ChangeEndpointBody(StrictBody):
    """What is to be different. What is left out, or null, stays as it is; only a description is taken away by null.

    `enabled`: false keeps what is to be sent until it is true again. True also where the endpoint was disabled because it answered 410.
    """

    url: EndpointUrl | None = None
    events: EventTypes | None = None
    description: Word | None = None
    enabled: bool | None = None


class RotateSecretBody(StrictBody):
    """There is nothing to say about it."""


class ResendEventBody(StrictBody):
    """To which endpoint; to every one that wants the type, unless it is named."""

    endpoint: EndpointId | None = None


class ResendEventsBody(StrictBody):
    """Events made in that time: `from` is included, `to` is not."""

    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    endpoint: EndpointId | None = None
    types: EventTypes = Field(default=[EVERYTHING])


def endpoint_from(value: JsonObject, *, local: bool) -> CreateEndpointBody:
    """local: plain http and loopback are allowed. Raises InvalidBody."""
    return validated(CreateEndpointBody, value, {"local": local})


def change_from(value: JsonObject, *, local: bool) -> ChangeEndpointBody:
    """local: plain http and loopback are allowed. Raises InvalidBody."""
    return validated(ChangeEndpointBody, value, {"local": local})


def check_rotation(value: JsonObject) -> None:
    """Raises InvalidBody where it says anything."""
    validated(RotateSecretBody, value)


def resend_from(value: JsonObject) -> ResendEventBody:
    """Raises InvalidBody."""
    return validated(ResendEventBody, value)


def resend_range_from(value: JsonObject) -> ResendEventsBody:
    """Raises InvalidBody."""
    body = validated(ResendEventsBody, value)
    if body.since >= body.until:
        raise InvalidBody([FieldError(pointer="/to", detail="This must be later than from.")])
    return body
