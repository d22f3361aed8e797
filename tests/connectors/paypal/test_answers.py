"""What PayPal's answers mean: every outcome there is, by status, issue and object; and that no bytes make the reading raise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.paypal import connector
from payorch.domain.money import Money
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Finding,
    GivenBack,
    NextAction,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.payment import AttemptState
from payorch.domain.records import Attempt, Operation, OperationKind
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal.paypal_cases import authorization, capture, error, read, refund, shown_order

E = ErrorClass
CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
RESPONSE, REPLAY, INQUIRY = Source.RESPONSE, Source.REPLAY, Source.INQUIRY
PAGE = NextAction(url=f"https://www.paypal.com/checkoutnow?token={cases.ORDER_ID}")
FRESH = cases.attempt(reference=None, money_reference=None, state=AttemptState.PREPARED)
AUTOMATIC = cases.attempt(reference=None, money_reference=None, automatic=True, state=AttemptState.PREPARED)
ANSWERS = (RESPONSE, REPLAY)


def class_of(finding: Finding) -> ErrorClass | None:
    return finding.failure.error_class if isinstance(finding, (Declined, NotExecuted, Unknown)) else None


def kind_of(evidence: Evidence) -> tuple[type, ErrorClass | None]:
    return type(evidence.finding), class_of(evidence.finding)


# --- an attempt: 2xx ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(
    ("made", "finding"),
    [
        ({"authorizations": [authorization("CREATED")]}, Approved(captured=False)),
        ({"authorizations": [authorization("PARTIALLY_CAPTURED")], "captures": [capture(final_capture=False)]}, Approved(captured=False)),
        ({"authorizations": [authorization("PARTIALLY_CAPTURED")], "captures": [capture(final_capture=True)]}, Approved(captured=True)),
        ({"authorizations": [authorization("CAPTURED")], "captures": [capture()]}, Approved(captured=True)),
        ({"authorizations": [authorization("PENDING")]}, Pending()),
        ({"authorizations": [authorization("VOIDED")]}, Released(expired=False)),
        ({"authorizations": [authorization("VOIDED")], "captures": [capture()]}, Approved(captured=True)),
        ({"authorizations": [authorization("VOIDED")], "captures": [capture("FAILED")]}, Released(expired=False)),
        ({"authorizations": [authorization("EXPIRED")]}, Released(expired=True)),
        ({"authorizations": [authorization("VOIDED", update_time="2026-12-22T12:00:01Z")]}, Released(expired=True)),
        ({"authorizations": [authorization("VOIDED"), authorization("CREATED", id="A2")]}, Approved(captured=False)),
    ],
)
def test_a_hold(made: dict[str, Any], finding: Finding, source: Source) -> None:
    subject = cases.attempt() if source is INQUIRY else FRESH
    evidence = read(subject, 201, shown_order(**made), source=source)
    assert evidence.finding == finding
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == (cases.ORDER_ID, cases.ATTEMPT_ID, Money(1999, "EUR"))
    assert evidence.money_reference == ("A2" if len(made["authorizations"]) > 1 else cases.AUTHORIZATION_ID)
    assert evidence.psp_request_id == "f0123456789ab"


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(
    ("captures", "finding", "captured"),
    [
        ([capture("COMPLETED")], Approved(captured=True), 1999),
        ([capture("REFUNDED")], Approved(captured=True), 1999),
        ([capture("PARTIALLY_REFUNDED")], Approved(captured=True), 1999),
        ([capture("PENDING", status_details={"reason": "PENDING_REVIEW"})], Pending(), 0),
        ([capture("DECLINED"), capture("COMPLETED", id="C2")], Approved(captured=True), 1999),
    ],
)
def test_a_charge(captures: list[Any], finding: Finding, captured: int, source: Source) -> None:
    subject = cases.attempt(automatic=True) if source is INQUIRY else AUTOMATIC
    evidence = read(subject, 201, shown_order(captures=captures), source=source)
    assert (evidence.finding, evidence.captured) == (finding, Money(captured, "EUR"))
    assert evidence.money_reference == captures[-1]["id"]


@pytest.mark.parametrize(
    ("processor", "error_class"),
    [
        ({"response_code": "5120"}, E.SOFT_RETRY_LATER),
        ({"response_code": "9500"}, E.FRAUD_BLOCKED),
        ({"response_code": "0500", "payment_advice_code": "03"}, E.HARD_DECLINE),
        ({}, E.SOFT_TRY_OTHER),
    ],
)
def test_a_201_that_is_a_no(processor: dict[str, str], error_class: ErrorClass) -> None:
    held = read(FRESH, 201, shown_order(authorizations=[authorization("DENIED", processor_response=processor)]))
    taken = read(AUTOMATIC, 201, shown_order(captures=[capture("DECLINED", processor_response=processor)]))
    for evidence in (held, taken):
        assert kind_of(evidence) == (Declined, error_class)
        assert isinstance(evidence.finding, Declined)
        network = evidence.finding.failure.network
        assert (None if network is None else (network.scheme, network.decline_code)) == (
            ("visa", processor["response_code"]) if processor else None
        )
    assert kind_of(read(AUTOMATIC, 201, shown_order(captures=[capture("FAILED")]))) == (Declined, E.SOFT_TRY_OTHER)


def test_a_decline_as_a_duplicate_is_looked_for() -> None:
    evidence = read(AUTOMATIC, 201, shown_order(captures=[capture("DECLINED", processor_response={"response_code": "5200"})]))
    assert kind_of(evidence) == (Unknown, E.DUPLICATE_AT_PSP)


SECURE = {"liability_shift": "NO", "three_d_secure": {"authentication_status": "N", "enrollment_status": "Y"}}


@pytest.mark.parametrize("source", [RESPONSE, INQUIRY])
@pytest.mark.parametrize(
    ("status", "finding"),
    [("PAYER_ACTION_REQUIRED", Pending(action=PAGE)), ("CREATED", Pending(action=PAGE)), ("APPROVED", Pending(ready=True))],
)
def test_the_shoppers_turn(status: str, finding: Finding, source: Source) -> None:
    evidence = read(cases.attempt(money_reference=None) if source is INQUIRY else FRESH, 201, shown_order(status), source=source)
    assert (evidence.finding, evidence.psp_reference, evidence.money_reference) == (finding, cases.ORDER_ID, None)


@pytest.mark.parametrize("status", ["PAYER_ACTION_REQUIRED", "CREATED", "APPROVED"])
@pytest.mark.parametrize(("answer", "passes"), [("Y", True), ("A", True), ("N", False), ("R", False), ("U", True), ("C", True)])
def test_whether_the_holder_could_authenticate(status: str, answer: str, passes: bool) -> None:
    result = {"three_d_secure": {"authentication_status": answer}}
    evidence = read(
        cases.attempt(money_reference=None), 200, shown_order(status, source={"card": {"authentication_result": result}}), source=INQUIRY
    )
    assert isinstance(evidence.finding, Pending if passes else Declined)
    if not passes:
        assert class_of(evidence.finding) is E.FIX_DATA


def test_what_was_taken_and_given_back() -> None:
    made: dict[str, Any] = {
        "authorizations": [authorization("CAPTURED")],
        "captures": [
            capture("PARTIALLY_REFUNDED", amount=cases.money("15.00"), final_capture=False), capture(id="C2", amount=cases.money("4.99")),
            capture("DECLINED", id="C3"),
        ],
        "refunds": [
            refund(amount=cases.money("3.00")), refund("PENDING", id="R2", amount=cases.money("1.00"), custom_id=None, invoice_id=None),
            refund("FAILED", id="R3", amount=cases.money("2.00"), custom_id=None),
        ],
    }  # fmt: skip
    evidence = read(cases.attempt(), 200, shown_order(**made), source=INQUIRY)
    assert (evidence.captured, evidence.refunded) == (Money(1999, "EUR"), Money(400, "EUR"))
    ours = cases.operation(REFUND).id
    assert evidence.refunds is not None
    assert [(one.psp_reference, one.amount.minor, one.our_reference, type(one.finding)) for one in evidence.refunds] == [
        (cases.REFUND_ID, 300, ours, Approved),
        ("R2", 100, None, Pending),
        ("R3", 200, ours, Declined),
    ]
    assert evidence.refunds[0] == GivenBack(psp_reference=cases.REFUND_ID, amount=Money(300, "EUR"), finding=Approved(), our_reference=ours)


def test_how_long_a_hold_lives() -> None:
    evidence = read(FRESH, 201, shown_order(authorizations=[authorization()]))
    assert evidence.expires_at == cases.NOW + timedelta(days=29)
    assert read(FRESH, 201, shown_order(authorizations=[authorization("VOIDED")])).expires_at is None


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        (FRESH, {"id": cases.ORDER_ID}, "not_an_order"),
        (FRESH, [], "not_an_order"),
        (FRESH, b"", "not_an_order"),
        (FRESH, b"\xff", "not_an_order"),
        (FRESH, {"id": cases.ORDER_ID, "status": "COMPLETED", "links": []}, "payments_missing"),
        (FRESH, shown_order("COMPLETED"), "payments_missing"),
        (FRESH, shown_order("SAVED"), "status_not_known"),
        (FRESH, shown_order("VOIDED"), "status_not_known"),
        (FRESH, shown_order("SOMETHING_NEW"), "status_not_known"),
        (FRESH, shown_order("PAYER_ACTION_REQUIRED") | {"links": []}, "status_not_known"),
        (FRESH, shown_order(authorizations=[authorization("SOMETHING_NEW")]), "status_not_known"),
        (FRESH, shown_order(authorizations=[authorization(amount=None)]), "amount_missing"),
        (FRESH, shown_order(authorizations=[authorization(), authorization(id="A2")]), "several_authorizations"),
        (FRESH, shown_order(authorizations=[{"id": 5}]), "payments_not_understood"),
        (FRESH, shown_order(authorizations="x"), "payments_not_understood"),
        (FRESH, shown_order(captures=[capture()]), "captured_instead_of_held"),
        (FRESH, shown_order() | {"purchase_units": [{}, {}]}, "several_purchase_units"),
        (AUTOMATIC, shown_order(authorizations=[authorization()]), "held_instead_of_captured"),
        (AUTOMATIC, shown_order(captures=[capture(), capture(id="C2")]), "several_captures"),
        (AUTOMATIC, shown_order(captures=[capture(amount={"currency_code": "EUR", "value": 19.99})]), "amount_missing"),
        (AUTOMATIC, shown_order(captures=[capture("SOMETHING_NEW")]), "status_not_known"),
    ],
)
def test_what_does_not_fit_is_unknown(subject: Attempt, body: object, code: str) -> None:
    evidence = read(subject, 201, body)
    assert isinstance(evidence.finding, Unknown)
    assert evidence.finding.failure.connector is not None
    assert evidence.finding.failure.connector.code == code


def test_another_order_says_nothing() -> None:
    evidence = read(cases.attempt(), 200, shown_order() | {"id": "ANOTHER"}, source=INQUIRY)
    assert isinstance(evidence.finding, Unknown)
    assert (evidence.psp_reference, evidence.amount) == (None, None)


def test_what_is_of_another_attempt_is_told_to_be() -> None:
    body = shown_order(authorizations=[authorization()])
    body["purchase_units"][0]["custom_id"] = "att_of_another"
    assert read(cases.attempt(), 200, body, source=INQUIRY).our_reference == "att_of_another"


def test_an_order_that_was_voided_is_over() -> None:
    assert read(cases.attempt(), 200, shown_order("VOIDED"), source=INQUIRY).finding == Released(expired=False)


# --- an attempt: refusals -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ANSWERS)
@pytest.mark.parametrize(
    ("status", "body", "kind", "error_class"),
    [
        (422, error(422, "INSTRUMENT_DECLINED"), Declined, E.SOFT_TRY_OTHER),
        (422, error(422, "TRANSACTION_REFUSED"), Declined, E.FRAUD_BLOCKED),
        (422, error(422, "CARD_EXPIRED"), Declined, E.FIX_DATA),
        (422, error(422, "PAYER_ACCOUNT_RESTRICTED"), Declined, E.HARD_DECLINE),
        (422, error(422, "PAYER_ACTION_REQUIRED"), Declined, E.AUTHENTICATION_REQUIRED),
        (422, error(422, "AMOUNT_MISMATCH"), NotExecuted, E.INVALID_REQUEST),
        (422, error(422, "SOMETHING_NEW"), NotExecuted, E.INVALID_REQUEST),
        (422, error(422, "PAYEE_ACCOUNT_RESTRICTED"), NotExecuted, E.CONFIGURATION),
        (400, error(400, "MISSING_REQUIRED_PARAMETER"), NotExecuted, E.INVALID_REQUEST),
        (400, error(400), NotExecuted, E.INVALID_REQUEST),
        (422, error(422, "DUPLICATE_INVOICE_ID"), Unknown, E.DUPLICATE_AT_PSP),
        (422, error(422, "AMOUNT_MISMATCH", "DUPLICATE_INVOICE_ID"), Unknown, E.DUPLICATE_AT_PSP),
        (422, error(422, "SOMETHING_ALREADY_THERE"), Unknown, E.DUPLICATE_AT_PSP),
        (409, error(409, "PREVIOUS_REQUEST_IN_PROGRESS"), Unknown, E.UNKNOWN_OUTCOME),
        (409, error(409), Unknown, E.UNKNOWN_OUTCOME),
        (408, error(408), Unknown, E.UNKNOWN_OUTCOME),
        (418, error(418), Unknown, E.UNKNOWN_OUTCOME),
        (500, error(500), Unknown, E.UNKNOWN_OUTCOME),
        (503, b"<html>", Unknown, E.UNKNOWN_OUTCOME),
        (302, b"", Unknown, E.UNKNOWN_OUTCOME),
        (422, b"<html>", Unknown, E.UNKNOWN_OUTCOME),
        (400, {"error": "invalid_request"}, Unknown, E.UNKNOWN_OUTCOME),
    ],
)
def test_refusals_of_an_order(status: int, body: object, kind: type, error_class: ErrorClass, source: Source) -> None:
    evidence = read(FRESH, status, body, source=source)
    assert kind_of(evidence) == (kind, error_class)
    if isinstance(evidence.finding, NotExecuted):
        assert evidence.finding.sent


@pytest.mark.parametrize(
    ("status", "error_class"), [(401, E.CONFIGURATION), (403, E.CONFIGURATION), (429, E.RATE_LIMITED), (404, E.INVALID_REQUEST)]
)
def test_turned_away_at_the_door(status: int, error_class: ErrorClass) -> None:
    """The first time: nothing happened. Again: nobody can say what happened the first time."""
    for subject in (FRESH, cases.operation(CAPTURE), cases.operation(REFUND), cases.operation(VOID)):
        for body in (error(status, name="X"), b"") if status != 404 else (error(status, "INVALID_RESOURCE_ID"),):
            assert kind_of(read(subject, status, body)) == (NotExecuted, error_class)
            assert isinstance(read(subject, status, body, source=REPLAY).finding, Unknown)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500])
def test_an_inquiry_that_fails_says_nothing(status: int) -> None:
    for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(REFUND, reference="R1")):
        for issue in ("INVALID_RESOURCE_ID", "DUPLICATE_INVOICE_ID", "INSTRUMENT_DECLINED"):
            assert kind_of(read(subject, status, error(status, issue), source=INQUIRY)) == (Unknown, E.UNKNOWN_OUTCOME)


# --- the call that finishes an order ------------------------------------------------------------------------------------------------------


def completed(
    status: int, body: object, *, source: Source = RESPONSE, action: NextAction | None = None, automatic: bool = False
) -> Evidence:
    asked = cases.completion(automatic=automatic)
    call = connector.complete(asked)
    assert call is not None
    return read(
        cases.attempt(call=call, money_reference=None, state=AttemptState.SENT, action=action), status, body, source=source, call=call
    )


def test_an_order_is_finished() -> None:
    assert completed(201, shown_order(authorizations=[authorization()])).finding == Approved(captured=False)
    assert completed(201, shown_order(captures=[capture()]), automatic=True).finding == Approved(captured=True)
    declined = completed(201, shown_order(captures=[capture("DECLINED")]), automatic=True)
    assert isinstance(declined.finding, Declined)
    another = completed(201, shown_order(captures=[capture()]) | {"id": "ANOTHER"}, automatic=True)
    assert isinstance(another.finding, Unknown)


@pytest.mark.parametrize("issue", ["ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED"])
def test_an_order_that_is_not_approved_waits_as_before(issue: str) -> None:
    link = {"links": [{"rel": "payer-action", "href": PAGE.url, "method": "GET"}]}
    assert completed(422, error(422, issue) | link).finding == Pending(action=PAGE)
    assert completed(422, error(422, issue), action=PAGE).finding == Pending(action=PAGE)
    assert isinstance(completed(422, error(422, issue)).finding, Unknown)


@pytest.mark.parametrize(
    ("status", "issue", "kind", "error_class"),
    [
        (422, "ORDER_ALREADY_AUTHORIZED", Unknown, E.DUPLICATE_AT_PSP),
        (422, "ORDER_ALREADY_CAPTURED", Unknown, E.DUPLICATE_AT_PSP),
        (422, "ORDER_COMPLETION_IN_PROGRESS", Unknown, E.DUPLICATE_AT_PSP),
        (422, "ORDER_COMPLETED_OR_VOIDED", Unknown, E.DUPLICATE_AT_PSP),
        (422, "INSTRUMENT_DECLINED", Declined, E.SOFT_TRY_OTHER),
        (422, "ORDER_EXPIRED", Declined, E.EXPIRED),
        (404, "INVALID_RESOURCE_ID", Declined, E.EXPIRED),
        (422, "COMPLIANCE_VIOLATION", Declined, E.FRAUD_BLOCKED),
        (422, "ACTION_DOES_NOT_MATCH_INTENT", NotExecuted, E.INVALID_REQUEST),
    ],
)
def test_refusals_of_finishing(status: int, issue: str, kind: type, error_class: ErrorClass) -> None:
    assert kind_of(completed(status, error(status, issue))) == (kind, error_class)
    again = completed(status, error(status, issue), source=REPLAY)
    assert isinstance(again.finding, Unknown) if status == 404 else kind_of(again) == (kind, error_class)


# --- captures -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(
    ("status", "finding"),
    [
        ("COMPLETED", Approved(captured=True)),
        ("REFUNDED", Approved(captured=True)),
        ("PARTIALLY_REFUNDED", Approved(captured=True)),
        ("PENDING", Pending()),
        ("DECLINED", Declined),
        ("FAILED", Declined),
        ("SOMETHING_NEW", Unknown),
    ],
)
def test_a_capture(status: str, finding: Finding | type, source: Source) -> None:
    one = cases.operation(CAPTURE, reference=cases.CAPTURE_ID if source is INQUIRY else None)
    evidence = read(one, 201, capture(status), source=source)
    assert isinstance(evidence.finding, finding) if isinstance(finding, type) else evidence.finding == finding
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == (cases.CAPTURE_ID, one.id, Money(1999, "EUR"))
    assert (evidence.captured, evidence.money_reference) == (None, None)


def held(status: str = "PARTIALLY_CAPTURED", **made: Any) -> dict[str, Any]:
    return shown_order(authorizations=[authorization(status)], **made)


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (held(captures=[capture()]), Approved(captured=True)),
        (held(captures=[capture("PENDING")]), Pending()),
        (held(captures=[capture(invoice_id="other", final_capture=False)]), Absent()),
        (held("CREATED"), Absent()),
        (held(captures=[capture(invoice_id="other")]), E.EXPIRED),
        (held("VOIDED"), E.EXPIRED),
        (held("CAPTURED", captures=[capture(invoice_id="other", final_capture=False)]), E.EXPIRED),
        (held(captures=[capture(), capture(id="C2")]), E.DUPLICATE_AT_PSP),
        (held("PENDING"), E.UNKNOWN_OUTCOME),
        (held("DENIED"), E.UNKNOWN_OUTCOME),
        (shown_order(), E.UNKNOWN_OUTCOME),
        (held(captures=[{"id": 5}]), E.UNKNOWN_OUTCOME),
    ],
)
def test_a_capture_is_found_in_its_order(body: object, finding: Finding | ErrorClass) -> None:
    evidence = read(cases.operation(CAPTURE), 200, body, source=INQUIRY)
    assert (class_of(evidence.finding) if isinstance(finding, ErrorClass) else evidence.finding) == finding


def test_the_totals_come_with_an_order() -> None:
    evidence = read(cases.operation(CAPTURE, minor=700), 200, held(captures=[capture(amount=cases.money("7.00"))]), source=INQUIRY)
    assert (evidence.amount, evidence.captured, evidence.refunded) == (Money(700, "EUR"), Money(700, "EUR"), Money(0, "EUR"))


@pytest.mark.parametrize(
    ("issue", "first", "again"),
    [
        ("AUTHORIZATION_VOIDED", (Declined, E.EXPIRED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("AUTHORIZATION_EXPIRED", (Declined, E.EXPIRED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("AUTHORIZATION_DENIED", (Declined, E.EXPIRED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("AUTHORIZATION_ALREADY_CAPTURED", (Unknown, E.DUPLICATE_AT_PSP), (Unknown, E.DUPLICATE_AT_PSP)),
        ("DUPLICATE_INVOICE_ID", (Unknown, E.DUPLICATE_AT_PSP), (Unknown, E.DUPLICATE_AT_PSP)),
        ("MAX_CAPTURE_AMOUNT_EXCEEDED", (Declined, E.OPERATION_NOT_ALLOWED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("MAX_CAPTURE_COUNT_EXCEEDED", (Declined, E.OPERATION_NOT_ALLOWED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("TRANSACTION_REFUSED", (Declined, E.FRAUD_BLOCKED), (Declined, E.FRAUD_BLOCKED)),
        ("PAYER_CANNOT_PAY", (Declined, E.SOFT_TRY_OTHER), (Declined, E.SOFT_TRY_OTHER)),
        ("DECIMAL_PRECISION", (NotExecuted, E.INVALID_REQUEST), (NotExecuted, E.INVALID_REQUEST)),
        ("PAYEE_ACCOUNT_RESTRICTED", (NotExecuted, E.CONFIGURATION), (NotExecuted, E.CONFIGURATION)),
    ],
)
def test_refusals_of_a_capture(issue: str, first: object, again: object) -> None:
    """What the first sending may itself have led to proves nothing in the answer to the second."""
    assert kind_of(read(cases.operation(CAPTURE), 422, error(422, issue))) == first
    assert kind_of(read(cases.operation(CAPTURE), 422, error(422, issue), source=REPLAY)) == again


# --- voids --------------------------------------------------------------------------------------------------------------------------------


def test_a_void() -> None:
    one = cases.operation(VOID)
    assert read(one, 204, b"").finding == Approved()
    shown = read(one, 200, authorization("VOIDED"))
    assert (shown.finding, shown.psp_reference, shown.amount) == (Approved(), cases.AUTHORIZATION_ID, Money(1999, "EUR"))
    assert isinstance(read(one, 200, authorization("CREATED")).finding, Unknown)
    assert isinstance(read(one, 200, authorization("VOIDED", id="ANOTHER")).finding, Unknown)
    assert isinstance(read(one, 200, b"").finding, Unknown)


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (held("VOIDED"), Approved()),
        (held("EXPIRED"), Released(expired=True)),
        (held("CREATED"), Absent()),
        (held(captures=[capture(final_capture=False)]), Absent()),
        (held(captures=[capture()]), Approved()),
        (held("CAPTURED", captures=[capture()]), E.OPERATION_NOT_ALLOWED),
        (held("PENDING"), E.UNKNOWN_OUTCOME),
        (shown_order(), E.UNKNOWN_OUTCOME),
    ],
)
def test_a_void_is_seen_in_its_order(body: object, finding: Finding | ErrorClass) -> None:
    evidence = read(cases.operation(VOID), 200, body, source=INQUIRY)
    assert (class_of(evidence.finding) if isinstance(finding, ErrorClass) else evidence.finding) == finding


@pytest.mark.parametrize(
    ("issue", "kind"),
    [
        ("PREVIOUSLY_VOIDED", (Approved, None)),
        ("PREVIOUSLY_CAPTURED", (Unknown, E.DUPLICATE_AT_PSP)),
        ("CANNOT_BE_VOIDED", (Declined, E.OPERATION_NOT_ALLOWED)),
    ],
)
def test_refusals_of_a_void(issue: str, kind: object) -> None:
    for source in ANSWERS:
        assert kind_of(read(cases.operation(VOID), 422, error(422, issue), source=source)) == kind
    # What a void wanted is nothing that a capture wanted.
    assert kind_of(read(cases.operation(CAPTURE), 422, error(422, "PREVIOUSLY_VOIDED")))[0] is NotExecuted


# --- refunds ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(
    ("status", "finding"),
    [("COMPLETED", Approved()), ("PENDING", Pending()), ("FAILED", Declined), ("CANCELLED", Declined), ("SOMETHING_NEW", Unknown)],
)
def test_a_refund(status: str, finding: Finding | type, source: Source) -> None:
    one = cases.operation(REFUND, reference=cases.REFUND_ID if source is INQUIRY else None)
    evidence = read(one, 201, refund(status), source=source)
    assert isinstance(evidence.finding, finding) if isinstance(finding, type) else evidence.finding == finding
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == (cases.REFUND_ID, one.id, Money(1999, "EUR"))


def test_a_refund_is_found_in_its_order() -> None:
    one = cases.operation(REFUND)
    assert read(one, 200, held(refunds=[refund()]), source=INQUIRY).finding == Approved()
    assert read(one, 200, held(refunds=[refund(custom_id=None)]), source=INQUIRY).finding == Approved()
    assert read(one, 200, held(refunds=[refund(custom_id="x", invoice_id="y")]), source=INQUIRY).finding == Absent()
    assert read(one, 200, held(), source=INQUIRY).finding == Absent()
    assert isinstance(read(one, 200, held(refunds=[refund(), refund(id="R2")]), source=INQUIRY).finding, Unknown)
    assert isinstance(read(one, 200, held(refunds=[{}]), source=INQUIRY).finding, Unknown)


@pytest.mark.parametrize("body", [refund(id="ANOTHER"), capture(), [], b"", refund(amount=None)])
def test_what_is_not_that_refund_is_unknown(body: object) -> None:
    assert isinstance(read(cases.operation(REFUND, reference=cases.REFUND_ID), 200, body, source=INQUIRY).finding, Unknown)


def test_a_refund_of_another_capture_is_another_object() -> None:
    link = [{"rel": "up", "href": "https://api-m.paypal.com/v2/payments/captures/ANOTHER"}]
    assert isinstance(read(cases.operation(REFUND), 201, refund(links=link)).finding, Unknown)


@pytest.mark.parametrize(
    ("issue", "first", "again"),
    [
        ("CAPTURE_FULLY_REFUNDED", (Declined, E.OPERATION_NOT_ALLOWED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("REFUND_AMOUNT_EXCEEDED", (Declined, E.OPERATION_NOT_ALLOWED), (Unknown, E.DUPLICATE_AT_PSP)),
        ("REFUND_TIME_LIMIT_EXCEEDED", (Declined, E.OPERATION_NOT_ALLOWED), (Declined, E.OPERATION_NOT_ALLOWED)),
        ("TRANSACTION_DISPUTED", (Declined, E.OPERATION_NOT_ALLOWED), (Declined, E.OPERATION_NOT_ALLOWED)),
        ("REFUND_FAILED_INSUFFICIENT_FUNDS", (Declined, E.SOFT_RETRY_LATER), (Declined, E.SOFT_RETRY_LATER)),
    ],
)
def test_refusals_of_a_refund(issue: str, first: object, again: object) -> None:
    assert kind_of(read(cases.operation(REFUND), 422, error(422, issue))) == first
    assert kind_of(read(cases.operation(REFUND), 422, error(422, issue), source=REPLAY)) == again


# --- what is kept -------------------------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_an_answer_is_on_the_list() -> None:
    body = shown_order(authorizations=[authorization(processor_response={"response_code": "0000", "cvv_code": "M"})])
    body["payment_source"]["card"] |= {"name": "PLANTED NAME", "last_digits": "4242"}
    body["purchase_units"][0]["shipping"] = {"address": {"postal_code": "PLANTED"}}
    body["planted"] = "PLANTED"
    raw = read(FRESH, 201, body).raw
    assert raw is not None
    assert not [word for word in ("PLANTED", "planted", "4242", "@", "href", "checkoutnow") if word in raw]
    kept = json.loads(raw)
    assert kept["http_status"] == 201
    assert kept["body"]["purchase_units"][0]["payments"]["authorizations"][0]["amount"] == {"currency_code": "EUR", "value": "19.99"}
    assert kept["body"]["payment_source"] == {"card": {"brand": "VISA"}}


def test_words_for_people_hold_no_secrets() -> None:
    details = [{"issue": "INSTRUMENT_DECLINED", "description": "Token A21AAsecret of me@shop.example, card 4111 1111 1111 1111\x00."}]
    finding = read(FRESH, 422, error(422) | {"details": details}).finding
    assert isinstance(finding, Declined)
    assert finding.failure.connector is not None
    assert finding.failure.connector.message == "Token [removed] of [removed], card [removed] ."


def test_what_is_too_large_is_only_counted() -> None:
    body = shown_order(refunds=[refund(id=f"R{number}") for number in range(200)])
    raw = read(cases.attempt(), 200, body, source=INQUIRY).raw
    assert raw is not None
    assert len(raw) < 8192
    assert "too_large_bytes" in raw


# --- any bytes ----------------------------------------------------------------------------------------------------------------------------

SUBJECTS: list[Attempt | Operation] = [
    FRESH, AUTOMATIC, cases.attempt(), *(cases.operation(kind) for kind in OperationKind), cases.operation(CAPTURE, reference="C1"),
    cases.operation(REFUND, reference="R1"),
]  # fmt: skip
NAMES = """
    id status name details issue purchase_units payments authorizations captures refunds amount currency_code value links rel href
    custom_id invoice_id final_capture payment_source card authentication_result three_d_secure authentication_status expiration_time
    update_time supplementary_data related_ids order_id authorization_id status_details reason processor_response response_code
