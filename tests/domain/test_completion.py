"""A payment that the shopper alone cannot finish: the call that does it is made once, is found out like any other, and never doubled."""

from __future__ import annotations

import pytest

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.completion import complete, may_complete
from payorch.domain.desk import Story
from payorch.domain.intent import CaptureMode
from payorch.domain.outcome import Absent, Approved, ErrorClass, Finding, NextAction, Pending, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.proof import Means
from payorch.domain.records import Attempt, CancellationReason, OperationKind, Payment
from tests.domain.worlds import CHALLENGE, CHARGED, HOUR, LOST, MINUTE, NOT_SENT, World, declined, manifest, rejected

READY = Pending(ready=True)
AGAIN = Pending(action=NextAction(url="https://psp.example/another"))


def world_of(lookup: Lookup = Lookup.STRONG, **promises: object) -> World:
    promised = manifest(lookup=lookup, completes_without_us=False, **promises)  # type: ignore[arg-type]
    return World(manifests={"psp": promised}, preference=("psp",))


def challenged(world: World, capture: CaptureMode = CaptureMode.AUTOMATIC) -> Payment:
    return world.answer(world.pay(capture=capture), CHALLENGE, psp_reference="psp_1")


def returned(world: World, payment: Payment, **brought: str) -> Payment:
    return world.command(payment, lambda story: complete(story, story.payment.attempts[-1], brought))


def only(payment: Payment) -> Attempt:
    (attempt,) = payment.attempts
    return attempt


# --- the call


def test_the_completing_call_takes_the_place_of_the_first() -> None:
    world = world_of()
    payment = challenged(world)
    first = only(payment)
    world.later(seconds=30)
    payment = returned(world, payment, result="abc")
    attempt = only(payment)
    assert (payment.state, world.names[-1]) == (State.AUTHORIZING, "ActionReturned")
    assert (attempt.state, attempt.completions, attempt.action) == (AttemptState.SENT, 1, None)
    assert '"abc"' in attempt.call.body
    assert attempt.call.path == "/completions"
    assert (first.psp_key, attempt.psp_key) == (first.id, f"{first.id}_2")
    assert attempt.psp_key_safe_until > first.psp_key_safe_until
    assert (attempt.psp_reference, attempt.created_at) == ("psp_1", first.created_at)
    assert payment.unconfirmed
    assert world.to_next_timer(payment) == {attempt.id: Means.LOST}


def test_its_answer_is_the_payments() -> None:
    world = world_of()
    assert world.answer(returned(world, challenged(world)), CHARGED).state is State.CAPTURED
    world = world_of()
    assert world.answer(returned(world, challenged(world, CaptureMode.MANUAL)), Approved()).state is State.AUTHORIZED
    world = world_of()
    assert world.answer(returned(world, challenged(world)), declined(ErrorClass.HARD_DECLINE)).state is State.FAILED
    world = world_of()
    assert world.answer(returned(world, challenged(world)), Pending()).state is State.PROVIDER_PENDING


@pytest.mark.parametrize("length", [10, 28, 29, 64])
def test_its_key_is_within_what_the_psp_takes_and_another_than_the_first(length: int) -> None:
    world = world_of(key_max_length=length)
    payment = challenged(world)
    keys = [only(payment).psp_key]
    for _ in range(world.limits.completions_per_attempt):
        payment = returned(world, payment)
        keys.append(only(payment).psp_key)
        payment = world.answer(payment, AGAIN)
    assert all(len(key) <= length and set(key) <= set(world.manifests["psp"].key_charset) for key in keys)
    assert len(set(keys)) == len(keys)


def test_one_is_made_however_often_the_shopper_comes_back() -> None:
    world = world_of()
    payment = returned(world, challenged(world))
    assert returned(world, payment) is payment
    assert not may_complete(payment, only(payment), world.desk())


