"""What is remembered of connectors: which outcomes say something about them, how counts narrow down and fade, how much is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.intent import CaptureMode, Intent
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Finding, Pending
from payorch.domain.payment import Name
from payorch.domain.routing import Estimate
from payorch.domain.success import COUNTS_AGAINST, Observation, Success, SuccessLimits, observed
from tests.domain.worlds import CARD, CHARGED, EUR_20, LOST, NOT_SENT, START, World, declined, rejected

LIMITS = SuccessLimits(half_life_seconds=3600, prior_success=9000, prior_weight=20, prior_latency_ms=800, kinds=1000)
EUROS = Intent(amount=EUR_20, capture=CaptureMode.AUTOMATIC, method=replace(CARD, country="DE", brand="visa"))
YEN = replace(EUROS, amount=Money(2000, "JPY"))


def told(success: Success, outcomes: list[bool], intent: Intent = EUROS, connector: str = "a") -> Success:
    for good in outcomes:
        success.tell(connector, intent, Observation(attempt_id="att_1", good=good, latency_ms=200), START)
    return success


def estimate(success: Success, connector: str, intent: Intent, at: datetime) -> Estimate:
    return success.estimates((connector,), intent, at)[connector]


def verdicts(finding: Finding) -> list[bool | None]:
    """What the events after that answer to the first attempt say about its connector."""
    world = World(preference=("strong",))
    world.answer(world.pay(), finding)
    return [one.good for one in map(observed, world.events) if one is not None]


@pytest.mark.parametrize("error_class", list(ErrorClass))
def test_only_what_says_something_about_the_connector_counts_against_it(error_class: ErrorClass) -> None:
    counted = [False] if error_class in COUNTS_AGAINST else [None]
    if error_class in (ErrorClass.CUSTOMER_CANCELED, ErrorClass.EXPIRED):
        counted = []
    assert verdicts(declined(error_class))[:1] == counted


@pytest.mark.parametrize(
    ("finding", "counted"),
    [
        (CHARGED, [True]), (Approved(), [True]), (LOST, [False]), (NOT_SENT, []), (Pending(), []),
        (rejected(ErrorClass.RATE_LIMITED), [False]), (rejected(ErrorClass.INVALID_REQUEST), [None]),
    ],
)  # fmt: skip
def test_each_outcome_of_a_call_counts_once(finding: Finding, counted: list[bool | None]) -> None:
    assert verdicts(finding) == counted


def test_a_lost_outcome_that_is_found_again_was_lost_all_the_same() -> None:
    world = World(preference=("strong",))
    payment = world.answer(world.pay(), LOST)
    world.search(payment, CHARGED)
    assert [one.good for one in map(observed, world.events) if one is not None] == [False]


def test_a_call_that_we_lost_ourselves_says_nothing_about_its_psp() -> None:
    world = World(preference=("strong",))
    world.answer(world.pay(), LOST)
    lost = next(event for event in world.events if event.name is Name.OUTCOME_LOST)
    assert observed(lost) is not None
    assert observed(replace(lost, actor="system")) is None


def test_nothing_is_known_at_first_and_much_after_a_while() -> None:
    success = Success(LIMITS)
    assert estimate(success, "a", EUROS, START).success == 9000
    assert estimate(success, "a", EUROS, START).latency_ms == 800
    told(success, [True] * 30 + [False] * 70)
    known = estimate(success, "a", EUROS, START)
    assert known.success < 4000
    assert known.seen == 100
    assert known.latency_ms < 400
    assert estimate(success, "b", EUROS, START).success == 9000


def test_what_is_rare_is_judged_by_what_is_common() -> None:
    success = told(Success(LIMITS), [False] * 200)
    rare = estimate(success, "a", YEN, START).success
    assert rare < 2000, "a connector that fails in euros is not expected to do well in yen"
    told(success, [True] * 40, YEN)
    assert estimate(success, "a", YEN, START).success > rare + 3000
    assert estimate(success, "a", EUROS, START).success < 2000


def test_counts_fade_by_half_in_their_time() -> None:
    success = told(Success(LIMITS), [False] * 64)
    hours = [estimate(success, "a", EUROS, START + timedelta(hours=hour)) for hour in range(12)]
    assert [one.seen for one in hours[:5]] == [64, 32, 16, 8, 4]
    assert sorted(one.success for one in hours) == [one.success for one in hours]
    assert hours[-1].success > 8500, "in the end it gets another chance"


@given(outcomes=st.lists(st.booleans(), max_size=60))
def test_an_estimate_is_a_share_and_grows_with_approvals(outcomes: list[bool]) -> None:
    success = told(Success(LIMITS), outcomes)
    before = estimate(success, "a", EUROS, START).success
    assert 0 <= before <= 10_000
    assert estimate(told(success, [True]), "a", EUROS, START).success >= before


def test_memory_is_bounded_and_keeps_the_latest() -> None:
    success = Success(replace(LIMITS, kinds=50))
    for number in range(500):
        told(success, [False] * 3, replace(EUROS, method=replace(CARD, country="DE", brand=f"brand {number}")))
    assert len(success) == 50
    assert estimate(success, "a", EUROS, START).success < 500
