"""What goes to Stripe: exactly these bytes, as Stripe's own library would write them and its specification allows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from stripe import _encode

from connectors.contract import NotSupported
from connectors.registry import CONNECTORS
from connectors.stripe import connector
from connectors.stripe.manifest import API_VERSION
from connectors.stripe.requests import asked_for_multicapture, form, target
from payorch.domain.intent import CaptureMode, Initiator, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall
from tests.connectors.stripe import stripe_cases as cases

SPECIFICATION = Path(__file__).parents[4] / "shared/psp-specs/stripe/spec3-2023-08-16.json"
# In Stripe's library (16.1) and newer than that specification.
NEWER = {"final_capture", "request_multicapture", "request_extended_authorization"}


def fields(call: PreparedCall) -> dict[str, str]:
    return dict(parse_qsl(call.body, strict_parsing=True))


# --- authorise --------------------------------------------------------------------------------------------------------------------------


def test_an_authorisation_is_exactly_these_bytes() -> None:
    call = connector.authorize(cases.order())
    assert (call.method, call.path, call.content_type) == ("POST", "/v1/payment_intents", "application/x-www-form-urlencoded")
    assert call.body == (
        "amount=1999&currency=eur&capture_method=manual&confirm=true&payment_method=pm_card_visa&payment_method_types%5B0%5D=card"
        "&return_url=https%3A%2F%2Fpay.example%2Fv1%2Fpayments%2Fpay_1%2Freturn%3Fattempt%3Da%26sig%3Db"
        "&metadata%5Bpayorch_attempt%5D=att_01kavq7c1zfz6b3n&metadata%5Bpayorch_payment%5D=pay_01kavq7c1zfz6b3m"
        "&expand%5B0%5D=latest_charge"
    )


def test_automatic_capture_is_asked_for_by_name() -> None:
    assert fields(connector.authorize(cases.order(capture=CaptureMode.AUTOMATIC)))["capture_method"] == "automatic"


def test_a_merchant_initiated_payment_is_off_session() -> None:
    assert fields(connector.authorize(cases.order(initiator=Initiator.MERCHANT)))["off_session"] == "true"
    assert "off_session" not in fields(connector.authorize(cases.order()))


def test_a_step_up_asks_for_3ds_and_does_not_weaken_a_stronger_wish() -> None:
    name = "payment_method_options[card][request_three_d_secure]"
    assert fields(connector.authorize(cases.order(step_up=True)))[name] == "any"
    for wish, sent in {"automatic": "any", "challenge": "challenge"}.items():
        order = cases.order(step_up=True, connector_options={"stripe": {"request_three_d_secure": wish}})
        assert fields(connector.authorize(order))[name] == sent


def test_the_token_for_this_connector_is_passed_through_as_it_is() -> None:
    method = PaymentMethod(type="card", token="other", tokens={"stripe": "pm_ä&=1 [x]"})
    assert fields(connector.authorize(cases.order(method=method)))["payment_method"] == "pm_ä&=1 [x]"


def test_options_become_parameters() -> None:
    options = {
        "customer": "cus_9s6XKzkNRiz8i3",
        "statement_descriptor_suffix": "ORDER 7",
        "request_multicapture": "if_available",
        "setup_future_usage": "off_session",
    }
    sent = fields(connector.authorize(cases.order(connector_options={"stripe": options, "other": {"x": 1}})))
    assert sent["payment_method_options[card][request_multicapture]"] == "if_available"
    assert {name: sent[name] for name in ("customer", "statement_descriptor_suffix", "setup_future_usage")} == {
        name: options[name] for name in ("customer", "statement_descriptor_suffix", "setup_future_usage")
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"method": None},
        {"method": PaymentMethod(type="paypal")},
        {"method": PaymentMethod(type="card")},
        {"method": PaymentMethod(type="card", tokens={"other": "tok"})},
        {"method": PaymentMethod(type="card", token="\ud800")},
        {"amount": Money(1234, "KWD")},
        {"amount": Money(1000, "IQD")},
        {"connector_options": {"stripe": {"confirm": "false"}}},
        {"capture": CaptureMode.AUTOMATIC, "connector_options": {"stripe": {"request_multicapture": "if_available"}}},
    ],
)
def test_what_stripe_cannot_be_asked_is_not_supported(changes: dict[str, Any]) -> None:
    with pytest.raises(NotSupported):
        connector.authorize(cases.order(**changes))


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({}, 0),
        ({"request_three_d_secure": "any", "request_multicapture": "never"}, 0),
        ({"statement_descriptor_suffix": "A" * 22, "customer": "cus_1"}, 0),
        ({"statement_descriptor_suffix": "A" * 23}, 1),
        ({"statement_descriptor_suffix": "12345"}, 1),
        ({"statement_descriptor_suffix": "A<b>"}, 1),
        ({"statement_descriptor_suffix": "naïve"}, 1),
        ({"request_three_d_secure": True, "customer": "cus_1/../x", "amount": 1}, 3),
    ],
)
def test_options_are_checked(options: dict[str, object], problems: int) -> None:
    found = connector.check_options(options)
    assert len(found) == problems
    assert not any("cus_1/.." in problem for problem in found)


# --- operations and inquiries -----------------------------------------------------------------------------------------------------------


def test_a_final_capture_leaves_the_flag_out() -> None:
    call = cases.call_of(cases.operation(OperationKind.CAPTURE, minor=700))
    assert call.path == f"/v1/payment_intents/{cases.INTENT_ID}/capture"
    assert call.body == "amount_to_capture=700&metadata%5Bpayorch_operation%5D=cap_01kavq7c1zfz6b3p"


def test_a_capture_that_leaves_the_rest_open_needs_an_authorisation_that_asked_for_it() -> None:
    one = cases.operation(OperationKind.CAPTURE, minor=700, final=False)
    with pytest.raises(NotSupported, match='"final": true'):
        connector.capture(cases.operation_order(one))
    asked = connector.authorize(cases.order(connector_options={"stripe": {"request_multicapture": "if_available"}}))
    call = connector.capture(cases.operation_order(one, of=cases.attempt(call=asked)))
    assert fields(call)["final_capture"] == "false"
    assert asked_for_multicapture(asked)
    assert not asked_for_multicapture(connector.authorize(cases.order()))


def test_a_void_cancels_the_payment_intent() -> None:
    call = cases.call_of(cases.operation(OperationKind.VOID))
    assert (call.method, call.path, call.body) == ("POST", f"/v1/payment_intents/{cases.INTENT_ID}/cancel", "")


@pytest.mark.parametrize(
    ("reason", "sent"), [(None, None), ("Customer request", "requested_by_customer"), ("FRAUD", "fraudulent"), ("cat ate it", None)]
)
def test_a_refund_says_why_where_stripe_has_a_word(reason: str | None, sent: str | None) -> None:
    one = cases.operation(OperationKind.REFUND, minor=100)
    call = connector.refund(cases.operation_order(one, reason=reason))
    expected = {"payment_intent": cases.INTENT_ID, "amount": "100", "metadata[payorch_operation]": one.id}
    assert fields(call) == expected | ({"reason": sent} if sent else {})


def test_an_attempt_is_asked_about_by_its_id_and_otherwise_by_ours() -> None:
    known, unknown = cases.attempt(), cases.attempt(reference=None)
    by_id = connector.inquire(known, known)
    assert by_id == PreparedCall(method="GET", path=f"/v1/payment_intents/{cases.INTENT_ID}?expand%5B0%5D=latest_charge.refunds")
    by_search = connector.inquire(unknown, unknown)
    assert by_search is not None
    parts = urlsplit(by_search.path)
    assert parts.path == "/v1/payment_intents/search"
    assert dict(parse_qsl(parts.query)) == {
        "query": f"metadata['payorch_attempt']:'{cases.ATTEMPT_ID}'",
        "expand[0]": "data.latest_charge.refunds",
    }


def test_operations_are_asked_about() -> None:
    attempt, nowhere = cases.attempt(), cases.attempt(reference=None)
    for kind in (OperationKind.CAPTURE, OperationKind.VOID):
        assert connector.inquire(cases.operation(kind), attempt) == connector.inquire(attempt, attempt)
        assert connector.inquire(cases.operation(kind), nowhere) is None
    known = connector.inquire(cases.operation(OperationKind.REFUND, reference="re_1"), attempt)
    assert known == PreparedCall(method="GET", path="/v1/refunds/re_1")
    among = connector.inquire(cases.operation(OperationKind.REFUND), attempt)
    assert among == PreparedCall(method="GET", path=f"/v1/refunds?payment_intent={cases.INTENT_ID}&limit=100")
    assert connector.inquire(cases.operation(OperationKind.REFUND), nowhere) is None


@pytest.mark.parametrize("hostile", ["pi_1/../refunds", "pi_1?x=1", "pi_1%2f", "", "pi_ä", "pi_1\r\nx: y", "x" * 256])
def test_no_id_can_change_what_is_asked_for(hostile: str) -> None:
    attempt = cases.attempt(reference=hostile)
    for kind in OperationKind:
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        with pytest.raises(NotSupported):
            build[kind](cases.operation_order(cases.operation(kind), of=attempt))
    asked = connector.inquire(attempt, attempt)
    assert asked is not None
    assert asked.path.startswith("/v1/payment_intents/search?")
    assert hostile == "" or hostile not in asked.path


def test_what_a_stored_call_is_about_is_read_back_from_it() -> None:
    attempt, refund = cases.attempt(), cases.operation(OperationKind.REFUND)
    assert target(attempt.call) is None
    assert target(cases.call_of(refund)) == cases.INTENT_ID
    for subject in (attempt, refund, cases.operation(OperationKind.VOID)):
        call = connector.inquire(subject, attempt)
        assert call is not None
        assert target(call) == cases.INTENT_ID
    search = connector.inquire(cases.attempt(reference=None), cases.attempt(reference=None))
    assert search is not None
    assert target(search) is None


# --- the wire ---------------------------------------------------------------------------------------------------------------------------


def test_headers_of_a_post_and_of_a_get() -> None:
    credentials = {"api_key": "sk_test_123"}
    posted = connector.request(cases.attempt().call, psp_key="att_key-1", credentials=credentials)
    assert posted.headers == (
        ("authorization", "Bearer sk_test_123"),
        ("stripe-version", API_VERSION),
        ("user-agent", "payorch"),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("idempotency-key", "att_key-1"),
    )
    asked = connector.inquire(cases.attempt(), cases.attempt())
    assert asked is not None
    got = connector.request(asked, psp_key="att_key-1", credentials=credentials)
    assert {name for name, _ in got.headers}.isdisjoint({"idempotency-key", "content-type"})
    assert got.body == b""


def test_a_row_stored_by_an_older_mapping_goes_out_byte_for_byte() -> None:
    # A row as an older version wrote it: other order, older array form, parameters that today's mapping does not have. Never edit it.
    row = {
        "method": "POST",
        "path": "/v1/payment_intents",
        "content_type": "application/x-www-form-urlencoded",
        "body": "confirm=true&expand[]=latest_charge&amount=500&currency=usd&payment_method=pm_old&description=%C3%A4%26+1&legacy=1",
    }
    sent = connector.request(PreparedCall(**row), psp_key="old-key", credentials={"api_key": "sk_test_1"})
    assert (sent.method, sent.path) == (row["method"], row["path"])
    assert sent.body == row["body"].encode()
    assert dict(sent.headers)["content-type"] == row["content_type"]


@pytest.mark.parametrize(
    ("key", "credentials"),
    [
        ("k", {}),
        ("k", {"api_key": ""}),
        ("k", {"api_key": "sk_test_1\r\nx-evil: 1"}),
        ("k\r\nx: y", {"api_key": "sk_test_1"}),
        ("k" * 256, {"api_key": "sk_test_1"}),
    ],
)
def test_nothing_can_be_injected_into_a_header(key: str, credentials: dict[str, str]) -> None:
    with pytest.raises(NotSupported) as caught:
        connector.request(cases.attempt().call, psp_key=key, credentials=credentials)
    assert "sk_test_1" not in str(caught.value)


def test_the_registry_knows_it_by_its_name() -> None:
    assert CONNECTORS["stripe"] is connector
    assert all(name == one.name for name, one in CONNECTORS.items())


# --- against what we did not write ------------------------------------------------------------------------------------------------------

leaves = st.one_of(st.text(max_size=8), st.integers(), st.booleans())
names = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1, max_size=6)
# Not a Boolean directly in a list: the library writes `False` there and `false` elsewhere, and no list of ours has one.
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner.filter(lambda value: not isinstance(value, bool)), max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, trees, max_size=4))
def test_the_form_encoding_is_that_of_stripes_own_library(parameters: dict[str, Any]) -> None:
    theirs = [(key, str(value)) for key, value in _encode._api_encode(parameters)]
    assert parse_qsl(form(parameters), keep_blank_values=True) == theirs


def test_our_parameters_are_those_of_stripes_own_library() -> None:
    parameters = {
        "amount": 1999,
        "currency": "eur",
        "capture_method": "manual",
        "confirm": True,
        "payment_method": "pm_card_visa",
        "payment_method_types": ["card"],
        "return_url": cases.RETURN_URL,
        "off_session": True,
        "metadata": {"payorch_attempt": cases.ATTEMPT_ID, "payorch_payment": "pay_01kavq7c1zfz6b3m"},
        "payment_method_options": {"card": {"request_three_d_secure": "any"}},
        "expand": ["latest_charge"],
    }
    ours = connector.authorize(cases.order(step_up=True, initiator=Initiator.MERCHANT))
    assert parse_qsl(ours.body) == [(key, str(value)) for key, value in _encode._api_encode(parameters)]


@cache
def specification() -> Mapping[str, Any]:
    if not SPECIFICATION.exists():
        pytest.skip(f"Stripe's specification is not here ({SPECIFICATION})")
    loaded: Mapping[str, Any] = json.loads(SPECIFICATION.read_text())
    return loaded


def unflattened(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Form fields as the nested object they stand for, numbers and Booleans as such."""
    root: dict[str, Any] = {}
    for key, text in pairs:
        head, *rest = key.replace("]", "").split("[")
        node, path = root, [head, *rest]
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)
    return {key: list(value.values()) if isinstance(value, dict) and set(value) == {"0"} else value for key, value in root.items()}


