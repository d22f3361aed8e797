"""What Adyen's answers mean: every outcome, and that no bytes are more than they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.adyen import connector
from connectors.contract import CompletionOrder, HttpResponse
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, NextAction, NotExecuted, Pending, Source, Unknown
from payorch.domain.payment import AttemptState
from payorch.domain.records import OperationKind
from tests.connectors.adyen import adyen_cases as cases

E = ErrorClass
FRESH = cases.attempt(reference=None, state=AttemptState.PREPARED)
REDIRECT = {"type": "redirect", "method": "GET", "paymentMethodType": "scheme", "url": "https://checkoutshopper-test.adyen.com/x?a=b"}
BOTH = pytest.mark.parametrize("source", [Source.RESPONSE, Source.REPLAY])


# --- /payments


@BOTH
def test_authorised_is_a_hold(source: Source) -> None:
    evidence = cases.read(FRESH, 200, cases.result("Authorised"), source=source)
    assert evidence.finding == Approved(captured=False)
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == (cases.PSP_REFERENCE, cases.ATTEMPT_ID, Money(1999, "EUR"))
    assert (evidence.source, evidence.at, evidence.psp_request_id) == (source, cases.NOW, "QFQTPCQ8HXSKGK82")


def test_an_amount_is_what_was_authorised() -> None:
    said = {"authorisedAmountCurrency": "EUR", "authorisedAmountValue": "1999"}
    assert cases.read(FRESH, 200, cases.result("Authorised", amount=None, additionalData=said)).amount == Money(1999, "EUR")
    assert cases.read(FRESH, 200, cases.result("Authorised", additionalData=said)).amount == Money(1999, "EUR")
    assert cases.read(FRESH, 200, cases.result("Authorised", amount=None)).amount is None
    other = cases.read(FRESH, 200, cases.result("Authorised", amount={"currency": "EUR", "value": 2099}))
    assert (other.finding, other.amount) == (Approved(captured=False), Money(2099, "EUR"))  # for the domain to compare


@pytest.mark.parametrize(
    "changes",
    [
        {"additionalData": {"authorisedAmountCurrency": "EUR", "authorisedAmountValue": "1000"}},
        {"additionalData": {"authorisedAmountCurrency": "XXX", "authorisedAmountValue": "1999"}},
        {"additionalData": {"authorisedAmountCurrency": "EUR", "authorisedAmountValue": "19.99"}},
        {"amount": {"currency": "EUR", "value": "1999"}},
        {"pspReference": None},
        {"pspReference": "../.."},
    ],
)
def test_what_is_not_clear_about_money_is_unknown(changes: dict[str, Any]) -> None:
    assert isinstance(cases.read(FRESH, 200, cases.result("Authorised", **changes)).finding, Unknown)


def test_a_part_that_was_authorised_carries_its_own_amount() -> None:
    extra = {"authorisedAmountCurrency": "EUR", "authorisedAmountValue": "1000"}
    evidence = cases.read(FRESH, 200, cases.result("PartiallyAuthorised", additionalData=extra))
    assert (evidence.finding, evidence.amount) == (Approved(captured=False), Money(1000, "EUR"))
    evidence = cases.read(FRESH, 200, cases.result("PartiallyAuthorised", amount={"currency": "EUR", "value": 1000}))
    assert evidence.amount == Money(1000, "EUR")
    assert isinstance(cases.read(FRESH, 200, cases.result("PartiallyAuthorised", amount=None)).finding, Unknown)


@BOTH
def test_a_refusal_is_http_200(source: Source) -> None:
    extra = {"refusalReasonRaw": "43 : Stolen card", "merchantAdviceCode": "03 : Do not try again", "cardPaymentMethod": "mc"}
    shown = cases.result("Refused", refusalReason="Blocked Card", refusalReasonCode="5", additionalData=extra)
    evidence = cases.read(FRESH, 200, shown, source=source)
    assert isinstance(evidence.finding, Declined)
    failure = evidence.finding.failure
    assert (failure.error_class, evidence.psp_reference, evidence.amount) == (E.HARD_DECLINE, cases.PSP_REFERENCE, None)
    assert failure.connector is not None
    assert (failure.connector.code, failure.connector.message) == ("5", "Blocked Card")
    assert failure.network is not None
    assert (failure.network.scheme, failure.network.decline_code, failure.network.advice_code) == ("mastercard", "43", "03")


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("Refused", "2", E.SOFT_TRY_OTHER),
        ("Refused", "12", E.SOFT_RETRY_LATER),
        ("Refused", "20", E.FRAUD_BLOCKED),
        ("Refused", None, E.SOFT_TRY_OTHER),
        ("Cancelled", None, E.CUSTOMER_CANCELED),
        ("Error", "8", E.FIX_DATA),
        ("Error", "10", E.SOFT_TRY_OTHER),
        ("Error", "5", E.HARD_DECLINE),
    ],
)
def test_definitive_refusals(code: str, reason: str | None, expected: ErrorClass) -> None:
    finding = cases.read(FRESH, 200, cases.result(code, refusalReasonCode=reason)).finding
    assert isinstance(finding, Declined)
    assert finding.failure.error_class is expected


@pytest.mark.parametrize("reason", [None, "4", "9", "39", "77"])
def test_an_error_without_a_definitive_reason_is_unknown(reason: str | None) -> None:
    """Under `Refused` an acquirer's error is a no; under `Error` nobody says what the issuer had done by then."""
    assert isinstance(cases.read(FRESH, 200, cases.result("Error", refusalReasonCode=reason)).finding, Unknown)


