"""What the tests of this folder build again and again: orders, attempts, operations, and PayPal's answers to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import AuthorizeOrder, CompletionOrder, HttpResponse, OperationOrder
from connectors.paypal import connector
from payorch.domain.identifiers import of_name
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, PreparedCall

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ORDER_ID = "5O190127TN364715T"
AUTHORIZATION_ID = "0VF52814937998046"
CAPTURE_ID = "2GG279541U471931P"
REFUND_ID = "1JU08902781691411"
ATTEMPT_ID = of_name("att", "of a test")
PAYMENT_ID = of_name("pay", "of a test")
RETURN_URL = "https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b"
CARD = PaymentMethod(type="card", token="tok_visa")
WALLET = PaymentMethod(type="paypal")


def intent(**changes: Any) -> Intent:
    """A card payment of 19.99 euro, manual capture."""
    values: dict[str, Any] = {
        "amount": Money(1999, "EUR"),
        "capture": CaptureMode.MANUAL,
        "method": CARD,
        "initiator": Initiator.CUSTOMER,
    }
    return Intent(**(values | changes))


def order(*, step_up: bool = False, **changes: Any) -> AuthorizeOrder:
    return AuthorizeOrder(attempt_id=ATTEMPT_ID, payment_id=PAYMENT_ID, intent=intent(**changes), return_url=RETURN_URL, step_up=step_up)


def attempt(
    *,
    reference: str | None = ORDER_ID,
    money_reference: str | None = AUTHORIZATION_ID,
    amount: Money | None = None,
    call: PreparedCall | None = None,
    automatic: bool = False,
    state: AttemptState | None = None,
    **changes: Any,
) -> Attempt:
    capture = CaptureMode.AUTOMATIC if automatic else CaptureMode.MANUAL
    values: dict[str, Any] = {
        "id": ATTEMPT_ID,
        "connector": "paypal",
        "state": state or (AttemptState.CHARGED if automatic else AttemptState.AUTHORIZED),
        "amount": amount or Money(1999, "EUR"),
        "call": call or connector.authorize(order(capture=capture)),
        "psp_key": "key",
        "psp_key_safe_until": NOW + timedelta(hours=5),
        "created_at": NOW,
        "updated_at": NOW,
        "psp_reference": reference,
        "money_reference": CAPTURE_ID if automatic and money_reference == AUTHORIZATION_ID else money_reference,
    }
    return Attempt(**(values | changes))


def operation(
    kind: OperationKind, *, minor: int = 1999, final: bool = True, reference: str | None = None, state: OperationState = OperationState.SENT
) -> Operation:
    prefix = {OperationKind.CAPTURE: "cap", OperationKind.VOID: "void", OperationKind.REFUND: "ref"}[kind]
    return Operation(
        id=of_name(prefix, "of a test"),
        kind=kind,
        state=state,
        origin=Origin.MERCHANT,
        attempt_id=ATTEMPT_ID,
        amount=Money(minor, "EUR"),
        created_at=NOW,
        updated_at=NOW,
        final=final,
        psp_reference=reference,
    )


def operation_order(
    one: Operation, *, of: Attempt | None = None, reason: str | None = None, capture: Operation | None = None
) -> OperationOrder:
    return OperationOrder(
        operation_id=one.id,
        payment_id=PAYMENT_ID,
        attempt=of or attempt(automatic=one.kind is OperationKind.REFUND and capture is None),
        amount=None if one.kind is OperationKind.VOID else one.amount,
        final=one.final,
        reason=reason,
        capture=capture,
    )


def call_of(one: Operation, *, of: Attempt | None = None) -> PreparedCall:
    """The call that would be sent for that operation."""
    build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
    return build[one.kind](operation_order(one, of=of))


def completion(*, automatic: bool = False, returned: Mapping[str, str] | None = None, **changes: Any) -> CompletionOrder:
    """A wallet's order, or the card's where `method` says so, whose shopper came back."""
    capture = CaptureMode.AUTOMATIC if automatic else CaptureMode.MANUAL
    asked = intent(capture=capture, **({"method": WALLET} | changes))
    call = connector.authorize(AuthorizeOrder(attempt_id=ATTEMPT_ID, payment_id=PAYMENT_ID, intent=asked, return_url=RETURN_URL))
    one = attempt(call=call, money_reference=None, state=AttemptState.ACTION_REQUIRED)
    return CompletionOrder(payment_id=PAYMENT_ID, attempt=one, intent=asked, returned=returned or {})


# --- PayPal's objects -------------------------------------------------------------------------------------------------------------------


def money(value: str, currency: str = "EUR") -> dict[str, str]:
    return {"currency_code": currency, "value": value}


def authorization(status: str = "CREATED", **changes: Any) -> dict[str, Any]:
    """An authorization of 19.99 euro."""
    values: dict[str, Any] = {
        "id": AUTHORIZATION_ID,
        "status": status,
        "amount": money("19.99"),
        "custom_id": ATTEMPT_ID,
        "invoice_id": ATTEMPT_ID,
        "expiration_time": "2026-12-22T12:00:00Z",
        "create_time": "2026-11-23T12:00:00Z",
        "update_time": "2026-11-23T12:00:00Z",
        "links": [],
    }
    return values | changes


def capture(status: str = "COMPLETED", **changes: Any) -> dict[str, Any]:
    """A last capture of 19.99 euro, under the operation's id."""
    values: dict[str, Any] = {
        "id": CAPTURE_ID,
        "status": status,
        "amount": money("19.99"),
        "custom_id": ATTEMPT_ID,
        "invoice_id": operation(OperationKind.CAPTURE).id,
        "final_capture": True,
        "links": [],
    }
    return values | changes


