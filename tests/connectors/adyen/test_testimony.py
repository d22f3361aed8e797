"""What a notification says about a payment, and what the domain makes of it: only what is signed decides, and no order is assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.adyen import connector
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, GivenBack, Pending, Released, Source
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, OperationKind, Origin, Payment
from payorch.domain.testimony import Testimony, weigh_testimony
from tests.connectors.adyen import adyen_cases as cases
from tests.domain.worlds import World

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
UNKNOWN = cases.attempt(reference=None, state=AttemptState.UNKNOWN)
CAPTURED = cases.operation(CAPTURE, state=OperationState.SUCCEEDED)


def heard(one: Mapping[str, Any], payment: Payment) -> Testimony:
    return connector.testify(json.dumps(one).encode(), payment, at=cases.NOW)


def findings(testimony: Testimony) -> list[tuple[str, Any]]:
    for statement in testimony.statements:
        assert statement.evidence.source is Source.WEBHOOK
        assert statement.evidence.at == cases.NOW
    return [(statement.subject_id, statement.evidence.finding) for statement in testimony.statements]


def desk_of_its_own() -> World:
    world = World(manifests={"adyen": connector.manifest})
    world.at = cases.NOW
    return world


def after(one: Mapping[str, Any], payment: Payment, world: World | None = None) -> Payment:
    """The payment once the domain has weighed what that notification says; in a world of its own, where none is given."""
    world = world or desk_of_its_own()
    return weigh_testimony(payment, heard(one, payment), world.desk()).payment


def captured(*more: Any, state: State = State.CAPTURED) -> Payment:
    """19.99 euro that were captured by one capture."""
    return cases.payment(None, CAPTURED, *more, state=state)


# --- authorisations


def test_an_authorisation_resolves_what_was_unknown() -> None:
    payment = cases.payment(UNKNOWN, state=State.OUTCOME_UNKNOWN)
    told = heard(cases.item("AUTHORISATION"), payment)
    assert findings(told) == [(cases.ATTEMPT_ID, Approved(captured=False))]
    evidence = told.statements[0].evidence
    assert (evidence.psp_reference, evidence.our_reference, evidence.amount) == (cases.PSP_REFERENCE, cases.ATTEMPT_ID, Money(1999, "EUR"))
    held = after(cases.item("AUTHORISATION"), payment)
    assert (held.state, held.attempts[0].psp_reference) == (State.AUTHORIZED, cases.PSP_REFERENCE)


def test_another_amount_is_for_people() -> None:
    payment = cases.payment(UNKNOWN, state=State.OUTCOME_UNKNOWN)
    other = cases.item("AUTHORISATION", amount={"currency": "EUR", "value": 1000})
    assert after(other, payment).state is State.MANUAL_REVIEW


@pytest.mark.parametrize("reason", ["FRAUD", "Refused", "Expired Card", ""])
def test_a_refusal_has_one_class_whatever_it_says(reason: str) -> None:
    """The reason is not signed: nobody may conclude from it that another PSP could be tried, or that the card is stolen."""
    payment = cases.payment(UNKNOWN, state=State.OUTCOME_UNKNOWN)
    extra = {"refusalReasonRaw": "43 : Stolen card", "merchantAdviceCode": "03"}
    [(subject, finding)] = findings(heard(cases.item("AUTHORISATION", success=False, reason=reason, additionalData=extra), payment))
    assert isinstance(finding, Declined)
    assert (subject, finding.failure.error_class) == (cases.ATTEMPT_ID, ErrorClass.SOFT_RETRY_LATER)
    assert finding.failure.network is None
    assert after(cases.item("AUTHORISATION", success=False), payment).state is State.FAILED


def test_a_late_refusal_does_not_undo_a_hold() -> None:
    assert findings(heard(cases.item("AUTHORISATION", success=False), cases.payment())) == []


def test_a_second_payment_under_our_reference_is_not_ours() -> None:
    payment = cases.payment(cases.attempt(reference="V4HZ4RBFJGXXGN82"))
    story = after(cases.item("AUTHORISATION"), payment)
    assert story.state is State.AUTHORIZED
    told = weigh_testimony(payment, heard(cases.item("AUTHORISATION"), payment), desk_of_its_own().desk())
    assert [event.name.value for event in told.events] == ["DiscrepancyRaised"]


def test_another_payments_notification_says_nothing() -> None:
    other = cases.item("AUTHORISATION", merchantReference="att_01kavq7c1zf90b3n7d5pchmsjz", pspReference="V4HZ4RBFJGXXGN99")
    assert heard(other, cases.payment()) == Testimony()
    elsewhere = cases.payment(replace(cases.attempt(), connector="stripe"))
    assert heard(cases.item("AUTHORISATION"), elsewhere) == Testimony()


def test_the_shoppers_time_is_over() -> None:
    waiting = cases.attempt(reference=None, state=AttemptState.ACTION_REQUIRED)
    payment = cases.payment(waiting, state=State.REQUIRES_ACTION)
    assert after(cases.item("OFFER_CLOSED"), payment).state is State.CANCELED
    assert heard(cases.item("OFFER_CLOSED"), cases.payment()) == Testimony()


# --- captures


@pytest.mark.parametrize("reference", [cases.CAPTURE_ID, "unlabelled"])
def test_a_capture_is_told_by_its_notification(reference: str) -> None:
    payment = cases.payment(None, cases.operation(CAPTURE), state=State.CAPTURING)
    assert after(cases.modified("CAPTURE", reference), payment).state is State.CAPTURED
    assert after(cases.modified("CAPTURE", reference, success=False, reason="x"), payment).state is State.AUTHORIZED


def test_a_notification_may_be_faster_than_the_answer() -> None:
    sent = cases.operation(CAPTURE, state=OperationState.REQUESTED, reference=None)
    told = after(cases.modified("CAPTURE", cases.CAPTURE_ID), cases.payment(None, sent, state=State.CAPTURING))
    assert (told.state, told.operations[0].psp_reference) == (State.CAPTURED, cases.MODIFICATION)


def test_a_capture_of_another_amount_is_for_people() -> None:
    payment = cases.payment(None, cases.operation(CAPTURE), state=State.CAPTURING)
    other = cases.modified("CAPTURE", cases.CAPTURE_ID, amount={"currency": "EUR", "value": 1998})
    assert after(other, payment).state is State.MANUAL_REVIEW


@pytest.mark.parametrize("order", [("CAPTURE", "CAPTURE_FAILED"), ("CAPTURE_FAILED", "CAPTURE")])
def test_a_capture_that_did_not_last_is_one_in_any_order(order: tuple[str, str]) -> None:
    payment = cases.payment(None, cases.operation(CAPTURE), state=State.CAPTURING)
    for event in (*order, *order):
        payment = after(cases.modified(event, cases.CAPTURE_ID), payment)
    assert (payment.state, payment.operations[0].state) == (State.MANUAL_REVIEW, OperationState.REVERSED)
    assert payment.captured_minor == 0


def test_a_failed_failure_says_nothing() -> None:
    for event in ("CAPTURE_FAILED", "REFUND_FAILED", "REFUNDED_REVERSED"):
        payment = captured(cases.operation(REFUND, state=OperationState.SUCCEEDED, reference="V4HZ4RBFJGXXGN99"))
        assert heard(cases.modified(event, cases.CAPTURE_ID, success=False), payment) == Testimony()


@pytest.mark.parametrize("reference", [cases.ATTEMPT_ID, "shop-1"])
def test_a_capture_in_the_customer_area_is_for_people(reference: str) -> None:
    assert after(cases.modified("CAPTURE", reference), cases.payment()).state is State.MANUAL_REVIEW
    part = cases.modified("CAPTURE", reference, amount={"currency": "EUR", "value": 500})
    ours = cases.operation(CAPTURE, minor=500, state=OperationState.SUCCEEDED, reference="V4HZ4RBFJGXXGN99")
    assert after(part, cases.payment(None, ours, state=State.CAPTURED)).state is State.MANUAL_REVIEW
    assert heard(cases.modified("CAPTURE", reference, success=False), cases.payment()) == Testimony()


# --- releases


def test_a_void_is_told_by_its_notification() -> None:
    payment = cases.payment(None, cases.operation(VOID), state=State.VOIDING)
    assert after(cases.modified("CANCELLATION", cases.VOID_ID), payment).state is State.CANCELED
    assert after(cases.modified("CANCELLATION", cases.VOID_ID, success=False), payment).state is State.AUTHORIZED


def test_the_release_of_a_rest_keeps_what_was_captured() -> None:
    part = cases.operation(CAPTURE, minor=500, state=OperationState.SUCCEEDED, reference="V4HZ4RBFJGXXGN99")
    payment = cases.payment(None, part, cases.operation(VOID), state=State.VOIDING)
    rest = cases.modified("CANCELLATION", cases.VOID_ID, amount={"currency": "EUR", "value": 1499})
    done = after(rest, payment)
    assert (done.state, done.captured_minor) == (State.CAPTURED, 500)


def test_a_cancellation_in_the_customer_area_is_adopted() -> None:
    done = after(cases.modified("CANCELLATION", cases.ATTEMPT_ID), cases.payment())
    assert done.state is State.CANCELED
    assert [(one.kind, one.origin) for one in done.operations] == [(VOID, Origin.PROVIDER)]
    again = after(cases.modified("CANCELLATION", cases.ATTEMPT_ID), done)
    assert len(again.operations) == 1


def test_a_fence_ends_what_was_unknown() -> None:
    payment = cases.payment(UNKNOWN, state=State.OUTCOME_UNKNOWN)
    nothing_there = cases.item("TECHNICAL_CANCEL", pspReference=cases.MODIFICATION, amount={"currency": "EUR", "value": 0})
    for one in (cases.modified("TECHNICAL_CANCEL", cases.ATTEMPT_ID), nothing_there):
        assert findings(heard(one, payment)) == [(cases.ATTEMPT_ID, Released(expired=False))]
        assert after(one, payment).state is State.CANCELED
    assert heard(cases.modified("TECHNICAL_CANCEL", cases.ATTEMPT_ID, success=False), payment) == Testimony()
    # The reference of the fence is not the payment's.
    assert heard(nothing_there, payment).statements[0].evidence.psp_reference is None


def test_a_fence_that_is_an_operation_is_told_of() -> None:
    fence = cases.operation(VOID, state=OperationState.UNKNOWN, reference=cases.MODIFICATION)
    payment = cases.payment(UNKNOWN, fence, state=State.OUTCOME_UNKNOWN)
    assert findings(heard(cases.modified("TECHNICAL_CANCEL", cases.ATTEMPT_ID), payment)) == [(cases.VOID_ID, Approved())]


def test_a_hold_that_ran_out() -> None:
    done = after(cases.item("EXPIRE"), cases.payment())
    assert (done.state, done.attempts[0].state) == (State.CANCELED, AttemptState.VOIDED)
    part = cases.operation(CAPTURE, minor=500, state=OperationState.SUCCEEDED)
    assert after(cases.item("EXPIRE"), cases.payment(None, part, state=State.PARTIALLY_CAPTURED)).state is State.CAPTURED
    under_way = cases.payment(None, cases.operation(CAPTURE), state=State.CAPTURING)
    assert heard(cases.item("EXPIRE"), under_way) == Testimony()


@pytest.mark.parametrize("action", ["cancel", "refund", None, "anything"])
def test_a_reversal_is_what_it_can_have_been(action: str | None) -> None:
    """Which it was Adyen says only where it is not signed; what was captured tells it as well."""
    extra = {} if action is None else {"modification.action": action}
    one = cases.modified("CANCEL_OR_REFUND", cases.ATTEMPT_ID, additionalData=extra)
    assert after(one, cases.payment()).state is State.CANCELED
    refunded = after(one, captured())
    assert (refunded.state, refunded.refunded_minor) == (State.CAPTURED, 1999)
    under_way = cases.payment(None, cases.operation(CAPTURE, state=OperationState.UNKNOWN), state=State.OUTCOME_UNKNOWN)
    assert heard(one, under_way) == Testimony()


# --- refunds


def test_a_refund_is_told_by_its_notification() -> None:
    payment = captured(cases.operation(REFUND, minor=500, reference="V4HZ4RBFJGXXGN99"))
    told: dict[str, Any] = {"pspReference": "V4HZ4RBFJGXXGN99", "amount": {"currency": "EUR", "value": 500}}
    assert after(cases.modified("REFUND", cases.REFUND_ID, **told), payment).refunded_minor == 500
    refused = after(cases.modified("REFUND", cases.REFUND_ID, success=False, **told), payment)
    assert (refused.operations[1].state, refused.refundable_minor) == (OperationState.FAILED, 1999)


@pytest.mark.parametrize("failure", ["REFUND_FAILED", "REFUNDED_REVERSED"])
@pytest.mark.parametrize("late", [False, True])
def test_a_refund_that_did_not_last_is_one_in_any_order(failure: str, late: bool) -> None:
    payment = captured(cases.operation(REFUND, minor=500, reference="V4HZ4RBFJGXXGN99"))
    told: dict[str, Any] = {"pspReference": "V4HZ4RBFJGXXGN99", "amount": {"currency": "EUR", "value": 500}}
    order = [failure, "REFUND"] if late else ["REFUND", failure]
    for event in (*order, *order):
        payment = after(cases.modified(event, cases.REFUND_ID, **told), payment)
    assert (payment.operations[1].state, payment.refunded_minor) == (OperationState.REVERSED, 0)


def test_a_postponed_refund_is_pending() -> None:
    sent = cases.operation(REFUND, minor=500, state=OperationState.UNKNOWN, reference=None)
    told: dict[str, Any] = {"amount": {"currency": "EUR", "value": 500}}
    assert findings(heard(cases.modified("POSTPONED_REFUND", cases.REFUND_ID, **told), captured(sent))) == [(cases.REFUND_ID, Pending())]


def test_a_refund_in_the_customer_area_is_adopted_once() -> None:
    world = desk_of_its_own()
    told: dict[str, Any] = {"pspReference": "V4HZ4RBFJGXXGN99", "amount": {"currency": "EUR", "value": 500}}
    one = cases.modified("REFUND", cases.ATTEMPT_ID, **told)
    evidence = heard(one, captured()).statements[0].evidence
    assert evidence.refunds == (GivenBack(psp_reference="V4HZ4RBFJGXXGN99", amount=Money(500, "EUR"), finding=Approved()),)
    payment = after(one, captured(), world)
    [adopted] = [one for one in payment.operations if one.kind is REFUND]
    assert (adopted.origin, adopted.state, adopted.psp_reference) == (Origin.PROVIDER, OperationState.SUCCEEDED, "V4HZ4RBFJGXXGN99")
    assert payment.refunded_minor == 500
    payment = after(one, payment, world)
    assert payment.refunded_minor == 500
    # A second one is another, and it may come back.
    second = cases.modified("REFUND", cases.ATTEMPT_ID, **(told | {"pspReference": "V4HZ4RBFJGXXGN98"}))
    payment = after(second, payment, world)
    assert payment.refunded_minor == 1000
    payment = after(cases.modified("REFUND_FAILED", cases.ATTEMPT_ID, **told), payment, world)
    assert payment.refunded_minor == 500
    assert payment.state is State.CAPTURED


def test_a_refund_of_what_nobody_holds_is_not_adopted() -> None:
    one = cases.modified("REFUND", cases.ATTEMPT_ID)
    assert heard(one, cases.payment(UNKNOWN, state=State.OUTCOME_UNKNOWN)) == Testimony()
    assert heard(cases.modified("REFUND", cases.ATTEMPT_ID, success=False), captured()) == Testimony()


# --- disputes


@pytest.mark.parametrize(
    ("events", "stage", "status"),
    [
        (["NOTIFICATION_OF_FRAUD"], DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED),
        (["REQUEST_FOR_INFORMATION"], DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED),
        (["REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED"], DisputeStage.PRE_DISPUTE, DisputeStatus.CHALLENGED),
        (["NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK"], DisputeStage.DISPUTE, DisputeStatus.OPENED),
        (["CHARGEBACK", "INFORMATION_SUPPLIED"], DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
        (["CHARGEBACK", "CHARGEBACK_REVERSED"], DisputeStage.DISPUTE, DisputeStatus.WON),
        (["CHARGEBACK", "SECOND_CHARGEBACK"], DisputeStage.DISPUTE, DisputeStatus.LOST),
        (["CHARGEBACK_REVERSED", "CHARGEBACK"], DisputeStage.DISPUTE, DisputeStatus.WON),
        (["CHARGEBACK", "DISPUTE_DEFENSE_PERIOD_ENDED"], DisputeStage.DISPUTE, DisputeStatus.EXPIRED),
        (["CHARGEBACK", "PREARBITRATION_OPEN"], DisputeStage.PRE_ARBITRATION, DisputeStatus.OPENED),
        (["PREARBITRATION_OPEN", "PREARBITRATION_LOST"], DisputeStage.PRE_ARBITRATION, DisputeStatus.LOST),
        (["PREARBITRATION_OPEN", "PREARBITRATION_WON"], DisputeStage.PRE_ARBITRATION, DisputeStatus.WON),
        (["SCHEME_ARBITRATION", "SCHEME_ARBITRATION_WON"], DisputeStage.PRE_ARBITRATION, DisputeStatus.WON),
    ],
)
def test_disputes(events: list[str], stage: DisputeStage, status: DisputeStatus) -> None:
    payment = captured()
    extra = {"chargebackReasonCode": " 10.4", "defensePeriodEndsAt": "2026-12-13T12:00:00+01:00"}
    for event in (*events, events[-1]):
        payment = after(cases.modified(event, cases.ATTEMPT_ID, additionalData=extra), payment)
    last = payment.disputes[-1]
    assert (last.psp_reference, last.stage, last.status, last.amount) == (cases.MODIFICATION, stage, status, Money(1999, "EUR"))
    assert last.reason == "10.4"
    taken = stage is not DisputeStage.PRE_DISPUTE and status not in (DisputeStatus.WON, DisputeStatus.CANCELLED)
    assert payment.disputed_minor == (1999 if taken else 0)
    assert payment.state is State.CAPTURED


# --- nothing else decides


@given(
    reason=st.text(max_size=20),
    date=st.text(max_size=30) | st.none() | st.integers(),
    extra=st.dictionaries(st.sampled_from(["modification.action", "refusalReasonRaw", "merchantAdviceCode", "x"]), st.text(max_size=10)),
    event=st.sampled_from(["AUTHORISATION", "CAPTURE", "CANCELLATION", "REFUND", "CAPTURE_FAILED", "CANCEL_OR_REFUND", "EXPIRE"]),
    success=st.booleans(),
    known=st.sampled_from([UNKNOWN, cases.attempt()]),
)
def test_what_is_not_signed_changes_nothing(
    reason: str, date: object, extra: dict[str, str], event: str, success: bool, known: Attempt
) -> None:
    payment = cases.payment(known, state=State.AUTHORIZED if known.held_since else State.OUTCOME_UNKNOWN)
    plain = cases.modified(event, cases.ATTEMPT_ID, success=success)
    colored = {**plain, "reason": reason, "eventDate": date, "additionalData": extra, "paymentMethod": reason, "operations": [reason]}
    assert findings(heard(colored, payment)) == findings(heard(plain, payment))


@given(content=st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    assert connector.testify(content, captured(), at=cases.NOW) == Testimony()
    json.loads(connector.shown(content))


@given(
    changes=st.dictionaries(
        st.sampled_from(["amount", "pspReference", "originalReference", "merchantReference", "eventCode", "success", "additionalData"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
        min_size=1,
    ),
    event=st.sampled_from(["AUTHORISATION", "CAPTURE", "REFUND", "CHARGEBACK", "TECHNICAL_CANCEL"]),
)
def test_no_field_raises(changes: dict[str, Any], event: str) -> None:
    connector.testify(json.dumps(cases.modified(event, cases.ATTEMPT_ID) | changes).encode(), captured(), at=cases.NOW)
