"""What a body may hold: hostile JSON, numbers and text get a clear 4xx with a pointer, never a 5xx, and never reach a payment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages import Create
from connectors.registry import CONNECTORS
from payorch.api.calls import EXAMPLE_BODY
from payorch.api.contracts import connectors_of, create_from
from payorch.api.refusal import InvalidBody
from payorch.domain.capability import MethodSupport
from payorch.domain.intent import CaptureMode, Initiator, Intent
from payorch.domain.money import EXPONENTS, Money
from tests.api.merchant_world import KEY, World, charge, new_id


async def refused(body: Any, status: int, code: str, *pointers: str) -> dict[str, Any]:
    world = World()
    answer = await world.post(body=body)
    assert (answer.status_code, answer.seen["code"]) == (status, code), answer.raw
    assert {error["pointer"] for error in answer.seen["errors"]} == set(pointers)
    assert (answer.seen["money_moved"], answer.seen["retryable"]) == ("no", False)
    assert not world.messages
    found: dict[str, Any] = answer.seen
    return found


async def accepted(body: Any) -> Intent:
    world = World()
    answer = await world.post(body=body)
    assert answer.status_code == 201, answer.raw
    (message,) = world.messages
    assert isinstance(message, Create)
    return message.intent


def raw(amount: str = "1999", currency: str = '"EUR"', more: str = "") -> bytes:
    method = '"payment_method":{"type":"card","token":"tok_visa"}'
    return f'{{"amount":{amount},"currency":{currency},{method}{more}}}'.encode("utf-8", "surrogatepass")


# --- the rows of RELIABILITY.md, "JSON, numbers, unicode"

NOT_JSON = {
    "nan": raw("NaN"), "infinity": raw("-Infinity"), "huge float": raw("1e400"), "float": raw("19.99"), "round float": raw("19.0"),
    "twice": raw(more=',"amount":100000'), "5000 digits": raw("9" * 5000), "4000 digits": raw("9" * 4000), "nested": b"[" * 60_000,
    "nested objects": b'{"a":' * 20 + b"1" + b"}" * 20, "full width": raw("\uff11\uff10\uff10"), "underscore": raw("1_000"),
    "half a pair": raw(more=',"reference":"\\ud800"'), "raw half": raw(more=',"reference":"\ud800"'),
    "nul": raw(more=',"reference":"\\u0000"'), "nul in a name": raw(more=',"metadata":{"a\\u0000":"b"}'),
    "utf-16": raw().decode().encode("utf-16"), "bom": b"\xef\xbb\xbf" + raw(), "overlong": raw() + b"\xc0\xaf", "empty": b"",
    "blank": b" ", "no object": b"[1]", "null": b"null", "cut": raw()[:-1], "two": raw() + raw(), "comment": b"/**/" + raw(),
    "leading zero": raw("01"), "plus": raw("+1"), "hex": raw("0x10"), "line break": raw(more=',"reference":"a\nb"'),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_JSON)
async def test_what_is_not_json_of_ours_is_400(name: str) -> None:
    world = World()
    answer = await world.post(body=NOT_JSON[name])
    assert (answer.status_code, answer.seen["code"]) == (400, "invalid_json"), answer.raw
    assert not world.messages


@pytest.mark.parametrize("amount", ["0", "-1", "1000000000001", "9999999999999999999", "true", "null", '"1999"', "[]", "{}"])
async def test_an_amount_is_a_whole_number_within_bounds(amount: str) -> None:
    found = await refused(raw(amount), 422, "validation_failed", "/amount")
    assert "19.99 EUR is 1999" in found["errors"][0]["detail"]


@pytest.mark.parametrize("amount", [1, 10**12])
async def test_the_bounds_belong_to_it(amount: int) -> None:
    assert (await accepted(charge(amount=amount))).amount == Money(amount, "EUR")


NO_CURRENCIES = [
    "eur",
    "Eur",
    "EURO",
    "",
    "HRK",
    "DEM",
    "XTS",
    "XXX",
    "XAU",
    "\u212aRW",
    "E\u0131R",
    "EUR ",
    " EUR",
    "ABC",
    None,
    978,
    True,
    ["EUR"],
]


@pytest.mark.parametrize("currency", NO_CURRENCIES)
async def test_a_currency_is_a_current_code_in_upper_case(currency: Any) -> None:
    await refused(charge(currency=currency), 422, "validation_failed", "/currency")


async def test_every_current_currency_is_taken() -> None:
    world = World()
    for currency in EXPONENTS:
        assert (await world.post(body=charge(amount=1, currency=currency), idempotency=currency)).status_code == 201


CONTROLS = ["\x1b[2J", "a\nb", "\x7f", "\x85", "\x9b31m", "\t"]


@pytest.mark.parametrize("text", CONTROLS)
@pytest.mark.parametrize("place", ["reference", "metadata value", "metadata name", "option"])
async def test_control_characters_are_refused_everywhere(text: str, place: str) -> None:
    body, pointer = {
        "reference": (charge(reference=text), "/reference"),
        "metadata value": (charge(metadata={"a": text}), "/metadata/a"),
        "metadata name": (charge(metadata={text: "a"}), "/metadata"),
        "option": (charge(connector_options={"stripe": {"three_d_secure": [text]}}), "/connector_options/stripe/three_d_secure/0"),
    }[place]
    await refused(body, 422, "validation_failed", pointer)


@pytest.mark.parametrize("text", ["\u00e9", "\u65e5\u672c", "\U0001f4b6", "\u202eabc", "a" * 255, "\u00df\u212a"])
async def test_text_of_any_script_is_kept_as_it_is(text: str) -> None:
    assert (await accepted(charge(reference=text))).reference == text


# --- fields

WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown": (charge(amuont=1), ("/amuont",)),
    "unknown inside": (charge(payment_method={"type": "card", "token": "t", "x": 1}), ("/payment_method/x",)),
    "mass assignment": (charge(state="CAPTURED", merchant_id="mer_1", captured_amount=1), ("/state", "/merchant_id", "/captured_amount")),
    "slash in a name": (charge(**{"a/b~c": 1}), ("/a~1b~0c",)),
    "nothing": ({}, ("/amount", "/currency")),
    "no method": (charge(payment_method=...), ("/payment_method",)),
    "no token": (charge(payment_method={"type": "card"}), ("/payment_method/token",)),
    "empty tokens": (charge(payment_method={"type": "card", "tokens": {}}), ("/payment_method/token",)),
    "both": (charge(payment_method={"type": "card", "token": "t", "tokens": {"stripe": "t"}}), ("/payment_method/tokens",)),
    "no such connector": (charge(payment_method={"type": "card", "tokens": {"nope": "t"}}), ("/payment_method/tokens/nope",)),
    "method type": (charge(payment_method={"type": "cash"}), ("/payment_method/type",)),
    "token": (charge(payment_method={"type": "card", "token": "t" * 256}), ("/payment_method/token",)),
    "token script": (charge(payment_method={"type": "card", "token": "\u00e9"}), ("/payment_method/token",)),
    "empty token": (charge(payment_method={"type": "card", "token": ""}), ("/payment_method/token",)),
    "last4": (charge(payment_method={"type": "card", "token": "t", "last4": "424"}), ("/payment_method/last4",)),
    "last4 digits": (charge(payment_method={"type": "card", "token": "t", "last4": "\uff11234"}), ("/payment_method/last4",)),
    "country": (charge(payment_method={"type": "card", "token": "t", "country": "de"}), ("/payment_method/country",)),
    "customer country": (charge(customer={"country": "DEU"}), ("/customer/country",)),
    "email": (charge(customer={"email": "no"}), ("/customer/email",)),
    "reference": (charge(reference="x" * 256), ("/reference",)),
    "empty reference": (charge(reference=""), ("/reference",)),
    "capture": (charge(capture="later"), ("/capture",)),
    "initiator": (charge(initiator="x"), ("/initiator",)),
    "confirm": (charge(confirm="yes"), ("/confirm",)),
    "confirm number": (charge(confirm=1), ("/confirm",)),
    "connector": (charge(connector="nope"), ("/connector",)),
    "options of none": (charge(connector_options={"nope": {}}), ("/connector_options/nope",)),
    "options": (charge(connector_options={"stripe": {"x": 1}}), ("/connector_options/stripe",)),
    "options of one without": (charge(connector_options={"adyen": {"x": 1}}), ("/connector_options/adyen",)),
    "options no object": (charge(connector_options={"stripe": []}), ("/connector_options/stripe",)),
    "metadata number": (charge(metadata={"a": 1}), ("/metadata/a",)),
    "metadata name": (charge(metadata={"a" * 41: "x"}), (f"/metadata/{'a' * 41}",)),
    "metadata value": (charge(metadata={"a": "x" * 501}), ("/metadata/a",)),
    "metadata many": (charge(metadata={f"k{n}": "" for n in range(51)}), ("/metadata",)),
    "retry_of": (charge(retry_of="pay_1"), ("/retry_of",)),
    "retry_of kind": (charge(retry_of=new_id("att")), ("/retry_of",)),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_field_that_is_wrong_is_pointed_at(name: str) -> None:
    body, pointers = WRONG[name]
    await refused(body, 422, "validation_failed", *pointers)


BAD_URLS = [
    "", "shop.test", "/back", "//shop.test", "ftp://shop.test", "javascript:alert(1)", "https://", "https://:443",
    "https://shop.test:x/", "https://shop.test:99999/", "https://user:pw@shop.test/", "https://shop.test/a b",
    "https://shop.test/\u00e9", "https://[::1", "HTTPS:/x", "https://shop.test/" + "a" * 2048,
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
async def test_a_return_url_is_absolute_http(url: str) -> None:
    await refused(charge(return_url=url), 422, "validation_failed", "/return_url")


@pytest.mark.parametrize("url", ["http://localhost:3000/x", "https://shop.test", "https://[::1]:8443/?a=%C3%A9&b#c", "HTTPS://SHOP.TEST/"])
async def test_such_a_return_url_is_taken_as_it_is(url: str) -> None:
    assert (await accepted(charge(return_url=url))).return_url == url


async def test_the_whole_body_becomes_the_intent() -> None:
    intent = await accepted(dict(EXAMPLE_BODY) | {"capture": "manual", "initiator": "merchant", "connector": "stripe"})
    assert (intent.amount, intent.capture, intent.reference) == (Money(1999, "EUR"), CaptureMode.MANUAL, "order-1001")
    assert intent.method is not None
    assert (intent.method.type, intent.method.token, intent.method.brand, intent.method.last4) == ("card", "tok_visa", "visa", "4242")
    assert intent.customer is not None
    assert (intent.customer.reference, intent.customer.country, intent.customer.email) == ("c-77", "DE", "a@example.com")
    assert (intent.return_url, intent.initiator, intent.connector) == ("https://shop.example/return", Initiator.MERCHANT, "stripe")
    assert (intent.metadata, intent.connector_options, intent.retry_of) == ({"cart": "9"}, {}, None)


async def test_tokens_options_and_a_wallet() -> None:
    intent = await accepted(charge(payment_method={"type": "card", "tokens": {"stripe": "a", "adyen": "b"}}))
    assert intent.method is not None
    assert (intent.method.token_for("adyen"), intent.method.token_for("other")) == ("b", None)
    intent = await accepted(charge(payment_method={"type": "paypal"}, connector_options={"stripe": {"three_d_secure": "any"}, "adyen": {}}))
    assert intent.connector_options["stripe"] == {"three_d_secure": "any"}


async def test_without_confirmation_no_method_is_needed() -> None:
    assert (await accepted(charge(payment_method=..., confirm=False))).method is None


async def test_many_errors_are_told_up_to_a_bound() -> None:
    world = World()
    answer = await world.post(body=charge(**{f"x{n}": n for n in range(500)}))
    assert len(answer.seen["errors"]) == 20


# --- card data

CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (charge(reference=CARD), "/reference"),
        (charge(metadata={"note": f"card {CARD}!"}), "/metadata/note"),
        (charge(payment_method={"type": "card", "token": "4111111111111111"}), "/payment_method/token"),
        (charge(card=4111111111111111), "/card"),
        (charge(payment_method={"type": "card", "token": "t", "cvv": "1"}), "/payment_method/cvv"),
        (charge(connector_options={"stripe": {"a": [{"b": "\uff14111-1111-1111-1111"}]}}), "/connector_options/stripe/a/0/b"),
    ],
)
async def test_card_data_is_refused_and_not_repeated(body: dict[str, Any], pointer: str) -> None:
    found = await refused(body, 422, "card_data_refused", pointer)
    assert "1111" not in str(found)


# --- around the body


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"}, {"Content-Type": ""}, {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"}, {"Content-Encoding": "gzip"}, {"Content-Type": "application/jsonx"},
    ],
)  # fmt: skip
async def test_another_media_type_is_415(headers: dict[str, str]) -> None:
    world = World()
    answer = await world.post(headers=headers)
    assert (answer.status_code, answer.seen["code"]) == (415, "unsupported_media_type")
    assert not world.messages


async def test_json_with_a_charset_is_taken() -> None:
    assert (await World().post(headers={"Content-Type": "Application/JSON; charset=UTF-8"})).status_code == 201


async def test_a_body_too_large_is_413() -> None:
    world = World(body_limit_bytes=2000)
    answer = await world.post(body=charge(metadata={f"k{n}": "x" * 400 for n in range(5)}))
    assert (answer.status_code, answer.seen["code"]) == (413, "payload_too_large")
    assert not world.messages


async def test_a_body_too_slow_is_408(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json", "Content-Length": "10"}
    headers["Authorization"] = f"Bearer {KEY.text.reveal()}"
    async with world.client.request("/v1/payments", method="POST", headers=headers) as connection:
        await connection.send(b"{")
        await trio.sleep(11)
        answer = await connection.as_response() if connection.status_code else None
        await connection.send_complete()
        answer = answer or await connection.as_response()
    assert answer.status_code == 408


@pytest.mark.parametrize("call", ["confirm", "cancel"])
async def test_the_bodies_of_follow_ups_are_looked_at_too(call: str) -> None:
    world = World()
    path = f"/v1/payments/{new_id('pay')}/{call}"
    for body, status in ((b"[", 400), (b'{"x":1}', 422), (b'{"cvc":1}', 422), (b"null", 400)):
        assert (await world.post(path, body=body)).status_code == status
    answer = await world.post(path, body=b'{"payment_method":{"type":"card"}}')
    assert {error["pointer"] for error in answer.seen["errors"]} == {"/payment_method/token" if call == "confirm" else "/payment_method"}


# --- never a 5xx

NAUGHTY = st.sampled_from(
    [
        "",
        "\x00",
        "\ud800",
        "4111111111111111",
        "NaN",
        "null",
        "__proto__",
        "../../etc/passwd",
        "${7*7}",
        "' OR 1=1 --",
        "\u202e",
        "\U0010ffff",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | NAUGHTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | NAUGHTY, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.sampled_from([*EXAMPLE_BODY, "x"]), VALUES, max_size=5)


def written(value: Any) -> bytes:
    """As JSON, also what is none."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


