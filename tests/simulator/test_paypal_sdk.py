"""PayPal's official SDK, pointed at the simulator over real HTTP: what it sends is understood, what it gets it believes.

Every operation that the simulator has, the SDK's own sign-in, and the exception that each kind of refusal is to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.exceptions.api_exception import ApiException
from paypalserversdk.exceptions.error_exception import ErrorException
from paypalserversdk.exceptions.o_auth_provider_exception import OAuthProviderException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.capture_request import CaptureRequest
from paypalserversdk.models.card_experience_context import CardExperienceContext
from paypalserversdk.models.card_request import CardRequest
from paypalserversdk.models.money import Money
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.payment_source import PaymentSource
from paypalserversdk.models.paypal_wallet import PaypalWallet
from paypalserversdk.models.paypal_wallet_experience_context import PaypalWalletExperienceContext
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

from tests.simulator.conftest import Server as Simulators

WHOLE = "return=representation"


def client_of(server: Simulators, client_id: str = "test_sdk", **more: Any) -> Any:
    """A client of the SDK for the simulator; Any, for the SDK has no types."""

    class Local(Configuration):  # type: ignore[misc]
        environments = {Environment.SANDBOX: {Server.DEFAULT: server.urls["paypal"]}}  # noqa: RUF012

    credentials = ClientCredentialsAuthCredentials(o_auth_client_id=client_id, o_auth_client_secret="secret")
    return PaypalServersdkClient(config=Local(client_credentials_auth_credentials=credentials, **more))


@pytest.fixture(scope="module")
def client(server: Simulators) -> Any:
    return client_of(server)


def call(server: Simulators, method: str, path: str, body: Any = None) -> Any:
    """One of the simulator's own endpoints."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server.control + path, data, {"content-type": "application/json"}, method=method)
    with urlopen(request) as response:
        return json.load(response)


@pytest.fixture
def fault(server: Simulators) -> Iterator[Any]:
    """Sets a fault, lifted after the test."""
    yield lambda **asked: call(server, "POST", "/paypal/_faults", asked)
    call(server, "DELETE", "/paypal/_faults")


def order(key: str, source: Any, *, intent: str = "AUTHORIZE", value: str = "19.99", currency: str = "EUR", **more: Any) -> Any:
    """The parameters of an order of 19.99 euro."""
    unit = PurchaseUnitRequest(amount=AmountWithBreakdown(currency_code=currency, value=value), custom_id=key, invoice_id=key)
    body = OrderRequest(intent=intent, purchase_units=[unit], payment_source=source)
    return {"body": body, "paypal_request_id": key, "prefer": WHOLE, **more}


def card(token: str = "tok_visa") -> Any:
    context = CardExperienceContext(return_url="https://shop.test/back", cancel_url="https://shop.test/gone")
    return PaymentSource(card=CardRequest(vault_id=token, experience_context=context))


def wallet() -> Any:
    context = PaypalWalletExperienceContext(return_url="https://shop.test/back", cancel_url="https://shop.test/gone")
    return PaymentSource(paypal=PaypalWallet(experience_context=context))


def money(value: str) -> Any:
    return Money(currency_code="EUR", value=value)


def issue_of(caught: pytest.ExceptionInfo[Any]) -> tuple[int, str]:
    return caught.value.response_code, caught.value.details[0].issue


