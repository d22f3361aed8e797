"""Every call of the merchant API and health, once, as data: what it takes, what it answers, what it may be refused with.

A test holds this table to the routes of the app. Not here: the document made of it (`openapi`), calls of operators (`operations.calls`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from payorch.api import disputes, endpoints, events, shapes
from payorch.api.contracts import (
    CancelPaymentBody,
    CapturePaymentBody,
    ConfirmPaymentBody,
    CreatePaymentBody,
    RefundPaymentBody,
    VoidPaymentBody,
)
from payorch.api.problems import Code
from payorch.api.searching import PARAMETERS
from payorch.api.webhook_bodies import ChangeEndpointBody, CreateEndpointBody, ResendEventBody, ResendEventsBody, RotateSecretBody

JSON: Final = "application/json"

ANY_OPERATOR: Final = (
    *(Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL_ERROR),
    *(Code.VALIDATION_FAILED, Code.CARD_DATA_REFUSED),
)
"""The problems that any call of an operator may be refused with."""

EXAMPLE_BODY: Final[Mapping[str, Any]] = {
    "amount": 1999,
    "currency": "EUR",
    "reference": "order-1001",
    "capture": "automatic",
    "payment_method": {"type": "card", "token": "tok_visa", "brand": "visa", "last4": "4242", "country": "DE", "fingerprint": None},
    "customer": {"reference": "c-77", "country": "DE", "email": "a@example.com"},
    "return_url": "https://shop.example/return",
    "confirm": True,
    "initiator": "customer",
    "connector": None,
    "connector_options": {},
    "retry_of": None,
    "metadata": {"cart": "9"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the API. `answers`: status -> (what it means, its model). `codes`: the problems it may be refused with.

    with_key: a merchant's key is needed, or of_operators: an operator's token.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, tuple[str, type[BaseModel] | None]]
    codes: tuple[Code, ...] = ()
    tells: str = ""
    body: type[BaseModel] | None = None
    body_required: bool = False
    examples: Mapping[str, Mapping[str, Any]] | None = None
    parameters: tuple[str, ...] = ()
    with_key: bool = True
    of_operators: bool = False
    takes_file: bool = False
    moves_money: bool = False
    media_type: str = JSON


_ANYONE: Final = (Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL_ERROR)
_PLAIN_BODY: Final = (
    *(Code.INVALID_JSON, Code.VALIDATION_FAILED, Code.CARD_DATA_REFUSED),
    *(Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.REQUEST_TIMEOUT),
)
_BODY: Final = (
    *_PLAIN_BODY,
    *(Code.IDEMPOTENCY_KEY_MISSING, Code.IDEMPOTENCY_KEY_INVALID, Code.IDEMPOTENCY_IN_PROGRESS, Code.IDEMPOTENCY_KEY_REUSED),
)
_LIST: Final = (Code.VALIDATION_FAILED, Code.CARD_DATA_REFUSED)
_ENDPOINTS: Final = "/v1/webhook-endpoints"
_ENDPOINT: Final = "/v1/webhook-endpoints/{endpoint_id}"
_EXAMPLE_ENDPOINT: Final = {"url": "https://shop.example/webhooks", "events": ["payment.succeeded", "refund.failed"], "description": "till"}
_REPEATABLE: Final = "It moves no money and is meant to be repeated: no Idempotency-Key is needed."
_FOLLOW_UP: Final = (Code.NOT_FOUND, Code.OPERATION_NOT_ALLOWED, Code.CAPABILITY_NOT_SUPPORTED)
_LATER: Final = "It is not settled yet, or its outcome is unconfirmed: the payment as it stands. GET tells what becomes of it."
_OPERATION: Final = shapes.OperationAnswerShape
_OPERATION_LATER: Final = "It is pending, or its outcome is unconfirmed: the operation as it stands. GET tells what becomes of it."

CALLS: Final = (
    Call(
        method="post",
        path="/v1/payments",
        name="createPayment",
        summary="Create and, unless confirm is false, confirm a payment",
        tells="A decline is an answer and not an error: 201 with status failed.",
        body=CreatePaymentBody,
        body_required=True,
        examples={
            "charge": {"summary": "Charge a card", "value": EXAMPLE_BODY},
            "hold": {
                "summary": "Hold now, capture later",
                "value": {"amount": 500, "currency": "JPY", "capture": "manual", "payment_method": {"type": "card", "token": "tok_visa"}},
            },
            "later": {"summary": "Confirm later", "value": {"amount": 1999, "currency": "EUR", "confirm": False}},
        },
        answers={201: ("The payment, whatever its result.", shapes.PaymentShape), 202: (_LATER, shapes.PaymentShape)},
        codes=(*_ANYONE, *_BODY),
        moves_money=True,
    ),
    Call(
        method="get",
        path="/v1/payments",
        name="searchPayments",
        summary="Search payments, newest first",
        tells="Everything given must hold. q: an id, a PSP's reference, or the beginning of a reference.",
        parameters=PARAMETERS,
        answers={200: ("A page.", shapes.PaymentList)},
        codes=(*_ANYONE, *_LIST),
    ),
    Call(
        method="get",
        path="/v1/payments/{payment_id}",
        name="getPayment",
        summary="The payment as it stands",
        answers={200: ("The payment.", shapes.PaymentShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="get",
        path="/v1/payments/{payment_id}/timeline",
        name="getTimeline",
        summary="Every event of the payment's life, in order",
        answers={200: ("The timeline.", shapes.TimelineShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="post",
        path="/v1/payments/{payment_id}/confirm",
        name="confirmPayment",
        summary="Confirm a payment",
        body=ConfirmPaymentBody,
        examples={"token": {"summary": "With a method", "value": {"payment_method": {"type": "card", "token": "tok_visa"}}}},
        answers={200: ("The payment.", shapes.PaymentShape), 202: (_LATER, shapes.PaymentShape)},
        codes=(*_ANYONE, *_BODY, *_FOLLOW_UP),
        moves_money=True,
    ),
    Call(
        method="post",
        path="/v1/payments/{payment_id}/cancel",
        name="cancelPayment",
        summary="End a payment, now or as soon as its outcome is known",
        body=CancelPaymentBody,
        examples={"nothing": {"summary": "Nothing to say", "value": {}}},
        answers={200: ("The payment.", shapes.PaymentShape), 202: (_LATER, shapes.PaymentShape)},
        codes=(*_ANYONE, *_BODY, *_FOLLOW_UP),
        moves_money=True,
    ),
    Call(
        method="post",
        path="/v1/payments/{payment_id}/captures",
        name="capturePayment",
        summary="Take what is held, or part of it",
        tells="All of the rest by default, which is final. A part that is not final needs a connector that takes several captures. "
        "A refusal of the PSP is an answer and not an error: 201 with status failed, and the failure.",
        body=CapturePaymentBody,
        examples={
            "all": {"summary": "All that is held", "value": {}},
            "part": {"summary": "Part of it, and release the rest", "value": {"amount": 500, "final": True, "reference": "parcel-1"}},
        },
        answers={201: ("The capture, with its payment.", _OPERATION), 202: (_OPERATION_LATER, _OPERATION)},
        codes=(*_ANYONE, *_BODY, *_FOLLOW_UP, Code.AMOUNT_EXCEEDS_CAPTURABLE),
        moves_money=True,
    ),
    Call(
        method="post",
        path="/v1/payments/{payment_id}/voids",
        name="voidPayment",
        summary="Release what is held, or what captures have left of it",
        tells="While the payment's own outcome is open this records the wish, as cancel does: 202, with cancel_requested in the payment, "
        "and an id of null until there is something to release.",
        body=VoidPaymentBody,
        examples={"all": {"summary": "Release it", "value": {"reference": "order-1001-void"}}},
        answers={201: ("The void, with its payment.", _OPERATION), 202: (_OPERATION_LATER, _OPERATION)},
        codes=(*_ANYONE, *_BODY, *_FOLLOW_UP),
        moves_money=True,
    ),
    Call(
        method="post",
        path="/v1/payments/{payment_id}/refunds",
        name="refundPayment",
        summary="Give back what was captured, or part of it",
        tells="All of the rest by default. Refunds under way, or with an unknown outcome, count as given.",
        body=RefundPaymentBody,
        examples={
            "all": {"summary": "All of it", "value": {}},
            "part": {"summary": "Part of it", "value": {"amount": 500, "reason": "requested_by_customer", "metadata": {"case": "c-12"}}},
        },
        answers={201: ("The refund, with its payment.", _OPERATION), 202: (_OPERATION_LATER, _OPERATION)},
        codes=(*_ANYONE, *_BODY, *_FOLLOW_UP, Code.AMOUNT_EXCEEDS_REFUNDABLE),
        moves_money=True,
    ),
    *(
        Call(
            method="get",
            path=f"/v1/{kind}s/{{{kind}_id}}",
            name=f"get{kind.capitalize()}",
            summary=f"The {kind} as it stands, with its payment",
            answers={200: (f"The {kind}.", _OPERATION)},
            codes=(*_ANYONE, Code.NOT_FOUND),
        )
        for kind in ("capture", "void", "refund")
    ),
    *(
        Call(
            method=method,
            path="/v1/payments/{payment_id}/return",
            name=name,
            summary="Where a PSP sends the shopper back to",
            tells="For browsers. The URL is made by payorch and signed; what a PSP adds to it is not believed. May be opened again.",
            parameters=("token",),
            answers={
                200: ("A page for the shopper of a merchant without a return URL.", None),
                303: ("On to the merchant's return_url, with payment_id and status.", None),
            },
            codes=(Code.NOT_FOUND, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL_ERROR),
            with_key=False,
            media_type="text/html",
        )
        for method, name in (("get", "shopperReturned"), ("post", "shopperReturnedByForm"))
    ),
    Call(
        method="get",
        path="/v1/disputes",
        name="listDisputes",
        summary="Disputes, newest first",
        parameters=disputes.PARAMETERS,
        answers={200: ("A page.", shapes.DisputeList)},
        codes=(*_ANYONE, *_LIST),
    ),
    Call(
        method="get",
        path="/v1/disputes/{dispute_id}",
        name="getDispute",
        summary="A stage of a dispute, with the time until which it can be answered",
        answers={200: ("The dispute.", shapes.DisputeShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="post",
        path=_ENDPOINTS,
        name="createEndpoint",
        summary="Have events sent to a URL",
        tells="Deliveries are signed after Standard Webhooks with the secret, which is shown in this answer only. "
        "Any 2xx is taken for received; each event may come more than once, under the same webhook-id.",
        body=CreateEndpointBody,
        body_required=True,
        examples={"some": {"summary": "Some types of events", "value": _EXAMPLE_ENDPOINT}},
        answers={201: ("The endpoint, with its secret.", shapes.EndpointWithSecretShape)},
        codes=(*_ANYONE, *_PLAIN_BODY, Code.ENDPOINT_LIMIT_REACHED),
    ),
    Call(
        method="get",
        path=_ENDPOINTS,
        name="listEndpoints",
        summary="Webhook endpoints, newest first",
        parameters=endpoints.PARAMETERS,
        answers={200: ("A page.", shapes.EndpointList)},
        codes=(*_ANYONE, *_LIST),
    ),
    Call(
        method="get",
        path=_ENDPOINT,
        name="getEndpoint",
        summary="A webhook endpoint, without its secret",
        answers={200: ("The endpoint.", shapes.EndpointShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="patch",
        path=_ENDPOINT,
        name="changeEndpoint",
        summary="Change a webhook endpoint, or switch it off or on",
        tells="What is still to be sent to one that is switched off waits for it, and goes to the URL that it has by then.",
        body=ChangeEndpointBody,
        body_required=True,
        examples={"on": {"summary": "Switch it on again", "value": {"enabled": True}}},
        answers={200: ("The endpoint.", shapes.EndpointShape)},
        codes=(*_ANYONE, *_PLAIN_BODY, Code.NOT_FOUND),
    ),
    Call(
        method="delete",
        path=_ENDPOINT,
        name="deleteEndpoint",
        summary="Delete a webhook endpoint",
        tells="What is still to be sent there is canceled. Afterwards it is not there: 404.",
        answers={200: ("It is deleted.", shapes.DeletedEndpointShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="post",
        path=f"{_ENDPOINT}/rotate-secret",
        name="rotateSecret",
        summary="Make a new secret",
        tells="It is shown in this answer only. The one before stays valid until secret_rotates_until, and deliveries carry a signature of "
        "each; an even older one does not.",
        body=RotateSecretBody,
        examples={"nothing": {"summary": "Nothing to say", "value": {}}},
        answers={200: ("The endpoint, with its new secret.", shapes.EndpointWithSecretShape)},
        codes=(*_ANYONE, *_PLAIN_BODY, Code.NOT_FOUND),
    ),
    Call(
        method="get",
        path="/v1/events",
        name="listEvents",
        summary="Events, newest first",
        tells="All of them, whether there is an endpoint or not, with what was delivered where.",
        parameters=events.PARAMETERS,
        answers={200: ("A page.", shapes.EventList)},
        codes=(*_ANYONE, *_LIST),
    ),
    Call(
        method="get",
        path="/v1/events/{event_id}",
        name="getEvent",
        summary="An event, and what was delivered where",
        answers={200: ("The event.", shapes.EventShape)},
        codes=(*_ANYONE, Code.NOT_FOUND),
    ),
    Call(
        method="post",
        path="/v1/events/{event_id}/resend",
        name="resendEvent",
        summary="Send an event again",
        tells=f"To every enabled endpoint that wants its type now, or to the one that is named, if that does. {_REPEATABLE}",
        body=ResendEventBody,
        examples={"everywhere": {"summary": "To all who want it", "value": {}}},
        answers={202: ("What was scheduled.", shapes.ResendShape)},
        codes=(*_ANYONE, *_PLAIN_BODY, Code.NOT_FOUND),
    ),
    Call(
        method="post",
        path="/v1/events/resend",
        name="resendEvents",
        summary="Send the events of a span of time again",
        tells=f"As for one event. There is a limit to how many were made in that time, of whatever types; the 422 names it. {_REPEATABLE}",
        body=ResendEventsBody,
        body_required=True,
        examples={
            "hour": {
                "summary": "An hour that an endpoint was away",
                "value": {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T13:00:00Z", "types": ["payment.succeeded"]},
            }
        },
        answers={202: ("What was scheduled.", shapes.ResendShape)},
        codes=(*_ANYONE, *_PLAIN_BODY),
    ),
    Call(
        method="post",
        path="/webhooks/{connector}",
        name="receiveNotice",
        summary="Where a PSP posts its webhooks",
        tells="Signed by the PSP, each in its own way. Answered once it is durable; the same again is answered alike and has no effect. "
        "The answer's body is what that PSP expects.",
        answers={200: ("It is stored.", None)},
        codes=(
            *(Code.SIGNATURE_REFUSED, Code.NOT_FOUND, Code.PAYLOAD_TOO_LARGE, Code.REQUEST_TIMEOUT),
            *(Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL_ERROR),
        ),
        with_key=False,
    ),
    Call(method="get", path="/livez", name="alive", summary="The process answers", answers={200: ("It does.", None)}, with_key=False),
    Call(
        method="get",
        path="/readyz",
        name="ready",
        summary="Whether every part of the platform answers",
        answers={200: ("All of them.", shapes.ReadinessShape), 503: ("Not all of them.", shapes.ReadinessShape)},
        with_key=False,
    ),
    Call(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Figures for Prometheus",
        answers={200: ("Text.", None)},
        with_key=False,
        media_type="text/plain",
    ),
    Call(
        method="get", path="/openapi.json", name="openapi", summary="This document", answers={200: ("OpenAPI 3.1.", None)}, with_key=False
    ),
    Call(
        method="get",
        path="/docs",
        name="docs",
        summary="This document for people",
        answers={200: ("A page.", None)},
        with_key=False,
        media_type="text/html",
    ),
)
