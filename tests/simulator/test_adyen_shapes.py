"""What the simulated Adyen answers and tells is what Adyen's published documents describe. Skipped where they are not at hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import Adyen.util  # type: ignore[import-untyped]
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from connectors.adyen.dialect import AdyenDialect
from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.cards import SHARED
from connectors.simulator.dialect import Deed, NotPossible, Settings
from connectors.simulator.ledger import Ledger

SPECS = Path(__file__).parents[3] / "shared" / "psp-specs" / "adyen"
pytestmark = pytest.mark.skipif(not SPECS.exists(), reason="Adyen's OpenAPI documents are not beside this checkout")
KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
HEADERS = (("x-api-key", "test_shapes"), ("content-type", "application/json"))
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EVENTS = {
    "AUTHORISATION", "CAPTURE", "CAPTURE_FAILED", "CANCELLATION", "CANCEL_OR_REFUND", "TECHNICAL_CANCEL", "REFUND", "REFUND_FAILED",
    "EXPIRE", "REQUEST_FOR_INFORMATION", "NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK",
    "DISPUTE_DEFENSE_PERIOD_ENDED",
}  # fmt: skip
"""All that the simulated Adyen tells of."""


def document(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SPECS / name).read_text())
    return loaded


def validator(components: dict[str, Any], schema: str) -> Any:
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": components})


def lenient(value: Any) -> Any:
    """The same schemas, open for fields that they do not list, as Adyen's page on webhooks asks for."""
    if isinstance(value, dict):
        return {name: lenient(inner) for name, inner in value.items() if not (name == "additionalProperties" and inner is False)}
    return [lenient(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def checkout() -> dict[str, Any]:
    return dict(document("CheckoutService-v71.json")["components"])


@pytest.fixture(scope="module")
def webhooks() -> dict[str, Any]:
    return dict(lenient(document("Webhooks-v1.json")))


class Shop:
    """Drives a simulated Adyen through everything it can do."""

    def __init__(self) -> None:
        self.ledger = Ledger(psp="adyen", seed=3)
        self.dialect = AdyenDialect(Settings(base_url="http://127.0.0.1:4001"))
        self.now = START
        self.number = 0

    def post(self, path: str, body: dict[str, Any]) -> HttpResponse:
        request = HttpRequest(method="POST", path=f"/v71{path}", headers=HEADERS, body=json.dumps(body).encode())
        return self.dialect.handle(self.ledger, request, self.now).response

    def pay(self, token: str, **more: Any) -> HttpResponse:
        self.number += 1
        message: dict[str, Any] = {
            "amount": {"currency": "EUR", "value": 1999},
            "merchantAccount": "ShapesECOM",
            "paymentMethod": {"type": "scheme", "storedPaymentMethodId": token},
            "reference": f"shape-{self.number}",
            "returnUrl": "https://shop.test/back",
            "additionalData": {"manualCapture": "true"},
        }
        return self.post("/payments", message | more)

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.dialect.due(self.ledger, self.now)

    def modify(self, psp: str, what: str, value: int | None = None) -> HttpResponse:
        amount = {} if value is None else {"amount": {"currency": "EUR", "value": value}}
        return self.post(f"/payments/{psp}/{what}", {"merchantAccount": "ShapesECOM", "reference": f"{what}-1", **amount})


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.ledger.close()


def check(components: dict[str, Any], schema: str, shown: Any) -> None:
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator(components, schema).iter_errors(shown)]
    assert not problems, (schema, problems)


def check_told(webhooks: dict[str, Any], event: str, delivery: Any) -> None:
    schema = webhooks["webhooks"][f"/{event}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    problems = [error.json_path for error in Draft202012Validator({**schema, "components": webhooks["components"]}).iter_errors(delivery)]
    assert not problems, (event, "required or wrong", problems)


def test_the_check_would_notice(checkout: dict[str, Any], webhooks: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="status"):
        check(checkout, "PaymentCaptureResponse", {"pspReference": "x"})
    with pytest.raises(AssertionError, match="required"):
        check_told(webhooks, "CAPTURE", {"live": "false", "notificationItems": [{"NotificationRequestItem": {"pspReference": "x"}}]})


def test_answers_are_as_published(shop: Shop, checkout: dict[str, Any]) -> None:
    for token in SHARED:
        answer = shop.pay(token)
        assert answer.status == 200
        check(checkout, "PaymentResponse", json.loads(answer.body))
        shown = json.loads(answer.body)
        if shown["resultCode"] == "RedirectShopper":
            check(checkout, "CheckoutRedirectAction", shown["action"])
            continue
        for what, schema, value in (
            ("captures", "PaymentCaptureResponse", 999),
            ("cancels", "PaymentCancelResponse", None),
            ("refunds", "PaymentRefundResponse", 500),
            ("reversals", "PaymentReversalResponse", None),
        ):
            received = shop.modify(shown["pspReference"], what, value)
            assert received.status == 201
            check(checkout, schema, json.loads(received.body))
    fence = {"merchantAccount": "ShapesECOM", "paymentReference": "shape-1", "reference": "f"}
    check(checkout, "StandalonePaymentCancelResponse", json.loads(shop.post("/cancels", fence).body))


def test_errors_are_as_published(shop: Shop, checkout: dict[str, Any]) -> None:
    for answer in (
        shop.pay("tok_nobodys"),
        shop.pay("tok_visa", merchantAccount="Other"),
        shop.post("/payments", {"x": 1}),
        shop.post("/x", {}),
    ):
        assert answer.status >= 400
        check(checkout, "ServiceError", json.loads(answer.body))
        assert json.loads(answer.body)["status"] == answer.status


def test_everything_that_is_told_is_as_published_and_signed(shop: Shop, webhooks: dict[str, Any]) -> None:
    for token in SHARED:
        shown = json.loads(shop.pay(token).body)
        if shown["resultCode"] == "RedirectShopper":
            continue
        shop.modify(shown["pspReference"], "captures", 1999)
        if token != "tok_capture_fails_late":  # of what was given back in part no capture fails any more
            shop.modify(shown["pspReference"], "refunds", 500)
        shop.modify(json.loads(shop.pay(token).body)["pspReference"], "cancels")
        shop.modify(json.loads(shop.pay(token).body)["pspReference"], "reversals")
        shop.pay(token)  # which will expire
    shop.post("/cancels", {"merchantAccount": "ShapesECOM", "paymentReference": "shape-4"})
    shop.post("/cancels", {"merchantAccount": "ShapesECOM", "paymentReference": "nobodys"})
    shop.later(60)
    disputed = [it for it in shop.ledger.payments(limit=100).items if it.captured]
    for deeds in ([Deed.INQUIRY, Deed.DISPUTE, Deed.WIN_DISPUTE], [Deed.DISPUTE, Deed.LOSE_DISPUTE], [Deed.DISPUTE]):
        payment = disputed.pop()
        for deed in deeds:
            shop.dialect.by_hand(shop.ledger, shop.ledger.payment(payment.id) or payment, deed, shop.now)
    shop.later(20 * 86400)
    seen = set()
    for told in shop.ledger.notifications(limit=1000).items:
        body = shop.dialect.webhook_body(told.body, secret=KEY, at=shop.now)
        assert Adyen.util.is_valid_hmac_notification(json.loads(body), KEY)
        delivery = json.loads(body)
        assert delivery["live"] == "false"
        [wrapper] = delivery["notificationItems"]
        item = wrapper["NotificationRequestItem"]
        seen.add(item["eventCode"])
        check_told(webhooks, item["eventCode"], delivery)
    assert seen == EVENTS


def test_deeds_that_are_not_possible(shop: Shop) -> None:
    held = shop.ledger.payment(json.loads(shop.pay("tok_visa").body)["pspReference"])
    refused = shop.ledger.payment(json.loads(shop.pay("tok_fraud").body)["pspReference"])
    assert held is not None
    assert refused is not None
    for payment, deed, amount in (
        (held, Deed.REFUND, None),
        (held, Deed.CAPTURE, 2000),
        (held, Deed.DISPUTE, None),
        (held, Deed.WIN_DISPUTE, None),
        (refused, Deed.CAPTURE, None),
        (refused, Deed.CANCEL, None),
        (refused, Deed.EXPIRE, None),
    ):
        before = len(shop.ledger.entries())
        with pytest.raises(NotPossible):
            shop.dialect.by_hand(shop.ledger, payment, deed, shop.now, amount=amount)
        assert len(shop.ledger.entries()) == before
