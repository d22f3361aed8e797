"""Whole lives of a payment: the domain decides, the connector translates, a simulated Stripe does, time moves by hand. No HTTP, no actors.

What is proved here is that the three agree about everything that can happen to a hold and to money behind our back: an expiry, a refund, a
void or a capture in Stripe's dashboard, failures days later, answers with wrong amounts, answers that are lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.simulator.dialect import Deed
from connectors.simulator.faults import HEALTHY, After, Before, Verdict
from payorch.domain.money import Money
from payorch.domain.payment import OperationState, State
from payorch.domain.records import CancellationReason, Operation, OperationKind, Origin, Payment
from tests.connectors.stripe.stripe_life import Life
from tests.domain.worlds import DAY, HOUR

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
WRONG = Verdict(after=After.WRONG_AMOUNT)


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.ledger.close()


def adopted(payment: Payment, kind: OperationKind = REFUND) -> list[Operation]:
    return [one for one in payment.operations if one.origin is Origin.PROVIDER and one.kind is kind]


# --- the usual


def test_several_captures_and_refunds_and_the_rest_voided(life: Life) -> None:
    payment = life.paid(hold=True, request_multicapture="if_available")
    for minor in (300, 500):
        life.later(seconds=1)
        payment = life.capture(payment, minor)
    assert (payment.state, payment.captured_minor, payment.capturable_minor) == (State.PARTIALLY_CAPTURED, 800, 1200)
    payment = life.refund(payment, 100)
    payment = life.void(payment)
    assert payment.state is State.CAPTURED
    payment = life.refund(payment)
    assert (payment.refunded_minor, payment.refundable_minor) == (800, 0)
    life.agrees(payment)
    life.agrees(life.inquire(payment))
    assert adopted(payment) == []


@pytest.mark.parametrize(
    "verdict", [Verdict(after=After.ERROR_500), Verdict(before=Before.ERROR_500), Verdict(after=After.MALFORMED), None]
)
@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
def test_an_operation_whose_answer_is_lost_is_found_out_and_done_once(life: Life, kind: OperationKind, verdict: Verdict | None) -> None:
    payment = life.paid(hold=kind is not REFUND)
    life.verdict, life.deaf = verdict or HEALTHY, verdict is None
    payment = {CAPTURE: life.capture, VOID: life.void, REFUND: life.refund}[kind](payment)
    [operation] = [one for one in payment.operations if one.kind is kind]
    assert operation.state is OperationState.UNKNOWN
    payment = life.on(payment, seconds=2 * HOUR)
    life.agrees(payment)
    never = verdict is not None and verdict.before is Before.ERROR_500
    assert payment.operation(operation.id).state is (OperationState.FAILED if never else OperationState.SUCCEEDED)
    assert adopted(payment) == adopted(payment, VOID) == []


# --- amounts that are not ours


def test_a_wrong_amount_is_never_a_success(life: Life) -> None:
    life.verdict = WRONG
    payment = life.paid()
    assert (payment.state, payment.review_reason, payment.captured_minor) == (State.MANUAL_REVIEW, "IntegrityMismatch", 0)


def test_a_wrong_amount_of_a_capture_is_never_a_success(life: Life) -> None:
    payment = life.paid(hold=True, request_multicapture="if_available")
    payment = life.capture(payment, 300)
    life.later(seconds=1)
    life.verdict = WRONG
    payment = life.capture(payment, 500)
    assert (payment.state, payment.review_reason, payment.captured_minor) == (State.MANUAL_REVIEW, "IntegrityMismatch", 300)
    assert life.books[1] == 800


def test_a_wrong_amount_of_a_void_is_never_a_success(life: Life) -> None:
    payment = life.paid(hold=True)
    life.verdict = WRONG
    payment = life.void(payment)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")


def test_a_wrong_amount_of_a_refund_is_never_a_success(life: Life) -> None:
    payment = life.paid()
    life.verdict = WRONG
    payment = life.refund(payment, 500)
    refund = payment.operations[-1]
    assert (payment.state, refund.in_review, refund.state) == (State.CAPTURED, True, OperationState.UNKNOWN)
    assert (payment.refunded_minor, payment.refund_reserved_minor) == (0, 500)


# --- refunds made in the dashboard


def test_a_refund_of_all_made_there_is_found_when_ours_is_refused(life: Life) -> None:
    payment = life.paid()
    life.by_hand(payment, Deed.REFUND)
    payment = life.refund(payment, 500)
    assert (payment.operations[-1].state, payment.refunded_minor) == (OperationState.FAILED, 0)
    payment = life.look(payment)
    [refund] = adopted(payment)
    [theirs] = life.ledger.operations(limit=2).items
    assert (refund.amount, refund.psp_reference, refund.state) == (Money(2000, "EUR"), theirs.id, OperationState.SUCCEEDED)
    assert (payment.refundable_minor, payment.due_at) == (0, None)
    life.agrees(payment)
    life.agrees(life.inquire(life.inquire(payment)))
    assert len(adopted(payment)) == 1


def test_a_refund_of_a_part_made_there_is_found_and_the_rest_can_be_refunded(life: Life) -> None:
    payment = life.paid()
    life.by_hand(payment, Deed.REFUND, 500)
    payment = life.look(life.refund(payment))
    assert (payment.refunded_minor, payment.refundable_minor) == (500, 1500)
    payment = life.refund(payment)
    assert payment.refundable_minor == 0
    life.agrees(payment)


def test_a_partial_captures_released_rest_is_no_refund(life: Life) -> None:
    payment = life.capture(life.paid(hold=True), 1200, final=True)
    life.by_hand(payment, Deed.REFUND, 200)
    payment = life.refund(life.inquire(payment), 300)
    life.agrees(life.inquire(payment))
    assert [one.amount.minor for one in adopted(payment)] == [200]


def test_many_refunds_made_there_are_known_by_their_total(life: Life) -> None:
    """Stripe shows ten in a charge; beyond that only the total is sure."""
    payment = life.paid()
    for _ in range(12):
        life.by_hand(payment, Deed.REFUND, 50)
    payment = life.inquire(life.inquire(payment))
    assert [(one.amount.minor, one.psp_reference) for one in adopted(payment)] == [(600, None)]
    life.by_hand(payment, Deed.REFUND, 50)
    life.agrees(life.inquire(payment))


def test_a_lost_refund_of_ours_and_one_made_there_are_told_apart(life: Life) -> None:
    payment = life.paid()
    life.deaf = True
    payment = life.refund(payment, 500)
    life.by_hand(payment, Deed.REFUND, 500)
    payment = life.inquire(payment)
    life.agrees(life.on(payment, seconds=HOUR))
    ours = [one for one in payment.operations if one.origin is not Origin.PROVIDER]
    assert [one.state for one in ours] == [OperationState.SUCCEEDED]
    assert len(adopted(payment)) == 1


def test_a_refund_made_there_while_ours_never_arrived_waits_for_it(life: Life) -> None:
    payment = life.paid()
    life.verdict = Verdict(before=Before.ERROR_500)
    payment = life.refund(payment, 500)
    life.by_hand(payment, Deed.REFUND, 500)
    payment = life.inquire(payment)
    assert adopted(payment) == []
    payment = life.on(payment, seconds=2 * HOUR)
    assert [one.amount.minor for one in adopted(payment)] == [500]
    life.agrees(payment)


def test_a_pending_refund_is_followed_to_its_end_whoever_made_it(life: Life) -> None:
    payment = life.paid("pm_card_pendingRefund")
    payment = life.refund(payment, 500)
    assert payment.operations[-1].state is OperationState.PENDING
    payment = life.on(payment, seconds=HOUR)
    life.agrees(payment)
    life.by_hand(payment, Deed.REFUND, 300)
    payment = life.inquire(payment)
    assert [one.state for one in adopted(payment)] == [OperationState.PENDING]
    payment = life.on(payment, seconds=HOUR)
    assert [one.state for one in adopted(payment)] == [OperationState.SUCCEEDED]
    life.agrees(payment)


# --- holds


def test_a_hold_that_ran_out_is_noticed_by_the_look_at_its_end(life: Life) -> None:
    payment = life.paid(hold=True)
    assert payment.due_at == payment.attempts[0].expires_at
    payment = life.on(payment, seconds=7 * DAY + 1)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.AUTHORIZATION_EXPIRED)
    assert life.names[-1] == "AuthorizationExpired"
    life.agrees(payment)


def test_the_rest_of_a_hold_that_ran_out_closes_the_payment(life: Life) -> None:
    payment = life.capture(life.paid(hold=True, request_multicapture="if_available"), 500)
    payment = life.on(payment, seconds=7 * DAY + 1)
    # Stripe shows a rest that is gone as a payment of what was captured, and not why it is gone: the time tells.
    assert (payment.state, payment.captured_minor, life.names[-1]) == (State.CAPTURED, 500, "AuthorizationExpired")
    life.agrees(payment)


def test_the_rest_of_a_hold_that_was_voided_there_closes_the_payment(life: Life) -> None:
    payment = life.capture(life.paid(hold=True, request_multicapture="if_available"), 500)
    life.by_hand(payment, Deed.CANCEL)
    payment = life.inquire(payment)
    assert (payment.state, payment.captured_minor, len(adopted(payment, VOID))) == (State.CAPTURED, 500, 1)
    life.agrees(payment)


def test_a_capture_of_a_hold_that_ran_out_ends_the_payment(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.EXPIRE)
    payment = life.capture(payment)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.AUTHORIZATION_EXPIRED)
    assert life.names[-1] == "CaptureRejectedAuthorizationGone"
    life.agrees(payment)


def test_a_hold_voided_there_leaves_a_void_of_nobody_here(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CANCEL)
    payment = life.on(payment, seconds=7 * DAY + 1)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.VOIDED)
    assert [one.state for one in adopted(payment, VOID)] == [OperationState.SUCCEEDED]
    life.agrees(payment)


def test_a_void_of_what_was_voided_there_is_done(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CANCEL)
    payment = life.void(payment)
    assert (payment.state, adopted(payment, VOID)) == (State.CANCELED, [])
    life.agrees(payment)


@pytest.mark.parametrize("minor", [None, 800])
def test_a_capture_made_there_is_for_people(life: Life, minor: int | None) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CAPTURE, minor)
    payment = life.on(payment, seconds=7 * DAY + 1)
    assert (payment.state, payment.review_reason, payment.captured_minor) == (State.MANUAL_REVIEW, "UnexpectedProviderState", 0)


def test_a_capture_made_there_is_noticed_when_ours_is_refused(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CAPTURE, 800)
    payment = life.capture(payment, 1500, final=True)
    assert (payment.state, payment.review_reason, payment.captured_minor) == (State.MANUAL_REVIEW, "IntegrityMismatch", 0)
    assert payment.operations[0].state is OperationState.FAILED


# --- late failures


def test_a_refund_that_comes_back_later_is_seen_when_the_payment_is_looked_at(life: Life) -> None:
    """Nobody looks at a refund that succeeded: that is for Stripe's webhook, or for any other reason to ask about the payment."""
    payment = life.refund(life.paid("tok_refund_fails_late"), 500)
    assert payment.operations[-1].state is OperationState.SUCCEEDED
    payment = life.on(payment, seconds=DAY)
    assert (payment.operations[-1].state, life.books[2]) == (OperationState.SUCCEEDED, 0)
    payment = life.inquire(payment)
    assert (payment.operations[-1].state, payment.refundable_minor) == (OperationState.REVERSED, 2000)
    life.agrees(payment)


def test_a_capture_that_fails_later_goes_to_people_when_the_payment_is_looked_at(life: Life) -> None:
    payment = life.capture(life.paid("tok_capture_fails_late", hold=True))
    assert payment.state is State.CAPTURED
    payment = life.on(payment, seconds=DAY)
    assert (payment.state, life.books[1]) == (State.CAPTURED, 0)
    payment = life.inquire(payment)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")