def test_another_challenge_takes_another_call_a_few_times() -> None:
    world = world_of()
    payment = challenged(world)
    for number in range(world.limits.completions_per_attempt):
        payment = returned(world, payment)
        assert only(payment).psp_key == f"{only(payment).id}_{number + 2}"
        payment = world.answer(payment, AGAIN)
        assert (payment.state, only(payment).action) == (State.REQUIRES_ACTION, AGAIN.action)
    assert returned(world, payment) is payment


def test_none_is_made_where_the_shopper_finishes_alone_or_nothing_can_be_built() -> None:
    world = World(preference=("strong",))
    payment = challenged(world)
    assert returned(world, payment) is payment
    world = world_of()
    world.unbuildable.add("completion")
    payment = challenged(world)
    assert returned(world, payment) is payment


def test_none_is_made_of_a_payment_that_nobody_wants_any_more() -> None:
    world = world_of()
    payment = challenged(world)
    world.later(seconds=15 * MINUTE)
    assert returned(world, payment) is payment
    canceled = world.command(payment, decide.cancel)
    assert (canceled.state, world.names[-1]) == (State.CANCELED, "MerchantCanceled")
    assert returned(world, canceled) is canceled


# --- the PSP says that the shopper is done


@pytest.mark.parametrize("source", [Source.INQUIRY, Source.WEBHOOK])
def test_the_psps_word_that_the_shopper_is_done_is_due_at_once(source: Source) -> None:
    world = world_of()
    payment = challenged(world)
    attempt = only(payment)
    payment = world.hear(payment, (attempt.id, READY)) if source is Source.WEBHOOK else world.answer(payment, READY, source)
    assert (payment.state, only(payment).ready) == (State.REQUIRES_ACTION, True)
    assert world.looks(payment) == {attempt.id: Means.COMPLETE}
    payment = returned(world, payment)
    assert (payment.state, only(payment).ready) == (State.AUTHORIZING, False)


def test_said_again_without_a_call_that_can_be_built_it_is_no_hurry() -> None:
    world = world_of()
    payment = world.answer(challenged(world), READY, Source.INQUIRY)
    payment = world.answer(payment, READY, Source.INQUIRY)
    assert payment.due_at is not None
    assert payment.due_at > world.at


@pytest.mark.parametrize("told", ["webhook first", "return first"])
def test_the_order_of_return_and_webhook_makes_no_difference(told: str) -> None:
    world = world_of()
    payment = challenged(world)
    attempt = only(payment)
    if told == "webhook first":
        payment = returned(world, world.hear(payment, (attempt.id, READY)))
        again = returned(world, payment)
    else:
        payment = returned(world, payment)
        again = world.hear(payment, (attempt.id, READY))
    assert (again.state, only(again).state) == (State.AUTHORIZING, AttemptState.SENT)
    assert world.names.count("ActionReturned") == 1
    payment = world.answer(again, CHARGED)
    late = world.hear(payment, (attempt.id, READY))
    assert (late.state, late.version) == (State.CAPTURED, payment.version)


@pytest.mark.parametrize("source", [Source.INQUIRY, Source.WEBHOOK])
@pytest.mark.parametrize("finding", [CHALLENGE, READY])
def test_no_older_word_leads_back_from_a_call_that_is_under_way(source: Source, finding: Finding) -> None:
    world = world_of()
    payment = returned(world, challenged(world))
    attempt = only(payment)
    payment = world.hear(payment, (attempt.id, finding)) if source is Source.WEBHOOK else world.answer(payment, finding, source)
    assert (payment.state, only(payment).state) == (State.AUTHORIZING, AttemptState.SENT)
    assert returned(world, payment) is payment


def test_a_webhook_may_be_the_first_word_of_all() -> None:
    """The answer to the first call was lost, and the shopper had his link all the same."""
    world = world_of()
    payment = world.answer(world.pay(), LOST)
    payment = world.hear(payment, (only(payment).id, READY), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.REQUIRES_ACTION, "ResolvedActionRequired")
    assert world.looks(payment) == {only(payment).id: Means.COMPLETE}


# --- without an answer


def lost(world: World) -> Payment:
    payment = world.answer(returned(world, challenged(world)), LOST)
    assert payment.state is State.OUTCOME_UNKNOWN
    return payment


