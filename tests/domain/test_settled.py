"""What lines of settlement reports make of a payment: they find out what is unknown, contradict what is known, and say each thing once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from payorch.domain import decide
from payorch.domain.disputes import DisputeReport, DisputeStage, DisputeStatus
from payorch.domain.events import HoldSet
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Finding, Pending, Source
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import Hold, Operation, OperationKind, Origin, Payment
from payorch.domain.settlement import INWARD, RowKind, SettlementRow
from tests.domain.worlds import CHALLENGE, CHARGED, DAY, LOST, World, declined

MANUAL, AUTOMATIC = CaptureMode.MANUAL, CaptureMode.AUTOMATIC
NO = declined(ErrorClass.HARD_DECLINE)
CAPTURE, REFUND, VOID = OperationKind.CAPTURE, OperationKind.REFUND, OperationKind.VOID
PSP = "psp_1"


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


def line(world: World, kind: RowKind, minor: int = 2000, **more: Any) -> SettlementRow:
    """A line of tomorrow's report."""
    gross = eur(minor if kind in INWARD else -minor)
    fields = {"psp_payment": (PSP,), "psp_operation": (f"{kind}_1",), **more}
    return SettlementRow(
        line=7, kind=kind, type="charge", identity="txn_1", booked_on=(world.at + timedelta(days=1)).date(), gross=gross, fee=eur(0),
        net=gross, **fields,
    )  # fmt: skip


def first(payment: Payment) -> str:
    return payment.attempts[0].id


def last(payment: Payment) -> Operation:
    return payment.operations[-1]


def held(world: World) -> Payment:
    return world.answer(world.pay(capture=MANUAL), Approved(), psp_reference=PSP)


def charged(world: World) -> Payment:
    return world.answer(world.pay(), CHARGED, psp_reference=PSP)


def capturing(world: World, minor: int = 2000, *, final: bool = True) -> Payment:
    return world.command(held(world), lambda story: decide.capture(story, minor, final=final))


def captured(world: World) -> Payment:
    return world.answer_operation(capturing(world), CAPTURE, CHARGED)


def refunding(world: World, minor: int = 500) -> Payment:
    return world.command(charged(world), lambda story: decide.refund(story, minor))


def refunded(world: World, minor: int = 500) -> Payment:
    return world.answer_operation(refunding(world, minor), REFUND, Approved(), psp_reference="re_1")


def lost(world: World, payment: Payment, kind: OperationKind | None = None) -> Payment:
    return world.answer(payment, LOST) if kind is None else world.answer_operation(payment, kind, LOST)


def booked_once(world: World, payment: Payment, row: SettlementRow, **more: Any) -> Payment:
    """The line told, and told once more without any effect."""
    payment = world.book(payment, row, **more)
    again = world.book(payment, row, **more)
    if payment.state is not State.MANUAL_REVIEW:  # people see all that comes
        assert again is payment
    return payment


# --- an attempt whose outcome is unknown ------------------------------------------------------------------------------------------------


def unknown(world: World, **how: Any) -> Payment:
    return lost(world, world.pay(**how))


@pytest.mark.parametrize("by", ["ours", "theirs"])
def test_a_capture_finds_out_that_an_unknown_attempt_was_charged(by: str) -> None:
    world = World()
    payment = unknown(world) if by == "ours" else world.answer(world.pay(), LOST, psp_reference=PSP)
    references = (first(payment),) if by == "ours" else ()
    payment = booked_once(world, payment, line(world, RowKind.CAPTURE, our_references=references))
    assert (payment.state, payment.captured_minor) == (State.CAPTURED, 2000)
    assert world.names[-1] == "ResolvedCharged"
    attempt = payment.attempts[0]
    assert (attempt.psp_reference, attempt.money_reference, payment.due_at) == (PSP, "capture_1", None)
    evidence = world.events[-1].data.evidence  # type: ignore[union-attr]
    assert evidence is not None
    assert (evidence.source, '"identity":"txn_1"' in (evidence.raw or "")) == (Source.SETTLEMENT, True)


