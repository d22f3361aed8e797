"""Whole lives of a payment at a simulated Adyen, of which everything that matters is only told: late, twice, and in any order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest

from connectors.adyen import connector
from connectors.simulator.dialect import Deed
from connectors.simulator.faults import After, Before, Verdict
from payorch.domain import decide
from payorch.domain.disputes import DisputeStatus
from payorch.domain.outcome import ErrorClass, Source
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import CancellationReason, OperationKind, Origin, Payment
from tests.connectors.adyen.adyen_life import CREDENTIALS, Life
from tests.domain.worlds import DAY, HOUR

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.ledger.close()


def states(payment: Payment, kind: OperationKind) -> list[OperationState]:
    return [one.state for one in payment.operations if one.kind is kind]


# --- the usual


def test_an_automatic_capture_is_a_call_of_ours(life: Life) -> None:
    payment = life.paid()
    assert (payment.state, states(payment, CAPTURE)) == (State.CAPTURING, [OperationState.PENDING])
    assert life.books == (0, 2000, 0)
    payment = life.listen(payment)
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 2000)
    assert payment.operations[0].origin is Origin.SYSTEM
    life.agrees(payment)


def test_a_hold_captured_in_part_and_given_back(life: Life) -> None:
    payment = life.listen(life.paid(hold=True))
    assert (payment.state, life.books) == (State.AUTHORIZED, (2000, 0, 0))
    payment = life.listen(life.capture(payment, 1500, final=True))
    assert (payment.state, life.books) == (State.CAPTURED, (0, 1500, 0))
    payment = life.refund(payment, 500)
    assert states(payment, REFUND) == [OperationState.PENDING]
    payment = life.listen(payment)
    payment = life.listen(life.refund(payment))
    assert (payment.refunded_minor, payment.refundable_minor) == (1500, 0)
    life.agrees(payment)


def test_several_captures_and_the_rest_voided(life: Life) -> None:
    payment = life.listen(life.paid(hold=True, multiple_partial_captures=True))
    for minor in (300, 500):
        payment = life.listen(life.capture(payment, minor, final=False))
    assert (payment.state, payment.captured_minor, life.books) == (State.PARTIALLY_CAPTURED, 800, (1200, 800, 0))
    payment = life.listen(life.void(payment))
    assert (payment.state, life.books) == (State.CAPTURED, (0, 800, 0))
    life.agrees(payment)
    held = Life()
    payment = held.listen(held.paid(hold=True, multiple_partial_captures=True))
    with pytest.raises(decide.Refused, match="void the rest"):
        held.capture(payment, 300, final=True)
    assert held.listen(held.capture(payment)).state is State.CAPTURED
    other = Life()
    payment = other.listen(other.paid(hold=True))
    with pytest.raises(decide.Refused, match="multiple_partial_captures"):
        other.capture(payment, 300, final=False)


def test_a_void(life: Life) -> None:
    payment = life.void(life.listen(life.paid(hold=True)))
    assert payment.state is State.VOIDING
    payment = life.listen(payment)
    assert (payment.state, payment.cancellation_reason, life.books) == (State.CANCELED, CancellationReason.VOIDED, (0, 0, 0))


@pytest.mark.parametrize(
    ("token", "error_class", "state"),
    [
        ("tok_soft_decline", ErrorClass.SOFT_TRY_OTHER, State.FAILED),
        ("tok_insufficient_funds", ErrorClass.SOFT_RETRY_LATER, State.FAILED),
        ("tok_hard_decline", ErrorClass.HARD_DECLINE, State.FAILED),
        ("tok_expired_card", ErrorClass.FIX_DATA, State.FAILED),
        ("tok_fraud", ErrorClass.FRAUD_BLOCKED, State.FAILED),
    ],
)
def test_declines(life: Life, token: str, error_class: ErrorClass, state: State) -> None:
    payment = life.paid(token)
    assert payment.attempts[0].failure is not None
    assert (payment.state, payment.attempts[0].failure.error_class) == (state, error_class)
    assert life.listen(payment).state is state
    assert life.books == (0, 0, 0)


def test_an_unknown_token_is_a_message_that_is_refused(life: Life) -> None:
    payment = life.paid("tok_nobodys")
    assert (payment.state, payment.attempts[0].state) == (State.FAILED, AttemptState.REJECTED)


def test_a_payment_that_takes_its_time(life: Life) -> None:
    payment = life.paid("tok_pending")
    assert payment.state is State.PROVIDER_PENDING
    life.on(seconds=4)
    payment = life.listen(payment)
    payment = life.listen(payment)  # the capture that this led to
    assert payment.state is State.CAPTURED
    life.agrees(payment)


def test_the_shoppers_turn(life: Life) -> None:
    payment = life.paid("tok_3ds")
    assert payment.state is State.REQUIRES_ACTION
    action = payment.attempts[0].action
    assert action is not None
    assert action.url.startswith("https://simulator.example/_redirect/")
    assert life.news() == []
    # Nothing can be charged before our own next call: the merchant may take it back at once.
    assert life.command(payment, decide.cancel).state is State.CANCELED


@pytest.mark.parametrize(
    ("token", "outcome", "state"),
    [
        ("tok_3ds", "approve", State.CAPTURED),
        ("tok_3ds", "fail", State.FAILED),
        ("tok_3ds", "cancel", State.CANCELED),
        ("tok_3ds_fail", "approve", State.FAILED),
    ],
)
def test_a_shopper_who_comes_back(life: Life, token: str, outcome: str, state: State) -> None:
    payment = life.come_back(life.paid(token), outcome)
    payment = life.listen(payment)
    assert payment.state is state
    life.agrees(payment)


@pytest.mark.parametrize("verdict", [Verdict(after=After.ERROR_500), Verdict(before=Before.ERROR_500), Verdict(after=After.MALFORMED)])
def test_a_completion_whose_answer_is_lost_is_replayed_and_done_once(life: Life, verdict: Verdict) -> None:
    payment = life.paid("tok_3ds", hold=True)
    life.verdict = verdict
    payment = life.come_back(payment, "approve")
    assert payment.state is State.OUTCOME_UNKNOWN
    life.on(seconds=3)
    payment = life.listen(life.look(payment))
    assert (payment.state, life.books) == (State.AUTHORIZED, (2000, 0, 0))


def test_several_captures_of_what_a_shopper_completed(life: Life) -> None:
    """The completing call has taken the place of the first, which said that the account keeps rests open."""
    payment = life.listen(life.come_back(life.paid("tok_3ds", hold=True, multiple_partial_captures=True), "approve"))
    payment = life.listen(life.capture(payment, 500, final=False))
    assert (payment.state, payment.captured_minor, life.books) == (State.PARTIALLY_CAPTURED, 500, (1500, 500, 0))


# --- what does not last


@pytest.mark.parametrize("kind", [CAPTURE, REFUND])
def test_what_fails_days_later(life: Life, kind: OperationKind) -> None:
    payment = life.listen(life.paid("tok_capture_fails_late" if kind is CAPTURE else "tok_refund_fails_late"))
    if kind is REFUND:
        payment = life.listen(life.refund(payment, 500))
        assert payment.refunded_minor == 500
    life.on(seconds=HOUR)
    payment = life.listen(payment)
    assert states(payment, kind) == [OperationState.REVERSED]
    assert payment.state is (State.MANUAL_REVIEW if kind is CAPTURE else State.CAPTURED)
    life.agrees(payment)


def test_a_refund_that_takes_its_time(life: Life) -> None:
    payment = life.refund(life.listen(life.paid("tok_refund_pending")), 500)
    assert (states(life.listen(payment), REFUND), life.books) == ([OperationState.PENDING], (0, 2000, 0))
    life.on(seconds=HOUR)
    payment = life.listen(payment)
    assert payment.refunded_minor == 500
    life.agrees(payment)


def test_a_hold_that_runs_out(life: Life) -> None:
    payment = life.listen(life.paid(hold=True))
    life.on(seconds=8 * DAY)
    payment = life.listen(payment)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.AUTHORIZATION_EXPIRED)
    assert life.books == (0, 0, 0)


def test_a_capture_of_what_ran_out_meanwhile(life: Life) -> None:
    payment = life.listen(life.paid(hold=True))
    life.on(seconds=8 * DAY)
    late = life.capture(payment)  # the notification of the expiry is still on its way
    payment = life.listen(late)
    assert (payment.captured_minor, life.books) == (0, (0, 0, 0))
    assert states(payment, CAPTURE) == [OperationState.FAILED]


# --- answers that are lost


LOST = [Verdict(after=After.ERROR_500), Verdict(before=Before.ERROR_500), Verdict(after=After.MALFORMED), None]


@pytest.mark.parametrize("verdict", LOST)
def test_an_authorisation_whose_answer_is_lost_is_replayed_and_done_once(life: Life, verdict: Verdict | None) -> None:
    life.verdict, life.deaf = verdict or life.verdict, verdict is None
    payment = life.paid(hold=True)
    assert payment.state is State.OUTCOME_UNKNOWN
    life.on(seconds=3)
    payment = life.look(payment)
    assert (payment.state, life.books) == (State.AUTHORIZED, (2000, 0, 0))
    assert life.listen(payment).state is State.AUTHORIZED


@pytest.mark.parametrize("verdict", LOST)
@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
def test_an_operation_whose_answer_is_lost_is_replayed_and_done_once(life: Life, kind: OperationKind, verdict: Verdict | None) -> None:
    payment = life.listen(life.listen(life.paid(hold=kind is not REFUND)))
    life.verdict, life.deaf = verdict or life.verdict, verdict is None
    payment = {CAPTURE: life.capture, VOID: life.void, REFUND: life.refund}[kind](payment)
    assert OperationState.UNKNOWN in states(payment, kind)
    life.on(seconds=3)
    payment = life.look(payment)
    payment = life.listen(payment)
    assert states(payment, kind) == [OperationState.SUCCEEDED]
    life.agrees(payment)


def test_an_authorisation_whose_answer_is_lost_is_told_of(life: Life) -> None:
    life.deaf = True
    payment = life.listen(life.paid(hold=True))
    assert (payment.state, payment.attempts[0].psp_reference is not None) == (State.AUTHORIZED, True)


@pytest.mark.parametrize("came", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
def test_a_fence_ends_an_unknown(life: Life, came: bool, backwards: bool) -> None:
    """Whether the first sending came in or not: afterwards nothing is held, and nothing that comes later will be."""
    life.verdict = Verdict(after=After.ERROR_500) if came else Verdict(before=Before.ERROR_500)
    payment = life.paid(hold=True)
    call = payment.attempts[0].call
    payment = life.fence(payment)
    assert payment.state is State.OUTCOME_UNKNOWN  # its answer proves nothing
    life.listened = 0
    if backwards or not came:
        payment = life.listen(payment, lambda news: news[::-1])
        assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.FENCED)
    else:
        payment = life.listen(payment)
        assert payment.state is State.CANCELED
    assert life.books == (0, 0, 0)
    # A sending that was still on its way.
    sent = connector.request(call, psp_key="another", credentials=CREDENTIALS)
    assert life.dialect.handle(life.ledger, sent, life.at).response.status == 200
    assert life.books == (0, 0, 0)
    assert life.listen(payment).state is State.CANCELED


def test_a_wrong_amount_is_for_people(life: Life) -> None:
    life.verdict = Verdict(after=After.WRONG_AMOUNT)
    payment = life.paid(hold=True)
    assert payment.state is State.MANUAL_REVIEW


def test_a_wrong_amount_in_a_receipt_is_unknown_until_it_is_told(life: Life) -> None:
    payment = life.listen(life.paid(hold=True))
    life.verdict = Verdict(after=After.WRONG_AMOUNT)
    payment = life.capture(payment)
    assert payment.state is State.OUTCOME_UNKNOWN
    payment = life.listen(payment)
    assert payment.state is State.CAPTURED
    life.agrees(payment)


@pytest.mark.parametrize("retry_after", [None, 9])
def test_a_rate_limit_is_no_outcome(life: Life, retry_after: int | None) -> None:
    payment = life.listen(life.paid(hold=True))
    life.verdict = Verdict(before=Before.RATE_LIMIT, retry_after_seconds=retry_after)
    payment = life.command(payment, decide.void)
    [void] = payment.operations
    assert void.call is not None
    payment = life.exchange(payment, void, void.call, Source.RESPONSE)
    assert states(payment, VOID) == [OperationState.REQUESTED]
    life.on(seconds=30)
    payment = life.listen(life.look(payment))
    assert payment.state is State.CANCELED


# --- in the Customer Area


def test_a_refund_by_hand_is_adopted(life: Life) -> None:
    payment = life.listen(life.paid())
    life.by_hand(payment, Deed.REFUND, 700)
    payment = life.listen(payment)
    assert [(one.origin, one.amount.minor) for one in payment.operations if one.kind is REFUND] == [(Origin.PROVIDER, 700)]
    payment = life.listen(life.refund(payment, 300))
    assert payment.refunded_minor == 1000
    life.agrees(payment)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_refund_by_hand_while_ours_is_under_way_is_adopted(life: Life, deaf: bool) -> None:
    """There will be no other look at it: Adyen tells each refund once, ours by our name."""
    payment = life.listen(life.paid())
    life.deaf = deaf
    payment = life.refund(payment, 300)
    ours = life.news()
    life.by_hand(payment, Deed.REFUND, 700)
    payment = life.listen(payment)
    assert [(one.origin, one.amount.minor) for one in payment.operations if one.kind is REFUND][1:] == [(Origin.PROVIDER, 700)]
    for body in ours:
        payment = life.tell_it(payment, body)
    assert (payment.refunded_minor, payment.refundable_minor) == (1000, 1000)
    life.agrees(payment)


def test_a_cancel_and_a_capture_by_hand(life: Life) -> None:
    payment = life.listen(life.paid(hold=True))
    life.by_hand(payment, Deed.CANCEL)
    assert life.listen(payment).state is State.CANCELED
    other = Life()
    payment = other.listen(other.paid(hold=True))
    other.by_hand(payment, Deed.CAPTURE, 700)
    assert other.listen(payment).state is State.MANUAL_REVIEW


def test_a_dispute(life: Life) -> None:
    payment = life.listen(life.paid())
    life.by_hand(payment, Deed.INQUIRY)
    payment = life.listen(payment)
    assert payment.refundable_minor == 2000
    life.by_hand(payment, Deed.DISPUTE)
    payment = life.listen(payment)
    assert payment.refundable_minor == 0
    life.by_hand(payment, Deed.WIN_DISPUTE)
    payment = life.listen(payment)
    assert (payment.disputes[-1].status, payment.refundable_minor) == (DisputeStatus.WON, 2000)
    life.by_hand(payment, Deed.DISPUTE, 500)
    life.by_hand(payment, Deed.LOSE_DISPUTE)
    payment = life.listen(payment)
    assert (payment.disputes[-1].status, payment.refundable_minor) == (DisputeStatus.LOST, 1500)


def test_a_dispute_that_nobody_answers(life: Life) -> None:
    payment = life.listen(life.paid())
    life.by_hand(payment, Deed.DISPUTE)
    life.on(seconds=15 * DAY)
    assert life.listen(payment).disputes[-1].status is DisputeStatus.EXPIRED


# --- in any order


def twice_and_shuffled(seed: int) -> Callable[[list[bytes]], list[bytes]]:
    def order(news: list[bytes]) -> list[bytes]:
        mixed = [*news, *news]
        random.Random(seed).shuffle(mixed)
        return mixed

    return order


@pytest.mark.parametrize("seed", range(20))
def test_any_order_comes_to_the_same(seed: int) -> None:
    """A hold, two captures of which one does not last, a refund of ours and one by hand: told at the end, twice and shuffled."""
    life = Life()
    payment = life.listen(life.paid(hold=True, multiple_partial_captures=True))
    payment = life.listen(life.capture(payment, 800, final=False))
    payment = life.refund(payment, 300)
    payment = life.capture(payment, 1200)
    payment = life.listen(payment, twice_and_shuffled(seed))
    life.by_hand(payment, Deed.REFUND, 100)
    payment = life.listen(payment, twice_and_shuffled(seed + 100))
    assert (payment.state, payment.captured_minor, payment.refunded_minor) == (State.CAPTURED, 2000, 400)
    life.agrees(payment)
    life.ledger.close()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_late_failure_in_any_order(order: tuple[int, ...]) -> None:
    """The authorisation, the capture and its failure, of which the answers were heard and the rest was not."""
    life = Life()
    payment = life.paid("tok_capture_fails_late")
    life.on(seconds=HOUR)
    payment = life.listen(payment, lambda news: [news[place] for place in order])
    assert (payment.state, payment.captured_minor) == (State.MANUAL_REVIEW, 0)
    life.agrees(payment)
    life.ledger.close()
