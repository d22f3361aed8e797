"""Movements of money: whatever happens to a payment, they add up to what it says of itself, in both directions."""

from __future__ import annotations

import pytest

from payorch.domain import accounts
from payorch.domain import events as e
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.movements import REVERSAL, TO_THE_MERCHANT, Movement, MovementKind
from payorch.domain.payment import AttemptState, Name, OperationState, State
from payorch.domain.records import OperationKind, Origin
from payorch.domain.settlement import OF_PAYMENTS
from tests.store.stories import MERCHANT, Story

CAPTURED, REFUNDED, CHARGED_BACK = MovementKind.CAPTURE, MovementKind.REFUND, MovementKind.CHARGEBACK


def told(movements: tuple[Movement, ...]) -> list[tuple[MovementKind, int]]:
    return [(one.kind, one.amount.minor) for one in movements]


@pytest.fixture
def story() -> Story:
    """A payment with a capture of 1999."""
    made = Story()
    made.sent()
    made.authorized()
    made.capture_requested(1999)
    return made


def refunded(story: Story, state: OperationState) -> tuple[Movement, ...]:
    change = e.OperationChange(operation_id=story.now.operations[-1].id, state=state)
    name = Name.REFUND_SUCCEEDED if state is OperationState.SUCCEEDED else Name.REFUND_REVERSED
    return story.step((name, story.now.state, change)).movements


class TestWhatMoves:
    def test_nothing_does_before_money_was_taken(self) -> None:
        story = Story()
        assert [story.sent().movements, story.authorized().movements, story.capture_requested(5).movements] == [(), (), ()]
        assert story.noted().movements == ()

    def test_a_capture(self, story: Story) -> None:
        [movement] = story.captured().movements
        assert movement == Movement(
            payment_id=story.payment_id,
            sequence=story.now.version,
            subject_id=story.now.operations[0].id,
            merchant_id=MERCHANT,
            attempt_id=story.attempt.id,
            connector="psp_one",
            kind=CAPTURED,
            amount=Money(1999, "EUR"),
            debit="psp_receivable:psp_one",
            credit=f"merchant_payable:{MERCHANT}",
            at=story.now.updated_at,
        )

    def test_an_attempt_that_took_the_money_by_itself(self) -> None:
        story = Story()
        story.sent()
        change = e.AttemptChange(attempt_id=story.attempt.id, state=AttemptState.CHARGED)
        [movement] = story.step((Name.PROVIDER_CHARGED, State.CAPTURED, change)).movements
        assert (movement.kind, movement.subject_id, movement.amount.minor) == (CAPTURED, story.attempt.id, 1999)

    def test_a_refund_and_its_reversal(self, story: Story) -> None:
        story.captured()
        assert story.refund_requested(500).movements == ()
        [movement] = refunded(story, OperationState.SUCCEEDED)
        assert (movement.kind, movement.amount.minor) == (REFUNDED, 500)
        assert (movement.debit, movement.credit) == (f"merchant_payable:{MERCHANT}", "psp_receivable:psp_one")
        assert told(refunded(story, OperationState.REVERSED)) == [(MovementKind.REFUND_REVERSED, 500)]

    def test_a_refund_above_what_was_captured_that_somebody_made_at_the_psp(self, story: Story) -> None:
        story.captured()
        assert told(story.refund_adopted(5000).movements) == [(REFUNDED, 5000)]

    def test_each_event_has_its_own(self, story: Story) -> None:
        opened = e.OperationOpened(operation=story.operation(OperationKind.REFUND, 300, origin=Origin.PROVIDER))
        story.captured()
        again = e.OperationOpened(operation=story.operation(OperationKind.REFUND, 400, origin=Origin.PROVIDER))
        before = story.now.version
        made = story.step((Name.OPERATION_ADOPTED, State.CAPTURED, opened), (Name.OPERATION_ADOPTED, State.CAPTURED, again)).movements
        assert [(one.sequence, one.amount.minor) for one in made] == [(before + 1, 300), (before + 2, 400)]


class TestDisputes:
    @pytest.fixture
    def disputed(self, story: Story) -> Story:
        story.captured()
        return story

    def test_a_warning_takes_nothing(self, disputed: Story) -> None:
        assert disputed.disputed(1000, stage=DisputeStage.PRE_DISPUTE).movements == ()
        assert told(disputed.disputed(1000).movements) == [(CHARGED_BACK, 1000)]

    def test_what_was_won_comes_back_and_may_be_lost_again(self, disputed: Story) -> None:
        disputed.disputed(1000)
        assert told(disputed.dispute_told(status=DisputeStatus.WON).movements) == [(MovementKind.CHARGEBACK_REVERSED, 1000)]
        assert told(disputed.dispute_told(status=DisputeStatus.LOST).movements) == [(CHARGED_BACK, 1000)]
        assert disputed.dispute_told(reason="fraud").movements == ()

    def test_of_a_dispute_the_latest_stage_counts(self, disputed: Story) -> None:
        disputed.disputed(1000)
        assert told(disputed.disputed(1200, stage=DisputeStage.PRE_ARBITRATION).movements) == [(CHARGED_BACK, 200)]
        [back] = disputed.dispute_told(status=DisputeStatus.WON).movements
        assert (back.kind, back.amount.minor, back.subject_id) == (
            MovementKind.CHARGEBACK_REVERSED,
            1200,
            disputed.now.disputes[1].id,
        )

    def test_an_amount_that_becomes_another_moves_the_difference(self, disputed: Story) -> None:
        disputed.disputed(1000)
        assert told(disputed.dispute_told(amount=Money(700, "EUR")).movements) == [(MovementKind.CHARGEBACK_REVERSED, 300)]

    def test_two_disputes_are_two(self, disputed: Story) -> None:
        disputed.disputed(1000)
        assert told(disputed.disputed(300, psp_reference="dp_2").movements) == [(CHARGED_BACK, 300)]

    def test_another_currency_is_taken_in_that_currency(self, disputed: Story) -> None:
        [movement] = disputed.disputed(1000, amount=Money(1100, "USD")).movements
        assert movement.amount == Money(1100, "USD")

    def test_a_later_stage_in_another_currency_gives_back_and_takes_anew(self, disputed: Story) -> None:
        disputed.disputed(1000)
        made = disputed.disputed(1, stage=DisputeStage.PRE_ARBITRATION, amount=Money(1100, "USD")).movements
        assert [(one.kind, one.amount) for one in made] == [
            (MovementKind.CHARGEBACK_REVERSED, Money(1000, "EUR")),
            (CHARGED_BACK, Money(1100, "USD")),
        ]
        assert made[0].subject_id != made[1].subject_id


def test_every_kind_has_its_opposite_and_the_reports_name() -> None:
    assert {*REVERSAL, *REVERSAL.values()} == set(MovementKind)
    assert {kind.value for kind in MovementKind} == {kind.value for kind in OF_PAYMENTS}
    assert all((kind in TO_THE_MERCHANT) != (REVERSAL[kind] in TO_THE_MERCHANT) for kind in REVERSAL)


def test_every_account_says_what_is_on_it() -> None:
    assert set(accounts.MEANING) == set(accounts.Account)