@pytest.mark.parametrize("steps", [(), (Pending(),), (CHALLENGE,)])
def test_a_capture_is_worth_as_much_before_the_outcome_is_lost(steps: tuple[Finding, ...]) -> None:
    world = World()
    payment = world.pay()
    for step in steps:
        payment = world.answer(payment, step)
    payment = booked_once(world, payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)))
    assert (payment.state, world.names[-1]) == (State.CAPTURED, "ProviderCharged")


def test_a_capture_of_what_was_only_to_be_authorised_is_for_people() -> None:
    world = World()
    payment = unknown(world, capture=MANUAL)
    payment = world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)))
    assert (payment.state, payment.captured_minor) == (State.MANUAL_REVIEW, 0)
    assert world.names[-1] == "IntegrityMismatch"


@pytest.mark.parametrize("row", [{"minor": 1999}, {"gross": Money(2000, "USD")}])
def test_an_amount_that_differs_never_becomes_ours(row: dict[str, Any]) -> None:
    world = World()
    payment = unknown(world)
    told = line(world, RowKind.CAPTURE, row.get("minor", 2000), our_references=(first(payment),))
    if "gross" in row:
        told = SettlementRow(**{**{name: getattr(told, name) for name in told.__struct_fields__}, "gross": row["gross"]})
    payment = world.book(payment, told)
    assert (payment.state, payment.captured_minor, payment.attempts[0].amount) == (State.MANUAL_REVIEW, 0, eur(2000))
    assert world.names[-1] == "IntegrityMismatch"


def test_a_charge_that_was_taken_back_was_one_and_is_for_people() -> None:
    world = World()
    payment = unknown(world)
    payment = world.book(payment, line(world, RowKind.CAPTURE_REVERSED, our_references=(first(payment),)))
    assert payment.state is State.MANUAL_REVIEW
    assert world.names[-2:] == ["ResolvedCharged", "IntegrityMismatch"]


@pytest.mark.parametrize("kind", [RowKind.REFUND, RowKind.REFUND_REVERSED])
def test_a_refund_of_what_is_unknown_makes_the_psp_be_asked(kind: RowKind) -> None:
    world = World()
    payment = unknown(world)
    payment = world.book(payment, line(world, kind, 500, our_references=(first(payment),)))
    assert (payment.state, payment.operations) == (State.OUTCOME_UNKNOWN, ())
    assert payment.due_at == world.at


@pytest.mark.parametrize("kind", [RowKind.CHARGEBACK, RowKind.CHARGEBACK_REVERSED])
def test_a_dispute_of_what_is_unknown_is_kept(kind: RowKind) -> None:
    world = World()
    payment = unknown(world)
    payment = booked_once(world, payment, line(world, kind, our_references=(first(payment),)))
    assert payment.state is State.OUTCOME_UNKNOWN
    assert payment.disputes[0].status is (DisputeStatus.OPENED if kind is RowKind.CHARGEBACK else DisputeStatus.WON)


@pytest.mark.parametrize("kind", [RowKind.FEE, RowKind.PAYOUT, RowKind.CONVERSION, RowKind.ADJUSTMENT])
def test_what_is_of_no_payment_says_nothing(kind: RowKind) -> None:
    world = World()
    payment = unknown(world)
    assert world.book(payment, line(world, kind, our_references=(first(payment),))) is payment


def test_a_line_of_another_connector_or_payment_says_nothing() -> None:
    world = World()
    payment = world.answer(world.pay(), LOST, psp_reference=PSP)
    assert world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)), connector="blind") is payment
    assert world.book(payment, line(world, RowKind.CAPTURE, psp_payment=("psp_2",))) is payment


# --- contradictions ---------------------------------------------------------------------------------------------------------------------


