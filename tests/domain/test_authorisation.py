"""Stories of an authorisation: how a payment gets, or surely does not get, its money held or taken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from payorch.domain import decide
from payorch.domain.events import Discrepancy, HoldEnded, HoldSet
from payorch.domain.intent import CaptureMode, Initiator
from payorch.domain.money import Money
from payorch.domain.outcome import POLICY, Approved, ErrorClass, Finding, Kind, Pending, Released, Source
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import CancellationReason, Hold, OperationKind, Payment
from tests.domain.worlds import (
    ABSENT,
    ACTION,
    CHALLENGE,
    CHARGED,
    HOUR,
    LOST,
    MINUTE,
    NOT_SENT,
    START,
    World,
    declined,
    rejected,
)

MANUAL = CaptureMode.MANUAL


def states(payment: Payment) -> list[str]:
    return [str(attempt.state) for attempt in payment.attempts]


# --- yes


def test_automatic_capture_ends_with_the_first_answer() -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED, psp_reference="psp_1")
    assert payment.state is State.CAPTURED
    assert payment.captured_minor == 2000
    assert payment.attempts[0].psp_reference == "psp_1"
    assert payment.due_at is None
    assert world.names == ["PaymentCreated", "Confirmed", "Routed", "AttemptPrepared", "ProviderCharged"]


def test_a_hold_waits_for_the_merchant_and_is_asked_about_when_it_expires() -> None:
    world = World()
    payment = world.answer(world.pay(capture=MANUAL), Approved(), expires_at=START.replace(day=6))
    assert payment.state is State.AUTHORIZED
    assert (payment.authorized_minor, payment.captured_minor, payment.capturable_minor) == (2000, 0, 2000)
    assert payment.due_at == START.replace(day=6)
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.INQUIRE}
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=True), Source.INQUIRY)
    assert payment.state is State.CANCELED
    assert payment.cancellation_reason is CancellationReason.AUTHORIZATION_EXPIRED


def test_a_psp_that_only_authorised_is_asked_to_capture_where_capture_is_automatic() -> None:
    world = World()
    payment = world.answer(world.pay(), Approved())
    assert payment.state is State.CAPTURING
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved())
    assert payment.state is State.CAPTURED
    assert payment.due_at is None


def test_an_automatic_capture_that_cannot_be_built_is_shown_to_people_and_loses_nothing() -> None:
    world = World(unbuildable={"capture"})
    payment = world.answer(world.pay(), Approved())
    assert payment.state is State.AUTHORIZED
    assert world.names[-1] == "DiscrepancyRaised"
    assert payment.due_at is not None


# --- no


@pytest.mark.parametrize("error_class", [one for one in ErrorClass if POLICY[one].kind is not Kind.UNKNOWN])
def test_a_decline_goes_to_the_next_connector_only_where_its_class_allows(error_class: ErrorClass) -> None:
    world = World()
    payment = world.answer(world.pay(), declined(error_class))
    if POLICY[error_class].try_other:
        assert payment.state is State.AUTHORIZING
        assert [one.connector for one in payment.attempts] == ["strong", "eventual"]
    elif error_class is ErrorClass.AUTHENTICATION_REQUIRED:
        assert payment.state is State.AUTHORIZING
        assert [one.connector for one in payment.attempts] == ["strong", "strong"]
    elif error_class in (ErrorClass.CUSTOMER_CANCELED, ErrorClass.EXPIRED):
        assert payment.state is State.CANCELED
        assert len(payment.attempts) == 1
    else:
        assert payment.state is State.FAILED
        assert payment.failure is not None
        assert payment.failure.error_class is error_class
        assert len(payment.attempts) == 1


def test_a_rejected_message_goes_elsewhere_only_where_the_fault_is_the_connectors() -> None:
    world = World()
    elsewhere = world.answer(world.pay(), rejected(ErrorClass.CONFIGURATION))
    assert states(elsewhere) == ["REJECTED", "PREPARED"]
    world = World()
    ours = world.answer(world.pay(), rejected(ErrorClass.INVALID_REQUEST))
    assert ours.state is State.FAILED


def test_what_was_not_sent_is_sent_elsewhere_at_once_until_nobody_is_left() -> None:
    world = World()
    payment = world.pay()
    for connector in ("strong", "eventual", "blind"):
        assert payment.open_attempt is not None
        assert payment.open_attempt.connector == connector
        payment = world.answer(payment, NOT_SENT)
    assert payment.state is State.FAILED
    assert world.names[-1] == "AttemptsExhausted"
    assert states(payment) == ["NOT_SENT"] * 3


def test_a_connector_that_cannot_say_it_is_passed_over() -> None:
    world = World(unbuildable={"strong"})
    assert [one.connector for one in world.pay().attempts] == ["eventual"]
    nobody = World(unbuildable={"strong", "eventual", "blind"}).pay()
    assert nobody.state is State.FAILED
    assert nobody.failure is not None
    assert nobody.failure.error_class is ErrorClass.NO_ROUTE
    assert "strong: strong cannot say this" in nobody.failure.message


def test_nothing_authorises_anew_after_authorize_until() -> None:
    world = World()
    payment = world.pay()
    world.later(seconds=15 * MINUTE)
    payment = world.answer(payment, declined(ErrorClass.SOFT_TRY_OTHER))
    assert payment.state is State.FAILED
    assert len(payment.attempts) == 1


def test_a_merchant_initiated_payment_may_authorise_for_longer() -> None:
    world = World()
    payment = world.pay(initiator=Initiator.MERCHANT)
    world.later(seconds=HOUR)
    assert len(world.answer(payment, declined(ErrorClass.SOFT_TRY_OTHER)).attempts) == 2


def test_an_intent_that_nobody_confirms_expires() -> None:
    world = World()
    payment = world.create()
    assert payment.due_at is not None
    assert world.expire(payment) == payment
    world.to_next_timer(payment)
    payment = world.expire(payment)
    assert payment.state is State.CANCELED
    assert payment.cancellation_reason is CancellationReason.INTENT_EXPIRED
    assert payment.due_at is None


def test_a_confirmation_needs_a_method() -> None:
    world = World()
    payment = world.create(method=None)
    with pytest.raises(decide.Refused) as refused:
        world.command(payment, decide.confirm)
    assert refused.value.code == "validation_failed"


# --- later


def test_a_pending_payment_waits_and_takes_whatever_comes() -> None:
    for finding, state in (
        (CHARGED, State.CAPTURED),
        (declined(ErrorClass.HARD_DECLINE), State.FAILED),
        (Released(expired=True), State.CANCELED),
    ):
        world = World()
        payment = world.answer(world.pay(), Pending(), psp_reference="psp_1")
        assert payment.state is State.PROVIDER_PENDING
        assert world.answer(payment, finding, Source.WEBHOOK).state is state


def test_a_pending_payment_past_its_deadline_is_unknown_and_stays_so() -> None:
    world = World()
    payment = world.answer(world.pay(), Pending(), psp_reference="psp_1")
    while payment.state is State.PROVIDER_PENDING:
        assert set(world.to_next_timer(payment).values()) == {Means.INQUIRE}
        payment = world.answer(payment, Pending(), Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    payment = world.answer(payment, Pending(), Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.search(payment, Pending()).state is State.MANUAL_REVIEW


# --- 3DS


def challenged(world: World, connector: str = "strong") -> Payment:
    payment = world.answer(world.pay(connector=connector), CHALLENGE, psp_reference="psp_1")
    assert payment.state is State.REQUIRES_ACTION
    assert payment.attempts[0].action == ACTION
    return payment


def test_a_passed_challenge_captures_and_its_url_is_gone() -> None:
    world = World()
    payment = world.answer(challenged(world), CHARGED, Source.INQUIRY)
    assert payment.state is State.CAPTURED
    assert payment.attempts[0].action is None


def test_a_failed_challenge_fails() -> None:
    world = World()
    payment = world.answer(challenged(world), declined(ErrorClass.AUTHENTICATION_REQUIRED), Source.WEBHOOK)
    assert payment.state is State.FAILED
    assert world.names[-1] == "ActionFailed"


def test_a_returning_shopper_whose_payment_still_waits_keeps_the_way_to_it() -> None:
    """A look that finds nothing new must not take the shopper's URL away."""
    world = World()
    payment = challenged(world)
    for finding in (LOST, CHALLENGE, ABSENT):
        payment = world.answer(payment, finding, Source.INQUIRY)
        assert payment.state is State.REQUIRES_ACTION
        assert payment.attempts[0].action == ACTION


