"""What becomes of lines that payments are to weigh: each step by how things stand, and never twice the same word."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest

from payorch.domain.matching import Verdict
from payorch.domain.money import Money
from payorch.domain.payment import State
from payorch.domain.settlement import Finding, FindingKind, RowKind, RowState, SettlementRow
from payorch.domain.told_lines import Standing, Step, Telling, next_step, next_try

ROW = SettlementRow(
    line=1, kind=RowKind.CAPTURE, type="charge", identity="txn_1", booked_on=date(2027, 3, 2), gross=Money(2000, "EUR"),
    fee=Money(0, "EUR"), net=Money(2000, "EUR"),
)  # fmt: skip
TRIES = (2, 30, 300)
EVIDENCE, MATCHED = Verdict(state=RowState.EVIDENCE, why="-"), Verdict(state=RowState.MATCHED, why="-")


def standing(
    telling: Telling = Telling.WEIGHED, payment: State | None = State.OUTCOME_UNKNOWN, *, set_aside: bool = False, tries: int = 0
) -> Standing:
    return Standing(telling=telling, payment=payment, set_aside=set_aside, tries=tries)


def test_a_payment_is_told_once_and_then_waited_for_until_the_schedule_is_over() -> None:
    assert next_step(ROW, EVIDENCE, standing(Telling.NOT_YET), TRIES).step is Step.TELL
    for telling, tries in itertools.product((Telling.ON_ITS_WAY, Telling.WEIGHED), range(3)):
        assert next_step(ROW, EVIDENCE, standing(telling, tries=tries), TRIES).step is Step.WAIT
    for telling in (Telling.ON_ITS_WAY, Telling.WEIGHED):
        over = next_step(ROW, EVIDENCE, standing(telling, tries=3), TRIES)
        assert over.step is Step.GIVE_UP
        assert over.conflict is not None
        assert (over.conflict.kind, over.conflict.difference) == (FindingKind.STATUS_CONFLICT, Money(2000, "EUR"))


def test_what_is_set_aside_is_waited_for_without_an_end_and_not_told() -> None:
    for telling, tries in itertools.product((Telling.NOT_YET, Telling.WEIGHED), (0, 3, 99)):
        assert next_step(ROW, EVIDENCE, standing(telling, set_aside=True, tries=tries), TRIES).step is Step.WAIT


def test_people_who_have_the_payment_have_the_line() -> None:
    told = next_step(ROW, EVIDENCE, standing(payment=State.MANUAL_REVIEW), TRIES)
    assert (told.step, told.conflict is None) == (Step.GIVE_UP, False)
    assert next_step(ROW, EVIDENCE, standing(Telling.NOT_YET, State.MANUAL_REVIEW), TRIES).step is Step.TELL
    assert next_step(ROW, EVIDENCE, standing(Telling.ON_ITS_WAY, State.MANUAL_REVIEW), TRIES).step is Step.WAIT


def test_what_was_never_weighed_is_for_people() -> None:
    assert next_step(ROW, EVIDENCE, standing(Telling.NEVER), TRIES).step is Step.GIVE_UP


@pytest.mark.parametrize("telling", Telling)
def test_a_movement_settles_it_however_far_the_telling_has_come(telling: Telling) -> None:
    settled = next_step(ROW, MATCHED, standing(telling), TRIES)
    assert (settled.step, settled.conflict) == (Step.SETTLE, None)
    review = next_step(ROW, MATCHED, standing(telling, State.MANUAL_REVIEW), TRIES)
    assert (review.step, review.conflict is None) == (Step.SETTLE, False)


def test_without_a_payment_what_matching_found_missing_is_missing() -> None:
    missing = Finding(kind=FindingKind.MISSING_HERE, detail="nothing of ours")
    given_up = next_step(ROW, Verdict(state=RowState.UNMATCHED, why="-", findings=(missing,)), standing(payment=None), TRIES)
    assert (given_up.step, given_up.conflict) == (Step.GIVE_UP, missing)


def test_the_pauses_are_those_of_the_schedule_and_the_last_one_repeats() -> None:
    at = datetime(2027, 3, 1, tzinfo=UTC)
    assert [next_try(at, tries, TRIES) - at for tries in range(5)] == [timedelta(seconds=one) for one in (2, 30, 300, 300, 300)]
