"""How an unknown is looked at, and when "the PSP knows of no such thing" proves anything."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain import decide
from payorch.domain.capability import Lookup
from payorch.domain.intent import CaptureMode
from payorch.domain.outcome import Approved, ErrorClass, Finding, Pending, Source
from payorch.domain.payment import AttemptState, Command, OperationState, State
from payorch.domain.proof import Means, absence_proved, attempt_means
from payorch.domain.records import Attempt, Hold, OperationKind, Payment, Pursuit
from tests.domain.worlds import ABSENT, BROKEN, CHARGED, LOST, MINUTE, NOT_SENT, START, World, declined, manifest


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def unknown_attempt(*, since: float = 0, sent_at: float | None = None, safe: float = 600) -> Attempt:
    """An attempt created at START and unknown since then."""
    world = World()
    attempt = world.answer(world.pay(), LOST).attempts[0]
    pursuit = Pursuit(since=at(since), sent_at=at(sent_at) if sent_at is not None else None)
    return replace(attempt, pursuit=pursuit, psp_key_safe_until=at(safe))


def proved(lookup: Lookup, *absences: float, subject: Attempt | None = None, known: bool = False) -> bool:
    one = subject or unknown_attempt()
    return absence_proved(manifest(lookup=lookup), one, [at(moment) for moment in absences], reference_known=known)


# --- absence


def test_a_strong_lookup_proves_absence_only_after_its_lag() -> None:
    assert not proved(Lookup.STRONG, 29)
    assert proved(Lookup.STRONG, 30)


def test_the_lag_counts_from_the_last_moment_at_which_the_call_may_have_been_under_way() -> None:
    lost_late = unknown_attempt(since=100)
    assert not proved(Lookup.STRONG, 129, subject=lost_late)
    assert proved(Lookup.STRONG, 130, subject=lost_late)
    replayed = unknown_attempt(since=0, sent_at=500)
    assert not proved(Lookup.STRONG, 60, 529, subject=replayed)
    assert proved(Lookup.STRONG, 530, subject=replayed)


def test_a_call_that_a_crash_left_under_way_is_waited_for_too() -> None:
    """Nobody wrote down that a replay had just gone out when the process ended."""
    one = unknown_attempt(since=0)
    proof = partial(absence_proved, manifest(lookup=Lookup.STRONG), one, reference_known=False)
    assert proof([at(100)])
    assert not proof([at(100)], unsure_before=at(90))
    assert not proof([at(100), at(119)], unsure_before=at(90))
    assert proof([at(100), at(120)], unsure_before=at(90))


def test_an_eventual_lookup_proves_absence_twice_one_lag_apart_after_the_keys_window() -> None:
    assert not proved(Lookup.EVENTUAL, 100, 200)
    assert not proved(Lookup.EVENTUAL, 599, 640)
    assert not proved(Lookup.EVENTUAL, 600)
    assert not proved(Lookup.EVENTUAL, 600, 629)
    assert proved(Lookup.EVENTUAL, 600, 630)


def test_an_eventual_psp_that_was_asked_by_its_own_id_is_believed_like_a_strong_one() -> None:
    assert proved(Lookup.EVENTUAL, 30, known=True)


@given(moments=st.lists(st.integers(0, 10**7)), known=st.booleans())
@settings(max_examples=50, deadline=None)
def test_without_a_lookup_nothing_proves_absence(moments: list[int], known: bool) -> None:
    assert not proved(Lookup.NONE, *sorted(moments), known=known)


@given(moments=st.lists(st.integers(0, 2000), max_size=5), lookup=st.sampled_from(Lookup))
@settings(max_examples=100, deadline=None)
def test_nothing_is_proved_before_the_lag_is_over(moments: list[int], lookup: Lookup) -> None:
    early = [moment for moment in sorted(moments) if moment < 30]
    assert not proved(lookup, *early)


# --- means


def lost(world: World, connector: str = "strong", psp_reference: str | None = None) -> Payment:
    payment = world.answer(world.pay(connector=connector), LOST, psp_reference=psp_reference)
    assert payment.state is State.OUTCOME_UNKNOWN
    return payment


def means(world: World, payment: Payment) -> Means:
    return attempt_means(payment, payment.attempts[0], world.desk())


def test_an_unknown_authorisation_is_replayed_while_it_is_wanted() -> None:
    world = World()
    payment = lost(world)
    assert means(world, payment) is Means.REPLAY
    world.later(seconds=15 * MINUTE)
    assert means(world, payment) is Means.INQUIRE


def test_a_cancelled_authorisation_is_never_replayed() -> None:
    world = World()
    payment = world.command(lost(world), decide.cancel)
    assert means(world, payment) is Means.INQUIRE


def test_no_replay_after_the_keys_window() -> None:
    world = World()
    payment = lost(world, connector="eventual")
    world.later(seconds=10 * MINUTE - 1)
    assert means(world, payment) is Means.REPLAY
    world.later(seconds=1)
    assert means(world, payment) is Means.INQUIRE


def searched(payment: Payment) -> Pursuit:
    """The search for its attempt."""
    pursuit = payment.attempts[0].pursuit
    assert pursuit is not None
    return pursuit


def test_a_key_under_which_the_psp_keeps_an_error_is_not_replayed_again() -> None:
    """It is asked instead, as soon as any first look would be and without the loss of a step: the next interval may be hours."""
    world = World()
    payment = lost(world, connector="eventual")
    while searched(payment).steps < 2:
        world.to_next_timer(payment)
        payment = world.answer(payment, NOT_SENT, Source.REPLAY)  # kept back: it keeps its turn
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer(payment, BROKEN, Source.REPLAY, stored=True)
    assert (searched(payment).stored, searched(payment).steps) == (True, 2)
    assert payment.due_at == world.at + timedelta(seconds=2)
    assert set(world.to_next_timer(payment).values()) == {Means.INQUIRE}
    payment = world.answer(payment, ABSENT, Source.INQUIRY)
    assert (searched(payment).steps, payment.due_at) == (3, world.at + timedelta(seconds=60))
    while world.at < payment.attempts[0].psp_key_safe_until:
        assert set(world.to_next_timer(payment).values()) == {Means.INQUIRE}
        payment = world.answer(payment, BROKEN, Source.INQUIRY)
    assert searched(payment).stored


def test_an_error_that_may_be_fresh_is_replayed_by_turns() -> None:
    """Not every PSP says that it gives an answer again; one that does, says so of this one: it is there to be asked, and ill."""
    world = World()
    payment = lost(world, connector="eventual")
    turns: list[Means] = []
    for _ in range(4):
        turns += world.to_next_timer(payment).values()
        payment = world.answer(payment, BROKEN, Source.REPLAY if turns[-1] is Means.REPLAY else Source.INQUIRY)
    assert turns == [Means.REPLAY, Means.INQUIRE] * 2


@pytest.mark.parametrize(("finding", "state"), [(CHARGED, State.CAPTURED), (declined(ErrorClass.HARD_DECLINE), State.FAILED)])
def test_another_stored_answer_is_an_answer(finding: Finding, state: State) -> None:
    world = World()
    assert world.answer(lost(world), finding, Source.REPLAY, stored=True).state is state


def test_a_stored_answer_that_cannot_be_read_may_be_read_next_time() -> None:
    world = World()
    payment = lost(world, connector="blind")
    world.to_next_timer(payment)
    payment = world.answer(payment, LOST, Source.REPLAY, stored=True)
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}


def test_where_nothing_can_be_asked_an_error_that_is_kept_is_waited_out() -> None:
    world = World()
    payment = lost(world, connector="blind")
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer(payment, BROKEN, Source.REPLAY, stored=True)
    assert payment.due_at == world.at + timedelta(seconds=5), "there is no other way to look, so this look is over"
    assert set(world.to_next_timer(payment).values()) == {Means.WAIT}


def test_a_first_sending_that_is_answered_with_what_is_kept_is_not_repeated() -> None:
    """Somebody sent it before, whatever we know of that."""
    world = World()
    payment = world.answer(world.pay(), BROKEN, stored=True)
    assert payment.state is State.OUTCOME_UNKNOWN
    assert means(world, payment) is Means.INQUIRE


def test_what_is_kept_stays_known_when_the_search_begins_anew() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL, connector="blind"), Approved())
    payment = world.command(payment, lambda story: decide.capture(story, None))
    for finding, source in ((LOST, Source.RESPONSE), (BROKEN, Source.REPLAY), (Pending(), Source.WEBHOOK)):
        payment = world.answer_operation(payment, OperationKind.CAPTURE, finding, source, stored=finding is BROKEN)
    (capture,) = payment.operations
    assert capture.state is OperationState.PENDING
    world.later(seconds=2 * 86400)
    payment = world.weigh(payment, capture.id, LOST, Source.INQUIRY)
    (capture,) = payment.operations
    assert (capture.state, capture.pursuit) == (OperationState.UNKNOWN, Pursuit(since=world.at, stored=True))


@pytest.mark.parametrize("connector", ["strong", "eventual", "blind"])
def test_nor_is_an_operation_replayed_under_whose_key_an_error_is_kept(connector: str) -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL, connector=connector), Approved())
    payment = world.command(payment, lambda story: decide.capture(story, None))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST)
    assert set(world.to_next_timer(payment).values()) == {Means.REPLAY}
    payment = world.answer_operation(payment, OperationKind.CAPTURE, BROKEN, Source.REPLAY, stored=True)
    other = Means.WAIT if connector == "blind" else Means.INQUIRE
    for _ in range(4):
        assert set(world.to_next_timer(payment).values()) == {other}
        payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST, Source.INQUIRY)


def test_a_known_psp_id_is_read_instead_of_replayed() -> None:
    world = World()
    assert means(world, lost(world, psp_reference="psp_1")) is Means.INQUIRE


def test_a_connector_that_cannot_be_asked_is_waited_for() -> None:
    world = World()
    payment = lost(world, connector="blind")
    world.later(seconds=10 * MINUTE)
    assert means(world, payment) is Means.WAIT


def test_in_review_nothing_is_executed_by_a_look() -> None:
    world = World()
    payment = lost(world)
    assert means(world, replace(payment, state=State.MANUAL_REVIEW)) is Means.INQUIRE


def test_a_call_without_an_answer_is_lost_when_its_time_is_over() -> None:
    world = World()
    payment = world.pay()
    assert world.looks(payment) == {}
    assert world.to_next_timer(payment) == {payment.attempts[0].id: Means.LOST}


def test_a_capture_that_was_surely_not_sent_is_sent_and_one_that_may_have_been_is_replayed() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL), Approved())
    payment = world.command(payment, lambda story: decide.capture(story, None))
    capture = payment.operations[0].id
    not_sent = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    assert world.to_next_timer(not_sent) == {capture: Means.SEND}
    unknown = world.weigh(not_sent, capture, LOST)
    assert world.to_next_timer(unknown) == {capture: Means.REPLAY}


def test_nothing_is_due_while_a_payment_is_set_aside() -> None:
    world = World()
    payment = lost(world)
    world.later(seconds=MINUTE)
    assert world.looks(payment) != {}
    held = replace(payment, hold=Hold(reason="poison", since=world.at, by="ann"))
    assert world.looks(held) == {}
    assert held.due_at is None
    assert decide.allowed(held) == ()
    assert Command.CANCEL in decide.allowed(payment)


@pytest.mark.parametrize("connector", ["strong", "eventual", "blind"])
def test_a_search_for_nothing_ends_with_people_and_never_by_itself(connector: str) -> None:
    world = World(preference=(connector,))
    payment = world.search(lost(world, connector=connector), LOST)
    assert payment.state is State.MANUAL_REVIEW
    assert payment.attempts[0].state is AttemptState.UNKNOWN
    assert world.at - START <= timedelta(days=8, minutes=1)
    assert world.names[-1] == "SyncBudgetExhausted"


def test_a_late_word_ends_the_search_at_any_time() -> None:
    world = World()
    payment = lost(world)
    world.later(seconds=5 * 86400)
    assert world.answer(payment, CHARGED, Source.WEBHOOK).state is State.CAPTURED


def test_absence_is_not_believed_while_a_replay_may_be_under_way() -> None:
    world = World()
    payment = lost(world)
    world.later(seconds=14 * MINUTE)
    payment = world.answer(payment, LOST, Source.REPLAY)
    world.later(seconds=29)
    payment = world.answer(payment, ABSENT, Source.INQUIRY)
    assert payment.state is State.OUTCOME_UNKNOWN
    world.later(seconds=60)
    assert world.answer(payment, ABSENT, Source.INQUIRY).state is State.FAILED
