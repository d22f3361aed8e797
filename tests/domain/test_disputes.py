"""Disputes: each stage a small machine that only goes on, whatever order its words come in, and what it takes from the merchant's money."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain import decide
from payorch.domain.announcements import announcements
from payorch.domain.disputes import DISPUTE_EDGES, Dispute, DisputeReport, DisputeStage, DisputeStatus, disputed_minor
from payorch.domain.events import Discrepancy, DisputeChange, DisputeOpened, HoldSet
from payorch.domain.evolve import evolve
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass
from payorch.domain.payment import Command, IllegalTransition, Name, State
from payorch.domain.records import Hold, OperationKind, Payment
from tests.domain.worlds import CHALLENGE, CHARGED, LOST, START, World, declined

PRE, DISPUTE, ARBITRATION = DisputeStage
OPENED, CHALLENGED, ACCEPTED, EXPIRED, CANCELLED, WON, LOST_IT = DisputeStatus
OPEN = (OPENED, CHALLENGED, ACCEPTED, EXPIRED)
TAKEN = (*OPEN, LOST_IT)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def report(payment: Payment, status: DisputeStatus = OPENED, *, day: float = 0, **changes: Any) -> DisputeReport:
    """A word about the one dispute, as it was on that day of the PSP's."""
    fields: dict[str, Any] = {
        "attempt_id": payment.attempts[-1].id, "psp_reference": "dp_1", "stage": DISPUTE, "status": status, "amount": eur(1500),
        "at": START + timedelta(days=day), "reason": "fraudulent",
    }  # fmt: skip
    return DisputeReport(**fields | changes)


def charged(world: World) -> Payment:
    return world.answer(world.pay(), CHARGED, psp_reference="psp_1")


def hear(world: World, payment: Payment, *told: DisputeReport) -> Payment:
    """Each in a notice of its own, a while after the one before."""
    for one in told:
        world.later(seconds=60)
        payment = world.hear(payment, disputes=(one,))
    return payment


# --- one stage --------------------------------------------------------------------------------------------------------------------------


def test_a_dispute_is_opened_with_all_that_is_said_of_it() -> None:
    world = World()
    payment = charged(world)
    until = START + timedelta(days=7)
    told = report(payment, respond_by=until, raw='{"id":"dp_1"}')
    payment = hear(world, payment, told)
    [dispute] = payment.disputes
    assert dispute == Dispute(
        id=dispute.id, attempt_id=payment.attempts[0].id, psp_reference="dp_1", stage=DISPUTE, status=OPENED, amount=eur(1500),
        created_at=world.at, updated_at=world.at, told_at=told.at, reason="fraudulent", respond_by=until,
    )  # fmt: skip
    assert dispute.id.startswith("dsp_")
    assert world.events[-1].data == DisputeOpened(dispute=dispute, raw='{"id":"dp_1"}')
    assert (payment.state, world.events[-1].actor) == (State.CAPTURED, "psp:strong")


def test_what_changes_is_told_with_its_moment_and_what_is_left_unsaid_stays() -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment, respond_by=START + timedelta(days=7)))
    opened = payment.disputes[0]
    payment = hear(world, payment, report(payment, CHALLENGED, day=1, amount=eur(900), reason=None, raw="{}"))
    [dispute] = payment.disputes
    assert (dispute.status, dispute.amount, dispute.reason, dispute.respond_by) == (CHALLENGED, eur(900), "fraudulent", opened.respond_by)
    assert (dispute.id, dispute.created_at, dispute.updated_at) == (opened.id, opened.created_at, world.at)
    change = world.events[-1].data
    assert isinstance(change, DisputeChange)
    assert change.raw == "{}"


def test_the_table_is_total_and_nothing_that_is_over_begins_again() -> None:
    assert set(DISPUTE_EDGES) == set(DisputeStatus)
    for status, after in DISPUTE_EDGES.items():
        assert status not in after
        assert OPENED not in after
    assert all(not {OPENED, CHALLENGED, ACCEPTED, EXPIRED} & DISPUTE_EDGES[over] for over in (ACCEPTED, EXPIRED, CANCELLED, WON, LOST_IT))


