"""The retry budget: what a repeat costs, and the bound that it is there for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.budget import BudgetLimits, RetryBudget

LIMITS = BudgetLimits(initial=5, most=20, earned_per_call=0.1, earned_per_minute=1)
QUIET = replace(LIMITS, earned_per_minute=0)


def test_a_repeat_takes_a_token_and_ten_first_calls_bring_one() -> None:
    budget = RetryBudget(QUIET, 0)
    for _ in range(5):
        assert budget.may_take(0)
        budget.take(0)
    assert not budget.may_take(0)
    for _ in range(9):
        budget.earn()
    assert not budget.may_take(0)
    budget.earn()
    assert budget.tokens(0) == pytest.approx(1)


def test_an_answered_repeat_is_free() -> None:
    budget = RetryBudget(QUIET, 0)
    for _ in range(1000):
        assert budget.may_take(0)
        budget.take(0)
        budget.give_back()
    assert budget.tokens(0) == 5


def test_a_trickle_keeps_a_quiet_connector_able_to_try() -> None:
    budget = RetryBudget(LIMITS, 0)
    for _ in range(5):
        budget.take(0)
    assert not budget.may_take(59)
    assert budget.may_take(60)
    assert budget.tokens(10**6) == LIMITS.most


def test_a_clock_that_seems_to_go_back_takes_nothing_away() -> None:
    budget = RetryBudget(LIMITS, 100)
    assert budget.tokens(0) == 5


def test_recovery_forgives() -> None:
    budget = RetryBudget(QUIET, 0)
    for _ in range(5):
        budget.take(0)
    budget.refresh()
    assert budget.tokens(0) == 5
    for _ in range(100):
        budget.earn()
    budget.refresh()
    assert budget.tokens(0) == pytest.approx(15)


@given(st.lists(st.booleans(), max_size=400))
def test_repeats_in_vain_are_at_most_a_tenth_of_the_first_calls_and_the_beginning(first: list[bool]) -> None:
    budget, sent, repeated = RetryBudget(QUIET, 0), 0, 0
    for is_first in first:
        if is_first:
            budget.earn()
            sent += 1
        elif budget.may_take(0):
            budget.take(0)
            repeated += 1
    assert repeated <= 0.1 * sent + 5 + 1e-9