def refund(status: str = "COMPLETED", **changes: Any) -> dict[str, Any]:
    """A refund of 19.99 euro, under the operation's id."""
    values: dict[str, Any] = {
        "id": REFUND_ID,
        "status": status,
        "amount": money("19.99"),
        "custom_id": operation(OperationKind.REFUND).id,
        "invoice_id": operation(OperationKind.REFUND).id,
        "links": [{"rel": "up", "href": f"https://api-m.paypal.com/v2/payments/captures/{CAPTURE_ID}", "method": "GET"}],
    }
    return values | changes


def shown_order(status: str = "COMPLETED", *, source: dict[str, Any] | None = None, **made: Any) -> dict[str, Any]:
    """An order of 19.99 euro with what was made of it: `authorizations`, `captures`, `refunds`."""
    link = {"href": f"https://www.paypal.com/checkoutnow?token={ORDER_ID}", "rel": "payer-action", "method": "GET"}
    unit = {"reference_id": PAYMENT_ID, "amount": money("19.99"), "custom_id": ATTEMPT_ID, "invoice_id": ATTEMPT_ID}
    return {
        "id": ORDER_ID,
        "status": status,
        "payment_source": source or {"card": {"brand": "VISA", "last_digits": "4242"}},
        "purchase_units": [{**unit, **({"payments": made} if made else {})}],
        "payer": {"email_address": "planted@shopper.example", "name": {"given_name": "PLANTED"}},
        "links": [link] if status in ("CREATED", "PAYER_ACTION_REQUIRED") else [],
    }


def error(status: int, *issues: str, name: str = "UNPROCESSABLE_ENTITY") -> dict[str, Any]:
    names = {400: "INVALID_REQUEST", 404: "RESOURCE_NOT_FOUND", 409: "RESOURCE_CONFLICT"}
    details = [{"issue": issue, "description": "PayPal's words."} for issue in issues]
    return {"name": names.get(status, name), "message": "PayPal's message.", "debug_id": "f0123456789ab", "details": details}


def response(status: int, body: object, **headers: str) -> HttpResponse:
    """A response with that body: bytes as they are, anything else as JSON."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"paypal-debug-id": "f0123456789ab", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return HttpResponse(status=status, headers=tuple(named.items()), body=encoded)


def read(
    subject: Attempt | Operation,
    status: int,
    body: object,
    *,
    source: Source = Source.RESPONSE,
    call: PreparedCall | None = None,
    at: datetime = NOW,
) -> Evidence:
    """Evidence from that answer to the subject's own call, or to its inquiry where the source is one."""
    if call is None:
        if source is Source.INQUIRY:
            asked = subject if isinstance(subject, Attempt) else attempt()
            call = connector.inquire(subject, asked)
        else:
            call = subject.call if isinstance(subject, Attempt) else call_of(subject)
    assert call is not None
    return connector.read(subject, call, response(status, body), source=source, at=at)
