"""Decisions made again, under other rules: what yesterday's payments would have done, and what it would have cost.

A stored decision holds all that it was made from (`Basis`), so under the rules that made it, it comes out the very same; under others it
shows what those change. Fees of both are reckoned by the rules that are tried, so that like is compared with like. Pure. Not here: reading
decisions, showing the comparison (`payorch.routing_desk`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final, final

from msgspec import Struct

from payorch.domain.capability import Manifest
from payorch.domain.intent import Intent
from payorch.domain.routing import UNKNOWN, Decision, route
from payorch.domain.rules import Asked, Plan, asked, draw_of

NOBODY: Final = "(none)"
"""In the place of a connector: nobody could take the payment."""
_EXAMPLES: Final = 10


class Stored(Struct, frozen=True, kw_only=True):
    """A decision as it stands in the journal, and the payment as it was then."""

    payment_id: str
    merchant_id: str
    intent: Intent
    decision: Decision


class Side(Struct, frozen=True, kw_only=True):
    """What one set of rules does with the payments. first: connector -> payments that it tries first. rules: rule -> payments it decides.

    success: expected approvals, in points, on average. fees_minor: currency -> expected fees in minor units; without_fee: payments whose
    connector's fee the rules do not say.
    """

    first: Mapping[str, int]
    rules: Mapping[str, int]
    success: int
    fees_minor: Mapping[str, int]
    without_fee: int


class Comparison(Struct, frozen=True, kw_only=True):
    """Both sides. payments: those compared. changed: of them, those that somebody else would try first; reordered: those that differ only
    behind the first. not_replayable: decisions of old programs, which did not keep what they were made from. same_rules: payments that were
    decided under the very rules that are tried; differing: of them, those that came out differently all the same (the connectors' own
    capabilities have changed since). examples: some payments that change.
    """

    version: str
    payments: int
    changed: int
    reordered: int
    not_replayable: int
    same_rules: int
    differing: int
    before: Side
    after: Side
    examples: tuple[tuple[str, str, str], ...]


def decide_again(stored: Stored, plan: Plan, manifests: Mapping[str, Manifest]) -> Decision | None:
    """The decision under this plan; None where the stored one does not say what it was made from."""
    basis = stored.decision.basis
    if basis is None:
        return None
    return route(_asked(stored), plan, manifests, estimates=basis.estimates, unavailable=basis.unavailable)


class Detour(Struct, frozen=True, kw_only=True):
    """Where payments would have gone without a connector. decisions: those looked at; first: of them, those that tried it first; to: of
    these, who would have been first instead -> payments.
    """

    decisions: int
    first: int
    to: Mapping[str, int]


@final
class Detours:
    """Adds up where the payments of some decisions would have gone without that connector, under this plan."""

    def __init__(self, connector: str, plan: Plan, manifests: Mapping[str, Manifest]) -> None:
        self._connector = connector
        self._plan = plan
        self._manifests = manifests
        self._decisions = 0
        self._to: Counter[str] = Counter()

    def add(self, stored: Stored) -> None:
        """One more payment."""
        self._decisions += 1
        basis = stored.decision.basis
        if basis is None or _first(stored.decision) != self._connector:
            return
        without = {**basis.unavailable, self._connector: "left out"}
        again = route(_asked(stored), self._plan, self._manifests, estimates=basis.estimates, unavailable=without)
        self._to[_first(again)] += 1

    def detour(self) -> Detour:
        """What was found."""
        return Detour(decisions=self._decisions, first=sum(self._to.values()), to=dict(self._to.most_common()))


def _asked(stored: Stored) -> Asked:
    basis = stored.decision.basis
    assert basis is not None, "only what can be replayed is asked about again"
    draw = draw_of(stored.payment_id) if basis.draw is None else basis.draw
    return asked(stored.intent, merchant_id=stored.merchant_id, draw=draw, at=basis.at)


@final
class Simulation:
    """Adds decisions up, one after the other; `comparison` shows where it stands."""

    def __init__(self, plan: Plan, manifests: Mapping[str, Manifest]) -> None:
        self._plan = plan
        self._manifests = manifests
        self._before, self._after = _Tally(plan), _Tally(plan)
        self._counts: Counter[str] = Counter()
        self._examples: list[tuple[str, str, str]] = []

    def add(self, stored: Stored) -> None:
        """One more payment."""
        again = decide_again(stored, self._plan, self._manifests)
        if again is None:
            self._counts["not_replayable"] += 1
            return
        self._counts["payments"] += 1
        self._before.add(stored, stored.decision)
        self._after.add(stored, again)
        if stored.decision.version == self._plan.version:
            self._counts["same_rules"] += 1
            self._counts["differing"] += again != stored.decision
        was, is_now = _first(stored.decision), _first(again)
        if was != is_now:
            self._counts["changed"] += 1
            if len(self._examples) < _EXAMPLES:
                self._examples.append((stored.payment_id, was, is_now))
        elif stored.decision.order != again.order:
            self._counts["reordered"] += 1

    def comparison(self) -> Comparison:
        """What was found."""
        return Comparison(
            version=self._plan.version,
            payments=self._counts["payments"],
            changed=self._counts["changed"],
            reordered=self._counts["reordered"],
            not_replayable=self._counts["not_replayable"],
            same_rules=self._counts["same_rules"],
            differing=self._counts["differing"],
            before=self._before.side(),
            after=self._after.side(),
            examples=tuple(self._examples),
        )


class _Tally:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._first: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._fees: Counter[str] = Counter()
        self._success = self._without_fee = 0

    def add(self, stored: Stored, decision: Decision) -> None:
        first = _first(decision)
        self._first[first] += 1
        self._rules[decision.rule] += 1
        if first == NOBODY or stored.decision.basis is None:
            return  # no approval, and no fee
        self._success += stored.decision.basis.estimates.get(first, UNKNOWN).success
        fee = self._plan.fee_minor(first, _asked(stored))
        if fee is None:
            self._without_fee += 1
        else:
            self._fees[stored.intent.amount.currency] += fee

    def side(self) -> Side:
        payments = sum(self._first.values())
        return Side(
            first=dict(self._first.most_common()),
            rules=dict(self._rules.most_common()),
            success=round(self._success / payments) if payments else 0,
            fees_minor=dict(sorted(self._fees.items())),
            without_fee=self._without_fee,
        )


def _first(decision: Decision) -> str:
    return decision.order[0] if decision.order else NOBODY
