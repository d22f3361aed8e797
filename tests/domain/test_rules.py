"""Rules: the first that holds decides, each condition by itself, and a version that changes with what is written and with nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.intent import CaptureMode, Customer, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.reachability import Unreachable, unreachable
from payorch.domain.rules import AmountRange, Asked, Hours, Plan, Rule, RuleBook, Weights, When, asked, draw_of, minutes_of_week

WEIGHTS = Weights(success=1, cost=1, latency=0, preference=1, exploration=0)
ZONES = {name: ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "UTC")}
REGIONS = {"EEA": ("DE", "FR", "NO"), "NORDIC": ("NO", "SE")}
MONDAY_NOON = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


def question(
    minor: int = 2000, currency: str = "EUR", *, at: datetime = MONDAY_NOON, merchant: str = "mer_1",
    metadata: dict[str, str] | None = None, customer: str | None = None, **method: Any,
) -> Asked:  # fmt: skip
    paid_with = PaymentMethod(**{"type": "card", "token": "tok", **method})
    intent = Intent(
        amount=Money(minor, currency), capture=CaptureMode.AUTOMATIC, method=paid_with, metadata=metadata or {},
        customer=Customer(country=customer) if customer else None,
    )  # fmt: skip
    return asked(intent, merchant_id=merchant, draw=0, at=at)


def book_of(*conditions: When) -> RuleBook:
    rules = tuple(Rule(name=f"rule {number}", when=when, prefer=("a",)) for number, when in enumerate(conditions))
    return RuleBook(default=("a",), weights=WEIGHTS, rules=rules, regions=REGIONS)


def plan_of(*conditions: When) -> Plan:
    return Plan(book_of(*conditions), zones=ZONES, connectors=("a",))


def decides(when: When, asked: Asked) -> bool:
    return plan_of(when).rule_for(asked).name == "rule 0"


@pytest.mark.parametrize(
    ("when", "yes", "no"),
    [
        (When(currencies=("EUR", "USD")), question(), question(currency="JPY")),
        (When(countries=("DE",)), question(country="DE"), question(country="FR")),
        (When(countries=("DE",)), question(customer="DE"), question(customer="DE", country="FR")),
        (When(regions=("EEA",)), question(country="NO"), question(country="SE")),
        (When(regions=("EEA", "NORDIC")), question(country="SE"), question(country="US")),
        (When(regions=("EEA",), countries=("NO", "SE")), question(country="NO"), question(country="SE")),
        (When(regions=("EEA",)), question(country="DE"), question()),
        (When(amount=AmountRange(currency="EUR", at_least=100, at_most=2000)), question(2000), question(2001)),
        (When(amount=AmountRange(currency="EUR", at_least=100)), question(100), question(99)),
        (When(amount=AmountRange(currency="EUR", at_least=100)), question(100), question(100, "USD")),
        (When(methods=("card",)), question(), question(type="wallet")),
        (When(brands=("Visa",)), question(brand="VISA"), question(brand="mastercard")),
        (When(brands=("visa",)), question(brand="visa"), question()),
        (When(merchants=("mer_1",)), question(), question(merchant="mer_2")),
        (When(metadata={"shop": ("a", "b")}), question(metadata={"shop": "b"}), question(metadata={"shop": "c"})),
        (When(metadata={"shop": ("a",)}), question(metadata={"shop": "a"}), question()),
        (When(currencies=("EUR",), methods=("card",)), question(), question(type="wallet")),
    ],
)
def test_a_condition_holds_where_it_says_so_and_nowhere_else(when: When, yes: Asked, no: Asked) -> None:
    assert decides(when, yes)
    assert not decides(when, no)


@pytest.mark.parametrize(
    ("hours", "at", "holds"),
    [
        (Hours(zone="Europe/Berlin", from_minute=13 * 60), MONDAY_NOON, True),  # 13:00 in Berlin
        (Hours(zone="Europe/Berlin", from_minute=13 * 60 + 1), MONDAY_NOON, False),
        (Hours(zone="Europe/Berlin", to_minute=13 * 60), MONDAY_NOON, False),
        (Hours(zone="Europe/Berlin", from_minute=14 * 60), datetime(2027, 7, 5, 12, 0, tzinfo=UTC), True),  # summer time
        (Hours(zone="America/New_York", weekdays=(6,)), datetime(2027, 3, 1, 4, 59, tzinfo=UTC), True),  # still Sunday there
        (Hours(zone="America/New_York", weekdays=(6,)), datetime(2027, 3, 1, 5, 0, tzinfo=UTC), False),
        (Hours(zone="UTC", weekdays=(0,), from_minute=22 * 60, to_minute=6 * 60), datetime(2027, 3, 2, 5, 59, tzinfo=UTC), True),
        (Hours(zone="UTC", weekdays=(0,), from_minute=22 * 60, to_minute=6 * 60), datetime(2027, 3, 2, 6, 0, tzinfo=UTC), False),
        (Hours(zone="UTC", weekdays=(0,), from_minute=22 * 60, to_minute=6 * 60), datetime(2027, 3, 1, 5, 0, tzinfo=UTC), False),
        (Hours(zone="UTC", weekdays=(6,), from_minute=22 * 60, to_minute=6 * 60), datetime(2027, 3, 1, 5, 0, tzinfo=UTC), True),
    ],
)
def test_hours_are_those_of_their_zone_and_go_over_midnight(hours: Hours, at: datetime, holds: bool) -> None:
    assert decides(When(hours=hours), question(at=at)) is holds


@given(wanted=st.lists(st.booleans(), min_size=1, max_size=6))
def test_the_first_rule_that_holds_decides(wanted: list[bool]) -> None:
    conditions = [When(currencies=("EUR",)) if one else When(currencies=("USD",)) for one in wanted]
    rule = plan_of(*conditions).rule_for(question())
    assert rule.name == (f"rule {wanted.index(True)}" if True in wanted else "default")


def test_a_rule_goes_without_connectors_that_are_switched_off_unless_nobody_is_left() -> None:
    book = RuleBook(
        default=("a", "b"),
        weights=WEIGHTS,
        rules=(
            Rule(name="one", when=When(currencies=("EUR",)), prefer=("b", "a")),
            Rule(name="two", when=When(currencies=("USD",)), split={"b": 100}),
        ),
    )
    plan = Plan(book, zones={}, connectors=("a",))
    assert plan.rule_for(question()).prefer == ("a",)
    assert plan.rule_for(question(currency="USD")).connectors == ("b",)
    assert plan.rule_for(question(currency="JPY")).prefer == ("a",)


def test_the_version_follows_what_is_written() -> None:
    first = book_of(When(metadata={"a": ("1",), "b": ("2",)}))
    same = book_of(When(metadata={"b": ("2",), "a": ("1",)}))
    assert first.version == same.version
    assert first.version != book_of(When(metadata={"a": ("1",)})).version
    assert first.version != replace(first, weights=replace(WEIGHTS, exploration=0.5)).version


def test_draws_are_spread_evenly_and_always_the_same() -> None:
    draws = [draw_of(f"pay_{number}") for number in range(4000)]
    assert draws == [draw_of(f"pay_{number}") for number in range(4000)]
    for shift in (24, 0):  # the half for splits, the half for exploration
        upper = sum(draw >> shift & 0xFFFFFF < 1 << 23 for draw in draws)
        assert 1850 < upper < 2150


def test_a_whole_week_is_a_week() -> None:
    assert len(minutes_of_week(Hours(zone="UTC"))) == 7 * 24 * 60
    assert len(minutes_of_week(Hours(zone="UTC", weekdays=(0, 1), from_minute=60, to_minute=120))) == 120


# --- rules that nobody reaches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ((When(), When(currencies=("EUR",))), [(1, (0,))]),
        ((When(currencies=("EUR",)), When()), []),
        ((When(currencies=("EUR", "USD")), When(currencies=("EUR",), methods=("card",))), [(1, (0,))]),
        ((When(currencies=("EUR",)), When(currencies=("USD",)), When(currencies=("EUR", "USD"))), [(2, (0, 1))]),
        ((When(regions=("EEA",)), When(countries=("DE",))), [(1, (0,))]),
        ((When(regions=("EEA",)), When(countries=("DE", "US"))), []),
        (
            (When(amount=AmountRange(currency="EUR", at_most=50)), When(amount=AmountRange(currency="EUR", at_least=51)),
             When(currencies=("EUR",))),
            [(2, (0, 1))],
        ),
        ((When(amount=AmountRange(currency="EUR", at_most=50)), When(amount=AmountRange(currency="USD", at_most=50))), []),
        ((When(amount=AmountRange(currency="EUR", at_most=50)), When(currencies=("EUR",))), []),
        ((When(currencies=("USD",), amount=AmountRange(currency="EUR")),), [(0, ())]),
        ((When(regions=("EEA",), countries=("SE",)),), [(0, ())]),
        ((When(metadata={"a": ("1",)}), When(metadata={"a": ("1",), "b": ("2",)})), [(1, (0,))]),
        ((When(metadata={"a": ("1",)}), When(metadata={"b": ("2",)})), []),
        ((When(hours=Hours(zone="UTC", to_minute=720)), When(hours=Hours(zone="UTC", weekdays=(3,), from_minute=60, to_minute=120))),
         [(1, (0,))]),
        ((When(hours=Hours(zone="UTC", to_minute=720)), When(hours=Hours(zone="UTC", from_minute=720)), When()), [(2, (0, 1))]),
        ((When(hours=Hours(zone="UTC", to_minute=720)), When(hours=Hours(zone="Europe/Berlin", from_minute=780))), []),
        ((When(brands=("visa",)), When(brands=("VISA",))), [(1, (0,))]),
    ],
)  # fmt: skip
def test_rules_that_nobody_reaches_are_found(conditions: tuple[When, ...], found: list[tuple[int, tuple[int, ...]]]) -> None:
    assert unreachable(book_of(*conditions)) == tuple(Unreachable(place=place, by=by) for place, by in found)


some = st.lists(st.sampled_from(("EUR", "USD", "JPY")), max_size=2, unique=True).map(tuple)
kinds = st.lists(st.sampled_from(("card", "wallet")), max_size=1).map(tuple)
ranges = st.none() | st.builds(AmountRange, currency=st.sampled_from(("EUR", "USD")), at_least=st.integers(0, 3), at_most=st.integers(0, 3))


@given(conditions=st.lists(st.builds(When, currencies=some, methods=kinds, amount=ranges), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_what_is_called_unreachable_decides_nothing(conditions: list[When]) -> None:
    plan, reached = plan_of(*conditions), set()
    for currency in ("EUR", "USD", "JPY"):
        for minor in (1, 2, 3, 4):
            reached |= {plan.rule_for(question(minor, currency, type=kind)).name for kind in ("card", "wallet", "other")}
    for one in unreachable(book_of(*conditions)):
        assert f"rule {one.place}" not in reached
