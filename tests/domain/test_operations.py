"""Stories of captures, voids and refunds: what is taken, what is given back, and what nobody knows yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.desk import Story
from payorch.domain.events import Correction, Resync
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, GivenBack, Pending, Released, Source
from payorch.domain.payment import AttemptState, Command, Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import CancellationReason, OperationKind, Origin, Payment
from tests.domain.worlds import (
    ABSENT,
    CHALLENGE,
    CHARGED,
    DAY,
    EUR_20,
    LOST,
    MANIFESTS,
    MINUTE,
    NOT_SENT,
    World,
    declined,
    manifest,
    rejected,
)

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
GONE = declined(ErrorClass.EXPIRED)
NO = declined(ErrorClass.OPERATION_NOT_ALLOWED)
DONE = Approved()


def authorized(world: World, connector: str = "strong", capture: CaptureMode = CaptureMode.MANUAL) -> Payment:
    payment = world.answer(world.pay(capture=capture, connector=connector), Approved(), psp_reference="psp_1")
    assert payment.state is (State.AUTHORIZED if capture is CaptureMode.MANUAL else State.CAPTURING)
    return payment


def capturing(world: World, minor: int | None = None, *, final: bool | None = None, payment: Payment | None = None) -> Payment:
    return world.command(payment or authorized(world), lambda story: decide.capture(story, minor, final=final))


def captured(world: World, minor: int | None = None) -> Payment:
    return world.answer_operation(capturing(world, minor), CAPTURE, DONE)


def refunding(world: World, payment: Payment, minor: int | None = None) -> Payment:
    return world.command(payment, lambda story: decide.refund(story, minor))


def sums(payment: Payment) -> tuple[int, int, int]:
    """captured, refunded, reserved by refunds"""
    return payment.captured_minor, payment.refunded_minor, payment.refund_reserved_minor


# --- capture


def test_the_whole_is_captured_by_default() -> None:
    payment = captured(World())
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == 2000
    assert payment.due_at is None


def test_parts_are_captured_until_nothing_is_left() -> None:
    world = World()
    payment = captured(world, 500)
    assert payment.state is State.PARTIALLY_CAPTURED
    assert payment.capturable_minor == 1500
    payment = capturing(world, 700, payment=payment)
    payment = capturing(world, 800, payment=payment)
    assert payment.capturable_minor == 0
    first, second = payment.open_operations(CAPTURE)
    payment = world.weigh(payment, second.id, DONE)
    assert payment.state is State.CAPTURING
    payment = world.weigh(payment, first.id, DONE)
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == 2000


def test_a_final_part_closes_the_rest() -> None:
    world = World()
    payment = capturing(world, 500, final=True)
    assert payment.capturable_minor == 0
    with pytest.raises(decide.Refused):
        capturing(world, 1, payment=payment)
    payment = world.answer_operation(payment, CAPTURE, DONE)
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == 500


@pytest.mark.parametrize("last", [DONE, NO])
def test_a_final_capture_closes_the_rest_also_when_another_one_ends_later(last: object) -> None:
    world = World()
    payment = capturing(world, 500)
    payment = capturing(world, 700, final=True, payment=payment)
    first, final = payment.open_operations(CAPTURE)
    payment = world.weigh(payment, final.id, DONE)
    assert payment.state is State.CAPTURING
    payment = world.weigh(payment, first.id, last)  # type: ignore[arg-type]
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == (1200 if last is DONE else 700)


@pytest.mark.parametrize("minor", [0, -1, 2001])
def test_more_than_is_held_or_nothing_is_not_captured(minor: int) -> None:
    world = World()
    payment = authorized(world)
    with pytest.raises(decide.Refused):
        capturing(world, minor, payment=payment)


def test_a_connector_that_captures_once_is_not_asked_for_a_part() -> None:
    world = World()
    payment = authorized(world, "blind")
    with pytest.raises(decide.Refused) as refused:
        capturing(world, 500, payment=payment)
    assert refused.value.code == "capability_not_supported"


def test_a_refused_capture_leaves_the_hold_or_the_part() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, NO)
    assert payment.state is State.AUTHORIZED
    world = World()
    payment = capturing(world, 500, payment=captured(world, 500))
    assert world.answer_operation(payment, CAPTURE, NO).state is State.PARTIALLY_CAPTURED


def test_a_capture_of_a_hold_that_is_gone_ends_the_payment_or_closes_the_rest() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, GONE)
    assert payment.state is State.CANCELED
    assert payment.cancellation_reason is CancellationReason.AUTHORIZATION_EXPIRED
    world = World()
    payment = capturing(world, 500, payment=captured(world, 500))
    assert world.answer_operation(payment, CAPTURE, GONE).state is State.CAPTURED


def test_a_hold_that_is_gone_for_one_capture_waits_for_the_other() -> None:
    world = World()
    payment = capturing(world, 700, payment=capturing(world, 500))
    first, second = payment.open_operations(CAPTURE)
    payment = world.weigh(payment, first.id, GONE)
    assert payment.state is State.CAPTURING
    assert world.weigh(payment, second.id, DONE).captured_minor == 700


def test_an_unsent_capture_is_sent_again_inside_its_window_and_then_fails() -> None:
    world = World()
    payment = capturing(world)
    while payment.state is State.CAPTURING:
        payment = world.answer_operation(payment, CAPTURE, NOT_SENT)
        if payment.state is State.CAPTURING:
            assert set(world.to_next_timer(payment).values()) == {Means.SEND}
    assert payment.state is State.AUTHORIZED
    assert world.names[-1] == "CaptureNotSent"


def test_an_unknown_capture_is_replayed_until_it_is_known() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, LOST)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert payment.capture_reserved_minor == 2000
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer_operation(payment, CAPTURE, NOT_SENT, Source.REPLAY)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.answer_operation(payment, CAPTURE, DONE, Source.REPLAY).state is State.CAPTURED


def test_an_unknown_capture_that_was_never_executed_leaves_the_hold() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, LOST)
    world.later(seconds=29)
    payment = world.answer_operation(payment, CAPTURE, ABSENT, Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    world.later(seconds=1)
    payment = world.answer_operation(payment, CAPTURE, ABSENT, Source.INQUIRY)
    assert payment.state is State.AUTHORIZED
    assert world.names[-1] == "ResolvedCaptureNotDone"


def test_two_unknown_captures_are_both_waited_for() -> None:
    world = World()
    payment = capturing(world, 700, payment=capturing(world, 500))
    first, second = payment.open_operations(CAPTURE)
    payment = world.weigh(world.weigh(payment, first.id, LOST), second.id, LOST)
    payment = world.weigh(payment, first.id, Pending(), Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    payment = world.weigh(payment, second.id, NO, Source.INQUIRY)
    assert payment.state is State.CAPTURING
    assert world.weigh(payment, first.id, DONE, Source.WEBHOOK).state is State.PARTIALLY_CAPTURED


def test_a_spent_search_for_a_capture_goes_to_people_who_may_look_again() -> None:
    world = World()
    payment = world.search(world.answer_operation(capturing(world), CAPTURE, LOST), LOST)
    assert payment.state is State.MANUAL_REVIEW
    again = Resync(attempt_id=None, operation_id=payment.operations[0].id, reason="the PSP is back", next_action_at=world.at)
    payment = world.tell(payment, Name.RESYNC_REQUESTED, again, State.OUTCOME_UNKNOWN)
    assert set(world.looks(payment).values()) == {Means.INQUIRE}
    assert world.answer_operation(payment, CAPTURE, DONE, Source.INQUIRY).state is State.CAPTURED


def second_capture_lost(world: World) -> Payment:
    """500 are captured, and the answer to a capture of 300 more got lost."""
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500, final=False))
    payment = world.answer_operation(payment, CAPTURE, Approved(captured=True))
    payment = world.command(payment, lambda story: decide.capture(story, 300, final=False))
    return world.answer_operation(payment, CAPTURE, LOST)


@pytest.mark.parametrize(("total", "state"), [(500, OperationState.FAILED), (800, OperationState.SUCCEEDED)])
def test_a_lost_capture_that_the_psp_cannot_tell_apart_is_told_by_the_total(total: int, state: OperationState) -> None:
    world = World()
    payment = second_capture_lost(world)
    world.later(seconds=MINUTE)
    payment = world.answer_operation(payment, CAPTURE, LOST, Source.INQUIRY, captured=Money(total, "EUR"))
    assert payment.state is State.PARTIALLY_CAPTURED
    assert (payment.operations[-1].state, payment.captured_minor) == (state, total)


@pytest.mark.parametrize("total", [400, 700, 900])
def test_another_total_tells_nothing(total: int) -> None:
    world = World()
    payment = second_capture_lost(world)
    world.later(seconds=MINUTE)
    payment = world.answer_operation(payment, CAPTURE, LOST, Source.INQUIRY, captured=Money(total, "EUR"))
    assert payment.state is State.OUTCOME_UNKNOWN


def test_a_total_tells_nothing_while_another_capture_is_under_way() -> None:
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500, final=False))
    payment = world.answer_operation(payment, CAPTURE, Approved(captured=True))
    payment = world.command(payment, lambda story: decide.capture(story, 300, final=False))
    payment = world.command(payment, lambda story: decide.capture(story, 200, final=False))
    payment = world.answer_operation(payment, CAPTURE, LOST)
    world.later(seconds=MINUTE)
    payment = world.answer_operation(payment, CAPTURE, LOST, Source.INQUIRY, captured=Money(500, "EUR"))
    assert payment.state is State.OUTCOME_UNKNOWN


def test_a_crash_makes_a_capture_unknown() -> None:
    world = World()
    payment = world.restart(capturing(world))
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.names[-1] == "FoundSentAfterRestart"


def test_a_late_failure_of_a_capture_goes_to_people() -> None:
    world = World()
    payment = captured(world)
    payment = world.weigh(payment, payment.operations[0].id, NO, Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.operations[0].state is OperationState.REVERSED
    assert payment.captured_minor == 0


def test_a_late_success_of_a_failed_capture_is_never_passed_over() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, NO)
    payment = world.weigh(payment, payment.operations[0].id, DONE, Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.captured_minor == 2000
    world = World()
    payment = world.command(world.answer_operation(capturing(world), CAPTURE, NO), decide.void)
    payment = world.answer_operation(payment, VOID, DONE)
    assert payment.state is State.CANCELED
    payment = world.weigh(payment, payment.operations[0].id, DONE, Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "LateSuccess"


def test_a_capture_of_another_amount_is_for_people() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, DONE, amount=Money(1, "EUR"))
    assert payment.state is State.MANUAL_REVIEW
    assert payment.operations[0].amount == Money(2000, "EUR")


def test_a_capture_from_the_psps_dashboard_is_for_people() -> None:
    world = World()
    payment = authorized(world)
    assert world.weigh(payment, payment.attempts[0].id, CHARGED, Source.WEBHOOK).state is State.MANUAL_REVIEW


def test_a_capture_that_took_another_total_is_for_people() -> None:
    """Captures are told by totals: what was captured before and this one must be all there is."""
    for total in (Money(1, "EUR"), Money(500, "EUR"), Money(700, "EUR"), Money(1300, "EUR"), Money(1200, "JPY")):
        world = World()
        payment = captured(world, 500)
        world.later(seconds=1)
        payment = world.answer_operation(capturing(world, 700, payment=payment), CAPTURE, DONE, captured=total)
        assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")
        assert (payment.captured_minor, payment.operations[-1].state) == (500, OperationState.UNKNOWN)
    world = World()
    payment = captured(world, 500)
    world.later(seconds=1)
    payment = world.answer_operation(capturing(world, 700, payment=payment), CAPTURE, DONE, captured=Money(1200, "EUR"))
    assert (payment.state, payment.captured_minor) == (State.PARTIALLY_CAPTURED, 1200)


def test_captures_under_way_together_may_be_told_in_any_order() -> None:
    for first_total, second_total in ((500, 1200), (1200, 1200), (500, 700), (1200, 700)):
        world = World()
        payment = capturing(world, 700, payment=capturing(world, 500))
        first, second = payment.open_operations(CAPTURE)
        payment = world.weigh(payment, second.id, DONE, captured=Money(second_total, "EUR"))
        payment = world.weigh(payment, first.id, DONE, captured=Money(first_total, "EUR"))
        assert (payment.state, payment.captured_minor) == (State.PARTIALLY_CAPTURED, 1200)
    world = World()
    payment = capturing(world, 700, payment=capturing(world, 500))
    payment = world.answer_operation(payment, CAPTURE, DONE, captured=Money(1201, "EUR"))
    assert payment.state is State.MANUAL_REVIEW


def test_an_automatic_capture_of_another_total_is_for_people() -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED, amount=Money(2000, "EUR"), captured=Money(1999, "EUR"))
    assert (payment.state, payment.captured_minor) == (State.MANUAL_REVIEW, 0)


# --- void


def voiding(world: World, payment: Payment | None = None) -> Payment:
    return world.command(payment or authorized(world), decide.void)


def test_a_void_ends_the_payment_and_a_void_of_the_rest_closes_it() -> None:
    world = World()
    payment = world.answer_operation(voiding(world), VOID, DONE)
    assert payment.state is State.CANCELED
    assert payment.due_at is None
    world = World()
    payment = world.answer_operation(voiding(world, captured(world, 500)), VOID, DONE)
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == 500


@pytest.mark.parametrize(("amount", "taken"), [(2100, None), (None, 600), (None, 0)])
def test_a_void_of_another_amount_is_for_people(amount: int | None, taken: int | None) -> None:
    world = World()
    said, total = (None if minor is None else Money(minor, "EUR") for minor in (amount, taken))
    payment = world.answer_operation(voiding(world, captured(world, 500)), VOID, DONE, amount=said, captured=total)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")
    assert (payment.captured_minor, payment.operations[-1].state) == (500, OperationState.UNKNOWN)
    world = World()
    payment = voiding(world, captured(world, 500))
    payment = world.answer_operation(payment, VOID, DONE, amount=Money(2000, "EUR"), captured=Money(500, "EUR"))
    assert payment.state is State.CAPTURED


def test_a_refused_void_leaves_what_there_was() -> None:
    world = World()
    payment = world.answer_operation(voiding(world), VOID, NO)
    assert payment.state is State.AUTHORIZED
    assert payment.due_at is not None
    world = World()
    assert world.answer_operation(voiding(world, captured(world, 500)), VOID, NO).state is State.PARTIALLY_CAPTURED


def test_a_void_that_failed_and_worked_after_all_ends_the_payment() -> None:
    world = World()
    payment = world.answer_operation(voiding(world), VOID, NO)
    payment = world.weigh(payment, payment.operations[0].id, DONE, Source.WEBHOOK)
    assert payment.state is State.CANCELED
    assert payment.attempts[0].state is AttemptState.VOIDED


def test_an_automatic_capture_that_wins_the_race_against_the_void_is_the_truth() -> None:
    for unknown in (False, True):
        world = World()
        payment = world.command(world.answer(world.pay(), LOST), decide.cancel)
        payment = world.answer(payment, Approved(), Source.INQUIRY)
        assert payment.state is State.VOIDING
        if unknown:
            payment = world.answer_operation(payment, VOID, LOST)
        payment = world.answer_operation(payment, VOID, NO, Source.INQUIRY, captured=Money(2000, "EUR"))
        assert payment.state is State.CAPTURED
        assert payment.captured_minor == 2000


def test_a_capture_that_is_not_ours_and_wins_the_race_is_for_people() -> None:
    world = World()
    payment = world.answer_operation(voiding(world), VOID, NO, captured=Money(2000, "EUR"))
    assert payment.state is State.MANUAL_REVIEW
    world = World()
    part = captured(world, 500)
    payment = world.answer_operation(voiding(world, part), VOID, NO, captured=Money(2000, "EUR"))
    assert payment.state is State.MANUAL_REVIEW
    assert payment.captured_minor == 500


def test_an_unknown_void_is_resolved_by_either_word_about_it() -> None:
    for by_operation in (True, False):
        world = World()
        payment = world.answer_operation(voiding(world), VOID, LOST)
        assert payment.state is State.OUTCOME_UNKNOWN
        if by_operation:
            payment = world.answer_operation(payment, VOID, DONE, Source.REPLAY)
        else:
            payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.WEBHOOK)
        assert payment.state is State.CANCELED
        assert payment.operations[0].state is OperationState.SUCCEEDED


def test_a_void_that_is_still_out_leaves_no_doubt_about_a_hold_that_is_gone() -> None:
    for expired in (True, False):
        world = World()
        payment = voiding(world)
        assert payment.unconfirmed
        payment = world.weigh(payment, payment.attempts[0].id, Released(expired=expired), Source.INQUIRY)
        assert (payment.state, payment.unconfirmed) == (State.CANCELED, False)
        assert payment.operations[0].unconfirmed, "of the void itself nobody has heard yet"
        payment = world.answer_operation(payment, VOID, DONE)
        assert (payment.state, payment.operations[0].state) == (State.CANCELED, OperationState.SUCCEEDED)


def test_an_unknown_void_that_was_not_done_leaves_the_hold() -> None:
    world = World()
    payment = world.answer_operation(voiding(world), VOID, LOST)
    payment = world.answer_operation(payment, VOID, NO, Source.INQUIRY)
    assert payment.state is State.AUTHORIZED
    assert world.names[-1] == "ResolvedVoidNotDone"


def test_a_hold_that_was_voided_at_the_psp_is_gone_here_too() -> None:
    world = World()
    payment = authorized(world)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.WEBHOOK)
    assert payment.state is State.CANCELED
    world = World()
    payment = captured(world, 500)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=True), Source.WEBHOOK)
    assert payment.state is State.CAPTURED


# --- refund


def test_refunds_add_up_to_what_was_captured_and_not_more() -> None:
    world = World()
    payment = refunding(world, captured(world), 500)
    assert sums(payment) == (2000, 0, 500)
    payment = world.answer_operation(payment, REFUND, DONE)
    assert sums(payment) == (2000, 500, 0)
    with pytest.raises(decide.Refused) as refused:
        refunding(world, payment, 1501)
    assert refused.value.code == "amount_exceeds_refundable"
    payment = world.answer_operation(refunding(world, payment), REFUND, DONE)
    assert sums(payment) == (2000, 2000, 0)
    assert payment.state is State.CAPTURED
    assert decide.allowed(payment) == ()


def test_an_unknown_refund_keeps_its_amount_and_never_moves_the_payment() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, captured(world), 1500), REFUND, LOST)
    assert payment.state is State.CAPTURED
    assert sums(payment) == (2000, 0, 1500)
    with pytest.raises(decide.Refused):
        refunding(world, payment, 501)
    while payment.due_at is not None:
        for subject in world.to_next_timer(payment):
            payment = world.weigh(payment, subject, LOST, Source.INQUIRY)
    refund = payment.operations[-1]
    assert (payment.state, refund.state, refund.in_review) == (State.CAPTURED, OperationState.UNKNOWN, True)
    assert sums(payment) == (2000, 0, 1500)
    assert sums(world.weigh(payment, refund.id, DONE, Source.WEBHOOK)) == (2000, 1500, 0)


def test_a_refund_of_another_amount_is_for_people_and_stays_reserved() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, captured(world), 500), REFUND, DONE, amount=Money(600, "EUR"))
    assert (payment.state, payment.operations[-1].in_review) == (State.CAPTURED, True)
    assert sums(payment) == (2000, 0, 500)


def test_a_failed_refund_gives_its_amount_free() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, captured(world)), REFUND, NO)
    assert sums(payment) == (2000, 0, 0)
    assert payment.refundable_minor == 2000


def test_a_refund_that_comes_back_is_free_again() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, captured(world)), REFUND, DONE)
    payment = world.weigh(payment, payment.operations[-1].id, NO, Source.WEBHOOK)
    assert payment.operations[-1].state is OperationState.REVERSED
    assert payment.refundable_minor == 2000


def test_a_refund_that_was_sent_late_is_not_absent_because_it_was_asked_for_early() -> None:
    """The lookup's lag counts from the sending, not from the wish: else a refund in flight would be made a second time."""
    world = World()
    payment = refunding(world, captured(world))
    payment = world.answer_operation(payment, REFUND, NOT_SENT)
    world.later(seconds=5 * MINUTE)
    payment = world.answer_operation(payment, REFUND, LOST)
    world.later(seconds=2)
    payment = world.answer_operation(payment, REFUND, ABSENT, Source.INQUIRY)
    assert sums(payment) == (2000, 0, 2000)