def test_a_charge_of_what_was_declined_is_for_people_with_both_words() -> None:
    world = World()
    payment = world.answer(world.pay(), NO, psp_reference=PSP)
    assert payment.state is State.FAILED
    payment = world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)))
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")
    assert payment.attempts[0].state is AttemptState.CHARGED
    said = [one.data.evidence.source for one in world.events if getattr(one.data, "evidence", None) is not None]  # type: ignore[union-attr]
    assert said == [Source.RESPONSE, Source.SETTLEMENT]


def test_a_capture_of_what_was_voided_is_for_people() -> None:
    world = World()
    payment = world.command(held(world), decide.void)
    payment = world.answer_operation(payment, VOID, Approved())
    assert payment.state is State.CANCELED
    payment = world.book(payment, line(world, RowKind.CAPTURE))
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")


def test_a_capture_of_a_closed_session_is_for_people() -> None:
    world = World()
    payment = world.answer(world.pay(connector="eventual"), CHALLENGE, psp_reference=PSP)
    payment = world.command(payment, decide.cancel)
    assert payment.state is State.CANCELED
    payment = world.book(payment, line(world, RowKind.CAPTURE), connector="eventual")
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "LateSuccess")


def test_a_capture_that_nobody_here_made_is_for_people() -> None:
    world = World()
    payment = world.book(held(world), line(world, RowKind.CAPTURE, 700, psp_operation=("c_7",)))
    assert (payment.state, world.names[-1], payment.captured_minor) == (State.MANUAL_REVIEW, "UnexpectedProviderState", 0)


@pytest.mark.parametrize("state", [State.VOIDING, State.OUTCOME_UNKNOWN])
def test_a_capture_of_nobodys_beside_a_void_is_not_explained_by_it(state: State) -> None:
    world = World()
    payment = world.command(held(world), decide.void)
    payment = lost(world, payment, VOID) if state is State.OUTCOME_UNKNOWN else payment
    assert payment.state is state
    payment = world.book(payment, line(world, RowKind.CAPTURE))
    names = {State.VOIDING: "DiscrepancyRaised", State.OUTCOME_UNKNOWN: "IntegrityMismatch"}
    assert world.names[-1] == names[state]


def test_a_charge_that_failed_late_is_for_people() -> None:
    world = World()
    payment = world.book(charged(world), line(world, RowKind.CAPTURE_REVERSED))
    assert (payment.state, world.names[-1]) == (State.MANUAL_REVIEW, "IntegrityMismatch")


def test_in_review_it_is_kept_for_people_and_moves_nothing() -> None:
    world = World()
    payment = world.answer(world.pay(), CHARGED, psp_reference=PSP, amount=eur(1))
    assert payment.state is State.MANUAL_REVIEW
    after = world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)))
    assert (after.state, world.names[-1]) == (State.MANUAL_REVIEW, "EvidenceRecorded")


def test_while_it_is_set_aside_it_is_only_kept() -> None:
    world = World()
    payment = unknown(world)
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="system")))
    payment = world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),)))
    assert (payment.state, payment.captured_minor, world.names[-1]) == (State.OUTCOME_UNKNOWN, 0, "EvidenceRecorded")


# --- captures ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [LOST, Pending(), None])
@pytest.mark.parametrize("by", ["ours", "payment"])
def test_a_capture_under_way_or_unknown_is_done(step: Finding | None, by: str) -> None:
    world = World()
    payment = capturing(world)
    if step is not None:
        payment = world.answer_operation(payment, CAPTURE, step)
    references = (last(payment).id, first(payment)) if by == "ours" else ()
    payment = booked_once(world, payment, line(world, RowKind.CAPTURE, our_references=references))
    assert (payment.state, last(payment).state, payment.captured_minor) == (State.CAPTURED, OperationState.SUCCEEDED, 2000)
    assert world.names[-1] == ("ResolvedCaptured" if step is LOST else "CaptureSucceeded")