def test_an_abandoned_challenge_is_closed_at_the_psp_where_a_call_can() -> None:
    world = World()
    payment = challenged(world)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert payment.state is State.VOIDING
    closed = world.answer_operation(payment, OperationKind.VOID, Approved())
    assert closed.state is State.CANCELED
    assert closed.attempts[0].state is AttemptState.VOIDED
    assert closed.authorized_minor == 0


def test_an_abandoned_challenge_that_cannot_be_closed_is_unknown() -> None:
    world = World()
    payment = challenged(world, "blind")
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.names[-1] == "ActionAbandoned"
    assert world.search(payment, CHALLENGE).state is State.MANUAL_REVIEW


def test_a_lost_outcome_that_turns_out_to_be_an_abandoned_challenge_is_closed() -> None:
    """Nobody waits for that shopper any more: his session must not stay open for the week that a search may take."""
    world = World()
    payment = world.answer(world.pay(), LOST)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY, psp_reference="psp_1")
    assert payment.state is State.VOIDING
    assert world.names[-2:] == ["ResolvedActionRequired", "CancelRequested"]
    assert world.answer_operation(payment, OperationKind.VOID, Approved()).state is State.CANCELED


@pytest.mark.parametrize(("connector", "reference"), [("blind", "psp_1"), ("strong", None)])
def test_it_stays_unknown_where_its_session_cannot_be_closed(connector: str, reference: str | None) -> None:
    world = World()
    payment = world.answer(world.pay(connector=connector), LOST)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY, psp_reference=reference)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.names[-1] == "EvidenceRecorded"


