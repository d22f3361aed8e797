"""Stripe's own SDK, pointed at the simulator over real HTTP: what it sends is understood, what it gets it believes.

Every operation the simulator has, every class of error the SDK knows, and its own retries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
import requests
import stripe
from stripe._http_client import RequestsClient, UrllibClient

from tests.simulator.conftest import Server


def order(**more: Any) -> Any:
    """The parameters of a payment of 19.99 euro; Any, for the SDK's types are narrower than what is tried here."""
    return {"amount": 1999, "currency": "eur"} | more


def confirmed(method: str, **more: Any) -> Any:
    """The same, confirmed at once with a test method."""
    return order(confirm=True, return_url="https://shop.test/back", payment_method=method, **more)


def client_of(server: Server, key: str = "sk_test_1", retries: int = 0) -> stripe.StripeClient:
    return stripe.StripeClient(key, base_addresses={"api": server.stripe}, max_network_retries=retries, http_client=UrllibClient())


@pytest.fixture
def client(server: Server) -> stripe.StripeClient:
    return client_of(server)


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    """One of the simulator's own endpoints."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(server.control + path, data, {"content-type": "application/json"}, method=method)
    with urlopen(request) as response:
        return json.load(response)


@pytest.fixture
def fault(server: Server) -> Iterator[Any]:
    """Sets a fault, lifted after the test."""
    yield lambda **asked: call(server, "POST", "/stripe/_faults", asked)
    call(server, "DELETE", "/stripe/_faults")


def test_a_payments_life(client: stripe.StripeClient, server: Server) -> None:
    since = call(server, "GET", "/stripe/_ledger")["entries"]
    made = client.v1.payment_intents.create(order(capture_method="manual", metadata={"payorch_attempt": "att ä&1"}))
    assert (made.status, made.metadata["payorch_attempt"]) == ("requires_payment_method", "att ä&1")
    confirmed = client.v1.payment_intents.confirm(
        made.id, {"payment_method": "pm_card_visa", "return_url": "https://shop.test/back", "expand": ["latest_charge"]}
    )
    assert isinstance(confirmed.latest_charge, stripe.Charge)
    assert (confirmed.status, confirmed.latest_charge.captured) == ("requires_capture", False)
    captured = client.v1.payment_intents.capture(made.id, {"amount_to_capture": 1500})
    assert (captured.status, captured.amount_received) == ("succeeded", 1500)
    refund = client.v1.refunds.create({"payment_intent": made.id, "amount": 500, "reason": "requested_by_customer"})
    assert isinstance(refund, stripe.Refund)
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert [it.id for it in client.v1.refunds.list({"payment_intent": made.id}).data] == [refund.id]
    assert client.v1.payment_intents.retrieve(made.id).amount_received == 1500
    books = call(server, "GET", f"/stripe/_ledger?since={len(since)}")
    assert [(it["type"], it["amount"], it["our_reference"]) for it in books["entries"]] == [
        ("authorized", 1999, "att ä&1"),
        ("captured", 1500, "att ä&1"),
        ("released", 499, "att ä&1"),
        ("refunded", 500, "att ä&1"),
    ]
    assert (books["payments"][0]["captured"], books["payments"][0]["refunded"], books["payments"][0]["held"]) == (1500, 500, 0)


def test_canceling(client: stripe.StripeClient) -> None:
    held = client.v1.payment_intents.create(confirmed("tok_mastercard", capture_method="manual"))
    canceled = client.v1.payment_intents.cancel(held.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")


def test_several_captures_and_the_release_of_the_rest(client: stripe.StripeClient) -> None:
    several: Any = {"card": {"request_multicapture": "if_available"}}
    held = client.v1.payment_intents.create(confirmed("pm_card_visa", capture_method="manual", payment_method_options=several))
    part = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 500, "final_capture": False})
    assert (part.status, part.amount_received, part.amount_capturable) == ("requires_capture", 500, 1499)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        client.v1.payment_intents.capture(held.id, {"amount_to_capture": 1500})
    assert (too_much.value.code, too_much.value.param) == ("amount_too_large", "amount_to_capture")
    last = client.v1.payment_intents.capture(held.id, {"amount_to_capture": 99, "final_capture": True})
    assert (last.status, last.amount_received, last.amount_capturable) == ("succeeded", 599, 0)
    with pytest.raises(stripe.InvalidRequestError) as closed:
        client.v1.payment_intents.capture(held.id)
    assert (closed.value.code, closed.value.http_status) == ("payment_intent_unexpected_state", 400)
    rest = client.v1.payment_intents.create(confirmed("pm_card_visa", capture_method="manual", payment_method_options=several))
    client.v1.payment_intents.capture(rest.id, {"amount_to_capture": 500, "final_capture": False})
    assert client.v1.payment_intents.cancel(rest.id).amount_received == 500
    waiting = client.v1.payment_intents.create(confirmed("tok_3ds"))
    assert client.v1.payment_intents.cancel(waiting.id).status == "canceled"


def test_a_refunds_life(client: stripe.StripeClient) -> None:
    paid = client.v1.payment_intents.create(confirmed("pm_card_visa"))
    refund = client.v1.refunds.create({"payment_intent": paid.id, "amount": 500, "metadata": {"payorch_operation": "ref_1"}})
    changed = client.v1.refunds.update(refund.id, {"metadata": {"note": "x", "payorch_operation": ""}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"note": "x"}
    assert client.v1.refunds.retrieve(refund.id).metadata == changed.metadata
    with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
        client.v1.refunds.cancel(refund.id)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount") as too_much:
        client.v1.refunds.create({"payment_intent": paid.id, "amount": 1500})
    assert too_much.value.param == "amount"
    client.v1.refunds.create({"charge": str(paid.latest_charge)})
    with pytest.raises(stripe.InvalidRequestError) as nothing_left:
        client.v1.refunds.create({"payment_intent": paid.id})
    assert nothing_left.value.code == "charge_already_refunded"
    pending = client.v1.refunds.create({"payment_intent": client.v1.payment_intents.create(confirmed("pm_card_pendingRefund")).id})
    assert pending.status == "pending"


def test_charges_and_what_is_expanded(client: stripe.StripeClient) -> None:
    paid = client.v1.payment_intents.create(confirmed("pm_card_visa"))
    refund = client.v1.refunds.create({"payment_intent": paid.id, "amount": 500})
    charge = client.v1.charges.retrieve(str(paid.latest_charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded, charge.payment_intent) == (500, False, paid.id)
    assert charge.refunds is not None
    assert [one.id for one in charge.refunds.data] == [refund.id]
    assert [one.id for one in client.v1.charges.list({"payment_intent": paid.id}).data] == [charge.id]
    whole = client.v1.payment_intents.retrieve(paid.id, {"expand": ["latest_charge.refunds", "payment_method"]})
    assert isinstance(whole.latest_charge, stripe.Charge)
    assert whole.latest_charge.refunds is not None
    assert [one.amount for one in whole.latest_charge.refunds.data] == [500]
    assert isinstance(whole.payment_method, stripe.PaymentMethod)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(paid.id, {"expand": ["latest_charge.everything"]})
    event = client.v1.events.list({"type": "refund.created", "limit": 1}).data[0]
    assert client.v1.events.retrieve(event.id).data.object["id"] == refund.id


def test_listing_and_searching(client: stripe.StripeClient) -> None:
    ids = {client.v1.payment_intents.create(confirmed("tok_visa")).id for _ in range(12)}
    seen = [it.id for it, _ in zip(client.v1.payment_intents.list({"limit": 5}).auto_paging_iter(), range(12), strict=False)]
    assert set(seen) == ids
    found = client.v1.payment_intents.search({"query": "metadata['payorch_attempt']:'att_none'"})
    assert isinstance(found, stripe.SearchResultObject)
    assert found.data == []
    events = client.v1.events.list({"type": "payment_intent.succeeded", "limit": 3}).data
    assert {it.data.object["object"] for it in events} == {"payment_intent"}


def test_a_decline_raises_a_card_error(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as caught:
        client.v1.payment_intents.create(confirmed("pm_card_visa_chargeDeclinedInsufficientFunds"))
    error = caught.value
    assert (error.code, error.http_status) == ("card_declined", 402)
    assert error.error is not None
    assert (error.error.decline_code, error.error.advice_code) == ("insufficient_funds", "try_again_later")
    assert error.error.payment_intent is not None
    assert error.error.payment_intent.status == "requires_payment_method"
    assert str(error.request_id).startswith("req_")


def test_other_refusals_raise_the_right_errors(client: stripe.StripeClient, server: Server) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.create(order(amount=1))
    assert (caught.value.code, caught.value.param) == ("amount_too_small", "amount")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.retrieve("pi_none")
    assert (caught.value.code, caught.value.http_status) == ("resource_missing", 404)
    with pytest.raises(stripe.AuthenticationError):
        client_of(server, "sk_live_1").v1.payment_intents.list()
    restricted = client_of(server, "rk_test_readonly_1")
    assert len(restricted.v1.payment_intents.list({"limit": 1}).data) <= 1
    with pytest.raises(stripe.PermissionError) as forbidden:
        restricted.v1.payment_intents.create(confirmed("tok_visa"))
    assert forbidden.value.http_status == 403
    assert client_of(server, "rk_test_1").v1.payment_intents.create(confirmed("tok_visa")).status == "succeeded"


def test_idempotency(client: stripe.StripeClient) -> None:
    options: Any = {"idempotency_key": "sdk-1"}
    first = client.v1.payment_intents.create(confirmed("tok_visa"), options)
    again = client.v1.payment_intents.create(confirmed("tok_visa"), options)
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(confirmed("tok_visa") | {"amount": 2000}, options)


def test_two_hundred_at_once_under_one_key_charge_once(server: Server, client: stripe.StripeClient) -> None:
    params = confirmed("tok_visa", metadata={"payorch_attempt": "att_parallel"})

    def create(_: int) -> str:
        return str(client.v1.payment_intents.create(params, {"idempotency_key": "parallel"}).id)

    with ThreadPoolExecutor(32) as pool:
        assert len(set(pool.map(create, range(200)))) == 1
    entries = [it for it in _all_entries(server) if it["our_reference"] == "att_parallel"]
    assert [it["type"] for it in entries] == ["authorized", "captured"]


def _all_entries(server: Server) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    since: int | None = 0
    while since is not None:
        page = call(server, "GET", f"/stripe/_ledger?since={since}&limit=7")
        entries += page["entries"]
        since = page["next_since"]
    assert [it["number"] for it in entries] == list(range(1, len(entries) + 1))
    return entries


def test_faults_raise_what_the_sdk_makes_of_them(client: stripe.StripeClient, fault: Any) -> None:
    fault(fault="error_500", count=1)
    with pytest.raises(stripe.APIError) as caught:
        client.v1.payment_intents.list()
    assert caught.value.http_status == 500
    fault(fault="rate_limit_429_retry_after", count=1, seconds=9)
    with pytest.raises(stripe.RateLimitError) as limited:
        client.v1.payment_intents.list()
    assert limited.value.headers is not None
    assert limited.value.headers["retry-after"] == "9"
    fault(fault="malformed", count=1)
    with pytest.raises(stripe.APIError):
        client.v1.payment_intents.list()
    fault(fault="reset_after", count=1)
    # The SDK's client on urllib lets this one through as it is.
    with pytest.raises((stripe.APIConnectionError, ConnectionResetError)):
        client.v1.payment_intents.create(confirmed("tok_visa"))
    assert client.v1.payment_intents.list({"limit": 1}).data[0].status == "succeeded"


@contextmanager
def usual_client(server: Server, retries: int) -> Iterator[stripe.StripeClient]:
    """A client on connections of the SDK's usual kind, which tells of all that can befall them."""
    http = RequestsClient(session=requests.Session())
    yield stripe.StripeClient("sk_test_1", base_addresses={"api": server.stripe}, max_network_retries=retries, http_client=http)
    http.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("broken", ["refuse", "reset_before", "reset_after"])