def test_a_capture_that_names_none_is_the_one_of_its_amount() -> None:
    world = World()
    payment = capturing(world, 500, final=False)
    payment = world.command(payment, lambda story: decide.capture(story, 700, final=False))
    for one in payment.operations:
        payment = world.weigh(payment, one.id, LOST)
    payment = world.book(payment, line(world, RowKind.CAPTURE, 700, psp_operation=("c_7",)))
    assert [one.state for one in payment.operations] == [OperationState.UNKNOWN, OperationState.SUCCEEDED]
    payment = world.book(payment, line(world, RowKind.CAPTURE, 500, psp_operation=("c_5",)))
    assert (payment.state, payment.captured_minor) == (State.PARTIALLY_CAPTURED, 1200)


@pytest.mark.parametrize("by", ["ours", "payment"])
def test_a_capture_of_another_amount_is_for_people(by: str) -> None:
    world = World()
    payment = lost(world, capturing(world), CAPTURE)
    references = (last(payment).id,) if by == "ours" else ()
    payment = world.book(payment, line(world, RowKind.CAPTURE, 1999, our_references=references))
    assert (payment.state, payment.captured_minor, world.names[-1]) == (State.MANUAL_REVIEW, 0, "IntegrityMismatch")


def test_a_capture_that_had_failed_was_done_after_all() -> None:
    world = World()
    payment = world.answer_operation(capturing(world), CAPTURE, NO)
    payment = world.book(payment, line(world, RowKind.CAPTURE, our_references=(last(payment).id,)))
    assert (payment.state, payment.captured_minor) == (State.MANUAL_REVIEW, 2000)


def test_a_capture_that_is_known_gives_it_a_name_at_the_most() -> None:
    for make in (charged, captured):
        world = World()
        payment = booked_once(world, make(world), line(world, RowKind.CAPTURE))
        assert (payment.state, payment.captured_minor, world.names[-1]) == (State.CAPTURED, 2000, "EvidenceRecorded")
        world = World()
        payment = make(world)
        assert world.book(payment, line(world, RowKind.CAPTURE, psp_operation=())) is payment


def test_a_capture_that_failed_late_is_for_people() -> None:
    world = World()
    payment = captured(world)
    payment = world.book(payment, line(world, RowKind.CAPTURE_REVERSED, our_references=(last(payment).id,)))
    assert (payment.state, last(payment).state, world.names[-1]) == (State.MANUAL_REVIEW, OperationState.REVERSED, "LateCaptureFailure")


def test_a_reversal_of_what_is_unknown_says_both_in_whichever_order_the_lines_come() -> None:
    for kinds in ((RowKind.CAPTURE, RowKind.CAPTURE_REVERSED), (RowKind.CAPTURE_REVERSED, RowKind.CAPTURE)):
        world = World()
        payment = lost(world, capturing(world), CAPTURE)
        for kind in kinds:
            payment = world.book(payment, line(world, kind, our_references=(last(payment).id,)))
        assert (last(payment).state, payment.captured_minor) == (OperationState.REVERSED, 0)
        assert world.names.count("ResolvedCaptured") == 1


# --- refunds ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [LOST, Pending(), None])
@pytest.mark.parametrize("by", ["ours", "theirs", "payment"])
def test_a_refund_under_way_or_unknown_is_done(step: Finding | None, by: str) -> None:
    world = World()
    payment = refunding(world)
    if step is not None or by == "theirs":
        payment = world.answer_operation(payment, REFUND, step or Pending(), psp_reference="re_1" if by == "theirs" else None)
    references = (last(payment).id,) if by == "ours" else ()
    own = ("re_1",) if by == "theirs" else ()
    payment = booked_once(world, payment, line(world, RowKind.REFUND, 500, our_references=references, psp_operation=own))
    assert (payment.state, payment.refunded_minor, payment.refund_reserved_minor) == (State.CAPTURED, 500, 0)
    assert world.names[-1] == "RefundSucceeded"