def test_a_refund_goes_to_the_attempt_whose_money_it_gives_back() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL), declined(ErrorClass.SOFT_TRY_OTHER))
    payment = world.answer(payment, declined(ErrorClass.HARD_DECLINE))
    first = payment.attempts[0]
    payment = world.weigh(payment, first.id, Approved(), Source.WEBHOOK)
    found = Correction(
        requester="ann",
        approver="bob",
        reason="it is good",
        evidence_reference="1",
        attempt_id=first.id,
        attempt_state=AttemptState.AUTHORIZED,
    )
    payment = world.tell(payment, Name.CORRECTION_APPROVED, found, State.AUTHORIZED)
    assert payment.failure is None
    payment = world.answer_operation(capturing(world, 500, payment=payment), CAPTURE, DONE)
    payment = world.answer_operation(voiding(world, payment), VOID, DONE)
    assert payment.attempts[0].state is AttemptState.VOIDED
    assert refunding(world, payment).operations[-1].attempt_id == first.id


def by_capture() -> World:
    return World(manifests={"strong": replace(MANIFESTS["strong"], refunds_by_capture=True)}, preference=("strong",))


def test_a_refund_names_the_capture_of_which_most_is_left() -> None:
    world = World()
    payment = captured(world, 500)
    payment = world.answer_operation(capturing(world, 700, payment=payment), CAPTURE, DONE)
    small, large = (one.id for one in payment.operations)
    named = []
    for minor in (300, 150, 200):  # of 500 and 700; of 500 and 400; of 350 and 400
        payment = refunding(world, payment, minor)
        named.append(payment.operations[-1].capture_id)
    assert named == [large, small, large]
    payment = world.weigh(payment, payment.operations[-1].id, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    assert refunding(world, payment, 100).operations[-1].capture_id == large  # what failed gives its part free again


def test_one_that_is_more_than_is_left_of_any_capture_is_refused_where_a_psp_takes_one_by_one() -> None:
    world = by_capture()
    payment = captured(world, 500)
    payment = world.answer_operation(capturing(world, 700, payment=payment), CAPTURE, DONE)
    for minor in (None, 701):
        with pytest.raises(decide.Refused) as refused:
            refunding(world, payment, minor)
        assert refused.value.code == "capability_not_supported"
        assert "at most 700 minor units" in refused.value.detail
    payment = refunding(world, payment, 700)
    assert refunding(world, payment, 500).refund_reserved_minor == 1200


def test_what_took_the_money_by_itself_has_no_capture_to_name() -> None:
    world = by_capture()
    payment = refunding(world, world.answer(world.pay(), CHARGED, psp_reference="psp_1"))
    assert payment.operations[-1].capture_id is None


def test_a_refund_made_at_the_psp_is_of_the_only_capture_there_is() -> None:
    world = by_capture()
    payment = captured(world)
    given = GivenBack(psp_reference="re_1", amount=Money(1500, "EUR"), finding=Approved())
    told = {"captured": EUR_20, "refunded": given.amount, "refunds": (given,)}
    payment = world.weigh(payment, payment.attempts[0].id, Approved(captured=True), Source.INQUIRY, **told)
    assert payment.refunded_minor == 1500
    assert refunding(world, payment, 500).operations[-1].capture_id == payment.operations[0].id


def test_a_connector_that_refunds_once_is_asked_once() -> None:
    world = World(preference=("blind",))
    payment = world.answer(world.pay(), CHARGED)
    with pytest.raises(decide.Refused):
        refunding(world, payment, 500)
    payment = world.answer_operation(refunding(world, payment), REFUND, NO)
    assert refunding(world, payment).refund_reserved_minor == 2000


@pytest.mark.parametrize("minor", [0, -500])
def test_nothing_or_less_is_not_refunded(minor: int) -> None:
    world = World()
    payment = captured(world)
    with pytest.raises(decide.Refused):
        refunding(world, payment, minor)


def test_a_question_that_was_refused_does_not_fail_a_refund() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, captured(world)), REFUND, LOST)
    payment = world.answer_operation(payment, REFUND, rejected(ErrorClass.INVALID_REQUEST), Source.INQUIRY)
    assert payment.operations[-1].state is OperationState.UNKNOWN