def test_a_connection_that_breaks_or_is_refused_is_an_error_of_its_own(server: Server, fault: Any, broken: str) -> None:
    fault(fault=broken)
    with usual_client(server, 0) as client, pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.list()


@pytest.fixture
def patient(server: Server) -> Iterator[stripe.StripeClient]:
    """A client that tries twice more by itself."""
    with usual_client(server, 2) as client:
        yield client


@pytest.mark.parametrize("broken", ["reset_before", "reset_after", "charge_then_500", "error_500"])
def test_the_sdks_own_retries_charge_once(server: Server, patient: stripe.StripeClient, fault: Any, broken: str) -> None:
    """It sends the same bytes under the same key: one charge, or the stored 500 again, and nothing else."""
    fault(fault=broken, count=1, scope="authorize")
    reference = f"att_retried_{broken}"
    params = confirmed("tok_visa", metadata={"payorch_attempt": reference})
    if broken.endswith("500"):
        with pytest.raises(stripe.APIError) as caught:
            patient.v1.payment_intents.create(params)
        assert caught.value.http_status == 500
        assert caught.value.headers is not None
        assert caught.value.headers["idempotent-replayed"] == "true"
    else:
        assert patient.v1.payment_intents.create(params).status == "succeeded"
    charged = [it["type"] for it in _all_entries(server) if it["our_reference"] == reference]
    assert charged == ([] if broken == "error_500" else ["authorized", "captured"])


