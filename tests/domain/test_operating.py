"""What operators and two people do to a payment: which acts are legal where, and what each leaves behind."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.domain import decide, operating
from payorch.domain.acts import ActName
from payorch.domain.announcements import announcements
from payorch.domain.decide import Refused
from payorch.domain.desk import Story
from payorch.domain.events import Correction, HoldSet
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Source
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import Hold, OperationKind, Origin, Payment
from payorch.domain.resolving import TARGETS, Word, resolve
from tests.domain.test_random_lives import Life
from tests.domain.worlds import CHARGED, HOUR, LOST, World, declined

MANUAL = CaptureMode.MANUAL
WORD = Word(requester="ana", approver="ben", reason="seen in the PSP's dashboard", evidence="INC-7")
SAFE = {"EUR": 1000}


def lost(world: World, capture: CaptureMode = CaptureMode.AUTOMATIC) -> Payment:
    """A payment whose authorisation had no answer."""
    return world.answer(world.pay(capture=capture), LOST)


def reviewed(world: World) -> Payment:
    """The same when the search has ended."""
    payment = world.search(lost(world), LOST)
    assert payment.state is State.MANUAL_REVIEW
    return payment


def held(world: World) -> Payment:
    return world.answer(world.pay(capture=MANUAL), Approved(captured=False), psp_reference="psp_1")


def charged(world: World) -> Payment:
    return world.answer(world.pay(), CHARGED, psp_reference="psp_1")


def lost_refund(world: World) -> Payment:
    """A refund of 500 that nobody could find out: before people."""
    payment = world.command(charged(world), lambda story: decide.refund(story, 500))
    payment = world.answer_operation(payment, OperationKind.REFUND, LOST)
    while not payment.operations[0].in_review:
        world.to_next_timer(payment)
        payment = world.answer_operation(payment, OperationKind.REFUND, LOST, Source.INQUIRY)
    return payment


def set_aside(world: World, payment: Payment) -> Payment:
    return world.tell(payment, Name.HELD, HoldSet(hold=Hold(reason="poison", since=world.at, by="system")))


def operate(world: World, payment: Payment, write: Callable[[Story], object]) -> Payment:
    story = Story(payment, world.desk("operator:ana", "act_1"))
    write(story)
    return world.kept(story)


def refusal_of(world: World, payment: Payment, write: Callable[[Story], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        write(Story(payment, world.desk()))
    return caught.value


# --- resolving a payment


@pytest.mark.parametrize("target", [one for one in TARGETS if one is not State.VOIDING])
@pytest.mark.parametrize("begin", [lost, reviewed])
def test_people_find_a_payment_to_be_something(target: State, begin: Callable[[World], Payment]) -> None:
    world = World()
    before = begin(world)
    minor = 500 if target is State.PARTIALLY_CAPTURED else None
    after = operate(world, before, lambda story: resolve(story, target, WORD, minor=minor))
    assert after.state is target
    captured = {State.CAPTURED: 2000, State.PARTIALLY_CAPTURED: 500}.get(target, 0)
    assert after.captured_minor == captured
    holds = target in (State.AUTHORIZED, State.PARTIALLY_CAPTURED, State.CAPTURED)
    assert (after.holding_attempt is not None) is holds
    assert after.open_attempt is None
    names = ["ReviewRequested", "CorrectionApproved"] if begin is lost else ["CorrectionApproved"]
    assert world.names[-len(names) :] == names


def test_a_correction_says_who_found_it_and_why() -> None:
    world = World()
    payment = reviewed(world)
    operate(world, payment, lambda story: resolve(story, State.CAPTURED, WORD))
    found = world.events[-1]
    assert isinstance(found.data, Correction)
    assert (found.actor, found.cause) == ("operator:ana", "act_1")
    assert (found.data.requester, found.data.approver, found.data.evidence_reference, found.data.alone) == ("ana", "ben", "INC-7", False)


def test_what_is_captured_is_made_of_the_captures_that_are_there() -> None:
    """Of 300 that succeeded and 700 that are unknown, 1200 is found: the 700 as well, and 200 of which nobody here knew."""
    world = World()
    payment = world.command(held(world), lambda story: decide.capture(story, 300))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(captured=True))
    payment = world.command(payment, lambda story: decide.capture(story, 700))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST)
    payment = operate(world, payment, lambda story: resolve(story, State.PARTIALLY_CAPTURED, WORD, minor=1200))
    assert payment.captured_minor == 1200
    assert [(one.amount.minor, one.state, one.origin) for one in payment.operations] == [
        (300, OperationState.SUCCEEDED, Origin.MERCHANT),
        (700, OperationState.SUCCEEDED, Origin.MERCHANT),
        (200, OperationState.SUCCEEDED, Origin.OPERATOR),
    ]


def test_less_captured_than_believed_takes_captures_back() -> None:
    world = World()
    payment = world.command(held(world), lambda story: decide.capture(story, 900))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(captured=True))
    payment = world.command(payment, lambda story: decide.capture(story, 100))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST)
    payment = operate(world, payment, lambda story: resolve(story, State.AUTHORIZED, WORD))
    assert [one.state for one in payment.operations] == [OperationState.REVERSED, OperationState.FAILED]
    assert (payment.captured_minor, payment.capturable_minor) == (0, 2000)


def test_money_that_was_refunded_was_captured() -> None:
    world = World()
    payment = world.command(charged(world), lambda story: decide.refund(story, 500))
    attempt = payment.attempts[0]
    payment = world.answer_operation(payment, OperationKind.REFUND, Approved(captured=True))
    payment = world.weigh(payment, attempt.id, declined(ErrorClass.HARD_DECLINE), Source.INQUIRY)
    assert payment.state is State.MANUAL_REVIEW
    refusal = refusal_of(world, payment, lambda story: resolve(story, State.FAILED, WORD))
    assert refusal.detail == "500 minor units are refunded or being refunded, and only 0 would be captured: resolve the refunds first."
    assert "499" not in refusal.detail
    refusal_of(world, payment, lambda story: resolve(story, State.CAPTURED, WORD, minor=499))
    assert operate(world, payment, lambda story: resolve(story, State.CAPTURED, WORD, minor=500)).captured_minor == 500


@pytest.mark.parametrize(
    ("target", "minor"), [("CAPTURED", 2001), ("CAPTURED", 0), ("PARTIALLY_CAPTURED", 2000), ("PARTIALLY_CAPTURED", None)]
)
def test_an_amount_that_cannot_be_is_refused(target: str, minor: int | None) -> None:
    world = World()
    assert refusal_of(world, reviewed(world), lambda story: resolve(story, target, WORD, minor=minor)).field == "amount"


@pytest.mark.parametrize("to", ["ROUTING", "SUCCEEDED", "captured", ""])
def test_a_state_that_people_cannot_find_is_refused(to: str) -> None:
    world = World()
    assert refusal_of(world, reviewed(world), lambda story: resolve(story, to, WORD)).field == "to"


def test_a_late_success_is_given_back_by_a_call_that_is_made_now() -> None:
    world = World()
    payment = world.answer(world.pay(capture=MANUAL, connector="strong"), declined(ErrorClass.HARD_DECLINE))
    payment = world.weigh(payment, payment.attempts[0].id, Approved(captured=False), Source.WEBHOOK, psp_reference="psp_1")
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "LateSuccess")
    payment = operate(world, payment, lambda story: resolve(story, State.VOIDING, WORD))
    void = payment.operations[-1]
    assert (payment.state, void.kind, void.on_the_wire, void.origin) == (State.VOIDING, OperationKind.VOID, True, Origin.OPERATOR)
    payment = world.answer_operation(payment, OperationKind.VOID, Approved(captured=False))
    assert (payment.state, payment.attempts[0].state) == (State.CANCELED, AttemptState.VOIDED)


def test_captured_money_is_not_voided() -> None:
    world = World()
    payment = world.weigh(charged(world), "att_00000000000000000000000001", declined(ErrorClass.HARD_DECLINE), Source.INQUIRY)
    assert payment.state is State.MANUAL_REVIEW
    assert "refunded" in refusal_of(world, payment, lambda story: resolve(story, State.VOIDING, WORD)).detail


def test_where_two_attempts_hold_money_people_say_which() -> None:
    world = World()
    payment = world.answer(world.pay(capture=MANUAL), declined(ErrorClass.SOFT_TRY_OTHER))
    first = payment.attempts[0]
    payment = world.answer(payment, Approved(captured=False))
    payment = world.weigh(payment, first.id, CHARGED, Source.WEBHOOK)
    assert payment.review_reason == "SecondSuccess"
    assert refusal_of(world, payment, lambda story: resolve(story, State.CAPTURED, WORD)).field == "operation"
    payment = operate(world, payment, lambda story: resolve(story, State.CAPTURED, WORD, subject=first.id))
    assert [one.state for one in payment.attempts] == [AttemptState.CHARGED, AttemptState.VOIDED]
    assert payment.captured_minor == 2000


def test_a_call_that_has_just_been_made_is_waited_for() -> None:
    """The void of a second success is on its way when people look."""
    world = World()
    payment = world.answer(world.pay(capture=MANUAL), declined(ErrorClass.SOFT_TRY_OTHER))
    first = payment.attempts[0]
    payment = world.answer(payment, Approved(captured=False))
    payment = world.weigh(payment, first.id, Approved(captured=False), Source.WEBHOOK)
    assert [one.on_the_wire for one in payment.operations] == [True]
    second = payment.attempts[1].id
    detail = refusal_of(world, payment, lambda story: resolve(story, State.AUTHORIZED, WORD, subject=second)).detail
    assert detail.startswith("A call about it is under way.")
    world.later(seconds=world.limits.call_lost_seconds)
    payment = operate(world, payment, lambda story: resolve(story, State.AUTHORIZED, WORD, subject=second))
    assert [one.state for one in payment.attempts] == [AttemptState.VOIDED, AttemptState.AUTHORIZED]
    assert [one.state for one in payment.operations] == [OperationState.FAILED]


def test_an_unknown_void_is_settled_with_the_payment() -> None:
    world = World()
    payment = operate(world, lost(world, capture=MANUAL), lambda story: resolve(story, State.VOIDING, WORD))
    payment = world.answer_operation(payment, OperationKind.VOID, LOST)
    assert (payment.state, payment.operations[0].state) == (State.OUTCOME_UNKNOWN, OperationState.UNKNOWN)
    assert operate(world, payment, lambda story: resolve(story, State.CANCELED, WORD)).operations[0].state is OperationState.SUCCEEDED


@pytest.mark.parametrize("begin", [held, charged])
def test_what_is_known_is_not_resolved(begin: Callable[[World], Payment]) -> None:
    world = World()
    payment = begin(world)
    detail = refusal_of(world, payment, lambda story: resolve(story, State.FAILED, WORD)).detail
    assert detail == f"A payment in {payment.state} is known for what it is: people decide in OUTCOME_UNKNOWN and MANUAL_REVIEW only."


# --- resolving an operation


@pytest.mark.parametrize(("to", "refunded"), [("SUCCEEDED", 500), ("FAILED", 0)])
def test_people_find_out_what_became_of_a_refund(to: str, refunded: int) -> None:
    world = World()
    before = lost_refund(world)
    refund = before.operations[0]
    payment = operate(world, before, lambda story: resolve(story, to, WORD, subject=refund.id))
    assert (payment.state, payment.refunded_minor, payment.refund_reserved_minor) == (State.CAPTURED, refunded, 0)
    assert (payment.operations[0].state, payment.operations[0].in_review, payment.due_at) == (to, False, None)
    assert world.names[-1] == "OperationCorrected"
    assert announcements(before, world.events[-1], payment) == (f"refund.{to.lower()}",)
    assert f"{refund.id} is {to}" in refusal_of(world, payment, lambda story: resolve(story, to, WORD, subject=refund.id)).detail


def test_an_unknown_capture_is_what_the_payment_is_about() -> None:
    world = World()
    payment = world.command(held(world), lambda story: decide.capture(story, None))
    payment = world.answer_operation(payment, OperationKind.CAPTURE, LOST)
    capture = payment.operations[0]
    detail = refusal_of(world, payment, lambda story: resolve(story, "SUCCEEDED", WORD, subject=capture.id)).detail
    assert "resolve the payment" in detail
    payment = operate(world, payment, lambda story: resolve(story, State.CAPTURED, WORD))
    assert payment.operations[0].state is OperationState.SUCCEEDED


# --- asking again


def test_a_resync_searches_anew_and_not_for_long() -> None:
    world = World()
    payment = operate(world, reviewed(world), lambda story: operating.resync(story, "they had an outage"))
    assert (payment.state, payment.due_at) == (State.OUTCOME_UNKNOWN, world.at)
    began = world.at
    payment = world.search(payment, LOST)
    assert payment.state is State.MANUAL_REVIEW
    assert HOUR <= (world.at - began).total_seconds() <= 2 * HOUR


def test_what_a_resync_finds_is_as_good_as_any_evidence() -> None:
    world = World()
    payment = operate(world, reviewed(world), lambda story: operating.resync(story, "again"))
    assert world.search(payment, CHARGED).state is State.CAPTURED


def test_a_refund_before_people_is_looked_for_again() -> None:
    world = World()
    payment = operate(world, lost_refund(world), lambda story: operating.resync(story, "again"))
    refund = payment.operations[0]
    assert (payment.state, refund.in_review) == (State.CAPTURED, False)
    assert set(world.looks(payment)) == {refund.id}
    assert world.answer_operation(payment, OperationKind.REFUND, Approved(captured=True), Source.INQUIRY).refunded_minor == 500


def test_an_open_question_is_asked_now_and_nothing_is_written() -> None:
    world = World()
    payment = lost(world)
    story = Story(payment, world.desk())
    operating.resync(story, "now")
    assert story.events == []
    assert operating.to_ask(payment, world.desk()) == (payment.attempts[0].id,)
    assert operating.to_ask(held(World()), world.desk()) != ()


@pytest.mark.parametrize("connector", ["blind"])
def test_who_cannot_be_asked_is_not(connector: str) -> None:
    world = World()
    payment = world.answer(world.pay(connector=connector), LOST)
    assert "blind cannot be asked" in refusal_of(world, payment, lambda story: operating.resync(story, "now")).detail


def test_a_call_under_way_is_not_asked_about() -> None:
    world = World()
    payment = world.pay()
    assert "under way" in refusal_of(world, payment, lambda story: operating.resync(story, "now")).detail


# --- money and holds


def test_an_operators_operations_are_a_merchants_with_another_origin() -> None:
    world = World()
    payment = operate(world, held(world), lambda story: operating.capture(story, 500, reason="asked by mail"))
    assert [(one.kind, one.amount, one.origin) for one in payment.operations] == [
        (OperationKind.CAPTURE, Money(500, "EUR"), Origin.OPERATOR)
    ]
    payment = world.answer_operation(payment, OperationKind.CAPTURE, Approved(captured=True))
    payment = operate(world, payment, lambda story: operating.refund(story, 200, reason="asked by mail"))
    payment = operate(world, payment, lambda story: operating.void(story, reason="asked by mail"))
    assert payment.state is State.VOIDING
    assert {one.origin for one in payment.operations} == {Origin.OPERATOR}
    assert {one.reason for one in payment.operations} == {None}


def test_a_refund_is_possible_while_people_have_the_payment() -> None:
    world = World()
    payment = world.weigh(charged(world), "att_00000000000000000000000001", declined(ErrorClass.HARD_DECLINE), Source.INQUIRY)
    assert payment.state is State.MANUAL_REVIEW
    refusal_of(world, payment, lambda story: decide.refund(story, 100))
    payment = operate(world, payment, lambda story: operating.refund(story, 100, reason="goodwill"))
    payment = world.answer_operation(payment, OperationKind.REFUND, Approved(captured=True))
    assert (payment.state, payment.refunded_minor) == (State.MANUAL_REVIEW, 100)


@pytest.mark.parametrize(("act", "instead"), [(operating.void, "VOIDING"), (operating.capture, "AUTHORIZED")])
def test_in_review_nothing_else_is(act: Callable[..., object], instead: str) -> None:
    world = World()
    more = (None,) if act is operating.capture else ()
    assert instead in refusal_of(world, reviewed(world), lambda story: act(story, *more, reason="now")).detail


def test_a_released_payment_goes_on_where_it_stood() -> None:
    world = World()
    payment = lost(world)
    timer = payment.due_at
    payment = set_aside(world, payment)
    assert payment.due_at is None
    refusal_of(world, payment, lambda story: operating.resync(story, "now"))
    refusal_of(world, payment, lambda story: resolve(story, State.FAILED, WORD))
    payment = operate(world, payment, lambda story: operating.release(story, "the bug is fixed"))
    assert (payment.hold, payment.due_at) == (None, timer)
    world.to_next_timer(payment)
    assert set(world.looks(payment).values()) == {Means.REPLAY}
    assert refusal_of(world, payment, lambda story: operating.release(story, "again")).detail == "The payment is not set aside."


def test_an_operation_on_what_is_set_aside_lets_it_go() -> None:
    world = World()
    payment = operate(world, set_aside(world, charged(world)), lambda story: operating.refund(story, None, reason="asked by mail"))
    assert (payment.hold, world.names[-2:]) == (None, ["HoldReleased", "RefundRequested"])


# --- how many people


@pytest.mark.parametrize(("minor", "number"), [(999, 1), (1000, 1), (1001, 2)])
def test_above_the_limit_it_takes_two(minor: int, number: int) -> None:
    payment = charged(World())
    assert operating.people(payment, ActName.PAYMENT_REFUND, Money(minor, "EUR"), SAFE)[0] == number


def test_some_things_always_take_two_and_some_never() -> None:
    world = World()
    payment = charged(world)
    one_euro = Money(100, "EUR")
    assert operating.people(payment, ActName.PAYMENT_REFUND, one_euro, {})[0] == 2
    assert operating.people(set_aside(world, payment), ActName.PAYMENT_REFUND, one_euro, SAFE)[0] == 2
    assert operating.people(reviewed(World()), ActName.PAYMENT_REFUND, one_euro, SAFE)[0] == 2
    assert operating.people(payment, ActName.PAYMENT_RESOLVE, one_euro, SAFE)[0] == 2
    assert operating.people(payment, ActName.PAYMENT_RESYNC, None, {})[0] == 1
    assert operating.people(payment, ActName.PAYMENT_RELEASE, None, {})[0] == 1


# --- what may be done now


def allowed(payment: Payment, world: World) -> set[ActName]:
    return {one.action for one in operating.options(payment, world.desk()) if one.allowed}


def test_options_say_what_may_be_done() -> None:
    world = World()
    of = ActName
    payment = held(world)
    assert allowed(payment, world) == {of.PAYMENT_RESYNC, of.PAYMENT_CAPTURE, of.PAYMENT_VOID}
    assert allowed(set_aside(world, payment), world) == {of.PAYMENT_CAPTURE, of.PAYMENT_VOID, of.PAYMENT_RELEASE}
    world = World()
    assert allowed(reviewed(world), world) == {of.PAYMENT_RESYNC, of.PAYMENT_RESOLVE}
    world = World()
    payment = lost_refund(world)
    resolvable = next(one for one in operating.options(payment, world.desk()) if one.action is of.PAYMENT_RESOLVE)
    assert resolvable.targets == (f"SUCCEEDED of {payment.operations[0].id}", f"FAILED of {payment.operations[0].id}")


class Choosing(Life):
    """A life in which after each step somebody looks at what may be done, and tries all of it."""

    tried = 0

    def promises_hold(self) -> None:
        super().promises_hold()
        payment, desk = self.payment, self.world.desk("operator:ann", "act_1")
        options = {one.action: one for one in operating.options(payment, desk)}
        amount = options[ActName.PAYMENT_REFUND].amount
        writes: dict[ActName, Callable[[Story], object]] = {
            ActName.PAYMENT_RESYNC: lambda story: operating.resync(story, "why"),
            ActName.PAYMENT_CAPTURE: lambda story: operating.capture(story, None, reason="why"),
            ActName.PAYMENT_VOID: lambda story: operating.void(story, reason="why"),
            ActName.PAYMENT_RELEASE: lambda story: operating.release(story, "why"),
        }
        for name, write in writes.items():
            assert options[name].why_not == operating.refused(payment, desk, write), self._tale()
        assert not options[ActName.PAYMENT_REFUND].allowed or (amount is not None and amount.minor > 0), self._tale()
        for target in TARGETS:
            self._resolves(payment, target, listed=str(target) in options[ActName.PAYMENT_RESOLVE].targets)

    def _resolves(self, payment: Payment, target: State, *, listed: bool) -> None:
        story = Story(payment, self.world.desk("operator:ann", "act_1"))
        subject = next((one.id for one in reversed(payment.attempts) if one.state in (AttemptState.AUTHORIZED, AttemptState.CHARGED)), None)
        try:
            resolve(story, target, WORD, subject=subject, minor=1 if target is State.PARTIALLY_CAPTURED else None)
        except Refused:
            assert not listed, self._tale()
            return
        assert listed, self._tale()
        assert story.payment.state is target
        self.tried += 1
        found = story.payment
        self._check_money(found)
        self._check_position(found)
        assert 0 <= found.refunded_minor + found.refund_reserved_minor <= max(found.captured_minor, payment.refunded_minor), self._tale()


@given(data=st.data(), steps=st.integers(1, 20))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_options_are_what_the_acts_accept_in_any_life(data: st.DataObject, steps: int) -> None:
    Choosing(lambda options: data.draw(st.sampled_from(list(options)))).live(steps)


def test_options_are_what_the_acts_accept_in_many_lives() -> None:
    tried = 0
    for seed in range(60):
        life = Choosing(random.Random(seed).choice)
        life.live(30)
        tried += life.tried
    assert tried > 100, "a test that never resolves anything shows nothing"