def test_a_lost_answer_is_searched_for_by_replay_and_by_asking_in_turns() -> None:
    world = world_of()
    payment = lost(world)
    attempt = only(payment).id
    assert world.to_next_timer(payment) == {attempt: Means.REPLAY}
    payment = world.answer(payment, LOST, Source.REPLAY)
    assert world.to_next_timer(payment) == {attempt: Means.INQUIRE}
    payment = world.answer(payment, READY, Source.INQUIRY)
    assert (payment.state, only(payment).completing) == (State.OUTCOME_UNKNOWN, True)
    assert world.to_next_timer(payment) == {attempt: Means.REPLAY}
    assert world.answer(payment, CHARGED, Source.REPLAY).state is State.CAPTURED


def test_a_restart_finds_it_as_one_that_may_be_out() -> None:
    world = world_of()
    payment = world.restart(returned(world, challenged(world)))
    assert (payment.state, world.names[-1]) == (State.OUTCOME_UNKNOWN, "FoundSentAfterRestart")
    assert world.looks(payment) == {only(payment).id: Means.REPLAY}


def test_it_is_not_replayed_once_nobody_wants_the_payment_and_is_proved_not_to_have_been() -> None:
    world = world_of()
    payment = world.command(lost(world), decide.cancel)
    assert payment.cancel_requested
    world.later(seconds=5)
    assert world.looks(payment) == {only(payment).id: Means.INQUIRE}
    early = world.answer(payment, READY, Source.INQUIRY)
    assert early.state is State.OUTCOME_UNKNOWN  # inside the lookup's lag it proves nothing
    world.later(seconds=31)
    done = world.answer(early, READY, Source.INQUIRY)
    assert (done.state, only(done).state, world.names[-1]) == (State.CANCELED, AttemptState.ABSENT, "ResolvedAbsentNoRetry")


def test_the_time_being_over_it_has_failed_where_the_psp_never_saw_it() -> None:
    world = world_of()
    payment = lost(world)
    world.later(seconds=15 * MINUTE)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert (payment.state, only(payment).state) == (State.FAILED, AttemptState.ABSENT)
    late = world.weigh(payment, only(payment).id, CHARGED)
    assert (late.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")


def test_a_webhook_is_no_proof_that_it_has_not_been() -> None:
    world = world_of()
    payment = lost(world)
    world.later(seconds=HOUR)
    payment = world.hear(payment, (only(payment).id, READY))
    assert payment.state is State.OUTCOME_UNKNOWN


def test_its_replay_may_lead_back_to_the_shopper() -> None:
    world = world_of()
    payment = world.answer(lost(world), AGAIN, Source.REPLAY)
    assert (payment.state, only(payment).completing) == (State.REQUIRES_ACTION, False)
    payment = returned(world, payment)
    assert only(payment).psp_key == f"{only(payment).id}_3"


@pytest.mark.parametrize("finding", [NOT_SENT, rejected(ErrorClass.RATE_LIMITED)])
def test_one_that_was_not_taken_goes_out_again_as_it_is(finding: Finding) -> None:
    world = world_of()
    payment = world.answer(returned(world, challenged(world)), finding)
    key = only(payment).psp_key
    assert world.to_next_timer(payment) == {only(payment).id: Means.REPLAY}
    payment = world.answer(payment, CHARGED, Source.REPLAY)
    assert (payment.state, only(payment).psp_key) == (State.CAPTURED, key)


def test_one_that_was_refused_as_a_message_has_failed() -> None:
    world = world_of()
    payment = world.answer(returned(world, challenged(world)), rejected(ErrorClass.INVALID_REQUEST))
    assert (payment.state, only(payment).state) == (State.FAILED, AttemptState.REJECTED)


# --- the end of a shopper's turn


def test_a_shopper_who_never_came_back_ends_it_because_nothing_can_move_without_us() -> None:
    world = world_of()
    payment = challenged(world)
    while payment.state is State.REQUIRES_ACTION:
        world.to_next_timer(payment)
        payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert (payment.state, world.names[-1]) == (State.CANCELED, "ActionExpired")
    assert payment.cancellation_reason is CancellationReason.INTENT_EXPIRED
    assert payment.due_at is None
    assert world.at < world.events[0].at.replace(minute=25)  # once it may not be finished any more, nobody waits out the hour


def test_also_after_calls_that_were_answered_with_another_turn() -> None:
    world = world_of()
    payment = world.answer(returned(world, challenged(world)), AGAIN)
    assert world.command(payment, decide.cancel).state is State.CANCELED


def test_a_wish_to_cancel_while_it_is_under_way_waits_for_its_answer() -> None:
    world = world_of()
    payment = world.command(returned(world, challenged(world)), decide.cancel)
    assert (payment.state, payment.cancel_requested) == (State.AUTHORIZING, True)
    turn = world.answer(payment, AGAIN)
    assert (turn.state, turn.cancellation_reason) == (State.CANCELED, CancellationReason.MERCHANT)


def test_a_hold_that_comes_of_it_after_such_a_wish_is_given_back() -> None:
    world = world_of()
    payment = world.command(returned(world, challenged(world, CaptureMode.MANUAL)), decide.cancel)
    payment = world.answer(payment, Approved())
    assert (payment.state, world.names[-1]) == (State.VOIDING, "AutoVoid")


def test_a_lost_first_call_that_turns_out_to_be_an_overdue_turn_is_over() -> None:
    world = world_of(Lookup.EVENTUAL)
    payment = world.answer(world.pay(), LOST)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY, psp_reference="psp_1")
    assert (payment.state, world.names[-2:]) == (State.CANCELED, ["ResolvedActionRequired", "ActionExpired"])


