"""Plans and acts put together: the store behind them, the desk, the runner, and what the calls about them are given.

Part of the composition root, in a room of its own. Not here: what any of them does, nor the planners, which each room makes for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, final

import structlog

from actors.supervisor import ChildSpec
from payorch.api.operations.act_views import View, action_view
from payorch.api.operations.acts import ActSurroundings
from payorch.api.operations.operators import Operator
from payorch.domain.act_records import ActRecord, Plan
from payorch.domain.acts import ActName
from payorch.operations.act_book import ActBook
from payorch.operations.desk import ActDesk
from payorch.operations.endings import Endings
from payorch.operations.errand import Errand
from payorch.operations.planner import Planner
from payorch.operations.runner import Carry, RunnerActor, RunnerLimits
from payorch.ports import Clock
from payorch.settings import Settings
from payorch.store import acts
from payorch.store.items import Item, Result

UPON_AT_MOST: Final = 20
"""Acts upon one subject that its page shows: most have none, and the newest tell."""
OPERATIONS: Final = "operations"
"""The runner's name in the tree."""

Read = Callable[..., Awaitable[Any]]

log = structlog.get_logger("payorch.operations")


@final
class StoredActs:
    """`act_book.ActStore` over the platform's `read` and `write`."""

    def __init__(self, read: Read, write: Callable[[Item], Awaitable[Result]]) -> None:
        self._read = read
        self._write = write

    async def write(self, item: Item) -> Result:
        return await self._write(item)

    async def plan(self, plan_id: str) -> Plan | None:
        found: Plan | None = await self._read(acts.load_plan, plan_id)
        return found

    async def act(self, act_id: str) -> ActRecord | None:
        found: ActRecord | None = await self._read(acts.load, act_id)
        return found

    async def numbered(self, act_id: str) -> tuple[ActRecord, int] | None:
        found: tuple[ActRecord, int] | None = await self._read(acts.numbered, act_id)
        return found

    async def by_plan(self, plan_id: str) -> ActRecord | None:
        found: ActRecord | None = await self._read(acts.by_plan, plan_id)
        return found

    async def by_key(self, operator_id: str, key: str) -> ActRecord | None:
        found: ActRecord | None = await self._read(acts.by_key, operator_id, key)
        return found

    async def open_one(self, subject: str, name: ActName) -> ActRecord | None:
        found: ActRecord | None = await self._read(acts.open_one, subject, name)
        return found

    async def unfinished(self, *, limit: int) -> list[ActRecord]:
        found: list[ActRecord] = await self._read(acts.unfinished, limit=limit)
        return found

    async def overdue(self, at: datetime, *, limit: int) -> list[ActRecord]:
        found: list[ActRecord] = await self._read(acts.overdue, at, limit=limit)
        return found

    async def find(self, what: acts.Filter, *, limit: int, after: str | None) -> tuple[list[ActRecord], str | None]:
        found: tuple[list[ActRecord], str | None] = await self._read(acts.find, what, limit=limit, after=after)
        return found


@final
class ActsEdge:
    """planners: of all rooms, who plans and carries out what. identifier: a new id with that prefix. tell: as of `Webhooks`. reached: as of
    `Errand`.
    """

    def __init__(
        self,
        settings: Settings,
        planners: Mapping[ActName, Planner],
        *,
        clock: Clock,
        identifier: Callable[[str], str],
        read: Read,
        write: Callable[[Item], Awaitable[Result]],
        tell: Callable[[str, object], None],
        reached: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._settings = settings.operations
        self._shutdown_seconds = settings.actors.shutdown_seconds
        self._planners = planners
        self._read = read
        self._clock = clock
        self._reached = reached
        self._endings = Endings()
        self._book = ActBook(StoredActs(read, write), clock=clock, identifier=identifier)
        self.desk = ActDesk(
            self._book,
            planners,
            terms=self._settings.terms(),
            endings=self._endings,
            carry=lambda act_id: tell(OPERATIONS, Carry(act_id=act_id)),
            answer_within_seconds=settings.http.answer_within_seconds,
            log=log,
        )

    def child(self) -> ChildSpec:
        """The runner, started after everything that acts are done with."""
        capacity = self._settings.mailbox_capacity
        return ChildSpec(name=OPERATIONS, start=self._start, mailbox_capacity=capacity, shutdown_seconds=self._shutdown_seconds)

    def surroundings(self) -> ActSurroundings:
        """What the edge is given."""
        return ActSurroundings(desk=self.desk, page_default=self._settings.page_default, page_limit=self._settings.page_limit)

    async def upon(self, subject: str, who: Operator) -> list[View]:
        """The acts upon that subject, newest first, as that operator sees them."""
        found, _ = await self._read(acts.find, acts.Filter(subject=subject), limit=UPON_AT_MOST)
        return [action_view(one, who, self._clock.now()) for one in found]

    def _start(self) -> RunnerActor:
        settings = self._settings
        limits = RunnerLimits(
            at_once=settings.acts_at_once,
            sweep_seconds=settings.sweep_seconds,
            retry_seconds=settings.retry_seconds,
            tries=settings.tries,
            keep_plans_seconds=settings.keep_plans_seconds,
            housekeeping_seconds=settings.housekeeping_seconds,
            page=settings.housekeeping_limit,
        )
        errand = Errand(self._book, self._planners, self._reached)
        return RunnerActor(book=self._book, errand=errand, endings=self._endings, limits=limits, trouble=_trouble)


def _trouble(about: str, error: Exception) -> None:
    log.error("operations.trouble", about=about, error=type(error).__name__)