def newer_taken_out(value: Any) -> Any:
    return {key: newer_taken_out(inner) for key, inner in value.items() if key not in NEWER} if isinstance(value, dict) else value


def every_post() -> dict[str, PreparedCall]:
    options = {
        "request_multicapture": "if_available",
        "customer": "cus_1",
        "statement_descriptor_suffix": "SHOP",
        "setup_future_usage": "off_session",
    }
    asked = cases.order(step_up=True, connector_options={"stripe": options})
    multi = cases.attempt(call=connector.authorize(asked))
    partial = cases.operation(OperationKind.CAPTURE, minor=100, final=False)
    return {
        "manual": connector.authorize(cases.order()),
        "off_session": connector.authorize(cases.order(initiator=Initiator.MERCHANT, capture=CaptureMode.AUTOMATIC)),
        "options": multi.call,
        "capture": connector.capture(cases.operation_order(partial, of=multi)),
        "void": cases.call_of(cases.operation(OperationKind.VOID)),
        "refund": connector.refund(cases.operation_order(cases.operation(OperationKind.REFUND), reason="duplicate")),
    }


@pytest.mark.parametrize("which", sorted(every_post()))
def test_every_body_fits_stripes_specification(which: str) -> None:
    call = every_post()[which]
    path = call.path.replace(cases.INTENT_ID, "{intent}")
    content = specification()["paths"][path]["post"]["requestBody"]["content"]
    assert call.content_type in content
    sent = unflattened(parse_qsl(call.body))
    assert sent or which == "void"
    Draft202012Validator(content[call.content_type]["schema"]).validate(newer_taken_out(sent))


def test_every_query_has_parameters_of_stripes_specification() -> None:
    attempt, searched = cases.attempt(), cases.attempt(reference=None)
    refund = cases.operation(OperationKind.REFUND)
    asked: list[tuple[Attempt | Operation, Attempt]] = [
        (attempt, attempt),
        (searched, searched),
        (refund, attempt),
        (cases.operation(OperationKind.REFUND, reference="re_1"), attempt),
    ]
    for subject, of in asked:
        call = connector.inquire(subject, of)
        assert call is not None
        parts = urlsplit(call.path)
        path = parts.path.replace(cases.INTENT_ID, "{intent}").replace("re_1", "{refund}")
        known = {one["name"] for one in specification()["paths"][path]["get"]["parameters"] if one["in"] == "query"}
        assert {key.partition("[")[0] for key, _ in parse_qsl(parts.query)} <= known
