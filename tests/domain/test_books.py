"""Our books against a PSP's, judged without either: worlds in which both agree, and each way in which they may not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.books_words import ABOUT, amount, meaning
from payorch.domain import decide
from payorch.domain.books import (
    Charge,
    Line,
    Movement,
    Standing,
    at_stake,
    compare,
    not_ours,
    standing,
    torn,
)
from payorch.domain.books_findings import INVARIANT, Finding, Kind
from payorch.domain.books_own import Kept, check
from payorch.domain.events import HoldSet, OperationOpened
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Pending, Source
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, TERMINAL, AttemptState, Name, OperationState, State
from payorch.domain.records import Attempt, Hold, Operation, OperationKind, Origin, Payment
from tests.domain.test_random_lives import Life
from tests.domain.worlds import CHALLENGE, CHARGED, LOST, World, declined

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
READ = frozenset({"strong", "eventual", "blind"})


# --- a PSP that did what our books say --------------------------------------------------------------------------------------------------


@dataclass
class Psp:
    """Builds charges line by line; totals follow from the lines."""

    numbers: count[int] = field(default_factory=lambda: count(1))

    def charge(self, attempt: Attempt, *movements: tuple[Movement, int, str | None, str | None]) -> Charge:
        """movements: what, how much, the PSP's id of it, our reference."""
        lines = tuple(
            Line(
                number=next(self.numbers), type=type_, amount=minor, currency=attempt.amount.currency, operation=operation,
                operation_reference=reference,
            )
            for type_, minor, operation, reference in movements
            if minor
        )  # fmt: skip
        return totalled(
            Charge(
                psp=attempt.connector, payment=f"pi_{attempt.id}", our_reference=attempt.id, currency=attempt.amount.currency,
                amount=attempt.amount.minor, authorized=0, held=0, captured=0, released=0, refunded=0, refunding=0, lines=lines,
            )
        )  # fmt: skip


def totalled(charge: Charge) -> Charge:
    """The charge with the totals that its lines make."""

    def of(*types: Movement) -> int:
        return sum(line.amount for line in charge.lines if line.type in types)

    captured = of(Movement.CAPTURED) - of(Movement.CAPTURE_FAILED)
    released = of(Movement.RELEASED, Movement.VOIDED, Movement.EXPIRED, Movement.CAPTURE_FAILED)
    return replace(
        charge,
        authorized=of(Movement.AUTHORIZED),
        captured=captured,
        released=released,
        held=of(Movement.AUTHORIZED) - captured - released,
        refunded=of(Movement.REFUNDED) - of(Movement.REFUND_FAILED),
    )


def mirrored(payment: Payment, chance: Callable[[], bool] = lambda: False) -> list[Charge]:
    """The books of PSPs that did exactly what the payment says; what is open there was done where `chance` says so."""
    psp = Psp()
    return [charge for attempt in payment.attempts if (charge := _mirror(psp, payment, attempt, chance)).lines]


def _mirror(psp: Psp, payment: Payment, attempt: Attempt, chance: Callable[[], bool]) -> Charge:
    unsure = attempt.state in OPEN_ATTEMPT and chance()
    holds = attempt.state in (AttemptState.AUTHORIZED, AttemptState.CHARGED)
    if not (holds or attempt.held_since is not None or unsure):
        return psp.charge(attempt)
    made: list[tuple[Movement, int, str | None, str | None]] = [(Movement.AUTHORIZED, attempt.amount.minor, "ch_1", None)]
    held = attempt.amount.minor
    if attempt.state is AttemptState.CHARGED or (unsure and payment.intent.capture is CaptureMode.AUTOMATIC):
        made.append((Movement.CAPTURED, held, "ch_1", None))
        held = 0
    for one in payment.operations:
        if one.attempt_id == attempt.id:
            done = one.state in (OperationState.SUCCEEDED, OperationState.REVERSED) or (one.state in OPEN_OPERATION and chance())
            made += _movements(one, done)
            held -= one.amount.minor if one.kind is CAPTURE and done else 0
            if one.kind is VOID and one.state in OPEN_OPERATION and done:
                made.append((Movement.VOIDED, max(0, held), "ch_1", None))
                held = 0
    if attempt.state is AttemptState.VOIDED or (payment.state in TERMINAL and not unsure):
        made.append((Movement.VOIDED, max(0, held), "ch_1", None))
    return psp.charge(attempt, *made)


