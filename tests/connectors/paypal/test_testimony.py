"""What a webhook of PayPal's makes happen: PayPal is asked; and what it shows decides nothing about money by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connectors.paypal import connector
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.identifiers import of_name
from payorch.domain.money import Money
from payorch.domain.outcome import Declined, Source, Unknown
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment
from payorch.domain.testimony import Testimony
from tests.connectors.paypal import paypal_cases as cases
from tests.connectors.paypal import paypal_webhooks as told
from tests.connectors.paypal.paypal_webhooks import content

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
HELD = cases.attempt()
CHARGED = cases.attempt(automatic=True)
LOST = cases.attempt(reference=None, money_reference=None, state=AttemptState.UNKNOWN)
NOTHING = Testimony()


def payment(*attempts: Attempt, operations: tuple[Operation, ...] = ()) -> Payment:
    return Payment(
        id=cases.PAYMENT_ID,
        merchant_id="mer_1",
        state=State.CAPTURED,
        version=1,
        intent=cases.intent(),
        created_at=cases.NOW,
        updated_at=cases.NOW,
        attempts=attempts,
        operations=operations,
    )


def said_of(kind: str, resource: dict[str, Any], of: Payment, **changes: Any) -> Testimony:
    return connector.testify(content(kind, resource, **changes), of, at=cases.NOW)


EVENTS = [
    ("CHECKOUT.ORDER.APPROVED", cases.shown_order("APPROVED")),
    ("CHECKOUT.ORDER.COMPLETED", cases.shown_order("COMPLETED", captures=[cases.capture()])),
    ("CHECKOUT.PAYMENT-APPROVAL.REVERSED", {"order_id": cases.ORDER_ID}),
    ("PAYMENT.AUTHORIZATION.CREATED", told.told_authorization()),
    ("PAYMENT.AUTHORIZATION.VOIDED", told.told_authorization("VOIDED")),
    ("PAYMENT.CAPTURE.COMPLETED", told.told_capture()),
    ("PAYMENT.CAPTURE.PENDING", told.told_capture("PENDING")),
    ("PAYMENT.CAPTURE.DENIED", told.told_capture("DECLINED")),
]


@pytest.mark.parametrize(("kind", "resource"), EVENTS)
@pytest.mark.parametrize("state", [AttemptState.UNKNOWN, AttemptState.ACTION_REQUIRED, AttemptState.PENDING, AttemptState.AUTHORIZED])
def test_paypal_is_asked_and_nothing_is_believed(kind: str, resource: dict[str, Any], state: AttemptState) -> None:
    assert said_of(kind, resource, payment(replace(HELD, state=state))) == Testimony(look_at=(HELD.id,))


@pytest.mark.parametrize(
    ("kind", "resource"), [("PAYMENT.CAPTURE.REFUNDED", cases.refund()), ("PAYMENT.REFUND.FAILED", cases.refund("FAILED"))]
)
def test_a_refund_is_found_by_its_capture(kind: str, resource: dict[str, Any]) -> None:
    stranger = resource | {"custom_id": None, "invoice_id": None}
    assert said_of(kind, stranger, payment(CHARGED)) == Testimony(look_at=(CHARGED.id,))
    taken = cases.operation(CAPTURE, reference=cases.CAPTURE_ID, state=OperationState.SUCCEEDED)
    assert said_of(kind, stranger, payment(HELD, operations=(taken,))) == Testimony(look_at=(HELD.id,))
    assert said_of(kind, stranger, payment(HELD)) == NOTHING


def test_an_operation_under_way_is_asked_about_too() -> None:
    waiting = cases.operation(CAPTURE, state=OperationState.UNKNOWN)
    pending = cases.operation(REFUND, reference=cases.REFUND_ID, state=OperationState.PENDING)
    of = payment(HELD, operations=(waiting, pending))
    assert said_of("PAYMENT.CAPTURE.COMPLETED", told.told_capture(), of).look_at == (HELD.id, waiting.id)
    assert said_of("PAYMENT.CAPTURE.REFUNDED", cases.refund(), of).look_at == (HELD.id, pending.id)
    done = replace(waiting, state=OperationState.SUCCEEDED)
    assert said_of("PAYMENT.CAPTURE.COMPLETED", told.told_capture(), payment(HELD, operations=(done,))).look_at == (HELD.id,)


@pytest.mark.parametrize(
    ("kind", "resource", "of"),
    [
        ("CHECKOUT.ORDER.APPROVED", cases.shown_order("APPROVED"), payment(replace(HELD, held_since=cases.NOW))),
        ("CHECKOUT.ORDER.COMPLETED", cases.shown_order("COMPLETED"), payment(replace(CHARGED, held_since=cases.NOW))),
        ("PAYMENT.AUTHORIZATION.CREATED", told.told_authorization(), payment(replace(HELD, held_since=cases.NOW))),
        (
            "PAYMENT.AUTHORIZATION.VOIDED", told.told_authorization("VOIDED"),
            payment(replace(HELD, held_since=cases.NOW, state=AttemptState.VOIDED)),
        ),
        ("PAYMENT.CAPTURE.COMPLETED", told.told_capture(), payment(CHARGED)),
        (
            "PAYMENT.CAPTURE.COMPLETED", told.told_capture(),
            payment(HELD, operations=(cases.operation(CAPTURE, reference=cases.CAPTURE_ID, state=OperationState.SUCCEEDED),)),
        ),
        (
            "PAYMENT.CAPTURE.REFUNDED", cases.refund(),
            payment(CHARGED, operations=(cases.operation(REFUND, reference=cases.REFUND_ID, state=OperationState.SUCCEEDED),)),
        ),
    ],
)  # fmt: skip
def test_nobody_asks_about_what_is_known(kind: str, resource: dict[str, Any], of: Payment) -> None:
    assert said_of(kind, resource, of) == NOTHING
    never_held = payment(replace(of.attempts[0], held_since=None, state=AttemptState.VOIDED))
    assert said_of(kind, resource, never_held).look_at == (HELD.id,)


# --- which order it is --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "resource"), [one for one in EVENTS if "REVERSED" not in one[0]])
def test_an_order_whose_answer_never_came_is_named(kind: str, resource: dict[str, Any]) -> None:
    said = said_of(kind, resource, payment(LOST))
    [statement] = said.statements
    evidence = statement.evidence
    assert (statement.subject_id, said.look_at) == (LOST.id, (LOST.id,))
    assert isinstance(evidence.finding, Unknown)
    assert (evidence.psp_reference, evidence.our_reference, evidence.source) == (cases.ORDER_ID, LOST.id, Source.WEBHOOK)
    assert (evidence.amount, evidence.captured, evidence.money_reference) == (None, None, None)
    assert evidence.raw is not None


def test_nothing_is_named_after_an_order_that_does_not_name_us() -> None:
    other = told.told_capture(custom_id=of_name("att", "of another"))
    assert said_of("PAYMENT.CAPTURE.COMPLETED", other, payment(LOST)) == NOTHING
    # A refund knows no order.
    assert said_of("PAYMENT.CAPTURE.REFUNDED", cases.refund(), payment(LOST)) == NOTHING


# --- failures afterwards ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.REVERSED"])
@pytest.mark.parametrize("status", ["DECLINED", "FAILED"])
def test_a_capture_of_ours_that_failed_afterwards_is_for_people(kind: str, status: str) -> None:
    done = cases.operation(CAPTURE, reference=cases.CAPTURE_ID, state=OperationState.SUCCEEDED)
    said = said_of(kind, told.told_capture(status), payment(HELD, operations=(done,)))
    [statement] = said.statements
    assert statement.subject_id == done.id
    assert isinstance(statement.evidence.finding, Declined)
    assert said.look_at == (HELD.id,)


@pytest.mark.parametrize(
    ("kind", "changes", "state", "reference"),
    [
        ("PAYMENT.CAPTURE.COMPLETED", {"status": "DECLINED"}, OperationState.SUCCEEDED, cases.CAPTURE_ID),
        ("PAYMENT.CAPTURE.DENIED", {"status": "COMPLETED"}, OperationState.SUCCEEDED, cases.CAPTURE_ID),
        ("PAYMENT.CAPTURE.DENIED", {"status": "FAILED"}, OperationState.UNKNOWN, cases.CAPTURE_ID),
        ("PAYMENT.CAPTURE.DENIED", {"status": "FAILED"}, OperationState.PENDING, cases.CAPTURE_ID),
        ("PAYMENT.CAPTURE.DENIED", {"status": "FAILED"}, OperationState.SUCCEEDED, "ANOTHER"),
    ],
)
def test_anything_less_sure_is_asked_about(kind: str, changes: dict[str, str], state: OperationState, reference: str) -> None:
    one = cases.operation(CAPTURE, reference=reference, state=state)
    assert said_of(kind, told.told_capture(**changes), payment(HELD, operations=(one,))).statements == ()


# --- disputes -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "stage", "status"),
    [
        ({}, DisputeStage.DISPUTE, DisputeStatus.OPENED),
        ({"dispute_life_cycle_stage": "INQUIRY", "status": "OPEN"}, DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED),
        ({"status": "UNDER_REVIEW"}, DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
        ({"dispute_life_cycle_stage": "PRE_ARBITRATION"}, DisputeStage.PRE_ARBITRATION, DisputeStatus.OPENED),
        (
            {"dispute_life_cycle_stage": "ARBITRATION", "status": "WAITING_FOR_BUYER_RESPONSE"},
            DisputeStage.PRE_ARBITRATION,
            DisputeStatus.CHALLENGED,
        ),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_BUYER_FAVOUR"}}, DisputeStage.DISPUTE, DisputeStatus.LOST),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "RESOLVED_SELLER_FAVOUR"}}, DisputeStage.DISPUTE, DisputeStatus.WON),
        ({"status": "RESOLVED", "dispute_outcome": {"outcome_code": "CANCELED_BY_BUYER"}}, DisputeStage.DISPUTE, DisputeStatus.CANCELLED),
    ],
)
def test_a_dispute_is_reported(changes: dict[str, Any], stage: DisputeStage, status: DisputeStatus) -> None:
    said = said_of("CUSTOMER.DISPUTE.UPDATED", told.dispute(**changes), payment(CHARGED))
    [report] = said.disputes
    assert (report.attempt_id, report.psp_reference, report.stage, report.status) == (CHARGED.id, "PP-R-NMW-10106", stage, status)
    assert (report.amount, report.reason) == (Money(1999, "EUR"), "unauthorised")
    assert report.at == datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert report.respond_by == datetime(2026, 12, 4, 12, tzinfo=UTC)
    assert (said.statements, said.look_at) == ((), ())


def test_a_dispute_is_found_by_its_capture_or_by_our_own_word() -> None:
    taken = cases.operation(CAPTURE, reference=cases.CAPTURE_ID, state=OperationState.SUCCEEDED)
    silent = told.dispute(disputed_transactions=[{"seller_transaction_id": cases.CAPTURE_ID}])
    assert said_of("CUSTOMER.DISPUTE.CREATED", silent, payment(HELD, operations=(taken,))).disputes
    assert said_of("CUSTOMER.DISPUTE.CREATED", silent, payment(HELD)) == NOTHING
    named = told.dispute(disputed_transactions=[{"custom": cases.ATTEMPT_ID}])
    assert said_of("CUSTOMER.DISPUTE.CREATED", named, payment(HELD)).disputes


# --- others -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "resource"), [*EVENTS, ("CUSTOMER.DISPUTE.CREATED", told.dispute()), ("PAYMENT.CAPTURE.REFUNDED", cases.refund())]
)
def test_nothing_is_said_of_others(kind: str, resource: dict[str, Any]) -> None:
    elsewhere = replace(HELD, connector="another", id=cases.ATTEMPT_ID)
    assert said_of(kind, resource, payment(elsewhere)) == NOTHING
    stranger = replace(HELD, id="att_2", psp_reference="OTHER", money_reference="OTHER2")
    assert said_of(kind, resource, payment(stranger)) == NOTHING


LEAVES = st.sampled_from([cases.ORDER_ID, cases.CAPTURE_ID, "DECLINED", cases.ATTEMPT_ID])
NAMES = ["id", "status", "purchase_units", "custom_id", "links", "order_id", "dispute_id", "disputed_transactions"]
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10), LEAVES),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner)),
    max_leaves=15,
)


@given(st.sampled_from([kind for kind, _ in EVENTS] + ["CUSTOMER.DISPUTE.CREATED", "PAYMENT.REFUND.FAILED", "X"]), TREES)
def test_no_bytes_make_it_raise_or_decide_about_money(kind: str, resource: object) -> None:
    """Whatever is in it: no success, no release, no amount."""
    done = cases.operation(CAPTURE, reference=cases.CAPTURE_ID, state=OperationState.SUCCEEDED)
    body = json.dumps({"id": "WH-1", "event_type": kind, "resource": resource}).encode()
    for of in (payment(HELD, operations=(done,)), payment(LOST), payment(CHARGED)):
        said = connector.testify(body, of, at=cases.NOW)
        assert all(isinstance(one.evidence.finding, (Unknown, Declined)) for one in said.statements)
        assert all(one.evidence.amount is None and one.evidence.captured is None for one in said.statements)


@given(st.binary(max_size=100))
def test_what_is_no_event_says_nothing(body: bytes) -> None:
    assert connector.testify(body, payment(HELD), at=cases.NOW) == NOTHING
