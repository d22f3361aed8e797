"""Adyen's own library, pointed at the simulator over real HTTP: what it sends is understood, what it gets it believes.

Every operation the simulator has, and every class of error the library knows. The library takes no base URL: its addresses are replaced at
its own seam, the HTTP client, and nothing else of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import Adyen  # type: ignore[import-untyped]
import pytest
import requests
from Adyen.exceptions import (  # type: ignore[import-untyped]
    AdyenAPIAuthenticationError,
    AdyenAPICommunicationError,
    AdyenAPIInvalidPermission,
    AdyenAPIResponseError,
    AdyenAPIUnprocessableEntity,
    AdyenAPIValidationError,
)

from tests.simulator.conftest import Server

ACCOUNT = "SdkTestECOM"
KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
ADDRESS = "https://checkout-test.adyen.com"


def client_of(server: Server, key: str = "AQEyhmfx-sdk", version: int = 71, **more: Any) -> Any:
    """The library's Checkout client, led to the simulator."""
    adyen = Adyen.Adyen(xapikey=key, platform="test", api_checkout_version=version, http_timeout=10, **more)
    _lead(adyen.checkout.payments_api.client, server)
    return adyen.checkout


def _lead(client: Any, server: Server) -> None:
    client._init_http_client()
    request = client.http_client.request

    def led(method: str, url: str, **arguments: Any) -> Any:
        return request(method, url.replace(ADDRESS, server.urls["adyen"]), **arguments)

    client.http_client.request = led


@pytest.fixture
def checkout(server: Server) -> Any:
    return client_of(server)


def order(reference: str = "sdk-1", **more: Any) -> dict[str, Any]:
    """A payment of 19.99 euro by a stored card, captured by the merchant."""
    basic = {
        "amount": {"currency": "EUR", "value": 1999},
        "merchantAccount": ACCOUNT,
        "paymentMethod": {"type": "scheme", "storedPaymentMethodId": "tok_visa"},
        "reference": reference,
        "returnUrl": "https://shop.test/back?order=1",
        "additionalData": {"manualCapture": "true"},
    }
    return basic | more


def card(token: str) -> dict[str, Any]:
    return {"paymentMethod": {"type": "scheme", "storedPaymentMethodId": token}}