def _movements(one: Operation, done: bool) -> list[tuple[Movement, int, str | None, str | None]]:
    if not done or one.kind is VOID:
        return []
    minor, theirs = one.amount.minor, one.psp_reference or f"op_{one.id}"
    # What was done at the PSP itself has no reference of ours; of a capture it has no id of its own either.
    ours = None if one.origin is Origin.PROVIDER else one.id
    if one.kind is CAPTURE:
        failed = [(Movement.CAPTURE_FAILED, minor, "ch_1", None)] if one.state is OperationState.REVERSED else []
        return [(Movement.CAPTURED, minor, "ch_1", ours), *failed]
    back = [(Movement.REFUND_FAILED, minor, theirs, ours)] if one.state is OperationState.REVERSED else []
    return [(Movement.REFUNDED, minor, theirs, ours), *back]


# --- payments to judge ------------------------------------------------------------------------------------------------------------------


def authorized() -> tuple[World, Payment]:
    world = World()
    return world, world.answer(world.pay(capture=CaptureMode.MANUAL), Approved())


def captured(*minors: int) -> tuple[World, Payment]:
    world, payment = authorized()
    for minor in minors or (2000,):
        payment = world.command(payment, lambda story, minor=minor: decide.capture(story, minor))  # type: ignore[misc]
        payment = world.answer_operation(payment, CAPTURE, Approved(captured=True))
    return world, payment


def charged() -> tuple[World, Payment]:
    world = World()
    return world, world.answer(world.pay(), CHARGED)


def refunded(*minors: int) -> tuple[World, Payment]:
    world, payment = captured()
    for minor in minors:
        payment = world.command(payment, lambda story, minor=minor: decide.refund(story, minor))  # type: ignore[misc]
        payment = world.answer_operation(payment, REFUND, Approved())
    return world, payment


def voided() -> tuple[World, Payment]:
    world, payment = authorized()
    return world, world.answer_operation(world.command(payment, decide.void), VOID, Approved())


def failed() -> tuple[World, Payment]:
    world = World()
    return world, world.answer(world.pay(), declined(ErrorClass.HARD_DECLINE))


def failed_over() -> tuple[World, Payment]:
    world = World()
    return world, world.answer(world.answer(world.pay(), declined(ErrorClass.SOFT_TRY_OTHER)), CHARGED)


SETTLED = {
    "authorized": authorized,
    "captured": captured,
    "captured in parts": lambda: captured(500, 700, 800),
    "partially captured": lambda: captured(500, 700),
    "charged": charged,
    "refunded": lambda: refunded(500, 1500),
    "voided": voided,
    "failed": failed,
    "failed over": failed_over,
}


@pytest.mark.parametrize("which", SETTLED)
def test_where_both_agree_nothing_is_found(which: str) -> None:
    _, payment = SETTLED[which]()
    assert standing(payment) is Standing.SETTLED
    assert at_stake(payment) == 0
    assert compare(payment, mirrored(payment), READ) == []


@pytest.mark.parametrize("times", [1, 2])
def test_an_automatic_capture_may_have_the_name_of_its_attempt_and_comes_once(times: int) -> None:
    """Some PSPs name what they capture by themselves as the attempt is named; a second one of that name is not ours."""
    _, payment = charged()
    (charge,) = mirrored(payment)
    named = with_lines(charge, lambda line: replace(line, operation_reference=charge.our_reference))
    doubled = more(named, Movement.CAPTURED, 2000, reference=charge.our_reference) if times > 1 else named
    assert kinds(compare(payment, [doubled], READ))[:1] == ([Kind.OPERATION_NOT_OURS] if times > 1 else [])


