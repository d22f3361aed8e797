"""How often a card may be tried: what counts as a decline, the networks' limits, whose card it is, and what is blocked for good."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from payorch.domain.card_budget import CardBudget, Decline, decline_in
from payorch.domain.card_limits import LIMITS, STRICTEST, limits_of
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.outcome import ErrorClass, Finding
from tests.domain.worlds import CARD, CHARGED, EUR_20, LOST, NOT_SENT, START, World, declined, rejected

INTENT = Intent(amount=EUR_20, capture=CaptureMode.AUTOMATIC, method=replace(CARD, brand="Visa"))
TOKEN = replace(INTENT, method=PaymentMethod(type="card", token="tok_1", brand="visa"))


def budget_after(declines: int, intent: Intent = INTENT, *, every: timedelta = timedelta(0), for_good: bool = False) -> CardBudget:
    budget = CardBudget(cards=100)
    for number in range(declines):
        budget.tell("mer_1", intent, Decline(at=START + number * every, for_good=for_good))
    return budget


def allowed(brand: str, *, every: timedelta = timedelta(0), at: datetime = START) -> int:
    """How many declines of one card are followed by another try."""
    intent = replace(INTENT, method=replace(CARD, brand=brand))
    budget = CardBudget(cards=100)
    for number in range(60):
        now = at + number * every
        if budget.spent("mer_1", intent, now) is not None:
            return number
        budget.tell("mer_1", intent, Decline(at=now, for_good=False))
    return 60


@pytest.mark.parametrize(
    ("brand", "every", "tries"),
    [
        ("visa", timedelta(minutes=1), 14), ("VISA", timedelta(days=1), 14), ("mastercard", timedelta(minutes=1), 9),
        ("mastercard", timedelta(hours=6), 34), ("other", timedelta(minutes=1), 9), ("other", timedelta(hours=6), 14),
        ("visa", timedelta(days=3), 60),
    ],
)  # fmt: skip
def test_a_card_is_tried_no_oftener_than_its_network_allows(brand: str, every: timedelta, tries: int) -> None:
    assert allowed(brand, every=every) == tries


def test_a_brand_that_is_not_known_keeps_to_every_known_limit() -> None:
    assert limits_of(None) == limits_of("jcb") == STRICTEST
    for limits in LIMITS.values():
        for limit in limits:
            assert any(one.declines <= limit.declines and one.within_seconds >= limit.within_seconds for one in STRICTEST)


def test_a_card_belongs_to_a_merchant_and_is_known_by_fingerprint_or_token() -> None:
    budget = budget_after(20)
    assert budget.spent("mer_1", INTENT, START) == "the card was declined 15 times in 30 days"
    assert budget.spent("mer_1", replace(INTENT, method=replace(CARD, brand="visa", token="tok_2")), START) is not None
    assert budget.spent("mer_2", INTENT, START) is None
    assert budget.spent("mer_1", TOKEN, START) is None
    assert budget_after(20, TOKEN).spent("mer_1", TOKEN, START) is not None
    several = replace(TOKEN, method=PaymentMethod(type="card", tokens={"a": "1", "b": "2"}))
    assert budget_after(20, several).spent("mer_1", several, START) is not None
    nothing = replace(TOKEN, method=PaymentMethod(type="wallet"))
    assert budget_after(20, nothing).spent("mer_1", nothing, START) is None


def test_a_fingerprint_that_was_declined_for_good_is_blocked_and_a_token_is_not() -> None:
    budget = budget_after(1, for_good=True)
    assert budget.blocked("mer_1", INTENT, START) == "an issuer declined this card for good"
    assert budget.blocked("mer_2", INTENT, START) is None
    assert budget.blocked("mer_1", INTENT, START + timedelta(days=31)) is None
    assert budget_after(1, TOKEN, for_good=True).blocked("mer_1", TOKEN, START) is None
    assert budget_after(1).blocked("mer_1", INTENT, START) is None


def test_memory_is_bounded() -> None:
    budget = CardBudget(cards=10)
    for number in range(100):
        budget.tell("mer_1", replace(INTENT, method=replace(CARD, fingerprint=str(number))), Decline(at=START, for_good=True))
    assert len(budget) == 10
    assert budget.blocked("mer_1", replace(INTENT, method=replace(CARD, fingerprint="99")), START) is not None


def declines(finding: Finding) -> list[bool]:
    """The declines for good (True) and others in a payment whose first attempt was answered so."""
    world = World(preference=("strong",))
    world.answer(world.pay(), finding)
    return [one.for_good for one in map(decline_in, world.events) if one is not None]


@pytest.mark.parametrize(
    ("finding", "counted"),
    [
        (declined(ErrorClass.SOFT_TRY_OTHER), [False]), (declined(ErrorClass.SOFT_RETRY_LATER), [False]),
        (declined(ErrorClass.FIX_DATA), [False]),
        (declined(ErrorClass.AUTHENTICATION_REQUIRED), [False]), (declined(ErrorClass.HARD_DECLINE), [True]),
        (declined(ErrorClass.FRAUD_BLOCKED), []), (declined(ErrorClass.CUSTOMER_CANCELED), []), (rejected(ErrorClass.CONFIGURATION), []),
        (NOT_SENT, []), (LOST, []), (CHARGED, []),
    ],
)  # fmt: skip
def test_only_a_networks_no_counts(finding: Finding, counted: list[bool]) -> None:
    assert declines(finding) == counted