def test_a_payments_life(client: Any, server: Simulators) -> None:
    since = len(call(server, "GET", "/paypal/_ledger")["entries"])
    made = client.orders.create_order(order("life", card()))
    assert (made.status_code, made.body.status, made.body.intent) == (201, "COMPLETED", "AUTHORIZE")
    held = made.body.purchase_units[0].payments.authorizations[0]
    assert (held.status, held.amount.value, held.custom_id) == ("CREATED", "19.99", "life")
    shown = client.payments.get_authorized_payment({"authorization_id": held.id}).body
    assert (shown.status, shown.supplementary_data.related_ids.order_id) == ("CREATED", made.body.id)
    asked = {"authorization_id": held.id, "paypal_request_id": "life-1", "prefer": WHOLE}
    part = CaptureRequest(amount=money("15.00"), final_capture=True, invoice_id="cap_life")
    taken = client.payments.capture_authorized_payment({**asked, "body": part}).body
    assert (taken.status, taken.amount.value, taken.final_capture, taken.invoice_id) == ("COMPLETED", "15.00", True, "cap_life")
    assert client.payments.get_captured_payment({"capture_id": taken.id}).body.status == "COMPLETED"
    back = client.payments.refund_captured_payment(
        {
            "capture_id": taken.id,
            "paypal_request_id": "life-2",
            "prefer": WHOLE,
            "body": RefundRequest(amount=money("5.00"), custom_id="ref_life"),
        }
    ).body
    assert (back.status, back.amount.value, back.custom_id) == ("COMPLETED", "5.00", "ref_life")
    assert client.payments.get_refund({"refund_id": back.id}).body.status == "COMPLETED"
    assert client.payments.get_captured_payment({"capture_id": taken.id}).body.status == "PARTIALLY_REFUNDED"
    whole = client.orders.get_order({"id": made.body.id}).body.purchase_units[0].payments
    assert [len(made) for made in (whole.authorizations, whole.captures, whole.refunds)] == [1, 1, 1]
    books = call(server, "GET", f"/paypal/_ledger?since={since}")
    assert [(it["type"], it["amount"], it["our_reference"]) for it in books["entries"]] == [
        ("authorized", 1999, "life"),
        ("captured", 1500, "life"),
        ("released", 499, "life"),
        ("refunded", 500, "life"),
    ]


def test_voiding(client: Any) -> None:
    held = client.orders.create_order(order("void", card("tok_mastercard"))).body.purchase_units[0].payments.authorizations[0]
    gone = client.payments.void_payment({"authorization_id": held.id, "prefer": WHOLE, "paypal_request_id": "void-1"})
    assert (gone.status_code, gone.body.status) == (200, "VOIDED")
    with pytest.raises(ErrorException) as again:
        client.payments.void_payment({"authorization_id": held.id})
    assert issue_of(again) == (422, "PREVIOUSLY_VOIDED")
    with pytest.raises(ErrorException) as late:
        client.payments.capture_authorized_payment({"authorization_id": held.id})
    assert issue_of(late) == (422, "AUTHORIZATION_VOIDED")


def test_a_wallets_life(client: Any, server: Simulators) -> None:
    made = client.orders.create_order(order("wallet", wallet(), intent="CAPTURE")).body
    assert made.status == "PAYER_ACTION_REQUIRED"
    url = next(link.href for link in made.links if link.rel == "payer-action")
    with pytest.raises(ErrorException) as early:
        client.orders.capture_order({"id": made.id, "paypal_request_id": "wallet-1"})
    assert issue_of(early) == (422, "ORDER_NOT_APPROVED")
    with urlopen(url) as page:
        assert b'value="approve"' in page.read()
    with pytest.raises(HTTPError) as sent_back:
        build_opener(_NoRedirect).open(url, urlencode({"outcome": "approve"}).encode())
    assert sent_back.value.code == 303
    assert sent_back.value.headers["location"] == f"https://shop.test/back?token={made.id}&PayerID=QYR5Z8XDVJNXQ"
    sent_back.value.close()
    assert client.orders.get_order({"id": made.id}).body.status == "APPROVED"
    with pytest.raises(ErrorException) as other:
        client.orders.authorize_order({"id": made.id})
    assert issue_of(other) == (422, "ACTION_DOES_NOT_MATCH_INTENT")
    taken = client.orders.capture_order({"id": made.id, "paypal_request_id": "wallet-1", "prefer": WHOLE}).body
    assert (taken.status, taken.purchase_units[0].payments.captures[0].status) == ("COMPLETED", "COMPLETED")
    with pytest.raises(ErrorException) as twice:
        client.orders.capture_order({"id": made.id, "paypal_request_id": "wallet-2"})
    assert issue_of(twice) == (422, "ORDER_ALREADY_CAPTURED")


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def test_an_approved_order_is_authorised(client: Any) -> None:
    made = client.orders.create_order(order("3ds", card("tok_3ds"))).body
    url = next(link.href for link in made.links if link.rel == "payer-action")
    with pytest.raises(HTTPError) as sent_back:
        build_opener(_NoRedirect).open(url, urlencode({"outcome": "approve"}).encode())
    sent_back.value.close()
    shown = client.orders.get_order({"id": made.id}).body
    assert shown.payment_source.card.authentication_result.liability_shift == "POSSIBLE"
    done = client.orders.authorize_order({"id": made.id, "paypal_request_id": "3ds-1", "prefer": WHOLE}).body
    assert done.purchase_units[0].payments.authorizations[0].status == "CREATED"


