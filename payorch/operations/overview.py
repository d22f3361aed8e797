"""The overview: a dozen figures and a list of what needs people, made anew at most every two seconds, however many ask.

Counted where it stands (`payorch.store.overview`) or where it happens (`traffic`, mailboxes). What only memory knows begins with the
process: `since` says when. Not here: what needs people and why (`concerns`), who asks (`payorch.api.operations.snapshot`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

import trio

from payorch.api.present import rfc3339
from payorch.domain.attention import Concern, summed
from payorch.operations.concerns import View, concerns, money_views
from payorch.ports import Clock
from payorch.store import overview as store
from payorch.store.overview import UNKNOWN, Facts, LastDay

KEPT_SECONDS: Final = 2.0
"""For so long the same answer is good for everybody: a dozen counts by index, some 5 ms of the database's time."""
LAST_DAY_KEPT_SECONDS: Final = 60.0
"""Of the last day's share of matched lines: reports come once a day, and its lines are read to count them."""
STEPS: Final = 12

Read = Callable[..., Awaitable[Any]]


class Traffic(Protocol):
    """What the vital signs of the traffic say."""

    def overview(self) -> View:
        """The tiles `authorization_rate` and `authorize`, and `unknown_series`: how many outcomes were unknown, by the step."""
        ...

    async def connectors(self) -> Sequence[View]:
        """As `GET connectors` shows them."""
        ...


class NoTraffic:
    """Where nobody counts."""

    def overview(self) -> View:
        nothing: list[None] = [None] * STEPS
        return {
            "authorization_rate": {"percent": None, "change_points": None, "count": 0, "series": nothing},
            "authorize": {
                **dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "platform_p95_ms", "psp_p95_ms", "slo_ms")),
                "series": nothing,
            },
            "unknown_series": nothing,
        }

    async def connectors(self) -> Sequence[View]:
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The overview and the connectors at one moment. waiting: acts that wait, by whoever asked for them."""

    overview: View
    connectors: Sequence[View]
    waiting: Mapping[str, int]

    def overview_of(self, person: str) -> View:
        """The overview as that person sees it: how many of the acts that wait are his own."""
        tiles = self.overview["tiles"]
        approvals = {**tiles["approvals"], "mine": self.waiting.get(person, 0)}
        return {**self.overview, "tiles": {**tiles, "approvals": approvals}}


@final
class Overview:
    """read: `Platform.read`. mailboxes: how many messages wait in all of them. others: concerns that are found elsewhere."""

    def __init__(
        self,
        *,
        read: Read,
        clock: Clock,
        traffic: Traffic,
        mailboxes: Callable[[], int],
        others: Callable[[], Iterable[Concern]] = tuple,
    ) -> None:
        self._read = read
        self._clock = clock
        self._traffic = traffic
        self._mailboxes = mailboxes
        self._others = others
        self._since = clock.now()
        self._turn = trio.Lock()
        self._seen: tuple[float, Seen] | None = None
        self._last_day: tuple[float, LastDay | None] | None = None

    async def now(self) -> Seen:
        """As it is, or was at most KEPT_SECONDS ago. Raises what the pool raises."""
        async with self._turn:
            if self._seen is None or trio.current_time() - self._seen[0] >= KEPT_SECONDS:
                self._seen = (trio.current_time(), await self._look())
            return self._seen[1]

    async def _look(self) -> Seen:
        facts: Facts = await self._read(store.facts)
        last_day = await self._matched()
        connectors = await self._traffic.connectors()
        at = self._clock.now()
        needs = concerns(facts, connectors, at, self._others())
        view = {
            "at": rfc3339(at),
            "tiles": self._tiles(facts, last_day),
            "since": rfc3339(self._since),
            "attention": [_concern_view(one) for one in needs],
        }
        return Seen(overview=view, connectors=connectors, waiting=facts.acts.waiting)

    async def _matched(self) -> LastDay | None:
        if self._last_day is None or trio.current_time() - self._last_day[0] >= LAST_DAY_KEPT_SECONDS:
            self._last_day = (trio.current_time(), await self._read(store.last_day))
        return self._last_day[1]

    def _tiles(self, facts: Facts, last_day: LastDay | None) -> View:
        traffic = self._traffic.overview()
        acts = facts.acts
        return {
            "authorization_rate": traffic["authorization_rate"],
            "unknown": _unknown_tile(facts, traffic["unknown_series"]),
            "authorize": traffic["authorize"],
            "queues": {
                "mailboxes": self._mailboxes(),
                "outbox": facts.queues.outbox,
                "inbox": facts.queues.inbox,
                "dead_letters": facts.letters_open,
            },
            "mismatches": _mismatch_tile(facts, last_day),
            "approvals": {"waiting": sum(acts.waiting.values()), "mine": 0, "reviews_due": acts.reviews},
        }


def _unknown_tile(facts: Facts, series: Sequence[int | None]) -> View:
    unknown = [one for one in facts.waiting if one.what == UNKNOWN]
    oldest = min((one.since for one in unknown), default=None)
    return {
        "count": sum(one.count for one in unknown),
        "oldest_at": None if oldest is None else rfc3339(oldest),
        "at_risk": money_views(summed(one.amount for one in unknown)),
        "series": series,
    }


def _mismatch_tile(facts: Facts, last_day: LastDay | None) -> View:
    lines = last_day.lines if last_day is not None else 0
    return {
        "open": sum(one.count for one in facts.mismatches),
        "gross": money_views(summed(one.gross for one in facts.mismatches if one.gross is not None)),
        "day": None if last_day is None else last_day.day.isoformat(),
        "matched_percent": round(100 * last_day.matched / lines, 2) if last_day is not None and lines else None,
    }


def _concern_view(one: Concern) -> View:
    return {
        "severity": one.severity,
        "kind": one.kind,
        "what": one.what,
        "count": one.count,
        "at_risk": money_views(one.at_risk),
        "since": None if one.since is None else rfc3339(one.since),
        "view": {"screen": one.screen.screen, "filter": one.screen.filter, "id": one.screen.id},
    }