def test_the_same_where_the_merchant_took_it_back() -> None:
    world = world_of(Lookup.EVENTUAL)
    payment = world.command(world.answer(world.pay(), LOST), decide.cancel)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY, psp_reference="psp_1")
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.MERCHANT)


def test_an_unconfirmed_absence_sends_it_to_no_other_connector() -> None:
    world = World(
        manifests={"psp": manifest(lookup=Lookup.STRONG, completes_without_us=False), "other": manifest(lookup=Lookup.STRONG)},
        preference=("psp", "other"),
    )
    payment = world.answer(returned(world, challenged(world)), LOST)
    world.later(seconds=40)
    payment = world.answer(payment, READY, Source.INQUIRY)
    assert (payment.state, len(payment.attempts)) == (State.OUTCOME_UNKNOWN, 1)
    gone = world.answer(payment, Absent(), Source.INQUIRY)
    assert [one.state for one in gone.attempts] == [AttemptState.ABSENT, AttemptState.PREPARED]


def test_nothing_but_its_own_step_makes_the_call() -> None:
    """A second return between two lives of the process finds the first one's call in the journal."""
    world = world_of()
    payment = returned(world, challenged(world))
    story = Story(payment, world.desk())
    assert not complete(story, only(payment), {"result": "late"})
    assert not story.events
    assert [one.name for one in world.events].count(Name.ACTION_RETURNED) == 1


# --- the PSP's id of the money


def test_the_psps_id_of_the_money_is_kept_once_it_is_known() -> None:
    world = world_of()
    payment = world.answer(
        returned(world, challenged(world, CaptureMode.MANUAL)), Approved(), psp_reference="psp_1", money_reference="auth_1"
    )
    assert (only(payment).psp_reference, only(payment).money_reference) == ("psp_1", "auth_1")
    payment = world.command(payment, lambda story: decide.capture(story, None))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(), psp_reference="cap_1", money_reference="cap_1")
    payment = world.weigh(
        payment, only(payment).id, Approved(captured=True), Source.INQUIRY, psp_reference="psp_1", money_reference="cap_1"
    )
    assert (payment.state, only(payment).money_reference) == (State.CAPTURED, "auth_1")
    assert payment.operations[0].psp_reference == "cap_1"
