"""Whole lives of a payment: the domain decides, the connector translates, a simulated PayPal does, time moves by hand. No HTTP, no actors.

What is proved here is that the three agree about everything that can happen on the way: a shopper who approves, gives up or comes late,
answers and webhooks that are lost, failures days later, and what is done behind our back.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.simulator.dialect import Deed
from connectors.simulator.faults import HEALTHY, After, Before, Verdict
from payorch.domain import decide
from payorch.domain.outcome import ErrorClass
from payorch.domain.payment import OperationState, State
from payorch.domain.records import CancellationReason, Operation, OperationKind, Origin, Payment
from tests.connectors.paypal.paypal_life import Life
from tests.domain.worlds import DAY, HOUR, MINUTE

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
LOST_AFTER, LOST_BEFORE = Verdict(after=After.ERROR_500), Verdict(before=Before.ERROR_500)
FATES = [LOST_AFTER, LOST_BEFORE, Verdict(after=After.MALFORMED), None]
"""None: the answer does not arrive at all."""


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.ledger.close()


def befall(life: Life, fate: Verdict | None) -> None:
    life.verdict, life.deaf = fate or HEALTHY, fate is None


def adopted(payment: Payment, kind: OperationKind = REFUND) -> list[Operation]:
    return [one for one in payment.operations if one.origin is Origin.PROVIDER and one.kind is kind]


# --- the usual


def test_several_captures_refunds_of_each_and_the_rest_voided(life: Life) -> None:
    payment = life.paid(hold=True)
    for minor in (300, 500):
        life.later(seconds=1)
        payment = life.capture(payment, minor, final=False)
    assert (payment.state, payment.captured_minor, payment.capturable_minor) == (State.PARTIALLY_CAPTURED, 800, 1200)
    payment = life.refund(payment, 100)
    payment = life.void(payment)
    assert payment.state is State.CAPTURED
    payment = life.refund(payment, 400)
    payment = life.refund(payment, 300)
    assert (payment.refunded_minor, payment.refundable_minor) == (800, 0)
    life.agrees(payment)
    life.agrees(life.inquire(payment))
    assert adopted(payment) == adopted(payment, VOID) == []


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("hearing", [False, True])
def test_a_card_whose_answer_is_lost_is_charged_once(life: Life, fate: Verdict | None, hold: bool, hearing: bool) -> None:
    befall(life, fate)
    payment = life.paid(hold=hold)
    assert payment.state is State.OUTCOME_UNKNOWN
    payment = life.on(payment, seconds=HOUR, hearing=hearing)
    assert payment.state is (State.AUTHORIZED if hold else State.CAPTURED)
    life.agrees(payment)
    assert payment.attempts[-1].money_reference is not None


def test_an_answer_that_is_lost_for_good_is_found_by_its_webhook(life: Life) -> None:
    """Nobody replays what is no longer wanted; and PayPal cannot be asked by our own id."""
    life.deaf = True
    payment = life.paid()
    heard, life.told = life.told, []
    life.later(seconds=20 * MINUTE)
    payment = life.on(payment, seconds=HOUR)
    assert (payment.state, payment.attempts[-1].psp_reference) == (State.OUTCOME_UNKNOWN, None)
    life.told = heard
    payment = life.look(life.hears(payment))
    assert payment.state is State.CAPTURED
    life.agrees(payment)


def test_what_is_said_while_the_call_is_under_way_is_not_lost(life: Life) -> None:
    """The webhook overtakes the answer, which then never comes."""
    befall(life, LOST_AFTER)
    payment = life.paid()
    heard, life.told = life.told, []
    before = payment
    life.told = heard
    payment = life.hears(before)
    assert payment.attempts[-1].psp_reference is not None
    assert life.look(payment).state is State.CAPTURED


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
def test_an_operation_whose_answer_is_lost_is_found_out_and_done_once(life: Life, kind: OperationKind, fate: Verdict | None) -> None:
    payment = life.paid(hold=kind is not REFUND)
    befall(life, fate)
    payment = {CAPTURE: life.capture, VOID: life.void, REFUND: life.refund}[kind](payment)
    [operation] = [one for one in payment.operations if one.kind is kind]
    assert operation.state is OperationState.UNKNOWN
    payment = life.on(payment, seconds=2 * HOUR)
    life.agrees(payment)
    assert payment.operation(operation.id).state is OperationState.SUCCEEDED
    assert adopted(payment) == adopted(payment, VOID) == []


def test_an_operation_is_found_after_its_keys_window(life: Life) -> None:
    payment = life.paid(hold=True)
    life.deaf = True
    payment = life.capture(payment, 700, final=True)
    life.later(seconds=7 * HOUR)
    payment = life.on(payment, seconds=HOUR)
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 700)
    life.agrees(payment)


def test_a_wrong_amount_is_never_a_success(life: Life) -> None:
    life.verdict = Verdict(after=After.WRONG_AMOUNT)
    payment = life.paid()
    assert (payment.state, payment.review_reason, payment.captured_minor) == (State.MANUAL_REVIEW, "IntegrityMismatch", 0)


# --- the shopper


@pytest.mark.parametrize("hold", [False, True])
def test_the_wallet(life: Life, hold: bool) -> None:
    payment = life.paid(None, hold=hold)
    assert payment.state is State.REQUIRES_ACTION
    life.press(payment, "approve")
    payment = life.back(payment, token="x", PayerID="y")
    assert payment.state is (State.AUTHORIZED if hold else State.CAPTURED)
    life.agrees(payment)
    payment = life.refund(life.capture(payment) if hold else payment)
    assert payment.refunded_minor == 2000
    life.agrees(payment)


def test_a_shopper_who_approves_and_never_comes_back(life: Life) -> None:
    payment = life.paid(None)
    life.press(payment, "approve")
    payment = life.on(life.hears(payment), seconds=MINUTE)
    assert payment.state is State.CAPTURED
    life.agrees(payment)


def test_without_webhooks_the_schedule_finds_it(life: Life) -> None:
    payment = life.paid(None)
    life.press(payment, "approve")
    payment = life.on(payment, seconds=14 * MINUTE)
    assert payment.state is State.CAPTURED
    life.agrees(payment)


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("hearing", [False, True])
def test_a_completion_whose_answer_is_lost_is_found_out_and_done_once(life: Life, fate: Verdict | None, hearing: bool) -> None:
    payment = life.paid(None)
    life.press(payment, "approve")
    befall(life, fate)
    payment = life.back(payment, token="x", PayerID="y")
    assert payment.state is State.OUTCOME_UNKNOWN
    payment = life.on(payment, seconds=HOUR, hearing=hearing)
    assert payment.state is State.CAPTURED
    life.agrees(payment)
    assert len(life.ledger.entries()) == 2


def test_a_shopper_who_comes_back_without_having_approved(life: Life) -> None:
    payment = life.paid(None)
    payment = life.back(payment, token="x")
    assert (payment.state, payment.attempts[-1].action is not None) == (State.REQUIRES_ACTION, True)
    life.press(payment, "approve")
    payment = life.back(payment, token="x", PayerID="y")
    assert payment.state is State.CAPTURED
    life.agrees(payment)


def test_a_shopper_who_gives_up_is_waited_for_and_then_not_charged(life: Life) -> None:
    payment = life.paid(None)
    life.press(payment, "cancel")
    payment = life.back(payment, shopper="gave_up")
    assert payment.state is State.REQUIRES_ACTION
    payment = life.on(payment, seconds=DAY, hearing=True)
    assert payment.state in (State.CANCELED, State.FAILED)
    assert life.books == (0, 0, 0)


def test_a_merchant_who_cancels_before_the_shopper_is_done(life: Life) -> None:
    payment = life.paid(None)
    life.press(payment, "approve")
    payment = life.command(payment, decide.cancel)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.MERCHANT)
    payment = life.on(life.hears(payment), seconds=DAY)
    assert payment.state is State.CANCELED
    assert life.books == (0, 0, 0)


@pytest.mark.parametrize(("token", "state"), [("tok_3ds", State.CAPTURED), ("tok_3ds_fail", State.FAILED)])
def test_a_cards_holder_at_his_bank(life: Life, token: str, state: State) -> None:
    payment = life.paid(token)
    assert payment.state is State.REQUIRES_ACTION
    life.press(payment, "approve")
    payment = life.on(life.back(payment, token="x"), seconds=MINUTE)
    assert payment.state is state
    assert life.books == ((0, 2000, 0) if state is State.CAPTURED else (0, 0, 0))


def test_a_wallet_that_is_declined(life: Life) -> None:
    payment = life.paid(None)
    life.press(payment, "fail")
    payment = life.back(payment, token="x", PayerID="y")
    assert payment.state is State.FAILED
    assert payment.failure is not None
    assert payment.failure.error_class is ErrorClass.SOFT_TRY_OTHER


# --- days later, and behind our back


@pytest.mark.parametrize("hearing", [False, True])
def test_a_payment_that_takes_its_time(life: Life, hearing: bool) -> None:
    payment = life.paid("tok_pending")
    assert payment.state is State.PROVIDER_PENDING
    payment = life.on(payment, seconds=HOUR, hearing=hearing)
    assert payment.state is State.CAPTURED
    life.agrees(payment)


@pytest.mark.parametrize("hold", [False, True])
def test_a_capture_that_fails_after_all_is_for_people(life: Life, hold: bool) -> None:
    payment = life.paid("tok_capture_fails_late", hold=hold)
    payment = life.capture(payment) if hold else payment
    assert payment.state is State.CAPTURED
    life.later(seconds=MINUTE)
    payment = life.on(life.hears(payment), seconds=MINUTE)
    assert payment.state is State.MANUAL_REVIEW
    assert life.books == (0, 0, 0)


@pytest.mark.parametrize("token", ["tok_refund_fails_late", "tok_refund_pending"])
def test_a_refund_that_ends_later_than_it_was_answered(life: Life, token: str) -> None:
    payment = life.refund(life.paid(token), 500)
    life.later(seconds=MINUTE)
    payment = life.on(life.hears(payment), seconds=MINUTE)
    [refund] = payment.operations
    assert refund.state is (OperationState.REVERSED if "fails" in token else OperationState.SUCCEEDED)
    life.agrees(payment)
    assert adopted(payment) == []


def test_a_refund_in_the_dashboard_is_adopted_when_its_webhook_comes(life: Life) -> None:
    payment = life.paid()
    life.by_hand(payment, Deed.REFUND, 300)
    payment = life.on(life.hears(payment), seconds=MINUTE)
    [refund] = adopted(payment)
    assert (refund.amount.minor, refund.state, refund.psp_reference is not None) == (300, OperationState.SUCCEEDED, True)
    payment = life.refund(payment, 500)
    life.agrees(payment)


def test_a_void_in_the_dashboard_is_adopted_when_its_webhook_comes(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CANCEL)
    payment = life.on(life.hears(payment), seconds=MINUTE)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.VOIDED)
    life.agrees(payment)


def test_a_capture_in_the_dashboard_is_for_people(life: Life) -> None:
    payment = life.paid(hold=True)
    life.by_hand(payment, Deed.CAPTURE, 1500)
    payment = life.on(life.hears(payment), seconds=MINUTE)
    assert payment.state is State.MANUAL_REVIEW


def test_a_hold_that_expires_in_silence(life: Life) -> None:
    payment = life.paid(hold=True)
    assert payment.attempts[-1].expires_at is not None
    payment = life.on(payment, seconds=30 * DAY)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.AUTHORIZATION_EXPIRED)
    life.agrees(payment)


def test_a_dispute_and_its_end(life: Life) -> None:
    payment = life.paid("vault_disputed")
    life.later(seconds=1)
    payment = life.hears(payment)
    [dispute] = payment.disputes
    assert (dispute.status, dispute.amount.minor, payment.refundable_minor) == ("opened", 2000, 0)
    life.by_hand(payment, Deed.WIN_DISPUTE)
    payment = life.hears(payment)
    assert (payment.disputes[0].status, payment.refundable_minor) == ("won", 2000)
    life.agrees(payment)


def test_every_webhook_of_a_life_twice_and_backwards_changes_nothing(life: Life) -> None:
    payment = life.refund(life.capture(life.paid(hold=True), 1500), 500)
    heard = list(life.told)
    payment = life.on(life.hears(payment), seconds=HOUR)
    life.agrees(payment)
    for again in (heard, heard[::-1]):
        life.told = list(again)
        state, operations = payment.state, len(payment.operations)
        payment = life.on(life.hears(payment), seconds=HOUR)
        assert (payment.state, payment.captured_minor, payment.refunded_minor, len(payment.operations)) == (state, 1500, 500, operations)