@given(fields=FIELDS, method=st.dictionaries(st.sampled_from(["type", "token", "tokens", "last4", "brand", "country"]), VALUES, max_size=3))
@settings(max_examples=150, deadline=None)
async def test_no_field_can_make_a_5xx(fields: dict[str, Any], method: dict[str, Any]) -> None:
    world = World()
    body = dict(EXAMPLE_BODY) | {"payment_method": {"type": "card", "token": "t"} | method} | fields
    answer = await world.post(body=written(body))
    assert answer.status_code in (201, 400, 422), (answer.raw, world.log.lines)
    assert not world.log.lines


@given(body=st.binary(max_size=60) | VALUES.map(written))
@settings(max_examples=100, deadline=None)
async def test_no_body_can_make_a_5xx(body: bytes) -> None:
    world = World()
    for path in ("/v1/payments", f"/v1/payments/{new_id('pay')}/confirm"):
        answer = await world.post(path, body=body)
        assert answer.status_code in (400, 404, 422), (answer.raw, world.log.lines)


@given(query=st.dictionaries(st.sampled_from(["limit", "cursor", "q", "created_from", "amount_min", "state", "z"]), st.text(max_size=12)))
@settings(max_examples=100, deadline=None)
async def test_no_query_can_make_a_5xx(query: dict[str, str]) -> None:
    text = urlencode(query, errors="surrogatepass")
    answer = await World().call("GET", f"/v1/payments?{text}")
    assert answer.status_code in (200, 400, 422)


