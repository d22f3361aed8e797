"""What is sent to Adyen, byte for byte, and that its own published schema takes it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from msgspec.structs import replace

from connectors.adyen import connector
from connectors.contract import CompletionOrder, NotSupported
from payorch.domain.capability import Lookup
from payorch.domain.decide import psp_key
from payorch.domain.intent import CaptureMode, Customer, Initiator, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.records import OperationKind, PreparedCall
from tests.connectors.adyen import adyen_cases as cases

PAYMENT = (
    b'{"merchantAccount":"TestMerchantECOM","amount":{"currency":"EUR","value":1999},"reference":"att_01kavq7c1zf90b3n7d5pchmsj9",'
    b'"paymentMethod":{"type":"scheme","storedPaymentMethodId":"8416038790273850"},'
    b'"returnUrl":"https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b","channel":"Web","shopperInteraction":"ContAuth",'
    b'"recurringProcessingModel":"CardOnFile","shopperReference":"shopper-77",'
    b'"authenticationData":{"threeDSRequestData":{"nativeThreeDS":"disabled"}},"additionalData":{"manualCapture":"true"},'
    b'"metadata":{"payorch_payment":"pay_01kavq7c1zf90b3n7d5pchmsj8"}}'
)


def sent(call: PreparedCall, key: str | None = "att-1") -> Any:
    return connector.request(call, psp_key=key, credentials=cases.CREDENTIALS)


def body(call: PreparedCall) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(sent(call).body)
    return decoded


def check(schema: str, call: PreparedCall) -> None:
    """Fails with the first way in which Adyen's published document would refuse that message."""
    if not cases.SPECS.exists():
        pytest.skip("Adyen's OpenAPI document is not beside this checkout")
    document = json.loads((cases.SPECS / "CheckoutService-v71.json").read_text())
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})
    shown = body(call)
    if schema == "PaymentRequest":
        # Thirty kinds of method overlap so that oneOf fits none of them: the one that is meant is looked at by itself.
        method = Draft202012Validator({"$ref": "#/components/schemas/CardDetails", "components": document["components"]})
        problems = [error.message for error in method.iter_errors(shown["paymentMethod"])]
        shown = {**shown, "paymentMethod": {}}
        problems += [error.message[:200] for error in validator.iter_errors(shown) if "paymentMethod" not in error.json_path]
    else:
        problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(shown)]
    assert not problems, problems


def test_an_authorisation_byte_for_byte() -> None:
    call = connector.authorize(cases.order())
    assert (call.method, call.path, call.content_type) == ("POST", "/v71/payments", "application/json")
    assert "TestMerchantECOM" not in call.body
    request = sent(call)
    assert request.body == PAYMENT
    assert dict(request.headers) == {
        "x-api-key": "AQEyhmfxK_PLANTED",
        "user-agent": "payorch",
        "accept": "application/json",
        "content-type": "application/json",
        "idempotency-key": "att-1",
    }
    assert "PLANTED" not in repr(request)
    check("PaymentRequest", call)


@pytest.mark.parametrize("capture", list(CaptureMode))
def test_adyen_never_captures_by_itself(capture: CaptureMode) -> None:
    """What it captured by itself it would not tell us of: an automatic capture is a call of ours."""
    assert body(connector.authorize(cases.order(capture=capture)))["additionalData"] == {"manualCapture": "true"}
    assert not connector.manifest.capture_reportable


def test_what_the_merchant_wishes() -> None:
    options = {
        "attempt_authentication": "never",
        "multiple_partial_captures": True,
        "recurring_processing_model": "Subscription",
        "shopper_reference": "s-1",
        "shopper_statement": "Shop 1",
    }
    assert connector.check_options(options) == []
    call = connector.authorize(cases.order(options=options))
    shown = body(call)
    assert shown["authenticationData"]["attemptAuthentication"] == "never"
    assert (shown["recurringProcessingModel"], shown["shopperReference"], shown["shopperStatement"]) == ("Subscription", "s-1", "Shop 1")
    assert shown["metadata"]["payorch_captures"] == "several"
    check("PaymentRequest", call)
    assert body(connector.authorize(cases.order(options=options, step_up=True)))["authenticationData"]["attemptAuthentication"] == "always"


