"""What Stripe's answers say: first whether anything can have happened, then what; on every status, and without ever raising."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.contract import HttpResponse
from connectors.stripe import connector
from connectors.stripe.redaction import MAXIMUM_BYTES
from payorch.domain.money import Money
from payorch.domain.outcome import (
    POLICY,
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    Kind,
    NextAction,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.records import Attempt, Operation, OperationKind
from payorch.domain.weigh_nothing import conflict_of
from tests.connectors.stripe import stripe_cases as cases

E = ErrorClass
RESPONSE, REPLAY, INQUIRY = Source.RESPONSE, Source.REPLAY, Source.INQUIRY
CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
FIXTURES = Path(__file__).parents[4] / "shared/psp-specs/stripe/fixtures3.json"


def failure_of(evidence: Evidence) -> Failure:
    finding = evidence.finding
    assert isinstance(finding, (Declined, NotExecuted, Unknown))
    return finding.failure


def is_unknown(evidence: Evidence, error_class: ErrorClass = E.UNKNOWN_OUTCOME) -> bool:
    return isinstance(evidence.finding, Unknown) and evidence.finding.failure.error_class is error_class


# --- an attempt: the PaymentIntent's status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
def test_held_and_charged(source: Source) -> None:
    held = cases.read(cases.attempt(), 200, cases.payment_intent("requires_capture"), source=source)
    assert held.finding == Approved(captured=False)
    assert (held.psp_reference, held.our_reference, held.psp_request_id) == (cases.INTENT_ID, cases.ATTEMPT_ID, "req_Abc123")
    assert (held.amount, held.captured, held.source, held.at) == (Money(1999, "EUR"), Money(0, "EUR"), source, cases.NOW)
    charged = cases.read(cases.attempt(), 200, cases.payment_intent("succeeded"), source=source)
    assert charged.finding == Approved(captured=True)
    assert charged.captured == Money(1999, "EUR")


def test_a_held_charge_tells_until_when_and_what_was_refunded() -> None:
    charge = {
        "amount": 1999, "amount_captured": 0, "amount_refunded": 0, "currency": "eur",
        "payment_method_details": {"card": {"capture_before": 1795435200, "network": "visa"}},
    }  # fmt: skip
    held = cases.read(cases.attempt(), 200, cases.payment_intent("requires_capture", latest_charge=charge))
    assert held.expires_at == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert held.refunded == Money(0, "EUR")
    # A partial capture: Stripe counts the 9.99 that were released as refunded, and of what was captured nothing was.
    charge |= {"amount_captured": 1000, "amount_refunded": 999}
    part = cases.read(cases.attempt(), 200, cases.payment_intent("succeeded", amount_received=1000, latest_charge=charge))
    assert (part.captured, part.refunded, part.expires_at) == (Money(1000, "EUR"), Money(0, "EUR"), None)
    charge |= {"amount_refunded": 1299}
    back = cases.read(cases.attempt(), 200, cases.payment_intent("succeeded", amount_received=1000, latest_charge=charge))
    assert back.refunded == Money(300, "EUR")
    # While the rest is still capturable nothing was released, so what counts as refunded is.
    charge |= {"amount_refunded": 300}
    still_open = cases.read(cases.attempt(), 200, cases.payment_intent("requires_capture", amount_received=1000, latest_charge=charge))
    assert still_open.refunded == Money(300, "EUR")


def test_a_redirect_is_the_shoppers_turn() -> None:
    url = "https://hooks.stripe.com/3d_secure_2/hosted?merchant=acct_1&payment_intent=pi_1"
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": cases.RETURN_URL}}
    evidence = cases.read(cases.attempt(), 200, cases.payment_intent("requires_action", next_action=action))
    assert evidence.finding == Pending(action=NextAction(url=url))
    assert evidence.raw is not None
    assert "hooks.stripe.com" not in evidence.raw


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x.test/ a", "https://x.test/\n", "", None, 7, "//x.test"])
def test_an_address_that_is_none_is_not_shown_to_a_shopper(url: object) -> None:
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
    assert cases.read(cases.attempt(), 200, cases.payment_intent("requires_action", next_action=action)).finding == Pending()


def test_an_action_that_needs_stripes_script_cannot_be_finished() -> None:
    shown = cases.payment_intent("requires_action", next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}})
    evidence = cases.read(cases.attempt(), 200, shown)
    assert isinstance(evidence.finding, Declined)
    assert failure_of(evidence).error_class is E.AUTHENTICATION_REQUIRED
    later = cases.payment_intent("requires_action", next_action={"type": "card_await_notification"})
    assert cases.read(cases.attempt(), 200, later).finding == Pending()  # goes on by itself


def test_processing_is_pending() -> None:
    assert cases.read(cases.attempt(), 200, cases.payment_intent("processing")).finding == Pending()


@pytest.mark.parametrize("status", ["requires_confirmation", "requires_payment_method"])
def test_a_confirmation_that_never_took_effect(status: str) -> None:
    shown = cases.payment_intent(status)
    answered = cases.read(cases.attempt(), 200, shown)
    assert isinstance(answered.finding, NotExecuted)
    assert answered.finding.sent
    # Seen from outside, our call may still be between creating and confirming, until its key is dead.
    assert is_unknown(cases.read(cases.attempt(), 200, shown, source=INQUIRY))
    much_later = cases.NOW + timedelta(hours=22)
    assert isinstance(cases.read(cases.attempt(), 200, shown, source=INQUIRY, at=much_later).finding, NotExecuted)


def test_a_failed_challenge_is_a_no_of_the_shoppers() -> None:
    error = {"type": "invalid_request_error", "code": "payment_intent_authentication_failure", "message": "Failed."}
    evidence = cases.read(cases.attempt(), 200, cases.payment_intent("requires_payment_method", last_payment_error=error), source=INQUIRY)
    assert isinstance(evidence.finding, Declined)
    assert failure_of(evidence).error_class is E.FIX_DATA


@pytest.mark.parametrize(("reason", "expired"), [("automatic", True), ("expired", True), ("requested_by_customer", False), (None, False)])
def test_a_canceled_payment_intent_is_released(reason: str | None, expired: bool) -> None:
    shown = cases.payment_intent("canceled", cancellation_reason=reason)
    assert cases.read(cases.attempt(), 200, shown, source=INQUIRY).finding == Released(expired=expired)
    assert is_unknown(cases.read(cases.attempt(), 200, shown))  # no answer to a creation
    taken = shown | {"amount_received": 500}
    assert cases.read(cases.attempt(), 200, taken, source=INQUIRY).finding == Approved(captured=True)
    ours = taken | {"metadata": {"payorch_operation": "cap_1"}}
    assert cases.read(cases.attempt(), 200, ours, source=INQUIRY).finding == Released(expired=expired)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "pi_another"},
        {"status": "a_status_of_tomorrow"},
        {"object": "charge"},
        {"id": None},
        {"id": "pi_1 or 1=1"},
        {"status": 7},
        {"amount": "1999"},
        {"amount": 19.99},
        {"amount": None},
        {"currency": "xyz"},
        {"currency": None},
    ],
)
def test_a_payment_intent_that_is_not_the_one_or_not_understood_is_unknown(changes: dict[str, Any]) -> None:
    evidence = cases.read(cases.attempt(), 200, cases.payment_intent("requires_capture") | changes, source=REPLAY)
    assert is_unknown(evidence)


def test_another_object_leaves_no_trace_of_its_own() -> None:
    evidence = cases.read(cases.attempt(), 200, cases.payment_intent("succeeded", id="pi_another"), source=INQUIRY)
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount, evidence.captured) == (None, None, None, None)


def test_another_amount_or_reference_is_reported_as_it_is() -> None:
    shown = cases.payment_intent("requires_capture", amount=1, metadata={"payorch_attempt": "att_other"})
    evidence = cases.read(cases.attempt(reference=None), 200, shown)
    assert (evidence.finding, evidence.amount, evidence.our_reference) == (Approved(), Money(1, "EUR"), "att_other")


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(("capturable", "received"), [(999, 0), (0, 0), (2100, 0), (1000, 500), (1999, 500)])
def test_a_hold_of_another_amount_than_asked_for_is_told_by_what_is_held(capturable: int, received: int, source: Source) -> None:
    """A partial authorisation leaves `amount` as it was asked for; the domain has to see that it is not what the issuer agreed to."""
    shown = cases.payment_intent("requires_capture", amount_capturable=capturable, amount_received=received)
    evidence = cases.read(cases.attempt(), 200, shown, source=source)
    assert (evidence.finding, evidence.amount) == (Approved(captured=False), Money(capturable + received, "EUR"))
    assert conflict_of(cases.attempt(), evidence) is not None


def test_a_hold_of_which_captures_took_a_part_is_whole() -> None:
    shown = cases.payment_intent("requires_capture", amount_capturable=1499, amount_received=500)
    evidence = cases.read(cases.attempt(), 200, shown, source=INQUIRY)
    assert (evidence.finding, evidence.amount, evidence.captured) == (Approved(captured=False), Money(1999, "EUR"), Money(500, "EUR"))
    assert conflict_of(cases.attempt(), evidence) is None


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(
    ("status", "name"),
    [("succeeded", "amount_received"), ("requires_capture", "amount_received"), ("requires_capture", "amount_capturable")],
)
def test_money_that_stripe_does_not_put_a_number_on_is_no_success(status: str, name: str, source: Source) -> None:
    shown = cases.payment_intent(status)
    for body in (*(shown | {name: value} for value in (None, "1999", 19.99, True, -1)), {key: shown[key] for key in shown if key != name}):
        assert is_unknown(cases.read(cases.attempt(), 200, body, source=source))


# --- an attempt: errors -----------------------------------------------------------------------------------------------------------------


def card_error(**fields: Any) -> dict[str, Any]:
    embedded = cases.payment_intent("requires_payment_method")
    return cases.error("card_error", code="card_declined", payment_intent=embedded, **fields)


def test_a_decline_has_three_layers_and_the_payment_intent() -> None:
    body = card_error(decline_code="insufficient_funds", advice_code="try_again_later", payment_method={"card": {"brand": "visa"}})
    evidence = cases.read(cases.attempt(reference=None), 402, body)
    assert isinstance(evidence.finding, Declined)
    failure = failure_of(evidence)
    assert (failure.error_class, failure.code) == (E.SOFT_RETRY_LATER, "declined_for_now")
    assert failure.connector is not None
    assert failure.network is not None
    assert (failure.connector.code, failure.connector.message, failure.connector.http_status) == ("card_declined", "Stripe's words.", 402)
    assert (failure.network.scheme, failure.network.decline_code, failure.network.advice_code) == (
        "visa", "insufficient_funds", "try_again_later",
    )  # fmt: skip
    assert (evidence.psp_reference, evidence.our_reference) == (cases.INTENT_ID, cases.ATTEMPT_ID)


def test_the_networks_own_codes_come_first() -> None:
    network = failure_of(cases.read(cases.attempt(), 402, card_error(decline_code="do_not_honor", network_decline_code="41"))).network
    assert network is not None
    assert network.decline_code == "41"


@pytest.mark.parametrize("status", ["requires_capture", "succeeded", "processing"])
def test_a_decline_whose_payment_intent_holds_money_is_unknown(status: str) -> None:
    body = cases.error("card_error", code="card_declined", payment_intent=cases.payment_intent(status))
    assert is_unknown(cases.read(cases.attempt(), 402, body))


def test_a_duplicate_is_looked_up_before_it_is_a_no() -> None:
    fields = {"code": "card_declined", "decline_code": "duplicate_transaction"}
    assert is_unknown(cases.read(cases.attempt(), 402, card_error(decline_code="duplicate_transaction")), E.DUPLICATE_AT_PSP)
    shown = cases.payment_intent("requires_payment_method", last_payment_error={"type": "card_error", **fields})
    looked_up = cases.read(cases.attempt(), 200, shown, source=INQUIRY)
    assert isinstance(looked_up.finding, Declined)
    assert not POLICY[failure_of(looked_up).error_class].try_other


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refused_message_was_not_executed(status: int) -> None:
    evidence = cases.read(cases.attempt(reference=None), status, cases.error("invalid_request_error", code="parameter_missing"))
    assert isinstance(evidence.finding, NotExecuted)
    assert evidence.finding.sent
    assert failure_of(evidence).error_class is E.INVALID_REQUEST


def test_a_refusal_for_the_accounts_sake_is_configuration() -> None:
    evidence = cases.read(cases.attempt(), 400, cases.error("invalid_request_error", code="payment_method_unactivated"))
    assert failure_of(evidence).error_class is E.CONFIGURATION


@pytest.mark.parametrize(("status", "error_class"), [(401, E.CONFIGURATION), (403, E.CONFIGURATION), (429, E.RATE_LIMITED)])
@pytest.mark.parametrize("body", [cases.error("invalid_request_error"), b"", b"<html>Too many requests</html>"])
def test_turned_away_at_the_door(status: int, error_class: ErrorClass, body: object) -> None:
    first = cases.read(cases.attempt(reference=None), status, body)
    assert isinstance(first.finding, NotExecuted)
    assert first.finding.sent
    assert failure_of(first).error_class is error_class
    # The door stands before the idempotency layer: a replay turned away says nothing about the first sending.
    assert is_unknown(cases.read(cases.attempt(), status, body, source=REPLAY))
    assert is_unknown(cases.read(cases.attempt(), status, body, source=INQUIRY))


def test_the_older_form_of_rate_limiting() -> None:
    evidence = cases.read(cases.attempt(), 400, cases.error("invalid_request_error", code="rate_limit"))
    assert failure_of(evidence).error_class is E.RATE_LIMITED


def test_a_lock_that_was_not_got_in_time_is_unknown() -> None:
    body = cases.error("invalid_request_error", code="lock_timeout")
    for subject in (cases.attempt(), cases.operation(CAPTURE)):
        assert is_unknown(cases.read(subject, 429, body))


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
@pytest.mark.parametrize(("status", "body"), [(500, cases.error("api_error")), (503, b""), (402, cases.error("card_error")), (200, b"")])
def test_what_stripe_keeps_under_the_key_is_told_by_a_header(source: Source, status: int, body: object) -> None:
    """It changes nothing of what the answer means, and an inquiry has no key."""
    subject = cases.attempt()
    call = connector.inquire(subject, subject) if source is INQUIRY else subject.call
    assert call is not None
    plain, told, other = (
        connector.read(subject, call, cases.response(status, body, **headers), source=source, at=cases.NOW)
        for headers in ({}, {"idempotent_replayed": "true"}, {"idempotent_replayed": "false"})
    )
    assert told.stored is (source is not INQUIRY)
    assert told.repeats_error is (source is not INQUIRY and status >= 500)
    assert plain == other == replace(told, stored=False)


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_a_key_conflict_is_evidence_that_one_exists(status: int) -> None:
    assert is_unknown(cases.read(cases.attempt(), status, cases.error("idempotency_error"), source=REPLAY), E.DUPLICATE_AT_PSP)


@pytest.mark.parametrize("status", [100, 301, 302, 307, 308, 402, 405, 408, 409, 413, 418, 424, 500, 502, 503, 504, 599, 0, 999])
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", cases.error("api_error"), b'{"error":"invalid_grant"}'])
def test_everything_else_is_unknown(status: int, body: object) -> None:
    for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(VOID), cases.operation(REFUND)):
        for source in (RESPONSE, REPLAY, INQUIRY):
            assert is_unknown(cases.read(subject, status, body, source=source))


@pytest.mark.parametrize("status", [408, 409])
@pytest.mark.parametrize("kind", ["invalid_request_error", "card_error"])
def test_a_timeout_or_a_conflict_at_stripe_is_unknown_whatever_it_says(status: int, kind: str) -> None:
    assert is_unknown(cases.read(cases.attempt(), status, cases.error(kind, code="card_declined")))


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refusal_that_is_not_stripes_is_unknown(status: int) -> None:
    for body in (b"", b"Bad Request", b"[]", b'{"error":{}}', b'{"error":{"type":7}}', cases.error("api_error")):
        assert is_unknown(cases.read(cases.attempt(), status, body))


@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"<html>ok</html>", b'{"id":"pi_1"}', b"\xff\xfe", b"{}" * 2])
def test_a_2xx_that_cannot_be_understood_is_unknown(status: int, body: bytes) -> None:
    for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(VOID), cases.operation(REFUND)):
        for source in (RESPONSE, REPLAY, INQUIRY):
            assert is_unknown(cases.read(subject, status, body, source=source))


# --- search -----------------------------------------------------------------------------------------------------------------------------


def found(*entries: dict[str, Any], more: bool = False) -> Evidence:
    return cases.read(cases.attempt(reference=None), 200, cases.listing(*entries, kind="search_result", more=more), source=INQUIRY)


def test_a_search_finds_ours_nothing_or_too_much() -> None:
    ours = cases.payment_intent("requires_capture")
    evidence = found(ours)
    assert (evidence.finding, evidence.psp_reference) == (Approved(), cases.INTENT_ID)
    assert found().finding == Absent()
    assert is_unknown(found(more=True))
    assert is_unknown(found(ours, more=True))
    assert is_unknown(found(ours, ours | {"id": "pi_2", "metadata": {"payorch_attempt": "att_other"}}))
    assert is_unknown(found(ours | {"metadata": {"payorch_attempt": "att_other"}}))
    assert is_unknown(found({"object": "payment_intent"}))
    assert is_unknown(found(ours, ours | {"id": "pi_second"}), E.DUPLICATE_AT_PSP)


def test_an_id_that_stripe_gave_and_does_not_know_is_no_proof_of_absence() -> None:
    body = cases.error("invalid_request_error", code="resource_missing")
    for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(VOID), cases.operation(REFUND, reference="re_1")):
        assert is_unknown(cases.read(subject, 404, body, source=INQUIRY))


# --- captures ---------------------------------------------------------------------------------------------------------------------------


def named(status: str, received: int, **changes: Any) -> dict[str, Any]:
    """A PaymentIntent whose metadata names our capture as the last."""
    metadata = {"payorch_attempt": cases.ATTEMPT_ID, "payorch_operation": cases.operation(CAPTURE).id}
    return cases.payment_intent(status, amount_received=received, metadata=metadata, **changes)


def other(status: str, received: int) -> dict[str, Any]:
    """The same, naming another capture of ours."""
    return named(status, received) | {"metadata": {"payorch_operation": "cap_other"}}


def plain(status: str, received: int, **changes: Any) -> dict[str, Any]:
    return cases.payment_intent(status, amount_received=received, **changes)


@pytest.mark.parametrize("source", [RESPONSE, REPLAY, INQUIRY])
def test_a_capture_that_took_effect(source: Source) -> None:
    for shown in (named("succeeded", 700), plain("succeeded", 700)):
        evidence = cases.read(cases.operation(CAPTURE, minor=700), 200, shown, source=source)
        assert evidence.finding == Approved(captured=True)
        assert (evidence.captured, evidence.amount, evidence.psp_reference) == (Money(700, "EUR"), None, cases.INTENT_ID)
    part = cases.operation(CAPTURE, minor=700, final=False)
    call = cases.call_of(cases.operation(CAPTURE, minor=700))
    evidence = cases.read(part, 200, named("requires_capture", 900), source=source, call=call if source is not INQUIRY else None)
    assert (evidence.finding, evidence.our_reference) == (Approved(captured=True), part.id)


@pytest.mark.parametrize(
    ("shown", "finding"),
    [
        (plain("requires_capture", 0), Absent),
        (other("requires_capture", 600), Absent),
        (other("requires_capture", 900), Unknown),  # an earlier one may hide ours
        (other("succeeded", 900), Unknown),
        (plain("succeeded", 900), Unknown),
        (other("succeeded", 700), Unknown),  # the same amount, by another capture of ours
        (named("succeeded", 600), Approved),  # it names ours: that it took less is in the total, and people look at it
        (named("requires_capture", 600), Unknown),
        (named("requires_capture", 900), Unknown),  # ours was final, and yet it is open
        (plain("succeeded", 600), Declined),  # closed, and with less than ours
        (plain("canceled", 0), Declined),
        (named("canceled", 700), Approved),
        (plain("processing", 0), Unknown),
        (plain("requires_payment_method", 0), Unknown),
        (plain("succeeded", 700) | {"amount_received": None}, Unknown),
        (plain("succeeded", 700) | {"currency": "usd"}, Unknown),
    ],
)
def test_a_capture_seen_from_outside(shown: dict[str, Any], finding: type) -> None:
    assert type(cases.read(cases.operation(CAPTURE, minor=700), 200, shown, source=INQUIRY).finding) is finding


def refused(code: str, shown: dict[str, Any] | None = None) -> dict[str, Any]:
    return cases.error("invalid_request_error", code=code, **({"payment_intent": shown} if shown else {}))


@pytest.mark.parametrize(
    ("body", "error_class"),
    [
        (refused("payment_intent_unexpected_state", plain("canceled", 0, cancellation_reason="automatic")), E.EXPIRED),
        (refused("payment_intent_unexpected_state", plain("succeeded", 600)), E.OPERATION_NOT_ALLOWED),
        (refused("payment_intent_unexpected_state", other("succeeded", 900)), E.EXPIRED),  # our own last capture closed it
        (refused("payment_intent_unexpected_state", plain("processing", 0)), E.OPERATION_NOT_ALLOWED),
        (refused("payment_intent_unexpected_state"), E.OPERATION_NOT_ALLOWED),
        (refused("amount_too_large", plain("requires_capture", 0)), E.OPERATION_NOT_ALLOWED),
        (refused("charge_expired_for_capture"), E.EXPIRED),
        (refused("capture_charge_authorization_expired", plain("requires_capture", 0)), E.EXPIRED),
    ],
)
def test_a_capture_refused(body: dict[str, Any], error_class: ErrorClass) -> None:
    evidence = cases.read(cases.operation(CAPTURE, minor=700), 400, body)
    assert isinstance(evidence.finding, Declined)
    failure = failure_of(evidence)
    assert failure.error_class is error_class
    assert failure.connector is not None
    assert (failure.connector.code, failure.connector.message) == (body["error"]["code"], "Stripe's words.")


def test_a_capture_refused_because_it_was_done() -> None:
    done = refused("payment_intent_unexpected_state", plain("succeeded", 700))
    assert cases.read(cases.operation(CAPTURE, minor=700), 400, done).finding == Approved(captured=True)
    assert is_unknown(cases.read(cases.operation(CAPTURE), 400, refused("charge_already_captured")), E.DUPLICATE_AT_PSP)


def test_a_capture_that_the_issuer_declined() -> None:
    for shown, finding in ((plain("requires_capture", 0), Declined), (plain("succeeded", 700), Unknown), (None, Declined)):
        body = cases.error("card_error", code="card_declined", **({"payment_intent": shown} if shown else {}))
        assert type(cases.read(cases.operation(CAPTURE, minor=700), 402, body).finding) is finding


def test_a_capture_whose_answer_does_not_fit_is_unknown() -> None:
    for shown in (plain("requires_capture", 0), plain("succeeded", 600), plain("canceled", 0), plain("succeeded", 700, id="pi_other")):
        assert is_unknown(cases.read(cases.operation(CAPTURE, minor=700), 200, shown))


# --- voids ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown", "finding"),
    [
        (RESPONSE, plain("canceled", 0), Approved()),
        (RESPONSE, plain("canceled", 0, cancellation_reason="automatic"), Approved()),
        (RESPONSE, plain("succeeded", 700), Approved()),  # the rest of a partly captured one
        (INQUIRY, plain("canceled", 0, cancellation_reason="requested_by_customer"), Approved()),
        (INQUIRY, plain("canceled", 0, cancellation_reason="automatic"), Released(expired=True)),
        (INQUIRY, other("succeeded", 700), Approved()),
        (INQUIRY, plain("requires_capture", 0), Absent()),
        (INQUIRY, plain("requires_action", 0), Absent()),
        (INQUIRY, plain("requires_payment_method", 0), Absent()),  # the shopper was declined meanwhile: still open for another try
    ],
)
def test_a_void(source: Source, shown: dict[str, Any], finding: object) -> None:
    evidence = cases.read(cases.operation(VOID), 200, shown, source=source)
    assert evidence.finding == finding
    assert evidence.our_reference is None


def test_a_void_that_came_too_late() -> None:
    for evidence in (
        cases.read(cases.operation(VOID), 400, refused("payment_intent_unexpected_state", plain("succeeded", 1999))),
        cases.read(cases.operation(VOID), 200, plain("succeeded", 1999), source=INQUIRY),
        cases.read(cases.operation(VOID), 200, plain("succeeded", 700), source=INQUIRY),  # not by a capture of ours
    ):
        assert isinstance(evidence.finding, Declined)
        assert failure_of(evidence).error_class is E.OPERATION_NOT_ALLOWED
        assert evidence.captured is not None
        assert evidence.captured.minor > 0


def test_a_void_of_what_was_already_void_is_done() -> None:
    body = refused("payment_intent_unexpected_state", plain("canceled", 0, cancellation_reason="abandoned"))
    assert cases.read(cases.operation(VOID), 400, body).finding == Approved()


@pytest.mark.parametrize("shown", [plain("requires_capture", 0), plain("succeeded", 1999), plain("processing", 0)])
def test_a_void_whose_answer_does_not_fit_is_unknown(shown: dict[str, Any]) -> None:
    assert is_unknown(cases.read(cases.operation(VOID), 200, shown))


# --- refunds ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        ("succeeded", Approved),
        ("pending", Pending),
        ("requires_action", Pending),
        ("failed", Declined),
        ("canceled", Declined),
        ("tomorrow", Unknown),
    ],
)
@pytest.mark.parametrize("source", [RESPONSE, INQUIRY])
def test_a_refunds_status(status: str, finding: type, source: Source) -> None:
    subject = cases.operation(REFUND, reference="re_3PgafyB7WZ01zgkW" if source is INQUIRY else None)
    evidence = cases.read(subject, 200, cases.refund(status), source=source)
    assert type(evidence.finding) is finding
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == ("re_3PgafyB7WZ01zgkW", subject.id, Money(1999, "EUR"))
    assert (evidence.captured, evidence.refunded) == (None, None)


def test_our_refund_is_found_among_all() -> None:
    subject, ours, foreign = cases.operation(REFUND), cases.refund("succeeded"), cases.refund("succeeded", id="re_2", metadata={})

    def among(*entries: dict[str, Any], more: bool = False) -> Evidence:
        return cases.read(subject, 200, cases.listing(*entries, more=more), source=INQUIRY)

    assert among(foreign, ours).finding == Approved()
    assert among(foreign, ours, more=True).finding == Approved()
    assert among().finding == Absent()
    assert among(foreign).finding == Absent()
    assert is_unknown(among(foreign, more=True))
    assert is_unknown(among(foreign, {"object": "refund"}))
    assert is_unknown(among(ours, ours | {"id": "re_3"}), E.DUPLICATE_AT_PSP)
    assert is_unknown(among(ours | {"payment_intent": "pi_other"}))


def charged(*refunds: dict[str, Any], back: int, captured: int = 1999, more: bool = False) -> dict[str, Any]:
    """A PaymentIntent of 19.99 with its charge, of which `back` counts as refunded, and these refunds."""
    charge = {
        "object": "charge", "amount": 1999, "amount_captured": captured, "amount_refunded": back, "currency": "eur",
        "refunds": cases.listing(*refunds, more=more),
    }  # fmt: skip
    return cases.payment_intent("succeeded", amount_received=captured, latest_charge=charge)


def test_an_inquiry_tells_of_every_refund_whoever_made_it() -> None:
    ours = cases.refund("succeeded", amount=300)
    theirs = cases.refund("pending", id="re_2", amount=200, metadata={})
    failed = cases.refund("failed", id="re_3", amount=100, metadata={})
    for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(VOID)):
        evidence = cases.read(subject, 200, charged(ours, theirs, failed, back=500), source=INQUIRY)
        assert evidence.refunded == Money(500, "EUR")
        assert evidence.refunds is not None
        assert [(one.psp_reference, one.amount.minor, one.our_reference, type(one.finding)) for one in evidence.refunds] == [
            ("re_3PgafyB7WZ01zgkW", 300, "ref_01kavq7c1zfz6b3p", Approved),
            ("re_2", 200, None, Pending),
            ("re_3", 100, None, Declined),
        ]
    listed = cases.read(cases.operation(REFUND), 200, cases.listing(ours | {"amount": 1999}, theirs), source=INQUIRY)
    assert listed.refunds is not None
    assert [one.psp_reference for one in listed.refunds] == ["re_3PgafyB7WZ01zgkW", "re_2"]
    assert cases.read(cases.operation(REFUND), 200, cases.listing(theirs), source=INQUIRY).refunds is not None


def test_the_release_of_a_rest_is_no_refund_though_it_may_be_listed_as_one() -> None:
    theirs = cases.refund("succeeded", id="re_2", amount=200, metadata={})
    release = cases.refund("succeeded", id="re_3", amount=499, metadata={})
    evidence = cases.read(cases.attempt(), 200, charged(theirs, release, back=699, captured=1500), source=INQUIRY)
    assert evidence.refunded == Money(200, "EUR")
    assert evidence.refunds is not None
    assert [one.psp_reference for one in evidence.refunds] == ["re_2"]


@pytest.mark.parametrize(
    ("entries", "more"),
    [
        ([cases.refund("succeeded", amount=300)], True),
        ([cases.refund("succeeded", amount=301)], False),  # does not make up the total
        ([cases.refund("succeeded", amount=300), {"object": "refund"}], False),
        ([cases.refund("succeeded", amount=300, payment_intent="pi_other")], False),
        ([cases.refund("succeeded", amount=None)], False),
    ],
)
def test_a_list_that_may_not_be_all_of_it_is_none(entries: list[dict[str, Any]], more: bool) -> None:
    evidence = cases.read(cases.attempt(), 200, charged(*entries, back=300, more=more), source=INQUIRY)
    assert (evidence.refunds, evidence.refunded) == (None, Money(300, "EUR"))


@pytest.mark.parametrize("changes", [{"payment_intent": "pi_other"}, {"metadata": {"payorch_operation": "ref_other"}}, {"amount": None}])
def test_another_refund_is_unknown(changes: dict[str, Any]) -> None:
    assert is_unknown(cases.read(cases.operation(REFUND), 200, cases.refund("succeeded", **changes)))
    assert is_unknown(cases.read(cases.operation(REFUND, reference="re_other"), 200, cases.refund("succeeded"), source=INQUIRY))


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("charge_already_refunded", E.OPERATION_NOT_ALLOWED),
        ("charge_disputed", E.OPERATION_NOT_ALLOWED),
        ("refund_disputed_payment", E.OPERATION_NOT_ALLOWED),
        ("balance_insufficient", E.SOFT_RETRY_LATER),
    ],
)
def test_a_refund_refused(code: str, error_class: ErrorClass) -> None:
    evidence = cases.read(cases.operation(REFUND), 400, refused(code, cases.payment_intent("succeeded")))
    assert isinstance(evidence.finding, Declined)
    assert failure_of(evidence).error_class is error_class
    assert evidence.psp_reference is None  # never the PaymentIntent's id for a refund


# --- what is kept -----------------------------------------------------------------------------------------------------------------------

SECRETS = ("PLANTED", "sk_live_", "jenny.rosen@example.com", "Jenny", "4242424242424242", "10.1.2.3", "Main Street")


def dirty_intent(status: str) -> dict[str, Any]:
    personal = {"name": "Jenny Rosen", "email": "jenny.rosen@example.com", "address": {"line1": "1 Main Street"}}
    card = {"last4": "4242", "fingerprint": "PLANTED", "number": "4242424242424242", "network": "visa"}
    charge = {
        "id": "ch_1",
        "object": "charge",
        "billing_details": personal,
        "payment_method_details": {"card": card},
        "receipt_url": "https://PLANTED",
    }
    return cases.payment_intent(
        status, latest_charge=charge, receipt_email="jenny.rosen@example.com", shipping=personal, description="for Jenny PLANTED",
        cancellation_reason="sk_live_PLANTED", capture_method="Jenny Rosen",
        metadata={"payorch_attempt": cases.ATTEMPT_ID, "payorch_payment": "pi_1_secret_PLANTED", "note": "PLANTED"},
        next_action={"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/PLANTED"}},
    )  # fmt: skip


def test_nothing_secret_or_personal_is_kept() -> None:
    message = "Bad key sk_live_PLANTED9 for jenny.rosen@example.com, card 4242 4242 4242 4242, pi_1_secret_PLANTED\x00\n\ud800"
    bodies: list[tuple[int, object]] = [
        (200, dirty_intent("requires_capture")),
        (402, cases.error("card_error", code="card_declined", message=message, payment_intent=dirty_intent("requires_payment_method"))),
        (
            402,
            {"error": {"type": "card_error", "code": "pi_1_secret_PLANTED", "message": "Your card 4242424242424242", "param": "PLANTED x"}},
        ),
        (500, b"sk_live_PLANTED Jenny"),
    ]
    for status, body in bodies:
        encoded = json.dumps(body, ensure_ascii=True).encode() if not isinstance(body, bytes) else body
        for evidence in (cases.read(cases.attempt(), status, encoded), cases.read(cases.operation(CAPTURE), status, encoded)):
            kept = repr(evidence)
            assert [secret for secret in SECRETS if secret in kept] == []
            assert "\x00" not in kept


def test_a_message_is_one_printable_line() -> None:
    message = "Your card\x00\r\nwas \u202edeclined." + "x" * 5000
    connector_said = failure_of(cases.read(cases.attempt(), 402, cases.error("card_error", message=message))).connector
    assert connector_said is not None
    assert connector_said.message is not None
    assert connector_said.message.isprintable()
    assert len(connector_said.message) <= 300


def test_what_is_on_the_list_is_kept() -> None:
    evidence = cases.read(cases.attempt(), 200, dirty_intent("requires_capture"))
    assert evidence.raw is not None
    kept = json.loads(evidence.raw)
    assert kept["http_status"] == 200
    assert kept["body"]["id"] == cases.INTENT_ID
    assert kept["body"]["amount"] == 1999
    assert kept["body"]["metadata"] == {"payorch_attempt": cases.ATTEMPT_ID}
    assert kept["body"]["latest_charge"]["payment_method_details"]["card"] == {"network": "visa"}
    assert json.loads(cases.read(cases.attempt(), 502, b"<html>").raw or "") == {"http_status": 502, "body": {"undecodable_bytes": 6}}


def test_what_is_kept_has_a_largest_size() -> None:
    for subject, body in (
        (cases.operation(REFUND), cases.listing(*[cases.refund("succeeded", id=f"re_{n}", reason="x" * 250) for n in range(500)])),
        (cases.attempt(), cases.payment_intent("succeeded", description="x" * 10**6, cancellation_reason="y" * 10**6)),
    ):
        evidence = cases.read(subject, 200, body, source=INQUIRY)
        assert evidence.raw is not None
        assert len(evidence.raw) <= MAXIMUM_BYTES


# --- any bytes --------------------------------------------------------------------------------------------------------------------------

SUBJECTS: list[Attempt | Operation] = [
    cases.attempt(), cases.attempt(reference=None),
    cases.operation(CAPTURE, minor=700), cases.operation(VOID), cases.operation(REFUND), cases.operation(REFUND, reference="re_1"),
]  # fmt: skip
awkward: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**63, 10**400, 1.5, float("nan"), float("inf"), "", "x", "eur", "succeeded", [], {}, [[]], "\x00", "é"]
)
KEYS = sorted(
    {
        *cases.payment_intent("canceled"), *cases.refund("failed"), "error", "type", "code", "decline_code", "message", "data", "has_more",
        "payment_intent", "last_payment_error", "latest_charge", "next_action", "redirect_to_url", "url", "outcome",
        "payment_method_details", "card", "capture_before", "amount_captured", "amount_refunded", "payorch_attempt", "payorch_operation",
    }
)  # fmt: skip
shapes = st.recursive(
    awkward, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5), max_leaves=12
)
mutated = st.builds(
    lambda base, changes: base | changes,
    st.sampled_from(
        [
            *(cases.payment_intent(one) for one in ("requires_capture", "succeeded", "canceled", "requires_action", "processing")),
            cases.refund("succeeded"), cases.listing(cases.refund("failed")),
            cases.listing(cases.payment_intent("succeeded"), kind="search_result"),
            card_error(decline_code="stolen_card"), refused("payment_intent_unexpected_state", cases.payment_intent("canceled")),
        ]
    ),
    st.dictionaries(st.sampled_from(KEYS), shapes, max_size=3),
)  # fmt: skip
bodies = st.binary(max_size=200) | (shapes | mutated).map(lambda value: json.dumps(value).encode())
statuses = st.integers(min_value=-1, max_value=1000) | st.sampled_from([200, 400, 401, 402, 404, 409, 429, 500])


def sound(evidence: Evidence, status: int, source: Source) -> None:
    """What must hold of evidence from any bytes whatever."""
    finding = evidence.finding
    if isinstance(finding, Unknown):
        assert POLICY[finding.failure.error_class].kind is Kind.UNKNOWN
    if isinstance(finding, (Declined, NotExecuted)):
        assert POLICY[finding.failure.error_class].kind is not Kind.UNKNOWN
    if not 200 <= status < 300:
        assert not isinstance(finding, Absent)
        if source is INQUIRY or not 400 <= status < 500:
            assert isinstance(finding, Unknown)
    if isinstance(finding, NotExecuted):
        assert finding.sent
    for money in (evidence.amount, evidence.captured, evidence.refunded):
        assert money is None or 0 <= money.minor < 2**63
    assert evidence.raw is not None
    assert len(evidence.raw) <= MAXIMUM_BYTES
    json.loads(evidence.raw)


@given(st.sampled_from(SUBJECTS), statuses, bodies, st.sampled_from([RESPONSE, REPLAY, INQUIRY]))
@settings(max_examples=600, deadline=None)
def test_no_bytes_ever_raise(subject: Attempt | Operation, status: int, body: bytes, source: Source) -> None:
    sound(cases.read(subject, status, body, source=source), status, source)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"error":' * 100_000,
        b'{"metadata":' * 900 + b"1" + b"}" * 900,
        b'{"amount":' + b"9" * 5000 + b"}",
        b'{"amount":1e999}',
        b'{"amount":NaN}',
        b'{"a":"\\ud800"}',
        b"\x00" * 100,
        '{"id":"pi_1"}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 402, 500])
def test_hostile_json_is_unknown(body: bytes, status: int) -> None:
    for subject in SUBJECTS:
        assert isinstance(cases.read(subject, status, body).finding, Unknown)


@given(st.text(max_size=30))
def test_a_request_id_of_any_kind_never_raises(value: str) -> None:
    answer = HttpResponse(status=200, headers=(("request-id", value),), body=b"{}")
    connector.read(cases.attempt(), cases.attempt().call, answer, source=RESPONSE, at=cases.NOW)


# --- Stripe's own fixtures --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fixtures() -> dict[str, Any]:
    if not FIXTURES.exists():
        pytest.skip(f"Stripe's fixtures are not here ({FIXTURES})")
    loaded: dict[str, Any] = json.loads(FIXTURES.read_text())["resources"]
    return loaded


def test_stripes_own_payment_intent_and_charge_are_understood(fixtures: dict[str, Any]) -> None:
    shown = fixtures["payment_intent"] | {"id": cases.INTENT_ID}
    declined = cases.read(cases.attempt(), 200, shown, source=INQUIRY)
    assert isinstance(declined.finding, Declined)  # the fixture is in requires_payment_method, with an error
    assert (declined.psp_reference, declined.amount, declined.captured) == (cases.INTENT_ID, Money(1099, "USD"), Money(0, "USD"))
    expanded = shown | {"status": "requires_capture", "latest_charge": fixtures["charge"]}
    held = cases.read(cases.attempt(), 200, expanded, source=INQUIRY)
    assert (held.finding, held.refunded, held.expires_at) == (Approved(captured=False), Money(0, "USD"), None)
    assert held.raw is not None
    assert "Jenny" not in held.raw
    assert "_secret_" not in held.raw


def test_stripes_own_refund_is_understood(fixtures: dict[str, Any]) -> None:
    evidence = cases.read(cases.operation(REFUND), 200, fixtures["refund"])
    assert (evidence.finding, evidence.amount) == (Approved(), Money(100, "USD"))


def test_no_other_object_of_stripes_is_taken_for_an_answer(fixtures: dict[str, Any]) -> None:
    for name, shown in fixtures.items():
        if name not in ("payment_intent", "refund"):
            for subject in (cases.attempt(), cases.operation(CAPTURE), cases.operation(VOID), cases.operation(REFUND)):
                assert is_unknown(cases.read(subject, 200, shown)), name