def test_the_example_is_json() -> None:
    assert msgspec.json.decode(written(EXAMPLE_BODY)) == EXAMPLE_BODY


# --- what connectors offer --------------------------------------------------------------------------------------------------------------


class Offering:
    """A connector as far as bodies are held to it."""

    def __init__(self, **methods: bool) -> None:
        support = {name: MethodSupport(completes_without_us=True, needs_token=needed) for name, needed in methods.items()}
        self.manifest = replace(CONNECTORS["stripe"].manifest, methods=support)

    def check_options(self, given: Mapping[str, object]) -> list[str]:
        return [f"there is no {name}" for name in given]


def test_methods_are_those_that_connectors_offer_and_options_those_of_connectors_that_are_switched_on() -> None:
    one, other = Offering(card=True, wallet=True), Offering(wallet=False, sofa=True)
    known = connectors_of({"one": one}, [one, other])
    assert known.methods == {"card": True, "wallet": False, "sofa": True}
    assert set(known.options) == {"one"}

    def refused(**changes: object) -> list[tuple[str, str]]:
        try:
            create_from(charge(**changes), known)
        except InvalidBody as invalid:
            return [(error.pointer, error.detail) for error in invalid.problem("req_1").errors]
        return []

    assert refused(payment_method={"type": "wallet"}) == []
    assert refused(payment_method={"type": "card", "token": "t"}) == []
    assert refused(payment_method={"type": "cash"}) == [
        ("/payment_method/type", "No connector offers this method; there are: card, sofa, wallet.")
    ]
    assert refused(payment_method={"type": "sofa"}) == [("/payment_method/token", "This method needs a token, or tokens by connector.")]
    assert refused(connector_options={"one": {"x": 1}}) == [("/connector_options/one", "there is no x")]
    assert refused(connector_options={"other": {}}) == [("/connector_options/other", "There is no such connector; there are: one.")]
