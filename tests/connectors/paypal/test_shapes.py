"""Every object that the simulated PayPal shows, and every error, is one that PayPal's published OpenAPI documents describe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.contract import HttpRequest, HttpResponse
from connectors.paypal import connector
from connectors.paypal.dialect import PaypalDialect
from connectors.simulator.dialect import Deed, Settings
from connectors.simulator.faults import HEALTHY, Before, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal import paypal_webhooks as told
from tests.connectors.paypal.published import check, needs_published, published

pytestmark = needs_published
ORDERS, PAYMENTS, WEBHOOKS = "checkout_orders_v2", "payments_payment_v2", "notifications_webhooks_v1"


@dataclass(kw_only=True)
class World:
    """A simulated PayPal in memory, spoken to without the connector."""

    ledger: Ledger = field(default_factory=lambda: Ledger(psp="paypal", seed=1))
    now: datetime = cases.NOW
    told: list[Notification] = field(default_factory=list)
    keys: int = 0

    def __post_init__(self) -> None:
        made = told.identity()
        self.dialect = PaypalDialect(
            Settings(base_url="http://127.0.0.1:4003", signing_key=made.key, certificates=made.certificates, authorization_seconds=1e9)
        )

    def send(self, method: str, path: str, body: object = None, *, verdict: Verdict = HEALTHY, **headers: str) -> HttpResponse:
        self.keys += 1
        named = {
            "authorization": f"Bearer {self.token()}",
            "content-type": "application/json",
            "prefer": "return=representation",
            "paypal-request-id": f"key-{self.keys}",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        data = b"" if body is None else json.dumps(body).encode()
        request = HttpRequest(method=method, path=path, headers=tuple(named.items()), body=data)
        reply = self.dialect.handle(self.ledger, request, self.now, verdict=verdict)
        self.told += reply.webhooks
        return reply.response

    def token(self) -> str:
        sent = connector.sign_in({"account": "test_client", "api_key": "x"})
        assert sent is not None
        answer: dict[str, Any] = json.loads(self.dialect.handle(self.ledger, sent, self.now).response.body)
        return str(answer["access_token"])

    def order(self, source: dict[str, Any] | None, intent: str = "AUTHORIZE") -> dict[str, Any]:
        unit = {"amount": cases.money("19.99"), "custom_id": f"c{self.keys}", "invoice_id": f"i{self.keys}", "description": "d"}
        body = {"intent": intent, "purchase_units": [unit], **({} if source is None else {"payment_source": source})}
        answer: dict[str, Any] = json.loads(self.send("POST", "/v2/checkout/orders", body).body)
        return answer

    def press(self, order: dict[str, Any], outcome: str) -> None:
        path = f"/checkoutnow?token={order['id']}"
        reply = self.dialect.handle(
            self.ledger, HttpRequest(method="POST", path=path, headers=(), body=f"outcome={outcome}".encode()), self.now
        )
        self.told += reply.webhooks

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.told += self.dialect.due(self.ledger, self.now)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ledger.close()


TOKENS = (
    "tok_visa",
    "tok_mastercard",
    "tok_pending",
    "tok_3ds",
    "tok_insufficient_funds",
    "tok_capture_fails_late",
    "tok_refund_fails_late",
)


def card(token: str, **more: Any) -> dict[str, Any]:
    return {"card": {"vault_id": token, "experience_context": {"return_url": "https://s.test/b", "cancel_url": "https://s.test/c"}, **more}}


def wallet() -> dict[str, Any]:
    return {"paypal": {"experience_context": {"return_url": "https://s.test/b", "cancel_url": "https://s.test/c"}}}


def lives(world: World) -> list[str]:
    """Orders in every state there is, with everything that can have happened to them."""
    orders = [world.order(card(token), intent) for token in (*TOKENS, "tok_refund_pending") for intent in ("AUTHORIZE", "CAPTURE")]
    orders += [world.order(wallet(), intent) for intent in ("AUTHORIZE", "CAPTURE", "CAPTURE")]
    orders.append(world.order(None, "CAPTURE"))
    for place, shown in enumerate(orders):
        if shown["status"] == "PAYER_ACTION_REQUIRED":
            world.press(shown, ("approve", "fail")[place % 2])
            deed = "authorize" if shown["intent"] == "AUTHORIZE" else "capture"
            if place % 3:
                world.send("POST", f"/v2/checkout/orders/{shown['id']}/{deed}", {})
        _operate(world, shown)
    return [shown["id"] for shown in orders]


def _operate(world: World, shown: dict[str, Any]) -> None:
    made = json.loads(world.send("GET", f"/v2/checkout/orders/{shown['id']}").body)["purchase_units"][0].get("payments", {})
    for held in made.get("authorizations", []):
        path = f"/v2/payments/authorizations/{held['id']}"
        world.send("POST", f"{path}/capture", {"amount": cases.money("5.00"), "final_capture": False})
        world.send("POST", f"{path}/void")
    made = json.loads(world.send("GET", f"/v2/checkout/orders/{shown['id']}").body)["purchase_units"][0].get("payments", {})
    for taken in made.get("captures", []):
        world.send(
            "POST", f"/v2/payments/captures/{taken['id']}/refund", {"amount": cases.money("1.00"), "custom_id": "r", "note_to_payer": "n"}
        )


@pytest.mark.parametrize("days", [0.0, 0.01, 30.0])
def test_objects_are_as_published_at_any_time(world: World, days: float) -> None:
    ids = lives(world)
    world.later(days=days)
    seen: set[str] = set()
    for id in ids:
        shown = json.loads(world.send("GET", f"/v2/checkout/orders/{id}").body)
        check(ORDERS, "order", shown)
        seen.add(shown["status"])
        made = shown["purchase_units"][0].get("payments", {})
        for kind, schema in (("authorizations", "authorization-2"), ("captures", "capture-2"), ("refunds", "refund")):
            for one in made.get(kind, []):
                alone = json.loads(world.send("GET", f"/v2/payments/{kind}/{one['id']}").body)
                check(PAYMENTS, schema, alone)
                assert {name: alone[name] for name in one} == one
                seen.add(f"{kind} {one['status']}")
    assert {"COMPLETED", "PAYER_ACTION_REQUIRED", "CREATED"} <= seen
    expected = {"authorizations VOIDED", "authorizations DENIED", "captures DECLINED", "captures PARTIALLY_REFUNDED", "refunds COMPLETED"}
    assert expected <= seen
    assert ("refunds PENDING" in seen) is not bool(days)
    assert ("refunds FAILED" in seen) is bool(days)


@pytest.mark.parametrize("days", [0.0, 30.0])
def test_events_are_as_published_and_believed(world: World, days: float) -> None:
    lives(world)
    for deed in (Deed.DISPUTE, Deed.WIN_DISPUTE, Deed.INQUIRY, Deed.DISPUTE, Deed.LOSE_DISPUTE):
        theirs = next(one for one in world.ledger.payments(limit=100).items if one.captured > 500)
        world.told += world.dialect.by_hand(world.ledger, theirs, deed, world.now)
    world.later(days=days)
    kinds = set()
    for one in world.told:
        shown = json.loads(one.body)
        check(WEBHOOKS, "event", shown)
        sent = world.dialect.webhook_headers(one.body, secret=told.WEBHOOK_ID, at=world.now)
        assert dict(sent)["paypal-auth-algo"] == "SHA256withRSA"
        kinds.add(shown["event_type"])
        schema = {"authorization": "authorization-2", "capture": "capture-2", "refund": "refund"}.get(shown["resource_type"])
        if schema is not None:
            check(PAYMENTS, schema, shown["resource"])
    assert kinds >= {
        "CHECKOUT.ORDER.APPROVED", "CHECKOUT.ORDER.COMPLETED", "PAYMENT.AUTHORIZATION.CREATED", "PAYMENT.AUTHORIZATION.VOIDED",
        "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.REFUNDED",
        "PAYMENT.REFUND.PENDING", "CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED",
    }  # fmt: skip


ABSENT = "5O190127TN364715T"
NOTHING, LONG = cases.money("0.00"), {"amount": cases.money("1.00"), "custom_id": "x" * 128}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "issue"),
    [
        ("POST", "/v2/checkout/orders", {}, 400, "MISSING_REQUIRED_PARAMETER"),
        ("POST", "/v2/checkout/orders", {"intent": "PAY"}, 400, "INVALID_PARAMETER_VALUE"),
        ("POST", "/v2/checkout/orders", {"intent": "CAPTURE", "purchase_units": 5}, 400, "INVALID_PARAMETER_SYNTAX"),
        ("POST", "/v2/checkout/orders", {"intent": "CAPTURE", "purchase_units": [{"amount": NOTHING}]}, 422, "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("POST", "/v2/checkout/orders", {"intent": "CAPTURE", "purchase_units": [LONG]}, 400, "INVALID_STRING_LENGTH"),
        ("GET", f"/v2/checkout/orders/{ABSENT}", None, 404, "INVALID_RESOURCE_ID"),
        ("POST", f"/v2/checkout/orders/{ABSENT}/capture", {}, 404, "INVALID_RESOURCE_ID"),
        ("POST", f"/v2/payments/authorizations/{ABSENT}/capture", {}, 404, "INVALID_RESOURCE_ID"),
        ("POST", f"/v2/payments/authorizations/{ABSENT}/void", None, 404, "INVALID_RESOURCE_ID"),
        ("POST", f"/v2/payments/captures/{ABSENT}/refund", {}, 404, "INVALID_RESOURCE_ID"),
        ("GET", f"/v2/payments/refunds/{ABSENT}", None, 404, "INVALID_RESOURCE_ID"),
        ("GET", "/v2/nothing", None, 404, "INVALID_RESOURCE_ID"),
    ],
)  # fmt: skip
def test_errors_are_as_published(world: World, method: str, path: str, body: object, status: int, issue: str) -> None:
    answer = world.send(method, path, body)
    shown = json.loads(answer.body)
    assert (answer.status, shown["details"][0]["issue"]) == (status, issue)
    check(ORDERS, f"error_{status}", shown)
    assert answer.header("paypal-debug-id") == shown["debug_id"]


@pytest.mark.parametrize(
    ("verdict", "status"), [(Verdict(before=Before.ERROR_500), 500), (Verdict(before=Before.RATE_LIMIT, retry_after_seconds=7), 429)]
)
def test_faults_are_as_published(world: World, verdict: Verdict, status: int) -> None:
    answer = world.send("POST", "/v2/checkout/orders", {}, verdict=verdict)
    assert (answer.status, answer.header("retry-after")) == (status, "7" if status == 429 else None)
    if status == 500:
        check(ORDERS, "error_500", json.loads(answer.body))


def test_what_is_no_json_is_refused(world: World) -> None:
    for data, kind, status in ((b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)):
        headers = (("authorization", f"Bearer {world.token()}"), ("content-type", kind), ("paypal-request-id", "k"))
        request = HttpRequest(method="POST", path="/v2/checkout/orders", headers=headers, body=data)
        answer = world.dialect.handle(world.ledger, request, world.now).response
        assert answer.status == status
        check(ORDERS, f"error_{status}", json.loads(answer.body))


# --- PayPal's own check of a webhook ------------------------------------------------------------------------------------------------------


def question(world: World, one: Notification, **changes: Any) -> dict[str, Any]:
    sent = dict(world.dialect.webhook_headers(one.body, secret=told.WEBHOOK_ID, at=world.now))
    names = {
        "auth_algo": "paypal-auth-algo", "cert_url": "paypal-cert-url", "transmission_id": "paypal-transmission-id",
        "transmission_sig": "paypal-transmission-sig", "transmission_time": "paypal-transmission-time",
    }  # fmt: skip
    asked = {name: sent[header] for name, header in names.items()}
    return {**asked, "webhook_id": told.WEBHOOK_ID, "webhook_event": json.loads(one.body)} | changes


def test_the_postback_knows_what_was_told(world: World) -> None:
    world.order(card("tok_visa"))
    one = world.told[0]
    asked = question(world, one)
    check(WEBHOOKS, "verify_webhook_signature", asked)  # whose event PayPal's document wants to be PayPal's to say, and to be sent
    answers = {}
    others: dict[str, dict[str, Any]] = {
        "true": {},
        "another webhook": {"webhook_id": "ANOTHER"},
        "another event": {"webhook_event": {**asked["webhook_event"], "event_type": "PAYMENT.CAPTURE.COMPLETED"}},
        "no event of ours": {"webhook_event": {"id": "WH-NONE"}},
        "another signature": {"transmission_sig": "AAAA"},
        "another certificate": {"cert_url": "https://evil.example/cert"},
        "another algorithm": {"auth_algo": "SHA1withRSA"},
    }
    for name, changes in others.items():
        answer = world.send("POST", "/v1/notifications/verify-webhook-signature", question(world, one, **changes))
        check(WEBHOOKS, "verify_webhook_signature_response", json.loads(answer.body))
        answers[name] = json.loads(answer.body)["verification_status"]
    assert answers == {name: "SUCCESS" if name == "true" else "FAILURE" for name in answers}


def test_the_certificate_can_be_fetched_by_anybody(world: World) -> None:
    world.order(card("tok_visa"))
    address = dict(world.dialect.webhook_headers(world.told[0].body, secret="W", at=world.now))["paypal-cert-url"]
    path = address.removeprefix("http://127.0.0.1:4003")
    found = world.dialect.handle(world.ledger, HttpRequest(method="GET", path=path, headers=(), body=b""), world.now).response
    assert (found.status, found.body) == (200, told.identity().certificates)
    other = world.dialect.handle(world.ledger, HttpRequest(method="GET", path=path + "0", headers=(), body=b""), world.now).response
    assert other.status == 401


def test_the_check_would_notice() -> None:
    with pytest.raises(AssertionError):
        check(ORDERS, "order", {"id": 5, "status": "DONE"})
    assert published(ORDERS)["info"]["version"] == "2.13"