def test_a_refund_of_another_amount_is_for_people_and_stays_reserved() -> None:
    world = World()
    payment = lost(world, refunding(world), REFUND)
    payment = world.book(payment, line(world, RowKind.REFUND, 501, our_references=(last(payment).id,)))
    assert (payment.refunded_minor, payment.refund_reserved_minor, last(payment).in_review) == (0, 500, True)
    assert world.names[-1] == "OperationReviewRaised"


def test_a_refund_that_had_failed_was_booked_and_then_given_back() -> None:
    world = World()
    payment = world.answer_operation(refunding(world), REFUND, NO, psp_reference="re_1")
    row = {"psp_operation": ("re_1",)}
    payment = booked_once(world, payment, line(world, RowKind.REFUND, 500, **row))
    assert (payment.refunded_minor, world.names[-1]) == (500, "RefundSucceeded")
    payment = booked_once(world, payment, line(world, RowKind.REFUND_REVERSED, 500, **row))
    assert (payment.refunded_minor, world.names[-1]) == (0, "RefundReversed")
    assert world.book(payment, line(world, RowKind.REFUND, 500, **row)) is payment


def test_a_refund_that_came_back_is_reversed() -> None:
    world = World()
    payment = booked_once(world, refunded(world), line(world, RowKind.REFUND_REVERSED, 500, psp_operation=("re_1",)))
    assert (payment.refunded_minor, last(payment).state) == (0, OperationState.REVERSED)


@pytest.mark.parametrize("connector", ["strong", "blind"])
def test_a_refund_of_nobodys_here_is_taken_into_the_books_without_asking(connector: str) -> None:
    world = World(preference=(connector, "strong"))
    payment = world.answer(world.pay(), CHARGED, psp_reference=PSP)
    payment = booked_once(world, payment, line(world, RowKind.REFUND, 300, psp_operation=("re_9",)), connector=connector)
    assert (payment.refunded_minor, last(payment).origin, last(payment).psp_reference) == (300, Origin.PROVIDER, "re_9")
    assert payment.state is State.CAPTURED


def test_a_refund_of_nobodys_here_is_told_from_one_of_ours_that_is_unknown() -> None:
    world = World()
    payment = lost(world, refunding(world), REFUND)
    payment = world.book(payment, line(world, RowKind.REFUND, 300, psp_operation=("re_9",)))
    assert (payment.refunded_minor, payment.refund_reserved_minor) == (300, 500)


def test_a_refund_that_a_total_had_told_of_gets_its_name() -> None:
    world = World()
    payment = charged(world)
    payment = world.weigh(payment, first(payment), CHARGED, Source.INQUIRY, psp_reference=PSP, refunded=eur(300))
    assert (payment.refunded_minor, last(payment).psp_reference) == (300, None)
    payment = booked_once(world, payment, line(world, RowKind.REFUND, 300, psp_operation=("re_9",)))
    assert (payment.refunded_minor, len(payment.operations), last(payment).psp_reference) == (300, 1, "re_9")


def test_another_refund_at_the_psp_under_our_name_is_shown_to_people() -> None:
    world = World()
    payment = refunded(world)
    payment = world.book(payment, line(world, RowKind.REFUND, 500, our_references=(last(payment).id,), psp_operation=("re_2",)))
    assert (payment.refunded_minor, world.names[-1]) == (500, "DiscrepancyRaised")


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def reported(world: World, payment: Payment, status: DisputeStatus, stage: DisputeStage = DisputeStage.DISPUTE) -> DisputeReport:
    return DisputeReport(
        attempt_id=first(payment), psp_reference="dp_1", stage=stage, status=status, amount=eur(2000), at=world.later(seconds=60)
    )


