"""Four opinions of one payment: in healthy ones all agree, and each single lie is found and named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain import decide
from payorch.domain.events import Event
from payorch.domain.evolve import evolve
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.movements import TO_THE_MERCHANT, movements
from payorch.domain.opinions import Booked, Moved, Opinions, in_words, net_minor, opinions, ours_in_words
from payorch.domain.outcome import Approved, Declined, ErrorClass, Failure, NotExecuted, Source
from payorch.domain.payment import State
from payorch.domain.records import OperationKind, Payment
from payorch.domain.settlement import RowKind, SettlementState
from tests.domain.worlds import LOST, World, declined

DAY = date(2027, 3, 2)


def ledger_of(events: Sequence[Event], settlement: SettlementState = SettlementState.PENDING) -> list[Moved]:
    """What the journal would have written with these events."""
    payment: Payment | None = None
    found = []
    for event in events:
        before, payment = payment, evolve(payment, event)
        found += [Moved(kind=one.kind, amount=one.amount, settlement=settlement) for one in movements(before, payment, event)]
    return found


def lines_of(ledger: Sequence[Moved]) -> list[Booked]:
    """A report that has each of them, with a fee."""
    lines = []
    for one in ledger:
        gross = one.amount if one.kind in TO_THE_MERCHANT else Money(-one.amount.minor, one.amount.currency)
        fee = Money(7, "EUR")
        lines.append(Booked(kind=RowKind(one.kind), gross=gross, fee=fee, net=gross - fee, day=DAY, matched=True))
    return lines


class Life:
    """A payment that was captured in parts and refunded in parts, each said by the PSP in one of the ways that PSPs have."""

    def __init__(self, captures: Sequence[int], refunds: Sequence[int], *, totals: bool) -> None:
        self.world = World()
        payment = self.world.answer(self.world.pay(capture=CaptureMode.MANUAL), Approved(), amount=Money(2000, "EUR"))
        captured = refunded = 0
        for n, minor in enumerate(captures):
            final = n == len(captures) - 1
            payment = self.world.command(payment, lambda story, m=minor, f=final: decide.capture(story, m, final=f))  # type: ignore[misc]
            captured += minor
            more: Any = {"captured": Money(captured, "EUR")} if totals else {}
            payment = self.world.answer_operation(payment, OperationKind.CAPTURE, Approved(captured=True), **more)
        for minor in refunds:
            payment = self.world.command(payment, lambda story, m=minor: decide.refund(story, m))  # type: ignore[misc]
            refunded += minor
            more = {"refunded": Money(refunded, "EUR")} if totals else {"amount": Money(minor, "EUR")}
            payment = self.world.answer_operation(payment, OperationKind.REFUND, Approved(), **more)
        self.payment = payment
        self.captured, self.refunded = captured, refunded
        self.ledger = ledger_of(self.world.events, SettlementState.SETTLED)
        self.lines = lines_of(self.ledger)

    def opinions(self, **changed: Any) -> Opinions:
        told: Any = {"payment": self.payment, "events": self.world.events, "ledger": self.ledger, "lines": self.lines} | changed
        return opinions(told["payment"], told["events"], told["ledger"], told["lines"])


@st.composite
def lives(draw: st.DrawFn) -> Life:
    captures = draw(st.lists(st.integers(1, 700), min_size=1, max_size=2))
    left, refunds = sum(captures), []
    for _ in range(draw(st.integers(0, 2))):
        if left > 1:
            refunds.append(draw(st.integers(1, left - 1)))
            left -= refunds[-1]
    return Life(captures, refunds, totals=draw(st.booleans()))


@given(lives())
def test_in_a_healthy_payment_all_agree(life: Life) -> None:
    found = life.opinions()
    assert (found.agree, found.disagreements) == (True, ())
    assert found.psp is not None
    assert (found.ours.captured, found.ledger.captured, found.psp.sums.captured) == (life.captured,) * 3
    assert (found.ours.refunded, found.ledger.refunded, found.psp.sums.refunded or 0) == (life.refunded,) * 3
    assert (found.settlement, found.gross, net_minor(found.ledger)) == (SettlementState.SETTLED, net_minor(found.ours), found.gross)
    assert found.fee == Money(7 * len(life.lines), "EUR")


@given(lives(), st.integers(1, 500))
def test_a_ledger_that_lies_is_named(life: Life, by: int) -> None:
    first = life.ledger[0]
    wrong = [replace(first, amount=Money(first.amount.minor + by, "EUR")), *life.ledger[1:]]
    found = life.opinions(ledger=wrong)
    assert found.agree is False
    assert any("our state" in one and "the ledger says" in one and "captured" in one for one in found.disagreements)


@given(lives())
def test_a_ledger_that_misses_an_entry_is_named(life: Life) -> None:
    assert life.opinions(ledger=life.ledger[:-1]).agree is False


@given(lives(), st.integers(1, 500))
def test_a_report_that_lies_is_named(life: Life, by: int) -> None:
    last = life.lines[-1]
    wrong = [*life.lines[:-1], replace(last, gross=Money(last.gross.minor + by, "EUR"))]
    found = life.opinions(lines=wrong)
    if last.kind is RowKind.CAPTURE or by != -2 * last.gross.minor:
        assert found.agree is False
        (why,) = found.disagreements
        assert why.startswith("the settlement report books")


@given(lives(), st.integers(1, 500))
def test_a_state_that_lies_is_named(life: Life, by: int) -> None:
    capture = life.payment.operations[0]
    wrong = replace(
        life.payment, operations=(replace(capture, amount=Money(capture.amount.minor + by, "EUR")), *life.payment.operations[1:])
    )
    found = life.opinions(payment=wrong)
    assert found.agree is False
    assert {one.partition(",")[2].split(" says ")[0].strip() for one in found.disagreements} == {"the ledger", "the PSP"}


@given(lives(), st.integers(1, 500))
def test_a_psp_that_says_something_else_is_named(life: Life, by: int) -> None:
    life.world.weigh(
        life.payment, life.payment.attempts[0].id, Approved(captured=True), Source.INQUIRY, captured=Money(life.captured + by, "EUR"),
        amount=Money(2000, "EUR"),
    )  # fmt: skip
    found = life.opinions()
    assert found.psp is not None
    assert found.psp.sums.captured == life.captured + by
    assert any("the PSP says" in one for one in found.disagreements)


def test_a_charge_in_one_step() -> None:
    world = World()
    payment = world.answer(world.pay(), Approved(captured=True))
    found = opinions(payment, world.events, ledger_of(world.events), [])
    assert (found.agree, found.settlement, found.gross, found.postings) == (True, SettlementState.PENDING, None, 1)
    assert found.psp is not None
    assert (found.psp.sums.captured, found.psp.sums.refunded, found.psp.source) == (2000, None, Source.RESPONSE)
    assert (ours_in_words(payment), in_words(found.ledger, "EUR")) == ("captured 20.00 EUR", "captured 20.00 EUR")
    # An older word of the same PSP takes nothing back.
    world.weigh(payment, payment.attempts[0].id, Approved(), Source.WEBHOOK)
    assert opinions(payment, world.events, ledger_of(world.events), []).agree is True


def test_what_nobody_knows_is_no_disagreement() -> None:
    world = World()
    payment = world.answer(world.pay(), LOST)
    found = opinions(payment, world.events, [], [])
    assert (found.agree, found.psp, found.ours.captured, ours_in_words(payment)) == (None, None, 0, "not known")


def test_what_never_was_agrees() -> None:
    world = World()
    payment = world.answer(world.pay(), declined(ErrorClass.HARD_DECLINE))
    found = opinions(payment, world.events, [], [])
    assert (payment.state, found.agree, ours_in_words(payment)) == (State.FAILED, True, "no money moved")
    assert found.psp is not None
    assert found.psp.sums.captured == 0
    held = World()
    payment = held.answer(held.pay(capture=CaptureMode.MANUAL), Approved())
    assert ours_in_words(payment) == "holds 20.00 EUR"
    assert opinions(payment, held.events, [], []).agree is True


def test_a_capture_that_was_taken_back_is_a_headline() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL), Approved())
    payment = world.command(payment, lambda story: decide.capture(story, None))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(captured=True))
    capture = payment.operations[0]
    failure = declined(ErrorClass.OPERATION_NOT_ALLOWED)
    assert isinstance(failure, Declined)
    after = world.weigh(payment, capture.id, failure, Source.WEBHOOK)
    found = opinions(after, world.events, ledger_of(world.events), [])
    assert found.psp is not None
    assert found.psp.sums.captured == 0
    # Told from the books before: the state would still say that it was captured.
    stale = opinions(payment, world.events, ledger_of(world.events), [])
    assert [one.split(",")[1].split(" says")[0] for one in stale.disagreements] == [" the ledger", " the PSP"]


@pytest.mark.parametrize(("status", "agree"), [(SettlementState.MISMATCHED, False), (SettlementState.MANUALLY_REVIEWED, True)])
def test_an_open_finding_is_a_disagreement_and_a_reviewed_one_is_not(status: SettlementState, agree: bool) -> None:
    life = Life([1000], [], totals=False)
    ledger = [replace(one, settlement=status) for one in life.ledger]
    lines = [replace(life.lines[0], gross=Money(900, "EUR"))]
    assert life.opinions(ledger=ledger, lines=lines).agree is agree


def test_a_tolerance_lets_pass_what_matching_let_pass() -> None:
    life = Life([1000], [], totals=False)
    lines = [replace(life.lines[0], gross=Money(999, "EUR"))]
    assert opinions(life.payment, life.world.events, life.ledger, lines).agree is False
    assert opinions(life.payment, life.world.events, life.ledger, lines, let_pass_minor=1).agree is True


@pytest.mark.parametrize("source", [Source.INQUIRY, Source.REPLAY])
@pytest.mark.parametrize("sent", [False, True])
def test_a_look_that_never_came_through_is_nobodys_word(source: Source, sent: bool) -> None:
    """A circuit that is open, or a PSP that turns our question away, says nothing about the money of the payment that was asked about."""
    world = World()
    payment = world.answer(world.pay(), LOST)
    kept_back = NotExecuted(failure=Failure(error_class=ErrorClass.NOT_SENT, code="circuit_open", message="Kept back."), sent=sent)
    payment = world.answer(payment, kept_back, source=source)
    found = opinions(payment, world.events, ledger_of(world.events), [])
    assert (payment.state, found.psp, found.agree) == (State.OUTCOME_UNKNOWN, None, None)