def test_minimal_answers_are_minimal(client: Any) -> None:
    made = client.orders.create_order(order("minimal", card(), prefer="return=minimal")).body
    assert (made.status, hasattr(made, "purchase_units")) == ("COMPLETED", False)
    held = client.orders.get_order({"id": made.id}).body.purchase_units[0].payments.authorizations[0]
    assert client.payments.void_payment({"authorization_id": held.id}).status_code == 204


def test_a_decline_is_an_answer_and_no_error(client: Any) -> None:
    made = client.orders.create_order(order("declined", card("tok_insufficient_funds"), intent="CAPTURE"))
    assert (made.status_code, made.body.status) == (201, "COMPLETED")
    taken = made.body.purchase_units[0].payments.captures[0]
    assert (taken.status, taken.processor_response.response_code, taken.processor_response.payment_advice_code) == (
        "DECLINED",
        "5120",
        "02",
    )


def test_refusals_are_the_right_exceptions(client: Any, server: Simulators) -> None:
    with pytest.raises(ErrorException) as decimals:
        client.orders.create_order(order("yen", card(), value="100.00", currency="JPY"))
    assert issue_of(decimals) == (422, "DECIMALS_NOT_SUPPORTED")
    with pytest.raises(ErrorException) as keyless:
        client.orders.create_order({**order("keyless", card()), "paypal_request_id": None})
    assert issue_of(keyless) == (400, "PAYPAL_REQUEST_ID_REQUIRED")
    with pytest.raises(ErrorException) as absent:
        client.orders.get_order({"id": "5O190127TN364715T"})
    assert (issue_of(absent), absent.value.name) == ((404, "INVALID_RESOURCE_ID"), "RESOURCE_NOT_FOUND")
    with pytest.raises(OAuthProviderException) as stranger:
        client_of(server, "live_client").oauth_2.fetch_token()
    assert (stranger.value.response_code, stranger.value.error) == (401, "invalid_client")
    client.orders.create_order(order("paid once", card()))
    with pytest.raises(ErrorException) as twice:
        client.orders.create_order({**order("paid once", card()), "paypal_request_id": "another"})
    assert issue_of(twice) == (422, "DUPLICATE_INVOICE_ID")
    taken = client.orders.create_order(order("small", card(), intent="CAPTURE")).body.purchase_units[0].payments.captures[0]
    with pytest.raises(ErrorException) as too_much:
        client.payments.refund_captured_payment({"capture_id": taken.id, "body": RefundRequest(amount=money("20.00"))})
    assert issue_of(too_much) == (422, "REFUND_AMOUNT_EXCEEDED")
    client.payments.refund_captured_payment({"capture_id": taken.id})
    with pytest.raises(ErrorException) as nothing_left:
        client.payments.refund_captured_payment({"capture_id": taken.id})
    assert issue_of(nothing_left) == (422, "CAPTURE_FULLY_REFUNDED")


