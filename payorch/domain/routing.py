"""Which connector shall try a payment: a pure choice whose every reason is kept.

    1. the rule       the first that holds names connectors: in an order of preference, or by a split in percent (`rules`)
    2. the filter     who cannot take this payment, or is not well, is left out with the reason
    3. the score      approvals expected, less fees, waiting and places down the list, all in points (hundredths of a percent)
    4. the order      by score; a strict rule's own; a split's draw. A few payments explore: who lost his place tries first, so that what is
                      known of the others does not grow old

Chance is the payment's own draw, made from its id. The decision is an event of the payment and holds all that it was made from, so that it
can be explained later, and made again under other rules (`rerouting`). Not here: what the rules are (`rules`), how success is counted
(`success`), breaker state (all arrive as data).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from payorch.domain.capability import Manifest
from payorch.domain.intent import Initiator, Intent
from payorch.domain.rules import DEFAULT, DRAW_BITS, PINNED, POINTS, Asked, Plan, Rule, Weights, When


class Exclusion(Struct, frozen=True, kw_only=True, gc=False):
    """A connector that was not eligible, and the reason in words."""

    connector: str
    reason: str


class Estimate(Struct, frozen=True, kw_only=True, gc=False):
    """What a connector's history lets expect for payments like this one. success: in points. seen: outcomes that it rests on, faded."""

    success: int
    latency_ms: int
    seen: int = 0


