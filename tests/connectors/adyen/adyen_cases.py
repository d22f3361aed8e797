"""What the tests of this folder build again and again: orders, attempts, operations, Adyen's answers and notifications."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import Adyen.util  # type: ignore[import-untyped]

from connectors.adyen import connector
from connectors.contract import AuthorizeOrder, Delivery, Forged, HttpResponse, Notice, OperationOrder
from payorch.domain.intent import CaptureMode, Customer, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Origin, Payment, PreparedCall

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PSP_REFERENCE = "JLCMPCQ8HXSKGK82"
MODIFICATION = "V4HZ4RBFJGXXGN82"
ATTEMPT_ID = "att_01kavq7c1zf90b3n7d5pchmsj9"
CAPTURE_ID = "cap_01kavq7c1zf90b3n7d5pchmsja"
VOID_ID = "void_01kavq7c1zf90b3n7d5pchmsjc"
REFUND_ID = "ref_01kavq7c1zf90b3n7d5pchmsjb"
PAYMENT_ID = "pay_01kavq7c1zf90b3n7d5pchmsj8"
OPERATION_IDS = {OperationKind.CAPTURE: CAPTURE_ID, OperationKind.VOID: VOID_ID, OperationKind.REFUND: REFUND_ID}
RETURN_URL = "https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b"
ACCOUNT = "TestMerchantECOM"
CREDENTIALS = {"account": ACCOUNT, "api_key": "AQEyhmfxK_PLANTED"}
KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
OLD_KEY = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"

SPECS = Path(__file__).parents[4] / "shared" / "psp-specs" / "adyen"
"""Adyen's published documents, where they lie beside the checkout."""


def intent(**changes: Any) -> Intent:
    """A card payment of 19.99 euro, manual capture."""
    values: dict[str, Any] = {
        "amount": Money(1999, "EUR"),
        "capture": CaptureMode.MANUAL,
        "method": PaymentMethod(type="card", token="8416038790273850"),
        "customer": Customer(reference="shopper-77"),
        "initiator": Initiator.CUSTOMER,
    }
    return Intent(**(values | changes))


def order(*, step_up: bool = False, options: Mapping[str, object] | None = None, **changes: Any) -> AuthorizeOrder:
    if options is not None:
        changes["connector_options"] = {"adyen": options}
    return AuthorizeOrder(attempt_id=ATTEMPT_ID, payment_id=PAYMENT_ID, intent=intent(**changes), return_url=RETURN_URL, step_up=step_up)


def attempt(
    *,
    reference: str | None = PSP_REFERENCE,
    state: AttemptState = AttemptState.AUTHORIZED,
    call: PreparedCall | None = None,
    held: bool | None = None,
) -> Attempt:
    holds = state in (AttemptState.AUTHORIZED, AttemptState.CHARGED) if held is None else held
    return Attempt(
        id=ATTEMPT_ID,
        connector="adyen",
        state=state,
        amount=Money(1999, "EUR"),
        call=call or connector.authorize(order()),
        psp_key="key",
        psp_key_safe_until=NOW + timedelta(days=6),
        created_at=NOW,
        updated_at=NOW,
        psp_reference=reference,
        held_since=NOW if holds else None,
    )


def operation(
    kind: OperationKind,
    *,
    minor: int = 1999,
    final: bool = True,
    state: OperationState = OperationState.PENDING,
    reference: str | None = MODIFICATION,
    origin: Origin = Origin.MERCHANT,
    id: str | None = None,
) -> Operation:
    return Operation(
        id=id or OPERATION_IDS[kind],
        kind=kind,
        state=state,
        origin=origin,
        attempt_id=ATTEMPT_ID,
        amount=Money(0 if kind is OperationKind.VOID else minor, "EUR"),
        created_at=NOW,
        updated_at=NOW,
        final=final,
        psp_reference=reference,
    )


def operation_order(one: Operation, *, of: Attempt | None = None, reason: str | None = None) -> OperationOrder:
    return OperationOrder(
        operation_id=one.id,
        payment_id=PAYMENT_ID,
        attempt=of or attempt(),
        amount=None if one.kind is OperationKind.VOID else one.amount,
        final=one.final,
        reason=reason,
    )


def call_of(one: Operation, *, of: Attempt | None = None) -> PreparedCall:
    """The call that would be sent for that operation."""
    build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
    return build[one.kind](operation_order(one, of=of))


