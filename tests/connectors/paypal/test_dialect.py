"""The simulated PayPal by itself: tokens, keys, the shopper's page, and that no request makes it raise or takes money that is not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import HttpRequest, HttpResponse
from connectors.paypal.dialect import PaypalDialect
from connectors.simulator.dialect import Deed, NotPossible, Settings
from connectors.simulator.faults import HEALTHY, After, Malformed, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from tests.connectors.paypal import paypal_cases as cases

BASIC = "Basic dGVzdF9jbGllbnQ6c2VjcmV0"  # test_client:secret


class World:
    """A simulated PayPal in memory."""

    def __init__(self, **more: Any) -> None:
        self.ledger = Ledger(psp="paypal", seed=1)
        self.dialect = PaypalDialect(Settings(base_url="http://127.0.0.1:4003", **more))
        self.now = cases.NOW

    def send(self, method: str, path: str, body: object = None, *, verdict: Verdict = HEALTHY, **headers: str) -> HttpResponse:
        named = {"content-type": "application/json", "prefer": "return=representation", "authorization": f"Bearer {self.token()}"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = HttpRequest(method=method, path=path, headers=tuple(named.items()), body=data)
        return self.dialect.handle(self.ledger, request, self.now, verdict=verdict).response

    def token(self, authorization: str = BASIC, grant: str = "client_credentials") -> str:
        return str(self.lent(authorization, grant)[1].get("access_token", ""))

    def lent(self, authorization: str = BASIC, grant: str = "client_credentials") -> tuple[int, dict[str, Any]]:
        headers = (("authorization", authorization), ("content-type", "application/x-www-form-urlencoded"))
        request = HttpRequest(method="POST", path="/v1/oauth2/token", headers=headers, body=f"grant_type={grant}".encode())
        answer = self.dialect.handle(self.ledger, request, self.now).response
        return answer.status, json.loads(answer.body)

    def order(self, token: str = "tok_visa", intent: str = "CAPTURE", key: str = "k1", **more: Any) -> Any:
        unit = {"amount": cases.money("20.00"), **more}
        body = {"intent": intent, "purchase_units": [unit], "payment_source": {"card": {"vault_id": token}}}
        return json.loads(self.send("POST", "/v2/checkout/orders", body, paypal_request_id=key).body)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.ledger.close()


# --- tokens -------------------------------------------------------------------------------------------------------------------------------


def test_a_token_is_good_until_its_end(world: World) -> None:
    status, lent = world.lent()
    assert (status, lent["token_type"], lent["expires_in"]) == (200, "Bearer", 32400)
    path, bearer = "/v2/checkout/orders/5O190127TN364715T", f"Bearer {lent['access_token']}"
    assert world.send("GET", path, authorization=bearer).status == 404
    world.now += timedelta(seconds=32400)
    assert world.send("GET", path, authorization=bearer).status == 401


@pytest.mark.parametrize(
    ("authorization", "grant", "status", "error"),
    [
        ("Basic bGl2ZTpzZWNyZXQ=", "client_credentials", 401, "invalid_client"),
        ("Basic dGVzdF9jbGllbnQ6", "client_credentials", 401, "invalid_client"),
        ("Basic !", "client_credentials", 401, "invalid_client"),
        ("", "client_credentials", 401, "invalid_client"),
        (BASIC, "password", 400, "unsupported_grant_type"),
    ],
)
def test_who_is_lent_none(world: World, authorization: str, grant: str, status: int, error: str) -> None:
    answered, body = world.lent(authorization, grant)
    assert (answered, body["error"]) == (status, error)


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer x", "Basic x", "Bearer A21AA1-0123456789abcdef-" + "0" * 64])
def test_without_a_good_token_nothing_is_done(world: World, token: str) -> None:
    assert world.send("GET", "/v2/checkout/orders/X", authorization=token).status == 401


def test_a_changed_token_is_no_token(world: World) -> None:
    token = world.token()
    later = token.replace(token[5:9], "zzzz", 1)
    assert world.send("GET", "/v2/checkout/orders/X", authorization=f"Bearer {later}").status == 401


def test_a_particular_client_and_a_short_life() -> None:
    world = World(api_key="mine:secret", token_seconds=60)
    assert world.lent()[0] == 401
    status, lent = world.lent("Basic bWluZTpzZWNyZXQ=")
    assert (status, lent["expires_in"]) == (200, 60)
    world.ledger.close()


# --- keys ---------------------------------------------------------------------------------------------------------------------------------


def test_a_key_is_for_one_call_and_for_its_time(world: World) -> None:
    first = world.order()
    assert world.order()["id"] == first["id"]
    world.now += timedelta(hours=6)
    assert world.order()["id"] != first["id"]
    taken = first["purchase_units"][0]["payments"]["captures"][0]["id"]
    back = {"amount": cases.money("1.00")}
    once = json.loads(world.send("POST", f"/v2/payments/captures/{taken}/refund", back, paypal_request_id="k1").body)
    world.now += timedelta(hours=7)
    again = world.send("POST", f"/v2/payments/captures/{taken}/refund", back, paypal_request_id="k1")
    assert (again.status, json.loads(again.body)["id"]) == (200, once["id"])


@pytest.mark.parametrize("key", ["", "x" * 109])
def test_a_key_has_a_length(world: World, key: str) -> None:
    body = {"intent": "CAPTURE", "purchase_units": [{"amount": cases.money("1.00")}]}
    assert world.send("POST", "/v2/checkout/orders", body, paypal_request_id=key).status == 400


def test_without_a_key_each_is_another(world: World) -> None:
    taken = world.order()["purchase_units"][0]["payments"]["captures"][0]["id"]
    back = {"amount": cases.money("1.00")}
    ids = {json.loads(world.send("POST", f"/v2/payments/captures/{taken}/refund", back).body)["id"] for _ in range(2)}
    assert len(ids) == 2


def test_what_was_refused_is_tried_anew(world: World) -> None:
    mocked = {"paypal_mock_response": '{"mock_application_codes":"INSTRUMENT_DECLINED"}', "paypal_request_id": "k1"}
    body = {"intent": "CAPTURE", "purchase_units": [{"amount": cases.money("20.00")}], "payment_source": {"card": {"vault_id": "tok_visa"}}}
    assert world.send("POST", "/v2/checkout/orders", body, **mocked).status == 422  # type: ignore[arg-type]
    assert world.order()["status"] == "COMPLETED"


@pytest.mark.parametrize("how", list(Malformed))
def test_malformed_answers_are_of_what_was_done(world: World, how: Malformed) -> None:
    body = {"intent": "CAPTURE", "purchase_units": [{"amount": cases.money("20.00")}], "payment_source": {"card": {"vault_id": "tok_visa"}}}
    answer = world.send("POST", "/v2/checkout/orders", body, paypal_request_id="m", verdict=Verdict(after=After.MALFORMED, malformed=how))
    assert answer.status == 201
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        json.loads(answer.body)
    assert [entry.type.value for entry in world.ledger.entries()] == ["authorized", "captured"]


# --- kinds, and the page ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v2/checkout/orders", RequestKind.AUTHORIZE),
        ("POST", "/v2/checkout/orders/X/capture", RequestKind.AUTHORIZE),
        ("POST", "/v2/payments/authorizations/X/capture", RequestKind.CAPTURE),
        ("POST", "/v2/payments/authorizations/X/void", RequestKind.VOID),
        ("POST", "/v2/payments/captures/X/refund", RequestKind.REFUND),
        ("GET", "/v2/checkout/orders/X?fields=payment_source", RequestKind.INQUIRE),
        ("GET", "/v2/payments/refunds/X", RequestKind.INQUIRE),
        ("POST", "/v1/oauth2/token", RequestKind.OTHER),
        ("GET", "/checkoutnow?token=X", RequestKind.OTHER),
        ("DELETE", "/v2/checkout/orders/X", RequestKind.OTHER),
    ],
)
def test_what_a_request_is_to_the_fault_engine(world: World, method: str, path: str, kind: RequestKind) -> None:
    assert world.dialect.kind(HttpRequest(method=method, path=path, headers=(), body=b"")) is kind


def test_the_shoppers_page_is_over_once_it_is_answered(world: World) -> None:
    body = {"intent": "CAPTURE", "purchase_units": [{"amount": cases.money("20.00")}]}
    order = json.loads(world.send("POST", "/v2/checkout/orders", body).body)
    assert (order["status"], order["links"][1]["rel"]) == ("CREATED", "approve")
    path = order["links"][1]["href"].removeprefix("http://127.0.0.1:4003")
    assert b"20.00 EUR" in world.send("GET", path).body
    assert world.send("POST", path, b"nothing").status == 400
    assert world.send("POST", path, b"outcome=approve").status == 200
    assert world.send("POST", path, b"outcome=approve").status == 404
    assert world.send("GET", "/checkoutnow?token=NONE").status == 404
    done = json.loads(world.send("POST", f"/v2/checkout/orders/{order['id']}/capture", {}).body)
    assert done["purchase_units"][0]["payments"]["captures"][0]["status"] == "COMPLETED"


# --- the dashboard ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deed", "amount", "intent", "words"),
    [
        (Deed.CAPTURE, None, "CAPTURE", "Nothing is held"),
        (Deed.CANCEL, None, "CAPTURE", "Nothing is held"),
        (Deed.EXPIRE, None, "CAPTURE", "Nothing is held"),
        (Deed.REFUND, None, "AUTHORIZE", "Nothing was taken"),
        (Deed.REFUND, 5000, "CAPTURE", "REFUND_AMOUNT_EXCEEDED"),
        (Deed.CAPTURE, 5000, "AUTHORIZE", "MAX_CAPTURE_AMOUNT_EXCEEDED"),
        (Deed.DISPUTE, 5000, "CAPTURE", "take back 2000"),
        (Deed.DISPUTE, None, "AUTHORIZE", "Nothing was taken"),
        (Deed.WIN_DISPUTE, None, "CAPTURE", "no open dispute"),
        (Deed.LOSE_DISPUTE, None, "CAPTURE", "no open dispute"),
    ],
)
def test_what_cannot_be_done_in_the_dashboard(world: World, deed: Deed, amount: int | None, intent: str, words: str) -> None:
    payment = world.ledger.payment(world.order(intent=intent)["id"])
    assert payment is not None
    with pytest.raises(NotPossible, match=words):
        world.dialect.by_hand(world.ledger, payment, deed, world.now, amount=amount)


def test_what_is_disputed_cannot_be_refunded(world: World) -> None:
    order = world.order()
    payment = world.ledger.payment(order["id"])
    assert payment is not None
    world.dialect.by_hand(world.ledger, payment, Deed.INQUIRY, world.now, amount=1500)
    with pytest.raises(NotPossible, match="cannot be lost"):
        world.dialect.by_hand(world.ledger, payment, Deed.LOSE_DISPUTE, world.now)
    with pytest.raises(NotPossible, match="so is the dispute"):
        world.dialect.by_hand(world.ledger, payment, Deed.DISPUTE, world.now, amount=5)
    world.dialect.by_hand(world.ledger, payment, Deed.DISPUTE, world.now)
    taken = order["purchase_units"][0]["payments"]["captures"][0]["id"]
    refused = world.send("POST", f"/v2/payments/captures/{taken}/refund", {"amount": cases.money("6.00")})
    assert json.loads(refused.body)["details"][0]["issue"] == "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK"
    assert world.send("POST", f"/v2/payments/captures/{taken}/refund", {"amount": cases.money("5.00")}).status == 201
    world.now += timedelta(days=11)
    told = world.dialect.due(world.ledger, world.now)
    assert [one.type for one in told] == ["CUSTOMER.DISPUTE.RESOLVED"]
    assert json.loads(told[0].body)["resource"]["dispute_outcome"]["outcome_code"] == "RESOLVED_BUYER_FAVOUR"


# --- any request --------------------------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(["CAPTURE", "AUTHORIZE", "tok_visa", "tok_3ds", "EUR", "JPY", "1.00", "19.99", "-1", "", "MERCHANT", "SCA_ALWAYS"])
NAMES = """
    intent purchase_units amount currency_code value custom_id invoice_id payment_source card paypal vault_id attributes verification
    method stored_credential payment_initiator experience_context return_url cancel_url final_capture note_to_payer webhook_event id