@pytest.mark.parametrize("code", ["Pending", "Received", "PresentToShopper"])
def test_later_is_pending(code: str) -> None:
    evidence = cases.read(FRESH, 200, cases.result(code))
    assert (evidence.finding, evidence.psp_reference) == (Pending(), cases.PSP_REFERENCE)


@pytest.mark.parametrize("code", ["AuthenticationFinished", "AuthenticationNotRequired", "Success", "Sold", ""])
def test_other_results_are_unknown(code: str) -> None:
    assert isinstance(cases.read(FRESH, 200, cases.result(code)).finding, Unknown)


# --- the shopper's turn


def test_a_redirect_is_the_shoppers_turn() -> None:
    evidence = cases.read(FRESH, 200, cases.result("RedirectShopper", action=REDIRECT))
    assert evidence.finding == Pending(action=NextAction(url="https://checkoutshopper-test.adyen.com/x?a=b"))
    assert evidence.psp_reference is None  # the answer to /payments/details may have another


def test_a_redirect_may_be_a_form() -> None:
    post = REDIRECT | {"method": "POST", "data": {"MD": "x", "PaReq": "y"}}
    finding = cases.read(FRESH, 200, cases.result("RedirectShopper", action=post)).finding
    assert finding == Pending(action=NextAction(url=REDIRECT["url"], method="POST", fields=(("MD", "x"), ("PaReq", "y"))))


@pytest.mark.parametrize(
    "action",
    [
        None,
        {"type": "redirect"},
        REDIRECT | {"url": "javascript:alert(1)"},
        REDIRECT | {"url": "https://x y"},
        REDIRECT | {"method": "PUT"},
        REDIRECT | {"method": "POST", "data": {"a": 1}},
        REDIRECT | {"method": "POST", "data": ["a"]},
        {"type": "qrCode", "url": "https://x.example"},
        {"type": "sdk"},
    ],
)
def test_an_action_that_nobody_can_be_shown_is_unknown(action: Any) -> None:
    assert isinstance(cases.read(FRESH, 200, cases.result("RedirectShopper", action=action)).finding, Unknown)


@pytest.mark.parametrize("code", ["IdentifyShopper", "ChallengeShopper"])
def test_a_native_challenge_cannot_be_finished_by_anybody(code: str) -> None:
    action = {"type": "threeDS2", "subtype": "challenge", "token": "eyJPLANTED", "paymentMethodType": "scheme"}
    finding = cases.read(FRESH, 200, cases.result(code, action=action)).finding
    assert isinstance(finding, Declined)
    assert finding.failure.error_class is E.AUTHENTICATION_REQUIRED


def _completion() -> Any:
    order = CompletionOrder(payment_id="p", attempt=FRESH, intent=cases.intent(), returned={"redirectResult": "X6Xt"})
    call = connector.complete(order)
    assert call is not None
    return call


def test_the_answer_to_a_completion_is_that_of_a_payment() -> None:
    waiting = cases.attempt(reference=None, state=AttemptState.ACTION_REQUIRED)
    evidence = cases.read(waiting, 200, {"resultCode": "Authorised", "pspReference": "V4HZ4RBFJGXXGN82"}, call=_completion())
    assert (evidence.finding, evidence.psp_reference) == (Approved(captured=False), "V4HZ4RBFJGXXGN82")
    refused = cases.result("Refused", refusalReasonCode="11", refusalReason="3D Not Authenticated")
    finding = cases.read(waiting, 200, refused, call=_completion()).finding
    assert isinstance(finding, Declined)
    assert finding.failure.error_class is E.FIX_DATA
    wrong = cases.read(waiting, 422, cases.error(422, "14_006"), call=_completion()).finding
    assert isinstance(wrong, NotExecuted)


