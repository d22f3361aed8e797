"""How often a declined card may be tried again, by card network, as data. A newer table is a newer version; nothing else changes.

Sources: Visa's rule on reattempts (at most 15 in 30 days; more cost a fee each), as told by CyberSource and CardPointe. Mastercard's
Transaction Processing Excellence (10 in 24 hours, 35 in 30 days). Where sources differ (Checkout.com reports 20 for Visa from 2025-05-19)
the smaller number stands. Not here: counting (`card_budget`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

VERSION: Final = "2026-11"

_DAY: Final = 86_400


class Limit(Struct, frozen=True, kw_only=True):
    """At most so many declines within so many seconds; at the last of them, no connector may try again."""

    declines: int
    within_seconds: int


LIMITS: Final[Mapping[str, tuple[Limit, ...]]] = MappingProxyType(
    {
        "visa": (Limit(declines=15, within_seconds=30 * _DAY),),
        "mastercard": (Limit(declines=10, within_seconds=_DAY), Limit(declines=35, within_seconds=30 * _DAY)),
    }
)
"""Brand, in lower case -> its limits."""

STRICTEST: Final[tuple[Limit, ...]] = (Limit(declines=10, within_seconds=_DAY), Limit(declines=15, within_seconds=30 * _DAY))
"""For a brand that is not named or has no limits of its own: whichever it is, these keep to it."""

BLOCKED_SECONDS: Final = 30 * _DAY
"""After a decline that says "never again" (Visa's category 1, where each retry costs a fee): as long as the networks look back."""

LONGEST_SECONDS: Final = 30 * _DAY
"""How far back declines matter."""


def limits_of(brand: str | None) -> tuple[Limit, ...]:
    """The limits of that brand."""
    return LIMITS.get((brand or "").lower(), STRICTEST)
