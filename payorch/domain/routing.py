"""Which connector shall try a payment: a pure choice whose every reason is kept.

The decision is an event of the payment, so that it can be explained later and replayed under other rules. Not here: rules, scores and
percentages by configuration, or breaker state (each arrives as data from outside).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from payorch.domain.capability import Manifest
from payorch.domain.intent import Intent


class Exclusion(Struct, frozen=True, kw_only=True, gc=False):
    """A connector that was not eligible, and the reason in words."""

    connector: str
    reason: str


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """The connectors to try, best first, and why the others are not among them. `rule` and `version` name what decided."""

    order: tuple[str, ...]
    excluded: tuple[Exclusion, ...] = ()
    rule: str = "default"
    version: str = ""


def route(
    intent: Intent,
    manifests: Mapping[str, Manifest],
    preference: Sequence[str],
    *,
    unavailable: Mapping[str, str],
    version: str,
) -> Decision:
    """The eligible connectors in order of `preference`.

    manifests: by connector name. unavailable: connector -> reason (drained, breaker open). version: of the routing configuration.
    A pinned connector is the only candidate; where it is not eligible there is none.
    """
    rule = "default" if intent.connector is None else "pinned by the merchant"
    candidates = preference if intent.connector is None else (intent.connector,)
    order: list[str] = []
    excluded: list[Exclusion] = []
    for name in candidates:
        reason = unavailable.get(name) or ineligible(intent, name, manifests.get(name))
        if reason is None:
            order.append(name)
        else:
            excluded.append(Exclusion(connector=name, reason=reason))
    return Decision(order=tuple(order), excluded=tuple(excluded), rule=rule, version=version)


def ineligible(intent: Intent, name: str, manifest: Manifest | None) -> str | None:
    """Why that connector cannot take this intent, or None where it can."""
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
    if intent.method.country is not None and method.countries is not None and intent.method.country not in method.countries:
        return f"does not take cards from {intent.method.country}"
    if minor < method.minimum_minor.get(currency, minor):
        return f"takes at least {method.minimum_minor[currency]} minor units of {currency}"
    if minor > method.maximum_minor.get(currency, minor):
        return f"takes at most {method.maximum_minor[currency]} minor units of {currency}"
    if method.needs_token and intent.method.token_for(name) is None:
        return "the merchant gave no token for it"
    return None