def test_another_payments_answer_is_not_believed() -> None:
    known = cases.attempt(reference="V4HZ4RBFJGXXGN82")
    assert isinstance(cases.read(known, 200, cases.result("Authorised"), source=Source.REPLAY).finding, Unknown)
    # Ours reports another attempt: that is for the domain to compare.
    assert cases.read(FRESH, 200, cases.result("Authorised", merchantReference="att_other")).our_reference == "att_other"


# --- modifications


@BOTH
@pytest.mark.parametrize("kind", list(OperationKind))
def test_received_is_pending(kind: OperationKind, source: Source) -> None:
    one = cases.operation(kind, minor=500, reference=None)
    evidence = cases.read(one, 201, cases.received(one), source=source)
    assert evidence.finding == Pending()
    assert (evidence.psp_reference, evidence.our_reference) == (cases.MODIFICATION, one.id)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "done"},
        {"status": None},
        {"pspReference": None},
        {"paymentPspReference": "V4HZ4RBFJGXXGN99"},
        {"paymentPspReference": None},
        {"amount": {"currency": "EUR", "value": 600}},
        {"amount": {"currency": "USD", "value": 500}},
        {"amount": {}},
    ],
)
def test_a_receipt_for_something_else_is_unknown(changes: dict[str, Any]) -> None:
    one = cases.operation(OperationKind.REFUND, minor=500, reference=None)
    evidence = cases.read(one, 201, cases.received(one, **changes))
    assert isinstance(evidence.finding, Unknown)
    assert evidence.psp_reference is None


def test_a_fences_answer_proves_nothing_about_the_attempt() -> None:
    call = connector.fence(FRESH)
    assert call is not None
    receipt = {"merchantAccount": "A", "paymentReference": cases.ATTEMPT_ID, "pspReference": cases.MODIFICATION, "status": "received"}
    for status, body in ((201, receipt), (422, cases.error(422, "167")), (401, cases.error(401, "000")), (429, b""), (500, b"")):
        evidence = cases.read(FRESH, status, body, call=call)
        assert isinstance(evidence.finding, Unknown), status
        assert evidence.psp_reference is None
    # As an operation of its own it is received under a reference of its own, or refused.
    fence = cases.operation(OperationKind.VOID, reference=None)
    evidence = cases.read(fence, 201, receipt, call=call)
    assert (evidence.finding, evidence.psp_reference, evidence.our_reference) == (Pending(), cases.MODIFICATION, None)
    assert isinstance(cases.read(fence, 422, cases.error(422, "167"), call=call).finding, NotExecuted)


# --- refusals of the message


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "702", E.INVALID_REQUEST),
        (422, "14_030", E.INVALID_REQUEST),
        (422, "800", E.INVALID_REQUEST),
        (422, "905_1", E.CONFIGURATION),
        (404, "000", E.CONFIGURATION),
        (401, "000", E.CONFIGURATION),
        (403, "901", E.CONFIGURATION),
        (429, "00_500", E.RATE_LIMITED),
    ],
)
def test_messages_that_are_refused(status: int, code: str, expected: ErrorClass) -> None:
    for subject in (FRESH, cases.operation(OperationKind.CAPTURE, reference=None)):
        finding = cases.read(subject, status, cases.error(status, code)).finding
        assert isinstance(finding, NotExecuted)
        assert (finding.sent, finding.failure.error_class) == (True, expected)


def test_an_operation_that_is_not_allowed_is_declined() -> None:
    finding = cases.read(cases.operation(OperationKind.CAPTURE, reference=None), 422, cases.error(422, "10")).finding
    assert isinstance(finding, Declined)
    assert finding.failure.error_class is E.OPERATION_NOT_ALLOWED


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_replay_that_is_turned_away_says_nothing_about_the_first_sending(status: int) -> None:
    assert isinstance(cases.read(FRESH, status, cases.error(status, "x"), source=Source.REPLAY).finding, Unknown)


