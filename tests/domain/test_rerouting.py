"""Decisions made again: under the same rules the very same, under others what those change, with fees and approvals reckoned alike."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.intent import CaptureMode, Intent
from payorch.domain.money import Money
from payorch.domain.rerouting import NOBODY, Comparison, Detours, Simulation, Stored, decide_again
from payorch.domain.routing import Decision, Estimate, route
from payorch.domain.rules import Fee, Plan, Rule, RuleBook, Weights, When, asked, draw_of, preferring
from tests.domain.worlds import CARD, MANIFESTS, START

NAMES = ("strong", "eventual", "blind")
WEIGHTS = Weights(success=1, cost=1, latency=10, preference=200, exploration=0.1)
FEES = (Fee(connector="strong", when=When(), basis_points=200), Fee(connector="eventual", when=When(currencies=("EUR",)), fixed_minor=10))
RULES = (
    Rule(name="yen", when=When(currencies=("JPY",)), split={"blind": 50, "eventual": 50}),
    Rule(name="rest", when=When(), prefer=NAMES),
)
PLAN = Plan(RuleBook(default=NAMES, weights=WEIGHTS, rules=RULES, fees=FEES), zones={}, connectors=NAMES)


def decided(number: int, *, currency: str = "EUR", plan: Plan = PLAN, ill: tuple[str, ...] = (), **known: int) -> Stored:
    """The decision about one payment; known: expected approvals by connector, in points."""
    payment_id = f"pay_{number}"
    intent = Intent(amount=Money(2000, currency), capture=CaptureMode.AUTOMATIC, method=CARD)
    question = asked(intent, merchant_id="mer_1", draw=draw_of(payment_id), at=START + timedelta(seconds=number))
    estimates = {name: Estimate(success=known.get(name, 9000), latency_ms=500) for name in NAMES}
    decision = route(question, plan, MANIFESTS, estimates=estimates, unavailable=dict.fromkeys(ill, "ill"))
    return Stored(payment_id=payment_id, merchant_id="mer_1", intent=intent, decision=decision)


def compared(stored: list[Stored], plan: Plan = PLAN) -> Comparison:
    simulation = Simulation(plan, MANIFESTS)
    for one in stored:
        simulation.add(one)
    return simulation.comparison()


payments = st.builds(
    decided, st.integers(0, 10**6), currency=st.sampled_from(("EUR", "JPY")), ill=st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    strong=st.integers(0, 10_000), eventual=st.integers(0, 10_000),
)  # fmt: skip


@given(some=st.lists(payments, max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_same_rules_decide_exactly_the_same(some: list[Stored]) -> None:
    assert [decide_again(one, PLAN, MANIFESTS) for one in some] == [one.decision for one in some]
    comparison = compared(some)
    assert (comparison.same_rules, comparison.differing, comparison.changed, comparison.reordered) == (len(some), 0, 0, 0)
    assert comparison.before == comparison.after


def test_other_rules_show_what_they_change() -> None:
    some = [decided(number, strong=9500, eventual=8000) for number in range(200)]
    comparison = compared(some, Plan(replace(PLAN.book, rules=(), default=("eventual",)), zones={}, connectors=NAMES))
    before, after = comparison.before, comparison.after
    assert sum(before.first.values()) == 200
    assert before.first["strong"] > 150, "all but the explorers"
    assert after.first == {"eventual": 200}
    assert comparison.changed == 200 - before.first.get("eventual", 0)
    assert after.success == 8000 < before.success
    assert after.fees_minor == {"EUR": 2000}
    assert before.fees_minor["EUR"] == before.first["strong"] * 40 + before.first.get("eventual", 0) * 10
    assert before.without_fee == before.first.get("blind", 0)
    assert comparison.same_rules == 0
    assert len(comparison.examples) == 10


def test_nobody_is_somebody_to_be_counted() -> None:
    comparison = compared([decided(1, ill=NAMES)])
    assert comparison.before.first == {NOBODY: 1}
    assert comparison.before.success == 0


def test_only_what_is_behind_the_first_may_differ() -> None:
    some = [decided(number, plan=preferring("strong", "eventual", "blind")) for number in range(5)]
    comparison = compared(some, preferring("strong", "blind", "eventual"))
    assert (comparison.changed, comparison.reordered) == (0, 5)


def test_decisions_of_old_programs_are_counted_and_left_alone() -> None:
    old = replace(decided(1), decision=Decision(order=("strong",), version="1"))
    comparison = compared([old, decided(2)])
    assert (comparison.payments, comparison.not_replayable) == (1, 1)


def test_a_changed_capability_is_told_apart_from_changed_rules() -> None:
    simulation = Simulation(PLAN, {name: manifest for name, manifest in MANIFESTS.items() if name != "strong"})
    simulation.add(decided(1, strong=9900))
    comparison = simulation.comparison()
    assert (comparison.same_rules, comparison.differing) == (1, 1)


def test_without_a_connector_its_payments_go_to_whom_routing_would_have_taken_then() -> None:
    first, second = NAMES[:2]
    detours = Detours(first, PLAN, MANIFESTS)
    everything = [decided(1), decided(2), decided(3, ill=(second,)), decided(4, ill=(first,)), decided(5, ill=NAMES)]
    for stored in everything:
        detours.add(stored)
    found = detours.detour()
    assert (found.decisions, found.first) == (5, sum(stored.decision.order[:1] == (first,) for stored in everything))
    assert sum(found.to.values()) == found.first
    assert first not in found.to
    assert found.to[second] == 2
    old = Detours(first, PLAN, MANIFESTS)
    old.add(replace(decided(1), decision=replace(decided(1).decision, basis=None)))
    assert (old.detour().first, old.detour().to) == (0, {})