def test_a_key_in_use_is_tried_again_until_it_is_free(server: Server, patient: stripe.StripeClient, fault: Any) -> None:
    """While the first is under way the second hears 409, waits and gets the first one's answer."""
    fault(fault="slow", count=1, seconds=0.3, scope="authorize")
    params, options = confirmed("tok_visa"), {"idempotency_key": "in-use"}
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: patient.v1.payment_intents.create(params, options), range(2)))  # type: ignore[arg-type]
    assert made[0].id == made[1].id
    replays = [one.last_response.headers.get("idempotent-replayed") for one in made if one.last_response is not None]
    assert sorted(replays, key=str) == [None, "true"]


@pytest.mark.parametrize("broken", ["rate_limit_429", "rate_limit_429_retry_after"])
def test_a_rate_limit_is_left_to_the_caller(patient: stripe.StripeClient, fault: Any, broken: str) -> None:
    fault(fault=broken, count=1)
    with pytest.raises(stripe.RateLimitError):
        patient.v1.payment_intents.create(confirmed("tok_visa"))


@pytest.mark.parametrize("scope", ["authorize", "capture", "void", "refund", "inquire"])
def test_a_fault_hits_the_operation_it_is_meant_for(client: stripe.StripeClient, fault: Any, scope: str) -> None:
    held = [client.v1.payment_intents.create(confirmed("tok_visa", capture_method="manual")).id for _ in range(2)]
    paid = client.v1.payment_intents.create(confirmed("tok_visa")).id
    fault(fault="error_500", scope=scope)
    calls: dict[str, Any] = {
        "authorize": lambda: client.v1.payment_intents.create(confirmed("tok_visa")),
        "capture": lambda: client.v1.payment_intents.capture(held[0]),
        "void": lambda: client.v1.payment_intents.cancel(held[1]),
        "refund": lambda: client.v1.refunds.create({"payment_intent": paid}),
        "inquire": lambda: client.v1.payment_intents.retrieve(paid),
    }
    for kind, made in calls.items():
        if kind == scope:
            with pytest.raises(stripe.APIError):
                made()
        else:
            made()


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


def test_the_shoppers_page_over_http(client: stripe.StripeClient) -> None:
    asked = client.v1.payment_intents.create(confirmed("tok_3ds"))
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    url = asked.next_action.redirect_to_url.url
    assert url is not None
    with urlopen(url) as page:
        assert b'value="approve"' in page.read()
    with pytest.raises(HTTPError) as sent_back:
        build_opener(_NoRedirect).open(url, urlencode({"outcome": "approve"}).encode())
    assert sent_back.value.code == 303
    assert "redirect_status=succeeded" in sent_back.value.headers["location"]
    sent_back.value.close()
    assert client.v1.payment_intents.retrieve(asked.id).status == "succeeded"