class Candidate(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An eligible connector with its score and the score's parts, in points; what counts against it is negative.

    fee_minor: the expected fee; None where the rules do not say, and then it counts as the dearest of those that are known. share: its
    percentage, where a split decided.
    """

    connector: str
    score: int
    success: int = 0
    cost: int = 0
    latency: int = 0
    preference: int = 0
    fee_minor: int | None = None
    share: int | None = None


class Basis(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What was known at the decision, beyond the payment: enough to decide again, also under other rules.

    unavailable: connector -> reason, of all connectors. estimates: of all connectors, candidates or not. draw: of old programs; since then
    it is the payment's own (`rules.draw_of`), and not written: a number of so many digits now and then looks like a card's.
    """

    at: datetime
    draw: int | None = None
    estimates: Mapping[str, Estimate] = {}
    unavailable: Mapping[str, str] = {}


class Decision(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The connectors to try, best first, and why the others are not among them. `rule` and `version` name what decided.

    candidates: the eligible ones in the rule's order. explored: chance put the first one there. basis: None in decisions of old programs.
    """

    order: tuple[str, ...]
    excluded: tuple[Exclusion, ...] = ()
    rule: str = DEFAULT
    version: str = ""
    candidates: tuple[Candidate, ...] = ()
    explored: bool = False
    basis: Basis | None = None


UNKNOWN: Final = Estimate(success=POINTS, latency_ms=0)
"""Of a connector of which nobody keeps a history."""

_ALWAYS: Final = When()
_LOWER: Final = (1 << DRAW_BITS) - 1


def route(
    asked: Asked,
    plan: Plan,
    manifests: Mapping[str, Manifest],
    *,
    estimates: Mapping[str, Estimate] | None = None,
    unavailable: Mapping[str, str] | None = None,
) -> Decision:
    """The eligible connectors in the order in which they are to be tried.

    manifests, estimates: by connector name. unavailable: connector -> reason (drained, breaker open).
    A pinned connector is the only candidate; where it is not eligible there is none.
    """
    known, ill = estimates or {}, unavailable or {}
    pin = asked.intent.connector
    rule = plan.rule_for(asked) if pin is None else Rule(name=PINNED, when=_ALWAYS, prefer=(pin,))
    eligible: list[str] = []
    excluded: list[Exclusion] = []
    for name in rule.connectors:
        reason = ill.get(name) or ineligible(asked.intent, name, manifests.get(name), country=asked.country)
        if reason is None:
            eligible.append(name)
        else:
            excluded.append(Exclusion(connector=name, reason=reason))
    candidates = _scored(eligible, rule, asked, plan, known)
    order = _ordered(candidates, rule, asked.draw)
    explorer = _explorer(order, eligible, rule, asked.draw, plan.weights)
    if explorer is not None:
        order = (explorer, *[name for name in order if name != explorer])
    return Decision(
        order=order,
        excluded=tuple(excluded),
        rule=rule.name,
        version=plan.version,
        candidates=candidates,
        explored=explorer is not None,
        basis=Basis(at=asked.at, estimates=known, unavailable=ill),
    )


def _scored(eligible: list[str], rule: Rule, asked: Asked, plan: Plan, known: Mapping[str, Estimate]) -> tuple[Candidate, ...]:
    weights, minor = plan.weights, asked.intent.amount.minor
    fees = [plan.fee_minor(name, asked) for name in eligible]
    dearest = max((fee for fee in fees if fee is not None), default=0)
    candidates = []
    for place, (name, fee) in enumerate(zip(eligible, fees, strict=True)):
        estimate = known.get(name, UNKNOWN)
        success = round(weights.success * estimate.success)
        cost = -round(weights.cost * ((dearest if fee is None else fee) * POINTS // minor))
        latency = -round(weights.latency * estimate.latency_ms / 1000)
        preference = -round(weights.preference * place) if rule.prefer else 0
        candidates.append(
            Candidate(
                connector=name,
                score=success + cost + latency + preference,
                success=success,
                cost=cost,
                latency=latency,
                preference=preference,
                fee_minor=fee,
                share=rule.split.get(name),
            )
        )
    return tuple(candidates)


def _ordered(candidates: tuple[Candidate, ...], rule: Rule, draw: int) -> tuple[str, ...]:
    if rule.split:
        return _drawn(candidates, draw >> DRAW_BITS)
    if rule.strict or len(candidates) < 2:
        return tuple([one.connector for one in candidates])
    # The sort is stable: between equals, the rule's own order.
    return tuple([one.connector for one in sorted(candidates, key=_minus_score)])


def _minus_score(candidate: Candidate) -> int:
    return -candidate.score


def _drawn(candidates: tuple[Candidate, ...], draw: int) -> tuple[str, ...]:
    """One by its share of what the eligible ones have together; behind it the others, the larger shares first, to fail over to."""
    whole = sum(one.share or 0 for one in candidates)
    place = draw * whole >> DRAW_BITS
    first: str | None = None
    for one in candidates:
        place -= one.share or 0
        if place < 0:
            first = one.connector
            break
    by_share = [one.connector for one in sorted(candidates, key=lambda one: -(one.share or 0))]
    return tuple(by_share) if first is None else (first, *[name for name in by_share if name != first])


def _explorer(order: tuple[str, ...], listed: list[str], rule: Rule, draw: int, weights: Weights) -> str | None:
    """Who tries first although others look better; None for nearly every payment. listed: the eligible ones as the rule prefers them.

    Only who has lost his place in that list by what is known of him: for the others nothing is to be found out by trying.
    """
    if rule.split or rule.strict or (draw & _LOWER) >= weights.exploration * (_LOWER + 1):
        return None
    place = {name: number for number, name in enumerate(listed)}
    overtaken = [name for number, name in enumerate(order) if any(place[other] > place[name] for other in order[:number])]
    return overtaken[(draw >> DRAW_BITS) % len(overtaken)] if overtaken else None


def ineligible(intent: Intent, name: str, manifest: Manifest | None, *, country: str | None = None) -> str | None:
    """Why that connector cannot take this intent, or None where it can. country: of the card or the customer, where it is known."""
    if manifest is None:
        return "no such connector is configured"
    if intent.method is None:
        return "the payment has no payment method yet"
    method = manifest.methods.get(intent.method.type)
    if method is None:
        return f"does not offer the method {intent.method.type}"
    currency, minor = intent.amount.currency, intent.amount.minor
    if currency not in (method.currencies or manifest.currencies):
        return f"does not take {currency}"
    country = intent.method.country or country
    if country is not None and method.countries is not None and country not in method.countries:
        return f"does not take cards from {country}" if intent.method.type == "card" else f"is not offered in {country}"
    if minor < method.minimum_minor.get(currency, minor):
        return f"takes at least {method.minimum_minor[currency]} minor units of {currency}"
    if minor > method.maximum_minor.get(currency, minor):
        return f"takes at most {method.maximum_minor[currency]} minor units of {currency}"
    if intent.capture not in method.captures:
        return f"does not offer {intent.capture} capture with the method {intent.method.type}"
    if intent.initiator is Initiator.MERCHANT and not method.merchant_initiated:
        return f"takes the method {intent.method.type} only from a shopper who is there"
    if method.needs_token and intent.method.token_for(name) is None:
        return "the merchant gave no token for it"
    return None
