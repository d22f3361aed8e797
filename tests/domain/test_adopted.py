"""What somebody does at the PSP without us: adopted once, whatever the order of evidence, and never in the way of our own refunds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from payorch.domain import decide
from payorch.domain.announcements import announcements
from payorch.domain.capability import Lookup
from payorch.domain.events import Discrepancy, HoldEnded, HoldSet
from payorch.domain.evolve import evolve
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Finding, GivenBack, Pending, Released, Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState, Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import CancellationReason, Hold, Operation, OperationKind, Origin, Payment
from payorch.domain.weigh import weigh
from tests.domain.worlds import CHARGED, DAY, HOUR, LOST, MANIFESTS, World, declined, manifest, rejected

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
DONE = Approved()
NO = declined(ErrorClass.OPERATION_NOT_ALLOWED)
S = OperationState


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def charged(world: World) -> Payment:
    payment = world.answer(world.pay(connector="strong"), CHARGED, psp_reference="psp_1")
    assert payment.state is State.CAPTURED
    return payment


def authorized(world: World) -> Payment:
    return world.answer(world.pay(capture=CaptureMode.MANUAL, connector="strong"), DONE, psp_reference="psp_1")


def refunding(world: World, payment: Payment, minor: int) -> Payment:
    return world.command(payment, lambda story: decide.refund(story, minor))


def given(number: int, minor: int, finding: Finding = DONE, ours: str | None = None) -> GivenBack:
    return GivenBack(psp_reference=f"re_{number}", amount=eur(minor), finding=finding, our_reference=ours)


def seen(world: World, payment: Payment, *listed: GivenBack, refunded: int | None = None, whole: bool = True) -> Payment:
    """An inquiry of the attempt shows these refunds, or (not `whole`) only a total of them."""
    total = sum(one.amount.minor for one in listed if one.finding != NO) if refunded is None else refunded
    return world.weigh(
        payment, payment.attempts[0].id, CHARGED, Source.INQUIRY,
        captured=eur(2000), refunded=eur(total), refunds=listed if whole else None,
    )  # fmt: skip


def adopted(payment: Payment, kind: OperationKind = REFUND) -> list[Operation]:
    return [one for one in payment.operations if one.origin is Origin.PROVIDER and one.kind is kind]


def announced(world: World) -> list[str]:
    """Everything merchants were told, in order."""
    names: list[str] = []
    before: Payment | None = None
    for event in world.events:
        after = evolve(before, event)
        names += announcements(before, event, after)
        before = after
    return names


# --- refunds


@pytest.mark.parametrize("whole", [True, False])
def test_a_refund_made_at_the_psp_is_adopted_once(whole: bool) -> None:
    world = World()
    payment = charged(world)
    for _ in range(3):
        world.later(seconds=HOUR)
        payment = seen(world, payment, given(1, 700), whole=whole)
    [refund] = adopted(payment)
    assert (refund.state, refund.amount, refund.call, refund.psp_key) == (S.SUCCEEDED, eur(700), None, None)
    assert refund.psp_reference == ("re_1" if whole else None)
    assert (payment.state, payment.refunded_minor, payment.refundable_minor) == (State.CAPTURED, 700, 1300)
    assert payment.due_at is None
    assert announced(world) == ["payment.succeeded", "refund.succeeded"]
    # The evidence for it stands before it.
    at = world.names.index("OperationAdopted")
    assert getattr(world.events[at - 1].data, "evidence", None) is not None


def test_each_refund_of_a_list_is_adopted_under_its_own_id() -> None:
    world = World()
    payment = seen(world, charged(world), given(2, 300), given(1, 300))
    payment = seen(world, payment, given(3, 300), given(2, 300), given(1, 300))
    assert sorted(str(one.psp_reference) for one in adopted(payment)) == ["re_1", "re_2", "re_3"]
    assert announced(world).count("refund.succeeded") == 3


def test_our_own_refunds_are_not_adopted() -> None:
    world = World()
    payment = refunding(world, charged(world), 500)
    ours = payment.operations[-1].id
    payment = world.answer_operation(payment, REFUND, DONE, psp_reference="re_1")
    payment = seen(world, payment, given(1, 500, ours=ours))
    payment = seen(world, payment, given(1, 500))  # also where only the PSP's id tells
    payment = seen(world, payment, given(1, 500), whole=False)
    assert adopted(payment) == []
    assert seen(world, payment, given(1, 500), given(2, 1), whole=False).refunded_minor == 501


def test_more_than_was_captured_is_recorded_and_shown_to_people() -> None:
    world = World()
    payment = seen(world, charged(world), given(1, 1500), given(2, 900))
    assert (payment.refunded_minor, payment.refundable_minor, payment.state) == (2400, 0, State.CAPTURED)
    raised = [one.data for one in world.events if isinstance(one.data, Discrepancy)]
    assert [one.kind for one in raised] == ["refunded_above_captured"]
    seen(world, payment, given(1, 1500), given(2, 900))
    assert len([one for one in world.events if isinstance(one.data, Discrepancy)]) == 1
    with pytest.raises(decide.Refused):
        refunding(world, payment, 1)


def test_a_pending_refund_at_the_psp_is_adopted_as_that_and_followed() -> None:
    world = World()
    payment = seen(world, charged(world), given(1, 700, Pending()))
    [refund] = adopted(payment)
    assert (refund.state, payment.refunded_minor, payment.refundable_minor) == (S.PENDING, 0, 1300)
    payment = seen(world, payment, given(1, 700, Pending()))
    payment = seen(world, payment, given(1, 700), whole=False)
    assert len(adopted(payment)) == 1
    assert world.to_next_timer(payment) == {refund.id: Means.INQUIRE}
    payment = world.weigh(payment, refund.id, NO, Source.INQUIRY, psp_reference="re_1", amount=eur(700))
    assert (payment.operation(refund.id).state, payment.refundable_minor) == (S.FAILED, 2000)
    assert announced(world) == ["payment.succeeded", "refund.pending", "refund.failed"]


def test_a_refund_that_failed_there_is_not_adopted() -> None:
    world = World()
    assert adopted(seen(world, charged(world), given(1, 700, NO))) == []


def test_a_refund_of_another_currency_is_no_ground_for_anything() -> None:
    world = World()
    payment = charged(world)
    foreign = GivenBack(psp_reference="re_1", amount=Money(500, "JPY"), finding=DONE)
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.INQUIRY, refunds=(foreign,))
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.INQUIRY, refunded=Money(500, "JPY"))
    assert adopted(payment) == []


# --- ours first


@pytest.mark.parametrize("whole", [True, False])
def test_while_a_refund_of_ours_is_open_nothing_is_adopted_and_the_psp_is_asked_again(whole: bool) -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, LOST)
    ours, attempt = payment.operations[-1], payment.attempts[0].id
    payment = seen(world, payment, given(2, 300), whole=whole)
    assert adopted(payment) == []
    assert payment.attempt(attempt).next_action_at == world.at + timedelta(seconds=2)
    gaps = []
    for _ in range(5):  # more and more rarely, as any search
        before = world.at
        while world.to_next_timer(payment).get(attempt) is not Means.INQUIRE:
            for subject in world.looks(payment):
                payment = world.weigh(payment, subject, LOST, Source.INQUIRY)
        payment = seen(world, payment, given(2, 300), whole=whole)
        gaps.append((world.at - before).total_seconds())
    assert gaps == sorted(set(gaps))
    assert adopted(payment) == []
    payment = world.weigh(payment, ours.id, NO, Source.INQUIRY)
    payment = seen(world, payment, given(2, 300), whole=whole)
    assert [one.amount for one in adopted(payment)] == [eur(300)]
    assert payment.attempt(attempt).next_action_at is None or world.looks(payment) == {}


def test_a_list_found_while_looking_for_ours_leads_to_the_rest() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, LOST)
    ours = payment.operations[-1]
    payment = world.weigh(payment, ours.id, DONE, Source.INQUIRY, our_reference=ours.id, amount=eur(500), psp_reference="re_1",
                          refunds=(given(1, 500, ours=ours.id), given(2, 300)))  # fmt: skip
    assert (payment.operation(ours.id).state, adopted(payment)) == (S.SUCCEEDED, [])
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.INQUIRE}
    payment = seen(world, payment, given(1, 500, ours=ours.id), given(2, 300))
    assert ([one.psp_reference for one in adopted(payment)], payment.refunded_minor) == (["re_2"], 800)


def test_an_inquiry_of_the_attempt_tells_what_became_of_our_refunds() -> None:
    """Also that one which had succeeded was taken back later: nothing else tells that without a webhook."""
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, LOST)
    ours = payment.operations[-1].id
    payment = seen(world, payment, given(1, 500, ours=ours))
    assert (payment.operation(ours).state, payment.operation(ours).psp_reference) == (S.SUCCEEDED, "re_1")
    payment = seen(world, payment, given(1, 500, NO, ours=ours))
    assert (payment.operation(ours).state, payment.refundable_minor) == (S.REVERSED, 2000)
    assert announced(world)[1:] == ["refund.succeeded", "refund.failed"]


def test_a_list_that_contradicts_our_own_refund_is_for_people_and_adopts_nothing() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, DONE, psp_reference="re_1")
    ours = payment.operations[-1].id
    payment = seen(world, payment, given(1, 600, ours=ours), given(2, 600))
    assert (adopted(payment), payment.operation(ours).in_review, payment.operation(ours).amount) == ([], True, eur(500))


def test_while_a_payment_is_set_aside_nothing_is_adopted_but_it_is_not_forgotten() -> None:
    world = World()
    payment = charged(world)
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="ann")))
    payment = seen(world, payment, given(1, 700))
    payment = world.weigh(payment, payment.attempts[0].id, LOST, Source.INQUIRY)
    assert (adopted(payment), payment.due_at) == ([], None)
    payment = world.tell(payment, Name.HOLD_RELEASED, HoldEnded(reason="good"))
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.INQUIRE}
    payment = seen(world, payment, given(1, 700))
    assert (len(adopted(payment)), payment.due_at) == (1, None)


def test_people_see_an_adopted_refund_also_in_review() -> None:
    world = World()
    payment = world.answer_operation(world.command(authorized(world), lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=eur(800))
    assert payment.state is State.MANUAL_REVIEW
    payment = seen(world, payment, given(1, 300))
    assert (len(adopted(payment)), payment.state) == (1, State.MANUAL_REVIEW)


def test_a_refund_of_what_was_never_captured_is_for_people() -> None:
    world = World()
    payment = authorized(world)
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, refunded=eur(300))
    last = world.events[-1].data
    assert isinstance(last, Discrepancy)
    assert (last.kind, payment.operations, payment.state) == ("refunded_uncaptured", (), State.AUTHORIZED)


def test_a_list_without_a_total_is_a_reason_to_ask_and_no_more() -> None:
    """The release of what a capture left over is a refund on some PSPs' lists, and none in their totals."""
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 1500, final=True))
    payment = refunding(world, world.answer_operation(payment, CAPTURE, DONE), 100)
    ours, rest = payment.operations[-1].id, given(1, 500)
    payment = world.weigh(payment, ours, DONE, Source.INQUIRY, psp_reference="re_2", refunds=(given(2, 100, ours=ours), rest))
    assert (adopted(payment), world.to_next_timer(payment)) == ([], {payment.attempts[0].id: Means.INQUIRE})
    payment = seen(world, payment, given(2, 100, ours=ours), rest, refunded=100)
    assert (adopted(payment), payment.due_at) == ([], None)
    payment = seen(world, payment, given(3, 700), given(2, 100, ours=ours), rest, refunded=800)
    assert [one.psp_reference for one in adopted(payment)] == ["re_3"]