@pytest.mark.parametrize(("known", "told"), list(product(DisputeStatus, DisputeStatus)))
@pytest.mark.parametrize("day", [1, 0, -1])
def test_a_status_only_goes_on(known: DisputeStatus, told: DisputeStatus, day: int) -> None:
    """The whole table: whatever is known, whatever is told, whether by a later word, one of the same moment, or an older one."""
    world = World()
    payment = hear(world, charged(world), report(charged(World()), known))
    before = len(world.events)
    payment = hear(world, payment, report(payment, told, day=day))
    new = world.names[before:]
    ways = {known, told}
    otherwise = LOST_IT in ways and bool(ways & {WON, CANCELLED})
    goes_on = told in DISPUTE_EDGES[known] and (day > 0 or not otherwise)
    assert payment.disputes[0].status is (told if goes_on else known)
    assert new == (["DiscrepancyRaised"] if otherwise and goes_on else []) + (["DisputeUpdated"] if goes_on else [])
    assert payment.state is State.CAPTURED


@pytest.mark.parametrize("status", DisputeStatus)
@pytest.mark.parametrize("day", [0, 1])
def test_the_same_again_says_nothing(status: DisputeStatus, day: int) -> None:
    world = World()
    payment = hear(world, charged(world), report(charged(World()), status))
    assert world.hear(payment, disputes=(report(payment, status, day=day),)) is payment
    assert world.hear(payment, disputes=(report(payment, status, reason=None),) * 3) is payment


def test_of_two_words_of_the_same_standing_the_later_counts() -> None:
    for days in permutations((1, 2, 3)):
        world = World()
        payment = charged(world)
        payment = hear(world, payment, *[report(payment, day=day, amount=eur(day * 100), reason=f"day {day}") for day in days])
        assert (payment.disputes[0].amount, payment.disputes[0].reason) == (eur(300), "day 3")


def test_a_word_of_a_record_from_before_there_were_moments_counts() -> None:
    dispute = Dispute(
        id="dsp_1", attempt_id="att_1", psp_reference="dp_1", stage=DISPUTE, status=WON, amount=eur(1), created_at=START, updated_at=START
    )  # fmt: skip
    said = DisputeReport(attempt_id="att_1", psp_reference="dp_1", stage=DISPUTE, status=LOST_IT, amount=eur(1), at=START)
    assert dispute.told(said).status is LOST_IT


@pytest.mark.parametrize(("first", "then"), [(WON, LOST_IT), (LOST_IT, WON), (CANCELLED, LOST_IT), (LOST_IT, CANCELLED)])
def test_an_end_that_turns_round_is_taken_and_people_hear_of_it(first: DisputeStatus, then: DisputeStatus) -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment, first), report(payment, then, day=1))
    assert payment.disputes[0].status is then
    doubt = world.events[-2].data
    assert isinstance(doubt, Discrepancy)
    assert (doubt.kind, doubt.subject_id) == ("dispute_contradicted", payment.disputes[0].id)
    assert doubt.detail == f"the PSP said that dispute dp_1 was {first}, and now says that it was {then}"
    raised = world.names.count("DiscrepancyRaised")
    again = hear(world, payment, report(payment, first), report(payment, then, day=1))
    assert (again.disputes[0].status, world.names.count("DiscrepancyRaised")) == (then, raised), "the older word comes again"


LIVES = [
    (OPENED,), (OPENED, CHALLENGED), (OPENED, CHALLENGED, WON), (OPENED, CHALLENGED, LOST_IT), (OPENED, ACCEPTED, LOST_IT),
    (OPENED, EXPIRED, LOST_IT), (OPENED, EXPIRED, CANCELLED), (OPENED, CANCELLED), (OPENED, CHALLENGED, CANCELLED),
    (OPENED, CHALLENGED, WON, LOST_IT), (OPENED, CHALLENGED, LOST_IT, WON), (CHALLENGED, ACCEPTED, LOST_IT, CANCELLED),
]  # fmt: skip


@given(data=st.data(), statuses=st.sampled_from(LIVES))
@settings(max_examples=200, deadline=None)
def test_whatever_order_its_words_come_in_it_ends_the_same(data: st.DataObject, statuses: tuple[DisputeStatus, ...]) -> None:
    """Each said once or several times, the amount falling; heard in any order, as often as anybody likes."""
    payment = charged(World())
    said = [status for status in statuses for _ in range(data.draw(st.integers(1, 2)))]
    life = [report(payment, status, day=day, amount=eur(2000 - day)) for day, status in enumerate(said)]
    again = data.draw(st.lists(st.sampled_from(life), max_size=4))
    heard = data.draw(st.permutations([*life, *again]))

    def told(*reports: DisputeReport) -> tuple[object, ...]:
        world = World()
        [dispute] = hear(world, charged(world), *reports).disputes
        return dispute.status, dispute.amount, dispute.told_at

    assert told(*heard) == told(*life) == (life[-1].status, life[-1].amount, life[-1].at)


