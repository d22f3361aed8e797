"""What the tests of this folder build again and again: orders, attempts, operations, and Stripe's answers to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import AuthorizeOrder, HttpResponse, OperationOrder
from connectors.stripe import connector
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.payment import AttemptState, OperationState
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, PreparedCall

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
INTENT_ID = "pi_3PgafyB7WZ01zgkW"
ATTEMPT_ID = "att_01kavq7c1zfz6b3n"
RETURN_URL = "https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b"


def intent(**changes: Any) -> Intent:
    """A card payment of 19.99 euro, manual capture."""
    values: dict[str, Any] = {
        "amount": Money(1999, "EUR"),
        "capture": CaptureMode.MANUAL,
        "method": PaymentMethod(type="card", token="pm_card_visa"),
        "initiator": Initiator.CUSTOMER,
    }
    return Intent(**(values | changes))


def order(*, step_up: bool = False, **changes: Any) -> AuthorizeOrder:
    return AuthorizeOrder(
        attempt_id=ATTEMPT_ID, payment_id="pay_01kavq7c1zfz6b3m", intent=intent(**changes), return_url=RETURN_URL, step_up=step_up
    )


def attempt(*, reference: str | None = INTENT_ID, amount: Money | None = None, call: PreparedCall | None = None) -> Attempt:
    return Attempt(
        id=ATTEMPT_ID,
        connector="stripe",
        state=AttemptState.AUTHORIZED,
        amount=amount or Money(1999, "EUR"),
        call=call or connector.authorize(order()),
        psp_key="key",
        psp_key_safe_until=NOW + timedelta(hours=22),
        created_at=NOW,
        updated_at=NOW,
        psp_reference=reference,
    )


def operation(kind: OperationKind, *, minor: int = 1999, final: bool = True, reference: str | None = None) -> Operation:
    return Operation(
        id=f"{kind.value[:3]}_01kavq7c1zfz6b3p",
        kind=kind,
        state=OperationState.SENT,
        origin=Origin.MERCHANT,
        attempt_id=ATTEMPT_ID,
        amount=Money(minor, "EUR"),
        created_at=NOW,
        updated_at=NOW,
        final=final,
        psp_reference=reference,
    )


def operation_order(one: Operation, *, of: Attempt | None = None, reason: str | None = None) -> OperationOrder:
    return OperationOrder(
        operation_id=one.id,
        payment_id="pay_01kavq7c1zfz6b3m",
        attempt=of or attempt(),
        amount=None if one.kind is OperationKind.VOID else one.amount,
        final=one.final,
        reason=reason,
    )


def call_of(one: Operation) -> PreparedCall:
    """The call that would be sent for that operation."""
    build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
    return build[one.kind](operation_order(one))


def payment_intent(status: str, **changes: Any) -> dict[str, Any]:
    """A PaymentIntent of 19.99 euro as Stripe shows it, with totals that fit the status."""
    amounts = {"amount": 1999, "amount_received": 0} | changes
    held = amounts["amount"] - amounts["amount_received"] if status == "requires_capture" else 0
    values: dict[str, Any] = {
        "id": INTENT_ID,
        "object": "payment_intent",
        "amount": 1999,
        "amount_capturable": held,
        "amount_received": 1999 if status == "succeeded" else 0,
        "client_secret": f"{INTENT_ID}_secret_PLANTED",
        "currency": "eur",
        "metadata": {"payorch_attempt": ATTEMPT_ID, "payorch_payment": "pay_01kavq7c1zfz6b3m"},
        "status": status,
    }
    return values | changes


def refund(status: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "re_3PgafyB7WZ01zgkW",
        "object": "refund",
        "amount": 1999,
        "currency": "eur",
        "metadata": {"payorch_operation": "ref_01kavq7c1zfz6b3p"},
        "payment_intent": INTENT_ID,
        "status": status,
    }
    return values | changes


def error(kind: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "Stripe's words.", **fields}}


def listing(*entries: Mapping[str, Any], kind: str = "list", more: bool = False) -> dict[str, Any]:
    return {"object": kind, "data": list(entries), "has_more": more, "url": "/v1/x"}


def response(status: int, body: object, **headers: str) -> HttpResponse:
    """A response with that body: bytes as they are, anything else as JSON."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"request-id": "req_Abc123", **{name.replace("_", "-"): value for name, value in headers.items()}}
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