def test_without_the_shopper_nobody_is_asked_to_authenticate() -> None:
    call = connector.authorize(cases.order(initiator=Initiator.MERCHANT, customer=None))
    shown = body(call)
    assert (shown["shopperInteraction"], shown["recurringProcessingModel"]) == ("ContAuth", "UnscheduledCardOnFile")
    assert "authenticationData" not in shown
    assert "shopperReference" not in shown
    check("PaymentRequest", call)


@pytest.mark.parametrize("reference", [None, "ab", "x" * 257])
def test_a_customer_that_adyen_would_not_take_as_a_name_is_left_out(reference: str | None) -> None:
    assert "shopperReference" not in body(connector.authorize(cases.order(customer=Customer(reference=reference))))


@pytest.mark.parametrize(
    "options",
    [
        {"attempt_authentication": "sometimes"},
        {"attempt_authentication": 1},
        {"recurring_processing_model": "Ledger"},
        {"shopper_reference": "zz"},
        {"shopper_reference": None},
        {"shopper_statement": "12345"},
        {"shopper_statement": "x" * 23},
        {"multiple_partial_captures": "yes"},
        {"merchantAccount": "Other"},
    ],
)
def test_wrong_options_are_told_without_their_values(options: dict[str, Any]) -> None:
    [problem] = connector.check_options(options)
    for value in options.values():
        assert str(value) not in problem or str(value) in ("yes", "None", "1")
    with pytest.raises(NotSupported):
        connector.authorize(cases.order(options=options))


@pytest.mark.parametrize(
    "method", [None, PaymentMethod(type="paypal"), PaymentMethod(type="card"), PaymentMethod(type="card", tokens={"stripe": "pm_1"})]
)
def test_only_cards_by_a_token(method: PaymentMethod | None) -> None:
    with pytest.raises(NotSupported, match="token"):
        connector.authorize(cases.order(method=method))


def test_a_completion_hands_the_result_back() -> None:
    first = cases.attempt(reference=None)
    returned = {"redirectResult": "X6XtfGC3!Y...", "other": "x"}
    call = connector.complete(CompletionOrder(payment_id=cases.PAYMENT_ID, attempt=first, intent=cases.intent(), returned=returned))
    assert call is not None
    assert (call.method, call.path) == ("POST", "/v71/payments/details")
    assert sent(call).body == b'{"details":{"redirectResult":"X6XtfGC3!Y..."}}'
    check("PaymentDetailsRequest", call)


@pytest.mark.parametrize("returned", [{}, {"redirectResult": ""}, {"redirectResult": "x" * 20_001}, {"redirectResult": "ä"}, {"MD": "x"}])
def test_without_a_result_there_is_nothing_to_complete(returned: dict[str, str]) -> None:
    order = CompletionOrder(payment_id=cases.PAYMENT_ID, attempt=cases.attempt(), intent=cases.intent(), returned=returned)
    assert connector.complete(order) is None


def test_a_fence_names_the_attempt_and_nothing_else() -> None:
    call = connector.fence(cases.attempt(reference=None))
    assert call is not None
    assert call.path == "/v71/cancels"
    assert body(call) == {
        "merchantAccount": cases.ACCOUNT,
        "paymentReference": cases.ATTEMPT_ID,
        "reference": cases.ATTEMPT_ID,
    }
    check("StandalonePaymentCancelRequest", call)


def test_modifications() -> None:
    capture = cases.call_of(cases.operation(OperationKind.CAPTURE, minor=500))
    assert capture.path == f"/v71/payments/{cases.PSP_REFERENCE}/captures"
    amount = {"currency": "EUR", "value": 500}
    assert body(capture) == {"merchantAccount": cases.ACCOUNT, "amount": amount, "reference": cases.CAPTURE_ID}
    check("PaymentCaptureRequest", capture)
    void = cases.call_of(cases.operation(OperationKind.VOID))
    assert void.path == f"/v71/payments/{cases.PSP_REFERENCE}/cancels"
    assert body(void) == {"merchantAccount": cases.ACCOUNT, "reference": cases.VOID_ID}
    check("PaymentCancelRequest", void)
    refund = cases.call_of(cases.operation(OperationKind.REFUND, minor=500))
    assert refund.path == f"/v71/payments/{cases.PSP_REFERENCE}/refunds"
    assert body(refund) == {"merchantAccount": cases.ACCOUNT, "amount": amount, "reference": cases.REFUND_ID}
    check("PaymentRefundRequest", refund)