def test_a_record_stays_in_its_currency() -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment), report(payment, CHALLENGED, day=1, amount=Money(99, "JPY")))
    assert (payment.disputes[0].status, payment.disputes[0].amount) == (CHALLENGED, eur(1500))


# --- which one ------------------------------------------------------------------------------------------------------------------------


def test_each_dispute_and_each_of_its_stages_is_a_record() -> None:
    world = World()
    payment = charged(world)
    names = [(reference, stage) for reference in ("dp_1", "dp_2") for stage in DisputeStage]
    for _ in range(2):
        payment = hear(world, payment, *[report(payment, psp_reference=reference, stage=stage) for reference, stage in names])
    assert [(one.psp_reference, one.stage) for one in payment.disputes] == names
    assert len({one.id for one in payment.disputes}) == len(names)
    payment = hear(world, payment, report(payment, LOST_IT, day=1, psp_reference="dp_2", stage=PRE))
    assert [(one.psp_reference, one.stage) for one in payment.disputes if one.status is LOST_IT] == [("dp_2", PRE)]


def test_the_same_name_at_another_psp_is_another_dispute_and_at_the_same_psp_the_same() -> None:
    world = World()
    payment = world.answer(world.pay(), declined(ErrorClass.SOFT_TRY_OTHER))
    payment = world.answer(payment, CHARGED)
    first, second = payment.attempts
    assert first.connector != second.connector
    payment = hear(world, payment, report(payment, attempt_id=first.id), report(payment, attempt_id=second.id))
    assert [one.attempt_id for one in payment.disputes] == [first.id, second.id]
    payment = hear(world, payment, report(payment, CHALLENGED, attempt_id=first.id))
    assert [one.status for one in payment.disputes] == [CHALLENGED, OPENED]


def test_of_an_attempt_that_is_not_the_payments_nothing_is_told() -> None:
    world = World()
    payment = charged(world)
    assert world.hear(payment, disputes=(report(payment, attempt_id="att_other"),)) is payment
    assert world.hear(payment, disputes=(report(payment, attempt_id=payment.id),)) is payment


def test_one_notice_may_tell_of_several_and_of_one_twice() -> None:
    world = World()
    payment = charged(world)
    told = (report(payment), report(payment, psp_reference="dp_2"), report(payment, CHALLENGED, day=1))
    payment = world.hear(payment, disputes=told)
    assert [(one.psp_reference, one.status) for one in payment.disputes] == [("dp_1", CHALLENGED), ("dp_2", OPENED)]
    assert world.names[-3:] == ["DisputeOpened", "DisputeOpened", "DisputeUpdated"]


# --- the money --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", DisputeStage)
@pytest.mark.parametrize("status", DisputeStatus)
def test_open_and_lost_disputes_take_from_what_can_be_refunded(stage: DisputeStage, status: DisputeStatus) -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment, status, stage=stage))
    taken = 1500 if status in TAKEN and stage is not PRE else 0
    assert (payment.disputed_minor, payment.refundable_minor, payment.captured_minor) == (taken, 2000 - taken, 2000)


def test_of_each_dispute_its_latest_stage_counts_whatever_order_they_are_heard_in() -> None:
    for order in permutations(DisputeStage):
        world = World()
        payment = charged(world)
        ends = {PRE: (LOST_IT, 1), DISPUTE: (LOST_IT, 600), ARBITRATION: (WON, 700)}
        payment = hear(world, payment, *[report(payment, ends[stage][0], stage=stage, amount=eur(ends[stage][1])) for stage in order])
        assert payment.refundable_minor == 2000, "what was lost before was won back in the end"
        payment = hear(world, payment, report(payment, stage=DISPUTE, psp_reference="dp_2", amount=eur(300)))
        assert payment.refundable_minor == 1700, "each for itself"


def test_it_is_never_below_zero_and_another_currency_takes_all() -> None:
    world = World()
    payment = charged(world)
    payment = world.answer_operation(world.command(payment, lambda story: decide.refund(story, 800)), OperationKind.REFUND, Approved())
    payment = hear(world, payment, report(payment, amount=eur(1900)))
    assert payment.refundable_minor == 0
    payment = hear(world, payment, report(payment, WON, day=1, amount=eur(1900)))
    assert payment.refundable_minor == 1200
    payment = hear(world, payment, report(payment, psp_reference="dp_2", amount=Money(1, "JPY")))
    assert (payment.disputed_minor, payment.refundable_minor) == (2000, 0)
    assert disputed_minor((), eur(2000)) == 0


