"""The fence: an order by our reference that ends a search at a PSP that cannot be asked. Not while the payment is wanted, and no proof."""

from __future__ import annotations

import pytest

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.desk import Story
from payorch.domain.events import HoldSet
from payorch.domain.fencing import fence
from payorch.domain.outcome import Absent, Approved, ErrorClass, Finding, Pending, Released, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.proof import Means, looks_ahead
from payorch.domain.records import Attempt, CancellationReason, Hold, Payment
from tests.domain.worlds import CHALLENGE, CHARGED, DAY, LOST, MINUTE, NOT_SENT, World, declined, manifest, rejected

GONE = Released(expired=False)
TAKEN = Pending()


def world_of(lookup: Lookup = Lookup.NONE, window_seconds: int = 7 * DAY, key_max_length: int = 64) -> World:
    promised = manifest(lookup=lookup, window_seconds=window_seconds, key_max_length=key_max_length, fence=True)
    return World(manifests={"psp": promised}, preference=("psp",))


def lost(world: World) -> Payment:
    return world.answer(world.pay(), LOST)


def only(payment: Payment) -> Attempt:
    (attempt,) = payment.attempts
    return attempt


def fenced(world: World, payment: Payment, finding: Finding = TAKEN) -> Payment:
    """A look at its time, which is a fence, and its answer."""
    assert world.to_next_timer(payment) == {only(payment).id: Means.FENCE}
    payment = world.command(payment, lambda story: fence(story, only(story.payment)))
    return world.answer(payment, finding, Source.FENCE)


def unwanted(world: World) -> Payment:
    return world.command(lost(world), decide.cancel)


def test_while_it_is_wanted_the_same_bytes_go_out_and_no_fence() -> None:
    world = world_of()
    payment = lost(world)
    means = Means.REPLAY
    while means is Means.REPLAY:
        (means,) = world.to_next_timer(payment).values()
        assert (means is Means.REPLAY) == decide.wanted(payment, world.desk())
        payment = world.answer(payment, LOST, Source.REPLAY)
    assert means is Means.FENCE


def test_it_is_fenced_once_its_window_is_over_also_while_it_is_wanted() -> None:
    world = world_of(window_seconds=60)
    payment = lost(world)
    world.later(seconds=61)
    assert world.looks(payment) == {only(payment).id: Means.FENCE}


def test_it_is_fenced_once_the_merchant_took_it_back() -> None:
    world = world_of()
    payment = fenced(world, unwanted(world))
    made = only(payment).fence
    assert made is not None
    assert (made.psp_key, made.call.path) == (f"{only(payment).id}_fence", "/fences")
    assert (payment.state, only(payment).state) == (State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN)


@pytest.mark.parametrize(
    "finding",
    [Approved(), CHARGED, Pending(), CHALLENGE, GONE, Absent(), LOST, NOT_SENT, declined(ErrorClass.HARD_DECLINE),
     rejected(ErrorClass.INVALID_REQUEST)],
)  # fmt: skip
def test_its_answer_proves_nothing_whatever_it_says(finding: Finding) -> None:
    world = world_of()
    payment = unwanted(world)
    world.to_next_timer(payment)
    payment = world.command(payment, lambda story: fence(story, only(story.payment)))
    told = {"psp_reference": "of_the_fence", "amount": only(payment).amount, "our_reference": "att_other", "raw": "{}"}
    after = world.answer(payment, finding, Source.FENCE, **told)
    assert (after.state, only(after).state, only(after).psp_reference) == (State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN, None)
    assert after.due_at is not None
    assert after.due_at > world.at


def test_it_goes_out_again_by_the_schedule_the_same() -> None:
    world = world_of()
    payment = fenced(world, unwanted(world))
    first, moments = only(payment).fence, []
    for _ in range(5):
        payment = fenced(world, payment)
        moments.append(world.at)
        assert only(payment).fence == first
    assert world.names.count("FencePrepared") == 1
    assert moments == sorted(set(moments))


