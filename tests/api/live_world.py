"""What the live calls of operators are given in tests: a feed that a test fills, and views that it bends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from payorch.api.operations.feed import StreamGap, Told
from payorch.api.operations.live import LiveSurroundings
from payorch.api.operations.operators import Operator
from payorch.domain.acts import ActName
from payorch.store.identities import OperatorToken

LIMITS: Mapping[str, int] = {
    "plan_expires_seconds": 1800,
    "heartbeat_seconds": 5,
    "page": 200,
    "idle_lock_seconds": 900,
    "arm_seconds": 600,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    streams_limit: int = 3
    heartbeat_seconds: float = 5.0
    token_check_seconds: float = 60.0


@dataclass(kw_only=True)
class Seen:
    """An overview in which the approvals that are one's own differ by person."""

    connectors: Sequence[Mapping[str, Any]] = ()

    def overview_of(self, person: str) -> Mapping[str, Any]:
        tiles = {"approvals": {"waiting": 2, "mine": int(person == "olga"), "reviews_due": 0}}
        return {"at": "2026-03-01T12:00:00.000Z", "tiles": tiles, "since": "2026-03-01T12:00:00.000Z", "attention": []}


@dataclass
class Live:
    """`told`: what the feed has, by position. `feed`: another one in its place."""

    find_token: Callable[[str], Awaitable[OperatorToken | None]]
    told: list[Told] = field(default_factory=list)
    planned: frozenset[ActName] = frozenset()
    approvals: list[Mapping[str, Any]] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    limits: Limits = field(default_factory=Limits)
    feed: Any = None

    def surroundings(self) -> LiveSurroundings:
        return LiveSurroundings(
            environment="a test", kind="sim", version="0.0.1", connectors=("psp_one",), limits=LIMITS, planned=lambda: self.planned,
            find_token=self.find_token, overviews=self.overviews, approvals=self.waiting, feed=self,
            head=lambda: self.feed.head if self.feed is not None else len(self.told), stream=self.limits,
        )  # fmt: skip

    async def overviews(self) -> Seen:
        return self.seen

    async def waiting(self, _: Operator) -> list[Mapping[str, Any]]:
        return self.approvals

    # --- the feed

    async def position(self) -> int:
        return await self.feed.position() if self.feed is not None else len(self.told)

    async def last(self, until: int, count: int) -> Sequence[Told]:
        if self.feed is not None:
            return cast(Sequence[Told], await self.feed.last(until, count))
        return [one for one in self.told if one.position <= until][-count:]

    async def subscribe(self, after: int | None, person: str) -> Any:
        if self.feed is None:
            raise StreamGap
        return await self.feed.subscribe(after, person)
