"""Routing's stored decisions, the latest first: as a list for people, and to be made again.

Read in pages small enough that whoever works them off lets others run in between. Not here: SQL (`payorch.store.routing_reads`), deciding
again (`payorch.domain.rerouting`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, final

import trio

from payorch.api.operations.connector_views import Decided
from payorch.domain.capability import Manifest
from payorch.domain.events import Choice
from payorch.domain.rerouting import Comparison, Detour, Detours, Simulation, Stored
from payorch.domain.rules import Plan
from payorch.routing_desk import stored_decisions
from payorch.store import routing_reads
from payorch.store.routing_reads import Told

PAGE: Final = 100
"""Making so many decisions again takes some 5 ms, in which nothing else runs."""
LOOKED_THROUGH: Final = 2_000
"""Payments that are looked through for decisions about one connector in one answer, at most. The next page goes on after them."""


@final
class Decisions:
    """read: as of the platform. plan: the rules in force. manifests: of the connectors that are switched on."""

    def __init__(self, read: Callable[..., Awaitable[Any]], *, plan: Callable[[], Plan], manifests: Mapping[str, Manifest]) -> None:
        self._read = read
        self._plan = plan
        self._manifests = manifests

    async def page(self, connector: str | None, *, limit: int, after: str | None = None) -> tuple[list[Decided], str | None]:
        """Decisions of the payments made before that one, those made later first; with a connector, only those that say anything of it.

        Then the payment after which the next page begins; None at the end.
        """
        found: list[Decided] = []
        looked = 0
        while len(found) < limit and looked < LOOKED_THROUGH:
            # Without a connector nearly every payment has its one decision; with one, most have none that matters.
            wanted = limit - len(found) if connector is None else PAGE
            told, before = await self._read(routing_reads.last_decided, limit=wanted, before=after)
            for decided in _decided(told):
                if connector is None or _tells_of(decided, connector):
                    found.append(decided)
                    if len(found) == limit and connector is not None:
                        return found, decided.payment_id
            looked += wanted
            after = before
            if before is None:
                return found, None
        return found, after

    async def detour(self, connector: str, *, limit: int) -> Detour:
        """Where the payments of the last so many decisions would have gone without that connector."""
        detours = Detours(connector, self._plan(), self._manifests)
        async for stored in self.latest(limit):
            detours.add(stored)
        return detours.detour()

    async def compared(self, plan: Plan, *, limit: int) -> Comparison:
        """The last so many decisions, made again under that plan."""
        simulation = Simulation(plan, self._manifests)
        async for stored in self.latest(limit):
            simulation.add(stored)
        return simulation.comparison()

    async def simulated(self, plan: Plan, *, since: datetime, until: datetime | None, limit: int) -> Comparison:
        """The decisions of payments made in that time, at most so many, made again under that plan."""
        simulation, after, left = Simulation(plan, self._manifests), None, limit
        while left > 0:
            told, after = await self._read(routing_reads.decided, since, until, limit=min(PAGE, left), after=after)
            for stored in stored_decisions(told):
                simulation.add(stored)
            left -= PAGE
            await trio.lowlevel.checkpoint()
            if after is None:
                break
        return simulation.comparison()

    async def latest(self, limit: int) -> AsyncIterator[Stored]:
        """The decisions of the last so many payments, to be made again."""
        left, before = limit, None
        while left > 0:
            told, before = await self._read(routing_reads.last_decided, limit=min(PAGE, left), before=before)
            for stored in stored_decisions(told):
                yield stored
            left -= PAGE
            await trio.lowlevel.checkpoint()
            if before is None:
                return


def _decided(told: Collection[Told]) -> Iterator[Decided]:
    for one in told:
        if isinstance(one.event.data, Choice):
            yield Decided(payment_id=one.payment_id, at=one.event.at, decision=one.event.data.decision)


def _tells_of(decided: Decided, connector: str) -> bool:
    decision = decided.decision
    return connector in decision.order or any(one.connector == connector for one in decision.excluded)
