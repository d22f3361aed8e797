"""What needs people now, as one list: the worst first, then where most money is at risk, then the oldest.

Pure. Money of different currencies is compared by its major units: there are no rates of exchange here, and the list only says where to
look first. Not here: what is counted (`payorch.store.overview`), who makes the list (`payorch.operations.overview`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from msgspec import Struct

from payorch.domain.money import Money


class Severity(StrEnum):
    """How soon somebody should look; the first is worst."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTICE = "notice"


class Screen(Struct, frozen=True, kw_only=True):
    """Where one sees it: a screen of the console, narrowed by a filter, or one thing on it."""

    screen: str
    filter: str | None = None
    id: str | None = None


class Concern(Struct, frozen=True, kw_only=True):
    """One thing that needs people. kind: one word; what: for people; since: when it began, where that is known."""

    severity: Severity
    kind: str
    what: str
    count: int
    screen: Screen
    at_risk: tuple[Money, ...] = ()
    since: datetime | None = None


_ORDER: Final[Mapping[Severity, int]] = {severity: number for number, severity in enumerate(Severity)}


def sorted_concerns(concerns: Iterable[Concern]) -> list[Concern]:
    """In the order in which people should look."""
    return sorted(concerns, key=_place)


def _place(one: Concern) -> tuple[int, Decimal, bool, float, str]:
    age = one.since.timestamp() if one.since is not None else 0.0
    return _ORDER[one.severity], -sum((abs(money.major()) for money in one.at_risk), Decimal(0)), one.since is None, age, one.what


def summed(amounts: Iterable[Money]) -> tuple[Money, ...]:
    """One amount for each currency, by currency."""
    sums: dict[str, int] = {}
    for one in amounts:
        sums[one.currency] = sums.get(one.currency, 0) + one.minor
    return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()))