# --- keys


def test_a_short_psp_key_is_the_random_end_of_the_id() -> None:
    short = manifest(lookup=Lookup.STRONG, key_max_length=16)
    world = World(manifests={"strong": short})
    payment = world.pay()
    key, identifier = payment.attempts[0].psp_key, payment.attempts[0].id
    assert len(key) == 16
    assert identifier.endswith(key)


def test_no_look_keeps_a_closed_payment_awake() -> None:
    world = World()
    payment = captured(world, 500)
    payment = world.answer_operation(capturing(world, payment=payment), CAPTURE, DONE)
    assert payment.state is State.CAPTURED
    world.later(seconds=60 * DAY)
    assert world.looks(payment) == {}


def test_an_operation_that_a_busy_psp_turned_away_is_sent_again() -> None:
    """429 says that nobody looked at it: neither failed nor unknown, but to be sent once more."""
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, rejected(ErrorClass.RATE_LIMITED))
    operation = payment.operations[0]
    assert (payment.state, operation.state) == (State.CAPTURING, OperationState.REQUESTED)
    assert world.to_next_timer(payment) == {operation.id: Means.SEND}
    assert world.answer_operation(payment, CAPTURE, DONE).state is State.CAPTURED


# --- named by whoever asks


def test_an_operation_has_the_id_that_it_was_asked_for_under() -> None:
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500, operation_id="cap_mine"))
    payment = world.answer_operation(payment, CAPTURE, DONE)
    payment = world.command(payment, lambda story: decide.refund(story, 100, operation_id="ref_mine"))
    payment = world.command(payment, lambda story: decide.void(story, operation_id="void_mine"))
    assert [one.id for one in payment.operations] == ["cap_mine", "ref_mine", "void_mine"]
    for operation in payment.operations:
        assert operation.call is not None
        assert (operation.psp_key, f'"{operation.id}"' in operation.call.body) == (operation.id, True)