def test_the_sandboxs_negative_testing_header(client: Any) -> None:
    mocked = order("mocked", card(), paypal_mock_response='{"mock_application_codes":"INSTRUMENT_DECLINED"}')
    with pytest.raises(ErrorException) as caught:
        client.orders.create_order(mocked)
    assert issue_of(caught) == (422, "INSTRUMENT_DECLINED")
    assert client.orders.create_order(order("mocked", card())).body.status == "COMPLETED"
    broken = order("broken", card(), paypal_mock_response='{"mock_application_codes":"INTERNAL_SERVER_ERROR"}')
    with pytest.raises(ApiException) as failed:
        client.orders.create_order(broken)
    assert failed.value.response_code == 500


def test_a_repeat_makes_nothing_and_shows_the_latest_status(client: Any) -> None:
    first = client.orders.create_order(order("again", card(), intent="CAPTURE"))
    taken = first.body.purchase_units[0].payments.captures[0]
    client.payments.refund_captured_payment({"capture_id": taken.id})
    again = client.orders.create_order(order("again", card(), intent="CAPTURE"))
    assert (first.status_code, again.status_code, again.body.id) == (201, 200, first.body.id)
    assert again.body.purchase_units[0].payments.captures[0].status == "REFUNDED"


def test_a_hundred_at_once_under_one_key_charge_once(client: Any, server: Simulators) -> None:
    asked = order("parallel", card(), intent="CAPTURE")
    client.orders.get_order  # noqa: B018  (the controller is made once, before the threads)
    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(lambda _: client.orders.create_order(asked).body.id, range(100)))
    assert len(ids) == 1
    entries = call(server, "GET", "/paypal/_ledger")["entries"]
    assert [it["type"] for it in entries if it["our_reference"] == "parallel"] == ["authorized", "captured"]


def test_faults_are_what_the_sdk_makes_of_them(client: Any, fault: Any) -> None:
    fault(fault="error_500", count=1)
    with pytest.raises(ApiException) as caught:
        client.orders.create_order(order("fault-1", card()))
    assert caught.value.response_code == 500
    fault(fault="rate_limit_429_retry_after", count=1, seconds=9)
    with pytest.raises(ErrorException) as limited:
        client.orders.create_order(order("fault-2", card()))
    assert (limited.value.response_code, limited.value.name) == (429, "RATE_LIMIT_REACHED")
    assert limited.value.response.headers["retry-after"] == "9"
    fault(fault="charge_then_500", count=1)
    with pytest.raises(ApiException):
        client.orders.create_order(order("fault-3", card(), intent="CAPTURE"))
    found = client.orders.create_order(order("fault-3", card(), intent="CAPTURE"))
    assert (found.status_code, found.body.purchase_units[0].payments.captures[0].status) == (200, "COMPLETED")
    fault(fault="wrong_amount", count=1)
    wrong = client.orders.create_order(order("fault-4", card(), intent="CAPTURE")).body
    assert wrong.purchase_units[0].payments.captures[0].amount.value == "20.99"


@pytest.mark.parametrize("scope", ["authorize", "capture", "void", "refund", "inquire"])
def test_a_fault_hits_the_operation_it_is_meant_for(client: Any, fault: Any, scope: str) -> None:
    made = [client.orders.create_order(order(f"{scope}-{number}", card())).body for number in range(2)]
    held = [one.purchase_units[0].payments.authorizations[0].id for one in made]
    paid = client.orders.create_order(order(f"{scope}-paid", card(), intent="CAPTURE")).body.purchase_units[0].payments.captures[0].id
    fault(fault="error_500", scope=scope)
    calls: dict[str, Any] = {
        "authorize": lambda: client.orders.create_order(order(f"{scope}-new", card())),
        "capture": lambda: client.payments.capture_authorized_payment({"authorization_id": held[0]}),
        "void": lambda: client.payments.void_payment({"authorization_id": held[1]}),
        "refund": lambda: client.payments.refund_captured_payment({"capture_id": paid}),
        "inquire": lambda: client.orders.get_order({"id": made[0].id}),
    }
    for kind, asked in calls.items():
        if kind == scope:
            with pytest.raises(ApiException):
                asked()
        else:
            asked()