@BOTH
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (409, cases.error(409, "704"), {}),
        (422, cases.error(422, "704"), {}),
        (422, cases.error(422, "14_030"), {"transient_error": "true"}),
        (400, cases.error(400, "702"), {"transient_error": "true"}),
        (429, cases.error(429, "x"), {"transient_error": "true"}),
        (500, cases.error(500, "905", "configuration"), {}),
        (503, cases.error(503, "703"), {}),
        (502, b"<html>", {}),
        (408, b"", {}),
        (302, b"", {}),
        (418, cases.error(418, "x"), {}),
        (422, b"{}", {}),
        (400, b"<html>", {}),
        (404, b"<html>", {}),
        (200, b"", {}),
        (200, b"[]", {}),
        (200, b"\x00\xff", {}),
        (204, b"", {}),
    ],
)
def test_everything_else_is_unknown(status: int, body: object, headers: dict[str, Any], source: Source) -> None:
    for subject in (FRESH, cases.operation(OperationKind.VOID, reference=None)):
        assert isinstance(cases.read(subject, status, body, source=source, **headers).finding, Unknown)


# --- any bytes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {"resultCode": st.sampled_from(["Authorised", "PartiallyAuthorised", "Refused", "Error", "RedirectShopper", "Pending"]) | JSON},
    optional=dict.fromkeys(
        ["pspReference", "amount", "action", "additionalData", "merchantReference", "refusalReasonCode", "status", "errorCode"], JSON
    ),
)
STATUS = st.sampled_from([200, 201, 400, 401, 404, 409, 422, 429, 500, 503]) | st.integers(100, 599)


@given(status=STATUS, body=st.binary(max_size=200) | JSON.map(lambda it: json.dumps(it).encode()))
def test_no_bytes_raise(status: int, body: bytes) -> None:
    for subject in (FRESH, cases.attempt(), cases.operation(OperationKind.REFUND)):
        evidence = cases.read(subject, status, body)
        assert not isinstance(evidence.finding, (Approved, Pending, Declined))
        assert evidence.raw is not None


@given(shown=FIELDS)
def test_no_field_raises_and_only_an_authorisation_approves(shown: dict[str, Any]) -> None:
    evidence = cases.read(FRESH, 200, json.dumps(shown).encode())
    approved = isinstance(evidence.finding, Approved)
    assert not approved or shown["resultCode"] in ("Authorised", "PartiallyAuthorised")
    assert not approved or evidence.psp_reference is not None
    json.loads(evidence.raw or "")


def test_a_deep_answer_is_unknown() -> None:
    assert isinstance(cases.read(FRESH, 200, b'{"a":' * 100_000).finding, Unknown)


# --- what is kept


def test_only_what_is_listed_is_kept() -> None:
    extra = {
        "cardHolderName": "PLANTED", "cardSummary": "1234", "expiryDate": "3/2030", "cardBin": "411111", "shopperEmail": "a@example.com",
        "authCode": "PLANTED", "refusalReasonRaw": "05 : Do not honor", "merchantAdviceCode": "02", "cardPaymentMethod": "visa",
    }  # fmt: skip
    action = REDIRECT | {"data": {"PaReq": "PLANTED"}, "paymentData": "PLANTED"}
    shown = cases.result("Refused", additionalData=extra, action=action, refusalReason="PLANTED", donationToken="PLANTED")
    raw = cases.read(FRESH, 200, shown).raw or ""
    kept = json.loads(raw)
    assert kept["http_status"] == 200
    assert kept["body"]["additionalData"] == {
        "cardPaymentMethod": "visa",
        "merchantAdviceCode": "02",
        "refusalReasonRaw": "05 : Do not honor",
    }
    assert kept["body"]["action"] == {"method": "GET", "paymentMethodType": "scheme", "type": "redirect"}
    assert kept["body"]["pspReference"] == cases.PSP_REFERENCE
    for secret in ("PLANTED", "411111", "1234", "example.com", "3/2030"):
        assert secret not in raw


def test_words_for_people_hold_no_card_and_no_address() -> None:
    shown = cases.result("Refused", refusalReason="4111 1111 1111 1111 of a@example.com AQEyhmfxK refused")
    finding = cases.read(FRESH, 200, shown).finding
    assert isinstance(finding, Declined)
    assert finding.failure.connector is not None
    assert finding.failure.connector.message == "[removed] of [removed] [removed] refused"


def test_a_large_answer_is_not_kept() -> None:
    shown = cases.result("Authorised", additionalData={f"refusalReasonRaw{i}": "x" * 200 for i in range(500)})
    raw = cases.read(FRESH, 200, shown).raw
    assert raw is not None
    assert len(raw) < 8 * 1024


def test_headers_of_any_kind_are_read_as_none() -> None:
    answer = HttpResponse(status=200, headers=(("pspreference", "x y"), ("x", "y")), body=json.dumps(cases.result("Authorised")).encode())
    evidence = connector.read(FRESH, FRESH.call, answer, source=Source.RESPONSE, at=cases.NOW)
    assert evidence.psp_request_id is None
    assert replace(evidence, raw=None).finding == Approved(captured=False)