# --- totals and names


def test_what_a_total_adopted_is_not_adopted_again_by_a_list() -> None:
    world = World()
    payment = seen(world, charged(world), given(1, 700), whole=False)
    for _ in range(2):
        payment = seen(world, payment, given(1, 700), given(2, 900))
    assert sorted((str(one.psp_reference), one.amount.minor) for one in adopted(payment)) == [("None", 700), ("re_2", 900)]
    assert announced(world).count("refund.succeeded") == 2


def test_a_total_that_stood_for_two_refunds_explains_both() -> None:
    world = World()
    payment = seen(world, charged(world), given(1, 700), given(2, 300), whole=False)
    payment = seen(world, payment, given(1, 700), given(2, 300))
    assert [one.amount for one in adopted(payment)] == [eur(1000)]
    payment = seen(world, payment, given(3, 50), given(1, 700), given(2, 300))
    payment = seen(world, payment, given(3, 50), given(1, 700), given(2, 300))
    assert sorted((str(one.psp_reference), one.amount.minor) for one in adopted(payment)) == [("None", 1000), ("re_3", 50)]


# --- ours, after a total made it somebody else's


def in_review(world: World) -> tuple[Payment, str]:
    """A refund of ours whose search is spent, so that people have it."""
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, LOST)
    ours = payment.operations[-1].id
    world.later(seconds=8 * DAY)
    payment = world.weigh(payment, ours, LOST, Source.INQUIRY)
    assert payment.operation(ours).in_review
    return payment, ours