def session_closed_during_a_look(world: World) -> Payment:
    """The shopper approved, our look saw it, and the closing of his session was faster: it gave the hold back and was answered first."""
    payment = world.command(challenged(world), decide.cancel)
    world.later(seconds=1)
    payment = world.answer_operation(payment, OperationKind.VOID, Approved(), psp_reference="psp_1")
    assert payment.state is State.CANCELED
    world.later(seconds=1)
    return world.weigh(payment, payment.attempts[0].id, Approved(), Source.INQUIRY, latency_ms=3000)


def test_a_look_that_the_closing_of_the_session_overtook_is_no_late_success() -> None:
    world = World()
    payment = session_closed_during_a_look(world)
    assert payment.state is State.CANCELED
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.INQUIRE}
    payment = world.weigh(payment, payment.attempts[0].id, Released(expired=False), Source.INQUIRY, latency_ms=0)
    assert (payment.state, payment.due_at) == (State.CANCELED, None)


def test_it_is_one_where_the_next_look_sees_it_too() -> None:
    world = World()
    payment = session_closed_during_a_look(world)
    world.later(seconds=2)
    payment = world.weigh(payment, payment.attempts[0].id, LOST, Source.INQUIRY, latency_ms=0)
    world.later(seconds=2)
    payment = world.weigh(payment, payment.attempts[0].id, Approved(), Source.INQUIRY, latency_ms=0)
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")


def test_a_closing_that_was_never_executed_is_made_anew_and_not_without_end() -> None:
    """A PSP that answers every replay of a cancel with the same stored error has to be asked under another key."""
    world = World()
    payment = challenged(world)
    for _ in range(world.limits.session_closings):
        world.later(seconds=2 * HOUR)
        payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
        assert payment.state is State.VOIDING
        payment = world.answer_operation(payment, OperationKind.VOID, LOST)
        world.later(seconds=MINUTE)
        payment = world.answer_operation(payment, OperationKind.VOID, ABSENT, Source.INQUIRY)
        assert payment.state is State.REQUIRES_ACTION
    world.later(seconds=2 * HOUR)
    assert world.answer(payment, CHALLENGE, Source.INQUIRY).state is State.OUTCOME_UNKNOWN
    assert len({one.psp_key for one in payment.operations}) == world.limits.session_closings