"""
WORDS = [
    "COMPLETED",
    "CREATED",
    "APPROVED",
    "VOIDED",
    "PENDING",
    "payer-action",
    "up",
    "https://x",
    "19.99",
    "EUR",
    cases.ORDER_ID,
    "2026-13-40T99:99:99Z",
]
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20), st.sampled_from(WORDS))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=5)),
    max_leaves=30,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.binary(max_size=100), TREES.map(lambda tree: json.dumps(tree).encode())),
    st.integers(100, 599),
    st.sampled_from(SUBJECTS),
    st.sampled_from([RESPONSE, REPLAY, INQUIRY]),
)
def test_nothing_that_paypal_could_send_makes_it_raise(body: bytes, status: int, subject: Attempt | Operation, source: Source) -> None:
    if source is INQUIRY and connector.inquire(subject, subject if isinstance(subject, Attempt) else cases.attempt()) is None:
        return
    evidence = read(subject, status, body, source=source)
    assert evidence.raw is not None
    json.loads(evidence.raw)
    if not 200 <= status < 300:
        assert not isinstance(evidence.finding, Approved) or b"PREVIOUSLY_VOIDED" in body


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'"\xed\xa0\x80"', b"1" * 5000, json.dumps({"id": "x" * 10**6, "status": "y"}).encode()]
)
def test_malice_is_unknown(body: bytes) -> None:
    assert isinstance(read(FRESH, 201, body).finding, Unknown)
