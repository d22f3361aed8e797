"""What happens next by itself: the step that is announced is the step that is taken, at that time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from payorch.domain import decide
from payorch.domain.events import HoldSet
from payorch.domain.intent import CaptureMode
from payorch.domain.next_step import _DOES, next_step
from payorch.domain.outcome import Approved, ErrorClass, Pending, Source
from payorch.domain.payment import Name, State
from payorch.domain.proof import Means
from payorch.domain.records import Hold, OperationKind
from tests.domain.worlds import ACTION, DAY, HOUR, LIMITS, LOST, MINUTE, NOT_SENT, World, declined


def test_a_search_says_its_next_look_and_its_end() -> None:
    world = World()
    payment = world.answer(world.pay(), LOST)
    step = next_step(payment, world.desk())
    assert step is not None
    assert step.at == payment.due_at
    assert step.text.startswith("look #1: the same request again to strong")
    assert (step.then, step.gives_up_at) == ("people decide", world.at + timedelta(seconds=LIMITS.unknown_budget_seconds))


def test_every_look_of_a_search_is_the_one_that_was_announced() -> None:
    words = {Means.REPLAY: "the same request again", Means.INQUIRE: "is asked what became", Means.WAIT: "cannot be asked"}
    for connector in ("strong", "eventual", "blind"):
        world = World()
        payment = world.answer(world.pay(connector=connector), LOST)
        announced = []
        while payment.state is State.OUTCOME_UNKNOWN:
            step = next_step(payment, world.desk())
            assert step is not None
            (means,) = world.to_next_timer(payment).values()
            assert (step.at, words[means] in step.text) == (world.at, True), (step, means)
            assert step.gives_up_at is not None
            announced.append(means)
            source = Source.REPLAY if means is Means.REPLAY else Source.INQUIRY
            payment = world.answer(payment, LOST, source)
            if payment.state is State.MANUAL_REVIEW:
                assert world.at >= step.gives_up_at
        step = next_step(payment, world.desk())
        assert step is not None
        assert (step.text, step.at, step.then) == ("nothing by itself", None, "people decide")
        assert len(announced) > 5


@pytest.mark.parametrize("means", Means)
def test_the_table_is_total(means: Means) -> None:
    assert _DOES[means]


def test_what_is_on_the_wire_is_waited_for() -> None:
    world = World()
    payment = world.pay()
    step = next_step(payment, world.desk())
    assert step is not None
    assert step.text == "strong's answer to the authorisation is given up"
    assert (step.at, step.then) == (world.at + timedelta(seconds=60), "its outcome is unknown, and is looked for")


def test_what_waits_for_others() -> None:
    world = World()
    payment = world.answer(world.pay(), Pending(), psp_reference="p1")
    step = next_step(payment, world.desk())
    assert step is not None
    assert step.text == "look #1: strong is asked what became of the authorisation"
    assert step.gives_up_at == world.at + timedelta(seconds=2 * DAY)
    shopper = World()
    payment = shopper.answer(shopper.pay(), Pending(action=ACTION), psp_reference="p1")
    step = next_step(payment, shopper.desk())
    assert step is not None
    assert (step.then or "").startswith("the shopper is given up")
    assert step.gives_up_at == shopper.at + timedelta(seconds=HOUR)


def test_an_operation_that_waits_to_be_sent() -> None:
    world = World()
    payment = world.answer(world.pay(capture=CaptureMode.MANUAL), Approved(), psp_reference="p1")
    payment = world.command(payment, lambda story: decide.capture(story, None))
    sent_at = world.at
    payment = world.answer_operation(payment, OperationKind.CAPTURE, NOT_SENT)
    step = next_step(payment, world.desk())
    assert step is not None
    assert (step.text, step.at) == ("the capture is sent to strong", world.at + timedelta(seconds=5))
    assert step.gives_up_at == sent_at + timedelta(seconds=10 * MINUTE)


def test_what_waits_for_the_merchant_and_what_is_over() -> None:
    world = World()
    payment = world.create()
    step = next_step(payment, world.desk())
    assert step is not None
    assert (step.at, step.then) == (world.at + timedelta(seconds=DAY), "canceled; no money moved")
    payment = world.answer(world.command(payment, decide.confirm), declined(ErrorClass.HARD_DECLINE))
    assert next_step(payment, world.desk()) is None


def test_a_held_payment_waits_for_people() -> None:
    world = World()
    payment = world.answer(world.pay(), LOST)
    hold = HoldSet(hold=Hold(reason="its actor kept failing", since=world.at, by="system"))
    payment = world.tell(payment, Name.HELD, hold)
    step = next_step(payment, world.desk())
    assert step is not None
    assert (step.at, step.text) == (None, "nothing, until an operator releases it")


def test_a_timer_that_is_over_is_a_step_about_to_be_taken() -> None:
    world = World()
    payment = world.answer(world.pay(), LOST)
    due = payment.due_at
    world.later(seconds=HOUR)
    step = next_step(payment, world.desk())
    assert step is not None
    assert step.at == due