@pytest.mark.parametrize(("asked", "rest"), [(600, 500), (None, 0)])
def test_a_refund_beyond_it_is_refused_in_words_and_within_it_made(asked: int | None, rest: int) -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment, amount=eur(2000 - rest)))
    with pytest.raises(decide.Refused, match=rf"At most {rest} minor units .* {2000 - rest} are disputed") as refusal:
        world.command(payment, lambda story: decide.refund(story, asked))
    assert refusal.value.code == "amount_exceeds_refundable"
    assert (Command.REFUND in decide.allowed(payment)) is (rest > 0)
    payment = hear(world, payment, report(payment, WON, day=1, amount=eur(2000 - rest)))
    world.command(payment, lambda story: decide.refund(story, asked))


def test_a_dispute_forbids_no_refund_that_is_under_way() -> None:
    world = World()
    payment = world.command(charged(world), lambda story: decide.refund(story, None))
    payment = hear(world, payment, report(payment, amount=eur(2000)))
    payment = world.answer_operation(payment, OperationKind.REFUND, Approved())
    assert (payment.refunded_minor, payment.refundable_minor) == (2000, 0)


# --- whatever state the payment is in -------------------------------------------------------------------------------------------------


def _held_by_people(world: World) -> Payment:
    payment = charged(world)
    return world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="ann")))


LIVING: dict[str, Callable[[World], Payment]] = {
    "authorizing": lambda world: world.pay(),
    "requires_action": lambda world: world.answer(world.pay(), CHALLENGE),
    "outcome_unknown": lambda world: world.answer(world.pay(), LOST),
    "authorized": lambda world: world.answer(world.pay(capture=CaptureMode.MANUAL), Approved()),
    "capturing": lambda world: world.answer(world.pay(), Approved()),
    "captured": charged,
    "voiding": lambda world: world.command(world.answer(world.pay(capture=CaptureMode.MANUAL), Approved()), decide.void),
    "canceled": lambda world: world.answer(world.pay(), declined(ErrorClass.CUSTOMER_CANCELED)),
    "failed": lambda world: world.answer(world.pay(), declined(ErrorClass.HARD_DECLINE)),
    "manual_review": lambda world: world.answer(world.pay(), CHARGED, amount=eur(1)),
    "held": _held_by_people,
}


@pytest.mark.parametrize("made", LIVING.values(), ids=LIVING)
def test_recording_one_is_legal_at_any_time_and_moves_nothing(made: Callable[[World], Payment]) -> None:
    world = World()
    before = made(world)
    payment = hear(world, before, report(before), report(before, CHALLENGED, day=1), report(before, LOST_IT, day=2))
    assert [one.status for one in payment.disputes] == [LOST_IT]
    assert world.names[-3:] == ["DisputeOpened", "DisputeUpdated", "DisputeUpdated"]
    assert (payment.state, payment.attempts, payment.operations) == (before.state, before.attempts, before.operations)
    assert (payment.due_at, payment.hold, payment.review_reason) == (before.due_at, before.hold, before.review_reason)
    assert payment.refundable_minor >= 0


def test_an_event_that_leads_a_dispute_back_is_illegal() -> None:
    world = World()
    payment = charged(world)
    payment = hear(world, payment, report(payment, LOST_IT))
    for wrong in (OPENED, CHALLENGED, ACCEPTED, EXPIRED):
        back = DisputeChange(dispute=replace(payment.disputes[0], status=wrong))
        with pytest.raises(IllegalTransition):
            world.tell(payment, Name.DISPUTE_UPDATED, back)


# --- who hears of it --------------------------------------------------------------------------------------------------------------------


def test_merchants_hear_of_each_change_once() -> None:
    world = World()
    payment = charged(world)
    before, events = payment, len(world.events)
    payment = hear(world, payment, report(payment), report(payment), report(payment, LOST_IT, day=1), report(payment, WON, day=2))
    told: list[str] = []
    for event in world.events[events:]:
        after = evolve(before, event)
        told += announcements(before, event, after)
        before = after
    assert told == ["dispute.opened", "dispute.updated", "dispute.updated"]
    assert before == payment
