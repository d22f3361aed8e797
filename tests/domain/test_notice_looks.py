"""What a notice does to looks: it has the PSP asked where it shows too little, and takes no step of a search, ends no look that is owed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from payorch.domain import decide
from payorch.domain.events import AttemptChange, Discrepancy, HoldEnded, HoldSet
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Absent, Approved, ErrorClass, Finding, GivenBack, Pending, Released, Source
from payorch.domain.payment import Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import Hold, OperationKind, Payment
from tests.domain.worlds import CHALLENGE, CHARGED, LOST, MINUTE, World, declined, rejected

HELD, NO = Approved(), declined(ErrorClass.HARD_DECLINE)
CAPTURE, REFUND, VOID = OperationKind.CAPTURE, OperationKind.REFUND, OperationKind.VOID


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def alone(**more: object) -> World:
    """One connector, which knows its books."""
    return World(preference=("strong",), **more)  # type: ignore[arg-type]


def first(payment: Payment) -> str:
    return payment.attempts[0].id


def charged(world: World) -> Payment:
    return world.answer(world.pay(), CHARGED, psp_reference="psp_1")


def held(world: World) -> Payment:
    return world.answer(world.pay(capture=CaptureMode.MANUAL), HELD, psp_reference="psp_1")


def closed_session(world: World) -> Payment:
    payment = world.command(world.answer(world.pay(), CHALLENGE, psp_reference="psp_1"), decide.cancel)
    return world.answer_operation(payment, VOID, HELD)


def absent(world: World) -> Payment:
    return world.search(world.answer(world.pay(), LOST, psp_reference="psp_1"), Absent())


CLOSED: dict[str, Callable[[World], Payment]] = {
    "DECLINED": lambda world: world.answer(world.pay(), NO),
    "REJECTED": lambda world: world.answer(world.pay(), rejected(ErrorClass.INVALID_REQUEST)),
    "ABSENT": absent,
    "VOIDED": closed_session,
}


# --- hints ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize("found", [NO, Released(expired=False)])
def test_of_a_closed_attempt_the_psp_is_asked_once_and_that_is_the_end(state: str, found: Finding) -> None:
    world = alone()
    before = CLOSED[state](world)
    payment = world.hear(before, look_at=(first(before),))
    assert world.looks(payment) == {first(payment): Means.INQUIRE}
    assert world.hear(payment, look_at=(first(payment),)) is payment
    payment = world.weigh(payment, first(payment), found, Source.INQUIRY)
    assert (payment.state, payment.attempts[0].state, payment.due_at) == (before.state, state, None)


@pytest.mark.parametrize("state", ["DECLINED", "REJECTED", "ABSENT"])
def test_where_that_brings_nothing_nobody_asks_again_for_there_was_never_any_money(state: str) -> None:
    for found in (LOST, Absent(), CHALLENGE):
        world = alone()
        payment = CLOSED[state](world)
        payment = world.hear(payment, look_at=(first(payment),))
        assert world.weigh(payment, first(payment), found, Source.INQUIRY).due_at is None


@pytest.mark.parametrize("state", CLOSED)
def test_a_success_that_the_look_finds_is_a_late_one(state: str) -> None:
    world = alone()
    payment = CLOSED[state](world)
    payment = world.hear(payment, look_at=(first(payment),))
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "LateSuccess")


@pytest.mark.parametrize("lost", [False, True])
def test_what_may_be_on_the_wire_stays_so(lost: bool) -> None:
    """A look at it would be the word that its call is lost."""
    world = alone()
    payment = world.pay()
    if lost:
        payment = world.weigh(payment, first(payment), LOST, psp_reference="psp_1")
        payment = world.hear(payment, look_at=(first(payment),))
        assert world.looks(payment) == {first(payment): Means.INQUIRE}
    else:
        assert world.hear(payment, look_at=(first(payment),)) is payment
        assert payment.unconfirmed


def test_a_hint_to_a_payment_set_aside_is_followed_once_it_goes_on() -> None:
    world = alone()
    payment = charged(world)
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="ann")))
    payment = world.hear(payment, look_at=(first(payment),))
    assert (world.looks(payment), payment.due_at) == ({}, None)
    assert world.hear(payment, look_at=(first(payment),)) is payment
    payment = world.tell(payment, Name.HOLD_RELEASED, HoldEnded(reason="looked at"))
    assert world.looks(payment) == {first(payment): Means.INQUIRE}


def test_a_hint_to_a_payment_in_review_is_for_people_to_see() -> None:
    world = alone()
    payment = CLOSED["DECLINED"](world)
    payment = world.hear(payment, (first(payment), CHARGED))
    assert payment.state is State.MANUAL_REVIEW
    payment = world.hear(payment, look_at=(first(payment),))
    seen = world.events[-1].data
    assert isinstance(seen, AttemptChange)
    assert seen.reason == "a notice of the PSP hints at what it does not show whole"
    assert (payment.state, payment.due_at) == (State.MANUAL_REVIEW, None)


# --- which of the PSP's it is -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True])
def test_a_notice_may_name_what_nobody_could_ask_for(lost: bool) -> None:
    """It moves nothing: neither a call under way nor the search for its outcome. But now the PSP can be asked, and is."""
    world = alone()
    payment = world.answer(world.pay(), LOST) if lost else world.pay()
    before, search = payment.state, payment.attempts[0].pursuit
    payment = world.hear(payment, (first(payment), LOST), look_at=(first(payment),), psp_reference="psp_1", our_reference=first(payment))
    assert (payment.state, payment.attempts[0].psp_reference) == (before, "psp_1")
    if lost:
        assert search is not None
        assert world.looks(payment) == {first(payment): Means.INQUIRE}
        assert world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, psp_reference="psp_1").state is State.CAPTURED
    else:
        assert payment.unconfirmed
        assert world.answer(payment, CHARGED, psp_reference="psp_1").state is State.CAPTURED


@pytest.mark.parametrize("said", [{"psp_reference": "psp_2"}, {"psp_reference": "psp_2", "our_reference": "att_of_another"}, {}])
def test_a_notice_names_only_what_is_ours_by_its_own_word(said: dict[str, Any]) -> None:
    world = alone()
    payment = world.answer(world.pay(), LOST)
    assert world.hear(payment, (first(payment), LOST), **said) is payment


def test_a_name_that_is_known_is_not_replaced() -> None:
    world = alone()
    payment = world.answer(world.pay(), LOST, psp_reference="psp_1")
    assert world.hear(payment, (first(payment), LOST), psp_reference="psp_2", our_reference=first(payment)) is payment


def test_an_operation_can_be_asked_about_too() -> None:
    world = alone()
    payment = charged(world)
    payment = world.command(payment, lambda story: decide.refund(story, 500))
    refund = payment.operations[-1]
    assert world.hear(payment, look_at=(refund.id,)) is payment
    payment = world.weigh(payment, refund.id, LOST)
    payment = world.hear(payment, look_at=(refund.id,))
    assert payment.operation(refund.id).next_action_at == world.at


# --- searches -----------------------------------------------------------------------------------------------------------------------------


def test_looks_that_notices_ask_for_take_no_step_of_the_search() -> None:
    world = alone()
    payment = world.answer(world.pay(), LOST, psp_reference="psp_1")
    for _ in range(3):
        world.to_next_timer(payment)
        payment = world.weigh(payment, first(payment), LOST, Source.INQUIRY)
    pursuit, wait = payment.attempts[0].pursuit, (payment.attempts[0].next_action_at or world.at) - world.at
    for _ in range(5):
        world.later(seconds=1)
        payment = world.hear(payment, look_at=(first(payment),))
        payment = world.weigh(payment, first(payment), LOST, Source.INQUIRY)
    assert payment.attempts[0].pursuit == pursuit
    assert payment.attempts[0].next_action_at == world.at + wait


def test_those_at_an_operation_take_none_either() -> None:
    world = alone()
    payment = world.command(charged(world), lambda story: decide.refund(story, 500))
    refund = payment.operations[0].id
    payment = world.weigh(payment, refund, Pending(), psp_reference="re_1")
    while payment.operation(refund).state is not OperationState.UNKNOWN:
        world.to_next_timer(payment)
        payment = world.weigh(payment, refund, Pending(), Source.INQUIRY)
    for _ in range(3):
        world.to_next_timer(payment)
        payment = world.weigh(payment, refund, LOST, Source.INQUIRY)
    before = payment.operation(refund).pursuit
    world.later(seconds=1)
    payment = world.hear(payment, (refund, Pending()))  # too late for that: it is asked about
    assert world.looks(payment)[refund] is Means.INQUIRE
    payment = world.weigh(payment, refund, LOST, Source.INQUIRY)
    assert payment.operation(refund).pursuit == before


@pytest.mark.parametrize("state", ["DECLINED", "REJECTED", "ABSENT"])
def test_a_notice_that_is_kept_ends_no_look_that_is_owed(state: str) -> None:
    world = alone()
    payment = CLOSED[state](world)
    payment = world.hear(payment, look_at=(first(payment),))
    payment = world.hear(payment, (first(payment), NO), expires_at=world.at)
    assert payment.attempts[0].expires_at == world.at, "news, so it is kept"
    assert world.looks(payment) == {first(payment): Means.INQUIRE}


def test_a_notice_that_contradicts_puts_no_look_off() -> None:
    world = alone()
    payment = world.command(held(world), decide.void)
    payment = world.hear(payment, look_at=(first(payment),))
    world.later(seconds=MINUTE / 2)
    due = payment.attempts[0].next_action_at
    payment = world.hear(payment, (first(payment), HELD), amount=eur(1))
    assert world.names[-1] == "DiscrepancyRaised"
    assert payment.attempts[0].next_action_at == due
    payment = world.weigh(payment, first(payment), HELD, Source.INQUIRY, amount=eur(1))
    assert payment.attempts[0].next_action_at != due, "an answer does: that look is over"


# --- what a notice cannot say -----------------------------------------------------------------------------------------------------------


def test_nothing_but_a_void_releases_anything() -> None:
    gone = Released(expired=False)
    world = alone()
    payment = world.command(held(world), lambda story: decide.capture(story, None))
    capture = payment.operations[0].id
    assert world.hear(payment, (capture, gone)) is payment, "its call is on the wire, and no notice says that it is lost"
    payment = world.weigh(payment, capture, LOST)
    pursuit = payment.operations[0].pursuit
    world.later(seconds=1)
    payment = world.hear(payment, (capture, gone))
    assert (payment.state, payment.operations[0].state, payment.operations[0].pursuit) == (State.OUTCOME_UNKNOWN, "UNKNOWN", pursuit)
    assert capture in world.looks(payment)


def test_an_old_total_takes_no_refund_back_without_the_psp_being_asked() -> None:
    """A refund of ours is done after all, told with a total from before somebody at the PSP made another of the same amount."""
    world = alone()
    payment = world.command(charged(world), lambda story: decide.refund(story, 500))
    ours = payment.operations[0].id
    payment = world.weigh(payment, ours, rejected(ErrorClass.OPERATION_NOT_ALLOWED))
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, refunded=eur(500))
    assert payment.refunded_minor == 500, "what somebody did there is adopted"
    payment = world.hear(payment, (ours, HELD), psp_reference="re_1", refunded=eur(500))
    assert payment.refunded_minor == 500
    assert world.looks(payment) == {first(payment): Means.INQUIRE}
    done = GivenBack(psp_reference="re_1", amount=eur(500), finding=HELD, our_reference=ours)
    by_hand = GivenBack(psp_reference="re_2", amount=eur(500), finding=HELD)
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, refunded=eur(1000), refunds=(done, by_hand))
    assert payment.refunded_minor == 1000


@pytest.mark.parametrize("make", [charged, held, lambda world: world.answer(world.pay(), CHALLENGE, psp_reference="psp_1"), absent])
def test_a_second_charge_under_our_id_is_for_people_and_never_takes_the_place_of_the_first(make: Callable[[World], Payment]) -> None:
    world = alone()
    before = make(world)
    payment = world.hear(before, (first(before), CHARGED), psp_reference="psp_2", our_reference=first(before), amount=eur(2000))
    doubt = world.events[-1].data
    assert isinstance(doubt, Discrepancy)
    assert (doubt.kind, doubt.subject_id, doubt.evidence and doubt.evidence.finding) == ("done_twice", first(payment), CHARGED)
    assert doubt.detail == f"the PSP tells of the success of psp_2 as {first(payment)}, which it knew as psp_1"
    assert (payment.state, payment.attempts, payment.captured_minor) == (before.state, before.attempts, before.captured_minor)


@pytest.mark.parametrize("finding", [NO, CHALLENGE, Pending(), Released(expired=True)])
def test_nothing_else_that_is_said_of_another_is_said_of_ours(finding: Finding) -> None:
    world = alone()
    payment = world.answer(world.pay(), CHALLENGE, psp_reference="psp_1")
    assert world.hear(payment, (first(payment), finding), psp_reference="psp_2") is payment


def test_a_second_refund_under_our_id_is_for_people_too() -> None:
    world = alone()
    payment = world.command(charged(world), lambda story: decide.refund(story, 500))
    ours = payment.operations[0].id
    payment = world.weigh(payment, ours, HELD, psp_reference="re_1")
    payment = world.hear(payment, (ours, HELD), psp_reference="re_2")
    assert world.names[-1] == "DiscrepancyRaised"
    assert (payment.refunded_minor, payment.operations[0].psp_reference) == (500, "re_1")


@pytest.mark.parametrize("source", [Source.RESPONSE, Source.REPLAY, Source.WEBHOOK])
def test_only_what_the_psp_says_when_asked_ends_a_comparison(source: Source) -> None:
    """Anything else may be as old as the call or the event that it is of."""
    world = alone()
    payment = charged(world)
    payment = world.hear(payment, look_at=(first(payment),))
    payment = world.weigh(payment, first(payment), CHARGED, source)
    assert payment.attempts[0].next_action_at is not None
    assert world.weigh(payment, first(payment), CHARGED, Source.INQUIRY).due_at is None


def test_an_old_total_of_a_psp_that_cannot_be_asked_puts_no_refund_of_ours_in_doubt() -> None:
    world = World(preference=("blind",))
    payment = world.command(charged(world), lambda story: decide.refund(story, None))
    payment = world.answer_operation(payment, REFUND, HELD)
    world.later(seconds=MINUTE)
    before = len(world.events)
    payment = world.hear(payment, (first(payment), CHARGED), refunded=eur(0))
    assert payment.refunded_minor == 2000
    assert not payment.operations[0].in_review
    assert "DiscrepancyRaised" not in world.names[before:]