def believed_failed(world: World, total: int) -> tuple[Payment, str]:
    """A refund of ours that was refused, as far as we know, and then a total with somebody else's in it."""
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, NO)
    ours = payment.operations[-1].id
    world.later(seconds=60)
    payment = seen(world, payment, refunded=total, whole=False)
    assert [one.amount for one in adopted(payment)] == [eur(total)]
    return payment, ours


def test_a_list_that_names_ours_ends_its_review() -> None:
    world = World()
    payment, ours = in_review(world)
    payment = seen(world, payment, given(1, 500, ours=ours))
    refund = payment.operation(ours)
    assert (refund.state, refund.in_review, refund.psp_reference, adopted(payment)) == (S.SUCCEEDED, False, "re_1", [])
    assert (payment.refunded_minor, payment.refund_reserved_minor) == (500, 0)


@pytest.mark.parametrize("listed", [None, given(2, 500), given(2, 500, ours="ref_other")])
def test_while_people_have_a_refund_of_ours_nothing_is_adopted_and_nobody_asks(listed: GivenBack | None) -> None:
    world = World()
    payment, ours = in_review(world)
    for _ in range(3):
        world.later(seconds=HOUR)
        payment = seen(world, payment, *([] if listed is None else [listed]), refunded=500, whole=listed is not None)
    assert (adopted(payment), payment.operation(ours).in_review, payment.due_at) == ([], True, None)
    assert (payment.refunded_minor, payment.refund_reserved_minor) == (0, 500)
    # Once it is known that ours was never done, it was somebody else's.
    payment = world.weigh(payment, ours, NO, Source.INQUIRY)
    payment = seen(world, payment, refunded=500, whole=False)
    assert (len(adopted(payment)), payment.refunded_minor, payment.refund_reserved_minor) == (1, 500, 0)