@pytest.mark.parametrize(
    ("given", "sent_as"),
    [
        ("duplicate", "DUPLICATE"),
        ("Requested by customer", "CUSTOMER REQUEST"),
        ("fraud", "FRAUD"),
        ("return", "RETURN"),
        ("late", "OTHER"),
    ],
)
def test_refund_reasons(given: str, sent_as: str) -> None:
    order = cases.operation_order(cases.operation(OperationKind.REFUND), reason=given)
    assert body(connector.refund(order))["merchantRefundReason"] == sent_as
    check("PaymentRefundRequest", connector.refund(order))


def test_a_rest_stays_open_only_where_the_account_is_said_to_keep_it() -> None:
    part = cases.operation(OperationKind.CAPTURE, minor=500, final=False)
    with pytest.raises(NotSupported, match="multiple_partial_captures"):
        cases.call_of(part)
    several = cases.attempt(call=connector.authorize(cases.order(options={"multiple_partial_captures": True})))
    assert '"value":500' in cases.call_of(part, of=several).body
    # A last capture takes all of the rest; one that would only let it go does not do so there.
    last = cases.operation_order(cases.operation(OperationKind.CAPTURE, minor=500), of=several)
    assert connector.capture(last).path.endswith("/captures")
    with pytest.raises(NotSupported, match="void the rest"):
        connector.capture(dataclasses.replace(last, leaves_minor=1))
    assert connector.capture(dataclasses.replace(last, attempt=cases.attempt(), leaves_minor=1)).path.endswith("/captures")
    # The manifest names that option for whoever wants several captures.
    assert connector.check_options(connector.manifest.several_captures_options) == []
    asked = connector.authorize(cases.order(options=connector.manifest.several_captures_options))
    assert cases.call_of(part, of=cases.attempt(call=asked)).path.endswith("/captures")


@pytest.mark.parametrize("reference", [None, "", "../../x", "a" * 65, "ABC/captures", "ABC?x"])
def test_no_id_changes_what_is_asked_for(reference: str | None) -> None:
    for kind in OperationKind:
        with pytest.raises(NotSupported, match="id of this payment"):
            cases.call_of(cases.operation(kind), of=cases.attempt(reference=reference))


def test_an_id_of_ours_with_other_characters_is_refused() -> None:
    with pytest.raises(NotSupported, match="an id of ours"):
        connector.fence(replace(cases.attempt(), id="att_1'; --"))


def test_amounts_must_be_the_payments() -> None:
    dollars = replace(cases.operation(OperationKind.REFUND), amount=Money(1999, "USD"))
    with pytest.raises(NotSupported, match="own currency"):
        cases.call_of(dollars)


def test_nobody_can_be_asked() -> None:
    assert connector.manifest.lookup is Lookup.NONE
    assert connector.inquire(cases.attempt(), cases.attempt()) is None
    assert connector.inquire(cases.operation(OperationKind.REFUND), cases.attempt()) is None


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"api_key": "AQE_secret"},
        {"account": cases.ACCOUNT},
        {"account": "A B", "api_key": "AQE_secret"},
        {"account": 'A","x":"', "api_key": "AQE_secret"},
        {"account": cases.ACCOUNT, "api_key": "AQE secret"},
        {"account": cases.ACCOUNT, "api_key": "AQE_secret\r\nx: y"},
    ],
)
def test_credentials_that_cannot_be_sent(credentials: dict[str, str]) -> None:
    with pytest.raises(NotSupported) as refused:
        connector.request(connector.authorize(cases.order()), psp_key="k", credentials=credentials)
    assert "secret" not in str(refused.value)


def test_keys_fit() -> None:
    for identifier in (cases.ATTEMPT_ID, cases.VOID_ID):
        key = psp_key(identifier, connector.manifest)
        assert key == identifier
        assert ("idempotency-key", key) in sent(connector.authorize(cases.order()), key).headers
    with pytest.raises(NotSupported, match="64"):
        sent(connector.authorize(cases.order()), "k" * 65)


@given(text=st.text(max_size=40))
def test_any_text_is_data(text: str) -> None:
    """Whatever a merchant writes stays inside its own field."""
    method = PaymentMethod(type="card", token=text or "x")
    try:
        call = connector.authorize(cases.order(method=method, customer=Customer(reference=text)))
    except NotSupported:
        return  # no Unicode: a lone surrogate
    shown = body(call)
    assert shown["paymentMethod"] == {"type": "scheme", "storedPaymentMethodId": text or "x"}
    assert (shown["reference"], shown["merchantAccount"]) == (cases.ATTEMPT_ID, cases.ACCOUNT)
