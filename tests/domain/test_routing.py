"""Routing: who is left out and why, what a score is made of, what chance decides, and that a decision can be made again."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.capability import Lookup, Manifest, MethodSupport
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.routing import Decision, Estimate, Exclusion, ineligible, route
from payorch.domain.rules import Fee, Plan, Rule, RuleBook, Weights, When, asked, draw_of, preferring
from tests.domain.worlds import CARD, EUR_20, MANIFESTS, START, manifest

INTENT = Intent(amount=EUR_20, capture=CaptureMode.AUTOMATIC, method=CARD)
NAMES = ("strong", "eventual", "blind")


def routed(intent: Intent = INTENT, preference: tuple[str, ...] = NAMES, unavailable: Mapping[str, str] | None = None) -> Decision:
    question = asked(intent, merchant_id="mer_1", draw=0, at=START)
    return route(question, preferring(*preference), MANIFESTS, unavailable=unavailable)


def with_card(support: MethodSupport) -> Manifest:
    """A connector whose card support is that."""
    base = manifest(lookup=Lookup.STRONG)
    return Manifest(
        key_max_length=base.key_max_length, key_charset=base.key_charset, key_safe_window_seconds=0, replays_errors=True,
        lookup=base.lookup, lookup_lag_seconds=0, cancel_by_reference=False, http_429_means_not_executed=True,
        methods={"card": support}, currencies=frozenset({"EUR", "JPY"}),
    )  # fmt: skip


@given(preference=st.permutations(NAMES), ill=st.sets(st.sampled_from(NAMES)))
@settings(max_examples=40, deadline=None)
def test_everyone_is_either_tried_in_order_or_excluded_with_a_reason(preference: list[str], ill: set[str]) -> None:
    decision = routed(preference=tuple(preference), unavailable=dict.fromkeys(ill, "breaker open"))
    assert decision.order == tuple(name for name in preference if name not in ill)
    assert [(one.connector, one.reason) for one in decision.excluded] == [(name, "breaker open") for name in preference if name in ill]
    assert decision.version == preferring(*preference).version


def test_a_pinned_connector_is_the_only_candidate() -> None:
    pinned = replace(INTENT, connector="blind")
    assert routed(pinned).order == ("blind",)
    assert routed(pinned).rule == "pinned by the merchant"
    excluded = routed(pinned, unavailable={"blind": "drained"})
    assert excluded.order == ()
    assert excluded.excluded[0].reason == "drained"


def test_a_pin_to_nobody_excludes_nobody_silently() -> None:
    decision = routed(replace(INTENT, connector="unheard_of"))
    assert decision.order == ()
    assert decision.excluded[0].reason == "no such connector is configured"


@pytest.mark.parametrize(
    ("intent", "support", "reason"),
    [
        (replace(INTENT, method=None), MethodSupport(completes_without_us=True), "no payment method"),
        (replace(INTENT, method=replace(CARD, type="sofort")), MethodSupport(completes_without_us=True), "method sofort"),
        (replace(INTENT, amount=Money(1, "USD")), MethodSupport(completes_without_us=True), "USD"),
        (INTENT, MethodSupport(completes_without_us=True, currencies=frozenset({"JPY"})), "EUR"),
        (
            replace(INTENT, method=replace(CARD, country="US")),
            MethodSupport(completes_without_us=True, countries=frozenset({"DE"})),
            "cards from US",
        ),
        (INTENT, MethodSupport(completes_without_us=True, minimum_minor={"EUR": 2001}), "at least 2001"),
        (INTENT, MethodSupport(completes_without_us=True, maximum_minor={"EUR": 1999}), "at most 1999"),
        (
            replace(INTENT, method=PaymentMethod(type="card", tokens={"other": "tok"})),
            MethodSupport(completes_without_us=True),
            "no token",
        ),
    ],
)
def test_what_a_connector_cannot_take_is_said_in_words(intent: Intent, support: MethodSupport, reason: str) -> None:
    assert reason in (ineligible(intent, "this", with_card(support)) or "")


def test_the_bounds_themselves_are_taken() -> None:
    support = MethodSupport(completes_without_us=True, minimum_minor={"EUR": 2000}, maximum_minor={"EUR": 2000})
    assert ineligible(INTENT, "this", with_card(support)) is None


def test_a_method_that_needs_no_token_goes_without_one() -> None:
    bare = replace(INTENT, method=PaymentMethod(type="card"))
    assert ineligible(bare, "this", with_card(MethodSupport(completes_without_us=True, needs_token=False))) is None
    assert ineligible(bare, "this", with_card(MethodSupport(completes_without_us=True))) is not None


@pytest.mark.parametrize(
    ("intent", "support", "reason"),
    [
        (
            replace(INTENT, capture=CaptureMode.MANUAL),
            MethodSupport(completes_without_us=True, captures=frozenset({"automatic"})),
            "does not offer manual capture",
        ),
        (
            replace(INTENT, initiator=Initiator.MERCHANT),
            MethodSupport(completes_without_us=True, merchant_initiated=False),
            "only from a shopper who is there",
        ),
    ],
)
def test_capture_modes_and_absent_shoppers_are_capabilities(intent: Intent, support: MethodSupport, reason: str) -> None:
    assert reason in (ineligible(intent, "this", with_card(support)) or "")


def test_the_customers_country_counts_where_the_cards_is_not_known() -> None:
    support = MethodSupport(completes_without_us=True, countries=frozenset({"DE"}))
    assert ineligible(INTENT, "this", with_card(support), country="US") == "does not take cards from US"
    german = replace(INTENT, method=replace(CARD, country="DE"))
    assert ineligible(german, "this", with_card(support), country="US") is None


# --- scores, splits, chance -------------------------------------------------------------------------------------------------------------


WEIGHTS = Weights(success=1, cost=1, latency=10, preference=200, exploration=0)
GOOD, BAD = Estimate(success=9500, latency_ms=300, seen=100), Estimate(success=8000, latency_ms=300, seen=100)


def plan_of(*rules: Rule, weights: Weights = WEIGHTS, fees: tuple[Fee, ...] = (), default: tuple[str, ...] = NAMES) -> Plan:
    return Plan(RuleBook(default=default, weights=weights, rules=rules, fees=fees), zones={}, connectors=NAMES)


def decide(plan: Plan, intent: Intent = INTENT, *, payment_id: str = "pay_1", **known: Estimate) -> Decision:
    question = asked(intent, merchant_id="mer_1", draw=draw_of(payment_id), at=START)
    return route(question, plan, MANIFESTS, estimates={name: known.get(name, GOOD) for name in NAMES})


def test_equals_keep_the_order_and_whoever_declines_more_loses_his_place() -> None:
    assert decide(plan_of()).order == NAMES
    assert decide(plan_of(), strong=BAD).order == ("eventual", "blind", "strong")


def test_a_strict_rule_keeps_its_order_whatever_the_scores_say() -> None:
    strict = Rule(name="strict", when=When(), prefer=("blind", "strong"), strict=True)
    decision = decide(plan_of(strict, weights=replace(WEIGHTS, exploration=1)), blind=BAD)
    assert decision.order == ("blind", "strong")
    assert decision.candidates[0].score < decision.candidates[1].score
    assert not decision.explored


def test_a_score_is_the_sum_of_its_parts() -> None:
    fees = (
        Fee(connector="strong", when=When(currencies=("EUR",)), fixed_minor=25, basis_points=150),
        Fee(connector="eventual", when=When(), basis_points=100),
    )
    decision = decide(plan_of(fees=fees), strong=Estimate(success=9100, latency_ms=1500))
    strong, eventual, blind = decision.candidates
    assert (strong.success, strong.cost, strong.latency, strong.preference) == (9100, -275, -15, 0)  # 25 + 30 of 2000 are 2.75 %
    assert (eventual.cost, eventual.preference, eventual.fee_minor) == (-100, -200, 20)
    assert (blind.cost, blind.fee_minor) == (-275, None), "an unknown fee counts as the dearest known one"
    assert all(one.score == one.success + one.cost + one.latency + one.preference for one in decision.candidates)


@pytest.mark.parametrize(("points", "minor", "fee"), [(150, 2000, 30), (1, 2000, 1), (0, 2000, 0), (250, 1, 1), (10_000, 7, 7)])
def test_a_fee_is_rounded_up_to_whole_minor_units(points: int, minor: int, fee: int) -> None:
    plan = plan_of(fees=(Fee(connector="strong", when=When(), basis_points=points),))
    assert plan.fee_minor("strong", asked(replace(INTENT, amount=Money(minor, "EUR")), merchant_id="mer_1", draw=0, at=START)) == fee


@given(share=st.integers(1, 99))
@settings(max_examples=10, deadline=None)
def test_shares_follow_a_split(share: int) -> None:
    split = Rule(name="split", when=When(), split={"strong": share, "eventual": 100 - share})
    plan, payments = plan_of(split), 2000
    firsts = [decide(plan, payment_id=f"pay_{number}", strong=BAD).order[0] for number in range(payments)]
    expected = share / 100
    deviation = (expected * (1 - expected) / payments) ** 0.5
    assert abs(firsts.count("strong") / payments - expected) < 4.5 * deviation


def test_a_split_goes_on_among_those_who_can_and_a_share_of_nothing_stands_in() -> None:
    split = Rule(name="split", when=When(), split={"strong": 70, "eventual": 30, "blind": 0})
    question = asked(INTENT, merchant_id="mer_1", draw=draw_of("pay_1"), at=START)
    orders = {decide(plan_of(split), payment_id=f"pay_{number}").order for number in range(100)}
    assert orders == {("strong", "eventual", "blind"), ("eventual", "strong", "blind")}
    alone = route(question, plan_of(split), MANIFESTS, unavailable={"strong": "ill", "eventual": "ill"})
    assert alone.order == ("blind",)
    assert {one.share for one in decide(plan_of(split)).candidates} == {70, 30, 0}


def test_a_small_share_explores_and_says_so() -> None:
    plan = plan_of(weights=replace(WEIGHTS, exploration=0.05))
    decisions = [decide(plan, payment_id=f"pay_{number}", strong=BAD, eventual=BAD) for number in range(4000)]
    explored = [one for one in decisions if one.explored]
    assert 130 < len(explored) < 280
    assert {one.order[0] for one in explored} == {"strong", "eventual"}
    assert all(one.order[0] == "blind" for one in decisions if not one.explored)


def test_nobody_explores_where_everybody_has_his_place() -> None:
    plan = plan_of(weights=replace(WEIGHTS, exploration=1))
    decisions = [decide(plan, payment_id=f"pay_{number}", eventual=BAD, blind=BAD) for number in range(100)]
    assert {(one.order[0], one.explored) for one in decisions} == {("strong", False)}


estimates = st.fixed_dictionaries(
    {name: st.builds(Estimate, success=st.integers(0, 10_000), latency_ms=st.integers(0, 30_000)) for name in NAMES}
)


@given(
    known=estimates,
    ill=st.sets(st.sampled_from(NAMES)),
    draw=st.integers(0, (1 << 48) - 1),
    exploration=st.floats(0, 1),
    split=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_decision_is_made_again_from_what_it_holds_after_the_journal(
    known: dict[str, Estimate], ill: set[str], draw: int, exploration: float, split: bool
) -> None:
    rule = Rule(name="split", when=When(), split={"strong": 60, "blind": 40}) if split else Rule(name="order", when=When(), prefer=NAMES)
    plan = plan_of(rule, weights=replace(WEIGHTS, exploration=exploration))
    question = asked(INTENT, merchant_id="mer_1", draw=draw, at=START)
    made = route(question, plan, MANIFESTS, estimates=known, unavailable=dict.fromkeys(ill, "ill"))
    stored = msgspec.json.decode(msgspec.json.encode(made), type=Decision)
    assert stored == made
    assert stored.basis is not None
    again = asked(INTENT, merchant_id="mer_1", draw=draw, at=stored.basis.at)
    assert route(again, plan, MANIFESTS, estimates=stored.basis.estimates, unavailable=stored.basis.unavailable) == made
    assert sorted([*made.order, *(one.connector for one in made.excluded)]) == sorted(rule.connectors)


def test_a_decision_of_an_old_program_can_still_be_read() -> None:
    old = b'{"order":["stripe"],"excluded":[{"connector":"other","reason":"drained"}],"rule":"default","version":"1"}'
    assert msgspec.json.decode(old, type=Decision) == Decision(
        order=("stripe",), excluded=(Exclusion(connector="other", reason="drained"),), rule="default", version="1"
    )