def test_a_review_for_another_amount_is_not_ended_by_the_same_list_again() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, LOST)
    ours = payment.operations[-1].id
    for _ in range(2):
        payment = seen(world, payment, given(1, 600, ours=ours))
    assert (payment.operation(ours).in_review, payment.operation(ours).state, adopted(payment)) == (True, S.UNKNOWN, [])
    assert world.names.count("OperationReviewRaised") == 1


@pytest.mark.parametrize("total", [500, 800])
def test_what_was_adopted_from_a_total_is_taken_back_when_a_list_names_ours(total: int) -> None:
    world = World()
    payment, ours = believed_failed(world, total)
    theirs = [given(2, total - 500)] if total > 500 else []
    for _ in range(2):
        world.later(seconds=HOUR)
        payment = seen(world, payment, given(1, 500, ours=ours), *theirs)
    assert payment.operation(ours).state is S.SUCCEEDED
    states = [(one.state, one.amount.minor, one.psp_reference) for one in adopted(payment)]
    assert states == [(S.REVERSED, total, None), *([(S.SUCCEEDED, 300, "re_2")] if theirs else [])]
    assert (payment.refunded_minor, payment.due_at) == (total, None)
    assert not [one for one in world.events if isinstance(one.data, Discrepancy)]


@pytest.mark.parametrize("total", [500, 1000])
def test_a_late_success_of_ours_has_the_total_asked_for(total: int) -> None:
    """By itself it does not say whether the adopted one was it, or whether there are two."""
    world = World()
    payment, ours = believed_failed(world, 500)
    payment = world.weigh(payment, ours, DONE, Source.WEBHOOK, psp_reference="re_1", amount=eur(500))
    assert (payment.refunded_minor, world.looks(payment)) == (500, {payment.attempts[0].id: Means.INQUIRE})
    world.later(seconds=1)
    payment = seen(world, payment, refunded=total, whole=False)
    assert (payment.refunded_minor, payment.due_at) == (total, None)