def modification(reference: str, value: int | None = None, **more: Any) -> dict[str, Any]:
    amount = {} if value is None else {"amount": {"currency": "EUR", "value": value}}
    return {"merchantAccount": ACCOUNT, "reference": reference, **amount, **more}


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    """One of the simulator's own endpoints."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server.control + path, data, {"content-type": "application/json"}, method=method)
    with urlopen(request) as response:
        return json.load(response)


@pytest.fixture
def fault(server: Server) -> Iterator[Any]:
    """Sets a fault, lifted after the test."""
    yield lambda **asked: call(server, "POST", "/adyen/_faults", asked)
    call(server, "DELETE", "/adyen/_faults")


def entries(server: Server, reference: str) -> list[tuple[str, int, str | None]]:
    """What really happened under that reference: movement, amount, reference of the modification."""
    found: list[tuple[str, int, str | None]] = []
    since: int | None = 0
    while since is not None:
        page = call(server, "GET", f"/adyen/_ledger?since={since}")
        found += [(it["type"], it["amount"], it["operation_reference"]) for it in page["entries"] if it["our_reference"] == reference]
        since = page["next_since"]
    return found


def test_a_payments_life(checkout: Any, server: Server) -> None:
    paid = checkout.payments_api.payments(order("life"), idempotency_key="life-1")
    assert (paid.status_code, paid.message["resultCode"], paid.psp) == (200, "Authorised", paid.message["pspReference"])
    modifications = checkout.modifications_api
    captured = modifications.capture_authorised_payment(modification("c-1", 1500), paid.psp)
    assert (captured.status_code, captured.message["status"]) == (201, "received")
    assert captured.message["paymentPspReference"] == paid.psp
    assert captured.message["pspReference"] != paid.psp
    refunded = modifications.refund_captured_payment(modification("r-1", 500, merchantRefundReason="RETURN"), paid.psp)
    assert (refunded.message["status"], refunded.message["merchantRefundReason"]) == ("received", "RETURN")
    assert entries(server, "life") == [
        ("authorized", 1999, None),
        ("captured", 1500, "c-1"),
        ("released", 499, None),
        ("refunded", 500, "r-1"),
    ]


def test_cancels_and_reversals(checkout: Any, server: Server) -> None:
    modifications = checkout.modifications_api
    held = checkout.payments_api.payments(order("cancel")).psp
    assert modifications.cancel_authorised_payment_by_psp_reference(modification("v-1"), held).message["status"] == "received"
    assert entries(server, "cancel") == [("authorized", 1999, None), ("voided", 1999, None)]
    for reference, captures in (("reverse-1", False), ("reverse-2", True)):
        held = checkout.payments_api.payments(order(reference)).psp
        if captures:
            modifications.capture_authorised_payment(modification("c", 1999), held)
        assert modifications.refund_or_cancel_payment(modification("x"), held).status_code == 201
    assert [it[0] for it in entries(server, "reverse-1")] == ["authorized", "voided"]
    assert [it[0] for it in entries(server, "reverse-2")] == ["authorized", "captured", "refunded"]


def test_a_cancel_by_reference_reaches_what_was_and_what_will_be(checkout: Any, server: Server) -> None:
    fence = {"merchantAccount": ACCOUNT, "paymentReference": "fenced-1", "reference": "f-1"}
    checkout.payments_api.payments(order("fenced-1"))
    answer = checkout.modifications_api.cancel_authorised_payment(fence).message
    assert (answer["status"], answer["paymentReference"]) == ("received", "fenced-1")
    assert checkout.payments_api.payments(order("fenced-1")).message["resultCode"] == "Cancelled"
    never = fence | {"paymentReference": "fenced-2"}
    assert checkout.modifications_api.cancel_authorised_payment(never).status_code == 201
    assert checkout.payments_api.payments(order("fenced-2")).message["resultCode"] == "Cancelled"
    assert [it[0] for it in entries(server, "fenced-1") + entries(server, "fenced-2")] == ["authorized", "voided"]


def test_automatic_capture_is_the_accounts_default(checkout: Any, server: Server) -> None:
    checkout.payments_api.payments(order("automatic", additionalData={}))
    assert [it[0] for it in entries(server, "automatic")] == ["authorized", "captured"]


@pytest.mark.parametrize(
    ("method", "code", "reason"),
    [
        (card("tok_soft_decline"), "Refused", "2"),
        (card("tok_insufficient_funds"), "Refused", "12"),
        (card("tok_hard_decline"), "Refused", "5"),
        (card("tok_expired_card"), "Refused", "6"),
        (card("tok_fraud"), "Refused", "20"),
        (card("tok_mastercard"), "Authorised", None),
        (card("tok_pending"), "Pending", None),
        ({"paymentMethod": {"type": "scheme", "encryptedCardNumber": "test_4111111111111111"}}, "Authorised", None),
        (
            {"paymentMethod": {"type": "scheme", "encryptedCardNumber": "test_4111111145551142", "holderName": "CARD_EXPIRED"}},
            "Refused",
            "6",
        ),
        ({"paymentMethod": {"type": "scheme", "number": "5555341244441115", "holderName": "DECLINED : x"}}, "Refused", "2"),
    ],
)
def test_a_refusal_is_an_answer_and_no_error(checkout: Any, method: dict[str, Any], code: str, reason: str | None) -> None:
    answer = checkout.payments_api.payments(order(**method)).message
    assert (answer["resultCode"], answer.get("refusalReasonCode")) == (code, reason)


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def shop_with(url: str, outcome: str) -> str:
    """What a shopper brings back who does that on the page."""
    with urlopen(url) as page:
        assert b"Confirm your payment" in page.read()
    with pytest.raises(HTTPError) as answer:
        build_opener(_Stay).open(Request(url, urlencode({"outcome": outcome}).encode(), method="POST"))
    location = str(answer.value.headers["location"])
    answer.value.close()
    assert location.startswith("https://shop.test/back?order=1&redirectResult=")
    result: str = parse_qs(urlsplit(location).query)["redirectResult"][0]
    return result


@pytest.mark.parametrize(
    ("token", "outcome", "code", "reason"),
    [
        ("tok_3ds", "approve", "Authorised", None),
        ("tok_3ds", "fail", "Refused", "11"),
        ("tok_3ds", "cancel", "Cancelled", "16"),
        ("tok_3ds_fail", "approve", "Refused", "11"),
    ],
)
def test_the_shopper_and_the_details(checkout: Any, server: Server, token: str, outcome: str, code: str, reason: str | None) -> None:
    reference = f"3ds-{token}-{outcome}"
    first = checkout.payments_api.payments(order(reference, **card(token))).message
    assert (first["resultCode"], first["action"]["type"], first["action"]["method"]) == ("RedirectShopper", "redirect", "GET")
    result = shop_with(first["action"]["url"], outcome)
    assert entries(server, reference) == []  # nothing is authorised by the shopper alone
    details = {"details": {"redirectResult": result}}
    answer = checkout.payments_api.payments_details(details).message
    assert (answer["resultCode"], answer.get("refusalReasonCode")) == (code, reason)
    assert checkout.payments_api.payments_details(details).message == answer
    assert [it[0] for it in entries(server, reference)] == (["authorized"] if code == "Authorised" else [])
    with pytest.raises(AdyenAPIUnprocessableEntity):
        checkout.payments_api.payments_details({"details": {"redirectResult": result[:-1]}})


def test_asking_for_authentication(checkout: Any) -> None:
    always: dict[str, Any] = {
        "authenticationData": {"attemptAuthentication": "always", "threeDSRequestData": {"nativeThreeDS": "disabled"}}
    }
    assert checkout.payments_api.payments(order(**always)).message["resultCode"] == "RedirectShopper"
    native: dict[str, Any] = {
        "authenticationData": {"attemptAuthentication": "always", "threeDSRequestData": {"nativeThreeDS": "preferred"}}
    }
    challenge = checkout.payments_api.payments(order(**native)).message
    assert (challenge["resultCode"], challenge["action"]["type"]) == ("ChallengeShopper", "threeDS2")
    done = checkout.payments_api.payments_details({"details": {"threeDSResult": challenge["action"]["token"]}}).message
    assert done["resultCode"] == "Authorised"
    absent: dict[str, Any] = {"shopperInteraction": "ContAuth", "recurringProcessingModel": "UnscheduledCardOnFile", **card("tok_3ds")}
    assert checkout.payments_api.payments(order(**absent)).message["refusalReasonCode"] == "38"


@pytest.mark.parametrize(
    ("changes", "expected", "code"),
    [
        ({"returnUrl": None}, AdyenAPIUnprocessableEntity, "14_030"),
        ({"amount": {"currency": "EUR", "value": 0}}, AdyenAPIUnprocessableEntity, "137"),
        ({"amount": {"currency": "XXX", "value": 5}}, AdyenAPIUnprocessableEntity, "138"),
        ({"reference": None}, AdyenAPIUnprocessableEntity, "130"),
        (card("tok_nobodys"), AdyenAPIUnprocessableEntity, "800"),
        ({"paymentMethod": {"type": "ideal"}}, AdyenAPIUnprocessableEntity, "905"),
        ({"merchantAccount": "SomebodyElse"}, AdyenAPIInvalidPermission, "901"),
        ({"nonsense": 1}, AdyenAPIValidationError, "702"),
        ({"amount": "much"}, AdyenAPIValidationError, "702"),
    ],
)
def test_messages_that_are_refused(checkout: Any, changes: dict[str, Any], expected: type[Exception], code: str) -> None:
    message = {name: value for name, value in order(**changes).items() if value is not None}
    with pytest.raises(expected) as refused:
        checkout.payments_api.payments(message)
    assert refused.value.error_code == code  # type: ignore[attr-defined]


def test_who_asks(server: Server) -> None:
    for key in ("live_key", "x"):
        with pytest.raises(AdyenAPIAuthenticationError):
            client_of(server, key).payments_api.payments(order())
    adyen = Adyen.Adyen(username="ws@Company.Shop", password="secret", platform="test", api_checkout_version=71)
    _lead(adyen.client, server)
    assert adyen.checkout.payments_api.payments(order("basic")).message["resultCode"] == "Authorised"
    newer = client_of(server, version=72)
    assert newer.payments_api.payments(order("newer")).message["resultCode"] == "Authorised"


def test_a_payment_that_is_not_there(checkout: Any) -> None:
    modifications = checkout.modifications_api
    for send, value in (
        (modifications.capture_authorised_payment, 5),
        (modifications.refund_captured_payment, 5),
        (modifications.cancel_authorised_payment_by_psp_reference, None),
    ):
        with pytest.raises(AdyenAPIUnprocessableEntity) as refused:
            send(modification("c", value), "NOSUCHREFERENCE1")
        assert refused.value.error_code == "167"
    with pytest.raises(AdyenAPICommunicationError) as nothing:
        checkout.payments_api.payment_methods({"merchantAccount": ACCOUNT})
    assert nothing.value.status_code == 404


def test_idempotency(checkout: Any, server: Server) -> None:
    first = checkout.payments_api.payments(order("same"), idempotency_key="same-1")
    again = checkout.payments_api.payments(order("same"), idempotency_key="same-1")
    assert again.message == first.message
    # What is sent with it the second time does not matter: it is not looked at.
    other = checkout.payments_api.payments(order("same", amount={"currency": "EUR", "value": 1}), idempotency_key="same-1")
    assert other.message == first.message
    assert [it[0] for it in entries(server, "same")] == ["authorized"]
    refused = [_refusal(checkout, "same-2") for _ in range(2)]
    assert refused[0] == refused[1]
    with pytest.raises(AdyenAPIUnprocessableEntity):
        checkout.payments_api.payments(order("same"), idempotency_key="k" * 65)


def _refusal(checkout: Any, key: str) -> str:
    with pytest.raises(AdyenAPIUnprocessableEntity) as refused:
        checkout.payments_api.payments(order("same", returnUrl=""), idempotency_key=key)
    return str(refused.value.error_code)


def test_a_hundred_at_once_under_one_key_authorise_once(server: Server) -> None:
    def pay(_: int) -> str:
        return str(client_of(server).payments_api.payments(order("parallel"), idempotency_key="parallel").psp)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(pay, range(100)))) == 1
    assert [it[0] for it in entries(server, "parallel")] == ["authorized"]


def test_faults_raise_what_the_library_makes_of_them(checkout: Any, server: Server, fault: Any) -> None:
    fault(fault="error_500", count=1)
    with pytest.raises(AdyenAPICommunicationError) as broken:
        checkout.payments_api.payments(order("broken-1"))
    assert broken.value.status_code == 500
    assert entries(server, "broken-1") == []
    fault(fault="charge_then_500", count=1)
    with pytest.raises(AdyenAPICommunicationError):
        checkout.payments_api.payments(order("broken-2"), idempotency_key="broken-2")
    assert [it[0] for it in entries(server, "broken-2")] == ["authorized"]
    # The same key tells what became of it.
    assert checkout.payments_api.payments(order("broken-2"), idempotency_key="broken-2").message["resultCode"] == "Authorised"
    fault(fault="rate_limit_429_retry_after", count=1, seconds=9)
    with pytest.raises(AdyenAPIResponseError) as limited:
        checkout.payments_api.payments(order("broken-3"))
    assert (limited.value.status_code, limited.value.headers["retry-after"]) == (429, "9")
    fault(fault="reset_after", count=1)
    with pytest.raises(requests.ConnectionError):
        checkout.payments_api.payments(order("broken-4"))
    assert [it[0] for it in entries(server, "broken-4")] == ["authorized"]
    fault(fault="wrong_amount", count=1)
    assert checkout.payments_api.payments(order("broken-5")).message["amount"]["value"] == 2099


def test_a_key_in_use(server: Server, fault: Any) -> None:
    fault(fault="slow", count=1, seconds=0.5, scope="authorize")

    def pay(_: int) -> str:
        try:
            answer: str = client_of(server).payments_api.payments(order("busy"), idempotency_key="busy").message["resultCode"]
        except AdyenAPIResponseError as in_use:
            return f"{in_use.status_code} {in_use.error_code} {in_use.headers['transient-error']}"
        return answer

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(pay, range(2))) == ["409 704 true", "Authorised"]


def test_the_key_is_echoed(server: Server) -> None:
    headers = {"x-api-key": "AQEyhmfx-sdk", "idempotency-key": "echo-1"}
    for _ in range(2):
        answer = requests.post(f"{server.urls['adyen']}/v71/payments", json=order("echo"), headers=headers, timeout=10)
        assert answer.headers["idempotency-key"] == "echo-1"
        assert len(answer.headers["pspreference"]) == 16
    # A live address has a part of its own in front.
    live = requests.post(f"{server.urls['adyen']}/checkout/v71/payments", json=order("echo"), headers=headers, timeout=10)
    assert live.json()["resultCode"] == "Authorised"