def test_a_chargeback_that_nobody_told_of_is_a_dispute() -> None:
    world = World()
    payment = booked_once(world, charged(world), line(world, RowKind.CHARGEBACK, psp_operation=("dp_1",)))
    assert [(one.psp_reference, one.stage, one.status) for one in payment.disputes] == [
        ("dp_1", DisputeStage.DISPUTE, DisputeStatus.OPENED)
    ]
    assert payment.disputed_minor == 2000
    assert world.events[-1].data.source is Source.SETTLEMENT  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [DisputeStatus.OPENED, DisputeStatus.CHALLENGED, DisputeStatus.LOST])
def test_a_chargeback_of_a_dispute_that_is_known_changes_nothing(status: DisputeStatus) -> None:
    world = World()
    payment = charged(world)
    payment = world.hear(payment, disputes=(reported(world, payment, status),))
    assert world.book(payment, line(world, RowKind.CHARGEBACK, psp_operation=("dp_1",))) is payment


def test_a_warning_becomes_a_dispute() -> None:
    world = World()
    payment = charged(world)
    payment = world.hear(payment, disputes=(reported(world, payment, DisputeStatus.OPENED, DisputeStage.PRE_DISPUTE),))
    assert payment.disputed_minor == 0
    payment = booked_once(world, payment, line(world, RowKind.CHARGEBACK, psp_operation=("dp_1",)))
    assert (len(payment.disputes), payment.disputed_minor) == (2, 2000)


def test_what_was_won_and_is_taken_again_later_is_disputed_once_more() -> None:
    world = World()
    payment = charged(world)
    for status in (DisputeStatus.OPENED, DisputeStatus.WON):
        payment = world.hear(payment, disputes=(reported(world, payment, status),))
    old = line(world, RowKind.CHARGEBACK, psp_operation=("dp_1",), booked_at=world.at - timedelta(days=3))
    assert world.book(payment, old) is payment
    world.later(seconds=3 * DAY)
    payment = booked_once(world, payment, line(world, RowKind.CHARGEBACK, psp_operation=("dp_1",)))
    assert (payment.disputes[-1].stage, payment.disputed_minor) == (DisputeStage.PRE_ARBITRATION, 2000)


@pytest.mark.parametrize("known", [DisputeStatus.OPENED, DisputeStatus.LOST, None])
def test_a_chargeback_that_is_given_back_is_won(known: DisputeStatus | None) -> None:
    world = World()
    payment = charged(world)
    if known is not None:
        payment = world.hear(payment, disputes=(reported(world, payment, known),))
    world.later(seconds=2 * DAY)
    payment = booked_once(world, payment, line(world, RowKind.CHARGEBACK_REVERSED, psp_operation=("dp_1",)))
    assert (payment.disputes[-1].status, payment.disputed_minor) == (DisputeStatus.WON, 0)
    assert world.names.count("DisputeOpened") == 1


def test_a_dispute_without_an_id_is_the_one_of_its_amount() -> None:
    world = World()
    payment = charged(world)
    payment = world.hear(payment, disputes=(reported(world, payment, DisputeStatus.OPENED),))
    assert world.book(payment, line(world, RowKind.CHARGEBACK, psp_operation=())) is payment


# --- what it is not ---------------------------------------------------------------------------------------------------------------------


def test_it_is_no_look_and_takes_no_step_of_a_search() -> None:
    world = World()
    payment = unknown(world)
    payment = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="system")))
    before = payment.attempts[0]
    world.later(seconds=DAY)
    after = world.book(payment, line(world, RowKind.CAPTURE, our_references=(first(payment),))).attempts[0]
    assert (after.next_action_at, after.pursuit) == (before.next_action_at, before.pursuit)


def test_a_notice_that_names_a_capture_by_its_payment_is_about_the_same_one_afterwards() -> None:
    world = World()
    payment = lost(world, capturing(world), CAPTURE)
    payment = world.book(payment, line(world, RowKind.CAPTURE, our_references=(last(payment).id,), psp_operation=("ch_1",)))
    assert last(payment).psp_reference == "ch_1"
    payment = world.hear(payment, (last(payment).id, CHARGED), psp_reference=PSP)
    assert "DiscrepancyRaised" not in world.names
