"""Routing keeps the order of preference and a reason for everyone who is not in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain.capability import Lookup, Manifest, MethodSupport
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.routing import Decision, ineligible, route
from payorch.domain.rules import asked, preferring
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
