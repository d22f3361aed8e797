"""What a PSP's notices make of a payment: news goes the way of all evidence, and nothing that a notice shows leads a payment back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.events import AttemptChange, HoldEnded, HoldSet, OperationChange
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Absent, Approved, ErrorClass, Finding, GivenBack, NextAction, Pending, Released, Source
from payorch.domain.payment import Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import Hold, Operation, OperationKind, Payment
from tests.domain.worlds import (
    CHALLENGE,
    CHARGED,
    DAY,
    LOST,
    MINUTE,
    NOT_SENT,
    World,
    declined,
    manifest,
    rejected,
)

MANUAL = CaptureMode.MANUAL
HELD = Approved()
NO = declined(ErrorClass.HARD_DECLINE)
TRY_OTHER = declined(ErrorClass.SOFT_TRY_OTHER)
REFUND, CAPTURE, VOID = OperationKind.REFUND, OperationKind.CAPTURE, OperationKind.VOID


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def first(payment: Payment) -> str:
    return payment.attempts[0].id


def last(payment: Payment) -> Operation:
    return payment.operations[-1]


def held(world: World) -> Payment:
    return world.answer(world.pay(capture=MANUAL), HELD, psp_reference="psp_1")


def charged(world: World, connector: str | None = None) -> Payment:
    return world.answer(world.pay(connector=connector), CHARGED, psp_reference="psp_1")


def refunding(world: World, payment: Payment, minor: int = 500) -> Payment:
    return world.command(payment, lambda story: decide.refund(story, minor))


def unchanged(world: World, payment: Payment, *said: tuple[str, Finding], **more: object) -> None:
    """That notice is worth no event."""
    assert world.hear(payment, *said, **more) is payment  # type: ignore[arg-type]


def looks(payment: Payment, world: World) -> dict[str, Means]:
    return world.looks(payment)


# --- before the answer, beside it, after it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("finding", "state"), [(HELD, State.AUTHORIZED), (CHARGED, State.CAPTURED), (NO, State.FAILED)])
def test_a_notice_that_is_faster_than_the_answer_decides_and_the_answer_changes_nothing(finding: Finding, state: State) -> None:
    world = World()
    payment = world.pay(capture=MANUAL if finding is HELD else CaptureMode.AUTOMATIC)
    payment = world.hear(payment, (first(payment), finding), psp_reference="psp_1")
    assert (payment.state, payment.attempts[0].psp_reference) == (state, "psp_1")
    sums = (payment.authorized_minor, payment.captured_minor)
    payment = world.weigh(payment, first(payment), finding, psp_reference="psp_1", latency_ms=900)
    assert (payment.state, (payment.authorized_minor, payment.captured_minor)) == (state, sums)
    assert world.names[-1] == "EvidenceRecorded"
    unchanged(world, payment, (first(payment), finding), psp_reference="psp_1")


@pytest.mark.parametrize("answer", [LOST, NOT_SENT])
@pytest.mark.parametrize("finding", [HELD, CHARGED, NO])
def test_an_answer_that_is_lost_after_the_notice_is_not_missed(finding: Finding, answer: Finding) -> None:
    world = World()
    payment = world.pay(capture=MANUAL if finding is HELD else CaptureMode.AUTOMATIC)
    payment = world.hear(payment, (first(payment), finding))
    state = payment.state
    assert world.weigh(payment, first(payment), answer).state is state


@pytest.mark.parametrize("finding", [HELD, CHARGED])
def test_a_notice_finds_out_what_a_lost_answer_left_open(finding: Finding) -> None:
    world = World()
    payment = world.answer(world.pay(capture=MANUAL if finding is HELD else CaptureMode.AUTOMATIC), LOST)
    payment = world.hear(payment, (first(payment), finding))
    assert payment.state is (State.AUTHORIZED if finding is HELD else State.CAPTURED)
    assert world.names[-1] in ("ResolvedAuthorized", "ResolvedCharged")


def test_a_declining_notice_leads_to_the_next_connector_and_the_answer_to_nothing_more() -> None:
    world = World()
    payment = world.pay()
    payment = world.hear(payment, (first(payment), TRY_OTHER))
    assert [one.connector for one in payment.attempts] == ["strong", "eventual"]
    payment = world.weigh(payment, first(payment), TRY_OTHER)
    assert len(payment.attempts) == 2
    assert payment.state is State.AUTHORIZING


def test_an_automatic_capture_that_a_notice_led_to_is_made_once() -> None:
    world = World()
    payment = world.pay()
    payment = world.hear(payment, (first(payment), HELD))
    assert payment.state is State.CAPTURING
    payment = world.weigh(payment, first(payment), HELD)
    payment = world.hear(payment, (first(payment), HELD))
    assert [one.kind for one in payment.operations] == [CAPTURE]


def test_what_contradicts_itself_goes_to_people_in_either_order() -> None:
    for told_first in (True, False):
        world = World()
        payment = world.pay(capture=MANUAL, connector="strong")
        attempt = first(payment)
        steps: list[Callable[[Payment], Payment]] = [
            lambda now, world=world, attempt=attempt: world.hear(now, (attempt, HELD)),  # type: ignore[misc]
            lambda now, world=world, attempt=attempt: world.weigh(now, attempt, NO),  # type: ignore[misc]
        ]
        for step in steps if told_first else reversed(steps):
            payment = step(payment)
        assert payment.state is State.MANUAL_REVIEW


# --- the way there ----------------------------------------------------------------------------------------------------------------------


def at_action(world: World) -> Payment:
    return world.answer(world.pay(), CHALLENGE, psp_reference="psp_1")


def at_pending(world: World) -> Payment:
    return world.answer(world.pay(), Pending(), psp_reference="psp_1")


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(("finding", "state"), [(CHALLENGE, State.REQUIRES_ACTION), (Pending(), State.PROVIDER_PENDING)])
def test_the_way_there_counts_where_nothing_is_known(finding: Pending, state: State, lost: bool) -> None:
    world = World()
    payment = world.pay()
    payment = world.answer(payment, LOST) if lost else payment
    payment = world.hear(payment, (first(payment), finding))
    assert (payment.state, payment.attempts[0].action) == (state, finding.action)


def test_from_the_shoppers_turn_to_pending_it_leads_on_and_never_back() -> None:
    world = World()
    payment = world.hear(at_action(world), ("att_" + "0" * 26, Pending()))
    assert payment.state is State.REQUIRES_ACTION, "another's"
    payment = world.hear(payment, (first(payment), Pending()))
    assert payment.state is State.PROVIDER_PENDING
    before = len(world.events)
    payment = world.hear(payment, (first(payment), CHALLENGE))
    assert payment.state is State.PROVIDER_PENDING
    assert payment.attempts[0].action is None
    assert len(world.events) == before + 1
    assert looks(payment, world) == {first(payment): Means.INQUIRE}, "the PSP is asked at once instead"
    unchanged(world, payment, (first(payment), CHALLENGE))
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert payment.state is State.REQUIRES_ACTION, "and it may have been true after all"


@pytest.mark.parametrize("make", [at_action, at_pending, charged, held])
@pytest.mark.parametrize("finding", [LOST, NOT_SENT, rejected(ErrorClass.INVALID_REQUEST), Absent()])
def test_what_a_notice_cannot_know_is_no_evidence(make: Callable[[World], Payment], finding: Finding) -> None:
    world = World()
    payment = make(world)
    unchanged(world, payment, (first(payment), finding))


@pytest.mark.parametrize("make", [charged, held])
@pytest.mark.parametrize("finding", [CHALLENGE, Pending()])
def test_what_is_held_is_not_pending_any_more(make: Callable[[World], Payment], finding: Finding) -> None:
    world = World()
    payment = make(world)
    unchanged(world, payment, (first(payment), finding))


def test_the_turn_that_is_known_is_not_told_again() -> None:
    world = World()
    payment = at_action(world)
    unchanged(world, payment, (first(payment), Pending(action=NextAction(url="https://psp.example/old"))))
    world = World()
    payment = at_pending(world)
    unchanged(world, payment, (first(payment), Pending()))


def test_a_turn_whose_time_is_over_is_not_gone_back_to() -> None:
    world = World(preference=("eventual",), manifests={"eventual": manifest(lookup=Lookup.EVENTUAL)})
    payment = at_action(world)
    while payment.state is State.REQUIRES_ACTION:
        world.to_next_timer(payment)
        payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert (payment.state, world.names[-1]) == (State.OUTCOME_UNKNOWN, "ActionAbandoned")
    payment = world.answer(payment, LOST, Source.INQUIRY)
    payment = world.hear(payment, (first(payment), CHALLENGE))
    assert payment.state is State.OUTCOME_UNKNOWN
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    unchanged(world, payment, (first(payment), CHALLENGE))


def test_a_pending_operation_counts_until_something_is_known_of_it() -> None:
    world = World()
    payment = refunding(world, charged(world))
    refund = last(payment).id
    payment = world.hear(payment, (refund, Pending()))
    assert last(payment).state is OperationState.PENDING
    unchanged(world, payment, (refund, Pending()))
    payment = world.hear(payment, (refund, HELD))
    assert payment.refunded_minor == 500
    unchanged(world, payment, (refund, Pending()), (refund, HELD), (refund, Absent()))


def test_an_unknown_operation_that_was_pending_for_too_long_is_asked_about() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world)), REFUND, Pending())
    while last(payment).state is OperationState.PENDING:
        world.to_next_timer(payment)
        payment = world.weigh(payment, last(payment).id, Pending(), Source.INQUIRY)
    payment = world.weigh(payment, last(payment).id, LOST, Source.INQUIRY)
    payment = world.hear(payment, (last(payment).id, Pending()))
    assert last(payment).state is OperationState.UNKNOWN
    assert last(payment).id in looks(payment, world)


# --- captures, voids, refunds -----------------------------------------------------------------------------------------------------------


def test_one_notice_tells_of_the_capture_and_of_the_attempt() -> None:
    world = World()
    payment = world.command(held(world), lambda story: decide.capture(story, None))
    told = ((last(payment).id, CHARGED), (first(payment), CHARGED))
    payment = world.hear(payment, *told, captured=eur(2000))
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 2000)
    assert world.names[-1] == "CaptureSucceeded", "that the attempt was captured is implied"
    unchanged(world, payment, *told, captured=eur(2000))
    payment = world.weigh(payment, last(payment).id, CHARGED, captured=eur(2000))
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 2000)


def test_a_void_is_done_by_whoever_says_so_first() -> None:
    world = World()
    payment = world.command(held(world), decide.void)
    told = ((last(payment).id, HELD), (first(payment), Released(expired=False)))
    payment = world.hear(payment, *told)
    assert payment.state is State.CANCELED
    unchanged(world, payment, *told)
    assert world.weigh(payment, last(payment).id, HELD).state is State.CANCELED


def test_a_hold_released_at_the_psp_is_adopted_once() -> None:
    world = World()
    payment = world.hear(held(world), ("att_unknown", Released(expired=False)))
    payment = world.hear(payment, (first(payment), Released(expired=False)))
    assert payment.state is State.CANCELED
    assert [(one.kind, one.origin) for one in payment.operations] == [("void", "provider")]
    unchanged(world, payment, (first(payment), Released(expired=False)), (first(payment), HELD))


def test_an_old_success_of_a_refund_that_was_taken_back_is_asked_about() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world)), REFUND, HELD, psp_reference="re_1")
    refund = last(payment).id
    payment = world.hear(payment, (refund, NO), psp_reference="re_1")
    assert (last(payment).state, payment.refunded_minor) == (OperationState.REVERSED, 0)
    payment = world.hear(payment, (refund, HELD), psp_reference="re_1")
    assert (last(payment).state, payment.refunded_minor) == (OperationState.REVERSED, 0)
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    unchanged(world, payment, (refund, HELD), psp_reference="re_1")
    back = GivenBack(psp_reference="re_1", amount=eur(500), finding=HELD, our_reference=refund)
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, refunded=eur(500), refunds=(back,))
    assert payment.refunded_minor == 500, "and what it says then is so"


def test_the_failure_of_a_refund_may_come_before_its_success() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world)), REFUND, Pending(), psp_reference="re_1")
    refund = last(payment).id
    payment = world.hear(payment, (refund, NO), psp_reference="re_1")
    payment = world.hear(payment, (refund, HELD), psp_reference="re_1")
    assert (last(payment).state, payment.refunded_minor) == (OperationState.FAILED, 0)
    assert looks(payment, world) == {first(payment): Means.INQUIRE}


def test_a_psp_that_cannot_be_asked_is_believed_and_an_old_success_is_not_news() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world, "blind"), 2000), REFUND, HELD, psp_reference="re_1")
    payment = world.hear(payment, (last(payment).id, NO))
    unchanged(world, payment, (last(payment).id, HELD))
    failing = World()
    payment = failing.answer_operation(refunding(failing, charged(failing, "blind"), 2000), REFUND, Pending(), psp_reference="re_1")
    payment = failing.hear(payment, (last(payment).id, NO))
    assert failing.hear(payment, (last(payment).id, HELD)).refunded_minor == 2000


def test_a_refund_that_was_never_known_to_the_psp_is_news() -> None:
    world = World()
    payment = world.answer_operation(refunding(world, charged(world)), REFUND, rejected(ErrorClass.OPERATION_NOT_ALLOWED))
    assert last(payment).state is OperationState.FAILED
    assert world.hear(payment, (last(payment).id, HELD), psp_reference="re_1").refunded_minor == 500


@pytest.mark.parametrize("listed", [False, True])
def test_refunds_are_adopted_from_answers_and_never_from_a_notice(listed: bool) -> None:
    world = World()
    payment = charged(world)
    refunds = (GivenBack(psp_reference="re_9", amount=eur(500), finding=HELD),)
    shown: dict[str, object] = {"refunded": eur(500), **({"refunds": refunds} if listed else {})}
    payment = world.hear(payment, (first(payment), CHARGED), **shown)  # type: ignore[arg-type]
    assert (payment.operations, payment.refunded_minor) == ((), 0)
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, **shown)
    assert ([one.origin for one in payment.operations], payment.refunded_minor) == (["provider"], 500)
    unchanged(world, payment, (first(payment), CHARGED), **shown)


def test_of_a_psp_that_cannot_be_asked_a_notice_is_enough() -> None:
    world = World()
    payment = charged(world, "blind")
    payment = world.hear(payment, (first(payment), CHARGED), refunded=eur(500))
    assert ([one.origin for one in payment.operations], payment.refunded_minor) == (["provider"], 500)


# --- what is asked ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [charged, held])
def test_a_decline_of_what_is_held_is_kept_and_asked_about(make: Callable[[World], Payment]) -> None:
    world = World()
    payment = make(world)
    state = payment.state
    payment = world.hear(payment, (first(payment), NO))
    assert payment.state is state
    kept = world.events[-2].data
    assert isinstance(kept, AttemptChange)
    assert kept.evidence is not None
    assert kept.evidence.finding == NO
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    assert world.weigh(payment, first(payment), NO, Source.INQUIRY).state is State.MANUAL_REVIEW


def test_a_hold_seen_of_a_session_that_was_closed_is_asked_about_until_it_is_known() -> None:
    world = World()
    payment = world.command(at_action(world), decide.cancel)
    payment = world.answer_operation(payment, VOID, HELD)
    assert payment.state is State.CANCELED
    payment = world.hear(payment, (first(payment), HELD))
    assert payment.state is State.CANCELED
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    payment = world.weigh(payment, first(payment), LOST, Source.INQUIRY)
    assert payment.due_at is not None, "that look brought nothing, so it is still owed"
    assert world.weigh(payment, first(payment), Released(expired=False), Source.INQUIRY).due_at is None
    again = World()
    payment = again.answer_operation(again.command(at_action(again), decide.cancel), VOID, HELD)
    payment = again.hear(payment, (first(payment), HELD))
    payment = again.weigh(payment, first(payment), HELD, Source.INQUIRY)
    assert payment.review_reason == "LateSuccess"


def test_a_charge_of_a_session_that_was_closed_is_a_late_success() -> None:
    world = World()
    payment = world.answer_operation(world.command(at_action(world), decide.cancel), VOID, HELD)
    assert world.hear(payment, (first(payment), CHARGED)).review_reason == "LateSuccess"


@pytest.mark.parametrize("make", [charged, held, at_action, at_pending])
def test_a_hint_makes_the_psp_be_asked_at_once_and_once(make: Callable[[World], Payment]) -> None:
    world = World()
    payment = world.hear(make(world), look_at=("att_unknown",))
    payment = world.hear(payment, look_at=(first(payment),))
    assert looks(payment, world) == {first(payment): Means.INQUIRE}
    assert world.hear(payment, look_at=(first(payment),)) is payment
    assert world.hear(payment, (first(payment), Absent())) is payment


def test_nobody_is_asked_where_that_is_no_use() -> None:
    world = World()
    payment = world.pay()
    assert world.hear(payment, look_at=(first(payment),)) is payment, "its call is on the wire"
    blind = World()
    payment = charged(blind, "blind")
    assert blind.hear(payment, look_at=(first(payment),)) is payment


def test_a_notice_ends_no_look_and_puts_none_off() -> None:
    world = World()
    payment = world.hear(charged(world), look_at=("att_unknown",))
    payment = world.hear(payment, look_at=(first(payment),))
    for minutes in (0, 5):
        world.later(seconds=minutes * MINUTE)
        payment = world.hear(payment, (first(payment), CHARGED), psp_request_id="news", expires_at=world.at)
        assert looks(payment, world) == {first(payment): Means.INQUIRE}


def test_an_old_sight_of_a_hold_asks_for_no_second_void() -> None:
    world = World()
    payment = world.command(held(world), decide.void)
    payment = world.answer_operation(payment, VOID, declined(ErrorClass.SOFT_RETRY_LATER))
    voids = len(payment.operations)
    world.later(seconds=30 * DAY)
    payment = world.hear(payment, (first(payment), HELD), expires_at=world.at)
    assert len(payment.operations) == voids


# --- while people have it ---------------------------------------------------------------------------------------------------------------


def test_in_review_what_is_new_is_kept_for_people_and_what_is_known_is_not() -> None:
    world = World()
    payment = world.hear(world.answer(world.pay(), NO), ("att_unknown", NO))
    payment = world.hear(payment, (first(payment), CHARGED))
    assert payment.state is State.MANUAL_REVIEW
    unchanged(world, payment, (first(payment), CHARGED))
    payment = world.hear(payment, (first(payment), NO))
    assert payment.state is State.MANUAL_REVIEW
    kept = world.events[-1].data
    assert isinstance(kept, AttemptChange)
    assert kept.evidence is not None
    assert kept.evidence.source is Source.WEBHOOK


def test_of_a_payment_set_aside_evidence_is_kept_and_nothing_moves() -> None:
    world = World()
    payment = refunding(world, charged(world))
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="ann")))
    payment = world.hear(payment, (last(payment).id, HELD))
    assert payment.refunded_minor == 0
    kept = world.events[-1].data
    assert isinstance(kept, OperationChange)
    assert kept.evidence is not None
    assert kept.evidence.finding == HELD
    released = world.tell(payment, Name.HOLD_RELEASED, HoldEnded(reason="looked at"))
    assert released.due_at is not None, "what was kept is found out once it goes on"


def test_statements_are_weighed_one_after_the_other() -> None:
    world = World()
    payment = world.pay()
    attempt = first(payment)
    payment = world.hear(payment, (attempt, CHALLENGE), (attempt, Pending()), (attempt, CHALLENGE), (attempt, CHARGED), (attempt, CHARGED))
    assert world.names[-4:] == ["ProviderActionRequired", "ProviderAccepted", "EvidenceRecorded", "ProviderCharged"]
    assert (payment.state, payment.captured_minor, payment.due_at) == (State.CAPTURED, 2000, None)