def test_a_void_that_closes_a_shoppers_session_is_the_one_that_was_asked_for() -> None:
    world = World()
    payment = world.answer(world.pay(connector="strong"), CHALLENGE, psp_reference="psp_1")
    payment = world.command(payment, lambda story: decide.void(story, reference="mine", metadata={"a": "b"}, operation_id="void_mine"))
    (void,) = payment.operations
    assert (void.id, void.reference, void.metadata, payment.state) == ("void_mine", "mine", {"a": "b"}, State.VOIDING)


def test_a_void_before_the_outcome_is_a_wish_whose_words_the_later_void_carries() -> None:
    world = World()
    payment = world.pay(capture=CaptureMode.MANUAL)
    payment = world.command(payment, lambda story: decide.void(story, reference="mine", metadata={"a": "b"}, operation_id="void_mine"))
    assert (payment.operations, payment.cancel_requested, payment.cancel_reference) == ((), True, "mine")
    payment = world.answer(payment, Approved(), psp_reference="psp_1")
    (void,) = payment.operations
    assert (void.origin, void.reference, void.metadata) == (Origin.SYSTEM, "mine", {"a": "b"})
    assert void.id != "void_mine"


def test_a_wish_has_one_name() -> None:
    """The void that comes of it bears one reference, so it cannot have been asked for under two."""
    world = World()
    payment = world.command(world.pay(), lambda story: decide.void(story, reference="mine", metadata={"a": "b"}))
    assert world.command(payment, lambda story: decide.void(story, reference="mine", metadata={"a": "b"})) == payment
    assert world.command(payment, decide.cancel) == payment
    for reference, metadata in (("other", {"a": "b"}), ("mine", {}), (None, None)):
        with pytest.raises(decide.Refused, match="under another reference"):
            world.command(payment, lambda story, r=reference, m=metadata: decide.void(story, reference=r, metadata=m))  # type: ignore[misc]


def test_nobody_is_named_for_what_nobody_asked_for() -> None:
    world = World()
    payment = authorized(world, capture=CaptureMode.AUTOMATIC)
    (capture,) = payment.operations
    assert (capture.origin, capture.reference, capture.metadata) == (Origin.SYSTEM, None, {})


def test_where_nothing_was_captured_the_state_forbids_a_refund_and_not_its_amount() -> None:
    world = World()
    for payment in (authorized(World()), capturing(World()), world.answer(world.pay(), LOST)):
        with pytest.raises(decide.Refused) as refused:
            decide.refund(Story(payment, world.desk()), 1)
        assert refused.value.code == "operation_not_allowed"
        assert Command.REFUND not in refused.value.allowed