def kinds(findings: Sequence[Finding]) -> list[Kind]:
    return [one.kind for one in findings]


def with_lines(charge: Charge, change: Callable[[Line], Line | None]) -> Charge:
    return totalled(replace(charge, lines=tuple(made for line in charge.lines if (made := change(line)) is not None)))


def without(*types: Movement) -> Callable[[Line], Line | None]:
    return lambda line: None if line.type in types else line


def more(charge: Charge, type_: Movement, minor: int, *, operation: str | None = "x_1", reference: str | None = None) -> Charge:
    line = Line(
        number=900 + len(charge.lines), type=type_, amount=minor, currency=charge.currency, operation=operation,
        operation_reference=reference,
    )  # fmt: skip
    return totalled(replace(charge, lines=(*charge.lines, line)))


# what the payment is, what the PSP did instead, what is to be found: (kind, ours, theirs)
Planted = tuple[Callable[[], tuple[World, Payment]], Callable[[Charge], Charge], list[tuple[Kind, int, int]]]
PLANTED: dict[str, Planted] = {
    "the hold is gone": (authorized, lambda one: more(one, Movement.EXPIRED, 2000), [(Kind.HELD_DIFFERS, 2000, 0)]),
    "the hold is still there": (voided, lambda one: with_lines(one, without(Movement.VOIDED)), [(Kind.CLOSED_BUT_CHARGED, 0, 2000)]),
    "a rest is still held": (
        lambda: captured(500, 1500),
        lambda one: more(one, Movement.AUTHORIZED, 10),
        [(Kind.HELD_DIFFERS, 0, 10)],
    ),
    "the charge was taken back late": (
        charged,
        lambda one: more(one, Movement.CAPTURE_FAILED, 2000),
        [(Kind.CAPTURE_TAKEN_BACK, 2000, 0)],
    ),
    "the charge never was": (charged, lambda one: with_lines(one, lambda line: None), [(Kind.CAPTURED_DIFFERS, 2000, 0)]),
    "charged less": (
        charged,
        lambda one: with_lines(one, lambda line: replace(line, amount=1500)),
        [(Kind.CAPTURED_DIFFERS, 2000, 1500)],
    ),
    "a capture never was": (
        captured,
        lambda one: with_lines(one, without(Movement.CAPTURED, Movement.VOIDED)),
        [(Kind.OPERATION_MISSING, 2000, 0), (Kind.HELD_DIFFERS, 0, 2000)],
    ),
    "a capture of less": (
        captured,
        lambda one: more(with_lines(one, lambda line: replace(line, amount=1500) if line.type is Movement.CAPTURED else line),
                         Movement.RELEASED, 500),
        [(Kind.OPERATION_DIFFERS, 2000, 1500)],
    ),
    "a capture in the dashboard": (
        authorized,
        lambda one: more(one, Movement.CAPTURED, 2000),
        [(Kind.OPERATION_NOT_OURS, 0, 2000), (Kind.HELD_DIFFERS, 2000, 0)],
    ),
    "a refund never was": (lambda: refunded(700), lambda one: with_lines(one, without(Movement.REFUNDED)),
                           [(Kind.OPERATION_MISSING, 700, 0)]),
    "a refund came back": (
        lambda: refunded(700),
        lambda one: more(one, Movement.REFUND_FAILED, 700, operation=one.lines[-1].operation, reference=one.lines[-1].operation_reference),
        [(Kind.REFUND_TAKEN_BACK, 700, 0)],
    ),
    "a refund twice": (
        lambda: refunded(700),
        lambda one: more(one, Movement.REFUNDED, 700, reference=one.lines[-1].operation_reference),
        [(Kind.OPERATION_DIFFERS, 700, 1400)],
    ),
    "a refund in the dashboard": (charged, lambda one: more(one, Movement.REFUNDED, 300), [(Kind.OPERATION_NOT_OURS, 0, 300)]),
    "a refund of a stranger": (
        charged,
        lambda one: more(one, Movement.REFUNDED, 300, reference="ref_of_somebody"),
        [(Kind.OPERATION_NOT_OURS, 0, 300)],
    ),
    "another amount": (charged, lambda one: replace(one, amount=1999), [(Kind.AMOUNT_DIFFERS, 2000, 1999)]),
    "another currency": (
        charged,
        lambda one: replace(with_lines(one, lambda line: replace(line, currency="JPY")), currency="JPY"),
        [(Kind.CURRENCY_DIFFERS, 2000, 2000)],
    ),
    "another PSP": (
        charged,
        lambda one: replace(one, psp="blind"),
        [(Kind.CHARGE_ELSEWHERE, 0, 2000), (Kind.CAPTURED_DIFFERS, 2000, 0)],
    ),
    "a total without its line": (
        charged,
        lambda one: replace(one, refunded=100),
        [(Kind.LEDGER_TORN, 0, 100), (Kind.REFUNDED_DIFFERS, 0, 100)],
    ),
    "a line without its total": (
        authorized,
        lambda one: replace(one, lines=()),
        [(Kind.LEDGER_TORN, 0, 2000)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_each_difference_is_found_with_its_amounts(what: str) -> None:
    make, change, expected = PLANTED[what]
    _, payment = make()
    [charge] = mirrored(payment)
    found = compare(payment, [change(charge)], READ)
    assert [(one.kind, one.ours, one.theirs) for one in found] == expected
    assert {(one.payment_id, one.connector, one.currency) for one in found} == {(payment.id, "strong", "EUR")}


def test_what_was_declined_and_is_charged_nevertheless() -> None:
    _, payment = failed()
    psp, attempt = Psp(), payment.attempts[0]
    charge = psp.charge(attempt, (Movement.AUTHORIZED, 2000, "ch_1", None), (Movement.CAPTURED, 2000, "ch_1", None))
    [finding] = compare(payment, [charge], READ)
    assert (finding.kind, finding.ours, finding.theirs, finding.subject_id) == (Kind.CLOSED_BUT_CHARGED, 0, 2000, attempt.id)
    assert "FAILED" in finding.detail
    assert "DECLINED" in finding.detail


def test_two_charges_of_one_payment_are_one_too_many_also_where_people_have_it() -> None:
    world, payment = failed_over()
    first = Psp().charge(payment.attempts[0], (Movement.AUTHORIZED, 2000, "ch_9", None))
    found = compare(payment, [first, *mirrored(payment)], READ)
    assert kinds(found) == [Kind.CHARGED_TWICE, Kind.CLOSED_BUT_CHARGED]
    assert (found[0].ours, found[0].theirs) == (2000, 4000)
    reviewed = world.weigh(payment, payment.attempts[0].id, Approved())
    assert reviewed.state is State.MANUAL_REVIEW
    assert kinds(compare(reviewed, [first, *mirrored(payment)], READ)) == [Kind.CHARGED_TWICE]
    given_back = totalled(more(first, Movement.VOIDED, 2000))
    assert compare(reviewed, [given_back, *mirrored(payment)], READ) == []


def test_one_attempt_executed_twice_is_charged_twice() -> None:
    _, payment = charged()
    [charge] = mirrored(payment)
    again = replace(charge, payment="pi_again", lines=tuple(replace(line, number=line.number + 50) for line in charge.lines))
    assert kinds(compare(payment, [charge, again], READ)) == [Kind.CHARGED_TWICE, Kind.OPERATION_NOT_OURS]


def test_a_refund_adopted_from_the_psp_is_known_by_its_id_there() -> None:
    world, payment = captured()
    adopted = Operation(
        id="ref_adopted", kind=REFUND, state=OperationState.SUCCEEDED, origin=Origin.PROVIDER, attempt_id=payment.attempts[0].id,
        amount=Money(300, "EUR"), created_at=world.at, updated_at=world.at, psp_reference="re_1",
    )  # fmt: skip
    payment = world.tell(payment, Name.OPERATION_ADOPTED, OperationOpened(operation=adopted))
    assert compare(payment, mirrored(payment), READ) == []
    [charge] = mirrored(payment)
    elsewhere = with_lines(charge, lambda line: replace(line, operation="re_2") if line.type is Movement.REFUNDED else line)
    assert kinds(compare(payment, [elsewhere], READ)) == [Kind.OPERATION_MISSING, Kind.OPERATION_NOT_OURS]


def test_a_refund_adopted_by_a_total_alone_is_known_by_the_sum() -> None:
    world, payment = captured()
    payment = world.weigh(payment, payment.attempts[0].id, CHARGED, Source.INQUIRY, refunded=Money(300, "EUR"))
    [charge] = mirrored(payment)
    bare = with_lines(charge, lambda line: None if line.type is Movement.REFUNDED else line)
    one, two = more(bare, Movement.REFUNDED, 300), more(more(bare, Movement.REFUNDED, 100), Movement.REFUNDED, 200)
    assert compare(payment, [one], READ) == compare(payment, [two], READ) == []
    assert kinds(compare(payment, [bare], READ)) == [Kind.REFUNDED_DIFFERS]
    assert kinds(compare(payment, [more(one, Movement.REFUNDED, 50)], READ)) == [Kind.OPERATION_NOT_OURS]


def test_a_failed_operation_that_the_psp_did() -> None:
    world, payment = captured()
    payment = world.command(payment, lambda story: decide.refund(story, 400))
    payment = world.answer_operation(payment, REFUND, declined(ErrorClass.OPERATION_NOT_ALLOWED))
    [charge] = mirrored(payment)
    done = more(charge, Movement.REFUNDED, 400, reference=payment.operations[-1].id)
    [finding] = compare(payment, [done], READ)
    assert (finding.kind, finding.ours, finding.theirs, finding.subject_id) == (Kind.OPERATION_DENIED, 0, 400, payment.operations[-1].id)


@pytest.mark.parametrize("happened", [True, False])
def test_what_is_open_is_not_judged_and_its_stake_is_told(happened: bool) -> None:
    world = World()
    unknown = world.answer(world.pay(), LOST)
    assert (standing(unknown), at_stake(unknown)) == (Standing.OPEN, 2000)
    assert compare(unknown, mirrored(unknown, lambda: happened), READ) == []

    waiting = World()
    challenged = waiting.answer(waiting.pay(), CHALLENGE)
    assert (standing(challenged), at_stake(challenged)) == (Standing.OPEN, 2000)

    world, payment = captured(500)
    payment = world.answer_operation(world.command(payment, lambda story: decide.capture(story, 700)), CAPTURE, LOST)
    assert (standing(payment), at_stake(payment)) == (Standing.OPEN, 700)
    assert compare(payment, mirrored(payment, lambda: happened), READ) == []

    world, payment = refunded(500)
    payment = world.answer_operation(world.command(payment, lambda story: decide.refund(story, 300)), REFUND, Pending())
    assert (payment.state, standing(payment), at_stake(payment)) == (State.CAPTURED, Standing.OPEN, 300)
    assert compare(payment, mirrored(payment, lambda: happened), READ) == []

    world, payment = captured(500)
    payment = world.answer_operation(world.command(payment, decide.void), VOID, LOST)
    assert (standing(payment), at_stake(payment)) == (Standing.OPEN, 1500)
    assert compare(payment, mirrored(payment, lambda: happened), READ) == []


def test_beside_an_open_refund_everything_else_is_judged() -> None:
    world, payment = refunded(500)
    payment = world.answer_operation(world.command(payment, lambda story: decide.refund(story, 300)), REFUND, LOST)
    [charge] = mirrored(payment, lambda: True)
    first = payment.operations[-2].id
    lost = with_lines(charge, lambda line: None if line.operation_reference == first else line)
    assert [(one.kind, one.subject_id) for one in compare(payment, [lost], READ)] == [(Kind.OPERATION_MISSING, first)]


def test_with_people_no_sum_is_judged() -> None:
    world, payment = charged()
    held = world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="system")))
    assert standing(held) is Standing.HELD
    assert compare(held, [], READ) == []
    mismatch = World()
    review = mismatch.answer(mismatch.pay(), CHARGED, amount=Money(1, "EUR"))
    assert (review.state, standing(review), at_stake(review)) == (State.MANUAL_REVIEW, Standing.REVIEW, 2000)
    assert compare(review, [], READ) == []