def test_a_shopper_who_is_faster_than_the_closing_of_the_session_has_paid() -> None:
    world = World()
    payment = challenged(world)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    world.later(seconds=1)
    payment = world.weigh(payment, payment.attempts[0].id, Approved(), Source.WEBHOOK)
    assert payment.state is State.VOIDING
    payment = world.answer_operation(payment, OperationKind.VOID, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    assert payment.state is State.CAPTURING
    assert world.names[-2:] == ["VoidRejected", "CaptureRequested"]


def test_a_refused_closing_is_not_asked_for_again_and_again() -> None:
    world = World()
    payment = challenged(world)
    world.later(seconds=HOUR)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    payment = world.answer_operation(payment, OperationKind.VOID, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    assert payment.state is State.REQUIRES_ACTION
    assert payment.due_at is not None
    world.to_next_timer(payment)
    payment = world.answer(payment, CHALLENGE, Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert len(payment.operations) == 1


def test_a_session_that_failed_while_it_was_being_closed_ends_the_payment() -> None:
    world = World()
    payment = world.command(challenged(world), decide.cancel)
    payment = world.weigh(payment, payment.attempts[0].id, declined(ErrorClass.AUTHENTICATION_REQUIRED), Source.WEBHOOK)
    payment = world.answer_operation(payment, OperationKind.VOID, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    assert payment.state is State.CANCELED
    assert payment.operations[0].state is OperationState.FAILED


# --- unknown


def lost(world: World, connector: str | None = None, capture: CaptureMode = CaptureMode.AUTOMATIC) -> Payment:
    payment = world.answer(world.pay(connector=connector, capture=capture), LOST)
    assert payment.state is State.OUTCOME_UNKNOWN
    return payment


def test_an_unknown_is_resolved_by_a_replay_of_the_same_call() -> None:
    world = World()
    payment = lost(world)
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer(payment, CHARGED, Source.REPLAY)
    assert payment.state is State.CAPTURED
    assert world.names[-1] == "ResolvedCharged"


def test_an_unknown_is_resolved_by_an_inquiry() -> None:
    world = World()
    payment = world.answer(lost(world, capture=MANUAL), Approved(), Source.INQUIRY)
    assert payment.state is State.AUTHORIZED
    assert world.names[-1] == "ResolvedAuthorized"


def test_an_unknown_that_was_declined_may_go_elsewhere_only_then() -> None:
    world = World()
    payment = lost(world)
    assert len(payment.attempts) == 1
    payment = world.answer(payment, declined(ErrorClass.SOFT_TRY_OTHER), Source.INQUIRY)
    assert states(payment) == ["DECLINED", "PREPARED"]


def test_proved_absence_goes_elsewhere_while_the_payment_is_wanted_and_fails_after() -> None:
    world = World()
    payment = lost(world)
    world.later(seconds=30)
    assert states(world.answer(payment, ABSENT, Source.INQUIRY)) == ["ABSENT", "PREPARED"]
    world = World()
    payment = lost(world)
    world.later(seconds=15 * MINUTE)
    payment = world.answer(payment, ABSENT, Source.INQUIRY)
    assert payment.state is State.FAILED
    assert world.names[-1] == "ResolvedAbsentNoRetry"


def test_absence_without_proof_changes_nothing() -> None:
    world = World()
    payment = world.answer(lost(world, "blind"), ABSENT, Source.INQUIRY)
    world.later(seconds=HOUR)
    assert world.answer(payment, ABSENT, Source.INQUIRY).state is State.OUTCOME_UNKNOWN


def test_a_lookup_that_is_refused_proves_nothing_about_the_payment() -> None:
    """Only the same bytes refused as invalid do; a 400 to our question is about the question."""
    world = World()
    payment = world.answer(lost(world), rejected(ErrorClass.INVALID_REQUEST), Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.answer(payment, rejected(ErrorClass.INVALID_REQUEST), Source.REPLAY).state is State.FAILED


def test_a_spent_search_goes_to_people_and_never_to_failed() -> None:
    world = World()
    payment = world.search(lost(world), LOST)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "SyncBudgetExhausted"
    assert "FAILED" not in [str(event.to) for event in world.events]


def test_a_crash_leaves_an_unknown_that_is_looked_at_at_once() -> None:
    world = World()
    payment = world.restart(world.pay())
    assert payment.state is State.OUTCOME_UNKNOWN
    assert world.names[-1] == "FoundSentAfterRestart"
    assert set(world.looks(payment).values()) == {Means.REPLAY}
    assert world.restart(payment) == payment


# --- cancelling


def test_before_anything_was_sent_a_cancel_ends_the_payment() -> None:
    world = World()
    payment = world.command(world.create(), decide.cancel)
    assert payment.state is State.CANCELED
    assert payment.cancellation_reason is CancellationReason.MERCHANT
    assert payment.due_at is None


@pytest.mark.parametrize("first", [None, Pending(), LOST])
def test_while_money_may_move_a_cancel_is_a_wish_that_voids_a_later_success(first: object) -> None:
    world = World()
    payment = world.pay(capture=MANUAL)
    if first is not None:
        payment = world.answer(payment, first)  # type: ignore[arg-type]
    before = payment.state
    payment = world.command(payment, decide.cancel)
    assert payment.state is before
    assert payment.cancel_requested
    assert world.command(payment, decide.void) == payment
    payment = world.answer(payment, Approved(), Source.WEBHOOK)
    assert payment.state is State.VOIDING
    assert world.names[-1] == "AutoVoid"
    payment = world.answer_operation(payment, OperationKind.VOID, Approved())
    assert payment.state is State.CANCELED
    assert payment.cancellation_reason is CancellationReason.VOIDED


def test_the_void_of_a_payment_that_was_taken_back_is_made_anew_where_it_never_took_effect() -> None:
    """Its merchant was told that it ends: a cancel that got lost at the PSP must not leave his shopper's money held for a week."""
    world = World()
    payment = world.command(world.pay(capture=MANUAL), decide.cancel)
    payment = world.answer(payment, Approved())
    for _ in range(world.limits.session_closings):
        assert payment.state is State.VOIDING
        payment = world.answer_operation(payment, OperationKind.VOID, LOST)
        world.later(seconds=MINUTE)
        payment = world.answer_operation(payment, OperationKind.VOID, ABSENT, Source.INQUIRY)
    assert payment.state is State.AUTHORIZED
    assert world.names.count("AutoVoid") == world.limits.session_closings
    assert payment.due_at is not None
    assert payment.due_at <= world.at + timedelta(days=1)


def taken_back(world: World, connector: str = "strong") -> Payment:
    """VOIDING: the hold came after its merchant had taken the payment back"""
    wish = world.command(world.pay(capture=MANUAL, connector=connector), decide.cancel)
    return world.answer(wish, Approved(), psp_reference="psp_1", expires_at=START + timedelta(days=6))


def discrepancies(world: World) -> list[str]:
    return [one.data.kind for one in world.events if isinstance(one.data, Discrepancy)]


@pytest.mark.parametrize("refusal", [declined(ErrorClass.OPERATION_NOT_ALLOWED), rejected(ErrorClass.INVALID_REQUEST)])
def test_a_void_that_the_psp_refuses_is_not_made_anew_but_people_see_it(refusal: Finding) -> None:
    world = World()
    payment = world.answer_operation(taken_back(world), OperationKind.VOID, refusal)
    assert payment.state is State.AUTHORIZED
    assert discrepancies(world) == ["cancel_not_done"]
    # The PSP is asked at once how it stands; where the hold stands as before, it is looked at again when it should have expired.
    (attempt,) = payment.attempts
    assert world.looks(payment) == {attempt.id: Means.INQUIRE}
    payment = world.weigh(payment, attempt.id, Approved(), Source.INQUIRY)
    assert (payment.state, payment.due_at) == (State.AUTHORIZED, attempt.expires_at)
    world.to_next_timer(payment)
    payment = world.weigh(payment, attempt.id, Approved(), Source.INQUIRY)
    assert (payment.state, world.names.count("AutoVoid"), len(discrepancies(world))) == (State.AUTHORIZED, 1, 1)
    world.to_next_timer(payment)
    assert world.weigh(payment, attempt.id, Released(expired=True), Source.INQUIRY).state is State.CANCELED


def test_what_is_taken_back_is_not_captured_and_its_merchant_may_void_it_himself() -> None:
    world = World()
    payment = world.answer_operation(taken_back(world), OperationKind.VOID, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    assert decide.allowed(payment) == ("void",)
    with pytest.raises(decide.Refused, match="is being taken back"):
        world.command(payment, lambda story: decide.capture(story, None))
    assert world.command(payment, decide.void).state is State.VOIDING


@pytest.mark.parametrize("connector", ["strong", "blind"])
@pytest.mark.parametrize("refusal", [NOT_SENT, declined(ErrorClass.SOFT_RETRY_LATER), rejected(ErrorClass.CONFIGURATION)])
def test_the_void_of_a_payment_taken_back_is_tried_for_days_and_then_people_see_it(refusal: Finding, connector: str) -> None:
    """By the hold's own timer, which is durable; at its slowest pace, and not without end."""
    world = World()
    payment = taken_back(world, connector)
    attempt_id, began, made = payment.attempts[0].id, world.at, []
    while world.at < began + timedelta(days=30):
        if payment.state is State.VOIDING:
            made.append(world.at)
            world.later(seconds=world.limits.operation_window_seconds)
            payment = world.answer_operation(payment, OperationKind.VOID, refusal)
        elif payment.state is State.AUTHORIZED:
            world.to_next_timer(payment)
            payment = world.weigh(payment, attempt_id, Approved() if connector == "strong" else LOST, Source.INQUIRY)
    assert payment.state is State.AUTHORIZED
    assert made[-1] - began > timedelta(days=5)
    assert len(made) <= world.limits.session_closings + 8
    told = discrepancies(world)
    assert told == ["cancel_not_done"] * (1 if refusal is NOT_SENT else 2)  # of a refusal at once, and of the end of trying
    assert payment.due_at is not None


def test_a_later_void_of_a_payment_taken_back_ends_it() -> None:
    world = World()
    payment = world.answer_operation(taken_back(world), OperationKind.VOID, declined(ErrorClass.SOFT_RETRY_LATER))
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.INQUIRE}
    payment = world.weigh(payment, payment.attempts[0].id, Approved(), Source.INQUIRY)
    assert payment.state is State.VOIDING
    assert world.answer_operation(payment, OperationKind.VOID, Approved()).state is State.CANCELED


def test_a_wish_to_cancel_stops_every_new_attempt() -> None:
    world = World()
    payment = world.command(world.pay(), decide.cancel)
    assert world.answer(payment, NOT_SENT).state is State.CANCELED
    world = World()
    payment = world.command(lost(world), decide.cancel)
    world.later(seconds=30)
    assert world.answer(payment, ABSENT, Source.INQUIRY).state is State.CANCELED


def test_an_automatic_capture_after_the_wish_stays_captured() -> None:
    world = World()
    payment = world.answer(world.command(world.pay(), decide.cancel), CHARGED)
    assert payment.state is State.CAPTURED
    assert payment.cancel_requested
    assert decide.allowed(payment) == ("refund",)


def test_a_cancel_at_the_shoppers_turn_ends_where_the_shopper_alone_moves_no_money() -> None:
    world = World()
    payment = world.command(challenged(world, "eventual"), decide.cancel)
    assert payment.state is State.CANCELED
    assert payment.due_at is None


def test_a_cancel_at_the_shoppers_turn_closes_the_session_where_a_call_can() -> None:
    world = World()
    payment = world.command(challenged(world), decide.cancel)
    assert payment.state is State.VOIDING
    assert world.answer_operation(payment, OperationKind.VOID, Released(expired=False)).state is State.CANCELED


def test_a_cancel_at_the_shoppers_turn_is_a_wish_where_neither_holds() -> None:
    world = World()
    payment = world.command(challenged(world, "blind"), decide.cancel)
    assert payment.state is State.REQUIRES_ACTION
    assert payment.cancel_requested


def test_a_wish_that_came_before_the_shoppers_turn_is_honoured_when_it_comes() -> None:
    world = World()
    assert world.answer(world.command(world.pay(), decide.cancel), CHALLENGE).state is State.VOIDING
    world = World()
    assert world.answer(world.command(world.pay(connector="eventual"), decide.cancel), CHALLENGE).state is State.CANCELED


@pytest.mark.parametrize("state", [State.CAPTURED, State.CANCELED, State.FAILED, State.MANUAL_REVIEW, State.AUTHORIZED])
def test_elsewhere_a_cancel_is_refused_with_what_may_be_asked(state: State) -> None:
    payment = replace(World().create(), state=state)
    with pytest.raises(decide.Refused) as refused:
        World().command(payment, decide.cancel)
    assert refused.value.code == "operation_not_allowed"


# --- too late, twice, wrong


def test_a_late_success_of_a_failed_payment_goes_to_people() -> None:
    world = World()
    payment = world.answer(world.pay(), declined(ErrorClass.HARD_DECLINE))
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "LateSuccess"
    assert payment.captured_minor == 2000


def test_a_shopper_who_finishes_a_cancelled_session_goes_to_people() -> None:
    world = World()
    payment = world.command(challenged(world, "eventual"), decide.cancel)
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "LateSuccess"


def test_an_old_word_about_a_voided_hold_changes_nothing_but_a_capture_of_it_does() -> None:
    world = World()
    payment = world.command(world.answer(world.pay(capture=MANUAL), Approved()), decide.void)
    payment = world.answer_operation(payment, OperationKind.VOID, Approved())
    assert payment.state is State.CANCELED
    attempt = payment.attempts[0].id
    payment = world.weigh(payment, attempt, Approved(), Source.WEBHOOK)
    assert payment.state is State.CANCELED
    assert world.weigh(payment, attempt, CHARGED, Source.WEBHOOK).state is State.MANUAL_REVIEW


def test_a_second_success_is_alarmed_and_voided() -> None:
    world = World()
    payment = world.answer(world.pay(capture=MANUAL), declined(ErrorClass.SOFT_TRY_OTHER))
    payment = world.weigh(payment, payment.attempts[0].id, Approved(), Source.WEBHOOK)
    assert payment.state is State.MANUAL_REVIEW
    assert world.names[-2:] == ["SecondSuccess", "OperationAdopted"]
    void = payment.operations[0]
    assert void.attempt_id == payment.attempts[0].id
    payment = world.weigh(payment, void.id, Approved())
    assert states(payment) == ["VOIDED", "PREPARED"]
    assert payment.state is State.MANUAL_REVIEW


def test_a_late_decline_by_webhook_does_not_move_a_success_back() -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED)
    payment = world.weigh(payment, payment.attempts[0].id, declined(ErrorClass.HARD_DECLINE), Source.WEBHOOK)
    assert payment.state is State.CAPTURED
    assert payment.failure is None


@pytest.mark.parametrize("finding", [declined(ErrorClass.HARD_DECLINE), Released(expired=False)])
def test_a_psp_that_unsays_its_charge_goes_to_people(finding: object) -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED)
    payment = world.weigh(payment, payment.attempts[0].id, finding, Source.INQUIRY)  # type: ignore[arg-type]
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "IntegrityMismatch"


@pytest.mark.parametrize("wrong", [{"amount": Money(1999, "EUR")}, {"amount": Money(2000, "JPY")}, {"our_reference": "att_other"}])
def test_another_amount_currency_or_reference_is_for_people(wrong: dict[str, object]) -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED, Source.RESPONSE, **wrong)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.review_reason == "IntegrityMismatch"
    assert payment.intent.amount == Money(2000, "EUR")


def test_a_charge_where_only_a_hold_was_asked_for_is_for_people() -> None:
    world = World()
    assert world.answer(world.pay(capture=MANUAL), CHARGED).state is State.MANUAL_REVIEW


def test_a_contradiction_without_money_does_not_disturb_an_ended_payment() -> None:
    world = World()
    payment = world.answer(world.pay(), declined(ErrorClass.HARD_DECLINE))
    payment = world.weigh(payment, payment.attempts[0].id, Pending(), Source.WEBHOOK, our_reference="att_other")
    assert payment.state is State.FAILED
    assert world.names[-1] == "DiscrepancyRaised"


# --- set aside


def test_a_held_payment_hears_everything_and_does_nothing() -> None:
    world = World()
    payment = world.pay()
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="ann")))
    with pytest.raises(decide.Refused):
        world.command(payment, decide.cancel)
    heard = world.answer(payment, CHARGED)
    assert heard.state is State.AUTHORIZING
    assert heard.attempts[0].state is AttemptState.PREPARED
    released = world.tell(heard, Name.HOLD_RELEASED, HoldEnded(reason="looked at"))
    assert set(world.to_next_timer(released).values()) == {Means.LOST}
    assert world.answer(world.answer(released, LOST), CHARGED, Source.REPLAY).state is State.CAPTURED