"""
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5)),
    max_leaves=20,
)
BODIES = st.one_of(st.binary(max_size=30), TREES.map(lambda tree: json.dumps(tree).encode()))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 11), BODIES, st.sampled_from(["k1", "k2", ""])), max_size=6))
def test_no_request_makes_it_raise_or_takes_money_that_is_not_there(requests: list[tuple[int, bytes, str]]) -> None:
    world = World()
    held = world.order(intent="AUTHORIZE", key="a")
    paid = world.order(intent="CAPTURE", key="b")
    order, authorization = held["id"], held["purchase_units"][0]["payments"]["authorizations"][0]["id"]
    capture = paid["purchase_units"][0]["payments"]["captures"][0]["id"]
    places = [
        "/v2/checkout/orders", f"/v2/checkout/orders/{order}/capture", f"/v2/checkout/orders/{order}/authorize",
        f"/v2/payments/authorizations/{authorization}/capture", f"/v2/payments/authorizations/{authorization}/void",
        f"/v2/payments/captures/{capture}/refund", "/v1/notifications/verify-webhook-signature", "/v1/oauth2/token",
        f"/checkoutnow?token={order}", "/v2/%00/..", f"/v2/payments/captures/{order}/refund", f"/v2/payments/authorizations/{capture}/void",
    ]  # fmt: skip
    for place, body, key in requests:
        answer = world.send("POST", places[place], body, paypal_request_id=key)
        assert answer.status < 500
        world.now += timedelta(seconds=1)
    for one in world.ledger.payments(limit=20).items:
        assert 0 <= one.refunded <= one.captured <= one.authorized <= one.amount
    world.ledger.close()
