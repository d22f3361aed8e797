"""What is stored before it is sent, and what goes on the wire: exact bytes, as PayPal's OpenAPI documents have them."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import HttpResponse, NotSupported
from connectors.paypal import connector
from connectors.paypal.requests import is_automatic, target
from payorch.domain.capability import Lookup
from payorch.domain.intent import CaptureMode, Initiator, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.payment import OperationState
from payorch.domain.records import OperationKind, PreparedCall
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal.published import check, needs_published

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
WAYS_BACK = (
    '"return_url":"https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b",'
    '"cancel_url":"https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b&shopper=gave_up"'
)
UNIT = (
    f'"purchase_units":[{{"reference_id":"{cases.PAYMENT_ID}","amount":{{"currency_code":"EUR","value":"19.99"}},'
    f'"custom_id":"{cases.ATTEMPT_ID}","invoice_id":"{cases.ATTEMPT_ID}"}}]'
)


# --- orders -------------------------------------------------------------------------------------------------------------------------------


def test_a_saved_card_byte_for_byte() -> None:
    call = connector.authorize(cases.order())
    body = f'{{"intent":"AUTHORIZE",{UNIT},"payment_source":{{"card":{{"vault_id":"tok_visa","experience_context":{{{WAYS_BACK}}}}}}}}}'
    assert call == PreparedCall(method="POST", path="/v2/checkout/orders", content_type="application/json", body=body)


def test_the_wallet_byte_for_byte() -> None:
    call = connector.authorize(cases.order(method=cases.WALLET, capture=CaptureMode.AUTOMATIC))
    context = f'"user_action":"PAY_NOW","shipping_preference":"NO_SHIPPING",{WAYS_BACK}'
    body = f'{{"intent":"CAPTURE",{UNIT},"payment_source":{{"paypal":{{"experience_context":{{{context}}}}}}}}}'
    assert call.body == body


def test_a_payment_without_the_shopper() -> None:
    call = connector.authorize(cases.order(initiator=Initiator.MERCHANT, connector_options={"paypal": {"payment_type": "RECURRING"}}))
    card = json.loads(call.body)["payment_source"]["card"]
    assert card == {
        "vault_id": "tok_visa",
        "stored_credential": {"payment_initiator": "MERCHANT", "payment_type": "RECURRING", "usage": "SUBSEQUENT"},
    }


@pytest.mark.parametrize(
    ("options", "step_up", "method"),
    [
        ({}, False, None),
        ({}, True, "SCA_ALWAYS"),
        ({"verification": "3D_SECURE"}, False, "3D_SECURE"),
        ({"verification": "SCA_WHEN_REQUIRED"}, True, "SCA_ALWAYS"),
    ],
)
def test_when_the_holder_is_asked(options: dict[str, object], step_up: bool, method: str | None) -> None:
    card = json.loads(connector.authorize(cases.order(step_up=step_up, connector_options={"paypal": options})).body)["payment_source"][
        "card"
    ]
    assert card.get("attributes") == (None if method is None else {"verification": {"method": method}})


def test_options_of_the_wallet_and_of_the_statement() -> None:
    options = {"brand_name": "Shop", "locale": "de-DE", "landing_page": "LOGIN", "user_action": "CONTINUE", "soft_descriptor": "SHOP*1"}
    body = json.loads(connector.authorize(cases.order(method=cases.WALLET, connector_options={"paypal": options})).body)
    context = body["payment_source"]["paypal"]["experience_context"]
    assert {name: context[name] for name in ("brand_name", "locale", "landing_page", "user_action", "shipping_preference")} == {
        "brand_name": "Shop",
        "locale": "de-DE",
        "landing_page": "LOGIN",
        "user_action": "CONTINUE",
        "shipping_preference": "NO_SHIPPING",
    }
    assert body["purchase_units"][0]["soft_descriptor"] == "SHOP*1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": PaymentMethod(type="card")}, "saved one"),
        ({"method": PaymentMethod(type="card", token="../orders")}, "saved one"),
        ({"method": PaymentMethod(type="card", tokens={"stripe": "pm_1"})}, "saved one"),
        ({"method": PaymentMethod(type="ideal")}, "only saved cards and the wallet"),
        ({"method": None}, "only saved cards and the wallet"),
        ({"method": PaymentMethod(type="paypal", token="tok_visa")}, "takes no token"),
        ({"method": cases.WALLET, "initiator": Initiator.MERCHANT}, "by the shopper himself"),
        ({"amount": Money(150050, "HUF")}, "steps this small"),
        ({"amount": Money(100, "KRW")}, "not one of the currencies"),
        ({"connector_options": {"paypal": {"verification": "MAYBE"}}}, "verification is one of"),
        ({"connector_options": {"paypal": {"soft_descriptor": "\ud800"}}}, "soft_descriptor is"),
    ],
)
def test_what_paypal_cannot_be_asked_is_not_sent(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NotSupported, match=words):
        connector.authorize(cases.order(**changes))


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({}, 0),
        ({"verification": "SCA_ALWAYS", "locale": "zh-Hant-TW", "user_action": "PAY_NOW", "payment_type": "ONE_TIME"}, 0),
        ({"verification": 5}, 1),
        ({"locale": "german"}, 1),
        ({"brand_name": "a\nb"}, 1),
        ({"soft_descriptor": "x" * 23}, 1),
        ({"nonsense": True, "landing_page": "HOME"}, 2),
    ],
)
def test_options_are_checked_in_words(options: dict[str, object], problems: int) -> None:
    told = connector.check_options(options)
    assert len(told) == problems
    assert not [one for one in told if any(str(value) in one for value in options.values())]


# --- completions --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("automatic", "deed"), [(False, "authorize"), (True, "capture")])
def test_an_approved_order_is_finished(automatic: bool, deed: str) -> None:
    call = connector.complete(cases.completion(automatic=automatic, returned={"token": cases.ORDER_ID, "PayerID": "QYR5Z8XDVJNXQ"}))
    assert call == PreparedCall(
        method="POST", path=f"/v2/checkout/orders/{cases.ORDER_ID}/{deed}", content_type="application/json", body="{}"
    )
    assert is_automatic(call) is automatic
    assert connector.complete(cases.completion(automatic=automatic)) == call


def test_whoever_gave_up_or_stands_before_his_bank_is_asked_about_first() -> None:
    back = parse_qs(
        urlsplit(
            json.loads(connector.authorize(cases.order(method=cases.WALLET)).body)["payment_source"]["paypal"]["experience_context"][
                "cancel_url"
            ]
        ).query
    )
    returned = {name: values[0] for name, values in back.items()}
    assert connector.complete(cases.completion(returned=returned)) is None
    assert connector.complete(cases.completion(method=cases.CARD, returned={"token": cases.ORDER_ID})) is None
    assert connector.complete(cases.completion(method=cases.CARD)) is not None


def test_what_the_browser_says_changes_no_path() -> None:
    for token in ("ANOTHERORDER00000", "../../x", ""):
        call = connector.complete(cases.completion(returned={"token": token, "PayerID": "x"}))
        assert call is not None
        assert target(call) == cases.ORDER_ID


# --- operations ---------------------------------------------------------------------------------------------------------------------------


def test_operations_byte_for_byte() -> None:
    taken = cases.operation(CAPTURE, minor=700, final=False)
    assert cases.call_of(taken) == PreparedCall(
        method="POST",
        path=f"/v2/payments/authorizations/{cases.AUTHORIZATION_ID}/capture",
        content_type="application/json",
        body=f'{{"amount":{{"currency_code":"EUR","value":"7.00"}},"invoice_id":"{taken.id}","final_capture":false}}',
    )
    assert cases.call_of(cases.operation(VOID)) == PreparedCall(
        method="POST", path=f"/v2/payments/authorizations/{cases.AUTHORIZATION_ID}/void", content_type="application/json", body="{}"
    )
    back = cases.operation(REFUND, minor=300)
    body = f'{{"amount":{{"currency_code":"EUR","value":"3.00"}},"custom_id":"{back.id}","invoice_id":"{back.id}"}}'
    assert cases.call_of(back).path == f"/v2/payments/captures/{cases.CAPTURE_ID}/refund"
    assert cases.call_of(back).body == body
    of = cases.operation(CAPTURE, reference="7TK53561YB803214S", state=OperationState.SUCCEEDED)
    assert connector.refund(cases.operation_order(back, of=cases.attempt(), capture=of)) == PreparedCall(
        method="POST", path="/v2/payments/captures/7TK53561YB803214S/refund", content_type="application/json", body=body
    )


def test_an_attempt_that_was_completed_tells_its_kind_by_that_call() -> None:
    finished = connector.complete(cases.completion(automatic=True))
    assert finished is not None
    back = cases.operation(REFUND)
    paid = cases.attempt(call=finished, money_reference=cases.CAPTURE_ID)
    assert target(connector.refund(cases.operation_order(back, of=paid))) == cases.CAPTURE_ID
    held = connector.complete(cases.completion())
    assert held is not None
    assert target(connector.void(cases.operation_order(cases.operation(VOID), of=cases.attempt(call=held)))) == cases.AUTHORIZATION_ID


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
@pytest.mark.parametrize("reference", [None, "", "../x", "A" * 40, "a b"])
def test_without_an_id_that_can_stand_in_a_path_nothing_is_built(kind: OperationKind, reference: str | None) -> None:
    of = cases.attempt(automatic=kind is REFUND, money_reference=reference)
    with pytest.raises(NotSupported):
        cases.call_of(cases.operation(kind), of=of)


def test_a_refund_of_a_hold_names_no_capture() -> None:
    with pytest.raises(NotSupported, match="one capture"):
        connector.refund(cases.operation_order(cases.operation(REFUND), of=cases.attempt()))


def test_a_hold_that_was_never_one_is_neither_captured_nor_voided() -> None:
    for kind in (CAPTURE, VOID):
        with pytest.raises(NotSupported, match="nothing is held"):
            cases.call_of(cases.operation(kind), of=cases.attempt(automatic=True))


# --- inquiries ----------------------------------------------------------------------------------------------------------------------------


def test_what_is_asked_where() -> None:
    attempt = cases.attempt()
    order = PreparedCall(method="GET", path=f"/v2/checkout/orders/{cases.ORDER_ID}")
    assert connector.inquire(attempt, attempt) == order
    for kind in (CAPTURE, VOID, REFUND):
        assert connector.inquire(cases.operation(kind), attempt) == order
    assert connector.inquire(cases.operation(CAPTURE, reference="C1"), attempt) == PreparedCall(
        method="GET", path="/v2/payments/captures/C1"
    )
    assert connector.inquire(cases.operation(REFUND, reference="R1"), attempt) == PreparedCall(method="GET", path="/v2/payments/refunds/R1")
    assert connector.inquire(cases.operation(VOID, reference=cases.AUTHORIZATION_ID), attempt) == order
    unknown = cases.attempt(reference=None)
    assert connector.inquire(unknown, unknown) is None
    assert connector.inquire(cases.operation(CAPTURE), unknown) is None
    assert connector.manifest.lookup is Lookup.EVENTUAL
    assert connector.fence(unknown) is None


# --- on the wire --------------------------------------------------------------------------------------------------------------------------


def test_headers() -> None:
    call = connector.authorize(cases.order())
    sent = connector.request(call, psp_key="att_1", credentials={"access_token": "A21AAtoken", "api_key": "PLANTED"})
    assert (sent.method, sent.path, sent.body) == ("POST", call.path, call.body.encode())
    assert dict(sent.headers) == {
        "authorization": "Bearer A21AAtoken",
        "user-agent": "payorch",
        "accept": "application/json",
        "content-type": "application/json",
        "prefer": "return=representation",
        "paypal-request-id": "att_1",
    }
    assert "A21AA" not in repr(sent)
    asked = connector.inquire(cases.attempt(), cases.attempt())
    assert asked is not None
    read = dict(connector.request(asked, psp_key="att_1", credentials={"access_token": "A21AAtoken"}).headers)
    assert set(read) == {"authorization", "user-agent", "accept"}


@pytest.mark.parametrize(
    ("key", "token"), [("k" * 109, "A21AA"), ("a b", "A21AA"), ("k\r\nx: y", "A21AA"), ("k", ""), ("k", "PLANTED\r\nx: y")]
)
def test_what_cannot_stand_in_a_header_is_not_sent(key: str, token: str) -> None:
    with pytest.raises(NotSupported) as refused:
        connector.request(connector.authorize(cases.order()), psp_key=key, credentials={"access_token": token})
    assert "PLANTED" not in str(refused.value)


def test_signing_in() -> None:
    sent = connector.sign_in({"account": "client", "api_key": "secret"})
    assert sent is not None
    assert (sent.method, sent.path, sent.body) == ("POST", "/v1/oauth2/token", b"grant_type=client_credentials")
    headers = dict(sent.headers)
    assert headers["authorization"] == f"Basic {base64.b64encode(b'client:secret').decode()}"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    for wrong in ({}, {"account": "client"}, {"account": "a:b", "api_key": "c"}, {"account": "cli ent", "api_key": "PLANTED"}):
        with pytest.raises(NotSupported) as refused:
            connector.sign_in(wrong)
        assert "PLANTED" not in str(refused.value)


TOKEN = {"access_token": "A21AAabc", "token_type": "Bearer", "expires_in": 32400}


def answered(body: object, status: int = 200) -> HttpResponse:
    return cases.response(status, body)


def test_a_token_and_its_end() -> None:
    token = connector.signed_in(answered(TOKEN), at=cases.NOW)
    assert token is not None
    assert (token.value, token.expires_at) == ("A21AAabc", cases.NOW + timedelta(hours=9))
    assert "A21AA" not in repr(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None}, {"access_token": ""}, {"access_token": "a b"}, {"access_token": 5}, {"access_token": "x" * 5000},
        {"token_type": "Basic"}, {"token_type": None}, {"expires_in": 0}, {"expires_in": -5}, {"expires_in": "32400"}, {"expires_in": True},
        {"expires_in": None},
    ],
)  # fmt: skip
def test_what_is_no_token_is_none(changes: dict[str, object]) -> None:
    assert connector.signed_in(answered(TOKEN | changes), at=cases.NOW) is None


def test_only_a_success_lends_a_token() -> None:
    assert connector.signed_in(answered(TOKEN, 201), at=cases.NOW) is None
    assert connector.signed_in(answered(TOKEN, 401), at=cases.NOW) is None
    far = connector.signed_in(answered(TOKEN | {"expires_in": 10**15}), at=cases.NOW)
    assert far is not None
    assert far.expires_at <= cases.NOW + timedelta(days=7)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(body: bytes) -> None:
    assert connector.signed_in(answered(body), at=cases.NOW) is None


# --- as published -------------------------------------------------------------------------------------------------------------------------


@needs_published
@pytest.mark.parametrize("capture", list(CaptureMode))
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"method": cases.WALLET}, {"initiator": Initiator.MERCHANT}, {"amount": Money(100, "JPY")},
        {"connector_options": {"paypal": {"verification": "SCA_ALWAYS", "soft_descriptor": "SHOP"}}},
        {"method": cases.WALLET, "connector_options": {"paypal": {"brand_name": "S", "locale": "de-DE", "landing_page": "NO_PREFERENCE"}}},
    ],
)  # fmt: skip
def test_orders_are_as_published(changes: dict[str, Any], capture: CaptureMode) -> None:
    call = connector.authorize(cases.order(capture=capture, **changes))
    check("checkout_orders_v2", "order_request", json.loads(call.body), sent=True)


@needs_published
def test_operations_are_as_published() -> None:
    check("payments_payment_v2", "capture_request", json.loads(cases.call_of(cases.operation(CAPTURE)).body), sent=True)
    check("payments_payment_v2", "refund_request", json.loads(cases.call_of(cases.operation(REFUND)).body), sent=True)
    for automatic, kind in ((False, "order_authorize_request"), (True, "order_capture_request")):
        call = connector.complete(cases.completion(automatic=automatic))
        assert call is not None
        check("checkout_orders_v2", kind, json.loads(call.body), sent=True)


@needs_published
def test_the_check_would_notice() -> None:
    with pytest.raises(AssertionError, match="intent"):
        check("checkout_orders_v2", "order_request", {"purchase_units": []}, sent=True)
    with pytest.raises(AssertionError, match="does not match"):
        check("payments_payment_v2", "capture_request", {"amount": {"currency_code": "EUR", "value": "1,00"}}, sent=True)