def test_a_notice_of_its_release_is_the_end() -> None:
    world = world_of()
    payment = fenced(world, unwanted(world))
    payment = world.hear(payment, (only(payment).id, GONE), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.CANCELED, "FencedAbsent")
    assert (payment.cancellation_reason, payment.due_at) == (CancellationReason.FENCED, None)
    assert only(payment).state is AttemptState.VOIDED


def test_without_a_fence_such_a_notice_is_no_fencing() -> None:
    world = world_of()
    payment = lost(world)
    payment = world.hear(payment, (only(payment).id, GONE), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.CANCELED, "ResolvedAuthorizationGone")


def test_a_success_that_the_fence_did_not_stop_is_the_truth() -> None:
    world = world_of()
    payment = fenced(world, lost_in_time(world))
    payment = world.hear(payment, (only(payment).id, CHARGED), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.CAPTURED, "ResolvedCharged")


def lost_in_time(world: World) -> Payment:
    payment = lost(world)
    world.later(seconds=15 * MINUTE)
    return payment


@pytest.mark.parametrize("finding", [CHARGED, Approved()])
def test_a_success_after_the_fence_is_for_people(finding: Finding) -> None:
    world = world_of()
    payment = fenced(world, unwanted(world))
    payment = world.hear(payment, (only(payment).id, GONE), psp_reference="psp_1")
    payment = world.hear(payment, (only(payment).id, finding), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")


def test_a_psp_that_can_be_asked_is_asked() -> None:
    world = world_of(Lookup.STRONG)
    payment = unwanted(world)
    assert world.to_next_timer(payment) == {only(payment).id: Means.INQUIRE}


def test_nothing_executes_anything_after_the_fence() -> None:
    world = world_of(window_seconds=60)
    payment = lost(world)
    world.later(seconds=61)
    payment = fenced(world, payment)
    assert decide.wanted(payment, world.desk())
    assert world.to_next_timer(payment) == {only(payment).id: Means.FENCE}


def test_no_word_of_it_in_all_the_time_is_for_people() -> None:
    world = world_of()
    payment = unwanted(world)
    while payment.state is State.OUTCOME_UNKNOWN:
        payment = fenced(world, payment)
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "SyncBudgetExhausted")
    assert fence(Story(payment, world.desk()), only(payment)) == only(payment).fence
    assert world.looks(payment) == {}


def test_a_held_payment_is_not_fenced() -> None:
    world = world_of()
    payment = unwanted(world)
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="looked at", since=world.at, by="ann")))
    story = Story(payment, world.desk())
    assert fence(story, only(payment)) is None
    assert not story.events


def test_where_it_cannot_be_built_it_is_waited_for() -> None:
    world = world_of()
    world.unbuildable.add("fence")
    payment = unwanted(world)
    story = Story(payment, world.desk())
    assert fence(story, only(payment)) is None
    assert not story.events


@pytest.mark.parametrize("length", [8, 32, 64])
def test_its_key_is_another_than_that_of_the_call(length: int) -> None:
    world = world_of(key_max_length=length)
    made = only(fenced(world, unwanted(world))).fence
    assert made is not None
    assert len(made.psp_key) <= length
    assert made.psp_key != only(world.replayed or lost(world)).psp_key


def test_a_psp_that_answers_again_gets_it_before_its_time_a_few_times() -> None:
    world = world_of()
    payment = fenced(world, unwanted(world))
    attempt = only(payment).id
    for _ in range(world.limits.early_tries):
        assert [(one.subject_id, one.means) for one in looks_ahead(payment, "psp", frozenset(), world.desk())] == [(attempt, Means.FENCE)]
        payment = world.answer(payment, Pending(), Source.FENCE)
    assert looks_ahead(payment, "psp", frozenset(), world.desk()) == ()


def test_an_abandoned_action_that_may_have_moved_money_is_fenced() -> None:
    world = world_of()
    payment = world.answer(world.pay(), CHALLENGE, psp_reference="psp_1")
    while payment.state is State.REQUIRES_ACTION:
        world.to_next_timer(payment)
        payment = world.answer(payment, LOST, Source.INQUIRY)
    assert (payment.state, world.names[-1]) == (State.OUTCOME_UNKNOWN, "ActionAbandoned")
    assert world.looks(payment) == {only(payment).id: Means.FENCE}