def payment(one: Attempt | None = None, *operations: Operation, state: State = State.AUTHORIZED, **changes: Any) -> Payment:
    return Payment(
        id=PAYMENT_ID,
        merchant_id="mer_1",
        state=state,
        version=3,
        intent=intent(),
        created_at=NOW,
        updated_at=NOW,
        attempts=(one or attempt(),),
        operations=operations,
        **changes,
    )


# --- answers


def result(code: str, **changes: Any) -> dict[str, Any]:
    """The answer to /payments for 19.99 euro."""
    values: dict[str, Any] = {
        "additionalData": {"cardPaymentMethod": "visa", "cardHolderName": "PLANTED", "authCode": "044925"},
        "amount": {"currency": "EUR", "value": 1999},
        "merchantReference": ATTEMPT_ID,
        "pspReference": PSP_REFERENCE,
        "resultCode": code,
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def received(one: Operation, **changes: Any) -> dict[str, Any]:
    """The answer to a modification."""
    values: dict[str, Any] = {
        "merchantAccount": ACCOUNT,
        "paymentPspReference": PSP_REFERENCE,
        "pspReference": MODIFICATION,
        "reference": one.id,
        "status": "received",
    }
    if one.kind is not OperationKind.VOID:
        values["amount"] = {"currency": "EUR", "value": one.amount.minor}
    return {name: value for name, value in (values | changes).items() if value is not None}


def error(status: int, code: str, kind: str = "validation") -> dict[str, Any]:
    return {"status": status, "errorCode": code, "message": "Adyen's words.", "errorType": kind, "pspReference": "881611827877203B"}


def response(status: int, body: object, **headers: str) -> HttpResponse:
    """A response with that body: bytes as they are, anything else as JSON."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"pspreference": "QFQTPCQ8HXSKGK82", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return HttpResponse(status=status, headers=tuple(named.items()), body=encoded)


def read(
    subject: Attempt | Operation,
    status: int,
    body: object,
    *,
    source: Source = Source.RESPONSE,
    call: PreparedCall | None = None,
    **headers: str,
) -> Evidence:
    """Evidence from that answer to the subject's own call."""
    if call is None:
        call = subject.call if isinstance(subject, Attempt) else call_of(subject)
    assert call is not None
    return connector.read(subject, call, response(status, body, **headers), source=source, at=NOW)


# --- notifications


def item(event: str, *, success: bool = True, **changes: Any) -> dict[str, Any]:
    """A notification about the payment, unsigned. None takes a field away."""
    values: dict[str, Any] = {
        "additionalData": {"cardHolderName": "PLANTED"},
        "amount": {"currency": "EUR", "value": 1999},
        "eventCode": event,
        "eventDate": "2026-11-29T12:00:01+00:00",
        "merchantAccountCode": ACCOUNT,
        "merchantReference": ATTEMPT_ID,
        "paymentMethod": "visa",
        "pspReference": PSP_REFERENCE,
        "reason": "",
        "success": "true" if success else "false",
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def modified(event: str, own: str, *, success: bool = True, **changes: Any) -> dict[str, Any]:
    """A notification about a modification of the payment, under that reference of ours."""
    named = {"merchantReference": own, "originalReference": PSP_REFERENCE, "pspReference": MODIFICATION}
    return item(event, success=success, **(named | changes))


def signed(one: Mapping[str, Any], key: str = KEY) -> dict[str, Any]:
    """The same with its signature, by Adyen's own library."""
    signature = Adyen.util.generate_notification_sig({**one}, key).decode()
    return {**one, "additionalData": {**one.get("additionalData", {}), "hmacSignature": signature}}


def wrapped(*items: Mapping[str, Any]) -> bytes:
    """The delivery of these items."""
    return json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": one} for one in items]}).encode()


def receive(body: bytes, *, secrets: tuple[str, ...] = (KEY,)) -> tuple[Notice, ...] | Forged:
    delivery = Delivery(headers=(("content-type", "application/json"),), body=body)
    return connector.receive(delivery, secrets=secrets, at=NOW)


def noticed(one: Mapping[str, Any]) -> Notice:
    """The notice of that item, signed as it should be."""
    found = receive(wrapped(signed(one)))
    assert not isinstance(found, Forged), found.reason
    [notice] = found
    return notice