def test_a_total_that_has_room_for_both_leaves_both() -> None:
    world = World()
    payment, ours = believed_failed(world, 500)
    payment = seen(world, payment, given(1, 500, ours=ours), given(2, 500))
    assert ([one.state for one in payment.operations], payment.refunded_minor) == ([S.SUCCEEDED, S.SUCCEEDED], 1000)


def test_what_was_adopted_by_the_psps_id_is_not_booked_again_as_ours() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, NO)
    ours = payment.operations[-1].id
    payment = seen(world, payment, given(1, 500))
    payment = world.weigh(payment, ours, DONE, Source.WEBHOOK, psp_reference="re_1", amount=eur(500))
    assert ([one.state for one in payment.operations], payment.refunded_minor) == ([S.SUCCEEDED, S.REVERSED], 500)


def test_an_adopted_refund_from_before_ours_is_not_ours() -> None:
    world = World()
    payment = seen(world, charged(world), refunded=500, whole=False)
    world.later(seconds=60)
    payment = world.answer_operation(refunding(world, payment, 500), REFUND, DONE, psp_reference="re_2")
    assert ([one.state for one in payment.operations], payment.refunded_minor) == ([S.SUCCEEDED, S.SUCCEEDED], 1000)


# --- less at the PSP than in our books


@pytest.mark.parametrize("whose", ["nobody's", "named", "ours"])
def test_a_total_below_our_books_is_shown_to_people_once(whose: str) -> None:
    world = World()
    payment = charged(world)
    if whose == "ours":
        payment = world.answer_operation(refunding(world, payment, 500), REFUND, DONE, psp_reference="re_1")
    else:
        payment = seen(world, payment, given(1, 500), whole=whose == "named")
    for whole in (False, True, False):
        world.later(seconds=HOUR)
        payment = seen(world, payment, refunded=0, whole=whole)
    raised = [one.data for one in world.events if isinstance(one.data, Discrepancy)]
    assert [one.kind for one in raised] == ["refunded_less_than_known"]
    [refund] = payment.operations
    assert (refund.state, refund.in_review, payment.refunded_minor) == (S.SUCCEEDED, True, 500)


def test_a_look_from_before_a_refund_was_done_is_no_contradiction() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, DONE, psp_reference="re_1")
    attempt = payment.attempts[0].id
    world.later(seconds=1)
    payment = world.weigh(payment, attempt, CHARGED, Source.INQUIRY, captured=eur(2000), refunded=eur(0), latency_ms=1500)
    payment = world.weigh(payment, attempt, CHARGED, Source.WEBHOOK, captured=eur(2000), refunded=eur(0))
    assert not [one for one in world.events if isinstance(one.data, Discrepancy)]
    world.weigh(payment, attempt, CHARGED, Source.INQUIRY, captured=eur(2000), refunded=eur(0), latency_ms=500)
    assert [one.data.kind for one in world.events if isinstance(one.data, Discrepancy)] == ["refunded_less_than_known"]


# --- how it is noticed


@pytest.mark.parametrize("refusal", [NO, rejected(ErrorClass.INVALID_REQUEST)])
def test_a_refund_that_is_refused_without_a_reason_of_ours_has_the_psp_asked(refusal: Finding) -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 2000), REFUND, refusal)
    attempt = payment.attempts[0]
    assert payment.operations[-1].state is S.FAILED
    assert world.looks(payment) == {attempt.id: Means.INQUIRE}
    payment = seen(world, payment, given(1, 2000))
    assert (payment.refunded_minor, payment.refundable_minor, payment.due_at) == (2000, 0, None)


def test_a_refund_refused_for_want_of_money_has_nobody_asked() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 2000), REFUND, declined(ErrorClass.SOFT_RETRY_LATER))
    assert payment.due_at is None


