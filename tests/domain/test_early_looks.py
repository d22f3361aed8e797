"""Looks before their time, because a PSP answers again: which there are, and that they take nothing from the schedule."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain import decide
from payorch.domain.desk import Limits, Story, spread
from payorch.domain.intent import CaptureMode
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Finding, NotExecuted, Source
from payorch.domain.payment import OperationState, State
from payorch.domain.proof import Look, Means, looks_ahead, may_replay_ahead, sends_ahead
from payorch.domain.records import Hold, OperationKind, Payment
from payorch.domain.weigh import weigh
from payorch.domain.weigh_nothing import bring_forward, taught_nothing
from tests.domain.worlds import ABSENT, BROKEN, CHARGED, LOST, MINUTE, NOT_SENT, World, fail, rejected

NOTHING: frozenset[OperationKind] = frozenset()
KEPT_BACK = NotExecuted(failure=fail(ErrorClass.NOT_SENT, "circuit_open"), sent=False)


def unknown(world: World, connector: str = "eventual", *, wait: float = 20) -> Payment:
    """Unknown for a while: three looks were taken, and the next one is ahead."""
    payment = world.answer(world.pay(connector=connector), LOST)
    while world.at + timedelta(seconds=wait) > (payment.due_at or world.at):
        for subject, means in world.to_next_timer(payment).items():
            source = Source.REPLAY if means is Means.REPLAY else Source.INQUIRY
            payment = world.weigh(payment, subject, LOST, source)
    world.later(seconds=1)
    return payment


def ahead(world: World, payment: Payment, connector: str = "eventual", sendable: frozenset[OperationKind] = NOTHING) -> dict[str, Means]:
    return {look.subject_id: look.means for look in looks_ahead(payment, connector, sendable, world.desk())}


# --- which


def test_what_is_unknown_is_asked_about() -> None:
    world = World()
    payment = unknown(world)
    (attempt,) = payment.attempts
    assert ahead(world, payment) == {attempt.id: Means.INQUIRE}
    assert ahead(world, payment, "strong") == {}
    assert may_replay_ahead(payment, attempt, world.desk())


def test_what_is_due_anyway_is_left_to_its_timer() -> None:
    world = World()
    payment = unknown(world)
    world.to_next_timer(payment)
    assert ahead(world, payment) == {}
    assert not may_replay_ahead(payment, payment.attempts[0], world.desk())


def test_where_nothing_can_be_asked_the_same_bytes_go_out_again() -> None:
    world = World()
    payment = unknown(world, "blind")
    assert ahead(world, payment, "blind") == {payment.attempts[0].id: Means.REPLAY}
    world.later(seconds=10 * MINUTE)  # the key's window is over
    payment = looked_at(payment, world.at + timedelta(hours=1))
    assert ahead(world, payment, "blind") == {}


def looked_at(payment: Payment, at: datetime) -> Payment:
    """The same, with its next look at that moment."""
    return replace(payment, attempts=tuple([replace(one, next_action_at=at) for one in payment.attempts]))


@pytest.mark.parametrize("connector", ["eventual", "blind"])
def test_a_replay_before_its_time_that_brings_what_the_psp_keeps_was_the_last(connector: str) -> None:
    world = World()
    payment = unknown(world, connector)
    before = payment.attempts[0]
    payment = world.answer(payment, BROKEN, Source.REPLAY, stored=True)
    (attempt,) = payment.attempts
    assert before.pursuit is not None
    assert (attempt.next_action_at, attempt.pursuit) == (
        before.next_action_at, replace(before.pursuit, early=1, sent_at=world.at, stored=True),
    )  # fmt: skip
    assert not may_replay_ahead(payment, attempt, world.desk())
    assert ahead(world, payment, connector) == ({} if connector == "blind" else {attempt.id: Means.INQUIRE})


def test_an_authorisation_that_nobody_wants_any_more_is_not_replayed() -> None:
    world = World()
    payment = unknown(world)
    payment = world.command(payment, decide.cancel)
    assert ahead(world, payment) == {payment.attempts[0].id: Means.INQUIRE}
    assert not may_replay_ahead(payment, payment.attempts[0], world.desk())


def test_one_that_the_psp_has_named_is_only_read() -> None:
    world = World()
    payment = world.answer(world.pay(connector="eventual"), LOST, psp_reference="pi_1")
    assert not may_replay_ahead(payment, payment.attempts[0], world.desk())


def test_people_and_holds_are_not_disturbed() -> None:
    world = World()
    payment = unknown(world)
    attempt = payment.attempts[0]
    assert looks_ahead(replace(payment, state=State.MANUAL_REVIEW), "eventual", NOTHING, world.desk()) == ()
    held = replace(payment, hold=Hold(reason="a look", since=world.at, by="operator:ann"))
    assert looks_ahead(held, "eventual", NOTHING, world.desk()) == ()
    assert not may_replay_ahead(held, attempt, world.desk())


def authorized(world: World) -> Payment:
    return world.answer(world.pay(capture=CaptureMode.MANUAL, connector="eventual"), Approved())


def test_before_an_operation_is_sent_out_of_turn_its_attempt_is_asked_about() -> None:
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500))
    world.later(seconds=1)
    assert ahead(world, payment, sendable=frozenset(OperationKind)) == {}, "it is on the wire"
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    (capture,), (attempt,) = payment.operations, payment.attempts
    assert ahead(world, payment) == {attempt.id: Means.INQUIRE}
    assert sends(world, payment) == []
    assert sends(world, payment, OperationKind.REFUND) == []
    assert sends(world, payment, OperationKind.CAPTURE) == [Look(subject_id=capture.id, means=Means.SEND)]
    answered = weigh(payment, attempt.id, found(world, Approved(), Source.INQUIRY), world.desk())
    assert taught_nothing(payment, answered), "that it is held as it was is nothing new"
    world.to_next_timer(payment)
    assert sends(world, payment, OperationKind.CAPTURE) == [], "it is due anyway"


def sends(world: World, payment: Payment, *kinds: OperationKind) -> list[Look]:
    """What may be sent before its time, where the PSP takes these kinds."""
    return list(sends_ahead(payment, payment.attempts[0].id, frozenset(kinds), world.desk()))


def test_where_nothing_can_be_asked_an_operation_is_sent_at_once() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL, connector="blind"), Approved())
    payment = world.command(payment, decide_capture_all)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    world.later(seconds=1)
    assert ahead(world, payment, "blind", frozenset({OperationKind.CAPTURE})) == {payment.operations[0].id: Means.SEND}


def decide_capture_all(story: Story) -> None:
    decide.capture(story, None)


def test_an_unknown_operation_is_asked_about_and_may_be_replayed() -> None:
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST)
    (capture,) = payment.operations
    assert ahead(world, payment) == {capture.id: Means.INQUIRE}
    assert may_replay_ahead(payment, capture, world.desk())
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(), Source.INQUIRY)
    assert ahead(world, payment) == {}


# --- what they change


@pytest.mark.parametrize("finding", [LOST, ABSENT, KEPT_BACK])
def test_a_look_before_its_time_that_tells_nothing_changes_nothing(finding: Finding) -> None:
    world = World()
    payment = unknown(world)
    attempt = payment.attempts[0]
    evidence = found(world, finding, Source.INQUIRY)
    story = weigh(payment, attempt.id, evidence, world.desk())
    assert taught_nothing(payment, story)
    assert story.payment.attempts[0].next_action_at == attempt.next_action_at
    assert story.payment.attempts[0].pursuit == attempt.pursuit


def found(world: World, finding: Finding, source: Source, psp_reference: str | None = None) -> Evidence:
    """What a look at this moment brings."""
    return Evidence(source=source, finding=finding, at=world.at, psp_reference=psp_reference)


def test_what_it_tells_is_told() -> None:
    world = World()
    payment = unknown(world)
    story = weigh(payment, payment.attempts[0].id, found(world, CHARGED, Source.INQUIRY), world.desk())
    assert not taught_nothing(payment, story)
    assert story.payment.state is State.CAPTURED


def test_the_psps_own_name_for_it_is_worth_keeping() -> None:
    world = World()
    payment = unknown(world)
    evidence = found(world, LOST, Source.INQUIRY, psp_reference="pi_1")
    story = weigh(payment, payment.attempts[0].id, evidence, world.desk())
    assert not taught_nothing(payment, story)


def test_an_absence_that_may_become_a_proof_is_kept_and_one_that_cannot_is_not() -> None:
    world = World()
    payment = unknown(world, wait=2 * MINUTE)
    attempt = payment.attempts[0]
    world.at = attempt.psp_key_safe_until - timedelta(seconds=1)
    payment = looked_at(payment, attempt.psp_key_safe_until)
    early = weigh(payment, attempt.id, found(world, ABSENT, Source.INQUIRY), world.desk())
    assert taught_nothing(payment, early)
    world.at = attempt.psp_key_safe_until + timedelta(seconds=1)
    payment = looked_at(payment, world.at + timedelta(hours=1))
    counted = weigh(payment, attempt.id, found(world, ABSENT, Source.INQUIRY), world.desk())
    assert not taught_nothing(payment, counted)
    pursuit = counted.payment.attempts[0].pursuit
    assert pursuit is not None
    assert pursuit.absences == (world.at,)
    lag = timedelta(seconds=world.manifests["eventual"].lookup_lag_seconds)
    assert counted.payment.attempts[0].next_action_at == world.at + lag, "and the second one is not waited for longer than it must be"


def test_a_replay_before_its_time_is_kept_takes_no_step_and_is_bounded() -> None:
    world = World()
    payment = unknown(world, wait=2 * MINUTE)
    before = payment.attempts[0]
    for count in range(1, world.limits.early_tries + 1):
        assert may_replay_ahead(payment, payment.attempts[0], world.desk())
        payment = world.answer(payment, LOST, Source.REPLAY)
        pursuit = payment.attempts[0].pursuit
        assert pursuit is not None
        assert before.pursuit is not None
        assert (pursuit.steps, pursuit.early, pursuit.sent_at) == (before.pursuit.steps, count, world.at)
        assert payment.attempts[0].next_action_at == before.next_action_at
    assert not may_replay_ahead(payment, payment.attempts[0], world.desk())


def test_a_replay_that_was_kept_back_was_not_sent() -> None:
    world = World()
    payment = unknown(world)
    world.to_next_timer(payment)
    before = payment.attempts[0].pursuit
    after = world.answer(payment, KEPT_BACK, Source.REPLAY).attempts[0].pursuit
    assert before is not None
    assert after is not None
    assert (after.steps, after.sent_at) == (before.steps + 1, before.sent_at)


@pytest.mark.parametrize(("evidence", "source"), [(KEPT_BACK, Source.REPLAY), (ABSENT, Source.INQUIRY)])
def test_a_replay_that_was_kept_back_keeps_its_turn(evidence: Finding, source: Source) -> None:
    """Also where a lookup was made in its place and found nothing."""
    world = World()
    payment = world.answer(world.pay(connector="eventual"), LOST)
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer(payment, evidence, source)
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer(payment, LOST, Source.REPLAY)
    assert set(world.to_next_timer(payment).values()) == {Means.INQUIRE}


def test_an_operation_is_due_before_it_is_sent_out_of_turn() -> None:
    """So a crash on the way finds it as one that may be out: `next_action_at` has come."""
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    world.later(seconds=1)
    (capture,) = payment.operations
    payment = world.kept(bring_forward(payment, capture.id, world.desk()))
    (capture,) = payment.operations
    assert (capture.state, capture.next_action_at) == (OperationState.REQUESTED, world.at)
    assert world.looks(payment) == {capture.id: Means.SEND}
    assert capture.pursuit is not None
    assert (capture.pursuit.steps, capture.pursuit.early) == (1, 1)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    (capture,) = payment.operations
    assert capture.pursuit is not None
    assert (capture.pursuit.steps, capture.pursuit.early) == (1, 1)  # it took no step: the wait is the one that it had cut short
    assert capture.next_action_at == world.at + timedelta(seconds=world.limits.operation_retry_seconds[0])
    world.to_next_timer(payment)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    assert payment.operations[0].next_action_at == world.at + timedelta(seconds=world.limits.operation_retry_seconds[1])


def test_operations_are_not_brought_forward_without_end() -> None:
    world = World(limits=replaced_limits(early_tries=2))
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    for _ in range(2):
        world.later(seconds=1)
        (look,) = sends(world, payment, OperationKind.CAPTURE)
        assert look == Look(subject_id=payment.operations[0].id, means=Means.SEND)
        payment = world.kept(bring_forward(payment, look.subject_id, world.desk()))
        payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    world.later(seconds=1)
    assert sends(world, payment, OperationKind.CAPTURE) == []


def replaced_limits(**changes: int) -> Limits:
    return replace(World().limits, **changes)


# --- Retry-After


def test_the_next_try_of_an_operation_is_not_before_the_psp_wants_it() -> None:
    world = World()
    payment = world.command(authorized(world), lambda story: decide.capture(story, 500))
    later = world.at + timedelta(seconds=40)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, rejected(ErrorClass.RATE_LIMITED), retry_after=later)
    assert payment.operations[0].next_action_at == later
    sooner = world.at + timedelta(seconds=1)
    payment = world.answer_operation(payment, OperationKind.CAPTURE, rejected(ErrorClass.RATE_LIMITED), retry_after=sooner)
    assert payment.operations[0].next_action_at == world.at + timedelta(seconds=60), "nor sooner than its schedule"


def test_the_next_look_is_not_before_the_psp_wants_it() -> None:
    world = World()
    payment = unknown(world)
    world.to_next_timer(payment)
    later = world.at + timedelta(seconds=400)
    payment = world.answer(payment, LOST, Source.INQUIRY, retry_after=later)
    assert payment.attempts[0].next_action_at == later


# --- jitter


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 86400))
def test_a_wait_is_in_the_second_half_of_its_interval(fraction: float, seconds: int) -> None:
    assert seconds / 2 <= spread(seconds, fraction) <= seconds


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 12))
def test_a_schedule_is_spread_and_never_late(fraction: float, steps: int) -> None:
    world = World()
    desk = replace(world.desk(), jitter=lambda seconds: spread(seconds, fraction))
    looks = world.limits.unknown_looks_seconds
    interval = looks[min(steps, len(looks) - 1)]
    at = desk.look_at(looks, steps)
    assert timedelta(seconds=interval / 2) - timedelta(milliseconds=1) <= at - world.at <= timedelta(seconds=interval)
    assert at.microsecond % 1000 == 0, "what is stored is whole milliseconds, and a timer in memory must not be later than the row"


@given(st.floats(0, 1, exclude_max=True))
def test_moments_of_proof_are_not_spread(fraction: float) -> None:
    world = World()
    payment = unknown(world, wait=2 * MINUTE)
    world.to_next_timer(payment)
    desk = replace(world.desk(), jitter=lambda seconds: spread(seconds, fraction))
    story = weigh(payment, payment.attempts[0].id, found(world, LOST, Source.INQUIRY), desk)
    (attempt,) = story.payment.attempts
    assert attempt.next_action_at == attempt.psp_key_safe_until
