"""A PSP that cannot be asked, only told and listened to: what it accepts is settled by its notices, and nobody asks it in the meantime."""

from __future__ import annotations

import pytest

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.intent import CaptureMode
from payorch.domain.outcome import Approved, ErrorClass, Pending, Source
from payorch.domain.payment import OperationState, State
from payorch.domain.proof import Means, looks_ahead
from payorch.domain.records import Operation, OperationKind, Payment
from tests.domain.worlds import CHARGED, DAY, LOST, World, declined, manifest

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
FAILED_LATE = declined(ErrorClass.OPERATION_NOT_ALLOWED)


def world_of(window_seconds: int = 7 * DAY) -> World:
    return World(manifests={"psp": manifest(lookup=Lookup.NONE, window_seconds=window_seconds)}, preference=("psp",))


def held(world: World) -> Payment:
    return world.answer(world.pay(capture=CaptureMode.MANUAL), Approved(), psp_reference="psp_1")


def received(world: World, kind: OperationKind = CAPTURE) -> Payment:
    """An operation that the PSP took, and will tell of."""
    payment = held(world)
    payment = world.command(payment, decide.void) if kind is VOID else world.command(payment, lambda story: decide.capture(story, None))
    if kind is REFUND:
        payment = world.command(told(world, payment, Approved()), lambda story: decide.refund(story, None))
    return world.answer_operation(payment, kind, Pending(), psp_reference="op_1")


def last(payment: Payment) -> Operation:
    return payment.operations[-1]


def told(world: World, payment: Payment, finding: object, **more: object) -> Payment:
    return world.hear(payment, (last(payment).id, finding), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "end"), [(CAPTURE, State.CAPTURED), (VOID, State.CANCELED), (REFUND, State.CAPTURED)])
def test_what_it_took_is_settled_by_its_notice(kind: OperationKind, end: State) -> None:
    world = world_of()
    payment = received(world, kind)
    assert last(payment).state is OperationState.PENDING
    world.later(seconds=3600)
    payment = told(world, payment, Approved(), psp_reference="op_1")
    assert (payment.state, last(payment).state) == (end, OperationState.SUCCEEDED)


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
def test_it_is_never_asked_in_the_meantime(kind: OperationKind) -> None:
    world = world_of()
    payment = received(world, kind)
    for _ in range(60):
        if payment.due_at is None or last(payment).state is not OperationState.PENDING:
            break
        assert set(world.to_next_timer(payment).values()) == {Means.WAIT}
        payment = world.weigh(payment, last(payment).id, LOST, Source.INQUIRY)
    assert last(payment).state is OperationState.UNKNOWN  # two days later


def test_pending_and_unknown_do_not_alternate_on_the_same_answer_to_the_same_bytes() -> None:
    world = world_of()
    payment = received(world)
    capture, means = last(payment).id, set()
    while payment.state in (State.CAPTURING, State.OUTCOME_UNKNOWN):
        for subject, look in world.to_next_timer(payment).items():
            again = look is Means.REPLAY
            payment = world.weigh(payment, subject, Pending() if again else LOST, Source.REPLAY if again else Source.INQUIRY)
            means |= {look} if subject == capture and payment.state is not State.CAPTURING else set()
    assert (payment.state, means) == (State.MANUAL_REVIEW, {Means.REPLAY, Means.WAIT})
    assert "ResolvedCapturePending" not in world.names


def test_a_capture_that_fails_after_its_success_is_for_people() -> None:
    world = world_of()
    payment = told(world, received(world), Approved(), psp_reference="op_1")
    world.later(seconds=3 * DAY)
    payment = told(world, payment, FAILED_LATE, psp_reference="op_1")
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateCaptureFailure")
    assert last(payment).state is OperationState.REVERSED
    assert payment.captured_minor == 0


def test_so_is_a_charge_that_fails_after_its_success() -> None:
    world = world_of()
    payment = world.answer(world.pay(), CHARGED, psp_reference="psp_1")
    payment = world.hear(payment, (payment.attempts[0].id, FAILED_LATE), psp_reference="psp_1")
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "IntegrityMismatch")


def test_a_refund_that_comes_back_is_free_again() -> None:
    world = world_of()
    payment = told(world, received(world, REFUND), Approved())
    assert payment.refundable_minor == 0
    payment = told(world, payment, FAILED_LATE)
    assert (last(payment).state, payment.refundable_minor) == (OperationState.REVERSED, 2000)


def test_an_unknown_authorisation_is_replayed_in_its_window_and_then_only_waited_for() -> None:
    world = world_of(window_seconds=600)
    payment = world.answer(world.pay(), LOST)
    seen = []
    while payment.state is State.OUTCOME_UNKNOWN:
        (means,) = world.to_next_timer(payment).values()
        seen.append((means, world.at < payment.attempts[0].psp_key_safe_until))
        payment = world.answer(payment, LOST, Source.REPLAY if means is Means.REPLAY else Source.INQUIRY)
    assert payment.state is State.MANUAL_REVIEW
    assert set(seen) == {(Means.REPLAY, True), (Means.WAIT, False)}


def test_an_answer_to_the_replay_or_a_notice_ends_the_search() -> None:
    world = world_of()
    payment = world.answer(world.pay(), LOST)
    assert world.answer(payment, CHARGED, Source.REPLAY).state is State.CAPTURED
    world = world_of()
    payment = world.answer(world.pay(), LOST)
    assert world.hear(payment, (payment.attempts[0].id, CHARGED), psp_reference="psp_1").state is State.CAPTURED


def test_a_recovered_psp_gets_the_same_bytes_before_their_time_or_nothing() -> None:
    world = world_of(window_seconds=600)
    payment = world.answer(world.pay(), LOST)
    attempt = payment.attempts[0].id
    assert [(look.subject_id, look.means) for look in looks_ahead(payment, "psp", frozenset(), world.desk())] == [(attempt, Means.REPLAY)]
    world.later(seconds=1)
    payment = world.answer(payment, LOST, Source.REPLAY)
    world.later(seconds=601)
    payment = world.answer(payment, LOST, Source.INQUIRY)
    assert looks_ahead(payment, "psp", frozenset(), world.desk()) == ()