def test_the_look_survives_the_end_of_the_capture_side_and_ends_with_its_answer() -> None:
    world = World()
    payment = world.answer_operation(world.command(authorized(world), lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    assert payment.state is State.PARTIALLY_CAPTURED
    payment = world.answer_operation(refunding(world, payment, 500), REFUND, NO)
    payment = world.answer_operation(world.command(payment, decide.void), VOID, DONE)
    assert payment.state is State.CAPTURED
    attempt = payment.attempts[0]
    assert (attempt.state, world.looks(payment)) == (AttemptState.VOIDED, {attempt.id: Means.INQUIRE})
    payment = world.weigh(payment, attempt.id, CHARGED, Source.INQUIRY, captured=eur(500), refunded=eur(500))
    assert (payment.refunded_minor, payment.due_at) == (500, None)


def test_the_look_survives_a_capture_that_closes_the_payment() -> None:
    world = World()
    payment = world.answer_operation(world.command(authorized(world), lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    payment = world.answer_operation(refunding(world, payment, 500), REFUND, NO)
    payment = world.answer_operation(world.command(payment, lambda story: decide.capture(story, None)), CAPTURE, DONE)
    assert (payment.state, world.looks(payment)) == (State.CAPTURED, {payment.attempts[0].id: Means.INQUIRE})


def test_what_is_known_is_not_announced_again() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 500), REFUND, DONE, psp_reference="re_1")
    refund = payment.operations[-1].id
    for source in (Source.REPLAY, Source.WEBHOOK, Source.INQUIRY):
        payment = world.weigh(payment, refund, DONE, source, psp_reference="re_1")
    assert announced(world) == ["payment.succeeded", "refund.succeeded"]


def test_a_psp_that_says_nothing_is_asked_for_a_week_and_then_people_know() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world), 2000), REFUND, NO)
    begun, looks = world.at, 0
    while payment.due_at is not None:
        for subject, means in world.to_next_timer(payment).items():
            assert means is Means.INQUIRE
            payment = world.weigh(payment, subject, LOST, Source.INQUIRY)
            looks += 1
    assert 10 <= looks <= 20
    assert (world.at - begun).total_seconds() >= 7 * DAY
    last = world.events[-1].data
    assert isinstance(last, Discrepancy)
    assert (last.kind, payment.state, payment.refundable_minor) == ("not_compared", State.CAPTURED, 2000)


def test_a_psp_that_cannot_be_asked_is_not() -> None:
    world = World(manifests={**MANIFESTS, "strong": manifest(lookup=Lookup.NONE)})
    payment = world.answer_operation(refunding(world, charged(world), 2000), REFUND, NO)
    assert payment.due_at is None


def test_a_hold_that_was_asked_about_out_of_turn_is_asked_again_when_it_should_expire() -> None:
    world = World()
    end = world.at + timedelta(days=7)
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL, connector="strong"), DONE, psp_reference="psp_1", expires_at=end)
    payment = world.answer_operation(world.command(payment, lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    payment = world.answer_operation(refunding(world, payment, 500), REFUND, NO)
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=eur(500), refunded=eur(500))
    assert (payment.refunded_minor, payment.due_at) == (500, end)


# --- voids and captures


def test_a_hold_voided_at_the_psp_leaves_a_void_of_nobody_here() -> None:
    world = World()
    payment = authorized(world)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.INQUIRY)
    [void] = adopted(payment, VOID)
    assert (payment.state, payment.cancellation_reason) == (State.CANCELED, CancellationReason.VOIDED)
    assert (void.state, void.amount, void.attempt_id) == (S.SUCCEEDED, eur(0), payment.attempts[0].id)
    again = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.INQUIRY)
    assert len(again.operations) == 1


def test_a_hold_that_ran_out_was_voided_by_nobody() -> None:
    world = World()
    payment = authorized(world)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=True), Source.INQUIRY)
    assert (payment.state, payment.operations) == (State.CANCELED, ())


def test_the_rest_voided_at_the_psp_closes_the_payment() -> None:
    world = World()
    payment = world.answer_operation(world.command(authorized(world), lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.INQUIRY, captured=eur(500))
    assert (payment.state, payment.captured_minor, len(adopted(payment, VOID))) == (State.CAPTURED, 500, 1)


def test_a_void_of_ours_that_is_under_way_is_not_made_somebody_elses() -> None:
    world = World()
    payment = world.command(authorized(world), decide.void)
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.INQUIRY)
    assert (payment.state, adopted(payment, VOID)) == (State.CANCELED, [])
    assert world.answer_operation(payment, VOID, DONE).operations[0].state is S.SUCCEEDED