def test_books_that_were_not_read_are_no_evidence() -> None:
    _, payment = charged()
    assert kinds(compare(payment, [], {"strong"})) == [Kind.CAPTURED_DIFFERS]
    assert compare(payment, [], {"eventual"}) == []


def test_a_charge_of_nobody() -> None:
    _, payment = charged()
    [charge] = mirrored(payment)
    assert not_ours(replace(charge, our_reference=None)).theirs == 2000
    assert "names nothing of ours" in not_ours(replace(charge, our_reference=None)).detail
    assert charge.our_reference is not None
    assert charge.our_reference in not_ours(charge).detail
    assert torn(charge, None) == []


# --- by chance --------------------------------------------------------------------------------------------------------------------------


def agrees(payment: Payment, chance: Callable[[], bool]) -> None:
    """Nothing is found in a world where the PSPs did what our books say, but what truly is too much."""
    charges = mirrored(payment, chance)
    twice = sum(one.has_money > 0 for one in charges) > 1
    assert kinds(compare(payment, charges, READ)) == ([Kind.CHARGED_TWICE] if twice else [])
    assert [one for one in check(as_kept(payment)) if one.kind is not Kind.ROW_ASTRAY] == []


def as_kept(payment: Payment) -> Kept:
    """Its journal without any rows: those are the store's to show."""
    return Kept(id=payment.id, payment=payment, problem="", sequences=tuple(range(1, payment.version + 1)), view=None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_no_life_of_a_payment_raises_a_false_alarm(data: Any) -> None:
    life = Life(lambda options: data.draw(st.sampled_from(list(options))))
    agrees(life.payment, lambda: bool(data.draw(st.booleans())))
    life.live(12)
    agrees(life.payment, lambda: bool(data.draw(st.booleans())))


def test_no_false_alarm_in_many_lives() -> None:
    seen: set[State] = set()
    for seed in range(300):
        dice = random.Random(seed)
        life = Life(dice.choice)
        for _ in range(3):
            life.live(5)
            agrees(life.payment, lambda dice=dice: dice.random() < 0.5)  # type: ignore[misc]
            seen.add(life.payment.state)
    assert {State.CAPTURED, State.AUTHORIZED, State.CANCELED, State.FAILED, State.MANUAL_REVIEW} <= seen


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_changed_in_settled_books_is_found(seed: int) -> None:
    """One line more, less, larger or of another kind, totals following: each changes where money is, so each is found."""
    dice = random.Random(seed)
    _, payment = SETTLED[dice.choice(["authorized", "captured", "captured in parts", "partially captured", "charged", "refunded"])]()
    [charge] = mirrored(payment)
    line = dice.choice([one for one in charge.lines if one.type is not Movement.AUTHORIZED] or charge.lines)
    change: Callable[[Line], Line | None] = dice.choice(
        [
            lambda one: None if one is line else one,
            lambda one: replace(one, amount=one.amount + dice.choice((-1, 1))) if one is line else one,
            lambda one: replace(one, type=Movement.EXPIRED) if one is line else one,
        ]
    )
    assert compare(payment, [with_lines(charge, change)], READ) != []


# --- our own promises -------------------------------------------------------------------------------------------------------------------


def found_in(payment: Payment) -> list[Kind]:
    return [one.kind for one in check(as_kept(payment)) if one.kind is not Kind.ROW_ASTRAY]


def test_our_own_promises_each_broken_once() -> None:
    _, payment = refunded(500)
    assert found_in(payment) == []
    capture, refund = payment.operations
    too_much = replace(refund, amount=Money(2001, "EUR"))
    assert found_in(replace(payment, operations=(capture, too_much))) == [Kind.OUT_OF_BOUNDS]
    assert found_in(replace(payment, operations=(capture, replace(too_much, origin=Origin.PROVIDER)))) == []
    assert found_in(replace(payment, operations=(replace(capture, amount=Money(2500, "EUR")),))) == [Kind.OUT_OF_BOUNDS]
    assert found_in(replace(payment, operations=(replace(capture, amount=Money(2000, "JPY")),))) == [Kind.FOREIGN_CURRENCY]
    attempt = replace(payment.attempts[0], amount=Money(2500, "EUR"))
    assert found_in(replace(payment, attempts=(attempt,))) == [Kind.OUT_OF_BOUNDS]


def test_what_is_unresolved_has_a_timer_or_people() -> None:
    world = World()
    unknown = world.answer(world.pay(), LOST)
    assert found_in(unknown) == []
    forgotten = replace(unknown, attempts=tuple(replace(one, next_action_at=None) for one in unknown.attempts))
    assert found_in(forgotten) == [Kind.NO_TIMER]
    assert found_in(replace(forgotten, hold=Hold(reason="x", since=world.at, by="system"))) == []
    assert found_in(replace(forgotten, state=State.MANUAL_REVIEW)) == []
    two = replace(unknown, attempts=(*unknown.attempts, replace(unknown.attempts[0], id="att_2")))
    assert found_in(two) == [Kind.TWO_UNRESOLVED]
    stuck = replace(unknown, attempts=(), state=State.ROUTING)
    assert found_in(stuck) == [Kind.NO_TIMER]

    world, payment = refunded()
    payment = world.answer_operation(world.command(payment, lambda story: decide.refund(story, 1)), REFUND, LOST)
    timeless = [replace(one, next_action_at=None) if one.kind is REFUND else one for one in payment.operations]
    assert found_in(replace(payment, operations=tuple(timeless))) == [Kind.NO_TIMER]
    assert found_in(replace(payment, operations=tuple(replace(one, in_review=True) for one in timeless))) == []


def test_events_are_dense_and_make_a_payment() -> None:
    _, payment = charged()
    kept = as_kept(payment)
    gap = [one.detail for one in check(replace(kept, sequences=(1, 2, 4, 5, 6))) if one.kind is Kind.GAP]
    assert gap == ["event 3 of 5 is not where it should be"]
    assert Kind.GAP in kinds(check(replace(kept, sequences=(2, 3))))
    unreadable = Kept(id="pay_1", payment=None, problem="IllegalTransition: no", sequences=(1,), view=None)
    assert [(one.kind, one.detail) for one in check(unreadable)] == [(Kind.ILLEGAL_STORY, "IllegalTransition: no")]
    nothing = Kept(id="pay_1", payment=None, problem="", sequences=(), view=None)
    assert kinds(check(nothing)) == [Kind.ROW_ASTRAY]


# --- words ------------------------------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_promise_and_its_words() -> None:
    assert set(INVARIANT) == set(ABOUT) == set(Kind)
    for kind, about in ABOUT.items():
        for ours, theirs in ((0, 1), (1, 0)):
            assert meaning(Finding(kind=kind, ours=ours, theirs=theirs)), kind
        assert about.title
        assert about.next.endswith("."), kind


def test_amounts_are_shown_in_major_and_minor_units() -> None:
    assert amount(123456, "EUR") == "1,234.56 EUR (123456)"
    assert amount(-5, "JPY") == "-5 JPY (-5)"
    assert amount(1500, "BHD") == "1.500 BHD (1500)"
    assert amount(7, "???") == "7 minor units of ???"
