"""How well each connector has done lately: what routing may expect of it for a payment like the one at hand.

Outcomes are counted under their connector, and under ever more of method, currency, country and brand. Each count fades by half in a
configured time, so a window has no edge at which a bad hour falls out at once. What is expected is the mean of a Beta distribution whose
prior is the next wider count: few card payments in yen say little by themselves, and then what the connector does with cards speaks. (Not
the lower end of a Wilson interval: it would keep away whoever is tried rarely, and nobody would ever find out that he is well again.)

What counts:
    for a connector       it approved
    against it            "try another" declines (issuer not reached, acquirer's error), refused for our account or its limits, outcome lost
    not at all            declines that every connector would have brought: stolen or closed card, no funds, wrong data, expired, fraud,
                          an authentication that is missing or failed; and what was never sent, which is the breaker's business

An attempt counts once, with its first outcome: one that was lost and found again was lost all the same. Kept in memory, read by routing,
rebuilt from the journal at the start. No clock: whoever asks or tells says when. Not here: what is made of it (`routing`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeAlias, final

from msgspec import Struct

from payorch.domain.events import AttemptChange, Event
from payorch.domain.intent import Intent
from payorch.domain.outcome import Declined, ErrorClass, Finding, NotExecuted, Source
from payorch.domain.payment import Name
from payorch.domain.routing import Estimate
from payorch.domain.rules import POINTS, brand_of, country_of

COUNTS_AGAINST: Final = frozenset({ErrorClass.SOFT_TRY_OTHER, ErrorClass.RATE_LIMITED, ErrorClass.CONFIGURATION})
"""Classes of a definitive no that say something about the connector, and not about the card or the shopper."""
_APPROVALS: Final = frozenset({Name.PROVIDER_AUTHORIZED, Name.PROVIDER_CHARGED})
_REFUSALS: Final = frozenset({Name.DECLINED_RETRIABLE, Name.DECLINED_TERMINAL, Name.REJECTED_ELSEWHERE_POSSIBLE, Name.REJECTED_TERMINAL})
TELLING: Final = _APPROVALS | _REFUSALS | {Name.OUTCOME_LOST}
"""The events that can be an observation."""

Kind: TypeAlias = tuple[str | None, ...]
"""Of payments at one connector: method, currency, country and brand, or fewer of them."""


class SuccessLimits(Struct, frozen=True, kw_only=True):
    """half_life_seconds: in which a count fades by half. prior_success: in points, of a connector that nothing is known of; prior_weight:
    outcomes that this, and each wider count, is worth. prior_latency_ms: likewise. kinds: of payments that are counted, for each connector.
    """

    half_life_seconds: float
    prior_success: int
    prior_weight: float
    prior_latency_ms: int
    kinds: int


class Observation(Struct, frozen=True, kw_only=True, gc=False):
    """The first outcome of an attempt. good: None where it says nothing about the connector. latency_ms: of the call that brought it."""

    attempt_id: str
    good: bool | None
    latency_ms: int | None


def observed(event: Event) -> Observation | None:
    """What an event tells about its attempt's connector; None for nearly all events."""
    data = event.data
    if event.name not in TELLING or not isinstance(data, AttemptChange) or data.evidence is None or not event.actor.startswith("psp"):
        return None  # what we ourselves gave up (a call whose actor died) says nothing about the PSP
    answered = data.evidence.source is Source.RESPONSE
    return Observation(
        attempt_id=data.attempt_id,
        good=_verdict(event.name, data.evidence.finding),
        latency_ms=data.evidence.latency_ms if answered else None,
    )


def _verdict(name: Name, finding: Finding) -> bool | None:
    if name in _APPROVALS:
        return True
    refused = isinstance(finding, (Declined, NotExecuted)) and finding.failure.error_class in COUNTS_AGAINST
    return False if refused or name is Name.OUTCOME_LOST else None


class _Count:
    __slots__ = ("answers", "at", "bad", "good", "waited_ms")

    def __init__(self, at: float) -> None:
        self.at = at
        self.good = self.bad = self.answers = self.waited_ms = 0.0


@final
class Success:
    """The counts. Changed by `tell` alone."""

    def __init__(self, limits: SuccessLimits) -> None:
        self.limits = limits
        self._counts: dict[str, dict[Kind, _Count]] = {}  # by connector; of its kinds, the least recently told first

    def tell(self, connector: str, intent: Intent, observation: Observation, at: datetime) -> None:
        """An attempt of a payment with that intent had its first outcome at that connector. Outcomes come in the order of time, roughly."""
        now, counts = at.timestamp(), self._counts.setdefault(connector, {})
        for kind in _kinds(intent):
            count = counts.pop(kind, None) or _Count(now)
            counts[kind] = count
            self._fade(count, now)
            if observation.good is not None:
                count.good += observation.good
                count.bad += not observation.good
            if observation.latency_ms is not None:
                count.answers += 1
                count.waited_ms += observation.latency_ms
        while len(counts) > self.limits.kinds:
            del counts[next(iter(counts))]

    def estimates(self, connectors: Iterable[str], intent: Intent, at: datetime) -> dict[str, Estimate]:
        """What to expect of each of these connectors for a payment with that intent. It runs for each payment."""
        now, kinds = at.timestamp(), _kinds(intent)
        return {connector: self._estimate(self._counts.get(connector), kinds, now) for connector in connectors}

    def _estimate(self, counts: dict[Kind, _Count] | None, kinds: tuple[Kind, ...], now: float) -> Estimate:
        limits = self.limits
        weight, half_life = limits.prior_weight, limits.half_life_seconds
        success, latency, seen = limits.prior_success / POINTS, float(limits.prior_latency_ms), 0.0
        for kind in kinds if counts is not None else ():
            count = counts.get(kind) if counts is not None else None
            if count is None:
                break  # nobody narrower has been counted either
            passed = now - count.at
            fading = 0.5 ** (passed / half_life) if passed > 0 else 1.0
            seen = (count.good + count.bad) * fading
            success = (count.good * fading + weight * success) / (seen + weight)
            latency = (count.waited_ms * fading + weight * latency) / (count.answers * fading + weight)
        # Halves go up, which is quicker than rounding to even.
        return Estimate(success=int(success * POINTS + 0.5), latency_ms=int(latency + 0.5), seen=int(seen + 0.5))

    def __len__(self) -> int:
        return sum(map(len, self._counts.values()))

    def _fade(self, count: _Count, now: float) -> None:
        passed = now - count.at
        if passed <= 0:
            return
        fading = 0.5 ** (passed / self.limits.half_life_seconds)
        count.good *= fading
        count.bad *= fading
        count.answers *= fading
        count.waited_ms *= fading
        count.at = now


def _kinds(intent: Intent) -> tuple[Kind, ...]:
    """The kinds of payments that it is one of, from the widest to the narrowest."""
    method, currency = intent.method, intent.amount.currency
    if method is None:
        return ((),)
    name, country, brand = method.type, country_of(intent), brand_of(intent)
    return ((), (name,), (name, currency), (name, currency, country), (name, currency, country, brand))