def test_a_capture_made_at_the_psp_is_for_people() -> None:
    part = eur(800)
    world = World()
    payment = authorized(world)
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=part)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "UnexpectedProviderState")
    world = World()
    payment = world.answer_operation(world.command(authorized(world), lambda story: decide.capture(story, 500)), CAPTURE, DONE)
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=eur(500))
    assert payment.state is State.PARTIALLY_CAPTURED
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=part)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "UnexpectedProviderState")
    assert payment.captured_minor == 500
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500, final=True))
    payment = world.weigh(payment, payment.attempts[0].id, DONE, Source.INQUIRY, captured=part)
    assert payment.state is State.CAPTURING  # it may be ours
    payment = world.answer_operation(payment, CAPTURE, DONE)
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.INQUIRY, captured=part)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")


# --- any order


@dataclass
class Psp:
    """A PSP's own list of refunds, and what it says of it."""

    refunds: list[GivenBack] = field(default_factory=list)

    def make(self, minor: int, ours: str | None = None) -> GivenBack:
        self.refunds.append(given(len(self.refunds) + 1, minor, ours=ours))
        return self.refunds[-1]

    def evidence(self, world: World, *, whole: bool) -> Evidence:
        total = sum(one.amount.minor for one in self.refunds)
        listed = tuple(self.refunds) if whole else None
        return Evidence(
            source=Source.INQUIRY,
            finding=CHARGED,
            at=world.at,
            psp_reference="psp_1",
            captured=eur(2000),
            refunded=eur(total),
            refunds=listed,
        )


@pytest.mark.parametrize("lists", [True, False, None])
def test_in_whatever_order_the_books_end_as_the_psps(lists: bool | None) -> None:
    """Our refunds and theirs, answers that arrive or are lost, looks in between and twice: at the end every cent is known once."""
    for seed in range(300):
        dice, world, psp = random.Random(seed), World(), Psp()
        payment = charged(world)
        attempt, lost = payment.attempts[0].id, dict[str, int]()

        def look(payment: Payment, dice: random.Random = dice, world: World = world, psp: Psp = psp, attempt: str = attempt) -> Payment:
            whole = dice.random() < 0.5 if lists is None else lists
            return world.kept(weigh(payment, attempt, psp.evidence(world, whole=whole), world.desk("psp")))

        for _ in range(12):
            world.later(seconds=dice.choice((1, 61, HOUR)))
            match dice.randrange(4):
                case 0:
                    psp.make(dice.choice((50, 50, 300)))
                case 1 if payment.refundable_minor >= 50 and sum(one.amount.minor for one in psp.refunds) <= 1500:
                    payment = refunding(world, payment, 50)
                    ours = payment.operations[-1].id
                    done = dice.random() < 0.7
                    made = psp.make(50, ours) if done else None
                    believed = made if dice.random() < 0.8 else None  # a no that was none: done all the same
                    if dice.random() < 0.5:
                        said = DONE if believed else NO
                        payment = world.weigh(payment, ours, said, psp_reference=believed.psp_reference if believed else None)
                    else:
                        payment = world.weigh(payment, ours, LOST)
                        lost[ours] = psp.refunds.index(made) if made is not None else -1
                case 2:
                    payment = look(payment)
                case _ if lost:
                    ours, place = lost.popitem()
                    finding = NO if place < 0 else DONE
                    payment = world.weigh(payment, ours, finding, Source.INQUIRY, psp_reference=None if place < 0 else f"re_{place + 1}")
                case _:
                    pass
        for ours, place in lost.items():
            payment = world.weigh(payment, ours, NO if place < 0 else DONE, Source.INQUIRY)
        payment = look(look(payment))
        theirs = sum(one.amount.minor for one in psp.refunds)
        assert payment.refunded_minor == theirs, f"seed {seed}: {payment.refunded_minor} of {theirs} {world.names}"
        assert not [one for one in payment.operations if one.state in OPEN_OPERATION]
        while payment.due_at is not None:  # the looks that are still owed find nothing more
            world.to_next_timer(payment)
            payment = look(payment)
        assert payment.refunded_minor == theirs
        named = [one.psp_reference for one in payment.operations if one.psp_reference is not None and one.state is S.SUCCEEDED]
        assert len(named) == len(set(named)), f"seed {seed}: a refund is in the books twice"
